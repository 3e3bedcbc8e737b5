"""From the tables of a file to the records of `config`, faults told in plain words.

cattrs walks the types and collects what is wrong; here is what each type accepts and
how a fault is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from math import isfinite
from typing import Any, NamedTuple, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from ...margin.presets import shown
from ..arguments import suggest
from .location import Path

LARGEST = 1e15
"""No number of a scenario may be larger: dollars and seconds stay exact in float64."""

ALIKE = 5
"""So many faults of one kind are told one by one."""

_SPECIFIC = re.compile(r"; did you mean '[^']*'\?|'[^']*'|\([^)]*\)|\S*\d\S*")
"""What differs from one message of a kind to the next: names, numbers, lists."""

KEYS_TOLD = 12
"""A table that is missing is told with its keys if they are no more than these."""


class Fault(NamedTuple):
    """Something wrong in a document: where, and what should be there instead."""

    path: Path
    message: str


def few(faults: Iterable[Fault]) -> list[Fault]:
    """The faults, but of more than ``ALIKE`` of a kind only the first and how many."""
    alike: dict[tuple[object, ...], list[Fault]] = {}
    for fault in faults:
        names = [part for part in fault.path if isinstance(part, str)]
        kind = _SPECIFIC.sub("", fault.message)
        place = (*names[:1], names[-1] if len(fault.path) > 2 else "")
        alike.setdefault((place, kind), []).append(fault)
    told = []
    for same in alike.values():
        if len(same) > ALIKE:
            path, message = same[0]
            same = [Fault(path, f"{message}; and {len(same) - 1:,} more like it")]
        told += same
    return told


def amount(value: float) -> str:
    """A number for a message, as people write it.

    >>> amount(1e9), amount(-1.0), amount(0.25)
    ('1,000,000,000', '-1', '0.25')
    """
    return f"{value:,.15g}" if abs(value) < LARGEST else f"{value:g}"


# -- WHAT EACH TYPE ACCEPTS


def _number(value: object, _: object = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number (got {shown(value)})")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"must be a finite number (got {value})")
    if abs(value) > LARGEST:
        raise ValueError(f"must be at most 1e15 (got {shown(value)})")
    return float(value)


def _whole(value: object, _: object = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        text = f"must be a whole number (got {shown(value)})"
        if isinstance(value, float) and value.is_integer():
            text += f"; write {value:.0f}"
        raise ValueError(text)
    if abs(value) > LARGEST:
        raise ValueError(f"must be at most 1e15 (got {shown(value)})")
    return value


def _text(value: object, _: object = None) -> str:
    if not isinstance(value, str):
        text = f"must be text in quotes (got {shown(value)})"
        if isinstance(value, int | float) and not isinstance(value, bool):
            text += f'; write "{shown(value)}"'
        raise ValueError(text)
    return value


def _switch(value: object, _: object = None) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false (got {shown(value)})")
    return value


def _field(value: Any, field: attrs.Attribute[Any], converter: cattrs.Converter) -> Any:
    kind: Any = field.type
    result = converter.structure(value, kind)
    if field.validator is not None:
        field.validator(None, field, result)
    return result


def _record(kind: type, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Structures a table as one class of `config`; every field's fault is found."""

    def checked(field: attrs.Attribute[Any]) -> Callable[[Any, Any], Any]:
        # In __init__ the first fault would hide those of the other fields.
        return lambda value, _: _field(value, field, converter)

    hooks: dict[str, Any] = {
        field.name: override(struct_hook=checked(field))
        for field in attrs.fields(attrs.resolve_types(kind))
        if field.init
    }
    inner: Callable[[Any, Any], Any] = make_dict_structure_fn(
        kind,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        _cattrs_use_linecache=False,
        **hooks,
    )

    def read(value: Any, type_: Any) -> Any:
        if not isinstance(value, Mapping):
            keys = ", ".join(hooks) if len(hooks) <= KEYS_TOLD else "keys and values"
            raise ValueError(f"must be a table of {keys} (got {shown(value)})")
        return inner(value, type_)

    return read


