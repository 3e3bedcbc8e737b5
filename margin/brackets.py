"""The brackets of all markets side by side, for many positions at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .curves import Margin
from .schedule import Floats, Schedule

__all__ = ["Brackets"]

Integers = NDArray[np.int64]


class Brackets:
    """Curves by market; those with tiers are looked up together.

    >>> brackets = Brackets([Schedule([0, 50_000], [0.01, 0.05]), Schedule.flat(0.5)])
    >>> dollars = np.array([60_000.0, 8.0])
    >>> brackets.amount(np.array([0, 1]), dollars, dollars).tolist()
    [1000.0, 4.0]
    """

    def __init__(self, curves: Sequence[Margin]) -> None:
        self.curves = curves
        flat = Schedule.flat(0.0)
        tiers = [c if isinstance(c, Schedule) else flat for c in curves]
        most = max((len(one.floors) for one in tiers), default=1)
        shape = len(tiers), most
        # Beyond the last tier there is none that a size is above.
        self._above = np.full(shape, np.inf)
        self._rate, self._cum = np.zeros(shape), np.zeros(shape)
        for m, one in enumerate(tiers):
            n = len(one.floors)
            self._above[m, : n - 1] = one.floors[1:]
            self._rate[m, :n], self._cum[m, :n] = one.rates, one.cums
        self._coins = np.array([one.unit == "qty" for one in tiers], np.bool_)
        self._formula = np.array([one is flat for one in tiers], np.bool_)

    def amount(self, markets: Integers, money: Floats, qty: Floats) -> Floats:
        """What `Curve.amount` says of so many coins, worth so much, of each market."""
        coins = self._coins[markets]
        size = np.maximum(np.where(coins, qty, money), 0.0)
        tier = np.count_nonzero(size[:, None] > self._above[markets], axis=1)
        total = size * self._rate[markets, tier] - self._cum[markets, tier]
        if coins.any():
            price = np.divide(money, qty, out=np.zeros_like(qty), where=qty > 0.0)
            total = np.where(coins, price * total, total)
        for market in np.unique(markets[self._formula[markets]]).tolist():
            own = markets == market
            total[own] = self.curves[market].amount(money[own], qty[own])
        return np.asarray(total)
