"""Market makers: margined accounts that quote ladders, until it gets too hot."""

from math import fsum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..orderbook.orders import Side
from .agents import Agent, Floats, Integers, Rows
from .chance import LN2, exp, log
from .config import MarketMakers as Settings
from .events import NO_CAUSE

if TYPE_CHECKING:
    from .simulation import World

Bools = NDArray[np.bool_]

MEMORY = 10
"""Wakes over which volatility and forced flow are measured."""


class MarketMakers(Agent):
    """A fleet of makers that quote the same markets, each from its own unified account.

    A maker shrinks its quotes with the forced flow and the volatility of a market
    (bids twice as fast as asks), pulls its bids everywhere when its own health falls,
    or in one market when the price runs, and comes back slowly and smaller.
    """

    group = "market_makers"

    def __init__(self, world: "World", name: str, settings: Settings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        exchange = world.exchange
        self.accounts = self.open_accounts(settings.count)
        self.markets = self.numbers(settings.markets)
        self._collateral = np.array(
            [exchange.asset_number[a] for a in settings.collateral], np.int64
        )
        shape = (settings.count, len(self.markets))
        spread = self.stream.lognormal(settings.count, 1.0, settings.dispersion)
        self.equity = settings.equity_usd * spread
        self._endow()
        self.weight = self.equity / settings.equity_usd
        steps = np.arange(settings.levels) / max(1, settings.levels - 1)
        half = settings.half_spread_bp * 1e-4
        self.distance = half * exp(log(np.array([settings.reach / half])) * steps)
        growth = np.full(settings.levels, settings.growth)
        growth[0] = settings.size_usd
        self.shape_usd = np.cumprod(growth)
        self.scale = np.array([settings.scale.get(m, 1.0) for m in settings.markets])
        self.quoted = np.full(shape, np.nan)  # fair price of the last quote
        self.quoted_size = np.zeros(shape)
        self.quoted_inventory = np.full(shape, np.nan)
        self.calm = np.ones(shape, np.bool_)  # bids not withdrawn for volatility
        self.healthy = np.ones(settings.count, np.bool_)
        self.size = np.ones(shape)  # below 1 after a withdrawal
        self.target = np.zeros(shape)
        self.first_index = exchange.index
        self.venue = world.fair[self.markets]
        self._prices = np.full((MEMORY, len(self.markets)), np.nan)
        self._forced = np.zeros((MEMORY, len(exchange.markets)))
        self._forced_before = np.zeros(len(exchange.markets))
        self._wakes = 0

    def _endow(self) -> None:
        # Collateral and inventory; what they cost beyond the equity is borrowed.
        settings = self.settings
        n = len(self.accounts)
        tilt = {
            a: self.stream.lognormal(n, 1.0, settings.mix) for a in settings.collateral
        }
        for k, (account, equity) in enumerate(
            zip(self.accounts.tolist(), self.equity.tolist(), strict=True)
        ):
            shares = {
                a: share * float(tilt[a][k]) for a, share in settings.collateral.items()
            }
            for asset, share in settings.inventory.items():
                shares[asset] = shares.get(asset, 0.0) + share
            for asset, share in shares.items():
                self.fund(account, asset, share * equity)
            self.fund(account, "USDT", (1.0 - fsum(shares.values())) * equity)

    def start(self) -> None:
        """Remember the holdings at the start as those to return to."""
        self.target = self._holdings()
        self.first_index = self.world.exchange.index.copy()

    def hedges(self) -> dict[str, Floats]:
        """Return the short each maker wants in the perpetual of each inventory, USD."""
        return {
            f"{asset}/USDT:PERP": share * self.settings.hedge * self.equity
            for asset, share in self.settings.inventory.items()
            if self.settings.hedge
        }

    # -- WAKING

    def wake(self, now: int) -> None:
        """Withdraw, come back, and quote anew where the old quotes no longer fit."""
        fair = self._fair()
        volatility = self._remember(fair)
        forced = self._forced_flow()
        alive = self._alive()
        self._judge_venue(now, alive)
        self._judge_volatility(now, volatility, alive)
        factor_buy = exp(
            -self.settings.beta * forced[self.markets]
            - self.settings.gamma * volatility
        )
        size = self.size * factor_buy[None, :] * alive[:, None]
        self._quote(fair, size, alive)

    def _fair(self) -> Floats:
        world, settings = self.world, self.settings
        weight = settings.anchor if world.channel.open else settings.frozen_anchor
        outside, middle = world.fair[self.markets], world.middle[self.markets]
        # A moving average: one print does not move a maker, a run of them does.
        step = min(1.0, settings.interval / settings.memory)
        self.venue += step * (np.where(middle > 0, middle, self.venue) - self.venue)
        return np.asarray(weight * outside + (1.0 - weight) * self.venue)

    def _remember(self, fair: Floats) -> Floats:
        # Volatility: the range of the traded price over the last wakes.
        last = self.world.last[self.markets]
        self._prices[self._wakes % MEMORY] = np.where(last > 0, last, fair)
        self._wakes += 1
        high, low = np.nanmax(self._prices, axis=0), np.nanmin(self._prices, axis=0)
        return np.asarray((high - low) / fair)

    def _forced_flow(self) -> Floats:
        # Millions of US dollars sold by force in each market over the last wakes.
        total = self.world.exchange.sold_usd * 1e-6
        self._forced[self._wakes % MEMORY] = total - self._forced_before
        self._forced_before = total
        return np.asarray(self._forced.sum(axis=0))

    def _judge_venue(self, now: int, alive: Bools) -> None:
        """Pull the bids of all books for reasons that are not one market's."""
        settings, world = self.settings, self.world
        if not settings.withdraw:
            return
        health = world.exchange.risk.at(accounts=self.accounts)["health"]
        slow = world.gateway.delay(now) > settings.patience
        most = np.inf if settings.withdraw_forced is None else settings.withdraw_forced
        forced = float(self._forced.sum())
        rout = forced > most
        low = (health < settings.withdraw_at) | slow | rout
        for k in np.flatnonzero(self.healthy & low & alive).tolist():
            why, cause = (
                f"own health {health[k]:.2f}",
                world.blame(int(self.accounts[k])),
            )
            if slow:
                why, cause = "the gateway does not answer", NO_CAUSE
            elif rout:
                why = f"USD {forced:.1f} m sold by force on the venue"
                cause = world.exchange.forced_event
            self._withdraw(k, -1, f"bids withdrawn: {why}", cause)
        self.healthy &= ~low
        calm = (
            (health > 1.2 * settings.withdraw_at) & (not slow) & (forced < 0.5 * most)
        )
        draw = self.stream.uniform(len(self.accounts))
        back = calm & ~self.healthy & (draw < self._hazard())
        self.size[back] = settings.return_size
        self.healthy |= back

    def _judge_volatility(self, now: int, volatility: Floats, alive: Bools) -> None:
        settings, world = self.settings, self.world
        if not settings.withdraw:
            return
        wild = volatility > settings.withdraw_volatility
        seconds = MEMORY * settings.interval
        for k, j in np.argwhere(self.calm & wild[None, :] & alive[:, None]).tolist():
            market = int(self.markets[j])
            text = f"bids withdrawn: price moved {volatility[j]:.1%} in {seconds:g} s"
            self._withdraw(k, market, text, world.exchange.movers.of(market))
        self.calm &= ~wild
        quiet = (volatility < 0.5 * settings.withdraw_volatility)[None, :] & ~self.calm
        draw = self.stream.uniform(quiet.size).reshape(quiet.shape)
        back = quiet & (draw < self._hazard())
        self.size[back] = settings.return_size
        self.calm |= back

    def _hazard(self) -> float:
        # Chance of coming back in one wake, from the half-life.
        wakes = self.settings.half_life / self.settings.interval
        return float(1.0 - exp(np.array([-LN2 / wakes]))[0])

    def _withdraw(self, k: int, market: int, text: str, cause: int) -> None:
        account = int(self.accounts[k])
        event = self.world.exchange.log.add(
            "withdrawal",
            self.world.now,
            cause,
            account=account,
            market=market,
            text=text,
        )
        self.send(self.cancel_all(account, market, Side.BUY, event))

    # -- QUOTING

    def _quote(self, fair: Floats, size: Floats, alive: Bools) -> None:
        settings = self.settings
        holdings = self._holdings()
        usd = self.world.usd[self.markets]
        inventory = (holdings - self.target) * usd[None, :]
        room = np.clip(1.0 - inventory / self._limit(), 0.0, 2.0)
        lean = np.clip(inventory / self._limit(), -1.0, 1.0)
        price = fair[None, :] * (1.0 - settings.skew_bp * 1e-4 * lean)
        bidding = self.calm & self.healthy[:, None]
        bids = size * bidding * np.minimum(room, 1.0)
        asks = np.minimum(np.sqrt(size), 1.0) * alive[:, None]
        moved = np.abs(price / self.quoted - 1.0) > 0.5 * self.distance[0]
        filled = (
            np.abs(inventory - self.quoted_inventory)
            > 0.1 * self.shape_usd[0] * self.scale
        )
        resized = np.abs(bids - self.quoted_size) > 0.2 * (self.quoted_size + 0.05)
        stale = ~(np.abs(price / self.quoted - 1.0) >= 0.0)
        todo = np.argwhere((moved | filled | resized | stale) & alive[:, None])
        if len(todo) == 0:
            return
        k, j = todo[:, 0], todo[:, 1]
        self.quoted[k, j] = price[k, j]
        self.quoted_size[k, j] = bids[k, j]
        self.quoted_inventory[k, j] = inventory[k, j]
        self.send(
            self._ladders(k, j, price[k, j], bids[k, j], asks[k, j], holdings[k, j])
        )

    def _limit(self) -> Floats:
        limit = self.settings.inventory_limit_usd
        return np.asarray(limit * self.weight[:, None] * self.scale[None, :])

    def _ladders(
        self,
        k: Integers,
        j: Integers,
        price: Floats,
        bids: Floats,
        asks: Floats,
        held: Floats,
    ) -> Rows:
        # Of each pair of maker and market: cancel everything, then the new ladders.
        n, levels = len(k), self.settings.levels
        accounts, markets = self.accounts[k], self.markets[j]
        usd = (
            self.weight[k, None]
            * self.shape_usd[None, :]
            / self.world.usd[markets][:, None]
        )
        usd *= self.scale[j][:, None]
        buy = usd * bids[:, None]
        sell = usd * asks[:, None]
        spot = ~self.world.exchange.perpetual[markets]
        cover = np.where(
            spot, 0.95 * np.maximum(held, 0.0) / sell.sum(axis=1).clip(1e-12), 1.0
        )
        sell *= np.minimum(cover, 1.0)[:, None]
        rows = [
            self.orders(
                np.repeat(accounts, levels),
                np.repeat(markets, levels),
                side,
                qty.ravel(),
                (price[:, None] * (1.0 + sign * self.distance[None, :])).ravel(),
            )
            for side, sign, qty in ((Side.BUY, -1.0, buy), (Side.SELL, 1.0, sell))
        ]
        batch = np.concatenate([self.cancel_all(accounts, markets, Side.BOTH), *rows])
        # Each pair's cancel comes just before its own orders. Accounts are in a row.
        first = self.accounts[0]
        place = np.empty((len(self.accounts), len(self.world.exchange.markets)), int)
        place[k, markets] = np.arange(n)
        pairs = place[batch["account"] - first, batch["market"]]
        return batch[np.argsort(pairs, kind="stable")]

    def _holdings(self) -> Floats:
        # Base units of each maker and market: coins, or the perpetual position.
        exchange = self.world.exchange
        rows = exchange.ledger.positions_many(self.accounts)
        lots = np.zeros((len(self.accounts), len(exchange.markets)), np.int64)
        np.add.at(
            lots, (rows["account"] - self.accounts[0], rows["market"]), rows["lots"]
        )
        out = lots[:, self.markets] * exchange.lot[self.markets]
        spot = ~exchange.perpetual[self.markets]
        coins = exchange.base[self.markets[spot]]
        out[:, spot] = self._balances(coins) * exchange.atom[coins]
        return out

    def _balances(self, assets: Integers) -> Integers:
        # Atoms of each maker and asset.
        numbers, balance = assets.tolist(), self.world.exchange.ledger.balance
        rows = [[balance(k, a) for a in numbers] for k in self.accounts.tolist()]
        return np.array(rows, np.int64)

    def collateral_lost(self) -> Floats:
        """Return what repricing took from each maker's collateral coins, US dollars."""
        exchange, assets = self.world.exchange, self._collateral
        fall = (self.first_index - exchange.index) * exchange.atom
        # A running sum, not a pairwise one: the figures are those of any NumPy.
        lost = np.cumsum(self._balances(assets) * fall[assets], axis=1)
        return np.asarray(lost[:, -1]) if len(assets) else np.zeros(len(lost))

    def _alive(self) -> Bools:
        fallen = self.world.exchange.liquidator.liquidated
        return np.array([a not in fallen for a in self.accounts.tolist()], np.bool_)

    def quoting(self) -> Floats:
        """Return the share of its markets in which each maker bids."""
        alive = self._alive()
        return np.asarray(
            (self.calm & self.healthy[:, None] & alive[:, None]).mean(axis=1)
        )
