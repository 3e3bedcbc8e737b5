"""What trades, at which price, and what becomes of the rest: on either book."""

import pytest
from book_state import (
    ALICE,
    ATOM,
    BOB,
    BTC,
    BUY,
    FOK,
    IOC,
    SELL,
    queue,
    send,
    state,
    trades,
)

from flashwick.orderbook.orders import (
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    Reason,
    SelfTrade,
    Side,
)
from flashwick.orderbook.reference import ReferenceBooks

# -- PRIORITY


def test_the_best_price_trades_first_then_the_oldest_order(
    books: ReferenceBooks,
) -> None:
    """Price goes before time, time before size, and each prints at the maker's."""
    for price, qty in (101, 5), (100, 1), (102, 9), (100, 7):
        books.limit(ATOM, ALICE, SELL, price, qty)
    books.limit(ATOM, BOB, BUY, 101, 10)
    assert trades(books) == [(2, 5, 100, 1), (4, 5, 100, 7), (1, 5, 101, 2)]
    assert queue(books, SELL) == [[1, 3], [3, 9]]
    books._check()


def test_what_does_not_trade_rests_at_its_own_price(books: ReferenceBooks) -> None:
    """A limit order takes what it can and waits with the rest."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    assert books.limit(ATOM, BOB, BUY, 103, 10) == 2
    assert books.order(2) == (ATOM, BOB, BUY, 103, 6)
    assert books.best(ATOM) == (103, 0)
    assert books.last_price(ATOM) == 100


def test_markets_do_not_meet(books: ReferenceBooks) -> None:
    """Orders of two markets never trade with each other."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    books.limit(BTC, BOB, BUY, 200, 4)
    assert books.best(ATOM) == (0, 100)
    assert books.best(BTC) == (200, 0)
    assert books.trades == 0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_orders_rest_and_trade_at_the_ends_of_the_price_range(
    books: ReferenceBooks, side: Side
) -> None:
    """A sweep finds the one order at the far end of a billion empty ticks."""
    for price in (1, PRICE_MAX) if side == SELL else (PRICE_MAX, 1):
        books.limit(ATOM, ALICE, 1 - side, 500_000, 1)
        books.limit(ATOM, ALICE, 1 - side, PRICE_MAX + 1 - price, 1)
        books._check()
        books.market(ATOM, BOB, side, 5)
        books._check()
        prices = [price for _, _, price, _ in trades(books)]
        assert sorted(prices) == sorted([500_000, PRICE_MAX + 1 - price])
        assert books.live_orders == 0


def test_the_largest_order_trades_whole(books: ReferenceBooks) -> None:
    """2**62 lots at the highest price: notional wraps at 2**64, lots do not."""
    books.limit(ATOM, ALICE, SELL, PRICE_MAX, QTY_MAX)
    result = send(books, kind=Kind.MARKET, account=BOB, qty=QTY_MAX)
    assert result["filled"] == QTY_MAX
    assert books.traded_qty == QTY_MAX
    assert books.notional == QTY_MAX * PRICE_MAX % 2**64


def test_totals_wrap_where_64_bits_end(books: ReferenceBooks) -> None:
    """Four trades of 2**62 lots are none, five are 2**62: both sums are unsigned."""
    for n in range(1, 6):
        books.limit(ATOM, ALICE, SELL, 3, QTY_MAX)
        books.market(ATOM, BOB, BUY, QTY_MAX)
        assert books.traded_qty == n * QTY_MAX % 2**64
        assert books.notional == n * 3 * QTY_MAX % 2**64


# -- TIME IN FORCE


def test_immediate_or_cancel_never_rests(books: ReferenceBooks) -> None:
    """What an IOC order cannot trade at once is cancelled as unfilled."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    result = send(
        books, kind=Kind.LIMIT, account=BOB, price=100, qty=10, tif=IOC, side=BUY
    )
    assert result == {
        "order_id": 2,
        "filled": 4,
        "open": 0,
        "cancelled": 6,
        "accepted": 1,
        "reason": Reason.UNFILLED,
    }
    assert books.live_orders == 0


@pytest.mark.parametrize("kind", [Kind.LIMIT, Kind.MARKET])
def test_fill_or_kill_leaves_no_trace_when_it_cannot_fill(
    books: ReferenceBooks, kind: Kind
) -> None:
    """One lot short, and nothing trades; the id is used up all the same."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    books.limit(ATOM, ALICE, SELL, 101, 5)
    books.limit(ATOM, ALICE, SELL, 102, 90)
    before = state(books)
    result = send(books, kind=kind, account=BOB, price=101, qty=10, tif=FOK)
    assert result["accepted"] == 1
    assert result["reason"] == Reason.FOK_UNFILLABLE
    assert (result["order_id"], result["filled"], result["cancelled"]) == (4, 0, 10)
    assert state(books) == before | {"last_id": 4}


