"""One-line changes of a scenario: ``oracles.WBETH.policy`` to ``redemption``.

A place is keys joined by dots; a key with a dot in it is quoted, the items of a list
have numbers from 0, and ``*`` is every entry of a table or list. Without the name of an
entry, as in ``market_makers.withdraw_at``, every one is meant too.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import attrs
import numpy as np

from ...margin.presets import nearest, shown
from ...margin.prices import IndexRule
from ...margin.rules import GROUPS, TABLES
from ..arguments import suggest
from ..config import Scenario
from .draft import GIVEN
from .location import Path
from .structure import Fault

EVERY = "*"
"""The key that stands for every entry."""

_PART = re.compile(r'"([^"]*)"|\'([^\']*)\'|([^."\'\s]+)')


class ChangeError(ValueError):
    """A change that cannot be made: a place that is not there."""


def split_path(text: str) -> tuple[str, ...]:
    """The keys of a place; ChangeError if it is none.

    >>> split_path('markets."ATOM/USDT".price_band')
    ('markets', 'ATOM/USDT', 'price_band')
    """
    parts, at = [], 0
    while found := _PART.match(text, at):
        parts.append(next(group for group in found.groups() if group is not None))
        at = found.end() + 1
        if found.end() == len(text):
            return tuple(parts)
        if text[found.end()] != ".":
            break
    raise ChangeError(
        f"{shown(text)} is not a place; write keys joined by dots, those with dots in "
        "them in quotes, as in oracles.WBETH.policy"
    )


def join_path(path: Path) -> str:
    """A place as text, what `split_path` reads.

    >>> join_path(("shocks", 0, "usd")), join_path(("markets", "ATOM/USDT"))
    ('shocks.0.usd', 'markets."ATOM/USDT"')
    """
    return ".".join(
        str(part) if re.fullmatch(r"[\w*-]+", str(part)) else f'"{part}"'
        for part in path
    )


def parse_assignment(text: str) -> tuple[str, Any]:
    """The place and the value of ``place=value``, the value read as TOML.

    Bare words are text, and so is any value where the scenario has text. Nothing
    after the sign is None, which removes the key.

    >>> parse_assignment("oracles.WBETH.policy=redemption")
    ('oracles.WBETH.policy', 'redemption')
    >>> parse_assignment("shocks.0.usd=2e6"), parse_assignment("shocks.0.qty=10")
    (('shocks.0.usd', 2000000.0), ('shocks.0.qty', '10'))
    """
    place, sign, word = text.partition("=")
    place, word = place.strip(), word.strip()
    if not sign:
        raise ChangeError(f"{shown(text)} is not a change; write place=value")
    path = split_path(place)
    if not word:
        return place, None
    try:
        read = tomllib.loads(f"value = {word}")
    except (ValueError, RecursionError):
        read = {}
    value = read["value"] if list(read) == ["value"] else word
    if _kind_at(_spelled_out(path)) is str and not isinstance(value, str):
        return place, word
    return place, value


def change(
    document: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Fault]]:
    """A copy of the document with the changes made, and what could not be done."""
    result = deepcopy(dict(document))
    faults = []
    for text, value in changes.items():
        path: Path = (text,)
        try:
            whole = isinstance(value, Mapping)
            path = _spelled_out(split_path(text), result, whole=whole)
            # From the end: removing an item of a list moves those after it.
            for container, key in reversed(list(_targets(result, path, value))):
                if value is not None:
                    container[key] = plain(value)
                elif isinstance(container, list) or key in container:
                    del container[key]
        except ChangeError as error:
            faults.append(Fault(path, str(error)))
    return result, faults


def covers(change: str, path: Path) -> bool:
    """Whether what stands at the path was set by the change."""
    try:
        parts = split_path(change)
    except ChangeError:
        return path == (change,)
    return _starts(parts, path) or _starts(_spelled_out(parts), path)


def _starts(parts: Path, path: Path) -> bool:
    same = (part in (EVERY, str(key)) for part, key in zip(parts, path, strict=False))
    return len(parts) <= len(path) and all(same)


def plain(value: Any) -> Any:
    """The value as tomllib would have read it: NumPy's numbers, tuples and all."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    return value


# -- WHERE


# The rules of a venue, as `Rules.build` reads them, in the form of a class.
_RULES = attrs.make_class(
    "Rules",
    {"preset": attrs.field(type=str)}
    | {name: attrs.field(type=kind) for name, kind in GROUPS.items()}
    | {name: attrs.field(type=dict[str, Any]) for name in TABLES},
)


