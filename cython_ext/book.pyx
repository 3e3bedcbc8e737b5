"""Limit order books with price-time priority, compiled.

All markets of one engine share one arena of 16-byte units. A level is one unit, the
sentinel of a circular list; an order is two. Levels come in pages of 64 ticks,
allocated when a price is first touched, under a 64-ary bitmap tree for each side, so
that finding the next best price never walks empty ticks. Order ids are dense: the
index by id is an array.

``orderbook/reference.py`` says in readable Python what this module does.
"""

cimport cython
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from *:
    """
    #define fw_lowest(x) ((int64_t)__builtin_ctzll(x))
    #define fw_highest(x) ((int64_t)(63 - __builtin_clzll(x)))
    #define fw_bits_set(x) ((int64_t)__builtin_popcountll(x))
    #define fw_prefetch(p) __builtin_prefetch((p), 1, 3)
    #define fw_unlikely(x) __builtin_expect(!!(x), 0)
    """
    int64_t lowest "fw_lowest"(uint64_t bits) noexcept nogil
    int64_t highest "fw_highest"(uint64_t bits) noexcept nogil
    int64_t bits_set "fw_bits_set"(uint64_t bits) noexcept nogil
    void prefetch "fw_prefetch"(const void* address) noexcept nogil
    bint unlikely "fw_unlikely"(bint condition) noexcept nogil

cdef enum:
    PRICE_MAX = (1 << 30) - 1
    NO_ASK = 1 << 30             # above every price, so a comparison needs no test for "none"
    ACCOUNT_MAX = (1 << 24) - 1
    ID_GAP_MAX = 1 << 20
    MARKETS_MAX = 1 << 16
    PPM = 1_000_000
    AHEAD = 8                    # messages prefetched; fewer or more was slower

cdef int64_t QTY_MAX = <int64_t>1 << 62
cdef int64_t ID_MAX = (<int64_t>1 << 32) - 1
cdef uint64_t HASH_START = 0xCBF29CE484222325
cdef uint64_t HASH_PRIME = 0x100000001B3

MESSAGE = np.dtype([
    ("time", "<i8"), ("order_id", "<i8"), ("price", "<i8"), ("qty", "<i8"),
    ("cause", "<i8"), ("market", "<i4"), ("account", "<i4"), ("kind", "u1"),
    ("side", "u1"), ("tif", "u1"), ("flags", "u1"), ("pad", "<i4"),
])
RESULT = np.dtype([
    ("order_id", "<i8"), ("filled", "<i8"), ("open", "<i8"), ("cancelled", "<i8"),
    ("accepted", "u1"), ("reason", "u1"), ("pad", "V6"),
])
FILL = np.dtype([
    ("time", "<i8"), ("cause", "<i8"), ("price", "<i8"), ("qty", "<i8"),
    ("maker_order", "<i8"), ("taker_order", "<i8"), ("maker", "<i4"), ("taker", "<i4"),
    ("market", "<i4"), ("message", "<i4"), ("taker_side", "u1"), ("flags", "u1"),
    ("pad", "V6"),
])
ORDER = np.dtype([
    ("id", "<i8"), ("price", "<i8"), ("qty", "<i8"), ("market", "<i4"),
    ("account", "<i4"), ("side", "u1"), ("flags", "u1"), ("pad", "V6"),
])


cdef class Listener:
    """Keeps the accounts a book knows nothing of; this one lets everything pass."""

    cdef int check(self, const Message* message) noexcept nogil:
        return R_OK

    cdef int64_t position(self, int32_t market, int32_t account) noexcept nogil:
        return 0

    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil:
        pass

    cdef void fill(self, const Fill* fill) noexcept nogil:
        pass


cdef void* grown(void* old, int64_t old_bytes, int64_t new_bytes) noexcept nogil:
    # Memory for the arrays below.  They double outside the hot path; running out of
    # memory in the middle of a match leaves nothing to go on with.
    cdef char* new = <char*>realloc(old, new_bytes)
    if new == NULL:
        fprintf(stderr, "flashwick: out of memory, growing to %lld bytes\n",
                <long long>new_bytes)
        abort()
    memset(new + old_bytes, 0, new_bytes - old_bytes)
    return new


