"""Halts, calls and the one price of a reopening, on either book."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from book_state import (
    ALICE,
    ATOM,
    BOB,
    BTC,
    BUY,
    CALL,
    CAROL,
    HALTED,
    OPEN,
    SELL,
    events,
    queue,
    send,
    state,
    trades,
)
from hypothesis import given
from hypothesis import strategies as st

from flashwick.cython_ext.book import Books
from flashwick.orderbook.auction import clearing
from flashwick.orderbook.orders import (
    EventKind,
    Flag,
    Kind,
    Reason,
    SelfTrade,
    TimeInForce,
)
from flashwick.orderbook.reference import ReferenceBooks

Levels = list[tuple[int, int]]


@pytest.fixture
def call(books: ReferenceBooks) -> ReferenceBooks:
    """A market that collects orders."""
    books.set_phase(ATOM, CALL)
    return books


def collect(books: ReferenceBooks, bids: Levels, asks: Levels) -> None:
    """An order of Bob for each bid and of Alice for each ask."""
    for price, qty in bids:
        books.limit(ATOM, BOB, BUY, price, qty)
    for price, qty in asks:
        books.limit(ATOM, ALICE, SELL, price, qty)
    books._check()


# -- PHASES


def test_in_a_call_limit_orders_rest_and_nothing_trades(call: ReferenceBooks) -> None:
    """The book may cross; queues and depth look like any."""
    collect(call, [(105, 5), (104, 4)], [(95, 5), (105, 6)])
    assert call.phase(ATOM) == CALL
    assert call.best(ATOM) == (105, 95)
    assert (call.trades, call.live_orders) == (0, 4)
    assert queue(call, SELL) == [[3, 5], [4, 6]]
    result = send(call, price=101, qty=3)
    assert (result["filled"], result["open"]) == (0, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": Kind.MARKET},
        {"kind": Kind.MARKET, "price": 99},
        {"tif": TimeInForce.IOC},
        {"tif": TimeInForce.FOK},
    ],
)
def test_a_call_refuses_what_cannot_wait(
    call: ReferenceBooks, changes: dict[str, int]
) -> None:
    """Market, IOC and FOK orders; other markets take them."""
    before = state(call)
    result = send(call, **{"price": 100, "qty": 5} | changes)
    assert (result["accepted"], result["reason"]) == (0, Reason.CALL_PHASE)
    assert state(call) == before
    result = send(call, **{"price": 100, "qty": 5, "market": BTC} | changes)
    assert result["accepted"] == 1


def test_in_a_call_cancels_and_replaces_pass(call: ReferenceBooks) -> None:
    """A replace that crosses rests as well."""
    collect(call, [(99, 5), (98, 4)], [(101, 5)])
    assert call.replace(ATOM, BOB, 1, 102, 9) == 1
    assert queue(call, BUY) == [[1, 9], [2, 4]]
    assert call.cancel(ATOM, BOB, 2) == 4
    assert call.cancel_all(ALICE) == 1
    assert call.trades == 0
    call._check()


def test_post_only_is_judged_in_a_call_too(call: ReferenceBooks) -> None:
    """It may not cross the opposite best, or slides behind it."""
    collect(call, [], [(101, 5)])
    refused = call.limit(ATOM, BOB, BUY, 101, 1, flags=Flag.POST_ONLY)
    assert refused == -Reason.POST_ONLY_WOULD_CROSS
    assert call.limit(ATOM, BOB, BUY, 105, 1, flags=Flag.POST_ONLY | Flag.SLIDE) == 2
    assert call.best(ATOM) == (100, 101)


def test_a_halted_market_that_was_called_stays_as_it_is(call: ReferenceBooks) -> None:
    """Crossed while it is halted, uncrossed when it opens."""
    collect(call, [(105, 5)], [(95, 5)])
    call.set_phase(ATOM, HALTED)
    call._check()
    assert call.best(ATOM) == (105, 95)
    assert call.limit(ATOM, BOB, BUY, 90, 1) == -Reason.MARKET_HALTED
    assert call.replace(ATOM, BOB, 1, 90, 1) == -Reason.MARKET_HALTED
    call.set_phase(ATOM, OPEN)
    assert trades(call) == [(1, 2, 95, 5)]
    assert call.phase(ATOM) == OPEN
    call._check()


def test_opening_a_market_that_is_open_changes_nothing(books: ReferenceBooks) -> None:
    """Nor does an auction where nothing crosses."""
    collect(books, [(99, 5)], [(101, 5)])
    before = state(books)
    books.set_phase(ATOM, OPEN)
    assert books.uncross(ATOM) == (0, 0)
    assert books.indicative(ATOM) == (0, 0, 0)
    assert state(books) == before


@pytest.mark.parametrize("phase", [-1, 3, 7])
def test_a_phase_that_does_not_exist_is_an_error(
    books: ReferenceBooks, phase: int
) -> None:
    """The error says what there is."""
    with pytest.raises(ValueError, match="'phase' must be a Phase from 0 to 2"):
        books.set_phase(ATOM, phase)
    with pytest.raises(IndexError, match="'market' must be from 0 to 1"):
        books.set_phase(2, OPEN)


# -- THE PRICE


@pytest.mark.parametrize(
    ("bids", "asks", "reference", "expected"),
    [
        # Most lots: at 101 five buy and eight sell, elsewhere fewer trade.
        ([(103, 3), (101, 2)], [(99, 4), (101, 4)], 0, (101, 5, -3)),
        # Four lots trade at any of these prices, the fewest are left at the lower.
        ([(102, 4)], [(100, 4), (101, 3)], 0, (100, 4, 0)),
        ([(104, 9), (101, 3)], [(100, 9), (103, 1)], 0, (102, 9, 0)),
        # Nearest to the reference of those that are as good.
        ([(110, 5)], [(90, 5)], 97, (97, 5, 0)),
        ([(110, 5)], [(90, 5)], 120, (110, 5, 0)),
        ([(110, 5)], [(90, 5)], 80, (90, 5, 0)),
        # Without a reference the lowest.
        ([(110, 5)], [(90, 5)], 0, (90, 5, 0)),
        # One lot too many to buy up to 100, one too many to sell from 101.
        ([(110, 5), (100, 1)], [(90, 5), (101, 1)], 95, (95, 5, 1)),
        ([(110, 5), (100, 1)], [(90, 5), (101, 1)], 105, (105, 5, -1)),
        # Nothing crosses, or a side is empty.
        ([(99, 5)], [(100, 5)], 99, (0, 0, 0)),
        ([], [(100, 5)], 99, (0, 0, 0)),
    ],
)
def test_the_price_lets_most_trade_then_leaves_least_then_is_near_the_reference(
    call: ReferenceBooks,
    bids: Levels,
    asks: Levels,
    reference: int,
    expected: tuple[int, int, int],
) -> None:
    """In this order; the imbalance is positive where bids are left."""
    collect(call, bids, asks)
    call.set_reference(ATOM, reference)
    assert call.indicative(ATOM) == expected
    if reference:
        # The last price stands in for a reference that is not set.
        call.set_reference(ATOM, 0)
        call.set_last_price(ATOM, reference)
        assert call.indicative(ATOM) == expected
    before = state(call)
    assert call.indicative(ATOM) == expected
    assert state(call) == before
    assert call.uncross(ATOM) == expected[:2]
    assert call.traded_qty == expected[1]
    call._check()


levels = st.dictionaries(st.integers(1, 12), st.integers(1, 5), max_size=5)


@given(bids=levels, asks=levels, reference=st.integers(0, 13))
def test_the_price_is_the_best_of_all_prices(
    bids: dict[int, int], asks: dict[int, int], reference: int
) -> None:
    """Tried one by one, with the rule written down as a sort key."""
    found = []
    for price in range(1, 14):
        bought = sum(lots for bid, lots in bids.items() if bid >= price)
        sold = sum(lots for ask, lots in asks.items() if ask <= price)
        left = bought - sold
        away = abs(price - reference) if reference else 0
        if min(bought, sold):
            key = (-min(bought, sold), abs(left), away, price)
            found.append((key, (price, min(bought, sold), left)))
    expected = min(found)[1] if found else (0, 0, 0)
    sides = sorted(bids.items(), reverse=True), sorted(asks.items())
    assert clearing(*sides, reference) == expected
    for make in ReferenceBooks, Books:
        books = make()
        books.add_market()
        books.set_phase(0, CALL)
        collect(books, *sides)
        books.set_reference(0, reference)
        assert books.indicative(0) == expected


# -- THE TRADES


def test_both_sides_trade_by_price_then_time_at_one_price(call: ReferenceBooks) -> None:
    """The older order of a pair is the maker; prints are marked as an auction's."""
    collect(call, [(101, 4), (103, 4)], [(100, 3), (100, 9)])
    collect(call, [(103, 2)], [])
    call.set_phase(ATOM, OPEN, time=50)
    fills = call.take_fills()
    names = ["maker_order", "taker_order", "qty", "taker_side"]
    assert fills[names].tolist() == [
        (2, 3, 3, SELL),
        (2, 4, 1, SELL),
        (4, 5, 2, BUY),
        (1, 4, 4, SELL),
    ]
    assert set(fills["price"].tolist()) == {100}
    assert set(fills["flags"].tolist()) == {Flag.AUCTION}
    assert fills[["time", "cause", "message"]].tolist() == [(50, 0, -1)] * 4
    assert fills["maker"].tolist() == [BOB, BOB, ALICE, BOB]
    assert queue(call, SELL) == [[4, 2]]
    assert call.last_price(ATOM) == 100
    assert events(call) == []
    call._check()


