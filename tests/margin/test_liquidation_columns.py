"""What is reckoned of many holdings at once is what each would get by itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import MARKETS, has, long, venue

from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS
from flashwick.engine.exchange import Exchange
from flashwick.margin.brackets import Brackets
from flashwick.margin.cases import Cases, Slices
from flashwick.margin.curves import LinearRate, SqrtRate
from flashwick.margin.liquidation import CYCLES_MAX
from flashwick.margin.schedule import Schedule

KINDS: list[dict[str, Any]] = [
    {"default": 0.05},
    {"default": 0.05, "ATOMUSDT": [[0, 0.01], [1_000, 0.05], [4_000, 0.1]]},
    {"default": {"coins": [[0, 0.01], [300, 0.03]]}},
    {"default": {"least": 0.01, "base": 0.0, "imf": 0.002}},
]


def crowd(seed: int, n: int, brackets: dict[str, Any]) -> Exchange:
    """Accounts with coins, debts and positions, some of them in hedge mode."""
    rng = np.random.default_rng(seed)
    exchange = venue(rules={"brackets": brackets})
    for i in range(n):
        coins = {"USDT": int(rng.integers(-3_000, 3_000)), "SUI": 100.5, "ATOM": -3}
        held = {name: qty for name, qty in coins.items() if rng.random() < 0.7}
        account = has(exchange, held)
        exchange.ledger.set_hedge(account, bool(i % 3 == 0))
        for market in MARKETS[3:]:
            for sign in (1, -1)[: 1 + (i % 3 == 0)]:
                if rng.random() < 0.8:
                    side = sign if i % 3 == 0 else int(rng.choice([-1, 1]))
                    long(exchange, account, market, side * int(rng.integers(1, 900)), 4)
    exchange.reprice({"ATOM": 3.7, "SUI": 1.9})
    return exchange


@pytest.mark.parametrize("brackets", KINDS)
def test_many_holdings_get_what_each_would(brackets: dict[str, Any]) -> None:
    """Worth, profit, margin and bankruptcy price, to the last bit."""
    exchange = crowd(7, 40, brackets)
    forced, ledger = exchange.liquidator.forced, exchange.ledger
    accounts = np.arange(exchange.ledger.n_accounts)[::-1].copy()
    of, market, lots, cost, _ = ledger.held_by(accounts)
    every = [held for a in accounts.tolist() for held in forced.positions(a)]
    assert [(held.market, held.lots) for held in every] == [
        *zip(market.tolist(), lots.tolist(), strict=True)
    ]
    alone = [forced.usd(held.market, held.lots) for held in every]
    assert forced.usd_many(market, lots).tolist() == alone
    alone = [forced.profit(held) for held in every]
    assert forced.profits(market, lots, cost).tolist() == alone
    alone = [forced.maintenance(held.market, held.lots) for held in every]
    assert forced.maintenances(market, lots).tolist() == alone
    whose, asset, atoms = ledger.owned_by(accounts)
    sold = (atoms > 0) & (forced.sold_in[asset] >= 0)
    spot = forced.sold_in[asset[sold]]
    coins = atoms[sold] // forced.base_units[spot]
    rows = (
        np.append(accounts[of], accounts[whose[sold]]),
        np.append(market, spot),
        np.append(lots, coins),
    )
    ticks = forced.bankrupt(*rows).tolist()
    one_by_one = zip(*(column.tolist() for column in rows), strict=True)
    assert ticks == [forced.bankruptcy_ticks(*row) for row in one_by_one]
    assert len(set(ticks)) > 40


@pytest.mark.parametrize("brackets", KINDS)
def test_bankruptcy_prices_found_together_are_those_found_alone(
    brackets: dict[str, Any],
) -> None:
    """They are known until the account changes, and then found anew."""
    exchange = crowd(11, 30, brackets)
    forced, usdt = exchange.liquidator.forced, exchange.asset_number["USDT"]
    accounts = list(range(SYSTEM_ACCOUNTS, exchange.ledger.n_accounts))
    legs = [(a, h.market, h.lots) for a in accounts for h in forced.positions(a)]
    alone = [forced.bankruptcy_ticks(*leg) for leg in legs]
    with forced.cycle():
        forced.load(accounts)
        forced.load_bankrupt(accounts)
        known = [forced._known[a].bankrupt[m, 1 if n > 0 else -1] for a, m, n in legs]
        assert known == alone
        forced.transfer(usdt, legs[20][0], legs[-1][0], 10**11)
        moved = [forced.bankruptcy_ticks(*leg) for leg in legs]
    assert [*map(forced.bankruptcy_ticks, *zip(*legs, strict=True))] == moved
    assert moved[20] != alone[20]


def test_order_is_told_by_its_case_cycle_market_and_side() -> None:
    """No two have the same key, of as many of each as there may be."""
    cases = Cases(4)
    cases.open(np.array([7, 8]), np.array([41, 2**33]))
    seen = []
    for _ in range(CYCLES_MAX + 3):
        rows = np.repeat([0, 1], 4)
        keys = cases.keys(rows, np.tile([0, 0, 65_535, 65_535], 2), np.tile([0, 1], 4))
        seen += keys.tolist()
        cases.begin(np.array([0, 1]), 0)
        cases.end(np.array([0, 1]))
    assert len(set(seen)) == len(seen)
    assert min(seen) > 0


def test_case_that_goes_on_for_long_has_no_key_of_another() -> None:
    """Nor in any cycle that of its own last one."""
    cases = Cases(4)
    cases.open(np.array([7, 8]), np.array([41, 42]))
    rows, before = np.array([0]), 0
    other = cases.keys(np.array([1]), rows, rows)[0]
    for cycle in range(4_090, 4_100):
        cases.rows["cycle"][0] = cycle
        (key,) = cases.keys(rows, rows, rows)
        assert key not in (before, other)
        before = key


def test_positions_and_debts_are_seen_at_once() -> None:
    """As the ledger has them, of accounts in whatever order."""
    exchange = crowd(3, 12, KINDS[0])
    forced = exchange.liquidator.forced
    accounts = [9, 4, 11, 2, 6]
    has_some, owes = forced.left(np.array(accounts))
    assert has_some.tolist() == [bool(forced.positions(a)) for a in accounts]
    assert owes.tolist() == [bool(forced.debts(a)) for a in accounts]


def test_curves_of_all_kinds_are_looked_up_together() -> None:
    """At floors and between them, and where there is nothing."""
    curves = [
        Schedule([0, 50, 400], [0.01, 0.05, 0.1]),
        Schedule.flat(0.5),
        Schedule([0, 30], [0.01, 0.02], unit="qty"),
        SqrtRate(0.01, 0.0, 0.003),
        LinearRate(0.02, 0.00005),
    ]
    brackets = Brackets(curves)
    markets = np.repeat(np.arange(len(curves)), 6)
    money = np.tile([0.0, 49.0, 50.0, 50.1, 400.0, 1e9], len(curves))
    qty = np.tile([0.0, 30.0, 30.5, 31.0, 1.0, 1e6], len(curves))
    found = brackets.amount(markets, money, qty).tolist()
    assert found == [
        float(curves[m].amount(usd, coins))
        for m, usd, coins in zip(
            markets.tolist(), money.tolist(), qty.tolist(), strict=True
        )
    ]


slices = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 99)), max_size=8
)


@settings(max_examples=60, deadline=None, phases=UNTRACED)
@given(batches=st.lists(st.tuples(slices, st.sets(st.integers(0, 4))), max_size=8))
def test_slices_are_those_that_came_first(batches: list[Any]) -> None:
    """As a dictionary would keep them, until the account is dropped."""
    kept, expected = Slices(7), {}
    for rows, dropped in batches:
        every = {(a, h): n for a, h, n in rows}
        columns = [(a, h, n) for (a, h), n in every.items()]
        found = kept.first(*np.array(columns, np.int64).reshape(-1, 3).T)
        told = [expected.setdefault((a, h), n) for a, h, n in columns]
        assert found.tolist() == told
        kept.drop(np.array(sorted(dropped), np.int64))
        expected = {key: n for key, n in expected.items() if key[0] not in dropped}
        for account in range(5):
            assert kept.of(account) == [h for a, h in expected if a == account]
