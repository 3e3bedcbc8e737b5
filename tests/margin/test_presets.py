"""The shipped venues: evidence, shape of every curve, and files of one's own."""

from collections.abc import Iterator
from math import nextafter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from venues import has

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin import adl
from flashwick.margin.curves import Curve, SqrtRate, SqrtWeight
from flashwick.margin.presets import GRADES, document, presets
from flashwick.margin.reference import Balance, Position, account_health
from flashwick.margin.rules import (
    ADL_PRICES,
    ALLOCATIONS,
    BY_SYMBOL,
    RANKINGS,
    TABLES,
    Rules,
    RulesError,
    State,
)
from flashwick.margin.schedule import Schedule
from flashwick.orderbook.orders import Reason

VENUES = presets()
FOLDER = Path(__file__).parents[2] / "margin/data/presets"


def test_there_are_ten_venues() -> None:
    """Their names are those of the files."""
    assert Rules.presets() == VENUES
    assert set(VENUES) == {
        "binance-multi-assets",
        "binance-pm",
        "bybit-uta",
        "deribit-xsm",
        "drift",
        "dydx-v4",
        "ftx-2022",
        "hyperliquid",
        "okx-multi",
        "okx-pm",
    }


@pytest.mark.parametrize("name", VENUES)
def test_every_parameter_of_a_preset_states_its_evidence(name: str) -> None:
    """Each path has a known grade of its own venue and says its source."""
    rules = Rules.preset(name)
    for path, evidence in rules.evidence.items():
        assert evidence.grade in set(GRADES) - {"S"}, path
        assert len(evidence.source) > 5, path
    paths = [f"{table}.{key}" for table in TABLES for key in getattr(rules, table)]
    assert set(paths) < set(rules.evidence)


@pytest.mark.parametrize("name", VENUES)
def test_sources_of_a_preset_are_written_out(name: str) -> None:
    """A key of [sources] becomes its text, with a note behind it; all are used."""
    used = [source for _, source in Rules.preset(name).evidence.values()]
    for key, text in document(name)["sources"].items():
        assert any(source.startswith(text) for source in used), key
        assert not [source for source in used if source.split(": ")[0] == key]


@pytest.mark.parametrize("name", VENUES)
def test_the_compiled_pass_gets_its_curves_of_every_preset(name: str) -> None:
    """One for each asset or market, whatever their kinds."""
    rules = Rules.preset(name)
    terms = rules.terms(["USDC", "BTC", "NOSUCH"], ["BTC/USDC:PERP", "X/USDC:PERP"])
    assert {key: len(curves.kinds) for key, curves in terms.items()} == {
        "collateral": 3,
        "collateral_initial": 3,
        "liability": 3,
        "borrow": 3,
        "borrow_initial": 3,
        "brackets": 2,
        "initial": 2,
    }
    for curves in terms.values():
        assert curves.at[0] == 0
        assert curves.at[-1] == len(curves.rows)
        assert np.isfinite(curves.rows).all()


@pytest.mark.parametrize("name", VENUES)
def test_an_exchange_values_accounts_under_every_preset(name: str) -> None:
    """As the readable valuation does."""
    rules = Rules.preset(name)
    cash = "USD" if name == "ftx-2022" else "USDC"
    markets = [f"BTC/{cash}", f"BTC/{cash}:PERP"]
    exchange = Exchange(markets, rules)
    exchange.reprice({"BTC": 100_000.0})
    account = has(exchange, {cash: 1_000_000.0, "BTC": -2.0})
    other, market = has(exchange, {cash: 1e7}), 1
    lots = round(10.0 / exchange.lot[market])
    ticks = round(100_000.0 / exchange.tick[market])
    exchange.ledger.open_positions(market, [account, other], [lots, -lots], ticks)
    exchange.update_prices()
    valued = exchange.account(account)
    readable = account_health(
        {cash: Balance(1_000_000.0), "BTC": Balance(0.0, borrowed=2.0)},
        [Position(markets[1], cash, 10.0, 1e5, 1e5)],
        {cash: 1.0, "BTC": 1e5},
        rules,
    )
    assert valued.adjusted == pytest.approx(readable.adjusted)
    assert valued.maintenance == pytest.approx(readable.maintenance)
    assert valued.health == pytest.approx(readable.health)


# -- THE SHAPE OF CURVES


def curves(kind: str) -> Iterator[tuple[str, Curve]]:
    """Every curve of every preset that is collateral, or that is margin."""
    for name in VENUES:
        rules = Rules.preset(name)
        for table in ("collateral", "collateral_initial"):
            for key in rules.collateral if kind == "collateral" else ():
                of = getattr(rules, f"{table}_of")
                yield f"{name} {table} {key}", of(key)
        for table in ("liability", "borrow", "borrow_initial"):
            for key in rules.borrow if kind == "margin" else ():
                yield f"{name} {table} {key}", getattr(rules, f"{table}_of")(key)
        for key in rules.brackets if kind == "margin" else ():
            yield f"{name} brackets {key}", rules.brackets_of(key)
        for key in rules.brackets if kind == "initial" else ():
            yield f"{name} initial {key}", rules.initial_of(key)


