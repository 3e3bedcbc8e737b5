"""What callers pass: whole numbers that a row holds, in both books, with one error."""

from collections.abc import Callable

import numpy as np
import pytest

from flashwick.orderbook.orders import Flag, Phase, SelfTrade, Side
from flashwick.orderbook.reference import ReferenceBooks

Call = Callable[[ReferenceBooks], object]

TICKS = "must be a whole number of ticks"
LOTS = "must be a whole number of lots"
SIDE = r"must be a Side, 0 \(buy\) or 1 \(sell\)"
PPM = r"must be a whole number of millionths: 200_000 for a share of 0\.2"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda b: b.limit(0, 1, 0, 99.9, 5), rf"'price' {TICKS} \(got 99\.9\)"),
        (lambda b: b.limit(0, 1, 0, 99.0, 5), rf"'price' {TICKS} \(got 99\.0\)"),
        (lambda b: b.limit(0, 1, 0, np.float64(99), 5), rf"'price' {TICKS}"),
        (lambda b: b.limit(0, 1, 0, 99, "5"), rf"'qty' {LOTS} \(got '5'\)"),
        (lambda b: b.limit(0, 1, 0, 99, True), rf"'qty' {LOTS} \(got True\)"),
        (lambda b: b.limit(0, 1, np.False_, 99, 5), rf"'side' {SIDE}"),
        (lambda b: b.set_phase(False, 0), "'market' must be a whole number"),
        (lambda b: b.limit(0, 1, "BUY", 99, 5), rf"'side' {SIDE} \(got 'BUY'\)"),
        (lambda b: b.limit(0, 1, 0, 99, 5, tif="IOC"), "'tif' must be a TimeInForce"),
        (lambda b: b.limit(0, 1, 0, 99, 5, flags="x"), "'flags' must be a Flag, or"),
        (lambda b: b.limit(0, 1, 0, 99, 5, display=0.5), rf"'display' {LOTS}"),
        (lambda b: b.limit(0, 1, 0, 99, 5, trigger=9.5), rf"'trigger' {TICKS}"),
        (lambda b: b.limit("ATOM", 1, 0, 99, 5), "'market' must be a whole number"),
        (lambda b: b.limit(0, None, 0, 99, 5), r"'account' must .* \(got None\)"),
        (lambda b: b.market(0, 1, 1, 3, protection=9.5), rf"'protection' {TICKS}"),
        (lambda b: b.cancel(0, 1, "1"), "'order_id' must be a whole number"),
        (lambda b: b.cancel_all(1, side="BOTH"), rf"'side' {SIDE}"),
        (lambda b: b.replace(0, 1, 1, 99.9, 5), rf"'price' {TICKS}"),
        (lambda b: b.set_price_band(0, 0.2), rf"'ppm' {PPM} \(got 0\.2\)"),
        (lambda b: b.set_circuit_breaker(0, 0.1, 10), rf"'ppm' {PPM}"),
        (lambda b: b.set_circuit_breaker(0, 9, 1.5), "'window_ns' must .* nanoseconds"),
        (lambda b: b.depth_within(0.1), rf"'ppm' {PPM}"),
        (lambda b: b.set_phase(0, "CALL"), r"'phase' must be a Phase, 0 \(OPEN\)"),
        (lambda b: b.set_phase(0, 2, time=0.5), "'time' must .* nanoseconds"),
        (lambda b: b.uncross(0, time=0.5), "'time' must .* nanoseconds"),
        (lambda b: b.set_self_trade(1, "NONE"), "'mode' must be a SelfTrade"),
        (lambda b: b.set_trigger_price(0, "mark", 5), "'flag' must be Flag.TRIGGER_"),
        (lambda b: b.set_trigger_price(0, 32, 5.5), rf"'price' {TICKS}"),
        (lambda b: b.set_last_price(0, 99.5), rf"'price' {TICKS}"),
        (lambda b: b.set_reference(0, 99.5), rf"'price' {TICKS}"),
        (lambda b: b.reserve(1.5), "'orders' must be a whole number"),
        (lambda b: b.best("ATOM"), "'market' must be a whole number"),
        (lambda b: b.depth(0, "SELL"), rf"'side' {SIDE}"),
        (lambda b: b.depth(0, 0, levels=1.5), "'levels' must be a whole number"),
        (lambda b: b.sweep(0, 0, 1.5), rf"'qty' {LOTS}"),
        (lambda b: b.order("1"), "'order_id' must be a whole number"),
        (lambda b: b.queue_positions("1"), "'order_ids' must be a row of whole .*'1'"),
        (lambda b: b.queue_positions(["1"]), "'order_ids' must be a row of whole"),
        (lambda b: b.queue_positions(1), "'order_ids' must be a row of whole"),
        (lambda b: b.volume_at(0, [99.5]), "'prices' must be a row of whole numbers"),
        (lambda b: b.volume_within(0, "9"), "'limits' must be a row of whole numbers"),
        (lambda b: b.sweeps(0, [0.5]), "'qtys' must be a row of whole numbers"),
        (lambda b: b.process([1]), r"'messages' must be of dtype MESSAGE \(got list\)"),
    ],
)
def test_what_is_no_whole_number_is_refused_by_its_name(
    make_books: Callable[..., ReferenceBooks], call: Call, words: str
) -> None:
    """Nothing is cut to a whole number, or read out of a text; nothing has changed."""
    books = make_books(1)
    books.limit(0, 1, Side.BUY, 100, 5)
    with pytest.raises(TypeError, match=words):
        call(books)
    assert books.last_id == 1
    assert books.depth(0, Side.BUY)[1].tolist() == [5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda b: b.limit(0, 1, 0, 2**63, 5), r"'price' must be from -9223372036854"),
        (lambda b: b.limit(2**31, 1, 0, 9, 5), "'market' must .* to 2147483647 .got"),
        (lambda b: b.limit(0, -(2**31) - 1, 0, 9, 5), "'account' must be from -21474"),
        (lambda b: b.limit(0, 1, -1, 9, 5), r"'side' must be from 0 to 255 \(got -1"),
        (lambda b: b.limit(0, 1, 0, 9, 5, flags=256), "'flags' must be from 0 to 255"),
        (lambda b: b.depth(0, 0, levels=-5), r"'levels' must be >= 0, or -1 for all"),
        (lambda b: b.depths(-1), r"'levels' must be >= 0 \(got -1\)"),
    ],
)
def test_a_number_that_no_row_holds_is_refused_by_its_name(
    make_books: Callable[..., ReferenceBooks], call: Call, words: str
) -> None:
    """What a row holds is a message, and answered with a reason if it is wrong."""
    with pytest.raises(ValueError, match=words):
        call(make_books(1))


