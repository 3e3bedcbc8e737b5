"""Which trade moved each market: what a repricing is blamed on."""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import repricing

Integers = NDArray[np.int64]

NOTED = 1 << 12
"""Batches that are remembered before they are looked at."""


class Movers:
    """Of each market, the order that moved its price most in the direction it went.

    Counted from the last look at prices. A later small trade at the same price is not
    to blame for it; where the price is what it was, the one before stays to blame.
    """

    def __init__(self, markets: int) -> None:
        self._rows = np.zeros(markets, repricing.MOVER)
        self._noted: list[tuple[NDArray[np.void], int]] = []  # not yet looked at

    def of(self, market: int) -> int:
        """Return the event that moved a market; NO_CAUSE before its first trade."""
        return int(self.all()[market])

    def all(self) -> Integers:
        """Return the event that moved each market, as `of` does. O(markets)."""
        self._take()
        return repricing.blamed(self._rows)

    def note(self, fills: NDArray[np.void], first: int) -> None:
        """Take the fills of a batch; the first has the event id ``first``.

        O(1), and O(fills) for all of them when somebody asks.
        """
        self._noted.append((fills, first))
        if len(self._noted) >= NOTED:
            self._take()

    def _take(self) -> None:
        if self._noted:
            for fills, first in self._noted:
                repricing.take(self._rows, fills, first)
            self._noted.clear()
            repricing.settle(self._rows)

    def look(self) -> None:
        """Start to measure anew: what moved so far has been priced."""
        self._take()
        repricing.look(self._rows)
