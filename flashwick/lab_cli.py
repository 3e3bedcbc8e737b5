"""Commands of many replays: sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .engine.reading.changes import ChangeError, parse_assignment
from .engine.scenario import load
from .options import (
    Whole,
    refused,
    report,
    report_path,
    sets,
    single,
    variation,
    varied,
    written,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor


OPENING, CLOSING, QUOTES = "[{", "]}", "\"'"

# -- WHAT ALL OF THEM TAKE

seeds = click.option(
    "--seeds",
    type=Whole(1, 10_000, "from 1 to 10,000"),
    help="How many, from 0 on; by default as many as the scenario says.",
    **single,
)
_jobs = click.option(
    "--jobs",
    type=Whole(1, 1_000, "from 1 to 1,000"),
    help="Replays at once, each a process; by default one for each processor.",
    **single,
)
_dask = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Replay on a Dask cluster, as in tcp://scheduler:8786, and not here.",
    **single,
)
_into = click.option(
    "--into",
    metavar="FOLDER",
    help="Write rows as they come, as Parquet.",
    **single,
)
_resume = click.option(
    "--resume", is_flag=True, help="Go on with what is in the folder of --into."
)


def workers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of who does the work, and where it is kept."""
    for option in (_resume, _into, _dask, _jobs):
        command = option(command)
    return command


@contextmanager
def executor_of(address: str | None, jobs: int | None) -> Iterator[Executor | None]:
    """The executor of a Dask cluster; None without an address."""
    if address is None:
        yield None
        return
    if jobs is not None:
        raise click.UsageError("--jobs and --dask are given; the cluster has its own")
    try:
        from distributed import Client
    except ImportError:
        text = "--dask needs distributed: pip install 'flashwick[dask]'"
        raise click.UsageError(text) from None
    connect: Any = Client
    try:
        client = connect(address)
    except (OSError, ValueError, TypeError) as error:
        text = f"--dask {address}: no scheduler answers there ({error})"
        raise click.UsageError(text) from None
    with client:
        yield client.get_executor(pure=False)


@contextmanager
def replays_bar(
    what: str, whole: int | None
) -> Iterator[Callable[[float, int], None] | None]:
    """A bar of replays on stderr, with an estimate, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)

        def show(fraction: float, done: int) -> None:
            of = "" if whole is None else f" of {whole:,}"
            text = f"{what}, {done:,}{of} replays"
            bar.update(task, completed=fraction, description=text)

        yield show


# -- SWEEP


@click.command()
@click.argument("name")
@click.option(
    "--grid",
    "axes",
    metavar="PLACE=VALUE,VALUE",
    multiple=True,
    help="Values of a place, as in market_makers.withdraw_at=1.2,1.5; an empty one "
    "removes the key. Of several, every combination. 'variation' and 'without' are "
    "places too: names of variations, and of mechanisms to be switched off.",
)
@click.option(
    "--case",
    "given",
    metavar="CHANGES",
    multiple=True,
    help="One case: a variation's name, or 'PLACE=VALUE; PLACE=VALUE'; '' is the "
    "scenario as it stands.",
)
@click.option(
    "--random",
    "random",
    metavar="PLACE=LOW..HIGH",
    multiple=True,
    help="Random values from a range, or of PLACE=VALUE,VALUE; with --points.",
)
@click.option(
    "--sobol",
    metavar="PLACE=LOW..HIGH",
    multiple=True,
    help="The same, spread evenly; --points is then a power of two.",
)
@click.option(
    "--points",
    type=Whole(1, 2**20, "from 1 to 1,048,576"),
    help="Cases of --random or --sobol.",
    **single,
)
@seeds
@sets
@variation
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    help="May be repeated; by default all.",
)
@report
@workers
def sweep(
    name: str,
    axes: tuple[str, ...],
    given: tuple[str, ...],
    random: tuple[str, ...],
    sobol: tuple[str, ...],
    points: int | None,
    seeds: int | None,
    changes: tuple[str, ...],
    variation: str | None,
    measures: tuple[str, ...],
    report: str | None,
    jobs: int | None,
    dask: str | None,
    into: str | None,
    resume: bool,
) -> None:
    """Replay a scenario in many cases, each with the same seeds, as one table.

    NAME is a shipped scenario or a TOML file. Exit code 1 if a replay failed.
    """
    from .engine.lab.sweep import sweep as swept

    page = report_path(report)
    scenario = varied(load(name), variation, changes)
    cases = _cases(axes, given, random, sobol, points)
    with (
        executor_of(dask, jobs) as executor,
        stopped(into),
        refused(),
        replays_bar(f"sweep {scenario.name}", None) as show,
    ):
        found = swept(
            scenario,
            cases,
            seeds=seeds,
            measures=measures or None,
            executor=executor,
            jobs=jobs,
            into=into,
            resume=resume,
            on_progress=show,
        )
    click.echo(str(found))
    if page is not None:
        click.echo()
        written(lambda: found.report(page), page, "report")
    if found.directory is not None:
        click.echo(f"\nsweep {found.directory.absolute()}")
    for failure in found.failures:
        click.echo(f"failed: {failure}", err=True)
    if found.failures:
        click.echo(found.failures[0].traceback, err=True)
        raise click.exceptions.Exit(1)


@contextmanager
def stopped(into: str | None) -> Iterator[None]:
    """Tell whoever stops it how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        if into is not None:
            text = f"stopped; what was done is in {into}, and --resume goes on with it"
            click.echo(text, err=True)
        raise


