"""Arbitrage: with the outside market and issuers, and between books of the venue."""

from typing import TYPE_CHECKING

import numpy as np

from ..cython_ext.gaps import Gaps
from ..cython_ext.messages import together
from ..orderbook.orders import ALL_MARKETS, Flag, Side, TimeInForce, messages
from .agents import Agent, Floats, Integers, Rows
from .config import Arbitrage, CrossArbitrage
from .events import NO_CAUSE

if TYPE_CHECKING:
    from .simulation import World

CLIPS = 10
"""Where capacity is a share of a market's depth, it is traded in so many clips."""


class _Desk(Agent):
    """One account with coins and dollars on the venue, moved through the channel.

    ``capacity`` is, of each asset, the US dollars of it that the desk has at the start
    and the largest position in its perpetuals; ``clip`` what it trades at once.
    """

    def __init__(
        self, world: "World", name: str, settings: Arbitrage | CrossArbitrage
    ) -> None:
        super().__init__(world, name, settings.interval)
        self.account = int(self.open_accounts(1)[0])
        self.markets = self.numbers(settings.markets)
        exchange = world.exchange
        self.base = exchange.base[self.markets]
        self.quote = exchange.quote[self.markets]
        self.perpetual = exchange.perpetual[self.markets]
        self.capacity, self.clip = self._limits(settings)
        spot = ~self.perpetual
        coins = np.unique(np.concatenate([self.base[spot], self.quote[spot]]))
        names = [exchange.assets[a] for a in coins.tolist()]
        dollars = {a: self.capacity[exchange.asset_number[a]] for a in names}
        self.fund_all([self.account], dollars | {"USDT": settings.usd})
        self.coins = np.array(
            [exchange.asset_number[a] for a in names if a != "USDT"], np.int64
        )
        self.target = self._held_usd() / world.outside.price
        self.dollar = exchange.asset_number["USDT"]
        # What is on its way back: when it arrives, asset, atoms.
        self.sent: list[tuple[int, int, int]] = []

    def _limits(self, settings: Arbitrage | CrossArbitrage) -> tuple[Floats, Floats]:
        world, numbers = self.world, self.world.exchange.asset_number
        capacity = np.full(len(numbers), settings.coins_usd)
        clip = np.full(len(numbers), settings.clip_usd)
        if settings.share is not None:
            depth = np.zeros(len(numbers))
            for name, base in zip(settings.markets, self.base.tolist(), strict=True):
                depth[base] = max(
                    depth[base], world.config.markets[name].depth_usd or 0.0
                )
            capacity = np.where(depth > 0, settings.share * depth, capacity)
        for asset, usd in settings.coins.items():
            capacity[numbers[asset]] = usd
        if settings.share is not None or settings.coins:
            clip = np.minimum(clip, capacity / CLIPS)
        return capacity, clip

    def _gaps(self, first: Integers, home: Integers) -> Gaps:
        return Gaps(
            self.markets,
            self.base,
            self.quote,
            self.perpetual,
            self.clip,
            self.capacity,
            first,
            home,
        )

    # -- WHAT IT HAS

    def _held_usd(self) -> Floats:
        held = np.zeros(len(self.world.exchange.assets))
        rows = self.world.exchange.ledger.balances_of(self.account)
        held[rows["asset"]] = rows["amount"] * self.world.exchange.atom[rows["asset"]]
        return np.asarray(held * self.world.outside.price)

    def _positions(self) -> Floats:
        # Of each of its markets, base units, below zero if short.
        exchange = self.world.exchange
        if not self.perpetual.any():
            return np.zeros(len(self.markets))
        lots = np.zeros(len(exchange.markets))
        rows = exchange.ledger.positions_of(self.account)
        lots[rows["market"]] = rows["lots"]
        return np.asarray(lots[self.markets] * exchange.lot[self.markets])

    def _dollars(self) -> float:
        return float(self._held_usd()[self.dollar])

    # -- MOVING COINS

    def _transfer(self, now: int, held: Floats, target: Floats) -> None:
        # What is on its way counts as held, and so does what arrives now.
        world = self.world
        for due, asset, atoms in self.sent:
            worth = atoms * world.exchange.atom[asset] * world.outside.price[asset]
            held[asset] += worth
            if due <= now:
                self.bring(self.account, asset, atoms)
        self.sent = [entry for entry in self.sent if entry[0] > now]
        surplus = (
            held[self.coins] - target[self.coins] * world.outside.price[self.coins]
        )
        for asset in self.coins[np.abs(surplus) > self.clip[self.coins]].tolist():
            price = float(world.outside.price[asset])
            over = float(held[asset]) - float(target[asset]) * price
            if over > self.clip[asset]:
                moved = world.channel.take(over, now)
                self._swap(asset, self.dollar, moved, now)
            elif over < -self.clip[asset]:
                most = min(-over, max(0.0, self._dollars()))
                moved = world.channel.take(most, now)
                self._swap(self.dollar, asset, moved, now)

    def _swap(self, gives: int, gets: int, usd: float, now: int) -> None:
        """Send one asset out, trade it there for the other, which comes back later."""
        world, coin = self.world, gets if gives == self.dollar else gives
        unit = world.exchange.atom
        rate = float(world.outside.price[coin]) if gives == coin else 1.0
        atoms = int(usd / rate / unit[gives])
        if atoms == 0:
            return
        self.bring(self.account, gives, -atoms)
        after, seconds = self._traded(coin, -usd if gives == coin else usd)
        usd = atoms * unit[gives] * (after if gives == coin else 1.0)
        back = int(usd / (after if gets == coin else 1.0) / unit[gets])
        self.sent.append((now + int(seconds * 1e9), gets, back))

    def _traded(self, coin: int, usd: float) -> tuple[float, float]:
        """Return the price of a trade elsewhere, and the seconds until it is paid."""
        world = self.world
        self.trade_outside(coin, usd)
        return float(world.outside.price[coin]), world.channel.settings.latency


