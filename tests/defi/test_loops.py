"""Loops and loans: their vectors, their unwinding, and the cascade around a pool."""

import pytest
from defi_vectors import vector
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.constant_product import ConstantProduct
from flashwick.engine.defi.liquidators import (
    BookRoute,
    PoolRoute,
    bad_debt_above,
    improves_health,
    largest_paying,
)
from flashwick.engine.defi.loops import (
    Cascade,
    Cohort,
    Loop,
    LoopState,
    double_leverage,
    illusion,
    sold_to_cure,
    unwind_flash,
    unwind_rounds,
)
from flashwick.engine.defi.pools import depth
from flashwick.engine.defi.protocol import Refused
from flashwick.engine.defi.stableswap import StableSwap

UNIT = 10**6
MILLION = 10**6 * UNIT


def stable(amplification=200, fee=0, exact=True) -> StableSwap:
    """A pool of 50 million on each side."""
    pool = StableSwap.empty(
        "pool",
        ("base", "quote"),
        amplification=amplification,
        fee=fee,
        admin_fee=0,
        exact=exact,
    )
    return pool.add("lp", {"base": 50 * MILLION, "quote": 50 * MILLION})[0]


def article(rounds: int) -> LoopState:
    """The loop of the source article after some rounds."""
    return Loop(equity=100_000, ltv=0.8, rounds=rounds).state()


# -- Vectors


def test_vector_loop_table():
    """Nine rows of the article's table, and its limit."""
    row = vector("loop-table")
    given_ = row["inputs"]
    for line in row["expected"]["rows"]:
        loop = Loop(equity=given_["E0"], ltv=given_["L"], rounds=line["n"])
        state = loop.state()
        drop = state.liquidation_drop(given_["LT"])
        found = {
            "collateral": state.collateral,
            "debt": state.debt,
            "equity": state.equity,
            "leverage": state.leverage,
            "ltv": state.ltv,
            "liq_drop_lt85": drop if line["n"] else None,
            "wipe_drop": state.wipe_out_drop if line["n"] else None,
            "eq_loss_at_25pct": state.equity_lost(0.25),
        }
        for name, value in found.items():
            wanted = line[name]
            assert (value is None) == (wanted is None)
            assert value is None or value == pytest.approx(wanted, rel=1e-9)
    limit = Loop(equity=given_["E0"], ltv=given_["L"], rounds=0).limit()
    assert limit.collateral == pytest.approx(row["expected"]["limit"]["collateral"])
    assert limit.debt == pytest.approx(row["expected"]["limit"]["debt"])
    assert limit.leverage == pytest.approx(row["expected"]["limit"]["leverage"])


def test_vector_loop_article_check():
    """What the article rounds off: 27.1 %, not 25; five loops, not five deposits."""
    expected = vector("loop-article-check")["expected"]
    five = article(5)
    close = {"rel": 1e-9}
    assert five.collateral == pytest.approx(expected["total_after_5"], **close)
    four = article(4).collateral
    assert four == pytest.approx(expected["total_if_5_deposits"], **close)
    drop = five.wipe_out_drop
    assert drop == pytest.approx(expected["wipe_drop_exact"], **close)
    lost = five.equity_lost(0.25)
    assert lost == pytest.approx(expected["equity_lost_at_25pct_drop"], **close)
    leverage = expected["leverage_for_exact_25pct"]
    assert 1.0 / leverage == 0.25
    bonus = expected["bonus_that_makes_25pct_exact"]
    assert five.bad_debt_drop(bonus) == pytest.approx(0.25, **close)
    loop = Loop(equity=1.0, ltv=0.8, rounds=0)
    assert loop.rounds_for(leverage) == expected["loops_needed_for_4x"]


