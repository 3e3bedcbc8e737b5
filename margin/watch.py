"""Who is near liquidation, since when, and which repricing brought it there."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cases import Floats, Venue
from .rules import Rules

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Low(NamedTuple):
    """Accounts at or below the warning, ascending, and their healths."""

    accounts: Integers
    health: Floats
    fell: Flags
    """Whether the account was healthy at the last look; of a new one nobody knows."""


class Blamed(NamedTuple):
    """Of each account: what was repriced, -1 for none of the kind, and the event.

    The event is that of the largest repricing the way that cost the account: see
    `Moves.blame`.
    """

    market: Integers
    asset: Integers
    cause: Integers


class Seen(NamedTuple):
    """Prices at a look: index and mark, what own decisions made of them, and when."""

    index_price: Floats
    mark_price: Floats
    own_index: Floats
    own_mark: Floats
    time: int  # the number of the next event


class Watch:
    """Looks at all accounts, and keeps the prices at which the low ones were healthy.

    What a look costs is what `Risk.below` costs, and O(accounts at or below the
    warning).
    """

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        self.looks = 0
        self.low: Integers = np.empty(0, np.int64)
        # By account: whether it was low at the last look, and its last good one.
        self._is_low: Flags = np.zeros(0, np.bool_)
        self._well: Integers = np.empty(0, np.int64)
        self.prices: dict[int, Seen] = {}  # by look

    def look(self) -> Low:
        """Find who is at or below the warning, and who was not at the last look."""
        accounts, health = self.venue.risk.below(self.rules.thresholds.warn)
        # Who was not low last time was healthy then, who is new is so now.
        seen, n = len(self._is_low), self.venue.ledger.n_accounts
        if n > seen:
            self._is_low = np.append(self._is_low, np.zeros(n - seen, np.bool_))
            self._well = np.append(self._well, np.zeros(n - seen, np.int64))
        fallen = accounts[~self._is_low[accounts]]
        self._well[fallen] = np.where(fallen < seen, self.looks - 1, self.looks)
        fell = (accounts < seen) & ~self._is_low[accounts]
        self._is_low[self.low] = False
        self._is_low[accounts] = True
        self.low = accounts
        venue = self.venue
        self.prices[self.looks] = Seen(
            venue.index.copy(),
            venue.mark.copy(),
            venue.index_moves.own.copy(),
            venue.mark_moves.own.copy(),
            venue.log.next_id,
        )
        needed = np.zeros(self.looks + 1, np.bool_)
        needed[self._well[accounts]] = needed[self.looks] = True
        self.prices = {
            look: self.prices[look] for look in np.flatnonzero(needed).tolist()
        }
        self.looks += 1
        return Low(accounts, health, fell)

    def restored(self, accounts: Integers) -> None:
        """Begin anew with accounts that are out of liquidation: the loss is past."""
        self._well[accounts] = self.looks - 1

    def blame(self, accounts: Integers) -> Blamed:
        """Find the repricing that cost each most since it was last healthy.

        The accounts ascend. O(their holdings).
        """
        venue = self.venue
        coins = venue.ledger.balances_many(accounts)
        held = venue.ledger.positions_many(accounts)
        looks, which = np.unique(self._last_good(accounts), return_inverse=True)
        seen = [self.prices[look] for look in looks.tolist()]
        index, mark, own_index, own_mark, time = map(np.array, zip(*seen, strict=True))
        asset, market = coins["asset"], held["market"]
        # Of each holding: its account, the event of its price, and what that cost.
        whose = np.searchsorted(accounts, np.append(coins["account"], held["account"]))
        then = which[whose]
        index_move = venue.index[asset] - index[then[: len(coins)], asset]
        mark_move = venue.mark[market] - mark[then[len(coins) :], market]
        cost = np.append(
            coins["amount"] * venue.atom[asset] * index_move,
            held["lots"] * venue.lot[market] * mark_move,
        )
        row = _least(whose, np.nan_to_num(cost), len(accounts))
        blamed = Blamed(*(np.full(len(accounts), n) for n in (-1, -1, 0)))
        coin = row[row < len(coins)]
        at = whose[coin]
        blamed.asset[at] = asset[coin]
        look, number = which[at], asset[coin]
        blamed.cause[at] = venue.index_moves.blame(
            number, index_move[coin], own_index[look, number], time[look]
        )
        position = row[row >= len(coins)]
        held_row = position - len(coins)
        at, number = whose[position], market[held_row]
        blamed.market[at] = number
        look = which[at]
        blamed.cause[at] = venue.mark_moves.blame(
            number, mark_move[held_row], own_mark[look, number], time[look]
        )
        return blamed

    def _last_good(self, accounts: Integers) -> Integers:
        good = np.full(len(accounts), self.looks - 1)
        known = accounts < len(self._is_low)
        low = accounts[known]
        good[known] = np.where(self._is_low[low], self._well[low], self.looks - 1)
        return good

    def _check(self) -> None:
        """Assert that prices are kept for all who are low, and for no others."""
        assert (np.diff(self.low) > 0).all()
        assert (np.flatnonzero(self._is_low) == self.low).all()
        assert {*self._well[self.low].tolist()} <= {*self.prices}
        assert len(self.prices) <= len(self.low) + 1


def _least(whose: Integers, cost: Floats, n: int) -> Integers:
    """The row of the largest loss of each of n, the first of equals; where one is."""
    order = np.lexsort((cost, whose))
    heads = np.searchsorted(whose[order], np.arange(n))
    rows: Integers = order[heads[heads < len(order)]]
    return np.unique(rows[cost[rows] < 0.0])
