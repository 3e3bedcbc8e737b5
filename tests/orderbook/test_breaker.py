"""The circuit breaker: what trips it, and what it stops, on either book."""

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
    trades,
)

from flashwick.orderbook.orders import (
    EventKind,
    Flag,
    Kind,
    Phase,
    Reason,
    Side,
    TimeInForce,
)
from flashwick.orderbook.reference import ReferenceBooks

TENTH = 100_000
SECOND = 1_000_000_000


@pytest.fixture
def deep(books: ReferenceBooks) -> ReferenceBooks:
    """Bids of ten lots at 99 to 80, asks at 101 to 120, ids 1 to 40; last price 100."""
    for tick in range(1, 21):
        books.limit(ATOM, BOB, BUY, 100 - tick, 10)
        books.limit(ATOM, BOB, SELL, 100 + tick, 10)
    books.set_last_price(ATOM, 100)
    return books


@pytest.mark.parametrize("phase", [HALTED, CALL])
@pytest.mark.parametrize(("side", "edge"), [(SELL, 90), (BUY, 110)])
def test_a_print_at_the_edge_is_the_last_one(
    deep: ReferenceBooks, phase: Phase, side: Side, edge: int
) -> None:
    """A tenth away trips: that order trades, the taker's rest is cancelled."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND, phase)
    result = send(deep, kind=Kind.MARKET, account=ALICE, side=side, qty=150)
    assert (result["filled"], result["cancelled"]) == (100, 50)
    assert result["reason"] == Reason.CIRCUIT_BREAKER
    assert (deep.last_price(ATOM), deep.phase(ATOM)) == (edge, phase)
    assert (deep.phase(BTC), events(deep)) == (OPEN, [])
    refused = deep.market(ATOM, ALICE, side, 1)
    assert refused == -(Reason.MARKET_HALTED if phase == HALTED else Reason.CALL_PHASE)


def test_one_order_of_the_level_that_trips_trades(deep: ReferenceBooks) -> None:
    """And the first only: the next of the same price is left alone."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.limit(ATOM, CAROL, BUY, 90, 5)
    result = send(
        deep, kind=Kind.LIMIT, account=ALICE, side=SELL, price=85, qty=200, cause=3
    )
    assert (result["filled"], result["open"]) == (100, 0)
    assert queue(deep, BUY)[0] == [41, 5]


def test_an_order_that_is_filled_by_the_last_print_has_no_reason(
    deep: ReferenceBooks,
) -> None:
    """Nothing of it is cancelled; the market is halted all the same."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    result = send(deep, kind=Kind.MARKET, account=ALICE, side=SELL, qty=95)
    assert (result["filled"], result["reason"]) == (95, Reason.OK)
    assert deep.phase(ATOM) == HALTED


def test_a_slice_of_an_iceberg_may_be_the_last_print(deep: ReferenceBooks) -> None:
    """What it hides is not traded at a price that trips."""
    deep.set_circuit_breaker(ATOM, 10_000, SECOND)
    deep.limit(ATOM, CAROL, BUY, 99, 9, display=2)
    deep.cancel(ATOM, BOB, 1)
    result = send(deep, kind=Kind.MARKET, account=ALICE, side=SELL, qty=5)
    assert (result["filled"], result["cancelled"]) == (2, 3)


def test_windows_follow_one_another_by_the_time_of_messages(
    deep: ReferenceBooks,
) -> None:
    """The reference is the last price before the first order of a window."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)

    def sells(qty: int, time: int) -> int:
        deep.market(ATOM, ALICE, SELL, qty, time=time)
        return deep.phase(ATOM)

    # 99 to 95 in the first window, and to 91: still above 90.
    assert sells(50, 5) == OPEN
    assert sells(40, SECOND - 1) == OPEN
    # A new window begins at 91: its edge is 81.9, and 82 does not trip.
    assert sells(90, SECOND) == OPEN
    assert deep.last_price(ATOM) == 82
    # Back in the first window it is a new one again, from 82.
    assert sells(20, SECOND - 1) == OPEN
    assert deep.last_price(ATOM) == 80


