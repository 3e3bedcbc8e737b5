"""Many replays of one scenario as rows of figures, on any executor.

A replay is what is changed in the scenario, and a seed; its row depends on nothing
else, so that the rows are the same whoever did the work, and wherever.
"""

import pickle
import threading
import traceback
import warnings
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache, partial
from math import fsum
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, SupportsIndex

from attrs import evolve, field, frozen

from ...margin.presets import shown
from ..arguments import expect, refuse, whole_number
from ..look import NoFigure, UnknownMeasure
from ..own import AgentError
from ..reading.limits import MOST
from ..scenario import LoadedScenario
from .kept import Failed, Kept
from .pool import Here, Processes, cores, tell

if TYPE_CHECKING:
    from ..run import Run

JOBS_MAX = 1_000
"""More processes than anybody has processors for."""

SEED_MAX = 2**63 - 1

SEEDS_MAX = int(MOST["seeds"])

ATTEMPTS = 3
"""How often a replay is begun whose worker is lost; then it is given up."""

AHEAD = 256
"""Replays handed to an executor of the user's that are not done: more than it has
workers, so that none waits."""

Wanted = tuple[str, tuple[str, str] | None]
"""A measure, and the window of times of day it is taken of, or None."""

SOMETIMES = {
    "shock": ("first", "last", "vwap", "filled_at_last"),
    "makers": ("leverage_at_sale", "leverage_unrepriced", "sold_unfallen_share"),
    "alts": ("deepest_bidder", "into_stale_bid", "recovered", "recovery_s"),
}
"""Measures that a run has only if something traded, or was sold by force."""


OF_MAKERS = ("makers", "alts")
"""A run without market makers has no measure of these."""


@frozen
class Replay:
    """A run to be: what is changed in the scenario, and the seed."""

    changes: Mapping[str, Any]
    seed: int


@frozen
class Missing:
    """A measure that a run does not have: why, and if its name is a slip."""

    text: str
    slip: bool = field(kw_only=True)


@frozen
class Failure:
    """Why a replay has no figures: what was raised, in words, and where.

    ``lost`` is one whose worker was lost, `ATTEMPTS` times.
    """

    error: Exception
    text: str
    traceback: str
    lost: bool = False


Value = float | str | Missing


@frozen(kw_only=True)
class Row:
    """What came of a replay: its place in the plan, and its figures or its failure.

    ``names`` are those of the measures wanted, or of all that the run has; with a
    window the name is followed by it. ``warned`` is what the run warned of.
    """

    number: int
    names: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    warned: tuple[str, ...] = ()
    failure: Failure | None = None

    @property
    def figures(self) -> dict[str, float | str]:
        """The values by name, without those that are missing."""
        pairs = zip(self.names, self.values, strict=True)
        return {name: v for name, v in pairs if not isinstance(v, Missing)}


Progress = Callable[[float, int], None]
"""Called with the fraction done and how many replays are."""


def rows(
    scenario: LoadedScenario,
    plan: Sequence[Replay],
    wanted: Sequence[Wanted] | None = None,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    kept: Kept | None = None,
) -> list[Row]:
    """Run a plan; the rows are in its order. See `rows_as_done`."""
    found = rows_as_done(
        scenario,
        plan,
        wanted,
        executor=executor,
        jobs=jobs,
        on_progress=on_progress,
        kept=kept,
    )
    return sorted(found, key=lambda row: row.number)


def rows_as_done(
    scenario: LoadedScenario,
    plan: Sequence[Replay],
    wanted: Sequence[Wanted] | None = None,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    kept: Kept | None = None,
) -> Generator[Row, None, None]:
    """Run a plan, and yield the row of each replay as it gets done.

    ``wanted`` are measures; without, all that a run has. An ``executor`` runs them, any
    of `concurrent.futures`, which is left as it is; else ``jobs`` processes do, by
    default as many as there are processors, and with one it is done here. Whoever stops
    to iterate ends them. What a replay raises is in its row, and the others go on.
    Those of a lost worker are begun again. ``on_progress`` is called with the fraction
    done, replays under way included if the executor is one of ours, and how many are
    done. Rows that are ``kept`` come first and are not run; the others are added.
    """
    check_jobs(executor, jobs)
    work = _Work(scenario, plan, wanted, on_progress, kept)
    yield from work.known()
    if executor is not None:
        yield from work.rows(executor, AHEAD, None)
        return
    workers = min(jobs or cores(), max(1, len(work.waiting)))
    if workers == 1:
        yield from work.rows(Here(), 1, work.hear)
        return
    _check_agents(scenario)
    processes = Processes(workers, work.told)
    try:
        # One more each, so that no process waits for this one.
        yield from work.rows(processes, 2 * workers, tell)
    finally:
        processes.kill()


