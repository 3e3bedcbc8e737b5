"""Loops built and unwound in an isolated market, through a pool."""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from .fixed_point import WAD
from .isolated import PRICE_ONE, IsolatedMarket
from .loops import LoopState
from .pools import Pool, input_for
from .protocol import (
    Refused,
    Transfer,
    ceil_div,
    require,
    require_amount,
    require_known,
)


class Looped(NamedTuple):
    """Market and pool after a loop was built or unwound, and all that moved."""

    market: IsolatedMarket
    pool: Pool
    rounds: int
    transfers: tuple[Transfer, ...]


class Carry(NamedTuple):
    """What a loop earns and pays a year, as shares of its equity."""

    leverage: float
    earned: float
    paid: float

    @property
    def net(self) -> float:
        """What is left; below 0 there is no reason to stay."""
        return self.earned - self.paid


def build(
    who: str,
    market: IsolatedMarket,
    pool: Pool,
    deposit: int,
    *,
    ltv: float,
    rounds: int,
    price: int,
    now_ns: int,
) -> Looped:
    """Deposit, then borrow ``ltv`` of each deposit, swap and deposit again.

    ``price`` is the oracle's, as the market takes it. Refused, with nothing done, if
    the market or the pool refuses any of it.
    """
    require_amount("deposit", deposit)
    require(0.0 < ltv < market.terms.lltv / WAD, "ltv", "be below the LLTV", ltv)
    require(rounds >= 0, "rounds", "not be below 0", rounds)
    give, get = market.terms.loan, market.terms.collateral
    market, moved = market.add_collateral(who, deposit)
    moves = [*moved.transfers]
    for _ in range(rounds):
        loan = int(deposit * price // PRICE_ONE * ltv)
        market, moved = market.borrow(who, loan, price, now_ns)
        pool, trade = pool.swap(who, give, get, loan, now_ns=now_ns)
        deposit = trade.amount_out
        market, added = market.add_collateral(who, deposit)
        moves += (*moved.transfers, *trade.transfers, *added.transfers)
    return Looped(market, pool, rounds, tuple(moves))


def state_of(who: str, market: IsolatedMarket, price: int) -> LoopState:
    """Collateral and debt of a position, atoms of the loan asset at the price."""
    worth = market.position(who).collateral * price / PRICE_ONE
    return LoopState(worth, float(market.debt(who)))


def carry(
    who: str,
    market: IsolatedMarket,
    price: int,
    yields: Mapping[str, float],
    now_ns: int,
) -> Carry:
    """What a loop earns on its collateral and pays on its debt, at the rates of now."""
    asset = market.terms.collateral
    require_known("yields", asset, yields)
    state = state_of(who, market, price)
    require(state.equity > 0.0, "who", "have equity at this price", state.equity)
    paid = market.yearly_rate(now_ns) * state.debt / state.equity
    return Carry(state.leverage, state.leverage * yields[asset], paid)


def unwind_by_flash(
    who: str, market: IsolatedMarket, pool: Pool, price: int, now_ns: int
) -> Looped:
    """Repay with a flash loan, take all collateral, sell the least that pays it back.

    Refused if all of it would not.
    """
    market = market.accrue(now_ns)
    has, debt = market.position(who), market.debt(who)
    give, get = market.terms.collateral, market.terms.loan
    require(debt > 0, "who", "owe something", who)
    sold = input_for(pool, give, get, debt)
    must = f"be at least the {sold} that repaying takes"
    require(sold <= has.collateral, "collateral", must, has.collateral)
    market, repaid = market.repay(who, None, now_ns, shares=has.borrow_shares)
    market, back = market.remove_collateral(who, has.collateral, price, now_ns)
    pool, trade = pool.swap(who, give, get, sold, least=debt, now_ns=now_ns)
    moves = (*repaid.transfers, *back.transfers, *trade.transfers)
    return Looped(market, pool, 1, moves)


def unwind_by_rounds(
    who: str,
    market: IsolatedMarket,
    pool: Pool,
    price: int,
    now_ns: int,
    *,
    rounds_max: int = 100,
) -> Looped:
    """Take what the debt does not need, sell it, repay; till nothing is owed or free.

    The collateral that is left stays in the market.
    """
    market = market.accrue(now_ns)
    give, get = market.terms.collateral, market.terms.loan
    moves: list[Transfer] = []
    rounds = 0
    while market.debt(who) and rounds < rounds_max:
        has, debt = market.position(who), market.debt(who)
        needs = ceil_div(ceil_div(debt * WAD, market.terms.lltv) * PRICE_ONE, price)
        free = has.collateral - needs - 1
        if free <= 0:
            break
        with suppress(Refused):
            free = min(free, input_for(pool, give, get, debt))
        after, back = market.remove_collateral(who, free, price, now_ns)
        sold, trade = pool.swap(who, give, get, free, now_ns=now_ns)
        if not trade.amount_out:
            break
        if trade.amount_out >= debt:
            after, paid = after.repay(who, None, now_ns, shares=has.borrow_shares)
        else:
            after, paid = after.repay(who, trade.amount_out, now_ns)
        market, pool = after, sold
        moves += (*back.transfers, *trade.transfers, *paid.transfers)
        rounds += 1
    return Looped(market, pool, rounds, tuple(moves))
