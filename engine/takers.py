"""Takers: everyday flow, holders who panic, and the order flow of shocks."""

from typing import TYPE_CHECKING

import numpy as np

from ..orderbook.orders import Side
from .agents import Agent
from .config import Background as BackgroundSettings
from .config import Holders as HolderSettings
from .config import Shock

if TYPE_CHECKING:
    from .simulation import World


class Background(Agent):
    """Small market orders, buys and sells alike, that come whatever happens."""

    group = "background"

    def __init__(self, world: "World", name: str, settings: BackgroundSettings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.markets = self.numbers(settings.markets)
        self.account = int(self.open_accounts(1)[0])
        exchange = world.exchange
        assets = {exchange.assets[a] for a in exchange.base[self.markets]} | {"USDT"}
        each = settings.usd / len(assets)
        self.fund_all([self.account], dict.fromkeys(sorted(assets), each))

    def wake(self, now: int) -> None:
        """Send the orders of one interval."""
        n = len(self.markets)
        mean = self.settings.rate * self.settings.interval
        count = (mean + self.stream.uniform(n)).astype(np.int64)
        markets = np.repeat(self.markets, count)
        size = self.stream.lognormal(len(markets), self.settings.size_usd, 1.0)
        side = np.where(self.stream.uniform(len(markets)) < 0.5, Side.BUY, Side.SELL)
        self.send(
            self.orders(self.account, markets, side, size / self.world.usd[markets])
        )


class Holders(Agent):
    """Holders who sell part of a coin once its price on the venue has fallen enough."""

    group = "holders"

    def __init__(self, world: "World", name: str, settings: HolderSettings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.accounts = self.open_accounts(settings.count)
        each = {asset: usd / settings.count for asset, usd in settings.assets.items()}
        self.fund_all(self.accounts.tolist(), each)
        exchange = world.exchange
        self.assets = np.array([exchange.asset_number[a] for a in each], np.int64)
        self.markets = self.numbers([f"{asset}/USDT" for asset in each])
        self.coins = np.array(
            [
                usd / world.outside.price[a]
                for a, usd in zip(self.assets, each.values(), strict=True)
            ]
        )
        self.holding = np.ones((settings.count, len(self.assets)))
        self.high = np.zeros(len(self.assets))

    def wake(self, now: int) -> None:
        """Let the scared ones sell a part at market."""
        exchange, settings = self.world.exchange, self.settings
        index = exchange.index[self.assets]
        self.high = np.maximum(self.high, index)
        scared = index < self.high * (1.0 - settings.threshold)
        draw = self.stream.uniform(self.holding.size).reshape(self.holding.shape)
        k, j = np.nonzero(
            scared[None, :] & (draw < settings.hazard) & (self.holding > 0.05)
        )
        if len(k) == 0:
            return
        qty = self.coins[j] * self.holding[k, j] * settings.sell
        self.holding[k, j] *= 1.0 - settings.sell
        cause = np.array([exchange.index_event[a] for a in self.assets[j].tolist()])
        self.send(
            self.orders(self.accounts[k], self.markets[j], Side.SELL, qty, cause=cause)
        )


class ShockOrders(Agent):
    """The market orders of one shock, in slices over its time."""

    group = "shocks"

    def __init__(self, world: "World", number: int, shock: Shock) -> None:
        step = shock.over / shock.slices if shock.over else 1.0
        super().__init__(world, str(number), step)
        exchange = world.exchange
        self.shock = shock
        self.account = int(self.open_accounts(1)[0])
        self.market = exchange.market_number[str(shock.market)]
        spec = exchange.specs[self.market]
        if shock.qty is not None:
            lots = spec.lots(shock.qty)
        else:
            usd = shock.usd or 0.0
            lots = int(usd / (world.usd[self.market] * exchange.lot[self.market]))
        if spec.perpetual:
            self.fund(
                self.account, "USDT", lots * world.usd[self.market] * float(spec.lot)
            )
        elif shock.side == "sell":
            exchange.ledger.deposit(
                self.account, exchange.asset_number[spec.base], lots * spec.base_unit
            )
        else:
            cost = 2.0 * lots * float(spec.lot) * world.usd[self.market]
            self.fund(self.account, "USDT", cost)
        whole, rest = divmod(lots, shock.slices)
        self.slices = [whole + (i < rest) for i in range(shock.slices)]
        self.event = 0

    def wake(self, now: int) -> None:
        """Send the next slice."""
        if self.slices and self.event:
            qty = np.array([self.slices.pop(0) * self.world.exchange.lot[self.market]])
            side = Side[self.shock.side.upper()]
            batch = self.orders(self.account, self.market, side, qty, cause=self.event)
            self.send(batch)
