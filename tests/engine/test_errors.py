"""A wrong scenario gives one error: every problem with place, value, remedy, line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenario_text import MINI, problems_of

from flashwick.engine.scenario import LoadedScenario, ScenarioError, load
from flashwick.engine.store import load_run


def lines_with(text: str, part: str) -> list[int]:
    """Numbers of the lines that contain the part."""
    return [i for i, line in enumerate(text.split("\n"), 1) if part in line]


@pytest.fixture
def mini(tmp_path: Path) -> LoadedScenario:
    """The scenario that the tests break, unbroken."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI)
    return load(path)


# -- LINES


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("count = 2\n", "count = -2\n", "count = -2"),
        ('side = "buy"', 'side = "bid"', 'side = "bid"'),
        ('["3.9", "100"]', '["3.9", 100]', '["3.9", 100]'),
        ("ratio = 1.075", "ratio = -3", "ratio = -3"),
        ("WBETH = 0.5", "WBETH = -0.5", "WBETH = -0.5"),
        ("at = 2.0", "at = 200", "at = 200"),
        # A default is at fault: the line of the table.
        ('markets = ["ETH/USDT:PERP"]', "", "[traders.perps]"),
        ('id = "ratio"', "", "[[targets]]"),
    ],
)
def test_problem_has_its_line(old: str, new: str, part: str, tmp_path: Path) -> None:
    """Of the key, or the item, or else of the table that it should be in."""
    text = MINI.replace(old, new, 1)
    (problem,) = problems_of(text, tmp_path)
    assert problem.line == lines_with(text, part)[-1]
    assert str(problem).startswith(f"{problem.file}:{problem.line}: {problem.path}: ")


# -- MANY THINGS WRONG


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """Of every kind, in every table, in the order of the lines, each once."""
    text = (
        MINI.replace("seeds = 2", "seeds = -2")
        .replace("decimals = 6", "decimals = 99")
        .replace('policy = "redemption"', 'policy = "redemtion"')
        .replace('lot = "0.0001"', 'lot = "x"')
        .replace("count = 2", "count = 2.5\nlevls = 3")
        .replace("WBETH = 0.5", "WBET = 0.5")
        .replace("at = 2.0", "at = 99")
        .replace("tolerance = 0.1", "tolerance = -1")
    )
    problems = problems_of(text, tmp_path)
    assert [problem.path for problem in problems] == [
        "seeds",
        "assets.ATOM.decimals",
        'markets."WBETH/USDT".lot',
        "oracles.WBETH.policy",
        "market_makers.alpha.count",
        "market_makers.alpha.levls",
        "market_makers.alpha.collateral.WBET",
        "shocks.1.at",
        "targets.1.tolerance",
    ]
    lines = [problem.line for problem in problems]
    assert lines == sorted(lines, key=lambda line: line or 0)


def test_fault_does_not_cause_others(tmp_path: Path) -> None:
    """A wrong asset is still there for the markets and tables that name it."""
    text = MINI.replace("price = 4.0", "price = -4.0")
    (problem,) = problems_of(text, tmp_path)
    assert problem.path == "assets.ATOM.price"
    text = MINI.replace('lot = "0.01"', "lot = 1")
    (problem,) = problems_of(text, tmp_path)
    assert problem.path == 'markets."ATOM/USDT".lot'


def test_empty_file_lacks_what_every_scenario_has(tmp_path: Path) -> None:
    """Name, duration and assets."""
    problems = problems_of("", tmp_path)
    assert [problem.path for problem in problems] == ["name", "duration", "assets"]
    text = MINI[: MINI.index("[assets]")] + "[assets]\n[markets]\n"
    assert [problem.message for problem in problems_of(text, tmp_path)] == [
        "must have at least one entry",
        "must have at least one entry",
    ]


# -- FILES THAT ARE NO SCENARIO


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"name = \n", 1, "is not TOML: invalid value"),
        (b"a = 1\nb = [1, 2\n", 2, "the file ends: it may be cut off; complete it"),
        (b"a = 1\n\na = 2\n", 3, "the key or table is there already; leave one out"),
        (b"[a]\n[b]\n[a]\n", 3, "declare ('a',) twice"),
        (b"a = 1\nb = '\xff'\n", 2, "is not UTF-8 text (byte 0xff)"),
        (b"\x00\x01", 1, "is not TOML"),
        (b"a = " + b"[" * 100_000, None, "is not TOML that can be read"),
        (b"a = " + b"9" * 100_000, None, "is not TOML that can be read"),
    ],
)
def test_text_that_is_not_toml_is_refused(
    text: bytes, line: int | None, message: str, tmp_path: Path
) -> None:
    """With the line where reading stopped, and no traceback."""
    (problem,) = problems_of(text, tmp_path)
    assert problem.line == line
    assert message in problem.message


