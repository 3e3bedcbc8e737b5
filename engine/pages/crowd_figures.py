"""Figures of many markets or makers at once, where lines would hide each other."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import facts
from ..look import Look
from ..prints import in_seconds
from ..text import number, percent
from ..wick_measures import falls, pairs
from .plots import FORCED, PRICE, SERIES, along, faint, finish, framed, thin

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..run import Run

MANY = 24
"""More lines than this are told by their quantiles."""

CELLS = 150
"""Columns of the map of falls."""

FALLS = [[0.0, "rgba(127,136,148,0.06)"], [0.5, "#e08a3c"], [1.0, "#7c1d3f"]]
"""Colours of the map: nothing, half of the price, all of it."""

FAN = (0.1, 0.5, 0.9)
"""Quantiles of many lines: the edges of the shade, and the middle."""


def fan(
    figure: Any,
    time: facts.Floats,
    values: facts.Floats,
    color: str,
    name: str,
    **place: Any,
) -> None:
    """Add the middle of many lines, and a shade from the tenth to the ninth tenth.

    ``values`` has a column for each line; NaN are left out.
    """
    there = np.isfinite(values).any(axis=1)
    low, middle, high = _quantiles(values[there])
    time = time[there]
    rows = thin(time, middle, 175)
    shared = {"mode": "lines", "hoverinfo": "skip", "legendgroup": name, **place}
    edge = {"width": 0, "shape": "hv"}
    figure.add_scatter(
        x=time[rows], y=_short(high[rows]), line=edge, showlegend=False, **shared
    )
    figure.add_scatter(
        x=time[rows],
        y=_short(low[rows]),
        line=edge,
        fill="tonexty",
        fillcolor=faint(color, 0.16),
        showlegend=False,
        **shared,
    )
    shared |= {"hoverinfo": "y+name"}
    figure.add_scatter(
        x=time[rows],
        y=_short(middle[rows]),
        name=name,
        line={"color": color, "width": 1.8, "shape": "hv"},
        **shared,
    )


def _quantiles(values: facts.Floats) -> facts.Floats:
    # What `np.nanquantile` finds of each row, those alike in number at once.
    ordered = np.sort(values, axis=1)  # NaN last
    known = np.count_nonzero(~np.isnan(values), axis=1)
    found = np.empty((len(FAN), len(values)))
    for n in np.unique(known).tolist():
        own = known == n
        found[:, own] = np.quantile(ordered[own, :n], FAN, axis=1)
    return found


def _short(values: facts.Floats) -> facts.Floats:
    # A figure of a thousand points is a third shorter in four digits.
    return np.array([float(f"{value:.4g}") for value in values.tolist()])


# -- MARKETS


def falls_figure(run: "Run") -> "Figure":
    """Every pair a row, deepest fall on top: how far below its price before it was."""
    import plotly.graph_objects as go

    look = Look(run, None)
    numbers, fallen = np.array(pairs(look)), falls(look)
    order = np.argsort(fallen, kind="stable")
    end = run.scenario.config.duration
    edges = np.linspace(0.0, end, CELLS + 1)
    lowest = np.array([_lowest(run, market, edges) for market in numbers.tolist()])
    below = np.clip(1.0 - lowest / run.prices_before[numbers][:, None], 0.0, 1.0)
    names = [run.names.markets[market] for market in numbers[order].tolist()]
    figure = go.Figure(
        go.Heatmap(
            x=np.round(0.5 * (edges[1:] + edges[:-1]), 1),
            y=names,
            z=np.rint(100.0 * below[order]).astype(int),
            zmin=0,
            zmax=100,
            colorscale=FALLS,
            colorbar={"title": {"text": "%", "side": "top"}, "thickness": 12},
            hovertemplate="%{y}: %{z} % below<extra></extra>",
        )
    )
    half = float(np.median(fallen))
    title = (
        f"{number(len(numbers))} pairs: half of them fell by {percent(half)} or more "
        f"from the high of the day, {number(int((fallen > 0.5).sum()))} by more than "
        f"half, {number(int((fallen > 0.9).sum()))} by more than nine tenths"
    )
    finish(figure, run, title, 460, "pairs, deepest fall on top")
    shown = np.unique(np.linspace(0, len(order) - 1, 9).astype(int))
    figure.update_yaxes(tickvals=[names[row] for row in shown.tolist()], showgrid=False)
    figure.update_layout(hovermode="closest")
    return figure


def _lowest(run: "Run", market: int, edges: facts.Floats) -> facts.Floats:
    # Lowest price of a market between edges; where it did not trade, the last one.
    trades = run.prints
    price = trades.own("price", market)
    place = np.searchsorted(trades.own("time", market), edges)
    last = np.append(float(run.series.last[0, market]), price)[place[:-1]]
    some = np.flatnonzero(np.diff(place))
    if len(some):
        last[some] = np.minimum.reduceat(price, place[some])
    return np.asarray(last)


def sizes_figure(run: "Run") -> "Figure":
    """The fall of each pair against what was traded in it."""
    import plotly.graph_objects as go

    look = Look(run, None)
    numbers, fallen = np.array(pairs(look)), falls(look)
    trades = run.prints
    volume = np.bincount(trades.market, trades.usd, len(run.names.markets))[numbers]
    measured = run.measures().get("wicks.volume_correlation", np.nan)
    figure = go.Figure(
        go.Scatter(
            x=_short(volume[volume > 0]),
            y=_short(fallen[volume > 0]),
            mode="markers",
            marker={"color": PRICE, "size": 6, "opacity": 0.6},
            text=[run.names.markets[market] for market in numbers[volume > 0].tolist()],
            hovertemplate="%{text}: %{y:.1%} with %{x:.3s} USD<extra></extra>",
        )
    )
    title = "Fall of each pair and what was traded in it"
    if np.isfinite(measured):
        title += f": rank correlation {measured:+.2f}".replace("-", "−")
    framed(figure, title, 380, "fall from the high of the day")
    along(figure, "USD traded", type="log", dtick=1, tickformat="~s")
    figure.update_yaxes(tickformat=".0%", range=[0.0, 1.02])
    figure.update_layout(hovermode="closest")
    return figure


def depth_fan(run: "Run", numbers: list[int]) -> "Figure":
    """Bid depth of many books as shares of what it was before: quantiles, and all."""
    import plotly.graph_objects as go

    time = in_seconds(run.series.time)
    before = run.depth_before[numbers]
    depth = run.series.bid_depth[:, numbers]
    whole = depth.sum(axis=1) / max(1.0, float(before.sum()))
    shown = facts.quoted(whole, 1.0)
    figure = go.Figure()
    share = depth[shown] / before
    fan(figure, time[shown], share, PRICE, "the middle book, and eight tenths of them")
    rows = thin(time[shown], whole[shown], 175)
    figure.add_scatter(
        x=time[shown][rows],
        y=_short(whole[shown][rows]),
        name="all books together",
        line={"color": FORCED, "width": 2.2, "shape": "hv"},
    )
    return figure


# -- MARKET MAKERS


def fleets(run: "Run") -> dict[str, list[int]]:
    """Places of the market makers in the samples, by the fleet they belong to."""
    found: dict[str, list[int]] = {}
    for place, maker in enumerate(facts.makers(run)):
        fleet = maker.name.rpartition("-")[0] or "market makers"
        found.setdefault(fleet, []).append(place)
    return found


def add_fleets(figure: Any, run: "Run", rows: dict[int, facts.Floats]) -> None:
    """Add series of each fleet of makers to rows of a figure, up to forced sales."""
    time, makers = in_seconds(run.series.maker_time), facts.makers(run)
    sold = np.array([maker.sale_time for maker in makers])
    alive = ~(time[:, None] > np.where(np.isfinite(sold), sold, np.inf))
    for k, (name, places) in enumerate(fleets(run).items()):
        for row, values in rows.items():
            own = np.where(alive & np.isfinite(values), values, np.nan)[:, places]
            if not np.isfinite(own).any():
                continue  # without positions there is no margin to be healthy for
            color = SERIES[k % len(SERIES)]
            title = f"{name}, {len(places)}"
            fan(figure, time, own, color, title, row=row, col=1)
            figure.data[-1].showlegend = row == 1