class Arbitrageur(_Desk):
    """Buys on the venue what is cheaper than outside, sells what is dearer.

    In spot it pays with what it holds; coins bought have to leave, and coins sold to
    come back, through the transfer channel, so while that is cut it trades until its
    inventory on the venue is used up. In a perpetual, hedged outside, it holds at most
    its capacity either way. Moving coins moves the outside price by their impact; a
    coin that it redeems goes to the issuer for what that pays, and moves nothing.
    """

    group = "arbitrage"
    live = frozenset({"threshold"})

    def __init__(self, world: "World", name: str, settings: Arbitrage) -> None:
        super().__init__(world, name, settings)
        self.settings = settings
        # Of each coin that is redeemed: units of the underlying, which, seconds.
        self.issuers: dict[int, tuple[float, int, float]] = {}
        for asset, seconds in settings.redeem.items():
            rule, numbers = world.config.oracles[asset], world.exchange.asset_number
            terms = float(rule.ratio or 0.0), numbers[str(rule.underlying)], seconds
            self.issuers[numbers[asset]] = terms
        self.gaps = self._gaps(np.arange(0), np.full(len(self.clip), -1))

    def wake(self, now: int) -> None:
        """Trade the gaps, then move surplus coins out and their dollars in."""
        held = self._held_usd()
        self._trade(held)
        self._transfer(now, held, self.target)

    def _trade(self, held: Floats) -> None:
        world, threshold = self.world, self.settings.threshold
        fair = self._fair()
        own, sells = self.gaps.outside(
            held,
            self._positions(),
            fair,
            world.bid,
            world.ask,
            world.usd,
            threshold,
        )
        if len(own) == 0:
            return
        markets = self.markets[own]
        edge = np.where(sells, 0.5, -0.5) * threshold
        batch = self.orders(
            self.account,
            markets,
            np.where(sells, Side.SELL, Side.BUY),
            self.clip[self.base[own]] / world.usd[markets],
            fair[own] * (1.0 + edge),
            tif=TimeInForce.IOC,
            cause=self.movers(markets),
        )
        self.send(batch)

    def _fair(self) -> Floats:
        fair, price = self.world.fair[self.markets], self.world.outside.price
        for asset, (ratio, underlying, _) in self.issuers.items():
            own = self.base == asset
            fair[own] = ratio * price[underlying] / price[self.quote[own]]
        return fair

    def _traded(self, coin: int, usd: float) -> tuple[float, float]:
        if coin not in self.issuers:
            return super()._traded(coin, usd)
        ratio, underlying, seconds = self.issuers[coin]
        return ratio * float(self.world.outside.price[underlying]), seconds


