"""Stableswap pools, as Curve's."""

from collections.abc import Mapping
from math import nan
from typing import NamedTuple, Self

import attrs

from ...margin.averages import Moving
from .invariant import (
    Amplifier,
    balance_for,
    float_balance_for,
    float_invariant,
    invariant,
    marginal_price,
)
from .pools import Provision, Trade, amounts_in_order, sides
from .protocol import (
    ISSUED,
    Transfer,
    require,
    require_amount,
    require_known,
    transfers,
)

ONE = 10**18
FEE_ONE = 10**10
"""What fees, admin fees and the off-peg multiplier are shares of."""


class _Exchange(NamedTuple):
    # Atoms that go out, the fee, the admin's part of it, and the balances before it.
    out: int
    fee: int
    admin: int
    scaled: list[int]


@attrs.frozen(kw_only=True)
class StableSwap:
    """A pool of assets that are meant to be worth the same.

    ``amplification`` is the contract's ``A``, ``a_precision`` what it is multiplied
    with inside (1 in 3pool, 100 since). ``rates`` turn atoms into the common unit,
    10**18 being one to one. ``off_peg`` above 10**10 raises the fee as the pool leaves
    its balance; with it the rounding is that of the newest pools. ``owed`` is the
    admin's part of the fees; it is not traded with.

    Sources: curvefi/curve-contract 574f4402, ``StableSwap3Pool.vy`` and ``base``;
    stableswap-ng 2abe778f, ``CurveStableSwapNG.vy``.

    >>> pool = StableSwap.empty("pool", ("USDe", "USDC"), amplification=200, fee=10**6)
    >>> pool, _ = pool.add("ann", {"USDe": 10**12, "USDC": 10**12})
    >>> pool.quote("USDe", "USDC", 10**9)
    999895025
    """

    account: str
    assets: tuple[str, ...]
    amplification: int
    a_precision: int
    fee: int
    admin_fee: int
    rates: tuple[int, ...]
    reserves: tuple[int, ...]
    owed: tuple[int, ...]
    shares: int = 0
    off_peg: int = 0
    newest: bool = False
    moving: Moving = attrs.field(factory=Moving)
    exact: bool = True

    @classmethod
    def empty(
        cls,
        account: str,
        assets: tuple[str, ...],
        *,
        amplification: int,
        fee: int,
        admin_fee: int = FEE_ONE // 2,
        a_precision: int = 100,
        rates: tuple[int, ...] | None = None,
        off_peg: int = 0,
        newest: bool = False,
        window_s: int = 866,
        exact: bool = True,
    ) -> Self:
        """A pool without reserves."""
        require(len(assets) >= 2, "assets", "be at least two", assets)
        require(len(dict.fromkeys(assets)) == len(assets), "assets", "differ", assets)
        require(amplification >= 1, "amplification", "be at least 1", amplification)
        require(a_precision >= 1, "a_precision", "be at least 1", a_precision)
        for field, share in (("fee", fee), ("admin_fee", admin_fee)):
            require(0 <= share <= FEE_ONE, field, f"be from 0 to {FEE_ONE}", share)
        require(off_peg >= 0, "off_peg", "not be below 0", off_peg)
        require(window_s > 0, "window_s", "be above 0 seconds", window_s)
        rates = rates or (ONE,) * len(assets)
        right = len(rates) == len(assets) and min(rates) > 0
        require(right, "rates", "be one above 0 for each asset", rates)
        nothing = (0,) * len(assets)
        return cls(
            account=account,
            assets=assets,
            amplification=amplification,
            a_precision=a_precision,
            fee=fee,
            admin_fee=admin_fee,
            rates=rates,
            reserves=nothing,
            owed=nothing,
            off_peg=off_peg,
            newest=newest or off_peg > 0,
            moving=Moving(window_s=window_s),
            exact=exact,
        )

    @property
    def share_asset(self) -> str:
        """The token of its shares."""
        return f"{self.account} shares"

    @property
    def _amp(self) -> Amplifier:
        ann = self.amplification * self.a_precision * len(self.assets)
        return Amplifier(ann, self.a_precision, self.newest)

    def _scaled(self, reserves: tuple[int, ...]) -> list[int]:
        return [
            atoms * rate // ONE
            for atoms, rate in zip(reserves, self.rates, strict=True)
        ]

    def _d(self, scaled: list[int]) -> int:
        if self.exact or not any(scaled):
            return invariant(scaled, self._amp)
        return int(float_invariant([float(x) for x in scaled], self._amp))

    def _balance_for(self, others: list[int], d: int) -> int:
        if self.exact:
            return balance_for(others, d, self._amp)
        floats = [float(x) for x in others]
        return int(float_balance_for(floats, float(d), self._amp)) + 1

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        rows = zip(self.assets, self.reserves, self.owed, strict=True)
        return {asset: atoms + owed for asset, atoms, owed in rows}

    @property
    def virtual_price(self) -> int:
        """What a share holds at par, times 10**18."""
        require(self.shares > 0, "shares", "be above 0", self.shares)
        return self._d(self._scaled(self.reserves)) * ONE // self.shares

    def price(self, give: str, get: str) -> float:
        """Atoms of ``get`` for one more of ``give``, before fees; NaN if empty."""
        i, j = sides(self.assets, give, get, 1)
        scaled = self._scaled(self.reserves)
        if min(scaled) <= 0:
            return nan
        ratio = self.rates[i] / self.rates[j]
        return marginal_price(scaled, i, j, self._amp) * ratio

    def average(self, asset: str, now_ns: int) -> float:
        """The moving average of an asset's price in the first asset, common units."""
        require_known("asset", asset, dict.fromkeys(self.assets[1:]))
        require(bool(self.moving.mean), "reserves", "be above 0", self.reserves)
        return self.moving.read(now_ns)[self.assets.index(asset) - 1]

    def fee_between(self, first: int, second: int, base: int | None = None) -> int:
        """The fee of a swap at these balances, of 10**10: higher off the peg."""
        fee = self.fee if base is None else base
        if self.off_peg <= FEE_ONE:
            return fee
        near = (self.off_peg - FEE_ONE) * 4 * first * second // (first + second) ** 2
        return self.off_peg * fee // (near + FEE_ONE)

    def quote(self, give: str, get: str, amount: int) -> int:
        """Atoms of ``get`` that ``amount`` atoms of ``give`` would buy."""
        return self._exchange(give, get, amount).out

    def quote_of_view(self, give: str, get: str, amount: int) -> int:
        """What 3pool's ``get_dy`` answers: it rounds before the fee, the swap after.

        The two may differ by an atom, which a trader who trusts the view finds out.
        """
        i, j = sides(self.assets, give, get, amount)
        scaled = self._scaled(self.reserves)
        y = self._new_balance(scaled, i, j, scaled[i] + amount * self.rates[i] // ONE)
        out = (scaled[j] - y - 1) * ONE // self.rates[j]
        return out - self.fee * out // FEE_ONE

    def _new_balance(self, scaled: list[int], i: int, j: int, x: int) -> int:
        d = self._d(scaled)
        others = [x if k == i else scaled[k] for k in range(len(scaled)) if k != j]
        return self._balance_for(others, d)

    def _exchange(self, give: str, get: str, amount: int) -> _Exchange:
        i, j = sides(self.assets, give, get, amount)
        scaled = self._scaled(self.reserves)
        require(min(scaled) > 0, "reserves", "all be above 0 to trade", self.reserves)
        x = scaled[i] + amount * self.rates[i] // ONE
        y = self._new_balance(scaled, i, j, x)
        out = max(scaled[j] - y - 1, 0)
        rate = self.fee_between((scaled[i] + x) // 2, (scaled[j] + y) // 2)
        fee = out * rate // FEE_ONE
        atoms = (out - fee) * ONE // self.rates[j]
        admin = fee * self.admin_fee // FEE_ONE * ONE // self.rates[j]
        scaled[i], scaled[j] = x, y
        return _Exchange(atoms, fee * ONE // self.rates[j], admin, scaled)

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
        out, fee, admin, scaled = self._exchange(give, get, amount)
        require(out >= least, "least", f"be at most the {out} that it pays", least)
        i, j = sides(self.assets, give, get, amount)
        reserves, owed = list(self.reserves), list(self.owed)
        reserves[i] += amount
        reserves[j] -= out + admin
        owed[j] += admin
        # The average is told the price before the fee, as the contract tells it.
        after = self._with(tuple(reserves), self.shares, tuple(owed), now_ns, scaled)
        moves = transfers(
            Transfer(give, trader, self.account, amount),
            Transfer(get, self.account, trader, out),
        )
        return after, Trade(amount, out, fee, moves)

    def _with(
        self,
        reserves: tuple[int, ...],
        shares: int,
        owed: tuple[int, ...],
        now_ns: int,
        scaled: list[int] | None = None,
    ) -> Self:
        after = attrs.evolve(self, reserves=reserves, shares=shares, owed=owed)
        if not self.newest or not all(reserves):
            return after
        scaled = scaled or after._scaled(reserves)
        require(min(scaled) > 0, "amount", "leave some of each in the pool", scaled)
        prices = tuple(
            marginal_price(scaled, k, 0, self._amp) for k in range(1, len(scaled))
        )
        return attrs.evolve(after, moving=self.moving.after(prices, now_ns))

    def add(
        self, provider: str, amounts: Mapping[str, int], *, now_ns: int = 0
    ) -> tuple[Self, Provision]:
        """Put assets in for shares; all of them at first, any of them later.

        What the deposit takes the pool away from its balance pays a part of the fee.
        """
        put = amounts_in_order(self.assets, amounts)
        right = bool(self.shares) or min(put) > 0
        require(right, "amounts", "name every asset at first", dict(amounts))
        reserves = tuple(a + b for a, b in zip(self.reserves, put, strict=True))
        d0, d1 = self._d(self._scaled(self.reserves)), self._d(self._scaled(reserves))
        require(d1 > d0, "amounts", "be worth something", dict(amounts))
        minted, owed = d1, self.owed
        if self.shares:
            net, kept, owed = self._charged(reserves, d0, d1)
            reserves = kept
            d2 = self._d(self._scaled(net))
            minted = self.shares * (d2 - d0) // d0
        require(minted > 0, "amounts", "be worth at least one share", dict(amounts))
        after = self._with(reserves, self.shares + minted, owed, now_ns)
        moves = [
            Transfer(asset, provider, self.account, atoms)
            for asset, atoms in zip(self.assets, put, strict=True)
        ]
        moves.append(Transfer(self.share_asset, ISSUED, provider, minted))
        return after, Provision(put, minted, transfers(*moves))

    def _charged(
        self, reserves: tuple[int, ...], d0: int, d1: int
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        # Reserves that the new shares are counted on, those left, and what is owed.
        n = len(self.assets)
        base = self.fee * n // (4 * (n - 1))
        even = (d0 + d1) // n
        net, kept, owed = list(reserves), list(reserves), list(self.owed)
        for k, (old, new) in enumerate(zip(self.reserves, reserves, strict=True)):
            away = abs(d1 * old // d0 - new)
            scaled = (old + new) * self.rates[k] // ONE
            fee = self.fee_between(scaled, even, base) * away // FEE_ONE
            admin = fee * self.admin_fee // FEE_ONE
            net[k] -= fee
            kept[k] -= admin
            owed[k] += admin
        return tuple(net), tuple(kept), tuple(owed)

    def remove(
        self, provider: str, shares: int, *, now_ns: int = 0
    ) -> tuple[Self, Provision]:
        """Take out what ``shares`` are a part of, of every asset; never charged."""
        self._require_shares(shares)
        out = tuple(atoms * shares // self.shares for atoms in self.reserves)
        left = tuple(a - b for a, b in zip(self.reserves, out, strict=True))
        after = attrs.evolve(self, reserves=left, shares=self.shares - shares)
        return after, Provision(out, shares, self._paid(provider, shares, out))

    def remove_one(
        self, provider: str, shares: int, get: str, *, now_ns: int = 0
    ) -> tuple[Self, Provision]:
        """Take out what ``shares`` are worth, all of it in one asset."""
        self._require_shares(shares)
        require(shares < self.shares, "shares", f"be below {self.shares}", shares)
        require_known("get", get, dict.fromkeys(self.assets))
        i, n = self.assets.index(get), len(self.assets)
        scaled = self._scaled(self.reserves)
        d0 = self._d(scaled)
        d1 = d0 - shares * d0 // self.shares
        y = self._balance_for(scaled[:i] + scaled[i + 1 :], d1)
        base, even = self.fee * n // (4 * (n - 1)), (d0 + d1) // (2 * n)
        reduced = []
        for k, x in enumerate(scaled):
            expected = x * d1 // d0 - y if k == i else x - x * d1 // d0
            middle = (x + y) // 2 if k == i else x
            fee = self.fee_between(middle, even, base)
            reduced.append(x - fee * expected // FEE_ONE)
        left = self._balance_for(reduced[:i] + reduced[i + 1 :], d1)
        rate = self.rates[i]
        free = (scaled[i] - y) * ONE // rate
        out = (reduced[i] - left - 1) * ONE // rate
        require(out > 0, "shares", "be worth at least one atom", shares)
        admin = (free - out) * self.admin_fee // FEE_ONE
        reserves, owed = list(self.reserves), list(self.owed)
        reserves[i] -= out + admin
        owed[i] += admin
        supply = self.shares - shares
        after = self._with(tuple(reserves), supply, tuple(owed), now_ns)
        amounts = tuple(out if k == i else 0 for k in range(n))
        return after, Provision(amounts, shares, self._paid(provider, shares, amounts))

    def _require_shares(self, shares: int) -> None:
        require_amount("shares", shares)
        must = f"be at most the {self.shares} issued"
        require(shares <= self.shares, "shares", must, shares)

    def _paid(
        self, provider: str, shares: int, amounts: tuple[int, ...]
    ) -> tuple[Transfer, ...]:
        return transfers(
            Transfer(self.share_asset, provider, ISSUED, shares),
            *(
                Transfer(asset, self.account, provider, atoms)
                for asset, atoms in zip(self.assets, amounts, strict=True)
            ),
        )

    def collect(self, admin: str) -> tuple[Self, tuple[Transfer, ...]]:
        """Pay the admin's part of the fees out."""
        moves = transfers(
            *(
                Transfer(asset, self.account, admin, atoms)
                for asset, atoms in zip(self.assets, self.owed, strict=True)
            )
        )
        return attrs.evolve(self, owed=(0,) * len(self.assets)), moves

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.reserves) >= 0
        assert min(self.owed) >= 0
        assert (self.shares == 0) == (min(self.reserves) == 0)
        assert (self.shares == 0) == (max(self.reserves) == 0)
