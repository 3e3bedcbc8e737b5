"""The shared pool: what no sequence of actions may break, and its rules."""

import copy

import attrs
import pytest
from defi_book import booking
from hypothesis import event, given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.fixed_point import RAY, WAD
from flashwick.engine.defi.lending_pool import BASE, LendingPool, Mode
from flashwick.engine.defi.protocol import SECOND_NS, Refused
from flashwick.engine.defi.reserves import KinkedCurve, ReserveTerms

S = SECOND_NS
USERS = ("ann", "bob", "cat")
users = st.sampled_from(USERS)
atoms = st.integers(1, 10**11)
waits = st.sampled_from([0, 1, 3_600, 86_400, 30 * 86_400])
START = 10**13


def shared() -> LendingPool:
    """A pool of three assets, two of them stable, with an efficiency mode."""
    curve = KinkedCurve(optimal=8_000, slope_1=650, slope_2=5_000)

    def terms(asset, ltv, **others):
        return ReserveTerms(
            asset=asset,
            decimals=6,
            curve=curve,
            ltv=ltv,
            threshold=ltv + 300,
            bonus=500,
            **others,
        )

    return LendingPool.open(
        "pool",
        (
            terms("USD", 7_500, supply_cap=10**6),
            terms("USDe", 7_000, borrow_cap=10**5),
            terms("ETH", 8_000),
        ),
        modes={"stable": Mode(8_900, 9_200, 200, ("USDe", "USD"), ("USD",))},
    )


ASSETS = ("USD", "USDe", "ETH")
KINDS = ["supply", "borrow", "withdraw", "repay", "mode", "cover"]
PAIRS = [("ETH", "USD"), ("USDe", "USD"), ("USD", "USDe"), ("ETH", "USDe")]
pool_actions = st.lists(
    st.tuples(
        st.sampled_from([*KINDS, "liquidate", "liquidate", "claim"]),
        users,
        st.sampled_from(PAIRS),
        st.integers(1, 100),
        waits,
        st.integers(20, 120),
    ),
    min_size=5,
    max_size=30,
)
PAR = {"USD": BASE, "USDe": BASE, "ETH": 2_000 * BASE}


