"""What moved each market: what a repricing is blamed on."""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import emptied, repricing
from ..cython_ext.book import Books
from ..orderbook.orders import Side
from .events import EventLog

Integers = NDArray[np.int64]
Rows = NDArray[np.void]

NOTED = 1 << 12
"""Batches that are remembered before they are looked at."""


class Movers:
    """Of each market, the order that moved its price most in the direction it went.

    Counted from the last look at prices. A later small trade at the same price is not
    to blame for it; where the price is what it was, the one before stays to blame. An
    order that met quotes which had moved before it came is not to blame either, but
    what moved them: the last withdrawal of bids (of asks, where it rose) there, or the
    last event outside, whichever came later.

    An order that nothing caused goes on with what had emptied the book, in the log's
    `EventLog.met`: the last withdrawal, or the last order that goes back to more than
    somebody's own decision, if what they took stood before the last order that was hit,
    and would have been enough. A book is whole again once the best order on that side
    is one that came later.
    """

    def __init__(self, base: Integers, log: EventLog) -> None:
        self._rows = np.zeros(len(base), repricing.MOVER)
        self._base = base
        self._log = log
        # By side and market, the last that took orders away.
        self.withdrawn = np.zeros((2, len(base)), np.int64)
        # By asset.
        self.outside: Integers = np.zeros(base.max(initial=-1) + 1, np.int64)
        self._noted: list[tuple[Rows, int]] = []  # not yet looked at
        self._sides = np.zeros((len(base), 2), emptied.SIDE)
        self._own = np.zeros(1 << 10, np.uint8)  # a bit for each event

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

    def note(self, fills: Rows, first: int, batch: Rows, sent: int) -> None:
        """Take the fills of a batch; the first has the event id ``first``.

        The messages of the batch have the events from ``sent`` on. O(fills).
        """
        last = (first + len(fills)) >> 3
        if last >= len(self._own):
            more = np.zeros(last + 1, np.uint8)
            self._own = np.concatenate([self._own, more])
        met = emptied.take(self._sides, self._own, batch, sent, fills, first)
        if len(met[0]):
            self._log.met.add(*met)
        self._noted.append((fills, first))
        if len(self._noted) >= NOTED:
            self._take()

    def _take(self) -> None:
        if self._noted:
            for fills, first in self._noted:
                repricing.take(self._rows, fills, first)
            self._noted.clear()
            repricing.settle(self._rows)

    def withdraw(
        self, books: Books, account: int, market: int, side: int, event: int
    ) -> None:
        """Take note that an account takes its orders away, below 0 from every market.

        ``event`` is what prices are blamed on that go where they stood; the side is
        that of its bids, its asks, or both.
        """
        own = books.orders_of([account])
        for taken in (Side.BUY, Side.SELL) if side == Side.BOTH else (side,):
            orders = own[own["side"] == taken]
            if market >= 0:
                orders = orders[orders["market"] == market]
            where = orders["market"] if market < 0 else market
            self.withdrawn[taken, where] = event
            emptied.withdraw(self._sides, orders, books.last_id, event)

    def look(self) -> None:
        """Start to measure anew: what moved so far has been priced."""
        self._take()
        repricing.look(self._rows, *self._quoted())

    def _quoted(self) -> tuple[Integers, Integers]:
        # What quotes followed down and up.
        lowered, raised = np.maximum(self.withdrawn, self.outside[self._base])
        return lowered, raised
