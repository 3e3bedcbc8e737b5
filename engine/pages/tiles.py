"""The figures that a report begins with."""

from typing import TYPE_CHECKING

from .. import facts
from ..chain_summary import chain_tiles
from ..text import NOTHING, number, percent, price, short_usd, times

if TYPE_CHECKING:
    from ..run import Run

Tile = tuple[str, str, str]
"""What, how much, and beside what to read it."""


def tiles(run: "Run") -> list[Tile]:
    """The figures that come first."""
    if not run.names.markets:
        return chain_tiles(run)
    venue, measures = facts.venue(run), run.measures()
    low = facts.markets(run)[facts.chosen_market(run)]
    fell = percent(low.drop) if low.drop > 0 else NOTHING
    deep = f"to {price(low.trough)}" if low.drop > 0 else "not below its price before"
    found: list[Tile] = [(f"{low.market} fell", fell, deep)]
    if "alts.depth_lost" in measures:
        lost = float(measures["alts.depth_lost"])
        found.append(
            ("Bid depth lost, alt books", percent(lost), "at the worst moment")
        )
    if venue.exogenous:
        sold = short_usd(venue.exogenous)
        found.append(("Traded by the shocks, USD", sold, f"of {_all(venue)}"))
    if not (venue.makers or venue.liquidated):
        return found
    of = f"{venue.makers_liquidated} of {venue.makers} market makers among them"
    of = of if venue.makers else "in breach of their margin"
    found.append(("Accounts liquidated", number(venue.liquidated), of))
    if "makers.leverage_at_sale" in measures:
        before, after = (
            times(float(measures[f"makers.leverage_{when}"]))
            for when in ("before", "at_sale")
        )
        change = f"{before} → {after}"
        found.append(("Makers' leverage", change, "until their first forced sale"))
    share = venue.forced / venue.volume if venue.volume else 0.0
    volume = f"{percent(share)} of all volume"
    found.append(("Traded by force, USD", short_usd(venue.forced), volume))
    if venue.exogenous:
        over = "forced over the shocks' volume"
        found.append(("Amplification", times(venue.amplification), over))
    taken = f"{number(venue.accounts_taken)} accounts, "
    taken += f"{number(venue.taken_unsold)} of them without a forced trade"
    found.append(("Taken over by the fund, USD", short_usd(venue.taken), taken))
    found.append(_fund(venue))
    if venue.accounts_deleveraged:
        winners = f"{number(venue.accounts_deleveraged)} accounts forwent "
        winners += f"{short_usd(venue.profit_forgone)} of profit"
        found.append(("Deleveraged (ADL), USD", short_usd(venue.deleveraged), winners))
    return found


def columns(count: int) -> int:
    """How many tiles stand side by side: what leaves no single one and least room."""
    if count < 3:
        return max(1, count)
    ways = [n for n in (4, 3, 5) if count % n != 1] or [4]
    return min(ways, key=lambda n: -count % n)


def _fund(venue: facts.VenueFacts) -> Tile:
    before, end = short_usd(venue.fund_before), short_usd(venue.fund_end)
    low = f"lowest {short_usd(venue.fund_low)}"
    low += ": below zero, the venue's loss" if venue.fund_low < 0 else ""
    paid = f"paid {short_usd(venue.fund_paid)}, claims left {short_usd(venue.claims)}"
    return "Insurance fund, USD", f"{before} → {end}", f"{low}; {paid}"


def _all(venue: facts.VenueFacts) -> str:
    return f"{short_usd(venue.volume)} in {number(venue.trades)} trades"
