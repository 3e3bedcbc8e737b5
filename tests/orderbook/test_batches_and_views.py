"""What goes in and out of a book: batches, single calls and views."""

from collections.abc import Callable

import numpy as np
import pytest
from book_state import ALICE, ATOM, BOB, BTC, BUY, CAROL, SELL, queue, state

from flashwick.orderbook.orders import (
    MESSAGE,
    ORDER,
    Flag,
    Kind,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks

# -- BATCHES AND CALLS


def test_fills_say_who_traded_what_when_and_why(books: ReferenceBooks) -> None:
    """A fill has time, cause and row of the taker's message, and both orders' flags."""
    batch = messages(3)
    batch["kind"] = Kind.LIMIT
    batch["side"] = [SELL, SELL, BUY]
    batch["account"] = [ALICE, BOB, CAROL]
    batch["price"] = [100, 101, 101]
    batch["qty"] = [2, 2, 3]
    batch["time"] = [10, 20, 30]
    batch["cause"] = [7, 8, 9]
    batch["flags"] = [0, Flag.POST_ONLY, Flag.LIQUIDATION]
    batch["market"] = BTC
    results, fills = books.process(batch)
    assert results["order_id"].tolist() == [1, 2, 3]
    assert fills["pad"].tolist() == [bytes(5)] * 2
    forced, passive = Flag.LIQUIDATION, Flag.POST_ONLY
    assert [row[:-1] for row in fills.tolist()] == [
        (30, 9, 100, 2, 1, 3, ALICE, CAROL, BTC, 2, BUY, forced, 0),
        (30, 9, 101, 1, 2, 3, BOB, CAROL, BTC, 2, BUY, forced, passive),
    ]


def test_fills_of_single_calls_wait_to_be_taken(books: ReferenceBooks) -> None:
    """A batch hands over its own fills only; the calls' are taken once, in order."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    books.market(ATOM, BOB, BUY, 1, cause=5, time=6)
    batch = messages(1)
    batch["kind"] = Kind.MARKET
    batch["qty"] = 1
    _, fills = books.process(batch)
    assert fills["taker_order"].tolist() == [3]
    books.market(ATOM, BOB, BUY, 1)
    taken = books.take_fills()
    assert taken["taker_order"].tolist() == [2, 4]
    assert taken["cause"].tolist() == [5, 0]
    assert taken["time"].tolist() == [6, 0]
    assert books.take_fills().shape == (0,)
    # What was handed over stays as it was.
    books.market(ATOM, BOB, BUY, 1)
    assert taken["taker_order"].tolist() == [2, 4]


def test_an_empty_batch_is_a_batch(books: ReferenceBooks) -> None:
    """No messages give no results and no fills."""
    results, fills = books.process(messages(0))
    assert (len(results), len(fills)) == (0, 0)


def test_every_second_row_of_a_batch_is_a_batch(books: ReferenceBooks) -> None:
    """A strided view is read as it looks, and a read-only one is read."""
    batch = messages(6)
    batch["price"] = [100, 1, 101, 1, 102, 1]
    batch["qty"] = 1
    view = batch[::2]
    view.flags.writeable = False
    books.process(view)
    assert books.depth(ATOM, BUY)[0].tolist() == [102, 101, 100]


def test_a_batch_of_another_layout_is_refused(books: ReferenceBooks) -> None:
    """The error names the argument and what it must be."""
    with pytest.raises(TypeError, match="'messages' must be of dtype MESSAGE"):
        books.process(np.zeros(3, np.int64))
    for shape in (2, 2), (0, 3), ():
        with pytest.raises(TypeError, match="'messages' must have one axis"):
            books.process(np.zeros(shape, MESSAGE))


def test_the_trade_hash_is_that_of_the_documented_formula(
    books: ReferenceBooks,
) -> None:
    """Computed again from the fills, in matching order, over all markets."""
    rng = np.random.default_rng(3)
    batch = messages(500)
    batch["market"] = rng.integers(0, 2, 500)
    batch["side"] = rng.integers(0, 2, 500)
    batch["price"] = rng.integers(10**6, 10**6 + 20, 500)
    batch["qty"] = rng.integers(1, 10**12, 500)
    _, fills = books.process(batch)
    h, mask = 0xCBF29CE484222325, 2**64 - 1
    for row in fills:
        maker, taker = int(row["maker_order"]), int(row["taker_order"])
        price, qty = int(row["price"]), int(row["qty"])
        x = maker + taker * 2654435761 + price * 40503 + qty * 69621
        h = ((h ^ (x & mask)) * 0x100000001B3) & mask
    assert len(fills) == books.trades > 100
    assert books.trade_hash == h
    assert books.traded_qty == fills["qty"].sum()
    assert books.notional == sum(fills["price"].astype(object) * fills["qty"]) % 2**64


# -- VIEWS


def test_views_describe_the_book_and_leave_it_alone(books: ReferenceBooks) -> None:
    """Depth, orders, volumes and the price of a sweep, on one small book."""
    for price, qty in (98, 3), (99, 5), (99, 2), (101, 4), (103, 6):
        books.limit(ATOM, ALICE, BUY if price < 100 else SELL, price, qty)
    books.limit(BTC, BOB, SELL, 7, 1)
    before = state(books)
    assert books.top().tolist() == [[99, 7, 101, 4, 0], [0, 0, 7, 1, 0]]
    prices, quantities = books.depth(ATOM, BUY)
    assert (prices.tolist(), quantities.tolist()) == ([99, 98], [7, 3])
    prices, quantities = books.depth(ATOM, SELL, 1)
    assert (prices.tolist(), quantities.tolist()) == ([101], [4])
    assert books.depth(BTC, BUY)[0].dtype == np.int64
    assert books.depth(ATOM, BUY, 0)[0].tolist() == []
    assert queue(books, BUY) == [[2, 5], [3, 2], [1, 3]]
    assert books.orders(ATOM, BUY).dtype == ORDER
    assert books.account_orders(ALICE)["id"].tolist() == [1, 2, 3, 4, 5]
    assert books.account_orders(CAROL).dtype == ORDER
    assert books.order(6) == (BTC, BOB, SELL, 7, 1)
    assert books.order(7) is None
    assert books.order(0) is None
    assert books.volume_within(BUY, [99, 1]).tolist() == [[7, 693], [0, 0]]
    assert books.volume_within(SELL, np.array([103, 6])).tolist() == [
        [10, 1022],
        [0, 0],
    ]
    assert books.sweep(ATOM, BUY, 5) == (5, 4 * 101 + 103, 103)
    assert books.sweep(ATOM, SELL, 99) == (10, 693 + 294, 98)
    assert books.sweep(BTC, SELL, 1) == (0, 0, 0)
    assert state(books) == before


def test_account_orders_come_by_id_even_after_replaces(books: ReferenceBooks) -> None:
    """A replaced order keeps its id and so its place in the list."""
    for price in 97, 98, 99:
        books.limit(ATOM, ALICE, BUY, price, 1)
    books.replace(ATOM, ALICE, 1, 96, 1)
    books.cancel(ATOM, ALICE, 2)
    books.limit(BTC, ALICE, SELL, 10, 1)
    rows = books.account_orders(ALICE)
    assert rows["id"].tolist() == [1, 3, 4]
    assert rows["market"].tolist() == [ATOM, ATOM, BTC]


def test_orders_of_many_accounts_come_one_after_the_other(
    books: ReferenceBooks,
) -> None:
    """In the order asked for; gone orders and accounts without any leave no row."""
    for account in ALICE, BOB, ALICE, CAROL, ALICE:
        books.limit(ATOM, account, BUY, 90 + account, 1)
    books.limit(ATOM, BOB, SELL, 200, 1, trigger=200)
    books.cancel(ATOM, ALICE, 3)
    books.market(ATOM, 7, SELL, 1)  # takes the order of CAROL
    asked = [BOB, CAROL, 2**24 - 1, ALICE, BOB]
    for _ in range(2):
        rows = books.orders_of(asked)
        assert rows["id"].tolist() == [2, 6, 1, 5, 2, 6]
        assert rows.tolist() == books.orders_of(np.array(asked)).tolist()
        assert rows[2:4].tolist() == books.account_orders(ALICE).tolist()
        books._check()
    assert books.orders_of([]).dtype == ORDER
    assert books.cancel_all(ALICE) == 2
    assert books.orders_of([ALICE, CAROL]).tolist() == []


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda b: b.best(2), IndexError, "'market' must be from 0 to 1 .got 2"),
        (lambda b: b.set_phase(-1, 1), IndexError, "'market' must be"),
        (lambda b: b.depth(0, 2), ValueError, "'side' must be 0 .buy. or 1 .sell."),
        (lambda b: b.orders(0, 3), ValueError, "'side' must be"),
        (lambda b: b.set_price_band(0, -1), ValueError, "'ppm' must be from 0"),
        (lambda b: b.set_reference(0, -1), ValueError, "'price' must be from 0"),
        (lambda b: b.set_last_price(0, 0), ValueError, "'price' must be from 1"),
        (lambda b: b.set_self_trade(-1, 0), ValueError, "'account' must be from 0"),
        (lambda b: b.set_self_trade(0, 5), ValueError, "'mode' must be a SelfTrade"),
        (lambda b: b.sweep(0, 2, 1), ValueError, "'side' must be 0 .*got 2"),
        (lambda b: b.account_orders(-1), ValueError, "'account' must be from 0 to"),
        (lambda b: b.account_orders(2**24), ValueError, "'account' must be from 0 to"),
        (lambda b: b.orders_of([0, -1]), ValueError, "'account' must be from 0 to"),
        (lambda b: b.orders_of([0.5]), TypeError, "'accounts' must be a row of whole"),
        (lambda b: b.volume_within(0, [1]), ValueError, "'limits' must hold 2 prices"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_was_right(
    books: ReferenceBooks,
    call: Callable[[ReferenceBooks], object],
    error: type[Exception],
    words: str,
) -> None:
    """Programmers get exceptions, messages get reasons."""
    with pytest.raises(error, match=words):
        call(books)
