"""What a measure looks at: a run, a part of it, and what the measure is about."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .prints import in_seconds
from .reading.windows import Window

if TYPE_CHECKING:
    from .record import Watched
    from .run import Run

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

MINUTE_S = 60.0


class UnknownMeasure(LookupError):
    """A name that is that of no measure."""


class NoFigure(LookupError):
    """A measure that this run cannot tell; the text says why."""


@frozen(eq=False)
class Look:
    """One question: which run, when, and of what.

    ``number`` is that of the market or asset it is about, -1 for the whole run;
    ``argument`` what stands behind the measure's name.
    """

    run: "Run"
    part: Window | None
    number: int = -1
    argument: str = ""

    # -- WHEN

    @property
    def begin(self) -> float:
        """Seconds from which things count: the window's, or the first shock."""
        return self.run.start if self.part is None else self.part.begin

    @property
    def end(self) -> float:
        """Seconds up to which they do."""
        return np.inf if self.part is None else self.part.end

    def inside(self, time: Floats) -> Bools:
        """Which of these times, seconds, count."""
        return np.asarray((time >= self.begin) & (time < self.end))

    def time_of_day(self, time: float) -> float:
        """Seconds after midnight of a time of the run."""
        return float(self.run.scenario.config.start + time)

    # -- WHAT

    @property
    def name(self) -> str:
        """Of the market."""
        return self.run.names.markets[self.number]

    @property
    def before(self) -> float:
        """Price of the market before the first shock."""
        return float(self.run.prices_before[self.number])

    def value(self) -> float:
        """The argument as a number."""
        try:
            return float(self.argument)
        except ValueError:
            text = f"needs a number behind its name (got {self.argument!r})"
            raise UnknownMeasure(text) from None

    def markets(self) -> list[int]:
        """The argument as numbers of markets, with commas between their names."""
        names = self.argument.split(",")
        for name in names:
            if name not in self.run.names.markets:
                text = f"needs markets behind its name (got {name!r})"
                raise UnknownMeasure(text)
        return [self.run.market(name) for name in names]

    def of(self, market: int) -> "Look":
        """The same question about a market."""
        return Look(self.run, self.part, market, "")

    @cached_property
    def rows(self) -> Integers:
        """Trades of the market that count; NoFigure if it did not trade."""
        rows = self.run.prints.of(self.number)
        rows = rows[self.inside(self.run.prints.own("time", self.number))]
        if len(rows) == 0:
            raise NoFigure(f"{self.name} did not trade then")
        return rows

    @cached_property
    def low(self) -> int:
        """The row of its lowest trade that counts, the first of equal ones."""
        return self.run.prints.lowest(self.rows)

    # -- WATCHED MARKETS

    @property
    def watched(self) -> "Watched":
        """The samples of each second; NoFigure if the market has none."""
        watched = self.run.series.watched
        if self.number not in watched.markets:
            raise NoFigure(f"{self.name} is not watched; name it in record.markets")
        return watched

    @property
    def column(self) -> int:
        """The market's place among those that are watched."""
        return self.watched.markets.index(self.number)

    @cached_property
    def seconds(self) -> Floats:
        """Times of the samples of watched markets, seconds."""
        return in_seconds(self.watched.time)

    def by_minute(self, values: Floats) -> tuple[Floats, Floats]:
        """Means of samples by minute of the clock, and when each minute begins.

        NaN are left out; a minute of NaN alone is none.
        """
        start = self.run.scenario.config.start
        minute = ((self.seconds + start) // MINUTE_S).astype(np.int64)
        there = np.isfinite(values)
        first = int(minute[0]) if len(minute) else 0
        count = np.bincount(minute[there] - first)
        total = np.bincount(minute[there] - first, values[there])
        found = np.flatnonzero(count)
        begins = np.asarray((found + first) * MINUTE_S - start, np.float64)
        return total[found] / count[found], begins

    def over_base(self, values: Floats) -> tuple[Floats, Floats]:
        """Means by minute over the median minute before the first shock.

        A minute is before it if the larger part of it is, and of the run if that is.
        NoFigure without one.
        """
        means, begins = self.by_minute(values)
        early = begins + 0.5 * MINUTE_S <= self.run.start
        base = float(np.median(means[early])) if early.any() else np.nan
        if not base > 0:
            raise NoFigure("there is no minute before the first shock to compare with")
        # Minutes count whole if the larger part of them does.
        middle = begins + 0.5 * MINUTE_S
        ran = middle < self.run.scenario.config.duration
        late = self.inside(middle) & ~early & ran
        if not late.any():
            raise NoFigure("there is no minute in the window")
        return means[late] / base, begins[late]


def ranks(values: Floats) -> Floats:
    """Ranks of values from 0, the mean rank for equal ones.

    >>> ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist()
    [2.5, 0.0, 2.5, 1.0]
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - 0.5 * (count + 1))[place])


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation; NoFigure if one of them does not vary.

    >>> round(rank_correlation(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3])), 3)
    0.8
    """
    x, y = ranks(a) - ranks(a).mean(), ranks(b) - ranks(b).mean()
    size = float((x * x).sum() * (y * y).sum())
    if not size > 0:
        raise NoFigure("there are too few different values to correlate")
    return float((x * y).sum() / np.sqrt(size))
