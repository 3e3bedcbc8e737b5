"""Which order moved a market: found for all markets of a batch at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.events import NO_CAUSE
from flashwick.engine.movers import Movers
from flashwick.orderbook.orders import FILL

MARKETS = 3

orders = st.lists(
    st.tuples(
        st.integers(0, MARKETS - 1),
        st.lists(st.integers(95, 105), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=10,
)
"""A batch: orders, each with its market and the prices of its fills."""


class Plain:
    """One market, one order after another, as the words say it."""

    def __init__(self) -> None:
        self.last = self.start = 0
        self.before = NO_CAUSE
        self.most = {-1: (0, NO_CAUSE), 1: (0, NO_CAUSE)}

    def take(self, prices: list[int], event: int) -> None:
        """Take an order: its prices, and the event of its last fill."""
        if self.before == NO_CAUSE:
            self.before, self.last = event, prices[0]
            self.start = prices[0]
        move = prices[-1] - self.last
        for way, (most, _) in list(self.most.items()):
            if way * move > most:
                self.most[way] = way * move, event
        self.last = prices[-1]

    def of(self) -> int:
        """The event to blame."""
        if self.last == self.start:
            return self.before
        return self.most[1 if self.last > self.start else -1][1]

    def look(self) -> None:
        """Start anew."""
        self.before, self.start = self.of(), self.last
        self.most = {way: (0, event) for way, (_, event) in self.most.items()}


@given(st.lists(st.tuples(orders, st.booleans()), min_size=1, max_size=6))
@settings(max_examples=300, phases=UNTRACED)
def test_batch_is_taken_as_its_orders_one_by_one(
    batches: list[tuple[list[tuple[int, list[int]]], bool]],
) -> None:
    """Whatever markets they are in, and wherever one looks at the prices between."""
    movers, plain = Movers(MARKETS), [Plain() for _ in range(MARKETS)]
    first, number = 1, 1
    for batch, looks in batches:
        rows = [(m, p, number + i) for i, (m, ps) in enumerate(batch) for p in ps]
        fills = np.zeros(len(rows), FILL)
        fills["market"], fills["price"], fills["taker_order"] = zip(*rows, strict=True)
        movers.note(fills, first)
        for market, prices in batch:
            first += len(prices)
            plain[market].take(prices, first - 1)
        number += len(batch)
        assert movers.all().tolist() == [market.of() for market in plain]
        assert [movers.of(m) for m in range(MARKETS)] == movers.all().tolist()
        if looks:
            movers.look()
            for market in plain:
                market.look()
