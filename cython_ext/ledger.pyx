"""The ledger: who owns what, to the atom.

Every amount is an int64 count of atoms and every change a move from one account to
another, deposits included (they come from the account EXTERNAL, which goes negative),
so the sum over all accounts of each asset is zero at every moment.

Perpetual positions are settled against the account CLEARING: its balance is, for each
quote asset, minus the sum of the cost of all open positions.
"""

cimport cython
from libc.math cimport fabs
from libc.stdlib cimport free
from libc.string cimport memcpy

import numpy as np

from ._machine cimport grown

cdef extern from *:
    """
    #define fw_add(a, b, out) __builtin_add_overflow((a), (b), (out))
    """
    bint add_overflows "fw_add"(int64_t a, int64_t b, int64_t* out) noexcept nogil

EXTERNAL = 0
FEES = 1
INSURANCE = 2
CLEARING = 3
CLAIMS = 4
SYSTEM_ACCOUNTS = 5

cdef enum:
    EXTERNAL_ = 0
    FEES_ = 1
    INSURANCE_ = 2
    CLEARING_ = 3
    SYSTEM_ = 5
    PPM = 1_000_000
    PPB = 1_000_000_000

cdef int64_t ATOMS_MAX = <int64_t>1 << 60    # of one order, deposit or position

BALANCE = np.dtype([
    ("account", "<i8"), ("asset", "<i8"), ("amount", "<i8"), ("hold", "<i8"),
    ("incoming", "<i8"),
])
POSITION = np.dtype([
    ("account", "<i8"), ("market", "<i8"), ("lots", "<i8"), ("cost", "<i8"),
    ("open_buy", "<i8"), ("open_sell", "<i8"),
])


cdef class Gate:
    """Judges orders before they enter a book; this one lets everything pass."""

    cdef int check(self, const Message* message) noexcept nogil:
        return R_OK


