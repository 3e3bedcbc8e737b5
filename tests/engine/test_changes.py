"""A place may leave out the name of an entry: every entry is meant then."""

from pathlib import Path
from typing import Any

import pytest
from scenario_text import MINI

from flashwick.engine.reading.changes import covers, parse_assignment
from flashwick.engine.scenario import LoadedScenario, ScenarioError, load


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> LoadedScenario:
    """Two classes of market makers, alpha and beta."""
    path: Path = tmp_path_factory.mktemp("changes") / "mini.toml"
    path.write_text(MINI)
    return load(path)


@pytest.mark.parametrize(
    ("short", "long", "value"),
    [
        ("market_makers.withdraw_at", "market_makers.*.withdraw_at", 1.2),
        ("market_makers.collateral", "market_makers.*.collateral", {"WBETH": 0.1}),
        ("market_makers.collateral.WBETH", "market_makers.*.collateral.WBETH", 0.1),
        ("market_makers.withdraw_at", "market_makers.*.withdraw_at", None),
        ("markets.price_band", "markets.*.price_band", 0.2),
        ("traders.leverage", "traders.*.leverage", 5.0),
    ],
)
def test_key_of_all_entries_needs_no_star(
    mini: LoadedScenario, short: str, long: str, value: Any
) -> None:
    """The two places are one."""
    assert mini.vary({short: value}).config == mini.vary({long: value}).config


def test_entry_that_has_such_a_name_is_meant_itself(tmp_path: Path) -> None:
    """A class of makers may be called what a key is."""
    path = tmp_path / "named.toml"
    path.write_text(MINI.replace("[market_makers.beta]", "[market_makers.levels]"))
    named = load(path)
    varied = named.vary({"market_makers.levels.withdraw_at": 1.1})
    found = {name: m.withdraw_at for name, m in varied.config.market_makers.items()}
    assert found == {"alpha": 1.5, "levels": 1.1}


def test_key_without_its_table_is_told_where_it_is(mini: LoadedScenario) -> None:
    """Unless many tables have it; an item of a list has no place without a number."""
    with pytest.raises(ScenarioError, match=r"did you mean markets\.price_band\?"):
        mini.vary({"price_band": 0.3})
    for key in ("interval", "at"):
        with pytest.raises(ScenarioError, match=f"'{key}' is not a key$"):
            mini.vary({key: 0.3})
    with pytest.raises(ScenarioError, match=r"a run is given its seed: run\(seed=3\)"):
        mini.vary({"seed": 3})


def test_wrong_value_is_told_for_every_entry(mini: LoadedScenario) -> None:
    """It was set by the change, so that it has no line of the file."""
    with pytest.raises(ScenarioError) as told:
        mini.vary({"market_makers.withdraw_at": -1})
    problems = told.value.problems
    assert [problem.path for problem in problems] == [
        "market_makers.alpha.withdraw_at",
        "market_makers.beta.withdraw_at",
    ]
    assert [problem.line for problem in problems] == [None, None]
    assert covers("market_makers.levels", ("market_makers", "beta", "levels"))
    assert not covers("market_makers.levels", ("market_makers", "beta", "count"))


def test_value_of_a_key_of_all_entries_is_read_as_it_is_there() -> None:
    """A tick is text, also where it looks like a number."""
    assert parse_assignment("markets.tick=0.01") == ("markets.tick", "0.01")
    assert parse_assignment("market_makers.withdraw_at=1.2")[1] == 1.2


def test_table_without_entries_has_none_to_change(tmp_path: Path) -> None:
    """It is said, and nothing is made up."""
    with pytest.raises(ScenarioError, match="has no entries that '\\*' could mean"):
        load("atom-sweep").vary({"market_makers.withdraw_at": 1.2})
