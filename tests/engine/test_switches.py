"""Mechanisms that a file can switch off."""

import pytest
from scenario_text import MINI, problems_of

import flashwick as fw
from flashwick.engine.lab.compare import _named
from flashwick.engine.reading.switches import combined
from flashwick.engine.scenario import ScenarioError, load

SWITCHES = """
[switches.panic]
"holders.*.enabled" = false

[switches.sale]
"rules.liquidation.steps" = [
    "cancel_orders", "repay", "reduce_positions", "takeover", "insurance_fund", "adl",
    "claim",
]

[switches.adl]
"rules.liquidation.steps" = [
    "cancel_orders", "repay", "sell_collateral", "reduce_positions", "takeover",
    "insurance_fund", "claim",
]
"""


@pytest.fixture
def mini(tmp_path):
    """The small scenario with three switches."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI + SWITCHES)
    return load(path)


def test_file_names_its_mechanisms(mini):
    """Each with what switches it off."""
    assert list(mini.switches) == ["panic", "sale", "adl"]
    assert mini.switches["panic"] == "holders.*.enabled=False"


def test_mechanism_is_switched_off_by_name(mini):
    """The others are as they were."""
    calm = mini.without("panic")
    assert not calm.config.holders["atom"].enabled
    assert calm.config.stale_bids["old"].enabled
    assert calm.changes == {"holders.*.enabled": False}
    assert mini.without().changes == {}


def test_lists_that_two_shorten_keep_what_both_leave(mini):
    """Without the sale and without deleveraging neither step is there."""
    steps = mini.without("sale", "adl").document["rules"]["liquidation"]["steps"]
    assert "sell_collateral" not in steps
    assert "adl" not in steps
    assert steps == [
        "cancel_orders",
        "repay",
        "reduce_positions",
        "takeover",
        "insurance_fund",
        "claim",
    ]


def test_order_of_names_does_not_matter(mini):
    """A coalition is a set."""
    one, other = mini.without("sale", "adl"), mini.without("adl", "sale", "adl")
    assert one.config == other.config


def test_unknown_mechanism_is_told_with_the_nearest(mini):
    """As every name is."""
    with pytest.raises(ScenarioError, match=r"'panik' is not a mechanism .*'panic'"):
        mini.without("panik")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('"holders.*.enable" = false', "switches.x.*", "'enable' is not a key"),
        ("", "switches.x", "must have what switches it off"),
        ('"seeds" = 0', "switches.x.seeds", "seeds: must be"),
        ('"holders.atom.enabled" = false', "switches.x.*", "'panic' changes holders"),
        ('"holders.atom" = { assets = { ATOM = 1 } }', "switches.x.*", "'panic'"),
    ],
)
def test_wrong_switches_are_told_when_the_file_is_read(tmp_path, text, place, message):
    """With the line of the file, before anything is run."""
    switches = f"{SWITCHES.partition('[switches.sale]')[0]}\n[switches.x]\n{text}\n"
    (problem,) = problems_of(MINI + switches, tmp_path)
    assert problem.path.startswith(place.rstrip("*"))
    assert message in problem.message
    assert problem.line is not None


def test_switches_that_cannot_be_off_together_are_told(tmp_path):
    """Each alone is right, both together leave a debt without an end."""
    steps = [
        '["cancel_orders", "reduce_positions", "takeover", "claim"]',
        '["cancel_orders", "reduce_positions", "takeover", "socialise"]',
    ]
    switches = "".join(
        f'[switches.s{i}]\n"rules.liquidation.steps" = {text}\n'
        for i, text in enumerate(steps)
    )
    (problem,) = problems_of(MINI + switches, tmp_path)
    assert problem.message.startswith("all together: rules")


def test_later_change_of_another_place_is_added():
    """Places of several mechanisms are all changed."""
    switches = {"a": {"x": 1}, "b": {"y": 2}, "c": {"z": 3}}
    assert combined(switches, ["c", "a"]) == {"z": 3, "x": 1}


def test_switched_off_scenario_is_called_so(mini):
    """In a comparison it is labelled without the mechanism."""
    assert _named([mini, mini.without("panic")]) == ("as it stands", "without panic")


def test_wick_scenario_can_switch_off_its_mechanisms():
    """The shipped one has eight, and each changes what it says."""
    crash = fw.load("unified-margin-wick")
    assert list(crash.switches) == [
        "own-book-index",
        "collateral-sale",
        "withdrawal-by-health",
        "withdrawal-by-volatility",
        "withdrawal-by-flow",
        "stale-bids",
        "panic-selling",
        "transfer-freeze",
    ]
    off = crash.without(*crash.switches).config
    assert {off.oracles[coin].policy for coin in ("USDE", "WBETH", "BNSOL")} == {
        "redemption"
    }
    assert not any(bids.enabled for bids in off.stale_bids.values())
    assert not any(holder.enabled for holder in off.holders.values())
    assert all(fleet.withdraw_at == 0 for fleet in off.market_makers.values())
    assert all(shock.open for shock in off.shocks if shock.kind == "transfers")
