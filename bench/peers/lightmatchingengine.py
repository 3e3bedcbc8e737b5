"""lightmatchingengine: dictionaries of levels in plain Python."""

from typing import Any

from lightmatchingengine.lightmatchingengine import LightMatchingEngine, Side
from lightmatchingengine.lightmatchingengine import Trade as Fill

from . import CANCEL, Lacks, Matcher, Trade

SIDES = (Side.BUY, Side.SELL)


class Lightmatchingengine(Matcher):
    """Ids are 1 and up, as ours. A market order is a limit at price 0."""

    distribution = "lightmatchingengine"
    messages = 5_000
    rounds = 1
    lacks = frozenset({Lacks.REPLACE, Lacks.IOC})

    def __init__(self) -> None:
        self.engine = LightMatchingEngine()
        self.fills: list[Fill] = []

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message."""
        engine, fills = self.engine, self.fills
        for kind, order, side, price, qty, _ in messages:
            if kind == CANCEL:
                engine.cancel_order(order, "A")
            else:
                fills += engine.add_order("A", price, qty, SIDES[side])[1]

    def trades(self) -> list[Trade]:
        """All trades so far, in order.

        Of each level it reports the taker's part first, then each maker's.
        """
        out, taker = [], 0
        left = 0
        for t in self.fills:
            if not left:
                taker, left = t.order_id, t.trade_qty
            else:
                out.append((t.order_id, taker, t.trade_price, t.trade_qty))
                left -= t.trade_qty
        return out
