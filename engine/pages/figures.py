"""The figures of a run, as plotly figures that suit a light and a dark page.

Times are seconds of the run; each title says what the figure shows, with its numbers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...orderbook.orders import Side
from .. import facts
from ..config import Scenario
from ..prints import NANO, in_seconds
from ..text import join, percent, price, short_usd, times, whole_percent
from .crowd_figures import MANY, add_fleets, depth_fan
from .plots import (
    DEPTH,
    EXTREME,
    FORCED,
    INDEX,
    INK,
    PRICE,
    SERIES,
    finish,
    panels,
    scale_switch,
    thin,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..run import Run

MOVED = 0.05
"""An index that fell by this share was repriced."""

BARE = 0.9
"""A book that lost this share of its bid depth is shown as bare."""

HEALTHY = 4.0
"""Health is shown up to here: above it nothing happens to an account."""

LINES = len(SERIES)
"""More makers than colours are told by their fleets."""

# -- ONE MARKET


def price_figure(run: "Run", market: int) -> "Figure":
    """Price, outside price, liquidations and bid depth of a market."""
    import plotly.graph_objects as go

    low = facts.markets(run)[market]
    figure = panels((0.72, 0.28), 0.04)
    time = run.series.time * NANO
    figure.add_scatter(
        x=time,
        y=outside_price(run, market),
        name="outside price",
        line={"color": INK, "width": 1.2, "dash": "dot"},
    )
    figure.add_trace(_price_line(run, market, "last trade", PRICE))
    figure.add_trace(_liquidations(run, market))
    depth = run.series.bid_depth[:, market]
    shown = facts.quoted(depth, low.depth_before)
    figure.add_trace(
        go.Scatter(
            x=time[shown],
            y=depth[shown],
            name="bid depth",
            line={"color": DEPTH, "width": 1.5, "shape": "hv"},
            fill="tozeroy",
            hovertemplate="%{y:,.0f} USD",
        ),
        row=2,
        col=1,
    )
    fell = f"fell {percent(low.drop)} to {price(low.trough)}"
    title = (
        f"{low.market} {fell if low.drop > 0 else 'did not fall'}; "
        f"{percent(low.depth_lost)} of its bid depth lost"
    )
    quote = run.names.assets[run.names.quote[market]]
    scale = "log" if low.trough < EXTREME * low.before else "linear"
    depths = {"title": {"text": "USD"}, "tickformat": "~s", "rangemode": "tozero"}
    axes = {"yaxis": {"exponentformat": "none"}, "yaxis2": depths}
    unit = f"price, {quote}"
    return finish(figure, run, title, 480, unit, axes, scale_switch(scale))


def outside_price(run: "Run", market: int) -> facts.Floats:
    """A market's price outside, in its quote asset, at each sample."""
    names, outside = run.names, run.series.outside
    return np.asarray(outside[:, names.base[market]] / outside[:, names.quote[market]])


def _price_line(run: "Run", market: int, name: str, color: str, **line: Any) -> Any:
    import plotly.graph_objects as go

    trades = run.prints
    rows = trades.of(market)
    rows = rows[thin(trades.time[rows], trades.price[rows])]
    # From the price it opened with, to the end: a price holds until the next trade.
    opened = run.series.last[:1, market]
    values = np.concatenate([opened, trades.price[rows], trades.price[rows[-1:]]])
    end = [run.scenario.config.duration] if len(rows) else []
    return go.Scatter(
        x=np.concatenate([0.0 * opened, np.round(trades.time[rows], 6), end]),
        y=values,
        name=name,
        mode="lines",
        line={"color": color, "width": 1.6, "shape": "hv", **line},
        hovertemplate="%{y:.6~g}",
    )


