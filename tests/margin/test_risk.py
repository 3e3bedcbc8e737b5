"""The compiled risk pass: the values of the readable one, and the gate built on them.

Amounts are atoms and prices those of an atom, in both, so nothing is scaled. The ledger
nets all of a coin: what is negative then is what the readable account calls borrowed.
Brackets are in US dollars here and in the settle asset there, so the dollar coin, which
alone has brackets with more than one tier, is worth a dollar.
"""

from collections.abc import Sequence
from math import inf, isinf, nan
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_model import Terms, ledger_of, state
from phases import UNTRACED

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import EXTERNAL, INSURANCE, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import VALUATION, Risk
from flashwick.margin.reference import (
    Balance,
    Health,
    Position,
    SpotOrder,
    account_health,
)
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Flag, Reason, Side

BUY, SELL = Side.BUY, Side.SELL
QUOTES = tuple(f"Q{i}" for i in range(30))
ASSETS = ("USDT", "BTC", "DOGE", *QUOTES)
USDT, BTC, DOGE = range(3)
SPOT = {0: ("BTC", "USDT"), 1: ("DOGE", "BTC")}
PERPS = {2: ("BTC", "USDT"), 3: ("DOGE", "USDT"), 4: ("BTC", "DOGE")} | {
    5 + i: ("BTC", quote) for i, quote in enumerate(QUOTES)
}
NAMES = [
    *(f"{base}/{quote}" for base, quote in SPOT.values()),
    *(f"{base}/{quote}:PERP" for base, quote in PERPS.values()),
]
TERMS = tuple(
    Terms(ASSETS.index(base), ASSETS.index(quote), number in PERPS, 4, 2)
    for number, (base, quote) in (SPOT | PERPS).items()
)
RULES = Rules.build(
    "binance-pm",
    {
        "account": {"negative_multiplier": 1.25},
        "collateral": {
            "BTC": [[0, 1.0], [1024, 0.75], [4096, 0.5]],
            "DOGE": [[0, 0.5], [512, 0.25]],
            "Q0": 0.0,
        },
        "borrow": {"default": 0.08, "BTC": [[0, 0.03], [2048, 0.06], [8192, 0.25]]},
        "brackets": {
            "default": 0.0625,
            "BTCUSDT": [[0, 0.01], [1024, 0.025], [4096, 0.125]],
            "DOGEUSDT": [[0, 0.05], [512, 0.1]],
        },
    },
)
PEOPLE = 3
ALICE, BOB, OTHER = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + PEOPLE)

# Powers of two times small integers: products are exact, so the tiers' floors are hit.
amounts = st.integers(-40, 40).map(lambda n: 256 * n) | st.integers(-9999, 9999)
prices = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]) | st.floats(0.01, 50.0)


class Portfolio(NamedTuple):
    """What an account has, by number: atoms; lots and entry price."""

    balances: dict[int, int]
    positions: dict[int, tuple[int, int]]


portfolios = st.builds(
    Portfolio,
    st.dictionaries(st.integers(0, len(ASSETS) - 1), amounts, max_size=6),
    st.dictionaries(
        st.sampled_from(list(PERPS)),
        st.tuples(st.integers(-300, 300), st.integers(1, 60)),
        max_size=30,
    ),
)


class Prices(NamedTuple):
    """US dollars of an atom by asset, quote atoms of a lot by market."""

    index: np.ndarray
    lot: np.ndarray


@st.composite
def market_prices(draw: st.DrawFn) -> Prices:
    """Any prices; markets that are no perpetuals have none."""
    index = np.array([1.0, draw(prices), draw(prices)] + [draw(prices)] * len(QUOTES))
    lot = np.array(
        [0.0] * len(SPOT) + [draw(prices) for _ in range(3)] + [8.0] * len(QUOTES)
    )
    return Prices(index, lot)


def make(people: Sequence[Portfolio], at: Prices) -> tuple[Any, Ledger, Risk]:
    """Books, ledger and risk with these accounts in them; no gate yet."""
    ledger = ledger_of(TERMS, len(ASSETS), PEOPLE)
    books = Books(ledger)
    for account, portfolio in enumerate(people, SYSTEM_ACCOUNTS):
        for asset, atoms in portfolio.balances.items():
            pair = (EXTERNAL, account) if atoms > 0 else (account, EXTERNAL)
            ledger.transfer(asset, *pair, abs(atoms))
        for market, (lots, price) in portfolio.positions.items():
            ledger.open_positions(market, [account, OTHER], [lots, -lots], price)
    for _ in TERMS:
        books.add_market()
    arrays = (
        RULES.collateral_arrays(ASSETS),
        RULES.borrow_arrays(ASSETS),
        RULES.bracket_arrays(NAMES),
    )
    tables = [(tiers[0], np.column_stack(tiers[1:])) for tiers in arrays]
    risk = Risk(ledger, *tables, RULES.account.negative_multiplier, 1.2)
    quote = [terms.quote for terms in TERMS]
    risk.set_prices(at.index, at.lot * at.index[quote], at.lot)
    return books, ledger, risk


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


