"""Windows of a run: two times of day that a figure is taken between."""

import re
from collections.abc import Iterator
from math import isfinite
from numbers import Real

from attrs import frozen

from ..config import Scenario
from ..text import seconds as in_words
from .draft import Draft
from .location import Path
from .structure import Fault

DAY_S = 86_400.0


@frozen
class Window:
    """A part of a run, seconds since its start; ``end`` does not belong to it."""

    begin: float
    end: float


def window(times: tuple[str, str], start: float) -> Window:
    """Return the window between two times of day, of a run that starts at ``start``.

    A time of day that the run has passed by then is that of the next day; from 24:00
    on hours go on from day to day. ValueError for what is no time.

    >>> window(("21:09", "22:00"), 20 * 3600 + 48 * 60)
    Window(begin=1260.0, end=4320.0)
    >>> window(("23:00", "48:00"), 20 * 3600)
    Window(begin=10800.0, end=100800.0)
    """
    begin, end = (_seconds(time) for time in times)
    after = _since(start, begin)
    if max(begin, end) >= DAY_S:
        return Window(after, end - start)
    return Window(after, after + (end - begin) % DAY_S)


def _since(start: float, seconds: float) -> float:
    # A time of the first day may have passed; one of a later day is said as such.
    after = seconds - start
    return after if seconds >= DAY_S else after % DAY_S


def _seconds(time: str) -> float:
    found = re.fullmatch(r"(\d{2,3}):([0-5]\d)(?::([0-5]\d))?", time)
    if found is None:
        raise ValueError(f"must be a time of day, as in 21:09 or 21:09:30 (got {time})")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds


def clock(seconds: float) -> str:
    """Return the time of day, of so many seconds after midnight.

    >>> clock(76_805.0)
    '21:20:05'
    """
    whole = int(seconds % DAY_S)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}"
    return f"{text}:{whole % 60:02d}" if whole % 60 else text


def time_of(start: float, duration: float, time: float) -> str:
    """Return a time of a run in words: seconds, or the time of day if it has one.

    Of a run that goes on after midnight the day comes first. ``start`` is 0 for a run
    that has no time of day, unless it lasts longer than one.

    >>> time_of(0.0, 420.0, 74.0), time_of(74_880.0, 6_120.0, 1_925.0)
    ('74.0 s', '21:20:05')
    >>> time_of(72_000.0, 532_800.0, 21_000.0)
    'day 2, 01:50'
    """
    late = start + duration > DAY_S
    if not (start or late) or not isfinite(time):
        return in_words(time)
    day = f"day {1 + int((start + time) // DAY_S)}, " if late else ""
    return f"{day}{clock(start + time)}"


def window_faults(draft: Draft, path: Path, times: tuple[str, str]) -> Iterator[Fault]:
    """What is wrong with the window of a target."""
    start = draft.parts.get("start", 0.0)
    duration = draft.parts.get("duration", DAY_S)
    for i, time in enumerate(times):
        try:
            _seconds(time)
        except ValueError as error:
            yield Fault((*path, "window", i), str(error))
            return
    found = window(times, start)
    if not found.begin < found.end <= duration:
        text = f"must be in the run, {clock(start)} to {clock(start + duration)}, and"
        yield Fault((*path, "window"), f"{text} in order (got {list(times)})")


def moment(name: str, time: object, config: Scenario) -> int:
    """Return a time of a scenario in ns: a time of day, or seconds since the start.

    ValueError for what is neither, and for a time that is not in the scenario.
    """
    seconds = time
    whole = f"{clock(config.start)} to {clock(config.start + config.duration)}"
    if isinstance(time, str):
        try:
            seconds = _since(config.start, _seconds(time))
        except ValueError as error:
            raise ValueError(f"{name!r} {error}, or seconds since the start") from None
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        told = "must be a time of day, as in '21:09', or seconds since the start"
        raise ValueError(f"{name!r} {told} (got {time!r})")
    if not 0.0 <= float(seconds) <= config.duration:
        told = f"must be in the scenario, {whole} or 0 to {config.duration:g} s"
        raise ValueError(f"{name!r} {told} (got {time!r})")
    return round(float(seconds) * 1e9)
