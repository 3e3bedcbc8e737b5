"""Accounts of a venue in the units of people: opening, money in and out, views."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cython_ext.ledger import EXTERNAL
from ..margin.markets import Number, atoms
from .arguments import expect
from .desk import Desk
from .orders import AccountView, OrderError
from .venue import Venue

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

UNITS_MAX = 2**60
"""Most atoms or lots that one entry of an array may be."""

TOTAL_MAX = 2**62
"""Most atoms of an asset that arrays may bring in."""

LEVERAGE_MAX = 1_000
"""Highest leverage that an account may choose."""


class Accounts(Venue):
    """A venue that opens accounts, moves money, and shows what accounts are worth.

    A sub-account is an account like any other, margined and liquidated by itself, whose
    owner may move money to and from it. A market in isolated margin is a sub-account
    that gets the orders of its parent in that market.
    """

    # -- OPENING

    def open_account(
        self,
        deposits: Mapping[str, Number] | None = None,
        *,
        parent: int | None = None,
    ) -> int:
        """Open an account, deposit into it, and return its number.

        With ``parent`` it is a sub-account of that one.
        """
        if parent is not None:
            self._known(parent, user=True)
        given = {} if deposits is None else deposits
        expect("deposits", given, Mapping, "amounts by asset, as in {'USDT': 1_000}")
        wanted = [
            (self.units.asset(asset), self._atoms(amount, asset, "deposit"))
            for asset, amount in given.items()
        ]
        account = self.ledger.open_accounts(1)
        if parent is not None:
            self.family.add(account, parent)
        for number, amount in wanted:
            self.ledger.deposit(account, number, amount)
        return account

    def open_accounts(
        self,
        deposits: Mapping[str, ArrayLike],
        positions: Mapping[str, ArrayLike] | None = None,
        *,
        counterparty: int | None = None,
    ) -> Integers:
        """Open as many accounts as the arrays are long and return their numbers.

        ``deposits`` are amounts by asset; ``positions`` base units by perpetual, short
        below 0, opened at mark. Both are rounded to whole atoms and lots. Longs and
        shorts of a market have to match, unless ``counterparty`` takes the rest.
        O(accounts).
        """
        for what, table in (("deposits", deposits), ("positions", positions or {})):
            expect(what, table, Mapping, "arrays by name")
        given = [(name, _column(name, values)) for name, values in deposits.items()]
        held = [
            (name, _column(name, values)) for name, values in (positions or {}).items()
        ]
        counts = {len(column) for _, column in given + held}
        if len(counts) != 1 or counts == {0}:
            lengths = ", ".join(f"{name} {len(c)}" for name, c in given + held)
            raise OrderError(
                "'deposits' and 'positions' must be arrays of one length, at least 1 "
                f"(got {lengths or 'none'})"
            )
        coins = []
        for name, column in given:
            number = self.units.asset(name)
            unit = float(self.atom[number])
            amounts = _whole(name, column, unit, 0)
            total = float(amounts.sum(dtype=np.float64))
            if total - self.ledger.balance(EXTERNAL, number) > TOTAL_MAX:
                raise OrderError(
                    f"{name}: all deposits together must be at most "
                    f"{TOTAL_MAX * unit:g} (got {total * unit:g} more)"
                )
            coins.append((number, amounts))
        lots = [self._opened(name, column, counterparty) for name, column in held]
        (count,) = counts
        first = self.ledger.open_accounts(count)
        accounts = np.arange(first, first + count)
        for number, amounts in coins:
            self.ledger.deposit_many(number, accounts, amounts)
        for market, ticks, sizes in lots:
            rest = -int(sizes.sum())
            who, how = accounts, sizes
            if counterparty is not None:
                who, how = np.append(who, counterparty), np.append(how, rest)
            self.ledger.open_positions(market, who, how, ticks)
        self.ledger.pack()
        return accounts

    def _opened(
        self, name: str, qty: Floats, counterparty: int | None
    ) -> tuple[int, int, Integers]:
        # Number of the market, ticks to open at, and lots.
        market = self.units.market(name)
        if not self.perpetual[market]:
            raise OrderError(f"{name}: a position needs a perpetual; name one in :PERP")
        mark = float(self.mark[market])
        if not mark > 0:
            raise OrderError(
                f"{name}: has no mark to open at yet; reprice its base first"
            )
        sizes = _whole(name, qty, self.lot[market], -UNITS_MAX)
        ticks = max(1, round(mark / float(self.tick[market])))
        rest = sum(sizes.tolist())
        if counterparty is not None:
            self._known(counterparty, user=True)
        elif rest:
            raise OrderError(
                f"{name}: longs and shorts must match (got {rest * self.lot[market]:g} "
                "too many long); name a 'counterparty' that takes the rest"
            )
        most = UNITS_MAX // (ticks * self.specs[market].quote_unit)
        what = (
            "is more than 64 bits hold in atoms of its quote, which is "
            f"{most * self.lot[market]:g}"
        )
        largest = int(np.abs(sizes).max(initial=0))
        if largest > most:
            text = f"a position of {largest * self.lot[market]:g} {what}"
            raise OrderError(f"{name}: {text}; make it smaller")
        if abs(rest) > most:
            text = f"the counterparty's {abs(rest) * self.lot[market]:g} {what}"
            remedy = "let longs and shorts match better, or open the accounts in parts"
            raise OrderError(f"{name}: {text}; {remedy}, each with a counterparty")
        return market, ticks, sizes

    # -- MONEY

    def deposit(self, account: int, asset: str, amount: Number) -> None:
        """Bring an amount of an asset into an account from outside."""
        number = self.units.asset(asset)
        self._known(account)
        self.ledger.deposit(account, number, self._atoms(amount, asset, "deposit"))

    def withdraw(self, account: int, asset: str, amount: Number) -> None:
        """Take an amount out, as far as the rules let the account.

        OrderError if the account has less, or if adjusted equity would not cover the
        multiple of its margin that the rules want to stay.
        """
        number = self.units.asset(asset)
        self._known(account)
        wanted = self._atoms(amount, asset, "withdrawal")
        self._has(account, number, wanted, f"withdrawal of {asset}", amount)
        self.ledger.withdraw(account, number, wanted)
        lacks = self._lacks(account)
        if lacks:
            self.ledger.deposit(account, number, wanted)
            raise OrderError(f"withdrawal of {asset}: {lacks}")

    def transfer(self, source: int, target: int, asset: str, amount: Number) -> None:
        """Move an amount between accounts of one owner.

        What has to stay in the source is as in `withdraw`.
        """
        number = self.units.asset(asset)
        self._known(source, user=True)
        self._known(target, user=True)
        if self.family.owner(source) != self.family.owner(target) or source == target:
            raise OrderError(
                f"transfer of {asset}: accounts must be two of one owner (got {source} "
                f"and {target}); open one as a sub-account, or withdraw and deposit"
            )
        wanted = self._atoms(amount, asset, "transfer")
        self._has(source, number, wanted, f"transfer of {asset}", amount)
        self.ledger.transfer(number, source, target, wanted)
        lacks = self._lacks(source)
        if lacks:
            self.ledger.transfer(number, target, source, wanted)
            raise OrderError(f"transfer of {asset}: {lacks}")

    def _atoms(self, amount: Number, asset: str, what: str) -> int:
        self.units.asset(asset)
        return atoms(amount, self.decimals[asset], f"{what} of {asset}")

    def _has(
        self, account: int, asset: int, wanted: int, what: str, amount: Number
    ) -> None:
        has = self.ledger.balance(account, asset)
        if wanted > has:
            raise OrderError(
                f"{what}: must be at most the balance {has * self.atom[asset]:g} "
                f"(got {amount})"
            )

    def _lacks(self, account: int) -> str:
        # What keeps an account from giving up what it no longer has; "" for nothing.
        if account in self.liquidator.cases:
            return f"account {account} is in liquidation"
        rule = self.rules.account
        equity, margin = self.risk.worst_case(
            account, rule.withdraw_multiple, rule.withdraw_on == "initial"
        )
        if equity == -np.inf:
            return "would leave less of a coin than its orders pay"
        floor = rule.withdraw_multiple * margin
        if equity < floor:
            return (
                f"would leave adjusted equity of {equity:,.2f} USD, and {floor:,.2f} "
                "must stay"
            )
        return ""

    # -- SUB-ACCOUNTS

    def isolate(self, account: int, market: str, margin: Number) -> int:
        """Margin an account's trades in a market by themselves from now on.

        Orders for the market go to a sub-account, whose number is returned, and which
        gets ``margin`` of the quote asset, as far as it may be withdrawn. What is lost
        there never reaches the parent. `transfer` adds margin or takes it back. It is
        in hedge mode if the parent is.
        """
        number = self.units.market(market)
        self._known(account, user=True)
        if number in self.family.isolated(account):
            raise OrderError(f"account {account} has {market} isolated already")
        if self.family.isolates(account):
            raise OrderError(
                f"account {account} is the isolated margin of one market; isolate "
                f"{market} in account {self.family.owner(account)}"
            )
        self._idle(account, number)
        asset = self.specs[number].quote
        self.withdraw(account, asset, margin)
        sub = self.open_account({asset: margin}, parent=account)
        self.ledger.set_hedge(sub, self.ledger.hedged(account))
        self.family.isolate(account, number, sub)
        return sub

    def cross(self, account: int, market: str) -> None:
        """End the isolated margin of a market; what is left goes to the account.

        OrderError while the sub-account has a position or orders, waiting ones too, in
        any market, or owes something.
        """
        number = self.units.market(market)
        self._known(account, user=True)
        sub = self.family.isolated(account).get(number)
        if sub is None:
            raise OrderError(f"account {account} has {market} not isolated")
        # Orders sent by its own number may be in any market.
        self._idle(sub)
        rows = self.ledger.balances_of(sub)
        if (rows["amount"] < 0).any() or sub in self.liquidator.cases:
            raise OrderError(f"account {sub} owes something; repay it first")
        for row in rows:
            self.ledger.transfer(int(row["asset"]), sub, account, int(row["amount"]))
        self.family.merge(account, number)

    # -- MODES

    def set_hedge(self, account: int, on: bool) -> None:
        """Keep an account's longs and shorts of each market apart, or net them again.

        In hedge mode an order opens the position of its own side, and one that only
        reduces closes the other. Markets in isolated margin are in the mode of their
        account. OrderError unless the account is flat, in those markets too.
        """
        self._known(account, user=True)
        expect("on", on, (bool, np.bool_), "True or False")
        if self.family.isolates(account):
            raise OrderError(
                f"account {account} is the isolated margin of one market; set the mode "
                f"of account {self.family.owner(account)}"
            )
        own = [account, *self.family.isolated(account).values()]
        for one in own:
            held = self.ledger.positions_of(one)
            if len(held):
                name = self.markets[int(held["market"][0])]
                raise OrderError(
                    f"account {one} has a position or orders in {name}; close them "
                    "first"
                )
        for one in own:
            self.ledger.set_hedge(one, bool(on))

    def set_leverage(self, account: int, market: str, leverage: int | None) -> None:
        """Choose an account's leverage in a perpetual; None is the venue's highest.

        A lower one takes more initial margin, and maintenance margin stays what it is.
        """
        number = self.units.market(market)
        self._known(account, user=True)
        if not self.perpetual[number]:
            raise OrderError(
                f"{market} is not a perpetual; spot has no leverage to set"
            )
        whole = isinstance(leverage, int | np.integer) and not isinstance(
            leverage, bool
        )
        if leverage is not None and not (whole and 1 <= leverage <= LEVERAGE_MAX):
            raise OrderError(
                f"'leverage' must be a whole number from 1 to {LEVERAGE_MAX}, or None "
                f"(got {leverage!r})"
            )
        trader = self.family.margined_in(account, number)
        self.ledger.set_leverage(trader, number, int(leverage or 0))

    def _idle(self, account: int, market: int | None = None) -> None:
        # In a market, or in all of them; an order that waits is one as well.
        held = self.ledger.positions_of(account)["market"]
        orders = self.books.account_orders(account)["market"]
        found = [int(n) for n in (*held, *orders) if market is None or n == market]
        if found:
            raise OrderError(
                f"account {account} has a position or orders in "
                f"{self.markets[found[0]]}; close them first"
            )

    # -- VIEWS

    def account(self, account: int) -> AccountView:
        """Value one account at the current prices."""
        self._known(account)
        value = self.risk.account(account)
        balances = {
            self.assets[row["asset"]]: float(row["amount"] * self.atom[row["asset"]])
            for row in self.ledger.balances_of(account)
        }
        positions: dict[str, float] = {}
        legs: dict[str, tuple[float, float]] = {}
        for row in self.ledger.positions_of(account):
            name, qty = (
                self.markets[row["market"]],
                row["lots"] * self.lot[row["market"]],
            )
            if row["lots"]:
                positions[name] = positions.get(name, 0.0) + float(qty)
            if row["leg"]:
                long, short = legs.get(name, (0.0, 0.0))
                legs[name] = float(long + max(qty, 0)), float(short + min(qty, 0))
        equity, exposure = value["equity"], value["exposure"]
        leverage = exposure / equity if equity > 0 else (np.inf if exposure else 0.0)
        adjusted, maintenance = value["adjusted"], value["maintenance"]
        shown = self.rules.ratio(adjusted, maintenance, exposure)
        return AccountView(
            id=account,
            equity=equity,
            adjusted=adjusted,
            maintenance=maintenance,
            initial=value["initial"],
            health=value["health"],
            ratio=self.rules.ratio.text(shown),
            leverage=float(leverage),
            balances=balances,
            positions=positions,
            legs=legs,
            isolated={
                self.markets[market]: sub
                for market, sub in self.family.isolated(account).items()
            },
        )

    @property
    def desk(self) -> Desk:
        """The risk desk: liquidation prices and maps, concentration, what-ifs."""
        return Desk(self)


def _column(name: str, values: ArrayLike) -> Floats:
    try:
        column = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        column = np.array(np.nan)
    if column.ndim != 1 or not np.isfinite(column).all():
        raise OrderError(f"{name}: must be an array of finite numbers, one row")
    return column


def _whole(name: str, values: Floats, unit: float, least: int) -> Integers:
    counts = np.rint(values / unit)
    wrong = np.flatnonzero((counts < least) | (counts > UNITS_MAX))
    if len(wrong):
        i = int(wrong[0])
        raise OrderError(
            f"{name}[{i}]: must be from {least * unit:g} to {UNITS_MAX * unit:g} "
            f"(got {values[i]:g})"
        )
    return counts.astype(np.int64)
