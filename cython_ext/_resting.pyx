"""The orders that rest in the ladder, by id and by account.

Order ids are dense: the index by id is an array. The orders of an account hang on one
list, newest first, through that index.
"""

from cython cimport final
from libc.stdlib cimport free

from ._ladder cimport Level
from ._machine cimport grown, stretched


cdef class Listener:
    """Keeps the accounts a book knows nothing of; this one lets everything pass."""

    cdef int check(self, const Message* message) noexcept nogil:
        return R_OK

    cdef int64_t position(self, int32_t market, int32_t account) noexcept nogil:
        return 0

    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil:
        pass

    cdef void fill(self, const Fill* fill) noexcept nogil:
        pass


cdef class Resting(Ladder):
    """Resting orders over a `Ladder`; whoever keeps the accounts listens."""

    def __cinit__(self, Listener listener=None):
        self.listener = listener
        self.slots_max = 1 << 12
        self.slots = <Slot*>grown(NULL, 0, self.slots_max * sizeof(Slot))
        self.owners_max = 64
        self.owners = <Owner*>grown(NULL, 0, self.owners_max * sizeof(Owner))

    def __dealloc__(self):
        free(self.slots)
        free(self.owners)

    @final
    cdef void add(self, const Message* order, int64_t id, int64_t qty) noexcept nogil:
        # Rest the order at the back of its level.
        cdef uint32_t at = self.touch_level(
            &self.markets[order.market], order.side, order.price)
        cdef uint32_t unit = self.take_unit()
        cdef Level* level = &self.units[at]
        cdef uint32_t last = level.prev
        cdef Order* new = <Order*>&self.units[unit]
        new[0] = Order(
            last, at, qty, at, <uint32_t>order.account, <uint32_t>id,
            <uint16_t>order.market, <uint16_t>(order.side | order.flags << 1))
        self.units[last].next = unit
        level.prev = unit
        level.qty += qty
        self.slots[id].unit = unit
        self.live_orders += 1
        if self.listener is not None:
            self.tell(new, qty)

    @final
    cdef int64_t remove(self, uint32_t unit) noexcept nogil:
        # Cancel a resting order; return the lots it had open.
        cdef Order* order = <Order*>&self.units[unit]
        cdef int64_t qty = order.qty
        cdef uint32_t at = order.level
        cdef Level* level = &self.units[at]
        cdef int side = order.flags & 1
        cdef int32_t market = order.market
        self.drop(unit)
        if level.next == at:
            self.clear_level(&self.markets[market], side, at)
        return qty

    @final
    cdef void drop(self, uint32_t unit) noexcept nogil:
        # Unlink an order; its level stays marked even if this was the last.
        cdef Order* order = <Order*>&self.units[unit]
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        self.units[order.level].qty -= order.qty
        if self.listener is not None:
            self.tell(order, -order.qty)
        self.release(unit)

    @final
    cdef void tell(self, const Order* order, int64_t lots) noexcept nogil:
        # The open quantity of the order changed by so many lots.
        self.listener.rest(
            order.market, <int32_t>order.owner, order.flags & 1,
            self.units[order.level].price, lots, order.flags >> 1)

    @final
    cdef void shrink(self, uint32_t unit, int64_t lots) noexcept nogil:
        # Take lots off an order that keeps its place.
        cdef Order* order = <Order*>&self.units[unit]
        order.qty -= lots
        self.units[order.level].qty -= lots
        if lots and self.listener is not None:
            self.tell(order, -lots)

    @final
    cdef int64_t remove_all(self, int32_t account, int32_t market,
                            int side) noexcept nogil:
        # Walk the account's orders, newest first; those that stay are chained anew, so
        # that a dead one is passed once in its life.
        cdef int64_t cancelled = 0
        cdef uint32_t id, older, unit
        cdef uint32_t kept = 0
        cdef Owner* owner = self.owner(account)
        cdef Order* order
        id = owner.newest
        owner.newest = 0
        while id:
            older = self.slots[id].older
            unit = self.slots[id].unit
            if unit:
                order = <Order*>&self.units[unit]
                if ((market == -1 or order.market == market)
                        and (side == BOTH or (order.flags & 1) == side)):
                    self.remove(unit)
                    cancelled += 1
                else:
                    if kept:
                        self.slots[kept].older = id
                    else:
                        owner.newest = id
                    kept = id
            id = older
        if kept:
            self.slots[kept].older = 0
        return cancelled

    @final
    cdef void grow_owners(self, int64_t account) noexcept nogil:
        cdef int64_t old = self.owners_max
        while self.owners_max <= account:
            self.owners_max *= 2
        self.owners = <Owner*>grown(
            self.owners, old * sizeof(Owner), self.owners_max * sizeof(Owner))

    @final
    cdef void grow_slots(self, int64_t id) noexcept nogil:
        while self.slots_max <= id:
            self.slots_max *= 2
        self.slots = <Slot*>stretched(self.slots, self.slots_max * sizeof(Slot))
