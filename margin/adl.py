"""Auto-deleveraging: who closes against a position that nobody else takes.

When neither the book nor the insurance fund can take a losing position, the venue
closes profitable positions of the other side against it. A venue's way of doing so is
four rules: when (a trigger), in which order (a ranking), how much of each (an
allocation) and at what price. Each is a function of a name; a function of your own goes
where a name goes.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from .presets import nearest
from .shares import spread

__all__ = [
    "ALLOCATIONS",
    "PRICES",
    "RANKINGS",
    "Candidates",
    "Drawdown",
    "Policy",
    "allocate",
    "due",
    "profit",
    "quantiles",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RUIN = 1e15
"""Leverage of an account that has nothing."""

NOTHING = 1e-9
"""US dollars, or quote units, that nothing is divided by."""

MICRO = 1_000_000
"""Dollars weigh in whole millionths, so that shares come out exact."""


@frozen(kw_only=True)
class Candidates:
    """Accounts with a position against the one to be closed, a row each.

    ``side`` is theirs: +1 if they are long. Prices are in quote units, the rest in US
    dollars but for ``lots``.
    """

    side: int
    mark: float
    account: Integers
    lots: Integers  # of the position, above 0: the most that can be taken
    notional: Floats  # of the position, at mark
    entry: Floats  # its average price
    bankruptcy: Floats  # the price at which it would leave the account nothing
    pnl: Floats  # its unrealised profit
    equity: Floats  # of the account
    wallet: Floats  # the same without the unrealised profit of any position
    maintenance: Floats  # margin of the account

    def __len__(self) -> int:
        return len(self.account)


def profit(side: int, qty: float, entry: float, price: float) -> float:
    """Quote units that a position of ``qty`` base units makes at a price.

    >>> round(profit(-1, 28.53, entry=28.885, price=22.075), 4)
    194.2893
    """
    return side * qty * (price - entry)


# -- RANKINGS ------------------------------------------------------------------------

Ranking = Callable[[Candidates], Floats]
"""Scores of candidates, each by its own row; the highest is deleveraged first."""


def leverage_pnl(who: Candidates) -> Floats:
    """Profit over wallet balance, times maintenance margin over equity.

    Source: https://www.binance.com/en/support/faq/360033525471
    """
    gain = np.maximum(who.pnl, 0.0) / np.maximum(who.wallet, 1.0)
    return np.asarray(gain * _ratio(who.maintenance, who.equity))


def effective_leverage(who: Candidates) -> Floats:
    """Profit in percent times leverage; a loss is divided by it.

    Leverage is what the position is worth over what it would leave at its bankruptcy
    price, and without a margin beyond all measure.
    Source: the rule of BitMEX, which MEXC and Poloniex share, and Bybit's leveraged
    return before November 2025.
    """
    percent = who.side * (who.mark / who.entry - 1.0)
    margin = who.side * (who.mark - who.bankruptcy)
    leverage = np.where(margin > NOTHING, _ratio(who.mark, margin), RUIN)
    return np.asarray(percent * np.where(percent > 0.0, leverage, 1.0 / leverage))


def leveraged_return(who: Candidates) -> Floats:
    """Profit in percent times the leverage of the account.

    From memory of OKX's rule: its page does not state the formula.
    """
    percent = who.side * (who.mark / who.entry - 1.0)
    return np.asarray(percent * _leverage(who))


def price_ratio(who: Candidates) -> Floats:
    """Mark over entry, times notional over account value.

    The documents do not say how shorts are ranked; here entry over mark is taken.
    Source: https://hyperliquid.gitbook.io/hyperliquid-docs/trading/auto-deleveraging
    """
    ratio = who.mark / who.entry if who.side > 0 else who.entry / who.mark
    return np.asarray(ratio * _leverage(who))


def largest_first(who: Candidates) -> Floats:
    """The largest positions first, whatever they earn.

    Source: FTX help 360027937831, archived.
    """
    return np.asarray(who.notional, np.float64)


def by_account(who: Candidates) -> Floats:
    """No order but that of account numbers.

    Source: dydxprotocol/v4-chain 84d4664b, clob/keeper/deleveraging.go.
    """
    return np.zeros(len(who))


def _ratio(over: Any, under: Floats) -> Floats:
    # 0 where there is nothing to divide by.
    some = under > NOTHING
    return np.asarray(np.where(some, over / np.where(some, under, 1.0), 0.0))


def _leverage(who: Candidates) -> Floats:
    known = _ratio(who.notional, who.equity)
    return np.where(who.equity > NOTHING, known, RUIN)


RANKINGS: Mapping[str, Ranking] = {
    "binance": leverage_pnl,
    "bitmex": effective_leverage,
    "bybit": effective_leverage,
    "okx": leveraged_return,
    "hyperliquid": price_ratio,
    "ftx": largest_first,
    "dydx": by_account,
}
"""Rankings by the word of a rules file."""

TRANCHES: Mapping[str, int] = {"ftx": 10}
"""Rankings that take so many positions at a time before the next come in."""


def quantiles(scores: Floats) -> Floats:
    """Rank over number of each score: what a venue shows as deleveraging lights.

    The highest score has 1, ties the higher rank.
    Source: https://www.binance.com/en/support/faq/360033525471

    >>> quantiles(np.array([0.3, 1.2, 0.7, 0.7])).tolist()
    [0.25, 1.0, 0.75, 0.75]
    """
    return np.searchsorted(np.sort(scores), scores, side="right") / len(scores)


# -- ALLOCATIONS ---------------------------------------------------------------------

Draw = Callable[[int], int]
"""A random whole number below n."""

Allocation = Callable[[int, Candidates, Draw], Sequence[int]]
"""Lots to take of candidates, which come in the order of their ranking."""


def _queue(required: int, who: Candidates, draw: Draw) -> list[int]:
    taken = [0] * len(who)
    for i, lots in enumerate(who.lots.tolist()):
        taken[i] = min(required, lots)
        required -= taken[i]
        if required == 0:
            break
    return taken


def _contracts_pro_rata(required: int, who: Candidates, draw: Draw) -> list[int]:
    return _pro_rata(required, who.lots, who)


def _pnl_pro_rata(required: int, who: Candidates, draw: Draw) -> list[int]:
    return _pro_rata(required, _micro(who.pnl), who)


def _equity_pro_rata(required: int, who: Candidates, draw: Draw) -> list[int]:
    return _pro_rata(required, _micro(who.equity), who)


def _random(required: int, who: Candidates, draw: Draw) -> list[int]:
    # From a random account on, in the order of account numbers.
    order = np.argsort(who.account, kind="stable")
    order = np.roll(order, -draw(len(who)))
    taken = [0] * len(who)
    for i in order.tolist():
        taken[i] = min(required, int(who.lots[i]))
        required -= taken[i]
        if required == 0:
            break
    return taken


def _pro_rata(required: int, weights: Integers, who: Candidates) -> list[int]:
    lots: list[int] = spread(required, weights, who.lots).tolist()
    return lots


def _micro(usd: Floats) -> Integers:
    return np.clip(usd * MICRO, 0.0, 2.0**62).astype(np.int64)


ALLOCATIONS: Mapping[str, Allocation] = {
    "queue": _queue,
    "contracts_pro_rata": _contracts_pro_rata,
    "pnl_pro_rata": _pnl_pro_rata,
    "equity_pro_rata": _equity_pro_rata,
    "random": _random,
}
"""Allocations by the word of a rules file."""


# -- PRICES --------------------------------------------------------------------------

Pricing = Callable[[int, int], tuple[int, int]]
"""From mark and bankruptcy price, ticks: price of the liquidated, of the other side."""


def _bankruptcy(mark: int, bankrupt: int) -> tuple[int, int]:
    return bankrupt, bankrupt


def _bankruptcy_near_mark(mark: int, bankrupt: int) -> tuple[int, int]:
    # Bybit settles at mark where the bankruptcy price is more than 5 % off it.
    price = mark if 20 * abs(bankrupt - mark) > mark else bankrupt
    return price, price


def _mark(mark: int, bankrupt: int) -> tuple[int, int]:
    return mark, mark


def _zero_price_mix(mark: int, bankrupt: int) -> tuple[int, int]:
    # Two parts zero price, one part mark, to the nearest tick; the fund is between.
    return bankrupt, max(1, (2 * (2 * bankrupt + mark) + 3) // 6)


PRICES: Mapping[str, Pricing] = {
    "bankruptcy": _bankruptcy,
    "bankruptcy_near_mark": _bankruptcy_near_mark,
    "mark": _mark,
    "zero_price_mix": _zero_price_mix,
}
"""Prices by the word of a rules file."""


# -- THE POLICY ----------------------------------------------------------------------


def _first(n: int) -> int:
    return 0


def _named(word: Any, table: Mapping[str, Any]) -> Any:
    if not isinstance(word, str):
        return word
    if word not in table:
        text = f"must be one of {', '.join(table)} (got {word!r})"
        raise ValueError(text + nearest(word, table))
    return table[word]


def _ranking(word: "str | Ranking") -> Ranking:
    return _named(word, RANKINGS)  # type: ignore[no-any-return]


def _allocation(word: "str | Allocation") -> Allocation:
    return _named(word, ALLOCATIONS)  # type: ignore[no-any-return]


def _pricing(word: "str | Pricing") -> Pricing:
    return _named(word, PRICES)  # type: ignore[no-any-return]


@frozen
class Policy:
    """In which order, how much of each, and at what price: a venue's deleveraging.

    ``tranche`` is how many candidates share at a time, all if None; ``draw`` gives
    random whole numbers to the allocation that needs them.

    >>> policy = Policy("binance", "queue")
    >>> policy.price(100, 90)
    (90, 90)
    """

    ranking: Ranking = field(converter=_ranking)
    allocation: Allocation = field(default=_queue, converter=_allocation)
    price: Pricing = field(default=_bankruptcy, converter=_pricing)
    tranche: int | None = None
    draw: Draw = _first

    @classmethod
    def of(cls, rules: Any, draw: Draw = _first) -> "Policy":
        """The policy of a venue's rules of deleveraging."""
        return cls(
            rules.ranking,
            rules.allocation,
            rules.price,
            TRANCHES.get(rules.ranking),
            draw,
        )


