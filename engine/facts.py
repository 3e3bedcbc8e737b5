"""What a run comes to: figures that summary, comparison, figures and report share.

A figure is computed here once, so that no two places can disagree about it. Money is
US dollars, time is seconds, shares are fractions of one.
"""

from math import fsum
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..orderbook.orders import Side
from .prints import NANO, scaled, usd_at
from .reading.windows import time_of
from .text import percent, price, usd

if TYPE_CHECKING:
    from .run import Run

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def prices_before(run: "Run") -> Floats:
    """Price of each market before the first shock, in its quote asset.

    The last trade before it; failing that the last price the book opened with, and
    failing that the first trade.
    """
    trades, series = run.prints, run.series
    before = np.full(len(run.names.markets), np.nan)
    for market in range(len(before)):
        price = trades.own("price", market)
        known = np.flatnonzero(trades.own("time", market) < run.start)
        if len(known):
            before[market] = price[known[-1]]
        elif len(series.time) and series.time[0] * NANO < run.start:
            before[market] = series.last[0, market]
        if not before[market] > 0:
            opened = series.last[0, market] if len(series.time) else np.nan
            before[market] = price[0] if len(price) else opened
    return before


def depth_before(run: "Run") -> Floats:
    """Bid depth of each market before the first shock, median of its samples."""
    series = run.series
    if len(series.time) == 0:
        return np.full(len(run.names.markets), np.nan)
    early = series.time * NANO < run.start
    # The books may be empty in the first sample: makers have only just woken.
    return np.asarray(
        np.median(series.bid_depth[early if early.any() else [0]], axis=0)
    )


def quoted(depth: Floats, before: float) -> slice:
    """The samples from the first one with quotes on; all if there never were any.

    In the first sample of a run the market makers have not quoted yet: there is less
    than most of the depth ``before`` the shock, or nothing.
    """
    some = (depth > 0.0) & (depth >= 0.8 * before)
    return slice(int(np.argmax(some)) if some.any() else 0, None)


# -- MARKETS


@frozen
class MarketFacts:
    """What became of one market after the first shock."""

    market: str
    before: float
    trough: float
    trough_time: float
    drop: float  # share of the price before, positive
    end: float
    depth_before: float
    depth_lost: float
    volume: float
    forced: float
    forced_share: float


def markets(run: "Run") -> list[MarketFacts]:
    """Facts of every market, in the order of the scenario; computed once."""
    return run.market_facts


def market_facts(run: "Run") -> list[MarketFacts]:
    """Compute the facts of every market."""
    trades, series = run.prints, run.series
    after = series.time * NANO >= run.start
    least_depth = series.bid_depth[after].min(axis=0, initial=np.inf)
    facts = []
    for number, name in enumerate(run.names.markets):
        time = trades.own("time", number)
        late = time >= run.start
        time, price, dollars, of_engine = (
            trades.own(column, number)[late]
            for column in ("time", "price", "usd", "forced")
        )
        before = float(run.prices_before[number])
        low = int(np.argmin(price)) if len(price) else -1
        trough = float(price[low]) if len(price) else before
        depth = float(run.depth_before[number])
        least = least_depth[number]
        lost = max(0.0, 1.0 - float(least) / depth) if depth > 0 else np.nan
        volume, forced = float(dollars.sum()), float(dollars[of_engine].sum())
        facts.append(
            MarketFacts(
                market=name,
                before=before,
                trough=trough,
                trough_time=float(time[low]) if len(price) else np.nan,
                drop=fall(before, trough),
                end=float(price[-1]) if len(price) else before,
                depth_before=depth,
                depth_lost=lost,
                volume=volume,
                forced=forced,
                forced_share=forced / volume if volume else 0.0,
            )
        )
    return facts


def fall(before: float, low: float) -> float:
    """Fall from a price to a low, share of the first; 0 if it is no lower."""
    return max(0.0, 1.0 - low / before) if before > 0 else np.nan


