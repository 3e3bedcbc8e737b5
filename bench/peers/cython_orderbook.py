"""cython-orderbook: price levels in a sorted dictionary, compiled with Cython."""

from typing import Any

from cython_orderbook import Order, OrderBook, OrderSide

from . import LIMIT, MARKET, Lacks, Matcher, Trade

SIDES = (OrderSide.BID, OrderSide.ASK)


class CythonOrderbook(Matcher):
    """Ids are strings of the package's own counter; prices are integers."""

    distribution = "cython-orderbook"
    lacks = frozenset({Lacks.REPLACE, Lacks.IOC})

    def __init__(self) -> None:
        self.book = OrderBook()
        self.ids = [""]  # by our id

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message."""
        book, ids = self.book, self.ids
        for kind, order, side, price, qty, _ in messages:
            if kind == LIMIT:
                new = Order(SIDES[side], qty, price)
                ids.append(new.order_id)
                book.add_limit_order(new)
            elif kind == MARKET:
                new = Order(SIDES[side], qty)
                ids.append(new.order_id)
                book.add_market_order(new)
            else:
                book.cancel_order(ids[order])

    def trades(self) -> list[Trade]:
        """All trades so far, in order."""
        ours = {their: i for i, their in enumerate(self.ids)}
        return [
            (ours[t.filler_id], ours[t.aggressor_id], t.price, t.quantity_filled)
            for t in self.book.trade_log
        ]