def _liquidations(run: "Run", market: int) -> Any:
    import plotly.graph_objects as go

    trades = run.prints
    rows = trades.of(market)
    rows = rows[trades.forced[rows]]
    rows = rows[thin(trades.time[rows], trades.price[rows], 150)]
    largest = max(1.0, float(trades.usd[rows].max(initial=1.0)))
    words = [
        f"{run.account(account)} {'sold' if side == Side.SELL else 'bought'} "
        f"{short_usd(usd)} USD"
        for account, side, usd in zip(
            trades.taker[rows].tolist(),
            trades.side[rows].tolist(),
            trades.usd[rows].tolist(),
            strict=True,
        )
    ]
    return go.Scatter(
        x=np.round(trades.time[rows], 3),
        y=trades.price[rows],
        name="liquidation",
        mode="markers",
        marker={
            "color": FORCED,
            "size": 4.0 + 8.0 * np.sqrt(trades.usd[rows] / largest),
            "opacity": 0.75,
            "line": {"width": 0},
        },
        text=words,
        hovertemplate="%{text} at %{y:.6~g}",
    )


def overlay_figure(
    runs: Sequence["Run"], labels: Sequence[str], market: str | None = None
) -> "Figure":
    """Prices of one market in several runs."""
    import plotly.graph_objects as go

    first = runs[0]
    number = facts.chosen_market(first) if market is None else first.market(market)
    name = first.names.markets[number]
    figure = go.Figure()
    falls = []
    for i, (run, label) in enumerate(zip(runs, labels, strict=True)):
        own = run.market(name)
        color = SERIES[i % len(SERIES)]
        figure.add_trace(_price_line(run, own, label, color))
        falls.append(percent(facts.markets(run)[own].drop))
    title = f"{name} fell {falls[0]}; otherwise {join(falls[1:])}"
    quote = first.names.assets[first.names.quote[number]]
    finish(figure, first, title, 420, f"price, {quote}")
    return figure.update_yaxes(exponentformat="none")


# -- COLLATERAL


def collateral_assets(run: "Run") -> list[str]:
    """The coins that makers pledge, largest fall of the index first.

    Those that fell by MOVED or more, or all whose index moves if none did.
    """
    config: Scenario = run.scenario.config
    pledged = dict.fromkeys(
        asset for fleet in config.market_makers.values() for asset in fleet.collateral
    )
    fall = {
        asset: _sampled_fall(run, run.series.index[:, run.names.assets.index(asset)])
        for asset in pledged
    }
    moving = sorted((a for a in fall if fall[a] > 0.0), key=lambda a: -fall[a])
    return [asset for asset in moving if fall[asset] >= MOVED] or moving


def _sampled_fall(run: "Run", values: facts.Floats) -> float:
    after = run.series.time * NANO >= run.start
    if not after.any():
        return 0.0
    before = values[max(0, int(np.argmax(after)) - 1)]
    return float(1.0 - np.fmin.reduce(values[after]) / before)


def collateral_figure(run: "Run", asset: str) -> "Figure":
    """Price of a collateral coin in its book, its index, and its price outside."""
    import plotly.graph_objects as go

    number = run.names.assets.index(asset)
    time = run.series.time * NANO
    figure = go.Figure()
    book = _dollar_market(run, number)
    lines = [
        ("outside", run.series.outside[:, number], INK, "dot"),
        ("index", run.series.index[:, number], INDEX, "solid"),
    ]
    falls = []
    if book is not None:
        figure.add_trace(
            _price_line(run, book, run.names.markets[book], PRICE, width=1)
        )
        falls.append(f"book {_fall(facts.markets(run)[book].drop)}")
    for name, values, color, dash in reversed(lines):
        style = {"color": color, "dash": dash, "width": 1.8}
        figure.add_scatter(x=time, y=values, name=name, line=style)
        falls.append(f"{name} {_fall(_sampled_fall(run, values))}")
    return finish(figure, run, f"{asset}: {', '.join(falls)}", 300, "USD")


def _fall(drop: float) -> str:
    return percent(-max(0.0, drop), sign=True)


def _dollar_market(run: "Run", asset: int) -> int | None:
    """The spot book of an asset whose quote asset is worth a dollar."""
    for market, (base, quote) in enumerate(
        zip(run.names.base, run.names.quote, strict=True)
    ):
        dollar = abs(float(run.series.index[0, quote]) - 1.0) < 0.05
        if base == asset and dollar and not run.names.perpetual[market]:
            return market
    return None


