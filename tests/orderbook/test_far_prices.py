"""Prices far apart: the book stays right as its range grows, and memory small."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import PRICE_MAX, Side
from flashwick.orderbook.reference import ReferenceBooks

RESIDENT = """
import os
import numpy as np
from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import PRICE_MAX, messages

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")

books = Books()
for _ in range(1_000):
    books.add_market()
rows = messages(5_000)
rows["market"], rows["qty"] = np.repeat(np.arange(1_000), 5), 1
rows["price"] = np.random.default_rng(1).integers(1, PRICE_MAX, 5_000)
books.process(messages(1))
before = resident()
results, _ = books.process(rows)
assert results["accepted"].all()
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_far_prices_cost_no_memory_for_the_ticks_between() -> None:
    """1,000 markets, 5 orders each at prices drawn to 2^30: under 20 kB an order.

    A tree that is copied whole as it grows takes 190 kB: 8 bytes per 2,048 ticks.
    """
    command = [sys.executable, "-c", RESIDENT]
    told = subprocess.run(command, check=True, capture_output=True).stdout
    assert int(told) < 100_000_000


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_growing_range_keeps_every_order(side: Side) -> None:
    """From 64 words of the tree to all, by any jumps: the levels of the slow book."""
    rng = np.random.default_rng(7)
    for jumps in range(1, 12):
        tops = np.sort(rng.integers(11, 31, jumps))
        prices = [int(p) for top in tops for p in rng.integers(1, 1 << top, 5)]
        fast, slow = Books(), ReferenceBooks()
        for books in fast, slow:
            books.add_market()
            for price in [*prices, PRICE_MAX]:
                books.limit(0, 1, side, price, 1)
        for _ in range(len(prices) + 1):
            found, wanted = (books.depth(0, side) for books in (fast, slow))
            assert [a.tolist() for a in found] == [a.tolist() for a in wanted]
            for books in fast, slow:
                books.market(0, 2, 1 - side, 1)
        assert fast.best(0) == slow.best(0)
