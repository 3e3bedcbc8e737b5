"""The commands that replay recorded data: what they print, and their exit codes."""

import gzip
import json
from pathlib import Path
from struct import pack

import pytest
from click.testing import CliRunner, Result

import flashwick as fw
from flashwick.cli import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    """Run a command; anything but an exit is a bug and fails the test."""
    return CliRunner().invoke(main, ["replay", *arguments], catch_exceptions=False)


def cells(result: Result) -> dict[str, list[str]]:
    """Matched, share, verdict and what else is in the row of each check."""
    rows = {}
    for line in result.stdout.splitlines():
        row = [cell.strip() for cell in line.split("  ") if cell.strip()]
        if len(row) > 1 and "/" in row[1]:
            rows[row[0]] = row[1:]
    return rows


ITCH = [
    b"S" + bytes(10) + b"O",
    b"R" + pack(">HHHI", 1, 0, 0, 0) + b"BOB     " + bytes(20),
    b"H" + pack(">HHHI", 1, 0, 0, 0) + b"BOB     T" + bytes(5),
    b"A" + pack(">HHHIQ", 1, 0, 0, 0, 7) + b"B" + pack(">I8sI", 5, b"BOB     ", 10_000),
    b"S" + bytes(10) + b"C",
]
BINANCE = [
    {"lastUpdateId": 1, "bids": [["1.00", "5.0"]], "asks": [["1.02", "4.0"]]},
    {"e": "depthUpdate", "s": "XYZ", "U": 2, "u": 2, "b": [["1.01", "2.0"]], "a": []},
    {"u": 2, "s": "XYZ", "b": "1.01", "B": "2.0", "a": "1.02", "A": "4.0"},
]


def write_files() -> None:
    """One good file of each kind, and some that are none."""
    Path("folder.html").mkdir()
    Path("file").touch()
    Path("one.csv").write_text("34200.1,1,11,5,10000,1\n")
    Path("cut.csv").write_text("34200.1,1,11,5\n")
    Path("two.csv").write_text("10100,5,10000,5\n10100,5,10000,5\n")
    Path("messages.csv").write_text("34200.1,1,11,5,10000,1\n34200.2,1,12,3,10000,1\n")
    Path("book.csv").write_text("10100,5,10000,5\n10100,5,10000,8\n")
    Path("wrong.csv").write_text("10100,5,10000,5\n10100,5,10000,9\n")
    day = b"".join(bytes(2) + message for message in ITCH)
    Path("day.itch.gz").write_bytes(gzip.compress(day))
    lines = [f"{i} {json.dumps(data)}\n" for i, data in enumerate(BINANCE)]
    Path("capture").write_text("".join(lines))
    Path("gap").write_text(
        "".join(lines) + "3 " + json.dumps(BINANCE[1] | {"U": 4, "u": 4})
    )


def test_lobster_prints_the_rows_that_match() -> None:
    """Messages by kind, each check with its share, the book at the end."""
    write_files()
    result = call("lobster", "messages.csv", "book.csv")
    assert result.exit_code == 0
    assert result.stdout.startswith("2 messages: 2 new\n")
    assert cells(result) == {
        "level 1 equal, but where a level emptied": ["1/1", "100.00 %", "ok"],
        "best bid below best ask": ["1/1", "100.00 %", "ok"],
    }
    (book,) = [line for line in result.stdout.splitlines() if "1.01" in line]
    assert book.split() == ["1", "1", "1", "1.0", "1.01", "none"]
    assert "2 of 2 required checks hold" in result.stdout


def test_lobster_exits_1_where_a_row_differs() -> None:
    """The first difference is named: file, row, level, what is there, what came."""
    write_files()
    result = call("lobster", "messages.csv", "wrong.csv")
    assert result.exit_code == 1
    name = "level 1 equal, but where a level emptied"
    assert cells(result)[name] == ["0/1", "0.00 %", "MISS"]
    miss = f"first miss, {name}: wrong.csv:2: level 1: bid size must be 9 (got 8)"
    assert miss in result.stdout.splitlines()
    assert "1 of 2 required checks hold" in result.stdout


def test_lobster_starts_from_another_file() -> None:
    """The book file may be longer, and of another depth."""
    write_files()
    Path("start.csv").write_text("10100,5,10000,5,10200,5,9900,5\n")
    Path("best.csv").write_text("10100,5,10000,5\n10100,5,10000,8\n1,1,1,1\n")
    result = call("lobster", "messages.csv", "best.csv", "--start", "start.csv")
    assert result.exit_code == 0
    assert cells(result)["best prices that align"][0] == "2/2"


def test_itch_prints_each_stock() -> None:
    """A gzipped file; the book of BOB has one bid, at a dollar."""
    write_files()
    result = call("itch", "day.itch.gz")
    assert result.exit_code == 0, result.output
    assert "5 messages: 2 S system event, 1 R stock directory" in result.stdout
    (book,) = [line for line in result.stdout.splitlines() if line[:3] == "BOB"]
    assert book.split() == ["BOB", "1", "1", "0", "1.0", "none", "none"]


def test_binance_prints_how_many_tickers_match() -> None:
    """And exits with 1 where updates are missing."""
    write_files()
    result = call("binance", "capture")
    assert result.exit_code == 0, result.output
    rows = cells(result)
    assert rows["bookTicker of the update's id: price and size equal"][0] == "1/1"
    assert rows["updates that follow on the one before"][0] == "1/1"
    result = call("binance", "gap", "--tick", "0.01", "--lot", "0.1")
    assert result.exit_code == 1
    name = "updates that follow on the one before"
    assert cells(result)[name] == ["1/2", "50.00 %", "MISS"]
    miss = (
        f"first miss, {name}: gap:4: U must be at most 3 (got 4): updates are missing"
    )
    assert miss in result.stdout.splitlines()