def worst(run: "Run") -> list[MarketFacts]:
    """The markets that traded, deepest fall first."""
    traded = [m for m in markets(run) if np.isfinite(m.trough_time) and m.before > 0]
    return sorted(traded, key=lambda m: -m.drop)


# -- MARKET MAKERS


@frozen
class MakerFacts:
    """What became of one market maker; times are NaN where it did not happen."""

    account: int
    name: str
    equity_before: float
    leverage_before: float
    equity_end: float
    leverage_at_sale: float  # before its first forced sale; of its peak if it had none
    sale_time: float
    withdrawal_time: float  # of all its bids at once
    market_withdrawal_time: float  # of its bids in a single market
    health_before: float
    health_min: float
    forced: float


def makers(run: "Run") -> list[MakerFacts]:
    """Facts of every market maker; computed once."""
    return run.maker_facts


def maker_facts(run: "Run") -> list[MakerFacts]:
    """Compute the facts of every market maker.

    The sample that counts as *before* is the last one up to the moment: a sample
    carries the valuation of the risk pass, which comes before its own liquidations.
    """
    series, trades = run.series, run.prints
    time = series.maker_time * NANO
    sold = np.flatnonzero(trades.forced)
    sold = sold[np.isin(trades.taker[sold], series.maker_accounts)]
    withdrawn: dict[tuple[int, bool], float] = {}
    for event in run.log.single("withdrawal"):
        whole = event.market < 0
        withdrawn.setdefault((event.account, whole), event.time * NANO)
    start = last_before(run, series.maker_time)
    facts = []
    for k, account in enumerate(series.maker_accounts.tolist()):
        own = sold[trades.taker[sold] == account]
        sale = float(trades.time[own[0]]) if len(own) else np.nan
        leverage = series.maker_leverage[:, k]
        if len(own):
            at = max(0, int(np.searchsorted(time, sale, side="right")) - 1)
            peak = float(leverage[at])
        else:
            finite = leverage[start:][np.isfinite(leverage[start:])]
            peak = float(finite.max()) if len(finite) else np.nan
        facts.append(
            MakerFacts(
                account=account,
                name=run.account(account),
                equity_before=float(series.maker_equity[start, k]),
                equity_end=float(series.maker_equity[-1, k]),
                leverage_before=float(leverage[start]),
                leverage_at_sale=peak,
                sale_time=sale,
                withdrawal_time=withdrawn.get((account, True), np.nan),
                market_withdrawal_time=withdrawn.get((account, False), np.nan),
                health_before=float(series.maker_health[start, k]),
                health_min=float(np.fmin.reduce(series.maker_health[start:, k])),
                forced=float(trades.usd[own].sum()),
            )
        )
    return facts


def last_before(run: "Run", time: Integers) -> int:
    """Row of the last of these samples before the first shock."""
    return max(0, int(np.searchsorted(time * NANO, run.start)) - 1)


# -- LIQUIDATIONS


@frozen
class SaleFacts:
    """The trades of the liquidation engine in one market."""

    market: str
    sold: float
    bought: float
    accounts: int
    by_makers: float  # share of it, by the market makers' accounts
    first: float
    fall_before: float  # change of the price until the first of these trades
    fall_after: float  # change of the price at its lowest


def sales(run: "Run") -> list[SaleFacts]:
    """Liquidation trades by market, largest first; computed once."""
    return run.sale_facts


def sale_facts(run: "Run") -> list[SaleFacts]:
    """Compute the liquidation trades by market, largest first."""
    trades, facts = run.prints, []
    for number, name in enumerate(run.names.markets):
        forced = trades.own("forced", number)
        if not forced.any():
            continue
        mine = trades.of(number)[forced]
        before = float(run.prices_before[number])
        sell = trades.side[mine] == Side.SELL
        amount = trades.usd[mine]
        makers_own = np.isin(trades.taker[mine], run.series.maker_accounts)
        late = trades.own("time", number) >= run.start
        lowest = trades.own("price", number)[late].min(initial=before)
        facts.append(
            SaleFacts(
                market=name,
                sold=float(amount[sell].sum()),
                bought=float(amount[~sell].sum()),
                accounts=len(np.unique(trades.taker[mine])),
                by_makers=float(amount[makers_own].sum() / amount.sum()),
                first=float(trades.time[mine[0]]),
                fall_before=own_change(run, number),
                fall_after=float(lowest) / before - 1.0,
            )
        )
    return sorted(facts, key=lambda sale: -(sale.sold + sale.bought))