@pytest.mark.parametrize("whole", [np.int32, np.int64, np.uint8, np.array])
def test_numbers_of_numpy_trade_like_those_of_python(
    make_books: Callable[..., ReferenceBooks], whole: Callable[[int], int]
) -> None:
    """Every method takes them, and counts on with Python's, which do not overflow."""
    books = make_books(1)
    market, account = whole(0), whole(1)
    books.set_self_trade(account, whole(SelfTrade.CANCEL_BOTH))
    books.set_last_price(market, whole(100))
    books.set_price_band(market, 30_000)
    # 97 is the edge of the band, until the trade at 98 has set off the stop.
    for price in (98, 97):
        bid = books.limit(market, account, whole(Side.BUY), whole(price), whole(5))
    stop = books.market(market, whole(2), Side.SELL, whole(2), trigger=whole(99))
    assert books.market(market, whole(2), Side.SELL, whole(9)) == 4
    fills = books.take_fills()[["taker_order", "price", "qty"]]
    assert fills.tolist() == [(4, 98, 5), (stop, 97, 2)]
    assert books.take_events()["order_id"].tolist() == [stop]
    books._check()

    books.set_price_band(market, whole(0))
    assert books.replace(market, account, whole(bid), whole(96), whole(6)) == bid
    books.set_phase(market, whole(Phase.CALL), whole(7))
    books.limit(market, whole(3), whole(Side.SELL), whole(95), whole(4))
    assert books.indicative(market) == (96, 4, 2)
    assert books.uncross(market, whole(8)) == (96, 4)
    assert books.take_fills()["qty"].tolist() == [4]
    books.set_phase(market, whole(Phase.OPEN))
    books.set_circuit_breaker(market, whole(200), whole(9), whole(Phase.HALTED))
    books._check()

    assert books.order(whole(bid)) == (0, 1, 0, 96, 2)
    assert books.sweep(market, whole(Side.SELL), whole(3)) == (2, 192, 96)
    assert books.queue_positions(np.array([bid], np.uint32)).tolist() == [[0, 0]]
    assert books.queue_positions([]).shape == (0, 2)
    assert books.cancel(market, account, whole(bid)) == 2
    assert books.cancel_all(account, market, whole(Side.BOTH)) == 0
    books._check()


def test_a_band_around_a_price_of_numpy_holds(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """Price times millionths is more than 32 bits hold."""
    books = make_books(1)
    books.set_last_price(0, np.int32(100_000))
    books.set_price_band(0, np.int32(30_000))
    books.limit(0, 1, Side.BUY, np.int32(97_000), 5)
    books.market(0, 2, Side.SELL, 5)
    assert len(books.take_fills()) == 0
    books.set_reference(0, np.int32(99_999))
    books.market(0, 2, Side.SELL, 5)
    assert books.take_fills()["price"].tolist() == [97_000]
    books._check()


def test_answers_are_plain_numbers(make_books: Callable[..., ReferenceBooks]) -> None:
    """A Side or a number of NumPy that went in comes out as an int."""
    books = make_books(1)
    books.limit(np.int64(0), 1, Side.SELL, np.int32(99), 5, flags=Flag.POST_ONLY)
    order = books.order(1)
    assert order == (0, 1, 1, 99, 5)
    assert [type(value) for value in order] == [int] * 5
    assert [type(price) for price in books.best(0)] == [int] * 2


@pytest.mark.parametrize("on", [0, 1, "yes", None])
def test_depth_is_recorded_or_not(
    make_books: Callable[..., ReferenceBooks], on: object
) -> None:
    """Only True and False say so, NumPy's too."""
    books = make_books(1)
    with pytest.raises(TypeError, match=rf"'on' must be True or False .got {on!r}"):
        books.record_depth(on)
    books.record_depth(np.True_)
    books.limit(0, 1, Side.BUY, 100, 5)
    assert books.take_deltas()["qty"].tolist() == [5]
