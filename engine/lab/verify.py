"""The targets of a scenario against what it does, each with its source and verdict."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from html import escape
from math import isnan, nan
from os import PathLike
from statistics import median
from typing import Any, Literal

import attrs

from ..arguments import whole_number
from ..config import Target
from ..reading.changes import join_path
from ..reading.location import Path, line_of, locate
from ..scenario import LoadedScenario, Problem, ScenarioError, expect_progress, load
from .replays import (
    SEEDS_MAX,
    Missing,
    Replay,
    Value,
    Wanted,
    check_jobs,
    rows_as_done,
)

Verdict = Literal["ok", "miss", "unknown"]

ROUNDING = 1e-12
"""Relative difference that a decimal may have as a float64: less than one atom of any
balance below 2**39."""


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
            text += f"{checked} (at least {100 * self.checked_share:.0f} % must)"
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
    ``on_progress`` is called with the fraction done and the seconds simulated, in all
    runs together. ``jobs`` is how many runs go on at once, each in a process of its
    own, by default as many as there are processors; the figures do not depend on it. A
    target whose measure does not exist is a ScenarioError as soon as its first run is
    done.
    """
    if not isinstance(scenario, LoadedScenario):
        scenario = load(scenario)
    expect_progress(on_progress)
    count = scenario.config.seeds if seeds is None else seeds
    count = whole_number("seeds", count, 1, SEEDS_MAX, f"1 to {SEEDS_MAX:,}")
    check_jobs(None, jobs)
    targets = scenario.config.targets
    named = dict.fromkeys(t.variation for t in targets if t.variation is not None)
    cases: dict[str | None, Mapping[str, Any]] = {None: {}}
    cases |= {name: scenario.config.variations[name] for name in named}
    # The base is run if a target is about it, or is a ratio to it.
    if targets and all(t.variation is not None and not t.relative for t in targets):
        del cases[None]
    runs = [(name, seed) for seed in range(count) for name in cases]
    plan = [Replay(cases[name], seed) for name, seed in runs]
    found: dict[tuple[str | None, int], Figures] = {}
    for number, figures in _done(scenario, plan, jobs, on_progress):
        name, seed = runs[number]
        found[name, seed] = figures
        if seed == 0:
            _check_names(scenario, name, figures)
    rows = tuple(_judge(target, count, found) for target in targets)
    share = scenario.config.checked_share
    return Verification(
        scenario=scenario.name, seeds=count, rows=rows, checked_share=share
    )


# -- MEASURING


def _done(
    scenario: LoadedScenario,
    plan: Sequence[Replay],
    jobs: int | None,
    on_progress: Callable[[float, float], None] | None,
) -> Iterator[tuple[int, Figures]]:
    """The number of each run as it is done, and all that any target asks of it."""
    wanted = list(dict.fromkeys((t.measure, t.window) for t in scenario.config.targets))
    seconds = scenario.config.duration * len(plan)

    def tell(fraction: float, _: int) -> None:
        if on_progress is not None:
            on_progress(fraction, fraction * seconds)

    # The generator's end is that of the processes, whatever ends it.
    with closing(
        rows_as_done(scenario, plan, wanted, jobs=jobs, on_progress=tell)
    ) as rows:
        for row in rows:
            if row.failure is not None:
                row.failure.error.add_note(row.failure.traceback)
                raise row.failure.error
            for text in row.warned:
                warnings.warn(text, stacklevel=3)
            yield row.number, dict(zip(wanted, map(_number, row.values), strict=True))


def _number(value: Value) -> float | Missing:
    return (
        Missing(f"is text: {value!r}", slip=True) if isinstance(value, str) else value
    )


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
