"""Losers closed against winners, one after another.

`margin.losses` says it in Python for all rules, this for a queue, the fund's loss as
the trigger and the prices of `PRICINGS`. The tests hold both equal.
"""

cimport cython
from libc.math cimport ceil, rint
from libc.stdint cimport INT64_MIN, int64_t
from libc.stdlib cimport free, qsort

from math import fsum

import numpy as np

from numpy cimport PyArray_DATA, import_array

from ._machine cimport grown
from .book cimport Books
from .ranks cimport *

import_array()

CLOSED = np.dtype(
    [(name, "<i8") for name in ("case", "winner", "market", "lots", "price")]
    + [("value", "<f8"), ("gains", "<i8")])

PRICINGS = ("bankruptcy", "bankruptcy_near_mark", "mark")

cdef enum:
    BANKRUPTCY
    BANKRUPTCY_NEAR_MARK
    MARK

cdef double MOST = 2.0**62       # ticks

ctypedef struct Closed:          # a part of a position, and who took it
    int64_t case                 # which of the losers
    int64_t winner
    int64_t market
    int64_t lots                 # signed as the loser's position
    int64_t price                # ticks
    double value                 # US dollars of profit forgone
    int64_t gains                # whether the winner's position was in profit

ctypedef struct Lot:
    int64_t market
    int64_t lots


