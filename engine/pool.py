"""Work in processes of their own: jobs in, results out.

A process is a fresh Python that is told what to import, so that it does not matter from
where it was started: no main module is run twice, and no thread is copied.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

START = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    f"from {__name__} import serve; serve()"
)


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def done(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    tell: Callable[..., None],
) -> Iterator[tuple[int, Any]]:
    """Yield number and result of each job as it gets done, one worker or many.

    ``function`` is one of a module; it gets a job's arguments and, last, what to call
    to tell of its progress: ``tell`` is then called with the job's number before it.
    What it raises is raised here, and ends the others.
    """
    if workers == 1:
        for i, job in enumerate(jobs):
            yield i, function(*job, partial(tell, i))
        return
    waiting = deque(enumerate(jobs))
    answers: SimpleQueue[tuple[str, int, Any]] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(min(workers, len(jobs))):
            process = stack.enter_context(_started())
            stack.callback(process.kill)
            work = partial(_work, process, function, waiting, answers)
            thread = Thread(target=work, daemon=True)
            stack.callback(thread.join)
            stack.callback(process.kill)
            thread.start()
        stack.callback(waiting.clear)
        left = len(jobs)
        while left:
            kind, i, value = answers.get()
            if kind == "told":
                tell(i, *value)
                continue
            if kind == "failed":
                raise value
            left -= 1
            yield i, value


def _started() -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    pickle.dump(sys.path, process.stdin)
    process.stdin.flush()
    return process


def _work(
    process: "subprocess.Popen[bytes]",
    function: Callable[..., Any],
    waiting: "deque[tuple[int, tuple[Any, ...]]]",
    answers: "SimpleQueue[tuple[str, int, Any]]",
) -> None:
    # Of one process: give it a job after another and pass on what it answers.
    assert process.stdin is not None
    assert process.stdout is not None
    while True:
        try:
            i, job = waiting.popleft()
        except IndexError:
            return
        kind = "told"
        try:
            process.stdin.write(pickle.dumps((function, job)))
            process.stdin.flush()
            while kind == "told":
                kind, value = pickle.load(process.stdout)
                answers.put((kind, i, value))
        except (EOFError, OSError, pickle.UnpicklingError):
            # It may live on, without the pipe.
            process.kill()
            text = f"the process of job {i} ended with {process.wait()}"
            answers.put(("failed", i, ChildProcessError(text)))
            return
        except Exception as error:
            # What cannot be pickled, or read again: who waits has to know.
            answers.put(("failed", i, error))
            return


def serve() -> None:
    """Do the jobs that come in, until no more do."""
    # An interrupt is for the process that started this one, which then ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox, outbox = sys.stdin.buffer, sys.stdout.buffer
    # What anybody prints must not get among the answers.
    sys.stdout = sys.stderr

    def answer(kind: str, value: Any) -> None:
        # Whole or not at all: what cannot be pickled must leave nothing in the pipe.
        outbox.write(pickle.dumps((kind, value)))
        outbox.flush()

    while True:
        try:
            function, job = pickle.load(inbox)
        except EOFError:
            return
        try:
            answer("done", function(*job, lambda *told: answer("told", told)))
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            answer("failed", error)
