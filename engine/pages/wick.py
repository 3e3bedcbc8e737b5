"""The picture of a wick, as SVG made by hand: for a README, where no script runs."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from .. import facts
from ..prints import NANO
from ..text import percent, price, short_usd
from .plots import DEPTH, EXTREME, FORCED, INK, PRICE, SHOCK, thin

if TYPE_CHECKING:
    from ..run import Run

WIDTH, HEIGHT = 880, 430
LEFT, RIGHT = 16, WIDTH - 16
PRICE_TOP, PRICE_BOTTOM = 62, 300
DEPTH_TOP, DEPTH_BOTTOM = 326, 400


class _Canvas:
    """Turns seconds and prices into places, and collects what is drawn."""

    def __init__(self, begin: float, end: float, low: float, high: float) -> None:
        self.begin, self.end = begin, end
        self.log = low < EXTREME * high
        # Room below the lowest print for its label.
        bottom, top = self.scale(low), self.scale(high)
        self.bottom, self.top = bottom - 0.06 * (top - bottom), top
        self.parts: list[str] = []

    def scale(self, value: float) -> float:
        return float(np.log(value)) if self.log else value

    def x(self, time: float) -> float:
        share = (time - self.begin) / (self.end - self.begin)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def y(self, value: float) -> float:
        share = (self.scale(value) - self.bottom) / (self.top - self.bottom or 1.0)
        return round(PRICE_BOTTOM - share * (PRICE_BOTTOM - PRICE_TOP), 1)

    def text(self, x: float, y: float, words: str, color: str, anchor: str) -> None:
        at = f'x="{x}" y="{y}" fill="{color}" text-anchor="{anchor}"'
        self.parts.append(f"<text {at}>{escape(words)}</text>")

    def path(self, points: list[tuple[float, float]], color: str, style: str) -> None:
        line = "M" + "L".join(f"{x},{y}" for x, y in points)
        self.parts.append(f'<path d="{line}" stroke="{color}" {style}/>')


def wick_svg(run: "Run", market: str | None = None) -> str:
    """Price, liquidations and bid depth around a market's lowest print, as SVG.

    The market of the deepest print if none is given. Colours suit light and dark.
    """
    number = facts.chosen_market(run) if market is None else run.market(market)
    low = facts.markets(run)[number]
    if not low.drop > 0:
        raise LookupError(f"{low.market} did not fall in this run: no wick to draw")
    length = max(10.0, low.trough_time - run.start)
    begin = max(0.0, run.start - 0.3 * length)
    end = min(run.scenario.config.duration, low.trough_time + 1.2 * length)
    trades = run.prints
    rows = trades.of(number)
    rows = rows[(trades.time[rows] >= begin) & (trades.time[rows] <= end)]
    high = max(float(trades.price[rows].max()), low.before)
    canvas = _Canvas(begin, end, low.trough, high)
    _draw_depth(canvas, run, number, low.depth_before)
    _draw_price(canvas, run, rows, low)
    _draw_words(canvas, run, low)
    title = f"{low.market} fell {percent(low.drop)} to {price(low.trough)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="14" fill="none" '
        f'stroke-linejoin="round" role="img"><title>{escape(title)}</title>'
        + "".join(canvas.parts)
        + "</svg>\n"
    )


def _draw_price(
    canvas: _Canvas, run: "Run", rows: facts.Integers, low: facts.MarketFacts
) -> None:
    trades = run.prints
    kept = rows[thin(trades.time[rows], trades.price[rows], 220)]
    points = [(float(LEFT), canvas.y(low.before))]
    for time, value in zip(
        trades.time[kept].tolist(), trades.price[kept].tolist(), strict=True
    ):
        # A price holds until the next trade.
        points += [(canvas.x(time), points[-1][1]), (canvas.x(time), canvas.y(value))]
    points.append((float(RIGHT), points[-1][1]))
    canvas.path(points, PRICE, 'stroke-width="1.8"')
    forced = rows[trades.forced[rows]]
    forced = forced[thin(trades.time[forced], trades.price[forced], 40)]
    for row in forced.tolist():
        x, y = canvas.x(float(trades.time[row])), canvas.y(float(trades.price[row]))
        canvas.parts.append(
            f'<circle cx="{x}" cy="{y}" r="3" fill="{FORCED}" fill-opacity=".7"/>'
        )


def _draw_depth(canvas: _Canvas, run: "Run", number: int, before: float) -> None:
    time = run.series.time * NANO
    depth = run.series.bid_depth[:, number]
    quoted = facts.quoted(depth, before)
    time, depth = time[quoted], depth[quoted]
    inside = np.flatnonzero(time <= canvas.end)
    # What the first sample before the picture says holds where it begins.
    inside = inside[max(0, int(np.searchsorted(time, canvas.begin, "right")) - 1) :]
    most = max(1.0, before, float(depth[inside].max(initial=0.0)))
    points: list[tuple[float, float]] = []
    for at, value in zip(time[inside].tolist(), depth[inside].tolist(), strict=True):
        x = canvas.x(max(at, canvas.begin))
        y = round(DEPTH_BOTTOM - value / most * (DEPTH_BOTTOM - DEPTH_TOP), 1)
        # A sample holds until the next one.
        points += [(x, points[-1][1] if points else float(DEPTH_BOTTOM)), (x, y)]
    if points:
        points += [(float(RIGHT), points[-1][1]), (float(RIGHT), float(DEPTH_BOTTOM))]
    else:
        points = [(float(LEFT), float(DEPTH_BOTTOM))]
    canvas.path(points, DEPTH, f'stroke-width="1.4" fill="{DEPTH}" fill-opacity=".3"')
    label = f"bid depth, {short_usd(before)} USD before the shock"
    canvas.text(RIGHT, DEPTH_TOP - 6, label, DEPTH, "end")


def _draw_words(canvas: _Canvas, run: "Run", low: facts.MarketFacts) -> None:
    scale = ", log scale" if canvas.log else ""
    canvas.text(LEFT, 24, f"{low.market}, last price{scale}", PRICE, "start")
    canvas.text(RIGHT, 24, "● liquidations", FORCED, "end")
    before = f"{price(low.before)} before"
    canvas.text(LEFT, canvas.y(low.before) - 9, before, INK, "start")
    x, y = canvas.x(low.trough_time), canvas.y(low.trough)
    # The label goes to the side with more room.
    right = x < 0.6 * WIDTH
    words = f"{price(low.trough)}, {percent(-low.drop, sign=True)}"
    at = x + 10 if right else x - 10
    canvas.text(at, y + 4, words, FORCED, "start" if right else "end")
    begin = canvas.x(run.start)
    line = [(begin, float(PRICE_TOP)), (begin, float(DEPTH_BOTTOM))]
    canvas.path(line, SHOCK, 'stroke-dasharray="2 4"')
    canvas.text(begin + 6, PRICE_BOTTOM - 4, "first shock", SHOCK, "start")
    for time in np.linspace(canvas.begin, canvas.end, 6)[1:-1].tolist():
        canvas.text(canvas.x(time), HEIGHT - 10, f"{time:.0f} s", INK, "middle")
