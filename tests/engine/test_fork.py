"""A running simulation: stepped, forked, changed, entered again."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.edits import DOORS
from flashwick.engine.simulation import World
from flashwick.engine.state import copied
from tests.fingerprint import fingerprint
from tests.worlds import SMALL

KINDS = {
    "adl",
    "breach",
    "decision",
    "fund",
    "index",
    "liquidation",
    "mark",
    "shock",
    "withdrawal",
}
"""Of events, beside orders and trades, that the small crash must have."""

TESTED: Any = SMALL.vary({"start": 28_790})
"""The small crash over a settlement of funding: at 8:00, ten seconds on."""


def told(run: fw.Run) -> tuple[Any, ...]:
    """Everything that a run has: events, messages, samples, outcome."""
    series = run.series
    tables = [series.watched.sent, series.watched.makers, series.watched.depth]
    tables += [series.bid, series.mark, series.index, series.maker_health]
    samples = tuple(np.asarray(table).tobytes() for table in tables)
    return fingerprint(run), samples, series.time.tobytes(), run.outcome


@pytest.fixture(scope="module")
def whole() -> fw.Run:
    """The small crash, run from its start to its end."""
    run: fw.Run = TESTED.run(seed=0)
    return run


@pytest.fixture(scope="module")
def bytes_of(whole: fw.Run) -> tuple[Any, ...]:
    """What it comes to."""
    return told(whole)


def start() -> fw.Simulation:
    """The small crash, not begun."""
    simulation: fw.Simulation = TESTED.start(seed=0)
    return simulation


# -- THE SAME BYTES


def test_the_run_has_all_that_a_fork_has_to_carry(whole: fw.Run) -> None:
    """Liquidation, deleveraging, funding, arbitrage and every kind of participant."""
    kinds = Counter(event.kind for event in whole.log.single())
    assert {*kinds} >= KINDS, KINDS - {*kinds}
    assert kinds["funding"] > 0
    trading = {
        whole.group(int(row)) for row in np.unique(whole.log.fills()[1]["taker"])
    }
    assert trading >= {"arbitrage", "background", "whales", "liquidation_bots"}


def test_a_fork_at_every_tenth_event_goes_on_to_the_same_bytes(
    bytes_of: tuple[Any, ...],
) -> None:
    """Wherever it is forked, the copy ends as the run that was never forked."""
    simulation, forks = start(), 0
    while not simulation.done:
        assert told(simulation.fork().finish()) == bytes_of, simulation
        forks += 1
        simulation.step(10)
    assert forks > 60
    assert told(simulation.finish()) == bytes_of


def test_a_fork_of_a_fork_of_a_fork_goes_on_to_the_same_bytes(
    bytes_of: tuple[Any, ...],
) -> None:
    """Nothing is lost by copying copies, one after each event."""
    simulation = start()
    while not simulation.done:
        simulation = simulation.fork().step(7)
    assert told(simulation.finish()) == bytes_of


def test_a_fork_in_the_middle_of_the_wick_goes_on_to_the_same_bytes() -> None:
    """In the shipped scenario, before the shock, in the wick and after it."""
    crash = fw.load("unified-margin-wick")
    base = told(crash.run(seed=0))
    simulation = crash.start(seed=0)
    for time in (60, 103, 111.5, 240):
        simulation = simulation.run(time).fork()
    assert told(simulation.finish()) == base


def test_protocols_are_copied_with_the_exchange() -> None:
    """Pools, loans and who uses them go on to the same bytes."""
    whole = fw.load("whole-chain")
    simulation = whole.start(seed=0)
    end = simulation.world.end / 1e9
    for share in (0.2, 0.5, 0.8):
        simulation = simulation.run(share * end).fork()
    assert told(simulation.finish()) == told(whole.run(seed=0))


def test_agents_of_ones_own_are_copied_with_the_exchange() -> None:
    """A class that has no address beside the test is copied too."""

    class Buyer(fw.Agent):
        def __init__(self) -> None:
            self.deposits = {"USDT": 100_000}
            self.bought = 0.0

        def wake(self) -> None:
            self.buy("ATOM/USDT", 10.0)

        def filled(self, fill: fw.Fill) -> None:
            self.bought += fill.qty

    alone = SMALL.run(seed=0, agents=[Buyer()])
    run = SMALL.start(seed=0, agents=[Buyer()]).run(20).fork().finish()
    assert told(run) == told(alone)
    assert run.agents["Buyer"].bought == alone.agents["Buyer"].bought > 0.0


# -- APART


def test_neither_branch_notices_what_the_other_does(bytes_of: tuple[Any, ...]) -> None:
    """A branch is changed and traded in; its parent ends as if it were not there."""
    parent = start().run(15)
    branch = parent.fork()
    branch.change({"oracles.WBETH.policy": "redemption"})
    account = branch.exchange.open_account({"USDT": 1_000_000})
    branch.exchange.submit(fw.market(account, "ATOM/USDT", "buy", qty=1_000))
    branch.run(30)
    other = parent.fork()
    assert told(parent.finish()) == bytes_of
    assert told(other.finish()) == bytes_of
    assert told(branch.finish()) != bytes_of


def test_what_the_parent_does_stays_with_the_parent(bytes_of: tuple[Any, ...]) -> None:
    """And the other way round."""
    parent = start().run(15)
    branch = parent.fork()
    parent.exchange.reprice({"WBETH": 1_000})
    parent.finish()
    assert told(branch.finish()) == bytes_of


def test_what_is_recorded_is_shared_and_stays_as_it_was() -> None:
    """Samples and events up to the fork lie in memory once, after it in each."""
    parent = start().run(20)
    parent.world.exchange.log.settle()
    branch = parent.fork()
    logs = [one.world.exchange.log for one in (parent, branch)]
    assert logs[0]._fills._blocks[0][1] is logs[1]._fills._blocks[0][1]
    before = logs[0].fills()[1].tobytes()
    branch.change({"oracles.WBETH.policy": "redemption"})
    parent.run(40)
    branch.run(40)
    after = [log.fills()[1].tobytes() for log in logs]
    assert all(found.startswith(before) for found in after)
    assert after[0] != after[1]


# -- ON ITS WAY


def test_it_stops_where_it_was_told_to() -> None:
    """Between entries of the clock, by time of day, seconds or number of entries."""
    simulation = start()
    assert (simulation.now, simulation.events, simulation.time) == (0.0, 0, "07:59:50")
    simulation.step(3)
    assert simulation.events == 3
    simulation.run("08:00")
    assert simulation.now == 10.0
    assert simulation.time == "08:00"
    assert simulation.world.next > 10_000_000_000
    simulation.run(12.25)
    assert 12.0 <= simulation.now <= 12.25
    assert not simulation.done
    assert simulation.run().done
    assert simulation.step().events == simulation.events
    with pytest.raises(ValueError, match=r"whole number from 0 on \(got -1\)"):
        simulation.step(-1)


@pytest.mark.parametrize(
    ("until", "text"),
    [
        (5, "is past: it is 08:00 (10 s) already"),
        ("07:59:51", "is past"),
        ("08:10", "must be in the scenario, 07:59:50 to 08:00:30 or 0 to 40 s"),
        (41, "must be in the scenario"),
        ("8 o'clock", "must be a time of day, as in 21:09 or 21:09:30"),
        (True, "must be a time of day, as in '21:09', or seconds"),
        (float("nan"), "must be in the scenario"),
    ],
)
def test_a_time_it_cannot_go_to_is_refused(until: Any, text: str) -> None:
    """The text says where it is, or what a time is."""
    simulation = start().run(10)
    with pytest.raises(ValueError, match=r"'until' ") as told_of:
        simulation.run(until)
    assert text in str(told_of.value)
    assert simulation.now == 10.0


def test_a_finished_one_says_that_it_is_over() -> None:
    """Its run has what there is, and may be entered again."""
    simulation = start()
    simulation.finish()
    assert repr(simulation) == "<Simulation small-crash, seed 0, over: 0 edits>"
    assert simulation.done
    for use in (simulation.fork, simulation.step, simulation.finish):
        with pytest.raises(fw.OverError, match=r"run\.at\(time\)"):
            use()


def test_progress_is_told_of_all_of_it() -> None:
    """In parts as in one."""
    shares: list[float] = []
    simulation = start().run(20, lambda share, _: shares.append(share))
    assert 0.0 <= shares[0] < shares[-1] <= 0.5
    simulation.finish(lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


# -- ENTERED AGAIN


def test_a_run_is_entered_again_at_any_time(
    whole: fw.Run, bytes_of: tuple[Any, ...]
) -> None:
    """What comes back is as it was then, and ends the same."""
    again = whole.at("08:00:05")
    assert again.now == 15.0
    assert told(again.finish()) == bytes_of


def test_a_run_goes_on_from_the_forks_that_were_kept(
    bytes_of: tuple[Any, ...],
) -> None:
    """The nearest one before the time, as often as wanted."""
    run = start().finish(keep=["08:00:20", 10])
    assert told(run) == bytes_of
    assert [kept.now for kept in run.kept] == [10.0, 30.0]
    for time in (5, 12, 33):
        assert told(run.at(time).finish()) == bytes_of


def test_a_changed_run_is_entered_with_its_changes() -> None:
    """Those before the time are made again, at the entries where they were made."""
    simulation = start().run(12)
    simulation.change({"rules.liquidation.rate_limit": 5})
    account = simulation.exchange.open_account({"USDT": 500_000})
    simulation.run(20)
    simulation.exchange.submit(fw.market(account, "ATOM/USDT", "buy", qty=500))
    run = simulation.finish()
    assert [edit.what for edit in run.edits] == ["change", "open_account", "submit"]
    assert [len(run.at(time).edits) for time in (5, 15, 30)] == [0, 2, 3]
    assert told(run.at(30).finish()) == told(run)
    assert run.label == (
        "small-crash, start=28790, rules.liquidation.rate_limit=5 at 12 s, "
        "open_account at 12 s, submit at 20 s"
    )


def test_a_kept_fork_that_somebody_went_on_with_is_not_entered(
    bytes_of: tuple[Any, ...],
) -> None:
    """Changed or finished it is not the run any more; the one before it is."""
    run = start().finish(keep=[10, 20])
    run.kept[1].change({"oracles.WBETH.policy": "redemption"})
    assert told(run.at(30).finish()) == bytes_of
    run.kept[1].finish()
    run.kept[0].finish()
    assert told(run.at(30).finish()) == bytes_of


def test_a_run_with_agents_of_ones_own_is_not_entered_without_them() -> None:
    """Their code is not in the run, unless a fork was kept."""
    agent = fw.Agent()
    run = SMALL.start(agents=[agent]).finish(keep=[20])
    with pytest.raises(ValueError, match=r"finish\(keep=\[\.\.\.\]\)"):
        run.at(10)
    assert run.at(25).now == 25.0


# -- REPRODUCED


def test_a_manifest_holds_what_was_done_on_the_way(tmp_path: Path) -> None:
    """Rules, prices, orders and accounts: reproduce does them again."""
    simulation = start().run(12)
    simulation.change({"oracles.WBETH.policy": "redemption"})
    exchange = simulation.exchange
    account = exchange.open_account({"USDT": 500_000})
    placed = exchange.submit(fw.limit(account, "ATOM/USDT", "buy", 1.0, 500))
    simulation.run(20)
    exchange.replace(placed, price=Decimal("1.1"))
    exchange.open_accounts({"USDT": np.array([10.5, 20.25])})
    exchange.set_phase("WBETH/USDT", "call")
    exchange.set_oracles({"ETH": fw.IndexRule(policy="fixed", value=3_000.0)})
    run = simulation.finish()
    run.save(tmp_path / "run")
    assert told(fw.reproduce(tmp_path / "run")) == told(run)


def test_a_batch_of_messages_cannot_be_reproduced(tmp_path: Path) -> None:
    """The refusal says so plainly; the run can still be entered in memory."""
    simulation = start().run(12)
    exchange = simulation.exchange
    account = exchange.open_account({"USDT": 500_000})
    order = fw.limit(account, "ATOM/USDT", "buy", 1.0, 500)
    exchange.process(simulation.world.exchange.message(order))
    run = simulation.finish()
    assert told(run.at(30).finish()) == told(run)
    run.save(tmp_path / "run")
    with pytest.raises(fw.RunFileError, match="a manifest does not hold"):
        fw.reproduce(tmp_path / "run")


# -- THE EXCHANGE


def test_accounts_opened_on_the_way_are_visitors() -> None:
    """They have numbers after all others, and a class of their own."""
    simulation = start().run(12)
    account = simulation.exchange.open_account({"USDT": 500_000})
    simulation.exchange.submit(fw.market(account, "ATOM/USDT", "buy", qty=100))
    run = simulation.finish()
    assert run.group(account) == "visitors"
    assert run.account(account) == f"visitor {account}"
    assert run.outcome["conserved"] == 1.0


READERS = {
    "account",
    "best",
    "depth",
    "desk",
    "from_book",
    "index",
    "index_in_quote",
    "indicative",
    "insurance_fund",
    "mark",
    "message",
    "notional_usd",
    "now",
    "open_orders",
    "phase",
    "risk_under",
}
"""What an exchange has that changes nothing in it."""


def test_every_method_that_changes_an_exchange_is_noted() -> None:
    """One that is not would be lost by run.at and reproduce without a word."""
    public = {name for name in dir(fw.Exchange) if not name.startswith("_")}
    assert public - READERS == DOORS
    assert not READERS & DOORS


def test_a_breaker_set_at_the_exchange_leaves_the_market_to_whoever_set_it() -> None:
    """The scenario says no pause for it: it stays shut until somebody opens it."""
    simulation = start().run(12)
    exchange = simulation.exchange
    exchange.set_circuit_breaker("ATOM/USDT", 0.0001, window=60, phase="halted")
    simulation.run(35)
    assert exchange.phase("ATOM/USDT") == "halted"
    exchange.set_circuit_breaker("ATOM/USDT", None)
    exchange.set_phase("ATOM/USDT", "open")
    simulation.run(36)
    assert exchange.phase("ATOM/USDT") == "open"
    run = simulation.finish()
    assert told(run.at(39).finish()) == told(run)


def test_the_exchange_of_a_simulation_is_changed_by_its_methods_only() -> None:
    """What could not be noted is refused; what is refused by it is not noted."""
    simulation = start().run(12)
    exchange = simulation.exchange
    assert repr(exchange).startswith("<Exchange binance-pm")
    assert exchange.best("ATOM/USDT").ask > 0.0
    assert "submit" in dir(exchange)
    with pytest.raises(TypeError, match="by its methods"):
        exchange.now = 5
    with pytest.raises(fw.OrderError):
        exchange.submit(fw.limit(3, "ATOM/USDT", "buy", 1.0, 500))
    assert simulation.edits == ()


# -- COPIES OF ANYTHING


def test_what_is_no_plain_data_is_named() -> None:
    """A closure on the clock would be shared by both: it is refused."""
    world = World(SMALL, 0)
    world.schedule(10, 0, lambda now: None)
    with pytest.raises((AttributeError, TypeError), match="lambda"):
        copied(world)
