"""What a fleet of market makers sees: the prices it quotes round, and their falls.

All that lasts is in the arrays that are given. ``tests/falls_model.py`` says in NumPy
what this module does.
"""

from libc.math cimport isnan
from libc.stdint cimport int64_t, uint8_t

from numpy cimport (
    NPY_BOOL,
    NPY_DOUBLE,
    NPY_INT64,
    PyArray_DATA,
    PyArray_DIMS,
    PyArray_EMPTY,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_SIZE,
    PyArray_TYPE,
    import_array,
    ndarray,
    npy_intp,
)

import_array()


cdef void* data(ndarray given, int kind, npy_intp n) except NULL:
    # Views of so many arrays would take longer than what is done with them.
    assert PyArray_TYPE(given) == kind
    assert PyArray_IS_C_CONTIGUOUS(given)
    assert PyArray_SIZE(given) == n
    return PyArray_DATA(given)


cdef const double* floats(ndarray given, npy_intp n) except NULL:
    return <const double*>data(given, NPY_DOUBLE, n)


cdef const int64_t* integers(ndarray given, npy_intp n) except NULL:
    return <const int64_t*>data(given, NPY_INT64, n)


cdef uint8_t* flags(ndarray given, npy_intp n) except NULL:
    return <uint8_t*>data(given, NPY_BOOL, n)


# -- PRICES

def quoted_round(
    ndarray venue,
    ndarray markets,
    ndarray outside,
    ndarray middle,
    ndarray bid,
    ndarray ask,
    double weight,
    double share,
    double reach,
):
    """Return the price that is quoted round in each market, and take the middle in.

    It is ``weight`` of the price outside and the rest of ``venue``, an average of the
    book's middle that moves a ``share`` of the way to it: less where bid and ask are
    farther apart than ``reach``, a share of the bid, and not at all without one of
    them. All prices but ``venue`` are by market of the exchange. O(markets).
    """
    cdef npy_intp j, m, n = PyArray_SIZE(markets), every = PyArray_SIZE(middle)
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* fair = <double*>PyArray_DATA(found)
    cdef double* own = <double*>data(venue, NPY_DOUBLE, n)
    cdef const int64_t* number = integers(markets, n)
    cdef const double* elsewhere = floats(outside, every)
    cdef const double* between = floats(middle, every)
    cdef const double* bids = floats(bid, every)
    cdef const double* asks = floats(ask, every)
    cdef double apart, trust
    for j in range(n):
        m = number[j]
        assert 0 <= m < every
        if bids[m] > 0.0 and asks[m] > 0.0:
            apart = (asks[m] - bids[m]) / bids[m]
            trust = reach / (apart if apart > 1e-9 else 1e-9)
            trust = trust if trust < 1.0 else 1.0
            own[j] += share * trust * (between[m] - own[j])
        fair[j] = weight * elsewhere[m] + (1.0 - weight) * own[j]
    return found


def remembered(
    ndarray fairs, ndarray middles, npy_intp row, ndarray fair, ndarray markets,
    ndarray middle,
):
    """Write prices into a row of what is remembered, and return their range so far.

    ``fairs`` and ``middles`` are rows of the prices that were quoted round and of the
    books' middles, NaN where nothing is remembered yet; a book without a middle has the
    price that is quoted round. The range is a share of the highest. O(rows x markets).
    """
    cdef npy_intp i, j, m, n = PyArray_SIZE(markets), rows = PyArray_DIMS(fairs)[0]
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* out = <double*>PyArray_DATA(found)
    cdef double* price = <double*>data(fairs, NPY_DOUBLE, rows * n)
    cdef double* between = <double*>data(middles, NPY_DOUBLE, rows * n)
    cdef const double* now = floats(fair, n)
    cdef const int64_t* number = integers(markets, n)
    cdef const double* every = floats(middle, PyArray_SIZE(middle))
    cdef double high, low, one
    assert 0 <= row < rows
    for j in range(n):
        m = number[j]
        assert 0 <= m < PyArray_SIZE(middle)
        price[row * n + j] = high = low = now[j]
        between[row * n + j] = every[m] if every[m] > 0.0 else now[j]
        for i in range(rows):
            one = price[i * n + j]
            high = one if one > high else high
            low = one if one < low else low
        out[j] = (high - low) / high
    return found


