"""Binance captures give the book, and tell what is missing from them."""

import gzip
import json
import re
from pathlib import Path

import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook import binance
from flashwick.orderbook.binance import replay
from flashwick.orderbook.clock import nanoseconds
from flashwick.orderbook.errors import DataError
from flashwick.orderbook.orders import Side
from flashwick.orderbook.recorded import Replay
from flashwick.orderbook.reference import ReferenceBooks

Message = dict[str, object]
Sides = dict[str, str]


def levels(side: Sides | None) -> list[list[str]]:
    """Prices with quantities, as they are sent."""
    return [[price, qty] for price, qty in (side or {}).items()]


def snapshot(last: int, bids: Sides, asks: Sides) -> Message:
    """What REST answers."""
    return {"lastUpdateId": last, "bids": levels(bids), "asks": levels(asks)}


def update(
    first: int,
    last: int,
    bids: Sides | None = None,
    asks: Sides | None = None,
    **more: object,
) -> Message:
    """A depthUpdate; with ``pu``, one of futures."""
    ids = {"e": "depthUpdate", "s": "XYZUSDT", "U": first, "u": last}
    return ids | {"b": levels(bids), "a": levels(asks)} | more


def ticker(last: int, bid: str, size: str, ask: str, asked: str) -> Message:
    """A bookTicker."""
    return {"u": last, "s": "XYZUSDT", "b": bid, "B": size, "a": ask, "A": asked}


def trade(number: int, price: str = "1.01") -> Message:
    """A trade."""
    return {"e": "trade", "s": "XYZUSDT", "t": number, "p": price, "q": "1.0"}


START = snapshot(100, {"1.00": "5.0", "0.99": "7.5"}, {"1.02": "4.0"})
TICKER = ticker(103, "1.00", "6.0", "1.01", "2.0")
DAY = [
    update(90, 95, {"1.00": "9.0"}),  # the snapshot has it
    update(96, 101, {"1.00": "6.0"}),  # reaches across the snapshot's id
    START,
    TICKER,  # before its update, as it is sent
    update(102, 103, {"0.99": "0"}, {"1.01": "2.0", "9.00": "0.0"}),
    ticker(104, "1.00", "6.0", "1.01", "1.0"),  # between two updates: not compared
    update(104, 106, {"0.98": "1.5"}, {"1.02": "0.00"}),
    ticker(106, "1.00", "6.0", "1.01", "2.0"),  # after its update
    trade(7),
    trade(8, "1.00"),
    {"result": None, "id": 1},
]


def write(
    folder: Path, messages: list[Message], name: str = "day.jsonl", start: int = 0
) -> Path:
    """A capture: times count lines, and half of the messages name their stream."""
    path = folder / name
    lines = [
        f"{i} {json.dumps({'stream': 'x', 'data': message} if i % 2 else message)}\n"
        for i, message in enumerate(messages, start)
    ]
    path.write_text("".join(lines))
    return path


def counts(result: Replay, what: str) -> tuple[int, int]:
    """How often a check held, of how often."""
    check = result.check(what)
    return check.matched, check.total


@pytest.mark.parametrize("books", [ReferenceBooks, Books])
def test_updates_after_the_snapshot_give_the_book(
    tmp_path: Path, books: type[ReferenceBooks]
) -> None:
    """Old updates are dropped, a quantity replaces a level, zero takes it out."""
    result = replay(write(tmp_path, DAY), books=books())
    assert result.ok
    assert result.kinds == {
        "depthUpdate": 4,
        "snapshot": 1,
        "bookTicker": 3,
        "trade": 2,
        "other": 1,
    }
    assert counts(result, "updates that follow") == (3, 3)
    assert counts(result, "updates that the book") == (3, 4)
    assert counts(result, "bookTicker") == (2, 2)
    assert counts(result, "best bid") == (3, 3)
    assert counts(result, "trades that follow") == (1, 1)
    state = result.state("XYZ/USDT")
    assert (float(state.tick), float(state.lot)) == (0.01, 0.1)
    assert state.bids.tolist() == [[100, 60], [98, 15]]
    assert state.asks.tolist() == [[101, 20]]
    assert (state.last, state.time) == (100, 10)


