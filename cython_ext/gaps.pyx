"""Who trades where: in books far from the price outside, or from one another.

``tests/gaps_model.py`` says in NumPy what this module does.
"""

cimport cython
from libc.math cimport INFINITY, fabs, rint, sqrt
from libc.stdint cimport int64_t, uint8_t

import numpy as np

from numpy cimport import_array

import_array()


@cython.final
cdef class Gaps:
    """The books of a desk, in rows; what it holds and prices are given at each call.

    ``markets``, ``base``, ``quote`` and ``perpetual`` are by book, ``clip`` (US dollars
    of an order) and ``capacity`` (of a position in perpetuals) by asset. ``first`` are
    the first books of each coin: those of one coin lie together. ``home`` is, of the
    assets that others are quoted in, the book in which they are traded back, -1 of the
    rest. A book's prices are those of its market, 0 where there is none.
    """

    cdef object given
    cdef const int64_t[::1] markets, base, quote, first, home
    cdef const uint8_t[::1] perpetual
    cdef const double[::1] clip, capacity
    cdef double[::1] taken, value, ratio
    cdef int64_t[::1] rows
    cdef Py_ssize_t books, coins, assets

    def __init__(self, markets, base, quote, perpetual, clip, capacity, first, home):
        self.given = markets, base, quote, perpetual, clip, capacity, first, home
        self.markets, self.base, self.quote = markets, base, quote
        self.perpetual = np.array(perpetual, np.uint8)
        self.clip, self.capacity, self.first, self.home = clip, capacity, first, home
        self.books, self.coins = len(markets), len(first)
        self.assets = len(clip)
        assert len(base) == len(quote) == len(perpetual) == self.books
        assert len(capacity) == len(home) == self.assets
        assert max([*base, *quote], default=0) < self.assets
        self.taken = np.zeros(self.assets)
        self.value = np.zeros(self.books)
        self.ratio = np.zeros(2 * self.books)
        self.rows = np.zeros(2 * self.books, np.int64)

    def __reduce__(self):
        return Gaps, self.given

    cdef bint pays(self, int64_t asset, double usd, const double[::1] held) noexcept:
        # Whether what the ones before left is enough; it counts as spent if not, too.
        self.taken[asset] += usd
        return self.taken[asset] <= held[asset]

    cdef void rank(self, Py_ssize_t n, int64_t row, double key, bint last) noexcept:
        # Put a row among n in order of their keys, the largest first; among equals
        # last, or first.
        while n > 0 and (self.ratio[n - 1] < key
                         or (self.ratio[n - 1] == key and not last)):
            self.ratio[n], self.rows[n] = self.ratio[n - 1], self.rows[n - 1]
            n -= 1
        self.ratio[n], self.rows[n] = key, row

    # -- WITH THE MARKET OUTSIDE

    def outside(
        self,
        const double[::1] held,
        const double[::1] positions,
        const double[::1] fair,
        const double[::1] bid,
        const double[::1] ask,
        const double[::1] usd,
        double threshold,
    ):
        """Return the books to trade in, the widest gaps first, and whether it sells.

        ``fair`` and ``positions`` (base units) are by book, ``held`` by asset in US
        dollars, the others by market; a gap is a share of ``fair``. It trades as far as
        what it holds goes, and in perpetuals while there is room for a clip.
        O(books + gaps squared).
        """
        cdef Py_ssize_t i, j, n = 0, k = 0
        cdef int64_t market, pays
        cdef double gap, room
        cdef bint sells
        assert fair.shape[0] == positions.shape[0] == self.books
        assert held.shape[0] == self.assets
        for i in range(2 * self.books):
            sells = i >= self.books
            j = i - self.books if sells else i
            market = self.markets[j]
            assert 0 <= market < bid.shape[0]
            if sells:
                gap = bid[market] / fair[j] - 1.0
            else:
                gap = 1.0 - ask[market] / fair[j] if ask[market] > 0.0 else 0.0
            if not gap > threshold:
                continue
            if self.perpetual[j]:
                room = positions[j] * usd[market]
                room = self.capacity[self.base[j]] + (room if sells else -room)
                if not room > self.clip[self.base[j]]:
                    continue
            self.rank(n, i, gap, True)
            n += 1
        books, sides = np.empty(n, np.int64), np.empty(n, np.bool_)
        cdef int64_t[::1] book = books
        cdef uint8_t[::1] side = sides.view(np.uint8)
        self.taken[:] = 0.0
        for i in range(n):
            sells = self.rows[i] >= self.books
            j = self.rows[i] - self.books if sells else self.rows[i]
            pays = self.base[j] if sells else self.quote[j]
            if self.perpetual[j] or self.pays(pays, self.clip[self.base[j]], held):
                book[k], side[k] = j, sells
                k += 1
        return books[:k], sides[:k]

    # -- BETWEEN BOOKS

    def at_home(self, const double[::1] best, const double[::1] outside):
        """Return US dollars of each asset: in its own book, where it has one.

        Else, or without a price there, outside.
        """
        found = np.empty(self.assets)
        cdef double[::1] out = found
        cdef Py_ssize_t a
        cdef double own
        assert outside.shape[0] == self.assets
        for a in range(self.assets):
            own = best[self.home[a]] if self.home[a] >= 0 else 0.0
            out[a] = own if own > 0.0 else outside[a]
        return found

    def between(
        self,
        const double[::1] held,
        const double[::1] positions,
        const double[::1] bid,
        const double[::1] ask,
        const double[::1] usd,
        const double[::1] costs,
        const double[::1] brings,
        double threshold,
    ):
        """Return the coins with a gap, the widest first: by number, and both books.

        A gap is from the cheapest book that the desk can pay in to the dearest for
        which it has the coin. The last array is the geometric mean of both prices in US
        dollars, by what an asset ``costs`` and ``brings``. O(books + gaps squared).
        """
        cdef Py_ssize_t c, i, j, end, n = 0, k = 0
        cdef int64_t cheap, dear
        cdef double low, high, own, price, clip, worth
        cdef bint able, other
        cheapest, dearest = np.empty((2, self.coins), np.int64)
        middles = np.empty(self.coins)
        cdef int64_t[::1] buys = cheapest, sells = dearest
        cdef double[::1] middle = middles
        assert held.shape[0] == costs.shape[0] == brings.shape[0] == self.assets
        assert positions.shape[0] == self.books
        for c in range(self.coins):
            end = self.first[c + 1] if c + 1 < self.coins else self.books
            low, high, cheap, dear = INFINITY, 0.0, self.first[c], self.first[c]
            for j in range(self.first[c], end):
                clip, own = self.clip[self.base[j]], self.capacity[self.base[j]]
                price = ask[self.markets[j]] * costs[self.quote[j]]
                worth = positions[j] * usd[self.markets[j]]
                able = (own - worth if self.perpetual[j] else held[self.quote[j]]
                        ) >= clip
                if able and price > 0.0 and price < low:
                    low, cheap = price, j
                price = bid[self.markets[j]] * brings[self.quote[j]]
                able = (own + worth if self.perpetual[j] else held[self.base[j]]
                        ) >= clip
                if able and price > high:
                    high, dear = price, j
            if high > low * (1.0 + threshold):
                buys[c], sells[c], middle[c] = cheap, dear, sqrt(low * high)
                self.rank(n, c, -low / high, False)
                n += 1
        self.taken[:] = 0.0
        chosen = np.empty(n, np.int64)
        cdef int64_t[::1] one = chosen
        for i in range(n):
            c = self.rows[i]
            clip = self.clip[self.base[buys[c]]]
            able = self.perpetual[buys[c]] or self.pays(
                self.quote[buys[c]], clip, held)
            other = self.perpetual[sells[c]] or self.pays(
                self.base[sells[c]], clip, held)
            if able and other:
                one[k] = c
                k += 1
        chosen = chosen[:k]
        return chosen, cheapest[chosen], dearest[chosen], middles[chosen]

    # -- AT REST

    def rests(
        self,
        bint sells,
        double[::1] held,
        const double[::1] target,
        const double[::1] best,
        const double[::1] outside,
        const double[::1] own,
        const double[::1] other,
        const int64_t[::1] resting,
        const double[::1] tick,
        double threshold,
    ):
        """Return what is to be made good, and what is to rest on a side of each book.

        ``best`` are the prices on that side, and those of the desk itself, ``resting``
        in ticks, are nobody's. An asset is worth ``own`` US dollars by the books' same
        side, ``other`` by the opposite one. Made good is what of a coin is more than
        half a clip beyond its ``target`` (sold to the best bid, or what is short bought
        from the best ask): coin, book and base units. It is taken off ``held``. A clip
        rests where the best of the coin's other books leaves ``threshold``: book, base
        units and limit. O(books).
        """
        cdef Py_ssize_t c, j, k = 0, m = 0
        cdef int64_t asset
        cdef double sign = -1.0 if sells else 1.0, limit, over
        coins, places = np.empty((2, self.coins), np.int64)
        surplus = np.empty(self.coins)
        books = np.empty(self.books, np.int64)
        amounts, limits = np.empty((2, self.books))
        cdef int64_t[::1] coin = coins, place = places, book = books
        cdef double[::1] more = surplus, amount = amounts, price = limits
        self.valued(sign, best, own, resting, tick)
        for c in range(self.coins):
            j = self.dearest(c)
            asset = self.base[j]
            over = sign * (held[asset] - target[asset] * outside[asset])
            if (self.value[j] > -INFINITY and over > 0.5 * self.clip[asset]
                    and self.home[asset] < 0):
                coin[k], place[k], more[k] = c, j, over / outside[asset]
                held[asset] -= sign * over
                k += 1
        self.taken[:] = 0.0
        for c in range(self.coins):
            for j in range(self.first[c], self.end(c)):
                limit = self.best_of_others(c, j)
                asset = self.base[j]
                over = sign * (held[asset] - target[asset] * outside[asset])
                if (limit == -INFINITY or self.perpetual[j]
                        or not over < self.clip[asset]):
                    continue
                if self.pays(asset if sells else self.quote[j], self.clip[asset], held):
                    limit = sign * limit
                    limit *= 1.0 - sign * threshold
                    book[m], amount[m] = j, self.clip[asset] / outside[asset]
                    price[m] = limit / other[self.quote[j]]
                    m += 1
        return (
            (coins[:k], places[:k], surplus[:k]), (books[:m], amounts[:m], limits[:m])
        )

    cdef int valued(self, double sign, const double[::1] best, const double[::1] own,
                    const int64_t[::1] resting, const double[::1] tick) except -1:
        # What each book gives for a coin, US dollars; as a purchase below 0.
        cdef Py_ssize_t j
        cdef int64_t market
        cdef double there
        assert resting.shape[0] == self.books
        for j in range(self.books):
            market = self.markets[j]
            assert 0 <= market < best.shape[0]
            there = best[market]
            if rint(there / tick[market]) == <double>resting[j]:
                there = 0.0
            there *= own[self.quote[j]]
            self.value[j] = -INFINITY
            if there > 0.0 and not self.perpetual[j]:
                self.value[j] = sign * there
        return 0

    cdef Py_ssize_t end(self, Py_ssize_t c) noexcept:
        return self.first[c + 1] if c + 1 < self.coins else self.books

    cdef Py_ssize_t dearest(self, Py_ssize_t c) noexcept:
        # Of a coin's books the first that gives most.
        cdef Py_ssize_t j, found = self.first[c]
        for j in range(found + 1, self.end(c)):
            found = j if self.value[j] > self.value[found] else found
        return found

    cdef double best_of_others(self, Py_ssize_t c, Py_ssize_t book) noexcept:
        cdef double found = -INFINITY
        cdef Py_ssize_t j
        for j in range(self.first[c], self.end(c)):
            if j != book and self.value[j] > found:
                found = self.value[j]
        return found

    # -- BACK

    def back(
        self,
        const double[::1] held,
        const double[::1] target,
        const double[::1] bid,
        const double[::1] ask,
        const double[::1] outside,
        int64_t dollar,
    ):
        """Return what to sell, or to buy, of the assets that others are quoted in.

        Those that are more than half a clip off their ``target``: which they are, how
        many base units, at what price, and whether it is a sale. Purchases are paid for
        in the asset ``dollar``. O(assets).
        """
        cdef Py_ssize_t a, k = 0
        cdef double over, usd, best
        cdef bint sells
        found = np.empty(self.assets, np.int64)
        amounts, prices = np.empty((2, self.assets))
        sides = np.empty(self.assets, np.bool_)
        cdef int64_t[::1] which = found
        cdef double[::1] amount = amounts, price = prices
        cdef uint8_t[::1] side = sides.view(np.uint8)
        self.taken[:] = 0.0
        for a in range(self.assets):
            if self.home[a] < 0:
                continue
            over = held[a] - target[a] * outside[a]
            sells = over > 0.0
            best = bid[self.home[a]] if sells else ask[self.home[a]]
            usd = over if sells else min(-over, held[dollar])
            if not (fabs(over) > 0.5 * self.clip[a] and best > 0.0):
                continue
            if self.pays(a if sells else dollar, usd, held):
                which[k], amount[k], price[k] = a, usd / outside[a], best
                side[k] = sells
                k += 1
        return found[:k], amounts[:k], prices[:k], sides[:k]


