# What fills of orders could cost an account.  Behaviour is in _worst.pyx.
from ._boards cimport *

cdef enum:
    EVERY = -1                   # unit of all orders

cdef class Worst(Boards):
    cdef double* net             # [row] of the account at hand, atoms
    cdef Flow* flow              # [row] the same
    cdef Worth* cost             # [row] of a dollar that leaves, if all orders fill
    cdef Turn* turn              # [row] of its positions
    cdef object rule             # margin of positions in place of the curves, or None
    cdef bint ruled              # there is one
    cdef bint bounded            # which knows itself what fills could cost
    cdef int32_t* unit           # [market] asset that the rule takes positions for
    cdef int32_t* sign           # [market] -1: a long is a short of that asset
    cdef object failure          # what it raised, until that is raised again

    # -- QUERIES
    cdef int sides_in(self, const Resting* orders, int unit, int sides) noexcept nogil
    cdef double asked(self, const Account* owner, const Board* at,
                      int sides) noexcept nogil
    cdef double ask(self, const Account* owner, const Board* at, int sides)

    cdef Worth told(self, const Account* owner, const Board* at, double multiple,
                    const Resting* new) noexcept nogil
    cdef Worth tell(self, const Account* owner, const Board* at, double multiple,
                    const Resting* new) except *

    # -- COMMANDS
    cdef int prepare_worst(self) except -1
    cdef int visit(self, State state) except -1
    cdef void settle(self, const Account* owner, const Board* at) noexcept nogil
    cdef void tally_any(self, const Account* owner, const Board* at,
                        Sums* out) noexcept nogil
    cdef void worst(self, int64_t account, const Board* at, double multiple,
                    const Resting* new, Sums* out) noexcept nogil
    cdef void lose(self, const Account* owner, const Board* at, double multiple,
                   bint capped, const Resting* new, Sums* out) noexcept nogil
    cdef void flow_of(self, const Account* owner, const Board* at, int unit, int sides,
                      bint capped, const Resting* new) noexcept nogil
    cdef void add_flow(self, Resting orders, int sides, bint capped,
                       const Board* at) noexcept nogil
    cdef void price_flow(self, const Account* owner, const Board* at) noexcept nogil
    cdef void lose_orders(self, const Account* owner, const Board* at,
                          const Resting* orders, double multiple, bint capped,
                          Sums* out) noexcept nogil
    cdef void lose_side(self, int pays, double paid, int gets, double got,
                        double multiple, Sums* out) noexcept nogil
    cdef void lose_positions(self, const Account* owner, const Board* at,
                             double multiple, Sums* out) noexcept nogil
    cdef void lose_units(self, const Account* owner, const Board* at, double multiple,
                         bint orders, const Resting* new, Sums* out) noexcept nogil
    cdef bint touches(self, const Account* owner, int unit,
                      const Resting* new) noexcept nogil
    cdef Worth worst_corner(self, const Account* owner, const Board* at,
                            double multiple, int unit, double here,
                            const Resting* new) noexcept nogil


cdef inline double add_turn(Turn* turn, const Resting* orders, double unit,
                            bint capped, double mark) noexcept nogil:
    # Of a perpetual: add and return what its orders lose by filling at their prices,
    # not at mark, quote atoms.  ``capped``: each is as bad as the worst of its side,
    # so that none hides another; of bids that counts by lots, or less by what they pay.
    cdef double bids = 0, asks = 0, lost, worst
    if mark > 0 and capped:
        worst = orders.worst_bid * unit
        bids = <double>orders.bids * larger(0, worst - mark)
        asks = <double>orders.asks * larger(0, mark - orders.worst_ask * unit)
        lost = asks
        if bids > 0:
            lost += <double>orders.bid_notional * ((worst - mark) / worst)
    else:
        if mark > 0:
            bids = larger(0, <double>orders.bid_notional - <double>orders.bids * mark)
            asks = larger(0, <double>orders.asks * mark - <double>orders.ask_notional)
        lost = bids + asks
    turn.bids += <double>orders.bids
    turn.asks += <double>orders.asks
    turn.bid_loss += bids
    turn.ask_loss += asks
    turn.lost += lost
    return lost


cdef inline double bid_share(const Resting* orders, double tick,
                             double base) noexcept nogil:
    # What the worst bid gets for a dollar, at most one.  US dollars: of a tick times a
    # lot, of a lot.
    cdef double paid = orders.worst_bid * tick
    return base / paid if paid > base else 1


cdef inline double ask_share(const Resting* orders, double tick,
                             double base) noexcept nogil:
    cdef double got = orders.worst_ask * tick
    return got / base if got < base else 1


cdef inline Worth corner_of(double lots, const Turn* turn, double usd, Worth cost,
                            int leverage, bint ruled, double multiple,
                            const Market* market, const Row* rows) noexcept nogil:
    # Of a position its bids, its asks or both fill, whichever leaves least: equity
    # lost and margin added.  No more than all that any of them lose, and the most
    # margin: dear bids may fill and cheap ones not.
    cdef double here = need(fabs(lots), leverage, market, rows)
    cdef double top = larger(
        fabs(lots), larger(fabs(lots + turn.bids), fabs(lots - turn.asks)))
    cdef double lost, asked, worse, most = 0, size, most_asked = 0
    cdef Worth worst = Worth(0, 0)
    cdef int sides
    for sides in range(BIDS, ALL + 1):
        lost = usd * (
            (turn.bid_loss if sides & BIDS else 0)
            + (turn.ask_loss if sides & ASKS else 0))
        asked = 0
        if not ruled:
            asked = need_within(
                fabs(after(lots, turn, sides)), top, leverage, market, rows) - here
            most_asked = larger(most_asked, asked)
        worse = lost * cost.adjusted + multiple * (lost * cost.margin + asked)
        size = (lost * fabs(cost.adjusted)
                + multiple * (lost * fabs(cost.margin) + fabs(asked)))
        if worse - most > 1e-9 * size:
            most = worse
            worst = Worth(lost * cost.adjusted, lost * cost.margin + asked)
    lost = usd * turn.lost
    worse = lost * cost.adjusted + multiple * (lost * cost.margin + most_asked)
    if worse < most * (1 - 1e-9):
        return Worth(lost * cost.adjusted, lost * cost.margin + most_asked)
    return worst


cdef inline double need_within(double lots, double top, int leverage,
                               const Market* market, const Row* rows) noexcept nogil:
    # The margin of a position on its way to at most ``top`` lots, or more.  A curve
    # that jumps is not convex: a line to the top is, and is above it, as no rate falls.
    if market.margin.jumps and lots < top:
        return need(top, leverage, market, rows) * (lots / top)
    return need(lots, leverage, market, rows)


cdef inline double after(double lots, const Turn* turn, int sides) noexcept nogil:
    # What bids, asks or both make of a position.
    if sides & BIDS:
        lots += turn.bids
    if sides & ASKS:
        lots -= turn.asks
    return lots
