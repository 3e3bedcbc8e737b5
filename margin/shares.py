"""Dividing a whole number among many: in proportion, under caps, to the last unit."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["spread"]

Integers = NDArray[np.int64]


def spread(total: int, weights: ArrayLike, caps: ArrayLike) -> Integers:
    """Divide a total in proportion to weights, none getting more than its cap.

    What caps hold back goes to the others, in proportion again; those without weight
    come in only when all with weight are full, in proportion to their caps. Shares are
    whole and sum to ``min(total, sum(caps))``: floors, then one more each by largest
    remainder, the earlier of equals first. Weights and caps are below 2**63. O(n) for
    each round in which caps are met.

    >>> spread(10, [12, 7, 5], [12, 7, 5]).tolist()
    [5, 3, 2]
    >>> spread(10, [12, 7, 5], [2, 7, 5]).tolist()
    [2, 5, 3]
    """
    caps = np.asarray(caps, np.int64)
    shares = np.zeros(len(caps), np.int64)
    left = min(total, _sum(caps))
    left = _fill(left, np.asarray(weights, np.int64), caps, shares)
    if left:
        room = caps - shares
        more = np.zeros_like(shares)
        _fill(left, room, room, more)
        shares += more
    return shares


def _fill(left: int, weights: Integers, caps: Integers, shares: Integers) -> int:
    """Divide among those with weight; return what their caps left over."""
    rest = np.flatnonzero((weights > 0) & (caps > 0))
    while left and len(rest):
        parts, odd = _portions(left, weights[rest])
        full = parts >= caps[rest]
        if not full.any():
            extra = left - _sum(parts)
            shares[rest] = parts
            shares[rest[_largest(odd, extra)]] += 1
            return 0
        # Who is full at this level is so at the higher one that is left to the others.
        shares[rest[full]] = caps[rest[full]]
        left -= _sum(caps[rest[full]])
        rest = rest[~full]
    return left


def _portions(left: int, weights: Integers) -> tuple[Integers, Integers]:
    """What is left in proportion to weights: floors and remainders, exact."""
    pool = _sum(weights)
    if max(left, pool) >= 1 << 62 or left * int(weights.max()) >= 1 << 110:
        whole = weights.astype(object) * left
        return whole // pool, whole % pool
    # A guess whose relative error is below 2**-50 leaves a remainder below 2**63:
    # products that wrap give it exactly, and it says by how much the guess was off.
    parts = (weights * (left / pool)).astype(np.int64)
    odd = weights * left - parts * pool
    off = odd // pool
    return parts + off, odd - off * pool


def _largest(odd: Integers, n: int) -> Integers:
    """Where the n largest are, the earlier of equals first."""
    if n == 0:
        return np.empty(0, np.int64)
    least = np.partition(odd, len(odd) - n)[len(odd) - n]
    above = np.flatnonzero(odd > least)
    return np.append(above, np.flatnonzero(odd == least)[: n - len(above)])


def _sum(numbers: Integers) -> int:
    """The sum of numbers, none of them below zero, whatever its size."""
    exact = numbers.sum(dtype=float) < 2.0**62
    return int(numbers.sum()) if exact else sum(numbers.tolist())
