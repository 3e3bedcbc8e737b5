"""Wrong rules: each is refused, with its place, its value and what would do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.exchange import Exchange
from flashwick.margin.prices import IndexRule
from flashwick.margin.rules import GROUPS, TABLES, Rules, RulesError

NAN, INF = float("nan"), float("inf")
HUGE = 10**400
"""Beyond what a float holds."""

STRESSED = ("stress", "stress_extreme", "stress_charge", "stress_scale", "depeg")
OPENING = ("collateral_initial", "borrow_initial", "initial")


def row(floor: float, rate: float, cap: float | None = None) -> dict[str, float]:
    """A tier as venues answer it."""
    named = {"floor": floor, "rate": rate}
    return named if cap is None else {**named, "cap": cap}


def refused(overrides: Mapping[str, Any], preset: str = "") -> dict[str, str]:
    """What is wrong with overrides, by path."""
    stressed = any(table in STRESSED for table in overrides)
    with pytest.raises(RulesError) as caught:
        Rules.build(preset or ("okx-pm" if stressed else "bybit-uta"), overrides)
    return dict(caught.value.problems)


# -- TABLES

RATES = "must be from 0 to 1"
CURVES = [
    ("collateral", 0.9, "collateral rates " + RATES),
    ("collateral_initial", 0.9, "collateral rates " + RATES),
    ("borrow", 0.1, "maintenance rates " + RATES),
    ("borrow_initial", 0.1, "initial rates " + RATES),
    ("initial", 0.1, "initial rates " + RATES),
    ("liability", 1.0, "weights of a debt must be from 1 to 1e+06"),
    ("stress_scale", 1.0, "multipliers must be from 1 to 1e+06"),
    ("depeg", 0.1, "maintenance rates " + RATES),
]
"""Each table of curves that takes one number, one that is right, and its bounds."""


@pytest.mark.parametrize(("table", "right", "bounds"), CURVES)
def test_curve_that_is_none_is_refused_in_every_table(
    table: str, right: float, bounds: str
) -> None:
    """Of a wrong kind, out of bounds, no number, cut off, overlapping, circular."""
    form = "must be a rate or rows of [floor, rate]"
    rows = "must have rows of"
    for wrong, message in (
        (None, f"{form} (got None)"),
        (True, f"{form} (got True)"),
        ([], f"{form} (got [])"),
        (HUGE, f"{form} (got 1000"),
        (-0.5, "'rates' must be at least 0 (got -0.5)"),
        (NAN, "'rates' must be at least 0 (got nan)"),
        (INF, "'rates' must be at least 0 (got inf)"),
        (1e7, f"{bounds} (got 1e+07)"),
        ([0, right], f"{rows} [floor, rate]"),
        ([[0, right], [5]], "all alike (got [5])"),
        ([[0, right], [5, "x"]], "all alike (got [5, 'x'])"),
        ([[1, right]], "'floors' must start at 0 (got 1)"),
        ([[0, right], [5, right], [5, right]], "increase strictly (got 5 after 5)"),
        ([[0, right], [5, right], [4, right]], "increase strictly (got 4 after 5)"),
        ([[0, right], [NAN, right]], "increase strictly (got nan after 0)"),
        ([[0, right], [1e30, right]], "'floors' must be at most 1e+18 (got 1e+30)"),
        ([row(0, right, 5), row(6, right)], "there is a gap (got floor 6)"),
        ([row(0, right, 5), row(4, right)], "there is an overlap (got floor 4)"),
        ([row(0, right), row(6, right)], "add the cap, 6 (got none after floor 0)"),
        ([row(0, right, 5), row(5, right, 9)], "leave it out (got cap 9)"),
        ([row(0, right, NAN), row(5, right)], "all finite numbers (got {'floor': 0"),
        ([row(0, right, 5), [5, right]], "all finite numbers (got [5, "),
        ([{"floor": 0, "mmr": right}], f"{rows} floor, cap, rate, max_leverage"),
        ({"coins": []}, f"{form} (got [])"),
        ({"least": right}, "must be a rate, rows of [floor, rate], or one of {"),
        ("NOSUCH", "name an entry that has one (got 'NOSUCH')"),
        ("X", "leads back to itself: X -> X; give one of them a value of its own"),
    ):
        found = refused({table: {"X": wrong}})
        assert list(found) == [f"{table}.X"], wrong
        assert message in found[f"{table}.X"], wrong


OTHERS = [
    ("brackets", [[0, 0.1, 0]], "'max_leverage' must be from 1 to 1000 (got 0)"),
    ("brackets", [[0, 0.1, NAN]], "'max_leverage' must be from 1 to 1000 (got nan)"),
    ("brackets", [[0, 0.1, 5], [5, 0.2]], "all alike (got [5, 0.2])"),
    ("brackets", [[0, 0.1, 11]], "at most 1 / rate, 10 at 0.1 (got 11)"),
    ("brackets", 0.1, "must have rows of [floor, rate, highest leverage]"),
    ("brackets", [[0, 0.2, 2], [5, 0.1, 2]], "must not fall as the size grows"),
    ("collateral", [[0, 0.2], [5, 0.3]], "must not rise as the holding grows"),
    ("collateral", {"weight": NAN, "imf": 0}, "'weight' must be from 0 to 1e+06"),
    ("collateral", {"weight": 1, "imf": -1}, "'imf' must be from 0 to 1e+06 (got -1)"),
    ("collateral", {"base": 0, "slope": 1}, "must be a weight that does not rise"),
    ("initial", {"base": 0.1, "slope": 1e9}, "'slope' must be from 0 to 1e+06"),
    ("initial", {"least": 0.1, "base": -INF, "imf": 0}, "'base' must be from -1e+06"),
    ("initial", {"weight": 1, "imf": 1}, "must be a rate that does not fall"),
    ("conversion", 1.0, "must be a number from 0 to below 1 (got 1.0)"),
    ("conversion", NAN, "must be a number from 0 to below 1 (got nan)"),
    ("conversion", [[0, 0.1]], "must be a number from 0 to below 1 (got [[0, 0.1]])"),
    ("deposit_scale", -1, "above 0 and at most 1e+12, or 'none' (got -1)"),
    ("deposit_scale", HUGE, "above 0 and at most 1e+12, or 'none' (got 1000"),
    ("open_interest", [5, 1], "[lower, upper] in US dollars, or 'none' (got [5, 1])"),
    ("open_interest", [5], "[lower, upper] in US dollars, or 'none' (got [5])"),
    ("open_interest", [0, NAN], "or 'none' (got [0, nan])"),
    ("stress", 0.1, "must be a table of shock, extreme, basis (got 0.1)"),
    ("stress", {"shock": 0.1}, "must be a table of shock, extreme, basis (got {"),
    ("stress", {"shock": NAN, "extreme": 0, "basis": 0}, "from 0 to below 1 (got nan)"),
    ("stress_extreme", 0, "must be a number above 0 and at most 1 (got 0)"),
    ("stress_charge", 1.5, "must be a number above 0 and at most 1 (got 1.5)"),
    ("stress_scale", {"base": 1, "slope": 0}, "must be a rate or rows of [floor, rate"),
]


@pytest.mark.parametrize(("table", "wrong", "message"), OTHERS)
def test_entry_of_another_table_that_is_wrong_is_refused(
    table: str, wrong: object, message: str
) -> None:
    """What only one table can have wrong."""
    found = refused({table: {"X": wrong}})
    assert list(found) == [f"{table}.X"]
    assert message in found[f"{table}.X"]


def test_names_in_a_circle_are_told_with_the_way() -> None:
    """However many entries the circle has, and of whichever table."""
    circle = {"A": "B", "B": "C", "C": "A"}
    for table in ("collateral", "brackets", "borrow", "liability", "stress", "depeg"):
        told = refused({table: circle})[f"{table}.A"]
        assert told.startswith("leads back to itself: A -> B -> C -> A; give one of ")


def test_entry_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    """In other capitals, or word for word in a file."""
    assert refused({"collateral": {"USDe": 0.9, "USDE": 0.8}}) == {
        "collateral.USDE": (
            "must be given once, in whatever capitals (got 'USDE' again)"
        )
    }
    path = tmp_path / "mine.toml"
    path.write_text("[fees]\nspot_taker_ppm = 1\nspot_taker_ppm = 2\n")
    ((place, text),) = told_of(path)
    assert place == str(path)
    assert "must be a TOML file: Cannot overwrite a value (at line 3" in text


def test_table_without_default_is_refused(tmp_path: Path) -> None:
    """Where what is not listed would have no value; the others go by the first set."""
    for table in TABLES:
        path = tmp_path / "mine.toml"
        entry = '{ value = 1.0, grade = "S", source = "a test" }'
        path.write_text(f'like = "okx-pm"\n[{table}]\nX = {entry}\n')
        try:
            Rules.load(path)
        except RulesError as error:
            told = dict(error.problems).get(f"{table}.default")
        else:
            told = None
        assert told == (None if table in OPENING else "is missing"), table


# -- SINGLE VALUES

STRANGE: list[Any] = [
    *(None, True, "", "none", "x", [], {}, [[]], 1j, b"x", HUGE, -HUGE),
    *(-1, 0, 1, 2, 0.5, 1.5, -0.5, NAN, INF, -INF, 1e-320, 1e13, 10**13),
    *([[0, 0.1]], [[0, 0.1], [5]], ["adl", "claim"], ["adl", 3], {"coins": 1}),
    *({"weight": 0.5, "imf": 1}, {"value": 1}, {"grade": "E"}, "BTC", "default"),
]
FIELDS = [
    f"{group}.{name}"
    for group, kind in GROUPS.items()
    for name in attrs.fields_dict(kind)
]


@given(
    st.sampled_from(["binance-pm", "okx-pm", "dydx-v4"]),
    st.sampled_from(FIELDS + [f"{t}.{k}" for t in TABLES for k in ("BTC", "default")]),
    st.sampled_from(STRANGE),
)
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore:.* for nothing as collateral:UserWarning")
def test_whatever_a_rule_is_given_is_refused_in_words_or_works(
    preset: str, path: str, value: object
) -> None:
    """Nothing else is raised, not even where the rules are used."""
    group, _, key = path.partition(".")
    problems: list[tuple[str, str]] = []
    try:
        rules = Rules.build(preset, {group: {key: value}})
    except RulesError as error:
        problems += error.problems
    # What a value contradicts may be the place that is told.
    beside = {group, "thresholds", "liquidation", "brackets", *OPENING}
    for place, text in problems:
        if text == "is missing":
            assert {group, place.split(".")[0]} <= set(STRESSED)
        else:
            assert place.split(".")[0] in beside
            assert "must " in text or "leads " in text
            assert "got " in text or "leads " in text or "leverage" in text
    if problems:
        return
    exchange = Exchange(["BTC/USDC", "BTC/USDC:PERP"], rules)
    exchange.reprice({"BTC": 100_000.0})
    account = exchange.open_account({"USDC": 1_000_000})
    assert exchange.account(account).equity == 1_000_000.0


SHARES = "must have floors that are numbers, and shares above 0 and at most 1 (got "


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "must be a number above 0 and at most 1 (got 0)"),
        ("small", "must be a share or rows of [floor in USD, share] (got 'small')"),
        ([0.2], "must have rows of [floor in USD, share] (got 0.2)"),
        ([[0, 1], [1e5, 0.2, 3]], "rows of [floor in USD, share] (got [100000.0, "),
        ([[0, 1], [1e5, 0]], SHARES + "[100000.0, 0])"),
        ([[0, 1], ["100k", 0.2]], SHARES + "['100k', 0.2])"),
        ([[1e5, 0.2]], "'floors' must start at 0 (got 100000)"),
        ([[0, 1], [0, 0.2]], "'floors' must increase strictly (got 0 after 0)"),
    ],
)
def test_slices_that_are_none_are_refused(value: object, message: str) -> None:
    """With the row that is wrong."""
    found = refused({"liquidation": {"slice": value}})
    assert list(found) == ["liquidation.slice"]
    assert message in found["liquidation.slice"]


# -- THRESHOLDS AND STEPS


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        ({"warn": 1.1}, "warn", "at least thresholds.reduce_only, 1.2 (got 1.1)"),
        ({"reduce_only": 1.0}, "reduce_only", "thresholds.liquidate, 1.05 (got 1)"),
        ({"order": 1.1}, "order", "at least thresholds.reduce_only, 1.2 (got 1.1)"),
        ({"takeover": 1.1}, "liquidate", "thresholds.takeover, 1.1 (got 1.05)"),
        ({"liquidate": 0}, "liquidate", "must be a number above 0"),
        ({"liquidate": NAN}, "liquidate", "must be a number above 0"),
        ({"takeover_gap": 0}, "takeover_gap", "or 'none' (got 0)"),
    ],
)
def test_thresholds_out_of_order_are_refused(
    overrides: dict[str, float], path: str, message: str
) -> None:
    """With the one that they have to leave behind."""
    found = refused({"thresholds": overrides}, "binance-pm")
    assert list(found) == [f"thresholds.{path}"]
    assert message in found[f"thresholds.{path}"]


# -- INDEX RULES


@pytest.mark.parametrize(
    "rules",
    [
        {"A": IndexRule(policy="redemption", ratio=1.0, underlying="A")},
        {
            "A": IndexRule(policy="redemption", ratio=1.0, underlying="B"),
            "B": IndexRule(policy="own_book", market="B/A"),
        },
        {
            "A": IndexRule(policy="mix", sources={"A/USDT": 0.5, "A/B": 0.5}),
            "B": IndexRule(policy="redemption", ratio=2.0, underlying="A"),
        },
        {
            "A": IndexRule(policy="implied", market="B/A"),
            "B": IndexRule(policy="own_book", market="B/A"),
        },
    ],
)
def test_index_that_depends_on_itself_is_refused(rules: dict[str, IndexRule]) -> None:
    """By whichever way it comes back."""
    with pytest.raises(RulesError) as caught:
        Exchange(["A/USDT", "B/USDT", "A/B", "B/A"], oracles=rules)
    assert "index depends on itself: " in str(caught.value)
    assert "give one of them another policy" in str(caught.value)


# -- FILES


def told_of(path: Path) -> list[tuple[str, str]]:
    """What is wrong with a file."""
    with pytest.raises(RulesError) as caught:
        Rules.load(path)
    return list(caught.value.problems)


def test_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Not there, a folder, no TOML, no UTF-8, cut off."""
    path = tmp_path / "mine.toml"
    assert told_of(path) == [
        (str(path), "must be a file, and there is none; check the path")
    ]
    assert told_of(tmp_path) == [
        (str(tmp_path), "must be a file, and is a directory; name a TOML file in it")
    ]
    path.write_bytes(b'like = "drift"\n# \xff')
    assert told_of(path) == [
        (str(path), "must be UTF-8 text (got byte 0xff in line 2)")
    ]
    path.write_text('like = "drift')
    ((place, text),) = told_of(path)
    assert place == str(path)
    assert text.startswith("must be a TOML file: ")
    near = told_of(tmp_path / "mime.toml")
    assert near[0][1].endswith("there is none; did you mean 'mine.toml'?")
    preset = told_of(tmp_path / "elsewhere" / "binance-mp.toml")
    assert preset[0][1].endswith("there is none; did you mean 'binance-pm'?")
    assert told_of(Path("a\0b.toml"))[0][1].startswith("must be a file, and there is ")
    for wrong in (3, None, ["binance-pm"]):
        with pytest.raises(RulesError, match="name of a preset or the path of a file"):
            Rules.load(wrong)  # type: ignore[arg-type]
        with pytest.raises(RulesError, match="preset: must be one of binance-multi"):
            Rules.build(wrong, {})  # type: ignore[arg-type]
        with pytest.raises(RulesError, match="overrides: must be a table of groups"):
            Rules.build("drift", wrong)  # type: ignore[arg-type]


