"""Presets, overrides, their errors, and what the compiled pass reads."""

import copy
import pickle

import pytest

from flashwick.margin.rules import (
    STEPS,
    Rules,
    RulesError,
    State,
    bracket_symbol,
)

NAN = float("nan")
OWN_STEPS = ["cancel_orders", "adl", "takeover", "claim"]


def problems(overrides: dict[str, object]) -> dict[str, str]:
    """What is wrong with overrides of the Binance preset, by path."""
    with pytest.raises(RulesError) as caught:
        Rules.build("binance-pm", overrides)
    return dict(caught.value.problems)


def test_the_binance_preset_holds_the_published_thresholds() -> None:
    """Warn, reduce only and liquidate are at or below 1.5, 1.2 and 1.05."""
    rules = Rules.preset("binance-pm")
    healths = [1.6, 1.5, 1.2, 1.05, float("-inf"), float("inf")]
    assert [rules.thresholds.state(health) for health in healths] == [
        State.HEALTHY,
        State.WARN,
        State.REDUCE_ONLY,
        State.LIQUIDATE,
        State.LIQUIDATE,
        State.HEALTHY,
    ]
    assert rules.liquidation.steps[0] == "cancel_orders"
    assert rules.liquidation.steps[-1] == "claim"
    assert rules.liquidation.rate_limit is None


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    """The error lists the shipped presets."""
    with pytest.raises(RulesError, match=r"got 'binance-mp'.*mean 'binance-pm'"):
        Rules.preset("binance-mp")


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    """A bare value, a table with evidence, a schedule and a borrowed schedule."""
    base = Rules.preset("binance-pm")
    rules = Rules.build(
        "binance-pm",
        {
            "liquidation": {"rate_limit": 50, "steps": OWN_STEPS},
            "collateral": {"wbeth": [[0, 0.9], [1e6, 0.5]]},
            "thresholds": {"warn": {"value": 2, "grade": "E", "source": "a guess"}},
            "brackets": {"NEWUSDT": "IOTXUSDT", "OTHERUSDT": "default"},
        },
    )
    assert rules.liquidation.rate_limit == 50
    assert rules.liquidation.steps == tuple(OWN_STEPS)
    assert rules.liquidation.slice == base.liquidation.slice
    assert rules.collateral_of("WBETH").value(2e6) == pytest.approx(1.4e6)
    assert rules.collateral_of("BNSOL") == base.collateral_of("BNSOL")
    assert rules.evidence["thresholds.warn"] == ("E", "a guess")
    assert rules.evidence["collateral.WBETH"] == ("S", "override")
    assert rules.brackets_of("NEW/USDT:PERP") == base.brackets_of("IOTXUSDT")
    assert rules.brackets_of("OTHER/USDT:PERP") == base.brackets_of("ATOMUSDT")
    assert Rules.build("binance-pm", {}) == base


def test_a_rate_limit_may_be_none() -> None:
    """None and the word a file writes for it mean no limit."""
    for word in (None, "none"):
        rules = Rules.build("binance-pm", {"liquidation": {"rate_limit": word}})
        assert rules.liquidation.rate_limit is None


def test_all_problems_are_reported_at_once() -> None:
    """Unknown names, wrong values and broken schedules, each with path and remedy."""
    found = problems(
        {
            "colateral": {"BTC": 0.9},
            "fees": 12,
            "collateral": {"WBETH": 1.2, "X": [[0, 1], [0, 0.5]], "Y": "WBTH"},
            "brackets": {"ATOMUSDT": [[0, 0.05], [10, 0.01]], "Z": 1.5},
            "borrow": {"default": -0.1},
            "thresholds": {"warn": True, "lquidate": 1.0, "liquidate": 0},
            "liquidation": {
                "rate_limit": 0,
                "slice": 1.5,
                "cycle_s": 0,
                "price_cap": "bankrupcy",
                "steps": ["repay", "repay"],
            },
            "interest": {"daily_rate": {"value": 1, "grade": "Z"}},
        }
    )
    assert found == {
        "colateral": "is not a group of rules; did you mean 'collateral'?",
        "fees": "must be a table of rules (got 12)",
        "collateral.WBETH": "collateral rates must be from 0 to 1 (got 1.2)",
        "collateral.X": ("'floors' must increase strictly (got 0 after 0)"),
        "collateral.Y": (
            "must be a schedule or name an entry that has one (got 'WBTH')"
            "; did you mean 'WBETH'?"
        ),
        "brackets.ATOMUSDT": (
            "maintenance rates must not fall as the size grows (got 0.01 after 0.05)"
        ),
        "brackets.default": (
            "maintenance rates must not fall as the size grows (got 0.01 after 0.05)"
        ),
        "brackets.Z": "maintenance rates must be from 0 to 1 (got 1.5)",
        "borrow.default": "'rates' must be at least 0 (got -0.1)",
        "thresholds.warn": "must be a number from 0 to 1e+12 (got True)",
        "thresholds.lquidate": "is not a rule; did you mean 'liquidate'?",
        "thresholds.liquidate": ("must be a number above 0 and at most 1e+12 (got 0)"),
        "liquidation.rate_limit": (
            "must be a whole number of orders a second, from 1 to 1,000,000, "
            "or 'none' (got 0)"
        ),
        "liquidation.slice": "must be a number above 0 and at most 1 (got 1.5)",
        "liquidation.cycle_s": "must be seconds above 0 and at most 1e+09 (got 0)",
        "liquidation.price_cap": (
            "must be one of bankruptcy, market (got 'bankrupcy')"
            "; did you mean 'bankruptcy'?"
        ),
        "liquidation.steps": "must name each step once (got 'repay' again)",
        "interest.daily_rate": "'grade' must be one of O, C, A, 3, M, E, S (got 'Z')",
    }


