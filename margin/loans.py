"""Collateralised loans: lending markets on a chain, and loans of an exchange.

The formulas a position is judged and liquidated by. Worths are US dollars, thresholds,
factors and loan-to-values shares of 1, bonuses and incentives multiples of the debt.
"""

from collections.abc import Iterable
from enum import IntEnum
from math import fsum, inf
from typing import NamedTuple

from attrs import frozen

# -- AAVE


def health_factor(collateral: Iterable[tuple[float, float]], debt: float) -> float:
    """Return what collateral counts for over the debt; below 1 it can be liquidated.

    ``collateral`` is pairs of worth and liquidation threshold. Infinite without debt.

    Source: https://aave.com/help/borrowing/liquidations

    >>> round(health_factor([(10_000, 0.8)], 6_000), 3)
    1.333
    """
    counted = fsum(worth * threshold for worth, threshold in collateral)
    return counted / debt if debt > 0.0 else inf


class Seizure(NamedTuple):
    """What a liquidator repays and gets for it, US dollars."""

    repaid: float
    seized: float


@frozen(kw_only=True)
class CloseFactor:
    """How much of a debt one liquidation may repay, as of Aave v3.3.

    A ``share`` of the whole debt of the position while the health factor is above
    ``health`` and the pair of collateral and debt both are worth ``least`` dollars;
    all of the debt of the pair otherwise. What is left of either must be nothing or
    ``dust`` dollars.

    Source: https://github.com/aave-dao/aave-v3-origin/blob/fd1fbd9150426ca8ace9cee45b4
    acf912ae84f5b/src/contracts/protocol/libraries/logic/LiquidationLogic.sol
    """

    share: float = 0.5
    health: float = 0.95
    least: float = 2_000.0
    dust: float = 1_000.0

    def most(
        self, health: float, collateral: float, debt: float, total_debt: float
    ) -> float:
        """Return the most of a pair's debt that one liquidation may repay.

        >>> CloseFactor().most(0.97, 20_000, 16_400, 16_400)
        8200.0
        """
        large = collateral >= self.least and debt >= self.least
        if large and health > self.health:
            return min(debt, self.share * total_debt)
        return debt

    def seize(
        self,
        *,
        health: float,
        collateral: float,
        debt: float,
        bonus: float,
        total_debt: float | None = None,
        wanted: float = inf,
    ) -> Seizure:
        """Return what a liquidator repays of a pair's debt, and the collateral it gets.

        ``bonus`` is what a dollar of debt buys, 1.05 for a bonus of 5 %. ValueError for
        a position that is healthy, or if what is left of both would be dust.
        """
        if health >= 1.0:
            raise ValueError(f"'health' must be below 1 to liquidate (got {health:g})")
        whole = debt if total_debt is None else total_debt
        repaid = min(wanted, self.most(health, collateral, debt, whole))
        if repaid * bonus > collateral:
            repaid = collateral / bonus
        seized = repaid * bonus
        rest = debt - repaid, collateral - seized
        # Rounding may leave a trifle of what is taken whole.
        trifle = 1e-9 * max(debt, collateral)
        if min(rest) > trifle and min(rest) < self.dust:
            raise ValueError(
                f"'wanted' must leave nothing, or at least {self.dust:g} US dollars, "
                f"of debt and collateral (got {rest[0]:g} and {rest[1]:g} left)"
            )
        return Seizure(repaid, seized)


# -- MORPHO


def liquidation_incentive(
    lltv: float, cursor: float = 0.3, most: float = 1.15
) -> float:
    """Return the collateral a liquidator gets for a dollar of debt, US dollars.

    There is no close factor, and what is still owed once the collateral is gone is
    taken from the suppliers.

    Source: https://github.com/morpho-org/morpho-blue/blob/3085651a79553bbabbfd8be309c26
    2dab45b686e/src/Morpho.sol

    >>> round(liquidation_incentive(0.86), 4)
    1.0438
    """
    return min(most, 1.0 / (1.0 - cursor * (1.0 - lltv)))


def borrows_safely(collateral: float, debt: float, lltv: float) -> bool:
    """Return whether a Morpho position is healthy: collateral × LLTV covers the debt.

    >>> borrows_safely(100.0, 86.0, 0.86), borrows_safely(100.0, 86.1, 0.86)
    (True, False)
    """
    return collateral * lltv >= debt


# -- COMPOUND III


@frozen(kw_only=True)
class CometAsset:
    """Collateral in a Comet market.

    Its worth counts with ``collateral_factor`` against the debt, is credited with
    ``liquidation_factor`` when the protocol takes it, and is then sold with a discount.
    """

    worth: float
    collateral_factor: float
    liquidation_factor: float

    def ask_price(self, price: float, store_front: float) -> float:
        """Return the price the protocol sells at, in the unit of ``price``.

        ``store_front`` is the share of the liquidation penalty a buyer gets.

        >>> eth = CometAsset(
        ...     worth=2_000.0, collateral_factor=0.9, liquidation_factor=0.95
        ... )
        >>> round(eth.ask_price(2_000.0, store_front=0.6), 6)
        1940.0
        """
        return price * (1.0 - store_front * (1.0 - self.liquidation_factor))


