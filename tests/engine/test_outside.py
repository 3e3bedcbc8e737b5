"""The outside world: who follows whom how strongly, paths, and what a trade moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.engine.chance import Stream
from flashwick.engine.config import Asset
from flashwick.engine.outside import YEAR, Outside

SECOND = 1_000_000_000
LEADER, STAKED, WILD, ALONE = range(4)


def outside(volatility: float = 0.0, beta: float = 2.6) -> Outside:
    """A coin, one staked on it, one that moves more than it does, and another."""
    assets = {
        "ETH": Asset(price=4_000.0, volatility=volatility, impact=0.01),
        "WBETH": Asset(price=4_300.0, follows="ETH", impact=0.02),
        "ALT": Asset(price=2.0, follows="ETH", beta=beta, impact=0.05),
        "BTC": Asset(price=100_000.0, volatility=volatility, impact=0.01),
    }
    return Outside(assets, Stream(0, "outside"))


def moves(world: Outside) -> list[float]:
    """What each price has been multiplied by."""
    return (world.price / [4_000.0, 4_300.0, 2.0, 100_000.0]).tolist()


def test_follower_moves_by_the_power_of_its_beta() -> None:
    """Down by 20 %, the leader takes what follows it 2.6 times as strongly to 56 %."""
    world = outside()
    world.jump(LEADER, -0.2)
    assert moves(world) == pytest.approx([0.8, 0.8, 0.8**2.6, 1.0])
    world.jump(WILD, 0.5)
    assert moves(world) == pytest.approx([0.8, 0.8, 1.5 * 0.8**2.6, 1.0])


def test_followers_may_have_followers() -> None:
    """A staked coin moves as its coin, which moves as the market does."""
    assets = {
        "WBETH": Asset(price=4_300.0, follows="ETH", impact=0.1),
        "ETH": Asset(price=4_000.0, follows="BTC", beta=1.6, impact=0.1),
        "BTC": Asset(price=100_000.0),
        "ALT": Asset(price=1.0, follows="WBETH", beta=2.0),
    }
    world = Outside(assets, Stream(0, "outside"))
    world.jump(2, -0.1, 7)
    factor = 0.9**1.6
    start = np.array([4_300.0, 4_000.0, 100_000.0, 1.0])
    assert world.price / start == pytest.approx([factor, factor, 0.9, factor**2])
    assert world.event.tolist() == [7, 7, 7, 7]
    world.jump(1, 0.5, 8)
    found = world.price / start
    assert found == pytest.approx(
        [1.5 * factor, 1.5 * factor, 0.9, (1.5 * factor) ** 2]
    )
    assert world.event.tolist() == [8, 8, 7, 8]
    world.trade(0, -5e6)
    found = world.price / start
    assert found[:3] == pytest.approx([0.75 * factor, 1.5 * factor, 0.9])
    assert found[3] == pytest.approx((0.75 * factor) ** 2)
    world.jump(2, 0.0, 7)
    assert world.event.tolist() == [7, 7, 7, 7]


def test_follower_of_beta_one_has_the_factor_of_its_leader_to_the_last_bit() -> None:
    """No logarithm comes between them."""
    world = outside(volatility=0.8, beta=1.0)
    for second in range(1, 50):
        world.step(1.0, second * SECOND)
    factor = world.price[LEADER] / 4_000.0
    assert world.price[STAKED] == 4_300.0 * factor
    assert world.price[WILD] == 2.0 * factor


@given(st.floats(-0.999, 5.0), st.floats(0.0, 20.0))
def test_price_of_a_follower_stays_above_zero(move: float, beta: float) -> None:
    """Whatever its beta and however deep the fall."""
    world = outside(beta=beta)
    world.jump(LEADER, move)
    assert (world.price > 0).all()


def test_volatility_of_a_pair_is_of_what_its_sides_do_not_share() -> None:
    """A staked coin moves with its coin; one of beta 2.6 by 1.6 times it against it."""
    world = outside(volatility=0.8)
    base = np.array([STAKED, STAKED, WILD, WILD, LEADER])
    quote = np.array([ALONE, LEADER, LEADER, ALONE, LEADER])
    assert world.volatility(base, quote).tolist() == pytest.approx(
        [0.8 * 2**0.5, 0.0, 0.8 * 1.6, 0.8 * (1 + 2.6**2) ** 0.5, 0.0]
    )


def test_volatility_of_a_pair_is_that_of_its_moves() -> None:
    """Of 4,000 steps of a minute, the standard deviation within a thirtieth."""
    world = outside(volatility=0.8)
    ratios = []
    for step in range(4_000):
        world.step(60.0, step)
        ratios.append(world.price[WILD] / world.price[ALONE])
    found = float(np.std(np.diff(np.log(ratios)))) * (YEAR / 60.0) ** 0.5
    said = world.volatility(np.array([WILD]), np.array([ALONE]))[0]
    assert found == pytest.approx(said, rel=0.033)


def test_impact_of_a_trade_is_the_traded_assets_own() -> None:
    """A follower's leaves the leader alone; the leader's takes followers along."""
    world = outside()
    world.trade(WILD, -2e6)
    assert moves(world) == pytest.approx([1.0, 1.0, 0.9, 1.0])
    world.trade(STAKED, -5e6)
    assert moves(world) == pytest.approx([1.0, 0.9, 0.9, 1.0])
    world.trade(LEADER, -10e6)
    assert moves(world) == pytest.approx([0.9, 0.81, 0.9 * 0.9**2.6, 1.0])


def test_prices_before_a_trade_are_kept_by_who_holds_them() -> None:
    """The array that was handed out does not change under its holder's hands."""
    world = outside()
    before = world.price
    world.trade(WILD, -2e6)
    assert before.tolist() == [4_000.0, 4_300.0, 2.0, 100_000.0]


