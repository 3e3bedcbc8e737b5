"""Liquidation prices, maps, concentration and what-ifs, over whole exchanges."""

from math import isclose

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from flashwick.cython_ext.ledger import EXTERNAL
from flashwick.engine.desk import Sides
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import OrderError, limit
from flashwick.margin.desk import Direction
from flashwick.margin.rules import Rules

RULES = Rules.build(
    "binance-pm",
    {
        "collateral": {
            "BTC": [[0, 0.95], [60_000, 0.8], [250_000, 0.5]],
            "ATOM": [[0, 0.9], [40_000, 0.3]],
        },
        "borrow": {"default": 0.08, "BTC": [[0, 0.03], [50_000, 0.06], [200_000, 0.2]]},
        "brackets": {
            "BTCUSDT": [[0, 0.01], [80_000, 0.03], [300_000, 0.2]],
            "ATOMUSDT": [[0, 0.02], [25_000, 0.15]],
        },
    },
)
CURVED = RULES.changed(
    {
        "collateral": {
            "BTC": {"coins": [[0, 0.95], [1.5, 0.8], [5, 0.3]]},
            "ATOM": {"weight": 0.9, "imf": 0.003},
        },
        "liability": {"BTC": {"least": 1.0, "base": 0.9, "imf": 0.1}},
        "borrow": {"default": {"base": 0.03, "slope": 1e-6}},
        "borrow_initial": {"default": {"base": 0.03, "slope": 1e-6}},
        "brackets": {"ATOMUSDT": {"least": 0.02, "base": 0.0, "imf": 0.0004}},
    }
)
"""Coins, square roots and slopes where the others have dollars and tiers."""

MARKETS = ("BTC/USDT", "ATOM/USDT", "BTC/USDT:PERP", "ATOM/USDT:PERP")
PRICES = {"BTC": 50_000.0, "ATOM": 4.0}
HOLDS = {"USDT": 1.0, "BTC": 50_000.0, "ATOM": 4.0}


def venue(rules: Rules = RULES) -> Exchange:
    """Two coins, their spot books and perpetuals, no fees paid by anyone yet."""
    exchange = Exchange(MARKETS, rules)
    exchange.reprice(PRICES)
    return exchange


def opened(
    exchange: Exchange, usd: dict[str, float], perpetuals: dict[str, float]
) -> int:
    """An account with holdings and positions of so many US dollars; below 0 owed."""
    account, rest = exchange.open_account(), exchange.open_account({"USDT": 10**8})
    for asset, worth in usd.items():
        number = exchange.asset_number[asset]
        atoms = int(abs(worth) / HOLDS[asset] / exchange.atom[number])
        pair = (EXTERNAL, account) if worth >= 0 else (account, EXTERNAL)
        exchange.ledger.transfer(number, *pair, atoms)
    for market, worth in perpetuals.items():
        number = exchange.market_number[market]
        mark = float(exchange.mark[number])
        lots = int(worth / mark / exchange.lot[number])
        exchange.ledger.open_positions(
            number, [account, rest], [lots, -lots], round(mark / exchange.tick[number])
        )
    return account


def health_at(exchange: Exchange, account: int, way: Direction, move: float) -> float:
    """The account's health with prices moved, by the risk pass itself."""
    then = exchange.desk._prices().moved(way, move)
    now = exchange.prices.risk_prices()
    exchange.risk.set_prices(then.atom, then.lot, then.lot_quote)
    health = exchange.risk.account(account)["health"]
    exchange.risk.set_prices(*now)
    return health


worths = st.floats(-300_000, 300_000).map(lambda usd: round(usd, 2))
weights = st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0, 2.0])


