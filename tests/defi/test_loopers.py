"""Loops in a market and a pool, booked in the ledger: built, carried, unwound."""

import pytest
from defi_book import booking
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.fixed_point import WAD
from flashwick.engine.defi.isolated import PRICE_ONE, IsolatedMarket, Terms
from flashwick.engine.defi.loopers import (
    build,
    carry,
    state_of,
    unwind_by_flash,
    unwind_by_rounds,
)
from flashwick.engine.defi.loops import Loop
from flashwick.engine.defi.protocol import Refused
from flashwick.engine.defi.stableswap import StableSwap

UNIT = 10**6
MILLION = 10**6 * UNIT


class Scene:
    """A lender, a looper, a pool of fifty million on each side, and their ledger."""

    def __init__(self, fee: int = 10**6) -> None:
        start = {"USDe": 200 * MILLION, "USDC": 200 * MILLION}
        holders = {name: dict(start) for name in ("lp", "lender", "looper")}
        holders |= {"pool": {}, "market": {}}
        self.book = booking(["USDe", "USDC", "pool shares"], holders)
        pool = StableSwap.empty("pool", ("USDe", "USDC"), amplification=200, fee=fee)
        self.pool, put = pool.add("lp", dict.fromkeys(pool.assets, 50 * MILLION))
        self.book.book(put.transfers)
        terms = Terms("USDC", "USDe", "par", 86 * WAD // 100)
        market = IsolatedMarket.open("market", terms)
        self.market, moved = market.supply("lender", 100 * MILLION, 0)
        self.book.book(moved.transfers)

    def take(self, looped) -> None:
        """Go on from what a loop has done."""
        self.book.book(looped.transfers)
        self.market, self.pool = looped.market, looped.pool
        self.market._check()
        cash = self.market.cash + self.market.dust
        assert self.book.balance("market", "USDC") == cash
        pledged = self.market.position("looper").collateral
        assert self.book.balance("market", "USDe") == pledged

    def build(self, deposit: int, rounds: int, ltv: float = 0.8) -> None:
        """Build a loop at par."""
        self.take(
            build(
                "looper",
                self.market,
                self.pool,
                deposit,
                ltv=ltv,
                rounds=rounds,
                price=PRICE_ONE,
                now_ns=0,
            )
        )


def test_built_loop_is_the_formula_less_what_the_pool_took():
    """Five rounds of a hundred thousand: 368,928 less the slippage of each swap."""
    scene = Scene(fee=0)
    scene.build(100_000 * UNIT, 5)
    state = state_of("looper", scene.market, PRICE_ONE)
    formula = Loop(equity=100_000 * UNIT, ltv=0.8, rounds=5).state()
    assert state.collateral == pytest.approx(formula.collateral, rel=1e-4)
    assert state.debt == pytest.approx(formula.debt, rel=1e-4)


@given(
    deposit=st.integers(1, 10 * MILLION),
    rounds=st.integers(0, 7),
    ltv=st.floats(0.1, 0.85),
    fee=st.sampled_from([0, 10**6, 10**8]),
)
@settings(max_examples=40)
def test_equity_of_a_loop_is_the_deposit_less_its_swaps(deposit, rounds, ltv, fee):
    """Every atom is with the market, the pool or the looper; leverage costs swaps."""
    scene = Scene(fee)
    before = scene.book.balance("looper", "USDe"), scene.book.balance("looper", "USDC")
    try:
        scene.build(deposit, rounds, ltv)
    except Refused:
        assume(False)
    assert scene.book.balance("looper", "USDe") == before[0] - deposit
    assert scene.book.balance("looper", "USDC") == before[1]
    state = state_of("looper", scene.market, PRICE_ONE)
    # The pool pays more than par at most where the loop has tilted it; never here.
    assert state.equity <= deposit + rounds
    assert scene.market.healthy("looper", PRICE_ONE)


@given(deposit=st.integers(UNIT, 12 * MILLION), rounds=st.integers(1, 6))
@settings(max_examples=25)
def test_unwinding_pays_all_debt_and_flash_is_no_worse(deposit, rounds):
    """Both ways out end without debt; by rounds nothing more comes back, fees aside."""
    kept = []
    for unwind in (unwind_by_flash, unwind_by_rounds):
        scene = Scene(fee=0)
        scene.build(deposit, rounds)
        start = scene.book.balance("looper", "USDC")
        scene.take(unwind("looper", scene.market, scene.pool, PRICE_ONE, 0))
        assert scene.market.debt("looper") == 0
        rest = scene.market.position("looper").collateral
        extra = scene.book.balance("looper", "USDC") - start
        assert extra >= 0
        kept.append(scene.book.balance("looper", "USDe") + rest + extra)
    assert kept[1] <= kept[0] + 2 * rounds + 2


def test_loop_cannot_leave_by_flash_through_a_tilted_pool():
    """Somebody else has sold first: repaying takes more than there is."""
    scene = Scene()
    scene.build(15 * MILLION, 5)
    pool, _ = scene.pool.swap("lp", "USDe", "USDC", 80 * MILLION)
    with pytest.raises(Refused, match=r"that repaying takes|can pay"):
        unwind_by_flash("looper", scene.market, pool, PRICE_ONE, 0)
    out = unwind_by_rounds("looper", scene.market, pool, PRICE_ONE, 0)
    assert out.market.debt("looper") > 0


def test_carry_turns_when_lenders_leave():
    """At 12 % on 3.7 times a loop earns; once others withdraw, its rate eats it."""
    scene = Scene()
    scene.build(10 * MILLION, 5)
    calm = carry("looper", scene.market, PRICE_ONE, {"USDe": 0.12}, 0)
    assert calm.leverage == pytest.approx(3.69, abs=0.03)
    assert calm.net > 0.3
    market, _ = scene.market.withdraw("lender", scene.market.cash, 0)
    month = 30 * 86_400 * 10**9
    later = carry("looper", market.accrue(month), PRICE_ONE, {"USDe": 0.12}, month)
    assert later.paid > later.earned
    assert later.net < 0.0


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda s: s.build(0, 1), "'deposit' must be a whole number"),
        (lambda s: s.build(5, 1, 0.9), "'ltv' must be below the LLTV"),
        (lambda s: s.build(5, -1), "'rounds' must not be below 0"),
        (lambda s: s.build(150 * MILLION, 5), "at most the cash"),
        (
            lambda s: unwind_by_flash("nobody", s.market, s.pool, PRICE_ONE, 0),
            "'who' must owe",
        ),
        (
            lambda s: carry("looper", s.market, PRICE_ONE, {"USDE": 0.1}, 0),
            "did you mean 'USDE'",
        ),
    ],
)
def test_wrong_loop_in_a_market_is_refused(act, said):
    """Above the LLTV, beyond the cash, without a yield: nothing is done."""
    scene = Scene()
    before = scene.market, scene.pool
    with pytest.raises(Refused, match=said):
        act(scene)
    assert (scene.market, scene.pool) == before
