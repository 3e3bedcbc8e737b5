"""The event log: everything that happened, each with the event that caused it."""

from collections.abc import Iterator, Sequence
from math import nan
from typing import Any, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..cython_ext.messages import rested, traded
from ..margin.presets import shown
from ..orderbook.orders import FILL, MESSAGE, RESULT, EventKind, Reason
from .arguments import suggest
from .columns import Columns, Table, in_order, joined, spans
from .met import Met
from .placing import Placing

NO_CAUSE = 0
"""Cause of an event that nothing in the simulation caused: a root."""

Rows = NDArray[np.void]
Integers = NDArray[np.int64]
ORDER, TRADE = "order", "trade"

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
    "warning",
    "protocol",
    "feed",
)
"""Kinds of events but orders and trades."""

KIND = {kind: number for number, kind in enumerate(SINGLE)}
"""Number of each of them in a row."""

RARE = np.dtype(
    [
        ("time", "<i8"),
        ("cause", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("value", "<f8"),
        ("old", "<f8"),  # what the value was; NaN if that is not known
        ("account", "<i4"),
        ("counterparty", "<i4"),
        ("market", "<i4"),
        ("asset", "<i4"),
        ("text", "<i4"),  # number in `EventLog.words`
        ("kind", "u1"),  # number in SINGLE
        ("side", "i1"),
        ("pad", "V2"),
    ]
)
"""One event that is no order and no trade, 72 bytes."""

_BLANK = np.zeros(1, RARE)
for _name in ("account", "counterparty", "market", "asset", "side"):
    _BLANK[_name] = -1
_BLANK["value"] = _BLANK["old"] = nan

_WAITING = np.dtype([("id", "<i8"), *((n, RARE[n]) for n in RARE.names or ())])

HELD = 1 << 14  # messages and events that wait to be put in columns


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
    value: float = nan
    text: str = ""


@frozen
class _Batch:
    # Messages, what became of them, and the fills they made, with their ids.
    first: int
    first_fill: int
    messages: Rows
    results: Rows
    fills: Rows
    causes: list[int]  # messages that set off something in the books


class Counting(Protocol):
    """Whoever counts the messages of a log, kept or not."""

    def count(self, messages: Rows, results: Rows) -> None:
        """Take what was processed, and what became of it."""


class EventLog:
    """An append-only log. Event ids start at 1; each event has the next.

    Messages, fills and rarer events (shocks, repricings, breaches, decisions) are kept
    as columns; with ``traded`` only those messages that traded, were sent by force, or
    caused an event. ``calls`` are settings of the books: the next event's id, name,
    arguments. ``met`` has what orders go on with that nothing caused.
    """

    def __init__(self, *, traded: bool = False) -> None:
        self.next_id = 1
        self.sent = 0  # messages, kept or not
        self.traded = traded
        self._census: Counting | None = None
        self.calls: list[tuple[int, str, tuple[int, ...], int]] = []
        self.words: list[str] = [""]
        self._numbers = {"": 0}
        self._held: list[_Batch] = []
        self._held_rows = 0
        self._waiting: list[tuple[Any, ...]] = []
        self._many: list[tuple[int, Rows]] = []  # several at once, by the first's id
        self._sizes: list[int] = []
        self._messages = Table(np.int64, MESSAGE, RESULT)
        self._fills = Table(np.int64, FILL)
        self._rare = Table(np.int64, RARE)
        self._placing = Placing()
        self.met = Met()

    # -- COMMANDS

    def add(
        self,
        kind: str,
        time: int,
        cause: int = NO_CAUSE,
        *,
        account: int = -1,
        counterparty: int = -1,
        market: int = -1,
        asset: int = -1,
        side: int = -1,
        price: int = 0,
        qty: int = 0,
        value: float = nan,
        text: str = "",
    ) -> int:
        """Append one event and return its id."""
        number, event = KIND[kind], self.next_id
        self.next_id += 1
        self._waiting.append(
            (event, time, cause, price, qty, value, nan, account, counterparty)
            + (market, asset, self.word(text), number, side, b"")
        )
        if len(self._waiting) >= HELD:
            self._put_down()
        return event

    def add_many(
        self,
        kind: str,
        time: int,
        causes: Integers,
        *,
        text: str | Sequence[str] | Integers = "",
        **columns: Any,
    ) -> int:
        """Append an event for each cause, one after another; return the first's id.

        ``columns`` are fields of an event by name, each an array or one value for all;
        so is ``text``, or numbers that `word` gave. With ``old``, what ``value`` was,
        both are told behind the text. O(events).
        """
        first, n = self.next_id, len(causes)
        self.next_id += n
        rows = np.repeat(_BLANK, n)
        rows["kind"], rows["time"], rows["cause"] = KIND[kind], time, causes
        if isinstance(text, str):
            rows["text"] = self.word(text)
        elif isinstance(text, np.ndarray):
            rows["text"] = text
        else:
            rows["text"] = [self.word(told) for told in text]
        for name, column in columns.items():
            rows[name] = column
        self._many.append((first, rows))
        if len(self._many) >= HELD >> 6:
            self._put_down()
        return first

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
        self.sent += len(messages)
        causes: list[int] = []
        if len(fills) and len(messages):
            np.add(fills["message"], first, out=fills["cause"])
        elif len(fills):
            fills["cause"] = cause
        if events is not None and len(events):
            triggered: dict[int, int] = {}
            for row in events:
                self._add_of_books(row, first, cause, triggered)
            for order, event in triggered.items():
                fills["cause"][fills["taker_order"] == order] = event
            causes = events["message"][events["message"] >= 0].tolist()
        first_fill = self.next_id
        if len(messages) or len(fills):
            held = _Batch(first, first_fill, messages, results, fills, causes)
            self._held.append(held)
            self._held_rows += len(messages) + len(fills)
            if self._held_rows >= HELD:
                self.settle()
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

    def watch(self, census: Counting) -> None:
        """Let somebody count the messages from now on."""
        self.settle()
        self._census = census

    def note_call(self, name: str, *arguments: int, cause: int = NO_CAUSE) -> None:
        """Remember that the books were set up so before the next event."""
        self.calls.append((self.next_id, name, arguments, cause))

    def word(self, text: str) -> int:
        """Return the number of a text in `words`, where it is put if it is new."""
        number = self._numbers.setdefault(text, len(self.words))
        if number == len(self.words):
            self.words.append(text)
        return number

    # -- INTO COLUMNS

    def _put_down(self) -> None:
        if self._waiting or self._many:
            single = np.array(self._waiting, _WAITING)
            rows = single[list(RARE.names or ())]
            self._rare.extend(*in_order(single["id"], rows, self._many))
            self._waiting.clear()
            self._many.clear()

    def settle(self) -> None:
        """Put what waits into columns; whoever counts messages has seen all then."""
        self._put_down()
        held, self._held, self._held_rows = self._held, [], 0
        if not held:
            return
        firsts = [batch.first for batch in held]
        messages = [batch.messages for batch in held]
        results = [batch.results for batch in held]
        fills = [batch.fills for batch in held]
        fill_ids = spans([batch.first_fill for batch in held], [*map(len, fills)])
        self._fills.extend(fill_ids, joined(fills))
        self._placing.add(*rested(messages, results))
        if self._census is not None:
            for batch in held:
                self._census.count(batch.messages, batch.results)
        if self.traded:
            causes = [batch.causes for batch in held]
            kept = traded(firsts, messages, results, fills, causes)
            self._messages.extend(*kept)
            return
        sizes = [*map(len, messages)]
        ids = spans(firsts, sizes)
        self._messages.extend(ids, joined(messages), joined(results))
        self._sizes += [size for size in sizes if size]

    # -- QUERIES

    def batch_sizes(self) -> list[int]:
        """Return how many messages each batch had, in order, but for empty ones."""
        self.settle()
        return self._sizes

    def __len__(self) -> int:
        return self.next_id - 1

    def __getitem__(self, event_id: int) -> Event:
        """Return the event with this id. O(log events).

        LookupError if there is none, or it is a message that was not kept.
        """
        number = type(event_id) is int or isinstance(event_id, np.integer)
        if not number or not 1 <= event_id < self.next_id:
            known = f"from 1 to {len(self)}" if len(self) else "in the log: it is empty"
            raise LookupError(f"'event_id' must be {known} (got {shown(event_id)})")
        self.settle()
        if (rare := self._rare.find(event_id)) is not None:
            return self._rare_event(int(event_id), rare[1].item())
        if (fill := self._fills.find(event_id)) is not None:
            return _trade_event(int(event_id), fill[1])
        if (sent := self._messages.find(event_id)) is not None:
            met = self.met.one(event_id)
            return _order_event(int(event_id), sent[1], sent[2], met)
        raise LookupError(
            f"'event_id': {event_id} is a message that neither traded nor caused "
            "anything, and such were not kept; run it with record.messages = 'all'"
        )

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
        ids, rows = self.rare(*kinds)
        return (
            self._rare_event(event, row)
            for start in range(0, len(ids), HELD)
            for event, row in zip(
                ids[start : start + HELD].tolist(),
                rows[start : start + HELD].tolist(),
                strict=True,
            )
        )

    def rare(self, *kinds: str) -> tuple[Integers, Rows]:
        """Return the same events as `single` as arrays: ids, and rows of `RARE`.

        ValueError as there.
        """
        for kind in kinds:
            if kind in (ORDER, TRADE):
                text = "events are not single: messages() has orders, fills() trades"
                raise ValueError(f"{kind!r} {text}")
            if kind not in SINGLE:
                near = suggest(kind, SINGLE, listed=len(SINGLE))
                raise ValueError(f"{shown(kind)} is not a kind of event{near}")
        if not kinds:
            self._put_down()
            ids, rows = self._rare.columns()
            return ids, rows
        numbers = [KIND[kind] for kind in kinds]
        found = [(np.empty(0, np.int64), np.empty(0, RARE))]
        pieces = zip(self.rare_pieces(), self._rare.field(1, "kind"), strict=True)
        for (ids, rows), which in pieces:
            asked = [which == number for number in numbers]
            wanted = np.flatnonzero(np.logical_or.reduce(asked))
            found.append((ids[wanted], rows[wanted]))
        ids, rows = map(joined, zip(*found, strict=True))
        return ids, rows

    def rare_pieces(self) -> Iterator[Columns]:
        """Iterate over all of them, many at a time, without a copy."""
        self._put_down()
        return self._rare.pieces()

    def pieces(self) -> Iterator[Columns]:
        """Iterate over all that is kept, without a copy: ids, rows with causes, more.

        The rows are those of `rare`, FILL rows, and MESSAGE rows.
        """
        self.settle()
        for table in (self._rare, self._fills, self._messages):
            yield from table.pieces()

    def fills(self) -> tuple[Integers, Rows]:
        """Return all trades of the run: their event ids and their FILL rows."""
        self.settle()
        ids, rows = self._fills.columns()
        return ids, rows

    def messages(self) -> tuple[Integers, Rows, Rows]:
        """Return the messages that were kept: event ids, MESSAGE and RESULT rows."""
        self.settle()
        ids, messages, results = self._messages.columns()
        return ids, messages, results

    def placed(self, orders: Integers) -> Integers:
        """Return when orders that rested were placed, ns; -1 for others. O(all)."""
        self.settle()
        return self._placing.of(orders)

    def _rare_event(self, event_id: int, row: tuple[Any, ...]) -> Event:
        time, cause, price, qty, value, old, account, other, market, asset = row[:10]
        text, kind, side = self.words[row[10]], row[11], row[12]
        return Event(
            id=event_id,
            time=time,
            kind=SINGLE[kind],
            cause=cause,
            account=account,
            counterparty=other,
            market=market,
            asset=asset,
            side=side,
            price=price,
            qty=qty,
            value=value,
            text=text if old != old else f"{text} {old:g} -> {value:g}",
        )


def _order_event(event_id: int, message: np.void, result: np.void, met: int) -> Event:
    return Event(
        id=event_id,
        time=int(message["time"]),
        kind=ORDER,
        cause=int(message["cause"]) or met,
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
