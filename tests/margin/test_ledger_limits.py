"""What the ledger refuses: it says why and leaves everything as it was."""

from typing import Any

import numpy as np
import pytest
from ledger_model import ATOMS_MAX, Terms, ledger_of, state

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import CLAIMS, EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.orderbook.orders import PRICE_MAX, QTY_MAX, Flag, Reason, Side

BUY, SELL = Side.BUY, Side.SELL
USDT, ATOM, ETH = range(3)
SPOT, PAIR, PERP = range(3)
MARKETS = (
    Terms(ATOM, USDT, False, 10, 7),
    Terms(ETH, ATOM, False, 1, 3),
    Terms(ATOM, USDT, True, 10, 7),
    Terms(USDT, ETH, True, 3, 1),
)
PEOPLE = 4
ALICE, BOB, CAROL, DAVE = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + PEOPLE)
ACCOUNTS = SYSTEM_ACCOUNTS + PEOPLE


def busy() -> tuple[Any, Ledger]:
    """A ledger with balances, a position and resting orders."""
    ledger = ledger_of(MARKETS, 3, PEOPLE)
    books = Books(ledger)
    for _ in MARKETS:
        books.add_market()
    ledger.deposit(ALICE, USDT, 1_000)
    ledger.transfer(ATOM, BOB, ALICE, 30)
    ledger.open_positions(PERP, [ALICE, BOB], [3, -3], 100)
    books.limit(SPOT, ALICE, BUY, 90, 2)
    books.limit(PERP, BOB, BUY, 90, 2)
    return books, ledger


HUGE = 2**60 + 1
REFUSED: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("deposit", (ALICE, USDT, HUGE), OverflowError, r"from 0 to 2\*\*60 \(got 11529"),
    ("deposit", (ALICE, USDT, 2**63), OverflowError, "too large"),
    ("deposit", (ALICE, USDT, -1), OverflowError, r"from 0 to 2\*\*60 \(got -1\)"),
    ("deposit", (ACCOUNTS, USDT, 1), IndexError, r"'account' must be from 0 to 8"),
    ("deposit", (-1, USDT, 1), IndexError, r"'account' must be from 0 to 8 \(got -1"),
    ("deposit", (ALICE, 3, 1), IndexError, r"'asset' must be from 0 to 2 \(got 3\)"),
    ("withdraw", (ALICE, USDT, 1_001), ValueError, r"balance 1000 \(got 1001\)"),
    ("withdraw", (BOB, ATOM, 1), ValueError, r"balance -30 \(got 1\)"),
    ("withdraw", (CAROL, ETH, 1), ValueError, r"balance 0 \(got 1\)"),
    ("withdraw", (ALICE, USDT, -1), OverflowError, r"\(got -1\)"),
    ("transfer", (USDT, ALICE, ACCOUNTS, 1), IndexError, "'account'"),
    ("transfer", (USDT, ALICE, BOB, HUGE), OverflowError, r"2\*\*60"),
    ("deposit_many", (USDT, [ALICE], [1, 2]), ValueError, "the same length"),
    ("deposit_many", (USDT, [ALICE, 99], [1, 2]), IndexError, "got 99"),
    ("deposit_many", (USDT, [ALICE, BOB], [1, -1]), OverflowError, r"2\*\*60"),
    (
        "deposit_many",
        (USDT, [ALICE] * 9, [HUGE - 1] * 9),
        OverflowError,
        "leaves the range of int64",
    ),
    ("transfer_many", (USDT, [BOB], ALICE, [1, 2]), ValueError, "the same length"),
    ("transfer_many", (USDT, BOB, [ALICE], [1, 2]), ValueError, r"got 1 and 2\)"),
    ("transfer_many", (USDT, [BOB, 99], ALICE, [1, 2]), IndexError, "got 99"),
    ("transfer_many", (USDT, BOB, -1, [1, 2]), IndexError, "got -1"),
    ("transfer_many", (USDT, BOB, ALICE, [1, HUGE]), OverflowError, r"2\*\*60"),
    ("transfer_many", (3, BOB, ALICE, [1]), IndexError, "'asset' must be from 0"),
    (
        "transfer_many",
        (USDT, [BOB, CAROL] * 9, ALICE, [HUGE - 1] * 18),
        OverflowError,
        f"from account {CAROL} to {ALICE} leaves the range of int64",
    ),
    ("trade_between", (SPOT, ALICE, BOB, 1, 9), ValueError, "must be a perpetual"),
    ("trade_between", (PERP, ALICE, BOB, 4, 9), ValueError, r"position 3 \(got 4\)"),
    ("trade_between", (PERP, ALICE, BOB, -1, 9), ValueError, r"position 3 \(got -1\)"),
    ("trade_between", (PERP, BOB, ALICE, 1, 9), ValueError, r"position -3 \(got 1\)"),
    ("trade_between", (PERP, ALICE, BOB, 1, 0), ValueError, "'price' must be > 0"),
    ("set_hedge", (ALICE, True), ValueError, "must be flat .* 3 lots .* in market 2"),
    ("set_hedge", (ACCOUNTS, True), IndexError, "'account'"),
    ("set_leverage", (ALICE, SPOT, 3), ValueError, "must be a perpetual"),
    ("set_leverage", (ALICE, PERP, -1), ValueError, r"from 0 to 65535 \(got -1\)"),
    ("set_leverage", (ALICE, PERP, 65_536), ValueError, r"\(got 65536\)"),
    ("holders", (3,), IndexError, "'asset' must be from 0 to 2"),
    (
        "trade_between",
        (9, ALICE, BOB, 1, 1),
        IndexError,
        "'market' must be from 0 to 3",
    ),
    ("trade_between", (PERP, ALICE, BOB, 3, 2**58), OverflowError, "worth more than 2"),
    ("positions_many", ([ALICE, 99],), IndexError, "got 99"),
    ("balances_many", ([ALICE, 99],), IndexError, "got 99"),
    ("balances_in", ([ALICE, 99], [ATOM]), IndexError, "got 99"),
    ("balances_in", ([ALICE], [7]), IndexError, "'asset' must be from 0 to 2"),
    ("lots_in", ([ALICE, 99], [PERP]), IndexError, "got 99"),
    ("lots_in", ([ALICE], [7]), IndexError, "'market' must be from 0 to 3"),
    ("open_positions", (SPOT, [ALICE], [0], 9), ValueError, "must be a perpetual"),
    ("open_positions", (PERP, [ALICE], [1], 9), ValueError, "must sum to zero"),
    ("open_positions", (PERP, [ALICE], [], 9), ValueError, "the same length"),
    ("open_positions", (PERP, [ALICE, 99], [1, -1], 9), IndexError, "got 99"),
    ("open_positions", (PERP, [ALICE, BOB], [1, -1], 0), ValueError, "'price'"),
    (
        "open_positions",
        (PERP, [CAROL, ALICE, BOB], [1, 2**62, -(2**62) - 1], 9),
        OverflowError,
        r"4611686018427387904 lots at 9 ticks in market 2 are worth more than 2\*\*60",
    ),
    ("pay_funding", (PERP, 0, 1), ValueError, "'price' must be > 0"),
    ("pay_funding", (PERP, 2**60, 1), OverflowError, "worth more than"),
    ("pay_funding", (PERP, 9, 10**9 + 1), ValueError, "'rate_ppb' must be within"),
    ("charge_interest", (ATOM, -1), ValueError, "'rate_ppb' must be from 0"),
    ("charge_interest", (ATOM, 10**9 + 1), ValueError, "'rate_ppb' must be from 0"),
    ("charge_interest", (ATOM, 1, -1), ValueError, "'free_atoms' must be >= 0"),
    ("open_accounts", (0,), ValueError, "'count' must be from 1"),
    ("open_accounts", (2**24,), ValueError, "'count' must be from 1"),
    ("add_market", (0, 7, False, 1, 1), IndexError, "'asset' must be from 0 to 2"),
    ("add_market", (0, 1, False, 0, 1), ValueError, "must be > 0"),
    ("add_market", (0, 1, False, 1, 1, 10**6), ValueError, "within 1,000,000 ppm"),
]


