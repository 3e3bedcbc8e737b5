"""A way to a book: coins carried to the exchange, sold at market, the money back."""

from typing import TYPE_CHECKING

from ..events import NO_CAUSE
from .liquidators import BookRoute

if TYPE_CHECKING:
    from .user import User

LEVELS = 200
"""Bids of a book that somebody who sells there reckons with."""


class Outlet:
    """What a holder on chain sells in a book, from an account of its own there.

    Coins and money go through the transfer channel; the price is that of the book when
    the coins have arrived.
    """

    def __init__(self, user: "User", holder: str, book: str) -> None:
        self.user, self.holder, self.book = user, holder, book
        exchange = user.world.exchange
        spec = exchange.specs[exchange.market_number[book]]
        self.base, self.quote, self.lot = spec.base, spec.quote, spec.base_unit

    @property
    def there(self) -> str:
        """Its account on the exchange."""
        return f"{self.holder} on the exchange"

    def turn(self, now: int, cause: int = NO_CAUSE) -> int:
        """Carry coins, sell those that are there; return atoms of money sent back."""
        user = self.user
        user.carry(self.holder, self.there, self.base, now)
        here = user.balance(self.there, self.base)
        if here >= self.lot and not user.waits(self.there):
            user.sell(self.there, self.book, here, cause)
        return user.carry(self.there, self.holder, self.quote, now)

    def unsold(self) -> int:
        """Atoms of the coin that are still to be sold, wherever they are."""
        user, number = self.user, self.user.world.exchange.asset_number[self.base]
        return (
            user.balance(self.holder, self.base)
            + user.balance(self.there, self.base)
            + user.chain.bridge.coming(user.account(self.there), number)
        )

    def route(self, keep: float) -> BookRoute:
        """The bids as they stand, less what those still to be sold will take."""
        amounts = self.user.chain.amounts
        depth = self.user.world.exchange.depth(self.book, LEVELS)
        price = amounts.in_atoms(1.0, self.base, self.quote)
        unit = 10.0 ** amounts.places(self.base)
        ahead, bids = self.unsold(), []
        for level in depth.bids.tolist():
            size = int(level[1] * unit)
            taken = min(ahead, size)
            ahead -= taken
            if size > taken:
                bids.append((level[0] * price, size - taken))
        return BookRoute(tuple(bids), keep)
