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
from .candidates import candidates
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
        self._deleverages = "adl" in rules.liquidation.steps

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
        if loss > 0:
            self._settled(case, now, "fund", quote, loss)

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
        side = -1 if lots > 0 else 1
        who = candidates(self.forced, account, market, side, theirs)
        taken = adl.allocate(abs(lots), who, policy)
        done = 0
        for i in np.flatnonzero(taken).tolist():
            other, part = int(who.account[i]), int(taken[i])
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
            payer, paid = (INSURANCE, other) if better > 0 else (other, INSURANCE)
            venue.ledger.transfer(quote, payer, paid, abs(better))
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
            self._take_coins(case, asset, now)
        return True

    def _take_coins(self, case: Case, debt: int, now: int) -> None:
        # No book took them. The fund pays for them as far as it can; the rest the venue
        # itself has to carry, coins and debt.
        ledger, unit = self.venue.ledger, self.forced.worth(debt)
        fund: int | None = self.fund.can_bear(debt, SHARED)
        for payer, most in ((INSURANCE, fund), (CLAIMS, None)):
            for coin, has, _ in list(self.forced.coins(case.account)):
                owed = -ledger.balance(case.account, debt)
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
                ledger.transfer(coin, case.account, payer, coins)
                ledger.transfer(debt, payer, case.account, paid)
                event = self.venue.log.add(
                    "takeover",
                    now,
                    case.breach,
                    account=case.account,
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
                    self._settled(case, now, "fund", asset, paid)

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
            self.venue.ledger.transfer(asset, CLAIMS, case.account, owed)
            self._settled(case, now, "claim", asset, owed)

    def socialise(self, case: Case, now: int) -> None:
        """Let all users bear what is still owed, in proportion and to the atom.

        A loss in a perpetual falls on all who have a position in it, by base unit; any
        other on all who have a deposit of the asset, by deposit. None pays more than
        its deposit; what is left then is the venue's.
        Source: drift-labs/protocol-v2 0ae3e3b1, controller/liquidation.rs.
        """
        if not self._bare(case, now):
            return
        for asset, owed in self.forced.debts(case.account).items():
            for market in self._markets(case, asset):
                lots = np.abs(self.venue.ledger.lots(market))
                owed -= self._bear(case, now, asset, owed, lots, market)
            owed -= self._bear(case, now, asset, owed, self.venue.ledger.amounts(asset))
            if owed:
                self.venue.ledger.transfer(asset, CLAIMS, case.account, owed)
                self._settled(case, now, "claim", asset, owed)

    def _bear(
        self,
        case: Case,
        now: int,
        asset: int,
        owed: int,
        weights: Integers,
        market: int = -1,
    ) -> int:
        """Let accounts pay in proportion to weights; return the atoms they paid."""
        ledger, worth = self.venue.ledger, self.forced.worth(asset)
        equity = self.venue.risk.revalue()["equity"]
        most = np.minimum(np.maximum(equity, 0.0) / worth if worth else 0.0, 2.0**60)
        caps = np.minimum(np.maximum(ledger.amounts(asset), 0), most.astype(np.int64))
        caps[:SYSTEM_ACCOUNTS] = 0
        caps[case.account] = 0
        payers = np.flatnonzero((caps > 0) & (weights > 0))
        parts = spread(owed, weights[payers].tolist(), caps[payers].tolist())
        for account, atoms in zip(payers.tolist(), parts, strict=True):
            if atoms:
                ledger.transfer(asset, account, case.account, atoms)
        if sum(parts):
            self.venue.log.add(
                "socialised",
                now,
                case.breach,
                account=case.account,
                market=market,
                asset=asset,
                qty=sum(atoms > 0 for atoms in parts),
                value=float(sum(parts) * worth),
                text="USD borne by other accounts",
            )
        return sum(parts)

    def _settled(self, case: Case, now: int, kind: str, asset: int, atoms: int) -> None:
        self.venue.log.add(
            kind,
            now,
            case.breach,
            account=case.account,
            asset=asset,
            value=atoms * self.forced.worth(asset),
            text="USD",
        )
