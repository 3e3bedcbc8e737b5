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

    In spot it pays with what it holds; coins bought have to leave, and coins sold to
    come back, through the transfer channel, so while that is cut it trades until its
    inventory on the venue is used up. In a perpetual, hedged outside, it holds at most
    the same amount either way. Moving coins moves the outside price by their impact.
    """

    group = "arbitrage"

    def __init__(self, world: "World", name: str, settings: Settings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.account = int(self.open_accounts(1)[0])
        self.markets = self.numbers(settings.markets)
        exchange = world.exchange
        self.base, self.quote = (
            exchange.base[self.markets],
            exchange.quote[self.markets],
        )
        self.perpetual = exchange.perpetual[self.markets]
        spot = ~self.perpetual
        coins = np.unique(np.concatenate([self.base[spot], self.quote[spot]]))
        names = [exchange.assets[a] for a in coins.tolist()]
        dollars = dict.fromkeys(names, settings.coins_usd) | {"USDT": settings.usd}
        self.fund_all([self.account], dollars)
        self.coins = np.array(
            [exchange.asset_number[a] for a in names if a != "USDT"], np.int64
        )
        self.target = self._held_usd() / world.outside.price
        self.returning: list[tuple[int, float]] = []  # dollars on their way: when, USD

    def wake(self, now: int) -> None:
        """Trade the gaps, then move surplus coins out and their dollars in."""
        world, settings = self.world, self.settings
        fair, clip = world.fair[self.markets], settings.clip_usd
        held = self._held_usd()
        ask, bid = world.ask[self.markets], world.bid[self.markets]
        cheap = (ask > 0) & (ask < fair * (1.0 - settings.threshold))
        dear = bid > fair * (1.0 + settings.threshold)
        for gap, side, edge, pays in (
            (cheap, Side.BUY, -0.5, self.quote),
            (dear, Side.SELL, 0.5, self.base),
        ):
            able = np.where(self.perpetual, self._room(side), held[pays]) > clip
            j = np.flatnonzero(gap & able)
            markets = self.markets[j]
            cause = np.array(
                [world.exchange.movers.of(m) for m in markets.tolist()], np.int64
            )
            price = fair[j] * (1.0 + edge * settings.threshold)
            qty = clip / world.usd[markets]
            batch = self.orders(
                self.account,
                markets,
                side,
                qty,
                price,
                tif=TimeInForce.IOC,
                cause=cause,
            )
            self.send(batch)
        self._transfer(now, held)

    def _transfer(self, now: int, held: Floats) -> None:
        world, clip = self.world, self.settings.clip_usd
        for asset in self.coins.tolist():
            price = float(world.outside.price[asset])
            surplus = float(held[asset]) - float(self.target[asset]) * price
            if surplus > clip:
                moved = world.channel.take(surplus, now)
                self._move(asset, EXTERNAL, moved)
                latency = int(world.channel.settings.latency * 1e9)
                self.returning.append((now + latency, moved))
            elif surplus < -clip:
                moved = world.channel.take(
                    min(-surplus, max(0.0, self._dollars())), now
                )
                self.fund(self.account, "USDT", -moved)
                self._move(asset, self.account, moved)
        arrived = [usd for when, usd in self.returning if when <= now]
        self.returning = [entry for entry in self.returning if entry[0] > now]
        for usd in arrived:
            self.fund(self.account, "USDT", usd)

    def _move(self, asset: int, target: int, usd: float) -> None:
        # Coins leave to be sold outside, or come in after they were bought there.
        world = self.world
        atoms = int(usd / world.outside.price[asset] / world.exchange.atom[asset])
        source = self.account if target == EXTERNAL else EXTERNAL
        world.exchange.ledger.transfer(asset, source, target, atoms)
        world.outside.trade(asset, -usd if target == EXTERNAL else usd)

    def _held_usd(self) -> Floats:
        held = np.zeros(len(self.world.exchange.assets))
        for row in self.world.exchange.ledger.balances_of(self.account):
            held[row["asset"]] = row["amount"] * self.world.exchange.atom[row["asset"]]
        return np.asarray(held * self.world.outside.price)

    def _room(self, side: Side) -> Floats:
        # What a perpetual position may still grow by, US dollars.
        world, sign = self.world, 1.0 if side == Side.BUY else -1.0
        position = np.zeros(len(world.exchange.markets))
        for row in world.exchange.ledger.positions_of(self.account):
            m = int(row["market"])
            position[m] = row["lots"] * world.exchange.lot[m] * world.usd[m]
        return np.asarray(self.settings.coins_usd - sign * position[self.markets])

    def _dollars(self) -> float:
        return float(self._held_usd()[self.world.exchange.asset_number["USDT"]])
