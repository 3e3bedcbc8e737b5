"""Market makers: margined accounts that quote ladders, until it gets too hot."""

from collections.abc import Sequence
from math import fsum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import falls, repricing
from ..cython_ext.messages import together
from ..orderbook.orders import ALL_MARKETS, Side, messages
from .agents import Agent, Floats, Rows
from .chance import LN2, exp
from .config import MarketMakers as Settings
from .outside import YEAR
from .quoting import Ladders
from .text import percent

if TYPE_CHECKING:
    from .exchange import Exchange
    from .simulation import World

Bools = NDArray[np.bool_]

MEMORY = 10
"""Wakes over which volatility and forced flow are measured."""


class MarketMakers(Agent):
    """A fleet of makers that quote from a unified account each.

    A maker shrinks its quotes with the forced flow and the volatility of a market
    (bids twice as fast as asks), pulls its bids everywhere when its own health falls,
    or in one market when its price falls, and comes back slowly and smaller. Where it
    gets hotter still it leaves: its asks go too.
    What it quotes round is the price outside and a moving average of the book's middle.
    """

    group = "market_makers"
    live = frozenset(
        {
            "anchor",
            "beta",
            "frozen_anchor",
            "gamma",
            "half_life",
            "leave",
            "memory",
            "patience",
            "return_size",
            "withdraw",
            "withdraw_at",
            "withdraw_forced",
            "withdraw_sigmas",
            "withdraw_volatility",
        }
    )

    def __init__(self, world: "World", name: str, settings: Settings) -> None:
        super().__init__(world, name, settings.interval)
        self.settings = settings
        exchange = world.exchange
        count = settings.count
        self.accounts = self.open_accounts(count)
        spread = self.stream.lognormal(count, 1.0, settings.dispersion)
        self.equity = settings.equity_usd * spread
        tilt = {
            a: self.stream.lognormal(count, 1.0, settings.mix)
            for a in settings.collateral
        }
        # Each limit of each maker is its own: so much of the median.
        self._caution = [
            self.stream.lognormal(count, 1.0, settings.caution) for _ in range(4)
        ]
        self.adopt(settings)
        ladders = Ladders(
            world, settings, self.equity / settings.equity_usd, self.stream
        )
        self.ladders, self.markets = ladders, ladders.markets
        self.maker, self.column = ladders.maker, ladders.column  # of each pair
        self._perpetual = exchange.perpetual[self.markets]
        self._books = np.bincount(self.maker)
        self.stock = self._stocked()
        self._endow(tilt)
        self.quotes = ladders.quotes(world, settings, int(self.accounts[0]))
        pairs = len(self.maker)
        self.calm = np.ones(pairs, np.bool_)  # bids not withdrawn as the price fell
        self.healthy = np.ones(count, np.bool_)
        # Not to send anything at all, in a book and on the venue: see ``leave``.
        self.left = np.zeros(pairs, np.bool_)
        self.gone = np.zeros(count, np.bool_)
        self.size = np.ones(pairs)  # below 1 after a withdrawal
        self.first_index = exchange.index
        self.venue = world.fair[self.markets]
        # Of each market's price elsewhere, over as many wakes as are remembered.
        yearly = world.outside.volatility(exchange.base, exchange.quote)[self.markets]
        self._deviation = yearly * np.sqrt(MEMORY * settings.interval / YEAR)
        self.since = np.full(pairs, -MEMORY)  # the wake in which bids last came back
        # Of the last wakes, the price that is quoted round and the middle of the book.
        self._fairs = np.full((MEMORY, len(self.markets)), np.nan)
        self._middles = self._fairs.copy()
        # And when that was, and what own decisions had made of the market by then.
        self._times = np.zeros(MEMORY, np.int64)
        self._own = np.zeros_like(self._fairs)
        self._forced = np.zeros((MEMORY, len(exchange.markets)))
        self._forced_before = np.zeros(len(exchange.markets))
        self._wakes = 0
        self._fallen = 0
        self._alive = np.ones(count, np.bool_)
        self._shares: Floats | None = None  # `quoting`, until somebody moves

    def adopt(self, settings: Settings) -> None:
        """Act by other settings from now on; only those in ``live`` differ."""
        self.settings = settings
        self.withdraw_at, self.withdraw_volatility, self.patience, forced = (
            (np.inf if median is None else median) * share
            for median, share in zip(
                (
                    settings.withdraw_at,
                    settings.withdraw_volatility,
                    settings.patience,
                    settings.withdraw_forced,
                ),
                self._caution,
                strict=True,
            )
        )
        self.withdraw_forced = forced
        self.withdraw_sigmas = (settings.withdraw_sigmas or 0.0) * self._caution[1]
        self._borne: Floats | None = None  # `_largest_falls`
        # Chance of coming back in one wake, from the half-life.
        wakes = settings.half_life / settings.interval
        self._hazard = float(1.0 - exp(np.array([-LN2 / wakes]))[0])

    # -- THE START

    def _stocked(self) -> Floats:
        """US dollars of each coin in each maker's stock, by the sizes it quotes."""
        exchange = self.world.exchange
        spot = np.flatnonzero(~exchange.perpetual[self.markets[self.column]])
        coin = exchange.base[self.markets[self.column[spot]]]
        weights = np.zeros((len(self.accounts), len(exchange.assets)))
        np.add.at(weights, (self.maker[spot], coin), self.ladders.scale[spot])
        whole = np.cumsum(weights, axis=1)[:, -1:]
        share = self.settings.stock * self.equity[:, None]
        return np.asarray(share * weights / np.where(whole > 0, whole, 1.0))

    def _endow(self, tilt: dict[str, Floats]) -> None:
        # Collateral and inventory; what they cost beyond the equity is borrowed.
        settings, assets = self.settings, self.world.exchange.assets
        for k, (account, equity) in enumerate(
            zip(self.accounts.tolist(), self.equity.tolist(), strict=True)
        ):
            usd = {
                a: share * float(tilt[a][k]) * equity
                for a, share in settings.collateral.items()
            }
            for asset, share in settings.inventory.items():
                usd[asset] = usd.get(asset, 0.0) + share * equity
            for number in np.flatnonzero(self.stock[k]).tolist():
                asset = assets[number]
                usd[asset] = usd.get(asset, 0.0) + float(self.stock[k, number])
            for asset, amount in usd.items():
                self.fund(account, asset, amount)
            self.fund(account, "USDT", equity - fsum(usd.values()))

    def start(self) -> None:
        """Remember the holdings at the start as those to return to."""
        self.quotes.target[:] = self._holdings()
        self.first_index = self.world.exchange.index.copy()

    def hedges(self) -> dict[str, Floats]:
        """Return the short each maker wants in the perpetual of each inventory, USD.

        Stock is hedged where there is a perpetual.
        """
        exchange, hedge = self.world.exchange, self.settings.hedge
        short: dict[str, Floats] = {}
        if not hedge:
            return short
        for asset, share in self.settings.inventory.items():
            short[f"{asset}/USDT:PERP"] = share * hedge * self.equity
        for number in np.flatnonzero(self.stock.any(axis=0)).tolist():
            name = f"{exchange.assets[number]}/USDT:PERP"
            if name in exchange.market_number:
                before = short.get(name, 0.0)
                short[name] = before + hedge * self.stock[:, number]
        return short

    # -- WAKING

    def wake(self, now: int) -> None:
        """Withdraw, come back, and quote anew where the old quotes no longer fit."""
        fair = self._fair()
        volatility = falls.remembered(
            self._fairs,
            self._middles,
            self._wakes % MEMORY,
            fair,
            self.markets,
            self.world.middle,
        )
        exchange, row = self.world.exchange, self._wakes % MEMORY
        self._own[row] = exchange.movers.moves.own[self.markets]
        self._times[row] = exchange.log.next_id
        self._wakes, self._shares = self._wakes + 1, None
        forced = self._forced_flow()
        alive = self.alive()
        pulled = [*self._judge_venue(now, alive, forced), *self._judge_books(alive)]
        factor = exp(
            -self.settings.beta * forced[self.markets] / self.ladders.forced_unit
            - self.settings.gamma * volatility
        )
        # Not those that have no answer yet to what they sent.
        live = alive & ~self.world.gateway.unserved(self.accounts)
        self.send(together([*pulled, self._quote(fair, factor, live, pulled)]))

    def _fair(self) -> Floats:
        # A moving average: one print does not move a maker, a run of them does; and a
        # middle between sides farther apart than a ladder reaches tells it less.
        world, settings = self.world, self.settings
        return falls.quoted_round(
            self.venue,
            self.markets,
            world.fair,
            world.middle,
            world.bid,
            world.ask,
            settings.anchor if world.channel.open else settings.frozen_anchor,
            min(1.0, settings.interval / settings.memory),
            settings.reach,
        )

    def _forced_flow(self) -> Floats:
        # US dollars sold by force in each market over the last wakes.
        total = self.world.exchange.sold_usd
        self._forced[self._wakes % MEMORY] = total - self._forced_before
        self._forced_before = total.copy()
        return np.asarray(self._forced.sum(axis=0))

    def _judge_venue(self, now: int, alive: Bools, forced: Floats) -> list[Rows]:
        """Pull the bids of all books for reasons that are not one market's."""
        settings, world = self.settings, self.world
        if not settings.withdraw:
            return []
        health = world.exchange.risk.at(accounts=self.accounts)["health"]
        delay = world.gateway.delay(now)
        flow = fsum(forced.tolist()) * 1e-6
        slow, rout = delay > self.patience, flow > self.withdraw_forced
        low = (health < self.withdraw_at) | slow | rout
        if not low.any() and self.healthy.all() and not self.gone.any():
            self.stream.skip(len(low))
            return []
        worse = np.zeros_like(low)
        if (times := settings.leave) is not None:
            worse = (health * times < self.withdraw_at) | (
                delay > times * self.patience
            )
            worse |= flow > times * self.withdraw_forced
        pulled = []
        goes = ~self.gone & worse
        for k in np.flatnonzero((self.healthy & low | goes) & alive).tolist():
            why, cause = (
                f"own health {health[k]:.2f}",
                world.blame(int(self.accounts[k])),
            )
            if slow[k]:
                why, cause = "the gateway does not answer", world.gateway_event
            elif rout[k]:
                why = f"{flow:.1f} M USD sold by force on the venue"
                cause = world.exchange.forced_event
            pulled.append(self._withdraw(k, -1, why, cause, bool(goes[k])))
        self.healthy &= ~low
        self.gone |= worse
        calm = health > 1.2 * self.withdraw_at
        calm &= ~slow & (flow < 0.5 * self.withdraw_forced)
        draw = self.stream.uniform(len(self.accounts))
        back = calm & ~self.healthy & (draw < self._hazard)
        pairs = back[self.maker]
        # Smaller than before; what the middle did until now is not held against it.
        self.size[pairs] = settings.return_size
        self.since[pairs] = self._wakes
        self.healthy |= back
        self.gone &= ~back
        return pulled

    def _judge_books(self, alive: Bools) -> list[Rows]:
        """Pull the bids of a book whose price falls, put them back after a while.

        A maker that bids looks at the middle. One that is away looks at the price it
        would quote round: the middle of an empty book is what a lone bid makes it.
        """
        settings = self.settings
        if not settings.withdraw:
            return []
        fall, wild, goes, quiet = falls.judged(
            self._fairs,
            self._middles,
            self._wakes,
            self.maker,
            self.column,
            self.since,
            self.calm,
            self.left,
            self.healthy,
            alive,
            self._largest_falls(),
            np.nan if settings.leave is None else settings.leave,
        )
        seconds = MEMORY * settings.interval
        pulled = []
        for p in np.flatnonzero(wild | goes).tolist():
            k, market = int(self.maker[p]), int(self.markets[self.column[p]])
            why = f"price fell {percent(fall[p])} in {seconds:g} s"
            cause = self._lowered_by(p, float(fall[p]))
            pulled.append(self._withdraw(k, market, why, cause, bool(goes[p])))
        falls.returned(
            self.calm,
            self.left,
            self.size,
            self.since,
            wild,
            goes,
            quiet,
            self.stream.uniform(len(fall)),
            self._hazard,
            settings.return_size,
            self._wakes,
        )
        return pulled

    def _lowered_by(self, p: int, fall: float) -> int:
        # What made the price fall since the oldest wake that is remembered.
        column, exchange = self.column[p], self.world.exchange
        market, last = int(self.markets[column]), (self._wakes - 1) % MEMORY
        bids = self.calm[p] and self.healthy[self.maker[p]]
        price = (self._middles if bids else self._fairs)[last, column]
        ticks = fall / (1.0 - fall) * price / exchange.tick[market]
        oldest = self._wakes % MEMORY
        own, since = self._own[oldest, column], self._times[oldest]
        return exchange.movers.fell(market, float(ticks), float(own), int(since))

    def _largest_falls(self) -> Floats:
        # What each pair bears: deviations of its market where it has any, else a share.
        if self._borne is None:
            own = self.withdraw_sigmas[self.maker] * self._deviation[self.column]
            most = np.where(own > 0.0, own, self.withdraw_volatility[self.maker])
            self._borne = np.asarray(most)
        return self._borne

    def _withdraw(
        self, k: int, market: int, why: str, cause: int, leaves: bool
    ) -> Rows:
        account = int(self.accounts[k])
        side, what = (Side.BOTH, "bids and asks") if leaves else (Side.BUY, "bids")
        event = self.world.exchange.log.add(
            "withdrawal",
            self.world.now,
            cause,
            account=account,
            market=market,
            side=side if leaves else -1,
            text=f"{what} withdrawn: {why}",
        )
        exchange = self.world.exchange
        exchange.movers.withdraw(
            exchange.books, account, market, side, event, cause, self.world.now
        )
        return self.cancel_all(account, market, side, event)

    # -- QUOTING

    def _quote(
        self, fair: Floats, factor: Floats, live: Bools, pulled: list[Rows]
    ) -> Rows:
        world = self.world
        usd = world.usd[self.markets]
        size, bidding, looked = falls.quoting(
            self.maker,
            self.column,
            self.size,
            factor,
            self.calm,
            self.left,
            self.healthy,
            self.gone,
            live,
        )
        held = self._holdings()
        makers = self.quotes.judge(fair, usd, held, size, bidding, looked)
        if len(makers) == 0:
            return messages(0)
        orders = world.exchange.books.orders_of(self.accounts[makers])
        if pulled:
            orders = orders[~self._cancelled(orders, together(pulled))]
        batch = self.quotes.requote(world.now, usd, orders)
        world.exchange.movers.quote(batch)
        return batch

    def _cancelled(self, orders: Rows, pulled: Rows) -> Bools:
        # Orders that are still in the book, but cancelled by what is sent before.
        books = len(self.world.exchange.markets)
        gone = np.zeros((len(self.accounts), books, 2), np.bool_)
        for account, market, side in pulled[["account", "market", "side"]].tolist():
            book = slice(None) if market == ALL_MARKETS else market
            sides = slice(None) if side == Side.BOTH else side
            gone[account - self.accounts[0], book, sides] = True
        own = orders["account"] - self.accounts[0]
        return np.asarray(gone[own, orders["market"], orders["side"]])

    def _holdings(self) -> Floats:
        # Base units of each pair: coins, or the perpetual position.
        exchange, ledger = self.world.exchange, self.world.exchange.ledger
        perpetual, coins = self._perpetual, exchange.base[self.markets]
        shape = len(self.accounts), len(self.markets)
        lots = atoms = np.zeros(shape, np.int64)
        if perpetual.any():
            lots = ledger.lots_in(self.accounts, self.markets)
        if not perpetual.all():
            atoms = ledger.balances_in(self.accounts, coins)
        return falls.held(
            self.maker,
            self.column,
            perpetual,
            lots,
            atoms,
            exchange.lot[self.markets],
            exchange.atom[coins],
        )

    def alive(self) -> Bools:
        """Return which makers have not been liquidated."""
        fallen = self.world.exchange.liquidator.liquidated
        if len(fallen) != self._fallen:
            self._fallen, self._shares = len(fallen), None
            self._alive = np.array(
                [account not in fallen for account in self.accounts.tolist()]
            )
        return self._alive

    def quoting(self) -> Floats:
        """Return the share of its books in which each maker bids."""
        alive = self.alive()
        if self._shares is None:
            bids = self.calm & (self.healthy & alive)[self.maker]
            self._shares = np.asarray(np.bincount(self.maker, bids) / self._books)
        return self._shares


class Collateral:
    """The coins that the makers of all fleets have given as collateral."""

    def __init__(self, makers: Sequence[MarketMakers], exchange: "Exchange") -> None:
        numbers = exchange.asset_number
        of = [[numbers[a] for a in m.settings.collateral] for m in makers]
        accounts = [maker.accounts for maker in makers]
        self._accounts = np.concatenate([np.empty(0, np.int64), *accounts])
        self._first_index = makers[0].first_index if makers else exchange.index
        self._coins = np.array(sorted({a for own in of for a in own}), np.int64)
        # Of each maker in turn, places among the coins, in the order of its settings.
        each = [
            np.searchsorted(self._coins, np.array(own, np.int64))
            for maker, own in zip(makers, of, strict=True)
            for _ in maker.accounts
        ]
        self._places = np.concatenate([np.empty(0, np.int64), *each])
        self._begin = np.cumsum([0, *map(len, each)])

    def lost(self, exchange: "Exchange") -> Floats:
        """Return what repricing took from it, of each maker, US dollars."""
        return repricing.lost(
            exchange.ledger.balances_in(self._accounts, self._coins),
            (self._first_index - exchange.index)[self._coins],
            exchange.atom[self._coins],
            self._places,
            self._begin,
        )
