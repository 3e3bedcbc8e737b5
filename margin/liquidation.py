"""The liquidation engine: what becomes of an account that cannot keep its margin.

It trades in the same books as everyone. Which steps it takes and in what order, the
share sold in a cycle, the rate limit and the price cap are rules; each step leaves an
event that carries the breach, and the breach carries the repricing that cost the
account most.
"""

from collections.abc import Callable
from math import ceil, inf
from typing import Any

import numpy as np

from ..cython_ext.ledger import INSURANCE
from .cases import Case, Floats, Venue
from .forced import Forced
from .fund import SHARED, Fund
from .losses import Losses
from .rules import Rules
from .steps import Steps

__all__ = ["Case", "Liquidator", "Venue"]

CANCELLING = ("cancel_risky", "cancel_orders")
"""Steps that are taken once, and after which an account that recovered is let go."""

TRADING = ("repay", "convert", "net_hedges", "sell_collateral", "reduce_positions")
"""Steps that wait while an account is left alone after a large order."""

TOLD = 100
"""Accounts of a cycle after which it is told how far it is."""

CYCLES_MAX = 3_600
"""Most cycles that slices and shares of the book may ask for: an hour, one a second."""

EMPTYING = ("insurance_fund", "claim", "socialise")
"""Steps that only an account with nothing left comes to."""


