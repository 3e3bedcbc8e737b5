"""The compiled ledger: the same as plain Python, conserved to the atom, never wrong.

The state machine sends the same commands to the compiled book and ledger and to the
readable book with a ledger of Python integers, and compares everything each time.
"""

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from ledger_model import (
    ModelLedger,
    Perpetual,
    Terms,
    fee,
    holds_of_orders,
    ledger_of,
    state,
)
from phases import UNTRACED

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import (
    CLEARING,
    EXTERNAL,
    FEES,
    INSURANCE,
    SYSTEM_ACCOUNTS,
    Ledger,
)
from flashwick.orderbook.orders import (
    Flag,
    Kind,
    Side,
    TimeInForce,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks

BUY, SELL = Side.BUY, Side.SELL
USDT, ATOM, ETH = range(3)
SPOT, PAIR, PERP, CROSS = range(4)
MARKETS = (
    Terms(ATOM, USDT, False, 10, 7, -100, 777, 12_500),  # rebate for makers
    Terms(ETH, ATOM, False, 1, 3, 0, 0, 0),
    Terms(ATOM, USDT, True, 10, 7, 200, 500, 12_500),
    Terms(USDT, ETH, True, 3, 1, 1, 999, 0),
)
PEOPLE = 4
ALICE, BOB, CAROL, DAVE = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + PEOPLE)
ACCOUNTS = SYSTEM_ACCOUNTS + PEOPLE

accounts = st.integers(ALICE, DAVE)
anyone = st.integers(0, ACCOUNTS - 1)
assets = st.integers(0, 2)
markets = st.integers(0, len(MARKETS) - 1)
perpetuals = st.sampled_from([PERP, CROSS])
atoms = st.integers(0, 10**6) | st.just(10**15)
prices = st.integers(95, 105) | st.sampled_from([1, 4096])
quantities = st.integers(1, 20) | st.sampled_from([2**20, 2**59, 2**62])
lifetimes = st.sampled_from([TimeInForce.GTC] * 3 + list(TimeInForce))
flags = st.sampled_from(
    [0, 0, 0, 0, Flag.REDUCE_ONLY, Flag.REDUCE_ONLY, Flag.LIQUIDATION]
)


