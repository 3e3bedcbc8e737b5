"""Who may be deleveraged: a venue's accounts, in the order of a ranking."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable, Iterator
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import SYSTEM_ACCOUNTS
from .adl import ALLOCATIONS, Candidates, Policy, scores
from .cases import Floats, Rows
from .forced import Forced

Integers = NDArray[np.int64]

MOST = 0.999
"""Share of an account's equity that a price worse than mark may take from it."""

FIRST = 16
"""Candidates looked at first, four times as many then: most positions are small."""

COLUMNS = ("account", "lots", "notional", "entry", "bankruptcy", "pnl", "equity",
           "wallet", "maintenance")  # fmt: skip
ROW = np.dtype(
    [(name, "<i8" if name in COLUMNS[:2] else "<f8") for name in COLUMNS]
    + [("score", "<f8"), ("moved", "?")],
    align=True,
)


class Given(NamedTuple):
    """What a winner gives up: lots, and whether its position was in profit."""

    account: int
    lots: int
    gains: bool


class Everyone:
    """All open positions at one moment of a cycle, and what their accounts are worth.

    ``seen`` are the changes of the cycle before it. O(accounts + positions).
    """

    def __init__(self, forced: Forced) -> None:
        self.forced = forced
        venue = forced.venue
        self.unit = np.array([float(spec.quote_unit) for spec in venue.specs])
        self.seen = len(forced.changes)
        held = venue.ledger.positions_all()
        market = held["market"].astype(np.int16)
        gain = self.gain(held)
        values = venue.risk.revalue()
        self.equity = values["equity"].copy()
        self.maintenance = values["maintenance"].copy()
        self.unrealised = np.bincount(held["account"], gain, len(self.equity))
        # Of numbers as short as these a sort takes no more than a look at each.
        self._order = np.argsort(market, kind="stable")
        self._ends = np.cumsum(np.bincount(market, minlength=len(venue.specs)))
        self._held, self._gain = held, gain

    def of(self, market: int, side: int) -> tuple[Rows, Floats]:
        """Positions of users of one side in a market, by account, and their profits."""
        first = self._ends[market - 1] if market else 0
        rows = self._order[first : self._ends[market]]
        held = self._held[rows]
        own = (held["lots"] * side > 0) & (held["account"] >= SYSTEM_ACCOUNTS)
        return held[own], self._gain[rows[own]]

    def gain(self, held: Rows) -> Floats:
        """Unrealised profit of positions, US dollars; exact as far as costs are."""
        return self.forced.profits(held["market"], held["lots"], held["cost"])


