# The books as their users see them.  Behaviour is in book.pyx.
from ._checks cimport Checks
from ._types cimport *

cdef class Books(Checks):
    # -- COMMANDS
    cdef int64_t one(self, const Message* message) noexcept nogil
    cdef object fills_since(self, int64_t n)
