"""What all users of protocols have in common."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...orderbook.orders import Side
from ..agents import Agent, Floats
from ..events import NO_CAUSE
from ..kinds import Distribution
from ..reading.drawing import draw

if TYPE_CHECKING:
    from .chain import Chain


THERE = " on the exchange"
"""How the names of accounts end that users of protocols have on the exchange."""


class User(Agent):
    """One table of users: their holders' names, and what they do in a block.

    Who uses the exchange too has an account there beside the one on chain; coins go
    between them through the transfer channel.
    """

    group = "users"

    def __init__(self, chain: "Chain", name: str, settings: Any) -> None:
        super().__init__(chain.world, name, 1.0)
        self.chain = chain
        self.settings = settings

    @property
    def label(self) -> str:
        """Table and name."""
        return f"{self.group}.{self.name}"

    def holders(self) -> list[str]:
        """Names of the accounts that it needs."""
        return []

    def begin(self) -> None:
        """Take up the positions of the start."""

    def figures(self, now: int) -> Iterator[tuple[str, float]]:
        """Figures of it, by name."""
        return iter(())

    # -- MEANS

    def delays(self, count: int, law: Distribution | None) -> Floats:
        """Seconds that each member takes, none without a law."""
        return np.zeros(count) if law is None else draw(self.stream, count, law)

    def account(self, holder: str) -> int:
        """Number of a holder's account."""
        return self.chain.around.booking.accounts[holder]

    def balance(self, holder: str, asset: str) -> int:
        """Atoms of an asset that a holder has."""
        return self.chain.around.booking.balance(holder, asset)

    def units(self, asset: str, atoms: float) -> float:
        """Units of so many atoms."""
        return self.chain.amounts.units(asset, atoms)

    def decide(
        self, holder: str, now: int, cause: int, text: str, usd: float = np.nan
    ) -> int:
        """Log a decision; return its event."""
        return self.world.exchange.log.add(
            "decision", now, cause, account=self.account(holder), value=usd, text=text
        )

    def carry(self, source: str, target: str, asset: str, now: int) -> int:
        """Send all of an asset from one of its accounts to another."""
        number = self.world.exchange.asset_number[asset]
        a, b = self.account(source), self.account(target)
        way = "in" if target.endswith(THERE) else "out"
        return self.chain.bridge.send(a, b, number, now, way)

    def sell(self, holder: str, book: str, atoms: int, cause: int = NO_CAUSE) -> float:
        """Sell atoms at market on the exchange; return the units ordered."""
        exchange = self.world.exchange
        market = exchange.market_number[book]
        asset = exchange.assets[int(exchange.base[market])]
        qty = np.array([self.units(asset, atoms)])
        batch = self.orders(self.account(holder), market, Side.SELL, qty, cause=cause)
        self.send(batch)
        return float(batch["qty"].sum() * exchange.lot[market])

    def waits(self, holder: str) -> bool:
        """Whether messages of a holder are still at the gateway."""
        return bool(self.unserved(np.array([self.account(holder)]))[0])
