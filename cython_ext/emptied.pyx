"""What emptied a book before an order came that nothing had caused.

All that lasts is in the arrays that are given. ``tests/engine/test_emptied.py`` says
in readable Python what this module does.
"""

from libc.stdint cimport int64_t, uint8_t

import numpy as np

from numpy cimport (
    NPY_BOOL,
    NPY_INT64,
    PyArray_DATA,
    PyArray_EMPTY,
    PyArray_SIZE,
    import_array,
    ndarray,
    npy_intp,
)

from ._types cimport BUY, SELL, Fill, Message
from ._views cimport OrderRow

import_array()

ctypedef packed struct Side:       # of one market; the event is 0 while it is whole
    int64_t event                  # the last that took orders away from it
    int64_t order                  # of that: the event of the order that did
    int64_t price                  # of that: where it began
    int64_t lots                   # what was taken and has not been missed yet

SIDE = np.dtype([(name, "<i8") for name in ("event", "order", "price", "lots")])


def take(
    ndarray sides,
    uint8_t[::1] own,
    ndarray batch,
    int64_t sent,
    ndarray fills,
    int64_t first,
):
    """Take the fills of a batch, whose events are in a row from ``first``.

    Those of its messages are from ``sent`` on.
    Return the events of orders that nothing caused and that met an emptied side, and
    what emptied it. ``own`` has a bit for each event, which is set here for the trades
    that go back to no more than somebody's own decision. O(fills).
    """
    cdef Side* side = <Side*>PyArray_DATA(sides)
    cdef Fill* fill = <Fill*>PyArray_DATA(fills)
    cdef Message* message = <Message*>PyArray_DATA(batch)
    cdef npy_intp i = 0, j, k = 0, n = PyArray_SIZE(fills)
    cdef ndarray orders = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef ndarray causes = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef int64_t* order = <int64_t*>PyArray_DATA(orders)
    cdef int64_t* cause = <int64_t*>PyArray_DATA(causes)
    cdef Side* met
    cdef int64_t lots, why, sign
    cdef bint rootless
    assert fills.flags.c_contiguous and batch.flags.c_contiguous
    with nogil:
        while i < n:
            j, lots = i, 0
            while j < n and fill[j].taker_order == fill[i].taker_order:
                lots += fill[j].qty
                j += 1
            sign = 1 if fill[i].taker_side == SELL else -1
            met = &side[2 * fill[i].market + (BUY if sign > 0 else SELL)]
            if sign * (met.price - fill[j - 1].price) < 0:
                met.event = met.lots = 0
            # Stops that a price set off have no message: they have its cause.
            why = (message[fill[i].message].cause if fill[i].message >= 0
                   else fill[i].cause)
            if not 0 < why < first:    # no event that there was
                why = 0
            rootless = not why or own[why >> 3] >> (why & 7) & 1
            if not rootless:
                met.event, met.order = first + j - 1, fill[i].cause
                met.price = fill[i].price
                met.lots += lots
            elif (not why and met.event and lots <= met.lots
                    and fill[i].message >= 0
                    and fill[i].cause == sent + fill[i].message
                    and sign * (met.price - fill[j - 1].price) > 0):
                order[k] = fill[i].cause
                cause[k] = met.event if met.event < sent else met.order
                met.lots -= lots
                if cause[k] < order[k]:
                    k += 1
            else:
                for why in range(first + i, first + j):
                    own[why >> 3] |= 1 << (why & 7)
            i = j
    return orders[:k], causes[:k]


def follow(uint8_t[::1] own, const int64_t[::1] causes, int64_t first):
    """Return which of the events from ``first`` on go back to own decisions alone.

    ``causes`` are theirs, 0 for none; their bits are set in ``own``. O(events).
    """
    cdef npy_intp i, n = causes.shape[0]
    cdef int64_t why
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_BOOL, 0)
    cdef uint8_t* out = <uint8_t*>PyArray_DATA(found)
    for i in range(n):
        why = causes[i]
        if not 0 < why < first + i:    # no event that there was
            why = 0
        out[i] = not why or own[why >> 3] >> (why & 7) & 1
        if out[i]:
            why = first + i
            own[why >> 3] |= 1 << (why & 7)
    return found


def followed(
    const int64_t[::1] base,
    const int64_t[::1] outside,
    const int64_t[::1] outside_at,
    const int64_t[:, ::1] withdrawn,
    const int64_t[:, ::1] withdrawn_at,
):
    """Return what quotes followed down and up, by market: two rows, 0 for nothing.

    The last withdrawal of bids or asks, or the shock that moved the asset outside, if
    that was later. O(markets).
    """
    cdef npy_intp m, n = base.shape[0], way
    cdef npy_intp[2] shape
    shape[0], shape[1] = 2, n
    cdef ndarray found = PyArray_EMPTY(2, shape, NPY_INT64, 0)
    cdef int64_t* out = <int64_t*>PyArray_DATA(found)
    cdef int64_t event
    for way in range(2):
        for m in range(n):
            event = withdrawn[way, m]
            if outside[base[m]] and (
                    not event or outside_at[base[m]] > withdrawn_at[way, m]):
                event = outside[base[m]]
            out[way * n + m] = event
    return found


def quote(ndarray batch, const int64_t[:, ::1] followed):
    """Give the messages of a batch as causes what those who sell followed down.

    Those who buy, up. O(messages).
    """
    cdef Message* message = <Message*>PyArray_DATA(batch)
    cdef npy_intp i
    assert batch.flags.c_contiguous
    for i in range(PyArray_SIZE(batch)):
        message[i].cause = followed[message[i].side == BUY, message[i].market]


def withdraw(ndarray sides, ndarray orders, int64_t event):
    """Take note that orders are taken away. O(orders)."""
    cdef Side* side = <Side*>PyArray_DATA(sides)
    cdef OrderRow* order = <OrderRow*>PyArray_DATA(orders)
    cdef npy_intp i
    cdef Side* met
    assert orders.flags.c_contiguous
    for i in range(PyArray_SIZE(orders)):
        met = &side[2 * order[i].market + order[i].side]
        if met.event != event or order[i].side == BUY and order[i].price > met.price \
                or order[i].side == SELL and order[i].price < met.price:
            met.price = order[i].price
        met.event = met.order = event
        met.lots += order[i].qty
