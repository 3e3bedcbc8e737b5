"""The readable valuation of one account."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.margin.fills import PerpOrder, SpotOrder
from flashwick.margin.reference import Balance, Position, account_health
from flashwick.margin.rules import Rules

RULES = Rules.preset("binance-pm")
PRICES = {"USDT": 1.0, "BTC": 100_000.0, "WBETH": 4_000.0, "NEW": 2.0}


def test_an_account_without_margin_is_as_healthy_as_its_equity_is_positive() -> None:
    """Infinite health, or minus infinite once adjusted equity is negative."""
    for wallet, health in ((0.0, math.inf), (5.0, math.inf), (-1.0, -math.inf)):
        valued = account_health({"USDT": Balance(wallet)}, [], PRICES, RULES)
        assert valued == (wallet, wallet, 0.0, health, wallet, 0.0, 0.0)


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
    sells = SpotOrder("NEW", 100.0, "USDT", 200.0, buys=False)
    bare = account_health(held, [], PRICES, RULES)
    assert bare.adjusted == pytest.approx(1_020.0)
    bought = account_health(held, [], PRICES, RULES, [buys])
    assert bought.adjusted == pytest.approx(1_020.0 - 180.0)
    assert account_health(held, [], PRICES, RULES, [sells])[:4] == bare[:4]


def test_a_perpetual_order_costs_what_it_is_worse_than_the_mark() -> None:
    """A buy above and a sell below the mark lose; the other way round nothing."""
    held = {"USDT": Balance(1_000.0)}
    losses = []
    for qty, limit in ((10.0, 5.5), (10.0, 4.5), (-10.0, 4.5), (-10.0, 5.5)):
        order = PerpOrder("ATOM/USDT:PERP", "USDT", qty, limit, 5.0)
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


# -- OPENING


def opened(rules: Rules, orders: list[SpotOrder | PerpOrder], **held: Any) -> Any:
    """A long of ten bitcoin and what else is held, with these orders."""
    position = Position("BTC/USDT:PERP", "USDT", 10.0, 1e5, 1e5, **held)
    balances = {"USDT": Balance(50_000.0), "BTC": Balance(1.0)}
    return account_health(balances, [position], PRICES, rules, orders)


def test_without_a_set_of_its_own_opening_asks_for_the_maintenance_margin() -> None:
    """Portfolio margin at Binance has one margin, and a threshold for orders above."""
    valued = opened(RULES, [])
    assert valued.initial == pytest.approx(valued.maintenance)
    assert valued.adjusted_initial == pytest.approx(valued.adjusted)
    assert valued.notional == pytest.approx(1e6)


def test_margin_to_open_is_the_notional_over_the_leverage() -> None:
    """The highest of the whole position's bracket, or a lower one of one's own."""
    rules = Rules.build("binance-pm", {"account": {"initial": "leverage"}})
    assert opened(rules, []).initial == pytest.approx(1e6 / 75)
    assert opened(rules, [], leverage=20.0).initial == pytest.approx(1e6 / 20)
    assert opened(rules, [], leverage=100.0).initial == pytest.approx(1e6 / 75)


def test_perpetual_orders_have_margin_on_their_worse_side() -> None:
    """Buys enlarge a long; sells count where they would make a larger short."""
    rules = Rules.build("binance-pm", {"account": {"initial": "leverage"}})

    def margin(*quantities: float) -> float:
        market = "BTC/USDT:PERP"
        orders = [PerpOrder(market, "USDT", q, 1e5, 1e5) for q in quantities]
        return float(opened(rules, list(orders)).initial)

    assert margin(5.0) == pytest.approx(1.5e6 / 75)
    assert margin(-15.0) == pytest.approx(1e6 / 75)
    assert margin(-25.0, 2.0) == pytest.approx(1.5e6 / 75)
    elsewhere = [PerpOrder("ATOM/USDT:PERP", "USDT", 500.0, 4.0, 4.0)]
    assert opened(rules, list(elsewhere)).initial == pytest.approx(1e6 / 75 + 2e3 / 75)


def test_orders_that_lose_at_once_count_as_lost_when_opening() -> None:
    """A buy a hundred above the mark costs a hundred a coin; below, nothing."""
    above = PerpOrder("BTC/USDT:PERP", "USDT", 2.0, 100_100.0, 1e5)
    below = PerpOrder("BTC/USDT:PERP", "USDT", 2.0, 99_900.0, 1e5)
    bare = opened(RULES, []).adjusted_initial
    assert opened(RULES, [above]).adjusted_initial == pytest.approx(bare - 200.0)
    assert opened(RULES, [below]).adjusted_initial == pytest.approx(bare)


def test_a_spot_order_beyond_the_balance_borrows_when_opening() -> None:
    """What it would owe weighs in full and has the margin of a loan."""
    buys = SpotOrder("USDT", 150_000.0, "BTC", 1.5)
    valued, bare = opened(RULES, [buys]), opened(RULES, [])
    assert valued.initial == pytest.approx(bare.initial + 0.25 / 1.2 * 100_000.0)
    assert valued.adjusted_initial == pytest.approx(2.5 * 95_000.0 - 100_000.0)
    assert valued.maintenance == pytest.approx(bare.maintenance)


def test_a_bid_far_below_hides_no_loss_of_one_at_the_index() -> None:
    """A coin that counts a tenth: nine tenths of what either pays are lost."""
    near, far = SpotOrder("USDT", 200.0, "NEW", 100.0), SpotOrder("USDT", 1, "NEW", 999)
    bare = opened(RULES, []).adjusted_initial
    assert opened(RULES, [far]).adjusted_initial == pytest.approx(bare - 0.9)
    both = opened(RULES, [near, far]).adjusted_initial
    assert both == pytest.approx(bare - 180.9)


def test_legs_side_by_side_have_margin_each() -> None:
    """Long and short of one market: orders enlarge the leg of their own side."""
    legs = [Position("BTC/USDT:PERP", "USDT", qty, 1e5, 1e5) for qty in (2.0, -1.0)]
    held, market = {"USDT": Balance(1e6)}, "BTC/USDT:PERP"
    valued = account_health(held, legs, PRICES, RULES)
    assert valued.maintenance == pytest.approx(300_000.0 * 0.004)
    order = PerpOrder(market, "USDT", -1.0, 1e5, 1e5)
    valued = account_health(held, legs, PRICES, RULES, [order])
    assert valued.initial == pytest.approx(400_000.0 * 0.004)


def test_open_orders_cost_nothing_where_the_rules_say_so() -> None:
    """Adjusted equity is then that of the holdings alone."""
    rules = RULES.changed({"account": {"open_loss": False}})
    above = PerpOrder("BTC/USDT:PERP", "USDT", 2.0, 100_100.0, 1e5)
    assert opened(rules, [above]).adjusted == opened(rules, []).adjusted
    assert opened(RULES, [above]).adjusted < opened(RULES, []).adjusted


def test_collateral_of_deribit_is_cut_for_opening_only() -> None:
    """In full for maintenance; less its haircut for an order."""
    rules = Rules.preset("deribit-xsm")
    valued = account_health({"BTC": Balance(1.0)}, [], PRICES, rules)
    assert valued.adjusted == pytest.approx(100_000.0)
    assert valued.adjusted_initial == pytest.approx(95_000.0)


@given(
    st.sampled_from(Rules.presets()),
    st.dictionaries(st.sampled_from(["USDC", "BTC", "ETH"]), st.floats(-1e3, 1e3)),
    st.floats(-50.0, 50.0),
)
def test_under_every_preset_opening_is_no_easier_than_keeping(
    name: str, wallets: dict[str, float], qty: float
) -> None:
    """Less counts, and more is asked."""
    rules = Rules.preset(name)
    prices = {"USDC": 1.0, "BTC": 1e5, "ETH": 4e3}
    held = {a: Balance(max(w, 0.0), max(-w, 0.0)) for a, w in wallets.items()}
    position = Position("BTC/USDC:PERP", "USDC", qty, 1e5, 1e5)
    valued = account_health(held, [position], prices, rules)
    slack = 1e-9 * (abs(valued.adjusted) + valued.maintenance) + 1e-6
    assert valued.adjusted_initial <= valued.adjusted + slack
    assert valued.initial >= valued.maintenance - slack
