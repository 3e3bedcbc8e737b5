"""The cases of a sweep: what is changed in each, its name, what columns show of it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from ...margin.presets import shown
from ..arguments import refuse
from ..reading.changes import plain
from ..reading.switches import combined
from ..scenario import LoadedScenario, ScenarioError
from .designs import grid
from .kept import key_of

VARIATION = "variation"
"""A place of a grid whose values are names of variations; None is the base."""

WITHOUT = "without"
"""One whose values are mechanisms that are switched off, a name or several."""

AS_IT_STANDS = "as it stands"

TRIES = 8
"""So many cases with a value are tried before it is refused."""

TOLD = (
    "a grid, as in {'rules.liquidation.rate_limit': [None, 50, 10]}, or a list of "
    "cases, each what it changes or the name of a variation"
)


@frozen
class Case:
    """One case: its name, what it changes, and the values that its columns show."""

    name: str
    changes: Mapping[str, Any]
    shown: Mapping[str, Any]


def cases_of(scenario: LoadedScenario, given: object) -> tuple[Case, ...]:
    """The cases that were asked for; each place and value of them was tried.

    TypeError, ValueError or ScenarioError for what cannot be swept.
    """
    if isinstance(given, Mapping):
        for place in given:
            if not isinstance(place, str):
                refuse("cases", place, TOLD)
        if given and all(isinstance(value, Mapping) for value in given.values()):
            cases = [Case(name, *_changes(scenario, v)) for name, v in given.items()]
        else:
            cases = [_named(*_changes(scenario, values)) for values in _grid(given)]
    elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
        cases = [_one(scenario, item) for item in given]
    else:
        refuse("cases", given, TOLD)
    if not cases:
        raise ValueError(f"'cases' must be {TOLD} (got {shown(given)})")
    _expect_different(cases)
    _try(scenario, cases)
    return tuple(_with_own_names(cases))


def _grid(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not given:
        raise ValueError(f"'cases' must be {TOLD} (got {{}})")
    return grid(given)


def _one(scenario: LoadedScenario, item: object) -> Case:
    if isinstance(item, str):
        return Case(item, _variation(scenario, item), {})
    if not isinstance(item, Mapping):
        refuse("cases", item, TOLD)
    return _named(*_changes(scenario, item))


def _changes(
    scenario: LoadedScenario, values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the values change, and the values as columns show them."""
    changes: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    for place, value in values.items():
        if not isinstance(place, str):
            refuse("place", place, "text, as in 'gateway.rate'")
        if place == VARIATION:
            if value is not None:
                changes |= _variation(scenario, value)
            columns[place] = value
        elif place == WITHOUT:
            names = _names(value)
            changes |= _without(scenario, names)
            columns[place] = ", ".join(names) or None
        else:
            changes[place] = columns[place] = plain(value)
    return changes, columns


def _variation(scenario: LoadedScenario, name: object) -> dict[str, Any]:
    if not isinstance(name, str):
        refuse(VARIATION, name, "the name of a variation, or None")
    scenario.variation(name)
    return dict(scenario.config.variations[name])


def _without(scenario: LoadedScenario, names: Sequence[str]) -> dict[str, Any]:
    scenario.without(*names)
    return combined(scenario.config.switches, dict.fromkeys(names))


def _names(value: object) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if names is None:
        return []
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) for name in names
    ):
        refuse(WITHOUT, value, "the name of a mechanism, a list of such, or None")
    return list(names)


def _named(changes: dict[str, Any], columns: dict[str, Any]) -> Case:
    words = [_word(place, value) for place, value in columns.items()]
    name = ", ".join(word for word in words if word)
    return Case(name or AS_IT_STANDS, changes, columns)


def _word(place: str, value: object) -> str:
    if place == VARIATION:
        return str(value or "")
    if place == WITHOUT:
        return f"without {value}" if value else ""
    return f"{place}={value}"


def _with_own_names(cases: Sequence[Case]) -> Iterable[Case]:
    """The cases, those whose names are the same with numbers behind."""
    count = Counter(case.name for case in cases)
    seen: Counter[str] = Counter()
    for case in cases:
        seen[case.name] += 1
        if count[case.name] > 1:
            case = evolve(case, name=f"{case.name} #{seen[case.name]}")
        yield case


def _expect_different(cases: Sequence[Case]) -> None:
    known: dict[str, int] = {}
    for number, case in enumerate(cases):
        first = known.setdefault(key_of(case.changes, 0), number)
        if first != number:
            raise ValueError(
                f"'cases' must differ; {number} changes what {first} does "
                f"({case.name}), counted from 0"
            )


def _try(scenario: LoadedScenario, cases: Sequence[Case]) -> None:
    """Refuse a value that is wrong in whatever case; one that is so with some is not.

    Not all cases are tried: combinations that cannot be are told by their replays.
    """
    having: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        for pair in _pairs(case):
            having.setdefault(pair, []).append(case)
    good: set[tuple[str, str]] = set()
    for pair, those in having.items():
        if pair not in good:
            good.update(_pairs(_first_good(scenario, those[:TRIES])))


def _first_good(scenario: LoadedScenario, cases: Iterable[Case]) -> Case:
    wrong = None
    for case in cases:
        try:
            scenario.vary(case.changes)
        except ScenarioError as error:
            wrong = wrong or error
        else:
            return case
    assert wrong is not None
    raise wrong


def _pairs(case: Case) -> list[tuple[str, str]]:
    return [(place, repr(value)) for place, value in case.changes.items()]
