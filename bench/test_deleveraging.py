"""Deleveraging: winners for one loser after another, compiled, beside arrays.

    pytest bench/test_deleveraging.py --benchmark-only

Of ``holders`` accounts half are short; 100 longs are closed against the first of them
by Binance's ranking, each a thousandth of what all hold. Python's way scores and sorts
all candidates for each loser, `adl.allocate`, and is timed for one of them; ``ratio``
is how many times as long that takes as ours for a loser, the making of the queue
included. ``us a loser`` is ours.
"""

import os
import time
from typing import Any

import numpy as np
import pytest

from flashwick.cython_ext.ranks import CANDIDATE, PRICE, Ranks
from flashwick.engine.exchange import Exchange
from flashwick.margin.adl import Candidates, Policy, allocate

PROFILES = {"smoke": (1_000,), "regular": (10_000, 100_000), "large": (1_000_000,)}
HOLDERS = PROFILES[os.environ.get("FLASHWICK_BENCH", "regular")]
LOSERS, PRICE_USD = 100, 4.0


def crowd(holders: int) -> tuple[Exchange, int]:
    """An exchange with half longs, half shorts, and its perpetual."""
    rng = np.random.default_rng(9)
    exchange = Exchange(["ATOM/USDT", "ATOM/USDT:PERP"])
    exchange.now = 1_000_000_000
    exchange.reprice({"ATOM": PRICE_USD})
    ledger, market = exchange.ledger, exchange.market_number["ATOM/USDT:PERP"]
    first = ledger.open_accounts(holders)
    who = np.arange(first, first + holders)
    usd = rng.uniform(100.0, 10_000.0, holders)
    usdt = exchange.asset_number["USDT"]
    ledger.deposit_many(usdt, who, (usd / exchange.atom[usdt]).astype(np.int64))
    size = rng.integers(1, 1_000, holders // 2)
    ticks = rng.integers(300, 500, 50) * round(0.01 / exchange.tick[market])
    for price, part in zip(
        ticks, np.array_split(np.arange(len(size)), 50), strict=True
    ):
        both = np.append(who[part], who[part + holders // 2])
        lots = np.append(size[part], -size[part])
        ledger.open_positions(market, both, lots, int(price))
    exchange.reprice({"ATOM": 0.9 * PRICE_USD})
    return exchange, market


@pytest.mark.parametrize("holders", HOLDERS)
def test_queue_of_winners(holders: int, benchmark: Any) -> None:
    """A cycle's losers in one market."""
    exchange, market = crowd(holders)
    rows = exchange.liquidator.forced.price_rows(PRICE)
    whole = Ranks(exchange.risk, rows, "leverage_pnl").first(market, -1, holders)
    required = max(1, int(whole["lots"].sum()) // 1_000)

    def close() -> list[Any]:
        ranks = Ranks(exchange.risk, rows, "leverage_pnl")
        taken = []
        for _ in range(LOSERS):
            taken = ranks.queue(market, -1, required, (0,), 0.0, 1.0)
            ranks.changed([account for account, _, _ in taken])
        return taken

    taken = benchmark.pedantic(close, rounds=5, warmup_rounds=1)
    columns: dict[str, Any] = {name: whole[name] for name in CANDIDATE.names}
    who = Candidates(side=-1, mark=float(rows["mark"][market]), **columns)
    start = time.perf_counter()
    found = allocate(required, who, Policy("binance"))
    python = time.perf_counter() - start
    some = found > 0
    pairs = zip(whole["account"][some].tolist(), found[some].tolist(), strict=True)
    assert sorted(pairs) == sorted((account, lots) for account, lots, _ in taken)
    each = benchmark.stats.stats.median / LOSERS
    benchmark.extra_info["us a loser"] = each * 1e6
    benchmark.extra_info["ratio"] = python / each