class CrossArbitrageur(_Desk):
    """Buys a coin in its cheapest book and sells it in the dearest, at once.

    The books are those of one coin: in USDT, USDC and others, and its perpetuals, whose
    distance from spot is the basis. It sells coins it has and pays with dollars it has,
    and in perpetuals holds at most its capacity; a leg that found nobody is made up for
    by the next. Its coins and its perpetuals together stay what they were; dollars of
    one kind used up come back through the channel, and not while that is cut. What a
    coin is quoted in, ETH for one, it values and trades back in its own book, if it
    watches that too: so a triangle of books is kept together without the channel.

    A passive one rests orders as well: in each book a clip at what the best of the
    coin's others would give for it, so that who sweeps one book meets the other.
    """

    group = "cross_arbitrage"
    live = frozenset({"threshold"})

    def __init__(self, world: "World", name: str, settings: CrossArbitrage) -> None:
        super().__init__(world, name, settings)
        self.settings = settings
        # Of coins that others are quoted in, the book against USDT; of the rest -1.
        self.home = np.full(len(world.exchange.assets), -1, np.int64)
        own = (self.quote == self.dollar) & ~self.perpetual
        own &= np.isin(self.base, self.quote)
        self.home[self.base[own]] = self.markets[own]
        self.coins = self.coins[self.home[self.coins] < 0]
        self.cause = np.full(len(self.home), NO_CAUSE, np.int64)  # of what it got
        # Books of a coin lie together; those of one book have nothing to offer.
        order = np.argsort(self.base, kind="stable")
        _, count = np.unique(self.base[order], return_counts=True)
        order = order[np.repeat(count > 1, count)]
        self.markets, self.base = self.markets[order], self.base[order]
        self.quote, self.perpetual = self.quote[order], self.perpetual[order]
        size = count[count > 1]
        self.first = np.cumsum(size) - size
        self.coin = self.base[self.first]
        self.gaps = self._gaps(self.first, self.home)
        self.resting = np.zeros((2, len(self.markets)), np.int64)  # ticks, 0 = nothing

    def wake(self, now: int) -> None:
        """Trade the widest gap of each coin, then restore the kinds of dollars."""
        if self.world.gateway.unserved(np.array([self.account]))[0]:
            return
        world = self.world
        held, positions = self._held_usd(), self._positions()
        # Perpetuals of a coin stand for coins: both together are kept as they were.
        target = self.target.copy()
        np.subtract.at(target, self.base, positions)
        price = world.outside.price
        costs = self.gaps.at_home(world.ask, price)
        brings = self.gaps.at_home(world.bid, price)
        self._trade(held, positions, target, costs, brings)
        if self.settings.passive:
            self._rest(held, target, costs, brings)
        self._trade_back(held, target)
        self._transfer(now, held, target)

    def _trade(
        self,
        held: Floats,
        positions: Floats,
        target: Floats,
        costs: Floats,
        brings: Floats,
    ) -> None:
        world, edge = self.world, 0.25 * self.settings.threshold
        wide, cheapest, dearest, middle = self.gaps.between(
            held,
            positions,
            world.bid,
            world.ask,
            world.usd,
            costs,
            brings,
            self.settings.threshold,
        )
        if len(wide) == 0:
            return
        coin = self.coin[wide]
        price = world.outside.price[coin]
        qty = self.clip[coin] / price
        net = np.where(self.home[coin] < 0, held[coin] / price - target[coin], 0.0)
        net *= not self.settings.passive
        causes = self.movers(self.markets)
        first, other = causes[cheapest], causes[dearest]
        gap = np.where(first == NO_CAUSE, other, first)
        self.cause[self.quote[cheapest]] = gap
        self.cause[self.quote[dearest]] = gap
        batches = [
            self.orders(
                self.account,
                self.markets[j],
                side,
                np.maximum(amount, 0.0),
                limit / usd[self.quote[j]],
                tif=TimeInForce.IOC,
                cause=causes[other],
            )
            for side, j, other, usd, limit, amount in (
                (
                    Side.BUY,
                    cheapest,
                    dearest,
                    costs,
                    middle * (1.0 - edge),
                    qty - np.maximum(net, 0.0),
                ),
                (
                    Side.SELL,
                    dearest,
                    cheapest,
                    brings,
                    middle * (1.0 + edge),
                    qty + np.minimum(net, 0.0),
                ),
            )
        ]
        self.send(together(batches))

    def _rest(
        self, held: Floats, target: Floats, costs: Floats, brings: Floats
    ) -> None:
        """Rest a clip in each book by the others, and make good what that traded."""
        world, threshold = self.world, self.settings.threshold
        batches = [
            self.cancel_all(self.account, ALL_MARKETS, side)
            for side in (Side.BUY, Side.SELL)
        ]
        for side, best, own, other in (
            (Side.BUY, world.bid, brings, costs),
            (Side.SELL, world.ask, costs, brings),
        ):
            surplus, rest = self.gaps.rests(
                side == Side.SELL,
                held,
                target,
                best,
                world.outside.price,
                own,
                other,
                self.resting[side],
                world.exchange.tick,
                threshold,
            )
            batches.append(self._make_good(side, best, *surplus))
            batches.append(self._resting(side, *rest))
        self.send(together(batches))

    def _resting(self, side: Side, book: Integers, qty: Floats, limit: Floats) -> Rows:
        batch = self.orders(
            self.account, self.markets[book], side, qty, limit, flags=Flag.POST_ONLY
        )
        ticks = np.zeros(len(self.world.exchange.markets), np.int64)
        ticks[batch["market"]] = batch["price"]
        self.resting[side] = ticks[self.markets]
        return batch

    def _make_good(
        self, side: Side, best: Floats, coin: Integers, book: Integers, qty: Floats
    ) -> Rows:
        # Sell surplus coins to the best bid, or buy what is short from the best ask.
        if len(coin) == 0:
            return messages(0)
        sign = 1.0 if side == Side.BUY else -1.0
        causes = self.movers(self.markets)
        return self.orders(
            self.account,
            self.markets[book],
            Side.SELL if side == Side.BUY else Side.BUY,
            qty,
            best[self.markets[book]] * (1.0 - sign * self.settings.threshold),
            tif=TimeInForce.IOC,
            cause=np.maximum.reduceat(causes, self.first)[coin],
        )

    def _trade_back(self, held: Floats, target: Floats) -> None:
        """Sell the coins it was paid in, and buy those it paid with, for USDT."""
        world = self.world
        coins, qty, best, sells = self.gaps.back(
            held, target, world.bid, world.ask, world.outside.price, self.dollar
        )
        if len(coins) == 0:
            return
        edge = np.where(sells, -1.0, 1.0) * self.settings.threshold
        batch = self.orders(
            self.account,
            self.home[coins],
            np.where(sells, Side.SELL, Side.BUY),
            qty,
            best * (1.0 + edge),
            tif=TimeInForce.IOC,
            cause=self.cause[coins],
        )
        self.send(batch)