def _table(type_: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    _, kind = get_args(type_)

    def read(value: Any, _: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a table (got {shown(value)})")
        rows = ((str(key), item, kind) for key, item in value.items())
        return dict(_each(rows, converter))

    return read


def _list(type_: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    kinds = get_args(type_)
    many = kinds[-1] is Ellipsis

    def read(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"must be a list (got {shown(value)})")
        if not many and len(value) != len(kinds):
            raise ValueError(f"must be a list of {len(kinds)} (got {shown(value)})")
        expected = repeat(kinds[0]) if many else iter(kinds)
        rows = ((i, *row) for i, row in enumerate(zip(value, expected, strict=False)))
        return tuple(item for _, item in _each(rows, converter))

    return read


def _each(
    rows: Iterable[tuple[Any, Any, Any]], converter: cattrs.Converter
) -> list[tuple[Any, Any]]:
    """Structure each (key, value, type), and raise the faults of all together."""
    done, errors = [], []
    for key, value, kind in rows:
        try:
            done.append((key, converter.structure(value, kind)))
        except Exception as error:
            note = IterableValidationNote(f"item {key!r}", key, kind)
            error.__notes__ = [*getattr(error, "__notes__", []), note]
            errors.append(error)
    if errors:
        raise IterableValidationError("items", errors, dict)
    return done


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    for kind, hook in (float, _number), (int, _whole), (str, _text), (bool, _switch):
        converter.register_structure_hook(kind, hook)
    factories: list[tuple[Callable[[Any], bool], Any]] = [
        (lambda kind: get_origin(kind) in (dict, Mapping), _table),
        (lambda kind: get_origin(kind) is tuple, _list),
        (attrs.has, _record),
    ]
    for applies, factory in factories:
        converter.register_structure_hook_factory(applies, factory)
    return converter


_CONVERTER = _converter()


# -- READING


def structure(value: object, kind: Any, path: Path) -> tuple[Any, list[Fault]]:
    """The value as the type ``kind``, and everything that is wrong with it.

    With faults, what is right is kept as far as it goes, so that more can be checked:
    a record without the fields at fault, or None. ``path`` is where the value stands.
    """
    try:
        return _CONVERTER.structure(value, kind), []
    except Exception as error:
        faults = list(_faults(error, path))
    if attrs.has(kind) and isinstance(value, Mapping):
        wrong = [
            fault.path[len(path)] for fault in faults if len(fault.path) > len(path)
        ]
        rest = {key: item for key, item in value.items() if key not in wrong}
        if len(rest) < len(value):
            return structure(rest, kind, path)[0], faults
    return None, faults


def structure_field(
    value: object, field: attrs.Attribute[Any], path: Path
) -> tuple[Any, list[Fault]]:
    """The value of one field of a class, its validators included, and its faults."""
    try:
        return _field(value, field, _CONVERTER), []
    except Exception as error:
        return None, list(_faults(error, path))


def _faults(error: BaseException, path: Path) -> Iterator[Fault]:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            path = (*path, note.name)
        elif isinstance(note, IterableValidationNote):
            path = (*path, note.index)
    match error:
        case BaseValidationError():
            for inner in error.exceptions:
                yield from _faults(inner, path)
        case ForbiddenExtraKeysError():
            known = [field.name for field in attrs.fields(error.cl)]
            for key in sorted(error.extra_fields):
                text = f"{key!r} is not a key{suggest(key, known)}"
                yield Fault((*path, key), text)
        case KeyError():
            yield Fault(path, "is missing")
        case ValueError():
            yield Fault(path, _plain(error))
        case _:
            raise error


_COMPARED = re.compile(r"'\w+' must be ([<>]=?) (.*?): (.*)", re.DOTALL)
_IN_WORDS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least"}


def _plain(error: ValueError) -> str:
    """The message of a hook, or that of one of attrs' validators in its form."""
    match error.args:
        case (str(), attrs.Attribute(), options, value):
            words = [str(option) for option in options]
            return f"must be one of {', '.join(words)} (got {shown(value)})" + suggest(
                value, words, listed=0
            )
    text = str(error)
    compared = _COMPARED.fullmatch(text)
    if compared is None:
        return text
    bound, got = (_number_or_text(part) for part in compared.groups()[1:])
    return f"must be {_IN_WORDS[compared[1]]} {bound} (got {got})"


def _number_or_text(text: str) -> str:
    try:
        return amount(float(text))
    except ValueError:
        return text