class LedgerMachine(RuleBasedStateMachine):
    """The compiled book and ledger beside the readable book and the model."""

    @initialize()
    def open(self) -> None:
        """Everyone starts with something of every asset."""
        self.ledger = ledger_of(MARKETS, 3, PEOPLE)
        self.books = Books(self.ledger)
        self.model = ModelLedger(MARKETS, ACCOUNTS)
        self.readable = ReferenceBooks(self.model)
        for _ in MARKETS:
            self.books.add_market()
            self.readable.add_market()
        for account in range(ALICE, ACCOUNTS):
            for asset in range(3):
                self.deposit(account, asset, 10_000)

    def send(self, **fields: int) -> None:
        """One message to both books; the same result, the same fills."""
        batch = messages(1)
        for name, value in fields.items():
            batch[name] = value
        ours, theirs = self.books.process(batch), self.readable.process(batch)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.tolist() == other.tolist()

    # -- MONEY

    @rule(account=accounts, asset=assets, atoms=atoms)
    def deposit(self, account: int, asset: int, atoms: int) -> None:
        """From outside."""
        self.ledger.deposit(account, asset, atoms)
        self.model.move(asset, EXTERNAL, account, atoms)

    @rule(asset=assets, deposits=st.lists(st.tuples(accounts, atoms), max_size=6))
    def deposit_many(self, asset: int, deposits: list[tuple[int, int]]) -> None:
        """Several at once, also into the same account."""
        who, much = [a for a, _ in deposits], [n for _, n in deposits]
        self.ledger.deposit_many(asset, who, much)
        for account, amount in deposits:
            self.model.move(asset, EXTERNAL, account, amount)

    @rule(account=accounts, asset=assets, atoms=atoms)
    def withdraw(self, account: int, asset: int, atoms: int) -> None:
        """At most what is there."""
        has = self.model.amount[account, asset]
        if atoms > has:
            with pytest.raises(ValueError, match=rf"at most the balance {has} \(got"):
                self.ledger.withdraw(account, asset, atoms)
        else:
            self.ledger.withdraw(account, asset, atoms)
            self.model.move(asset, account, EXTERNAL, atoms)

    @rule(asset=assets, source=anyone, receiver=anyone, atoms=atoms)
    def transfer(self, asset: int, source: int, receiver: int, atoms: int) -> None:
        """Between any two, into debt if need be."""
        if CLEARING not in (source, receiver):  # whose balance the positions decide
            self.ledger.transfer(asset, source, receiver, atoms)
            self.model.move(asset, source, receiver, atoms)

    @rule(asset=assets, moves=st.lists(st.tuples(anyone, anyone, atoms), max_size=6))
    def transfer_many(self, asset: int, moves: list[tuple[int, int, int]]) -> None:
        """Several at once, between any, also from and into the same account."""
        moves = [move for move in moves if CLEARING not in move[:2]]
        columns = [list(column) for column in zip(*moves, strict=True)] or [[], [], []]
        self.ledger.transfer_many(asset, *columns)
        for source, receiver, amount in moves:
            self.model.move(asset, source, receiver, amount)

    @rule(asset=assets, payers=st.lists(anyone, max_size=6), receiver=accounts)
    def collect(self, asset: int, payers: list[int], receiver: int) -> None:
        """Several to one, who stands for itself throughout."""
        payers = [payer for payer in payers if payer != CLEARING]
        self.ledger.transfer_many(asset, payers, receiver, [3] * len(payers))
        for payer in payers:
            self.model.move(asset, payer, receiver, 3)

    # -- ORDERS

    @rule(
        market=markets,
        account=accounts,
        side=st.integers(0, 1),
        price=prices,
        qty=quantities,
        tif=lifetimes,
        flags=flags,
    )
    def limit(self, **fields: int) -> None:
        """A limit order; some are larger than any ledger holds."""
        self.send(kind=Kind.LIMIT, **fields)

    @rule(
        market=markets,
        account=accounts,
        side=st.integers(0, 1),
        qty=st.integers(1, 40),
        flags=flags,
    )
    def market(self, **fields: int) -> None:
        """A market order."""
        self.send(kind=Kind.MARKET, **fields)

    def own_order(self, at: int) -> dict[str, int]:
        """A resting order, as a message names it."""
        resting = [
            row for account in range(ACCOUNTS) for row in self.orders_of(account)
        ]
        row = resting[at % len(resting)]
        names = {"order_id": "id", "market": "market", "account": "account"}
        return {field: int(row[name]) for field, name in names.items()}

    def orders_of(self, account: int) -> np.ndarray:
        """Resting orders of an account, of the compiled book."""
        return self.books.account_orders(account)

    @precondition(lambda self: self.books.live_orders)
    @rule(at=st.integers(0, 99))
    def cancel(self, at: int) -> None:
        """A resting order."""
        self.send(kind=Kind.CANCEL, **self.own_order(at))

    @precondition(lambda self: self.books.live_orders)
    @rule(at=st.integers(0, 99), price=prices, qty=quantities)
    def replace(self, at: int, price: int, qty: int) -> None:
        """A resting order gets another price and quantity, possible or not."""
        self.send(kind=Kind.REPLACE, price=price, qty=qty, **self.own_order(at))

    @rule(account=accounts, side=st.integers(0, 2))
    def cancel_all(self, account: int, side: int) -> None:
        """All orders of an account on a side or both."""
        self.send(kind=Kind.CANCEL_ALL, market=-1, account=account, side=side)

    # -- POSITIONS

    @rule(
        market=perpetuals,
        pair=st.tuples(anyone, anyone),
        lots=st.integers(-50, 50),
        price=st.integers(90, 110),
    )
    def open_positions(
        self, market: int, pair: tuple[int, int], lots: int, price: int
    ) -> None:
        """A long and its short."""
        if CLEARING not in pair:
            self.ledger.open_positions(market, pair, [lots, -lots], price)
            for account, signed in zip(pair, (lots, -lots), strict=True):
                self.model.open_position(account, market, signed, price)

    @rule(
        market=perpetuals,
        source=accounts,
        heir=anyone,
        leg=st.integers(0, 2),
        share=st.floats(0.0, 1.0) | st.just(1.0),
        price=st.integers(1, 10**6),
    )
    def trade_between(
        self, market: int, source: int, heir: int, leg: int, share: float, price: int
    ) -> None:
        """Some or all of the position, as in auto-deleveraging or a takeover."""
        if heir != CLEARING:
            lots = int(share * self.model.lots(source, market, leg))
            self.ledger.trade_between(market, source, heir, lots, price)
            self.model.hand_over(market, source, heir, lots, price)

    # -- MODES

    @rule(account=accounts, on=st.booleans())
    def set_hedge(self, account: int, on: bool) -> None:
        """Only an account without positions and orders for them may change."""
        held = {a for a, _, _ in self.model.state()["lots"]}
        busy = {a for a, m, *_ in self.model.state()["open"] if MARKETS[m].perpetual}
        if account in held | busy:
            with pytest.raises(ValueError, match="must be flat to change the mode"):
                self.ledger.set_hedge(account, on)
            return
        self.ledger.set_hedge(account, on)
        self.model.hedged = (self.model.hedged | {account}) - (
            set() if on else {account}
        )
        assert self.ledger.hedged(account) == on

    @rule(account=accounts, market=perpetuals, leverage=st.integers(0, 65_535))
    def set_leverage(self, account: int, market: int, leverage: int) -> None:
        """It is kept beside the position, and changes no amount."""
        self.ledger.set_leverage(account, market, leverage)
        assert self.ledger.leverage(account, market) == leverage
        for row in self.ledger.positions_of(account):
            assert row["market"] != market or row["leverage"] == leverage

    @rule()
    def pack(self) -> None:
        """Rows move in memory, and nothing else."""
        before = self.ledger.nbytes
        self.ledger.pack()
        assert self.ledger.nbytes <= before

    @rule(
        market=perpetuals, price=st.integers(1, 200), rate=st.integers(-(10**9), 10**9)
    )
    def pay_funding(self, market: int, price: int, rate: int) -> None:
        """Payers pay the ceiling, payees get the floor."""
        terms, paid = MARKETS[market], 0
        for account in range(ACCOUNTS):
            for leg in range(3):
                lots = self.model.lots(account, market, leg)
                due = ceil(Fraction(lots * price * terms.quote_unit * rate, 10**9))
                self.model.move(terms.quote, account, FEES, due)
                paid += max(due, 0)
        assert self.ledger.pay_funding(market, price, rate) == paid

    @rule(
        asset=assets, rate=st.sampled_from([0, 1, 10**6]), free=st.sampled_from([0, 50])
    )
    def charge_interest(self, asset: int, rate: int, free: int) -> None:
        """On debts of people, beyond what is free, rounded up."""
        charged = 0
        for account in range(SYSTEM_ACCOUNTS, ACCOUNTS):
            owed = max(0, -self.model.amount[account, asset] - free)
            due = ceil(Fraction(owed * rate, 10**9))
            self.model.move(asset, account, FEES, due)
            charged += due
        assert self.ledger.charge_interest(asset, rate, free) == charged

    # -- AFTER EVERY STEP

    @invariant()
    def both_are_the_same(self) -> None:
        """Balances, holds, positions and costs; nothing made, nothing lost."""
        self.books._check()
        self.ledger._check()
        assert not self.ledger.totals().any()
        assert state(self.ledger) == self.model.state()
        everyone = range(ACCOUNTS)
        apart = [row for a in everyone for row in self.ledger.positions_of(a).tolist()]
        assert self.ledger.positions_many(list(everyone)).tolist() == apart

    @invariant()
    def reads_of_several_accounts_are_those_of_each(self) -> None:
        """Some twice and in any order, as makers ask for theirs."""
        who, assets = [3, 0, 3, 2], [2, 0, 2]
        markets = list(range(len(MARKETS)))[::-1]
        has = [[self.ledger.balance(a, asset) for asset in assets] for a in who]
        assert self.ledger.balances_in(who, assets).tolist() == has
        every = self.ledger.positions_many(list(range(ACCOUNTS)))
        every = every[every["lots"] != 0]
        every["open_buy"] = every["open_sell"] = 0
        assert self.ledger.positions_all().tolist() == every.tolist()
        each = [row for a in who for row in self.ledger.balances_of(a).tolist()]
        assert self.ledger.balances_many(who).tolist() == each
        lots = [[self.ledger.open_position(a, m)[0] for m in markets] for a in who]
        assert self.ledger.lots_in(who, markets).tolist() == lots

    @invariant()
    def holds_are_those_of_resting_orders(self) -> None:
        """Recomputed from the book, order by order."""
        resting = np.concatenate([self.orders_of(a) for a in range(ACCOUNTS)])
        anew = holds_of_orders(resting, MARKETS, ACCOUNTS, self.model.hedged)
        kept = state(self.ledger)
        assert anew == {name: kept[name] for name in anew}

    @invariant()
    def profit_is_exact_when_flat(self) -> None:
        """With cost in fractions: no more than an atom off for each partial close."""
        for held in self.model.positions.values():
            off = abs(held.realised - held.exact_realised)
            assert off <= held.roundings
            if held.lots == 0:
                assert (held.realised, held.cost) == (held.exact_realised, 0)

    def teardown(self) -> None:
        """With the book empty nothing is reserved."""
        if not hasattr(self, "books"):
            return
        for account in range(ACCOUNTS):
            self.books.cancel_all(account)
        assert self.books.live_orders == 0
        left = state(self.ledger)
        for name in ("hold", "open", "notional"):
            assert left[name] == {}


LedgerMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, phases=UNTRACED
)
TestLedgerAgainstPython = LedgerMachine.TestCase


# -- FEES


def desk(terms: Terms, assets: int = 2) -> tuple[Any, Ledger]:
    """A book of one market and its ledger, with four people in it."""
    ledger = ledger_of((terms,), assets, PEOPLE)
    books = Books(ledger)
    books.add_market()
    return books, ledger


@pytest.mark.parametrize(
    ("notional", "ppm", "atoms"),
    [
        (1_000_000, 1, 1),
        (1_000_001, 1, 2),
        (1, 1, 1),
        (1, -1, 0),
        (999_999, -1, 0),
        (1_000_000, -1, -1),
        (1_999_999, -1, -1),
        (3, 999_999, 3),
        (2**60, 999_999, ceil(Fraction(2**60 * 999_999, 10**6))),
    ],
)
def test_fee_is_rounded_up_and_a_rebate_down(
    notional: int, ppm: int, atoms: int
) -> None:
    """Always for the venue, to the atom, up to the largest notional."""
    assert fee(notional, ppm) == atoms
    for side, rates in ((SELL, (ppm, 0)), (BUY, (0, ppm))):
        books, ledger = desk(Terms(1, 0, False, 1, notional, *rates))
        books.limit(0, ALICE, SELL, 1, 1)
        books.limit(0, BOB, BUY, 1, 1)
        payer, other = (ALICE, BOB) if side == SELL else (BOB, ALICE)
        sign = 1 if payer == ALICE else -1
        assert ledger.balance(payer, 0) == sign * notional - atoms
        assert ledger.balance(other, 0) == -sign * notional
        assert ledger.balance(FEES, 0) == atoms
        ledger._check()


