"""Takers: everyday flow, and holders who panic."""

from typing import TYPE_CHECKING

import numpy as np

from ..orderbook.orders import Side, TimeInForce
from .agents import Agent, Floats, Integers
from .config import Background as BackgroundSettings
from .config import Holders as HolderSettings
from .config import LiquidationBots, Whales
from .highs import Highs

if TYPE_CHECKING:
    from .simulation import World


class Background(Agent):
    """Small market orders, buys and sells alike, that come whatever happens."""

    group = "background"
    live = frozenset({"size_usd"})

    def __init__(self, world: "World", name: str, settings: BackgroundSettings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.markets = self.numbers(settings.markets)
        self.account = int(self.open_accounts(1)[0])
        exchange = world.exchange
        sides = exchange.base[self.markets], exchange.quote[self.markets]
        numbers = np.unique(np.concatenate([*sides, [exchange.asset_number["USDT"]]]))
        assets = {exchange.assets[a] for a in numbers.tolist()}
        each = settings.usd / len(assets)
        self.fund_all([self.account], dict.fromkeys(sorted(assets), each))
        weights = world.volumes(settings.markets, settings.by_volume)
        share = weights * (len(weights) / np.cumsum(weights)[-1])
        self.mean = settings.rate * settings.interval * share  # orders of a wake

    def wake(self, now: int) -> None:
        """Send the orders of one interval."""
        n = len(self.markets)
        count = (self.mean + self.stream.uniform(n)).astype(np.int64)
        markets = np.repeat(self.markets, count)
        size = self.stream.lognormal(len(markets), self.settings.size_usd, 1.0)
        side = np.where(self.stream.uniform(len(markets)) < 0.5, Side.BUY, Side.SELL)
        qty = size / self.world.usd[markets]
        price, tif = self._bounds(markets, side), TimeInForce.IOC
        self.send(self.orders(self.account, markets, side, qty, price, tif))

    def _bounds(self, markets: Integers, side: Integers) -> Floats | None:
        # No farther from the index than anybody sells or buys who is free not to.
        share = self.settings.slippage
        if share is None:
            return None
        factor = np.where(side == Side.BUY, 1.0 + share, 1.0 - share)
        return np.asarray(self.world.exchange.index_in_quote(markets) * factor)


def stocks(
    world: "World", settings: "HolderSettings | LiquidationBots | Whales"
) -> tuple[Integers, Floats]:
    """Return where coins may be sold, and the US dollars of them that there are.

    ``assets`` are sold in their USDT books; ``held_usd`` is shared out to the books
    named in ``markets`` by their volume.
    """
    table = world.exchange.market_number
    names = [f"{asset}/USDT" for asset in settings.assets]
    usd = list(settings.assets.values())
    volumes = [world.config.markets[m].volume_usd or 1.0 for m in settings.markets]
    if volumes:
        whole = np.cumsum(volumes)[-1]
        usd += [settings.held_usd * volume / whole for volume in volumes]
    markets = [table[name] for name in (*names, *settings.markets)]
    return np.array(markets, np.int64), np.array(usd, np.float64)


class Holders(Agent):
    """Holders who sell part of a coin once its index has fallen enough.

    In what the book is quoted in: a staked coin in its coin's book against that coin.
    """

    group = "holders"
    live = frozenset({"hazard", "sell", "threshold"})

    def __init__(self, world: "World", name: str, settings: HolderSettings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.accounts = self.open_accounts(settings.count)
        self.markets, usd = stocks(world, settings)
        self.assets = world.exchange.base[self.markets]
        each = usd / settings.count
        names = [world.exchange.assets[a] for a in self.assets.tolist()]
        for account in self.accounts.tolist():
            # A coin with two books comes twice.
            for coin, worth in zip(names, each.tolist(), strict=True):
                self.fund(account, coin, worth)
        self.coins = each / world.outside.price[self.assets]
        self.holding = np.ones((settings.count, len(self.assets)))
        self.highs = Highs(world.exchange, self.assets)

    def wake(self, now: int) -> None:
        """Let the scared ones sell a part at market."""
        exchange, settings = self.world.exchange, self.settings
        index = exchange.index_in_quote(self.markets)
        self.highs.look(index)
        scared = np.flatnonzero(index < self.highs.high * (1.0 - settings.threshold))
        if len(scared) == 0:
            self.stream.skip(self.holding.size)
            return
        draw = self.stream.uniform(self.holding.size).reshape(self.holding.shape)
        acts = draw[:, scared] < settings.hazard
        k, j = np.nonzero(acts & (self.holding[:, scared] > 0.05))
        if len(k) == 0:
            return
        j = scared[j]
        qty = self.coins[j] * self.holding[k, j] * settings.sell
        self.holding[k, j] *= 1.0 - settings.sell
        cause = self.highs.causes(j)
        self.send(
            self.orders(self.accounts[k], self.markets[j], Side.SELL, qty, cause=cause)
        )