END = "; raise it, or lower the other"


def test_thresholds_have_to_be_in_order() -> None:
    """Each is at least the one below; liquidation aims no lower than it starts."""
    found = problems(
        {
            "thresholds": {"warn": 1.1, "reduce_only": 1.0},
            "liquidation": {"target_health": 1.01},
        }
    )
    assert found == {
        "thresholds.reduce_only": (
            f"must be at least thresholds.liquidate, 1.05 (got 1){END}"
        ),
        "liquidation.target_health": (
            f"must be at least thresholds.liquidate, 1.05 (got 1.01){END}"
        ),
    }
    assert "thresholds.warn" in problems({"thresholds": {"warn": 1.1}})
    found = problems({"thresholds": {"takeover": 1.06}})
    assert found == {
        "thresholds.liquidate": (
            f"must be at least thresholds.takeover, 1.06 (got 1.05){END}"
        ),
    }


def test_an_order_has_to_leave_more_than_what_only_reduces() -> None:
    """Else `reduce_only` would refuse nothing: orders are where it is felt."""
    assert problems({"thresholds": {"reduce_only": 1.45}}) == {
        "thresholds.order": (
            f"must be at least thresholds.reduce_only, 1.45 (got 1.2){END}"
        )
    }
    assert problems({"thresholds": {"order": 1.1}}) == {
        "thresholds.order": (
            f"must be at least thresholds.reduce_only, 1.2 (got 1.1){END}"
        )
    }
    both = {"thresholds": {"order": 1.45, "reduce_only": 1.45}}
    assert Rules.build("binance-pm", both).thresholds.order == 1.45


def test_contradiction_is_told_beside_other_faults() -> None:
    """What is wrong elsewhere hides none; a value wrong by itself is compared not."""
    found = problems({"thresholds": {"warn": 1.0}, "fees": {"taker": 1}})
    assert found == {
        "thresholds.warn": f"must be at least thresholds.reduce_only, 1.2 (got 1){END}",
        "fees.taker": (
            "is not a rule; did you mean 'spot_taker_ppm' or 'perpetual_taker_ppm'?"
        ),
    }
    found = problems({"thresholds": {"warn": "x", "reduce_only": 1.0}})
    assert list(found) == ["thresholds.warn", "thresholds.reduce_only"]


def test_name_like_no_other_is_answered_with_all() -> None:
    """Whoever guesses wide of the mark sees what there is."""
    found = problems({"interest": {"apr": 1}})
    assert found == {"interest.apr": "is not a rule (daily_rate, threshold_usd)"}


