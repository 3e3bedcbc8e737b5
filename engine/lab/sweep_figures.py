"""Pictures of a sweep: how a measure answers to what is changed."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from attrs import evolve

from ..pages.page import Choice, Code, Folded, Report, Section
from ..pages.plots import SERIES, along, framed
from ..pages.tiles import Tile
from ..text import join
from .cases import Case
from .outcomes import unit_of
from .swept import Sweep, figure_told, spread, value_told

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POINTS_MAX = 2_000
"""Replays that are drawn one by one; more would hide the line."""

HEIGHT = 420

FAILURES_SHOWN = 20


def response_figure(sweep: Sweep, measure: str, place: str | None) -> "Figure":
    """Median of a measure over the seeds, the band of 10 % to 90 %, and each replay.

    Against the values of a place, a line for each combination of the others; or by
    case, if there is no place.
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    found = sweep.values(measure)
    dots = sweep.table.num_rows <= POINTS_MAX
    numeric = place is not None and _numeric(sweep.cases, place)
    lines = list(_lines(sweep.cases, place))
    for number, (name, cases) in enumerate(lines):
        colour = SERIES[number % len(SERIES)]
        points = [
            (_x(case, place, numeric=numeric), found[case.name])
            for case in cases
            if spread(found[case.name])[0]
        ]
        if numeric:
            points.sort(key=lambda point: float(point[0]))
        if points:
            joined = numeric and name is not None
            _draw(figure, measure, points, name, colour, dots=dots, joined=joined)
    framed(figure, f"{sweep.scenario.name}: {measure}", HEIGHT, measure)
    along(figure, place or "", automargin=True)
    if not numeric:
        figure.update_xaxes(type="category")
    if unit_of(measure) == "share":
        figure.update_yaxes(tickformat=".0%")
    figure.update_layout(showlegend=len(lines) > 1, hovermode="closest")
    return figure


def _draw(
    figure: Any,
    measure: str,
    points: Sequence[tuple[Any, Sequence[float]]],
    name: str | None,
    colour: str,
    *,
    dots: bool,
    joined: bool,
) -> None:
    name = name or measure
    where = [x for x, _ in points]
    _, median, low, high = zip(*(spread(values) for _, values in points), strict=True)
    band = {"legendgroup": name, "showlegend": False, "hoverinfo": "skip"}
    if joined and len(points) > 1:
        figure.add_scatter(
            x=[*where, *where[::-1]],
            y=[*high, *low[::-1]],
            fill="toself",
            fillcolor=colour,
            opacity=0.15,
            line_width=0,
            mode="lines",
            **band,
        )
    if dots:
        figure.add_scatter(
            x=[x for x, values in points for _ in values],
            y=[value for _, values in points for value in values],
            mode="markers",
            marker={"color": colour, "size": 5, "opacity": 0.35},
            **band,
        )
    figure.add_scatter(
        x=where,
        y=median,
        mode="lines+markers" if joined else "markers",
        marker={"color": colour, "size": 8},
        line={"color": colour, "width": 2},
        error_y=None
        if joined and len(points) > 1
        else {
            "type": "data",
            "symmetric": False,
            "array": [h - m for h, m in zip(high, median, strict=True)],
            "arrayminus": [m - b for m, b in zip(median, low, strict=True)],
            "color": colour,
        },
        customdata=[
            f"{figure_told(measure, m)} ({figure_told(measure, b)} to "
            f"{figure_told(measure, h)})"
            for m, b, h in zip(median, low, high, strict=True)
        ],
        hovertemplate="%{x}: %{customdata}",
        name=name,
        legendgroup=name,
    )


def _lines(
    cases: Sequence[Case], place: str | None
) -> Iterator[tuple[str | None, list[Case]]]:
    """Cases that differ at the place alone, and what they share; None if nothing."""
    if place is None:
        yield None, list(cases)
        return
    lines: dict[str, list[Case]] = {}
    for case in cases:
        rest = [f"{k}={v}" for k, v in case.shown.items() if k != place]
        lines.setdefault(", ".join(rest), []).append(case)
    if len(lines) == len(cases) > 1:
        yield None, list(cases)
        return
    yield from lines.items()


def _numeric(cases: Sequence[Case], place: str) -> bool:
    values = [case.shown.get(place) for case in cases]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _x(case: Case, place: str | None, *, numeric: bool) -> Any:
    if place is None:
        return case.name
    value = case.shown.get(place)
    return value if numeric else value_told(place, value)


# -- THE PAGE


def sweep_report(sweep: Sweep) -> Report:
    """What a page says of a sweep: the table, a picture of each measure, failures."""
    names = sweep.headlines
    responses: list[Any] = []
    for place in sweep.places or (None,):
        figures = {name: response_figure(sweep, name, place) for name in names}
        if len(sweep.places) > 1:
            responses.append(f"Against {place}:")
        responses.append(Choice("Measure", figures))
    sections = [Section("Medians over the seeds", evolve(sweep.grid(), title=""))]
    if names:
        sections.append(Section("Responses", *responses))
    if sweep.failures:
        told = [
            Folded(str(failure), (Code(failure.traceback),))
            for failure in sweep.failures[:FAILURES_SHOWN]
        ]
        sections.append(Section("Replays that failed", *told))
    finding, tiles = _ends(sweep, names)
    return Report(
        label=f"Sweep of {sweep.scenario.name}",
        finding=finding,
        about=sweep.headline,
        tiles=tiles,
        sections=sections,
    )


def _ends(sweep: Sweep, names: Sequence[str]) -> tuple[str, list[Tile]]:
    """The lowest and the highest case of the first measure that differs."""
    places, shown = sweep.titles
    titles = {case: ", ".join(values) for case, values in shown.items()}
    for name in names:
        medians = {case: spread(v)[1] for case, v in sweep.values(name).items()}
        known = {case: m for case, m in medians.items() if isfinite(m)}
        if not known or min(known.values()) == max(known.values()):
            continue
        cases = [ends(known, key=known.__getitem__) for ends in (min, max)]
        words = [figure_told(name, known[case]) for case in cases]
        low, high = (
            f"{word} ({titles[case]})" for word, case in zip(words, cases, strict=True)
        )
        finding = f"{name} goes from {low} to {high}"
        if any(places):
            finding += f" with {join(places)}"
        tiles = [
            (f"{end} {name}", word, titles[case])
            for end, word, case in zip(("lowest", "highest"), words, cases, strict=True)
        ]
        return finding, tiles
    return "What was changed makes no difference to the measures shown", []