def test_vector_loop_apy():
    """The borrowing rates at which a loop earns what the article says."""
    row = vector("loop-apy")
    state = article(5)
    assert state.leverage == pytest.approx(row["inputs"]["lev"], rel=1e-12)
    for case in row["expected"]["cases"]:
        rate = state.rate_for(case["y"], case["net"])
        assert rate == pytest.approx(case["r"], rel=1e-12)
        assert state.net_yield(case["y"], rate) == pytest.approx(case["net"], rel=1e-12)


@pytest.mark.parametrize("exact", [True, False])
def test_vector_pool_depth(exact):
    """What 50 million on each side take until a price, by amplification."""
    expected = vector("pool-depth")["expected"]
    for amplification, rows in expected["stableswap"].items():
        pool = stable(int(amplification), exact=exact)
        for price, sold in rows.items():
            found = depth(pool, "base", "quote", float(price)) / UNIT
            assert found == pytest.approx(sold, rel=1e-6)


def test_vector_pool_depth_of_a_constant_product():
    """The same depths are two hundred times smaller without amplification."""
    pool = ConstantProduct.empty("pool", ("base", "quote"), fee_ppm=0)
    pool, _ = pool.add("lp", {"base": 50 * MILLION, "quote": 50 * MILLION})
    for price, sold in vector("pool-depth")["expected"]["cpmm"].items():
        found = depth(pool, "base", "quote", float(price)) / UNIT
        assert found == pytest.approx(sold, rel=1e-6)


def test_vector_deusd_amm():
    """How many pool sides make 0.40, 0.03 and 0.015: the prints of deUSD."""
    row = vector("deusd-amm")
    pool = stable(row["inputs"]["A"])
    for price, sides in row["expected"]["multiples"].items():
        found = depth(pool, "base", "quote", float(price)) / (50 * MILLION)
        assert found == pytest.approx(sides, rel=1e-6)


CASES = range(15)


@pytest.mark.parametrize("case", CASES)
def test_vector_loop_cascade(case):
    """Twenty cohorts around a pool, under three oracles and five shocks."""
    row = vector("loop-cascade")
    expected = row["expected"]["cases"][case]
    given_ = row["inputs"]
    cohorts = tuple(
        Cohort(collateral=round(c * UNIT), debt=round(d * UNIT))
        for c, d in given_["cohorts"]
    )
    start = Cascade(
        pool=stable(given_["A"], fee=round(given_["fee"] * 10**10), exact=False),
        give="base",
        get="quote",
        cohorts=cohorts,
        threshold=0.92,
        bonus=0.02,
        oracle=expected["oracle"],
        floor=expected["floor"] or 0.0,
    )
    end = start.shocked(round(expected["shock"] * UNIT)).run()
    assert end.rounds == expected["rounds"]
    found = {
        "price": end.price,
        "liquidated": end.liquidated / UNIT,
        "realised_bad_debt": end.bad_debt / UNIT,
        "unrealised_shortfall_at_pool_price": end.shortfall / UNIT,
        "remaining_collateral": sum(row.collateral for row in end.cohorts) / UNIT,
        "remaining_debt": sum(row.debt for row in end.cohorts) / UNIT,
    }
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name


def test_vector_toxic():
    """Below LT·(1 + b) a liquidation makes the position worse."""
    row = vector("toxic")
    given_, expected = row["inputs"], row["expected"]
    threshold, bonus = given_["LT"], given_["bonus"]
    assert improves_health(threshold, bonus) == pytest.approx(
        expected["hf_threshold"], rel=1e-12
    )
    assert bad_debt_above(bonus) == pytest.approx(expected["ltv_threshold"], rel=1e-12)
    example = expected["example"]
    before = example["C"] * threshold / example["D"]
    left = example["C"] - example["x"] * (1.0 + bonus)
    after = left * threshold / (example["D"] - example["x"])
    assert before == pytest.approx(example["hf_before"], rel=1e-12)
    assert after == pytest.approx(example["hf_after"], rel=1e-12)
    assert before < improves_health(threshold, bonus)
    assert after < before


