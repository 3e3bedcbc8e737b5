"""An everyday order that meets an emptied book goes on with what emptied it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

import flashwick as fw
from flashwick.cython_ext import emptied
from flashwick.cython_ext.book import ORDER
from flashwick.engine.events import NO_CAUSE
from flashwick.orderbook.orders import FILL, Kind, Side, TimeInForce, messages

# -- BY HAND, AT AN EXCHANGE

BOOKS = ["ATOM/USDT", "ETH/USDT"]
LADDER = {Side.BUY: (100, 90, 50), Side.SELL: (110, 120, 200)}


class Desk:
    """Two books of three bids and three asks, ten lots each."""

    def __init__(self) -> None:
        self.exchange = ex = fw.Exchange(BOOKS)
        lots = {"USDT": 1_000_000, "ATOM": 1_000, "ETH": 1_000}
        self.maker, self.other, self.crowd = (ex.open_account(lots) for _ in range(3))
        for market in BOOKS:
            for side, prices in LADDER.items():
                for price in prices:
                    account = self.maker if price in (100, 110) else self.other
                    self.rest(market, side, price, account)

    def rest(self, market: str, side: Side, price: int, account: int) -> None:
        """An order of ten that waits."""
        word = side.name.lower()
        self.exchange.submit(fw.limit(account, market, word, price, 10))

    def take(
        self, side: Side, qty: float, cause: int = NO_CAUSE, market: int = 0
    ) -> int:
        """Take so much from the other side at once; the event of the last trade."""
        return self.take_all([(side, qty, cause, market)])

    def take_all(self, orders: list[tuple[Side, float, int, int]]) -> int:
        """The same, of several in one batch."""
        ex, batch = self.exchange, messages(len(orders))
        batch["account"], batch["kind"] = self.crowd, Kind.MARKET
        batch["tif"], batch["time"] = TimeInForce.IOC, ex.now
        for row, (side, qty, cause, market) in zip(batch, orders, strict=True):
            row["side"], row["cause"], row["market"] = side, cause, market
            row["qty"] = round(qty / ex.lot[market])
        ex.process(batch)
        return int(ex.log.fills()[0][-1])

    def shock(self) -> int:
        """A shock."""
        return self.exchange.log.add("shock", self.exchange.now, text="news")

    def kinds(self, event: int) -> list[str]:
        """Kinds of the events back to the root."""
        return [link.kind for link in self.exchange.log.chain(event)]


OWN = ["trade", "order"]
PASSED_ON = ["trade", "order", "trade", "order", "shock"]


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_order_that_meets_an_eaten_book_goes_on_with_what_ate_it(side: Side) -> None:
    """On either side; in the other book, which was left alone, it is its own root."""
    desk = Desk()
    eaten = desk.take(side, 10, desk.shock())
    event = desk.take(side, 5)
    chain = desk.exchange.log.chain(event)
    assert [link.kind for link in chain] == PASSED_ON
    assert chain[2].id == eaten
    assert desk.kinds(desk.take(side, 15, market=1)) == OWN


def test_order_that_goes_through_a_full_book_is_to_blame_itself() -> None:
    """In a calm market, and where less was taken before than it takes."""
    calm = Desk()
    assert calm.kinds(calm.take(Side.SELL, 25)) == OWN
    nearly = Desk()
    nearly.take(Side.SELL, 5, nearly.shock())
    assert nearly.kinds(nearly.take(Side.SELL, 15)) == OWN


def test_order_at_the_price_that_there_was_is_its_own_root() -> None:
    """What was taken before at the same price did not move it."""
    desk = Desk()
    desk.take(Side.SELL, 5, desk.shock())
    assert desk.kinds(desk.take(Side.SELL, 2)) == OWN
    assert desk.kinds(desk.take(Side.BUY, 2)) == OWN


def test_book_that_trades_above_what_was_taken_is_whole() -> None:
    """Who sells through it then did that himself; bids farther down make none whole."""
    for price, later in ((101, OWN), (99, PASSED_ON)):
        desk = Desk()
        desk.take(Side.SELL, 10, desk.shock())
        desk.rest("ATOM/USDT", Side.BUY, price, desk.maker)
        assert desk.kinds(desk.take(Side.SELL, 5)) == later
        assert desk.kinds(desk.take(Side.SELL, 5)) == later
        assert desk.kinds(desk.take(Side.SELL, 5)) == OWN


def test_own_decisions_empty_no_book() -> None:
    """Nor does an order that follows one: nothing goes back to a shock."""
    desk = Desk()
    first = desk.take(Side.SELL, 5)
    desk.take(Side.SELL, 5, first)
    assert desk.kinds(desk.take(Side.SELL, 5)) == OWN


def test_many_small_sales_empty_a_book_together() -> None:
    """The last is to blame, until as much has come as they took and is missed."""
    desk = Desk()
    shock = desk.shock()
    for _ in range(4):
        last = desk.take(Side.SELL, 2.5, shock)
    event = desk.take(Side.SELL, 10)
    assert desk.exchange.log.chain(event)[2].id == last
    assert desk.kinds(desk.take(Side.SELL, 9)) == OWN


def test_cause_in_the_same_batch_is_the_order() -> None:
    """Its trade has a later number than the order that came after it."""
    desk = Desk()
    sell = Side.SELL
    event = desk.take_all([(sell, 10, desk.shock(), 0), (sell, 5, NO_CAUSE, 0)])
    assert desk.kinds(event) == ["trade", "order", "order", "shock"]
    ids = [link.id for link in desk.exchange.log.chain(event)]
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize("cause", [-(10**15), -1, 10**15])
def test_cause_that_is_no_event_is_none(cause: int) -> None:
    """A message may name any number as its cause: it is as one that names none."""
    found = []
    for named in (cause, NO_CAUSE):
        desk = Desk()
        desk.take(Side.SELL, 20, desk.shock())
        desk.take(Side.SELL, 5, named)
        found.append(len(desk.exchange.log.met))
    assert found == [1, 1]


def test_batch_need_not_be_in_a_row_in_memory() -> None:
    """Every second row of an array is a batch as any other."""
    desk = Desk()
    batch = messages(4)
    batch["account"], batch["kind"] = desk.crowd, Kind.MARKET
    batch["tif"], batch["side"], batch["qty"] = TimeInForce.IOC, Side.SELL, 1
    desk.exchange.process(batch[::2])
    assert len(desk.exchange.log.fills()[0]) == 2


def test_withdrawal_empties_a_book() -> None:
    """As far as what was withdrawn would have been enough."""
    for qty, kinds in ((10, ["trade", "order", "withdrawal"]), (11, OWN)):
        desk = Desk()
        ex = desk.exchange
        event = ex.log.add("withdrawal", ex.now, account=desk.maker, market=0)
        ex.movers.withdraw(ex.books, desk.maker, 0, Side.BUY, event, NO_CAUSE, ex.now)
        own = messages(1)
        own["kind"], own["account"], own["side"] = Kind.CANCEL_ALL, desk.maker, Side.BUY
        own["cause"] = event
        ex.process(own)
        assert desk.kinds(desk.take(Side.SELL, qty)) == kinds
        assert desk.kinds(desk.take(Side.BUY, 15)) == OWN
        assert desk.kinds(desk.take(Side.SELL, 15, market=1)) == OWN


def test_withdrawal_where_nothing_stood_is_to_blame_for_nothing() -> None:
    """Prices can only fall through orders that were there."""
    desk = Desk()
    movers, ex = desk.exchange.movers, desk.exchange
    for account, there in ((desk.crowd, False), (desk.maker, True)):
        event = ex.log.add("withdrawal", ex.now, account=account)
        for market in (0, -1):
            movers.withdraw(
                ex.books, account, market, Side.BUY, event, NO_CAUSE, ex.now
            )
            bids = [event * there, event * (there and market < 0)]
            assert movers.followed().tolist() == [bids, [0, 0]]


# -- IN A RUN

RUN = """
name = "two-books"
duration = 60
[assets]
USDT = { price = 1 }
ATOM = { price = 4, volatility = 0.5 }
ETH = { price = 4_000, volatility = 0.5 }
[markets]
"ATOM/USDT" = { tick = "0.001", lot = "0.01" }
"ETH/USDT" = { tick = "0.01", lot = "0.0001" }
[market_makers.two]
count = 2
markets = ["ATOM/USDT", "ETH/USDT"]
equity_usd = 1e6
collateral = { USDT = 1.0 }
size_usd = 20_000
withdraw_volatility = 0.1
[stale_bids.old]
markets = ["ATOM/USDT", "ETH/USDT"]
usd = 200_000
[background.retail]
markets = ["ATOM/USDT", "ETH/USDT"]
usd = 1e6
size_usd = 50
rate = 2
[[shocks]]
at = 20
kind = "order"
market = "ATOM/USDT"
usd = 480_000
over = 1
slices = 1
note = "a sale"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fw.Run:
    """Two books, one of which is sold into until its makers leave."""
    path: Path = tmp_path_factory.mktemp("two") / "two-books.toml"
    path.write_text(RUN)
    return fw.load(path).run(seed=0)


