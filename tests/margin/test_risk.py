"""The compiled risk pass gives the values of the readable one.

The ledger nets all of a coin: what is negative then is what the readable account calls
borrowed.
"""

from math import inf, isinf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_model import ledger_of
from phases import UNTRACED
from risk_desk import (
    ALICE,
    ASSETS,
    BOB,
    BTC,
    BUY,
    DOGE,
    FLAT,
    NAMES,
    OTHER,
    RULES,
    SELL,
    SPOT,
    TERMS,
    USDT,
    Portfolio,
    Prices,
    gross,
    make,
    market_prices,
    portfolios,
)

from flashwick.cython_ext.ledger import EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import VALUATION, Risk
from flashwick.margin.reference import (
    Balance,
    Health,
    Position,
    SpotOrder,
    account_health,
)
from flashwick.orderbook.orders import Side


def readable(ledger: Ledger, account: int, at: Prices, filled: bool = False) -> Health:
    """The account as the readable valuation sees it, with its orders filled or not."""
    positions = [
        Position(
            NAMES[row["market"]],
            ASSETS[TERMS[row["market"]].quote],
            qty=float(row["lots"]),
            entry=float(row["cost"]) / float(row["lots"]),
            mark=float(at.lot[row["market"]]),
        )
        for row in ledger.positions_of(account)
        if row["lots"]
    ]
    balances = {}
    for row in ledger.balances_of(account):
        asset, net = ASSETS[row["asset"]], float(row["amount"])
        if filled:
            net += float(row["incoming"] - row["hold"])
        owed = max(0.0, -net - sum(p.pnl for p in positions if p.settle == asset))
        balances[asset] = Balance(net + owed, owed)
    index = dict(zip(ASSETS, at.index.tolist(), strict=True))
    return account_health(balances, positions, index, RULES)


def assert_same(ours: dict[str, float], theirs: Health, scale: float) -> None:
    """Within 1e-9, also of sums whose terms cancel."""

    def near(value: float) -> Any:
        return pytest.approx(value, rel=1e-9, abs=1e-12 * scale)

    assert ours["equity"] == near(theirs.equity)
    assert ours["adjusted"] == near(theirs.adjusted)
    assert ours["maintenance"] == near(theirs.maintenance)
    if theirs.maintenance > 1e-6 * scale:
        slack = 1e-12 * scale / theirs.maintenance
        assert ours["health"] == pytest.approx(theirs.health, rel=1e-9, abs=slack)
    elif not ours["maintenance"] and abs(theirs.adjusted) > 1e-9 * scale:
        assert ours["health"] == theirs.health
        assert isinf(ours["health"])


# -- VALUES


@given(st.tuples(portfolios, portfolios), market_prices())
@settings(max_examples=150, phases=UNTRACED)
def test_every_value_is_that_of_the_readable_account(
    people: tuple[Portfolio, Portfolio], at: Prices
) -> None:
    """Tiers and their floors, brackets, loans, thirty settle assets in one account."""
    _, ledger, risk = make(people, at)
    columns = risk.revalue()
    assert tuple(columns) == VALUATION
    for account in (ALICE, BOB, OTHER):
        one = risk.account(account)
        assert {n: columns[n][account] for n in VALUATION}.items() <= one.items()
        theirs, scale = readable(ledger, account, at), gross(ledger, account, at)
        assert_same(one, theirs, scale)
        lots = ledger.positions_of(account)
        quote = np.array([TERMS[m].quote for m in lots["market"]], np.int64)
        notional = np.abs(lots["lots"]) * at.lot[lots["market"]] * at.index[quote]
        pnl = lots["lots"] * at.lot[lots["market"]] - lots["cost"]
        net = {int(row["asset"]): row["amount"] for row in ledger.balances_of(account)}
        for asset, profit in zip(quote.tolist(), pnl.tolist(), strict=True):
            net[asset] += profit
        owed = sum(max(0.0, -n) * at.index[a] for a, n in net.items())
        assert one["exposure"] == pytest.approx(notional.sum() + owed, abs=1e-9 * scale)
    # The venue's own accounts keep no margin, whatever they owe.
    assert columns["health"][:SYSTEM_ACCOUNTS].tolist() == [inf] * SYSTEM_ACCOUNTS


orders = st.tuples(
    st.sampled_from(list(SPOT)),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 500),
    st.integers(1, 60),
)


@given(portfolios, market_prices(), st.lists(orders, max_size=6))
@settings(max_examples=150, phases=UNTRACED)
def test_open_loss_is_what_filling_all_orders_would_cost(
    portfolio: Portfolio, at: Prices, resting: list[tuple[int, Side, int, int]]
) -> None:
    """Adjusted equity is the smaller one of without and with all orders filled."""
    books, ledger, risk = make([portfolio], at)
    for market, side, qty, price in resting:
        books.limit(market, ALICE, side, price, qty)
        if books.best(market)[0] >= books.best(market)[1] > 0:
            raise AssertionError
    without = readable(ledger, ALICE, at)
    full = readable(ledger, ALICE, at, filled=True)
    expected = without._replace(adjusted=min(without.adjusted, full.adjusted))
    ours = risk.account(ALICE)
    scale = gross(ledger, ALICE, at)
    if expected.maintenance > 0:
        health = expected.adjusted / expected.maintenance
    else:
        health = inf if expected.adjusted >= 0 else -inf
    assert_same(ours, expected._replace(health=health), scale)


