"""The targets of a scenario against what it does, each with its source and verdict."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import fsum, isnan, nan
from os import PathLike
from statistics import median
from typing import TYPE_CHECKING, Literal

import attrs

from .arguments import whole_number
from .changes import join_path
from .config import Target
from .limits import MOST
from .location import Path, line_of, locate
from .look import NoFigure, UnknownMeasure
from .pool import cores, done
from .scenario import LoadedScenario, Problem, ScenarioError, expect_progress, load

if TYPE_CHECKING:
    from .run import Run

Wanted = tuple[str, tuple[str, str] | None]
Verdict = Literal["ok", "miss", "unknown"]

SEEDS_MAX = int(MOST["seeds"])

JOBS_MAX = 1_000
"""More processes than anybody has processors for."""

ROUNDING = 1e-12
"""Relative difference that a decimal may have as a float64: less than one atom of any
balance below 2**39."""


SOMETIMES = {
    "shock": ("first", "last", "vwap", "filled_at_last"),
    "makers": ("leverage_at_sale", "leverage_unrepriced", "sold_unfallen_share"),
    "alts": ("deepest_bidder", "into_stale_bid", "recovered", "recovery_s"),
}
"""Measures that a run has only if something traded, or was sold by force."""


@attrs.frozen
class Missing:
    """A measure that a run does not have: why, and if its name is a slip."""

    text: str
    slip: bool = attrs.field(kw_only=True)


Figures = Mapping[Wanted, float | Missing]


@attrs.frozen(kw_only=True)
class Row:
    """One target, what came out for each seed, and the verdict.

    ``unknown`` is a measure that the run does not have; ``note`` then says why.
    """

    target: Target
    values: tuple[float, ...]
    verdict: Verdict
    note: str = ""

    @property
    def expected(self) -> str:
        """The value with its tolerance, or the band."""
        target = self.target
        if target.band is not None:
            return f"{_figure(target.band[0])} to {_figure(target.band[1])}"
        assert target.value is not None
        within = f" ± {_figure(target.tolerance)}" if target.tolerance else ""
        return _figure(target.value) + within

    @property
    def ours(self) -> str:
        """The median over the seeds, with the least and the most if they differ."""
        if not self.values:
            return self.note
        low, middle, high = (
            _figure(value, exact=self.target.value is not None)
            for value in (min(self.values), _median(self.values), max(self.values))
        )
        if low == high or isnan(_median(self.values)):
            return middle
        return f"{middle} ({low} to {high})"

    @property
    def what(self) -> str:
        """The measure, with its window and the variation it is taken from."""
        target = self.target
        when = f" {target.window[0]}–{target.window[1]}" if target.window else ""
        if target.variation is None:
            return f"{target.measure}{when}"
        base = " / base" if target.relative else ""
        return f"{target.measure}{when} [{target.variation}{base}]"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the printed table."""
        need = "" if self.target.required else " (not required)"
        return (
            self.target.id,
            self.what,
            f"{self.expected} {self.target.unit}".rstrip(),
            self.ours,
            self.verdict + need,
            self.target.split or "",
            self.target.source,
        )


HEADER = ("target", "measure", "expected", "ours", "verdict", "split", "source")


