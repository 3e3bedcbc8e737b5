"""Shapley values: axioms, games of the literature, and what samples make of them."""

from fractions import Fraction
from itertools import combinations, permutations
from math import factorial, fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.chance import Stream
from flashwick.engine.lab.shapley import (
    coalitions,
    four,
    groups,
    interactions,
    sampled_interactions,
    sampled_shares,
    shares,
)
from flashwick.engine.lab.spread import crossed


def by_all_orders(n, game):
    """The definition: what a player adds, mean over every order."""
    total = [0.0] * n
    for order in permutations(range(n)):
        before = 0
        for player in order:
            total[player] += game(before | 1 << player) - game(before)
            before |= 1 << player
    return [value / factorial(n) for value in total]


@st.composite
def games(draw, least=1, most=5):
    """A number of players, and any value of each coalition."""
    n = draw(st.integers(least, most))
    value = st.floats(-1000, 1000, width=32)
    return n, draw(st.lists(value, min_size=1 << n, max_size=1 << n))


@given(games())
@settings(max_examples=60)
def test_shares_are_those_of_all_orders(found):
    """The sum over coalitions is the mean over the orders."""
    n, values = found
    ours = shares(n, values.__getitem__)
    assert ours == pytest.approx(by_all_orders(n, values.__getitem__), abs=1e-8)


@given(games())
def test_shares_sum_to_the_whole(found):
    """Efficiency: everybody's value less nobody's."""
    n, values = found
    whole = values[-1] - values[0]
    assert fsum(shares(n, values.__getitem__)) == pytest.approx(whole, abs=1e-8)


@given(games(least=2))
def test_alike_players_have_the_same_share(found):
    """Symmetry: who adds the same to all others gets the same."""
    n, values = found

    def game(coalition):
        # Of the first two players only their number counts.
        others = coalition & ~0b11
        return values[others | (1 << (coalition & 0b11).bit_count()) - 1]

    first, second, *_ = shares(n, game)
    assert first == pytest.approx(second, abs=1e-8)


@given(games(least=2), st.floats(-100, 100))
def test_who_adds_the_same_to_all_has_just_that(found, own):
    """Dummy: nothing for who changes nothing, its own value for who adds only that."""
    n, values = found

    def game(coalition):
        return values[coalition & ~1] + own * (coalition & 1)

    assert shares(n, game)[0] == pytest.approx(own, abs=1e-8)
    pairs = interactions(n, game)
    assert all(pairs[0, j] == pytest.approx(0.0, abs=1e-8) for j in range(1, n))


@given(games(least=3, most=3), games(least=3, most=3))
def test_share_of_two_games_is_the_sum_of_both(one, other):
    """Additivity."""
    first, second = (shares(3, values.__getitem__) for _, values in (one, other))
    both = shares(3, lambda c: one[1][c] + other[1][c])
    assert both == pytest.approx([a + b for a, b in zip(first, second, strict=True)])


def test_security_council():
    """Five permanent members have 421/2145 each, ten others 4/2145.

    All permanent members and four others carry a motion. Shapley and Shubik, A method
    for evaluating the distribution of power in a committee system (1954), for the
    council as it is since 1966.
    """
    permanent = 0b11111

    def game(coalition):
        whole = coalition & permanent == permanent and coalition.bit_count() >= 9
        return float(whole)

    # By the definition it would be 15! orders; by coalitions 2**15.
    found = shares(15, game)
    for share in found[:5]:
        assert share == pytest.approx(float(Fraction(421, 2145)), rel=1e-12)
    for share in found[5:]:
        assert share == pytest.approx(float(Fraction(4, 2145)), rel=1e-12)


def test_gloves():
    """One left glove is worth two thirds of a pair, each of two right ones a sixth.

    Shapley and Shubik, Pure competition, coalitional power, and fair division (1969).
    """
    found = shares(3, lambda c: float(c & 1 and c & 0b110 > 0))
    assert found == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_runway():
    """Each part of a runway is shared by the planes that need it.

    Littlechild and Owen, A simple expression for the Shapley value in a special case
    (1973): planes that need 1, 2 and 4 pay 1/3, 1/3 + 1/2 and 1/3 + 1/2 + 2.
    """
    need = (1.0, 2.0, 4.0)

    def cost(coalition):
        return max((need[i] for i in range(3) if coalition >> i & 1), default=0.0)

    assert shares(3, cost) == pytest.approx([1 / 3, 5 / 6, 17 / 6])


def test_interaction_of_two_is_what_they_add_together():
    """1 for two that need each other, -1 for two of which one is enough, 0 else."""
    assert interactions(2, lambda c: float(c == 3))[0, 1] == 1.0
    assert interactions(2, lambda c: float(c > 0))[0, 1] == -1.0
    assert interactions(2, lambda c: float(c.bit_count()))[0, 1] == 0.0


