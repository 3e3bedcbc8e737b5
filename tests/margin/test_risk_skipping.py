"""Skipping: accounts that no price can have brought below are not looked at.

Two risk passes over one ledger, one that skips and one that values everybody, must name
the same accounts with the same healths in the same order, whatever happens between.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from ledger_model import Terms, ledger_of
from phases import UNTRACED

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import VALUATION, Risk
from flashwick.margin.curves import (
    Curve,
    LinearRate,
    SqrtRate,
    SqrtWeight,
    flatten,
)
from flashwick.margin.schedule import Schedule
from flashwick.orderbook.orders import Side

USD, BTC, DOGE, ETH = range(4)
SPOT, SPOT_ETH, PERP, CROSS, ROOT, LINEAR = range(6)
MARKETS = (
    Terms(BTC, USD, False, 4, 2),
    Terms(ETH, BTC, False, 1, 1),
    Terms(BTC, USD, True, 4, 2),
    Terms(BTC, DOGE, True, 1, 1),
    Terms(ETH, USD, True, 1, 1, 100, 500),
    Terms(DOGE, USD, True, 3, 1),
)
PERPETUALS = (PERP, CROSS, ROOT, LINEAR)
HAIRCUTS = (
    Schedule.flat(1.0),
    Schedule([0, 1_024, 4_096], [0.95, 0.8, 0.0]),
    Schedule([0, 500, 3_000], [0.9, 0.95, 0.5], unit="qty"),
    SqrtWeight(0.95, imf=0.01),
)
DEBTS = (
    Schedule.flat(1.0),
    Schedule.flat(1.02),
    SqrtRate(1.0, 0.8, 0.01),
    Schedule([0, 2_000], [1.0, 1.1]),
)
BORROWING = (
    Schedule.flat(0.05),
    Schedule([0, 2_048, 8_192], [0.03, 0.06, 0.25]),
    SqrtRate(0.03, -0.01, 0.002),
    LinearRate(0.05, 0.00001),
)
FLAT = Schedule.flat(0.02)
BRACKETS = (
    FLAT,
    FLAT,
    Schedule([0, 1_024, 4_096], [0.01, 0.025, 0.125]),
    Schedule([0, 700], [0.03, 0.06], unit="qty"),
    SqrtRate(0.02, 0.0, 0.001),
    LinearRate(0.01, 0.00002),
)
JUMPS = (
    Schedule([0, 900], [0.01, 0.05], marginal=False),
    *BRACKETS[1:2],
    Schedule([0, 900], [0.01, 0.05], marginal=False),
    *BRACKETS[3:],
)


def terms(brackets: tuple[Curve, ...]) -> dict[str, Any]:
    """One curve of every kind somewhere."""
    sets = {
        "collateral": HAIRCUTS,
        "collateral_initial": HAIRCUTS,
        "liability": DEBTS,
        "borrow": BORROWING,
        "borrow_initial": BORROWING,
        "brackets": brackets,
        "initial": brackets,
    }
    return {name: flatten(curves) for name, curves in sets.items()}


def pass_over(
    ledger: Ledger, *, skipping: bool, brackets: tuple[Curve, ...] = BRACKETS
) -> Risk:
    """A risk pass with all kinds of curves."""
    n = len(MARKETS)
    factors = [1.0, 1.0, 1.0, 1.1, 1.0, 1.0]
    units = np.full(4, 0.5), np.full(n, 2.0)
    risk = Risk(ledger, terms(brackets), factors, *units, 1.2)
    risk.skipping = skipping
    return risk


def say(risk: Risk, index: np.ndarray, basis: np.ndarray) -> None:
    """Prices in dollars an atom; marks are index by index, and a basis."""
    quote = [terms.quote for terms in MARKETS]
    base = [terms.base for terms in MARKETS]
    units = np.array([terms.base_unit for terms in MARKETS])
    worth = np.where(index[quote] > 0, index[base] / np.maximum(index[quote], 1e-9), 0)
    lot = np.where([terms.perpetual for terms in MARKETS], worth * units * basis, 0.0)
    risk.set_prices(index, lot * index[quote], lot)


moves = st.one_of(
    st.just(1.0),
    st.floats(-1e-4, 1e-4).map(lambda d: 1 + d),
    st.floats(-0.03, 0.03).map(lambda d: 1 + d),
    st.floats(0.5, 2.0),
)
PEOPLE = 9
people = st.integers(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + PEOPLE - 1)


class SkippingMachine(RuleBasedStateMachine):
    """A ledger that trades and prices that move, under two risk passes."""

    brackets = BRACKETS

    @initialize()
    def open(self) -> None:
        """Everybody has dollars, and half of them a position."""
        self.ledger = ledger_of(MARKETS, 4, PEOPLE)
        self.books = Books(self.ledger)
        for _ in MARKETS:
            self.books.add_market()
        self.risk = pass_over(self.ledger, skipping=True, brackets=self.brackets)
        self.plain = pass_over(self.ledger, skipping=False, brackets=self.brackets)
        self.index = np.array([1.0, 2.0, 0.5, 1.5])
        self.basis = np.ones(len(MARKETS))
        self.told()
        for i in range(PEOPLE):
            self.ledger.deposit(SYSTEM_ACCOUNTS + i, USD, 100 << i)
        for i in range(0, PEOPLE - 1, 2):
            pair = [SYSTEM_ACCOUNTS + i, SYSTEM_ACCOUNTS + i + 1]
            self.ledger.open_positions(PERP, pair, [40 << i, -(40 << i)], 4)

    def told(self) -> None:
        """Both passes get the same prices."""
        for risk in (self.risk, self.plain):
            say(risk, self.index, self.basis)

    # -- PRICES

    @rule(asset=st.integers(0, 3), move=moves)
    def one_price_moves(self, asset: int, move: float) -> None:
        """A little, much, or not at all."""
        self.index[asset] *= move
        self.told()

    @rule(changes=st.lists(moves, min_size=4, max_size=4))
    def all_prices_move(self, changes: list[float]) -> None:
        """At once."""
        self.index *= changes
        self.told()

    @rule(market=st.sampled_from(PERPETUALS), move=moves)
    def one_mark_moves(self, market: int, move: float) -> None:
        """Without its index."""
        self.basis[market] *= move
        self.told()

    @rule(asset=st.integers(0, 3), price=st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    def a_price_is_gone_or_comes(self, asset: int, price: float) -> None:
        """An asset without a price is worth nothing."""
        self.index[asset] = price
        self.told()

    # -- MONEY

    @rule(
        asset=st.integers(0, 3),
        source=people,
        receiver=people | st.just(EXTERNAL),
        atoms=st.integers(0, 3_000),
    )
    def transfer(self, asset: int, source: int, receiver: int, atoms: int) -> None:
        """Also into debt."""
        self.ledger.transfer(asset, source, receiver, atoms)

    @rule(account=people, asset=st.integers(0, 3), atoms=st.integers(0, 9_000))
    def deposit(self, account: int, asset: int, atoms: int) -> None:
        """From outside."""
        self.ledger.deposit(account, asset, atoms)

    @rule(
        market=st.sampled_from(PERPETUALS),
        pair=st.tuples(people, people),
        lots=st.integers(-600, 600),
        price=st.integers(1, 9),
    )
    def open_positions(
        self, market: int, pair: tuple[int, int], lots: int, price: int
    ) -> None:
        """At any price, so profits and losses come with them."""
        self.ledger.open_positions(market, pair, [lots, -lots], price)

    @rule(
        market=st.integers(0, len(MARKETS) - 1),
        account=people,
        side=st.sampled_from([Side.BUY, Side.SELL]),
        price=st.integers(1, 9),
        qty=st.integers(1, 300),
    )
    def order(self, **message: Any) -> None:
        """It rests, or trades."""
        self.books.limit(*message.values())

    @rule(account=people)
    def cancel_all(self, account: int) -> None:
        """The account's resting orders are gone."""
        self.books.cancel_all(account)

    @rule(count=st.integers(1, 3))
    def open_accounts(self, count: int) -> None:
        """New ones have nothing yet."""
        first = self.ledger.open_accounts(count)
        self.ledger.transfer(USD, first, SYSTEM_ACCOUNTS, 50)

    @rule(account=people)
    def hedge(self, account: int) -> None:
        """An account that is flat keeps its legs apart."""
        if not len(self.ledger.positions_of(account)):
            self.ledger.set_hedge(account, True)

    @rule()
    def pack(self) -> None:
        """Rows move in memory."""
        self.ledger.pack()

    # -- ANSWERS

    @rule(threshold=st.sampled_from([-1.0, 0.0, 0.5, 1.05, 1.5, 2.0, 9.0, np.inf]))
    def any_threshold(self, threshold: float) -> None:
        """Lower ones come out of the same levels, higher ones make new ones."""
        self.same(threshold)

    def same(self, threshold: float) -> None:
        """The same accounts, healths and order."""
        ours, theirs = self.risk.below(threshold), self.plain.below(threshold)
        assert ours[0].tolist() == theirs[0].tolist()
        assert ours[1].tolist() == theirs[1].tolist()
        assert sorted(ours[0]) == ours[0].tolist()

    @precondition(lambda self: hasattr(self, "risk"))
    @invariant()
    def both_name_the_same(self) -> None:
        """After every step."""
        self.same(1.1)
        assert self.risk.looked <= self.plain.looked

    @rule()
    def columns_are_the_same(self) -> None:
        """Filled one by one where something changed, or all anew."""
        ours, theirs = self.risk.revalue(), self.plain.revalue()
        for name in VALUATION:
            assert ours[name].tolist() == theirs[name].tolist()
        self.ledger._check()


SkippingMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, phases=UNTRACED
)
TestSkipping = SkippingMachine.TestCase


class JumpingMachine(SkippingMachine):
    """The same with brackets that jump at their floors, which no slope bounds."""

    brackets = JUMPS


JumpingMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=30, phases=UNTRACED
)
TestSkippingWhereCurvesJump = JumpingMachine.TestCase


# -- A CROWD


def crowd(accounts: int, seed: int = 3) -> Ledger:
    """Accounts of every leverage, from none to almost all they can have."""
    ledger = ledger_of(MARKETS, 4, accounts)
    rng = np.random.default_rng(seed)
    who = np.arange(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + accounts)
    for asset in range(4):
        some = rng.choice(who, accounts * 3 // 4, replace=False)
        ledger.deposit_many(asset, some, rng.integers(1_000, 100_000, len(some)))
    for market in PERPETUALS:
        some = rng.choice(who, accounts // 2 * 2, replace=False)
        lots = rng.integers(0, 3_000, len(some) // 2)
        ledger.open_positions(market, some, np.concatenate([lots, -lots]), 1)
    return ledger


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.02, 0.2])
def test_a_walk_of_prices_names_the_same_accounts_at_every_step(scale: float) -> None:
    """Calm or wild: rebased when that pays, and each answer the plain one."""
    ledger = crowd(2_000)
    risk, plain = pass_over(ledger, skipping=True), pass_over(ledger, skipping=False)
    rng = np.random.default_rng(int(scale * 1e6))
    index, basis = np.array([1.0, 0.5, 1.0, 1.0]), np.ones(len(MARKETS))
    named = 0
    for step in range(120):
        for each in (risk, plain):
            say(each, index, basis)
        ours, theirs = risk.below(1.5), plain.below(1.5)
        assert ours[0].tolist() == theirs[0].tolist()
        assert ours[1].tolist() == theirs[1].tolist()
        named += len(ours[0])
        index[1:] *= np.exp(rng.normal(0.0, scale, 3))
        if step % 10 == 0:
            pair = rng.integers(SYSTEM_ACCOUNTS, ledger.n_accounts, 2)
            ledger.open_positions(PERP, pair, [300, -300], 2)
    assert named


def test_a_calm_price_leaves_almost_all_accounts_alone() -> None:
    """A ten-thousandth either way: few are so near, or below already."""
    ledger = crowd(2_000)
    risk = pass_over(ledger, skipping=True)
    index, basis = np.array([1.0, 0.5, 1.0, 1.0]), np.ones(len(MARKETS))
    say(risk, index, basis)
    low, _ = risk.below(1.5)
    for move in (1.0001, 0.9999, 1.0):
        index[BTC] = 0.5 * move
        say(risk, index, basis)
        risk.below(1.5)
        assert len(low) <= risk.looked <= len(low) + 20


def test_one_asset_repriced_looks_at_its_holders_only() -> None:
    """However far it falls, who does not hold it is not looked at."""
    ledger = ledger_of(MARKETS, 4, 1_000)
    who = np.arange(SYSTEM_ACCOUNTS, ledger.n_accounts)
    ledger.deposit_many(USD, who, np.full(1_000, 1_000))
    for i in range(0, 1_000, 2):
        ledger.transfer(ETH, int(who[i]), int(who[i + 1]), 50)
    holders = who[:30]
    ledger.deposit_many(DOGE, holders, np.full(30, 1_000))
    risk = pass_over(ledger, skipping=True)
    index, basis = np.array([1.0, 2.0, 0.5, 1.5]), np.ones(len(MARKETS))
    say(risk, index, basis)
    risk.below(1.5)
    assert risk.holders(DOGE).tolist() == holders.tolist()
    index[DOGE] = 0.1
    say(risk, index, basis)
    risk.below(1.5)
    assert risk.looked <= 30


def test_accounts_that_owe_nothing_are_never_looked_at() -> None:
    """Nothing owed and no position: whatever the price, they are above."""
    ledger = ledger_of(MARKETS, 4, 100)
    ledger.deposit_many(BTC, np.arange(SYSTEM_ACCOUNTS, 105), np.full(100, 77))
    risk = pass_over(ledger, skipping=True)
    for price in (1.0, 0.001, 0.0, 9.0):
        say(risk, np.array([1.0, price, 1.0, 1.0]), np.ones(len(MARKETS)))
        assert len(risk.below(1.5)[0]) == 0
        assert risk.looked == 0