def test_forced_trade_pays_the_insurance_fund_too() -> None:
    """Only the taker that is forced, on top of its own fee."""
    books, ledger = desk(Terms(1, 0, False, 1, 1000, 10_000, 20_000, 30_000))
    books.limit(0, ALICE, BUY, 100, 10)
    books.market(0, BOB, SELL, 1)
    assert ledger.balance(INSURANCE, 0) == 0
    books.market(0, BOB, SELL, 2, flags=Flag.LIQUIDATION)
    assert ledger.balance(INSURANCE, 0) == 6_000
    assert ledger.balance(BOB, 0) == 300_000 - 6_000 - 6_000
    assert ledger.balance(ALICE, 0) == -300_000 - 3_000
    assert ledger.balance(FEES, 0) == 9_000


# -- PROFIT

trades = st.lists(
    st.tuples(st.integers(-1000, 1000), st.integers(1, 10**6)), min_size=1, max_size=30
)


@given(trades=trades, unit=st.sampled_from([1, 7, 1000]))
@settings(max_examples=150, phases=UNTRACED)
def test_profit_of_any_series_of_trades_is_exact_in_the_end(
    trades: list[tuple[int, int]], unit: int
) -> None:
    """Each step as in fractions with its rounding; once flat, cash in less cash out."""
    ledger = ledger_of((Terms(1, 0, True, 1, unit),), 2, PEOPLE)
    model, cash = Perpetual(), 0
    closing = (-sum(lots for lots, _ in trades), 17)
    for lots, price in [*trades, closing]:
        ledger.open_positions(0, [ALICE, BOB], [lots, -lots], price)
        model.trade(lots, price * unit)
        cash -= lots * price * unit
        assert ledger.open_position(ALICE, 0) == (model.lots, model.cost)
        assert ledger.balance(ALICE, 0) == model.realised
        assert abs(model.realised - model.exact_realised) <= model.roundings
        # The cost of what is open stays on the side of the position.
        assert model.cost * model.lots >= 0
    assert ledger.open_position(ALICE, 0) == (0, 0)
    assert ledger.balance(ALICE, 0) == cash
    assert ledger.balance(BOB, 0) == -cash
    assert ledger.balance(CLEARING, 0) == 0


