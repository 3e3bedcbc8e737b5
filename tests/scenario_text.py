"""A small scenario that uses every kind of table, for tests to break."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from flashwick.engine.scenario import Problem, ScenarioError, load

MINI = """\
name = "mini"
title = "Two coins, a perpetual and everyone who trades them"
duration = 10
seeds = 2

[assets]
USDT = { price = 1 }
ETH = { price = 4000.0, volatility = 0.6 }
WBETH = { price = 4300.0, follows = "ETH" }

[assets.ATOM]
price = 4.0
decimals = 6

[markets."ATOM/USDT"]
tick = "0.001"
lot = "0.01"

[markets."WBETH/USDT"]
tick = "0.01"
lot = "0.0001"
last = "4300.00"

[markets."ETH/USDT:PERP"]
tick = "0.01"
lot = "0.001"

[markets."WBETH/USDT:PERP"]
tick = "0.01"
lot = "0.001"

[oracles.WBETH]
policy = "redemption"
market = "WBETH/USDT"
ratio = 1.075
underlying = "ETH"

[gateway]
rate = 100_000
latency = { market_makers = 0.002 }

[market_makers.alpha]
count = 2
markets = ["ATOM/USDT", "WBETH/USDT"]
collateral = { WBETH = 0.5 }
inventory = { WBETH = 0.1 }

[market_makers.beta]
markets = ["ATOM/USDT"]
withdraw_at = 1.3

[traders.perps]
count = 50
markets = ["ETH/USDT:PERP"]

[population.crowd]
count = 30
equity_usd = { kind = "pareto", least = 100, exponent = 1.5, most = 1e5 }
markets = ["ETH/USDT:PERP"]
leverage = { kind = "fixed", value = 3 }

[holders.atom]
assets = { ATOM = 1e6 }

[stale_bids.old]
markets = ["ATOM/USDT"]

[bargain_hunters.late]
markets = ["ATOM/USDT"]

[arbitrage.desk]
markets = ["ATOM/USDT"]

[background.flow]
markets = ["ATOM/USDT"]

[[ladders]]
market = "ATOM/USDT"
side = "buy"
orders = [
    ["3.998", "10.5"],
    ["3.9", "100"],
]

[[shocks]]
at = 1.0
kind = "order"
market = "ATOM/USDT"
usd = 100_000.0

[[shocks]]
at = 2.0
kind = "order"
market = "WBETH/USDT"
usd = 50_000.0
over = 1.0
slices = 4

[variations.calm]
"market_makers.*.withdraw" = false

[[targets]]
id = "low"
measure = "shock.0.last"
band = [1.0, 4.0]

[[targets]]
id = "ratio"
measure = "shock.0.filled"
value = 1.0
tolerance = 0.1
variation = "calm"
relative = true
"""


def problems_of(text: str | bytes, folder: Path) -> tuple[Problem, ...]:
    """What is wrong with a file of this text."""
    path = folder / "broken.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ScenarioError) as caught:
        load(path)
    for problem in caught.value.problems:
        assert problem.file == str(path)
    assert str(caught.value).count("\n") + 1 == len(caught.value.problems)
    return caught.value.problems


def faults(problems: Iterable[Problem], said: str, *places: str) -> list[Problem]:
    """Faults at one of these places, quotes aside, of which one says this."""
    wanted = [place.replace('"', "") for place in places]
    found = [p for p in problems if p.path.replace('"', "") in wanted]
    assert found, [str(problem) for problem in problems]
    assert any(said in problem.message for problem in found), found
    return found
