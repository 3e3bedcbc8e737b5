"""Loops: collateral bought with what was borrowed against it, over and over."""

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple, Self

import attrs

from .liquidators import PoolRoute, largest_paying
from .pools import Pool, input_for
from .protocol import Refused, require, require_amount


class LoopState(NamedTuple):
    """Collateral and debt of a loop, in units of its equity, at the price of entry."""

    collateral: float
    debt: float

    @property
    def equity(self) -> float:
        """What the looper owns."""
        return self.collateral - self.debt

    @property
    def leverage(self) -> float:
        """Collateral over equity."""
        return self.collateral / self.equity

    @property
    def ltv(self) -> float:
        """Debt over collateral."""
        return self.debt / self.collateral

    def liquidation_drop(self, threshold: float) -> float:
        """The fall of the price at which it is liquidated; below 0 it is already."""
        return 1.0 - self.debt / (self.collateral * threshold)

    @property
    def wipe_out_drop(self) -> float:
        """The fall at which the equity is gone: one over the leverage."""
        return 1.0 - self.ltv

    def bad_debt_drop(self, bonus: float) -> float:
        """The fall from which the collateral cannot pay debt and liquidator."""
        return 1.0 - self.ltv * (1.0 + bonus)

    def equity_lost(self, drop: float) -> float:
        """The share of the equity that a fall of the price takes."""
        return drop * self.leverage

    def net_yield(self, earned: float, paid: float) -> float:
        """What the equity earns a year: on all collateral, less what is owed."""
        return self.leverage * earned - (self.leverage - 1.0) * paid

    def rate_for(self, earned: float, net: float) -> float:
        """The borrowing rate at which the equity earns ``net``."""
        return (self.leverage * earned - net) / (self.leverage - 1.0)


