"""Which trade moved each market, and which prices moved far enough to be logged.

All that lasts is in the arrays that are given. ``tests/engine/test_movers.py`` and
``tests/engine/test_pricing.py`` say in readable Python what this module does.
"""

from libc.math cimport ceil, fabs, floor, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport llabs

import numpy as np

from numpy cimport (
    NPY_DOUBLE,
    NPY_INT64,
    PyArray_DATA,
    PyArray_EMPTY,
    PyArray_SIZE,
    import_array,
    ndarray,
    npy_intp,
)

from ._types cimport Fill

import_array()

cdef extern from *:
    """
    enum { MARKET_MOVED = 0, OUTSIDE_MOVED = 1, INDEX_MOVED = 2 };
    """
    enum:
        MARKET_MOVED, OUTSIDE_MOVED, INDEX_MOVED

ctypedef packed struct Mover:      # one market; events are 0 before its first trade
    int64_t ticks                  # the last print
    int64_t start                  # the last print at the last look
    int64_t fall                   # ticks of the largest fall by one order since then
    int64_t fall_event             # its last fill, negative if quotes fell before it
    int64_t rise
    int64_t rise_event
    int64_t before                 # whom the last look blamed
    int64_t taker                  # the order that trades now
    int64_t first                  # price of its first fill
    int64_t price                  # of its last fill
    int64_t event                  # its last fill
    int64_t trades                 # whether one does

ctypedef packed struct Driver:     # as `indices` gives it
    int32_t asset
    int32_t driver
    double old
    double new
    double share
    uint8_t kind
    uint8_t pad[7]

MOVER = np.dtype([(name, "<i8") for name in (
    "ticks", "start", "fall", "fall_event", "rise", "rise_event", "before", "taker",
    "first", "price", "event", "trades",
)])


# -- MOVERS

def take(ndarray movers, ndarray fills, int64_t first):
    """Take the fills of a batch, whose events are in a row from ``first``.

    Fills of an order that follow each other in a market are one move. O(fills).
    """
    cdef Mover* mover = <Mover*>PyArray_DATA(movers)
    cdef Mover* own
    cdef Fill* fill = <Fill*>PyArray_DATA(fills)
    cdef Py_ssize_t i, n = PyArray_SIZE(fills)
    assert fills.flags.c_contiguous
    with nogil:
        for i in range(n):
            own = &mover[fill[i].market]
            if own.trades and own.taker != fill[i].taker_order:
                finish(own)
            if not own.trades:
                own.trades, own.taker = True, fill[i].taker_order
                own.first = fill[i].price
                if not own.before:
                    own.start = own.ticks = fill[i].price
            own.price, own.event = fill[i].price, first + i


def settle(ndarray movers):
    """Count the orders that traded last: others of the same number are new ones."""
    cdef Mover* mover = <Mover*>PyArray_DATA(movers)
    cdef Py_ssize_t m
    for m in range(PyArray_SIZE(movers)):
        if mover[m].trades:
            finish(&mover[m])


cdef void finish(Mover* own) noexcept nogil:
    cdef int64_t move = own.price - own.ticks, gap = own.first - own.ticks
    # Where the better part of a move lies between two orders, quotes had moved.
    cdef int64_t event = -own.event if 2 * llabs(gap) >= llabs(move) else own.event
    if not own.before:
        own.before = own.event
    if -move > own.fall:
        own.fall, own.fall_event = -move, event
    elif move > own.rise:
        own.rise, own.rise_event = move, event
    own.ticks, own.trades = own.price, False


def blamed(ndarray movers, const int64_t[::1] lowered, const int64_t[::1] raised):
    """Return the event that moved each market since the last look, else the last.

    ``lowered`` and ``raised`` are, by market, what quotes followed down and up, 0 for
    nothing: the order that met them is then to blame.
    """
    cdef Mover* mover = <Mover*>PyArray_DATA(movers)
    cdef npy_intp m, n = PyArray_SIZE(movers)
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef int64_t* out = <int64_t*>PyArray_DATA(found)
    for m in range(n):
        out[m] = blame(&mover[m], lowered[m], raised[m])
    return found


cdef inline int64_t blame(Mover* own, int64_t lowered, int64_t raised) noexcept nogil:
    if own.ticks == own.start:
        return own.before
    cdef int64_t event = own.fall_event
    if own.ticks > own.start:
        event, lowered = own.rise_event, raised
    if event < 0:
        return lowered if lowered else -event
    return event


def look(ndarray movers, const int64_t[::1] lowered, const int64_t[::1] raised):
    """Measure moves anew from here; the rest as of `blamed`."""
    cdef Mover* mover = <Mover*>PyArray_DATA(movers)
    cdef Py_ssize_t m
    for m in range(PyArray_SIZE(movers)):
        mover[m].before = blame(&mover[m], lowered[m], raised[m])
        mover[m].start = mover[m].ticks
        mover[m].fall = mover[m].rise = 0


# -- PRICES

def best(ndarray top, const double[::1] tick, double none):
    """Return bid, ask and last price of each market, ``none`` where there is none.

    ``top`` is that of `Books`. O(markets).
    """
    cdef npy_intp m, n = tick.shape[0]
    cdef const int64_t* row = <const int64_t*>PyArray_DATA(top)
    cdef ndarray bids = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef ndarray asks = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef ndarray lasts = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* bid = <double*>PyArray_DATA(bids)
    cdef double* ask = <double*>PyArray_DATA(asks)
    cdef double* last = <double*>PyArray_DATA(lasts)
    assert top.flags.c_contiguous and PyArray_SIZE(top) == 5 * n
    for m in range(n):
        bid[m] = row[5 * m] * tick[m] if row[5 * m] > 0 else none
        ask[m] = row[5 * m + 2] * tick[m] if row[5 * m + 2] > 0 else none
        last[m] = row[5 * m + 4] * tick[m] if row[5 * m + 4] > 0 else none
    return bids, asks, lasts


