"""What a fleet of market makers quotes: from what rests to what should, in messages.

``tests/quotes_model.py`` says in readable Python what this module does.
"""

cimport cython
from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

import numpy as np

from copyreg import __newobj__

from numpy cimport PyArray_DATA, import_array, ndarray

from ._types cimport (
    BUY,
    CANCEL,
    CANCEL_ALL,
    LIMIT,
    REPLACE,
    SELL,
    Message,
)
from ._views cimport OrderRow

from . import book

import_array()

cdef object message_dtype = book.MESSAGE, order_dtype = book.ORDER

cdef double PRICE_TOP = (1 << 30) - 1
cdef double LOTS_TOP = 4e18    # a float beyond is no int64

ctypedef struct Rung:          # a level of one side, as it should be
    int64_t price              # ticks
    int64_t qty                # lots, 0 = none
    int64_t reach              # ticks from the price at which an order still serves
    bint served


@cython.final
cdef class Quotes:
    """The ladders of makers in their books, one pair of maker and book after another.

    ``maker`` and ``column`` say which maker and which of ``markets`` a pair is, ordered
    by maker; accounts of makers are in a row from ``first``. ``distance`` and
    ``size_usd`` are those of the levels from the fair price outward, ``scale`` what a
    pair makes of the size and of ``limit_usd``, the inventory at which it stops to bid
    and leans by ``skew`` of the price. ``target`` is the inventory it returns to.

    A pair is quoted anew when its fair price moves by half the first distance, its
    inventory by a tenth of the first size, or its bid size by a fifth. Orders that lie
    within half a level's step of where they should, and are within a fifth of its size,
    stay. The others are moved, resized, sent or cancelled, one message each.
    """

    cdef readonly object target
    cdef int32_t[::1] maker, column, place
    cdef int64_t[::1] markets
    cdef double[::1] distance, half_step, size_usd, scale, tick, lot, aim
    cdef uint8_t[::1] spot
    cdef double limit_usd, skew
    cdef int64_t first, makers, venue, levels
    cdef double[::1] quoted, quoted_size, quoted_inventory
    cdef double[::1] price, bids, asks
    cdef const double[::1] held
    cdef uint8_t[::1] due
    cdef int32_t[::1] begin, listed, sides
    cdef Rung* rungs
    cdef object memory, sheet
    cdef Message* out
    cdef int64_t n_due, n_out, now

    def __init__(self, int64_t first, maker, column, markets, distance, size_usd,
                 scale, double limit_usd, double skew, tick, lot, spot):
        cdef int64_t pairs, p
        self.first, self.limit_usd, self.skew = first, limit_usd, skew
        self.maker = np.array(maker, np.int32)
        self.column = np.array(column, np.int32)
        self.markets = np.array(markets, np.int64)
        self.distance, self.size_usd = floats(distance), floats(size_usd)
        self.scale, self.tick, self.lot = floats(scale), floats(tick), floats(lot)
        self.spot = np.array(spot, np.uint8)
        pairs, self.levels = len(maker), len(distance)
        self.half_step = 0.5 * np.diff(distance, prepend=0.0)
        self.venue = len(tick)
        self.makers = 1 + max(maker)
        self.place = np.full(self.makers * self.venue, -1, np.int32)
        for p in range(pairs):
            self.place[self.maker[p] * self.venue + self.markets[self.column[p]]] = (
                <int32_t>p)
        self.target = np.zeros(pairs)
        self.aim = self.target
        self.quoted, self.quoted_inventory = (
            np.full(pairs, np.nan), np.full(pairs, np.nan))
        self.quoted_size = np.zeros(pairs)
        self.price, self.bids = np.zeros(pairs), np.zeros(pairs)
        self.asks, self.held = np.zeros(pairs), np.zeros(pairs)
        self.due = np.zeros(pairs, np.uint8)
        self.make_room()

    # -- STATE

    def __reduce__(self):
        return __newobj__, (Quotes,), (
            [
                np.asarray(self.maker),
                np.asarray(self.column),
                np.asarray(self.place),
                np.asarray(self.markets),
                np.asarray(self.distance),
                np.asarray(self.half_step),
                np.asarray(self.size_usd),
                np.asarray(self.scale),
                np.asarray(self.tick),
                np.asarray(self.lot),
                np.asarray(self.spot),
                np.asarray(self.quoted),
                np.asarray(self.quoted_size),
                np.asarray(self.quoted_inventory),
                np.asarray(self.price),
                np.asarray(self.bids),
                np.asarray(self.asks),
                np.asarray(self.due),
            ],
            self.target, np.asarray(self.held).copy(),
            (self.limit_usd, self.skew, self.first, self.makers, self.venue),
        )

    def __setstate__(self, told):
        views, self.target, self.held, numbers = told
        (self.maker, self.column, self.place, self.markets, self.distance,
         self.half_step, self.size_usd, self.scale, self.tick, self.lot, self.spot,
         self.quoted, self.quoted_size, self.quoted_inventory, self.price, self.bids,
         self.asks, self.due) = views
        self.limit_usd, self.skew, self.first, self.makers, self.venue = numbers
        self.aim = self.target
        self.levels = self.distance.shape[0]
        self.make_room()

    cdef int make_room(self) except -1:
        # For what is needed only while messages are made.
        self.begin = np.zeros(2 * self.maker.shape[0] + 2, np.int32)
        self.listed, self.sides = np.zeros(0, np.int32), np.zeros(0, np.int32)
        self.sheet = np.empty(0, message_dtype)
        self.memory = np.zeros(self.levels * sizeof(Rung), np.uint8)
        self.rungs = <Rung*>PyArray_DATA(<ndarray>self.memory)
        return 0

    # -- WHICH PAIRS

    def judge(self, fair, usd, held, size, bidding, live):
        """Say which makers have a pair to quote anew: their numbers, ascending.

        ``fair`` and ``usd`` (of a base unit) are by column; by pair are ``held`` in
        base units, ``size`` as a share of the full one, and whether it bids at all and
        is to be looked at. O(pairs).
        """
        cdef const double[::1] at = floats(fair), worth = floats(usd)
        cdef const double[::1] factor = floats(size)
        cdef const uint8_t[::1] bids = np.ascontiguousarray(bidding, np.uint8)
        cdef const uint8_t[::1] looked = np.ascontiguousarray(live, np.uint8)
        cdef int64_t p, pairs = self.maker.shape[0]
        marks = np.zeros(self.makers, np.uint8)
        cdef uint8_t[::1] mark = marks
        self.held, self.n_due = floats(held), 0
        with nogil:
            for p in range(pairs):
                self.due[p] = looked[p] and self.outdated(
                    p, at[self.column[p]], worth[self.column[p]], factor[p], bids[p])
                if self.due[p]:
                    mark[self.maker[p]] = 1
                    self.n_due += 1
        return np.flatnonzero(marks)

    cdef bint outdated(self, int64_t p, double fair, double usd, double size,
                       bint bidding) noexcept nogil:
        cdef double inventory = (self.held[p] - self.aim[p]) * usd
        cdef double share = inventory / (self.limit_usd * self.scale[p])
        cdef double price = fair * (1.0 - self.skew * between(share, -1.0, 1.0))
        cdef double room = between(1.0 - share, 0.0, 1.0)
        cdef double bids = size * room if bidding else 0.0
        cdef double first = self.size_usd[0] * self.scale[p]
        if (fabs(price / self.quoted[p] - 1.0) <= 0.5 * self.distance[0]
                and fabs(inventory - self.quoted_inventory[p]) <= 0.1 * first
                and fabs(bids - self.quoted_size[p])
                <= 0.2 * (self.quoted_size[p] + 0.05)):
            return False
        self.price[p], self.bids[p] = price, bids
        self.asks[p] = min(sqrt(size), 1.0)
        self.quoted_inventory[p] = inventory
        self.quoted_size[p] = bids
        return True

    # -- WHAT TO SEND

    def requote(self, int64_t now, usd, orders):
        """Return the messages of the pairs that `judge` found.

        ``orders`` (dtype ORDER) rest in the book, at least all of those pairs. Bids or
        asks that are all to go are cancelled at once. O(pairs + orders + messages).
        """
        if orders.dtype != order_dtype:
            raise TypeError(f"'orders' must be of dtype ORDER (got {orders.dtype}).")
        cdef ndarray rows = np.ascontiguousarray(orders)
        cdef const OrderRow* order = <OrderRow*>PyArray_DATA(rows)
        cdef const double[::1] worth = floats(usd)
        cdef int64_t n = rows.shape[0], p, pairs = self.maker.shape[0]
        # Each order takes one message at most, and each level that has none.
        cdef int64_t most = n + 2 * self.levels * self.n_due
        if self.listed.shape[0] < n:
            self.listed = np.zeros(2 * n, np.int32)
            self.sides = np.zeros(2 * n, np.int32)
        if len(self.sheet) < most:
            self.sheet = np.empty(2 * most, message_dtype)
        self.out, self.n_out = <Message*>PyArray_DATA(<ndarray>self.sheet), 0
        self.now = now
        with nogil:
            self.sort(order, n)
            # What moves away goes first: makers that learn the same are not to trade
            # with what they are about to move.
            for p in range(pairs):
                if self.due[p]:
                    self.side(p, self.away(p), worth[self.column[p]], order)
            for p in range(pairs):
                if self.due[p]:
                    self.side(p, 1 - self.away(p), worth[self.column[p]], order)
                    self.quoted[p] = self.price[p]
        return self.sheet[:self.n_out].copy()

    cdef int32_t side_of(self, const OrderRow* order) noexcept nogil:
        # Twice the number of the order's pair, and its side; -1 if it is not asked for.
        cdef int64_t k = order.account - self.first, p
        if not (0 <= k < self.makers and 0 <= order.market < self.venue):
            return -1
        p = self.place[k * self.venue + order.market]
        return <int32_t>(2 * p) + order.side if p >= 0 and self.due[p] else -1

    cdef void sort(self, const OrderRow* orders, int64_t n) noexcept nogil:
        # The orders of side s of pair p are listed[begin[2 p + s]] and on, up to
        # listed[begin[2 p + s + 1]].
        cdef int32_t at
        cdef int64_t i, sides = 2 * self.maker.shape[0]
        memset(&self.begin[0], 0, (sides + 2) * sizeof(int32_t))
        for i in range(n):
            self.sides[i] = at = self.side_of(&orders[i])
            if at >= 0:
                self.begin[at + 2] += 1
        for at in range(sides):
            self.begin[at + 2] += self.begin[at + 1]
        for i in range(n):
            at = self.sides[i]
            if at >= 0:
                self.listed[self.begin[at + 1]] = <int32_t>i
                self.begin[at + 1] += 1

    cdef int away(self, int64_t p) noexcept nogil:
        # The side that a move of the price takes out of the way.
        return BUY if self.price[p] < self.quoted[p] else SELL

    cdef void side(self, int64_t p, int side, double usd,
                   const OrderRow* orders) noexcept nogil:
        cdef int64_t left = self.begin[2 * p + side], end = self.begin[2 * p + side + 1]
        cdef int64_t i, level, over = left
        cdef Rung* rung
        if not self.wanted(p, side, usd):
            if end - left > 1:
                self.emit(p, CANCEL_ALL, side, 0, 0, 0)
                return
            over = end
        # What serves no level is moved to the front: from left up to over.
        for i in range(over, end):
            level = self.served_by(&orders[self.listed[i]])
            if level >= 0:
                self.resize(p, &orders[self.listed[i]], &self.rungs[level])
            else:
                swap(&self.listed[over], &self.listed[i])
                over += 1
        for i in range(self.levels):
            rung = &self.rungs[i]
            if rung.qty == 0 or rung.served:
                continue
            if left < over:
                self.emit(p, REPLACE, side, orders[self.listed[left]].id, rung.price,
                          rung.qty)
                left += 1
            else:
                self.emit(p, LIMIT, side, 0, rung.price, rung.qty)
        for i in range(left, over):
            self.emit(p, CANCEL, side, orders[self.listed[i]].id, 0, 0)

    cdef bint wanted(self, int64_t p, int side, double usd) noexcept nogil:
        # Fill in the rungs of a side; False if nothing is wanted there.
        cdef int64_t market = self.markets[self.column[p]], i, qty, kept = -1
        cdef double away = -1.0 if side == BUY else 1.0
        cdef double share = self.bids[p] if side == BUY else self.asks[p]
        cdef double unit = self.scale[p] * share / usd, total = 0.0, most
        cdef double lots, ticks, at = self.price[p] / self.tick[market]
        cdef Rung* rung
        cdef bint any = False
        if side == SELL and self.spot[market]:
            for i in range(self.levels):
                total += self.size_usd[i] * unit
            # Nearly all that it has is offered, never more.
            most = 0.95 * max(self.held[p], 0.0)
            if total > most:
                unit *= most / total
        # A whole number of lots may come out of the division a trifle below itself.
        lots = unit / self.lot[market] * (1.0 + 1e-12)
        for i in range(self.levels):
            rung = &self.rungs[i]
            qty = <int64_t>min(self.size_usd[i] * lots, LOTS_TOP)
            ticks = between(at * (1.0 + away * self.distance[i]), 1.0, PRICE_TOP)
            rung.price = passive(side, ticks)
            rung.reach = <int64_t>min(self.half_step[i] * at, PRICE_TOP)
            rung.served, rung.qty = False, qty
            any = any or qty > 0
            # Levels of one tick are one order.
            if kept >= 0 and self.rungs[kept].price == rung.price:
                self.rungs[kept].qty = min(
                    self.rungs[kept].qty + qty, <int64_t>LOTS_TOP)
                rung.qty = 0
            else:
                kept = i
        return any

    cdef int64_t served_by(self, const OrderRow* order) noexcept nogil:
        # The first level without an order that this one is near enough to.
        cdef int64_t i
        cdef Rung* rung
        for i in range(self.levels):
            rung = &self.rungs[i]
            if (rung.qty > 0 and not rung.served
                    and -rung.reach <= order.price - rung.price <= rung.reach):
                rung.served = True
                return i
        return -1

    cdef void resize(self, int64_t p, const OrderRow* order,
                     const Rung* rung) noexcept nogil:
        # Less at its price keeps its place in the queue; more goes where it should be.
        cdef double more = <double>rung.qty - <double>order.qty
        if fabs(more) <= 0.2 * <double>rung.qty:
            return
        if more < 0:
            self.emit(p, REPLACE, order.side, order.id, order.price, rung.qty)
        else:
            self.emit(p, REPLACE, order.side, order.id, rung.price, rung.qty)

    cdef void emit(self, int64_t p, int kind, int side, int64_t id, int64_t price,
                   int64_t qty) noexcept nogil:
        cdef Message* message = &self.out[self.n_out]
        memset(message, 0, sizeof(Message))
        message.time, message.order_id = self.now, id
        message.price, message.qty = price, qty
        message.market = <int32_t>self.markets[self.column[p]]
        message.account = <int32_t>(self.first + self.maker[p])
        message.kind, message.side = <uint8_t>kind, <uint8_t>side
        self.n_out += 1


cdef inline void swap(int32_t* a, int32_t* b) noexcept nogil:
    cdef int32_t kept = a[0]
    a[0] = b[0]
    b[0] = kept


cdef inline int64_t passive(int side, double ticks) noexcept nogil:
    # A price on the tick stays there, whatever the division left over.
    cdef int64_t down
    if side == BUY:
        return <int64_t>(ticks + 1e-6)
    down = <int64_t>(ticks - 1e-6)
    return down + (<double>down < ticks - 1e-6)


cdef inline double between(double x, double low, double high) noexcept nogil:
    return low if x < low else high if x > high else x


cdef floats(values):
    return np.ascontiguousarray(values, np.float64)
