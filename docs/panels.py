"""Strips of lines over the same time, and bars, as SVG: where no script runs.

Colours can be read on white and on black; there is no background.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from math import log, log10
from typing import Any

import attrs
import numpy as np

import flashwick as fw
from flashwick.engine.pages.plots import INK, SHOCK
from flashwick.engine.reading.windows import clock

WIDTH, LEFT, RIGHT = 880, 62, 846
GAP, TOP, ROW = 40, 34, 19
"""Pixels: the strips, what is between and above them, and a row of words."""

SIDES = {
    "right": (9, 5, "start"),
    "left": (-9, 5, "end"),
    "above": (0, -9, "middle"),
    "below": (0, 19, "middle"),
}
"""Where the words of a mark stand: pixels right and down of it, and their anchor."""

GRID = f'stroke="{INK}" opacity=".25"'


def plain(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.6g}".replace("-", "−")


def billions(value: float) -> str:
    """A number on an axis, in billions."""
    return f"{value * 1e-9:,.6g}"


def power(value: float) -> str:
    """A power of ten on a logarithmic axis.

    >>> power(1e-9)
    '10⁻⁹'
    """
    digits = str(round(log10(value)))
    return "10" + digits.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def millions(value: float) -> str:
    """A number on an axis, in millions."""
    return f"{value * 1e-6:,.6g}"


def words_at(
    x: float, y: float, words: str, color: str = INK, anchor: str = "start"
) -> str:
    """A piece of text."""
    at = f'x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}"'
    return f"<text {at}>{escape(words)}</text>"


def svg(height: float, title: str, parts: Iterable[str]) -> str:
    """A whole picture."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        'font-family="system-ui, sans-serif" font-size="14" fill="none" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>\n"
    )


