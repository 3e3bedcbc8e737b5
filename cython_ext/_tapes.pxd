# What is written down for whoever asks: events of orders, changes of levels.
# Behaviour is in _tapes.pyx.
from libc.string cimport memset

from numpy cimport dtype, ndarray, npy_intp

from ._ladder cimport Ladder
from ._machine cimport unlikely
from ._state cimport State
from ._types cimport *

ctypedef struct Touch:           # a level that the message at work has changed
    int64_t price
    int64_t before               # lots it showed at the start
    int32_t market
    int32_t side
    int64_t order                # of touches: the first of a level tells

cdef ndarray new_rows(npy_intp n, dtype kind)


cdef class Tapes(Ladder):
    cdef Event* events
    cdef int64_t n_events
    cdef int64_t events_max
    cdef Delta* deltas
    cdef int64_t n_deltas
    cdef int64_t deltas_max
    cdef Touch* touches
    cdef int64_t n_touches
    cdef int64_t touches_max
    cdef bint recording          # changes of levels
    cdef bint unsettled          # the message at work has something to follow up

    # -- QUERIES
    cdef int64_t shown_at(self, int32_t market, int side, int64_t price) noexcept nogil

    # -- COMMANDS
    cdef void push_event(self, const Message* message, int32_t row, int kind,
                         int reason, int64_t id, int64_t account,
                         int64_t qty) noexcept nogil
    cdef void touch(self, int32_t market, int side, int64_t price,
                    int64_t before) noexcept nogil
    cdef void push_deltas(self, int32_t row) noexcept nogil
    cdef void grow_deltas(self) noexcept nogil
    cdef int visit(self, State state) except -1

    cdef inline void push_delta(self, int32_t row, int32_t market, int side,
                                int64_t price, int64_t shown) noexcept nogil:
        cdef Delta* delta
        if unlikely(self.n_deltas == self.deltas_max):
            self.grow_deltas()
        delta = &self.deltas[self.n_deltas]
        self.n_deltas += 1
        memset(delta, 0, sizeof(Delta))
        delta.price = price
        delta.qty = shown
        delta.market = market
        delta.message = row
        delta.side = <uint8_t>side
