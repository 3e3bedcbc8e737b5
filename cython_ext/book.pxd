# Price-time priority books of many markets over one arena.  Behaviour is in book.pyx.
from ._types cimport *

ctypedef struct Level:           # one unit of the arena, 16 bytes: a list sentinel
    uint32_t prev                # unit of the newest order; itself when empty
    uint32_t next                # unit of the oldest order; itself when empty
    int64_t qty                  # sum of its orders' qty

ctypedef struct Order:           # two units, 32 bytes: one cache line holds two
    uint32_t prev                # unit of the order before it, or of the level
    uint32_t next                # unit of the order behind it, or of the level
    int64_t qty                  # open lots, > 0 while it rests
    uint32_t level               # unit of its level
    uint32_t owner               # account
    uint32_t id
    uint16_t market
    uint16_t flags               # side | Flag << 1

ctypedef struct Directory:       # 4,096 ticks: 64 pages of 64
    uint64_t summary[2]          # per side: which words of bits are not zero
    uint64_t bits[2][64]         # per side: which ticks hold orders
    uint32_t page[64]            # unit of the page's first level, 0 = not touched

ctypedef struct Market:
    int64_t best[2]              # bid (0 = none), ask (NO_ASK = none), ticks
    int64_t last_price           # 0 = no trade yet
    int64_t reference            # of the price band; 0 = the last trade
    int64_t band_ppm             # 0 = no band
    uint32_t* directories        # [price >> 12], 0 = not touched
    uint64_t* top[2]             # per side: which directories hold orders
    int64_t n_directories        # length of directories, a multiple of 64
    uint64_t crown[2][64]        # per side: which words of top are not zero
    int32_t halted

ctypedef struct Slot:            # index by order id
    uint32_t unit                # of the order, 0 = not live
    uint32_t older               # id of the same account's order before this one

ctypedef struct Owner:           # index by account
    uint32_t newest              # id of its latest order
    uint32_t self_trade          # SelfTrade mode

cdef class Listener:
    # What the book tells whoever keeps the accounts.  No method may touch the book.
    cdef int check(self, const Message* message) noexcept nogil
    cdef int64_t position(self, int32_t market, int32_t account) noexcept nogil
    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil
    cdef void fill(self, const Fill* fill) noexcept nogil

cdef class Books:
    cdef readonly Listener listener
    cdef Level* units            # the arena: pages of levels and slabs of orders
    cdef uint32_t* block_price   # [unit >> 6]: price of a page's first level
    cdef int64_t n_units
    cdef int64_t units_max
    cdef uint32_t free_order     # unit of the slot freed last, 0 = none
    cdef Directory* directories  # [0] is never used
    cdef int64_t n_directories
    cdef int64_t directories_max
    cdef Market* markets
    cdef readonly int n_markets
    cdef Slot* slots
    cdef int64_t slots_max
    cdef readonly int64_t last_id
    cdef Owner* owners
    cdef int64_t owners_max
    cdef Fill* fills
    cdef int64_t n_fills
    cdef int64_t fills_max
    cdef readonly int64_t live_orders
    cdef readonly int64_t trades
    cdef readonly int64_t traded_qty
    cdef readonly uint64_t notional
    cdef readonly uint64_t trade_hash

    # -- QUERIES
    cdef int known(self, int market) except -1
    cdef inline uint32_t find(self, const Message* message) noexcept nogil
    cdef inline int validate(self, const Message* message) noexcept nogil
    cdef inline bint crosses(self, const Message* message) noexcept nogil
    cdef int64_t fillable(self, const Message* order, int64_t limit) noexcept nogil
    cdef inline int64_t price_of(self, uint32_t level) noexcept nogil
    cdef inline uint32_t level_at(self, Market* market, int64_t price) noexcept nogil
    cdef int64_t next_price(self, Market* market, int side,
                            int64_t price) noexcept nogil
    cdef int64_t next_below(self, Market* market, int64_t price) noexcept nogil
    cdef int64_t next_above(self, Market* market, int64_t price) noexcept nogil
    cdef tuple row(self, uint32_t unit)

    # -- COMMANDS
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil
    cdef inline void prefetch_slot(self, const Message* message) noexcept nogil
    cdef inline void prefetch_level(self, const Message* message) noexcept nogil
    cdef int64_t one(self, const Message* message) noexcept nogil
    cdef put_back(self, fills)
    cdef void apply(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil
    cdef int clip(self, Message* order) noexcept nogil
    cdef void place(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil
    cdef inline void issue(self, int64_t order_id, int64_t account) noexcept nogil
    cdef void replace_order(self, const Message* message, Result* result,
                            int32_t row) noexcept nogil
    cdef void enter(self, Message* order, Result* result, int32_t row) noexcept nogil
    cdef int64_t match(self, const Message* order, int64_t limit, Result* result,
                       int32_t row, bint* stopped) noexcept nogil
    cdef inline int64_t decremented(self, Result* result) noexcept nogil
    cdef int64_t meet_own(self, uint32_t unit, uint32_t mode, int64_t left,
                          Result* result, bint* stopped) noexcept nogil
    cdef bint clip_maker(self, uint32_t unit) noexcept nogil
    cdef inline void trade(self, const Message* order, Order* maker, int64_t price,
                           int64_t qty, int32_t row) noexcept nogil
    cdef inline Fill* push_fill(self) noexcept nogil
    cdef void add(self, const Message* order, int64_t qty) noexcept nogil
    cdef int64_t remove(self, uint32_t unit) noexcept nogil
    cdef inline void drop(self, uint32_t unit) noexcept nogil
    cdef void shrink(self, uint32_t unit, int64_t lots) noexcept nogil
    cdef inline void release(self, uint32_t unit) noexcept nogil
    cdef int64_t remove_all(self, int32_t account, int32_t market,
                            int side) noexcept nogil
    cdef inline uint32_t take_slot(self) noexcept nogil
    cdef int64_t new_block(self, uint32_t price) noexcept nogil
    cdef inline Owner* owner(self, int64_t account) noexcept nogil
    cdef void grow_slots(self, int64_t order_id) noexcept nogil
    cdef inline uint32_t touch_level(self, Market* market, int64_t price) noexcept nogil
    cdef uint32_t new_page(self, Market* market, int64_t price) noexcept nogil
    cdef inline void mark_level(self, Market* market, int side,
                                int64_t price) noexcept nogil
    cdef void clear_level(self, Market* market, int side, int64_t price) noexcept nogil
