"""PAMS: one heap of orders a side in plain Python."""

from random import Random
from types import SimpleNamespace
from typing import Any

from pams.logs.base import ExecutionLog
from pams.market import Market
from pams.order import LIMIT_ORDER, MARKET_ORDER, Cancel, Order

from flashwick.orderbook.orders import Side

from . import CANCEL, LIMIT, Lacks, Matcher, Trade


class Pams(Matcher):
    """The market's own methods, as its simulator's runner calls them."""

    distribution = "pams"
    messages = 600  # one sweep of several levels among the cascade
    rounds = 1
    lacks = frozenset({Lacks.REPLACE, Lacks.IOC})

    def __init__(self) -> None:
        simulator = SimpleNamespace(fundamentals=None)
        self.market = Market(0, Random(0), simulator, "A")
        self.market.setup({"tickSize": 1, "marketPrice": 500_000})
        self.market._update_time(500_000.0)
        self.market._is_running = True
        self.orders: list[Order | None] = [None]  # by our id
        self.fills: list[ExecutionLog] = []

    def feed(self, messages: Any) -> None:
        """Put the messages in, one call a message, and match after each."""
        market, orders, fills = self.market, self.orders, self.fills
        for kind, order, side, price, qty, _ in messages:
            if kind == CANCEL:
                market._cancel_order(Cancel(orders[order]))
                continue
            limit = kind == LIMIT
            new = Order(
                0,
                0,
                side == Side.BUY,
                LIMIT_ORDER if limit else MARKET_ORDER,
                qty,
                price=price if limit else None,
            )
            orders.append(new)
            market._add_order(new)
            fills += market._execution()

    def trades(self) -> list[Trade]:
        """All trades so far, in order; the older order is the maker."""
        return [
            (
                min(t.buy_order_id, t.sell_order_id) + 1,
                max(t.buy_order_id, t.sell_order_id) + 1,
                int(t.price),
                t.volume,
            )
            for t in self.fills
        ]
