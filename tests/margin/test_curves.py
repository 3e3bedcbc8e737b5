"""Curves: formulas, files, arrays, and what is refused."""

import copy
import pickle
import re
from math import inf, nan, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.margin.curves import (
    Curve,
    CurveKind,
    LinearRate,
    SqrtRate,
    SqrtWeight,
    flatten,
    kind_of,
    parse_curve,
)
from flashwick.margin.schedule import Schedule

rates = st.floats(0.0, 1.0)
imfs = st.floats(0.0, 0.2)
floors = st.lists(st.integers(1, 10**6), max_size=6, unique=True).map(
    lambda found: [0.0, *map(float, sorted(found))]
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Tiers in money or coins, of rates that go anywhere."""
    at = draw(floors)
    given = draw(st.lists(rates, min_size=len(at), max_size=len(at)))
    return Schedule(at, given, unit=draw(st.sampled_from(["usd", "qty"])))


curves: st.SearchStrategy[Curve] = st.one_of(
    schedules(),
    st.builds(SqrtWeight, rates, imfs),
    st.builds(SqrtRate, rates, st.floats(-1.0, 1.0), imfs),
    st.builds(LinearRate, rates, st.floats(0.0, 1e-3)),
)
coins, dollars = st.floats(0.0, 1e7), st.floats(1e-3, 1e5)


def laid_out(curve: Curve, usd: float, qty: float) -> float:
    """The formulas by the rows alone, as compiled code has to read them."""
    kinds, _, rows = flatten([curve])
    first, second, third = rows[0]
    if kinds[0] == CurveKind.SQRT_WEIGHT:
        return usd * min(first, second / (1.0 + third * sqrt(qty)))
    if kinds[0] == CurveKind.SQRT_RATE:
        return usd * max(first, second + third * sqrt(qty))
    if kinds[0] == CurveKind.LINEAR_RATE:
        return usd * (first + second * qty)
    size = usd if kinds[0] == CurveKind.TIERS_USD else qty
    row = max((r for r in rows if r[0] < size), key=lambda r: r[0], default=rows[0])
    amount = size * row[1] - row[2]
    if kinds[0] == CurveKind.TIERS_USD:
        return float(amount)
    return float(usd / qty * amount) if qty else 0.0


@given(curves, coins, dollars)
def test_rows_hold_all_that_a_curve_says(
    curve: Curve, qty: float, price: float
) -> None:
    """What `flatten` lays out gives the amount of the curve itself."""
    usd = qty * price
    found = laid_out(curve, usd, qty)
    assert found == pytest.approx(curve.amount(usd, qty), rel=1e-9, abs=1e-6)


@given(curves, st.lists(coins, min_size=1, max_size=8), dollars)
def test_arrays_give_what_single_amounts_give(
    curve: Curve, qty: list[float], price: float
) -> None:
    """Every kind takes arrays, to the last bit."""
    array = np.array(qty)
    found = curve.amount(array * price, array)
    assert found.tolist() == [curve.amount(q * price, q) for q in qty]
    assert isinstance(curve.amount(price, 1.0), float)


@given(curves, dollars)
def test_nothing_counts_for_nothing(curve: Curve, price: float) -> None:
    """No coins, no amount; and a coin of a worthless asset is none."""
    assert curve.amount(0.0, 0.0) == 0.0
    assert curve.amount(0.0, 5.0) == 0.0


def test_curves_by_hand() -> None:
    """One figure of each kind."""
    assert SqrtWeight(0.9, 0.01).amount(100.0, 10_000.0) == pytest.approx(55.0)
    assert SqrtRate(0.1, -0.12, 0.003).amount(100.0, 10_000.0) == pytest.approx(18.0)
    assert SqrtRate(0.1, -0.12, 0.003).amount(100.0, 4.0) == pytest.approx(10.0)
    assert LinearRate(0.02, 0.001).amount(100.0, 30.0) == pytest.approx(5.0)
    tiers = Schedule([0, 10], [1.0, 0.5], unit="qty")
    assert tiers.amount(60.0, 20.0) == pytest.approx(3.0 * 15.0)


@given(schedules(), st.floats(0.0, 0.1), st.floats(0.0, 1.0), coins)
def test_schedule_with_a_rate_more_or_scaled(
    curve: Schedule, more: float, share: float, qty: float
) -> None:
    """A rate more adds itself to every size; a share multiplies every amount."""
    usd = 7.0 * qty
    base = curve.amount(usd, qty)
    added = curve.plus(more).amount(usd, qty)
    assert added == pytest.approx(base + more * usd, rel=1e-9, abs=1e-6)
    scaled = curve.scaled(share).amount(usd, qty)
    assert scaled == pytest.approx(share * base, rel=1e-9, abs=1e-6)


def test_formulas_with_a_rate_more() -> None:
    """The fee is on top of either side of the larger-of."""
    for qty in (1.0, 10_000.0):
        curve = SqrtRate(0.1, -0.12, 0.003)
        more = curve.plus(0.05).amount(100.0, qty)
        assert more == pytest.approx(curve.amount(100.0, qty) + 5.0)
    assert LinearRate(0.02, 0.001).plus(0.05) == LinearRate(0.07, 0.001)


def test_margin_by_leverage_is_that_of_the_whole_position() -> None:
    """Beyond a floor all of it has the lower leverage: the margin jumps."""
    curve = Schedule([0, 1000], [0.005, 0.01], [100, 50]).by_leverage()
    assert curve.amount(1000.0, 1.0) == pytest.approx(10.0)
    assert curve.amount(1001.0, 1.0) == pytest.approx(20.02)
    assert curve.value(1001.0) == curve.amount(1001.0, 1.0)
    assert curve.cums == (0.0, 0.0)
    with pytest.raises(ValueError, match=r"must have rows of .*highest leverage"):
        Schedule.flat(0.1).by_leverage()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0.9, Schedule.flat(0.9)),
        ([[0, 0.9], [10, 0.5]], Schedule([0, 10], [0.9, 0.5])),
        (
            {"coins": [[0, 0.9], [10, 0.5]]},
            Schedule([0, 10], [0.9, 0.5], unit="qty"),
        ),
        ({"weight": 0.9, "imf": 0.1}, SqrtWeight(0.9, 0.1, 1.1)),
        ({"weight": 0.9, "imf": 0.1, "numerator": 1.2}, SqrtWeight(0.9, 0.1, 1.2)),
        ({"least": 0.1, "base": -0.1, "imf": 0.1}, SqrtRate(0.1, -0.1, 0.1)),
        ({"base": 0.1, "slope": 0.1}, LinearRate(0.1, 0.1)),
        (
            [
                {"floor": 0, "cap": 10, "rate": 0.1, "max_leverage": 5},
                {"floor": 10, "rate": 0.2, "max_leverage": 2},
            ],
            Schedule([0, 10], [0.1, 0.2], [5, 2]),
        ),
    ],
)
def test_every_curve_has_a_form_in_a_file(written: object, read: Curve) -> None:
    """Numbers, rows, and tables of numbers."""
    found = parse_curve(written)
    assert found == read
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == read
    assert kind_of(found) == flatten([found]).kinds[0]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"weight": 0.9}, "must be a rate, rows of [floor, rate], or one of { coins }"),
        ({"wieght": 0.9, "imf": 0.1}, "did you mean 'weight'?"),
        ({"weight": 0.9, "imf": "x"}, "'imf' must be a number (got 'x')"),
        ({"weight": nan, "imf": 0.1}, "'weight' must be from 0 to 1e+06 (got nan)"),
        ({"weight": 0.9, "imf": -0.1}, "'imf' must be from 0 to 1e+06 (got -0.1)"),
        ({"least": 0.1, "base": inf, "imf": 0}, "'base' must be from -1e+06 to 1e+06"),
        ({"base": -0.1, "slope": 0}, "'base' must be from 0 to 1e+06 (got -0.1)"),
        ([[0, nan]], "'rates' must be at least 0 (got nan)"),
        ([[0, -0.1]], "'rates' must be at least 0 (got -0.1)"),
        ([[0, 0.1], [nan, 0.2]], "'floors' must increase strictly (got nan after 0)"),
        ([[5, 0.1]], "'floors' must start at 0 (got 5)"),
        ([[0, 0.1], [10, 0.2], [8, 0.3]], "increase strictly (got 8 after 10)"),
        (
            [
                {"floor": 0, "cap": 10, "rate": 0.1},
                {"floor": 12, "rate": 0.2},
            ],
            "where the one before ends, at 10; there is a gap (got floor 12)",
        ),
        (
            [{"floor": 0, "cap": 10, "rate": 0.1}, {"floor": 8, "rate": 0.2}],
            "where the one before ends, at 10; there is an overlap (got floor 8)",
        ),
        ([{"floor": 0, "mmr": 0.1}], "must have rows of floor, cap, rate, max_lev"),
    ],
)
def test_what_is_no_curve_is_refused(written: Any, message: str) -> None:
    """The error says what it must be and what came."""
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_curve(written)


def test_unit_of_a_schedule_is_money_or_coins() -> None:
    """Nothing else."""
    with pytest.raises(ValueError, match="'unit' must be 'usd' or 'qty'"):
        Schedule([0], [0.1], unit="eur")


def test_no_curves_make_empty_arrays() -> None:
    """A venue without perpetuals has no brackets."""
    kinds, at, rows = flatten([])
    assert (kinds.shape, at.tolist(), rows.shape) == ((0,), [0], (0, 3))
