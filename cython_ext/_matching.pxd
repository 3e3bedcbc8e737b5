# Batches of messages.  Behaviour is in _matching.pyx.
from ._commands cimport Commands
from ._types cimport *

cdef class Matching(Commands):
    # -- QUERIES
    cdef inline bint plain(self, const Message* message) noexcept nogil

    # -- COMMANDS
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil
    cdef void apply(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil
    cdef inline void dispatch(self, const Message* message, Result* result,
                              int32_t row) noexcept nogil
