"""Cancel, replace, halts and refusals, on either book."""

import pytest
from book_state import (
    ALICE,
    ATOM,
    BOB,
    BTC,
    BUY,
    CAROL,
    FOK,
    IOC,
    SELL,
    queue,
    send,
    state,
)

from flashwick.orderbook.orders import (
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    Phase,
    Reason,
)
from flashwick.orderbook.reference import ReferenceBooks

# -- CANCEL AND REPLACE


def test_a_cancel_takes_the_open_lots_out(books: ReferenceBooks) -> None:
    """After a partial fill only what is left is cancelled, and only once."""
    books.limit(ATOM, ALICE, BUY, 100, 10)
    books.market(ATOM, BOB, SELL, 4)
    assert books.cancel(ATOM, ALICE, 1) == 6
    assert books.cancel(ATOM, ALICE, 1) == -Reason.UNKNOWN_ORDER
    assert books.best(ATOM) == (0, 0)


@pytest.mark.parametrize(
    ("market", "account", "order_id"),
    [(BTC, ALICE, 1), (ATOM, BOB, 1), (ATOM, ALICE, 2), (ATOM, ALICE, -1)],
)
def test_only_the_right_account_and_market_reach_an_order(
    books: ReferenceBooks, market: int, account: int, order_id: int
) -> None:
    """A wrong market, account or id is an unknown order to cancel and replace."""
    books.limit(ATOM, ALICE, BUY, 100, 10)
    before = state(books)
    assert books.cancel(market, account, order_id) == -Reason.UNKNOWN_ORDER
    refused = books.replace(market, account, order_id, 99, 5)
    assert refused == -Reason.UNKNOWN_ORDER
    assert state(books) == before


def test_cancel_all_is_by_account_market_and_side(books: ReferenceBooks) -> None:
    """One message withdraws a side, a market or everything an account has."""

    def fill_up() -> None:
        for market in ATOM, BTC:
            for account in ALICE, BOB:
                books.limit(market, account, BUY, 100, 1)
                books.limit(market, account, BUY, 101, 1)
                books.limit(market, account, SELL, 200, 1)

    fill_up()
    assert books.cancel_all(ALICE, ATOM, BUY) == 2
    assert books.cancel_all(ALICE, ATOM) == 1
    assert books.cancel_all(ALICE, side=SELL) == 1
    assert books.cancel_all(ALICE) == 2
    assert books.cancel_all(ALICE) == 0
    assert books.live_orders == 6
    fill_up()
    books._check()
    assert send(books, kind=Kind.CANCEL_ALL, market=-1, account=BOB, side=2) == {
        "order_id": 0,
        "filled": 0,
        "open": 0,
        "cancelled": 12,
        "accepted": 1,
        "reason": Reason.OK,
    }
    assert books.account_orders(BOB).shape == (0,)
    assert books.live_orders == 6


def test_a_smaller_order_keeps_its_place(books: ReferenceBooks) -> None:
    """At the same price and with no more lots, replace keeps time priority."""
    books.limit(ATOM, ALICE, BUY, 100, 10)
    books.limit(ATOM, BOB, BUY, 100, 10)
    result = send(books, kind=Kind.REPLACE, account=ALICE, order_id=1, price=100, qty=4)
    assert (result["order_id"], result["open"], result["cancelled"]) == (1, 4, 6)
    assert books.replace(ATOM, ALICE, 1, 100, 4) == 1
    assert queue(books, BUY) == [[1, 4], [2, 10]]


@pytest.mark.parametrize(("price", "qty"), [(100, 11), (99, 1), (101, 10)])
def test_a_larger_or_moved_order_goes_to_the_back(
    books: ReferenceBooks, price: int, qty: int
) -> None:
    """Anything but a smaller quantity costs time priority; the id stays."""
    for wanted in 100, price:
        books.limit(ATOM, BOB, BUY, wanted, 10)
    books.limit(ATOM, ALICE, BUY, 100, 10)
    books.limit(ATOM, BOB, BUY, price, 10)
    assert books.replace(ATOM, ALICE, 3, price, qty) == 3
    assert books.order(3) == (ATOM, ALICE, BUY, price, qty)
    rows = books.orders(ATOM, BUY)
    assert rows["id"][rows["price"] == price][-1] == 3
    assert books.last_id == 4
    books._check()


def test_a_replaced_order_that_crosses_trades_as_a_taker(
    books: ReferenceBooks,
) -> None:
    """It pays the makers' prices and rests with what is left, under its id."""
    books.limit(ATOM, ALICE, BUY, 99, 10)
    books.limit(ATOM, BOB, SELL, 101, 4)
    books.limit(ATOM, BOB, SELL, 102, 4)
    result = send(
        books, kind=Kind.REPLACE, account=ALICE, order_id=1, price=101, qty=20
    )
    assert (result["filled"], result["open"], result["cancelled"]) == (4, 16, 0)
    assert books.order(1) == (ATOM, ALICE, BUY, 101, 16)
    assert books.best(ATOM) == (101, 102)


def test_a_refused_replace_leaves_the_order_in_its_place(
    books: ReferenceBooks,
) -> None:
    """A post-only order that would cross keeps price, lots and priority."""
    books.limit(ATOM, ALICE, BUY, 99, 10, flags=Flag.POST_ONLY)
    books.limit(ATOM, BOB, BUY, 99, 10)
    books.limit(ATOM, CAROL, SELL, 101, 4)
    before = state(books)
    refused = books.replace(ATOM, ALICE, 1, 101, 5)
    assert refused == -Reason.POST_ONLY_WOULD_CROSS
    assert books.replace(ATOM, ALICE, 1, 0, 5) == -Reason.INVALID_PRICE
    assert books.replace(ATOM, ALICE, 1, 99, 0) == -Reason.INVALID_QTY
    assert state(books) == before


