"""What few seeds say of many: means, medians, and intervals, exact where they can be.

Intervals are of 95 %. A value that is not finite is no figure and is left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from math import atan, cos, fsum, isfinite, nan, pi, sin, sqrt
from statistics import median

from attrs import evolve, frozen

CONFIDENCE = 0.95
"""What an interval is meant to hold, of all times that it is made."""

DF_MAX = 400
"""Beyond so many degrees of freedom Student's t is taken to be that of as many."""


@frozen
class Estimate:
    """A mean over seeds, with the interval that the true one is in."""

    mean: float
    low: float
    high: float
    spread: float  # standard deviation from seed to seed
    n: int

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


def estimate(values: Iterable[float]) -> Estimate:
    """The mean of some values and its interval, by Student's t.

    Of fewer than two values there is no interval: it is NaN.

    >>> found = estimate([1.0, 2.0, 3.0])
    >>> round(found.low, 3), found.mean, round(found.high, 3)
    (-0.484, 2.0, 4.484)
    """
    known = [value for value in values if isfinite(value)]
    n = len(known)
    if n == 0:
        return Estimate(nan, nan, nan, nan, 0)
    mean = fsum(known) / n
    spread = sqrt(variance(known)) if n > 1 else nan
    half = student(n - 1) * spread / sqrt(n) if n > 1 else nan
    return Estimate(mean, mean - half, mean + half, spread, n)


def crossed(table: Sequence[Sequence[float]]) -> Estimate:
    """The mean of a table, of seeds by samples that all seeds share, and its interval.

    The variances of the means of rows and of columns are added, so that what a seed
    and a sample have in common counts twice: the interval is rather too wide.
    """
    rows = [fsum(row) / len(row) for row in table]
    columns = [fsum(column) / len(column) for column in zip(*table, strict=True)]
    means = [each for each in (rows, columns) if len(each) > 1]
    found = estimate(rows)
    if not means:
        return found
    half = sqrt(fsum(variance(each) / len(each) for each in means))
    half *= student(min(map(len, means)) - 1)
    return evolve(found, low=found.mean - half, high=found.mean + half)


def variance(values: Sequence[float]) -> float:
    """The variance that a sample estimates; NaN of fewer than two values."""
    n = len(values)
    if n < 2:
        return nan
    mean = fsum(values) / n
    return fsum((value - mean) ** 2 for value in values) / (n - 1)


@cache
def student(df: int) -> float:
    """The two-sided 95 % point of Student's t.

    By the finite sums for a whole number of degrees of freedom (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 and 26.7.4), and bisection.

    >>> round(student(7), 3), round(student(30), 3)
    (2.365, 2.042)
    """
    df = min(df, DF_MAX)
    low, high = 0.0, 13.0
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        low, high = (
            (low, middle) if _within(middle, df) > CONFIDENCE else (middle, high)
        )
    return high


def _within(t: float, df: int) -> float:
    """The chance that Student's t is between -t and t."""
    angle = atan(t / sqrt(df))
    term = total = cos(angle) if df % 2 else 1.0
    for k in range(2 + df % 2, df - 1, 2):
        term *= (k - 1) / k * cos(angle) ** 2
        total += term
    if df == 1:
        total = 0.0
    total *= sin(angle)
    return total if df % 2 == 0 else 2.0 / pi * (angle + total)


def median_interval(values: Iterable[float]) -> tuple[float, float, float]:
    """An interval of the median, and the chance that it holds it, whatever the law.

    From the k-th value to the k-th last, the shortest such that holds it with at least
    95 %; if none does, from the least to the greatest. (The binomial interval that
    inverts the sign test; Conover, Practical Nonparametric Statistics, 3.2.)

    >>> median_interval([3.0, 1.0, 2.0, 5.0, 4.0, 8.0, 6.0, 7.0])
    (1.0, 8.0, 0.9921875)
    """
    known = sorted(value for value in values if isfinite(value))
    n = len(known)
    if n == 0:
        return nan, nan, nan
    chances = _fewer(n)
    k, fewer = 0, next(chances)
    while 2 * (k + 1) < n and 1.0 - 2.0 * (more := next(chances)) >= CONFIDENCE:
        k, fewer = k + 1, more
    return known[k], known[n - 1 - k], 1.0 - 2.0 * fewer


def _fewer(n: int) -> Iterator[float]:
    """Yield the chances of at most 0, 1, 2, … heads of n coins."""
    ways, total = 1, 0
    for k in range(n + 1):
        total += ways
        # Of whole numbers: as floats both are beyond the largest from 1,024 coins on.
        yield total / 2**n
        ways = ways * (n - k) // (k + 1)


def middle(values: Iterable[float]) -> float:
    """The median of what is finite; NaN of nothing."""
    known = [value for value in values if isfinite(value)]
    return float(median(known)) if known else nan


def sign_test(differences: Iterable[float]) -> float:
    """The chance that signs are as one-sided as these if neither sign were likelier.

    Two-sided and exact; differences of 0 say nothing and are left out. NaN without any.

    >>> sign_test([1.0, 2.0, 0.5, 3.0, 1.0, 1.0, 2.0, 0.0])
    0.015625
    """
    signs = [value > 0.0 for value in differences if isfinite(value) and value != 0.0]
    n = len(signs)
    if n == 0:
        return nan
    fewer = min(sum(signs), n - sum(signs))
    return min(1.0, 2.0 * next(islice(_fewer(n), fewer, None)))
