"""The numbers of `flashwick.cython_ext.chance` in NumPy, for the tests to compare."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LN2 = 0.6931471805599453


def exp(x: Floats) -> Floats:
    """Return e to the power x: a power of two times a series of fourteen terms."""
    x = np.clip(x, -700.0, 700.0)
    k = np.rint(x / LN2)
    r = x - k * LN2
    total = np.ones_like(r)
    for i in range(14, 0, -1):
        total = 1.0 + total * r / i
    return np.ldexp(total, k.astype(np.int64))


def log(x: Floats) -> Floats:
    """Return the natural logarithm: the exponent, and a series of the mantissa."""
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


def uniform(bits: np.random.PCG64, n: int) -> Floats:
    """Return n numbers of 53 bits from 0 up to 1."""
    raw = np.asarray(bits.random_raw(n), np.uint64) >> np.uint64(11)
    return np.asarray(raw * 2.0**-53)


def normal(bits: np.random.PCG64, n: int) -> Floats:
    """Return n sums of twelve of them less six."""
    twelve = uniform(bits, 12 * n).reshape(12, n)
    return np.asarray(np.add.reduce(twelve, axis=0) - 6.0)
