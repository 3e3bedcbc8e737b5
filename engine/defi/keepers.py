"""Who acts because it pays: liquidators, redeemers, and those who trade in circles."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...orderbook.orders import Side
from ..events import NO_CAUSE
from .actions import Transaction
from .isolated import IsolatedMarket
from .lending_pool import LendingPool
from .liquidators import PoolRoute, best_isolated, best_shared
from .outlet import Outlet
from .protocol import Refused
from .settings import Cycles, Liquidators, Redeemers, Step
from .surroundings import Deed
from .user import THERE, User

if TYPE_CHECKING:
    from .chain import Chain

SMALLEST = 1e-6
"""A circle is looked at further if this share of the most of it pays."""


class Bots(User):
    """A liquidator of one market: it sells what it seizes at once, or in a book later.

    With a pool it needs no money. With a book it repays from its own, at most what the
    bids there would pay for the collateral, and bears what happens meanwhile.
    """

    group = "liquidators"
    settings: Liquidators

    def __init__(self, chain: "Chain", name: str, settings: Liquidators) -> None:
        super().__init__(chain, name, settings)
        config = chain.world.config
        self.shared = settings.on in config.lending_pools
        table = "lending_pools" if self.shared else "lending"
        self.place = f"{table}.{settings.on}"
        if self.shared:
            self.give, self.get = settings.give or "", settings.get or ""
        else:
            rule = config.lending[settings.on]
            self.give, self.get = rule.collateral, rule.loan
        self.profit = 0  # atoms of the debt
        self.cause = NO_CAUSE
        self.outlet = None
        if settings.book is not None:
            self.outlet = Outlet(self, self.label, settings.book)

    def holders(self) -> list[str]:
        """One on chain, and one on the exchange if it sells there."""
        return [self.label] + ([self.outlet.there] if self.outlet else [])

    def begin(self) -> None:
        """Bring money."""
        if self.settings.money:
            self.chain.give(self.label, self.get, self.settings.money)

    def wake(self, now: int) -> None:
        """Go through the borrowers, the one who owes longest first."""
        if self.outlet is not None:
            self.profit += self.outlet.turn(now, self.cause)
        if not self.settings.enabled:
            return
        state = self.chain.state(self.place)
        try:
            if isinstance(state, IsolatedMarket):
                price = self.chain.market_price(state, now)
                state = state.accrue(now)
                rows = state.positions.items()
                owing = [w for w, row in rows if row.borrow_shares]
                bad = [w for w in owing if not state.healthy(w, price)]
            else:
                prices = self.chain.pool_prices(state, now)
                state = state.accrue(now)
                owing = state.borrowers()
                bad = [w for w in owing if not state.health(w, prices, now).safe]
        except Refused:
            return  # without a price nobody is liquidated
        for who in bad:
            self._liquidate(who, now)

    def _liquidate(self, who: str, now: int) -> None:
        chain, settings = self.chain, self.settings
        state = chain.state(self.place)
        cost = chain.amounts.atoms(self.get, settings.cost)
        route, money = self._route()
        args: dict[str, Any] = {"cost": cost, "money": money}
        found: Any
        if isinstance(state, LendingPool):
            prices, pair = chain.pool_prices(state, now), (self.give, self.get)
            found = best_shared(
                self.label, who, state, pair, route, prices, now, **args
            )
        else:
            price = chain.market_price(state, now)
            found = best_isolated(self.label, who, state, route, price, now, **args)
        if found is not None:
            after, taken = found
            self._keep(who, after, taken, now)

    def _route(self) -> tuple[Any, int | None]:
        if self.outlet is not None:
            money = self.balance(self.label, self.get)
            return self.outlet.route(self.settings.keep), money
        pool = self.chain.state(f"pools.{self.settings.pool}")
        return PoolRoute(pool, self.give, self.get), None

    def _keep(self, who: str, after: Any, taken: Any, now: int) -> None:
        chain, around = self.chain, self.chain.around
        moves, states = taken.transfers, {self.place: after}
        units = self.units(self.give, taken.seized)
        deeds = [Deed(self.place, f"liquidation of {who}", self.give, units)]
        before: dict[str, Any] = {}
        pool = f"pools.{self.settings.pool}"
        if self.settings.pool is not None:
            state = chain.state(pool)
            before[pool] = state
            states[pool], trade = state.swap(
                self.label, self.give, self.get, taken.seized, now_ns=now
            )
            moves = (*moves, *trade.transfers)
            self.profit += trade.amount_out - taken.repaid
            deeds.append(Deed(pool, f"sale of {self.give}", self.give, units))
        else:
            self.profit -= taken.repaid
        cause = chain.feed_event(self._feed())
        event = around.keep(states, moves, deeds, self.label, now, cause)
        chain.note(before)
        self.cause = event
        bad = taken.bad_debt
        self._count(taken.repaid, taken.seized, bad if isinstance(bad, int) else 0)
        if bad:
            lost = bad if isinstance(bad, int) else sum(bad.values())
            text, owed = f"bad debt of {who}", self.units(self.get, lost)
            around.tell(Deed(self.place, text, self.get, owed), self.label, now, event)

    def _feed(self) -> str:
        config = self.world.config
        if self.shared:
            return config.lending_pools[self.settings.on].reserves[self.give].feed
        return config.lending[self.settings.on].feed

    def _count(self, repaid: int, seized: int, bad: int) -> None:
        chain, place = self.chain, self.place
        if self.shared:
            chain.count(f"{place}.{self.give}.liquidated", seized)
            chain.count(f"{place}.{self.get}.repaid", repaid)
        else:
            chain.count(f"{place}.liquidated", seized)
            chain.count(f"{place}.repaid", repaid)
            chain.count(f"{place}.bad_debt", bad)
            chain.count(f"{place}.liquidations", 1)
        usd = self.units(self.get, repaid) * chain.usd(self.get)
        chain.count("links.liquidated_usd", usd)

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """What it has gained, units of the debt; what is still to be sold left out."""
        yield "profit", self.units(self.get, self.profit)


class Dealers(User):
    """Bids for an issuer's token below par, has it redeemed, and bids again.

    At most ``clip`` of it rests in the book at a time, at par less the cost.
    """

    group = "redeemers"
    settings: Redeemers

    def __init__(self, chain: "Chain", name: str, settings: Redeemers) -> None:
        super().__init__(chain, name, settings)
        rule = chain.world.config.issuers[settings.issuer]
        self.token, self.stable = rule.token, rule.stable
        self.place = f"issuers.{settings.issuer}"
        self.redeemed = 0
        self.bought: int = NO_CAUSE

    @property
    def there(self) -> str:
        """Its account on the exchange."""
        return self.label + THERE

    def holders(self) -> list[str]:
        """One on chain, one on the exchange."""
        return [self.label, self.there]

    def begin(self) -> None:
        """Bring money to the exchange."""
        self.chain.give(self.there, self.stable, self.settings.money)

    def wake(self, now: int) -> None:
        """Carry what was bought, redeem it, carry the money back, and bid again."""
        if not self.settings.enabled:
            return
        self.carry(self.there, self.label, self.token, now)
        self._redeem(now)
        self.carry(self.label, self.there, self.stable, now)
        if not self.waits(self.there):
            self._bid()

    def _bid(self) -> None:
        exchange, settings = self.world.exchange, self.settings
        market, account = (
            exchange.market_number[settings.book],
            self.account(self.there),
        )
        limit, lot = 1.0 - settings.cost, float(exchange.lot[market])
        money = self.units(self.stable, self.balance(self.there, self.stable))
        orders = exchange.ledger.resting_of(account)
        rests = float(orders["bids"][orders["market"] == market].sum()) * lot
        qty = min(settings.clip - rests, money / limit - rests)
        if qty < lot:
            return
        cause = int(exchange.movers.all()[market])
        batch = self.orders(
            account,
            market,
            Side.BUY,
            np.array([qty]),
            np.array([limit]),
            cause=cause,
        )
        self.bought = cause
        self.send(batch)

    def _redeem(self, now: int) -> None:
        has = self.balance(self.label, self.token)
        state = self.chain.state(self.place)
        block = now // self.chain.interval_ns
        used = state.redeemed if state.block == block else 0
        atoms = min(has, state.redeem_cap - used, state.stable)
        if atoms <= 0:
            return
        units = self.units(self.token, atoms)
        step = Step(do="redeem", on=self.place, amount=units)
        if self.chain.transact(self.label, (step,), now, self.bought):
            self.redeemed += atoms

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """Units of the token that it had redeemed."""
        yield "redeemed", self.units(self.token, self.redeemed)


class Circles(User):
    """Looks in each block for the size of a circle of steps that earns most."""

    group = "cycles"
    settings: Cycles

    def __init__(self, chain: "Chain", name: str, settings: Cycles) -> None:
        super().__init__(chain, name, settings)
        self.profit = self.turned = 0

    def holders(self) -> list[str]:
        """One account, which needs nothing."""
        return [self.label]

    def wake(self, now: int) -> None:
        """Do the circle once, if it pays."""
        if not self.settings.enabled:
            return
        asset = self.settings.asset
        most = self.chain.amounts.atoms(asset, self.settings.most)
        cost = self.chain.amounts.atoms(asset, self.settings.cost)
        least = max(1, int(most * SMALLEST))
        if self._gain(least, now) <= 0:
            return
        atoms = self._best(least, most, now)
        tx = self._tried(atoms, now)
        if tx is None or tx.gained(asset) <= cost:
            return
        cause = max(self.chain.last_at(s.on or "") for s in self.settings.steps)
        try:
            self.chain.commit(tx, cause)
        except Refused:
            return
        self.profit += tx.gained(asset)
        self.turned += atoms

    def _best(self, low: int, high: int, now: int) -> int:
        # What a circle earns has one peak: each swap pays less for more.
        stop = max(1, high >> 12)
        while high - low > stop:
            third = (high - low) // 3
            a, b = low + third, high - third
            if self._gain(a, now) < self._gain(b, now):
                low = a
            else:
                high = b
        return (low + high) // 2

    def _gain(self, atoms: int, now: int) -> int:
        tx = self._tried(atoms, now)
        return tx.gained(self.settings.asset) if tx is not None else -1

    def _tried(self, atoms: int, now: int) -> Transaction | None:
        chain, asset = self.chain, self.settings.asset
        tx = Transaction(chain.around.places, chain.setting, self.label, now)
        try:
            tx.do(Step(do="flash", give=asset), atoms)
            for i, step in enumerate(self.settings.steps):
                tx.do(step, atoms if i == 0 else None)
        except Refused:
            return None
        return tx

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """What was earned, and what was turned over, units."""
        asset = self.settings.asset
        yield "profit", self.units(asset, self.profit)
        yield "turned", self.units(asset, self.turned)
