# The levels of all markets, the tree over them, the memory of levels and orders.
# Behaviour is in _ladder.pyx, but for what matching calls once a message.
from ._machine cimport likely, prefetch, unlikely
from ._state cimport State
from ._types cimport *

cdef enum:
    PRICE_MAX = (1 << 30) - 1
    NO_ASK = 1 << 30             # above every price: no test for "none" is needed
    SPARE = 8                    # units fetched before they are taken
    UNIT = 0x7FFFFFFF            # what is left for a unit beside MARKED

ctypedef struct Level:           # one unit of the arena: the sentinel of a list
    uint32_t prev                # unit of the newest order; its own if there is none
    uint32_t next                # unit of the oldest order; likewise
    int64_t qty                  # sum of its orders' qty

ctypedef struct Order:           # two units, 32 bytes: one cache line holds two
    uint32_t prev                # unit of the order before it, or of the level
    uint32_t next                # unit of the order behind it, or of the level
    int64_t qty                  # open lots, > 0 while it rests
    uint32_t level               # unit of its level
    uint32_t owner               # account
    uint32_t id
    uint16_t market
    uint16_t flags               # side | Flag << 1 | WIDE | DORMANT

cdef enum:
    FLAGS = 127                  # what Order.flags >> 1 holds of Flag
    WIDE = 1 << 8                # an Extra follows the order: four units, not two
    DORMANT = 1 << 9             # waits for the price of its level; wide as well

ctypedef struct Extra:           # what few orders have; 0 where it means nothing
    int64_t hidden               # lots behind those shown; its arrival if DORMANT
    int64_t display              # lots of a slice
    int64_t cause                # of a dormant order's message, as what follows
    int32_t price
    uint8_t kind
    uint8_t tif
    uint8_t list                 # of Watch.waiting, that holds it
    uint8_t pad

ctypedef struct Page:            # 32 ticks of one side
    uint32_t bits                # which ticks hold orders
    uint32_t levels              # unit of the first level, 0 = none yet; or'ed MARKED

ctypedef struct Block:           # 32 units of the arena, that hold levels
    uint32_t page                # theirs; the next free block if it is free
    uint32_t place               # price >> 5

ctypedef struct Market:          # two cache lines; every message reads the first
    int64_t best[2]              # bid (0 = none), ask (NO_ASK = none), ticks
    int64_t lots[2]              # that rest, shown or not, per side
    uint32_t* directories        # [price >> 11, side]: first of 64 pages, 0 = none
    int64_t n_directories        # ticks there is room for >> 11, a multiple of 64
    int64_t last_price           # 0 = no trade yet
    int32_t guarded              # not 0: a new order needs more than the plain checks
    uint16_t phase
    uint16_t watched             # BREAKER | STOPS: a trade has to be looked at
    uint64_t* top[2]             # per side: which directories hold orders
    uint64_t* crown[2]           # per side: which words of top are not zero
    int64_t reference            # of the price band; 0 = the last trade
    int64_t band_ppm             # 0 = no band
    int64_t pad[2]

cdef enum:
    BREAKER = 1
    STOPS = 2

cdef enum:                       # what a trigger is compared with; lists of Watch
    LAST = 0
    MARK = 1
    INDEX = 2
    DUE = 3                      # touched while the market was not open
    LISTS = 4

ctypedef struct Watch:           # of a market: what is asked of few trades
    Market* waiting[LISTS]       # dormant orders by trigger, NULL before the first
    int64_t n_waiting
    int64_t prices[3]            # mark and index, 0 = none yet; LAST is last_price
    int64_t lowest[3]            # since dormant orders were last looked at
    int64_t highest[3]           # 0 = no price since then
    int64_t breaker_ppm          # 0 = no circuit breaker
    int64_t window_ns
    int64_t window               # number of the current one
    int64_t window_price         # its reference; 0 = none
    int32_t windowed             # whether a window has begun
    int32_t tripped              # phase of the market once it trips

cdef int check_side(side) except -1
cdef void guard(Market* market) noexcept nogil
cdef void grow_market(Market* market, int64_t n) noexcept nogil
cdef void free_market(Market* market) noexcept nogil

