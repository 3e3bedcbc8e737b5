"""The Gymnasium environment around one market maker."""

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from own_agents import WickBuyer
from worlds import SMALL

import flashwick as fw
from flashwick.gym import ACTIONS, ID, OBSERVED, MarketMakerEnv

NEAR = np.array([-0.9, -0.9, 0.5, 0.5], np.float32)
"""Small quotes near the price."""


def small(**settings: Any) -> MarketMakerEnv:
    """The small crash, with a maker in its falling market."""
    return MarketMakerEnv(SMALL, "ATOM/USDT", equity_usd=100_000.0, **settings)


def episode(
    env: MarketMakerEnv, seed: int, action: np.ndarray
) -> list[tuple[Any, ...]]:
    """All steps of an episode with one action."""
    env.reset(seed=seed)
    steps = []
    while not steps or not (steps[-1][2] or steps[-1][3]):
        observed, *rest = env.step(action)
        steps.append((observed.tolist(), *rest))
    return steps


def test_gymnasiums_own_checker_passes() -> None:
    """As `gymnasium.make` returns it, with every warning an error."""
    env = gymnasium.make(ID, scenario=SMALL, market="ATOM/USDT").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)


def test_an_episode_is_the_same_for_the_same_seed() -> None:
    """And another for another."""
    runs = [episode(small(), seed, NEAR) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) == 39


def test_resets_without_a_seed_follow_from_the_last_seed() -> None:
    """As Gymnasium has it."""
    seeds = []
    for _ in range(2):
        env = small()
        env.reset(seed=5)
        seeds.append([env.reset()[1]["seed"] for _ in range(3)])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3


def test_rewards_sum_to_the_change_of_equity() -> None:
    """In US dollars, and the maker trades for them."""
    env = small()
    _, start = env.reset(seed=1)
    steps = episode(env, 1, NEAR)
    rewards = sum(step[1] for step in steps)
    assert rewards == pytest.approx(steps[-1][4]["equity_usd"] - start["equity_usd"])
    assert rewards != 0.0
    assert steps[-1][4]["fills"] > 5


def test_no_quotes_no_trades() -> None:
    """Sizes of -1 are none: what is earned is what the coins gain."""
    steps = episode(small(), 1, np.array([0, 0, -1, -1], np.float32))
    assert steps[-1][4]["fills"] == 0
    inventory = list(OBSERVED).index("inventory")
    assert all(0.2 < step[0][inventory] < 0.6 for step in steps)


def test_an_episode_ends_with_the_run() -> None:
    """Truncated, not terminated: a maker without quotes is never liquidated."""
    steps = episode(small(interval=2.0), 0, np.array([0, 0, -1, -1], np.float32))
    assert [step[2:4] for step in steps] == [(False, False)] * 18 + [(False, True)]
    assert steps[-1][4]["time"] == 40.0


def test_an_episode_ends_when_the_maker_is_liquidated() -> None:
    """Quotes of many times its money, and no margin left in the crash."""
    env = MarketMakerEnv(SMALL, "ATOM/USDT:PERP", equity_usd=3_000.0, size_usd=30_000.0)
    endings = [episode(env, seed, np.array([-1, 1, 1, -1.0]))[-1] for seed in range(4)]
    fallen = [step for step in endings if step[2]]
    assert fallen
    for step in fallen:
        assert not step[3]
        assert step[4]["time"] < 40.0
        assert step[4]["equity_usd"] < 3_000.0


def test_agents_of_the_scenario_are_in_each_episode() -> None:
    """Beside the maker, as in every run of that scenario."""
    env = MarketMakerEnv(SMALL.with_agents([WickBuyer()]), "ATOM/USDT")
    env.reset(seed=1)
    assert env._world is not None
    assert list(env._world.party.seats) == ["wick-buyer", "maker"]


def test_observations_stay_in_their_space() -> None:
    """Whatever is done, through a whole crash."""
    env = small()
    env.action_space.seed(0)
    observed, _ = env.reset(seed=2)
    assert env.action_space.shape == (len(ACTIONS),)
    ended = False
    while not ended:
        assert observed in env.observation_space
        observed, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = terminated or truncated


def test_wrong_settings_are_told() -> None:
    """Markets, sizes, and steps before the first reset."""
    with pytest.raises(ValueError, match="'market' must be one of ETH/USDT"):
        MarketMakerEnv(SMALL, "DOGE/USDT")
    with pytest.raises(ValueError, match="'size_usd' must be above 0"):
        small(size_usd=0.0)
    with pytest.raises(ValueError, match="'interval' must be above 0"):
        small(interval="1")
    with pytest.raises(ValueError, match="'interval' must be shorter than the run, 40"):
        small(interval=40.0)
    with pytest.raises(RuntimeError, match="reset"):
        small().step(NEAR)


def test_without_gymnasium_the_remedy_is_told() -> None:
    """Only who imports the module needs it."""
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "import flashwick\n"
        "try:\n    import flashwick.gym\n"
        "except ImportError as error:\n    sys.stdout.write(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "pip install 'flashwick[gym]'" in done.stdout
    assert fw.load("atom-sweep").name == "atom-sweep"
