"""Terra's market module and Anchor's reserve: a peg by minting, a yield paid out."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import attrs

from ...margin.scalars import log, power
from .fixed_point import WAD
from .protocol import (
    ISSUED,
    Transfer,
    require,
    require_amount,
    require_known,
    transfers,
)


def _half_even(top: int, bottom: int) -> int:
    # The nearest whole number; a half goes to the even one.
    quotient, rest = divmod(top, bottom)
    twice = 2 * rest
    return quotient + (twice > bottom or (twice == bottom and quotient % 2 == 1))


def times(a: int, b: int) -> int:
    """The product of two numbers with 18 digits, rounded half to even."""
    return _half_even(a * b, WAD)


def over(a: int, b: int) -> int:
    """The quotient of two numbers with 18 digits, rounded half to even."""
    require(b != 0, "b", "not be 0", b)
    return _half_even(a * WAD, b)


class Swapped(NamedTuple):
    """What a swap pays before and after the spread, and the spread; 18 digits.

    ``base`` and ``net`` are in SDR, ``out`` in the asset that was asked for.
    """

    base: int
    net: int
    spread: int
    out: int


@attrs.frozen(kw_only=True)
class VirtualPoolMarket:
    """Swaps between stable coins and LUNA against pools that do not exist.

    Both pools hold ``base`` at rest; ``delta`` is how far stable coins have filled
    theirs. The spread follows from their product, at least ``least_spread``; the price
    is the oracle's, so that it lags. Every block a ``recovery``-th of delta goes.
    All numbers have 18 digits; rates are SDR for one unit.

    Source: classic-terra/core e8a3b17d, ``x/market/keeper/swap.go``; in May 2022 base
    50 million SDR and 36 blocks, before proposal 1164.

    >>> sdr = 10**18
    >>> market = VirtualPoolMarket(base=1_000 * sdr, recovery=14_400, least_spread=0)
    >>> after, swap = market.sell_stable(100 * sdr, stable=sdr, luna=sdr // 2)
    >>> swap.net / sdr, swap.out / sdr
    (90.9090909090909, 181.8181818181818)
    """

    base: int
    recovery: int
    least_spread: int = 2 * WAD // 100
    tobin: int = 35 * WAD // 10_000
    delta: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse pools that are empty or never recover."""
        require(self.base > 0, "base", "be above 0", self.base)
        require(self.recovery >= 1, "recovery", "be at least 1 block", self.recovery)
        for field in ("least_spread", "tobin"):
            share = getattr(self, field)
            require(0 <= share < WAD, field, "be from 0 to below 10**18", share)
        require(self.base + self.delta > 0, "delta", "leave the pool", self.delta)

    @property
    def pools(self) -> tuple[int, int]:
        """The stable pool and the LUNA pool, SDR."""
        stable = self.base + self.delta
        return stable, over(times(self.base, self.base), stable)

    def sell_stable(
        self, amount: int, *, stable: int, luna: int
    ) -> tuple[Self, Swapped]:
        """Burn stable coins for LUNA, minted at the oracle's rate less the spread."""
        offered = self._offered(amount, stable, luna)
        pool, other = self.pools
        swap = self._swap(offered, pool, other, luna)
        return attrs.evolve(self, delta=self.delta + offered), swap

    def sell_luna(self, amount: int, *, stable: int, luna: int) -> tuple[Self, Swapped]:
        """Burn LUNA for stable coins, minted at the oracle's rate less the spread."""
        offered = self._offered(amount, luna, stable)
        other, pool = self.pools
        swap = self._swap(offered, pool, other, stable)
        return attrs.evolve(self, delta=self.delta - swap.net), swap

    def between_stables(self, amount: int, *, give: int, get: int) -> Swapped:
        """Change one stable coin into another for the Tobin tax; no pool moves."""
        offered = self._offered(amount, give, get)
        net = times(offered, WAD - self.tobin)
        return Swapped(offered, net, self.tobin, over(net, get))

    def end_block(self) -> Self:
        """After a block: a part of delta is gone."""
        gone = over(self.delta, self.recovery * WAD)
        return attrs.evolve(self, delta=self.delta - gone)

    def _offered(self, amount: int, give: int, get: int) -> int:
        require(amount > 0, "amount", "be above 0", amount)
        for field, rate in (("give", give), ("get", get)):
            require(rate > 0, field, "be above 0 SDR", rate)
        offered = times(amount, give)
        require(offered > 0, "amount", "be worth something in SDR", amount)
        return offered

    def _swap(self, offered: int, pool: int, other: int, rate: int) -> Swapped:
        product = times(self.base, self.base)
        out = other - over(product, pool + offered)
        spread = max(over(offered - out, offered), self.least_spread)
        net = times(offered, WAD - spread)
        return Swapped(offered, net, spread, over(net, rate))


TERMS = {"base": "base", "recovery": "recovery", "spread": "least_spread"}
"""Terms of the market that a vote may change."""


@attrs.frozen(kw_only=True)
class TerraModule:
    """The market between a stable coin and LUNA with the tokens it burns and mints.

    ``stable_scale`` and ``luna_scale`` are what an atom of the ledger is of the 18
    digits that the market counts in, ``sdr`` what an SDR is in stable coins, and
    ``block_ns`` the time of a block. ``burned`` and ``minted`` are atoms of the stable
    coin, since the start.
    """

    account: str
    stable: str
    luna: str
    market: VirtualPoolMarket
    stable_scale: int
    luna_scale: int
    sdr: float = 1.0
    block_ns: int = 0
    burned: int = 0
    minted: int = 0
    ended_ns: int = 0

    @property
    def holds(self) -> dict[str, int]:
        """Nothing: it burns what it takes."""
        return {}

    def swap(
        self,
        who: str,
        give: str,
        atoms: int,
        *,
        stable: int,
        luna: int,
        least: int = 0,
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Burn one for at least ``least`` of the other; rates in SDR, wads."""
        require_amount("atoms", atoms)
        require_known("give", give, {self.stable: 0, self.luna: 0})
        burned, minted = self.burned, self.minted
        if give == self.stable:
            amount, get, scale = atoms * self.stable_scale, self.luna, self.luna_scale
            market, done = self.market.sell_stable(amount, stable=stable, luna=luna)
            burned += atoms
        else:
            amount, get, scale = atoms * self.luna_scale, self.stable, self.stable_scale
            market, done = self.market.sell_luna(amount, stable=stable, luna=luna)
            minted += done.out // scale
        paid = done.out // scale
        require(paid > 0, "atoms", f"be worth at least an atom of {get}", atoms)
        require(paid >= least, "least", f"be at most the {paid} that it pays", least)
        moves = transfers(
            Transfer(give, who, ISSUED, atoms),
            Transfer(get, ISSUED, who, paid),
        )
        after = attrs.evolve(self, market=market, burned=burned, minted=minted)
        return after, moves

    def rates(self, luna_price: float) -> dict[str, int]:
        """What the stable coin and LUNA count as, for LUNA's price in the coin."""
        require(luna_price > 0.0, "luna_price", "be above 0", luna_price)
        stable, luna = (round(price / self.sdr * WAD) for price in (1.0, luna_price))
        return {"stable": stable, "luna": luna}

    def end_block(self) -> Self:
        """After a block."""
        return attrs.evolve(self, market=self.market.end_block())

    def until(self, now_ns: int) -> Self:
        """After all blocks that are over by a time."""
        blocks = (now_ns - self.ended_ns) // self.block_ns
        market = self.market
        for _ in range(blocks):
            market = market.end_block()
        ended = self.ended_ns + blocks * self.block_ns
        return attrs.evolve(self, market=market, ended_ns=ended)

    def voted(self, changes: Mapping[str, float]) -> Self:
        """With other terms: ``base`` in SDR, ``recovery`` in blocks, least ``spread``.

        What has filled the pools stays.
        """
        made: dict[str, int] = {}
        for name, value in changes.items():
            require_known("set", name, TERMS)
            whole = round(value * WAD) if name == "spread" else round(value)
            made[TERMS[name]] = whole * WAD if name == "base" else whole
        return attrs.evolve(self, market=attrs.evolve(self.market, **made))

    @property
    def spread(self) -> float:
        """What a small burn of the stable coin loses now."""
        stable, luna = self.market.pools
        return max(1.0 - luna / stable, self.market.least_spread / WAD)

    @property
    def capacity(self) -> float:
        """Stable coins that can be burned each block at the least spread."""
        market = self.market
        base, least = market.base / WAD, market.least_spread / WAD
        return absorbed_per_block(base, market.recovery, least) * self.sdr

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.market.pools) > 0
        assert min(self.burned, self.minted) >= 0


def absorbed_per_block(base: float, recovery: float, spread: float) -> float:
    """Stable coins that can be burned each block at a spread: B·((1−s)^−½ − 1)/P.

    >>> round(absorbed_per_block(50e6, 36, 0.02), 3)
    14100.756
    """
    require(0.0 <= spread < 1.0, "spread", "be from 0 to below 1", spread)
    return base * (power(1.0 - spread, -0.5) - 1.0) / recovery


def spiral_worth(supply: float, supply_after: float, burned: float) -> float:
    """The worth of all LUNA that its market keeps while the supply explodes.

    Each burn mints ``R / M`` of the supply, so ``ln(S₁/S₀) = R/M``.
    """
    right = 0.0 < supply < supply_after
    require(right, "supply", "be above 0 and below 'supply_after'", supply)
    return burned / log(supply_after / supply)


@attrs.frozen(kw_only=True)
class SavingsReserve:
    """A reserve that tops a promised yield up, until it is empty.

    Source: Anchor-Protocol/money-market-contracts c5b8d667, ``overseer``: an epoch
    pays the deposits' missing interest, at most ``factor`` of the reserve.
    """

    reserve: float
    factor: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse a reserve below 0."""
        require(self.reserve >= 0.0, "reserve", "not be below 0", self.reserve)
        require(
            0.0 < self.factor <= 1.0, "factor", "be above 0, at most 1", self.factor
        )

    def epoch(
        self, deposits: float, promised: float, earned: float, days: float
    ) -> tuple[Self, float]:
        """After some days at two yearly rates, and what it paid."""
        missing = deposits * max(0.0, promised - earned) * days / 365.0
        paid = min(missing, self.reserve * self.factor)
        return attrs.evolve(self, reserve=self.reserve - paid), paid

    def days_left(self, burned_per_day: float) -> float:
        """Days until it is empty."""
        require(burned_per_day > 0.0, "burned_per_day", "be above 0", burned_per_day)
        return self.reserve / burned_per_day
