"""The command line: runs, comparisons, many replays, and what can be asked of them.

Exit codes: 0 when all is well, 1 when a target or a replay misses, 2 for anything the
user can put right, with one message on stderr. A traceback is a bug of flashwick.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .engine.reading.changes import ChangeError
from .engine.scenario import LoadedScenario, ScenarioError, load, scenarios
from .lab_cli import replays_bar, sweep
from .options import (
    Whole,
    refused,
    report,
    report_path,
    sets,
    single,
    variation,
    varied,
    writable,
    written,
)
from .replay_cli import replay
from .search_cli import attribute, frontier

if TYPE_CHECKING:
    from .engine.run import Run

Progress = Callable[[float, float], None]


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the user as one message and exit code 2."""
    try:
        yield
    except (ScenarioError, ChangeError, OverflowError) as error:
        text = str(error)
    except OSError as error:
        where = "the output" if error.filename is None else error.filename
        text = f"{where} cannot be written: {error.strerror or error}"
        # What is left in the buffer would fail once more at the end of the process.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        return
    click.echo(text, err=True)
    raise click.exceptions.Exit(2)


class _Commands(click.Group):
    """Tells every error of the user in one way, whichever command it comes from."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _told():
            return super().make_context(*args, **extra)
        raise AssertionError  # _told raises

    def invoke(self, ctx: click.Context) -> Any:
        with _told():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from .engine.arguments import suggest

        if args and self.get_command(ctx, args[0]) is None:
            near = suggest(args[0], self.list_commands(ctx))
            ctx.fail(f"{args[0]!r} is not a command{near}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flashwick", message="flashwick %(version)s")
def main() -> None:
    """Emulate an exchange's risk engine through a crash, and change one rule."""
    click.get_current_context().with_resource(_warned())


@contextmanager
def _warned() -> Iterator[None]:
    """Warnings as a sentence each, without the line of our source that gave them."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda text, *_: click.echo(f"Warning: {text}", err=True)
        yield


# -- WHAT SEVERAL COMMANDS TAKE


_seed = click.option(
    "--seed",
    type=Whole(0, 2**63 - 1, "from 0 to 2^63-1"),
    help="Of all random numbers.  [default: 0]",
    **single,
)


def _out_path(given: str | None) -> Path | None:
    """The same for the folder of a run, which may be several folders deep."""
    if given is None:
        return None
    if not given.strip():
        raise click.UsageError(f"--out must name a folder (got {given!r})")
    path = folder = Path(given)
    if path.is_dir() and any(path.iterdir()):
        text = f"--out {given}: the folder has files already; name a new one"
        raise click.UsageError(text)
    if path.exists() and not path.is_dir():
        raise click.UsageError(f"--out {given} is a file; name a folder")
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    writable(folder, f"--out {given}")
    return path


@contextmanager
def _progress(what: str) -> Iterator[Progress | None]:
    """A bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)

        def show(fraction: float, seconds: float) -> None:
            text = f"{what}, {seconds:,.1f} s simulated"
            bar.update(task, completed=fraction, description=text)

        yield show


def _run(scenario: LoadedScenario, seed: int | None, what: str) -> Run:
    with _progress(what) as show:
        return scenario.run(seed or 0, show)


def _story(run: Run, account: str) -> str:
    number = account.isdecimal() and len(account) < 10
    try:
        return str(run.story(int(account) if number else account or None))
    except LookupError as error:
        if account:
            raise click.UsageError(str(error)) from None
        return str(error)


# -- COMMANDS


@main.command()
@click.argument("name")
@_seed
@sets
@variation
@report
@click.option(
    "--variations",
    is_flag=True,
    help="Run the file's variations too, to show them beside in the report.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    help="Write the run as Parquet, with a manifest that reproduces it.",
    **single,
)
@click.option(
    "--story",
    metavar="[ACCOUNT]",
    is_flag=False,
    flag_value="",
    help="Tell how an account was liquidated, by its number or name; without one, the "
    "largest market maker that was.",
)
def run(
    name: str,
    seed: int | None,
    changes: tuple[str, ...],
    variation: str | None,
    report: str | None,
    variations: bool,
    out: str | None,
    story: str | None,
) -> None:
    """Run a scenario: a shipped one by NAME, or a TOML file by its path."""
    if variations and report is None:
        raise click.UsageError("--variations needs --report FILE.html to show them in")
    if variations and variation is not None:
        raise click.UsageError("--variations runs them all; leave --variation out")
    scenario = varied(load(name), variation, changes)
    page, folder = report_path(report), _out_path(out)
    result = _run(scenario, seed, scenario.name)
    click.echo(str(result.summary()))
    click.echo()
    try:
        click.echo(str(result.why()))
    except LookupError as error:
        click.echo(str(error))
    if story is not None:
        click.echo()
        click.echo(_story(result, story))
    if page is not None or folder is not None:
        click.echo()
    if page is not None:
        others = [
            _run(scenario.variation(other), seed, f"{scenario.name}, {other}")
            for other in (scenario.config.variations if variations else ())
        ]
        written(lambda: result.report(page, others), page, "report")
    if folder is not None:
        written(lambda: result.save(folder), folder, "run")


