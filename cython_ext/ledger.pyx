"""The ledger: who owns what, to the atom.

Every amount is an int64 count of atoms and every change a move from one account to
another, deposits included (they come from the account EXTERNAL, which goes negative),
so the sum over all accounts of each asset is zero at every moment.

Perpetual positions are settled against the account CLEARING: its balance is, for each
quote asset, minus the sum of the cost of all open positions. An account in hedge mode
keeps the long and the short leg of a market apart: an order opens its own side's leg,
or with REDUCE_ONLY closes the other.
"""

cimport cython

import numpy as np

from cpython.ref cimport Py_INCREF

from ._machine cimport grown

from . import _holdings

EXTERNAL = 0
FEES = 1
INSURANCE = 2
CLEARING = 3
CLAIMS = 4
SYSTEM_ACCOUNTS = 5
BALANCE, POSITION, RESTING = (
    _holdings.BALANCE, _holdings.POSITION, _holdings.RESTING)

cdef enum:
    PPM = 1_000_000
    PPB = 1_000_000_000
    NUMBERS = 1 << 16            # of assets or markets: a row holds 16 bits


@cython.final
cdef class Ledger(Holdings):
    """Balances, positions, holds and fees of all accounts.

    It listens to the books: each fill is settled before the next is matched. The
    accounts EXTERNAL, FEES, INSURANCE, CLEARING and CLAIMS exist from the start.

    >>> ledger = Ledger()
    >>> usdt = ledger.add_asset()
    >>> alice = ledger.open_accounts(1)
    >>> ledger.deposit(alice, usdt, 500)
    >>> ledger.balance(alice, usdt), ledger.totals().tolist()
    (500, [0])
    """

    def __cinit__(self):
        self.add_accounts(SYSTEM_)

    def __reduce_ex__(self, protocol):
        cdef State state = State()
        self.visit(state)
        return Ledger, (), state.told(protocol)

    def __setstate__(self, told):
        cdef State state = State.of(told)
        try:
            self.visit(state)
            state.finish()
        except BaseException:
            # Half of it is read: nothing of that may ever be freed.
            Py_INCREF(self)
            raise

    # -- SET-UP

    def add_asset(self):
        """Add an asset and return its number."""
        if self.n_assets + 1 == NUMBERS:
            raise OverflowError(f"a ledger has at most {NUMBERS - 1} assets.")
        self.by_asset = <Holders*>grown(
            self.by_asset, self.n_assets * sizeof(Holders),
            (self.n_assets + 1) * sizeof(Holders))
        self.n_assets += 1
        return self.n_assets - 1

    def add_market(self, int base, int quote, bint perpetual, int64_t base_unit,
                   int64_t quote_unit, int64_t maker_ppm=0, int64_t taker_ppm=0,
                   int64_t liquidation_ppm=0):
        """Add a market, in the order of the books, and return its number.

        ``base_unit`` is base atoms a lot, ``quote_unit`` quote atoms a tick times a
        lot; fees are parts per million of the notional, paid in the quote asset.
        """
        self.known_asset(base)
        self.known_asset(quote)
        if self.n_markets + 1 == NUMBERS:
            raise OverflowError(f"a ledger has at most {NUMBERS - 1} markets.")
        if base_unit <= 0 or quote_unit <= 0:
            raise ValueError(
                "'base_unit' and 'quote_unit' must be > 0 "
                f"(got {base_unit}, {quote_unit}).")
        for ppm in (maker_ppm, taker_ppm, liquidation_ppm):
            if not -PPM < ppm < PPM:
                raise ValueError(f"a fee must be within 1,000,000 ppm (got {ppm}).")
        self.terms = <Terms*>stretched(
            self.terms, (self.n_markets + 1) * sizeof(Terms))
        self.by_market = <Holders*>grown(
            self.by_market, self.n_markets * sizeof(Holders),
            (self.n_markets + 1) * sizeof(Holders))
        self.terms[self.n_markets] = Terms(
            base_unit, quote_unit, maker_ppm, taker_ppm, liquidation_ppm, base, quote,
            perpetual)
        self.n_markets += 1
        return self.n_markets - 1

    def open_accounts(self, int64_t count):
        """Open ``count`` accounts and return the number of the first."""
        cdef int64_t first = self.n_accounts
        if count < 1 or first + count > 1 << 24:
            raise ValueError(
                f"'count' must be from 1 to {(1 << 24) - first} (got {count}).")
        self.add_accounts(count)
        return first

    def set_hedge(self, int64_t account, bint on):
        """Keep longs and shorts of each market apart, or net them again.

        ValueError unless the account has no position and no order for a perpetual.
        """
        self.known_account(account)
        for row in self.positions_of(account):
            raise ValueError(
                f"account {account} must be flat to change the mode "
                f"(has {row['lots']} lots or open orders in market {row['market']}).")
        self.touch(account)
        cdef uint8_t others = self.accounts[account].flags & <uint8_t>~(
            HEDGE | FOLLOWED)
        self.accounts[account].flags = others | (HEDGE if on else 0)

    def set_leverage(self, int64_t account, int market, int leverage):
        """Choose the leverage of a market, from 1; 0 is the venue's highest."""
        self.known_account(account)
        self.known_perpetual(market)
        if not 0 <= leverage < NUMBERS:
            raise ValueError(
                f"'leverage' must be from 0 to {NUMBERS - 1} (got {leverage}).")
        cdef Account* owner = &self.accounts[account]
        cdef Position* rows
        cdef int i
        self.position_row(account, market, LONG if owner.flags & HEDGE else NET,
                          self.terms[market].quote)
        rows = self.positions(owner)
        for i in range(owner.n_positions):
            if rows[i].market == market:
                rows[i].leverage = <uint16_t>leverage
                self.follow(POSITIONS, account, i)
        self.touch(account)

    def pack(self):
        """Lay all rows in the order of accounts without slack. O(balances + positions).

        Worth it after accounts were made in bulk: it is done by itself when half of
        the memory is slack.
        """
        self.tighten()

    # -- COMMANDS

    def deposit(self, int64_t account, int asset, int64_t atoms):
        """Bring ``atoms`` of an asset into the account from outside."""
        self.transfer(asset, EXTERNAL_, account, atoms)

    def deposit_many(self, int asset, accounts, atoms):
        """Bring ``atoms[i]`` of an asset into ``accounts[i]`` from outside, for all i.

        All of them or, if one is refused, none. O(deposits).
        """
        self.transfer_many(asset, EXTERNAL_, accounts, atoms)

    def withdraw(self, int64_t account, int asset, int64_t atoms):
        """Take ``atoms`` of an asset out; the account must have them."""
        has = self.balance(account, asset)
        if has < atoms:
            raise ValueError(
                f"'atoms' must be at most the balance {has} (got {atoms}).")
        self.transfer(asset, account, EXTERNAL_, atoms)

    def transfer(self, int asset, int64_t source, int64_t target, int64_t atoms):
        """Move ``atoms`` from one account to another; the source may go negative."""
        self.known_asset(asset)
        self.known_account(source)
        self.known_account(target)
        self.known_atoms(atoms)
        if not self.moves(asset, source, target, atoms):
            self.refuse_move(asset, source, target, atoms)

    def transfer_many(self, int asset, sources, targets, atoms):
        """Move ``atoms[i]`` from ``sources[i]`` to ``targets[i]``, for all i.

        One number stands for the same account throughout. All of them or, if one is
        refused, none. O(transfers).
        """
        self.known_asset(asset)
        much = np.ascontiguousarray(atoms, np.int64)
        self.move_many(asset, each(sources, len(much)), each(targets, len(much)), much)

    def open_positions(self, int market, accounts, lots, int64_t price):
        """Open positions at ``price`` ticks among accounts; the lots sum to zero.

        O(positions).
        """
        self.known_perpetual(market)
        cdef const int64_t[::1] how_many = np.ascontiguousarray(lots, np.int64)
        cdef const int64_t[::1] who = each(accounts, how_many.shape[0])
        cdef int64_t i
        cdef int128_t total = 0
        for i in range(who.shape[0]):
            total += how_many[i]
        if total != 0:
            raise ValueError("'lots' must sum to zero: every long has its short.")
        for i in range(who.shape[0]):
            self.known_account(who[i])
            self.known_notional(market, how_many[i], price)
        with nogil:
            for i in range(who.shape[0]):
                self.trade_position(who[i], market, leg_of(
                    &self.accounts[who[i]], BUY if how_many[i] >= 0 else SELL, 0),
                    how_many[i], price)

    def trade_between(self, int market, int64_t source, int64_t target, int64_t lots,
                      int64_t price):
        """Hand ``lots`` of a position over to another account at ``price`` ticks.

        ``lots`` has the sign of the position and is at most as large: it closes there,
        and in the target closes what is opposite, then opens.
        """
        self.known_perpetual(market)
        self.known_account(source)
        self.known_account(target)
        cdef int leg = leg_of(
            &self.accounts[source], BUY if lots >= 0 else SELL, 0)
        cdef int64_t has = self.lots_of(source, market, leg)
        if not (0 <= lots <= has or has <= lots <= 0):
            raise ValueError(
                f"'lots' must be from 0 to the position {has} (got {lots}).")
        self.known_notional(market, lots, price)
        self.trade_position(source, market, leg, -lots, price)
        self.take(target, market, lots, price)

    def pay_funding(self, int market, int64_t price, int64_t rate_ppb):
        """Settle funding: longs pay ``rate_ppb`` billionths of the notional to shorts.

        The notional is at ``price`` ticks. Payers pay the ceiling, receivers get the
        floor; the odd atoms go to FEES. Return quote atoms paid by payers. O(holders).
        """
        self.known_market(market)
        if not -PPB <= rate_ppb <= PPB:
            raise ValueError(
                f"'rate_ppb' must be within 1,000,000,000 (got {rate_ppb}).")
        cdef Terms* terms = &self.terms[market]
        cdef const Holders* holders = &self.by_market[market]
        cdef const Account* owner
        cdef int128_t due
        cdef int64_t account, lots, i, atoms, paid = 0
        cdef int j
        self.known_notional(market, 0, price)
        for i in range(holders.n):
            for j in range(SHORT + 1):
                self.known_notional(
                    market, self.lots_of(holders.accounts[i], market, j), price)
        for i in range(holders.n):
            account = holders.accounts[i]
            owner = &self.accounts[account]
            for j in range(owner.n_positions):
                lots = self.positions(owner)[j].lots
                if self.positions(owner)[j].market != market or lots == 0:
                    continue
                due = <int128_t>lots * price * terms.quote_unit * rate_ppb
                # C rounds toward zero: up for the payer, down for the payee.
                atoms = <int64_t>((due + PPB - 1) / PPB if due > 0 else due / PPB)
                self.move(terms.quote, account, FEES_, atoms)
                if atoms > 0:
                    paid += atoms
        return paid

    def charge_interest(self, int asset, int64_t rate_ppb, int64_t free_atoms=0):
        """Charge ``rate_ppb`` billionths on what each account borrowed of the asset.

        The first ``free_atoms`` borrowed cost nothing. Interest is rounded up and goes
        to FEES. Return the atoms charged. O(holders).
        """
        self.known_asset(asset)
        if not 0 <= rate_ppb <= PPB:
            raise ValueError(
                f"'rate_ppb' must be from 0 to 1,000,000,000 (got {rate_ppb}).")
        if free_atoms < 0:
            raise ValueError(f"'free_atoms' must be >= 0 (got {free_atoms}).")
        cdef int64_t account, amount, atoms, i, charged = 0
        # FEES may get its row, and so become a holder, on the way.
        for i in range(self.by_asset[asset].n):
            account = self.by_asset[asset].accounts[i]
            amount = self.balances(&self.accounts[account])[
                self.find_balance(account, asset)].amount
            if account < SYSTEM_ or amount >= -free_atoms:
                continue
            atoms = <int64_t>(
                (<int128_t>(-amount - free_atoms) * rate_ppb + PPB - 1) / PPB)
            self.move(asset, account, FEES_, atoms)
            charged += atoms
        return charged

    # -- CHECKS

    def _check(self):
        """Assert every invariant. O(balances, positions and holders)."""
        cdef int64_t account
        # Nothing is made or lost: each asset sums to zero over all accounts.
        assert not self.totals().any()
        assert not self.overflowed
        lots = [0] * self.n_markets
        cost = [0] * self.n_assets
        for account in range(self.n_accounts):
            self.check_account(account, lots, cost)
        # Every long has its short, and CLEARING owes what positions cost.
        assert not any(lots)
        for asset in range(self.n_assets):
            assert self.balance(CLEARING_, asset) == -cost[asset]
        self.check_index()


cdef object each(accounts, int64_t n):
    # An account for each of n amounts.
    who = np.asarray(accounts, np.int64)
    if who.ndim == 0:
        return np.full(n, who)
    if len(who) != n:
        raise ValueError(
            f"accounts and amounts must have the same length (got {len(who)} and {n}).")
    return np.ascontiguousarray(who)
