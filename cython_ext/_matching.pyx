"""Batches of messages, and the short way of those that are plain.

``orderbook/reference.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memset

from ._ladder cimport PRICE_MAX, WIDE, Market, Order
from ._machine cimport likely, prefetch, prefetch_read, unlikely
from ._trading cimport reaches

cdef enum:
    FAR = 16                     # messages ahead; a power of two
    NEAR = 8
    LARGE = 1 << 15              # orders that the cache cannot hold
    MANY = 64                    # markets, likewise


cdef class Matching(Commands):
    """The commands of `Books` as C calls."""

    # -- BATCHES

    @final
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil:
        # What a message reads is fetched in steps, each following what the one before
        # it brought: its level and its order; that order's level; with many orders also
        # its neighbours and pages, and the id's place before all.  Without, a cascade
        # takes almost twice as long.  Price and id are both followed, whatever the
        # kind: testing it, a coin toss, cost more.
        cdef uint32_t units[FAR]
        cdef const Message* message
        cdef const Order* order
        cdef Result* result
        cdef uint32_t unit
        cdef int64_t i
        cdef bint recording = self.recording
        cdef bint large = self.n_orders > LARGE or self.n_markets > MANY
        memset(units, 0, sizeof(units))
        # Rows below 0 do nothing but begin to fetch.
        for i in range(0 if n < FAR else -FAR, n):
            if i + FAR < n:
                order = <const Order*>&self.units[units[(i + NEAR) & (FAR - 1)]]
                prefetch(&self.units[order.level])
                if large:
                    prefetch(&self.units[order.prev])
                    prefetch(&self.units[order.next])
                    prefetch(&self.markets[order.market])
                    prefetch(&self.blocks[order.level >> 5])
                    order = <const Order*>&self.units[
                        units[(i + NEAR // 2) & (FAR - 1)]]
                    prefetch(&self.pages[self.blocks[order.level >> 5].page])
                    message = &messages[min(i + 2 * FAR, n - 1)]
                    prefetch(&self.unit_of[self.known_id(message)])
                    prefetch(&self.pages[self.likely_page(message)])
                # The processor foresees the next rows, but not those of the next page
                # of memory; in a small batch they may be those of the next batch.
                prefetch_read(&messages[i + 4 * FAR])
                message = &messages[i + FAR]
                unit = self.unit_of[self.known_id(message)]
                units[i & (FAR - 1)] = unit
                prefetch(&self.units[unit])
                prefetch(&self.units[self.level_in(
                    self.likely_page(message), message.price)])
            if unlikely(i < 0):
                continue
            message = &messages[i]
            result = &results[i]
            memset(result, 0, sizeof(Result))
            # Nearly all messages are plain limit orders that rest, and cancels.
            if message.kind == LIMIT:
                if likely(self.plain(message)):
                    self.last_id += 1
                    self.enlist(self.last_id, message.account)
                    unit = self.link(message, self.last_id, message.qty)
                    if unlikely(recording):
                        self.note(unit, <int32_t>i)
                    result.order_id = self.last_id
                    result.open = message.qty
                    result.accepted = 1
                    continue
            elif message.kind == CANCEL:
                unit = self.find(message)
                if likely(unit and not (<Order*>&self.units[unit]).flags & WIDE):
                    result.order_id = message.order_id
                    result.cancelled = self.remove_plain(unit)
                    result.accepted = 1
                    if unlikely(recording):
                        self.note(unit, <int32_t>i)
                    continue
            self.other(message, result, <int32_t>i)

    @final
    cdef void note(self, uint32_t unit, int32_t row) noexcept nogil:
        # Write down the level of a plain order that came; or went, and still knows it.
        cdef const Order* order = <Order*>&self.units[unit]
        self.push_delta(row, order.market, order.flags & 1, self.price_of(order.level),
                        self.units[order.level].qty)

    cdef inline int64_t known_id(self, const Message* message) noexcept nogil:
        # An order that is new has id 0, which names none.
        return (message.order_id
                if <uint64_t>message.order_id <= <uint64_t>self.last_id else 0)

    cdef inline uint32_t likely_page(self, const Message* message) noexcept nogil:
        # Where a limit order would rest, as the book is now.
        cdef int64_t market = message.market
        if unlikely(<uint64_t>market >= <uint64_t>self.n_markets):
            market = 0
        return self.page_of(&self.markets[market], message.side & 1, message.price)

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
