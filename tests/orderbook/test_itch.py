"""NASDAQ ITCH 5.0 files give every stock's book, and tell where they contradict it."""

import gzip
from pathlib import Path
from struct import pack

import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook import files
from flashwick.orderbook.errors import DataError
from flashwick.orderbook.itch import KINDS, read, replay
from flashwick.orderbook.recorded import Replay
from flashwick.orderbook.reference import ReferenceBooks

BOB, CAT = 2, 3


def head(kind: str, locate: int, time: int) -> bytes:
    """What every message begins with."""
    return pack(">cHHHI", kind.encode(), locate, 0, time >> 32, time & 0xFFFFFFFF)


def event(code: str, time: int = 0) -> bytes:
    """A system event."""
    return head("S", 0, time) + code.encode()


def listed(locate: int, name: str, time: int = 0) -> bytes:
    """A stock of the directory."""
    return (head("R", locate, time) + name.ljust(8).encode()).ljust(39, b" ")


def trading(locate: int, name: str, state: str, time: int = 0) -> bytes:
    """A trading action."""
    return (head("H", locate, time) + f"{name:8}{state}".encode()).ljust(25, b" ")


def add(
    order: int, side: str, shares: int, price: int, locate: int = BOB, time: int = 0
) -> bytes:
    """A new order."""
    body = pack(">QcI8sI", order, side.encode(), shares, b"BOB     ", price)
    return head("A", locate, time) + body


def execute(order: int, shares: int, time: int = 0) -> bytes:
    """An execution at the order's price."""
    return head("E", BOB, time) + pack(">QIQ", order, shares, 1)


def execute_at(order: int, shares: int, price: int) -> bytes:
    """An execution at another price."""
    return head("C", BOB, 0) + pack(">QIQcI", order, shares, 1, b"Y", price)


def cancel(order: int, shares: int) -> bytes:
    """Some shares are taken off an order."""
    return head("X", BOB, 0) + pack(">QI", order, shares)


def delete(order: int) -> bytes:
    """An order goes."""
    return head("D", BOB, 0) + pack(">Q", order)


def change(old: int, new: int, shares: int, price: int) -> bytes:
    """An order takes the place of another."""
    return head("U", BOB, 0) + pack(">QQII", old, new, shares, price)


def trade(price: int) -> bytes:
    """A trade of an order that was not shown."""
    body = pack(">QcI8sIQ", 0, b"B", 5, b"BOB     ", price, 1)
    return head("P", BOB, 0) + body


OPEN = [event("O"), listed(BOB, "BOB"), trading(BOB, "BOB", "T")]
DAY = [
    *OPEN,
    add(1, "S", 10, 1000),
    add(2, "S", 5, 1000),
    add(3, "B", 7, 990),
    execute(1, 4),
    execute_at(1, 6, 1002),
    cancel(2, 2),
    change(3, 4, 9, 991),
    add(5, "B", 1, 980),
    delete(5),
    trade(995),
    event("C"),
]


def write(folder: Path, messages: list[bytes], *, prefix: bool = False) -> Path:
    """An ITCH file, with lengths in front of the messages or zeros."""
    path = folder / "day.itch"
    path.write_bytes(
        b"".join(pack(">H", len(m) if prefix else 0) + m for m in messages)
    )
    return path


def missed(result: Replay) -> dict[str, int]:
    """Checks that did not always hold, and how often."""
    return {check.what: check.missed for check in result.checks if check.missed}


def test_messages_have_the_lengths_of_the_specification() -> None:
    """Those of the tests are built after it, field by field."""
    for message in DAY:
        assert len(message) == KINDS[chr(message[0])][0]