def act(pool, row, prices, now):
    """One action on the pool, of so many per cent of what there is for it."""
    kind, who, (asset, other), percent, _, _ = row
    if kind == "supply":
        return pool.supply(who, asset, 10**6 * percent, now)
    if kind == "borrow":
        cash = pool.reserves[other].cash
        return pool.borrow(who, other, cash * percent // 1000, prices, now)
    if kind == "withdraw":
        most = min(pool.reserves[asset].claim(who), pool.reserves[asset].cash)
        return pool.withdraw(who, asset, most * percent // 100, prices, now)
    if kind == "repay":
        part = pool.reserves[other].debt(who) * percent // 100
        return pool.repay(who, other, part, now)
    if kind == "mode":
        mode = "stable" if percent % 2 else None
        return pool.enter_mode(who, mode, prices, now), None
    if kind == "cover":
        part = pool.reserves[other].deficit * percent // 100
        return pool.cover_deficit("cat", other, part, now)
    return pool.liquidate(
        "bot", who, asset, other, None, prices, now, receive_claim=kind == "claim"
    )


def opened(book):
    """Cat has lent half a million; Ann owes against ether, Bob against USDe."""
    steps = [
        lambda p: p.supply("cat", "USD", 5 * 10**11, 0),
        lambda p: p.supply("ann", "ETH", 100 * 10**6, 0),
        lambda p: p.borrow("ann", "USD", 15 * 10**10, PAR, 0),
        lambda p: p.supply("bob", "USDe", 2 * 10**11, 0),
        lambda p: (p.enter_mode("bob", "stable", PAR, 0), None),
        lambda p: p.borrow("bob", "USD", 17 * 10**10, PAR, 0),
    ]
    pool = shared()
    for step in steps:
        pool, done = step(pool)
        if done:
            book.book(done.transfers)
    return pool


def prices_at(level: int) -> dict[str, int]:
    """Ether at so many per cent of 2,000; USDe follows to a tenth of that."""
    near = min(BASE, BASE * (900 + level) // 1000)
    return {"USD": BASE, "USDe": near, "ETH": 20 * BASE * level}


@given(rows=pool_actions)
@settings(max_examples=100)
def test_shared_pool_stays_solvent_and_conserves(rows):
    """Cash, debts and deficit cover every claim; cash is what lies in the ledger."""
    everyone = {who: dict.fromkeys(ASSETS, START) for who in (*USERS, "bot")}
    book = booking(list(ASSETS), everyone | {"pool": {}})
    pool, now = opened(book), 0
    for row in rows:
        now += row[4] * S
        before = copy.deepcopy(pool)
        try:
            after, done = act(pool, row, prices_at(row[5]), now)
        except Refused:
            assert pool == before
            continue
        assert pool == before
        if done is not None:
            book.book(done.transfers)
        after._check()
        for asset, reserve in after.reserves.items():
            assert book.balance("pool", asset) == reserve.cash
            assert reserve.supply_index >= pool.reserves[asset].supply_index
            assert reserve.borrow_index >= pool.reserves[asset].borrow_index
        if row[0] in ("liquidate", "claim"):
            (asset, other), who = row[2], row[1]
            current = pool.accrue(now)
            assert done.seized + done.fee <= current.reserves[asset].claim(who)
            owed = current.reserves[other].debt(who)
            assert after.reserves[other].debt(who) <= owed
            event("bad debt" if done.bad_debt else "liquidation")
        pool = after


@given(rows=pool_actions, who=users)
@settings(max_examples=40)
def test_user_without_debt_can_always_withdraw(rows, who):
    """Up to the claim or the cash, whatever the prices and everybody else did."""
    everyone = {who: dict.fromkeys(ASSETS, START) for who in (*USERS, "bot")}
    pool, now = opened(booking(list(ASSETS), everyone | {"pool": {}})), 0
    for row in rows:
        now += row[4] * S
        try:
            pool, _ = act(pool, row, prices_at(row[5]), now)
        except Refused:
            continue
    pool = pool.accrue(now)
    if any(reserve.debt(who) for reserve in pool.reserves.values()):
        return
    for asset in ASSETS:
        reserve = pool.reserves[asset]
        most = min(reserve.claim(who), reserve.cash)
        if most:
            _, done = pool.withdraw(who, asset, most, {}, now)
            assert done.atoms == most


def lent() -> tuple[LendingPool, dict[str, int]]:
    """Ann supplies dollars, Bob ether against a loan of them."""
    pool = shared()
    prices = {"USD": BASE, "USDe": BASE, "ETH": 2_000 * BASE}
    pool, _ = pool.supply("ann", "USD", 10**11, 0)
    pool, _ = pool.supply("bob", "ETH", 50 * 10**6, 0)
    pool, _ = pool.borrow("bob", "USD", 75 * 10**9, prices, 0)
    return pool, prices


def test_borrowing_asks_the_ltv_and_withdrawing_the_threshold():
    """A loan at the loan-to-value may not grow, but collateral may still leave."""
    pool, prices = lent()
    with pytest.raises(Refused, match="leave debts of at most"):
        pool.borrow("bob", "USD", 6 * 10**9, prices, 0)
    pool, _ = pool.withdraw("bob", "ETH", 4 * 10**6, prices, 0)
    health = pool.health("bob", prices, 0)
    assert health.debt > health.collateral * 8_000 // 10_000
    assert health.safe
    with pytest.raises(Refused, match="health factor of 1"):
        pool.withdraw("bob", "ETH", 2 * 10**6, prices, 0)


def test_close_factor_is_half_of_the_whole_position():
    """Above 0.95 half of all debts may be repaid, even if one asset is less."""
    pool, prices = lent()
    prices = prices | {"ETH": 1_750 * BASE}
    health = pool.health("bob", prices, 0)
    assert 95 * WAD // 100 < (health.factor or 0) < WAD
    _, taken = pool.liquidate("bot", "bob", "ETH", "USD", None, prices, 0)
    assert taken.repaid == 75 * 10**9 // 2
    deep = prices | {"ETH": 1_600 * BASE}
    _, taken = pool.liquidate("bot", "bob", "ETH", "USD", None, deep, 0)
    assert taken.repaid == 75 * 10**9


def test_liquidation_may_leave_no_dust():
    """What is left of debt and collateral is nothing, or a thousand of each."""
    pool, prices = lent()
    deep = prices | {"ETH": 1_600 * BASE}
    with pytest.raises(Refused, match="leave nothing, or 1,000"):
        pool.liquidate("bot", "bob", "ETH", "USD", 75 * 10**9 - 10**8, deep, 0)


def test_seizing_from_a_reserve_without_cash_needs_the_claim():
    """When all ether is lent out, a liquidator gets claims on ether or nothing."""
    pool, prices = lent()
    pool, _ = pool.supply("cat", "USDe", 10**12, 0)
    pool, _ = pool.borrow("cat", "ETH", 50 * 10**6, prices, 0)
    deep = prices | {"ETH": 1_600 * BASE}
    with pytest.raises(Refused, match="'receive_claim' be given"):
        pool.liquidate("bot", "bob", "ETH", "USD", None, deep, 0)
    after, taken = pool.liquidate(
        "bot", "bob", "ETH", "USD", None, deep, 0, receive_claim=True
    )
    assert after.reserves["ETH"].claim("bot") == taken.seized
    assert [move.asset for move in taken.transfers] == ["USD"]


def test_efficiency_mode_changes_the_terms_and_what_may_be_borrowed():
    """89 % instead of 70 % on USDe, for debts in dollars alone."""
    pool, prices = lent()
    pool, _ = pool.supply("cat", "USDe", 10**10, 0)
    with pytest.raises(Refused, match="debts of at most"):
        pool.borrow("cat", "USD", 71 * 10**8, prices, 0)
    pool = pool.enter_mode("cat", "stable", prices, 0)
    pool, _ = pool.borrow("cat", "USD", 8 * 10**9, prices, 0)
    assert pool.health("cat", prices, 0).threshold == 9_200
    with pytest.raises(Refused, match="may be borrowed"):
        pool.borrow("cat", "ETH", 1, prices, 0)
    with pytest.raises(Refused, match="health factor of 1"):
        pool.enter_mode("cat", None, prices, 0)


def test_deficit_lowers_what_suppliers_get_until_it_is_covered():
    """Debt without collateral stays in the reserve; burnt claims take it away."""
    pool, prices = lent()
    gone = prices | {"ETH": 1_000 * BASE}
    after, taken = pool.liquidate("bot", "bob", "ETH", "USD", None, gone, 0)
    deficit = after.reserves["USD"].deficit
    assert taken.bad_debt == {"USD": deficit}
    assert after.reserves["USD"].claim("ann") == 10**11
    with pytest.raises(Refused, match="'atoms' must be at most"):
        after.cover_deficit("ann", "USD", deficit + 1, 0)
    covered, done = after.cover_deficit("ann", "USD", deficit, 0)
    assert done.transfers == ()
    assert covered.reserves["USD"].deficit == 0
    assert covered.reserves["USD"].claim("ann") == 10**11 - deficit


def test_caps_bind_supply_and_loans():
    """A million dollars may be supplied, a hundred thousand USDe borrowed."""
    pool, prices = lent()
    with pytest.raises(Refused, match="leave supply at its cap"):
        pool.supply("cat", "USD", 10**12, 0)
    pool, _ = pool.supply("cat", "USDe", 10**12, 0)
    pool, _ = pool.supply("ann", "ETH", 10**9, 0)
    with pytest.raises(Refused, match="leave loans at their cap"):
        pool.borrow("ann", "USDe", 10**11 + 1, prices, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ltv": 9_000, "threshold": 8_000}, "'ltv' must be from 0 to 'threshold'"),
        ({"threshold": 9_800, "bonus": 500}, "'bonus' must"),
        ({"reserve_factor": 10_001}, "'reserve_factor' must be from 0"),
        ({"supply_cap": -1}, "'supply_cap' must not be below 0"),
    ],
)
def test_terms_of_a_reserve_that_make_no_sense_are_refused(change, said):
    """Loan-to-value above the threshold, a bonus nobody could pay."""
    curve = KinkedCurve(optimal=8_000, slope_1=1, slope_2=2)
    with pytest.raises(Refused, match=said):
        ReserveTerms(asset="USD", decimals=6, curve=curve, **change)


def test_frozen_and_paused_reserves_do_less():
    """Frozen: nothing new. Paused: nothing at all. Grace: no liquidation yet."""
    pool, prices = lent()

    def changed(**flags):
        reserve = pool.reserves["USD"]
        terms = attrs.evolve(reserve.terms, **flags)
        reserves = {**pool.reserves, "USD": attrs.evolve(reserve, terms=terms)}
        return attrs.evolve(pool, reserves=reserves)

    frozen = changed(frozen=True)
    with pytest.raises(Refused, match="not be frozen"):
        frozen.supply("ann", "USD", 5, 0)
    assert frozen.repay("bob", "USD", 5, 0)[1].atoms == 5
    with pytest.raises(Refused, match="not be paused"):
        changed(paused=True).repay("bob", "USD", 5, 0)
    waiting = attrs.evolve(pool.reserves["USD"], grace_until_s=60)
    pool = attrs.evolve(pool, reserves={**pool.reserves, "USD": waiting})
    deep = prices | {"ETH": 1_600 * BASE}
    with pytest.raises(Refused, match="after the grace"):
        pool.liquidate("bot", "bob", "ETH", "USD", None, deep, 59 * S)
    assert pool.liquidate("bot", "bob", "ETH", "USD", None, deep, 60 * S)[1].repaid


def test_indices_start_at_one():
    """Nothing grows before anybody has borrowed."""
    pool, _ = shared().supply("ann", "USD", 10**9, 0)
    later = pool.accrue(10**6 * S)
    assert later.reserves["USD"].supply_index == RAY
    assert later.reserves["USD"].claim("ann") == 10**9