@given(portfolios, market_prices(), orders)
@settings(max_examples=100, phases=UNTRACED)
def test_open_loss_of_one_order_is_the_documented_one(
    portfolio: Portfolio, at: Prices, order: tuple[int, Side, int, int]
) -> None:
    """The readable valuation knows orders one by one; with one they must agree."""
    books, ledger, risk = make([portfolio], at)
    market, side, qty, price = order
    base, quote = SPOT[market]
    pays, gets = (quote, float(price * qty * 2)), (base, float(qty * 4))
    if side == SELL:
        pays, gets = gets, pays
    before = readable(ledger, ALICE, at)
    books.limit(market, ALICE, side, price, qty)
    index = dict(zip(ASSETS, at.index.tolist(), strict=True))
    equities = {
        ASSETS[row["asset"]]: float(row["amount"])
        + sum(
            float(p["lots"] * at.lot[p["market"]] - p["cost"])
            for p in ledger.positions_of(ALICE)
            if TERMS[p["market"]].quote == row["asset"]
        )
        for row in ledger.balances_of(ALICE)
    }
    # Profits are settled: what is left is an account without positions.
    settled = {asset: Balance(net) for asset, net in equities.items()}
    valued = account_health(settled, [], index, RULES, [SpotOrder(*pays, *gets)])
    scale = gross(ledger, ALICE, at)
    assert risk.account(ALICE)["adjusted"] == pytest.approx(
        valued.adjusted, rel=1e-9, abs=1e-12 * scale
    )
    assert risk.account(ALICE)["maintenance"] == pytest.approx(
        before.maintenance, rel=1e-9, abs=1e-12 * scale
    )


@pytest.mark.parametrize(
    ("balances", "adjusted", "maintenance", "health"),
    [
        ({}, 0.0, 0.0, inf),
        ({BTC: 1024}, 1024.0, 0.0, inf),  # the floor is of the lower tier
        ({BTC: 1028}, 1027.0, 0.0, inf),
        ({BTC: 4096}, 1024.0 + 2304.0, 0.0, inf),
        ({BTC: 4098}, 1024.0 + 2304.0 + 1.0, 0.0, inf),
        ({USDT: -100}, -125.0, 8.0, -125 / 8),
        ({BTC: -2048}, -2560.0, 2048 * 0.03, -2560 / (2048 * 0.03)),
        ({BTC: -2148}, -2685.0, 61.44 + 6.0, -2685 / 67.44),
        ({USDT: 125, DOGE: -100}, 0.0, 8.0, 0.0),
    ],
)
def test_tiers_are_marginal_and_a_floor_belongs_to_the_tier_below(
    balances: dict[int, int], adjusted: float, maintenance: float, health: float
) -> None:
    """Figures by hand, at one dollar an atom."""
    _, _, risk = make([Portfolio(balances, {})], FLAT)
    value = risk.account(ALICE)
    assert value["adjusted"] == pytest.approx(adjusted)
    assert value["maintenance"] == pytest.approx(maintenance)
    assert value["health"] == pytest.approx(health)


def test_debt_without_margin_is_health_minus_infinity() -> None:
    """No maintenance margin and nothing that covers what is owed."""
    ledger = ledger_of((), 1, 1)
    free = (np.array([0, 1]), np.array([[0.0, 0.0, 0.0]]))
    risk = Risk(ledger, free, free, (np.array([0]), np.empty((0, 3))))
    risk.set_prices([1.0], [], [])
    ledger.transfer(0, ALICE, EXTERNAL, 1)
    assert risk.account(ALICE)["health"] == -inf
    assert risk.revalue()["health"][ALICE] == -inf
    ledger.deposit(ALICE, 0, 1)
    assert risk.account(ALICE)["health"] == inf


@pytest.mark.parametrize(
    ("position", "value", "text"),
    [
        (0, [1.0, nan, *[1.0] * 31], "'index' must be finite and >= 0"),
        (0, [1.0, -1e-9, *[1.0] * 31], "'index' must be finite and >= 0"),
        (1, [inf] * len(TERMS), "'mark' must be finite and >= 0"),
        (2, [-1.0] * len(TERMS), "'mark_quote' must be finite and >= 0"),
        (0, [1.0] * 32, r"'index' must hold 33 prices \(got \(32,\)\)"),
        (1, [[1.0]], r"'mark' must hold 35 prices \(got \(1, 1\)\)"),
        (2, [], r"'mark_quote' must hold 35 prices"),
    ],
)
def test_wrong_prices_are_refused_and_the_old_ones_stay(
    position: int, value: list[Any], text: str
) -> None:
    """All three arrays or none."""
    portfolio = Portfolio({BTC: 1000}, {2: (5, 7)})
    _, _, risk = make([portfolio], FLAT)
    before = risk.account(ALICE)
    new: list[Any] = [np.full(33, 9.0), np.full(35, 9.0), np.full(35, 9.0)]
    new[position] = value
    with pytest.raises(ValueError, match=text):
        risk.set_prices(*new)
    assert risk.account(ALICE) == before


def test_prices_are_copied() -> None:
    """What becomes of the caller's arrays is the caller's affair."""
    _, _, risk = make([Portfolio({USDT: 100}, {})], FLAT)
    index = np.ones(len(ASSETS))
    risk.set_prices(index, FLAT.lot, FLAT.lot)
    index[:] = 5.0
    assert risk.account(ALICE)["equity"] == 100.0


def test_schedules_must_be_one_for_each_asset_and_market() -> None:
    """What the pass would read past the end of is refused when it is made."""
    ledger = ledger_of(TERMS[:1], 2, 1)
    two = (np.array([0, 1, 2]), np.zeros((2, 3)))
    one = (np.array([0, 1]), np.zeros((1, 3)))
    Risk(ledger, two, two, one)
    for wrong in ([one, two, one], [two, one, one], [two, two, two]):
        with pytest.raises(ValueError, match="schedules of at least one tier each"):
            Risk(ledger, *wrong)
    empty = (np.array([0, 0, 2]), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="'collateral' must be 2 schedules"):
        Risk(ledger, empty, two, one)
