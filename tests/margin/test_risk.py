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
    TERMS,
    USDT,
    Portfolio,
    Prices,
    dollars,
    gross,
    holdings,
    make,
    market_prices,
    orders_of,
    portfolios,
)
from risk_desk import order as readable_order

from flashwick.cython_ext.ledger import EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import VALUATION, Risk
from flashwick.margin.fills import SpotOrder
from flashwick.margin.reference import (
    Health,
    account_health,
    collateral_value,
    net_equities,
    worst_case,
)
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Flag, Side


def readable(ledger: Ledger, account: int, at: Prices) -> Health:
    """The account as the readable valuation sees it, with its resting orders."""
    resting = orders_of(ledger, account, at)
    return account_health(*holdings(ledger, account, at), dollars(at), RULES, resting)


def assert_same(ours: dict[str, float], theirs: Health, scale: float) -> None:
    """Within 1e-9, also of sums whose terms cancel."""

    def near(value: float) -> Any:
        return pytest.approx(value, rel=1e-9, abs=1e-12 * scale)

    assert ours["equity"] == near(theirs.equity)
    assert ours["adjusted"] == near(theirs.adjusted)
    assert ours["maintenance"] == near(theirs.maintenance)
    assert ours["adjusted_initial"] == near(theirs.adjusted_initial)
    assert ours["initial"] == near(theirs.initial)
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


@given(
    st.tuples(portfolios, portfolios),
    st.lists(market_prices(), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9999)), max_size=4),
)
@settings(max_examples=100, phases=UNTRACED)
def test_values_do_not_depend_on_what_was_valued_before(
    people: tuple[Portfolio, Portfolio],
    moves: list[Prices],
    paid: list[tuple[int, int]],
) -> None:
    """The tier a row was last in, by these curves or others, is where a search begins.

    Two passes with other tiers take turns over one ledger; each is what a pass over a
    ledger that nobody looked at gives, to the bit.
    """
    _, ledger, risk = make(people, moves[0])
    terms = Rules.preset("binance-pm").terms(ASSETS, NAMES)
    passes = [(risk, RULES.terms(ASSETS, NAMES)), (pass_by(ledger, terms), terms)]
    for times, at in enumerate(moves, 1):
        for asset, atoms in paid:
            ledger.transfer(asset, EXTERNAL, ALICE, atoms)
        for looked, own in passes:
            looked.skipping = False
            tell(looked, at)
            _, untouched, _ = make(people, at)
            for asset, atoms in paid * times:
                untouched.transfer(asset, EXTERNAL, ALICE, atoms)
            fresh = pass_by(untouched, own)
            tell(fresh, at)
            columns = looked.revalue()
            for name, column in fresh.revalue().items():
                assert columns[name].tolist() == column.tolist()


def pass_by(ledger: Ledger, terms: Any) -> Risk:
    """A risk pass by other curves."""
    factors = RULES.margin_factors(NAMES)
    return Risk(ledger, terms, factors, np.ones(len(ASSETS)), np.ones(len(NAMES)))


def tell(risk: Risk, at: Prices) -> None:
    """Tell a risk pass the prices."""
    quote = [terms.quote for terms in TERMS]
    risk.set_prices(at.index, at.lot * at.index[quote], at.lot)


orders = st.tuples(
    st.integers(0, 4),
    st.sampled_from([BUY, SELL]),
    st.integers(1, 500),
    st.integers(1, 60),
)


@given(portfolios, market_prices(), st.lists(orders, max_size=8))
@settings(max_examples=200, phases=UNTRACED)
def test_resting_orders_cost_what_the_readable_account_says(
    portfolio: Portfolio, at: Prices, resting: list[tuple[int, Side, int, int]]
) -> None:
    """Open loss in health; the worst fills by the curves for opening and the others."""
    books, ledger, risk = make([portfolio], at)
    for market, side, qty, price in resting:
        books.limit(market, ALICE, side, price, qty, flags=Flag.POST_ONLY)
    scale = gross(ledger, ALICE, at)
    assert_same(risk.account(ALICE), readable(ledger, ALICE, at), scale)
    account, prices = holdings(ledger, ALICE, at), dollars(at)
    for initial, multiple in ((True, 1.5), (False, 1.5), (False, 0.0)):
        theirs = worst_case(
            *account,
            prices,
            RULES,
            orders_of(ledger, ALICE, at),
            multiple=multiple,
            initial=initial,
        )
        assert risk.worst_case(ALICE, multiple, initial) == pytest.approx(
            theirs, rel=1e-9, abs=1e-11 * scale
        )


