"""The invariants of the books, which the tests ask for after each command."""

from ._ladder cimport (
    BREAKER,
    DORMANT,
    DUE,
    LISTS,
    NO_ASK,
    PRICE_MAX,
    STOPS,
    UNIT,
    WIDE,
    Order,
    Page,
    Watch,
)
from ._machine cimport bits_set
from ._resting cimport list_side


cdef class Checks(Views):
    """What must hold between two commands."""

    def _check(self):
        """Assert every invariant. O(orders, ids and accounts); for tests."""
        cdef int64_t id, live = 0, waiting = 0, pages = 0
        cdef int i, side, kind
        cdef uint32_t at
        cdef Market* m
        # Nothing is left to do.
        assert self.n_touches == 0
        assert not self.unsettled
        for i in range(self.n_markets):
            m = &self.markets[i]
            # Only an auction lets orders rest that could trade.
            assert m.phase != OPEN or m.best[BUY] < m.best[SELL]
            for side in range(2):
                orders, levels = self.check_levels(i, side)
                found = self.check_pages(m, side)
                # The walk from the best price met every marked tick.
                assert found[0] == levels
                live += orders
                pages += found[1]
            before = waiting
            for kind in range(LISTS):
                if self.watches[i].waiting[kind] == NULL:
                    continue
                for side in range(2):
                    waiting += self.check_waiting(i, kind, side)
                    found = self.check_pages(self.watches[i].waiting[kind], side)
                    pages += found[1]
            assert self.watches[i].n_waiting == waiting - before
            self.check_prices(i)
        assert live == self.live_orders
        assert waiting == self.dormant_orders
        # All of them, and no more, are what accounts would be shown.
        assert self.check_owners() == live + waiting
        # Every order was reached from its market, and every live id is an order.
        for id in range(1, self.last_id + 1):
            live -= self.live(id) != 0
        assert live + waiting == 0
        # Every block is the levels of a page, or of orders, or free.
        at = self.free_blocks
        while at:
            pages += 1
            at = self.blocks[at >> 5].page
        blocks = pages + self.n_orders // 16 + self.n_wide // 8 + 1
        assert 32 * blocks == self.n_units

    cdef int64_t check_owners(self) except -1:
        # How many live orders hang on the lists of the accounts.
        cdef int64_t account, found = 0
        cdef uint32_t id, unit
        for account in range(self.owners_max):
            id = self.owners[account].newest
            assert id <= self.last_id
            while id:
                # Dead ids may hang there; a live one is the account's own.
                unit = self.live(id)
                if unit:
                    assert (<Order*>&self.units[unit]).owner == account
                    found += 1
                # Ids descend: none stands twice, and the list ends.
                assert self.older[id] < id
                id = self.older[id]
        return found

    cdef tuple check_pages(self, const Market* m, int side):
        # Marked levels, and pages with levels.
        cdef int64_t d, marked = 0, pages = 0
        cdef uint64_t known
        cdef const Page* page
        cdef uint32_t at, word, first
        for d in range(m.n_directories):
            first = m.directories[2 * d + side]
            if first == 0:
                continue
            known = self.marks[first >> 6]
            # The tree knows a directory with marked pages.
            assert not known or m.top[side][d >> 6] >> (d & 63) & 1
            assert not known or m.crown[side][d >> 12] >> (d >> 6 & 63) & 1
            for word in range(64):
                page = &self.pages[first + word]
                marked += bits_set(page.bits)
                # A page that holds orders is marked, and so is the directory for it.
                assert page.levels > UNIT or not page.bits
                assert (page.levels > UNIT) == known >> word & 1
                if page.levels == 0:
                    continue
                pages += 1
                # Its levels know their price and page, and its bits those with orders.
                assert self.price_of(page.levels & UNIT) == d << 11 | word << 5
                assert self.blocks[(page.levels & UNIT) >> 5].page == first + word
                for at in range(page.levels & UNIT, (page.levels & UNIT) + 32):
                    assert (self.units[at].next != at) == (
                        page.bits >> (at & 31) & 1)
        return marked, pages

    cdef tuple check_levels(self, int market, int side):
        # Resting orders, and their levels.
        cdef Market* m = &self.markets[market]
        cdef int64_t price = m.best[side], shown, lots = 0, orders = 0, levels = 0
        cdef uint32_t at, unit
        while 0 < price < NO_ASK:
            at = self.level_at(m, side, price)
            assert self.price_of(at) == price
            orders += self.check_level(market, at, side)
            shown, unit = 0, self.units[at].next
            while unit != at:
                assert not (<Order*>&self.units[unit]).flags & DORMANT
                shown += (<Order*>&self.units[unit]).qty
                lots += self.open_lots(unit)
                unit = self.units[unit].next
            # The level's total is its orders' sum, the side's that of its levels.
            assert self.units[at].qty == shown
            levels += 1
            price = self.next_price(m, side, price)
        assert m.lots[side] == lots
        assert lots <= QTY_MAX
        return orders, levels

    cdef int64_t check_level(self, int market, uint32_t at, int side) except -1:
        # How many orders are in the list.
        cdef uint32_t before = at, unit = self.units[at].next
        cdef Order* order
        cdef int64_t n = 0
        while unit != at:
            order = <Order*>&self.units[unit]
            # The list is linked both ways, and each order knows its place.
            assert order.prev == before
            assert order.level == at
            assert order.market == market
            assert 0 < order.id <= self.last_id
            # The index by id points back at it.
            assert self.unit_of[order.id] == unit
            assert order.qty > 0
            if order.flags & DORMANT:
                assert order.flags & WIDE
                assert list_side(order.flags) == side
            else:
                assert order.flags & 1 == side
            if order.flags & WIDE and not order.flags & DORMANT:
                # An iceberg shows a slice at most, and hides no less than nothing.
                assert order.qty <= self.extra(unit).display
                assert self.extra(unit).hidden >= 0
            n += 1
            before, unit = unit, order.next
        assert self.units[at].prev == before
        return n

    cdef int64_t check_waiting(self, int market, int kind, int side) except -1:
        # How many orders wait in the list.
        cdef Market* m = self.watches[market].waiting[kind]
        cdef int64_t price = m.best[side], n = 0, last
        cdef uint32_t at, unit
        cdef Message message
        # What is due has fired if the market is open.
        assert kind != DUE or self.markets[market].phase != OPEN or not (
            0 < price < NO_ASK)
        while 0 < price < NO_ASK:
            at = self.level_at(m, side, price)
            assert self.price_of(at) == price
            assert self.units[at].qty == 0
            n += self.check_level(market, at, side)
            last, unit = -1, self.units[at].next
            while unit != at:
                # By arrival; and a trigger that is met has fired, or is due.
                assert last < self.extra(unit).hidden < self.arrivals
                last = self.extra(unit).hidden
                assert self.extra(unit).list == kind
                self.recall(unit, &message)
                assert 1 <= message.trigger <= PRICE_MAX
                assert kind == DUE or not self.is_met(&message)
                unit = self.units[unit].next
            price = self.next_price(m, side, price)
        return n

    cdef int check_prices(self, int market) except -1:
        cdef Watch* watch = &self.watches[market]
        cdef int kind
        cdef int watched = self.markets[market].watched
        for kind in range(DUE):
            # What was seen has been looked at.
            assert watch.highest[kind] == 0
        assert bool(watched & STOPS) == (watch.n_waiting > 0)
        assert bool(watched & BREAKER) == (watch.breaker_ppm > 0)
        return 0
