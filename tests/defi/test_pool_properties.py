"""What no swap, deposit or withdrawal may break, whatever the pool."""

from functools import reduce

import attrs
import pytest
from defi_book import booking
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.concentrated import ConcentratedLiquidity
from flashwick.engine.defi.constant_product import ConstantProduct
from flashwick.engine.defi.pools import depth, input_for
from flashwick.engine.defi.protocol import Refused
from flashwick.engine.defi.stableswap import StableSwap
from flashwick.engine.defi.ticks import sqrt_of

ASSETS = ("A", "B")
UNIT = 10**6
sizes = st.integers(1_000 * UNIT, 10**6 * UNIT)
amounts = st.integers(1, 10**5 * UNIT)
directions = st.booleans()
trades = st.lists(st.tuples(directions, amounts), min_size=1, max_size=8)


def constant(a: int, b: int, exact: bool = True, fee: int = 3000) -> ConstantProduct:
    """A constant-product pool with these reserves."""
    pool = ConstantProduct.empty("pool", ASSETS, fee_ppm=fee, exact=exact)
    return pool.add("lp", {"A": a, "B": b})[0]


def stable(a: int, b: int, exact: bool = True, fee: int = 4 * 10**6) -> StableSwap:
    """A stableswap pool with these reserves."""
    pool = StableSwap.empty(
        "pool", ASSETS, amplification=200, fee=fee, off_peg=2 * 10**10, exact=exact
    )
    return pool.add("lp", {"A": a, "B": b})[0]


def ranges(a: int, b: int, exact: bool = True, fee: int = 500) -> ConcentratedLiquidity:
    """A pool with a narrow and a full range."""
    pool = ConcentratedLiquidity.at(
        "pool", ASSETS, sqrt_of(1.0), fee_ppm=fee, spacing=10, exact=exact
    )
    pool, _ = pool.add("lp", -887_270, 887_270, a)
    return pool.add("other", -500, 300, 3 * b)[0]


makers = pytest.mark.parametrize("make", [constant, stable, ranges])


def swapped(pool, trade):
    """The pool after a trade, the same if it is refused."""
    forward, amount = trade
    give, get = ASSETS if forward else ASSETS[::-1]
    try:
        return pool.swap("ann", give, get, amount)[0]
    except Refused:
        return pool


def worth(pool) -> float:
    """What no swap may let fall: k, D, or the fees that were earned."""
    if isinstance(pool, ConstantProduct):
        return pool.reserves[0] * pool.reserves[1]
    if isinstance(pool, StableSwap):
        return pool.virtual_price
    return sum(pool.growth)


@makers
@given(a=sizes, b=sizes, many=trades)
@settings(max_examples=40)
def test_swaps_never_take_from_the_providers(make, a, b, many):
    """k, the virtual price and the growth of fees never fall."""
    pool = make(a, b)
    for trade in many:
        after = swapped(pool, trade)
        after._check()
        assert worth(after) >= worth(pool)
        pool = after


@makers
@given(a=sizes, b=sizes, before=trades, amount=amounts)
@settings(max_examples=40)
def test_round_trip_never_profits(make, a, b, before, amount):
    """Selling and buying back leaves at most what there was."""
    pool = reduce(swapped, before, make(a, b))
    try:
        there, out = pool.swap("ann", "A", "B", amount)
        assume(out.amount_out > 0)
        _, back = there.swap("ann", "B", "A", out.amount_out)
    except Refused:
        assume(False)
    assert back.amount_out <= amount


@makers
@given(a=sizes, b=sizes, first=amounts, second=amounts)
@settings(max_examples=40)
def test_split_swap_without_fee_is_one_swap(make, a, b, first, second):
    """Two halves pay what the whole pays, but for the atoms that rounding keeps."""
    pool = make(a, b, fee=0)
    try:
        _, whole = pool.swap("ann", "A", "B", first + second)
        half, one = pool.swap("ann", "A", "B", first)
        _, two = half.swap("ann", "A", "B", second)
    except Refused:
        assume(False)
    paid = one.amount_out + two.amount_out
    assert paid <= whole.amount_out + 4
    assert whole.amount_out - paid <= 40


