"""Collateralised loans: what the formulas must hold for any position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.margin.loans import (
    LOANS,
    CloseFactor,
    CometAsset,
    LoanLevels,
    LoanState,
    absorb,
    borrows_safely,
    cure_by_adding,
    cure_by_repaying,
    fall_to,
    forced_sale,
    health_factor,
    liquidation_incentive,
    loan_to_value,
)

worths = st.floats(1.0, 1e9)
shares = st.floats(0.05, 0.95)


def test_position_without_debt_is_healthy_whatever_it_holds() -> None:
    """Health and loan-to-value of nothing owed, and of something owed on nothing."""
    assert health_factor([], 0.0) == float("inf")
    assert health_factor([(0.0, 0.8)], 1.0) == 0.0
    assert loan_to_value(0.0, 0.0, 0.0) == 0.0
    assert loan_to_value(1.0, 0.0, 0.0) == float("inf")


@given(worths, worths, shares, st.floats(1.0, 1.2), st.floats(1.0, 1e9))
def test_a_liquidator_never_takes_more_than_there_is(
    collateral: float, debt: float, threshold: float, bonus: float, wanted: float
) -> None:
    """Repaid is at most the debt and what was wanted, seized at most the collateral."""
    health = health_factor([(collateral, threshold)], debt)
    if health >= 1.0:
        return
    rule = CloseFactor(dust=0.0)
    taken = rule.seize(
        health=health, collateral=collateral, debt=debt, bonus=bonus, wanted=wanted
    )
    assert taken.repaid <= min(debt, wanted) * (1.0 + 1e-12)
    assert taken.seized <= collateral * (1.0 + 1e-12)
    assert taken.seized == pytest.approx(taken.repaid * bonus)


def test_half_of_the_whole_debt_caps_each_pair() -> None:
    """Of a position with two debts, one may be repaid whole if it is the smaller."""
    rule = CloseFactor()
    assert rule.most(0.97, 50_000.0, 10_000.0, 40_000.0) == 10_000.0
    assert rule.most(0.97, 50_000.0, 30_000.0, 40_000.0) == 20_000.0
    assert rule.most(0.95, 50_000.0, 30_000.0, 40_000.0) == 30_000.0
    assert rule.most(0.97, 1_999.0, 30_000.0, 40_000.0) == 30_000.0


def test_dust_and_healthy_positions_are_refused() -> None:
    """With the figures; a liquidation that takes one side whole leaves no dust."""
    rule = CloseFactor()
    with pytest.raises(ValueError, match=r"'health' must be below 1 .* \(got 1.2\)"):
        rule.seize(health=1.2, collateral=100.0, debt=50.0, bonus=1.05)
    with pytest.raises(ValueError, match=r"got 500 and .* left"):
        rule.seize(
            health=0.9, collateral=9_000.0, debt=8_000.0, bonus=1.05, wanted=7_500.0
        )
    taken = rule.seize(health=0.9, collateral=9_000.0, debt=8_500.0, bonus=1.1)
    assert taken == pytest.approx((9_000.0 / 1.1, 9_000.0))


@given(st.floats(0.0, 1.0))
def test_morpho_incentive_falls_as_the_threshold_rises(lltv: float) -> None:
    """From 15 % to nothing; the last position at the line is still healthy."""
    assert 1.0 <= liquidation_incentive(lltv) <= 1.15
    assert liquidation_incentive(lltv) >= liquidation_incentive(min(1.0, lltv + 0.01))
    assert borrows_safely(100.0, 100.0 * lltv, lltv)


@given(worths, worths, shares)
def test_an_absorbed_account_owns_or_the_market_bears(
    worth: float, debt: float, factor: float
) -> None:
    """Credit less debt is either the account's or the market's, never both."""
    asset = CometAsset(worth=worth, collateral_factor=0.9 * factor,
                       liquidation_factor=factor)  # fmt: skip
    after = absorb([asset], debt)
    assert after.balance - after.shortfall == pytest.approx(worth * factor - debt)
    assert min(after.balance, after.shortfall) == 0.0


@given(worths, shares, shares, st.floats(0.0, 0.04))
def test_every_cure_ends_at_the_target(
    collateral: float, ltv: float, target: float, fee: float
) -> None:
    """Repaying, adding collateral, and a forced sale with its fee."""
    owed = ltv * collateral
    repaid = owed - cure_by_repaying(owed, collateral, target)
    added = collateral + cure_by_adding(owed, collateral, target)
    low = min(ltv, target)
    assert loan_to_value(repaid, 0.0, collateral) == pytest.approx(low)
    assert loan_to_value(owed, 0.0, added) == pytest.approx(low)
    sold = forced_sale(owed, collateral, target, fee)
    assert 0.0 <= sold <= collateral
    if 0.0 < sold < collateral:
        left = owed - (1.0 - fee) * sold, collateral - sold
        assert left[0] == pytest.approx(target * left[1], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("product", LOANS)
def test_states_of_a_loan_follow_its_levels(product: str) -> None:
    """At a level the loan is in the worse state."""
    levels = LOANS[product]
    below = levels.call * (1.0 - 1e-12)
    assert levels.state(below) is LoanState.OK
    assert levels.state(levels.call) is LoanState.CALLED
    assert levels.state(levels.liquidate) is LoanState.LIQUIDATE
    assert fall_to(levels.initial, levels.liquidate) > fall_to(
        levels.initial, levels.call
    )


@pytest.mark.parametrize("wrong", [(0.8, 0.75, 0.9), (0.7, 0.8, 1.1), (0.0, 0.5, 0.9)])
def test_levels_out_of_order_are_refused(wrong: tuple[float, float, float]) -> None:
    """With all three."""
    initial, call, liquidate = wrong
    with pytest.raises(ValueError, match="must satisfy 0 < initial <= call"):
        LoanLevels(initial=initial, call=call, liquidate=liquidate)