def test_entries_that_name_each_other_in_a_ring_are_refused() -> None:
    """A borrowed schedule has to lead to one that is written out."""
    found = problems(
        {"brackets": {"A": "B", "B": "A"}, "collateral": {"X": "Y", "Y": "Z", "Z": "Z"}}
    )
    remedy = "; give one of them a value of its own"
    assert found == {
        "collateral.X": f"leads back to itself: X -> Y -> Z -> Z{remedy}",
        "collateral.Y": f"leads back to itself: Y -> Z -> Z{remedy}",
        "collateral.Z": f"leads back to itself: Z -> Z{remedy}",
        "brackets.A": f"leads back to itself: A -> B -> A{remedy}",
        "brackets.B": f"leads back to itself: B -> A -> B{remedy}",
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"collateral": {"X": 1.5}}, "collateral rates must be from 0 to 1 (got 1.5)"),
        (
            {"collateral": {"X": {"weight": 1.5, "imf": 0.1}}},
            "collateral rates must be from 0 to 1 (got 1.5)",
        ),
        (
            {"collateral": {"X": {"base": 0.5, "slope": 0.1}}},
            "must be a weight that does not rise (got {'base': 0.5, 'slope': 0.1})",
        ),
        ({"collateral": {"X": NAN}}, "'rates' must be at least 0 (got nan)"),
        ({"collateral": {"X": -0.5}}, "'rates' must be at least 0 (got -0.5)"),
        (
            {"collateral": {"X": [[0, 0.5], [1_000, 0.9]]}},
            "collateral rates must not rise as the holding grows (got 0.9 after 0.5)",
        ),
        ({"collateral": {"X": True}}, "must be a rate or rows of [floor, rate]"),
        (
            {"brackets": {"X": {"weight": 0.5, "imf": 0.1}}},
            "must be a rate that does not fall (got {'weight': 0.5, 'imf': 0.1})",
        ),
        (
            {"brackets": {"X": {"least": 1.5, "base": 0.0, "imf": 0.1}}},
            "maintenance rates must be from 0 to 1 (got 1.5)",
        ),
        (
            {
                "brackets": {
                    "X": [
                        {"floor": 0, "cap": 5_000, "rate": 0.01},
                        {"floor": 6_000, "rate": 0.02},
                    ]
                }
            },
            "where the one before ends, at 5000; there is a gap (got floor 6000)",
        ),
        (
            {
                "brackets": {
                    "X": [
                        {"floor": 0, "cap": 5_000, "rate": 0.01},
                        {"floor": 4_000, "rate": 0.02},
                    ]
                }
            },
            "where the one before ends, at 5000; there is an overlap (got floor 4000)",
        ),
        ({"brackets": {"X": [[1, 0.1]]}}, "'floors' must start at 0 (got 1)"),
        (
            {"brackets": {"X": [[0, 0.1], [5, 0.2], [5, 0.3]]}},
            "must increase strictly (got 5 after 5)",
        ),
        (
            {"liability": {"X": 0.95}},
            "weights of a debt must be from 1 to 1e+06 (got 0.95)",
        ),
        ({"initial": {"X": 1.5}}, "initial rates must be from 0 to 1 (got 1.5)"),
        ({"conversion": {"X": 1.0}}, "must be a number from 0 to below 1 (got 1.0)"),
        (
            {"deposit_scale": {"X": 0}},
            "must be a number above 0 and at most 1e+12, or 'none' (got 0)",
        ),
        (
            {"open_interest": {"X": [5, 1]}},
            "must be [lower, upper] in US dollars, or 'none' (got [5, 1])",
        ),
        ({"open_interest": {"X": [1, NAN]}}, "must be [lower, upper] in US dollars"),
        ({"account": {"open_loss": 1}}, "must be true or false (got 1)"),
        (
            {"account": {"margin_at": "asks"}},
            "must be one of index, ask (got 'asks'); did you mean 'ask'?",
        ),
        (
            {"account": {"fee_in_margin": -0.1}},
            "must be a number from 0 to below 1 (got -0.1)",
        ),
        ({"thresholds": {"order": NAN}}, "must be a number from 0 to 1e+12 (got nan)"),
        (
            {"thresholds": {"takeover": -1}},
            "must be a number from 0 to 1e+12, or 'none' (got -1)",
        ),
        (
            {"interest": {"daily_rate": -0.1}},
            "must be a number from 0 to 1e+12 (got -0.1)",
        ),
        (
            {"liquidation": {"steps": ["repay", "liquidate"]}},
            f"must be one of {', '.join(STEPS)} (got 'liquidate')",
        ),
        (
            {"liquidation": {"steps": ["repay", "adl", "repay"]}},
            "must name each step once (got 'repay' again)",
        ),
        (
            {"liquidation": {"steps": ["cancel_orders", "adl", "claim"]}},
            "no book and too few winners take (got cancel_orders, adl, claim)",
        ),
        (
            {"liquidation": {"steps": ["cancel_risky", "takeover", "claim"]}},
            "as long as they rest (got cancel_risky, takeover, claim)",
        ),
        (
            {"liquidation": {"steps": ["cancel_orders", "takeover", "adl"]}},
            "for what is owed in the end (got cancel_orders, takeover, adl)",
        ),
        (
            {
                "liquidation": {
                    "residual": "negative_fund",
                    "steps": ["cancel_orders", "takeover"],
                }
            },
            "'insurance_fund' where liquidation.residual is 'negative_fund'",
        ),
        (
            {"fees": {"liquidation_ppm": -1}},
            "parts per million, at least 0, below 1,000,000 (got -1)",
        ),
        ({"liquidation": {"steps": "repay"}}, "must be a list of steps (got 'repay')"),
        (
            {"liquidation": {"book_share": 1.5}},
            "must be a number above 0 and at most 1, or 'none' (got 1.5)",
        ),
        (
            {"adl": {"ranking": "binnance"}},
            "(got 'binnance'); did you mean 'binance'?",
        ),
        (
            {"adl": {"drawdown": 0.0}},
            "must be a number above 0 and at most 1 (got 0.0)",
        ),
        (
            {"account": {"initial": "leverage"}, "brackets": {"X": 0.1}},
            "[floor, rate, highest leverage] where account.initial is 'leverage'",
        ),
    ],
)
def test_a_wrong_parameter_is_told_with_its_value_and_what_would_do(
    overrides: dict[str, dict[str, object]], message: str
) -> None:
    """One fault of each kind, and no other with it."""
    found = problems(overrides)
    group, values = list(overrides.items())[-1]
    path = f"{group}.{list(values)[-1]}"
    assert list(found) == [path]
    assert message in found[path]


