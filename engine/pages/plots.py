"""What the figures have in common: colours, style, shocks, and lines of few points."""

from copy import deepcopy
from functools import cache
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import facts
from ..prints import NANO
from ..reading.windows import DAY_S

if TYPE_CHECKING:
    from ..run import Run

INK = "#7f8894"
PRICE = "#3b74c4"
FORCED = "#d0413f"
DEPTH = "#3f9a8c"
SHOCK = "#8c6bd1"
INDEX = "#c98a1b"
SERIES = (
    PRICE,
    "#d0713f",
    DEPTH,
    "#a55bbe",
    INDEX,
    "#5b8f3a",
    "#c0547f",
    "#5aa3c9",
    "#96683f",
)
"""Colours that can be told apart on white and on black."""

KINDS = {
    "shock": SHOCK,
    "trade": PRICE,
    "index": INDEX,
    "mark": INDEX,
    "breach": "#d2603a",
    "liquidation": FORCED,
    "takeover": FORCED,
    "adl": FORCED,
    "socialised": FORCED,
    "withdrawal": DEPTH,
    "feed": INDEX,
    "decision": "#5b8f3a",
    "protocol": "#5b8f3a",
}
"""Colour of each kind of event; others are INK."""

GRID = {"gridcolor": "rgba(127,136,148,0.22)", "zeroline": False}

AXES = {
    "xaxes": GRID,
    "yaxes": {"automargin": True, "title": {"font": {"size": 13}}, **GRID},
}
"""What all axes have in common."""

EVERY = {"xaxes": "xaxis", "yaxes": "yaxis"}
"""What a layout says of all its axes of a kind, and what their names begin with."""

Layout = dict[str, Any]

POINTS = 700
"""Bins of a line: more than a screen has, four points in each."""

TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400)
"""Seconds between times of day on an axis."""

TITLE = 70
"""Characters of a line of a title: a figure in a notebook is no wider."""

TOP, LINE = 64, 22
"""Pixels above a figure with a title of one line, and for each line more."""

EXTREME = 0.05
"""A price that fell below this share of its old one is shown on a log scale."""


def thin(time: facts.Floats, value: facts.Floats, bins: int = POINTS) -> facts.Integers:
    """Rows that draw the same line: first, last, least and greatest of each bin.

    ``time`` ascends. O(n).

    >>> thin(np.arange(6.0), np.array([1.0, 3.0, 2.0, 2.0, 0.0, 2.0]), 1).tolist()
    [0, 1, 4, 5]
    """
    if len(time) <= 4 * bins:
        return np.arange(len(time))
    edges = np.linspace(time[0], time[-1], bins + 1)[1:-1]
    starts = np.concatenate([[0], np.searchsorted(time, edges), [len(time)]])
    keep = []
    for first, end in pairwise(starts.tolist()):
        if first < end:
            part = value[first:end]
            low, high = first + np.argmin(part), first + np.argmax(part)
            keep += [first, low, high, end - 1]
    return np.unique(np.array(keep, np.int64))


def faint(color: str, opacity: float) -> str:
    """A colour that lets the page through.

    >>> faint("#ff0080", 0.5)
    'rgba(255,0,128,0.5)'
    """
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def panels(heights: tuple[float, ...], spacing: float) -> Any:
    """A figure of panels one above another, shares of its height, over one time."""
    return deepcopy(_panels(heights, spacing))


@cache
def _panels(heights: tuple[float, ...], spacing: float) -> Any:
    # Plotly takes 9 ms to make one, and half a millisecond to copy it.
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=len(heights),
        shared_xaxes=True,
        row_heights=list(heights),
        vertical_spacing=spacing,
    )
    return figure.update_layout(template="none")


def style(figure: Any, title: str, height: int) -> Any:
    """Give a figure its title, fonts and margins; no background of its own."""
    return relaid(figure, _styled(title, height))


def _styled(title: str, height: int) -> Layout:
    lines = wrap(title, TITLE)
    top = TOP + LINE * max(0, len(lines) - 1)
    return {
        "template": "none",
        "title": {"text": "<br>".join(lines), "x": 0.0, "xref": "paper"},
        "height": height,
        "margin": {"l": 62, "r": 12, "t": top, "b": 44},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "x unified",
        # Below the axis labels, whatever the height.
        "legend": {"orientation": "h", "y": -38 / (height - top - 44), "x": 0.0},
    }