def test_a_file_may_go_on_in_the_next(tmp_path: Path) -> None:
    """Two files give what one would; in the other order their times tell."""
    one = write(tmp_path, DAY[:5], "one.jsonl")
    two = write(tmp_path, DAY[5:], "two.jsonl", start=5)
    assert counts(replay([one, two]), "updates that follow") == (3, 3)
    with pytest.raises(DataError, match=r"one.jsonl:1: the receive time must not be"):
        replay([two, one])


def test_a_gap_is_counted_and_ends_at_the_next_snapshot(tmp_path: Path) -> None:
    """Between the two the book takes nothing, and no ticker is compared."""
    gap = [
        update(108, 109, {"1.00": "1.0"}),  # 107 is missing
        update(110, 110, {"1.00": "2.0"}),
        ticker(110, "1.00", "9.9", "1.01", "9.9"),
        update(111, 112, {"1.00": "3.0"}),
        snapshot(111, {"1.00": "8.0"}, {"1.01": "8.0"}),
        ticker(112, "1.00", "3.0", "1.01", "8.0"),
        update(113, 113, {}, {"1.01": "7.0"}),
    ]
    path = write(tmp_path, [*DAY, *gap])
    result = replay(path)
    check = result.check("updates that follow")
    assert (check.matched, check.total) == (5, 6)
    assert check.first_miss == (
        f"{path}:12: U must be at most 107 (got 108): updates are missing"
    )
    assert counts(result, "updates that the book") == (5, 8)
    assert counts(result, "bookTicker") == (3, 3)
    assert not result.ok
    assert result.state("XYZ/USDT").asks.tolist() == [[101, 7]]
    assert result.state("XYZ/USDT").time == len(DAY) + len(gap) - 1


def test_a_book_behind_a_gap_has_no_state(tmp_path: Path) -> None:
    """What was there before is no book of that time; one before the gap can be had."""
    gap = [update(108, 109, {"1.00": "1.0"}), trade(9), update(110, 110, {"1.00": "2"})]
    path = write(tmp_path, [*DAY, *gap])
    for until in None, len(DAY), len(DAY) + 1:
        words = (
            rf"XYZ/USDT: the book must be known \(got none since {path}:12, a gap that "
            r"no snapshot ended\): replay until 00:00:00.00000001 or earlier"
        )
        with pytest.raises(DataError, match=words):
            replay(path, until=until).state("XYZ/USDT")
    (book,) = replay(path).books.values()
    assert (book.last, book.time) == (100, 10)  # not the trade behind the gap
    before = replay(path, until="00:00:00.00000001")
    assert before.ok
    state = before.state("XYZ/USDT")
    assert (state.bids.tolist(), state.time) == ([[100, 60], [98, 15]], 10)


def test_until_ends_in_any_of_the_files(tmp_path: Path) -> None:
    """The receive time counts; a snapshot must have come by then."""
    one = write(tmp_path, DAY[:5], "one.jsonl")
    two = write(tmp_path, DAY[5:], "two.jsonl", start=5)
    bids = {
        at: replay([one, two], until=at).state("X/Y").bids.tolist() for at in (2, 4, 6)
    }
    assert bids == {
        2: [[100, 60], [99, 75]],  # what waited for the snapshot is in
        4: [[100, 6]],  # of the largest lot that fits
        6: [[100, 60], [98, 15]],
    }
    with pytest.raises(DataError, match=r"\(got none\): .* or give a later 'until'"):
        replay([one, two], until=1)


