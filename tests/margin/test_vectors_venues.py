"""Vectors of the other venues' rules, through the public face of `margin`."""

import pytest
from margin_vectors import vector
from venues import has, only_steps

from flashwick.cython_ext.ledger import INSURANCE
from flashwick.engine.exchange import Exchange
from flashwick.margin.reference import (
    Balance,
    Position,
    account_health,
    collateral_value,
)
from flashwick.margin.rules import Rules
from flashwick.margin.schedule import Schedule
from flashwick.margin.stress import Leg

# -- BINANCE MULTI-ASSETS MODE


def test_bid_and_ask_buffers_value_what_is_had_and_owed() -> None:
    """Equity at the bid rates; what is free, over the ask rate of each coin."""
    case = vector("BIN-MA-0")
    assets = case.given["assets"]
    rules = Rules.build(
        "binance-multi-assets",
        {
            "collateral": {a: 1.0 - one["bid_buffer"] for a, one in assets.items()},
            "liability": {a: 1.0 + one["ask_buffer"] for a, one in assets.items()},
        },
    )
    prices = {asset: float(one["index"]) for asset, one in assets.items()}
    bid = collateral_value("USDT", 1.0, prices["USDT"], rules)
    ask = -collateral_value("USDT", -1.0, prices["USDT"], rules)
    assert bid == case.about("USDT_bid_rate")
    assert ask == case.about("USDT_ask_rate")
    held = {asset: Balance(one["equity"]) for asset, one in assets.items()}
    valued = account_health(held, [], prices, rules)
    assert valued.adjusted == case.about("account_equity")
    free = rules.account.max_withdraw(valued.adjusted_initial, valued.initial)
    assert free == case.about("uni_available")
    assert free / ask == case.about("usdt_available")
    assert free / prices["USDC"] == case.about("usdc_available")
    ratio = rules.ratio(valued.adjusted, valued.maintenance, valued.notional)
    assert ratio == case.about("margin_ratio")
    assert rules.ratio.text(ratio) == "0.00%"


def test_auto_exchange_takes_the_coins_that_their_haircut_asks_for() -> None:
    """In a running exchange: the step `convert` of this preset and its haircut."""
    case = vector("BIN-MA-AUTOEXCH")
    given = case.given
    rules = only_steps(Rules.preset("binance-multi-assets"), "convert")
    assert rules.conversion_of("BTC") == given["auto_exchange_haircut"]
    exchange = Exchange(["BTC/USDC"], rules)
    exchange.reprice({"BTC": 100_000.0})
    exchange.deposit(INSURANCE, "USDC", 10_000)
    # Its collateral counts less than the debt: it is in liquidation.
    owed = given["balance"]
    account = has(
        exchange, {given["collateral"]: 0.0525, given["negative_asset"]: owed}
    )
    exchange.liquidate()
    left = exchange.account(account).balances
    assert left["USDC"] == 0.0
    sold = (0.0525 - left["BTC"]) * 100_000.0
    assert sold == case.about("usd_value_of_BTC_sold")


# -- BYBIT


def test_collateral_of_bybit_has_tiers_in_coins() -> None:
    """The page's own table is the preset's; debts count in full."""
    case = vector("BYB-COLL-60BTC")
    given, rules = case.given, Rules.preset("bybit-uta")
    curve = rules.collateral_of("BTC")
    assert isinstance(curve, Schedule)
    assert list(curve.floors) == given["tier_floors_qty"]
    assert list(curve.rates) == given["ratios"]
    price = float(given["price"])
    assert collateral_value("BTC", given["qty"], price, rules) == case.about(
        "btc_collateral"
    )
    held = {"BTC": Balance(given["qty"]), "USDT": Balance(given["USDT"])}
    valued = account_health(held, [], {"BTC": price, "USDT": 1.0}, rules)
    assert valued.adjusted == case.about("margin_balance")


