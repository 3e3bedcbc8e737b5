"""How the book grows: with orders, markets, levels, and orders of one account.

    pytest bench/test_book_growth.py --benchmark-only

``times_smallest`` is the ratio to the first row of its kind, measured before in the
same run. Batches have 4,096 messages.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workloads
from numpy.typing import NDArray
from workloads import Workload

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import Kind, Side, messages

PROFILES = {
    # messages, resting orders, markets, orders or levels at once, own orders, rounds
    "smoke": (20_000, [1_000, 10_000], [1, 10], 10_000, [0, 2_000], 1),
    "regular": (
        400_000,
        [1_000, 10_000, 100_000, 1_000_000],
        [1, 10, 100, 1_000],
        1_000_000,
        [0, 2_000, 200_000],
        7,
    ),
}
PROFILES["large"] = (1_000_000, *PROFILES["regular"][1:-1], 15)
MESSAGES, RESTING, MARKETS, AT_ONCE, OWN, ROUNDS = PROFILES[
    os.environ.get("FLASHWICK_BENCH", "regular")
]
BATCH = 4_096
LEVELS = 10_000

Flow = Callable[..., Workload]


@pytest.fixture(scope="module")
def flow(request: pytest.FixtureRequest) -> Flow:
    """A steady flow of some size, kept in pytest's cache between runs."""
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("workloads")
    return lambda **sizes: workloads.stored("steady", folder, **sizes)


@pytest.fixture(scope="module")
def smallest() -> dict[str, float]:
    """Nanoseconds of the first row of each kind."""
    return {}


def books_of(markets: int, *batches: NDArray[np.void]) -> Books:
    """Books that have processed the batches."""
    books = Books()
    for _ in range(markets):
        books.add_market()
    for batch in batches:
        books.process(batch)
    return books


def in_batches(rows: NDArray[np.void]) -> Callable[[Books], None]:
    """A job that puts the rows in."""
    batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]

    def job(books: Books) -> None:
        for batch in batches:
            books.process(batch)

    return job


def measure(
    benchmark: Any, job: Callable[[Books], object], setup: Callable[[], Books]
) -> float:
    """Median seconds of the job, on books that each round gets anew."""
    benchmark.pedantic(
        job, setup=lambda: ((setup(),), {}), rounds=ROUNDS, warmup_rounds=1
    )
    median: float = benchmark.stats.stats.median
    return median


@pytest.mark.parametrize("resting", RESTING)
def test_resting_orders(
    benchmark: Any, flow: Flow, smallest: dict[str, float], resting: int
) -> None:
    """A steady flow over ever more resting orders, on as many more ticks."""
    part = flow(n=MESSAGES, standing=resting)
    job = in_batches(part.messages)
    median = measure(benchmark, job, lambda: books_of(1, part.prefill))
    each = median / MESSAGES * 1e9
    benchmark.extra_info.update(
        messages=MESSAGES,
        ns_per_message=each,
        times_smallest=each / smallest.setdefault("resting", each),
        limit=1.5,
    )


def interleaved(part: Workload, markets: int) -> Workload:
    """The flow in each market, in an order of markets drawn at random."""
    rng = np.random.default_rng(7)
    ids = np.zeros((markets, len(part.prefill) + len(part.messages) + 1), np.int64)
    first, local = 0, 0  # new orders before this part: of all markets, of one
    parts = []
    for rows in part.prefill, part.messages:
        market = rng.permutation(np.repeat(np.arange(markets), len(rows)))
        place = np.empty(len(market), np.int64)
        place[np.argsort(market, kind="stable")] = np.tile(
            np.arange(len(rows)), markets
        )
        is_new = np.isin(rows["kind"], [Kind.LIMIT, Kind.MARKET])
        number = local + np.cumsum(is_new)
        new = is_new[place]
        ids[market[new], number[place[new]]] = first + 1 + np.arange(new.sum())
        out = rows[place]
        out["market"] = market
        out["order_id"] = ids[market, rows["order_id"][place]]
        parts.append(out)
        first, local = first + int(new.sum()), int(number[-1])
    return Workload(part.name, *parts, part.levels_swept_max)


