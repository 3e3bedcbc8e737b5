"""The order book on two flows of a million messages: in batches, by calls, in Python.

    pytest bench/test_book.py --benchmark-only

``FLASHWICK_BENCH`` chooses the profile: smoke, regular or large. Each benchmark tells
nanoseconds a message (``ns_per_message``), and how often a plain copy of the same bytes
of messages would fit into that time (``copies``): a measure that moves little from one
machine to another. ``faster_than_python`` is the ratio to the readable book, and
``limit_ns`` what is aimed at, in nanoseconds a message.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import workloads
from numpy.typing import NDArray
from workloads import Workload

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import Kind
from flashwick.orderbook.reference import ReferenceBooks

PROFILES = {
    # messages of the flow, of the part for the Python book, rounds
    "smoke": (50_000, 5_000, 1),
    "regular": (1_000_000, 20_000, 7),
    "large": (1_000_000, 200_000, 15),
}
PROFILE = os.environ.get("FLASHWICK_BENCH", "regular")
MESSAGES, PYTHON_MESSAGES, ROUNDS = PROFILES[PROFILE]

LIMITS = {  # ns a message, by flow and size of the batch; 1 is a call a message
    ("steady", 4_096): 25,
    ("steady", 64): 40,
    ("cascade", 4_096): 32,
    ("cascade", 64): 40,
    ("steady", 1): 143,  # 7 million a second
}

Timed = Callable[..., None]


@pytest.fixture(scope="module", params=workloads.FLOWS)
def workload(request: pytest.FixtureRequest) -> Workload:
    """A flow, kept in pytest's cache between runs."""
    assert request.config.cache is not None
    return workloads.stored(request.param, request.config.cache.mkdir("workloads"))


def prefilled(workload: Workload, kind: type = Books) -> Any:
    """A book as it is before the first timed message."""
    books = kind()
    books.add_market()
    books.process(workload.prefill)
    return books


def copy_ns(rows: NDArray[np.void]) -> float:
    """Nanoseconds a message of the fastest of ten copies of the bytes."""
    source = rows.view(np.uint8)
    target = source.copy()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / len(rows) * 1e9


@pytest.fixture(scope="module")
def python_ns(workload: Workload) -> float:
    """Nanoseconds a message of the readable book, once, on the flow's beginning."""
    books, rows = prefilled(workload, ReferenceBooks), workload.messages
    start = time.perf_counter()
    books.process(rows[:PYTHON_MESSAGES])
    return (time.perf_counter() - start) / PYTHON_MESSAGES * 1e9


@pytest.fixture
def timed(benchmark: Any, workload: Workload, python_ns: float) -> Timed:
    """Run a job on a book that each round gets anew, and tell its ratios."""

    def run(
        job: Callable[[Any], object],
        setup: Callable[[], Any],
        n: int,
        size: int = 0,
    ) -> None:
        benchmark.pedantic(
            job, setup=lambda: ((setup(),), {}), rounds=ROUNDS, warmup_rounds=1
        )
        each = benchmark.stats.stats.median / n * 1e9
        benchmark.extra_info.update(
            messages=n,
            ns_per_message=each,
            limit_ns=LIMITS.get((workload.name, size)),
            million_per_s=1e3 / each,
            copies=each / copy_ns(workload.messages),
            faster_than_python=python_ns / each,
        )

    return run


@pytest.mark.parametrize("size", [64, 512, 4_096, 1_000_000])
def test_book_in_batches(timed: Timed, workload: Workload, size: int) -> None:
    """The compiled book, from batches of 64 messages to the whole flow."""
    rows = workload.messages[:MESSAGES]
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]

    def job(books: Books) -> None:
        for batch in batches:
            books.process(batch)

    timed(job, lambda: prefilled(workload), len(rows), size)


def test_book_by_single_calls(timed: Timed, workload: Workload) -> None:
    """The compiled book, one Python call a message; the loop is part of the time."""
    rows = workload.messages[:MESSAGES]
    names = ("kind", "account", "side", "price", "qty", "tif", "order_id")
    calls = list(zip(*(rows[name].tolist() for name in names), strict=True))
    new, market, cancel = int(Kind.LIMIT), int(Kind.MARKET), int(Kind.CANCEL)

    def job(books: Books) -> None:
        for kind, account, side, price, qty, tif, order_id in calls:
            if kind == new:
                books.limit(0, account, side, price, qty, tif)
            elif kind == cancel:
                books.cancel(0, account, order_id)
            elif kind == market:
                books.market(0, account, side, qty)
            else:
                books.replace(0, account, order_id, price, qty)
        books.take_fills()

    timed(job, lambda: prefilled(workload), len(rows), size=1)


def test_book_in_python(timed: Timed, workload: Workload) -> None:
    """The readable book on sorted dictionaries, on the beginning of the flow."""
    rows = workload.messages[:PYTHON_MESSAGES]
    timed(
        lambda books: books.process(rows),
        lambda: prefilled(workload, ReferenceBooks),
        len(rows),
    )


def test_copy_of_the_messages(timed: Timed, workload: Workload) -> None:
    """The bytes of the messages copied: the limit that memory sets."""
    source = workload.messages.view(np.uint8)
    target = source.copy()
    timed(
        lambda source: np.copyto(target, source),
        lambda: source,
        len(workload.messages),
    )
