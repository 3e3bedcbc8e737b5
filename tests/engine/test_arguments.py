"""What is no such thing is refused at the door, in one sentence with the remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from fakes import fake_run

import flashwick as fw
from flashwick.engine.events import ORDER, SINGLE, TRADE
from flashwick.engine.pages.page import Choice
from flashwick.engine.run import Run

Doors = tuple[Run, fw.Scenario, fw.Exchange, int]


@pytest.fixture(scope="module")
def doors() -> Doors:
    """A run, its scenario, an exchange and an account there."""
    run = fake_run()
    exchange = fw.Exchange(["WBETH/USDT", "ATOM/USDT:PERP"])
    return run, run.scenario, exchange, exchange.open_account({"USDT": 1_000})


WRONG: list[tuple[Callable[[Run, fw.Scenario, fw.Exchange, int], object], str]] = [
    # accounts
    (
        lambda run, scenario, ex, account: ex.set_hedge(
            account, np.array([True, True])
        ),
        r"'on' must be True or False \(got array\(\[ True, True\]\)\)",
    ),
    # runs and scenarios
    (
        lambda run, scenario, *_: fw.compare(run, scenario),
        r"'runs' must be runs, or scenarios: all .* \(got <Scenario small>\)",
    ),
    (
        lambda *_: fw.compare(1, 2),
        r"'runs' must be runs, or scenarios: all .* \(got 1\)",
    ),
    (lambda *_: fw.verify(1), r"'source' must be the name of a .* \(got 1\)"),
    (lambda *_: fw.verify("atom-swep"), "did you mean 'atom-sweep'"),
    (
        lambda run, scenario, *_: scenario.vary("calm"),
        r"a variation of the file is variation\(name\) \(got 'calm'\)",
    ),
    (
        lambda run, scenario, *_: scenario.run(1, 2),
        r"'on_progress' must be a function .* \(got 2\)",
    ),
    (
        lambda run, scenario, *_: scenario.verify(1, "bar"),
        r"'on_progress' must be a function .* \(got 'bar'\)",
    ),
    (lambda run, *_: run.account("maker"), r"'number' must be .* \(got 'maker'\)"),
    (lambda run, *_: run.account(2.5), r"'number' must be .* \(got 2.5\)"),
    (lambda run, *_: run.group(True), r"'number' must be .* \(got True\)"),
    (lambda run, *_: run.report(5), r"'path' must be the path of a file \(got 5\)"),
    (lambda run, *_: run.report(""), r"'path' must be that of a file"),
    (lambda run, *_: run.report("a\0b.html"), r"'path' must be that of a file"),
    (lambda run, *_: run.save("a\0b"), r"'directory' must be the path of one"),
    (lambda run, *_: run.why(event_id=True), r"'event_id' must be .* \(got True\)"),
    (lambda *_: Choice("", {}), "must be >= 1: 0"),
    (lambda run, *_: run.report("x.html", run), r"'others' must be .* \(got <Run"),
    (lambda run, *_: run.report("x.html", [1]), r"'others' must be .* \(got 1\)"),
    (lambda run, *_: run.save(5), r"'directory' must be the path .* \(got 5\)"),
    (lambda *_: fw.load_run(5), r"'directory' must be the path of .* \(got 5\)"),
    (lambda *_: fw.reproduce(None), r"'directory' must be the path .* \(got None\)"),
    # rates, time and the risk desk
    (
        lambda *d: d[2].settle_funding({"ATOM/USDT:PERP": True}),
        r"'rates' must be numbers from -1 to 1 \(got \{'ATOM/USDT:PERP': True\}\)",
    ),
    (
        lambda *d: setattr(d[2], "now", float("nan")),
        r"'now' must be a whole number from 0 to 2\*\*63 - 1, in ns \(got nan\)",
    ),
    (lambda *d: setattr(d[2], "now", -1), r"'now' must be a whole .* \(got -1\)"),
    (lambda *d: setattr(d[2], "now", 2**63), r"'now' must be .* \(got 9223372036854"),
    (
        lambda *d: d[2].desk.liquidation_move(d[3], 5),
        r"'direction' must be weights by name, as in \{'BTC': 1\} \(got 5\)",
    ),
    (
        lambda *d: d[2].desk.liquidation_map(5),
        r"'moves' must be moves of prices, as in \[-0.1, -0.2\] \(got 5\)",
    ),
    (lambda *d: d[2].desk.liquidation_maps(5), r"'moves' must be moves .* \(got 5\)"),
    (lambda *d: d[2].desk.liquidation_map(["x"]), r"must be moves .* \(got \['x'\]\)"),
    (
        lambda *d: d[2].desk.liquidation_map([0.1], level="x"),
        r"'level' must be a number, at least 0 \(got 'x'\)",
    ),
    # rules
    (
        lambda *d: d[2].rules.brackets_of(None),
        r"'market' must be the name of one \(got None\)",
    ),
    (
        lambda *d: d[2].rules.collateral_of(None),
        r"'asset' must be the name of one \(got None\)",
    ),
    (
        lambda *_: fw.Rules.preset(np.array([1, 2])),
        r"preset: must be one of .* \(got array\(\[1, 2\]\)\)",
    ),
    # the log
    (lambda run, *_: run.log.single("braech"), "'braech' is not .* mean 'breach'"),
    (lambda run, *_: run.log.single("trade"), r"fills\(\) trades"),
    (lambda run, *_: run.log.single(7), "7 is not a kind of event"),
    (lambda run, *_: run.log.chain(10**6), r"from 1 to \d+ \(got 1000000\)"),
    (lambda run, *_: run.log.chain(0), r"'event_id' must be from 1 .* \(got 0\)"),
    (lambda run, *_: run.log["x"], r"'event_id' must be from 1 .* \(got 'x'\)"),
    (lambda run, *_: run.why(event_id="x"), r"'event_id' must be .* \(got 'x'\)"),
    # an exchange
    (lambda *_: fw.Exchange(5), r"'markets' must be names of markets.* \(got 5\)"),
    (lambda *_: fw.Exchange([5]), r"'markets' must be names of markets.* \(got 5\)"),
    (lambda *_: fw.Exchange("ETH/USD", decimals=8), r"'decimals' must be .* \(got 8\)"),
    (
        lambda *_: fw.Exchange("ETH/USD", oracles={"ETH": 1}),
        r"oracles\['ETH'\].* must be an IndexRule \(got 1\)",
    ),
    (
        lambda run, scenario, ex, _: ex.process(np.zeros(3)),
        r"'batch' must be messages, as fw.messages\(n\) .* \(got array",
    ),
    (
        lambda run, scenario, ex, a: ex.process(fw.limit(a, "ATOM/USDT", "buy", 1, 1)),
        r"'batch' must be messages, .*message\(order\)",
    ),
    (
        lambda *d: fw.limit(d[3], "ATOM/USDT", "buy", 1, 1, post_only=2),
        r"'post_only' must be True or False \(got 2\)",
    ),
    (
        lambda *d: fw.market(d[3], "ATOM/USDT", "buy", 1, reduce_only="no"),
        r"'reduce_only' must be True or False \(got 'no'\)",
    ),
    (lambda *d: d[2].open_account("USDT"), "'deposits' must be amounts by asset"),
    (lambda *d: d[2].open_accounts([1]), "'deposits' must be arrays by name"),
    (lambda *d: d[2].reprice(5), r"'prices' must be prices by asset.* \(got 5\)"),
    (lambda *d: d[2].set_oracles({"WBETH": 5}), "must be an IndexRule .got 5"),
    (lambda *d: d[2].settle_funding(0.1), r"'rates' must be rates .* \(got 0.1\)"),
    (
        lambda *d: d[2].settle_funding({"ATOM/USDT:PERP": "1 %"}),
        "'rates' must be numbers from -1 to 1 .*'1 %'",
    ),
    (lambda *d: d[2].best(["x"]), r"\['x'\] is not a market here"),
    (lambda *_: fw.limit(5, "WBETH/USDT", "byu", 1, 1), "did you mean 'buy'"),
    (lambda *_: fw.market(5, "WBETH/USDT", 0, 1), "'side' must be one of buy, sell"),
    (
        lambda *_: fw.market(5, "WBETH/USDT", fw.Side.BOTH, 1),
        "'side' must be one of buy, sell",
    ),
    (lambda *_: fw.limit(5, "WBETH/USDT", "buy", 1, 1, tif=["IOC"]), "'tif' must be"),
]


@pytest.mark.parametrize(("call", "text"), WRONG)
def test_wrong_argument_is_told(
    call: Callable[..., object], text: str, doors: Doors
) -> None:
    """With its name, what it must be, and what came."""
    with pytest.raises((TypeError, ValueError, LookupError), match=text) as told:
        call(*doors)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("place", "why"),
    [("nowhere/x.html", "No such file"), (".", "directory"), ("file/x", "directory")],
)
def test_report_that_cannot_be_written_is_told_before_it_is_made(
    place: str, why: str, doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the path that was given, and nothing left beside it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("flashwick.engine.pages.report.run_report", None)
    with pytest.raises(ValueError, match=f"cannot be written: .*{why}") as told:
        doors[0].report(tmp_path / place)
    assert str(told.value).startswith(str(tmp_path / place))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# -- WHAT IS TAKEN


@pytest.mark.parametrize("side", ["sell", "SELL", "Sell", fw.Side.SELL])
def test_side_is_a_word_in_any_case_or_a_side(side: str | fw.Side) -> None:
    """All of them make the same order."""
    order = fw.limit(5, "ATOM/USDT", side, price=4, qty=1)
    assert order == fw.limit(5, "ATOM/USDT", "sell", price=4, qty=1)
    assert order.side is fw.Side.SELL
    assert fw.market(5, "ATOM/USDT", side, 1).side is fw.Side.SELL


@pytest.mark.parametrize("tif", ["ioc", "IOC", fw.TimeInForce.IOC])
def test_life_of_an_order_is_a_word_in_any_case(tif: Any) -> None:
    """Or what the word stands for."""
    order = fw.limit(5, "ATOM/USDT", "buy", price=4, qty=1, tif=tif)
    assert order.tif is fw.TimeInForce.IOC


@pytest.mark.parametrize("mode", ["CANCEL_OLDEST", "cancel_oldest"])
def test_self_trade_prevention_is_chosen_by_its_name(mode: str) -> None:
    """The older of two orders of the account goes."""
    exchange = fw.Exchange("ATOM/USDT")
    account = exchange.open_account({"USDT": 1_000, "ATOM": 100})
    exchange.set_self_trade(account, mode)
    for side in ("sell", "buy"):
        exchange.submit(fw.limit(account, "ATOM/USDT", side, price=4, qty=10))
    assert exchange.open_orders()["side"].tolist() == ["buy"]


def test_one_market_needs_no_list() -> None:
    """Its name is enough, or its definition."""
    spec = fw.Market.define("ATOM/USDT", "0.01", "0.1")
    assert fw.Exchange("ATOM/USDT").markets == ("ATOM/USDT",)
    assert fw.Exchange(spec).specs == (spec,)


def test_verify_takes_the_name_of_a_scenario() -> None:
    """As `load` does."""
    result = fw.verify("atom-sweep")
    assert result.ok
    assert result.scenario == "atom-sweep"


def test_scenario_tells_its_variations(doors: Doors) -> None:
    """Each name with what it changes."""
    found = fw.load("unified-margin-wick").variations
    assert found["no-withdrawal"] == "market_makers.*.withdraw=False"
    assert next(iter(found)) == "redemption-index"
    assert doors[1].variations == {}


# -- THE LOG


def test_every_kind_of_event_is_in_the_documents() -> None:
    """The table of docs/results.md has all of them, and no others."""
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
    table = text[text.index("| kind | what happened") :].split("\n\n")[0]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    told = [word.strip(" `") for cell in first for word in cell.split(",")]
    assert sorted(told) == sorted([*SINGLE, ORDER, TRADE])


def test_kind_that_did_not_happen_has_no_events(doors: Doors) -> None:
    """A right word is no error."""
    assert list(doors[2].log.single("breach", "adl")) == []


def test_only_the_engine_sends_forced_orders(doors: Doors) -> None:
    """No gate looks at them, so that nobody else may."""
    _, _, exchange, account = doors
    forced = fw.limit(account, "WBETH/USDT", "buy", 1, 1)
    with pytest.raises(fw.OrderError, match="only the liquidation engine sends"):
        exchange.submit(evolve(forced, flags=fw.Flag.LIQUIDATION))
    batch = exchange.message(fw.limit(account, "WBETH/USDT", "buy", 1, 1))
    batch["flags"] |= int(fw.Flag.LIQUIDATION)
    with pytest.raises(fw.OrderError, match="only the liquidation engine sends"):
        exchange.process(batch)


# -- COLLATERAL THAT COUNTS FOR NOTHING


def test_perpetual_in_worthless_margin_is_told() -> None:
    """Hyperliquid takes USDC alone; what could be done is told."""
    with pytest.warns(UserWarning, match="hyperliquid counts USDT for nothing") as told:
        fw.Exchange(["BTC/USDT", "BTC/USDT:PERP"], "hyperliquid")
    assert "quote it in USDC, or lay {'collateral': {'USDT': 1}} over" in str(
        told[0].message
    )
    assert told[0].filename == __file__


def test_margin_that_counts_is_not_told() -> None:
    """Nor a spot market, where nothing is margined; a warning would be an error."""
    fw.Exchange(["BTC/USDT", "BTC/USDC:PERP"], "hyperliquid")
    rules = fw.Rules.build("hyperliquid", {"collateral": {"USDT": 1}})
    fw.Exchange("BTC/USDT:PERP", rules)
