"""What a run records of its market makers, beside a crowd it does not record."""

from pathlib import Path

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.simulation import World

SMALL = fw.load(Path(__file__).parents[1] / "scenarios" / "small-crash.toml")


class Enough(Exception):
    """What stops a run."""


@pytest.fixture(scope="module")
def crashed() -> World:
    """A world in the middle of its crash, of which a sample was taken."""
    world = World(SMALL, seed=0)

    def stop(share: float, seconds: float) -> None:
        if seconds >= 9.0:
            raise Enough

    with pytest.raises(Enough):
        world.run(stop)
    world.recorder.sample(world.now)
    return world


def test_recorded_figures_of_makers_are_those_of_a_full_valuation(
    crashed: World,
) -> None:
    """To the last bit; valuing them alone leaves nothing out."""
    series, makers = crashed.recorder.series(), crashed.maker_accounts
    value = crashed.exchange.risk.revalue()
    for name in ("equity", "adjusted", "maintenance", "health"):
        found = getattr(series, f"maker_{name}")[-1]
        assert found.tobytes() == value[name][makers].tobytes()


def test_recorded_loss_of_collateral_is_what_repricing_took(crashed: World) -> None:
    """Of each maker: its coins now, at the first index less at the last."""
    exchange, series = crashed.exchange, crashed.recorder.series()
    assert crashed.collateral_lost().sum() > 1e5
    for maker in crashed.makers:
        first = dict(zip(exchange.assets, maker.first_index.tolist(), strict=True))
        for account in maker.accounts.tolist():
            k = crashed.maker_accounts.tolist().index(account)
            held = exchange.account(account).balances
            lost = [
                held.get(asset, 0.0) * (first[asset] - exchange.index[number])
                for asset, number in exchange.asset_number.items()
                if asset in maker.settings.collateral
            ]
            equity = series.maker_equity[-1, k] + np.sum(lost)
            exposure = series.maker_leverage[-1, k] * series.maker_equity[-1, k]
            expected = exposure / equity
            assert series.maker_leverage_unrepriced[-1, k] == pytest.approx(expected)
