"""Runs side by side: what another rule, or another seed, changes."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from attrs import frozen

from .. import facts
from ..arguments import expect, refuse
from ..chain_measures import chain_listed
from ..reading.changes import plain
from ..run import Run
from ..scenario import LoadedScenario
from ..summary import Figure, as_text, figures
from ..text import Grid, brief, change
from .paired import PairedComparison, paired
from .parting import NO_MORE, Parting, parting
from .replays import Progress, check_jobs, seeds_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

TINY = 0.0005
"""A share below this reads as 0.0 %."""

MEASURE = "measure"
"""Unit of a row that is a measure of protocols, by the name `Run.measure` takes."""

LISTED = 20
"""Measures of protocols in a table, those that differ most."""

SAME = ("time", "market", "side", "price", "qty")
"""What two trades must share to be the same.

Not the accounts: with a participant switched off, those after it have other numbers.
"""


@frozen
class Row:
    """One measure of all runs, and what each differs by from the first."""

    measure: str
    unit: str
    values: tuple[float, ...]

    @property
    def differences(self) -> tuple[float, ...]:
        """Value minus that of the first run."""
        return tuple(value - self.values[0] for value in self.values)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Difference as a share of the first run's value; NaN where that is 0."""
        first = self.values[0]
        return tuple(
            difference / abs(first) if first else np.nan
            for difference in self.differences
        )


