"""The steps of a liquidation that others pay for: who takes what an account leaves.

The venue takes positions over, the insurance fund pays, winners are deleveraged, and
what is left is a claim on the user or a loss of all.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor, fsum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.closing import Closing
from ..cython_ext.ledger import CLAIMS, INSURANCE, SYSTEM_ACCOUNTS
from ..orderbook.orders import Side
from . import adl
from .bankruptcy import auto_close_share
from .cases import Case, Venue
from .deleveraging import Deleveraging, Losing
from .forced import Forced
from .fund import SHARED, Fund
from .holdings import LEGS, Flags, Held
from .rules import Rules
from .shares import spread

Integers = NDArray[np.int64]


class Owing(NamedTuple):
    """What an account owes of an asset, atoms, and the event that it is blamed on."""

    account: int
    owed: int
    cause: int


class Losses:
    """What becomes of positions and debts that an account cannot carry itself."""

    def __init__(
        self,
        venue: Venue,
        rules: Rules,
        forced: Forced,
        fund: Fund,
        deleveraging: Deleveraging,
        cycles_max: int,
    ) -> None:
        self.venue = venue
        self.rules = rules
        self.forced = forced
        self.fund = fund
        self.cases = forced.cases
        self.cycles_max = cycles_max
        self.deleveraging = deleveraging
        self._deleverages = "adl" in rules.liquidation.steps

    # -- POSITIONS

    def take_over(self, rows: Integers, now: int) -> None:
        """Hand what could not be sold to the insurance fund.

        Positions go at their bankruptcy price, once equity is gone, health is below the
        second stage, or the cycles are used up. Where the fund cannot bear the loss
        they are left to deleveraging, if the rules have it; else they go at mark, and
        the account keeps its debt for the steps that follow. Coins go last, at index,
        against what is owed; see `_bare`.
        """
        losing, bare = self._lost(rows)
        cases = self._known(rows[losing | bare])
        if cases:
            hopeless = [case.account for case in cases if self._hopeless(case)]
            self.forced.load_bankrupt(hopeless)
        for case in cases:
            for held, lots in self._hopeless(case):
                if not (self._deleverages and self._due(case, held, lots, now)):
                    self._take_position(case, held, lots, now)
            self._bare(case, now)

    def adl(self, rows: Integers, now: int) -> None:
        """Close what nobody takes against the positions of winners.

        Where all winners give in proportion, all losers of a market and side are closed
        together, else one after the other. What winners do not suffice for goes to the
        fund at mark, if it takes positions over at all.
        """
        rows = rows[self._lost(rows)[0]]
        late = self.cases.rows["cycle"][rows] >= self.cycles_max
        closing = self.deleveraging.closing(self.cases.accounts(rows), late)
        if closing is not None:
            self._close_in_turn(closing, rows, now)
            return
        together: dict[tuple[int, bool], list[Losing]] = {}
        cases = self._known(rows)
        owners = {case.account: case for case in cases}
        for case in cases:
            for held, lots in self._hopeless(case):
                if not self._due(case, held, lots, now):
                    continue
                losing = Losing(case.account, held, lots, case.breach)
                if self.deleveraging.proportional:
                    key = held.market, lots > 0
                    together.setdefault(key, []).append(losing)
                else:
                    self._deleverage([losing], owners, now)
        for every in together.values():
            # A loser of the other side may have closed against one of these.
            left = [one for one in map(self._left, every) if one.lots]
            if left:
                self._deleverage(left, owners, now)

    def _close_in_turn(self, closing: Closing, rows: Integers, now: int) -> None:
        # Compiled, but for what a loser leaves, and winners who have orders.
        cases = self.cases.rows[rows]
        while closing.waiting():
            stopped = self.deleveraging.run(closing, self._bearable(now), cases, now)
            if stopped is None:
                return
            turn, market, lots, ordered = stopped
            (case,) = self.cases.each(rows[turn : turn + 1])
            (held,) = (
                held
                for held in self.forced.positions(case.account)
                if held.market == market and held.lots * lots > 0
            )
            if ordered:
                losing = Losing(case.account, held, lots, case.breach)
                self._deleverage([losing], {case.account: case}, now)
            else:
                self._take_position(case, held, lots, now, at_mark=True)

    def _bearable(self, now: int) -> Integers:
        # By market, the largest loss that is none for deleveraging, quote atoms.
        quote = self.venue.quote
        drawdown = self._drawdown(SHARED, now)
        if adl.due(self.rules.adl, fund_after=0, drawdown=drawdown, equity=0.0):
            return np.full(len(quote), np.iinfo(np.int64).min)
        assets, of = np.unique(quote, return_inverse=True)
        bears = [self.fund.can_bear(asset, SHARED) for asset in assets.tolist()]
        return np.array(bears)[of]

    def _left(self, losing: Losing) -> Losing:
        was, lots = losing.held, losing.lots
        for held in self.forced.positions(losing.account):
            same = held.market == was.market and held.leg == was.leg
            if same and held.lots * lots > 0:
                least, most = sorted((0, held.lots))
                return losing._replace(held=held, lots=min(max(lots, least), most))
        return losing._replace(lots=0)

    def _deleverage(
        self, losing: list[Losing], owners: Mapping[int, Case], now: int
    ) -> None:
        done = self.deleveraging.close(losing, now)
        for (account, held, lots, _), closed in zip(losing, done, strict=True):
            if closed != lots:
                case, left = owners[account], lots - closed
                self._take_position(case, held, left, now, at_mark=True)

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

    def _hopeless(self, case: Case) -> list[tuple[Held, int]]:
        """Positions that are past selling, and how many lots of each (signed)."""
        positions = self.forced.positions(case.account)
        if not positions:
            return []
        value, thresholds = self.forced.value(case.account), self.rules.thresholds
        if value.equity <= 0 or case.cycle >= self.cycles_max:
            return [(held, held.lots) for held in positions]
        if thresholds.takeover is None:
            return []
        stage = thresholds.takeover_health(
            value.maintenance, self._notional(case.account)
        )
        if stage is None or value.health >= stage:
            return []
        share = 1.0
        if thresholds.takeover_gap is not None:
            # FTX took over so much of each position a second.
            share = auto_close_share(value.health, stage)
            share = min(1.0, share * self.rules.liquidation.cycle_s)
        lots = [min(abs(held.lots), ceil(abs(held.lots) * share)) for held in positions]
        return [
            (held, n if held.lots > 0 else -n)
            for held, n in zip(positions, lots, strict=True)
        ]

    def _notional(self, account: int) -> float:
        positions = self.forced.positions(account)
        return fsum(self.forced.usd(held.market, held.lots) for held in positions)

    def _due(self, case: Case, held: Held, lots: int, now: int) -> bool:
        rules, market = self.rules.adl, held.market
        drawdown = self._drawdown(market, now)
        equity = self.forced.value(case.account).equity
        # Most are due whatever it would cost the fund.
        if adl.due(rules, fund_after=0, drawdown=drawdown, equity=equity):
            return True
        ticks = self.forced.bankruptcy_ticks(case.account, market, lots)
        loss = self.fund.loss(market, lots, ticks, self.forced.mark_ticks(market))
        left = self.fund.can_bear(int(self.venue.quote[market]), market) - max(0, loss)
        return adl.due(rules, fund_after=left, drawdown=drawdown, equity=equity)

    def _drawdown(self, market: int, now: int) -> float:
        if self.rules.adl.trigger != "fund_drawdown":
            return 0.0
        return self.fund.drawdown(market, now)

    def _take_position(
        self, case: Case, held: Held, lots: int, now: int, *, at_mark: bool = False
    ) -> None:
        venue, market = self.venue, held.market
        mark = self.forced.mark_ticks(market)
        ticks = self.forced.bankruptcy_ticks(case.account, market, lots)
        loss = self.fund.loss(market, lots, ticks, mark)
        quote = int(venue.quote[market])
        if at_mark or loss > self.fund.can_bear(quote, market):
            ticks, loss = mark, 0
        event = venue.log.add(
            "takeover",
            now,
            case.breach,
            account=case.account,
            market=market,
            side=Side.SELL if lots > 0 else Side.BUY,
            price=ticks,
            qty=abs(lots),
            value=self.forced.usd(market, lots),
            text="USD at mark",
        )
        self.forced.move(market, case.account, INSURANCE, lots, ticks)
        self.fund.book(market, quote)
        self.fund.took_position(market, abs(lots), event)
        # What it had there of the other side, and at a loss, is closed.
        self.pass_on(quote, market, event, now)
        if loss > 0:
            self._settled(case.account, "fund", quote, loss, case.breach, now)

    # -- COINS AND DEBTS

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
