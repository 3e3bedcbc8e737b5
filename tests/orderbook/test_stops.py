"""Stops and take-profits: what sets them off, in which order, on either book."""

import pytest
from book_state import (
    ALICE,
    ATOM,
    BOB,
    BTC,
    BUY,
    CAROL,
    SELL,
    events,
    prints,
    queue,
    send,
    trades,
    waiting,
)

from flashwick.orderbook.orders import (
    PRICE_MAX,
    EventKind,
    Flag,
    Kind,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks

TAKE_PROFIT, MARK, INDEX = Flag.TAKE_PROFIT, Flag.TRIGGER_MARK, Flag.TRIGGER_INDEX
TRIGGERED, REFUSED, CANCELLED = EventKind


# -- WHAT SETS THEM OFF


@pytest.mark.parametrize(
    ("side", "flags", "trigger", "before", "at"),
    [
        (SELL, 0, 98, 99, 98),
        (BUY, 0, 102, 101, 102),
        (SELL, TAKE_PROFIT, 102, 101, 102),
        (BUY, TAKE_PROFIT, 98, 99, 98),
    ],
)
def test_a_price_that_touches_the_trigger_lets_the_order_in(
    books: ReferenceBooks, side: Side, flags: Flag, trigger: int, before: int, at: int
) -> None:
    """A stop goes with the move, a take-profit against it; a tick short is no touch."""
    books.set_last_price(ATOM, 100)
    result = send(
        books,
        kind=Kind.LIMIT,
        account=ALICE,
        side=side,
        price=50 if side == BUY else 150,
        qty=7,
        flags=flags,
        trigger=trigger,
        cause=5,
    )
    assert result == {
        "order_id": 1,
        "filled": 0,
        "open": 7,
        "cancelled": 0,
        "accepted": 1,
        "reason": Reason.OK,
    }
    assert (books.live_orders, books.dormant_orders) == (0, 1)
    prints(books, before)
    assert books.dormant_orders == 1
    prints(books, at)
    assert books.dormant_orders == 0
    assert queue(books, side) == [[1, 7]]
    assert events(books) == [(TRIGGERED, 1, 7, Reason.OK)]


def test_without_a_price_they_wait(books: ReferenceBooks) -> None:
    """An order that any price would trigger needs one."""
    books.limit(ATOM, ALICE, SELL, 150, 1, trigger=PRICE_MAX)
    books.limit(ATOM, ALICE, BUY, 50, 1, trigger=1, flags=MARK)
    assert waiting(books) == [1, 2]
    books.set_last_price(ATOM, 1)
    assert waiting(books) == [2]
    books.set_trigger_price(ATOM, MARK, PRICE_MAX)
    assert waiting(books) == []
    books._check()


def test_met_on_arrival_it_enters_at_once(deep: ReferenceBooks) -> None:
    """As an order without a trigger: its answer has the fills, no event tells of it."""
    result = send(
        deep, kind=Kind.MARKET, account=ALICE, side=SELL, qty=15, trigger=100, cause=7
    )
    assert (result["filled"], result["open"]) == (15, 0)
    deep.market(ATOM, ALICE, SELL, 1, trigger=98)
    assert deep.last_price(ATOM) == 98
    deep.market(ATOM, ALICE, BUY, 1, trigger=98)
    assert len(trades(deep)) == 2
    assert events(deep) == []


def test_all_prints_of_a_message_count(deep: ReferenceBooks) -> None:
    """A sweep down to 96 touches the stop at 97, though the first print was at 99."""
    deep.market(ATOM, ALICE, SELL, 1, trigger=97)
    deep.market(ATOM, ALICE, BUY, 1, trigger=99, flags=TAKE_PROFIT)
    deep.market(ATOM, CAROL, SELL, 40)
    # Both enter after the message is complete, and both because of what it printed.
    assert trades(deep)[-2:] == [(2, 22, 101, 1), (9, 21, 95, 1)]


@pytest.mark.parametrize(("flag", "other"), [(MARK, INDEX), (INDEX, MARK)])
def test_a_trigger_watches_the_price_its_flag_names(
    deep: ReferenceBooks, flag: Flag, other: Flag
) -> None:
    """Neither trades nor the other price set it off; the fills wait to be taken."""
    deep.market(ATOM, ALICE, SELL, 3, trigger=98, flags=flag, cause=9)
    deep.market(ATOM, CAROL, SELL, 35)
    deep.take_fills()
    deep.set_trigger_price(ATOM, other, 50)
    deep.set_trigger_price(BTC, flag, 50)
    deep.set_trigger_price(ATOM, flag, 99)
    assert waiting(deep) == [21]
    deep.set_trigger_price(ATOM, flag, 98, time=77)
    assert waiting(deep) == []
    fills = deep.take_fills()
    assert fills[["time", "cause", "message", "qty", "taker_order"]].tolist() == [
        (77, 9, -1, 3, 21)
    ]
    assert deep.take_events()[["time", "cause", "message"]].tolist() == [(77, 9, -1)]


def test_a_new_last_price_counts_like_a_print(deep: ReferenceBooks) -> None:
    """Set by hand it triggers what it touches."""
    deep.market(ATOM, ALICE, SELL, 1, trigger=98)
    deep.set_last_price(ATOM, 98)
    assert trades(deep) == [(1, 21, 99, 1)]


# -- IN WHICH ORDER


def test_a_fall_sets_off_the_highest_trigger_first_then_the_oldest(
    deep: ReferenceBooks,
) -> None:
    """However they arrived."""
    for trigger in 96, 98, 97, 98:
        deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=trigger)
    assert waiting(deep) == [22, 24, 23, 21]
    deep.market(ATOM, CAROL, SELL, 41)
    assert [order_id for _, order_id, _, _ in events(deep)] == [22, 24, 23, 21]


