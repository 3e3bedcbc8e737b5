"""What accounts are worth: the columns over all of them.

Ledger state is exact; what is computed here are valuations, in float64 US dollars.
``margin/reference.py`` says the same in plain Python.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memset

import numpy as np

from ._machine cimport prefetch

cdef enum:
    AHEAD = 8                    # accounts prefetched ahead
    BLOCK = 64                   # accounts that a pass takes by the number of rows
    SHAPES = 64                  # how many rows they can have, told roughly


cdef class Valuation(Worst):
    """The valuation of accounts."""

    def __dealloc__(self):
        free(self.order)

    @final
    cdef int prepare_columns(self) except -1:
        self.new_board(&self.columns_at)
        self.columns = np.zeros((5, 0))
        return 0

    cdef int visit(self, State state) except -1:
        Worst.visit(self, state)
        state.raw(&self.open_loss, sizeof(bint))
        state.raw(&self.skipping, sizeof(bint))
        if state.reading:
            # Made anew when they are asked for: they are larger than all else.
            self.prepare_columns()
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
        # What an account needs is fetched while the block before its own is worked on.
        # All that the loop reads is local: it would be read anew for every account.
        cdef const Account* accounts = self.ledger.accounts
        cdef const Account* block
        cdef const Account* ahead
        cdef const Account* owner
        cdef const int64_t* pool = self.ledger.pool
        cdef const uint8_t* turn
        cdef const uint8_t* end
        cdef double* column
        cdef int64_t first = SYSTEM_
        cdef bint anew = n != self.n_ordered
        cdef Board at = self.now
        cdef bint near = at.tiered and not self.ruled
        cdef Sums sums
        if anew:
            self.order = <uint8_t*>stretched(self.order, n)
            self.n_ordered = n
        self.n_passes += 1
        while first < n:
            turn = &self.order[first]
            end = turn + min(BLOCK, n - first)
            # Who has how many rows changes slowly.
            if anew or (first // BLOCK + self.n_passes) % 16 == 0:
                self.arrange(first, end - turn)
            block = &accounts[first]
            column = &out[first]
            ahead = &accounts[max(0, min(first + BLOCK, n - BLOCK))]
            while turn != end:
                prefetch(&pool[ahead.rows])
                prefetch(&pool[ahead.rows] + 8)
                ahead += 1
                owner = &block[turn[0]]
                if (near and likely(not owner.flags & (ORDERS | MIXED))
                        and likely(tally_near(owner, pool, &at, &sums))):
                    put(&sums, column, n, turn[0])
                else:
                    self.fill(first + turn[0], &self.now, out, n, first + turn[0])
                turn += 1
            first += BLOCK

    @final
    cdef void arrange(self, int64_t first, int64_t n) noexcept nogil:
        # Accounts of a block that have as many rows take their turns one after the
        # other: loops over rows then end where the processor guesses.
        cdef const Account* block = &self.ledger.accounts[first]
        cdef const Account* owner
        cdef int64_t i
        cdef int64_t at[SHAPES + 1]
        cdef uint8_t shape[BLOCK]
        memset(at, 0, sizeof(at))
        for i in range(n):
            owner = &block[i]
            shape[i] = <uint8_t>(
                min(owner.n_positions, 7) << 3 | min(owner.n_balances, 7))
            at[shape[i] + 1] += 1
        for i in range(SHAPES):
            at[i + 1] += at[i]
        for i in range(n):
            self.order[first + at[shape[i]]] = <uint8_t>i
            at[shape[i]] += 1

    # -- ACCOUNTS THAT ARE NOT AS THEY NEARLY ALWAYS ARE

    @final
    cdef Sums value_any(self, const Account* owner, const Board* at) noexcept nogil:
        cdef Sums out
        cdef double margin
        if self.ruled or owner.flags & MIXED:
            self.tally_any(owner, at, &out)
        else:
            out = tally(owner, self.ledger.pool, at)
        if self.ruled:
            out.margin += self.asked(owner, at, NONE)
        elif at.tiered:
            self.remember(owner, at)
        if owner.flags & ORDERS and self.open_loss:
            margin = out.margin
            self.settle(owner, at)
            self.lose(owner, at, 0, False, NULL, &out)
            out.margin = margin
        return out

    @final
    cdef void remember(self, const Account* owner, const Board* at) noexcept nogil:
        # The tiers that sizes are in.
        cdef Balance* balance = self.ledger.balances(owner)
        cdef Position* position = self.ledger.positions(owner)
        cdef const Market* market
        cdef const Asset* asset
        cdef int64_t i
        self.settle(owner, at)
        for i in range(owner.n_positions):
            market = &at.markets[position[i].market]
            position[i].tier = tier_of(
                &market.margin, at.rows,
                fabs(<double>position[i].lots) * market.mark * market.per)
        for i in range(owner.n_balances):
            asset = &at.assets[balance[i].asset]
            balance[i].tier = tier_of(
                &asset.collateral, at.rows, self.net[i] * asset.index)

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
