"""The price levels of any number of markets, and the memory their orders lie in.

All markets share one arena of 16-byte units. A level is a unit: the sentinel of a
circular list of orders, each of two units. A block of 32 units holds the levels of a
page, which is 32 ticks of one side, or 16 orders. Pages are found under a 64-ary bitmap
tree for each side, so that finding the next best price never walks empty ticks. Pages
that hold no more orders stay until memory is short, and are then used again: a price
that falls through its whole range leaves no memory behind, and one that comes back
finds its levels.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memset

from ._arguments cimport bounded, whole
from ._machine cimport (
    above,
    arena,
    below,
    free_arena,
    free_sparse,
    grown,
    highest,
    lowest,
    prefetch,
    sparse,
    unlikely,
)

cdef enum:
    MARKETS_MAX = 1 << 16
    PPM = 1_000_000


cdef class Ladder:
    """Levels, best prices and settings of the markets; what `Books` is built on."""

    def __cinit__(self):
        self.units_max = 1 << 12
        self.units = <Level*>arena(NULL, 0, self.units_max * sizeof(Level))
        self.blocks = <Block*>arena(NULL, 0, (self.units_max >> 5) * sizeof(Block))
        # What is fetched in advance may follow unit 0 as if it were an order.
        memset(self.units, 0, sizeof(Order))
        self.blocks[0] = Block(0, 0)
        self.n_units = 32        # unit 0 means "none"
        self.orders_max = 1 << 10
        self.free_orders = <uint32_t*>arena(NULL, 0, (self.orders_max + SPARE) * 4)
        memset(self.free_orders, 0, SPARE * 4)
        self.pages_max = 16 * 64
        self.pages = <Page*>grown(NULL, 0, self.pages_max * sizeof(Page))
        self.marks = <uint64_t*>grown(NULL, 0, self.pages_max >> 3)
        self.n_pages = 64        # directory 0 means "none"
        # One more than there is room for: a first one can always be looked at.
        self.markets = <Market*>grown(NULL, 0, sizeof(Market))

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
        free_arena(self.blocks, (self.units_max >> 5) * sizeof(Block))
        free_arena(self.free_orders, (self.orders_max + SPARE) * 4)
        free_arena(self.free_wide, self.wide_max * 4)
        free(self.pages)
        free(self.marks)

    # -- MARKETS

    def add_market(self):
        """Open an empty market and return its number."""
        if self.n_markets == MARKETS_MAX:
            raise OverflowError(f"a book engine holds at most {MARKETS_MAX} markets")
        cdef int64_t old = self.n_markets, new = max(2 * old, 1)
        if old & (old - 1) == 0:
            self.markets = <Market*>grown(
                self.markets, (old + 1) * sizeof(Market), (new + 1) * sizeof(Market))
            self.watches = <Watch*>grown(
                self.watches, old * sizeof(Watch), new * sizeof(Watch))
        cdef Market* market = &self.markets[self.n_markets]
        market.best[SELL] = NO_ASK
        grow_market(market, 1)
        self.n_markets += 1
        return self.n_markets - 1

    def set_price_band(self, market, ppm):
        """Let no trade print as far as ``ppm`` parts per million from the reference.

        The reference is that of `set_reference`, else the last trade; 0 lifts the band.
        """
        cdef Market* m = &self.markets[self.known(market)]
        cdef int64_t share = whole("ppm", ppm)
        if not 0 <= share <= PPM:
            raise ValueError(f"'ppm' must be from 0 to 1,000,000 (got {ppm}).")
        m.band_ppm = share
        guard(m)

    def set_reference(self, market, price):
        """Measure the price band from ``price``; 0: from the last trade."""
        cdef Market* m = &self.markets[self.known(market)]
        m.reference = bounded("price", price, 0, PRICE_MAX)

    @final
    cdef int known(self, market) except -1:
        cdef int64_t number = whole("market", market)
        if not 0 <= number < self.n_markets:
            raise IndexError(
                f"'market' must be from 0 to {self.n_markets - 1} (got {market}).")
        return <int>number

    # -- THE TREE

    @final
    cdef int64_t next_price(self, const Market* market, int side,
                            int64_t price) noexcept nogil:
        # The next best price behind `price`, which is that of a level there was; 0 or
        # NO_ASK if none.  Pages lose their orders without a word to the tree, which
        # many would be told again at once; they leave it when they are met here.
        cdef int64_t d = price >> 11, word = (price >> 5) & 63
        cdef uint32_t first = market.directories[d * 2 + side]
        cdef Page* page = &self.pages[first + word]
        cdef uint64_t marked = self.marks[first >> 6] & (
            above(word) if side else below(word))
        cdef uint64_t bits = page.bits & (
            above(price & 31) if side else below(price & 31))
        while bits == 0:
            if unlikely(marked == 0):
                d = self.next_directory(market, side, d)
                if d < 0:
                    return NO_ASK if side else 0
                first = market.directories[d * 2 + side]
                marked = self.marks[first >> 6]
            word = lowest(marked) if side else highest(marked)
            page = &self.pages[first + word]
            bits = page.bits
            if bits == 0:
                page.levels &= UNIT
                marked &= ~(<uint64_t>1 << word)
                self.marks[first >> 6] &= ~(<uint64_t>1 << word)
        return d << 11 | word << 5 | (lowest(bits) if side else highest(bits))

    @final
    cdef int64_t next_directory(self, const Market* market, int side,
                                int64_t d) noexcept nogil:
        # The next one behind that has marked pages, -1 if none.  One that has lost its
        # marks leaves the tree here.
        cdef int64_t word, i
        cdef uint64_t bits
        if self.marks[market.directories[d * 2 + side] >> 6] == 0:
            self.leave_tree(market, side, d)
        word = d >> 6
        bits = market.top[side][word] & (above(d & 63) if side else below(d & 63))
        if bits == 0:
            i = word >> 6
            bits = market.crown[side][i] & (
                above(word & 63) if side else below(word & 63))
            while bits == 0:
                i += 2 * side - 1
                if i < 0 or i > (market.n_directories - 1) >> 12:
                    return -1
                bits = market.crown[side][i]
            word = i << 6 | (lowest(bits) if side else highest(bits))
            bits = market.top[side][word]
        return word << 6 | (lowest(bits) if side else highest(bits))

    @final
    cdef void leave_tree(self, const Market* market, int side,
                         int64_t d) noexcept nogil:
        market.top[side][d >> 6] &= ~(<uint64_t>1 << (d & 63))
        if market.top[side][d >> 6] == 0:
            market.crown[side][d >> 12] &= ~(<uint64_t>1 << ((d >> 6) & 63))

    @final
    cdef void open_page(self, Market* market, int side, int64_t price) noexcept nogil:
        # Give the page levels, mark it in the tree.
        cdef int64_t d = price >> 11, coming
        cdef uint32_t levels, i, at = self.page_of(market, side, price)
        cdef Level* level
        if self.pages[at].levels == 0:
            # Before the directory, which it would find empty and take away.
            levels = self.take_block()
            if d >= market.n_directories:
                grow_market(market, d + 1)
            if market.directories[d * 2 + side] == 0:
                market.directories[d * 2 + side] = self.take_directory()
            at = self.page_of(market, side, price)
            self.pages[at].levels = levels
            self.blocks[levels >> 5] = Block(at, <uint32_t>(price >> 5))
            # The eight cache lines that the next page will get: a price on its way
            # opens one page after the other, and all of their levels are written.
            coming = self.free_blocks if self.free_blocks else self.n_units
            if coming < self.units_max:
                for i in range(0, 32, 4):
                    prefetch(&self.units[coming + i])
            level = &self.units[levels]
            for i in range(32):
                level[i].prev = levels + i
                level[i].next = levels + i
                level[i].qty = 0
        self.pages[at].levels |= ~<uint32_t>UNIT
        if self.marks[at >> 6] == 0:
            market.top[side][d >> 6] |= <uint64_t>1 << (d & 63)
            market.crown[side][d >> 12] |= <uint64_t>1 << ((d >> 6) & 63)
        self.marks[at >> 6] |= <uint64_t>1 << (at & 63)

    # -- STATE

    cdef int visit(self, State state) except -1:
        cdef int64_t units = self.units_max, orders = self.orders_max
        cdef int64_t wide = self.wide_max
        state.number(&self.n_units)
        state.number(&self.units_max)
        state.number(&self.n_free)
        state.number(&self.n_orders)
        state.number(&self.orders_max)
        state.number(&self.n_free_wide)
        state.number(&self.n_wide)
        state.number(&self.wide_max)
        state.number(&self.n_pages)
        state.number(&self.pages_max)
        state.raw(&self.free_blocks, 4)
        state.raw(&self.free_directories, 4)
        self.units = <Level*>state.arena(
            self.units, units * sizeof(Level), self.units_max * sizeof(Level),
            self.n_units * sizeof(Level))
        self.blocks = <Block*>state.arena(
            self.blocks, (units >> 5) * sizeof(Block),
            (self.units_max >> 5) * sizeof(Block),
            (self.n_units >> 5) * sizeof(Block))
        self.free_orders = <uint32_t*>state.arena(
            self.free_orders, (orders + SPARE) * 4, (self.orders_max + SPARE) * 4,
            (self.n_free + SPARE) * 4)
        if self.wide_max:
            self.free_wide = <uint32_t*>state.arena(
                self.free_wide, wide * 4, self.wide_max * 4, self.n_free_wide * 4)
        self.pages = <Page*>state.block(
            self.pages, self.pages_max * sizeof(Page), self.n_pages * sizeof(Page))
        self.marks = <uint64_t*>state.block(
            self.marks, self.pages_max >> 3, self.n_pages >> 3)
        return self.visit_markets(state)

    @final
    cdef int visit_markets(self, State state) except -1:
        cdef int i, kind, n
        cdef int64_t room = 1
        cdef bint waits
        cdef Watch watch
        n = self.n_markets
        state.raw(&n, sizeof(int))
        if state.reading:
            while room < n:
                room *= 2
            free(self.markets)
            free(self.watches)
            self.markets = <Market*>grown(NULL, 0, (room + 1) * sizeof(Market))
            self.watches = <Watch*>grown(NULL, 0, room * sizeof(Watch))
            self.n_markets = n
        for i in range(n):
            visit_market(&self.markets[i], state)
            watch = self.watches[i]
            memset(watch.waiting, 0, sizeof(watch.waiting))
            state.raw(&watch, sizeof(Watch))
            if state.reading:
                self.watches[i] = watch
            for kind in range(LISTS):
                waits = self.watches[i].waiting[kind] != NULL
                state.raw(&waits, sizeof(bint))
                if not waits:
                    continue
                if state.reading:
                    self.watches[i].waiting[kind] = <Market*>grown(
                        NULL, 0, sizeof(Market))
                visit_market(self.watches[i].waiting[kind], state)
        return 0

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
            self.marks = <uint64_t*>grown(self.marks, old >> 3, self.pages_max >> 3)
        self.n_pages += 64
        return <uint32_t>(self.n_pages - 64)

    @final
    cdef uint32_t take_block(self) noexcept nogil:
        # 32 units that hold anything.  Memory doubles unless three quarters of it can
        # be used again: with a half, a cascade lost levels that it came back to, and
        # took longer.
        cdef uint32_t block
        cdef int64_t old = self.units_max
        if self.free_blocks == 0 and self.n_units == old:
            if self.unused() >= old // 128 * 3:
                self.reclaim()
            else:
                self.units_max *= 2
                self.units = <Level*>arena(
                    self.units, old * sizeof(Level), self.units_max * sizeof(Level))
                self.blocks = <Block*>arena(
                    self.blocks, (old >> 5) * sizeof(Block),
                    (self.units_max >> 5) * sizeof(Block))
        block = self.free_blocks
        if block:
            self.free_blocks = self.blocks[block >> 5].page
            return block
        self.n_units += 32
        return <uint32_t>(self.n_units - 32)

    @final
    cdef int64_t unused(self) noexcept nogil:
        # How many pages have levels but no orders.
        cdef int64_t i, n = 0
        for i in range(self.n_pages):
            n += (self.pages[i].bits == 0) & ((self.pages[i].levels & UNIT) != 0)
        return n

    @final
    cdef void reclaim(self) noexcept nogil:
        # Free the levels of pages without orders, and directories without levels.
        cdef int i, kind
        for i in range(self.n_markets):
            self.reclaim_pages(&self.markets[i])
            for kind in range(LISTS):
                if self.watches[i].waiting[kind] != NULL:
                    self.reclaim_pages(self.watches[i].waiting[kind])

    @final
    cdef void reclaim_pages(self, Market* market) noexcept nogil:
        cdef int64_t d
        cdef int kept
        cdef uint32_t first, at
        cdef Page* page
        for d in range(market.n_directories * 2):
            first = market.directories[d]
            if first == 0:
                continue
            kept = 0
            for at in range(first, first + 64):
                page = &self.pages[at]
                if page.bits:
                    kept += 1
                    continue
                page.levels &= UNIT
                self.marks[at >> 6] &= ~(<uint64_t>1 << (at & 63))
                if page.levels:
                    self.blocks[page.levels >> 5].page = self.free_blocks
                    self.free_blocks = page.levels
                    page.levels = 0
            if kept == 0:
                self.leave_tree(market, d & 1, d >> 1)
                self.pages[first].levels = self.free_directories
                self.free_directories = first
                market.directories[d] = 0

    @final
    cdef void grow_orders(self) noexcept nogil:
        # A block of 16 orders: the first is taken first.
        cdef uint32_t block = self.take_block()
        cdef int i
        cdef int64_t old = self.orders_max
        if self.n_orders + 16 > old:
            self.orders_max *= 2
            self.free_orders = <uint32_t*>arena(
                self.free_orders, (old + SPARE) * 4, (self.orders_max + SPARE) * 4)
        self.n_orders += 16
        for i in range(30, -1, -2):
            self.give_order(block + i)

    @final
    cdef uint32_t take_wide(self) noexcept nogil:
        # An order with an Extra, both of which hold anything.
        cdef uint32_t block
        cdef int64_t old = self.wide_max
        cdef int i
        if self.n_free_wide == 0:
            block = self.take_block()
            if self.n_wide + 8 > old:
                self.wide_max = 2 * old if old else 64
                self.free_wide = <uint32_t*>arena(
                    self.free_wide, old * 4, self.wide_max * 4)
            self.n_wide += 8
            for i in range(28, -1, -4):
                self.give_wide(block + i)
        self.n_free_wide -= 1
        return self.free_wide[self.n_free_wide]


cdef void guard(Market* market) noexcept nogil:
    # What judges new orders by more than plain checks.
    market.guarded = market.phase != OPEN or market.band_ppm != 0


cdef void grow_market(Market* market, int64_t n) noexcept nogil:
    # Make room for n directories of 2,048 ticks a side, in words of 64.
    cdef int64_t old = market.n_directories, new = 64
    cdef int side
    while new < n:
        new *= 2
    market.directories = <uint32_t*>sparse(market.directories, old * 8, new * 8)
    for side in range(2):
        market.top[side] = <uint64_t*>sparse(market.top[side], old >> 3, new >> 3)
        market.crown[side] = <uint64_t*>sparse(
            market.crown[side], crown_bytes(old), crown_bytes(new))
    market.n_directories = new


cdef int visit_market(Market* market, State state) except -1:
    # One that is read has nothing yet.
    cdef Market plain = market[0]
    cdef int64_t n
    cdef int side
    plain.directories = NULL
    memset(plain.top, 0, sizeof(plain.top))
    memset(plain.crown, 0, sizeof(plain.crown))
    state.raw(&plain, sizeof(Market))
    if state.reading:
        market[0] = plain
    n = market.n_directories
    market.directories = <uint32_t*>state.sparse(market.directories, 0, n * 8)
    for side in range(2):
        market.top[side] = <uint64_t*>state.sparse(market.top[side], 0, n >> 3)
        market.crown[side] = <uint64_t*>state.sparse(
            market.crown[side], 0, crown_bytes(n))
    return 0


cdef void free_market(Market* market) noexcept nogil:
    cdef int64_t n = market.n_directories
    cdef int side
    free_sparse(market.directories, n * 8)
    for side in range(2):
        free_sparse(market.top[side], n >> 3)
        free_sparse(market.crown[side], crown_bytes(n))


cdef int64_t crown_bytes(int64_t n) noexcept nogil:
    return ((n + 4095) >> 12) * 8


cdef int check_side(side) except -1:
    cdef int64_t number = whole("side", side)
    if number != BUY and number != SELL:
        raise ValueError(f"'side' must be 0 (buy) or 1 (sell) (got {side}).")
    return <int>number