def test_a_rise_sets_off_the_lowest_trigger_first_then_the_oldest(
    deep: ReferenceBooks,
) -> None:
    """The mirror image."""
    for trigger in 104, 102, 103, 102:
        deep.limit(ATOM, ALICE, BUY, 50, 1, trigger=trigger)
    assert waiting(deep) == [22, 24, 23, 21]
    deep.market(ATOM, CAROL, BUY, 41)
    assert [order_id for _, order_id, _, _ in events(deep)] == [22, 24, 23, 21]


def test_those_for_a_fall_come_before_those_for_a_rise(deep: ReferenceBooks) -> None:
    """One sweep printed at 99, above the last price, and at 39, below it."""
    deep.set_last_price(ATOM, 50)
    rise = deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=99, flags=TAKE_PROFIT)
    fall = deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=40)
    assert waiting(deep) == [fall, rise]
    deep.limit(ATOM, CAROL, BUY, 39, 100)
    deep.market(ATOM, CAROL, SELL, 101)
    assert [order_id for _, order_id, _, _ in events(deep)] == [fall, rise]


def test_a_triggered_order_sets_off_others(deep: ReferenceBooks) -> None:
    """A cascade: each print of a stop reaches the next one, and that one goes ahead."""
    for trigger in 98, 97, 96, 95:
        deep.market(ATOM, ALICE, SELL, 10, trigger=trigger)
    deep.limit(ATOM, CAROL, SELL, 100, 1, trigger=98)
    batch = messages(2)
    batch["kind"], batch["side"], batch["account"] = Kind.MARKET, SELL, CAROL
    batch["qty"], batch["time"], batch["cause"] = [10, 10], [8, 9], [6, 7]
    results, fills = deep.process(batch)
    # The message prints at 99 and 98, the stop of 98 sells down to 97, and so on.
    assert results["filled"].tolist() == [10, 10]
    assert fills["taker_order"].tolist() == [26, 27, 21, 22, 23, 24]
    assert fills["price"].tolist() == [99, 98, 97, 96, 95, 94]
    assert fills["message"].tolist() == [0, 1, 1, 1, 1, 1]
    assert fills["time"].tolist() == [8, 9, 9, 9, 9, 9]
    assert fills["cause"].tolist() == [6, 7, 0, 0, 0, 0]
    # The last in the queue of 98 had to wait for those that were touched higher.
    assert [order_id for _, order_id, _, _ in events(deep)] == [21, 25, 22, 23, 24]


def test_a_touched_order_goes_ahead_of_lower_ones_touched_before(
    deep: ReferenceBooks,
) -> None:
    """The list is looked at anew after each order."""
    deep.market(ATOM, ALICE, SELL, 30, trigger=99)
    deep.limit(ATOM, ALICE, BUY, 98, 1, trigger=96, flags=TAKE_PROFIT)
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=97)
    deep.market(ATOM, CAROL, SELL, 1)
    # The first stop prints at 98, 97 and 96: 97 enters before 96.
    assert [order_id for _, order_id, _, _ in events(deep)] == [21, 23, 22]


