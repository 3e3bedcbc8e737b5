"""Oracle policies: their vectors, what they promise, and how they meet index rules."""

import pickle
from math import nan

import pytest
from defi_vectors import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.averages import Ema, HeldTwap, Step, Twap
from flashwick.engine.defi.feeds import Feed, Fixed, Last, Status, feed
from flashwick.engine.defi.fixed_point import WAD
from flashwick.engine.defi.indices import (
    Clamp,
    DropOrMedian,
    Excluding,
    Fallback,
    Index,
    Median,
    Product,
)
from flashwick.engine.defi.isolated import PRICE_ONE, IsolatedMarket, Terms
from flashwick.engine.defi.oracles import (
    Oracle,
    base_prices,
    oracle_of,
    outside,
    policy_of,
)
from flashwick.engine.defi.policies import (
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
from flashwick.engine.defi.presets import (
    AAVE_USDE,
    ETHENA_OCT25,
    LISTA_USDX,
    MORPHO_XUSD,
    wbeth_index,
)
from flashwick.engine.defi.protocol import SECOND_NS, YEAR_S, Refused
from flashwick.margin.marks import mark_price
from flashwick.margin.presets import GRADES
from flashwick.margin.prices import IndexBoard, IndexRule

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
    """A stale part has no weight; without any part there is no price."""
    index = Index((Stale(A, 5 * S), Stale(B, 5 * S)), (0.2, 0.8))
    made = run(index, (0, {"a": 1.0, "b": 2.0}), (4, {"a": 1.0}))
    assert made.read(4 * S).value == pytest.approx(1.8)
    assert made.read(6 * S).value == 1.0
    assert made.read(10 * S).status is Status.MISSING


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


# -- Oracles of markets


@pytest.mark.parametrize(
    ("when_down", "health", "allowed"),
    [
        ("block", None, False),
        ("block", 0.5, False),
        ("deep", None, False),
        ("deep", 0.96, False),
        ("deep", 0.94, True),
        ("allow", None, True),
    ],
)
def test_oracle_that_is_down_has_a_declared_consequence(when_down, health, allowed):
    """Nothing, only deep liquidations, or everything at the price that stands."""
    stale = run(Stale(A, S), (0, {"a": 0.9}))
    oracle = Oracle(name="USDe/USD", feed=stale, when_down=when_down)
    assert oracle.price(S).live
    if allowed:
        assert oracle.price(2 * S, health).value == 0.9
    else:
        with pytest.raises(Refused, match=r"'USDe/USD' must .* live .*stale"):
            oracle.price(2 * S, health)


def test_oracle_without_a_price_allows_nothing():
    """Even one that allows everything has to have something to say."""
    oracle = Oracle(name="x", feed=Feed(A), when_down="allow")
    with pytest.raises(Refused, match="missing"):
        oracle.price(0)


def test_oracle_speaks_the_units_of_each_market():
    """Eight digits for the pool; atoms for atoms, times 10**36, for the other."""
    oracle = Oracle(name="xUSD", feed=Feed(Fixed(1.25)))
    assert oracle.in_base(0) == 125_000_000
    scaled = oracle.scaled(0, collateral_decimals=18, loan_decimals=6)
    assert scaled == 125 * PRICE_ONE // 100 // 10**12
    with pytest.raises(Refused, match=r"'when_down' must be one of 'block'"):
        Oracle(name="x", feed=Feed(A), when_down="blocked")


def test_market_with_an_unknown_oracle_is_refused():
    """The market, the name and the nearest right one are told."""
    market = IsolatedMarket.open("market", Terms("USD", "TOK", "TOK/USB", WAD // 2))
    known = {"TOK/USD": Oracle(name="TOK/USD", feed=Feed(Fixed(1.0)))}
    said = r"'market.oracle' must be one of 'TOK/USD' .*did you mean 'TOK/USD'"
    with pytest.raises(Refused, match=said):
        oracle_of(market, known)
    named = IsolatedMarket.open("market", Terms("USD", "TOK", "TOK/USD", WAD // 2))
    assert oracle_of(named, known).price(0).value == 1.0
    assert base_prices(known, 0) == {"TOK/USD": 10**8}


# -- The exchange's index rules

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
        policy="mix",
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
@settings(max_examples=100)
def test_index_rule_is_the_policy_it_stands_for(rows):
    """The board's indices are the policies' prices, whatever the books do."""
    board = IndexBoard(RULES, PAIRS)
    feeds = {asset: Feed(policy_of(asset, RULES, PAIRS)) for asset in RULES}
    for now, (last, abroad) in enumerate(rows):
        board.update(last, abroad)
        seen = last | {outside(asset): price for asset, price in abroad.items()}
        for asset, index in zip(board.assets, board.index, strict=True):
            feeds[asset] = feeds[asset].after(seen, now)
            read = feeds[asset].read(now)
            assert read.value == pytest.approx(index, rel=1e-12, nan_ok=True), asset


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
        lambda: policy_of("BTCC", RULES, PAIRS),
    ],
)
def test_wrong_policy_is_refused(make):
    """A policy that could make no price says which of its fields is wrong."""
    with pytest.raises(Refused, match="must"):
        make()


def test_yearly_cap_is_of_a_year_of_365_days():
    """After a year the ratio may have grown by the whole rate."""
    assert GrowthCap(A, 1.0, 0, 0.12).limit(YEAR_S * S) == pytest.approx(1.12)


def test_index_of_wbeth_breaks_only_with_both_its_pairs():
    """At 430 in its own book it falls 17.9 % while WBETH/ETH holds, else to 1,910."""
    seen = {"WBETH/USDT": 430.0, "WBETH/ETH": 1.08, "ETH/USDT": 3_800.0}
    held = feed(wbeth_index(), **seen).read(0).value
    assert held == pytest.approx(3_369.0, abs=1.0)
    assert 1.0 - held / 4_104.0 == pytest.approx(0.179, abs=5e-4)
    both = feed(wbeth_index(), **(seen | {"WBETH/ETH": 0.6})).read(0).value
    assert both == pytest.approx(1_910.0)


def test_presets_are_what_their_sources_state():
    """An e-mode of 89/92/2 makes loops of nine; 88 % at full use is a target of 22."""
    mode = AAVE_USDE.mode
    assert 1.0 / (1.0 - mode.ltv / 10_000) == pytest.approx(9.09, abs=0.01)
    assert 1.0 - mode.ltv / mode.threshold == pytest.approx(0.0326, abs=1e-4)
    curve = MORPHO_XUSD.curve
    full = curve.rate(1, 1, curve.initial, 0).mean * 365 * 86_400 / 10**18
    assert full == pytest.approx(0.88, abs=1e-6)
    most = LISTA_USDX.curve.rate(1, 1, LISTA_USDX.curve.most, 0).mean
    assert most * 365 * 86_400 / 10**18 == pytest.approx(8.0, abs=1e-6)
    for preset in (AAVE_USDE, MORPHO_XUSD, LISTA_USDX, ETHENA_OCT25):
        assert preset.evidence.grade in GRADES
        assert preset.evidence.source
