"""Draws from the distributions that a scenario names."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..chance import Floats, Stream
from ..kinds import Distribution
from .location import Path
from .structure import Fault, amount

DRAWN_FROM = {
    "fixed": ("value",),
    "uniform": ("least", "most"),
    "lognormal": ("median", "spread", "most"),
    "pareto": ("least", "exponent", "most"),
}
"""What each kind of distribution takes beside ``kind``."""


def draw(stream: Stream, n: int, distribution: Distribution) -> Floats:
    """Return n draws of a distribution.

    >>> law = Distribution(kind="uniform", least=2.0, most=3.0)
    >>> draws = draw(Stream(0, "example"), 1000, law)
    >>> bool(2.0 <= draws.min() < draws.max() < 3.0)
    True
    """
    least, most = distribution.least or 0.0, distribution.most or 0.0
    if distribution.kind == "fixed":
        return np.full(n, distribution.value or 0.0)
    if distribution.kind == "uniform":
        return np.asarray(least + (most - least) * stream.uniform(n))
    if distribution.kind == "lognormal":
        median, spread = distribution.median or 0.0, distribution.spread or 0.0
        return np.minimum(stream.lognormal(n, median, spread), most)
    tail = stream.pareto(n, distribution.exponent or 1.0)
    return np.minimum(least * tail, most)


def choices(
    stream: Stream, shape: tuple[int, int], weights: Floats
) -> NDArray[np.int64]:
    """Return so many different choices, rows, for each of so many, by weight.

    >>> both = choices(Stream(0, "example"), (2, 1000), np.array([1.0, 2.0, 3.0]))
    >>> bool((both[0] != both[1]).all())
    True
    """
    ends = np.cumsum(weights)
    starts = ends - weights
    found = np.empty(shape, np.int64)
    for k in range(shape[0]):
        # On a line without the pieces of those chosen before.
        before = np.sort(found[:k], axis=0)
        left = ends[-1] - weights[before].sum(axis=0)
        point = stream.uniform(shape[1]) * left
        for taken in before:
            point += np.where(point >= starts[taken], weights[taken], 0.0)
        chosen = np.searchsorted(ends, point, side="right")
        found[k] = np.minimum(chosen, len(weights) - 1)
    return found


def distribution_faults(drawn: Distribution, path: Path) -> Iterator[Fault]:
    """What is missing in a distribution, out of place, or out of order."""
    wanted = DRAWN_FROM[drawn.kind]
    for key in ("value", "least", "most", "median", "spread", "exponent"):
        given = getattr(drawn, key) is not None
        if key in wanted and not given:
            yield Fault((*path, key), f"must be given for a {drawn.kind} distribution")
        elif given and key not in wanted:
            text = f"does not apply to a {drawn.kind} distribution"
            yield Fault((*path, key), f"{text} ({', '.join(wanted)})")
    key = "median" if drawn.kind == "lognormal" else "least"
    low = getattr(drawn, key)
    if drawn.most is not None and low is not None and drawn.most < low:
        text = f"must be at least {key}, {amount(low)} (got {amount(drawn.most)})"
        yield Fault((*path, "most"), text)
