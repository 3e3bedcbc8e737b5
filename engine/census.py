"""Messages counted as they are processed, whether they are kept or not."""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.messages import counted
from .state import fix

Integers = NDArray[np.int64]

MINUTE = 60_000_000_000

WORDS = ("buy", "sell", "cancel", "refused")
"""What is counted: orders to buy and to sell (a changed one is one more), what takes
orders away, and which of all these were refused."""

BUY, SELL, CANCEL, REFUSED = range(len(WORDS))


class Census:
    """Counts by minute of the clock, market, and class of account or market maker.

    ``sent`` is (minutes, markets + 1, classes, WORDS): the markets that are watched,
    then all others together. ``makers`` is (minutes, markets, makers, 3): orders to
    buy and to sell, and messages of any kind.
    """

    def __init__(
        self,
        *,
        watched: Integers,
        markets: int,
        classes: NDArray[np.uint8],
        makers: Integers,
        start_ns: int,
        duration_ns: int,
    ) -> None:
        self._first = start_ns // MINUTE
        self._start_ns = start_ns
        n = (start_ns + duration_ns) // MINUTE - self._first + 1
        self._column = np.full(markets + 1, len(watched))
        self._column[watched] = np.arange(len(watched))
        self._column[markets] = -1  # no market there is, or all of them
        self._class = classes
        self._maker = np.full(len(classes), -1)
        self._maker[makers] = np.arange(len(makers))
        fix(self._column, self._class, self._maker)
        groups = int(classes.max(initial=0)) + 1
        self.sent = np.zeros((n, len(watched) + 1, groups, len(WORDS)), np.int64)
        self.makers = np.zeros((n, len(watched), len(makers), 3), np.int64)

    def welcome(self, accounts: int) -> None:
        """Let there be more accounts, of the venue's class and no makers'."""
        self._class = np.append(self._class, np.zeros(accounts, np.uint8))
        self._maker = np.append(self._maker, np.full(accounts, -1))

    @property
    def minutes(self) -> Integers:
        """Start of each minute, ns since the start of the run; the first may be < 0."""
        return (np.arange(len(self.sent)) + self._first) * MINUTE - self._start_ns

    def count(self, messages: NDArray[np.void], results: NDArray[np.void]) -> None:
        """Take messages that were processed. O(messages)."""
        counted(
            messages,
            results,
            self._column,
            self._class,
            self._maker,
            self._start_ns - self._first * MINUTE,
            self.sent,
            self.makers,
        )