@pytest.mark.parametrize("futures", [False, True])
def test_an_update_with_an_id_far_too_high_is_a_break(
    tmp_path: Path, futures: bool
) -> None:
    """What follows on it is old by its id; neither that nor the check's miss hides."""
    ids = [(101, 101), (102, 99_999_999_999), (104, 106), (107, 109), (110, 110)]
    messages = [update(*pair, {"1.00": "2.0"}) for pair in ids]
    if futures:
        messages = [m | {"pu": m["U"] - 1} for m in messages]  # type: ignore[operator]
        messages[0]["U"] = 100
    path = write(tmp_path, [START, *messages])
    result = replay(path)
    assert not result.ok
    check = result.check("updates that follow")
    assert (check.matched, check.total) == (2, 3)
    assert check.first_miss == (
        f"{path}:4: u must be above 99999999999, to which an update was taken "
        "(got 106): one of the two is damaged"
    )
    assert counts(result, "updates that the book") == (2, 5)
    note = result.check("updates that the book").first_miss
    assert note == f"{path}:4: no snapshot comes after the break"
    # The next snapshot ends it, though its own id is lower.
    again = snapshot(109, {"1.00": "8.0"}, {"1.01": "8.0"})
    more = [
        again,
        update(111, 111, {"1.00": "3.0"}, **({"pu": 110} if futures else {})),
    ]
    healed = replay(write(tmp_path, [START, *messages, *more]))
    follows = counts(healed, "updates that follow")
    # Of futures, the update that ends at the snapshot's id is taken too.
    assert follows == ((5, 6) if futures else (4, 5))


def test_the_note_on_updates_says_why_they_were_not_taken(tmp_path: Path) -> None:
    """Those that waited and were taken are none of them."""
    note = replay(write(tmp_path, DAY)).check("updates that the book").first_miss
    assert note == f"{tmp_path / 'day.jsonl'}:1: the book has its ids, to 95"
    waited = [update(101, 101), START]
    check = replay(write(tmp_path, waited)).check("updates that the book")
    assert (check.matched, check.total, check.first_miss) == (1, 1, "")


def test_a_first_update_that_does_not_reach_the_snapshot_is_a_gap(
    tmp_path: Path,
) -> None:
    """Between the snapshot and it, others were sent."""
    result = replay(write(tmp_path, [START, update(102, 103, {"1.00": "1.0"})]))
    assert counts(result, "updates that follow") == (0, 1)
    fine = replay(write(tmp_path, [START, update(101, 103, {"1.00": "1.0"})]))
    assert counts(fine, "updates that follow") == (1, 1)


@pytest.mark.parametrize("futures", [False, True])
def test_updates_that_are_sent_again_are_passed_over(
    tmp_path: Path, futures: bool
) -> None:
    """As after a reconnection; the book has them, and nothing is missing."""
    more = ({"pu": 99}, {"pu": 101}) if futures else ({}, {})
    one = update(100, 101, {"1.00": "6.0"}, **more[0])
    two = update(102, 103, {"1.00": "5.5"}, **more[1])
    result = replay(write(tmp_path, [START, one, two, one, two]))
    assert result.ok
    assert counts(result, "updates that follow") == (2, 2)
    assert result.state("XYZ/USDT").levels(Side.BUY).tolist()[0] == [100, 55]


def test_a_snapshot_that_tells_nothing_new_is_passed_over(tmp_path: Path) -> None:
    """The book of a later update is not taken back."""
    result = replay(write(tmp_path, [*DAY, snapshot(105, {"1.00": "1.0"}, {})]))
    assert result.ok
    assert result.state("XYZ/USDT").bids.tolist()[0] == [100, 60]


def test_futures_follow_on_by_the_id_before(tmp_path: Path) -> None:
    """``pu`` is the last id of the update before; ids in between may be left out."""
    day = [
        update(80, 99, {"1.00": "9.0"}, pu=79),
        START,
        update(97, 100, {"1.00": "6.0"}, pu=99),
        update(140, 150, {"1.00": "5.5"}, pu=100),
    ]
    result = replay(write(tmp_path, day))
    assert result.ok
    assert counts(result, "updates that follow") == (2, 2)
    path = write(tmp_path, [*day, update(151, 160, {}, pu=149)])
    check = replay(path).check("updates that follow")
    assert (
        check.first_miss == f"{path}:5: pu must be 150 (got 149): updates are missing"
    )


