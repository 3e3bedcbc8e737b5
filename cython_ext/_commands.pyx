"""What messages ask for: new orders, cancels, replaces, and orders that wait.

``orderbook/commands.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memset

from ._ladder cimport DORMANT, FLAGS, PRICE_MAX, WIDE
from ._resting cimport ACCOUNT_MAX

cdef enum:
    ID_GAP_MAX = 1 << 20
    SLICES_MAX = 1_000


cdef class Commands(Trading):
    """Messages one after the other, and what they set off."""

    # -- ONE MESSAGE

    @final
    cdef void other(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil:
        # What is neither a plain limit order that rests nor a cancel that succeeds; and
        # all messages while changes of levels are recorded.
        self.answer(message, result, row)
        if self.unsettled:
            self.settle(message.market, message.time, row)

    cdef inline void answer(self, const Message* message, Result* result,
                            int32_t row) noexcept nogil:
        cdef uint32_t unit
        if message.kind == CANCEL or message.kind == REPLACE:
            result.order_id = message.order_id
        if message.kind > REPLACE:
            result.reason = R_UNKNOWN_KIND
        elif not (0 <= message.market < self.n_markets
                  or (message.kind == CANCEL_ALL and message.market == -1)):
            result.reason = R_UNKNOWN_MARKET
        elif not 0 <= message.account <= ACCOUNT_MAX:
            result.reason = R_UNKNOWN_ACCOUNT
        elif message.kind <= MARKET:
            self.place(message, result, row)
        elif message.kind == CANCEL_ALL:
            if message.side > BOTH:
                result.reason = R_INVALID_OPTION
                return
            result.accepted = 1
            result.cancelled = self.remove_all(
                message.account, message.market, message.side)
        else:
            unit = self.find(message)
            if unit == 0:
                result.reason = R_UNKNOWN_ORDER
            elif message.kind == CANCEL:
                self.touch_order(unit)
                result.accepted = 1
                result.cancelled = self.remove(unit)
            elif (<Order*>&self.units[unit]).flags & DORMANT:
                self.replace_dormant(message, unit, result, row)
            else:
                self.replace_order(message, unit, result, row)

    @final
    cdef void settle(self, int32_t market, int64_t time, int32_t row) noexcept nogil:
        # Let in the dormant orders that were touched, one by one, until none is left;
        # write down the levels that have changed.
        cdef uint32_t unit
        self.unsettled = False
        if 0 <= market < self.n_markets:
            while self.markets[market].phase == OPEN:
                unit = self.next_due(market)
                if unit == 0:
                    break
                self.fire(unit, time, row)
            self.keep_due(market)
        if self.n_touches:
            self.push_deltas(row)
        self.unsettled = False

    # -- NEW ORDERS

    @final
    cdef int validate(self, const Message* message) noexcept nogil:
        # Why a new order is refused whoever sends it, and whatever the book holds.
        cdef bint may_rest = message.kind == LIMIT and message.tif == GTC
        cdef int source = message.flags & (TRIGGER_MARK | TRIGGER_INDEX)
        if (message.side > SELL or message.tif > FOK or message.order_id < 0
                or message.flags & AUCTION
                or (message.flags & POST_ONLY and not may_rest)
                or (message.flags & SLIDE and not message.flags & POST_ONLY)
                or (message.trigger == 0 and (source or message.flags & TAKE_PROFIT))
                or source == TRIGGER_MARK | TRIGGER_INDEX
                or (message.display and not (may_rest and display_fits(message)))):
            return R_INVALID_OPTION
        return amounts_fit(message)

    @final
    cdef int check_id(self, const Message* message) noexcept nogil:
        if message.order_id:
            if message.order_id <= self.last_id:
                return R_DUPLICATE_ID
            if message.order_id - self.last_id > ID_GAP_MAX:
                return R_INVALID_OPTION
        if message.order_id > ID_MAX or self.last_id >= ID_MAX:
            return R_OVERFLOW
        return R_OK

    @final
    cdef void place(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil:
        cdef const Message* order = message
        cdef Message own
        cdef int64_t id = message.order_id if message.order_id else self.last_id + 1
        cdef bint waits = False
        cdef int reason = self.validate(message)
        if reason == R_OK:
            reason = self.check_id(message)
        if reason == R_OK and self.markets[message.market].phase == HALTED:
            reason = R_MARKET_HALTED
        if reason == R_OK:
            waits = self.waits(message)
            if waits:
                reason = self.ask(message)
            elif (self.markets[message.market].phase == CALL
                    and (message.kind == MARKET or message.tif != GTC)):
                reason = R_CALL_PHASE
            else:
                if message.trigger or message.flags & (POST_ONLY | REDUCE_ONLY):
                    own = message[0]
                    own.trigger = 0
                    order = &own
                # It is changed only if it is a copy.
                reason = self.vet(<Message*>order)
        if reason != R_OK:
            result.reason = <uint8_t>reason
            return
        self.issue(id, order.account)
        result.order_id = id
        if waits:
            self.wait(message, id)
            result.accepted = 1
            result.open = message.qty
            return
        if order.qty != message.qty:
            result.cancelled = message.qty - order.qty
            result.reason = R_REDUCE_ONLY
        self.enter(order, id, result, row)

    @final
    cdef bint waits(self, const Message* message) noexcept nogil:
        # Whether it has a trigger that is not met yet, or may not enter now.
        return message.trigger != 0 and (
            self.markets[message.market].phase != OPEN or not self.is_met(message))

    @final
    cdef int vet(self, Message* order) noexcept nogil:
        # Clip and re-price an order, or say why it may not enter.
        cdef int reason = R_OK
        if order.flags & REDUCE_ONLY:
            reason = self.clip(order)
        if reason == R_OK and order.flags & POST_ONLY:
            reason = self.keep_passive(order)
        if (reason == R_OK and order.kind == LIMIT and order.tif == GTC
                and order.qty
                > QTY_MAX - self.markets[order.market].lots[order.side]):
            reason = R_OVERFLOW
        if reason == R_OK:
            reason = self.ask(order)
        return reason

    @final
    cdef int ask(self, const Message* order) noexcept nogil:
        if self.listener is None:
            return R_OK
        return self.listener.check(order)

    @final
    cdef int clip(self, Message* order) noexcept nogil:
        # Cut a reduce-only order to the position it may reduce.
        cdef int64_t room = 0
        if self.listener is not None:
            room = self.listener.position(
                order.market, order.account, order.side)
            if order.side == BUY:
                room = -room
        if room <= 0:
            return R_REDUCE_ONLY
        if room < order.qty:
            order.qty = room
        return R_OK

    @final
    cdef int keep_passive(self, Message* order) noexcept nogil:
        # Refuse an order that would trade, or put it a tick behind the other side.
        cdef int64_t best = self.markets[order.market].best[1 - order.side]
        if not self.crosses(order):
            return R_OK
        best += 1 if order.side == SELL else -1
        if not order.flags & SLIDE or not 0 < best <= PRICE_MAX:
            return R_POST_ONLY_WOULD_CROSS
        order.price = best
        return R_OK

    # -- REPLACED ORDERS

    @final
    cdef void replace_order(self, const Message* message, uint32_t unit, Result* result,
                            int32_t row) noexcept nogil:
        cdef Order* order = <Order*>&self.units[unit]
        cdef Message again = message[0]
        cdef int64_t old = self.open_lots(unit)
        cdef int reason
        again.side = order.flags & 1
        again.flags = <uint8_t>(order.flags >> 1 & FLAGS)
        again.tif = GTC
        again.kind = LIMIT
        again.trigger = 0
        again.display = self.extra(unit).display if order.flags & WIDE else 0
        reason = self.replaceable(&again)
        if (reason == R_OK and message.price == self.price_of(order.level)
                and message.qty <= old):
            self.touch_order(unit)
            self.shrink(unit, old - message.qty)
            result.accepted = 1
            result.cancelled = old - message.qty
            result.open = message.qty
            return
        if reason == R_OK:
            reason = self.vet_again(&again, unit)
        if reason != R_OK:
            result.reason = <uint8_t>reason
            return
        self.touch_order(unit)
        self.remove(unit)
        result.cancelled = message.qty - again.qty
        if result.cancelled:
            result.reason = R_REDUCE_ONLY
        self.enter(&again, again.order_id, result, row)

    @final
    cdef int vet_again(self, Message* again, uint32_t unit) noexcept nogil:
        # The old order's claim on the account, and on its side of the book, is let go
        # before the new one is judged.
        cdef const Order* order = <Order*>&self.units[unit]
        cdef int64_t old = self.open_lots(unit)
        cdef int reason
        self.markets[again.market].lots[again.side] -= old
        if self.listener is not None:
            self.tell(order, -old)
        reason = self.vet(again)
        if self.listener is not None:
            self.tell(order, old)
        self.markets[again.market].lots[again.side] += old
        return reason

    @final
    cdef int replaceable(self, const Message* again) noexcept nogil:
        cdef int reason = amounts_fit(again)
        if reason == R_OK and again.display and not display_fits(again):
            reason = R_INVALID_OPTION
        if reason == R_OK and self.markets[again.market].phase == HALTED:
            reason = R_MARKET_HALTED
        return reason

    # -- DORMANT ORDERS

    @final
    cdef void replace_dormant(self, const Message* message, uint32_t unit,
                              Result* result, int32_t row) noexcept nogil:
        cdef Message old, again
        cdef bint waits
        cdef int reason
        self.recall(unit, &old)
        again = old
        again.price = message.price
        again.qty = message.qty
        if message.trigger:
            again.trigger = message.trigger
        reason = self.replaceable(&again)
        if (reason == R_OK and again.price == old.price and again.qty <= old.qty
                and again.trigger == old.trigger):
            (<Order*>&self.units[unit]).qty = again.qty
            result.accepted = 1
            result.cancelled = old.qty - again.qty
            result.open = again.qty
            return
        waits = self.waits(&again)
        if reason == R_OK and waits:
            reason = self.ask(&again)
        elif reason == R_OK:
            again.time = message.time
            again.cause = message.cause
            again.trigger = 0
            reason = self.vet(&again)
        if reason != R_OK:
            result.reason = <uint8_t>reason
            return
        self.forget(unit)
        if waits:
            self.wait(&again, again.order_id)
            result.accepted = 1
            result.open = again.qty
            return
        result.cancelled = message.qty - again.qty
        if result.cancelled:
            result.reason = R_REDUCE_ONLY
        self.enter(&again, again.order_id, result, row)

    @final
    cdef void fire(self, uint32_t unit, int64_t time, int32_t row) noexcept nogil:
        # Let a dormant order enter as a new one, under its id.
        cdef Message order
        cdef Result result
        cdef int64_t lots
        cdef int reason
        memset(&result, 0, sizeof(Result))
        self.recall(unit, &order)
        self.forget(unit)
        lots = order.qty
        order.time = time
        order.trigger = 0
        self.push_event(&order, row, E_TRIGGERED, R_OK, order.order_id, order.account,
                        lots)
        reason = self.vet(&order)
        if reason != R_OK:
            self.push_event(&order, row, E_REFUSED, reason, order.order_id,
                            order.account, lots)
            return
        if order.qty != lots:
            result.cancelled = lots - order.qty
            result.reason = R_REDUCE_ONLY
        self.enter(&order, order.order_id, &result, row)
        if result.cancelled:
            self.push_event(&order, row, E_CANCELLED, result.reason, order.order_id,
                            order.account, result.cancelled)


cdef inline int amounts_fit(const Message* message) noexcept nogil:
    if not 0 < message.qty <= QTY_MAX:
        return R_INVALID_QTY
    if not (message.kind == LIMIT) <= message.price <= PRICE_MAX:
        return R_INVALID_PRICE
    if not 0 <= message.trigger <= PRICE_MAX:
        return R_INVALID_PRICE
    return R_OK


cdef inline bint display_fits(const Message* message) noexcept nogil:
    # An iceberg shows a positive share, and one that is not too small: as
    # qty <= display * SLICES_MAX, of values that may be anything.
    return message.display > 0 and (
        message.qty < 1 or (message.qty - 1) // SLICES_MAX < message.display)