@cython.final
cdef class Ledger(Listener):
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
        self.accounts_max = 64
        self.accounts = <Account*>grown(NULL, 0, self.accounts_max * sizeof(Account))
        self.balances_max = 256
        self.balances = <Balance*>grown(NULL, 0, self.balances_max * sizeof(Balance))
        self.positions_max = 256
        self.positions = <Position*>grown(
            NULL, 0, self.positions_max * sizeof(Position))
        self.n_accounts = SYSTEM_

    def __dealloc__(self):
        free(self.terms)
        free(self.accounts)
        free(self.balances)
        free(self.positions)

    # -- SET-UP

    def add_asset(self):
        """Add an asset and return its number."""
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
        if base_unit <= 0 or quote_unit <= 0:
            raise ValueError(
                "'base_unit' and 'quote_unit' must be > 0 "
                f"(got {base_unit}, {quote_unit}).")
        for ppm in (maker_ppm, taker_ppm, liquidation_ppm):
            if not -PPM < ppm < PPM:
                raise ValueError(f"a fee must be within 1,000,000 ppm (got {ppm}).")
        self.terms = <Terms*>grown(self.terms, self.n_markets * sizeof(Terms),
                                   (self.n_markets + 1) * sizeof(Terms))
        self.terms[self.n_markets] = Terms(
            base_unit, quote_unit, maker_ppm, taker_ppm, liquidation_ppm, base, quote,
            perpetual)
        self.n_markets += 1
        return self.n_markets - 1

    def open_accounts(self, int64_t count):
        """Open ``count`` accounts and return the number of the first."""
        cdef int64_t first = self.n_accounts, old = self.accounts_max
        if count < 1 or first + count > 1 << 24:
            raise ValueError(
                f"'count' must be from 1 to {(1 << 24) - first} (got {count}).")
        if first + count > old:
            while self.accounts_max < first + count:
                self.accounts_max *= 2
            self.accounts = <Account*>grown(
                self.accounts, old * sizeof(Account),
                self.accounts_max * sizeof(Account))
        self.n_accounts += count
        return first

    # -- COMMANDS

    def deposit(self, int64_t account, int asset, int64_t atoms):
        """Bring ``atoms`` of an asset into the account from outside."""
        self.transfer(asset, EXTERNAL_, account, atoms)

    def withdraw(self, int64_t account, int asset, int64_t atoms):
        """Take ``atoms`` of an asset out; the account must have them."""
        cdef Balance* balance
        self.known_account(account)
        self.known_asset(asset)
        balance = self.find_balance(account, asset)
        has = 0 if balance == NULL else balance.amount
        if has < atoms:
            raise ValueError(
                f"'atoms' must be at most the balance {has} (got {atoms}).")
        self.transfer(asset, account, EXTERNAL_, atoms)

    def transfer(self, int asset, int64_t source, int64_t target, int64_t atoms):
        """Move ``atoms`` from one account to another; the source may go negative."""
        self.known_asset(asset)
        self.known_account(source)
        self.known_account(target)
        if not 0 <= atoms <= ATOMS_MAX:
            raise OverflowError(f"'atoms' must be from 0 to 2**60 (got {atoms}).")
        cdef int64_t a, b
        if (add_overflows(self.balance_of(source, asset).amount, -atoms, &a)
                or add_overflows(self.balance_of(target, asset).amount, atoms, &b)):
            raise OverflowError(
                f"moving {atoms} atoms of asset {asset} from account {source} to "
                f"{target} leaves the range of int64.")
        self.move(asset, source, target, atoms)

    def open_positions(self, int market, accounts, lots, int64_t price):
        """Open positions at ``price`` ticks among accounts; the lots sum to zero."""
        self.known_market(market)
        if not self.terms[market].perpetual:
            raise ValueError(f"'market' must be a perpetual (got {market}).")
        cdef int64_t[::1] who = np.ascontiguousarray(accounts, np.int64)
        cdef int64_t[::1] how_many = np.ascontiguousarray(lots, np.int64)
        if who.shape[0] != how_many.shape[0]:
            raise ValueError("'accounts' and 'lots' must have the same length.")
        if sum(np.asarray(how_many).tolist()) != 0:
            raise ValueError("'lots' must sum to zero: every long has its short.")
        cdef int64_t i
        for i in range(who.shape[0]):
            self.known_account(who[i])
            self.known_notional(market, how_many[i], price)
        for i in range(who.shape[0]):
            self.trade_position(who[i], market, how_many[i], price)

    def move_position(self, int market, int64_t source, int64_t target, int64_t price):
        """Hand the whole position over to another account at ``price`` ticks."""
        self.known_market(market)
        self.known_account(source)
        self.known_account(target)
        cdef Position* position = self.find_position(source, market)
        if position == NULL or position.lots == 0:
            return
        cdef int64_t lots = position.lots
        self.known_notional(market, lots, price)
        self.trade_position(source, market, -lots, price)
        self.trade_position(target, market, lots, price)

    def pay_funding(self, int market, int64_t price, int64_t rate_ppb):
        """Settle funding: longs pay ``rate_ppb`` billionths of the notional to shorts.

        The notional is at ``price`` ticks. Payers pay the ceiling, receivers get the
        floor; the odd atoms go to FEES. Return quote atoms paid by payers.
        """
        self.known_market(market)
        if not -PPB <= rate_ppb <= PPB:
            raise ValueError(
                f"'rate_ppb' must be within 1,000,000,000 (got {rate_ppb}).")
        cdef Terms* terms = &self.terms[market]
        cdef Position* position
        cdef int128_t due
        cdef int64_t account, atoms, paid = 0
        for account in range(self.n_accounts):
            position = self.find_position(account, market)
            self.known_notional(market, 0 if position == NULL else position.lots, price)
        for account in range(self.n_accounts):
            position = self.find_position(account, market)
            if position == NULL or position.lots == 0:
                continue
            due = <int128_t>position.lots * price * terms.quote_unit * rate_ppb
            # Division rounds toward zero in C: up for the payer, down for the payee.
            atoms = <int64_t>((due + PPB - 1) / PPB if due > 0 else due / PPB)
            self.move(terms.quote, account, FEES_, atoms)
            if atoms > 0:
                paid += atoms
        return paid

    def charge_interest(self, int asset, int64_t rate_ppb, int64_t free_atoms=0):
        """Charge ``rate_ppb`` billionths on what each account borrowed of the asset.

        The first ``free_atoms`` borrowed cost nothing. Interest is rounded up and goes
        to FEES. Return the atoms charged.
        """
        self.known_asset(asset)
        if not 0 <= rate_ppb <= PPB:
            raise ValueError(
                f"'rate_ppb' must be from 0 to 1,000,000,000 (got {rate_ppb}).")
        if free_atoms < 0:
            raise ValueError(f"'free_atoms' must be >= 0 (got {free_atoms}).")
        cdef Balance* balance
        cdef int64_t account, atoms, charged = 0
        for account in range(SYSTEM_, self.n_accounts):
            balance = self.find_balance(account, asset)
            if balance == NULL or balance.amount >= -free_atoms:
                continue
            atoms = <int64_t>(
                (<int128_t>(-balance.amount - free_atoms) * rate_ppb + PPB - 1) / PPB)
            self.move(asset, account, FEES_, atoms)
            charged += atoms
        return charged

    # -- THE LISTENER'S PART

    cdef int check(self, const Message* message) noexcept nogil:
        cdef const Terms* terms
        if message.account >= self.n_accounts:
            return R_UNKNOWN_ACCOUNT
        if message.account < SYSTEM_ and not message.flags & LIQUIDATION:
            return R_UNKNOWN_ACCOUNT
        if message.market >= self.n_markets:
            return R_UNKNOWN_MARKET
        terms = &self.terms[message.market]
        if (<int128_t>message.qty * terms.base_unit > ATOMS_MAX
                or (<int128_t>message.qty * message.price * terms.quote_unit
                    > ATOMS_MAX)):
            return R_OVERFLOW
        # A dormant order is judged by its margin when its trigger is met.
        if self.gate is not None and message.trigger == 0:
            return self.gate.check(message)
        return R_OK

    cdef int64_t position(self, int32_t market, int32_t account) noexcept nogil:
        cdef Position* position
        if account >= self.n_accounts or market >= self.n_markets:
            return 0
        position = self.find_position(account, market)
        return 0 if position == NULL else position.lots

    cdef void rest(self, int32_t market, int32_t account, int side, int64_t price,
                   int64_t qty, int flags) noexcept nogil:
        cdef Terms* terms = &self.terms[market]
        cdef Position* position
        cdef int64_t quote
        if terms.perpetual:
            position = self.position_of(account, market)
            self.add(&position.open_buy if side == BUY else &position.open_sell, qty)
            return
        quote = price * qty * terms.quote_unit
        if side == BUY:
            self.add(&self.balance_of(account, terms.quote).hold, quote)
            self.add(&self.balance_of(account, terms.base).incoming,
                     qty * terms.base_unit)
        else:
            self.add(&self.balance_of(account, terms.base).hold, qty * terms.base_unit)
            self.add(&self.balance_of(account, terms.quote).incoming, quote)

    cdef void fill(self, const Fill* fill) noexcept nogil:
        cdef Terms* terms = &self.terms[fill.market]
        cdef int64_t notional = fill.price * fill.qty * terms.quote_unit
        cdef int64_t buyer = fill.taker, seller = fill.maker
        if fill.taker_side == SELL:
            buyer, seller = seller, buyer
        if terms.perpetual:
            self.trade_position(buyer, fill.market, fill.qty, fill.price)
            self.trade_position(seller, fill.market, -fill.qty, fill.price)
        else:
            self.move(terms.base, seller, buyer, fill.qty * terms.base_unit)
            self.move(terms.quote, buyer, seller, notional)
        self.charge(terms, fill.maker, notional, terms.maker_ppm, FEES_)
        self.charge(terms, fill.taker, notional, terms.taker_ppm, FEES_)
        if fill.flags & LIQUIDATION:
            self.charge(terms, fill.taker, notional, terms.liquidation_ppm, INSURANCE_)

    cdef void charge(self, const Terms* terms, int64_t account, int64_t notional,
                     int64_t ppm, int64_t target) noexcept nogil:
        # A fee is rounded up, a rebate (negative ppm) down.
        cdef int64_t fee
        if ppm == 0:
            return
        fee = <int64_t>((<int128_t>notional * ppm + (PPM - 1 if ppm > 0 else 0)) / PPM)
        self.move(terms.quote, account, target, fee)

    cdef void move(self, int32_t asset, int64_t source, int64_t target,
                   int64_t atoms) noexcept nogil:
        self.add(&self.balance_of(source, asset).amount, -atoms)
        self.add(&self.balance_of(target, asset).amount, atoms)

    cdef void add(self, int64_t* total, int64_t more) noexcept nogil:
        # Orders and deposits are bounded, so this overflows only if their sum is
        # absurd; the exchange asks after each batch and stops.
        if add_overflows(total[0], more, total):
            self.overflowed = True

    cdef void trade_position(self, int64_t account, int32_t market, int64_t lots,
                             int64_t price) noexcept nogil:
        # Buy (or sell, lots < 0) at a price: what closes the position is realised
        # against CLEARING in proportion to its cost, what opens adds to the cost.
        cdef Terms* terms = &self.terms[market]
        cdef Position* position = self.position_of(account, market)
        cdef int64_t closing = 0, share
        if (position.lots > 0 > lots) or (position.lots < 0 < lots):
            closing = lots if abs64(lots) < abs64(position.lots) else -position.lots
            if closing == -position.lots:
                share = position.cost
            else:
                share = <int64_t>(
                    <int128_t>position.cost * abs64(closing) / abs64(position.lots))
            position.lots += closing
            position.cost -= share
            self.move(terms.quote, CLEARING_, account,
                      -closing * price * terms.quote_unit - share)
            position = self.position_of(account, market)
        self.add(&position.lots, lots - closing)
        self.add(&position.cost, (lots - closing) * price * terms.quote_unit)
        # Risk reads unrealised profit beside the quote balance, so there must be one.
        self.balance_of(account, terms.quote)

    # -- ROWS

    cdef Balance* find_balance(self, int64_t account, int32_t asset) noexcept nogil:
        cdef Account* owner = &self.accounts[account]
        cdef int64_t i
        for i in range(owner.balances, owner.balances + owner.n_balances):
            if self.balances[i].asset == asset:
                return &self.balances[i]
        return NULL

    cdef Position* find_position(self, int64_t account, int32_t market) noexcept nogil:
        cdef Account* owner = &self.accounts[account]
        cdef int64_t i
        for i in range(owner.positions, owner.positions + owner.n_positions):
            if self.positions[i].market == market:
                return &self.positions[i]
        return NULL

    cdef Balance* balance_of(self, int64_t account, int32_t asset) noexcept nogil:
        # The row, added if the account has none.  Rows of an account are neighbours;
        # a full block moves to one twice as long at the end.
        cdef Balance* found = self.find_balance(account, asset)
        cdef Account* owner = &self.accounts[account]
        cdef int64_t old = self.balances_max
        cdef int size
        if found != NULL:
            return found
        if owner.n_balances == owner.max_balances:
            size = 2 * owner.max_balances if owner.max_balances else 4
            while self.n_balances + size > self.balances_max:
                self.balances_max *= 2
            if self.balances_max != old:
                self.balances = <Balance*>grown(
                    self.balances, old * sizeof(Balance),
                    self.balances_max * sizeof(Balance))
            memcpy(&self.balances[self.n_balances], &self.balances[owner.balances],
                   owner.n_balances * sizeof(Balance))
            owner.balances = <uint32_t>self.n_balances
            owner.max_balances = <uint16_t>size
            self.n_balances += size
        found = &self.balances[owner.balances + owner.n_balances]
        found[0] = Balance(0, 0, 0, asset, 0)
        owner.n_balances += 1
        return found

    cdef Position* position_of(self, int64_t account, int32_t market) noexcept nogil:
        cdef Position* found = self.find_position(account, market)
        cdef Account* owner = &self.accounts[account]
        cdef int64_t old = self.positions_max
        cdef int size
        if found != NULL:
            return found
        if owner.n_positions == owner.max_positions:
            size = 2 * owner.max_positions if owner.max_positions else 2
            while self.n_positions + size > self.positions_max:
                self.positions_max *= 2
            if self.positions_max != old:
                self.positions = <Position*>grown(
                    self.positions, old * sizeof(Position),
                    self.positions_max * sizeof(Position))
            memcpy(&self.positions[self.n_positions], &self.positions[owner.positions],
                   owner.n_positions * sizeof(Position))
            owner.positions = <uint32_t>self.n_positions
            owner.max_positions = <uint16_t>size
            self.n_positions += size
        found = &self.positions[owner.positions + owner.n_positions]
        found[0] = Position(0, 0, 0, 0, market, 0)
        owner.n_positions += 1
        return found

    # -- QUERIES

    def balance(self, int64_t account, int asset):
        """Return what the account has of an asset, in atoms; negative is borrowed."""
        self.known_account(account)
        self.known_asset(asset)
        cdef Balance* balance = self.find_balance(account, asset)
        return 0 if balance == NULL else balance.amount

    def open_position(self, int64_t account, int market):
        """Return (lots, cost in quote atoms) of the account's position."""
        self.known_account(account)
        self.known_market(market)
        cdef Position* position = self.find_position(account, market)
        if position == NULL:
            return 0, 0
        return position.lots, position.cost

    def balances_of(self, int64_t account):
        """Return the account's balances (dtype BALANCE)."""
        self.known_account(account)
        cdef Account* owner = &self.accounts[account]
        cdef Balance* row
        rows = []
        for i in range(owner.n_balances):
            row = &self.balances[owner.balances + <int64_t>i]
            rows.append((account, row.asset, row.amount, row.hold, row.incoming))
        return np.array(rows, BALANCE)

    def positions_of(self, int64_t account):
        """Return the account's positions (dtype POSITION), closed ones left out."""
        self.known_account(account)
        cdef Account* owner = &self.accounts[account]
        cdef Position* row
        rows = []
        for i in range(owner.n_positions):
            row = &self.positions[owner.positions + <int64_t>i]
            if row.lots or row.open_buy or row.open_sell:
                rows.append((account, row.market, row.lots, row.cost, row.open_buy,
                             row.open_sell))
        return np.array(rows, POSITION)

    def amounts(self, int asset):
        """Return the asset's balance of every account, int64 (accounts,), atoms."""
        self.known_asset(asset)
        out = np.zeros(self.n_accounts, np.int64)
        cdef int64_t[::1] rows = out
        cdef Balance* balance
        cdef int64_t account
        for account in range(self.n_accounts):
            balance = self.find_balance(account, asset)
            if balance != NULL:
                rows[account] = balance.amount
        return out

    def lots(self, int market):
        """Return the position of every account in a market, int64 (accounts,), lots."""
        self.known_market(market)
        out = np.zeros(self.n_accounts, np.int64)
        cdef int64_t[::1] rows = out
        cdef Position* position
        cdef int64_t account
        for account in range(self.n_accounts):
            position = self.find_position(account, market)
            if position != NULL:
                rows[account] = position.lots
        return out

    def totals(self):
        """Return the sum of all accounts for each asset: zeros, or the books are wrong.

        O(accounts). Sums wrap like int64, which cannot turn a wrong total into zero.
        """
        out = np.zeros(self.n_assets, np.int64)
        cdef int64_t[::1] sums = out
        cdef int64_t account, i
        cdef Account* owner
        for account in range(self.n_accounts):
            owner = &self.accounts[account]
            for i in range(owner.balances, owner.balances + owner.n_balances):
                sums[self.balances[i].asset] += self.balances[i].amount
        return out

    def _check(self):
        """Assert every invariant. O(accounts and positions)."""
        cdef int64_t account, i
        cdef Account* owner
        cdef Position* position
        lots = [0] * self.n_markets
        cost = [0] * self.n_assets
        # Nothing is made or lost: each asset sums to zero over all accounts.
        assert not self.totals().any()
        assert not self.overflowed
        for account in range(self.n_accounts):
            owner = &self.accounts[account]
            for i in range(owner.balances, owner.balances + owner.n_balances):
                # Holds are claims of resting orders: never negative.
                assert self.balances[i].hold >= 0
                assert self.balances[i].incoming >= 0
            for i in range(owner.positions, owner.positions + owner.n_positions):
                position = &self.positions[i]
                assert position.open_buy >= 0
                assert position.open_sell >= 0
                # No lots, no cost.
                assert position.lots or position.cost == 0
                lots[position.market] += position.lots
                cost[self.terms[position.market].quote] += position.cost
        # Every long has its short, and CLEARING owes what positions cost.
        assert not any(lots)
        for asset in range(self.n_assets):
            assert self.balance(CLEARING_, asset) == -cost[asset]

    cdef int known_account(self, int64_t account) except -1:
        if not 0 <= account < self.n_accounts:
            raise IndexError(
                f"'account' must be from 0 to {self.n_accounts - 1} (got {account}).")
        return 0

    cdef int known_asset(self, int asset) except -1:
        if not 0 <= asset < self.n_assets:
            raise IndexError(
                f"'asset' must be from 0 to {self.n_assets - 1} (got {asset}).")
        return 0

    cdef int known_notional(self, int market, int64_t lots, int64_t price) except -1:
        # A price, and a size at it, that the arithmetic here is exact for.
        if price <= 0:
            raise ValueError(f"'price' must be > 0 (got {price}).")
        if fabs(<double>lots * price * self.terms[market].quote_unit) > ATOMS_MAX:
            raise OverflowError(
                f"{lots} lots at {price} ticks in market {market} are worth more than "
                f"2**60 atoms.")
        return 0

    cdef int known_market(self, int market) except -1:
        if not 0 <= market < self.n_markets:
            raise IndexError(
                f"'market' must be from 0 to {self.n_markets - 1} (got {market}).")
        return 0


cdef inline int64_t abs64(int64_t x) noexcept nogil:
    return -x if x < 0 else x