@makers
@given(a=sizes, b=sizes, before=trades, trade=st.tuples(directions, amounts))
@settings(max_examples=40)
def test_floats_pay_what_integers_pay(make, a, b, before, trade):
    """From the same reserves both differ by 3e-10, or by what a few atoms are worth."""
    forward, amount = trade
    give, get = ASSETS if forward else ASSETS[::-1]
    exact = reduce(swapped, before, make(a, b))
    floats = attrs.evolve(exact, exact=False)
    try:
        paid = exact.quote(give, get, amount)
        near = floats.quote(give, get, amount)
    except Refused:
        assume(False)
    atoms = 4 + 4 * exact.price(give, get)
    assert near == pytest.approx(paid, rel=3e-10, abs=atoms)


@makers
@given(a=sizes, b=sizes, before=trades, wanted=st.integers(1, 500 * UNIT))
@settings(max_examples=25)
def test_input_for_an_output_is_the_fewest(make, a, b, before, wanted):
    """An atom less buys less than was wanted."""
    pool = reduce(swapped, before, make(a, b))
    try:
        asked = input_for(pool, "A", "B", wanted)
    except Refused:
        assume(False)
    assert pool.quote("A", "B", asked) >= wanted
    assert asked == 1 or pool.quote("A", "B", asked - 1) < wanted


@makers
@given(a=sizes, b=sizes, many=trades)
@settings(max_examples=25)
def test_assets_are_conserved_to_the_atom(make, a, b, many):
    """Booked in the ledger, the pool's account holds what the pool says."""
    pool = make(a, b)
    held = dict(zip(ASSETS, pool.reserves, strict=True))
    book = booking(list(ASSETS), {"ann": dict.fromkeys(ASSETS, 10**15), "pool": held})
    for forward, amount in many:
        give, get = ASSETS if forward else ASSETS[::-1]
        try:
            after, trade = pool.swap("ann", give, get, amount)
        except Refused:
            continue
        book.book(trade.transfers)
        pool = after
    owed = getattr(pool, "owed", (0, 0))
    for k, asset in enumerate(ASSETS):
        has = pool.reserves[k] + owed[k]
        assert book.balance("pool", asset) == has
        assert book.balance("ann", asset) == 10**15 + held[asset] - has


# -- Providers


