"""Scenarios side by side over many seeds: what a rule changes, and how sure that is.

Every seed is run under each scenario, with the same random numbers, and differences are
taken seed by seed: what chance does to both cancels. How much of the variance that
takes away is told as well, since it is the reason to pair.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite, nan
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ...margin.presets import near, shown
from ..chain_measures import of_protocols
from ..scenario import LoadedScenario
from ..text import NOTHING, Grid, brief, percent
from .outcomes import OutcomeError, in_words, interval
from .replays import Failure, Replay, Row, rows
from .spread import Estimate, estimate, median_interval, middle, sign_test, variance

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TOLD = 3
"""Failed replays that a table tells."""

LISTED = 40
"""Markets in a table, those whose falls differ most."""

DETAILS = ("shock", "lows")
"""Subjects of measures that a table leaves out."""


@frozen
class PairedRow:
    """One measure: values by scenario, one for each seed, NaN where there is none."""

    measure: str
    values: tuple[tuple[float, ...], ...]

    def each(self, case: int) -> Estimate:
        """Mean and spread over the seeds under one scenario."""
        return estimate(self.values[case])

    def differences(self, case: int = 1) -> tuple[float, ...]:
        """Value under a scenario less that under the first, seed by seed."""
        pairs = zip(self.values[case], self.values[0], strict=True)
        return tuple(
            one - other if isfinite(one) and isfinite(other) else nan
            for one, other in pairs
        )

    def differs(self, case: int = 1) -> bool:
        """Whether a seed has another value than under the first scenario."""
        pairs = zip(self.values[case], self.values[0], strict=True)
        return any(a != b and not (a != a and b != b) for a, b in pairs)

    def difference(self, case: int = 1) -> Estimate:
        """Mean of the differences with its 95 % interval, by Student's t."""
        return estimate(self.differences(case))

    def median(self, case: int = 1) -> float:
        """Median of the differences."""
        return middle(self.differences(case))

    def median_interval(self, case: int = 1) -> tuple[float, float, float]:
        """An exact interval of that median, and the chance that it holds it."""
        return median_interval(self.differences(case))

    def sign_test(self, case: int = 1) -> float:
        """The chance that so many differences have one sign if neither is likelier."""
        return sign_test(self.differences(case))

    def variances(self, case: int = 1) -> tuple[float, float]:
        """Variance of the differences, and what it would be with other seeds in each.

        The latter is the sum of the variances under both scenarios.
        """
        pairs = [
            (one, other)
            for one, other in zip(self.values[0], self.values[case], strict=True)
            if isfinite(one) and isfinite(other)
        ]
        ours, theirs = ([pair[k] for pair in pairs] for k in (0, 1))
        return (
            variance([other - one for one, other in pairs]),
            variance(ours) + variance(theirs),
        )

    def reduction(self, case: int = 1) -> float:
        """Share of the variance that the common random numbers take away.

        Below 0 they add some; NaN if there is no variance.
        """
        paired, apart = self.variances(case)
        return 1.0 - paired / apart if apart > 0 else nan


