"""Batches of messages, and the short way of those that are plain.

``orderbook/reference.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memset

from ._ladder cimport PRICE_MAX, Market, Order
from ._machine cimport likely, prefetch, unlikely
from ._trading cimport reaches

cdef enum:
    FAR = 16                     # messages ahead; a power of two
    NEAR = 8
    LARGE = 1 << 17              # orders that the cache cannot hold


cdef class Matching(Commands):
    """The commands of `Books` as C calls."""

    # -- BATCHES

    @final
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil:
        # What a message reads is fetched in two steps, each following what the one
        # before it brought: its level and its order; that order's level and neighbours.
        # Without, a cascade takes 68 ns a message instead of 38.  Price and id are both
        # followed, whatever the kind: testing it, a coin toss, cost more.
        cdef uint32_t units[FAR]
        cdef const Message* message
        cdef const Order* order
        cdef Result* result
        cdef uint32_t unit
        cdef int64_t i
        cdef bint recording = self.recording
        cdef bint large = self.n_orders > LARGE
        memset(units, 0, sizeof(units))
        for i in range(n):
            if i + FAR < n:
                order = <const Order*>&self.units[units[(i + NEAR) & (FAR - 1)]]
                prefetch(&self.units[order.level])
                if large:
                    prefetch(&self.units[order.prev])
                    prefetch(&self.units[order.next])
                message = &messages[i + FAR]
                unit = self.unit_of[self.known_id(message)]
                units[i & (FAR - 1)] = unit
                prefetch(&self.units[unit])
                prefetch(&self.units[self.likely_level(message)])
            message = &messages[i]
            result = &results[i]
            memset(result, 0, sizeof(Result))
            # Nearly all messages are plain limit orders that rest, and cancels.
            if unlikely(recording):
                pass
            elif message.kind == LIMIT:
                if likely(self.plain(message)):
                    self.last_id += 1
                    self.enlist(self.last_id, message.account)
                    self.link(message, self.last_id, message.qty)
                    result.order_id = self.last_id
                    result.open = message.qty
                    result.accepted = 1
                    continue
            elif message.kind == CANCEL:
                unit = self.find(message)
                if likely(unit):
                    result.order_id = message.order_id
                    result.cancelled = self.remove(unit)
                    result.accepted = 1
                    continue
            self.other(message, result, <int32_t>i)

    cdef inline int64_t known_id(self, const Message* message) noexcept nogil:
        # An order that is new has id 0, which names none.
        return (message.order_id
                if <uint64_t>message.order_id <= <uint64_t>self.last_id else 0)

    cdef inline uint32_t likely_level(self, const Message* message) noexcept nogil:
        # Where a limit order would rest, as the book is now.
        cdef int64_t market = message.market
        if unlikely(<uint64_t>market >= <uint64_t>self.n_markets):
            market = 0
        return self.level_at(&self.markets[market], message.side & 1, message.price)

    cdef inline bint plain(self, const Message* message) noexcept nogil:
        # Whether nothing needs judging in a limit order, and nothing growing for it.
        cdef const Market* market
        if unlikely(<uint32_t>message.market >= <uint32_t>self.n_markets
                    or <uint32_t>message.account >= self.owners_max
                    or self.last_id + 1 >= self.ids_max):
            return False
        market = &self.markets[message.market]
        return (not (message.side >> 1 | message.tif | message.flags
                     | message.order_id | message.display | message.trigger
                     | market.guarded)
                and (<uint64_t>(message.qty - 1)
                     < <uint64_t>(QTY_MAX - market.lots[message.side & 1]))
                and <uint64_t>(message.price - 1) < PRICE_MAX
                and self.listener is None
                and not reaches(message.side, message.price,
                                market.best[1 - message.side]))
