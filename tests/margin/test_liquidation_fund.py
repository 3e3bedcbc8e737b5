"""The insurance fund never goes below zero, unless the rules say that it may."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import ATOM, MARKETS, has, long, quote, venue

from flashwick.cython_ext.ledger import CLAIMS, INSURANCE
from flashwick.engine.exchange import Exchange
from flashwick.margin.fund import SHARED

PERP, SUI = MARKETS[3:]
TAKING = ["cancel_orders", "net_hedges", "takeover", "insurance_fund"]


def fund_atoms(exchange: Exchange, asset: str = "USDT") -> int:
    """What the fund has of an asset."""
    return exchange.ledger.balance(INSURANCE, exchange.asset_number[asset])


def fund_takes_over(money: float, **how: Any) -> Exchange:
    """A fund that took over 2,000 ATOM at 3.8 with the mark at 3.7: 200 under water."""
    rules = dict(how.pop("rules", {}))
    how = {"steps": [*TAKING, "claim"]} | how
    exchange = venue(rules=rules, **how)
    exchange.deposit(INSURANCE, "USDT", money)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, PERP, 2_000, 4.0)
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    assert exchange.account(INSURANCE).positions == {PERP: 2_000.0}
    assert fund_atoms(exchange) == money * ATOM
    return exchange


# -- HOW IT COULD


def test_funding_that_the_fund_cannot_pay_is_carried_by_the_venue() -> None:
    """Of 740 dollars it pays the 300 it has; 440 are a claim, as residuals are."""
    exchange = fund_takes_over(300)
    exchange.settle_funding({PERP: 0.1})
    assert fund_atoms(exchange) == 0
    assert exchange.ledger.balance(CLAIMS, 0) == 0
    usdt = exchange.asset_number["USDT"]
    assert exchange.ledger.balance(CLAIMS, usdt) == -440 * ATOM
    (claim,) = exchange.log.single("claim")
    assert (claim.account, claim.value) == (INSURANCE, 440.0)
    assert exchange.log[claim.cause].kind == "funding"
    exchange._check()
    exchange.liquidator._check()


def test_funding_that_the_fund_cannot_pay_is_shared_where_losses_are() -> None:
    """On those who have a position in the market; another's deposit is not touched."""
    steps = [*TAKING, "socialise"]
    exchange = fund_takes_over(300, steps=steps, residual="socialise")
    small = has(exchange, {"USDT": 10_000})
    usdt, rich = exchange.asset_number["USDT"], 6
    had = [exchange.ledger.balance(account, usdt) for account in (rich, small)]
    had[0] += 740 * ATOM  # the short's funding comes first
    exchange.settle_funding({PERP: 0.1})
    assert fund_atoms(exchange) == 0
    assert exchange.ledger.balance(CLAIMS, usdt) == 0
    after = [exchange.ledger.balance(account, usdt) for account in (rich, small)]
    assert after == [had[0] - 440 * ATOM, had[1]]
    (event,) = exchange.log.single("socialised")
    assert (event.account, event.qty, event.value) == (INSURANCE, 1, 440.0)
    exchange._check()


def test_funding_of_the_fund_is_booked_on_the_pool_of_its_market() -> None:
    """740 dollars from a pool that has none, so from what is common."""
    exchange = fund_takes_over(1_000, fund="per_symbol")
    usdt = exchange.asset_number["USDT"]
    exchange.settle_funding({PERP: 0.1})
    assert exchange.liquidator.fund.pools == {(usdt, 3): 0, (usdt, SHARED): 260 * ATOM}
    exchange.settle_funding({PERP: -0.1})
    assert exchange.liquidator.fund.pools[usdt, 3] == 740 * ATOM
    exchange.liquidator._check()


def test_funding_may_take_a_fund_below_zero_where_the_rules_say_so() -> None:
    """The residual ``negative_fund``: nobody else pays."""
    exchange = fund_takes_over(300, steps=TAKING, residual="negative_fund")
    exchange.settle_funding({PERP: 0.1})
    assert fund_atoms(exchange) == -440 * ATOM
    assert not [*exchange.log.single("claim"), *exchange.log.single("socialised")]


def test_funding_of_the_fund_is_paid_with_its_coins_first() -> None:
    """Half a WBETH goes to the venue at index before anything is a claim."""
    exchange = fund_takes_over(300)
    exchange.deposit(INSURANCE, "WBETH", 0.05)
    exchange.settle_funding({PERP: 0.1})
    usdt = exchange.asset_number["USDT"]
    assert (fund_atoms(exchange), fund_atoms(exchange, "WBETH")) == (0, 0)
    (claim,) = exchange.log.single("claim")
    assert claim.value == pytest.approx(240.0)
    assert exchange.ledger.balance(CLAIMS, usdt) == -440 * ATOM
    exchange._check()


def test_ruined_fund_that_is_deleveraged_at_mark_keeps_nothing_below_zero() -> None:
    """OKX's price: the position is gone at 3.4, 800 under water; it had 300."""
    exchange = fund_takes_over(
        300,
        steps=[*TAKING, "adl", "claim"],
        rules={"adl": {"price": "mark"}},
    )
    exchange.reprice({"ATOM": 3.4})
    exchange.liquidate()
    assert exchange.account(INSURANCE).positions == {}
    assert fund_atoms(exchange) == 0
    (claim,) = exchange.log.single("claim")
    assert claim.value == pytest.approx(500.0)
    assert exchange.log[claim.cause].kind == "takeover"
    exchange._check()


