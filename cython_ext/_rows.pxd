# Where the ledger keeps what accounts hold.  Behaviour is in _rows.pyx, but for what
# every trade looks up.
from libc.stdlib cimport realloc

from ._machine cimport held, unlikely
from ._resting cimport Listener
from ._state cimport State
from ._types cimport *

ctypedef struct Balance:         # what an account has of one asset
    int64_t amount               # atoms; negative: borrowed
    int32_t asset
    uint8_t tier                 # that it was in when it was last valued
    uint8_t pad[3]

ctypedef struct Position:        # a linear perpetual position, or a leg of one
    int64_t lots                 # negative: short
    int64_t cost                 # what the open lots were bought for, quote atoms
    uint16_t market
    uint16_t settle              # row of the balance it is settled in
    uint16_t leverage            # that the account chose; 0: the venue's highest
    uint8_t leg
    uint8_t tier                 # the same

ctypedef struct Resting:         # an account's orders in a market, or for a leg
    int64_t bids                 # lots
    int64_t asks
    int64_t bid_notional         # at the orders' own prices, quote atoms
    int64_t ask_notional
    int32_t worst_bid            # ticks: none of the bids is higher; 0: there is none
    int32_t worst_ask            # none of the asks is lower
    uint16_t market
    uint16_t base                # row of the balance, or position, that they trade
    uint16_t quote               # row of the balance that they are paid from
    uint8_t leg
    uint8_t perpetual

ctypedef struct Head:            # of an account's Resting rows: none is empty
    int32_t n
    int32_t n_max

ctypedef struct Account:
    uint32_t rows                # first word of its block: balances, then positions
    uint32_t resting             # of its Resting rows: Head, then those; 0: none yet
    uint16_t n_balances
    uint16_t n_positions
    uint8_t spare_balances       # rows of the block that are free
    uint8_t spare_positions
    uint8_t flags
    uint8_t pad

ctypedef struct Holders:         # accounts with a row, in the order they got it
    uint32_t* accounts
    int64_t n
    int64_t n_max

cdef enum:
    BALANCE_WORDS = 2
    POSITION_WORDS = 3
    RESTING_WORDS = 6

cdef enum:                       # flags of an account
    TOUCHED = 1                  # in the touched list since it was last closed
    HEDGE = 2                    # keeps longs and shorts of a market apart
    ORDERS = 4                   # there are Resting rows
    FOLLOWED = 8                 # changes of its rows are written down
    MIXED = 16                   # positions are settled in more than one coin

cdef enum:                       # kinds of rows
    BALANCES = 1
    POSITIONS = 2
    RESTINGS = 3

cdef enum:
    FEW = 16                     # rows that are searched one by one
    PLACES = 1 << 17             # rows of larger accounts whose place is remembered
    CHANGES = 1 << 13

ctypedef struct Change:          # of a row of an account that is followed
    uint32_t account
    uint16_t row
    uint16_t kind

cdef enum:                       # legs of a position
    NET = 0
    LONG = 1
    SHORT = 2

