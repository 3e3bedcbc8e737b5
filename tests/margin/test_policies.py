"""Policies of prices: their vectors, and what they promise."""

import pickle
from math import nan

import pytest
from defi_vectors import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.margin.averages import Ema, HeldTwap, Step, Twap
from flashwick.margin.combined import (
    Clamp,
    DropOrMedian,
    Excluding,
    Fallback,
    Index,
    Median,
    Product,
)
from flashwick.margin.feeds import (
    SECOND_NS,
    YEAR_S,
    Feed,
    Fixed,
    Last,
    Status,
    feed,
)
from flashwick.margin.marks import mark_price
from flashwick.margin.policies import (
    Anchored,
    Breaker,
    Cap,
    Delayed,
    Floor,
    GrowthCap,
    Push,
    Stale,
    override,
)
from flashwick.margin.refusal import Refused

S = SECOND_NS
A, B, C = Last("a"), Last("b"), Last("c")
prices = st.floats(0.01, 100.0)


def run(policy, *rows) -> Feed:
    """A feed after (seconds, prices) rows."""
    made = Feed(policy)
    for seconds, seen in rows:
        made = made.after(seen, seconds * S)
    return made


# -- Vectors


def test_vector_idx_rules():
    """One of five books at 65.67 under each rule of an index."""
    row = vector("idx-rules")
    names = "abcde"
    sources = row["inputs"]["sources"]
    seen = {name: source[0] for name, source in zip(names, sources, strict=True)}
    parts = tuple(Stale(Last(name), 10 * S) for name in names)
    weights = tuple(source[1] for source in sources)
    expected = row["expected"]
    close = {"abs": 1e-9}

    def value(policy):
        return feed(policy, **seen).read(0).value

    plain = value(Index(parts, weights))
    assert plain == pytest.approx(expected["plain_weighted"], **close)
    assert value(Median(parts)) == pytest.approx(expected["median"], **close)
    dropped = value(Index(parts, weights, DropOrMedian(0.05)))
    assert dropped == pytest.approx(expected["binance_2020_drop"], **close)
    clamped = value(Index(parts, weights, Clamp(0.03)))
    assert clamped == pytest.approx(expected["binance_cap3"], **close)
    assert value(parts[4]) == expected["single_venue"]


def test_vector_idx_one_source():
    """With one source no outlier rule helps; the redemption value or a floor does."""
    row = vector("idx-one-source")
    ((book, weight, _),) = row["inputs"]["sources"]
    expected = row["expected"]
    for name, rule in (("binance_2020", DropOrMedian(0.05)), ("cap3", Clamp(0.03))):
        value = feed(Index((A,), (weight,), rule), a=book).read(0).value
        assert value == pytest.approx(expected[name], abs=1e-12)
    half = feed(Index((Fixed(1.0), A), (0.5, 0.5)), a=book).read(0).value
    assert half == pytest.approx(expected["with_redemption_half"], abs=1e-12)
    floored = feed(Floor(A, 0.95), a=book).read(0).value
    assert floored == expected["with_floor_0_95"]


def test_vector_capo():
    """A ratio may grow by 12 % a year from its snapshot; what it falls to counts."""
    expected = vector("capo")["expected"]
    now = 60 * 86_400 * S
    capped = GrowthCap(A, 1.08, 0, 0.12)
    assert capped.limit(now) == pytest.approx(expected["cap_ratio"], abs=1e-9)
    for ratio, name in ((1.09, "price_if_ratio_1_09"), (1.2, "price_if_ratio_1_20")):
        value = feed(Product(capped, Fixed(4000.0)), a=ratio).read(now).value
        assert value == pytest.approx(expected[name], abs=1e-9)
    assert feed(capped, a=0.5).read(now).value == 0.5


def test_vector_anchored():
    """A report of 1.30 counts once the anchor is at 1.0833."""
    expected = vector("anchored")["expected"]
    policy = Anchored(report=A, anchor=B, band=0.2)
    first = run(policy, (0, {"a": 1.0, "b": 1.0}))
    low = first.after({"a": 1.3}, S).read(S)
    assert low.value == expected["anchor_1_00"]
    high = first.after({"a": 1.3, "b": 1.1}, S).read(S)
    assert high.value == expected["anchor_1_10"]
    least = expected["min_anchor_that_accepts"]
    assert first.after({"a": 1.3, "b": least}, S).read(S).value == 1.3
    assert first.after({"a": 1.3, "b": least - 1e-6}, S).read(S).value == 1.0


def test_vector_mark():
    """The exchange's mark price is the median of three."""
    row = vector("mark")
    given_, expected = row["inputs"], row["expected"]
    mark = mark_price(
        given_["index"],
        given_["funding"],
        given_["secs"] / 28_800,
        given_["basis_ma"],
        given_["contract"],
    )
    assert mark == pytest.approx(expected["mark"], abs=1e-12)


