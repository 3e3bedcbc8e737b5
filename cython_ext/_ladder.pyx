"""The price levels of any number of markets, and the memory their orders lie in.

All markets share one arena of 32-byte units. An order is a unit, and a level is one:
the sentinel of a circular list of orders. Levels are found through pages of 64 ticks
under a 64-ary bitmap tree for each side, so that finding the next best price never
walks empty ticks. Levels and pages are there while they hold orders: a price that falls
through its whole range leaves no memory behind.
"""

from cython cimport final
from libc.stdlib cimport free

import numpy as np

from ._machine cimport above, below, grown, highest, lowest, stretched

cdef enum:
    MARKETS_MAX = 1 << 16
    PPM = 1_000_000


cdef class Ladder:
    """Levels, best prices and settings of the markets; what `Books` is built on."""

    def __cinit__(self):
        self.units_max = 1 << 12
        self.units = <Level*>grown(NULL, 0, self.units_max * sizeof(Level))
        self.n_units = 1         # unit 0 means "none"
        self.free_units = <uint32_t*>grown(NULL, 0, (self.units_max + SPARE) * 4)
        self.cells_max = 1 << 10
        self.cells = <uint32_t*>grown(NULL, 0, self.cells_max * 4)
        self.n_cells = 64        # page 0 means "none"
        self.directories_max = 16
        self.directories = <Directory*>grown(
            NULL, 0, self.directories_max * sizeof(Directory))
        self.n_directories = 1

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_markets):
            free(self.markets[i].directories)
            free(self.markets[i].top[BUY])
            free(self.markets[i].top[SELL])
        free(self.markets)
        free(self.units)
        free(self.free_units)
        free(self.cells)
        free(self.directories)

    # -- MARKETS

    def add_market(self):
        """Open an empty market and return its number."""
        if self.n_markets == MARKETS_MAX:
            raise OverflowError(f"a book engine holds at most {MARKETS_MAX} markets")
        self.markets = <Market*>grown(
            self.markets, self.n_markets * sizeof(Market),
            (self.n_markets + 1) * sizeof(Market))
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

    def set_reference(self, int market, int64_t price):
        """Measure the price band from ``price``; 0: from the last trade."""
        self.known(market)
        if not 0 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 0 to {PRICE_MAX} (got {price}).")
        self.markets[market].reference = price

    def set_last_price(self, int market, int64_t price):
        """Take ``price`` for the last trade before the book opened."""
        self.known(market)
        if not 1 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 1 to {PRICE_MAX} (got {price}).")
        self.markets[market].last_price = price

    def set_halted(self, int market, bint halted):
        """Refuse new and replaced orders of the market, or take them again."""
        self.known(market)
        self.markets[market].halted = halted

    @final
    cdef int known(self, int market) except -1:
        if not 0 <= market < self.n_markets:
            raise IndexError(
                f"'market' must be from 0 to {self.n_markets - 1} (got {market}).")
        return 0

    # -- QUERIES

    def best(self, int market):
        """Return (bid, ask) in ticks; 0 for an empty side."""
        self.known(market)
        cdef Market* m = &self.markets[market]
        return m.best[BUY], 0 if m.best[SELL] == NO_ASK else m.best[SELL]

    def last_price(self, int market):
        """Return the price of the last trade in ticks; 0 before the first."""
        self.known(market)
        return self.markets[market].last_price

    def top(self):
        """Return (bid, bid_qty, ask, ask_qty, last) of every market, int64 (n, 5)."""
        out = np.zeros((self.n_markets, 5), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef Market* m
        cdef int i
        for i in range(self.n_markets):
            m = &self.markets[i]
            if m.best[BUY]:
                rows[i, 0] = m.best[BUY]
                rows[i, 1] = self.units[self.level_at(m, m.best[BUY])].qty
            if m.best[SELL] != NO_ASK:
                rows[i, 2] = m.best[SELL]
                rows[i, 3] = self.units[self.level_at(m, m.best[SELL])].qty
            rows[i, 4] = m.last_price
        return out

    def depth(self, int market, int side, int64_t levels=-1):
        """Return (prices, quantities) of the best levels; all of them by default."""
        self.known(market)
        prices, quantities = [], []
        cdef Market* m = &self.markets[market]
        cdef int64_t price = m.best[check_side(side)]
        while 0 < price < NO_ASK and levels != 0:
            prices.append(price)
            quantities.append(self.units[self.level_at(m, price)].qty)
            price = self.next_price(m, side, price)
            levels -= 1
        return np.array(prices, np.int64), np.array(quantities, np.int64)

    def volume_within(self, int side, limits):
        """Return (lots, sum of price * lots) resting down to a price, int64 (n, 2).

        ``limits`` holds one price in ticks for each market; bids at or above it are
        counted, asks at or below it. O(levels counted).
        """
        check_side(side)
        cdef int64_t[::1] edges = np.ascontiguousarray(limits, np.int64)
        if edges.shape[0] != self.n_markets:
            raise ValueError(
                f"'limits' must hold {self.n_markets} prices (got {edges.shape[0]}).")
        out = np.zeros((self.n_markets, 2), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef Market* m
        cdef int64_t price, qty
        cdef int i
        for i in range(self.n_markets):
            m = &self.markets[i]
            price = m.best[side]
            while 0 < price < NO_ASK and (
                    price >= edges[i] if side == BUY else price <= edges[i]):
                qty = self.units[self.level_at(m, price)].qty
                rows[i, 0] += qty
                rows[i, 1] += qty * price
                price = self.next_price(m, side, price)
        return out

    def sweep(self, int market, int side, int64_t qty):
        """Return (lots, sum of price * lots, worst price) a taker order would get."""
        self.known(market)
        cdef Market* m = &self.markets[market]
        cdef int other = 1 - check_side(side)
        cdef int64_t price = m.best[other], take, worst = 0, lots = 0
        total = 0
        while 0 < price < NO_ASK and lots < qty:
            take = min(qty - lots, self.units[self.level_at(m, price)].qty)
            lots += take
            total += <object>take * price
            worst = price
            price = self.next_price(m, other, price)
        return lots, total, worst

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
        cdef const Directory* directory = &self.directories[market.directories[d]]
        cdef uint64_t bits = directory.pages[word].bits[BUY] & below(price & 63)
        if bits == 0:
            bits = directory.summary[BUY] & below(word)
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
                directory = &self.directories[market.directories[d]]
                bits = directory.summary[BUY]
            word = highest(bits)
            bits = directory.pages[word].bits[BUY]
        return (d << 12) | (word << 6) | highest(bits)

    cdef inline int64_t next_above(self, const Market* market,
                                   int64_t price) noexcept nogil:
        cdef int64_t d = price >> 12, word = (price >> 6) & 63, i
        cdef const Directory* directory = &self.directories[market.directories[d]]
        cdef uint64_t bits = directory.pages[word].bits[SELL] & above(price & 63)
        if bits == 0:
            bits = directory.summary[SELL] & above(word)
            if bits == 0:
                bits = market.top[SELL][d >> 6] & above(d & 63)
                d &= ~<int64_t>63
                if bits == 0:
                    i = d >> 12
                    bits = market.crown[SELL][i] & above((d >> 6) & 63)
                    while bits == 0 and i < 63:
                        i += 1
                        bits = market.crown[SELL][i]
                    if bits == 0:
                        return NO_ASK
                    d = (i << 12) | (lowest(bits) << 6)
                    bits = market.top[SELL][d >> 6]
                d |= lowest(bits)
                directory = &self.directories[market.directories[d]]
                bits = directory.summary[SELL]
            word = lowest(bits)
            bits = directory.pages[word].bits[SELL]
        return (d << 12) | (word << 6) | lowest(bits)

    @final
    cdef Page* new_page(self, Market* market, int64_t price) noexcept nogil:
        cdef int64_t d = price >> 12, old
        cdef Page* page
        if d >= market.n_directories:
            grow_market(market, d + 1)
        if market.directories[d] == 0:
            if self.n_directories == self.directories_max:
                old = self.directories_max
                self.directories_max *= 2
                self.directories = <Directory*>grown(
                    self.directories, old * sizeof(Directory),
                    self.directories_max * sizeof(Directory))
            market.directories[d] = <uint32_t>self.n_directories
            self.n_directories += 1
        if self.free_cells == 0:
            if self.n_cells == self.cells_max:
                old = self.cells_max
                self.cells_max *= 2
                self.cells = <uint32_t*>grown(
                    self.cells, old * 4, self.cells_max * 4)
            self.free_cells = <uint32_t>self.n_cells
            self.n_cells += 64
        page = self.page_at(market, price)
        page.cells = self.free_cells
        self.free_cells = self.cells[page.cells]
        return page

    @final
    cdef void mark_page(self, Market* market, int side, int64_t price) noexcept nogil:
        # The page is about to get its first level of a side.
        cdef int64_t d = price >> 12
        self.directories[market.directories[d]].summary[side] |= (
            <uint64_t>1 << ((price >> 6) & 63))
        market.top[side][d >> 6] |= <uint64_t>1 << (d & 63)
        market.crown[side][d >> 12] |= <uint64_t>1 << ((d >> 6) & 63)

    @final
    cdef void clear_page(self, Market* market, int side, int64_t price,
                         Page* page) noexcept nogil:
        # The page lost its last level of a side.
        cdef int64_t d = price >> 12
        cdef Directory* directory = &self.directories[market.directories[d]]
        directory.summary[side] &= ~(<uint64_t>1 << ((price >> 6) & 63))
        if directory.summary[side] == 0:
            market.top[side][d >> 6] &= ~(<uint64_t>1 << (d & 63))
            if market.top[side][d >> 6] == 0:
                market.crown[side][d >> 12] &= ~(<uint64_t>1 << ((d >> 6) & 63))
        if page.bits[1 - side] == 0:
            self.cells[page.cells] = self.free_cells
            self.free_cells = page.cells
            page.cells = 0

    @final
    cdef void grow_units(self) noexcept nogil:
        cdef int64_t i
        if self.n_units == self.units_max:
            self.units_max *= 2
            self.units = <Level*>stretched(self.units, self.units_max * sizeof(Level))
            self.free_units = <uint32_t*>stretched(
                self.free_units, (self.units_max + SPARE) * 4)
        # The rest of a block of 64: the first is taken first.
        for i in range(self.n_units | 63, self.n_units - 1, -1):
            self.give_unit(<uint32_t>i)
        self.n_units = (self.n_units | 63) + 1


cdef void grow_market(Market* market, int64_t n) noexcept nogil:
    # Make room for n directories of 4,096 ticks, in words of 64.
    cdef int64_t old = market.n_directories, new = 64
    cdef int side
    while new < n:
        new *= 2
    market.directories = <uint32_t*>grown(market.directories, old * 4, new * 4)
    for side in range(2):
        market.top[side] = <uint64_t*>grown(market.top[side], old >> 3, new >> 3)
    market.n_directories = new


cdef int check_side(int side) except -1:
    if side != BUY and side != SELL:
        raise ValueError(f"'side' must be 0 (buy) or 1 (sell) (got {side}).")
    return side
