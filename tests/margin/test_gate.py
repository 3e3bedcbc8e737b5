"""The gate: an order is let in if the account can margin any fills, or with a reason.

Health of at least 1.2 whatever of it and of the resting orders fills, or nothing worse.
"""

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_model import state
from phases import UNTRACED
from risk_desk import (
    ALICE,
    ASSETS,
    BOB,
    BTC,
    BUY,
    FLAT,
    RULES,
    SELL,
    USDT,
    Portfolio,
    Prices,
    dollars,
    gross,
    holdings,
    make,
    market_prices,
    orders_of,
)
from risk_desk import order as readable_order

from flashwick.cython_ext.ledger import INSURANCE, Ledger
from flashwick.cython_ext.risk import Risk
from flashwick.margin.reference import worst_case
from flashwick.orderbook.orders import Flag, Reason, Side


def judged(
    ledger: Ledger,
    account: int,
    at: Prices,
    order: tuple[int, Side, int, int] | None,
    multiple: float = 1.2,
) -> tuple[float, float]:
    """Adjusted equity and margin after the worst fills, of this order too."""
    orders = orders_of(ledger, account, at)
    if order is not None:
        market, side, qty, price = order
        orders.append(readable_order(market, side, qty, price * 2.0, at))
    return worst_case(
        *holdings(ledger, account, at),
        dollars(at),
        RULES,
        orders,
        multiple=multiple,
        initial=True,
    )


def ratio(adjusted: float, maintenance: float) -> float:
    """Health."""
    if maintenance > 0:
        return adjusted / maintenance
    return inf if adjusted >= 0 else -inf


any_order = st.tuples(
    st.sampled_from([0, 1, 2, 3, 4, 7]),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 400),
    st.integers(1, 30),
)
covered = st.builds(
    Portfolio,
    st.dictionaries(st.integers(0, 2), st.integers(-2000, 9999), min_size=1),
    st.dictionaries(
        st.sampled_from([2, 3]),
        st.tuples(st.integers(-200, 200), st.integers(1, 9)),
        max_size=2,
    ),
)


@given(covered, market_prices(), st.lists(any_order, min_size=1, max_size=12))
@settings(max_examples=200, phases=UNTRACED)
def test_gate_lets_in_what_the_account_can_margin_and_nothing_else(
    portfolio: Portfolio, at: Prices, sent: list[tuple[int, Side, int, int]]
) -> None:
    """Health of 1.2 after the worst fills, or no worse than before; or a reason."""
    books, ledger, risk = make([portfolio], at)
    ledger.gate = risk
    refusals = 0
    for market, side, qty, price in sent:
        before = judged(ledger, ALICE, at, None)
        after = judged(ledger, ALICE, at, (market, side, qty, price))
        scale = gross(ledger, ALICE, at) + qty * price * 50 * 8
        margins = [ratio(*after) - 1.2, ratio(*before) - 1.2]
        close = any(abs(m) * max(1.0, after[1]) < 1e-7 * scale for m in margins)
        loss = before[0] - after[0] + 1.2 * (after[1] - before[1])
        least, _ = judged(ledger, ALICE, at, (market, side, qty, price), 0.0)
        had, _ = judged(ledger, ALICE, at, None, 0.0)
        owed = min(had, 0.0) - least
        worse = max(loss, owed) > 1e-6 * scale
        if close or (max(loss, owed) > 0 and not worse) or abs(least) < 1e-7 * scale:
            continue  # within the rounding of one or the other
        kept = state(ledger), books.live_orders, risk.account(ALICE)
        answer = books.limit(market, ALICE, side, price, qty, flags=Flag.POST_ONLY)
        if answer == -Reason.POST_ONLY_WOULD_CROSS:
            continue
        if margins[0] >= 0 or not worse:
            assert answer > 0
            continue
        refusals += 1
        low = margins[1] < 0
        expected = Reason.ACCOUNT_REDUCE_ONLY if low else Reason.INSUFFICIENT_MARGIN
        assert answer == -expected
        assert (state(ledger), books.live_orders, risk.account(ALICE)) == kept
    assert risk.refused == refusals


LEVERED = Prices(np.ones(len(ASSETS)), np.array([0.0, 0.0, *[2.0] * 33]))


def levered(usdt: int) -> tuple[Any, Ledger, Risk]:
    """Alice is long 500 lots of 2 USDT in a perpetual; margin 10."""
    books, ledger, risk = make([Portfolio({USDT: usdt}, {2: (500, 1)})], LEVERED)
    ledger.gate = risk
    return books, ledger, risk


def test_account_below_the_threshold_may_only_reduce() -> None:
    """Selling its position passes unflagged; more of it does not, nor anything new."""
    books, _, risk = levered(11)  # health 1.1
    assert risk.account(ALICE)["health"] == pytest.approx(1.1)
    reduce_only = -Reason.ACCOUNT_REDUCE_ONLY
    assert books.limit(2, ALICE, BUY, 1, 1) == reduce_only
    assert books.limit(0, ALICE, BUY, 3, 1) == reduce_only
    assert books.limit(2, ALICE, SELL, 1, 1_001) == reduce_only  # a larger short
    assert books.limit(2, ALICE, SELL, 1, 1_000) > 0
    assert books.limit(2, ALICE, SELL, 1, 1) == reduce_only
    # Bitcoin for 2, worth 4: nothing is worse, and nothing better before it fills.
    assert books.limit(0, ALICE, BUY, 1, 1) > 0
    assert books.limit(0, ALICE, BUY, 4, 1) == reduce_only


