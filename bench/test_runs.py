"""Whole runs of the shipped scenarios, and mass liquidations, everything recorded.

    pytest bench/test_runs.py --benchmark-only

``bare_books`` is the ratio to the same messages put through books without accounts, a
batch of them for a run and, for a liquidation, one at a time as it sends them.
"""

import os
import time
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.cython_ext.book import Books

ROUNDS = {"smoke": 1, "regular": 5, "large": 15}[
    os.environ.get("FLASHWICK_BENCH", "regular")
]


@pytest.mark.parametrize("name", ["atom-sweep", "unified-margin-wick"])
def test_whole_run(benchmark: Any, name: str) -> None:
    """A run from the loaded scenario to its last event."""
    scenario = fw.load(name)
    run = benchmark.pedantic(
        scenario.run, kwargs={"seed": 0}, rounds=ROUNDS, warmup_rounds=1
    )
    median = benchmark.stats.stats.median
    _, messages, _ = run.log.messages()
    benchmark.extra_info.update(
        messages=len(messages),
        trades=len(run.prints.time),
        events=len(run.log),
        simulated_s_per_s=scenario.config.duration / median,
        bare_books=median / bare_seconds([messages], len(run.names.markets)),
    )


LIQUIDATED = {
    "smoke": [(2_000, 100)],
    "regular": [(20_000, 10_000), (100_000, 10_000), (1_000_000, 10_000)],
    "large": [(20_000, 10_000), (100_000, 10_000), (1_000_000, 100_000)],
}[os.environ.get("FLASHWICK_BENCH", "regular")]


def crowd(accounts: int, longs: int) -> fw.Exchange:
    """So many longs that owe more than they have, and shorts of all sizes and entries.

    The shorts that have the other side are as many as the longs; the others are flat
    by a coin. Nobody bids, and the fund has nothing: winners are deleveraged.
    """
    exchange = fw.Exchange(["ATOM/USDT", "ATOM/USDT:PERP"])
    exchange.reprice({"ATOM": 4.0})
    rng = np.random.default_rng(3)
    qty = np.full(accounts, -1.0)
    qty[:longs] = 2_000.0
    qty[longs : 2 * longs] = -rng.integers(1_000, 3_000, longs)
    usd = np.full(accounts, 400.0)
    usd[longs:] = rng.uniform(4_000.0, 40_000.0, accounts - longs)
    other = exchange.open_account({"USDT": 1e9})
    exchange.open_accounts({"USDT": usd}, {"ATOM/USDT:PERP": qty}, counterparty=other)
    exchange.reprice({"ATOM": 3.7})
    return exchange


@pytest.mark.parametrize(("accounts", "longs"), LIQUIDATED)
def test_mass_liquidation(benchmark: Any, accounts: int, longs: int) -> None:
    """One cycle: all are cancelled, sent to the book, and closed against winners."""
    made: list[fw.Exchange] = []

    def fresh() -> tuple[tuple[fw.Exchange], dict[str, Any]]:
        made[:] = [crowd(accounts, longs)]
        return (made[0],), {}

    rounds = 1 if accounts >= 1_000_000 else min(3, ROUNDS)
    benchmark.pedantic(fw.Exchange.liquidate, setup=fresh, rounds=rounds)
    exchange, median = made[0], benchmark.stats.stats.median
    assert len(exchange.liquidator.liquidated) == longs
    assert exchange.liquidator.cases == {}
    _, messages, _ = exchange.log.messages()
    single = np.split(messages, len(messages))
    benchmark.extra_info.update(
        accounts=accounts,
        liquidated=longs,
        messages=len(messages),
        deleveraged=sum(1 for _ in exchange.log.single("adl")),
        events=len(exchange.log),
        us_per_liquidation=median / longs * 1e6,
        bare_books=median / bare_seconds(single, len(exchange.markets)),
    )


def bare_seconds(batches: Any, markets: int) -> float:
    """Seconds the same batches take in books without accounts, best of five."""
    seconds = []
    for _ in range(5):
        books = Books()
        for _ in range(markets):
            books.add_market()
        start = time.perf_counter()
        for batch in batches:
            books.process(batch)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
