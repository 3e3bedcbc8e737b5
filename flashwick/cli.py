"""The command line: run, what-if, verify, scenarios, replay.

Exit codes: 0 when all is well, 1 when a target or a replay misses, 2 for anything the
user can put right, with one message on stderr. A traceback is a bug of flashwick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .engine.changes import ChangeError, parse_assignment
from .engine.scenario import LoadedScenario, ScenarioError, load, scenarios

if TYPE_CHECKING:
    from .engine.run import Run
    from .orderbook.lobster import Replay

Progress = Callable[[float, float], None]


class _Commands(click.Group):
    """Tells every error of the user in one way, whichever command it comes from."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ScenarioError, ChangeError, OverflowError) as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(2) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from .engine.structure import suggest

        if args and self.get_command(ctx, args[0]) is None:
            near = suggest(args[0], self.list_commands(ctx))
            ctx.fail(f"{args[0]!r} is not a command{near}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flashwick", message="flashwick %(version)s")
def main() -> None:
    """Emulate an exchange's risk engine through a crash, and change one rule."""


# -- WHAT SEVERAL COMMANDS TAKE

_seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of all random numbers.",
)
_sets = click.option(
    "--set",
    "changes",
    metavar="PLACE=VALUE",
    multiple=True,
    help="Change one value, as in oracles.WBETH.policy=redemption. May be repeated.",
)
_variation = click.option("--variation", help="A variation that the scenario names.")
_report = click.option(
    "--report",
    metavar="FILE.html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a report for any browser; of a run, with the file's variations beside.",
)


def _varied(
    scenario: LoadedScenario, variation: str | None, changes: tuple[str, ...]
) -> LoadedScenario:
    if variation is not None:
        scenario = scenario.variation(variation)
    if not changes:
        return scenario
    pairs = [parse_assignment(text) for text in changes]
    places = [place for place, _ in pairs]
    for place in places:
        if places.count(place) > 1:
            raise ChangeError(f"--set {place} is given {places.count(place)} times")
    return scenario.vary(dict(pairs))


def _writable(path: Path | None, option: str) -> None:
    """Refuse, before anything runs, what could not be written after it."""
    if path is None:
        return
    folder = path if option == "--out" else path.parent
    if option == "--report" and path.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"{option} must name an .html file (got {str(path)!r})")
    if option == "--out" and path.is_dir() and any(path.iterdir()):
        text = f"{option} {path}: the folder has files already; name a new one"
        raise click.UsageError(text)
    while option == "--out" and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise click.UsageError(f"{option} {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK):
        raise click.UsageError(f"{option} {path}: {folder} cannot be written to")


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
            text = f"{what}, {seconds:,.0f} s simulated"
            bar.update(task, completed=fraction, description=text)

        yield show


def _run(scenario: LoadedScenario, seed: int, what: str) -> Run:
    with _progress(what) as show:
        return scenario.run(seed, show)


def _written(write: Callable[[], object], path: Path, what: str) -> None:
    from . import RunFileError

    try:
        write()
    except OSError as error:
        raise click.UsageError(f"{what} {path}: {error.strerror or error}") from None
    except RunFileError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{what} {path.absolute()}")


# -- COMMANDS


@main.command()
@click.argument("name")
@_seed
@_sets
@_variation
@_report
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the run as Parquet, with a manifest that reproduces it.",
)
def run(
    name: str,
    seed: int,
    changes: tuple[str, ...],
    variation: str | None,
    report: Path | None,
    out: Path | None,
) -> None:
    """Run a scenario: a shipped one by NAME, or a TOML file by its path."""
    scenario = _varied(load(name), variation, changes)
    _writable(report, "--report")
    _writable(out, "--out")
    result = _run(scenario, seed, scenario.name)
    click.echo(str(result.summary()))
    click.echo()
    try:
        click.echo(str(result.why()))
    except LookupError as error:
        click.echo(str(error))
    if report is not None or out is not None:
        click.echo()
    if report is not None:
        names = scenario.config.variations if variation is None else ()
        others = [
            _run(scenario.variation(other), seed, f"{scenario.name}, {other}")
            for other in names
        ]
        _written(lambda: result.report(report, others), report, "report")
    if out is not None:
        _written(lambda: result.save(out), out, "run")