@pytest.mark.parametrize("name", ["BYB-MM-XYZ", "BYB-MM-INV"])
def test_margins_of_bybit_follow_the_tiers(name: str) -> None:
    """A linear contract, and an inverse one: a short of dollars settled in the coin."""
    case = vector(name)
    given = case.given
    floors = given.get("tiers_floor")
    leverages = [10.0] * len(floors)
    rows = [list(row) for row in zip(floors, given["mmr"], leverages, strict=True)]
    rules = Rules.build(
        "bybit-uta",
        {
            "account": {"fee_in_margin": 0.0},
            "brackets": {"XYZUSDT": rows, "USDXYZ": rows},
        },
    )
    if "qty" in given:
        entry = float(given["entry"])
        position = Position("XYZ/USDT:PERP", "USDT", given["qty"], entry, entry)
    else:
        price = 1.0 / given["entry"]
        position = Position("USD/XYZ:PERP", "XYZ", -given["contracts"], price, price)
    assert position.notional == case.about("position_value")
    settle = {"USDT": Balance(0.0), "XYZ": Balance(0.0)}
    prices = {"USDT": 1.0, "XYZ": 1.0}
    valued = account_health(settle, [position], prices, rules)
    assert valued.initial == case.about("IM")
    assert valued.maintenance == case.about("MM")


# -- OKX


def test_minimum_charge_of_a_risk_unit_grows_by_slices() -> None:
    """MR7 of OKX's example: 50,000 where 40,000 was asked before."""
    case = vector("OKX-MR7")
    given = case.given
    scale = list(map(list, zip(given["tiers_floor"], given["multiplier"], strict=True)))
    rules = Rules.build("okx-pm", {"stress_scale": {"BTC": scale}})
    unit = rules.risk_unit("BTC")
    assert unit is not None
    # A position that needs the raw charge, hedged by coins down to the move's charge.
    held = given["MR7_raw"] / unit.charge
    net = given["MR_scenario"] / unit.shock
    legs = [Leg("BTC", "USDT", held), Leg("BTC", "", net - held, spot=True)]
    charges = unit.charges(legs)
    assert charges.minimum_raw == pytest.approx(given["MR7_raw"])
    assert charges.minimum == case.about("MR7_adj")
    assert charges.margin == case.about("MMR_risk_unit")
    before = max(charges.shock, charges.extreme, charges.minimum_raw)
    assert before == case.about("MMR_before_rule")


def test_discount_of_okx_is_by_slices_of_value() -> None:
    """The example's table is the preset's."""
    case = vector("OKX-DISC-USDT")
    given, rules = case.given, Rules.preset("okx-multi")
    curve = rules.collateral_of("USDT")
    assert isinstance(curve, Schedule)
    assert list(curve.floors) == given["tiers_usd_floor"]
    assert list(curve.rates) == given["discount"]
    found = collateral_value("USDT", given["qty"], float(given["price"]), rules)
    assert found == case.about("discount_equity")


def test_margin_ratio_of_okx_holds_the_liquidation_fee() -> None:
    """Adjusted equity over margin and fee; the fee counts in the brackets here."""
    case = vector("OKX-MMR-LEVEL")
    given = case.given
    rules = Rules.build(
        "okx-multi",
        {
            "collateral": {"BTC": given["discount"]},
            "brackets": {"BTCUSDT": [[0, given["mmr"], 5]]},
            "borrow": {"USDT": given["borrow_mmr"]},
        },
    )
    assert rules.account.fee_in_margin == given["liq_fee_rate"]
    price, usdt = float(given["price"]), float(given["USDT_equity"])
    qty = given["perp_notional"] / price
    valued = account_health(
        {"BTC": Balance(given["BTC"]), "USDT": Balance(0.0, borrowed=-usdt)},
        [Position("BTC/USDT:PERP", "USDT", qty, price, price)],
        {"BTC": price, "USDT": 1.0},
        rules,
    )
    assert valued.adjusted == case.about("adjusted_equity")
    fee = rules.account.fee_in_margin * valued.notional
    assert fee == case.about("liq_fee")
    assert valued.maintenance - fee == case.about("mm")
    ratio = rules.ratio(valued.adjusted, valued.maintenance, valued.notional)
    assert ratio == case.about("margin_ratio")
    assert rules.ratio.text(ratio) == "126.90%"
    assert rules.thresholds.state(valued.health).name == "WARN"
    assert rules.thresholds.warn == 3.0


