"""The risk pass: what every account is worth and how far it is from liquidation.

Ledger state is exact; what is computed here are valuations, in float64 US dollars, made
anew from the ledger each time. ``margin/reference.py`` says the same in plain Python.
"""

cimport cython
from libc.math cimport INFINITY, fabs

import numpy as np

cdef enum:
    SYSTEM_ = 5                  # accounts of the venue itself are not margined

cdef int64_t NOTIONAL_MAX = <int64_t>1 << 60  # quote atoms, as in the ledger

VALUATION = ("equity", "adjusted", "maintenance", "exposure", "health")


cdef inline double sliced(const double[:, ::1] tiers, int64_t first, int64_t last,
                          double x) noexcept nogil:
    # The marginal schedule: x * rate - cum in the slice that holds x, (floor, cap].
    cdef int64_t i = last - 1
    while i > first and x <= tiers[i, 0]:
        i -= 1
    return x * tiers[i, 1] - tiers[i, 2]


@cython.final
cdef class Risk(Gate):
    """Values accounts and judges orders.

    ``collateral`` and ``borrow`` are schedules by asset, ``brackets`` by market, each a
    pair (at, tiers): rows at[i] to at[i + 1] of tiers, with columns floor, rate, cum.
    An order passes if, with it and all resting orders filled, health (adjusted equity
    over maintenance margin) is at least ``order_health``, or if it worsens nothing.
    """

    def __init__(self, Ledger ledger not None, collateral, borrow, brackets,
                 double negative=1.0, double order_health=1.0):
        self.ledger = ledger
        self.collateral_at, self.collateral = schedule(
            "collateral", collateral, ledger.n_assets)
        self.borrow_at, self.borrow = schedule("borrow", borrow, ledger.n_assets)
        self.bracket_at, self.bracket = schedule("brackets", brackets, ledger.n_markets)
        self.negative = negative
        self.order_health = order_health
        self.index = np.zeros(ledger.n_assets)
        self.mark = np.zeros(ledger.n_markets)
        self.mark_quote = np.zeros(ledger.n_markets)
        self.columns = np.zeros((5, 0))
        self.frozen = np.zeros(0, np.uint8)

    def set_prices(self, index, mark, mark_quote):
        """Take new prices: USD of an atom, USD of a lot, quote atoms of a lot.

        The arrays are copied; a negative or not finite price is refused and nothing
        changes.
        """
        new = [
            np.ascontiguousarray(a, np.float64).copy()
            for a in (index, mark, mark_quote)
        ]
        for name, array, old in zip(("index", "mark", "mark_quote"), new,
                                    (self.index, self.mark, self.mark_quote)):
            if array.shape != (old.shape[0],):
                raise ValueError(
                    f"'{name}' must hold {old.shape[0]} prices (got {array.shape}).")
            if not np.all(np.isfinite(array) & (array >= 0)):
                raise ValueError(f"'{name}' must be finite and >= 0 (got {array}).")
        self.index, self.mark, self.mark_quote = new

    def revalue(self):
        """Value all accounts at the current prices; return a dict of float64 columns.

        Keys as VALUATION; the arrays are of length accounts and reused by the next
        call. Accounts of the venue have health +inf. One pass, O(balances + positions).
        """
        cdef int64_t n = self.ledger.n_accounts, account
        if self.columns.shape[1] != n:
            self.columns = np.zeros((5, n))
            self.columns[4] = np.inf
        cdef double[:, ::1] out = self.columns
        cdef Valuation v
        with nogil:
            for account in range(SYSTEM_, n):
                if self.ledger.accounts[account].n_balances == 0:
                    continue
                self.value(account, &v)
                out[0, account] = v.equity
                out[1, account] = v.adjusted
                out[2, account] = v.maintenance
                out[3, account] = v.exposure
                out[4, account] = health(v.adjusted, v.maintenance)
        return dict(zip(VALUATION, self.columns))

    def below(self, double threshold):
        """Return the accounts whose health is at most ``threshold``, and the healths.

        Accounts in ascending order, int64; accounts of the venue are left out.
        """
        health = self.revalue()["health"]
        accounts = np.flatnonzero(health <= threshold)
        accounts = accounts[accounts >= SYSTEM_]
        return accounts, health[accounts]

    def account(self, int64_t account):
        """Value one account: dict with the keys of VALUATION."""
        self.ledger.known_account(account)
        cdef Valuation v
        self.value(account, &v)
        return {
            "equity": v.equity, "adjusted": v.adjusted, "maintenance": v.maintenance,
            "exposure": v.exposure, "health": health(v.adjusted, v.maintenance),
        }

    cdef void value(self, int64_t account, Valuation* out) noexcept nogil:
        cdef const Account* owner = &self.ledger.accounts[account]
        cdef const Terms* terms = self.ledger.terms
        cdef const Position* position = &self.ledger.positions[owner.positions]
        cdef const Balance* balance = &self.ledger.balances[owner.balances]
        cdef int i, j
        cdef double lots, worst, usd, coins, after, collateral = 0, open_collateral = 0
        cdef int32_t market, asset
        out[0] = Valuation(0, 0, 0, 0, 0, 0)
        for i in range(owner.n_positions):
            market = position[i].market
            lots = <double>position[i].lots
            worst = fabs(lots + position[i].open_buy)
            if fabs(lots - position[i].open_sell) > worst:
                worst = fabs(lots - position[i].open_sell)
            if worst == 0 and lots == 0:
                continue
            usd = fabs(lots) * self.mark[market]
            out.exposure += usd
            out.maintenance += self.bracketed(market, usd)
            out.open_maintenance += self.bracketed(market, worst * self.mark[market])
        for i in range(owner.n_balances):
            asset = balance[i].asset
            coins = <double>balance[i].amount
            for j in range(owner.n_positions):
                market = position[j].market
                if terms[market].quote == asset:
                    coins += (<double>position[j].lots * self.mark_quote[market]
                              - <double>position[j].cost)
            after = coins + <double>(balance[i].incoming - balance[i].hold)
            usd = coins * self.index[asset]
            out.equity += usd
            if usd < 0:
                out.exposure -= usd
            collateral += self.collateralised(asset, usd)
            out.maintenance += self.borrowed(asset, usd)
            if after != coins:
                usd = after * self.index[asset]
            open_collateral += self.collateralised(asset, usd)
            out.open_maintenance += self.borrowed(asset, usd)
        # What resting orders would lose in collateral value counts now (open loss).
        out.open_adjusted = open_collateral
        out.adjusted = open_collateral if open_collateral < collateral else collateral

    cdef double bracketed(self, int32_t market, double usd) noexcept nogil:
        return sliced(
            self.bracket, self.bracket_at[market], self.bracket_at[market + 1], usd)

    cdef double collateralised(self, int32_t asset, double usd) noexcept nogil:
        if usd < 0:
            return usd * self.negative
        return sliced(self.collateral, self.collateral_at[asset],
                      self.collateral_at[asset + 1], usd)

    cdef double borrowed(self, int32_t asset, double usd) noexcept nogil:
        if usd >= 0:
            return 0
        return sliced(
            self.borrow, self.borrow_at[asset], self.borrow_at[asset + 1], -usd)

    def freeze(self, int64_t account, bint frozen):
        """Refuse an account's orders that do not reduce, or take them again."""
        self.ledger.known_account(account)
        if account >= self.frozen.shape[0]:
            grown = np.zeros(self.ledger.n_accounts, np.uint8)
            grown[:self.frozen.shape[0]] = self.frozen
            self.frozen = grown
        self.frozen[account] = frozen

    cdef int check(self, const Message* message) noexcept nogil:
        cdef Valuation before, after
        cdef int64_t price = message.price
        cdef double slack
        cdef bint unpriced
        if message.flags & (LIQUIDATION | REDUCE_ONLY) or message.account < SYSTEM_:
            return R_OK
        if message.account < self.frozen.shape[0] and self.frozen[message.account]:
            return R_ACCOUNT_REDUCE_ONLY
        if message.kind == MARKET:
            price = self.likely_price(message)
            if <int128_t>message.qty * price * self.ledger.terms[
                    message.market].quote_unit > NOTIONAL_MAX:
                return R_OVERFLOW
        self.ledger.rest(
            message.market, message.account, message.side, price, message.qty, 0)
        self.value(message.account, &after)
        unpriced = self.owes_unpriced(message)
        self.ledger.rest(
            message.market, message.account, message.side, price, -message.qty, 0)
        if unpriced:
            self.refused += 1
            return R_INSUFFICIENT_MARGIN
        after.open_adjusted -= self.loss_at(message)
        if health(after.open_adjusted, after.open_maintenance) >= self.order_health:
            return R_OK
        self.value(message.account, &before)
        # Rounding of float sums is not a worsening.
        slack = 1e-9 * (fabs(before.open_adjusted) + before.open_maintenance)
        if (after.open_adjusted >= before.open_adjusted - slack
                and after.open_maintenance <= before.open_maintenance + slack):
            return R_OK
        self.refused += 1
        if health(before.open_adjusted, before.open_maintenance) < self.order_health:
            return R_ACCOUNT_REDUCE_ONLY
        return R_INSUFFICIENT_MARGIN

    cdef bint owes_unpriced(self, const Message* message) noexcept nogil:
        # Whether the order, which rests for the moment, could leave a debt or a
        # position that has no price yet: nobody can say what margin it needs.
        cdef const Terms* terms = &self.ledger.terms[message.market]
        cdef int32_t pays = terms.quote if message.side == BUY else terms.base
        cdef const Balance* balance
        if terms.perpetual:
            return self.mark[message.market] == 0
        balance = self.ledger.find_balance(message.account, pays)
        return self.index[pays] == 0 and balance.hold > balance.amount

    cdef double loss_at(self, const Message* message) noexcept nogil:
        # USD that a limit order in a perpetual loses at once by trading at its price
        # and not at the mark.
        cdef const Terms* terms = &self.ledger.terms[message.market]
        cdef double loss
        if message.kind == MARKET or not terms.perpetual:
            return 0
        loss = <double>message.qty * (
            <double>message.price * terms.quote_unit - self.mark_quote[message.market])
        if message.side == SELL:
            loss = -loss
        return loss * self.index[terms.quote] if loss > 0 else 0

    cdef int64_t likely_price(self, const Message* message) noexcept nogil:
        # What a market order is judged at, ticks: the mark, or a spot pair's index.
        cdef int32_t market = message.market
        cdef double quote = self.ledger.terms[market].quote_unit
        cdef double lot = self.mark_quote[market]
        if lot == 0:
            lot = self.ledger.terms[market].base_unit * self.index[
                self.ledger.terms[market].base]
            if self.index[self.ledger.terms[market].quote] <= 0:
                return 0
            lot /= self.index[self.ledger.terms[market].quote]
        return <int64_t>(lot / quote)


cdef inline double health(double adjusted, double maintenance) noexcept nogil:
    # Adjusted equity over maintenance margin; without margin to keep, +inf or -inf.
    if maintenance > 0:
        return adjusted / maintenance
    return INFINITY if adjusted >= 0 else -INFINITY


cdef tuple schedule(str name, pair, int64_t n):
    at = np.ascontiguousarray(pair[0], np.int64)
    tiers = np.ascontiguousarray(pair[1], np.float64)
    if (at.shape != (n + 1,) or tiers.ndim != 2 or tiers.shape[1] != 3
            or at[0] != 0 or at[n] != len(tiers) or np.any(np.diff(at) < 1)):
        raise ValueError(
            f"'{name}' must be {n} schedules of at least one tier each: offsets of "
            f"length {n + 1} and rows of floor, rate, cum.")
    return at, tiers
