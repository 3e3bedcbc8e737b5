"""Whole runs of the shipped scenarios, everything recorded.

    pytest bench/test_runs.py --benchmark-only

``bare_books`` is the ratio to the same messages put through books without accounts.
"""

import os
import time
from typing import Any

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
        bare_books=median / bare_seconds(messages, len(run.names.markets)),
    )


def bare_seconds(messages: Any, markets: int) -> float:
    """Seconds the same messages take in books without accounts, best of five."""
    seconds = []
    for _ in range(5):
        books = Books()
        for _ in range(markets):
            books.add_market()
        start = time.perf_counter()
        books.process(messages)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
