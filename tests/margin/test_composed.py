"""Indices that a policy makes: what they are, what moved them, and votes on them."""

import pickle
from math import nan

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.margin.feeds import SECOND_NS as S
from flashwick.margin.prices import DriverKind, IndexBoard, IndexRule
from flashwick.margin.rules import RulesError

PAIRS = {
    "USDE/USDT": ("USDE", "USDT"),
    "WBETH/USDT": ("WBETH", "USDT"),
    "WBETH/ETH": ("WBETH", "ETH"),
    "BTC/USDT": ("BTC", "USDT"),
}
RULES = {
    "USDT": IndexRule(policy="implied", market="BTC/USDT"),
    "BTC": IndexRule(policy="outside"),
    "ETH": IndexRule(policy="outside", band=0.05),
    "USDE": IndexRule(policy="own_book", market="USDE/USDT", floor=0.9, band=0.1),
    "WBETH": IndexRule(
        market="WBETH/USDT",
        sources={"own_book": 0.2, "WBETH/ETH": 0.5, "redemption": 0.3},
        ratio=1.08,
        underlying="ETH",
        band=0.2,
    ),
}
books = st.floats(0.5, 2.0) | st.sampled_from([0.0, nan])


@given(
    rows=st.lists(
        st.tuples(
            st.fixed_dictionaries(dict.fromkeys(PAIRS, books)),
            st.fixed_dictionaries({"BTC": books, "ETH": books}),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=100, phases=UNTRACED)
def test_compiled_rule_is_the_policy_it_stands_for(rows):
    """A cap that never binds takes another way to the same indices."""
    compiled = IndexBoard(RULES, PAIRS)
    capped = {a: attrs.evolve(rule, cap=1e9) for a, rule in RULES.items()}
    composed = IndexBoard(capped, PAIRS)
    for now, (last, abroad) in enumerate(rows):
        one = compiled.update(last, abroad)
        other = composed.update(last, abroad, now * S)
        assert other == pytest.approx(one, rel=1e-12, nan_ok=True)
        composed._check()


def board(**keys: object) -> IndexBoard:
    """A board with one composed rule, of A's books and the price outside."""
    rule = IndexRule(**{"policy": "own_book", "market": "A/USD"} | keys)
    pairs = {"A/USD": ("A", "USD"), "A/B": ("A", "B"), "B/USD": ("B", "USD")}
    rules = {"A": rule, "B": IndexRule(policy="own_book", market="B/USD")}
    return IndexBoard(rules, pairs)


def path(made: IndexBoard, *prices: float, step: int = 1) -> list[float]:
    """The index of A as its own book goes along a path, B at 2 and all outside 10."""
    return [
        float(made.update([price, price / 2, 2.0], [10.0, 2.0], i * step * S)[0])
        for i, price in enumerate(prices)
    ]


def test_delayed_index_is_what_the_book_was():
    """From the start it is the first price, and then always that of two steps ago."""
    assert path(board(delay=2), 1.0, 2.0, 3.0, 4.0) == [1.0, 1.0, 1.0, 2.0]


def test_floor_stands_under_a_clamped_mix():
    """One of three sources is clamped to the median's band, then the floor counts."""
    mix = {"policy": "mix", "sources": {"A/USD": 0.5, "A/B": 0.25, "outside": 0.25}}
    made = board(**mix, clamp=0.01, floor=9.97)
    found = float(made.update([5.0, 5.0, 2.0], [10.0, 2.0], 0)[0])
    assert found == pytest.approx(9.97)
    loose = board(**mix, clamp=0.01)
    found = float(loose.update([5.0, 5.0, 2.0], [10.0, 2.0], 0)[0])
    assert found == pytest.approx(0.5 * 9.9 + 0.5 * 10.0)


def test_breaker_freezes_an_index_and_lets_it_go():
    """A fall by half within the window leaves it where it was for three steps."""
    made = board(breaker=0.1, breaker_window=60, breaker_hold=3)
    assert path(made, 1.0, 0.5, 0.5, 0.5, 0.5) == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_average_starts_from_the_first_price():
    """Half of a window after a jump the average is half way."""
    made = board(average="twap", window=4)
    assert path(made, 1.0, 2.0, 2.0, 2.0) == pytest.approx([1.0, 1.0, 1.25, 1.5])


def test_anchor_far_away_leaves_the_index():
    """A book more than a fifth below the price outside does not count."""
    made = board(anchor="outside", tolerance=0.2)
    assert path(made, 9.0, 7.0, 12.0, 13.0) == [9.0, 9.0, 12.0, 12.0]


def test_source_that_has_not_traded_leaves_its_weight():
    """Ten seconds after its trade a book does not count; with no other, all stays."""
    made = board(policy="mix", sources={"A/USD": 0.5, "A/B": 0.5}, stale=10)
    traded = np.array([0, 5 * S, 0])

    def index(own: float, at: int) -> float:
        last = np.array([own, 8.0, 2.0])
        return float(made.update(last, [10.0, 2.0], at * S, traded)[0])

    assert index(4.0, 10) == 10.0
    assert index(4.0, 11) == 16.0
    assert index(4.0, 16) == 16.0
    traded[0] = 20 * S
    assert index(5.0, 20) == 5.0


def test_what_depends_on_a_composed_index_follows_it():
    """The underlying is delayed before anything is made of it."""
    rules = {
        "C": IndexRule(policy="redemption", ratio=2.0, underlying="A"),
        "A": IndexRule(policy="outside", delay=1),
    }
    made = IndexBoard(rules, {})
    found = [made.update([], [nan, p], i * S).tolist() for i, p in enumerate((1.0, 3))]
    assert found == [[2.0, 1.0], [2.0, 1.0]]
    assert made.update([], [nan, 3.0], 2 * S).tolist() == [6.0, 3.0]


def test_a_move_that_comes_late_has_the_cause_it_had():
    """What a delay holds back is let go with the source that moved."""
    made = board(policy="mix", sources={"A/USD": 0.9, "outside": 0.1}, delay=2)
    for now, outside in enumerate((10.0, 20.0, 20.0)):
        made.update([1.0, 1.0, 2.0], [outside, 2.0], now * S)
        assert not len(made.drivers)
    made.update([1.0, 1.0, 2.0], [20.0, 2.0], 3 * S)
    (driver,) = made.drivers
    assert driver["kind"] == DriverKind.OUTSIDE
    assert (driver["old"], driver["new"]) == pytest.approx((1.9, 2.9))
    assert driver["share"] == pytest.approx(1.0)


def test_late_move_against_the_books_is_its_heaviest_sources():
    """The book is back where it was when its fall arrives."""
    made = board(delay=2)
    path(made, 2.0, 1.0, 2.0)
    made.update([2.0, 1.0, 2.0], [10.0, 2.0], 3 * S)
    (driver,) = made.drivers
    assert (driver["kind"], driver["driver"]) == (DriverKind.MARKET, 0)
    assert driver["new"] == 1.0


@pytest.mark.parametrize("keys", [{}, {"cap": 100.0}], ids=["plain", "composed"])
def test_vote_sets_an_index_after_its_delay_and_stays(keys):
    """Any rule may be overridden; what moved the index then is a rule."""
    made = board(vote_delay=2, **keys)
    assert path(made, 1.0) == [1.0]
    made.vote("A", 5.0, 0)
    last = [1.5, 1.0, 2.0]
    assert made.update(last, [10.0, 2.0], 1 * S)[0] == 1.5
    assert made.decided == []
    assert made.update(last, [10.0, 2.0], 2 * S)[0] == 5.0
    assert made.decided == [("A", 5.0)]
    assert made.drivers["kind"].tolist() == [DriverKind.RULE]
    assert made.update([9.0, 1.0, 2.0], [10.0, 2.0], 99 * S)[0] == 5.0
    assert made.decided == []
    made.vote("A", 6.0, 99 * S)
    assert made.update(last, [10.0, 2.0], 101 * S)[0] == 6.0
    assert made.drivers["kind"].tolist() == [DriverKind.RULE]
    made.replace({"A": attrs.evolve(made.rules["A"], floor=2.0)})
    assert made.update(last, [10.0, 2.0], 102 * S)[0] == 2.0


def test_vote_on_an_unknown_index_is_refused():
    """The nearest asset is told."""
    with pytest.raises(RulesError, match="has no index here; did you mean 'A'"):
        board().vote("a", 1.0, 0)


def test_rule_of_another_asset_leaves_a_delayed_one_its_past():
    """What is on its way arrives all the same."""
    made = board(delay=2)
    path(made, 1.0, 2.0)
    made.replace({"B": IndexRule(policy="outside")})
    pickled = pickle.loads(pickle.dumps(made))
    for one in (made, pickled):
        assert one.update([3.0, 1.0, 2.0], [10.0, 2.0], 3 * S)[0] == 2.0


@pytest.mark.parametrize(
    ("keys", "field", "said"),
    [
        ({"clamp": 0.1, "drop": 0.1}, "drop", "not be given beside clamp"),
        ({"growth": 0.1}, "growth", "needs cap"),
        ({"floor": 2.0, "cap": 1.0}, "floor", "must be at most cap, 1 .got 2."),
        ({"average": "twep"}, "average", "not an average; did you mean 'twap'"),
        ({"breaker": 1.5}, "breaker", "above 0 and at most 1 .got 1.5."),
        ({"delay": -1}, "delay", "of at least 0 .got -1."),
        ({"stale": nan}, "stale", "above 0 .got nan."),
        ({"anchor": "A/USDT"}, "anchor", "not a market; did you mean 'A/USD'"),
        ({"policy": "mix", "sources": {"fixed": 1.0}}, "value", "must be given"),
    ],
)
def test_wrong_composition_is_refused_with_its_place(keys, field, said):
    """Each fault with its key, what it must be, and what it is."""
    with pytest.raises(RulesError, match=said) as raised:
        board(**keys)
    assert [place for place, _ in raised.value.problems] == [f"A.{field}"]
