"""What accounts are worth: curves and prices in C, and the columns over all accounts.

Ledger state is exact; what is computed here are valuations, in float64 US dollars.
``margin/reference.py`` says the same in plain Python.
"""

from cython cimport final
from libc.string cimport memcpy

import numpy as np

from ._machine cimport prefetch

cdef enum:
    AHEAD = 8                    # accounts prefetched ahead


cdef class Valuation(Gate):
    """Prices, curves, and the valuation of accounts."""

    # -- SET-UP

    @final
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1:
        cdef int64_t assets = ledger.n_assets, markets = ledger.n_markets
        rows = []
        self.ledger = ledger
        self.kept = [(assets, markets)]
        self.keeping.collateral = self.curves("collateral", terms, assets, rows)
        self.keeping.liability = self.curves("liability", terms, assets, rows)
        self.keeping.borrow = self.curves("borrow", terms, assets, rows)
        self.keeping.margin = self.curves("brackets", terms, markets, rows)
        self.opening.collateral = self.curves("collateral_initial", terms, assets, rows)
        self.opening.liability = self.keeping.liability
        self.opening.borrow = self.curves("borrow_initial", terms, assets, rows)
        self.opening.margin = self.curves("initial", terms, markets, rows)
        self.opening.by_leverage = True
        self.scales.rows = <Row*>self.doubles(np.array(rows).ravel())
        self.scales.factor = self.doubles(positive("margin_factor", factor, markets))
        self.scales.unit = self.doubles(positive("unit", unit, assets))
        self.scales.lot = self.doubles(positive("lot", lot, markets))
        self.net = self.doubles(np.zeros(assets))
        self.new_prices(&self.prices)
        self.new_prices(&self.columns_at)
        self.columns = np.zeros((5, 0))
        return 0

    @final
    cdef double* doubles(self, array) except NULL:
        # A copy that lives as long as this does; never empty.
        cdef double[::1] copy = np.append(np.asarray(array, np.float64), 0.0)
        self.kept.append(copy)
        return &copy[0]

    @final
    cdef uint8_t* bytes(self, int64_t n) except NULL:
        cdef uint8_t[::1] memory = np.zeros(n + 1, np.uint8)
        self.kept.append(memory)
        return &memory[0]

    @final
    cdef int new_prices(self, Prices* new) except -1:
        # None yet: everything is worth nothing.
        new.index = self.doubles(np.zeros(self.ledger.n_assets))
        new.mark = self.doubles(np.zeros(self.ledger.n_markets))
        new.mark_quote = self.doubles(np.zeros(self.ledger.n_markets))
        return 0

    @final
    cdef void copy_prices(self, const Prices* source, Prices* target) noexcept nogil:
        cdef size_t assets = self.ledger.n_assets * sizeof(double)
        cdef size_t markets = self.ledger.n_markets * sizeof(double)
        memcpy(target.index, source.index, assets)
        memcpy(target.mark, source.mark, markets)
        memcpy(target.mark_quote, source.mark_quote, markets)

    @final
    cdef Curve* curves(self, str name, terms, int64_t n, list rows) except NULL:
        # The curves of one name; their rows go to the end of ``rows``.
        cdef Curve* curves = <Curve*>self.bytes(n * <int64_t>sizeof(Curve))
        cdef int64_t i
        if name not in terms:
            raise ValueError(f"'terms' must have '{name}' (got {', '.join(terms)}).")
        kinds, at, table = checked(name, terms[name], n)
        for i in range(n):
            own = table[at[i]:at[i + 1]]
            curves[i] = Curve(-1, 0, len(rows), kinds[i], jumps(kinds[i], own))
            if kinds[i] == TIERS_USD:
                curves[i].rate = own[0][1]
                curves[i].cap = own[1][0] if len(own) > 1 else INFINITY
            rows += own
            # A search by size ends here at the latest.
            rows.append([INFINITY, 0.0, 0.0])
        return curves

    @final
    cdef int same_shape(self) except -1:
        # Curves and prices are of the assets and markets there were.
        if (self.ledger.n_assets, self.ledger.n_markets) != self.kept[0]:
            raise RuntimeError(
                "assets and markets must be added before the risk pass is made.")
        return 0

    # -- COLUMNS

    @final
    cdef bint moved(self, const Prices* old, int64_t asset) noexcept nogil:
        return self.prices.index[asset] != old.index[asset]

    @final
    cdef bint mark_moved(self, const Prices* old, int64_t market) noexcept nogil:
        return (self.prices.mark[market] != old.mark[market]
                or self.prices.mark_quote[market] != old.mark_quote[market])

    @final
    cdef int64_t changed(self) noexcept nogil:
        # How many rows of the columns to fill anew, one at a time.
        cdef int64_t n = self.ledger.touched_base - self.columns_seen
        cdef int64_t i
        if n > 0:
            return self.ledger.n_accounts
        n += self.ledger.n_touched
        for i in range(self.ledger.n_assets):
            if self.moved(&self.columns_at, i):
                n += self.ledger.by_asset[i].n
        for i in range(self.ledger.n_markets):
            if self.mark_moved(&self.columns_at, i):
                n += self.ledger.by_market[i].n
        return n

    @final
    cdef void fill_all(self, const Prices* at, double* out, int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t account
        for account in range(SYSTEM_, n):
            if account + AHEAD < n:
                prefetch(&pool[accounts[account + AHEAD].rows])
                prefetch(&pool[accounts[account + AHEAD].rows + 8])
            self.fill(account, at, out, n, account)

    @final
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil:
        # Accounts that hold what was repriced, and those that changed.
        cdef int64_t i, account
        for i in range(self.ledger.n_assets):
            if self.moved(&self.columns_at, i):
                self.fill_holders(&self.ledger.by_asset[i], out, n)
        for i in range(self.ledger.n_markets):
            if self.mark_moved(&self.columns_at, i):
                self.fill_holders(&self.ledger.by_market[i], out, n)
        for i in range(self.columns_seen - self.ledger.touched_base,
                       self.ledger.n_touched):
            account = self.ledger.touched[i]
            if account >= SYSTEM_:
                self.fill(account, &self.prices, out, n, account)

    @final
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t i
        for i in range(holders.n):
            if i + 2 * AHEAD < holders.n:
                prefetch(&accounts[holders.accounts[i + 2 * AHEAD]])
                prefetch(&pool[accounts[holders.accounts[i + AHEAD]].rows])
                prefetch(&pool[accounts[holders.accounts[i + AHEAD]].rows + 8])
            if holders.accounts[i] >= SYSTEM_:
                self.fill(holders.accounts[i], &self.prices, out, n,
                          holders.accounts[i])


def positive(name, array, n):
    """A float64 array of n finite numbers above 0."""
    array = np.ascontiguousarray(array, np.float64)
    if array.shape != (n,) or not np.all(np.isfinite(array) & (array > 0)):
        raise ValueError(f"'{name}' must be {n} numbers above 0 (got {array}).")
    return array


def checked(name, curves, n):
    """Kinds, offsets and rows of n curves, as lists; ValueError if they are none."""
    kinds, at, rows = (np.asarray(part) for part in curves)
    if (kinds.shape != (n,) or at.shape != (n + 1,) or rows.ndim != 2
            or rows.shape[1] != 3 or at[0] != 0 or at[n] != len(rows)
            or np.any(np.diff(at) < 1)):
        raise ValueError(
            f"'{name}' must be {n} schedules of at least one tier each: kinds of "
            f"length {n}, offsets of length {n + 1} and rows of three.")
    kinds, at, rows = kinds.tolist(), at.tolist(), rows.tolist()
    for i, kind in enumerate(kinds):
        check_curve(f"{name}[{i}]", kind, rows[at[i]:at[i + 1]])
    return kinds, at, rows


def check_curve(name, kind, rows):
    """Raise ValueError for rows that no size could be valued with."""
    tiers = kind <= TIERS_QTY
    if not 0 <= kind < KINDS or (not tiers and len(rows) > 1):
        raise ValueError(f"'{name}' must be a kind of curve with its rows "
                         f"(got kind {kind} with {len(rows)} rows).")
    sizes = [x for row in rows for x in (row[:2] if tiers else row)]
    if kind == SQRT_RATE:
        sizes.remove(rows[0][1])  # the base may be below zero
    falling = any(low[0] >= high[0] for low, high in zip(rows, rows[1:]))
    if (not all(0 <= x < INFINITY for x in sizes) or falling
            or (tiers and rows[0][0] + abs(rows[0][2]) != 0)):
        raise ValueError(
            f"'{name}' must have finite rows, at least 0, from 0 up (got {rows}).")


def jumps(kind, rows):
    """Whether the two tiers at a floor give different amounts there."""
    return kind <= TIERS_QTY and any(
        abs((floor * higher - more) - (floor * rate - cum))
        > 1e-9 * floor * (rate + higher)
        for (_, rate, cum), (floor, higher, more) in zip(rows, rows[1:]))
