"""A frontier that was found: the bound, what was tried, and the last good value."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from html import escape
from itertools import pairwise
from math import isfinite, nan
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..arguments import refuse
from ..scenario import LoadedScenario
from ..text import Grid, join, percent
from .kept import Kept
from .outcomes import in_words, outcomes
from .replays import Progress, Replay, Wanted, check_jobs, label, seeds_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}

_BOUND = re.compile(r"\s*(.+?)\s*(<=|>=|<|>)\s*(\S+)\s*")

_TOLD = "a measure, one of < <= > >=, and a number, as in 'makers.liquidated < 1'"


@frozen
class Bound:
    """What an outcome must keep to, and over which seeds."""

    wanted: Wanted
    sign: str
    limit: float
    over: str | float

    @classmethod
    def parse(
        cls, text: object, over: object, window: tuple[str, str] | None
    ) -> "Bound":
        """The bound that a text says; ValueError for what is none.

        >>> str(Bound.parse("makers.liquidated<1", "all", None))
        'makers.liquidated < 1'
        """
        if not isinstance(text, str):
            refuse("keep", text, _TOLD)
        found = _BOUND.fullmatch(text)
        # Of "=>" the first sign would be the measure's.
        if found is None or found[1][-1] in "=!<>":
            told = f"{_TOLD} (got {text!r})"
            raise ValueError(f"'keep' must be {told}; write one of <, <=, >, >=")
        try:
            limit = float(found[3])
        except ValueError:
            limit = nan
        if not isfinite(limit):
            raise ValueError(f"'keep' must be {_TOLD} (got {text!r})")
        told = "'all', 'median', or a share of the seeds above 0, at most 1"
        share = isinstance(over, int | float) and not isinstance(over, bool)
        if not share and over not in ("all", "median"):
            raise ValueError(f"'over' must be {told} (got {over!r})")
        if share and not 0.0 < over <= 1.0:  # type: ignore[operator]
            raise ValueError(f"'over' must be {told} (got {over!r})")
        return cls((found[1], window), found[2], limit, over)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """The bound in words."""
        return f"{label(self.wanted)} {self.sign} {self.limit:g}"

    @property
    def seeds(self) -> str:
        """The rule over seeds in words."""
        if self.over == "all":
            return "in all seeds"
        if self.over == "median":
            return "for the median seed"
        return f"in {percent(float(self.over))} of the seeds"

    def held(self, outcome: float) -> bool:
        """Whether one outcome keeps to it."""
        return SIGNS[self.sign](outcome, self.limit)


@frozen
class Evaluation:
    """One value that was tried, and the outcome of each seed."""

    value: int | float
    changes: Mapping[str, Any]
    outcomes: tuple[float, ...]
    bound: Bound

    @property
    def share(self) -> float:
        """Share of the seeds in which the bound holds."""
        return sum(map(self.bound.held, self.outcomes)) / len(self.outcomes)

    @property
    def median(self) -> float:
        """The median outcome; infinite if most are."""
        ordered = sorted(self.outcomes)
        half = len(ordered) // 2
        if len(ordered) % 2:
            return ordered[half]
        return 0.5 * (ordered[half - 1] + ordered[half])

    @property
    def holds(self) -> bool:
        """Whether the bound holds at this value, by its rule over seeds."""
        over = self.bound.over
        if over == "median":
            return self.bound.held(self.median)
        return self.share >= (1.0 if over == "all" else float(over))

    @property
    def text(self) -> str:
        """The outcome in words: the median, with the least and the most."""
        return self.told("{}, {} to {}")

    def told(self, form: str) -> str:
        """The same in a form of three figures; one alone if they are the same."""
        name = self.bound.wanted[0]
        low, high = min(self.outcomes), max(self.outcomes)
        if low == high:
            return in_words(name, low)
        words = (in_words(name, value) for value in (self.median, low, high))
        return form.format(*words)


@frozen(repr=False, kw_only=True)
class Frontier:
    """Where an outcome leaves its bound: between ``good`` and ``bad``.

    ``evaluations`` are all values that were tried, in order.
    """

    scenario: LoadedScenario
    place: str
    bound: Bound
    seeds: tuple[int, ...]
    log: bool
    good: Evaluation
    bad: Evaluation
    evaluations: tuple[Evaluation, ...]

    # -- IN WORDS

    def __str__(self) -> str:
        """The finding, and all that was tried."""
        return f"{self.title}\n{self.finding}\n\n{self.grid()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = f"<h3>{escape(self.title)}</h3><p>{escape(self.finding)}</p>"
        return head + self.grid().html()

    @property
    def title(self) -> str:
        """What was searched, and where."""
        k = len(self.seeds)
        seeds = "1 seed" if k == 1 else f"{k} seeds"
        return f"{self.place} of {self.scenario.name}, {seeds}"

    @property
    def finding(self) -> str:
        """One sentence with both sides, and another if there is more than one edge."""
        good, bad = exactly(self.good.value), exactly(self.bad.value)
        text = f"{self.bound} holds {self.bound.seeds} at {good} but not at {bad}."
        return text if self.monotone else f"{text} {self._more_edges()}"

    @property
    def monotone(self) -> bool:
        """Whether the bound parts what was tried once only."""
        return len(self._edges()) == 1

    def _edges(self) -> list[tuple[Evaluation, Evaluation]]:
        pairs = pairwise(self.evaluations)
        return [(one, other) for one, other in pairs if one.holds != other.holds]

    def _more_edges(self) -> str:
        others = [
            f"{exactly(one.value)} and {exactly(other.value)}"
            for one, other in self._edges()
            if {one.value, other.value} != {self.good.value, self.bad.value}
        ]
        return f"It is not the only edge: there are others between {join(others)}."

    def grid(self) -> Grid:
        """Every value that was tried: the outcome, and in how many seeds it held."""
        name = self.bound.wanted[0]
        header = (self.place, label(self.bound.wanted), "least", "most", "held in", "")
        rows = tuple(
            (
                exactly(each.value),
                in_words(name, each.median),
                in_words(name, min(each.outcomes)),
                in_words(name, max(each.outcomes)),
                f"{sum(map(self.bound.held, each.outcomes))} of {len(self.seeds)}",
                self._side(each),
            )
            for each in self.evaluations
        )
        return Grid("", header, rows, f"held: {self.bound}, wanted {self.bound.seeds}")

    def _side(self, each: Evaluation) -> str:
        if each is self.good:
            return "last good"
        if each is self.bad:
            return "first bad"
        return "good" if each.holds else "bad"

    # -- ONCE MORE

    def confirm(
        self,
        seeds: int | Iterable[int] | None = None,
        *,
        executor: Executor | None = None,
        jobs: int | None = None,
        on_progress: Progress | None = None,
    ) -> "Confirmation":
        """Replay both sides once more, with the same seeds or with others.

        With the same seeds every outcome comes again; with others it is seen whether
        the edge is one of these seeds only.
        """
        numbers = self.seeds if seeds is None else seeds_of(seeds)
        check_jobs(executor, jobs)
        sides = self.good, self.bad
        plan = [Replay(side.changes, seed) for side in sides for seed in numbers]

        def told(replay: Replay) -> str:
            side = self.good if replay.changes is self.good.changes else self.bad
            return f"at {self.place} = {side.value!r}, seed {replay.seed}"

        found = outcomes(
            self.scenario,
            plan,
            self.bound.wanted,
            told,
            Kept(),
            executor=executor,
            jobs=jobs,
            on_progress=on_progress,
        )
        k = len(numbers)
        good, bad = (
            Evaluation(side.value, side.changes, tuple(part), self.bound)
            for side, part in zip(sides, (found[:k], found[k:]), strict=True)
        )
        return Confirmation(self, numbers, good, bad)

    # -- PICTURES AND FILES

    def figure(self) -> "Figure":
        """The outcome of each seed by value, with the bound and the bracket."""
        from .edge_figures import frontier_figure

        return frontier_figure(self)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write the search into one HTML file that needs no network."""
        from ..pages.page import write_page
        from .edge_figures import frontier_report

        return write_page(frontier_report(self), path)


