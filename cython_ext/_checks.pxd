# The invariants of the books.  Behaviour is in _checks.pyx.
from ._ladder cimport Market
from ._types cimport *
from ._views cimport Views

cdef class Checks(Views):
    # -- QUERIES
    cdef int64_t check_owners(self) except -1
    cdef tuple check_pages(self, const Market* m, int side)
    cdef tuple check_levels(self, int market, int side)
    cdef int64_t check_waiting(self, int market, int kind, int side) except -1
    cdef int check_prices(self, int market) except -1
    cdef int64_t check_level(self, int market, uint32_t at, int side) except -1
