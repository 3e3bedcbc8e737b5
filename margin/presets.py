"""Files of parameters, each with its evidence, and how their faults are told."""

import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

import attrs

GRADES = {
    "O": "official document or API text",
    "C": "protocol source code",
    "A": "archived official document",
    "3": "third-party report",
    "M": "from memory or convention",
    "E": "estimate",
    "S": "set by the scenario",
}
"""What the grade of a parameter's evidence means."""


MISSING = "is missing"
"""What is said of a rule that a file should state."""

Problems = list[tuple[str, str]]
"""Path and message of each fault."""


class RulesError(ValueError):
    """Rules that cannot be used; ``problems`` lists (path, message) of each fault."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        """Keep the problems and say them one a line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {text}" for path, text in self.problems))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[tuple[str, str], ...]]]:
        """Cross a process boundary with the problems intact."""
        return type(self), (self.problems,)


def near(word: object, words: Iterable[str]) -> list[str]:
    """The right words that a wrong one may stand for, whatever its capitals.

    The nearest, or those, three at most, that hold the whole of it.

    >>> near("REDEMTION", ["mix", "redemption"])
    ['redemption']
    """
    known, text = list(words), str(word).lower()
    lower = {name.lower(): name for name in reversed(known)}
    close = [lower[name] for name in get_close_matches(text, lower, 1)]
    if not close and len(text) > 2:
        close = [name for name in known if text in name.lower()][:3]
    return close


def nearest(word: object, words: Iterable[str]) -> str:
    """The end of an error message: the nearest right word, or nothing.

    >>> nearest("taker", ["spot_maker_ppm", "spot_taker_ppm", "perpetual_taker_ppm"])
    "; did you mean 'spot_taker_ppm' or 'perpetual_taker_ppm'?"
    """
    close = near(word, words)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def suggest(word: object, words: Iterable[str], *, listed: int = 12) -> str:
    """As `nearest`, and behind it all right words if they are few.

    >>> suggest("tik", ["tick", "lot"])
    "; did you mean 'tick'? (tick, lot)"
    >>> suggest("x", [])
    ''
    """
    known = list(words)
    listing = f" ({', '.join(known)})" if 0 < len(known) <= listed else ""
    return nearest(word, known) + listing


def shown(value: object) -> str:
    """A value as messages show it: one line, cut short where it is long.

    >>> shown([0.5, "BTC"]), len(shown(10**1000))
    ("[0.5, 'BTC']", 80)
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


class Evidence(NamedTuple):
    """Where a parameter's value comes from; the grades are explained in `GRADES`."""

    grade: str
    source: str


class Leaf(NamedTuple):
    """A parameter as read: not yet checked."""

    value: object
    evidence: Evidence


def presets() -> tuple[str, ...]:
    """Names of the shipped presets."""
    folder = files(__package__) / "data" / "presets"
    names = [entry.name for entry in folder.iterdir()]
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def document(name: str) -> dict[str, Any]:
    """The file of a preset as read, shared; RulesError for an unknown name."""
    known = presets()
    if not isinstance(name, str) or name not in known:
        text = f"must be one of {', '.join(known)} (got {shown(name)})"
        hint = nearest(name, known) or "; a file is named with its ending .toml"
        raise RulesError([("preset", text + hint)])
    return _shipped(name)


@cache
def _shipped(name: str) -> dict[str, Any]:
    path = files(__package__) / "data" / "presets" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def names_file(source: str | PathLike[str]) -> bool:
    """Whether this is the path of a venue's file, not the name of a preset.

    >>> names_file("my-venue.toml"), names_file("binance-pm")
    (True, False)
    """
    return not isinstance(source, str) or source.endswith(".toml")


def read_text(path: str | PathLike[str]) -> str:
    """The text of a file of rules; RulesError says why it cannot be read."""
    file = Path(path)
    try:
        if file.is_file():
            data = file.read_bytes()
            return data.decode("utf-8-sig")
        text = f"must be a file, and there is none{_neighbour(file)}"
        if file.exists():
            text = "must be a file, and is a directory; name a TOML file in it"
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        text = f"must be UTF-8 text (got byte {data[error.start]:#04x} in line {line})"
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}; name another file"
    raise RulesError([(str(path), text)])


def _neighbour(path: Path) -> str:
    folder = path.parent
    there = {p.stem: p.name for p in folder.glob("*.toml")} if folder.is_dir() else {}
    close = near(path.stem, sorted(there))
    if close:
        return f"; did you mean {there[close[0]]!r}?"
    return nearest(path.stem, presets()) or "; check the path"


