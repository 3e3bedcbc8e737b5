"""The event log: everything that happened, each with the event that caused it."""

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ..orderbook.orders import FILL, MESSAGE, RESULT

NO_CAUSE = 0
"""Cause of an event that nothing in the simulation caused: a root."""

ORDER = "order"
TRADE = "trade"


@frozen(kw_only=True)
class Event:
    """One event of a run, in the exchange's own units.

    ``kind`` is one of shock, decision, order, trade, index, mark, breach, liquidation,
    withdrawal, takeover, fund, claim, funding, interest, rule. ``market``, ``asset``
    and ``account`` are numbers, -1 where they do not apply; ``price`` is in ticks,
    ``qty`` in lots, ``value`` in what ``text`` says.
    """

    id: int
    time: int
    kind: str
    cause: int = NO_CAUSE
    account: int = -1
    counterparty: int = -1
    market: int = -1
    asset: int = -1
    side: int = -1
    price: int = 0
    qty: int = 0
    value: float = float("nan")
    text: str = ""


@frozen
class _Batch:
    """Messages, what became of them, and the fills they made, with their ids."""

    first: int
    messages: NDArray[np.void] = field(repr=False)
    results: NDArray[np.void] = field(repr=False)
    fills: NDArray[np.void] = field(repr=False)


class EventLog:
    """An append-only log. Event ids are dense and start at 1.

    Messages and fills are kept as the arrays they came in; the rarer events (shocks,
    repricings, breaches, liquidation steps, decisions) one by one.
    """

    def __init__(self) -> None:
        self.next_id = 1
        self._batches: list[_Batch] = []
        self._firsts: list[int] = []
        self._single: dict[int, Event] = {}

    def add(self, kind: str, time: int, cause: int = NO_CAUSE, **fields: object) -> int:
        """Append one event and return its id."""
        event = Event(id=self.next_id, time=time, kind=kind, cause=cause, **fields)  # type: ignore[arg-type]
        self._single[event.id] = event
        self.next_id += 1
        return event.id

    def add_batch(
        self,
        messages: NDArray[np.void],
        results: NDArray[np.void],
        fills: NDArray[np.void],
    ) -> int:
        """Append a processed batch; return the id of its first fill.

        Message i gets id first + i, then the fills follow; the cause of a fill becomes
        the event of its taker's message.
        """
        first = self.next_id
        fills["cause"] = first + fills["message"]
        self._batches.append(_Batch(first, messages, results, fills))
        self._firsts.append(first)
        self.next_id += len(messages) + len(fills)
        return first + len(messages)

    def __len__(self) -> int:
        return self.next_id - 1

    def __getitem__(self, event_id: int) -> Event:
        """Return the event with this id; KeyError if there is none. O(log batches)."""
        if event_id in self._single:
            return self._single[event_id]
        at = bisect_right(self._firsts, event_id) - 1
        if at < 0 or event_id >= self.next_id:
            raise KeyError(event_id)
        batch = self._batches[at]
        row = event_id - batch.first
        if row < len(batch.messages):
            return _order_event(event_id, batch.messages[row], batch.results[row])
        return _trade_event(event_id, batch.fills[row - len(batch.messages)])

    def chain(self, event_id: int) -> list[Event]:
        """Return the event and its causes, back to the root."""
        events = []
        while event_id != NO_CAUSE:
            event = self[event_id]
            events.append(event)
            # A cause is older than its effect, so the walk ends.
            assert event.cause < event_id
            event_id = event.cause
        return events

    def single(self, *kinds: str) -> Iterator[Event]:
        """Iterate over the rarer events of these kinds (all by default), in order."""
        for event in self._single.values():
            if not kinds or event.kind in kinds:
                yield event

    def fills(self) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Return all trades of the run: their event ids and their FILL rows."""
        ids = [
            np.arange(len(b.fills)) + b.first + len(b.messages) for b in self._batches
        ]
        rows = [b.fills for b in self._batches]
        return (
            np.concatenate([np.empty(0, np.int64), *ids]),
            np.concatenate([np.empty(0, FILL), *rows]),
        )

    def messages(self) -> tuple[NDArray[np.int64], NDArray[np.void], NDArray[np.void]]:
        """Return all messages of the run: event ids, MESSAGE rows, RESULT rows."""
        ids = [np.arange(len(b.messages)) + b.first for b in self._batches]
        return (
            np.concatenate([np.empty(0, np.int64), *ids]),
            np.concatenate(
                [np.empty(0, MESSAGE), *(b.messages for b in self._batches)]
            ),
            np.concatenate([np.empty(0, RESULT), *(b.results for b in self._batches)]),
        )


def _order_event(event_id: int, message: np.void, result: np.void) -> Event:
    return Event(
        id=event_id,
        time=int(message["time"]),
        kind=ORDER,
        cause=int(message["cause"]),
        account=int(message["account"]),
        market=int(message["market"]),
        side=int(message["side"]),
        price=int(message["price"]),
        qty=int(message["qty"]),
        value=float(result["order_id"]),
        text="order id",
    )


def _trade_event(event_id: int, fill: np.void) -> Event:
    return Event(
        id=event_id,
        time=int(fill["time"]),
        kind=TRADE,
        cause=int(fill["cause"]),
        account=int(fill["taker"]),
        counterparty=int(fill["maker"]),
        market=int(fill["market"]),
        side=int(fill["taker_side"]),
        price=int(fill["price"]),
        qty=int(fill["qty"]),
        value=float(fill["maker_order"]),
        text="maker order id",
    )
