"""Tapes beside the fills: events of orders, and the new totals of levels.

An event tells what happened to an order by a message that does not name it. Levels are
written down only while they are asked for, one row for each that a message changed.
"""

from cython cimport final
from libc.stdlib cimport free, qsort
from libc.string cimport memcpy, memset

import numpy as np

from cpython.ref cimport Py_INCREF
from numpy cimport (
    NPY_ARRAY_CARRAY,
    NPY_UINT8,
    PyArray_DATA,
    PyArray_SimpleNew,
    dtype,
    import_array,
    ndarray,
    npy_intp,
    set_array_base,
)

from ._ladder cimport Market
from ._machine cimport arena, free_arena, grown

from ._arguments import require_bool

import_array()

EVENT = np.dtype([
    ("time", "<i8"), ("cause", "<i8"), ("order_id", "<i8"), ("qty", "<i8"),
    ("market", "<i4"), ("account", "<i4"), ("message", "<i4"), ("kind", "u1"),
    ("reason", "u1"), ("pad", "V2"),
])
DELTA = np.dtype([
    ("price", "<i8"), ("qty", "<i8"), ("market", "<i4"), ("message", "<i4"),
    ("side", "u1"), ("pad", "V7"),
])

cdef dtype event_dtype = EVENT, delta_dtype = DELTA

cdef extern from "numpy/arrayobject.h":
    # NumPy's own declaration leaves it out, as it steals the reference to the dtype.
    object PyArray_NewFromDescr(
        type subtype, dtype kind, int nd, npy_intp* shape, npy_intp* strides,
        void* data, int flags, void* like)


cdef ndarray new_rows(npy_intp n, dtype kind):
    # `np.empty` looks at each field for what has to be cleared, at every batch.
    cdef npy_intp size = n * kind.itemsize
    cdef ndarray memory = PyArray_SimpleNew(1, &size, NPY_UINT8)
    Py_INCREF(kind)
    cdef ndarray rows = PyArray_NewFromDescr(
        ndarray, kind, 1, &n, NULL, PyArray_DATA(memory), NPY_ARRAY_CARRAY, NULL)
    set_array_base(rows, memory)
    return rows


