"""Who is deleveraged first: holders of a side of a market in the order of a ranking.

``margin/adl.py`` has the rankings in readable Python; `tests/margin` holds both equal.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport free

import numpy as np

from numpy cimport PyArray_DATA, import_array, ndarray

from ._machine cimport grown, prefetch_read
from .risk cimport *

import_array()

cdef double RUIN = 1e15          # as margin/adl.py
cdef double NOTHING = 1e-9

CANDIDATE = np.dtype(
    [(name, "<i8") for name in ("account", "lots")]
    + [(name, "<f8") for name in (
        "notional", "entry", "bankruptcy", "pnl", "equity", "wallet", "maintenance")])
PRICE = np.dtype([(name, "<f8") for name in (
    "ticks", "unit", "worth", "mark", "quote", "settled", "tick", "lot")])

cdef enum:
    AHEAD = 8                    # holders fetched ahead

RANKINGS = ("leverage_pnl", "effective_leverage", "leveraged_return", "price_ratio",
            "largest_first", "by_account")


@cython.final
cdef class Ranks:
    """The queues of all markets and sides, as long as no price moves.

    A queue is made when it is first asked for, O(holders of the market); then every
    account that `changed` gets new places, O(its positions log holders).
    ``prices`` has a row of PRICE for each market. ``ranking`` is one of `RANKINGS`, or
    what gives the scores of rows of CANDIDATE of a side (1 or -1) at a mark.
    """

    def __init__(self, Risk risk, prices, ranking):
        self.risk = risk
        self.memory = np.ascontiguousarray(prices, PRICE)
        if self.memory.shape != (risk.ledger.n_markets,):
            raise ValueError(
                f"'prices' must hold {risk.ledger.n_markets} rows "
                f"(got {self.memory.shape}).")
        self.prices = <const Price*>PyArray_DATA(self.memory)
        self.kind = (
            RANKINGS.index(ranking) if isinstance(ranking, str) else OTHER)
        self.ranking = ranking
        self.n_queues = 2 * risk.ledger.n_markets
        self.queues = <Queue*>grown(NULL, 0, self.n_queues * <int64_t>sizeof(Queue))
        self.since = np.zeros(risk.ledger.n_accounts, np.uint32)

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_queues):
            free(self.queues[i].places)
        free(self.queues)
        free(self.popped)

    # -- COMMANDS

    def changed(self, accounts):
        """Look anew at accounts whose holdings have changed. O(their positions)."""
        cdef const int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
        cdef int64_t i
        self.changes += 1
        for i in range(who.shape[0]):
            self.take_up(who[i])
        self.risk.raise_failure()

    def queue(self, int market, int side, int64_t required, losers, double cost,
              double most):
        """Return (account, lots, whether in profit) of who closes lots, in order.

        One after another closes all it has, or can pay for: a lot costs ``cost`` US
        dollars of which no account has more than the share ``most`` of its equity.
        ``losers`` close nothing. Nothing changes. O(candidates looked at, log holders
        each).
        """
        cdef Queue* queue = self.opened(market, side)
        cdef Candidate who
        cdef bint there
        cdef Place place
        cdef int64_t lots
        found = []
        while required > 0 and self.pop(queue, &place):
            if place.account in losers:
                continue
            there = self.measure(place.account, market, side, &who)
            assert there
            lots = min(affordable(&who, cost, most), required)
            if lots:
                found.append((who.account, lots, who.pnl > 0))
                required -= lots
        self.put_back(queue)
        self.risk.raise_failure()
        return found

    def first(self, int market, int side, int64_t n):
        """Return the first n, fewer if there are no more: an array of CANDIDATE.

        Nothing changes. O(n log holders).
        """
        cdef Queue* queue = self.opened(market, side)
        cdef Place place
        cdef int64_t i
        while self.n_popped < n and self.pop(queue, &place):
            pass
        cdef bint there
        cdef ndarray rows = np.empty(self.n_popped, CANDIDATE)
        cdef Candidate* row = <Candidate*>PyArray_DATA(rows)
        for i in range(self.n_popped):
            there = self.measure(self.popped[i].account, market, side, &row[i])
            assert there
        self.put_back(queue)
        self.risk.raise_failure()
        return rows

    # -- QUEUES

    cdef Queue* opened(self, int market, int side) except NULL:
        cdef Queue* queue = &self.queues[of(market, side)]
        cdef const Holders* holders = &self.risk.ledger.by_market[market]
        cdef Candidate who
        cdef Place* place
        cdef int64_t i
        if queue.open:
            return queue
        queue.open = True
        queue.n_max = holders.n + 1
        queue.places = <Place*>grown(
            queue.places, 0, queue.n_max * <int64_t>sizeof(Place))
        if self.kind == OTHER:
            self.fill_by_python(queue, holders, market, side)
        else:
            with nogil:
                for i in range(holders.n):
                    self.fetch(holders, i)
                    if (holders.accounts[i] >= SYSTEM_ and self.measure(
                            holders.accounts[i], market, side, &who)):
                        place = &queue.places[queue.n]
                        place.account = holders.accounts[i]
                        place.since = self.since[place.account]
                        place.score = self.score(&who, market, side)
                        queue.n += 1
        for i in range(queue.n // 2 - 1, -1, -1):
            sink(queue, i)
        self.risk.raise_failure()
        return queue

    cdef inline void fetch(self, const Holders* holders, int64_t i) noexcept nogil:
        # Holders stand anywhere in memory: what is known of those ahead comes early.
        cdef const Account* accounts = self.risk.ledger.accounts
        cdef const int64_t* rows
        if i + 2 * AHEAD < holders.n:
            rows = &self.risk.ledger.pool[accounts[holders.accounts[i + AHEAD]].rows]
            prefetch_read(rows)
            prefetch_read(rows + 8)
            prefetch_read(&accounts[holders.accounts[i + 2 * AHEAD]])

    cdef int fill_by_python(self, Queue* queue, const Holders* holders, int market,
                            int side) except -1:
        cdef ndarray rows = np.empty(holders.n, CANDIDATE)
        cdef Candidate* row = <Candidate*>PyArray_DATA(rows)
        cdef double[::1] scores
        cdef int64_t i, n = 0
        for i in range(holders.n):
            n += holders.accounts[i] >= SYSTEM_ and self.measure(
                holders.accounts[i], market, side, &row[n])
        scores = self.asked(rows[:n], market, side)
        for i in range(n):
            queue.places[i] = Place(
                scores[i], <uint32_t>row[i].account, self.since[row[i].account])
        queue.n = n
        return 0

    cdef object asked(self, rows, int market, int side):
        scores = np.asarray(
            self.ranking(rows, side, self.prices[market].mark), np.float64)
        return np.where(np.isnan(scores), -np.inf, scores)

    cdef int take_up(self, int64_t account) except -1:
        # New places for an account that changed, once for each number of changes.
        cdef const Account* owner
        cdef const Position* position
        cdef int64_t i
        if account < SYSTEM_ or self.since[account] == self.changes:
            return 0
        self.since[account] = self.changes
        owner = &self.risk.ledger.accounts[account]
        for i in range(owner.n_positions):
            position = &self.risk.ledger.positions(owner)[i]
            if position.lots and self.queues[of(position.market, position.lots)].open:
                self.enter(account, position.market, 1 if position.lots > 0 else -1)
        return 0

    cdef int enter(self, int64_t account, int market, int side) except -1:
        # Into its place; the old one is not good any more.
        cdef Queue* queue = &self.queues[of(market, side)]
        cdef ndarray rows
        cdef Candidate who
        cdef bint there
        cdef Place place
        there = self.measure(account, market, side, &who)
        assert there
        if self.kind == OTHER:
            rows = np.empty(1, CANDIDATE)
            (<Candidate*>PyArray_DATA(rows))[0] = who
            place.score = self.asked(rows, market, side)[0]
        else:
            place.score = self.score(&who, market, side)
        place.account, place.since = <uint32_t>account, self.since[account]
        self.push(queue, place)
        return 0

    cdef void push(self, Queue* queue, Place place) noexcept nogil:
        cdef int64_t i = queue.n, parent
        if i == queue.n_max:
            queue.places = <Place*>grown(
                queue.places, i * <int64_t>sizeof(Place),
                2 * i * <int64_t>sizeof(Place))
            queue.n_max = 2 * i
        queue.n += 1
        while i > 0:
            parent = (i - 1) // 2
            if not before(&place, &queue.places[parent]):
                break
            queue.places[i] = queue.places[parent]
            i = parent
        queue.places[i] = place

    cdef bint pop(self, Queue* queue, Place* out) noexcept nogil:
        # The first place that is good, to be put back; False if there is none.
        while queue.n:
            out[0] = queue.places[0]
            queue.n -= 1
            queue.places[0] = queue.places[queue.n]
            sink(queue, 0)
            if out.since == self.since[out.account]:
                self.keep(out)
                return True
        return False

    cdef void keep(self, const Place* place) noexcept nogil:
        cdef int64_t more = max(16, 2 * self.popped_max)
        if self.n_popped == self.popped_max:
            self.popped = <Place*>grown(
                self.popped, self.popped_max * <int64_t>sizeof(Place),
                more * <int64_t>sizeof(Place))
            self.popped_max = more
        self.popped[self.n_popped] = place[0]
        self.n_popped += 1

    cdef void put_back(self, Queue* queue) noexcept nogil:
        cdef int64_t i
        for i in range(self.n_popped):
            self.push(queue, self.popped[i])
        self.n_popped = 0

    # -- WHAT THEY HAVE

    cdef bint measure(self, int64_t account, int market, int side,
                      Candidate* out) noexcept nogil:
        # False if it has no position of the side.
        cdef const Account* owner = &self.risk.ledger.accounts[account]
        cdef const Position* position = self.risk.ledger.positions(owner)
        cdef const Position* mine = NULL
        cdef const Price* price
        cdef const Market* rules
        cdef double unrealised = 0, gain, lots, share = 0
        cdef int64_t i
        cdef Sums sums
        for i in range(owner.n_positions):
            if (position[i].market == market
                    and (position[i].lots > 0 if side > 0 else position[i].lots < 0)):
                mine = &position[i]
        if mine == NULL:
            return False
        self.measured += 1
        for i in range(owner.n_positions):
            if position[i].lots:
                gain = profit_usd(&position[i], &self.prices[position[i].market])
                unrealised += gain
                if &position[i] == mine:
                    out.pnl = gain
        sums = self.risk.value(account, &self.risk.now)
        price = &self.prices[market]
        rules = &self.risk.now.markets[market]
        out.account, out.lots = account, abs64(mine.lots)
        lots = <double>out.lots
        if sums.margin > 0:
            # What a position would leave is the equity that its margin stands for.
            share = margin_usd(mine, price, rules, self.risk.now.rows) / sums.margin
        out.notional = lots * (price.lot * price.mark * price.quote)
        out.entry = <double>mine.cost / (<double>mine.lots * price.unit) * price.tick
        out.bankruptcy = price.mark - side * (
            smaller(share, 1.0) * sums.equity
            / (lots * price.lot * price.quote if price.quote else INFINITY))
        out.equity, out.wallet = sums.equity, sums.equity - unrealised
        out.maintenance = sums.margin
        return True

    cdef double score(self, const Candidate* who, int market,
                      int side) noexcept nogil:
        # What is no number comes last.
        cdef double mark = self.prices[market].mark, score, percent, margin
        if self.kind == LEVERAGE_PNL:
            score = (larger(who.pnl, 0.0) / larger(who.wallet, 1.0)
                     * ratio(who.maintenance, who.equity))
        elif self.kind == EFFECTIVE_LEVERAGE:
            percent = side * (mark / who.entry - 1.0)
            margin = side * (mark - who.bankruptcy)
            margin = mark / margin if margin > NOTHING else RUIN
            score = percent * (margin if percent > 0 else 1.0 / margin)
        elif self.kind == LEVERAGED_RETURN:
            score = side * (mark / who.entry - 1.0) * leverage(who)
        elif self.kind == PRICE_RATIO:
            score = (mark / who.entry if side > 0 else who.entry / mark) * leverage(who)
        elif self.kind == LARGEST_FIRST:
            score = who.notional
        else:
            score = 0
        return score if score == score else -INFINITY


cdef inline int of(int market, int64_t side) noexcept nogil:
    return 2 * market + (side < 0)


cdef inline double ratio(double over, double under) noexcept nogil:
    return over / under if under > NOTHING else 0


cdef inline double leverage(const Candidate* who) noexcept nogil:
    return who.notional / who.equity if who.equity > NOTHING else RUIN


cdef inline bint before(const Place* a, const Place* b) noexcept nogil:
    return a.score > b.score or (a.score == b.score and a.account < b.account)


cdef void sink(Queue* queue, int64_t i) noexcept nogil:
    cdef Place place = queue.places[i]
    cdef int64_t child = 2 * i + 1
    while child < queue.n:
        if (child + 1 < queue.n
                and before(&queue.places[child + 1], &queue.places[child])):
            child += 1
        if not before(&queue.places[child], &place):
            break
        queue.places[i] = queue.places[child]
        i, child = child, 2 * child + 1
    queue.places[i] = place
