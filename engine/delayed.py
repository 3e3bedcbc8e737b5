"""Sales that lending elsewhere sends to the venue: margin calls and liquidations."""

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from ..orderbook.orders import Side
from .agents import NEVER, Agent, Floats
from .config import LiquidationBots as BotSettings
from .config import Whales as WhaleSettings
from .highs import Highs
from .reading.drawing import draw
from .takers import stocks

if TYPE_CHECKING:
    from .simulation import World

SMALLEST = 1e-3
"""Smallest share of a coin's loans that is liquidated at once."""


class _Sellers(Agent):
    """Accounts that sell coins at market, from the venue or brought to it first.

    Coins that are elsewhere come through the transfer channel, as much as it takes;
    what it does not take waits.
    """

    def __init__(
        self, world: "World", name: str, settings: WhaleSettings | BotSettings
    ) -> None:
        super().__init__(world, name, settings.interval)
        self.elsewhere = settings.elsewhere
        self.markets, self.usd = stocks(world, settings)
        self.assets = world.exchange.base[self.markets]
        # When they arrive, sequence, account, market, base units, cause.
        self._coming: list[tuple[int, int, int, int, float, int]] = []
        self._waiting: list[tuple[int, int, float, int]] = []
        self._sequence = 0

    def stock(self, account: int, usd: Floats) -> None:
        """Give an account its coins, unless they are elsewhere."""
        if not self.elsewhere:
            names = self.world.exchange.assets
            for asset, worth in zip(self.assets.tolist(), usd.tolist(), strict=True):
                self.fund(account, names[asset], worth)

    def sell(self, account: int, j: int, qty: float, cause: int) -> None:
        """Sell coins of the j-th market as soon as they are on the venue."""
        self._waiting.append((account, j, qty, cause))

    def deliver(self, now: int) -> None:
        """Bring what waits as far as the channel goes, and sell what is there."""
        sales = self._waiting
        if self.elsewhere:
            self._waiting = [left for row in sales if (left := self._bring(row, now))]
            sales = []
            while self._coming and self._coming[0][0] <= now:
                _, _, account, j, qty, cause = heappop(self._coming)
                self._arrive(account, j, qty)
                sales.append((account, j, qty, cause))
        else:
            self._waiting = []
        if sales:
            whose, place, amount, causes = map(np.array, zip(*sales, strict=True))
            market = self.markets[place]
            self.send(self.orders(whose, market, Side.SELL, amount, cause=causes))

    def _bring(
        self, row: tuple[int, int, float, int], now: int
    ) -> tuple[int, int, float, int] | None:
        # What of a sale the channel did not take.
        account, j, qty, cause = row
        world = self.world
        price = float(world.outside.price[self.assets[j]])
        taken = world.channel.take(qty * price, now, "in") / price
        if taken > 0:
            due = now + int(world.channel.settings.latency * 1e9)
            heappush(self._coming, (due, self._sequence, account, j, taken, cause))
            self._sequence += 1
        left = qty - taken
        return (account, j, left, cause) if left > 1e-9 * qty else None

    def _arrive(self, account: int, j: int, qty: float) -> None:
        """Hand over coins that arrived from elsewhere."""
        exchange, asset = self.world.exchange, int(self.assets[j])
        atoms = int(qty / exchange.atom[asset])
        self.bring(account, asset, atoms)


