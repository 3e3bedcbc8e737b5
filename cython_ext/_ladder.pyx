"""The price levels of any number of markets, and the memory their orders lie in.

All markets share one arena of 16-byte units, in blocks of 64. A level is a unit: the
sentinel of a circular list of orders, each of two units. The levels of 64 ticks of one
side are a block, a page, found under a 64-ary bitmap tree for each side, so that finding
the next best price never walks empty ticks. A page that holds no more orders stays until
memory is short, and is then used again: a price that falls through its whole range
leaves no memory behind, and one that comes back finds its pages.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memset

from ._machine cimport above, arena, below, free_arena, grown, highest, lowest

cdef enum:
    MARKETS_MAX = 1 << 16
    PPM = 1_000_000


cdef class Ladder:
    """Levels, best prices and settings of the markets; what `Books` is built on."""

    def __cinit__(self):
        self.units_max = 1 << 12
        self.units = <Level*>arena(NULL, 0, self.units_max * sizeof(Level))
        self.block_of = <uint32_t*>arena(NULL, 0, (self.units_max >> 6) * 4)
        self.units[0] = Level(0, 0, 0)
        self.n_units = 64        # unit 0 means "none"
        self.orders_max = 1 << 10
        self.free_orders = <uint32_t*>arena(NULL, 0, (self.orders_max + SPARE) * 4)
        memset(self.free_orders, 0, SPARE * 4)
        self.pages_max = 16 * 64
        self.pages = <Page*>grown(NULL, 0, self.pages_max * sizeof(Page))
        self.summaries = <uint64_t*>grown(NULL, 0, (self.pages_max >> 6) * 8)
        self.n_pages = 64        # directory 0 means "none"

    def __dealloc__(self):
        cdef int i, kind
        for i in range(self.n_markets):
            free_market(&self.markets[i])
            for kind in range(LISTS):
                if self.watches[i].waiting[kind] != NULL:
                    free_market(self.watches[i].waiting[kind])
                    free(self.watches[i].waiting[kind])
        free(self.markets)
        free(self.watches)
        free_arena(self.units, self.units_max * sizeof(Level))
        free_arena(self.block_of, (self.units_max >> 6) * 4)
        free_arena(self.free_orders, (self.orders_max + SPARE) * 4)
        free_arena(self.free_wide, self.wide_max * 4)
        free(self.pages)
        free(self.summaries)

    # -- MARKETS

    def add_market(self):
        """Open an empty market and return its number."""
        if self.n_markets == MARKETS_MAX:
            raise OverflowError(f"a book engine holds at most {MARKETS_MAX} markets")
        self.markets = <Market*>grown(
            self.markets, self.n_markets * sizeof(Market),
            (self.n_markets + 1) * sizeof(Market))
        self.watches = <Watch*>grown(
            self.watches, self.n_markets * sizeof(Watch),
            (self.n_markets + 1) * sizeof(Watch))
        cdef Market* market = &self.markets[self.n_markets]
        market.best[SELL] = NO_ASK
        grow_market(market, 1)
        self.n_markets += 1
        return self.n_markets - 1

    def set_price_band(self, int market, int64_t ppm):
        """Let no trade print as far as ``ppm`` parts per million from the reference.

        The reference is that of `set_reference`, else the last trade; 0 lifts the band.
        """
        self.known(market)
        if not 0 <= ppm <= PPM:
            raise ValueError(f"'ppm' must be from 0 to 1,000,000 (got {ppm}).")
        self.markets[market].band_ppm = ppm
        guard(&self.markets[market])

    def set_reference(self, int market, int64_t price):
        """Measure the price band from ``price``; 0: from the last trade."""
        self.known(market)
        if not 0 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 0 to {PRICE_MAX} (got {price}).")
        self.markets[market].reference = price

    @final
    cdef int known(self, int market) except -1:
        if not 0 <= market < self.n_markets:
            raise IndexError(
                f"'market' must be from 0 to {self.n_markets - 1} (got {market}).")
        return 0

    # -- THE TREE

    @final
    cdef int64_t next_price(self, const Market* market, int side,
                            int64_t price) noexcept nogil:
        # The next best price behind `price` that holds orders; 0 or NO_ASK if none.
        if side == BUY:
            return self.next_below(market, price)
        return self.next_above(market, price)

    cdef inline int64_t next_below(self, const Market* market,
                                   int64_t price) noexcept nogil:
        cdef int64_t d = price >> 12, word = (price >> 6) & 63, i
        cdef uint32_t first = market.directories[d * 2 + BUY]
        cdef uint64_t bits = self.pages[first + word].bits & below(price & 63)
        if bits == 0:
            bits = self.summaries[first >> 6] & below(word)
            if bits == 0:
                bits = market.top[BUY][d >> 6] & below(d & 63)
                d &= ~<int64_t>63
                if bits == 0:
                    i = d >> 12
                    bits = market.crown[BUY][i] & below((d >> 6) & 63)
                    while bits == 0 and i > 0:
                        i -= 1
                        bits = market.crown[BUY][i]
                    if bits == 0:
                        return 0
                    d = (i << 12) | (highest(bits) << 6)
                    bits = market.top[BUY][d >> 6]
                d |= highest(bits)
                first = market.directories[d * 2 + BUY]
                bits = self.summaries[first >> 6]
            word = highest(bits)
            bits = self.pages[first + word].bits
        return (d << 12) | (word << 6) | highest(bits)

    cdef inline int64_t next_above(self, const Market* market,
                                   int64_t price) noexcept nogil:
        cdef int64_t d = price >> 12, word = (price >> 6) & 63, i
        cdef int64_t last = (market.n_directories - 1) >> 12
        cdef uint32_t first = market.directories[d * 2 + SELL]
        cdef uint64_t bits = self.pages[first + word].bits & above(price & 63)
        if bits == 0:
            bits = self.summaries[first >> 6] & above(word)
            if bits == 0:
                bits = market.top[SELL][d >> 6] & above(d & 63)
                d &= ~<int64_t>63
                if bits == 0:
                    i = d >> 12
                    bits = market.crown[SELL][i] & above((d >> 6) & 63)
                    while bits == 0 and i < last:
                        i += 1
                        bits = market.crown[SELL][i]
                    if bits == 0:
                        return NO_ASK
                    d = (i << 12) | (lowest(bits) << 6)
                    bits = market.top[SELL][d >> 6]
                d |= lowest(bits)
                first = market.directories[d * 2 + SELL]
                bits = self.summaries[first >> 6]
            word = lowest(bits)
            bits = self.pages[first + word].bits
        return (d << 12) | (word << 6) | lowest(bits)

    @final
    cdef void open_page(self, Market* market, int side, int64_t price) noexcept nogil:
        # The page is about to get its first order: give it levels, mark it in the tree.
        cdef int64_t d = price >> 12
        cdef uint32_t levels, i, at = self.page_of(market, side, price)
        if self.pages[at].levels == 0:
            # Before the directory, which it would find empty and take away.
            levels = self.take_block()
            if d >= market.n_directories:
                grow_market(market, d + 1)
            if market.directories[d * 2 + side] == 0:
                market.directories[d * 2 + side] = self.take_directory()
            at = self.page_of(market, side, price)
            self.pages[at].levels = levels
            self.block_of[levels >> 6] = <uint32_t>(price >> 6)
            for i in range(levels, levels + 64):
                self.units[i] = Level(i, i, 0)
        else:
            self.n_empty -= 1
        self.summaries[at >> 6] |= <uint64_t>1 << (at & 63)
        market.top[side][d >> 6] |= <uint64_t>1 << (d & 63)
        market.crown[side][d >> 12] |= <uint64_t>1 << ((d >> 6) & 63)

    @final
    cdef void close_page(self, Market* market, int side, int64_t price) noexcept nogil:
        # The page lost its last order: take it out of the tree.
        cdef int64_t d = price >> 12
        cdef uint32_t at = self.page_of(market, side, price)
        self.n_empty += 1
        self.summaries[at >> 6] &= ~(<uint64_t>1 << (at & 63))
        if self.summaries[at >> 6] == 0:
            market.top[side][d >> 6] &= ~(<uint64_t>1 << (d & 63))
            if market.top[side][d >> 6] == 0:
                market.crown[side][d >> 12] &= ~(<uint64_t>1 << ((d >> 6) & 63))

    # -- MEMORY

    @final
    cdef uint32_t take_directory(self) noexcept nogil:
        cdef uint32_t first = self.free_directories
        cdef int64_t old = self.pages_max
        if first:
            self.free_directories = self.pages[first].levels
            self.pages[first].levels = 0
            return first
        if self.n_pages == old:
            self.pages_max *= 2
            self.pages = <Page*>grown(
                self.pages, old * sizeof(Page), self.pages_max * sizeof(Page))
            self.summaries = <uint64_t*>grown(
                self.summaries, old >> 3, self.pages_max >> 3)
        self.n_pages += 64
        return <uint32_t>(self.n_pages - 64)

    @final
    cdef uint32_t take_block(self) noexcept nogil:
        # 64 units that hold anything.  Memory doubles unless half of it is empty pages,
        # so that looking for them costs O(1) a block.
        cdef uint32_t block
        cdef int64_t old = self.units_max
        if self.free_blocks == 0 and self.n_units == self.units_max:
            if self.n_empty >= self.units_max >> 7:
                self.reclaim()
            else:
                self.units_max *= 2
                self.units = <Level*>arena(
                    self.units, old * sizeof(Level), self.units_max * sizeof(Level))
                self.block_of = <uint32_t*>arena(
                    self.block_of, (old >> 6) * 4, (self.units_max >> 6) * 4)
        block = self.free_blocks
        if block:
            self.free_blocks = self.block_of[block >> 6]
            return block
        self.n_units += 64
        return <uint32_t>(self.n_units - 64)

    @final
    cdef void reclaim(self) noexcept nogil:
        # Free the pages that hold no orders, and directories without pages.
        cdef int i, kind
        for i in range(self.n_markets):
            self.reclaim_pages(&self.markets[i])
            for kind in range(LISTS):
                if self.watches[i].waiting[kind] != NULL:
                    self.reclaim_pages(self.watches[i].waiting[kind])
        self.n_empty = 0

    @final
    cdef void reclaim_pages(self, Market* market) noexcept nogil:
        cdef int64_t d
        cdef uint32_t first, at, kept
        for d in range(market.n_directories * 2):
            first = market.directories[d]
            if first == 0:
                continue
            kept = 0
            for at in range(first, first + 64):
                if self.pages[at].bits:
                    kept += 1
                elif self.pages[at].levels:
                    self.block_of[self.pages[at].levels >> 6] = self.free_blocks
                    self.free_blocks = self.pages[at].levels
                    self.pages[at].levels = 0
            if kept == 0:
                self.pages[first].levels = self.free_directories
                self.free_directories = first
                market.directories[d] = 0

    @final
    cdef void grow_orders(self) noexcept nogil:
        # A block of 32 orders: the first is taken first.
        cdef uint32_t block = self.take_block()
        cdef int i
        cdef int64_t old = self.orders_max
        if self.n_orders + 32 > old:
            self.orders_max *= 2
            self.free_orders = <uint32_t*>arena(
                self.free_orders, (old + SPARE) * 4, (self.orders_max + SPARE) * 4)
        self.n_orders += 32
        for i in range(62, -1, -2):
            self.give_order(block + i)

    @final
    cdef uint32_t take_wide(self) noexcept nogil:
        # An order with an Extra, both of which hold anything.
        cdef uint32_t block
        cdef int64_t old = self.wide_max
        cdef int i
        if self.n_free_wide == 0:
            block = self.take_block()
            if self.n_wide + 16 > old:
                self.wide_max = 2 * old if old else 64
                self.free_wide = <uint32_t*>arena(
                    self.free_wide, old * 4, self.wide_max * 4)
            self.n_wide += 16
            for i in range(60, -1, -4):
                self.give_wide(block + i)
        self.n_free_wide -= 1
        return self.free_wide[self.n_free_wide]


cdef void guard(Market* market) noexcept nogil:
    # What judges new orders by more than plain checks.
    market.guarded = market.phase != OPEN or market.band_ppm != 0


cdef void grow_market(Market* market, int64_t n) noexcept nogil:
    # Make room for n directories of 4,096 ticks a side, in words of 64.
    cdef int64_t old = market.n_directories, new = 64
    cdef int side
    while new < n:
        new *= 2
    market.directories = <uint32_t*>grown(market.directories, old * 8, new * 8)
    for side in range(2):
        market.top[side] = <uint64_t*>grown(market.top[side], old >> 3, new >> 3)
        market.crown[side] = <uint64_t*>grown(
            market.crown[side], ((old + 4095) >> 12) * 8, ((new + 4095) >> 12) * 8)
    market.n_directories = new


cdef void free_market(Market* market) noexcept nogil:
    cdef int side
    free(market.directories)
    for side in range(2):
        free(market.top[side])
        free(market.crown[side])


cdef int check_side(int side) except -1:
    if side != BUY and side != SELL:
        raise ValueError(f"'side' must be 0 (buy) or 1 (sell) (got {side}).")
    return side
