"""Schedules: slices, deduction, edges, errors, liquidation prices."""

import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flashwick.margin.rules import Rules
from flashwick.margin.schedule import Schedule, liquidation_price

SYMBOLS = sorted(set(Rules.preset("binance-pm").brackets) - {"default"})


@st.composite
def schedules(draw: st.DrawFn, *, rising: bool = False) -> Schedule:
    """Up to a dozen tiers, of rates that rise or go anywhere."""
    n = draw(st.integers(1, 12))
    widths = draw(st.lists(st.integers(1, 10**8), min_size=n - 1, max_size=n - 1))
    rates = draw(st.lists(st.integers(0, 10_000), min_size=n, max_size=n))
    floors = np.concatenate([[0.0], np.cumsum(widths)])
    return Schedule(floors, [r / 10_000 for r in (sorted(rates) if rising else rates)])


SIZES = st.floats(0.0, 2e9)


@given(schedules(), SIZES)
def test_deduction_gives_what_the_slices_sum_to(
    schedule: Schedule, size: float
) -> None:
    """Size × rate − cum equals the sum of the slices, whichever way rates go."""
    assert schedule.amount(size, 0.0) == pytest.approx(schedule.value(size), abs=1e-4)


@given(schedules())
def test_a_schedule_is_continuous_at_its_floors(schedule: Schedule) -> None:
    """At a floor the rates of both tiers give the same amount."""
    for k in range(1, len(schedule.floors)):
        floor = schedule.floors[k]
        upper = floor * schedule.rates[k] - schedule.cums[k]
        lower = floor * schedule.rates[k - 1] - schedule.cums[k - 1]
        assert upper == pytest.approx(lower, rel=1e-12, abs=1e-6)
        beyond = np.nextafter(floor, np.inf)
        assert schedule.value(beyond) == pytest.approx(schedule.value(floor), abs=1e-6)


@given(schedules(), st.lists(SIZES, min_size=1))
def test_arrays_give_what_single_sizes_give(
    schedule: Schedule, sizes: list[float]
) -> None:
    """Both formulas are the same to the bit for an array and for its elements."""
    array = np.array(sizes)
    assert schedule.value(array).tolist() == [schedule.value(x) for x in sizes]
    found = schedule.amount(array, array).tolist()
    assert found == [schedule.amount(x, x) for x in sizes]


def test_a_size_equal_to_a_floor_is_in_the_lower_tier() -> None:
    """The interval of a tier is (floor, cap]."""
    schedule = Schedule([0, 10, 20], [0.1, 0.2, 0.3])
    assert [schedule.tier_at(x) for x in (0, 10, 10.5, 20, 21)] == [0, 0, 1, 1, 2]


def test_sizes_below_zero_count_as_zero() -> None:
    """Neither formula values what is not there."""
    schedule = Schedule([0, 10], [0.1, 0.2])
    assert schedule.value(-5.0) == schedule.amount(-5.0, -1.0) == 0.0
    below = np.array([-5.0])
    assert schedule.value(below) == schedule.amount(below, below) == 0.0


@pytest.mark.parametrize(
    ("floors", "rates", "leverage", "message"),
    [
        ([], [], None, "one for each floor, at least one"),
        ([0, 1], [0.1], None, "got 1 for 2 floors"),
        ([5], [0.1], None, "'floors' must start at 0 (got 5)"),
        ([0, 7, 7], [0.1] * 3, None, "must increase strictly (got 7 after 7)"),
        ([0, float("nan")], [0.1] * 2, None, "must increase strictly (got nan"),
        ([0], [-0.1], None, "'rates' must be at least 0 (got -0.1)"),
        ([0], [float("nan")], None, "'rates' must be at least 0 (got nan)"),
        ([0], [0.1], [5, 3], "'max_leverage' must be one for each floor"),
        ([0], [0.1], [0], "'max_leverage' must be from 1 to 1000 (got 0)"),
        ([0, 1], [0.1, 0.2], [5, 9], "'max_leverage' must not rise as the size grows"),
    ],
)
def test_tiers_that_value_nothing_are_refused(
    floors: list[float],
    rates: list[float],
    leverage: list[float] | None,
    message: str,
) -> None:
    """The error names the column, what it must be, and what came."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Schedule(floors, rates, leverage)


@pytest.mark.parametrize("value", ["0.9", [], [0, 1], [[0]], [[0, 1], [5, 1, 2]], True])
def test_what_is_not_a_schedule_is_refused_when_read(value: object) -> None:
    """A file may write a rate or rows, all of one length."""
    with pytest.raises(ValueError, match="must"):
        Schedule.parse(value)


@pytest.mark.parametrize("unit", ["usd", "qty"])
@pytest.mark.parametrize("wrong", ["x", None, [1.0], object(), np.array(["x"])])
def test_amount_of_what_is_no_number_is_refused_in_words(wrong: Any, unit: str) -> None:
    """Both arguments are named, and what came."""
    with pytest.raises(TypeError, match="'usd' and 'qty' must be numbers, or arrays"):
        Schedule([0, 10], [0.1, 0.2], unit=unit).amount(wrong, wrong)


def test_a_schedule_reads_what_a_file_writes() -> None:
    """A rate is one tier; rows of three carry the highest leverage."""
    assert Schedule.parse(0.9) == Schedule.flat(0.9)
    read = Schedule.parse([[0, 0.01, 75], [20_000, 0.015, 50]])
    assert read == Schedule([0, 20_000], [0.01, 0.015], [75, 50])
    assert pickle.loads(pickle.dumps(read)) == read


@given(
    st.sampled_from(SYMBOLS),
    st.floats(1e-3, 1e4),
    st.floats(1.0, 1e5),
    st.floats(0.001, 0.9),
    st.sampled_from([1, -1]),
)
def test_at_the_liquidation_price_equity_is_the_maintenance_margin(
    symbol: str, size: float, entry: float, share: float, side: int
) -> None:
    """The bracket is the one of the notional at that very price."""
    brackets = Rules.preset("binance-pm").brackets_of(symbol)
    wallet, qty = share * size * entry, side * size
    price = liquidation_price(wallet, qty, entry, brackets)
    assume(price > 0.0)
    equity = wallet + qty * (price - entry)
    maintenance = brackets.value(size * price)
    assert equity == pytest.approx(maintenance, abs=1e-7 * size * entry)


def test_positions_beyond_liquidation_have_price_zero() -> None:
    """A fully paid long is never liquidated; a short owing its entry always is."""
    brackets = Schedule([0, 1000], [0.01, 0.5])
    assert liquidation_price(500.0, 10.0, 50.0, brackets) == 0.0
    assert liquidation_price(-501.0, -10.0, 50.0, brackets) == 0.0
    with pytest.raises(ValueError, match="'qty' must not be 0"):
        liquidation_price(1.0, 0.0, 50.0, brackets)


def test_a_liquidation_price_on_a_floor_belongs_to_the_lower_bracket() -> None:
    """The root is found though it lies exactly on the edge of two brackets."""
    brackets = Schedule([0, 1000, 2000], [0.01, 0.02, 0.5])
    # At 100 the notional is 1000 and the margin 10: equity 10 needs this wallet.
    price = liquidation_price(10.0 + 10 * (120 - 100), 10.0, 120.0, brackets)
    assert price == pytest.approx(100.0)
