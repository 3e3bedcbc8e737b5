"""A shared lending pool, as Aave v3: what is supplied is collateral for all debts."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import attrs

from .fixed_point import BPS, WAD, div_near, div_up, mul_down, mul_near, mul_up
from .protocol import (
    SECOND_NS,
    Transfer,
    ceil_div,
    require,
    require_amount,
    require_known,
    transfers,
)
from .reserves import Reserve, ReserveTerms

BASE = 10**8
"""Prices and worths are in the base currency with eight digits."""

CLOSE_FACTOR = 5_000
CLOSE_FACTOR_HEALTH = 95 * WAD // 100
CLOSE_FACTOR_LEAST = 2_000 * BASE
LEFTOVER_LEAST = 1_000 * BASE
TREASURY = "treasury"

Prices = Mapping[str, int]
"""The base currency, eight digits, for a whole unit of each asset."""


class Mode(NamedTuple):
    """An efficiency mode: better terms for assets that move together; basis points."""

    ltv: int
    threshold: int
    bonus: int
    collateral: tuple[str, ...]
    borrowable: tuple[str, ...]


class Health(NamedTuple):
    """A user's collateral and debt in the base currency, and what they allow.

    ``factor`` is the health factor, wads, None without debt; ``ltv`` and ``threshold``
    are the means by worth, basis points.
    """

    collateral: int
    debt: int
    ltv: int
    threshold: int
    factor: int | None

    @property
    def safe(self) -> bool:
        """Whether nobody may liquidate."""
        return self.factor is None or self.factor >= WAD


class Action(NamedTuple):
    """Atoms that an action moved."""

    atoms: int
    transfers: tuple[Transfer, ...]


class Liquidation(NamedTuple):
    """What a liquidator repaid and got, the protocol's fee, and debt left behind."""

    repaid: int
    seized: int
    fee: int
    bad_debt: Mapping[str, int]
    transfers: tuple[Transfer, ...]


class _Cut(NamedTuple):
    # How a liquidation is split: debt, collateral with the fee, the fee.
    repaid: int
    taken: int
    fee: int


