"""Means, medians and intervals of few values."""

from math import inf, isnan, nan, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.engine.chance import Stream
from flashwick.engine.lab.spread import (
    crossed,
    estimate,
    median_interval,
    middle,
    sign_test,
    student,
    variance,
)

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("df", "point"),
    # Abramowitz and Stegun, table 26.10, the column of Q = 0.975.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (7, 2.365), (10, 2.228)]
    + [(15, 2.131), (20, 2.086), (30, 2.042), (60, 2.000), (120, 1.980)],
)
def test_student_is_that_of_the_table(df, point):
    """The two-sided 95 % points of the handbook, to its three places."""
    assert student(df) == pytest.approx(point, abs=5e-4)


def test_student_is_that_of_scipy():
    """To twelve digits, where scipy is there to be asked."""
    stats = pytest.importorskip("scipy.stats")
    for df in range(1, 60):
        assert student(df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-11)


def test_estimate_has_the_interval_of_the_book():
    """Mean, standard deviation, and t times the standard error on both sides."""
    found = estimate([4.0, 6.0, 8.0, 10.0])
    assert (found.mean, found.n) == (7.0, 4)
    assert found.spread == pytest.approx(sqrt(20 / 3))
    half = 3.182446 * sqrt(20 / 3) / 2
    assert (found.low, found.high) == pytest.approx((7 - half, 7 + half), rel=1e-6)
    assert not estimate([-4.0, 6.0, 8.0]).sure
    assert estimate([4.0, 4.1, 4.2]).sure


def test_single_value_has_no_interval():
    """Nothing is known of the spread, and it is not said to be 0."""
    found = estimate([3.0])
    assert found.mean == 3.0
    assert all(map(isnan, (found.low, found.high, found.spread)))
    assert isnan(estimate([]).mean)


def test_what_is_not_finite_is_left_out():
    """An infinite recovery or a missing figure is no value of a mean."""
    assert estimate([1.0, nan, 3.0, inf]).n == 2
    assert estimate([1.0, nan, 3.0, inf]).mean == 2.0
    assert middle([inf, 2.0, nan]) == 2.0
    assert isnan(middle([nan]))
    assert sign_test([nan, 1.0]) == 1.0


@given(VALUES)
def test_interval_moves_and_stretches_with_the_values(values):
    """Other units of the same figures are other units of the interval."""
    one = estimate(values)
    other = estimate([2.0 * value + 3.0 for value in values])
    scale = 1.0 + max(map(abs, values))
    assert other.low == pytest.approx(2.0 * one.low + 3.0, abs=1e-9 * scale)
    assert other.high == pytest.approx(2.0 * one.high + 3.0, abs=1e-9 * scale)


def covered(n: int, interval) -> float:
    """Share of samples of n uniforms whose interval holds 0.5, mean and median."""
    draws = Stream(11, "samples").uniform(4000 * n).reshape(4000, n)
    held = [low <= 0.5 <= high for low, high, *_ in map(interval, draws.tolist())]
    return sum(held) / len(held)


def test_interval_of_the_mean_holds_it_as_often_as_it_says():
    """Of 4,000 samples of eight uniform numbers about 95 %."""

    def interval(values):
        found = estimate(values)
        return found.low, found.high

    assert covered(8, interval) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("n", [4, 8, 9, 15])
def test_interval_of_the_median_holds_it_as_often_as_it_says(n):
    """The chance that is told is exact, and 95 % or the most there can be."""
    told = median_interval([float(i) for i in range(n)])[2]
    assert covered(n, median_interval) == pytest.approx(told, abs=0.015)
    assert told >= 0.95 or n < 6


def test_median_interval_is_no_wider_than_it_must_be():
    """Nine values: the second to the eighth hold it with 96 %."""
    assert median_interval(range(9)) == (1, 7, pytest.approx(1 - 2 * 10 / 512))
    assert all(map(isnan, median_interval([])))


@pytest.mark.parametrize(
    ("differences", "chance"),
    [
        ([1.0] * 8, 2 / 256),
        ([1.0] * 7 + [-1.0], 18 / 256),
        ([1.0, -1.0], 1.0),
        ([0.0, 0.0, 2.0], 1.0),
    ],
)
def test_sign_test_is_that_of_coins(differences, chance):
    """As likely as so many heads of so many coins, or more on one side."""
    assert sign_test(differences) == pytest.approx(chance)


def test_thousands_of_seeds_have_their_tests_too():
    """From 1,024 on, 2 to their number is no float."""
    stats = pytest.importorskip("scipy.stats")
    signs = [1.0] * 5_100 + [-1.0] * 4_900
    assert sign_test(signs) == pytest.approx(stats.binomtest(4_900, 10_000).pvalue)
    low, high, told = median_interval(range(10_000))
    fewest = int(stats.binom.ppf(0.025, 10_000, 0.5)) - 1
    assert (low, high) == (fewest, 9_999 - fewest)
    assert told == pytest.approx(1.0 - 2.0 * stats.binom.cdf(fewest, 10_000, 0.5))


def test_sign_test_of_no_difference_says_nothing():
    """Where all are 0 there is no sign."""
    assert isnan(sign_test([0.0, 0.0]))


def test_crossed_adds_what_seeds_and_samples_vary_by():
    """Rows that differ count, and columns that differ count, each once."""
    by_rows = crossed([[1.0, 1.0], [3.0, 3.0]])
    assert by_rows.mean == 2.0
    assert by_rows.high - 2.0 == pytest.approx(student(1) * sqrt(2.0 / 2))
    by_columns = crossed([[1.0, 3.0], [1.0, 3.0]])
    assert by_columns.high == pytest.approx(by_rows.high)
    both = crossed([[1.0, 3.0], [3.0, 5.0]])
    assert both.high - both.mean == pytest.approx(student(1) * sqrt(2.0))
    one_seed = crossed([[1.0, 2.0, 3.0]])
    assert one_seed.high - 2.0 == pytest.approx(student(2) * sqrt(1.0 / 3))
    assert isnan(crossed([[1.0]]).high)


@given(VALUES)
def test_variance_is_never_below_zero(values):
    """A sum of squares over n - 1."""
    assert variance(values) >= 0.0
