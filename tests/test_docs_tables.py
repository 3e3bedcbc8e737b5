"""The tables of the documents say what the program does."""

import re
from pathlib import Path

import attrs
import make
import numpy as np
import pytest
from marks import marked

import flashwick as fw
from flashwick.engine import config, kinds
from flashwick.engine.crash import ARGUMENTS, OF_ALL, OF_ASSETS, OF_MARKETS
from flashwick.engine.defi import settings
from flashwick.margin.presets import GRADES
from flashwick.margin.prices import POLICIES
from flashwick.margin.reference import (
    Balance,
    Position,
    account_health,
    collateral_value,
)
from flashwick.margin.rules import GROUPS, Liquidation
from flashwick.margin.schedule import Schedule
from flashwick.margin.tables import BY_SYMBOL, OPENING, STRESS
from flashwick.margin.tables import TABLES as TABLES_OF_RULES
from flashwick.orderbook.orders import (
    EVENT,
    FILL,
    MESSAGE,
    ORDER,
    RESULT,
    Kind,
    Reason,
    SelfTrade,
)

ROOT = Path(__file__).parents[1]
SCENARIOS = (ROOT / "docs/scenarios.md").read_text("utf-8")
RULES = (ROOT / "docs/rules.md").read_text("utf-8")
ORDERBOOK = (ROOT / "docs/orderbook.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")

TABLES = {
    name: thing
    for module in (config, kinds, settings)
    for name, thing in vars(module).items()
    if attrs.has(thing) and thing.__module__ == module.__name__
} | {"IndexRule": fw.IndexRule}


def rows(document: str, name: str) -> dict[str, list[str]]:
    """The table under ``<!-- name -->``: the other cells of each row by its first."""
    _, mark, after = document.partition(f"<!-- {name} -->\n")
    assert mark, f"no table {name}"
    lines = re.match(r"\n*((?:\|.*\n)+)", after)
    assert lines, f"nothing under {name}"
    cells = [line.strip("|").split(" | ") for line in lines[1].splitlines()[2:]]
    return {first.strip().strip("`"): rest for first, *rest in cells}


def default(field: attrs.Attribute) -> str:
    """A default as TOML writes it."""
    value = field.default
    if value is attrs.NOTHING:
        return "required"
    if isinstance(value, attrs.Factory):
        value = value.factory()
    if value is None or value in ("", (), {}):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {v:g}" for k, v in value.items()) + " }"
    return value if isinstance(value, str) else f"{value:g}"


def documented(cell: str) -> str:
    """A default as the document writes it, numbers made alike."""
    text = cell.strip().strip("`")
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def test_every_class_of_tables_is_documented():
    """A table that a scenario file may have has its table in the document."""
    assert set(re.findall(r"<!-- (\w+) -->", SCENARIOS)) == {*TABLES, "measures"}


@pytest.mark.parametrize("name", TABLES)
def test_keys_and_defaults_are_those_of_the_program(name):
    """Each key of a table stands in the document with its default, and no other."""
    fields = attrs.fields_dict(TABLES[name])
    if name == "Feed":
        # The rest is that of an index, and documented there.
        fields = {key: field for key, field in fields.items() if not field.inherited}
    tables = {
        key
        for key, field in fields.items()
        if name == "Scenario" and f"[{key}" in SCENARIOS
    }
    found = {key: documented(cells[0]) for key, cells in rows(SCENARIOS, name).items()}
    expected = {
        key: default(field) for key, field in fields.items() if key not in tables
    }
    assert found == expected


def test_policies_of_an_index_are_listed():
    """The row of ``policy`` names each of them."""
    meaning = rows(SCENARIOS, "IndexRule")["policy"][1]
    assert set(re.findall(r"`(\w+)`", meaning)) == set(POLICIES)


