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
        cdef int64_t assets = ledger.n_assets, markets = ledger.n_markets, i
        cdef double[::1] table
        rows = []
        self.ledger = ledger
        self.kept = [(assets, markets)]
        self.new_board(&self.now)
        self.new_board(&self.opening)
        self.new_board(&self.columns_at)
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
        table = np.append(np.array(rows).ravel(), 0.0)
        self.kept.append(table)
        self.now.rows = self.opening.rows = <const Row*>&table[0]
        self.net = <double*>self.memory(assets * <int64_t>sizeof(double))
        self.columns = np.zeros((5, 0))
        return 0

    @final
    cdef void* memory(self, int64_t bytes) except NULL:
        # Zeros that live as long as this does; never empty.
        cdef double[::1] memory = np.zeros(bytes // 8 + 1)
        self.kept.append(memory)
        return &memory[0]

    @final
    cdef int new_board(self, Board* board) except -1:
        # No prices yet: everything is worth nothing.
        board.assets = <Asset*>self.memory(
            self.ledger.n_assets * <int64_t>sizeof(Asset))
        board.markets = <Market*>self.memory(
            self.ledger.n_markets * <int64_t>sizeof(Market))
        return 0

    @final
    cdef int read(self, Board* board, terms, names, list rows) except -1:
        # The curves of four names.
        cdef int64_t i
        cdef int64_t assets = self.ledger.n_assets, markets = self.ledger.n_markets
        collateral, liability, borrow = (
            self.curves(name, terms, assets, rows) for name in names[:3])
        margin = self.curves(names[3], terms, markets, rows)
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
                "kind": kinds[i], "jumps": jumps(kinds[i], own),
            })
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
        target.by_leverage = source.by_leverage

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

    @final
    cdef int same_shape(self) except -1:
        # Curves and prices are of the assets and markets there were.
        if (self.ledger.n_assets, self.ledger.n_markets) != self.kept[0]:
            raise RuntimeError(
                "assets and markets must be added before the risk pass is made.")
        return 0

    # -- SUMS

    @final
    cdef void tally_any(self, const Account* owner, const Board* at, bint filled,
                        Sums* out) noexcept nogil:
        # Sum any account up; ``filled``: as if all its resting orders were.
        cdef int64_t balances = owner.n_balances
        cdef int64_t room = balances + owner.spare_balances, i
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Open* open = self.ledger.open_balances(owner)
        cdef const Market* market
        cdef double lots
        cdef bint orders = filled and owner.flags & ORDERS != 0
        out[0] = Sums(0, 0, 0, 0)
        for i in range(balances):
            self.net[i] = <double>balance[i].amount
        for i in range(owner.n_positions):
            market = &at.markets[position[i].market]
            self.net[position[i].settle] += profit(&position[i], market)
            lots = <double>position[i].lots
            if orders:
                lots = larger(fabs(lots + <double>open[room + i].into),
                              fabs(lots - <double>open[room + i].out))
            add_position(fabs(lots), position[i].leverage if at.by_leverage else 0,
                         market, at.rows, out)
        if self.ruled:
            out.margin = 0
        for i in range(balances):
            if orders:
                self.net[i] += <double>(open[i].into - open[i].out)
            add_balance(self.net[i], &at.assets[balance[i].asset], at.rows, out)

    @final
    cdef double asked(self, const Account* owner, const Board* at,
                      bint filled) noexcept nogil:
        # Margin of the positions by the rule; ``net`` is that of the tally before.
        # Once the rule has raised it is asked no more: the pass is lost.
        cdef double margin = INFINITY
        if owner.n_positions == 0:
            return 0
        with gil:
            if self.failure is None:
                try:
                    margin = self.ask(owner, at, filled)
                except BaseException as error:
                    self.failure = error
        return margin

    @final
    cdef double ask(self, const Account* owner, const Board* at, bint filled):
        cdef int64_t room = owner.n_balances + owner.spare_balances, i
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Open* open = self.ledger.open_balances(owner)
        cdef double lots, bought, sold, margin
        held = []
        for i in range(owner.n_positions):
            lots = <double>position[i].lots
            if filled and owner.flags & ORDERS != 0:
                bought = lots + <double>open[room + i].into
                sold = lots - <double>open[room + i].out
                lots = bought if fabs(bought) >= fabs(sold) else sold
            if lots != 0:
                held.append((position[i].market,
                             lots * at.markets[position[i].market].mark))
        if not held:
            return 0
        net = [(balance[i].asset, self.net[i] * at.assets[balance[i].asset].index)
               for i in range(owner.n_balances)]
        margin = self.rule(held, net)
        if not 0 <= margin < INFINITY:
            raise ValueError("'position_margin' must return US dollars, finite and "
                             f"at least 0 (got {margin}).")
        return margin

    # -- COLUMNS

    @final
    cdef bint moved(self, const Board* old, int64_t asset) noexcept nogil:
        return self.now.assets[asset].index != old.assets[asset].index

    @final
    cdef bint mark_moved(self, const Board* old, int64_t market) noexcept nogil:
        cdef const Market* new = &self.now.markets[market]
        return (new.mark != old.markets[market].mark
                or new.mark_quote != old.markets[market].mark_quote)

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
    cdef void fill_all(self, double* out, int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t account
        for account in range(SYSTEM_, n):
            if account + AHEAD < n:
                prefetch(&pool[accounts[account + AHEAD].rows])
                prefetch(&pool[accounts[account + AHEAD].rows + 8])
            self.fill(account, &self.now, out, n, account)

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
                self.fill(account, &self.now, out, n, account)

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
                self.fill(holders.accounts[i], &self.now, out, n,
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
            f"'{name}' must be {n} curves of at least one row each: kinds of length "
            f"{n}, offsets of length {n + 1} and rows of three.")
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
