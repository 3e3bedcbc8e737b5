# The risk pass and the gate.  Behaviour is in risk.pyx.
from ._skipping cimport *

cdef class Risk(Skipping):
    cdef public double order_health      # an order must leave at least this health
    cdef readonly int64_t refused        # orders refused by the gate
    cdef Board elsewhere                 # prices of `at`
    cdef bint lends                      # spot orders may pay what is not there
    cdef list arrays                     # the current prices
    cdef uint8_t[::1] frozen             # [account] 1: in liquidation

    # -- QUERIES
    cdef list checked_prices(self, index, mark, mark_quote)
    cdef int raise_failure(self) except -1
    cdef int check(self, const Message* message) noexcept nogil
    cdef bint as_resting(self, const Message* message, Resting* out) noexcept nogil
    cdef bint may_pay(self, const Message* message,
                      const Resting* order) noexcept nogil
    cdef bint overdraws(self, int64_t account, int row,
                        const Resting* new) noexcept nogil
    cdef int128_t pays(self, const Resting* orders, int row) noexcept nogil
    cdef int64_t likely_price(self, const Message* message) noexcept nogil
