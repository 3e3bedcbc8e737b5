"""The gateway: latency, one server, a queue that is cut, cancels that get through."""

from functools import partial

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


def gateway(
    rate: float,
    queue: int = 1_000_000,
    cancels_first: bool = False,
    **latency: float,
) -> Gateway:
    """A gateway whose latencies do not vary."""
    settings = Settings(
        rate=rate,
        queue=queue,
        cancels_first=cancels_first,
        latency=latency,
        jitter=0.0,
    )
    return Gateway(settings, partial(Stream, 0))


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
    """Lognormally, from a stream of the sender's own."""
    settings = Settings(rate=1e9, latency={"makers": 0.1}, jitter=0.25)
    door = Gateway(settings, partial(Stream, 0))
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


# -- DEGRADED


def test_degraded_class_takes_longer_and_the_others_do_not() -> None:
    """Its latency times the factor, until it is 1 again."""
    door = gateway(1e9, holders=0.01, makers=0.01)
    door.degrade("holders", 20.0, None)
    for group, number in (("holders", 1), ("makers", 2)):
        door.send(group, batch(number), 0)
    assert [(n, round(t)) for n, t in served(door, SECOND)] == [(2, 10), (1, 200)]
    door.degrade("holders", 1.0, None)
    door.send("holders", batch(3), SECOND)
    assert [(n, round(t)) for n, t in served(door, 2 * SECOND)] == [(3, 1010)]


def test_degraded_class_loses_a_share_of_its_orders_and_no_cancel() -> None:
    """Told by class; nothing more once the share is 0 again."""
    door = gateway(1e9)
    door.degrade("holders", None, 0.3)
    door.send("holders", batch(*range(4_000)), 0)
    door.send("holders", batch(*range(10), kind=Kind.CANCEL), 0)
    door.send("holders", batch(*range(10), kind=Kind.CANCEL_ALL), 0)
    door.send("makers", batch(*range(100)), 0)
    reason = "messages of holders refused by a degraded gateway"
    assert door.turned_away() == {reason: door.refused}
    assert door.turned_away() == {}
    assert door.refused == pytest.approx(1_200, rel=0.1)
    assert len(served(door, SECOND)) == 4_120 - door.refused
    door.degrade("holders", None, 0.0)
    door.send("holders", batch(*range(100)), SECOND)
    assert len(served(door, 2 * SECOND)) == 100
    assert door.turned_away() == {}


def test_refusals_are_the_same_whatever_the_latency_draws() -> None:
    """They come from a stream of their own, and leave the other one as it was."""
    settings = Settings(rate=1e9, latency={"holders": 0.1}, jitter=0.25)
    doors = [Gateway(settings, partial(Stream, 0)) for _ in range(2)]
    doors[0].degrade("holders", None, 0.5)
    found = []
    for door in doors:
        door.send("holders", batch(*range(50)), 0)
        door.degrade("holders", None, 0.0)
        door.send("holders", batch(99), SECOND)
        found.append(served(door, 3 * SECOND)[-1])
    assert doors[0].refused > 0
    assert found[0] == found[1]


@pytest.mark.parametrize("other", ["makers.beta", "holders.retail"])
def test_who_else_sends_changes_no_latency_and_no_refusal(other: str) -> None:
    """Not of another class, and not of another name in the same one."""
    latency = {"makers": 0.1, "holders": 0.2}
    settings = Settings(rate=1e9, latency=latency, jitter=0.25)
    found = []
    for senders in (["makers.alpha"], [other, "makers.alpha"]):
        door = Gateway(settings, partial(Stream, 0))
        for group in latency:
            door.degrade(group, None, 0.5)
        for second in range(20):
            for sender in senders:
                number = second + 100 * (sender == other)
                door.send(sender, batch(*[number] * 4), second * SECOND)
        rows = door.due(30 * SECOND)
        rows = rows[rows["cause"] < 100]
        arrived = np.rint(rows["time"] / MS).tolist()
        found.append(list(zip(rows["cause"].tolist(), arrived, strict=True)))
    assert 20 < len(found[0]) < 60
    assert found[0] == found[1]


def test_accounts_with_messages_not_served_are_known() -> None:
    """On the way or in the queue; once served they are free again."""
    door = gateway(10, makers=0.1)
    own = np.arange(20, 25)
    other, first, second = batch(1), batch(2, 3), batch(4)
    other["account"], first["account"], second["account"] = 19, [21, 24], 22
    assert not door.unserved(own).any()
    for rows in (other, first, second):
        door.send("makers", rows, 0)
    assert door.unserved(own).tolist() == [False, True, True, False, True]
    assert served(door, 350 * MS) == [(1, 200.0), (2, 300.0)]
    assert door.unserved(own).tolist() == [False, False, True, False, True]
    door.due(SECOND)
    assert not door.unserved(own).any()


# -- CANCELS FIRST


def test_cancels_are_served_before_orders_that_wait() -> None:
    """As soon as the server is free; what it is at is not interrupted."""
    door = gateway(10, cancels_first=True)
    door.send("a", batch(1, 2, 3), 0)
    door.send("b", batch(4, kind=Kind.CANCEL), 50 * MS)
    door.send("b", batch(5, kind=Kind.CANCEL_ALL), 150 * MS)
    door.send("b", batch(6), 250 * MS)
    expected = [(1, 100.0), (4, 200.0), (5, 300.0), (2, 400.0), (3, 500.0), (6, 600.0)]
    assert served(door, SECOND) == expected


@given(
    st.lists(
        st.tuples(st.integers(0, 3_000), st.integers(1, 4), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    looks,
    st.sampled_from([3, 10, 777]),
)
@settings(max_examples=200, phases=UNTRACED)
def test_cancels_go_first_however_often_the_gateway_is_asked(
    sent: list[tuple[int, int, bool]], looks: list[int], rate: float
) -> None:
    """Every message once, none before its arrival, the same in one look and in many."""
    found = []
    for times in ([], looks):
        door, number, rows = gateway(rate, cancels_first=True), 0, []
        pending = sorted(sent, key=lambda entry: entry[0])
        for look in [*sorted(times), 10**9]:
            while pending and pending[0][0] <= look:
                at, size, cancel = pending.pop(0)
                kind = Kind.CANCEL if cancel else Kind.LIMIT
                numbers = range(number, number + size)
                door.send("a", batch(*numbers, kind=kind), at * MS)
                number += size
            rows += served(door, look * MS)
        assert sorted(n for n, _ in rows) == list(range(number))
        found.append(rows)
    assert [n for n, _ in found[0]] == [n for n, _ in found[1]]
    assert [t for _, t in found[0]] == pytest.approx([t for _, t in found[1]], abs=1e-5)
