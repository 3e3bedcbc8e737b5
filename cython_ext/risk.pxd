# Valuation of accounts: equity, maintenance margin, health.  Behaviour is in risk.pyx.
from ._types cimport *
from .ledger cimport Account, Balance, Gate, Ledger, Position, Terms

ctypedef struct Valuation:       # of one account, USD
    double equity                # balances and unrealised profit at index, no haircut
    double adjusted              # with haircuts
    double maintenance           # of positions and borrowings
    double exposure              # |positions| + borrowings
    double open_adjusted         # adjusted, maintenance: if all resting orders filled
    double open_maintenance

cdef class Risk(Gate):
    cdef readonly Ledger ledger
    cdef public double order_health      # an order must leave at least this health
    cdef readonly int64_t refused        # orders refused by the gate
    cdef double[::1] index               # [asset] USD of an atom
    cdef double[::1] mark                # [market] USD of a lot
    cdef double[::1] mark_quote          # [market] quote atoms of a lot
    cdef int64_t[::1] collateral_at      # [asset] first tier; one more at the end
    cdef double[:, ::1] collateral       # [tier] floor, rate, cum
    cdef int64_t[::1] borrow_at
    cdef double[:, ::1] borrow
    cdef int64_t[::1] bracket_at         # [market]
    cdef double[:, ::1] bracket
    cdef readonly double negative        # multiplier of negative balances
    cdef uint8_t[::1] frozen             # [account] 1: in liquidation
    cdef object columns                  # what `revalue` fills

    # -- QUERIES
    cdef void value(self, int64_t account, Valuation* out) noexcept nogil
    cdef double bracketed(self, int32_t market, double usd) noexcept nogil
    cdef double collateralised(self, int32_t asset, double usd) noexcept nogil
    cdef double borrowed(self, int32_t asset, double usd) noexcept nogil
    cdef int check(self, const Message* message) noexcept nogil
    cdef bint owes_unpriced(self, const Message* message) noexcept nogil
    cdef double loss_at(self, const Message* message) noexcept nogil
    cdef int64_t likely_price(self, const Message* message) noexcept nogil