@pytest.mark.parametrize("markets", MARKETS)
def test_markets(
    benchmark: Any, flow: Flow, smallest: dict[str, float], markets: int
) -> None:
    """As many messages over as many resting orders, spread over ever more markets."""
    sizes = {"n": MESSAGES // markets, "standing": 250_000 // markets}
    part = interleaved(flow(**sizes), markets)
    results, _ = books_of(markets, part.prefill).process(part.messages)
    assert results["accepted"].all()
    job = in_batches(part.messages)
    median = measure(benchmark, job, lambda: books_of(markets, part.prefill))
    each = median / len(part.messages) * 1e9
    benchmark.extra_info.update(
        messages=len(part.messages),
        ns_per_message=each,
        times_smallest=each / smallest.setdefault("markets", each),
        limit=1.5,
    )


@pytest.mark.parametrize("own", OWN)
def test_own_orders(
    benchmark: Any, flow: Flow, smallest: dict[str, float], own: int
) -> None:
    """A steady flow of others, while one account rests orders far from the market."""
    part = flow(n=MESSAGES, standing=25_000)
    far = buys(own, ticks=20_000, account=10_000)
    shifted = part.messages.copy()
    shifted["order_id"][shifted["order_id"] > 0] += own
    median = measure(
        benchmark, in_batches(shifted), lambda: books_of(1, far, part.prefill)
    )
    each = median / MESSAGES * 1e9
    benchmark.extra_info.update(
        messages=MESSAGES,
        ns_per_message=each,
        times_smallest=each / smallest.setdefault("own", each),
    )


def buys(orders: int, ticks: int, account: int = 0) -> NDArray[np.void]:
    """Buy orders of one lot of one account, one after the other from tick 1 up."""
    rows = messages(orders)
    rows["side"], rows["qty"], rows["account"] = Side.BUY, 1, account
    rows["price"] = 1 + np.arange(orders) % max(ticks, 1)
    return rows


def test_mass_cancel(benchmark: Any) -> None:
    """All orders of an account that has no others beside it."""
    rows = buys(AT_ONCE, ticks=50_000)
    median = measure(
        benchmark, lambda books: books.cancel_all(0), lambda: books_of(1, rows)
    )
    benchmark.extra_info.update(
        orders=AT_ONCE, ns_per_order=median / AT_ONCE * 1e9, limit_ms=50
    )


def test_sweep(benchmark: Any) -> None:
    """One market order through levels of one order each."""
    rows = buys(LEVELS, ticks=LEVELS)
    median = measure(
        benchmark,
        lambda books: books.market(0, 1, Side.SELL, LEVELS),
        lambda: books_of(1, rows),
    )
    benchmark.extra_info.update(
        levels=LEVELS, ns_per_level=median / LEVELS * 1e9, limit_ms=1
    )


RESIDENT = """
import os, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from test_book_growth import BATCH, Books, books_of, buys
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
orders, ticks, gap = map(int, sys.argv[2:])
rows = buys(orders, ticks)
rows["price"] *= gap
books_of(1, rows[:BATCH])
before = resident()
books = books_of(1)
for i in range(0, orders, BATCH):
    books.process(rows[i : i + BATCH])
print(resident() - before)
"""


def resident(orders: int, ticks: int, gap: int = 1) -> int:
    """Bytes that resting orders on ticks so far apart add to a new process."""
    here = str(Path(__file__).parent)
    numbers = map(str, (orders, ticks, gap))
    command = [sys.executable, "-c", RESIDENT, here, *numbers]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory(benchmark: Any) -> None:
    """Bytes of orders on one tick, and what as many on a tick each add.

    The ticks lie side by side, or scattered: each in a page of 32 of its own.
    """
    one_tick = benchmark.pedantic(resident, args=(AT_ONCE, 1), rounds=1)
    a_tick_each = resident(AT_ONCE, AT_ONCE)
    scattered = resident(AT_ONCE, AT_ONCE, gap=32)
    benchmark.extra_info.update(
        orders=AT_ONCE,
        bytes_per_order=one_tick / AT_ONCE,
        limit=48,
        bytes_per_tick=(a_tick_each - one_tick) / AT_ONCE,
        limit_per_tick=16,
        bytes_per_scattered_tick=(scattered - one_tick) / AT_ONCE,
    )
