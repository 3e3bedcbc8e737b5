"""The gateway: latency, a service rate, and the queue that forms beyond it."""

from collections.abc import Callable
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.messages import joined, senders, served, stamped
from ..orderbook.orders import MESSAGE, Kind
from .chance import Stream, exp
from .config import Gateway as Settings

CANCELS = (Kind.CANCEL, Kind.CANCEL_ALL)

JITTERS = 256
"""How many latencies are drawn at a time."""

Floats = NDArray[np.float64]
Rows = NDArray[np.void]


class Gateway:
    """Messages on their way to the books, in the order they will be served.

    Each participant's batch takes its class's latency (lognormal jitter) to arrive; the
    gateway serves one message after another at its rate. What would wait in a queue
    longer than allowed is refused. Degraded for a class, it takes longer to reach and
    refuses a share of what comes. Cancels are never refused. ``stream`` returns the
    random numbers of a name: each participant has its own.
    """

    def __init__(self, settings: Settings, stream: Callable[[str], Stream]) -> None:
        self.settings = settings
        self.refused = 0
        self._turned: dict[str, int] = {}  # those not told yet, by reason
        self._stream = stream
        # Of each sender, as those of one must not depend on what others send.
        self._streams: dict[str, Stream] = {}
        self._jitters: dict[str, list[float]] = {}  # of latencies, the next one last
        self._slower: dict[str, float] = {}  # of the latency, by class
        self._rejects: dict[str, float] = {}  # share of orders, by class
        # A heap of arrival, sequence, batch.
        self._coming: list[tuple[int, int, Rows]] = []
        self._sequence = 0
        self._queue = np.empty(0, MESSAGE)  # arrived and accepted, not served yet
        self._since = np.empty(0)  # when each of them arrived
        self._free_at = 0.0  # when the last one served was done
        self._asked = 0.0  # what was not served by then is served later
        self._rate = settings.rate

    @property
    def rate(self) -> float:
        """Messages served a second; with a new rate, the one in service starts anew."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._free_at = max(self._free_at, self._asked)
        self._rate = rate

    def degrade(self, group: str, latency: float | None, reject: float | None) -> None:
        """Multiply the latency of a class, refuse a share of its orders, from now on.

        None leaves either as it is; 1 and 0 are a gateway in order.
        """
        if latency is not None:
            self._slower[group] = latency
        if reject is not None:
            self._rejects[group] = reject

    def turned_away(self) -> dict[str, int]:
        """Return how many messages were refused since the last call, by reason."""
        told, self._turned = self._turned, {}
        return told

    def send(self, sender: str, batch: Rows, now: int) -> None:
        """Take a batch from a participant; it arrives after the latency of its class.

        ``sender`` is its class and its name, with a dot between.
        """
        group = sender.partition(".")[0]
        share = self._rejects.get(group, 0.0)
        if share:
            spared = np.isin(batch["kind"], CANCELS)
            draws = self._stream_of(f"gateway.refusals.{sender}")
            spared |= draws.uniform(len(batch)) >= share
            self._refuse(~spared, f"messages of {group} refused by a degraded gateway")
            batch = batch[spared]
        median = self.settings.latency.get(group, 0.0) * self._slower.get(group, 1.0)
        jitters = self._jitters.get(sender) or self._draw_jitters(sender)
        arrival = now + int(median * jitters.pop() * 1e9)
        if len(batch):
            heappush(self._coming, (arrival, self._sequence, batch))
        self._sequence += 1

    def due(self, until: int) -> Rows:
        """Return what is served up to a time, with the time of service in each row."""
        arrived = []
        while self._coming and self._coming[0][0] <= until:
            arrived.append(heappop(self._coming))
        waiting = len(self._queue)
        self._asked = float(until)
        if not arrived and not waiting:
            return self._queue
        rows, since = joined(self._queue, self._since, arrived)
        done, longest, behind = self._serve(since)
        if longest > self._longest():
            accepted = self._accept(rows, since, waiting)
            rows, since = rows[accepted], since[accepted]
            done, _, behind = self._serve(since)
        if self.settings.cancels_first and behind:
            order = self._cancels_first(rows, since)
            rows, since = rows[order], since[order]
            done, _, _ = self._serve(since)
        n = stamped(rows, done, until)
        if n:
            self._free_at = float(done[n - 1])
        self._queue, self._since = rows[n:], since[n:]
        return rows[:n]

    def _stream_of(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = self._stream(name)
        return self._streams[name]

    def _draw_jitters(self, sender: str) -> list[float]:
        # One by one as they are needed, they took as long as everything else here.
        stream = self._stream_of(f"gateway.{sender}")
        normal = [stream.normal(1)[0] for _ in range(JITTERS)]
        factors: list[float] = exp(self.settings.jitter * np.array(normal)).tolist()
        self._jitters[sender] = factors[::-1]
        return self._jitters[sender]

    def _serve(self, since: Floats) -> tuple[Floats, float, bool]:
        # A single server: start = max(arrival, end of the one before).
        return served(since, self._free_at, 1e9 / self.rate)

    def _cancels_first(self, rows: Rows, since: Floats) -> list[int]:
        # Whenever the server is free, the oldest cancel that is there, or else the
        # oldest order. What is served is not interrupted.
        cancel = np.isin(rows["kind"], CANCELS)
        cancels, orders = np.flatnonzero(cancel), np.flatnonzero(~cancel)
        urgent = [*since[cancels].tolist(), np.inf]
        other = [*since[orders].tolist(), np.inf]
        served, time, step = [], self._free_at, 1e9 / self.rate
        i = j = 0
        while i + j < len(rows):
            time = max(time, min(urgent[i], other[j]))
            if urgent[i] <= time:
                served.append(int(cancels[i]))
                i += 1
            else:
                served.append(int(orders[j]))
                j += 1
            time += step
        return served

    def _accept(self, rows: Rows, since: Floats, waiting: int) -> NDArray[np.bool_]:
        # Cancels always get through; new orders do not join too long a queue, and
        # those refused take no time of the server. The first rows wait already.
        accepted = np.ones(len(rows), np.bool_)
        step, longest, free_at = 1e9 / self.rate, self._longest(), self._free_at
        always = np.isin(rows["kind"], CANCELS)
        always[:waiting] = True
        for i, arrival in enumerate(since.tolist()):
            end = max(arrival, free_at) + step
            accepted[i] = always[i] or end - arrival <= longest
            free_at = end if accepted[i] else free_at
        self._refuse(~accepted, "messages refused by the gateway, whose queue was full")
        return accepted

    def _refuse(self, rows: NDArray[np.bool_], reason: str) -> None:
        count = int(rows.sum())
        self.refused += count
        if count:
            self._turned[reason] = self._turned.get(reason, 0) + count

    def _longest(self) -> float:
        # Nanoseconds that a queue as long as allowed takes.
        return self.settings.queue * 1e9 / self.rate

    def delay(self, now: int) -> float:
        """Return how long a message arriving now would wait, in seconds."""
        ahead = sum(len(batch) for arrival, _, batch in self._coming if arrival <= now)
        done, _, _ = self._serve(self._since)
        left = max(0.0, float(done[-1] - now)) if len(done) else 0.0
        return left * 1e-9 + ahead / self.rate

    def unserved(self, accounts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of these accounts have messages here that are not served yet.

        The accounts are one participant's, in a row. O(messages that wait + batches on
        the way), more only for the messages of these accounts.
        """
        return senders(self._queue, self._coming, int(accounts[0]), len(accounts))