@attrs.frozen(kw_only=True)
class Verification:
    """Every target of a scenario with its verdict."""

    scenario: str
    seeds: int
    rows: tuple[Row, ...]
    checked_share: float = 1.0

    @property
    def ok(self) -> bool:
        """Whether all required targets hold, and enough of those only checked."""
        held, checked = self._checked
        sure = all(row.verdict == "ok" for row in self._required(checked=False))
        return sure and held >= self.checked_share * checked

    def _required(self, *, checked: bool) -> list[Row]:
        return [
            row
            for row in self.rows
            if row.target.required and (row.target.split == "checked") == checked
        ]

    @property
    def _checked(self) -> tuple[int, int]:
        # Required targets that were only checked: how many hold, of how many.
        rows = self._required(checked=True)
        return sum(row.verdict == "ok" for row in rows), len(rows)

    @property
    def headline(self) -> str:
        """One sentence with the counts."""
        held = sum(row.verdict == "ok" for row in self.rows)
        sure = self._required(checked=False)
        needed = sum(row.verdict != "ok" for row in sure)
        over = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        text = f"{self.scenario}: {held} of {len(self.rows)} targets hold over {over}"
        good, checked = self._checked
        if checked:
            fitted = sum(row.target.split == "calibrated" for row in sure)
            missed = sum(
                row.target.split == "calibrated" and row.verdict != "ok" for row in sure
            )
            text += f"; calibrated {fitted - missed} of {fitted}, checked {good} of "
            text += f"{checked} (at least {self.checked_share:.0%} must)"
        return f"{text}; {needed} required ones do not" if needed else text

    @property
    def table(self) -> list[tuple[str, ...]]:
        """Titles and rows; without the split if no target has one."""
        table = [HEADER, *(row.cells for row in self.rows)]
        if any(row.target.split for row in self.rows):
            return table
        at = HEADER.index("split")
        return [(*line[:at], *line[at + 1 :]) for line in table]

    def __str__(self) -> str:
        """The table as text, and the headline."""
        table = self.table
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(w) for cell, w in zip(line, widths, strict=True)
            ).rstrip()
            for line in table
        ]
        return "\n".join([*lines, self.headline])

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Iterable[str]) -> str:
            return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)

        titles, *cells = self.table
        rows = "".join(f"<tr>{line('td', row)}</tr>" for row in cells)
        head = f"<tr>{line('th', titles)}</tr>"
        caption = f"<caption>{escape(self.headline)}</caption>"
        return f"<table>{caption}<thead>{head}</thead><tbody>{rows}</tbody></table>"


def verify(
    scenario: LoadedScenario | str | PathLike[str],
    seeds: int | None = None,
    on_progress: Callable[[float, float], None] | None = None,
    *,
    jobs: int | None = None,
) -> Verification:
    """Run a scenario, and the variations its targets name, and judge the targets.

    ``scenario`` is a loaded one, or what `load` takes.
    Seeds 0 to ``seeds`` - 1 (by default as many as the file says) are run for the base
    and for each variation alike, so that a ratio compares equal random numbers.
    ``on_progress`` is called with the fraction done and the seconds simulated. ``jobs``
    is how many runs go on at once, each in a process of its own, by default as many as
    there are processors; the figures do not depend on it. A target whose measure does
    not exist is a ScenarioError as soon as its first run is done.
    """
    if not isinstance(scenario, LoadedScenario):
        scenario = load(scenario)
    expect_progress(on_progress)
    count = scenario.config.seeds if seeds is None else seeds
    count = whole_number("seeds", count, 1, SEEDS_MAX, f"1 to {SEEDS_MAX:,}")
    workers = cores() if jobs is None else jobs
    workers = whole_number("jobs", workers, 1, JOBS_MAX, f"1 to {JOBS_MAX:,}")
    targets = scenario.config.targets
    named = dict.fromkeys(t.variation for t in targets if t.variation is not None)
    cases: dict[str | None, LoadedScenario] = {None: scenario}
    cases |= {name: scenario.variation(name) for name in named}
    # The base is run if a target is about it, or is a ratio to it.
    if targets and all(t.variation is not None and not t.relative for t in targets):
        del cases[None]
    wanted = {name: _wanted(targets, name) for name in cases}
    runs = [(name, seed) for seed in range(count) for name in cases]
    work = [(cases[name], seed, wanted[name]) for name, seed in runs]
    parts = [0.0] * len(runs)

    def tell(run: int, fraction: float, seconds: float) -> None:
        parts[run] = fraction
        if on_progress is not None:
            on_progress(fsum(parts) / len(parts), seconds)

    found: dict[tuple[str | None, int], Figures] = {}
    for number, (figures, warned) in done(_figures, work, workers, tell):
        name, seed = runs[number]
        found[name, seed] = dict(zip(wanted[name], figures, strict=True))
        for text in warned:
            warnings.warn(text, stacklevel=2)
        if seed == 0:
            _check_names(scenario, name, found[name, seed])
    rows = tuple(_judge(target, count, found) for target in targets)
    share = scenario.config.checked_share
    return Verification(
        scenario=scenario.name, seeds=count, rows=rows, checked_share=share
    )