@pytest.mark.parametrize(
    "last",
    [
        'title = "Two',
        "[assets",
        "\nETH = { price",
        "[assets.ATOM]\nprice = 4.0\ndeci",
        '[markets."ATOM/USDT"]\ntick = "0.001"\n',
        "[market_makers.alpha]\ncount = 2\n",
        '    ["3.998", "10.5"],\n',
        'at = 1.0\nkind = "order"\nmarket = "ATOM/USDT"\n',
        'measure = "shock.0.filled"\nvalue =',
    ],
)
def test_file_that_is_cut_off_is_refused(last: str, tmp_path: Path) -> None:
    """What is left is no TOML, or lacks something; it is said near its end."""
    text = MINI[: MINI.index(last) + len(last)]
    problems = problems_of(text, tmp_path)
    assert any((problem.line or 0) > text.count("\n") - 5 for problem in problems)


def test_huge_file_is_refused(tmp_path: Path) -> None:
    """Before it is parsed."""
    (problem,) = problems_of(b"#" * 16_000_001, tmp_path)
    assert problem.message == "must have at most 16,000,000 bytes (got 16,000,001)"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("atom-swep", "did you mean 'atom-sweep'?"),
        ("", "'' is not a shipped scenario"),
        ("no/such.toml", "there is no such file"),
        ("atom-sweep.toml", "did you mean the shipped scenario 'atom-sweep'?"),
        (".", "is not a file; name a TOML file"),
        ("a\0b.toml", "there is no such file"),
    ],
)
def test_source_that_is_not_there_is_refused(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest name, and what is there, is said."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError) as caught:
        load(source)
    assert message in str(caught.value)


def test_neighbour_of_a_missing_file_is_named(mini: LoadedScenario) -> None:
    """A slip in a file's name is answered with the file that is there."""
    slip = mini.file.replace("mini.toml", "mnii.toml")
    with pytest.raises(ScenarioError) as caught:
        load(slip)
    assert f"did you mean {mini.file!r}?" in str(caught.value)


# -- CHANGES


@pytest.mark.parametrize(
    ("changes", "places", "message"),
    [
        ({"duration": -1}, ["duration"], "must be above 0 (got -1)"),
        ({"duration": float("nan")}, ["duration"], "must be a finite number"),
        ({"duration": None}, ["duration"], "is missing"),
        ({"duratoin": 3}, ["duratoin"], "did you mean 'duration'?"),
        ({"assets.ATOM.prize": None}, ["assets.ATOM.prize"], "did you mean 'price'?"),
        ({"assets.ATM.price": 3}, ["assets.ATM.price"], "did you mean 'ATOM'?"),
        ({"shocks.2.usd": 1}, ["shocks.2.usd"], "shocks has items 0 to 1 (got '2')"),
        ({"shocks.-1.usd": 1}, ["shocks.-1.usd"], "items 0 to 1 (got '-1')"),
        ({"shocks.first": 1}, ["shocks.first"], "items 0 to 1 (got 'first')"),
        (
            # The makers have a field of this name, which is not what is meant.
            {"market_makers.gamma.count": 1},
            ["market_makers.gamma.count"],
            "'gamma' is not there (alpha, beta)",
        ),
        (
            {"market_makers.alfa.count": 1},
            ["market_makers.alfa.count"],
            "did you mean 'alpha'? (alpha, beta)",
        ),
        ({"seeds.x": 1}, ["seeds.x"], "seeds is 2, which has no keys"),
        ({"ladders.*.x.*": 1}, ["ladders.*.x.*"], "'x' is not a key"),
        ({"transfers.*": 1}, ["transfers.*"], "has no entries that '*' could mean"),
        ({"a b": 1}, ['"a b"'], "is not a place"),
        (
            {"market_makers.withdraw_att": 1.2},
            ["market_makers.withdraw_att"],
            "did you mean 'withdraw_at'?",
        ),
        (
            {"rules.liquidation.rate_limt": None},
            ["rules.liquidation.rate_limt"],
            "did you mean 'rate_limit'?",
        ),
        (
            {"oracles.WBETH.policy": "redemtion"},
            ["oracles.WBETH.policy"],
            "'redemtion' is not a policy; did you mean 'redemption'?",
        ),
        (
            {"market_makers.*.levels": 0},
            ["market_makers.alpha.levels", "market_makers.beta.levels"],
            "must be above 0 (got 0)",
        ),
        (
            {"shocks.0": object()},
            ["shocks.0"],
            "must be a table of keys and values (got <object",
        ),
    ],
)
def test_wrong_change_is_refused(
    changes: dict[str, object], places: list[str], message: str, mini: LoadedScenario
) -> None:
    """With its own place and no line, for it is not in the file; nothing changes."""
    before = repr(mini.document)
    with pytest.raises(ScenarioError) as caught:
        mini.vary(changes)
    problems = caught.value.problems
    assert [problem.path for problem in problems] == places
    for problem in problems:
        assert message in problem.message
        assert problem.line is None
    assert repr(mini.document) == before


def test_all_wrong_changes_are_told_at_once(mini: LoadedScenario) -> None:
    """Places that are not there first; then everything that does not fit."""
    with pytest.raises(ScenarioError) as caught:
        mini.vary({"duratoin": 3, "shocks.9.usd": 1, "seeds": 4})
    assert len(caught.value.problems) == 2
    with pytest.raises(ScenarioError) as caught:
        mini.vary({"duration": 1.5, "seeds": -4, "gateway.jitter": -1})
    assert {problem.path for problem in caught.value.problems} == {
        "seeds",
        "gateway.jitter",
        "shocks.1.at",
    }


def test_place_in_the_file_that_a_change_breaks_has_its_line(
    mini: LoadedScenario,
) -> None:
    """Taking a market away tells who still names it, and where."""
    with pytest.raises(ScenarioError) as caught:
        mini.vary({'markets."WBETH/USDT"': None})
    named = {problem.path: problem.line for problem in caught.value.problems}
    wanted = lines_with(MINI, 'markets = ["ATOM/USDT", "WBETH/USDT"]')
    assert named["market_makers.alpha.markets.1"] == wanted[0]
    assert named["shocks.1.market"] == lines_with(MINI, 'market = "WBETH/USDT"')[1]


def test_unknown_variation_is_refused(mini: LoadedScenario) -> None:
    """With the variations that there are."""
    with pytest.raises(ScenarioError, match=r"did you mean 'calm'\? \(calm\)"):
        mini.variation("clam")


# -- ARGUMENTS THAT ARE NOT OF THEIR KIND


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: load(None), r"'source' must be the name .* \(got None\)"),
        (lambda _: load(7), r"'source' must be the name .* \(got 7\)"),
        (lambda mini: mini.vary([1]), r"'changes' must be a table .* \(got \[1\]\)"),
        (lambda mini: mini.vary({1: 2}), r"'place' must be text, .* \(got 1\)"),
        (lambda mini: mini.variation(None), "None is not a variation of mini"),
        (lambda mini: mini.run(-1), r"'seed' must be .* 0 to 2\^63-1 \(got -1\)"),
        (lambda mini: mini.run("a"), r"'seed' must be a whole number .* \(got 'a'\)"),
        (lambda mini: mini.run(1.0), r"'seed' must be a whole number .* \(got 1.0\)"),
        (lambda mini: mini.run(True), r"'seed' must be a whole number .* \(got True\)"),
        (lambda mini: mini.run(2**63), "'seed' must be a whole number"),
    ],
)
def test_wrong_argument_is_named(
    call: Callable[[Any], object], message: str, mini: LoadedScenario
) -> None:
    """With its value and what it should be, in one sentence."""
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call(mini)
    assert "\n" not in str(caught.value)


def test_seed_may_be_a_number_of_numpy(tmp_path: Path) -> None:
    """And is kept as one of Python, so that the run can be saved."""
    run = load("atom-sweep").run(np.int64(3))
    assert type(run.seed) is int
    assert load_run(run.save(tmp_path / "run")).manifest["seed"] == 3