# -- FALLS

def judged(
    ndarray fairs,
    ndarray middles,
    int64_t wakes,
    ndarray maker,
    ndarray column,
    ndarray since,
    ndarray calm,
    ndarray left,
    ndarray healthy,
    ndarray alive,
    ndarray most,
    double leave,
):
    """Return falls by pair of maker and book: how far, from whom, and where it is over.

    Four arrays: the fall, a share; who withdraws from it; who leaves, where it is above
    ``leave`` times the ``most`` that it bears (NaN: never); and where half of that is
    not reached. A pair that bids looks at the middle since it last came back, the
    others at the price to quote round. O(pairs x rows).
    """
    cdef npy_intp n = PyArray_SIZE(maker), rows = PyArray_DIMS(fairs)[0]
    cdef npy_intp books = PyArray_DIMS(fairs)[1], makers = PyArray_SIZE(healthy)
    cdef npy_intp p, k, c, last = (wakes - 1) % rows
    cdef ndarray falls = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef ndarray wilds = PyArray_EMPTY(1, &n, NPY_BOOL, 0)
    cdef ndarray leavers = PyArray_EMPTY(1, &n, NPY_BOOL, 0)
    cdef ndarray quiets = PyArray_EMPTY(1, &n, NPY_BOOL, 0)
    cdef double* fall = <double*>PyArray_DATA(falls)
    cdef uint8_t* wild = <uint8_t*>PyArray_DATA(wilds)
    cdef uint8_t* goes = <uint8_t*>PyArray_DATA(leavers)
    cdef uint8_t* quiet = <uint8_t*>PyArray_DATA(quiets)
    cdef const double* price = floats(fairs, rows * books)
    cdef const double* middle = floats(middles, rows * books)
    cdef const int64_t* whose = integers(maker, n)
    cdef const int64_t* where = integers(column, n)
    cdef const int64_t* back = integers(since, n)
    cdef const uint8_t* is_calm = flags(calm, n)
    cdef const uint8_t* has_left = flags(left, n)
    cdef const uint8_t* is_healthy = flags(healthy, makers)
    cdef const uint8_t* is_alive = flags(alive, makers)
    cdef const double* limit = floats(most, n)
    cdef double own
    cdef bint bids
    for p in range(n):
        k, c = whose[p], where[p]
        assert 0 <= k < makers and 0 <= c < books
        own = fallen(price + c, books, rows, last, rows)
        bids = is_calm[p] and is_healthy[k]
        fall[p] = own
        if bids:
            fall[p] = fallen(
                middle + c, books, rows, last, min(rows, wakes - back[p]))
        wild[p] = bids and is_alive[k] and fall[p] > limit[p]
        goes[p] = not has_left[p] and is_alive[k] and fall[p] > leave * limit[p]
        quiet[p] = own < 0.5 * limit[p]
    return falls, wilds, leavers, quiets


cdef inline double fallen(
    const double* price, npy_intp step, npy_intp rows, npy_intp last, npy_intp count
) noexcept nogil:
    # From the highest of the last ones to the last, as a share of it.
    cdef double high = price[last * step], one
    cdef npy_intp _, at = last
    for _ in range(1, count):
        at = at - 1 if at > 0 else rows - 1
        one = price[at * step]
        high = one if one > high or isnan(high) else high
    return 1.0 - price[last * step] / high


