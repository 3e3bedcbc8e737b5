"""Which accounts can have fallen below a threshold since they were last looked at.

An account is above a threshold t as long as its slack, adjusted equity less t times
maintenance margin, is above zero. Where no curve jumps, the slack falls by at most a
slope times the largest relative move among the prices the account depends on. Slack
over slope is therefore its reach: with every price within that share of where it was,
the account need not be looked at. Accounts are kept in levels of about equal reach,
measured from base prices. A call values the levels that some price has outrun and no
others, so the answer is the one of a look at every account.

The slope of an account, at base prices and for moves d of at most REACH: what is had or
owed of an asset is p * x, price times atoms, profits included; |p'x' - px| is at most
|x||p' - p| + p'|x' - x|, which is d * p * (|x| + (1 + REACH) * |profits' positions|).
Times the steepest rate its curves have up to the size that can be reached; beside it, t
times the steepest rate of each bracket times the position. A bracket is one of settle
coins, whose price w may move too: the margin w * h(u / w) of u dollars changes by at
most the rate times u * (d + (1 + d) * d / (1 - d)), the second by the move of w. With
resting orders adjusted equity is the least over sets of sides, and of one set is a mean
of an asset's values without, with all that leaves and with all that comes, of weights
1 - s - t, s and t, both from 0 to 1: the largest x counts once, or if both leave and
come three times.
"""

from cython cimport final
from libc.stdlib cimport free

from ._machine cimport prefetch

cdef enum:
    AHEAD = 8                    # accounts prefetched ahead

cdef double REACH = 0.25         # no reach is told beyond this
cdef double WITH_COIN = 1 + (1 + REACH) / (1 - REACH)   # a mark and its coin may move
cdef double STEP = 0.84          # a level's edge, of the next's
cdef double ROUNDING = 2.0 ** -50