def test_a_ticker_that_differs_in_a_size_is_shown(tmp_path: Path) -> None:
    """Price and size of both sides are compared."""
    wrong = ticker(103, "1.00", "6.0", "1.01", "2.5")
    path = write(tmp_path, [wrong if m is TICKER else m for m in DAY])
    result = replay(path)
    check = result.check("bookTicker")
    assert (check.matched, check.total) == (1, 2)
    assert check.first_miss == (
        f"{path}:4: bid, size, ask, size must be (100, 60, 101, 25) in ticks and lots "
        "(got (100, 60, 101, 20))"
    )
    assert not result.ok


def test_a_crossed_book_is_shown_as_it_is_and_reported(tmp_path: Path) -> None:
    """A bid above the ask stays; the replay fails."""
    path = write(tmp_path, [*DAY, update(107, 107, {"1.03": "1.0"})])
    result = replay(path)
    assert result.check("best bid").first_miss == (
        f"{path}:12: crossed, bid 103 and ask 101"
    )
    assert not result.ok
    assert result.state("XYZ/USDT").crossed


def test_a_missing_trade_is_noted(tmp_path: Path) -> None:
    """The book does not hang on it, so that the replay does not fail."""
    path = write(tmp_path, [*DAY, trade(10)])
    result = replay(path)
    assert result.check("trades").first_miss == f"{path}:12: id must be 9 (got 10)"
    assert result.ok


def test_memory_of_what_waits_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a snapshot only the last updates are kept."""
    monkeypatch.setattr(binance, "WAITING_MAX", 2)
    early = [update(i, i, {"1.00": f"{i}.0"}) for i in range(98, 104)]
    late = snapshot(101, {"1.00": "5.0"}, {"1.02": "4.0"})
    result = replay(write(tmp_path, [*early, late]))
    assert counts(result, "updates that follow") == (2, 2)
    note = result.check("updates that the book").first_miss
    assert note == f"{tmp_path / 'day.jsonl'}:1: too many wait for a snapshot"
    assert result.state("XYZ/USDT").bids.tolist() == [[100, 103]]


def test_steps_may_be_given(tmp_path: Path) -> None:
    """By default a tick of the snapshot's decimals, which updates may not fit."""
    path = write(tmp_path, [START, update(101, 101, {"1.005": "1.0"})])
    with pytest.raises(DataError, match=r"multiple of the tick 0.01 \(got '1.005'\)"):
        replay(path)
    assert replay(path, tick="0.005").state("X/Y").bids.tolist()[0] == [201, 10]
    assert float(replay(path, tick="0.005", lot="0.5").lot) == 0.5
    with pytest.raises(DataError, match=r"quantity must be a multiple of the lot 5 "):
        replay(path, tick="0.005", lot="5")
    for wrong in ("0", "-1", "x", "NaN"):
        with pytest.raises(ValueError, match=r"'tick' must be a decimal number > 0"):
            replay(path, tick=wrong)


# -- DAMAGED FILES


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{}", r"a line must be a receive time .* \(got '{}'"),
        ("1.5 {}", r"a line must be a receive time"),
        ('9 {"u": 1', r"a line must be a receive time .* or cut short\?"),
        ("9 [1]", r"a line must be .* no object"),
        ('9 {"e": "depthUpdate", "u": 1}', r"not as Binance sends it \(lacks 'U'\)"),
        ('9 {"e": "trade", "t": "x", "p": "1"}', r"'t' must be a whole number"),
        ('9 {"e": "depthUpdate", "U": 101, "u": 1e300}', r"'u' must be .* 1e\+300\)"),
        ('9 {"e": "depthUpdate", "U": 101.0, "u": 102}', r"'U' must be a whole number"),
        ('9 {"e": "depthUpdate", "U": 1, "u": 2, "pu": true}', r"'pu' must be a whole"),
        ('9 {"e": "depthUpdate", "U": 9, "u": 8}', r"at least 'U', 9 \(got 8\)"),
        ('9 {"e": "bookTicker", "u": "7"}', r"'u' must be a whole .* \(got '7'\)"),
        ('9 {"lastUpdateId": NaN}', r"'lastUpdateId' must be a whole .* \(got nan\)"),
        ('9 {"lastUpdateId": 0}', r"'lastUpdateId' must be above 0 \(got 0\)"),
        ('9 {"e": "depthUpdate", "U": 101, "u": 101, "b": 3, "a": []}', r"not as Bin"),
    ],
)
def test_a_line_that_is_no_message_is_named(
    tmp_path: Path, line: str, words: str
) -> None:
    """File, line, what must be and what came."""
    path = write(tmp_path, [START])
    path.write_text(path.read_text() + line)
    with pytest.raises(DataError, match=f"day.jsonl:2: .*{words}"):
        replay(path)