@cython.final
cdef class Books:
    """The order books of any number of markets behind one sequence of messages.

    Prices are ticks (1 to 2**30 - 1), quantities lots (1 to 2**62), accounts numbers
    below 2**24. A message that is refused returns its reason and changes nothing.
    Adding, cancelling and matching an order cost O(1) each.

    >>> books = Books()
    >>> atom = books.add_market()
    >>> books.limit(atom, 7, 0, 1745, 500)
    1
    >>> books.best(atom)
    (1745, 0)
    """

    def __cinit__(self, Listener listener=None):
        self.listener = listener
        self.units_max = 1 << 14
        self.units = <Level*>grown(NULL, 0, self.units_max * sizeof(Level))
        self.block_price = <uint32_t*>grown(NULL, 0, (self.units_max >> 6) * 4)
        self.n_units = 64        # block 0 stays empty: unit 0 means "none"
        self.directories_max = 16
        self.directories = <Directory*>grown(
            NULL, 0, self.directories_max * sizeof(Directory))
        self.n_directories = 1
        self.slots_max = 1 << 12
        self.slots = <Slot*>grown(NULL, 0, self.slots_max * sizeof(Slot))
        self.owners_max = 64
        self.owners = <Owner*>grown(NULL, 0, self.owners_max * sizeof(Owner))
        self.fills_max = 1 << 10
        self.fills = <Fill*>grown(NULL, 0, self.fills_max * sizeof(Fill))
        self.trade_hash = HASH_START

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_markets):
            free(self.markets[i].directories)
            free(self.markets[i].top[0])
            free(self.markets[i].top[1])
        free(self.markets)
        free(self.units)
        free(self.block_price)
        free(self.directories)
        free(self.slots)
        free(self.owners)
        free(self.fills)

    # -- MARKETS

    def add_market(self):
        """Open an empty market and return its number."""
        if self.n_markets == MARKETS_MAX:
            raise OverflowError(f"a book engine holds at most {MARKETS_MAX} markets")
        self.markets = <Market*>grown(
            self.markets, self.n_markets * sizeof(Market),
            (self.n_markets + 1) * sizeof(Market))
        cdef Market* market = &self.markets[self.n_markets]
        market.best[SELL] = NO_ASK
        grow_market(market, 1)
        self.n_markets += 1
        return self.n_markets - 1

    def set_price_band(self, int market, int64_t ppm):
        """Let no trade print as far as ``ppm`` parts per million from the reference.

        The reference is that of `set_reference`, else the last trade; 0 lifts the band.
        """
        self.known(market)
        if not 0 <= ppm <= PPM:
            raise ValueError(f"'ppm' must be from 0 to 1,000,000 (got {ppm}).")
        self.markets[market].band_ppm = ppm

    def set_reference(self, int market, int64_t price):
        """Measure the price band from ``price``; 0: from the last trade."""
        self.known(market)
        if not 0 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 0 to {PRICE_MAX} (got {price}).")
        self.markets[market].reference = price

    def set_last_price(self, int market, int64_t price):
        """Take ``price`` for the last trade before the book opened."""
        self.known(market)
        if not 1 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 1 to {PRICE_MAX} (got {price}).")
        self.markets[market].last_price = price

    def set_halted(self, int market, bint halted):
        """Refuse new and replaced orders of the market, or take them again."""
        self.known(market)
        self.markets[market].halted = halted

    def set_self_trade(self, int64_t account, int mode):
        """Set what happens when an order of ``account`` would meet its own (SelfTrade)."""
        if not 0 <= account <= ACCOUNT_MAX:
            raise ValueError(f"'account' must be from 0 to {ACCOUNT_MAX} (got {account}).")
        if not 0 <= mode <= STP_DECREMENT:
            raise ValueError(f"'mode' must be a SelfTrade from 0 to 4 (got {mode}).")
        self.owner(account).self_trade = mode

    cdef int known(self, int market) except -1:
        if not 0 <= market < self.n_markets:
            raise IndexError(f"'market' must be from 0 to {self.n_markets - 1} (got {market}).")
        return 0

    # -- COMMANDS

    def process(self, messages):
        """Apply a batch in order; return one RESULT row a message, and the FILL rows.

        ``messages`` is a contiguous array of dtype MESSAGE.
        """
        if messages.dtype != MESSAGE:
            raise TypeError(f"'messages' must be of dtype MESSAGE (got {messages.dtype}).")
        batch = np.ascontiguousarray(messages)
        cdef int64_t n = batch.shape[0]
        results = np.empty(n, RESULT)
        cdef size_t batch_at = batch.ctypes.data
        cdef size_t results_at = results.ctypes.data
        kept = self.take_fills() if self.n_fills else None
        with nogil:
            self.run(<const Message*>batch_at, <Result*>results_at, n)
        fills = self.take_fills()
        if kept is not None:
            self.put_back(kept)
        return results, fills

    cdef void run(self, const Message* messages, Result* results, int64_t n) noexcept nogil:
        cdef int64_t i
        for i in range(n):
            if i + AHEAD < n:
                self.prefetch_slot(&messages[i + AHEAD])
                self.prefetch_level(&messages[i + AHEAD // 2])
            self.apply(&messages[i], &results[i], <int32_t>i)

    cdef inline void prefetch_slot(self, const Message* message) noexcept nogil:
        if message.kind == CANCEL or message.kind == REPLACE:
            if 0 < message.order_id <= self.last_id:
                prefetch(&self.slots[message.order_id])

    cdef inline void prefetch_level(self, const Message* message) noexcept nogil:
        cdef uint32_t unit
        if message.kind == LIMIT:
            if 0 <= message.market < self.n_markets and 0 < message.price <= PRICE_MAX:
                unit = self.level_at(&self.markets[message.market], message.price)
                prefetch(&self.units[unit])
        elif 0 < message.order_id <= self.last_id:
            unit = self.slots[message.order_id].unit
            prefetch(&self.units[unit])

    def limit(self, int32_t market, int32_t account, uint8_t side, int64_t price,
              int64_t qty, uint8_t tif=0, uint8_t flags=0, int64_t cause=0,
              int64_t time=0):
        """Enter a limit order; return its id, or minus the Reason it was refused for."""
        cdef Message message = Message(
            time, 0, price, qty, cause, market, account, LIMIT, side, tif, flags, 0)
        return self.one(&message)

    def market(self, int32_t market, int32_t account, uint8_t side, int64_t qty,
               int64_t protection=0, uint8_t flags=0, int64_t cause=0, int64_t time=0):
        """Enter a market order; ``protection`` is the worst price it may trade at."""
        cdef Message message = Message(
            time, 0, protection, qty, cause, market, account, MARKET, side, IOC, flags, 0)
        return self.one(&message)

    def cancel(self, int32_t market, int32_t account, int64_t order_id):
        """Cancel an order; return the lots it had open, or minus the Reason."""
        cdef Message message = Message(
            0, order_id, 0, 0, 0, market, account, CANCEL, 0, 0, 0, 0)
        cdef Result result
        self.apply(&message, &result, 0)
        return result.cancelled if result.accepted else -<int64_t>result.reason

    def cancel_all(self, int32_t account, int32_t market=-1, uint8_t side=2):
        """Cancel the account's orders, newest first; return how many.

        O(orders the account placed since its last cancel-all).
        """
        cdef Message message = Message(
            0, 0, 0, 0, 0, market, account, CANCEL_ALL, side, 0, 0, 0)
        cdef Result result
        self.apply(&message, &result, 0)
        return result.cancelled if result.accepted else -<int64_t>result.reason

    def replace(self, int32_t market, int32_t account, int64_t order_id, int64_t price,
                int64_t qty):
        """Give an order a new price and open quantity; return its id, or minus the Reason.

        At the same price a quantity not above the old keeps the place in the queue.
        """
        cdef Message message = Message(
            0, order_id, price, qty, 0, market, account, REPLACE, 0, 0, 0, 0)
        return self.one(&message)

    cdef int64_t one(self, const Message* message) noexcept nogil:
        cdef Result result
        self.apply(message, &result, 0)
        return result.order_id if result.accepted else -<int64_t>result.reason

    def take_fills(self):
        """Return the fills of the calls since the last time, and forget them."""
        fills = np.empty(self.n_fills, FILL)
        cdef size_t at = fills.ctypes.data
        memcpy(<void*>at, self.fills, self.n_fills * sizeof(Fill))
        self.n_fills = 0
        return fills

    cdef put_back(self, fills):
        cdef size_t at = fills.ctypes.data
        cdef const Fill* rows = <const Fill*>at
        cdef int64_t i
        for i in range(fills.shape[0]):
            self.push_fill()[0] = rows[i]

    # -- ONE MESSAGE

    cdef void apply(self, const Message* message, Result* result, int32_t row) noexcept nogil:
        cdef uint32_t unit
        memset(result, 0, sizeof(Result))
        if message.kind == CANCEL or message.kind == REPLACE:
            result.order_id = message.order_id
        if message.kind > REPLACE:
            result.reason = R_UNKNOWN_KIND
        elif not (0 <= message.market < self.n_markets
                  or (message.kind == CANCEL_ALL and message.market == -1)):
            result.reason = R_UNKNOWN_MARKET
        elif not 0 <= message.account <= ACCOUNT_MAX:
            result.reason = R_UNKNOWN_ACCOUNT
        elif message.kind <= MARKET:
            self.place(message, result, row)
        elif message.kind == CANCEL_ALL:
            if message.side > BOTH:
                result.reason = R_INVALID_OPTION
                return
            result.accepted = 1
            result.cancelled = self.remove_all(
                message.account, message.market, message.side)
        else:
            unit = self.find(message)
            if unit == 0:
                result.reason = R_UNKNOWN_ORDER
            elif message.kind == REPLACE:
                self.replace_order(message, result, row)
            else:
                result.accepted = 1
                result.cancelled = self.remove(unit)

    cdef inline uint32_t find(self, const Message* message) noexcept nogil:
        # The unit of the live order the message names, 0 if there is none of that
        # market and account.
        cdef uint32_t unit
        cdef Order* order
        if not 0 < message.order_id <= self.last_id:
            return 0
        unit = self.slots[message.order_id].unit
        order = <Order*>&self.units[unit]
        if unit and (order.market != message.market
                     or order.owner != <uint32_t>message.account):
            return 0
        return unit

    cdef inline int validate(self, const Message* message) noexcept nogil:
        if (message.side > SELL or message.tif > FOK or message.flags > 7
                or message.order_id < 0
                or (message.flags & POST_ONLY
                    and (message.tif != GTC or message.kind == MARKET))):
            return R_INVALID_OPTION
        if not 0 < message.qty <= QTY_MAX:
            return R_INVALID_QTY
        if not (message.kind == LIMIT) <= message.price <= PRICE_MAX:
            return R_INVALID_PRICE
        if message.order_id:
            if message.order_id <= self.last_id:
                return R_DUPLICATE_ID
            if message.order_id - self.last_id > ID_GAP_MAX:
                return R_INVALID_OPTION
        if message.order_id > ID_MAX or self.last_id >= ID_MAX:
            return R_OVERFLOW
        if self.markets[message.market].halted:
            return R_MARKET_HALTED
        return R_OK

    cdef int clip(self, Message* order) noexcept nogil:
        # Cut a reduce-only order to the position it may reduce.
        cdef int64_t room = 0
        if self.listener is not None:
            room = self.listener.position(order.market, order.account)
            if order.side == BUY:
                room = -room
        if room <= 0:
            return R_REDUCE_ONLY
        if room < order.qty:
            order.qty = room
        return R_OK

    cdef inline bint crosses(self, const Message* message) noexcept nogil:
        cdef Market* market = &self.markets[message.market]
        if message.side == BUY:
            return message.price >= market.best[SELL]
        return message.price <= market.best[BUY]

    cdef void place(self, const Message* message, Result* result, int32_t row) noexcept nogil:
        cdef Message order = message[0]
        cdef int reason = self.validate(message)
        if reason == R_OK and message.flags & REDUCE_ONLY:
            reason = self.clip(&order)
        if reason == R_OK and message.flags & POST_ONLY and self.crosses(message):
            reason = R_POST_ONLY_WOULD_CROSS
        if reason == R_OK and self.listener is not None:
            reason = self.listener.check(&order)
        if reason != R_OK:
            result.reason = reason
            return
        if order.order_id == 0:
            order.order_id = self.last_id + 1
        self.issue(order.order_id, order.account)
        result.order_id = order.order_id
        result.cancelled = message.qty - order.qty
        if result.cancelled:
            result.reason = R_REDUCE_ONLY
        self.enter(&order, result, row)

    cdef inline void issue(self, int64_t order_id, int64_t account) noexcept nogil:
        cdef Owner* owner
        if unlikely(order_id >= self.slots_max):
            self.grow_slots(order_id)
        self.last_id = order_id
        owner = self.owner(account)
        self.slots[order_id].unit = 0
        self.slots[order_id].older = owner.newest
        owner.newest = <uint32_t>order_id

    cdef void replace_order(self, const Message* message, Result* result, int32_t row) noexcept nogil:
        cdef uint32_t unit = self.slots[message.order_id].unit
        cdef Order* order = <Order*>&self.units[unit]
        cdef Message again = message[0]
        cdef int64_t old = order.qty
        cdef int64_t price = self.price_of(order.level)
        cdef int reason = R_OK
        if not 0 < message.qty <= QTY_MAX:
            reason = R_INVALID_QTY
        elif not 0 < message.price <= PRICE_MAX:
            reason = R_INVALID_PRICE
        elif self.markets[message.market].halted:
            reason = R_MARKET_HALTED
        if reason != R_OK:
            result.reason = reason
            return
        again.side = order.flags & 1
        again.flags = <uint8_t>(order.flags >> 1)
        again.tif = GTC
        again.kind = LIMIT
        if message.price == price and message.qty <= old:
            self.shrink(unit, old - message.qty)
            result.accepted = 1
            result.cancelled = old - message.qty
            result.open = message.qty
            return
        if again.flags & REDUCE_ONLY:
            reason = self.clip(&again)
        if reason == R_OK and again.flags & POST_ONLY and self.crosses(&again):
            reason = R_POST_ONLY_WOULD_CROSS
        if reason == R_OK and self.listener is not None:
            # The old order's claim on the account is let go before the new is judged.
            self.listener.rest(again.market, again.account, again.side, price, -old, again.flags)
            reason = self.listener.check(&again)
            self.listener.rest(again.market, again.account, again.side, price, old, again.flags)
        if reason != R_OK:
            result.reason = reason
            return
        self.remove(unit)
        result.cancelled = message.qty - again.qty
        if result.cancelled:
            result.reason = R_REDUCE_ONLY
        self.enter(&again, result, row)

    cdef void enter(self, Message* order, Result* result, int32_t row) noexcept nogil:
        # An accepted order with its id: match it, then rest or cancel what is left.
        cdef Market* market = &self.markets[order.market]
        cdef int64_t own = order.price, limit, left
        cdef bint stopped = False
        result.accepted = 1
        if order.kind == MARKET and own == 0:
            own = PRICE_MAX if order.side == BUY else 1
        limit = banded(market, order.side, own)
        if order.tif == FOK:
            if self.fillable(order, limit) < order.qty:
                result.cancelled += order.qty
                result.reason = R_FOK_UNFILLABLE
                return
        left = order.qty
        if order.side == BUY:
            if market.best[SELL] <= limit:
                left = self.match(order, limit, result, row, &stopped)
        elif market.best[BUY] >= limit:
            left = self.match(order, limit, result, row, &stopped)
        if left == 0:
            return
        if stopped:
            result.reason = R_SELF_TRADE
        elif order.kind == MARKET:
            if market.best[1 - order.side] == (NO_ASK if order.side == BUY else 0):
                result.reason = R_UNFILLED
            else:
                result.reason = R_PRICE_BAND if limit != own else R_PROTECTION_PRICE
        elif self.crosses(order):
            result.reason = R_PRICE_BAND
        elif order.tif == GTC:
            result.open = left
            self.add(order, left)
            return
        else:
            result.reason = R_UNFILLED
        result.cancelled += left

    cdef int64_t match(self, const Message* order, int64_t limit, Result* result,
                       int32_t row, bint* stopped) noexcept nogil:
        # Trade the order against the other side down to `limit`; return the lots left.
        cdef Market* market = &self.markets[order.market]
        cdef int other = 1 - order.side
        cdef int64_t left = order.qty, price, take
        cdef uint32_t at, unit
        cdef Level* level
        cdef Order* maker
        cdef uint32_t mode = self.owner(order.account).self_trade
        while left and not stopped[0]:
            price = market.best[other]
            if (price > limit) if order.side == BUY else (price < limit):
                break
            at = self.level_at(market, price)
            level = &self.units[at]
            # Between two rounds: level.qty is the sum of its orders, all before
            # level.next have traded or gone, and left > 0.
            while left and level.next != at:
                unit = level.next
                maker = <Order*>&self.units[unit]
                prefetch(&self.units[maker.next])
                if unlikely(mode != STP_NONE and maker.owner == <uint32_t>order.account):
                    left = self.meet_own(unit, mode, left, result, stopped)
                    if stopped[0]:
                        break
                    continue
                if unlikely(maker.flags & (REDUCE_ONLY << 1)):
                    if not self.clip_maker(unit):
                        continue
                take = maker.qty if maker.qty < left else left
                left -= take
                level.qty -= take
                maker.qty -= take
                self.trade(order, maker, price, take, row)
                if maker.qty == 0:
                    level.next = maker.next
                    self.units[maker.next].prev = at
                    self.release(unit)
            if level.next == at:
                self.clear_level(market, other, price)
        result.filled += order.qty - left - self.decremented(result)
        return left

    cdef inline int64_t decremented(self, Result* result) noexcept nogil:
        # Lots the taker lost to STP_DECREMENT, parked in `open` while matching.
        cdef int64_t lots = result.open
        result.open = 0
        result.cancelled += lots
        if lots:
            result.reason = R_SELF_TRADE
        return lots

    cdef int64_t meet_own(self, uint32_t unit, uint32_t mode, int64_t left,
                          Result* result, bint* stopped) noexcept nogil:
        # Self-trade prevention at the front of the level; return the taker's lots left.
        # The level is unlinked from its queue only: the caller clears it when empty.
        cdef Order* maker = <Order*>&self.units[unit]
        cdef int64_t lots
        if mode == STP_DECREMENT:
            lots = maker.qty if maker.qty < left else left
            result.open += lots
            left -= lots
            if lots < maker.qty:
                self.shrink(unit, lots)
            else:
                self.drop(unit)
            return left
        if mode == STP_CANCEL_OLDEST or mode == STP_CANCEL_BOTH:
            self.drop(unit)
        if mode != STP_CANCEL_OLDEST:
            stopped[0] = True
        return left

    cdef bint clip_maker(self, uint32_t unit) noexcept nogil:
        # Cut a resting reduce-only order to its position; False when it went.
        cdef Order* maker = <Order*>&self.units[unit]
        cdef int64_t room = 0
        if self.listener is not None:
            room = self.listener.position(maker.market, <int32_t>maker.owner)
            if not maker.flags & 1:
                room = -room
        if room <= 0:
            self.drop(unit)
            return False
        if room < maker.qty:
            self.shrink(unit, maker.qty - room)
        return True

    cdef inline void trade(self, const Message* order, Order* maker, int64_t price,
                           int64_t qty, int32_t row) noexcept nogil:
        cdef Fill* fill = self.push_fill()
        fill.time = order.time
        fill.cause = order.cause
        fill.price = price
        fill.qty = qty
        fill.maker_order = maker.id
        fill.taker_order = order.order_id
        fill.maker = <int32_t>maker.owner
        fill.taker = order.account
        fill.market = order.market
        fill.message = row
        fill.taker_side = order.side
        fill.flags = order.flags
        self.markets[order.market].last_price = price
        self.trades += 1
        self.traded_qty += qty
        self.notional += <uint64_t>qty * <uint64_t>price
        self.trade_hash = (self.trade_hash ^ (
            <uint64_t>maker.id + <uint64_t>order.order_id * 2654435761u
            + <uint64_t>price * 40503u + <uint64_t>qty * 69621u)) * HASH_PRIME
        if self.listener is not None:
            self.listener.rest(order.market, fill.maker, maker.flags & 1, price, -qty,
                               maker.flags >> 1)
            self.listener.fill(fill)

    cdef inline Fill* push_fill(self) noexcept nogil:
        cdef Fill* fill
        if unlikely(self.n_fills == self.fills_max):
            self.fills = <Fill*>grown(self.fills, self.fills_max * sizeof(Fill),
                                      2 * self.fills_max * sizeof(Fill))
            self.fills_max *= 2
        fill = &self.fills[self.n_fills]
        memset(fill.pad, 0, sizeof(fill.pad))
        self.n_fills += 1
        return fill

    cdef int64_t fillable(self, const Message* order, int64_t limit) noexcept nogil:
        # Lots a fill-or-kill order is sure to get, counted no further than it needs.
        cdef Market* market = &self.markets[order.market]
        cdef int other = 1 - order.side
        cdef uint32_t mode = self.owner(order.account).self_trade
        cdef int64_t price = market.best[other], lots = 0
        cdef uint32_t at, unit
        cdef Order* maker
        while ((price <= limit) if order.side == BUY else (price >= limit)):
            at = self.level_at(market, price)
            unit = self.units[at].next
            while unit != at:
                maker = <Order*>&self.units[unit]
                if mode != STP_NONE and maker.owner == <uint32_t>order.account:
                    if mode != STP_CANCEL_OLDEST:
                        return lots
                elif not maker.flags & (REDUCE_ONLY << 1):
                    lots += maker.qty
                    if lots >= order.qty or lots < 0:
                        return order.qty
                unit = maker.next
            price = self.next_price(market, other, price)
        return lots

    # -- THE ARENA

    cdef void add(self, const Message* order, int64_t qty) noexcept nogil:
        # Rest the order at the back of its level.
        cdef Market* market = &self.markets[order.market]
        cdef uint32_t at = self.touch_level(market, order.price)
        cdef uint32_t unit = self.take_slot()
        cdef Level* level = &self.units[at]
        cdef Order* new = <Order*>&self.units[unit]
        if level.next == at:
            self.mark_level(market, order.side, order.price)
        new.prev = level.prev
        new.next = at
        new.qty = qty
        new.level = at
        new.owner = <uint32_t>order.account
        new.id = <uint32_t>order.order_id
        new.market = <uint16_t>order.market
        new.flags = <uint16_t>(order.side | order.flags << 1)
        self.units[level.prev].next = unit
        level.prev = unit
        level.qty += qty
        self.slots[order.order_id].unit = unit
        self.live_orders += 1
        if self.listener is not None:
            self.listener.rest(order.market, order.account, order.side, order.price, qty,
                               order.flags)

    cdef int64_t remove(self, uint32_t unit) noexcept nogil:
        # Cancel a resting order; return the lots it had open.
        cdef Order* order = <Order*>&self.units[unit]
        cdef int64_t qty = order.qty
        cdef uint32_t at = order.level
        cdef Level* level = &self.units[at]
        cdef int side = order.flags & 1
        cdef int32_t market = order.market
        self.drop(unit)
        if level.next == at:
            self.clear_level(&self.markets[market], side, self.price_of(at))
        return qty

    cdef inline void drop(self, uint32_t unit) noexcept nogil:
        # Unlink an order; its level stays marked even if this was the last.
        cdef Order* order = <Order*>&self.units[unit]
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        self.units[order.level].qty -= order.qty
        if self.listener is not None:
            self.listener.rest(order.market, <int32_t>order.owner, order.flags & 1,
                               self.price_of(order.level), -order.qty, order.flags >> 1)
        self.release(unit)

    cdef void shrink(self, uint32_t unit, int64_t lots) noexcept nogil:
        # Take lots off an order that keeps its place.
        cdef Order* order = <Order*>&self.units[unit]
        order.qty -= lots
        self.units[order.level].qty -= lots
        if lots and self.listener is not None:
            self.listener.rest(order.market, <int32_t>order.owner, order.flags & 1,
                               self.price_of(order.level), -lots, order.flags >> 1)

    cdef inline void release(self, uint32_t unit) noexcept nogil:
        cdef Order* order = <Order*>&self.units[unit]
        self.slots[order.id].unit = 0
        order.next = self.free_order
        self.free_order = unit
        self.live_orders -= 1

    cdef int64_t remove_all(self, int32_t account, int32_t market, int side) noexcept nogil:
        # Walk the account's orders, newest first; those that stay are chained anew, so
        # that a dead one is passed once in its life.
        cdef int64_t cancelled = 0
        cdef uint32_t id, older, unit
        cdef uint32_t kept = 0
        cdef Owner* owner = self.owner(account)
        cdef Order* order
        id = owner.newest
        owner.newest = 0
        while id:
            older = self.slots[id].older
            unit = self.slots[id].unit
            if unit:
                order = <Order*>&self.units[unit]
                if ((market == -1 or order.market == market)
                        and (side == BOTH or (order.flags & 1) == side)):
                    self.remove(unit)
                    cancelled += 1
                else:
                    if kept:
                        self.slots[kept].older = id
                    else:
                        owner.newest = id
                    kept = id
            id = older
        if kept:
            self.slots[kept].older = 0
        return cancelled

    cdef inline uint32_t take_slot(self) noexcept nogil:
        # A free order slot; the one freed last is the one most likely in the cache.
        cdef uint32_t unit
        cdef int64_t first, i
        if unlikely(self.free_order == 0):
            first = self.new_block(0)
            for i in range(62, -2, -2):
                (<Order*>&self.units[first + i]).next = self.free_order
                self.free_order = <uint32_t>(first + i)
        unit = self.free_order
        self.free_order = (<Order*>&self.units[unit]).next
        return unit

    cdef int64_t new_block(self, uint32_t price) noexcept nogil:
        # 64 fresh units: a page of levels from `price` on, or a slab of 32 orders.
        cdef int64_t first = self.n_units, old = self.units_max
        if first == old:
            self.units_max *= 2
            self.units = <Level*>grown(
                self.units, old * sizeof(Level), self.units_max * sizeof(Level))
            self.block_price = <uint32_t*>grown(
                self.block_price, (old >> 6) * 4, (self.units_max >> 6) * 4)
        self.n_units += 64
        self.block_price[first >> 6] = price
        return first

    cdef inline Owner* owner(self, int64_t account) noexcept nogil:
        cdef int64_t old = self.owners_max
        if unlikely(account >= old):
            while self.owners_max <= account:
                self.owners_max *= 2
            self.owners = <Owner*>grown(
                self.owners, old * sizeof(Owner), self.owners_max * sizeof(Owner))
        return &self.owners[account]

    cdef void grow_slots(self, int64_t order_id) noexcept nogil:
        cdef int64_t old = self.slots_max
        while self.slots_max <= order_id:
            self.slots_max *= 2
        self.slots = <Slot*>grown(
            self.slots, old * sizeof(Slot), self.slots_max * sizeof(Slot))

    # -- THE LADDER

    cdef inline int64_t price_of(self, uint32_t level) noexcept nogil:
        return <int64_t>self.block_price[level >> 6] + (level & 63)

    cdef inline uint32_t level_at(self, Market* market, int64_t price) noexcept nogil:
        # The unit of a level, 0 if its page was never touched.
        cdef uint32_t page
        if unlikely((price >> 12) >= market.n_directories):
            return 0
        page = self.directories[market.directories[price >> 12]].page[(price >> 6) & 63]
        return page + <uint32_t>(price & 63) if page else 0

    cdef inline uint32_t touch_level(self, Market* market, int64_t price) noexcept nogil:
        cdef uint32_t at = self.level_at(market, price)
        return at if at else self.new_page(market, price)

    cdef uint32_t new_page(self, Market* market, int64_t price) noexcept nogil:
        cdef int64_t first, i, old
        cdef Directory* directory
        if (price >> 12) >= market.n_directories:
            grow_market(market, (price >> 12) + 1)
        if market.directories[price >> 12] == 0:
            if self.n_directories == self.directories_max:
                old = self.directories_max
                self.directories_max *= 2
                self.directories = <Directory*>grown(
                    self.directories, old * sizeof(Directory),
                    self.directories_max * sizeof(Directory))
            market.directories[price >> 12] = <uint32_t>self.n_directories
            self.n_directories += 1
        first = self.new_block(<uint32_t>(price & ~<int64_t>63))
        for i in range(first, first + 64):
            self.units[i].prev = <uint32_t>i
            self.units[i].next = <uint32_t>i
        directory = &self.directories[market.directories[price >> 12]]
        directory.page[(price >> 6) & 63] = <uint32_t>first
        return <uint32_t>(first + (price & 63))

    cdef inline void mark_level(self, Market* market, int side, int64_t price) noexcept nogil:
        # A level got its first order: set its bit and those above it.
        cdef int64_t d = price >> 12, word = (price >> 6) & 63
        cdef Directory* directory = &self.directories[market.directories[d]]
        directory.bits[side][word] |= <uint64_t>1 << (price & 63)
        directory.summary[side] |= <uint64_t>1 << word
        market.top[side][d >> 6] |= <uint64_t>1 << (d & 63)
        market.crown[side][d >> 12] |= <uint64_t>1 << ((d >> 6) & 63)
        if side == BUY:
            if price > market.best[BUY]:
                market.best[BUY] = price
        elif price < market.best[SELL]:
            market.best[SELL] = price

    cdef void clear_level(self, Market* market, int side, int64_t price) noexcept nogil:
        # A level lost its last order: clear its bit, and those above it left empty.
        cdef int64_t d = price >> 12, word = (price >> 6) & 63
        cdef Directory* directory = &self.directories[market.directories[d]]
        directory.bits[side][word] &= ~(<uint64_t>1 << (price & 63))
        if directory.bits[side][word] == 0:
            directory.summary[side] &= ~(<uint64_t>1 << word)
            if directory.summary[side] == 0:
                market.top[side][d >> 6] &= ~(<uint64_t>1 << (d & 63))
                if market.top[side][d >> 6] == 0:
                    market.crown[side][d >> 12] &= ~(<uint64_t>1 << ((d >> 6) & 63))
        if market.best[side] == price:
            market.best[side] = self.next_price(market, side, price)

    cdef int64_t next_price(self, Market* market, int side, int64_t price) noexcept nogil:
        # The next best price behind `price` that holds orders; 0 or NO_ASK if none.
        if side == BUY:
            return self.next_below(market, price)
        return self.next_above(market, price)

    cdef int64_t next_below(self, Market* market, int64_t price) noexcept nogil:
        cdef int64_t d = price >> 12, word = (price >> 6) & 63, i
        cdef Directory* directory = &self.directories[market.directories[d]]
        cdef uint64_t bits = directory.bits[BUY][word] & below(price & 63)
        if bits == 0:
            bits = directory.summary[BUY] & below(word)
            if bits == 0:
                bits = market.top[BUY][d >> 6] & below(d & 63)
                d &= ~<int64_t>63
                if bits == 0:
                    i = d >> 12
                    bits = market.crown[BUY][i] & below((d >> 6) & 63)
                    while bits == 0 and i > 0:
                        i -= 1
                        bits = market.crown[BUY][i]
                    if bits == 0:
                        return 0
                    d = (i << 12) | (highest(bits) << 6)
                    bits = market.top[BUY][d >> 6]
                d |= highest(bits)
                directory = &self.directories[market.directories[d]]
                bits = directory.summary[BUY]
            word = highest(bits)
            bits = directory.bits[BUY][word]
        return (d << 12) | (word << 6) | highest(bits)

    cdef int64_t next_above(self, Market* market, int64_t price) noexcept nogil:
        cdef int64_t d = price >> 12, word = (price >> 6) & 63, i
        cdef Directory* directory = &self.directories[market.directories[d]]
        cdef uint64_t bits = directory.bits[SELL][word] & above(price & 63)
        if bits == 0:
            bits = directory.summary[SELL] & above(word)
            if bits == 0:
                bits = market.top[SELL][d >> 6] & above(d & 63)
                d &= ~<int64_t>63
                if bits == 0:
                    i = d >> 12
                    bits = market.crown[SELL][i] & above((d >> 6) & 63)
                    while bits == 0 and i < 63:
                        i += 1
                        bits = market.crown[SELL][i]
                    if bits == 0:
                        return NO_ASK
                    d = (i << 12) | (lowest(bits) << 6)
                    bits = market.top[SELL][d >> 6]
                d |= lowest(bits)
                directory = &self.directories[market.directories[d]]
                bits = directory.summary[SELL]
            word = lowest(bits)
            bits = directory.bits[SELL][word]
        return (d << 12) | (word << 6) | lowest(bits)

    # -- QUERIES

    def best(self, int market):
        """Return (bid, ask) in ticks; 0 for an empty side."""
        self.known(market)
        cdef Market* m = &self.markets[market]
        return m.best[BUY], 0 if m.best[SELL] == NO_ASK else m.best[SELL]

    def last_price(self, int market):
        """Return the price of the last trade in ticks; 0 before the first."""
        self.known(market)
        return self.markets[market].last_price

    def top(self):
        """Return (bid, bid_qty, ask, ask_qty, last) of every market, int64 (n, 5)."""
        out = np.zeros((self.n_markets, 5), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef Market* m
        cdef int i
        for i in range(self.n_markets):
            m = &self.markets[i]
            rows[i, 0] = m.best[BUY]
            if m.best[BUY]:
                rows[i, 1] = self.units[self.level_at(m, m.best[BUY])].qty
            if m.best[SELL] != NO_ASK:
                rows[i, 2] = m.best[SELL]
                rows[i, 3] = self.units[self.level_at(m, m.best[SELL])].qty
            rows[i, 4] = m.last_price
        return out

    def depth(self, int market, int side, int64_t levels=-1):
        """Return (prices, quantities) of the best levels; all of them by default."""
        self.known(market)
        prices, quantities = [], []
        cdef Market* m = &self.markets[market]
        cdef int64_t price = m.best[check_side(side)]
        while 0 < price < NO_ASK and levels != 0:
            prices.append(price)
            quantities.append(self.units[self.level_at(m, price)].qty)
            price = self.next_price(m, side, price)
            levels -= 1
        return np.array(prices, np.int64), np.array(quantities, np.int64)

    def orders(self, int market, int side):
        """Return the resting orders (dtype ORDER), best level first, oldest first."""
        self.known(market)
        rows = []
        cdef Market* m = &self.markets[market]
        cdef int64_t price = m.best[check_side(side)]
        cdef uint32_t at, unit
        while 0 < price < NO_ASK:
            at = self.level_at(m, price)
            unit = self.units[at].next
            while unit != at:
                rows.append(self.row(unit))
                unit = (<Order*>&self.units[unit]).next
            price = self.next_price(m, side, price)
        return np.array(rows, ORDER)

    def account_orders(self, int64_t account):
        """Return the account's resting orders (dtype ORDER), oldest id first."""
        if not 0 <= account <= ACCOUNT_MAX:
            raise ValueError(f"'account' must be from 0 to {ACCOUNT_MAX} (got {account}).")
        rows = []
        cdef uint32_t id = self.owner(account).newest
        while id:
            if self.slots[id].unit:
                rows.append(self.row(self.slots[id].unit))
            id = self.slots[id].older
        return np.array(rows[::-1], ORDER)

    cdef tuple row(self, uint32_t unit):
        cdef Order* order = <Order*>&self.units[unit]
        return (order.id, self.price_of(order.level), order.qty, order.market,
                order.owner, order.flags & 1, order.flags >> 1, b"")

    def order(self, int64_t order_id):
        """Return (market, account, side, price, open lots), or None if not resting."""
        if not 0 < order_id <= self.last_id or self.slots[order_id].unit == 0:
            return None
        row = self.row(self.slots[order_id].unit)
        return row[3], row[4], row[5], row[1], row[2]

    def volume_within(self, int side, limits):
        """Return (lots, sum of price * lots) resting down to a price, int64 (n, 2).

        ``limits`` holds one price in ticks for each market; bids at or above it are
        counted, asks at or below it. O(levels counted).
        """
        check_side(side)
        cdef int64_t[::1] edges = np.ascontiguousarray(limits, np.int64)
        if edges.shape[0] != self.n_markets:
            raise ValueError(
                f"'limits' must hold {self.n_markets} prices (got {edges.shape[0]}).")
        out = np.zeros((self.n_markets, 2), np.int64)
        cdef int64_t[:, ::1] rows = out
        cdef Market* m
        cdef int64_t price, qty
        cdef int i
        for i in range(self.n_markets):
            m = &self.markets[i]
            price = m.best[side]
            while 0 < price < NO_ASK and (
                    price >= edges[i] if side == BUY else price <= edges[i]):
                qty = self.units[self.level_at(m, price)].qty
                rows[i, 0] += qty
                rows[i, 1] += qty * price
                price = self.next_price(m, side, price)
        return out

    def sweep(self, int market, int side, int64_t qty):
        """Return (lots, sum of price * lots, worst price) a taker order would get."""
        self.known(market)
        cdef Market* m = &self.markets[market]
        cdef int other = 1 - check_side(side)
        cdef int64_t price = m.best[other], take, worst = 0, lots = 0
        total = 0
        while 0 < price < NO_ASK and lots < qty:
            take = min(qty - lots, self.units[self.level_at(m, price)].qty)
            lots += take
            total += <object>take * price
            worst = price
            price = self.next_price(m, other, price)
        return lots, total, worst

    def _check(self):
        """Assert every invariant. O(orders and ids); tests call it after each command."""
        cdef int i, side
        cdef Market* m
        cdef int64_t price, total, live = 0, id, d, word, marked
        cdef uint32_t at, unit, before
        cdef Order* order
        for i in range(self.n_markets):
            m = &self.markets[i]
            # The books are never crossed.
            assert m.best[BUY] < m.best[SELL]
            for side in range(2):
                marked = 0
                for d in range(m.n_directories):
                    for word in range(64):
                        marked += bits_set(
                            self.directories[m.directories[d]].bits[side][word])
                price = m.best[side]
                while 0 < price < NO_ASK:
                    at = self.level_at(m, price)
                    # A page knows its price.
                    assert self.price_of(at) == price
                    # A marked level holds orders.
                    assert self.units[at].next != at
                    total, before, unit = 0, at, self.units[at].next
                    while unit != at:
                        order = <Order*>&self.units[unit]
                        # The list is linked both ways, and each order knows its place.
                        assert order.prev == before
                        assert order.level == at
                        assert order.market == i
                        assert order.flags & 1 == side
                        assert order.qty > 0
                        # The index by id points back at it.
                        assert self.slots[order.id].unit == unit
                        total += order.qty
                        live += 1
                        before, unit = unit, order.next
                    assert self.units[at].prev == before
                    # The level's total is its orders' sum.
                    assert self.units[at].qty == total
                    marked -= 1
                    price = self.next_price(m, side, price)
                # The walk from the best price met every marked tick.
                assert marked == 0
        # Every live order was reached from its market, and every live id is an order.
        assert live == self.live_orders
        for id in range(1, self.last_id + 1):
            live -= self.slots[id].unit != 0
        assert live == 0


cdef inline uint64_t below(int64_t bit) noexcept nogil:
    return (<uint64_t>1 << bit) - 1


cdef inline uint64_t above(int64_t bit) noexcept nogil:
    return ~(((<uint64_t>1 << bit) - 1) | (<uint64_t>1 << bit))


cdef inline int64_t banded(Market* market, int side, int64_t limit) noexcept nogil:
    # The tighter of an order's own limit and the market's price band.
    cdef int64_t reference, edge
    if market.band_ppm == 0:
        return limit
    reference = market.reference if market.reference else market.last_price
    if reference == 0:
        return limit
    # A trade at the edge would break the band: the worst price is one tick inside.
    if side == BUY:
        edge = (reference * (PPM + market.band_ppm) - 1) // PPM
        return edge if edge < limit else limit
    edge = reference * (PPM - market.band_ppm) // PPM + 1
    return edge if edge > limit else limit


cdef void grow_market(Market* market, int64_t n) noexcept nogil:
    # Make room for n directories of 4,096 ticks, in words of 64.
    cdef int64_t old = market.n_directories, new = 64
    cdef int side
    while new < n:
        new *= 2
    market.directories = <uint32_t*>grown(market.directories, old * 4, new * 4)
    for side in range(2):
        market.top[side] = <uint64_t*>grown(market.top[side], old >> 3, new >> 3)
    market.n_directories = new


cdef int check_side(int side) except -1:
    if side != BUY and side != SELL:
        raise ValueError(f"'side' must be 0 (buy) or 1 (sell) (got {side}).")
    return side
