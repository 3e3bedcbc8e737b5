"""The liquidation engine: what becomes of an account that cannot keep its margin.

It trades in the same books as everyone. Which steps it takes and in what order, the
share sold in a cycle, the rate limit and the price cap are rules; each step leaves an
event that carries the breach, and the breach carries the repricing that cost the
account most.
"""

from collections.abc import Callable
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import INSURANCE
from .cases import Cases, Floats, Venue
from .deleveraging import Deleveraging, Losing
from .forced import Forced
from .fund import SHARED, Fund
from .holdings import LEGS
from .losses import Losses
from .rules import Rules
from .steps import Steps
from .watch import Flags, Low, Watch

__all__ = ["Cases", "Liquidator", "Venue"]

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
        self.cases = Cases(len(venue.assets) + LEGS * len(venue.specs))
        # Accounts that were ever in liquidation, in order of their first breach.
        self.liquidated: dict[int, None] = {}
        # Told how much of a cycle is done, and of how much.
        self.tell: Callable[[int, int], None] | None = None
        limit = rules.liquidation
        # As many as slices and shares of the book can need, and two to spare.
        needed = 1.0 / min(limit.slice.rates) / (limit.book_share or 1.0)
        self.cycles_max = ceil(min(needed, CYCLES_MAX)) + 2
        self.watch = Watch(venue, rules)
        self.forced = Forced(venue, rules, self.cases)
        self.fund = Fund(venue, rules, self.forced)
        self.steps = Steps(venue, rules, self.forced, self.fund)
        self.deleveraging = Deleveraging(venue, rules, self.forced, self.fund)
        self.losses = Losses(
            venue, rules, self.forced, self.fund, self.deleveraging, self.cycles_max
        )
        steps, losses = self.steps, self.losses
        self._steps: dict[str, Callable[[Integers, int], None]] = {
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
            worst_first = self._worst_first()
            if self.forced.one_by_one:
                for done in range(len(worst_first)):
                    if self.forced.exhausted:
                        break
                    self._tell(done, len(worst_first))
                    self._cycle(worst_first[done : done + 1], now)
            elif len(worst_first):
                self._cycle(worst_first, now)
            self.cases.tidy()
            self.fund.unwind(now)
            self._pass_on(now)
            self.deleveraging.start()
        return len(self.cases)

    def _worst_first(self) -> Integers:
        accounts = self.cases.rows["account"]
        return np.asarray(np.lexsort((accounts, self._health(accounts))))

    def _health(self, accounts: Integers) -> Floats:
        return self.venue.risk.at(accounts=accounts)["health"]

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
        new = below[~np.isin(low.accounts[below], self.cases.rows["account"])]
        new = new[~self._freed(low.accounts[new], low.health[new], now)]
        if len(new):
            self._open(low.accounts[new], low.health[new], now)

    def _freed(self, accounts: Integers, health: Floats, now: int) -> Flags:
        """Cancel the orders of those who owe nothing and hold no position.

        Return who is healthy then: their orders alone cost more than they have.
        """
        freed = np.zeros(len(accounts), np.bool_)
        lone = np.flatnonzero(np.isneginf(health))
        if len(lone):
            who = accounts[lone]
            self.forced.cancel(who, -1, self.watch.blame(who).cause, now)
            freed[lone] = self._health(who) > self.rules.thresholds.liquidate
        return freed

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
        numbers = accounts[worst]
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
        self.cases.open(numbers, first + np.arange(len(numbers)))
        for account in numbers.tolist():
            self.venue.risk.freeze(account, True)
            self.liquidated.setdefault(account)
        self._slice(numbers)

    def _slice(self, accounts: Integers) -> None:
        # How much of all that accounts hold goes in a cycle.
        ledger, forced = self.venue.ledger, self.forced
        of, asset, atoms = ledger.owned_by(accounts)
        market = forced.sold_in[asset]
        sold = market >= 0
        of, asset, atoms, market = of[sold], asset[sold], atoms[sold], market[sold]
        whose, held, lots, _, leg = ledger.held_by(accounts)
        lots = np.append(np.abs(atoms) // forced.base_units[market], np.abs(lots))
        self.cases.slices.first(
            accounts[np.append(of, whose)],
            np.append(asset, forced.leg_number(held, leg)),
            forced.slices(np.append(market, held), lots),
        )

    def blame(self, account: int) -> dict[str, int]:
        """Find the repricing that cost the account most since it was last healthy."""
        found = self.watch.blame(np.array([account]))
        return {name: int(of[0]) for name, of in found._asdict().items()}

    def _cycle(self, rows: Integers, now: int) -> None:
        """Let cases take a cycle's steps, all of them each step before the next."""
        cases, live, judged = self.cases, rows, False
        cases.begin(rows, now)
        resting = bool(cases.rows["rests"][rows].any())
        steps = self.rules.liquidation.steps
        for done, name in enumerate(steps):
            if not self.forced.one_by_one:
                self._tell(done, len(steps))
            taking = self._taking(live, name)
            if len(taking) == 0:
                continue
            self.forced.touched = []
            self._steps[name](taking, now)
            accounts = cases.accounts(taking)
            enough = self.rules.liquidation.target_health
            if name in CANCELLING:
                cases.rows["cancelled"][taking] |= 1 << CANCELLING.index(name)
                # Cancelling alone may do; a liquidation that starts goes to the target.
                enough = float(np.nextafter(self.rules.thresholds.liquidate, inf))
            elif judged and not resting:
                # Who was not well before, and was not touched since, is not well now.
                touched = np.isin(accounts, np.array(self.forced.touched, np.int64))
                taking, accounts = taking[touched], accounts[touched]
            else:
                judged = True
            health = self._health(accounts)
            well = health >= enough
            if well.any():
                told = None if name in EMPTYING else health[well]
                self._close(taking[well], now, told)
                live = live[~cases.rows["over"][live]]
        cases.end(live)
        self._close(live[self._empty(live)], now)

    def _taking(self, live: Integers, name: str) -> Integers:
        # Those that take a step.
        taking = np.ones(len(live), np.bool_)
        if name in CANCELLING:
            done = self.cases.rows["cancelled"][live]
            taking = done >> CANCELLING.index(name) & 1 == 0
        elif name in TRADING:
            taking = ~self.cases.rows["rests"][live]
        taken: Integers = live[taking]
        return taken

    def _empty(self, live: Integers) -> Flags:
        cases = self.cases.rows[live]
        empty = cases["sold_out"] | (cases["cycle"] > self.cycles_max)
        some = np.flatnonzero(empty)
        # A position that nobody takes is not nothing.
        has, owes = self.forced.left(cases["account"][some])
        empty[some] = ~(has | owes)
        return np.asarray(empty)

    def _close(self, rows: Integers, now: int, health: Floats | None = None) -> None:
        # Without a health they have nothing left.
        if len(rows) == 0:
            return
        text: str | list[str] = "nothing left"
        if health is not None:
            text = [f"restored to health {h:.2f}" for h in health.tolist()]
            self.watch.restored(self.cases.accounts(rows))
        self.forced.events("liquidation", rows, now, text)
        self.cases.close(rows)
        for account in self.cases.accounts(rows).tolist():
            self.venue.risk.freeze(account, False)

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
