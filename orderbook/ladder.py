"""One side of one market: a sorted dictionary of prices, a queue of orders at each."""

from collections.abc import Iterator

import attrs
from sortedcontainers import SortedDict

from .orders import PRICE_MAX, QTY_MAX, Side


@attrs.define(eq=False)
class Order:
    """An order on its way through matching, and then resting with its open lots."""

    id: int
    market: int
    account: int
    side: int
    price: int  # ticks; of a market order: the worst it takes
    open: int  # lots, those of an iceberg that are not shown included
    flags: int
    display: int = 0  # lots an iceberg shows at a time; 0: all
    shown: int = 0  # of the open lots, while it rests

    @property
    def hidden(self) -> int:
        """Open lots behind those that are shown."""
        return self.open - self.shown


def no_limit(side: int) -> int:
    """The limit price of a taker that takes any price."""
    return PRICE_MAX if side == Side.BUY else 1


def within(side: int, price: int, limit: int) -> bool:
    """Whether a taker of ``side`` with that limit may trade at ``price``.

    >>> within(Side.BUY, 99, 100), within(Side.SELL, 99, 100)
    (True, False)
    """
    return price <= limit if side == Side.BUY else price >= limit


class Ladder:
    """The resting orders of a side, best price first, oldest order first at a price.

    >>> ladder = Ladder(Side.BUY)
    >>> for id, price in (1, 99), (2, 100), (3, 100):
    ...     ladder.add(Order(id, 0, 0, Side.BUY, price, 5, 0))
    >>> ladder.best, ladder.first.id, list(ladder.depth())
    (100, 2, [(100, 10), (99, 5)])
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._levels: SortedDict = SortedDict()
        self.lots = 0  # of all its orders, shown or not

    @property
    def best(self) -> int:
        """Best price in ticks, 0 when nothing rests.  O(log levels)."""
        if not self._levels:
            return 0
        price: int = self._levels.peekitem(-1 if self._side == Side.BUY else 0)[0]
        return price

    @property
    def first(self) -> Order:
        """The order that trades next.  O(log levels)."""
        order: Order = next(iter(self._levels[self.best].values()))
        return order

    def levels(self) -> Iterator[tuple[int, dict[int, Order]]]:
        """Price and queue (order id -> order, oldest first), best level first."""
        prices = reversed(self._levels) if self._side == Side.BUY else self._levels
        return ((price, self._levels[price]) for price in prices)

    def depth(self) -> Iterator[tuple[int, int]]:
        """Price and shown lots, best level first."""
        for price, queue in self.levels():
            yield price, sum(order.shown for order in queue.values())

    def interest(self) -> Iterator[tuple[int, int]]:
        """Price and open lots, shown or not, best level first."""
        for price, queue in self.levels():
            yield price, sum(order.open for order in queue.values())

    def shown_at(self, price: int) -> int:
        """Lots shown at a price.  O(orders there)."""
        queue: dict[int, Order] = self._levels.get(price, {})
        return sum(order.shown for order in queue.values())

    def ahead_of(self, order: Order) -> tuple[int, int]:
        """Orders, and their shown lots, that trade before it at its price."""
        orders = lots = 0
        for other in self._levels[order.price].values():
            if other is order:
                break
            orders, lots = orders + 1, lots + other.shown
        return orders, lots

    def __iter__(self) -> Iterator[Order]:
        """The orders in the order in which they would trade."""
        for _, queue in self.levels():
            yield from queue.values()

    def add(self, order: Order) -> None:
        """Rest an order at the back of its level.  O(log levels)."""
        order.shown = min(order.display or order.open, order.open)
        self.lots += order.open
        self._levels.setdefault(order.price, {})[order.id] = order

    def cut(self, order: Order, lots: int) -> None:
        """Cancel lots of an order that keeps its place: those not shown go first."""
        order.open -= lots
        self.lots -= lots
        order.shown = min(order.shown, order.open)
        if not order.open:
            self._remove(order)

    def take(self, order: Order, lots: int) -> None:
        """Trade lots of an order: when those shown are used up it shows new ones.

        They stand at the back of the level.
        """
        order.open -= lots
        self.lots -= lots
        order.shown = max(0, order.shown - lots)
        if not order.open:
            self._remove(order)
        elif not order.shown:
            self.lots -= order.open
            self._remove(order)
            self.add(order)

    def _remove(self, order: Order) -> None:
        queue = self._levels[order.price]
        del queue[order.id]
        if not queue:
            del self._levels[order.price]

    def _check(self) -> None:
        """Assert every invariant.  O(orders)."""
        self._levels._check()
        prices = [price for price, _ in self.levels()]
        # The best price comes first.
        assert prices == sorted(prices, reverse=self._side == Side.BUY)
        for price, queue in self.levels():
            # A level without orders is no level.
            assert queue
            assert 1 <= price <= PRICE_MAX
            for order_id, order in queue.items():
                assert order.id == order_id
                assert order.price == price
                assert order.side == self._side
                assert 1 <= order.shown <= order.open
                # All lots are shown but of an iceberg, which shows a slice at most.
                assert order.shown <= (order.display or order.open)
                assert order.display or not order.hidden
        assert self.lots == sum(order.open for order in self)
        assert self.lots <= QTY_MAX
