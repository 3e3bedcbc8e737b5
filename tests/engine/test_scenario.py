"""Scenarios are loaded, varied and named."""

import pickle
import re
import tomllib
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_text import MINI

from flashwick.engine.reading.changes import (
    ChangeError,
    join_path,
    parse_assignment,
    split_path,
)
from flashwick.engine.reading.drawing import DRAWN_FROM
from flashwick.engine.reading.location import locate
from flashwick.engine.reading.sources import text_of
from flashwick.engine.scenario import (
    LoadedScenario,
    ScenarioError,
    load,
    read_scenario,
    scenarios,
)

DOCUMENT = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text("utf-8")


@pytest.fixture
def mini(tmp_path: Path) -> LoadedScenario:
    """The small scenario of these tests, from a file."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI)
    return load(path)


# -- LOADING


@pytest.mark.parametrize("name", scenarios())
def test_shipped_scenario_loads_with_its_variations(name: str) -> None:
    """Each is named as its file, has a title, and all of its variations apply."""
    scenario = load(name)
    assert scenario.name == name
    assert scenario.config.title == scenarios()[name] != ""
    # Its variations and switches, which are not looked at again when it is named.
    assert read_scenario(*text_of(name), {}).config == scenario.config
    for variation in scenario.config.variations:
        assert scenario.variation(variation).config != scenario.config


@pytest.mark.parametrize(
    "line", re.findall(r"^leverage = \{.*", DOCUMENT, re.MULTILINE)
)
def test_distributions_of_the_document_are_read(line: str, tmp_path: Path) -> None:
    """Each has all the keys that its kind needs."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI.replace('leverage = { kind = "fixed", value = 3 }', line))
    drawn = load(path).config.population["crowd"].leverage
    assert attrs.asdict(drawn).items() >= tomllib.loads(line)["leverage"].items()


def test_document_shows_every_kind_of_distribution() -> None:
    """And none that there is not."""
    shown = re.findall(r'^leverage = \{ kind = "(\w+)"', DOCUMENT, re.MULTILINE)
    assert sorted(shown) == sorted(DRAWN_FROM)


def test_breaker_stands_in_the_line_of_its_market(tmp_path: Path) -> None:
    """As the document shows it."""
    (line,) = re.findall(r"^.*circuit_breaker = \{.*\}$", DOCUMENT, re.MULTILINE)
    path = tmp_path / "mini.toml"
    head, _, rest = MINI.partition('[markets."ATOM/USDT"]')
    path.write_text(f"{head}[markets]\n{line}\n[{rest.partition(chr(10) + '[')[2]}")
    breaker = load(path).config.markets["ATOM/USDT"].circuit_breaker
    assert breaker is not None
    assert (breaker.share, breaker.pause, breaker.phase) == (0.1, 30.0, "call")


def test_file_is_read_into_parameters(mini: LoadedScenario) -> None:
    """Tables become records, integers are taken for floats, defaults fill the rest."""
    assert mini.config.assets["ATOM"].price == 4.0
    assert isinstance(mini.config.assets["USDT"].price, float)
    assert mini.config.markets["ATOM/USDT"].last is None
    assert mini.config.oracles["WBETH"].policy == "redemption"
    assert mini.config.market_makers["alpha"].levels == 6
    assert mini.config.shocks[0].usd == 100_000.0
    assert mini.source == MINI
    assert mini.document == tomllib.loads(MINI)


def test_path_may_be_text_or_a_path(mini: LoadedScenario) -> None:
    """A text with a dot or a slash in it is a path, not the name of a scenario."""
    assert load(mini.file).config == load(Path(mini.file)).config == mini.config


