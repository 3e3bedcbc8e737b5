# What an account is worth at given prices.  Behaviour is in _valuation.pyx, but for
# the sum over an account's rows.
from libc.math cimport fabs

from ._curves cimport *
from ._machine cimport likely, unlikely
from ._types cimport *
from .ledger cimport *

ctypedef struct Asset:           # what one is worth and counts for
    double index                 # USD of an atom
    double unit                  # coins of an atom
    Curve collateral             # of what is had
    Curve liability              # of what is owed, off the collateral
    Curve borrow                 # margin of what is owed

ctypedef struct Market:
    double mark                  # USD of a lot
    double mark_quote            # quote atoms of a lot
    double coin                  # USD of a settle coin, times `factor`
    double per                   # settle coins of a USD; 0: the coin has no price
    Curve margin                 # of a position, in settle coins
    double lot                   # coins of a lot
    double factor                # of the margin of a position

ctypedef struct Board:           # curves and prices side by side: one look-up a row
    Asset* assets
    Market* markets
    const Row* rows              # of all curves
    bint by_leverage             # the leverage chosen counts

ctypedef struct Sums:            # of one account, USD
    double equity                # balances and unrealised profit, no haircut
    double adjusted              # with haircuts
    double margin                # of positions and borrowings
    double exposure              # |positions| + borrowings

cdef class Valuation(Gate):
    cdef readonly Ledger ledger
    cdef bint open_loss          # what filling all orders would lose counts
    cdef Board now               # current prices, curves of maintenance
    cdef Board opening           # current prices, initial curves
    cdef double* net             # [row] of the account at hand, atoms
    cdef list kept               # the memory behind these pointers
    cdef object rule             # margin of positions in place of the curves, or None
    cdef bint ruled              # there is one
    cdef object failure          # what it raised, until that is raised again
    cdef public bint skipping    # value only accounts whose value can have changed
    cdef object columns          # what `revalue` fills, (5, accounts)
    cdef Board columns_at        # prices they were filled at
    cdef int64_t columns_seen    # number of the touched account they have come to

    # -- QUERIES
    cdef int same_shape(self) except -1
    cdef bint moved(self, const Board* old, int64_t asset) noexcept nogil
    cdef bint mark_moved(self, const Board* old, int64_t market) noexcept nogil
    cdef int64_t changed(self) noexcept nogil
    cdef double asked(self, const Account* owner, const Board* at,
                      bint filled) noexcept nogil
    cdef double ask(self, const Account* owner, const Board* at, bint filled)

    # -- COMMANDS
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1
    cdef void* memory(self, int64_t bytes) except NULL
    cdef int new_board(self, Board* board) except -1
    cdef int read(self, Board* board, terms, names, list rows) except -1
    cdef list curves(self, str name, terms, int64_t n, list rows)
    cdef void copy_board(self, const Board* source, Board* target) noexcept nogil
    cdef int set_board(self, Board* board, list prices) except -1
    cdef void tally_any(self, const Account* owner, const Board* at, bint filled,
                        Sums* out) noexcept nogil
    cdef void fill_all(self, double* out, int64_t n) noexcept nogil
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil

    cdef inline void value(self, int64_t account, const Board* at,
                           Sums* out) noexcept nogil:
        # What resting orders would lose in collateral value counts now (open loss).
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef Sums filled
        if self.ruled or not tally(owner, self.ledger.pool, at, out):
            self.tally_any(owner, at, False, out)
            if self.ruled:
                out.margin += self.asked(owner, at, False)
        if unlikely(owner.flags & ORDERS != 0) and self.open_loss:
            self.tally_any(owner, at, True, &filled)
            out.adjusted = smaller(filled.adjusted, out.adjusted)

    cdef inline void fill(self, int64_t account, const Board* at, double* out,
                          int64_t n, int64_t row) noexcept nogil:
        # One row of columns of length n.
        cdef Sums sums
        self.value(account, at, &sums)
        out[row] = sums.equity
        out[n + row] = sums.adjusted
        out[2 * n + row] = sums.margin
        out[3 * n + row] = sums.exposure
        out[4 * n + row] = health(sums.adjusted, sums.margin)


cdef inline bint tally(const Account* owner, const int64_t* pool, const Board* at,
                       Sums* out) noexcept nogil:
    # Sum an account up, resting orders left out.  Nearly all settle everything in one
    # coin, which then needs no memory: False for those that do not.
    cdef int64_t balances = owner.n_balances, positions = owner.n_positions
    cdef const Balance* balance = <const Balance*>&pool[owner.rows]
    cdef const Position* position = <const Position*>(
        balance + balances + owner.spare_balances)
    cdef const Market* market
    cdef double settled = 0
    cdef int64_t i, settle = -1
    cdef Sums sums = Sums(0, 0, 0, 0)
    if positions:
        settle = position[0].settle
        settled = <double>balance[settle].amount
    for i in range(positions):
        if unlikely(position[i].settle != settle):
            return False
        market = &at.markets[position[i].market]
        settled += profit(&position[i], market)
        add_position(fabs(<double>position[i].lots), 0, market, at.rows, &sums)
    for i in range(balances):
        add_balance(settled if i == settle else <double>balance[i].amount,
                    &at.assets[balance[i].asset], at.rows, &sums)
    out[0] = sums
    return True


cdef inline double profit(const Position* position,
                          const Market* market) noexcept nogil:
    # Quote atoms.
    return <double>position.lots * market.mark_quote - <double>position.cost


cdef inline void add_position(double lots, int leverage, const Market* market,
                              const Row* rows, Sums* sums) noexcept nogil:
    cdef double usd = lots * market.mark
    cdef double money = usd * market.per
    cdef double need = amount(&market.margin, rows, money, lots, market.lot)
    if leverage:
        need = larger(need, money / leverage)
    sums.exposure += usd
    sums.margin += need * market.coin


cdef inline void add_balance(double atoms, const Asset* asset, const Row* rows,
                             Sums* sums) noexcept nogil:
    cdef double usd = atoms * asset.index
    sums.equity += usd
    if likely(atoms >= 0):
        sums.adjusted += amount(&asset.collateral, rows, usd, atoms, asset.unit)
        return
    sums.exposure -= usd
    sums.adjusted -= amount(&asset.liability, rows, -usd, -atoms, asset.unit)
    sums.margin += amount(&asset.borrow, rows, -usd, -atoms, asset.unit)


cdef inline double health(double adjusted, double margin) noexcept nogil:
    # Adjusted equity over margin; without margin to keep, +inf or -inf.
    if margin > 0:
        return adjusted / margin
    return INFINITY if adjusted >= 0 else -INFINITY
