"""Dividing a whole number: in proportion, under caps, and to the last unit."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.margin.shares import spread

# Sizes about which the arithmetic changes, and those between.
sizes = (
    st.integers(0, 3)
    | st.integers(0, 10**15)
    | st.sampled_from([2**31, 2**55, 2**60, 2**62, 2**63 - 1])
)
pairs = st.lists(st.tuples(sizes, sizes), max_size=12)


def by_definition(total: int, weights: list[int], caps: list[int]) -> list[int]:
    """Raise the level until a cap is met, one cap after the other, in fractions."""
    shares = [0] * len(caps)
    left = min(total, sum(caps))
    for second in (False, True):
        each = [c - s for c, s in zip(caps, shares, strict=True)] if second else weights
        room = [c - s for c, s in zip(caps, shares, strict=True)]
        open_ones = [i for i in range(len(caps)) if each[i] and room[i]]
        while open_ones and left:
            level = Fraction(left, sum(each[i] for i in open_ones))
            first = min(open_ones, key=lambda i: Fraction(room[i], each[i]))
            if room[first] > level * each[first]:
                exact = {i: level * each[i] for i in open_ones}
                odd = sorted(open_ones, key=lambda i: (int(exact[i]) - exact[i], i))
                for i in open_ones:
                    shares[i] += int(exact[i])
                    left -= int(exact[i])
                for i in odd[:left]:
                    shares[i] += 1
                return shares
            shares[first] += room[first]
            left -= room[first]
            open_ones.remove(first)
    return shares


@given(st.integers(0, 2**66), pairs)
@settings(max_examples=400, phases=UNTRACED)
def test_shares_are_those_of_exact_fractions(
    total: int, pairs: list[tuple[int, int]]
) -> None:
    """Whatever the sizes: no product is rounded on the way."""
    weights, caps = [w for w, _ in pairs], [c for _, c in pairs]
    shares = spread(total, weights, caps).tolist()
    assert shares == by_definition(total, weights, caps)


@given(st.integers(0, 10**18), pairs)
@settings(max_examples=200, phases=UNTRACED)
def test_shares_are_exact_and_within_one_of_proportion(
    total: int, pairs: list[tuple[int, int]]
) -> None:
    """Whoever is not at its cap gets its proportion of what caps left, to a unit."""
    weights, caps = [w for w, _ in pairs], [c for _, c in pairs]
    shares = spread(total, weights, caps).tolist()
    assert sum(shares) == min(total, sum(caps))
    assert all(0 <= s <= c for s, c in zip(shares, caps, strict=True))
    free = [i for i, s in enumerate(shares) if s < caps[i] and weights[i]]
    for i in free:
        for j in free:
            # Levels, share over weight, differ by no more than the odd unit.
            assert shares[i] * weights[j] - shares[j] * weights[i] <= max(
                weights[i], weights[j]
            )


@pytest.mark.parametrize("digits", [6, 12, 18])
def test_shares_of_thousands_are_exact(digits: int) -> None:
    """Products of a total and a weight that leave int64 included."""
    rng = np.random.default_rng(digits)
    weights = rng.integers(1, 10**digits, 3_000) // 3_000 + 1
    total = 10 ** (digits - 1) + 7
    shares = spread(total, weights, np.full(3_000, 2**50))
    assert shares.sum() == total
    pool = sum(weights.tolist())
    for share, weight in zip(shares.tolist(), weights.tolist(), strict=True):
        assert abs(share * pool - total * weight) < pool
