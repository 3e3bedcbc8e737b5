"""A sweep is the same table whoever runs it, however often it was stopped."""

import gc
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from flashwick.engine.lab import kept
from flashwick.engine.lab.kept import KeptError
from flashwick.engine.lab.pool import Processes
from flashwick.engine.lab.sweep import load_sweep, sweep
from flashwick.engine.lab.swept import Sweep
from flashwick.engine.look import UnknownMeasure
from flashwick.engine.scenario import LoadedScenario, load

BAND = "markets.price_band"
GRID: dict[str, Any] = {BAND: [None, 0.3, 0.5], "gateway.rate": [1_000, 2_000]}
SEEDS = (5, 0)
WAIT_S = 120.0


@pytest.fixture(scope="module")
def scenario() -> LoadedScenario:
    """The smallest shipped one."""
    return load("atom-sweep")


@pytest.fixture(scope="module")
def serial(scenario: LoadedScenario, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The sweep run in this process, into a directory."""
    into = tmp_path_factory.mktemp("sweeps") / "serial"
    return sweep(scenario, GRID, seeds=SEEDS, jobs=1, into=into)


def bytes_of(table: pa.Table) -> bytes:
    """The table as a file: NaN is NaN here."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue())


# -- THE TABLE


def test_table_has_a_row_for_each_case_and_seed(
    scenario: LoadedScenario, serial: Sweep
) -> None:
    """In the order of the grid and the seeds: what was changed, and all measures."""
    table = serial.table
    assert table.num_rows == 12
    assert table.column_names[:4] == ["case", BAND, "gateway.rate", "seed"]
    assert table["seed"].to_pylist() == [5, 0] * 6
    bands = [None, None, None, None, 0.3, 0.3, 0.3, 0.3, 0.5, 0.5, 0.5, 0.5]
    assert table[BAND].to_pylist() == bands
    assert table["gateway.rate"].to_pylist() == [1000, 1000, 2000, 2000] * 3
    run = scenario.vary({BAND: 0.3, "gateway.rate": 2000}).run(5)
    row = table.slice(6, 1).to_pylist()[0]
    for name, value in run.measures().items():
        assert row[name] == value or (row[name] != row[name] and value != value)
    assert list(serial.measures) == sorted(run.measures())
    assert row["case"] == f"{BAND}=0.3, gateway.rate=2000"


def test_table_is_the_same_from_threads_and_processes(
    scenario: LoadedScenario, serial: Sweep
) -> None:
    """To the byte."""
    two = sweep(scenario, GRID, seeds=SEEDS, jobs=2)
    assert bytes_of(two.table) == bytes_of(serial.table)
    with ThreadPoolExecutor(4) as threads:
        more = sweep(scenario, GRID, seeds=SEEDS, executor=threads)
    assert bytes_of(more.table) == bytes_of(serial.table)


def test_table_on_disk_is_that_of_the_result(serial: Sweep) -> None:
    """As one Parquet file; and the sweep is read back whole."""
    assert serial.directory is not None
    stored = parquet.read_table(serial.directory / "table.parquet")
    assert bytes_of(stored) == bytes_of(serial.table)
    again = load_sweep(serial.directory)
    assert bytes_of(again.table) == bytes_of(serial.table)
    assert str(again) == str(serial)
    assert again.cases == serial.cases
    assert again.run(again.cases[2].name, 5).measures()["trades"] == (
        serial.table["trades"][4].as_py()
    )


def test_chosen_measures_stand_in_their_order(scenario: LoadedScenario) -> None:
    """With windows, as text, and null where a run has none."""
    found = sweep(
        scenario,
        seeds=[3],
        measures=["trades", "makers.liquidated", "shock.0.last"],
        jobs=1,
    )
    assert found.table.to_pylist() == [
        {
            "case": "as it stands",
            "seed": 3,
            "trades": 71.0,
            "makers.liquidated": None,
            "shock.0.last": 0.001,
        }
    ]
    assert found.table.schema.field("makers.liquidated").type == pa.float64()


def test_columns_are_of_the_kind_of_their_values(scenario: LoadedScenario) -> None:
    """Whole numbers, words, switches; what is mixed, or a table, is text."""
    cases = [
        {"seeds": 1, "title": "x", "gateway.cancels_first": True},
        {"seeds": 2, "gateway.latency": {"traders": 0.1}, "gateway.rate": 1000},
        {"gateway.latency": {}, "gateway.rate": 1500.5},
    ]
    table = sweep(scenario, cases, seeds=1, measures=["trades"], jobs=1).table
    kinds = {field.name: field.type for field in table.schema}
    assert kinds["seeds"] == pa.int64()
    assert kinds["title"] == pa.string()
    assert kinds["gateway.cancels_first"] == pa.bool_()
    assert kinds["gateway.rate"] == pa.float64()
    assert table["gateway.latency"].to_pylist() == [None, "{'traders': 0.1}", "{}"]
    assert table["seeds"].to_pylist() == [1, 2, None]


# -- FAILURES


def fails_for(monkeypatch: pytest.MonkeyPatch, wrong: list[int]) -> None:
    """Runs of these seeds raise."""
    run = LoadedScenario.run

    def simulated(scenario: LoadedScenario, seed: int, *rest: Any) -> Any:
        if seed in wrong:
            raise OverflowError("a balance left the range of int64")
        return run(scenario, seed, *rest)

    monkeypatch.setattr(LoadedScenario, "run", simulated)


def test_replay_that_fails_loses_only_itself_and_is_run_again(
    scenario: LoadedScenario,
    serial: Sweep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is listed with its traceback; when the sweep goes on, it has another try."""
    wrong = [0]
    fails_for(monkeypatch, wrong)
    into = tmp_path / "s"
    found = sweep(scenario, GRID, seeds=SEEDS, jobs=1, into=into)
    assert found.table["seed"].to_pylist() == [5] * 6
    assert len(found.failures) == 6
    first = found.failures[0]
    assert str(first) == (
        f"{BAND}=None, gateway.rate=1000, seed 0: OverflowError: a balance left the "
        "range of int64"
    )
    assert "in simulated" in first.traceback
    assert "6 of 12 replays, 6 failed" in str(found)
    assert f"failed: {first}; and 5 more" in str(found)
    assert [str(one) for one in load_sweep(into).failures] == [
        str(one) for one in found.failures
    ]
    wrong.clear()
    again = sweep(scenario, GRID, seeds=SEEDS, jobs=1, into=into, resume=True)
    assert again.failures == ()
    assert serial.directory is not None
    same = (serial.directory / "table.parquet").read_bytes()
    assert (into / "table.parquet").read_bytes() == same


def test_combination_that_cannot_be_is_a_failure(scenario: LoadedScenario) -> None:
    """Each of the two is right by itself."""
    found = sweep(
        scenario,
        {"duration": [0.5, 1.0], "shocks.0.at": [0.7, 0.2]},
        seeds=1,
        measures=["trades"],
        jobs=1,
    )
    assert found.table.num_rows == 3
    (failure,) = found.failures
    assert failure.case == "duration=0.5, shocks.0.at=0.7"
    assert failure.error.startswith("ScenarioError: atom-sweep.toml")


def test_killed_worker_costs_no_row(
    scenario: LoadedScenario, serial: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system, in the middle of a replay."""
    started: list[Any] = []
    start = Processes._started

    def noted(self: Processes) -> Any:
        started.append(start(self))
        return started[-1]

    def kill(_: float, done: int) -> None:
        if done == 3 and len(started) == 2:
            os.kill(started[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Processes, "_started", noted)
    found = sweep(scenario, GRID, seeds=SEEDS, jobs=2, on_progress=kill)
    assert len(started) == 3
    assert found.failures == ()
    assert bytes_of(found.table) == bytes_of(serial.table)


# -- STOPPED AND RESUMED


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_sweep_that_is_stopped_goes_on_to_the_same_table(
    scenario: LoadedScenario, tmp_path: Path, how: signal.Signals
) -> None:
    """Ctrl-C, or killed: nothing that was done is done again."""
    axes = [f"gateway.rate={','.join(str(1_000 + k) for k in range(90))}"]
    command = [sys.executable, "-c", "from flashwick.cli import main; main()"]
    command += ["sweep", "atom-sweep", "--seeds", "2", "--grid", *axes]
    command += ["--into", str(tmp_path / "s"), "--jobs", "2"]
    tail = tmp_path / "s" / "tail.jsonl"
    until = time.monotonic() + WAIT_S
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not tail.exists() or len(tail.read_text().splitlines()) < 4:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(how)
        _, errors = process.communicate(timeout=WAIT_S)
    if how == signal.SIGINT:
        assert process.returncode == 1
        assert "--resume goes on with it" in errors
        assert "Traceback" not in errors
    before = load_sweep(tmp_path / "s").table.num_rows
    assert 4 <= before < 180
    grid = {"gateway.rate": [1_000 + k for k in range(90)]}
    told: list[int] = []
    found = sweep(
        scenario,
        grid,
        seeds=2,
        jobs=1,
        into=tmp_path / "s",
        resume=True,
        on_progress=lambda _, done: told.append(done),
    )
    assert found.table.num_rows == 180
    whole = sweep(scenario, grid, seeds=2, jobs=1, into=tmp_path / "whole")
    assert bytes_of(found.table) == bytes_of(whole.table)
    files = [tmp_path / name / "table.parquet" for name in ("s", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_resumed_sweep_runs_only_what_is_missing(
    scenario: LoadedScenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are there are not made again."""
    seen: list[int] = []
    run = LoadedScenario.run

    def counted(scenario: LoadedScenario, seed: int, *rest: Any) -> Any:
        seen.append(seed)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return run(scenario, seed, *rest)

    monkeypatch.setattr(LoadedScenario, "run", counted)
    work: dict[str, Any] = {"seeds": 6, "measures": ["trades"], "jobs": 1}
    with pytest.raises(KeyboardInterrupt):
        sweep(scenario, **work, into=tmp_path / "s")
    stopped = load_sweep(tmp_path / "s")
    assert stopped.table["seed"].to_pylist() == [0, 1, 2]
    assert "3 of 6 replays" in repr(stopped)
    told: list[tuple[float, int]] = []
    sweep(
        scenario,
        **work,
        into=tmp_path / "s",
        resume=True,
        on_progress=lambda *what: told.append(what),
    )
    assert seen == [0, 1, 2, 3, 3, 4, 5]
    assert told[0] == (1 / 6, 1)
    assert told[-1] == (1.0, 6)


def test_other_sweep_is_not_gone_on_with(
    scenario: LoadedScenario, serial: Sweep, tmp_path: Path
) -> None:
    """It says what differs; without resume, that there is one."""
    into = serial.directory
    assert into is not None
    with pytest.raises(KeptError, match=r"holds rows of a sweep already; go on"):
        sweep(scenario, GRID, seeds=SEEDS, into=into)
    with pytest.raises(KeptError, match=r"its seeds is \[5, 0\] \(not \[5, 1\]\)"):
        sweep(scenario, GRID, seeds=[5, 1], into=into, resume=True)
    with pytest.raises(KeptError, match=r"its measures is 'all' \(not \['trades'\]\)"):
        sweep(scenario, GRID, seeds=SEEDS, measures=["trades"], into=into, resume=True)
    with pytest.raises(KeptError, match="its cases is 6 with"):
        sweep(scenario, GRID | {BAND: [0.3]}, seeds=SEEDS, into=into, resume=True)
    with pytest.raises(ValueError, match="'resume' needs 'into'"):
        sweep(scenario, GRID, resume=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KeptError, match="holds something else than rows"):
        sweep(scenario, GRID, into=tmp_path)
    with pytest.raises(KeptError, match="holds something else than rows"):
        load_sweep(tmp_path)
    with pytest.raises(KeptError, match="is not a directory"):
        load_sweep(tmp_path / "nowhere")


# -- ARGUMENTS


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"measures": []}, ValueError, r"'measures' must be one or more"),
        ({"measures": "trades"}, TypeError, r"'measures' must be a list of names"),
        ({"measures": [3]}, TypeError, r"'measures' must be a list of names"),
        ({"measures": [("trades", "now")]}, TypeError, "'measures' must be a list"),
        ({"measures": ["trades", "trades"]}, ValueError, "each once .*'trades' again"),
        (
            {"measures": [("trades", ("0:00", "00:01"))]},
            ValueError,
            "must be a time of day",
        ),
        ({"seeds": -1}, ValueError, "'seeds' must be a whole number"),
        ({"on_progress": 3}, TypeError, "'on_progress' must be a function of the"),
        ({"jobs": 0}, ValueError, "'jobs' must be a whole number"),
        ({"executor": 3}, TypeError, "'executor' must be an executor"),
    ],
)
def test_wrong_arguments_are_refused(
    scenario: LoadedScenario, arguments: Any, error: type[Exception], message: str
) -> None:
    """Before anything runs."""
    with pytest.raises(error, match=message):
        sweep(scenario, **arguments)


def test_more_replays_than_a_plan_holds_are_refused(scenario: LoadedScenario) -> None:
    """Cases times seeds; nothing is run, nothing is written."""
    grid = {"gateway.rate": range(1_000, 1_200)}
    with pytest.raises(
        ValueError, match=r"at most 1,048,576 replays \(got 200 x 10,000"
    ):
        sweep(scenario, grid, seeds=10_000)


def test_unknown_measure_is_told_after_one_run(
    scenario: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the nearest right word, and nothing more is run."""
    seen: list[int] = []
    run = LoadedScenario.run

    def counted(scenario: LoadedScenario, seed: int, *rest: Any) -> Any:
        seen.append(seed)
        return run(scenario, seed, *rest)

    monkeypatch.setattr(LoadedScenario, "run", counted)
    with pytest.raises(UnknownMeasure, match=r"'tradess' .* did you mean 'trades'\?"):
        sweep(scenario, seeds=5, measures=["tradess"], jobs=1)
    assert seen == [0]


def test_scenario_is_loaded_by_name() -> None:
    """As verify does; seeds are as many as the file says."""
    found = sweep("atom-sweep", measures=["trades"], jobs=1)
    assert found.seeds == tuple(range(load("atom-sweep").config.seeds))


def test_library_prints_nothing(
    scenario: LoadedScenario, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither here nor in its processes."""
    sweep(scenario, GRID, seeds=1, jobs=2)
    assert capfd.readouterr() == ("", "")


def test_sweep_runs_in_a_plain_script_and_in_a_notebook(tmp_path: Path) -> None:
    """No main module is run twice: there is no guard in either of them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import flashwick as fw\n"
        "found = fw.sweep('atom-sweep', {'gateway.rate': [1000, 2000]}, seeds=2,\n"
        "                 measures=['trades'], jobs=2)\n"
        "print(found.table['trades'].to_pylist())\n"
    )
    for arguments in ([str(script)], ["-"]):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=script.read_text(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "[71.0, 71.0, 71.0, 71.0]\n"
        assert done.stderr == ""


def test_memory_does_not_grow_with_the_replays(
    scenario: LoadedScenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this process, which runs them too: less than 1 kB for each row.

    In one of two stretches: what else is in the process may take some once.
    """
    monkeypatch.setattr(kept, "PART_ROWS", 10)
    sizes: dict[int, int] = {}

    def note(_: float, done: int) -> None:
        if done in (20, 40, 60) and done not in sizes:
            gc.collect()
            sizes[done] = tracemalloc.get_traced_memory()[0]

    work: dict[str, Any] = {"seeds": 20, "jobs": 1, "on_progress": note}
    tracemalloc.start()
    try:
        rates = {"gateway.rate": np.array([5_000, 6_000, 7_000])}
        sweep(scenario, rates, into=tmp_path / "s", **work)
    finally:
        tracemalloc.stop()
    assert min(sizes[40] - sizes[20], sizes[60] - sizes[40]) / 20 < 1_000


def test_any_executor_will_do(scenario: LoadedScenario, serial: Sweep) -> None:
    """One that knows nothing but submit, and does the work backwards."""

    class Backwards(Executor):
        def __init__(self) -> None:
            self.waiting: list[Any] = []

        def submit(self, fn: Any, /, *args: Any, **extra: Any) -> Any:
            from concurrent.futures import Future

            future: Future[Any] = Future()
            self.waiting.append((future, fn, args, extra))
            if len(self.waiting) == 12:
                for one, function, given, more in reversed(self.waiting):
                    one.set_result(function(*given, **more))
            return future

    found = sweep(scenario, GRID, seeds=SEEDS, executor=Backwards())
    assert bytes_of(found.table) == bytes_of(serial.table)
