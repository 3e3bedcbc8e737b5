"""Exponentials and logarithms of single numbers, the same on every machine."""

import numpy as np

from ..cython_ext import chance


def exp(x: float) -> float:
    """The number e to the power x.

    >>> round(exp(1.0), 12)
    2.718281828459
    """
    return float(chance.exp(np.array([x]))[0])


def log(x: float) -> float:
    """The natural logarithm of a number above 0.

    >>> round(log(exp(2.0)), 12)
    2.0
    """
    return float(chance.log(np.array([x]))[0])


def power(base: float, exponent: float) -> float:
    """A number above 0 to any power.

    >>> round(power(2.0, 0.5), 12)
    1.414213562373
    """
    return exp(exponent * log(base))
