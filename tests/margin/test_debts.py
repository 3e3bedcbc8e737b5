"""Coins taken for debts: of all in one go, compiled, against account by account."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import MARKETS, has, long, venue

from flashwick.cython_ext.coins import take
from flashwick.cython_ext.ledger import CLAIMS, EXTERNAL, INSURANCE
from flashwick.engine.exchange import Exchange
from flashwick.margin.debts import Debts

PERP = MARKETS[3]
STEPS = ("cancel_orders", "takeover", "adl", "insurance_fund", "claim")

person = st.fixed_dictionaries(
    {
        "USDT": st.integers(-4_000, 500),
        "ATOM": st.integers(-300, 900),
        "SUI": st.integers(-300, 900),
        "WBETH": st.sampled_from([0, 0, 1]),
        "long": st.sampled_from([0, 0, 500]),
    }
)


def fallen(people: list[dict[str, Any]], fund: dict[str, int], trigger: str) -> Any:
    """Everything that happened when coins fell, and what everybody has then."""
    rules = {"adl": {"trigger": trigger, "drawdown": 0.02}}
    exchange = venue(steps=STEPS, rules=rules, fund="shared")
    ledger, number = exchange.ledger, exchange.asset_number
    for asset, qty in fund.items():
        ledger.transfer(number[asset], EXTERNAL, INSURANCE, qty * 10**8)
    for person in people:
        coins = {a: float(q) for a, q in person.items() if a in number and q}
        account = has(exchange, coins)
        if person["long"]:
            long(exchange, account, PERP, person["long"], 4.0)
    for price in (3.0, 1.7, 2.1):
        exchange.reprice({"ATOM": price, "SUI": 0.4 * price, "WBETH": 900 * price})
        for _ in range(2):
            exchange.now += 1_000_000_000
            exchange.liquidate()
            exchange._check()
    return told(exchange)


def told(exchange: Exchange) -> list[Any]:
    """Events, balances in the order of their rows, positions, and the fund's stock."""
    everyone = range(exchange.ledger.n_accounts)
    fund = exchange.liquidator.fund
    return [
        *map(repr, exchange.log.single()),
        exchange.ledger.balances_many(everyone).tolist(),
        exchange.ledger.positions_many(everyone).tolist(),
        list(fund.coins.items()),
        {pool: atoms for pool, atoms in fund.pools.items() if atoms},
    ]


@given(
    st.lists(person, min_size=1, max_size=12),
    st.fixed_dictionaries(
        {"USDT": st.sampled_from([0, 300, 10**6]), "SUI": st.sampled_from([0, 200])}
    ),
    st.sampled_from(["fund_negative", "fund_drawdown", "equity_negative"]),
)
@settings(max_examples=60, phases=UNTRACED)
def test_coins_are_taken_of_all_as_of_one_after_another(
    people: list[dict[str, Any]], fund: dict[str, int], trigger: str
) -> None:
    """The same events, rows and stock, of a fund that is rich, poor or empty."""
    ours = fallen(people, fund, trigger)

    def each(self: Debts, rows: np.ndarray, now: int) -> None:
        for case in self._known(rows):
            self._bare(case, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Debts, "_take_all_coins", each)
        theirs = fallen(people, fund, trigger)
    assert ours == theirs


def test_fund_pays_as_far_as_it_can_and_claims_the_rest() -> None:
    """Of 900 dollars the fund has 500, less 100 that positions have lost."""
    exchange = venue()
    number, ledger = exchange.asset_number, exchange.ledger
    usdt, atom = number["USDT"], number["ATOM"]
    ledger.transfer(usdt, EXTERNAL, INSURANCE, 500 * 10**8)
    account = has(exchange, {"USDT": -900.0, "ATOM": 300.0})
    worth = np.zeros(len(exchange.assets))
    worth[usdt], worth[atom] = 1e-8, 4e-8
    lost = np.zeros(len(exchange.assets), np.int64)
    lost[usdt] = -100 * 10**8
    taken = take(ledger, [account], worth, lost)
    assert taken.tolist() == [
        (0, usdt, atom, 100 * 10**8, INSURANCE),
        (0, usdt, atom, 125 * 10**8, CLAIMS),
    ]
    assert ledger.balance(account, usdt) == 0
    assert ledger.balance(account, atom) == 75 * 10**8
    assert ledger.balance(INSURANCE, usdt) == 100 * 10**8
