"""The risk pass: what every account is worth and how far it is from liquidation.

Ledger state is exact; what is computed here are valuations, in float64 US dollars, made
anew from the ledger. ``margin/reference.py`` says the same in plain Python.
"""

cimport cython

import numpy as np

from copyreg import __newobj__

from cpython.ref cimport Py_INCREF

from ._machine cimport prefetch_read

cdef enum:
    AHEAD = 8                    # accounts fetched ahead

VALUATION = ("equity", "adjusted", "maintenance", "exposure", "health")


@cython.final
cdef class Risk(Judge):
    """Values accounts and judges orders.

    ``terms`` has curves (kinds, offsets, rows) by name: collateral, liability, borrow,
    collateral_initial, borrow_initial by asset, of US dollars; brackets and initial by
    market, of coins of the settle asset. ``margin_factor`` is by market; ``unit`` coins
    of an atom, ``lot`` coins of a lot.
    An order passes if, whatever of it and of the resting orders fills, health by the
    initial curves is at least ``order_health``, or if it worsens nothing. With
    ``open_loss`` adjusted equity is less what resting orders would lose by filling.
    Unless the venue ``lends``, and while a coin has no price, orders pay no more of a
    coin than the account has.

    ``skipping``, on from the start, values only accounts whose value, or side of the
    threshold, can have changed. Off, all of them: the answers are the same.

    ``following``, on from the start, keeps the sums of accounts with many rows from
    order to order, for the judgement that an order passes without; again the answers
    are the same. ``books``, if set, tell what a market order would meet.

    ``position_margin``, if set, gives the margin of an account's positions in place of
    the curves, for maintenance and for opening. It is called with two lists, of
    (market, US dollars at mark, below 0 if short) and of (asset, net equity in US
    dollars, below 0 if owed), and returns US dollars. It must depend on them alone and
    must leave the ledger as it is. Where resting orders count they are in what it
    gets, those of one underlying at a time: the base of their market, or what
    `units_of` of the rule says, (asset, 1 or -1 if a long is a short of it) by market.
    While it is set nothing is skipped, and each account with positions costs a call
    into Python: 0.3 us and what the rule takes. What it raises is raised by the method
    that valued accounts; an order it fails on is refused, `reraise` says why.
    """

    def __init__(self, Ledger ledger not None, terms, margin_factor, unit, lot,
                 double order_health=1.0, bint open_loss=True, bint lends=True):
        self.build(ledger, terms, margin_factor, unit, lot)
        self.prepare_worst()
        self.prepare_columns()
        self.prepare()
        self.prepare_seats(terms)
        self.new_board(&self.elsewhere)
        self.arrays = [np.zeros(n) for n in (
            ledger.n_assets, ledger.n_markets, ledger.n_markets)]
        self.order_health = order_health
        self.open_loss = open_loss
        self.lends = lends
        self.skipping = True
        self.frozen = np.zeros(0, np.uint8)

    def __reduce_ex__(self, protocol):
        cdef State state = State()
        self.visit(state)
        return __newobj__, (Risk,), state.told(protocol)

    def __setstate__(self, told):
        cdef State state = State.of(told)
        try:
            self.visit(state)
            state.finish()
        except BaseException:
            # Half of it is read: nothing of that may ever be freed.
            Py_INCREF(self)
            raise

    cdef int visit(self, State state) except -1:
        Judge.visit(self, state)
        self.arrays = state.thing(self.arrays)
        if state.reading:
            self.new_board(&self.elsewhere)
        return 0

    # -- A RULE FOR POSITIONS

    @property
    def position_margin(self):
        """What gives the margin of positions in place of the curves, or None."""
        return self.rule

    @position_margin.setter
    def position_margin(self, rule):
        if rule is not None and not callable(rule):
            raise TypeError(
                f"'position_margin' must be callable, or None (got {rule!r}).")
        units = getattr(rule, "units_of", None)
        if units is None:
            units = [(self.ledger.terms[i].base, 1)
                     for i in range(self.ledger.n_markets)]
        for i, (unit, sign) in enumerate(units):
            self.unit[i], self.sign[i] = unit, sign
        self.rule, self.ruled = rule, rule is not None
        self.bounded = hasattr(rule, "worst")
        # They were filled by the other rule.
        self.columns = np.zeros((5, 0))

    def reraise(self):
        """Raise what `position_margin` raised while it judged orders, if it did."""
        self.raise_failure()

    cdef int raise_failure(self) except -1:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return 0

    # -- PRICES

    def set_prices(self, index, mark, mark_quote):
        """Take new prices: USD of an atom, USD of a lot, quote atoms of a lot.

        The arrays are copied; a negative or not finite price is refused and nothing
        changes.
        """
        self.arrays = self.checked_prices(index, mark, mark_quote)
        self.set_board(&self.now, self.arrays)
        self.set_board(&self.opening, self.arrays)
        self.epoch += 1

    cdef list checked_prices(self, index, mark, mark_quote):
        # As arrays of their own.
        self.same_shape()
        arrays = []
        for name, array, n in (
                ("index", index, self.ledger.n_assets),
                ("mark", mark, self.ledger.n_markets),
                ("mark_quote", mark_quote, self.ledger.n_markets)):
            array = np.ascontiguousarray(array, np.float64)
            if array.shape != (n,):
                raise ValueError(
                    f"'{name}' must hold {n} prices (got {array.shape}).")
            if not np.all(np.isfinite(array) & (array >= 0)):
                raise ValueError(f"'{name}' must be finite and >= 0 (got {array}).")
            arrays.append(array.copy())
        return arrays

    # -- VALUES

    def revalue(self):
        """Value all accounts at the current prices; return a dict of float64 columns.

        Keys as VALUATION; the arrays are of length accounts and reused by the next
        call. Accounts of the venue have health +inf. O(balances + positions), or with
        skipping of the accounts that changed or hold what was repriced.
        """
        self.same_shape()
        cdef int64_t n = self.ledger.n_accounts
        cdef bint fresh = self.columns.shape[1] != n
        cdef double[:, ::1] out
        if fresh:
            self.columns = np.zeros((5, n))
            self.columns[4] = np.inf
        out = self.columns
        with nogil:
            if fresh or self.ruled or not self.skipping or 2 * self.changed() > n:
                self.fill_all(&out[0, 0], n)
            else:
                self.fill_changed(&out[0, 0], n)
            self.columns_seen = self.ledger.close_touched()
            self.copy_board(&self.now, &self.columns_at)
        self.raise_failure()
        return dict(zip(VALUATION, self.columns))

    def at(self, index=None, mark=None, mark_quote=None, accounts=None):
        """Value accounts at other prices; nothing changes. O(accounts).

        Prices as in `set_prices`, those left out are the current ones; ``accounts``
        are all if left out. Return a dict of float64 columns, keys as VALUATION.
        """
        cdef const Board* board = &self.now
        cdef int64_t[::1] who
        cdef int64_t i, n
        cdef const int64_t* rows
        cdef double[:, ::1] out
        self.same_shape()
        if not (index is None and mark is None and mark_quote is None):
            index, mark, mark_quote = (
                old if new is None else new
                for old, new in zip(self.arrays, (index, mark, mark_quote)))
            arrays = self.checked_prices(index, mark, mark_quote)
            self.copy_board(&self.now, &self.elsewhere)
            self.set_board(&self.elsewhere, arrays)
            board = &self.elsewhere
        if accounts is None:
            accounts = np.arange(self.ledger.n_accounts)
        who = np.ascontiguousarray(accounts, np.int64)
        n = who.shape[0]
        for i in range(n):
            self.ledger.known_account(who[i])
        columns = np.zeros((5, n))
        out = columns
        with nogil:
            for i in range(n):
                if i + 2 * AHEAD < n:
                    # They stand anywhere in memory: a third of the time was waiting.
                    rows = &self.ledger.pool[
                        self.ledger.accounts[who[i + AHEAD]].rows]
                    prefetch_read(rows)
                    prefetch_read(rows + 8)
                    prefetch_read(&self.ledger.accounts[who[i + 2 * AHEAD]])
                self.fill(who[i], board, &out[0, 0], n, i)
        self.raise_failure()
        return dict(zip(VALUATION, columns))

    def account(self, int64_t account):
        """Value one account: dict with the keys of VALUATION, and two more.

        ``adjusted_initial`` over ``initial`` is what opening an order is judged by:
        equity and margin by the initial curves, if those resting orders fill that
        leave least (see `worst_case`).
        """
        self.same_shape()
        self.ledger.known_account(account)
        cdef Sums sums = self.value(account, &self.now)
        out = {
            "equity": sums.equity, "adjusted": sums.adjusted,
            "maintenance": sums.margin, "exposure": sums.exposure,
            "health": health(sums.adjusted, sums.margin),
        }
        self.worst(account, &self.opening, self.order_health, NULL, &sums)
        self.raise_failure()
        return {**out, "adjusted_initial": sums.adjusted, "initial": sums.margin}

    def worst_case(self, int64_t account, double multiple, bint initial):
        """Return adjusted equity and margin, US dollars, after the worst fills.

        Of those resting orders, each in part or whole, that leave least of equity less
        ``multiple`` times margin; what a side of a market gets is worth at most what
        it pays. Equity is -inf if orders would pay more of a coin than they may.
        ``initial``: by the curves for opening. O(balances, positions and markets).
        """
        self.same_shape()
        self.ledger.known_account(account)
        cdef Sums sums
        cdef int i
        self.worst(
            account, &self.opening if initial else &self.now, multiple, NULL, &sums)
        self.raise_failure()
        for i in range(self.ledger.accounts[account].n_balances):
            if self.overdraws(account, i, NULL):
                sums.adjusted = -INFINITY
        return sums.adjusted, sums.margin

    def below(self, double threshold):
        """Return the accounts whose health is at most ``threshold``, and the healths.

        Accounts in ascending order, int64; accounts of the venue are left out. With
        skipping O(accounts that a price move since they were last measured could have
        brought there), else O(balances + positions).
        """
        self.same_shape()
        cdef int64_t i
        with nogil:
            self.find(threshold)
        self.raise_failure()
        accounts = np.empty(self.n_found, np.int64)
        healths = np.empty(self.n_found)
        cdef int64_t[::1] who = accounts
        cdef double[::1] ratio = healths
        for i in range(self.n_found):
            who[i] = self.found[i]
            ratio[i] = self.found_health[i]
        order = np.argsort(accounts)
        return accounts[order], healths[order]

    def holders(self, int asset):
        """Return the accounts whose value depends on an asset, ascending. O(holders).

        They have it or owe it, or have a position on it or settled in it; accounts of
        the venue are left out.
        """
        self.ledger.known_asset(asset)
        found = [self.ledger.holders(asset)]
        cdef int market
        for market in range(self.ledger.n_markets):
            terms = self.ledger.terms[market]
            if terms.perpetual and asset in (terms.base, terms.quote):
                found.append(np.flatnonzero(self.ledger.lots(market)))
        found = np.unique(np.concatenate(found))
        return found[found >= SYSTEM_]

    @property
    def nbytes(self):
        """Bytes of memory that skipping and the columns take."""
        return self.bytes_of_levels() + self.columns.nbytes

    # -- THE GATE

    def freeze(self, int64_t account, bint frozen):
        """Refuse an account's orders that do not reduce, or take them again."""
        self.ledger.known_account(account)
        if account >= self.frozen.shape[0]:
            grown = np.zeros(self.ledger.n_accounts, np.uint8)
            grown[:self.frozen.shape[0]] = self.frozen
            self.frozen = grown
        self.frozen[account] = frozen
