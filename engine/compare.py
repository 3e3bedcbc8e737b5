"""Runs side by side: what another rule, or another seed, changes."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from . import facts
from .arguments import expect
from .changes import plain
from .run import Run
from .summary import Figure, as_text, figures
from .text import Grid, change, seconds

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

TINY = 0.0005
"""A share below this reads as 0.0 %."""

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
        """The rows in words: values, then absolute and relative differences."""
        header = ["", self.labels[0]]
        for label in self.labels[1:]:
            header += [label, "difference", "relative"]
        told = [*self.notes, *map(_parting, self.labels[1:], self.until[1:])]
        return Grid("", tuple(header), tuple(map(_line, self.rows)), "\n".join(told))

    def values(self) -> Grid:
        """The rows in words, values only: one column for each run."""
        rows = tuple(
            (row.measure, *(as_text(value, row.unit) for value in row.values))
            for row in self.rows
        )
        return Grid("", ("", *self.labels), rows, " ".join(self.notes))

    def figure(self, market: str | None = None) -> "Plot":
        """Prices of a market in all runs; that of the first run's deepest fall."""
        from .figures import overlay_figure

        return overlay_figure(self.runs, self.labels, market)


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


def _parting(label: str, when: float | None) -> str:
    if when is None:
        return f"{label}: the same as the first, trade by trade."
    return f"{label}: the same trades as the first until {seconds(when)}."


def compare(*runs: Run) -> Comparison:
    """Put runs side by side; the first is what the others are measured against.

    ValueError if there are fewer than two, TypeError for what is no run. Runs of one
    seed share their random numbers, so that the difference is what was changed; others
    are said to differ.
    """
    for run in runs:
        expect("runs", run, Run, "what run() of a scenario or reproduce() returns")
    if len(runs) < 2:
        raise ValueError(f"'runs' must be two or more (got {len(runs)})")
    until = tuple(parted(runs[0], run) for run in runs)
    return Comparison(runs, _labels(runs), _rows(runs), until, _notes(runs))


def _rows(runs: Sequence[Run]) -> tuple[Row, ...]:
    # One table for each run; a measure that only some have is NaN in the others.
    tables = [{figure.name: figure for figure in _measured(run)} for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = []
    for name in names:
        unit = next(table[name].unit for table in tables if name in table)
        found = [table.get(name) for table in tables]
        values = tuple(np.nan if f is None else f.value for f in found)
        rows.append(Row(name, unit, values))
    return tuple(rows)


def _measured(run: Run) -> list[Figure]:
    fallen = [Figure(f"{m.market} fall", m.drop, "share") for m in facts.markets(run)]
    return [*figures(run), *fallen]


def _labels(runs: Sequence[Run]) -> tuple[str, ...]:
    scenarios = {run.scenario.name: None for run in runs}
    seeds = {run.seed: None for run in runs}
    labels: list[str] = []
    for run in runs:
        words = [run.scenario.name] if len(scenarios) > 1 else []
        words += _changed(runs[0], run)
        words += [f"seed {run.seed}"] if len(seeds) > 1 else []
        label = ", ".join(words) or "as it stands"
        again = sum(known.split(" #")[0] == label for known in labels)
        labels.append(f"{label} #{again + 1}" if again else label)
    return tuple(labels)


def _changed(first: Run, run: Run) -> list[str]:
    """Name of the variation that has these changes; if none, the changes."""
    changes, before = run.scenario.changes, first.scenario.changes
    named = {
        name: {path: plain(value) for path, value in varied.items()}
        for name, varied in run.scenario.config.variations.items()
    }
    for name, values in named.items():
        if changes and changes == values:
            return [name]
    for name, values in named.items():
        # On top of what the first run has changed.
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