@pytest.mark.parametrize(
    ("price", "qty", "words"),
    [
        ("NaN", "1.0", r"a price must be a decimal number of 0 or more \(got 'NaN'\)"),
        ("1.00", "-1.0", r"a quantity must be a decimal number .* \(got '-1.0'\)"),
        ("0.00", "1.0", r"a price must be above 0 \(got '0.00'\)"),
        ("1e3", "1.0", r"a price must be a decimal number"),
        ("99999999.00", "1.0", r"a price must be at most .* give a coarser tick"),
        ("1.00", "9" * 30, r"a quantity must be at most .* give a coarser lot"),
    ],
)
def test_numbers_that_are_none_are_named(
    tmp_path: Path, price: str, qty: str, words: str
) -> None:
    """NaN, negative, and beyond what a book holds."""
    path = write(tmp_path, [START, update(101, 101, {price: qty})])
    with pytest.raises(DataError, match=f"day.jsonl:2: {words}"):
        replay(path)


def test_a_capture_needs_a_snapshot_and_one_symbol(tmp_path: Path) -> None:
    """Neither can be guessed."""
    with pytest.raises(DataError, match=r"must have a depth snapshot.*\(got none\)"):
        replay(write(tmp_path, [update(1, 2)]))
    other = update(101, 101) | {"s": "ABCUSDT"}
    with pytest.raises(DataError, match=r"one symbol, XYZUSDT \(got 'ABCUSDT'\)"):
        replay(write(tmp_path, [*DAY, other]))
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty: the file is empty"):
        replay(tmp_path / "empty")


# -- A RECORDED DAY


def test_the_recorded_day_agrees_with_every_ticker(data_dir: Path) -> None:
    """BTCUSDT, 2024-08-08: 564 of 564 best prices and sizes, 3,449 updates, no gap."""
    result = replay(data_dir / "binance_l2" / "binance_spot_btcusdt_20240808.gz")
    assert result.ok
    assert result.rows == 41_249
    assert counts(result, "bookTicker") == (564, 564)
    assert counts(result, "updates that follow") == (3_449, 3_449)
    assert counts(result, "best bid below best ask") == (3_449, 3_449)
    assert counts(result, "trades that follow") == (9_756, 9_756)
    assert result.kinds["trade"] == 9_757
    (book,) = result.books.values()
    book.books._check()
    # Three levels are older than the market's lot, and finer.
    state = result.state("BTC/USDT")
    assert (float(state.tick), float(state.lot)) == (0.01, 0.000001)


def test_a_recorded_day_with_lines_cut_out_has_no_book_behind_them(
    tmp_path: Path, data_dir: Path
) -> None:
    """200 lines from the middle; until the gap it is the day's own book."""
    whole = data_dir / "binance_l2" / "binance_spot_btcusdt_20240808.gz"
    rows = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)
    path = tmp_path / "day"
    path.write_bytes(b"".join(rows[:20_000] + rows[20_200:]))
    result = replay(path)
    assert result.check("updates that follow").missed == 1
    with pytest.raises(DataError, match=r"since .*day:20\d\d\d, a gap") as error:
        result.state("BTC/USDT")
    found = re.search(r"replay until (\S+) or", str(error.value))
    assert found is not None
    moment = int(rows[19_999].split()[0])
    assert nanoseconds(found[1]) >= moment
    one, other = (replay(p, until=moment).state("BTC/USDT") for p in (whole, path))
    assert (one.bids == other.bids).all()
    assert (one.asks == other.asks).all()
    assert one.time == other.time == moment
    assert replay(path, until=found[1]).state("BTC/USDT").time == nanoseconds(found[1])