@pytest.mark.parametrize("scenario", ["atom-sweep", "unified-margin-wick"])
def test_measures_of_the_shipped_scenarios_are_documented(scenario):
    """Every measure of a run is in the table, with a market or a number in its name."""
    loaded = fw.load(scenario)
    markets = "|".join(map(re.escape, loaded.config.markets))
    known = set(rows(SCENARIOS, "measures"))
    for name in loaded.run().measures():
        general = re.sub(rf"^({markets})\.", "MARKET.", name)
        general = re.sub(rf"^({'|'.join(loaded.config.assets)})\.", "ASSET.", general)
        general = re.sub(r"^shock\.\d+", "shock.N", general)
        assert re.sub(r"\.\d+$", ".N", general) in known, name


def test_measures_that_targets_can_ask_for_are_documented():
    """Each with the argument it needs, if it does."""
    known = {re.sub(r"\.[A-Z].*", ".…", name) for name in rows(SCENARIOS, "measures")}
    figures = {
        "MARKET": OF_MARKETS,
        "ASSET": OF_ASSETS,
        **OF_ALL,
    }
    for subject, names in figures.items():
        for name in names:
            argument = ".…" if name in ARGUMENTS else ""
            assert f"{subject}.{name}{argument}" in known


def written(value: object) -> str:
    """A value of the rules as the document writes it."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, Schedule):
        (rate,) = value.rates
        return f"{rate:g}"
    if isinstance(value, bool | str):
        return str(value).lower()
    return "none" if value is None else f"{value:g}"


def test_rules_and_their_values_are_those_of_the_preset():
    """Each rule that is one value stands in the document as binance-pm has it."""
    rules = fw.Rules.preset("binance-pm")
    found = {key: cells[0].strip("` ") for key, cells in rows(RULES, "rules").items()}
    expected = {
        f"{group}.{key}": written(getattr(getattr(rules, group), key))
        for group, kind in GROUPS.items()
        for key in attrs.fields_dict(kind)
    }
    assert {key: documented(text) for key, text in found.items()} == expected


def trimmed(name: str) -> dict[str, list[str]]:
    """A table of the rules' document, its cells without blanks."""
    found = rows(RULES, name)
    return {key: [cell.strip(" |") for cell in row] for key, row in found.items()}


def test_tables_of_the_rules_are_documented():
    """Each by its name, what it is keyed by, and whether it needs a default."""
    found = {
        key: [cell.strip() for cell in row]
        for key, row in rows(RULES, "tables").items()
    }
    expected = {
        table: [
            "symbol" if table in BY_SYMBOL else "asset",
            "no" if table in (*OPENING, *STRESS) else "yes",
        ]
        for table in TABLES_OF_RULES
    }
    assert {key: row[:2] for key, row in found.items()} == expected


def test_grades_of_evidence_are_documented():
    """Letter and meaning."""
    assert {
        key: row[0].strip(" |") for key, row in rows(RULES, "grades").items()
    } == GRADES


def valuation(rules: fw.Rules) -> list[str]:
    """How a venue values: ratio, thresholds, a bitcoin, a loan, and a position."""
    quote = (
        "USD"
        if rules.name == "ftx-2022"
        else "USDC"
        if "BTCUSDC" in rules.brackets
        else "USDT"
    )
    prices = {"BTC": 100_000.0, quote: 1.0}
    position = Position(f"BTC/{quote}:PERP", quote, 10.0, 1e5, 1e5)
    rich = {quote: Balance(1e6)}
    valued = account_health(rich, [position], prices, rules)
    loan = account_health({"BTC": Balance(10.0, 10.0)}, [], prices, rules)
    limits = rules.thresholds
    return [
        f"{rules.ratio.kind}{', %' if rules.ratio.percent else ''}",
        f"{limits.warn:g}, {limits.reduce_only:g}, {limits.liquidate:g}",
        f"{limits.order:g}",
        "–" if limits.takeover is None else f"{limits.takeover:.3g}",
        f"{collateral_value('BTC', 1.0, 1e5, rules):,.0f}",
        f"{collateral_value('BTC', 100.0, 1e5, rules) / 100:,.0f}",
        f"{loan.maintenance:,.0f}",
        f"{valued.maintenance:,.0f}",
        f"{valued.initial:,.0f}",
    ]


