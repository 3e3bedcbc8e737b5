"""Constant-product pools, as Uniswap v2's."""

from collections.abc import Mapping
from math import isqrt
from typing import Self

import attrs

from .pools import Provision, Trade, amounts_in_order, sides
from .protocol import (
    ISSUED,
    Transfer,
    require,
    require_amount,
    transfers,
)

LOCKED = 1000
"""Shares of the first deposit that stay in the pool for good (v2-core)."""


@attrs.frozen(kw_only=True)
class ConstantProduct:
    """Two reserves whose product no swap lets fall.

    A swap of ``dx`` pays ``dx·γ·y / (x + dx·γ)``, γ being what the fee leaves of the
    input; the fee stays in the pool.

    Source: Uniswap v2-core 1.0.1, ``UniswapV2Pair.swap`` and ``mint``.

    >>> pool = ConstantProduct.empty("pool", ("ETH", "USD"))
    >>> pool, _ = pool.add("ann", {"ETH": 10**6, "USD": 4 * 10**9})
    >>> pool.quote("ETH", "USD", 10**4)
    39486321
    """

    account: str
    assets: tuple[str, str]
    reserves: tuple[int, int] = (0, 0)
    shares: int = 0
    fee_ppm: int = 3000
    exact: bool = True

    @classmethod
    def empty(
        cls,
        account: str,
        assets: tuple[str, str],
        *,
        fee_ppm: int = 3000,
        exact: bool = True,
    ) -> Self:
        """A pool without reserves; ``fee_ppm`` is in millionths of the input."""
        require(0 <= fee_ppm < 10**6, "fee_ppm", "be from 0 to 999,999", fee_ppm)
        require(len(dict.fromkeys(assets)) == 2, "assets", "be two", assets)
        return cls(account=account, assets=assets, fee_ppm=fee_ppm, exact=exact)

    @property
    def share_asset(self) -> str:
        """The token of its shares."""
        return f"{self.account} shares"

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        locked = LOCKED if self.shares else 0
        held = dict(zip(self.assets, self.reserves, strict=True))
        return held | {self.share_asset: locked}

    def quote(self, give: str, get: str, amount: int) -> int:
        """Atoms of ``get`` that ``amount`` atoms of ``give`` would buy."""
        i, j = sides(self.assets, give, get, amount)
        x, y = self.reserves[i], self.reserves[j]
        require(x > 0, "reserves", "be above 0 to trade", self.reserves)
        kept = 10**6 - self.fee_ppm
        if self.exact:
            return amount * kept * y // (x * 10**6 + amount * kept)
        worth = amount * (kept / 10**6)
        return int(worth * y / (x + worth))

    def quote_in(self, give: str, get: str, amount_out: int) -> int:
        """Atoms of ``give`` that buy ``amount_out`` atoms of ``get``; always exact.

        The contract's formula, which may be one atom more than the fewest.
        """
        i, j = sides(self.assets, give, get, amount_out)
        x, y = self.reserves[i], self.reserves[j]
        require(amount_out < y, "amount_out", f"be below the reserve {y}", amount_out)
        return x * amount_out * 10**6 // ((y - amount_out) * (10**6 - self.fee_ppm)) + 1

    def price(self, give: str, get: str) -> float:
        """Atoms of ``get`` for one more atom of ``give``, before fees."""
        i, j = sides(self.assets, give, get, 1)
        require(self.reserves[i] > 0, "reserves", "be above 0", self.reserves)
        return self.reserves[j] / self.reserves[i]

    # -- ACTIONS

    def swap(
        self,
        trader: str,
        give: str,
        get: str,
        amount: int,
        *,
        least: int = 0,
        now_ns: int = 0,
    ) -> tuple[Self, Trade]:
        """Sell ``amount`` atoms of ``give`` for at least ``least`` of ``get``."""
        out = self.quote(give, get, amount)
        require(out >= least, "least", f"be at most the {out} that it pays", least)
        i, j = sides(self.assets, give, get, amount)
        reserves = list(self.reserves)
        reserves[i] += amount
        reserves[j] -= out
        after = attrs.evolve(self, reserves=(reserves[0], reserves[1]))
        moves = transfers(
            Transfer(give, trader, self.account, amount),
            Transfer(get, self.account, trader, out),
        )
        return after, Trade(amount, out, amount * self.fee_ppm // 10**6, moves)

    def add(self, provider: str, amounts: Mapping[str, int]) -> tuple[Self, Provision]:
        """Put reserves in for shares.

        What is above the pool's ratio stays with the provider, as a router leaves it.
        The first deposit sets the ratio.
        """
        x, y = amounts_in_order(self.assets, amounts)
        require(x > 0 and y > 0, "amounts", "name both assets", dict(amounts))
        moves = []
        if self.shares:
            have_x, have_y = self.reserves
            if x * have_y <= y * have_x:
                y = x * have_y // have_x
            else:
                x = y * have_x // have_y
            minted = min(x * self.shares // have_x, y * self.shares // have_y)
        else:
            minted = isqrt(x * y) - LOCKED
            moves.append(Transfer(self.share_asset, ISSUED, self.account, LOCKED))
        require(minted > 0, "amounts", "be worth at least one share", dict(amounts))
        total = self.shares + minted + (0 if self.shares else LOCKED)
        put = self.reserves[0] + x, self.reserves[1] + y
        moves += [
            Transfer(self.assets[0], provider, self.account, x),
            Transfer(self.assets[1], provider, self.account, y),
            Transfer(self.share_asset, ISSUED, provider, minted),
        ]
        after = attrs.evolve(self, reserves=put, shares=total)
        return after, Provision((x, y), minted, transfers(*moves))

    def remove(self, provider: str, shares: int) -> tuple[Self, Provision]:
        """Take out what ``shares`` are a part of."""
        require_amount("shares", shares)
        free = max(self.shares - LOCKED, 0)
        require(shares <= free, "shares", f"be at most the {free} issued", shares)
        x, y = (have * shares // self.shares for have in self.reserves)
        left = self.reserves[0] - x, self.reserves[1] - y
        after = attrs.evolve(self, reserves=left, shares=self.shares - shares)
        moves = transfers(
            Transfer(self.share_asset, provider, ISSUED, shares),
            Transfer(self.assets[0], self.account, provider, x),
            Transfer(self.assets[1], self.account, provider, y),
        )
        return after, Provision((x, y), shares, moves)

    def _check(self) -> None:
        """Assert every invariant."""
        assert (self.shares == 0) == (self.reserves == (0, 0))
        assert min(self.reserves) >= 0
        assert self.shares == 0 or self.shares >= LOCKED