def test_vector_iron_held_average():
    """The average changes only when asked after a period, and is of past prices."""
    step = vector("iron")["expected"]["steps"][4]
    policy = HeldTwap(inner=A, period_ns=600 * S)
    made = run(policy, (0, {"a": 60.0}), (600, {"a": 30.0}))
    assert made.read(600 * S).value == pytest.approx(step["avg_at_600"])
    made = run(policy, (0, {"a": 60.0}), (600, {"a": 30.0}), (1050, {"a": 10.0}))
    late = made.after({"a": step["spot"]}, 1100 * S)
    assert (late.read(1100 * S) != made.read(1100 * S)) == step["update_at_1100"]
    due = late.after({}, 1200 * S)
    assert (due.read(1200 * S) != late.read(1200 * S)) == step["update_at_1200"]
    assert due.read(1200 * S).value == pytest.approx(step["avg"])


# -- What each promises


@given(
    values=st.lists(prices, min_size=1, max_size=6),
    rule=st.sampled_from([None, Clamp(0.03), DropOrMedian(0.05)]),
)
@settings(max_examples=100)
def test_index_is_within_its_live_inputs(values, rule):
    """Whatever the rule for outliers, nothing is made that no source has said."""
    names = [f"s{i}" for i in range(len(values))]
    index = Index(tuple(map(Last, names)), (), rule)
    read = feed(index, **dict(zip(names, values, strict=True))).read(0)
    assert min(values) * (1 - 1e-12) <= read.value <= max(values) * (1 + 1e-12)


@given(lie=prices, weight=st.floats(0.01, 0.49), price=prices)
@settings(max_examples=100)
def test_clamped_index_moves_by_the_weight_of_the_liar_at_most(lie, weight, price):
    """One source of several moves the index by its weight times the band."""
    rest = (1.0 - weight) / 2
    index = Index((A, B, C), (weight, rest, rest), Clamp(0.03))
    read = feed(index, a=lie, b=price, c=price).read(0)
    assert abs(read.value / price - 1.0) <= 0.03 * weight + 1e-12


def test_weights_of_the_missing_go_to_the_others():
    """A stale part has no weight; if all are stale, so is what is made of them."""
    index = Index((Stale(A, 5 * S), Stale(B, 5 * S)), (0.2, 0.8))
    made = run(index, (0, {"a": 1.0, "b": 2.0}), (4, {"a": 1.0}))
    assert made.read(4 * S).value == pytest.approx(1.8)
    assert made.read(6 * S).value == 1.0
    late = made.read(10 * S)
    assert (late.status, late.value) == (Status.STALE, pytest.approx(1.8))
    assert run(index, (0, {"a": nan})).read(0).status is Status.MISSING


@given(
    steps=st.lists(st.tuples(st.integers(1, 900), prices), min_size=2, max_size=12),
    window=st.integers(1, 2_000),
)
@settings(max_examples=60)
def test_averages_lie_between_what_was_seen(steps, window):
    """Rolling, geometric, held and exponential averages are within their inputs."""
    policies = [
        Ema(inner=A, window_s=window, most=1e9),
        Twap(inner=A, window_ns=window * S),
        Twap(inner=A, window_ns=window * S, geometric=True),
        HeldTwap(inner=A, period_ns=window * S),
    ]
    seen = [price for _, price in steps]
    low, high = min(seen) * (1 - 2e-4), max(seen) * (1 + 2e-4)
    for policy in policies:
        made, now = Feed(policy), 0
        for seconds, price in steps:
            now += seconds
            made = made.after({"a": price}, now * S)
            read = made.read(now * S)
            assert read.status is Status.MISSING or low <= read.value <= high


def test_rolling_average_is_of_its_window_alone():
    """What was before the window does not count; geometric is in whole ticks."""
    rows = ((0, {"a": 50.0}), (100, {"a": 2.0}), (110, {"a": 8.0}))
    made = run(Twap(inner=A, window_ns=20 * S), *rows)
    assert made.read(120 * S).value == pytest.approx(5.0)
    assert made.read(115 * S).value == pytest.approx(
        (5 * 50.0 + 10 * 2.0 + 5 * 8.0) / 20
    )
    made = run(Twap(inner=A, window_ns=20 * S, geometric=True), *rows)
    assert made.read(120 * S).value == pytest.approx(4.0, rel=1.01e-4)
    assert made.read(120 * S).value <= 4.0


def test_part_too_far_out_is_excluded_for_a_time_and_then_for_good():
    """Five minutes out at 3 %; after the fourth time in half an hour it stays out."""
    policy = Excluding(parts=(A, B, C), weights=(0.5, 0.25, 0.25))
    near, far = {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 0.9}
    made = run(policy, (0, near), (1, far))
    assert made.read(300 * S).value == 1.0
    assert made.read(301 * S).value == pytest.approx(0.95)
    for start in (301, 602, 903):
        made = made.after(far, start * S)
    made = made.after({"a": 1.0, "b": 2.0, "c": 2.0}, 10_000 * S)
    assert made.read(10_000 * S).value == 2.0
    slow = run(policy, (0, near), *((k * 1_000, far) for k in range(1, 6)))
    assert slow.read(5_300 * S).value == pytest.approx(0.95)


