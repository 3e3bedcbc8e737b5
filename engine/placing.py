"""When orders were placed: what is known of those whose messages are gone."""

import numpy as np
from numpy.typing import NDArray

from .columns import Table

Integers = NDArray[np.int64]


class Placing:
    """Orders that rested, by number, with the time of the message that placed them.

    12 bytes an order. Numbers rise as orders come in, but for those that accounts
    chose themselves; of one that comes twice the first time counts.
    """

    def __init__(self) -> None:
        self._table = Table(np.uint32, np.int64)
        self._ranked: tuple[Integers, Integers] | None = None

    def add(self, orders: Integers, times: Integers) -> None:
        """Take orders in the order of their messages."""
        self._table.extend(orders, times)
        self._ranked = None

    def of(self, orders: Integers) -> Integers:
        """Return when these were placed, ns; -1 for those that never rested."""
        if self._ranked is None:
            numbers, times = self._table.columns()
            if not (numbers[1:] > numbers[:-1]).all():
                rank = np.argsort(numbers, kind="stable")
                numbers, times = numbers[rank], times[rank]
            self._ranked = numbers, times
        numbers, times = self._ranked
        if len(numbers) == 0:
            return np.full(len(orders), -1)
        row = np.minimum(np.searchsorted(numbers, orders), len(numbers) - 1)
        return np.where(numbers[row] == orders, times[row], -1)
