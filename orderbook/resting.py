"""The orders that rest, and what is told about them: to the accounts and on tapes."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from ..cython_ext.book import require_whole
from .ladder import Ladder, Order
from .market import Market
from .messages import Message
from .orders import EventKind, Reason, Side
from .stops import Stop


class Listener(Protocol):
    """What the book asks of, and tells, the keeper of accounts."""

    def check(self, message: Mapping[str, int]) -> int:
        """Reason to refuse a new or re-entering order, 0 to let it in."""

    def position(self, market: int, account: int, side: int) -> int:
        """Signed lots that a reduce-only order of the account on a side may reduce."""

    def rest(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty_delta: int,
        flags: int,
    ) -> None:
        """Take note that open lots of the account rest (+) or rest no more (-)."""

    def fill(self, fill: Mapping[str, int]) -> None:
        """Book one trade; the maker's lots have left the book already."""


class Resting:
    """Markets and their orders, resting or dormant, by id."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.last_id = 0
        self._listener = listener
        self._markets: list[Market] = []
        self._live: dict[int, Order] = {}
        self._dormant: dict[int, Stop] = {}
        self._row = 0  # of the message at work; -1 when it is no message
        self._events: list[tuple[int, ...]] = []
        self._recording = False  # changes of levels
        self._deltas: list[tuple[int, ...]] = []
        # Lots shown before the message, of the levels it touched.
        self._before: dict[tuple[int, int, int], int] = {}

    # -- RESTING ORDERS

    def _rest(self, order: Order) -> None:
        self._touch(order)
        self._ladder(order.market, order.side).add(order)
        self._live[order.id] = order
        self._tell_rest(order, order.open)

    def _cut(self, order: Order, lots: int) -> None:
        """Cancel lots of a resting order; without any left it goes."""
        if lots:
            self._touch(order)
            self._ladder(order.market, order.side).cut(order, lots)
            self._drop_if_done(order)
            self._tell_rest(order, -lots)

    def _cut_maker(
        self, order: Order, lots: int, reason: Reason, message: Message
    ) -> None:
        """Cancel lots of an order that the message does not name."""
        self._cut(order, lots)
        self._note(EventKind.CANCELLED, order, lots, reason, message)

    def _take(self, order: Order, lots: int) -> None:
        """Trade lots of a resting order; without any left it goes."""
        self._touch(order)
        self._ladder(order.market, order.side).take(order, lots)
        self._drop_if_done(order)
        self._tell_rest(order, -lots)

    def _drop_if_done(self, order: Order) -> None:
        if not order.open:
            del self._live[order.id]

    # -- WHAT IS TOLD

    def _tell_rest(self, order: Order, delta: int) -> None:
        if self._listener is not None:
            self._listener.rest(
                order.market, order.account, order.side, order.price, delta, order.flags
            )

    def _note(
        self, kind: EventKind, order: Order, lots: int, reason: int, message: Message
    ) -> None:
        """Put on the tape what the message did to an order it does not name."""
        self._events.append(
            (
                message.time,
                message.cause,
                order.id,
                lots,
                order.market,
                order.account,
                self._row,
                kind,
                reason,
            )
        )

    def _touch(self, order: Order) -> None:
        """Remember the order's level as it was before the message."""
        if self._recording:
            place = order.market, order.side, order.price
            shown = self._ladder(order.market, order.side).shown_at(order.price)
            self._before.setdefault(place, shown)

    def _note_levels(self) -> None:
        """Put on the tape the levels that the message changed."""
        for place, before in sorted(self._before.items()):
            market, side, price = place
            shown = self._ladder(market, side).shown_at(price)
            if shown != before:
                self._deltas.append((price, shown, market, self._row, side))
        self._before.clear()

    # -- LOOKING UP

    def _orders_of(self, account: int) -> Iterator[tuple[int, Order | Message]]:
        """Ids and orders of an account; of a dormant one the message that waits."""
        for order_id, order in self._live.items():
            if order.account == account:
                yield order_id, order
        for order_id, stop in self._dormant.items():
            if stop.message.account == account:
                yield order_id, stop.message

    def _numbered(self, market: int) -> int:
        number, last = require_whole("market", market), len(self._markets) - 1
        if not 0 <= number <= last:
            raise IndexError(f"'market' must be from 0 to {last} (got {number}).")
        return number

    def _known(self, market: int) -> Market:
        return self._markets[self._numbered(market)]

    def _ladder(self, market: int, side: int) -> Ladder:
        side = require_whole("side", side)
        if side not in (Side.BUY, Side.SELL):
            raise ValueError(f"'side' must be 0 (buy) or 1 (sell) (got {side}).")
        return self._known(market).sides[side]

    def _opposite(self, order: Order) -> Ladder:
        return self._markets[order.market].sides[1 - order.side]