def limits(const double[:, ::1] prices, const double[::1] tick, bint up):
    """Return prices in whole ticks, rounded up or down, 0 where there is none.

    A column of ``prices`` is of one market; int64, row after row. O(prices).
    """
    cdef npy_intp i, j, k = 0, n = prices.shape[0] * prices.shape[1]
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef int64_t* out = <int64_t*>PyArray_DATA(found)
    cdef double ticks
    for i in range(prices.shape[0]):
        for j in range(prices.shape[1]):
            ticks = prices[i, j] / tick[j]
            if isnan(ticks):
                ticks = 0.0
            out[k] = <int64_t>(ceil(ticks) if up else floor(ticks))
            k += 1
    return found


def worth(
    const int64_t[:, ::1] volume,
    const int64_t[::1] limit,
    const double[::1] tick,
    const double[::1] lot,
    const double[::1] usd,
):
    """Return US dollars of what `Books.volume_within` found down to limits.

    ``limit`` is row after row of markets, as `limits` has it; 0 is none, and nothing is
    there. ``tick``, ``lot`` and ``usd``, of their quote asset, are by market.
    """
    cdef npy_intp i, m, n = limit.shape[0], markets = tick.shape[0]
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* out = <double*>PyArray_DATA(found)
    if markets == 0:
        return np.zeros((1, 0))
    assert volume.shape[0] == n and n % markets == 0
    for i in range(n):
        m = i % markets
        out[i] = 0.0
        if limit[i] > 0 and not isnan(usd[m]):
            out[i] = volume[i, 1] * tick[m] * lot[m] * usd[m]
    return found.reshape(n // markets, markets)


def lost(
    const int64_t[:, ::1] atoms,
    const double[::1] fall,
    const double[::1] atom,
    const int64_t[::1] place,
    const int64_t[::1] begin,
):
    """Return what falls of coins took from each account, US dollars.

    ``atoms`` are by account and coin, ``fall`` US dollars of a unit of each. Of the
    coins those count that ``place`` names for an account: from its number in ``begin``
    to the next. O(accounts + places).
    """
    cdef npy_intp i, k, n = atoms.shape[0]
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* out = <double*>PyArray_DATA(found)
    assert begin.shape[0] == n + 1 and begin[n] == place.shape[0]
    assert fall.shape[0] == atom.shape[0] == atoms.shape[1]
    for k in range(n):
        out[k] = 0.0
        for i in range(begin[k], begin[k + 1]):
            assert 0 <= place[i] < fall.shape[0]
            # Atom by atom in a row: the figures are those of any machine.
            out[k] += atoms[k, place[i]] * (fall[place[i]] * atom[place[i]])
    return found


# -- WHAT IS LOGGED

def index_moves(
    ndarray drivers,
    double[::1] logged,
    double share,
    int64_t next_id,
    int64_t rule_event,
    const int64_t[::1] outside_event,
    const int64_t[::1] market_event,
    int64_t[::1] index_event,
):
    """Find indices that moved by a share since they were logged; log them as such.

    Return the rows of ``drivers`` that did, cause and old price of each. They get the
    events from ``next_id`` on: the event of an index that drives another comes before
    it if it is logged. ``market_event`` is by input of the indices. O(drivers).
    """
    cdef Driver* row = <Driver*>PyArray_DATA(drivers)
    cdef npy_intp i, k = 0, n = PyArray_SIZE(drivers)
    cdef ndarray rows = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef ndarray causes = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef ndarray olds = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef int64_t* moved = <int64_t*>PyArray_DATA(rows)
    cdef int64_t* cause = <int64_t*>PyArray_DATA(causes)
    cdef double* old = <double*>PyArray_DATA(olds)
    for i in range(n):
        old[k] = logged[row[i].asset]
        if fabs(row[i].new - old[k]) < share * old[k]:
            continue
        cause[k] = rule_event
        if row[i].kind == MARKET_MOVED:
            cause[k] = market_event[row[i].driver]
        elif row[i].kind == OUTSIDE_MOVED:
            cause[k] = outside_event[row[i].driver]
        elif row[i].kind == INDEX_MOVED:
            cause[k] = index_event[row[i].driver]
        logged[row[i].asset] = row[i].new
        index_event[row[i].asset] = next_id + k
        moved[k] = i
        k += 1
    return rows[:k], causes[:k], olds[:k]


def mark_moves(
    const double[::1] mark,
    double[::1] logged,
    double share,
    int64_t next_id,
    int64_t[::1] mark_event,
):
    """Find marks that moved by a share since they were logged; log them as such.

    Return the markets and the old price of each, which get the events from ``next_id``
    on. The first price is no move. O(markets).
    """
    cdef npy_intp m, k = 0, n = mark.shape[0]
    cdef ndarray markets = PyArray_EMPTY(1, &n, NPY_INT64, 0)
    cdef ndarray olds = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef int64_t* moved = <int64_t*>PyArray_DATA(markets)
    cdef double* old = <double*>PyArray_DATA(olds)
    for m in range(n):
        if fabs(mark[m] - logged[m]) >= share * logged[m]:
            mark_event[m] = next_id + k
            moved[k], old[k] = m, logged[m]
            logged[m] = mark[m]
            k += 1
        elif isnan(logged[m]):
            logged[m] = mark[m]
    return markets[:k], olds[:k]