class Standings:
    """Accounts with a position of one side in a market, in the order of a ranking.

    Good as long as no price moves: each use takes up the accounts that changed since
    the last. ``side`` is theirs, +1 if they are long. In hedge mode the leg of that
    side counts. O(holders log holders).
    """

    def __init__(
        self, everyone: Everyone, market: int, side: int, policy: Policy
    ) -> None:
        self.everyone = everyone
        self.forced = forced = everyone.forced
        self.market = market
        self.side = side
        self.policy = policy
        self._mark = forced.price(market)
        self._quote = forced.index(int(forced.venue.quote[market]))
        self._seen = everyone.seen
        held, gain = everyone.of(market, side)
        who = held["account"]
        self._rows = self._ranked(
            held,
            gain,
            everyone.unrealised[who],
            everyone.equity[who],
            everyone.maintenance[who],
        )
        self._n = len(self._rows)
        # Where accounts are: those of the start by number, those that came since.
        self._first = self._rows["account"].copy()
        self._since: dict[int, int] = {}
        self._order = np.lexsort((self._rows["account"], -self._rows["score"]))
        self._head = 0
        self._ranks = self._rows["score"][self._order]
        # Rows with lots whose score is not the one that they were sorted by.
        self._moved: list[tuple[float, int, int]] = []

    def allocate(
        self, required: int, losers: Collection[int], ticks: int
    ) -> list[Given]:
        """Accounts that close ``required`` lots at a price, and how many lots of each.

        By account number, and never one of the losers. An account gives no more than
        its equity pays for at that price. The same as `adl.allocate` among all of them,
        of whom a queue looks at no more than it needs.
        """
        self._refresh()
        allocation = ALLOCATIONS["queue"] if self._walks else self.policy.allocation
        taken: list[Given] = []
        for rows in self._shares(losers):
            part = self._rows[rows]
            part["lots"] = self._most(part, ticks)
            lots = allocation(required, self._candidates(part), self.policy.draw)
            given = zip(
                part["account"].tolist(), lots, (part["pnl"] > 0).tolist(), strict=True
            )
            taken += [Given(other, int(n), gains) for other, n, gains in given if n]
            required -= sum(lots)
            if required <= 0:
                break
        return sorted(taken)

    # -- WHO SHARES

    @property
    def _walks(self) -> bool:
        # From a drawn account on is a queue too, of another order.
        random = self.policy.allocation is ALLOCATIONS["random"]
        return random and self.policy.tranche is None

    def _shares(self, losers: Collection[int]) -> Iterator[Integers]:
        """Rows among which lots are divided, and those after them for what is left."""
        policy = self.policy
        if self._walks:
            return self._from_a_drawn_one(losers)
        found = self._in_order(losers)
        if policy.tranche is not None:
            return _cut(found, policy.tranche)
        if policy.allocation is ALLOCATIONS["queue"]:
            return found
        return _cut(found, max(1, self._n))

    def _in_order(self, losers: Collection[int]) -> Iterator[Integers]:
        rows, order, moved = self._rows, self._order, self._rows["moved"]
        # Those that were first and are gone, or elsewhere, are not looked at again.
        while moved[order[self._head : self._head + FIRST]].all() and (
            self._head < len(order)
        ):
            self._head += FIRST
        at, late, size = self._head, 0, FIRST
        while at < len(order) or late < len(self._moved):
            # Two queues that become one: no further than the first of the two ends.
            to = min(at + size, len(order))
            late_to = min(late + size, len(self._moved))
            ends = (
                self._moved[late_to - 1 : late_to] if late_to < len(self._moved) else []
            )
            if to < len(order):
                ends = [*ends, self._rank(to - 1)]
            if ends:
                end, every = min(ends), range(len(order))
                to = bisect_right(every, end, at, to, key=self._rank)
                late_to = bisect_right(self._moved, end, late, late_to)
            found = order[at:to]
            found = found[~moved[found]]
            if late_to > late:
                more = [row for _, _, row in self._moved[late:late_to]]
                found = np.append(found, more)
                part = rows[found]
                found = found[np.lexsort((part["account"], -part["score"]))]
            at, late, size = to, late_to, 4 * size
            found = found[_others(rows["account"][found], losers)]
            if len(found):
                yield found

    def _rank(self, i: int) -> tuple[float, int, int]:
        # The key by which the row was sorted, whatever its score is now.
        row = int(self._order[i])
        return -float(self._ranks[i]), int(self._rows["account"][row]), row

    def _from_a_drawn_one(self, losers: Collection[int]) -> Iterator[Integers]:
        numbers = self._rows["account"][: self._n]
        held = self._rows["lots"][: self._n] > 0
        found = np.flatnonzero(held & _others(numbers, losers))
        if len(found) == 0:
            return
        found = found[np.argsort(numbers[found], kind="stable")]
        found = np.roll(found, -self.policy.draw(len(found)))
        at, size = 0, FIRST
        while at < len(found):
            yield found[at : at + size]
            at += size
            size *= 4

    def _most(self, part: Rows, ticks: int) -> Integers:
        # Lots that each can close at a price.
        venue = self.forced.venue
        worse = self._mark - ticks * float(venue.tick[self.market])
        cost = self.side * worse * float(venue.lot[self.market]) * self._quote
        return _affordable(part["lots"], part["equity"], cost)

    # -- WHAT THEY HAVE

    def _refresh(self) -> None:
        """Take up the accounts that have changed."""
        changed = np.unique(self.forced.changes[self._seen :])
        changed = changed[changed >= SYSTEM_ACCOUNTS]
        self._seen = len(self.forced.changes)
        if len(changed) == 0:
            return
        n = len(self._first)
        if n:
            at = np.minimum(self._first.searchsorted(changed), n - 1)
            for i in at[self._first[at] == changed].tolist():
                self._leave(i)
        for account in changed.tolist() if self._since else ():
            if account in self._since:
                self._leave(self._since[account])
        of, market, lots, *_ = self.forced.venue.ledger.held_by(changed)
        own = of[(market == self.market) & (lots * self.side > 0)]
        if len(own):
            for row in self._measured(changed[own]):
                self._join(row)

    def _leave(self, i: int) -> None:
        if self._rows["lots"][i] == 0:
            return
        if self._rows["moved"][i]:
            del self._moved[bisect_left(self._moved, self._key(i))]
        self._rows["lots"][i], self._rows["moved"][i] = 0, True

    def _join(self, row: np.void) -> None:
        account = int(row["account"])
        i = self._find(account)
        if i is None:
            i = self._since[account] = self._n
            self._n += 1
            if i == len(self._rows):
                more = np.zeros(max(FIRST, i), ROW)
                self._rows = np.concatenate([self._rows, more])
        self._rows[i] = row
        self._rows["moved"][i] = True
        insort(self._moved, self._key(i))

    def _find(self, account: int) -> int | None:
        i = int(self._first.searchsorted(account))
        if i < len(self._first) and self._first[i] == account:
            return i
        return self._since.get(account)

    def _key(self, i: int) -> tuple[float, int, int]:
        row = self._rows[i]
        return -float(row["score"]), int(row["account"]), i

    def _measured(self, accounts: Integers) -> Rows:
        """A row for each of the accounts that has a position of the side."""
        held = self.forced.venue.ledger.positions_many(accounts)
        held = held[held["lots"] != 0]
        own = (held["market"] == self.market) & (held["lots"] * self.side > 0)
        gain = self.everyone.gain(held)
        # The positions of an account stand together.
        of = accounts.searchsorted(held["account"])
        unrealised = np.bincount(of, gain, len(accounts))[of[own]]
        worth = self.forced.venue.risk.at(accounts=held["account"][own])
        equity, maintenance = worth["equity"], worth["maintenance"]
        return self._ranked(held[own], gain[own], unrealised, equity, maintenance)

    def _ranked(
        self,
        held: Rows,
        gain: Floats,
        unrealised: Floats,
        equity: Floats,
        maintenance: Floats,
    ) -> Rows:
        venue, market = self.forced.venue, self.market
        rows = np.zeros(len(held), ROW)
        if len(rows) == 0:
            return rows
        lot, tick = float(venue.lot[market]), float(venue.tick[market])
        lots, quote = np.abs(held["lots"]), self._quote
        qty = lots * lot
        curve = self.forced.curves[market]
        margin = curve.amount(qty * self._mark, qty) * self.forced.settled(market)
        # What a position would leave is the equity that its margin stands for.
        some = maintenance > 0.0
        share = np.where(some, margin / np.where(some, maintenance, 1.0), 0.0)
        left = np.minimum(share, 1.0) * equity / (lots * lot * quote if quote else inf)
        rows["account"], rows["lots"] = held["account"], lots
        rows["notional"] = lots * (lot * self._mark * quote)
        unit = self.everyone.unit[market]
        rows["entry"] = held["cost"] / (held["lots"] * unit) * tick
        rows["bankruptcy"] = self._mark - self.side * left
        rows["pnl"], rows["wallet"] = gain, equity - unrealised
        rows["equity"], rows["maintenance"] = equity, maintenance
        rows["score"] = scores(self._candidates(rows), self.policy)
        return rows

    def _candidates(self, part: Rows) -> Candidates:
        columns = {name: part[name] for name in COLUMNS}
        return Candidates(side=self.side, mark=self._mark, **columns)


def _others(accounts: Integers, losers: Collection[int]) -> NDArray[np.bool_]:
    # To compare with one is quicker than to look for it.
    if len(losers) == 1:
        return np.asarray(accounts != next(iter(losers)))
    return ~np.isin(accounts, list(losers))


def _cut(parts: Iterable[Integers], size: int) -> Iterator[Integers]:
    """The same rows, so many at a time."""
    left = np.empty(0, np.int64)
    for part in parts:
        left = np.append(left, part)
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if len(left):
        yield left


def _affordable(lots: Integers, equity: Floats, cost: float) -> Integers:
    # Of a price better than the mark, everyone can have all.
    if cost <= 0.0:
        return lots
    most = np.maximum(equity, 0.0) * MOST / cost
    return np.minimum(lots.astype(np.float64), most).astype(np.int64)