cdef class Skipping(Valuation):
    """Levels of accounts by their reach."""

    def __dealloc__(self):
        cdef int i
        for i in range(LEVELS):
            free(self.members[i].accounts)
        free(self.level)
        free(self.place)
        free(self.found)
        free(self.found_health)

    @final
    cdef int prepare(self) except -1:
        cdef int i
        self.new_board(&self.base)
        cdef int64_t assets, markets
        assets, markets = self.kept[0]
        self.asset_level = <uint8_t*>self.memory(assets)
        self.market_level = <uint8_t*>self.memory(markets)
        self.swing = <double*>self.memory(assets * <int64_t>sizeof(double))
        self.gross = <double*>self.memory(assets * <int64_t>sizeof(double))
        self.edges[LEVELS - 1] = REACH
        for i in range(LEVELS - 2, 0, -1):
            self.edges[i] = self.edges[i + 1] * STEP
        # The accounts that are looked at every time.
        self.edges[0] = -INFINITY
        return 0

    cdef int visit(self, State state) except -1:
        cdef int i
        Valuation.visit(self, state)
        if state.reading:
            self.prepare()
        state.raw(&self.threshold, sizeof(double))
        self.visit_board(state, &self.base)
        self.base.rows = self.now.rows
        self.base.bands = self.now.bands
        state.number(&self.n_levelled)
        state.number(&self.seen)
        state.number(&self.wasted)
        state.number(&self.looked)
        for i in range(LEVELS):
            visit_list(&self.members[i], state)
        self.level = <uint8_t*>state.block(
            self.level, self.n_levelled, self.n_levelled)
        self.place = <uint32_t*>state.block(
            self.place, self.n_levelled * 4, self.n_levelled * 4)
        return 0

    # -- THE ANSWER

    @final
    cdef void find(self, double threshold) noexcept nogil:
        # Leave in ``found`` the accounts whose health is at most the threshold.
        self.n_found = 0
        if self.ruled or not self.skipping or not 0 < threshold < INFINITY:
            self.find_among_all(threshold)
            return
        if threshold > self.threshold or self.wasted > self.n_levelled:
            self.rebase(threshold)
        else:
            self.refresh()
        self.collect()
        self.keep_below(threshold)
        self.wasted += self.looked - self.n_found

    @final
    cdef void find_among_all(self, double threshold) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t account, n = self.ledger.n_accounts
        self.looked = n - SYSTEM_
        for account in range(SYSTEM_, n):
            if account + AHEAD < n:
                prefetch(&pool[accounts[account + AHEAD].rows])
                prefetch(&pool[accounts[account + AHEAD].rows + 8])
            self.keep_if_below(account, threshold)

    @final
    cdef void collect(self) noexcept nogil:
        # Accounts of the levels that a price has outrun: those of low levels all
        # together, and of higher ones the holders of the few prices that went so far.
        cdef int64_t i, k, n = 0
        cdef int cut = self.cut()
        for k in range(cut):
            n += self.members[k].n
        self.need(n)
        for k in range(cut):
            for i in range(self.members[k].n):
                self.found[self.n_found] = self.members[k].accounts[i]
                self.n_found += 1
        n = self.n_found
        for i in range(self.ledger.n_assets):
            self.collect_holders(&self.ledger.by_asset[i], cut, self.asset_level[i])
        for i in range(self.ledger.n_markets):
            self.collect_holders(&self.ledger.by_market[i], cut, self.market_level[i])
        for i in range(n, self.n_found):
            self.level[self.found[i]] &= <uint8_t>~MARKED

    @final
    cdef int cut(self) noexcept nogil:
        # Levels below the cut are collected whole.  The cut that costs least: to value
        # an account takes about 32 times as long as to look at a holder's level.
        cdef int64_t held[NEVER + 1]
        cdef int64_t i, low = 0, high = 0, least
        cdef int best = 1
        for i in range(NEVER + 1):
            held[i] = 0
        for i in range(self.ledger.n_assets):
            self.asset_level[i] = <uint8_t>self.level_of_move(
                self.base.assets[i].index, self.now.assets[i].index)
            held[self.asset_level[i]] += self.ledger.by_asset[i].n
        for i in range(self.ledger.n_markets):
            self.market_level[i] = <uint8_t>max(
                self.level_of_move(
                    self.base.markets[i].mark, self.now.markets[i].mark),
                self.level_of_move(
                    self.base.markets[i].mark_quote, self.now.markets[i].mark_quote))
            held[self.market_level[i]] += self.ledger.by_market[i].n
        for i in range(2, NEVER + 1):
            high += held[i]
        low = self.members[0].n
        least = low + high // 32
        for i in range(2, NEVER + 1):
            low += self.members[i - 1].n
            high -= held[i]
            if low + high // 32 < least:
                least = low + high // 32
                best = <int>i
        return best

    @final
    cdef void collect_holders(self, const Holders* holders, int above,
                              int below) noexcept nogil:
        cdef int64_t i
        cdef uint32_t account
        if below <= above:
            return
        for i in range(holders.n):
            account = holders.accounts[i]
            # One that is marked is at no level below.
            if above <= self.level[account] < below:
                self.level[account] |= MARKED
                self.need(1)
                self.found[self.n_found] = account
                self.n_found += 1

    @final
    cdef void keep_below(self, double threshold) noexcept nogil:
        # Of those found.
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t i, n = self.n_found
        self.looked = n
        self.n_found = 0
        for i in range(n):
            if i + 2 * AHEAD < n:
                prefetch(&accounts[self.found[i + 2 * AHEAD]])
                prefetch(&pool[accounts[self.found[i + AHEAD]].rows])
                prefetch(&pool[accounts[self.found[i + AHEAD]].rows + 8])
            self.keep_if_below(self.found[i], threshold)

    @final
    cdef inline void keep_if_below(self, int64_t account,
                                   double threshold) noexcept nogil:
        cdef Sums sums = self.value(account, &self.now)
        cdef double ratio
        ratio = health(sums.adjusted, sums.margin)
        if unlikely(ratio <= threshold):
            self.need(1)
            self.found[self.n_found] = <uint32_t>account
            self.found_health[self.n_found] = ratio
            self.n_found += 1

    # -- LEVELS

    @final
    cdef void rebase(self, double threshold) noexcept nogil:
        # Measure all accounts anew, from the current prices.
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t n = self.ledger.n_accounts, account
        cdef int i
        self.threshold = larger(threshold, self.threshold)
        self.copy_board(&self.now, &self.base)
        self.level = <uint8_t*>stretched(self.level, n)
        self.place = <uint32_t*>stretched(self.place, n * sizeof(uint32_t))
        self.n_levelled = n
        self.wasted = 0
        for i in range(LEVELS):
            self.members[i].n = 0
        for account in range(n):
            if account + AHEAD < n:
                prefetch(&pool[accounts[account + AHEAD].rows])
                prefetch(&pool[accounts[account + AHEAD].rows + 8])
            self.enter(account, self.level_of(self.reach(account)))
        self.seen = self.ledger.close_touched()

    @final
    cdef void refresh(self) noexcept nogil:
        # Measure new accounts and those that changed, from the base prices.
        cdef int64_t i, account, n = self.ledger.n_accounts
        if self.seen < self.ledger.touched_base:
            self.rebase(self.threshold)
            return
        if n > self.n_levelled:
            self.level = <uint8_t*>stretched(self.level, n)
            self.place = <uint32_t*>stretched(self.place, n * sizeof(uint32_t))
            # They have nothing yet, or they are among the touched.
            for account in range(self.n_levelled, n):
                self.level[account] = NEVER
            self.n_levelled = n
        for i in range(self.seen - self.ledger.touched_base, self.ledger.n_touched):
            account = self.ledger.touched[i]
            self.leave(account)
            self.enter(account, self.level_of(self.reach(account)))
        self.seen = self.ledger.close_touched()

    @final
    cdef void enter(self, int64_t account, int level) noexcept nogil:
        cdef Holders* members
        self.level[account] = <uint8_t>level
        if level == NEVER:
            return
        members = &self.members[level]
        self.place[account] = <uint32_t>members.n
        self.ledger.hold(members, account)

    @final
    cdef void leave(self, int64_t account) noexcept nogil:
        cdef Holders* members
        cdef uint32_t last
        if self.level[account] == NEVER:
            return
        members = &self.members[self.level[account]]
        members.n -= 1
        last = members.accounts[members.n]
        members.accounts[self.place[account]] = last
        self.place[last] = self.place[account]

    @final
    cdef int level_of(self, double reach) noexcept nogil:
        cdef int low = 0, high = LEVELS, middle
        if reach == INFINITY:
            return NEVER
        while high - low > 1:
            middle = (low + high) // 2
            if reach >= self.edges[middle]:
                low = middle
            else:
                high = middle
        return low

    @final
    cdef int level_of_move(self, double old, double new) noexcept nogil:
        # The first level whose accounts need more than this move.
        cdef double move
        cdef int level = 1
        if new == old:
            return 1
        # From no price to one every account has to be looked at, and back likewise.
        if old == 0:
            return NEVER
        move = fabs(new - old) / old * (1 + ROUNDING)
        while level < LEVELS and self.edges[level] <= move:
            level += 1
        return level

    @final
    cdef double reach(self, int64_t account) noexcept nogil:
        # The least move of a price, from base prices, that can matter.
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Asset* asset
        cdef double slope, terms = 0, move, top, usd, slack, rounding
        cdef const Flow* flow
        cdef int64_t i
        cdef bint risky = owner.flags & ORDERS != 0
        cdef Sums sums
        if account < SYSTEM_:
            return INFINITY
        sums = self.value(account, &self.base)
        slack = sums.adjusted - self.threshold * sums.margin
        slope = self.position_slope(owner, &risky)
        self.flow_of(owner, &self.base, EVERY, ALL, False, NULL)
        for i in range(owner.n_balances):
            asset = &self.base.assets[balance[i].asset]
            flow = &self.flow[i]
            risky |= balance[i].amount < 0
            move = larger(fabs(self.net[i]), larger(
                fabs(self.net[i] - flow.out), fabs(self.net[i] + flow.into)))
            move += (1 + REACH) * self.swing[i]
            top = (1 + REACH) * move
            usd = asset.index * self.steep(
                asset, top * asset.index, top * asset.unit)
            slope += usd * move * (3 if flow.out > 0 and flow.into > 0 else 1)
            terms += usd * (fabs(<double>balance[i].amount) + self.gross[i]
                            + flow.into + flow.out)
        # One that owes nothing and has no position and no order is never below.
        if not risky:
            return INFINITY
        # Each operation is off by 2^-53 of its result, and a sum has no more
        # operations than rows and a few; once for then and once for now.
        rounding = ROUNDING * (slope + terms) * (
            owner.n_balances + owner.n_positions + self.ledger.n_resting(owner) + 16)
        # Not so either if a curve jumps, and the slope is no number.
        if not slack > rounding:
            return 0
        return smaller((slack - rounding) / slope * (1 - ROUNDING), REACH)

    @final
    cdef double position_slope(self, const Account* owner, bint* risky) noexcept nogil:
        # Of the account's positions.  Leaves in ``net`` the account's atoms, profits
        # included, in ``swing`` what those are of, and in ``gross`` its terms.
        cdef const Balance* balance = self.ledger.balances(owner)
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef const Market* market
        cdef double slope = 0, lots, usd
        cdef int64_t i, k
        for i in range(owner.n_balances):
            self.net[i] = <double>balance[i].amount
            self.swing[i] = self.gross[i] = 0
        for i in range(owner.n_positions):
            if position[i].lots == 0:
                continue
            risky[0] = True
            market = &self.base.markets[position[i].market]
            k = position[i].settle
            lots = fabs(<double>position[i].lots)
            usd = lots * market.mark
            self.net[k] += profit(&position[i], market)
            self.swing[k] += lots * market.mark_quote
            self.gross[k] += (
                lots * market.mark_quote + fabs(<double>position[i].cost))
            slope += self.threshold * market.factor * usd * WITH_COIN * steepest(
                &market.margin, self.base.rows,
                usd * market.per * (1 + REACH) / (1 - REACH), lots * market.lot)
        for i in range(self.ledger.n_resting(owner)):
            if orders[i].perpetual:
                # What they lose by filling is off the same balance.
                lots = <double>orders[i].bids + <double>orders[i].asks
                lots *= self.base.markets[orders[i].market].mark_quote
                self.swing[orders[i].quote] += lots
                self.gross[orders[i].quote] += (
                    lots + <double>orders[i].bid_notional
                    + <double>orders[i].ask_notional)
        return slope

    @final
    cdef double steep(self, const Asset* asset, double usd, double qty) noexcept nogil:
        # Of slack by a dollar more or less of an asset, had or owed.
        cdef const Row* rows = self.base.rows
        return larger(
            steepest(&asset.collateral, rows, usd, qty),
            steepest(&asset.liability, rows, usd, qty)
            + self.threshold * steepest(&asset.borrow, rows, usd, qty))

    @final
    cdef int64_t bytes_of_levels(self) noexcept nogil:
        cdef int64_t total = self.n_levelled * 5 + self.found_max * 12
        cdef int i
        for i in range(LEVELS):
            total += self.members[i].n_max * <int64_t>sizeof(uint32_t)
        return total

    @final
    cdef void need(self, int64_t n) noexcept nogil:
        # Room for n more accounts found.
        if self.n_found + n <= self.found_max:
            return
        self.found_max = 2 * (self.n_found + n)
        self.found = <uint32_t*>stretched(
            self.found, self.found_max * sizeof(uint32_t))
        self.found_health = <double*>stretched(
            self.found_health, self.found_max * sizeof(double))