def sliced(slices: Schedule) -> str:
    """Share of a holding a cycle: the smallest, then those of what is larger."""
    first, *others = zip(slices.floors, slices.rates, strict=True)
    more = [f"{rate:g} above {floor:,.0f}" for floor, rate in others]
    return ", ".join([f"{first[1]:g}", *more])


def price_caps(how: Liquidation) -> str:
    """Worst price of positions, and of coins where it is another."""
    own = how.collateral_price_cap
    return how.price_cap if own == "same" else f"{how.price_cap}, {own}"


def liquidating(rules: fw.Rules) -> list[str]:
    """How a venue liquidates."""
    how, adl = rules.liquidation, rules.adl
    deleverages = f"{adl.trigger}, {adl.ranking}, {adl.allocation}, {adl.price}"
    return [
        ", ".join(how.steps),
        f"{sliced(how.slice)} / {how.cycle_s:g} s",
        f"{how.target_health:g}",
        price_caps(how),
        how.fund,
        how.residual,
        deleverages if "adl" in how.steps else "–",
    ]


@pytest.mark.parametrize(
    ("table", "of"), [("valuation", valuation), ("liquidating", liquidating)]
)
def test_venues_are_compared_as_they_are(table, of):
    """All presets, side by side, each figure that of its rules."""
    found = {
        key: [cell.strip(" |") for cell in row]
        for key, row in rows(RULES, table).items()
    }
    assert found == {name: of(fw.Rules.preset(name)) for name in fw.Rules.presets()}


def test_words_of_the_book_are_documented():
    """Kinds, self-trade modes and reasons stand in the document, in order."""
    assert list(rows(ORDERBOOK, "kinds")) == [kind.name for kind in Kind]
    assert list(rows(ORDERBOOK, "self-trade")) == [mode.name for mode in SelfTrade]
    assert list(rows(ORDERBOOK, "reasons")) == [reason.name for reason in Reason]
    assert list(rows(ORDERBOOK, "message")) == fields(MESSAGE)
    assert list(rows(ORDERBOOK, "result")) == fields(RESULT)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fill", FILL), ("event", EVENT), ("order", ORDER)]
)
def test_rows_of_the_book_are_documented(name, dtype):
    """Every field of what a book hands over is in a table, several to a row."""
    listed = re.findall(r"\w+", " ".join(rows(ORDERBOOK, name)))
    assert sorted(listed) == sorted(fields(dtype))


def fields(dtype: np.dtype) -> list[str]:
    """Names of the fields that mean something."""
    return [name for name in dtype.names or () if name != "pad"]


# -- Figures of runs


def test_table_of_changed_rules_is_that_of_the_runs():
    """Seed 0 of each rule gives the README's figures; docs/make.py writes them anew."""
    shown = marked(README, "table")
    found = {
        cells[1].strip(" `"): [cell.split("(")[0].strip() for cell in cells[3:-1]]
        for cells in (line.split("|") for line in shown.splitlines() if "`" in line)
    }
    assert found == {
        name: make.cells(make.varied(name).run(seed=0).measures())
        for name in make.RULES
    }


def words(svg: str) -> list[str]:
    """The texts in a picture."""
    return re.findall(r"<t(?:ext|itle)[^>]*>([^<]*)<", svg)


def test_pictures_and_chain_are_those_of_the_run():
    """The words and figures in them; docs/make.py makes them anew."""
    run = fw.load(make.SCENARIO).run(seed=0)
    assert marked(README, "chain") == make.chain(run)
    for name, drawn in (
        ("wick.svg", make.wick_svg(run)),
        ("mechanism.svg", make.mechanism_svg(run)),
    ):
        shown = (ROOT / "docs/pictures" / name).read_text("utf-8")
        assert words(shown) == words(drawn)
