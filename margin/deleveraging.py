"""Deleveraging: positions that nobody takes are closed against those of winners."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..cython_ext.ledger import INSURANCE
from ..orderbook.orders import Side
from . import adl
from .candidates import Given, Standings
from .cases import Venue
from .forced import Forced
from .fund import Fund
from .holdings import Held
from .rules import Rules


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
        if self._standings is None:
            policy = adl.Policy.of(self.rules.adl, self.draw)
            self._standings = Standings(self.forced, policy)
        standings = self._standings
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
                text="in profit" if winner.gains else "at a loss",
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
