"""Cases of a sweep: grids, random points, and points that fill the space evenly."""

from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import product
from math import prod
from typing import Any, TypeGuard

import numpy as np

from ...margin.presets import shown
from ..arguments import expect, refuse, whole_number
from ..chance import Stream
from ..reading.changes import plain

POINTS_MAX = 2**20

DIMENSIONS_MAX = 1_000

DIGITS = 6
"""Significant digits of a point: a case's name is read by people."""

BITS = 30
"""Of a Sobol point as scipy makes it."""

Changes = dict[str, Any]

_RANGES = (
    "a table of places, each with a range or a list of values, as in "
    "{'market_makers.withdraw_at': (1.1, 2.0), 'rules.liquidation.rate_limit': [5, 50]}"
)


def grid(axes: Mapping[str, Any]) -> list[Changes]:
    """Every combination of the values at each place; the last place changes fastest.

    ValueError if a place has no values, or one twice, or there are more than 2^20
    combinations.

    >>> grid({"gateway.rate": [1, 2], "seeds": [3]})
    [{'gateway.rate': 1, 'seeds': 3}, {'gateway.rate': 2, 'seeds': 3}]
    """
    values = [_values(place, axis) for place, axis in axes.items()]
    count = prod(map(len, values))
    if count > POINTS_MAX:
        text = f"'cases' must be at most {POINTS_MAX:,} combinations (got {count:,})"
        raise ValueError(text)
    return [dict(zip(axes, chosen, strict=True)) for chosen in product(*values)]


def _values(place: str, axis: object) -> list[Any]:
    # A set has no order of its own.
    if not isinstance(axis, Iterable) or isinstance(axis, str | bytes | Mapping | Set):
        refuse(place, axis, "a list of values")
    values = [plain(value) for value in axis]
    if not values:
        raise ValueError(f"{place!r} must have one value or more (got {shown(axis)})")
    known: set[str] = set()
    for value in values:
        # Not by ==, for which 1 is True.
        before = len(known)
        known.add(repr(value))
        if len(known) == before:
            raise ValueError(f"{place!r} must have each value once (got {value} twice)")
    return values


def random_design(places: Mapping[str, Any], n: int, *, seed: int = 0) -> list[Changes]:
    """Draw cases at random: each place's value evenly over its range or list.

    A tuple of two numbers is a range; if both are whole, so are the values, and both
    ends may come. A list is a choice. Values have six significant digits. A place's
    values do not depend on the other places.

    >>> random_design({"market_makers.withdraw_at": (1.0, 2.0)}, 2, seed=1)
    [{'market_makers.withdraw_at': 1.32367}, {'market_makers.withdraw_at': 1.70632}]
    """
    count = whole_number("n", n, 1, POINTS_MAX, f"1 to {POINTS_MAX:,}")
    names, streams = _streams(places, seed)
    return _cases(places, names, [stream.uniform(count) for stream in streams])


def sobol_design(places: Mapping[str, Any], n: int, *, seed: int = 0) -> list[Changes]:
    """Make cases that fill the ranges evenly: Sobol points, shifted by the seed.

    As `random_design`; ``n`` is a power of two. The points are those of scipy, their
    bits flipped at random, place by place, which leaves them as even as they were
    (Owen, Randomly permuted (t,m,s)-nets, 1995). ImportError without scipy.
    """
    names, streams = _streams(places, seed)
    count = whole_number("n", n, 1, POINTS_MAX, f"1 to {POINTS_MAX:,}")
    if count & (count - 1):
        low = 1 << (count.bit_length() - 1)
        text = f"'n' must be a power of two, such as {low} or {2 * low} (got {count})"
        raise ValueError(text)
    try:
        from scipy.stats import qmc
    except ImportError as error:
        text = "Sobol designs need scipy: pip install 'flashwick[lab]'"
        raise ImportError(text) from error
    points = qmc.Sobol(len(names), scramble=False, bits=BITS).random(count)
    whole = np.asarray(points * 2.0**BITS, np.int64)
    flips = [int(stream.integers(1, 1 << BITS)[0]) for stream in streams]
    even = ((whole ^ np.array(flips, np.int64)) + 0.5) * 2.0**-BITS
    return _cases(places, names, list(even.T))


def _streams(places: object, seed: object) -> tuple[list[str], list[Stream]]:
    expect("places", places, Mapping, _RANGES)
    assert isinstance(places, Mapping)
    number = whole_number("seed", seed, 0, 2**63 - 1, "0 to 2^63-1")
    if not 0 < len(places) <= DIMENSIONS_MAX:
        text = f"'places' must be 1 to {DIMENSIONS_MAX:,} places (got {len(places)})"
        raise ValueError(text)
    for place, values in places.items():
        expect("places", place, str, _RANGES)
        _check(place, values)
    names = list(places)
    return names, [Stream(number, f"design {name}") for name in names]


def _check(place: str, values: object) -> None:
    if isinstance(values, list):
        _values(place, values)
    elif not _is_range(values):
        told = "a range (low, high) of two numbers, low below high, or a list of values"
        raise ValueError(f"{place!r} must be {told} (got {shown(values)})")


def _is_range(values: object) -> TypeGuard[tuple[float, float]]:
    # NaN is below nothing.
    return (
        isinstance(values, tuple)
        and len(values) == 2
        and all(isinstance(v, int | float | np.number) for v in values)
        and not any(isinstance(v, bool) for v in values)
        and bool(np.isfinite(values).all())
        and bool(values[0] < values[1])
    )


def _cases(
    places: Mapping[str, Any], names: Sequence[str], columns: Sequence[Any]
) -> list[Changes]:
    found = [
        [_at(places[name], float(u)) for u in column]
        for name, column in zip(names, columns, strict=True)
    ]
    return [
        dict(zip(names, values, strict=True)) for values in zip(*found, strict=True)
    ]


def _at(values: Any, u: float) -> Any:
    """The value at a share from 0 to 1 of a range or a list."""
    if isinstance(values, list):
        return plain(values[int(u * len(values))])
    low, high = values
    if all(isinstance(end, int | np.integer) for end in values):
        return int(low) + int(u * (int(high) - int(low) + 1))
    return float(f"{float(low) + u * (float(high) - float(low)):.{DIGITS}g}")
