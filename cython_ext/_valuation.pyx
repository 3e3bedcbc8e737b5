"""What accounts are worth: the columns over all of them.

Ledger state is exact; what is computed here are valuations, in float64 US dollars.
``margin/reference.py`` says the same in plain Python.
"""

from cython cimport final

import numpy as np

from ._machine cimport prefetch

cdef enum:
    AHEAD = 8                    # accounts prefetched ahead


cdef class Valuation(Worst):
    """The valuation of accounts."""

    @final
    cdef int prepare_columns(self) except -1:
        self.new_board(&self.columns_at)
        self.columns = np.zeros((5, 0))
        return 0

    # -- COLUMNS

    @final
    cdef bint moved(self, const Board* old, int64_t asset) noexcept nogil:
        return self.now.assets[asset].index != old.assets[asset].index

    @final
    cdef bint mark_moved(self, const Board* old, int64_t market) noexcept nogil:
        cdef const Market* new = &self.now.markets[market]
        return (new.mark != old.markets[market].mark
                or new.mark_quote != old.markets[market].mark_quote)

    @final
    cdef int64_t changed(self) noexcept nogil:
        # How many rows of the columns to fill anew, one at a time.
        cdef int64_t n = self.ledger.touched_base - self.columns_seen
        cdef int64_t i
        if n > 0:
            return self.ledger.n_accounts
        n += self.ledger.n_touched
        for i in range(self.ledger.n_assets):
            if self.moved(&self.columns_at, i):
                n += self.ledger.by_asset[i].n
        for i in range(self.ledger.n_markets):
            if self.mark_moved(&self.columns_at, i):
                n += self.ledger.by_market[i].n
        return n

    @final
    cdef void fill_all(self, double* out, int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t account
        for account in range(SYSTEM_, n):
            if account + AHEAD < n:
                prefetch(&pool[accounts[account + AHEAD].rows])
                prefetch(&pool[accounts[account + AHEAD].rows + 8])
            self.fill(account, &self.now, out, n, account)

    @final
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil:
        # Accounts that hold what was repriced, and those that changed.
        cdef int64_t i, account
        for i in range(self.ledger.n_assets):
            if self.moved(&self.columns_at, i):
                self.fill_holders(&self.ledger.by_asset[i], out, n)
        for i in range(self.ledger.n_markets):
            if self.mark_moved(&self.columns_at, i):
                self.fill_holders(&self.ledger.by_market[i], out, n)
        for i in range(self.columns_seen - self.ledger.touched_base,
                       self.ledger.n_touched):
            account = self.ledger.touched[i]
            if account >= SYSTEM_:
                self.fill(account, &self.now, out, n, account)

    @final
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t i
        for i in range(holders.n):
            if i + 2 * AHEAD < holders.n:
                prefetch(&accounts[holders.accounts[i + 2 * AHEAD]])
                prefetch(&pool[accounts[holders.accounts[i + AHEAD]].rows])
                prefetch(&pool[accounts[holders.accounts[i + AHEAD]].rows + 8])
            if holders.accounts[i] >= SYSTEM_:
                self.fill(holders.accounts[i], &self.now, out, n,
                          holders.accounts[i])
