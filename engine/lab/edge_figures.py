"""The picture and the report page of a frontier."""

from typing import TYPE_CHECKING

from ..pages.page import Report, Section
from ..pages.plots import DEPTH, FORCED, INK, PRICE, along, framed
from ..text import number
from .edge import Frontier, exactly
from .replays import label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BRACKET = "rgba(208,65,63,0.16)"


def frontier_figure(found: Frontier) -> "Figure":
    """A dot for each seed at each value, their median, the bound and the bracket."""
    import plotly.graph_objects as go

    tried = found.evaluations
    figure = go.Figure()
    for name, holds, color in (("holds", True, DEPTH), ("does not", False, FORCED)):
        dots = [
            (each.value, outcome, seed)
            for each in tried
            for outcome, seed in zip(each.outcomes, found.seeds, strict=True)
            if found.bound.held(outcome) == holds
        ]
        figure.add_scatter(
            x=[value for value, _, _ in dots],
            y=[outcome for _, outcome, _ in dots],
            text=[f"seed {seed}" for _, _, seed in dots],
            mode="markers",
            name=name,
            marker={"color": color, "size": 7, "opacity": 0.7},
            hovertemplate="%{x:,.10~g}: %{y:.4~g} (%{text})<extra></extra>",
        )
    figure.add_scatter(
        x=[each.value for each in tried],
        y=[each.median for each in tried],
        mode="lines",
        name="median",
        line={"color": PRICE, "width": 1.4},
        hovertemplate="%{x:,.10~g}: %{y:.4~g}",
    )
    good, bad = found.good.value, found.bad.value
    title = f"{found.bound} holds {found.bound.seeds} at {exactly(good)}, not at "
    framed(figure, title + exactly(bad), 420, label(found.bound.wanted))
    figure.add_vrect(
        x0=min(good, bad), x1=max(good, bad), fillcolor=BRACKET, line_width=0
    )
    dash = {"color": INK, "width": 1, "dash": "dash"}
    figure.add_hline(y=found.bound.limit, line=dash)
    for side in (good, bad):
        figure.add_vline(x=side, line={"color": FORCED, "width": 1})
    along(figure, found.place, type="log" if found.log else "linear")
    figure.update_layout(hovermode="closest")
    return figure


def frontier_report(found: Frontier) -> Report:
    """The search as a page."""
    replays = number(len(found.evaluations) * len(found.seeds))
    return Report(
        label=found.title,
        finding=found.finding.rstrip("."),
        about=f"{replays} replays, the same random numbers at each value.",
        tiles=[
            ("Last good", exactly(found.good.value), found.good.text),
            ("First bad", exactly(found.bad.value), found.bad.text),
            ("Values tried", number(len(found.evaluations)), f"{replays} replays"),
        ],
        sections=[Section("", found.figure(), found.grid())],
    )
