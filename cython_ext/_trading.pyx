"""Orders enter, trade with those that rest, and rest themselves: price-time priority.

``orderbook/matching.py`` says in readable Python what this module does.
"""

from cython cimport final
from libc.string cimport memset

from ._ladder cimport (
    BREAKER,
    FLAGS,
    LAST,
    NO_ASK,
    PRICE_MAX,
    STOPS,
    WIDE,
    Level,
    Watch,
    guard,
)
from ._machine cimport arena, free_arena, prefetch, unlikely

cdef enum:
    AHEAD = 32                   # levels of a long sweep that are fetched together
    FEW = 8                      # of one that has just emptied its first level

cdef uint64_t HASH_START = 0xCBF29CE484222325
cdef uint64_t HASH_PRIME = 0x100000001B3


cdef class Trading(Dormant):
    """Matching, and the fills that it makes."""

    def __cinit__(self):
        self.fills_max = 1 << 10
        self.fills = <Fill*>arena(NULL, 0, self.fills_max * sizeof(Fill))
        self.trade_hash = HASH_START

    def __dealloc__(self):
        free_arena(self.fills, self.fills_max * sizeof(Fill))

    cdef int visit(self, State state) except -1:
        cdef int64_t room = self.fills_max
        Dormant.visit(self, state)
        state.number(&self.n_fills)
        state.number(&self.fills_max)
        state.number(&self.trades)
        state.raw(&self.traded_qty, 8)
        state.raw(&self.notional, 8)
        state.raw(&self.trade_hash, 8)
        self.fills = <Fill*>state.arena(
            self.fills, room * sizeof(Fill), self.fills_max * sizeof(Fill),
            self.n_fills * sizeof(Fill))
        return 0

    # -- ENTERING

    @final
    cdef void enter(self, const Message* order, int64_t id, Result* result,
                    int32_t row) noexcept nogil:
        # An accepted order with its id: match it, then rest or cancel what is left.
        cdef Market* market = &self.markets[order.market]
        cdef int64_t own = order.price, limit, left = order.qty
        cdef int stopped = R_OK
        result.accepted = 1
        if order.kind == MARKET and own == 0:
            own = PRICE_MAX if order.side == BUY else 1
        limit = banded(market, order.side, own)
        if unlikely(market.watched & BREAKER):
            self.roll_window(order.market, order.time)
        if order.tif == FOK:
            if self.fillable(order, limit) < order.qty:
                result.cancelled += order.qty
                result.reason = R_FOK_UNFILLABLE
                return
        if (reaches(order.side, limit, market.best[1 - order.side])
                and market.phase == OPEN):
            left = self.match(order, id, limit, result, row, &stopped)
        if left == 0:
            return
        if stopped != R_OK:
            result.reason = <uint8_t>stopped
        elif order.kind == MARKET:
            if market.best[1 - order.side] == (NO_ASK if order.side == BUY else 0):
                result.reason = R_UNFILLED
            else:
                result.reason = R_PRICE_BAND if limit != own else R_PROTECTION_PRICE
        elif market.phase != CALL and self.crosses(order):
            result.reason = R_PRICE_BAND
        elif order.tif == GTC:
            result.open = left
            if unlikely(self.recording):
                self.touch(order.market, order.side, order.price,
                           self.shown_at(order.market, order.side, order.price))
            if unlikely(0 < order.display < order.qty):
                self.add_iceberg(order, id, left)
            else:
                self.add(order, id, left)
            return
        else:
            result.reason = R_UNFILLED
        result.cancelled += left

    @final
    cdef void roll_window(self, int32_t market, int64_t time) noexcept nogil:
        # Begin a new window of the circuit breaker if the time lies in another one.
        cdef Watch* watch = &self.watches[market]
        cdef int64_t window = time / watch.window_ns
        if time % watch.window_ns < 0:
            window -= 1          # division rounds toward zero in C
        if not watch.windowed or watch.window != window:
            watch.windowed = True
            watch.window = window
            watch.window_price = self.markets[market].last_price
            if watch.window_price == 0:
                watch.window_price = self.markets[market].reference

    @final
    cdef bint trips(self, int32_t market, int64_t price,
                    int64_t reference) noexcept nogil:
        # Whether the circuit breaker, with that reference, lets nothing trade after
        # this price.  Without a reference the first print will be one.
        cdef int64_t ppm = self.watches[market].breaker_ppm
        cdef int64_t away = price - reference
        if ppm == 0 or reference == 0:
            return False
        if away < 0:
            away = -away
        return away * PPM >= reference * ppm

    # -- MATCHING

    @final
    cdef int64_t match(self, const Message* order, int64_t id, int64_t limit,
                       Result* result, int32_t row, int* stopped) noexcept nogil:
        # Trade the order against the other side down to `limit`; return the lots left.
        cdef Market* market = &self.markets[order.market]
        cdef int other = 1 - order.side
        cdef int64_t left = order.qty, price, take, traded = 0
        cdef int64_t prices[AHEAD]
        cdef int ahead = 1, known = 0, used = 0
        cdef int64_t before = self.n_fills
        cdef uint32_t page, at, unit
        cdef Level* level
        cdef Order* maker
        cdef uint32_t mode = self.owner(order.account).self_trade
        cdef uint16_t watched = market.watched
        cdef bint last = False
        price = market.best[other]
        while left and stopped[0] == R_OK and reaches(order.side, limit, price):
            page = self.page_of(market, other, price)
            at = self.level_in(page, price)
            level = &self.units[at]
            if level.qty <= left and used == known:
                # It will be used up, the first of many if a second is.
                known = self.fetch_ahead(
                    market, other, price, ahead, left - level.qty, prices)
                ahead, used = FEW if ahead == 1 else AHEAD, 0
            if unlikely(self.recording):
                self.touch(order.market, other, price, level.qty)
            if unlikely(watched & BREAKER):
                last = self.trips(
                    order.market, price, self.watches[order.market].window_price)
            # Between two rounds: level.qty is the sum of its orders, all before
            # level.next have traded, gone or moved behind, and left > 0.
            while left and level.next != at:
                unit = level.next
                maker = <Order*>&self.units[unit]
                prefetch(&self.units[maker.next])
                if unlikely(mode != STP_NONE
                            and maker.owner == <uint32_t>order.account):
                    left = self.meet_own(unit, mode, left, order, result, row, stopped)
                    if stopped[0] != R_OK:
                        break
                    continue
                if unlikely(maker.flags & (REDUCE_ONLY << 1)):
                    if self.clip_maker(unit, order, row):
                        continue
                take = maker.qty if maker.qty < left else left
                left -= take
                traded += take
                level.qty -= take
                maker.qty -= take
                self.trade(order, id, maker, price, take, row)
                if maker.qty == 0:
                    if not (unlikely(maker.flags & WIDE) and self.refill(unit)):
                        level.next = maker.next
                        self.units[maker.next].prev = at
                        self.release(unit)
                if unlikely(last):
                    stopped[0] = R_CIRCUIT_BREAKER
                    market.phase = <uint16_t>self.watches[order.market].tripped
                    guard(market)
                    break
            if unlikely(watched & BREAKER and traded
                        and self.watches[order.market].window_price == 0):
                self.watches[order.market].window_price = price
            if level.next == at:
                self.clear_tick(page, price)
                if used == known:
                    prices[0] = self.next_price(market, other, price)
                    used, known = 0, 1
                price = prices[used]
                used += 1
                market.best[other] = price
        market.lots[other] -= traded
        if unlikely(watched & STOPS and traded):
            self.saw_prints(order.market, before)
        result.filled += traded
        self.decremented(result)
        return left

    @final
    cdef int fetch_ahead(self, const Market* market, int side, int64_t price, int n,
                         int64_t left, int64_t* prices) noexcept nogil:
        # The prices of the next n levels, or up to the end; fetch what a sweep of so
        # many lots reads there, of all at once: the levels, their first orders, those
        # behind, n to a queue.  One level after the other, each is waited for.
        cdef uint32_t levels[AHEAD]
        cdef uint32_t units[AHEAD]
        cdef uint32_t unit
        cdef int i, kept, known = 0, count = 0, queued = 1
        while known < n and 0 < price < NO_ASK:
            price = self.next_price(market, side, price)
            prices[known] = price
            known += 1
            if 0 < price < NO_ASK:
                levels[count] = self.level_at(market, side, price)
                prefetch(&self.units[levels[count]])
                count += 1
        for i in range(count):
            units[i] = self.units[levels[i]].next
            prefetch(&self.units[units[i]])
            left -= self.units[levels[i]].qty
            if left < 0:
                count = i        # nothing behind its first order matters
                break
        while count and queued < n:
            queued += 1
            kept = 0
            for i in range(count):
                unit = self.units[units[i]].next
                if unit != levels[i]:
                    prefetch(&self.units[unit])
                    units[kept] = unit
                    levels[kept] = levels[i]
                    kept += 1
            count = kept
        return known

    @final
    cdef void saw_prints(self, int32_t market, int64_t first) noexcept nogil:
        # The fills of a taker: the first and the last are the ends of their prices.
        cdef int64_t a = self.fills[first].price
        cdef int64_t b = self.fills[self.n_fills - 1].price
        self.see(market, LAST, min(a, b), max(a, b))

    cdef inline void decremented(self, Result* result) noexcept nogil:
        # Lots the taker lost to STP_DECREMENT, parked in `open` while matching.
        cdef int64_t lots = result.open
        result.open = 0
        result.cancelled += lots
        if lots:
            result.reason = R_SELF_TRADE

    @final
    cdef int64_t meet_own(self, uint32_t unit, uint32_t mode, int64_t left,
                          const Message* order, Result* result, int32_t row,
                          int* stopped) noexcept nogil:
        # Self-trade prevention at the front of the level; return the taker's lots left.
        cdef int64_t lots
        if mode == STP_DECREMENT:
            lots = min(left, self.open_lots(unit))
            result.open += lots
            left -= lots
            self.cut_maker(unit, lots, R_SELF_TRADE, order, row)
            return left
        if mode == STP_CANCEL_OLDEST or mode == STP_CANCEL_BOTH:
            self.cut_maker(unit, self.open_lots(unit), R_SELF_TRADE, order, row)
        if mode != STP_CANCEL_OLDEST:
            stopped[0] = R_SELF_TRADE
        return left

    @final
    cdef void cut_maker(self, uint32_t unit, int64_t lots, int reason,
                        const Message* order, int32_t row) noexcept nogil:
        # Cancel lots of an order that the message does not name.  One that goes is
        # unlinked from its queue only: the caller clears the level when it is empty.
        cdef Order* maker = <Order*>&self.units[unit]
        self.push_event(order, row, E_CANCELLED, reason, maker.id, maker.owner, lots)
        if lots < self.open_lots(unit):
            self.shrink(unit, lots)
        else:
            self.drop(unit)

    @final
    cdef bint clip_maker(self, uint32_t unit, const Message* order,
                         int32_t row) noexcept nogil:
        # Cut a resting reduce-only order to its position; whether that did anything.
        cdef int64_t room = self.room_of(unit), lots = self.open_lots(unit)
        if room >= lots:
            return False
        self.cut_maker(unit, lots - (room if room > 0 else 0), R_REDUCE_ONLY, order,
                       row)
        return True

    @final
    cdef int64_t room_of(self, uint32_t unit) noexcept nogil:
        # Lots by which a resting reduce-only order can reduce its account's position.
        cdef const Order* maker = <Order*>&self.units[unit]
        cdef int64_t room
        if self.listener is None:
            return 0
        room = self.listener.position(
            maker.market, <int32_t>maker.owner, maker.flags & 1)
        return room if maker.flags & 1 else -room

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
        fill.maker_flags = <uint8_t>(maker.flags >> 1 & FLAGS)
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
            self.fills = <Fill*>arena(self.fills, self.fills_max * sizeof(Fill),
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
        cdef int64_t price = market.best[other], lots = 0, hidden
        cdef int64_t reference = self.watches[order.market].window_price
        cdef uint32_t at, unit
        cdef Order* maker
        cdef bint last, reduces
        while lots < order.qty and reaches(order.side, limit, price):
            at = self.level_at(market, other, price)
            unit = self.units[at].next
            hidden = 0
            while unit != at and lots < order.qty:
                maker = <Order*>&self.units[unit]
                if mode != STP_NONE and maker.owner == <uint32_t>order.account:
                    if mode != STP_CANCEL_OLDEST:
                        return lots
                    unit = maker.next
                    continue
                # It may be clipped before its turn comes.
                reduces = maker.flags & (REDUCE_ONLY << 1) != 0
                if reference == 0 and not (reduces and self.room_of(unit) <= 0):
                    reference = price
                last = self.trips(order.market, price, reference)
                if not reduces:
                    lots += maker.qty
                    hidden += self.open_lots(unit) - maker.qty
                if last:
                    return lots
                unit = maker.next
            # Hidden lots stand behind all that the level shows.
            lots += hidden
            price = self.next_price(market, other, price)
        return lots

    # -- AUCTION

    @final
    cdef int64_t print_pair(self, uint32_t bid, uint32_t ask, int64_t price,
                            int64_t time) noexcept nogil:
        # Trade two orders with each other as far as they go; the older is the maker.
        cdef uint32_t maker = bid, taker = ask
        cdef int64_t lots = min(self.open_lots(bid), self.open_lots(ask))
        cdef Order* younger
        cdef Message message
        if (<Order*>&self.units[ask]).id < (<Order*>&self.units[bid]).id:
            maker, taker = ask, bid
        younger = <Order*>&self.units[taker]
        memset(&message, 0, sizeof(Message))
        message.time = time
        message.market = younger.market
        message.account = <int32_t>younger.owner
        message.side = <uint8_t>(younger.flags & 1)
        message.flags = <uint8_t>(younger.flags >> 1 & FLAGS | AUCTION)
        if self.listener is not None:
            self.tell(younger, -lots)
        self.trade(
            &message, younger.id, <Order*>&self.units[maker], price, lots, -1)
        self.take(maker, lots)
        self.take(taker, lots)
        return lots

    @final
    cdef void take(self, uint32_t unit, int64_t lots) noexcept nogil:
        # Lots of a resting order that have traded, and are told of, leave the book:
        # those shown first.
        cdef Order* order = <Order*>&self.units[unit]
        cdef Market* market = &self.markets[order.market]
        cdef uint32_t at = order.level
        cdef Level* level = &self.units[at]
        cdef int side = order.flags & 1
        cdef int64_t shown = min(lots, order.qty)
        self.touch_order(unit)
        market.lots[side] -= lots
        level.qty -= shown
        order.qty -= shown
        if order.flags & WIDE:
            self.extra(unit).hidden -= lots - shown
        if order.qty or (order.flags & WIDE and self.refill(unit)):
            return
        self.units[order.prev].next = order.next
        self.units[order.next].prev = order.prev
        self.release(unit)
        if level.next == at:
            self.clear_level(market, side, at)


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