def test_an_auction_counts_in_the_totals(call: ReferenceBooks) -> None:
    """Trades, lots, notional, and the hash of the documented formula."""
    collect(call, [(101, 4)], [(100, 3)])
    call.uncross(ATOM)
    assert (call.trades, call.traded_qty, call.notional) == (1, 3, 300)
    x = 1 + 2 * 2654435761 + 100 * 40503 + 3 * 69621
    h = ((0xCBF29CE484222325 ^ x) * 0x100000001B3) % 2**64
    assert call.trade_hash == h
    assert call.phase(ATOM) == CALL


def test_icebergs_take_part_with_all_their_lots(call: ReferenceBooks) -> None:
    """In one print; what is left shows a slice, behind its level if one was used up."""
    call.limit(ATOM, ALICE, SELL, 100, 10, display=2)
    call.limit(ATOM, CAROL, SELL, 100, 5, display=2)
    call.limit(ATOM, BOB, BUY, 100, 11)
    assert call.indicative(ATOM) == (100, 11, -4)
    call.uncross(ATOM)
    assert trades(call) == [(1, 3, 100, 10), (2, 3, 100, 1)]
    assert call.orders(ATOM, SELL)[["qty", "hidden"]].tolist() == [(1, 3)]
    call._check()


def test_an_auction_does_not_prevent_self_trades(call: ReferenceBooks) -> None:
    """Nobody takes, so there is no order to cancel as the newest."""
    call.set_self_trade(ALICE, SelfTrade.CANCEL_BOTH)
    call.limit(ATOM, ALICE, BUY, 100, 5)
    call.limit(ATOM, ALICE, SELL, 100, 5)
    call.set_phase(ATOM, OPEN)
    assert trades(call) == [(1, 2, 100, 5)]