def test_share_of_the_cost_is_rounded_toward_zero() -> None:
    """Three lots for 10 atoms: a third of that is 3, and the last third makes up."""
    ledger = ledger_of((Terms(1, 0, True, 1, 1),), 2, PEOPLE)
    ledger.open_positions(0, [ALICE, BOB], [2, -2], 3)
    ledger.open_positions(0, [ALICE, BOB], [1, -1], 4)
    profits = []
    for _ in range(3):
        before = ledger.balance(ALICE, 0)
        ledger.open_positions(0, [ALICE, CAROL], [-1, 1], 5)
        profits.append(ledger.balance(ALICE, 0) - before)
    assert profits == [5 - 3, 5 - 3, 5 - 4]
    assert ledger.balance(CLEARING, 0) == -(-10 + 15)


def test_odd_atoms_of_funding_go_to_the_fees() -> None:
    """Two payers round up, three payees down; nobody else is touched."""
    ledger = ledger_of((Terms(1, 0, True, 1, 1),), 2, PEOPLE)
    ledger.open_positions(0, [ALICE, BOB], [7, -7], 10)
    ledger.open_positions(0, [CAROL, DAVE, INSURANCE], [5, -3, -2], 10)
    assert ledger.pay_funding(0, 10, 10**7) == 2
    paid = [ledger.balance(a, 0) for a in (ALICE, BOB, CAROL, DAVE, INSURANCE, FEES)]
    assert paid == [-1, 0, -1, 0, 0, 2]
    assert ledger.pay_funding(0, 100, -(10**8)) == 70 + 30 + 20
    ledger._check()
