# Messages and what they do to the books.  Behaviour is in _matching.pyx.
from ._ladder cimport Market, Order, Page
from ._resting cimport Resting, Slot
from ._types cimport *

cdef class Matching(Resting):
    cdef Fill* fills
    cdef int64_t n_fills
    cdef int64_t fills_max
    cdef readonly int64_t trades
    cdef readonly int64_t traded_qty
    cdef readonly uint64_t notional
    cdef readonly uint64_t trade_hash

    # -- QUERIES
    cdef inline uint32_t find(self, const Message* message) noexcept nogil
    cdef inline int validate(self, const Message* message) noexcept nogil
    cdef inline bint crosses(self, const Message* message) noexcept nogil
    cdef int64_t fillable(self, const Message* order, int64_t limit) noexcept nogil

    # -- COMMANDS
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil
    cdef void apply(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil
    cdef int clip(self, Message* order) noexcept nogil
    cdef inline void place(self, const Message* message, Result* result,
                           int32_t row) noexcept nogil
    cdef void replace_order(self, const Message* message, Result* result,
                            int32_t row) noexcept nogil
    cdef inline void enter(self, const Message* order, int64_t id, Result* result,
                           int32_t row) noexcept nogil
    cdef int64_t match(self, const Message* order, int64_t id, int64_t limit,
                       Result* result, int32_t row, bint* stopped) noexcept nogil
    cdef inline int64_t decremented(self, Result* result) noexcept nogil
    cdef int64_t meet_own(self, uint32_t unit, uint32_t mode, int64_t left,
                          Result* result, bint* stopped) noexcept nogil
    cdef bint clip_maker(self, uint32_t unit) noexcept nogil
    cdef inline void trade(self, const Message* order, int64_t id, const Order* maker,
                           int64_t price, int64_t qty, int32_t row) noexcept nogil
    cdef inline Fill* push_fill(self) noexcept nogil
    cdef inline const Page* page_of(self, const Message* message) noexcept nogil
    cdef inline const uint32_t* cell_of(self, const Message* message) noexcept nogil
    cdef inline const Slot* slot_of(self, const Message* message) noexcept nogil