def scores(candidates: Candidates, policy: Policy) -> Floats:
    """Scores of candidates by a policy's ranking; what is no number comes last."""
    score = policy.ranking(candidates)
    return np.where(np.isnan(score), -np.inf, score)


def allocate(required: int, candidates: Candidates, policy: Policy) -> Integers:
    """Lots to take of each candidate, in the order they came.

    Each gives from 0 to all of its lots; the sum is ``required``, or all there is.
    Candidates of equal score come by account number. O(n log n).
    """
    order = np.lexsort((candidates.account, -scores(candidates, policy)))
    taken = np.zeros(len(candidates), np.int64)
    size = policy.tranche or max(1, len(candidates))
    for start in range(0, len(candidates), size):
        rows = order[start : start + size]
        part = policy.allocation(required, _rows(candidates, rows), policy.draw)
        taken[rows] = part
        required -= sum(part)
        if required <= 0:
            break
    return taken


def _rows(who: Candidates, rows: Integers) -> Candidates:
    return Candidates(
        side=who.side,
        mark=who.mark,
        account=who.account[rows],
        lots=who.lots[rows],
        notional=who.notional[rows],
        entry=who.entry[rows],
        bankruptcy=who.bankruptcy[rows],
        pnl=who.pnl[rows],
        equity=who.equity[rows],
        wallet=who.wallet[rows],
        maintenance=who.maintenance[rows],
    )