@pytest.mark.parametrize(("reference", "prints"), [(0, 3), (106, 2), (1000, 1)])
def test_without_a_last_price_the_reference_or_the_first_print_is_the_one(
    books: ReferenceBooks, reference: int, prints: int
) -> None:
    """Of bids at 100, 95, 89 and 10 the third, second or first is the last print.

    Fill-or-kill counts as far as that.
    """
    books.set_reference(ATOM, reference)
    books.set_circuit_breaker(ATOM, TENTH, SECOND)
    for price in 100, 95, 89, 10:
        books.limit(ATOM, BOB, BUY, price, 1)
    order = {"kind": Kind.LIMIT, "account": ALICE, "side": SELL, "price": 1}
    result = send(books, **order, qty=prints + 1, tif=TimeInForce.FOK)
    assert result["reason"] == Reason.FOK_UNFILLABLE
    assert books.phase(ATOM) == OPEN
    result = send(books, **order, qty=4)
    assert (result["filled"], result["reason"]) == (prints, Reason.CIRCUIT_BREAKER)


def test_the_first_print_of_a_window_without_a_price_bounds_the_next_orders(
    books: ReferenceBooks,
) -> None:
    """It is the reference until the window ends."""
    books.set_circuit_breaker(ATOM, TENTH, SECOND)
    for price in 100, 99, 90:
        books.limit(ATOM, BOB, BUY, price, 1)
    for phase in OPEN, OPEN, HALTED:
        books.market(ATOM, ALICE, SELL, 1)
        assert books.phase(ATOM) == phase


def test_fill_or_kill_knows_where_it_would_be_stopped(deep: ReferenceBooks) -> None:
    """Lots behind the last print do not count, nor others at its price."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.limit(ATOM, CAROL, BUY, 90, 5)
    order = {"account": ALICE, "side": SELL, "price": 80, "tif": TimeInForce.FOK}
    result = send(deep, kind=Kind.LIMIT, qty=101, **order)
    assert result["reason"] == Reason.FOK_UNFILLABLE
    assert deep.phase(ATOM) == OPEN
    result = send(deep, kind=Kind.LIMIT, qty=100, **order)
    assert (result["filled"], result["reason"]) == (100, Reason.OK)
    assert deep.phase(ATOM) == HALTED


def test_fill_or_kill_counts_no_hidden_lots_where_it_would_be_stopped(
    deep: ReferenceBooks,
) -> None:
    """One slice of an iceberg is the last print; before that all its lots count."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.limit(ATOM, CAROL, BUY, 99, 9, display=2)
    deep.cancel(ATOM, BOB, 19)
    deep.limit(ATOM, CAROL, BUY, 90, 9, display=2)
    order = {"account": ALICE, "side": SELL, "price": 80, "tif": TimeInForce.FOK}
    # Nine orders of ten lots, nine lots, and two of the last.
    result = send(deep, kind=Kind.LIMIT, qty=102, **order)
    assert result["reason"] == Reason.FOK_UNFILLABLE
    result = send(deep, kind=Kind.LIMIT, qty=101, **order)
    assert (result["filled"], deep.last_price(ATOM)) == (101, 90)


