"""What liquidation is about: the venue it runs on, and the accounts it has in hand."""

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import Books
from ..cython_ext.ledger import Ledger
from ..cython_ext.risk import Risk
from .markets import MarketSpec
from .moves import Moves

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.void]


class Venue(Protocol):
    """What the liquidation engine needs of an exchange."""

    ledger: Ledger
    risk: Risk
    books: Books
    log: Any
    specs: tuple[MarketSpec, ...]
    assets: tuple[str, ...]
    base: NDArray[np.int64]
    quote: NDArray[np.int64]
    atom: Floats
    tick: Floats
    lot: Floats
    index_moves: Moves
    mark_moves: Moves

    @property
    def index(self) -> Floats:
        """Index prices by asset, US dollars."""

    @property
    def mark(self) -> Floats:
        """Mark prices by market, NaN for spot."""

    def execute(self, batch: Rows) -> tuple[Rows, Rows]:
        """Take a batch of the venue's own orders through books and ledger."""


CASE = np.dtype(
    [(name, "<i8") for name in ("account", "breach", "cycle", "resting", "cancelled")]
    + [(name, "?") for name in ("sold_out", "starved", "rests", "over")]
)


CYCLE_BITS, PLACE_BITS = 12, 17
"""Of the key of an order: for the cycle of its case, for its market and side."""


class Case(NamedTuple):
    """One account in liquidation, for what goes account by account."""

    row: int  # of `Cases`
    account: int
    breach: int  # event id
    cycle: int
    sold_out: bool


class Cases:
    """Accounts in liquidation, from the breach until healthy or empty: a row each.

    Rows stay where they are until `tidy`. Their columns: ``breach`` is an event;
    ``cycle`` counts the cycles in which all orders were sent, ``cancelled`` has a bit
    for each cancelling step that is done; until the time ``resting`` the account is
    left alone, and in this cycle if it ``rests``; ``sold_out`` says that nothing was
    left to sell or close in the last cycle, ``starved`` that the rate limit held back
    orders of this one.
    """

    def __init__(self, holdings: int) -> None:
        self.rows: Rows = np.empty(0, CASE)
        self.slices = Slices(holdings)
        self._row: dict[int, int] = {}  # by account
        # Keys of the orders that went in this cycle, see `keys`.
        self.sent: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, account: object) -> bool:
        return account in self._row

    def __iter__(self) -> Iterator[int]:
        return iter(self._row)

    def __eq__(self, other: object) -> bool:
        """Whether the same cases are in hand, at the same."""
        same = isinstance(other, Cases) and np.array_equal(self.rows, other.rows)
        return bool(same)

    __hash__ = None  # type: ignore[assignment]

    def open(self, accounts: Integers, breaches: Integers) -> None:
        """Add a case for each account, none of which has one."""
        first = len(self.rows)
        more = np.zeros(len(accounts), CASE)
        more["account"], more["breach"] = accounts, breaches
        self.rows = np.concatenate([self.rows, more])
        self._row.update(zip(accounts.tolist(), count(first)))

    def close(self, rows: Integers) -> None:
        """Take cases out; all are in it."""
        accounts = self.accounts(rows)
        self.rows["over"][rows] = True
        self.slices.drop(accounts)
        for account in accounts.tolist():
            del self._row[account]

    def tidy(self) -> None:
        """Give cases new rows without gaps, and forget orders of cycles that ended."""
        if len(self._row) < len(self.rows):
            self.rows = self.rows[~self.rows["over"]]
            self._row = dict(zip(self.rows["account"].tolist(), count()))
        if self.sent:
            now = set(self._turns(self.rows).tolist())
            kept = (key for key in self.sent if key >> PLACE_BITS in now)
            self.sent = dict.fromkeys(kept)

    def accounts(self, rows: Integers) -> Integers:
        """Whose cases they are."""
        return np.asarray(self.rows["account"][rows])

    def at(self, account: int) -> Integers:
        """The row of an account, as all steps take them."""
        return np.array([self._row[account]])

    def each(self, rows: Integers) -> list[Case]:
        """Cases one by one, as they are now."""
        found = self.rows[rows]
        names = ("account", "breach", "cycle", "sold_out")
        columns = (found[name].tolist() for name in names)
        return list(map(Case, rows.tolist(), *columns))

    # -- A CYCLE

    def begin(self, rows: Integers, now: int) -> None:
        """Start a cycle."""
        found = self.rows[rows]
        found["rests"] = now < found["resting"]
        found["sold_out"], found["starved"] = ~found["rests"], False
        self.rows[rows] = found

    def end(self, rows: Integers) -> None:
        """Count a cycle of those whose orders were all sent."""
        done = rows[~(self.rows["starved"][rows] | self.rows["rests"][rows])]
        self.rows["cycle"][done] += 1

    def keys(self, rows: Integers, markets: Integers, sides: Integers) -> Integers:
        """A number for each order: the case, its cycle, market and side."""
        turns = self._turns(self.rows[rows])
        keys: Integers = (turns << PLACE_BITS) + markets * 2 + sides
        return keys

    def _turns(self, found: Rows) -> Integers:
        # A case has a breach of its own, and of its cycles only the last is asked for.
        cycle = found["cycle"] & ((1 << CYCLE_BITS) - 1)
        turns: Integers = (found["breach"] << CYCLE_BITS) + cycle
        return turns


class Slices:
    """How many lots of each holding go in a cycle, as they were found at first.

    A holding is an account and a number of its own that is below ``width``.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        # Keys ascend; with each how many came before it.
        self._key: Integers = np.empty(0, np.int64)
        self._lots: Integers = np.empty(0, np.int64)
        self._nth: Integers = np.empty(0, np.int64)
        self._next = 0

    def first(self, accounts: Integers, holdings: Integers, lots: Integers) -> Integers:
        """What was found first of each holding: ``lots`` of those that are new."""
        key = accounts * self.width + holdings
        at = np.searchsorted(self._key, key)
        known = np.append(self._key, -1)[at] == key
        if not known.all():
            new = np.flatnonzero(~known)
            nth = self._next + np.arange(len(new))
            self._next += len(new)
            order = np.argsort(key[new])
            new, nth = new[order], nth[order]
            self._key = np.insert(self._key, at[new], key[new])
            self._lots = np.insert(self._lots, at[new], lots[new])
            self._nth = np.insert(self._nth, at[new], nth)
            at = np.searchsorted(self._key, key)
        found: Integers = self._lots[at]
        return found

    def of(self, account: int) -> list[int]:
        """The holdings of an account, in the order in which they were found."""
        least = account * self.width
        rows = slice(*np.searchsorted(self._key, [least, least + self.width]))
        order = np.argsort(self._nth[rows])
        found: list[int] = (self._key[rows][order] - least).tolist()
        return found

    def drop(self, accounts: Integers) -> None:
        """Forget the holdings of accounts."""
        least = accounts * self.width
        first, last = np.searchsorted(self._key, [least, least + self.width])
        gone = np.zeros(len(self._key) + 1, np.int64)
        np.add.at(gone, first, 1)
        np.add.at(gone, last, -1)
        kept = np.cumsum(gone[:-1]) == 0
        self._key, self._lots = self._key[kept], self._lots[kept]
        self._nth = self._nth[kept]
