"""nanobook: a Rust engine with Python bindings."""

from typing import Any, ClassVar

from nanobook import Exchange

from . import CANCEL, LIMIT, MARKET, Matcher, Trade

SIDES = ("buy", "sell")
TIFS = ("gtc", "ioc", "fok")


class Nanobook(Matcher):
    """Ids are the engine's; a modified order gets a new one.

    0.19.2 never returns from the last of these: buy 8 at 102, buy 3 at 102, buy 7 at
    100, sell 6 at 102, buy 3 at 102, sell 5 at 102, cancel the last buy, sell 6 at 102.
    """

    distribution = "nanobook"
    hangs: ClassVar[dict[str, int]] = {"steady": 6_792, "cascade": 253}

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.ids = [0]  # by our id
        self.replaced: dict[int, int] = {}  # an id no longer used -> ours

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message."""
        exchange, ids = self.exchange, self.ids
        for kind, order, side, price, qty, tif in messages:
            if kind == LIMIT:
                result = exchange.submit_limit(SIDES[side], price, qty, TIFS[tif])
                ids.append(result.order_id)
            elif kind == MARKET:
                ids.append(exchange.submit_market(SIDES[side], qty).order_id)
            elif kind == CANCEL:
                exchange.cancel(ids[order])
            else:
                new = exchange.modify(ids[order], price, qty).new_order_id
                if new is not None:
                    self.replaced[ids[order]] = order
                    ids[order] = new

    def trades(self) -> list[Trade]:
        """All trades so far, in order."""
        ours = {their: i for i, their in enumerate(self.ids)} | self.replaced
        return [
            (
                ours.get(t.passive_order_id, -1),
                ours.get(t.aggressor_order_id, -1),
                t.price,
                t.quantity,
            )
            for t in self.exchange.trades()
        ]
