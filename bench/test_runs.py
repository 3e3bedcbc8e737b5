"""Whole runs of the shipped scenarios, and mass liquidations, everything recorded.

    pytest bench/test_runs.py --benchmark-only

``bare_books`` is the ratio to the same messages put through books without accounts, a
batch of them for a run and, for a liquidation, one at a time as it sends them.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
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


COMMANDS = {
    "smoke": ["unified-margin-wick"],
    "regular": ["unified-margin-wick", "oct10-small", "oct10"],
    "large": ["unified-margin-wick", "oct10-small", "oct10"],
}[os.environ.get("FLASHWICK_BENCH", "regular")]

CHILD = """
import json, sys, time
from pathlib import Path
from flashwick.cli import main
main(sys.argv[2:], standalone_mode=False)
told = Path("/proc/self/status").read_text().split()
used = {
    "cpu_s": time.process_time(),
    "peak_gb": int(told[told.index("VmHWM:") + 1]) * 1024e-9,
}
Path(sys.argv[1]).write_text(json.dumps(used))
"""
"""A process that runs a command and writes what it took: Linux tells the peak."""


@pytest.mark.parametrize("name", COMMANDS)
def test_command(benchmark: Any, name: str, tmp_path: Path) -> None:
    """`flashwick run` with report and Parquet, in a process of its own."""
    used = tmp_path / "used.json"

    def run(folder: str) -> None:
        page, out = str(tmp_path / f"{folder}.html"), str(tmp_path / folder)
        command = ["run", name, "--report", page, "--out", out]
        called = [sys.executable, "-c", CHILD, str(used), *command]
        subprocess.run(called, check=True, stdout=subprocess.DEVNULL)

    folders = iter("abc")
    rounds = 1 if name == "oct10" else min(3, ROUNDS)
    benchmark.pedantic(run, setup=lambda: ((next(folders),), {}), rounds=rounds)
    benchmark.extra_info.update(json.loads(used.read_text()))


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
    assert len(exchange.liquidator.cases) == 0
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


FALLEN = {
    "smoke": [(2_000, 500)],
    "regular": [(100_000, 20_000), (1_000_000, 20_000)],
    "large": [(100_000, 20_000), (1_000_000, 100_000)],
}[os.environ.get("FLASHWICK_BENCH", "regular")]


def falling(accounts: int, longs: int, markets: int = 50) -> fw.Exchange:
    """Longs of two perpetuals each, so many of them at 9 to 13 times, after -7.5 %.

    The books have bids of ten billion dollars down to 90 % of the price, so that a
    fifth of each position goes in a cycle.
    """
    names = [f"C{k}" for k in range(markets)]
    perps = [f"{name}/USDT:PERP" for name in names]
    exchange = fw.Exchange(
        perps, fw.Rules.build("binance-pm", {"brackets": {"default": 0.02}})
    )
    exchange.reprice(dict.fromkeys(names, 10.0))
    rng = np.random.default_rng(3)
    first = rng.integers(0, markets, accounts)
    second = (first + rng.integers(1, markets, accounts)) % markets
    coins = np.round(np.exp(rng.normal(6.0, 1.0, accounts))) + 1.0
    leverage = rng.uniform(1.0, 5.0, accounts)
    leverage[:longs] = rng.uniform(9.0, 13.0, longs)
    other = exchange.open_account({"USDT": 5e9})
    numbers = exchange.open_accounts({"USDT": 15.0 * coins / leverage})
    for k, perp in enumerate(perps):
        held = np.where(first == k, coins, np.where(second == k, coins // 2, 0.0))
        rows = np.flatnonzero(held)
        market = exchange.market_number[perp]
        lots = np.round(held[rows] / exchange.lot[market]).astype(np.int64)
        exchange.ledger.open_positions(
            market,
            [*numbers[rows].tolist(), other],
            [*lots.tolist(), -int(lots.sum())],
            round(10.0 / exchange.tick[market]),
        )
        for j in range(200):
            price = round(9.25 * (1.0 - 0.0005 * j), 3)
            exchange.submit(fw.limit(other, perp, "buy", price=price, qty=5_000_000))
    exchange.liquidate()
    exchange.reprice(dict.fromkeys(names, 9.25))
    return exchange


@pytest.mark.parametrize(("accounts", "longs"), FALLEN)
def test_cycles_of_a_fall(benchmark: Any, accounts: int, longs: int) -> None:
    """Four cycles: breaches, cancels, and a forced order for each position in each."""
    made: list[fw.Exchange] = []
    cycles: list[int] = []

    def fresh() -> tuple[tuple[()], dict[str, Any]]:
        made[:] = [falling(accounts, longs)]
        cycles.clear()
        return (), {}

    def fall() -> None:
        engine = made[0].liquidator
        for _ in range(4):
            made[0].now += 1_000_000_000
            before = len(engine.cases) - len(engine.liquidated)
            made[0].liquidate()
            cycles.append(before + len(engine.liquidated))

    rounds = 1 if accounts >= 1_000_000 else min(3, ROUNDS)
    benchmark.pedantic(fall, setup=fresh, rounds=rounds)
    median = benchmark.stats.stats.median
    benchmark.extra_info.update(
        accounts=accounts,
        liquidated=len(made[0].liquidator.liquidated),
        events=len(made[0].log),
        us_per_account_cycle=median / sum(cycles) * 1e6,
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