def returned(
    ndarray calm,
    ndarray left,
    ndarray size,
    ndarray since,
    ndarray wild,
    ndarray goes,
    ndarray quiet,
    ndarray draw,
    double hazard,
    double smaller,
    int64_t wakes,
):
    """Note who withdrew from a book or left it, and let come back whom chance lets.

    A pair comes back where its market is quiet and its draw below ``hazard``, with a
    size of ``smaller`` and from this wake on. O(pairs).
    """
    cdef npy_intp p, n = PyArray_SIZE(calm)
    cdef uint8_t* is_calm = flags(calm, n)
    cdef uint8_t* has_left = flags(left, n)
    cdef double* share = <double*>data(size, NPY_DOUBLE, n)
    cdef int64_t* begun = <int64_t*>data(since, NPY_INT64, n)
    cdef const uint8_t* is_wild = flags(wild, n)
    cdef const uint8_t* is_going = flags(goes, n)
    cdef const uint8_t* is_quiet = flags(quiet, n)
    cdef const double* chance = floats(draw, n)
    for p in range(n):
        if is_going[p]:
            has_left[p] = True
        if is_wild[p] or is_going[p]:
            is_calm[p] = False
        if (is_quiet[p] and not is_calm[p] and not is_wild[p]
                and chance[p] < hazard):
            share[p], begun[p] = smaller, wakes
            is_calm[p], has_left[p] = True, False


# -- PAIRS

def quoting(
    ndarray maker,
    ndarray column,
    ndarray size,
    ndarray factor,
    ndarray calm,
    ndarray left,
    ndarray healthy,
    ndarray gone,
    ndarray live,
):
    """Return by pair its size, whether it bids, and whether it is to be looked at.

    ``factor`` is by book, what makers are by maker. O(pairs).
    """
    cdef npy_intp n = PyArray_SIZE(maker), books = PyArray_SIZE(factor)
    cdef npy_intp p, k, makers = PyArray_SIZE(healthy)
    cdef ndarray sizes = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef ndarray bids = PyArray_EMPTY(1, &n, NPY_BOOL, 0)
    cdef ndarray looks = PyArray_EMPTY(1, &n, NPY_BOOL, 0)
    cdef double* share = <double*>PyArray_DATA(sizes)
    cdef uint8_t* bid = <uint8_t*>PyArray_DATA(bids)
    cdef uint8_t* look = <uint8_t*>PyArray_DATA(looks)
    cdef const int64_t* whose = integers(maker, n)
    cdef const int64_t* where = integers(column, n)
    cdef const double* own = floats(size, n)
    cdef const double* hot = floats(factor, books)
    cdef const uint8_t* is_calm = flags(calm, n)
    cdef const uint8_t* has_left = flags(left, n)
    cdef const uint8_t* is_healthy = flags(healthy, makers)
    cdef const uint8_t* is_gone = flags(gone, makers)
    cdef const uint8_t* is_live = flags(live, makers)
    for p in range(n):
        k = whose[p]
        assert 0 <= k < makers and 0 <= where[p] < books
        share[p] = 0.0 if has_left[p] or is_gone[k] else own[p] * hot[where[p]]
        bid[p] = is_calm[p] and is_healthy[k]
        look[p] = is_live[k]
    return sizes, bids, looks


def held(
    ndarray maker, ndarray column, ndarray perpetual, ndarray lots, ndarray atoms,
    ndarray lot, ndarray atom,
):
    """Return by pair the base units it holds: coins, or its perpetual position.

    ``lots`` and ``atoms`` are by maker and book, what one is worth by book. O(pairs).
    """
    cdef npy_intp n = PyArray_SIZE(maker), books = PyArray_SIZE(perpetual)
    cdef npy_intp p, c, at, cells = PyArray_SIZE(lots)
    cdef ndarray found = PyArray_EMPTY(1, &n, NPY_DOUBLE, 0)
    cdef double* out = <double*>PyArray_DATA(found)
    cdef const int64_t* whose = integers(maker, n)
    cdef const int64_t* where = integers(column, n)
    cdef const uint8_t* swap = flags(perpetual, books)
    cdef const int64_t* positions = integers(lots, cells)
    cdef const int64_t* balances = integers(atoms, cells)
    cdef const double* of_lot = floats(lot, books)
    cdef const double* of_atom = floats(atom, books)
    for p in range(n):
        c = where[p]
        at = whose[p] * books + c
        assert 0 <= c < books and 0 <= at < cells
        if swap[c]:
            out[p] = positions[at] * of_lot[c]
        else:
            out[p] = balances[at] * of_atom[c]
    return found
