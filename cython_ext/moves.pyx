"""Of each price, the moves that no later one was as large as.

A table has, one after another, the falls of all rows that others made, those that
were somebody's own, and the rises alike; of each those that are kept, with the time,
the size and the event of each. All that lasts is in the arrays that are given.
``tests/margin/test_moves.py`` says in readable Python what this module does.
"""

from libc.math cimport fabs
from libc.stdint cimport int64_t, uint8_t

from numpy cimport (
    NPY_INT64,
    PyArray_DATA,
    PyArray_EMPTY,
    import_array,
    ndarray,
    npy_intp,
)

import_array()


def take(
    int64_t[:, ::1] event,
    int64_t[:, ::1] time,
    double[:, ::1] size,
    int64_t[::1] kept,
    double[::1] own_moves,
    const int64_t[::1] rows,
    const double[::1] moves,
    const int64_t[::1] events,
    const uint8_t[::1] own,
    int64_t now,
):
    """Take moves of some rows, each later than all before; there must be room for one.

    Own ones are added to ``own_moves``. O(moves).
    """
    cdef Py_ssize_t i, at, n = own_moves.shape[0], k
    cdef double move
    for i in range(rows.shape[0]):
        move = fabs(moves[i])
        at = (2 * (moves[i] > 0.0) + own[i]) * n + rows[i]
        if own[i]:
            own_moves[rows[i]] += moves[i]
        k = kept[at]
        while k and size[at, k - 1] <= move:
            k -= 1
        event[at, k], time[at, k], size[at, k] = events[i], now, move
        kept[at] = k + 1


cdef inline int64_t first_since(
    const int64_t[:, ::1] event,
    const int64_t[:, ::1] time,
    const int64_t[::1] kept,
    int64_t at,
    int64_t since,
) noexcept nogil:
    # Sizes descend: the first that is kept since is the largest since.
    cdef int64_t k
    for k in range(kept[at]):
        if time[at, k] >= since:
            return event[at, k]
    return 0


cdef inline int64_t top(
    const int64_t[:, ::1] table, const int64_t[::1] kept, int64_t at
) noexcept nogil:
    return table[at, kept[at] - 1] if kept[at] else 0


def largest(
    const int64_t[:, ::1] event,
    const int64_t[:, ::1] time,
    const int64_t[::1] kept,
    int64_t at,
    int64_t since,
):
    """Return the event of the largest move in a line since a time, 0 if none was."""
    return first_since(event, time, kept, at, since)


def last(
    const int64_t[:, ::1] event,
    const int64_t[:, ::1] time,
    const int64_t[::1] kept,
    const int64_t[::1] rows,
    const double[::1] moves,
):
    """Return the event and the time of each row's last move as it went, 0 if none was.

    Down where ``moves`` are not above 0. O(rows).
    """
    cdef npy_intp i, n = rows.shape[0], size = kept.shape[0] // 4
    cdef ndarray events = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef ndarray times = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef int64_t* out = <int64_t*>PyArray_DATA(events)
    cdef int64_t* when = <int64_t*>PyArray_DATA(times)
    cdef int64_t at
    for i in range(n):
        at = 2 * (moves[i] > 0.0) * size + rows[i]
        if top(time, kept, at + size) > top(time, kept, at):
            at += size
        out[i], when[i] = top(event, kept, at), top(time, kept, at)
    return events, times


def blame(
    const int64_t[:, ::1] event,
    const int64_t[:, ::1] time,
    const int64_t[::1] kept,
    const double[::1] own_moves,
    const int64_t[::1] rows,
    const double[::1] moves,
    const double[::1] own,
    const int64_t[::1] since,
):
    """Return the event to blame for what moved each row since a time.

    ``own`` is what ``own_moves`` was then. O(rows × moves that are kept).
    """
    cdef npy_intp i, n = rows.shape[0]
    cdef ndarray found = last(event, time, kept, rows, moves)[0]
    cdef int64_t* out = <int64_t*>PyArray_DATA(found)
    cdef int64_t at, size = own_moves.shape[0], event_id
    cdef double mine
    cdef bint rose
    for i in range(n):
        rose = moves[i] > 0.0
        mine = own_moves[rows[i]] - own[i]
        at = 2 * rose * size + rows[i]
        event_id = 0
        if 2.0 * (mine if rose else -mine) > fabs(moves[i]):
            event_id = first_since(event, time, kept, at + size, since[i])
        if not event_id:
            event_id = first_since(event, time, kept, at, since[i])
        if not event_id:
            event_id = first_since(event, time, kept, at + size, since[i])
        if event_id:
            out[i] = event_id
    return found
