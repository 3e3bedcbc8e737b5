"""The compiled quotes of a fleet: equal to the readable ones, few, none traded."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quotes_model import QuotesModel

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.quotes import Quotes
from flashwick.orderbook.orders import DELTA, ORDER, Kind, Side, messages

FIRST = 5
"""Number of the first maker's account."""

USD = np.array([60_000.0, 3.5, 0.02])
TICK = np.array([0.01, 0.0001, 0.000001])
LOT = np.array([0.00001, 0.01, 1.0])


def fleet(**changes: Any) -> dict[str, Any]:
    """Two makers in three books, of which the last is a perpetual."""
    levels = changes.pop("levels", 5)
    reach = np.arange(levels) / max(1, levels - 1)
    settings = {
        "first": FIRST,
        "maker": [0, 0, 0, 1, 1, 1],
        "column": [0, 1, 2, 0, 1, 2],
        "markets": [0, 1, 2],
        "distance": 5e-4 * 160.0**reach,
        "size_usd": 20_000.0 * 1.5 ** np.arange(levels),
        "scale": [1.0, 0.5, 0.2, 1.4, 0.7, 0.28],
        "limit_usd": 2e6,
        "skew": 0.001,
        "tick": TICK,
        "lot": LOT,
        "spot": [True, True, False],
    }
    return {**settings, **changes}


class Desk:
    """A fleet, compiled and readable, that quotes into real books."""

    def __init__(self, **changes: Any) -> None:
        self.settings = fleet(**changes)
        self.quotes = Quotes(**self.settings)
        self.model = QuotesModel(**self.settings)
        self.books = Books()
        for _ in TICK:
            self.books.add_market()
        self.pairs = len(self.settings["maker"])
        market = np.array(self.settings["markets"])[self.settings["column"]]
        self.held = 1e7 / USD[market]
        self.quotes.target[:] = self.held
        self.model.target[:] = self.held

    def orders(self) -> np.ndarray:
        """What rests of the fleet."""
        accounts = range(FIRST, FIRST + 1 + max(self.settings["maker"]))
        return np.concatenate([self.books.account_orders(a) for a in accounts])

    def step(self, usd: np.ndarray = USD, size: Any = 1.0, **given: Any) -> np.ndarray:
        """Quote once; both ways must send the same, and the books take it."""
        full = np.ones(self.pairs)
        bidding, live = given.get("bidding", full > 0), given.get("live", full > 0)
        seen = usd, usd, self.held, size * full, bidding, live
        makers = self.quotes.judge(*seen)
        assert makers.tolist() == self.model.judge(*seen).tolist()
        resting = self.orders()
        batch = self.quotes.requote(7, usd, resting)
        assert batch.tobytes() == self.model.requote(7, usd, resting).tobytes()
        results, fills = self.books.process(batch)
        assert (fills["maker"] != fills["taker"]).all()
        late = batch["order_id"][results["accepted"] == 0]
        assert np.isin(late, fills["maker_order"]).all()
        return batch

    def sell(self, market: int, lots: int) -> None:
        """Somebody else sells into the bids."""
        self.books.market(market, 99, Side.SELL, lots)


moves = st.floats(-0.3, 0.3) | st.sampled_from([0.0, 2e-4, -4e-4, 1e-3, 1e-2])
sizes = st.sampled_from([1.0, 0.9, 0.5, 0.1, 1e-4, 0.0])
steps = st.lists(
    st.tuples(
        st.tuples(moves, moves, moves),
        st.tuples(*[sizes] * 6),
        st.integers(0, 63),
        st.integers(0, 63),
        st.tuples(st.integers(0, 2), st.integers(0, 10**7)),
        st.floats(0.0, 2.0),
    ),
    min_size=1,
    max_size=6,
)


@given(steps, st.integers(1, 8), st.sampled_from([1.0, 10.0, 300.0]))
def test_compiled_quotes_are_those_of_the_readable_ones(
    found: list[Any], levels: int, coarser: float
) -> None:
    """Byte for byte, whatever moves, fills or goes; nobody trades with itself."""
    desk = Desk(levels=levels, tick=TICK * coarser)
    usd = USD.copy()
    for move, size, bidding, live, (market, lots), held in found:
        usd = usd * (1.0 + np.array(move))
        desk.held = desk.held * np.where(np.arange(6) % 3 == market, held, 1.0)
        bits = 1 << np.arange(6)
        given = {"bidding": (bidding & bits) > 0, "live": (live & bits) > 0}
        for account in (FIRST, FIRST + 1):
            if not given["live"][
                3 * (account - FIRST) : 3 * (account - FIRST) + 3
            ].all():
                desk.books.cancel_all(account)
        desk.step(usd, np.array(size), **given)
        if lots:
            desk.sell(market, lots)
    desk.books._check()


def test_first_quotes_are_whole_ladders() -> None:
    """New orders only: all levels of both sides of all books, best first."""
    desk = Desk()
    batch = desk.step()
    assert len(batch) == 6 * 2 * 5
    assert (batch["kind"] == Kind.LIMIT).all()
    for pair in range(6):
        asks, bids = batch[5 * pair :][:5], batch[30 + 5 * pair :][:5]
        assert (asks["side"] == Side.SELL).all()
        assert (bids["side"] == Side.BUY).all()
        assert (np.diff(asks["price"]) > 0).all()
        assert (np.diff(bids["price"]) < 0).all()
        assert bids["price"][0] < asks["price"][0]


