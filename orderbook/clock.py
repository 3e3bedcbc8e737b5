"""The times of recordings, as people write them: of a day, or dates in UTC."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import TypeVar

SECOND = 10**9
DAY = 86_400 * SECOND
EPOCH = date(1970, 1, 1).toordinal()

Time = int | str
"""Nanoseconds on the source's clock, or a text for `nanoseconds`."""

Row = TypeVar("Row")

_TEXT = re.compile(
    r"(?:(\d{4}-\d\d-\d\d)[T ])?([01]?\d|2[0-3]):([0-5]\d)"
    r"(?::([0-5]\d)(?:\.(\d{1,9}))?)?",
    re.ASCII,
)


def nanoseconds(time: Time, name: str = "until") -> int:
    """A time in nanoseconds: of the day, or since 1970 in UTC if it has a date.

    A whole number is one already. ValueError, with the argument's name, for anything
    else.

    >>> nanoseconds("09:45"), nanoseconds("2024-08-08T00:10:00.5")
    (35100000000000, 1723075800500000000)
    """
    if isinstance(time, int) and not isinstance(time, bool) and time >= 0:
        return time
    text = time.strip() if isinstance(time, str) else ""
    if text.isdecimal() and text.isascii():
        return int(text)
    try:
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError
        day, hours, minutes, seconds, part = found.groups()
        days = date.fromisoformat(day).toordinal() - EPOCH if day else 0
    except ValueError:
        days = -1
    if days < 0 or found is None:
        raise ValueError(
            f"{name!r} must be a time such as 09:45:00.5, with a date in UTC where the "
            "source's clock has one, such as 2024-08-08T00:10, or whole nanoseconds "
            f"(got {time!r})."
        )
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return days * DAY + whole * SECOND + int(f"{part or '':0<9}")


def text(time: int) -> str:
    """Nanoseconds as a text that `nanoseconds` reads; below a day without a date.

    >>> text(35_100_000_000_000), text(1_723_075_800_500_000_000)
    ('09:45:00', '2024-08-08T00:10:00.5')
    """
    days, rest = divmod(time, DAY)
    if days > date.max.toordinal() - EPOCH:
        return f"{time} ns"
    seconds, part = divmod(rest, SECOND)
    minutes, seconds = divmod(seconds, 60)
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    if part:
        clock += f".{part:09}".rstrip("0")
    return f"{date.fromordinal(EPOCH + days)}T{clock}" if days else clock


def up_to(
    rows: Iterator[Row], until: Time | None, time: Callable[[Row], int]
) -> Iterator[Row]:
    """The rows to a time, those at it included; all of them for None.

    Nothing behind them is looked at, but for the first. ValueError if there are none.

    >>> list(up_to(iter([3, 5, 5, 8]), 5, lambda row: row))
    [3, 5, 5]
    """
    return rows if until is None else _up_to(rows, nanoseconds(until), time)


def _up_to(rows: Iterator[Row], last: int, time: Callable[[Row], int]) -> Iterator[Row]:
    first = True
    for row in rows:
        at = time(row)
        if at > last:
            if first:
                raise ValueError(
                    f"'until' must be at or after the first message, {text(at)} "
                    f"(got {text(last)})."
                )
            return
        first = False
        yield row
