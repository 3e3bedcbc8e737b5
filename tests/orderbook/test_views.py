"""All markets in one call, places in queues, and the tape of levels: on either book."""

from collections.abc import Callable

import numpy as np
import pytest
from book_state import ALICE, ATOM, BOB, BTC, BUY, CAROL, EMPTY, SELL, state

from flashwick.orderbook.orders import (
    DELTA,
    EVENT,
    ORDER,
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    Phase,
    Reason,
    SelfTrade,
    Side,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks


@pytest.fixture
def three(make_books: Callable[..., ReferenceBooks]) -> ReferenceBooks:
    """Two markets with orders and one without."""
    books = make_books(3)
    for price, qty in (98, 3), (99, 5), (99, 2), (101, 4), (103, 6):
        books.limit(ATOM, ALICE, BUY if price < 100 else SELL, price, qty)
    books.limit(BTC, BOB, SELL, 7, 9, display=4)
    books.limit(BTC, BOB, SELL, 7, 1)
    books.market(BTC, BOB, SELL, 1, trigger=5)
    return books


# -- ALL MARKETS


def test_depths_are_the_depth_of_each_side_of_each_market(
    three: ReferenceBooks,
) -> None:
    """Filled up with zeros, cut at the number of levels."""
    before = state(three)
    for levels in 0, 1, 2, 5:
        found = three.depths(levels)
        assert (found.shape, found.dtype) == ((3, 2, levels, 2), np.int64)
        for market, side in np.ndindex(3, 2):
            prices, lots = three.depth(market, side, levels)
            rows = found[market, side]
            assert rows[: len(prices), 0].tolist() == prices.tolist()
            assert rows[: len(prices), 1].tolist() == lots.tolist()
            assert not rows[len(prices) :].any()
    assert three.depths(2)[ATOM].tolist() == [[[99, 7], [98, 3]], [[101, 4], [103, 6]]]
    assert state(three) == before
    with pytest.raises(ValueError, match="'levels' must be >= 0"):
        three.depths(-1)


def test_all_orders_are_those_of_each_side_of_each_market(
    three: ReferenceBooks,
) -> None:
    """By market and side, in queue order, dormant ones left out."""
    rows = three.all_orders()
    assert rows.dtype == ORDER
    assert rows["id"].tolist() == [2, 3, 1, 4, 5, 6, 7]
    each = [three.orders(market, side) for market, side in np.ndindex(3, 2)]
    assert rows.tolist() == np.concatenate(each).tolist()


def test_volume_at_a_price_of_each_market(three: ReferenceBooks) -> None:
    """What is shown there, zero where there is no level."""
    assert three.volume_at(BUY, [99, 7, 1]).tolist() == [7, 0, 0]
    assert three.volume_at(SELL, np.array([103, 7, 1])).tolist() == [6, 5, 0]
    assert three.volume_at(SELL, [0, -5, 2**40]).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="'prices' must hold 3 prices"):
        three.volume_at(BUY, [1, 2])
    with pytest.raises(ValueError, match="'side' must be 0"):
        three.volume_at(2, [1, 2, 3])


@pytest.mark.parametrize(
    ("ppm", "bids", "asks"),
    [
        (0, [0, 0], [0, 0]),
        # The middle is 100: 1 % below is 99, and counts.
        (9_999, [0, 0], [0, 0]),
        (10_000, [7, 693], [4, 404]),
        (29_999, [10, 987], [4, 404]),
        (30_000, [10, 987], [10, 1022]),
        (1_000_000, [10, 987], [10, 1022]),
    ],
)
def test_depth_within_a_share_of_the_middle(
    three: ReferenceBooks, ppm: int, bids: list[int], asks: list[int]
) -> None:
    """Lots and price times lots; without a best bid and ask there is no middle."""
    zeros = [[0, 0], [0, 0]]
    assert three.depth_within(ppm).tolist() == [[bids, asks], zeros, zeros]


def test_depth_within_rounds_inward(three: ReferenceBooks) -> None:
    """98 and 103 are 2.5 ticks, or 24,875.6 millionths, from the middle of 100.5."""
    three.replace(ATOM, ALICE, 4, 102, 4)
    assert three.best(ATOM) == (99, 102)
    assert three.depth_within(24_875)[ATOM].tolist() == [[7, 693], [4, 408]]
    assert three.depth_within(24_876)[ATOM].tolist() == [[10, 987], [10, 1026]]
    with pytest.raises(ValueError, match="'ppm' must be from 0 to 1,000,000"):
        three.depth_within(1_000_001)


