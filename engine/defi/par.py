"""Coins redeemed at par out of a reserve, in banking hours, and the module beside."""

from typing import Self

import attrs

from .protocol import ISSUED, SECOND_NS, Transfer, require, require_amount, transfers

WEEK_S = 7 * 86_400
MONDAY_S = 4 * 86_400
"""Seconds from the epoch, a Thursday, to the first Monday."""

Hours = tuple[tuple[int, int], ...]
"""Openings in a week: seconds since Monday 00:00 UTC, from and to."""

ALWAYS: Hours = ((0, WEEK_S),)


@attrs.frozen(kw_only=True)
class ReserveStable:
    """A coin backed by a reserve, part of which lies where it may be lost.

    Redemption is at par and only while the banks are open. ``stuck`` atoms of the
    reserve are at a bank that has failed; ``recovered`` is the share of them that comes
    back. Whoever redeems at par first leaves the hole to the others.
    """

    account: str
    coin: str
    asset: str
    reserve: int
    supply: int
    stuck: int = 0
    recovered: float = 1.0
    hours: Hours = ALWAYS

    def __attrs_post_init__(self) -> None:
        """Refuse a reserve that is none, and hours that are not in a week."""
        require(
            0 <= self.stuck <= self.reserve, "stuck", "be within reserve", self.stuck
        )
        right = 0.0 <= self.recovered <= 1.0
        require(right, "recovered", "be from 0 to 1", self.recovered)
        for start, end in self.hours:
            right = 0 <= start < end <= WEEK_S
            require(right, "hours", f"be from 0 to {WEEK_S} seconds", (start, end))

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.asset: self.reserve}

    def open_at(self, now_ns: int) -> bool:
        """Whether redemption is open."""
        second = (now_ns // SECOND_NS - MONDAY_S) % WEEK_S
        return any(start <= second < end for start, end in self.hours)

    def floor(self, redeemed: int = 0) -> float:
        """What a coin is backed by once so many more are redeemed at par.

        ``(R − K·(1 − φ) − q) / (U − q)``; 0 where nothing is left.
        """
        right = 0 <= redeemed < self.supply
        require(right, "redeemed", f"be below the supply, {self.supply}", redeemed)
        sound = self.reserve - self.stuck * (1.0 - self.recovered)
        return max(0.0, (sound - redeemed) / (self.supply - redeemed))

    def redeem(
        self, who: str, atoms: int, now_ns: int
    ) -> tuple[Self, tuple[Transfer, ...]]:
        """Give coins for as much of the reserve as is not stuck."""
        require_amount("atoms", atoms)
        require(self.open_at(now_ns), "now_ns", "be in banking hours", now_ns)
        free = min(self.reserve - self.stuck, self.supply)
        require(atoms <= free, "atoms", f"be at most the {free} at hand", atoms)
        after = attrs.evolve(
            self, reserve=self.reserve - atoms, supply=self.supply - atoms
        )
        moves = transfers(
            Transfer(self.coin, who, ISSUED, atoms),
            Transfer(self.asset, self.account, who, atoms),
        )
        return after, moves

    def _check(self) -> None:
        """Assert every invariant."""
        assert 0 <= self.stuck <= self.reserve
        assert self.supply >= 0


@attrs.frozen(kw_only=True)
class PegModule:
    """Mints a coin one to one for another, less a fee, up to a ceiling.

    While there is room under the ceiling the minted coin cannot trade above the other
    by more than the fee: it takes its depeg over. Both coins have the same decimals.

    Source: MakerDAO, Peg Stability Module: ``tin``, ``tout``, ``line``.
    """

    account: str
    coin: str
    asset: str
    ceiling: int
    fee_in_ppm: int = 0
    fee_out_ppm: int = 0
    held: int = 0
    minted: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse fees and ceilings that are none."""
        require(self.ceiling >= 0, "ceiling", "not be below 0", self.ceiling)
        for field in ("fee_in_ppm", "fee_out_ppm"):
            fee = getattr(self, field)
            require(0 <= fee < 10**6, field, "be from 0 to 999,999", fee)

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.asset: self.held}

    @property
    def room(self) -> int:
        """Atoms that may still be minted."""
        return max(0, self.ceiling - self.minted)

    def affordable(self, atoms: int) -> int:
        """Atoms of the asset that so many of the coin buy, with the fee."""
        return atoms * 10**6 // (10**6 + self.fee_out_ppm)

    def highest_price(self, asset_price: float) -> float | None:
        """The most the coin can trade at next to the asset; None without room."""
        if not self.room:
            return None
        return asset_price / (1.0 - self.fee_in_ppm / 10**6)

    def sell(self, who: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Give the asset for the coin."""
        require_amount("atoms", atoms)
        require(atoms <= self.room, "atoms", f"be at most {self.room}", atoms)
        paid = atoms - atoms * self.fee_in_ppm // 10**6
        after = attrs.evolve(self, held=self.held + atoms, minted=self.minted + atoms)
        moves = transfers(
            Transfer(self.asset, who, self.account, atoms),
            Transfer(self.coin, ISSUED, who, paid),
            Transfer(self.coin, ISSUED, self.account, atoms - paid),
        )
        return after, moves

    def buy(self, who: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Give the coin for the asset, while there is any."""
        require_amount("atoms", atoms)
        asked = atoms + atoms * self.fee_out_ppm // 10**6
        most = min(self.held, self.minted)
        require(atoms <= most, "atoms", f"be at most {most}", atoms)
        after = attrs.evolve(self, held=self.held - atoms, minted=self.minted - atoms)
        moves = transfers(
            Transfer(self.coin, who, ISSUED, atoms),
            Transfer(self.coin, who, self.account, asked - atoms),
            Transfer(self.asset, self.account, who, atoms),
        )
        return after, moves

    def _check(self) -> None:
        """Assert every invariant."""
        assert 0 <= self.held == self.minted <= self.ceiling
