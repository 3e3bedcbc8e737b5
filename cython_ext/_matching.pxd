# Batches of messages.  Behaviour is in _matching.pyx.
from ._commands cimport Commands
from ._types cimport *

cdef class Matching(Commands):
    # -- QUERIES
    cdef void note(self, uint32_t unit, int32_t row) noexcept nogil
    cdef inline int64_t known_id(self, const Message* message) noexcept nogil
    cdef inline uint32_t likely_page(self, const Message* message) noexcept nogil
    cdef inline bint plain(self, const Message* message) noexcept nogil

    # -- COMMANDS
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil
