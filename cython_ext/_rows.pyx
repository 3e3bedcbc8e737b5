"""Where the ledger keeps what accounts hold: rows in blocks, and who holds what.

An account's balances and positions lie in one block of a pool, in the order they came;
a full block is left for a larger one. When the pool is full of left blocks it is laid
anew in the order of accounts, so that whoever values all of them reads memory from one
end to the other. What resting orders would trade lies in a block of its own, for those
who have any.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ._machine cimport arena, free_arena, free_sparse, grown, sparse

cdef enum:
    NOWHERE = 0xFFFF             # more rows than an account has


cdef class Rows(Listener):
    """Accounts and their rows; what the rows mean is the ledger's affair."""

    def __cinit__(self):
        self.accounts_max = 64
        self.accounts = <Account*>arena(NULL, 0, self.accounts_max * sizeof(Account))
        # Word 0 is nobody's: 0 says that an account has no block of Resting rows.
        self.pool_max = 1024
        self.pool = <int64_t*>arena(NULL, 0, self.pool_max * sizeof(int64_t))
        self.pool_used = 1
        self.places = <uint64_t*>sparse(NULL, 0, PLACES * sizeof(uint64_t))
        self.changes = <Change*>stretched(NULL, CHANGES * sizeof(Change))
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
        free(self.changes)
        free_sparse(self.places, PLACES * sizeof(uint64_t))

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

    cdef int visit(self, State state) except -1:
        cdef int64_t accounts = self.accounts_max, pool = self.pool_max
        state.number(&self.n_accounts)
        state.number(&self.accounts_max)
        state.number(&self.pool_used)
        state.number(&self.pool_max)
        state.number(&self.pool_dead)
        state.number(&self.n_touched)
        state.number(&self.touched_max)
        state.number(&self.touched_open)
        state.number(&self.touched_base)
        state.raw(&self.overflowed, sizeof(bint))
        self.accounts = <Account*>state.arena(
            self.accounts, accounts * sizeof(Account),
            self.accounts_max * sizeof(Account), self.n_accounts * sizeof(Account))
        self.pool = <int64_t*>state.arena(
            self.pool, pool * 8, self.pool_max * 8, self.pool_used * 8)
        self.touched = <uint32_t*>state.block(
            self.touched, self.touched_max * 4, self.n_touched * 4)
        self.places = <uint64_t*>state.sparse(
            self.places, PLACES * sizeof(uint64_t), PLACES * sizeof(uint64_t))
        self.by_asset = visit_holders(self.by_asset, &self.n_assets, state)
        self.by_market = visit_holders(self.by_market, &self.n_markets, state)
        if state.reading:
            # Nobody has read changes of this one.
            self.reader, self.n_changes = NULL, 0
        return 0

    # -- ROWS

    @final
    cdef int balance_row(self, int64_t account, int32_t asset) noexcept nogil:
        # The row, added if the account has none.
        cdef int row = self.find_balance(account, asset)
        cdef Account* owner = &self.accounts[account]
        if row >= 0:
            return row
        if owner.spare_balances == 0:
            self.lay(account, room(owner.n_balances), owner.spare_positions)
        row = owner.n_balances
        memset(&self.balances(owner)[row], 0, sizeof(Balance))
        self.balances(owner)[row].asset = asset
        owner.n_balances += 1
        owner.spare_balances -= 1
        self.put(BALANCES, account, asset, 0, row)
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
            self.lay(account, owner.spare_balances, room(owner.n_positions))
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
        if rows[0].settle != settle:
            owner.flags |= MIXED
        self.put(POSITIONS, account, market, leg, row)
        if other < 0:
            self.hold(&self.by_market[market], account)
        return row

    @final
    cdef int find_resting(self, int64_t account, int32_t market,
                          int leg) noexcept nogil:
        # The row, or -1.
        if self.n_resting(&self.accounts[account]) > FEW:
            return self.find_far(RESTINGS, account, market, leg)
        return self.search(RESTINGS, account, market, leg)

    @final
    cdef int find_far(self, int kind, int64_t account, int32_t number,
                      int leg) noexcept nogil:
        # In an account of many rows: where it was, or that it was nowhere.
        cdef uint64_t key = whose(kind, account, number, leg)
        cdef uint64_t place = self.places[slot_of(key)]
        cdef int row
        if place >> 16 == key:
            row = <int>(place & 0xFFFF)
            return -1 if row == NOWHERE else row
        row = self.search(kind, account, number, leg)
        self.put(kind, account, number, leg, row)
        return row

    @final
    cdef int search(self, int kind, int64_t account, int32_t number,
                    int leg) noexcept nogil:
        # One row after the other.
        cdef const Account* owner = &self.accounts[account]
        cdef const Balance* balance = self.balances(owner)
        cdef const Position* position = self.positions(owner)
        cdef const Resting* resting = self.resting(owner)
        cdef int i
        if kind == BALANCES:
            for i in range(owner.n_balances):
                if balance[i].asset == number:
                    return i
        elif kind == POSITIONS:
            for i in range(owner.n_positions):
                if position[i].market == number and position[i].leg == leg:
                    return i
        else:
            for i in range(self.n_resting(owner)):
                if resting[i].market == number and resting[i].leg == leg:
                    return i
        return -1

    @final
    cdef void put(self, int kind, int64_t account, int32_t number, int leg,
                  int row) noexcept nogil:
        # Remember where a row is, -1 for nowhere.  Told of each that comes, moves or
        # goes, so that what is remembered is true.
        cdef uint64_t key = whose(kind, account, number, leg)
        self.places[slot_of(key)] = key << 16 | <uint64_t>(row & 0xFFFF)

    @final
    cdef Resting* add_resting(self, int64_t account) noexcept nogil:
        cdef Account* owner = &self.accounts[account]
        cdef int n = self.n_resting(owner), n_max
        cdef int64_t at
        if owner.resting == 0 or n == self.head(owner).n_max:
            n_max = 2 * n if n else 2
            at = self.allocate(1 + RESTING_WORDS * n_max)
            # The pool may have been laid anew: the old block is wherever it is now.
            self.pool_dead += self.resting_words(owner, False)
            memcpy(&self.pool[at + 1], &self.pool[owner.resting + 1],
                   n * sizeof(Resting))
            owner.resting = <uint32_t>at
            self.head(owner)[0] = Head(n, n_max)
        owner.flags |= ORDERS
        self.head(owner).n = n + 1
        return self.resting(owner) + n

    @final
    cdef void drop_resting(self, int64_t account, int row) noexcept nogil:
        # The last row takes its place.
        cdef Account* owner = &self.accounts[account]
        cdef Head* head = self.head(owner)
        cdef Resting* rows = self.resting(owner)
        self.put(RESTINGS, account, rows[row].market, rows[row].leg, -1)
        head.n -= 1
        if row < head.n:
            rows[row] = rows[head.n]
            self.put(RESTINGS, account, rows[row].market, rows[row].leg, row)
        self.follow(RESTINGS, account, row)
        self.follow(RESTINGS, account, head.n)
        if head.n == 0:
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
        # Of the account's block.
        cdef int64_t balances = <int64_t>owner.n_balances + owner.spare_balances
        cdef int64_t positions = <int64_t>owner.n_positions + owner.spare_positions
        return BALANCE_WORDS * balances + POSITION_WORDS * positions

    @final
    cdef int64_t resting_words(self, const Account* owner,
                               bint tight) noexcept nogil:
        # Of the block of its Resting rows; tight: of those alone.
        cdef int64_t n = self.n_resting(owner)
        if owner.resting == 0 or (tight and n == 0):
            return 0
        return 1 + RESTING_WORDS * (n if tight else self.head(owner).n_max)

    @final
    cdef void lay(self, int64_t account, int spare_balances,
                  int spare_positions) noexcept nogil:
        # Give the account a new block with so many free rows.
        cdef Account* owner = &self.accounts[account]
        cdef Account new = owner[0]
        cdef int64_t at
        new.spare_balances = <uint8_t>spare_balances
        new.spare_positions = <uint8_t>spare_positions
        at = self.allocate(self.words(&new))
        # The pool may have been laid anew: the old blocks are wherever they are now.
        new.resting = owner.resting
        self.pool_dead += self.words(owner)
        self.move_rows(&new, self.pool, at, owner, self.pool)
        owner[0] = new

    @final
    cdef void move_rows(self, Account* owner, int64_t* target, int64_t at,
                        const Account* old, const int64_t* source) noexcept nogil:
        # Copy rows to a block at ``at``, laid out as ``owner`` says.
        cdef int64_t balances = <int64_t>owner.n_balances + owner.spare_balances
        cdef int64_t old_balances = <int64_t>old.n_balances + old.spare_balances
        memcpy(&target[at], &source[old.rows], old.n_balances * sizeof(Balance))
        memcpy(&target[at + BALANCE_WORDS * balances],
               &source[old.rows + BALANCE_WORDS * old_balances],
               old.n_positions * sizeof(Position))
        owner.rows = <uint32_t>at

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
        # Lay all blocks in the order of accounts, with ``room`` words to spare; tight:
        # without free rows.
        cdef int64_t account, words, at = 1, old = self.pool_max
        cdef Account* owner
        cdef Account new
        cdef int64_t* pool
        if tight:
            self.pool_max = 1 + room
            for account in range(self.n_accounts):
                new = self.accounts[account]
                new.spare_balances = new.spare_positions = 0
                self.pool_max += self.words(&new) + self.resting_words(&new, True)
        else:
            self.pool_max = self.pool_used - self.pool_dead + room
        pool = <int64_t*>arena(NULL, 0, self.pool_max * sizeof(int64_t))
        for account in range(self.n_accounts):
            owner = &self.accounts[account]
            new = owner[0]
            if tight:
                new.spare_balances = new.spare_positions = 0
            self.move_rows(&new, pool, at, owner, self.pool)
            at += self.words(&new)
            words = self.resting_words(owner, tight)
            memcpy(&pool[at], &self.pool[owner.resting], words * sizeof(int64_t))
            if tight and words:
                (<Head*>&pool[at]).n_max = self.head(owner).n
            new.resting = <uint32_t>at if words else 0
            at += words
            owner[0] = new
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
            words += self.words(owner) + self.resting_words(owner, False)
            for k in range(owner.n_balances):
                have[self.balances(owner)[k].asset].add(i)
            for k in range(owner.n_positions):
                hold[self.positions(owner)[k].market].add(i)
        for k in range(self.n_assets):
            assert listed(&self.by_asset[k]) == sorted(have[k])
        for k in range(self.n_markets):
            assert listed(&self.by_market[k]) == sorted(hold[k])
        assert words + self.pool_dead == self.pool_used <= self.pool_max
        self.check_places()
        flagged = [i for i in range(self.n_accounts)
                   if self.accounts[i].flags & TOUCHED]
        assert flagged == sorted(
            [self.touched[i] for i in range(self.touched_open, self.n_touched)])
        return 0

    @final
    cdef int check_places(self) except -1:
        # What is remembered is where rows are.
        cdef uint64_t key
        cdef int64_t i
        cdef int row
        for i in range(PLACES):
            key = self.places[i] >> 16
            if key == 0:
                continue
            row = self.search(<int>(key & 3), <int64_t>(key >> 20),
                              <int32_t>(key >> 4 & 0xFFFF), <int>(key >> 2 & 3))
            assert row & 0xFFFF == self.places[i] & 0xFFFF
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


cdef Holders* visit_holders(Holders* old, int* n, State state) except? NULL:
    # Lists of accounts, as many as ``n`` says.
    cdef int i
    cdef Holders* holders = old
    state.raw(n, sizeof(int))
    if state.reading:
        holders = <Holders*>grown(NULL, 0, (n[0] + 1) * <int64_t>sizeof(Holders))
    for i in range(n[0]):
        visit_list(&holders[i], state)
    return holders


cdef int visit_list(Holders* holders, State state) except -1:
    state.number(&holders.n)
    state.number(&holders.n_max)
    holders.accounts = <uint32_t*>state.block(
        holders.accounts, holders.n_max * 4, holders.n * 4)
    return 0
