"""The steps of a liquidation that others pay for: who takes what an account leaves.

The venue takes positions over, or winners are deleveraged; `margin.debts` says what
becomes of coins and debts.
"""

from collections.abc import Mapping
from math import ceil, fsum

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.closing import Closing
from ..cython_ext.ledger import INSURANCE
from ..orderbook.orders import Side
from . import adl
from .bankruptcy import auto_close_share
from .cases import Case, Venue
from .debts import Debts
from .deleveraging import Deleveraging, Losing
from .forced import Forced
from .fund import SHARED, Fund
from .holdings import Held
from .rules import Rules

Integers = NDArray[np.int64]


class Losses(Debts):
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
        super().__init__(venue, rules, forced, fund, cycles_max)
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
        some = np.flatnonzero(losing | bare)
        # Runs of those who have positions, and of those who only owe.
        for run in np.split(some, np.flatnonzero(np.diff(bare[some])) + 1):
            if bare[run].all():
                self._take_all_coins(rows[run], now)
            elif not self._all_due(now):
                self._take_positions(rows[run], now)

    def _take_positions(self, rows: Integers, now: int) -> None:
        cases = self._known(rows)
        self.forced.load_bankrupt([c.account for c in cases if self._hopeless(c)])
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
        if self._all_due(now):
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

    def _all_due(self, now: int) -> bool:
        # Whether accounts without equity are left to deleveraging, whatever they lose.
        rules = self.rules
        shared = rules.liquidation.fund == "shared"
        if not (self._deleverages and shared and rules.thresholds.takeover is None):
            return False
        drawdown = self._drawdown(SHARED, now)
        return adl.due(rules.adl, fund_after=0, drawdown=drawdown, equity=0.0)

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
