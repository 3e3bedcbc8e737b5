"""What a sweep came to: its table, its spread over seeds, its failures, as pictures."""

from collections.abc import Iterator, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from ..arguments import expect, suggest
from ..scenario import LoadedScenario
from ..text import NOTHING, Grid, short_usd
from .cases import VARIATION, WITHOUT, Case
from .outcomes import in_words, unit_of
from .spread import middle

if TYPE_CHECKING:
    import pyarrow as pa
    from plotly.graph_objects import Figure

    from ..run import Run

LOW, HIGH = 0.1, 0.9
"""The quantiles that a spread is told by."""

HEADLINES = (
    "alts.median_drop",
    "alts.deepest_drop",
    "makers.liquidated",
    "accounts.liquidated",
    "forced_usd",
    "fund.paid_usd",
    "adl.usd",
)
"""What is shown first of a sweep of all measures."""

SHOWN = 7
"""Measures that a page is wide enough for."""

ROWS = 60
"""Cases that are shown; a table of all is `summary`."""


@frozen(kw_only=True)
class FailedReplay:
    """A replay without figures: its case, its seed, and why.

    ``lost`` is one whose worker ended each time that it was begun.
    """

    case: str
    seed: int
    error: str
    traceback: str
    lost: bool

    def __str__(self) -> str:
        """One line."""
        return f"{self.case}, seed {self.seed}: {self.error}"


