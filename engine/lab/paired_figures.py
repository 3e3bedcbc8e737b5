"""Pictures and the report page of scenarios compared over seeds."""

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from ..pages.page import Choice, Report, Section
from ..pages.plots import INK, SERIES, framed
from ..summary import as_text
from ..text import number
from .outcomes import in_words
from .paired import PairedComparison, PairedRow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from .compare import Comparison
    from .compare import Row as MeasuredRow

ROW = 24
"""Height of the row of one measure, pixels."""

WIDEST = 2.0
"""What is shown of differences, shares: more than means of one sign can differ by."""

MOST = 30
"""Measures in the picture, those that differ most."""


def differences_figure(found: PairedComparison, case: int = 1) -> "Figure":
    """The difference of each measure as a share of the larger mean, dots for seeds."""
    import plotly.graph_objects as go

    shown = [row for row in found.shown(case) if _scale(row, case) > 0]
    shown.sort(key=lambda row: abs(row.difference(case).mean) / _scale(row, case))
    shown = shown[-MOST:]
    figure = go.Figure()
    names = [row.measure for row in shown]
    color = SERIES[(case - 1) % len(SERIES)]
    dots: list[tuple[float, str, int, str]] = []
    for row in shown:
        scale = _scale(row, case)
        pairs = zip(row.differences(case), found.seeds, strict=True)
        dots += [
            (value / scale, row.measure, seed, in_words(row.measure, value, sign=True))
            for value, seed in pairs
            if isfinite(value)
        ]
    figure.add_scatter(
        x=[dot[0] for dot in dots],
        y=[dot[1] for dot in dots],
        text=[f"seed {seed}: {value}" for _, _, seed, value in dots],
        mode="markers",
        name="each seed",
        marker={"color": INK, "size": 6, "opacity": 0.6},
        hovertemplate="%{y}, %{text}<extra></extra>",
    )
    means = [row.difference(case) for row in shown]
    scales = [_scale(row, case) for row in shown]
    half = [(m.high - m.mean) / s for m, s in zip(means, scales, strict=True)]
    figure.add_scatter(
        x=[mean.mean / s for mean, s in zip(means, scales, strict=True)],
        y=names,
        mode="markers",
        name="mean, 95 % interval",
        marker={"color": color, "size": 9},
        error_x={
            "type": "data",
            "array": [0.0 if value != value else value for value in half],
            "color": color,
            "thickness": 1.6,
            "width": 4,
        },
        text=[
            in_words(row.measure, mean.mean, sign=True)
            for row, mean in zip(shown, means, strict=True)
        ],
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    title = f"{found.labels[case]} less {found.labels[0]}, share of the larger mean"
    framed(figure, title, 140 + ROW * len(names), "")
    figure.update_xaxes(tickformat="+.0%", zeroline=True, zerolinecolor=INK)
    if any(abs(dot[0]) > WIDEST for dot in dots):
        # A few that are all over the place would leave the others no room.
        figure.update_xaxes(range=[-1.02 * WIDEST, 1.02 * WIDEST])
    figure.update_yaxes(dtick=1)
    return figure.update_layout(hovermode="closest", meta={"least_width": 620})


def _scale(row: PairedRow, case: int) -> float:
    # A share of the larger of two means is within ±1 if both have one sign.
    means = [abs(row.each(k).mean) for k in (0, case)]
    known = [mean for mean in means if isfinite(mean)]
    return max(known) if len(known) == 2 else nan


def changes_figure(found: "Comparison") -> "Figure":
    """Bars of each measure's difference as a share of the larger value, by run."""
    import plotly.graph_objects as go

    rows = [row for row in found.rows if any(map(isfinite, row.differences[1:]))]
    rows = [row for row in rows if any(row.differences[1:])]
    rows.sort(key=lambda row: max(abs(_part(row, k)) for k in range(len(row.values))))
    rows = rows[-MOST:]
    figure = go.Figure()
    for k in range(1, len(found.labels)):
        figure.add_bar(
            x=[_part(row, k) for row in rows],
            y=[row.measure for row in rows],
            orientation="h",
            name=found.labels[k],
            marker={"color": SERIES[(k - 1) % len(SERIES)], "line": {"width": 0}},
            text=[
                f"{as_text(row.values[0], row.unit)} → "
                f"{as_text(row.values[k], row.unit)}"
                for row in rows
            ],
            textposition="none",
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    title = f"Difference to {found.labels[0]}, share of the larger figure"
    framed(figure, title, 150 + ROW * len(rows) * max(1, len(found.labels) - 1), "")
    figure.update_xaxes(tickformat="+.0%", zeroline=True, zerolinecolor=INK)
    figure.update_yaxes(dtick=1)
    return figure.update_layout(hovermode="closest", meta={"least_width": 620})


def _part(row: "MeasuredRow", k: int) -> float:
    # Within ±1 if both figures have one sign.
    whole = max(abs(row.values[0]), abs(row.values[k]))
    part = row.differences[k] / whole if whole else 0.0
    return part if isfinite(part) else 0.0


def seeds_figure(found: PairedComparison, row: PairedRow) -> "Figure":
    """One measure under each scenario: a line for each seed, and the mean."""
    import plotly.graph_objects as go

    figure = go.Figure()
    cases = range(len(found.labels))
    for k, seed in enumerate(found.seeds):
        figure.add_scatter(
            x=list(found.labels),
            y=[row.values[case][k] for case in cases],
            mode="lines+markers",
            name=f"seed {seed}",
            showlegend=False,
            line={"color": INK, "width": 1},
            marker={"size": 5},
            opacity=0.6,
        )
    means = [row.each(case) for case in cases]
    figure.add_scatter(
        x=list(found.labels),
        y=[mean.mean for mean in means],
        mode="markers",
        name="mean, 95 % interval",
        marker={"color": SERIES[0], "size": 11},
        error_y=_whiskers([mean.high - mean.mean for mean in means]),
    )
    told = in_words(row.measure, row.difference(1).mean, sign=True)
    framed(figure, f"{row.measure}: {told} on average", 400, "")
    figure.update_xaxes(range=[-0.5, len(means) - 0.5])
    return figure.update_layout(hovermode="closest")


def _whiskers(half: list[float]) -> dict[str, Any]:
    known = [0.0 if value != value else value for value in half]
    return {"type": "data", "array": known, "color": SERIES[0], "width": 5}


def paired_report(found: PairedComparison) -> Report:
    """The comparison as a page."""
    others = range(1, len(found.labels))
    sections = []
    tiles = []
    for case in others:
        first, label = found.labels[0], found.labels[case]
        figure = differences_figure(found, case)
        sections.append(Section(f"{label} less {first}", figure, found.grid(case)))
        sections.append(Section("Common random numbers", CRN, found.reduction(case)))
    largest = [row for row in found.shown() if _scale(row, 1) > 0]
    largest.sort(key=lambda row: -abs(row.difference(1).mean) / _scale(row, 1))
    for row in largest[:4]:
        beside = f"{in_words(row.measure, row.each(0).mean)} before"
        tiles.append((row.measure, in_words(row.measure, row.each(1).mean), beside))
    choice = {row.measure: seeds_figure(found, row) for row in largest[:12]}
    if choice:
        sections.insert(0, Section("Seed by seed", Choice("Measure", choice)))
    replays = number(len(found.labels) * len(found.seeds))
    sure = [row for row in largest if row.difference(1).sure]
    counted = f"{len(sure)} of {len(largest)} measures differ beyond chance"
    if sure:
        name, mean = sure[0].measure, sure[0].difference().mean
        counted = f"{name} {in_words(name, mean, sign=True)}; {counted}"
    return Report(
        label=found.title,
        finding=f"{found.labels[1]}: {counted}",
        about=f"{replays} replays; 95 % intervals.",
        tiles=tiles,
        sections=sections,
    )


CRN = (
    "Each seed is run under every scenario with the same random numbers, and the "
    "differences are taken seed by seed. Their variance stands beside what it would be "
    "with other seeds in each."
)
