"""The steps of a liquidation that others pay for: who takes what an account leaves.

The venue takes positions over, the insurance fund pays, winners are deleveraged, and
what is left is a claim on the user or a loss of all.
"""

from collections.abc import Callable
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import CLAIMS, INSURANCE, SYSTEM_ACCOUNTS
from ..orderbook.orders import Side
from . import adl
from .bankruptcy import auto_close_share
from .candidates import Standings
from .cases import Case, Venue
from .forced import Forced, Held
from .fund import SHARED, Fund
from .rules import Rules
from .shares import spread

Integers = NDArray[np.int64]


def first(n: int) -> int:
    """The draw of who gives no random numbers: always the first."""
    return 0


class Losses:
    """What becomes of positions and debts that an account cannot carry itself."""

    def __init__(
        self,
        venue: Venue,
        rules: Rules,
        forced: Forced,
        fund: Fund,
        cycles_max: int,
    ) -> None:
        self.venue = venue
        self.rules = rules
        self.forced = forced
        self.fund = fund
        self.cycles_max = cycles_max
        self.draw: Callable[[int], int] = first
        # Who may be deleveraged in this cycle, by market and side.
        self._standings: dict[tuple[int, int], Standings] = {}
        self._deleverages = "adl" in rules.liquidation.steps

    def start(self) -> None:
        """Start a cycle: prices and accounts may have changed."""
        self._standings.clear()

    # -- POSITIONS

    def take_over(self, case: Case, now: int) -> None:
        """Hand what could not be sold to the insurance fund.

        Positions go at their bankruptcy price, once equity is gone, health is below the
        second stage, or the cycles are used up. Where the fund cannot bear the loss
        they are left to deleveraging, if the rules have it; else they go at mark, and
        the account keeps its debt for the steps that follow. Coins go last, at index,
        against what is owed; see `_bare`.
        """
        for held, lots in self._hopeless(case):
            if not (self._deleverages and self._due(case, held, lots, now)):
                self._take_position(case, held, lots, now)
        self._bare(case, now)

    def adl(self, case: Case, now: int) -> None:
        """Close what nobody takes against the positions of winners.

        What they do not suffice for goes to the fund at mark, if it takes positions
        over at all.
        """
        for held, lots in self._hopeless(case):
            if not self._due(case, held, lots, now):
                continue
            done = self.deleverage(case.account, held, lots, case.breach, now)
            if done != lots and "takeover" in self.rules.liquidation.steps:
                self._take_position(case, held, lots - done, now, at_mark=True)

    def _hopeless(self, case: Case) -> list[tuple[Held, int]]:
        """Positions that are past selling, and how many lots of each (signed)."""
        value = self.venue.risk.account(case.account)
        stage = self.rules.thresholds.takeover_health(
            value["maintenance"], self._notional(case.account)
        )
        positions = list(self.forced.positions(case.account))
        if value["equity"] <= 0 or case.cycle >= self.cycles_max:
            return [(held, held.lots) for held in positions]
        if stage is None or value["health"] >= stage:
            return []
        share = 1.0
        if self.rules.thresholds.takeover_gap is not None:
            # FTX took over so much of each position a second.
            share = auto_close_share(value["health"], stage)
            share = min(1.0, share * self.rules.liquidation.cycle_s)
        lots = [min(abs(held.lots), ceil(abs(held.lots) * share)) for held in positions]
        return [
            (held, n if held.lots > 0 else -n)
            for held, n in zip(positions, lots, strict=True)
        ]

    def _notional(self, account: int) -> float:
        positions = self.forced.positions(account)
        return sum(self.forced.usd(held.market, held.lots) for held in positions)

    def _loss(self, held: Held, lots: int, ticks: int, mark: int) -> int:
        # What taking so many lots at a price loses at mark, quote atoms.
        return int((ticks - mark) * lots * self.venue.specs[held.market].quote_unit)

    def _due(self, case: Case, held: Held, lots: int, now: int) -> bool:
        if "takeover" not in self.rules.liquidation.steps:
            return True
        quote = int(self.venue.quote[held.market])
        ticks = self.forced.bankruptcy_ticks(case.account, held.market, lots)
        loss = self._loss(held, lots, ticks, self.forced.mark_ticks(held.market))
        return adl.due(
            self.rules.adl,
            fund_after=self.fund.can_bear(quote, held.market) - max(0, loss),
            drawdown=self.fund.drawdown(held.market, now),
            equity=self.venue.risk.account(case.account)["equity"],
        )

    def _take_position(
        self, case: Case, held: Held, lots: int, now: int, *, at_mark: bool = False
    ) -> None:
        venue, market = self.venue, held.market
        mark = self.forced.mark_ticks(market)
        ticks = self.forced.bankruptcy_ticks(case.account, market, lots)
        loss = self._loss(held, lots, ticks, mark)
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
        self.fund.book()
        self.forced.move(held, case.account, INSURANCE, lots, ticks)
        self.fund.book(market)
        self.fund.took_position(market, abs(lots), event)
        # What it had there of the other side, and at a loss, is closed.
        self.pass_on(quote, market, event, now)
        if loss > 0:
            self._settled(case.account, "fund", quote, loss, case.breach, now)

    def deleverage(
        self, account: int, held: Held, lots: int, cause: int, now: int
    ) -> int:
        """Close lots of a position against winners; return lots closed, signed alike.

        One event for each of them, whose price is what it closed at.
        """
        venue, market = self.venue, held.market
        quote, unit = int(venue.quote[market]), venue.specs[market].quote_unit
        policy = adl.Policy.of(self.rules.adl, self.draw)
        mark = self.forced.mark_ticks(market)
        bankrupt = self.forced.bankruptcy_ticks(account, market, lots)
        own, theirs = policy.price(mark, bankrupt)
        loss = self._loss(held, lots, own, theirs)
        if account == INSURANCE or loss > self.fund.can_bear(quote, market):
            theirs = own  # the fund stands between the two prices only if it can
        key = market, -1 if lots > 0 else 1
        if key not in self._standings:
            self._standings[key] = Standings(self.forced, *key, policy)
        done = 0
        for other, part in self._standings[key].allocate(abs(lots), account, theirs):
            signed = part if lots > 0 else -part
            lost = (theirs - mark) * signed * unit * self.forced.worth(quote)
            event = venue.log.add(
                "adl",
                now,
                cause,
                account=account,
                counterparty=other,
                market=market,
                side=Side.SELL if lots > 0 else Side.BUY,
                price=theirs,
                qty=part,
                value=float(lost),
                text="USD of profit forgone",
            )
            if self.rules.adl.cancels_orders:
                self.forced.cancel(other, market, event, now)
            self.forced.move(held, account, other, signed, own)
            # What the other side's price is better by, the fund pays, or it gets it.
            better = int((own - theirs) * signed * unit)
            if better:
                payer, paid = (INSURANCE, other) if better > 0 else (other, INSURANCE)
                self.forced.transfer(quote, payer, paid, abs(better))
            done += signed
        self.fund.book(market)
        return done

    # -- COINS AND DEBTS

    def _bare(self, case: Case, now: int) -> bool:
        """Whether the account has nothing left, so that others pay what it owes.

        Nothing to sell or close, or no book that takes it. What coins it has then pay
        first: nobody pays for an account that keeps something of worth.
        """
        if any(True for _ in self.forced.positions(case.account)):
            return False
        if not case.sold_out and case.cycle < self.cycles_max:
            return False
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
        ledger, unit = self.venue.ledger, self.forced.worth(debt)
        for coin, has, _ in self.forced.coins(account):
            owed = -ledger.balance(account, debt)
            worth = self.forced.worth(coin)
            if has <= 0 or owed <= 0 or coin == debt or not worth * unit:
                continue
            paid = min(owed, floor(has * worth / unit))
            if most is not None:
                paid = min(paid, most)
                most -= paid
            if paid == 0:
                continue
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
                self.fund.took_coins(coin, coins, event)

    def insurance_fund(self, case: Case, now: int) -> None:
        """Let the fund pay the debts of an account that has nothing left.

        As far as it can, or, where the rules let it go below zero, all of them.
        """
        if not self._bare(case, now):
            return
        boundless = self.rules.liquidation.residual == "negative_fund"
        for asset, owed in self.forced.debts(case.account).items():
            for market in self._pools(case, asset):
                most = self.fund.can_bear(asset, market)
                paid = owed if boundless and market == SHARED else min(owed, most)
                if paid:
                    owed -= paid
                    self.fund.pay(asset, case.account, paid, market)
                    self._settled(case.account, "fund", asset, paid, case.breach, now)

    def _pools(self, case: Case, asset: int) -> list[int]:
        if self.rules.liquidation.fund == "shared":
            return [SHARED]
        return [*self._markets(case, asset), SHARED]

    def _markets(self, case: Case, asset: int) -> list[int]:
        # The perpetuals settled in what it owes that the account had positions in.
        quote = self.venue.quote
        markets = dict.fromkeys(market for market, _ in case.position_slices)
        return [m for m in markets if int(quote[m]) == asset]

    def claim(self, case: Case, now: int) -> None:
        """Write off what is still owed as a claim of the venue on the user."""
        if not self._bare(case, now):
            return
        for asset, owed in self.forced.debts(case.account).items():
            self._claim(case.account, asset, owed, case.breach, now)

    def socialise(self, case: Case, now: int) -> None:
        """Let all users bear what is still owed, in proportion and to the atom.

        A loss in a perpetual falls on all who have a position in it, by base unit; any
        other on all who have a deposit of the asset, by deposit. None pays more than
        its deposit; what is left then is the venue's. O(accounts) for each debt.
        Source: drift-labs/protocol-v2 0ae3e3b1, controller/liquidation.rs.
        """
        if not self._bare(case, now):
            return
        for asset, owed in self.forced.debts(case.account).items():
            markets = self._markets(case, asset)
            self._share(case.account, asset, owed, markets, case.breach, now)

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
            self._share(INSURANCE, asset, owed, markets, cause, now)
        elif owed:
            self._claim(INSURANCE, asset, owed, cause, now)
        self.fund.book(market)

    def _claim(self, account: int, asset: int, owed: int, cause: int, now: int) -> None:
        self.forced.transfer(asset, CLAIMS, account, owed)
        self._settled(account, "claim", asset, owed, cause, now)

    def _share(
        self,
        account: int,
        asset: int,
        owed: int,
        markets: list[int],
        cause: int,
        now: int,
    ) -> None:
        # By base unit of the markets, then by deposit, then by nobody.
        ledger = self.venue.ledger
        for market in (*markets, SHARED):
            if not owed:
                return
            weights = (
                ledger.amounts(asset)
                if market == SHARED
                else np.abs(ledger.lots(market))
            )
            owed -= self._bear(account, asset, owed, weights, market, cause, now)
        if owed:
            self._claim(account, asset, owed, cause, now)

    def _bear(
        self,
        account: int,
        asset: int,
        owed: int,
        weights: Integers,
        market: int,
        cause: int,
        now: int,
    ) -> int:
        """Let accounts pay in proportion to weights; return the atoms they paid."""
        ledger, worth = self.venue.ledger, self.forced.worth(asset)
        equity = self.venue.risk.revalue()["equity"]
        most = np.minimum(np.maximum(equity, 0.0) / worth if worth else 0.0, 2.0**60)
        caps = np.minimum(np.maximum(ledger.amounts(asset), 0), most.astype(np.int64))
        caps[:SYSTEM_ACCOUNTS] = 0
        caps[account] = 0
        payers = np.flatnonzero((caps > 0) & (weights > 0))
        parts = spread(owed, weights[payers], caps[payers])
        payers, parts = payers[parts > 0], parts[parts > 0]
        paid = int(parts.sum())
        if paid:
            self.forced.transfer_many(asset, payers, account, parts)
            self.venue.log.add(
                "socialised",
                now,
                cause,
                account=account,
                market=market,
                asset=asset,
                qty=len(payers),
                value=float(paid * worth),
                text="USD borne by other accounts",
            )
        return paid

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
