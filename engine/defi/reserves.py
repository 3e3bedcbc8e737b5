"""Reserves of a shared lending pool: terms, rates and indices, as Aave v3's."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import attrs

from .fixed_point import (
    BPS,
    RAY,
    div_down,
    div_near,
    div_up,
    mul_down,
    mul_near,
    mul_up,
)
from .protocol import SECOND_NS, YEAR_S, require

_BPS_TO_RAY = 10**23


class Rates(NamedTuple):
    """What suppliers get and borrowers pay a year, rays."""

    supply: int
    borrow: int


_NO_RATES = Rates(0, 0)


@attrs.frozen(kw_only=True)
class KinkedCurve:
    """A rate that rises slowly up to a utilisation and fast above it; basis points.

    Source: aave-v3-origin fd1fbd91, ``DefaultReserveInterestRateStrategyV2``.
    """

    optimal: int
    base: int = 0
    slope_1: int
    slope_2: int

    def __attrs_post_init__(self) -> None:
        """Refuse a curve out of order."""
        right = 100 <= self.optimal <= 9_900
        require(right, "optimal", "be from 100 to 9,900 basis points", self.optimal)
        right = 0 <= self.slope_1 <= self.slope_2
        got = self.slope_1, self.slope_2
        require(right, "slope_1", "be from 0 to 'slope_2'", got)
        most = self.base + self.slope_1 + self.slope_2
        right = self.base >= 0 and most <= 100_000
        require(right, "base", "be at least 0, the sum at most 100,000", most)

    def rates(self, cash: int, debt: int, deficit: int, reserve_factor: int) -> Rates:
        """The rates of a reserve; what is missing lowers what suppliers get."""
        base = self.base * _BPS_TO_RAY
        if debt == 0:
            return Rates(0, base)
        used = div_near(debt, cash + debt, RAY)
        used_of_supply = div_near(debt, cash + debt + deficit, RAY)
        optimal = self.optimal * _BPS_TO_RAY
        first, second = self.slope_1 * _BPS_TO_RAY, self.slope_2 * _BPS_TO_RAY
        if used > optimal:
            excess = div_near(used - optimal, RAY - optimal, RAY)
            borrow = base + first + mul_near(second, excess, RAY)
        else:
            borrow = base + div_near(mul_near(first, used, RAY), optimal, RAY)
        supply = mul_near(borrow, used_of_supply, RAY)
        return Rates(mul_near(supply, BPS - reserve_factor, BPS), borrow)


@attrs.frozen(kw_only=True)
class ReserveTerms:
    """What governance sets for an asset; shares in basis points.

    ``ltv`` bounds borrowing, ``threshold`` decides liquidation; ``bonus`` is what a
    liquidator gets on top, of which the protocol keeps ``protocol_fee``. Caps are
    whole units, 0 for none. A frozen reserve takes no supply and lends nothing more;
    a paused one does nothing at all.
    """

    asset: str
    decimals: int
    curve: KinkedCurve
    ltv: int = 0
    threshold: int = 0
    bonus: int = 0
    protocol_fee: int = 1_000
    reserve_factor: int = 1_000
    supply_cap: int = 0
    borrow_cap: int = 0
    borrowable: bool = True
    frozen: bool = False
    paused: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse terms by which nobody could borrow or liquidate."""
        right = 0 <= self.ltv <= self.threshold <= BPS
        got = self.ltv, self.threshold
        require(right, "ltv", "be from 0 to 'threshold', at most 10,000", got)
        right = self.threshold * (BPS + self.bonus) <= BPS * BPS and self.bonus >= 0
        must = "be at least 0, and 'threshold' with it below the collateral"
        require(right, "bonus", must, self.bonus)
        for field in ("protocol_fee", "reserve_factor"):
            share = getattr(self, field)
            require(0 <= share <= BPS, field, "be from 0 to 10,000", share)
        for field in ("supply_cap", "borrow_cap", "decimals"):
            require(
                getattr(self, field) >= 0, field, "not be below 0", getattr(self, field)
            )


