"""A recorded book at one moment, and the book it is taken from."""

from collections.abc import Callable
from fractions import Fraction

import pytest

from flashwick.orderbook.book_state import BookState
from flashwick.orderbook.orders import PRICE_MAX, Side
from flashwick.orderbook.recorded import Check, RecordedBook
from flashwick.orderbook.reference import ReferenceBooks

UNITS = {"tick": Fraction(1, 100), "lot": Fraction(1)}
Rows = list[tuple[int, int]]


def state(bids: Rows, asks: Rows) -> BookState:
    """A state of these rows."""
    return BookState(name="A/B", bids=bids, asks=asks, **UNITS)


def test_levels_are_summed_and_the_queue_is_kept() -> None:
    """Two orders at a price are two rows and one level; an empty side has none."""
    one = state([(10, 3), (10, 4), (9, 1)], [])
    assert one.bids.tolist() == [[10, 3], [10, 4], [9, 1]]
    assert one.levels(Side.BUY).tolist() == [[10, 7], [9, 1]]
    assert one.levels(Side.SELL).tolist() == []
    assert one.best == (10, 0)
    assert not one.crossed


def test_locked_and_crossed_books_say_so() -> None:
    """A bid at or above the ask."""
    assert state([(10, 1)], [(10, 1)]).crossed
    assert state([(11, 1)], [(10, 1)]).crossed
    assert not state([(9, 1)], [(10, 1)]).crossed


@pytest.mark.parametrize(
    ("bids", "asks", "words"),
    [
        ([(9, 1), (10, 1)], [], r"'bids' must be sorted, .* \(got 9 before 10\)"),
        ([], [(10, 1), (9, 1)], r"'asks' must be sorted, .* \(got 10 before 9\)"),
        ([(9, 0)], [], r"'bids' must have prices .* \(got \[9, 0\]\)"),
        ([], [(PRICE_MAX + 1, 1)], r"'asks' must have prices from 1 to 1073741823"),
        ([(9, 1, 2)], [], r"'bids' must be rows of price and lots .*\(1, 3\)"),
    ],
)
def test_rows_that_are_no_book_are_refused(
    bids: list[tuple[int, ...]], asks: list[tuple[int, ...]], words: str
) -> None:
    """With the market, the side and the values."""
    with pytest.raises(ValueError, match=f"A/B: {words}"):
        BookState(name="A/B", bids=bids, asks=asks, **UNITS)


# -- THE BOOK BEHIND IT


def test_a_recorded_book_may_be_crossed(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """Its sides do not trade with each other."""
    book = RecordedBook(make_books())
    book.add(Side.SELL, 10, 5)
    book.add(Side.BUY, 12, 5)
    assert book.best() == (12, 10)
    check = Check("apart")
    check.add_apart(book.best(), "row 7")
    assert (check.missed, check.first_miss) == (1, "row 7: crossed, bid 12 and ask 10")
    check = Check("apart")
    check.add_apart((10, 10), "row 8")
    assert check.first_miss == "row 8: locked, bid 10 and ask 10"


def test_executions_are_matched_in_turn_or_taken_out(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """The first of the best level trades; any other order loses its lots."""
    book = RecordedBook(make_books())
    first, second = book.add(Side.SELL, 10, 5), book.add(Side.SELL, 10, 6)
    deep = book.add(Side.SELL, 11, 7)
    assert not book.execute(second, 2, 0)
    assert not book.execute(deep, 7, 0)
    assert book.emptied == (Side.SELL, 11)
    assert book.execute(first, 5, 0)
    assert book.execute(second, 9, 0)  # more than rests: all of it
    assert book.best() == (0, 0)
    assert book.last == 10
    assert len(book.books.take_fills()) == 0


def test_a_level_is_set_to_what_a_source_of_levels_tells(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """New, more, fewer, gone, and gone though it never was."""
    book = RecordedBook(make_books())
    for qty in (5, 9, 2, 0, 0, 3):
        book.set_level(Side.BUY, 10, qty)
        assert book.depth(Side.BUY) == (([10], [qty]) if qty else ([], []))


def test_the_lot_of_a_state_is_as_large_as_it_fits() -> None:
    """Quantities sent to 8 decimals are in the steps that they really have."""
    book = RecordedBook()
    book.add(Side.BUY, 10, 150_000)
    book.add(Side.SELL, 11, 12_000)
    state = book.state("BTC/USDT", Fraction(1, 100), Fraction(1, 10**8))
    assert state.lot == Fraction(1, 10**5)
    assert (state.bids.tolist(), state.asks.tolist()) == ([[10, 150]], [[11, 12]])
    whole = book.state("X/USD", Fraction(1, 100), Fraction(1))
    assert whole.lot == 1