def test_interaction_of_unanimous_players():
    """Of n players of whom all are needed each pair has 1 / (n - 1).

    Grabisch and Roubens, An axiomatic approach to the concept of interaction among
    players in cooperative games (1999).
    """
    for n in (2, 3, 6):
        found = interactions(n, lambda c, n=n: float(c == (1 << n) - 1))
        assert set(found) == set(combinations(range(n), 2))
        assert list(found.values()) == pytest.approx([1 / (n - 1)] * len(found))


@given(games(least=2, most=5))
@settings(max_examples=30)
def test_samples_of_all_orders_are_exact(found):
    """Each order with either beginning once: shares and interactions themselves."""
    n, values = found
    game = values.__getitem__
    every = [(order, k) for order in permutations(range(n)) for k in (0, 1)]
    rows = [sampled_shares(group, game) for group in every]
    means = [fsum(row[i] for row in rows) / len(rows) for i in range(n)]
    assert means == pytest.approx(shares(n, game), abs=1e-7)
    exact = interactions(n, game)
    seen = [sampled_interactions(group, game) for group in every]
    for pair, value in exact.items():
        own = [each[pair] for each in seen if pair in each]
        assert fsum(own) / len(own) == pytest.approx(value, abs=1e-7)


@given(games(least=2, most=5), st.integers(0, 2**63 - 1))
@settings(max_examples=40)
def test_shares_of_every_sample_sum_to_the_whole(found, seed):
    """Efficiency holds order by order."""
    n, values = found
    for group in groups(n, 2, seed):
        whole = values[-1] - values[0]
        found_shares = sampled_shares(group, values.__getitem__)
        assert fsum(found_shares) == pytest.approx(whole, abs=1e-8)


@given(st.integers(2, 12), st.integers(0, 1000))
@settings(max_examples=40)
def test_sample_looks_only_at_its_coalitions(n, seed):
    """At most 3 n of them, nobody and everybody among them, and no other is asked."""
    for group in groups(n, 2, seed):
        needed = set(coalitions(group))
        assert {0, (1 << n) - 1} <= needed
        assert len(needed) <= 3 * n
        assert sorted(group[0]) == list(range(n))
        assert four(group)[2:] == [order[::-1] for order in four(group)[:2]]
        asked = dict.fromkeys(needed, 1.0)
        sampled_shares(group, asked.__getitem__)
        sampled_interactions(group, asked.__getitem__)


def saturating(n: int) -> list[float]:
    """A game of many players who partly stand in for each other."""
    weight = (Stream(3, "weights").uniform(n) * 4.0).tolist()
    need = Stream(5, "pairs").uniform(n * n).reshape(n, n).tolist()

    def game(coalition):
        on = [i for i in range(n) if coalition >> i & 1]
        alone = fsum(weight[i] for i in on)
        return min(10.0, alone) + fsum(need[i][j] for i in on for j in on if i < j)

    return [game(coalition) for coalition in range(1 << n)]


def test_samples_hold_the_exact_shares_in_their_intervals():
    """Of ten players nine or more; the mean of the samples is close to all of them."""
    n = 10
    values = saturating(n)
    exact = shares(n, values.__getitem__)
    drawn = groups(n, 24, 0)
    rows = [sampled_shares(group, values.__getitem__) for group in drawn]
    found = [crossed([[row[i] for row in rows]]) for i in range(n)]
    held = [e.low <= x <= e.high for e, x in zip(found, exact, strict=True)]
    assert sum(held) >= 9
    assert [e.mean for e in found] == pytest.approx(exact, abs=0.35)
    # It is a sample: 24 orders do not see every coalition.
    seen = {c for group in drawn for c in coalitions(group)}
    assert len(seen) < 1 << (n - 1)


@given(st.lists(st.floats(-100, 100, width=32), min_size=36, max_size=36))
def test_sample_of_a_game_of_pairs_is_exact(worth):
    """Who comes before in an order comes behind in its reverse: both are the mean."""
    n = 6
    pair = [worth[i * n : i * n + n] for i in range(n)]

    def game(coalition):
        on = [i for i in range(n) if coalition >> i & 1]
        return fsum(pair[i][j] for i in on for j in on if i <= j)

    exact = shares(n, game)
    for group in groups(n, 2, 9):
        assert sampled_shares(group, game) == pytest.approx(exact, abs=1e-8)


def test_orders_are_those_of_their_seed():
    """The same seed, the same orders; another one, others."""
    assert groups(7, 6, 1) == groups(7, 6, 1)
    assert groups(7, 6, 1) != groups(7, 6, 2)
    assert [k for _, k in groups(7, 6, 1)] == [0, 1, 0, 1, 0, 1]