@frozen(repr=False, eq=False, kw_only=True)
class Sweep:
    """The rows of a sweep, by case and seed; nothing changes it.

    ``table`` is an Arrow table: the case, what it changes, the seed, and the measures;
    null is a measure that the run does not have. ``failures`` are replays that have no
    row. A sweep that was stopped has the rows that were done.
    """

    scenario: LoadedScenario
    cases: tuple[Case, ...]
    seeds: tuple[int, ...]
    asked: tuple[str, ...] | None
    table: "pa.Table"
    failures: tuple[FailedReplay, ...]
    directory: Path | None

    # -- IN WORDS

    def __repr__(self) -> str:
        """The scenario and how much was run."""
        return f"<Sweep {self.headline}>"

    def __str__(self) -> str:
        """Medians over the seeds, with the spread, and what failed."""
        return str(self.grid())

    def _repr_html_(self) -> str:
        return f"<h3>{escape(self.headline)}</h3>{self.grid().html()}"

    @property
    def headline(self) -> str:
        """One line with the counts."""
        cases = "1 case" if len(self.cases) == 1 else f"{len(self.cases):,} cases"
        seeds = "1 seed" if len(self.seeds) == 1 else f"{len(self.seeds):,} seeds"
        text = f"{self.scenario.name}: {cases} × {seeds}"
        whole = len(self.cases) * len(self.seeds)
        if self.table.num_rows < whole:
            text += f", {self.table.num_rows:,} of {whole:,} replays"
        return f"{text}, {len(self.failures):,} failed" if self.failures else text

    # -- FIGURES

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures that the table has."""
        return tuple(self.table.column_names[len(self.places) + 2 :])

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the columns that say what a case changes."""
        return tuple(
            dict.fromkeys(place for case in self.cases for place in case.shown)
        )

    def values(self, measure: str) -> dict[str, list[float]]:
        """The figures of a measure by case, one for each seed that has one.

        LookupError if the table has no such column of numbers.
        """
        return dict(self._values(self._numbers(measure)))

    def _numbers(self, measure: object) -> str:
        expect("measure", measure, str, "the name of a measure")
        known = self._numeric()
        if measure not in known:
            near = suggest(measure, known)
            raise LookupError(f"{measure!r} is no measure of the sweep{near}")
        return str(measure)

    def _numeric(self) -> list[str]:
        import pyarrow as pa

        kinds = {name: self.table.schema.field(name).type for name in self.measures}
        return [name for name, kind in kinds.items() if pa.types.is_floating(kind)]

    def _values(self, measure: str) -> Iterator[tuple[str, list[float]]]:
        found: dict[str, list[float]] = {case.name: [] for case in self.cases}
        names = self.table["case"].to_pylist()
        for name, value in zip(names, self.table[measure].to_pylist(), strict=True):
            if value is not None:
                found[name].append(value)
        yield from found.items()

    def summary(self, *measures: str) -> "pa.Table":
        """Median and spread of measures over the seeds, for each case, as Arrow table.

        All measures with numbers, if none is named. ``low`` and ``high`` are the 10 %
        and 90 % quantiles; ``n`` is how many seeds have a figure. What is not finite is
        left out.
        """
        import pyarrow as pa

        names = [self._numbers(name) for name in measures] or self._numeric()
        rows: dict[str, list[Any]] = {
            name: [] for name in ("case", "measure", "n", "median", "low", "high")
        }
        for measure in names:
            for case, values in self._values(measure):
                line = (case, measure, *spread(values))
                for column, cell in zip(rows.values(), line, strict=True):
                    column.append(cell)
        kinds = (pa.string(), pa.string(), pa.int64(), *3 * (pa.float64(),))
        columns = zip(rows.items(), kinds, strict=True)
        return pa.table({name: pa.array(v, kind) for (name, v), kind in columns})

    def grid(self, *measures: str) -> Grid:
        """The same in words: one row for each case, one column for each measure."""
        names = [self._numbers(name) for name in measures] or self.headlines
        by_case: dict[str, list[str]] = {case.name: [] for case in self.cases}
        for measure in names:
            for case, values in self._values(measure):
                by_case[case].append(_told(measure, values))
        header, shown = self.titles
        rows = tuple((*shown[case], *cells) for case, cells in by_case.items())
        more = len(rows) - ROWS
        notes = [f"and {more:,} more cases: summary() has all"] if more > 0 else []
        others = 0 if measures or self.asked else len(self._differing()) - len(names)
        if others > 0:
            told = (
                "1 other measure differs"
                if others == 1
                else f"{others:,} others differ"
            )
            notes.append(f"{told}: summary() has all")
        if len(self.seeds) > 1 and names:
            notes.append("median over the seeds (10 % to 90 % of them)")
        if self.failures:
            notes.append(f"failed: {self.failures[0]}")
            if self.failures[1:]:
                notes[-1] += f"; and {len(self.failures) - 1:,} more: failures"
        return Grid(self.headline, (*header, *names), rows[:ROWS], "\n".join(notes))

    @property
    def titles(self) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
        """The places that all cases set, and to what; their names if they do not."""
        places = self.places
        if not places or any(list(case.shown) != list(places) for case in self.cases):
            return ("",), {case.name: (case.name,) for case in self.cases}
        return places, {
            case.name: tuple(value_told(at, value) for at, value in case.shown.items())
            for case in self.cases
        }

    @property
    def headlines(self) -> list[str]:
        """Names of the measures that are shown if none is named.

        Those asked for; of all, those that differ between the cases.
        """
        known = self._numeric()
        if self.asked is not None:
            return known[:SHOWN]
        first = [name for name in HEADLINES if name in known]
        return self._differing()[:SHOWN] or first or known[:SHOWN]

    def _differing(self) -> list[str]:
        """Measures that are not the same in all cases of a seed, the main ones first.

        One that only some of the cases have is among them.
        """
        import pyarrow.compute as pc

        known = self._numeric()
        every = pc.CountOptions(mode="all")
        wanted = [(name, "count_distinct", every) for name in known]
        counts = self.table.group_by("seed").aggregate(wanted)
        found = {
            name
            for name in known
            if max(counts[f"{name}_count_distinct"].to_pylist(), default=0) > 1
        }
        names = dict.fromkeys((*HEADLINES, *known))
        return [name for name in names if name in found]

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame; ImportError without pandas."""
        try:
            return self.table.to_pandas()
        except ModuleNotFoundError as error:
            text = "to_pandas() needs pandas: pip install pandas; table needs nothing"
            raise ImportError(text) from error

    # -- PICTURES AND RUNS

    def plot(self, measure: str, place: str | None = None) -> "Figure":
        """A measure against what is changed, with its spread over the seeds.

        ``place`` is one of `places`, by default the first; each combination of the
        others has a line of its own. A sweep without places is shown case by case.
        LookupError for a name that the sweep does not have.
        """
        from .sweep_figures import response_figure

        name = self._numbers(measure)
        if place is None:
            return response_figure(self, name, self.places[0] if self.places else None)
        if place not in self.places:
            near = suggest(place, self.places)
            raise LookupError(f"{place!r} is no place of the sweep{near}")
        return response_figure(self, name, place)

    def report(self, path: str | PathLike[str]) -> Path:
        """Write the sweep into one HTML file that needs no network.

        RunFileError if the file cannot be written.
        """
        from ..pages.page import write_page
        from .sweep_figures import sweep_report

        return write_page(sweep_report(self), path)

    def run(self, case: str, seed: int) -> "Run":
        """Run one replay of the sweep again, to look at all of it.

        LookupError if the sweep has no case of this name.
        """
        known = {one.name: one for one in self.cases}
        if case not in known:
            near = suggest(case, known)
            raise LookupError(f"{case!r} is no case of the sweep{near}")
        changes = known[case].changes
        varied = self.scenario.vary(changes) if changes else self.scenario
        return varied.run(seed)


def spread(values: Sequence[float]) -> tuple[int, float, float, float]:
    """How many are finite, their median, and their 10 % and 90 % quantiles.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    (5, 3.0, 1.4, 4.6)
    """
    known = np.array([value for value in values if np.isfinite(value)], np.float64)
    if not len(known):
        return 0, np.nan, np.nan, np.nan
    low, high = np.quantile(known, (LOW, HIGH)).tolist()
    return len(known), middle(values), low, high


def value_told(place: str, value: object) -> str:
    """What a place is set to, in words.

    >>> value_told("gateway.rate", None), value_told("variation", None)
    ('not set', 'none')
    """
    if value is None:
        return "none" if place in (VARIATION, WITHOUT) else "not set"
    return str(value)


def figure_told(measure: str, value: float) -> str:
    """A figure of a measure in words.

    >>> figure_told("alts.median_drop", 0.9988), figure_told("forced_usd", 45_331_275.3)
    ('99.88 %', '45.3 M')
    """
    usd = unit_of(measure) == "USD"
    return short_usd(value) if usd else in_words(measure, value)


def _told(measure: str, values: Sequence[float]) -> str:
    n, *figures = spread(values)
    if n == 0:
        return NOTHING
    median, low, high = (figure_told(measure, value) for value in figures)
    return median if low == high else f"{median} ({low} to {high})"
