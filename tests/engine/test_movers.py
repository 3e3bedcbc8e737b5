"""What moved a market: found for all markets of a batch at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.events import NO_CAUSE, EventLog
from flashwick.engine.movers import Movers
from flashwick.orderbook.orders import FILL, messages

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
        self.most = {-1: (0, NO_CAUSE, False), 1: (0, NO_CAUSE, False)}
        # Event and time.
        self.withdrawn = self.outside = (NO_CAUSE, 0)

    def take(self, prices: list[int], event: int) -> None:
        """Take an order: its prices, and the event of its last fill."""
        if self.before == NO_CAUSE:
            self.before, self.last = event, prices[0]
            self.start = prices[0]
        move, gap = prices[-1] - self.last, prices[0] - self.last
        met = 2 * abs(gap) >= abs(move)
        for way, (most, *_) in list(self.most.items()):
            if way * move > most:
                self.most[way] = way * move, event, met
        self.last = prices[-1]

    def of(self) -> int:
        """The event to blame."""
        if self.last == self.start:
            return self.before
        fell = self.last < self.start
        _, event, met = self.most[-1 if fell else 1]
        quoted = self.followed(fell)
        return quoted if met and quoted != NO_CAUSE else event

    def followed(self, fell: bool) -> int:
        """What quotes followed: the last to come, the withdrawal if both at once."""
        (event, time), (outside, moved) = self.withdrawn, self.outside
        if fell and event and not (outside and moved > time):
            return event
        return outside

    def look(self) -> None:
        """Start anew."""
        self.before, self.start = self.of(), self.last
        self.most = dict.fromkeys(self.most, (0, NO_CAUSE, False))


@given(
    st.lists(
        st.tuples(
            orders, st.booleans(), st.integers(-1, 2 * MARKETS - 1), st.integers(0, 2)
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=300, phases=UNTRACED)
def test_batch_is_taken_as_its_orders_one_by_one(
    batches: list[tuple[list[tuple[int, list[int]]], bool, int, int]],
) -> None:
    """Whatever markets they are in, and whatever quotes follow between them."""
    movers = Movers(np.arange(MARKETS), EventLog())
    plain = [Plain() for _ in range(MARKETS)]
    first, number = 1, 1
    for batch, looks, quoted, time in batches:
        rows = [(m, p, number + i) for i, (m, ps) in enumerate(batch) for p in ps]
        fills = np.zeros(len(rows), FILL)
        fills["market"], fills["price"], fills["taker_order"] = zip(*rows, strict=True)
        fills["message"] = -1
        movers.note(fills, first, messages(0), first)
        for market, prices in batch:
            first += len(prices)
            plain[market].take(prices, first - 1)
        number += len(batch)
        if 0 <= quoted < MARKETS:
            movers.withdrawn[0, quoted], movers.withdrawn_at[0, quoted] = first, time
            plain[quoted].withdrawn = first, time
            first += 1
        elif quoted >= MARKETS:
            movers.outside[quoted - MARKETS] = first
            movers.outside_at[quoted - MARKETS] = time
            plain[quoted - MARKETS].outside = first, time
            first += 1
        followed = [[m.followed(fell) for m in plain] for fell in (True, False)]
        assert movers.followed().tolist() == followed
        quotes = messages(2 * MARKETS)
        quotes["market"], quotes["side"] = (
            [*range(MARKETS)] * 2,
            [0] * MARKETS + [1] * MARKETS,
        )
        movers.quote(quotes)
        assert quotes["cause"].tolist() == [*followed[1], *followed[0]]
        assert movers.all().tolist() == [market.of() for market in plain]
        assert [movers.of(m) for m in range(MARKETS)] == movers.all().tolist()
        if looks:
            movers.look()
            for market in plain:
                market.look()


def test_order_that_meets_lower_quotes_is_not_to_blame() -> None:
    """What took the bids away is; the order that goes through many of them is."""
    movers = Movers(np.arange(1), EventLog())
    fills = np.zeros(5, FILL)
    fills["price"] = 100, 90, 90, 89, 80
    fills["taker_order"], fills["message"] = (1, 2, 3, 3, 3), -1
    movers.note(fills[:1], 1, messages(0), 1)
    movers.look()
    movers.withdrawn[0, 0] = 2
    movers.note(fills[1:2], 3, messages(0), 3)
    assert movers.of(0) == 2
    movers.look()
    movers.note(fills[2:], 4, messages(0), 4)
    assert movers.of(0) == 6