# -- Loops


@given(
    equity=st.floats(1.0, 1e9),
    ltv=st.floats(0.05, 0.95),
    rounds=st.integers(0, 40),
    cost=st.floats(0.0, 0.05),
)
@settings(max_examples=100)
def test_loop_keeps_its_equity_less_the_swaps(equity, ltv, rounds, cost):
    """C − D is what was brought less what every swap cost; leverage has its limit."""
    loop = Loop(equity=equity, ltv=ltv, rounds=rounds, cost=cost)
    state = loop.state()
    q = ltv * (1.0 - cost)
    closed = equity * (1.0 - q ** (rounds + 1)) / (1.0 - q)
    assert state.collateral == pytest.approx(closed, rel=1e-9)
    assert state.equity == pytest.approx(equity - cost * state.debt, rel=1e-9)
    more = Loop(equity=equity, ltv=ltv, rounds=rounds + 1, cost=cost).state()
    assert more.collateral >= state.collateral
    if cost == 0.0:
        assert state.leverage <= 1.0 / (1.0 - ltv) * (1 + 1e-9)


UNWINDS = [
    (5, 0.996, 0.997),
    (15, 0.969, 0.939),
    (17, 0.926, 0.751),
    (18, 0.799, 0.304),
]


@pytest.mark.parametrize(("equity", "recovered", "price"), UNWINDS)
def test_unwinding_through_one_pool_is_a_cliff(equity, recovered, price):
    """What loopers of five rounds get back by a flash loan, as more of them leave."""
    state = Loop(equity=equity * MILLION, ltv=0.8, rounds=5).state()
    out = unwind_flash(
        stable(fee=10**6), "base", "quote", int(state.collateral), int(state.debt)
    )
    assert out.collateral / (equity * MILLION) == pytest.approx(recovered, abs=1e-3)
    assert out.pool.price("base", "quote") == pytest.approx(price, abs=1e-3)


def test_unwinding_beyond_the_pool_is_refused():
    """18.5 million of equity owe more than the whole pool can pay."""
    state = Loop(equity=18.5 * MILLION, ltv=0.8, rounds=5).state()
    with pytest.raises(Refused, match=r"'collateral' must be at least the \d+ that"):
        unwind_flash(
            stable(fee=10**6), "base", "quote", int(state.collateral), int(state.debt)
        )


@given(equity=st.integers(1, 16), rounds=st.integers(1, 8))
@settings(max_examples=30)
def test_unwinding_by_rounds_recovers_at_most_what_a_flash_loan_does(equity, rounds):
    """Without fees; and what was sold lies in the pool, to the atom."""
    state = Loop(equity=equity * MILLION, ltv=0.8, rounds=rounds).state()
    collateral, debt = int(state.collateral), int(state.debt)
    pool = stable()
    try:
        flash = unwind_flash(pool, "base", "quote", collateral, debt)
    except Refused:
        assume(False)
    slow = unwind_rounds(pool, "base", "quote", collateral, debt, threshold=0.85)
    assert slow.debt == 0
    assert slow.collateral <= flash.collateral + 1
    sold = collateral - slow.collateral
    assert slow.pool.reserves[0] == pool.reserves[0] + sold


def test_four_rounds_unwind_the_loop_of_the_article():
    """At 73 % and a threshold of 85 the free collateral repays all in four rounds."""
    state = Loop(equity=MILLION, ltv=0.8, rounds=5).state()
    out = unwind_rounds(
        stable(),
        "base",
        "quote",
        int(state.collateral),
        int(state.debt),
        threshold=0.85,
    )
    assert (out.rounds, out.debt) == (4, 0)


def test_loop_at_the_threshold_cannot_unwind_by_rounds():
    """With nothing free there is nothing to sell: the debt stays."""
    out = unwind_rounds(
        stable(), "base", "quote", 10**9, 85 * 10**7, threshold=0.85, price=0.99
    )
    assert (out.rounds, out.debt) == (0, 85 * 10**7)