def everyday(run: fw.Run, market: str) -> list[tuple[float, list[str]]]:
    """Times of the everyday sales of a book, and the kinds of their causes."""
    trades = run.trades(market).to_pylist()
    return [
        (trade["time"], [step.kind for step in run.why(event_id=trade["event"]).steps])
        for trade in trades
        if trade["taker"].startswith("everyday") and trade["side"] == "sell"
    ]


def test_everyday_sale_far_below_goes_back_to_the_shock(run: fw.Run) -> None:
    """Each a fifth below the price before, and more; and the trade's cause says so."""
    trades = run.trades("ATOM/USDT").to_pylist()
    deep = [
        trade
        for trade in trades
        if trade["taker"].startswith("everyday") and trade["price"] < 3.2
    ]
    assert len(deep) >= 3
    for trade in deep:
        why = run.why(event_id=trade["event"])
        assert why.steps[-1].text == "a sale"
        assert why.steps[2].event.id == trade["cause"]
        assert why.steps[0].note.endswith("its order met a book that had been emptied")
    messages_ = {row["event"]: row["cause"] for row in run.messages().to_pylist()}
    assert {messages_[trade["order"]] for trade in deep} == {NO_CAUSE}


def test_everyday_sale_in_a_calm_book_is_its_own_root(run: fw.Run) -> None:
    """In the other book all the time, and in this one before the shock."""
    calm = everyday(run, "ETH/USDT")
    before = [kinds for time, kinds in everyday(run, "ATOM/USDT") if time < 20.0]
    assert len(calm) > 20
    assert len(before) > 5
    assert {tuple(kinds) for _, kinds in calm} == {("trade", "order")}
    assert {tuple(kinds) for kinds in before} == {("trade", "order")}


