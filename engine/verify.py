"""The targets of a scenario against what it does, each with its source and verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import isnan, nan
from os import PathLike
from statistics import median
from typing import Literal

import attrs

from .arguments import suggest, whole_number
from .changes import join_path
from .config import Target
from .limits import MOST
from .location import Path, line_of, locate
from .scenario import LoadedScenario, Problem, ScenarioError, expect_progress, load

Measures = Mapping[str, float | int | str]
Verdict = Literal["ok", "miss", "unknown"]

SEEDS_MAX = int(MOST["seeds"])

ROUNDING = 1e-12
"""Relative difference that a decimal may have as a float64: less than one atom of any
balance below 2**39."""


SOMETIMES = {
    "shock": ("first", "last", "vwap", "filled_at_last"),
    "makers": ("leverage_at_sale", "leverage_unrepriced", "sold_unfallen_share"),
    "alts": ("deepest_bidder", "into_stale_bid", "recovered", "recovery_s"),
}
"""Measures that a run has only if something traded, or was sold by force."""


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
        """The measure, with the variation it is taken from."""
        target = self.target
        if target.variation is None:
            return target.measure
        base = " / base" if target.relative else ""
        return f"{target.measure} [{target.variation}{base}]"

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
            self.target.source,
        )


HEADER = ("target", "measure", "expected", "ours", "verdict", "source")


@attrs.frozen(kw_only=True)
class Verification:
    """Every target of a scenario with its verdict."""

    scenario: str
    seeds: int
    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every required target holds."""
        return all(row.verdict == "ok" for row in self.rows if row.target.required)

    @property
    def headline(self) -> str:
        """One sentence with the count."""
        held = sum(row.verdict == "ok" for row in self.rows)
        missed = [row for row in self.rows if row.verdict != "ok"]
        needed = sum(row.target.required for row in missed)
        over = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        text = f"{self.scenario}: {held} of {len(self.rows)} targets hold over {over}"
        return f"{text}; {needed} required ones do not" if needed else text

    def __str__(self) -> str:
        """The table as text, and the headline."""
        table = [HEADER, *(row.cells for row in self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
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

        rows = "".join(f"<tr>{line('td', row.cells)}</tr>" for row in self.rows)
        head = f"<tr>{line('th', HEADER)}</tr>"
        caption = f"<caption>{escape(self.headline)}</caption>"
        return f"<table>{caption}<thead>{head}</thead><tbody>{rows}</tbody></table>"


def verify(
    scenario: LoadedScenario | str | PathLike[str],
    seeds: int | None = None,
    on_progress: Callable[[float, float], None] | None = None,
) -> Verification:
    """Run a scenario, and the variations its targets name, and judge the targets.

    ``scenario`` is a loaded one, or what `load` takes.
    Seeds 0 to ``seeds`` - 1 (by default as many as the file says) are run for the base
    and for each variation alike, so that a ratio compares equal random numbers.
    ``on_progress`` is called with the fraction done and the seconds simulated. A
    target whose measure does not exist is a ScenarioError as soon as its first run is
    done.
    """
    if not isinstance(scenario, LoadedScenario):
        scenario = load(scenario)
    expect_progress(on_progress)
    count = scenario.config.seeds if seeds is None else seeds
    count = whole_number("seeds", count, 1, SEEDS_MAX, f"1 to {SEEDS_MAX:,}")
    targets = scenario.config.targets
    named = dict.fromkeys(t.variation for t in targets if t.variation is not None)
    cases: dict[str | None, LoadedScenario] = {None: scenario}
    cases |= {name: scenario.variation(name) for name in named}
    # The base is run if a target is about it, or is a ratio to it.
    if targets and all(t.variation is not None and not t.relative for t in targets):
        del cases[None]
    measured: dict[str | None, list[Measures]] = {}
    jobs = [(name, case, seed) for seed in range(count) for name, case in cases.items()]
    for done, (name, case, seed) in enumerate(jobs):

        def part(fraction: float, seconds: float, done: int = done) -> None:
            if on_progress is not None:
                on_progress((done + fraction) / len(jobs), seconds)

        measures = case.run(seed, part).measures()
        measured.setdefault(name, []).append(measures)
        if seed == 0:
            _check_names(scenario, name, measures)
    rows = tuple(_judge(target, measured) for target in targets)
    return Verification(scenario=scenario.name, seeds=count, rows=rows)


# -- JUDGING


def _check_names(
    scenario: LoadedScenario, case: str | None, measures: Measures
) -> None:
    """ScenarioError if a target of this case is about no figure of its runs."""
    lines = locate(scenario.source)
    problems = []
    for number, target in enumerate(scenario.config.targets):
        if target.variation != case and not (case is None and target.relative):
            continue
        note = _not_a_figure(target.measure, measures)
        if note is None or _may_come(target.measure, measures):
            continue
        path: Path = ("targets", number, "measure")
        line = line_of(lines, path)
        text = f"{target.measure!r} {note}"
        problems.append(Problem(scenario.file, line, join_path(path), text))
    if problems:
        raise ScenarioError(problems)


def _may_come(name: str, measures: Measures) -> bool:
    """Whether another run may have a measure that this one lacks."""
    subject, _, figure = name.rpartition(".")
    there = any(other.startswith(f"{subject}.") for other in measures)
    return there and figure in SOMETIMES.get(subject.partition(".")[0], ())


def _not_a_figure(name: str, measures: Measures) -> str | None:
    """What is wrong with a measure as a number; None if nothing is."""
    value = measures.get(name)
    if value is None:
        return f"is no measure of the run{suggest(name, measures, listed=0)}"
    return None if isinstance(value, int | float) else f"is text: {value!r}"


def _judge(target: Target, measured: Mapping[str | None, Sequence[Measures]]) -> Row:
    runs = measured[target.variation]
    bases: Sequence[Measures] = measured[None] if target.relative else runs
    for measures in (*runs, *bases):
        note = _not_a_figure(target.measure, measures)
        if note is not None:
            return Row(target=target, values=(), verdict="unknown", note=note)
    values = [float(measures[target.measure]) for measures in runs]
    if target.relative:
        base = [float(measures[target.measure]) for measures in bases]
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