# -- HYPERLIQUID


def test_tiers_of_hyperliquid_are_continuous() -> None:
    """Half the initial margin of each tier, less what the lower one asked less."""
    case = vector("HL-TIER-BTC")
    rules = Rules.preset("hyperliquid")
    curve = rules.brackets_of("BTC/USDC:PERP")
    assert isinstance(curve, Schedule)
    tiers = list(zip(curve.floors, curve.max_leverage or (), strict=True))
    assert [list(tier) for tier in tiers] == case.given["tiers"]
    assert curve.rates == pytest.approx([1.0 / (2.0 * lev) for _, lev in tiers])
    assert curve.cums[1] == case.about("deduction_tier1")
    assert curve.value(float(case.given["notional"])) == case.about("mm")


def test_what_a_token_lets_borrow_on_hyperliquid() -> None:
    """Half its value, once tokens count; in October 2025 none did."""
    case = vector("HL-PM-BORROW")
    given = case.given
    now = Rules.preset("hyperliquid")
    later = now.changed({"collateral": {"HYPE": given["ltv"]}})
    price = float(given["oracle"])
    assert collateral_value("HYPE", given["token_balance"], price, now) == 0.0
    found = collateral_value("HYPE", given["token_balance"], price, later)
    assert found == case.about("borrowable")


# -- FTX


def test_initial_fraction_of_ftx_is_one_over_the_leverage() -> None:
    """What a collateral of 1,000 can open at a fraction of 0.12."""
    case = vector("FTX-IMF-12")
    rules = Rules.build(
        "ftx-2022",
        {"initial": {"BTCUSD": case.given["imf"]}, "brackets": {"BTCUSD": 0.03}},
    )
    curve = rules.initial_of("BTC/USD:PERP")
    largest = case.given["collateral"] / curve.amount(1.0, 1.0)
    assert largest == case.about("max_position")
    assert 1.0 / curve.amount(1.0, 1.0) == case.about("max_leverage")


def test_phases_of_ftx_follow_from_its_thresholds() -> None:
    """From free trading to bankruptcy, by the margin fraction the venue shows."""
    case = vector("FTX-FLOW")
    given = case.given
    rules = Rules.build(
        "ftx-2022",
        {"initial": {"BTCUSD": given["imf"]}, "brackets": {"BTCUSD": given["mmf"]}},
    )
    notional = float(given["notional"])
    shown, phases = [], []
    for assets in given["assets"]:
        at = notional / 10.0
        valued = account_health(
            {"USD": Balance(assets)},
            [Position("BTC/USD:PERP", "USD", 10.0, at, at)],
            {"USD": 1.0},
            rules,
        )
        shown.append(rules.ratio(valued.adjusted, valued.maintenance, valued.notional))
        takeover = rules.thresholds.takeover_health(valued.maintenance, notional)
        assert takeover == pytest.approx(given["acmf"] / given["mmf"])
        if valued.adjusted < 0.0:
            phases.append("bankrupt_insurance")
        elif valued.health < takeover:
            phases.append("auto_close_backstop")
        elif rules.thresholds.state(valued.health).name == "LIQUIDATE":
            phases.append("orderly_liquidation")
        elif valued.adjusted_initial / valued.initial < rules.thresholds.order:
            phases.append("cannot_send_orders")
        else:
            phases.append("normal")
    assert shown == case.about("distance")
    assert phases == case.expected["phase"]
    leverages = [None if ratio < 0 else round(1.0 / ratio) for ratio in shown]
    assert leverages == case.expected["leverage_rounded"]
    assert rules.ratio.text(shown[0]) == "20.00%"