cdef class Rows(Listener):
    cdef Account* accounts
    cdef readonly int64_t n_accounts
    cdef int64_t accounts_max
    cdef int64_t* pool           # blocks of all accounts, words of 8 bytes
    cdef int64_t pool_used
    cdef int64_t pool_max
    cdef int64_t pool_dead       # words of blocks that were left for larger ones
    cdef Holders* by_asset
    cdef Holders* by_market
    cdef readonly int n_assets
    cdef readonly int n_markets
    cdef uint32_t* touched       # accounts that changed, oldest first
    cdef int64_t n_touched
    cdef int64_t touched_max
    cdef int64_t touched_open    # first of those that still have the flag
    cdef int64_t touched_base    # number of touched[0], counted from the beginning
    cdef readonly bint overflowed
    cdef uint64_t* places        # whose row << 16 | its number, or NOWHERE
    cdef Change* changes         # since somebody who follows accounts read them
    cdef int n_changes           # CHANGES: some are lost
    cdef void* reader            # who read them last

    # -- QUERIES
    cdef int64_t words(self, const Account* owner) noexcept nogil
    cdef int64_t resting_words(self, const Account* owner,
                               bint tight) noexcept nogil
    cdef int find_resting(self, int64_t account, int32_t market, int leg) noexcept nogil
    cdef int find_far(self, int kind, int64_t account, int32_t number,
                      int leg) noexcept nogil
    cdef int search(self, int kind, int64_t account, int32_t number,
                    int leg) noexcept nogil
    cdef int64_t bytes(self) noexcept nogil
    cdef int check_index(self) except -1
    cdef int check_places(self) except -1

    # -- COMMANDS
    cdef void add_accounts(self, int64_t count) noexcept nogil
    cdef int balance_row(self, int64_t account, int32_t asset) noexcept nogil
    cdef int position_row(self, int64_t account, int32_t market, int leg,
                          int32_t quote) noexcept nogil
    cdef Resting* add_resting(self, int64_t account) noexcept nogil
    cdef void drop_resting(self, int64_t account, int row) noexcept nogil
    cdef void lay(self, int64_t account, int spare_balances,
                  int spare_positions) noexcept nogil
    cdef int64_t allocate(self, int64_t words) noexcept nogil
    cdef void repack(self, int64_t room, bint tight) noexcept nogil
    cdef void tighten(self) noexcept nogil
    cdef void move_rows(self, Account* owner, int64_t* target, int64_t at,
                        const Account* old, const int64_t* source) noexcept nogil
    cdef void put(self, int kind, int64_t account, int32_t number, int leg,
                  int row) noexcept nogil
    cdef void hold(self, Holders* holders, int64_t account) noexcept nogil
    cdef void note(self, int64_t account) noexcept nogil
    cdef void forget(self, int64_t n) noexcept nogil
    cdef int64_t close_touched(self) noexcept nogil
    cdef int visit(self, State state) except -1

    cdef inline Balance* balances(self, const Account* owner) noexcept nogil:
        return <Balance*>&self.pool[owner.rows]

    cdef inline Position* positions(self, const Account* owner) noexcept nogil:
        return <Position*>&self.pool[
            owner.rows
            + BALANCE_WORDS * (<int64_t>owner.n_balances + owner.spare_balances)]

    cdef inline Head* head(self, const Account* owner) noexcept nogil:
        return <Head*>&self.pool[owner.resting]

    cdef inline Resting* resting(self, const Account* owner) noexcept nogil:
        return <Resting*>&self.pool[owner.resting + 1]

    cdef inline int n_resting(self, const Account* owner) noexcept nogil:
        return self.head(owner).n if owner.flags & ORDERS else 0

    cdef inline int find_balance(self, int64_t account, int32_t asset) noexcept nogil:
        # The row, or -1.
        cdef const Account* owner = &self.accounts[account]
        cdef const Balance* rows = self.balances(owner)
        cdef int i
        if owner.n_balances > FEW:
            return self.find_far(BALANCES, account, asset, 0)
        for i in range(owner.n_balances):
            if rows[i].asset == asset:
                return i
        return -1

    cdef inline int find_position(self, int64_t account, int32_t market,
                                  int leg) noexcept nogil:
        cdef const Account* owner = &self.accounts[account]
        cdef const Position* rows = self.positions(owner)
        cdef int i
        if owner.n_positions > FEW:
            return self.find_far(POSITIONS, account, market, leg)
        for i in range(owner.n_positions):
            if rows[i].market == market and rows[i].leg == leg:
                return i
        return -1

    cdef inline void touch(self, int64_t account) noexcept nogil:
        if not self.accounts[account].flags & TOUCHED:
            self.note(account)

    cdef inline void follow(self, int kind, int64_t account, int row) noexcept nogil:
        # Write down that a row changed, for whoever follows the account.
        if unlikely(self.accounts[account].flags & FOLLOWED):
            if self.n_changes < CHANGES:
                self.changes[self.n_changes] = Change(
                    <uint32_t>account, <uint16_t>row, <uint16_t>kind)
                self.n_changes += 1


cdef int visit_list(Holders* holders, State state) except -1


cdef inline void* stretched(void* old, int64_t bytes) noexcept nogil:
    # Memory for lists that double; what is new holds anything.
    return held(realloc(old, bytes), bytes)


cdef inline uint64_t whose(int kind, int64_t account, int32_t number,
                           int leg) noexcept nogil:
    # What a row is about, in 44 bits: none is 0.
    return (<uint64_t>account << 20 | <uint64_t>number << 4
            | <uint64_t>(leg << 2 | kind))


cdef inline uint64_t slot_of(uint64_t key) noexcept nogil:
    # Rows of an account lie side by side, accounts apart.
    return ((key & 0xFFFFF) ^ (key >> 20) * 0x1E3779B1) & (PLACES - 1)
