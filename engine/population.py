"""Populations: accounts that are only there, drawn from distributions at the start.

They send nothing. What they hold and owe is what liquidations find.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..cython_ext.ledger import EXTERNAL
from .agents import Floats, Integers
from .chance import Stream, exp, log
from .config import Population as Settings
from .reading.drawing import choices, draw
from .traders import ENTRY_HEALTH

if TYPE_CHECKING:
    from .simulation import World

ROUNDS = 20
"""Most often that collateral is added to keep an account from liquidation."""

MORE = 1.2
"""So much more of it than what is short, haircuts left out."""


class Population:
    """Accounts with collateral, positions and coins on credit, all drawn at once.

    A position in a perpetual is opened, in a spot market it is bought: the account
    holds the coins and owes what they cost. An account whose positions need more than
    its equity gives gets twice their maintenance margin instead. Each population has a
    stream of its own.
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
        numbers = [exchange.market_number[market] for market in settings.markets]
        weights = world.volumes(settings.markets, settings.by_volume)
        chosen = choices(stream, (settings.positions, n), weights)
        self.market = np.array(numbers, np.int64)[chosen]
        side = np.where(
            stream.uniform(n * settings.positions) < settings.long_share, 1, -1
        ).reshape(settings.positions, n)
        usd = equity * leverage / settings.positions
        unit = (world.usd * exchange.lot)[self.market]
        self.lots = side * (usd / unit).astype(np.int64)
        self._weights: dict[int, Floats] = {}
        self._endow(stream, np.maximum(equity, ENTRY_HEALTH * self._maintenance()))

    def _parts(self, *, perpetual: bool) -> Iterator[tuple[int, Integers, Integers]]:
        # Market by market: accounts, counted from 0, and their lots there.
        market, lots = self.market.ravel(), self.lots.ravel()
        rows = np.flatnonzero(
            (self.world.exchange.perpetual[market] == perpetual) & (lots != 0)
        )
        rows = rows[np.argsort(market[rows], kind="stable")]
        found, first = np.unique(market[rows], return_index=True)
        for m, own in zip(found.tolist(), np.split(rows, first[1:]), strict=False):
            yield m, own % len(self.accounts), lots[own]

    def _maintenance(self) -> Floats:
        exchange, least = self.world.exchange, np.zeros(len(self.accounts))
        for m, rows, lots in self._parts(perpetual=True):
            qty = np.abs(lots) * float(exchange.lot[m])
            curve = exchange.rules.brackets_of(exchange.markets[m])
            least[rows] += curve.amount(qty * float(self.world.usd[m]), qty)
        return least

    def _endow(self, stream: Stream, usd: Floats) -> None:
        # Shares are weights; each account tilts them its own way.
        n, given = len(self.accounts), self.settings.collateral
        tilted = np.array([np.full(n, share) for share in given.values()])
        if self.settings.mix:
            for weight in tilted:
                weight *= stream.lognormal(n, 1.0, self.settings.mix)
        tilted /= tilted.sum(axis=0)
        number = self.world.exchange.asset_number
        self._weights = {number[a]: w for a, w in zip(given, tilted, strict=True)}
        held = self._bought()
        for asset, weight in self._weights.items():
            atoms = self._atoms(asset, usd * weight)
            held[asset] = held[asset] + atoms if asset in held else atoms
        for asset, atoms in held.items():
            self._bring(asset, self.accounts, atoms)

    def _bought(self) -> dict[int, Integers]:
        """Bring in the coins of spot positions; by quote what is owed for them."""
        exchange, owed = self.world.exchange, {}
        for m, rows, lots in self._parts(perpetual=False):
            base, quote = int(exchange.base[m]), int(exchange.quote[m])
            self._bring(base, self.accounts[rows], lots * exchange.specs[m].base_unit)
            if quote not in owed:
                owed[quote] = np.zeros(len(self.accounts), np.int64)
            worth: Floats = np.asarray(lots, np.float64) * (
                float(exchange.lot[m]) * float(self.world.usd[m])
            )
            owed[quote][rows] -= self._atoms(quote, worth)
        return owed

    def _atoms(self, asset: int, usd: Floats) -> Integers:
        unit = float(self.world.outside.price[asset] * self.world.exchange.atom[asset])
        return np.asarray((usd / unit).astype(np.int64))

    def _bring(self, asset: int, accounts: Integers, atoms: Integers) -> None:
        # Below zero it is a debt.
        ledger, owes = self.world.exchange.ledger, atoms < 0
        ledger.deposit_many(asset, accounts[~owes], atoms[~owes])
        if owes.any():
            ledger.transfer_many(asset, accounts[owes], EXTERNAL, -atoms[owes])

    def positions(self) -> tuple[Integers, Integers, Integers]:
        """Return accounts, markets and lots of perpetuals to open at the start."""
        parts = list(self._parts(perpetual=True))
        empty = [np.empty(0, np.int64)]
        return (
            self.accounts[np.concatenate([rows for _, rows, _ in parts] or empty)],
            np.concatenate([np.full(len(r), m) for m, r, _ in parts] or empty),
            np.concatenate([lots for *_, lots in parts] or empty),
        )

    def keep_distance(self) -> None:
        """Give more collateral to whom too small a move of prices would liquidate."""
        world, move = self.world, self.settings.distance
        if not move:
            return
        risk, prices = world.exchange.risk, world.exchange.prices
        least = world.exchange.rules.thresholds.liquidate
        for factor in (1.0 - move, 1.0 + move):
            index = self._moved(factor)
            mark = index[world.exchange.base] / index[world.exchange.quote]
            there = prices.risk_prices(prices.index * index, prices.mark * mark)
            rows = np.arange(len(self.accounts))
            counted = np.full(len(rows), -np.inf)
            for _ in range(ROUNDS):
                value = risk.at(*there, self.accounts[rows])
                short = least * value["maintenance"] - value["adjusted"]
                # More of what counts for nothing would be given in vain.
                own = (short >= 0.0) & (value["adjusted"] > counted)
                rows, short, counted = rows[own], short[own], value["adjusted"][own]
                if len(rows) == 0:
                    break
                # A coin counts for less than it is worth: the rest in the next round.
                usd = MORE * (short + 1.0) / min(factor, 1.0)
                for asset, weight in self._weights.items():
                    atoms = self._atoms(asset, usd * weight[rows])
                    self._bring(asset, self.accounts[rows], atoms)

    def _moved(self, factor: float) -> Floats:
        """What each asset's price is multiplied by where prices move so far together.

        Followers move by their beta, those that they follow as they are; what has
        neither leader, follower nor volatility stays.
        """
        coins = self.world.config.assets
        leaders = [coin.follows for coin in coins.values()]

        def power(name: str) -> float:
            coin = coins[name]
            if coin.follows is None:
                return float(coin.volatility > 0.0 or name in leaders)
            return coin.beta * power(coin.follows)

        powers = [power(name) for name in self.world.exchange.assets]
        return exp(np.array(powers) * log(np.array([factor])))
