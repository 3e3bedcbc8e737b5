"""What a liquidator earns, and how much it takes: nothing that does not pay."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import attrs

from .isolated import IsolatedMarket, Liquidation
from .lending_pool import LendingPool, Prices
from .lending_pool import Liquidation as SharedLiquidation
from .pools import INPUT_MAX, Pool
from .protocol import Refused, Transfer, require


@attrs.frozen
class PoolRoute:
    """A sale into a pool, in the same transaction: a flash loan pays for the rest."""

    pool: Pool
    give: str
    get: str

    def proceeds(self, atoms: int) -> int:
        """What the pool pays."""
        if not 0 < atoms <= INPUT_MAX:
            return 0
        try:
            return self.pool.quote(self.give, self.get, atoms)
        except Refused:
            return 0


@attrs.frozen
class BookRoute:
    """A sale into the bids of an exchange's book, after a transfer there.

    ``bids`` are price and atoms, best first; ``keep`` is the share of the price that
    is left after fees, the cost of the transfer and what the wait may cost.
    """

    bids: tuple[tuple[float, int], ...]
    keep: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse to keep more than there is."""
        require(0.0 < self.keep <= 1.0, "keep", "be above 0, at most 1", self.keep)

    def proceeds(self, atoms: int) -> int:
        """What the bids pay, down to the last that there is."""
        paid, left = 0.0, atoms
        for price, size in self.bids:
            taken = min(left, size)
            paid += taken * price
            left -= taken
            if not left:
                break
        return int(paid * self.keep)


LARGE = 1 << 40
"""Of so many atoms a millionth is enough for rounding not to matter."""


def largest_paying(most: int, profit: Callable[[int], int], *, cost: int = 0) -> int:
    """The largest amount up to ``most`` whose profit, less a cost, is no loss; else 0.

    What a route pays for one more atom falls as more is sold, so that profit has one
    peak: from an amount that pays the largest that still does is looked for above.
    O(log(most)) quotes.

    Source of the rule: a liquidation happens if ``proceeds − gas ≥ repaid``.
    """
    if most <= 0:
        return 0
    # If the first bit of a large amount does not pay, no more of it does.
    if not cost and most >= LARGE and profit(most >> 20) < 0:
        return 0
    low, high = most, most
    while profit(low) < cost:
        low, high = low // 2, low
        # Less than a millionth is nothing that anybody would send an order for.
        if low <= most >> 20:
            low, high = _peak(profit, most) if cost else 0, most
            break
    if low == 0 or profit(low) < cost:
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if profit(middle) >= cost else (low, middle)
    return low


def _peak(profit: Callable[[int], int], most: int) -> int:
    # With a cost only a narrow range of amounts may pay: the peak is in it.
    low, high = 0, most
    while high - low > 2:
        third = (high - low) // 3
        a, b = low + third, high - third
        low, high = (a, high) if profit(a) < profit(b) else (low, b)
    return max(range(low, high + 1), key=profit)


# -- Liquidations that pay for themselves


class FlashSale(NamedTuple):
    """A liquidation and the sale that paid for it, in one transaction."""

    repaid: int
    seized: int
    bad_debt: int
    profit: int
    pool: Pool
    transfers: tuple[Transfer, ...]


class Route(Protocol):
    """Where seized collateral can be sold."""

    def proceeds(self, atoms: int) -> int:
        """What a sale of so many atoms pays."""


def best_isolated(
    bot: str,
    who: str,
    market: IsolatedMarket,
    route: Route,
    price: int,
    now_ns: int,
    *,
    cost: int = 0,
    money: int | None = None,
) -> tuple[IsolatedMarket, Liquidation] | None:
    """Liquidate as much of a position as a sale by the route pays for; None if none.

    ``price`` is what the market's oracle says; ``cost`` is the gas and ``money`` the
    most that can be repaid, atoms of the loan asset.
    """
    market = market.accrue(now_ns)
    if market.healthy(who, price):
        return None
    has = market.position(who)

    def by_collateral(atoms: int) -> tuple[IsolatedMarket, Liquidation]:
        return market.liquidate(bot, who, price, now_ns, seize=atoms)

    def by_debt(shares: int) -> tuple[IsolatedMarket, Liquidation]:
        return market.liquidate(bot, who, price, now_ns, repay_shares=shares)

    # All of the debt where the collateral is enough for it, else all of that.
    act: Callable[[int], tuple[IsolatedMarket, Liquidation]] = by_debt
    most = has.borrow_shares
    if _tried(by_debt, most) is None:
        act, most = by_collateral, has.collateral

    def profit(amount: int) -> int:
        done = _tried(act, amount)
        if done is None or (money is not None and done[1].repaid > money):
            return -1
        return route.proceeds(done[1].seized) - done[1].repaid

    amount = largest_paying(most, profit, cost=cost)
    return act(amount) if amount else None


