# Who is deleveraged first.  Behaviour is in ranks.pyx.
from libc.math cimport fabs, floor
from libc.stdint cimport int64_t, uint32_t

from .risk cimport *

cdef enum:                       # what is ranked by
    LEVERAGE_PNL
    EFFECTIVE_LEVERAGE
    LEVERAGED_RETURN
    PRICE_RATIO
    LARGEST_FIRST
    BY_ACCOUNT
    OTHER                        # what Python says

ctypedef struct Candidate:       # margin/adl.py says what of each is meant
    int64_t account
    int64_t lots
    double notional
    double entry
    double bankruptcy
    double pnl
    double equity
    double wallet
    double maintenance

ctypedef struct Price:           # of a market
    double ticks                 # the mark in ticks
    double unit                  # quote atoms of a tick times a lot
    double worth                 # US dollars of a quote atom
    double mark                  # quote units
    double quote                 # US dollars of a quote unit
    double settled               # US dollars that a coin of margin comes to
    double tick                  # quote units
    double lot                   # base units

ctypedef struct Place:
    double score
    uint32_t account
    uint32_t since               # good unless the account has changed since

ctypedef struct Queue:           # a heap, the first on top
    Place* places
    int64_t n
    int64_t n_max
    bint open

cdef class Ranks:
    cdef Risk risk
    cdef object ranking
    cdef const Price* prices
    cdef object memory
    cdef Queue* queues           # [2 * market, or more by one for shorts]
    cdef uint32_t[::1] since     # [account] number of the last change
    cdef uint32_t changes
    cdef Place* popped
    cdef int64_t n_popped, popped_max
    cdef int kind, n_queues
    cdef readonly int64_t measured  # positions that were looked at

    # -- QUERIES
    cdef bint measure(self, int64_t account, int market, int side,
                      Candidate* out) noexcept nogil
    cdef double score(self, const Candidate* who, int market, int side) noexcept nogil
    cdef object asked(self, rows, int market, int side)

    # -- COMMANDS
    cdef Queue* opened(self, int market, int side) except NULL
    cdef void fetch(self, const Holders* holders, int64_t i) noexcept nogil
    cdef int fill_by_python(self, Queue* queue, const Holders* holders, int market,
                            int side) except -1
    cdef int take_up(self, int64_t account) except -1
    cdef int enter(self, int64_t account, int market, int side) except -1
    cdef void push(self, Queue* queue, Place place) noexcept nogil
    cdef bint pop(self, Queue* queue, Place* out) noexcept nogil
    cdef void keep(self, const Place* place) noexcept nogil
    cdef void put_back(self, Queue* queue) noexcept nogil


cdef inline int64_t abs64(int64_t number) noexcept nogil:
    return number if number >= 0 else -number


cdef inline int64_t affordable(const Candidate* who, double cost,
                               double most) noexcept nogil:
    # Lots that it can close: each costs US dollars, of which it spends no more than
    # so much of its equity. Of a price better than the mark, it can close all.
    if cost <= 0:
        return who.lots
    return min(who.lots, <int64_t>smaller(
        <double>who.lots, larger(who.equity, 0.0) * most / cost))


cdef inline double margin_usd(const Position* position, const Price* price,
                              const Market* market, const Row* rows) noexcept nogil:
    # Maintenance margin.
    cdef double lots = <double>abs64(position.lots)
    return amount(&market.margin, rows, lots * price.lot * price.mark, lots,
                  market.lot) * price.settled


cdef inline double profit_usd(const Position* position,
                              const Price* price) noexcept nogil:
    # Rounded down to an atom; exact as far as costs are. No float beyond is an int64.
    cdef double value = floor(<double>position.lots * price.ticks * price.unit)
    if fabs(value) < 2.0**62:
        return <double>(<int64_t>value - position.cost) * price.worth
    return (value - <double>position.cost) * price.worth