@frozen(repr=False)
class Confirmation:
    """Both sides of a frontier, replayed once more."""

    frontier: Frontier
    seeds: tuple[int, ...]
    good: Evaluation
    bad: Evaluation

    @property
    def ok(self) -> bool:
        """Whether the bound holds on the good side and not on the bad one."""
        return self.good.holds and not self.bad.holds

    @property
    def same(self) -> bool:
        """Whether the seeds are the same, and every outcome came again."""
        ours = self.seeds, self.good.outcomes, self.bad.outcomes
        theirs = self.frontier
        return ours == (theirs.seeds, theirs.good.outcomes, theirs.bad.outcomes)

    def __str__(self) -> str:
        """The verdict, and both sides."""
        verdict = "confirmed" if self.ok else "not confirmed"
        if self.same:
            verdict += ", every outcome as before"
        elif self.seeds == self.frontier.seeds:
            verdict += ", with other outcomes than before"
        return f"{verdict}\n{self.grid()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.grid().html()

    def grid(self) -> Grid:
        """Both sides: the outcome, and in how many seeds the bound held."""
        rows = tuple(
            (
                exactly(each.value),
                each.text,
                f"{sum(map(each.bound.held, each.outcomes))} of {len(self.seeds)}",
                "holds" if each.holds else "does not hold",
            )
            for each in (self.good, self.bad)
        )
        bound = self.frontier.bound
        header = (self.frontier.place, label(bound.wanted), "held in", str(bound))
        return Grid("", header, rows)


def exactly(value: float) -> str:
    """A value that was tried, in ten digits.

    >>> exactly(4_375_000), exactly(0.0625), exactly(4312500.0)
    ('4,375,000', '0.0625', '4,312,500')
    """
    return f"{value:,.10g}"
