"""The texts that a scenario is made of: its file, and those it starts from."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, Self

from ...margin.presets import near, shown
from ..arguments import suggest
from .changes import ChangeError, change, covers, split_path
from .location import line_of, locate
from .structure import Fault

BYTES_MAX = 16_000_000
"""Largest scenario file that is read."""

LEVELS = 2
"""How deep files are merged: tables, entries; the values of an entry are replaced."""

DRAWN = ("assets", "markets", "oracles", "groups")
DRAWN_RULES = (["collateral"], ["brackets"])
"""Tables that universes add to, of the scenario and of its rules."""

OWN_KEYS = ("base", "changes", "name", "title", "about")
"""What a file does not take from the one it starts from."""


class Problem(NamedTuple):
    """One thing wrong with a scenario: its file, line if there is one, and place."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        """``file:line: place: message``."""
        line = "" if self.line is None else f":{self.line}"
        place = f" {self.path}:" if self.path else ""
        return f"{self.file}{line}:{place} {self.message}"


class ScenarioError(ValueError):
    """A scenario that cannot be used; ``problems`` are all there are."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Problem, ...]]]:
        """Cross a process boundary with the problems intact."""
        return type(self), (self.problems,)


class Source(NamedTuple):
    """A file of a scenario: how the one before names it, and what it is."""

    key: str
    file: str
    text: str
    tables: dict[str, Any]


def tables_of(name: str, text: str) -> dict[str, Any]:
    """The tables of a file; ScenarioError if it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([_syntax_problem(name, text, error)]) from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets thousands deep.
        message = f"is not TOML that can be read ({error})"
        raise ScenarioError([Problem(name, None, "", message)]) from None


def sources_of(name: str, text: str, known: Mapping[str, str]) -> list[Source]:
    """The file and those that it starts from, itself first.

    ``known`` texts, by how files name them, are not read again.
    """
    sources = [Source("", name, text, tables_of(name, text))]
    folder = Path(name).parent
    while "base" in sources[-1].tables:
        last = sources[-1]
        given = last.tables["base"]
        line = line_of(locate(last.text), ("base",))
        if not isinstance(given, str):
            message = f"must be text in quotes (got {shown(given)})"
            raise ScenarioError([Problem(last.file, line, "base", message)])
        by_name = re.fullmatch(r"[\w-]*", given)
        key = given if by_name else str(Path(last.key).parent / given)
        place = key if by_name else str(folder / key)
        try:
            found = (place, known[key]) if key in known else text_of(place)
        except ScenarioError as error:
            message = f"{error.problems[0].message} (got {given!r})"
            raise ScenarioError([Problem(last.file, line, "base", message)]) from None
        if any(found[1] == source.text for source in sources):
            message = f"must not lead back to where it started (got {given!r})"
            raise ScenarioError([Problem(last.file, line, "base", message)])
        sources.append(Source(key, *found, tables_of(*found)))
    return sources


def merged(sources: Iterable[Source]) -> tuple[dict[str, Any], list[Fault]]:
    """The tables of a file laid over those of the files it starts from, and faults.

    Of each file first what it says itself, then its ``changes``, places and values.
    `changes_of_drawn` of the file itself are left to who has drawn that.
    """
    tables: dict[str, Any] = {}
    faults: list[Fault] = []
    below = list(sources)
    while below:
        source = below.pop()
        kept = {key: item for key, item in tables.items() if key not in OWN_KEYS}
        tables = _over(kept, source.tables, LEVELS)
        changes = source.tables.get("changes")
        if isinstance(changes, Mapping):
            later = {} if below else changes_of_drawn(tables)
            now = {text: value for text, value in changes.items() if text not in later}
            tables, wrong = change_by_file(tables, now)
            faults += wrong
    return tables, faults


def changes_of_drawn(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a file's ``changes`` that reach what its universes draw."""
    changes = tables.get("changes")
    if not tables.get("universe") or not isinstance(changes, Mapping):
        return {}
    return {text: value for text, value in changes.items() if _is_drawn(text)}