def seeds_of(seeds: object) -> tuple[int, ...]:
    """The seeds that were asked for: how many, from 0 on, or which.

    ValueError if there are none, or one twice.

    >>> seeds_of(3), seeds_of([7, 5])
    ((0, 1, 2), (7, 5))
    """
    told = "how many seeds, as in 8, or which, as in range(8)"
    if isinstance(seeds, str | bytes | Mapping) or not isinstance(
        seeds, Iterable | SupportsIndex
    ):
        refuse("seeds", seeds, told)
    if not isinstance(seeds, Iterable):
        seeds = range(whole_number("seeds", seeds, 1, SEEDS_MAX, f"1 to {SEEDS_MAX:,}"))
    found = tuple(
        whole_number("seeds", seed, 0, SEED_MAX, "0 to 2^63-1") for seed in seeds
    )
    if not found:
        raise ValueError(f"'seeds' must be one or more (got {shown(seeds)})")
    if len(found) > SEEDS_MAX:
        text = f"'seeds' must be at most {SEEDS_MAX:,} (got {len(found):,})"
        raise ValueError(text)
    twice = next((s for s, count in Counter(found).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"'seeds' must name each seed once (got {twice} again)")
    return found


def check_jobs(executor: object, jobs: object) -> None:
    """Refuse what is no executor, or no number of jobs, or both; Type-, ValueError."""
    told = "an executor of concurrent.futures, such as client.get_executor() of Dask"
    expect("executor", executor, (Executor, type(None)), told)
    if jobs is not None:
        whole_number("jobs", jobs, 1, JOBS_MAX, f"1 to {JOBS_MAX:,}")
        if executor is not None:
            raise ValueError(
                "'jobs' must not be given with an executor, which has its own number "
                f"of workers (got {jobs!r})"
            )


def _check_agents(scenario: LoadedScenario) -> None:
    """Refuse agents whose class another process cannot import; AgentError."""
    for kind in map(type, scenario.agents):
        if kind.__module__ == "__main__":
            raise AgentError(
                f"agent {kind.__name__} is defined in this notebook or script, which "
                "other processes do not have; put it into a .py file and import it, "
                "or pass jobs=1"
            )


class _Work:
    """A plan under way: what is handed out, what comes back, what was lost."""

    def __init__(
        self,
        scenario: LoadedScenario,
        plan: Sequence[Replay],
        wanted: Sequence[Wanted] | None,
        on_progress: Progress | None,
        kept: Kept | None,
    ) -> None:
        self.shipped = Shipped(scenario)
        self.plan = plan
        self.kept = kept
        self.waiting = deque(range(len(plan)))
        self.wanted = None if wanted is None else tuple(wanted)
        self.on_progress = on_progress
        self.events: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self.tries = [0] * len(plan)
        self.parts: dict[int, float] = {}  # fractions of those under way
        self.done = 0
        self.names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def known(self) -> Iterator[Row]:
        """Yield the rows that are kept already."""
        numbers, self.waiting = self.waiting, deque()
        for number in numbers:
            one = self.plan[number]
            found = self.kept and self.kept.find(one.changes, one.seed)
            if not found:
                self.waiting.append(number)
                continue
            names = tuple(found if self.wanted is None else map(label, self.wanted))
            gone = Missing("the run did not have it", slip=False)
            values = tuple(found.get(name, gone) for name in names)
            self.done += 1
            self._progress()
            yield self._shared(Row(number=number, names=names, values=values))

    def rows(
        self,
        executor: Executor,
        ahead: int,
        teller: Callable[..., None] | None,
    ) -> Iterator[Row]:
        """Hand out so many at a time; yield what comes back."""
        under_way: dict[int, Future[Row]] = {}
        try:
            while self.done < len(self.plan):
                while self.waiting and len(under_way) < ahead:
                    number = self.waiting.popleft()
                    under_way[number] = self._submit(executor, number, teller)
                kind, number, *what = self.events.get()
                if kind == "told":
                    self.hear(number, *what)
                    continue
                future = under_way.pop(number)
                row = self._row(number, future)
                if row is None:
                    under_way[number] = self._submit(executor, number, teller)
                    continue
                self.parts.pop(number, None)
                self._keep(row)
                self.done += 1
                self._progress()
                yield row
        finally:
            for future in under_way.values():
                future.cancel()

    def _submit(
        self, executor: Executor, number: int, teller: Callable[..., None] | None
    ) -> "Future[Row]":
        self.tries[number] += 1
        told = None if teller is None else partial(teller, number)
        one = self.plan[number]
        # An executor that remembers results must not remember one that was lost.
        work = (number, self.tries[number], dict(one.changes), one.seed)
        try:
            future = executor.submit(run_one, self.shipped, work, self.wanted, told)
        except Exception as error:
            # Broken by what went before: there is nobody to give this to.
            self.tries[number] = ATTEMPTS
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda _: self.events.put(("done", number)))
        return future

    def _row(self, number: int, future: "Future[Row]") -> Row | None:
        """The row, None if it has to be begun again."""
        try:
            row = future.result()
        except BaseException as error:
            # A cancelled future raises what is no Exception.
            if isinstance(error, KeyboardInterrupt):
                raise
            if self.tries[number] < ATTEMPTS and not isinstance(error, BrokenExecutor):
                return None
            return Row(number=number, failure=failure_of(error, lost=True))
        return self._shared(row)

    def _shared(self, row: Row) -> Row:
        # One tuple of names for all rows that have the same.
        return evolve(row, names=self.names.setdefault(row.names, row.names))

    def _keep(self, row: Row) -> None:
        if self.kept is None:
            return
        one, failure = self.plan[row.number], row.failure
        if failure is None:
            self.kept.add(one.changes, one.seed, row.figures)
            return
        self.kept.fail(
            Failed(one.changes, one.seed, failure.text, failure.traceback, failure.lost)
        )

    # -- PROGRESS

    def told(self, number: int, fraction: float, _: float) -> None:
        """Take word of a replay under way from another thread."""
        self.events.put(("told", number, fraction))

    def hear(self, number: int, fraction: float, _: float = 0.0) -> None:
        """Pass it on in this one."""
        # One that is begun again is not less done than it was.
        self.parts[number] = max(fraction, self.parts.get(number, 0.0))
        self._progress()

    def _progress(self) -> None:
        if self.on_progress is not None:
            part = fsum(self.parts.values())
            self.on_progress(min(1.0, (self.done + part) / len(self.plan)), self.done)