def test_average_is_not_moved_by_the_moment_of_the_push():
    """A price pushed and read in the same block leaves the average where it was."""
    made = run(Ema(inner=A), (0, {"a": 1.0}), (600, {"a": 0.2}))
    assert made.read(600 * S).value == 1.0
    half = made.read(1200 * S).value
    assert half == pytest.approx(0.6, abs=2e-4)


def test_pushed_feed_writes_on_deviation_or_heartbeat():
    """Small moves within the heartbeat are not seen by whoever reads."""
    policy = Push(inner=A, deviation=0.01, heartbeat_ns=60 * S)
    made = run(policy, (0, {"a": 1.0}), (10, {"a": 0.995}))
    assert made.read(10 * S).at_ns == 0
    moved = made.after({"a": 0.98}, 20 * S)
    assert moved.read(20 * S).value == 0.98
    beat = made.after({"a": 0.995}, 60 * S)
    assert beat.read(60 * S).value == 0.995


@given(
    steps=st.lists(st.tuples(st.integers(0, 50), prices), min_size=1, max_size=10),
    delay=st.integers(0, 100),
)
@settings(max_examples=60)
def test_delayed_price_never_looks_ahead(steps, delay):
    """A read is the last observation that is old enough, or nothing."""
    made, now, seen = Feed(Delayed(A, delay * S)), 0, []
    for seconds, price in steps:
        now += seconds
        made = made.after({"a": price}, now * S)
        seen.append((now, price))
        old = [price for at, price in seen if at <= now - delay]
        read = made.read(now * S)
        assert (read.value == old[-1]) if old else (read.status is Status.MISSING)


def test_vote_takes_effect_after_its_window_and_stays():
    """LIP-022: an hour of voting, then the price that was voted for."""
    hour = 3_600
    policy = override(Fixed(1.0), "LIP-022", hour * S)
    made = run(policy, (0, {}), (100, {"LIP-022": 0.37}))
    assert made.read((100 + hour - 1) * S).value == 1.0
    assert made.read((100 + hour) * S).value == 0.37
    assert made.read(100 * hour * S).value == 0.37


def test_observation_in_the_past_is_refused():
    """A vote before the last observation would change what was read already."""
    made = run(override(Fixed(1.0), "vote", 0), (100, {}))
    with pytest.raises(Refused, match="'now_ns' must not be before the last"):
        made.after({"vote": 0.5}, 99 * S)
    with pytest.raises(Refused, match="not be before"):
        made.read(99 * S)


def test_breaker_freezes_what_was_before_the_move_and_lets_go():
    """Ten per cent within a minute freezes for five; then the new price counts."""
    policy = Breaker(inner=A, band=0.1, window_ns=60 * S, hold_ns=300 * S)
    made = run(policy, (0, {"a": 1.0}), (30, {"a": 0.97}), (50, {"a": 0.8}))
    frozen = made.read(60 * S)
    assert (frozen.value, frozen.status) == (0.97, Status.FROZEN)
    later = made.after({"a": 0.7}, 200 * S)
    assert later.read(349 * S).value == 0.97
    assert later.read(350 * S).value == 0.7
    slow = run(policy, (0, {"a": 1.0}), (61, {"a": 0.8}))
    assert slow.read(61 * S).live


def test_bounds_hold_on_their_side_alone():
    """A floor leaves high prices, a cap low ones, and neither invents a price."""
    assert feed(Floor(A, 0.95), a=1.2).read(0).value == 1.2
    assert feed(Cap(A, 1.04), a=1.2).read(0).value == 1.04
    assert feed(Cap(A, 1.04), a=0.5).read(0).value == 0.5
    assert feed(Floor(A, 0.95), a=nan).read(0).status is Status.MISSING
    assert feed(Fallback(A, B), b=2.0).read(0).value == 2.0


def test_policy_and_its_state_cross_a_process():
    """A feed pickles whole, as the simulation that holds it must."""
    index = Index((A, Stale(B, S)), (0.5, 0.5), Clamp(0.01))
    made = run(Floor(index, 0.9), (0, {"a": 1.0, "b": 1.1}))
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(0.0),
        lambda: Fixed(nan),
        lambda: Index(()),
        lambda: Index((A, B), (1.0,)),
        lambda: Index((A, B), (1.0, 0.0)),
        lambda: Delayed(A, -1),
        lambda: Twap(inner=A, window_ns=0),
        lambda: HeldTwap(inner=A, period_ns=0),
        lambda: Ema(inner=A, window_s=0),
        lambda: Step(inner=A, band=0.0),
        lambda: Breaker(inner=A, band=0.0, window_ns=1, hold_ns=1),
    ],
)
def test_wrong_policy_is_refused(make):
    """A policy that could make no price says which of its fields is wrong."""
    with pytest.raises(Refused, match="must"):
        make()


def test_yearly_cap_is_of_a_year_of_365_days():
    """After a year the ratio may have grown by the whole rate."""
    assert GrowthCap(A, 1.0, 0, 0.12).limit(YEAR_S * S) == pytest.approx(1.12)
