"""Risk units: moves, hedges, the minimum charge, and stablecoins that come apart."""

from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.margin.fills import PerpOrder
from flashwick.margin.reference import Balance, Position, account_health
from flashwick.margin.rules import Rules
from flashwick.margin.schedule import Schedule
from flashwick.margin.stress import Leg, Reach, depeg_charge, worst_stress

RULES = Rules.preset("okx-pm")
PRICES = {"USDT": 1.0, "USDC": 1.0, "BTC": 100_000.0, "SOL": 200.0}
usd = st.floats(-1e7, 1e7)


def btc(qty: float, settle: str = "USDT") -> Position:
    """A position in bitcoin at the index."""
    return Position(f"BTC/{settle}:PERP", settle, qty, 1e5, 1e5)


def test_a_position_stands_the_largest_move_of_its_underlying() -> None:
    """Twelve per cent for bitcoin, a quarter for Solana: half the extreme move less."""
    valued = account_health({"USDT": Balance(1e6)}, [btc(2.0)], PRICES, RULES)
    assert valued.maintenance == pytest.approx(0.12 * 200_000.0)
    sol = Position("SOL/USDT:PERP", "USDT", -1_000.0, 200.0, 200.0)
    valued = account_health({"USDT": Balance(1e6)}, [btc(2.0), sol], PRICES, RULES)
    assert valued.maintenance == pytest.approx(24_000.0 + 0.25 * 200_000.0)
    assert valued.initial == pytest.approx(valued.maintenance)
    assert RULES.thresholds.order == 1.3


def test_coins_hedge_a_short_and_count_for_no_more() -> None:
    """Two coins against two sold forward leave the minimum charge alone."""
    held = {"BTC": Balance(2.0), "USDT": Balance(1e5)}
    unit = RULES.risk_unit("BTC")
    assert unit is not None
    hedged = account_health(held, [btc(-2.0)], PRICES, RULES)
    assert hedged.maintenance == pytest.approx(unit.charge * 200_000.0)
    # More coins than that hedge nothing more; on top of a long they are collateral.
    rich = {"BTC": Balance(9.0), "USDT": Balance(1e5)}
    assert account_health(rich, [btc(-2.0)], PRICES, RULES).maintenance == (
        pytest.approx(hedged.maintenance)
    )
    same = account_health(rich, [btc(2.0)], PRICES, RULES).maintenance
    assert same == pytest.approx(0.12 * 200_000.0)
    assert account_health(rich, [], PRICES, RULES).maintenance == 0.0


def test_an_inverse_position_is_in_the_unit_of_its_coin() -> None:
    """A long of dollars' worth of bitcoin is a short of dollars, and long the coin."""
    inverse = Position("USD/BTC:PERP", "BTC", -200_000.0, 1e-5, 1e-5)
    held = {"USDT": Balance(1e5), "BTC": Balance(0.0)}
    alone = account_health(held, [inverse], PRICES, RULES)
    assert alone.maintenance == pytest.approx(0.12 * 200_000.0)
    both = account_health(held, [inverse, btc(-2.0)], PRICES, RULES)
    unit = RULES.risk_unit("BTC")
    assert unit is not None
    assert both.maintenance == pytest.approx(unit.charge * 400_000.0)


def test_what_hedges_between_two_dollars_is_charged() -> None:
    """Long in one stablecoin and short in the other: nothing but MR7 and MR9."""
    held = {"USDT": Balance(1e6), "USDC": Balance(1e6)}
    positions = [btc(20.0), btc(-20.0, "USDC")]
    valued = account_health(held, positions, PRICES, RULES)
    unit = RULES.risk_unit("BTC")
    assert unit is not None
    least = unit.charge * 4_000_000.0
    depeg = 1e6 * 0.005 + 1e6 * 0.01
    assert valued.maintenance == pytest.approx(least + depeg)