@main.command("what-if")
@click.argument("name")
@_seed
@click.option(
    "--seeds",
    type=Whole(1, 10_000, "from 1 to 10,000"),
    help="Over so many seeds, each run twice, with how sure the differences are.",
    **single,
)
@click.option(
    "--jobs",
    type=Whole(1, 1_000, "from 1 to 1,000"),
    help="Replays at once with --seeds; by default one for each processor.",
    **single,
)
@sets
@variation
@report
def what_if(
    name: str,
    seed: int | None,
    seeds: int | None,
    jobs: int | None,
    changes: tuple[str, ...],
    variation: str | None,
    report: str | None,
) -> None:
    """Run a scenario twice with the same random numbers, once changed, and compare."""
    if not changes and variation is None:
        raise click.UsageError("nothing is changed; give --set or --variation")
    if seeds is not None and seed is not None:
        raise click.UsageError("--seed and --seeds are given; leave one")
    if seeds is None and jobs is not None:
        raise click.UsageError("--jobs goes with --seeds; a single run has no jobs")
    base = load(name)
    changed = varied(base, variation, changes)
    page = report_path(report)
    if seeds is not None:
        _paired(base, changed, seeds, jobs, page)
        return
    before = _run(base, seed, base.name)
    after = _run(changed, seed, f"{base.name}, changed")

    from . import compare

    click.echo(str(compare(before, after)))
    if page is not None:
        click.echo()
        written(lambda: after.report(page, [before]), page, "report")


def _paired(
    base: LoadedScenario,
    changed: LoadedScenario,
    seeds: int,
    jobs: int | None,
    page: Path | None,
) -> None:
    from . import compare

    with refused(), replays_bar(f"what-if {base.name}", 2 * seeds) as show:
        found = compare(base, changed, seeds=seeds, jobs=jobs, on_progress=show)
    spared = found.reduction()
    click.echo(f"{found}\n\n{spared}" if spared.rows else str(found))
    if page is not None:
        click.echo()
        written(lambda: found.report(page), page, "report")
    for label, seed, failure in found.failed:
        click.echo(f"failed: {label}, seed {seed}: {failure.error}", err=True)
    if found.failed:
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("name")
@click.option(
    "--seeds",
    type=Whole(1, 10_000, "from 1 to 10,000"),
    help="How many; by default as many as the scenario says.",
    **single,
)
@click.option(
    "--jobs",
    type=Whole(1, 1_000, "from 1 to 1,000"),
    help="Runs at once, each a process; by default one for each processor.",
    **single,
)
def verify(name: str, seeds: int | None, jobs: int | None) -> None:
    """Judge every target of a scenario; exit 0 only if all required ones hold."""
    scenario = load(name)
    if not scenario.config.targets:
        raise click.UsageError(f"{scenario.name} has no [[targets]] to verify")
    with _progress(f"verify {scenario.name}") as show:
        result = scenario.verify(seeds, show, jobs=jobs)

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # On a pipe nothing is cut: the table is as wide as it needs to be.
    console = Console(width=None if sys.stdout.isatty() else 400)
    table = Table(box=None, pad_edge=False)
    titles, *lines = result.table
    for i, title in enumerate(titles):
        table.add_column(title, justify="right" if i in (2, 3) else "left")
    colour = {"ok": None, "miss": "red", "unknown": "yellow"}
    for row, cells in zip(result.rows, lines, strict=True):
        table.add_row(*map(Text, cells), style=colour[row.verdict])
    console.print(table)
    console.print(Text(result.headline))
    sys.exit(0 if result.ok else 1)


@main.command("scenarios")
def list_scenarios() -> None:
    """List the scenarios that are shipped."""
    known = scenarios()
    width = max(map(len, known))
    for name, title in known.items():
        click.echo(f"{name:<{width}}  {title}")


main.add_command(replay)
main.add_command(sweep)
main.add_command(attribute)
main.add_command(frontier)