def test_steps_that_end_nothing_are_told_all_that_is_missing() -> None:
    """None at all, and those that suffice with every end of debts."""
    with pytest.raises(RulesError) as caught:
        Rules.build("binance-pm", {"liquidation": {"steps": []}})
    text = str(caught.value)
    assert "must have 'takeover'" in text
    assert "must have 'cancel_orders' where account.open_loss is true" in text
    assert "'claim' or 'socialise'" in text
    assert text.count("(got none)") == 3
    for end in ("claim", "socialise", "insurance_fund"):
        residual = "negative_fund" if end == "insurance_fund" else "claim"
        how = {"steps": ["cancel_orders", "takeover", end], "residual": residual}
        rules = Rules.build("binance-pm", {"liquidation": how})
        assert rules.liquidation.steps == ("cancel_orders", "takeover", end)


def test_orders_that_cost_no_health_need_not_be_cancelled() -> None:
    """Without `account.open_loss` a liquidation ends with orders resting."""
    steps = {"liquidation": {"steps": ["takeover", "claim"]}}
    rules = Rules.build("binance-pm", steps | {"account": {"open_loss": False}})
    assert rules.liquidation.steps == ("takeover", "claim")
    with pytest.raises(RulesError, match=r"steps: must have 'cancel_orders'"):
        rules.changed({"account": {"open_loss": True}})


def test_risk_units_are_given_in_whole() -> None:
    """Moves without a charge, or a charge without its scale, make no unit."""
    found = problems({"stress": {"BTC": {"shock": 0.1, "extreme": 0.2, "basis": 2.0}}})
    assert found == {
        "stress.BTC": "must be a number from 0 to below 1 (got 2.0)",
        **{
            f"{table}.default": "is missing"
            for table in (
                "stress",
                "stress_extreme",
                "stress_charge",
                "stress_scale",
                "depeg",
            )
        },
    }
    with pytest.raises(RulesError, match=r"stress.X: must be a table of shock"):
        Rules.build("okx-pm", {"stress": {"X": 0.1}})
    with pytest.raises(RulesError, match=r"stress_scale.X: multipliers must be from"):
        Rules.build("okx-pm", {"stress_scale": {"X": 0.5}})
    linear = {"base": 0.1, "slope": 0.1}
    with pytest.raises(RulesError, match=r"depeg.X: must be a rate or rows of \["):
        Rules.build("okx-pm", {"depeg": {"X": linear}})


def test_the_terms_hold_the_curves_asked_for() -> None:
    """Listed names get their own curve, in any capitals; others the default."""
    rules = Rules.preset("binance-pm")
    markets = ["BTC/USDT:PERP", "NOSUCH/USDT:PERP", "ENJUSDT"]
    terms = rules.terms(["USDe", "NOSUCH", "BTC"], markets)
    assert terms["brackets"].at.tolist() == [0, 12, 22, 31]
    floors = terms["brackets"].rows[12:22, 0].tolist()
    assert floors == list(rules.brackets_of("ATOMUSDT").floors)
    assert terms["collateral"].rows[:, 1].tolist() == [0.95, 0.1, 0.95]
    assert terms["borrow"].rows[:, 1].tolist() == [0.08, 0.08, 0.08]


def test_a_perpetual_has_the_symbol_of_its_pair() -> None:
    """Market names and symbols both lead to the symbol."""
    names = ["ATOM/USDT:PERP", "ATOMUSDT", "1000PEPE/USDC:PERP"]
    assert [bracket_symbol(n) for n in names] == [
        "ATOMUSDT",
        "ATOMUSDT",
        "1000PEPEUSDC",
    ]


def test_rules_and_their_errors_cross_a_process_boundary() -> None:
    """Pickling and copying keep every value, and the problems of an error."""
    rules = Rules.preset("binance-pm")
    assert pickle.loads(pickle.dumps(rules)) == rules
    assert copy.deepcopy(rules) == rules
    error = RulesError([("a.b", "is wrong")])
    assert pickle.loads(pickle.dumps(error)).problems == (("a.b", "is wrong"),)
    assert str(error) == "a.b: is wrong"
