"""How far indices are below their highs, and what made them fall."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .exchange import Exchange

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Highs:
    """The highs of assets so far, as somebody sees them who looks on, and their falls.

    ``assets`` are those whose repricings are blamed.
    """

    def __init__(self, exchange: "Exchange", assets: Integers) -> None:
        self.exchange = exchange
        self.assets = assets
        self.high = np.zeros(len(assets))
        # At the last high: the index, what own decisions had made of it, and when.
        self._index = np.zeros(len(assets))
        self._own = np.zeros(len(assets))
        self._since = np.zeros(len(assets), np.int64)

    def look(self, price: Floats) -> Floats:
        """Take prices of the assets; return how far each is below its high, a share.

        They may be in anything. O(assets).
        """
        exchange, new = self.exchange, price >= self.high
        self.high = np.fmax(self.high, price)
        self._index[new] = exchange.index[self.assets[new]]
        self._own[new] = exchange.index_moves.own[self.assets[new]]
        self._since[new] = exchange.log.next_id
        return np.asarray(1.0 - price / self.high)

    def causes(self, rows: Integers) -> Integers:
        """Return the repricing to blame for each of some falls, as of `Moves.blame`."""
        assets, moves = self.assets[rows], self.exchange.index_moves
        fall = np.minimum(self.exchange.index[assets] - self._index[rows], 0.0)
        return moves.blame(assets, fall, self._own[rows], self._since[rows])