# -- ENTERING


def test_a_market_stop_never_rests(deep: ReferenceBooks) -> None:
    """What it cannot trade is cancelled, and an event says why."""
    deep.market(ATOM, ALICE, SELL, 50, protection=97, trigger=98)
    deep.market(ATOM, CAROL, SELL, 20)
    assert events(deep) == [
        (TRIGGERED, 21, 50, Reason.OK),
        (CANCELLED, 21, 40, Reason.PROTECTION_PRICE),
    ]
    assert deep.order(21) is None


@pytest.mark.parametrize(
    ("tif", "reason", "cancelled"),
    [
        (TimeInForce.IOC, Reason.UNFILLED, 5),
        (TimeInForce.FOK, Reason.FOK_UNFILLABLE, 15),
    ],
)
def test_a_triggered_order_lives_as_long_as_its_time_in_force_says(
    deep: ReferenceBooks, tif: TimeInForce, reason: Reason, cancelled: int
) -> None:
    """Ten lots are left at 98 and 97 when it enters with fifteen."""
    deep.limit(ATOM, ALICE, SELL, 97, 15, tif=tif, trigger=98)
    deep.market(ATOM, CAROL, SELL, 20)
    assert events(deep)[1:] == [(CANCELLED, 21, cancelled, reason)]


def test_a_stop_limit_rests_where_it_does_not_trade(deep: ReferenceBooks) -> None:
    """As the last of its level, though its message is older."""
    deep.limit(ATOM, ALICE, SELL, 99, 15, trigger=98)
    deep.limit(ATOM, BOB, SELL, 102, 5)
    deep.market(ATOM, CAROL, SELL, 20)
    assert deep.order(21) == (ATOM, ALICE, SELL, 99, 15)
    assert deep.best(ATOM) == (97, 99)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (Flag.POST_ONLY, Reason.POST_ONLY_WOULD_CROSS),
        (Flag.REDUCE_ONLY, Reason.REDUCE_ONLY),
    ],
)
def test_a_triggered_order_may_be_refused(
    deep: ReferenceBooks, flags: Flag, reason: Reason
) -> None:
    """It is vetted when it enters, and gone if it may not."""
    deep.limit(ATOM, ALICE, SELL, 95, 4, flags=flags, trigger=98)
    deep.market(ATOM, CAROL, SELL, 20)
    assert events(deep) == [
        (TRIGGERED, 21, 4, Reason.OK),
        (REFUSED, 21, 4, reason),
    ]
    assert deep.order(21) is None
    deep._check()


def test_a_triggered_iceberg_shows_a_slice(deep: ReferenceBooks) -> None:
    """Its options wait with it."""
    flags = Flag.POST_ONLY | Flag.SLIDE
    deep.limit(ATOM, ALICE, SELL, 95, 9, flags=flags, trigger=98, display=2)
    deep.market(ATOM, CAROL, SELL, 20)
    row = deep.orders(ATOM, SELL)[0]
    assert [row[name] for name in ("id", "price", "qty", "hidden")] == [21, 98, 2, 7]


def test_self_trade_prevention_of_a_triggered_order_is_told(
    deep: ReferenceBooks,
) -> None:
    """The older order's lots go by the cause of the stop that met it."""
    deep.set_self_trade(BOB, SelfTrade.CANCEL_OLDEST)
    deep.market(ATOM, BOB, SELL, 5, trigger=99, cause=3)
    batch = messages(1)
    batch["kind"], batch["side"], batch["account"] = Kind.MARKET, SELL, CAROL
    batch["qty"], batch["time"], batch["cause"] = 1, 8, 6
    deep.process(batch)
    rows = deep.take_events()
    assert rows["kind"].tolist() == [TRIGGERED] + [CANCELLED] * 11
    assert rows["order_id"].tolist() == [21, *range(1, 21, 2), 21]
    assert rows["qty"].tolist() == [5, 9, *[10] * 9, 5]
    assert rows["reason"].tolist() == [0] + [Reason.SELF_TRADE] * 10 + [Reason.UNFILLED]
    assert set(rows["cause"].tolist()) == {3}
    assert set(rows["time"].tolist()) == {8}
    assert set(rows["account"].tolist()) == {BOB}
    assert len(deep.take_events()) == 0