def test_sweeps_are_the_sweep_of_each_market(three: ReferenceBooks) -> None:
    """One quantity each; an empty side gives zeros."""
    assert three.sweeps(BUY, [5, 3, 1]).tolist() == [
        [5, 4 * 101 + 103, 103],
        [3, 21, 7],
        [0, 0, 0],
    ]
    assert three.sweeps(SELL, np.array([8, 1, 1])).tolist()[ATOM] == [8, 693 + 98, 98]
    with pytest.raises(ValueError, match="'qtys' must hold 3 quantities"):
        three.sweeps(BUY, [1])


def test_sums_that_no_int64_holds_are_capped(three: ReferenceBooks) -> None:
    """Lots always fit, price times lots may not; one market's sum is exact."""
    three.limit(EMPTY, ALICE, SELL, PRICE_MAX, 2**50)
    most = 2**63 - 1
    assert three.volume_within(SELL, [1, 1, PRICE_MAX])[EMPTY].tolist() == [2**50, most]
    assert three.sweeps(BUY, [1, 1, 2**50])[EMPTY].tolist() == [2**50, most, PRICE_MAX]
    exact = 2**50 * PRICE_MAX
    assert three.sweep(EMPTY, BUY, 2**60) == (2**50, exact, PRICE_MAX)
    three.limit(EMPTY, ALICE, BUY, PRICE_MAX - 1, 2**50)
    assert three.depth_within(1)[EMPTY].tolist() == [[2**50, most]] * 2


# -- QUEUES


def test_a_place_in_the_queue_is_what_trades_before(three: ReferenceBooks) -> None:
    """Orders and shown lots ahead at the same price; -1 for what does not rest."""
    three.limit(BTC, CAROL, SELL, 7, 5)
    ids = [3, 2, 6, 7, 9, 8, 0, -4, 10, 2**40]
    expected = [[1, 5], [0, 0], [0, 0], [1, 4], [2, 5]] + [[-1, -1]] * 5
    assert three.queue_positions(ids).tolist() == expected
    assert three.queue_positions(np.array(ids)).dtype == np.int64
    three.market(BTC, ALICE, BUY, 4)
    # The iceberg has shown a new slice, at the back.
    assert three.queue_positions([6, 7, 9]).tolist() == [[2, 6], [0, 0], [1, 1]]
    assert three.queue_positions([]).shape == (0, 2)


# -- THE TAPE OF LEVELS


def deltas(books: ReferenceBooks) -> list[tuple[int, ...]]:
    """Message, market, side, price and new lots of the changes since the last time."""
    rows = books.take_deltas()
    assert rows.dtype == DELTA
    names = ["message", "market", "side", "price", "qty"]
    found: list[tuple[int, ...]] = rows[names].tolist()
    return found


def test_levels_are_recorded_on_demand(three: ReferenceBooks) -> None:
    """Off at first; what was recorded is handed over once."""
    three.limit(ATOM, BOB, BUY, 97, 1)
    assert deltas(three) == []
    three.record_depth(True)
    three.limit(ATOM, BOB, BUY, 97, 1)
    three.record_depth(False)
    three.limit(ATOM, BOB, BUY, 97, 1)
    assert deltas(three) == [(0, ATOM, BUY, 97, 2)]
    assert deltas(three) == []


def test_a_row_for_each_level_that_a_message_changed(three: ReferenceBooks) -> None:
    """With its new total, by side and price; what changes nothing has none."""
    three.record_depth(True)
    batch = messages(8)
    batch["account"] = BOB
    batch["qty"] = 8
    batch["kind"] = [
        Kind.LIMIT,
        Kind.MARKET,
        Kind.REPLACE,
        Kind.REPLACE,
        Kind.CANCEL,
        Kind.CANCEL,
        Kind.LIMIT,
        Kind.CANCEL_ALL,
    ]
    batch["side"] = [BUY, SELL, 0, 0, 0, 0, SELL, 2]
    batch["price"] = [101, 0, 100, 90, 0, 0, 0, 0]
    batch["order_id"] = [0, 0, 9, 9, 9, 9, 0, 0]
    batch["market"] = [ATOM] * 6 + [BTC, -1]
    results, _ = three.process(batch)
    assert results["accepted"].tolist() == [1, 1, 0, 0, 0, 0, 0, 1]
    assert deltas(three) == [
        # Four lots took the ask at 101, four rest there.
        (0, ATOM, BUY, 101, 4),
        (0, ATOM, SELL, 101, 0),
        # Eight were sold, to them and at 99.
        (1, ATOM, BUY, 99, 3),
        (1, ATOM, BUY, 101, 0),
        # Bob's two orders at 7 went.
        (7, BTC, SELL, 7, 0),
    ]


