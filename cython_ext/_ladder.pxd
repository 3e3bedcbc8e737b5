# The levels of all markets, the tree over them, the memory of levels and orders.
# Behaviour is in _ladder.pyx, but for what matching calls once a message.
from ._machine cimport prefetch, unlikely
from ._types cimport *

cdef enum:
    PRICE_MAX = (1 << 30) - 1
    NO_ASK = 1 << 30             # above every price: no test for "none" is needed
    SPARE = 4                    # units fetched before they are taken

ctypedef struct Level:           # one unit of the arena: the sentinel of a list
    uint32_t prev                # unit of the newest order
    uint32_t next                # unit of the oldest order
    int64_t qty                  # sum of its orders' qty
    int64_t price
    int64_t pad

ctypedef struct Order:           # another, 32 bytes: one cache line holds two
    uint32_t prev                # unit of the order before it, or of the level
    uint32_t next                # unit of the order behind it, or of the level
    int64_t qty                  # open lots, > 0 while it rests
    uint32_t level               # unit of its level
    uint32_t owner               # account
    uint32_t id
    uint16_t market
    uint16_t flags               # side | Flag << 1

ctypedef struct Page:            # 64 ticks
    uint64_t bits[2]             # per side: which ticks hold orders
    uint32_t cells               # its first one; 0 when all ticks are empty
    uint32_t pad[3]

ctypedef struct Directory:       # 4,096 ticks
    uint64_t summary[2]          # per side: which pages hold orders
    Page pages[64]

ctypedef struct Market:
    int64_t best[2]              # bid (0 = none), ask (NO_ASK = none), ticks
    int64_t last_price           # 0 = no trade yet
    int64_t reference            # of the price band; 0 = the last trade
    int64_t band_ppm             # 0 = no band
    uint32_t* directories        # [price >> 12], 0 = never touched
    uint64_t* top[2]             # per side: which directories hold orders
    int64_t n_directories        # length of directories, a multiple of 64
    uint64_t crown[2][64]        # per side: which words of top are not zero
    int32_t halted

cdef int check_side(int side) except -1

cdef class Ladder:
    cdef Level* units            # the arena: levels and orders; [0] stays empty
    cdef int64_t n_units
    cdef int64_t units_max
    cdef uint32_t* free_units    # a stack, on top of SPARE empty places
    cdef int64_t n_free
    cdef uint32_t* cells         # [Page.cells + (price & 63)]: unit of the level
    cdef int64_t n_cells
    cdef int64_t cells_max
    cdef uint32_t free_cells     # first one of the page freed last, 0 = none
    cdef Directory* directories  # [0] stays empty
    cdef int64_t n_directories
    cdef int64_t directories_max
    cdef Market* markets
    cdef readonly int n_markets

    # -- QUERIES
    cdef int known(self, int market) except -1
    cdef int64_t next_price(self, const Market* market, int side,
                            int64_t price) noexcept nogil
    cdef inline int64_t next_below(self, const Market* market,
                                   int64_t price) noexcept nogil
    cdef inline int64_t next_above(self, const Market* market,
                                   int64_t price) noexcept nogil

    cdef inline Page* page_at(self, const Market* market, int64_t price) noexcept nogil:
        # An empty one if no order ever rested near the price.
        cdef uint32_t directory = 0
        if (price >> 12) < market.n_directories:
            directory = market.directories[price >> 12]
        return &self.directories[directory].pages[(price >> 6) & 63]

    cdef inline uint32_t level_at(self, const Market* market,
                                  int64_t price) noexcept nogil:
        # The unit of a level that holds orders.
        return self.cells[self.page_at(market, price).cells + (price & 63)]

    # -- COMMANDS
    cdef Page* new_page(self, Market* market, int64_t price) noexcept nogil
    cdef void mark_page(self, Market* market, int side, int64_t price) noexcept nogil
    cdef void clear_page(self, Market* market, int side, int64_t price,
                         Page* page) noexcept nogil
    cdef void grow_units(self) noexcept nogil

    cdef inline uint32_t touch_level(self, Market* market, int side,
                                     int64_t price) noexcept nogil:
        # The unit of a level about to get an order.
        cdef Page* page = self.page_at(market, price)
        cdef uint64_t bit = <uint64_t>1 << (price & 63)
        cdef uint32_t at
        if page.bits[side] & bit:
            return self.cells[page.cells + (price & 63)]
        if page.cells == 0:
            page = self.new_page(market, price)
        at = self.take_unit()
        self.cells[page.cells + (price & 63)] = at
        self.units[at] = Level(at, at, 0, price, 0)
        if page.bits[side] == 0:
            self.mark_page(market, side, price)
        page.bits[side] |= bit
        # Better than the best?  Without a branch on the side, which is a coin toss.
        if (price - market.best[side]) * (1 - 2 * side) > 0:
            market.best[side] = price
        return at

    cdef inline void clear_level(self, Market* market, int side,
                                 uint32_t at) noexcept nogil:
        # A level lost its last order.
        cdef int64_t price = self.units[at].price
        cdef Page* page = self.page_at(market, price)
        if market.best[side] == price:
            market.best[side] = self.next_price(market, side, price)
        self.give_unit(at)
        page.bits[side] &= ~(<uint64_t>1 << (price & 63))
        if page.bits[side] == 0:
            self.clear_page(market, side, price, page)

    cdef inline uint32_t take_unit(self) noexcept nogil:
        # What was freed last is most likely in the cache; fetching the one after next
        # saves another 3 ns a message in the cascade.
        if unlikely(self.n_free == 0):
            self.grow_units()
        self.n_free -= 1
        prefetch(&self.units[self.free_units[self.n_free]])
        return self.free_units[self.n_free + SPARE]

    cdef inline void give_unit(self, uint32_t unit) noexcept nogil:
        self.free_units[self.n_free + SPARE] = unit
        self.n_free += 1