def test_deposits_of_a_loop_are_mostly_the_same_money():
    """Five rounds show 3.7 times what was brought; lenders' deposits dilute that."""
    alone = illusion([article(5)])
    assert alone.multiple == pytest.approx(3.68928)
    assert alone.recursive_share == pytest.approx(0.729, abs=5e-4)
    assert illusion([article(5)], lenders=268_928).multiple < 2.0


def test_loop_on_a_loan_multiplies_both():
    """Alts fall by a quarter: a need of 15 sells 55.3 of the looped coin."""
    assert double_leverage(0.6, article(5).leverage) == pytest.approx(3.2136, abs=1e-4)
    need = 60.0 - 0.6 * 75.0
    assert sold_to_cure(need, article(5).leverage) == pytest.approx(55.3, abs=0.05)


# -- Liquidators


@given(
    debt=st.integers(1, 40 * MILLION),
    bonus=st.floats(0.0, 0.1),
    cost=st.integers(0, 10**10),
)
@settings(max_examples=60)
def test_liquidator_never_pays_on_top(debt, bonus, cost):
    """What is taken pays for itself; an atom more would not, or is not there."""
    route = PoolRoute(stable(fee=10**6), "base", "quote")

    def profit(repaid):
        return route.proceeds(int(repaid * (1.0 + bonus))) - repaid

    repaid = largest_paying(debt, profit, cost=cost)
    if repaid == 0:
        assert profit(debt) < cost
        return
    assert profit(repaid) >= cost
    assert repaid == debt or profit(repaid + 1) < cost


def test_book_pays_down_its_bids():
    """A sale beyond the bids brings what they hold, and no more."""
    route = BookRoute(((1.0, 100), (0.9, 100)), keep=0.99)
    assert route.proceeds(150) == int((100 + 45) * 0.99)
    assert route.proceeds(10**9) == int(190 * 0.99)
    assert largest_paying(100, lambda q: route.proceeds(q) - q) == 0
    with pytest.raises(Refused, match="'keep' must"):
        BookRoute((), keep=1.1)


def test_cascade_conserves_collateral_and_debt():
    """What is not with the cohorts was sold into the pool; debts are paid or bad."""
    cohorts = tuple(
        Cohort(collateral=5 * MILLION, debt=d * MILLION // 100) for d in (400, 451)
    )
    start = Cascade(
        pool=stable(fee=10**6),
        give="base",
        get="quote",
        cohorts=cohorts,
        threshold=0.92,
        bonus=0.02,
    ).shocked(35 * MILLION)
    end = start.run()
    held = sum(row.collateral for row in end.cohorts)
    assert held + end.liquidated == 10 * MILLION
    assert end.pool.reserves[0] == start.pool.reserves[0] + end.liquidated
    with pytest.raises(Refused, match="'oracle' must be one of spot, peg"):
        Cascade(
            pool=stable(),
            give="base",
            get="quote",
            cohorts=(),
            threshold=0.9,
            bonus=0.0,
            oracle="sport",
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: Loop(equity=0.0, ltv=0.8, rounds=1),
        lambda: Loop(equity=1.0, ltv=1.0, rounds=1),
        lambda: Loop(equity=1.0, ltv=0.8, rounds=-1),
        lambda: Loop(equity=1.0, ltv=0.8, rounds=1).rounds_for(5.0),
        lambda: illusion([], 0.0),
        lambda: unwind_rounds(stable(), "base", "quote", 5, 4, threshold=1.0),
        lambda: double_leverage(1.0, 2.0),
        lambda: sold_to_cure(1.0, 0.5),
    ],
)
def test_wrong_loop_or_loan_is_refused(make):
    """A loan-to-value of 1, a leverage beyond the limit, more than is owed."""
    with pytest.raises(Refused, match="must"):
        make()
