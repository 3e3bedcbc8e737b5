"""The event log: everything that happened, each with the event that caused it."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ..margin.presets import shown
from ..orderbook.orders import FILL, MESSAGE, RESULT, EventKind, Reason
from .arguments import suggest

NO_CAUSE = 0
"""Cause of an event that nothing in the simulation caused: a root."""

Rows = NDArray[np.void]
ORDER = "order"
TRADE = "trade"

SINGLE = (
    "shock",
    "decision",
    "index",
    "mark",
    "breach",
    "liquidation",
    "withdrawal",
    "takeover",
    "fund",
    "claim",
    "adl",
    "socialised",
    "funding",
    "interest",
    "phase",
    "trigger",
    "cancel",
    "rule",
    "refusal",
)
"""Kinds of events but orders and trades."""


@frozen(kw_only=True)
class Event:
    """One event of a run, in the exchange's own units.

    ``kind`` is order, trade, or one of `SINGLE`. ``market``, ``asset`` and ``account``
    are numbers, -1 where they do not apply; ``price`` is in ticks, ``qty`` in lots,
    ``value`` in what ``text`` says.
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
    first_fill: int
    messages: NDArray[np.void] = field(repr=False)
    results: NDArray[np.void] = field(repr=False)
    fills: NDArray[np.void] = field(repr=False)


class EventLog:
    """An append-only log. Event ids are dense and start at 1.

    Messages and fills are kept as the arrays they came in; the rarer events (shocks,
    repricings, breaches, liquidation steps, decisions) one by one. ``calls`` are the
    books' settings made on the way: the next event's id, the name, the arguments.
    """

    def __init__(self) -> None:
        self.next_id = 1
        self._batches: list[_Batch] = []
        self._firsts: list[int] = []
        self._single: dict[int, Event] = {}
        self.calls: list[tuple[int, str, tuple[int, ...], int]] = []

    def add(self, kind: str, time: int, cause: int = NO_CAUSE, **fields: object) -> int:
        """Append one event and return its id."""
        assert kind in SINGLE
        event = Event(id=self.next_id, time=time, kind=kind, cause=cause, **fields)  # type: ignore[arg-type]
        self._single[event.id] = event
        self.next_id += 1
        return event.id

    def add_batch(
        self,
        messages: Rows,
        results: Rows,
        fills: Rows,
        events: Rows | None = None,
        cause: int = NO_CAUSE,
    ) -> int:
        """Append a processed batch; return the id of its first fill.

        Message i gets id first + i, then what the books did to orders by themselves,
        then the fills. The cause of a fill becomes the event of its taker's message,
        or that of the trigger which sent the taker in; ``cause`` is that of what came
        without a message.
        """
        first = self.next_id
        self.next_id += len(messages)
        if len(fills):
            fills["cause"] = np.where(
                fills["message"] >= 0, first + fills["message"], cause
            )
        if events is not None:
            triggered: dict[int, int] = {}
            for row in events:
                self._add_of_books(row, first, cause, triggered)
            for order, event in triggered.items():
                fills["cause"][fills["taker_order"] == order] = event
        first_fill = self.next_id
        if len(messages) or len(fills):
            self._batches.append(_Batch(first, first_fill, messages, results, fills))
            self._firsts.append(first)
        self.next_id += len(fills)
        return first_fill

    def _add_of_books(
        self, row: Any, first: int, cause: int, triggered: dict[int, int]
    ) -> None:
        # What set it off is its cause: a message, or the trigger of the order itself.
        kind, order = EventKind(int(row["kind"])), int(row["order_id"])
        message = int(row["message"])
        why = triggered.get(order, first + message if message >= 0 else cause)
        text = "order triggered"
        if kind is not EventKind.TRIGGERED:
            reason = Reason(int(row["reason"])).name.lower().replace("_", " ")
            what = "cancelled" if kind is EventKind.CANCELLED else "refused"
            text = f"order {what}: {reason}"
        event = self.add(
            "trigger" if kind is EventKind.TRIGGERED else "cancel",
            int(row["time"]),
            why,
            account=int(row["account"]),
            market=int(row["market"]),
            qty=int(row["qty"]),
            value=float(order),
            text=text,
        )
        if kind is EventKind.TRIGGERED:
            triggered[order] = event

    def note_call(self, name: str, *arguments: int, cause: int = NO_CAUSE) -> None:
        """Remember that the books were set up so before the next event."""
        self.calls.append((self.next_id, name, arguments, cause))

    def batch_sizes(self) -> list[int]:
        """Return how many messages each batch had, in order."""
        return [len(batch.messages) for batch in self._batches]

    def __len__(self) -> int:
        return self.next_id - 1

    def __getitem__(self, event_id: int) -> Event:
        """Return the event with this id. O(log batches).

        LookupError if there is none.
        """
        whole = isinstance(event_id, int | np.integer)
        if not whole or not 1 <= event_id < self.next_id:
            known = (
                f"from 1 to {len(self)}" if len(self) else "in the log, which is empty"
            )
            raise LookupError(f"'event_id' must be {known} (got {shown(event_id)})")
        if event_id in self._single:
            return self._single[event_id]
        at = bisect_right(self._firsts, event_id) - 1
        batch = self._batches[at]
        row = event_id - batch.first
        if row < len(batch.messages):
            return _order_event(event_id, batch.messages[row], batch.results[row])
        return _trade_event(event_id, batch.fills[event_id - batch.first_fill])

    def chain(self, event_id: int) -> list[Event]:
        """Return the event and its causes, back to the root.

        LookupError if there is no such event.
        """
        events = [self[event_id]]
        while (cause := events[-1].cause) != NO_CAUSE:
            # A cause is older than its effect, so the walk ends.
            assert cause < events[-1].id
            events.append(self[cause])
        return events

    def single(self, *kinds: str) -> Iterator[Event]:
        """Iterate over the rarer events of these kinds (all by default), in order.

        ValueError for a word that is none of `SINGLE`.
        """
        for kind in kinds:
            if kind in (ORDER, TRADE):
                text = "events are not single: messages() has orders, fills() trades"
                raise ValueError(f"{kind!r} {text}")
            if kind not in SINGLE:
                near = suggest(kind, SINGLE, listed=len(SINGLE))
                raise ValueError(f"{shown(kind)} is not a kind of event{near}")
        wanted = kinds or SINGLE
        return (event for event in self._single.values() if event.kind in wanted)

    def fills(self) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Return all trades of the run: their event ids and their FILL rows."""
        ids = [np.arange(len(b.fills)) + b.first_fill for b in self._batches]
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