def edges(curve: Curve) -> list[float]:
    """Sizes, in the curve's own unit, where its formula changes."""
    if isinstance(curve, Schedule):
        return list(curve.floors[1:])
    if isinstance(curve, SqrtWeight) and curve.imf > 0 and curve.weight > 0:
        return [((curve.numerator / curve.weight - 1.0) / curve.imf) ** 2]
    if isinstance(curve, SqrtRate) and curve.imf > 0:
        return [((curve.least - curve.base) / curve.imf) ** 2]
    return []


COLLATERAL, MARGIN, INITIAL = map(
    list, map(curves, ("collateral", "margin", "initial"))
)
prices = st.floats(1e-3, 1e5)
coins = st.floats(0.0, 1e6)


def amounts(curve: Curve, size: float, price: float) -> tuple[float, float]:
    """The amount at a size in the curve's own unit, and just beyond it."""
    after = nextafter(size, float("inf"))
    if isinstance(curve, Schedule) and curve.unit == "usd":
        return curve.amount(size, size / price), curve.amount(after, after / price)
    return curve.amount(size * price, size), curve.amount(after * price, after)


@given(st.sampled_from(COLLATERAL + MARGIN), prices)
def test_curves_are_continuous_where_their_formula_changes(
    named: tuple[str, Curve], price: float
) -> None:
    """No cent of margin or collateral appears by crossing an edge."""
    name, curve = named
    for edge in edges(curve):
        at, beyond = amounts(curve, edge, price)
        assert beyond == pytest.approx(at, rel=1e-12, abs=1e-12), name


@given(st.sampled_from(COLLATERAL), coins, st.floats(1.0, 10.0), prices)
def test_more_collateral_counts_for_more_and_no_coin_for_more_than_the_first(
    named: tuple[str, Curve], qty: float, more: float, price: float
) -> None:
    """The value never falls with the size; the rate never rises; nor beyond one."""
    name, curve = named
    usd = qty * price
    small, large = curve.amount(usd, qty), curve.amount(more * usd, more * qty)
    assert large >= small * (1 - 1e-12) - 1e-9, name
    assert large <= more * small * (1 + 1e-9) + 1e-9, name
    assert small <= usd * (1 + 1e-12) + 1e-9, name


@given(st.sampled_from(MARGIN + INITIAL), coins, st.floats(1.0, 10.0), prices)
def test_a_larger_size_needs_no_less_of_each_coin(
    named: tuple[str, Curve], qty: float, more: float, price: float
) -> None:
    """Margin rises at least in proportion to the size, and is never negative."""
    name, curve = named
    usd = qty * price
    small, large = curve.amount(usd, qty), curve.amount(more * usd, more * qty)
    assert large >= more * small * (1 - 1e-9) - 1e-9, name
    assert small >= 0.0, name


@given(st.sampled_from(VENUES), st.sampled_from([1.0, -1.0]), prices, st.data())
def test_health_is_continuous_at_every_edge_of_a_bracket(
    name: str, side: float, price: float, data: st.DataObject
) -> None:
    """A whole account, at and just beyond the edge, under every preset."""
    rules = Rules.preset(name)
    symbol = data.draw(st.sampled_from(sorted(set(rules.brackets) - {"default"})))
    quote = next(q for q in ("USDT", "USDC", "USD") if symbol.endswith(q))
    market = f"{symbol.removesuffix(quote)}/{quote}:PERP"
    curve = rules.brackets_of(market)
    for edge in edges(curve):
        money = isinstance(curve, Schedule) and curve.unit == "usd"
        qty = edge / price if money else edge
        healths = [
            account_health(
                {quote: Balance(0.5 * size * price)},
                [Position(market, quote, side * size, price, price)],
                {quote: 1.0} | {symbol.removesuffix(quote): price},
                rules,
            ).health
            for size in (qty, qty * (1 + 1e-12))
        ]
        assert healths[1] == pytest.approx(healths[0], rel=1e-9)


@pytest.mark.parametrize("symbol", sorted(Rules.preset("binance-pm").brackets))
def test_cum_of_every_bracket_makes_it_continuous(symbol: str) -> None:
    """Recomputed for all 18 symbols: both sides of each floor agree."""
    curve = Rules.preset("binance-pm").brackets_of(symbol)
    assert isinstance(curve, Schedule)
    for k in range(1, len(curve.floors)):
        floor = curve.floors[k]
        lower = floor * curve.rates[k - 1] - curve.cums[k - 1]
        assert floor * curve.rates[k] - curve.cums[k] == pytest.approx(lower)


