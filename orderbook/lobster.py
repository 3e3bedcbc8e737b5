"""Replay of LOBSTER files: messages through the book, checked against recorded levels.

A day of LOBSTER (lobsterdata.com) is a message file and an order book file with as many
rows; row k of the second is the book after message k. The replay starts from row 1,
sends messages 2 to n through the matching engine and compares the levels after each.
Prices are dollars times 10,000, and one tick here is one such unit.
"""

from collections.abc import Iterator
from enum import IntEnum
from fractions import Fraction
from itertools import chain, groupby, islice, zip_longest
from typing import NamedTuple

from .align import WINDOW, align
from .clock import Time, up_to
from .errors import DataError
from .files import AnyPath, Progress, lines
from .orders import PRICE_MAX, Side
from .recorded import AnyBooks, Check, RecordedBook, Replay

COLUMNS = ((Side.SELL, 0), (Side.BUY, 2))
"""Where price and size of each side stand in a level."""

NO_PRICE = 9_999_999_999
"""Ask price of an empty level; minus that for a bid."""

EMPTY = [NO_PRICE, 0, -NO_PRICE, 0]
NAMES = ("ask price", "ask size", "bid price", "bid size")

SIZE_MAX = 2**40
"""Most shares of an order or level: millions of them fit in a book."""

TICK, LOT = Fraction(1, 10_000), Fraction(1)
"""A price unit in dollars, and a share."""


class Event(IntEnum):
    """What a row of a message file is."""

    NEW = 1
    PARTIAL_CANCEL = 2
    DELETION = 3
    EXECUTION = 4
    HIDDEN_EXECUTION = 5
    CROSS = 6
    HALT = 7


class Row(NamedTuple):
    """One message as in the file; the time in nanoseconds after midnight."""

    time: int
    event: int
    order_id: int
    size: int
    price: int
    direction: int  # 1: a buy order, -1: a sell order


class Reconstruction:
    """A market rebuilt from a recorded snapshot and the messages after it.

    The snapshot does not say which orders make up a level: each level starts as one
    order, first in its queue, from which orders that no message told of are taken.
    ``known`` counts removals of orders that messages or the snapshot told of, ``turn``
    executions of the order that was first in the queue.
    """

    def __init__(self, snapshot: list[int], books: AnyBooks | None = None) -> None:
        self.book = RecordedBook(books)
        self.events = dict.fromkeys(Event, 0)
        self.known = Check("removals of orders that were told of", required=False)
        self.turn = Check("executions first come, first served", required=False)
        self.start(snapshot)

    def start(self, snapshot: list[int]) -> None:
        """Start, or start again, from a row of an order book file."""
        self.book.clear()
        self.n = len(snapshot) // 4
        self._ids: dict[int, int] = {}  # of the file -> of the book
        ask, asks, bid, bids = snapshot[-4:]
        # All between these was told of.
        self.reach = bid if bids else 0, ask if asks else NO_PRICE
        self._seeds: dict[tuple[int, int], int] = {}
        for side, at in COLUMNS:
            for price, size in zip(snapshot[at::4], snapshot[at + 1 :: 4], strict=True):
                if size:
                    self._seeds[side, price] = self.book.add(side, price, size)

    def skip(self, row: Row) -> None:
        """Count a message that the book already shows."""
        self.events[Event(row.event)] += 1
        self.book.time = row.time

    def apply(self, row: Row, place: str = "") -> None:
        """Send one message to the book.  Hidden executions and halts change nothing."""
        self.skip(row)
        book, event = self.book, row.event
        book.emptied = None
        side = Side.BUY if row.direction == 1 else Side.SELL
        if event == Event.NEW:
            self._ids[row.order_id] = book.add(side, row.price, row.size)
            book.added += 1
        elif event in (Event.PARTIAL_CANCEL, Event.DELETION, Event.EXECUTION):
            order_id = self._find(row, side)
            if self.known.add(order_id > 0):
                self.known.first_miss = f"{place}: order {row.order_id} at {row.price}"
            if not order_id:
                return
            if event != Event.EXECUTION:
                book.reduce(order_id, row.size)
            elif self.turn.add(book.execute(order_id, row.size, row.time)):
                self.turn.first_miss = f"{place}: order {row.order_id} was not first"
            if not book.open(order_id):
                self._ids.pop(row.order_id, None)
        elif event == Event.HIDDEN_EXECUTION:
            book.last = row.price

    def _find(self, row: Row, side: int) -> int:
        # The order that the row names, or the level's first that no message told of.
        for order_id in self._ids.get(row.order_id), self._seeds.get((side, row.price)):
            if order_id and self.book.open(order_id):
                return order_id
        return 0

    def forget(self, side: int) -> None:
        """Take the deepest level of the file as one order: it came up from below.

        What happened to its orders while it was out of sight, nobody told.
        """
        prices, _ = self.book.depth(side, self.n)
        if len(prices) == self.n:
            self._seeds[side, prices[-1]] = self.book.merge(side, prices[-1])

    def levels(self, n: int) -> list[int]:
        """The best ``n`` levels as a row of an order book file."""
        row = EMPTY * n
        for side, at in COLUMNS:
            prices, sizes = self.book.depth(side, n)
            row[at : 4 * len(prices) : 4] = prices
            row[at + 1 : 4 * len(sizes) : 4] = sizes
        return row

    def replay(self, *checks: Check) -> Replay:
        """What has been found so far."""
        return Replay(
            rows=sum(self.events.values()),
            kinds={
                event.name.lower().replace("_", " "): n
                for event, n in self.events.items()
                if n
            },
            checks=tuple(c for c in (*checks, self.turn, self.known) if c.total),
            books={"": self.book},
            tick=TICK,
            lot=LOT,
        )


