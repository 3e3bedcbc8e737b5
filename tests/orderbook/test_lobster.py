"""LOBSTER files replayed through the book give the recorded levels back."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook.errors import DataError
from flashwick.orderbook.lobster import (
    Event,
    Mismatch,
    Reconstruction,
    read_messages,
    read_orderbook,
    replay,
)
from flashwick.orderbook.reference import ReferenceBooks

EMPTY_ASK, EMPTY_BID = "9999999999,0", "-9999999999,0"
MESSAGES = [
    "34200.000000001,1,11,10,1000100,-1",  # described by row 1 of the book only
    "34200.000000002,1,12,5,1000100,-1",
    "34200.5,1,13,7,999900,1",
    "34201.25,4,11,10,1000100,-1",  # first in its queue, though no message told of it
    "34201.25,5,0,3,1000000,-1",
    "34202,2,12,2,1000100,-1",
    "34203,7,0,0,-1,-1",
    "34204,3,12,3,1000100,-1",
]
ORDERBOOK = [
    f"1000100,10,{EMPTY_BID}",
    f"1000100,15,{EMPTY_BID}",
    "1000100,15,999900,7",
    "1000100,5,999900,7",
    "1000100,5,999900,7",
    "1000100,3,999900,7",
    "1000100,3,999900,7",
    f"{EMPTY_ASK},999900,7",
]


def write(folder: Path, messages: list[str], orderbook: list[str]) -> tuple[Path, Path]:
    """Both files, without a newline at the end as LOBSTER has them."""
    paths = folder / "message.csv", folder / "orderbook.csv"
    for path, lines in zip(paths, (messages, orderbook), strict=True):
        path.write_text("\n".join(lines))
    return paths


def test_every_kind_of_message_has_its_effect(tmp_path: Path) -> None:
    """Executions that are hidden, and halts, change nothing; all others do."""
    result = replay(*write(tmp_path, MESSAGES, ORDERBOOK))
    assert result.exact
    assert (result.rows, result.levels, result.matched) == (7, 1, (7,))
    assert result.first_mismatch is None
    assert result.events == {
        Event.NEW: 3,
        Event.PARTIAL_CANCEL: 1,
        Event.DELETION: 1,
        Event.EXECUTION: 1,
        Event.HIDDEN_EXECUTION: 1,
        Event.CROSS: 0,
        Event.HALT: 1,
    }
    assert (result.in_turn, result.out_of_turn, result.unknown) == (1, 0, 0)


def test_times_are_read_to_the_nanosecond(tmp_path: Path) -> None:
    """Any number of decimals, none included, without a float in between."""
    messages, _ = write(tmp_path, MESSAGES, ORDERBOOK)
    times = [row.time for row in read_messages(messages)]
    second = 10**9
    assert times[:3] == [34_200 * second + 1, 34_200 * second + 2, 34_200_500_000_000]
    assert times[5] == 34_202 * second


def test_a_difference_is_found_at_its_row_and_level(tmp_path: Path) -> None:
    """The first one is shown; the book starts again, so that it is counted once."""
    left = [(4, 6), (5, 4), (6, 4), (7, 1)]  # one more than the messages leave
    wrong = [*ORDERBOOK]
    for row, size in left:
        wrong[row] = f"1000100,{size},999900,7"
    result = replay(*write(tmp_path, MESSAGES, wrong))
    assert not result.exact
    assert result.matched == (6,)
    assert result.first_mismatch == Mismatch(
        row=5,
        level=1,
        expected=(1000100, 6, 999900, 7),
        found=(1000100, 5, 999900, 7),
    )


def test_an_execution_out_of_turn_takes_the_named_order(tmp_path: Path) -> None:
    """The order in front of it stays and can be cancelled later."""
    messages = [
        "1,1,1,10,1000,-1",
        "2,1,2,5,1000,-1",
        "3,1,3,4,1000,-1",
        "4,4,3,4,1000,-1",
        "5,3,2,5,1000,-1",
        "6,3,9,5,2000,-1",
    ]
    levels = [f"1000,{size},{EMPTY_BID}" for size in (10, 15, 19, 15, 10, 10)]
    result = replay(*write(tmp_path, messages, levels))
    assert result.exact
    assert (result.in_turn, result.out_of_turn, result.unknown) == (0, 1, 1)


# -- RECORDED DAYS


@pytest.mark.parametrize("books", [ReferenceBooks, Books])
def test_aapl_gives_nine_levels_exactly(
    data_dir: Path, books: type[ReferenceBooks]
) -> None:
    """2012-06-21: 998 of 998 rows; the tenth level reveals an eleventh in 92."""
    first = str(data_dir / "lobster" / "AAPL_2012-06-21_first999_{}_10.csv.gz")
    result = replay(
        first.format("message"), first.format("orderbook"), books=books(), levels=None
    )
    assert result.exact
    assert (result.rows, result.levels) == (998, 9)
    assert result.matched == (*[998] * 9, 906)
    assert result.unknown == 0
    # Price-time priority as the exchange had it: each execution met the order named.
    assert (result.in_turn, result.out_of_turn) == (98, 0)
    kinds = [result.events[kind] for kind in Event]
    assert kinds == [471, 0, 369, 98, 61, 0, 0]


def test_aapl_shows_the_level_that_was_revealed(data_dir: Path) -> None:
    """Asked for all ten levels, it names the first row that shows an unknown one."""
    first = str(data_dir / "lobster" / "AAPL_2012-06-21_first999_{}_10.csv.gz")
    result = replay(first.format("message"), first.format("orderbook"), levels=10)
    assert not result.exact
    assert result.first_mismatch is not None
    assert (result.first_mismatch.row, result.first_mismatch.level) == (13, 10)


def test_an_hour_of_aapl_gives_the_best_prices_of_another_file(data_dir: Path) -> None:
    """91,997 messages from 10 levels: 17,482 best quotes equal before one differs.

    A message has an output if it touches the best level of its side, before or after
    it; the other file is the day's best level.
    """
    day = data_dir / "lobster" / "AAPL_2012-06-21_"
    (snapshot, *_) = read_orderbook(f"{day}first999_orderbook_10.csv.gz")
    rows = read_messages(f"{day}34200000_37800000_message_50.csv.gz")
    best = read_orderbook(f"{day}34200000_57600000_orderbook_1.csv.gz")[:, 0]
    market = Reconstruction(Books(), snapshot)
    outputs = [after := market.levels(1)[0]]
    for row in rows[1:]:
        before = after
        market.apply(row)
        after = market.levels(1)[0]
        if row.event == Event.HIDDEN_EXECUTION or (after != before).any():
            outputs.append(after)
    assert len(outputs) == 25_640
    equal = (np.array(outputs) == best[: len(outputs)]).all(axis=1)
    assert equal.argmin() == 17_482
    # Executions that the exchange itself did not make first come, first served.
    assert (market.in_turn, market.out_of_turn) == (4_043, 24)


# -- DAMAGED FILES


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,1,1,10,1000", r"message.csv:2: a message must have 6 columns \(got 5\)"),
        (
            "1,1,1,x,1000,1",
            r"message.csv:2: time must be .* whole numbers \(got '1,1,1,x",
        ),
        ("one,1,1,1,1000,1", r"message.csv:2: time must be seconds after midnight"),
        ("1,8,1,10,1000,1", r"message.csv:2: type must be from 1 to 7 \(got 8\)"),
        ("1,1,1,0,1000,1", r"message.csv:2: size must be 1 or more \(got 0\)"),
        ("1,1,1,5,-1000,1", r"message.csv:2: price must be .* \(got -1000\)"),
        ("1,1,1,5,1000,0", r"message.csv:2: direction must be .* \(got 0\)"),
    ],
)
def test_a_bad_message_is_named_with_its_line(
    tmp_path: Path, line: str, words: str
) -> None:
    """File, line, what was expected and what came."""
    files = write(tmp_path, [MESSAGES[0], line], ORDERBOOK[:2])
    with pytest.raises(DataError, match=words):
        replay(*files)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,1,1", r"orderbook.csv:2: .* must have 4 columns like line 1 \(got 3\)"),
        ("1,1,1,x", r"orderbook.csv:2: prices and sizes must be whole numbers .*'x'"),
        (f"1,1,1,{10**30}", r"orderbook.csv:2: prices and sizes must be whole numbers"),
        ("5,-1,1,1", r"orderbook.csv:2: a level must be .* \(got \[5, -1, 1, 1\]\)"),
        ("0,1,1,1", r"orderbook.csv:2: a level must be prices from 1 to 1073741823"),
    ],
)
def test_a_bad_row_of_the_book_is_named_with_its_line(
    tmp_path: Path, line: str, words: str
) -> None:
    """File, line, what was expected and what came."""
    files = write(tmp_path, MESSAGES[:2], [ORDERBOOK[0], line])
    with pytest.raises(DataError, match=words):
        replay(*files)


def test_files_of_different_length_do_not_belong_together(tmp_path: Path) -> None:
    """Both lengths and what may have happened are told."""
    files = write(tmp_path, MESSAGES, ORDERBOOK[:-1])
    words = r"a row for each of the 8 messages of .* \(got 7\): one of the files is cut"
    with pytest.raises(DataError, match=words):
        replay(*files)


def test_swapped_files_are_recognized(tmp_path: Path) -> None:
    """The number of columns gives it away."""
    messages, orderbook = write(tmp_path, MESSAGES, ORDERBOOK)
    with pytest.raises(DataError, match="is it an order book file"):
        replay(orderbook, messages)
    with pytest.raises(DataError, match="is it a message file"):
        read_orderbook(messages)


@pytest.mark.parametrize("kept", [0, 5, 60, -9])
def test_a_damaged_archive_is_named(tmp_path: Path, kept: int) -> None:
    """A .gz that was cut short, or is empty, is an error with the way out."""
    path = tmp_path / "message.csv.gz"
    path.write_bytes(gzip.compress("\n".join(MESSAGES).encode())[:kept])
    with pytest.raises(DataError, match=r"message.csv.gz.*fetch it again"):
        read_messages(path)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"message.csv.gz:1: the file is damaged"):
        read_messages(path)


def test_too_many_levels_are_a_value_error(tmp_path: Path) -> None:
    """There are only as many as the file has."""
    files = write(tmp_path, MESSAGES, ORDERBOOK)
    with pytest.raises(ValueError, match=r"'levels' must be from 1 to 1 \(got 2\)"):
        replay(*files, levels=2)
