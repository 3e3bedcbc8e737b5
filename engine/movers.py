"""Which trade moved each market: what a repricing is blamed on."""

import numpy as np
from numpy.typing import NDArray

from .columns import joined, spans
from .events import NO_CAUSE

Integers = NDArray[np.int64]

NOTED = 1 << 12
"""Batches that are remembered before they are looked at."""


class Movers:
    """Of each market, the order that moved its price most in the direction it went.

    Counted from the last look at prices. A later small trade at the same price is not
    to blame for it; where the price is what it was, the one before stays to blame.
    """

    def __init__(self, markets: int) -> None:
        self._ticks = np.zeros(markets, np.int64)  # the last print
        self._start = np.zeros(markets, np.int64)  # the last print at the last look
        self._move = np.zeros((2, markets), np.int64)  # largest fall, largest rise
        self._event = np.full((2, markets), NO_CAUSE, np.int64)  # its last fill
        self._before = np.full(markets, NO_CAUSE, np.int64)
        self._noted: list[tuple[NDArray[np.void], int]] = []  # not yet looked at

    def of(self, market: int) -> int:
        """Return the event that moved a market; NO_CAUSE before its first trade."""
        self._take()
        moved = self._ticks[market] - self._start[market]
        if moved == 0:
            return int(self._before[market])
        return int(self._event[int(moved > 0), market])

    def all(self) -> Integers:
        """Return the event that moved each market, as `of` does. O(markets)."""
        self._take()
        moved = self._ticks - self._start
        event = np.where(moved > 0, self._event[1], self._event[0])
        return np.where(moved == 0, self._before, event)

    def note(self, fills: NDArray[np.void], first: int) -> None:
        """Take the fills of a batch; the first has the event id ``first``.

        O(1), and O(fills log fills) for all of them when somebody asks.
        """
        self._noted.append((fills, first))
        if len(self._noted) >= NOTED:
            self._take()

    def _take(self) -> None:
        if not self._noted:
            return
        firsts = [first for _, first in self._noted]
        ids = spans(firsts, [len(fills) for fills, _ in self._noted])
        fills = joined(fills for fills, _ in self._noted)
        self._noted.clear()
        if len(fills) == 0:
            return
        rows = np.argsort(fills["market"], kind="stable")
        market, taker = fills["market"][rows], fills["taker_order"][rows]
        # Rows of a market lie together; of each order the last of its fills counts.
        ends = np.append((market[1:] != market[:-1]) | (taker[1:] != taker[:-1]), True)
        opens = np.flatnonzero(np.append(True, market[1:] != market[:-1]))
        at = rows[ends]
        heads = np.searchsorted(np.flatnonzero(ends), opens)
        m = market[opens]
        price, event = fills["price"][at], ids[at]
        unseen = self._before[m] == NO_CAUSE
        new, begin = m[unseen], fills["price"][rows[opens[unseen]]]
        self._before[new] = event[heads[unseen]]
        self._start[new] = self._ticks[new] = begin
        move = np.diff(price, prepend=0)
        move[heads] = price[heads] - self._ticks[m]
        orders = np.diff(heads, append=len(at))
        for up, size in enumerate((-move, move)):
            most = np.maximum.reduceat(size, heads)
            # The first order of each market that moved it so far.
            equal = np.flatnonzero(size == np.repeat(most, orders))
            best = equal[np.searchsorted(equal, heads)]
            larger = most > self._move[up, m]
            self._move[up, m[larger]] = most[larger]
            self._event[up, m[larger]] = event[best[larger]]
        self._ticks[m] = price[heads + orders - 1]

    def look(self) -> None:
        """Start to measure anew: what moved so far has been priced."""
        self._before = self.all()
        self._start = self._ticks.copy()
        self._move[:] = 0
