"""How far one thing can go before an outcome leaves its bound, by bisection.

Every value is replayed with the same seeds, so that what differs from one to the next
is the value alone. Outcomes are steps (a market maker is liquidated or is not), which
is why nothing here takes a slope.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from itertools import pairwise
from math import ceil, floor, inf, isfinite, log2, log10, sqrt
from os import PathLike
from typing import Any

import numpy as np
from attrs import define, field, frozen

from ..arguments import expect, refuse, whole_number
from ..chance import exp
from ..chance import log as log_of
from ..scenario import LoadedScenario
from .edge import Bound, Evaluation, Frontier
from .kept import Kept
from .outcomes import kept_in, loaded, outcomes
from .replays import Progress, Replay, check_jobs, seeds_of

SCAN = 5
SCAN_MAX = 1_000

TOLERANCE = 0.01
"""Of the range, or of the value on a log scale."""

Number = int | float
Vary = str | Iterable[str] | Callable[[Any], Mapping[str, Any]]


class FrontierError(ValueError):
    """A bound that holds, or does not, at both ends of a range."""


def frontier(
    scenario: LoadedScenario | str | PathLike[str],
    place: Vary,
    between: tuple[Number, Number],
    keep: str,
    seeds: int | Iterable[int] | None = None,
    *,
    over: str | float = "all",
    window: tuple[str, str] | None = None,
    log: bool = False,
    tolerance: float | None = None,
    scan: int = SCAN,
    into: str | PathLike[str] | None = None,
    resume: bool = False,
    executor: Executor | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
) -> Frontier:
    """Find the value at which an outcome leaves its bound.

    ``place`` is what is varied: a place of the scenario, several that get the same
    value, or a function of the value that returns changes. ``between`` are the least
    and the greatest value; if both are whole numbers, so are all between. ``keep`` is
    the bound, as in ``"makers.liquidated < 1"``: a measure (of ``window`` if two times
    of day are given), one of < <= > >=, and a number. It holds at a value if it does
    ``over`` all ``seeds``, for their median, or for a share of them.

    The range is first looked at in ``scan`` evenly spaced values, on a ``log`` scale if
    asked for, and then halved until the bracket is no wider than ``tolerance``: in the
    value's unit, or relative to it on a log scale; by default a hundredth. ``into`` is
    a directory that keeps each outcome as it comes; with ``resume`` those it has are
    not run again, whatever search they were run for.

    FrontierError if the bound does not part the ends; ValueError for what cannot be
    searched; OutcomeError, one too, if a replay has no such figure or failed.
    """
    scenario = loaded(scenario)
    scale = _scale(between, tolerance, log=log)
    bound = Bound.parse(keep, over, window)
    numbers = seeds_of(scenario.config.seeds if seeds is None else seeds)
    check_jobs(executor, jobs)
    points = scale.scan(whole_number("scan", scan, 2, SCAN_MAX, f"2 to {SCAN_MAX:,}"))
    name, changes = _varied(place)
    for value in between:
        # Both ends are checked before anything runs.
        scenario.vary(changes(value))
    with kept_in(into, scenario, bound.wanted, "search", resume=resume) as kept:
        search = _Search(
            scenario=scenario,
            name=name,
            changes=changes,
            bound=bound,
            seeds=numbers,
            kept=kept,
            work={"executor": executor, "jobs": jobs},
            on_progress=on_progress,
            total=len(points) + scale.rounds(points),
        )
        good, bad = search.edge(points, scale)
    return Frontier(
        scenario=scenario,
        place=name,
        bound=bound,
        seeds=numbers,
        log=log,
        good=good,
        bad=bad,
        evaluations=tuple(search.known[value] for value in sorted(search.known)),
    )


# -- WHAT WAS ASKED FOR


def _varied(place: Any) -> tuple[str, Callable[[Number], dict[str, Any]]]:
    told = "a place of the scenario, several, or a function that returns changes"
    if isinstance(place, str):
        return place, lambda value: {place: value}
    if callable(place):

        def called(value: Number) -> dict[str, Any]:
            changes = place(value)
            expect("place", changes, Mapping, "a function that returns changes")
            return dict(changes)

        name = getattr(place, "__name__", "value")
        return "value" if name == "<lambda>" else name, called
    if isinstance(place, Mapping) or not isinstance(place, Iterable):
        refuse("place", place, told)
    places = list(place)
    for one in places:
        expect("place", one, str, told)
    if not places:
        raise ValueError("'place' must name at least one place (got none)")
    return ", ".join(places), lambda value: dict.fromkeys(places, value)


def _scale(between: Any, tolerance: Any, *, log: bool) -> "_Scale":
    told = "the least and the greatest value, as in (1e6, 8e6)"
    if not isinstance(between, Sequence) or len(between) != 2:
        refuse("between", between, told)
    for value in between:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not isfinite(value):
            refuse("between", between, told)
    low, high = between
    if not low < high:
        text = "'between' must be the least value first, then a greater one"
        raise ValueError(f"{text} (got {low!r}, {high!r})")
    if log and low <= 0:
        text = "'between' must be above 0 on a log scale"
        raise ValueError(f"{text} (got {low!r})")
    whole = isinstance(low, int) and isinstance(high, int)
    if tolerance is None:
        tolerance = TOLERANCE if log else TOLERANCE * (high - low)
    elif isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
        refuse("tolerance", tolerance, "a number above 0")
    elif not 0.0 < tolerance < inf:
        raise ValueError(f"'tolerance' must be above 0 (got {tolerance!r})")
    return _Scale(low, high, tolerance, log, whole)


@frozen
class _Scale:
    """The values between two, on a linear or a log scale."""

    low: Number
    high: Number
    tolerance: float
    log: bool
    whole: bool

    def scan(self, count: int) -> list[Number]:
        """Evenly spaced values, both ends among them."""
        parts = [i / (count - 1) for i in range(1, count - 1)]
        inner = [self._short(self._at(part)) for part in parts]
        return list(dict.fromkeys([self.low, *inner, self.high]))

    def _at(self, part: float) -> float:
        if self.log:
            # Not by **, whose last bit is the machine's.
            low, high = log_of(np.array([self.low, self.high], np.float64))
            return float(exp(np.array([low + part * (high - low)]))[0])
        return self.low + part * (self.high - self.low)

    def _short(self, value: float) -> Number:
        # With no more digits than the tolerance tells apart, and one more.
        if self.whole:
            return round(value)
        step = self.tolerance * value if self.log else self.tolerance
        return round(value, 2 - floor(log10(step)))

    def _wide(self, low: Number, high: Number) -> float:
        # How many tolerances wide.
        width = (high - low) / low if self.log else high - low
        return width / self.tolerance

    def middle(self, one: Number, other: Number) -> Number | None:
        """The value half-way between two; None if they are close enough."""
        low, high = sorted((one, other))
        if self._wide(low, high) <= 1.0:
            return None
        half = sqrt(low) * sqrt(high) if self.log else low + 0.5 * (high - low)
        half = self._short(half)
        if self.whole:
            half = min(max(half, low + 1), high - 1)
        # Numbers that are next to each other have nothing between them.
        return half if low < half < high else None

    def rounds(self, points: Sequence[Number]) -> int:
        """How often the widest gap between values is halved, about."""
        widest = max(self._wide(low, high) for low, high in pairwise(points))
        return max(0, ceil(log2(widest))) if widest > 0 else 0


# -- SEARCHING


@define
class _Search:
    """Values that were replayed, and what came of each."""

    scenario: LoadedScenario
    name: str
    changes: Callable[[Number], dict[str, Any]]
    bound: Bound
    seeds: tuple[int, ...]
    kept: Kept
    work: dict[str, Any]
    on_progress: Progress | None
    total: int  # values that are expected to be replayed
    known: dict[Number, Evaluation] = field(factory=dict)

    def evaluate(self, points: Sequence[Number]) -> None:
        """Replay each value with every seed."""
        varied = {value: self.changes(value) for value in points}

        def told(replay: Replay) -> str:
            value = next(v for v in points if varied[v] is replay.changes)
            return f"at {self.name} = {value!r}, seed {replay.seed}"

        plan = [Replay(varied[v], seed) for v in points for seed in self.seeds]
        progress = self._tell(len(points))
        found = outcomes(
            self.scenario,
            plan,
            self.bound.wanted,
            told,
            self.kept,
            on_progress=progress,
            **self.work,
        )
        k = len(self.seeds)
        for i, value in enumerate(points):
            own = tuple(found[i * k : i * k + k])
            self.known[value] = Evaluation(value, varied[value], own, self.bound)

    def _tell(self, count: int) -> Progress | None:
        # Of the whole search, whose length is only about known.
        tell, before = self.on_progress, len(self.known)
        if tell is None:
            return None
        done = before * len(self.seeds)
        total = max(self.total, before + count)
        return lambda part, more: tell((before + part * count) / total, done + more)

    def edge(
        self, points: Sequence[Number], scale: _Scale
    ) -> tuple[Evaluation, Evaluation]:
        """The last good and the first bad value: of the points, then in between."""
        self.evaluate(points)
        good, bad = self.crossing()
        while (middle := scale.middle(good, bad)) is not None:
            self.evaluate([middle])
            if self.known[middle].holds:
                good = middle
            else:
                bad = middle
        return self.known[good], self.known[bad]

    def crossing(self) -> tuple[Number, Number]:
        """The values next to each other that the bound parts, nearest the good end."""
        values = sorted(self.known)
        low, high = self.known[values[0]], self.known[values[-1]]
        if low.holds == high.holds:
            raise FrontierError(self._uncrossed(values))
        if high.holds:
            values.reverse()
        good, bad = next(
            pair for pair in pairwise(values) if not self.known[pair[1]].holds
        )
        return good, bad

    def _uncrossed(self, values: Sequence[Number]) -> str:
        ends = self.known[values[0]], self.known[values[-1]]
        how = "at both ends" if ends[0].holds else "at neither end"
        form = "median {}, from {} to {}"
        told = ", ".join(f"{end.value!r} ({end.told(form)})" for end in ends)
        text = f"{self.bound} holds {how}: {told}"
        others = [v for v in values if self.known[v].holds != ends[0].holds]
        if others:
            other = "not at" if ends[0].holds else "at"
            return f"{text}, but {other} {others[0]!r}; narrow the range to there"
        return f"{text}; widen the range or move the bound"