def test_binance_says_that_the_book_stopped_at_a_gap() -> None:
    """The prices shown are those before it, with their time."""
    write_files()
    result = call("binance", "gap")
    assert (
        "XYZ: the book stopped at the gap, gap:4, and is that of 00:00:00.000000002: "
        "no snapshot came after it"
    ) in result.stdout.splitlines()
    assert "stopped" not in call("binance", "capture").stdout


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (("lobster", "messages.csv", "book.csv", "--until", "09:30:00.1"), 1),
        (("itch", "day.itch.gz", "--until", "00:00"), 5),
        (("binance", "gap", "--until", "2"), 3),
    ],
)
def test_until_ends_a_replay_at_a_time(
    arguments: tuple[str, ...], messages: int
) -> None:
    """As much of the file is read, and the table says when it is."""
    write_files()
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{messages} messages: ")
    assert f"book at {arguments[-1]} " in result.stdout
    assert "book at the end" not in result.stdout


def test_run_compares_the_trades_of_a_saved_run() -> None:
    """All 71 prints of the sweep come out again."""
    fw.load("atom-sweep").run(seed=0).save("sweep")
    result = call("run", "sweep")
    assert result.exit_code == 0, result.output
    assert "72 messages: 71 limit, 1 market" in result.stdout
    assert cells(result)["trades equal"] == ["71/71", "100.00 %", "ok"]
    assert cells(result)["fingerprint of all trades, byte for byte"][0] == "1/1"


REFUSED = [
    ((), "Usage:"),
    (("lobster", "messages.csv"), "Missing argument 'ORDERBOOK'"),
    (("lobster", "none.csv", "none.csv"), "none.csv: No such file"),
    (("lobster", "folder.html", "file"), "folder.html: Is a directory"),
    (("lobster", "file", "file"), "file: the file is empty"),
    (("lobster", "one.csv", "two.csv"), "must have a row for each"),
    (("lobster", "one.csv", "two.csv"), "of different depths, give 'start' (--start)"),
    (
        ("lobster", "one.csv", "two.csv", "--until", "9"),
        "the first message, 09:30:00.1",
    ),
    (
        ("lobster", "one.csv", "two.csv", "--until", "9h"),
        "must be a time such as 09:45",
    ),
    (("lobster", "cut.csv", "two.csv"), "must have 6 columns (got 4)"),
    (("lobster", "two.csv", "one.csv"), "must have 6 columns (got 4)"),
    (("lobster", "one.csv", "one.csv"), "4 columns a level"),
    (("lobster", "one.csv", "two.csv", "--start", "none"), "none: No such file"),
    (("itch", "one.csv"), "is it an ITCH 5.0 file?"),
    (("itch", "folder.html"), "folder.html: Is a directory"),
    (("binance",), "Missing argument 'FILES...'"),
    (("binance", "one.csv"), "one.csv:1: a line must be a receive time"),
    (("binance", "capture", "--tick", "x"), "'tick' must be a decimal number > 0"),
    (("binance", "capture", "--lot", "1", "--lot", "2"), "--lot is given 2 times"),
    (("run", "none"), "none is not a directory"),
    (("run", "folder.html"), "holds no run"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_error_of_the_user_exits_2_with_one_message(
    arguments: tuple[str, ...], message: str
) -> None:
    """It is on stderr, and stdout is empty."""
    write_files()
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


# -- RECORDED FILES


def test_recorded_files_report_what_their_readme_says(data_dir: Path) -> None:
    """998/998; 17,482 exact and 99.93 % aligned; 12,012 messages; 564/564, no gap."""
    day = data_dir / "lobster" / "AAPL_2012-06-21"
    first = f"{day}_first999_orderbook_10.csv.gz"
    result = call("lobster", f"{day}_first999_message_10.csv.gz", first)
    assert result.exit_code == 0, result.output
    assert cells(result)["levels 1-9 equal"] == ["998/998", "100.00 %", "ok"]
    result = call(
        "lobster",
        f"{day}_34200000_37800000_message_50.csv.gz",
        f"{day}_34200000_57600000_orderbook_1.csv.gz",
        "--start",
        first,
    )
    assert result.exit_code == 0, result.output
    rows = cells(result)
    assert rows["best prices equal before the first difference"][0] == "17,482/25,640"
    assert rows["best prices that align"][:2] == ["25,623/25,640", "99.93 %"]
    capture = data_dir / "binance_l2" / "binance_spot_btcusdt_20240808.gz"
    result = call("binance", str(capture))
    assert result.exit_code == 0, result.output
    rows = cells(result)
    assert rows["bookTicker of the update's id: price and size equal"][0] == "564/564"
    assert rows["updates that follow on the one before"][0] == "3,449/3,449"
    result = call("itch", str(data_dir / "itch" / "ex20101224.TEST_ITCH_50.gz"))
    assert result.stdout.startswith("12,012 messages: 6 S system event, 3 R stock")
    # The file contradicts itself: orders are named that it never added.
    assert result.exit_code == 1
    assert cells(result)["orders that are named rest in a book"][0] == "1,883/2,000"
