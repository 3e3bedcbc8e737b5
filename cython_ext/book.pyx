"""Limit order books with price-time priority, compiled.

Here is the face: what users call, and the layout of rows. Below it lie `_matching` (one
message after the other), `_resting` (orders by id and account) and `_ladder` (levels,
best prices, memory).

``orderbook/reference.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memcpy

import numpy as np

from numpy cimport PyArray_DATA, import_array, ndarray

from ._ladder cimport NO_ASK, Market, Order, Page, check_side
from ._machine cimport bits_set
from ._resting cimport ACCOUNT_MAX

from . import _resting

import_array()

Listener = _resting.Listener

MESSAGE = np.dtype([
    ("time", "<i8"), ("order_id", "<i8"), ("price", "<i8"), ("qty", "<i8"),
    ("cause", "<i8"), ("display", "<i8"), ("market", "<i4"), ("account", "<i4"),
    ("trigger", "<i4"), ("kind", "u1"), ("side", "u1"), ("tif", "u1"), ("flags", "u1"),
])
RESULT = np.dtype([
    ("order_id", "<i8"), ("filled", "<i8"), ("open", "<i8"), ("cancelled", "<i8"),
    ("accepted", "u1"), ("reason", "u1"), ("pad", "V6"),
])
FILL = np.dtype([
    ("time", "<i8"), ("cause", "<i8"), ("price", "<i8"), ("qty", "<i8"),
    ("maker_order", "<i8"), ("taker_order", "<i8"), ("maker", "<i4"), ("taker", "<i4"),
    ("market", "<i4"), ("message", "<i4"), ("taker_side", "u1"), ("flags", "u1"),
    ("maker_flags", "u1"), ("pad", "V5"),
])
ORDER = np.dtype([
    ("id", "<i8"), ("price", "<i8"), ("qty", "<i8"), ("hidden", "<i8"),
    ("market", "<i4"), ("account", "<i4"), ("trigger", "<i4"), ("side", "u1"),
    ("flags", "u1"), ("pad", "V2"),
])
EVENT = np.dtype([
    ("time", "<i8"), ("cause", "<i8"), ("order_id", "<i8"), ("qty", "<i8"),
    ("market", "<i4"), ("account", "<i4"), ("message", "<i4"), ("kind", "u1"),
    ("reason", "u1"), ("pad", "V2"),
])
DELTA = np.dtype([
    ("price", "<i8"), ("qty", "<i8"), ("market", "<i4"), ("message", "<i4"),
    ("side", "u1"), ("pad", "V7"),
])


@final
cdef class Books:
    """The order books of any number of markets behind one sequence of messages.

    Prices are ticks (1 to 2**30 - 1), quantities lots (1 to 2**62), accounts numbers
    below 2**24. A message that is refused returns its reason and changes nothing.
    Adding, cancelling and matching an order cost O(1) each.

    >>> books = Books()
    >>> atom = books.add_market()
    >>> books.limit(atom, 7, 0, 1745, 500)
    1
    >>> books.best(atom)
    (1745, 0)
    """

    def set_self_trade(self, int64_t account, int mode):
        """Set what an order of ``account`` does when it meets its own (SelfTrade)."""
        if not 0 <= account <= ACCOUNT_MAX:
            raise ValueError(
                f"'account' must be from 0 to {ACCOUNT_MAX} (got {account}).")
        if not 0 <= mode <= STP_DECREMENT:
            raise ValueError(f"'mode' must be a SelfTrade from 0 to 4 (got {mode}).")
        self.owner(account).self_trade = mode

    # -- COMMANDS

    def process(self, messages):
        """Apply a batch in order; return one RESULT row a message, and the FILL rows.

        ``messages`` is a contiguous array of dtype MESSAGE.
        """
        # Comparing two structured dtypes and asking for `.ctypes` cost 3,400 ns.
        if messages.dtype is not MESSAGE and messages.dtype != MESSAGE:
            raise TypeError(
                f"'messages' must be of dtype MESSAGE (got {messages.dtype}).")
        cdef ndarray batch = np.ascontiguousarray(messages)
        cdef int64_t n = len(batch), before = self.n_fills
        cdef ndarray results = np.empty(n, RESULT)
        with nogil:
            self.run(<const Message*>PyArray_DATA(batch),
                     <Result*>PyArray_DATA(results), n)
        return results, self.fills_since(before)

    def limit(self, int32_t market, int32_t account, uint8_t side, int64_t price,
              int64_t qty, uint8_t tif=0, uint8_t flags=0, int64_t cause=0,
              int64_t time=0):
        """Enter a limit order; return its id, or minus the Reason for refusing it."""
        cdef Message message = Message(
            time, 0, price, qty, cause, 0, market, account, 0, LIMIT, side, tif, flags)
        return self.one(&message)

    def market(self, int32_t market, int32_t account, uint8_t side, int64_t qty,
               int64_t protection=0, uint8_t flags=0, int64_t cause=0, int64_t time=0):
        """Enter a market order; ``protection`` is the worst price it may trade at."""
        cdef Message message = Message(
            time, 0, protection, qty, cause, 0, market, account, 0, MARKET, side, IOC,
            flags)
        return self.one(&message)

    def cancel(self, int32_t market, int32_t account, int64_t order_id):
        """Cancel an order; return the lots it had open, or minus the Reason."""
        cdef Message message = Message(
            0, order_id, 0, 0, 0, 0, market, account, 0, CANCEL, 0, 0, 0)
        cdef Result result
        self.apply(&message, &result, 0)
        return result.cancelled if result.accepted else -<int64_t>result.reason

    def cancel_all(self, int32_t account, int32_t market=-1, uint8_t side=2):
        """Cancel the account's orders, newest first; return how many.

        O(orders the account placed since its last cancel-all).
        """
        cdef Message message = Message(
            0, 0, 0, 0, 0, 0, market, account, 0, CANCEL_ALL, side, 0, 0)
        cdef Result result
        self.apply(&message, &result, 0)
        return result.cancelled if result.accepted else -<int64_t>result.reason

    def replace(self, int32_t market, int32_t account, int64_t order_id, int64_t price,
                int64_t qty):
        """Give an order a new price and open lots; return its id, or minus the Reason.

        At the same price a quantity not above the old keeps the place in the queue.
        """
        cdef Message message = Message(
            0, order_id, price, qty, 0, 0, market, account, 0, REPLACE, 0, 0, 0)
        return self.one(&message)

    cdef int64_t one(self, const Message* message) noexcept nogil:
        cdef Result result
        self.apply(message, &result, 0)
        return result.order_id if result.accepted else -<int64_t>result.reason

    def take_fills(self):
        """Return the fills of the calls since the last time, and forget them."""
        return self.fills_since(0)

    cdef object fills_since(self, int64_t n):
        cdef ndarray fills = np.empty(self.n_fills - n, FILL)
        memcpy(PyArray_DATA(fills), &self.fills[n],
               (self.n_fills - n) * sizeof(Fill))
        self.n_fills = n
        return fills

    # -- QUERIES

    def orders(self, int market, int side):
        """Return the resting orders (dtype ORDER), best level first, oldest first."""
        self.known(market)
        rows = []
        cdef Market* m = &self.markets[market]
        cdef int64_t price = m.best[check_side(side)]
        cdef uint32_t at, unit
        while 0 < price < NO_ASK:
            at = self.level_at(m, price)
            unit = self.units[at].next
            while unit != at:
                rows.append(self.row(unit))
                unit = (<Order*>&self.units[unit]).next
            price = self.next_price(m, side, price)
        return np.array(rows, ORDER)

    def account_orders(self, int64_t account):
        """Return the account's resting orders (dtype ORDER), oldest id first."""
        if not 0 <= account <= ACCOUNT_MAX:
            raise ValueError(
                f"'account' must be from 0 to {ACCOUNT_MAX} (got {account}).")
        rows = []
        cdef uint32_t id = self.owner(account).newest
        while id:
            if self.slots[id].unit:
                rows.append(self.row(self.slots[id].unit))
            id = self.slots[id].older
        return np.array(rows[::-1], ORDER)

    cdef tuple row(self, uint32_t unit):
        cdef Order* order = <Order*>&self.units[unit]
        return (order.id, self.units[order.level].price, order.qty, 0, order.market,
                order.owner, 0, order.flags & 1, order.flags >> 1, b"")

    def order(self, int64_t order_id):
        """Return (market, account, side, price, open lots), or None if not resting."""
        if not 0 < order_id <= self.last_id or self.slots[order_id].unit == 0:
            return None
        row = self.row(self.slots[order_id].unit)
        return row[4], row[5], row[7], row[1], row[2]

    def _check(self):
        """Assert every invariant. O(orders and ids); for tests, after each command."""
        cdef int i, side
        cdef Market* m
        cdef int64_t price, total, live = 0, levels = 0, id, d, word, marked
        cdef Page* page
        cdef uint32_t at, unit, before
        cdef Order* order
        for i in range(self.n_markets):
            m = &self.markets[i]
            # The books are never crossed.
            assert m.best[BUY] < m.best[SELL]
            for side in range(2):
                marked = 0
                for d in range(m.n_directories):
                    for word in range(64):
                        page = &self.directories[m.directories[d]].pages[word]
                        marked += bits_set(page.bits[side])
                        # A page is there while it holds orders.
                        assert (page.cells != 0) == ((page.bits[0] | page.bits[1]) != 0)
                levels += marked
                price = m.best[side]
                while 0 < price < NO_ASK:
                    at = self.level_at(m, price)
                    # A level knows its price.
                    assert self.units[at].price == price
                    # A marked level holds orders.
                    assert self.units[at].next != at
                    total, before, unit = 0, at, self.units[at].next
                    while unit != at:
                        order = <Order*>&self.units[unit]
                        # The list is linked both ways, and each order knows its place.
                        assert order.prev == before
                        assert order.level == at
                        assert order.market == i
                        assert order.flags & 1 == side
                        assert order.qty > 0
                        # The index by id points back at it.
                        assert self.slots[order.id].unit == unit
                        total += order.qty
                        live += 1
                        before, unit = unit, order.next
                    assert self.units[at].prev == before
                    # The level's total is its orders' sum.
                    assert self.units[at].qty == total
                    marked -= 1
                    price = self.next_price(m, side, price)
                # The walk from the best price met every marked tick.
                assert marked == 0
        # Every live order was reached from its market, and every live id is an order.
        assert live == self.live_orders
        # What is neither an order nor a level is free.
        assert live + levels + self.n_free + 1 == self.n_units
        for id in range(1, self.last_id + 1):
            live -= self.slots[id].unit != 0
        assert live == 0