@given(portfolios, market_prices(), orders)
@settings(max_examples=100, phases=UNTRACED)
def test_open_loss_of_one_order_is_what_filling_it_would_cost(
    portfolio: Portfolio, at: Prices, order: tuple[int, Side, int, int]
) -> None:
    """Value before less value after, both assets; of a perpetual, at the mark."""
    books, ledger, risk = make([portfolio], at)
    market, side, qty, price = order
    before = risk.account(ALICE)
    new = readable_order(market, side, qty, price * 2.0, at)
    balances, positions = holdings(ledger, ALICE, at)
    held, prices = net_equities(balances, positions), dollars(at)
    books.limit(market, ALICE, side, price, qty)
    if isinstance(new, SpotOrder):
        flows = {new.pays: -new.pays_qty, new.gets: new.gets_qty}
    else:
        flows = {new.settle: -max(0.0, (new.limit - new.mark) * new.qty)}
    loss = sum(
        collateral_value(asset, held.get(asset, 0.0), prices[asset], RULES)
        - collateral_value(asset, held.get(asset, 0.0) + qty, prices[asset], RULES)
        for asset, qty in flows.items()
    )
    after, scale = risk.account(ALICE), gross(ledger, ALICE, at)
    assert after["adjusted"] == pytest.approx(
        before["adjusted"] - max(0.0, loss), rel=1e-9, abs=1e-11 * scale
    )
    assert after["maintenance"] == pytest.approx(
        before["maintenance"], rel=1e-9, abs=1e-12 * scale
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


def flat(n: int, rate: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One rate for each of n."""
    rows = np.array([[0.0, rate, 0.0]] * n).reshape(-1, 3)
    return np.zeros(n, np.uint8), np.arange(n + 1), rows


def free(assets: int, markets: int) -> dict[str, Any]:
    """Terms under which nothing counts and nothing is asked for."""
    by_asset = ("collateral", "borrow", "collateral_initial", "borrow_initial")
    terms: dict[str, Any] = dict.fromkeys(by_asset, flat(assets))
    terms |= dict.fromkeys(("brackets", "initial"), flat(markets))
    return terms | {"liability": flat(assets, 1.0)}


def test_a_size_counts_the_same_in_the_fortieth_tier_as_in_the_first() -> None:
    """Of 40 tiers, at their floors and beside them, however the price comes there."""
    floors = 100.0 * np.arange(40)
    rates = 1.0 - np.arange(40) / 50
    worth = np.concatenate([[0.0], np.cumsum(100.0 * rates[:-1])])
    tiers = np.column_stack([floors, rates, floors * rates - worth])
    ledger = Ledger()
    ledger.add_asset()
    atoms = np.concatenate([floors - 1, floors, floors + 1, floors + 50])
    atoms = atoms[atoms >= 0]
    first = ledger.open_accounts(len(atoms))
    accounts = np.arange(first, first + len(atoms))
    ledger.deposit_many(0, accounts, atoms.astype(np.int64))
    curve = np.zeros(1, np.uint8), np.array([0, 40]), tiers
    terms = free(1, 0) | {"collateral": curve, "collateral_initial": curve}
    risk = Risk(ledger, terms, [], [1.0], [])
    for price in (1.0, 1.0, 0.5, 0.01, 1.0, 40.0, 39.5):
        risk.set_prices(np.array([price]), np.zeros(0), np.zeros(0))
        usd = atoms * price
        last = np.minimum(usd // 100, 39).astype(np.int64)
        counts = worth[last] + (usd - floors[last]) * rates[last]
        adjusted = risk.revalue()["adjusted"][accounts]
        assert adjusted == pytest.approx(counts, rel=1e-12, abs=1e-9)


def test_debt_without_margin_is_health_minus_infinity() -> None:
    """No maintenance margin and nothing that covers what is owed."""
    ledger = ledger_of((), 1, 1)
    risk = Risk(ledger, free(1, 0), [], [1.0], [])
    risk.set_prices([1.0], [], [])
    ledger.transfer(0, ALICE, EXTERNAL, 1)
    assert risk.account(ALICE)["health"] == -inf
    assert risk.revalue()["health"][ALICE] == -inf
    assert risk.below(1.0)[0].tolist() == [ALICE]
    ledger.deposit(ALICE, 0, 1)
    assert risk.account(ALICE)["health"] == inf
    assert risk.below(1.0)[0].tolist() == []


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


WRONG_TERMS: list[tuple[str, Any, str]] = [
    ("collateral", flat(1), "'collateral' must be 2 curves"),
    ("brackets", flat(2), "'brackets' must be 1 curves"),
    ("borrow", (np.zeros(2), [0, 0, 2], flat(2)[2]), "'borrow' must be 2 curves"),
    ("borrow", (np.zeros(2), [0, 1, 2], np.zeros((2, 2))), "'borrow' must be 2 curves"),
    ("initial", ([5], [0, 1], [[0.0, 0.0, 0.0]]), r"'initial\[0\]' must be a kind"),
    ("initial", ([3], [0, 2], np.zeros((2, 3))), "with its rows .got kind 3 with 2"),
    ("initial", ([0], [0, 1], [[0.0, nan, 0.0]]), "must have finite rows"),
    ("initial", ([0], [0, 1], [[0.0, -0.1, 0.0]]), "must have finite rows"),
    ("initial", ([0], [0, 1], [[1.0, 0.1, 0.0]]), "must have finite rows"),
    ("initial", ([0], [0, 2], [[0, 0.1, 0], [0, 0.2, 0]]), "must have finite rows"),
    ("initial", ([4], [0, 1], [[0.1, inf, 0.0]]), "must have finite rows"),
]


@pytest.mark.parametrize(("name", "curves", "text"), WRONG_TERMS)
def test_wrong_curves_are_refused(name: str, curves: Any, text: str) -> None:
    """What the pass would read past the end of, or could value no size with."""
    ledger = ledger_of(TERMS[:1], 2, 1)
    terms = free(2, 1)
    Risk(ledger, terms, [1.0], [1.0, 1.0], [1.0])
    with pytest.raises(ValueError, match=text):
        Risk(ledger, terms | {name: curves}, [1.0], [1.0, 1.0], [1.0])


def test_terms_must_be_complete_and_scales_positive() -> None:
    """A missing set of curves, or a coin of no size."""
    ledger = ledger_of(TERMS[:1], 2, 1)
    terms = free(2, 1)
    with pytest.raises(ValueError, match="'terms' must have 'initial'"):
        Risk(
            ledger, {k: v for k, v in terms.items() if k != "initial"}, [1], [1, 1], [1]
        )
    for wrong in (([1], [1, 0], [1]), ([nan], [1, 1], [1]), ([1], [1, 1], [1, 1])):
        with pytest.raises(ValueError, match="numbers above 0"):
            Risk(ledger, terms, *wrong)


def test_assets_added_later_are_refused() -> None:
    """The pass has neither curves nor prices for them."""
    ledger = ledger_of(TERMS[:1], 2, 1)
    risk = Risk(ledger, free(2, 1), [1.0], [1.0, 1.0], [1.0])
    ledger.add_asset()
    for call in (risk.revalue, lambda: risk.below(1.0), lambda: risk.account(ALICE)):
        with pytest.raises(RuntimeError, match="before the risk pass is made"):
            call()


# -- VIEWS


@given(st.tuples(portfolios, portfolios), market_prices(), market_prices())
@settings(max_examples=60, phases=UNTRACED)
def test_values_at_other_prices_are_those_after_a_repricing(
    people: tuple[Portfolio, Portfolio], at: Prices, then: Prices
) -> None:
    """And the pass stays at the prices it had."""
    _, _, risk = make(people, at)
    before = {name: values.copy() for name, values in risk.revalue().items()}
    quote = [terms.quote for terms in TERMS]
    prices = then.index, then.lot * then.index[quote], then.lot
    elsewhere = risk.at(*prices)
    some = risk.at(*prices, accounts=[BOB, ALICE])
    only_index = risk.at(index=then.index)
    for name, values in risk.revalue().items():
        assert values.tolist() == before[name].tolist()
    assert risk.at()["health"].tolist()[ALICE:] == before["health"].tolist()[ALICE:]
    risk.set_prices(then.index, at.lot * at.index[quote], at.lot)
    assert only_index["equity"][ALICE] == risk.account(ALICE)["equity"]
    risk.set_prices(*prices)
    for name, values in risk.revalue().items():
        assert values.tolist()[ALICE:] == elsewhere[name].tolist()[ALICE:]
        assert some[name].tolist() == [values[BOB], values[ALICE]]


def test_wrong_view_is_refused() -> None:
    """Unknown accounts, prices that are none."""
    _, _, risk = make([Portfolio({BTC: 1000}, {})], FLAT)
    with pytest.raises(IndexError, match="'account' must be from 0 to 7"):
        risk.at(accounts=[8])
    with pytest.raises(ValueError, match="'index' must hold 33 prices"):
        risk.at(index=[1.0])
    with pytest.raises(IndexError, match="'asset' must be from 0 to 32"):
        risk.holders(33)


def test_holders_have_it_owe_it_or_have_a_position_in_it() -> None:
    """Ascending, each once, and nobody of the venue."""
    people = [Portfolio({BTC: 9, DOGE: -3}, {}), Portfolio({}, {2: (5, 7)})]
    _, ledger, risk = make(people, FLAT)
    assert risk.holders(BTC).tolist() == [ALICE, BOB, OTHER]
    assert risk.holders(DOGE).tolist() == [ALICE]
    assert risk.holders(USDT).tolist() == [BOB, OTHER]
    ledger.deposit(ALICE, DOGE, 3)
    assert risk.holders(DOGE).tolist() == []
    assert ledger.holders(BTC).tolist() == [EXTERNAL, ALICE]