def gross(ledger: Ledger, account: int, at: Prices) -> float:
    """All terms of the sums without their signs: what rounding is relative to."""
    total = 1.0
    for row in ledger.balances_of(account):
        atoms = abs(row["amount"]) + row["incoming"] + row["hold"]
        total += atoms * at.index[row["asset"]]
    for row in ledger.positions_of(account):
        worth = abs(row["lots"]) * at.lot[row["market"]] + abs(row["cost"])
        total += worth * at.index[TERMS[row["market"]].quote]
    return float(total)


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
        assert {name: columns[name][account] for name in VALUATION} == one
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


FLAT = Prices(np.ones(len(ASSETS)), np.zeros(len(TERMS)))


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


# -- THE GATE


def judged(
    ledger: Ledger, account: int, at: Prices, order: tuple[int, Side, int, int] | None
) -> tuple[float, float]:
    """Adjusted equity and maintenance margin if all orders, and this one, filled."""
    after = {int(r["asset"]): r for r in ledger.balances_of(account)}
    net = {a: float(r["amount"] + r["incoming"] - r["hold"]) for a, r in after.items()}
    lots = {int(r["market"]): r for r in ledger.positions_of(account)}
    open_lots = {
        m: [float(r["lots"]), float(r["open_buy"]), float(r["open_sell"])]
        for m, r in lots.items()
    }
    loss = 0.0
    for market, row in lots.items():
        quote = TERMS[market].quote
        net[quote] = (
            net.get(quote, 0.0)
            + float(row["lots"]) * at.lot[market]
            - float(row["cost"])
        )
    if order is not None:
        market, side, qty, price = order
        base, quote, perpetual = TERMS[market][:3]
        sign = 1 if side == BUY else -1
        if perpetual:
            held = open_lots.setdefault(market, [0.0, 0.0, 0.0])
            held[1 + side] += qty
            worse = sign * (price * 2 - at.lot[market]) * qty
            loss = max(0.0, worse) * at.index[quote]
        else:
            net[base] = net.get(base, 0.0) + sign * qty * 4
            net[quote] = net.get(quote, 0.0) - sign * qty * price * 2
    adjusted, maintenance = -loss, 0.0
    for asset, qty in net.items():
        usd = qty * at.index[asset]
        if usd < 0:
            adjusted += usd * RULES.account.negative_multiplier
            maintenance += RULES.borrow_of(ASSETS[asset]).value(-usd)
        else:
            adjusted += RULES.collateral_of(ASSETS[asset]).value(usd)
    for market, (held_lots, buy, sell) in open_lots.items():
        most = max(abs(held_lots + buy), abs(held_lots - sell))
        usd = most * at.lot[market] * at.index[TERMS[market].quote]
        maintenance += RULES.brackets_of(NAMES[market]).value(usd)
    return adjusted, maintenance


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
    """Health of 1.2 with everything filled, or no worse than before; or a reason."""
    books, ledger, risk = make([portfolio], at)
    ledger.gate = risk
    refusals = 0
    for market, side, qty, price in sent:
        before = judged(ledger, ALICE, at, None)
        after = judged(ledger, ALICE, at, (market, side, qty, price))
        scale = gross(ledger, ALICE, at) + qty * price * 50 * 8
        margins = [ratio(*after) - 1.2, ratio(*before) - 1.2]
        close = any(abs(m) * max(1.0, after[1]) < 1e-7 * scale for m in margins)
        worse = after[0] < before[0] or after[1] > before[1]
        slack = 1e-6 * scale
        if close or (
            worse and abs(after[0] - before[0]) + after[1] - before[1] < slack
        ):
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
    assert books.limit(0, ALICE, BUY, 1, 1) > 0  # bitcoin for 2, worth 4: health 1.3
    assert books.limit(0, ALICE, BUY, 4, 1) == -Reason.INSUFFICIENT_MARGIN


def test_reduce_only_and_forced_orders_are_not_asked_for_margin() -> None:
    """Nor are those of the venue's own accounts."""
    books, _, risk = levered(1)
    assert books.limit(2, ALICE, SELL, 1, 500, flags=Flag.REDUCE_ONLY) > 0
    assert books.limit(2, ALICE, BUY, 1, 9, flags=Flag.LIQUIDATION) > 0
    assert books.limit(0, INSURANCE, BUY, 1, 9) > 0
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
    books.limit(2, INSURANCE, SELL, 10, 100)
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
    books.limit(0, INSURANCE, SELL, 2**21, 10)
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
    books.limit(0, INSURANCE, SELL, 2, 200)
    # At 4 atoms of a dollar each a lot: 250 lots leave 0 and 1,000 of collateral.
    assert books.market(0, ALICE, BUY, 2_000) == -Reason.INSUFFICIENT_MARGIN
    assert books.market(0, ALICE, BUY, 200, protection=2) > 0
    assert ledger.balance(ALICE, BTC) == 800