@cython.final
cdef class Closing:
    """The turns of losers: which position of whom is closed next.

    Positions are closed of ``accounts`` without equity, and of those that are ``late``
    whatever they have. A winner gives no more than costs the share ``most`` of its
    equity. ``books``, if given, have the orders that are to be cancelled first.
    """

    cdef Ranks ranks
    cdef Risk risk
    cdef Books books
    cdef object accounts, late
    cdef const int64_t* account
    cdef const uint8_t* is_late
    cdef int64_t n, case         # losers, and whose turn it is
    cdef Lot* own                # what it had when its turn came
    cdef int64_t at, n_own, own_max
    cdef Closed* rows
    cdef int64_t n_rows, rows_max
    cdef int pricing
    cdef double most
    cdef bint blocked            # by orders of a winner

    def __init__(self, Ranks ranks not None, Books books, accounts, late, str pricing,
                 double most):
        self.ranks, self.risk, self.books = ranks, ranks.risk, books
        self.accounts = np.ascontiguousarray(accounts, np.int64)
        self.late = np.ascontiguousarray(late, np.bool_)
        if len(self.accounts) != len(self.late):
            raise ValueError(
                f"'late' must hold {len(self.accounts)} answers (got {len(self.late)})."
            )
        self.account = <const int64_t*>PyArray_DATA(self.accounts)
        self.is_late = <const uint8_t*>PyArray_DATA(self.late)
        self.n, self.case = len(self.accounts), -1
        self.pricing, self.most = PRICINGS.index(pricing), most

    def __dealloc__(self):
        free(self.own)
        free(self.rows)

    # -- COMMANDS

    def waiting(self):
        """Whether anybody has a position left to close."""
        cdef bint found = self.advance()
        self.risk.raise_failure()
        return found

    def run(self, bearable):
        """Close positions until somebody else has to; return which one that is.

        Of a market the fund bears a loss of ``bearable`` quote atoms, and positions
        that lose no more stay as they are. What comes back is the place of the loser,
        market, lots of the position that are left, and whether a winner has orders:
        then nothing was closed of it, else there were too few winners. None if all
        had their turn. O(losers + winners looked at, log holders each).
        """
        cdef const int64_t[::1] bears = np.ascontiguousarray(bearable, np.int64)
        cdef int64_t price, left
        cdef Lot held
        assert bears.shape[0] == self.risk.ledger.n_markets
        while self.advance():
            held = self.own[self.at]
            self.at += 1
            price = self.bankrupt(held)
            if bears[held.market] == INT64_MIN or (
                    self.forgone(held.market, held.lots, price) > bears[held.market]):
                left = self.close(held, self.priced(held, price))
                self.risk.raise_failure()
                if left:
                    return self.case, held.market, left, self.blocked
        self.risk.raise_failure()
        return None

    def taken(self):
        """Return what was closed since the last call (dtype CLOSED), in order."""
        rows = np.empty(self.n_rows, CLOSED)
        cdef Closed* out = <Closed*>PyArray_DATA(rows)
        cdef int64_t i
        for i in range(self.n_rows):
            out[i] = self.rows[i]
        self.n_rows = 0
        return rows

    # -- TURNS

    cdef bint advance(self) noexcept nogil:
        # To the next position; False if there is none.
        while self.at == self.n_own:
            if self.case + 1 >= self.n:
                return False
            self.case += 1
            self.look()
        return True

    cdef void look(self) noexcept nogil:
        # What the loser has now: others may have closed against it.
        cdef int64_t account = self.account[self.case]
        cdef const Account* owner = &self.risk.ledger.accounts[account]
        cdef const Position* position = self.risk.ledger.positions(owner)
        cdef int64_t i
        self.at = self.n_own = 0
        if owner.n_positions > self.own_max:
            self.own = <Lot*>grown(
                self.own, 0, owner.n_positions * <int64_t>sizeof(Lot))
            self.own_max = owner.n_positions
        if self.is_late[self.case] or (
                self.risk.value(account, &self.risk.now).equity <= 0):
            for i in range(owner.n_positions):
                if position[i].lots:
                    self.own[self.n_own] = Lot(position[i].market, position[i].lots)
                    self.n_own += 1

    cdef int64_t close(self, Lot held, int64_t price) except? -1:
        # Against the first of the winners; return what is left.
        cdef Ledger ledger = self.risk.ledger
        cdef int64_t first = self.n_rows, loser = self.account[self.case], i
        cdef int64_t left = held.lots - self.find(held, price)
        cdef Closed* row
        for i in range(first, self.n_rows):
            if self.books is not None and self.books.prune(self.rows[i].winner):
                self.n_rows = first
                self.blocked = True
                return held.lots
        self.blocked = False
        self.ranks.changes += 1
        for i in range(first, self.n_rows):
            row = &self.rows[i]
            ledger.known_notional(held.market, row.lots, price)
            ledger.trade_position(
                loser, held.market,
                leg_of(&ledger.accounts[loser], BUY if held.lots >= 0 else SELL, 0),
                -row.lots, price)
            ledger.take(row.winner, held.market, row.lots, price)
            self.ranks.take_up(row.winner)
        if self.n_rows > first:
            self.ranks.take_up(loser)
        return left

    cdef int64_t find(self, Lot held, int64_t price) except? -1:
        # The winners, by number, and what each of them closes; return how much in all.
        cdef int side = -1 if held.lots > 0 else 1
        cdef Queue* queue = self.ranks.opened(held.market, side)
        cdef const Price* at = &self.ranks.prices[held.market]
        cdef double cost = side * (at.mark - price * at.tick) * at.lot * at.quote
        cdef int64_t left = abs64(held.lots), lots, first = self.n_rows
        cdef Candidate who
        cdef Closed row
        cdef Place place
        cdef bint there
        while left > 0 and self.ranks.pop(queue, &place):
            if place.account == self.account[self.case]:
                continue
            there = self.ranks.measure(place.account, held.market, side, &who)
            assert there
            lots = min(affordable(&who, cost, self.most), left)
            if lots == 0:
                continue
            left -= lots
            row = Closed(
                self.case, who.account, held.market, -side * lots, price,
                <double>self.forgone(held.market, -side * lots, price) * at.worth,
                who.pnl > 0)
            self.need_row()
            self.rows[self.n_rows] = row
            self.n_rows += 1
        self.ranks.put_back(queue)
        qsort(&self.rows[first], self.n_rows - first, sizeof(Closed), by_winner)
        return held.lots + side * left

    cdef void need_row(self) noexcept nogil:
        cdef int64_t more = max(256, 2 * self.rows_max)
        if self.n_rows == self.rows_max:
            self.rows = <Closed*>grown(
                self.rows, self.n_rows * <int64_t>sizeof(Closed),
                more * <int64_t>sizeof(Closed))
            self.rows_max = more

    # -- PRICES

    cdef int64_t mark(self, int64_t market) noexcept nogil:
        # In ticks, at least one.
        return <int64_t>larger(1, rint(self.ranks.prices[market].ticks))

    cdef int128_t forgone(self, int64_t market, int64_t lots,
                          int64_t price) noexcept nogil:
        # What lots at a price are worth more than at mark, quote atoms.
        return (<int128_t>(price - self.mark(market)) * lots
                * self.risk.ledger.terms[market].quote_unit)

    cdef int64_t priced(self, Lot held, int64_t bankrupt) noexcept nogil:
        cdef int64_t mark = self.mark(held.market)
        if self.pricing == MARK or (
                self.pricing == BANKRUPTCY_NEAR_MARK
                and 20 * <int128_t>abs64(bankrupt - mark) > mark):
            return mark
        return bankrupt

    cdef int64_t bankrupt(self, Lot held) except? -1:
        # Where the position takes its part of the equity, in ticks; see `Holdings`.
        cdef int64_t account = self.account[self.case], size = 0, i
        cdef const Account* owner = &self.risk.ledger.accounts[account]
        cdef const Position* position = self.risk.ledger.positions(owner)
        cdef const Price* prices = self.ranks.prices
        cdef const Price* at = &prices[held.market]
        cdef double equity = self.risk.value(account, &self.risk.now).equity
        cdef double margin, mine = 0, whole, lost, price = at.mark, share, ticks
        cdef int side = 1 if held.lots > 0 else -1
        every, gains = [], []
        for i in range(owner.n_positions):
            if position[i].lots == 0:
                continue
            margin = margin_usd(
                &position[i], &prices[position[i].market],
                &self.risk.now.markets[position[i].market], self.risk.now.rows)
            if position[i].market == held.market and position[i].lots * side > 0:
                size, mine = abs64(position[i].lots), margin
            every.append(margin)
            gains.append(profit_usd(&position[i], &prices[position[i].market]))
        whole = fsum(every)
        if equity < 0:
            lost = smaller(0, fsum(gains))
            equity = larger(equity, lost)
        if size and whole > 0 and at.quote > 0:
            share = equity * mine / whole / at.quote
            price = at.mark - side * share / (<double>size * at.lot)
        ticks = price / at.tick
        ticks = ceil(ticks) if side > 0 else floor(ticks)
        return <int64_t>smaller(larger(1, ticks), MOST)


cdef int by_winner(const void* first, const void* second) noexcept nogil:
    # No winner stands twice.
    return -1 if (<const Closed*>first).winner < (<const Closed*>second).winner else 1
