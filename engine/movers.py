"""Which trade moved each market: what a repricing is blamed on."""

import numpy as np
from numpy.typing import NDArray

from .events import NO_CAUSE


class Movers:
    """Of each market, the order that moved its price most in the direction it went.

    Counted from the last look at prices. A later small trade at the same price is not
    to blame for it; where the price is what it was, the one before stays to blame.
    """

    def __init__(self, markets: int) -> None:
        self._ticks = [0] * markets  # the last print
        self._start = [0] * markets  # the last print at the last look
        self._move = [[0] * markets, [0] * markets]  # largest fall, largest rise
        self._event = [[NO_CAUSE] * markets, [NO_CAUSE] * markets]  # its last fill
        self._before = [NO_CAUSE] * markets

    def of(self, market: int) -> int:
        """Return the event that moved a market; NO_CAUSE before its first trade."""
        moved = self._ticks[market] - self._start[market]
        if moved == 0:
            return self._before[market]
        return self._event[moved > 0][market]

    def note(self, fills: NDArray[np.void], first: int) -> None:
        """Take the fills of a batch; the first has the event id ``first``."""
        for m in np.unique(fills["market"]).tolist():
            rows = np.flatnonzero(fills["market"] == m)
            order = fills["taker_order"][rows]
            ends = rows[np.append(order[1:] != order[:-1], True)]
            prices = fills["price"][ends]
            if self._before[m] == NO_CAUSE:
                self._before[m] = first + int(ends[0])
                self._start[m] = self._ticks[m] = int(fills["price"][rows[0]])
            moves = np.diff(prices, prepend=self._ticks[m])
            for up, size in enumerate((-moves, moves)):
                at = int(np.argmax(size))
                if size[at] > self._move[up][m]:
                    self._move[up][m] = int(size[at])
                    self._event[up][m] = first + int(ends[at])
            self._ticks[m] = int(prices[-1])

    def look(self) -> None:
        """Start to measure anew: what moved so far has been priced."""
        markets = range(len(self._ticks))
        self._before = [self.of(m) for m in markets]
        self._start = list(self._ticks)
        self._move = [[0] * len(markets), [0] * len(markets)]
