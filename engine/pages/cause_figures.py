"""Figures of causes: one chain, and the whole forced volume by where it began."""

from collections.abc import Sequence
from itertools import pairwise
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

from .. import facts
from ..text import join, percent, short_usd, whole_percent
from ..why import Fold, Step, Why, forward
from .plots import DEPTH, FORCED, INDEX, INK, KINDS, PRICE, SHOCK, faint, style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..run import Run

LEVELS = ("root", "repriced", "group", "market", "wick")
"""What a forced trade goes through: a column of the picture each."""

LEVEL_COLORS = (SHOCK, INDEX, KINDS["breach"], PRICE, FORCED)

WICKS = (0.9, 0.5, 0.05)
"""Falls that part deep wicks from shallow ones, share of the price before."""

NAME = 30
"""Letters of a name between two columns; all of it is told on hovering."""

LEAST_WIDTH = 780
"""Pixels that the names of five columns need; a narrower page scrolls."""


# -- THE WHOLE RUN


def flow_figure(run: "Run", shown: int = 8) -> "Figure":
    """Forced volume: shock, repriced asset, class of accounts, market, wick.

    The widths are US dollars; what was lost against the price outside is told as well.
    """
    import plotly.graph_objects as go

    wicks = {m.market: _wick(m.drop) for m in facts.markets(run)}
    rows = [{**row, "wick": wicks[row["market"]]} for row in run.causes().to_pylist()]
    kept = [_largest(rows, level, shown) for level in LEVELS]
    nodes: dict[tuple[int, str], int] = {}
    sums: dict[int, list[float]] = {}
    links: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        way = [
            nodes.setdefault((i, kept[i][row[level]]), len(nodes))
            for i, level in enumerate(LEVELS)
        ]
        amounts = row["usd"], row["lost"]
        for node in way:
            sums[node] = _plus(sums.get(node), amounts)
        for pair in pairwise(way):
            links[pair] = _plus(links.get(pair), amounts)
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [shorten(name, NAME, placeholder=" …") for _, name in nodes],
                "color": [LEVEL_COLORS[i] for i, _ in nodes],
                "customdata": [
                    f"{name}<br>{_told(*sums[node])}"
                    for (_, name), node in nodes.items()
                ],
                "hovertemplate": "%{customdata}<extra></extra>",
                "pad": 20,
                "thickness": 12,
                "line": {"width": 0},
            },
            link={
                "source": [source for source, _ in links],
                "target": [target for _, target in links],
                "value": [max(1.0, round(usd)) for usd, _ in links.values()],
                "color": [
                    faint(LEVEL_COLORS[level], 0.4)
                    for source, _ in links
                    for level in (list(nodes)[source][0],)
                ],
                "customdata": [_told(*amounts) for amounts in links.values()],
                "hovertemplate": "%{source.label} → %{target.label}<br>%{customdata}"
                "<extra></extra>",
            },
        )
    )
    style(figure, _flow_title(rows), 500)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 64, "b": 12})
    # On a telephone the names of the columns would hide each other.
    return figure.update_layout(meta={"least_width": LEAST_WIDTH})


def _largest(rows: Sequence[dict[str, Any]], level: str, shown: int) -> dict[str, str]:
    # The names of a column; the smallest of too many go by one.
    total: dict[str, float] = {}
    for row in rows:
        total[row[level]] = total.get(row[level], 0.0) + row["usd"]
    ranked = sorted(total, key=lambda name: -total[name])
    if len(ranked) <= shown + 1:
        return {name: name for name in ranked}
    rest = f"{len(ranked) - shown} others"
    return {name: name for name in ranked[:shown]} | dict.fromkeys(ranked[shown:], rest)


def _plus(so_far: list[float] | None, amounts: Sequence[float]) -> list[float]:
    return [a + b for a, b in zip(so_far or (0.0, 0.0), amounts, strict=True)]


def _wick(drop: float) -> str:
    # What a market's fall is called in the last column.
    if drop >= WICKS[0]:
        return f"fell {whole_percent(WICKS[0])} or more"
    for upper, least in pairwise(WICKS):
        if drop >= least:
            return f"fell {100 * least:.0f} to {100 * upper:.0f} %"
    return f"fell less than {whole_percent(WICKS[-1])}"


def _told(usd: float, lost: float) -> str:
    told = f"{short_usd(usd)} USD forced"
    return f"{told}, {short_usd(lost)} lost" if lost >= 0.5 else told


