"""What moved each market: what a repricing is blamed on."""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import emptied, repricing
from ..cython_ext.book import Books
from ..margin.moves import DOWN, Moves
from ..orderbook.orders import Side
from .events import EventLog

Integers = NDArray[np.int64]
Rows = NDArray[np.void]
Flags = NDArray[np.bool_]

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
    somebody's own decision, if what they took began at a better price than where it
    ended, and would have been enough. Until then, what such orders sold is missed; a
    book is whole again once it trades at a better price than what was taken.
    """

    def __init__(self, base: Integers, log: EventLog) -> None:
        self._rows = np.zeros(len(base), repricing.MOVER)
        self._base = base
        self._log = log
        # By side and market, the last that took orders away.
        self.withdrawn = np.zeros((2, len(base)), np.int64)
        self.withdrawn_at = np.zeros((2, len(base)), np.int64)  # ns
        # By asset.
        self.outside: Integers = np.zeros(base.max(initial=-1) + 1, np.int64)
        self.outside_at: Integers = np.zeros_like(self.outside)  # ns
        self._noted: list[tuple[Rows, int]] = []  # not yet looked at
        self._sides = np.zeros((len(base), 2), emptied.SIDE)
        self._own = np.zeros(1 << 10, np.uint8)  # a bit for each event
        self.moves = Moves(len(base))  # from look to look, ticks

    def of(self, market: int) -> int:
        """Return the event that moved a market; NO_CAUSE before its first trade."""
        return int(self.all()[market])

    def all(self) -> Integers:
        """Return the event that moved each market, as `of` does. O(markets)."""
        self._take()
        return repricing.blamed(self._rows, *self.followed())

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
        self._provide(first + len(fills))
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

    def _provide(self, event: int) -> None:
        if event >> 3 >= len(self._own):
            more = np.zeros((event >> 3) + 1, np.uint8)
            self._own = np.concatenate([self._own, more])

    def follow(self, first: int, causes: Integers) -> Flags:
        """Take the causes of events from ``first`` on; return whose own doing they are.

        Those are that go back to no more than somebody's own decision, or to nothing.
        O(events).
        """
        self._provide(first + len(causes))
        return emptied.follow(self._own, causes, first)

    def withdraw(
        self,
        books: Books,
        account: int,
        market: int,
        side: int,
        event: int,
        cause: int,
        now: int,
    ) -> None:
        """Take note that an account takes its orders away, below 0 from every market.

        ``event`` is what prices are blamed on that go where they stood, and ``cause``
        its cause; the side is that of its bids, its asks, or both.
        """
        self.follow(event, np.array([cause], np.int64))
        own = books.orders_of([account])
        for taken in (Side.BUY, Side.SELL) if side == Side.BOTH else (side,):
            orders = own[own["side"] == taken]
            if market >= 0:
                orders = orders[orders["market"] == market]
            # Where it had none there is nothing that prices could fall through.
            where = orders["market"]
            self.withdrawn[taken, where] = event
            self.withdrawn_at[taken, where] = now
            emptied.withdraw(self._sides, orders, event)

    def look(self) -> None:
        """Start to measure anew: what moved so far has been priced."""
        self._take()
        self._provide(self._log.next_id)
        change = self._rows["ticks"] - self._rows["start"]
        moved = np.flatnonzero(change)
        quoted = self.followed()
        if len(moved):
            events = repricing.blamed(self._rows, *quoted)[moved]
            own = (self._own[events >> 3] >> (events & 7) & 1).astype(np.bool_)
            ticks = change[moved].astype(np.float64)
            self.moves.take(moved, ticks, events, own, self._log.next_id)
        repricing.look(self._rows, *quoted)

    def fell(self, market: int, ticks: float, own: float, since: int) -> int:
        """Return the event to blame for a fall of a market by so many ticks.

        As of `Moves.blame`, from the time ``since`` when the moves of own decisions
        were ``own``; but where others made the better part of it and no order moved the
        price, it is what quotes followed.
        """
        moves = self.moves
        mine = 2.0 * (own - moves.own[market]) > ticks
        return (
            moves.largest(market, DOWN + mine, since)
            or int(self.followed()[0, market])
            or moves.largest(market, DOWN + 1 - mine, since)
            or self.of(market)
        )

    def followed(self) -> Integers:
        """Return what quotes followed down and up, by market, 0 for nothing.

        That is the last withdrawal there, or the last shock that moved the price
        outside, if that came later. O(markets).
        """
        return emptied.followed(
            self._base, self.outside, self.outside_at, self.withdrawn, self.withdrawn_at
        )

    def quote(self, batch: Rows) -> None:
        """Give quotes their cause: what they follow, is why they are where they are.

        Those who buy follow up, those who sell down. O(messages + markets).
        """
        emptied.quote(batch, self.followed())
