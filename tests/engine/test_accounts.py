"""Accounts: sub-accounts, isolated margin, money in and out, and many at once."""

from typing import Any

import numpy as np
import pytest
from ledger_model import state

import flashwick as fw
from flashwick.engine.exchange import Exchange

PERP = "ATOM/USDT:PERP"


@pytest.fixture
def exchange() -> Exchange:
    """Two spot books, a perpetual, and prices."""
    exchange = Exchange(["ATOM/USDT", "WBETH/USDT", PERP])
    exchange.reprice({"ATOM": 4.0, "WBETH": 4000.0})
    return exchange


def trade(exchange: Exchange, buyer: int, seller: int, qty: float, price: float = 4.0):
    """A trade of the perpetual between two accounts."""
    exchange.submit(fw.limit(seller, PERP, "sell", price, qty))
    placed = exchange.submit(fw.market(buyer, PERP, "buy", qty))
    assert placed.filled == qty
    exchange.update_prices()


# -- SUB-ACCOUNTS


def test_money_moves_between_the_accounts_of_one_owner(exchange: Exchange) -> None:
    """Down to a sub-account of a sub-account and back, to the atom."""
    parent = exchange.open_account({"USDT": 1_000})
    child = exchange.open_account(parent=parent)
    grandchild = exchange.open_account({"USDT": 1}, parent=child)
    exchange.transfer(parent, grandchild, "USDT", "0.00000001")
    exchange.transfer(grandchild, child, "USDT", "1.00000001")
    assert exchange.account(grandchild).balances["USDT"] == 0.0
    assert exchange.account(child).balances["USDT"] == pytest.approx(1.00000001)
    assert exchange.ledger.totals().tolist() == [0, 0, 0]
    exchange._check()


def test_transfer_leaves_what_a_withdrawal_would_leave(exchange: Exchange) -> None:
    """The margin of the source stays; nothing moved when it is refused."""
    parent = exchange.open_account({"USDT": 1_000})
    child = exchange.open_account(parent=parent)
    other = exchange.open_account({"USDT": 100_000})
    trade(exchange, parent, other, 2_000)
    before = state(exchange.ledger)
    with pytest.raises(fw.OrderError, match="transfer of USDT: would leave adjusted"):
        exchange.transfer(parent, child, "USDT", 990)
    assert state(exchange.ledger) == before
    exchange.transfer(parent, child, "USDT", 500)
    assert exchange.account(child).balances == {"USDT": 500.0}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((5, 6, "USDT", 1), "must be two of one owner .got 5 and 6"),
        ((5, 5, "USDT", 1), "must be two of one owner .got 5 and 5"),
        ((5, 7, "USDC", 1), "'USDC' is not an asset here; did you mean 'USDT'"),
        ((5, 7, "USDT", 1_001), "must be at most the balance 1000 .got 1001"),
        ((5, 9, "USDT", 1), "account 9 is not open here"),
        ((5, 7, "USDT", "0.000000001"), "more than the asset's 8 decimals"),
        ((2, 7, "USDT", 1), "account 2 is not open here"),
    ],
)
def test_wrong_transfer_is_refused(
    arguments: tuple[Any, ...], text: str, exchange: Exchange
) -> None:
    """Another owner's account, the same account, more than there is."""
    parent = exchange.open_account({"USDT": 1_000})
    exchange.open_account({"USDT": 1_000})
    exchange.open_account(parent=parent)
    before = state(exchange.ledger)
    with pytest.raises((fw.OrderError, fw.MarketError), match=text):
        exchange.transfer(*arguments)
    assert state(exchange.ledger) == before


def test_account_in_liquidation_gives_nothing_up(exchange: Exchange) -> None:
    """Until it is over, whatever its health is for a moment."""
    parent = exchange.open_account({"WBETH": 1})
    child = exchange.open_account(parent=parent)
    other = exchange.open_account({"USDT": 100_000})
    trade(exchange, parent, other, 900)
    exchange.reprice({"WBETH": 1.0})
    assert exchange.liquidate() == 1
    exchange.reprice({"WBETH": 4000.0})
    with pytest.raises(fw.OrderError, match=f"account {parent} is in liquidation"):
        exchange.transfer(parent, child, "WBETH", "0.1")
    with pytest.raises(fw.OrderError, match=f"account {parent} is in liquidation"):
        exchange.withdraw(parent, "WBETH", "0.1")