def sell_isolated(
    bot: str,
    who: str,
    market: IsolatedMarket,
    pool: Pool,
    price: int,
    now_ns: int,
    *,
    cost: int = 0,
) -> tuple[IsolatedMarket, FlashSale] | None:
    """The same with a sale into a pool in one transaction; the bot needs no money."""
    give, get = market.terms.collateral, market.terms.loan
    route = PoolRoute(pool, give, get)
    found = best_isolated(bot, who, market, route, price, now_ns, cost=cost)
    if found is None:
        return None
    after, taken = found
    done = taken.repaid, taken.seized, taken.bad_debt
    return after, _sold(bot, pool, (give, get), done, taken.transfers)


def best_shared(
    bot: str,
    who: str,
    lending: LendingPool,
    pair: tuple[str, str],
    route: Route,
    prices: Prices,
    now_ns: int,
    *,
    cost: int = 0,
    money: int | None = None,
) -> tuple[LendingPool, SharedLiquidation] | None:
    """What `best_isolated` is, of a pair of collateral and debt in a shared pool."""
    collateral, debt = pair
    lending = lending.accrue(now_ns)
    if lending.health(who, prices, now_ns).safe:
        return None

    def act(wanted: int) -> tuple[LendingPool, SharedLiquidation]:
        return lending.liquidate(bot, who, collateral, debt, wanted, prices, now_ns)

    def profit(amount: int) -> int:
        done = _tried(act, amount)
        return route.proceeds(done[1].seized) - done[1].repaid if done else -1

    most = lending.reserves[debt].debt(who)
    most = most if money is None else min(most, money)
    amount = largest_paying(most, profit, cost=cost)
    return act(amount) if amount else None


def sell_shared(
    bot: str,
    who: str,
    lending: LendingPool,
    pair: tuple[str, str],
    pool: Pool,
    prices: Prices,
    now_ns: int,
    *,
    cost: int = 0,
) -> tuple[LendingPool, FlashSale] | None:
    """The same with a sale into a pool in one transaction."""
    route = PoolRoute(pool, *pair)
    found = best_shared(bot, who, lending, pair, route, prices, now_ns, cost=cost)
    if found is None:
        return None
    after, taken = found
    done = taken.repaid, taken.seized, sum(taken.bad_debt.values())
    return after, _sold(bot, pool, pair, done, taken.transfers)


T = TypeVar("T")


def _tried(act: Callable[[int], T], amount: int) -> T | None:
    try:
        return act(amount)
    except Refused:
        return None


def _sold(
    bot: str,
    pool: Pool,
    pair: tuple[str, str],
    done: tuple[int, int, int],
    moves: tuple[Transfer, ...],
) -> FlashSale:
    repaid, seized, bad = done
    after, trade = pool.swap(bot, *pair, seized)
    profit = trade.amount_out - repaid
    return FlashSale(repaid, seized, bad, profit, after, (*moves, *trade.transfers))


def improves_health(threshold: float, bonus: float) -> float:
    """The health factor above which a liquidation makes the rest healthier.

    ``LT·(1 + b)``: below it, every liquidation leaves the position worse.

    >>> round(improves_health(0.92, 0.02), 4)
    0.9384
    """
    return threshold * (1.0 + bonus)


def bad_debt_above(bonus: float) -> float:
    """The loan-to-value above which the collateral cannot pay debt and bonus.

    >>> round(bad_debt_above(0.02), 4)
    0.9804
    """
    return 1.0 / (1.0 + bonus)