def test_a_replace_may_trip_it(deep: ReferenceBooks) -> None:
    """A moved order is a taker; its rest is cancelled like any."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.limit(ATOM, ALICE, SELL, 150, 120)
    result = send(
        deep, kind=Kind.REPLACE, account=ALICE, order_id=41, price=85, qty=120
    )
    assert (result["filled"], result["open"]) == (100, 0)
    assert result["reason"] == Reason.CIRCUIT_BREAKER
    assert deep.order(41) is None


def test_a_cascade_of_stops_ends_where_it_trips(deep: ReferenceBooks) -> None:
    """Stops that were touched wait for the reopening, and fire even if it is higher."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND, CALL)
    for trigger in 98, 91, 90, 89:
        deep.market(ATOM, ALICE, SELL, 90, trigger=trigger)
    deep.market(ATOM, CAROL, SELL, 20)
    assert events(deep) == [
        (EventKind.TRIGGERED, 41, 90, Reason.OK),
        (EventKind.CANCELLED, 41, 10, Reason.CIRCUIT_BREAKER),
    ]
    assert (deep.phase(ATOM), deep.last_price(ATOM)) == (CALL, 90)
    assert deep.dormant(ATOM)["id"].tolist() == [42, 43, 44]
    deep._check()
    deep.limit(ATOM, CAROL, BUY, 100, 95)
    deep.limit(ATOM, CAROL, SELL, 100, 5)
    deep.take_fills()
    deep.set_phase(ATOM, OPEN)
    fills = trades(deep)
    # The auction at 100; then the stops, though the price is above their triggers,
    # until the second of them trips the breaker again.
    assert fills == [(46, 47, 100, 5), (46, 42, 100, 90), (21, 43, 89, 10)]
    assert deep.phase(ATOM) == CALL
    assert deep.dormant(ATOM)["id"].tolist() == [44]


def test_after_a_reopening_it_measures_from_there(deep: ReferenceBooks) -> None:
    """Not from the price that the window began with, though it is not over."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.market(ATOM, ALICE, SELL, 100)
    assert (deep.phase(ATOM), deep.last_price(ATOM)) == (HALTED, 90)
    deep.set_phase(ATOM, OPEN)
    # 10 % below 90 is 81: prints at 89 to 82 are inside.
    deep.market(ATOM, ALICE, SELL, 80)
    assert (deep.phase(ATOM), deep.last_price(ATOM)) == (OPEN, 82)
    deep.market(ATOM, ALICE, SELL, 10)
    assert (deep.phase(ATOM), deep.last_price(ATOM)) == (HALTED, 81)


def test_an_auction_does_not_trip_it(deep: ReferenceBooks) -> None:
    """However far away its price is."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.market(ATOM, ALICE, SELL, 1)
    deep.set_phase(ATOM, CALL)
    deep.limit(ATOM, ALICE, SELL, 50, 300)
    deep.set_phase(ATOM, OPEN)
    assert deep.phase(ATOM) == OPEN
    assert deep.last_price(ATOM) == 80


def test_it_can_be_removed(deep: ReferenceBooks) -> None:
    """Nothing trips then; the phase that it left behind stays."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.set_circuit_breaker(ATOM, 0)
    deep.market(ATOM, ALICE, SELL, 150)
    assert (deep.phase(ATOM), deep.last_price(ATOM)) == (OPEN, 85)
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    deep.market(ATOM, ALICE, BUY, 10)
    assert deep.phase(ATOM) == HALTED
    deep.set_circuit_breaker(ATOM, 0)
    assert deep.phase(ATOM) == HALTED


def test_liquidations_are_stopped_too(deep: ReferenceBooks) -> None:
    """No flag gets past it."""
    deep.set_circuit_breaker(ATOM, TENTH, SECOND)
    order = {"kind": Kind.MARKET, "account": ALICE, "side": SELL, "qty": 150}
    result = send(deep, **order, flags=Flag.LIQUIDATION)
    assert result["reason"] == Reason.CIRCUIT_BREAKER


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, SECOND), "'ppm' must be from 0 to 1,000,000"),
        ((1_000_001, SECOND), "'ppm' must be from 0 to 1,000,000"),
        ((TENTH, 0), "'window_ns' must be >= 1"),
        ((TENTH, SECOND, OPEN), "'phase' must be HALTED .1. or CALL .2."),
        ((TENTH, SECOND, 3), "'phase' must be HALTED .1. or CALL .2."),
    ],
)
def test_a_breaker_that_makes_no_sense_is_an_error(
    books: ReferenceBooks, arguments: tuple[int, ...], words: str
) -> None:
    """The error says what was right."""
    with pytest.raises(ValueError, match=words):
        books.set_circuit_breaker(ATOM, *arguments)
    with pytest.raises(IndexError, match="'market' must be from 0 to 1"):
        books.set_circuit_breaker(2, TENTH, SECOND)