@settings(max_examples=120)
@given(
    usd=st.fixed_dictionaries(dict.fromkeys(HOLDS, worths)),
    perpetuals=st.fixed_dictionaries(
        {"BTC/USDT:PERP": worths, "ATOM/USDT:PERP": worths}
    ),
    direction=st.fixed_dictionaries({"BTC": weights, "ATOM": weights, "USDT": weights}),
    level=st.sampled_from([0.0, 1.0, 1.05, 1.5]),
    rules=st.sampled_from([RULES, CURVED]),
)
@example(
    usd={"USDT": 10_000.0, "BTC": 0.0, "ATOM": 0.0},
    perpetuals={"BTC/USDT:PERP": 40_000.0, "ATOM/USDT:PERP": -30_000.0},
    direction={"BTC": 1.0, "ATOM": 1.0, "USDT": 0.0},
    level=1.05,
    rules=RULES,
)
def test_health_at_a_liquidation_move_is_the_level_and_before_it_above(
    usd: dict[str, float],
    perpetuals: dict[str, float],
    direction: dict[str, float],
    level: float,
    rules: Rules,
) -> None:
    """Several collaterals, debts, positions, tiers: no move of a grid is nearer."""
    assume(any(direction.values()))
    exchange = venue(rules)
    account = opened(exchange, usd, perpetuals)
    before = exchange.account(account)
    found = exchange.desk.liquidation_move(account, direction, level)
    way = exchange.desk._direction(direction)
    assert exchange.account(account) == before
    if before.health <= level:
        assert found == Sides(0.0, 0.0)
        return
    for side, move in ((-1, found.below), (1, found.above)):
        end = way.reach(side, exchange.quote)
        if move is not None:
            end = move
            assert side * move > 0.0
            assert health_at(exchange, account, way, move) <= level
        # Not the end itself, which a rounding may decide.
        grid = end * np.linspace(0.0, 1.0, 200, endpoint=False)[1:]
        nearest = [end * (1.0 - 1e-9)] if move is not None else []
        for nearer in [*grid.tolist(), *nearest]:
            assert health_at(exchange, account, way, nearer) > level


def test_liquidation_price_of_one_position_is_the_venues_formula() -> None:
    """A long of 1 BTC on 10,000 dollars: equity less margin is zero at the price."""
    exchange = venue()
    account = opened(exchange, {"USDT": 10_000.0}, {"BTC/USDT:PERP": 50_000.0})
    found = exchange.desk.liquidation_price(account, "BTC/USDT:PERP")
    # 10,000 + p - 50,000 = 1.05 * 0.01 * p
    assert found.below == pytest.approx(40_000.0 / (1.0 - 0.0105), rel=1e-12)
    assert found.above is None
    assert exchange.desk.liquidation_price(account, "BTC") == found


def test_position_hedged_by_its_own_coin_is_liquidated_on_neither_side() -> None:
    """A short against the coin itself: far up, the haircut of the coin decides."""
    rules = RULES.changed({"collateral": {"BTC": 1.0}, "brackets": {"BTCUSDT": 0.01}})
    exchange = venue(rules)
    account = opened(exchange, {"BTC": 50_000.0}, {"BTC/USDT:PERP": -45_000.0})
    assert exchange.desk.liquidation_price(account, "BTC") == (None, None)
    alone = exchange.desk.liquidation_price(account, "BTC/USDT:PERP")
    assert alone.below is None
    assert alone.above is not None
    assert alone.above > 100_000.0


def test_open_orders_count_as_they_do_for_health() -> None:
    """An order that would buy a coin of little collateral brings the price nearer."""
    exchange = venue()
    account = opened(exchange, {"USDT": 30_000.0}, {"BTC/USDT:PERP": 100_000.0})
    before = exchange.desk.liquidation_price(account, "BTC/USDT:PERP").below
    placed = exchange.submit(limit(account, "ATOM/USDT", "buy", price=4, qty=4_000))
    assert placed.accepted
    after = exchange.desk.liquidation_price(account, "BTC/USDT:PERP").below
    assert before is not None
    assert after is not None
    assert after > before
    way = exchange.desk._direction({"BTC/USDT:PERP": 1.0})
    health = health_at(exchange, account, way, after / 50_000.0 - 1.0)
    assert health == pytest.approx(1.05)


def test_liquidation_prices_name_everything_held_but_dollars() -> None:
    """Coins by index, positions by mark."""
    exchange = venue()
    account = opened(
        exchange,
        {"USDT": -20_000.0, "BTC": 50_000.0},
        {"ATOM/USDT:PERP": 10_000.0},
    )
    found = exchange.desk.liquidation_prices(account)
    assert list(found) == ["BTC", "ATOM/USDT:PERP"]
    assert found["BTC"].below is not None
    assert found["BTC"].below < 50_000.0


