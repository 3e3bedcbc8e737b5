"""The gateway: latency, a service rate, and the queue that forms beyond it."""

import numpy as np
from numpy.typing import NDArray

from ..orderbook.orders import MESSAGE, Kind
from .chance import Stream
from .config import Gateway as Settings

Rows = NDArray[np.void]


class Gateway:
    """Messages on their way to the books, in the order they will be served.

    Each participant's batch takes its class's latency (lognormal jitter) to arrive; the
    gateway serves one message after another at its rate. What would wait in a queue
    longer than allowed is refused.
    """

    def __init__(self, settings: Settings, stream: Stream) -> None:
        self.settings = settings
        self.rate = settings.rate
        self.refused = 0
        self._stream = stream
        self._waiting: list[tuple[int, int, Rows]] = []  # arrival, sequence, batch
        self._sequence = 0
        self._free_at = 0.0  # when the server will have served what it took

    def send(self, group: str, batch: Rows, now: int) -> None:
        """Take a batch from a participant of a class; it arrives after the latency."""
        median = self.settings.latency.get(group, 0.0)
        delay = self._stream.lognormal(1, median, self.settings.jitter)[0]
        arrival = now + int(delay * 1e9)
        self._waiting.append((arrival, self._sequence, batch))
        self._sequence += 1

    def due(self, until: int) -> Rows:
        """Return what is served up to a time, with the time of service in each row."""
        self._waiting.sort(key=lambda entry: entry[:2])
        n = sum(entry[0] <= until for entry in self._waiting)
        arrived, self._waiting = self._waiting[:n], self._waiting[n:]
        if not arrived:
            return np.empty(0, MESSAGE)
        rows = np.concatenate([batch for _, _, batch in arrived])
        arrivals = np.repeat(
            np.array([arrival for arrival, _, _ in arrived], np.float64),
            [len(batch) for _, _, batch in arrived],
        )
        served = self._serve(arrivals)
        rows["time"] = served
        rows = self._cut_queue(rows, served - arrivals)
        late = rows["time"] > until
        if late.any():
            # Not served yet: they wait at the head of the line.
            self._free_at = float(until)
            self._waiting.append((until, -1 - self._sequence, rows[late]))
            self._sequence += 1
            rows = rows[~late]
        return rows

    def _serve(self, arrivals: NDArray[np.float64]) -> NDArray[np.int64]:
        # A single server: start = max(arrival, end of the one before).
        step = 1e9 / self.rate
        k = np.arange(len(arrivals))
        begin = np.maximum.accumulate(np.maximum(arrivals, self._free_at) - k * step)
        end = begin + (k + 1) * step
        self._free_at = float(end[-1])
        return np.asarray(end, np.int64)

    def _cut_queue(self, rows: Rows, waits: NDArray[np.float64]) -> Rows:
        # Cancels always get through; new orders do not join too long a queue.
        longest = self.settings.queue * 1e9 / self.rate
        refused = (waits > longest) & (rows["kind"] != Kind.CANCEL)
        refused &= rows["kind"] != Kind.CANCEL_ALL
        self.refused += int(refused.sum())
        return rows[~refused] if refused.any() else rows

    def delay(self, now: int) -> float:
        """Return how long a message arriving now would wait, in seconds."""
        waiting = sum(
            len(batch) for arrival, _, batch in self._waiting if arrival <= now
        )
        return max(0.0, self._free_at - now) * 1e-9 + waiting / self.rate
