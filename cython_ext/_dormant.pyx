"""The dormant orders: stops and take-profits, by what sets them off.

Each market has a list of those that wait for its last trade, its mark and its index,
and one of those that are due when it opens. A list is a market of its own, of which
nothing trades: an order that waits for a fall to its trigger stands among the bids, one
that waits for a rise among the asks, so that the next to fire is the best of the side.
"""

from cython cimport final
from libc.stdlib cimport calloc

from ._ladder cimport (
    DORMANT,
    DUE,
    INDEX,
    LAST,
    MARK,
    NO_ASK,
    STOPS,
    WIDE,
    Extra,
    Order,
    Watch,
    grow_market,
)
from ._machine cimport held
from ._resting cimport list_side


cdef class Dormant(Resting):
    """Orders that wait, and the prices seen since they were looked at."""

    # -- WHAT IS SEEN

    cdef int visit(self, State state) except -1:
        Resting.visit(self, state)
        return state.number(&self.arrivals)

    @final
    cdef int64_t watched_price(self, int32_t market, int source) noexcept nogil:
        if source == LAST:
            return self.markets[market].last_price
        return self.watches[market].prices[source]

    @final
    cdef bint is_met(self, const Message* message) noexcept nogil:
        # Whether the current price meets the trigger of the message.
        cdef int64_t price = self.watched_price(
            message.market, source_of(message.flags))
        cdef int side = list_side(message.side | message.flags << 1)
        if price == 0:
            return False
        return price <= message.trigger if side == BUY else price >= message.trigger

    @final
    cdef void see(self, int32_t market, int source, int64_t lowest,
                  int64_t highest) noexcept nogil:
        # The price went so low and so high.
        cdef Watch* watch = &self.watches[market]
        if watch.highest[source] == 0 or lowest < watch.lowest[source]:
            watch.lowest[source] = lowest
        if highest > watch.highest[source]:
            watch.highest[source] = highest
        self.unsettled = True

    @final
    cdef uint32_t next_due(self, int32_t market) noexcept nogil:
        # The order that fires next, 0 if no trigger was touched.  Those due from
        # before come first; of a fall the highest trigger, of a rise the lowest, then
        # the oldest; falls before rises.
        cdef Watch* watch = &self.watches[market]
        cdef Market* list
        cdef uint32_t unit, found
        cdef int64_t best, trigger
        cdef int side, kind
        for side in range(2):
            if watch.waiting[DUE] != NULL:
                best = watch.waiting[DUE].best[side]
                if 0 < best < NO_ASK:
                    return self.units[
                        self.level_at(watch.waiting[DUE], side, best)].next
            found, best = 0, 0
            for kind in range(DUE):
                list = watch.waiting[kind]
                if list == NULL or watch.highest[kind] == 0:
                    continue
                trigger = list.best[side]
                if (trigger < watch.lowest[kind] if side == BUY
                        else trigger > watch.highest[kind]):
                    continue
                unit = self.units[self.level_at(list, side, trigger)].next
                if (found == 0
                        or (trigger > best if side == BUY else trigger < best)
                        or (trigger == best and self.extra(unit).hidden
                            < self.extra(found).hidden)):
                    found, best = unit, trigger
            if found:
                return found
        return 0

    @final
    cdef void keep_due(self, int32_t market) noexcept nogil:
        # What was seen is forgotten; in a market that is not open, what it touched is
        # due later.
        cdef Watch* watch = &self.watches[market]
        cdef Market* list
        cdef uint32_t at, unit
        cdef int64_t trigger
        cdef int side, kind
        for kind in range(DUE):
            list = watch.waiting[kind]
            if (list != NULL and watch.highest[kind]
                    and self.markets[market].phase != OPEN):
                for side in range(2):
                    while True:
                        trigger = list.best[side]
                        if (trigger < watch.lowest[kind] if side == BUY
                                else trigger > watch.highest[kind]):
                            break
                        at = self.level_at(list, side, trigger)
                        unit = self.units[at].next
                        self.units[at].next = self.units[unit].next
                        self.units[self.units[unit].next].prev = at
                        if self.units[at].next == at:
                            self.clear_level(list, side, at)
                        self.hang(market, unit, DUE, side, trigger)
            watch.highest[kind] = 0

    # -- WHO WAITS

    @final
    cdef void wait(self, const Message* message, int64_t id) noexcept nogil:
        # Let the order wait behind those of its trigger; it is due if that is met.
        cdef uint32_t unit = self.take_wide()
        cdef int kind = DUE if self.is_met(message) else source_of(message.flags)
        cdef uint16_t flags = <uint16_t>(
            message.side | message.flags << 1 | WIDE | DORMANT)
        (<Order*>&self.units[unit])[0] = Order(
            0, 0, message.qty, 0, <uint32_t>message.account, <uint32_t>id,
            <uint16_t>message.market, flags)
        self.extra(unit)[0] = Extra(
            self.arrivals, message.display, message.cause, <int32_t>message.price,
            message.kind, message.tif, 0, 0)
        self.arrivals += 1
        self.hang(message.market, unit, kind, list_side(flags), message.trigger)
        self.unit_of[id] = unit
        self.watches[message.market].n_waiting += 1
        self.markets[message.market].watched |= STOPS
        self.dormant_orders += 1

    @final
    cdef void hang(self, int32_t market, uint32_t unit, int kind, int side,
                   int64_t trigger) noexcept nogil:
        # Put an order into a list, behind those of its trigger that came before it.
        cdef Market* list = self.list_of(market, kind)
        cdef uint32_t at = self.touch_level(list, side, trigger)
        cdef uint32_t before = self.units[at].prev
        cdef Order* order = <Order*>&self.units[unit]
        while (before != at
               and self.extra(before).hidden > self.extra(unit).hidden):
            before = self.units[before].prev
        order.level = at
        order.prev = before
        order.next = self.units[before].next
        self.units[order.next].prev = unit
        self.units[before].next = unit
        self.extra(unit).list = <uint8_t>kind

    @final
    cdef void recall(self, uint32_t unit, Message* message) noexcept nogil:
        # The message that a dormant order was, at time 0.
        cdef Order* order = <Order*>&self.units[unit]
        cdef Extra* extra = self.extra(unit)
        message[0] = Message(
            0, order.id, extra.price, order.qty, extra.cause, extra.display,
            order.market, <int32_t>order.owner, <int32_t>self.price_of(order.level),
            extra.kind, <uint8_t>(order.flags & 1), extra.tif,
            <uint8_t>(order.flags >> 1 & 127))

    @final
    cdef Market* list_of(self, int32_t market, int kind) noexcept nogil:
        cdef Watch* watch = &self.watches[market]
        if watch.waiting[kind] == NULL:
            watch.waiting[kind] = <Market*>held(
                calloc(1, sizeof(Market)), sizeof(Market))
            watch.waiting[kind].best[SELL] = NO_ASK
            grow_market(watch.waiting[kind], 1)
        return watch.waiting[kind]


cdef int source_of(int flags) noexcept nogil:
    # What the trigger of an order with these flags is compared with.
    if flags & TRIGGER_MARK:
        return MARK
    return INDEX if flags & TRIGGER_INDEX else LAST