def parse_document(file: str, text: str) -> dict[str, Any]:
    """The tables of a file of rules; RulesError if it is no TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only of its syntax: numbers of thousands of digits, endless brackets.
        raise RulesError([(file, f"must be a TOML file: {error}")]) from None


def leaves(
    tables: object,
    known: Mapping[str, Collection[str] | None],
    problems: Problems,
    sources: Mapping[str, str] | None = None,
) -> dict[str, Leaf]:
    """Every parameter of a preset or of its overrides, by path.

    ``known`` holds the keys of each group, None for tables with keys of their own.
    ``sources`` is given for a preset, where each parameter has to state its
    evidence. What cannot be read is added to ``problems``.
    """
    found: dict[str, Leaf] = {}
    if not isinstance(tables, Mapping):
        text = "must be a table of groups, as in {'fees': {'spot_taker_ppm': 0}}"
        problems.append(("overrides", f"{text} (got {shown(tables)})"))
        return found
    for group, entries in tables.items():
        if group not in known:
            text = f"is not a group of rules{_nearest_or_all(group, known)}"
            problems.append((group, text))
            continue
        if not isinstance(entries, Mapping):
            problems.append((group, f"must be a table of rules (got {shown(entries)})"))
            continue
        names = known[group]
        for key, entry in entries.items():
            name = table_key(key) if names is None else str(key)
            path = f"{group}.{name}"
            if names is not None and name not in names:
                near = _nearest_or_all(name, names)
                problems.append((path, f"is not a rule{near}"))
                continue
            if path in found:
                text = f"must be given once, in whatever capitals (got {key!r} again)"
                problems.append((path, text))
                continue
            try:
                found[path] = _leaf(entry, sources)
            except ValueError as error:
                problems.append((path, str(error)))
    return found


def _nearest_or_all(word: object, words: Iterable[str]) -> str:
    known = list(words)
    return nearest(word, known) or f" ({', '.join(known)})"


def table_key(name: object) -> str:
    """An asset or symbol as tables are keyed: in capitals, but for ``default``."""
    return "default" if name == "default" else str(name).upper()


def _leaf(entry: object, sources: Mapping[str, str] | None) -> Leaf:
    table: dict[str, Any] = {}
    if sources is None:
        table = {"grade": "S", "source": "override"}
    # A table with none of these keys is a value: a curve of several numbers.
    if isinstance(entry, Mapping) and entry.keys() & {"grade", "source", "value"}:
        table.update(entry)
    elif sources is None:
        table["value"] = entry
    if table.keys() != {"grade", "source", "value"}:
        raise ValueError(
            f"must be a table of value, grade, source (got {shown(entry)})"
        )
    grade, source = str(table["grade"]), str(table["source"])
    if grade not in GRADES:
        text = f"'grade' must be one of {', '.join(GRADES)} (got {grade!r})"
        raise ValueError(text)
    return Leaf(table["value"], Evidence(grade, _source(source, sources or {})))


def _source(text: str, sources: Mapping[str, str]) -> str:
    # A key of [sources], or one with a note: "page: what it says".
    key, _, note = text.partition(": ")
    if key not in sources:
        return text
    return f"{sources[key]}: {note}" if note else sources[key]


# -- VALUES -----------------------------------------------------------------------


def read_group(
    name: str,
    kind: type,
    found: Mapping[str, Leaf],
    problems: Problems,
) -> dict[str, Any]:
    """The values of a group's fields, as far as they are right."""
    values = {}
    for field in attrs.fields(kind):
        path = f"{name}.{field.name}"
        if path not in found:
            if field.default is attrs.NOTHING:
                problems.append((path, MISSING))
            continue
        try:
            values[field.name] = field.metadata["parse"](found[path].value)
        except ValueError as error:
            problems.append((path, str(error)))
    return values


def read_table(
    name: str,
    parse: Callable[[object], Any],
    found: Mapping[str, Leaf],
    problems: Problems,
    *,
    needs_default: bool,
) -> dict[str, Any]:
    """The entries of a table, as far as they are right."""
    prefix = name + "."
    entries = {
        path.removeprefix(prefix): leaf.value
        for path, leaf in found.items()
        if path.startswith(prefix)
    }
    if needs_default and "default" not in entries:
        problems.append((f"{prefix}default", MISSING))
    read = {}
    for key in entries:
        try:
            read[key] = parse(_followed(key, entries))
        except ValueError as error:
            problems.append((prefix + key, str(error)))
    return read


def _followed(key: str, entries: Mapping[str, object]) -> object:
    # A word takes the value of the entry it names, however many steps away.
    way, value = [key], entries[key]
    while isinstance(value, str) and value != "none":
        way.append(table_key(value))
        if way[-1] not in entries:
            text = (
                f"must be a schedule or name an entry that has one (got {shown(value)})"
            )
            raise ValueError(text + nearest(value, entries))
        if way[-1] in way[:-1]:
            text = f"leads back to itself: {' -> '.join(way)}"
            raise ValueError(f"{text}; give one of them a value of its own")
        value = entries[way[-1]]
    return value


def missing_as_one(problems: Problems) -> Problems:
    """The problems, with one in place of all that a file lacks that is like no other.

    The tables of risk units, that belong together, are fewer and stay as they are.
    """
    missing = [path for path, text in problems if text == MISSING]
    if len(missing) < 9:
        return problems
    text = (
        f"must name a preset whose rules hold for the rest ({', '.join(presets())}), "
        f"or the file must state every rule (it lacks {len(missing)}, as in "
        f"{', '.join(missing[:3])})"
    )
    return [("like", text), *(problem for problem in problems if problem[1] != MISSING)]
