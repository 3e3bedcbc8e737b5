# Orders that wait for a price.  Behaviour is in _dormant.pyx.
from ._ladder cimport Market
from ._resting cimport Resting
from ._state cimport State
from ._types cimport *

cdef class Dormant(Resting):
    cdef int64_t arrivals        # orders that ever began to wait

    # -- QUERIES
    cdef int64_t watched_price(self, int32_t market, int source) noexcept nogil
    cdef bint is_met(self, const Message* message) noexcept nogil
    cdef uint32_t next_due(self, int32_t market) noexcept nogil

    # -- COMMANDS
    cdef void wait(self, const Message* message, int64_t id) noexcept nogil
    cdef void hang(self, int32_t market, uint32_t unit, int kind, int side,
                   int64_t trigger) noexcept nogil
    cdef void see(self, int32_t market, int source, int64_t lowest,
                  int64_t highest) noexcept nogil
    cdef void keep_due(self, int32_t market) noexcept nogil
    cdef void recall(self, uint32_t unit, Message* message) noexcept nogil
    cdef Market* list_of(self, int32_t market, int kind) noexcept nogil
    cdef int visit(self, State state) except -1

cdef int source_of(int flags) noexcept nogil