def own_change(run: "Run", market: int) -> float:
    """Change of a market's price from before the shock to its first forced trade.

    NaN if there was no forced trade.
    """
    trades = run.prints
    forced = trades.own("forced", market)
    if not forced.any():
        return np.nan
    before, first = float(run.prices_before[market]), int(np.argmax(forced))
    price = float(trades.own("price", market)[first - 1]) if first else before
    return price / before - 1.0


# -- THE VENUE


@frozen
class VenueFacts:
    """What the whole run comes to."""

    liquidated: int
    makers: int
    makers_liquidated: int
    withdrawals: int
    forced: float
    exogenous: float
    amplification: float
    volume: float
    fund_before: float  # equity of the insurance fund; NaN without samples
    fund_end: float
    fund_low: float  # of the samples from before the first shock on
    fund_paid: float  # to accounts that had nothing left
    claims: float
    socialised: float  # debts that other accounts bore
    deleveraged: float  # positions of winners closed, at the price they closed at
    accounts_deleveraged: int
    profit_forgone: float  # what those winners got less than at mark
    taken: float  # positions at mark and coins at index that the fund took over
    accounts_taken: int  # accounts that it took something from
    taken_unsold: int  # those of them that never traded by force
    leverage_at_sale: float  # of those that were sold, median
    health_min: float
    trades: int
    events: int

    @property
    def fund_change(self) -> float:
        """What the insurance fund gained, less what it lost."""
        return self.fund_end - self.fund_before

    @property
    def fund_words(self) -> str:
        """A sentence on a fund that was below zero; empty if it was not."""
        if not self.fund_low < 0.0:
            return ""
        if self.fund_end < 0.0:
            low = f", {usd(self.fund_low)} at its lowest"
            told = f"ended below zero, at {usd(self.fund_end)} USD{low}"
        else:
            told = f"was below zero, at {usd(self.fund_low)} USD at its lowest"
        return f"The insurance fund {told}: what it lacked was the venue's loss."


def venue(run: "Run") -> VenueFacts:
    """Facts of the whole venue after the first shock; computed once."""
    return run.venue_facts


def venue_facts(run: "Run") -> VenueFacts:
    """Compute the facts of the whole venue."""
    trades, fleet = run.prints, makers(run)
    breached = dict.fromkeys(run.log.rare("breach")[1]["account"].tolist())
    late = trades.time >= run.start
    forced = float(trades.usd[trades.forced].sum())
    exogenous = float(run.series.exogenous_usd[-1]) if len(run.series.time) else 0.0
    sold = [maker for maker in fleet if np.isfinite(maker.sale_time)]
    fund = run.series.fund_usd[last_before(run, run.series.time) :]
    takeovers, closed = run.log.rare("takeover")[1], run.log.rare("adl")[1]
    taken = np.unique(takeovers["account"])
    sold_by = trades.taker[trades.forced]
    return VenueFacts(
        liquidated=len(breached),
        makers=len(fleet),
        makers_liquidated=sum(maker.account in breached for maker in fleet),
        withdrawals=len(run.log.rare("withdrawal")[0]),
        forced=forced,
        exogenous=exogenous,
        amplification=forced / exogenous if exogenous else np.nan,
        volume=float(trades.usd[late].sum()),
        fund_before=float(fund[0]) if len(fund) else np.nan,
        fund_end=float(fund[-1]) if len(fund) else np.nan,
        fund_low=float(fund.min()) if len(fund) else np.nan,
        fund_paid=_sum_of(run, "fund"),
        claims=_sum_of(run, "claim"),
        socialised=_sum_of(run, "socialised"),
        deleveraged=fsum(deleveraged_usd(run, closed).tolist()),
        accounts_deleveraged=len(np.unique(closed["counterparty"])),
        profit_forgone=_sum_of(run, "adl"),
        taken=_sum_of(run, "takeover"),
        accounts_taken=len(taken),
        taken_unsold=int(np.isin(taken, sold_by, invert=True).sum()),
        leverage_at_sale=_median([maker.leverage_at_sale for maker in sold]),
        health_min=min((maker.health_min for maker in fleet), default=np.nan),
        trades=len(trades.time),
        events=len(run.log),
    )


