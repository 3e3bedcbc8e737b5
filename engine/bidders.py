"""Buyers who wait: stale bids, observed ladders, and bargain hunters."""

from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from ..cython_ext.gaps import noticed
from ..orderbook.orders import Side
from .agents import NEVER, Agent, Floats, Integers
from .chance import exp, log
from .config import BargainHunters as HunterSettings
from .config import Ladder, StaleBids

if TYPE_CHECKING:
    from .simulation import World

# Powers of ten as they print: a maths library may be off by the last bit.
DECADES = np.array([float(f"1e{k}") for k in range(-12, 13)])


def stale_bids(world: "World", name: str, settings: StaleBids) -> None:
    """Put old bids into the books, far below the price, at round numbers.

    The distance is spread evenly in the logarithm of the price. Quantities go with the
    price to the power ``decline``: without it they are alike, and those far down cost
    little. In the ATOM ladder of 10 October 2025 they fall by a power of 2 to 3 between
    a half and a tenth of the price (yanagihalab/atom-flash-crash-research, CC BY 4.0).
    """
    keeper = _Keeper(world, f"stale_bids.{name}")
    account = int(keeper.open_accounts(1)[0])
    markets = keeper.numbers(settings.markets)
    # Of a stream of its own: the bids of a market are where they are without it.
    apart = world.stream(f"stale_bids.{name}.dispersion")
    factors = apart.lognormal(len(markets), 1.0, settings.dispersion)
    for market, factor in zip(markets.tolist(), factors.tolist(), strict=True):
        price = world.fair[market]
        low = log(np.array([1.0 - settings.farthest, 1.0 - settings.nearest]))
        depth = low[0] + (low[1] - low[0]) * keeper.stream.uniform(settings.count)
        prices = round_number(price * exp(depth))
        qty = keeper.stream.lognormal(settings.count, 1.0, 0.5)
        qty *= exp(settings.decline * depth)
        usd = settings.usd
        if settings.share is not None:
            book = world.exchange.markets[market]
            usd = settings.share * (world.config.markets[book].depth_usd or 0.0)
        qty *= factor * usd / world.usd[market] / fsum(qty)
        quote = int(world.exchange.quote[market])
        dollars = fsum(prices * qty) * float(world.outside.price[quote])
        keeper.fund(account, world.exchange.assets[quote], 1.01 * dollars)
        batch = keeper.orders(account, market, Side.BUY, qty, prices)
        world.exchange.process(batch)


def round_number(price: Floats) -> Floats:
    """Round prices to the numbers people type: 1, 1.25, 1.5 ... 3, 3.5, 4 times ten.

    >>> round_number(np.array([1.38, 0.0231])).tolist()
    [1.5, 0.0225]
    """
    decade = DECADES[np.searchsorted(DECADES, price, "right") - 1]
    steps = np.where(price / decade < 3.0, 0.25, 0.5)
    return np.asarray(np.rint(price / decade / steps) * steps * decade)


def ladder(world: "World", settings: Ladder) -> None:
    """Put an observed ladder into its book, one account for all of it."""
    keeper = _Keeper(world, f"ladder.{settings.market}.{settings.side}")
    exchange = world.exchange
    account = int(keeper.open_accounts(1)[0])
    market = exchange.market_number[settings.market]
    spec = exchange.specs[market]
    lots = [spec.lots(qty) for _, qty in settings.orders]
    ticks = [spec.ticks(price) for price, _ in settings.orders]
    need = sum(a * b for a, b in zip(lots, ticks, strict=True)) * spec.quote_unit
    asset, atoms = exchange.quote[market], need
    if settings.side == "sell":
        asset, atoms = exchange.base[market], sum(lots) * spec.base_unit
    exchange.ledger.deposit(account, int(asset), atoms)
    batch = keeper.orders(
        account,
        market,
        Side[settings.side.upper()],
        np.ones(len(lots)),
        np.ones(len(lots)),
    )
    batch["qty"], batch["price"] = lots, ticks
    exchange.process(batch)


class _Keeper(Agent):
    """Owns orders that were there before the start, and never wakes."""

    group = "stale_bids"

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(world, name, 1.0)

    def wake(self, now: int) -> None:
        """Do nothing: the orders wait."""