# -- HALTS


def test_a_halted_market_takes_cancels_and_nothing_else(
    books: ReferenceBooks,
) -> None:
    """New orders and replaces are refused until it opens again; others trade on."""
    books.limit(ATOM, ALICE, BUY, 100, 10)
    books.limit(ATOM, ALICE, BUY, 99, 10)
    books.set_phase(ATOM, Phase.HALTED)
    assert books.limit(ATOM, BOB, SELL, 100, 1) == -Reason.MARKET_HALTED
    assert books.market(ATOM, BOB, SELL, 1) == -Reason.MARKET_HALTED
    assert books.replace(ATOM, ALICE, 1, 100, 5) == -Reason.MARKET_HALTED
    assert books.limit(BTC, BOB, SELL, 100, 1) == 3
    assert books.cancel(ATOM, ALICE, 1) == 10
    assert books.cancel_all(ALICE) == 1
    books.set_phase(ATOM, Phase.OPEN)
    assert books.limit(ATOM, BOB, SELL, 100, 1) == 4


# -- REFUSALS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": 5}, Reason.UNKNOWN_KIND),
        ({"kind": 255, "market": 9}, Reason.UNKNOWN_KIND),
        ({"market": 2}, Reason.UNKNOWN_MARKET),
        ({"market": -1}, Reason.UNKNOWN_MARKET),
        ({"market": -1, "kind": Kind.CANCEL}, Reason.UNKNOWN_MARKET),
        ({"market": -2, "kind": Kind.CANCEL_ALL}, Reason.UNKNOWN_MARKET),
        ({"account": -1}, Reason.UNKNOWN_ACCOUNT),
        ({"account": 2**24, "kind": Kind.CANCEL_ALL}, Reason.UNKNOWN_ACCOUNT),
        ({"kind": Kind.CANCEL_ALL, "side": 3}, Reason.INVALID_OPTION),
        ({"kind": Kind.CANCEL, "order_id": 7}, Reason.UNKNOWN_ORDER),
        ({"kind": Kind.REPLACE, "order_id": 7, "qty": 0}, Reason.UNKNOWN_ORDER),
        ({"side": 2}, Reason.INVALID_OPTION),
        ({"tif": 3}, Reason.INVALID_OPTION),
        ({"flags": 8}, Reason.INVALID_OPTION),
        ({"flags": Flag.POST_ONLY, "tif": IOC}, Reason.INVALID_OPTION),
        ({"flags": Flag.POST_ONLY, "tif": FOK}, Reason.INVALID_OPTION),
        ({"flags": Flag.POST_ONLY, "kind": Kind.MARKET}, Reason.INVALID_OPTION),
        ({"order_id": -1, "qty": 0}, Reason.INVALID_OPTION),
        ({"order_id": 2**21}, Reason.INVALID_OPTION),
        ({"qty": 0}, Reason.INVALID_QTY),
        ({"qty": -5, "price": 0}, Reason.INVALID_QTY),
        ({"qty": QTY_MAX + 1}, Reason.INVALID_QTY),
        ({"price": 0}, Reason.INVALID_PRICE),
        ({"price": -1, "kind": Kind.MARKET}, Reason.INVALID_PRICE),
        ({"price": PRICE_MAX + 1}, Reason.INVALID_PRICE),
        ({"price": PRICE_MAX + 1, "kind": Kind.MARKET}, Reason.INVALID_PRICE),
        ({"order_id": 1}, Reason.DUPLICATE_ID),
        ({"flags": Flag.REDUCE_ONLY}, Reason.REDUCE_ONLY),
    ],
)
def test_a_refused_message_names_its_reason_and_changes_nothing(
    books: ReferenceBooks, changes: dict[str, int], reason: Reason
) -> None:
    """Where two things are wrong the first in the documented order is named."""
    books.limit(ATOM, ALICE, BUY, 90, 10)
    before = state(books)
    message = {"account": BOB, "side": SELL, "price": 100, "qty": 5} | changes
    result = send(books, **message)
    names_order = message.get("kind", 0) in (Kind.CANCEL, Kind.REPLACE)
    assert result == {
        "order_id": message.get("order_id", 0) if names_order else 0,
        "filled": 0,
        "open": 0,
        "cancelled": 0,
        "accepted": 0,
        "reason": reason,
    }
    assert state(books) == before


def test_explicit_ids_may_leave_gaps(books: ReferenceBooks) -> None:
    """An id ahead of the last one is taken; the skipped ones are used up."""
    explicit = {"kind": Kind.LIMIT, "price": 100, "qty": 1}
    assert send(books, order_id=10, **explicit)["order_id"] == 10
    assert send(books, **explicit)["order_id"] == 11
    assert send(books, order_id=5, **explicit)["reason"] == Reason.DUPLICATE_ID
    assert send(books, order_id=11, **explicit)["reason"] == Reason.DUPLICATE_ID
    assert books.cancel(ATOM, 0, 5) == -Reason.UNKNOWN_ORDER
    far = 11 + 2**20
    assert send(books, order_id=far + 1, **explicit)["reason"] == Reason.INVALID_OPTION
    assert send(books, order_id=far, **explicit)["order_id"] == far
    assert books.cancel_all(0) == 3
