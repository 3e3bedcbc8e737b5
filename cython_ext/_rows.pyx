"""Where the ledger keeps what accounts hold: rows in blocks, and who holds what.

An account's balances and positions lie in one block of a pool, in the order they came;
a full block is left for a larger one. When the pool is full of left blocks it is laid
anew in the order of accounts, so that whoever values all of them reads memory from one
end to the other. What resting orders would change lies beside, for those who have any.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ._machine cimport arena, free_arena

cdef extern from *:
    """
    #define fw_add(a, b, out) __builtin_add_overflow((a), (b), (out))
    """
    bint add_overflows "fw_add"(int64_t a, int64_t b, int64_t* out) noexcept nogil


cdef class Rows(Listener):
    """Accounts and their rows; what the rows mean is the ledger's affair."""

    def __cinit__(self):
        self.accounts_max = 64
        self.accounts = <Account*>arena(NULL, 0, self.accounts_max * sizeof(Account))
        # Word 0 is nobody's: 0 says that an account has no Open rows.
        self.pool_max = 1024
        self.pool = <int64_t*>arena(NULL, 0, self.pool_max * sizeof(int64_t))
        self.pool_used = 1
        self.touched_max = 64
        self.touched = <uint32_t*>stretched(NULL, self.touched_max * sizeof(uint32_t))

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_assets):
            free(self.by_asset[i].accounts)
        for i in range(self.n_markets):
            free(self.by_market[i].accounts)
        free(self.by_asset)
        free(self.by_market)
        free_arena(self.accounts, self.accounts_max * sizeof(Account))
        free_arena(self.pool, self.pool_max * sizeof(int64_t))
        free(self.touched)

    @final
    cdef void add_accounts(self, int64_t count) noexcept nogil:
        cdef int64_t old = self.accounts_max
        if self.n_accounts + count > old:
            while self.accounts_max < self.n_accounts + count:
                self.accounts_max *= 2
            self.accounts = <Account*>arena(
                self.accounts, old * sizeof(Account),
                self.accounts_max * sizeof(Account))
        memset(&self.accounts[self.n_accounts], 0, count * sizeof(Account))
        self.n_accounts += count

    # -- ROWS

    @final
    cdef int balance_row(self, int64_t account, int32_t asset) noexcept nogil:
        # The row, added if the account has none.
        cdef int row = self.find_balance(account, asset)
        cdef Account* owner = &self.accounts[account]
        if row >= 0:
            return row
        if owner.spare_balances == 0:
            self.lay(account, room(owner.n_balances), owner.spare_positions,
                     owner.open != 0)
        row = owner.n_balances
        self.balances(owner)[row] = Balance(0, asset, 0)
        owner.n_balances += 1
        owner.spare_balances -= 1
        self.hold(&self.by_asset[asset], account)
        return row

    @final
    cdef int position_row(self, int64_t account, int32_t market, int leg,
                          int32_t quote) noexcept nogil:
        # The row, added if the account has none; it is settled in a balance.
        cdef int row = self.find_position(account, market, leg)
        cdef Account* owner = &self.accounts[account]
        cdef Position* rows
        cdef int settle, i, other = -1
        if row >= 0:
            return row
        settle = self.balance_row(account, quote)
        if owner.spare_positions == 0:
            self.lay(account, owner.spare_balances, room(owner.n_positions),
                     owner.open != 0)
        rows = self.positions(owner)
        row = owner.n_positions
        for i in range(row):
            if rows[i].market == market:
                other = i
        rows[row] = Position(
            0, 0, <uint16_t>market, <uint16_t>settle,
            rows[other].leverage if other >= 0 else 0, <uint8_t>leg, 0)
        owner.n_positions += 1
        owner.spare_positions -= 1
        if other < 0:
            self.hold(&self.by_market[market], account)
        return row

    @final
    cdef Open* open_row(self, int64_t account, int row) noexcept nogil:
        # Of a balance; a position's is as many rows on as the block holds balances.
        cdef Account* owner = &self.accounts[account]
        if owner.open == 0:
            self.lay(account, owner.spare_balances, owner.spare_positions, True)
        return self.open_balances(owner) + row

    @final
    cdef void reserve(self, int64_t account, int64_t* total,
                      int64_t more) noexcept nogil:
        # Add to one figure of an Open row, and keep count of those that are not zero.
        cdef Account* owner = &self.accounts[account]
        cdef Open* live = self.open_balances(owner) - 1
        live.out -= total[0] != 0
        if add_overflows(total[0], more, total):
            self.overflowed = True
        live.out += total[0] != 0
        if live.out:
            owner.flags |= ORDERS
        else:
            owner.flags &= <uint8_t>~ORDERS

    @final
    cdef void hold(self, Holders* holders, int64_t account) noexcept nogil:
        if holders.n == holders.n_max:
            holders.n_max = 2 * holders.n_max if holders.n_max else 4
            holders.accounts = <uint32_t*>stretched(
                holders.accounts, holders.n_max * sizeof(uint32_t))
        holders.accounts[holders.n] = <uint32_t>account
        holders.n += 1

    # -- BLOCKS

    @final
    cdef int64_t words(self, const Account* owner) noexcept nogil:
        # Of the account's block and its Open rows.
        cdef int64_t balances = <int64_t>owner.n_balances + owner.spare_balances
        cdef int64_t positions = <int64_t>owner.n_positions + owner.spare_positions
        cdef int64_t words = BALANCE_WORDS * balances + POSITION_WORDS * positions
        if owner.open:
            words += OPEN_WORDS * (1 + balances + positions)
        return words

    @final
    cdef void lay(self, int64_t account, int spare_balances, int spare_positions,
                  bint open) noexcept nogil:
        # Give the account a new block with so many free rows.
        cdef Account* owner = &self.accounts[account]
        cdef Account new = owner[0]
        cdef int64_t at
        new.spare_balances = <uint8_t>spare_balances
        new.spare_positions = <uint8_t>spare_positions
        new.open = open
        at = self.allocate(self.words(&new))
        # The pool may have been laid anew: the old block is wherever it is now.
        self.pool_dead += self.words(owner)
        self.move_block(&new, self.pool, at, owner, self.pool)
        owner[0] = new

    @final
    cdef void move_block(self, Account* owner, int64_t* target, int64_t at,
                         const Account* old, const int64_t* source) noexcept nogil:
        # Copy rows to a block at ``at``, laid out as ``owner`` says.
        cdef int64_t balances = <int64_t>owner.n_balances + owner.spare_balances
        cdef int64_t positions = <int64_t>owner.n_positions + owner.spare_positions
        cdef int64_t old_balances = <int64_t>old.n_balances + old.spare_balances
        cdef Open* rows
        cdef const Open* old_rows
        memcpy(&target[at], &source[old.rows], old.n_balances * sizeof(Balance))
        memcpy(&target[at + BALANCE_WORDS * balances],
               &source[old.rows + BALANCE_WORDS * old_balances],
               old.n_positions * sizeof(Position))
        owner.rows = <uint32_t>at
        if not owner.open:
            return
        at += BALANCE_WORDS * balances + POSITION_WORDS * positions
        owner.open = <uint32_t>at
        memset(&target[at], 0, (1 + balances + positions) * sizeof(Open))
        if not old.open:
            return
        rows = <Open*>&target[at]
        old_rows = <const Open*>&source[old.open]
        memcpy(rows, old_rows, (1 + <int64_t>old.n_balances) * sizeof(Open))
        memcpy(rows + 1 + balances, old_rows + 1 + old_balances,
               old.n_positions * sizeof(Open))

    @final
    cdef int64_t allocate(self, int64_t words) noexcept nogil:
        cdef int64_t at, old = self.pool_max
        if self.pool_used + words > old:
            if 2 * self.pool_dead > self.pool_used:
                self.repack(self.pool_used // 2 + words, False)
            else:
                while self.pool_used + words > self.pool_max:
                    self.pool_max *= 2
                self.pool = <int64_t*>arena(
                    self.pool, old * sizeof(int64_t), self.pool_max * sizeof(int64_t))
        at = self.pool_used
        self.pool_used += words
        return at

    @final
    cdef void repack(self, int64_t room, bint tight) noexcept nogil:
        # Lay all blocks in the order of accounts, with ``room`` words to spare.
        cdef int64_t account, at = 1, old = self.pool_max
        cdef Account* owner
        cdef Account new
        cdef int64_t* pool
        if tight:
            self.pool_max = 1 + room
            for account in range(self.n_accounts):
                new = self.accounts[account]
                new.spare_balances = new.spare_positions = 0
                self.pool_max += self.words(&new)
        else:
            self.pool_max = self.pool_used - self.pool_dead + room
        pool = <int64_t*>arena(NULL, 0, self.pool_max * sizeof(int64_t))
        for account in range(self.n_accounts):
            owner = &self.accounts[account]
            new = owner[0]
            if tight:
                new.spare_balances = new.spare_positions = 0
            self.move_block(&new, pool, at, owner, self.pool)
            owner[0] = new
            at += self.words(owner)
        free_arena(self.pool, old * sizeof(int64_t))
        self.pool = pool
        self.pool_used = at
        self.pool_dead = 0

    @final
    cdef void tighten(self) noexcept nogil:
        # All memory without slack.
        cdef int i
        cdef Account* accounts = self.accounts
        self.repack(0, True)
        self.accounts = <Account*>arena(NULL, 0, self.n_accounts * sizeof(Account))
        memcpy(self.accounts, accounts, self.n_accounts * sizeof(Account))
        free_arena(accounts, self.accounts_max * sizeof(Account))
        self.accounts_max = self.n_accounts
        for i in range(self.n_assets):
            shrink(&self.by_asset[i])
        for i in range(self.n_markets):
            shrink(&self.by_market[i])

    @final
    cdef int64_t bytes(self) noexcept nogil:
        cdef int64_t total = (
            self.accounts_max * <int64_t>sizeof(Account)
            + self.pool_max * <int64_t>sizeof(int64_t)
            + self.touched_max * <int64_t>sizeof(uint32_t)
            + (self.n_assets + self.n_markets) * <int64_t>sizeof(Holders))
        cdef int i
        for i in range(self.n_assets):
            total += self.by_asset[i].n_max * <int64_t>sizeof(uint32_t)
        for i in range(self.n_markets):
            total += self.by_market[i].n_max * <int64_t>sizeof(uint32_t)
        return total

    # -- WHO CHANGED

    @final
    cdef void note(self, int64_t account) noexcept nogil:
        # Readers remember up to which number they have read.  The list may not grow
        # with time: a reader that comes after it was cut has to read all accounts.
        if self.n_touched == self.touched_max:
            if self.touched_max > 4096 + self.n_accounts // 4:
                self.forget(self.n_touched)
            else:
                self.touched_max *= 2
                self.touched = <uint32_t*>stretched(
                    self.touched, self.touched_max * sizeof(uint32_t))
        self.accounts[account].flags |= TOUCHED
        self.touched[self.n_touched] = <uint32_t>account
        self.n_touched += 1

    @final
    cdef void forget(self, int64_t n) noexcept nogil:
        # Cut all n entries off.
        cdef int64_t i
        for i in range(self.touched_open, n):
            self.accounts[self.touched[i]].flags &= <uint8_t>~TOUCHED
        self.touched_base += n
        self.touched_open = self.n_touched = 0

    @final
    cdef int64_t close_touched(self) noexcept nogil:
        # From here on the same accounts are listed anew; return the number reached,
        # by a reader that has read them all.
        cdef int64_t i, reached = self.touched_base + self.n_touched
        if self.n_touched > 2048 + self.n_accounts // 8:
            self.forget(self.n_touched)
            return reached
        for i in range(self.touched_open, self.n_touched):
            self.accounts[self.touched[i]].flags &= <uint8_t>~TOUCHED
        self.touched_open = self.n_touched
        return reached

    # -- CHECKS

    @final
    cdef int check_index(self) except -1:
        # Holders are the accounts with a row, each once; so are touched accounts.
        cdef int64_t i, words = 1
        cdef int k
        cdef const Account* owner
        have = [set() for _ in range(self.n_assets)]
        hold = [set() for _ in range(self.n_markets)]
        for i in range(self.n_accounts):
            owner = &self.accounts[i]
            words += self.words(owner)
            for k in range(owner.n_balances):
                have[self.balances(owner)[k].asset].add(i)
            for k in range(owner.n_positions):
                hold[self.positions(owner)[k].market].add(i)
        for k in range(self.n_assets):
            assert listed(&self.by_asset[k]) == sorted(have[k])
        for k in range(self.n_markets):
            assert listed(&self.by_market[k]) == sorted(hold[k])
        assert words + self.pool_dead == self.pool_used <= self.pool_max
        flagged = [i for i in range(self.n_accounts)
                   if self.accounts[i].flags & TOUCHED]
        assert flagged == sorted(
            [self.touched[i] for i in range(self.touched_open, self.n_touched)])
        return 0


cdef inline int room(int rows) noexcept nogil:
    # Half as many again, so that a row is copied a bounded number of times.
    return 255 if rows > 508 else rows // 2 + 1


cdef list listed(const Holders* holders):
    cdef int64_t i
    return sorted([holders.accounts[i] for i in range(holders.n)])


cdef void shrink(Holders* holders) noexcept nogil:
    # Realloc to nothing may free: a list keeps room for one.
    holders.n_max = holders.n if holders.n else 1
    holders.accounts = <uint32_t*>stretched(
        holders.accounts, holders.n_max * sizeof(uint32_t))
