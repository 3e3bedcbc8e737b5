"""A flow as each peer can read it, and what has to come of it.

A kind of message that a peer lacks is said in kinds it has (``Lacks``). The trades are
the same but for the ids of orders, so that a flow never asks for what is not there.
"""

from collections import Counter
from collections.abc import Sequence, Set

import attrs
import numpy as np
from numpy.typing import NDArray

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import Side, TimeInForce, messages

from . import CANCEL, LIMIT, MARKET, REPLACE, Lacks, Levels, Message, Trade

FAR = (2_000_000, 1)
"""Prices beyond all others of the flows, for a buyer and a seller."""

CHANGE = np.dtype(
    [
        ("action", "u1"),
        ("side", "u1"),
        ("order", "<i8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("level_qty", "<i8"),
    ]
)
"""What happens to one order in the book: ``qty`` is what is left of it, ``level_qty``
what is left of its level."""

ADD, UPDATE, DELETE = range(3)


class Rewriter:
    """Writes a flow again without some kinds of message; a book tells what rests."""

    def __init__(self, lacks: Set[Lacks]) -> None:
        self.lacks = lacks
        self.books = Books()
        self.books.add_market()
        self.rows: list[Message] = []
        self.ids = [0]  # by the id in the flow

    def take(self, message: Message) -> None:
        """Write the message."""
        kind, order, side, price, qty, tif = message
        if kind == CANCEL:
            self._cancel(self.ids[order])
        elif kind == REPLACE and Lacks.REPLACE in self.lacks:
            open_order = self.books.order(self.ids[order])
            assert open_order is not None
            self._cancel(self.ids[order])
            self.ids[order] = self._limit(open_order[2], price, qty)
        elif kind == REPLACE:
            self.rows.append((kind, self.ids[order], side, price, qty, tif))
            self.books.replace(0, 0, self.ids[order], price, qty)
        elif kind == MARKET and Lacks.MARKET in self.lacks:
            self.ids.append(self._limit(side, FAR[side], qty, TimeInForce.IOC))
        elif kind == MARKET:
            self.ids.append(self.books.market(0, 0, side, qty))
            self.rows.append((kind, self.ids[-1], side, price, qty, tif))
        else:
            self.ids.append(self._limit(side, price, qty, tif))

    def cut(self) -> list[Message]:
        """The messages since the last cut."""
        rows, self.rows = self.rows, []
        return rows

    def _limit(self, side: int, price: int, qty: int, tif: int = 0) -> int:
        rest = tif == TimeInForce.IOC and Lacks.IOC in self.lacks
        if rest:
            tif = TimeInForce.GTC
        new = self.books.limit(0, 0, side, price, qty, tif)
        self.rows.append((LIMIT, new, side, price, qty, int(tif)))
        if rest and self.books.order(new) is not None:
            self._cancel(new)
        return new

    def _cancel(self, order: int) -> None:
        self.books.cancel(0, 0, order)
        self.rows.append((CANCEL, order, 0, 0, 0, 0))


@attrs.frozen
class Stream:
    """Messages that build a book, and those to be timed."""

    prefill: list[Message]
    messages: list[Message]


def stream(
    prefill: NDArray[np.void], rows: NDArray[np.void], lacks: Set[Lacks] = frozenset()
) -> Stream:
    """The flow without the kinds of message in ``lacks``."""
    writer = Rewriter(lacks)
    parts = []
    last_id = 0
    for part in prefill, rows:
        names = ("kind", "order_id", "side", "price", "qty", "tif")
        columns = [part[name].tolist() for name in names]
        for kind, order, *rest in zip(*columns, strict=True):
            if kind in (LIMIT, MARKET):
                order = last_id = last_id + 1
            writer.take((kind, order, *rest))
        parts.append(writer.cut())
    return Stream(*parts)


def batch(rows: Sequence[Message]) -> NDArray[np.void]:
    """The messages as our book takes them in one call, all of account 0."""
    out = messages(len(rows))
    kind, order, side, price, qty, tif = np.array(rows, np.int64).T
    known = (kind == CANCEL) | (kind == REPLACE)
    out["kind"], out["side"], out["price"] = kind, side, price
    out["qty"], out["tif"] = qty, tif
    out["order_id"] = np.where(known, order, 0)
    return out


def expected(flow: Stream) -> list[Trade]:
    """The trades of the timed part, by our book."""
    books = Books()
    books.add_market()
    books.process(batch(flow.prefill))
    _, fills = books.process(batch(flow.messages))
    names = ("maker_order", "taker_order", "price", "qty")
    return list(zip(*(fills[name].tolist() for name in names), strict=True))


def agreement(trades: Sequence[Trade], right: Sequence[Trade]) -> tuple[int, str]:
    """How many of the trades are right, and the first that differs, in words.

    >>> agreement([(1, 2, 10, 5), (3, 4, 11, 1)], [(1, 2, 10, 5), (3, 4, 10, 1)])
    (1, 'trade 2: 3 × 4, 1 @ 11, not 3 × 4, 1 @ 10')
    >>> agreement([(1, 2, 10, 5)], [(1, 2, 10, 5)])
    (1, '')
    """
    same = (Counter(trades) & Counter(right)).total()
    for i in range(max(len(trades), len(right))):
        ours, theirs = (side[i] if i < len(side) else None for side in (right, trades))
        if ours != theirs:
            return same, f"trade {i + 1}: {_words(theirs)}, not {_words(ours)}"
    return same, ""


def _words(trade: Trade | None) -> str:
    if trade is None:
        return "none"
    maker, taker, price, qty = trade
    return f"{maker} × {taker}, {qty} @ {price}"


# -- CHANGES OF THE BOOK


class Recorder:
    """Follows a book and notes every change of a resting order."""

    def __init__(self) -> None:
        self.books = Books()
        self.books.add_market()
        self.rows: list[tuple[int, ...]] = []
        self.resting: dict[int, tuple[int, int, int]] = {}  # id -> side, price, left
        self.level: Counter[tuple[int, int]] = Counter()

    def take(self, message: Message) -> None:
        """Note what the message changes."""
        kind, order, side, price, qty, tif = message
        if kind == LIMIT:
            self.books.limit(0, 0, side, price, qty, tif)
        elif kind == MARKET:
            self.books.market(0, 0, side, qty)
        elif kind == CANCEL:
            self.books.cancel(0, 0, order)
        else:
            self.books.replace(0, 0, order, price, qty)
            self._delete(order)
        fills = self.books.take_fills()
        filled = zip(fills["maker_order"].tolist(), fills["qty"].tolist(), strict=True)
        for maker, traded in filled:
            side_, price_, left = self.resting[maker]
            if left == traded:
                self._delete(maker)
            else:
                self._set(UPDATE, maker, side_, price_, left - traded)
        now = self.books.order(order)
        if now is None:
            if order in self.resting:
                self._delete(order)
        elif order not in self.resting:
            self._set(ADD, order, *now[2:])

    def cut(self) -> NDArray[np.void]:
        """The changes since the last cut, a ``CHANGE`` each."""
        rows, self.rows = self.rows, []
        return np.array(rows, CHANGE)

    def _set(self, action: int, order: int, side: int, price: int, left: int) -> None:
        before = self.resting[order][2] if action == UPDATE else 0
        self.resting[order] = side, price, left
        self.level[side, price] += left - before
        level_qty = self.level[side, price]
        self.rows.append((action, side, order, price, left, level_qty))

    def _delete(self, order: int) -> None:
        side, price, left = self.resting.pop(order)
        self.level[side, price] -= left
        level_qty = self.level[side, price]
        self.rows.append((DELETE, side, order, price, 0, level_qty))


@attrs.frozen
class Changes:
    """What a flow does to the orders in a book, and the book at the end."""

    prefill: NDArray[np.void]
    messages: NDArray[np.void]
    levels: tuple[Levels, Levels]


def changes(flow: Stream) -> Changes:
    """Every change of an order in the book, before and in the timed part."""
    recorder = Recorder()
    parts = []
    for part in flow.prefill, flow.messages:
        for message in part:
            recorder.take(message)
        parts.append(recorder.cut())
    sides = (recorder.books.depth(0, side) for side in (Side.BUY, Side.SELL))
    bids, asks = (
        list(zip(price.tolist(), qty.tolist(), strict=True)) for price, qty in sides
    )
    return Changes(*parts, (bids, asks))