def test_reduce_only_and_forced_orders_are_not_asked_for_margin() -> None:
    """The venue's own accounts trade by force or not at all."""
    books, _, risk = levered(1)
    assert books.limit(2, ALICE, SELL, 1, 500, flags=Flag.REDUCE_ONLY) > 0
    assert books.limit(2, ALICE, BUY, 1, 9, flags=Flag.LIQUIDATION) > 0
    assert books.limit(0, INSURANCE, BUY, 1, 9) == -Reason.UNKNOWN_ACCOUNT
    assert books.limit(0, INSURANCE, BUY, 1, 9, flags=Flag.LIQUIDATION) > 0
    assert risk.refused == 0
    assert books.limit(2, ALICE, BUY, 1, 9) == -Reason.ACCOUNT_REDUCE_ONLY
    assert risk.refused == 1


def test_replaced_order_is_judged_without_its_old_self() -> None:
    """It may be as large as before at another price, not much larger."""
    books, ledger, _ = levered(1000)
    order = books.limit(2, ALICE, BUY, 1, 4_000)
    assert order > 0
    before = state(ledger)
    assert books.limit(2, ALICE, BUY, 1, 4_000) == -Reason.INSUFFICIENT_MARGIN
    assert books.replace(2, ALICE, order, 1, 11_000) == -Reason.INSUFFICIENT_MARGIN
    assert state(ledger) == before
    assert books.replace(2, ALICE, order, 1, 4_500) == order


def test_limit_order_far_through_the_mark_is_a_loss_at_once() -> None:
    """Bought at ten times the mark, the position would owe what was paid too much."""
    books, _, _ = levered(1000)
    assert books.limit(2, BOB, SELL, 10, 100) == -Reason.INSUFFICIENT_MARGIN
    books.limit(2, INSURANCE, SELL, 10, 100, flags=Flag.LIQUIDATION)
    assert books.limit(2, ALICE, BUY, 10, 100) == -Reason.INSUFFICIENT_MARGIN
    assert books.limit(2, ALICE, BUY, 10, 30) > 0
    assert books.limit(2, ALICE, SELL, 1, 1000) > 0  # at the mark, the other way


def test_order_whose_worth_nobody_knows_is_refused() -> None:
    """A debt of a coin without a price, or a position without a mark; not a holding."""
    index = LEVERED.index.copy()
    index[BTC] = 0.0
    at = Prices(index, np.where(np.arange(35) == 3, 0.0, LEVERED.lot))
    books, ledger, risk = make([Portfolio({USDT: 1000, BTC: 40}, {})], at)
    ledger.gate = risk
    assert books.limit(0, ALICE, SELL, 30, 10) > 0  # has them
    assert books.limit(0, ALICE, SELL, 30, 1) == -Reason.INSUFFICIENT_MARGIN
    assert books.limit(0, ALICE, BUY, 10, 50) > 0  # pays with dollars
    assert books.limit(3, ALICE, BUY, 1, 1) == -Reason.INSUFFICIENT_MARGIN
    assert risk.refused == 2


def test_market_order_too_large_to_be_valued_is_refused() -> None:
    """At the likely price it is worth 2**64 or more, which must not wrap to little."""
    at = Prices(LEVERED.index * np.where(np.arange(33) == BTC, 2.0**20, 1.0), FLAT.lot)
    books, ledger, risk = make([Portfolio({USDT: 1000}, {})], at)
    ledger.gate = risk
    books.limit(0, INSURANCE, SELL, 2**21, 10, flags=Flag.LIQUIDATION)
    before = state(ledger)
    # 4 atoms a lot at 2**20: a lot costs 2**22, and 2**42 lots 0 modulo 2**64.
    for qty in (2**42, 2**42 + 1, 2**58):
        assert books.market(0, ALICE, BUY, qty) == -Reason.OVERFLOW
    assert books.market(0, ALICE, BUY, 1) == -Reason.INSUFFICIENT_MARGIN
    assert state(ledger) == before


def test_market_order_is_judged_at_mark_or_index() -> None:
    """The protection price is the worst case, not the likely one."""
    books, ledger, risk = make([Portfolio({USDT: 1000}, {})], LEVERED)
    ledger.gate = risk
    books.limit(0, INSURANCE, SELL, 2, 200, flags=Flag.LIQUIDATION)
    # At 4 atoms of a dollar each a lot: 250 lots leave 0 and 1,000 of collateral.
    assert books.market(0, ALICE, BUY, 2_000) == -Reason.INSUFFICIENT_MARGIN
    assert books.market(0, ALICE, BUY, 200, protection=2) > 0
    assert ledger.balance(ALICE, BTC) == 800