class Whales(_Sellers):
    """Large borrowers elsewhere who are called for margin, and answer it late.

    Each is called once for each of its coins, when the index of that coin in what its
    book is quoted in, or that of the one to ``watch`` in US dollars, has fallen from
    its high by a share of its own; after a delay of its own it sells, a clip at a time.
    """

    group = "whales"
    live = frozenset({"over"})

    def __init__(self, world: "World", name: str, settings: WhaleSettings) -> None:
        super().__init__(world, name, settings)
        self.settings = settings
        self.accounts = self.open_accounts(settings.count)
        spread = self.stream.lognormal(settings.count, 1.0, settings.dispersion)
        shares = spread / np.cumsum(spread)[-1]
        for account, share in zip(self.accounts.tolist(), shares.tolist(), strict=True):
            self.stock(account, share * self.usd)
        coins = self.usd / world.usd[self.markets]
        self.clip = settings.sell / settings.clips * shares[:, None] * coins[None, :]
        shape = self.clip.shape
        self.called_at = draw(self.stream, settings.count, settings.fall)
        # Drawn before anyone is called: whom a fall calls first changes no delay.
        delay = draw(self.stream, self.clip.size, settings.delay)
        self.delay = delay.reshape(shape)
        self.due = np.full(shape, NEVER)
        self.left = np.full(shape, settings.clips)
        self.cause = np.zeros(shape, np.int64)
        self.called = np.zeros(shape, np.bool_)
        self.named = self.assets  # whose falls they are
        if settings.watch is not None:
            number = world.exchange.asset_number[settings.watch]
            self.named = np.full(len(self.assets), number)
        self.highs = Highs(world.exchange, self.named)

    def watched(self) -> Floats:
        """Return each coin's index in its book's quote, or that of the one to watch."""
        if self.settings.watch is None:
            return self.world.exchange.index_in_quote(self.markets)
        return np.asarray(self.world.exchange.index[self.named])

    def wake(self, now: int) -> None:
        """Take the calls, and sell what is due."""
        fall = self.highs.look(self.watched())
        fresh = (fall[None, :] >= self.called_at[:, None]) & ~self.called
        if fresh.any():
            self._call(now, fresh, fall)
        step = int(self.settings.over / self.settings.clips * 1e9)
        for k, j in np.argwhere(self.due <= now).tolist():
            # All clips that were due since the last look.
            late, clips = now - int(self.due[k, j]), int(self.left[k, j])
            clips = min(clips, 1 + late // step) if step else clips
            qty, cause = clips * float(self.clip[k, j]), int(self.cause[k, j])
            self.sell(int(self.accounts[k]), j, qty, cause)
            self.left[k, j] -= clips
            self.due[k, j] = self.due[k, j] + clips * step if self.left[k, j] else NEVER
        self.deliver(now)

    def _call(self, now: int, fresh: np.ndarray, fall: Floats) -> None:
        world, clips = self.world, self.settings.clips
        k, j = np.nonzero(fresh)
        delay = self.delay[k, j]
        self.called |= fresh
        self.due[k, j] = now + (delay * 1e9).astype(np.int64)
        usd = self.clip[k, j] * clips * world.usd[self.markets[j]]
        causes = self.highs.causes(j).tolist()
        for i, (whale, coin) in enumerate(zip(k.tolist(), j.tolist(), strict=True)):
            watched, names = int(self.named[coin]), world.exchange.assets
            self.cause[whale, coin] = world.exchange.log.add(
                "decision",
                now,
                causes[i],
                account=int(self.accounts[whale]),
                asset=int(self.assets[coin]),
                value=float(usd[i]),
                text=f"called as {names[watched]} is {fall[coin]:.1%} below its high, "
                f"sells {names[int(self.assets[coin])]} in {delay[i]:.0f} s, USD",
            )


class LiquidationBots(_Sellers):
    """Those who liquidate loans elsewhere and sell the collateral on the venue.

    The loans are spread evenly over the falls of the index at which they are due, from
    ``threshold`` to ``full``: each new low of a coin's index, in what its book is
    quoted in, sets some more of it free.
    """

    group = "liquidation_bots"
    live = frozenset({"full", "threshold"})

    def __init__(self, world: "World", name: str, settings: BotSettings) -> None:
        super().__init__(world, name, settings)
        self.settings = settings
        self.account = int(self.open_accounts(1)[0])
        self.stock(self.account, self.usd)
        self.coins = self.usd / world.usd[self.markets]
        self.sold = np.zeros(len(self.markets))  # share of the coins
        self.highs = Highs(world.exchange, self.assets)

    def wake(self, now: int) -> None:
        """Sell what the last falls set free."""
        settings, exchange = self.settings, self.world.exchange
        index = exchange.index_in_quote(self.markets)
        beyond = self.highs.look(index) - settings.threshold
        share = np.clip(beyond / (settings.full - settings.threshold), 0.0, 1.0)
        fresh = share - self.sold
        # Not every tick of a price is a loan of its own.
        for j in np.flatnonzero((fresh > SMALLEST) | ((share == 1.0) & (fresh > 0))):
            cause = int(self.highs.causes(np.array([j]))[0])
            self.sell(self.account, int(j), float(fresh[j] * self.coins[j]), cause)
            self.sold[j] = share[j]
        self.deliver(now)
