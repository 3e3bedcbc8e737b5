"""Loans of a lender who calls for margin: their vector, their states, their books."""

import attrs
import pytest
from defi_book import booking
from defi_vectors import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.cefi import Borrower, CollateralLoan, Stage
from flashwick.engine.defi.protocol import Refused
from flashwick.margin.loans import LOANS, LoanLevels, fall_to

UNIT = 10**6


def test_vector_cefi_ltv():
    """A VIP loan of 72/77/91: where it is called, and what cures it."""
    row = vector("cefi-ltv")
    given_, expected = row["inputs"], row["expected"]
    levels = LOANS["binance-vip"]
    assert (levels.initial, levels.call, levels.liquidate) == (
        given_["initial"],
        given_["margin_call"],
        given_["liquidation"],
    )
    close = {"rel": 1e-12}
    for start, name in ((levels.initial, "drop_to"), (0.6, "from60")):
        call = fall_to(start, levels.call)
        assert call == pytest.approx(expected[f"{name}_mc"], **close)
        gone = fall_to(start, levels.liquidate)
        assert gone == pytest.approx(expected[f"{name}_liq"], **close)
    # A hundred units of collateral at a price at which the loan stands at each level.
    called = loan(owed=72 * 10**15, pledged=10**17)
    cure = called.cure(0.72 / 0.77)
    # The vector states repayments for a loan of 72, after the fall.
    worth = 100 * 0.72 / 0.77
    repaid = cure.repay / 10**15
    assert repaid == pytest.approx(72 - 0.72 * worth, abs=1e-9)
    scale = 100 / worth
    assert repaid * scale == pytest.approx(5.0, abs=1e-9)
    assert expected["cure_repay_at_mc"] == pytest.approx(repaid, abs=1e-9)
    added = cure.add / 10**15 * 0.72 / 0.77
    assert added == pytest.approx(expected["cure_collateral_at_mc"], abs=1e-9)
    sale = loan(owed=72 * 10**15, pledged=10**17, fee=0.02).to_sell(0.72 / 0.91)
    value = sale / 10**15 * 0.72 / 0.91
    assert value == pytest.approx(expected["sell_to_cure_at_liq"], abs=1e-9)


def loan(owed=72 * UNIT, pledged=100 * UNIT, fee=0.0) -> CollateralLoan:
    """A VIP loan at its initial level when collateral is worth 1."""
    return CollateralLoan(
        borrower="whale",
        lender="venue",
        loan="USD",
        collateral="ALT",
        owed=owed,
        pledged=pledged,
        levels=LOANS["binance-vip"],
        fee=fee,
    )


def test_loan_is_called_cured_or_liquidated_in_order():
    """A call at 77 %, liquidation at 91 % even if the borrower has not answered."""
    called = loan().step(0.93, 5)
    assert (called.stage, called.called_ns) == (Stage.CALLED, 5)
    assert called.step(0.92, 9).called_ns == 5
    assert not called.answers(9, 10)
    assert called.answers(15, 10)
    assert called.step(0.95, 20).stage is Stage.OK
    gone = called.step(0.79, 9)
    assert gone.stage is Stage.LIQUIDATING
    assert not gone.answers(15, 10)
    with pytest.raises(Refused, match="'stage' must be OK or CALLED"):
        gone.repay(5)
    with pytest.raises(Refused, match="'stage' must be LIQUIDATING"):
        called.sold(5, 5)


prices = st.floats(0.05, 1.5)


