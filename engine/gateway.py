"""The gateway: latency, a service rate, and the queue that forms beyond it."""

from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from ..orderbook.orders import MESSAGE, Kind
from .chance import Stream
from .config import Gateway as Settings

Floats = NDArray[np.float64]
Rows = NDArray[np.void]


class Gateway:
    """Messages on their way to the books, in the order they will be served.

    Each participant's batch takes its class's latency (lognormal jitter) to arrive; the
    gateway serves one message after another at its rate. What would wait in a queue
    longer than allowed is refused.
    """

    def __init__(self, settings: Settings, stream: Stream) -> None:
        self.settings = settings
        self.refused = 0
        self._stream = stream
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

    def send(self, group: str, batch: Rows, now: int) -> None:
        """Take a batch from a participant of a class; it arrives after the latency."""
        median = self.settings.latency.get(group, 0.0)
        delay = self._stream.lognormal(1, median, self.settings.jitter)[0]
        arrival = now + int(delay * 1e9)
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
        rows = np.concatenate([self._queue, *(batch for _, _, batch in arrived)])
        since = np.repeat(
            np.array([arrival for arrival, _, _ in arrived], np.float64),
            [len(batch) for _, _, batch in arrived],
        )
        since = np.concatenate([self._since, since])
        done = self._serve(since)
        if (done - since).max() > self._longest():
            accepted = self._accept(rows, since, waiting)
            rows, since = rows[accepted], since[accepted]
            done = self._serve(since)
        n = int(np.searchsorted(done, until, side="right"))
        if n:
            self._free_at = float(done[n - 1])
        self._queue, self._since = rows[n:], since[n:]
        rows = rows[:n]
        rows["time"] = done[:n]
        return rows

    def _serve(self, since: Floats) -> Floats:
        # A single server: start = max(arrival, end of the one before).
        step = 1e9 / self.rate
        k = np.arange(len(since))
        begin = np.maximum.accumulate(np.maximum(since, self._free_at) - k * step)
        return np.asarray(begin + (k + 1) * step)

    def _accept(self, rows: Rows, since: Floats, waiting: int) -> NDArray[np.bool_]:
        # Cancels always get through; new orders do not join too long a queue, and
        # those refused take no time of the server. The first rows wait already.
        accepted = np.ones(len(rows), np.bool_)
        step, longest, free_at = 1e9 / self.rate, self._longest(), self._free_at
        always = np.isin(rows["kind"], (Kind.CANCEL, Kind.CANCEL_ALL))
        always[:waiting] = True
        for i, arrival in enumerate(since.tolist()):
            end = max(arrival, free_at) + step
            accepted[i] = always[i] or end - arrival <= longest
            free_at = end if accepted[i] else free_at
        self.refused += int((~accepted).sum())
        return accepted

    def _longest(self) -> float:
        # Nanoseconds that a queue as long as allowed takes.
        return self.settings.queue * 1e9 / self.rate

    def delay(self, now: int) -> float:
        """Return how long a message arriving now would wait, in seconds."""
        ahead = sum(len(batch) for arrival, _, batch in self._coming if arrival <= now)
        done = np.append(self._serve(self._since), now)[-2:].max()
        return float(done - now) * 1e-9 + ahead / self.rate