def test_until_gives_the_book_of_the_moment(tmp_path: Path) -> None:
    """Messages at the time are taken, and no end of messages is asked for."""
    day = [*OPEN, add(1, "S", 10, 1000, time=60), add(2, "B", 5, 990, time=70)]
    day += [add(3, "B", 5, 1000, time=70), execute(1, 5, time=80)]
    path = write(tmp_path, day)
    found = replay(path, until=60)
    assert found.ok
    assert found.rows == len(OPEN) + 1
    assert found.state("BOB/USD").asks.tolist() == [[1000, 10]]
    with pytest.raises(LookupError):
        found.check("file ends")
    # Crossed afterwards, and only there.
    assert replay(path, until="70").state("BOB/USD").crossed
    assert not found.state("BOB/USD").crossed
    with pytest.raises(ValueError, match=r"the first message, 00:00:00.00000006"):
        replay(write(tmp_path, day[len(OPEN) :]), until=59)


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("books", [ReferenceBooks, Books])
def test_every_message_has_its_effect(
    tmp_path: Path, books: type[ReferenceBooks], prefix: bool
) -> None:
    """Executed, cancelled in part, replaced, deleted; trades change no book."""
    result = replay(write(tmp_path, DAY, prefix=prefix), books=books())
    assert result.ok, missed(result)
    assert missed(result) == {}
    assert result.rows == len(DAY)
    assert result.kinds["A add order"] == 4
    state = result.state("BOB/USD")
    assert state.asks.tolist() == [[1000, 3]]
    assert state.bids.tolist() == [[991, 9]]
    assert state.last == 995
    check = result.check("executions first come")
    assert (check.matched, check.total) == (2, 2)


def test_a_replaced_order_goes_to_the_end_of_its_queue(tmp_path: Path) -> None:
    """Even at its own price: it is a new order."""
    messages = [*OPEN, add(1, "B", 1, 990), add(2, "B", 2, 990), change(1, 3, 9, 990)]
    result = replay(write(tmp_path, [*messages, event("C")]))
    assert result.state("BOB/USD").bids.tolist() == [[990, 2], [990, 9]]


@pytest.mark.parametrize(
    ("message", "what", "words"),
    [
        (delete(9), "orders that are named rest", "message 4: order 9 does not rest"),
        (execute(9, 1), "orders that are named rest", "message 4: order 9 does"),
        (cancel(9, 1), "orders that are named rest", "message 4: order 9 does"),
        (change(9, 8, 1, 1), "orders that are named rest", "message 4: order 9 does"),
        (add(7, "B", 1, 9, CAT), "stocks are in the directory", "message 4: BOB"),
    ],
)
def test_what_was_never_told_is_counted(
    tmp_path: Path, message: bytes, what: str, words: str
) -> None:
    """Nothing else happens; the first is shown, and the replay fails."""
    result = replay(write(tmp_path, [*OPEN, message, event("C")]))
    check = result.check(what)
    assert check.missed == 1
    assert words in check.first_miss
    assert not result.ok


def test_more_than_rests_is_counted(tmp_path: Path) -> None:
    """The order is gone then, whatever was asked for."""
    rest = [add(1, "S", 10, 1000), add(2, "S", 10, 1001)]
    over = [execute(1, 11), cancel(2, 12)]
    result = replay(write(tmp_path, [*OPEN, *rest, *over, event("C")]))
    check = result.check("no more is taken")
    assert check.missed == 2
    assert "message 6: order 1: 11 shares of 10" in check.first_miss
    assert result.state("BOB/USD").best == (0, 0)


def test_an_order_number_that_rests_already_is_counted(tmp_path: Path) -> None:
    """Numbers are unique during a day."""
    twice = [add(1, "S", 10, 1000), add(1, "S", 10, 1000)]
    result = replay(write(tmp_path, [*OPEN, *twice, event("C")]))
    assert missed(result) == {"order numbers are new": 1}


def test_crossed_and_locked_books_count_while_trading_only(tmp_path: Path) -> None:
    """A halt ends in an auction, before which a crossed book is no fault."""
    cross = [add(1, "S", 1, 1000), add(2, "B", 1, 1000), add(3, "B", 1, 1001)]
    path = write(tmp_path, [*OPEN, *cross, event("C")])
    result = replay(path)
    check = result.check("best bid below best ask")
    assert (check.matched, check.total) == (1, 3)
    assert check.first_miss == f"{path}: message 5: locked, bid 1000 and ask 1000"
    assert not result.ok
    halted = [*OPEN, trading(BOB, "BOB", "H"), *cross, event("C")]
    result = replay(write(tmp_path, halted))
    assert result.ok
    assert result.state("BOB/USD").crossed


def test_a_file_without_the_end_of_messages_fails(tmp_path: Path) -> None:
    """It may have been cut between two messages."""
    path = write(tmp_path, DAY[:-1])
    result = replay(path)
    assert not result.ok
    assert missed(result) == {"file ends with the end of messages": 1}
    assert result.check("file ends").first_miss == f"{path}: message 13 is the last"


