"""Replay of LOBSTER files: messages through the book, checked against recorded levels.

A day of LOBSTER (lobsterdata.com) is a message file and an order book file with as many
rows; row k of the second is the book after message k. The replay starts from row 1,
sends messages 2 to n through the matching engine and compares the levels after each.
Prices are dollars times 10,000, and one tick here is one such unit.
"""

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator
from enum import IntEnum
from os import PathLike
from pathlib import Path
from typing import NamedTuple, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import Books
from .errors import DataError
from .orders import PRICE_MAX, QTY_MAX, Flag, Side, TimeInForce

MAKER, TAKER = 0, 1
"""Accounts: of every resting order, and of every execution."""

COLUMNS = ((Side.SELL, 0), (Side.BUY, 2))
"""Where price and size of each side stand in a level."""

NO_PRICE = 9_999_999_999
"""Ask price of an empty level; minus that for a bid."""


Level = tuple[int, int]
"""Side and price."""


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


class AnyBooks(Protocol):
    """The methods of an order book that a replay needs; both books have them."""

    def add_market(self) -> int:
        """Open a market."""

    def limit(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty: int,
        tif: int = 0,
        flags: int = 0,
        cause: int = 0,
        time: int = 0,
    ) -> int:
        """Send a limit order."""

    def cancel(self, market: int, account: int, order_id: int) -> int:
        """Cancel an order."""

    def cancel_all(self, account: int, market: int = -1) -> int:
        """Cancel all orders of a market."""

    def replace(
        self, market: int, account: int, order_id: int, price: int, qty: int
    ) -> int:
        """Change an order."""

    def order(self, order_id: int) -> tuple[int, int, int, int, int] | None:
        """A resting order."""

    def best(self, market: int) -> tuple[int, int]:
        """Best bid and ask."""

    def depth(
        self, market: int, side: int, levels: int = -1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The best levels."""


@attrs.frozen
class Mismatch:
    """The first row that the replayed book does not show."""

    row: int  # of both files, from 1
    level: int  # the best of those that differ, from 1
    expected: tuple[int, int, int, int]  # ask price, ask size, bid price, bid size
    found: tuple[int, int, int, int]


@attrs.frozen
class Replay:
    """How far a replayed book agrees with the recorded one."""

    rows: int
    """Rows compared: all but the first."""
    levels: int
    """Levels that must agree: by default all of the file but the deepest."""
    matched: tuple[int, ...]
    """Rows whose best 1, 2, ... levels are all equal, to the last level of the file."""
    first_mismatch: Mismatch | None
    """The first row with a difference within `levels`."""
    events: dict[Event, int]
    """Messages of each kind, the first one included."""
    in_turn: int
    """Executions of the order that was first in the queue, matched by the engine."""
    out_of_turn: int
    """Executions of another order, whose lots were taken out."""
    unknown: int
    """Removals of orders that neither a message nor the first row told of."""

    @property
    def exact(self) -> bool:
        """Whether every row agrees in all `levels`."""
        return self.matched[self.levels - 1] == self.rows


class Reconstruction:
    """A market rebuilt from a recorded snapshot and the messages after it.

    The snapshot does not say which orders make up a level: each level starts as one
    order, first in its queue, from which orders that no message told of are taken.
    """

    def __init__(self, books: AnyBooks, snapshot: NDArray[np.int64]) -> None:
        self.books = books
        self.market = books.add_market()
        self.in_turn = 0
        self.out_of_turn = 0
        self.unknown = 0
        self.start(snapshot)

    def start(self, snapshot: NDArray[np.int64]) -> None:
        """Start, or start again, from recorded levels: (levels, 4), best first."""
        self.books.cancel_all(MAKER, self.market)
        self._ids: dict[int, int] = {}  # of the file -> of the book
        self._seeds: dict[Level, int] = {}
        self._queues: dict[Level, dict[int, None]] = defaultdict(dict)
        for side, at in COLUMNS:
            for price, size in snapshot[:, at : at + 2].tolist():
                if size:
                    self._seeds[side, price] = self._rest(side, price, size)

    def apply(self, row: Row) -> None:
        """Send one message to the book.  Hidden executions and halts change nothing."""
        side = Side.BUY if row.direction == 1 else Side.SELL
        if row.event == Event.NEW:
            self._ids[row.order_id] = self._rest(side, row.price, row.size)
        elif row.event in (Event.PARTIAL_CANCEL, Event.DELETION, Event.EXECUTION):
            order_id = self._ids.get(row.order_id, 0)
            if self.books.order(order_id) is None:
                order_id = self._seeds.get((side, row.price), 0)
            if self.books.order(order_id) is None:
                self.unknown += 1
            elif row.event == Event.EXECUTION:
                self._execute(order_id, (side, row.price), row)
            else:
                self._reduce(order_id, (side, row.price), row.size)

    def _rest(self, side: int, price: int, size: int) -> int:
        # The file has what rests; if it would trade here, the book is not the file's.
        order_id = self.books.limit(
            self.market, MAKER, side, price, size, flags=Flag.POST_ONLY
        )
        if order_id > 0:
            self._queues[side, price][order_id] = None
        return order_id

    def _execute(self, order_id: int, level: Level, row: Row) -> None:
        # Through the matching engine if the order named is the one whose turn it is.
        # Now and then it is not, on the exchange itself: then its lots just go.
        side, price = level
        best = self.books.best(self.market)[side]
        first = next(iter(self._queues[level]))
        if (best, first) != (price, order_id):
            self.out_of_turn += 1
            self._reduce(order_id, level, row.size)
            return
        self.in_turn += 1
        self.books.limit(
            self.market,
            TAKER,
            1 - side,
            price,
            row.size,
            tif=TimeInForce.IOC,
            time=row.time,
        )
        if self.books.order(order_id) is None:
            del self._queues[level][order_id]

    def _reduce(self, order_id: int, level: Level, size: int) -> None:
        order = self.books.order(order_id)
        assert order is not None
        left = order[4] - size
        if left > 0:
            self.books.replace(self.market, MAKER, order_id, level[1], left)
        else:
            self.books.cancel(self.market, MAKER, order_id)
            del self._queues[level][order_id]

    def levels(self, n: int) -> NDArray[np.int64]:
        """The best ``n`` levels as in an order book file: (n, 4), best first."""
        table = np.tile(np.array([NO_PRICE, 0, -NO_PRICE, 0]), (n, 1))
        for side, at in COLUMNS:
            prices, sizes = self.books.depth(self.market, side, n)
            table[: len(prices), at] = prices
            table[: len(sizes), at + 1] = sizes
        return table


def replay(
    message_file: str | PathLike[str],
    orderbook_file: str | PathLike[str],
    *,
    books: AnyBooks | None = None,
    levels: int | None = None,
) -> Replay:
    """Replay a pair of LOBSTER files (.csv or .csv.gz) and compare every row.

    ``levels`` is how many levels must agree. All but the deepest by default: when a
    level goes, the recorded book shows one from below that no message described. After
    a row that differs, in whichever level, the book starts again from the recorded one.
    ``books`` is the engine to use, the compiled one by default. Raises `DataError` for
    files that are damaged or do not belong together.
    """
    rows = read_messages(message_file)
    recorded = read_orderbook(orderbook_file)
    if len(rows) != len(recorded):
        raise DataError(
            f"{orderbook_file}: must have a row for each of the {len(rows):,} messages "
            f"of {message_file} (got {len(recorded):,}): one of the files is cut "
            f"short, or they are of different days"
        )
    deepest = recorded.shape[1]
    if levels is None:
        levels = max(1, deepest - 1)
    if not 1 <= levels <= deepest:
        raise ValueError(f"'levels' must be from 1 to {deepest} (got {levels})")
    market = Reconstruction(books or Books(), recorded[0])
    agreed = np.zeros(deepest + 1, np.int64)  # rows by how many best levels are equal
    first_mismatch = None
    for i in range(1, len(rows)):
        market.apply(rows[i])
        found = market.levels(deepest)
        equal = (found == recorded[i]).all(axis=1)
        count = deepest if equal.all() else int(equal.argmin())
        agreed[count] += 1
        if first_mismatch is None and count < levels:
            first_mismatch = Mismatch(
                row=i + 1,
                level=count + 1,
                expected=tuple(recorded[i, count].tolist()),
                found=tuple(found[count].tolist()),
            )
        if count < deepest:
            market.start(recorded[i])
    return Replay(
        rows=len(rows) - 1,
        levels=levels,
        matched=tuple(agreed[::-1].cumsum()[::-1][1:].tolist()),
        first_mismatch=first_mismatch,
        events={event: sum(row.event == event for row in rows) for event in Event},
        in_turn=market.in_turn,
        out_of_turn=market.out_of_turn,
        unknown=market.unknown,
    )


# -- FILES


def read_messages(path: str | PathLike[str]) -> list[Row]:
    """The rows of a message file.  Raises `DataError` for the first bad line."""
    rows = []
    for line, fields in _fields(path):
        if len(fields) != 6:
            raise DataError(
                f"{path}:{line}: a message must have 6 columns (got {len(fields)}): "
                f"is it an order book file, or cut short?"
            )
        seconds, _, fraction = fields[0].partition(".")
        try:
            time = int(seconds) * 10**9 + int(f"{fraction:0<9.9}")
            row = Row(time, *map(int, fields[1:]))
        except ValueError as error:
            raise DataError(
                f"{path}:{line}: time must be seconds after midnight and the other "
                f"columns whole numbers (got {','.join(fields)!r})"
            ) from error
        _check_row(f"{path}:{line}", row)
        rows.append(row)
    return rows


def _check_row(place: str, row: Row) -> None:
    if not Event.NEW <= row.event <= Event.HALT:
        raise DataError(f"{place}: type must be from 1 to 7 (got {row.event})")
    if row.event > Event.EXECUTION:
        return
    if not 1 <= row.size <= QTY_MAX:
        raise DataError(f"{place}: size must be 1 or more (got {row.size})")
    if not 1 <= row.price <= PRICE_MAX:
        raise DataError(
            f"{place}: price must be dollars times 10,000, from 1 to {PRICE_MAX} "
            f"(got {row.price})"
        )
    if row.direction not in (1, -1):
        raise DataError(
            f"{place}: direction must be 1 (buy) or -1 (sell) (got {row.direction})"
        )


def read_orderbook(path: str | PathLike[str]) -> NDArray[np.int64]:
    """The rows of an order book file: (rows, levels, 4).

    A level is ask price, ask size, bid price, bid size. Raises `DataError` for the
    first bad line.
    """
    rows: list[NDArray[np.int64]] = []
    for line, fields in _fields(path):
        columns = rows[0].size if rows else len(fields) // 4 * 4
        if len(fields) != columns:
            wanted = f"{columns} columns like line 1" if rows else "4 columns a level"
            raise DataError(
                f"{path}:{line}: an order book row must have {wanted} "
                f"(got {len(fields)}): is it a message file, or cut short?"
            )
        try:
            row = np.array([int(field) for field in fields], np.int64)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{path}:{line}: prices and sizes must be whole numbers ({error})"
            ) from error
        levels = row.reshape(-1, 4)
        sizes, prices = levels[:, 1::2], levels[:, ::2]
        bad = (sizes < 0) | (sizes > 0) & ((prices < 1) | (prices > PRICE_MAX))
        if bad.any():
            raise DataError(
                f"{path}:{line}: a level must be prices from 1 to {PRICE_MAX} (dollars "
                f"times 10,000) and sizes of 0 or more "
                f"(got {levels[bad.any(axis=1)][0].tolist()})"
            )
        rows.append(levels)
    return np.array(rows)


def _fields(path: str | PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    # Line number and fields of each line; a file without a line is an error too.
    opened = gzip.open if Path(path).suffix == ".gz" else open
    line = 0
    try:
        with opened(path, "rt", encoding="ascii") as lines:
            for line, text in enumerate(lines, 1):
                yield line, text.rstrip("\n").split(",")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}:{line + 1}: the file is damaged ({error}): fetch it again"
        ) from error
    if not line:
        raise DataError(f"{path}: the file is empty: fetch it again")