class BargainHunters(Agent):
    """Buyers who notice a price far below the outside one, late, and bid for it.

    Each notices after its own delay, then puts a bid somewhere below the outside price;
    a bid above the best ask trades at once. What they pay for they keep. With ``above``
    none bids more than so far above the last trade. With ``patience`` a bid that found
    too few sellers is taken back after so long, and its money is there for the next.
    """

    group = "bargain_hunters"
    live = frozenset({"above", "clip_usd", "delay", "discount", "patience", "wait"})

    def __init__(self, world: "World", name: str, settings: HunterSettings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        self.accounts = self.open_accounts(settings.count)
        self.fund_all(self.accounts.tolist(), {"USDT": settings.usd})
        self.markets = self.numbers(settings.markets)
        self.left = np.full(settings.count, settings.usd)
        self.due = np.full((settings.count, len(self.markets)), NEVER)
        self.next_due = NEVER  # the soonest of them
        self.ready = np.zeros(settings.count, np.bool_)  # whose money has come
        self.until = np.full(self.due.shape, NEVER)  # when bids are taken back
        self.next_back = NEVER  # the soonest of them
        self.dollar = np.array([world.exchange.asset_number["USDT"]])

    def wake(self, now: int) -> None:
        """Notice what is cheap; bid where the delay is over."""
        settings, world = self.settings, self.world
        if settings.patience is not None:
            self._take_back(now)
        cheap, *free = noticed(
            self.markets,
            world.last,
            world.fair,
            1.0 - settings.discount,
            self.left,
            settings.clip_usd,
            self.due,
            NEVER,
        )
        self._notice(now, *free)
        if now < self.next_due:
            return
        fair, last = world.fair[self.markets], world.last[self.markets]
        k, j = np.nonzero(self.due <= now)
        self.due[k, j] = NEVER
        self.ready[k] = True
        self.next_due = int(self.due.min(initial=NEVER))
        k, j = k[cheap[j]], j[cheap[j]]
        # Of each hunter, in a row, as many as its money is enough for.
        before = np.arange(len(k)) - np.searchsorted(k, k)
        paid = before < self.left[k] // settings.clip_usd
        k, j = k[paid], j[paid]
        np.subtract.at(self.left, k, settings.clip_usd)
        if settings.patience is not None:
            self.until[k, j] = until = now + int(settings.patience * 1e9)
            self.next_back = min(self.next_back, until)
        below = settings.discount * (0.2 + 1.3 * self.stream.uniform(len(k)))
        price = fair[j] * (1.0 - below)
        if settings.above is not None:
            price = np.minimum(price, last[j] * (1.0 + settings.above))
        qty = settings.clip_usd / world.usd[self.markets[j]]
        cause = self.movers(self.markets[j])
        self.send(
            self.orders(
                self.accounts[k], self.markets[j], Side.BUY, qty, price, cause=cause
            )
        )

    def _take_back(self, now: int) -> None:
        if now < self.next_back:
            return
        k, j = np.nonzero(self.until <= now)
        self.until[k, j] = NEVER
        self.next_back = int(self.until.min(initial=NEVER))
        if len(k) == 0:
            return
        self.send(self.cancel_all(self.accounts[k], self.markets[j], Side.BUY))
        # Bids still out may have been filled: counted twice until they are back.
        world = self.world
        usd = world.exchange.atom[self.dollar] * world.outside.price[self.dollar]
        held = world.exchange.ledger.balances_in(self.accounts, self.dollar)[:, 0] * usd
        out = np.count_nonzero(self.until != NEVER, axis=1)
        self.left = np.asarray(held - out * self.settings.clip_usd)

    def _notice(self, now: int, k: Integers, j: Integers) -> None:
        # Each hunter and market has its draw in each wake, whether it needs it or not.
        if len(k) == 0:
            self.stream.skip(self.due.size)
            return
        draw = self.stream.uniform(self.due.size).reshape(self.due.shape)[k, j]
        wait = np.where(self.ready[k], 0.0, self.settings.wait)
        wait -= self.settings.delay * log(1.0 - draw)
        self.due[k, j] = now + (wait * 1e9).astype(np.int64)
        self.next_due = min(self.next_due, int(self.due[k, j].min()))