# -- MARKET MAKERS


def makers_figure(run: "Run") -> "Figure":
    """Leverage and health of the market makers, up to their first forced sale."""
    fleet = facts.makers(run)
    figure = panels((0.5, 0.5), 0.07)
    top = HEALTHY
    for maker in fleet:
        if np.isfinite(maker.sale_time):
            top = max(top, 1.2 * maker.leverage_at_sale)
    if len(fleet) > LINES:
        series = run.series
        add_fleets(figure, run, {1: series.maker_leverage, 2: series.maker_health})
    else:
        _add_makers(figure, run)
    finish(figure, run, _makers_title(run), 520, "leverage, ×")
    figure.update_yaxes(range=[0.0, top], row=1, col=1)
    figure.update_yaxes(title_text="health", range=[0.0, HEALTHY], row=2, col=1)
    _thresholds(figure, run)
    healthy = sum(maker.health_min > HEALTHY for maker in fleet)
    if healthy:
        makers = "makers" if healthy > 1 else "maker"
        figure.add_annotation(
            text=f"not shown: {healthy} {makers} above health {HEALTHY:g}",
            font={"size": 11},
            showarrow=False,
            xref="x2 domain",
            yref="y2 domain",
            x=1.0,
            y=1.0,
            xanchor="right",
            yanchor="bottom",
        )
    return figure


def _add_makers(figure: Any, run: "Run") -> None:
    # A line for each, that ends with a cross at its first forced sale.
    time = in_seconds(run.series.maker_time)
    for k, maker in enumerate(facts.makers(run)):
        color = SERIES[k % len(SERIES)]
        sold = np.isfinite(maker.sale_time)
        # What an account has left after its sale began is no market maker's leverage.
        shown = time <= maker.sale_time if sold else np.ones(len(time), np.bool_)
        panels = (
            (1, run.series.maker_leverage[:, k], "%{y:.2f}×"),
            (2, run.series.maker_health[:, k], "%{y:.2f}"),
        )
        for row, values, form in panels:
            style = {
                "name": maker.name,
                "legendgroup": maker.name,
                "marker": {"color": color, "size": 8, "symbol": "x"},
                "hovertemplate": form,
                "row": row,
                "col": 1,
            }
            line = {"color": color, "width": 1.6}
            drawn = np.where(np.isfinite(values[shown]), values[shown], np.nan)
            kept = thin(time[shown], np.nan_to_num(drawn), 200)
            figure.add_scatter(
                x=time[shown][kept],
                y=drawn[kept],
                mode="lines",
                line=line,
                showlegend=row == 1,
                **style,
            )
            if sold and shown.any():
                figure.add_scatter(
                    x=[round(maker.sale_time, 3)],
                    y=[values[shown][-1]],
                    mode="markers",
                    showlegend=False,
                    **style,
                )


def _makers_title(run: "Run") -> str:
    measures = run.measures()
    before = times(float(measures.get("makers.leverage_before", np.nan)))
    if "makers.leverage_at_sale" not in measures:
        return f"No market maker was sold; their leverage was {before} before"
    after = times(float(measures["makers.leverage_at_sale"]))
    return (
        f"Makers' leverage went from {before} to {after} before their first forced sale"
    )


def _thresholds(figure: Any, run: "Run") -> None:
    from ..reading.venue_files import build_rules

    limit = build_rules(run.scenario.config.rules).thresholds.liquidate
    fleets = run.scenario.config.market_makers.values()
    lines = [(limit, "liquidation", FORCED)]
    lines += [
        (level, "bids withdrawn", DEPTH)
        for level in sorted({fleet.withdraw_at for fleet in fleets if fleet.withdraw})
    ]
    for level, text, color in lines:
        figure.add_hline(
            y=level,
            line={"color": color, "width": 1, "dash": "dash"},
            annotation={"text": f"{text} {level:g}", "font": {"size": 11}},
            row=2,
            col=1,
        )


