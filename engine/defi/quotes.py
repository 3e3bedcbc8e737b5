"""Who tells protocols what prices are, at rest and in the midst of a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .isolated import IsolatedMarket
from .lending_pool import LendingPool

if TYPE_CHECKING:
    from .prices import Priced


class Quotes(Protocol):
    """Who knows what the protocols are told prices are."""

    def market_price(self, market: IsolatedMarket, now_ns: int) -> int:
        """The collateral's price as an isolated market has it."""

    def pool_prices(self, pool: LendingPool, now_ns: int) -> Mapping[str, int]:
        """Prices of a shared pool's assets, eight digits."""

    def feed_value(self, feed: str, now_ns: int) -> float:
        """What a feed says."""

    def within(self, states: Mapping[str, Any]) -> Quotes:
        """The same in the midst of a transaction, with its states."""


class Midst:
    """What prices are for the steps of one transaction, with what those before did."""

    def __init__(self, priced: Priced, states: Mapping[str, Any]) -> None:
        self.priced = priced
        self.states = states

    def within(self, states: Mapping[str, Any]) -> Midst:
        """The same with other states."""
        return Midst(self.priced, states)

    def feed_value(self, feed: str, now_ns: int) -> float:
        """What a feed says."""
        ask = partial(self.priced.feed_value, feed, now_ns)
        return float(self.priced.asked(self.states, ask, now_ns))

    def market_price(self, market: IsolatedMarket, now_ns: int) -> int:
        """The collateral's price as an isolated market has it."""
        ask = partial(self.priced.market_price, market, now_ns)
        return int(self.priced.asked(self.states, ask, now_ns))

    def pool_prices(self, pool: LendingPool, now_ns: int) -> Mapping[str, int]:
        """Prices of a shared pool's assets, eight digits."""
        ask = partial(self.priced.pool_prices, pool, now_ns)
        found: Mapping[str, int] = self.priced.asked(self.states, ask, now_ns)
        return found
