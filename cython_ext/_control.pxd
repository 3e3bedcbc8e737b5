# What an operator sets: phases, auctions, breakers, prices.  Behaviour is in
# _control.pyx.
from ._ladder cimport Market
from ._matching cimport Matching
from ._types cimport *

cdef class Control(Matching):
    # -- QUERIES
    cdef tuple clearing(self, int market)
    cdef list interest(self, const Market* m, int side, int64_t limit)

    # -- COMMANDS
    cdef tuple hold_auction(self, int market, int64_t time)
    cdef bint clipped(self, uint32_t unit, const Message* message) noexcept nogil
    cdef int see_price(self, int market, int source, found, int64_t time) except -1
