"""Populations: accounts that are only there, drawn from distributions at the start.

They send nothing. What they hold is what liquidations find.
"""

from typing import TYPE_CHECKING

import numpy as np

from .agents import Floats, Integers
from .chance import Stream
from .config import Distribution
from .config import Population as Settings
from .traders import ENTRY_HEALTH

if TYPE_CHECKING:
    from .simulation import World


def draw(stream: Stream, n: int, distribution: Distribution) -> Floats:
    """Return n draws of a distribution.

    >>> law = Distribution(kind="uniform", least=2.0, most=3.0)
    >>> draws = draw(Stream(0, "example"), 1000, law)
    >>> bool(2.0 <= draws.min() < draws.max() < 3.0)
    True
    """
    least, most = distribution.least or 0.0, distribution.most or 0.0
    if distribution.kind == "fixed":
        return np.full(n, distribution.value or 0.0)
    if distribution.kind == "uniform":
        return np.asarray(least + (most - least) * stream.uniform(n))
    if distribution.kind == "lognormal":
        median, spread = distribution.median or 0.0, distribution.spread or 0.0
        return np.minimum(stream.lognormal(n, median, spread), most)
    tail = stream.pareto(n, distribution.exponent or 1.0)
    return np.minimum(least * tail, most)


class Population:
    """Accounts with collateral and perpetual positions, all drawn at once.

    An account whose positions need more than its equity gives gets twice their
    maintenance margin instead. Each population has a stream of its own.
    """

    group = "population"

    def __init__(self, world: "World", name: str, settings: Settings) -> None:
        self.world = world
        self.name = name
        self.settings = settings
        n, exchange = settings.count, world.exchange
        stream = world.stream(f"{self.group}.{name}")
        self.accounts = world.open_accounts(self.group, n)
        equity = draw(stream, n, settings.equity_usd)
        leverage = draw(stream, n, settings.leverage)
        # Positions in neighbouring markets, from a first one that is drawn.
        first = stream.integers(n, len(settings.markets))
        side = np.where(
            stream.uniform(n * settings.positions) < settings.long_share, 1, -1
        ).reshape(settings.positions, n)
        numbers = np.array(
            [exchange.market_number[market] for market in settings.markets], np.int64
        )
        self.market = np.empty((settings.positions, n), np.int64)
        self.lots = np.empty((settings.positions, n), np.int64)
        usd = equity * leverage / settings.positions
        for k in range(settings.positions):
            market = numbers[(first + k) % len(numbers)]
            unit = world.usd[market] * exchange.lot[market]
            self.market[k] = market
            self.lots[k] = side[k] * (usd / unit).astype(np.int64)
        self._endow(stream, np.maximum(equity, ENTRY_HEALTH * self._maintenance()))

    def _maintenance(self) -> Floats:
        exchange, least = self.world.exchange, np.zeros(len(self.accounts))
        for k in range(len(self.lots)):
            for m in np.unique(self.market[k]).tolist():
                own = self.market[k] == m
                qty = np.abs(self.lots[k, own]) * float(exchange.lot[m])
                curve = exchange.rules.brackets_of(exchange.markets[m])
                least[own] += curve.amount(qty * float(self.world.usd[m]), qty)
        return least

    def _endow(self, stream: Stream, usd: Floats) -> None:
        # Shares are weights; each account tilts them its own way.
        exchange, n = self.world.exchange, len(self.accounts)
        shares, mix = self.settings.collateral.values(), self.settings.mix
        weights = np.array([np.full(n, share) for share in shares])
        if mix:
            weights *= [stream.lognormal(n, 1.0, mix) for _ in shares]
        weights /= weights.sum(axis=0)
        for asset, weight in zip(self.settings.collateral, weights, strict=True):
            number = exchange.asset_number[asset]
            unit = float(self.world.outside.price[number] * exchange.atom[number])
            atoms = (usd * weight / unit).astype(np.int64)
            exchange.ledger.deposit_many(number, self.accounts, atoms)

    def positions(self) -> tuple[Integers, Integers, Integers]:
        """Return accounts, markets and lots to open at the start."""
        accounts = np.tile(self.accounts, len(self.lots))
        return accounts, self.market.ravel(), self.lots.ravel()