def test_file_of_windows_is_read(tmp_path: Path) -> None:
    """A byte order mark and CRLF line ends change nothing, line numbers included."""
    path = tmp_path / "windows.toml"
    text = MINI.replace("count = 2", "count = -2")
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    with pytest.raises(ScenarioError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.line == text[: text.index("count = -2")].count("\n") + 1


def test_rules_without_a_preset_have_the_default_one(mini: LoadedScenario) -> None:
    """A single rule can be changed in a file that has no [rules] at all."""
    varied = mini.vary({"rules.liquidation.rate_limit": 5})
    assert varied.config.rules["preset"] == "binance-pm"
    assert varied.config.rules["liquidation"] == {"rate_limit": 5}


def test_scenario_crosses_a_process_boundary(mini: LoadedScenario) -> None:
    """It pickles to an equal one, and so does its error, problems and all."""
    assert pickle.loads(pickle.dumps(mini)) == mini
    with pytest.raises(ScenarioError) as caught:
        mini.vary({"duration": -1})
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems
    assert str(again) == str(caught.value)


# -- VARYING


def test_vary_gives_a_new_scenario(mini: LoadedScenario) -> None:
    """The value is there, is checked and converted; the original has the old one."""
    varied = mini.vary({"oracles.WBETH.policy": "own_book"})
    assert varied.config.oracles["WBETH"].policy == "own_book"
    assert mini.config.oracles["WBETH"].policy == "redemption"
    assert varied.changes == {"oracles.WBETH.policy": "own_book"}
    assert repr(varied) == "<Scenario mini, oracles.WBETH.policy='own_book'>"
    assert varied.source == mini.source


def test_changes_of_changes_add_up(mini: LoadedScenario) -> None:
    """Varying twice is varying once with both, the later value winning."""
    twice = mini.vary({"duration": 20, "seeds": 3}).vary({"duration": 30})
    assert twice.config == mini.vary({"duration": 30, "seeds": 3}).config
    assert twice.changes == {"duration": 30, "seeds": 3}


def test_star_is_every_entry(mini: LoadedScenario) -> None:
    """Of a table and of a list alike."""
    varied = mini.vary({"market_makers.*.withdraw_at": 1.2, "shocks.*.usd": 7e5})
    makers = varied.config.market_makers.values()
    assert [maker.withdraw_at for maker in makers] == [1.2, 1.2]
    assert [shock.usd for shock in varied.config.shocks] == [7e5, 7e5]


def test_none_removes(mini: LoadedScenario) -> None:
    """A key returns to its default, an entry or an item goes."""
    changes = {
        "market_makers.alpha.count": None,
        "market_makers.beta": None,
        "shocks.0": None,
        "rules.liquidation.rate_limit": None,
    }
    varied = mini.vary(changes)
    assert varied.config.market_makers["alpha"].count == 4
    assert list(varied.config.market_makers) == ["alpha"]
    assert [shock.at for shock in varied.config.shocks] == [2.0]
    assert mini.vary({"shocks.*": None}).config.shocks == ()


def test_quoted_key_and_whole_table_are_set(mini: LoadedScenario) -> None:
    """Names with slashes are quoted; a new entry is given whole."""
    varied = mini.vary(
        {
            'markets."ATOM/USDT".price_band': 0.1,
            "market_makers.gamma": {"markets": ["ATOM/USDT"], "hedge": 0},
        }
    )
    assert varied.config.markets["ATOM/USDT"].price_band == 0.1
    assert varied.config.market_makers["gamma"].hedge == 0.0


def test_numbers_of_numpy_are_numbers(mini: LoadedScenario) -> None:
    """A grid from linspace or arange can be swept as it is."""
    varied = mini.vary(
        {
            "market_makers.*.count": np.arange(3)[2],
            "market_makers.*.withdraw_at": np.float32(1.5),
            "market_makers.*.markets": ("ATOM/USDT",),
        }
    )
    assert varied.config.market_makers["alpha"].count == 2
    assert varied.config.market_makers["alpha"].markets == ("ATOM/USDT",)


def test_document_of_a_variation_reproduces_it(mini: LoadedScenario) -> None:
    """The tables of a varied scenario, read again, are the varied scenario."""
    varied = mini.variation("calm")
    assert varied.config.market_makers["alpha"].withdraw is False
    assert varied.changes == {"market_makers.*.withdraw": False}
    assert varied.document["market_makers"]["beta"]["withdraw"] is False


# -- PLACES AND VALUES

KEYS = st.text(
    st.characters(codec="utf-8", exclude_characters="\"'\n\r"), min_size=1
) | st.integers(0, 99)


@given(st.lists(KEYS, min_size=1, max_size=4).map(tuple))
def test_place_is_read_as_it_is_written(path: tuple[str | int, ...]) -> None:
    """Any keys, dots, spaces and slashes in them included."""
    assert split_path(join_path(path)) == tuple(map(str, path))


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", 'a."b', "a b", "a.b c"])
def test_text_that_is_no_place_is_refused(text: str) -> None:
    """The message shows how a place is written."""
    with pytest.raises(ChangeError, match=r"is not a place; write keys joined by dots"):
        split_path(text)


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("oracles.WBETH.policy=redemption", "oracles.WBETH.policy", "redemption"),
        ('title="a = b"', "title", "a = b"),
        ("title = two words ", "title", "two words"),
        ("duration=1e3", "duration", 1000.0),
        ("seeds=8", "seeds", 8),
        ("transfers.open=false", "transfers.open", False),
        ("rules.liquidation.steps=['claim']", "rules.liquidation.steps", ["claim"]),
        ("rules.liquidation.rate_limit=", "rules.liquidation.rate_limit", None),
        ("targets.0.band=[1, 2]", "targets.0.band", [1, 2]),
        # Where the file has text, what looks like a number is text.
        ("shocks.0.qty=10.50", "shocks.0.qty", "10.50"),
        ('markets."A/B".tick=0.01', 'markets."A/B".tick', "0.01"),
        # Not one value of TOML: a bare word.
        ("title=1\nseeds = 2", "title", "1\nseeds = 2"),
        ("title=" + "[" * 5000, "title", "[" * 5000),
    ],
)
def test_assignment_is_read(text: str, place: str, value: object) -> None:
    """The value is TOML, or else a bare word."""
    assert parse_assignment(text) == (place, value)


# -- LINES


def walk(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Path of everything in a document."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = {path} if path else set()
    return found.union(*(walk(item, (*path, key)) for key, item in items))


ODD = r"""
# [not.a.table]
name = "x # y"   # z
a.b = 3
a . 'c d'."e.f" = '''
many ' lines \
  = 1
'''''
[t."A/B"]
x = [ [1, 2], # = [hello
  [ ], [{ k = ']', "l" = [ '''

[s] # not here
''' ] }],
]
y = { k = 1, m.n = "}", o = { } }
at = 2025-10-10 21:20:00
"\u0041" = 0x1F
[[s]]
q = '#'
[s.sub]
z = "\""
[[s.deep]]
p = true
[[s.deep]]
[[s]]
[s.sub.sub]
"""


@pytest.mark.parametrize("text", [ODD, MINI])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_key_and_item_has_a_line(text: str, end: str) -> None:
    """The lines are of the same places that tomllib reads, whatever the style."""
    lines = locate(text.replace("\n", end))
    assert set(lines) == walk(tomllib.loads(text))
    rows = [""] + text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str) and path[-1].isidentifier() and path[-1] != "A":
            assert path[-1] in rows[line], (path, line)


@pytest.mark.parametrize("name", scenarios())
def test_lines_of_a_shipped_scenario_are_found(name: str) -> None:
    """Of every value that it has."""
    scenario = load(name)
    lines = locate(scenario.source)
    assert walk(tomllib.loads(scenario.source)) == set(lines)
