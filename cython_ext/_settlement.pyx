"""How fills settle: balances, positions and fees, atom by atom, and what orders hold.

The books' listener. Each change is a move between two accounts.
"""

from cython cimport final
from libc.math cimport fabs
from libc.stdlib cimport free

cdef extern from *:
    """
    #define fw_add(a, b, out) __builtin_add_overflow((a), (b), (out))
    """
    bint add_overflows "fw_add"(int64_t a, int64_t b, int64_t* out) noexcept nogil

cdef enum:
    PPM = 1_000_000


cdef class Gate:
    """Judges orders before they enter a book; this one lets everything pass."""

    cdef int check(self, const Message* message) noexcept nogil:
        return R_OK


cdef class Settlement(Rows):
    """Rows of accounts that follow the books."""

    def __dealloc__(self):
        free(self.terms)

    cdef int visit(self, State state) except -1:
        Rows.visit(self, state)
        self.gate = state.thing(self.gate)
        self.terms = <Terms*>state.block(
            self.terms, self.n_markets * <int64_t>sizeof(Terms),
            self.n_markets * <int64_t>sizeof(Terms))
        return 0

    # -- THE LISTENER'S PART

    cdef int check(self, const Message* message) noexcept nogil:
        cdef const Terms* terms
        if message.account >= self.n_accounts:
            return R_UNKNOWN_ACCOUNT
        if message.account < SYSTEM_ and not message.flags & LIQUIDATION:
            return R_UNKNOWN_ACCOUNT
        if message.market >= self.n_markets:
            return R_UNKNOWN_MARKET
        terms = &self.terms[message.market]
        if (<int128_t>message.qty * terms.base_unit > ATOMS_MAX
                or (<int128_t>message.qty * message.price * terms.quote_unit
                    > ATOMS_MAX)):
            return R_OVERFLOW
        # A dormant order is judged by its margin when its trigger is met.
        if self.gate is not None and message.trigger == 0:
            return self.gate.check(message)
        return R_OK

    cdef int64_t position(self, int32_t market, int32_t account,
                          int side) noexcept nogil:
        if account >= self.n_accounts or market >= self.n_markets:
            return 0
        return self.lots_of(
            account, market, leg_of(&self.accounts[account], side, REDUCE_ONLY))

    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil:
        cdef Terms* terms = &self.terms[market]
        cdef int64_t notional = price * qty * terms.quote_unit
        cdef int leg = self.leg_in(market, account, side, flags)
        cdef int row = self.find_resting(account, market, leg)
        cdef Resting new
        cdef Resting* orders
        self.touch(account)
        if row < 0:
            new = self.no_orders(account, market, leg)
            orders = self.add_resting(account)
            orders[0] = new
            row = self.n_resting(&self.accounts[account]) - 1
            self.put(RESTINGS, account, market, leg, row)
        self.follow(RESTINGS, account, row)
        orders = self.resting(&self.accounts[account]) + row
        if side == BUY:
            if qty > 0 and price > orders.worst_bid:
                orders.worst_bid = <int32_t>price
            self.add(&orders.bids, qty)
            self.add(&orders.bid_notional, notional)
            if orders.bids == 0:
                orders.worst_bid = 0
        else:
            if qty > 0 and (orders.asks == 0 or price < orders.worst_ask):
                orders.worst_ask = <int32_t>price
            self.add(&orders.asks, qty)
            self.add(&orders.ask_notional, notional)
            if orders.asks == 0:
                orders.worst_ask = 0
        if orders.bids == 0 and orders.asks == 0:
            self.drop_resting(account, row)

    @final
    cdef int leg_in(self, int32_t market, int64_t account, int side,
                    int flags) noexcept nogil:
        # Of the resting orders that one belongs to: a spot market has none.
        if not self.terms[market].perpetual:
            return NET
        return leg_of(&self.accounts[account], side, flags)

    @final
    cdef Resting no_orders(self, int64_t account, int32_t market,
                           int leg) noexcept nogil:
        # A Resting row without orders; what it is about gets its rows.
        cdef const Terms* terms = &self.terms[market]
        cdef int quote = self.balance_row(account, terms.quote)
        cdef int base = (
            self.position_row(account, market, leg, terms.quote) if terms.perpetual
            else self.balance_row(account, terms.base))
        return Resting(0, 0, 0, 0, 0, 0, <uint16_t>market, <uint16_t>base,
                       <uint16_t>quote, <uint8_t>leg, terms.perpetual)

    cdef void fill(self, const Fill* fill) noexcept nogil:
        cdef Terms* terms = &self.terms[fill.market]
        cdef int64_t notional = fill.price * fill.qty * terms.quote_unit
        cdef int64_t buyer = fill.taker, seller = fill.maker
        cdef int buyer_flags = fill.flags, seller_flags = fill.maker_flags
        if fill.taker_side == SELL:
            buyer, seller = seller, buyer
            buyer_flags, seller_flags = seller_flags, buyer_flags
        if terms.perpetual:
            self.trade_position(
                buyer, fill.market,
                leg_of(&self.accounts[buyer], BUY, buyer_flags), fill.qty, fill.price)
            self.trade_position(
                seller, fill.market,
                leg_of(&self.accounts[seller], SELL, seller_flags), -fill.qty,
                fill.price)
        else:
            self.move(terms.base, seller, buyer, fill.qty * terms.base_unit)
            self.move(terms.quote, buyer, seller, notional)
        self.charge(terms, fill.maker, notional, terms.maker_ppm, FEES_)
        self.charge(terms, fill.taker, notional, terms.taker_ppm, FEES_)
        if fill.flags & LIQUIDATION:
            self.charge(terms, fill.taker, notional, terms.liquidation_ppm, INSURANCE_)

    @final
    cdef void charge(self, const Terms* terms, int64_t account, int64_t notional,
                     int64_t ppm, int64_t target) noexcept nogil:
        # A fee is rounded up, a rebate (negative ppm) down.
        cdef int64_t fee
        if ppm == 0:
            return
        fee = <int64_t>((<int128_t>notional * ppm + (PPM - 1 if ppm > 0 else 0)) / PPM)
        self.move(terms.quote, account, target, fee)

    @final
    cdef bint moves(self, int32_t asset, int64_t source, int64_t target,
                    int64_t atoms) noexcept nogil:
        # Move, unless one of the two balances would leave int64.
        cdef int64_t a, b
        cdef int i = self.balance_row(source, asset)
        cdef int j = self.balance_row(target, asset)
        if (add_overflows(self.balances(&self.accounts[source])[i].amount, -atoms, &a)
                or add_overflows(
                    self.balances(&self.accounts[target])[j].amount, atoms, &b)):
            return False
        self.move(asset, source, target, atoms)
        return True

    @final
    cdef int move_many(self, int asset, const int64_t[::1] source,
                       const int64_t[::1] target,
                       const int64_t[::1] atoms) except -1:
        # All of the moves or, if one is refused, none.
        cdef int64_t i, n = atoms.shape[0], done = 0
        for i in range(n):
            self.known_account(source[i])
            self.known_account(target[i])
            self.known_atoms(atoms[i])
        with nogil:
            while done < n and self.moves(asset, source[done], target[done],
                                          atoms[done]):
                done += 1
            if done < n:
                # Back the way they came, so that no balance leaves its range.
                for i in range(done - 1, -1, -1):
                    self.move(asset, target[i], source[i], atoms[i])
        if done < n:
            self.refuse_move(asset, source[done], target[done], atoms[done])
        return 0

    @final
    cdef int refuse_move(self, int asset, int64_t source, int64_t target,
                         int64_t atoms) except -1:
        raise OverflowError(
            f"moving {atoms} atoms of asset {asset} from account {source} to {target} "
            f"leaves the range of int64.")

    @final
    cdef void move(self, int32_t asset, int64_t source, int64_t target,
                   int64_t atoms) noexcept nogil:
        cdef int row = self.balance_row(source, asset)
        self.touch(source)
        self.follow(BALANCES, source, row)
        self.add(&self.balances(&self.accounts[source])[row].amount, -atoms)
        row = self.balance_row(target, asset)
        self.touch(target)
        self.follow(BALANCES, target, row)
        self.add(&self.balances(&self.accounts[target])[row].amount, atoms)

    @final
    cdef void add(self, int64_t* total, int64_t more) noexcept nogil:
        # Orders and deposits are bounded, so this overflows only if their sum is
        # absurd; the exchange asks after each batch and stops.
        if add_overflows(total[0], more, total):
            self.overflowed = True

    @final
    cdef void trade_position(self, int64_t account, int32_t market, int leg,
                             int64_t lots, int64_t price) noexcept nogil:
        # Buy (or sell, lots < 0) at a price: what closes the position is realised
        # against CLEARING in proportion to its cost, what opens adds to the cost.
        cdef Terms* terms = &self.terms[market]
        cdef int row = self.position_row(account, market, leg, terms.quote)
        cdef Position* position = &self.positions(&self.accounts[account])[row]
        cdef int64_t closing = 0, share
        self.touch(account)
        self.follow(POSITIONS, account, row)
        if (position.lots > 0 > lots) or (position.lots < 0 < lots):
            closing = lots if abs64(lots) < abs64(position.lots) else -position.lots
            if closing == -position.lots:
                share = position.cost
            else:
                share = <int64_t>(
                    <int128_t>position.cost * abs64(closing) / abs64(position.lots))
            position.lots += closing
            position.cost -= share
            self.move(terms.quote, CLEARING_, account,
                      -closing * price * terms.quote_unit - share)
            position = &self.positions(&self.accounts[account])[row]
        self.add(&position.lots, lots - closing)
        self.add(&position.cost, (lots - closing) * price * terms.quote_unit)

    @final
    cdef void take(self, int64_t account, int32_t market, int64_t lots,
                   int64_t price) noexcept nogil:
        # Trade from outside the books: close the opposite leg first, then open.
        cdef int side = BUY if lots >= 0 else SELL
        cdef int leg = leg_of(&self.accounts[account], side, REDUCE_ONLY)
        cdef int64_t opposite = self.lots_of(account, market, leg)
        if leg != NET and opposite != 0:
            opposite = -opposite if abs64(opposite) < abs64(lots) else lots
            self.trade_position(account, market, leg, opposite, price)
            lots -= opposite
        if lots != 0 or leg == NET:
            leg = leg_of(&self.accounts[account], side, 0)
            self.trade_position(account, market, leg, lots, price)

    @final
    cdef int64_t lots_of(self, int64_t account, int32_t market,
                         int leg) noexcept nogil:
        cdef int row = self.find_position(account, market, leg)
        return 0 if row < 0 else self.positions(&self.accounts[account])[row].lots

    # -- WHAT IS THERE

    @final
    cdef int known_account(self, int64_t account) except -1:
        if not 0 <= account < self.n_accounts:
            raise IndexError(
                f"'account' must be from 0 to {self.n_accounts - 1} (got {account}).")
        return 0

    @final
    cdef int known_asset(self, int asset) except -1:
        if not 0 <= asset < self.n_assets:
            raise IndexError(
                f"'asset' must be from 0 to {self.n_assets - 1} (got {asset}).")
        return 0

    @final
    cdef int known_atoms(self, int64_t atoms) except -1:
        if not 0 <= atoms <= ATOMS_MAX:
            raise OverflowError(f"'atoms' must be from 0 to 2**60 (got {atoms}).")
        return 0

    @final
    cdef int known_market(self, int market) except -1:
        if not 0 <= market < self.n_markets:
            raise IndexError(
                f"'market' must be from 0 to {self.n_markets - 1} (got {market}).")
        return 0

    @final
    cdef int known_perpetual(self, int market) except -1:
        self.known_market(market)
        if not self.terms[market].perpetual:
            raise ValueError(f"'market' must be a perpetual (got {market}).")
        return 0

    @final
    cdef int known_notional(self, int market, int64_t lots, int64_t price) except -1:
        # A price, and a size at it, that the arithmetic here is exact for.
        if price <= 0:
            raise ValueError(f"'price' must be > 0 (got {price}).")
        if fabs(<double>lots * price * self.terms[market].quote_unit) > ATOMS_MAX:
            raise OverflowError(
                f"{lots} lots at {price} ticks in market {market} are worth more than "
                f"2**60 atoms.")
        return 0

    # -- CHECKS

    @final
    cdef int check_account(self, int64_t account, list lots, list cost) except -1:
        cdef const Account* owner = &self.accounts[account]
        cdef const Balance* balances = self.balances(owner)
        cdef const Position* positions = self.positions(owner)
        cdef const Resting* resting = self.resting(owner)
        cdef int i
        for i in range(owner.n_positions):
            # No lots, no cost.
            assert positions[i].lots or positions[i].cost == 0
            # Legs keep their sides, and only accounts in hedge mode use them.
            assert positions[i].leg != LONG or positions[i].lots >= 0
            assert positions[i].leg != SHORT or positions[i].lots <= 0
            if positions[i].lots:
                assert (positions[i].leg != NET) == bool(owner.flags & HEDGE)
            terms = self.terms[positions[i].market]
            assert balances[positions[i].settle].asset == terms.quote
            assert owner.flags & MIXED or positions[i].settle == positions[0].settle
            lots[positions[i].market] += positions[i].lots
            cost[terms.quote] += positions[i].cost
        assert bool(owner.flags & ORDERS) == (
            owner.resting != 0 and self.head(owner).n > 0)
        for i in range(self.n_resting(owner)):
            terms = self.terms[resting[i].market]
            # Sums of resting orders: none is negative, and not all are zero.
            assert min(resting[i].bids, resting[i].asks) >= 0
            assert resting[i].bids + resting[i].asks > 0
            assert bool(resting[i].bid_notional > 0) == bool(resting[i].bids > 0)
            assert bool(resting[i].ask_notional > 0) == bool(resting[i].asks > 0)
            # None is worse than the worst.
            assert resting[i].bid_notional <= (
                <int128_t>resting[i].bids * resting[i].worst_bid * terms.quote_unit)
            assert resting[i].ask_notional >= (
                <int128_t>resting[i].asks * resting[i].worst_ask * terms.quote_unit)
            assert bool(resting[i].worst_ask) == bool(resting[i].asks > 0)
            assert self.find_resting(account, resting[i].market, resting[i].leg) == i
            assert balances[resting[i].quote].asset == terms.quote
            assert resting[i].perpetual == terms.perpetual
            if terms.perpetual:
                assert positions[resting[i].base].market == resting[i].market
                assert positions[resting[i].base].leg == resting[i].leg
            else:
                assert balances[resting[i].base].asset == terms.base
        return 0


cdef inline int64_t abs64(int64_t x) noexcept nogil:
    return -x if x < 0 else x