# -- ALL MARKETS


def depth_figure(run: "Run") -> "Figure":
    """Bid depth of every book as a share of what it was before the shock."""
    import plotly.graph_objects as go

    time = run.series.time * NANO
    figure = go.Figure()
    table = facts.markets(run)
    thick = [m for m in table if m.depth_before > 0]
    if len(thick) > MANY:
        figure = depth_fan(run, [run.market(m.market) for m in thick])
        return _framed_depth(figure, run, thick, 1.0)
    for market in sorted(thick, key=lambda m: m.depth_lost):
        number = run.market(market.market)
        lost = market.depth_lost >= BARE
        depth = run.series.bid_depth[:, number]
        shown = facts.quoted(depth, market.depth_before)
        color = PRICE if lost else INK
        figure.add_scatter(
            x=time[shown],
            y=depth[shown] / market.depth_before,
            name=market.market,
            line={"color": color, "width": 1.2, "shape": "hv"},
            opacity=0.75,
            showlegend=False,
            hovertemplate="%{y:.0%}",
        )
    whole = run.series.bid_depth.sum(axis=1) / max(1.0, run.depth_before.sum())
    if len(thick) > 1:
        shown = facts.quoted(whole, 1.0)
        style = {"color": FORCED, "width": 2.6, "shape": "hv"}
        figure.add_scatter(
            x=time[shown], y=whole[shown], name="all books together", line=style
        )
    highest = float(np.quantile(whole, 0.99)) if len(whole) else 1.0
    return _framed_depth(figure, run, thick, highest)


def _framed_depth(
    figure: "Figure", run: "Run", thick: list[facts.MarketFacts], highest: float
) -> "Figure":
    finish(figure, run, _depth_title(thick), 380, "share left")
    figure.update_yaxes(tickformat=".0%", range=[0.0, max(1.25, 1.1 * highest)])
    figure.update_layout(hovermode="closest", showlegend=len(thick) > 1)
    return figure


def _depth_title(thick: list[facts.MarketFacts]) -> str:
    if len(thick) == 1:
        lost = percent(thick[0].depth_lost)
        return f"{thick[0].market} lost {lost} of its bid depth"
    gone, least = sum(m.depth_lost >= BARE for m in thick), whole_percent(BARE)
    return f"{gone} of {len(thick)} books lost {least} of their bid depth or more"


def forced_figure(run: "Run", shown: int = 7) -> "Figure":
    """Forced volume over time, stacked by market."""
    import plotly.graph_objects as go

    trades, venue = run.prints, facts.venue(run)
    end = run.scenario.config.duration
    width = max(1.0, round(end / 120.0))
    edges = np.arange(0.0, end + width, width)
    largest = [sale.market for sale in facts.sales(run)]
    figure = go.Figure()
    groups = [(name, [name]) for name in largest[:shown]]
    if largest[shown:]:
        groups.append(("other markets", largest[shown:]))
    for i, (name, members) in enumerate(groups):
        numbers = [run.market(member) for member in members]
        rows = trades.forced & np.isin(trades.market, numbers)
        usd, _ = np.histogram(trades.time[rows], edges, weights=trades.usd[rows])
        busy = np.flatnonzero(usd)
        figure.add_bar(
            x=edges[busy] + 0.5 * width,
            y=usd[busy],
            width=width,
            name=name,
            marker={"color": SERIES[i % len(SERIES)], "line": {"width": 0}},
            hovertemplate="%{y:,.0f} USD",
        )
    title = f"{short_usd(venue.forced)} USD were traded by force"
    if venue.exogenous:
        title += (
            f", {times(venue.amplification)} the {short_usd(venue.exogenous)} USD "
            "that the shocks brought"
        )
    finish(figure, run, title, 380, f"USD in {width:g} s")
    figure.update_layout(barmode="stack", bargap=0, legend_traceorder="normal")
    figure.update_yaxes(tickformat="~s")
    return figure