def _spelled_out(
    path: Path, document: Mapping[str, Any] | None = None, *, whole: bool = False
) -> Path:
    """The place with `EVERY` where a key stands that entries have, and not their name.

    An entry that has such a name, in the document if one is given, is meant itself;
    so is a new one, given ``whole``, if a table cannot be the value of such a key.
    """
    parts: list[str | int] = []
    kind: Any = Scenario
    table: Any = document
    for depth, part in enumerate(path):
        last = depth == len(path) - 1 and not whole
        named = isinstance(table, Mapping) and part in table
        if not named and _has_for_all(kind, part, last=last):
            parts.append(EVERY)
            kind, table = _inner(kind, EVERY), None
        parts.append(part)
        kind = _inner(kind, part)
        table = table.get(part) if isinstance(table, Mapping) else None
    return tuple(parts)


def _has_for_all(kind: Any, key: Any, *, last: bool) -> bool:
    """Whether a table's entries have the key, and what a place goes on to in it."""
    entry = _inner(kind, key)
    # Rules of indices are named by assets, which a file need not list.
    if get_origin(kind) is not dict or not attrs.has(entry) or entry is IndexRule:
        return False
    field = _inner(entry, key)
    goes_on = attrs.has(field) or get_origin(field) is not None
    return key in attrs.fields_dict(entry) and (last or goes_on)


def _targets(
    root: dict[str, Any], path: Path, value: object
) -> Iterator[tuple[Any, Any]]:
    """Each table or list and the key or number in it that the place means.

    Tables on the way that are not in the file, but may be, are made.
    """
    reached: list[tuple[Any, Any]] = [(root, Scenario)]
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        after = []
        for container, kind in reached:
            for key in _keys(container, part, path[:depth]):
                if isinstance(container, dict):
                    whole = last and isinstance(value, Mapping)
                    _check_key(container, kind, key, whole=whole)
                if last:
                    yield container, key
                    continue
                if isinstance(container, dict):
                    container.setdefault(key, {})
                after.append((container[key], _inner(kind, key)))
        reached = after


def _keys(container: Any, part: str | int, at: Path) -> list[Any]:
    where = join_path(at)
    if not isinstance(container, dict | list):
        raise ChangeError(f"{where} is {shown(container)}, which has no keys")
    every = list(container) if isinstance(container, dict) else range(len(container))
    if part == EVERY:
        if not every:
            raise ChangeError(f"{where} has no entries that '*' could mean")
        return list(every)
    if isinstance(container, dict):
        return [part]
    number = str(part)
    if not number.isdecimal() or int(number) >= len(container):
        known = f"0 to {len(container) - 1}" if container else "none: it is empty"
        raise ChangeError(f"{where} has items {known} (got {number!r})")
    return [int(number)]


def _check_key(table: dict[str, Any], kind: Any, key: str, *, whole: bool) -> None:
    entry = _inner(kind, key)
    if attrs.has(kind):
        known = list(attrs.fields_dict(kind))
        if key not in known:
            near = suggest(key, known)
            if kind is Scenario:
                near = GIVEN.get(key) or _within(key) or near
            raise ChangeError(f"{key!r} is not a key{near}")
    # Names that the file gives: a new one would be a table of defaults that nobody
    # asked for, unless it is given whole. (Rules of indices are named by assets.)
    elif attrs.has(entry) and entry is not IndexRule and key not in table and not whole:
        fields = attrs.fields_dict(entry)
        field = "" if key in fields or nearest(key, table) else nearest(key, fields)
        names = suggest(key, table) or "; there are none in the scenario"
        raise ChangeError(f"{key!r} is not there{field}{names}")


def _within(key: str) -> str:
    """Tables of a scenario that have the key, as a question, if they are few."""
    found = []
    for name in attrs.fields_dict(Scenario):
        kind = _inner(Scenario, name)
        entry = kind if attrs.has(kind) else _inner(kind, "")
        # Items of a list are reached by their number alone.
        listed = get_origin(kind) is tuple
        if attrs.has(entry) and not listed and key in attrs.fields_dict(entry):
            found.append(f"{name}.{key}")
    return f"; did you mean {' or '.join(found)}?" if 0 < len(found) < 4 else ""


def _inner(kind: Any, key: Any) -> Any:
    """Type of what stands at the key of a value of this type."""
    if attrs.has(kind):
        if kind is Scenario and key == "rules":
            return _RULES
        field = attrs.fields_dict(attrs.resolve_types(kind)).get(key)
        return _bare(field.type) if field else Any
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        single = arguments[-1] is Ellipsis or not isinstance(key, int)
        return arguments[0 if single else key]
    return _bare(arguments[1]) if len(arguments) == 2 else Any


def _bare(kind: Any) -> Any:
    """The type without its ``| None``."""
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not NoneType]
        return kinds[0] if len(kinds) == 1 else Any
    return kind


def _kind_at(path: Path) -> Any:
    kind: Any = Scenario
    for part in path:
        kind = _inner(kind, part)
    return kind
