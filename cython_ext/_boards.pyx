"""Curves and prices in C, side by side: what all valuations read.

``margin/reference.py`` says the same in plain Python.
"""

from cython cimport final
from libc.string cimport memcpy

import numpy as np

from ._terms import checked, jumps, positive


cdef class Boards(Gate):
    """Prices and curves of assets and markets."""

    # -- SET-UP

    @final
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1:
        cdef int64_t assets = ledger.n_assets, markets = ledger.n_markets, i
        rows = []
        self.ledger = ledger
        self.kept = [(assets, markets)]
        self.new_board(&self.now)
        self.new_board(&self.opening)
        self.read(&self.now, terms, ("collateral", "liability", "borrow", "brackets"),
                  rows)
        self.read(&self.opening, terms, (
            "collateral_initial", "liability", "borrow_initial", "initial"), rows)
        self.opening.by_leverage = True
        unit = positive("unit", unit, assets)
        lot = positive("lot", lot, markets)
        factor = positive("margin_factor", factor, markets)
        for i in range(assets):
            self.now.assets[i].unit = self.opening.assets[i].unit = unit[i]
        for i in range(markets):
            self.now.markets[i].lot = self.opening.markets[i].lot = lot[i]
            self.now.markets[i].factor = self.opening.markets[i].factor = factor[i]
        return self.take_table(np.append(np.array(rows).ravel(), 0.0))

    @final
    cdef int take_table(self, table) except -1:
        # The rows of all curves; of those that sizes seldom leave the bands too.
        cdef int64_t assets, markets, i
        cdef const double[::1] cells
        cdef Band* bands
        table.flags.writeable = False
        self.table = cells = table
        self.now.rows = self.opening.rows = <const Row*>&cells[0]
        assets, markets = self.kept[0]
        bands = <Band*>self.memory(
            SLOTS * (assets + markets) * <int64_t>sizeof(Band))
        self.now.bands = bands
        for i in range(assets):
            self.now.assets[i].band = i * SLOTS
            self.lay_bands(&self.now.assets[i].collateral, &bands[i * SLOTS])
        for i in range(markets):
            self.now.markets[i].band = (assets + i) * SLOTS
            self.lay_bands(&self.now.markets[i].margin, &bands[(assets + i) * SLOTS])
        return 0

    @final
    cdef void lay_bands(self, const Curve* curve, Band* bands) noexcept nogil:
        # A tier that is not there has no size.
        cdef int64_t i
        for i in range(SLOTS):
            bands[i] = Band(bits(INFINITY) + 1, 0, 0, 0)
            if i < curve.tiers:
                bands[i] = band_of(&self.now.rows[curve.first + i])

    @final
    cdef void* memory(self, int64_t bytes) except NULL:
        # Zeros that live as long as this does, from the start of a cache line; never
        # empty.
        cdef double[::1] memory = np.zeros(bytes // 8 + 9)
        self.kept.append(memory)
        return <void*>((<size_t>&memory[0] + 63) & ~<size_t>63)

    @final
    cdef int new_board(self, Board* board) except -1:
        # No prices yet: everything is worth nothing.
        cdef int64_t assets, markets
        assets, markets = self.kept[0]
        board.assets = <Asset*>self.memory(assets * <int64_t>sizeof(Asset))
        board.markets = <Market*>self.memory(markets * <int64_t>sizeof(Market))
        return 0

    @final
    cdef int read(self, Board* board, terms, names, list rows) except -1:
        # The curves of four names.
        cdef int64_t i
        cdef int64_t assets = self.ledger.n_assets, markets = self.ledger.n_markets
        collateral, liability, borrow = (
            self.curves(name, terms, assets, rows) for name in names[:3])
        margin = self.curves(names[3], terms, markets, rows)
        board.tiered = all(curve["tiers"] for curve in collateral + margin)
        for i in range(assets):
            board.assets[i].collateral = collateral[i]
            board.assets[i].liability = liability[i]
            board.assets[i].borrow = borrow[i]
        for i in range(markets):
            board.markets[i].margin = margin[i]
        return 0

    @final
    cdef list curves(self, str name, terms, int64_t n, list rows):
        # The curves of one name, as dicts; their rows go to the end of ``rows``.
        if name not in terms:
            raise ValueError(f"'terms' must have '{name}' (got {', '.join(terms)}).")
        kinds, at, table = checked(name, terms[name], n)
        curves = []
        for i in range(n):
            own = table[at[i]:at[i + 1]]
            flat = kinds[i] == TIERS_USD
            curves.append({
                "cap": -1.0 if not flat else own[1][0] if len(own) > 1 else INFINITY,
                "rate": own[0][1] if flat else 0.0, "first": len(rows),
                "kind": kinds[i], "tiers": min(len(own), SLOTS) if flat else 0,
                "jumps": jumps(kinds[i], own),
            })
            if flat:
                # What is nothing is in the first tier too.
                own[0] = [-INFINITY, *own[0][1:]]
            rows += own
            # A search by size ends here at the latest.
            rows.append([INFINITY, 0.0, 0.0])
        return curves

    @final
    cdef void copy_board(self, const Board* source, Board* target) noexcept nogil:
        # All but where it is.
        memcpy(target.assets, source.assets, self.ledger.n_assets * sizeof(Asset))
        memcpy(target.markets, source.markets, self.ledger.n_markets * sizeof(Market))
        target.rows = source.rows
        target.bands = source.bands
        target.by_leverage = source.by_leverage
        target.tiered = source.tiered

    @final
    cdef int set_board(self, Board* board, list prices) except -1:
        # Index, mark, mark in quote atoms.
        cdef const double[::1] index = prices[0]
        cdef const double[::1] mark = prices[1]
        cdef const double[::1] mark_quote = prices[2]
        cdef const Asset* settle
        cdef Market* market
        cdef int64_t i
        for i in range(self.ledger.n_assets):
            board.assets[i].index = index[i]
        for i in range(self.ledger.n_markets):
            settle = &board.assets[self.ledger.terms[i].quote]
            market = &board.markets[i]
            market.mark, market.mark_quote = mark[i], mark_quote[i]
            market.coin = settle.index / settle.unit * market.factor
            market.per = settle.unit / settle.index if settle.index > 0 else 0
        return 0

    # -- STATE

    cdef int visit(self, State state) except -1:
        # The ledger may be read later than this.
        cdef int64_t assets, markets
        self.ledger = state.thing(self.ledger)
        if not state.reading:
            assets, markets = self.kept[0]
        state.number(&assets)
        state.number(&markets)
        if state.reading:
            self.kept = [(assets, markets)]
        rows = state.thing(self.table)
        self.visit_board(state, &self.now)
        self.visit_board(state, &self.opening)
        if state.reading:
            self.take_table(rows)
        return 0

    @final
    cdef int visit_board(self, State state, Board* board) except -1:
        if state.reading:
            self.new_board(board)
        assets, markets = self.kept[0]
        state.array(board.assets, assets * <int64_t>sizeof(Asset))
        state.array(board.markets, markets * <int64_t>sizeof(Market))
        state.raw(&board.tiered, sizeof(bint))
        return state.raw(&board.by_leverage, sizeof(bint))

    @final
    cdef int same_shape(self) except -1:
        # Curves and prices are of the assets and markets there were.
        if (self.ledger.n_assets, self.ledger.n_markets) != self.kept[0]:
            raise RuntimeError(
                "assets and markets must be added before the risk pass is made.")
        return 0
