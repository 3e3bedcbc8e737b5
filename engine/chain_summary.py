"""What became of the protocols of a run: a sentence, a table, a figure."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .facts import when
from .pages.plots import SERIES, finish, thin
from .prints import in_seconds
from .text import NOTHING, Grid, percent, price, quantity, short_usd

Floats = NDArray[np.float64]

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from .run import Run

MOVED = 1e-6
"""A figure is told if it moved by this share of its largest value."""

HELD = ("pools", "wallets")
"""Tables of whose assets only the table of samples tells."""


def _told(run: "Run") -> list[str]:
    # Figures that moved, but for what each pool and wallet has of each asset.
    found = []
    for name, values in run.series.chain.figures.items():
        known = values[~np.isnan(values)]
        table, _, rest = name.partition(".")
        balance = table in HELD and rest.rpartition(".")[2] in run.names.assets
        if len(known) and not balance and np.ptp(known) > MOVED * np.abs(known).max():
            found.append(name)
    return found


def chain_prices(run: "Run") -> list[str]:
    """Figures that are prices, those that moved most either way first.

    Of two that moved as far, to three digits, the price of an asset comes before that
    of a pool; feeds of something else, such as news, come last.
    """

    def place(name: str) -> tuple[bool, float, bool]:
        values = run.series.chain.figures[name]
        moved = float(f"{_moves(values)[_furthest(values)]:.3g}")
        kind, _, rest = name.removesuffix(".price").partition(".")
        fed = kind == "feeds"
        return fed and rest not in run.names.assets, -moved, not fed

    prices = (name for name in _told(run) if name.endswith(".price"))
    # Without a price at the start there is nothing to measure a move by.
    known = (name for name in prices if run.series.chain.figures[name][0] > 0)
    return sorted(known, key=place)


def _moves(values: Floats) -> Floats:
    # How many times the start each is, or the start is it; what is not known is once.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(values / values[0])
        moves = np.maximum(ratio, 1.0 / ratio)
    return np.asarray(np.where(np.isnan(moves), 1.0, moves))


def _furthest(values: Floats) -> int:
    return int(np.argmax(_moves(values)))


def chain_finding(run: "Run") -> str:
    """The protocols in one sentence: the price that moved most, and how far."""
    names = chain_prices(run)
    if not names:
        return "No price of a pool or feed moved."
    values = run.series.chain.figures[names[0]]
    far = _furthest(values)
    at = when(run, float(in_seconds(run.series.chain.time)[far]))
    start, extreme, end = (price(float(values[row])) for row in (0, far, -1))
    subject = names[0].removesuffix(".price").removeprefix("feeds.")
    did = "rose" if values[far] > values[0] else "fell"
    ended = "there" if end == extreme else f"at {end}"
    return f"{subject} {did} from {start} to {extreme} at {at}, and ended {ended}."


def chain_grid(run: "Run") -> Grid:
    """Every figure that moved: at the start, lowest, highest, at the end."""
    rows = []
    for name in _told(run):
        values = run.series.chain.figures[name]
        known = values[~np.isnan(values)]
        row = known[0], known.min(), known.max(), known[-1]
        shown = _share if name.rpartition(".")[2] in SHARES else quantity
        rows.append((name, *(shown(float(value)) for value in row)))
    header = ("figure", "at the start", "lowest", "highest", "at the end")
    note = "in units of its asset, prices in the other one; links in US dollars"
    return Grid("Protocols", header, tuple(rows), note if rows else "")


SHARES = ("utilisation", "rate")
"""Figures that are shares, of one or of a year."""


def _share(value: float) -> str:
    return percent(value) if np.isfinite(value) else NOTHING


def chain_figure(run: "Run") -> "Figure":
    """Prices of pools and feeds, and what lending markets have lent of their cash."""
    import plotly.graph_objects as go

    figure = go.Figure()
    time = in_seconds(run.series.chain.time)
    names = chain_prices(run)[: len(SERIES)]
    for name, color in zip(names, SERIES, strict=False):
        values = run.series.chain.figures[name]
        rows = thin(time, values)
        figure.add_scatter(
            x=time[rows],
            y=values[rows] / values[0],
            name=name.removesuffix(".price"),
            line={"color": color, "width": 1.6, "shape": "hv"},
        )
    return finish(figure, run, chain_finding(run), 380, "of the start")


def chain_tiles(run: "Run") -> list[tuple[str, str, str]]:
    """The largest moves of prices, and what lending lost and liquidated, as tiles."""
    found = []
    for name in chain_prices(run)[:3]:
        values = run.series.chain.figures[name]
        extreme = float(values[_furthest(values)])
        moved = extreme / float(values[0]) - 1.0
        what = name.removesuffix(".price")
        what += " rose" if moved > 0 else " fell"
        found.append((what, percent(abs(moved)), f"to {price(extreme)}"))
    wanted = ("liquidated", "bad_debt", "unwound", "redeemed", "profit")
    for name in _told(run):
        if name.rpartition(".")[2] in wanted:
            value = float(run.series.chain.figures[name][-1])
            found.append((name.replace("_", " "), short_usd(value), "at the end"))
    return found[:8]
