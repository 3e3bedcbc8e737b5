"""Jobs done in processes of their own come out as if done here."""

import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from jobs import job, unpicklable

from flashwick.engine.pool import cores, done


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
