"""Pictures and the report page of an attribution."""

from typing import TYPE_CHECKING, Any

from ..pages.page import Folded, Report, Section
from ..pages.plots import FORCED, INK, PRICE, along, framed
from ..text import Grid, join, number, percent
from .attribution import Attribution
from .outcomes import unit_of
from .spread import Estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ROW = 34
"""Height of the row of one mechanism, pixels."""

BLANK = "#d9dce0"
"""Where nothing interacts, on white and on black."""


def shares_figure(found: Attribution) -> "Figure":
    """Bars of the shares with intervals; marks for knocked out and alone."""
    import plotly.graph_objects as go

    ranked = found.ranked()[::-1]
    names = [row.mechanism for row in ranked]
    parts = [row.share for row in ranked]
    figure = go.Figure()
    figure.add_bar(
        x=[part.mean for part in parts],
        y=names,
        orientation="h",
        name="share",
        marker={"color": PRICE, "line": {"width": 0}},
        error_x=_errors(parts),
        text=[found.interval(part) for part in parts],
        textposition="none",
        hovertemplate="%{x:.4~g} (%{text})",
    )
    marks = (
        ("knocked out", "knocked_out", "x", FORCED),
        ("alone", "alone", "circle-open", INK),
    )
    for name, field, symbol, color in marks:
        figure.add_scatter(
            x=[getattr(row, field).mean for row in ranked],
            y=names,
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 9, "color": color},
            hovertemplate="%{x:.4~g}",
        )
    framed(figure, _title(found), 130 + ROW * len(names), "")
    figure.update_layout(hovermode="y unified", bargap=0.45)
    form = ".0%" if unit_of(found.outcome) == "share" else None
    along(figure, found.outcome, zeroline=True, zerolinecolor=INK, tickformat=form)
    return figure


def _errors(parts: list[Estimate]) -> dict[str, Any]:
    above = [part.high - part.mean for part in parts]
    known = [0.0 if value != value else value for value in above]
    return {"type": "data", "array": known, "color": INK, "thickness": 1.4, "width": 4}


def _title(found: Attribution) -> str:
    largest = found.ranked()[0]
    added = f"{largest.mechanism} adds {found.words(largest.share.mean, sign=True)}"
    whole = f"the {found.words(found.effect.mean, sign=True)} of {found.outcome}"
    return f"{added} of {whole} that all mechanisms add together"


def interactions_figure(found: Attribution) -> "Figure":
    """A square for each pair: red above 0, blue below."""
    import plotly.graph_objects as go

    names = [row.mechanism for row in found.ranked()]
    cells: list[list[float | None]] = [[None] * len(names) for _ in names]
    words = [["" for _ in names] for _ in names]
    for (one, other), added in found.interactions.items():
        i, j = names.index(one), names.index(other)
        cells[i][j] = cells[j][i] = added.mean
        words[i][j] = words[j][i] = found.words(added.mean, sign=True)
    figure = go.Figure()
    most = max((abs(v) for row in cells for v in row if v is not None), default=1.0)
    figure.add_heatmap(
        x=names,
        y=names,
        z=cells,
        zmin=-(most or 1.0),
        zmax=most or 1.0,
        colorscale=[[0.0, PRICE], [0.5, BLANK], [1.0, FORCED]],
        text=words,
        texttemplate="%{text}",
        hovertemplate="%{y} and %{x}: %{text}<extra></extra>",
        showscale=False,
        xgap=2,
        ygap=2,
    )
    title = "No two mechanisms need each other"
    if found.interactions:
        ranked = sorted(found.interactions.items(), key=lambda each: -abs(each[1].mean))
        two, both = ranked[0]
        alike = both.mean * found.effect.mean > 0
        how = "need each other most" if alike else "stand in for each other"
        title = f"{join(list(two))} {how}, {found.words(both.mean, sign=True)}"
    framed(figure, title, 240 + ROW * len(names), "")
    # Names of mechanisms are long: on the slant they need this much.
    figure.update_layout(margin_b=150)
    figure.update_xaxes(tickangle=-35)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(hovermode="closest", meta={"least_width": 620})
    return figure


def attribution_report(found: Attribution) -> Report:
    """The attribution as a page."""
    tiles = [
        (
            "All on",
            found.words(found.full.mean),
            found.interval(found.full, sign=False),
        ),
        (
            "All off",
            found.words(found.none.mean),
            found.interval(found.none, sign=False),
        ),
        (
            "Effect",
            found.words(found.effect.mean, sign=True),
            found.interval(found.effect),
        ),
    ]
    for row in found.ranked()[:3]:
        part = percent(row.share.mean / found.effect.mean) if found.effect.mean else ""
        tiles.append((row.mechanism, found.words(row.share.mean, sign=True), part))
    rows = tuple(
        (name, changes)
        for name, changes in found.scenario.switches.items()
        if name in found.mechanisms
    )
    sections = [
        Section("Shares", SHARES, found.figure(), found.grid()),
        Section("Pairs", PAIRS, found.pairs_figure(), found.pairs()),
    ]
    if rows:
        table = Grid("", ("mechanism", "switched off by"), rows, prose=True)
        sections.append(Section("Switches", table))
    sections.append(
        Section("Every coalition", Folded("Outcomes", [_coalitions(found)]))
    )
    replays = len(found.values) * len(found.seeds)
    return Report(
        label=found.title,
        finding=found.finding.rstrip("."),
        about=f"{number(replays)} replays, the same random numbers in each coalition.",
        tiles=tiles,
        sections=sections,
    )


SHARES = (
    "A share is what a mechanism adds to those that are on already, mean over all "
    "orders in which they could be switched on (its Shapley value). The shares sum to "
    "the whole effect. Whiskers are 95 % intervals over the seeds."
)
PAIRS = (
    "What two mechanisms add together beyond what each adds by itself, mean over what "
    "else is on (the Shapley interaction)."
)


def _coalitions(found: Attribution) -> Grid:
    rows = tuple(
        (", ".join(on) or "none", *(found.words(v) for v in values))
        for on, values in found.values.items()
    )
    return Grid("", ("on", *(f"seed {seed}" for seed in found.seeds)), rows)