class Liquidator:
    """Runs the waterfall of the rules over all breached accounts, a cycle at a time.

    An account enters when its health is at or below the threshold, worst first, ties by
    number. It leaves restored (health at target), or with nothing left: then the
    insurance fund pays what it owes as far as it can, and the rest is whatever the
    rules say.
    """

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        self.cases: dict[int, Case] = {}
        # Accounts that were ever in liquidation, in order of their first breach.
        self.liquidated: dict[int, None] = {}
        self.scans = 0
        # Told how many accounts of a cycle are done, and of how many.
        self.tell: Callable[[int, int], None] | None = None
        limit = rules.liquidation
        # As many as slices and shares of the book can need, and two to spare.
        needed = 1.0 / limit.slice / (limit.book_share or 1.0)
        self.cycles_max = ceil(min(needed, CYCLES_MAX)) + 2
        self.forced = Forced(venue, rules)
        self.fund = Fund(venue, rules, self.forced)
        self.steps = Steps(venue, rules, self.forced, self.fund)
        self.losses = Losses(venue, rules, self.forced, self.fund, self.cycles_max)
        self._seen = 0  # accounts at the last scan
        self._low: dict[int, int] = {}  # account at or below warn: its last good scan
        self._prices: dict[int, tuple[Floats, Floats]] = {}  # by scan: index, mark
        steps, losses = self.steps, self.losses
        self._steps: dict[str, Callable[[Case, int], None]] = {
            "cancel_risky": steps.cancel_risky,
            "cancel_orders": steps.cancel_orders,
            "repay": steps.repay,
            "convert": steps.convert,
            "net_hedges": steps.net_hedges,
            "sell_collateral": steps.sell_collateral,
            "reduce_positions": steps.reduce_positions,
            "takeover": losses.take_over,
            "insurance_fund": losses.insurance_fund,
            "adl": losses.adl,
            "claim": losses.claim,
            "socialise": losses.socialise,
        }

    # -- A CYCLE

    def run(self, now: int) -> int:
        """Scan all accounts and run one cycle; return how many are in liquidation."""
        with self.forced.cycle():
            self.scan(now)
            self.fund.watch(now)
            self.forced.refill(now)
            self.losses.start()
            self._relieve(now)
            health = {a: self.venue.risk.account(a)["health"] for a in self.cases}
            worst_first = sorted(self.cases, key=lambda a: (health[a], a))
            for done, account in enumerate(worst_first, 1):
                if self.forced.exhausted:
                    break
                self._cycle(self.cases[account], now)
                if self.tell is not None and done % TOLD == 0:
                    self.tell(done, len(worst_first))
            self.fund.unwind(now)
            self._pass_on(now)
        return len(self.cases)

    def funded(self, market: int, event: int, now: int) -> None:
        """Book the funding of a market; what the fund cannot pay goes on.

        To be called when it was settled; ``event`` says so.
        """
        self.fund.book(market)
        self.losses.pass_on(int(self.venue.quote[market]), market, event, now)

    def scan(self, now: int) -> None:
        """Find who is at or below the warning, open a case for each breach."""
        thresholds = self.rules.thresholds
        accounts, health = self.venue.risk.below(thresholds.warn)
        # Who was not low last time was healthy then, who is new is so now.
        last, seen = self.scans - 1, self._seen
        self._low = {
            a: self._low.get(a, last if a < seen else self.scans)
            for a in accounts.tolist()
        }
        self._prices[self.scans] = self.venue.index.copy(), self.venue.mark.copy()
        needed = dict.fromkeys([*self._low.values(), self.scans])
        self._prices = {scan: self._prices[scan] for scan in sorted(needed)}
        self.scans += 1
        self._seen = self.venue.ledger.n_accounts
        below = health <= thresholds.liquidate
        low, depth = accounts[below], health[below]
        for i in np.argsort(depth, kind="stable").tolist():
            if int(low[i]) not in self.cases:
                self._open(int(low[i]), float(depth[i]), now)

    def _open(self, account: int, health: float, now: int) -> None:
        fields = self.blame(account)
        breach = self.venue.log.add(
            "breach", now, account=account, value=health, text="health", **fields
        )
        self.cases[account] = case = Case(account, breach)
        self.venue.risk.freeze(account, True)
        self.liquidated.setdefault(account)
        for asset, amount, market in self.forced.coins(account):
            if market is not None:
                lots = abs(amount) // self.venue.specs[market].base_unit
                case.slices[asset] = self.forced.slice(market, lots)
        for held in self.forced.positions(account):
            lots = self.forced.slice(held.market, abs(held.lots))
            case.position_slices[held.market, held.leg] = lots

    def blame(self, account: int) -> dict[str, Any]:
        """Find the repricing that cost the account most since it was last healthy."""
        venue = self.venue
        index, mark = self._prices[self._low.get(account, self.scans - 1)]
        worst, blame = 0.0, {"cause": 0}
        for a, amount, _ in self.forced.coins(account):
            cost = float(amount * venue.atom[a] * (venue.index[a] - index[a]))
            if cost < worst:
                worst, blame = cost, {"asset": a, "cause": venue.index_event[a]}
        for held in self.forced.positions(account):
            m = held.market
            cost = float(held.lots * venue.lot[m] * (venue.mark[m] - mark[m]))
            if cost < worst:
                worst, blame = cost, {"market": m, "cause": venue.mark_event[m]}
        return blame

    def _cycle(self, case: Case, now: int) -> None:
        resting = now < case.resting
        case.sold_out, case.starved = not resting, False
        for name in self.rules.liquidation.steps:
            if name in case.cancelled or (resting and name in TRADING):
                continue
            self._steps[name](case, now)
            enough = self.rules.liquidation.target_health
            if name in CANCELLING:
                case.cancelled.append(name)
                # Cancelling alone may do; a liquidation that starts goes to the target.
                enough = np.nextafter(self.rules.thresholds.liquidate, inf)
            health = self.steps.health(case)
            if health >= enough:
                emptied = name in EMPTYING
                text = "nothing left" if emptied else f"restored to health {health:.2f}"
                self._close(case, now, text)
                return
        if not case.starved and not resting:
            case.cycle += 1
            case.sent.clear()
        empty = case.sold_out or case.cycle > self.cycles_max
        # A position that nobody takes is not nothing.
        empty = empty and not any(True for _ in self.forced.positions(case.account))
        if empty and not self.forced.debts(case.account):
            self._close(case, now, "nothing left")

    def _close(self, case: Case, now: int, text: str) -> None:
        del self.cases[case.account]
        self.venue.risk.freeze(case.account, False)
        self.venue.log.add(
            "liquidation", now, case.breach, account=case.account, text=text
        )

    def _relieve(self, now: int) -> None:
        # A fund that its own positions ruin hands them on as well.
        if "adl" not in self.rules.liquidation.steps:
            return
        for held in list(self.forced.positions(INSURANCE)):
            if held.market in self.fund.positions and self.fund.ruined_by(held):
                event = self.fund.positions[held.market].event
                self.losses.deleverage(INSURANCE, held, held.lots, event, now)
                self.fund.book(held.market)
        self._pass_on(now)

    def _pass_on(self, now: int) -> None:
        last = max((stock.event for stock in self.fund.positions.values()), default=0)
        for asset in self.forced.debts(INSURANCE):
            self.losses.pass_on(asset, SHARED, last, now)

    # -- CHECKS

    def _check(self) -> None:
        """Assert what must hold between two cycles."""
        self.fund._check()
        # Every case is of an account that was noted, and prices are kept for it.
        assert all(account in self.liquidated for account in self.cases)
        assert all(scan in self._prices for scan in self._low.values())
        assert len(self._prices) <= len(self._low) + 1
