"""The measures of a run: the figures that targets, comparisons and sweeps name.

Money is US dollars, time seconds, shares fractions of one. Alts are the coins that
market makers hold as inventory.
"""

from fractions import Fraction
from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from ..orderbook.orders import Side
from . import facts
from .config import MarketMakers
from .crash import listed
from .prints import NANO, trades_of
from .shocks import FLOWS

if TYPE_CHECKING:
    from .run import Run

Measures = dict[str, float | int | str]

UNFALLEN = 0.05
"""A coin counts as not fallen while its price is within this share of the old one."""

STALE = "stale_bids"


def measure(run: "Run") -> Measures:
    """Return all measures of a run by name.

    Those of something the scenario does not have (makers, alts) are left out.
    """
    venue = facts.venue(run)
    found: Measures = {
        "trades": venue.trades,
        "accounts.liquidated": venue.liquidated,
        "forced_usd": venue.forced,
        "forced.sold_spot_usd": _sold_spot(run),
        "exogenous_usd": venue.exogenous,
        "amplification": venue.amplification,
        "takeovers.usd": venue.taken,
        "takeovers.accounts": venue.accounts_taken,
        "fund.start_usd": venue.fund_before,
        "fund.low_usd": venue.fund_low,
        "fund.end_usd": venue.fund_end,
        "fund.paid_usd": venue.fund_paid,
        "claims_usd": venue.claims,
        "socialised_usd": venue.socialised,
        "adl.usd": venue.deleveraged,
        "adl.accounts": venue.accounts_deleveraged,
        "adl.profit_forgone_usd": venue.profit_forgone,
        "conserved": run.outcome.get("conserved", np.nan),
        **_shocks(run),
    }
    for market in facts.markets(run):
        found[f"{market.market}.drop"] = market.drop
        found[f"{market.market}.trough"] = market.trough
        found[f"{market.market}.forced_share"] = market.forced_share
    if venue.makers:
        found |= _makers(run, venue)
    alts = _alts(run)
    if alts:
        found |= _wick(run, alts)
    for name, value in listed(run):
        found.setdefault(name, value)
    return found


def _sold_spot(run: "Run") -> float:
    """Return what the liquidation engine sold in spot books, US dollars."""
    trades = run.prints
    spot = ~np.array(run.names.perpetual, np.bool_)[trades.market]
    rows = trades.forced & spot & (trades.side == Side.SELL)
    return float(trades.usd[rows].sum())


# -- SHOCKS: exact, from lots and ticks


def _shocks(run: "Run") -> Measures:
    found: Measures = {}
    numbers = [
        i for i, shock in enumerate(run.scenario.config.shocks) if shock.kind in FLOWS
    ]
    accounts = np.flatnonzero(run.names.account_class == _class(run, "shocks"))
    for number, account in zip(numbers, accounts.tolist(), strict=True):
        shock = run.scenario.config.shocks[number]
        if shock.kind == "flow":
            found |= _flow(run, f"shock.{number}", account)
            continue
        market = run.market(str(shock.market))
        spec = run.scenario.config.markets[str(shock.market)]
        tick, lot = Fraction(spec.tick), Fraction(spec.lot)
        own = trades_of(run.log, account)
        lots = sum(own["qty"].tolist())
        quote = sum((own["price"] * own["qty"]).tolist()) * tick * lot
        key = f"shock.{number}"
        found[f"{key}.prints"] = len(own)
        found[f"{key}.levels"] = len(np.unique(own["price"]))
        found[f"{key}.filled"] = float(lots * lot)
        found[f"{key}.quote"] = float(quote)
        if shock.qty is not None:
            found[f"{key}.unfilled"] = float(Fraction(shock.qty) - lots * lot)
        if len(own):
            at_last = own[own["price"] == own["price"][-1]]
            found[f"{key}.first"] = float(int(own["price"][0]) * tick)
            found[f"{key}.last"] = float(int(own["price"][-1]) * tick)
            found[f"{key}.vwap"] = float(quote / (lots * lot))
            found[f"{key}.filled_at_last"] = float(sum(at_last["qty"].tolist()) * lot)
        assert market >= 0
    return found


