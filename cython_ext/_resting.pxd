# Orders that rest in the ladder.  Behaviour is in _resting.pyx, but for what the
# matching loop calls once a message.
from ._ladder cimport Ladder, Order
from ._machine cimport unlikely
from ._types cimport *

cdef enum:
    ACCOUNT_MAX = (1 << 24) - 1

ctypedef struct Slot:            # index by order id
    uint32_t unit                # of the order, 0 = not live
    uint32_t older               # id of the same account's order before this one

ctypedef struct Owner:           # index by account
    uint32_t newest              # id of its latest order
    uint32_t self_trade          # SelfTrade mode

cdef class Listener:
    # What the book tells whoever keeps the accounts.  No method may touch the book.
    cdef int check(self, const Message* message) noexcept nogil
    cdef int64_t position(self, int32_t market, int32_t account) noexcept nogil
    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil
    cdef void fill(self, const Fill* fill) noexcept nogil

cdef class Resting(Ladder):
    cdef readonly Listener listener
    cdef Slot* slots             # [id], up to last_id
    cdef int64_t slots_max
    cdef readonly int64_t last_id
    cdef Owner* owners           # [account]
    cdef int64_t owners_max
    cdef readonly int64_t live_orders

    # -- COMMANDS
    cdef void add(self, const Message* order, int64_t id, int64_t qty) noexcept nogil
    cdef int64_t remove(self, uint32_t unit) noexcept nogil
    cdef void drop(self, uint32_t unit) noexcept nogil
    cdef void tell(self, const Order* order, int64_t lots) noexcept nogil
    cdef void shrink(self, uint32_t unit, int64_t lots) noexcept nogil
    cdef int64_t remove_all(self, int32_t account, int32_t market,
                            int side) noexcept nogil
    cdef void grow_owners(self, int64_t account) noexcept nogil
    cdef void grow_slots(self, int64_t id) noexcept nogil

    cdef inline Owner* owner(self, int64_t account) noexcept nogil:
        if unlikely(account >= self.owners_max):
            self.grow_owners(account)
        return &self.owners[account]

    cdef inline void issue(self, int64_t id, int64_t account) noexcept nogil:
        cdef Owner* owner = self.owner(account)
        if unlikely(id >= self.slots_max):
            self.grow_slots(id)
        # Every id up to the last has its slot, also those a jump leaves out.
        while unlikely(self.last_id + 1 < id):
            self.last_id += 1
            self.slots[self.last_id] = Slot(0, 0)
        self.last_id = id
        self.slots[id] = Slot(0, owner.newest)
        owner.newest = <uint32_t>id

    cdef inline void release(self, uint32_t unit) noexcept nogil:
        cdef Order* order = <Order*>&self.units[unit]
        self.slots[order.id].unit = 0
        self.give_unit(unit)
        self.live_orders -= 1
