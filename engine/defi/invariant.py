"""The invariant of stableswap pools, in the contracts' integers and in floats.

``A·n^n·S + D = A·n^n·D + D^(n+1) / (n^n·Πx)``; the contracts' ``A`` already includes
``n^(n-1)``, so that what is called ``ann`` here is ``A·n``.

Sources: curvefi/curve-contract 574f4402 (3pool, base template), stableswap-ng 2abe778f.
"""

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from .protocol import Refused, require

ROUNDS_MAX = 255
"""Newton steps after which the contracts give up; 4 to 8 are usual."""


class Amplifier(NamedTuple):
    """``A·n`` times its precision, the precision, and which contract's rounding.

    ``divide_last``: powers of D are multiplied up and divided by ``n^n`` once, as the
    newest pools do; else each product is divided by ``n`` at once.
    """

    ann: int
    precision: int = 1
    divide_last: bool = False


def invariant(balances: Sequence[int], amp: Amplifier) -> int:
    """D of the balances, to within one; 0 if all are.  O(n) a step."""
    n, total = len(balances), sum(balances)
    if total == 0:
        return 0
    require(min(balances) > 0, "balances", "all be above 0 to trade", balances)
    ann, precision, d = amp.ann, amp.precision, total
    for _ in range(ROUNDS_MAX):
        product = d
        for x in balances:
            product = product * d // (x if amp.divide_last else x * n)
        if amp.divide_last:
            product //= n**n
        last = d
        top = (ann * total // precision + product * n) * d
        d = top // ((ann - precision) * d // precision + (n + 1) * product)
        if abs(d - last) <= 1:
            return d
    raise Refused(f"'balances' must have an invariant (got {balances})")


def balance_for(others: Sequence[int], d: int, amp: Amplifier) -> int:
    """The balance that keeps D, given all the others, to within one."""
    n = len(others) + 1
    require(min(others) > 0, "balances", "all be above 0 to trade", others)
    c = d
    for x in others:
        c = c * d // (x * n)
    c = c * d * amp.precision // (amp.ann * n)
    b = sum(others) + d * amp.precision // amp.ann
    y = d
    for _ in range(ROUNDS_MAX):
        last = y
        y = (y * y + c) // (2 * y + b - d)
        if abs(y - last) <= 1:
            return y
    raise Refused(f"'balances' must have an invariant (got {others})")


def float_invariant(balances: Sequence[float], amp: Amplifier) -> float:
    """`invariant` in float64."""
    n, total = len(balances), fsum(balances)
    ann, d = amp.ann / amp.precision, total
    for _ in range(ROUNDS_MAX):
        product = d
        for x in balances:
            product *= d / (x * n)
        last = d
        d *= (ann * total + product * n) / ((ann - 1.0) * d + (n + 1) * product)
        if abs(d - last) <= 1e-15 * d:
            break
    return d


def float_balance_for(others: Sequence[float], d: float, amp: Amplifier) -> float:
    """`balance_for` in float64."""
    n, ann = len(others) + 1, amp.ann / amp.precision
    c = d
    for x in others:
        c *= d / (x * n)
    c *= d / (ann * n)
    b = fsum(others) + d / ann - d
    y = d
    for _ in range(ROUNDS_MAX):
        last = y
        y = (y * y + c) / (2.0 * y + b)
        if abs(y - last) <= 1e-15 * y:
            break
    return y


def marginal_price(balances: Sequence[int], i: int, j: int, amp: Amplifier) -> float:
    """Units of ``j`` for one more unit of ``i``, before fees.

    ``(Ann + P/x_i) / (Ann + P/x_j)`` with ``P = D^(n+1) / (n^n·Πx)``.
    """
    floats = [float(x) for x in balances]
    d = float_invariant(floats, amp)
    n, ann, product = len(floats), amp.ann / amp.precision, d
    for x in floats:
        product *= d / (x * n)
    return (ann + product / floats[i]) / (ann + product / floats[j])
