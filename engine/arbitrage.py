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
        self.dollar = exchange.asset_number["USDT"]
        # What is on its way back: when it arrives, asset, atoms.
        self.sent: list[tuple[int, int, int]] = []

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
            cause = self.movers(markets)
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
        # What arrives was sent before; what is on its way counts as held.
        world, clip = self.world, self.settings.clip_usd
        for due, asset, atoms in self.sent:
            if due <= now:
                world.exchange.ledger.transfer(asset, EXTERNAL, self.account, atoms)
            else:
                worth = atoms * world.exchange.atom[asset] * world.outside.price[asset]
                held[asset] += worth
        self.sent = [entry for entry in self.sent if entry[0] > now]
        for asset in self.coins.tolist():
            price = float(world.outside.price[asset])
            surplus = float(held[asset]) - float(self.target[asset]) * price
            if surplus > clip:
                moved = world.channel.take(surplus, now)
                self._swap(asset, self.dollar, moved, price, now)
            elif surplus < -clip:
                most = min(-surplus, max(0.0, self._dollars()))
                moved = world.channel.take(most, now)
                self._swap(self.dollar, asset, moved, price, now)

    def _swap(self, gives: int, gets: int, usd: float, price: float, now: int) -> None:
        """Send one asset out, trade it there for the other, which comes back later.

        ``price`` is the coin's before the trade, whose impact it bears.
        """
        world, coin = self.world, gets if gives == self.dollar else gives
        unit = world.exchange.atom
        rate = price if gives == coin else 1.0
        atoms = int(usd / rate / unit[gives])
        if atoms == 0:
            return
        world.exchange.ledger.transfer(gives, self.account, EXTERNAL, atoms)
        world.outside.trade(coin, -usd if gives == coin else usd)
        after = float(world.outside.price[coin])
        usd = atoms * unit[gives] * (after if gives == coin else 1.0)
        back = int(usd / (after if gets == coin else 1.0) / unit[gets])
        due = now + int(world.channel.settings.latency * 1e9)
        self.sent.append((due, gets, back))

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
        return float(self._held_usd()[self.dollar])