# -- MAPS


@settings(max_examples=30)
@given(
    st.lists(st.tuples(worths.map(abs), worths, worths), min_size=1, max_size=8),
    st.lists(st.floats(-0.95, 3.0), min_size=1, max_size=6),
)
def test_liquidation_map_agrees_with_the_liquidation_move_of_each_account(
    people: list[tuple[float, float, float]], moves: list[float]
) -> None:
    """Counts, positions and coins of the accounts that a move has brought to it."""
    exchange = venue()
    accounts = [
        opened(
            exchange,
            {"USDT": usd, "BTC": 5_000.0},
            {"BTC/USDT:PERP": size, "ATOM/USDT:PERP": other},
        )
        for usd, size, other in people
    ]
    others = [a + 1 for a in accounts]
    direction = {"BTC": 1.0, "ATOM": 0.5}
    found = exchange.desk.liquidation_map(moves, direction)
    assert found.moves.tolist() == sorted(set(moves))
    nearest = {
        a: exchange.desk.liquidation_move(a, direction) for a in (*accounts, *others)
    }
    for i, move in enumerate(found.moves.tolist()):
        fallen = []
        for account, sides in nearest.items():
            side = sides.below if move < 0 else sides.above
            passed = [m for m in moves if m * move >= 0 and abs(m) <= abs(move)]
            way = exchange.desk._direction(direction)
            low = [health_at(exchange, account, way, m) <= 1.05 for m in passed]
            if any(low):
                assert side is not None
                assert abs(side) <= abs(move) * (1 + 1e-12)
                fallen.append(account)
        assert found.accounts[i] == len(fallen)
        lots = sum(
            abs(exchange.ledger.open_position(a, 2)[0]) * exchange.lot[2]
            for a in fallen
        )
        assert found.positions[i, 0] == pytest.approx(lots * 50_000.0 * (1 + move))
        coins = sum(exchange.account(a).balances.get("BTC", 0.0) for a in fallen)
        assert found.coins[i, 0] == pytest.approx(coins * 50_000.0 * (1 + move))


def test_maps_are_of_each_coin_and_of_all_together() -> None:
    """Dollars do not move; the total is positions and coins."""
    exchange = venue()
    opened(exchange, {"USDT": 6_000.0}, {"BTC/USDT:PERP": 50_000.0})
    maps = exchange.desk.liquidation_maps([-0.2, -0.05])
    assert list(maps) == ["BTC", "ATOM", "*"]
    assert maps["BTC"].accounts.tolist() == [1, 0]
    assert maps["ATOM"].accounts.tolist() == [0, 0]
    assert maps["*"].total.tolist() == pytest.approx([40_000.0, 0.0])
    assert maps["*"].what == "all assets"


def test_figure_of_maps_says_how_much_and_of_what() -> None:
    """A line for each map, in percent; none where nothing falls."""
    exchange = venue()
    opened(exchange, {"USDT": 6_000.0}, {"BTC/USDT:PERP": 50_000.0})
    maps = exchange.desk.liquidation_maps([-0.2, -0.05])
    figure = exchange.desk.figure(*maps.values())
    assert [trace.name for trace in figure.data] == ["BTC", "ATOM", "all assets"]
    assert figure.data[0].x.tolist() == pytest.approx([-20.0, -5.0])
    title = "USD 40.0 k to liquidate with BTC at -20%"
    assert figure.layout.title.text == title
    calm = exchange.desk.figure(maps["ATOM"])
    assert calm.layout.title.text == "No account would be liquidated"


# -- CONCENTRATION


def test_concentration_is_of_owners_not_of_their_sub_accounts() -> None:
    """Shares, Herfindahl index and the largest holders, the largest asset first."""
    exchange = venue()
    whale = exchange.open_account({"BTC": 6})
    sub = exchange.open_account({"BTC": 2}, parent=whale)
    fish = exchange.open_account({"BTC": 2, "ATOM": 1_000})
    debtor = exchange.open_account({"USDT": 20_000})
    exchange.ledger.transfer(exchange.asset_number["ATOM"], debtor, EXTERNAL, 10**11)
    found = exchange.desk.concentration(top=1)
    assert [row.asset for row in found] == ["BTC", "USDT", "ATOM"]
    first = found[0]
    assert first.usd == pytest.approx(500_000.0)
    assert first.share == pytest.approx(500.0 / 524.0)
    assert first.holders == 2
    assert first.herfindahl == pytest.approx(0.8**2 + 0.2**2)
    assert first.top == {whale: 0.8}
    assert found[2].top == {fish: 1.0}
    assert sub not in first.top
    assert found[1].top == {debtor: 1.0}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 5))