def replay(
    message_file: AnyPath,
    orderbook_file: AnyPath,
    *,
    start: AnyPath | None = None,
    until: Time | None = None,
    books: AnyBooks | None = None,
    on_progress: Progress | None = None,
) -> Replay:
    """Replay a LOBSTER message file and compare with an order book file.

    The two belong together and are compared row by row; after a row that differs the
    book starts again from the recorded one. With ``start``, an order book file whose
    first row is the book after the first message, the files may be of another depth
    each: whenever a message touches a best price, the best prices are compared with
    the next row. ``until`` is the time of the last messages to take, such as "09:45".
    ``books`` is the engine to use, the compiled one by default. Raises `DataError` for
    files that are damaged or do not belong together. O(rows), and the files are never
    held as a whole.
    """
    rows = read_messages(message_file, on_progress)
    recorded = read_orderbook(orderbook_file)
    if start is not None:
        snapshot = next(read_orderbook(start))
        market = Reconstruction(snapshot, books)
        files = str(message_file), str(orderbook_file)
        taken = up_to(rows, until, lambda row: row.time)
        return _best_prices(market, taken, recorded, files)
    paired = up_to(
        _paired(rows, recorded, f"{orderbook_file}", f"{message_file}"),
        until,
        lambda pair: pair[0].time,
    )
    row, levels = next(paired)
    market = Reconstruction(levels, books)
    market.skip(row)
    comparison = _Comparison(len(levels) // 4)
    for i, (row, levels) in enumerate(paired, 2):
        place = f"{orderbook_file}:{i}"
        market.apply(row, f"{message_file}:{i}")
        comparison.add(market, levels, place)
        if not comparison.equal:
            market.start(levels)
        elif comparison.below is not None:
            market.forget(comparison.below)
    return market.replay(*comparison.checks)


def _paired(
    rows: Iterator[Row], recorded: Iterator[list[int]], book: str, message: str
) -> Iterator[tuple[Row, list[int]]]:
    # Message and row of the book, to the end of both.
    for i, (row, levels) in enumerate(zip_longest(rows, recorded)):
        if row is None or levels is None:
            n = i + (row is not None) + sum(1 for _ in rows)
            got = i + (levels is not None) + sum(1 for _ in recorded)
            raise DataError(
                f"{book}: must have a row for each of the {n:,} messages of {message} "
                f"(got {got:,}): one of the files is cut short, or they are of "
                "different days; if they are of different depths, give 'start' "
                "(--start), an order book file to begin from"
            )
        yield row, levels


# -- COMPARING


class _Comparison:
    """Rows of an order book file against the book.

    When a level empties, the deepest one of its side comes up from below the file, and
    no message told of it: all that is known is that it is worse than the one that went.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        upper = f"levels 1-{n - 1}" if n > 2 else "level 1"
        self.upper = Check(f"{upper} equal")
        self.deepest = Check(f"level {n} equal, but where a level emptied")
        self.revealed = Check(f"level {n} comes up from below, where a level emptied")
        self.all = Check(f"levels 1-{n} equal", required=False)
        self.apart = Check("best bid below best ask")
        self.equal = True  # the last row, in all levels
        self.below: int | None = None  # the side whose deepest came up from below

    @property
    def checks(self) -> list[Check]:
        """Those that apply to as many levels."""
        if self.n == 1:
            return [self.deepest, self.revealed, self.apart]
        return [self.upper, self.deepest, self.revealed, self.all, self.apart]

    def add(self, market: Reconstruction, recorded: list[int], place: str) -> None:
        """Compare a row."""
        n, found = self.n, market.levels(self.n)
        self.apart.add_apart(market.book.best(), place)
        self.equal = equal = found == recorded
        count = n if equal else _equal_levels(found, recorded)
        miss = "" if equal else _miss(place, found, recorded, count)
        self._add(self.upper, count >= n - 1, miss)
        self._add(self.all, equal, miss)
        self.below = self._side_below(market.book.emptied, recorded)
        if self.below is None:
            self._add(self.deepest, equal, miss)
            return
        # The other side's level is compared all the same.
        at = 4 * n - 4 + dict(COLUMNS)[Side(1 - self.below)]
        holds = found[at : at + 2] == recorded[at : at + 2]
        self._add(self.revealed, holds, miss)

    def _side_below(
        self, emptied: tuple[int, int] | None, recorded: list[int]
    ) -> int | None:
        # The side of which a level went that was better than the recorded deepest.
        if emptied is None:
            return None
        side, gone = emptied
        at = 4 * self.n - 4 + dict(COLUMNS)[Side(side)]
        price, size = recorded[at : at + 2]
        worse = price > gone if side == Side.SELL else price < gone
        return side if worse or not size else None

    @staticmethod
    def _add(check: Check, holds: bool, miss: str) -> None:
        if check.add(holds):
            check.first_miss = miss


def _equal_levels(found: list[int], recorded: list[int]) -> int:
    # How many of the best levels are equal, where not all are.
    for k in range(0, len(found), 4):
        if found[k : k + 4] != recorded[k : k + 4]:
            return k // 4
    raise AssertionError("the rows are equal")


def _miss(place: str, found: list[int], recorded: list[int], level: int) -> str:
    texts = []
    for name, expected, got in zip(
        NAMES, recorded[4 * level :], found[4 * level :], strict=False
    ):
        if expected != got:
            none = {NO_PRICE: "none", -NO_PRICE: "none"}
            texts.append(
                f"{name} must be {none.get(expected, expected)} "
                f"(got {none.get(got, got)})"
            )
    return f"{place}: level {level + 1}: {', '.join(texts)}"


def _best_prices(
    market: Reconstruction,
    rows: Iterator[Row],
    recorded: Iterator[list[int]],
    files: tuple[str, str],
) -> Replay:
    # Outside the levels it started from the book is not known in full; inside, every
    # row must be there.
    same = Check("best prices equal before the first difference", required=False)
    aligned = Check("best prices that align", required=False)
    inside = Check("rows inside the levels of the start align")
    checks = same, aligned, inside, Check("best bid below best ask")
    low, high = market.reach
    at, first = 0, ""  # the first difference
    pairs = align(
        _touched(market, rows, files[0], checks[-1]),
        ((row[0], row[1], row[2], row[3]) for row in recorded),
    )
    for agree, run in groupby(pairs, lambda pair: pair[0] == pair[1]):
        head = list(islice(run, WINDOW))
        # What a row without a partner stands against: the first of the other stream.
        ours = next((found for found, _ in head if found), "no row")
        theirs = next((row for _, row in head if row), "no row")
        for found, row in chain(head, run):
            at += row is not None
            shown = row or found
            assert shown is not None
            miss = ""
            if not agree:
                miss = (
                    f"{files[1]}:{at + (row is None)}: ask, size, bid, size must be "
                    f"{row or theirs} (got {found or ours})"
                )
            first = first or miss
            if found is not None:
                if aligned.add(agree):
                    aligned.first_miss = miss
                if same.add(not first):
                    same.first_miss = first
            if low <= shown[2] and shown[0] <= high and inside.add(agree):
                inside.first_miss = miss
    return market.replay(*checks)


def _touched(
    market: Reconstruction, rows: Iterator[Row], file: str, apart: Check
) -> Iterator[tuple[int, int, int, int]]:
    # Best ask and bid with their sizes, after each message that touches one of them.
    market.skip(next(rows))
    ask, ask_size, bid, bid_size = after = market.levels(1)
    yield ask, ask_size, bid, bid_size
    for i, row in enumerate(rows, 2):
        best = bid if row.direction == 1 else -ask
        market.apply(row, f"{file}:{i}")
        hidden = row.event == Event.HIDDEN_EXECUTION
        if not hidden and row.price * row.direction < best:
            continue
        before, after = after, market.levels(1)
        ask, ask_size, bid, bid_size = after
        if hidden or after != before:
            apart.add_apart(market.book.best(), f"{file}:{i}")
            yield ask, ask_size, bid, bid_size


# -- FILES


def read_messages(path: AnyPath, on_progress: Progress | None = None) -> Iterator[Row]:
    """The rows of a message file.  Raises `DataError` at the first bad line."""
    before = 0
    for line, text in lines(path, on_progress):
        fields = text.split(",")
        if len(fields) != 6:
            raise DataError(
                f"{path}:{line}: a message must have 6 columns (got {len(fields)}): "
                f"is it an order book file, or cut short?"
            )
        seconds, _, fraction = fields[0].partition(".")
        try:
            if "_" in text:
                raise ValueError
            time = int(seconds) * 10**9 + int(f"{fraction:0<9.9}")
            row = Row(time, *map(int, fields[1:]))
        except ValueError as error:
            raise DataError(
                f"{path}:{line}: time must be seconds after midnight and the other "
                f"columns whole numbers (got {text!r})"
            ) from error
        _check_row(f"{path}:{line}", row)
        if time < before:
            raise DataError(
                f"{path}:{line}: time must not be before the line above "
                f"(got {fields[0]}): put the lines back in order"
            )
        before = time
        yield row


def _check_row(place: str, row: Row) -> None:
    if not Event.NEW <= row.event <= Event.HALT:
        raise DataError(f"{place}: type must be from 1 to 7 (got {row.event})")
    if row.event > Event.HIDDEN_EXECUTION:
        return
    if not 1 <= row.size <= SIZE_MAX:
        raise DataError(f"{place}: size must be from 1 to {SIZE_MAX} (got {row.size})")
    if not 1 <= row.price <= PRICE_MAX:
        raise DataError(
            f"{place}: price must be dollars times 10,000, from 1 to {PRICE_MAX} "
            f"(got {row.price})"
        )
    if row.direction not in (1, -1):
        raise DataError(
            f"{place}: direction must be 1 (buy) or -1 (sell) (got {row.direction})"
        )


def read_orderbook(path: AnyPath) -> Iterator[list[int]]:
    """The rows of an order book file.  Raises `DataError` at the first bad line.

    A row has ask price, ask size, bid price and bid size of each level, best first.
    """
    columns = 0
    for line, text in lines(path):
        fields = text.split(",")
        if len(fields) != (columns or max(4, len(fields) // 4 * 4)):
            wanted = (
                f"{columns} columns like line 1" if columns else "4 columns a level"
            )
            raise DataError(
                f"{path}:{line}: an order book row must have {wanted} "
                f"(got {len(fields)}): is it a message file, or cut short?"
            )
        columns = len(fields)
        try:
            if "_" in text:
                raise ValueError(f"got {text!r}")
            row = [int(field) for field in fields]
        except ValueError as error:
            raise DataError(
                f"{path}:{line}: prices and sizes must be whole numbers ({error})"
            ) from error
        for price, size in zip(row[::2], row[1::2], strict=True):
            if not 0 <= size <= SIZE_MAX or (size and not 1 <= price <= PRICE_MAX):
                raise DataError(
                    f"{path}:{line}: a level must be a price from 1 to {PRICE_MAX} "
                    f"(dollars times 10,000) and a size from 0 to {SIZE_MAX} "
                    f"(got {[price, size]})"
                )
        yield row
