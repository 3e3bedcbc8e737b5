"""Isolated lending markets: one collateral, one loan asset, one oracle, as Morpho's."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import attrs

from .adaptive_curve import AdaptiveCurve, compounded
from .fixed_point import WAD, div_down, div_up, mul_down
from .protocol import (
    SECOND_NS,
    Transfer,
    ceil_div,
    require,
    require_amount,
    transfers,
)

PRICE_ONE = 10**36
"""A price of one atom of the loan asset for one atom of collateral."""

VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1
INCENTIVE_MOST = 115 * WAD // 100
CURSOR = 3 * WAD // 10


class Terms(NamedTuple):
    """What is fixed when a market is made.

    ``oracle`` names who prices the collateral; ``lltv`` is the loan-to-value, wads,
    up to which one may borrow and above which one is liquidated.
    """

    loan: str
    collateral: str
    oracle: str
    lltv: int


class Position(NamedTuple):
    """Shares and collateral of one user."""

    supply_shares: int = 0
    borrow_shares: int = 0
    collateral: int = 0


class Moved(NamedTuple):
    """Atoms and shares that an action moved."""

    assets: int
    shares: int
    transfers: tuple[Transfer, ...]


class Liquidation(NamedTuple):
    """What a liquidator repaid and seized, and what the suppliers lost."""

    repaid: int
    seized: int
    bad_debt: int
    transfers: tuple[Transfer, ...]


def shares_down(assets: int, total: int, shares: int) -> int:
    """Shares that assets are worth, rounded down."""
    return assets * (shares + VIRTUAL_SHARES) // (total + VIRTUAL_ASSETS)


def shares_up(assets: int, total: int, shares: int) -> int:
    """Shares that assets are worth, rounded up."""
    return ceil_div(assets * (shares + VIRTUAL_SHARES), total + VIRTUAL_ASSETS)


def assets_down(share: int, total: int, shares: int) -> int:
    """Assets that shares are worth, rounded down."""
    return share * (total + VIRTUAL_ASSETS) // (shares + VIRTUAL_SHARES)


def assets_up(share: int, total: int, shares: int) -> int:
    """Assets that shares are worth, rounded up."""
    return ceil_div(share * (total + VIRTUAL_ASSETS), shares + VIRTUAL_SHARES)


def incentive(lltv: int) -> int:
    """What a liquidator gets for what it repays, wads: ``1/(1 − 0.3·(1 − LLTV))``.

    >>> round(incentive(915 * 10**15) / 10**18, 4)
    1.0262
    """
    return min(
        INCENTIVE_MOST, div_down(WAD, WAD - mul_down(CURSOR, WAD - lltv, WAD), WAD)
    )


@attrs.frozen(kw_only=True)
class IsolatedMarket:
    """A market between suppliers of one asset and borrowers against another.

    Interest is added whenever anybody acts, before anything is decided. Withdrawals
    and loans end where the cash does. Once a borrower's collateral is gone, what is
    still owed is taken from all suppliers at once. ``price`` of an action is atoms of
    the loan asset for one of collateral, times `PRICE_ONE`, from the market's oracle.
    ``dust`` is what rounding up has overpaid: it lies here and belongs to nobody.

    Source: morpho-blue 3085651a, ``Morpho.sol``; ``least_loan``: lista-dao/moolah
    8726f125.
    """

    account: str
    terms: Terms
    curve: AdaptiveCurve
    updated_s: int
    at_target: int
    supplied: int = 0
    supply_shares: int = 0
    lent: int = 0
    borrow_shares: int = 0
    fee: int = 0
    fee_taker: str = ""
    least_loan: int = 0
    dust: int = 0
    positions: Mapping[str, Position] = attrs.field(factory=dict)

    @classmethod
    def open(
        cls,
        account: str,
        terms: Terms,
        *,
        curve: AdaptiveCurve | None = None,
        fee: int = 0,
        fee_taker: str = "",
        least_loan: int = 0,
        now_ns: int = 0,
    ) -> Self:
        """A market without assets; ``fee`` is its taker's wad of the interest."""
        curve = curve or AdaptiveCurve()
        require(0 < terms.lltv < WAD, "lltv", "be above 0 and below 10**18", terms.lltv)
        right = terms.loan != terms.collateral
        require(
            right, "collateral", f"be another than {terms.loan!r}", terms.collateral
        )
        require(0 <= fee <= WAD // 4, "fee", "be from 0 to a quarter of 10**18", fee)
        require(fee == 0 or fee_taker != "", "fee_taker", "be named", fee_taker)
        at_target = curve.rate(0, 0, 0, 0).at_target
        return cls(
            account=account,
            terms=terms,
            curve=curve,
            updated_s=now_ns // SECOND_NS,
            at_target=at_target,
            fee=fee,
            fee_taker=fee_taker,
            least_loan=least_loan,
        )

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        pledged = sum(row.collateral for row in self.positions.values())
        cash = self.cash + self.dust
        return {self.terms.loan: cash, self.terms.collateral: pledged}

    @property
    def cash(self) -> int:
        """Atoms of the loan asset that can be withdrawn or borrowed."""
        return self.supplied - self.lent

    @property
    def utilisation(self) -> float:
        """The share of what was supplied that is lent; 0 without supply."""
        return self.lent / self.supplied if self.supplied else 0.0

    def position(self, who: str) -> Position:
        """What a user has here."""
        return self.positions.get(who, Position())

    def debt(self, who: str) -> int:
        """Atoms that a user owes, rounded up, as of the last update."""
        return assets_up(
            self.position(who).borrow_shares, self.lent, self.borrow_shares
        )

    def claim(self, who: str) -> int:
        """Atoms that a user's supply is worth, as of the last update."""
        shares = self.position(who).supply_shares
        return assets_down(shares, self.supplied, self.supply_shares)

    def healthy(self, who: str, price: int) -> bool:
        """Whether the collateral, at its LLTV, covers the debt."""
        position = self.position(who)
        if position.borrow_shares == 0:
            return True
        worth = position.collateral * price // PRICE_ONE
        return mul_down(worth, self.terms.lltv, WAD) >= self.debt(who)

    def yearly_rate(self, now_ns: int) -> float:
        """What borrowers pay a year, not compounded, were nobody to act until then."""
        elapsed = max(now_ns // SECOND_NS - self.updated_s, 0)
        rate = self.curve.rate(self.lent, self.supplied, self.at_target, elapsed)
        return rate.mean * (365 * 24 * 3600) / WAD

    # -- ACTIONS

    def accrue(self, now_ns: int) -> Self:
        """Add the interest since the last action."""
        now = now_ns // SECOND_NS
        elapsed = now - self.updated_s
        must = f"not be before the last action, second {self.updated_s}"
        require(elapsed >= 0, "now_ns", must, now_ns)
        if elapsed == 0:
            return self
        rate = self.curve.rate(self.lent, self.supplied, self.at_target, elapsed)
        interest = mul_down(self.lent, compounded(rate.mean, elapsed), WAD)
        supplied, shares = self.supplied + interest, self.supply_shares
        positions = self.positions
        if self.fee and interest:
            taken = mul_down(interest, self.fee, WAD)
            minted = shares_down(taken, supplied - taken, shares)
            taker = self.position(self.fee_taker)
            has = taker.supply_shares + minted
            taker = taker._replace(supply_shares=has)
            positions = {**positions, self.fee_taker: taker}
            shares += minted
        return attrs.evolve(
            self,
            lent=self.lent + interest,
            supplied=supplied,
            supply_shares=shares,
            positions=positions,
            at_target=rate.at_target,
            updated_s=now,
        )

    def supply(self, who: str, assets: int, now_ns: int) -> tuple[Self, Moved]:
        """Lend atoms to the market."""
        require_amount("assets", assets)
        market = self.accrue(now_ns)
        shares = shares_down(assets, market.supplied, market.supply_shares)
        has = market.position(who)
        after = market._with(
            who,
            has._replace(supply_shares=has.supply_shares + shares),
            supplied=market.supplied + assets,
            supply_shares=market.supply_shares + shares,
        )
        return after, self._moved(self.terms.loan, who, self.account, assets, shares)

    def withdraw(
        self, who: str, assets: int | None, now_ns: int, *, shares: int = 0
    ) -> tuple[Self, Moved]:
        """Take back atoms, or what a number of shares is worth."""
        market = self.accrue(now_ns)
        total, issued = market.supplied, market.supply_shares
        if assets is None:
            require_amount("shares", shares)
            assets = assets_down(shares, total, issued)
        else:
            require_amount("assets", assets)
            shares = shares_up(assets, total, issued)
        has = market.position(who)
        must = f"be worth at most {who}'s {has.supply_shares} shares"
        require(shares <= has.supply_shares, "assets", must, assets)
        must = f"be at most the cash, {market.cash}"
        require(assets <= market.cash, "assets", must, assets)
        after = market._with(
            who,
            has._replace(supply_shares=has.supply_shares - shares),
            supplied=total - assets,
            supply_shares=issued - shares,
        )
        return after, self._moved(self.terms.loan, self.account, who, assets, shares)

    def borrow(
        self, who: str, assets: int, price: int, now_ns: int
    ) -> tuple[Self, Moved]:
        """Borrow atoms against the collateral that lies here."""
        require_amount("assets", assets)
        market = self.accrue(now_ns)
        must = f"be at most the cash, {market.cash}"
        require(assets <= market.cash, "assets", must, assets)
        shares = shares_up(assets, market.lent, market.borrow_shares)
        has = market.position(who)
        after = market._with(
            who,
            has._replace(borrow_shares=has.borrow_shares + shares),
            lent=market.lent + assets,
            borrow_shares=market.borrow_shares + shares,
        )
        worth = has.collateral * price // PRICE_ONE
        most = mul_down(worth, self.terms.lltv, WAD)
        must = f"leave a debt of at most {most}"
        require(after.healthy(who, price), "assets", must, after.debt(who))
        right = after.debt(who) >= self.least_loan
        require(right, "assets", f"make a debt of {self.least_loan} or more", assets)
        return after, self._moved(self.terms.loan, self.account, who, assets, shares)

    def repay(
        self,
        who: str,
        assets: int | None,
        now_ns: int,
        *,
        shares: int = 0,
        payer: str | None = None,
    ) -> tuple[Self, Moved]:
        """Pay atoms, or a number of shares, of a user's debt back; anybody may."""
        market = self.accrue(now_ns)
        if assets is None:
            require_amount("shares", shares)
            assets = assets_up(shares, market.lent, market.borrow_shares)
        else:
            require_amount("assets", assets)
            shares = shares_down(assets, market.lent, market.borrow_shares)
        has = market.position(who)
        must = f"be at most the debt, {market.debt(who)}"
        require(shares <= has.borrow_shares, "assets", must, assets)
        after = market._with(
            who,
            has._replace(borrow_shares=has.borrow_shares - shares),
            lent=max(market.lent - assets, 0),
            borrow_shares=market.borrow_shares - shares,
            dust=market.dust + max(assets - market.lent, 0),
        )
        giver = who if payer is None else payer
        return after, self._moved(self.terms.loan, giver, self.account, assets, shares)

    def add_collateral(self, who: str, atoms: int) -> tuple[Self, Moved]:
        """Bring collateral; it earns nothing."""
        require_amount("atoms", atoms)
        has = self.position(who)
        after = self._with(who, has._replace(collateral=has.collateral + atoms))
        asset = self.terms.collateral
        return after, self._moved(asset, who, self.account, atoms, 0)

    def remove_collateral(
        self, who: str, atoms: int, price: int, now_ns: int
    ) -> tuple[Self, Moved]:
        """Take collateral that the debt does not need."""
        require_amount("atoms", atoms)
        market = self.accrue(now_ns)
        has = market.position(who)
        must = f"be at most the {has.collateral} there are"
        require(atoms <= has.collateral, "atoms", must, atoms)
        after = market._with(who, has._replace(collateral=has.collateral - atoms))
        must = f"leave the debt of {after.debt(who)} covered"
        require(after.healthy(who, price), "atoms", must, atoms)
        asset = self.terms.collateral
        return after, self._moved(asset, self.account, who, atoms, 0)

    def liquidate(
        self,
        liquidator: str,
        who: str,
        price: int,
        now_ns: int,
        *,
        seize: int | None = None,
        repay_shares: int | None = None,
    ) -> tuple[Self, Liquidation]:
        """Repay a debt that is not covered any more, for collateral and a premium.

        Give how much collateral to seize, or how many shares of the debt to repay.
        """
        market = self.accrue(now_ns)
        right = (seize is None) != (repay_shares is None)
        require(right, "seize", "be given, or 'repay_shares' be", (seize, repay_shares))
        right = not market.healthy(who, price)
        require(right, "who", "have a debt that is not covered", who)
        lent, issued = market.lent, market.borrow_shares
        premium = incentive(self.terms.lltv)
        if seize is not None:
            require_amount("seize", seize)
            worth = ceil_div(seize * price, PRICE_ONE)
            shares = shares_up(div_up(worth, premium, WAD), lent, issued)
        else:
            shares = repay_shares or 0
            require_amount("repay_shares", shares)
            worth = mul_down(assets_down(shares, lent, issued), premium, WAD)
            seize = worth * PRICE_ONE // price if price else 0
        repaid = assets_up(shares, lent, issued)
        has = market.position(who)
        right = shares <= has.borrow_shares and seize <= has.collateral
        must = (
            f"be within {has.collateral} of collateral and {market.debt(who)} of debt"
        )
        require(right, "seize", must, seize)
        left = Position(
            has.supply_shares, has.borrow_shares - shares, has.collateral - seize
        )
        after = market._with(
            who,
            left,
            lent=max(lent - repaid, 0),
            borrow_shares=issued - shares,
            dust=market.dust + max(repaid - lent, 0),
        )
        after, bad = after._written_off(who)
        moves = transfers(
            Transfer(self.terms.loan, liquidator, self.account, repaid),
            Transfer(self.terms.collateral, self.account, liquidator, seize),
        )
        return after, Liquidation(repaid, seize, bad, moves)

    def _written_off(self, who: str) -> tuple[Self, int]:
        # Without collateral nobody will ever repay the rest.
        has = self.position(who)
        if has.collateral or not has.borrow_shares:
            return self, 0
        bad = min(self.lent, self.debt(who))
        after = self._with(
            who,
            has._replace(borrow_shares=0),
            lent=self.lent - bad,
            supplied=self.supplied - bad,
            borrow_shares=self.borrow_shares - has.borrow_shares,
        )
        return after, bad

    def with_curve(self, curve: AdaptiveCurve, now_ns: int) -> Self:
        """Put another curve in place, from now on; a decision of governance."""
        market = self.accrue(now_ns)
        at_target = min(max(market.at_target, curve.least), curve.most)
        return attrs.evolve(market, curve=curve, at_target=at_target)

    def _with(self, who: str, position: Position, **totals: Any) -> Self:
        positions = {**self.positions, who: position}
        if position == Position():
            del positions[who]
        return attrs.evolve(self, positions=positions, **totals)

    def _moved(
        self, asset: str, source: str, target: str, atoms: int, shares: int
    ) -> Moved:
        moves = transfers(Transfer(asset, source, target, atoms))
        return Moved(atoms, shares, moves)

    def _check(self) -> None:
        """Assert every invariant.  O(users)."""
        rows = list(self.positions.values())
        assert sum(row.supply_shares for row in rows) == self.supply_shares
        assert sum(row.borrow_shares for row in rows) == self.borrow_shares
        assert 0 <= self.lent <= self.supplied
        for row in rows:
            assert min(row) >= 0
        claims = sum(self.claim(who) for who in self.positions)
        assert claims <= self.supplied + len(rows)
