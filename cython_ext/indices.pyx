"""Indices of assets from last prices and prices outside, and what moved each.

All that lasts is in the arrays that are given. ``tests/indices_model.py`` says in
readable Python what this module does.
"""

from libc.math cimport fmax, fmin, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np

from numpy cimport PyArray_DATA, import_array, ndarray

import_array()

cdef extern from *:
    """
    enum { OUTSIDE = 1, INDEX = 2, RULE = 3 };
    """
    enum:
        OUTSIDE, INDEX, RULE       # what moved an index; a market is 0

ctypedef packed struct Row:        # one asset
    int32_t first                  # of its terms, in a row
    int32_t terms
    double low                     # share of the last index that a move may go down to
    double high                    # ... and up to
    double floor                   # US dollars
    double old                     # index before the last update
    double new                     # and after it
    uint8_t fresh                  # has a rule that was not updated yet
    uint8_t replaced               # got its rule with the last update
    uint8_t pad[6]

ctypedef packed struct Term:       # weight × coefficient × input × index of a factor
    double weight
    double coefficient
    int32_t source                 # number of the input
    int32_t factor                 # number of the asset
    uint8_t inverse                # 1 / input
    uint8_t pad[7]
    double share                   # the weight it had, of those that had a price
    double price
    double rate                    # index of the factor
    double own                     # what the input moved of the asset's index
    double through                 # and what the factor did
    double own_pending             # what of that a band or floor holds back
    double through_pending

ctypedef packed struct Driver:
    int32_t asset
    int32_t driver
    double old
    double new
    double share
    uint8_t kind
    uint8_t pad[7]

ROW = np.dtype([
    ("first", "<i4"), ("terms", "<i4"), ("low", "<f8"), ("high", "<f8"),
    ("floor", "<f8"), ("old", "<f8"), ("new", "<f8"), ("fresh", "u1"),
    ("replaced", "u1"), ("pad", "V6"),
])
TERM = np.dtype([
    ("weight", "<f8"), ("coefficient", "<f8"), ("source", "<i4"), ("factor", "<i4"),
    ("inverse", "u1"), ("pad", "V7"), ("share", "<f8"), ("price", "<f8"),
    ("rate", "<f8"), ("own", "<f8"), ("through", "<f8"), ("own_pending", "<f8"),
    ("through_pending", "<f8"),
])
DRIVER = np.dtype([
    ("asset", "<i4"), ("driver", "<i4"), ("old", "<f8"), ("new", "<f8"),
    ("share", "<f8"), ("kind", "u1"), ("pad", "V7"),
])


# -- COMMANDS

def update(
    ndarray rows,
    ndarray terms,
    const int64_t[::1] order,
    const double[::1] inputs,
    double[::1] index,
):
    """Compute all indices anew, in the order in which one needs the other.

    The last of ``index`` is what no factor stands for, 1. O(terms).
    """
    # To look at a structured array by a view takes longer than all that follows.
    cdef Row* row = <Row*>PyArray_DATA(rows)
    cdef Term* term = <Term*>PyArray_DATA(terms)
    cdef Py_ssize_t i
    cdef int64_t asset
    with nogil:
        for i in range(order.shape[0]):
            asset = order[i]
            price_of(&row[asset], &term[row[asset].first], &inputs[0], &index[0], asset)


cdef void price_of(Row* row, Term* term, const double* inputs, double* index,
                   int64_t asset) noexcept nogil:
    cdef double total = 0.0, value = 0.0, price, worth, weight
    cdef int j
    row.old = index[asset]
    for j in range(row.terms):
        price = given(&term[j], inputs)
        if price * index[term[j].factor] > 0.0:
            total += term[j].weight
    row.replaced = row.fresh and total > 0.0
    if not total > 0.0:
        # Without any price the index stays, and so does what moved it.
        row.new = row.old
        for j in range(row.terms):
            held_back(row, &term[j], 0.0, 0.0)
        return
    for j in range(row.terms):
        price = given(&term[j], inputs)
        worth = price * index[term[j].factor]
        weight = term[j].weight / total if worth > 0.0 else 0.0
        if worth > 0.0:
            value += weight * worth
        move(row, &term[j], weight, price, index[term[j].factor])
    row.fresh = False
    index[asset] = row.new = max_of(
        fmin(fmax(value, row.old * row.low), row.old * row.high), row.floor)
    let_go(row, term, value)


