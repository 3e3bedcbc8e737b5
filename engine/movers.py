"""What moved each market: what a repricing is blamed on."""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import repricing
from ..orderbook.orders import Side

Integers = NDArray[np.int64]

NOTED = 1 << 12
"""Batches that are remembered before they are looked at."""


class Movers:
    """Of each market, the order that moved its price most in the direction it went.

    Counted from the last look at prices. A later small trade at the same price is not
    to blame for it; where the price is what it was, the one before stays to blame. An
    order that met quotes which had moved before it came is not to blame either, but
    what moved them: the last withdrawal of bids there, or the last event outside,
    whichever came later.
    """

    def __init__(self, base: Integers) -> None:
        self._rows = np.zeros(len(base), repricing.MOVER)
        self._base = base
        self.withdrawn = np.zeros(len(base), np.int64)  # the last of each market
        # By asset.
        self.outside: Integers = np.zeros(base.max(initial=-1) + 1, np.int64)
        self._noted: list[tuple[NDArray[np.void], int]] = []  # not yet looked at

    def of(self, market: int) -> int:
        """Return the event that moved a market; NO_CAUSE before its first trade."""
        return int(self.all()[market])

    def all(self) -> Integers:
        """Return the event that moved each market, as `of` does. O(markets)."""
        self._take()
        return repricing.blamed(self._rows, *self._quoted())

    def trades(self) -> Integers:
        """Return the event of each market's last trade; 0 before its first.

        O(markets).
        """
        self._take()
        return self._rows["event"].copy()

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

    def withdraw(self, orders: NDArray[np.void], market: int, event: int) -> None:
        """Take note that an account takes its bids away, below 0 from every market.

        ``orders`` are those it has; ``event`` is what lower prices are blamed on.
        """
        bids = orders["market"][orders["side"] == Side.BUY]
        self.withdrawn[bids if market < 0 else market] = event

    def look(self) -> None:
        """Start to measure anew: what moved so far has been priced."""
        self._take()
        repricing.look(self._rows, *self._quoted())

    def _quoted(self) -> tuple[Integers, Integers]:
        # What quotes followed down and up: only bids are withdrawn.
        outside = self.outside[self._base]
        return np.maximum(self.withdrawn, outside), outside
