"""What participants start with: inventory nobody hedges, accounts already ruined."""

from pathlib import Path

import pytest
from scenario_text import MINI

import flashwick as fw


def loaded(folder: Path, *changes: tuple[str, str]) -> fw.Scenario:
    """The mini scenario with text replaced."""
    text = MINI
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is not there once"
        text = text.replace(old, new)
    path = folder / "mini.toml"
    path.write_text(text)
    return fw.load(path)


def test_inventory_without_a_perpetual_needs_no_hedge(tmp_path: Path) -> None:
    """With hedge 0 a maker holds a coin that has none, and nothing is short."""
    change = ("inventory = { WBETH = 0.1 }", "inventory = { ATOM = 0.4 }\nhedge = 0")
    run = loaded(tmp_path, change).run(seed=1)
    assert run.outcome["conserved"] == 1.0
    assert run.series.maker_leverage[0].max() < 1.0  # what was borrowed, no position


def test_accounts_that_start_in_liquidation_are_told(tmp_path: Path) -> None:
    """How many of how many, in which table, and what to do; all others run silently."""
    scenario = loaded(
        tmp_path,
        ('leverage = { kind = "fixed", value = 3 }', RUINED),
        ("[oracles.WBETH]", "[rules]\ncollateral = { ATOM = 0.05 }\n\n[oracles.WBETH]"),
    )
    said = "population.crowd: 30 of 30 accounts start in liquidation; lower"
    with pytest.warns(UserWarning, match=said) as told:
        run = scenario.run(seed=1)
    assert len(told) == 1
    assert told[0].filename == __file__
    first = [e for e in run.log.single("breach") if e.time == 0]
    assert len({e.account for e in first}) == 30


def test_makers_without_coins_to_sell_are_told(tmp_path: Path) -> None:
    """Those that are to rest a share of the depth, both sides; others may only bid."""
    scenario = loaded(
        tmp_path,
        ("collateral = { WBETH = 0.5 }", "collateral = { WBETH = 0.5 }\nshare = 0.5"),
        (
            'markets."ATOM/USDT"]\ntick = "0.001"',
            'markets."ATOM/USDT"]\ndepth_usd = 1e5\ntick = "0.001"',
        ),
        ('last = "4300.00"', "depth_usd = 1e5"),
    )
    said = (
        "market_makers.alpha: none of its accounts has coins to sell in ATOM/USDT, so "
        "it quotes no asks there; give them collateral, inventory or stock"
    )
    with pytest.warns(UserWarning, match=said) as told:
        scenario.run(seed=1)
    assert len(told) == 1
    assert told[0].filename == __file__
    some = {"market_makers.alpha.stock": 0.2, "market_makers.alpha.hedge": 0}
    assert scenario.vary(some).run(seed=1).outcome["conserved"] == 1.0


RUINED = """leverage = { kind = "fixed", value = 30 }
collateral = { ATOM = 1.0 }"""