@frozen(repr=False)
class Comparison:
    """Measures of several runs; differences are to the first of them."""

    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    until: tuple[float | None, ...]  # when the trades part from the first run's
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """The table as plain text."""
        return str(self.grid())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<h3>{escape(self.runs[0].scenario.name)}</h3>{self.grid().html()}"

    def grid(self) -> Grid:
        """The rows in words: values, then absolute and relative differences.

        Of protocols the measures that differ most.
        """
        header = ["", self.labels[0]]
        for label in self.labels[1:]:
            header += [label, "difference", "relative"]
        rows, told = self.rows, list(self.notes)
        last = sum(row.unit != MEASURE for row in rows) + LISTED
        if len(rows) > last:
            told.append(f"{len(rows) - last:,} more differ; .measures() has all.")
            rows = rows[:last]
        told += [self._parting(case) for case in range(1, len(self.runs))]
        return Grid("", tuple(header), tuple(map(_line, rows)), "\n".join(told))

    def _parting(self, case: int) -> str:
        label, until = self.labels[case], self.until[case]
        if until is not None:
            at = facts.when(self.runs[case], until)
            return f"{label}: the same trades as the first until {at}."
        if any(len(self.runs[k].prints.time) for k in (0, case)):
            return f"{label}: the same as the first, trade by trade."
        tables = [_numbers(self.runs[k]) for k in (0, case)]
        names = dict.fromkeys(name for table in tables for name in table)
        apart = sum(
            not _same(*(table.get(name, np.nan) for table in tables)) for name in names
        )
        text = f"{label}: no trades in either run; "
        text += f"{apart or 'none'} of {len(names)} measures differ"
        first = self.parting(case).first
        if first is None:
            return f"{text}."
        at = facts.when(self.runs[case], first.until or 0.0)
        cause = first.theirs.removesuffix(f", {at}")
        if first.theirs == NO_MORE:
            cause = f"without {first.ours.removesuffix(f', {at}')}"
        apart_at = "first at" if apart else "but the records part at"
        return f"{text}, {apart_at} {at} ({cause})."

    def told(self, row: Row, case: int = 1) -> str:
        """What a measure is in a run, and in the first."""
        one, other = (as_text(row.values[k], row.unit) for k in (case, 0))
        return f"{row.measure} {one}, not {other}"

    def values(self) -> Grid:
        """The rows in words, values only: one column for each run."""
        rows = tuple(
            (row.measure, *(as_text(value, row.unit) for value in row.values))
            for row in self.rows
        )
        return Grid("", ("", *self.labels), rows, " ".join(self.notes))

    def parting(self, case: int = 1) -> Parting:
        """Where a run parts from the first, and what was the same until then."""
        labels = self.labels[0], self.labels[case]
        return parting(self.runs[0], self.runs[case], labels)

    def measures(self) -> Grid:
        """Every measure of all runs, by the names that `Run.measure` takes."""
        tables = [run.measures() for run in self.runs]
        names = dict.fromkeys(name for table in tables for name in table)
        rows = tuple(
            (name, *(_cell(table.get(name, np.nan)) for table in tables))
            for name in names
        )
        return Grid("", ("measure", *self.labels), rows, " ".join(self.notes))

    def figure(self, market: str | None = None) -> "Plot":
        """Prices of a market in all runs; that of the first run's deepest fall."""
        from ..pages.figures import overlay_figure

        return overlay_figure(self.runs, self.labels, market)

    def differences(self) -> "Plot":
        """How far each measure of the table is from that of the first run."""
        from .paired_figures import changes_figure

        return changes_figure(self)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write the comparison into one HTML file that needs no network."""
        from ..pages.page import write_page
        from ..pages.report import comparison_report

        return write_page(comparison_report(self), path)


def _line(row: Row) -> tuple[str, ...]:
    cells = [row.measure, as_text(row.values[0], row.unit)]
    changes = zip(row.values, row.differences, row.ratios, strict=True)
    for value, difference, ratio in list(changes)[1:]:
        # A difference of shares is one of percentage points.
        points = as_text(difference, row.unit, sign=True)
        if row.unit == "share":
            points = change(difference).replace("%", "pp")
            # A multiple of what reads as nothing says nothing.
            ratio = np.nan if row.values[0] < TINY else ratio
        cells += [as_text(value, row.unit), points, change(ratio)]
    return tuple(cells)


def _cell(value: object) -> str:
    return value if isinstance(value, str) else brief(float(value))  # type: ignore[arg-type]


@overload
def compare(*runs: Run) -> Comparison: ...
@overload
def compare(
    *runs: LoadedScenario,
    seeds: int | Iterable[int] | None = None,
    executor: Executor | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
) -> PairedComparison: ...
def compare(
    *runs: Run | LoadedScenario,
    seeds: int | Iterable[int] | None = None,
    executor: Executor | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
) -> Comparison | PairedComparison:
    """Put runs, or scenarios over many seeds, side by side; the first is the measure.

    Runs of one seed share their random numbers, so that the difference is what was
    changed; others are said to differ. Scenarios are run with each of ``seeds`` (how
    many, or which; by default as many as the first says), and differences are taken
    seed by seed. ValueError if there are fewer than two, or seeds of runs; TypeError
    for what is neither; OutcomeError, a ValueError, if every replay of one failed.
    """
    told = "runs, or scenarios: all of one kind"
    for run in runs:
        expect("runs", run, (Run, LoadedScenario), told)
    if len(runs) < 2:
        raise ValueError(f"'runs' must be two or more (got {len(runs)})")
    done = [run for run in runs if isinstance(run, Run)]
    if 0 < len(done) < len(runs):
        refuse("runs", runs[-1], told)
    if done:
        given = (seeds, executor, jobs, on_progress)
        if given != (None, None, None, None):
            text = "'seeds' must be left out: runs are done; compare their scenarios"
            raise ValueError(f"{text} (got {seeds!r})")
        until = tuple(parted(done[0], run) for run in done)
        return Comparison(tuple(done), _labels(done), _rows(done), until, _notes(done))
    scenarios = [run for run in runs if isinstance(run, LoadedScenario)]
    numbers = seeds_of(scenarios[0].config.seeds if seeds is None else seeds)
    check_jobs(executor, jobs)
    work = {"executor": executor, "jobs": jobs, "on_progress": on_progress}
    return paired(scenarios, _named(scenarios), numbers, work)


def _rows(runs: Sequence[Run]) -> tuple[Row, ...]:
    # One table for each run; a measure that only some have is NaN in the others.
    if not any(run.names.markets for run in runs):
        return _protocol_rows([_numbers(run) for run in runs])
    tables = [{figure.name: figure for figure in _measured(run)} for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = []
    for name in names:
        unit = next(table[name].unit for table in tables if name in table)
        found = [table.get(name) for table in tables]
        values = tuple(np.nan if f is None else f.value for f in found)
        rows.append(Row(name, unit, values))
    return (*rows, *_protocol_rows([dict(chain_listed(run)) for run in runs]))


def _protocol_rows(tables: Sequence[Mapping[str, float]]) -> tuple[Row, ...]:
    # All that differ, the largest as a share of the larger value first.
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [
        Row(name, MEASURE, tuple(table.get(name, np.nan) for table in tables))
        for name in names
    ]
    differ = [
        row for row in rows if not all(_same(row.values[0], v) for v in row.values)
    ]
    return tuple(sorted(differ, key=_size, reverse=True))


def _size(row: Row) -> float:
    first = row.values[0]
    sizes = (
        abs(value - first) / max(abs(value), abs(first))
        for value in row.values[1:]
        if np.isfinite(value - first) and value != first
    )
    return max(sizes, default=0.0)


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)


def _numbers(run: Run) -> dict[str, float]:
    found = run.measures().items()
    return {name: float(v) for name, v in found if not isinstance(v, str)}


def _measured(run: Run) -> list[Figure]:
    fallen = [Figure(f"{m.market} fall", m.drop, "share") for m in facts.markets(run)]
    return [*figures(run), *fallen]


def _labels(runs: Sequence[Run]) -> tuple[str, ...]:
    scenarios = {run.scenario.name: None for run in runs}
    seeds = {run.seed: None for run in runs}
    labels: list[str] = []
    for run in runs:
        words = [run.scenario.name] if len(scenarios) > 1 else []
        words += [*_changed(runs[0].scenario, run.scenario), *run.apart]
        words += [f"seed {run.seed}"] if len(seeds) > 1 else []
        labels.append(", ".join(words) or "as it stands")
    return _numbered(labels)


def _named(scenarios: Sequence[LoadedScenario]) -> tuple[str, ...]:
    several = len({scenario.name for scenario in scenarios}) > 1
    labels = []
    for scenario in scenarios:
        words = [scenario.name] if several else []
        words += _changed(scenarios[0], scenario)
        labels.append(", ".join(words) or "as it stands")
    return _numbered(labels)


def _numbered(labels: Sequence[str]) -> tuple[str, ...]:
    told: list[str] = []
    for label in labels:
        again = sum(known.split(" #")[0] == label for known in told)
        told.append(f"{label} #{again + 1}" if again else label)
    return tuple(told)


def _changed(first: LoadedScenario, other: LoadedScenario) -> list[str]:
    """Name of the variation that has these changes; if none, the changes."""
    changes, before = other.changes, first.changes
    named = {
        told: {path: plain(value) for path, value in varied.items()}
        for table, form in (("variations", "{}"), ("switches", "without {}"))
        for name, varied in getattr(other.config, table).items()
        for told in [form.format(name)]
    }
    for name, values in named.items():
        if changes and changes == values:
            return [name]
    for name, values in named.items():
        # On top of what the first has changed.
        if changes != before and changes == before | values:
            return [name]
    return [f"{path}={value}" for path, value in changes.items()]


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
    first = runs[0]
    notes = []
    if any(run.seed != first.seed for run in runs):
        notes.append(
            "The seeds differ: the differences are chance as well as what was changed."
        )
    if any(_differ(run, first) for run in runs):
        notes.append("The runs are of different scenario files.")
    return tuple(notes)


def _differ(run: Run, first: Run) -> bool:
    # The file itself, or one that both name: a base, or a venue.
    ours, theirs = run.scenario, first.scenario
    shared = ours.venues.keys() & theirs.venues.keys()
    return ours.source != theirs.source or any(
        ours.venues[name] != theirs.venues[name] for name in sorted(shared)
    )


def parted(a: Run, b: Run) -> float | None:
    """When the trades of two runs first differ, seconds; None if they never do."""
    one, other = a.prints, b.prints
    if a.names.markets != b.names.markets:
        return 0.0
    n = min(len(one.time), len(other.time))
    same = np.ones(n, np.bool_)
    for name in SAME:
        same &= getattr(one, name)[:n] == getattr(other, name)[:n]
    first = n if same.all() else int(np.argmin(same))
    times = [run.time[first] for run in (one, other) if first < len(run.time)]
    return float(min(times)) if times else None
