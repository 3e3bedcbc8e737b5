"""Sweeps on two processes against one; each replay whole, rows in memory.

    pytest bench/test_sweep.py --benchmark-only

``one_process`` is the time of the same sweep in this process over that on two.
"""

import os
import time
from typing import Any

import pytest

import flashwick as fw
from flashwick.engine.lab.pool import cores

NAME, REPLAYS = {
    "smoke": ("atom-sweep", 40),
    "regular": ("unified-margin-wick", 200),
    "large": ("oct10-small", 200),
}[os.environ.get("FLASHWICK_BENCH", "regular")]


@pytest.mark.skipif(cores() < 2, reason="two processes need two processors")
def test_sweep_on_two_processes(benchmark: Any) -> None:
    """Two cases, the seeds of each, and a few measures."""
    scenario = fw.load(NAME)
    work: dict[str, Any] = {
        "cases": {"gateway.rate": [40_000, 60_000]},
        "seeds": REPLAYS // 2,
        "measures": ["trades", "forced_usd", "wicks.median"],
    }
    two = benchmark.pedantic(
        fw.sweep, args=(scenario,), kwargs=work | {"jobs": 2}, rounds=1
    )
    start = time.perf_counter()
    one = fw.sweep(scenario, **work, jobs=1)
    seconds = time.perf_counter() - start
    assert two.table.equals(one.table)
    median = benchmark.stats.stats.median
    benchmark.extra_info.update(
        scenario=NAME,
        replays=REPLAYS,
        replays_per_s=REPLAYS / median,
        one_process=seconds / median,
    )
