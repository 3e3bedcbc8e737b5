"""Vectors of loans, lending markets, and of Hyperliquid's mark price."""

import json
from typing import Any

import pytest
from reference_data import vectors_folder

from flashwick.margin.loans import (
    LOANS,
    CloseFactor,
    CometAsset,
    LoanState,
    absorb,
    health_factor,
    liquidation_incentive,
    loan_to_value,
)
from flashwick.margin.marks import hyperliquid_mark

RULE = CloseFactor()


def vector(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What goes into a vector of margin.json, and what comes out, in its tolerance."""
    folder = vectors_folder()
    if folder is None:
        pytest.skip("needs FLASHWICK_VECTORS or FLASHWICK_DATA")
    entries = json.loads((folder / "margin.json").read_text("utf-8"))["vectors"]
    entry = next(entry for entry in entries if entry["id"] == name)
    within = {"rel": entry["tolerance"]["rel"], "abs": entry["tolerance"].get("abs")}
    expected = {
        key: value if isinstance(value, bool) else pytest.approx(value, **within)
        for key, value in entry["expected"].items()
    }
    return entry["inputs"], expected


def test_health_factor_of_the_documentation() -> None:
    """Collateral at its threshold over the debt."""
    given, expected = vector("AAVE-HF")
    health = health_factor(
        [(given["collateral_usd"], given["liq_threshold"])], given["debt_usd"]
    )
    assert health == expected["health_factor"]


def test_liquidation_amounts_follow_the_contract() -> None:
    """Half the debt, all of it below 0.95, all of a small position."""
    given, expected = vector("AAVE-LIQ")
    health, most, seized = [], [], []
    for case in given["cases"]:
        worth, debt = case["coll"] * case["px"], case["debt"]
        health.append(health_factor([(worth, case["lt"])], debt))
        most.append(RULE.most(health[-1], worth, debt, debt))
        taken = RULE.seize(
            health=health[-1], collateral=worth, debt=debt, bonus=case["bonus"]
        )
        seized.append(taken.seized / case["px"])
    assert health == expected["hf"]
    assert most == expected["max_debt"]
    assert seized == expected["collateral_seized"]


def test_liquidation_incentives_follow_the_contract() -> None:
    """Of eight thresholds."""
    given, expected = vector("MORPHO-LIF")
    found = [
        liquidation_incentive(lltv, given["cursor"], given["max"])
        for lltv in given["lltv"]
    ]
    assert found == expected["LIF"]


def test_absorption_follows_the_contract() -> None:
    """All collateral is taken and credited; it is sold at a discount."""
    given, expected = vector("COMET-ABSORB")
    rows = given["collateral"]
    assets = [
        CometAsset(
            worth=row["qty"] * row["px"],
            collateral_factor=row["liquidateCF"],
            liquidation_factor=row["liquidationFactor"],
        )
        for row in rows
    ]
    after = absorb(assets, given["debt"])
    asked = assets[0].ask_price(rows[0]["px"], given["storeFrontPriceFactor"])
    assert after.liquidity == expected["liquidity"]
    assert (after.liquidity < 0) is expected["liquidatable"]
    assert after.credited == expected["credited_to_user"]
    assert (after.balance, after.shortfall) == (expected["new_base_balance"], 0.0)
    assert 1.0 - asked / rows[0]["px"] == expected["discount"]
    assert asked == expected["ask_price"]


def test_loan_to_value_of_an_exchange_loan() -> None:
    """At the start, and the worth of the collateral at the call and the liquidation."""
    given, expected = vector("BINLOAN-LTV")
    levels, loan = LOANS["binance-2020"], given["loan"]
    assert (levels.call, levels.liquidate) == (
        given["margin_call_ltv"],
        given["liq_ltv"],
    )
    ltv = loan_to_value(loan, 0.0, given["collateral_value"])
    assert ltv == expected["ltv"]
    assert levels.state(ltv) is LoanState.OK
    assert loan / levels.call == expected["margin_call_collateral_value"]
    assert loan / levels.liquidate == expected["liq_collateral_value"]


def test_mark_of_hyperliquid_is_the_median_of_three() -> None:
    """Oracle with its basis, own book, and the perpetuals of other venues."""
    given, expected = vector("HL-MARK")
    mark = hyperliquid_mark(
        oracle=given["oracle"],
        basis=given["ema150_basis"],
        bid=given["bid"],
        ask=given["ask"],
        last=given["last"],
        elsewhere=given["cex_perp_weighted_median"],
    )
    assert mark == expected["mark"]
    # With one of the two others out of the way below and one above, each comes out.
    high, none = 1e9, {"bid": 0.0, "ask": 0.0, "last": 0.0}
    book = {name: given[name] for name in none}
    oracle, basis = given["oracle"], given["ema150_basis"]
    first = hyperliquid_mark(oracle=oracle, basis=basis, **none, elsewhere=high)
    second = hyperliquid_mark(oracle=0.0, basis=0.0, **book, elsewhere=high)
    third = hyperliquid_mark(
        oracle=high, basis=0.0, **none, elsewhere=given["cex_perp_weighted_median"]
    )
    assert (first, second, third) == (expected["p1"], expected["p2"], expected["p3"])