# -- AS THE WORDS SAY IT


class Plain:
    """Both sides of two markets, one order after another."""

    def __init__(self) -> None:
        self.own: set[int] = set()
        self.sides: dict[tuple[int, int], dict[str, Any]] = {}
        self.found: list[tuple[int, int]] = []

    def side(self, market: int, side: int) -> dict[str, Any]:
        """What was taken from a side."""
        blank = {"event": 0, "order": 0, "price": 0, "lots": 0}
        return self.sides.setdefault((market, side), blank)

    def order(
        self,
        market: int,
        taker_side: int,
        cause: int,
        fills: list[tuple[int, int]],
        event: int,
        sent: int,
        last: int,
    ) -> None:
        """One order: its fills as price and lots."""
        sign = 1 if taker_side == Side.SELL else -1
        met = self.side(market, 1 - taker_side)
        (first_price, _), (price, _) = fills[0], fills[-1]
        lots = sum(filled for _, filled in fills)
        if sign * (met["price"] - price) < 0:
            met["event"] = met["lots"] = 0
        if cause and cause not in self.own:
            met.update(event=last, order=event, price=first_price)
            met["lots"] += lots
        elif (
            not cause
            and met["event"]
            and lots <= met["lots"]
            and sign * (met["price"] - price) > 0
        ):
            met["lots"] -= lots
            older = met["event"] if met["event"] < sent else met["order"]
            self.found.append((event, older))
        else:
            self.own |= set(range(last - len(fills) + 1, last + 1))


