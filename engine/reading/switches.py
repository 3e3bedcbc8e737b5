"""Mechanisms that a scenario can switch off, each by itself or several together."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from .changes import EVERY, ChangeError, split_path
from .structure import Fault

Switches = Mapping[str, Mapping[str, Any]]
"""By the name of a mechanism: places and values that switch it off."""


def combined(switches: Switches, names: Iterable[str]) -> dict[str, Any]:
    """The changes that switch off all of these mechanisms.

    Of a list that several change, what all of them leave in it stays.

    >>> steps = {"sale": {"steps": ["repay", "adl"]}, "adl": {"steps": ["repay"]}}
    >>> combined(steps, ["sale", "adl"])
    {'steps': ['repay']}
    """
    changes: dict[str, Any] = {}
    for name in names:
        for place, value in switches[name].items():
            known = changes.get(place)
            if isinstance(known, list) and isinstance(value, list):
                value = [item for item in known if item in value]
            changes[place] = value
    return changes


def flaws(switches: Switches) -> Iterator[Fault]:
    """Yield switches that change nothing, or change a place that another does too."""
    for name, changes in switches.items():
        if not changes:
            text = "must have what switches it off, as in 'holders.*.enabled' = false"
            yield Fault(("switches", name), text)
    for (one, first), (other, second) in combinations(switches.items(), 2):
        for place, value in second.items():
            for known, before in first.items():
                lists = known == place and all(
                    isinstance(item, list) for item in (value, before)
                )
                if lists or (known, before) == (place, value):
                    continue
                if _touch(known, place):
                    text = f"{one!r} changes {known} as well; no place can have two"
                    yield Fault(("switches", other, place), f"{text} values")


def apart(switches: Switches) -> list[list[str]]:
    """The names in groups, as few as may be, in which no two change the same place.

    >>> apart({"a": {"x": 1}, "b": {"x": 1}, "c": {"y": 2}})
    [['a', 'c'], ['b']]
    """
    groups: list[list[str]] = []
    for name, changes in switches.items():
        for group in groups:
            if not any(changes.keys() & switches[other].keys() for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _touch(one: str, other: str) -> bool:
    # Whether one place is, or is within, the other.
    try:
        pairs = zip(split_path(one), split_path(other), strict=False)
    except ChangeError:
        return False
    return all(a == b or EVERY in (a, b) for a, b in pairs)
