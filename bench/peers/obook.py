"""obook: a Go engine behind its C interface, called through ctypes."""

from typing import Any

from obook import GTC, Book, Event, EventKind
from obook import MARKET as MARKET_ORDER

from . import CANCEL, LIMIT, MARKET, Matcher, Trade


class Obook(Matcher):
    """Every order is of a user of its own: the engine prevents self-trades.

    Events are drained after each message. Drained later, a trade shows the numbers of
    a younger one (0.1.0).
    """

    distribution = "obook"
    messages = 50_000

    def __init__(self) -> None:
        self.book = Book(max_orders=1_000_000)
        self.ids = [0]  # by our id
        self.sides = [0]
        self.replaced: dict[int, int] = {}  # an id no longer used -> ours
        self.events: list[Event] = []

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message."""
        book, ids, sides, events = self.book, self.ids, self.sides, self.events
        for kind, order, side, price, qty, tif in messages:
            if kind == LIMIT:
                sides.append(side)
                ids.append(book.submit(order, side, price, qty, 0, tif).order_id)
            elif kind == MARKET:
                sides.append(side)
                new = book.submit(order, side, 0, qty, MARKET_ORDER, GTC)
                ids.append(new.order_id)
            elif kind == CANCEL:
                book.cancel(ids[order], order)
            else:
                old, side = ids[order], sides[order]
                ids[order] = book.replace(old, order, side, price, qty).order_id
                self.replaced[old] = order
            events += book.events()

    def trades(self) -> list[Trade]:
        """All trades so far, in order."""
        ours = {their: i for i, their in enumerate(self.ids)} | self.replaced
        return [
            (ours[e.maker_id], ours[e.taker_id], e.price, e.qty)
            for e in self.events
            if e.kind == EventKind.TRADE
        ]
