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

ctypedef struct Worth:           # USD
    double adjusted
    double margin                # that it saves

ctypedef struct Board:           # curves and prices side by side: one look-up a row
    Asset* assets
    Market* markets
    const Row* rows              # of all curves
    bint by_leverage             # the leverage chosen counts

ctypedef struct Flow:            # what orders would do to a balance, if all filled
    double out                   # atoms that leave
    double into                  # atoms that come
    Worth paid                   # of a dollar that leaves, if all that leave do
    Worth got                    # of a dollar that comes, if all that come do

ctypedef struct Sums:            # of one account, USD
    double equity                # balances and unrealised profit, no haircut
    double adjusted              # with haircuts
    double margin                # of positions and borrowings
    double exposure              # |positions| + borrowings

ctypedef struct Turn:            # what orders would do to a position, if all filled
    double bids                  # lots
    double asks
    double bid_loss              # quote atoms, by their prices against the mark
    double ask_loss

cdef enum:
    LEGS = 3                     # positions of a market that an account can have

cdef enum:                       # orders that fill
    NONE = 0
    BIDS = 1
    ASKS = 2
    ALL = 3

cdef class Valuation(Gate):
    cdef readonly Ledger ledger
    cdef bint open_loss          # what filling all orders would lose counts
    cdef Board now               # current prices, curves of maintenance
    cdef Board opening           # current prices, initial curves
    cdef double* net             # [row] of the account at hand, atoms
    cdef Flow* flow              # [row] the same
    cdef Turn* turn              # [row] of its positions
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
    cdef double filled(self, double lots, int64_t row, int sides) noexcept nogil
    cdef double most_asked(self, const Account* owner, const Board* at, bint orders,
                           const Resting* new) noexcept nogil
    cdef double asked(self, const Account* owner, const Board* at,
                      int sides) noexcept nogil
    cdef double ask(self, const Account* owner, const Board* at, int sides)

    # -- COMMANDS
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1
    cdef void* memory(self, int64_t bytes) except NULL
    cdef int new_board(self, Board* board) except -1
    cdef int read(self, Board* board, terms, names, list rows) except -1
    cdef list curves(self, str name, terms, int64_t n, list rows)
    cdef void copy_board(self, const Board* source, Board* target) noexcept nogil
    cdef int set_board(self, Board* board, list prices) except -1
    cdef void add_turn(self, Turn* turn, const Resting* orders, Flow* quote,
                       const Board* at) noexcept nogil
    cdef void lose_positions(self, const Account* owner, const Board* at,
                             double multiple, Sums* out) noexcept nogil
    cdef void settle(self, const Account* owner, const Board* at) noexcept nogil
    cdef void tally_any(self, const Account* owner, const Board* at,
                        Sums* out) noexcept nogil
    cdef void worst(self, int64_t account, const Board* at, double multiple,
                    const Resting* new, Sums* out) noexcept nogil
    cdef void lose(self, const Account* owner, const Board* at, double multiple,
                   bint capped, const Resting* new, Sums* out) noexcept nogil
    cdef void flow_of(self, const Account* owner, const Board* at, int sides,
                      const Resting* new) noexcept nogil
    cdef void add_flow(self, Resting orders, int sides, const Board* at) noexcept nogil
    cdef void price_flow(self, const Account* owner, const Board* at) noexcept nogil
    cdef void lose_orders(self, const Account* owner, const Board* at,
                          const Resting* orders, double multiple, bint capped,
                          Sums* out) noexcept nogil
    cdef void lose_side(self, int pays, double paid, int gets, double got,
                        double multiple, bint capped, Sums* out) noexcept nogil
    cdef void fill_all(self, double* out, int64_t n) noexcept nogil
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil

    cdef inline void value(self, int64_t account, const Board* at,
                           Sums* out) noexcept nogil:
        # What resting orders would lose in collateral value counts now (open loss);
        # margin is of what is there.
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef double margin
        if self.ruled or not tally(owner, self.ledger.pool, at, out):
            self.tally_any(owner, at, out)
            if self.ruled:
                out.margin += self.asked(owner, at, NONE)
        if unlikely(owner.flags & ORDERS != 0) and self.open_loss:
            margin = out.margin
            self.settle(owner, at)
            self.lose(owner, at, 0, False, NULL, out)
            out.margin = margin

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
    sums.exposure += lots * market.mark
    sums.margin += need(lots, leverage, market, rows)


cdef inline double need(double lots, int leverage, const Market* market,
                        const Row* rows) noexcept nogil:
    # The margin of a position of so many lots, US dollars.
    cdef double money = lots * market.mark * market.per
    cdef double coins = amount(&market.margin, rows, money, lots, market.lot)
    if leverage:
        coins = larger(coins, money / leverage)
    return coins * market.coin


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


cdef inline Worth worth(double atoms, const Asset* asset,
                        const Row* rows) noexcept nogil:
    cdef Sums sums = Sums(0, 0, 0, 0)
    add_balance(atoms, asset, rows, &sums)
    return Worth(sums.adjusted, -sums.margin)


cdef inline Worth chord(Worth low, Worth high, double usd) noexcept nogil:
    cdef double each = 1 / usd
    return Worth((high.adjusted - low.adjusted) * each,
                 (high.margin - low.margin) * each)


cdef inline double health(double adjusted, double margin) noexcept nogil:
    # Adjusted equity over margin; without margin to keep, +inf or -inf.
    if margin > 0:
        return adjusted / margin
    return INFINITY if adjusted >= 0 else -INFINITY
