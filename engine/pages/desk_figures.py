"""The pictures of the risk desk."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from ..text import short_usd
from .plots import SERIES, along, style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ..desk import LiquidationMap


def map_figure(maps: "Sequence[LiquidationMap]") -> "Figure":
    """What would be liquidated, US dollars, against the move of the prices."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for shown, color in zip(maps, cycle(SERIES), strict=False):
        figure.add_scatter(
            x=shown.moves * 100.0,
            y=shown.total,
            name=shown.what,
            mode="lines",
            line={"color": color, "width": 1.8, "shape": "linear"},
            customdata=shown.accounts,
            hovertemplate="%{y:.4s} USD of %{customdata:,} accounts",
        )
    style(figure, _title(maps), 420)
    axis = {"gridcolor": "rgba(127,136,148,0.22)", "zeroline": False}
    along(figure, "move of the prices", ticksuffix=" %", **axis)
    figure.update_yaxes(
        title_text="USD to liquidate", tickformat="~s", rangemode="tozero", **axis
    )
    figure.update_yaxes(automargin=True)
    return figure


def _title(maps: "Sequence[LiquidationMap]") -> str:
    ends = [
        (float(m.total[i]), float(m.moves[i]), m.what) for m in maps for i in (0, -1)
    ]
    usd, move, what = max(ends, key=lambda end: end[0], default=(0.0, 0.0, ""))
    if usd == 0.0:
        return "No account would be liquidated"
    return f"USD {short_usd(usd)} to liquidate with {what} at {move:+.0%}"