def test_largest_holders_are_in_order_ties_by_number(
    coins: list[int], top: int
) -> None:
    """As sorting all of them gives; shares sum to at most one."""
    exchange = venue()
    for amount in coins:
        exchange.open_account({"BTC": amount})
    rows = [row for row in exchange.desk.concentration(top) if row.asset == "BTC"]
    holders = [(-c, 5 + i) for i, c in enumerate(coins) if c]
    if not holders:
        assert rows == []
        return
    expected = [account for _, account in sorted(holders)[:top]]
    assert list(rows[0].top) == expected
    assert isclose(
        rows[0].herfindahl, sum((c / sum(coins)) ** 2 for c in coins), rel_tol=1e-12
    )


# -- A CHANGE OF RULES


def test_effect_of_a_haircut_is_what_its_change_then_does() -> None:
    """Who would breach, be warned, lose; the venue's own rules stay what they are."""
    exchange = venue()
    opened(exchange, {"BTC": 50_000.0, "USDT": -43_000.0}, {})
    calm = opened(exchange, {"USDT": 50_000.0}, {})
    thin = opened(exchange, {"BTC": 50_000.0, "USDT": -41_500.0}, {})
    change = {"collateral": {"BTC": [[0, 0.9]]}}
    found = exchange.desk.effect(change)
    other = venue(RULES.changed(change))
    twins = [
        opened(other, {"BTC": 50_000.0, "USDT": usd}, {})
        for usd in (-43_000.0, -41_500.0)
    ]
    healths = [other.account(twin).health for twin in twins]
    assert found.health[thin - 4] == pytest.approx(healths[0])
    assert found.lost_usd == pytest.approx(2 * 50_000.0 * 0.05)
    assert found.lost[calm] == 0.0
    assert found.breached.tolist() == [5]
    assert found.warned.tolist() == []
    assert found.reduce_only.tolist() == [thin]
    assert exchange.rules is RULES
    assert exchange.account(thin).health > 1.2


# -- WHAT IS REFUSED


@pytest.mark.parametrize(
    ("direction", "text"),
    [
        ({"BTCC": 1.0}, "'BTCC' is not an asset or perpetual here; did you mean 'BTC'"),
        ({"BTC/USDT": 1.0}, "'BTC/USDT' is not an asset or perpetual here"),
        ({"BTC": float("nan")}, "BTC: the weight must be a number .got nan"),
        ({"BTC": True}, "BTC: the weight must be a number .got True"),
        ({"BTC": 0.0}, "'direction' must move something"),
        ({}, "'direction' must move something"),
    ],
)
def test_wrong_direction_is_refused(direction: dict[str, float], text: str) -> None:
    """With the word that was meant."""
    exchange = venue()
    account = exchange.open_account({"BTC": 1})
    with pytest.raises(OrderError, match=text):
        exchange.desk.liquidation_move(account, direction)


def test_wrong_questions_are_refused() -> None:
    """Accounts that are not there, moves below nothing, a top of nobody."""
    desk = venue().desk
    with pytest.raises(OrderError, match="account 9 is not open here"):
        desk.liquidation_price(9, "BTC")
    for moves in ([-1.5], [float("nan")], []):
        with pytest.raises(OrderError, match="'moves' must be numbers from -1 to"):
            desk.liquidation_map(moves)
    with pytest.raises(OrderError, match="'top' must be a whole number"):
        desk.concentration(0)


@pytest.mark.parametrize("level", [-1.0, float("nan"), float("inf")])
def test_wrong_level_is_refused(level: float) -> None:
    """A health from 0."""
    exchange = venue()
    account = exchange.open_account({"BTC": 1})
    with pytest.raises(OrderError, match="'level' must be a number, at least 0"):
        exchange.desk.liquidation_move(account, {"BTC": 1.0}, level)
