# The state of a kernel, written down or read back.  Behaviour is in _state.pyx.
from libc.stdint cimport int64_t


cdef class State:
    # A kernel visits its fields once for both: what is written in an order is read in
    # the same.
    cdef readonly bint reading
    cdef list small              # what lies in one piece, while it is written
    cdef list large              # arrays that lie each by itself
    cdef list objects
    cdef object memory           # the one piece that is read
    cdef const char* at          # next in it
    cdef int64_t left
    cdef Py_ssize_t large_at     # next of the large ones
    cdef Py_ssize_t object_at

    cdef int raw(self, void* data, int64_t n) except -1
    cdef int number(self, int64_t* field) except -1
    cdef int array(self, void* data, int64_t n) except -1
    cdef void* block(self, void* old, int64_t room, int64_t used) except? NULL
    cdef void* arena(self, void* old, int64_t old_room, int64_t room,
                     int64_t used) except NULL
    cdef void* sparse(self, void* old, int64_t old_room, int64_t room) except NULL
    cdef object thing(self, value)