def _flow_title(rows: Sequence[dict[str, Any]]) -> str:
    whole, later, lost = (
        sum(row[key] for row in rows if row["generation"] > least)
        for key, least in (("usd", -1), ("usd", 1), ("lost", -1))
    )
    if not rows:
        return "Nothing was traded by force in this run"
    title = f"Where {short_usd(whole)} USD of forced volume came from"
    told = [f"{short_usd(lost)} USD lost"] if lost >= 0.5 else []
    if later >= 0.01 * whole > 0.0:
        told.append(f"{percent(later / whole)} set off by earlier forced sales")
    return f"{title}: {join(told)}" if told else title


# -- ONE CHAIN

TRUNK = 0.22
"""Width of the trunk where it is widest, of the width that the words have."""

THREAD = 0.02
"""Least width of the trunk, of the widest: where hardly anything goes on."""

WORDS = 62
"""Letters in a line."""


def chain_figure(why: Why) -> "Figure":
    """The chain of causes, root at the top, as wide as what goes back to each.

    A trunk of forced trades leads from each cause to its effect; what leaves it on the
    left did not go on to the next.
    """
    import plotly.graph_objects as go

    links = forward(why.links())
    figure = go.Figure()
    widest = max(flow.usd for flow in why.flows) or 1.0
    told = [_words(why, link) for link in links]
    places = [0.0]
    for words in told[:-1]:
        places.append(places[-1] - 1.6 - words.count("<br>"))
    # A fold is passed by what the step before it let through.
    steps = [link for link in links if isinstance(link, Step)]
    flows = [why.flow(step).usd for step in steps]
    at = [place for place, link in zip(places, links, strict=True) if link in steps]
    for (top, end), (usd, next_usd) in zip(pairwise(at), pairwise(flows), strict=True):
        _trunk(figure, (top, end), next_usd / widest)
        if usd - next_usd > 0.005 * widest:
            _branch(figure, (top, end), (usd, next_usd), widest)
    for link, place, words in zip(links, places, told, strict=True):
        color, size = INK, 8
        if isinstance(link, Step):
            color, size = KINDS.get(link.kind, INK), 13
        figure.add_scatter(
            x=[0.0],
            y=[place],
            mode="markers",
            marker={"color": color, "size": size},
            hoverinfo="skip",
        )
        figure.add_annotation(
            x=0.0,
            y=place + 0.45,
            text=words,
            align="left",
            xanchor="left",
            yanchor="top",
            xshift=14,
            showarrow=False,
        )
    least = places[-1] - told[-1].count("<br>") - 0.6
    style(figure, why.title, int(110 - 20 * least))
    figure.update_xaxes(visible=False, range=[-0.62, 1.0])
    figure.update_yaxes(visible=False, range=[least, 1.0])
    figure.update_layout(showlegend=False, hovermode="closest")
    figure.update_layout(margin={"l": 4, "r": 4, "t": 64, "b": 8})
    return figure.update_layout(meta={"least_width": LEAST_WIDTH})


def _words(why: Why, link: Step | Fold) -> str:
    # A heading, what happened, and what goes back to it, in lines.
    if isinstance(link, Fold):
        return f"<i>{link.text}</i>"
    flow = why.flow_text(link)
    head = f"<b>{link.kind} · {link.when}</b>"
    lines = [*wrap(link.text, WORDS), *wrap(link.note, WORDS)]
    return "<br>".join([head, *lines, *([f"<i>→ {flow}</i>"] if flow else [])])


def _trunk(figure: Any, rows: tuple[float, float], share: float) -> None:
    # From one cause to its effect, as wide as what goes on to it.
    (top, end), width = rows, TRUNK * max(THREAD, share)
    figure.add_scatter(
        x=[0.0, 0.0, -width, -width, 0.0],
        y=[top, end, end, top, top],
        mode="lines",
        fill="toself",
        fillcolor=faint(FORCED, 0.4),
        line={"width": 0},
        hoverinfo="skip",
    )


def _branch(
    figure: Any,
    rows: tuple[float, float],
    flows: tuple[float, float],
    widest: float,
) -> None:
    # What did not go on leaves on the left, half way down.
    (top, end), (whole, rest) = rows, flows
    inner, outer = -rest / widest * TRUNK, -whole / widest * TRUNK
    middle = 0.5 * (top + end)
    height = min(0.9 * (middle - end), 8.0 * (inner - outer))
    figure.add_scatter(
        x=[inner, inner, -0.34, -0.34, outer, outer, inner],
        y=[top, middle - height, middle - height, middle, middle, top, top],
        mode="lines",
        fill="toself",
        fillcolor=faint(DEPTH, 0.35),
        line={"width": 0},
        hoverinfo="skip",
    )
    figure.add_annotation(
        x=-0.35,
        y=middle - 0.5 * height,
        text=f"{short_usd(whole - rest)} USD<br>elsewhere",
        align="right",
        xanchor="right",
        showarrow=False,
        font={"size": 11},
    )
