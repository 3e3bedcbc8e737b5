"""Nothing is made and nothing is lost: every asset, every message, every scenario."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.exchange import Exchange
from flashwick.engine.simulation import World

SMALL = Path(__file__).with_name("small-crash.toml")
SCENARIOS = ["atom-sweep", "unified-margin-wick", SMALL]


class Watch:
    """What was looked at: messages one by one, and moments of the clock."""

    def __init__(self) -> None:
        self.messages = 0
        self.moments = 0


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Send each message through the books by itself, and add everything up after it.

    So too after each entry of the clock, which may liquidate, take over, pay from the
    fund, transfer, or fund an account.
    """
    watch, process, deliver = Watch(), Exchange.process, World._deliver

    def one_by_one(exchange: Exchange, batch: np.ndarray) -> tuple[Any, Any]:
        results, fills = [], []
        for row in range(len(batch)):
            result, made = process(exchange, batch[row : row + 1])
            made = made.copy()
            made["message"] = row
            results.append(result)
            fills.append(made)
            assert not exchange.ledger.totals().any()
            watch.messages += 1
        return np.concatenate(results), np.concatenate(fills)

    def at_each_moment(world: World, until: int) -> None:
        # What was due since has run by now, whatever it was.
        assert not world.exchange.ledger.totals().any()
        deliver(world, until)
        watch.moments += 1

    with monkeypatch.context() as patch:
        patch.setattr(Exchange, "process", one_by_one)
        patch.setattr(World, "_deliver", at_each_moment)
        yield watch


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_asset_is_conserved_at_every_event(
    name: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the atom, after each message and each moment; books and ledger are sound.

    Fills of one message are settled inside one compiled call; a message is the least
    that can be looked at.
    """
    scenario = fw.load(name)
    with watched(monkeypatch) as watch:
        world = World(scenario, seed=0)
        world.run()
    ledger = world.exchange.ledger
    assert not ledger.totals().any()
    world.exchange._check()
    assert watch.messages >= world.messages > 0
    assert watch.moments >= scenario.config.duration
    # The same messages in batches end in the same balances.
    again = World(scenario, seed=0)
    again.run()
    for asset in range(ledger.n_assets):
        amounts = again.exchange.ledger.amounts(asset)
        assert (amounts == ledger.amounts(asset)).all()
    assert again.exchange.books.trade_hash == world.exchange.books.trade_hash
