"""The gateway: latency, one server, a queue that is cut, cancels that get through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.chance import Stream
from flashwick.engine.config import Gateway as Settings
from flashwick.engine.gateway import Gateway
from flashwick.orderbook.orders import Kind, messages

SECOND = 1_000_000_000
MS = 1_000_000


def gateway(rate: float, queue: int = 1_000_000, **latency: float) -> Gateway:
    """A gateway whose latencies do not vary."""
    settings = Settings(rate=rate, queue=queue, latency=latency, jitter=0.0)
    return Gateway(settings, Stream(0, "gateway"))


def batch(*ids: int, kind: Kind = Kind.LIMIT) -> np.ndarray:
    """Messages with these numbers."""
    rows = messages(len(ids))
    rows["cause"], rows["kind"] = ids, kind
    return rows


def served(door: Gateway, until: int) -> list[tuple[int, float]]:
    """Number of each message served up to a time, and when in milliseconds."""
    rows = door.due(until)
    times = (rows["time"] / MS).tolist()
    return list(zip(rows["cause"].tolist(), times, strict=True))


def test_message_arrives_after_the_latency_of_its_class() -> None:
    """Makers in 2 ms, holders in 200; a class without one at once."""
    door = gateway(1e6, makers=0.002, holders=0.2)
    door.send("holders", batch(1), 0)
    door.send("makers", batch(2), 0)
    door.send("shocks", batch(3), 5 * MS)
    assert served(door, 2 * MS) == []
    assert served(door, SECOND) == [(2, 2.001), (3, 5.001), (1, 200.001)]
    assert served(door, 2 * SECOND) == []


def test_latency_varies_around_its_median() -> None:
    """Lognormally, from the gateway's own stream."""
    settings = Settings(rate=1e9, latency={"makers": 0.1}, jitter=0.25)
    door = Gateway(settings, Stream(0, "gateway"))
    for i in range(2_001):
        door.send("makers", batch(i), 0)
    delays = np.sort(door.due(SECOND)["time"]) / SECOND
    assert len(delays) == 2_001
    assert delays[1_000] == pytest.approx(0.1, rel=0.03)
    assert np.log(delays).std() == pytest.approx(0.25, rel=0.1)


def test_server_takes_one_message_after_another() -> None:
    """Ten a second: the second batch waits for the first, the third does not."""
    door = gateway(10)
    door.send("a", batch(1, 2, 3), 0)
    door.send("b", batch(4), 50 * MS)
    door.send("c", batch(5), 900 * MS)
    expected = [(1, 100.0), (2, 200.0), (3, 300.0), (4, 400.0), (5, 1000.0)]
    assert served(door, SECOND) == expected


arrivals = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(1, 6)), min_size=1, max_size=12
)
looks = st.lists(st.integers(0, 6_000), max_size=30)


@given(arrivals, looks, st.sampled_from([3, 10, 777, 1e6]))
@settings(max_examples=200, phases=UNTRACED)
def test_order_is_kept_and_looking_changes_nothing(
    sent: list[tuple[int, int]], looks: list[int], rate: float
) -> None:
    """However often the gateway is asked, each message is served at its time."""
    expected, free_at, number = [], 0.0, 0
    for at, size in sorted(sent, key=lambda entry: entry[0]):
        for _ in range(size):
            free_at = max(free_at, at * MS) + SECOND / rate
            expected.append((number, free_at / MS))
            number += 1
    door, number, found = gateway(rate), 0, []
    pending = sorted(sent, key=lambda entry: entry[0])
    for look in [*sorted(looks), 10**9]:
        while pending and pending[0][0] <= look:
            at, size = pending.pop(0)
            door.send("a", batch(*range(number, number + size)), at * MS)
            number += size
        rows = served(door, look * MS)
        assert all(time <= look for _, time in rows)
        found += rows
    assert [number for number, _ in found] == [number for number, _ in expected]
    assert [t for _, t in found] == pytest.approx([t for _, t in expected], abs=1e-5)
    assert door.refused == 0


def test_slow_server_gets_on_between_looks() -> None:
    """A message that takes a second is served, though someone looks every 100 ms."""
    door = gateway(1)
    door.send("a", batch(1, 2), 0)
    found = [served(door, look * 100 * MS) for look in range(25)]
    assert [row for rows in found for row in rows] == [(1, 1000.0), (2, 2000.0)]


def test_queue_that_is_full_refuses_orders_and_no_cancel() -> None:
    """Three may wait; the orders beyond go, and take no time from those behind."""
    door = gateway(10, queue=3)
    door.send("a", batch(1, 2, 3, 4, 5), 0)
    door.send("a", batch(6, kind=Kind.CANCEL), 0)
    door.send("a", batch(7, kind=Kind.REPLACE), 0)
    door.send("a", batch(8, kind=Kind.CANCEL_ALL), 0)
    door.send("a", batch(9), 400 * MS)
    expected = [(1, 100.0), (2, 200.0), (3, 300.0), (6, 400.0), (8, 500.0), (9, 600.0)]
    assert served(door, 10 * SECOND) == expected
    assert door.refused == 3


def test_message_that_was_let_in_is_not_refused_later() -> None:
    """Not even when the server slows down while it waits."""
    door = gateway(10, queue=3)
    door.send("a", batch(1, 2, 3), 0)
    assert served(door, 100 * MS) == [(1, 100.0)]
    door.rate = 1
    door.send("a", batch(4, 5), 200 * MS)
    assert [number for number, _ in served(door, 100 * SECOND)] == [2, 3, 4]
    assert door.refused == 1


def test_degraded_server_is_slower_and_the_delay_grows() -> None:
    """From a tenth of a millisecond a message to ten."""
    door = gateway(10_000)
    delays = []
    for step in range(6):
        now = step * SECOND
        assert (door.due(now)["time"] > now - SECOND).all()
        if step == 2:
            door.rate = 100
        if step == 4:
            door.rate = 10_000
        delays.append(door.delay(now))
        door.send("a", batch(*range(300)), now)
    assert delays[:3] == [0.0, 0.0, 0.0]
    assert delays[3] == pytest.approx(2.0)  # 300 came, 100 were served
    assert delays[4] == pytest.approx(0.04)  # 600 less 200, at the old rate again
    assert delays[5] == 0.0


def test_rate_that_rises_serves_nothing_in_the_past() -> None:
    """What waited is served from then on, one after the other."""
    door = gateway(1)
    door.send("a", batch(1, 2, 3), 0)
    assert served(door, 1_500 * MS) == [(1, 1000.0)]
    door.rate = 1_000
    assert served(door, 2 * SECOND) == [(2, 1501.0), (3, 1502.0)]


def test_delay_counts_what_has_arrived() -> None:
    """A batch on its way is no queue yet."""
    door = gateway(10, slow=5.0)
    door.send("slow", batch(1), 0)
    assert door.delay(0) == 0.0
    door.send("fast", batch(*range(20)), 0)
    assert door.delay(0) == pytest.approx(2.0)
    door.due(SECOND)
    assert door.delay(SECOND) == pytest.approx(1.0)
