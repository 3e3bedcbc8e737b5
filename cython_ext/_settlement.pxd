# How fills settle, and what resting orders hold.  Behaviour is in _settlement.pyx.
from ._rows cimport *
from ._types cimport *

ctypedef struct Terms:           # of a market
    int64_t base_unit            # base atoms of a lot
    int64_t quote_unit           # quote atoms of a tick times a lot
    int64_t maker_ppm            # fees, of the notional
    int64_t taker_ppm
    int64_t liquidation_ppm      # on top of the taker fee, to the insurance fund
    int32_t base
    int32_t quote
    int32_t perpetual

cdef enum:                       # the venue's own accounts
    EXTERNAL_ = 0
    FEES_ = 1
    INSURANCE_ = 2
    CLEARING_ = 3
    SYSTEM_ = 5

cdef extern from *:
    """
    #define FW_ATOMS_MAX ((int64_t)1 << 60)
    """
    const int64_t ATOMS_MAX "FW_ATOMS_MAX"    # of one order, deposit or position

cdef class Gate:
    # Says whether an account may place an order; 0 or the Reason not.
    cdef int check(self, const Message* message) noexcept nogil

cdef class Settlement(Rows):
    cdef public Gate gate
    cdef Terms* terms            # [market]

    # -- QUERIES
    cdef int64_t lots_of(self, int64_t account, int32_t market,
                         int leg) noexcept nogil
    cdef int known_account(self, int64_t account) except -1
    cdef int known_asset(self, int asset) except -1
    cdef int known_atoms(self, int64_t atoms) except -1
    cdef int known_market(self, int market) except -1
    cdef int known_perpetual(self, int market) except -1
    cdef int known_notional(self, int market, int64_t lots, int64_t price) except -1
    cdef int check_account(self, int64_t account, list lots, list cost) except -1

    # -- COMMANDS
    cdef int leg_in(self, int32_t market, int64_t account, int side,
                    int flags) noexcept nogil
    cdef Resting no_orders(self, int64_t account, int32_t market,
                           int leg) noexcept nogil
    cdef bint moves(self, int32_t asset, int64_t source, int64_t target,
                    int64_t atoms) noexcept nogil
    cdef int move_many(self, int asset, const int64_t[::1] source,
                       const int64_t[::1] target,
                       const int64_t[::1] atoms) except -1
    cdef int refuse_move(self, int asset, int64_t source, int64_t target,
                         int64_t atoms) except -1
    cdef void move(self, int32_t asset, int64_t source, int64_t target,
                   int64_t atoms) noexcept nogil
    cdef void add(self, int64_t* total, int64_t more) noexcept nogil
    cdef void trade_position(self, int64_t account, int32_t market, int leg,
                             int64_t lots, int64_t price) noexcept nogil
    cdef void take(self, int64_t account, int32_t market, int64_t lots,
                   int64_t price) noexcept nogil
    cdef int visit(self, State state) except -1
    cdef void charge(self, const Terms* terms, int64_t account, int64_t notional,
                     int64_t ppm, int64_t target) noexcept nogil


cdef inline int leg_of(const Account* owner, int side, int flags) noexcept nogil:
    # The leg an order trades: its own side's, or with REDUCE_ONLY the other.
    if not owner.flags & HEDGE:
        return NET
    return SHORT if (side == SELL) != (flags & REDUCE_ONLY != 0) else LONG