def test_file_like_no_preset_states_everything_or_is_told_so_once(
    tmp_path: Path,
) -> None:
    """Not fifty times; what is wrong beside it is told as ever."""
    path = tmp_path / "mine.toml"
    path.write_text("")
    ((place, text),) = told_of(path)
    assert place == "like"
    assert "or the file must state every rule (it lacks " in text
    assert "binance-pm" in text
    right = '{ value = 9.0, grade = "S", source = "a test" }'
    path.write_text(f"[thresholds]\nwarm = {right}\nwarn = {right}\n")
    assert [place for place, _ in told_of(path)] == ["like", "thresholds.warm"]
    path.write_text(f'like = "dirft"\n[thresholds]\nwarn = {right}\n')
    ((place, text),) = told_of(path)
    assert place == "like"
    assert text.endswith("(got 'dirft'); did you mean 'drift'?")


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("like = 3", "like", "must be one of "),
        ("sources = 3", "sources", "must be a table of texts"),
        ("[sources]\npage = 3", "sources", "must be a table of texts"),
        ("thresholds = 3", "thresholds", "must be a table of rules (got 3)"),
        ("[thresholds]\nwarn = 9.0", "thresholds.warn", "a table of value, grade, sou"),
        (
            '[thresholds]\nwarn = { value = 9.0, grade = "Q", source = "x" }',
            "thresholds.warn",
            "'grade' must be one of O, C, A, 3, M, E, S (got 'Q')",
        ),
        ("[treshold]\n", "treshold", "is not a group of rules; did you mean 'thresh"),
    ],
)
def test_line_of_a_file_that_is_wrong_is_told(
    line: str, place: str, message: str, tmp_path: Path
) -> None:
    """Each by itself, in a file that is like a preset."""
    path = tmp_path / "mine.toml"
    like = "" if line.startswith("like") else 'like = "drift"\n'
    path.write_text(like + line)
    ((where, text),) = told_of(path)
    assert where == place
    assert message in text
