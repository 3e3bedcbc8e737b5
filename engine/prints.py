"""The trades of a run in units of people."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..orderbook.orders import FILL, Flag
from .columns import joined

if TYPE_CHECKING:
    from .events import EventLog
    from .record import Names, Series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

NANO = 1e-9

FIELDS = (
    *("time", "market", "price", "qty", "taker_side", "taker", "maker"),
    *("maker_order", "flags", "cause"),
)
"""What of a FILL row people ask for."""

AT_ONCE = 1 << 12
"""Rows of FILL that fit into the second cache, with room."""

_NONE = np.empty(0, np.int64)


@frozen(eq=False)
class Prints:
    """The trades of a run as arrays of one length, in the order they happened.

    ``order`` is the event of the taker's order; ``forced`` says that the liquidation
    engine sent it.
    """

    event: Integers
    time: Floats
    market: NDArray[np.int32]
    price: Floats  # in the quote asset
    qty: Floats  # in the base asset
    usd: Floats
    side: NDArray[np.uint8]  # of the taker
    taker: NDArray[np.int32]
    maker: NDArray[np.int32]
    maker_order: Integers
    forced: Bools
    order: Integers

    @cached_property
    def _by_market(self) -> tuple[Integers, list[slice]]:
        # All rows market by market, and where each market's begin and end.
        count = np.bincount(self.market)
        # Numbers of two bytes are sorted in two passes.
        small = np.uint16 if len(count) < 1 << 16 else np.int32
        rows = np.argsort(self.market.astype(small), kind="stable")
        ends = np.cumsum(count).tolist()
        return rows, list(map(slice, [0, *ends], ends))

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        return {}

    def of(self, market: int) -> Integers:
        """Rows of one market."""
        rows, parts = self._by_market
        return rows[parts[market]] if market < len(parts) else _NONE

    def own(self, column: str, market: int) -> NDArray[Any]:
        """A column's values of one market, in the order of its rows.

        The first question brings the column in order, for all markets.
        """
        rows, parts = self._by_market
        if column not in self._columns:
            self._columns[column] = getattr(self, column)[rows]
        part = parts[market] if market < len(parts) else slice(0)
        return self._columns[column][part]

    @cached_property
    def highs(self) -> Floats:
        """Highest price of each market that traded, 0 of others before the last."""
        markets = range(len(self._by_market[1]))
        return np.array([self.own("price", m).max(initial=0.0) for m in markets])

    @cached_property
    def _lows(self) -> dict[tuple[float, float], Floats]:
        return {}

    def lows(self, begin: float, end: float) -> Floats:
        """Lowest price of each market from a time up to another, seconds.

        Infinite where there was no trade; computed once for each span of time.
        """
        if (begin, end) not in self._lows:
            lows = []
            for market in range(len(self._by_market[1])):
                time, price = self.own("time", market), self.own("price", market)
                inside = (time >= begin) & (time < end)
                lows.append(price[inside].min(initial=np.inf))
            self._lows[begin, end] = np.array(lows)
        return self._lows[begin, end]

    def lowest(self, rows: Integers) -> int:
        """The row of the lowest of these trades, the first of equal ones."""
        return int(rows[np.argmin(self.price[rows])])

    def forced_share(self, rows: Integers) -> float:
        """Share of the volume of these trades that the liquidation engine traded."""
        volume, forced = self.usd[rows].sum(), self.usd[rows[self.forced[rows]]].sum()
        return float(forced / volume) if volume else 0.0


def in_seconds(time: Integers) -> Floats:
    """Times in nanoseconds as seconds."""
    return np.asarray(time * NANO, np.float64)


def scaled(count: NDArray[np.int64], unit: Floats, which: Any = ...) -> Floats:
    """Counts of decimal units as the nearest floats; ``which`` unit each count is of.

    >>> scaled(np.array([1009]), np.array([0.001])).tolist(), 1009 * 0.001
    ([1.009], 1.0090000000000001)
    """
    inverse = np.rint(1.0 / unit)
    whole = (unit < 1.0) & (np.abs(inverse * unit - 1.0) < 1e-12)
    inverse[~whole] = 1.0
    found: Floats = np.where(whole[which], count / inverse[which], count * unit[which])
    return found


def distinct(numbers: NDArray[Any], end: int) -> tuple[Integers, Integers]:
    """Whole numbers from 0 up to an end that occur, and the place of each among them.

    >>> [found.tolist() for found in distinct(np.array([7, 3, 7]), 9)]
    [[3, 7], [1, 0, 1]]
    """
    there = np.zeros(end, np.bool_)
    there[numbers] = True
    found = np.flatnonzero(there)
    place = np.empty(end, np.int64)
    place[found] = np.arange(len(found))
    return found, place[numbers]


def prints(log: "EventLog", names: "Names", series: "Series") -> Prints:
    """The trades of a log in units of people."""
    pieces = list(fill_pieces(log))
    fills = _fields([rows for _, rows in pieces])
    market = fills["market"]
    price = scaled(fills["price"], names.tick, market)
    qty = scaled(fills["qty"], names.lot, market)
    worth = usd_at(series, np.array(names.quote, np.int64)[market], fills["time"])
    return Prints(
        event=np.concatenate([*(ids for ids, _ in pieces), _NONE]),
        time=fills["time"] * NANO,
        market=market,
        price=price,
        qty=qty,
        usd=price * qty * worth,
        side=fills["taker_side"],
        taker=fills["taker"],
        maker=fills["maker"],
        maker_order=fills["maker_order"],
        forced=(fills["flags"] & Flag.LIQUIDATION) > 0,
        order=fills["cause"],
    )


def fill_pieces(log: "EventLog") -> Iterator[tuple[Integers, NDArray[np.void]]]:
    """All trades of a log, many at a time: their events and their FILL rows."""
    for ids, rows, *_ in log.pieces():
        if rows.dtype == FILL:
            yield ids, rows


def trades_of(log: "EventLog", taker: int) -> NDArray[np.void]:
    """The FILL rows of what an account took."""
    own = [rows[rows["taker"] == taker] for _, rows in fill_pieces(log)]
    return joined([*own, np.empty(0, FILL)])


def _fields(pieces: list[NDArray[np.void]]) -> dict[str, NDArray[Any]]:
    # The columns that prints have, of all rows. So many rows at a time that they stay
    # in the cache until the last column has them.
    length = sum(map(len, pieces))
    columns = {name: np.empty(length, FILL[name]) for name in FIELDS}
    end = 0
    for rows in pieces:
        for begin in range(0, len(rows), AT_ONCE):
            part = rows[begin : begin + AT_ONCE]
            start, end = end, end + len(part)
            for name, column in columns.items():
                column[start:end] = part[name]
    return columns


def usd_at(series: "Series", asset: Integers, time: Integers) -> Floats:
    """Index of assets at the last sample before each time; 1 if there is none."""
    if len(series.time) == 0:
        return np.ones(len(asset))
    row = np.searchsorted(series.time, time, side="right") - 1
    index = series.index[np.maximum(row, 0), asset]
    return np.where(np.isfinite(index), index, 1.0)
