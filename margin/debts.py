"""What accounts owe that have nothing left: who takes their coins, and who pays.

The insurance fund pays as far as it can; what is left is a claim on the user or a loss
of all.
"""

from collections.abc import Iterator, Sequence
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.coins import take
from ..cython_ext.ledger import CLAIMS, INSURANCE, SYSTEM_ACCOUNTS
from .cases import Case, Venue
from .forced import Forced
from .fund import SHARED, Fund
from .holdings import LEGS, Flags
from .rules import Rules
from .shares import spread

Integers = NDArray[np.int64]


class Owing(NamedTuple):
    """What an account owes of an asset, atoms, and the event that it is blamed on."""

    account: int
    owed: int
    cause: int


class Debts:
    """What becomes of coins and debts of an account that has nothing else."""

    def __init__(
        self, venue: Venue, rules: Rules, forced: Forced, fund: Fund, cycles_max: int
    ) -> None:
        self.venue = venue
        self.rules = rules
        self.forced = forced
        self.fund = fund
        self.cases = forced.cases
        self.cycles_max = cycles_max

    # -- WHO

    def _lost(self, rows: Integers) -> tuple[Flags, Flags]:
        """Whose positions may be past selling, and who owes and has no positions.

        The latter only where nothing was left to sell.
        """
        found = self.cases.rows[rows]
        has, owes = self.forced.left(found["account"])
        late = found["cycle"] >= self.cycles_max
        losing = late | (self.rules.thresholds.takeover is not None)
        losing |= self.venue.risk.at(accounts=found["account"])["equity"] <= 0.0
        return has & losing, ~has & owes & (found["sold_out"] | late)

    def _known(self, rows: Integers) -> list[Case]:
        # Cases that are gone through one by one.
        self.forced.load(self.cases.accounts(rows).tolist())
        return self.cases.each(rows)

    # -- COINS

    def _bare(self, case: Case, now: int) -> bool:
        """Whether the account has nothing left, so that others pay what it owes.

        Nothing to sell or close, or no book that takes it. What coins it has then pay
        first: nobody pays for an account that keeps something of worth.
        """
        if self.forced.positions(case.account):
            return False
        if not case.sold_out and case.cycle < self.cycles_max:
            return False
        if all(coin.atoms <= 0 for coin in self.forced.coins(case.account)):
            return True
        for asset in self.forced.debts(case.account):
            # The fund pays for coins as far as it can; the rest the venue itself has to
            # carry, coins and debt.
            fund = self.fund.can_bear(asset, SHARED)
            self._take_coins(case.account, asset, INSURANCE, fund, case.breach, now)
            self._take_coins(case.account, asset, CLAIMS, None, case.breach, now)
        return True

    def _take_coins(
        self,
        account: int,
        debt: int,
        payer: int,
        most: int | None,
        cause: int,
        now: int,
    ) -> None:
        # No book took them: at index, for no more than is owed or the payer has.
        unit, owed = self.forced.worth(debt), -self.venue.ledger.balance(account, debt)
        for coin, has, _ in self.forced.coins(account):
            if owed <= 0 or most == 0:
                return
            worth = self.forced.worth(coin)
            if has <= 0 or coin == debt or not worth * unit:
                continue
            paid = min(owed, floor(has * worth / unit))
            if most is not None:
                paid = min(paid, most)
                most -= paid
            if paid == 0:
                continue
            owed -= paid
            coins = min(has, ceil(paid * unit / worth))
            self.forced.transfer(coin, account, payer, coins)
            self.forced.transfer(debt, payer, account, paid)
            event = self.venue.log.add(
                "takeover",
                now,
                cause,
                account=account,
                asset=coin,
                value=float(coins * worth),
                text="USD at index",
            )
            if payer == INSURANCE:
                self.fund.took_coins(coin, coins, debt, event)

    def _take_all_coins(self, rows: Integers, now: int) -> None:
        """What `_bare` does for each of those who have nothing but coins and debts."""
        if self.rules.liquidation.fund != "shared":
            for case in self._known(rows):
                self._bare(case, now)
            return
        cases, worth = self.cases.rows[rows], self.forced.worths
        taken = take(self.venue.ledger, cases["account"], worth, self.fund.lost())
        if len(taken) == 0:
            return
        owners, coins, atoms = cases[taken["owner"]], taken["coin"], taken["atoms"]
        first = self.venue.log.add_many(
            "takeover",
            now,
            owners["breach"],
            account=owners["account"],
            asset=coins,
            value=atoms * worth[coins],
            text="USD at index",
        )
        changed = np.append(owners["account"], taken["payer"])
        self.forced.changed(np.unique(changed).tolist())
        ours = np.flatnonzero(taken["payer"] == INSURANCE)
        debts = taken["debt"][ours]
        self.fund.took_many(coins[ours], atoms[ours], debts, first + ours)

    # -- DEBTS

    def insurance_fund(self, rows: Integers, now: int) -> None:
        """Let the fund pay the debts of accounts that have nothing left.

        As far as it can, or, where the rules let it go below zero, all of them.
        """
        boundless = self.rules.liquidation.residual == "negative_fund"
        for case, asset, owed in self._debts(rows, now):
            for market in self._pools(case, asset):
                most = self.fund.can_bear(asset, market)
                paid = owed if boundless and market == SHARED else min(owed, most)
                if paid:
                    owed -= paid
                    self.fund.pay(asset, case.account, paid, market)
                    self._settled(case.account, "fund", asset, paid, case.breach, now)

    def _debts(self, rows: Integers, now: int) -> Iterator[tuple[Case, int, int]]:
        # What accounts with nothing left owe: atoms of each asset.
        for case in self._known(rows[self._lost(rows)[1]]):
            if self._bare(case, now):
                for asset, owed in self.forced.debts(case.account).items():
                    yield case, asset, owed

    def _pools(self, case: Case, asset: int) -> list[int]:
        if self.rules.liquidation.fund == "shared":
            return [SHARED]
        return [*self._markets(case, asset), SHARED]

    def _markets(self, case: Case, asset: int) -> list[int]:
        # The perpetuals settled in what it owes that the account had positions in.
        quote = self.venue.quote
        found = self.cases.slices.of(case.account)
        first = len(self.venue.assets)
        markets = dict.fromkeys((n - first) // LEGS for n in found if n >= first)
        return [m for m in markets if int(quote[m]) == asset]

    def claim(self, rows: Integers, now: int) -> None:
        """Write off what is still owed as claims of the venue on the users."""
        for case, asset, owed in self._debts(rows, now):
            self._claim(case.account, asset, owed, case.breach, now)

    def socialise(self, rows: Integers, now: int) -> None:
        """Let all users bear what is still owed, in proportion and to the atom.

        A loss in a perpetual falls on all who have a position in it, by base unit; any
        other on all who have a deposit of the asset, by deposit. None pays more than
        its deposit; what is left then is the venue's. Those that owe alike share what
        the others pay by what they owe: O(accounts) for each asset and market.
        Source: drift-labs/protocol-v2 0ae3e3b1, controller/liquidation.rs.
        """
        alike: dict[tuple[int, ...], list[Owing]] = {}
        for case, asset, owed in self._debts(rows, now):
            owing = Owing(case.account, owed, case.breach)
            key = (asset, *self._markets(case, asset))
            alike.setdefault(key, []).append(owing)
        for (asset, *markets), every in alike.items():
            self._share(every, asset, markets, now)

    def pass_on(self, asset: int, market: int, cause: int, now: int) -> None:
        """Let what the fund owes go on to the next step, as if an account owed it.

        Nobody lends to the fund: funding of positions that it took over, or closing
        them, may take more than it has. Its coins pay first, at index, then whoever
        bears what is owed in the end. Not where the rules let it go below zero.
        """
        residual = self.rules.liquidation.residual
        owed = -self.venue.ledger.balance(INSURANCE, asset)
        if owed <= 0 or residual == "negative_fund":
            return
        self._take_coins(INSURANCE, asset, CLAIMS, None, cause, now)
        owed = -self.venue.ledger.balance(INSURANCE, asset)
        if residual == "socialise":
            markets = [] if market == SHARED else [market]
            self._share([Owing(INSURANCE, owed, cause)], asset, markets, now)
        elif owed:
            self._claim(INSURANCE, asset, owed, cause, now)
        self.fund.book(market)

    def _claim(self, account: int, asset: int, owed: int, cause: int, now: int) -> None:
        self.forced.transfer(asset, CLAIMS, account, owed)
        self._settled(account, "claim", asset, owed, cause, now)

    def _share(
        self, owing: list[Owing], asset: int, markets: Sequence[int], now: int
    ) -> None:
        # By base unit of the markets, then by deposit, then by nobody.
        ledger = self.venue.ledger
        for market in (*markets, SHARED):
            if not owing:
                return
            weights = (
                ledger.amounts(asset)
                if market == SHARED
                else np.abs(ledger.lots(market))
            )
            owing = self._bear(owing, asset, weights, market, now)
        for account, owed, cause in owing:
            self._claim(account, asset, owed, cause, now)

    def _bear(
        self,
        owing: list[Owing],
        asset: int,
        weights: Integers,
        market: int,
        now: int,
    ) -> list[Owing]:
        """Let accounts pay in proportion to weights; return what is owed after it."""
        ledger, worth = self.venue.ledger, self.forced.worth(asset)
        equity = self.venue.risk.revalue()["equity"]
        most = np.minimum(np.maximum(equity, 0.0) / worth if worth else 0.0, 2.0**60)
        caps = np.minimum(np.maximum(ledger.amounts(asset), 0), most.astype(np.int64))
        caps[:SYSTEM_ACCOUNTS] = 0
        owed = [one.owed for one in owing]
        payers = np.flatnonzero((caps > 0) & (weights > 0))
        parts = spread(sum(owed), weights[payers], caps[payers])
        payers, parts = payers[parts > 0], parts[parts > 0]
        if len(payers) == 0:
            return owing
        paid = spread(int(parts.sum()), owed, owed).tolist()
        # All to the first, and from it to the others.
        first, *others = [one.account for one in owing]
        self.forced.transfer_many(asset, payers, first, parts)
        if others:
            self.forced.transfer_many(asset, first, others, np.array(paid[1:]))
        left = []
        for (account, owes, cause), atoms in zip(owing, paid, strict=True):
            if atoms < owes:
                left.append(Owing(account, owes - atoms, cause))
            if atoms:
                self.venue.log.add(
                    "socialised",
                    now,
                    cause,
                    account=account,
                    market=market,
                    asset=asset,
                    qty=len(payers),
                    value=float(atoms * worth),
                    text="USD borne by other accounts",
                )
        return left

    def _settled(
        self, account: int, kind: str, asset: int, atoms: int, cause: int, now: int
    ) -> None:
        self.venue.log.add(
            kind,
            now,
            cause,
            account=account,
            asset=asset,
            value=atoms * self.forced.worth(asset),
            text="USD",
        )