@attrs.frozen(kw_only=True)
class Reserve:
    """What is lent and borrowed of one asset.

    Claims and debts are kept scaled by an index that grows with the interest. ``cash``
    is what can be withdrawn, borrowed or seized; ``deficit`` is debt that nobody owes
    any more, which suppliers still claim until somebody covers it.

    Source: aave-v3-origin fd1fbd91, ``ReserveLogic``, ``MathUtils``; rounding of v3.5:
    claims down, debts up.
    """

    terms: ReserveTerms
    updated_s: int = 0
    supply_index: int = RAY
    borrow_index: int = RAY
    rates: Rates = _NO_RATES
    cash: int = 0
    supplied: Mapping[str, int] = attrs.field(factory=dict)
    borrowed: Mapping[str, int] = attrs.field(factory=dict)
    total_supplied: int = 0
    total_borrowed: int = 0
    treasury: int = 0
    deficit: int = 0
    grace_until_s: int = 0

    # -- QUERIES

    @property
    def unit(self) -> int:
        """Atoms of a whole unit."""
        return int(10**self.terms.decimals)

    @property
    def total_debt(self) -> int:
        """Atoms that all borrowers owe."""
        return mul_up(self.total_borrowed, self.borrow_index, RAY)

    @property
    def total_claim(self) -> int:
        """Atoms that all suppliers and the treasury claim."""
        return mul_down(self.total_supplied + self.treasury, self.supply_index, RAY)

    @property
    def utilisation(self) -> float:
        """The share lent out."""
        total = self.cash + self.total_debt
        return self.total_debt / total if total else 0.0

    def claim(self, who: str) -> int:
        """Atoms that a user's supply is worth."""
        return mul_down(self.supplied.get(who, 0), self.supply_index, RAY)

    def debt(self, who: str) -> int:
        """Atoms that a user owes."""
        return mul_up(self.borrowed.get(who, 0), self.borrow_index, RAY)

    # -- CHANGES, each of a reserve that is up to date

    def accrue(self, now_ns: int) -> Self:
        """Add the interest since the last action: supply simple, debt compounded."""
        now = now_ns // SECOND_NS
        elapsed = now - self.updated_s
        must = f"not be before the last action, second {self.updated_s}"
        require(elapsed >= 0, "now_ns", must, now_ns)
        if elapsed == 0:
            return self
        supply_index, borrow_index = self.supply_index, self.borrow_index
        if self.rates.supply:
            growth = RAY + self.rates.supply * elapsed // YEAR_S
            supply_index = mul_near(growth, supply_index, RAY)
        treasury = self.treasury
        if self.total_borrowed:
            x = self.rates.borrow * elapsed // YEAR_S
            growth = RAY + x + mul_near(x, x // 2 + mul_near(x, x // 6, RAY), RAY)
            borrow_index = mul_near(growth, borrow_index, RAY)
            grown = borrow_index - self.borrow_index
            accrued = mul_down(self.total_borrowed, grown, RAY)
            cut = mul_down(accrued, self.terms.reserve_factor, BPS)
            treasury += div_down(cut, supply_index, RAY)
        return attrs.evolve(
            self,
            updated_s=now,
            supply_index=supply_index,
            borrow_index=borrow_index,
            treasury=treasury,
        )

    def settled(self) -> Self:
        """The reserve with the rates that its cash and debt now make."""
        rates = self.terms.curve.rates(
            self.cash, self.total_debt, self.deficit, self.terms.reserve_factor
        )
        return attrs.evolve(self, rates=rates)

    def credit(self, who: str, atoms: int) -> Self:
        """Give a user a claim, rounded down."""
        scaled = div_down(atoms, self.supply_index, RAY)
        return self._supply(who, scaled)

    def debit(self, who: str, atoms: int) -> Self:
        """Take a claim from a user, rounded up; all of it if that is what is left."""
        scaled = div_up(atoms, self.supply_index, RAY)
        return self._supply(who, -min(scaled, self.supplied.get(who, 0)))

    def lend(self, who: str, atoms: int) -> Self:
        """Add to a user's debt, rounded up."""
        return self._borrow(who, div_up(atoms, self.borrow_index, RAY))

    def settle(self, who: str, atoms: int) -> Self:
        """Take from a user's debt, rounded down; all of it if that is what is owed."""
        has = self.borrowed.get(who, 0)
        if atoms >= self.debt(who):
            return self._borrow(who, -has)
        return self._borrow(who, -min(div_down(atoms, self.borrow_index, RAY), has))

    def pay(self, atoms: int) -> Self:
        """Let cash come in, or go out below 0."""
        return attrs.evolve(self, cash=self.cash + atoms)

    def _supply(self, who: str, scaled: int) -> Self:
        supplied = {**self.supplied, who: self.supplied.get(who, 0) + scaled}
        if not supplied[who]:
            del supplied[who]
        total = self.total_supplied + scaled
        return attrs.evolve(self, supplied=supplied, total_supplied=total)

    def _borrow(self, who: str, scaled: int) -> Self:
        borrowed = {**self.borrowed, who: self.borrowed.get(who, 0) + scaled}
        if not borrowed[who]:
            del borrowed[who]
        total = self.total_borrowed + scaled
        return attrs.evolve(self, borrowed=borrowed, total_borrowed=total)

    def _check(self) -> None:
        """Assert every invariant.  O(users)."""
        assert self.total_supplied == sum(self.supplied.values())
        assert self.total_borrowed == sum(self.borrowed.values())
        assert min([0, *self.supplied.values(), *self.borrowed.values()]) == 0
        assert min(self.cash, self.deficit, self.treasury) >= 0
        assert self.supply_index >= RAY
        assert self.borrow_index >= RAY
        owed = self.cash + self.total_debt + self.deficit
        assert owed >= self.total_claim
