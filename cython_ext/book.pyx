"""Limit order books with price-time priority, compiled.

Here is the face: what users call, and the layout of rows. Below it lie, from the top
down, `_checks` (invariants), `_views` (what can be seen), `_control` (phases, auctions,
breakers), `_matching` (batches), `_commands` (one message), `_trading` (matching),
`_dormant` (orders that wait), `_resting` (orders by id and account), `_tapes` (events,
changes of levels) and `_ladder` (levels, best prices, memory); beside it `_arguments`
judges what callers pass.

``orderbook/reference.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memcpy

import numpy as np

from cpython.ref cimport Py_INCREF
from numpy cimport (
    PyArray_DATA,
    PyArray_IS_C_CONTIGUOUS,
    dtype,
    import_array,
    ndarray,
)

from ._arguments cimport bounded, whole, whole8, whole32
from ._resting cimport ACCOUNT_MAX
from ._tapes cimport new_rows

from ._state cimport State

from . import _arguments, _resting, _tapes, _views

import_array()

Listener = _resting.Listener
require_bool = _arguments.require_bool
require_whole = _arguments.require_whole
require_wholes = _arguments.require_wholes
ORDER = _views.ORDER
EVENT = _tapes.EVENT
DELTA = _tapes.DELTA

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

cdef int64_t ORDERS_MAX = <int64_t>1 << 31     # a unit is named by 32 bits

cdef dtype message_dtype = MESSAGE, result_dtype = RESULT, fill_dtype = FILL

cdef ndarray as_batch(messages):
    found = getattr(messages, "dtype", None)
    if found != MESSAGE:
        raise TypeError(
            "'messages' must be of dtype MESSAGE "
            f"(got {found or type(messages).__name__}).")
    if messages.ndim != 1:
        raise TypeError(f"'messages' must have one axis (got {messages.ndim}).")
    return np.ascontiguousarray(messages)


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

    def __reduce_ex__(self, protocol):
        cdef State state = State()
        self.visit(state)
        return Books, (), state.told(protocol)

    def __setstate__(self, told):
        cdef State state = State.of(told)
        try:
            self.visit(state)
            state.finish()
        except BaseException:
            # Half of it is read: nothing of that may ever be freed.
            Py_INCREF(self)
            raise

    def set_self_trade(self, account, mode):
        """Set what an order of ``account`` does when it meets its own (SelfTrade)."""
        cdef int64_t number = bounded("account", account, 0, ACCOUNT_MAX)
        cdef int64_t new = whole("mode", mode)
        if not 0 <= new <= STP_DECREMENT:
            raise ValueError(f"'mode' must be a SelfTrade from 0 to 4 (got {new}).")
        self.owner(number).self_trade = <uint32_t>new

    # -- COMMANDS

    def process(self, messages):
        """Apply a batch in order; return one RESULT row a message, and the FILL rows.

        ``messages`` is a contiguous array of dtype MESSAGE. Other threads of Python
        run meanwhile, but must not touch these books: one thread per book.
        """
        cdef ndarray batch
        cdef int64_t before = self.n_fills
        # Asked this way because NumPy's own takes longer than 40 messages.
        if (type(messages) is ndarray and (<ndarray>messages).descr is message_dtype
                and (<ndarray>messages).ndim == 1
                and PyArray_IS_C_CONTIGUOUS(<ndarray>messages)):
            batch = messages
        else:
            batch = as_batch(messages)
        cdef ndarray results = new_rows(batch.shape[0], result_dtype)
        with nogil:
            self.run(<const Message*>PyArray_DATA(batch),
                     <Result*>PyArray_DATA(results), batch.shape[0])
        return results, self.fills_since(before)

    def limit(self, market, account, side, price, qty, tif=0, flags=0, cause=0, time=0,
              display=0, trigger=0):
        """Enter a limit order; return its id, or minus the Reason for refusing it."""
        cdef Message message = Message(
            whole("time", time), 0, whole("price", price), whole("qty", qty),
            whole("cause", cause), whole("display", display),
            whole32("market", market), whole32("account", account),
            whole32("trigger", trigger), LIMIT, whole8("side", side),
            whole8("tif", tif), whole8("flags", flags))
        return self.one(&message)

    def market(self, market, account, side, qty, protection=0, flags=0, cause=0,
               time=0, trigger=0):
        """Enter a market order; ``protection`` is the worst price it may trade at."""
        cdef Message message = Message(
            whole("time", time), 0, whole("protection", protection), whole("qty", qty),
            whole("cause", cause), 0, whole32("market", market),
            whole32("account", account), whole32("trigger", trigger), MARKET,
            whole8("side", side), IOC, whole8("flags", flags))
        return self.one(&message)

    def cancel(self, market, account, order_id):
        """Cancel an order; return the lots it had open, or minus the Reason."""
        cdef Message message = Message(
            0, whole("order_id", order_id), 0, 0, 0, 0, whole32("market", market),
            whole32("account", account), 0, CANCEL, 0, 0, 0)
        cdef Result result
        self.run(&message, &result, 1)
        return result.cancelled if result.accepted else -<int64_t>result.reason

    def cancel_all(self, account, market=-1, side=2):
        """Cancel the account's orders, newest first; return how many.

        O(its orders in every market, and those that have gone since the last
        cancel-all or `account_orders`).
        """
        cdef Message message = Message(
            0, 0, 0, 0, 0, 0, whole32("market", market), whole32("account", account),
            0, CANCEL_ALL, whole8("side", side), 0, 0)
        cdef Result result
        self.run(&message, &result, 1)
        return result.cancelled if result.accepted else -<int64_t>result.reason

    def replace(self, market, account, order_id, price, qty, trigger=0):
        """Give an order a new price and open lots; return its id, or minus the Reason.

        At the same price a quantity not above the old keeps the place in the queue.
        ``trigger`` is a new one for a dormant order, 0 for none.
        """
        cdef Message message = Message(
            0, whole("order_id", order_id), whole("price", price), whole("qty", qty),
            0, 0, whole32("market", market), whole32("account", account),
            whole32("trigger", trigger), REPLACE, 0, 0, 0)
        return self.one(&message)

    cdef int64_t one(self, const Message* message) noexcept nogil:
        cdef Result result
        self.run(message, &result, 1)
        return result.order_id if result.accepted else -<int64_t>result.reason

    def take_fills(self):
        """Return the fills of the calls since the last time, and forget them."""
        return self.fills_since(0)

    cdef object fills_since(self, int64_t n):
        cdef ndarray fills = new_rows(self.n_fills - n, fill_dtype)
        memcpy(PyArray_DATA(fills), &self.fills[n],
               (self.n_fills - n) * sizeof(Fill))
        self.n_fills = n
        return fills

    def reserve(self, orders, ids=0):
        """Make room for so many resting orders, and ids to come, ahead of time."""
        cdef int64_t resting = bounded("orders", orders, 0, ORDERS_MAX)
        cdef int64_t last = self.last_id + bounded("ids", ids, 0, ID_MAX - self.last_id)
        while self.n_free < resting - self.live_orders:
            self.grow_orders()
        if last >= self.ids_max:
            self.grow_ids(last)
