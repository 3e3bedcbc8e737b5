"""Funding: premium of the book, its mean over an interval, and the rate."""

import math

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.margin.funding import PremiumBoard, funding_rate, premium
from flashwick.margin.rules import Rules

RULE = Rules.preset("binance-pm").funding
SECOND = 10**9


def one(*values: float) -> tuple[np.ndarray, ...]:
    """Each value as an array of one market."""
    return tuple(np.array([value]) for value in values)


@pytest.mark.parametrize(
    ("index", "bid", "ask", "expected"),
    [
        (100.0, 101.0, 102.0, 0.01),  # all bids above the index
        (100.0, 97.0, 98.0, -0.02),  # all asks below it
        (100.0, 99.0, 101.0, 0.0),  # astride it
        (100.0, 0.0, 0.0, 0.0),  # nothing quoted
        (100.0, math.nan, 98.0, -0.02),
        (math.nan, 99.0, 101.0, 0.0),
    ],
)
def test_premium_is_how_far_the_book_is_beyond_the_index(
    index: float, bid: float, ask: float, expected: float
) -> None:
    """As a share of the index, and nothing without prices."""
    assert premium(*one(index, bid, ask))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given_premium", "rate"),
    [
        (0.0, 0.0001),  # the interest
        (0.0004, 0.0001),  # still within the damper
        (0.0011, 0.0006),  # the damper takes .05 % off
        (-0.0011, -0.0006),
        (0.5, 0.02),  # capped
        (-0.5, -0.02),
    ],
)
def test_rate_is_drawn_to_the_interest_and_capped(
    given_premium: float, rate: float
) -> None:
    """Of the preset; without a cap the premium decides."""
    (mean,) = one(given_premium)
    assert funding_rate(mean, RULE)[0] == pytest.approx(rate)
    free = attrs.evolve(RULE, cap=None)
    assert abs(funding_rate(mean, free)[0] - given_premium) <= RULE.damper * (1 + 1e-9)


def test_later_samples_weigh_more_and_one_is_taken_every_five_seconds() -> None:
    """Weights 1, 2, 3; what is between two samples goes unseen; restart forgets."""
    board = PremiumBoard(1)
    assert board.mean[0] == 0.0
    for second, bid in ((0, 101.0), (3, 900.0), (5, 102.0), (11, 104.0)):
        board.sample(second * SECOND, *one(100.0, bid, 1000.0))
        board._check()
    assert board.mean[0] == pytest.approx((0.01 + 2 * 0.02 + 3 * 0.04) / 6)
    board.restart()
    board._check()
    assert board.mean[0] == 0.0
    board.sample(11 * SECOND, *one(100.0, 104.0, 1000.0))
    assert board.mean[0] == 0.0
    board.sample(15 * SECOND, *one(100.0, 104.0, 1000.0))
    assert board.mean[0] == pytest.approx(0.04)


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=30))
def test_mean_premium_is_between_the_lowest_and_the_highest(
    premiums: list[float],
) -> None:
    """Whatever their order, and the rate within cap and damper of it."""
    board = PremiumBoard(1)
    for i, share in enumerate(premiums):
        price = 100.0 * (1.0 + share)
        board.sample(5 * i * SECOND, *one(100.0, price, price))
    mean = float(board.mean[0])
    assert min(premiums) - 1e-9 <= mean <= max(premiums) + 1e-9
    rate = float(funding_rate(board.mean, RULE)[0])
    assert abs(rate) <= 0.02
    if abs(mean) < 0.019:
        assert abs(rate - mean) <= RULE.damper + 1e-12