def test_prices_beyond_the_books_are_kept_aside(tmp_path: Path) -> None:
    """A stub quote at 199,999.99 dollars is known, and noted, but in no book."""
    far = 1_999_999_900
    stub = [add(1, "S", 1, far), change(1, 2, 1, far), execute(2, 1), delete(2)]
    result = replay(write(tmp_path, [*OPEN, *stub, event("C")]))
    assert missed(result) == {"prices within the books' range": 2}
    assert result.ok
    assert result.state("BOB/USD").best == (0, 0)


def test_a_stock_is_chosen_by_its_name(tmp_path: Path) -> None:
    """One the file does not have is a LookupError that lists them."""
    two = [*OPEN, listed(CAT, "CAT"), add(1, "B", 3, 50, CAT), event("C")]
    result = replay(write(tmp_path, two))
    assert result.state("CAT/USD").bids.tolist() == [[50, 3]]
    assert len(result.state("BOB/USD").bids) == 0
    with pytest.raises(LookupError, match=r"must begin with one of BOB, CAT \(got 'D"):
        result.state("DOG/USD")


def test_messages_are_whole_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is read in blocks, whose ends are not those of messages."""
    path = write(tmp_path, DAY)
    for size in (1, 7, 64):
        monkeypatch.setattr(files, "BLOCK", size)
        assert list(read(path)) == DAY


# -- DAMAGED FILES


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([b"z" * 20], r"message 1 at byte 0: its type must be one of .* \(got 'z'\)"),
        ([*OPEN, add(1, "Q", 1, 1)], r"message 4: side must be B or S \(got b'Q'\)"),
        ([*OPEN, add(1, "B", 0, 9)], r"message 4: shares and price must .* 0 at 9\)"),
        ([*OPEN, add(1, "B", 9, 0)], r"message 4: shares and price must .* 9 at 0\)"),
        (
            [*OPEN, add(1, "B", 9, 9), execute(1, 0)],
            r"message 5: shares must be 1 or more \(got 0\)",
        ),
        (
            [event("O", 7 << 32), event("C", 5)],
            r"message 2: time must not be before the message above \(got 5 ns after",
        ),
        ([OPEN[0], OPEN[1][:-5]], r"message 2 at byte 14: the file is cut short \(36"),
        ([listed(BOB, "B\xe9B")], r"message 1: the stock must be ASCII letters"),
    ],
)
def test_a_fault_is_named_with_its_place(
    tmp_path: Path, messages: list[bytes], words: str
) -> None:
    """File, message, what must be and what came."""
    with pytest.raises(DataError, match=f"day.itch: {words}"):
        replay(write(tmp_path, messages))


def test_a_length_that_does_not_fit_the_type_is_no_itch(tmp_path: Path) -> None:
    """Lengths are zero, or those of the specification."""
    path = tmp_path / "day.itch"
    path.write_bytes(pack(">H", 11) + DAY[0])
    with pytest.raises(DataError, match=r"length must be 0 or 12 \(got 11\): is it an"):
        replay(path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    """Cut short, no archive at all, or empty."""
    path = tmp_path / "day.itch.gz"
    whole = gzip.compress(write(tmp_path, DAY).read_bytes())
    for content in (whole[:-9], b"no archive", b"", gzip.compress(b"")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"day.itch.gz: .*fetch it again"):
            replay(path)


# -- A RECORDED DAY


def test_the_sample_day_is_read_message_by_message(data_dir: Path) -> None:
    """12,012 messages of RITCH's synthetic day, whose faults are all found.

    It was thinned out: 117 messages name orders that were never added, and what should
    have been deleted stays and crosses the books.
    """
    result = replay(data_dir / "itch" / "ex20101224.TEST_ITCH_50.gz")
    assert result.rows == 12_012
    by_type = {kind[0]: n for kind, n in result.kinds.items()}
    assert by_type == {
        "S": 6,
        "R": 3,
        "H": 3,
        "A": 4997,
        "F": 3,
        "E": 198,
        "D": 1745,
        "P": 5000,
        "U": 12,
        "X": 45,
    }
    added = {name: book.added for name, book in result.books.items()}
    assert added == {"ALC": 950, "BOB": 2482, "CHAR": 1568}
    assert missed(result) == {
        "orders that are named rest in a book": 117,
        "best bid below best ask, while trading": 6842,
        "executions first come, first served": 167,
    }
    assert result.check("orders that are named").total == 198 + 45 + 1745 + 12
    for book in result.books.values():
        book.books._check()