class Absorption(NamedTuple):
    """What becomes of an account that a Comet market absorbs, US dollars."""

    liquidity: float  # below 0: it can be absorbed
    credited: float  # for all its collateral
    balance: float  # what it owns afterwards; never below 0
    shortfall: float  # debt that the market bears


def absorb(collateral: Iterable[CometAsset], debt: float) -> Absorption:
    """Return what absorbing an account does: all of it, in one step.

    Source: https://github.com/compound-finance/comet/blob/d5a30b0aaeff7755f1431e87f8189
    90902237b03/contracts/Comet.sol
    """
    assets = list(collateral)
    counted = fsum(asset.worth * asset.collateral_factor for asset in assets)
    credited = fsum(asset.worth * asset.liquidation_factor for asset in assets)
    return Absorption(
        liquidity=counted - debt,
        credited=credited,
        balance=max(credited - debt, 0.0),
        shortfall=max(debt - credited, 0.0),
    )


# -- LOANS OF AN EXCHANGE


class LoanState(IntEnum):
    """What a lender does about a loan, from its loan-to-value."""

    OK = 0
    CALLED = 1
    LIQUIDATE = 2


@frozen(kw_only=True)
class LoanLevels:
    """Loan-to-values at which a loan starts, is called for margin, and is liquidated.

    Loan-to-value is principal and interest over the collateral at index, no haircut.
    """

    initial: float
    call: float
    liquidate: float

    def __attrs_post_init__(self) -> None:
        """Refuse levels out of order."""
        if not 0.0 < self.initial <= self.call <= self.liquidate <= 1.0:
            raise ValueError(
                "levels must satisfy 0 < initial <= call <= liquidate <= 1 "
                f"(got {self.initial:g}, {self.call:g}, {self.liquidate:g})"
            )

    def state(self, ltv: float) -> LoanState:
        """Return the state of a loan: at a level it is in the worse state.

        >>> LOANS["binance-flexible"].state(0.85).name
        'CALLED'
        """
        if ltv >= self.liquidate:
            return LoanState.LIQUIDATE
        return LoanState.CALLED if ltv >= self.call else LoanState.OK


LOANS = {
    # The product of 2020, BTC as collateral: https://bitcointalk.org/index.php?topic=
    # 5248835, a worked example by a third party.
    "binance-2020": LoanLevels(initial=0.65, call=0.75, liquidate=0.83),
    # Flexible loans: from memory, not confirmed.
    "binance-flexible": LoanLevels(initial=0.78, call=0.85, liquidate=0.91),
    # Loans to VIPs: the exchange's FAQ; calls and delays are customised there.
    "binance-vip": LoanLevels(initial=0.72, call=0.77, liquidate=0.91),
}
"""Levels of loans that venues offer, by product."""


def loan_to_value(principal: float, interest: float, collateral: float) -> float:
    """Return what is owed over the worth of the collateral; infinite without any."""
    owed = principal + interest
    return owed / collateral if collateral > 0.0 else inf if owed > 0.0 else 0.0


def fall_to(ltv: float, level: float) -> float:
    """Return the share of its worth that collateral loses until a level is reached.

    >>> round(fall_to(0.72, 0.91), 3)
    0.209
    """
    return 1.0 - ltv / level


def cure_by_repaying(owed: float, collateral: float, target: float) -> float:
    """Return the US dollars to repay until the loan-to-value is the target."""
    return max(owed - target * collateral, 0.0)


def cure_by_adding(owed: float, collateral: float, target: float) -> float:
    """Return the US dollars of collateral to add until it is the target."""
    return max(owed / target - collateral, 0.0)


def forced_sale(owed: float, collateral: float, target: float, fee: float) -> float:
    """Return the US dollars of collateral to sell until it is the target.

    ``fee`` is the share of the sale that does not repay. All of the collateral where
    selling cannot bring it there.

    >>> sold = forced_sale(92.0, 100.0, 0.72, 0.02)
    >>> round((92.0 - 0.98 * sold) / (100.0 - sold), 9)
    0.72
    """
    if owed <= target * collateral:
        return 0.0
    repays = 1.0 - fee - target
    sold = (owed - target * collateral) / repays if repays > 0.0 else collateral
    return min(sold, collateral)


# -- BINANCE PORTFOLIO MARGIN


def virtual_max_loan(
    max_withdraw: float, leverage: float, virtual_spot_loan: float
) -> float:
    """Most US dollars an account can borrow at a leverage above 1.

    Source: https://www.binance.com/en/support/faq/446ce2c3357a449599c82436078b0e3b
    """
    free = max_withdraw - virtual_spot_loan / (leverage - 1.0)
    return (leverage - 1.0) * max(free, 0.0)
