"""Messages: made of orders, queued and served by the gateway, kept and counted.

``tests/messages_model.py`` says in NumPy what this module does, but for ``counted``.
"""

cimport cython
from libc.math cimport ceil, floor, isnan
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

import numpy as np

from numpy cimport (
    NPY_ARRAY_CARRAY_RO,
    NPY_DOUBLE,
    NPY_INT64,
    PyArray_DATA,
    PyArray_EMPTY,
    PyArray_FROM_OTF,
    PyArray_SIZE,
    import_array,
    ndarray,
    npy_intp,
)

from ._types cimport (
    BUY,
    CANCEL,
    CANCEL_ALL,
    IOC,
    LIMIT,
    LIQUIDATION,
    MARKET,
    REPLACE,
    SELL,
    Fill,
    Message,
    Result,
)

from . import book

import_array()

cdef object message_dtype = book.MESSAGE, result_dtype = book.RESULT
cdef object fill_dtype = book.FILL

cdef int64_t MINUTE = 60_000_000_000

# A whole number of lots may come out of a division a trifle below itself, and a price
# on the tick a trifle beside it.
cdef double WHOLE = 1.0 + 1e-12
cdef double TRIFLE = 1e-6
cdef double TOP = 9e18         # a float beyond is no int64


# -- ORDERS

@cython.internal
cdef class Column:
    """A number for each row, or one for all of them."""

    cdef ndarray held
    cdef const int64_t* at
    cdef int64_t one
    cdef npy_intp step

    def __cinit__(self, str name, values, npy_intp rows):
        if isinstance(values, int):
            self.one, self.at, self.step = values, &self.one, 0
            return
        self.held = PyArray_FROM_OTF(values, NPY_INT64, NPY_ARRAY_CARRAY_RO)
        self.at, self.step = <const int64_t*>PyArray_DATA(self.held), 1
        if PyArray_SIZE(self.held) == 1:
            self.step = 0
        elif PyArray_SIZE(self.held) != rows:
            n = PyArray_SIZE(self.held)
            raise ValueError(f"'{name}' must hold {rows} numbers, or one (got {n}).")


def orders(
    int64_t time,
    account,
    market,
    side,
    qty,
    price,
    int64_t tif,
    cause,
    int64_t flags,
    const double[::1] tick,
    const double[::1] lot,
):
    """Return orders: limit, or without a price market orders, immediate or cancelled.

    ``qty`` is in base units, ``price`` in the quote asset; ``tick`` and ``lot`` are by
    market, the other columns of orders or one number for all. Prices are rounded to the
    tick on the passive side, quantities down to the lot; orders of less than a lot, of
    more than there are numbers for, or at no price (NaN) are left out. O(orders).
    """
    cdef ndarray wanted = PyArray_FROM_OTF(qty, NPY_DOUBLE, NPY_ARRAY_CARRAY_RO)
    cdef npy_intp i, k = 0, n = PyArray_SIZE(wanted)
    cdef Column whose = Column("account", account, n), why = Column("cause", cause, n)
    cdef Column where = Column("market", market, n), way = Column("side", side, n)
    cdef ndarray asked, rows = np.empty(n, message_dtype)
    cdef const double* amount = <const double*>PyArray_DATA(wanted)
    cdef const double* at = NULL
    cdef Message* out = <Message*>PyArray_DATA(rows)
    cdef int64_t number
    cdef double ticks, whole_lots
    if price is not None:
        asked = PyArray_FROM_OTF(price, NPY_DOUBLE, NPY_ARRAY_CARRAY_RO)
        if PyArray_SIZE(asked) != n:
            raise ValueError(
                f"'price' must hold {n} prices (got {PyArray_SIZE(asked)}).")
        at = <const double*>PyArray_DATA(asked)
    for i in range(n):
        number = where.at[i * where.step]
        assert 0 <= number < lot.shape[0]
        whole_lots = amount[i] / lot[number] * WHOLE
        if not 1.0 <= whole_lots < TOP:
            continue
        memset(&out[k], 0, sizeof(Message))
        out[k].time, out[k].qty = time, <int64_t>whole_lots
        out[k].account = <int>whose.at[i * whose.step]
        out[k].market, out[k].side = <int>number, <uint8_t>way.at[i * way.step]
        out[k].cause, out[k].flags = why.at[i * why.step], <uint8_t>flags
        out[k].kind, out[k].tif = MARKET, IOC
        if at != NULL:
            ticks = at[i] / tick[number]
            if isnan(ticks):
                continue
            if out[k].side == BUY:
                ticks = floor(ticks + TRIFLE)
            else:
                ticks = ceil(ticks - TRIFLE)
            out[k].price = <int64_t>(min(ticks, TOP) if ticks >= 1.0 else 1.0)
            out[k].kind, out[k].tif = LIMIT, <uint8_t>tif
        k += 1
    return rows if k == n else rows[:k].copy()


