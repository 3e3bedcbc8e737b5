"""Messages are judged, matched and left to rest: price-time priority.

``orderbook/reference.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.stdlib cimport free
from libc.string cimport memset

from ._ladder cimport NO_ASK, PRICE_MAX, Level
from ._machine cimport grown, prefetch, unlikely
from ._resting cimport ACCOUNT_MAX

cdef enum:
    ID_GAP_MAX = 1 << 20
    PPM = 1_000_000
    FAR = 8                      # messages ahead; half or double was no better
    NEAR = 4

cdef int64_t QTY_MAX = <int64_t>1 << 62
cdef int64_t ID_MAX = (<int64_t>1 << 32) - 1
cdef uint64_t HASH_START = 0xCBF29CE484222325
cdef uint64_t HASH_PRIME = 0x100000001B3


cdef class Matching(Resting):
    """The commands of `Books` as C calls, and the fills they make."""

    def __cinit__(self):
        self.fills_max = 1 << 10
        self.fills = <Fill*>grown(NULL, 0, self.fills_max * sizeof(Fill))
        self.trade_hash = HASH_START

    def __dealloc__(self):
        free(self.fills)

    # -- BATCHES

    @final
    cdef void run(self, const Message* messages, Result* results,
                  int64_t n) noexcept nogil:
        cdef int64_t i
        cdef const Message* later
        # What a message reads is fetched in two steps, an index and then what it points
        # at: 51 to 46 ns a message in the cascade, 33 to 30 in the steady flow.  Price
        # and id are both followed, whatever the kind: testing it, a coin toss for each
        # message, cost 6 ns.  All stands here because GCC drops calls of functions that
        # do nothing but prefetch.
        for i in range(n):
            if i + FAR < n:
                later = &messages[i + FAR]
                prefetch(self.page_of(later))
                prefetch(self.slot_of(later))
            if i + NEAR < n:
                later = &messages[i + NEAR]
                prefetch(self.cell_of(later))
                prefetch(&self.units[self.slot_of(later).unit])
            self.apply(&messages[i], &results[i], <int32_t>i)

    cdef inline const Page* page_of(self, const Message* message) noexcept nogil:
        if (<uint32_t>message.market < <uint32_t>self.n_markets
                and <uint64_t>message.price <= PRICE_MAX):
            return self.page_at(&self.markets[message.market], message.price)
        return &self.directories[0].pages[0]

    cdef inline const uint32_t* cell_of(self, const Message* message) noexcept nogil:
        return &self.cells[self.page_of(message).cells + (message.price & 63)]

    cdef inline const Slot* slot_of(self, const Message* message) noexcept nogil:
        # An order that is new has id 0, and slot 0 is never used.
        cdef uint64_t id = message.order_id
        return &self.slots[id if id <= <uint64_t>self.last_id else 0]

    # -- ONE MESSAGE

    @final
    cdef void apply(self, const Message* message, Result* result,
                    int32_t row) noexcept nogil:
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

    @final
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
        return reaches(
            message.side, message.price,
            self.markets[message.market].best[1 - message.side])

    cdef inline void place(self, const Message* message, Result* result,
                           int32_t row) noexcept nogil:
        cdef const Message* order = message
        cdef Message clipped
        cdef int64_t id
        cdef int reason = self.validate(message)
        if reason == R_OK and message.flags & REDUCE_ONLY:
            clipped = message[0]
            reason = self.clip(&clipped)
            order = &clipped
        if reason == R_OK and message.flags & POST_ONLY and self.crosses(message):
            reason = R_POST_ONLY_WOULD_CROSS
        if reason == R_OK and self.listener is not None:
            reason = self.listener.check(order)
        if reason != R_OK:
            result.reason = <uint8_t>reason
            return
        id = message.order_id if message.order_id else self.last_id + 1
        self.issue(id, order.account)
        result.order_id = id
        if order.qty != message.qty:
            result.cancelled = message.qty - order.qty
            result.reason = R_REDUCE_ONLY
        self.enter(order, id, result, row)

    @final
    cdef void replace_order(self, const Message* message, Result* result,
                            int32_t row) noexcept nogil:
        cdef uint32_t unit = self.slots[message.order_id].unit
        cdef Order* order = <Order*>&self.units[unit]
        cdef Message again = message[0]
        cdef int64_t old = order.qty
        cdef int64_t price = self.units[order.level].price
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
            self.listener.rest(
                again.market, again.account, again.side, price, -old, again.flags)
            reason = self.listener.check(&again)
            self.listener.rest(
                again.market, again.account, again.side, price, old, again.flags)
        if reason != R_OK:
            result.reason = reason
            return
        self.remove(unit)
        result.cancelled = message.qty - again.qty
        if result.cancelled:
            result.reason = R_REDUCE_ONLY
        self.enter(&again, again.order_id, result, row)

    cdef inline void enter(self, const Message* order, int64_t id, Result* result,
                           int32_t row) noexcept nogil:
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
        if reaches(order.side, limit, market.best[1 - order.side]):
            left = self.match(order, id, limit, result, row, &stopped)
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
            self.add(order, id, left)
            return
        else:
            result.reason = R_UNFILLED
        result.cancelled += left

    @final
    cdef int64_t match(self, const Message* order, int64_t id, int64_t limit,
                       Result* result, int32_t row, bint* stopped) noexcept nogil:
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
            if not reaches(order.side, limit, price):
                break
            at = self.level_at(market, price)
            level = &self.units[at]
            # Between two rounds: level.qty is the sum of its orders, all before
            # level.next have traded or gone, and left > 0.
            while left and level.next != at:
                unit = level.next
                maker = <Order*>&self.units[unit]
                prefetch(&self.units[maker.next])
                if unlikely(mode != STP_NONE
                            and maker.owner == <uint32_t>order.account):
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
                self.trade(order, id, maker, price, take, row)
                if maker.qty == 0:
                    level.next = maker.next
                    self.units[maker.next].prev = at
                    self.release(unit)
            if level.next == at:
                self.clear_level(market, other, at)
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

    @final
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

    @final
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

    cdef inline void trade(self, const Message* order, int64_t id, const Order* maker,
                           int64_t price, int64_t qty, int32_t row) noexcept nogil:
        cdef Fill* fill = self.push_fill()
        fill.time = order.time
        fill.cause = order.cause
        fill.price = price
        fill.qty = qty
        fill.maker_order = maker.id
        fill.taker_order = id
        fill.maker = <int32_t>maker.owner
        fill.taker = order.account
        fill.market = order.market
        fill.message = row
        fill.taker_side = order.side
        fill.flags = order.flags
        fill.maker_flags = <uint8_t>(maker.flags >> 1)
        self.markets[order.market].last_price = price
        self.trades += 1
        self.traded_qty += qty
        self.notional += <uint64_t>qty * <uint64_t>price
        self.trade_hash = (self.trade_hash ^ (
            <uint64_t>maker.id + <uint64_t>id * 2654435761u
            + <uint64_t>price * 40503u + <uint64_t>qty * 69621u)) * HASH_PRIME
        if self.listener is not None:
            self.tell(maker, -qty)
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

    @final
    cdef int64_t fillable(self, const Message* order, int64_t limit) noexcept nogil:
        # Lots a fill-or-kill order is sure to get, counted no further than it needs.
        cdef Market* market = &self.markets[order.market]
        cdef int other = 1 - order.side
        cdef uint32_t mode = self.owner(order.account).self_trade
        cdef int64_t price = market.best[other], lots = 0
        cdef uint32_t at, unit
        cdef Order* maker
        while reaches(order.side, limit, price):
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


cdef inline bint reaches(int side, int64_t limit, int64_t price) noexcept nogil:
    # Whether a taker of that side and limit trades at `price`.  Without a branch: the
    # side is a coin toss, and guessing it cost 1 ns a message.
    return (price - limit) * (1 - 2 * side) <= 0


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