@pytest.mark.parametrize("name", VENUES)
def test_opening_asks_for_no_less_than_keeping(name: str) -> None:
    """Initial margin is at least maintenance, initial collateral at most."""
    rules = Rules.preset(name)
    for symbol in rules.brackets:
        for qty in (1.0, 1e3, 1e6):
            keep = rules.brackets_of(symbol).amount(100.0 * qty, qty)
            assert rules.initial_of(symbol).amount(100.0 * qty, qty) >= 0.999 * keep
    for asset in rules.collateral:
        for qty in (1.0, 1e3, 1e6):
            keep = rules.collateral_of(asset).amount(100.0 * qty, qty)
            assert rules.collateral_initial_of(asset).amount(100.0 * qty, qty) <= keep
            keep = rules.borrow_of(asset).amount(100.0 * qty, qty)
            assert rules.borrow_initial_of(asset).amount(100.0 * qty, qty) >= keep


# -- FILES


def test_a_venue_in_a_file_of_ones_own(tmp_path: Path) -> None:
    """Any folder will do; the file's name is the venue's; an exchange runs on it."""
    path = tmp_path / "my-venue.toml"
    text = (FOLDER / "hyperliquid.toml").read_text("utf-8")
    path.write_text(text.replace("[0, 0.0125, 40]", "[0, 0.02, 25]"), "utf-8")
    rules = Rules.load(path)
    assert rules.name == "my-venue"
    assert rules.brackets_of("BTC/USDC:PERP").amount(1000.0, 1.0) == 20.0
    assert Rules.load(str(path), {"thresholds": {"warn": 9}}).thresholds.warn == 9.0
    exchange = Exchange(["BTC/USDC"], rules)
    account = exchange.open_account({"USDC": 100})
    assert exchange.account(account).adjusted == 100.0