def together(list batches):
    """Return batches of messages as one, in their order; a single one as it is.

    NumPy compares the fields of one after another, which takes longer than to copy
    them. O(messages).
    """
    cdef npy_intp n = 0, at = 0, size
    cdef ndarray part, rows
    if len(batches) == 1:
        return batches[0]
    for batch in batches:
        n += PyArray_SIZE(<ndarray?>batch)
    rows = np.empty(n, message_dtype)
    cdef Message* out = <Message*>PyArray_DATA(rows)
    for batch in batches:
        part = whole(batch, message_dtype)
        size = PyArray_SIZE(part)
        memcpy(&out[at], PyArray_DATA(part), size * sizeof(Message))
        at += size
    return rows


# -- THE GATEWAY

def senders(ndarray queue, list coming, int64_t first, npy_intp count):
    """Return which of so many accounts from ``first`` on have messages here.

    ``queue`` are messages, ``coming`` are (arrival, sequence, batch), each batch of one
    participant, whose accounts are in a row. O(queue + batches + their own messages).
    """
    cdef ndarray found = np.zeros(count, np.bool_), rows
    cdef uint8_t* mark = <uint8_t*>PyArray_DATA(found)
    cdef const Message* row
    mark_senders(queue, first, count, mark)
    for _, _, batch in coming:
        rows = whole(batch, message_dtype)
        row = <const Message*>PyArray_DATA(rows)
        if PyArray_SIZE(rows) and 0 <= row[0].account - first < count:
            mark_senders(rows, first, count, mark)
    return found


cdef int mark_senders(
    ndarray rows, int64_t first, npy_intp count, uint8_t* mark
) except -1:
    cdef const Message* row = <const Message*>PyArray_DATA(rows)
    cdef npy_intp i
    cdef int64_t own
    assert rows.flags.c_contiguous
    for i in range(PyArray_SIZE(rows)):
        own = row[i].account - first
        if 0 <= own < count:
            mark[own] = True
    return 0


def joined(ndarray queue, ndarray since, list arrived):
    """Return what waits and what has come, and when each of them arrived.

    ``since`` is of the queue; ``arrived`` are (arrival, sequence, batch). O(messages).
    """
    cdef npy_intp n = PyArray_SIZE(queue), size
    for _, _, batch in arrived:
        n += len(batch)
    cdef ndarray rows = np.empty(n, message_dtype), part
    cdef ndarray times = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef Message* row = <Message*>PyArray_DATA(rows)
    cdef double* time = <double*>PyArray_DATA(times)
    cdef npy_intp i, at = PyArray_SIZE(queue)
    cdef double when
    memcpy(row, PyArray_DATA(queue), at * sizeof(Message))
    memcpy(time, PyArray_DATA(since), at * sizeof(double))
    for arrival, _, batch in arrived:
        part = whole(batch, message_dtype)
        size, when = PyArray_SIZE(part), arrival
        memcpy(&row[at], PyArray_DATA(part), size * sizeof(Message))
        for i in range(at, at + size):
            time[i] = when
        at += size
    return rows, times


def served(const double[::1] since, double free_at, double step):
    """Return when each is done by one server, and two questions about them.

    It takes ``step`` for each, one after another, from ``free_at`` on. The questions
    are how long one waits at most, and whether one waits while the next arrives.
    O(messages).
    """
    cdef npy_intp i, n = since.shape[0]
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* done = <double*>PyArray_DATA(found)
    cdef double begin = -1e300, one, longest = 0.0
    cdef bint behind = False
    with nogil:
        for i in range(n):
            one = (since[i] if since[i] > free_at else free_at) - i * step
            begin = one if one > begin else begin
            done[i] = begin + (i + 1) * step
            longest = done[i] - since[i] if done[i] - since[i] > longest else longest
            behind = behind or (i > 0 and done[i - 1] > since[i])
    return found, longest, behind


def stamped(ndarray rows, const double[::1] done, double until):
    """Write into rows when they are done; return how many are by a time."""
    cdef Message* row = <Message*>PyArray_DATA(rows)
    cdef npy_intp i = 0
    with nogil:
        while i < done.shape[0] and done[i] <= until:
            row[i].time = <int64_t>done[i]
            i += 1
    return i


# -- THE LOG