def test_depeg_charge_of_the_published_example() -> None:
    """Ten million hedged, at the rates of the example: 202,500.

    Source: third-party reading of OKX's announcement of December 2024.
    """
    curve = Schedule([0, 1e6, 5e6], [0.0075, 0.0175, 0.025])
    legs = [Leg("ETH", "USDT", 10e6), Leg("ETH", "USD", -12e6)]
    assert depeg_charge(legs, {"default": curve}) == pytest.approx(202_500.0)


def test_pairs_of_dollars_come_apart_in_order() -> None:
    """USDT against USD first; what is left of it against USDC."""
    one = {"USDT": Schedule.flat(0.01), "USDC": Schedule.flat(0.1)}
    legs = [Leg("X", "USDT", 5.0), Leg("X", "USD", -3.0), Leg("X", "USDC", -4.0)]
    assert depeg_charge(legs, one) == pytest.approx(5.0 * 0.01)
    legs = [Leg("X", "USDT", -1.0), Leg("X", "USD", -3.0), Leg("X", "USDC", 4.0)]
    assert depeg_charge(legs, one) == pytest.approx(1.0 * 0.01 + 3.0 * 0.1)
    assert depeg_charge(legs[:1], one) == 0.0


def test_futures_have_a_charge_for_their_basis() -> None:
    """A year apart at 5 % a year; perpetuals have none."""
    unit = RULES.risk_unit("BTC")
    assert unit is not None
    legs = [Leg("BTC", "USDT", 1e6, years=1.0), Leg("BTC", "USDT", -1e6)]
    charges = unit.charges(legs)
    assert (charges.shock, charges.basis) == (0.0, pytest.approx(50_000.0))
    assert charges.margin == pytest.approx(max(50_000.0, charges.minimum))


@given(st.sampled_from(["BTC", "SOL", "NOSUCH"]), st.lists(usd, max_size=5), usd)
def test_a_unit_of_perpetuals_is_the_larger_of_two_curves(
    name: str, positions: list[float], coins: float
) -> None:
    """One of what is left after hedging, one of all that is held."""
    unit = RULES.risk_unit(name)
    assert unit is not None
    legs = [Leg(name, "USDT", x) for x in positions]
    charges = unit.charges([*legs, Leg(name, "", coins, spot=True)])
    delta = sum(positions)
    if coins * delta < 0.0:
        delta -= min(abs(coins), abs(delta)) * (1.0 if delta > 0.0 else -1.0)
    net = unit.net_curve.value(abs(delta))
    gross = unit.gross_curve.value(sum(map(abs, positions)))
    assert charges.margin == pytest.approx(max(net, gross), rel=1e-9, abs=1e-6)


@given(st.sampled_from(["BTC", "SOL"]), usd, st.floats(1.0, 3.0))
def test_a_larger_position_never_needs_less(
    name: str, size: float, more: float
) -> None:
    """Margin of a lone position rises with its size, whatever side it is of."""
    unit = RULES.risk_unit(name)
    assert unit is not None
    small = unit.charges([Leg(name, "USDT", size)]).margin
    assert unit.charges([Leg(name, "USDT", more * size)]).margin >= small
    other_side = unit.charges([Leg(name, "USDT", -size)]).margin
    assert other_side == pytest.approx(small)


def test_open_orders_count_in_the_unit_at_their_worse_side() -> None:
    """Buys make the long larger; sells that only reduce it change nothing."""
    held = {"USDT": Balance(1e6)}
    for qty, expected in ((1.0, 3.0), (-1.0, 2.0), (-5.0, 3.0)):
        order = PerpOrder("BTC/USDT:PERP", "USDT", qty, 1e5, 1e5)
        valued = account_health(held, [btc(2.0)], PRICES, RULES, [order])
        assert valued.initial == pytest.approx(0.12 * expected * 1e5)
        assert valued.maintenance == pytest.approx(0.12 * 2e5)


def test_rules_without_moves_keep_their_brackets() -> None:
    """No other preset has risk units."""
    for name in Rules.presets():
        unit = Rules.preset(name).risk_unit("BTC")
        assert (unit is not None) == (name == "okx-pm")


# -- WHAT FILLS COULD ASK

