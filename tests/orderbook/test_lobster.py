"""LOBSTER files replayed through the book give the recorded levels back."""

import gzip
from pathlib import Path

import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook.errors import DataError
from flashwick.orderbook.lobster import read_messages, read_orderbook, replay
from flashwick.orderbook.orders import Side
from flashwick.orderbook.recorded import Replay
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


def counts(result: Replay, what: str) -> tuple[int, int]:
    """How often a check held, of how often."""
    check = result.check(what)
    return check.matched, check.total


def test_every_kind_of_message_has_its_effect(tmp_path: Path) -> None:
    """Executions that are hidden, and halts, change nothing; all others do."""
    result = replay(*write(tmp_path, MESSAGES, ORDERBOOK))
    assert result.ok
    assert result.kinds == {
        "new": 3,
        "partial cancel": 1,
        "deletion": 1,
        "execution": 1,
        "hidden execution": 1,
        "halt": 1,
    }
    assert result.rows == 8
    # The last message empties the best ask, and nothing comes up from below the file.
    assert counts(result, "level 1 equal") == (6, 6)
    assert counts(result, "level 1 comes up") == (1, 1)
    assert counts(result, "executions first come") == (1, 1)
    assert counts(result, "removals") == (3, 3)


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
    files = write(tmp_path, MESSAGES, wrong)
    result = replay(*files)
    assert not result.ok
    assert counts(result, "level 1 equal") == (6, 7)
    assert result.check("level 1 equal").first_miss == (
        f"{files[1]}:5: level 1: ask size must be 6 (got 5)"
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
    files = write(tmp_path, messages, levels)
    result = replay(*files)
    assert result.ok
    turn, known = result.check("executions first come"), result.check("removals")
    assert (turn.matched, turn.total) == (0, 1)
    assert turn.first_miss == f"{files[0]}:4: order 3 was not first"
    assert (known.matched, known.total) == (2, 3)
    assert known.first_miss == f"{files[0]}:6: order 9 at 2000"


@pytest.mark.parametrize(
    ("price", "what", "matched"),
    [(1010, "level 1 comes up", 1), (990, "level 1 equal", 0)],
)
def test_what_comes_up_from_below_the_file_must_be_worse(
    tmp_path: Path, price: int, what: str, matched: int
) -> None:
    """No message tells of it, but the best ask cannot fall when it is used up."""
    messages = ["1,1,1,10,1000,-1", "2,3,1,10,1000,-1"]
    levels = [f"{p},{size},{EMPTY_BID}" for p, size in ((1000, 10), (price, 4))]
    result = replay(*write(tmp_path, messages, levels))
    assert counts(result, what) == (matched, 1)
    assert result.ok == bool(matched)


def test_orders_that_changed_out_of_sight_are_not_taken_for_known(
    tmp_path: Path,
) -> None:
    """A level that comes up is new, even if it has as many lots as when it went down.

    Of order 1 and 2, at 1010, others have taken the place while 1000 was the best.
    """
    messages = [
        "1,1,1,5,1010,-1",
        "2,1,2,3,1010,-1",
        "3,1,3,3,1000,-1",
        "4,3,3,3,1000,-1",
        "5,3,98,2,1010,-1",
        "6,3,99,6,1010,-1",
    ]
    rows = ((1010, 5), (1010, 8), (1000, 3), (1010, 8), (1010, 6), (1020, 7))
    levels = [f"{price},{lots},{EMPTY_BID}" for price, lots in rows]
    result = replay(*write(tmp_path, messages, levels))
    assert result.ok
    assert counts(result, "removals") == (3, 3)
    assert counts(result, "level 1 comes up") == (2, 2)


@pytest.mark.parametrize(("size", "matched"), [(10, 2), (9, 1)])
def test_a_level_that_empties_below_the_file_lets_nothing_come_up(
    tmp_path: Path, size: int, matched: int
) -> None:
    """Then the levels of the file must be equal as ever."""
    messages = ["1,1,1,10,1000,-1", "2,1,2,4,1010,-1", "3,3,2,4,1010,-1"]
    levels = [f"1000,{lots},{EMPTY_BID}" for lots in (10, 10, size)]
    result = replay(*write(tmp_path, messages, levels))
    assert counts(result, "level 1 equal") == (matched, 2)
    assert result.ok == (size == 10)


def test_a_crossed_book_is_shown_as_it_is_and_reported(tmp_path: Path) -> None:
    """A recorded bid above the ask neither trades nor goes away; the replay fails."""
    messages = ["1,1,1,10,1000,-1", "2,1,2,5,1001,1"]
    levels = [f"1000,10,{EMPTY_BID}", "1000,10,1001,5"]
    files = write(tmp_path, messages, levels)
    result = replay(*files)
    assert counts(result, "level 1 equal") == (1, 1)
    apart = result.check("best bid below best ask")
    assert apart.first_miss == f"{files[1]}:2: crossed, bid 1001 and ask 1000"
    assert not result.ok
    assert result.state("X/USD").crossed


def test_the_state_at_the_end_has_the_queue_and_the_last_price(tmp_path: Path) -> None:
    """Orders in the order in which they trade; the last print; the last time."""
    state = replay(*write(tmp_path, MESSAGES[:6], ORDERBOOK[:6])).state("AAPL/USD")
    assert state.levels(Side.SELL).tolist() == [[1000100, 3]]
    assert state.bids.tolist() == [[999900, 7]]
    assert (state.last, state.time) == (1_000_000, 34_202 * 10**9)
    assert float(state.tick) == 0.0001
    assert state.lot == 1


# -- FILES OF DIFFERENT DEPTH

START = ["1010,5,1000,5,1020,5,990,5"]
SOME = [
    "1,1,1,5,1000,1",
    "2,1,2,7,990,1",  # not at the best price: no row
    "3,1,3,2,1010,-1",
    "4,5,0,1,1005,-1",  # hidden: a row that changes nothing
    "5,3,1,5,1000,1",
]
BEST = ["1010,5,1000,5", "1010,7,1000,5", "1010,7,1000,5", "1010,7,990,12", "1,1,1,1"]


def start(folder: Path, lines: list[str]) -> Path:
    """An order book file to start from."""
    path = folder / "start.csv"
    path.write_text("\n".join(lines))
    return path


def test_best_prices_are_compared_whenever_a_message_touches_them(
    tmp_path: Path,
) -> None:
    """The files may have any number of levels, and the book more rows at its end."""
    files = write(tmp_path, SOME, BEST)
    result = replay(*files, start=start(tmp_path, START))
    assert result.ok
    assert counts(result, "best prices that align") == (4, 4)
    assert counts(result, "best prices equal before") == (4, 4)
    assert counts(result, "rows inside") == (4, 4)


def test_a_row_inside_the_start_that_is_not_there_fails(tmp_path: Path) -> None:
    """Outside of it the book cannot be known in full, and a miss is only noted."""
    wrong = [*BEST[:2], "1010,7,1000,4", *BEST[3:]]
    files = write(tmp_path, SOME, wrong)
    result = replay(*files, start=start(tmp_path, START))
    inside = result.check("rows inside")
    assert (inside.matched, inside.total) == (3, 5)  # the row, and ours in its place
    assert inside.first_miss == (
        f"{files[1]}:3: ask, size, bid, size must be (1010, 7, 1000, 4) "
        "(got (1010, 7, 1000, 5))"
    )
    for what in "best prices that align", "best prices equal before":
        assert result.check(what).first_miss == inside.first_miss
    assert not result.ok
    deep = [*BEST[:3], "1010,7,980,12"]
    files = write(tmp_path, SOME, deep)
    result = replay(*files, start=start(tmp_path, ["1010,5,1000,5"]))
    assert counts(result, "best prices that align") == (3, 4)
    assert counts(result, "best prices equal before") == (3, 4)
    assert counts(result, "rows inside") == (3, 3)
    assert result.ok


def test_a_row_too_many_stands_against_none(tmp_path: Path) -> None:
    """Whichever stream has it: nothing of the other lies between its neighbours."""
    files = write(tmp_path, SOME, [*BEST[:2], "1010,9,1000,9", *BEST[2:]])
    inside = replay(*files, start=start(tmp_path, START)).check("rows inside")
    place = f"{files[1]}:3: ask, size, bid, size must be"
    assert inside.first_miss == f"{place} (1010, 9, 1000, 9) (got no row)"
    files = write(tmp_path, SOME, [BEST[0], *BEST[3:]])
    inside = replay(*files, start=start(tmp_path, START)).check("rows inside")
    place = f"{files[1]}:2: ask, size, bid, size must be"
    assert inside.first_miss == f"{place} no row (got (1010, 7, 1000, 5))"


# -- A PART OF A FILE


@pytest.mark.parametrize("rows", range(1, 9))
def test_until_gives_the_book_of_a_file_that_ends_there(
    tmp_path: Path, rows: int
) -> None:
    """Messages at the time are taken; the rest of both files is not looked at."""
    times = [m.partition(",")[0] for m in MESSAGES]
    rows = max(i + 1 for i, time in enumerate(times) if time == times[rows - 1])
    short = replay(*write(tmp_path, MESSAGES[:rows], ORDERBOOK[:rows]))
    seconds, _, part = times[rows - 1].partition(".")
    at = int(seconds) * 10**9 + int(f"{part:0<9}")
    files = write(tmp_path, MESSAGES, ORDERBOOK)
    whole = replay(*files, until=at)
    assert whole.rows == rows
    assert whole.checks == short.checks
    one, other = (found.state("AAPL/USD") for found in (short, whole))
    assert (one.bids.tolist(), one.asks.tolist()) == (
        other.bids.tolist(),
        other.asks.tolist(),
    )
    assert one.time == other.time == at
    # The same with a book to start from.
    started = replay(*files, start=start(tmp_path, ORDERBOOK[:1]), until=at)
    assert started.rows == rows


def test_until_before_the_first_message_is_refused(tmp_path: Path) -> None:
    """There is no book yet."""
    files = write(tmp_path, MESSAGES, ORDERBOOK)
    words = r"the first message, 09:30:00.000000001 \(got 09:30:00\)"
    for begin in None, start(tmp_path, ORDERBOOK[:1]):
        with pytest.raises(ValueError, match=words):
            replay(*files, start=begin, until="09:30")


# -- RECORDED DAYS


@pytest.mark.parametrize("books", [ReferenceBooks, Books])
def test_aapl_gives_nine_levels_exactly(
    data_dir: Path, books: type[ReferenceBooks]
) -> None:
    """2012-06-21: 998 of 998 rows; the tenth level reveals an eleventh in 92."""
    first = str(data_dir / "lobster" / "AAPL_2012-06-21_first999_{}_10.csv.gz")
    result = replay(first.format("message"), first.format("orderbook"), books=books())
    assert result.ok
    assert counts(result, "levels 1-9 equal") == (998, 998)
    assert counts(result, "levels 1-10 equal") == (906, 998)
    assert "orderbook_10.csv.gz:13: level 10: " in (
        result.check("levels 1-10 equal").first_miss
    )
    # In the tenth as well, all is told that messages can tell.
    assert counts(result, "level 10 equal") == (680, 680)
    assert counts(result, "level 10 comes up") == (318, 318)
    # Price-time priority as the exchange had it: each execution met the order named.
    assert counts(result, "executions first come") == (98, 98)
    assert counts(result, "removals") == (467, 467)
    assert list(result.kinds.values()) == [471, 369, 98, 61]


def test_an_hour_of_aapl_gives_the_best_prices_of_another_file(data_dir: Path) -> None:
    """91,997 messages from 10 levels: 17,482 best quotes equal before one differs.

    25,623 of 25,640 align with the day's file of best prices, and all of them while
    these lie within the ten levels from which the book started.
    """
    day = data_dir / "lobster" / "AAPL_2012-06-21_"
    result = replay(
        f"{day}34200000_37800000_message_50.csv.gz",
        f"{day}34200000_57600000_orderbook_1.csv.gz",
        start=f"{day}first999_orderbook_10.csv.gz",
    )
    assert result.ok
    assert counts(result, "best prices equal before") == (17_482, 25_640)
    assert counts(result, "best prices that align") == (25_623, 25_640)
    assert counts(result, "rows inside") == (25_538, 25_538)
    # Executions that the exchange itself did not make first come, first served.
    assert counts(result, "executions first come") == (4_043, 4_067)
    assert list(result.kinds.values()) == [44_256, 469, 41_004, 4_067, 2_201]


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
        ("1,1,1,0,1000,1", r"message.csv:2: size must be from 1 to \d+ \(got 0\)"),
        ("1,1,1,5,-1000,1", r"message.csv:2: price must be .* \(got -1000\)"),
        ("1,1,1,5,1000,0", r"message.csv:2: direction must be .* \(got 0\)"),
        (f"1,1,1,{2**41},1000,1", r"message.csv:2: size must be from 1 to \d+ \(got"),
        ("1,1,1,-5,1000,1", r"message.csv:2: size must be from 1 to \d+ \(got -5\)"),
        ("1,1,1,NaN,1000,1", r"message.csv:2: .* whole numbers \(got '1,1,1,NaN"),
        ("1,1,1,1_0,1000,1", r"message.csv:2: .* whole numbers"),
        ("0.5,1,1,5,1000,1", r"message.csv:2: time must not be before .* \(got 0.5\)"),
    ],
)
def test_a_bad_message_is_named_with_its_line(
    tmp_path: Path, line: str, words: str
) -> None:
    """File, line, what was expected and what came."""
    files = write(tmp_path, ["1,1,1,5,1000,1", line], ORDERBOOK[:2])
    with pytest.raises(DataError, match=words):
        replay(*files)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,1,1", r"orderbook.csv:2: .* must have 4 columns like line 1 \(got 3\)"),
        ("1,1,1,x", r"orderbook.csv:2: prices and sizes must be whole numbers .*'x'"),
        (f"1,1,1,{10**30}", r"orderbook.csv:2: a level must be .* size from 0 to"),
        ("5,-1,1,1", r"orderbook.csv:2: a level must be .* \(got \[5, -1\]\)"),
        ("1,NaN,1,1", r"orderbook.csv:2: prices and sizes must be whole numbers"),
        ("0,1,1,1", r"orderbook.csv:2: a level must be a price from 1 to 1073741823"),
    ],
)
def test_a_bad_row_of_the_book_is_named_with_its_line(
    tmp_path: Path, line: str, words: str
) -> None:
    """File, line, what was expected and what came."""
    files = write(tmp_path, MESSAGES[:2], [ORDERBOOK[0], line])
    with pytest.raises(DataError, match=words):
        replay(*files)