# -- ON THE OTHER SIDE


class Shipped:
    """A scenario on its way to workers: packed once, unpacked once in each process."""

    def __init__(self, scenario: LoadedScenario) -> None:
        self.scenario = scenario
        self._last = ("", scenario)

    def varied(self, changes: Mapping[str, Any]) -> LoadedScenario:
        """The scenario with changes; at once if they are those of the last call."""
        if not changes:
            return self.scenario
        key, last = self._last
        # Not by ==, for which 1 is True.
        if key != repr(changes):
            last = self.scenario.vary(changes)
            self._last = (repr(changes), last)
        return last

    @cached_property
    def packed(self) -> bytes:
        """As it travels: 10 kB to 130 kB for the shipped scenarios."""
        return zlib.compress(pickle.dumps(self.scenario), 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel packed."""
        return _arrived, (self.packed,)


@lru_cache(maxsize=4)
def _arrived(packed: bytes) -> Shipped:
    return Shipped(pickle.loads(zlib.decompress(packed)))


def run_one(
    shipped: Shipped,
    work: tuple[int, int, Mapping[str, Any], int],
    wanted: tuple[Wanted, ...] | None,
    told: Callable[[float, float], None] | None,
) -> Row:
    """Run one replay; whatever it raises is in its row."""
    number, _, changes, seed = work
    try:
        with _warnings() as texts:
            run = shipped.varied(changes).run(seed, told)
        names, values = measured(run, wanted)
    except Exception as error:
        return Row(number=number, failure=failure_of(error))
    warned = tuple(dict.fromkeys(texts))
    return Row(number=number, names=names, values=values, warned=warned)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    texts: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        # Catching is of the whole process: other threads would lose theirs.
        yield texts
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(warning.message) for warning in caught]


def failure_of(error: BaseException, *, lost: bool = False) -> Failure:
    """The failure, of an error that can cross to another process."""
    where = "".join(traceback.format_exception(error))
    text = f"{type(error).__name__}: {error}"
    sent: Exception = RuntimeError(text)
    if isinstance(error, Exception):
        error.__traceback__ = error.__cause__ = error.__context__ = None
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            sent = error
    return Failure(sent, text, where, lost)


# -- FIGURES


def label(wanted: Wanted) -> str:
    """The name of a measure, with its window if it has one.

    >>> label(("lows.median", ("21:09", "22:00")))
    'lows.median 21:09–22:00'
    """
    name, window = wanted
    return name if window is None else f"{name} {window[0]}–{window[1]}"


def measured(
    run: "Run", wanted: Iterable[Wanted] | None
) -> tuple[tuple[str, ...], tuple[Value, ...]]:
    """Names and values of the measures wanted, or of all."""
    if wanted is None:
        found = run.measures()
        return tuple(found), tuple(map(_value, found.values()))
    wanted = tuple(wanted)
    values = tuple(figure_of(run, name, window) for name, window in wanted)
    return tuple(map(label, wanted)), values


def figure_of(run: "Run", name: str, window: tuple[str, str] | None) -> Value:
    """A measure of a run, or why there is none."""
    try:
        return _value(run.measure(name, window))
    except NoFigure as error:
        return Missing(str(error), slip=False)
    except UnknownMeasure as error:
        text = str(error).removeprefix(f"{name!r} ")
        return Missing(text, slip=not _may_come(name, run.measures()))


def _value(found: Any) -> float | str:
    return found if isinstance(found, str) else float(found)


def _may_come(name: str, measures: Iterable[str]) -> bool:
    """Whether another run may have a measure that this one lacks."""
    subject, _, figure = name.rpartition(".")
    if any(other.startswith(f"{subject}.") for other in measures):
        return figure in SOMETIMES.get(subject.partition(".")[0], ())
    return subject in OF_MAKERS
