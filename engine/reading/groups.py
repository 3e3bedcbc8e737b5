"""Groups of markets: ``"@tail"`` in a list of markets, or as a key of a table of them.

They are put in place of their names before a scenario is read further, so that
nothing else has to know of them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..arguments import suggest
from .location import Path
from .structure import Fault

_NAME = re.compile(r"[\w.-]+")
_REFERENCE = re.compile(r"@([\w.-]+)(?:\[([1-9]\d*)-([1-9]\d*)?\])?")

_AS_WRITTEN = ("assets", "oracles", "rules", "targets", "universe", "variations")
"""Tables that name no list of markets, or are read when they are used."""


class Groups:
    """The groups of a scenario, each with its markets in order, and what is wrong.

    >>> groups = Groups({"big": ["BTC/USDT", "ETH/USDT"], "all": ["@big", "A/USDT"]})
    >>> groups.members["all"]
    ('BTC/USDT', 'ETH/USDT', 'A/USDT')
    """

    def __init__(self, table: object) -> None:
        self.faults: list[Fault] = []
        self.members: dict[str, tuple[str, ...]] = {}
        self._table = table if isinstance(table, Mapping) else {}
        for name in self._table:
            self._resolve(str(name), ())

    def _resolve(self, name: str, above: tuple[str, ...]) -> tuple[str, ...]:
        if name in self.members:
            return self.members[name]
        self.members[name] = ()  # what it is if it is wrong
        path: Path = ("groups", name)
        if not _NAME.fullmatch(name):
            text = f"{name!r} is not a group's name; write letters, digits, '.', '-'"
            self.faults.append(Fault(path, text))
        given = self._table[name]
        if isinstance(given, list):
            found: list[Any] = []
            for i, entry in enumerate(given):
                inner = _REFERENCE.fullmatch(entry) if isinstance(entry, str) else None
                if inner and inner[1] in (*above, name):
                    chain = " -> ".join((*above, name, inner[1]))
                    text = f"must not hold itself (got {chain})"
                    self.faults.append(Fault((*path, i), text))
                    continue
                if inner and inner[1] in self._table:
                    self._resolve(inner[1], (*above, name))
                found += self.expanded(entry, (*path, i))
            self.members[name] = tuple(dict.fromkeys(found))
        return self.members[name]

    def expanded(self, entry: Any, path: Path) -> tuple[Any, ...]:
        """What an entry of a list stands for: the markets of a group, or itself."""
        if not (isinstance(entry, str) and entry.startswith("@")):
            return (entry,)
        found = _REFERENCE.fullmatch(entry)
        if found is None:
            text = f"{entry!r} is not a group; write '@tail', '@tail[1-20]' for a part"
            self.faults.append(Fault(path, f"{text}, '@tail[21-]' for the rest"))
            return ()
        name, first, last = found.groups()
        if name not in self.members:
            words = [f"@{known}" for known in self.members]
            text = f"{'@' + name!r} is not a group of the scenario"
            near = suggest(f"@{name}", words) or "; there are none, write [groups]"
            self.faults.append(Fault(path, text + near))
            return ()
        members = self.members[name]
        if first is None:
            return members
        low, high = int(first), int(last or len(members))
        if not low <= high <= len(members):
            text = f"must be a part of the {len(members)} markets of '@{name}'"
            self.faults.append(Fault(path, f"{text} (got {entry!r})"))
        return members[low - 1 : high]


def expand(
    document: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[Path, list[int]], list[Fault]]:
    """The document with markets in place of groups, where they stood, and faults.

    The second says of each list with groups which entry of the file every market comes
    from. A market that two entries name is there once; a key of its own goes before
    that of a group.
    """
    groups = Groups(document.get("groups"))
    origins: dict[Path, list[int]] = {}
    members = {name: list(found) for name, found in groups.members.items()}
    result = {
        key: members or value
        if key == "groups"
        else value
        if key in _AS_WRITTEN
        else _walk(value, (key,), groups, origins)
        for key, value in document.items()
    }
    return result, origins, groups.faults


def _walk(
    value: Any, path: Path, groups: Groups, origins: dict[Path, list[int]]
) -> Any:
    if isinstance(value, Mapping):
        whole = {
            key: _walk(item, (*path, key), groups, origins)
            for key, item in value.items()
        }
        return _keyed(whole, path, groups) if _any_reference(whole) else whole
    if not isinstance(value, list):
        return value
    if path[-1] != "markets" or not _any_reference(value):
        return [
            _walk(item, (*path, i), groups, origins) for i, item in enumerate(value)
        ]
    rows: list[tuple[Any, int]] = []
    from_groups: set[str] = set()
    for i, entry in enumerate(value):
        found = groups.expanded(entry, (*path, i))
        if _any_reference([entry]):
            named = [market for market, _ in rows]
            found = tuple(market for market in found if market not in named)
            from_groups.update(found)
        elif str(entry) in from_groups:
            found = ()
        rows += [(market, i) for market in found]
    origins[path] = [i for _, i in rows]
    return [market for market, _ in rows]


def _keyed(table: dict[str, Any], path: Path, groups: Groups) -> dict[str, Any]:
    own = {key: item for key, item in table.items() if not _any_reference([key])}
    for key, item in table.items():
        for market in groups.expanded(key, (*path, key)) if key not in own else ():
            mine = own.setdefault(market, item)
            if isinstance(mine, dict) and isinstance(item, Mapping):
                own[market] = {**item, **mine}
    return own


def _any_reference(words: Iterable[Any]) -> bool:
    return any(isinstance(word, str) and word.startswith("@") for word in words)
