"""Collateralised loans of a lender who calls for margin, answered late."""

from enum import IntEnum
from typing import NamedTuple, Self

import attrs

from ...margin.loans import (
    LoanLevels,
    LoanState,
    cure_by_adding,
    cure_by_repaying,
    forced_sale,
    loan_to_value,
)
from .loops import sold_to_cure
from .protocol import Transfer, require, require_amount, transfers


class Stage(IntEnum):
    """Where a loan stands."""

    OK = 0
    CALLED = 1
    LIQUIDATING = 2
    CLOSED = 3
    DEFICIT = 4


class Cure(NamedTuple):
    """What would bring a loan back: atoms to repay, or of collateral to add."""

    repay: int
    add: int


@attrs.frozen(kw_only=True)
class CollateralLoan:
    """A loan against collateral that the lender holds.

    OK until the loan-to-value reaches the call level, then CALLED until it is cured,
    falls by itself, or reaches the liquidation level; LIQUIDATING until it is back at
    the initial level or there is nothing left: CLOSED, or DEFICIT if something is
    still owed. ``fee`` is the share of a forced sale that repays nothing. Prices are
    atoms of the loan asset for one of collateral.

    Source of the levels: the exchange's FAQ on loans to VIPs, 72/77/91 %.
    """

    borrower: str
    lender: str
    loan: str
    collateral: str
    owed: int
    pledged: int
    levels: LoanLevels
    fee: float = 0.0
    stage: Stage = Stage.OK
    called_ns: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse a loan of nothing."""
        require(self.owed >= 0, "owed", "not be below 0", self.owed)
        require(self.pledged >= 0, "pledged", "not be below 0", self.pledged)
        require(0.0 <= self.fee < 1.0, "fee", "be from 0 to below 1", self.fee)

    # -- QUERIES

    def ltv(self, price: float) -> float:
        """What is owed over what the collateral is worth."""
        require(price > 0.0, "price", "be above 0", price)
        return loan_to_value(self.owed, 0.0, self.pledged * price)

    def cure(self, price: float) -> Cure:
        """What brings the loan-to-value back to the initial level, rounded up."""
        target = self.levels.initial
        worth = self.pledged * price
        repay = cure_by_repaying(self.owed, worth, target)
        add = cure_by_adding(self.owed, worth, target) / price
        return Cure(_up(repay), _up(add))

    def to_sell(self, price: float) -> int:
        """Atoms of collateral whose sale brings it back; all of it if none does."""
        worth = self.pledged * price
        value = forced_sale(self.owed, worth, self.levels.initial, self.fee)
        return min(_up(value / price), self.pledged)

    def answers(self, now_ns: int, delay_ns: int) -> bool:
        """Whether a borrower who takes ``delay_ns`` acts on its call by now."""
        return self.stage is Stage.CALLED and now_ns - self.called_ns >= delay_ns

    # -- ACTIONS

    def step(self, price: float, now_ns: int) -> Self:
        """What the lender makes of a price."""
        if self.stage in (Stage.CLOSED, Stage.DEFICIT):
            return self
        state = self.levels.state(self.ltv(price))
        if state is LoanState.LIQUIDATE:
            return attrs.evolve(self, stage=Stage.LIQUIDATING)
        if self.stage is Stage.LIQUIDATING:
            done = self.ltv(price) <= self.levels.initial
            return attrs.evolve(self, stage=Stage.OK) if done else self
        if state is LoanState.OK:
            return attrs.evolve(self, stage=Stage.OK)
        if self.stage is Stage.OK:
            return attrs.evolve(self, stage=Stage.CALLED, called_ns=now_ns)
        return self

    def repay(self, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Pay part of the debt back, or all of it, which returns the collateral."""
        require_amount("atoms", atoms)
        require(atoms <= self.owed, "atoms", f"be at most {self.owed}", atoms)
        self._require_open()
        after = attrs.evolve(self, owed=self.owed - atoms)
        moves = [Transfer(self.loan, self.borrower, self.lender, atoms)]
        after, back = after._closed()
        return after, transfers(*moves, *back)

    def add(self, atoms: int) -> tuple[Self, tuple[Transfer, ...]]:
        """Pledge more collateral."""
        require_amount("atoms", atoms)
        self._require_open()
        after = attrs.evolve(self, pledged=self.pledged + atoms)
        move = Transfer(self.collateral, self.borrower, self.lender, atoms)
        return after, transfers(move)

    def sold(self, atoms: int, proceeds: int) -> tuple[Self, tuple[Transfer, ...]]:
        """What the lender's sale of collateral repaid, less its fee.

        What is left over when the debt is paid goes to the borrower, with the rest of
        the collateral. The lender keeps its fee out of the proceeds.
        """
        right = self.stage is Stage.LIQUIDATING
        require(right, "stage", "be LIQUIDATING to sell", self.stage.name)
        require_amount("atoms", atoms)
        must = f"be at most the {self.pledged} pledged"
        require(atoms <= self.pledged, "atoms", must, atoms)
        require(proceeds >= 0, "proceeds", "not be below 0", proceeds)
        repays = proceeds - _up(proceeds * self.fee)
        paid = min(repays, self.owed)
        after = attrs.evolve(self, owed=self.owed - paid, pledged=self.pledged - atoms)
        rest = Transfer(self.loan, self.lender, self.borrower, repays - paid)
        after, back = after._closed()
        if not after.pledged and after.owed:
            after = attrs.evolve(after, stage=Stage.DEFICIT)
        return after, transfers(rest, *back)

    def _closed(self) -> tuple[Self, tuple[Transfer, ...]]:
        if self.owed:
            return self, ()
        back = Transfer(self.collateral, self.lender, self.borrower, self.pledged)
        return attrs.evolve(self, pledged=0, stage=Stage.CLOSED), (back,)

    def _require_open(self) -> None:
        right = self.stage in (Stage.OK, Stage.CALLED)
        require(right, "stage", "be OK or CALLED to be cured", self.stage.name)


