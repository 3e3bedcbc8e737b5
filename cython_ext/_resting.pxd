# Orders that rest in the ladder.  Behaviour is in _resting.pyx, but for what the
# matching loop calls once a message.
from ._ladder cimport DORMANT, FLAGS, WIDE, Extra, Level, Market, Order, Watch
from ._machine cimport unlikely
from ._state cimport State
from ._tapes cimport Tapes
from ._types cimport *

cdef enum:
    ACCOUNT_MAX = (1 << 24) - 1

ctypedef struct Owner:           # index by account
    uint32_t newest              # id of its latest order
    uint32_t self_trade          # SelfTrade mode

cdef inline int list_side(int flags) noexcept nogil:
    # Where a dormant order of these Order.flags waits: among the bids of a list for a
    # fall (a stop to sell, a take-profit to buy), among its asks for a rise.
    return BUY if (flags & 1) != ((flags >> 1 & TAKE_PROFIT) != 0) else SELL


cdef class Listener:
    # What the book tells whoever keeps the accounts.  No method may touch the book.
    cdef int check(self, const Message* message) noexcept nogil
    cdef int64_t position(self, int32_t market, int32_t account,
                          int side) noexcept nogil
    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil
    cdef void fill(self, const Fill* fill) noexcept nogil

cdef class Resting(Tapes):
    cdef readonly Listener listener
    # By order id, up to last_id.  Apart, because cancels at random read the first only,
    # and its 4 bytes fit into half as many cache lines as 8 would.
    cdef uint32_t* unit_of       # unit of the order, or of one that took its place
    cdef uint32_t* older         # id of the same account's order before this one
    cdef int64_t ids_max
    cdef readonly int64_t last_id
    cdef readonly int64_t dormant_orders
    cdef Owner* owners           # [account]
    cdef int64_t owners_max

    # -- QUERIES
    cdef inline uint32_t live(self, int64_t id) noexcept nogil:
        # The unit of an order that rests or is dormant, 0 if there is none: what goes
        # says so in its own cache line, as that of its id is one more, at random.
        cdef uint32_t unit = self.unit_of[id]
        return unit if (<Order*>&self.units[unit]).id == <uint32_t>id else 0

    cdef inline int64_t open_lots(self, uint32_t unit) noexcept nogil:
        # Of an order that rests: those not shown too.
        cdef const Order* order = <Order*>&self.units[unit]
        if unlikely(order.flags & WIDE):
            return order.qty + self.extra(unit).hidden
        return order.qty

    # -- COMMANDS
    cdef void touch_order(self, uint32_t unit) noexcept nogil
    cdef void tell(self, const Order* order, int64_t lots) noexcept nogil
    cdef void shrink(self, uint32_t unit, int64_t lots) noexcept nogil
    cdef void add_iceberg(self, const Message* order, int64_t id,
                          int64_t qty) noexcept nogil
    cdef bint refill(self, uint32_t unit) noexcept nogil
    cdef int64_t remove_wide(self, uint32_t unit) noexcept nogil
    cdef void drop_wide(self, uint32_t unit) noexcept nogil
    cdef int64_t forget(self, uint32_t unit) noexcept nogil
    cdef int64_t prune(self, int64_t account) noexcept nogil
    cdef int64_t remove_all(self, int32_t account, int32_t market,
                            int side) noexcept nogil
    cdef void grow_owners(self, int64_t account) noexcept nogil
    cdef void grow_ids(self, int64_t id) noexcept nogil
    cdef int visit(self, State state) except -1

    cdef inline Owner* owner(self, int64_t account) noexcept nogil:
        if unlikely(account >= self.owners_max):
            self.grow_owners(account)
        return &self.owners[account]

    cdef inline void issue(self, int64_t id, int64_t account) noexcept nogil:
        self.owner(account)
        if unlikely(id >= self.ids_max):
            self.grow_ids(id)
        # Every id up to the last has its place, also those a jump leaves out.
        while unlikely(self.last_id + 1 < id):
            self.last_id += 1
            self.unit_of[self.last_id] = 0
            self.older[self.last_id] = 0
        self.last_id = id
        self.unit_of[id] = 0
        self.enlist(id, account)

    cdef inline void enlist(self, int64_t id, int64_t account) noexcept nogil:
        # Hang an id on the list of its account.
        self.older[id] = self.owners[account].newest
        self.owners[account].newest = <uint32_t>id

    cdef inline uint32_t chain(self, int64_t account, uint32_t newer,
                               uint32_t id) noexcept nogil:
        # On the list of an account let the id follow a newer one, or begin it.
        if newer:
            self.older[newer] = id
        else:
            self.owners[account].newest = id
        return id

    cdef inline void release(self, uint32_t unit) noexcept nogil:
        # Forget an order that is in no list any more.
        cdef Order* order = <Order*>&self.units[unit]
        order.id = 0
        if unlikely(order.flags & WIDE):
            self.give_wide(unit)
        else:
            self.give_order(unit)

    cdef inline void add(self, const Message* order, int64_t id,
                         int64_t qty) noexcept nogil:
        # Rest the order at the back of its level.
        cdef uint32_t unit = self.link(order, id, qty)
        if self.listener is not None:
            self.tell(<Order*>&self.units[unit], qty)

    cdef inline uint32_t link(self, const Message* order, int64_t id,
                              int64_t qty) noexcept nogil:
        # The same for a book without a listener.
        cdef Market* market = &self.markets[order.market]
        cdef uint32_t at = self.touch_level(market, order.side, order.price)
        cdef uint32_t unit = self.take_order()
        cdef Level* level = &self.units[at]
        cdef uint32_t last = level.prev
        (<Order*>&self.units[unit])[0] = Order(
            last, at, qty, at, <uint32_t>order.account, <uint32_t>id,
            <uint16_t>order.market, <uint16_t>(order.side | order.flags << 1))
        self.units[last].next = unit
        level.prev = unit
        level.qty += qty
        market.lots[order.side] += qty
        self.unit_of[id] = unit
        return unit

    cdef inline int64_t remove(self, uint32_t unit) noexcept nogil:
        # Cancel an order; return the lots it had open.
        if unlikely((<Order*>&self.units[unit]).flags & WIDE):
            return self.remove_wide(unit)
        return self.remove_plain(unit)

    cdef inline int64_t remove_plain(self, uint32_t unit) noexcept nogil:
        cdef Order* order = <Order*>&self.units[unit]
        cdef int64_t qty = order.qty
        cdef uint32_t at = order.level
        cdef int side = order.flags & 1
        cdef Market* market = &self.markets[order.market]
        self.drop_plain(unit)
        if self.units[at].next == at:
            self.clear_level(market, side, at)
        return qty

    cdef inline void drop(self, uint32_t unit) noexcept nogil:
        # Unlink a resting order; its level stays marked even if this was the last.
        if unlikely((<Order*>&self.units[unit]).flags & WIDE):
            self.drop_wide(unit)
        else:
            self.drop_plain(unit)

    cdef inline void drop_plain(self, uint32_t unit) noexcept nogil:
        cdef Order* order = <Order*>&self.units[unit]
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        self.units[order.level].qty -= order.qty
        self.markets[order.market].lots[order.flags & 1] -= order.qty
        if self.listener is not None:
            self.tell(order, -order.qty)
        order.id = 0
        self.give_order(unit)
