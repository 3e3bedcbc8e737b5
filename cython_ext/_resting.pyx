"""The orders that rest in the ladder, by id and by account.

Order ids are dense: the index by id is an array. The orders of an account hang on one
list, newest first, through that index.
"""

from cython cimport final
from libc.stdlib cimport free

from ._ladder cimport BREAKER
from ._machine cimport arena, free_arena, grown


cdef class Listener:
    """Keeps the accounts a book knows nothing of; this one lets everything pass."""

    cdef int check(self, const Message* message) noexcept nogil:
        return R_OK

    cdef int64_t position(self, int32_t market, int32_t account,
                          int side) noexcept nogil:
        return 0

    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil:
        pass

    cdef void fill(self, const Fill* fill) noexcept nogil:
        pass


cdef class Resting(Tapes):
    """Resting orders over a `Ladder`; whoever keeps the accounts listens."""

    def __cinit__(self, Listener listener=None):
        self.listener = listener
        self.ids_max = 1 << 12
        self.unit_of = <uint32_t*>arena(NULL, 0, self.ids_max * 4)
        self.older = <uint32_t*>arena(NULL, 0, self.ids_max * 4)
        self.unit_of[0] = 0      # id 0 names no order
        self.owners_max = 64
        self.owners = <Owner*>grown(NULL, 0, self.owners_max * sizeof(Owner))

    def __dealloc__(self):
        free_arena(self.unit_of, self.ids_max * 4)
        free_arena(self.older, self.ids_max * 4)
        free(self.owners)

    cdef int visit(self, State state) except -1:
        cdef int64_t ids = self.ids_max
        Tapes.visit(self, state)
        self.listener = state.thing(self.listener)
        state.number(&self.ids_max)
        state.number(&self.last_id)
        state.number(&self.dormant_orders)
        state.number(&self.owners_max)
        self.unit_of = <uint32_t*>state.arena(
            self.unit_of, ids * 4, self.ids_max * 4, (self.last_id + 1) * 4)
        self.older = <uint32_t*>state.arena(
            self.older, ids * 4, self.ids_max * 4, (self.last_id + 1) * 4)
        self.owners = <Owner*>state.block(
            self.owners, self.owners_max * sizeof(Owner),
            self.owners_max * sizeof(Owner))
        return 0

    @property
    def live_orders(self):
        """Return how many orders rest."""
        return (self.n_orders - self.n_free + self.n_wide - self.n_free_wide
                - self.dormant_orders)

    @final
    cdef void tell(self, const Order* order, int64_t lots) noexcept nogil:
        # The open quantity of the order changed by so many lots.
        self.listener.rest(
            order.market, <int32_t>order.owner, order.flags & 1,
            self.price_of(order.level), lots, order.flags >> 1 & FLAGS)

    @final
    cdef void touch_order(self, uint32_t unit) noexcept nogil:
        # The level of the order is about to change.
        cdef const Order* order = <Order*>&self.units[unit]
        if self.recording and not order.flags & DORMANT:
            self.touch(order.market, order.flags & 1, self.price_of(order.level),
                       self.units[order.level].qty)

    @final
    cdef void shrink(self, uint32_t unit, int64_t lots) noexcept nogil:
        # Take lots off a resting order that keeps its place: those not shown go first.
        cdef Order* order = <Order*>&self.units[unit]
        cdef int64_t shown = lots, hidden
        if lots == 0:
            return
        if order.flags & WIDE:
            hidden = min(lots, self.extra(unit).hidden)
            self.extra(unit).hidden -= hidden
            shown -= hidden
        order.qty -= shown
        self.units[order.level].qty -= shown
        self.markets[order.market].lots[order.flags & 1] -= lots
        if self.listener is not None:
            self.tell(order, -lots)

    @final
    cdef int64_t prune(self, int64_t account) noexcept nogil:
        # Take the ids that are gone off the account's list; return how many stay.
        cdef uint32_t id, kept = 0
        cdef int64_t n = 0
        if account >= self.owners_max:
            return 0
        id = self.owners[account].newest
        while id:
            if self.live(id):
                kept = self.chain(account, kept, id)
                n += 1
            id = self.older[id]
        self.chain(account, kept, 0)
        return n

    @final
    cdef int64_t remove_all(self, int32_t account, int32_t market,
                            int side) noexcept nogil:
        # Walk the account's orders, newest first.  Those that stay are chained anew on
        # the way, so that a dead one is passed once in its life; `prune` afterwards
        # would walk twice.
        cdef int64_t cancelled = 0
        cdef uint32_t id = self.owner(account).newest, kept = 0, older, unit
        cdef const Order* order
        while id:
            older = self.older[id]
            unit = self.live(id)
            if unit:
                order = <Order*>&self.units[unit]
                if ((market == -1 or order.market == market)
                        and (side == BOTH or (order.flags & 1) == side)):
                    self.touch_order(unit)
                    self.remove(unit)
                    cancelled += 1
                else:
                    kept = self.chain(account, kept, id)
            id = older
        self.chain(account, kept, 0)
        return cancelled

    # -- ICEBERGS AND DORMANT ORDERS

    @final
    cdef void add_iceberg(self, const Message* order, int64_t id,
                          int64_t qty) noexcept nogil:
        # Rest an order that shows a part of its lots at the back of its level.
        cdef uint32_t unit = self.take_wide()
        cdef Market* market = &self.markets[order.market]
        cdef uint32_t at = self.touch_level(market, order.side, order.price)
        cdef Level* level = &self.units[at]
        cdef int64_t shown = min(order.display, qty)
        (<Order*>&self.units[unit])[0] = Order(
            level.prev, at, shown, at, <uint32_t>order.account, <uint32_t>id,
            <uint16_t>order.market,
            <uint16_t>(order.side | order.flags << 1 | WIDE))
        self.extra(unit)[0] = Extra(qty - shown, order.display, 0, 0, 0, 0, 0, 0)
        self.units[level.prev].next = unit
        level.prev = unit
        level.qty += shown
        market.lots[order.side] += qty
        self.unit_of[id] = unit
        if self.listener is not None:
            self.tell(<Order*>&self.units[unit], qty)

    @final
    cdef bint refill(self, uint32_t unit) noexcept nogil:
        # Show new lots of a used-up order at the back of its level; False without any.
        cdef Order* order = <Order*>&self.units[unit]
        cdef Extra* extra = self.extra(unit)
        cdef Level* level = &self.units[order.level]
        cdef int64_t shown = min(extra.display, extra.hidden)
        if shown == 0:
            return False
        extra.hidden -= shown
        order.qty = shown
        level.qty += shown
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        order.prev = level.prev
        order.next = order.level
        self.units[level.prev].next = unit
        level.prev = unit
        return True

    @final
    cdef int64_t remove_wide(self, uint32_t unit) noexcept nogil:
        # Cancel an iceberg or a dormant order; return the lots it had.
        cdef Order* order = <Order*>&self.units[unit]
        cdef int64_t qty
        cdef uint32_t at = order.level
        cdef int side = order.flags & 1
        cdef Market* market = &self.markets[order.market]
        if order.flags & DORMANT:
            return self.forget(unit)
        qty = self.open_lots(unit)
        self.drop_wide(unit)
        if self.units[at].next == at:
            self.clear_level(market, side, at)
        return qty

    @final
    cdef void drop_wide(self, uint32_t unit) noexcept nogil:
        # Unlink an iceberg; its level stays marked even if this was the last.
        cdef Order* order = <Order*>&self.units[unit]
        cdef int64_t qty = self.open_lots(unit)
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        self.units[order.level].qty -= order.qty
        self.markets[order.market].lots[order.flags & 1] -= qty
        if self.listener is not None:
            self.tell(order, -qty)
        self.release(unit)

    @final
    cdef int64_t forget(self, uint32_t unit) noexcept nogil:
        # Take a dormant order out; return its lots.
        cdef Order* order = <Order*>&self.units[unit]
        cdef Watch* watch = &self.watches[order.market]
        cdef int64_t qty = order.qty
        cdef uint32_t at = order.level
        cdef Market* list = watch.waiting[self.extra(unit).list]
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        if self.units[at].next == at:
            self.clear_level(list, list_side(order.flags), at)
        watch.n_waiting -= 1
        if watch.n_waiting == 0:
            self.markets[order.market].watched &= BREAKER
        self.dormant_orders -= 1
        self.release(unit)
        return qty

    @final
    cdef void grow_owners(self, int64_t account) noexcept nogil:
        cdef int64_t old = self.owners_max
        while self.owners_max <= account:
            self.owners_max *= 2
        self.owners = <Owner*>grown(
            self.owners, old * sizeof(Owner), self.owners_max * sizeof(Owner))

    @final
    cdef void grow_ids(self, int64_t id) noexcept nogil:
        cdef int64_t old = self.ids_max
        while self.ids_max <= id:
            self.ids_max *= 2
        self.unit_of = <uint32_t*>arena(self.unit_of, old * 4, self.ids_max * 4)
        self.older = <uint32_t*>arena(self.older, old * 4, self.ids_max * 4)
