"""What the options of all commands have in common, and the files they write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from .engine.reading.changes import ChangeError, parse_assignment
from .engine.scenario import LoadedScenario, ScenarioError


def _once(ctx: click.Context, param: click.Parameter, values: tuple[Any, ...]) -> Any:
    """The value of an option that may be given once; None if it is not."""
    if len(values) > 1:
        text = f"{param.opts[0]} is given {len(values)} times; leave one"
        raise click.UsageError(text, ctx)
    return values[0] if values else None


single: dict[str, Any] = {"multiple": True, "callback": _once}
"""Makes an option one that may be given once."""


class Whole(click.ParamType[int]):
    """A whole number in a range, which ``told`` writes out."""

    name = "integer"

    def __init__(self, least: int, most: int, told: str) -> None:
        self.least, self.most, self.told = least, most, told

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number; a message with the range if it is none in it."""
        digits = str(value).strip()
        # int() refuses thousands of digits, and takes "1_000", which is no slip.
        if digits.lstrip("+-").isdecimal() and len(digits) < 30:
            number = int(digits)
            if self.least <= number <= self.most:
                return number
        return self.fail(f"must be a whole number {self.told} (got {value!r})")


sets = click.option(
    "--set",
    "changes",
    metavar="PLACE=VALUE",
    multiple=True,
    help="Change one value, as in oracles.WBETH.policy=redemption. May be repeated.",
)
variation = click.option(
    "--variation", help="A variation that the scenario names.", **single
)
report = click.option(
    "--report", metavar="FILE.html", help="Write a report for any browser.", **single
)


def varied(
    scenario: LoadedScenario, variation: str | None, changes: tuple[str, ...]
) -> LoadedScenario:
    """The scenario, its variation if one is named, and with these changes."""
    if variation is not None:
        scenario = scenario.variation(variation)
    if not changes:
        return scenario
    pairs = [parse_assignment(text) for text in changes]
    places = [place for place, _ in pairs]
    for place in places:
        if places.count(place) > 1:
            text = f"--set {place} is given {places.count(place)} times; leave one"
            raise ChangeError(text)
    return scenario.vary(dict(pairs))


@contextmanager
def refused() -> Iterator[None]:
    """What the library finds wrong with what was given, as an error of usage."""
    from .engine.look import UnknownMeasure

    try:
        yield
    except (ScenarioError, ChangeError):  # the command line tells these by itself
        raise
    except (ValueError, TypeError, ImportError, UnknownMeasure) as error:
        raise click.UsageError(str(error)) from None


def report_path(given: str | None) -> Path | None:
    """Refuse, before anything runs, what could not be written after it."""
    if given is None:
        return None
    path = Path(given)
    if given.strip() and path.is_dir():
        text = f"--report {given} is a directory; name an .html file in it"
        raise click.UsageError(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--report must name an .html file (got {given!r})")
    writable(path.parent, f"--report {given}")
    return path


def writable(folder: Path, option: str) -> None:
    """Refuse a folder in which no file can be made."""
    if not folder.is_dir():
        raise click.UsageError(f"{option}: {folder} is not a folder; make it first")
    try:
        # The rights alone do not tell of a disk that is mounted to be read.
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"{option}: {folder} cannot be written to ({error.strerror})"
        raise click.UsageError(f"{text}; name another") from None


def written(write: Callable[[], object], path: Path, what: str) -> None:
    """Write, and say where; what cannot be written is an error of usage."""
    from . import RunFileError

    try:
        write()
    except OSError as error:
        text = f"{what} {path} cannot be written: {error.strerror or error}"
        raise click.UsageError(text) from None
    except RunFileError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{what} {path.absolute()}")
