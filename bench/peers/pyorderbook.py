"""pyorderbook: heaps of levels in plain Python, ids are UUIDs, prices Decimal."""

from functools import partial
from typing import Any

from pyorderbook import Book, Order, ask, bid
from pyorderbook import Trade as Fill

from . import LIMIT, Lacks, Matcher, Trade

SIDES = (partial(bid, "A"), partial(ask, "A"))


class Pyorderbook(Matcher):
    """Orders are objects; to cancel one it is handed in again."""

    distribution = "pyorderbook"
    messages = 50_000
    lacks = frozenset(Lacks)

    def __init__(self) -> None:
        self.book = Book()
        self.orders: list[Order | None] = [None]  # by our id
        self.fills: list[Fill] = []

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message."""
        book, orders, fills = self.book, self.orders, self.fills
        for kind, order, side, price, qty, _ in messages:
            if kind == LIMIT:
                new = SIDES[side](price, qty)
                orders.append(new)
                fills += book.match(new).trades
            else:
                book.cancel(orders[order])

    def trades(self) -> list[Trade]:
        """All trades so far, in order."""
        ours = {order.id: i for i, order in enumerate(self.orders) if order}
        return [
            (
                ours[t.standing_order_id],
                ours[t.incoming_order_id],
                int(t.fill_price),
                t.fill_quantity,
            )
            for t in self.fills
        ]