NAMES = ("BTC", "ETH", "SOL")
UNITS = {name: unit for name in NAMES if (unit := RULES.risk_unit(name))}
sizes = st.sampled_from([0.0]) | st.floats(0.0, 3e6)
shares = st.sampled_from([0.0, 0.0, 0.001, 0.05, 0.6])
parts = st.sampled_from([0.0, 1.0]) | st.floats(0.0, 1.0)


@st.composite
def reaches(draw: st.DrawFn) -> Reach:
    """A position and its orders, which lose a share of their size by filling."""
    bids, asks = draw(sizes), draw(sizes)
    bid_cost, ask_cost = bids * draw(shares), asks * draw(shares)
    return Reach(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(["USDT", "USDC", "USD"])),
        draw(st.floats(-3e6, 3e6)),
        bids,
        asks,
        (bid_cost, 0.1 * bid_cost),
        (ask_cost, 0.0),
        (bid_cost + ask_cost, 0.1 * bid_cost),
    )


def asked(held: list[Reach], coins: dict[str, float]) -> float:
    """Margin of the positions as they are, US dollars."""
    legs = [Leg(own.underlying, own.settle, own.usd) for own in held]
    total = [depeg_charge(legs, RULES.depeg)]
    for name in dict.fromkeys(leg.underlying for leg in legs):
        own = [leg for leg in legs if leg.underlying == name]
        own.append(Leg(name, "", coins.get(name, 0.0), spot=True))
        total.append(UNITS[name].charges(own).margin)
    return fsum(total)


@given(
    st.lists(st.tuples(reaches(), parts, parts), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from(NAMES), st.tuples(usd, st.floats(0.0, 5e6), parts)),
    st.sampled_from([0.0, 1.0, 1.3]),
)
@settings(max_examples=1_000, phases=UNTRACED)
def test_no_fills_ask_for_more_than_the_worst(
    orders: list[tuple[Reach, float, float]],
    coins: dict[str, tuple[float, float, float]],
    multiple: float,
) -> None:
    """In part, in several units, coins between two bounds, dollars that come apart."""
    spans = {name: (low, low + more) for name, (low, more, _) in coins.items()}
    there = {name: low + more * part for name, (low, more, part) in coins.items()}
    held = [own for own, _, _ in orders]
    worst = worst_stress(held, spans, UNITS, RULES.depeg, multiple)
    filled = [
        own._replace(usd=own.usd + bid * own.bids - ask * own.asks)
        for own, bid, ask in orders
    ]
    lost, owed = (
        fsum(bid * own.bid_cost[i] + ask * own.ask_cost[i] for own, bid, ask in orders)
        for i in (0, 1)
    )
    took = lost + multiple * (owed + asked(filled, there))
    assert worst[0] + multiple * worst[1] >= took - 1e-9 * (1.0 + abs(took))


@given(
    st.lists(reaches(), min_size=1, max_size=4), st.dictionaries(st.just("BTC"), usd)
)
def test_without_orders_the_worst_is_what_is_asked(
    held: list[Reach], coins: dict[str, float]
) -> None:
    """Of positions in one dollar: nothing is lost, and no more is asked."""
    idle = [
        Reach(own.underlying, "USDT", own.usd, 0.0, 0.0, *3 * [(0.0, 0.0)])
        for own in held
    ]
    spans = {name: (there, there) for name, there in coins.items()}
    lost, margin = worst_stress(idle, spans, UNITS, RULES.depeg, 1.3)
    assert lost == 0.0
    assert margin == pytest.approx(asked(idle, coins), abs=1e-6)


@given(reaches(), usd)
def test_the_worst_of_one_position_is_one_of_four_fills(
    own: Reach, coins: float
) -> None:
    """It is no more cautious than all or nothing of either side."""
    held, spans = [own], {own.underlying: (coins, coins)}
    lost, margin = worst_stress(held, spans, UNITS, RULES.depeg, 1.3)
    took = [
        cost[0]
        + 1.3 * (cost[1] + asked([own._replace(usd=there)], {own.underlying: coins}))
        for there, cost in own.choices()
    ]
    assert lost + 1.3 * margin == pytest.approx(max(took), abs=1e-6)