cdef class Tapes(Ladder):
    """Events and changes of levels, to be taken once."""

    def __dealloc__(self):
        free(self.events)
        free_arena(self.deltas, self.deltas_max * sizeof(Delta))
        free(self.touches)

    cdef int visit(self, State state) except -1:
        cdef int64_t deltas = self.deltas_max
        Ladder.visit(self, state)
        state.number(&self.n_events)
        state.number(&self.events_max)
        state.number(&self.n_deltas)
        state.number(&self.deltas_max)
        state.number(&self.n_touches)
        state.number(&self.touches_max)
        state.raw(&self.recording, sizeof(bint))
        state.raw(&self.unsettled, sizeof(bint))
        self.events = <Event*>state.block(
            self.events, self.events_max * sizeof(Event),
            self.n_events * sizeof(Event))
        if self.deltas_max:
            self.deltas = <Delta*>state.arena(
                self.deltas, deltas * sizeof(Delta), self.deltas_max * sizeof(Delta),
                self.n_deltas * sizeof(Delta))
        self.touches = <Touch*>state.block(
            self.touches, self.touches_max * sizeof(Touch),
            self.n_touches * sizeof(Touch))
        return 0

    # -- EVENTS

    @final
    cdef void push_event(self, const Message* message, int32_t row, int kind,
                         int reason, int64_t id, int64_t account,
                         int64_t qty) noexcept nogil:
        # What the message did to an order, of its market, that it does not name.
        cdef int64_t old = self.events_max
        cdef Event* event
        if self.n_events == old:
            self.events_max = 2 * old if old else 64
            self.events = <Event*>grown(
                self.events, old * sizeof(Event), self.events_max * sizeof(Event))
        event = &self.events[self.n_events]
        self.n_events += 1
        memset(event, 0, sizeof(Event))
        event.time = message.time
        event.cause = message.cause
        event.order_id = id
        event.qty = qty
        event.market = message.market
        event.account = <int32_t>account
        event.message = row
        event.kind = <uint8_t>kind
        event.reason = <uint8_t>reason

    def take_events(self):
        """Return what happened to orders that no message named, and forget it.

        Rows of EVENT: orders that were triggered, refused when they were, or lost lots
        to self-trade prevention, a position too small for reduce-only, or as the rest
        of a triggered order.
        """
        cdef ndarray rows = new_rows(self.n_events, event_dtype)
        if self.n_events:
            memcpy(PyArray_DATA(rows), self.events, self.n_events * sizeof(Event))
        self.n_events = 0
        return rows

    # -- LEVELS

    def record_depth(self, on):
        """Write down the levels that messages change, or stop doing so."""
        self.recording = require_bool("on", on)

    def take_deltas(self):
        """Return the changes of levels while they were recorded, and forget them.

        Rows of DELTA: the lots a level shows after a message that changed them, 0 for
        a level that went. Those of one message are by market, side and price.
        """
        cdef ndarray rows = new_rows(self.n_deltas, delta_dtype)
        if self.n_deltas:
            memcpy(PyArray_DATA(rows), self.deltas, self.n_deltas * sizeof(Delta))
        self.n_deltas = 0
        return rows

    @final
    cdef void touch(self, int32_t market, int side, int64_t price,
                    int64_t before) noexcept nogil:
        # A level is about to change.
        cdef int64_t old = self.touches_max
        if self.n_touches == old:
            self.touches_max = 2 * old if old else 64
            self.touches = <Touch*>grown(
                self.touches, old * sizeof(Touch), self.touches_max * sizeof(Touch))
        self.touches[self.n_touches] = Touch(
            price, before, market, side, self.n_touches)
        self.n_touches += 1
        self.unsettled = True

    @final
    cdef void push_deltas(self, int32_t row) noexcept nogil:
        # The levels touched by the message that differ from before it.
        cdef int64_t i, shown
        cdef Touch* touch
        if self.n_touches > 1:
            qsort(self.touches, self.n_touches, sizeof(Touch), earlier)
        for i in range(self.n_touches):
            touch = &self.touches[i]
            if i and same_level(touch, &self.touches[i - 1]):
                continue
            shown = self.shown_at(touch.market, touch.side, touch.price)
            if shown != touch.before:
                self.push_delta(row, touch.market, touch.side, touch.price, shown)
        self.n_touches = 0

    @final
    cdef void grow_deltas(self) noexcept nogil:
        cdef int64_t old = self.deltas_max
        self.deltas_max = 2 * old if old else 64
        self.deltas = <Delta*>arena(
            self.deltas, old * sizeof(Delta), self.deltas_max * sizeof(Delta))

    @final
    cdef int64_t shown_at(self, int32_t market, int side, int64_t price) noexcept nogil:
        cdef const Market* m = &self.markets[market]
        cdef uint32_t page = self.page_of(m, side, price)
        if self.pages[page].bits >> (price & 31) & 1:
            return self.units[self.level_at(m, side, price)].qty
        return 0


cdef inline bint same_level(const Touch* a, const Touch* b) noexcept nogil:
    return a.price == b.price and a.side == b.side and a.market == b.market


cdef int earlier(const void* first, const void* second) noexcept nogil:
    # By market, side and price, then as it happened.
    cdef const Touch* a = <const Touch*>first
    cdef const Touch* b = <const Touch*>second
    if a.market != b.market:
        return -1 if a.market < b.market else 1
    if a.side != b.side:
        return -1 if a.side < b.side else 1
    if a.price != b.price:
        return -1 if a.price < b.price else 1
    return -1 if a.order < b.order else 1