def test_account_opened_with_a_wrong_deposit_is_not_opened(exchange: Exchange) -> None:
    """Nor is one with a parent that is not there."""
    accounts = exchange.ledger.n_accounts
    with pytest.raises(fw.OrderError, match="'ATMO' is not an asset here"):
        exchange.open_account({"USDT": 1, "ATMO": 1})
    with pytest.raises(fw.MarketError, match="deposit of USDT: must be from 0"):
        exchange.open_account({"USDT": -1})
    with pytest.raises(fw.OrderError, match="account 9 is not open here"):
        exchange.open_account(parent=9)
    assert exchange.ledger.n_accounts == accounts


# -- ISOLATED MARGIN


def test_orders_of_an_isolated_market_are_margined_by_themselves(
    exchange: Exchange,
) -> None:
    """The position stands in the sub-account; other markets stay with the parent."""
    parent = exchange.open_account({"USDT": 10_000})
    other = exchange.open_account({"USDT": 100_000, "WBETH": 1})
    sub = exchange.isolate(parent, PERP, 500)
    trade(exchange, parent, other, 1_000)
    assert exchange.account(parent).positions == {}
    assert exchange.account(parent).isolated == {PERP: sub}
    assert exchange.account(sub).positions == {PERP: 1_000.0}
    assert exchange.account(sub).balances["USDT"] == pytest.approx(498.0)
    exchange.submit(fw.limit(other, "WBETH/USDT", "sell", 4000, 1))
    exchange.submit(fw.market(parent, "WBETH/USDT", "buy", 1))
    assert exchange.account(parent).balances["WBETH"] == 1.0
    # Ten thousand dollars of the parent do not margin it.
    refused = exchange.submit(fw.limit(parent, PERP, "buy", 4.0, 50_000))
    assert refused.reason is fw.Reason.INSUFFICIENT_MARGIN
    exchange._check()


def test_order_of_an_isolated_market_is_cancelled_by_its_parent(
    exchange: Exchange,
) -> None:
    """Under the number that placed it."""
    parent = exchange.open_account({"USDT": 10_000})
    exchange.isolate(parent, PERP, 500)
    placed = exchange.submit(fw.limit(parent, PERP, "buy", 3.0, 100))
    assert exchange.cancel(placed) == 100.0


def test_loss_of_an_isolated_market_never_reaches_the_parent(
    exchange: Exchange,
) -> None:
    """It is liquidated alone, to nothing; what its margin does not bear others do."""
    parent = exchange.open_account({"USDT": 10_000})
    other = exchange.open_account({"USDT": 100_000})
    sub = exchange.isolate(parent, PERP, 500)
    trade(exchange, parent, other, 1_000)
    assert exchange.desk.liquidation_price(sub, PERP).below == pytest.approx(
        3.5, abs=0.05
    )
    exchange.submit(fw.limit(other, PERP, "buy", 2.0, 5_000))
    exchange.reprice({"ATOM": 2.0})
    for _ in range(30):
        if not exchange.liquidate():
            break
        exchange.now += 1_000_000_000
    assert sub in exchange.liquidator.liquidated
    assert parent not in exchange.liquidator.liquidated
    assert exchange.account(parent).balances == {"USDT": 9_500.0}
    left = exchange.account(sub)
    assert left.positions == {}
    assert left.balances["USDT"] == 0.0
    assert left.equity == 0.0
    assert exchange.ledger.totals().tolist() == [0, 0, 0]
    exchange._check()


def test_isolated_market_goes_back_to_cross_margin_once_it_is_flat(
    exchange: Exchange,
) -> None:
    """With all that is left; then it may be isolated anew."""
    parent = exchange.open_account({"USDT": 10_000})
    other = exchange.open_account({"USDT": 100_000})
    sub = exchange.isolate(parent, PERP, 500)
    trade(exchange, parent, other, 100)
    with pytest.raises(fw.OrderError, match=f"{sub} has a position or orders in"):
        exchange.cross(parent, PERP)
    trade(exchange, other, parent, 100)
    left = exchange.account(sub).balances["USDT"]
    exchange.cross(parent, PERP)
    assert exchange.account(parent).balances["USDT"] == pytest.approx(9_500 + left)
    assert exchange.account(parent).isolated == {}
    assert exchange.isolate(parent, PERP, 1) != sub
    exchange._check()