def _sum_of(run: "Run", kind: str) -> float:
    # US dollars of all events of a kind.
    return fsum(run.log.rare(kind)[1]["value"].tolist())


def deleveraged_usd(run: "Run", closed: NDArray[np.void]) -> Floats:
    """US dollars of each ``adl`` event, at the index of the quote asset then."""
    names, market = run.names, closed["market"]
    quote = np.array(names.quote, np.int64)[market]
    worth = usd_at(run.series, quote, closed["time"])
    price = scaled(closed["price"], names.tick[market])
    return np.asarray(price * scaled(closed["qty"], names.lot[market]) * worth)


def _median(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else np.nan


def deepest_print(
    run: "Run", market: int | None = None, *, of_all: bool = False
) -> int:
    """Row of the trade farthest below its market's price before the first shock.

    Of a market, or, where none is given, of the liquidation engine's trades if there
    are any: what a shock itself did to the book it sold into needs no explanation.
    ``of_all`` asks for the deepest of all trades all the same.
    Equal ones: a forced trade first, then the earliest. LookupError if nothing traded.
    Computed once for each question.
    """
    asked = market, of_all
    if asked not in run.deepest_prints:
        run.deepest_prints[asked] = _deepest(run, market, of_all=of_all)
    return run.deepest_prints[asked]


def _deepest(run: "Run", market: int | None, *, of_all: bool) -> int:
    trades, ratio = run.prints, run.price_left
    rows = np.arange(len(ratio)) if market is None else trades.of(market)
    rows = rows[(trades.time[rows] >= run.start) & np.isfinite(ratio[rows])]
    if market is None and not of_all and trades.forced[rows].any():
        rows = rows[trades.forced[rows]]
    if len(rows) == 0:
        where = "in this run" if market is None else f"in {run.names.markets[market]}"
        raise LookupError(f"nothing traded {where} after the first shock: no print")
    lowest = rows[ratio[rows] == ratio[rows].min()]
    order = np.lexsort((trades.event[lowest], ~trades.forced[lowest]))
    return int(lowest[order[0]])


def deeper_print(run: "Run") -> int | None:
    """Row of the deepest trade of all if the deepest forced one was less deep."""
    forced, first = deepest_print(run), deepest_print(run, of_all=True)
    return first if run.price_left[first] < run.price_left[forced] else None


def chosen_market(run: "Run") -> int:
    """The market that a picture of the run shows first: that of the deepest print.

    Computed once.
    """
    return run.chosen_market


def first_market(run: "Run") -> int:
    """Find the market of the deepest print, the first of all if nothing traded."""
    try:
        return int(run.prints.market[deepest_print(run)])
    except LookupError:
        return 0


def when(run: "Run", time: float) -> str:
    """A time of the run in words, as `time_of` has it."""
    config = run.scenario.config
    return time_of(config.start, config.duration, time)


def finding(run: "Run") -> str:
    """The run in one sentence: the deepest fall, and whether it came back."""
    if not run.names.markets:
        from .chain_summary import chain_finding

        return chain_finding(run)
    low = markets(run)[chosen_market(run)]
    if not low.drop > 0:
        return "No market fell."
    regained = ""
    if low.end > low.trough:
        share = (low.end - low.trough) / (low.before - low.trough)
        regained = f" ({percent(share)} of the fall regained)"
    return (
        f"{low.market} fell {percent(low.drop)}, from {price(low.before)} to "
        f"{price(low.trough)} at {when(run, low.trough_time)}, and ended at "
        f"{price(low.end)}{regained}."
    )
