"""Vaults that put deposits into a pool, and price their shares by that pool."""

from collections.abc import Mapping
from typing import Any, Self

import attrs

from .curator import Flow
from .protocol import (
    ISSUED,
    Refused,
    Transfer,
    ceil_div,
    require,
    require_amount,
    require_known,
    transfers,
)
from .stableswap import ONE, StableSwap

VALUED = ("withdrawal", "par")
CHECKED = ("unit", "stake")
PPM = 10**6

Pools = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class PoolVault:
    """Deposits kept in cash and as shares of a stableswap pool, its ``stake``.

    A share of the vault is worth its part of the cash and of what the whole stake is
    worth at this moment: ``withdrawal`` is what the pool would pay for all of it in
    this one asset, ``par`` what it holds at par. Who moves the pool moves the first,
    and deposits at one price and leaves at another. A deposit is refused if the price
    of the pool's shares is more than ``tolerance`` millionths away from the
    ``checkpoint``: the price of a ``unit``, a millionth of the pool, or what the whole
    ``stake`` brings for each. Withdrawals take the cash first, then the stake.

    Source: harvest-finance/harvest, ``Vault.sol`` and ``CRVStrategyStable.sol``:
    ``deposit``, ``withdraw``, ``investedUnderlyingBalance``, ``depositArbCheck``.
    """

    account: str
    asset: str
    pool: str
    cash: int = 0
    stake: int = 0
    shares: int = 0
    valued: str = "withdrawal"
    tolerance: int | None = None
    checked: str = "unit"
    checkpoint: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse ways of valuing that there are not."""
        require_known("valued", self.valued, dict.fromkeys(VALUED))
        require_known("checked", self.checked, dict.fromkeys(CHECKED))
        right = self.tolerance is None or 0 < self.tolerance < PPM
        require(right, "tolerance", "be above 0 and below 1,000,000", self.tolerance)

    @property
    def share_asset(self) -> str:
        """The token of its shares."""
        return f"{self.account} shares"

    @property
    def places(self) -> tuple[str, ...]:
        """Where its deposits lie."""
        return (self.pool,)

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.asset: self.cash, f"{self.pool} shares": self.stake}

    # -- QUERIES

    def _pool(self, pools: Pools) -> StableSwap:
        require_known("pools", self.pool, pools)
        pool: StableSwap = pools[self.pool]
        require_known("asset", self.asset, dict.fromkeys(pool.assets))
        return pool

    def _withdrawn(self, pool: StableSwap, shares: int) -> int:
        if not shares:
            return 0
        try:
            _, paid = pool.remove_one(self.account, shares, self.asset)
        except Refused:
            if shares >= pool.shares:
                raise
            return 0  # too little for an atom
        return paid.amounts[pool.assets.index(self.asset)]

    def invested(self, pools: Pools) -> int:
        """Atoms that the stake counts as."""
        pool = self._pool(pools)
        if self.valued == "withdrawal":
            return self._withdrawn(pool, self.stake)
        rate = pool.rates[pool.assets.index(self.asset)]
        return self.stake * pool.virtual_price // rate

    def total(self, pools: Pools) -> int:
        """Atoms that all shares are worth."""
        return self.cash + self.invested(pools)

    def share_price(self, pools: Pools) -> float:
        """Atoms that a share is worth; 1 while there is none."""
        return self.total(pools) / self.shares if self.shares else 1.0

    def free(self, pools: Pools) -> int:
        """Atoms that could be withdrawn at once."""
        return self.cash + self._withdrawn(self._pool(pools), self.stake)

    def pool_price(self, pools: Pools) -> int:
        """Atoms for 10**18 shares of the pool, as the check of deposits sees it."""
        pool = self._pool(pools)
        part = self.stake if self.checked == "stake" else pool.shares // PPM
        return self._withdrawn(pool, part) * ONE // part if part else 0

    # -- ACTIONS

    def begun(self, stake: int, pools: Pools) -> Self:
        """The vault with a stake in the pool, whose price is the checkpoint."""
        after = attrs.evolve(self, stake=stake)
        return attrs.evolve(after, checkpoint=after.pool_price(pools))

    def deposit(
        self, who: str, assets: int, pools: Pools, now_ns: int
    ) -> tuple[Self, Flow]:
        """Add atoms to the cash for shares at the price of this moment."""
        require_amount("assets", assets)
        self._check_price(pools)
        total = self.total(pools)
        right = total > 0 or not self.shares
        require(right, "assets", "go into a vault whose shares have a worth", assets)
        minted = assets * self.shares // total if self.shares else assets
        require(minted > 0, "assets", "be worth at least one share", assets)
        moves = transfers(
            Transfer(self.asset, who, self.account, assets),
            Transfer(self.share_asset, ISSUED, who, minted),
        )
        after = attrs.evolve(self, cash=self.cash + assets, shares=self.shares + minted)
        return after, Flow(assets, minted, {}, moves)

    def _check_price(self, pools: Pools) -> None:
        if self.tolerance is None or not self.checkpoint:
            return
        price, old = self.pool_price(pools), self.checkpoint
        near = abs(price - old) * PPM <= self.tolerance * old
        share = f"{self.tolerance / PPM:.4%} of the price of before, {old}"
        require(near, f"price of {self.pool}", f"be within {share}", price)

    def withdraw(
        self, who: str, shares: int, pools: Pools, now_ns: int
    ) -> tuple[Self, Flow]:
        """Burn shares for their part, out of the cash, then out of the pool.

        What is taken from the pool is counted anew, so that who leaves bears the
        difference, and never gets more than there is.
        """
        require_amount("shares", shares)
        must = f"be at most the {self.shares} there are"
        require(shares <= self.shares, "shares", must, shares)
        after, changed = self, dict[str, Any]()
        moves: tuple[Transfer, ...] = ()
        owed = self.total(pools) * shares // self.shares
        if owed > self.cash:
            after, pool, moves = self._taken(owed - self.cash, shares, pools)
            changed = {self.pool: pool}
            total = after.total({**pools, **changed})
            owed = min(total * shares // self.shares, after.cash)
        require(owed > 0, "shares", "be worth at least one atom", shares)
        after = attrs.evolve(
            after, cash=after.cash - owed, shares=after.shares - shares
        )
        paid = transfers(
            Transfer(self.share_asset, who, ISSUED, shares),
            *moves,
            Transfer(self.asset, self.account, who, owed),
        )
        return after, Flow(owed, shares, changed, paid)

    def _taken(
        self, missing: int, shares: int, pools: Pools
    ) -> tuple[Self, StableSwap, tuple[Transfer, ...]]:
        # As much of the stake as what is missing is of its worth.
        pool, invested = self._pool(pools), self.invested(pools)
        part = min(self.stake, ceil_div(missing * self.stake, invested))
        if shares == self.shares:
            part = self.stake
        pool, paid = pool.remove_one(self.account, part, self.asset)
        atoms = paid.amounts[pool.assets.index(self.asset)]
        after = attrs.evolve(self, cash=self.cash + atoms, stake=self.stake - part)
        return after, pool, paid.transfers

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.cash, self.stake, self.shares) >= 0