@frozen(repr=False, kw_only=True)
class PairedComparison:
    """Measures of scenarios over seeds; differences are to the first scenario.

    ``failed`` are replays without figures: label, seed, and why.
    """

    scenarios: tuple[LoadedScenario, ...]
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[PairedRow, ...]
    failed: tuple[tuple[str, int, Failure], ...] = ()

    # -- IN WORDS

    def __str__(self) -> str:
        """The tables as plain text."""
        grids = (self.grid(case) for case in range(1, len(self.labels)))
        return "\n\n".join([self.title, *map(str, grids)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        grids = (self.grid(case).html() for case in range(1, len(self.labels)))
        return f"<h3>{escape(self.title)}</h3>{''.join(grids)}"

    @property
    def title(self) -> str:
        """What is compared, over how many seeds."""
        k = len(self.seeds)
        seeds = "1 seed" if k == 1 else f"{k} seeds"
        return f"{self.scenarios[0].name}, {seeds}, the same for each"

    def row(self, measure: str) -> PairedRow:
        """The row of a measure; LookupError with the nearest name if there is none."""
        known = {row.measure: row for row in self.rows}
        if measure not in known:
            text = f"'measure' must be one that the runs have (got {shown(measure)})"
            close = near(str(measure), list(known))
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise LookupError(text + hint)
        return known[measure]

    def grid(self, case: int = 1) -> Grid:
        """Both means with their spread, the differences, and how sure they are."""
        first, other = self.labels[0], self.labels[case]
        header = (
            "mean (spread)",
            first,
            other,
            "difference",
            "95 % interval",
            "median",
            "sign test",
        )
        lines = tuple(
            (
                row.measure,
                _spread(row, 0),
                _spread(row, case),
                in_words(row.measure, row.difference(case).mean, sign=True),
                interval(row.measure, row.difference(case)),
                in_words(row.measure, row.median(case), sign=True),
                _chance(row.sign_test(case)),
            )
            for row in self.shown(case)
        )
        return Grid(f"{other} less {first}", header, lines, self._note(case))

    def _note(self, case: int) -> str:
        left = len(self.rows) - len(self.shown(case))
        parts = ["sign test: the chance of so many differences of one sign, or more"]
        same = sum(not row.differs(case) for row in self.rows)
        if same:
            parts.append(f"{same:,} measures that never differ are left out")
        if left > same:
            left -= same
            parts.append(f"{left:,} more measures in .rows, one of them by .row(name)")
        for label, seed, failure in self.failed[:TOLD]:
            parts.append(f"{label}, seed {seed} failed: {failure.error}")
        if len(self.failed) > TOLD:
            parts.append(f"{len(self.failed) - TOLD:,} more failed, in .failed")
        return "; ".join(parts)

    def shown(self, case: int = 1) -> list[PairedRow]:
        """The rows of a table: what differs, without details, and the largest falls.

        Of protocols those that differ most.
        """
        if not self.scenarios[0].config.markets:
            return self._most(case, self.rows)
        falls, others, chain = [], [], []
        for row in self.rows:
            if not row.differs(case):
                continue
            if of_protocols(row.measure):
                chain.append(row)
            elif row.measure.endswith(".drop"):
                falls.append(row)
            elif not self._detail(row.measure):
                others.append(row)
        falls.sort(key=lambda row: -_size(row.difference(case).mean))
        return [*others, *falls[:LISTED], *self._most(case, chain)]

    def _most(self, case: int, rows: Sequence[PairedRow]) -> list[PairedRow]:
        # Every measure that differs, as far as there is room.
        differ = [row for row in rows if row.differs(case)]
        return sorted(differ, key=lambda row: -_relative(row, case))[:LISTED]

    def _detail(self, measure: str) -> bool:
        subject, _, rest = measure.partition(".")
        config = self.scenarios[0].config
        of_one = subject in config.markets or subject in config.assets
        return of_one or subject in DETAILS or "." in rest

    def reduction(self, case: int = 1) -> Grid:
        """What common random numbers do to the variance of each difference."""
        lines = []
        for row in self.shown(case):
            paired, apart = row.variances(case)
            if not apart > 0:
                continue
            left = percent(row.reduction(case), sign=True)
            as_many = brief(apart / paired) if paired > 0 else NOTHING
            cells = brief(apart), brief(paired), left, as_many
            lines.append((row.measure, *cells))
        header = (
            "variance of the difference",
            "own seeds in each",
            "the same seeds",
            "taken away",
            "seeds spared, ×",
        )
        note = "own seeds: the sum of both variances, which it would be without pairing"
        return Grid("", header, tuple(lines), note)

    # -- PICTURES AND FILES

    def figure(self, measure: str | None = None) -> "Figure":
        """The differences of all measures, seed by seed; or one measure's values."""
        from .paired_figures import differences_figure, seeds_figure

        if measure is None:
            return differences_figure(self)
        return seeds_figure(self, self.row(measure))

    def report(self, path: str | PathLike[str]) -> Path:
        """Write the comparison into one HTML file that needs no network."""
        from ..pages.page import write_page
        from .paired_figures import paired_report

        return write_page(paired_report(self), path)


def _size(value: float) -> float:
    return abs(value) if isfinite(value) else 0.0


def _relative(row: PairedRow, case: int) -> float:
    # The mean difference as a share of the larger mean.
    whole = max(_size(row.each(k).mean) for k in (0, case))
    return _size(row.difference(case).mean) / whole if whole else 0.0


def _spread(row: PairedRow, case: int) -> str:
    found = row.each(case)
    mean = in_words(row.measure, found.mean)
    if not isfinite(found.spread):
        return mean
    return f"{mean} ({in_words(row.measure, found.spread)})"


def _chance(value: float) -> str:
    return NOTHING if value != value else f"{value:.2g}"


# -- MADE


def paired(
    scenarios: Sequence[LoadedScenario],
    labels: Sequence[str],
    seeds: tuple[int, ...],
    work: dict[str, Any],
) -> PairedComparison:
    """Run each scenario with each seed; see `compare`."""
    tell = work.pop("on_progress", None)
    found: list[list[Row]] = []
    for k, scenario in enumerate(scenarios):

        def progress(part: float, done: int, before: int = k) -> None:
            if tell is not None:
                whole = before * len(seeds) + done
                tell((before + part) / len(scenarios), whole)

        plan = [Replay({}, seed) for seed in seeds]
        found.append(rows(scenario, plan, None, on_progress=progress, **work))
    failed = tuple(
        (label, seed, row.failure)
        for label, own in zip(labels, found, strict=True)
        for seed, row in zip(seeds, own, strict=True)
        if row.failure is not None
    )
    for label, own in zip(labels, found, strict=True):
        first = own[0].failure
        if first is not None and all(row.failure for row in own):
            error = OutcomeError(f"every replay of {label} failed: {first.error}")
            error.add_note(first.traceback)
            raise error
    tables = [[_numbers(row) for row in own] for own in found]
    return PairedComparison(
        scenarios=tuple(scenarios),
        labels=tuple(labels),
        seeds=seeds,
        rows=tuple(_rows(tables)),
        failed=failed,
    )


def _numbers(row: Row) -> dict[str, float]:
    return {k: v for k, v in row.figures.items() if not isinstance(v, str)}


def _rows(tables: Sequence[Sequence[dict[str, float]]]) -> Iterator[PairedRow]:
    names = dict.fromkeys(name for own in tables for table in own for name in table)
    for name in names:
        values = tuple(tuple(t.get(name, nan) for t in own) for own in tables)
        yield PairedRow(name, values)
