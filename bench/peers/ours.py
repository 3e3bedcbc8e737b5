"""Our own books: one call a message as the peers, and all messages in one batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashwick.cython_ext.book import Books
from flashwick.orderbook.reference import ReferenceBooks

from . import CANCEL, LIMIT, MARKET, Matcher, Message, Trade
from .stream import batch


class Calls(Matcher):
    """The compiled book, one call a message."""

    distribution = "flashwick"
    kind: type[Any] = Books

    def __init__(self) -> None:
        self.books = self.kind()
        self.books.add_market()
        self.fills: list[NDArray[np.void]] = []

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message."""
        books = self.books
        for kind, order, side, price, qty, tif in messages:
            if kind == LIMIT:
                books.limit(0, 0, side, price, qty, tif)
            elif kind == CANCEL:
                books.cancel(0, 0, order)
            elif kind == MARKET:
                books.market(0, 0, side, qty)
            else:
                books.replace(0, 0, order, price, qty)
        self.fills.append(books.take_fills())

    def trades(self) -> list[Trade]:
        """All trades so far, in order."""
        fills = np.concatenate(self.fills)
        names = ("maker_order", "taker_order", "price", "qty")
        return list(zip(*(fills[name].tolist() for name in names), strict=True))


class Readable(Calls):
    """The book in Python on sorted dictionaries, one call a message."""

    kind = ReferenceBooks
    messages = 20_000


class Batch(Calls):
    """The compiled book, all messages in one call."""

    def prepare(self, messages: Sequence[Message]) -> NDArray[np.void]:
        """A structured array."""
        return batch(messages)

    def feed(self, messages: Any) -> None:
        """Put the messages in, in one call."""
        _, fills = self.books.process(messages)
        self.fills.append(fills.copy())
