"""What accounts are worth: curves and prices in C, and the columns over all accounts.

Ledger state is exact; what is computed here are valuations, in float64 US dollars.
``margin/reference.py`` says the same in plain Python.
"""

from cython cimport final
from libc.string cimport memcpy, memset

import numpy as np

from ._machine cimport prefetch

from ._terms import checked, jumps, positive

cdef enum:
    AHEAD = 8                    # accounts prefetched ahead


cdef class Valuation(Gate):
    """Prices, curves, and the valuation of accounts."""

    # -- SET-UP

    @final
    cdef int build(self, Ledger ledger, terms, factor, unit, lot) except -1:
        cdef int64_t assets = ledger.n_assets, markets = ledger.n_markets, i
        cdef double[::1] table
        rows = []
        self.ledger = ledger
        self.kept = [(assets, markets)]
        self.new_board(&self.now)
        self.new_board(&self.opening)
        self.new_board(&self.columns_at)
        self.read(&self.now, terms, ("collateral", "liability", "borrow", "brackets"),
                  rows)
        self.read(&self.opening, terms, (
            "collateral_initial", "liability", "borrow_initial", "initial"), rows)
        self.opening.by_leverage = True
        unit = positive("unit", unit, assets)
        lot = positive("lot", lot, markets)
        factor = positive("margin_factor", factor, markets)
        for i in range(assets):
            self.now.assets[i].unit = self.opening.assets[i].unit = unit[i]
        for i in range(markets):
            self.now.markets[i].lot = self.opening.markets[i].lot = lot[i]
            self.now.markets[i].factor = self.opening.markets[i].factor = factor[i]
        table = np.append(np.array(rows).ravel(), 0.0)
        self.kept.append(table)
        self.now.rows = self.opening.rows = <const Row*>&table[0]
        self.net = <double*>self.memory(assets * <int64_t>sizeof(double))
        self.flow = <Flow*>self.memory(assets * <int64_t>sizeof(Flow))
        self.turn = <Turn*>self.memory(
            LEGS * ledger.n_markets * <int64_t>sizeof(Turn))
        self.columns = np.zeros((5, 0))
        return 0

    @final
    cdef void* memory(self, int64_t bytes) except NULL:
        # Zeros that live as long as this does; never empty.
        cdef double[::1] memory = np.zeros(bytes // 8 + 1)
        self.kept.append(memory)
        return &memory[0]

    @final
    cdef int new_board(self, Board* board) except -1:
        # No prices yet: everything is worth nothing.
        board.assets = <Asset*>self.memory(
            self.ledger.n_assets * <int64_t>sizeof(Asset))
        board.markets = <Market*>self.memory(
            self.ledger.n_markets * <int64_t>sizeof(Market))
        return 0

    @final
    cdef int read(self, Board* board, terms, names, list rows) except -1:
        # The curves of four names.
        cdef int64_t i
        cdef int64_t assets = self.ledger.n_assets, markets = self.ledger.n_markets
        collateral, liability, borrow = (
            self.curves(name, terms, assets, rows) for name in names[:3])
        margin = self.curves(names[3], terms, markets, rows)
        for i in range(assets):
            board.assets[i].collateral = collateral[i]
            board.assets[i].liability = liability[i]
            board.assets[i].borrow = borrow[i]
        for i in range(markets):
            board.markets[i].margin = margin[i]
        return 0

    @final
    cdef list curves(self, str name, terms, int64_t n, list rows):
        # The curves of one name, as dicts; their rows go to the end of ``rows``.
        if name not in terms:
            raise ValueError(f"'terms' must have '{name}' (got {', '.join(terms)}).")
        kinds, at, table = checked(name, terms[name], n)
        curves = []
        for i in range(n):
            own = table[at[i]:at[i + 1]]
            flat = kinds[i] == TIERS_USD
            curves.append({
                "cap": -1.0 if not flat else own[1][0] if len(own) > 1 else INFINITY,
                "rate": own[0][1] if flat else 0.0, "first": len(rows),
                "kind": kinds[i], "jumps": jumps(kinds[i], own),
            })
            rows += own
            # A search by size ends here at the latest.
            rows.append([INFINITY, 0.0, 0.0])
        return curves

    @final
    cdef void copy_board(self, const Board* source, Board* target) noexcept nogil:
        # All but where it is.
        memcpy(target.assets, source.assets, self.ledger.n_assets * sizeof(Asset))
        memcpy(target.markets, source.markets, self.ledger.n_markets * sizeof(Market))
        target.rows = source.rows
        target.by_leverage = source.by_leverage

    @final
    cdef int set_board(self, Board* board, list prices) except -1:
        # Index, mark, mark in quote atoms.
        cdef const double[::1] index = prices[0]
        cdef const double[::1] mark = prices[1]
        cdef const double[::1] mark_quote = prices[2]
        cdef const Asset* settle
        cdef Market* market
        cdef int64_t i
        for i in range(self.ledger.n_assets):
            board.assets[i].index = index[i]
        for i in range(self.ledger.n_markets):
            settle = &board.assets[self.ledger.terms[i].quote]
            market = &board.markets[i]
            market.mark, market.mark_quote = mark[i], mark_quote[i]
            market.coin = settle.index / settle.unit * market.factor
            market.per = settle.unit / settle.index if settle.index > 0 else 0
        return 0

    @final
    cdef int same_shape(self) except -1:
        # Curves and prices are of the assets and markets there were.
        if (self.ledger.n_assets, self.ledger.n_markets) != self.kept[0]:
            raise RuntimeError(
                "assets and markets must be added before the risk pass is made.")
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
            out.margin += self.most_asked(owner, at, orders, new)

    @final
    cdef void lose(self, const Account* owner, const Board* at, double multiple,
                   bint capped, const Resting* new, Sums* out) noexcept nogil:
        # Take off what fills would lose.  ``net`` is what the account has; ``capped``:
        # what comes is worth no more than what is paid.
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef int i
        self.flow_of(owner, at, ALL, new)
        self.price_flow(owner, at)
        self.lose_positions(owner, at, multiple, out)
        for i in range(self.ledger.n_resting(owner)):
            self.lose_orders(owner, at, &orders[i], multiple, capped, out)
        if new != NULL:
            self.lose_orders(owner, at, new, multiple, capped, out)

    @final
    cdef void flow_of(self, const Account* owner, const Board* at, int sides,
                      const Resting* new) noexcept nogil:
        # Leave in ``flow`` what comes and goes if the orders of these sides fill, and
        # in ``turn`` what orders do to each position.
        cdef const Resting* orders = self.ledger.resting(owner)
        cdef int i
        memset(self.flow, 0, owner.n_balances * sizeof(Flow))
        memset(self.turn, 0, owner.n_positions * sizeof(Turn))
        for i in range(self.ledger.n_resting(owner)):
            self.add_flow(orders[i], sides, at)
        if new != NULL:
            self.add_flow(new[0], sides, at)

    @final
    cdef void add_flow(self, Resting orders, int sides,
                       const Board* at) noexcept nogil:
        cdef Flow* quote = &self.flow[orders.quote]
        cdef Flow* base = &self.flow[orders.base]
        cdef int64_t unit = self.ledger.terms[orders.market].base_unit
        if not sides & BIDS:
            orders.bids = orders.bid_notional = 0
        if not sides & ASKS:
            orders.asks = orders.ask_notional = 0
        if orders.perpetual:
            self.add_turn(&self.turn[orders.base], &orders, quote, at)
            return
        quote.out += <double>orders.bid_notional
        quote.into += <double>orders.ask_notional
        base.out += <double>orders.asks * unit
        base.into += <double>orders.bids * unit

    @final
    cdef void add_turn(self, Turn* turn, const Resting* orders, Flow* quote,
                       const Board* at) noexcept nogil:
        # Of a perpetual: what its orders lose by filling at their prices, not at mark.
        cdef double mark = at.markets[orders.market].mark_quote
        cdef double bids = 0, asks = 0
        if mark > 0:
            bids = larger(0, <double>orders.bid_notional - <double>orders.bids * mark)
            asks = larger(0, <double>orders.asks * mark - <double>orders.ask_notional)
        turn.bids += <double>orders.bids
        turn.asks += <double>orders.asks
        turn.bid_loss += bids
        turn.ask_loss += asks
        quote.out += bids + asks

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
        cdef double quote = at.assets[balance[orders.quote].asset].index, base
        if orders.perpetual:
            return
        base = (at.assets[balance[orders.base].asset].index
                * self.ledger.terms[orders.market].base_unit)
        self.lose_side(
            orders.quote, <double>orders.bid_notional * quote,
            orders.base, <double>orders.bids * base, multiple, capped, out)
        self.lose_side(
            orders.base, <double>orders.asks * base,
            orders.quote, <double>orders.ask_notional * quote, multiple, capped, out)

    @final
    cdef void lose_side(self, int pays, double paid, int gets, double got,
                        double multiple, bint capped, Sums* out) noexcept nogil:
        # Rows of balances, and US dollars.
        cdef const Worth* cost = &self.flow[pays].paid
        cdef const Worth* gain = &self.flow[gets].got
        cdef double adjusted, margin, size
        if paid == 0:
            return
        if capped:
            got = smaller(got, paid)
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
        # Of each position its bids, its asks or both fill, whichever leaves least.
        cdef const Position* position = self.ledger.positions(owner)
        cdef const Market* market
        cdef const Worth* cost
        cdef double usd, here, lost, asked, worse, most, size
        cdef int64_t i
        cdef int sides, leverage
        cdef Worth worst
        for i in range(owner.n_positions):
            if self.turn[i].bids == 0 and self.turn[i].asks == 0:
                continue
            market = &at.markets[position[i].market]
            leverage = position[i].leverage if at.by_leverage else 0
            cost = &self.flow[position[i].settle].paid
            usd = at.assets[self.ledger.terms[position[i].market].quote].index
            here = need(fabs(<double>position[i].lots), leverage, market, at.rows)
            most, worst = 0, Worth(0, 0)
            for sides in range(BIDS, ALL + 1):
                lost = usd * (
                    (self.turn[i].bid_loss if sides & BIDS else 0)
                    + (self.turn[i].ask_loss if sides & ASKS else 0))
                asked = 0
                if not self.ruled:
                    asked = need(fabs(self.filled(<double>position[i].lots, i, sides)),
                                 leverage, market, at.rows) - here
                worse = lost * cost.adjusted + multiple * (lost * cost.margin + asked)
                size = (lost * fabs(cost.adjusted)
                        + multiple * (lost * fabs(cost.margin) + fabs(asked)))
                if worse - most > 1e-9 * size:
                    most = worse
                    worst = Worth(lost * cost.adjusted, lost * cost.margin + asked)
            out.adjusted -= worst.adjusted
            out.margin += worst.margin

    @final
    cdef double filled(self, double lots, int64_t row, int sides) noexcept nogil:
        # What bids, asks or both make of a position.
        if sides & BIDS:
            lots += self.turn[row].bids
        if sides & ASKS:
            lots -= self.turn[row].asks
        return lots

    # -- A RULE FOR POSITIONS

    @final
    cdef double most_asked(self, const Account* owner, const Board* at, bint orders,
                           const Resting* new) noexcept nogil:
        # Nothing filled, or all bids, all asks, or all: orders of two markets can hedge
        # each other until only one of them fills.
        cdef double margin = 0
        cdef int sides
        for sides in range(ALL + 1 if orders else 1):
            if orders:
                self.flow_of(owner, at, sides, new)
            margin = larger(margin, self.asked(owner, at, sides))
        return margin

    @final
    cdef double asked(self, const Account* owner, const Board* at,
                      int sides) noexcept nogil:
        # Margin of the positions by the rule with the orders of these sides filled;
        # ``net`` is that of the tally before, ``flow`` and ``turn`` of these sides.
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
            lots = self.filled(<double>position[i].lots, i, sides)
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

    # -- COLUMNS

    @final
    cdef bint moved(self, const Board* old, int64_t asset) noexcept nogil:
        return self.now.assets[asset].index != old.assets[asset].index

    @final
    cdef bint mark_moved(self, const Board* old, int64_t market) noexcept nogil:
        cdef const Market* new = &self.now.markets[market]
        return (new.mark != old.markets[market].mark
                or new.mark_quote != old.markets[market].mark_quote)

    @final
    cdef int64_t changed(self) noexcept nogil:
        # How many rows of the columns to fill anew, one at a time.
        cdef int64_t n = self.ledger.touched_base - self.columns_seen
        cdef int64_t i
        if n > 0:
            return self.ledger.n_accounts
        n += self.ledger.n_touched
        for i in range(self.ledger.n_assets):
            if self.moved(&self.columns_at, i):
                n += self.ledger.by_asset[i].n
        for i in range(self.ledger.n_markets):
            if self.mark_moved(&self.columns_at, i):
                n += self.ledger.by_market[i].n
        return n

    @final
    cdef void fill_all(self, double* out, int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t account
        for account in range(SYSTEM_, n):
            if account + AHEAD < n:
                prefetch(&pool[accounts[account + AHEAD].rows])
                prefetch(&pool[accounts[account + AHEAD].rows + 8])
            self.fill(account, &self.now, out, n, account)

    @final
    cdef void fill_changed(self, double* out, int64_t n) noexcept nogil:
        # Accounts that hold what was repriced, and those that changed.
        cdef int64_t i, account
        for i in range(self.ledger.n_assets):
            if self.moved(&self.columns_at, i):
                self.fill_holders(&self.ledger.by_asset[i], out, n)
        for i in range(self.ledger.n_markets):
            if self.mark_moved(&self.columns_at, i):
                self.fill_holders(&self.ledger.by_market[i], out, n)
        for i in range(self.columns_seen - self.ledger.touched_base,
                       self.ledger.n_touched):
            account = self.ledger.touched[i]
            if account >= SYSTEM_:
                self.fill(account, &self.now, out, n, account)

    @final
    cdef void fill_holders(self, const Holders* holders, double* out,
                           int64_t n) noexcept nogil:
        cdef const Account* accounts = self.ledger.accounts
        cdef const int64_t* pool = self.ledger.pool
        cdef int64_t i
        for i in range(holders.n):
            if i + 2 * AHEAD < holders.n:
                prefetch(&accounts[holders.accounts[i + 2 * AHEAD]])
                prefetch(&pool[accounts[holders.accounts[i + AHEAD]].rows])
                prefetch(&pool[accounts[holders.accounts[i + AHEAD]].rows + 8])
            if holders.accounts[i] >= SYSTEM_:
                self.fill(holders.accounts[i], &self.now, out, n,
                          holders.accounts[i])