@attrs.frozen(kw_only=True)
class Loop:
    """How a loop is built: a share is borrowed, swapped and deposited again.

    ``rounds`` counts the deposits after the first. ``cost`` is what each swap loses.

    Formula: with ``q = L·(1 − s)``, ``C = E·(1 − q^(n+1))/(1 − q)`` and
    ``D = E·L·(1 − q^n)/(1 − q)``.

    >>> state = Loop(equity=100_000, ltv=0.8, rounds=5).state()
    >>> round(state.collateral), round(state.debt), round(state.wipe_out_drop, 5)
    (368928, 268928, 0.27106)
    """

    equity: float
    ltv: float
    rounds: int
    cost: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Refuse a loop that never ends."""
        require(self.equity > 0.0, "equity", "be above 0", self.equity)
        require(0.0 < self.ltv < 1.0, "ltv", "be above 0 and below 1", self.ltv)
        require(self.rounds >= 0, "rounds", "not be below 0", self.rounds)
        require(0.0 <= self.cost < 1.0, "cost", "be from 0 to below 1", self.cost)

    def state(self) -> LoopState:
        """What there is after the last round."""
        collateral, debt, deposit = self.equity, 0.0, self.equity
        for _ in range(self.rounds):
            debt += deposit * self.ltv
            deposit *= self.ltv * (1.0 - self.cost)
            collateral += deposit
        return LoopState(collateral, debt)

    def limit(self) -> LoopState:
        """What it would be after endless rounds."""
        left = 1.0 - self.ltv * (1.0 - self.cost)
        return LoopState(self.equity / left, self.equity * self.ltv / left)

    def rounds_for(self, leverage: float) -> int:
        """The fewest rounds that exceed a leverage; Refused if none does."""
        limit = self.limit().leverage
        right = leverage < limit * (1.0 - 1e-9)
        require(right, "leverage", f"be below the limit, {limit:g}", leverage)
        n = 0
        while attrs.evolve(self, rounds=n).state().leverage <= leverage:
            n += 1
        return n


# -- Unwinding


class Unwound(NamedTuple):
    """What unwinding left: collateral, what is still owed, the pool, the rounds."""

    collateral: int
    debt: int
    pool: Pool
    rounds: int


def unwind_flash(
    pool: Pool, give: str, get: str, collateral: int, debt: int
) -> Unwound:
    """Repay with a flash loan and sell the least collateral that pays it back.

    Refused if all of the collateral would not: a cliff, since the pool pays less and
    less.
    """
    require_amount("debt", debt)
    sold = input_for(pool, give, get, debt)
    must = f"be at least the {sold} that repaying takes"
    require(sold <= collateral, "collateral", must, collateral)
    after, _ = pool.swap("", give, get, sold, least=debt)
    return Unwound(collateral - sold, 0, after, 1)


def unwind_rounds(
    pool: Pool,
    give: str,
    get: str,
    collateral: int,
    debt: int,
    *,
    threshold: float,
    price: float = 1.0,
    rounds_max: int = 100,
) -> Unwound:
    """Withdraw what the debt does not need, sell it, repay, until nothing is owed.

    ``price`` is the lending market's, atoms of debt for one of collateral, and
    ``threshold`` its liquidation threshold. Ends with what is still owed when nothing
    is free any more.
    """
    require(price > 0.0, "price", "be above 0", price)
    require(0.0 < threshold < 1.0, "threshold", "be above 0, below 1", threshold)
    rounds = 0
    while debt > 0 and rounds < rounds_max:
        free = collateral - int(debt / (threshold * price)) - 1
        if free <= 0:
            break
        try:
            sold = min(free, input_for(pool, give, get, debt))
        except Refused:
            sold = free
        pool, trade = pool.swap("", give, get, sold)
        collateral -= sold
        debt -= min(debt, trade.amount_out)
        rounds += 1
    return Unwound(collateral, debt, pool, rounds)


# -- What is counted more than once


class Illusion(NamedTuple):
    """Deposits as they are added up, what came from outside, and the ratio."""

    gross: float
    external: float
    multiple: float
    recursive_share: float


def illusion(loops: Sequence[LoopState], lenders: float = 0.0) -> Illusion:
    """How much of what loops show as deposits is their own money, deposited again.

    >>> round(illusion([Loop(equity=1, ltv=0.8, rounds=5).state()]).recursive_share, 3)
    0.729
    """
    deposits = fsum(loop.collateral for loop in loops)
    own = fsum(loop.equity for loop in loops)
    gross, external = deposits + lenders, own + lenders
    require(external > 0.0, "loops", "have equity", external)
    return Illusion(gross, external, gross / external, 1.0 - own / deposits)


# -- The cascade


@attrs.frozen(kw_only=True)
class Cohort:
    """Loopers with the same loan: atoms of collateral and of debt."""

    collateral: int
    debt: int

    def healthy(self, price: float, threshold: float) -> bool:
        """Whether the collateral at its threshold covers the debt."""
        return self.collateral * price * threshold >= self.debt


@attrs.frozen(kw_only=True)
class Cascade:
    """Cohorts of loopers around one pool, in which their collateral is sold.

    Each round reads the oracle once; liquidators then take from every unhealthy cohort
    as much as pays them, all of the debt at most, and sell it into the pool. Debt
    without collateral is bad. ``oracle`` is ``spot`` for the pool's price or ``peg``
    for 1; ``floor`` bounds either from below.
    """

    pool: Pool
    give: str
    get: str
    cohorts: tuple[Cohort, ...]
    threshold: float
    bonus: float
    oracle: str = "spot"
    floor: float = 0.0
    rounds: int = 0
    liquidated: int = 0
    bad_debt: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse an oracle that is none."""
        known = ("spot", "peg")
        right = self.oracle in known
        require(right, "oracle", f"be one of {', '.join(known)}", self.oracle)

    @property
    def price(self) -> float:
        """The pool's price."""
        return self.pool.price(self.give, self.get)

    @property
    def shortfall(self) -> float:
        """What the collateral lacks to pay the debts at the pool's price."""
        price = self.price
        return fsum(max(0.0, row.debt - row.collateral * price) for row in self.cohorts)

    def shocked(self, atoms: int) -> Self:
        """After somebody sold so much into the pool."""
        pool, _ = self.pool.swap("", self.give, self.get, atoms)
        return attrs.evolve(self, pool=pool)

    def step(self) -> tuple[Self, bool]:
        """One round, and whether anybody was liquidated in it."""
        price = max(self.price if self.oracle == "spot" else 1.0, self.floor)
        state, cohorts = self, list(self.cohorts)
        for i, cohort in enumerate(cohorts):
            if cohort.debt and not cohort.healthy(price, self.threshold):
                state, cohorts[i] = state._liquidated(cohort, price)
        acted = state.liquidated > self.liquidated
        rounds = self.rounds + 1
        return attrs.evolve(state, cohorts=tuple(cohorts), rounds=rounds), acted

    def _liquidated(self, cohort: Cohort, price: float) -> tuple[Self, Cohort]:
        rate = (1.0 + self.bonus) / price
        # More debt than the collateral pays for is not repaid.
        most = min(cohort.debt, int(cohort.collateral / rate))
        whole = cohort.debt * rate >= cohort.collateral

        def seized(repaid: int) -> int:
            if whole and repaid == most:
                return cohort.collateral
            return min(int(repaid * rate), cohort.collateral)

        route = PoolRoute(self.pool, self.give, self.get)
        repaid = largest_paying(
            most, lambda amount: route.proceeds(seized(amount)) - amount
        )
        taken = seized(repaid) if repaid else 0
        if not taken:
            return self, cohort
        pool, _ = self.pool.swap("", self.give, self.get, taken)
        left = Cohort(collateral=cohort.collateral - taken, debt=cohort.debt - repaid)
        bad = 0 if left.collateral else left.debt
        after = attrs.evolve(
            self,
            pool=pool,
            liquidated=self.liquidated + taken,
            bad_debt=self.bad_debt + bad,
        )
        return after, attrs.evolve(left, debt=left.debt - bad)

    def run(self, rounds_max: int = 100) -> Self:
        """Rounds until nobody is liquidated any more, or the most there may be."""
        state, acted = self, True
        while acted and state.rounds < rounds_max:
            state, acted = state.step()
        return state


def double_leverage(loan_ltv: float, loop_leverage: float) -> float:
    """What coins carry whose owner borrows on them and loops the loan: 1 + L·λ.

    >>> round(double_leverage(0.6, 3.68928), 2)
    3.21
    """
    require(0.0 <= loan_ltv < 1.0, "loan_ltv", "be from 0 to below 1", loan_ltv)
    return 1.0 + loan_ltv * loop_leverage


def sold_to_cure(need: float, loop_leverage: float) -> float:
    """What a loop sells to free ``need`` at the same leverage: λ·need.

    >>> round(sold_to_cure(15.0, 3.68928), 1)
    55.3
    """
    require(loop_leverage >= 1.0, "loop_leverage", "be at least 1", loop_leverage)
    return need * loop_leverage
