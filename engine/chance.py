"""Random streams that give the same numbers on every machine.

Only raw 64-bit draws are taken from NumPy, which does not promise the streams of its
distributions; everything else is additions and multiplications, so that no maths
library can change a run.
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Stream:
    """The random numbers of one named participant.

    A stream depends on the seed and the name alone: taking one participant away leaves
    the draws of all others as they were.
    """

    def __init__(self, seed: int, name: str) -> None:
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, key]))

    def uniform(self, n: int) -> Floats:
        """Return n numbers from 0 up to, not including, 1."""
        raw = np.asarray(self._bits.random_raw(n), np.uint64) >> np.uint64(11)
        # 53 bits: as signed integers they become floats faster.
        return np.asarray(raw.view(np.int64) * 2.0**-53)

    def skip(self, n: int) -> None:
        """Leave out n numbers, as if `uniform` had drawn them."""
        self._bits.advance(n)

    def normal(self, n: int) -> Floats:
        """Return n numbers of mean 0 and variance 1: twelve uniforms less six.

        No value lies beyond 6; nothing here depends on tails that far out.
        """
        twelve = self.uniform(12 * n).reshape(12, n)
        return np.asarray(np.add.reduce(twelve, axis=0) - 6.0)

    def lognormal(self, n: int, median: float, sigma: float) -> Floats:
        """Return n numbers whose logarithm is normal."""
        return median * exp(sigma * self.normal(n))

    def exponential(self, n: int, mean: float) -> Floats:
        """Return n waiting times."""
        return -mean * log(1.0 - self.uniform(n))

    def pareto(self, n: int, exponent: float) -> Floats:
        """Return n numbers of at least 1 with a power tail."""
        return exp(log(1.0 - self.uniform(n)) * (-1.0 / exponent))

    def integers(self, n: int, high: int) -> NDArray[np.int64]:
        """Return n integers from 0 up to, not including, ``high``."""
        return (self.uniform(n) * high).astype(np.int64)


LN2 = 0.6931471805599453


def exp(x: Floats) -> Floats:
    """Return e to the power x, to some 1e-15, the same on every machine.

    >>> float(abs(exp(np.array([1.0]))[0] - 2.718281828459045)) < 1e-15
    True
    """
    x = np.clip(x, -700.0, 700.0)
    k = np.rint(x / LN2)
    r = x - k * LN2
    total = np.ones_like(r)
    for i in range(14, 0, -1):
        total = 1.0 + total * r / i
    return np.ldexp(total, k.astype(np.int64))


def log(x: Floats) -> Floats:
    """Return the natural logarithm of positive numbers, the same on every machine.

    >>> float(abs(log(np.array([10.0]))[0] - 2.302585092994046)) < 1e-15
    True
    """
    mantissa, exponent = np.frexp(x)
    low = mantissa < 0.7071067811865476
    mantissa = np.where(low, 2.0 * mantissa, mantissa)
    exponent = exponent - low
    z = (mantissa - 1.0) / (mantissa + 1.0)
    z2 = z * z
    total = np.zeros_like(z)
    for i in range(25, 0, -2):
        total = total * z2 + 1.0 / i
    return exponent * LN2 + 2.0 * z * total
