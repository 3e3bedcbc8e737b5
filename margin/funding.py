"""Funding of perpetuals: the premium of an interval, and the rate that follows."""

from math import inf

import numpy as np
from numpy.typing import NDArray

from .parameters import Funding

Floats = NDArray[np.float64]

SAMPLE_NS = 5_000_000_000
"""Time between two samples of the premium."""


def premium(index: Floats, bid: Floats, ask: Floats) -> Floats:
    """How far the book is beyond the index, as a share of it; 0 astride it.

    Of the best quotes, where a venue takes the prices of an impact order; a price of 0
    or NaN is none.

    >>> premium(np.array([100.0]), np.array([101.0]), np.array([103.0])).tolist()
    [0.01]
    """
    above = np.where(bid > 0.0, np.maximum(bid - index, 0.0), 0.0)
    below = np.where(ask > 0.0, np.maximum(index - ask, 0.0), 0.0)
    share = np.zeros(len(index))
    np.divide(above - below, index, share, where=index > 0.0)
    return share


def funding_rate(premium: Floats, rule: Funding) -> Floats:
    """The rate of an interval: ``premium + clamp(interest - premium)``, capped.

    Source: third-party copies of
    https://www.binance.com/en/support/faq/360033525031
    """
    pull = np.clip(rule.interest - premium, -rule.damper, rule.damper)
    most = inf if rule.cap is None else rule.cap
    return np.clip(premium + pull, -most, most)


class PremiumBoard:
    """The mean premium of each market since the last funding.

    One sample every five seconds; the k-th since the start weighs k, so the last ones
    count most.
    """

    def __init__(self, markets: int) -> None:
        self._sum = np.zeros(markets)
        self._taken = 0
        self._slot = -1  # time of the last sample, in SAMPLE_NS

    @property
    def mean(self) -> Floats:
        """The mean of the samples; 0 without any."""
        return np.asarray(self._sum * 2.0 / max(1, self._taken * (self._taken + 1)))

    def sample(self, time_ns: int, index: Floats, bid: Floats, ask: Floats) -> None:
        """Take a sample, if one is due; all prices are in the quote asset."""
        if time_ns // SAMPLE_NS > self._slot:
            self._slot = time_ns // SAMPLE_NS
            self._taken += 1
            self._sum += self._taken * premium(index, bid, ask)

    def restart(self) -> None:
        """Begin a new interval."""
        self._sum[:] = 0.0
        self._taken = 0

    def _check(self) -> None:
        """Assert every invariant."""
        assert np.isfinite(self._sum).all()
        assert self._taken >= 0