@pytest.mark.parametrize(("command", "arguments", "error", "text"), REFUSED)
def test_wrong_command_is_refused_with_its_value_and_changes_nothing(
    command: str, arguments: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    """Unknown names, amounts out of range, positions without another side."""
    _, ledger = busy()
    before = state(ledger), ledger.n_accounts, ledger.n_markets
    with pytest.raises(error, match=text):
        getattr(ledger, command)(*arguments)
    assert (state(ledger), ledger.n_accounts, ledger.n_markets) == before
    ledger._check()


def test_eighth_deposit_of_2_to_the_60_is_refused() -> None:
    """Each is allowed, but an account cannot hold 2**63."""
    ledger = ledger_of(MARKETS, 3, PEOPLE)
    for _ in range(7):
        ledger.deposit(ALICE, USDT, ATOMS_MAX)
    before = state(ledger)
    with pytest.raises(OverflowError, match=r"from account 0 to 5 leaves the range"):
        ledger.deposit(ALICE, USDT, ATOMS_MAX)
    assert state(ledger) == before
    assert before["amount"] == {(ALICE, USDT): 7 * 2**60, (EXTERNAL, USDT): -7 * 2**60}
    ledger._check()


@pytest.mark.parametrize(
    ("market", "price", "qty", "reason"),
    [
        (SPOT, 1, 2**60 // 10 + 1, Reason.OVERFLOW),  # base atoms
        (SPOT, PRICE_MAX, 2**60 // (7 * PRICE_MAX) + 1, Reason.OVERFLOW),
        (SPOT, PRICE_MAX, QTY_MAX, Reason.OVERFLOW),
        (PERP, PRICE_MAX, QTY_MAX, Reason.OVERFLOW),
        (SPOT, 1, QTY_MAX + 1, Reason.INVALID_QTY),
        (SPOT, 1, 2**63 - 1, Reason.INVALID_QTY),
        (SPOT, PRICE_MAX + 1, 1, Reason.INVALID_PRICE),
    ],
)
def test_order_too_large_for_the_ledger_is_refused(
    market: int, price: int, qty: int, reason: Reason
) -> None:
    """Before it is multiplied; one lot less than the limit passes."""
    books, ledger = busy()
    before = state(ledger), books.live_orders
    for side in (BUY, SELL):
        assert books.limit(market, CAROL, side, price, qty) == -reason
    assert (state(ledger), books.live_orders) == before
    if reason is Reason.OVERFLOW and qty < QTY_MAX:
        assert books.limit(market, CAROL, SELL, price, qty - 1) > 0
        books._check()
        ledger._check()


def test_sum_that_leaves_int64_is_noticed() -> None:
    """Nine times 2**60 atoms, of orders or a position: it says so and stays so."""
    for terms in (Terms(1, 0, False, 1, 2**30), Terms(1, 0, True, 1, 2**30)):
        ledger = ledger_of((terms,), 2, PEOPLE)
        books = Books(ledger)
        books.add_market()
        for _ in range(9):
            books.limit(0, ALICE, BUY, 1, 2**30)
        assert ledger.overflowed
        with pytest.raises(AssertionError):
            ledger._check()
    ledger = ledger_of((Terms(1, 0, True, 1, 2**30),), 2, PEOPLE)
    for _ in range(9):
        ledger.open_positions(0, [ALICE, BOB], [2**30, -(2**30)], 1)
    assert ledger.overflowed


def test_resting_order_keeps_an_account_in_its_mode() -> None:
    """An order for a perpetual has a leg: until it is gone the mode stays."""
    books, ledger = busy()
    order = books.limit(PERP, CAROL, BUY, 50, 1)
    with pytest.raises(ValueError, match="must be flat to change the mode"):
        ledger.set_hedge(CAROL, True)
    books.cancel(PERP, CAROL, order)
    ledger.set_hedge(CAROL, True)
    assert ledger.hedged(CAROL)


def test_leverage_is_of_the_market_in_every_leg() -> None:
    """Chosen before the position is there, and for both of its legs."""
    _, ledger = busy()
    ledger.set_hedge(CAROL, True)
    ledger.set_leverage(CAROL, PERP, 7)
    ledger.open_positions(PERP, [CAROL, CAROL], [5, -5], 9)
    assert ledger.positions_of(CAROL)[["leg", "leverage"]].tolist() == [(1, 7), (2, 7)]
    assert ledger.leverage(CAROL, PERP) == 7
    assert ledger.leverage(DAVE, PERP) == 0
    assert ledger.open_position(CAROL, PERP)[0] == 0


@pytest.mark.parametrize("packed", [False, True])
def test_account_of_five_holdings_takes_at_most_150_bytes(packed: bool) -> None:
    """Three balances and two positions, the index of holders counted, once packed."""
    count = 20_000
    ledger = ledger_of(MARKETS, 3, count)
    who = np.arange(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + count)
    for asset in range(3):
        ledger.deposit_many(asset, who, who)
    for market in (PERP, 3):
        ledger.open_positions(market, who, np.where(who % 2, 5, -5), 9)
    if packed:
        ledger.pack()
    assert ledger.nbytes / count <= (150 if packed else 500)
    assert [len(ledger.balances_of(a)) for a in (ALICE, count)] == [3, 3]
    assert ledger.amounts(1)[SYSTEM_ACCOUNTS:].tolist() == who.tolist()
    assert len(ledger.holders(2)) == count + 1  # EXTERNAL owes it
    ledger._check()


def test_order_of_an_account_or_market_that_is_not_there_is_refused() -> None:
    """Known to the book, not to the ledger."""
    books, ledger = busy()
    before = state(ledger)
    assert books.limit(SPOT, ACCOUNTS, BUY, 9, 1) == -Reason.UNKNOWN_ACCOUNT
    extra = books.add_market()
    for flag, reason in (
        (0, Reason.UNKNOWN_MARKET),
        (Flag.REDUCE_ONLY, Reason.REDUCE_ONLY),
    ):
        assert books.limit(extra, ALICE, BUY, 9, 1, flags=flag) == -reason
    assert state(ledger) == before


def test_deposit_leaves_the_others_where_they_are_in_memory_or_not() -> None:
    """Accounts with more assets than a block holds move; no balance is lost."""
    ledger = ledger_of((), 40, 200)
    for asset in range(40):
        for account in range(ALICE, 205, 1 + asset % 3):
            ledger.deposit(account, asset, account * 100 + asset)
    for asset in range(40):
        held = ledger.amounts(asset)
        for account in range(ALICE, 205):
            own = (account - ALICE) % (1 + asset % 3) == 0
            assert held[account] == (account * 100 + asset if own else 0)
            assert ledger.balance(account, asset) == held[account]
    assert ledger.amounts(0)[CLAIMS] == 0
    ledger._check()