def test_no_band_bounds_an_auction(call: ReferenceBooks) -> None:
    """A reopening is there to find the price again."""
    call.set_last_price(ATOM, 1000)
    call.set_price_band(ATOM, 10_000)
    collect(call, [(100, 5)], [(90, 5)])
    call.set_phase(ATOM, OPEN)
    assert trades(call) == [(1, 2, 100, 5)]


def test_the_flags_of_both_orders_are_on_the_print(call: ReferenceBooks) -> None:
    """The younger one's beside the mark of the auction."""
    call.limit(ATOM, ALICE, SELL, 100, 5, flags=Flag.LIQUIDATION)
    call.limit(ATOM, BOB, BUY, 100, 5, flags=Flag.POST_ONLY | Flag.SLIDE)
    call.limit(ATOM, BOB, BUY, 100, 5)
    call.replace(ATOM, BOB, 2, 98, 5)
    call.uncross(ATOM)
    fills = call.take_fills()
    assert fills["flags"].tolist() == [Flag.AUCTION]
    assert fills["maker_flags"].tolist() == [Flag.LIQUIDATION]


class Long:
    """A keeper of accounts who only knows positions."""

    def __init__(self) -> None:
        self.lots = {ALICE: 6}

    def check(self, message: object) -> int:
        """Nothing is refused."""
        return Reason.OK

    def position(self, market: int, account: int, side: int = 0) -> int:
        """What the account has."""
        return self.lots.get(account, 0)

    def rest(self, *args: int) -> None:
        """Nothing to remember."""

    def fill(self, fill: dict[str, int]) -> None:
        """Sellers lose lots."""
        seller = fill["taker"] if fill["taker_side"] == SELL else fill["maker"]
        self.lots[seller] = self.lots.get(seller, 0) - fill["qty"]


def test_a_reopening_clips_reduce_only_orders_and_leaves_nothing_crossed() -> None:
    """Two orders share one position: the second goes, and a second auction is held."""
    books = ReferenceBooks(Long())
    books.add_market()
    books.set_phase(0, CALL)
    for _ in range(2):
        books.limit(0, ALICE, SELL, 100, 6, flags=Flag.REDUCE_ONLY)
    books.limit(0, BOB, BUY, 110, 12)
    books.limit(0, CAROL, SELL, 104, 3)
    # In full the reduce-only orders would be enough for all bids at 100 to 103.
    assert books.indicative(0) == (100, 12, 0)
    books.set_phase(0, OPEN)
    assert trades(books) == [(1, 3, 100, 6), (3, 4, 104, 3)]
    assert events(books) == [(EventKind.CANCELLED, 2, 6, Reason.REDUCE_ONLY)]
    assert queue(books, BUY) == [[3, 3]]
    books._check()


@pytest.mark.parametrize("seed", range(20))
def test_after_a_reopening_nothing_crosses(
    make_books: Callable[..., ReferenceBooks], seed: int
) -> None:
    """Any crossed book trades all that can trade at one price, and then is open."""
    rng = np.random.default_rng(seed)
    books = make_books()
    books.set_phase(0, CALL)
    for account, _ in product(range(6), range(10)):
        side = int(rng.integers(0, 2))
        books.limit(
            0,
            account,
            side,
            int(rng.integers(90, 111)),
            int(rng.integers(1, 30)),
            display=int(rng.integers(0, 5)),
        )
    price, lots, imbalance = books.indicative(0)
    books.set_phase(0, OPEN)
    books._check()
    fills = books.take_fills()
    assert set(fills["price"].tolist()) == {price}
    assert fills["qty"].sum() == lots > 0
    # What was left over at the price is still there, on one side only.
    left = books.volume_within(BUY if imbalance > 0 else SELL, [price])[0, 0]
    assert (left > 0) == (imbalance != 0)
