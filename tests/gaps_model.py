"""Who trades where, in NumPy: what `cython_ext/gaps.pyx` must give, to the byte."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def paid_for(pays: Integers, usd: Floats, held: Floats) -> Bools:
    """Those paid for by what the ones before left; -1 pays with nothing."""
    able = np.ones(len(pays), np.bool_)
    for asset in np.unique(pays[pays >= 0]).tolist():
        own = pays == asset
        able[own] = np.cumsum(usd[own]) <= held[asset]
    return able


class GapsModel:
    """The same arguments, methods and answers as `Gaps`."""

    def __init__(
        self,
        markets: Integers,
        base: Integers,
        quote: Integers,
        perpetual: Bools,
        clip: Floats,
        capacity: Floats,
        first: Integers,
        home: Integers,
    ) -> None:
        self.markets, self.base, self.quote = markets, base, quote
        self.perpetual, self.clip, self.capacity = perpetual, clip, capacity
        self.first, self.home = first, home
        size = np.diff(np.append(first, len(markets)))
        self.number = np.repeat(np.arange(len(first)), size)

    def outside(
        self,
        held: Floats,
        positions: Floats,
        fair: Floats,
        bid: Floats,
        ask: Floats,
        usd: Floats,
        threshold: float,
    ) -> tuple[Integers, Bools]:
        """Of each book a purchase, then of each a sale; the widest gaps first."""
        ask, bid, clip = ask[self.markets], bid[self.markets], self.clip[self.base]
        buys = np.where(ask > 0, 1.0 - ask / fair, 0.0)
        gap = np.concatenate([buys, bid / fair - 1.0])
        worth = positions * usd[self.markets]
        cap = self.capacity[self.base]
        room = np.concatenate([cap - worth, cap + worth])
        pays = np.concatenate([self.quote, self.base])
        pays[np.tile(self.perpetual, 2)] = -1
        fits = (pays >= 0) | (room > np.tile(clip, 2))
        wide = np.flatnonzero((gap > threshold) & fits)
        wide = wide[np.argsort(-gap[wide], kind="stable")]
        own = wide % len(fair)
        able = paid_for(pays[wide], clip[own], held)
        return own[able], wide[able] >= len(fair)

    def at_home(self, best: Floats, outside: Floats) -> Floats:
        """By the own book, else outside."""
        own = np.where(self.home < 0, 0.0, best[self.home])
        return np.where(own > 0.0, own, outside)

    def between(
        self,
        held: Floats,
        positions: Floats,
        bid: Floats,
        ask: Floats,
        usd: Floats,
        costs: Floats,
        brings: Floats,
        threshold: float,
    ) -> tuple[Integers, Integers, Integers, Floats]:
        """Coins, cheapest and dearest book, and the mean; the widest gaps first."""
        clip, cap = self.clip[self.base], self.capacity[self.base]
        worth = positions * usd[self.markets]
        ask = ask[self.markets] * costs[self.quote]
        bid = bid[self.markets] * brings[self.quote]
        pays = np.where(self.perpetual, cap - worth, held[self.quote]) >= clip
        has = np.where(self.perpetual, cap + worth, held[self.base]) >= clip
        low, cheapest = self.best(-np.where(pays & (ask > 0), ask, np.inf))
        high, dearest = self.best(np.where(has, bid, 0.0))
        wide = np.flatnonzero(high > -low * (1.0 + threshold))
        wide = wide[np.argsort(low[wide] / high[wide], kind="stable")[::-1]]
        books = np.stack([cheapest[wide], dearest[wide]], axis=1)
        spent = np.stack([self.quote[books[:, 0]], self.base[books[:, 1]]], axis=1)
        spent[self.perpetual[books]] = -1
        each = self.clip[self.base[books]].ravel()
        able = paid_for(spent.ravel(), each, held)
        wide = wide[able.reshape(-1, 2).all(axis=1)]
        middle = np.sqrt(-low[wide] * high[wide])
        return wide, cheapest[wide], dearest[wide], middle

    def rests(
        self,
        sells: bool,
        held: Floats,
        target: Floats,
        best: Floats,
        outside: Floats,
        own: Floats,
        other: Floats,
        resting: Integers,
        tick: Floats,
        threshold: float,
    ) -> tuple[Any, Any]:
        """What is made good, and what rests."""
        sign = -1.0 if sells else 1.0
        there = best[self.markets]
        ticks = np.rint(there / tick[self.markets])
        there = np.where(ticks == resting, 0.0, there) * own[self.quote]
        value = np.where((there > 0.0) & ~self.perpetual, sign * there, -np.inf)
        most, book = self.best(value)
        coin = self.base[self.first]
        over = sign * (held[coin] - target[coin] * outside[coin])
        far = np.isfinite(most) & (over > 0.5 * self.clip[coin])
        far &= self.home[coin] < 0
        held[coin[far]] -= sign * over[far]
        surplus = np.flatnonzero(far), book[far], over[far] / outside[coin[far]]
        limit = sign * self.best_of_others(value)
        limit *= 1.0 - sign * threshold
        clip = self.clip[self.base]
        beyond = sign * (held - target * outside)[self.base]
        pays = self.base if sells else self.quote
        able = np.isfinite(limit) & ~self.perpetual & (beyond < clip)
        able[able] = paid_for(pays[able], clip[able], held)
        amount, price = clip / outside[self.base], limit / other[self.quote]
        return surplus, (np.flatnonzero(able), amount[able], price[able])

    def back(
        self,
        held: Floats,
        target: Floats,
        bid: Floats,
        ask: Floats,
        outside: Floats,
        dollar: int,
    ) -> tuple[Integers, Floats, Floats, Bools]:
        """What to trade back."""
        coins = np.flatnonzero(self.home >= 0)
        market = self.home[coins]
        over = held[coins] - target[coins] * outside[coins]
        sells = over > 0.0
        best = np.where(sells, bid[market], ask[market])
        usd = np.where(sells, over, np.minimum(-over, held[dollar]))
        able = (np.abs(over) > 0.5 * self.clip[coins]) & (best > 0.0)
        able &= paid_for(np.where(sells, coins, dollar), usd * able, held)
        qty = usd / outside[coins]
        return coins[able], qty[able], best[able], sells[able]

    def best_of_others(self, value: Floats) -> Floats:
        """Of each book the largest of its coin's other books."""
        best = np.maximum.reduceat(value, self.first)[self.number]
        first = value == best
        several = np.add.reduceat(first.astype(np.int64), self.first) > 1
        second = np.maximum.reduceat(np.where(first, -np.inf, value), self.first)
        alone = first & ~several[self.number]
        return np.where(alone, second[self.number], best)

    def best(self, value: Floats) -> tuple[Floats, Integers]:
        """The largest of each coin's books, and which of them is the first."""
        best = np.maximum.reduceat(value, self.first)
        equal = np.flatnonzero(value == best[self.number])
        return best, equal[np.searchsorted(equal, self.first)]


def noticed(
    markets: Integers,
    last: Floats,
    fair: Floats,
    share: float,
    left: Floats,
    clip: float,
    due: Integers,
    never: int,
) -> tuple[Bools, Integers, Integers]:
    """Cheap books, and who may notice which."""
    cheap = last[markets] < fair[markets] * share
    able, low = np.flatnonzero(left >= clip), np.flatnonzero(cheap)
    k, j = np.nonzero(due[np.ix_(able, low)] == never)
    return cheap, able[k], low[j]