class Answer(NamedTuple):
    """What a borrower does about a call: repays, pledges, or has to raise the rest.

    ``raise_`` is what neither cash nor coins cover, in the loan asset; ``unwind`` is
    what a loop sells for it to keep its leverage.
    """

    repay: int
    add: int
    raise_: int
    unwind: int


@attrs.frozen(kw_only=True)
class Borrower:
    """Who answers a call after a delay, with cash, with coins, then out of a loop.

    The delay is the borrower's own, drawn elsewhere; a call that turns into a
    liquidation before it is over finds no answer. A loop of leverage λ sells λ for each
    unit it frees: the cure of one market is a sale in another.
    """

    delay_ns: int
    cash: int = 0
    coins: int = 0
    loop_leverage: float = 1.0

    def __attrs_post_init__(self) -> None:
        """Refuse an answer before the call."""
        require(self.delay_ns >= 0, "delay_ns", "not be below 0", self.delay_ns)
        require(min(self.cash, self.coins) >= 0, "cash", "not be below 0", self.cash)
        right = self.loop_leverage >= 1.0
        require(right, "loop_leverage", "be at least 1", self.loop_leverage)

    def answer(self, loan: CollateralLoan, price: float, now_ns: int) -> Answer | None:
        """What it does now; None before its delay is over, or without a call."""
        if not loan.answers(now_ns, self.delay_ns):
            return None
        repay = min(loan.cure(price).repay, self.cash)
        rest = attrs.evolve(loan, owed=loan.owed - repay)
        add = min(rest.cure(price).add, self.coins)
        rest = attrs.evolve(rest, pledged=rest.pledged + add)
        short = rest.cure(price).repay
        return Answer(repay, add, short, _up(sold_to_cure(short, self.loop_leverage)))


def _up(value: float) -> int:
    whole = int(value)
    return whole + (value > whole)
