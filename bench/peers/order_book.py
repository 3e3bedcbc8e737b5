"""order-book: sorted levels in C; prices and quantities are what the user puts in."""

import numpy as np
from numpy.typing import NDArray
from order_book import OrderBook

from flashwick.orderbook.orders import Side

from . import Keeper, Levels


class OrderBookInC(Keeper):
    """Gets the quantity of a level after each change."""

    distribution = "order-book"

    def __init__(self, prefill: NDArray[np.void], changes: NDArray[np.void]) -> None:
        self.book = OrderBook()
        self.changes = self._rows(prefill)
        self.run()
        self.changes = self._rows(changes)

    def run(self) -> None:
        """Bring the book up to date."""
        bids, asks = self.book.bids, self.book.asks
        for side, price, qty in self.changes:
            levels = bids if side == Side.BUY else asks
            if qty:
                levels[price] = qty
            else:
                del levels[price]

    def levels(self) -> tuple[Levels, Levels]:
        """Bids and asks."""
        return self.book.bids.to_list(), self.book.asks.to_list()

    @staticmethod
    def _rows(changes: NDArray[np.void]) -> list[tuple[int, ...]]:
        columns = (changes[name].tolist() for name in ("side", "price", "level_qty"))
        return list(zip(*columns, strict=True))
