"""Groups of markets in the lists and tables of a scenario."""

from pathlib import Path

import pytest
from scenario_text import MINI, problems_of

import flashwick as fw
from flashwick.engine.reading.groups import Groups, expand

GROUPS = """
[groups]
coins = ["ATOM/USDT", "WBETH/USDT"]
all = ["@coins", "ETH/USDT:PERP", "@coins[2-2]"]
"""


def loaded(folder: Path, text: str) -> fw.Scenario:
    """The scenario of a text."""
    path = folder / "groups.toml"
    path.write_text(text)
    return fw.load(path)


def test_group_stands_for_its_markets_in_any_list(tmp_path: Path) -> None:
    """Of participants and of what is recorded; a market named twice is there once."""
    text = MINI.replace(
        '[stale_bids.old]\nmarkets = ["ATOM/USDT"]',
        '[stale_bids.old]\nmarkets = ["WBETH/USDT", "@all"]',
    )
    text += '\n[record]\nmarkets = ["@all[2-]"]\n' + GROUPS
    config = loaded(tmp_path, text).config
    spot = ("WBETH/USDT", "ATOM/USDT", "ETH/USDT:PERP")
    assert config.stale_bids["old"].markets == spot
    assert config.record.markets == ("WBETH/USDT", "ETH/USDT:PERP")
    assert config.groups["all"] == ("ATOM/USDT", "WBETH/USDT", "ETH/USDT:PERP")


def test_key_of_its_own_goes_before_that_of_a_group(tmp_path: Path) -> None:
    """A scale for all, another for one of them."""
    text = MINI.replace(
        "[market_makers.beta]",
        'scale = { "@coins" = 2.0, "ATOM/USDT" = 3.0 }\n\n[market_makers.beta]',
    )
    config = loaded(tmp_path, text + GROUPS).config
    scale = config.market_makers["alpha"].scale
    assert scale == {"ATOM/USDT": 3.0, "WBETH/USDT": 2.0}


def test_group_may_be_changed_and_named_in_a_change(tmp_path: Path) -> None:
    """Who names it follows; the document keeps the name."""
    text = MINI.replace('markets = ["ATOM/USDT"]', 'markets = ["@coins"]')
    scenario = loaded(tmp_path, text + GROUPS.replace(', "@coins[2-2]"', ""))
    assert scenario.config.arbitrage["desk"].markets == ("ATOM/USDT", "WBETH/USDT")
    fewer = scenario.vary({"groups.coins": ["WBETH/USDT"]})
    assert fewer.config.arbitrage["desk"].markets == ("WBETH/USDT",)
    assert fewer.document["arbitrage"]["desk"]["markets"] == ["@coins"]
    other = scenario.vary({"arbitrage.desk.markets": ["@coins[1-1]"]})
    assert other.config.arbitrage["desk"].markets == ("ATOM/USDT",)


def test_document_without_groups_is_as_it_was() -> None:
    """And what a universe or a variation says is not touched."""
    document = {"a": {"markets": ["X/USDT"]}, "variations": {"v": {"x": ["@no"]}}}
    assert expand(document) == (document, {}, [])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("@coin", "'@coin' is not a group of the scenario; did you mean '@coins'?"),
        ("@coins[3-4]", "must be a part of the 2 markets of '@coins' (got '@coins[3-"),
        ("@coins[2-1]", "must be a part of the 2 markets of '@coins' (got '@coins[2-"),
        ("@coins[1]", "'@coins[1]' is not a group; write '@tail', '@tail[1-20]' for"),
        ("ATM/USDT", "'ATM/USDT' is not a market of the scenario; did you mean 'ATOM/"),
    ],
)
def test_fault_in_a_list_with_groups_names_its_own_entry(
    entry: str, message: str, tmp_path: Path
) -> None:
    """The number is that of the entry in the file, whatever groups come before it."""
    mine = f'[stale_bids.old]\nmarkets = ["@coins", "{entry}"]'
    text = MINI.replace('[stale_bids.old]\nmarkets = ["ATOM/USDT"]', mine) + GROUPS
    (problem,) = problems_of(text, tmp_path)
    assert problem.path == "stale_bids.old.markets.1"
    assert problem.message.startswith(message)
    assert problem.line == text.splitlines().index(mine.splitlines()[1]) + 1


def test_market_written_twice_is_told_with_groups_as_without(tmp_path: Path) -> None:
    """One that a group has as well is no fault."""
    mine = '[stale_bids.old]\nmarkets = ["@coins[2-2]", "ATOM/USDT", "ATOM/USDT"]'
    text = MINI.replace('[stale_bids.old]\nmarkets = ["ATOM/USDT"]', mine) + GROUPS
    (problem,) = problems_of(text, tmp_path)
    assert problem.path == "stale_bids.old.markets.2"
    assert problem.message == "'ATOM/USDT' is named twice"


def test_group_that_holds_itself_is_refused() -> None:
    """With the way round, whichever of them is looked at first."""
    groups = Groups({"a": ["@b", "X/USDT"], "b": ["@c"], "c": ["@a", "Y/USDT"]})
    (fault,) = groups.faults
    assert fault.path == ("groups", "c", 0)
    assert fault.message == "must not hold itself (got a -> b -> c -> a)"
    assert groups.members["a"] == ("Y/USDT", "X/USDT")


def test_many_faults_of_one_kind_are_told_once(tmp_path: Path) -> None:
    """A group of eight unknown markets is one line with a number."""
    unknown = [f"XX{i}/USDT" for i in range(8)]
    listed = ", ".join(f'"{name}"' for name in unknown)
    text = MINI.replace(
        '[stale_bids.old]\nmarkets = ["ATOM/USDT"]',
        f"[stale_bids.old]\nmarkets = [{listed}]",
    )
    (problem,) = problems_of(text, tmp_path)
    assert problem.message.startswith("'XX0/USDT' is not a market of the scenario")
    assert problem.message.endswith("; and 7 more like it")
