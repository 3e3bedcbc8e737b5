"""Lending vectors of defi.json, through the markets' public methods."""

import pytest
from defi_vectors import vector

from flashwick.engine.defi.adaptive_curve import AdaptiveCurve, per_second
from flashwick.engine.defi.isolated import IsolatedMarket, Terms, incentive
from flashwick.engine.defi.lending_pool import LendingPool
from flashwick.engine.defi.oracles import Oracle, override_price
from flashwick.engine.defi.protocol import SECOND_NS, Refused
from flashwick.engine.defi.reserves import KinkedCurve, ReserveTerms
from flashwick.margin.feeds import Feed, Last

S = SECOND_NS
LLTV = 915 * 10**15


def test_vector_morpho_xusd():
    """Every total of the market whose oracle stood at 1.26 until it said 0.23."""
    oracle = Oracle(name="xUSD", feed=Feed(Last("xUSD")))
    market = IsolatedMarket.open("market", Terms("USDC", "xUSD", "xUSD", LLTV))
    for step in vector("morpho-xusd")["expected"]["steps"]:
        now = step.get("t", 86_400) * S
        if step.get("revert"):
            with pytest.raises(Refused, match="at most the cash"):
                market.withdraw("S", int(step["assets"]), now)
            continue
        market = after_step(market, step, oracle, now)
        market._check()
        totals = {
            "total_supply_assets": market.supplied,
            "total_supply_shares": market.supply_shares,
            "total_borrow_assets": market.lent,
            "total_borrow_shares": market.borrow_shares,
            "rate_at_target_per_sec": market.at_target,
            "cash": market.cash,
        }
        assert totals == {name: int(step[name]) for name in totals}


def after_step(market, step, oracle, now):
    """The market after a step of the vector."""
    if step["op"].startswith("accrue"):
        return market.accrue(now)
    if step["op"] == "supply":
        return market.supply(step["who"], int(step["assets"]), now)[0]
    if step["op"] == "borrow":
        market, _ = market.add_collateral(step["who"], int(step["collateral"]))
        price = scaled(oracle, float(step["oracle"]))
        return market.borrow(step["who"], int(step["assets"]), price, now)[0]
    if step["op"].startswith("withdraw"):
        return market.withdraw("S", int(step["assets"]), now)[0]
    price, seize = scaled(oracle, 0.23), int(step["seized"])
    market, taken = market.liquidate("bot", "B", price, now, seize=seize)
    assert taken.repaid == int(step["repaid"])
    assert taken.bad_debt == int(step["bad_debt"])
    # The vector has the share price to twelve digits.
    after = market.supplied * 10**24 / market.supply_shares
    assert after == pytest.approx(int(step["share_price_after"]), rel=1e-11)
    return market


def scaled(oracle: Oracle, value: float) -> int:
    """A price to the last digit it is written with, as the contract's feed has it."""
    near = oracle.after({"xUSD": value}, 0)
    price = near.scaled(0, collateral_decimals=18, loan_decimals=18)
    exact = round(value * 100) * 10**34
    # A float is within half a unit of its last place.
    assert price == pytest.approx(exact, rel=2**-52)
    return exact


def test_vector_irm_100pct():
    """With nothing left to lend, 4 % become 800 % in thirty days, and no more."""
    row = vector("irm-100pct")
    curve = AdaptiveCurve(initial=per_second(row["inputs"]["start_target_apr"]))
    target, rates = curve.initial, []
    for _ in range(row["inputs"]["days"]):
        rate = curve.rate(100, 100, target, 86_400)
        target = rate.at_target
        rates.append(rate.mean * 365 * 86_400 / 10**18)
    assert rates == pytest.approx(row["expected"]["apr"], abs=1e-6)
    first = next(day for day, rate in enumerate(rates, 1) if rate > 7.999999)
    assert first == row["expected"]["day_first_at_800pct"]


@pytest.mark.parametrize(
    ("percent", "paid"), [(915, 1.0262), (860, 1.0438), (770, 1.0741)]
)
def test_premium_of_a_liquidation_follows_from_the_lltv(percent, paid):
    """The three values that the specification states."""
    assert incentive(percent * 10**15) / 10**18 == pytest.approx(paid, abs=5e-5)


