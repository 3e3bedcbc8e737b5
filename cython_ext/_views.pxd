# What can be seen of the books.  Behaviour is in _views.pyx.
from ._control cimport Control
from ._ladder cimport Market
from ._types cimport *

ctypedef packed struct OrderRow:
    int64_t id
    int64_t price
    int64_t qty
    int64_t hidden
    int32_t market
    int32_t account
    int32_t trigger
    uint8_t side
    uint8_t flags
    uint8_t pad[2]

cdef class Views(Control):
    # -- QUERIES
    cdef int64_t n_orders_of(self, const Market* m, int side) noexcept nogil
    cdef int64_t put_side(self, const Market* m, int side,
                          OrderRow* rows) noexcept nogil
    cdef void put(self, uint32_t unit, OrderRow* row) noexcept nogil
    cdef int128_t swept(self, int market, int side, int64_t qty, int64_t* lots,
                        int64_t* worst) noexcept nogil
    cdef void volume(self, int market, int side, int64_t limit,
                     int64_t* out) noexcept nogil
    cdef list keys(self, const Market* list, int side, bint due)
    cdef object one_each(self, str name, values, int64_t markets=*)
