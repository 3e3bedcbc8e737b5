"""What can be done at lending markets within a transaction."""

from typing import TYPE_CHECKING

from .fixed_point import BPS, WAD, mul_down
from .isolated import PRICE_ONE, IsolatedMarket
from .lending_pool import LendingPool
from .protocol import ceil_div, require, require_known
from .settings import Step

if TYPE_CHECKING:
    from .actions import Amount, Pair, Transaction, Verb


# -- ISOLATED MARKETS


def _lend(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    amount = tx.size(step, market.terms.loan, None, atoms)
    after, done = market.supply(tx.who, amount, tx.now_ns)
    return (after, done.transfers), (market.terms.loan, amount)


def _withdraw(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    market = market.accrue(tx.now_ns)
    most = min(market.claim(tx.who), market.cash)
    amount = tx.size(step, market.terms.loan, most, atoms)
    after, done = market.withdraw(tx.who, amount, tx.now_ns)
    return (after, done.transfers), (market.terms.loan, amount)


def _borrow(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    market = market.accrue(tx.now_ns)
    price = tx.setting.quotes.market_price(market, tx.now_ns)
    worth = market.position(tx.who).collateral * price // PRICE_ONE
    # One atom less: what is owed is rounded up.
    room = mul_down(worth, market.terms.lltv, WAD) - market.debt(tx.who) - 1
    amount = tx.size(step, market.terms.loan, min(room, market.cash), atoms)
    after, done = market.borrow(tx.who, amount, price, tx.now_ns)
    return (after, done.transfers), (market.terms.loan, amount)


def _repay(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    market = market.accrue(tx.now_ns)
    who, loan = step.of or tx.who, market.terms.loan
    debt = market.debt(who)
    amount = tx.size(step, loan, min(debt, tx.has(loan)), atoms)
    if amount >= debt:
        shares = market.position(who).borrow_shares
        after, done = market.repay(who, None, tx.now_ns, shares=shares, payer=tx.who)
    else:
        after, done = market.repay(who, amount, tx.now_ns, payer=tx.who)
    return (after, done.transfers), (loan, done.assets)


def _pledge(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    amount = tx.size(step, market.terms.collateral, None, atoms)
    after, done = market.add_collateral(tx.who, amount)
    return (after, done.transfers), (market.terms.collateral, amount)


def _release(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    market = market.accrue(tx.now_ns)
    price = tx.setting.quotes.market_price(market, tx.now_ns)
    most = free_collateral(market, tx.who, price)
    amount = tx.size(step, market.terms.collateral, most, atoms)
    after, done = market.remove_collateral(tx.who, amount, price, tx.now_ns)
    return (after, done.transfers), (market.terms.collateral, amount)


def free_collateral(market: IsolatedMarket, who: str, price: int) -> int:
    """Atoms of collateral that a debt does not need."""
    has, debt = market.position(who).collateral, market.debt(who)
    if not debt or not price:
        return 0 if debt else has
    needs = ceil_div(ceil_div(debt * WAD, market.terms.lltv) * PRICE_ONE, price) + 1
    return max(0, has - needs)


def _liquidate(
    tx: "Transaction", market: IsolatedMarket, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    price = tx.setting.quotes.market_price(market, tx.now_ns)
    who = step.of or ""
    most = market.position(who).collateral
    amount = tx.size(step, market.terms.collateral, most, atoms)
    after, done = market.liquidate(tx.who, who, price, tx.now_ns, seize=amount)
    return (after, done.transfers), (market.terms.collateral, amount)


# -- SHARED POOLS


def _lend_shared(
    tx: "Transaction", pool: LendingPool, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    asset = step.give or ""
    amount = tx.size(step, asset, None, atoms)
    after, done = pool.supply(tx.who, asset, amount, tx.now_ns)
    return (after, done.transfers), (asset, amount)


def _withdraw_shared(
    tx: "Transaction", pool: LendingPool, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    asset = step.get or ""
    require_known("get", asset, pool.reserves)
    reserve = pool.accrue(tx.now_ns).reserves[asset]
    most = min(reserve.claim(tx.who), reserve.cash)
    amount = tx.size(step, asset, most, atoms)
    prices = tx.setting.quotes.pool_prices(pool, tx.now_ns)
    after, done = pool.withdraw(tx.who, asset, amount, prices, tx.now_ns)
    return (after, done.transfers), (asset, amount)


def _borrow_shared(
    tx: "Transaction", pool: LendingPool, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    asset = step.get or ""
    require_known("get", asset, pool.reserves)
    prices = tx.setting.quotes.pool_prices(pool, tx.now_ns)
    accrued = pool.accrue(tx.now_ns)
    health, reserve = accrued.health(tx.who, prices, tx.now_ns), accrued.reserves[asset]
    require(prices[asset] > 0, f"prices.{asset}", "be above 0", prices[asset])
    room = mul_down(health.collateral, health.ltv, BPS) - health.debt
    most = min(max(room, 0) * reserve.unit // prices[asset] - 1, reserve.cash)
    amount = tx.size(step, asset, most, atoms)
    after, done = pool.borrow(tx.who, asset, amount, prices, tx.now_ns)
    return (after, done.transfers), (asset, amount)


def _repay_shared(
    tx: "Transaction", pool: LendingPool, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    asset, who = step.give or "", step.of or tx.who
    require_known("give", asset, pool.reserves)
    debt = pool.accrue(tx.now_ns).reserves[asset].debt(who)
    amount = tx.size(step, asset, min(debt, tx.has(asset)), atoms)
    after, done = pool.repay(who, asset, amount, tx.now_ns, payer=tx.who)
    return (after, done.transfers), (asset, done.atoms)


def _enter_mode(
    tx: "Transaction", pool: LendingPool, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    prices = tx.setting.quotes.pool_prices(pool, tx.now_ns)
    after = pool.enter_mode(tx.who, step.give, prices, tx.now_ns)
    return (after, ()), (next(iter(pool.reserves)), 0)


def _liquidate_shared(
    tx: "Transaction", pool: LendingPool, step: Step, atoms: int | None
) -> "tuple[Pair, Amount]":
    debt, who = step.give or "", step.of or ""
    require_known("give", debt, pool.reserves)
    prices = tx.setting.quotes.pool_prices(pool, tx.now_ns)
    most = pool.accrue(tx.now_ns).reserves[debt].debt(who)
    wanted = tx.size(step, debt, most, atoms)
    after, done = pool.liquidate(
        tx.who, who, step.get or "", debt, wanted, prices, tx.now_ns
    )
    return (after, done.transfers), (debt, done.repaid)


ISOLATED: "dict[str, Verb]" = {
    "supply": _lend,
    "withdraw": _withdraw,
    "borrow": _borrow,
    "repay": _repay,
    "pledge": _pledge,
    "release": _release,
    "liquidate": _liquidate,
}
SHARED: "dict[str, Verb]" = {
    "supply": _lend_shared,
    "withdraw": _withdraw_shared,
    "borrow": _borrow_shared,
    "repay": _repay_shared,
    "enter_mode": _enter_mode,
    "liquidate": _liquidate_shared,
}
"""What can be done at an isolated market and at a shared pool."""