def test_collateral_weights_of_ftx_fall_with_the_root_of_the_size() -> None:
    """The weights and factors are the preset's; debts weigh one."""
    case = vector("FTX-COLL")
    rules, found = Rules.preset("ftx-2022"), []
    for one in case.given["cases"]:
        curve = rules.collateral_of(one["coin"])
        assert (curve.weight, curve.imf) == (one["w"], one["imf"])
        value = collateral_value(one["coin"], float(one["qty"]), 7.0, rules)
        found.append(value / (one["qty"] * 7.0))
    assert found == case.about("weight")


def test_initial_fraction_of_a_huge_position_is_beyond_full_funding() -> None:
    """Half a billion MNGO: 559 % of the notional."""
    case = vector("FTX-MNGO")
    curve = Rules.preset("ftx-2022").initial_of("MNGO/USD:PERP")
    assert curve.imf == case.given["imf_factor"]
    assert curve.amount(1.0, float(case.given["size"])) == case.about("margin_fraction")


# -- DRIFT


def test_asset_weights_of_drift() -> None:
    """Its own test's weights, which it truncates to basis points."""
    case = vector("DRIFT-ASSETW")
    found = []
    for one in case.given["cases"]:
        weight = {"weight": case.given["initial_asset_weight"], "imf": one["imf"]}
        rules = Rules.build(
            "drift", {"collateral_initial": {"SOL": weight}, "collateral": {"SOL": 1.0}}
        )
        curve = rules.collateral_initial_of("SOL")
        found.append(10_000 * curve.amount(1.0, float(one["size"])))
    assert found == case.about("weight_bps")


def test_initial_weights_of_drift_fall_with_all_deposits() -> None:
    """The more of a coin there is at the venue, the less it opens."""
    case = vector("DRIFT-SCALE")
    given = case.given
    rules = Rules.build(
        "drift",
        {
            "collateral": {"SOL": given["initial_asset_weight"]},
            "collateral_initial": {"SOL": given["initial_asset_weight"]},
            "deposit_scale": {"SOL": given["scale_start_usd"]},
        },
    )
    found, compiled = [], []
    for coins in given["deposits"]:
        usd = float(coins * given["price"])
        curve = rules.collateral_initial_of("SOL", usd)
        found.append(10_000 * curve.amount(1.0, 1.0))
        terms = rules.terms(["SOL"], [], deposits_usd={"SOL": usd})
        compiled.append(10_000 * terms["collateral_initial"].rows[0, 1])
    assert found == case.about("weight_bps")
    assert compiled == case.about("weight_bps")


# -- DYDX, DERIBIT


def test_initial_rate_of_dydx_rises_with_the_open_interest() -> None:
    """Half way between the bounds it is half way to one; maintenance stays."""
    case = vector("DYDX-OIMF")
    given = case.given
    rules = Rules.build(
        "dydx-v4",
        {
            "initial": {"BTCUSDC": given["base_imf"]},
            "open_interest": {"BTCUSDC": [given["lower_cap"], given["upper_cap"]]},
        },
    )
    market, oi = "BTC/USDC:PERP", float(given["oi"])
    assert rules.initial_of(market, oi).amount(1.0, 1.0) == case.about("imf")
    terms = rules.terms([], [market], open_interest_usd={market: oi})
    assert terms["initial"].rows[0, 1] == case.about("imf")
    for few, rate in ((0.0, given["base_imf"]), (1e12, 1.0)):
        assert rules.initial_of(market, few).amount(1.0, 1.0) == pytest.approx(rate)
    assert rules.brackets_of(market).amount(1.0, 1.0) == 0.03


def test_margins_of_deribit_rise_with_the_size() -> None:
    """A hundred bitcoin: 2.5 % to open, 1.5 % to keep."""
    case = vector("DERIBIT-IM")
    rules, size = Rules.preset("deribit-xsm"), float(case.given["btc_size"])
    market = "BTC/USDC:PERP"
    assert rules.initial_of(market).amount(1.0, size) == case.about("IM_rate")
    assert rules.brackets_of(market).amount(1.0, size) == case.about("MM_rate")
