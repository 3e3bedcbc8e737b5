"""The rest of the world: an outside price for each asset, and the channel to it."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .chance import Stream, exp, log
from .config import Asset, Transfers
from .events import NO_CAUSE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
YEAR = 365.25 * 86_400.0


class Outside:
    """Outside prices: fundamental paths moved by chance, shocks and arbitrage flow.

    An asset that ``follows`` another moves with it, by the power ``beta`` of what that
    one is multiplied by (a staked coin moves with its coin, beta 1), and so down a
    chain; what moves the asset itself comes on top and leaves its leader alone.
    ``event`` is, of each asset, the last shock that moved it or one it follows, and
    ``at`` when it did, ns.
    """

    def __init__(self, assets: dict[str, Asset], stream: Stream) -> None:
        self.names = tuple(assets)
        number = {name: i for i, name in enumerate(self.names)}
        leaders = [number.get(a.follows or "", -1) for a in assets.values()]
        ranks, self._family = _ranked(leaders)
        # Of each rank its assets, their leaders, which of those, and their betas.
        beta = np.array([asset.beta for asset in assets.values()])
        self._ranks = [
            (rank, *np.unique(np.array(leaders)[rank], return_inverse=True), beta[rank])
            for rank in ranks
        ]
        self._start = np.array([asset.price for asset in assets.values()])
        self._volatility = np.array([asset.volatility for asset in assets.values()])
        self._impact = np.array([asset.impact for asset in assets.values()])
        self._factor = np.ones(len(self.names))  # of each by itself
        self._pull = np.ones(len(self.names))  # by its leader
        self._stream = stream
        self._paths: list[_Path] = []
        self.price = self._start.copy()
        self.event = np.full(len(self.names), NO_CAUSE, np.int64)
        self.at = np.zeros(len(self.names), np.int64)
        self._blamed: dict[int, int] = {}  # last event of an asset and its followers

    def step(self, seconds: float, now: int) -> None:
        """Let time pass until ``now``, nanoseconds."""
        noise = self._stream.normal(len(self.names))
        move = self._volatility * np.sqrt(seconds / YEAR) * noise
        self._factor *= exp(move)
        for path in self._paths:
            share = path.advance(now)
            self._factor[path.asset] *= share
            if share != 1.0:
                self._blame(path.asset, path.event, now)
        self._paths = [path for path in self._paths if path.end > now]
        self._refresh()

    def jump(
        self, asset: int, move: float, event: int = NO_CAUSE, now: int = 0
    ) -> None:
        """Move the outside price by a share: a shock."""
        self._factor[asset] *= 1.0 + move
        self._blame(asset, event, now)
        self._refresh()

    def follow(
        self, asset: int, points: Sequence[tuple[float, float]], now: int, event: int
    ) -> None:
        """Let the outside price move along a path from now on, step by step: a shock.

        ``points`` are seconds from now and the move by then, a share of the price now;
        between them it moves in a line.
        """
        self._paths.append(_Path(asset, points, now, event))

    def trade(self, asset: int, usd: float) -> None:
        """Let a trade of so many US dollars (sold: negative) move the outside price.

        O(assets), or what `step` takes for an asset that others follow.
        """
        self._factor[asset] *= 1.0 + self._impact[asset] * usd * 1e-6
        if asset in self._family:
            self._refresh()
            return
        # A new array: who holds the old one has the prices before the trade.
        self.price = self.price.copy()
        factor = self._factor[asset] * self._pull[asset]
        self.price[asset] = self._start[asset] * factor

    def volatility(self, base: Integers, quote: Integers) -> Floats:
        """Return the yearly volatility of each base's price in its quote, by chance.

        What an asset and its leaders do of themselves is independent, so squares add;
        a coin and one that follows it by a beta of 1 have what the follower adds.
        """
        moves = np.diag(self._volatility)  # of each asset, by each asset's own
        for rank, heads, head, beta in self._ranks:
            moves[rank] += beta[:, None] * moves[heads[head]]
        apart = moves[base] - moves[quote]
        # A running sum, not a pairwise one: the figures are those of any NumPy.
        return np.asarray(np.sqrt(np.cumsum(apart * apart, axis=1)[:, -1]))

    def _blame(self, asset: int, event: int, now: int) -> None:
        own = [asset, *self._family.get(asset, ())]
        self.at[own] = now
        if self._blamed.get(asset) == event:
            return
        for number in own:
            self.event[number] = event
        # What was blamed on another before, the asset's leader included, is not now.
        led = [head for head, family in self._family.items() if asset in family]
        for number in (*own, *led):
            self._blamed.pop(number, None)
        self._blamed[asset] = event

    def _refresh(self) -> None:
        whole = self._factor.copy()
        for rank, heads, head, beta in self._ranks:
            pull, other = whole[heads][head], beta != 1.0
            if other.any():
                # Of few leaders the logarithm, of each follower the power.
                pull[other] = exp(beta[other] * log(whole[heads])[head][other])
            self._pull[rank] = pull
            whole[rank] *= pull
        self.price = self._start * whole


def _ranked(leaders: list[int]) -> tuple[list[Integers], dict[int, list[int]]]:
    """Return followers after their leaders, and all who follow each, near or far.

    The first rank follows assets that follow none, the second those of the first.
    """
    depth, family = [0] * len(leaders), dict[int, list[int]]()
    for asset, leader in enumerate(leaders):
        while leader >= 0:
            depth[asset] += 1
            family.setdefault(leader, []).append(asset)
            leader = leaders[leader]
    ranks = range(1, max(depth, default=0) + 1)
    return [np.flatnonzero(np.array(depth) == rank) for rank in ranks], family


class _Path:
    """An outside price on its way along points in time."""

    def __init__(
        self,
        asset: int,
        points: Sequence[tuple[float, float]],
        now: int,
        event: int,
    ) -> None:
        self.asset, self.event = asset, event
        corners = [(0.0, 0.0), *points] if points[0][0] > 0.0 else points
        self._times = [now + int(seconds * 1e9) for seconds, _ in corners]
        self._factors = [1.0 + move for _, move in corners]
        self._reached = 1.0
        self.end = self._times[-1]

    def advance(self, now: int) -> float:
        """Return what the price is multiplied by on the way from the last time."""
        k = bisect_right(self._times, now)
        factor = self._factors[min(k, len(self._factors)) - 1]
        if k < len(self._times):
            past, whole = now - self._times[k - 1], self._times[k] - self._times[k - 1]
            factor += (self._factors[k] - factor) * (past / whole)
        share = factor / self._reached
        self._reached = factor
        return share


class Channel:
    """The transfer channel between the venue and outside: open or cut, and so wide.

    Deposits go ``in`` and withdrawals ``out``; each can be cut by itself. A trade
    outside needs both.
    """

    def __init__(self, settings: Transfers) -> None:
        self.settings = settings
        self._ways = {"in": settings.open, "out": settings.open}
        self._room = settings.capacity_usd
        self._last = 0

    def _is_open(self) -> bool:
        """Whether it is open both ways; setting it opens or cuts both."""
        return all(self._ways.values())

    def turn(self, is_open: bool, way: str = "both") -> None:
        """Open or cut one way, or both."""
        for name in self._ways:
            if way in (name, "both"):
                self._ways[name] = is_open

    open = property(_is_open, turn)

    def take(self, usd: float, now: int, way: str = "both") -> float:
        """Return how much of a transfer the channel takes now, US dollars."""
        per_second = self.settings.capacity_usd / 60.0
        self._room += per_second * (now - self._last) * 1e-9
        self._room = min(self._room, self.settings.capacity_usd)
        self._last = now
        is_open = self._ways.get(way, self.open)
        taken = min(usd, self._room) if is_open else 0.0
        self._room -= taken
        return taken