@attrs.define
class Panel:
    """One strip: lines on a scale of its own, and what really was as rings."""

    title: str
    span: tuple[float, float]
    low: float
    high: float
    ticks: Sequence[float] = ()
    logarithmic: bool = False
    word: Callable[[float], str] = plain
    height: int = 104
    rings: bool = False  # whether there is one
    ranges: bool = False
    parts: list[str] = attrs.field(init=False, factory=list)
    labels: list[tuple[str, str]] = attrs.field(init=False, factory=list)

    def x(self, time: float) -> float:
        """The place of a time; of one beyond the span, its end."""
        first, last = self.span
        time = min(max(time, first), last)
        return round(LEFT + (time - first) / (last - first) * (RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        """The place of a value; of one beyond the scale, its end."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = log(value / self.low) / log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round((1.0 - share) * self.height, 1)

    def line(
        self, time: Any, values: Any, color: str, label: str = "", style: str = ""
    ) -> None:
        """Draw samples; each holds until the next one, and nothing is drawn for NaN."""
        edges = np.flatnonzero(np.diff(np.isnan(values))) + 1
        for times_, part in zip(
            np.split(time, edges), np.split(values, edges), strict=True
        ):
            if len(part) and not np.isnan(part[0]):
                self._stretch(times_, part, color, style)
        if label:
            self.labels.append((label, color))

    def _stretch(self, time: Any, values: Any, color: str, style: str) -> None:
        points: list[tuple[float, float]] = []
        for t, v in zip(time.tolist(), values.tolist(), strict=True):
            x, y = self.x(t), self.y(v)
            points += [(x, points[-1][1] if points else y), (x, y)]
        # Points on a level line say nothing.
        kept = points[:1] + [
            here
            for (before, here), (_, after) in zip(
                pairwise(points[:-1]), pairwise(points[1:]), strict=True
            )
            if not before[1] == here[1] == after[1]
        ]
        path = "M" + "L".join(f"{x},{y}" for x, y in [*kept, points[-1]])
        self.parts.append(
            f'<path d="{path}" stroke="{color}" stroke-width="1.6" '
            f'stroke-linejoin="round" {style}/>'
        )

    def level(
        self,
        value: float,
        words: str,
        *,
        time: float | None = None,
        side: str = "above",
    ) -> None:
        """Draw a line at a value, its words above or below, from the left or a time."""
        y = self.y(value)
        x = LEFT + 6 if time is None else self.x(time)
        dashes = f'stroke="{INK}" stroke-dasharray="5 4" opacity=".8"'
        self.parts.append(f'<path d="M{LEFT},{y}H{RIGHT}" {dashes}/>')
        self.parts.append(words_at(x, round(y + SIDES[side][1], 1), words))

    def ring(
        self,
        time: float,
        value: float,
        words: str = "",
        color: str = INK,
        *,
        side: str = "right",
    ) -> None:
        """Mark what really was; the words stand right, left, above or below."""
        x, y = self.x(time), self.y(value)
        self.rings = True
        self.parts.append(
            f'<circle cx="{x}" cy="{y}" r="4.5" stroke="{color}" stroke-width="2"/>'
        )
        dx, dy, anchor = SIDES[side]
        if anchor == "middle" and x > RIGHT - 60:
            anchor = "end"
        at = round(x + dx, 1), round(y + dy, 1)
        self.parts.append(words_at(*at, words, color, anchor))

    def range(
        self,
        times: tuple[float, float],
        values: tuple[float, float],
        words: str = "",
        *,
        side: str = "above",
    ) -> None:
        """Mark what really was if time or value is known as a range only."""
        self.ranges = True
        left, right = map(self.x, times)
        bottom, top = map(self.y, values)
        size = f'width="{right - left:.1f}" height="{max(2.0, bottom - top):.1f}"'
        self.parts.append(
            f'<rect x="{left}" y="{top}" {size} rx="2" fill="{INK}" '
            f'fill-opacity=".2" stroke="{INK}" stroke-dasharray="2 3"/>'
        )
        late = right > RIGHT - 60
        y = round((bottom if side == "below" else top) + SIDES[side][1], 1)
        anchor = "end" if late else "start"
        self.parts.append(words_at(right if late else left, y, words, INK, anchor))

    def note(self, time: float, value: float, words: str) -> None:
        """Write words at a place."""
        self.parts.append(words_at(self.x(time), self.y(value), words))

    def drawn(self, top: float) -> str:
        """All of it, at a height of the picture."""
        scale = [
            f'<path d="M{LEFT},{self.height}H{RIGHT}" stroke="{INK}" opacity=".5"/>'
        ]
        for value in self.ticks:
            y = self.y(value)
            scale.append(f'<path d="M{LEFT},{y}H{RIGHT}" {GRID}/>')
            scale.append(words_at(LEFT - 8, y + 5, self.word(value), INK, "end"))
        names = "".join(
            f'<tspan dx="{14 if n else 0}" fill="{color}">{escape(label)}</tspan>'
            for n, (label, color) in enumerate(self.labels)
        )
        head = words_at(LEFT, -12, self.title)
        head += f'<text x="{RIGHT}" y="-12" text-anchor="end">{names}</text>'
        inside = "".join([*scale, *self.parts, head])
        return f'<g transform="translate(0,{top})">{inside}</g>'


def strips(
    title: str,
    panels: Sequence[Panel],
    ticks: Sequence[tuple[float, str]],
    moments: Sequence[tuple[float, str]] = (),
) -> str:
    """Panels one above the other, what happened when, and the times below.

    Each moment has a row of words of its own above the panels: they may be close.
    """
    first = panels[0]
    places, y = [], ROW * len(moments) + TOP
    for panel in panels:
        places.append(y)
        y += panel.height + GAP
    bottom = y - GAP
    parts = [panel.drawn(at) for panel, at in zip(panels, places, strict=True)]
    for number, (time, words) in enumerate(moments):
        x, y = first.x(time), ROW * (number + 1)
        # Not through the titles.
        ends = [(y - 12, places[0] - 28)]
        ends += [
            (at, at + panel.height) for panel, at in zip(panels, places, strict=True)
        ]
        line = "".join(f"M{x},{begin}V{end}" for begin, end in ends)
        parts.append(f'<path d="{line}" stroke="{SHOCK}" stroke-dasharray="2 4"/>')
        late = x > 0.6 * WIDTH
        at, anchor = (x - 6, "end") if late else (x + 6, "start")
        parts.append(words_at(at, y, words, SHOCK, anchor))
    parts += [
        words_at(first.x(time), bottom + 20, words, INK, "middle")
        for time, words in ticks
    ]
    marks = "○ " if any(panel.rings for panel in panels) else ""
    marks += "▭ " if any(panel.ranges for panel in panels) else ""
    if marks:
        bottom += 24
        words = f"{marks}what really was"
        parts.append(words_at(RIGHT, bottom + 20, words, INK, "end"))
    return svg(bottom + 30, title, parts)


# -- TIMES AND FIGURES OF A RUN

RunOf = Callable[[str | None], fw.Run]
"""The run of a replay with seed 0, as it was or as a variation has it."""

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0


def series(run: fw.Run, figure: str) -> tuple[Any, Any]:
    """Seconds since the start, and a figure of the chain at each block's end."""
    chain = run.series.chain
    return chain.time * 1e-9, chain.figures[figure]


def since(time: str, start: float = 0.0, day: int = 0) -> float:
    """Seconds from a start, seconds after midnight, to a time of day."""
    hours, minutes = map(int, time.split(":"))
    return day * DAY + hours * HOUR + minutes * MINUTE - start


def times(
    span: tuple[float, float], step: float, start: float = 0.0
) -> Iterator[tuple[float, str]]:
    """Times of day below a picture, every so many seconds."""
    first = -(-(span[0] + start) // step) * step
    while first <= span[1] + start:
        yield first - start, clock(first)
        first += step


# -- BARS

BAR, NAMES = 30, 330
"""Pixels of a row, and of the words before a bar."""


@attrs.define
class Bar:
    """One figure of a run, and what it really was."""

    name: str
    value: float
    color: str
    real: float | None = None


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Bars from 0, a scale for each group, and what really was as rings."""
    parts: list[str] = []
    y, real = 24, False
    for heading, rows in groups:
        parts.append(words_at(16, y, heading))
        y += 12
        most = max(bar.value for bar in rows)
        for bar in rows:
            end = round(NAMES + bar.value / most * (RIGHT - 70 - NAMES), 1)
            box = f"M{NAMES},{y}H{end}v{BAR - 8}H{NAMES}z"
            parts.append(words_at(NAMES - 10, y + 16, bar.name, INK, "end"))
            parts.append(f'<path d="{box}" fill="{bar.color}" fill-opacity=".5"/>')
            said = f"{bar.value:,.4g}"
            parts.append(words_at(end + 12, y + 16, said, bar.color))
            if bar.real is not None:
                real = True
                x = round(NAMES + bar.real / most * (RIGHT - 70 - NAMES), 1)
                ring = f'cx="{x}" cy="{y + 11}" r="4.5"'
                parts.append(f'<circle {ring} stroke="{INK}" stroke-width="2"/>')
            y += BAR
        y += 28
    if real:
        parts.append(words_at(RIGHT, y - 8, "○ what really was", INK, "end"))
        y += 12
    return svg(y - 8, title, parts)
