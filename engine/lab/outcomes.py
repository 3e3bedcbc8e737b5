"""One figure of each of many replays: what attribution and search work on."""

from collections.abc import Callable, Sequence
from math import isfinite, isnan
from os import PathLike
from typing import Any

from ..arguments import refuse
from ..reading.windows import window
from ..scenario import LoadedScenario, load
from ..summary import as_text
from ..text import NOTHING, brief, change
from .kept import Kept, open_kept
from .replays import Missing, Progress, Replay, Row, Wanted, label, rows_as_done
from .spread import Estimate

SHARES = (
    "drop",
    "deepest_drop",
    "median_drop",
    "median_wick",
    "depth_lost",
    "mean",
    "median",
    "quantile",
    "range_over_books",
    "below_books",
    "excess_median",
    "excess_over_outside",
    "spread_widest",
    "index_drift",
    "leverage_by_collateral",
)
"""Measures that are shares of one, beside those with the word in their name."""


class OutcomeError(ValueError):
    """A figure that a replay does not have, or a replay that failed."""


def loaded(scenario: object) -> LoadedScenario:
    """A scenario that is one, or is the name or path of one."""
    if isinstance(scenario, LoadedScenario):
        return scenario
    return load(scenario)  # type: ignore[arg-type]


def kept_in(
    into: str | PathLike[str] | None,
    scenario: LoadedScenario,
    wanted: Wanted,
    kind: str,
    *,
    resume: bool,
) -> Kept:
    """What keeps the outcomes: a directory, or memory if ``into`` is None.

    Of the directory only scenario and measure have to be the same as before. ValueError
    or TypeError for a window that is none, before anything runs.
    """
    _check_window(wanted[1], scenario)
    if into is not None:
        return open_kept(into, scenario, [label(wanted)], kind, {}, resume=resume)
    if resume:
        raise ValueError("'resume' needs 'into', the directory of what was done")
    return Kept()


def _check_window(times: object, scenario: LoadedScenario) -> None:
    if times is None:
        return
    if not isinstance(times, tuple | list) or len(times) != 2:
        refuse("window", times, "two times of day, as in ('21:09', '22:00')")
    try:
        window((times[0], times[1]), scenario.config.start)
    except (ValueError, TypeError) as error:
        raise type(error)(f"'window' {error}") from None


def outcomes(
    scenario: LoadedScenario,
    plan: Sequence[Replay],
    wanted: Wanted,
    told: Callable[[Replay], str],
    kept: Kept,
    *,
    on_progress: Progress | None = None,
    **work: Any,
) -> list[float]:
    """The wanted figure of each replay, in the order of the plan; infinite ones too.

    Those that are kept are not run again. A name that is no measure's ends it at once.
    Of replays without the figure, or that failed, one OutcomeError is raised when all
    others are done; ``told`` says in words which one it was. ``work`` is what
    `rows_as_done` takes.
    """
    found: dict[int, float] = {}
    wrong: dict[int, Row] = {}
    name = label(wanted)
    for number, replay in enumerate(plan):
        figures = kept.find(replay.changes, replay.seed)
        if figures is not None:
            found[number] = float(figures[name])
    left = [number for number in range(len(plan)) if number not in found]
    before = len(found)

    def progress(part: float, done: int) -> None:
        if on_progress is not None:
            on_progress((before + part * len(left)) / len(plan), before + done)

    todo = [plan[number] for number in left]
    for row in rows_as_done(scenario, todo, [wanted], on_progress=progress, **work):
        number = left[row.number]
        value = row.values[0] if row.values else None
        if isinstance(value, Missing) and value.slip:
            raise OutcomeError(f"{name!r} {value.text}")
        if isinstance(value, str):
            text = f"{name!r} must be a measure with a number (got {value!r})"
            raise OutcomeError(text)
        if value is None or isinstance(value, Missing) or isnan(value):
            wrong[number] = row
        else:
            found[number] = value
            kept.add(plan[number].changes, plan[number].seed, {name: value})
    if wrong:
        raise _error(wrong, plan, wanted, told)
    return [found[number] for number in range(len(plan))]


def _error(
    wrong: dict[int, Row],
    plan: Sequence[Replay],
    wanted: Wanted,
    told: Callable[[Replay], str],
) -> OutcomeError:
    first = wrong[min(wrong)]
    which = told(plan[first.number])
    many = f"{len(wrong)} of {len(plan)} replays"
    if first.failure is not None:
        text = f"{many} failed or have no figure, the first {which}: "
        error = OutcomeError(f"{text}{first.failure.error}")
        error.add_note(first.failure.traceback)
        return error
    (value,) = first.values
    why = value.text if isinstance(value, Missing) else "it is not a number there"
    return OutcomeError(
        f"{label(wanted)!r} must be a figure that every replay has; {many} have none, "
        f"the first {which}: {why}"
    )


# -- IN WORDS


def unit_of(measure: str) -> str:
    """The unit of a measure that its name tells, as `as_text` takes it; else nothing.

    >>> unit_of("ATOM/USDT.drop"), unit_of("wicks.share_over.50"), unit_of("trades")
    ('share', 'share', '')
    """
    parts = measure.partition(" ")[0].split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    if name in SHARES or "share" in name.split("_"):
        return "share"
    if name == "usd" or name.endswith("_usd"):
        return "USD"
    return "s" if name.endswith("_s") else ""


def in_words(measure: str, value: float, *, sign: bool = False) -> str:
    """A value of a measure; with ``sign``, a difference.

    >>> in_words("alts.median_drop", 0.9988), in_words("forced_usd", 45_331_275.3)
    ('99.88 %', '45,331,275')
    >>> in_words("alts.median_drop", -0.25, sign=True), in_words("trades", 12.5)
    ('−25.0 pp', '12.5')
    """
    unit = unit_of(measure)
    if not unit or not isfinite(value):
        return brief(value, sign=sign)
    if unit == "share" and sign:
        # A difference of shares is one of percentage points.
        return change(value).replace("%", "pp")
    return as_text(value, unit, sign=sign)


def interval(measure: str, found: Estimate, *, sign: bool = True) -> str:
    """The interval of an estimate in words."""
    if isnan(found.low):
        return NOTHING
    low, high = (in_words(measure, v, sign=sign) for v in (found.low, found.high))
    return f"{low} to {high}"