# -- HUNTERS

def noticed(
    const int64_t[::1] markets,
    const double[::1] last,
    const double[::1] fair,
    double share,
    const double[::1] left,
    double clip,
    const int64_t[:, ::1] due,
    int64_t never,
):
    """Return which books are cheap, and the hunters free to notice them.

    A book is cheap whose ``last`` price is below a ``share`` of the ``fair`` one, by
    market. Free are hunters with a ``clip`` left for books where they are ``never``
    due: their numbers, and those of the books, row after row. O(hunters x cheap books).
    """
    cdef Py_ssize_t i, j, k, n = 0, m = 0, books = markets.shape[0]
    cheap = np.empty(books, np.bool_)
    cdef uint8_t[::1] is_cheap = cheap.view(np.uint8)
    cdef int64_t[::1] low = np.empty(books, np.int64)
    assert due.shape[0] == left.shape[0] and due.shape[1] == books
    for j in range(books):
        assert 0 <= markets[j] < last.shape[0]
        is_cheap[j] = last[markets[j]] < fair[markets[j]] * share
        if is_cheap[j]:
            low[m] = j
            m += 1
    for k in range(left.shape[0]):
        for i in range(m):
            n += left[k] >= clip and due[k, low[i]] == never
    who, where = np.empty((2, n), np.int64)
    cdef int64_t[::1] hunter = who, book = where
    n = 0
    for k in range(left.shape[0]):
        for i in range(m):
            if left[k] >= clip and due[k, low[i]] == never:
                hunter[n], book[n] = k, low[i]
                n += 1
    return cheap, who, where