def test_a_level_that_is_as_before_has_no_row(three: ReferenceBooks) -> None:
    """A used-up slice that is refilled, an order replaced by itself."""
    three.record_depth(True)
    three.market(BTC, ALICE, BUY, 4)
    three.replace(BTC, BOB, 6, 7, 5)
    assert deltas(three) == []
    assert three.depth(BTC, SELL)[1].tolist() == [5]
    # A level that comes and goes within one message is none either.
    three.set_last_price(EMPTY, 10)
    three.limit(EMPTY, ALICE, BUY, 8, 5)
    three.market(EMPTY, CAROL, SELL, 3, trigger=9)
    three.limit(EMPTY, BOB, SELL, 8, 2, trigger=9)
    assert deltas(three) == [(0, EMPTY, BUY, 8, 5)]
    three.set_last_price(EMPTY, 9)
    assert deltas(three) == [(-1, EMPTY, BUY, 8, 0)]


def test_an_auction_is_on_the_tape_as_no_message(three: ReferenceBooks) -> None:
    """With what it set off: the message is -1."""
    three.set_phase(ATOM, Phase.CALL)
    three.limit(ATOM, BOB, SELL, 99, 9)
    three.record_depth(True)
    assert three.uncross(ATOM) == (99, 7)
    assert deltas(three) == [(-1, ATOM, BUY, 99, 0), (-1, ATOM, SELL, 99, 2)]


