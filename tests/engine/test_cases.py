"""The cases of a sweep are what was asked for, tried before anything runs."""

from pathlib import Path
from typing import Any

import pytest
from scenario_text import MINI

from flashwick.engine.lab.cases import cases_of
from flashwick.engine.scenario import LoadedScenario, ScenarioError, load

AT = "market_makers.withdraw_at"
SWITCHES = """
[switches.withdrawal]
"market_makers.*.withdraw" = false

[switches.stale]
"stale_bids.old.enabled" = false
"""


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> LoadedScenario:
    """A scenario with a variation, calm, and two switches."""
    path: Path = tmp_path_factory.mktemp("cases") / "mini.toml"
    path.write_text(MINI + SWITCHES)
    return load(path)


def test_grid_makes_a_case_of_every_combination(mini: LoadedScenario) -> None:
    """Named by what they change."""
    cases = cases_of(mini, {AT: [1.2, 1.5], "gateway.cancels_first": [None, True]})
    assert [case.name for case in cases] == [
        f"{AT}=1.2, gateway.cancels_first=None",
        f"{AT}=1.2, gateway.cancels_first=True",
        f"{AT}=1.5, gateway.cancels_first=None",
        f"{AT}=1.5, gateway.cancels_first=True",
    ]
    assert dict(cases[1].changes) == {AT: 1.2, "gateway.cancels_first": True}
    assert cases[1].shown == cases[1].changes


def test_variations_and_switches_are_axes(mini: LoadedScenario) -> None:
    """By name; None is the base, and a list of mechanisms goes off together."""
    cases = cases_of(
        mini,
        {"variation": [None, "calm"], "without": [None, "stale"], "seeds": [3]},
    )
    assert [case.name for case in cases] == [
        "seeds=3",
        "without stale, seeds=3",
        "calm, seeds=3",
        "calm, without stale, seeds=3",
    ]
    assert dict(cases[3].changes) == {
        "market_makers.*.withdraw": False,
        "stale_bids.old.enabled": False,
        "seeds": 3,
    }
    assert cases[3].shown == {"variation": "calm", "without": "stale", "seeds": 3}
    (both,) = cases_of(mini, {"without": [["withdrawal", "stale"]]})
    assert both.name == "without withdrawal, stale"
    assert len(both.changes) == 2


def test_list_and_table_of_cases(mini: LoadedScenario) -> None:
    """Changes, names of variations, and names of one's own."""
    cases = cases_of(mini, [{}, "calm", {AT: 1.2, "gateway.rate": 5_000}])
    assert [case.name for case in cases] == [
        "as it stands",
        "calm",
        f"{AT}=1.2, gateway.rate=5000",
    ]
    assert [dict(case.shown) for case in cases] == [
        {},
        {},
        {AT: 1.2, "gateway.rate": 5_000},
    ]
    named = cases_of(mini, {"base": {}, "slow": {"gateway.rate": 5_000}})
    assert [(case.name, dict(case.changes)) for case in named] == [
        ("base", {}),
        ("slow", {"gateway.rate": 5_000}),
    ]


def test_cases_of_one_name_are_numbered(mini: LoadedScenario) -> None:
    """As text, a number and its decimal may be the same."""
    cases = cases_of(mini, [{"market_makers.alpha.enabled": 1 == 1}, "calm", {}])
    assert len({case.name for case in cases}) == 3
    alike = cases_of(mini, [{"name": "1"}, {"title": "x", "name": "1"}, {"title": "x"}])
    assert len({case.name for case in alike}) == 3


@pytest.mark.parametrize(
    ("cases", "error", "message"),
    [
        ({}, ValueError, r"'cases' must be a grid, as in .* \(got {}\)"),
        ([], ValueError, r"'cases' must be a grid, as in .* \(got \[\]\)"),
        ("calm", TypeError, r"'cases' must be a grid, as in .* \(got 'calm'\)"),
        (3, TypeError, r"'cases' must be a grid"),
        ([3], TypeError, r"'cases' must be a grid"),
        ({3: [1]}, TypeError, r"'cases' must be a grid"),
        ({AT: []}, ValueError, f"'{AT}' must have one value or more"),
        ({AT: 1.2}, TypeError, f"'{AT}' must be a list of values"),
        ({AT: [1.2, 1.2]}, ValueError, f"'{AT}' must have each value once"),
        ([{}, {}], ValueError, r"'cases' must differ; 1 changes what 0 does"),
        (
            [{"market_makers.*.withdraw": False}, "calm"],
            ValueError,
            "'cases' must differ; 1 changes what 0 does",
        ),
        (["clam"], ScenarioError, "'clam' is not a variation of mini; did you mean"),
        ({"variation": ["clam"]}, ScenarioError, "did you mean 'calm'?"),
        ({"variation": [3]}, TypeError, "'variation' must be the name of a variation"),
        ({"without": ["stael"]}, ScenarioError, "did you mean 'stale'?"),
        ({"without": [3]}, TypeError, "'without' must be the name of a mechanism"),
        ({AT: [1.2, float("nan")]}, ScenarioError, r"withdraw_at: must be .*nan"),
        ({AT: [1.2, "high"]}, ScenarioError, "withdraw_at: must be a number"),
        ({AT: [1.2], "gateway.rte": [1]}, ScenarioError, "did you mean 'rate'?"),
        ([{}, {}, {"gateway.rte": 1}], ValueError, "'cases' must differ"),
        ([{}, {"gateway.rte": 1}], ScenarioError, "did you mean 'rate'?"),
    ],
)
def test_wrong_cases_are_refused(
    mini: LoadedScenario, cases: Any, error: type[Exception], message: str
) -> None:
    """Before a replay is run, and with the nearest right word."""
    with pytest.raises(error, match=message):
        cases_of(mini, cases)


def test_each_value_is_tried_once(
    mini: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every combination: a grid of a thousand is ready at once."""
    tried: list[Any] = []
    vary = LoadedScenario.vary
    monkeypatch.setattr(
        LoadedScenario, "vary", lambda self, c: (tried.append(c), vary(self, c))[1]
    )
    assert len(cases_of(mini, {AT: [1.2, 1.3, 1.4], "seeds": [1, 2, 3]})) == 9
    assert len(tried) == 5
