"""Replays come out as the same rows, whoever runs them, and none takes others along."""

import pickle
import re
import warnings
from collections.abc import Callable
from concurrent.futures import (
    Executor,
    Future,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import Any

import pytest

from flashwick.engine.lab.pool import Processes, WorkerLost
from flashwick.engine.lab.replays import (
    ATTEMPTS,
    Missing,
    Replay,
    Row,
    Shipped,
    Wanted,
    figure_of,
    rows,
    rows_as_done,
    seeds_of,
)
from flashwick.engine.scenario import LoadedScenario, ScenarioError, load

BAND = 'markets."ATOM/USDT".price_band'
PLAN = [Replay({BAND: band}, seed) for band in (0.3, 0.5) for seed in (4, 0)]
PLAN += [Replay({}, 1)]
WANTED: list[Wanted] = [("trades", None), ("shock.0.last", None)]


@pytest.fixture(scope="module")
def scenario() -> LoadedScenario:
    """The smallest shipped one: 25 ms for a replay."""
    return load("atom-sweep")


@pytest.fixture(scope="module")
def serial(scenario: LoadedScenario) -> list[Row]:
    """The rows of the plan, run in this process, in order."""
    return rows(scenario, PLAN, jobs=1)


def test_row_is_what_the_run_measures(
    scenario: LoadedScenario, serial: list[Row]
) -> None:
    """All measures, by name; in the order of the plan."""
    assert [row.number for row in serial] == [0, 1, 2, 3, 4]
    run = scenario.vary({BAND: 0.5}).run(4)
    assert serial[2].figures == {
        name: value if isinstance(value, str) else float(value)
        for name, value in run.measures().items()
    }
    assert serial[0].figures != serial[2].figures


def test_threads_and_processes_give_the_same_rows(
    scenario: LoadedScenario, serial: list[Row]
) -> None:
    """Our own processes, threads, and those of the standard library."""
    assert rows(scenario, PLAN, jobs=2) == serial
    with ThreadPoolExecutor(3) as threads:
        assert rows(scenario, PLAN, executor=threads) == serial
        assert threads.submit(int, "1").result() == 1, "it is left open"


def test_wanted_measures_alone_are_in_the_row(scenario: LoadedScenario) -> None:
    """In the order in which they are wanted; one that is none says why."""
    wanted = [*WANTED, ("tradess", None), ("trades", ("00:00", "00:01"))]
    (row,) = rows(scenario, [Replay({}, 0)], wanted, jobs=1)
    assert row.names == ("trades", "shock.0.last", "tradess", "trades 00:00–00:01")
    assert row.values[:2] == (71.0, 0.001)
    assert row.values[2] == Missing(
        "is no measure of the run; did you mean 'trades'?", slip=True
    )
    assert isinstance(row.values[3], Missing)
    assert list(row.figures) == ["trades", "shock.0.last"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_replay_that_fails_loses_only_itself(
    scenario: LoadedScenario, jobs: int
) -> None:
    """Its row has the error and the traceback; the others have their figures."""
    plan = [Replay({}, 0), Replay({"duration": -1.0}, 0), Replay({}, 1)]
    first, failed, last = rows(scenario, plan, WANTED, jobs=jobs)
    assert first.failure is None
    assert first.values == last.values
    assert failed.failure is not None
    assert failed.values == ()
    assert isinstance(failed.failure.error, ScenarioError)
    assert failed.failure.text.startswith("ScenarioError: atom-sweep.toml")
    assert "must be above 0 (got -1)" in failed.failure.text
    assert "in vary" in failed.failure.traceback
    assert not failed.failure.lost


def test_whatever_a_run_raises_is_in_its_row(
    scenario: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overflow, a bug, no memory: also what cannot be pickled."""

    class Odd(Exception):
        pass

    errors = [OverflowError("a balance left int64"), MemoryError(), Odd("no pickle")]

    def simulate(scenario: Any, seed: int, *_: Any) -> Any:
        raise errors[seed]

    monkeypatch.setattr(LoadedScenario, "run", simulate)
    found = rows(scenario, [Replay({}, seed) for seed in range(3)], jobs=1)
    texts = [row.failure.text for row in found if row.failure is not None]
    assert texts == [
        "OverflowError: a balance left int64",
        "MemoryError: ",
        "Odd: no pickle",
    ]
    for row in pickle.loads(pickle.dumps(found)):
        assert isinstance(row.failure.error, Exception)
        assert "in simulate" in row.failure.traceback


def test_warnings_of_a_run_are_in_its_row(
    scenario: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once; whether to tell of them is for who asked."""
    run = LoadedScenario.run

    def warned(*arguments: Any) -> Any:
        for _ in range(2):
            warnings.warn("two makers start in liquidation", stacklevel=2)
        return run(*arguments)

    monkeypatch.setattr(LoadedScenario, "run", warned)
    (row,) = rows(scenario, [Replay({}, 0)], jobs=1)
    assert row.warned == ("two makers start in liquidation",)


# -- LOST WORKERS


def test_killed_process_costs_no_row(
    scenario: LoadedScenario, serial: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replay is begun again in a new one, and gives the same row."""
    started: list[Any] = []
    start = Processes._started

    def noted(self: Processes) -> Any:
        started.append(start(self))
        return started[-1]

    monkeypatch.setattr(Processes, "_started", noted)
    found = []
    with closing(rows_as_done(scenario, PLAN * 2, jobs=2)) as coming:
        for row in coming:
            found.append(row)
            if len(found) == 1:
                started[0].kill()
                started[1].kill()
    assert len(started) > 2
    found.sort(key=lambda row: row.number)
    assert [row.figures for row in found] == [row.figures for row in serial * 2]


class Losing(Executor):
    """Loses jobs: of the replay with the number 0, so many attempts; or all."""

    def __init__(self, attempts: int, error: Exception, *, every: bool = False) -> None:
        self.attempts, self.error, self.every = attempts, error, every
        self.submitted: list[tuple[Any, ...]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **extra: Any) -> Any:
        """Fail, or work at once."""
        number, attempt, *_ = args[1]
        self.submitted.append(args)
        future: Future[Any] = Future()
        if attempt <= self.attempts and (self.every or number == 0):
            future.set_exception(self.error)
        else:
            future.set_result(fn(*args, **extra))
        return future


def test_lost_replay_is_begun_again_a_few_times(
    scenario: LoadedScenario, serial: list[Row]
) -> None:
    """On whatever executor; it is submitted as something new each time."""
    executor = Losing(ATTEMPTS - 1, WorkerLost("a process ended with -9"))
    assert rows(scenario, PLAN[:2], executor=executor) == serial[:2]
    assert len(executor.submitted) == ATTEMPTS + 1
    assert len({repr(args[1]) for args in executor.submitted}) == ATTEMPTS + 1


def test_replay_that_is_always_lost_is_given_up(
    scenario: LoadedScenario, serial: list[Row]
) -> None:
    """It is listed as lost, with the last reason, and the others go on."""
    executor = Losing(ATTEMPTS, WorkerLost("a process ended with -9"))
    lost, *others = rows(scenario, PLAN, executor=executor)
    assert lost.failure is not None
    assert lost.failure.lost
    assert lost.failure.text == "WorkerLost: a process ended with -9"
    assert others == serial[1:]


def test_broken_executor_is_not_asked_again(scenario: LoadedScenario) -> None:
    """Nobody can mend it from here: what is left is lost, and nothing hangs."""
    executor = Losing(ATTEMPTS, BrokenProcessPool("a child ended"), every=True)
    found = rows(scenario, PLAN, executor=executor)
    assert len(executor.submitted) == len(PLAN)
    assert all(row.failure is not None and row.failure.lost for row in found)
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    (row,) = rows(scenario, PLAN[:1], executor=closed)
    assert row.failure is not None
    assert "cannot schedule new futures" in row.failure.text


def test_who_stops_to_look_ends_the_processes(
    scenario: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an interrupt does."""
    ended: list[Processes] = []
    kill = Processes.kill
    monkeypatch.setattr(
        Processes, "kill", lambda self: (ended.append(self), kill(self))[1]
    )
    coming = rows_as_done(scenario, PLAN, jobs=2)
    next(coming)
    coming.close()
    assert len(ended) == 1
    assert ended[0]._running == []


# -- PROGRESS AND ARGUMENTS


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_rises_to_one(scenario: LoadedScenario, jobs: int) -> None:
    """With the replays under way, and how many are done."""
    told: list[tuple[float, int]] = []
    rows(scenario, PLAN, jobs=jobs, on_progress=lambda *what: told.append(what))
    assert told == sorted(told)
    assert told[-1] == (1.0, len(PLAN))
    assert any(0.0 < fraction < 1 / len(PLAN) for fraction, _ in told)


def test_scenario_is_packed_once_and_varied_once_for_seeds_in_a_row(
    scenario: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker takes the scenario that it has, and the case that it had last."""
    shipped = Shipped(scenario)
    sent = pickle.dumps(shipped)
    assert len(sent) < 40_000
    there = pickle.loads(sent)
    assert pickle.loads(pickle.dumps(Shipped(scenario))) is there
    made: list[Any] = []
    vary = LoadedScenario.vary
    monkeypatch.setattr(
        LoadedScenario, "vary", lambda self, c: (made.append(c), vary(self, c))[1]
    )
    assert there.varied({BAND: 0.3}) is there.varied({BAND: 0.3})
    assert there.varied({}) is there.scenario
    there.varied({BAND: 0.5})
    assert made == [{BAND: 0.3}, {BAND: 0.5}]
    # 1 is True, but not the same change.
    there.varied({"gateway.queue": 1})
    with pytest.raises(ScenarioError):
        there.varied({"gateway.queue": True})


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (0, "'seeds' must be a whole number from 1 to 10,000 (got 0)"),
        (-3, "'seeds' must be a whole number from 1 to 10,000 (got -3)"),
        (True, "'seeds' must be a whole number from 1 to 10,000 (got True)"),
        ([], "'seeds' must be one or more (got [])"),
        ([1, 2, 1], "'seeds' must name each seed once (got 1 again)"),
        ([-1], "'seeds' must be a whole number from 0 to 2^63-1 (got -1)"),
        ([0.5], "'seeds' must be a whole number from 0 to 2^63-1 (got 0.5)"),
        (range(10_001), "'seeds' must be at most 10,000 (got 10,001)"),
    ],
)
def test_wrong_seeds_are_refused(seeds: Any, message: str) -> None:
    """With the seed that is wrong."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        seeds_of(seeds)


@pytest.mark.parametrize("seeds", ["8", None, 1.5, {1: 2}])
def test_what_is_no_seeds_is_refused(seeds: Any) -> None:
    """A number of them, or which."""
    with pytest.raises(TypeError, match="'seeds' must be how many seeds, as in 8"):
        seeds_of(seeds)


def test_wrong_workers_are_refused(scenario: LoadedScenario) -> None:
    """Before anything runs."""
    with pytest.raises(TypeError, match="'executor' must be an executor of"):
        rows(scenario, PLAN, executor=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'jobs' must be a whole number from 1"):
        rows(scenario, PLAN, jobs=0)
    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(ValueError, match="'jobs' must not be given with an executor"),
    ):
        rows(scenario, PLAN, executor=threads, jobs=2)


def test_name_that_other_runs_may_have_is_no_slip(scenario: LoadedScenario) -> None:
    """Of makers, where there are none; of a shock that sold nothing."""
    run = scenario.run(0)
    found = figure_of(run, "makers.liquidated", None)
    assert isinstance(found, Missing)
    assert not found.slip
    found = figure_of(run, "shock.0.lst", None)
    assert isinstance(found, Missing)
    assert found.slip