cdef inline double given(Term* term, const double* inputs) noexcept nogil:
    cdef double price = term.coefficient * inputs[term.source]
    return 1.0 / price if term.inverse and price > 0.0 else price


cdef inline double max_of(double a, double b) noexcept nogil:
    return a if a >= b else b


# A move of price × rate is split between the two by the mean of old and new.
cdef void move(Row* row, Term* term, double share, double price,
               double rate) noexcept nogil:
    cdef double own, through = 0.0, mean
    if not share > 0.0:
        price = rate = 0.0
    mean = 0.5 * (share * price + term.share * term.price)
    if share > 0.0 and term.share > 0.0:
        through = mean * (rate - term.rate)
    own = share * price * rate
    own -= term.share * term.price * term.rate + through
    term.share, term.price, term.rate = share, price, rate
    held_back(row, term, own, through)


cdef void held_back(Row* row, Term* term, double own, double through) noexcept nogil:
    if row.fresh or isnan(row.old):
        term.own = term.through = 0.0
    else:
        term.own = term.own_pending + own
        term.through = term.through_pending + through
    term.own_pending, term.through_pending = term.own, term.through


# The sum of what is pending is how far the rule is ahead of the index; what the index
# moved is taken off all its causes alike.
cdef void let_go(Row* row, Term* term, double value) noexcept nogil:
    cdef double ahead = pulled(row, term), left = 1.0
    cdef int j
    if ahead != 0.0:
        # A floor above the first price was no move, so it may leave more than all.
        left = fmin(fmax((value - row.new) / ahead, 0.0), 1.0)
    for j in range(row.terms):
        term[j].own_pending = term[j].own * left
        term[j].through_pending = term[j].through * left


cdef double pulled(Row* row, Term* term) noexcept nogil:
    cdef double total = 0.0
    cdef int j
    for j in range(row.terms):
        total += term[j].own
    for j in range(row.terms):
        total += term[j].through
    return total


# -- QUERIES

def drivers(ndarray rows, ndarray terms, int64_t markets):
    """What moved each index most in the last update: DRIVER rows, assets ascending.

    Inputs up to ``markets`` are last prices of those, the next ones prices outside.
    """
    cdef Row* row = <Row*>PyArray_DATA(rows)
    cdef Term* term = <Term*>PyArray_DATA(terms)
    cdef Py_ssize_t i, n = 0, assets = len(rows)
    found = np.zeros(assets, DRIVER)
    cdef Driver* out = <Driver*>PyArray_DATA(<ndarray>found)
    with nogil:
        for i in range(assets):
            if row[i].new != row[i].old and not isnan(row[i].old):
                blame(&out[n], &row[i], &term[row[i].first], markets, <int32_t>i)
                n += 1
    return found[:n]


cdef void blame(Driver* found, Row* row, Term* term, int64_t markets,
                int32_t asset) noexcept nogil:
    cdef double total = pulled(row, term), way = 1.0 if row.new > row.old else -1.0
    cdef double pull, most = 0.0
    cdef int j, best = 0
    cdef bint through = False
    for j in range(row.terms):
        if j == 0 or term[j].own * way > most:
            most, best = term[j].own * way, j
    for j in range(row.terms):
        if term[j].through * way > most:
            most, best, through = term[j].through * way, j, True
    found.asset, found.old, found.new = asset, row.old, row.new
    if row.replaced or total == 0.0:
        found.kind, found.driver, found.share = RULE, asset, 1.0
        return
    pull = term[best].through if through else term[best].own
    found.share = pull / total
    if through:
        found.kind, found.driver = INDEX, term[best].factor
    elif term[best].source < markets:
        found.driver = term[best].source
    else:
        found.kind, found.driver = OUTSIDE, term[best].source - <int32_t>markets