def test_vector_aave_kink():
    """Both rates at eight utilisations, to the ray."""
    row = vector("aave-kink")
    given = row["inputs"]
    curve = KinkedCurve(
        optimal=given["optimal_bps"],
        base=given["base"],
        slope_1=given["slope1"],
        slope_2=given["slope2"],
    )
    for line in row["expected"]["table"]:
        debt = round(given["total"] * line["u"])
        rates = curve.rates(given["total"] - debt, debt, 0, given["rf"])
        assert list(rates) == list(map(int, line["rates"]))


def aave(borrowed: int) -> LendingPool:
    """The pool of the vector: 100 ETH at 4,000 against a loan of USDC."""
    stable = KinkedCurve(optimal=9_200, slope_1=550, slope_2=4_000)
    ether = KinkedCurve(optimal=8_000, slope_1=270, slope_2=8_000)
    terms = (
        ReserveTerms(
            asset="USDC",
            decimals=6,
            curve=stable,
            ltv=7_500,
            threshold=7_800,
            bonus=450,
            reserve_factor=1_000,
        ),
        ReserveTerms(
            asset="ETH",
            decimals=18,
            curve=ether,
            ltv=8_050,
            threshold=8_300,
            bonus=500,
            reserve_factor=1_500,
        ),
    )
    pool = LendingPool.open("pool", terms)
    pool, _ = pool.supply("alice", "USDC", 10**12, 0)
    pool, _ = pool.supply("bob", "ETH", 100 * 10**18, 0)
    return pool.borrow("bob", "USDC", borrowed * 10**6, prices(4_000), 0)[0]


def prices(ether: int) -> dict[str, int]:
    """Prices with eight digits."""
    return {"ETH": ether * 10**8, "USDC": 10**8}


def test_vector_aave_life():
    """A month of interest, half a liquidation above 0.95, all of the rest below."""
    pool, now, ether = aave(310_000), 0, 4_000
    for step in vector("aave-life")["expected"]["steps"]:
        now = step.get("t", now // S) * S
        if step["op"].startswith("eth="):
            ether = int(step["op"][4:])
        pool = pool.accrue(now)
        if step["op"] == "liquidate_max":
            pool, taken = pool.liquidate(
                "bot", "bob", "ETH", "USDC", None, prices(ether), now
            )
            assert taken.repaid == step["repaid"]
            assert taken.seized == int(step["seized"])
            assert taken.fee == int(step["fee"])
            assert taken.bad_debt == step["bad"]
        pool._check()
        compare(pool, step, ether, now)


def compare(pool: LendingPool, step: dict, ether: int, now: int) -> None:
    """Hold a state of the vector against the pool's."""
    health = pool.health("bob", prices(ether), now)
    assert health.collateral == step["collateral_base"]
    assert health.debt == step["debt_base"]
    factor = step["health_factor"]
    assert health.factor == (None if factor is None else int(factor))
    reserve = pool.reserves["USDC"]
    state = {
        "liquidity_index": reserve.supply_index,
        "borrow_index": reserve.borrow_index,
        "liquidity_rate": reserve.rates.supply,
        "borrow_rate": reserve.rates.borrow,
        "virtual_balance": reserve.cash,
        "deficit": reserve.deficit,
        "treasury_scaled": reserve.treasury,
    }
    assert state == {name: int(step["usdc"][name]) for name in state}


def test_vector_aave_life_gap():
    """Straight to 3,000 the collateral is not enough; lenders still claim it all."""
    gap = vector("aave-life")["expected"]["gap_case"]
    pool = aave(320_000)
    pool, taken = pool.liquidate(
        "bot", "bob", "ETH", "USDC", None, prices(gap["gap_to"]), 0
    )
    assert taken.repaid == gap["result"]["repaid"]
    assert taken.seized == int(gap["result"]["seized"])
    assert taken.fee == int(gap["result"]["fee"])
    assert taken.bad_debt == gap["result"]["bad"]
    reserve = pool.reserves["USDC"]
    assert reserve.deficit == gap["deficit"]
    assert reserve.claim("alice") == gap["alice_claim"]
    assert reserve.cash == gap["virtual_balance"]


def test_override_price_is_where_liquidation_begins():
    """At the price a position is healthy, an atom's worth below it is not."""
    market = IsolatedMarket.open("market", Terms("USDC", "USDX", "vote", LLTV))
    market, _ = market.supply("S", 10**12, 0)
    market, _ = market.add_collateral("B", 10**12)
    market, _ = market.borrow("B", 6 * 10**11, 10**36, 0)
    price = override_price(market.debt("B"), 10**12, LLTV)
    assert market.healthy("B", int(price * 10**36) + 10**24)
    assert not market.healthy("B", int(price * 10**36) - 10**25)
