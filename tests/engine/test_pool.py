"""Jobs done in processes of their own come out as if done here."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from pathlib import Path
from typing import Any

import pytest
from jobs import Picky, ends_once, forever, job, picky, unpicklable

from flashwick.engine.lab.pool import Here, Processes, WorkerLost, cores

WAIT_S = 60.0


@pytest.fixture(scope="module")
def told() -> list[Any]:
    """What the jobs of the two processes told of."""
    return []


@pytest.fixture(scope="module")
def two(told: list[Any]) -> Iterator[Processes]:
    """Two processes, shared by the tests."""
    with Processes(2, lambda *what: told.append(what)) as pool:
        yield pool


def test_results_are_those_of_the_jobs(two: Processes, told: list[Any]) -> None:
    """Each from one of the processes, which tell of it before it is done."""
    told.clear()
    futures = [two.submit(job, n) for n in (3, 1, 4)]
    found = [future.result(WAIT_S) for future in futures]
    assert [square for square, _ in found] == [9, 1, 16]
    processes = {process for _, process in found}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    for n in (3, 1, 4):
        assert [t for t in told if t[0] == n] == [(n, 0.5), (n, 1.0)]


def test_error_of_a_job_is_that_of_its_future(two: Processes) -> None:
    """As it was, with where it was raised; the process goes on."""
    with pytest.raises(ValueError, match=r"'n' must be at least 0 \(got -1\)") as told:
        two.submit(job, -1).result(WAIT_S)
    assert "in job" in "".join(told.value.__notes__)
    assert two.submit(job, 2).result(WAIT_S)[0] == 4


def test_process_that_dies_costs_its_own_job_alone(two: Processes) -> None:
    """The job is told with the code it ended with; another process does the others."""
    futures = [two.submit(job, n) for n in (99, 5, 6, 7)]
    with pytest.raises(WorkerLost, match="a process ended with 3"):
        futures[0].result(WAIT_S)
    assert [future.result(WAIT_S)[0] for future in futures[1:]] == [25, 36, 49]


def test_process_that_somebody_kills_is_replaced(
    two: Processes, tmp_path: Path
) -> None:
    """As the system does when memory is short."""
    lost = two.submit(ends_once, tmp_path, job, 3)
    with pytest.raises(WorkerLost, match=f"ended with -{int(signal.SIGKILL)}"):
        lost.result(WAIT_S)
    assert two.submit(ends_once, tmp_path, job, 3).result(WAIT_S)[0] == 9


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        (unpicklable, (0,), (AttributeError, TypeError, pickle.PicklingError)),
        (unpicklable, (1,), WorkerLost),
        (picky, (), (TypeError, Picky)),
        (lambda: 1, (), (AttributeError, TypeError, pickle.PicklingError)),
    ],
)
def test_job_that_cannot_be_handed_over_is_told(
    two: Processes,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    error: type[Exception],
) -> None:
    """There or back: nobody waits for what never comes, nor gets another's answer."""
    with pytest.raises(error):
        two.submit(function, *arguments).result(WAIT_S)
    assert [two.submit(job, n).result(WAIT_S)[0] for n in (2, 3)] == [4, 9]


def test_kill_ends_what_is_under_way(tmp_path: Path) -> None:
    """At once: process and threads are gone, and what waited is cancelled."""
    before = threading.active_count()
    pool = Processes(1)
    running = pool.submit(forever, tmp_path)
    waiting = pool.submit(job, 1)
    process = int(_text_of(tmp_path / "pid"))
    pool.kill()
    with pytest.raises(WorkerLost):
        running.result(WAIT_S)
    with pytest.raises(CancelledError):
        waiting.result(WAIT_S)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="were shut down"):
        pool.submit(job, 1)


def _text_of(path: Path) -> str:
    until = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return path.read_text()


PARENT = """
from time import sleep
from flashwick.engine.lab.pool import Processes, cores

with Processes(1) as pool:
    pool.submit(cores).result()
    pool.submit(sleep, 1.0)
    print("at work", flush=True)
    sleep(60.0)
"""


def test_processes_of_one_that_is_killed_end_in_silence() -> None:
    """With the job they are at; nobody is told who is not there."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "at work\n"
    parent.kill()
    # The process has this end too: what is read ends with it.
    assert parent.communicate(timeout=WAIT_S) == ("", "")


def test_shutdown_waits_for_what_came_before() -> None:
    """As that of any executor."""
    with Processes(1) as pool:
        futures = [pool.submit(job, n) for n in (1, 2)]
    assert [future.result(0)[0] for future in futures] == [1, 4]
    pool.shutdown()


def test_work_here_is_an_executor_too() -> None:
    """Each job is done when it is handed in; its error waits in the future."""
    pool: Executor = Here()
    assert pool.submit(pow, 2, 5).result(0) == 32
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result(0)


def test_there_is_a_processor() -> None:
    """At least the one that runs this."""
    assert cores() >= 1
