"""Processes of our own as an executor: jobs in, results out.

A process is a fresh Python that is told what to import, so that it does not matter from
where it was started: no main module is run twice, and no thread is copied.
"""

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, Any

START = (
    # An interrupt is for the process that started this one, which then ends it.
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    f"from {__name__} import serve; serve()"
)

LENGTH = 8
"""Bytes in front of a message, which say how many follow."""

Job = tuple["Future[Any]", tuple[Any, ...]]


class WorkerLost(RuntimeError):
    """A process that ended before its job was done."""


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Here(Executor):
    """Does each job in this process, when it is handed in."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **extra: Any) -> Any:
        """Do the job; the future is done when it comes back."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **extra))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(Executor):
    """Fresh processes, each with a thread here that hands it one job after another.

    What is submitted is a function of a module and what can be pickled. A process that
    ends, whoever ended it, costs the job that it had, whose future raises WorkerLost;
    another takes its place. ``on_told`` is called, in any thread, with what jobs hand
    to `tell`.
    """

    def __init__(self, workers: int, on_told: Callable[..., None] | None = None):
        self._on_told = on_told
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = Lock()  # of the two below
        self._running: list[subprocess.Popen[bytes]] = []
        self._ended = False
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    # -- COMMANDS

    def submit(self, fn: Callable[..., Any], /, *args: Any, **extra: Any) -> Any:
        """Hand in a job; RuntimeError after `shutdown`."""
        future: Future[Any] = Future()
        with self._lock:
            if self._ended:
                raise RuntimeError("the processes were shut down")
            self._jobs.put((future, (fn, args, extra)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; end the processes when those that came are done."""
        with self._lock:
            ending, self._ended = not self._ended, True
        if cancel_futures:
            self._cancel()
        if ending or cancel_futures:
            for _ in self._threads:
                self._jobs.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def kill(self) -> None:
        """End the processes at once, with whatever they are at."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for process in self._running:
                process.kill()
        self.shutdown()

    def _cancel(self) -> None:
        with suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job[0].cancel()

    # -- ONE PROCESS

    def _work(self) -> None:
        process = None
        try:
            while (job := self._jobs.get()) is not None:
                future, work = job
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    process = process or self._started()
                    future.set_result(self._done(process, work))
                except WorkerLost as error:
                    if process is not None:
                        self._end(process)
                    process = None
                    future.set_exception(error)
                except Exception as error:
                    # The job's own, or what cannot be pickled or read again.
                    future.set_exception(error)
        finally:
            if process is not None:
                self._end(process)

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._ended and self._jobs.empty():
                raise WorkerLost("the processes were ended")
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._running.append(process)
        assert process.stdin is not None
        with suppress(OSError):
            pickle.dump(sys.path, process.stdin)
            process.stdin.flush()
        return process

    def _done(self, process: "subprocess.Popen[bytes]", work: tuple[Any, ...]) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        message = pickle.dumps(work)
        kind = "told"
        try:
            _send(process.stdin, message)
            while kind == "told":
                answer = _receive(process.stdout)
                kind, value = pickle.loads(answer)
                if kind == "told" and self._on_told is not None:
                    self._on_told(*value)
        except (EOFError, OSError):
            # It may live on, without the pipe.
            process.kill()
            raise WorkerLost(f"a process ended with {process.wait()}") from None
        if kind == "failed":
            raise value
        return value

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._running.remove(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.kill()
        process.wait()


# -- BETWEEN TWO: whole messages, so that one that cannot be read harms no other


def _send(pipe: Any, message: bytes) -> None:
    pipe.write(len(message).to_bytes(LENGTH) + message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    length = int.from_bytes(_read(pipe, LENGTH))
    return _read(pipe, length)


def _read(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


# -- INSIDE A PROCESS


def tell(*what: Any) -> None:
    """Inside a job of `Processes`: hand this to its ``on_told``."""
    _say(pickle.dumps(("told", what)))


def serve() -> None:
    """Do the jobs that come in, until no more do."""
    # What anybody prints must not get among the answers.
    sys.stdout = sys.stderr
    # Whoever listened may be gone, before a job or after it.
    with suppress(EOFError, BrokenPipeError):
        while True:
            message = _receive(sys.stdin.buffer)
            try:
                function, args, extra = pickle.loads(message)
                answer = pickle.dumps(("done", function(*args, **extra)))
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                answer = pickle.dumps(("failed", error))
            _say(answer)


def _say(message: bytes) -> None:
    assert sys.__stdout__ is not None
    _send(sys.__stdout__.buffer, message)
