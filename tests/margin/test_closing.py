"""Losers closed in one go, compiled, against the same one after the other in Python."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import MARKETS, has, venue

from flashwick.cython_ext.closing import PRICINGS, Closing
from flashwick.cython_ext.ledger import EXTERNAL, INSURANCE
from flashwick.cython_ext.ranks import PRICE, Ranks
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.adl import RANKINGS
from flashwick.margin.deleveraging import Deleveraging

ATOM, SUI = MARKETS[3:]
STEPS = ("cancel_orders", "takeover", "adl", "insurance_fund", "claim")

leg = st.tuples(st.integers(-2_000, 2_000).filter(bool), st.integers(70, 130))
person = st.fixed_dictionaries(
    {
        "usd": st.integers(50, 2_000),
        "hedged": st.booleans(),
        "atom": st.lists(leg, max_size=2),
        "sui": st.lists(leg, max_size=2),
        "orders": st.booleans(),
    }
)
adl = st.fixed_dictionaries(
    {
        "trigger": st.sampled_from(["fund_negative", "fund_drawdown"]),
        "drawdown": st.sampled_from([0.01, 0.5]),
        "ranking": st.sampled_from(sorted(set(RANKINGS) - {"ftx"})),
        "allocation": st.just("queue"),
        "price": st.sampled_from(PRICINGS),
        "cancels_orders": st.booleans(),
    }
)


def crowd(people: list[dict[str, Any]], how: dict[str, Any], usd: int) -> Exchange:
    """A venue whose fund has so much, and accounts with positions, some with orders."""
    exchange = venue(steps=STEPS, rules={"adl": how}, fund="shared")
    ledger, usdt = exchange.ledger, exchange.asset_number["USDT"]
    ledger.transfer(usdt, EXTERNAL, INSURANCE, usd * 10**8)
    other = has(exchange, {"USDT": 1e4})
    for person in people:
        account = has(exchange, {"USDT": person["usd"]})
        ledger.set_hedge(account, person["hedged"])
        for name, legs, usual in ((ATOM, person["atom"], 4.0), (SUI, person["sui"], 2)):
            market = exchange.market_number[name]
            for qty, percent in legs:
                lots = round(qty / exchange.lot[market])
                ticks = round(usual * percent / 100 / exchange.tick[market])
                ledger.open_positions(market, [account, other], [lots, -lots], ticks)
        if person["orders"]:
            exchange.submit(limit(account, ATOM, "buy", price=0.5, qty=1))
    return exchange


def told(exchange: Exchange) -> list[Any]:
    """Everything that happened, and what everybody has now."""
    everyone = range(exchange.ledger.n_accounts)
    return [
        *map(repr, exchange.log.single()),
        exchange.ledger.balances_many(everyone).tolist(),
        exchange.ledger.positions_many(everyone).tolist(),
    ]


def fall(
    people: list[dict[str, Any]], how: dict[str, Any], usd: int, prices: list[float]
) -> Exchange:
    """The crowd, after prices went this way."""
    exchange = crowd(people, how, usd)
    for price in prices:
        exchange.reprice({"ATOM": price, "SUI": 0.5 * price})
        for _ in range(2):
            exchange.now += 1_000_000_000
            exchange.liquidate()
            exchange._check()
    return exchange


@given(
    st.lists(person, min_size=3, max_size=20),
    adl,
    st.sampled_from([0, 20, 300, 10_000]),
    st.lists(st.sampled_from([2.5, 3.4, 4.6, 6.0]), min_size=1, max_size=2),
)
@settings(max_examples=40, phases=UNTRACED)
def test_losers_closed_in_one_go_are_closed_as_one_by_one(
    people: list[dict[str, Any]], how: dict[str, Any], usd: int, prices: list[float]
) -> None:
    """The same events to the last bit: in hedge mode, of a fund that falls, and all."""
    ours = fall(people, how, usd, prices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deleveraging, "closing", lambda *_: None)
        theirs = fall(people, how, usd, prices)
    assert told(ours) == told(theirs)


def test_losers_go_in_one_go_until_a_winner_has_orders_or_none_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 60 losers Python takes one whose winner has orders, and those without one."""
    how = {"trigger": "fund_negative", "price": "bankruptcy", "cancels_orders": True}
    longs = [{"usd": 50, "atom": [(1_000, 100)]} for _ in range(60)]
    shorts = [{"usd": 150, "atom": [(-1_400, 94)]} for _ in range(40)]
    shorts[7] |= {"usd": 900, "orders": True}
    nothing = {"hedged": False, "orders": False, "sui": []}
    exchange = crowd([nothing | one for one in longs + shorts], how, 0)
    exchange.ledger.transfer(exchange.asset_number["USDT"], 5, EXTERNAL, 10**12)
    stopped = []
    run = Deleveraging.run

    def noted(self: Deleveraging, *arguments: Any) -> Any:
        found = run(self, *arguments)
        stopped.append(found)
        return found

    monkeypatch.setattr(Deleveraging, "run", noted)
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    ordered = [stop for stop in stopped if stop and stop[3]]
    short = [stop for stop in stopped if stop and not stop[3]]
    assert len(ordered) == 1
    assert len(short) > 2
    assert len(list(exchange.log.single("adl"))) > 60
    assert len(list(exchange.log.single("takeover"))) == len(short)
    exchange._check()


def test_losers_without_an_answer_are_refused() -> None:
    """Each is late or not."""
    exchange = venue()
    rows = exchange.liquidator.forced.price_rows(PRICE)
    ranks = Ranks(exchange.risk, rows, "by_account")
    with pytest.raises(ValueError, match="'late' must hold 2 answers"):
        Closing(ranks, None, [5, 6], np.zeros(1, np.bool_), "mark", 1.0)
