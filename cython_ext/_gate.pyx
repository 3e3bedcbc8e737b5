"""Whether an order may enter: what its account could lose, it must be able to bear."""

from cython cimport final
from libc.math cimport ceil

import numpy as np

from ._ladder cimport NO_ASK, Market as Side, Order
from ._trading cimport reaches


cdef class Judge(Seats):
    """Judges orders before they enter a book."""

    cdef int check(self, const Message* message) noexcept nogil:
        cdef Resting order
        cdef int32_t kept = 0
        cdef int row, reason
        if message.flags & LIQUIDATION or message.account < SYSTEM_:
            return R_OK
        if (not message.flags & REDUCE_ONLY
                and message.account < self.frozen.shape[0]
                and self.frozen[message.account]):
            return R_ACCOUNT_REDUCE_ONLY
        if not self.as_resting(message, &order):
            return R_OVERFLOW
        self.tighten_worst(message.account, message.market)
        if message.kind == MARKET or message.tif != GTC:
            return self.decide(message, &order, -1, 0)
        # It may rest beside others, and one worst price is all that is known of them.
        row = self.enter_worst(message, &order, &kept)
        reason = self.decide(message, &order, row, kept)
        if row >= 0:
            self.set_worst(message.account, row, message.side, kept)
        return reason

    cdef int visit(self, State state) except -1:
        Seats.visit(self, state)
        self.books = state.thing(self.books)
        state.number(&self.refused)
        state.number(&self.judged)
        state.raw(&self.lends, sizeof(bint))
        frozen = None if state.reading else np.asarray(self.frozen)
        self.frozen = state.thing(frozen)
        return 0

    @final
    cdef int decide(self, const Message* message, const Resting* order, int row,
                    int32_t kept) noexcept nogil:
        cdef bint surely = self.passes(message.account, order)
        if not self.may_pay(message, order, surely):
            self.refused += 1
            return R_INSUFFICIENT_MARGIN
        return R_OK if surely else self.judge(message, order, row, kept)

    @final
    cdef int enter_worst(self, const Message* message, Resting* order,
                         int32_t* kept) noexcept nogil:
        # Give an order and those that rest on its side the worst price of both; return
        # the row whose price was another, ``kept``, or -1.
        cdef const Resting* resting
        cdef int row = self.ledger.find_resting(
            message.account, message.market, order.leg)
        if row < 0:
            return -1
        resting = self.ledger.resting(&self.ledger.accounts[message.account]) + row
        if message.side == BUY and resting.bids > 0:
            kept[0] = resting.worst_bid
            if order.worst_bid <= kept[0]:
                order.worst_bid = kept[0]
                return -1
            self.set_worst(message.account, row, BUY, order.worst_bid)
            return row
        if message.side == SELL and resting.asks > 0:
            kept[0] = resting.worst_ask
            if order.worst_ask >= kept[0]:
                order.worst_ask = kept[0]
                return -1
            self.set_worst(message.account, row, SELL, order.worst_ask)
            return row
        return -1

    @final
    cdef void set_worst(self, int64_t account, int row, int side,
                        int32_t price) noexcept nogil:
        cdef Resting* resting = self.ledger.resting(
            &self.ledger.accounts[account]) + row
        if side == BUY:
            resting.worst_bid = price
        else:
            resting.worst_ask = price
        self.ledger.follow(RESTINGS, account, row)

    @final
    cdef int judge(self, const Message* message, const Resting* order, int row,
                   int32_t kept) noexcept nogil:
        cdef Sums before, after, least, had
        cdef double slack
        self.judged += 1
        self.worst(message.account, &self.opening, self.order_health, order, &after)
        if (self.failure is None
                and health(after.adjusted, after.margin) >= self.order_health):
            return R_OK
        self.worst(message.account, &self.opening, 0, order, &least)
        if self.failure is None and message.flags & REDUCE_ONLY and least.adjusted >= 0:
            # Who only closes needs no margin for it, but what it could lose.
            return R_OK
        if row >= 0:
            self.set_worst(message.account, row, message.side, kept)
        self.worst(message.account, &self.opening, self.order_health, NULL, &before)
        self.worst(message.account, &self.opening, 0, NULL, &had)
        # Rounding of float sums is not a worsening.
        slack = 1e-9 * (fabs(before.adjusted) + before.margin)
        # Nor may margin that becomes free pay for a loss that the account cannot.
        if (self.failure is None
                and (least.adjusted >= 0 or least.adjusted >= had.adjusted - slack)
                and after.adjusted - self.order_health * after.margin
                >= before.adjusted - self.order_health * before.margin - slack):
            return R_OK
        self.refused += 1
        if (self.failure is None and not message.flags & REDUCE_ONLY
                and health(before.adjusted, before.margin) < self.order_health):
            return R_ACCOUNT_REDUCE_ONLY
        return R_INSUFFICIENT_MARGIN

    @final
    cdef void tighten_worst(self, int64_t account, int32_t market) noexcept nogil:
        # None of the bids is above the best there is, none of the asks below.
        cdef const Side* best
        cdef Resting* orders
        cdef int leg, row
        if self.books is None or not self.ledger.accounts[account].flags & ORDERS:
            return
        best = &self.books.markets[market]
        for leg in range(SHORT + 1):
            row = self.ledger.find_resting(account, market, leg)
            if row < 0:
                continue
            orders = self.ledger.resting(&self.ledger.accounts[account]) + row
            if orders.worst_bid > best.best[BUY] > 0:
                orders.worst_bid = <int32_t>best.best[BUY]
                self.ledger.follow(RESTINGS, account, row)
            if 0 < orders.worst_ask < best.best[SELL] < NO_ASK:
                orders.worst_ask = <int32_t>best.best[SELL]
                self.ledger.follow(RESTINGS, account, row)
            if not self.ledger.accounts[account].flags & HEDGE:
                return

    @final
    cdef bint as_resting(self, const Message* message, Resting* out) noexcept nogil:
        # The order at its limit; False if it is too large to be valued.
        cdef int64_t price = message.price
        cdef int64_t unit = self.ledger.terms[message.market].quote_unit
        cdef int leg = self.ledger.leg_in(
            message.market, message.account, message.side, message.flags)
        if message.kind == MARKET:
            price = self.met_price(message)
            if <int128_t>message.qty * price * unit > ATOMS_MAX:
                return False
        out[0] = self.ledger.no_orders(message.account, message.market, leg)
        if message.side == BUY:
            out.bids, out.bid_notional = message.qty, message.qty * price * unit
            out.worst_bid = <int32_t>smaller(price, NO_ASK)
        else:
            out.asks, out.ask_notional = message.qty, message.qty * price * unit
            out.worst_ask = <int32_t>smaller(price, NO_ASK)
        return True

    @final
    cdef bint may_pay(self, const Message* message, const Resting* order,
                      bint surely) noexcept nogil:
        # Nobody can say what margin a position needs whose market has no mark yet.
        cdef int row = order.quote if message.side == BUY else order.base
        if order.perpetual:
            return self.now.markets[message.market].mark > 0
        if surely and self.has(
                message.account, row, <double>self.pays(order, row)):
            return True
        return not self.overdraws(message.account, row, order)

    @final
    cdef bint overdraws(self, int64_t account, int row,
                        const Resting* new) noexcept nogil:
        # Whether orders would pay more from a balance than is there, of a coin that
        # nobody lends, or that has no price: nobody can say what the debt will cost.
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef const Balance* balance = self.ledger.balances(owner) + row
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef int128_t paid = 0
        cdef int i
        if self.lends and self.now.assets[balance.asset].index != 0:
            return False
        for i in range(self.ledger.n_resting(owner)):
            paid += self.pays(&orders[i], row)
        if new != NULL:
            paid += self.pays(new, row)
        return paid > 0 and paid > balance.amount

    @final
    cdef int128_t pays(self, const Resting* orders, int row) noexcept nogil:
        # Spot orders, from a balance, atoms.
        cdef int128_t atoms = 0
        if orders.perpetual:
            return 0
        if orders.quote == row:
            atoms += orders.bid_notional
        if orders.base == row:
            atoms += <int128_t>orders.asks * self.ledger.terms[
                orders.market].base_unit
        return atoms

    # -- MARKET ORDERS

    @final
    cdef int64_t met_price(self, const Message* message) noexcept nogil:
        # The mean price of what the order would meet in the book, up to its size.  Its
        # account's own orders there may be cancelled by it: as many lots are passed
        # over.  What is hidden is at the last price or better.
        cdef const Side* market
        cdef const Resting* orders
        cdef int side = message.side, other = 1 - side, leg, row
        cdef int64_t price, limit, lots, last = 0, own = 0, left = message.qty
        cdef int128_t paid = 0
        if self.books is None or message.market >= self.books.n_markets:
            return self.likely_price(message)
        market = &self.books.markets[message.market]
        orders = self.ledger.resting(&self.ledger.accounts[message.account])
        for leg in range(SHORT + 1):
            row = self.ledger.find_resting(message.account, message.market, leg)
            if row >= 0:
                own += orders[row].asks if side == BUY else orders[row].bids
        limit = message.price
        if limit == 0:
            limit = NO_ASK - 1 if side == BUY else 1
        limit = within(market, side, limit)
        price = market.best[other]
        while left > 0 and reaches(side, limit, price):
            last = price
            lots = self.sure_lots(
                self.books.level_at(market, other, price), own + left)
            if own > 0:
                own, lots = own - lots, lots - own
            if lots > 0:
                lots = min(lots, left)
                paid += <int128_t>lots * price
                left -= lots
            price = self.books.next_price(market, other, price)
        if last == 0:
            return self.likely_price(message)
        paid += <int128_t>left * last
        if side == BUY:
            paid += message.qty - 1
        return <int64_t>(paid / message.qty)

    @final
    cdef int64_t sure_lots(self, uint32_t level, int64_t wanted) noexcept nogil:
        # That a level shows, up to those wanted; but of orders that only reduce, which
        # may be cut when they are met.
        cdef uint32_t unit = self.books.units[level].next
        cdef int64_t lots = 0
        cdef const Order* maker
        while unit != level and lots < wanted:
            maker = <const Order*>&self.books.units[unit]
            if not maker.flags & (REDUCE_ONLY << 1):
                lots += maker.qty
            unit = maker.next
        return lots

    @final
    cdef int64_t likely_price(self, const Message* message) noexcept nogil:
        # Where no book can tell: the mark, or a spot pair's index, and that tick of the
        # two around it that costs nothing.
        cdef int32_t market = message.market
        cdef const Terms* terms = &self.ledger.terms[market]
        cdef double quote = terms.quote_unit
        cdef double lot = self.now.markets[market].mark_quote
        if lot == 0:
            lot = terms.base_unit * self.now.assets[terms.base].index
            if self.now.assets[terms.quote].index <= 0:
                return 0
            lot /= self.now.assets[terms.quote].index
        # More could not be cast, and is too much at any size.
        lot = smaller(lot / quote, <double>ATOMS_MAX)
        return <int64_t>(ceil(lot) if message.side == SELL else lot)


cdef inline int64_t within(const Side* market, int side, int64_t limit) noexcept nogil:
    # The tighter of a limit and the price band: see `banded` in _trading.pyx.
    cdef int64_t reference, edge
    reference = market.reference if market.reference else market.last_price
    if market.band_ppm == 0 or reference == 0:
        return limit
    if side == BUY:
        edge = (reference * (1_000_000 + market.band_ppm) - 1) // 1_000_000
        return edge if edge < limit else limit
    edge = reference * (1_000_000 - market.band_ppm) // 1_000_000 + 1
    return edge if edge > limit else limit
