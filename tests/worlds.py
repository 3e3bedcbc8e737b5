"""Worlds with a few participants, and what one of them sends."""

from pathlib import Path
from typing import Any

import numpy as np

import flashwick as fw
from flashwick.engine.agents import Agent
from flashwick.engine.simulation import World

SMALL = fw.load(Path(__file__).with_name("scenarios") / "small-crash.toml")
NOBODY = {
    f"{name}.*.enabled": False
    for name in (
        "market_makers",
        "traders",
        "holders",
        "whales",
        "liquidation_bots",
        "stale_bids",
        "bargain_hunters",
        "arbitrage",
        "cross_arbitrage",
        "background",
    )
}


def world_of(*names: str, **changes: Any) -> World:
    """A world in which only these participants are; nothing strikes it."""
    off = {path: value for path, value in NOBODY.items() if path[:-10] not in names}
    calm = {f"shocks.{i}.at": 40.0 for i in range(len(SMALL.config.shocks))}
    return World(SMALL.vary({**off, **calm, **changes}), seed=0)


def sent(world: World, agent: Agent, now: int = 0) -> np.ndarray:
    """What an agent sends when it wakes; the gateway has it no longer."""
    before = world.gateway._sequence
    world.now = world.exchange.now = now
    world._refresh_market()
    agent.wake(now)
    coming = sorted(world.gateway._coming, key=lambda entry: entry[1])
    world.gateway._coming = [entry for entry in coming if entry[1] < before]
    batches = [batch for _, number, batch in coming if number >= before]
    return np.concatenate([world.gateway._queue[:0], *batches])


ORDER = {
    "time": 3.2,
    "kind": "limit",
    "market": "ATOM/USDT",
    "account": 188,
    "side": "buy",
    "price": 1.2345,
    "qty": 10.009,
    "order": 10**12,
}
CANCEL = {**ORDER, "time": 3.9, "kind": "cancel", "price": None, "qty": None}
"""Rows to insert into the stream of `SMALL`: an order, and its cancel."""
