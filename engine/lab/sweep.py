"""Sweeps: a scenario replayed in many cases, each with many seeds, as one table."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import expect, refuse
from ..look import UnknownMeasure
from ..reading.windows import window
from ..scenario import LoadedScenario, load, read_scenario
from .cases import Case, cases_of
from .kept import Kept, KeptError, key_of, open_kept, read_manifest
from .replays import (
    Missing,
    Replay,
    Row,
    Wanted,
    check_jobs,
    label,
    rows_as_done,
    seeds_of,
)
from .swept import FailedReplay, Sweep

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "table.parquet"
"""The whole table, in the order of the plan, when all replays were run."""

KIND = "sweep"

REPLAYS_MAX = 2**20
"""More than fits in anybody's patience; a plan of them takes a gigabyte."""

Progress = Callable[[float, int], None]
"""Called with the fraction done and the replays that are."""


def sweep(
    scenario: LoadedScenario | str | PathLike[str],
    cases: Mapping[str, Any] | Iterable[Mapping[str, Any] | str] | None = None,
    *,
    seeds: int | Iterable[int] | None = None,
    measures: Sequence[str | tuple[str, tuple[str, str]]] | None = None,
    executor: Executor | None = None,
    jobs: int | None = None,
    into: str | PathLike[str] | None = None,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Sweep:
    """Replay a scenario in many cases, each with the same seeds.

    ``cases`` is a grid, places and the values of each: every combination is a case. At
    the place ``variation`` stand names of variations, at ``without`` mechanisms to be
    switched off. Or it is a list of cases, each what it changes or the name of a
    variation (`random_design` and `sobol_design` make such), or a table of cases by
    name; None is the scenario as it stands. ``seeds`` are how many, from 0 on, or
    which; by default as many as the file says. ``measures`` are names, or names with a
    window of two times of day; by default all.

    Replays run in ``jobs`` processes, one for each processor, or by an ``executor`` of
    `concurrent.futures`; the table is the same. With ``into``, a directory, rows are
    written as they come: with ``resume`` a sweep that was stopped goes on, and replays
    that failed are run again. A replay that fails is listed in `failures`, and the
    others go on. ``on_progress`` is called with the fraction done and how many replays
    are.

    ScenarioError, ValueError or TypeError for what cannot be swept; UnknownMeasure as
    soon as a run lacks a measure of this name; KeptError for a directory that cannot
    be used.
    """
    if not isinstance(scenario, LoadedScenario):
        scenario = load(scenario)
    check_jobs(executor, jobs)
    if on_progress is not None and not callable(on_progress):
        told = "a function of the fraction done and the replays that are, or None"
        refuse("on_progress", on_progress, told)
    wanted = wanted_of(scenario, measures)
    chosen = seeds_of(scenario.config.seeds if seeds is None else seeds)
    known = cases_of(scenario, [{}] if cases is None else cases)
    plan = _plan(known, chosen)
    with _kept(scenario, known, chosen, wanted, into, resume=resume) as kept:
        with closing(
            rows_as_done(
                scenario,
                plan,
                wanted,
                executor=executor,
                jobs=jobs,
                on_progress=on_progress,
                kept=kept,
            )
        ) as rows:
            _watch(rows)
        found = _result(scenario, known, chosen, wanted, kept)
        _write(found)
    return found


def _plan(cases: Sequence[Case], seeds: Sequence[int]) -> list[Replay]:
    if len(cases) * len(seeds) > REPLAYS_MAX:
        text = f"'cases' and 'seeds' must be at most {REPLAYS_MAX:,} replays"
        raise ValueError(f"{text} (got {len(cases):,} x {len(seeds):,})")
    return [Replay(case.changes, seed) for case in cases for seed in seeds]


def _kept(
    scenario: LoadedScenario,
    cases: Sequence[Case],
    seeds: Sequence[int],
    wanted: Sequence[Wanted] | None,
    into: str | PathLike[str] | None,
    *,
    resume: bool,
) -> Kept:
    if into is None:
        if resume:
            raise ValueError("'resume' needs 'into', the directory of the sweep")
        return Kept()
    named = [[case.name, case.changes, case.shown] for case in cases]
    plan = {"cases": named, "seeds": list(seeds)}
    asked = None if wanted is None else list(map(label, wanted))
    return open_kept(into, scenario, asked, KIND, plan, resume=resume)


def _watch(rows: Iterable[Row]) -> None:
    """Take all rows; what they warn of is warned of once."""
    told: set[str] = set()
    first = True
    for row in rows:
        for text in row.warned:
            if text not in told:
                told.add(text)
                warnings.warn(text, stacklevel=3)
        if first and row.failure is None:
            first = False
            _check_names(row)


def _check_names(row: Row) -> None:
    for name, value in zip(row.names, row.values, strict=True):
        if isinstance(value, Missing) and value.slip:
            raise UnknownMeasure(f"'measures': {name!r} {value.text}")


def wanted_of(scenario: LoadedScenario, measures: object) -> tuple[Wanted, ...] | None:
    """The measures that were asked for, each with its window; None for all."""
    if measures is None:
        return None
    told = "a list of names, each perhaps with its window, as in ('trades', None)"
    if isinstance(measures, str | bytes | Mapping) or not isinstance(
        measures, Iterable
    ):
        refuse("measures", measures, told)
    wanted = tuple(_wanted(scenario, one, told) for one in measures)
    if not wanted:
        raise ValueError("'measures' must be one or more, or None for all (got [])")
    twice = next((one for i, one in enumerate(wanted) if one in wanted[:i]), None)
    if twice is not None:
        text = f"'measures' must name each once (got {label(twice)!r} again)"
        raise ValueError(text)
    return wanted


def _wanted(scenario: LoadedScenario, one: object, told: str) -> Wanted:
    if isinstance(one, str):
        return one, None
    if not isinstance(one, tuple | list) or len(one) != 2:
        refuse("measures", one, told)
    name, times = one
    expect("measures", name, str, told)
    if times is None:
        return name, None
    expect("measures", times, (tuple, list), told)
    begin, end = times
    window((begin, end), scenario.config.start)
    return name, (begin, end)


# -- THE TABLE


def _result(
    scenario: LoadedScenario,
    cases: Sequence[Case],
    seeds: Sequence[int],
    wanted: Sequence[Wanted] | None,
    kept: Kept,
) -> Sweep:
    names = {key_of(case.changes, 0): case.name for case in cases}
    failures = tuple(
        FailedReplay(
            case=names[key_of(failed.changes, 0)],
            seed=failed.seed,
            error=failed.error,
            traceback=failed.traceback,
            lost=failed.lost,
        )
        for failed in kept.failures
    )
    place = {case.name: number for number, case in enumerate(cases)}
    order = {seed: number for number, seed in enumerate(seeds)}
    return Sweep(
        scenario=scenario,
        cases=tuple(cases),
        seeds=tuple(seeds),
        asked=None if wanted is None else tuple(map(label, wanted)),
        table=_table(cases, seeds, wanted, kept),
        failures=tuple(
            sorted(failures, key=lambda one: (place[one.case], order[one.seed]))
        ),
        directory=kept.directory,
    )


def _table(
    cases: Sequence[Case],
    seeds: Sequence[int],
    wanted: Sequence[Wanted] | None,
    kept: Kept,
) -> "pa.Table":
    """One row for each replay that has figures, in the order of the plan."""
    import pyarrow as pa

    found = kept.table()
    keys = [] if found is None else found["key"].to_pylist()
    at = {key: row for row, key in reversed(list(enumerate(keys)))}
    plan = [
        (case, seed, row)
        for case in cases
        for seed in seeds
        if (row := at.get(key_of(case.changes, seed))) is not None
    ]
    columns: dict[str, Any] = {
        "case": pa.array([case.name for case, _, _ in plan], pa.string())
    }
    for place in dict.fromkeys(place for case in cases for place in case.shown):
        # As wide as all cases are, those without a row too.
        kind = _column([case.shown.get(place) for case in cases]).type
        values = [_plain(case.shown.get(place), kind) for case, _, _ in plan]
        columns[place] = pa.array(values, kind)
    columns["seed"] = pa.array([seed for _, seed, _ in plan], pa.int64())
    if wanted is None:
        names = [] if found is None else sorted(set(found.column_names) - {"key"})
    else:
        names = list(map(label, wanted))
    rows = pa.array([row for _, _, row in plan], pa.int64())
    for name in names:
        columns[name] = _figures(found, name, rows)
    return pa.table(columns)


def _figures(found: Any, name: str, rows: Any) -> Any:
    import pyarrow as pa

    if found is None or name not in found.column_names:
        return pa.nulls(len(rows), pa.float64())
    column = found[name].take(rows).combine_chunks()
    return column.cast(pa.float64()) if pa.types.is_null(column.type) else column


def _column(values: Sequence[Any]) -> Any:
    """Values of a place as one column: numbers, words or switches; else as text."""
    import pyarrow as pa

    kinds = list(dict.fromkeys(type(value) for value in values if value is not None))
    if kinds in ([int], [float], [str], [bool]):
        return pa.array(values)
    if kinds and all(kind in (int, float) for kind in kinds):
        return pa.array(values, pa.float64())
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def _plain(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    if value is None:
        return None
    return str(value) if pa.types.is_string(kind) else value


def _write(found: Sweep) -> None:
    if found.directory is None:
        return
    from pyarrow import parquet

    path = found.directory / TABLE
    beside = path.with_suffix(".new")
    try:
        parquet.write_table(found.table, beside, compression="zstd")
        os.replace(beside, path)
    except OSError as error:
        text = f"{path} cannot be written: {error.strerror or error}"
        raise KeptError(f"{text}; mend that, and go on with it (resume)") from None


# -- READING


def load_sweep(directory: str | PathLike[str]) -> Sweep:
    """Read a sweep from its directory; of one that was stopped, the rows it has.

    KeptError if the directory holds none, or files were cut off or changed.
    """
    expect("directory", directory, (str, PathLike), "the path of a directory")
    target = Path(directory)
    manifest = read_manifest(target)
    if manifest["kind"] != KIND:
        raise KeptError(f"{target} holds no sweep but rows of: {manifest['kind']}")
    told = manifest["scenario"]
    scenario = read_scenario(told["file"], told["text"], told["venues"])
    if told["changes"]:
        scenario = scenario.vary(told["changes"])
    cases = [Case(*case) for case in manifest["plan"]["cases"]]
    asked = manifest["measures"]
    # The label of a measure is all that its column needs.
    wanted = None if asked == "all" else [(name, None) for name in asked]
    return _result(scenario, cases, manifest["plan"]["seeds"], wanted, Kept(target))