@given(
    moves=st.lists(
        st.tuples(prices, st.sampled_from(["repay", "add", "wait"])), max_size=12
    ),
    fee=st.floats(0.0, 0.05),
    slip=st.floats(0.0, 0.5),
)
@settings(max_examples=80)
def test_loan_conserves_and_cures_to_its_target(moves, fee, slip):
    """Cured it is at the initial level at most; every atom is somewhere."""
    state = loan(fee=fee)
    start = {"ALT": 10**12, "USD": 10**12}
    book = booking(["ALT", "USD"], {"whale": start, "venue": start, "buyer": start})
    for now, (price, answer) in enumerate(moves):
        before = state
        state = state.step(price, now)
        if state.stage is Stage.CALLED and answer != "wait":
            cure = state.cure(price)
            amount = min(getattr(cure, answer), state.owed)
            state, out = getattr(state, answer)(amount)
            book.book(out)
            assert state.stage is Stage.CLOSED or state.ltv(price) <= 0.72 + 1e-6
        elif state.stage is Stage.LIQUIDATING:
            sold = state.to_sell(price)
            proceeds = int(sold * price * (1.0 - slip))
            state, out = state.sold(sold, proceeds)
            book.book(out)
            if state.stage is Stage.DEFICIT:
                assert state.pledged == 0
                assert state.owed > 0
        assert state.owed <= before.owed
    venue, whale = book.balance("venue", "USD"), book.balance("whale", "USD")
    assert venue + whale == 2 * 10**12
    both = book.balance("venue", "ALT") + book.balance("whale", "ALT")
    assert both == 2 * 10**12


@given(
    price=st.floats(0.8, 0.93),
    cash=st.integers(0, 10 * UNIT),
    coins=st.integers(0, 10 * UNIT),
)
@settings(max_examples=60)
def test_answer_to_a_call_cures_it(price, cash, coins):
    """Cash first, then coins; what is still missing is raised, and brings it back."""
    called = loan().step(price, 0)
    borrower = Borrower(delay_ns=60, cash=cash, coins=coins, loop_leverage=3.68928)
    assert borrower.answer(called, price, 59) is None
    found = borrower.answer(called, price, 60)
    assert found is not None
    assert found.repay <= cash
    assert found.add <= coins
    state = called
    if found.repay + found.raise_:
        state, _ = state.repay(found.repay + found.raise_)
    if found.add:
        state, _ = state.add(found.add)
    assert state.ltv(price) <= 0.72 + 1e-6
    assert found.unwind == pytest.approx(3.68928 * found.raise_, abs=1)
    if found.raise_:
        assert found.repay == cash
        assert found.add == coins


def test_alts_falling_by_a_quarter_sell_the_looped_coin():
    """A loan of 60 on 100 in alts needs 15; the loop behind it sells 55.3."""
    levels = LoanLevels(initial=0.6, call=0.7, liquidate=0.91)
    state = attrs.evolve(loan(owed=60 * UNIT), levels=levels).step(0.75, 0)
    found = Borrower(delay_ns=0, loop_leverage=3.68928).answer(state, 0.75, 0)
    assert found is not None
    assert found.raise_ == 15 * UNIT
    assert found.unwind / UNIT == pytest.approx(55.3, abs=0.05)


def test_lender_loses_what_the_sale_does_not_pay():
    """A gap through the liquidation level leaves a deficit."""
    gone = loan(fee=0.02).step(0.5, 1)
    assert gone.to_sell(0.5) == 100 * UNIT
    after, _ = gone.sold(100 * UNIT, 50 * UNIT)
    assert after.stage is Stage.DEFICIT
    assert after.owed == 72 * UNIT - 49 * UNIT
    assert after.step(2.0, 2) == after


@pytest.mark.parametrize(
    "make",
    [
        lambda: loan(fee=1.0),
        lambda: loan(owed=-1),
        lambda: loan().ltv(0.0),
        lambda: loan().repay(73 * UNIT),
        lambda: loan().add(0),
        lambda: Borrower(delay_ns=-1),
        lambda: Borrower(delay_ns=0, coins=-1),
        lambda: Borrower(delay_ns=0, loop_leverage=0.5),
    ],
)
def test_wrong_loan_is_refused(make):
    """A fee of everything, a price of 0, more than is owed."""
    with pytest.raises(Refused, match="must"):
        make()


def test_levels_out_of_order_are_refused():
    """A call above the liquidation would never come."""
    with pytest.raises(ValueError, match="levels must satisfy"):
        LoanLevels(initial=0.7, call=0.95, liquidate=0.9)
