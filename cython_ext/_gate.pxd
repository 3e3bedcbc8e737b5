# Whether an order may enter.  Behaviour is in _gate.pyx.
from ._ladder cimport Ladder
from ._seats cimport *

cdef class Judge(Seats):
    cdef public Ladder books             # what market orders would meet, or None
    cdef readonly int64_t refused        # orders refused by the gate
    cdef readonly int64_t judged         # orders for which every row was looked at
    cdef bint lends                      # spot orders may pay what is not there
    cdef uint8_t[::1] frozen             # [account] 1: in liquidation

    # -- QUERIES
    cdef int check(self, const Message* message) noexcept nogil
    cdef int judge(self, const Message* message, const Resting* order, int row,
                   int32_t kept) noexcept nogil
    cdef bint as_resting(self, const Message* message, Resting* out) noexcept nogil
    cdef bint may_pay(self, const Message* message, const Resting* order,
                      bint surely) noexcept nogil
    cdef bint overdraws(self, int64_t account, int row,
                        const Resting* new) noexcept nogil
    cdef int128_t pays(self, const Resting* orders, int row) noexcept nogil
    cdef int64_t sure_lots(self, uint32_t level, int64_t wanted) noexcept nogil
    cdef int64_t likely_price(self, const Message* message) noexcept nogil
    cdef int64_t met_price(self, const Message* message) noexcept nogil

    # -- COMMANDS
    cdef int visit(self, State state) except -1
    cdef int enter_worst(self, const Message* message, Resting* order,
                         int32_t* kept) noexcept nogil
    cdef void set_worst(self, int64_t account, int row, int side,
                        int32_t price) noexcept nogil
    cdef int decide(self, const Message* message, const Resting* order, int row,
                    int32_t kept) noexcept nogil
    cdef void tighten_worst(self, int64_t account, int32_t market) noexcept nogil
