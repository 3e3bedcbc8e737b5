# What messages ask for, judged.  Behaviour is in _commands.pyx.
from ._ladder cimport Order
from ._machine cimport unlikely
from ._trading cimport Trading
from ._types cimport *

cdef class Commands(Trading):
    # -- QUERIES
    cdef inline uint32_t find(self, const Message* message) noexcept nogil:
        # The unit of the order the message names, resting or dormant; 0 if there is
        # none of that market and account.
        cdef uint32_t unit
        cdef Order* order
        if unlikely(<uint64_t>message.order_id > <uint64_t>self.last_id):
            return 0
        unit = self.live(message.order_id)
        order = <Order*>&self.units[unit]
        if unlikely(order.market != message.market
                    or order.owner != <uint32_t>message.account):
            return 0
        return unit

    cdef int validate(self, const Message* message) noexcept nogil
    cdef int check_id(self, const Message* message) noexcept nogil
    cdef bint waits(self, const Message* message) noexcept nogil

    # -- COMMANDS
    cdef void other(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil
    cdef inline void answer(self, const Message* message, Result* result,
                            int32_t row) noexcept nogil
    cdef void place(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil
    cdef int vet(self, Message* order) noexcept nogil
    cdef int ask(self, const Message* order) noexcept nogil
    cdef int clip(self, Message* order) noexcept nogil
    cdef int keep_passive(self, Message* order) noexcept nogil
    cdef void replace_order(self, const Message* message, uint32_t unit, Result* result,
                            int32_t row) noexcept nogil
    cdef int replaceable(self, const Message* again) noexcept nogil
    cdef int vet_again(self, Message* again, uint32_t unit) noexcept nogil
    cdef void replace_dormant(self, const Message* message, uint32_t unit,
                              Result* result, int32_t row) noexcept nogil
    cdef void settle(self, int32_t market, int64_t time, int32_t row) noexcept nogil
    cdef void fire(self, uint32_t unit, int64_t time, int32_t row) noexcept nogil
