"""Figures of causes: one chain, and the whole forced volume by where it began."""

from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING

from .plots import FORCED, INDEX, INK, KINDS, SHOCK, style
from .text import percent
from .why import Fold, Why, forward

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from .run import Run


def sankey_figure(run: "Run", shown: int = 8) -> "Figure":
    """Forced volume from its root, by the repricing and the accounts, to markets."""
    import plotly.graph_objects as go

    rows = run.causes().to_pylist()
    columns = ("root", "repriced", "group", "market")
    colors = (SHOCK, INDEX, "#d2603a", FORCED)
    kept: list[dict[str, str]] = []
    for column in columns:
        total: dict[str, float] = {}
        for row in rows:
            total[row[column]] = total.get(row[column], 0.0) + row["usd"]
        ranked = sorted(total, key=lambda name: -total[name])
        names = {name: name for name in ranked[:shown]}
        kept.append(names | dict.fromkeys(ranked[shown:], "others"))
    nodes: dict[tuple[int, str], int] = {}
    links: dict[tuple[int, int], float] = {}
    for row in rows:
        way = [
            nodes.setdefault((i, kept[i][row[column]]), len(nodes))
            for i, column in enumerate(columns)
        ]
        for pair in pairwise(way):
            links[pair] = links.get(pair, 0.0) + row["usd"]
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [name for _, name in nodes],
                "color": [colors[i] for i, _ in nodes],
                "pad": 14,
                "thickness": 12,
                "line": {"width": 0},
            },
            link={
                "source": [source for source, _ in links],
                "target": [target for _, target in links],
                "value": [round(usd) for usd in links.values()],
                "color": "rgba(127,136,148,0.28)",
            },
            valuesuffix=" USD",
            valueformat=",.0f",
        )
    )
    later = sum(row["usd"] for row in rows if row["generation"] > 1)
    whole = sum(row["usd"] for row in rows)
    title = "Where the forced volume came from"
    if later >= 0.01 * whole > 0.0:
        title += f": {percent(later / whole)} of it from earlier forced sales"
    style(figure, title, 460)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 64, "b": 12})
    return figure


def chain_figure(why: Why) -> "Figure":
    """The chain of causes, root at the top, an arrow from each cause to its effect."""
    import plotly.graph_objects as go

    links = forward(why.links())
    figure = go.Figure()
    place = 0.0
    for i, link in enumerate(links):
        words = link.text if isinstance(link, Fold) else f"{link.text} {link.note}"
        lines = wrap(words.strip(), 78)
        head = "⋮" if isinstance(link, Fold) else f"{link.kind} · {link.when}"
        color = INK if isinstance(link, Fold) else KINDS.get(link.kind, INK)
        figure.add_scatter(
            x=[0.0],
            y=[place],
            mode="markers",
            marker={"color": color, "size": 15},
            hoverinfo="skip",
        )
        figure.add_annotation(
            x=0.0,
            y=place,
            text=f"<b>{head}</b><br>{'<br>'.join(lines)}",
            align="left",
            xanchor="left",
            xshift=16,
            showarrow=False,
        )
        step = 2.2 + len(lines)
        if i + 1 < len(links):
            figure.add_annotation(
                x=0.0,
                y=place - step + 0.35,
                ax=0.0,
                ay=place - 0.45,
                xref="x",
                yref="y",
                axref="x",
                ayref="y",
                text="",
                arrowhead=2,
                arrowwidth=1.5,
                arrowcolor=INK,
            )
        place -= step
    style(figure, why.title, int(110 - 18 * place))
    figure.update_xaxes(visible=False, range=[-0.06, 1.0])
    figure.update_yaxes(visible=False, range=[place + 1.0, 1.6])
    figure.update_layout(showlegend=False)
    return figure
