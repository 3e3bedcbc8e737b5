"""The trades of a run in units of people."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..orderbook.orders import Flag

if TYPE_CHECKING:
    from .events import EventLog
    from .record import Names, Series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

NANO = 1e-9

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
    def _rows(self) -> list[Integers]:
        # Rows of each market that traded, found for all at once.
        rows = np.argsort(self.market, kind="stable")
        edges = np.searchsorted(
            self.market[rows], np.arange(1, int(self.market.max(initial=-1)) + 1)
        )
        return np.split(rows, edges)

    def of(self, market: int) -> Integers:
        """Rows of one market."""
        return self._rows[market] if market < len(self._rows) else _NONE

    @cached_property
    def highs(self) -> Floats:
        """Highest price of each market that traded, 0 of others before the last."""
        rows = range(len(self._rows))
        return np.array([self.price[self.of(m)].max(initial=0.0) for m in rows])

    @cached_property
    def _lows(self) -> dict[tuple[float, float], Floats]:
        return {}

    def lows(self, begin: float, end: float) -> Floats:
        """Lowest price of each market from a time up to another, seconds.

        Infinite where there was no trade; computed once for each span of time.
        """
        if (begin, end) not in self._lows:
            inside = (self.time >= begin) & (self.time < end)
            own = (rows[inside[rows]] for rows in self._rows)
            lows = [self.price[rows].min(initial=np.inf) for rows in own]
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


def scaled(count: NDArray[np.int64], unit: Floats) -> Floats:
    """Counts of a decimal unit as the nearest floats.

    >>> scaled(np.array([1009]), np.array([0.001])).tolist(), 1009 * 0.001
    ([1.009], 1.0090000000000001)
    """
    inverse = np.rint(1.0 / unit)
    whole = (unit < 1.0) & (np.abs(inverse * unit - 1.0) < 1e-12)
    return np.where(whole, count / np.where(whole, inverse, 1.0), count * unit)


def prints(log: "EventLog", names: "Names", series: "Series") -> Prints:
    """The trades of a log in units of people."""
    event, rows = log.fills()
    market = rows["market"]
    price = scaled(rows["price"], names.tick[market])
    qty = scaled(rows["qty"], names.lot[market])
    worth = usd_at(series, np.array(names.quote, np.int64)[market], rows["time"])
    return Prints(
        event=event,
        time=rows["time"] * NANO,
        market=market,
        price=price,
        qty=qty,
        usd=price * qty * worth,
        side=rows["taker_side"],
        taker=rows["taker"],
        maker=rows["maker"],
        maker_order=rows["maker_order"],
        forced=(rows["flags"] & Flag.LIQUIDATION) > 0,
        order=rows["cause"],
    )


def usd_at(series: "Series", asset: Integers, time: Integers) -> Floats:
    """Index of assets at the last sample before each time; 1 if there is none."""
    if len(series.time) == 0:
        return np.ones(len(asset))
    row = np.searchsorted(series.time, time, side="right") - 1
    index = series.index[np.maximum(row, 0), asset]
    return np.where(np.isfinite(index), index, 1.0)
