"""Dividing a whole number among many: in proportion, under caps, to the last unit."""

from collections.abc import Sequence
from fractions import Fraction

__all__ = ["spread"]


def spread(total: int, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Divide a total in proportion to weights, none getting more than its cap.

    What caps hold back goes to the others, in proportion again; those without weight
    come in only when all with weight are full, in proportion to their caps. Shares are
    whole and sum to ``min(total, sum(caps))``: floors, then one more each by largest
    remainder, the earlier of equals first. O(n log n).

    >>> spread(10, [12, 7, 5], [12, 7, 5])
    [5, 3, 2]
    >>> spread(10, [12, 7, 5], [2, 7, 5])
    [2, 5, 3]
    """
    shares = [0] * len(caps)
    left = min(total, sum(caps))
    left = _fill(left, weights, caps, shares)
    if left:
        room = [cap - share for cap, share in zip(caps, shares, strict=True)]
        more = [0] * len(caps)
        _fill(left, room, room, more)
        shares = [a + b for a, b in zip(shares, more, strict=True)]
    return shares


def _fill(
    left: int, weights: Sequence[int], caps: Sequence[int], shares: list[int]
) -> int:
    """Divide among those with weight; return what their caps left over."""
    order = [i for i in range(len(caps)) if weights[i] > 0 and caps[i] > 0]
    # Whose cap is smallest for its weight is full first, so one pass finds the full.
    order.sort(key=lambda i: Fraction(caps[i], weights[i]))
    pool = sum(weights[i] for i in order)
    full = 0
    for i in order:
        if left * weights[i] < caps[i] * pool:
            break
        shares[i] = caps[i]
        left -= caps[i]
        pool -= weights[i]
        full += 1
    rest = order[full:]
    if not rest:
        return left
    odd = {}
    for i in rest:
        shares[i], odd[i] = divmod(left * weights[i], pool)
    extra = left - sum(shares[i] for i in rest)
    for i in sorted(rest, key=lambda i: (-odd[i], i))[:extra]:
        shares[i] += 1
    return 0
