"""Arbitrage between the venue and the outside market, as far as transfers allow."""

from typing import TYPE_CHECKING

import numpy as np

from ..cython_ext.ledger import EXTERNAL
from ..orderbook.orders import Side, TimeInForce
from .agents import Agent, Floats
from .config import Arbitrage as Settings

if TYPE_CHECKING:
    from .simulation import World


class Arbitrageur(Agent):
    """Buys on the venue what is cheaper than outside, sells what is dearer.

    Each leg outside moves the outside price by the asset's impact. Coins bought have to
    leave, and dollars come back, through the transfer channel; while it is cut, the
    arbitrageur trades until its inventory on the venue is used up.
    """

    group = "arbitrage"

    def __init__(self, world: "World", name: str, settings: Settings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.account = int(self.open_accounts(1)[0])
        self.markets = self.numbers(settings.markets)
        self.base = world.exchange.base[self.markets]
        coins = {world.exchange.assets[a]: settings.coins_usd for a in self.base.tolist()}
        self.fund_all([self.account], {**coins, "USDT": settings.usd})
        self.target = self._held()
        self.returning: list[tuple[int, float]] = []  # dollars on their way: when, USD

    def wake(self, now: int) -> None:
        """Trade the gaps, then move surplus coins out and their dollars in."""
        world, settings = self.world, self.settings
        fair = world.fair[self.markets]
        ask, bid = world.ask[self.markets], world.bid[self.markets]
        usd = world.usd[self.markets]
        buy = (ask > 0) & (ask < fair * (1.0 - settings.threshold))
        sell = bid > fair * (1.0 + settings.threshold)
        held = self._held()
        dollars = self._dollars()
        clip = np.full(len(usd), settings.clip_usd)
        # No more than it has, and no more than leaves the last clip unspent.
        buy &= np.cumsum(np.where(buy, clip, 0.0)) <= dollars
        sell &= held * usd > clip
        for chosen, side, edge in ((buy, Side.BUY, -0.5), (sell, Side.SELL, 0.5)):
            j = np.flatnonzero(chosen)
            price = fair[j] * (1.0 + edge * settings.threshold)
            markets = self.markets[j]
            cause = np.array([world.exchange.last_trade[m] for m in markets.tolist()], np.int64)
            self.send(
                self.orders(
                    self.account, markets, side, clip[j] / usd[j], price,
                    tif=TimeInForce.IOC, cause=cause,
                )  # fmt: skip
            )
        self._transfer(now, held)

    def _transfer(self, now: int, held: Floats) -> None:
        world = self.world
        ledger, exchange = world.exchange.ledger, world.exchange
        for j, asset in enumerate(self.base.tolist()):
            surplus = (held[j] - self.target[j]) * world.outside.price[asset]
            if abs(surplus) < self.settings.clip_usd:
                continue
            moved = world.channel.take(abs(surplus), now)
            atoms = int(moved / world.outside.price[asset] / exchange.atom[asset])
            if atoms == 0:
                continue
            if surplus > 0:
                ledger.transfer(asset, self.account, EXTERNAL, atoms)
                latency = int(world.channel.settings.latency * 1e9)
                self.returning.append((now + latency, moved))
                world.outside.trade(asset, -moved)
            elif self._dollars() >= moved:
                self.fund(self.account, "USDT", -moved)
                ledger.transfer(asset, EXTERNAL, self.account, atoms)
                world.outside.trade(asset, moved)
        arrived = [usd for when, usd in self.returning if when <= now]
        self.returning = [entry for entry in self.returning if entry[0] > now]
        for usd in arrived:
            self.fund(self.account, "USDT", usd)

    def _held(self) -> Floats:
        exchange = self.world.exchange
        return np.array(
            [exchange.ledger.balance(self.account, a) * exchange.atom[a] for a in self.base.tolist()]
        )

    def _dollars(self) -> float:
        exchange = self.world.exchange
        number = exchange.asset_number["USDT"]
        return float(exchange.ledger.balance(self.account, number) * exchange.atom[number])