@pytest.mark.parametrize("make", [constant, stable])
@given(a=sizes, b=sizes, many=trades, put=sizes, share=st.integers(1, 100))
@settings(max_examples=40)
def test_provider_takes_out_at_most_what_is_there(make, a, b, many, put, share):
    """Deposits and withdrawals book in the ledger, and never dilute the others."""
    pool = make(a, b)
    pool = reduce(swapped, many, pool)
    reserves = dict(zip(ASSETS, pool.reserves, strict=True))
    owed = getattr(pool, "owed", (0, 0))
    held = {k: reserves[k] + owed[i] for i, k in enumerate(ASSETS)}
    held[pool.share_asset] = pool.shares
    book = booking(
        [*ASSETS, pool.share_asset],
        {"bob": dict.fromkeys(ASSETS, 2 * put), "pool": held},
    )
    before = worth(pool)
    per_share = min(r / pool.shares for r in pool.reserves)
    after, added = pool.add("bob", {"A": put, "B": put})
    book.book(added.transfers)
    part = max(1, added.shares * share // 100)
    after, removed = after.remove("bob", part)
    book.book(removed.transfers)
    after._check()
    if isinstance(pool, StableSwap):
        assert after.virtual_price >= before - 1
    else:
        assert min(r / after.shares for r in after.reserves) >= per_share * (1 - 1e-12)
    for k, asset in enumerate(ASSETS):
        owed = getattr(after, "owed", (0, 0))[k]
        assert book.balance("pool", asset) == after.reserves[k] + owed
    assert book.balance("bob", pool.share_asset) == added.shares - part


@given(
    a=sizes,
    b=sizes,
    many=trades,
    width=st.integers(1, 80),
    share=st.integers(0, 100),
)
@settings(max_examples=40)
def test_range_pays_its_provider_at_most_what_the_pool_holds(a, b, many, width, share):
    """Withdrawing every range leaves the pool with nothing below 0, and fees go out."""
    pool, added = ranges(a, b).add("bob", -10 * width, 10 * width, 10**9)
    assert min(added.amounts) > 0
    pool = reduce(swapped, many, pool)
    part = 10**9 * share // 100
    pool, _ = pool.remove("bob", -10 * width, 10 * width, part)
    pool._check()
    for (who, lower, upper), position in sorted(pool.positions.items()):
        pool, removed = pool.remove(who, lower, upper, position.liquidity)
        assert min(removed.amounts) >= 0
    pool._check()
    assert pool.liquidity == 0
    assert min(pool.reserves) >= 0
    # What is left is what rounding kept, not what somebody earned.
    assert max(pool.reserves) <= 8 * (len(many) + 4) + sum(amount for _, amount in many)


def test_fees_of_a_range_go_to_who_was_in_it():
    """A range the price never enters earns nothing; the active one earns the fee."""
    pool = ConcentratedLiquidity.at("pool", ASSETS, sqrt_of(1.0), spacing=10)
    pool, _ = pool.add("in", -100, 100, 10**12)
    pool, _ = pool.add("out", 5_000, 6_000, 10**12)
    pool, trade = pool.swap("ann", "A", "B", 10**8)
    assert trade.fee == 3 * 10**5
    _, far = pool.remove("out", 5_000, 6_000, 0)
    assert far.amounts == (0, 0)
    _, near = pool.remove("in", -100, 100, 0)
    assert near.amounts == (trade.fee - 1, 0)


# -- Moving average


def test_moving_average_ignores_the_block_of_the_push():
    """A price pushed and read at once has no effect; later it counts by age."""
    pool = stable(10**12, 10**12)
    start = pool.average("B", 0)
    assert start == pytest.approx(1.0)
    hour = 3_600 * 10**9
    pushed, _ = pool.swap("ann", "B", "A", 9 * 10**11, now_ns=hour)
    assert pushed.average("B", hour) == pytest.approx(1.0, abs=1e-6)
    spot = pushed.moving.last[0]
    assert spot < 0.9
    half = pushed.average("B", hour + 600 * 10**9)
    assert half == pytest.approx((1.0 + spot) / 2, abs=2e-4)


def test_moving_average_counts_no_price_above_two():
    """The contract caps what a push can do."""
    pool = stable(10**12, 10**12)
    pushed, _ = pool.swap("ann", "A", "B", 25 * 10**11)
    assert pushed.price("B", "A") > 2.0
    assert pushed.moving.last == (2.0,)


# -- Depth


def test_depth_of_ranges_ends_where_they_end():
    """Without liquidity below, the price there cannot be reached by selling more."""
    pool = ConcentratedLiquidity.at("pool", ASSETS, sqrt_of(1.0), fee_ppm=0, spacing=10)
    pool, _ = pool.add("lp", -100, 100, 10**12)
    edge = 1.0001**-50
    sold = depth(pool, "A", "B", edge)
    after, _ = pool.swap("ann", "A", "B", sold)
    assert after.price("A", "B") == pytest.approx(edge, rel=1e-9)
    with pytest.raises(Refused, match="the ranges take"):
        depth(pool, "A", "B", 1.0001**-101)


# -- Refusals


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda p: p.swap("ann", "A", "A", 1), "another asset than 'A'"),
        (lambda p: p.swap("ann", "a", "B", 1), "'give' must be one of 'A', 'B'"),
        (lambda p: p.swap("ann", "A", "B", 0), "whole number of atoms above 0"),
        (lambda p: p.swap("ann", "A", "B", 1.5), "got 1.5"),
        (lambda p: p.swap("ann", "A", "B", 10, least=10**9), "'least' must be at most"),
    ],
)
@makers
def test_wrong_swap_is_refused(make, act, said):
    """The field, what it must be and what came are named."""
    with pytest.raises(Refused, match=said):
        act(make(10**12, 10**12))


@pytest.mark.parametrize(
    "act",
    [
        lambda: ConstantProduct.empty("pool", ASSETS).quote("A", "B", 5),
        lambda: StableSwap.empty("p", ASSETS, amplification=1, fee=0).quote(
            "A", "B", 1
        ),
        lambda: StableSwap.empty("p", ASSETS, amplification=0, fee=0),
        lambda: StableSwap.empty("p", ("A", "A"), amplification=1, fee=0),
        lambda: ConstantProduct.empty("pool", ASSETS, fee_ppm=10**6),
        lambda: constant(10**6, 10**6).remove("ann", 10**6),
        lambda: constant(10**6, 10**6).add("ann", {"A": 5}),
        lambda: constant(10**6, 10**6).quote_in("A", "B", 10**6),
        lambda: stable(10**9, 10**9).remove_one("ann", 2 * 10**9, "A"),
        lambda: ranges(10**9, 10**9).add("ann", -5, 10, 1),
        lambda: ranges(10**9, 10**9).add("ann", 10, 10, 1),
        lambda: ranges(10**9, 10**9).remove("nobody", 10, 20, 1),
    ],
)
def test_wrong_pool_or_provision_is_refused(act):
    """A pool that cannot trade, or shares that are not there, change nothing."""
    with pytest.raises(Refused):
        act()