@pytest.mark.parametrize("kind", [Kind.LIMIT, Kind.MARKET])
def test_fill_or_kill_fills_whole_within_its_limit(
    books: ReferenceBooks, kind: Kind
) -> None:
    """With just enough behind its limit it trades through every level."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    books.limit(ATOM, ALICE, SELL, 101, 6)
    result = send(books, kind=kind, account=BOB, price=101, qty=10, tif=FOK)
    assert (result["filled"], result["reason"]) == (10, Reason.OK)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (SelfTrade.NONE, Reason.OK),
        (SelfTrade.CANCEL_NEWEST, Reason.FOK_UNFILLABLE),
        (SelfTrade.CANCEL_OLDEST, Reason.FOK_UNFILLABLE),
        (SelfTrade.CANCEL_BOTH, Reason.FOK_UNFILLABLE),
        (SelfTrade.DECREMENT, Reason.FOK_UNFILLABLE),
    ],
)
def test_fill_or_kill_does_not_count_on_its_own_orders(
    books: ReferenceBooks, mode: SelfTrade, reason: Reason
) -> None:
    """Own lots count only where self-trades are allowed."""
    books.set_self_trade(BOB, mode)
    books.limit(ATOM, ALICE, SELL, 100, 4)
    books.limit(ATOM, BOB, SELL, 100, 6)
    result = send(books, kind=Kind.LIMIT, account=BOB, price=100, qty=10, tif=FOK)
    assert result["reason"] == reason


def test_fill_or_kill_passes_own_orders_that_it_would_cancel(
    books: ReferenceBooks,
) -> None:
    """With cancel-oldest the lots behind an own order count; the order goes."""
    books.set_self_trade(BOB, SelfTrade.CANCEL_OLDEST)
    books.limit(ATOM, BOB, SELL, 100, 6)
    books.limit(ATOM, ALICE, SELL, 101, 10)
    result = send(books, kind=Kind.LIMIT, account=BOB, price=101, qty=10, tif=FOK)
    assert (result["filled"], result["reason"]) == (10, Reason.OK)
    assert books.live_orders == 0


@pytest.mark.parametrize("price", [100, 101])
def test_post_only_is_refused_when_it_would_lock_or_cross(
    books: ReferenceBooks, price: int
) -> None:
    """An equal price is enough to refuse; one tick away the order rests."""
    books.limit(ATOM, ALICE, SELL, 100, 4)
    before = state(books)
    refused = books.limit(ATOM, BOB, BUY, price, 1, flags=Flag.POST_ONLY)
    assert refused == -Reason.POST_ONLY_WOULD_CROSS
    assert state(books) == before
    assert books.limit(ATOM, BOB, BUY, 99, 1, flags=Flag.POST_ONLY) == 2


# -- SELF-TRADE PREVENTION


@pytest.mark.parametrize(
    ("mode", "filled", "cancelled", "reason", "asks"),
    [
        (SelfTrade.NONE, 12, 0, Reason.OK, [[3, 3]]),
        (SelfTrade.CANCEL_NEWEST, 4, 8, Reason.SELF_TRADE, [[2, 5], [3, 6]]),
        (SelfTrade.CANCEL_OLDEST, 10, 2, Reason.UNFILLED, []),
        (SelfTrade.CANCEL_BOTH, 4, 8, Reason.SELF_TRADE, [[3, 6]]),
        (SelfTrade.DECREMENT, 7, 5, Reason.SELF_TRADE, [[3, 3]]),
    ],
)
def test_self_trade_prevention_follows_the_mode_of_the_account(
    books: ReferenceBooks,
    mode: SelfTrade,
    filled: int,
    cancelled: int,
    reason: Reason,
    asks: list[list[int]],
) -> None:
    """Twelve lots against 4 of another, 5 of its own, and 6 of another."""
    books.set_self_trade(ALICE, mode)
    books.limit(ATOM, BOB, SELL, 100, 4)
    books.limit(ATOM, ALICE, SELL, 100, 5)
    books.limit(ATOM, BOB, SELL, 101, 6)
    result = send(books, kind=Kind.MARKET, account=ALICE, qty=12)
    assert (result["filled"], result["cancelled"]) == (filled, cancelled)
    assert result["reason"] == reason
    assert queue(books, SELL) == asks


@pytest.mark.parametrize(("taken", "left"), [(5, []), (3, [[1, 2]])])
def test_decrement_takes_the_smaller_of_both(
    books: ReferenceBooks, taken: int, left: list[list[int]]
) -> None:
    """Both lose the lots of the smaller order, and nothing trades."""
    books.set_self_trade(ALICE, SelfTrade.DECREMENT)
    books.limit(ATOM, ALICE, SELL, 100, 5)
    result = send(books, kind=Kind.LIMIT, account=ALICE, price=100, qty=taken)
    assert (result["cancelled"], result["reason"]) == (taken, Reason.SELF_TRADE)
    assert queue(books, SELL) == left
    assert books.trades == 0


def test_the_mode_of_the_maker_does_not_matter(books: ReferenceBooks) -> None:
    """Others trade with an account that prevents its own trades."""
    books.set_self_trade(ALICE, SelfTrade.CANCEL_BOTH)
    books.limit(ATOM, ALICE, SELL, 100, 5)
    books.market(ATOM, BOB, BUY, 5)
    assert books.traded_qty == 5