# -- PATHS


def along(points: list[tuple[float, float]], until: int, at: int = 0) -> list[float]:
    """What the leader's price is multiplied by at each second of a path."""
    world = outside()
    found = []
    for second in range(until + 1):
        if second == at:
            world.follow(LEADER, points, second * SECOND, 7)
        world.step(1.0, second * SECOND)
        found.append(moves(world)[LEADER])
    return found


def test_path_goes_in_lines_from_point_to_point() -> None:
    """From now on, and it stays where it ends."""
    found = along([(4, -0.2), (6, -0.1)], 8)
    assert found == pytest.approx([1.0, 0.95, 0.9, 0.85, 0.8, 0.85, 0.9, 0.9, 0.9])


def test_path_counts_from_when_it_strikes_and_may_begin_with_a_jump() -> None:
    """A point at 0 is a jump; two at one time are another."""
    found = along([(0, -0.1), (2, -0.2), (2, 0.0)], 6, at=3)
    assert found == pytest.approx([1.0, 1.0, 1.0, 0.9, 0.85, 1.0, 1.0])


def test_shocks_and_noise_come_on_top_of_a_path() -> None:
    """A jump of 10 % in the middle is still there at the end."""
    world, quiet = outside(volatility=0.8), outside(volatility=0.8)
    world.follow(LEADER, [(10, -0.5)], 0, 7)
    for second in range(11):
        if second == 4:
            world.jump(LEADER, 0.1, 8)
        for one in (world, quiet):
            one.step(1.0, second * SECOND)
    ratio = world.price / quiet.price
    assert ratio == pytest.approx([0.55, 0.55, 0.55**2.6, 1.0])


def test_event_of_a_price_is_the_last_shock_that_moved_it_or_its_leader() -> None:
    """The path's while it moves, then a jump's; a follower's own stays its own."""
    world = outside()
    world.follow(LEADER, [(2, -0.1), (4, -0.1), (6, 0.0)], 0, 7)
    seen = []
    for second in range(8):
        if second == 3:
            world.jump(LEADER, 0.1, 8)
            world.jump(STAKED, 0.1, 9)
        world.step(1.0, second * SECOND)
        seen.append(tuple(world.event))
    assert seen[:3] == [(0, 0, 0, 0), (7, 7, 7, 0), (7, 7, 7, 0)]
    assert seen[3:5] == [(8, 9, 8, 0)] * 2  # the path stands still
    assert seen[5:] == [(7, 7, 7, 0)] * 3


def test_path_is_the_same_however_often_it_is_looked_at() -> None:
    """Steps of one second and of a quarter end at the same price."""
    coarse, fine = outside(), outside()
    points = [(3.0, -0.3), (7.0, 0.2)]
    for world in (coarse, fine):
        world.follow(LEADER, points, 0, 7)
    for second in range(1, 9):
        coarse.step(1.0, second * SECOND)
    for quarter in range(1, 33):
        fine.step(0.25, quarter * SECOND // 4)
    assert np.allclose(coarse.price, fine.price, rtol=1e-12)
    assert moves(coarse)[LEADER] == pytest.approx(1.2)
