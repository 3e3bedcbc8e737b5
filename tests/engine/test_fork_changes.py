"""What can be changed in a running simulation, and what is refused, with the remedy."""

from typing import Any

import pytest

import flashwick as fw
from flashwick.cython_ext.ledger import CLAIMS
from flashwick.engine.edits import FIXED_RULES, differences, renewed
from flashwick.margin.liquidation import Liquidator
from tests.fingerprint import fingerprint
from tests.worlds import SMALL


@pytest.fixture(scope="module")
def calm() -> fw.Simulation:
    """The small crash before its shocks; tests fork it."""
    simulation: fw.Simulation = SMALL.start(seed=0).run(3)
    return simulation


def moved(run: fw.Run) -> tuple[Any, ...]:
    """What a change has to move: who traded what, quotes, and what makers have.

    That a rule was changed is an event, and gives all later ones other numbers.
    """
    fills = run.log.fills()[1]
    names = ("time", "market", "price", "qty", "maker", "taker")
    traded = tuple(fills[name].tobytes() for name in names)
    series = run.series
    return traded, series.bid.tobytes(), series.maker_equity.tobytes()


@pytest.fixture(scope="module")
def unchanged(calm: fw.Simulation) -> str:
    """How it ends if nothing is changed."""
    return fingerprint(calm.fork().finish())


@pytest.fixture(scope="module")
def as_it_was(calm: fw.Simulation) -> tuple[Any, ...]:
    """What moves in it if nothing is changed."""
    return moved(calm.fork().finish())


CHANGES: list[dict[str, Any]] = [
    {"oracles.WBETH.policy": "redemption"},
    {"oracles.ATOM": None},
    {"rules.liquidation.rate_limit": 2},
    {"rules.collateral.WBETH": 0.2},
    {"rules.thresholds.liquidate": 1.2},
    {"rules.thresholds.order": 3.0},
    {"rules.liquidation.cycle_s": 4},
    {"rules.liquidation.slice": 0.9},
    {"rules.mark.policy": "index"},
    {'markets."ATOM/USDT".price_band': 0.001},
    {'markets."ATOM/USDT".circuit_breaker': {"share": 0.001, "pause": 10}},
    {"gateway.rate": 50},
    {"gateway.latency.market_makers": 3.0},
    {"transfers.open": False},
    {"transfers.latency": 20},
    {"market_makers.alpha.withdraw_at": 5.0},
    {"market_makers.*.withdraw": False},
    {"market_makers.*.gamma": 900.0},
    {"market_makers.alpha.anchor": 0.0},
    {"arbitrage.*.threshold": 0.2},
    {"background.*.size_usd": 50_000},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: next(iter(changes)))
def test_a_change_counts_from_then_on(
    calm: fw.Simulation, as_it_was: tuple[Any, ...], changes: dict[str, Any]
) -> None:
    """The branch ends otherwise, is sound, and comes out the same a second time."""
    branch = calm.fork().change(changes)
    before = branch.world.exchange.log.next_id
    run = branch.finish()
    assert moved(run) != as_it_was
    assert run.outcome["conserved"] == 1.0
    again = run.at(3)
    assert again.world.exchange.log.next_id == before
    assert fingerprint(again.finish()) == fingerprint(run)


def test_two_changes_are_those_of_one(calm: fw.Simulation) -> None:
    """One after the other at the same event, or both at once."""
    one = {"oracles.WBETH.policy": "redemption"}
    other = {"gateway.rate": 500}
    both = calm.fork().change({**one, **other}).finish()
    each = calm.fork().change(one).change(other).finish()
    assert fingerprint(both) == fingerprint(each)


def test_a_change_to_what_it_is_already_changes_nothing(
    calm: fw.Simulation, unchanged: str
) -> None:
    """It is noted all the same."""
    branch = calm.fork().change({"gateway.rate": 20_000})
    assert len(branch.edits) == 1
    assert fingerprint(branch.finish()) == unchanged


def test_a_shock_that_is_to_come_can_be_moved(calm: fw.Simulation) -> None:
    """One that needs no account from the start, and has not struck."""
    shocks = SMALL.config.shocks
    i = next(i for i, s in enumerate(shocks) if s.kind in ("transfers", "outside"))
    early = SMALL.start(seed=0).run(1)
    early.change({f"shocks.{i}.at": 39.0})
    events = [e for e in early.finish().log.single("shock") if e.time == 39 * 10**9]
    assert len(events) == 1
    late = SMALL.start(seed=0).run(shocks[i].at + 1)
    with pytest.raises(fw.ScenarioError, match="it has struck"):
        late.change({f"shocks.{i}.at": 39.0})


def test_a_shock_can_be_moved_after_another_change(calm: fw.Simulation) -> None:
    """Each change makes the scenario anew, with shocks that are only alike."""
    i = next(i for i, s in enumerate(SMALL.config.shocks) if s.kind == "transfers")
    branch = calm.fork().change({"gateway.rate": 500})
    branch.change({f"shocks.{i}.at": 38.0}).change({f"shocks.{i}.at": 39.0})
    found = [e.time for e in branch.finish().log.single("shock") if e.time > 37 * 10**9]
    assert found == [39 * 10**9]


