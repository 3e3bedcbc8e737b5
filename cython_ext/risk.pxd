# The risk pass and the gate.  Behaviour is in risk.pyx.
from ._skipping cimport *

cdef class Risk(Skipping):
    cdef public double order_health      # an order must leave at least this health
    cdef readonly int64_t refused        # orders refused by the gate
    cdef Board elsewhere                 # prices of `at`
    cdef list arrays                     # the current prices
    cdef uint8_t[::1] frozen             # [account] 1: in liquidation

    # -- QUERIES
    cdef list checked_prices(self, index, mark, mark_quote)
    cdef int raise_failure(self) except -1
    cdef void opened(self, int64_t account, Sums* out) noexcept nogil
    cdef int check(self, const Message* message) noexcept nogil
    cdef bint owes_unpriced(self, const Message* message) noexcept nogil
    cdef double loss_at(self, const Message* message) noexcept nogil
    cdef int64_t likely_price(self, const Message* message) noexcept nogil
