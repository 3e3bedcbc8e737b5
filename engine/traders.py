"""Leveraged traders: a population of perpetual positions, mostly passive."""

from typing import TYPE_CHECKING

import numpy as np

from ..orderbook.orders import Flag, Side
from .agents import Agent, Floats, Integers
from .chance import LN2, exp
from .config import Traders as Settings
from .reading.drawing import choices

if TYPE_CHECKING:
    from .simulation import World

LEVERAGE_MAX = 50.0
ENTRY_HEALTH = 2.0
"""Least multiple of the maintenance margin a trader starts with."""


class Traders(Agent):
    """Traders with one perpetual position each, drawn from distributions.

    Most only hold. Some add margin when their health is low, after a delay; some have a
    stop: a market order that closes the position once the mark moved against it.
    """

    group = "traders"
    live = frozenset({"stop_at", "top_up_delay"})

    def __init__(self, world: "World", name: str, settings: Settings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        n = settings.count
        self.accounts = self.open_accounts(n)
        weights = world.volumes(settings.markets, settings.by_volume)
        (chosen,) = choices(self.stream, (1, n), weights)
        self.market = self.numbers(settings.markets)[chosen]
        leverage = self.stream.lognormal(n, settings.leverage, settings.dispersion)
        self.leverage = np.clip(leverage, 1.0, LEVERAGE_MAX)
        size = settings.size_usd * self.stream.pareto(n, settings.tail)
        # A Pareto variable has the median 2 ** (1 / exponent).
        size /= exp(np.array([LN2 / settings.tail]))
        size = np.minimum(size, 200.0 * settings.size_usd)
        self.side = np.where(self.stream.uniform(n) < settings.long_share, 1, -1)
        usd_lot = world.usd[self.market] * world.exchange.lot[self.market]
        self.lots = self.side * np.maximum((size / usd_lot).astype(np.int64), 1)
        self.margin = self._margin(np.abs(self.lots) * usd_lot)
        for account, usd in zip(
            self.accounts.tolist(), self.margin.tolist(), strict=True
        ):
            for asset, share in settings.collateral.items():
                self.fund(account, asset, usd * share)
        self.has_stop = self.stream.uniform(n) < settings.stop
        self.tops_up = self.stream.uniform(n) < settings.top_up
        self.called = np.full(n, np.iinfo(np.int64).max)  # when the new margin arrives
        self.entry = np.zeros(n)

    def _margin(self, notional: Floats) -> Floats:
        # What leverage asks for, and no less than the bracket of so large a position.
        rules, markets = self.world.exchange.rules, self.world.exchange.markets
        least = np.empty(len(notional))
        for m in np.unique(self.market).tolist():
            own = self.market == m
            qty = np.abs(self.lots[own]) * self.world.exchange.lot[m]
            least[own] = rules.brackets_of(markets[m]).amount(notional[own], qty)
        return np.maximum(notional / self.leverage, ENTRY_HEALTH * least)

    def positions(self) -> tuple[Integers, Integers, Integers]:
        """Return accounts, markets and lots to open at the start."""
        return self.accounts, self.market, self.lots

    def start(self) -> None:
        """Remember the marks at entry."""
        self.entry = self.world.exchange.mark[self.market]

    def wake(self, now: int) -> None:
        """Send the stops that were hit, and the margin that was called for."""
        exchange = self.world.exchange
        mark = exchange.mark[self.market]
        adverse = self.side * (1.0 - mark / self.entry)
        hit = np.flatnonzero(self.has_stop & (adverse > self.settings.stop_at))
        if len(hit):
            self.has_stop[hit] = False
            self._stop(hit)
        self._top_up(now)

    def _stop(self, hit: Integers) -> None:
        exchange = self.world.exchange
        markets = self.market[hit]
        cause = exchange.mark_event[markets]
        qty: Floats = np.abs(self.lots[hit]) * exchange.lot[markets]
        side = np.where(self.side[hit] > 0, Side.SELL, Side.BUY)
        self.send(
            self.orders(
                self.accounts[hit],
                markets,
                side,
                qty,
                cause=cause,
                flags=Flag.REDUCE_ONLY,
            )
        )

    def _top_up(self, now: int) -> None:
        world, settings = self.world, self.settings
        able = np.flatnonzero(self.tops_up)
        health = world.exchange.risk.at(accounts=self.accounts[able])["health"]
        low = able[health < world.exchange.rules.thresholds.warn]
        self.tops_up[low] = False
        wait = self.stream.exponential(len(low), settings.top_up_delay)
        self.called[low] = now + (wait * 1e9).astype(np.int64)
        for i in np.flatnonzero(self.called <= now).tolist():
            self.called[i] = np.iinfo(np.int64).max
            account = int(self.accounts[i])
            lots, _ = world.exchange.ledger.open_position(account, int(self.market[i]))
            if lots == 0 or account in world.exchange.liquidator.cases:
                continue
            # The money comes from outside, so it takes the channel too.
            usd = world.channel.take(float(self.margin[i]), now, "in")
            if usd > 0:
                self.fund(account, "USDT", usd)
                world.exchange.log.add(
                    "decision",
                    now,
                    world.blame(account),
                    account=account,
                    value=usd,
                    text="margin added, USD",
                )