def test_a_file_may_say_what_it_is_like(tmp_path: Path) -> None:
    """Values replace values, a table the whole table; evidence goes along."""
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        like = "binance-pm"
        [thresholds]
        warn = { value = 1.7, grade = "S", source = "my own rule" }
        [collateral]
        default = { value = 0.5, grade = "S", source = "my own rule" }
        """,
        "utf-8",
    )
    rules, base = Rules.load(path), Rules.preset("binance-pm")
    assert (rules.thresholds.warn, rules.thresholds.order) == (1.7, 1.2)
    assert list(rules.collateral) == ["default"]
    assert rules.brackets == base.brackets
    assert rules.evidence["thresholds.warn"] == ("S", "my own rule")
    assert rules.evidence["thresholds.order"] == base.evidence["thresholds.order"]
    path.write_text('like = "binance-mp"', "utf-8")
    with pytest.raises(RulesError, match=r"like: must be one of .*mean 'binance-pm'"):
        Rules.load(path)


def test_venue_is_loaded_by_its_name_or_by_the_path_of_its_file(
    tmp_path: Path,
) -> None:
    """A text with the ending of a file is a path; an exchange takes either."""
    path = tmp_path / "mine.toml"
    path.write_text('like = "drift"', "utf-8-sig")
    for source in (path, str(path)):
        rules = Rules.load(source, {"thresholds": {"warn": 2.5}})
        assert (rules.name, rules.thresholds.warn) == ("mine", 2.5)
    assert Rules.load("drift") == Rules.preset("drift")
    assert Rules.parse("folder/mine.toml", path.read_text("utf-8-sig")).name == "mine"
    with pytest.raises(RulesError, match=r"got 'mine'.*named with its ending .toml"):
        Rules.load("mine")


def test_rules_are_changed_as_often_as_wanted() -> None:
    """Each change lies over the ones before."""
    rules = Rules.preset("drift").changed(
        {"collateral": {"SOL": 0.4}, "collateral_initial": {"SOL": 0.4}}
    )
    again = rules.changed({"thresholds": {"warn": 3.0}})
    assert again.collateral_of("SOL") == Schedule.flat(0.4)
    assert again.thresholds.warn == 3.0
    assert again.evidence["collateral.SOL"].grade == "S"
    with pytest.raises(RulesError, match=r"collateral.SOL: collateral rates must be"):
        again.changed({"collateral": {"SOL": 1.5}})


# -- WHAT A PRESET'S RULES DO


def test_margins_are_converted_at_the_ask_where_the_venue_does() -> None:
    """Multi-Assets mode asks more dollars for a coin of margin than the index."""
    rules = Rules.preset("binance-multi-assets")
    markets = ["BTC/USDT:PERP", "ETH/BTC:PERP"]
    assert rules.margin_factors(markets).tolist() == [1.0001, 1.05]
    assert np.all(Rules.preset("binance-pm").margin_factors(markets) == 1.0)
    position = Position("BTC/USDT:PERP", "USDT", 1.0, 1e5, 1e5)
    valued = account_health({}, [position], {"USDT": 0.99}, rules)
    assert valued.maintenance == pytest.approx(400.0 * 0.99 * 1.0001)
    assert valued.initial == pytest.approx(1e5 / 150 * 0.99 * 1.0001)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("binance-pm", "1.25"),
        ("binance-multi-assets", "80.00%"),
        ("okx-multi", "125.00%"),
        ("ftx-2022", "12.50%"),
    ],
)
def test_the_ratio_is_shown_as_the_venue_shows_it(name: str, shown: str) -> None:
    """Of 1,250 against a margin of 1,000 and a notional of 10,000."""
    ratio = Rules.preset(name).ratio
    assert ratio.text(ratio(1250.0, 1000.0, 10_000.0)) == shown


@pytest.mark.parametrize(
    ("kind", "figures", "shown"),
    [
        ("equity/maintenance", (5.0, 0.0, 0.0), "∞"),
        ("equity/maintenance", (-5.0, 0.0, 0.0), "-∞"),
        ("maintenance/equity", (5.0, 0.0, 0.0), "0.00%"),
        ("maintenance/equity", (-5.0, 1.0, 0.0), "∞"),
        ("equity/notional", (5.0, 0.0, 0.0), "∞"),
    ],
)
def test_ratios_without_a_divisor(
    kind: str, figures: tuple[float, float, float], shown: str
) -> None:
    """An account without positions, or without equity."""
    ratio: Any = Rules.build("bybit-uta", {"ratio": {"kind": kind}}).ratio
    assert ratio.text(ratio(*figures)) == shown


@pytest.mark.parametrize("name", VENUES)
def test_account_that_may_only_reduce_may_only_reduce(name: str) -> None:
    """Wherever the threshold lies, in the running exchange, under every preset."""
    cash = "USD" if name == "ftx-2022" else "USDC"
    wanted = {"warn": 3.0, "reduce_only": 1.4, "order": 1.4}
    rules = Rules.build(name, {"thresholds": wanted, "collateral": {cash: 1.0}})
    market = f"BTC/{cash}:PERP"
    exchange = Exchange([market], rules)
    exchange.reprice({"BTC": 100_000.0})
    margin = rules.brackets_of(market).amount(100_000.0, 1.0)
    margin *= float(rules.margin_factors([market])[0])
    account = has(exchange, {cash: 1.39 * margin})
    other = has(exchange, {cash: 1e9})
    lots, ticks = round(1 / exchange.lot[0]), round(1e5 / exchange.tick[0])
    exchange.ledger.open_positions(0, [account, other], [lots, -lots], ticks)
    exchange.update_prices()
    health = exchange.account(account).health
    assert rules.thresholds.state(health) is State.REDUCE_ONLY
    more = exchange.submit(limit(account, market, "buy", price=100_000, qty=0.1))
    assert more.reason is Reason.ACCOUNT_REDUCE_ONLY
    less = exchange.submit(limit(account, market, "sell", price=100_000, qty=0.1))
    assert less.accepted


def test_second_stage_of_ftx_is_a_half_or_six_points_below() -> None:
    """The larger of the two, as a health."""
    thresholds = Rules.preset("ftx-2022").thresholds
    assert thresholds.takeover_health(6.0, 100.0) == pytest.approx(0.5)
    assert thresholds.takeover_health(20.0, 100.0) == pytest.approx(0.7)
    assert thresholds.takeover_health(0.0, 0.0) == 0.5
    assert Rules.preset("hyperliquid").thresholds.takeover_health(3.0, 9.0) == (
        pytest.approx(2.0 / 3.0)
    )
    assert Rules.preset("binance-pm").thresholds.takeover_health(3.0, 9.0) is None


def test_tables_by_symbol_and_by_asset_are_told_apart() -> None:
    """Whoever checks names needs to know which is which."""
    assert set(BY_SYMBOL) < set(TABLES)
    for name in VENUES:
        rules = Rules.preset(name)
        symbols = {key for table in BY_SYMBOL for key in getattr(rules, table)}
        assets = {
            key
            for table in set(TABLES) - set(BY_SYMBOL)
            for key in getattr(rules, table)
        }
        assert symbols & assets <= {"default"}


def test_words_of_the_rules_are_those_that_are_carried_out() -> None:
    """Rankings, allocations and prices of deleveraging each have code of that name."""
    assert set(RANKINGS) == set(adl.RANKINGS)
    assert set(ALLOCATIONS) == set(adl.ALLOCATIONS)
    assert set(ADL_PRICES) == set(adl.PRICES)
