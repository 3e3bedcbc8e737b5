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


def test_numbers_of_numpy_and_enums_are_whole(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """Each is the number it stands for."""
    books = make_books(1)
    first = books.limit(
        np.int32(0), np.uint8(1), Side.BUY, np.int64(99), 5, flags=Flag.POST_ONLY
    )
    books.set_phase(0, Phase.CALL)
    books.set_self_trade(np.int64(1), SelfTrade.CANCEL_BOTH)
    assert books.queue_positions(np.array([first], np.uint32)).tolist() == [[0, 0]]
    assert books.queue_positions([]).shape == (0, 2)
    assert books.order(np.int64(first)) == (0, 1, 0, 99, 5)
