"""Vaults whose curator lends their deposits to isolated markets."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import attrs

from .isolated import IsolatedMarket
from .protocol import (
    ISSUED,
    Transfer,
    ceil_div,
    require,
    require_amount,
    require_known,
    transfers,
)

Markets = Mapping[str, IsolatedMarket]


class Flow(NamedTuple):
    """What a deposit or withdrawal moved: places that it changed, and how."""

    assets: int
    shares: int
    places: dict[str, Any]
    transfers: tuple[Transfer, ...]


@attrs.frozen(kw_only=True)
class CuratedVault:
    """Deposits lent in the order of a queue, up to a cap in each market.

    Withdrawals are taken from the markets in order too, from each only up to its cash:
    what is lent out cannot be paid. The price of a share falls when a market writes
    off a debt. Shares are a token of the ledger.

    Source: morpho-org/metamorpho, ``MetaMorpho.sol``: ``_supplyMorpho``,
    ``_withdrawMorpho``, ``reallocate``, one virtual share and asset.
    """

    account: str
    asset: str
    curator: str
    caps: Mapping[str, int]
    withdraw_first: tuple[str, ...]
    shares: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse queues that do not name every market once."""
        right = sorted(self.withdraw_first) == sorted(self.caps)
        require(right, "withdraw_first", "name each market once", self.withdraw_first)
        for name, cap in self.caps.items():
            require(cap >= 0, f"caps.{name}", "not be below 0", cap)

    @property
    def share_asset(self) -> str:
        """The token of its shares."""
        return f"{self.account} shares"

    # -- QUERIES

    @property
    def places(self) -> tuple[str, ...]:
        """Where its deposits lie."""
        return tuple(self.caps)

    @property
    def holds(self) -> dict[str, int]:
        """Nothing: its deposits lie in the markets."""
        return {}

    def accrued(self, markets: Markets, now_ns: int) -> dict[str, IsolatedMarket]:
        """All markets with the interest up to now."""
        for name in self.caps:
            require_known("markets", name, markets)
            loan = markets[name].terms.loan
            require(loan == self.asset, f"markets.{name}", f"lend {self.asset}", loan)
        return {name: market.accrue(now_ns) for name, market in markets.items()}

    def total(self, markets: Markets) -> int:
        """Atoms that its supply is worth, as the markets stand."""
        return sum(markets[name].claim(self.account) for name in self.caps)

    def share_price(self, markets: Markets) -> float:
        """Atoms that a share is worth."""
        return (self.total(markets) + 1) / (self.shares + 1)

    def free(self, markets: Markets) -> int:
        """Atoms that could be withdrawn at once: claims as far as there is cash."""
        return sum(
            min(markets[name].claim(self.account), markets[name].cash)
            for name in self.caps
        )

    # -- ACTIONS

    def deposit(
        self, who: str, assets: int, markets: Markets, now_ns: int
    ) -> tuple[Self, Flow]:
        """Lend atoms to the markets, as far as their caps go."""
        require_amount("assets", assets)
        current = self.accrued(markets, now_ns)
        minted = assets * (self.shares + 1) // (self.total(current) + 1)
        require(minted > 0, "assets", "be worth at least one share", assets)
        moves = [Transfer(self.asset, who, self.account, assets)]
        left = assets
        for name, cap in self.caps.items():
            market = current[name]
            part = min(left, max(cap - market.claim(self.account), 0))
            if part:
                current[name], put = market.supply(self.account, part, now_ns)
                moves += put.transfers
                left -= part
        require(left == 0, "assets", f"be at most {assets - left}, the caps", assets)
        moves.append(Transfer(self.share_asset, ISSUED, who, minted))
        after = attrs.evolve(self, shares=self.shares + minted)
        return after, Flow(assets, minted, current, transfers(*moves))

    def withdraw(
        self, who: str, assets: int, markets: Markets, now_ns: int
    ) -> tuple[Self, Flow]:
        """Take atoms out of the markets in order; Refused beyond their cash."""
        require_amount("assets", assets)
        current = self.accrued(markets, now_ns)
        total = self.total(current)
        burned = ceil_div(assets * (self.shares + 1), total + 1)
        must = f"be worth at most all {self.shares} shares"
        require(burned <= self.shares, "assets", must, assets)
        free = self.free(current)
        require(assets <= free, "assets", f"be at most the {free} free", assets)
        moves = [Transfer(self.share_asset, who, ISSUED, burned)]
        left = assets
        for name in self.withdraw_first:
            market = current[name]
            part = min(left, market.claim(self.account), market.cash)
            if part:
                current[name], got = market.withdraw(self.account, part, now_ns)
                moves += got.transfers
                left -= part
        moves.append(Transfer(self.asset, self.account, who, assets))
        after = attrs.evolve(self, shares=self.shares - burned)
        return after, Flow(assets, burned, current, transfers(*moves))

    def reallocate(
        self, source: str, target: str, assets: int, markets: Markets, now_ns: int
    ) -> Flow:
        """Move supply from one market to another, within cash and cap."""
        require_known("source", source, self.caps)
        require_known("target", target, self.caps)
        require(source != target, "target", "be another market than 'source'", target)
        current = self.accrued(markets, now_ns)
        current[source], out = current[source].withdraw(self.account, assets, now_ns)
        room = self.caps[target] - current[target].claim(self.account)
        require(
            assets <= room, "assets", f"be at most the {room} below the cap", assets
        )
        current[target], put = current[target].supply(self.account, assets, now_ns)
        return Flow(assets, 0, current, transfers(*out.transfers, *put.transfers))

    def with_cap(self, market: str, cap: int) -> Self:
        """Change how much may be lent to a market; 0 ends it."""
        require_known("market", market, self.caps)
        return attrs.evolve(self, caps={**self.caps, market: cap})

    def _check(self) -> None:
        """Assert every invariant."""
        assert self.shares >= 0