# -- TRIGGERS ------------------------------------------------------------------------


class Drawdown:
    """How far a fund is below its peak of the last so many nanoseconds.

    >>> fund = Drawdown(window=8)
    >>> [fund.see(now, usd) for now, usd in ((0, 100.0), (1, 71.0), (10, 70.0))]
    [0.0, 0.29, 0.0]
    """

    def __init__(self, window: int) -> None:
        self.window = window
        # Peaks to come: times ascending, values descending.
        self._peaks: deque[tuple[int, float]] = deque()

    def see(self, now: int, value: float) -> float:
        """Note what the fund has; return the share of the peak that is gone."""
        peaks = self._peaks
        while peaks and peaks[-1][1] <= value:
            peaks.pop()
        peaks.append((now, value))
        while peaks[0][0] < now - self.window:
            peaks.popleft()
        peak = peaks[0][1]
        return (peak - value) / peak if peak > 0.0 else 0.0


def due(rules: Any, *, fund_after: int, drawdown: float, equity: float) -> bool:
    """Whether a position is closed by deleveraging rather than by the fund.

    ``fund_after`` is what the fund would have after bearing the loss, atoms;
    ``drawdown`` the share of its peak that is gone; ``equity`` that of the account.
    A fund that cannot bear the loss is a trigger under every rule but Hyperliquid's,
    where it is the account's value below zero.
    """
    if rules.trigger == "equity_negative":
        return equity < 0.0
    if rules.trigger == "fund_drawdown" and drawdown >= rules.drawdown:
        return True
    return fund_after < 0
