"""What can be seen of the books, of one market or of all at once.

Nothing here changes what can be seen. Lots are those shown, unless it says open; price
times lots in an array is capped at 2**63 - 1.
"""

from libc.string cimport memset

import numpy as np

from numpy cimport PyArray_DATA, import_array, ndarray

from ._arguments cimport bounded, whole
from ._ladder cimport DORMANT, DUE, LISTS, NO_ASK, WIDE, Order, Watch, check_side
from ._resting cimport ACCOUNT_MAX
from ._trading cimport PPM

from ._arguments import require_wholes

import_array()

ORDER = np.dtype([
    ("id", "<i8"), ("price", "<i8"), ("qty", "<i8"), ("hidden", "<i8"),
    ("market", "<i4"), ("account", "<i4"), ("trigger", "<i4"), ("side", "u1"),
    ("flags", "u1"), ("pad", "V2"),
])

cdef int64_t INT64_MAX = (<uint64_t>1 << 63) - 1


cdef class Views(Control):
    """Questions about one market, and about all of them at once."""

    # -- ONE MARKET

    def best(self, market):
        """Return (bid, ask) in ticks; 0 for an empty side."""
        cdef Market* m = &self.markets[self.known(market)]
        return m.best[BUY], 0 if m.best[SELL] == NO_ASK else m.best[SELL]

    def last_price(self, market):
        """Return the price of the last trade in ticks; 0 before the first."""
        return self.markets[self.known(market)].last_price

    def depth(self, market, side, levels=-1):
        """Return (prices, quantities) of the best levels; all of them for -1."""
        prices, quantities = [], []
        cdef Market* m = &self.markets[self.known(market)]
        cdef int of = check_side(side)
        cdef int64_t price = m.best[of], left = whole("levels", levels)
        if left < -1:
            raise ValueError(f"'levels' must be >= 0, or -1 for all (got {levels}).")
        while 0 < price < NO_ASK and left != 0:
            prices.append(price)
            quantities.append(self.units[self.level_at(m, of, price)].qty)
            price = self.next_price(m, of, price)
            left -= 1
        return np.array(prices, np.int64), np.array(quantities, np.int64)

    def sweep(self, market, side, qty):
        """Return (lots, sum of price * lots, worst price) a taker order would get."""
        cdef int64_t lots, worst
        cdef int128_t worth = self.swept(
            self.known(market), check_side(side), whole("qty", qty), &lots, &worst)
        return lots, <int64_t>(worth >> 32) * 2**32 + <uint32_t>worth, worst

    cdef int128_t swept(self, int market, int side, int64_t qty, int64_t* lots,
                        int64_t* worst) noexcept nogil:
        cdef Market* m = &self.markets[market]
        cdef int other = 1 - side
        cdef int64_t price = m.best[other], take
        cdef int128_t worth = 0
        lots[0], worst[0] = 0, 0
        while 0 < price < NO_ASK and lots[0] < qty:
            take = min(qty - lots[0], self.units[self.level_at(m, other, price)].qty)
            lots[0] += take
            worth += <int128_t>take * price
            worst[0] = price
            price = self.next_price(m, other, price)
        return worth

    # -- ORDERS

    def orders(self, market, side):
        """Return the resting orders (dtype ORDER), best level first, oldest first."""
        cdef Market* m = &self.markets[self.known(market)]
        cdef int of = check_side(side)
        cdef ndarray rows = np.empty(self.n_orders_of(m, of), ORDER)
        self.put_side(m, of, <OrderRow*>PyArray_DATA(rows))
        return rows

    def all_orders(self):
        """Return the resting orders by market and side, each in the order of `orders`.

        O(orders).
        """
        cdef ndarray rows = np.empty(self.live_orders, ORDER)
        cdef OrderRow* row = <OrderRow*>PyArray_DATA(rows)
        cdef int i, side
        for i in range(self.n_markets):
            for side in range(2):
                row += self.put_side(&self.markets[i], side, row)
        return rows

    def dormant(self, market):
        """Return the orders that wait for a trigger (dtype ORDER).

        Those for a fall come first, then those for a rise. Of those for a fall the
        highest trigger comes first, of those for a rise the lowest, then the oldest:
        the order in which one move would set them off.
        """
        cdef Watch* watch = &self.watches[self.known(market)]
        cdef int side, kind
        cdef Market* waiting
        keys = []
        for side in range(2):
            for kind in range(LISTS):
                waiting = watch.waiting[kind]
                if waiting != NULL:
                    keys += self.keys(waiting, side, kind == DUE)
        keys.sort()
        cdef ndarray rows = np.empty(len(keys), ORDER)
        cdef OrderRow* row = <OrderRow*>PyArray_DATA(rows)
        for i, key in enumerate(keys):
            self.put(key[4], &row[<int64_t>i])
        return rows

    def account_orders(self, account):
        """Return the account's orders (dtype ORDER), dormant ones too, oldest id first.

        Complexity as of `orders_of`.
        """
        return self.orders_of([bounded("account", account, 0, ACCOUNT_MAX)])

    def orders_of(self, accounts):
        """Return the orders of these accounts, one account's after the other's.

        Each as `account_orders` has them. O(their orders, and those that have gone
        since the accounts were last asked for): the walk drops ids that are gone.
        """
        cdef int64_t[::1] numbers = require_wholes("accounts", accounts)
        cdef int64_t i, n = 0
        cdef uint32_t id
        for i in range(numbers.shape[0]):
            bounded("account", numbers[i], 0, ACCOUNT_MAX)
            n += self.prune(numbers[i])
        cdef ndarray rows = np.empty(n, ORDER)
        cdef OrderRow* row = <OrderRow*>PyArray_DATA(rows)
        # From the last row up, as the list of an account begins with its newest.
        for i in range(numbers.shape[0] - 1, -1, -1):
            id = 0
            if numbers[i] < self.owners_max:
                id = self.owners[numbers[i]].newest
            while id:
                n -= 1
                self.put(self.unit_of[id], &row[n])
                id = self.older[id]
        return rows

    def order(self, order_id):
        """Return (market, account, side, price, open lots), None if there is no order.

        The order rests or is dormant; the price of a market order that waits is the
        worst it takes, 0 for any.
        """
        cdef OrderRow row
        cdef int64_t id = whole("order_id", order_id)
        if not 0 < id <= self.last_id or self.live(id) == 0:
            return None
        self.put(self.live(id), &row)
        return row.market, row.account, row.side, row.price, row.qty + row.hidden

    def queue_positions(self, order_ids):
        """Return (orders, lots) that trade before each of these, int64 (n, 2).

        Of the same price; -1 and -1 for an id that does not rest. O(orders ahead).
        """
        cdef int64_t[::1] ids = require_wholes("order_ids", order_ids)
        out = np.full((ids.shape[0], 2), -1, np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef int64_t i
        cdef uint32_t unit, at
        for i in range(ids.shape[0]):
            unit = self.live(ids[i]) if 0 < ids[i] <= self.last_id else 0
            if unit == 0 or (<Order*>&self.units[unit]).flags & DORMANT:
                continue
            rows[i, 0], rows[i, 1] = 0, 0
            at = (<Order*>&self.units[unit]).level
            unit = self.units[unit].prev
            while unit != at:
                rows[i, 0] += 1
                rows[i, 1] += (<Order*>&self.units[unit]).qty
                unit = self.units[unit].prev
        return out

    cdef int64_t n_orders_of(self, const Market* m, int side) noexcept nogil:
        cdef int64_t price = m.best[side], n = 0
        cdef uint32_t at, unit
        while 0 < price < NO_ASK:
            at = self.level_at(m, side, price)
            unit = self.units[at].next
            while unit != at:
                n += 1
                unit = self.units[unit].next
            price = self.next_price(m, side, price)
        return n

    cdef int64_t put_side(self, const Market* m, int side,
                          OrderRow* rows) noexcept nogil:
        # Rows of the orders of a side; return how many.
        cdef int64_t price = m.best[side], n = 0
        cdef uint32_t at, unit
        while 0 < price < NO_ASK:
            at = self.level_at(m, side, price)
            unit = self.units[at].next
            while unit != at:
                self.put(unit, &rows[n])
                n += 1
                unit = self.units[unit].next
            price = self.next_price(m, side, price)
        return n

    cdef void put(self, uint32_t unit, OrderRow* row) noexcept nogil:
        cdef const Order* order = <Order*>&self.units[unit]
        cdef Message waits
        memset(row, 0, sizeof(OrderRow))
        row.id = order.id
        row.price = self.price_of(order.level)
        row.qty = order.qty
        row.market = order.market
        row.account = <int32_t>order.owner
        row.side = order.flags & 1
        row.flags = <uint8_t>(order.flags >> 1 & 127)
        if order.flags & DORMANT:
            self.recall(unit, &waits)
            row.price, row.trigger = waits.price, waits.trigger
        elif order.flags & WIDE:
            row.hidden = self.extra(unit).hidden

    cdef list keys(self, const Market* list, int side, bint due):
        # What sorts the orders of one list, and their units.
        cdef int64_t price = list.best[side]
        cdef uint32_t at, unit
        found = []
        while 0 < price < NO_ASK:
            at = self.level_at(list, side, price)
            unit = self.units[at].next
            while unit != at:
                found.append((side, not due, -price if side == BUY else price,
                              self.extra(unit).hidden, unit))
                unit = self.units[unit].next
            price = self.next_price(list, side, price)
        return found

    # -- ALL MARKETS

    def top(self):
        """Return (bid, bid_qty, ask, ask_qty, last) of every market, int64 (n, 5)."""
        out = np.zeros((self.n_markets, 5), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef Market* m
        cdef int i
        for i in range(self.n_markets):
            m = &self.markets[i]
            if m.best[BUY]:
                rows[i, 0] = m.best[BUY]
                rows[i, 1] = self.units[self.level_at(m, BUY, m.best[BUY])].qty
            if m.best[SELL] != NO_ASK:
                rows[i, 2] = m.best[SELL]
                rows[i, 3] = self.units[self.level_at(m, SELL, m.best[SELL])].qty
            rows[i, 4] = m.last_price
        return out

    def depths(self, levels):
        """Return (price, lots) of the best levels, int64 (markets, 2, levels, 2).

        Zeros stand behind the last level of a side. O(levels).
        """
        cdef int64_t most = whole("levels", levels)
        if most < 0:
            raise ValueError(f"'levels' must be >= 0 (got {levels}).")
        out = np.zeros((self.n_markets, 2, levels, 2), np.int64)
        cdef int64_t[:, :, :, ::1] rows = out
        cdef Market* m
        cdef int64_t price, n
        cdef int i, side
        for i in range(self.n_markets):
            m = &self.markets[i]
            for side in range(2):
                price, n = m.best[side], 0
                while 0 < price < NO_ASK and n < most:
                    rows[i, side, n, 0] = price
                    rows[i, side, n, 1] = self.units[self.level_at(m, side, price)].qty
                    price = self.next_price(m, side, price)
                    n += 1
        return out

    def volume_at(self, side, prices):
        """Return the lots at one price of each market, int64 (markets,)."""
        cdef int of = check_side(side)
        cdef int64_t[::1] at = self.one_each("prices", prices)
        out = np.zeros(self.n_markets, np.int64)
        cdef int64_t[::1] rows = out
        cdef int i
        for i in range(self.n_markets):
            if 0 < at[i] < NO_ASK:
                rows[i] = self.shown_at(i, of, at[i])
        return out

    def volume_within(self, side, limits, markets=None):
        """Return (lots, sum of price * lots) resting down to a price, int64 (n, 2).

        ``limits`` holds one price in ticks for each market, or each of ``markets``,
        which may be named more than once; bids at or above it are counted, asks at or
        below it. O(levels counted).
        """
        cdef int of = check_side(side)
        named = np.arange(self.n_markets) if markets is None else markets
        cdef int64_t[::1] which = require_wholes("markets", named)
        cdef int64_t[::1] edges = self.one_each("limits", limits, which.shape[0])
        out = np.zeros((which.shape[0], 2), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef int64_t i
        for i in range(which.shape[0]):
            self.volume(self.known(which[i]), of, edges[i], &rows[i, 0])
        return out

    def depth_within(self, ppm):
        """Return (lots, sum of price * lots) near the middle, int64 (markets, 2, 2).

        Of each side, down to ``ppm`` millionths from halfway between best bid and best
        ask; without both there is no middle, and zeros. O(levels counted).
        """
        cdef int64_t share = whole("ppm", ppm)
        if not 0 <= share <= PPM:
            raise ValueError(f"'ppm' must be from 0 to 1,000,000 (got {ppm}).")
        out = np.zeros((self.n_markets, 2, 2), np.int64)
        cdef int64_t[:, :, ::1] rows = out
        cdef Market* m
        cdef int64_t twice
        cdef int i
        for i in range(self.n_markets):
            m = &self.markets[i]
            if m.best[BUY] == 0 or m.best[SELL] == NO_ASK:
                continue
            twice = m.best[BUY] + m.best[SELL]
            self.volume(
                i, BUY, (twice * (PPM - share) + 2 * PPM - 1) // (2 * PPM),
                &rows[i, BUY, 0])
            self.volume(
                i, SELL, twice * (PPM + share) // (2 * PPM), &rows[i, SELL, 0])
        return out

    def sweeps(self, side, qtys):
        """Return (lots, sum of price * lots, worst price) of a taker in each market.

        ``qtys`` holds one quantity each. int64 (markets, 3); O(levels swept).
        """
        cdef int of = check_side(side)
        cdef int64_t[::1] wanted = self.one_each("qtys", qtys)
        out = np.zeros((self.n_markets, 3), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef int i
        for i in range(self.n_markets):
            rows[i, 1] = capped(
                self.swept(i, of, wanted[i], &rows[i, 0], &rows[i, 2]))
        return out

    cdef void volume(self, int market, int side, int64_t limit,
                     int64_t* out) noexcept nogil:
        # Lots, and price times lots, at the limit or better.
        cdef Market* m = &self.markets[market]
        cdef int64_t price = m.best[side], qty, lots = 0
        cdef int128_t worth = 0
        while 0 < price < NO_ASK and (
                price >= limit if side == BUY else price <= limit):
            qty = self.units[self.level_at(m, side, price)].qty
            lots += qty
            worth += <int128_t>qty * price
            price = self.next_price(m, side, price)
        out[0], out[1] = lots, capped(worth)

    cdef object one_each(self, str name, values, int64_t markets=-1):
        found = require_wholes(name, values)
        if markets < 0:
            markets = self.n_markets
        if len(found) != markets:
            what = "quantities" if name == "qtys" else "prices"
            raise ValueError(
                f"'{name}' must hold {markets} {what} (got {len(found)}).")
        return found


cdef inline int64_t capped(int128_t worth) noexcept nogil:
    return <int64_t>(worth if worth < INT64_MAX else INT64_MAX)