@main.command("what-if")
@click.argument("name")
@_seed
@_sets
@_variation
@_report
def what_if(
    name: str,
    seed: int,
    changes: tuple[str, ...],
    variation: str | None,
    report: Path | None,
) -> None:
    """Run a scenario twice with the same random numbers, once changed, and compare."""
    if not changes and variation is None:
        raise click.UsageError("nothing is changed; give --set or --variation")
    base = load(name)
    varied = _varied(base, variation, changes)
    _writable(report, "--report")
    before = _run(base, seed, base.name)
    after = _run(varied, seed, f"{base.name}, changed")

    from . import compare

    click.echo(str(compare(before, after)))
    if report is not None:
        click.echo()
        _written(lambda: after.report(report, [before]), report, "report")


@main.command()
@click.argument("name")
@click.option(
    "--seeds",
    type=click.IntRange(1, 10_000),
    help="How many; by default as many as the scenario says.",
)
def verify(name: str, seeds: int | None) -> None:
    """Judge every target of a scenario; exit 0 only if all required ones hold."""
    scenario = load(name)
    if not scenario.config.targets:
        raise click.UsageError(f"{scenario.name} has no [[targets]] to verify")
    with _progress(f"verify {scenario.name}") as show:
        result = scenario.verify(seeds, show)

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .engine.verify import HEADER

    # On a pipe nothing is cut: the table is as wide as it needs to be.
    console = Console(width=None if sys.stdout.isatty() else 400)
    table = Table(box=None, pad_edge=False)
    for i, title in enumerate(HEADER):
        table.add_column(title, justify="right" if i in (2, 3) else "left")
    colour = {"ok": None, "miss": "red", "unknown": "yellow"}
    for row in result.rows:
        table.add_row(*map(Text, row.cells), style=colour[row.verdict])
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


@main.group()
def replay() -> None:
    """Rebuild an order book from a venue's recorded messages."""


@replay.command()
@click.argument("message", type=click.Path(path_type=Path))
@click.argument("orderbook", type=click.Path(path_type=Path))
@click.option(
    "--levels",
    type=click.IntRange(1),
    help="How many to compare; by default all of the file but the deepest.",
)
def lobster(message: Path, orderbook: Path, levels: int | None) -> None:
    """Replay LOBSTER's MESSAGE file and compare each row with its ORDERBOOK file."""
    from .orderbook.lobster import NO_PRICE, replay

    try:
        result = replay(message, orderbook, levels=levels)
    except OSError as error:
        path = error.filename or message
        raise click.UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, OverflowError) as error:
        raise click.UsageError(str(error)) from None
    kinds = [f"{n:,} {kind.name.lower()}" for kind, n in result.events.items() if n]
    click.echo(f"messages   {', '.join(kinds)}".replace("_", " "))
    click.echo(f"{_rows(result, result.levels)} match")
    for deeper in range(result.levels + 1, len(result.matched) + 1):
        click.echo(
            f"{_rows(result, deeper)}, where orders come up that no message told"
        )
    if result.exact:
        return
    miss = result.first_mismatch
    assert miss is not None
    names = ["ask price", "ask size", "bid price", "bid size"]
    for name, expected, found in zip(names, miss.expected, miss.found, strict=True):
        if expected != found:
            none = {NO_PRICE: "none", -NO_PRICE: "none"}
            wanted, got = none.get(expected, expected), none.get(found, found)
            where = f"row {miss.row}, level {miss.level}"
            click.echo(f"{where}: {name} must be {wanted} (got {got})")
    sys.exit(1)


def _rows(result: Replay, levels: int) -> str:
    return f"levels 1-{levels}: {result.matched[levels - 1]:,}/{result.rows:,} rows"
