"""Orders that show a part of themselves, on either book."""

import pytest
from book_state import ALICE, BOB, BUY, CAROL, SELL, queue, send, state, trades

from flashwick.orderbook.orders import (
    SLICES_MAX,
    Kind,
    Reason,
    SelfTrade,
    TimeInForce,
)
from flashwick.orderbook.reference import ReferenceBooks

ATOM = 0


def iceberg(books: ReferenceBooks, qty: int = 10, display: int = 3) -> int:
    """Alice offers so many lots at 100 and shows a few."""
    return books.limit(ATOM, ALICE, SELL, 100, qty, display=display)


def hidden(books: ReferenceBooks, side: int = SELL) -> list[list[int]]:
    """Id, shown and hidden lots of the resting orders, in queue order."""
    rows = books.orders(ATOM, side)
    return [[row["id"], row["qty"], row["hidden"]] for row in rows]


def test_only_the_slice_is_seen(books: ReferenceBooks) -> None:
    """Depth, top, volumes and sweeps count shown lots; the order knows all of them."""
    result = send(
        books, kind=Kind.LIMIT, side=SELL, account=ALICE, price=100, qty=10, display=3
    )
    assert (result["open"], result["cancelled"]) == (10, 0)
    assert hidden(books) == [[1, 3, 7]]
    assert books.top().tolist()[0] == [0, 0, 100, 3, 0]
    assert books.depth(ATOM, SELL)[1].tolist() == [3]
    assert books.volume_within(SELL, [100, 1])[0].tolist() == [3, 300]
    assert books.sweep(ATOM, BUY, 9) == (3, 300, 100)
    assert books.order(1) == (ATOM, ALICE, SELL, 100, 10)


def test_a_used_up_slice_is_refilled_at_the_back_of_its_level(
    books: ReferenceBooks,
) -> None:
    """Orders behind it trade before its next slice, and each slice is a print."""
    iceberg(books)
    books.limit(ATOM, BOB, SELL, 100, 4)
    books.market(ATOM, CAROL, BUY, 3)
    assert hidden(books) == [[2, 4, 0], [1, 3, 4]]
    books.market(ATOM, CAROL, BUY, 8)
    assert trades(books) == [
        (1, 3, 100, 3),
        (2, 4, 100, 4),
        (1, 4, 100, 3),
        (1, 4, 100, 1),
    ]
    assert hidden(books) == [[1, 2, 1]]
    books._check()


def test_a_slice_that_is_partly_used_keeps_its_place(books: ReferenceBooks) -> None:
    """It is refilled when it is used up, not before; the last slice may be smaller."""
    iceberg(books, qty=7)
    books.limit(ATOM, BOB, SELL, 100, 4)
    books.market(ATOM, CAROL, BUY, 2)
    assert hidden(books) == [[1, 1, 4], [2, 4, 0]]
    books.market(ATOM, CAROL, BUY, 1 + 4 + 3)
    assert hidden(books) == [[1, 1, 0]]


def test_entering_it_trades_all_its_lots_first(books: ReferenceBooks) -> None:
    """What is left rests as an iceberg, even if the rest is no more than a slice."""
    books.limit(ATOM, BOB, BUY, 100, 8)
    iceberg(books)
    assert trades(books) == [(1, 2, 100, 8)]
    assert hidden(books) == [[2, 2, 0]]
    books.cancel(ATOM, ALICE, 2)
    books.limit(ATOM, BOB, BUY, 100, 2)
    iceberg(books)
    assert hidden(books) == [[4, 3, 5]]


@pytest.mark.parametrize("display", [0, 10, 11])
def test_an_order_that_shows_everything_is_a_plain_order(
    books: ReferenceBooks, display: int
) -> None:
    """No slice, or one that is not smaller than the order."""
    iceberg(books, display=display)
    assert hidden(books) == [[1, 10, 0]]
    assert books.replace(ATOM, ALICE, 1, 100, 30) == 1
    assert hidden(books) == [[1, 30, 0]]


@pytest.mark.parametrize(
    "changes",
    [
        {"display": -1},
        {"tif": TimeInForce.IOC},
        {"tif": TimeInForce.FOK},
        {"kind": Kind.MARKET},
        {"qty": 3 * SLICES_MAX + 1},
    ],
)
def test_a_display_that_does_not_fit_is_refused(
    books: ReferenceBooks, changes: dict[str, int]
) -> None:
    """It is positive, the order may rest, and it has a thousand slices at most."""
    order = {"kind": Kind.LIMIT, "side": SELL, "price": 100, "qty": 10, "display": 3}
    before = state(books)
    result = send(books, **order | changes)
    assert (result["accepted"], result["reason"]) == (0, Reason.INVALID_OPTION)
    assert state(books) == before
    assert send(books, **order | {"qty": 3 * SLICES_MAX})["accepted"] == 1