# -- MEASURING


def _wanted(targets: Sequence[Target], case: str | None) -> list[Wanted]:
    """Measures, each with its window, that targets need of a case."""
    return list(
        dict.fromkeys(
            (target.measure, target.window)
            for target in targets
            if target.variation == case or (case is None and target.relative)
        )
    )


def _figures(
    case: LoadedScenario,
    seed: int,
    wanted: Sequence[Wanted],
    tell: Callable[[float, float], None],
) -> tuple[list[float | Missing], list[str]]:
    """The wanted measures of one run, and what was warned of on the way."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run = case.run(seed, tell)
    found = [_figure_of(run, name, window) for name, window in wanted]
    return found, list(dict.fromkeys(str(warning.message) for warning in warned))


def _figure_of(run: Run, name: str, window: tuple[str, str] | None) -> float | Missing:
    try:
        value = run.measure(name, window)
    except NoFigure as error:
        return Missing(str(error), slip=False)
    except UnknownMeasure as error:
        text = str(error).removeprefix(f"{name!r} ")
        return Missing(text, slip=not _may_come(name, run.measures()))
    if isinstance(value, str):
        return Missing(f"is text: {value!r}", slip=True)
    return float(value)


def _may_come(name: str, measures: Iterable[str]) -> bool:
    """Whether another run may have a measure that this one lacks."""
    subject, _, figure = name.rpartition(".")
    there = any(other.startswith(f"{subject}.") for other in measures)
    return there and figure in SOMETIMES.get(subject.partition(".")[0], ())


def _check_names(scenario: LoadedScenario, case: str | None, figures: Figures) -> None:
    """ScenarioError if a target of this case is about no figure of its runs."""
    lines = locate(scenario.source)
    problems = []
    for number, target in enumerate(scenario.config.targets):
        if target.variation != case and not (case is None and target.relative):
            continue
        found = figures[target.measure, target.window]
        if not isinstance(found, Missing) or not found.slip:
            continue
        path: Path = ("targets", number, "measure")
        line = line_of(lines, path)
        text = f"{target.measure!r} {found.text}"
        problems.append(Problem(scenario.file, line, join_path(path), text))
    if problems:
        raise ScenarioError(problems)


# -- JUDGING


def _judge(
    target: Target, seeds: int, found: Mapping[tuple[str | None, int], Figures]
) -> Row:
    key = target.measure, target.window
    runs = [found[target.variation, seed][key] for seed in range(seeds)]
    bases = runs
    if target.relative:
        bases = [found[None, seed][key] for seed in range(seeds)]
    values: list[float] = []
    base: list[float] = []
    for ours, theirs in zip(runs, bases, strict=True):
        if isinstance(ours, Missing) or isinstance(theirs, Missing):
            note = next(f.text for f in (ours, theirs) if isinstance(f, Missing))
            return Row(target=target, values=(), verdict="unknown", note=note)
        values.append(ours)
        base.append(theirs)
    if target.relative:
        values = [a / b if b else nan for a, b in zip(values, base, strict=True)]
    judged = values if target.over == "all" else [_median(values)]
    holds = all(_within(target, value) for value in judged)
    return Row(target=target, values=tuple(values), verdict="ok" if holds else "miss")


def _within(target: Target, value: float) -> bool:
    if target.band is not None:
        low, high = target.band
        return low <= value <= high
    assert target.value is not None
    room = target.tolerance + ROUNDING * abs(target.value)
    return abs(value - target.value) <= room


def _median(values: Sequence[float]) -> float:
    # A run without a figure is no better than a miss, and NaN has no order.
    return nan if any(map(isnan, values)) else float(median(values))


def _figure(value: float, *, exact: bool = True) -> str:
    """A number with all its digits, or with as many as an estimate deserves."""
    whole = float(value).is_integer() and abs(value) < 1e15
    if whole or (not exact and 1e4 <= abs(value) < 1e15):
        return f"{value:,.0f}"
    return f"{value:,.10g}" if exact else f"{value:,.4g}"
