"""Who may be deleveraged: a venue's accounts, in the order of a ranking."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from math import inf

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import SYSTEM_ACCOUNTS, Ledger
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


class Standings:
    """Accounts with a position of one side in a market, in the order of a ranking.

    Made from the ledger, and good as long as no price moves: each use takes up the
    accounts that ``forced`` changed since the last. ``side`` is theirs, +1 if they are
    long. In hedge mode the leg of that side counts. O(accounts + their positions).
    """

    def __init__(self, forced: Forced, market: int, side: int, policy: Policy) -> None:
        self.forced = forced
        self.market = market
        self.side = side
        self.policy = policy
        venue = forced.venue
        every = range(len(venue.specs))
        self._mark = forced.price(market)
        self._ticks = np.array([forced.price(m) / float(venue.tick[m]) for m in every])
        self._unit = np.array([float(spec.quote_unit) for spec in venue.specs])
        self._worth = np.array([forced.worth(int(quote)) for quote in venue.quote])
        self._quote = forced.index(int(venue.quote[market]))
        self._changed = forced.follow()
        self._rows = self._measured(_holders(venue.ledger, market, side))
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
        self, required: int, account: int, ticks: int
    ) -> list[tuple[int, int]]:
        """Accounts that close ``required`` lots at a price, and how many lots of each.

        By account number, and never ``account`` itself. An account gives no more than
        its equity pays for at that price. The same as `adl.allocate` among all of them,
        of whom a queue looks at no more than it needs.
        """
        self._refresh()
        allocation = ALLOCATIONS["queue"] if self._walks else self.policy.allocation
        taken: list[tuple[int, int]] = []
        for rows in self._shares(account):
            part = self._rows[rows]
            part["lots"] = self._most(part, ticks)
            lots = allocation(required, self._candidates(part), self.policy.draw)
            pairs = zip(part["account"].tolist(), lots, strict=True)
            taken += [(other, int(n)) for other, n in pairs if n]
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

    def _shares(self, account: int) -> Iterator[Integers]:
        """Rows among which lots are divided, and those after them for what is left."""
        policy = self.policy
        if self._walks:
            return self._from_a_drawn_one(account)
        found = self._in_order(account)
        if policy.tranche is not None:
            return _cut(found, policy.tranche)
        if policy.allocation is ALLOCATIONS["queue"]:
            return found
        return _cut(found, max(1, self._n))

    def _in_order(self, account: int) -> Iterator[Integers]:
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
            found = found[rows["account"][found] != account]
            if len(found):
                yield found

    def _rank(self, i: int) -> tuple[float, int, int]:
        # The key by which the row was sorted, whatever its score is now.
        row = int(self._order[i])
        return -float(self._ranks[i]), int(self._rows["account"][row]), row

    def _from_a_drawn_one(self, account: int) -> Iterator[Integers]:
        numbers = self._rows["account"][: self._n]
        held = self._rows["lots"][: self._n] > 0
        found = np.flatnonzero(held & (numbers != account))
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
        changed = sorted(a for a in self._changed if a >= SYSTEM_ACCOUNTS)
        self._changed.clear()
        for account in changed:
            self._leave(account)
        ledger = self.forced.venue.ledger
        held = [
            account
            for account in changed
            if ledger.open_position(account, self.market)[0] * self.side > 0
            or ledger.hedged(account)
        ]
        if held:
            for row in self._measured(np.array(held)):
                self._join(row)

    def _leave(self, account: int) -> None:
        i = self._find(account)
        if i is None or self._rows["lots"][i] == 0:
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
        venue, market = self.forced.venue, self.market
        held = _positions(venue.ledger, accounts)
        own = (held["market"] == market) & (held["lots"] * self.side > 0)
        rows = np.zeros(np.count_nonzero(own), ROW)
        if len(rows) == 0:
            return rows
        gain = self._gain(held)
        # The positions of an account stand together.
        of = accounts.searchsorted(held["account"])
        unrealised = np.bincount(of, gain)[of[own]]
        held = held[own]
        equity, maintenance = self._valued(held["account"])
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
        rows["entry"] = held["cost"] / (held["lots"] * self._unit[market]) * tick
        rows["bankruptcy"] = self._mark - self.side * left
        rows["pnl"], rows["wallet"] = gain[own], equity - unrealised
        rows["equity"], rows["maintenance"] = equity, maintenance
        rows["score"] = scores(self._candidates(rows), self.policy)
        return rows

    def _valued(self, accounts: Integers) -> tuple[Floats, Floats]:
        # Equity and maintenance margin; a pass over many costs more to begin.
        risk = self.forced.venue.risk
        if len(accounts) > FIRST:
            values = risk.at(accounts=accounts)
            return values["equity"], values["maintenance"]
        each = [risk.account(account) for account in accounts.tolist()]
        equity = np.array([value["equity"] for value in each])
        return equity, np.array([value["maintenance"] for value in each])

    def _gain(self, held: Rows) -> Floats:
        # Unrealised profit of positions, US dollars; exact up to int64, as costs are.
        m, cost = held["market"], held["cost"]
        value = np.floor(held["lots"] * self._ticks[m] * self._unit[m])
        if np.abs(value).max() < 2.0**62:
            return np.asarray((value.astype(np.int64) - cost) * self._worth[m])
        return np.asarray((value - cost) * self._worth[m])

    def _candidates(self, part: Rows) -> Candidates:
        columns = {name: part[name] for name in COLUMNS}
        return Candidates(side=self.side, mark=self._mark, **columns)


def _holders(ledger: Ledger, market: int, side: int) -> Integers:
    # Who can have a position of the side; two legs may net to the other, or to none.
    n = ledger.n_accounts
    hedged = np.fromiter(map(ledger.hedged, range(n)), np.bool_, n)
    found = np.flatnonzero((ledger.lots(market) * side > 0) | hedged)
    return found[found >= SYSTEM_ACCOUNTS]


def _positions(ledger: Ledger, accounts: Integers) -> Rows:
    rows = ledger.positions_many(accounts)
    return np.asarray(rows[rows["lots"] != 0])


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
