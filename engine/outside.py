"""The rest of the world: an outside price for each asset, and the channel to it."""

import numpy as np
from numpy.typing import NDArray

from .chance import Stream, exp
from .config import Asset, Transfers

Floats = NDArray[np.float64]
YEAR = 365.25 * 86_400.0


class Outside:
    """Outside prices: fundamental paths moved by chance, shocks and arbitrage flow.

    An asset that ``follows`` another moves with it (a staked coin with its coin); what
    moves the asset itself comes on top and leaves its leader alone.
    """

    def __init__(self, assets: dict[str, Asset], stream: Stream) -> None:
        self.names = tuple(assets)
        number = {name: i for i, name in enumerate(self.names)}
        self._followers = np.array(
            [i for i, a in enumerate(assets.values()) if a.follows], np.int64
        )
        self._leaders = np.array(
            [number[a.follows] for a in assets.values() if a.follows], np.int64
        )
        self._start = np.array([asset.price for asset in assets.values()])
        self._volatility = np.array([asset.volatility for asset in assets.values()])
        self._impact = np.array([asset.impact for asset in assets.values()])
        self._factor = np.ones(len(self.names))
        self._stream = stream
        self.price = self._start.copy()

    def step(self, seconds: float) -> None:
        """Let time pass."""
        noise = self._stream.normal(len(self.names))
        move = self._volatility * np.sqrt(seconds / YEAR) * noise
        self._factor *= exp(move)
        self._refresh()

    def jump(self, asset: int, move: float) -> None:
        """Move the outside price by a share: a shock."""
        self._factor[asset] *= 1.0 + move
        self._refresh()

    def trade(self, asset: int, usd: float) -> None:
        """Let a trade of so many US dollars (sold: negative) move the outside price."""
        self._factor[asset] *= 1.0 + self._impact[asset] * usd * 1e-6
        self._refresh()

    def _refresh(self) -> None:
        factor = self._factor.copy()
        factor[self._followers] *= self._factor[self._leaders]
        self.price = self._start * factor


class Channel:
    """The transfer channel between the venue and outside: open or cut, and so wide."""

    def __init__(self, settings: Transfers) -> None:
        self.settings = settings
        self.open = settings.open
        self._room = settings.capacity_usd
        self._last = 0

    def take(self, usd: float, now: int) -> float:
        """Return how much of a transfer the channel takes now, US dollars."""
        per_second = self.settings.capacity_usd / 60.0
        self._room += per_second * (now - self._last) * 1e-9
        self._room = min(self._room, self.settings.capacity_usd)
        self._last = now
        taken = min(usd, self._room) if self.open else 0.0
        self._room -= taken
        return taken