def test_fill_or_kill_counts_on_hidden_lots(books: ReferenceBooks) -> None:
    """Ten lots are there though three are seen; eleven are not."""
    iceberg(books)
    order = {"kind": Kind.LIMIT, "account": BOB, "price": 100}
    result = send(books, **order, qty=11, tif=TimeInForce.FOK)
    assert result["reason"] == Reason.FOK_UNFILLABLE
    assert send(books, **order, qty=10, tif=TimeInForce.FOK)["filled"] == 10
    assert [qty for *_, qty in trades(books)] == []
    assert books.live_orders == 0


def test_a_cancel_gives_back_all_lots(books: ReferenceBooks) -> None:
    """Shown and hidden ones, by the order and by the account."""
    iceberg(books)
    assert books.cancel(ATOM, ALICE, 1) == 10
    iceberg(books)
    assert books.cancel_all(ALICE) == 1
    assert books.live_orders == 0
    books._check()


def test_shrunk_it_loses_hidden_lots_first_and_keeps_its_place(
    books: ReferenceBooks,
) -> None:
    """The quantity of a replace is that of all its lots."""
    iceberg(books)
    books.limit(ATOM, BOB, SELL, 100, 4)
    result = send(books, kind=Kind.REPLACE, account=ALICE, order_id=1, price=100, qty=5)
    assert (result["open"], result["cancelled"]) == (5, 5)
    assert hidden(books) == [[1, 3, 2], [2, 4, 0]]
    assert books.replace(ATOM, ALICE, 1, 100, 2) == 1
    assert hidden(books) == [[1, 2, 0], [2, 4, 0]]


def test_moved_it_shows_a_new_slice_at_the_back(books: ReferenceBooks) -> None:
    """It stays an iceberg as long as it is larger than what it shows."""
    iceberg(books)
    books.limit(ATOM, BOB, SELL, 101, 4)
    assert books.replace(ATOM, ALICE, 1, 101, 20) == 1
    assert hidden(books) == [[2, 4, 0], [1, 3, 17]]
    too_many = 3 * SLICES_MAX + 1
    assert books.replace(ATOM, ALICE, 1, 101, too_many) == -Reason.INVALID_OPTION
    assert books.replace(ATOM, ALICE, 1, 102, 3) == 1
    assert books.replace(ATOM, ALICE, 1, 102, 20) == 1
    assert hidden(books) == [[2, 4, 0], [1, 20, 0]]


def test_two_icebergs_take_turns(books: ReferenceBooks) -> None:
    """Slice by slice, in the order in which they were refilled."""
    iceberg(books, qty=5, display=2)
    books.limit(ATOM, BOB, SELL, 100, 5, display=2)
    books.market(ATOM, CAROL, BUY, 10)
    assert [(maker, qty) for maker, _, _, qty in trades(books)] == [
        (1, 2),
        (2, 2),
        (1, 2),
        (2, 2),
        (1, 1),
        (2, 1),
    ]


@pytest.mark.parametrize(
    ("mode", "left", "lost"),
    [
        (SelfTrade.CANCEL_OLDEST, [], [10]),
        (SelfTrade.CANCEL_NEWEST, [[1, 3, 7]], []),
        (SelfTrade.CANCEL_BOTH, [], [10]),
        (SelfTrade.DECREMENT, [[1, 3, 2]], [5]),
    ],
)
def test_self_trade_prevention_sees_the_whole_iceberg(
    books: ReferenceBooks, mode: SelfTrade, left: list[list[int]], lost: list[int]
) -> None:
    """It goes with all its lots; decremented, it loses hidden ones first."""
    books.set_self_trade(ALICE, mode)
    iceberg(books)
    books.market(ATOM, ALICE, BUY, 5)
    assert hidden(books) == left
    assert books.take_events()["qty"].tolist() == lost
    assert queue(books, SELL) == [row[:2] for row in left]
    books._check()


@pytest.mark.parametrize(
    ("mode", "filled"),
    [
        (SelfTrade.NONE, 8),
        (SelfTrade.CANCEL_NEWEST, 0),
        (SelfTrade.CANCEL_OLDEST, 8),
        (SelfTrade.CANCEL_BOTH, 0),
        (SelfTrade.DECREMENT, 0),
    ],
)
def test_fill_or_kill_knows_that_hidden_lots_come_after_what_is_shown(
    books: ReferenceBooks, mode: SelfTrade, filled: int
) -> None:
    """An own order behind the slice is met before the next slice: all or nothing."""
    books.set_self_trade(BOB, mode)
    iceberg(books)
    books.limit(ATOM, BOB, SELL, 100, 1)
    order = {"kind": Kind.LIMIT, "account": BOB, "price": 100, "tif": TimeInForce.FOK}
    result = send(books, qty=8, **order)
    assert result["filled"] == filled
    assert (result["reason"] == Reason.OK) == (filled == 8)
    if not filled:
        # What stands before the own order is sure.
        assert send(books, qty=3, **order)["filled"] == 3