def relaid(figure: Any, *changes: Layout) -> Any:
    """Change a figure's layout by plain dicts, one after another, and all at once.

    Plotly looks at the whole layout for each change that it is asked for. What is told
    of ``xaxes`` and ``yaxes`` holds for all there are.
    """
    layout = figure.layout.to_plotly_json()
    for change in changes:
        for key, value in change.items():
            axis = EVERY.get(key)
            others = [key for key in layout if axis and key.startswith(axis)]
            for name in dict.fromkeys([axis or key, *others]):
                _merge(layout, {name: value})
    figure.layout = layout
    return figure


def _merge(into: Layout, change: Layout) -> None:
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def framed(figure: Any, title: str, height: int, unit: str) -> Any:
    """Style a figure with axes, the vertical one in a unit."""
    return relaid(figure, *_framed(title, height, unit))


def _framed(title: str, height: int, unit: str) -> list[Layout]:
    return [_styled(title, height), AXES, {"yaxis": {"title": {"text": unit}}}]


def along(figure: Any, text: str, **axis: Any) -> Any:
    """Give the horizontal axis a title, below which the legend has its place."""
    height, top = figure.layout.height, figure.layout.margin.t
    title = {"text": text, "font": {"size": 13}, "standoff": 6}
    place = {"margin": {"b": 66}, "legend": {"y": -60 / (height - top - 66)}}
    return relaid(figure, {"xaxes": {"title": title, **axis}, **place})


def finish(
    figure: Any, run: "Run", title: str, height: int, unit: str, *changes: Layout
) -> Any:
    """Style a figure over time: axes, units, and a line at each shock.

    ``changes`` are those that `relaid` takes, made last.
    """
    for trace in figure.data:
        # Of few points plotly would mark each.
        if trace.type == "scatter" and trace.mode is None:
            trace.mode = "lines"
    shocks = _shocks(run, figure.layout)
    style = _framed(title, height, unit)
    return relaid(figure, *style, {"xaxes": _time_axis(run)}, shocks, *changes)


def _shocks(run: "Run", layout: Any) -> Layout:
    # A line at each, and words at the first, beside what there is.
    when = dict.fromkeys(round(event.time * NANO, 3) for event in run.shocks)
    if not when:
        return {}
    line = {"color": SHOCK, "width": 1, "dash": "dot"}
    place = {"xref": "x", "yref": "paper"}
    lines = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line, **place}
        for at in sorted(when)
    ]
    first = {
        "x": min(when),
        "y": 1,
        "text": "first shock",
        "font": {"size": 11},
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        **place,
    }
    shapes, notes = [*layout.shapes, *lines], [*layout.annotations, first]
    return {"shapes": shapes, "annotations": notes}


def _time_axis(run: "Run") -> Layout:
    # Seconds since the start, or the time of day of a run that has one.
    config = run.scenario.config
    axis: dict[str, Any] = {"range": [0.0, config.duration], "ticksuffix": " s"}
    if config.start or config.duration > DAY_S:
        step = next((s for s in TICKS if config.duration <= 8 * s), TICKS[-1])
        first = -config.start % step
        ticks = np.arange(first, config.duration + 1.0, step).tolist()
        told = [facts.when(run, tick) for tick in ticks]
        axis |= {"tickvals": ticks, "ticktext": told}
    return axis


def scale_switch(scale: str) -> Layout:
    """Buttons for a linear and a log scale of prices, which begin at one of them."""
    names = ("linear", "log")
    # Decades alone, where there are several; a linear axis chooses its own steps.
    steps = (None, 1 if scale == "log" else None)
    buttons = [
        {
            "label": name,
            "method": "relayout",
            "args": [{"yaxis.type": name, "yaxis.dtick": step}],
        }
        for name, step in zip(names, steps, strict=True)
    ]
    step = steps[names.index(scale)]
    menu = {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "active": names.index(scale),
        "x": 1.0,
        "xanchor": "right",
        "y": 1.0,
        "yanchor": "bottom",
        "font": {"size": 11, "color": "#333"},
        "bgcolor": "#fff",
    }
    first = {"type": scale} | ({} if step is None else {"dtick": step})
    return {"yaxis": first, "updatemenus": [menu]}
