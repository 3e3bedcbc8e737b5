"""The dormant orders of a market: stops and take-profits that wait for a price."""

from collections.abc import Iterator
from itertools import count

import attrs
from sortedcontainers import SortedKeyList

from .messages import BY_INDEX, BY_MARK, TAKE_PROFIT, Message
from .orders import PRICE_MAX, Side

LAST = 0
SOURCES = (LAST, BY_MARK, BY_INDEX)
"""What a trigger is compared with: the last trade unless a flag says otherwise."""


@attrs.define(eq=False)
class Stop:
    """A dormant order: the message that enters when its trigger is touched."""

    message: Message
    arrival: int = 0
    due: bool = False  # touched while the market was not open

    @property
    def source(self) -> int:
        """The price it waits for."""
        return self.message.flags & (BY_MARK | BY_INDEX)

    @property
    def falls(self) -> bool:
        """Whether it waits for a fall: a stop to sell, a take-profit to buy."""
        sells = self.message.side == Side.SELL
        return sells != bool(self.message.flags & TAKE_PROFIT)

    @property
    def place(self) -> tuple[bool, int, int]:
        """Sorts those that wait for one direction: the first that a move meets."""
        trigger = self.message.trigger
        return not self.due, -trigger if self.falls else trigger, self.arrival

    def met(self, lowest: int, highest: int) -> bool:
        """Whether a price that went so low and so high touched the trigger."""
        trigger = self.message.trigger
        return lowest <= trigger if self.falls else highest >= trigger


class Stops:
    """The dormant orders of a market and the prices they wait for."""

    def __init__(self) -> None:
        self.prices = dict.fromkeys(SOURCES, 0)  # ticks, 0: none yet
        self._seen: dict[int, tuple[int, int]] = {}  # lowest, highest since `settle`
        self._arrivals = count()
        self._due = 0  # orders that are
        # Those that wait for a fall, then those for a rise, of each source.
        self._queues = [
            {source: SortedKeyList(key=lambda stop: stop.place) for source in SOURCES}
            for _ in range(2)
        ]

    def see(self, source: int, price: int) -> None:
        """Take note of a price."""
        self.prices[source] = price
        lowest, highest = self._seen.get(source, (price, price))
        self._seen[source] = min(lowest, price), max(highest, price)

    def is_met(self, stop: Stop) -> bool:
        """Whether the current price meets the trigger."""
        price = self.prices[stop.source]
        return bool(price) and stop.met(price, price)

    def add(self, stop: Stop) -> None:
        """Let an order wait, behind those of the same trigger.  O(log n)."""
        stop.arrival = next(self._arrivals)
        self._put(stop)

    def remove(self, stop: Stop) -> None:
        """Forget an order.  O(log n)."""
        self._queue(stop).remove(stop)
        self._due -= stop.due

    def next(self) -> Stop | None:
        """The order that fires next, None if no trigger was touched.

        Of those that wait for a fall the highest trigger comes first, of those for a
        rise the lowest, then the oldest; falls come before rises.
        """
        if not (self._seen or self._due):
            return None
        for queues in self._queues:
            heads: list[Stop] = [queue[0] for queue in queues.values() if queue]
            touched = [stop for stop in heads if stop.due or self._saw(stop)]
            if touched:
                return min(touched, key=lambda stop: stop.place)
        return None

    def settle(self, is_open: bool) -> None:
        """Forget what was seen; a market that is not open keeps those due by it."""
        if not is_open and self._seen:
            for stop in [it for it in self if self._saw(it) and not it.due]:
                self.remove(stop)
                stop.due = True
                self._put(stop)
        self._seen.clear()

    def __iter__(self) -> Iterator[Stop]:
        """All of them, each direction in the order in which a move would meet them."""
        for queues in self._queues:
            every = (stop for queue in queues.values() for stop in queue)
            yield from sorted(every, key=lambda stop: stop.place)

    def _put(self, stop: Stop) -> None:
        self._queue(stop).add(stop)
        self._due += stop.due

    def _queue(self, stop: Stop) -> SortedKeyList:
        return self._queues[0 if stop.falls else 1][stop.source]

    def _saw(self, stop: Stop) -> bool:
        seen = self._seen.get(stop.source)
        return seen is not None and stop.met(*seen)

    def _check(self, is_open: bool) -> None:
        """Assert every invariant.  O(n log n)."""
        assert not self._seen
        assert self._due == sum(stop.due for stop in self)
        for queues, falls in zip(self._queues, (True, False), strict=True):
            for source, queue in queues.items():
                queue._check()
                for stop in queue:
                    assert (stop.falls, stop.source) == (falls, source)
                    assert 1 <= stop.message.trigger <= PRICE_MAX
                    # A trigger that is met has fired, or will when the market opens.
                    assert not (is_open and stop.due)
                    assert stop.due or not self.is_met(stop)