cdef class Ladder:
    cdef Level* units            # the arena, in blocks of 32 units; [0] stays empty
    cdef Block* blocks           # [unit >> 5]
    cdef int64_t n_units
    cdef int64_t units_max
    cdef uint32_t free_blocks    # the block freed last, chained in blocks; 0 = none
    cdef uint32_t* free_orders   # a stack, on top of SPARE empty places
    cdef int64_t n_free
    cdef int64_t n_orders        # live or free
    cdef int64_t orders_max
    cdef uint32_t* free_wide     # another, of orders with an Extra
    cdef int64_t n_free_wide
    cdef int64_t n_wide          # live or free
    cdef int64_t wide_max
    cdef Page* pages             # 64 to a directory; directory 0 stays empty
    cdef uint64_t* marks         # [page >> 6]: which pages are in the tree
    cdef int64_t n_pages
    cdef int64_t pages_max
    cdef uint32_t free_directories   # chained in `levels` of the first page; 0 = none
    cdef Market* markets
    cdef Watch* watches          # [market]
    cdef readonly int n_markets

    # -- QUERIES
    cdef int known(self, market) except -1
    cdef int64_t next_price(self, const Market* market, int side,
                            int64_t price) noexcept nogil
    cdef int64_t next_directory(self, const Market* market, int side,
                                int64_t d) noexcept nogil

    cdef inline uint32_t page_of(self, const Market* market, int side,
                                 int64_t price) noexcept nogil:
        # An empty one if no order ever rested near the price, which may be anything.
        cdef uint32_t first = 0
        if likely(<uint64_t>price >> 11 < <uint64_t>market.n_directories):
            first = market.directories[(price >> 11) * 2 + side]
        return first + <uint32_t>((price >> 5) & 63)

    cdef inline uint32_t level_at(self, const Market* market, int side,
                                  int64_t price) noexcept nogil:
        # The unit of a level that holds orders.
        return self.level_in(self.page_of(market, side, price), price)

    cdef inline uint32_t level_in(self, uint32_t page, int64_t price) noexcept nogil:
        return (self.pages[page].levels & UNIT) + <uint32_t>(price & 31)

    cdef inline int64_t price_of(self, uint32_t level) noexcept nogil:
        return <int64_t>self.blocks[level >> 5].place << 5 | level & 31

    # -- COMMANDS
    cdef void open_page(self, Market* market, int side, int64_t price) noexcept nogil
    cdef void leave_tree(self, const Market* market, int side,
                         int64_t d) noexcept nogil
    cdef uint32_t take_directory(self) noexcept nogil
    cdef uint32_t take_block(self) noexcept nogil
    cdef int64_t unused(self) noexcept nogil
    cdef void reclaim(self) noexcept nogil
    cdef void reclaim_pages(self, Market* market) noexcept nogil
    cdef void grow_orders(self) noexcept nogil
    cdef int visit(self, State state) except -1
    cdef int visit_markets(self, State state) except -1
    cdef uint32_t take_wide(self) noexcept nogil

    cdef inline uint32_t touch_level(self, Market* market, int side,
                                     int64_t price) noexcept nogil:
        # The unit of a level about to get an order.  An empty level is a list like any
        # other, and what must be set is set whether it was or not: asking, a coin toss
        # in a cascade, cost more.
        cdef uint32_t at = self.page_of(market, side, price)
        cdef int64_t best = market.best[side]
        if unlikely(<int32_t>self.pages[at].levels >= 0):
            self.open_page(market, side, price)
            at = self.page_of(market, side, price)
        self.pages[at].bits |= <uint32_t>1 << (price & 31)
        # Without a branch on the side, which is a coin toss.
        market.best[side] = price if (price > best) ^ side else best
        return self.level_in(at, price)

    cdef inline void clear_level(self, Market* market, int side,
                                 uint32_t level) noexcept nogil:
        # A level lost its last order.
        cdef int64_t price = self.price_of(level)
        self.clear_tick(self.blocks[level >> 5].page, price)
        if market.best[side] == price:
            market.best[side] = self.next_price(market, side, price)

    cdef inline void clear_tick(self, uint32_t page, int64_t price) noexcept nogil:
        # The same but for the best price.
        self.pages[page].bits &= ~(<uint32_t>1 << (price & 31))

    cdef inline uint32_t take_order(self) noexcept nogil:
        # What was freed last is most likely in the cache; what will be taken next is
        # fetched: a list through the free orders themselves waits for each of them.
        if unlikely(self.n_free == 0):
            self.grow_orders()
        self.n_free -= 1
        prefetch(&self.units[self.free_orders[self.n_free]])
        return self.free_orders[self.n_free + SPARE]

    cdef inline void give_order(self, uint32_t unit) noexcept nogil:
        self.free_orders[self.n_free + SPARE] = unit
        self.n_free += 1

    cdef inline Extra* extra(self, uint32_t unit) noexcept nogil:
        # Of an order whose flags say WIDE.
        return <Extra*>&self.units[unit + 2]

    cdef inline void give_wide(self, uint32_t unit) noexcept nogil:
        self.free_wide[self.n_free_wide] = unit
        self.n_free_wide += 1
