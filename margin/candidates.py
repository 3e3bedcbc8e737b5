"""Who may be deleveraged: a venue's accounts, in the order of a ranking."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.closing import PRICINGS, Closing
from ..cython_ext.ranks import CANDIDATE, PRICE, RANKINGS, Ranks
from . import adl
from .adl import ALLOCATIONS, Candidates, Policy, scores
from .cases import Floats, Rows
from .forced import Forced
from .holdings import Flags

Integers = NDArray[np.int64]

MOST = 0.999
"""Share of an account's equity that a price worse than mark may take from it."""

FIRST = 16
"""Candidates looked at first, four times as many then: most positions are small."""

COLUMNS = CANDIDATE.names or ()

COMPILED = {getattr(adl, name): name for name in RANKINGS}
"""Rankings that the kernel has too; it asks Python for those of others."""

PRICED = {adl.PRICES[name]: name for name in PRICINGS}
"""Prices that the kernel of `Closing` has too."""


class Given(NamedTuple):
    """What a winner gives up: lots, and whether its position was in profit."""

    account: int
    lots: int
    gains: bool


class Standings:
    """Accounts with a position of one side in a market, in the order of a ranking.

    Good as long as no price moves: each use takes up the accounts that changed since
    the last. ``side`` is theirs, +1 if they are long. In hedge mode the leg of that
    side counts.
    """

    def __init__(self, forced: Forced, policy: Policy) -> None:
        self.forced = forced
        self.policy = policy
        self._seen = len(forced.changes)
        ranking = COMPILED.get(policy.ranking, self._scores)
        self.ranks = Ranks(forced.venue.risk, forced.price_rows(PRICE), ranking)

    def allocate(
        self,
        market: int,
        side: int,
        required: int,
        losers: Collection[int],
        ticks: int,
    ) -> list[Given]:
        """Accounts that close ``required`` lots at a price, and how many lots of each.

        By account number, and never one of the losers. An account gives no more than
        its equity pays for at that price. The same as `adl.allocate` among all of them,
        of whom a queue looks at no more than it needs.
        """
        self.take_up()
        cost = self._cost(market, side, ticks)
        queue = self.policy.allocation is ALLOCATIONS["queue"]
        if queue and self.policy.tranche is None:
            found = self.ranks.queue(market, side, required, losers, cost, MOST)
            return sorted(map(Given._make, found))
        taken: list[Given] = []
        allocation = ALLOCATIONS["queue"] if self._walks else self.policy.allocation
        for part in self._shares(market, side, losers):
            part["lots"] = _affordable(part["lots"], part["equity"], cost)
            who = self._candidates(part, side, self.forced.price(market))
            lots = allocation(required, who, self.policy.draw)
            given = zip(
                part["account"].tolist(), lots, (part["pnl"] > 0).tolist(), strict=True
            )
            taken += [Given(other, int(n), gains) for other, n, gains in given if n]
            required -= sum(lots)
            if required <= 0:
                break
        return sorted(taken)

    def take_up(self) -> None:
        """Give those who changed since the last look their new places."""
        changes = self.forced.changes
        if self._seen < len(changes):
            self.ranks.changed(np.array(changes[self._seen :], np.int64))
            self._seen = len(changes)

    def changed(self, accounts: Sequence[int]) -> None:
        """Note accounts that changed and have their new places already."""
        self.forced.changed(accounts)
        self._seen = len(self.forced.changes)

    def closing(self, accounts: Integers, late: Flags) -> Closing | None:
        """The turns of losers, all compiled; None if the policy has to be asked."""
        policy = self.policy
        queue = policy.allocation is ALLOCATIONS["queue"] and policy.tranche is None
        if not queue or policy.price not in PRICED:
            return None
        rules, books = self.forced.rules, self.forced.venue.books
        return Closing(
            self.ranks,
            books if rules.adl.cancels_orders else None,
            accounts,
            late,
            PRICED[policy.price],
            MOST,
        )

    def _cost(self, market: int, side: int, ticks: int) -> float:
        # What a lot closed at a price costs its holder against the mark, US dollars.
        forced = self.forced
        worse = forced.price(market) - ticks * forced.tick[market]
        quote = forced.index(int(forced.venue.quote[market]))
        return side * worse * forced.lot[market] * quote

    # -- WHO SHARES

    @property
    def _walks(self) -> bool:
        # From a drawn account on is a queue too, of another order.
        random = self.policy.allocation is ALLOCATIONS["random"]
        return random and self.policy.tranche is None

    def _shares(
        self, market: int, side: int, losers: Collection[int]
    ) -> Iterator[Rows]:
        """Rows among which lots are divided, and those after them for what is left."""
        policy, holders = self.policy, self.forced.venue.ledger.n_accounts
        if policy.tranche is not None:
            return _cut(self._in_order(market, side, losers), policy.tranche)
        rows = _others(self.ranks.first(market, side, holders), losers)
        if not self._walks:
            return iter([rows] if len(rows) else [])
        rows = rows[np.argsort(rows["account"], kind="stable")]
        return _growing(np.roll(rows, -policy.draw(len(rows))) if len(rows) else rows)

    def _in_order(
        self, market: int, side: int, losers: Collection[int]
    ) -> Iterator[Rows]:
        at, size = 0, FIRST
        while True:
            found = self.ranks.first(market, side, size)
            yield _others(found[at:], losers)
            if len(found) < size:
                return
            at, size = size, 4 * size

    # -- RANKINGS OF OTHERS

    def _scores(self, rows: Rows, side: int, mark: float) -> Floats:
        return scores(self._candidates(rows, side, mark), self.policy)

    def _candidates(self, part: Rows, side: int, mark: float) -> Candidates:
        columns: dict[str, Any] = {name: part[name] for name in COLUMNS}
        return Candidates(side=side, mark=mark, **columns)


def _others(rows: Rows, losers: Collection[int]) -> Rows:
    return rows[~np.isin(rows["account"], list(losers))]


def _growing(rows: Rows) -> Iterator[Rows]:
    """The same rows, a few and then four times as many at a time."""
    at, size = 0, FIRST
    while at < len(rows):
        yield rows[at : at + size]
        at, size = at + size, 4 * size


def _cut(parts: Iterable[Rows], size: int) -> Iterator[Rows]:
    """The same rows, so many at a time."""
    left = np.empty(0, CANDIDATE)
    for part in parts:
        left = np.concatenate([left, part])
        while len(left) >= size:
            yield left[:size].copy()
            left = left[size:]
    if len(left):
        yield left


def _affordable(lots: Integers, equity: Floats, cost: float) -> Integers:
    # Of a price better than the mark, everyone can have all.
    if cost <= 0.0:
        return lots
    most = np.maximum(equity, 0.0) * MOST / cost
    return np.minimum(lots.astype(np.float64), most).astype(np.int64)
