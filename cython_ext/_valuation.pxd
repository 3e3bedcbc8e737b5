# What accounts are worth, and the columns over all of them.  Behaviour is in
# _valuation.pyx, but for the value of one account.
from ._worst cimport *

cdef class Valuation(Worst):
    cdef bint open_loss          # what filling all orders would lose counts
    cdef public bint skipping    # value only accounts whose value can have changed
    cdef object columns          # what `revalue` fills, (5, accounts)
    cdef Board columns_at        # prices they were filled at
    cdef int64_t columns_seen    # number of the touched account they have come to
    cdef uint8_t* order          # [account of a block] whose turn it is
    cdef int64_t n_ordered
    cdef int64_t n_passes

    # -- QUERIES
    cdef bint moved(self, const Board* old, int64_t asset) noexcept nogil
    cdef bint mark_moved(self, const Board* old, int64_t market) noexcept nogil
    cdef int64_t changed(self) noexcept nogil

    # -- COMMANDS
    cdef int prepare_columns(self) except -1
    cdef int visit(self, State state) except -1
    cdef void arrange(self, int64_t first, int64_t n) noexcept nogil
    cdef Sums value_any(self, const Account* owner, const Board* at) noexcept nogil
    cdef void remember(self, const Account* owner, const Board* at) noexcept nogil
    cdef void fill_all(self, double* out, int64_t n) noexcept nogil
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil

    cdef inline Sums value(self, int64_t account, const Board* at) noexcept nogil:
        # What resting orders would lose in collateral value counts now (open loss);
        # margin is of what is there.
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef Sums sums
        if (likely(at.tiered and not self.ruled and not owner.flags & MIXED
                   and not (owner.flags & ORDERS and self.open_loss))
                and likely(tally_near(owner, self.ledger.pool, at, &sums))):
            return sums
        return self.value_any(owner, at)

    cdef inline void fill(self, int64_t account, const Board* at, double* out,
                          int64_t n, int64_t row) noexcept nogil:
        cdef Sums sums = self.value(account, at)
        put(&sums, out, n, row)


cdef inline void put(const Sums* sums, double* out, int64_t n,
                     int64_t row) noexcept nogil:
    # One row of columns of length n.
    out[row] = sums.equity
    out[n + row] = sums.adjusted
    out[2 * n + row] = sums.margin
    out[3 * n + row] = sums.exposure
    out[4 * n + row] = health(sums.adjusted, sums.margin)
