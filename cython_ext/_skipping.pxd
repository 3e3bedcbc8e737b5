# Which accounts can have fallen below a threshold.  Behaviour is in _skipping.pyx.
from ._valuation cimport *

cdef enum:
    LEVELS = 62                  # an account is in one of these, or in none: never
    NEVER = 62
    MARKED = 128                 # beside the level: among the candidates

cdef class Skipping(Valuation):
    cdef double threshold        # the levels are for this health or less; 0: none yet
    cdef Board base              # prices the moves are measured from
    cdef double edges[LEVELS]    # least move that matters to accounts of a level
    cdef Holders members[LEVELS]
    cdef uint8_t* level          # [account]
    cdef uint32_t* place         # [account] in the members of its level
    cdef int64_t n_levelled      # accounts that have a level
    cdef int64_t seen            # number of the touched account they have come to
    cdef int64_t wasted          # accounts valued since, and not below
    cdef uint8_t* asset_level    # [asset] first level that its move does not matter to
    cdef uint8_t* market_level
    cdef double* swing           # [row] of the account at hand: its positions, atoms
    cdef double* gross
    cdef uint32_t* found         # candidates, then those below
    cdef double* found_health
    cdef readonly int64_t looked  # accounts that the last `below` valued
    cdef int64_t n_found
    cdef int64_t found_max

    # -- QUERIES
    cdef double reach(self, int64_t account) noexcept nogil
    cdef double position_slope(self, const Account* owner, bint* risky) noexcept nogil
    cdef double steep(self, const Asset* asset, double usd, double qty) noexcept nogil
    cdef int level_of(self, double reach) noexcept nogil
    cdef int level_of_move(self, double old, double new) noexcept nogil
    cdef int cut(self) noexcept nogil
    cdef int64_t bytes_of_levels(self) noexcept nogil

    # -- COMMANDS
    cdef int prepare(self) except -1
    cdef int visit(self, State state) except -1
    cdef void find(self, double threshold) noexcept nogil
    cdef void collect(self) noexcept nogil
    cdef void collect_holders(self, const Holders* holders, int above,
                              int below) noexcept nogil
    cdef void find_among_all(self, double threshold) noexcept nogil
    cdef inline void keep_if_below(self, int64_t account,
                                   double threshold) noexcept nogil
    cdef void keep_below(self, double threshold) noexcept nogil
    cdef void rebase(self, double threshold) noexcept nogil
    cdef void refresh(self) noexcept nogil
    cdef void enter(self, int64_t account, int level) noexcept nogil
    cdef void leave(self, int64_t account) noexcept nogil
    cdef void need(self, int64_t n) noexcept nogil
