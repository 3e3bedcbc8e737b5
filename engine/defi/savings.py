"""Savings with a promised yield: what is not earned comes out of a reserve."""

from typing import Self

import attrs

from .protocol import (
    ISSUED,
    Transfer,
    ceil_div,
    require,
    require_amount,
    transfers,
)
from .terra import SavingsReserve

DAY_S = 86_400.0


@attrs.frozen(kw_only=True)
class SavingsAccount:
    """Deposits at a place that promises a yield, its reserve, and what it has lent.

    Each epoch borrowers owe what is earned more, and the reserve pays what is missing
    to the promise, as long as it has it; after that deposits earn less. Depositors
    withdraw cash. ``promised`` and ``earned`` are shares a year.

    Source: Anchor-Protocol/money-market-contracts c5b8d667, ``overseer``; see
    `terra.SavingsReserve`.
    """

    account: str
    asset: str
    promised: float
    earned: float = 0.0
    factor: float = 1.0
    epoch_ns: int
    reserve: int = 0
    cash: int = 0
    lent: int = 0
    shares: int = 0
    paid_ns: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse an epoch without time, rates below 0, a reserve that is none."""
        require(self.epoch_ns > 0, "epoch_ns", "be above 0", self.epoch_ns)
        for field in ("promised", "earned", "reserve"):
            value = getattr(self, field)
            require(value >= 0, field, "not be below 0", value)
        right = 0.0 < self.factor <= 1.0
        require(right, "factor", "be above 0, at most 1", self.factor)

    @property
    def share_asset(self) -> str:
        """The token of a deposit."""
        return f"{self.account} shares"

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {self.asset: self.cash + self.reserve}

    @property
    def deposits(self) -> int:
        """What depositors may claim, atoms."""
        return self.cash + self.lent

    def claim(self, shares: int) -> int:
        """What so many shares are worth, atoms."""
        return shares * self.deposits // self.shares if self.shares else 0

    def deposit(self, who: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Give the asset for shares."""
        require_amount("atoms", atoms)
        shares = atoms * self.shares // self.deposits if self.shares else atoms
        require(shares > 0, "atoms", "be worth a share", atoms)
        after = attrs.evolve(self, cash=self.cash + atoms, shares=self.shares + shares)
        moves = transfers(
            Transfer(self.asset, who, self.account, atoms),
            Transfer(self.share_asset, ISSUED, who, shares),
        )
        return after, moves

    def withdraw(self, who: str, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Take so much of the cash for shares, which are rounded up.

        What rounding has left in a place without shares is nobody's.
        """
        require_amount("atoms", atoms)
        most = min(self.cash, self.claim(self.shares))
        require(atoms <= most, "atoms", f"be at most the cash, {most}", atoms)
        shares = ceil_div(atoms * self.shares, self.deposits)
        after = attrs.evolve(self, cash=self.cash - atoms, shares=self.shares - shares)
        moves = transfers(
            Transfer(self.share_asset, who, ISSUED, shares),
            Transfer(self.asset, self.account, who, atoms),
        )
        return after, moves

    def accrue(self, now_ns: int) -> Self:
        """Add the yield of every epoch that is over."""
        state = self
        while now_ns - state.paid_ns >= self.epoch_ns:
            state = state._epoch()
        return state

    def _epoch(self) -> Self:
        days = self.epoch_ns / 1e9 / DAY_S
        deposits = float(self.deposits)
        reserve = SavingsReserve(reserve=float(self.reserve), factor=self.factor)
        _, paid = reserve.epoch(deposits, self.promised, self.earned, days)
        # The float may be an atom more than there is.
        top_up = min(int(paid), self.reserve)
        return attrs.evolve(
            self,
            reserve=self.reserve - top_up,
            cash=self.cash + top_up,
            lent=self.lent + int(deposits * self.earned * days / 365.0),
            paid_ns=self.paid_ns + self.epoch_ns,
        )

    def _check(self) -> None:
        """Assert every invariant."""
        assert min(self.reserve, self.cash, self.lent, self.shares) >= 0