@pytest.mark.parametrize(("rows", "levels"), [(8, 7), (6, 8)])
def test_files_of_different_length_do_not_belong_together(
    tmp_path: Path, rows: int, levels: int
) -> None:
    """Both lengths and what may have happened are told."""
    files = write(tmp_path, MESSAGES[:rows], ORDERBOOK[:levels])
    words = (
        rf"a row for each of the {rows} messages of .* \(got {levels}\): one of the "
        r".* of different depths, give 'start' \(--start\)"
    )
    with pytest.raises(DataError, match=words):
        replay(*files)


def test_swapped_files_are_recognized(tmp_path: Path) -> None:
    """The number of columns gives it away."""
    messages, orderbook = write(tmp_path, MESSAGES, ORDERBOOK)
    with pytest.raises(DataError, match="is it an order book file"):
        replay(orderbook, messages)
    with pytest.raises(DataError, match="is it a message file"):
        list(read_orderbook(messages))


@pytest.mark.parametrize("kept", [0, 5, 60, -9])
def test_a_damaged_archive_is_named(tmp_path: Path, kept: int) -> None:
    """A .gz that was cut short, or is empty, is an error with the way out."""
    path = tmp_path / "message.csv.gz"
    path.write_bytes(gzip.compress("\n".join(MESSAGES).encode())[:kept])
    with pytest.raises(DataError, match=r"message.csv.gz.*fetch it again"):
        list(read_messages(path))
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"message.csv.gz:1: the file is damaged"):
        list(read_messages(path))
