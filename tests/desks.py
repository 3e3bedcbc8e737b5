"""A venue with books of a few coins for desks that arbitrage, and what one sends."""

from typing import Any

import numpy as np

import flashwick as fw
from flashwick.engine.simulation import SECOND, World

BOOKS = """
name = "books"
duration = 600

[assets]
USDT = { price = 1.0 }
USDC = { price = 1.0 }
BTC = { price = 100_000.0, impact = 0.01 }
SOL = { price = 200.0, impact = 0.1 }
ETH = { price = 4_000.0, impact = 0.01 }
WBETH = { price = 4_300.0, follows = "ETH", impact = 0.1 }

[markets]
"BTC/USDT" = { tick = "1", lot = "0.00001", depth_usd = 1e6 }
"BTC/USDC" = { tick = "1", lot = "0.00001", depth_usd = 1e5 }
"BTC/USDT:PERP" = { tick = "1", lot = "0.00001", depth_usd = 2e6 }
"SOL/USDT" = { tick = "0.01", lot = "0.001", depth_usd = 2e5 }
"SOL/USDC" = { tick = "0.01", lot = "0.001", depth_usd = 1e5 }
"SOL/USDT:PERP" = { tick = "0.01", lot = "0.001", depth_usd = 4e5 }
"WBETH/USDT" = { tick = "0.01", lot = "0.0001" }
"WBETH/ETH" = { tick = "0.0001", lot = "0.0001" }
"ETH/USDT" = { tick = "0.01", lot = "0.0001" }

[oracles]
BTC = { policy = "outside" }
SOL = { policy = "outside" }
WBETH = { policy = "outside", ratio = 1.075, underlying = "ETH" }

[transfers]
latency = 20
capacity_usd = 1e9

[cross_arbitrage.desk]
markets = ["SOL/USDC", "BTC/USDT", "SOL/USDT", "BTC/USDC", "SOL/USDT:PERP",
    "BTC/USDT:PERP", "WBETH/USDT"]
usd = 500_000
coins_usd = 200_000
clip_usd = 10_000

[cross_arbitrage.triangle]
markets = ["WBETH/USDT", "WBETH/ETH", "ETH/USDT"]
usd = 100_000
coins_usd = 50_000
clip_usd = 10_000

[arbitrage.issuer]
markets = ["WBETH/USDT"]
usd = 100_000
coins_usd = 50_000
clip_usd = 10_000
redeem = { WBETH = 300 }
"""


def opened(scenario: fw.Scenario, name: str, **changes: Any) -> tuple[World, Any]:
    """A world, and the desk of a name in it."""
    world = World(scenario.vary(changes), seed=0)
    return world, next(a for a in world.agents.values() if a.name == name)


def quoted(
    world: World, name: str, side: str, price: float, usd: float = 1e6
) -> fw.Placed:
    """An order of someone who can pay for it."""
    base, quote = name.removesuffix(":PERP").split("/")
    account = world.exchange.open_account({base: 1e5, quote: 1e9})
    spec = world.exchange.specs[world.exchange.market_number[name]]
    qty = float(int(usd / price / float(spec.lot)) * spec.lot)
    order = fw.limit(account, name, side, f"{price:g}", f"{qty:.8g}")
    return world.exchange.submit(order)


def woken(world: World, desk: Any, second: int) -> np.ndarray:
    """The orders a desk sends at a time, served at once."""
    world.now = world.exchange.now = second * SECOND
    world._refresh_market()
    desk.wake(world.now)
    batch = world.gateway.due(world.now + SECOND // 2)
    world.exchange.process(batch)
    return batch


def total_usd(world: World, desk: Any) -> float:
    """What a desk owns on the venue and on its way, at outside prices."""
    exchange = world.exchange
    value = float(exchange.risk.account(desk.account)["equity"])
    for _, asset, atoms in desk.sent:
        value += atoms * exchange.atom[asset] * world.outside.price[asset]
    return value