@attrs.frozen(kw_only=True)
class LendingPool:
    """Reserves of several assets, and users with claims and debts in any of them.

    All that a user supplies is collateral, as far as the asset has a threshold. What
    is withdrawn, borrowed or seized is limited by the reserve's cash. Debt without
    collateral becomes the reserve's deficit; it is not taken from the suppliers.

    Source: aave-v3-origin fd1fbd91, ``SupplyLogic``, ``BorrowLogic``,
    ``LiquidationLogic``, ``GenericLogic``, ``ValidationLogic``.
    """

    account: str
    reserves: Mapping[str, Reserve]
    modes: Mapping[str, Mode] = attrs.field(factory=dict)
    mode_of: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def open(
        cls,
        account: str,
        terms: tuple[ReserveTerms, ...],
        *,
        modes: Mapping[str, Mode] | None = None,
        now_ns: int = 0,
    ) -> Self:
        """A pool without assets."""
        at = now_ns // SECOND_NS
        reserves = {row.asset: Reserve(terms=row, updated_s=at) for row in terms}
        require(len(reserves) == len(terms), "terms", "name each asset once", terms)
        for name, mode in (modes or {}).items():
            right = 0 < mode.ltv <= mode.threshold <= BPS
            right = right and mode.threshold * (BPS + mode.bonus) <= BPS * BPS
            require(right, f"modes.{name}", "have ltv ≤ threshold ≤ 10,000", mode)
            for asset in (*mode.collateral, *mode.borrowable):
                require_known(f"modes.{name}", asset, reserves)
        return cls(account=account, reserves=reserves, modes=modes or {})

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return {asset: reserve.cash for asset, reserve in self.reserves.items()}

    def accrue(self, now_ns: int) -> Self:
        """The pool with the interest of all reserves up to now."""
        reserves = {name: row.accrue(now_ns) for name, row in self.reserves.items()}
        return attrs.evolve(self, reserves=reserves)

    def health(self, who: str, prices: Prices, now_ns: int) -> Health:
        """What a user's claims and debts are worth now."""
        return self.accrue(now_ns)._health(who, prices)

    def _health(self, who: str, prices: Prices) -> Health:
        worth = debt = by_ltv = by_threshold = 0
        for asset, reserve in self.reserves.items():
            claim, owed = reserve.claim(who), reserve.debt(who)
            if not claim and not owed:
                continue
            require_known("prices", asset, prices)
            price = prices[asset]
            require(price > 0, f"prices.{asset}", "be above 0", price)
            debt += ceil_div(owed * price, reserve.unit)
            ltv, threshold, _ = self._terms_for(who, asset)
            if threshold:
                value = claim * price // reserve.unit
                worth += value
                by_ltv += value * ltv
                by_threshold += value * threshold
        factor = div_near(by_threshold, debt, WAD) // BPS if debt else None
        means = (by_ltv // worth, by_threshold // worth) if worth else (0, 0)
        return Health(worth, debt, *means, factor)

    def _terms_for(self, who: str, asset: str) -> tuple[int, int, int]:
        # Loan-to-value, threshold and bonus: the mode's, if it has the asset.
        mode = self.modes.get(self.mode_of.get(who, ""))
        if mode and asset in mode.collateral:
            return mode.ltv, mode.threshold, mode.bonus
        terms = self.reserves[asset].terms
        return terms.ltv, terms.threshold, terms.bonus

    def borrowers(self) -> list[str]:
        """Everybody with a debt, in a fixed order."""
        found: dict[str, None] = {}
        for reserve in self.reserves.values():
            found.update(dict.fromkeys(reserve.borrowed))
        return list(found)

    # -- ACTIONS

    def supply(
        self, who: str, asset: str, atoms: int, now_ns: int
    ) -> tuple[Self, Action]:
        """Supply atoms, which earn and are collateral."""
        require_amount("atoms", atoms)
        reserve = self._open(asset, now_ns, new=True)
        cap = reserve.terms.supply_cap * reserve.unit
        after = reserve.credit(who, atoms).pay(atoms)
        right = not cap or after.total_claim <= cap
        require(right, "atoms", f"leave supply at its cap, {cap}", atoms)
        pool = self._with(asset, after)
        return pool, _action(asset, who, self.account, atoms)

    def withdraw(
        self, who: str, asset: str, atoms: int | None, prices: Prices, now_ns: int
    ) -> tuple[Self, Action]:
        """Take a claim back, all of it with None; as far as the cash goes.

        Refused if debts would be left uncovered by the liquidation thresholds.
        """
        reserve = self._open(asset, now_ns)
        claim = reserve.claim(who)
        atoms = claim if atoms is None else atoms
        require_amount("atoms", atoms)
        require(atoms <= claim, "atoms", f"be at most the claim, {claim}", atoms)
        must = f"be at most the cash, {reserve.cash}"
        require(atoms <= reserve.cash, "atoms", must, atoms)
        pool = self._with(asset, reserve.debit(who, atoms).pay(-atoms), now_ns)
        pool._require_safe(who, prices)
        return pool, _action(asset, self.account, who, atoms)

    def borrow(
        self, who: str, asset: str, atoms: int, prices: Prices, now_ns: int
    ) -> tuple[Self, Action]:
        """Borrow atoms, up to the loan-to-values of what was supplied."""
        require_amount("atoms", atoms)
        reserve = self._open(asset, now_ns, new=True)
        mode = self.modes.get(self.mode_of.get(who, ""))
        allowed = asset in mode.borrowable if mode else reserve.terms.borrowable
        require(allowed, "asset", "be one that may be borrowed", asset)
        must = f"be at most the cash, {reserve.cash}"
        require(atoms <= reserve.cash, "atoms", must, atoms)
        cap = reserve.terms.borrow_cap * reserve.unit
        after = reserve.lend(who, atoms).pay(-atoms)
        right = not cap or after.total_debt <= cap
        require(right, "atoms", f"leave loans at their cap, {cap}", atoms)
        pool = self._with(asset, after, now_ns)
        health = pool._require_safe(who, prices)
        right = health.ltv > 0 and health.collateral >= div_up(
            health.debt, health.ltv, BPS
        )
        most = mul_down(health.collateral, health.ltv, BPS)
        must = f"leave debts of at most {most}, eight digits"
        require(right, "atoms", must, health.debt)
        return pool, _action(asset, self.account, who, atoms)

    def repay(
        self,
        who: str,
        asset: str,
        atoms: int | None,
        now_ns: int,
        *,
        payer: str | None = None,
    ) -> tuple[Self, Action]:
        """Pay a user's debt back, at most what is owed; all of it with None."""
        reserve = self._open(asset, now_ns)
        debt = reserve.debt(who)
        require(debt > 0, "who", f"owe {asset}", who)
        atoms = debt if atoms is None else atoms
        require_amount("atoms", atoms)
        atoms = min(atoms, debt)
        pool = self._with(asset, reserve.settle(who, atoms).pay(atoms))
        giver = who if payer is None else payer
        return pool, _action(asset, giver, self.account, atoms)

    def enter_mode(
        self, who: str, mode: str | None, prices: Prices, now_ns: int
    ) -> Self:
        """Enter an efficiency mode, or leave it with None; health is checked again."""
        pool = self.accrue(now_ns)
        modes = dict(pool.mode_of)
        if mode is None:
            modes.pop(who, None)
        else:
            require_known("mode", mode, self.modes)
            modes[who] = mode
            for asset, reserve in pool.reserves.items():
                right = not reserve.debt(who) or asset in self.modes[mode].borrowable
                require(right, "mode", f"allow the debt in {asset}", mode)
        pool = attrs.evolve(pool, mode_of=modes)
        pool._require_safe(who, prices)
        return pool

    def cover_deficit(
        self, payer: str, asset: str, atoms: int, now_ns: int
    ) -> tuple[Self, Action]:
        """Burn a payer's claim against the deficit; nothing leaves the pool."""
        require_amount("atoms", atoms)
        reserve = self._open(asset, now_ns)
        most = min(reserve.deficit, reserve.claim(payer))
        require(atoms <= most, "atoms", f"be at most {most}", atoms)
        after = reserve.debit(payer, atoms)
        after = attrs.evolve(after, deficit=reserve.deficit - atoms)
        return self._with(asset, after), Action(atoms, ())

    def liquidate(
        self,
        liquidator: str,
        who: str,
        collateral: str,
        debt: str,
        wanted: int | None,
        prices: Prices,
        now_ns: int,
        *,
        receive_claim: bool = False,
    ) -> tuple[Self, Liquidation]:
        """Repay up to ``wanted`` atoms of a debt, all that is allowed with None.

        The liquidator gets collateral and a bonus: the asset itself, for which the
        reserve needs the cash, or with ``receive_claim`` the claim on it.
        """
        require(liquidator != who, "liquidator", "be another than the user", who)
        self._open(collateral, now_ns)
        self._open(debt, now_ns)
        pool = self.accrue(now_ns)
        health = pool._require_liquidatable(who, collateral, debt, prices, now_ns)
        cut = pool._cut(who, collateral, debt, wanted, prices, health)
        seized = cut.taken - cut.fee
        reserve = pool.reserves[collateral]
        if not receive_claim:
            must = f"have {seized} of {collateral} in cash, or 'receive_claim' be given"
            require(seized <= reserve.cash, "collateral", must, reserve.cash)
        value = cut.taken * prices[collateral] // reserve.unit
        pool = pool._settle(who, debt, cut.repaid)
        reserve = pool.reserves[collateral].debit(who, cut.taken)
        reserve = reserve.credit(TREASURY, cut.fee) if cut.fee else reserve
        if receive_claim:
            reserve = reserve.credit(liquidator, seized)
        else:
            reserve = reserve.pay(-seized)
        pool = pool._with(collateral, reserve)
        pool, bad = pool._bad_debt(who) if value == health.collateral else (pool, {})
        out = (
            ()
            if receive_claim
            else (_move(collateral, self.account, liquidator, seized),)
        )
        moves = transfers(_move(debt, liquidator, self.account, cut.repaid), *out)
        return pool, Liquidation(cut.repaid, seized, cut.fee, bad, moves)

    def _require_liquidatable(
        self, who: str, collateral: str, debt: str, prices: Prices, now_ns: int
    ) -> Health:
        health = self._health(who, prices)
        require(not health.safe, "who", "have a health factor below 1", health.factor)
        until = max(self.reserves[name].grace_until_s for name in (collateral, debt))
        right = now_ns // SECOND_NS >= until
        require(right, "now_ns", f"be after the grace, second {until}", now_ns)
        right = self.reserves[debt].debt(who) > 0
        require(right, "debt", f"be an asset that {who} owes", debt)
        has = self.reserves[collateral].claim(who)
        right = has > 0 and self._terms_for(who, collateral)[1] > 0
        require(right, "collateral", f"be collateral of {who}", collateral)
        return health

    def _cut(
        self,
        who: str,
        collateral: str,
        debt: str,
        wanted: int | None,
        prices: Prices,
        health: Health,
    ) -> _Cut:
        give, owe = self.reserves[collateral], self.reserves[debt]
        price, price_debt = prices[collateral], prices[debt]
        has, owed = give.claim(who), owe.debt(who)
        most = owed
        worth, worth_debt = has * price // give.unit, owed * price_debt // owe.unit
        large = min(worth, worth_debt) >= CLOSE_FACTOR_LEAST
        if large and (health.factor or 0) > CLOSE_FACTOR_HEALTH:
            half = mul_near(health.debt, CLOSE_FACTOR, BPS)
            if worth_debt > half:
                most = half * owe.unit // price_debt
        repaid = most if wanted is None else min(wanted, most)
        require_amount("wanted", repaid)
        premium = BPS + self._terms_for(who, collateral)[2]
        even = price_debt * repaid * give.unit // (price * owe.unit)
        taken = mul_down(even, premium, BPS)
        if taken > has:
            taken = has
            even = price * has * owe.unit // (price_debt * give.unit)
            repaid = div_up(even, premium, BPS)
        gain = taken - taken * BPS // premium
        fee = mul_up(gain, give.terms.protocol_fee, BPS)
        if repaid < owed and taken < has:
            left = (owed - repaid) * price_debt // owe.unit
            left_collateral = (has - taken) * price // give.unit
            right = min(left, left_collateral) >= LEFTOVER_LEAST
            must = "leave nothing, or 1,000 of the base, of debt and collateral"
            require(right, "wanted", must, wanted)
        return _Cut(repaid, taken, fee)

    def _settle(self, who: str, debt: str, repaid: int) -> Self:
        return self._with(debt, self.reserves[debt].settle(who, repaid).pay(repaid))

    def _bad_debt(self, who: str) -> tuple[Self, dict[str, int]]:
        # Whoever has no collateral left owes nothing any more; the reserves miss it.
        pool, bad = self, {}
        for asset, reserve in self.reserves.items():
            owed = reserve.debt(who)
            if owed:
                bad[asset] = owed
                after = reserve.settle(who, owed)
                after = attrs.evolve(after, deficit=reserve.deficit + owed)
                pool = pool._with(asset, after)
        return pool, bad

    def _open(self, asset: str, now_ns: int, *, new: bool = False) -> Reserve:
        require_known("asset", asset, self.reserves)
        reserve = self.reserves[asset]
        require(not reserve.terms.paused, "asset", "not be paused", asset)
        right = not (new and reserve.terms.frozen)
        require(right, "asset", "not be frozen", asset)
        return reserve.accrue(now_ns)

    def _require_safe(self, who: str, prices: Prices) -> Health:
        if not any(who in reserve.borrowed for reserve in self.reserves.values()):
            return Health(0, 0, 0, 0, None)
        health = self._health(who, prices)
        require(health.safe, "who", "keep a health factor of 1", health.factor)
        return health

    def _with(self, asset: str, reserve: Reserve, now_ns: int | None = None) -> Self:
        reserves = {**self.reserves, asset: reserve.settled()}
        pool = attrs.evolve(self, reserves=reserves)
        return pool if now_ns is None else pool.accrue(now_ns)

    def _check(self) -> None:
        """Assert every invariant.  O(users × reserves)."""
        for reserve in self.reserves.values():
            reserve._check()


def _move(asset: str, source: str, target: str, atoms: int) -> Transfer:
    return Transfer(asset, source, target, atoms)


def _action(asset: str, source: str, target: str, atoms: int) -> Action:
    return Action(atoms, transfers(Transfer(asset, source, target, atoms)))
