# The books as their users see them.  Behaviour is in book.pyx.
from ._matching cimport Matching
from ._types cimport *

cdef class Books(Matching):
    # -- QUERIES
    cdef tuple row(self, uint32_t unit)

    # -- COMMANDS
    cdef int64_t one(self, const Message* message) noexcept nogil
    cdef object fills_since(self, int64_t n)
