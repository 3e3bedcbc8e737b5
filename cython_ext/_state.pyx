"""The state of a kernel, written down or read back, array by array.

Large arrays are handed out where they lie, as buffers of pickle's protocol 5: whoever
copies a kernel copies them once, straight into the memory of the new one. They hold
only while the kernel that wrote them is left alone.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from pickle import PickleBuffer

from cpython.buffer cimport (
    PyBUF_READ,
    PyBUF_SIMPLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_FromStringAndSize

from ._machine cimport arena as new_arena
from ._machine cimport free_arena, free_sparse, grown
from ._machine cimport sparse as new_sparse

cdef extern from "Python.h":
    object PyMemoryView_FromMemory(char* data, Py_ssize_t size, int flags)

cdef enum:
    LARGE = 1 << 14              # bytes of an array that lies by itself
    PIECE = 4096                 # of an array of which little is used

cdef char zeros[PIECE]


cdef class State:
    """What a kernel is, as a tuple to pickle; or such a tuple, to be read back."""

    @staticmethod
    def of(told):
        """Return the state to read from a tuple that `told` gave."""
        cdef State state = State()
        state.reading = True
        state.memory, state.large, state.objects = told
        state.at, state.left = state.memory, len(state.memory)
        return state

    def __init__(self):
        self.small, self.large, self.objects = [], [], []

    def told(self, int protocol):
        """Return all that was written; before protocol 5 with copies of the arrays."""
        large = self.large
        if protocol < 5:
            large = [bytes(memoryview(buffer)) for buffer in large]
        return b"".join(self.small), large, self.objects

    def finish(self):
        """Refuse a state of which something was not read; ValueError."""
        if (self.left or self.large_at != len(self.large)
                or self.object_at != len(self.objects)):
            raise ValueError("the state is of another layout: some of it was not read.")

    # -- FIELDS

    @final
    cdef int raw(self, void* data, int64_t n) except -1:
        if not self.reading:
            self.small.append(PyBytes_FromStringAndSize(<char*>data, n))
            return 0
        if n > self.left:
            raise ValueError("the state is of another layout: it ends too early.")
        memcpy(data, self.at, n)
        self.at += n
        self.left -= n
        return 0

    @final
    cdef int number(self, int64_t* field) except -1:
        return self.raw(field, sizeof(int64_t))

    @final
    cdef object thing(self, value):
        # Any Python object; pickle knows how.
        if not self.reading:
            self.objects.append(value)
            return value
        self.object_at += 1
        return self.objects[self.object_at - 1]

    # -- ARRAYS

    @final
    cdef int array(self, void* data, int64_t n) except -1:
        # The contents of memory that is there.
        cdef Py_buffer found
        if n < LARGE:
            return self.raw(data, n)
        if not self.reading:
            self.large.append(
                PickleBuffer(PyMemoryView_FromMemory(<char*>data, n, PyBUF_READ)))
            return 0
        PyObject_GetBuffer(self.large[self.large_at], &found, PyBUF_SIMPLE)
        try:
            if found.len != n:
                raise ValueError(
                    f"the state is of another layout: {found.len} bytes, not {n}.")
            memcpy(data, found.buf, n)
        finally:
            PyBuffer_Release(&found)
        self.large_at += 1
        return 0

    @final
    cdef void* block(self, void* old, int64_t room, int64_t used) except? NULL:
        # Memory of `grown` or `stretched`, NULL if it has no room.
        cdef void* new = old
        if self.reading:
            free(old)
            new = grown(NULL, 0, room) if room else NULL
        self.array(new, used)
        return new

    @final
    cdef void* arena(self, void* old, int64_t old_room, int64_t room,
                     int64_t used) except NULL:
        cdef void* new = old
        if self.reading:
            free_arena(old, old_room)
            new = new_arena(NULL, 0, room)
        self.array(new, used)
        return new

    @final
    cdef void* sparse(self, void* old, int64_t old_room, int64_t room) except NULL:
        # Of the pieces that hold something, which, and what.
        cdef char* new = <char*>old
        cdef int64_t at = 0, n, end = -1
        if self.reading:
            free_sparse(old, old_room)
            new = <char*>new_sparse(NULL, 0, room)
            self.number(&at)
            while at >= 0:
                n = room - at if room - at < PIECE else PIECE
                self.raw(new + at, n)
                self.number(&at)
            return new
        while at < room:
            n = room - at if room - at < PIECE else PIECE
            if memcmp(new + at, &zeros[0], n):
                self.number(&at)
                self.raw(new + at, n)
            at += n
        self.number(&end)
        return new
