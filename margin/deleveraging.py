"""Deleveraging: positions that nobody takes are closed against those of winners."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.closing import Closing
from ..cython_ext.ledger import INSURANCE
from ..orderbook.orders import Side
from . import adl
from .candidates import Given, Standings
from .cases import Rows, Venue
from .forced import Forced
from .fund import Fund
from .holdings import Flags, Held
from .rules import Rules

Integers = NDArray[np.int64]

GAINING = ("at a loss", "in profit")
"""What the event says of a winner's position."""


def first(n: int) -> int:
    """The draw of who gives no random numbers: always the first."""
    return 0


class Losing(NamedTuple):
    """A position that is closed against winners: lots of it, and why."""

    account: int
    held: Held
    lots: int  # signed as the position is
    cause: int  # event


class Deleveraging:
    """Closes positions against those that the rules' ranking puts first."""

    def __init__(self, venue: Venue, rules: Rules, forced: Forced, fund: Fund) -> None:
        self.venue = venue
        self.rules = rules
        self.forced = forced
        self.fund = fund
        self.draw: Callable[[int], int] = first
        # Who may be deleveraged in this cycle.
        self._standings: Standings | None = None
        # All winners give something, and no tranche of them comes first.
        self.proportional = (
            rules.adl.allocation.endswith("pro_rata")
            and rules.adl.ranking not in adl.TRANCHES
        )

    def start(self) -> None:
        """Start anew: prices and accounts may have changed."""
        self._standings = None

    def close(self, losing: Sequence[Losing], now: int) -> list[int]:
        """Close positions of one market and side against winners, in order.

        Return the lots closed of each, signed as they are. One event for each pair of
        a loser and a winner, whose price is what it closed at.
        """
        venue, market = self.venue, losing[0].held.market
        quote, unit = int(venue.quote[market]), venue.specs[market].quote_unit
        sign, side = (1, Side.SELL) if losing[0].lots > 0 else (-1, Side.BUY)
        standings = self._standing()
        mark, worth = self.forced.mark_ticks(market), self.forced.worth(quote)
        prices = self._prices(losing, standings.policy, mark)
        # What winners can afford goes by the worst price that one may get.
        worst = max(sign * theirs for _, theirs in prices) * sign
        given = standings.allocate(
            market,
            -sign,
            sum(abs(one.lots) for one in losing),
            {one.account for one in losing},
            worst,
        )
        pairs = _matched([abs(one.lots) for one in losing], given)
        events = [
            venue.log.add(
                "adl",
                now,
                losing[i].cause,
                account=losing[i].account,
                counterparty=winner.account,
                market=market,
                side=side,
                price=prices[i][1],
                qty=lots,
                # US dollars of profit forgone.
                value=float((prices[i][1] - mark) * lots * sign * unit * worth),
                text=GAINING[winner.gains],
            )
            for i, winner, lots in pairs
        ]
        if self.rules.adl.cancels_orders:
            self._cancel(market, [w.account for _, w, _ in pairs], events, now)
        done = [0] * len(losing)
        for i, winner, lots in pairs:
            other, signed, (own, theirs) = winner.account, lots * sign, prices[i]
            self.forced.move(market, losing[i].account, other, signed, own)
            # What the other side's price is better by, the fund pays, or it gets it.
            better = int((own - theirs) * signed * unit)
            if better:
                payer, paid = (INSURANCE, other) if better > 0 else (other, INSURANCE)
                self.forced.transfer(quote, payer, paid, abs(better))
            done[i] += signed
        self.fund.book(market, quote)
        return done

    def _standing(self) -> Standings:
        if self._standings is None:
            policy = adl.Policy.of(self.rules.adl, self.draw)
            self._standings = Standings(self.forced, policy)
        return self._standings

    # -- COMPILED

    def closing(self, accounts: Integers, late: Flags) -> Closing | None:
        """The turns of losers, who have nothing or are ``late``; None if not compiled.

        `close` takes one loser after another for all rules.
        """
        rules = self.rules
        ours = (
            rules.adl.trigger != "equity_negative"
            and rules.liquidation.fund == "shared"
            and rules.thresholds.takeover is None
        )
        return self._standing().closing(accounts, late) if ours else None

    def run(
        self, closing: Closing, bearable: Integers, cases: Rows, now: int
    ) -> tuple[int, int, int, bool] | None:
        """Let losers have their turns as `Closing.run` does, and log what came of it.

        ``cases`` has a row for each. One event for each pair of a loser and a winner.
        """
        self._standing().take_up()
        stopped = closing.run(bearable)
        closed = closing.taken()
        if len(closed):
            self._note(closed, cases, now)
        return stopped

    def _note(self, closed: Rows, cases: Rows, now: int) -> None:
        lots, losers = closed["lots"], cases[closed["case"]]
        self.venue.log.add_many(
            "adl",
            now,
            losers["breach"],
            account=losers["account"],
            counterparty=closed["winner"],
            market=closed["market"],
            side=np.where(lots > 0, int(Side.SELL), int(Side.BUY)),
            price=closed["price"],
            qty=np.abs(lots),
            value=closed["value"],
            text=[GAINING[gains] for gains in closed["gains"].tolist()],
        )
        both = np.append(losers["account"], closed["winner"])
        self._standing().changed(np.unique(both).tolist())
        for market in np.unique(closed["market"]).tolist():
            self.fund.book(market, int(self.venue.quote[market]))

    # -- ONE BY ONE

    def _prices(
        self, losing: Sequence[Losing], policy: adl.Policy, mark: int
    ) -> list[tuple[int, int]]:
        # Of each liquidated and of its other side, ticks.
        market = losing[0].held.market
        left = self.fund.can_bear(int(self.venue.quote[market]), market)
        prices = []
        for account, _, lots, _ in losing:
            bankrupt = self.forced.bankruptcy_ticks(account, market, lots)
            own, theirs = policy.price(mark, bankrupt)
            loss = self.fund.loss(market, lots, own, theirs)
            if account == INSURANCE or loss > left:
                theirs = own  # the fund stands between the two prices only if it can
            else:
                left -= max(0, loss)  # what it gets it has only when it is paid
            prices.append((own, theirs))
        return prices

    def _cancel(
        self, market: int, accounts: list[int], events: list[int], now: int
    ) -> None:
        # The orders in a market of those that have any there.
        orders = self.venue.books.orders_of(accounts)
        having = dict.fromkeys(orders["account"][orders["market"] == market].tolist())
        first = dict(zip(reversed(accounts), reversed(events), strict=True))
        if having:
            causes = [first[account] for account in having]
            self.forced.cancel(list(having), market, causes, now)


def _matched(
    lots: Sequence[int], given: Sequence[Given]
) -> list[tuple[int, Given, int]]:
    """Losers by number and winners side by side: lots that each two close."""
    assert sum(winner.lots for winner in given) <= sum(lots)
    pairs, i, left = [], 0, lots[0]
    for winner in given:
        more = winner.lots
        while more:
            part = min(left, more)
            pairs.append((i, winner, part))
            left, more = left - part, more - part
            if left == 0 and i + 1 < len(lots):
                i += 1
                left = lots[i]
    return pairs