takes = st.tuples(
    st.integers(0, 1),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(0, 30),  # how long ago its cause was; 0 for none
    st.lists(
        st.tuples(st.integers(95, 105), st.integers(1, 5)),
        min_size=1,
        max_size=3,
    ),
)


@given(st.lists(st.lists(takes, min_size=1, max_size=4), min_size=1, max_size=8))
@settings(max_examples=300, phases=UNTRACED)
def test_batch_is_taken_as_its_orders_one_by_one(
    batches: list[list[tuple[int, Side, int, list[tuple[int, int]]]]],
) -> None:
    """Whatever came before."""
    sides = np.zeros((2, 2), emptied.SIDE)
    own, plain = np.zeros(200, np.uint8), Plain()
    found: list[tuple[int, int]] = []
    event, number = 40, 100
    for batch in batches:
        rows, sent = messages(len(batch)), event
        first = event = event + len(batch)
        hits = []
        for k, (market, side, ago, fills) in enumerate(batch):
            number += 1
            cause = max(sent - ago, 1) if ago else NO_CAUSE
            rows["cause"][k] = cause
            event += len(fills)
            plain.order(market, side, cause, fills, sent + k, sent, event - 1)
            hits += [(market, side, k, number, *fill) for fill in fills]
        taken = np.zeros(len(hits), FILL)
        names = "market", "taker_side", "message", "taker_order", "price", "qty"
        for name, column in zip(names, zip(*hits, strict=True), strict=True):
            taken[name] = column
        taken["cause"] = sent + taken["message"]
        orders, causes = emptied.take(sides, own, rows, sent, taken, first)
        found += zip(orders.tolist(), causes.tolist(), strict=True)
    assert found == plain.found
    assert all(cause < order for order, cause in found)


def test_withdrawn_bids_count_together() -> None:
    """The best price of those of one event, and the lots of all."""
    sides, bids = np.zeros((1, 2), emptied.SIDE), np.zeros(3, ORDER)
    bids["price"], bids["qty"], bids["side"] = (98, 99, 97), (5, 6, 7), Side.BUY
    emptied.withdraw(sides, bids, 7)
    emptied.withdraw(sides, bids[2:], 8)
    assert sides[0, Side.BUY].item() == (8, 8, 97, 25)
    assert sides[0, Side.SELL].item() == (0, 0, 0, 0)


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6))
@settings(max_examples=100, phases=UNTRACED)
def test_own_doing_is_what_goes_back_to_no_cause(batches: list[list[int]]) -> None:
    """As far as the links go; 0 is none, and what has none is somebody's own."""
    bits, own, first = np.zeros(8, np.uint8), {0}, 5
    for ages in batches:
        causes = [max(first + i - age, 0) if age else 0 for i, age in enumerate(ages)]
        for event, cause in enumerate(causes, first):
            own |= {event} if cause in own else set()
        expected = [event in own for event in range(first, first + len(ages))]
        found = emptied.follow(bits, np.array(causes, np.int64), first)
        assert found.tolist() == expected
        first += len(ages)
