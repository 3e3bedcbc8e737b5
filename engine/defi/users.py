"""Everybody who uses the protocols of a scenario, and the issuers' own desks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ...orderbook.orders import Side
from ..agents import NEVER, Integers
from ..events import NO_CAUSE
from ..reading.drawing import draw
from .borrowers import LoopBorrowers, Whales
from .carriers import Carriers
from .keepers import Bots, Circles, Dealers
from .outlet import Outlet
from .settings import Issuer, Runners, Step
from .user import User

if TYPE_CHECKING:
    from .chain import Chain


class Members(User):
    """Members who each act once a figure has passed a level of their own."""

    group = "runners"
    settings: Runners

    def __init__(self, chain: "Chain", name: str, settings: Runners) -> None:
        super().__init__(chain, name, settings)
        count, below = settings.count, settings.below
        level = below or settings.above
        assert level is not None
        self.level = draw(self.stream, count, level)
        self.delay = self.delays(count, settings.delay)
        spread = self.stream.lognormal(count, 1.0, settings.dispersion)
        self.share = spread / np.cumsum(spread)[-1]
        self.due = np.full(count, NEVER)
        self.cause = [NO_CAUSE] * count
        self.once = all(step.amount is not None for step in settings.steps)
        self.outlets: list[Outlet] = []
        if settings.book is not None:
            members = map(self.member, range(count))
            self.outlets = [Outlet(self, who, settings.book) for who in members]

    def member(self, i: int) -> str:
        """Name of a member's account."""
        return f"{self.label}.{i + 1}"

    def holders(self) -> list[str]:
        """One account each, and one on the exchange for who sells there."""
        there = [outlet.there for outlet in self.outlets]
        return [*map(self.member, range(self.settings.count)), *there]

    def begin(self) -> None:
        """Bring what they hold, and do the steps of the start with it."""
        for i in range(self.settings.count):
            for asset, units in self.settings.holds.items():
                self.chain.give(self.member(i), asset, units * float(self.share[i]))
            if self.settings.start:
                self.chain.start_with(self.member(i), self.settings.start)

    def wake(self, now: int) -> None:
        """See who has had enough, and do what is due."""
        settings, chain = self.settings, self.chain
        if not settings.enabled:
            return
        value = chain.value(settings.watch)
        past = value < self.level if settings.below else value > self.level
        for i in np.flatnonzero(past & (self.due == NEVER)).tolist():
            text = f"has had enough with {settings.watch} at {value:.4g}"
            cause = chain.last_of(settings.watch)
            self.cause[i] = self.decide(self.member(i), now, cause, text)
            self.due[i] = now + int(self.delay[i] * 1e9)
        for i in np.flatnonzero((self.due >= 0) & (self.due <= now)).tolist():
            self._act(i, now)
        for i in np.flatnonzero(self.due <= now).tolist() if self.outlets else ():
            self.outlets[i].turn(now, self.cause[i])

    def _act(self, i: int, now: int) -> None:
        # Steps without an amount go on as long as there is something to do.
        done = self.chain.transact(
            self.member(i), self._steps(i), now, self.cause[i], quiet=True
        )
        if done is not None and self.once:
            self.due[i] = -1

    def _steps(self, i: int) -> tuple[Step, ...]:
        return self.settings.steps

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """How many run or have run; of those with a book what is left, and bought."""
        yield "running", float((self.due != NEVER).sum())
        if not self.outlets:
            return
        base = self.outlets[0].base
        yield base, self.units(base, sum(outlet.unsold() for outlet in self.outlets))
        bought = [step.get for step in self.settings.steps if step.get is not None]
        for asset in dict.fromkeys(bought):
            held = sum(self.balance(o.holder, asset) for o in self.outlets)
            yield asset, self.units(asset, held)


class IssuerDesk(User):
    """An issuer's account on the exchange, short what its custodian holds.

    What the exchange closes of its shorts, by liquidation or deleveraging, it opens
    again at market.
    """

    group = "issuers"
    settings: Issuer

    def __init__(self, chain: "Chain", name: str, settings: Issuer) -> None:
        super().__init__(chain, name, settings)
        numbers = chain.world.exchange.market_number
        coins = settings.hedges
        self.markets = np.array([numbers[f"{c}/USDT:PERP"] for c in coins], np.int64)

    @property
    def hedge(self) -> str:
        """Its account on the exchange."""
        return f"{self.label} hedge"

    def holders(self) -> list[str]:
        """One account, if it hedges."""
        return [self.hedge] if self.settings.hedges else []

    def begin(self) -> None:
        """Bring the margin."""
        if self.settings.hedges:
            self.chain.give(self.hedge, self.settings.stable, self.settings.margin)

    def positions(self) -> tuple[Integers, Integers, Integers]:
        """Account, market and lots of every short at the start."""
        accounts = np.full(len(self.markets), self.account(self.hedge))
        return accounts, self.markets, -self._wanted()

    def _wanted(self) -> Integers:
        units = np.array(list(self.settings.hedges.values()))
        lots = units / self.world.exchange.lot[self.markets]
        return np.floor(lots + 1e-9).astype(np.int64)

    def wake(self, now: int) -> None:
        """Open again what was closed."""
        if not self.settings.hedges or not self.settings.rehedge:
            return
        exchange = self.world.exchange
        if self.waits(self.hedge):
            return
        account = np.array([self.account(self.hedge)])
        lots = exchange.ledger.lots_in(account, self.markets)[0]
        lacks = self._wanted() + lots
        if (lacks > 0).any():
            qty = np.maximum(lacks, 0) * exchange.lot[self.markets]
            causes = np.asarray(exchange.mark_event, np.int64)[self.markets]
            batch = self.orders(
                int(account[0]), self.markets, Side.SELL, qty, cause=causes
            )
            self.send(batch)

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """Coins held without a hedge, US dollars."""
        if self.settings.hedges:
            exchange = self.world.exchange
            account = np.array([self.account(self.hedge)])
            lots = exchange.ledger.lots_in(account, self.markets)[0]
            lacks = (self._wanted() + lots) * exchange.lot[self.markets]
            usd = self.world.usd[self.markets]
            yield "unhedged_usd", float((lacks * usd).sum())


KINDS: dict[str, type[User]] = {
    "liquidators": Bots,
    "loops": LoopBorrowers,
    "loans": Whales,
    "runners": Members,
    "redeemers": Dealers,
    "cycles": Circles,
    "issuers": IssuerDesk,
}
"""The users of each table."""


def make_users(chain: "Chain") -> tuple[dict[str, list[str]], list[User]]:
    """Every user of a scenario, and the accounts that each table's users need."""
    members: dict[str, list[str]] = {}
    users: list[User] = []
    for table, kind in KINDS.items():
        for name, settings in getattr(chain.world.config, table).items():
            carries = kind is Circles and settings.book is not None
            made = Carriers if carries else kind
            users.append(made(chain, name, settings))
            members.setdefault(table, []).extend(users[-1].holders())
    named = {user.label: user for user in users}
    for user in users:
        if isinstance(user, Whales) and user.settings.loop is not None:
            loop = named[f"loops.{user.settings.loop}"]
            assert isinstance(loop, LoopBorrowers)
            user.loop = loop
    return members, users