def _is_drawn(text: str) -> bool:
    try:
        table, *rest = split_path(text)
    except ChangeError:
        return False
    return table in DRAWN or (table == "rules" and rest[:1] in DRAWN_RULES)


def change_by_file(
    tables: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Fault]]:
    """The tables with ``changes`` of a file made; faults are where it has them."""
    result, wrong = change(tables, changes)
    faults = []
    for fault in wrong:
        place = [text for text in changes if covers(text, fault.path)]
        faults.append(Fault(("changes", *place[:1]), fault.message))
    return result, faults


def _over(
    below: Mapping[str, Any], above: Mapping[str, Any], levels: int
) -> dict[str, Any]:
    result = dict(below)
    for key, item in above.items():
        old = result.get(key)
        if levels and isinstance(old, Mapping) and isinstance(item, Mapping):
            result[key] = _over(old, item, levels - 1)
        else:
            result[key] = item
    return result


def shipped() -> list[Any]:
    """The files of the scenarios that come with the package, by name."""
    # Data of the package above; its name, not its modules, is all that is used.
    folder = files(__name__.partition(".")[0]) / "scenarios"
    found = [path for path in folder.iterdir() if path.name.endswith(".toml")]
    return sorted(found, key=lambda path: path.name)


def is_named(source: str | PathLike[str]) -> bool:
    """Whether this is the name of a shipped scenario, and not a path."""
    return isinstance(source, str) and re.fullmatch(r"[\w-]*", source) is not None


def text_of(source: str | PathLike[str]) -> tuple[str, str]:
    """The name of the file, for messages, and its text."""
    given = fspath(source)
    path: Any = Path(given)
    if is_named(source):
        known = {path.name.removesuffix(".toml"): path for path in shipped()}
        if given not in known:
            hint = suggest(given, known)
            message = f"{given!r} is not a shipped scenario{hint}; "
            message += "a file is named with its ending, as in mine.toml"
            raise ScenarioError([Problem("scenario", None, "", message)])
        path = known[given]
    label = path.name if is_named(source) else given
    try:
        if not path.is_file():
            message = f"there is no such file{_neighbour(given)}"
            if path.exists():
                message = "is not a file; name a TOML file"
            raise ScenarioError([Problem(label, None, "", message)])
        data = path.read_bytes()
        if len(data) > BYTES_MAX:
            message = f"must have at most {BYTES_MAX:,} bytes (got {len(data):,})"
            raise ScenarioError([Problem(label, None, "", message)])
        return label, data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"is not UTF-8 text (byte {data[error.start]:#04x})"
        raise ScenarioError([Problem(label, line, "", message)]) from None
    except (OSError, ValueError) as error:
        if isinstance(error, ScenarioError):
            raise
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ScenarioError([Problem(label, None, "", message)]) from None


def _neighbour(given: str) -> str:
    """A hint at the file that was meant."""
    folder = Path(given).parent
    there = [path.name for path in folder.glob("*.toml")] if folder.is_dir() else []
    close = near(Path(given).name, sorted(there))
    if close:
        return f"; did you mean {str(folder / close[0])!r}?"
    names = [path.name.removesuffix(".toml") for path in shipped()]
    close = near(Path(given).stem, names)
    if close:
        return f"; did you mean the shipped scenario {close[0]!r}?"
    return f"; shipped scenarios are {', '.join(names)}"


def _syntax_problem(name: str, text: str, error: ValueError) -> Problem:
    message = str(error)
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", message)
    if found is None:
        return Problem(name, None, "", message)
    line = int(found[1]) if found[1] else text.rstrip().count("\n") + 1
    what = message[: found.start()]
    what = what[0].lower() + what[1:]
    if not found[1]:
        what += " where the file ends: it may be cut off; complete it"
    elif "overwrite" in what or "twice" in what:
        # What tomllib calls a value is a key to people.
        what += ": the key or table is there already; leave one out"
    elif what == "invalid value":
        what += "; text is written in quotes"
    return Problem(name, line, "", f"is not TOML: {what}")
