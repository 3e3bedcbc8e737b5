"""The liquidation engine: what becomes of an account that cannot keep its margin.

It trades in the same books as everyone. Which steps it takes and in what order, the
share sold in a cycle, the rate limit and the price cap are rules; each step leaves an
event that carries the breach, and the breach carries the repricing that cost the
account most.
"""

from collections.abc import Callable, Sequence, Set
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import INSURANCE
from .cases import Case, Floats, Venue
from .deleveraging import Deleveraging, Losing
from .forced import Forced, Part
from .fund import SHARED, Fund
from .losses import Losses
from .rules import Rules
from .steps import Steps
from .watch import Flags, Low, Watch

__all__ = ["Case", "Liquidator", "Venue"]

Integers = NDArray[np.int64]

CANCELLING = ("cancel_risky", "cancel_orders")
"""Steps that are taken once, and after which an account that recovered is let go."""

TRADING = ("repay", "convert", "net_hedges", "sell_collateral", "reduce_positions")
"""Steps that wait while an account is left alone after a large order."""

CYCLES_MAX = 3_600
"""Most cycles that slices and shares of the book may ask for: an hour, one a second."""

EMPTYING = ("insurance_fund", "claim", "socialise")
"""Steps that only an account with nothing left comes to."""


class Liquidator:
    """Runs the waterfall of the rules over all breached accounts, a cycle at a time.

    An account enters when its health is at or below the threshold. In a cycle all take
    the first step, then those that are still in the second, and so on, each time worst
    first, ties by number; where forced orders are rationed, one account after another
    takes all its steps. It leaves restored (health at target), or with nothing left:
    then the insurance fund pays what it owes as far as it can, and the rest is whatever
    the rules say.
    """

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        self.cases: dict[int, Case] = {}
        # Accounts that were ever in liquidation, in order of their first breach.
        self.liquidated: dict[int, None] = {}
        # Told how much of a cycle is done, and of how much.
        self.tell: Callable[[int, int], None] | None = None
        limit = rules.liquidation
        # As many as slices and shares of the book can need, and two to spare.
        needed = 1.0 / min(limit.slice.rates) / (limit.book_share or 1.0)
        self.cycles_max = ceil(min(needed, CYCLES_MAX)) + 2
        self.watch = Watch(venue, rules)
        self.forced = Forced(venue, rules)
        self.fund = Fund(venue, rules, self.forced)
        self.steps = Steps(venue, rules, self.forced, self.fund)
        self.deleveraging = Deleveraging(venue, rules, self.forced, self.fund)
        self.losses = Losses(
            venue, rules, self.forced, self.fund, self.deleveraging, self.cycles_max
        )
        steps, losses = self.steps, self.losses
        self._steps: dict[str, Callable[[Sequence[Case], int], None]] = {
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
            self._scan(now)
            self.fund.start()
            self.fund.watch(now)
            self.forced.refill(now)
            self.deleveraging.start()
            self._relieve(now)
            self.forced.load(self.cases)
            value = self.forced.value
            worst_first = sorted(self.cases, key=lambda a: (value(a).health, a))
            cases = [self.cases[account] for account in worst_first]
            if self.forced.one_by_one:
                for done, case in enumerate(cases):
                    if self.forced.exhausted:
                        break
                    self._tell(done, len(cases))
                    self._cycle([case], now)
            elif cases:
                self._cycle(cases, now)
            self.fund.unwind(now)
            self._pass_on(now)
        return len(self.cases)

    def _tell(self, done: int, of: int) -> None:
        if self.tell is not None:
            self.tell(done, of)

    def funded(self, market: int, event: int, now: int) -> None:
        """Book the funding of a market; what the fund cannot pay goes on.

        To be called when it was settled; ``event`` says so.
        """
        self.fund.book(market)
        self.losses.pass_on(int(self.venue.quote[market]), market, event, now)

    def scan(self, now: int) -> None:
        """Warn who fell below the warning, and open a case for each breach."""
        with self.forced.cycle():
            self._scan(now)

    def _scan(self, now: int) -> None:
        low = self.watch.look()
        breached = low.health <= self.rules.thresholds.liquidate
        self._warn(low, low.fell & ~breached, now)
        below = np.flatnonzero(breached)
        new = np.array(
            [a not in self.cases for a in low.accounts[below].tolist()], bool
        )
        if new.any():
            self._open(low.accounts[below[new]], low.health[below[new]], now)

    def _warn(self, low: Low, fell: Flags, now: int) -> None:
        # Once per fall: who is still low has been told.
        if not fell.any():
            return
        accounts = low.accounts[fell]
        market, asset, cause = self.watch.blame(accounts)
        self.venue.log.add_many(
            "warning",
            now,
            cause,
            text="health",
            account=accounts,
            value=low.health[fell],
            market=market,
            asset=asset,
        )

    def _open(self, accounts: Integers, health: Floats, now: int) -> None:
        blamed = self.watch.blame(accounts)
        worst = np.argsort(health, kind="stable")
        numbers = accounts[worst].tolist()
        first = self.venue.log.add_many(
            "breach",
            now,
            blamed.cause[worst],
            text="health",
            account=numbers,
            value=health[worst],
            market=blamed.market[worst],
            asset=blamed.asset[worst],
        )
        self.forced.load(numbers)
        parts: list[Part] = []
        unit = self.forced.base_unit
        for breach, account in enumerate(numbers, first):
            self.cases[account] = case = Case(account, breach)
            self.venue.risk.freeze(account, True)
            self.liquidated.setdefault(account)
            parts += [
                (case.slices, asset, market, abs(amount) // unit[market])
                for asset, amount, market in self.forced.coins(account)
                if market is not None
            ]
            parts += [
                (case.position_slices, (market, leg), market, abs(lots))
                for market, lots, _, leg in self.forced.positions(account)
            ]
        lots = self.forced.slices(parts)
        for (slices, key, _, _), part in zip(parts, lots, strict=True):
            slices[key] = part

    def blame(self, account: int) -> dict[str, int]:
        """Find the repricing that cost the account most since it was last healthy."""
        found = self.watch.blame(np.array([account]))
        return {name: int(of[0]) for name, of in found._asdict().items()}

    def _cycle(self, cases: Sequence[Case], now: int) -> None:
        """Let cases take a cycle's steps, all of them each step before the next."""
        resting = {case.account for case in cases if now < case.resting}
        for case in cases:
            case.sold_out, case.starved = case.account not in resting, False
        live, judged = list(cases), False
        steps = self.rules.liquidation.steps
        for done, name in enumerate(steps):
            if not self.forced.one_by_one:
                self._tell(done, len(steps))
            taking = self._taking(live, name, resting)
            if not taking:
                continue
            self._steps[name](taking, now)
            # Who was not well before, and was not touched since, is not well now.
            touched = self.forced.touched
            moved = [case for case in taking if case.account in touched]
            self.forced.load([case.account for case in moved])
            enough = self.rules.liquidation.target_health
            if name in CANCELLING:
                moved = taking
                for case in taking:
                    case.cancelled.append(name)
                # Cancelling alone may do; a liquidation that starts goes to the target.
                enough = float(np.nextafter(self.rules.thresholds.liquidate, inf))
            elif resting or not judged:
                moved, judged = taking, True
            value = self.forced.value
            well = [c for c in moved if value(c.account).health >= enough]
            if well:
                self._close(well, now, emptied=name in EMPTYING)
                live = [case for case in live if case.account in self.cases]
        for case in live:
            if not case.starved and case.account not in resting:
                case.cycle += 1
                case.sent.clear()
        self._close([case for case in live if self._empty(case)], now, emptied=True)

    def _taking(self, live: list[Case], name: str, resting: Set[int]) -> list[Case]:
        # Those that take a step.
        if name in CANCELLING:
            return [case for case in live if name not in case.cancelled]
        if name in TRADING and resting:
            return [case for case in live if case.account not in resting]
        return live

    def _empty(self, case: Case) -> bool:
        if not (case.sold_out or case.cycle > self.cycles_max):
            return False
        # A position that nobody takes is not nothing.
        held = self.forced.positions(case.account)
        return not held and not self.forced.debts(case.account)

    def _close(self, cases: list[Case], now: int, *, emptied: bool) -> None:
        if not cases:
            return
        text = ["nothing left"] * len(cases)
        if not emptied:
            health = [self.forced.value(case.account).health for case in cases]
            text = [f"restored to health {h:.2f}" for h in health]
        self.forced.events("liquidation", cases, now, text)
        for case in cases:
            del self.cases[case.account]
            self.venue.risk.freeze(case.account, False)

    def _relieve(self, now: int) -> None:
        # A fund that its own positions ruin hands them on as well.
        if "adl" not in self.rules.liquidation.steps:
            return
        for held in list(self.forced.positions(INSURANCE)):
            if held.market in self.fund.positions and self.fund.ruined_by(held):
                event = self.fund.positions[held.market].event
                losing = Losing(INSURANCE, held, held.lots, event)
                self.deleveraging.close([losing], now)
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
        self.watch._check()
        # Every case is of an account that was noted.
        assert all(account in self.liquidated for account in self.cases)
