"""Batches of messages, and the short way of those that are plain.

``orderbook/reference.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memset

from ._ladder cimport PRICE_MAX, Market, Order
from ._machine cimport likely, prefetch, unlikely
from ._resting cimport ACCOUNT_MAX

cdef enum:
    FAR = 24                     # messages ahead at which its memory is fetched
    MIDDLE = 16
    NEAR = 8
    RING = 32                    # a power of two above FAR

cdef int64_t QTY_MAX = <int64_t>1 << 62
cdef int64_t ID_MAX = (<int64_t>1 << 32) - 1


cdef class Matching(Commands):
    """The commands of `Books` as C calls."""

    # -- BATCHES

    @final
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil:
        # What a message reads is fetched in three steps, each following what the one
        # before it brought: the page of its price and its order's place in the index;
        # the level and the order; the level of that order.  Price and id are both
        # followed, whatever the kind: testing it, a coin toss, cost more.
        cdef uint64_t ticks[RING]            # page << 6 | tick in it
        cdef uint32_t ids[RING]
        cdef uint32_t units[RING]
        cdef const Message* later
        cdef const Market* market
        cdef uint32_t page, unit
        cdef uint64_t tick, price, id
        cdef int64_t i, last = n - 1
        memset(ticks, 0, sizeof(ticks))
        memset(ids, 0, sizeof(ids))
        memset(units, 0, sizeof(units))
        if self.n_markets == 0:
            for i in range(n):
                self.dispatch(&messages[i], &results[i], <int32_t>i)
            return
        for i in range(-FAR if n > FAR else 0, n):
            later = &messages[i + FAR if i + FAR < last else last]
            market = &self.markets[
                later.market if <uint32_t>later.market < <uint32_t>self.n_markets else 0]
            price = later.price if <uint64_t>later.price <= PRICE_MAX else 0
            id = later.order_id if <uint64_t>later.order_id <= <uint64_t>self.last_id else 0
            page = self.page_of(market, later.side & 1, price)
            prefetch(&self.pages[page])
            prefetch(&self.unit_of[id])
            ticks[(i + FAR) & (RING - 1)] = <uint64_t>page << 6 | price & 63
            ids[(i + FAR) & (RING - 1)] = <uint32_t>id
            tick = ticks[(i + MIDDLE) & (RING - 1)]
            unit = self.unit_of[ids[(i + MIDDLE) & (RING - 1)]]
            prefetch(&self.units[self.pages[tick >> 6].levels + (tick & 63)])
            prefetch(&self.units[unit])
            units[(i + MIDDLE) & (RING - 1)] = unit
            unit = units[(i + NEAR) & (RING - 1)]
            prefetch(&self.units[(<Order*>&self.units[unit]).level])
            if i >= 0:
                self.dispatch(&messages[i], &results[i], <int32_t>i)

    # -- ONE MESSAGE

    @final
    cdef void apply(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil:
        self.dispatch(message, result, row)

    cdef inline void dispatch(self, const Message* message, Result* result,
                              int32_t row) noexcept nogil:
        # Nearly all messages are plain limit orders that rest, and cancels.
        cdef uint32_t unit
        cdef int64_t id
        memset(result, 0, sizeof(Result))
        if unlikely(self.recording):
            pass
        elif message.kind == LIMIT:
            if likely(self.plain(message) and not self.crosses(message)):
                id = self.last_id + 1
                self.issue(id, message.account)
                result.order_id = id
                result.open = message.qty
                result.accepted = 1
                self.add(message, id, message.qty)
                return
        elif message.kind == CANCEL:
            unit = self.find(message)
            if likely(unit):
                result.order_id = message.order_id
                result.cancelled = self.remove(unit)
                result.accepted = 1
                return
        self.other(message, result, row)

    cdef inline bint plain(self, const Message* message) noexcept nogil:
        # Whether nothing needs judging in a limit order.
        cdef const Market* market
        if unlikely(<uint32_t>message.market >= <uint32_t>self.n_markets
                    or <uint32_t>message.account > ACCOUNT_MAX):
            return False
        market = &self.markets[message.market]
        return (not (message.side >> 1 | message.tif | message.flags
                     | message.order_id | message.display | message.trigger
                     | market.guarded)
                and (<uint64_t>(message.qty - 1)
                     < <uint64_t>(QTY_MAX - market.lots[message.side & 1]))
                and <uint64_t>(message.price - 1) < PRICE_MAX
                and self.last_id < ID_MAX and self.listener is None)
