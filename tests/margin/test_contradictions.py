"""Rules right by themselves that contradict each other: what is refused, and why."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.contradictions import contradictions
from flashwick.margin.curves import Curve, parse_curve
from flashwick.margin.rules import Rules, RulesError

OPEN = {"thresholds": {"order": 1.5, "liquidate": 1.0}}


def told(overrides: dict[str, Any]) -> dict[str, str]:
    """What is wrong with overrides of the Binance preset, by path."""
    with pytest.raises(RulesError) as caught:
        Rules.build("binance-pm", overrides)
    return dict(caught.value.problems)


# -- FEES


@pytest.mark.parametrize("kind", ["spot", "perpetual"])
def test_rebate_above_what_takers_pay_is_refused(kind: str) -> None:
    """At 501 ppm back of 500 who trades with itself earns; at 500 nobody does."""
    fees = {f"{kind}_taker_ppm": 500, f"{kind}_maker_ppm": -501}
    assert told({"fees": fees}) == {
        f"fees.{kind}_maker_ppm": f"must be at least -500, or more is paid back than "
        f"fees.{kind}_taker_ppm takes (got -501); raise either"
    }
    fees[f"{kind}_maker_ppm"] = -500
    Rules.build("binance-pm", {"fees": fees})


# -- OPENING


def test_margin_of_orders_below_what_liquidates_is_refused() -> None:
    """By the healths that go with them: 1.5 × 2 % is less than 1 × 4 %."""
    brackets = {"XUSDT": [[0, 0.02], [1_000, 0.04]]}
    found = told(OPEN | {"brackets": brackets, "initial": {"XUSDT": 0.02}})
    # At 1,000 both tables need 20, which 1.5 × 20 covers; at 10,000 it is 200 and 380.
    assert found == {
        "initial.XUSDT": "must be at least 253.333 at a size of 10000, as "
        "brackets.XUSDT asks, by thresholds.liquidate over thresholds.order (got 200); "
        "raise it"
    }
    Rules.build(
        "binance-pm", OPEN | {"brackets": brackets, "initial": {"XUSDT": 0.04 / 1.5}}
    )


def test_default_that_is_too_low_for_one_entry_can_be_left_as_it_is() -> None:
    """The preset's loans at 5x, 20.8 %, beside a coin whose loans need 25 %."""
    found = told({"borrow": {"BTC": 0.25}})
    assert found["borrow_initial.default"].endswith(
        "as borrow.BTC asks, by thresholds.liquidate over thresholds.order "
        "(got 0.208333); raise it, or write borrow_initial.BTC"
    )
    Rules.build(
        "binance-pm", {"borrow": {"BTC": 0.25}, "borrow_initial": {"BTC": 0.25}}
    )


def test_order_that_such_rules_accept_would_be_liquidated_at_once() -> None:
    """The same rules a hair on either side: the one has no account to liquidate."""
    how = {"brackets": {"BTCUSDT": 0.05}, "fees": {"perpetual_taker_ppm": 0}}
    rules = Rules.build("binance-pm", OPEN | how | {"initial": {"BTCUSDT": 0.05 / 1.5}})
    exchange = Exchange(["BTC/USDT:PERP"], rules)
    exchange.reprice({"BTC": 100_000.0})
    rich, poor = (exchange.open_account({"USDT": usd}) for usd in (1e6, 5_001.0))
    exchange.submit(limit(rich, "BTC/USDT:PERP", "sell", price=100_000, qty=1))
    exchange.submit(limit(poor, "BTC/USDT:PERP", "buy", price=100_000, qty=1))
    assert exchange.account(poor).positions == {"BTC/USDT:PERP": 1.0}
    assert exchange.account(poor).health == pytest.approx(1.0002)
    assert exchange.liquidate() == 0
    less = {"initial": {"BTCUSDT": 0.049 / 1.5}}
    assert list(told(OPEN | how | less)) == ["initial.BTCUSDT"]


@pytest.mark.parametrize(
    ("table", "wrong", "right"),
    [
        ("borrow_initial", {"X": 0.01}, {"X": 0.08}),
        ("collateral_initial", {"BTC": 0.99}, {"BTC": 0.95}),
        ("collateral_initial", {"default": 0.2}, {"default": 0.1, "BTC": 0.5}),
    ],
)
def test_coins_count_for_no_more_and_debts_need_no_less_when_an_order_is_judged(
    table: str, wrong: dict[str, float], right: dict[str, float]
) -> None:
    """Against the entry of the same asset, or the default of the other table."""
    found = told({table: wrong})
    assert list(found) == [f"{table}.{next(iter(wrong))}"]
    Rules.build("binance-pm", {table: right})


def test_risk_units_have_no_brackets_to_be_compared() -> None:
    """What opening takes there is of the stressed moves."""
    assert Rules.build("okx-pm", {"brackets": {"XUSDT": 0.9}}).stress


def test_tiers_of_money_and_of_coins_are_not_compared() -> None:
    """Which of them comes first goes by the price."""
    tiers = {"XUSDT": [[0, 0.1], [1_000, 0.2]]}
    coins = {"XUSDT": {"coins": [[0, 0.01], [10, 0.5]]}}
    rules = Rules.build("binance-pm", {"brackets": tiers, "initial": coins})
    assert rules.initial["XUSDT"].unit == "qty"


rates = st.floats(0.0, 1.0)


@st.composite
def margins(draw: Callable[..., Any], kind: str) -> Curve:
    """A margin curve as a file may write it."""
    if kind == "sqrt":
        return parse_curve(
            {"least": draw(rates), "base": draw(rates) - 0.5, "imf": draw(rates)}
        )
    if kind == "linear":
        return parse_curve({"base": draw(rates), "slope": draw(rates)})
    floors = draw(st.lists(st.integers(1, 50), unique=True, max_size=3))
    steps = sorted(draw(rates) for _ in range(len(floors) + 1))
    rows = [[f, r] for f, r in zip([0, *sorted(floors)], steps, strict=True)]
    return parse_curve(rows if kind == "usd" else {"coins": rows})


@given(st.data(), st.sampled_from(["usd", "coins", "sqrt", "linear"]))
@settings(max_examples=300, phases=UNTRACED)
def test_accepted_margins_of_a_kind_are_enough_at_every_size(
    data: st.DataObject, kind: str
) -> None:
    """Looking where the curves bend finds whatever any size would."""
    initial, brackets = data.draw(margins(kind)), data.draw(margins(kind))
    found = contradictions(
        {
            "account": {},
            "thresholds": {"order": 1.5, "liquidate": 1.0},
            "initial": {"X": initial},
            "brackets": {"X": brackets},
        }
    )
    sizes = [0.01, 0.5, *range(1, 60), 1e3, 1e6, 1e12]
    short = [
        size
        for size in map(float, sizes)
        if 1.5 * initial.amount(size, size) < brackets.amount(size, size) * (1.0 - 1e-6)
    ]
    assert found or not short
