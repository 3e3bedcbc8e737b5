# Curves and prices side by side, and what rows are worth at them.  Set-up is in
# _boards.pyx.
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
    int64_t band                 # first of its collateral's
    int64_t pad                  # 128 bytes are found by a shift

ctypedef struct Market:
    double mark                  # USD of a lot
    double mark_quote            # quote atoms of a lot
    double coin                  # USD of a settle coin, times `factor`
    double per                   # settle coins of a USD; 0: the coin has no price
    Curve margin                 # of a position, in settle coins
    double lot                   # coins of a lot
    double factor                # of the margin of a position
    int64_t band                 # first of its margin's
    int64_t pad[5]

ctypedef struct Worth:           # USD
    double adjusted
    double margin                # that it saves

ctypedef struct Board:           # curves and prices side by side: one look-up a row
    Asset* assets
    Market* markets
    const Row* rows              # of all curves
    const Band* bands            # of what is had, and of positions, if it is `tiered`
    bint by_leverage             # the leverage chosen counts
    bint tiered                  # of all that is had, by tiers in US dollars

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
    double bid_loss              # quote atoms, by their prices against the mark; of
    double ask_loss              # some of them no more than their share of the lots
    double lost                  # of both, whichever fill

cdef enum:
    LEGS = 3                     # positions of a market that an account can have

cdef enum:                       # orders that fill
    NONE = 0
    BIDS = 1
    ASKS = 2
    ALL = 3

cdef class Boards(Gate):
    cdef readonly Ledger ledger
    cdef Board now               # current prices, curves of maintenance
    cdef Board opening           # current prices, initial curves
    cdef list kept               # the memory behind these pointers
    cdef object table            # the rows of all curves

    # -- QUERIES
    cdef int same_shape(self) except -1

    # -- COMMANDS
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1
    cdef void* memory(self, int64_t bytes) except NULL
    cdef int new_board(self, Board* board) except -1
    cdef int read(self, Board* board, terms, names, list rows) except -1
    cdef list curves(self, str name, terms, int64_t n, list rows)
    cdef void copy_board(self, const Board* source, Board* target) noexcept nogil
    cdef int set_board(self, Board* board, list prices) except -1
    cdef int take_table(self, table) except -1
    cdef void lay_bands(self, const Curve* curve, Band* bands) noexcept nogil
    cdef int visit(self, State state) except -1
    cdef int visit_board(self, State state, Board* board) except -1


cdef inline Sums tally(const Account* owner, const int64_t* pool,
                       const Board* at) noexcept nogil:
    # Sum an account up, resting orders left out.  Nearly all settle everything in one
    # coin, which then needs no memory: this is for them.
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
        market = &at.markets[position[i].market]
        settled += profit(&position[i], market)
        add_position(fabs(<double>position[i].lots), 0, market, at.rows, &sums)
    for i in range(balances):
        add_balance(settled if i == settle else <double>balance[i].amount,
                    &at.assets[balance[i].asset], at.rows, &sums)
    return sums


cdef inline bint tally_near(const Account* owner, const int64_t* pool, const Board* at,
                            Sums* out) noexcept nogil:
    # The same, where what is there is in the tier it was in the last time, and debts
    # are in their first: False if not.  Nothing is called in here: a call, be it never
    # made, would keep the sums out of registers.
    cdef const Balance* balance = <const Balance*>&pool[owner.rows]
    cdef const Balance* balances_end = balance + owner.n_balances
    cdef const Balance* settle = NULL
    cdef const Position* position
    cdef const Position* positions_end
    cdef const Asset* asset
    cdef const Market* market
    cdef const Band* band
    cdef double settled = 0, atoms, usd, money
    cdef Sums sums = Sums(0, 0, 0, 0)
    if owner.n_positions:
        position = <const Position*>(balances_end + owner.spare_balances)
        positions_end = position + owner.n_positions
        settle = balance + position.settle
        settled = <double>settle.amount
        while position != positions_end:
            market = &at.markets[position.market]
            usd = fabs(<double>position.lots) * market.mark
            money = usd * market.per
            band = &at.bands[market.band + position.tier]
            if unlikely(not inside(band, money)):
                return False
            settled += profit(position, market)
            sums.exposure += usd
            sums.margin += (money * band.rate - band.cum) * market.coin
            position += 1
    while balance != balances_end:
        asset = &at.assets[balance.asset]
        atoms = settled if balance == settle else <double>balance.amount
        usd = atoms * asset.index
        band = &at.bands[asset.band + balance.tier]
        balance += 1
        sums.equity += usd
        if likely(inside(band, usd)):
            sums.adjusted += usd * band.rate - band.cum
            continue
        if atoms >= 0 or -usd > asset.liability.cap or -usd > asset.borrow.cap:
            return False
        sums.exposure -= usd
        sums.adjusted -= -usd * asset.liability.rate
        sums.margin += -usd * asset.borrow.rate
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
