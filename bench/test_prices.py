"""Prices of a venue each second: draws, indices and their causes, marks, events.

    pytest bench/test_prices.py --benchmark-only

``ratio`` is how many times as long the same takes in NumPy (the model that the tests
compare with), measured in the same run, the best of both. ``copies`` is the ratio to
a plain copy of what an update reads and writes. ``second`` is all that a simulation
does for prices once a second.
"""

import os
import timeit
from collections.abc import Callable
from typing import Any

import chance_model
import numpy as np
import pytest

from flashwick.cython_ext import chance
from flashwick.engine.events import EventLog
from flashwick.engine.pricing import Pricing
from flashwick.engine.units import Units
from flashwick.margin.marks import MarkRule
from flashwick.margin.prices import IndexBoard, IndexRule

PROFILES = {"smoke": (20, 2), "regular": (440, 100), "large": (440, 100)}
ASSETS, PERPETUALS = PROFILES[os.environ.get("FLASHWICK_BENCH", "regular")]


def best(work: Callable[[], object]) -> float:
    """Seconds of a call, the best of many."""
    return min(timeit.repeat(work, number=20, repeat=10)) / 20


@pytest.mark.parametrize("what", ["exp", "log", "uniform", "normal"])
def test_numbers(benchmark: Any, what: str) -> None:
    """A function or a draw for each asset."""
    bits = np.random.PCG64(3)
    given: Any = ASSETS if what in ("uniform", "normal") else np.full(ASSETS, 0.7)
    first = (bits,) if what in ("uniform", "normal") else ()
    ours, numpy = getattr(chance, what), getattr(chance_model, what)
    benchmark(ours, *first, given)
    ratio = best(lambda: numpy(*first, given)) / best(lambda: ours(*first, given))
    benchmark.extra_info.update(numbers=ASSETS, ratio=ratio)


def moving(n: int) -> list[Any]:
    """Prices of n assets, a second apart."""
    rng = np.random.default_rng(5)
    return [np.exp(rng.normal(0.0, 0.001, n)) for _ in range(50)]


def test_indices(benchmark: Any) -> None:
    """Indices of own and outside price, and what moved each of them."""
    names = [f"A{i}" for i in range(ASSETS)]
    spot = {f"{name}/USDT": (name, "USDT") for name in names}
    weights = {"own_book": 0.3, "outside": 0.7}
    rules = {
        name: IndexRule(policy="mix", market=market, sources=weights)
        for name, market in zip(names, spot, strict=True)
    } | {"USDT": IndexRule(policy="fixed", value=1.0)}
    board, steps = IndexBoard(rules, spot), moving(2 * ASSETS + 1)

    def ours() -> None:
        for step in steps:
            board.update(step[:ASSETS], step[ASSETS:])
            assert board.drivers is not None

    benchmark(ours)
    taken = benchmark.stats.stats.min / len(steps)
    held = np.ones(board._rows.nbytes + board._terms.nbytes + steps[0].nbytes, np.uint8)
    copy = best(held.copy)
    benchmark.extra_info.update(
        assets=ASSETS, us_a_second=taken * 1e6, copies=taken / copy
    )


def test_second(benchmark: Any) -> None:
    """Indices, marks, premiums, and the events of what moved."""
    names = [f"A{i}" for i in range(ASSETS)]
    markets = [f"{name}/USDT" for name in names]
    markets += [f"{name}/USDT:PERP" for name in names[:PERPETUALS]]
    log = EventLog()
    prices = Pricing(
        Units.of(markets, {}, ()), {}, log, funding_ns=10**12, marks=MarkRule()
    )
    n, steps = len(markets), moving(ASSETS)
    rows = np.append(np.arange(ASSETS), np.arange(PERPETUALS))
    tops = [
        np.column_stack([ticks - 1, ticks, ticks + 1, ticks, ticks])
        for ticks in (np.rint(100_000 * step[rows]).astype(np.int64) for step in steps)
    ]
    assert tops[0].shape == (n, 5)
    now = iter(range(10**9))

    def seconds() -> None:
        for top in tops:
            prices.update(top, next(now) * 10**9)

    benchmark(seconds)
    benchmark.extra_info.update(
        assets=ASSETS + 1,
        markets=n,
        us_a_second=benchmark.stats.stats.min / len(tops) * 1e6,
    )