def test_the_window_of_a_drawdown_is_that_of_the_rules_in_force() -> None:
    """Also of a fund that was looked at under the rules before."""
    adl = {"rules.adl.trigger": "fund_drawdown", "rules.adl.drawdown": 1.0}
    branch = SMALL.vary(adl).start(seed=0).run(14)
    funds = branch.world.exchange.liquidator.fund._drawdowns
    assert {one.window for one in funds.values()} == {28_800 * 10**9}
    branch.change({"rules.adl.window_s": 2}).run(16)
    funds = branch.world.exchange.liquidator.fund._drawdowns
    assert {one.window for one in funds.values()} == {2 * 10**9}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"duration": 50}, "duration"),
    ({"market_makers.alpha.count": 5}, "of market_makers.alpha anchor, beta"),
    ({"market_makers.alpha.enabled": False}, "market_makers.alpha.enabled"),
    ({"assets.ETH.price": 3_000}, "assets.ETH.price"),
    ({'markets."ATOM/USDT".tick': "0.01"}, "the price_band and the circuit_breaker"),
    ({"gateway.jitter": 0.5}, "latencies are drawn ahead"),
    ({"rules.fees.spot_taker_ppm": 500}, "from the start"),
    ({"rules.funding.interval_s": 3600}, "on the clock"),
    ({"shocks.1.at": 39.0}, "sim.exchange"),
    ({"record.interval": 5}, "record.interval"),
]


@pytest.mark.parametrize(
    ("changes", "text"), REFUSED, ids=lambda value: str(value)[:40]
)
def test_what_the_start_decides_is_refused_with_the_remedy(
    calm: fw.Simulation, unchanged: str, changes: dict[str, Any], text: str
) -> None:
    """Nothing of it is done, not even what could be."""
    branch = calm.fork()
    with pytest.raises(fw.ScenarioError) as told:
        branch.change({"gateway.rate": 500, **changes})
    assert text in str(told.value)
    assert "scenario.vary({...}).start(seed)" in str(told.value)
    assert branch.edits == ()
    assert fingerprint(branch.finish()) == unchanged


def test_all_that_is_wrong_is_told_at_once(calm: fw.Simulation) -> None:
    """Each place with its reason."""
    with pytest.raises(fw.ScenarioError) as told:
        calm.fork().change({"duration": 50, "gateway.jitter": 0.1})
    assert [problem.path for problem in told.value.problems] == [
        "duration",
        "gateway.jitter",
    ]


def test_a_wrong_place_is_refused_as_by_vary(calm: fw.Simulation) -> None:
    """With the nearest right word."""
    with pytest.raises(fw.ScenarioError, match="policy"):
        calm.fork().change({"oracles.WBETH.polcy": "redemption"})


def test_every_live_setting_of_every_participant_is_one_it_has() -> None:
    """A misspelt name would refuse what can be changed."""
    world = SMALL.start(seed=0).world
    for agent in world.agents.values():
        for name in agent.live:
            assert hasattr(agent.settings, name), (agent.sender, name)


def test_the_rules_that_hold_from_the_start_on_are_rules() -> None:
    """Each of the names is a place of the rules."""
    rules = fw.Rules.load("binance-pm")
    for name in FIXED_RULES:
        found: Any = rules
        for part in name.split("."):
            found = getattr(found, part)


def test_differences_are_told_as_far_down_as_both_have_the_place() -> None:
    """An index rule is one value; a table that is new is told whole."""
    other = SMALL.vary({"gateway.rate": 5, "oracles.WBETH.policy": "redemption"})
    found = {path for path, *_ in differences(SMALL.config, other.config)}
    assert found == {("gateway", "rate"), ("oracles", "WBETH")}


def test_other_rules_find_the_accounts_in_liquidation_as_they_were() -> None:
    """All parts of the engine have the same cases, with the slices of their breach."""
    exchange = fw.Exchange(["ATOM/USDT"], "binance-pm")
    exchange.reprice({"ATOM": 4.0})
    low = exchange.open_account({"ATOM": 1_000})
    exchange.ledger.transfer(exchange.asset_number["USDT"], low, CLAIMS, 3_900 * 10**8)
    running = exchange.liquidator
    running.scan(exchange.now)
    assert list(running.cases) == [low]
    slower = fw.Rules.build("binance-pm", {"liquidation": {"slice": 0.1}})
    engines = (Liquidator(exchange, rules) for rules in (exchange.rules, slower))
    renewed_one = renewed(running, *engines)
    assert renewed_one.cases is running.cases
    parts = (renewed_one.forced, renewed_one.steps, renewed_one.losses)
    assert all(part.cases is running.cases for part in parts)
    assert running.cases.slices.of(low) == [exchange.asset_number["ATOM"]]