def test_makers_that_move_together_do_not_trade_with_each_other() -> None:
    """After a fall beyond the ladder, all bids are away before the first ask comes."""
    desk = Desk(skew=0.0)
    desk.step()
    desk.step(USD * 0.8)
    desk.step(USD * 1.2)
    assert desk.books.trades == 0


def test_nothing_is_sent_while_nothing_changes() -> None:
    """Nor for moves of less than half the first distance."""
    desk = Desk()
    desk.step()
    assert len(desk.step()) == 0
    assert len(desk.step(USD * (1.0 + 2e-4))) == 0


def test_small_move_touches_the_inner_levels_only() -> None:
    """One message an order, asks first when the price rises, the rest stays."""
    desk = Desk()
    desk.step()
    before = desk.orders()
    batch = desk.step(USD * 1.0004)
    assert (batch["kind"] == Kind.REPLACE).all()
    assert len(batch) == 6 * 2
    assert batch["side"].tolist() == [Side.SELL] * 6 + [Side.BUY] * 6
    assert desk.step(USD)["side"].tolist() == [Side.BUY] * 6 + [Side.SELL] * 6
    stays = np.isin(before["id"], batch["order_id"], invert=True)
    assert stays.sum() == 6 * 2 * 4
    after = desk.orders()
    assert np.isin(before["id"], after["id"]).all()


def test_consumed_levels_are_sent_again() -> None:
    """As new orders, at their places, once the inventory has moved enough."""
    desk = Desk()
    desk.step()
    desk.sell(1, int(desk.books.depth(1, Side.BUY, 2)[1].sum()))
    desk.held[[1, 4]] += 25_000.0 / USD[1]
    batch = desk.step()
    assert set(batch["market"].tolist()) == {1}
    assert Kind.LIMIT in batch["kind"]
    assert len(desk.orders()) == 6 * 2 * 5


def test_smaller_quote_keeps_its_place_in_the_queue() -> None:
    """Its orders are replaced by less at their own prices."""
    desk = Desk()
    desk.step()
    before = desk.orders()
    desk.step(size=0.5)
    after = desk.orders()
    assert after["id"].tolist() == before["id"].tolist()
    assert after["price"].tolist() == before["price"].tolist()
    bids = before["side"] == Side.BUY
    assert after["qty"][bids] == pytest.approx(0.5 * before["qty"][bids], rel=1e-2)


def test_withdrawn_side_goes_with_one_message() -> None:
    """A cancel of all bids in the book; the asks stay as they are."""
    desk = Desk()
    desk.step()
    batch = desk.step(bidding=np.arange(6) != 1)
    assert batch["kind"].tolist() == [Kind.CANCEL_ALL]
    assert (batch["market"][0], batch["account"][0]) == (1, FIRST)
    assert batch["side"][0] == Side.BUY
    own = desk.orders()
    gone = own[(own["account"] == FIRST) & (own["market"] == 1)]
    assert (gone["side"] == Side.SELL).all()
    assert len(gone) == 5


def test_levels_of_one_tick_are_one_order() -> None:
    """Where the tick is coarser than the ladder, nothing is lost of its size."""
    desk = Desk(tick=TICK * 300)
    batch = desk.step()
    bids = batch[(batch["market"] == 2) & (batch["side"] == Side.BUY)]
    assert len(bids) < 2 * 5
    assert len(np.unique(bids["price"])) == len(bids) // 2
    own = bids[bids["account"] == FIRST]
    usd = (own["qty"] * LOT[2]).sum() * USD[2]
    assert usd == pytest.approx(0.2 * 20_000 * (1.5 ** np.arange(5)).sum(), rel=1e-3)


def test_spot_offers_nearly_all_that_is_held_and_no_more() -> None:
    """The perpetual has no such limit."""
    desk = Desk()
    desk.held = np.where(np.arange(6) % 3 == 0, 0.1, 0.0)
    desk.quotes.target[:] = desk.model.target[:] = desk.held
    desk.step()
    own = desk.orders()
    sells = own[(own["side"] == Side.SELL) & (own["account"] == FIRST)]
    offered = [(sells["qty"][sells["market"] == m] * LOT[m]).sum() for m in range(3)]
    assert offered[0] == pytest.approx(0.095, rel=1e-2)
    assert offered[1] == 0.0
    assert offered[2] * USD[2] > 20_000


def test_doubled_orders_heal() -> None:
    """An order too many, whoever sent it twice, goes when the pair is looked at."""
    desk = Desk()
    desk.step()
    twice = messages(1)
    bids = desk.orders()
    best = bids[(bids["market"] == 1) & (bids["side"] == Side.BUY)][0]
    twice["market"], twice["account"] = 1, FIRST
    twice["price"], twice["qty"] = best["price"], best["qty"]
    desk.books.process(twice)
    desk.step(USD * 1.0004)
    assert len(desk.orders()) == 6 * 2 * 5


def test_makers_that_send_nothing_are_not_asked_for() -> None:
    """`judge` names those with a pair to quote anew; dead ones never."""
    desk = Desk()
    live = np.arange(6) >= 3
    seen = USD, USD, desk.held, np.ones(6), np.ones(6, bool), live
    assert desk.quotes.judge(*seen).tolist() == [1]
    assert (desk.quotes.requote(0, USD, np.empty(0, ORDER))["account"] == 6).all()
    assert desk.quotes.judge(*seen).tolist() == []


def test_orders_of_another_kind_are_refused() -> None:
    """What is no ORDER cannot be read."""
    desk = Desk()
    with pytest.raises(TypeError, match=r"'orders' must be of dtype ORDER"):
        desk.quotes.requote(0, USD, np.empty(0, DELTA))
