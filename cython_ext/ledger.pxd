# Exact double-entry balances and positions of all accounts.
# Behaviour is in ledger.pyx.
from ._resting cimport Listener
from ._types cimport *

ctypedef struct Balance:         # what an account has of one asset, atoms
    int64_t amount               # negative: borrowed
    int64_t hold                 # leaves if all resting orders fill
    int64_t incoming             # comes if all resting orders fill
    int32_t asset
    int32_t pad

ctypedef struct Position:        # a linear perpetual position
    int64_t lots                 # negative: short
    int64_t cost                 # what the open lots were bought for, quote atoms
    int64_t open_buy             # lots resting to buy
    int64_t open_sell            # lots resting to sell
    int32_t market
    int32_t pad

ctypedef struct Account:
    uint32_t balances            # first row of its block
    uint32_t positions
    uint16_t n_balances
    uint16_t max_balances        # length of the block, a power of two or 0
    uint16_t n_positions
    uint16_t max_positions

ctypedef struct Terms:           # of a market
    int64_t base_unit            # base atoms of a lot
    int64_t quote_unit           # quote atoms of a tick times a lot
    int64_t maker_ppm            # fees, of the notional
    int64_t taker_ppm
    int64_t liquidation_ppm      # on top of the taker fee, to the insurance fund
    int32_t base
    int32_t quote
    int32_t perpetual

cdef class Gate:
    # Says whether an account may place an order; 0 or the Reason not.
    cdef int check(self, const Message* message) noexcept nogil

cdef class Ledger(Listener):
    cdef public Gate gate
    cdef Terms* terms
    cdef readonly int n_markets
    cdef readonly int n_assets
    cdef Account* accounts
    cdef readonly int64_t n_accounts
    cdef int64_t accounts_max
    cdef Balance* balances
    cdef int64_t n_balances
    cdef int64_t balances_max
    cdef Position* positions
    cdef int64_t n_positions
    cdef int64_t positions_max
    cdef readonly bint overflowed

    # -- QUERIES
    cdef Balance* find_balance(self, int64_t account, int32_t asset) noexcept nogil
    cdef Position* find_position(self, int64_t account, int32_t market) noexcept nogil
    cdef int known_account(self, int64_t account) except -1
    cdef int known_asset(self, int asset) except -1
    cdef int known_market(self, int market) except -1
    cdef int known_notional(self, int market, int64_t lots, int64_t price) except -1

    # -- COMMANDS
    cdef Balance* balance_of(self, int64_t account, int32_t asset) noexcept nogil
    cdef Position* position_of(self, int64_t account, int32_t market) noexcept nogil
    cdef void move(self, int32_t asset, int64_t source, int64_t target,
                   int64_t atoms) noexcept nogil
    cdef void add(self, int64_t* total, int64_t more) noexcept nogil
    cdef void trade_position(self, int64_t account, int32_t market, int64_t lots,
                             int64_t price) noexcept nogil
    cdef void charge(self, const Terms* terms, int64_t account, int64_t notional,
                     int64_t ppm, int64_t target) noexcept nogil