@pytest.mark.parametrize(
    ("call", "arguments", "text"),
    [
        ("isolate", (5, PERP, 20_000), "withdrawal of USDT: must be at most"),
        ("isolate", (5, "WBETH/USDT", 1), "a position or orders in WBETH/USDT"),
        ("isolate", (5, "ATOM/USDC", 1), "'ATOM/USDC' is not a market here"),
        ("isolate", (6, PERP, 1), "account 6 is not open here"),
        ("cross", (5, PERP), f"account 5 has {PERP} not isolated"),
    ],
)
def test_wrong_isolation_is_refused_and_changes_nothing(
    call: str, arguments: tuple[Any, ...], text: str, exchange: Exchange
) -> None:
    """Too much margin, a market with orders, a name that is none."""
    account = exchange.open_account({"USDT": 10_000})
    exchange.submit(fw.limit(account, "WBETH/USDT", "buy", 3000, "0.1"))
    before = state(exchange.ledger), exchange.ledger.n_accounts
    with pytest.raises((fw.OrderError, fw.MarketError), match=text):
        getattr(exchange, call)(*arguments)
    assert (state(exchange.ledger), exchange.ledger.n_accounts) == before
    exchange._check()


def test_market_is_isolated_once_and_not_inside_itself(exchange: Exchange) -> None:
    """The sub-account of one market has no isolated markets of its own."""
    account = exchange.open_account({"USDT": 10_000})
    sub = exchange.isolate(account, PERP, 500)
    with pytest.raises(fw.OrderError, match=f"has {PERP} isolated already"):
        exchange.isolate(account, PERP, 500)
    with pytest.raises(fw.OrderError, match="is the isolated margin of one market"):
        exchange.isolate(sub, "ATOM/USDT", 100)


# -- MANY ACCOUNTS


def test_accounts_of_arrays_hold_what_the_arrays_say(exchange: Exchange) -> None:
    """Rounded to atoms and lots, the same as one by one."""
    rng = np.random.default_rng(3)
    usdt, coins = rng.uniform(100, 10_000, 500), rng.uniform(0, 3, 500)
    qty = np.round(rng.uniform(-100, 100, 500), 1)
    rest = exchange.open_account({"USDT": 10**7})
    accounts = exchange.open_accounts(
        {"USDT": usdt, "WBETH": coins}, {PERP: qty}, counterparty=rest
    )
    assert accounts.tolist() == list(range(rest + 1, rest + 501))
    for i in (0, 17, 499):
        view = exchange.account(int(accounts[i]))
        assert view.balances["USDT"] == pytest.approx(usdt[i], abs=1e-8)
        assert view.balances["WBETH"] == pytest.approx(coins[i], abs=1e-8)
        assert view.positions.get(PERP, 0.0) == pytest.approx(qty[i])
    assert exchange.account(rest).positions[PERP] == pytest.approx(-qty.sum())
    assert exchange.ledger.totals().tolist() == [0, 0, 0]
    exchange._check()


@pytest.mark.parametrize(
    ("deposits", "positions", "text"),
    [
        ({}, {}, "arrays of one length, at least 1 .got none"),
        ({"USDT": []}, {}, "arrays of one length, at least 1 .got USDT 0"),
        ({"USDT": [1.0], "ATOM": [1.0, 2.0]}, {}, "one length.*got USDT 1, ATOM 2"),
        ({"USDT": [1.0, -2.0]}, {}, r"USDT\[1\]: must be from 0 to .* .got -2"),
        ({"USDT": [1e30]}, {}, r"USDT\[0\]: must be from 0 to"),
        ({"USDT": [float("nan")]}, {}, "USDT: must be an array of finite numbers"),
        ({"USDT": 5.0}, {}, "USDT: must be an array of finite numbers, one row"),
        ({"USDT": ["many"]}, {}, "USDT: must be an array of finite numbers"),
        ({"USDC": [1.0]}, {}, "'USDC' is not an asset here; did you mean 'USDT'"),
        ({"USDT": [1.0]}, {"ATOM/USDT": [1.0]}, "a position needs a perpetual"),
        ({"USDT": [1.0]}, {PERP: [1.0]}, "longs and shorts must match .got 1 too many"),
        ({"USDT": [1, 1]}, {PERP: [4e9, -4e9]}, "is more than 64 bits hold in atoms"),
    ],
)
def test_wrong_arrays_are_refused_and_open_nothing(
    deposits: dict[str, Any], positions: dict[str, Any], text: str, exchange: Exchange
) -> None:
    """With the name, the place in the array and what is wrong."""
    before = state(exchange.ledger), exchange.ledger.n_accounts
    with pytest.raises(fw.OrderError, match=text):
        exchange.open_accounts(deposits, positions)
    assert (state(exchange.ledger), exchange.ledger.n_accounts) == before


def test_position_needs_a_mark_to_be_opened_at() -> None:
    """Before the base has a price there is none."""
    exchange = Exchange([PERP])
    with pytest.raises(fw.OrderError, match="has no mark to open at"):
        exchange.open_accounts({"USDT": [1.0, 1.0]}, {PERP: [1.0, -1.0]})