def _flow(run: "Run", key: str, account: int) -> Measures:
    trades = run.prints
    own = trades.taker == account
    return {
        f"{key}.prints": int(own.sum()),
        f"{key}.markets": len(np.unique(trades.market[own])),
        f"{key}.usd": fsum(trades.usd[own].tolist()),
    }


def _class(run: "Run", name: str) -> int:
    classes = run.names.classes
    return classes.index(name) if name in classes else -1


# -- MARKET MAKERS


def _makers(run: "Run", venue: facts.VenueFacts) -> Measures:
    fleet = facts.makers(run)
    sold = [maker for maker in fleet if np.isfinite(maker.sale_time)]
    found: Measures = {
        "makers.count": venue.makers,
        "makers.liquidated": venue.makers_liquidated,
        "makers.health_min": venue.health_min,
        "makers.leverage_before": float(
            np.median([maker.leverage_before for maker in sold or fleet])
        ),
    }
    if sold:
        found["makers.leverage_at_sale"] = venue.leverage_at_sale
        found["makers.leverage_unrepriced"] = _unrepriced(run, sold)
        found["makers.sold_unfallen_share"] = _unfallen(run, sold)
    return found


def _unrepriced(run: "Run", sold: list[facts.MakerFacts]) -> float:
    """Return the leverage at the first forced sale had collateral kept its price."""
    series = run.series
    place = {account: k for k, account in enumerate(series.maker_accounts.tolist())}
    values = []
    for maker in sold:
        at = (
            np.searchsorted(series.maker_time * NANO, maker.sale_time, side="right") - 1
        )
        values.append(series.maker_leverage_unrepriced[at, place[maker.account]])
    return float(np.median(values))


def _unfallen(run: "Run", sold: list[facts.MakerFacts]) -> float:
    """Return the share of the first forced sales in coins that had not fallen.

    The sales of a maker's first cycle, at the price before the shock; a coin had not
    fallen if its last print before that cycle was within 5 % of that price.
    """
    trades = run.prints
    sales = np.flatnonzero(trades.forced & (trades.side == int(Side.SELL)))
    good = total = 0.0
    for maker in sold:
        first = sales[trades.taker[sales] == maker.account]
        first = first[trades.time[first] == maker.sale_time]
        for market in np.unique(trades.market[first]).tolist():
            before = float(run.prices_before[market])
            rows = first[trades.market[first] == market]
            usd = float(trades.qty[rows].sum()) * before
            earlier = trades.own("time", market) < maker.sale_time
            price = trades.own("price", market)[earlier]
            last = float(price[-1]) if len(price) else before
            total += usd
            good += usd * (last >= before * (1.0 - UNFALLEN))
    return good / total if total else 0.0


# -- THE WICK


def _alts(run: "Run") -> list[int]:
    fleets: list[MarketMakers] = list(run.scenario.config.market_makers.values())
    coins = dict.fromkeys(coin for fleet in fleets for coin in fleet.inventory)
    return [
        number
        for number, name in enumerate(run.names.markets)
        if not run.names.perpetual[number] and name.split("/")[0] in coins
    ]


def _wick(run: "Run", alts: list[int]) -> Measures:
    table = facts.markets(run)
    deepest = max(alts, key=lambda number: table[number].drop)
    low = table[deepest]
    trades, series = run.prints, run.series
    after = series.time * NANO >= run.start
    depth = series.bid_depth[:, alts].sum(axis=1)
    before = float(run.depth_before[alts].sum())
    found: Measures = {
        "alts.deepest": low.market,
        "alts.deepest_drop": low.drop,
        "alts.median_drop": float(np.median([table[number].drop for number in alts])),
        "alts.depth_lost": 1.0 - float(depth[after].min()) / before
        if before
        else np.nan,
    }
    rows = trades.of(deepest)
    rows = rows[trades.time[rows] >= run.start]
    if len(rows):
        at = int(np.argmin(trades.price[rows]))
        found["alts.deepest_bidder"] = run.group(int(trades.maker[rows[at]]))
        found["alts.into_stale_bid"] = float(found["alts.deepest_bidder"] == STALE)
        found["alts.recovered"] = low.end / low.before
        back = trades.price[rows[at:]] >= 0.5 * low.before
        when = trades.time[rows[at:]]
        found["alts.recovery_s"] = (
            float(when[np.argmax(back)] - when[0]) if back.any() else np.inf
        )
    return found