def test_the_tape_of_levels_rebuilds_the_depth(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """Starting from nothing, after each of many random batches."""
    rng = np.random.default_rng(4)
    books = make_books(2)
    books.record_depth(True)
    for account in range(4):
        books.set_self_trade(account, SelfTrade(account))
    shown: dict[tuple[int, int], dict[int, int]] = {}
    for _ in range(60):
        batch = messages(50)
        batch["kind"] = rng.choice(5, 50, p=[0.7, 0.1, 0.1, 0.02, 0.08])
        batch["market"] = rng.integers(0, 2, 50)
        batch["account"] = rng.integers(0, 4, 50)
        batch["side"] = rng.integers(0, 2, 50)
        batch["price"] = rng.integers(95, 106, 50)
        batch["qty"] = rng.integers(1, 30, 50)
        batch["order_id"] = np.where(
            batch["kind"] % 2 == 0, rng.integers(1, books.last_id + 2, 50), 0
        )
        batch["order_id"][batch["kind"] == Kind.LIMIT] = 0
        iceberg = (batch["kind"] == Kind.LIMIT) & (rng.random(50) < 0.2)
        batch["display"][iceberg] = 3
        stop = (batch["kind"] <= Kind.MARKET) & (rng.random(50) < 0.1)
        batch["trigger"][stop] = rng.integers(95, 106, int(stop.sum()))
        books.process(batch)
        rows = books.take_deltas()
        assert (np.diff(rows["message"]) >= 0).all()
        for message, market, side, price, qty in rows[
            ["message", "market", "side", "price", "qty"]
        ].tolist():
            assert 0 <= message < 50
            levels = shown.setdefault((market, side), {})
            # Each row says something new.
            assert levels.get(price, 0) != qty
            levels[price] = qty
        for market, side in np.ndindex(2, 2):
            prices, lots = books.depth(market, side)
            now = dict(zip(prices.tolist(), lots.tolist(), strict=True))
            known = shown.get((market, side), {})
            assert {price: qty for price, qty in known.items() if qty} == now
        books._check()
    assert books.trades > 500


# -- EVENTS


def test_what_befalls_a_resting_order_is_told_once(three: ReferenceBooks) -> None:
    """Who sent the message that did it is in the fields it has for causes."""
    assert three.take_events().dtype == EVENT
    three.set_self_trade(ALICE, SelfTrade.DECREMENT)
    batch = messages(2)
    batch["kind"], batch["account"], batch["market"] = Kind.MARKET, [BOB, ALICE], ATOM
    batch["side"], batch["qty"] = BUY, [1, 5]
    batch["time"], batch["cause"] = [4, 5], [6, 7]
    three.process(batch)
    rows = three.take_events()
    assert rows["pad"].tolist() == [bytes(2)] * 2
    assert [row[:-1] for row in rows.tolist()] == [
        (5, 7, 4, 3, ATOM, ALICE, 1, 2, Reason.SELF_TRADE),
        (5, 7, 5, 2, ATOM, ALICE, 1, 2, Reason.SELF_TRADE),
    ]
    assert len(three.take_events()) == 0


# -- LIMITS


def test_a_side_of_a_market_holds_no_more_lots_than_an_order_may_have(
    three: ReferenceBooks,
) -> None:
    """An order that could push it beyond is refused, hidden lots and all prices count.

    Orders that do not rest pass; the other side and other markets have their own sum.
    """
    assert three.limit(EMPTY, ALICE, BUY, 50, QTY_MAX - 1_005) > 0
    assert three.limit(EMPTY, ALICE, BUY, 40, 1_000, display=1) > 0
    before = state(three)
    refused = three.limit(EMPTY, BOB, BUY, 60, 6)
    assert refused == -Reason.OVERFLOW
    assert state(three) == before
    iceberg = three.limit(EMPTY, BOB, BUY, 60, 5, display=1)
    assert three.replace(EMPTY, BOB, iceberg, 61, 6) == -Reason.OVERFLOW
    assert three.replace(EMPTY, BOB, iceberg, 61, 5) == iceberg
    assert three.limit(BTC, BOB, BUY, 6, QTY_MAX) > 0
    assert three.limit(EMPTY, BOB, BUY, 60, QTY_MAX, tif=1) > 0
    assert three.market(EMPTY, BOB, BUY, QTY_MAX) > 0
    assert three.limit(EMPTY, CAROL, SELL, 40, QTY_MAX) > 0
    assert three.limit(EMPTY, CAROL, SELL, 70, QTY_MAX) > 0
    three._check()


def test_a_triggered_order_may_be_too_much_for_its_side(three: ReferenceBooks) -> None:
    """It counts when it enters, not while it waits."""
    three.set_last_price(EMPTY, 10)
    for _ in range(2):
        assert three.limit(EMPTY, ALICE, BUY, 9, QTY_MAX, trigger=11) > 0
    three.set_last_price(EMPTY, 11)
    assert three.take_events()["reason"].tolist() == [0, 0, Reason.OVERFLOW]
    assert three.live_orders == 8
    three._check()


def test_room_can_be_reserved(three: ReferenceBooks) -> None:
    """Nothing is seen of it."""
    before = state(three)
    three.reserve(10_000)
    three.reserve(orders=10, ids=20_000)
    assert state(three) == before
    three._check()
    for orders in -1, 2**31 + 1:
        with pytest.raises(ValueError, match="'orders' must be from 0 to 2147483648"):
            three.reserve(orders)
    for ids in -1, 2**32 - 1:
        with pytest.raises(ValueError, match="'ids' must be from 0 to 4294967287"):
            three.reserve(1, ids=ids)


# -- SLIDING


@pytest.mark.parametrize(
    ("side", "price", "expected"), [(BUY, 101, 100), (BUY, 150, 100), (SELL, 90, 100)]
)
def test_post_only_may_slide_behind_the_other_side(
    three: ReferenceBooks, side: Side, price: int, expected: int
) -> None:
    """One tick from the best opposite price instead of a refusal."""
    slide = Flag.POST_ONLY | Flag.SLIDE
    order_id = three.limit(ATOM, BOB, side, price, 5, flags=slide)
    assert three.order(order_id) == (ATOM, BOB, side, expected, 5)
    assert three.trades == 0
    # Moved across again it slides again.
    assert three.replace(ATOM, BOB, order_id, price, 6) == order_id
    assert three.order(order_id) == (ATOM, BOB, side, expected, 6)
    three._check()


def test_an_order_that_need_not_slide_stays(three: ReferenceBooks) -> None:
    """Its own price is kept where it does not cross."""
    slide = Flag.POST_ONLY | Flag.SLIDE
    order_id = three.limit(ATOM, BOB, BUY, 97, 5, flags=slide)
    assert three.order(order_id) == (ATOM, BOB, BUY, 97, 5)


@pytest.mark.parametrize(("side", "end"), [(SELL, 1), (BUY, PRICE_MAX)])
def test_where_there_is_no_tick_behind_it_is_refused(
    three: ReferenceBooks, side: Side, end: int
) -> None:
    """The best opposite price is the end of the range."""
    three.limit(EMPTY, ALICE, side, end, 5)
    slide = Flag.POST_ONLY | Flag.SLIDE
    refused = three.limit(EMPTY, BOB, 1 - side, end, 5, flags=slide)
    assert refused == -Reason.POST_ONLY_WOULD_CROSS
