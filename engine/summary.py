"""The summary of a run: headline figures and three tables."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from . import facts
from .chain_summary import chain_grid
from .text import (
    NOTHING,
    Grid,
    brief,
    number,
    percent,
    price,
    ratio,
    seconds,
    times,
    usd,
    whole_percent,
)

if TYPE_CHECKING:
    from .run import Run


LISTED = 40
"""Rows of a table of markets."""

DEEP = 0.3
"""A market that fell by this share fell deeply."""


@frozen
class Figure:
    """One figure of a run: what it is, its value, its unit, and how it is written."""

    name: str
    value: float
    unit: str

    @property
    def text(self) -> str:
        """The value as people read it, without its unit where the name has it."""
        return as_text(self.value, self.unit)


def as_text(value: float, unit: str, *, sign: bool = False) -> str:
    """A value of a unit in words; with ``sign``, a difference."""
    if unit == "share":
        return percent(value, sign=sign)
    forms = {"measure": brief, "USD": usd, "×": times, "s": seconds, "ratio": ratio}
    text = forms.get(unit, number)(abs(value) if sign else value)
    if not sign or not np.isfinite(value):
        return text
    # What reads as nothing has no sign.
    some = any(digit in "123456789" for digit in text)
    return f"{'−' if value < 0 else '+'}{text}" if some else text


@frozen(repr=False)
class Summary:
    """What a run comes to. Money is US dollars; *before* is before the first shock."""

    title: str
    finding: str
    rows: tuple[Figure, ...]
    note: str
    markets: Grid
    makers: Grid
    sales: Grid
    protocols: Grid

    @property
    def figures(self) -> Grid:
        """The headline figures as a table."""
        lines = tuple((row.name, f"{row.text}{_unit(row.unit)}") for row in self.rows)
        return Grid("", ("", ""), lines, self.note)

    def grids(self) -> list[Grid]:
        """The tables that have rows, but for the headline figures."""
        grids = (self.markets, self.makers, self.sales, self.protocols)
        return [grid for grid in grids if grid.rows]

    def __str__(self) -> str:
        """The tables as plain text."""
        parts = [f"{self.title}\n{self.finding}"]
        parts += [str(self.figures)] if self.rows else []
        return "\n\n".join([*parts, *map(str, self.grids())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        headline = [self.figures] if self.rows else []
        grids = "".join(grid.html() for grid in (*headline, *self.grids()))
        head = f"<h3>{escape(self.title)}</h3><p>{escape(self.finding)}</p>"
        return head + grids


def _unit(unit: str) -> str:
    # A percentage and a multiple show theirs.
    return "" if unit in ("share", "×", "s", "ratio", "count") else f" {unit}"


def summarize(run: "Run") -> Summary:
    """The summary of a run."""
    shock = f", first shock at {facts.when(run, run.start)}" if run.start else ""
    duration = run.scenario.config.duration
    return Summary(
        title=f"{run.label}, seed {run.seed}, {seconds(duration)}{shock}",
        finding=facts.finding(run),
        rows=figures(run),
        note=facts.venue(run).fund_words,
        markets=markets_grid(run),
        makers=makers_grid(run),
        sales=sales_grid(run),
        protocols=chain_grid(run),
    )


MEASURED = (
    ("alts.deepest_drop", "Deepest fall of an alt", "share"),
    ("alts.median_drop", "Median fall of the alts", "share"),
    ("alts.depth_lost", "Bid depth lost, alt books", "share"),
    ("makers.leverage_before", "Makers' leverage before, median", "×"),
    ("makers.leverage_at_sale", "Makers' leverage at first forced sale", "×"),
    ("makers.leverage_unrepriced", "the same, had collateral kept its price", "×"),
    ("makers.sold_unfallen_share", "First sales in coins that had not fallen", "share"),
    ("makers.health_min", "Makers' lowest health", "ratio"),
)
"""Measures of the headline, their names in words, and their units."""


def figures(run: "Run") -> tuple[Figure, ...]:
    """The headline figures, each with its unit; none without a market."""
    if not run.names.markets:
        return ()
    venue, fallen, measures = facts.venue(run), facts.worst(run), run.measures()
    rows: list[tuple[str, float, str]] = []
    if fallen:
        deep = sum(market.drop >= DEEP for market in fallen)
        rows.append(("Deepest fall", fallen[0].drop, "share"))
        rows.append((f"Markets that fell {whole_percent(DEEP)} or more", deep, "count"))
    rows.append(("Accounts liquidated", venue.liquidated, "count"))
    if venue.makers:
        of_all = f"of {venue.makers}"
        rows.append(("Market makers liquidated", venue.makers_liquidated, of_all))
        rows.append(("Times market makers withdrew quotes", venue.withdrawals, "count"))
    rows += [
        (name, float(measures[key]), unit)
        for key, name, unit in MEASURED
        if key in measures
    ]
    rows += [
        ("Exogenous volume", venue.exogenous, "USD"),
        ("Forced volume", venue.forced, "USD"),
        ("Forced share of volume", _share(venue.forced, venue.volume), "share"),
        ("Amplification, forced / exogenous", venue.amplification, "×"),
        *_fund(venue),
        ("Trades", venue.trades, "count"),
    ]
    return tuple(Figure(*row) for row in rows)


def _fund(venue: facts.VenueFacts) -> list[tuple[str, float, str]]:
    if not (venue.liquidated or venue.fund_before or venue.fund_end):
        return []
    return [
        ("Taken over by the insurance fund", venue.taken, "USD"),
        ("Accounts it took something from", venue.accounts_taken, "count"),
        ("those without a forced trade of their own", venue.taken_unsold, "count"),
        ("Insurance fund before", venue.fund_before, "USD"),
        ("Insurance fund at its lowest", venue.fund_low, "USD"),
        ("Insurance fund at the end", venue.fund_end, "USD"),
        ("Insurance fund, change", venue.fund_change, "USD"),
        ("Paid to accounts with nothing left", venue.fund_paid, "USD"),
        *_others(venue),
        ("Claims left", venue.claims, "USD"),
    ]


def _others(venue: facts.VenueFacts) -> list[tuple[str, float, str]]:
    # What winners and depositors had to bear; most venues never see it.
    rows: list[tuple[str, float, str]] = []
    if venue.accounts_deleveraged:
        rows += [
            ("Deleveraged (ADL)", venue.deleveraged, "USD"),
            ("Accounts deleveraged", venue.accounts_deleveraged, "count"),
            ("Profit they forwent", venue.profit_forgone, "USD"),
        ]
    if venue.socialised:
        rows.append(("Borne by other accounts", venue.socialised, "USD"))
    return rows


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def markets_grid(run: "Run") -> Grid:
    """Markets, deepest fall first."""
    header = (
        "market",
        "before",
        "trough",
        "fall",
        "at",
        "end",
        "bid depth before, USD",
        "depth lost",
        "volume, USD",
        "forced",
    )
    shown = facts.worst(run)
    rows = tuple(
        (
            m.market,
            price(m.before),
            price(m.trough) if m.drop > 0 else NOTHING,
            percent(m.drop) if m.drop > 0 else NOTHING,
            facts.when(run, m.trough_time) if m.drop > 0 else NOTHING,
            price(m.end),
            usd(m.depth_before),
            percent(m.depth_lost),
            usd(m.volume),
            percent(m.forced_share),
        )
        for m in shown[:LISTED]
    )
    return Grid("Markets", header, rows, _others_left(len(shown), "markets"))


def _others_left(count: int, what: str) -> str:
    more = count - LISTED
    if more <= 0:
        return ""
    return f"and {number(more)} more {what}; run.measures() has the fall of each"


def makers_grid(run: "Run") -> Grid:
    """Market makers: leverage and health up to the first forced sale."""
    header = (
        "market maker",
        "equity before, USD",
        "at the end",
        "leverage before",
        "at first forced trade*",
        "first forced trade",
        "bids withdrawn",
        "health before",
        "lowest health",
        "forced trades, USD",
    )
    fleet = facts.makers(run)
    rows = tuple(
        (
            m.name,
            usd(m.equity_before),
            usd(m.equity_end),
            times(m.leverage_before),
            times(m.leverage_at_sale),
            facts.when(run, m.sale_time),
            _withdrawn(run, m),
            ratio(m.health_before),
            ratio(m.health_min),
            usd(m.forced),
        )
        for m in fleet
    )
    note = "* just before it; the highest leverage of a maker without forced trades"
    if any("†" in cell for row in rows for cell in row):
        note += "; † of single markets, never of all"
    return Grid("Market makers", header, rows, note)


def _withdrawn(run: "Run", maker: facts.MakerFacts) -> str:
    single = maker.market_withdrawal_time
    if np.isfinite(maker.withdrawal_time) or not np.isfinite(single):
        return facts.when(run, maker.withdrawal_time)
    return f"{facts.when(run, single)}†"


def sales_grid(run: "Run") -> Grid:
    """What the liquidation engine traded, and whether it had fallen by then."""
    header = (
        "market",
        "sold, USD",
        "bought, USD",
        "accounts",
        "by market makers",
        "first at",
        "price change until then",
        "at its lowest",
    )
    sold = facts.sales(run)
    rows = tuple(
        (
            s.market,
            usd(s.sold),
            usd(s.bought),
            number(s.accounts),
            percent(s.by_makers),
            facts.when(run, s.first),
            percent(s.fall_before, sign=True),
            percent(s.fall_after, sign=True),
        )
        for s in sold[:LISTED]
    )
    return Grid("Traded by force", header, rows, _others_left(len(sold), "markets"))