def _cases(
    axes: Sequence[str],
    given: Sequence[str],
    random: Sequence[str],
    sobol: Sequence[str],
    points: int | None,
) -> Any:
    chosen = {"--grid": axes, "--case": given, "--random": random, "--sobol": sobol}
    used = [option for option, texts in chosen.items() if texts]
    if len(used) > 1:
        raise click.UsageError(f"{' and '.join(used)} are given; leave one")
    if (points is None) == bool(random or sobol):
        raise click.UsageError(
            "--points goes with --random or --sobol, and they with it"
        )
    if not used:
        return None
    if given:
        return [_case(text) for text in given]
    places = _places(used[0], chosen[used[0]])
    if axes:
        return {place: _values(place, word) for place, word in places.items()}
    from .engine.lab.designs import random_design, sobol_design

    ranges = {place: _range(place, word) for place, word in places.items()}
    with refused():
        return (sobol_design if sobol else random_design)(ranges, points or 0)


def _places(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Place and the rest of each text; ChangeError if one has none, or stands twice."""
    places: dict[str, str] = {}
    for text in texts:
        place, sign, word = text.partition("=")
        place = place.strip()
        if not sign or not place:
            raise ChangeError(f"{option} {text!r} must be PLACE=VALUES")
        if place in places:
            raise ChangeError(f"{option} {place} is given twice; leave one")
        places[place] = word
    return places


def _case(text: str) -> Any:
    if text.strip() and "=" not in text:
        return text.strip()
    pairs = [parse_assignment(part) for part in text.split(";") if part.strip()]
    return dict(pairs)


def _range(place: str, word: str) -> Any:
    low, sign, high = word.partition("..")
    if not sign:
        return _values(place, word)
    return tuple(parse_assignment(f"{place}={end}")[1] for end in (low, high))


def _values(place: str, word: str) -> list[Any]:
    return [parse_assignment(f"{place}={part}")[1] for part in split_values(word)]


def split_values(text: str) -> list[str]:
    """The values between the commas of a text; those in brackets or quotes are whole.

    >>> split_values('1,[2, 3],"a,b",')
    ['1', '[2, 3]', '"a,b"', '']
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if sign == "," and not depth and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in QUOTES:
            quote = sign
        depth += (sign in OPENING) - (sign in CLOSING) if not quote else 0
        parts[-1] += sign
    return [part.strip() for part in parts]
