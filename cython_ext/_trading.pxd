# Orders that enter, meet others, and trade.  Behaviour is in _trading.pyx.
from ._dormant cimport Dormant
from ._ladder cimport Market, Order
from ._state cimport State
from ._types cimport *

cdef enum:
    PPM = 1_000_000

cdef class Trading(Dormant):
    cdef Fill* fills
    cdef int64_t n_fills
    cdef int64_t fills_max
    cdef readonly int64_t trades
    cdef readonly uint64_t traded_qty
    cdef readonly uint64_t notional
    cdef readonly uint64_t trade_hash

    # -- QUERIES
    cdef int64_t fillable(self, const Message* order, int64_t limit) noexcept nogil
    cdef bint trips(self, int32_t market, int64_t price,
                    int64_t reference) noexcept nogil
    cdef int64_t room_of(self, uint32_t unit) noexcept nogil

    cdef inline bint crosses(self, const Message* message) noexcept nogil:
        return reaches(
            message.side, message.price,
            self.markets[message.market].best[1 - message.side])

    # -- COMMANDS
    cdef void enter(self, const Message* order, int64_t id, Result* result,
                    int32_t row) noexcept nogil
    cdef void roll_window(self, int32_t market, int64_t time) noexcept nogil
    cdef int64_t match(self, const Message* order, int64_t id, int64_t limit,
                       Result* result, int32_t row, int* stopped) noexcept nogil
    cdef int fetch_ahead(self, const Market* market, int side, int64_t price, int n,
                         int64_t left, int64_t* prices) noexcept nogil
    cdef void saw_prints(self, int32_t market, int64_t first) noexcept nogil
    cdef inline void decremented(self, Result* result) noexcept nogil
    cdef int64_t meet_own(self, uint32_t unit, uint32_t mode, int64_t left,
                          const Message* order, Result* result, int32_t row,
                          int* stopped) noexcept nogil
    cdef void cut_maker(self, uint32_t unit, int64_t lots, int reason,
                        const Message* order, int32_t row) noexcept nogil
    cdef bint clip_maker(self, uint32_t unit, const Message* order,
                         int32_t row) noexcept nogil
    cdef inline void trade(self, const Message* order, int64_t id, const Order* maker,
                           int64_t price, int64_t qty, int32_t row) noexcept nogil
    cdef inline Fill* push_fill(self) noexcept nogil

    cdef int64_t print_pair(self, uint32_t bid, uint32_t ask, int64_t price,
                            int64_t time) noexcept nogil
    cdef void take(self, uint32_t unit, int64_t lots) noexcept nogil
    cdef int visit(self, State state) except -1


cdef inline bint reaches(int side, int64_t limit, int64_t price) noexcept nogil:
    # Whether a taker of that side and limit trades at `price`: price <= limit of a buy,
    # not price <= limit - 1 of a sell.  Without a branch: the side is a coin toss.
    return (price <= limit - side) ^ side
