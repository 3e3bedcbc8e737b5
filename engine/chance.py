"""Random streams that give the same numbers on every machine.

Only raw 64-bit draws are taken from NumPy, which does not promise the streams of its
distributions; everything else is additions and multiplications, so that no maths
library can change a run.
"""

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import chance
from ..cython_ext.chance import exp, log

__all__ = ["LN2", "Stream", "exp", "log"]

Floats = NDArray[np.float64]

LN2 = 0.6931471805599453


class Stream:
    """The random numbers of one named participant.

    A stream depends on the seed and the name alone: taking one participant away leaves
    the draws of all others as they were.
    """

    def __init__(self, seed: int, name: str) -> None:
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, key]))

    def __getstate__(self) -> dict[str, Any]:
        """Return where it is."""
        return dict(self._bits.state)

    def __setstate__(self, state: Any) -> None:
        """Go on from there."""
        # Not PCG64(): without a seed it would ask the system for one.
        self._bits = np.random.PCG64(0)
        self._bits.state = state

    def uniform(self, n: int) -> Floats:
        """Return n numbers from 0 up to, not including, 1."""
        return chance.uniform(self._bits, n)

    def skip(self, n: int) -> None:
        """Leave out n numbers, as if `uniform` had drawn them."""
        self._bits.advance(n)

    def normal(self, n: int) -> Floats:
        """Return n numbers of mean 0 and variance 1: twelve uniforms less six.

        No value lies beyond 6; nothing here depends on tails that far out.
        """
        return chance.normal(self._bits, n)

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

    def below(self, high: int) -> int:
        """Return one integer from 0 up to, not including, ``high``."""
        return int(self.integers(1, high)[0])
