"""What messages ask for: new orders, cancels, replaces, and orders that wait.

A message that is refused changes nothing. After each one the dormant orders that its
trades touched enter, one by one, until no trigger is left that was touched.
"""

import attrs

from .ladder import Order
from .matching import Matching, order_of
from .messages import (
    ACCOUNT_MAX,
    ID_GAP_MAX,
    ID_MAX,
    Message,
    Refused,
    Result,
    display_fits,
    require,
    require_amounts,
    require_valid,
)
from .orders import ALL_MARKETS, EventKind, Kind, Phase, Reason, Side, TimeInForce
from .stops import Stop


class Commands(Matching):
    """Messages in, one after the other, and what they set off."""

    # -- ONE MESSAGE

    def _handle(self, message: Message, row: int) -> Result:
        """Answer a message; everything it sets off has happened then."""
        self._row = row
        result = self._apply(message)
        self._finish(message.market, message.time)
        return result

    def _finish(self, market: int, time: int) -> None:
        """Let in the dormant orders that were touched; note what has changed."""
        if 0 <= market < len(self._markets):
            book = self._markets[market]
            while book.phase == Phase.OPEN and (stop := book.stops.next()):
                self._fire(stop, time)
            book.stops.settle(book.phase == Phase.OPEN)
        self._note_levels()

    def _apply(self, message: Message) -> Result:
        kind = message.kind
        try:
            require(Kind.LIMIT <= kind <= Kind.REPLACE, Reason.UNKNOWN_KIND)
            every = kind == Kind.CANCEL_ALL and message.market == ALL_MARKETS
            known = 0 <= message.market < len(self._markets)
            require(known or every, Reason.UNKNOWN_MARKET)
            require(0 <= message.account <= ACCOUNT_MAX, Reason.UNKNOWN_ACCOUNT)
            if kind == Kind.CANCEL_ALL:
                return self._cancel_all(message)
            if kind == Kind.CANCEL:
                self._own(message)
                return Result(
                    message.order_id, cancelled=self._cancel(message.order_id)
                )
            if kind == Kind.REPLACE:
                return self._replace(message)
            return self._new(message)
        except Refused as refused:
            named = message.order_id if kind in (Kind.CANCEL, Kind.REPLACE) else 0
            return Result(named, accepted=0, reason=refused.reason)

    # -- CANCEL

    def _cancel_all(self, message: Message) -> Result:
        require(Side.BUY <= message.side <= Side.BOTH, Reason.INVALID_OPTION)
        hit = [
            order_id
            for order_id, order in self._orders_of(message.account)
            if message.market in (ALL_MARKETS, order.market)
            and message.side in (Side.BOTH, order.side)
        ]
        for order_id in sorted(hit, reverse=True):
            self._cancel(order_id)
        return Result(0, cancelled=len(hit))

    def _cancel(self, order_id: int) -> int:
        """Cancel an order, resting or dormant; the lots it had."""
        if order_id in self._dormant:
            return self._forget(self._dormant[order_id]).qty
        order = self._live[order_id]
        lots = order.open
        self._cut(order, lots)
        return lots

    def _own(self, message: Message) -> Order | Stop:
        """The order that the message names, if it belongs to who sent it."""
        found = self._live.get(message.order_id) or self._dormant.get(message.order_id)
        if found is None:
            raise Refused(Reason.UNKNOWN_ORDER)
        held = found.message if isinstance(found, Stop) else found
        own = (held.market, held.account) == (message.market, message.account)
        require(own, Reason.UNKNOWN_ORDER)
        return found

    # -- NEW AND REPLACED ORDERS

    def _new(self, message: Message) -> Result:
        require_valid(message)
        order_id = message.order_id or self.last_id + 1
        require(order_id > self.last_id, Reason.DUPLICATE_ID)
        require(order_id - self.last_id <= ID_GAP_MAX, Reason.INVALID_OPTION)
        require(order_id <= ID_MAX, Reason.OVERFLOW)
        phase = self._markets[message.market].phase
        require(phase != Phase.HALTED, Reason.MARKET_HALTED)
        message = message._replace(order_id=order_id)
        if message.trigger and self._waits(message):
            self._ask(message)
            self.last_id = order_id
            return self._sleep(message)
        may_rest = message.kind == Kind.LIMIT and message.tif == TimeInForce.GTC
        require(phase == Phase.OPEN or may_rest, Reason.CALL_PHASE)
        order, message = order_of(message), message._replace(trigger=0)
        clipped = self._vet(order, message)
        self.last_id = order_id
        return self._enter(order, message, clipped)

    def _replace(self, message: Message) -> Result:
        old = self._own(message)
        if isinstance(old, Stop):
            return self._replace_dormant(old, message)
        again = message._replace(
            kind=Kind.LIMIT,
            side=old.side,
            tif=TimeInForce.GTC,
            flags=old.flags,
            display=old.display,
            trigger=0,
        )
        self._require_replaceable(again)
        if message.price == old.price and message.qty <= old.open:
            shrunk = old.open - message.qty
            self._cut(old, shrunk)
            return Result(old.id, open=old.open, cancelled=shrunk)
        new = attrs.evolve(old, price=message.price, open=message.qty)
        self._tell_rest(old, -old.open)
        try:
            clipped = self._vet(new, again, leaving=old.open)
        finally:
            self._tell_rest(old, old.open)
        self._cut(old, old.open)
        return self._enter(new, again, clipped)

    def _require_replaceable(self, again: Message) -> None:
        require_amounts(again)
        fits = not again.display or display_fits(again)
        require(fits, Reason.INVALID_OPTION)
        halted = self._markets[again.market].phase == Phase.HALTED
        require(not halted, Reason.MARKET_HALTED)

    # -- DORMANT ORDERS

    def _waits(self, message: Message) -> bool:
        """Whether its trigger is not met yet, or nothing may enter now."""
        book = self._markets[message.market]
        return book.phase != Phase.OPEN or not book.stops.is_met(Stop(message))

    def _sleep(self, message: Message) -> Result:
        """Let an order wait for its trigger, behind those with the same."""
        stops = self._markets[message.market].stops
        stop = Stop(message)
        stop.due = stops.is_met(stop)
        stops.add(stop)
        self._dormant[message.order_id] = stop
        return Result(message.order_id, open=message.qty)

    def _forget(self, stop: Stop) -> Message:
        self._markets[stop.message.market].stops.remove(stop)
        return self._dormant.pop(stop.message.order_id).message

    def _replace_dormant(self, stop: Stop, message: Message) -> Result:
        old = stop.message
        trigger = message.trigger or old.trigger
        new = old._replace(price=message.price, qty=message.qty, trigger=trigger)
        self._require_replaceable(new)
        if new == old._replace(qty=new.qty) and new.qty <= old.qty:
            stop.message = new
            return Result(old.order_id, open=new.qty, cancelled=old.qty - new.qty)
        if self._waits(new):
            self._ask(new)
            self._forget(stop)
            return self._sleep(new)
        order = order_of(new)
        new = new._replace(time=message.time, cause=message.cause, trigger=0)
        clipped = self._vet(order, new)
        self._forget(stop)
        return self._enter(order, new, clipped)

    def _fire(self, stop: Stop, time: int) -> None:
        """Let a dormant order enter as a new one, under its id."""
        message = self._forget(stop)._replace(time=time, trigger=0)
        order = order_of(message)
        self._note(EventKind.TRIGGERED, order, order.open, Reason.OK, message)
        try:
            clipped = self._vet(order, message)
        except Refused as refused:
            self._note(EventKind.REFUSED, order, message.qty, refused.reason, message)
            return
        result = self._enter(order, message, clipped)
        if result.cancelled:
            self._note(
                EventKind.CANCELLED, order, result.cancelled, result.reason, message
            )
