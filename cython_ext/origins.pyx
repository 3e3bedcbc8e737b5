"""Events walked back along their causes, all at once.

``tests/engine/test_origins.py`` says in readable Python what this module does.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np

from numpy cimport npy_intp


def walked(
    const int64_t[::1] cause,
    uint8_t[::1] wanted,
    const int64_t[::1] marks,
):
    """Return the wanted events and all that caused them, with where each began.

    ``cause`` is by event, 0 for a root; a cause is older than its effect, and one that
    is not is none. ``marks`` are events in ascending order. The four columns are the
    events in ascending order, the root of each, the nearest mark on the way there
    (itself if it is one, 0 without any), and how many there are. All on the way become
    wanted. O(events of the log).
    """
    cdef npy_intp i, k = 0, n = 0, m = 0
    assert wanted.shape[0] == cause.shape[0]
    with nogil:
        for i in range(cause.shape[0] - 1, 0, -1):
            if wanted[i]:
                n += 1
                if 0 < cause[i] < i:
                    wanted[cause[i]] = True
    assert n < 2**31
    # Only the rows of events on the way are ever touched.
    cdef int32_t[::1] row = np.empty(cause.shape[0], np.int32)
    found = tuple(np.empty(n, np.int64) for _ in range(4))
    cdef int64_t[::1] event = found[0], root = found[1]
    cdef int64_t[::1] nearest = found[2], passed = found[3]
    with nogil:
        for i in range(1, cause.shape[0]):
            if not wanted[i]:
                continue
            event[k], root[k], nearest[k], passed[k] = i, i, 0, 0
            if 0 < cause[i] < i:
                root[k] = root[row[cause[i]]]
                nearest[k] = nearest[row[cause[i]]]
                passed[k] = passed[row[cause[i]]]
            while m < marks.shape[0] and marks[m] < i:
                m += 1
            if m < marks.shape[0] and marks[m] == i:
                nearest[k] = i
                passed[k] += 1
            row[i] = <int32_t>k
            k += 1
    return found
