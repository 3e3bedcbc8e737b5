"""Jobs done in processes of their own come out as if done here."""

import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from flashwick.engine.pool import cores, done


def job(n: int, tell: Callable[..., None]) -> tuple[int, int]:
    """Tell twice, print, and answer."""
    tell(0.5, float(n))
    sys.stdout.write("not an answer\n")
    tell(1.0, float(n))
    if n < 0:
        raise ValueError(f"'n' must be at least 0 (got {n})")
    if n == 99:
        os._exit(3)
    return n * n, os.getpid()


def results(jobs: list[int], workers: int, told: list[Any]) -> list[tuple[int, int]]:
    """What comes out, by the number of the job."""
    found = dict(
        done(job, [(n,) for n in jobs], workers, lambda *what: told.append(what))
    )
    return [found[i] for i in range(len(jobs))]


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_results_are_those_of_the_jobs(workers: int) -> None:
    """From as many processes as asked for, or here if it is one."""
    told: list[Any] = []
    found = results([3, 1, 4, 1, 5], workers, told)
    assert [square for square, _ in found] == [9, 1, 16, 1, 25]
    processes = {process for _, process in found}
    assert (os.getpid() in processes) == (workers == 1)
    assert len(processes) <= min(workers, 5)
    for i, n in enumerate([3, 1, 4, 1, 5]):
        assert [t for t in told if t[0] == i] == [(i, 0.5, n), (i, 1.0, n)]


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_job_is_raised_here(workers: int) -> None:
    """As it was, and nothing goes on behind it."""
    with pytest.raises(ValueError, match=r"'n' must be at least 0 \(got -1\)"):
        results([-1, 2, 3], workers, [])
    assert threading.active_count() == 1


def test_process_that_dies_is_told() -> None:
    """With the job and the code it ended with."""
    with pytest.raises(ChildProcessError, match="the process of job 0 ended with 3"):
        results([99, 1], 2, [])


def unpicklable(n: int, tell: Callable[..., None]) -> Any:
    """An answer that no pipe takes, or none at all from a process that lives on."""
    if n:
        os.close(1)
        time.sleep(60)
    return lambda: n


@pytest.mark.parametrize(
    ("function", "n", "error"),
    [
        (unpicklable, 0, (AttributeError, TypeError, pickle.PicklingError)),
        (unpicklable, 1, ChildProcessError),
        (lambda n, tell: n, 0, (AttributeError, TypeError, pickle.PicklingError)),
    ],
)
def test_job_that_cannot_be_handed_over_is_told(
    function: Callable[..., Any], n: int, error: type[Exception]
) -> None:
    """There or back: nobody waits for an answer that never comes."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.extend(done(function, [(n,), (n,)], 2, lambda *what: None))
        except Exception as raised:
            found.append(raised)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30.0)
    assert len(found) == 1
    assert isinstance(found[0], error)


def test_there_is_a_processor() -> None:
    """At least the one that runs this."""
    assert cores() >= 1
