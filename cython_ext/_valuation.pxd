# What an account is worth at given prices.  Behaviour is in _valuation.pyx, but for
# the sum over an account's rows.
from libc.math cimport fabs

from ._curves cimport *
from ._types cimport *
from .ledger cimport *

ctypedef struct Prices:
    double* index                # [asset] USD of an atom
    double* mark                 # [market] USD of a lot
    double* mark_quote           # [market] quote atoms of a lot

ctypedef struct Weights:         # what counts how much: for keeping, or for opening
    Curve* collateral            # [asset] of what is had
    Curve* liability             # [asset] of what is owed, off the collateral
    Curve* borrow                # [asset] margin of what is owed
    Curve* margin                # [market] margin of a position
    bint by_leverage             # the leverage chosen counts

ctypedef struct Scales:
    Row* rows                    # of all curves
    double* unit                 # [asset] coins of an atom
    double* lot                  # [market] coins of a lot
    double* factor               # [market] of the margin of a position

ctypedef struct Sums:            # of one account, USD
    double equity                # balances and unrealised profit, no haircut
    double adjusted              # with haircuts
    double margin                # of positions and borrowings
    double exposure              # |positions| + borrowings

cdef class Valuation(Gate):
    cdef readonly Ledger ledger
    cdef bint open_loss          # what filling all orders would lose counts
    cdef Prices prices
    cdef Weights keeping
    cdef Weights opening
    cdef Scales scales
    cdef double* net             # [row] of the account at hand, atoms
    cdef list kept               # the memory behind these pointers
    cdef public bint skipping    # value only accounts whose value can have changed
    cdef object columns          # what `revalue` fills, (5, accounts)
    cdef Prices columns_at       # prices they were filled at
    cdef int64_t columns_seen    # number of the touched account they have come to

    # -- QUERIES
    cdef int same_shape(self) except -1
    cdef bint moved(self, const Prices* old, int64_t asset) noexcept nogil
    cdef bint mark_moved(self, const Prices* old, int64_t market) noexcept nogil
    cdef int64_t changed(self) noexcept nogil

    # -- COMMANDS
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1
    cdef double* doubles(self, array) except NULL
    cdef uint8_t* bytes(self, int64_t n) except NULL
    cdef int new_prices(self, Prices* new) except -1
    cdef void copy_prices(self, const Prices* source, Prices* target) noexcept nogil
    cdef Curve* curves(self, str name, terms, int64_t n, list rows) except NULL
    cdef void fill_all(self, const Prices* at, double* out, int64_t n) noexcept nogil
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil

    cdef inline void value(self, int64_t account, const Prices* at,
                           Sums* out) noexcept nogil:
        # What resting orders would lose in collateral value counts now (open loss).
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef Sums filled
        tally(owner, self.ledger.pool, at, &self.keeping, &self.scales, self.net, False,
              out)
        if owner.flags & ORDERS and self.open_loss:
            tally(owner, self.ledger.pool, at, &self.keeping, &self.scales, self.net,
                  True, &filled)
            out.adjusted = smaller(filled.adjusted, out.adjusted)

    cdef inline void fill(self, int64_t account, const Prices* at, double* out,
                          int64_t n, int64_t row) noexcept nogil:
        # One row of columns of length n.
        cdef Sums sums
        self.value(account, at, &sums)
        out[row] = sums.equity
        out[n + row] = sums.adjusted
        out[2 * n + row] = sums.margin
        out[3 * n + row] = sums.exposure
        out[4 * n + row] = health(sums.adjusted, sums.margin)


cdef inline void tally(const Account* owner, const int64_t* pool, const Prices* at,
                       const Weights* by, const Scales* scales, double* net,
                       bint filled, Sums* out) noexcept nogil:
    # Sum an account up; ``filled``: as if all its resting orders were.
    cdef int64_t balances = owner.n_balances, positions = owner.n_positions
    cdef const Balance* balance = <const Balance*>&pool[owner.rows]
    cdef const Position* position = <const Position*>(
        balance + balances + owner.spare_balances)
    cdef const Open* open = <const Open*>&pool[owner.open] + 1
    cdef const Row* rows = scales.rows
    cdef double equity = 0, adjusted = 0, margin = 0, exposure = 0
    cdef double lots, size, usd, need, coins
    cdef int64_t i, market, asset
    for i in range(balances):
        net[i] = <double>balance[i].amount
    for i in range(positions):
        market = position[i].market
        lots = <double>position[i].lots
        size = fabs(lots)
        net[position[i].settle] += (
            lots * at.mark_quote[market] - <double>position[i].cost)
        usd = size * at.mark[market]
        exposure += usd
        if filled:
            size = larger(
                fabs(lots + <double>open[balances + owner.spare_balances + i].into),
                fabs(lots - <double>open[balances + owner.spare_balances + i].out))
            usd = size * at.mark[market]
        need = amount(&by.margin[market], rows, usd, size, scales.lot[market])
        if by.by_leverage and position[i].leverage:
            need = larger(need, usd / position[i].leverage)
        margin += need * scales.factor[market]
    for i in range(balances):
        asset = balance[i].asset
        coins = net[i]
        if filled:
            coins += <double>(open[i].into - open[i].out)
        usd = coins * at.index[asset]
        equity += usd
        if coins >= 0:
            adjusted += amount(
                &by.collateral[asset], rows, usd, coins, scales.unit[asset])
        else:
            exposure -= usd
            adjusted -= amount(
                &by.liability[asset], rows, -usd, -coins, scales.unit[asset])
            margin += amount(
                &by.borrow[asset], rows, -usd, -coins, scales.unit[asset])
    out[0] = Sums(equity, adjusted, margin, exposure)


cdef inline double health(double adjusted, double margin) noexcept nogil:
    # Adjusted equity over margin; without margin to keep, +inf or -inf.
    if margin > 0:
        return adjusted / margin
    return INFINITY if adjusted >= 0 else -INFINITY
