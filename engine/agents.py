"""What every participant is: an account or a fleet of them that wakes and sends.

An agent sees the market and its own accounts, draws from its own random stream, and
answers with messages that travel through the gateway like everyone's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import EXTERNAL
from ..cython_ext.messages import orders
from ..orderbook.orders import Kind, TimeInForce, messages
from .events import NO_CAUSE

if TYPE_CHECKING:
    from .simulation import World

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.void]

SECOND = 1_000_000_000
NEVER = np.iinfo(np.int64).max
"""A time that does not come."""


class Agent(ABC):
    """A participant, or a fleet that acts alike, called at its interval.

    ``group`` is its table in the scenario and decides its latency; ``name`` names its
    random stream. ``machinery`` acts by itself where others repeat a stream.
    """

    group = "agents"
    machinery = False
    live: frozenset[str] = frozenset()
    """Settings that count at each wake, so that they can be changed on the way."""

    settings: Any

    def __init__(self, world: "World", name: str, interval: float) -> None:
        self.world = world
        self.name = name
        self.interval_ns = int(interval * 1e9)
        self.stream = world.stream(f"{self.group}.{name}")

    @property
    def sender(self) -> str:
        """Its group and its name."""
        return f"{self.group}.{self.name}"

    def adopt(self, settings: Any) -> None:
        """Act by other settings from now on; only those in ``live`` differ."""
        self.settings = settings

    @abstractmethod
    def wake(self, now: int) -> None:
        """Look at the market and act."""

    def turn(self, now: int) -> None:
        """Wake, or do what a stream says in its place."""
        player, journal = self.world.player, self.world.journal
        if self.machinery:
            self.wake(now)
            return
        sender, act = self.sender, self.wake
        if player is not None and player.plays(sender):
            act = partial(player.act, sender)
        if journal is None:
            act(now)
            return
        log = self.world.exchange.log
        first, journal.awake = log.next_id, sender
        act(now)
        journal.awake = ""
        journal.note(sender, now, first, log.next_id)

    # -- MEANS

    def open_accounts(self, count: int) -> Integers:
        """Open accounts of this group."""
        accounts = self.world.open_accounts(self.group, count)
        self.world.owners.append((int(accounts[0]), count, self.sender))
        return accounts

    def bring(self, account: int, asset: int, atoms: int) -> None:
        """Bring atoms of an asset to an account from outside; below 0: take away."""
        ledger = self.world.exchange.ledger
        if atoms >= 0:
            ledger.transfer(asset, EXTERNAL, account, atoms)
        else:
            ledger.transfer(asset, account, EXTERNAL, -atoms)
        if self.world.journal is not None:
            self.world.journal.moved(self.world.now, asset, account, atoms)

    def trade_outside(self, asset: int, usd: float) -> None:
        """Trade so many US dollars elsewhere (sold: below 0), which moves the price."""
        self.world.outside.trade(asset, usd)
        if self.world.journal is not None:
            self.world.journal.traded(self.world.now, asset, usd)

    def fund(self, account: int, asset: str, usd: float) -> None:
        """Give an account coins worth so much outside; negative: it owes them."""
        exchange = self.world.exchange
        number = exchange.asset_number[asset]
        atoms = int(
            abs(usd) / (self.world.outside.price[number] * exchange.atom[number])
        )
        self.bring(account, number, atoms if usd >= 0 else -atoms)

    def fund_all(self, accounts: Sequence[int], usd: Mapping[str, float]) -> None:
        """Give each account the same holdings."""
        for account in accounts:
            for asset, amount in usd.items():
                self.fund(account, asset, amount)

    def send(self, batch: Rows) -> None:
        """Send a batch through the gateway."""
        player = self.world.player
        if len(batch) == 0:
            return
        if player is not None and player.plays(self.sender):
            player.mute(batch)
        else:
            self.world.gateway.send(self.sender, batch, self.world.now)

    def unserved(self, accounts: Integers) -> NDArray[np.bool_]:
        """Return which of its accounts have sent what is not served yet."""
        player = self.world.player
        if player is not None and player.plays(self.sender):
            return player.unserved(accounts)
        return self.world.gateway.unserved(accounts)

    def orders(
        self,
        account: "Integers | int",
        market: "Integers | int",
        side: "Integers | int",
        qty: Floats,
        price: Floats | None = None,
        tif: TimeInForce = TimeInForce.GTC,
        cause: "Integers | int" = NO_CAUSE,
        flags: int = 0,
    ) -> Rows:
        """Return orders, limit or (without price) market, quantities in base units.

        Prices are rounded to the tick on the passive side, quantities down to the lot;
        orders of less than a lot are left out.
        """
        world, exchange = self.world, self.world.exchange
        return orders(
            world.now,
            account,
            market,
            side,
            qty,
            price,
            tif,
            cause,
            flags,
            exchange.tick,
            exchange.lot,
        )

    def cancel_all(
        self,
        account: "Integers | int",
        market: "Integers | int",
        side: int,
        cause: int = NO_CAUSE,
    ) -> Rows:
        """Return cancel-alls, one for each account or market."""
        batch = messages(max(np.size(account), np.size(market)))
        batch["time"], batch["kind"] = self.world.now, Kind.CANCEL_ALL
        batch["account"], batch["market"], batch["side"] = account, market, side
        batch["cause"] = cause
        return batch

    def movers(self, markets: Integers) -> Integers:
        """Return the event that last moved the price of each market."""
        return self.world.exchange.movers.all()[markets]

    def numbers(self, markets: Sequence[str]) -> Integers:
        """Return the numbers of named markets."""
        table = self.world.exchange.market_number
        return np.array([table[name] for name in markets], np.int64)
