"""The commands that replay recorded data: lobster, itch, binance, run.

Exit codes are those of the command line; 1 says that something which must match does
not, be it a gap, an unknown order or a crossed book of the recording itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import single

if TYPE_CHECKING:
    from rich.console import Console

    from .orderbook.recorded import Check, Findings, Replay

STOCKS_SHOWN = 20

_file = click.Path(path_type=Path)
_until = click.option(
    "--until",
    metavar="TIME",
    help="Take messages up to this time only: 09:45:00.5 on the source's clock, with a "
    "date and in UTC for a capture, or whole nanoseconds.",
    **single,
)


@click.group()
def replay() -> None:
    """Rebuild order books from recorded messages and verify them."""


@replay.command()
@click.argument("message", type=_file)
@click.argument("orderbook", type=_file)
@click.option(
    "--start",
    type=_file,
    help="An order book file whose first row is the book after the first message. Best "
    "prices are then compared, and the two files may be of any number of levels.",
    **single,
)
@_until
def lobster(
    message: Path, orderbook: Path, start: Path | None, until: str | None
) -> None:
    """Replay LOBSTER's MESSAGE file and compare each row with its ORDERBOOK file."""
    from .orderbook import lobster

    with _reading(f"replay {message.name}") as show:
        result = lobster.replay(
            message, orderbook, start=start, until=until, on_progress=show
        )
    _finish(result, until)


@replay.command()
@click.argument("file", type=_file)
@_until
def itch(file: Path, until: str | None) -> None:
    """Replay a NASDAQ ITCH 5.0 FILE: the book of every stock, order by order."""
    from .orderbook import itch

    with _reading(f"replay {file.name}") as show:
        result = itch.replay(file, until=until, on_progress=show)
    _finish(result, until)


@replay.command()
@click.argument("files", type=_file, nargs=-1, required=True)
@click.option("--tick", help="Price step; by default that of the snapshot.", **single)
@click.option("--lot", help="Quantity step; by default the decimals sent.", **single)
@_until
def binance(
    files: tuple[Path, ...], tick: str | None, lot: str | None, until: str | None
) -> None:
    """Replay Binance captures: snapshot, depth updates, bookTicker and trades.

    FILES are of one symbol, each going on where the one before it ends.
    """
    from .orderbook import binance

    with _reading(f"replay {files[0].name}") as show:
        result = binance.replay(
            files, tick=tick, lot=lot, until=until, on_progress=show
        )
    _finish(result, until)


@replay.command()
@click.argument("folder", type=_file)
def run(folder: Path) -> None:
    """Replay the messages of a run that was saved to FOLDER, and compare its trades."""
    from .engine.tape import replay_run

    with _reading(f"replay {folder.name}") as show:
        result = replay_run(folder, on_progress=show)
    _finish(result)


@contextmanager
def _reading(what: str) -> Iterator[Callable[[float], None] | None]:
    """Errors of the files as errors of the user, and a bar if stderr is a terminal."""
    try:
        if not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=1.0)
            yield lambda share: bar.update(task, completed=share)
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.UsageError(text) from None
    except (ValueError, OverflowError) as error:
        raise click.UsageError(str(error)) from None


def _finish(result: Findings, until: str | None = None) -> None:
    """Print what was found, and exit with 1 if it is not what it must be."""
    from rich.console import Console

    from .orderbook.recorded import Replay

    # On a pipe nothing is cut: the table is as wide as it needs to be.
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False)
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in result.kinds.items())
    console.print(f"{result.rows:,} messages: {kinds}", markup=False)
    console.print()
    _print_checks(console, result.checks)
    if isinstance(result, Replay):
        console.print()
        _print_books(console, result, f"at {until}" if until else "at the end")
    console.print()
    required = [check for check in result.checks if check.required]
    held = sum(not check.missed for check in required)
    console.print(f"{held} of {len(required)} required checks hold")
    sys.exit(0 if result.ok else 1)


def _print_checks(console: Console, checks: tuple[Check, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("check", "matched", "share", "verdict"):
        right = title in ("matched", "share")
        table.add_column(title, justify="right" if right else "left")
    for check in checks:
        verdict = "ok" if not check.missed else "MISS" if check.required else "note"
        cells = (
            check.what,
            f"{check.matched:,}/{check.total:,}",
            _percent(check),
            verdict,
        )
        style = {"ok": None, "MISS": "red", "note": "yellow"}[verdict]
        table.add_row(*map(Text, cells), style=style)
    console.print(table)
    for check in checks:
        if check.missed:
            text = f"first miss, {check.what}: {check.first_miss}"
            console.print(text, markup=False, soft_wrap=True)


def _percent(check: Check) -> str:
    # Cut, not rounded: 100 % is all of them.
    share = 10_000 * check.matched // max(1, check.total)
    return f"{share / 100:.2f} %"


def _print_books(console: Console, result: Replay, when: str) -> None:
    from rich.table import Table

    from .orderbook.clock import text

    # A source of levels adds no orders.
    added = any(book.added for book in result.books.values())
    table = Table(box=None, pad_edge=False)
    table.add_column(f"book {when}")
    for title in (*["added"] * added, "bid levels", "ask levels", "bid", "ask", "last"):
        table.add_column(title, justify="right")
    for name, book in list(result.books.items())[:STOCKS_SHOWN]:
        prices = [
            f"{float(ticks * result.tick):,}" if ticks else "none"
            for ticks in (*book.best(), book.last)
        ]
        levels = [f"{len(book.depth(side)[0]):,}" for side in (0, 1)]
        orders = [f"{book.added:,}"] * added
        table.add_row(name, *orders, *levels, *prices)
    console.print(table)
    if len(result.books) > STOCKS_SHOWN:
        console.print(f"and {len(result.books) - STOCKS_SHOWN:,} more")
    for name, book in result.books.items():
        if book.lost:
            time = f", and is that of {text(book.time)}" if book.time else ""
            stopped = (
                f"{name}: the book stopped at the gap, {book.lost}{time}: no snapshot "
                "came after it"
            )
            console.print(stopped, markup=False, soft_wrap=True)