def test_legs_are_netted_without_the_money_of_the_fund() -> None:
    """Its own position, 800 under water with 300 in it, is not touched by others'."""
    exchange = fund_takes_over(300)
    exchange.reprice({"ATOM": 3.4})
    before = list(exchange.liquidator.forced.positions(INSURANCE))
    account = has(exchange, {"USDT": 60})
    exchange.ledger.set_hedge(account, True)
    long(exchange, account, PERP, -2_000, 3.4)
    long(exchange, account, PERP, 1_000, 3.4)
    exchange.liquidator.scan(exchange.now)
    rows = exchange.liquidator.cases.at(account)
    exchange.liquidator.steps.net_hedges(rows, exchange.now)
    assert list(exchange.liquidator.forced.positions(INSURANCE)) == before
    assert fund_atoms(exchange) == 300 * ATOM
    assert exchange.ledger.balance(CLAIMS, exchange.asset_number["USDT"]) == 0
    exchange._check()


def test_takeover_of_the_other_side_does_not_take_the_fund_below_zero() -> None:
    """What it took over is 800 under water; a short that comes closes half of it."""
    exchange = fund_takes_over(300)
    exchange.reprice({"ATOM": 3.4})
    account = has(exchange, {"USDT": 60})
    long(exchange, account, PERP, -1_000, 3.3)
    exchange.liquidate()
    assert exchange.account(INSURANCE).positions == {PERP: 1_000.0}
    assert fund_atoms(exchange) == 0
    assert sum(event.value for event in exchange.log.single("claim")) > 0.0
    exchange._check()
    exchange.liquidator._check()


def test_conversion_leaves_the_fund_what_its_positions_have_lost() -> None:
    """It has 1,000 dollars and 200 of losses: it buys coins for 800."""
    exchange = fund_takes_over(1_000, steps=["convert", "takeover", "insurance_fund"])
    account = has(exchange, {"USDT": -2_000, "ATOM": 600})
    exchange.liquidate()
    paid = [e.value for e in exchange.log.single("liquidation") if e.text == "convert"]
    assert sum(paid[:1]) == pytest.approx(800.0, abs=1.0)
    assert account in exchange.liquidator.liquidated


# -- WHATEVER HAPPENS

ENDS = {"claim": ["claim"], "socialise": ["socialise"], "negative_fund": []}
people = st.lists(
    st.tuples(
        st.integers(20, 2_000),
        st.integers(-3_000, 3_000),
        st.integers(-3_000, 3_000),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)
moves = st.lists(
    st.tuples(
        st.sampled_from([1.0, 2.5, 3.7, 4.0, 4.4, 7.0]),
        st.sampled_from([0.5, 1.9, 2.0, 2.2, 3.0]),
        st.sampled_from([-0.2, -0.01, 0.0, 0.01, 0.2]),
    ),
    min_size=1,
    max_size=6,
)


@given(
    people,
    moves,
    st.sampled_from([0, 10, 300, 5_000]),
    st.sampled_from(sorted(ENDS)),
    st.sampled_from([[], ["adl"]]),
    st.sampled_from(["shared", "per_symbol"]),
    st.sampled_from(["bankruptcy", "mark", "zero_price_mix"]),
    st.booleans(),
)
@settings(max_examples=150, phases=UNTRACED)
def test_fund_is_never_below_zero_unless_the_rules_say_it_may(
    who: list[tuple[int, int, int, bool]],
    path: list[tuple[float, float, float]],
    money: int,
    residual: str,
    adl: list[str],
    pools: str,
    price: str,
    bids: bool,
) -> None:
    """Prices that jump, funding of both signs, hedge mode, every way to end."""
    exchange = venue(
        steps=["cancel_orders", "net_hedges", "reduce_positions", "takeover", *adl]
        + ["insurance_fund", *ENDS[residual]],
        residual=residual,
        fund=pools,
        rules={"adl": {"price": price}},
    )
    exchange.deposit(INSURANCE, "USDT", money)
    for usd, atom, sui, hedged in who:
        account = has(exchange, {"USDT": usd})
        exchange.ledger.set_hedge(account, hedged)
        for market, qty, at in ((PERP, atom, 4.0), (SUI, sui, 2.0)):
            long(exchange, account, market, qty, at)
            if hedged:
                long(exchange, account, market, -qty / 2, at)
    if bids:
        for market in (PERP, SUI):
            quote(exchange, market, "buy", (0.6, 3_000), (0.4, 3_000))
    for atom_price, sui_price, rate in path:
        exchange.reprice({"ATOM": atom_price, "SUI": sui_price})
        for _ in range(2):
            exchange.now += 1_000_000_000
            exchange.liquidate()
            check(exchange, residual)
        exchange.settle_funding({PERP: rate, SUI: -rate})
        exchange.liquidate()
        check(exchange, residual)


def check(exchange: Exchange, residual: str) -> None:
    """No balance of the fund is below zero, and nothing was made or lost."""
    exchange._check()
    exchange.liquidator._check()
    if residual == "negative_fund":
        return
    balances = exchange.ledger.balances_of(INSURANCE)["amount"]
    assert np.all(balances >= 0), balances