def rested(list batches, list results):
    """Return the numbers of the orders that came to rest, and when they were placed.

    Of batches of messages and what became of them. O(messages).
    """
    cdef ndarray part, told
    cdef const Message* row
    cdef const Result* of
    cdef npy_intp i, k = 0, n = 0
    for batch in batches:
        n += len(batch)
    numbers, times = np.empty(n, np.int64), np.empty(n, np.int64)
    cdef int64_t[::1] number = numbers, time = times
    for batch, result in zip(batches, results):
        part, told = whole(batch, message_dtype), whole(result, result_dtype)
        row = <const Message*>PyArray_DATA(part)
        of = <const Result*>PyArray_DATA(told)
        for i in range(PyArray_SIZE(part)):
            if of[i].open > 0 and row[i].kind != REPLACE:
                number[k], time[k] = of[i].order_id, row[i].time
                k += 1
    return numbers[:k], times[:k]


def traded(list firsts, list batches, list results, list fills, list causes):
    """Return what is kept of messages: their ids, themselves, and what became of them.

    Those that traded, were sent by force, or are among the ``causes`` of a batch, by
    their places in it; the ids of a batch are in a row from its first. O(messages).
    """
    cdef npy_intp i, k = 0, n = 0
    marks = []
    for batch, trades, others in zip(batches, fills, causes):
        mark = np.zeros(len(batch), np.uint8)
        n += marked(
            whole(batch, message_dtype), whole(trades, fill_dtype), others, mark)
        marks.append(mark)
    cdef ndarray part, told, rows = np.empty(n, message_dtype)
    cdef ndarray outcome = np.empty(n, result_dtype)
    cdef Message* row = <Message*>PyArray_DATA(rows)
    cdef Result* of = <Result*>PyArray_DATA(outcome)
    cdef const uint8_t[::1] keep
    cdef int64_t first
    numbers = np.empty(n, np.int64)
    cdef int64_t[::1] number = numbers
    for begin, batch, result, mark in zip(firsts, batches, results, marks):
        part, told = whole(batch, message_dtype), whole(result, result_dtype)
        keep, first = mark, begin
        for i in range(keep.shape[0]):
            if keep[i]:
                number[k] = first + i
                row[k] = (<const Message*>PyArray_DATA(part))[i]
                of[k] = (<const Result*>PyArray_DATA(told))[i]
                k += 1
    return numbers, rows, outcome


cdef npy_intp marked(ndarray messages, ndarray trades, list others,
                     uint8_t[::1] mark) except -1:
    # Mark what is kept of a batch, and count it.
    cdef const Message* row = <const Message*>PyArray_DATA(messages)
    cdef const Fill* fill = <const Fill*>PyArray_DATA(trades)
    cdef npy_intp i, n = 0
    for i in range(mark.shape[0]):
        mark[i] = (row[i].flags & LIQUIDATION) != 0
    for i in range(PyArray_SIZE(trades)):
        if fill[i].message >= 0:
            assert fill[i].message < mark.shape[0]
            mark[fill[i].message] = True
    for other in others:
        assert 0 <= other < mark.shape[0]
        mark[<npy_intp>other] = True
    for i in range(mark.shape[0]):
        n += mark[i]
    return n


def counted(
    messages,
    results,
    const int64_t[::1] column,
    const uint8_t[::1] group,
    const int64_t[::1] maker,
    int64_t before,
    int64_t[:, :, :, ::1] sent,
    int64_t[:, :, :, ::1] makers,
):
    """Count messages by minute, column of their market, and class of their sender.

    In ``sent``, and those of makers in watched markets in ``makers`` as well: orders to
    buy and to sell, what takes orders away, refusals; see `Census`. ``column`` is by
    market, -1 behind them; ``before`` are the nanoseconds from the first minute to time
    0. O(messages).
    """
    cdef ndarray part = whole(messages, message_dtype)
    cdef ndarray told = whole(results, result_dtype)
    cdef const Message* row = <const Message*>PyArray_DATA(part)
    cdef const Result* of = <const Result*>PyArray_DATA(told)
    cdef npy_intp i
    cdef int64_t minute, place, whose, own
    cdef bint cancel
    for i in range(PyArray_SIZE(part)):
        minute = (row[i].time + before) // MINUTE
        whose = row[i].account
        if not (0 <= row[i].market < column.shape[0] - 1 and minute < sent.shape[0]
                and 0 <= whose < group.shape[0]):
            continue
        place = column[row[i].market]
        cancel = row[i].kind == CANCEL or row[i].kind == CANCEL_ALL
        own = 2 if cancel else row[i].side == SELL
        sent[minute, place, group[whose], own] += 1
        sent[minute, place, group[whose], 3] += not of[i].accepted
        if maker[whose] >= 0 and place < makers.shape[1]:
            makers[minute, place, maker[whose], 2] += 1
            if not cancel:
                makers[minute, place, maker[whose], own] += 1


cdef ndarray whole(rows, dtype):
    return np.ascontiguousarray(rows, dtype)
