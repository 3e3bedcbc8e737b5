"""What had emptied the books that orders met which nothing had caused."""

import numpy as np
from numpy.typing import NDArray

from .columns import Table

Integers = NDArray[np.int64]


class Met:
    """By the event of such an order, what a chain of causes goes on with behind it."""

    def __init__(self) -> None:
        self._table = Table(np.int64, np.int64)

    def __len__(self) -> int:
        return len(self._table)

    def add(self, orders: Integers, causes: Integers) -> None:
        """Take orders, in ascending order and later than all before. O(orders)."""
        self._table.extend(orders, causes)

    def one(self, event: int) -> int:
        """Return what emptied the book that an order met, 0 if none was. O(log all)."""
        row = self._table.find(event)
        return 0 if row is None else int(row[1])

    def of(self, events: Integers) -> Integers:
        """Return the same for many events. O(events × log all)."""
        orders, causes = self._table.columns()
        if len(orders) == 0:
            return np.zeros(len(events), np.int64)
        place = np.minimum(np.searchsorted(orders, events), len(orders) - 1)
        return np.where(orders[place] == events, causes[place], 0)

    def fill(self, causes: Integers) -> None:
        """Write what orders met into causes by event that have none. O(all)."""
        orders, met = self._table.columns()
        rootless = causes[orders] == 0
        causes[orders[rootless]] = met[rootless]
