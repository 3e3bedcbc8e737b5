"""Order books from PyPI beside ours, on the flows of ``workloads``.

    pip install -e .[bench]
    pytest bench/test_peers.py --benchmark-only

A peer gets the beginning of a flow, as long as it can take in reasonable time, said in
the kinds of message it has. Our compiled book then gets the same messages, one call a
message as the peer: ``times_ours`` is the ratio. ``right_trades`` says how many of the
``trades`` that have to come the peer found, and ``first_difference`` what is wrong. A
peer that only keeps a book is compared by the levels at the end.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import peers
import pytest
import workloads
from peers import stream
from peers.ours import Calls
from peers.stream import Stream
from workloads import Workload

SHARE, ROUNDS = {"smoke": (0.01, 1), "regular": (1.0, 3), "large": (5.0, 9)}[
    os.environ.get("FLASHWICK_BENCH", "regular")
]
"""Part of the messages that a peer gets, and the most rounds."""

# What a peer warns of is its own affair.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=workloads.FLOWS)
def workload(request: pytest.FixtureRequest) -> Workload:
    """A flow, kept in pytest's cache between runs."""
    assert request.config.cache is not None
    return workloads.stored(request.param, request.config.cache.mkdir("workloads"))


def installed(place: str) -> type[Any]:
    """The adapter; the test is skipped if its peer is not installed."""
    try:
        return peers.load(place)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed: pip install -e .[bench]")


def shortened(workload: Workload, peer: type[Any]) -> Workload:
    """The beginning of the flow that the peer gets."""
    n = min(int(peer.messages * SHARE), len(workload.messages))
    if issubclass(peer, peers.Matcher):
        n = min(n, peer.hangs.get(workload.name, n))
    return Workload(workload.name, workload.prefill, workload.messages[:n], 0)


def ours_ns(flow: Stream) -> float:
    """Nanoseconds a message of our compiled book, called as a peer: median of five."""
    seconds = []
    for _ in range(5):
        book = Calls()
        book.feed(flow.prefill)
        start = time.perf_counter()
        book.feed(flow.messages)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[2] / len(flow.messages) * 1e9


def measure(
    benchmark: Any,
    flow: Stream,
    peer: type[Any],
    job: Callable[[Any], object],
    setup: Callable[[], Any],
) -> Any:
    """Time the job on a book that each round gets anew; the last round's book."""
    books: list[Any] = []

    def build() -> tuple[tuple[Any], dict[str, Any]]:
        books[:] = [setup()]
        return (books[0],), {}

    benchmark.pedantic(job, setup=build, rounds=min(ROUNDS, peer.rounds))
    each = benchmark.stats.stats.median / len(flow.messages) * 1e9
    benchmark.extra_info.update(
        version=peer.version(),
        messages=len(flow.messages),
        ns_per_message=each,
        times_ours=each / ours_ns(flow),
    )
    return books[0]


@pytest.mark.parametrize("name", peers.MATCHERS)
def test_matching(benchmark: Any, workload: Workload, name: str) -> None:
    """Engines that match, one call a message where not said otherwise."""
    peer = installed(peers.MATCHERS[name])
    part = shortened(workload, peer)
    flow = stream.stream(part.prefill, part.messages, peer.lacks)
    ready = peer().prepare(flow.messages)

    def setup() -> Any:
        book = peer()
        book.feed(book.prepare(flow.prefill))
        return book

    book = measure(benchmark, flow, peer, lambda book: book.feed(ready), setup)
    trades = stream.expected(flow)
    right, difference = stream.agreement(book.trades(), trades)
    if len(part.messages) == peer.hangs.get(part.name):
        difference = "; ".join(filter(None, [difference, "then it never returns"]))
    benchmark.extra_info.update(
        trades=len(trades),
        right_trades=right,
        first_difference=difference,
        lacks=", ".join(
            kind.name.lower() for kind in peers.Lacks if kind in peer.lacks
        ),
    )


@pytest.mark.parametrize("name", peers.KEEPERS)
def test_keeping_the_book(benchmark: Any, workload: Workload, name: str) -> None:
    """Books that are told what happened; ours has to find it out."""
    peer = installed(peers.KEEPERS[name])
    part = shortened(workload, peer)
    flow = stream.stream(part.prefill, part.messages)
    changes = stream.changes(flow)

    def setup() -> Any:
        return peer(changes.prefill, changes.messages)

    book = measure(benchmark, flow, peer, lambda book: book.run(), setup)
    same = book.levels() == changes.levels
    benchmark.extra_info.update(
        changes=len(changes.messages),
        levels=sum(map(len, changes.levels)),
        first_difference="" if same else "the levels at the end",
    )
