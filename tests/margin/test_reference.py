"""The readable valuation of one account."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.margin.reference import (
    Balance,
    PerpOrder,
    Position,
    SpotOrder,
    account_health,
)
from flashwick.margin.rules import Rules

RULES = Rules.preset("binance-pm")
PRICES = {"USDT": 1.0, "BTC": 100_000.0, "WBETH": 4_000.0, "NEW": 2.0}


def test_an_account_without_margin_is_as_healthy_as_its_equity_is_positive() -> None:
    """Infinite health, or minus infinite once adjusted equity is negative."""
    for wallet, health in ((0.0, math.inf), (5.0, math.inf), (-1.0, -math.inf)):
        valued = account_health({"USDT": Balance(wallet)}, [], PRICES, RULES)
        assert valued == (wallet, wallet, 0.0, health)


def test_collateral_is_cut_and_debts_are_not() -> None:
    """An unlisted asset counts a tenth; what is owed counts in full."""
    held = {"NEW": Balance(100.0), "BTC": Balance(0.5, borrowed=1.0, interest=0.1)}
    valued = account_health(held, [], PRICES, RULES)
    assert valued.equity == pytest.approx(200.0 - 60_000.0)
    assert valued.adjusted == pytest.approx(20.0 - 60_000.0)
    assert valued.maintenance == pytest.approx(0.08 * 100_000.0)


def test_profit_is_collateral_of_the_settle_asset() -> None:
    """A loss in an asset that is not held is a debt in that asset."""
    position = Position("ATOM/USDT:PERP", "USDT", -1_000.0, 4.0, 5.0)
    valued = account_health({"WBETH": Balance(10.0)}, [position], PRICES, RULES)
    assert valued.equity == pytest.approx(40_000.0 - 1_000.0)
    assert valued.adjusted == pytest.approx(36_000.0 - 1_000.0)
    assert valued.maintenance == pytest.approx(5_000.0 * 0.006)
    assert valued.health == pytest.approx(35_000.0 / 30.0)


def test_a_position_has_the_margin_of_its_notional_in_the_settle_asset() -> None:
    """A settle asset off its peg makes the margin smaller in US dollars."""
    position = Position("BTC/USDT:PERP", "USDT", 10.0, 100_000.0, 100_000.0)
    prices = PRICES | {"USDT": 0.9}
    valued = account_health({"USDT": Balance(0.0)}, [position], prices, RULES)
    assert valued.maintenance == pytest.approx(5_000.0 * 0.9)


def test_a_spot_order_costs_the_collateral_it_would_lose() -> None:
    """Buying an unlisted asset gives up nine tenths; selling one gives up nothing."""
    held = {"USDT": Balance(1_000.0), "NEW": Balance(100.0)}
    buys = SpotOrder("USDT", 200.0, "NEW", 100.0)
    sells = SpotOrder("NEW", 100.0, "USDT", 200.0)
    bare = account_health(held, [], PRICES, RULES)
    assert bare.adjusted == pytest.approx(1_020.0)
    bought = account_health(held, [], PRICES, RULES, [buys])
    assert bought.adjusted == pytest.approx(1_020.0 - 180.0)
    assert account_health(held, [], PRICES, RULES, [sells]) == bare


def test_a_perpetual_order_costs_what_it_is_worse_than_the_mark() -> None:
    """A buy above and a sell below the mark lose; the other way round nothing."""
    held = {"USDT": Balance(1_000.0)}
    losses = []
    for qty, limit in ((10.0, 5.5), (10.0, 4.5), (-10.0, 4.5), (-10.0, 5.5)):
        order = PerpOrder("USDT", qty, limit, 5.0)
        valued = account_health(held, [], PRICES, RULES, [order])
        losses.append(1_000.0 - valued.adjusted)
    assert losses == pytest.approx([5.0, 0.0, 5.0, 0.0])


@given(
    st.dictionaries(st.sampled_from(sorted(PRICES)), st.floats(-1e6, 1e6)),
    st.floats(-1e4, 1e4),
)
def test_haircuts_only_ever_take_away(wallets: dict[str, float], qty: float) -> None:
    """Adjusted equity is at most equity, and margin is never negative."""
    position = Position("ATOM/USDT:PERP", "USDT", qty, 4.0, 5.0)
    held = {asset: Balance(wallet) for asset, wallet in wallets.items()}
    valued = account_health(held, [position], PRICES, RULES)
    assert valued.adjusted <= valued.equity + 1e-6 * abs(valued.equity) + 1e-3
    assert valued.maintenance >= 0.0
