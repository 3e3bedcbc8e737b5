"""What accounts hold, for Python to read."""

import numpy as np

BALANCE = np.dtype([(name, "<i8") for name in ("account", "asset", "amount", "hold")])
POSITION = np.dtype([(name, "<i8") for name in (
    "account", "market", "lots", "cost", "open_buy", "open_sell", "leg", "leverage")])
RESTING = np.dtype([(name, "<i8") for name in (
    "account", "market", "leg", "bids", "asks", "bid_notional", "ask_notional",
    "worst_bid", "worst_ask")])


cdef class Holdings(Settlement):
    """Queries of one account, of several, of all; none changes anything."""

    # -- OF AN ACCOUNT

    def hedged(self, int64_t account):
        """Whether the account keeps longs and shorts of a market apart."""
        self.known_account(account)
        return bool(self.accounts[account].flags & HEDGE)

    def balance(self, int64_t account, int asset):
        """Return what the account has of an asset, in atoms; negative is borrowed."""
        self.known_account(account)
        self.known_asset(asset)
        cdef int row = self.find_balance(account, asset)
        return 0 if row < 0 else self.balances(&self.accounts[account])[row].amount

    def open_position(self, int64_t account, int market):
        """Return (lots, cost in quote atoms) of the account's position, legs netted."""
        self.known_account(account)
        self.known_market(market)
        cdef const Account* owner = &self.accounts[account]
        cdef const Position* rows = self.positions(owner)
        cdef int i
        cdef int64_t lots = 0, cost = 0
        for i in range(owner.n_positions):
            if rows[i].market == market:
                lots += rows[i].lots
                cost += rows[i].cost
        return lots, cost

    def balances_of(self, int64_t account):
        """Return the account's balances (dtype BALANCE).

        ``hold`` is what its resting orders in spot markets would pay.
        """
        return self.balances_many([account])

    def positions_of(self, int64_t account):
        """Return the account's positions (dtype POSITION), closed ones left out.

        ``leg`` is 0, or in hedge mode 1 for a long and 2 for a short; ``open_buy`` and
        ``open_sell`` are lots of resting orders.
        """
        return self.positions_many([account])

    def resting_of(self, int64_t account):
        """Return the sums of the account's resting orders by market (dtype RESTING).

        Lots, and notionals at the orders' own prices in quote atoms; in ticks, prices
        that no bid is above and no ask below, 0 where there is none. In hedge mode
        those of each leg of a perpetual apart.
        """
        self.known_account(account)
        cdef const Account* owner = &self.accounts[account]
        cdef const Resting* row = self.resting(owner)
        cdef int i
        return np.array(
            [(account, row[i].market, row[i].leg, row[i].bids, row[i].asks,
              row[i].bid_notional, row[i].ask_notional, row[i].worst_bid,
              row[i].worst_ask)
             for i in range(self.n_resting(owner))], RESTING)

    def leverage(self, int64_t account, int market):
        """Return the leverage the account chose for a market; 0 is the highest."""
        self.known_account(account)
        self.known_market(market)
        cdef const Account* owner = &self.accounts[account]
        cdef const Position* rows = self.positions(owner)
        cdef int i
        for i in range(owner.n_positions):
            if rows[i].market == market:
                return rows[i].leverage
        return 0

    # -- OF SEVERAL ACCOUNTS

    def positions_many(self, accounts):
        """Return what `positions_of` does for each account, in order. O(positions)."""
        cdef const int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
        cdef const Account* owner
        cdef const Position* row
        cdef const Resting* orders
        cdef int64_t[:, ::1] to
        cdef int64_t i, n = 0
        cdef int j, k
        for i in range(who.shape[0]):
            self.known_account(who[i])
            n += self.accounts[who[i]].n_positions
        out = np.zeros((n, 8), np.int64)
        to, n = out, 0
        for i in range(who.shape[0]):
            owner = &self.accounts[who[i]]
            row, orders = self.positions(owner), self.resting(owner)
            for j in range(owner.n_positions):
                k = self.find_resting(who[i], row[j].market, row[j].leg)
                if row[j].lots == 0 and k < 0:
                    continue
                to[n, 0], to[n, 1], to[n, 2] = who[i], row[j].market, row[j].lots
                to[n, 3], to[n, 6], to[n, 7] = row[j].cost, row[j].leg, row[j].leverage
                if k >= 0:
                    to[n, 4], to[n, 5] = orders[k].bids, orders[k].asks
                n += 1
        return out[:n].view(POSITION)[:, 0]

    def balances_many(self, accounts):
        """Return what `balances_of` does for each account, in order. O(balances)."""
        cdef const int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
        cdef const Account* owner
        cdef const Balance* row
        cdef const Resting* orders
        cdef int64_t[:, ::1] to
        cdef int64_t i, n = 0
        cdef int j
        for i in range(who.shape[0]):
            self.known_account(who[i])
            n += self.accounts[who[i]].n_balances
        out = np.zeros((n, 4), np.int64)
        to, n = out, 0
        for i in range(who.shape[0]):
            owner = &self.accounts[who[i]]
            row, orders = self.balances(owner), self.resting(owner)
            for j in range(owner.n_balances):
                to[n + j, 0], to[n + j, 1] = who[i], row[j].asset
                to[n + j, 2] = row[j].amount
            for j in range(self.n_resting(owner)):
                if not orders[j].perpetual:
                    to[n + orders[j].quote, 3] += orders[j].bid_notional
                    to[n + orders[j].base, 3] += (
                        orders[j].asks * self.terms[orders[j].market].base_unit)
            n += owner.n_balances
        return out.view(BALANCE)[:, 0]

    def held_by(self, accounts):
        """Return the open positions of accounts, int64 (5, positions).

        Which of the accounts it is, market, lots, cost and leg, each a column; what
        `positions_of` says of orders is left out. O(positions).
        """
        cdef const int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
        cdef const Account* owner
        cdef const Position* row
        cdef int64_t i, n = 0
        cdef int j
        for i in range(who.shape[0]):
            self.known_account(who[i])
            n += self.accounts[who[i]].n_positions
        out = np.empty((5, n), np.int64)
        cdef int64_t[:, ::1] to = out
        n = 0
        for i in range(who.shape[0]):
            owner = &self.accounts[who[i]]
            row = self.positions(owner)
            for j in range(owner.n_positions):
                if row[j].lots:
                    to[0, n], to[1, n], to[2, n] = i, row[j].market, row[j].lots
                    to[3, n], to[4, n] = row[j].cost, row[j].leg
                    n += 1
        return out[:, :n]

    def owned_by(self, accounts):
        """Return the balances of accounts that are not zero, int64 (3, balances).

        Which of the accounts it is, asset and atoms, each a column. O(balances).
        """
        cdef const int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
        cdef const Account* owner
        cdef const Balance* row
        cdef int64_t i, n = 0
        cdef int j
        for i in range(who.shape[0]):
            self.known_account(who[i])
            n += self.accounts[who[i]].n_balances
        out = np.empty((3, n), np.int64)
        cdef int64_t[:, ::1] to = out
        n = 0
        for i in range(who.shape[0]):
            owner = &self.accounts[who[i]]
            row = self.balances(owner)
            for j in range(owner.n_balances):
                if row[j].amount:
                    to[0, n], to[1, n], to[2, n] = i, row[j].asset, row[j].amount
                    n += 1
        return out[:, :n]

    def balances_in(self, accounts, assets):
        """Return what accounts have of assets, int64 (accounts, assets), atoms.

        O(accounts x assets + balances).
        """
        which = np.ascontiguousarray(assets, np.int64)
        for asset in which.tolist():
            self.known_asset(asset)
        of, asset, atoms = self.owned_by(accounts)
        return gathered(len(accounts), of, asset, atoms, which, self.n_assets)

    def lots_in(self, accounts, markets):
        """Return positions of accounts in markets, int64 (accounts, markets), lots.

        Legs are netted. O(accounts x markets + positions).
        """
        which = np.ascontiguousarray(markets, np.int64)
        for market in which.tolist():
            self.known_market(market)
        of, market, lots, _, _ = self.held_by(accounts)
        return gathered(len(accounts), of, market, lots, which, self.n_markets)

    # -- OF ALL ACCOUNTS

    def positions_all(self):
        """Return every open position, accounts ascending (dtype POSITION).

        ``open_buy`` and ``open_sell`` are 0: resting orders are not looked at.
        """
        cdef const Account* owner
        cdef const Position* row
        cdef int64_t[:, ::1] to
        cdef int64_t account, n = 0
        cdef int j
        for account in range(self.n_accounts):
            n += self.accounts[account].n_positions
        out = np.zeros((n, 8), np.int64)
        to, n = out, 0
        for account in range(self.n_accounts):
            owner = &self.accounts[account]
            row = self.positions(owner)
            for j in range(owner.n_positions):
                if row[j].lots:
                    to[n, 0], to[n, 1], to[n, 2] = account, row[j].market, row[j].lots
                    to[n, 3], to[n, 6] = row[j].cost, row[j].leg
                    to[n, 7] = row[j].leverage
                    n += 1
        return out[:n].view(POSITION)[:, 0]

    def amounts(self, int asset):
        """Return the asset's balance of every account, int64 (accounts,), atoms."""
        self.known_asset(asset)
        out = np.zeros(self.n_accounts, np.int64)
        cdef int64_t[::1] amounts = out
        cdef const Holders* holders = &self.by_asset[asset]
        cdef int64_t account, i
        for i in range(holders.n):
            account = holders.accounts[i]
            amounts[account] = self.balances(&self.accounts[account])[
                self.find_balance(account, asset)].amount
        return out

    def lots(self, int market):
        """Return the position of every account in a market, int64 (accounts,), lots.

        Legs are netted.
        """
        self.known_market(market)
        out = np.zeros(self.n_accounts, np.int64)
        cdef int64_t[::1] lots = out
        cdef const Holders* holders = &self.by_market[market]
        cdef int64_t account, i
        cdef int leg
        for i in range(holders.n):
            account = holders.accounts[i]
            for leg in range(SHORT + 1):
                lots[account] += self.lots_of(account, market, leg)
        return out

    def holders(self, int asset):
        """Return the accounts that have or owe an asset, ascending. O(holders)."""
        self.known_asset(asset)
        cdef const Holders* holders = &self.by_asset[asset]
        out = np.empty(holders.n, np.int64)
        cdef int64_t[::1] found = out
        cdef int64_t account, i, n = 0
        for i in range(holders.n):
            account = holders.accounts[i]
            found[n] = account
            n += self.balances(&self.accounts[account])[
                self.find_balance(account, asset)].amount != 0
        return np.sort(out[:n])

    @property
    def nbytes(self):
        """Bytes of memory that accounts, rows and the index of holders take."""
        return self.bytes() + self.n_markets * <int64_t>sizeof(Terms)

    def totals(self):
        """Return the sum of all accounts for each asset: zeros, or the books are wrong.

        O(accounts). Sums wrap like int64, which cannot turn a wrong total into zero.
        """
        out = np.zeros(self.n_assets, np.int64)
        cdef int64_t[::1] sums = out
        cdef int64_t account
        cdef int i
        cdef const Account* owner
        cdef const Balance* rows
        for account in range(self.n_accounts):
            owner = &self.accounts[account]
            rows = self.balances(owner)
            for i in range(owner.n_balances):
                sums[rows[i].asset] += rows[i].amount
        return out


cdef object gathered(int64_t n, const int64_t[::1] of, const int64_t[::1] key,
                     const int64_t[::1] amount, const int64_t[::1] which, int64_t keys):
    # A row for each account, a column for each key that is asked for; the rows of an
    # account stand together.
    cdef int64_t[::1] row = np.zeros(keys, np.int64)
    cdef int64_t i, j, first, last = 0
    out = np.empty((n, which.shape[0]), np.int64)
    cdef int64_t[:, ::1] to = out
    for i in range(n):
        first = last
        while last < of.shape[0] and of[last] == i:
            row[key[last]] += amount[last]
            last += 1
        for j in range(which.shape[0]):
            to[i, j] = row[which[j]]
        for j in range(first, last):
            row[key[j]] = 0
    return out
