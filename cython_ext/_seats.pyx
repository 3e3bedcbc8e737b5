"""The sums of large accounts, kept from order to order.

The judgement looks at every row of the account. Of large accounts the sums are kept,
at prices that are no better than those of the judgement: what a dollar that leaves
takes is the mean over more than leaves, from less than there is; what one that comes
adds, the mean over more than comes, on top of more than there is. Values are concave,
so the sums are no more than what the judgement finds, whichever orders come and go
within these bounds. An order that the sums can bear passes, and costs no more than its
own market; one that they cannot is judged.
"""

from cython cimport final
from libc.stdlib cimport free

import numpy as np

from ._machine cimport grown

from ._terms import jumps

cdef double ROUNDING = 1e-8      # of the sums, relative to their terms


cdef class Seats(Skipping):
    """Whether an account can surely bear an order."""

    @final
    cdef int prepare_seats(self, terms) except -1:
        self.following = True
        self.concave = concave(terms)
        return self.new_seats()

    @final
    cdef int new_seats(self) except -1:
        cdef int i
        self.seats = <Seat*>grown(NULL, 0, SEATS * sizeof(Seat))
        for i in range(SEATS):
            self.seats[i].account = -1
        return 0

    def __dealloc__(self):
        cdef int i
        if self.seats == NULL:
            return
        for i in range(SEATS):
            free(self.seats[i].coins)
            free(self.seats[i].held)
            free(self.seats[i].placed)
        free(self.seats)

    cdef int visit(self, State state) except -1:
        Skipping.visit(self, state)
        state.raw(&self.order_health, sizeof(double))
        state.raw(&self.following, sizeof(bint))
        state.raw(&self.concave, sizeof(bint))
        if state.reading:
            # Nobody sits yet: the sums are made anew, and answer the same.
            self.new_seats()
        return 0

    # -- AN ORDER

    @final
    cdef bint passes(self, int64_t account, const Resting* order) noexcept nogil:
        # Whether the account can surely bear the order; if not, it has to be judged.
        cdef Account* owner = &self.ledger.accounts[account]
        cdef Seat* seat = &self.seats[account & (SEATS - 1)]
        if (self.ruled or not self.concave or not self.following
                or owner.n_balances + owner.n_positions
                + self.ledger.n_resting(owner) < MANY):
            return False
        if self.multiple != self.order_health:
            self.multiple = self.order_health
            self.epoch += 1
        self.read_changes()
        if (seat.account != account or not owner.flags & FOLLOWED
                or seat.epoch != self.epoch):
            self.sit(seat, account, order)
        elif seat.n_coins < owner.n_balances or seat.n_held < owner.n_positions:
            self.append(seat)
        if not self.bear(seat, order):
            # Beyond the bounds, where another price holds.
            self.sit(seat, account, order)
            if not self.bear(seat, order):
                return False
        return seat.slack - self.own_loss(seat, order) > ROUNDING * seat.largest

    cdef inline double own_loss(self, const Seat* seat,
                                const Resting* order) noexcept nogil:
        if order.perpetual:
            return (self.held_loss(seat, order.base, order)
                    - seat.held[order.base].loss)
        return self.spot_loss(seat, order)

    @final
    cdef bint has(self, int64_t account, int row, double atoms) noexcept nogil:
        # Whether what rests, in an account that passed, surely leaves that many atoms.
        cdef const Seat* seat = &self.seats[account & (SEATS - 1)]
        cdef const Coin* coin = &seat.coins[row]
        return coin.out + atoms < coin.amount * (1 - ROUNDING)

    @final
    cdef void read_changes(self) noexcept nogil:
        cdef const Change* change
        cdef Seat* seat
        cdef int i
        if self.ledger.reader != <void*>self or self.ledger.n_changes == CHANGES:
            # Somebody else read some of them, or there was no room for all.
            self.ledger.reader = <void*>self
            self.ledger.n_changes = 0
            self.epoch += 1
        for i in range(self.ledger.n_changes):
            change = &self.ledger.changes[i]
            seat = &self.seats[change.account & (SEATS - 1)]
            if seat.account != change.account or seat.epoch != self.epoch:
                continue
            seat.left -= 1
            if seat.left == 0:
                seat.epoch = -1
            elif change.kind == RESTINGS:
                self.set_placed(seat, change.row)
            elif change.kind == POSITIONS:
                self.set_held(seat, change.row)
            elif change.row < seat.n_coins:
                self.set_worth(seat, change.row)
        self.ledger.n_changes = 0

    # -- THE SUMS

    @final
    cdef void sit(self, Seat* seat, int64_t account,
                  const Resting* new) noexcept nogil:
        # Sum all rows of the account, with room for the new order and as much again.
        cdef Account* owner = &self.ledger.accounts[account]
        cdef Account* other
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef Coin* coin
        cdef int i
        if seat.account >= 0 and seat.account != account:
            other = &self.ledger.accounts[seat.account]
            other.flags &= <uint8_t>~FOLLOWED
        seat.account, seat.epoch = account, self.epoch
        seat.left = UPDATES
        seat.slack = seat.size = seat.largest = 0
        owner.flags |= FOLLOWED
        self.make_room(seat)
        self.settle(owner, &self.opening)
        self.flow_of(owner, &self.opening, EVERY, ALL, True, NULL)
        seat.n_coins = owner.n_balances
        for i in range(seat.n_coins):
            coin = &seat.coins[i]
            coin.amount = <double>balance[i].amount
            coin.profit = self.net[i] - coin.amount
            coin.out, coin.into = self.flow[i].out, self.flow[i].into
            coin.worth = 0
        self.flow_of(owner, &self.opening, EVERY, ALL, True, new)
        for i in range(seat.n_coins):
            coin = &seat.coins[i]
            self.widen(coin, &self.opening.assets[balance[i].asset],
                       self.flow[i].out, self.flow[i].into)
            self.set_worth(seat, i)
        # What orders lose depends on the prices of all coins.
        seat.n_placed = self.ledger.n_resting(owner)
        for i in range(seat.n_placed):
            seat.placed[i].orders = orders[i]
            seat.placed[i].loss = self.spot_loss(seat, &orders[i])
            seat.slack -= seat.placed[i].loss
            self.resize(seat, seat.placed[i].loss + self.paid_by(&orders[i]))
        seat.n_held = owner.n_positions
        for i in range(seat.n_held):
            seat.held[i] = Held(
                profit(&position[i], &self.opening.markets[position[i].market]), 0)
            self.set_held(seat, i)

    @final
    cdef void make_room(self, Seat* seat) noexcept nogil:
        # For all rows of the account.
        cdef const Account* owner = &self.ledger.accounts[seat.account]
        cdef int n = owner.n_balances
        if n > seat.coins_max:
            seat.coins_max = n + n // 4
            seat.coins = <Coin*>stretched(seat.coins, seat.coins_max * sizeof(Coin))
        n = owner.n_positions
        if n > seat.held_max:
            seat.held_max = n + n // 4
            seat.held = <Held*>stretched(seat.held, seat.held_max * sizeof(Held))
        n = self.ledger.n_resting(owner)
        if n > seat.placed_max:
            seat.placed_max = n + n // 4
            seat.placed = <Placed*>stretched(
                seat.placed, seat.placed_max * sizeof(Placed))

    @final
    cdef void append(self, Seat* seat) noexcept nogil:
        # Rows that the account has and the sums have not.
        cdef const Account* owner = &self.ledger.accounts[seat.account]
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef Coin* coin
        self.make_room(seat)
        while seat.n_coins < owner.n_balances:
            coin = &seat.coins[seat.n_coins]
            coin[0] = Coin(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
            coin.amount = <double>balance[seat.n_coins].amount
            self.widen(coin, &self.opening.assets[balance[seat.n_coins].asset], 0, 0)
            seat.n_coins += 1
            self.set_worth(seat, seat.n_coins - 1)
        while seat.n_held < owner.n_positions:
            seat.held[seat.n_held] = Held(0, 0)
            seat.n_held += 1
            self.set_held(seat, seat.n_held - 1)

    @final
    cdef bint bear(self, Seat* seat, const Resting* new) noexcept nogil:
        # Whether the prices hold with the order too.
        cdef Turn turn = Turn(0, 0, 0, 0, 0)
        cdef const Terms* terms = &self.ledger.terms[new.market]
        cdef double lost
        if new.perpetual:
            lost = add_turn(&turn, new, terms.quote_unit, True,
                            self.opening.markets[new.market].mark_quote)
            return self.fit(seat, new.quote, lost, 0)
        return (self.fit(seat, new.quote, <double>new.bid_notional,
                         <double>new.ask_notional)
                and self.fit(seat, new.base, <double>new.asks * terms.base_unit,
                             <double>new.bids * terms.base_unit))

    @final
    cdef bint fit(self, Seat* seat, int row, double out, double into) noexcept nogil:
        # Whether the prices of a coin hold with so much more that leaves and comes;
        # they do so elsewhere too where all of it has one rate.
        cdef Coin* coin = &seat.coins[row]
        cdef Coin wider
        cdef double net = coin.amount + coin.profit
        cdef int asset
        if (coin.least <= net <= coin.most and coin.out + out <= coin.most_out
                and coin.into + into <= coin.most_into):
            return True
        asset = self.ledger.balances(
            &self.ledger.accounts[seat.account])[row].asset
        wider = coin[0]
        self.widen(&wider, &self.opening.assets[asset], coin.out + out,
                   coin.into + into)
        if (wider.cost - coin.cost > 1e-12 * coin.cost
                or coin.gain - wider.gain > 1e-12 * coin.gain):
            return False
        wider.cost, wider.gain = coin.cost, coin.gain
        coin[0] = wider
        return True

    @final
    cdef void widen(self, Coin* coin, const Asset* asset, double out,
                    double into) noexcept nogil:
        # The prices for twice what leaves and comes, and more or less of what is had.
        cdef double net = coin.amount + coin.profit
        cdef double room = fabs(net) / 16 + 1
        coin.least, coin.most = net - room - out / 4, net + room + into / 4
        coin.most_out, coin.most_into = 2 * out + room, 2 * into + room
        coin.cost = coin.gain = 0
        if asset.index > 0:
            coin.cost = (
                self.value_of(coin.least, asset)
                - self.value_of(coin.least - coin.most_out, asset)
            ) / (coin.most_out * asset.index)
            coin.gain = (
                self.value_of(coin.most + coin.most_into, asset)
                - self.value_of(coin.most, asset)) / (coin.most_into * asset.index)

    @final
    cdef double value_of(self, double atoms, const Asset* asset) noexcept nogil:
        cdef Worth has = worth(atoms, asset, self.opening.rows)
        return has.adjusted + self.multiple * has.margin

    cdef inline void resize(self, Seat* seat, double by) noexcept nogil:
        # What was added and taken off again has left its rounding in the sums.
        seat.size += by
        seat.largest = larger(seat.largest, seat.size)

    @final
    cdef void set_worth(self, Seat* seat, int row) noexcept nogil:
        # Of a balance, as it is now.
        cdef const Balance* balance = self.ledger.balances(
            &self.ledger.accounts[seat.account]) + row
        cdef const Asset* asset = &self.opening.assets[balance.asset]
        cdef Coin* coin = &seat.coins[row]
        cdef double old = coin.worth
        coin.amount = <double>balance.amount
        coin.worth = self.value_of(coin.amount + coin.profit, asset)
        seat.slack += coin.worth - old
        self.resize(seat, fabs(coin.worth) - fabs(old))
        if not self.fit(seat, row, 0, 0):
            seat.epoch = -1

    @final
    cdef void set_held(self, Seat* seat, int row) noexcept nogil:
        # Of a position and its orders.
        cdef const Position* position = self.ledger.positions(
            &self.ledger.accounts[seat.account]) + row
        cdef Held* held
        cdef double now
        if row >= seat.n_held:
            return
        held = &seat.held[row]
        now = profit(position, &self.opening.markets[position.market])
        if now != held.profit:
            seat.coins[position.settle].profit += now - held.profit
            held.profit = now
            self.set_worth(seat, position.settle)
        now = self.held_loss(seat, row, NULL)
        seat.slack -= now - held.loss
        self.resize(seat, now - held.loss)
        held.loss = now

    @final
    cdef double held_loss(self, const Seat* seat, int row,
                          const Resting* new) noexcept nogil:
        # A multiple of the margin of a position, and what the worst fills of its orders
        # add to it.
        cdef const Account* owner = &self.ledger.accounts[seat.account]
        cdef const Position* position = self.ledger.positions(owner) + row
        cdef const Market* market = &self.opening.markets[position.market]
        cdef const Terms* terms = &self.ledger.terms[position.market]
        cdef double lots = <double>position.lots
        cdef Turn turn = Turn(0, 0, 0, 0, 0)
        cdef Worth worst
        cdef int at = self.ledger.find_resting(
            seat.account, position.market, position.leg)
        if at >= 0:
            add_turn(&turn, self.ledger.resting(owner) + at, terms.quote_unit,
                     True, market.mark_quote)
        if new != NULL:
            add_turn(&turn, new, terms.quote_unit, True, market.mark_quote)
        worst = corner_of(
            lots, &turn, self.opening.assets[terms.quote].index,
            Worth(seat.coins[position.settle].cost, 0), position.leverage, False,
            self.multiple, market, self.opening.rows)
        return worst.adjusted + self.multiple * (
            worst.margin + need(fabs(lots), position.leverage, market,
                                self.opening.rows))

    @final
    cdef double spot_loss(self, const Seat* seat,
                          const Resting* orders) noexcept nogil:
        cdef const Terms* terms = &self.ledger.terms[orders.market]
        cdef const Coin* quote = &seat.coins[orders.quote]
        cdef const Coin* base
        cdef double tick = self.opening.assets[terms.quote].index * terms.quote_unit
        cdef double lot = self.opening.assets[terms.base].index * terms.base_unit
        if orders.perpetual:
            return 0
        base = &seat.coins[orders.base]
        return (
            larger(0, <double>orders.bid_notional
                   * self.opening.assets[terms.quote].index
                   * (quote.cost - bid_share(orders, tick, lot) * base.gain))
            + larger(0, <double>orders.asks * lot
                     * (base.cost - ask_share(orders, tick, lot) * quote.gain)))

    cdef inline double paid_by(self, const Resting* orders) noexcept nogil:
        # By spot orders, US dollars.
        cdef const Terms* terms = &self.ledger.terms[orders.market]
        if orders.perpetual:
            return 0
        return (<double>orders.bid_notional * self.opening.assets[terms.quote].index
                + <double>orders.asks * terms.base_unit
                * self.opening.assets[terms.base].index)

    @final
    cdef void set_placed(self, Seat* seat, int row) noexcept nogil:
        # Orders of a market, as they are now: none, others, or the same.
        cdef const Account* owner = &self.ledger.accounts[seat.account]
        cdef int n = self.ledger.n_resting(owner)
        if seat.n_coins < owner.n_balances or seat.n_held < owner.n_positions:
            self.append(seat)
        if row < seat.n_placed:
            self.count(seat, &seat.placed[row], -1)
        if row >= n:
            if row == seat.n_placed - 1:
                seat.n_placed = row
            elif row < seat.n_placed:
                seat.epoch = -1
            return
        if row >= seat.n_placed:
            if row > seat.n_placed:
                seat.epoch = -1
                return
            self.make_room(seat)
            seat.n_placed = row + 1
        seat.placed[row].orders = self.ledger.resting(owner)[row]
        self.count(seat, &seat.placed[row], 1)

    @final
    cdef void count(self, Seat* seat, Placed* placed, int sign) noexcept nogil:
        # Add orders to the sums, or take them off.
        cdef const Resting* orders = &placed.orders
        cdef const Terms* terms = &self.ledger.terms[orders.market]
        cdef Coin* quote = &seat.coins[orders.quote]
        cdef Coin* base
        cdef Turn turn = Turn(0, 0, 0, 0, 0)
        if orders.perpetual:
            quote.out += sign * add_turn(
                &turn, orders, terms.quote_unit, True,
                self.opening.markets[orders.market].mark_quote)
            placed.loss = 0
            self.set_held(seat, orders.base)
        else:
            base = &seat.coins[orders.base]
            quote.out += sign * <double>orders.bid_notional
            quote.into += sign * <double>orders.ask_notional
            base.out += sign * (<double>orders.asks * terms.base_unit)
            base.into += sign * (<double>orders.bids * terms.base_unit)
            if sign > 0:
                placed.loss = self.spot_loss(seat, orders)
            seat.slack -= sign * placed.loss
            self.resize(seat, sign * (placed.loss + self.paid_by(orders)))
            if not self.fit(seat, orders.base, 0, 0):
                seat.epoch = -1
        if not self.fit(seat, orders.quote, 0, 0):
            seat.epoch = -1

    # -- CHECKS

    def _check(self):
        """Assert that what is kept of accounts is what would be summed now, or less."""
        cdef Seat* seat
        cdef const Account* owner
        cdef int64_t at
        cdef Sums sums
        cdef int i
        self.read_changes()
        for at in range(SEATS):
            seat = &self.seats[at]
            if seat.account < 0 or seat.epoch != self.epoch:
                continue
            owner = &self.ledger.accounts[seat.account]
            if not owner.flags & FOLLOWED:
                continue
            self.append(seat)
            assert seat.n_coins == owner.n_balances
            assert seat.n_held == owner.n_positions
            assert seat.n_placed == self.ledger.n_resting(owner)
            self.worst(seat.account, &self.opening, self.multiple, NULL, &sums)
            assert (seat.slack - ROUNDING * seat.largest
                    <= sums.adjusted - self.multiple * sums.margin)
            self.settle(owner, &self.opening)
            self.flow_of(owner, &self.opening, EVERY, ALL, True, NULL)
            for i in range(seat.n_coins):
                coin = seat.coins[i]
                off = 1e-9 * (coin.most_out + coin.most_into + fabs(coin.amount) + 1)
                assert fabs(coin.amount + coin.profit - self.net[i]) <= off
                assert fabs(coin.out - self.flow[i].out) <= off
                assert fabs(coin.into - self.flow[i].into) <= off


def concave(terms):
    """Whether by these curves more of an asset counts for less and less.

    Collateral falls off from at most 1 a dollar, and debts weigh more and more from at
    least 1; their margins likewise.
    """
    return (
        all(bends(*curve, -1) and curve[1][0][1 if curve[0] <= TIERS_QTY else 0] <= 1
            for curve in each_curve(terms["collateral_initial"]))
        and all(bends(*curve, 1) and (curve[0] > TIERS_QTY or curve[1][0][1] >= 1)
                for curve in each_curve(terms["liability"]))
        and all(bends(*curve, 1) for curve in each_curve(terms["borrow_initial"])))


def each_curve(curves):
    """Kind and rows of each."""
    kinds, at, rows = (np.asarray(part).tolist() for part in curves)
    return [(kind, rows[at[i]:at[i + 1]]) for i, kind in enumerate(kinds)]


def bends(kind, rows, sign):
    """Whether a curve's rate never turns: up if the sign is 1, or down."""
    if kind > TIERS_QTY:
        return (kind == SQRT_WEIGHT) == (sign < 0)
    rates = [rate for _, rate, _ in rows]
    return not jumps(kind, rows) and all(
        sign * (high - low) >= 0 for low, high in zip(rates, rates[1:]))
