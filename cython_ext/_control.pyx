"""What an operator sets: phases and auctions, circuit breakers, marks and indices.

Whatever this sets off, fills, events and changes of levels, is of message -1.
``orderbook/auction.py`` says in readable Python at which price an auction trades.
"""

from ._arguments cimport bounded, whole
from ._ladder cimport (
    BREAKER,
    INDEX,
    LAST,
    MARK,
    NO_ASK,
    PRICE_MAX,
    STOPS,
    Order,
    Watch,
    guard,
)
from ._trading cimport PPM


cdef class Control(Matching):
    """Phases, prices and circuit breakers of markets."""

    # -- PRICES

    def set_last_price(self, market, price):
        """Take ``price`` for that of the last trade, as if one had printed there."""
        self.see_price(self.known(market), LAST, price, 0)

    def set_trigger_price(self, market, flag, price, time=0):
        """Say what the mark or the index is, in ticks; orders may wait for it.

        ``flag`` is TRIGGER_MARK or TRIGGER_INDEX. What this sets off trades at once:
        `take_fills` and `take_events` have it, as of message -1.
        """
        cdef int64_t kind = whole("flag", flag)
        if kind != TRIGGER_MARK and kind != TRIGGER_INDEX:
            raise ValueError(
                f"'flag' must be TRIGGER_MARK ({TRIGGER_MARK}) or TRIGGER_INDEX "
                f"({TRIGGER_INDEX}) (got {kind}).")
        self.see_price(self.known(market), MARK if kind == TRIGGER_MARK else INDEX,
                       price, whole("time", time))

    cdef int see_price(self, int market, int source, found, int64_t time) except -1:
        cdef int64_t price = bounded("price", found, 1, PRICE_MAX)
        if source == LAST:
            self.markets[market].last_price = price
        else:
            self.watches[market].prices[source] = price
        self.see(market, source, price, price)
        self.settle(market, time, -1)
        return 0

    # -- PHASES

    def phase(self, market):
        """Return what the market does with orders (Phase)."""
        return self.markets[self.known(market)].phase

    def set_phase(self, market, phase, time=0):
        """Open a market, halt it, or call its auction.

        Open, orders trade. Halted, only cancels pass. In a call limit orders rest
        without trading, so that the book may cross. Whatever crosses trades when the
        market opens, as in `uncross`, and dormant orders that are due enter.
        """
        cdef int number = self.known(market)
        cdef int64_t new = whole("phase", phase), now = whole("time", time)
        if not OPEN <= new <= CALL:
            raise ValueError(f"'phase' must be a Phase from 0 to 2 (got {new}).")
        cdef Market* m = &self.markets[number]
        if new == OPEN and m.phase != OPEN:
            # Once is enough unless reduce-only orders were cut on the way.
            while m.best[SELL] <= m.best[BUY]:
                self.hold_auction(number, now)
            self.watches[number].windowed = False
        m.phase = <uint16_t>new
        guard(m)
        self.settle(number, now, -1)

    def set_circuit_breaker(self, market, ppm, window_ns=0, phase=1):
        """Stop trading after a print too far from where a window of time began.

        Windows of ``window_ns`` follow one another, by the time of the messages. A
        print ``ppm`` millionths or more from the last price before the window is the
        last one: the rest of its taker is cancelled, and the market goes to ``phase``,
        HALTED or CALL. Without a last price the reference counts, or the first print
        of the window. 0 ppm removes the breaker.
        """
        cdef int number = self.known(market)
        cdef int64_t share = whole("ppm", ppm), window = whole("window_ns", window_ns)
        cdef int64_t tripped = whole("phase", phase)
        if not 0 <= share <= PPM:
            raise ValueError(f"'ppm' must be from 0 to 1,000,000 (got {ppm}).")
        if share and window < 1:
            raise ValueError(f"'window_ns' must be >= 1 (got {window_ns}).")
        if tripped != HALTED and tripped != CALL:
            raise ValueError(f"'phase' must be HALTED (1) or CALL (2) (got {tripped}).")
        cdef Watch* watch = &self.watches[number]
        watch.breaker_ppm = share
        watch.window_ns = window
        watch.tripped = <int32_t>tripped
        watch.windowed = False
        self.markets[number].watched &= STOPS
        if share:
            self.markets[number].watched |= BREAKER

    # -- AUCTIONS

    def indicative(self, market):
        """Return price and lots of an auction held now, and the lots left over.

        These are positive on the buying side and negative on the selling; all is zero
        where nothing would trade. Reduce-only orders count in full.
        """
        return self.clearing(self.known(market))

    def uncross(self, market, time=0):
        """Trade at one price what crosses; return it and the lots, 0 and 0 for none.

        The price is that of `indicative`. The phase stays.
        """
        cdef int number = self.known(market)
        cdef int64_t now = whole("time", time)
        done = self.hold_auction(number, now)
        self.settle(number, now, -1)
        return done

    cdef tuple hold_auction(self, int market, int64_t time):
        # Both sides rest, so that there is no taker: the younger order of a pair stands
        # for one.  Self-trades are not prevented, no band or breaker bounds the price.
        cdef Market* m = &self.markets[market]
        cdef int64_t price = self.clearing(market)[0], lots = 0
        cdef uint32_t bid, ask
        cdef Message message = Message(
            time, 0, 0, 0, 0, 0, market, 0, 0, 0, 0, 0, 0)
        while m.best[SELL] <= price <= m.best[BUY]:
            bid = self.units[self.level_at(m, BUY, m.best[BUY])].next
            if self.clipped(bid, &message):
                continue
            ask = self.units[self.level_at(m, SELL, m.best[SELL])].next
            if self.clipped(ask, &message):
                continue
            lots += self.print_pair(bid, ask, price, time)
        if lots == 0:
            return 0, 0
        self.see(market, LAST, price, price)
        return price, lots

    cdef bint clipped(self, uint32_t unit, const Message* message) noexcept nogil:
        # Cut a reduce-only order to its position; whether that did anything.
        cdef Order* order = <Order*>&self.units[unit]
        cdef uint32_t at = order.level
        cdef int side = order.flags & 1
        if not order.flags & (REDUCE_ONLY << 1):
            return False
        self.touch_order(unit)
        if not self.clip_maker(unit, message, -1):
            return False
        if self.units[at].next == at:
            self.clear_level(&self.markets[message.market], side, at)
        return True

    cdef tuple clearing(self, int market):
        # Price, lots that trade at it, and the lots left over.
        cdef Market* m = &self.markets[market]
        if m.best[SELL] > m.best[BUY]:
            return 0, 0, 0
        bids = self.interest(m, BUY, m.best[SELL])
        asks = self.interest(m, SELL, m.best[BUY])
        joins = dict(asks)
        leaves = {price + 1: lots for price, lots in bids}
        bought, sold = sum(leaves.values()), 0
        starts = sorted(joins.keys() | leaves.keys())
        key = None
        for start, end in zip(starts, starts[1:]):
            bought -= leaves.get(start, 0)
            sold += joins.get(start, 0)
            new = (-min(bought, sold), abs(bought - sold))
            # Those as good as the best so far follow it without a gap.
            if key is None or new < key:
                key, ranges = new, []
            if new == key:
                ranges.append((start, end - 1, bought - sold))
        reference = m.reference if m.reference else m.last_price
        price = min(max(reference, ranges[0][0]), ranges[len(ranges) - 1][1])
        for start, end, left in ranges:
            if start <= price <= end:
                return price, -key[0], left

    cdef list interest(self, const Market* m, int side, int64_t limit):
        # Price and open lots of the levels from the best one to the limit.
        cdef int64_t price = m.best[side], lots
        cdef uint32_t at, unit
        levels = []
        while 0 < price < NO_ASK and (price >= limit if side == BUY
                                      else price <= limit):
            at = self.level_at(m, side, price)
            lots, unit = 0, self.units[at].next
            while unit != at:
                lots += self.open_lots(unit)
                unit = self.units[unit].next
            levels.append((price, lots))
            price = self.next_price(m, side, price)
        return levels
