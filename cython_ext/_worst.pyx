"""What fills of orders could cost an account: those that leave it least.

``margin/fills.py`` and ``margin/reference.py`` say the same in plain Python.
"""

from cython cimport final
from libc.string cimport memset


cdef class Worst(Boards):
    """Sums of any account, and its worst fills."""

    @final
    cdef int prepare_worst(self) except -1:
        cdef int64_t assets, markets
        assets, markets = self.kept[0]
        self.net = <double*>self.memory(assets * <int64_t>sizeof(double))
        self.flow = <Flow*>self.memory(assets * <int64_t>sizeof(Flow))
        self.cost = <Worth*>self.memory(assets * <int64_t>sizeof(Worth))
        self.turn = <Turn*>self.memory(LEGS * markets * <int64_t>sizeof(Turn))
        self.unit = <int32_t*>self.memory(markets * <int64_t>sizeof(int32_t))
        self.sign = <int32_t*>self.memory(markets * <int64_t>sizeof(int32_t))
        return 0

    cdef int visit(self, State state) except -1:
        Boards.visit(self, state)
        if state.reading:
            self.prepare_worst()
        _, markets = self.kept[0]
        state.array(self.unit, markets * <int64_t>sizeof(int32_t))
        state.array(self.sign, markets * <int64_t>sizeof(int32_t))
        self.rule = state.thing(self.rule)
        self.ruled = self.rule is not None
        self.bounded = hasattr(self.rule, "worst")
        self.failure = state.thing(self.failure)
        return 0

    # -- SUMS

    @final
    cdef void settle(self, const Account* owner, const Board* at) noexcept nogil:
        # Leave in ``net`` the account's atoms, profits included.
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef int64_t i
        for i in range(owner.n_balances):
            self.net[i] = <double>balance[i].amount
        for i in range(owner.n_positions):
            self.net[position[i].settle] += profit(
                &position[i], &at.markets[position[i].market])

    @final
    cdef void tally_any(self, const Account* owner, const Board* at,
                        Sums* out) noexcept nogil:
        # Sum any account up, resting orders left out.
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef int64_t i
        out[0] = Sums(0, 0, 0, 0)
        self.settle(owner, at)
        for i in range(owner.n_positions):
            add_position(fabs(<double>position[i].lots),
                         position[i].leverage if at.by_leverage else 0,
                         &at.markets[position[i].market], at.rows, out)
        if self.ruled:
            out.margin = 0
        for i in range(owner.n_balances):
            add_balance(self.net[i], &at.assets[balance[i].asset], at.rows, out)

    # -- ORDERS

    @final
    cdef void worst(self, int64_t account, const Board* at, double multiple,
                    const Resting* new, Sums* out) noexcept nogil:
        # With the fills of resting orders, and of a new one, that leave least of
        # adjusted equity less ``multiple`` times margin; see reference.py.
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef bint orders = owner.flags & ORDERS != 0 or new != NULL
        self.tally_any(owner, at, out)
        if orders:
            self.lose(owner, at, multiple, True, new, out)
        if self.ruled:
            self.lose_units(owner, at, multiple, orders, new, out)

    @final
    cdef void lose(self, const Account* owner, const Board* at, double multiple,
                   bint capped, const Resting* new, Sums* out) noexcept nogil:
        # Take off what fills would lose.  ``net`` is what the account has; ``capped``:
        # what comes is worth no more than what is paid, and what the worst order of
        # its side would get.
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef int i
        self.flow_of(owner, at, EVERY, ALL, capped, new)
        self.price_flow(owner, at)
        if not (self.ruled and capped):
            self.lose_positions(owner, at, multiple, out)
        for i in range(self.ledger.n_resting(owner)):
            self.lose_orders(owner, at, &orders[i], multiple, capped, out)
        if new != NULL:
            self.lose_orders(owner, at, new, multiple, capped, out)

    @final
    cdef void flow_of(self, const Account* owner, const Board* at, int unit, int sides,
                      bint capped, const Resting* new) noexcept nogil:
        # Leave in ``flow`` what comes and goes if the orders of these sides fill, and
        # in ``turn`` what orders do to each position.
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef int i
        memset(self.flow, 0, owner.n_balances * sizeof(Flow))
        memset(self.turn, 0, owner.n_positions * sizeof(Turn))
        for i in range(self.ledger.n_resting(owner)):
            self.add_flow(
                orders[i], self.sides_in(&orders[i], unit, sides), capped, at)
        if new != NULL:
            self.add_flow(new[0], self.sides_in(new, unit, sides), capped, at)

    @final
    cdef void add_flow(self, Resting orders, int sides, bint capped,
                       const Board* at) noexcept nogil:
        cdef Flow* quote = &self.flow[orders.quote]
        cdef Flow* base = &self.flow[orders.base]
        cdef const Terms* terms = &self.ledger.terms[orders.market]
        if not sides & BIDS:
            orders.bids = orders.bid_notional = 0
        if not sides & ASKS:
            orders.asks = orders.ask_notional = 0
        if orders.perpetual:
            quote.out += add_turn(
                &self.turn[orders.base], &orders, terms.quote_unit, capped,
                at.markets[orders.market].mark_quote)
            return
        quote.out += <double>orders.bid_notional
        quote.into += <double>orders.ask_notional
        base.out += <double>orders.asks * terms.base_unit
        base.into += <double>orders.bids * terms.base_unit

    @final
    cdef void price_flow(self, const Account* owner, const Board* at) noexcept nogil:
        # What a dollar that leaves or comes counts for: the mean over all that do.
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Asset* asset
        cdef Flow* flow
        cdef Worth now
        cdef double out, into
        cdef int64_t i
        for i in range(owner.n_balances):
            flow, asset = &self.flow[i], &at.assets[balance[i].asset]
            out, into = flow.out * asset.index, flow.into * asset.index
            if out == 0 and into == 0:
                continue
            now = worth(self.net[i], asset, at.rows)
            if out > 0:
                flow.paid = chord(
                    worth(self.net[i] - flow.out, asset, at.rows), now, out)
            if into > 0:
                flow.got = chord(
                    now, worth(self.net[i] + flow.into, asset, at.rows), into)

    @final
    cdef void lose_orders(self, const Account* owner, const Board* at,
                          const Resting* orders, double multiple, bint capped,
                          Sums* out) noexcept nogil:
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Terms* terms = &self.ledger.terms[orders.market]
        cdef double quote = at.assets[balance[orders.quote].asset].index
        cdef double base, tick = quote * terms.quote_unit, paid, got
        if orders.perpetual:
            return
        base = at.assets[balance[orders.base].asset].index * terms.base_unit
        paid, got = <double>orders.bid_notional * quote, <double>orders.bids * base
        if capped:
            got = paid * bid_share(orders, tick, base)
        self.lose_side(orders.quote, paid, orders.base, got, multiple, out)
        paid, got = <double>orders.asks * base, <double>orders.ask_notional * quote
        if capped:
            got = paid * ask_share(orders, tick, base)
        self.lose_side(orders.base, paid, orders.quote, got, multiple, out)

    @final
    cdef void lose_side(self, int pays, double paid, int gets, double got,
                        double multiple, Sums* out) noexcept nogil:
        # Rows of balances, and US dollars.
        cdef const Worth* cost = &self.flow[pays].paid
        cdef const Worth* gain = &self.flow[gets].got
        cdef double adjusted, margin, size
        if paid == 0:
            return
        adjusted = paid * cost.adjusted - got * gain.adjusted
        margin = paid * cost.margin - got * gain.margin
        # What weighs each other up but for rounding is no loss.
        size = paid * fabs(cost.adjusted) + got * fabs(gain.adjusted)
        size += multiple * (paid * fabs(cost.margin) + got * fabs(gain.margin))
        if adjusted + multiple * margin > 1e-9 * size:
            out.adjusted -= adjusted
            out.margin += margin

    @final
    cdef void lose_positions(self, const Account* owner, const Board* at,
                             double multiple, Sums* out) noexcept nogil:
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Market* market
        cdef Worth worst
        cdef int64_t i
        for i in range(owner.n_positions):
            if self.turn[i].bids == 0 and self.turn[i].asks == 0:
                continue
            market = &at.markets[position[i].market]
            worst = corner_of(
                <double>position[i].lots, &self.turn[i],
                at.assets[self.ledger.terms[position[i].market].quote].index,
                self.flow[position[i].settle].paid,
                position[i].leverage if at.by_leverage else 0, self.ruled, multiple,
                market, at.rows)
            out.adjusted -= worst.adjusted
            out.margin += worst.margin

    # -- A RULE FOR POSITIONS

    @final
    cdef void lose_units(self, const Account* owner, const Board* at, double multiple,
                         bint orders, const Resting* new, Sums* out) noexcept nogil:
        # Margin by the rule, and what fills lose: as the rule knows it, if it does.  Or
        # margin with nothing filled and what fills add and lose of each unit by itself,
        # as those of another may not fill; or of all at once, should that be more.
        cdef const Position* position = self.ledger.positions(owner)
        cdef double here = 0
        cdef Worth worst, sum = Worth(0, 0)
        cdef int64_t i, j
        cdef int unit, n = 0
        if not orders:
            out.margin += self.asked(owner, at, NONE)
            return
        for i in range(owner.n_balances):
            self.cost[i] = self.flow[i].paid
        if self.bounded:
            worst = self.told(owner, at, multiple, new)
            out.adjusted -= worst.adjusted
            out.margin += worst.margin
            return
        here = self.asked(owner, at, NONE)
        out.margin += here
        for i in range(owner.n_positions):
            unit, j = self.unit[position[i].market], 0
            while self.unit[position[j].market] != unit:
                j += 1
            if j < i or not self.touches(owner, unit, new):
                continue
            n += 1
            worst = self.worst_corner(owner, at, multiple, unit, here, new)
            sum.adjusted += worst.adjusted
            sum.margin += worst.margin
        if n > 1:
            worst = self.worst_corner(owner, at, multiple, EVERY, here, new)
            if (worst.adjusted + multiple * worst.margin
                    > sum.adjusted + multiple * sum.margin):
                sum = worst
        out.adjusted -= sum.adjusted
        out.margin += sum.margin

    @final
    cdef bint touches(self, const Account* owner, int unit,
                      const Resting* new) noexcept nogil:
        # Whether there are orders of a unit.
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef int i
        for i in range(self.ledger.n_resting(owner)):
            if self.sides_in(&orders[i], unit, ALL):
                return True
        return new != NULL and self.sides_in(new, unit, ALL) != NONE

    @final
    cdef Worth worst_corner(self, const Account* owner, const Board* at,
                            double multiple, int unit, double here,
                            const Resting* new) noexcept nogil:
        # Equity lost and margin added by all orders of the unit that raise what it is
        # long of, by all that lower it, or by both, whichever leaves least.
        cdef const Position* position = self.ledger.positions(owner)
        cdef Worth worst = Worth(0, 0), one, all
        cdef double usd, lost, asked, worse, most = 0, most_asked = 0
        cdef int64_t i
        cdef int sides
        for sides in range(BIDS, ALL + 1):
            self.flow_of(owner, at, unit, sides, True, new)
            one = all = Worth(0, 0)
            for i in range(owner.n_positions):
                usd = at.assets[self.ledger.terms[position[i].market].quote].index
                lost = usd * (self.turn[i].bid_loss + self.turn[i].ask_loss)
                one.adjusted += lost * self.cost[position[i].settle].adjusted
                one.margin += lost * self.cost[position[i].settle].margin
                lost = usd * self.turn[i].lost
                all.adjusted += lost * self.cost[position[i].settle].adjusted
                all.margin += lost * self.cost[position[i].settle].margin
            asked = self.asked(owner, at, sides)
            most_asked = larger(most_asked, asked - here)
            one.margin += asked - here
            worse = one.adjusted + multiple * one.margin
            if worse - most > 1e-9 * (one.adjusted + multiple * (asked + here)):
                most, worst = worse, one
        # No more than all that any of them lose, and the most margin.
        all.margin += most_asked
        if all.adjusted + multiple * all.margin < most * (1 - 1e-9):
            return all
        return worst

    @final
    cdef int sides_in(self, const Resting* orders, int unit, int sides) noexcept nogil:
        # Of these sides of a unit, what they are of a market: a buyer of ether who
        # pays with bitcoin lowers what he has of bitcoin.
        cdef const Terms* terms = &self.ledger.terms[orders.market]
        cdef int sign = 0
        if unit == EVERY:
            return sides
        if orders.perpetual:
            if self.unit[orders.market] == unit:
                sign = self.sign[orders.market]
        elif terms.base == unit:
            sign = 1
        elif terms.quote == unit:
            sign = -1
        if sign == 0:
            return NONE
        if sign < 0 and sides != ALL:
            return ALL - sides
        return sides

    @final
    cdef double asked(self, const Account* owner, const Board* at,
                      int sides) noexcept nogil:
        # Margin of the positions by the rule, unless NONE with what ``flow`` and
        # ``turn`` hold filled; ``net`` is that of the tally before.
        # Once the rule has raised it is asked no more: the pass is lost.
        cdef double margin = INFINITY
        if owner.n_positions == 0:
            return 0
        with gil:
            if self.failure is None:
                try:
                    margin = self.ask(owner, at, sides)
                except BaseException as error:
                    self.failure = error
        return margin

    @final
    cdef double ask(self, const Account* owner, const Board* at, int sides):
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef double lots, atoms, margin
        cdef int64_t i
        held, net = [], []
        for i in range(owner.n_positions):
            lots = <double>position[i].lots
            if sides:
                lots = after(lots, &self.turn[i], ALL)
            if lots != 0:
                held.append((position[i].market,
                             lots * at.markets[position[i].market].mark))
        if not held:
            return 0
        for i in range(owner.n_balances):
            atoms = self.net[i]
            if sides:
                atoms += self.flow[i].into - self.flow[i].out
            net.append((balance[i].asset, atoms * at.assets[balance[i].asset].index))
        margin = self.rule(held, net)
        if not 0 <= margin < INFINITY:
            raise ValueError("'position_margin' must return US dollars, finite and "
                             f"at least 0 (got {margin}).")
        return margin

    @final
    cdef Worth told(self, const Account* owner, const Board* at, double multiple,
                    const Resting* new) noexcept nogil:
        # By a rule that knows what fills could lose and add.
        cdef Worth worst = Worth(INFINITY, 0)
        with gil:
            if self.failure is None:
                try:
                    worst = self.tell(owner, at, multiple, new)
                except BaseException as error:
                    self.failure = error
        return worst

    @final
    cdef Worth tell(self, const Account* owner, const Board* at, double multiple,
                    const Resting* new) except *:
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Turn* turn
        cdef Worth cost
        cdef double usd, mark
        cdef int64_t i
        self.flow_of(owner, at, EVERY, ALL, True, new)
        held, coins = [], []
        for i in range(owner.n_positions):
            turn, mark = &self.turn[i], at.markets[position[i].market].mark
            usd = at.assets[self.ledger.terms[position[i].market].quote].index
            cost = self.cost[position[i].settle]
            cost.adjusted *= usd
            cost.margin *= usd
            held.append((
                position[i].market, <double>position[i].lots * mark,
                turn.bids * mark, turn.asks * mark,
                (turn.bid_loss * cost.adjusted, turn.bid_loss * cost.margin),
                (turn.ask_loss * cost.adjusted, turn.ask_loss * cost.margin),
                (turn.lost * cost.adjusted, turn.lost * cost.margin)))
        for i in range(owner.n_balances):
            usd = at.assets[balance[i].asset].index
            coins.append((balance[i].asset, (self.net[i] - self.flow[i].out) * usd,
                          (self.net[i] + self.flow[i].into) * usd))
        lost, margin = self.rule.worst(held, coins, multiple)
        if not (-INFINITY < lost < INFINITY and 0 <= margin < INFINITY):
            raise ValueError("'position_margin.worst' must return equity lost and "
                             "margin, US dollars, finite and that at least 0 "
                             f"(got {lost}, {margin}).")
        return Worth(lost, margin)
