"""Where forced trades came from: every one walked back, and summed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..cython_ext.origins import walked
from .events import NO_CAUSE, ORDER, EventLog
from .prints import distinct
from .slippage import lost_usd

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run


Integers = NDArray[np.int64]

UNKNOWN = ("unknown", "unknown", "unknown", 0)
"""What is said of a sale that nothing caused."""


@frozen
class Ancestry:
    """Events and all that caused them, by ascending id, each with where it began.

    ``root`` is the first of its causes, ``breach`` the nearest breach on the way to it
    (the root if there is none), ``generation`` how many breaches there are.
    """

    event: Integers
    root: Integers
    breach: Integers
    generation: Integers

    def of(self, events: Integers) -> Integers:
        """Rows of events."""
        return np.searchsorted(self.event, events)


@frozen(eq=False)
class Links:
    """The cause of every event of a log, 8 bytes each, and which are breaches."""

    cause: Integers  # by event; NO_CAUSE of a root, and of what the log did not keep
    breaches: Integers

    @classmethod
    def of(cls, log: EventLog) -> "Links":
        """Look the causes up, and what orders met that nothing caused. O(log)."""
        cause = np.zeros(log.next_id, np.int64)
        for ids, rows, *_ in log.pieces():
            cause[ids] = rows["cause"]
        log.met.fill(cause)
        return cls(cause, log.rare("breach")[0])

    def ancestry(self, events: Integers) -> Ancestry:
        """Walk events back to their roots. O(log)."""
        ids, root, breach, count = self._walked(events, self.breaches)
        return Ancestry(ids, root, np.where(breach == NO_CAUSE, root, breach), count)

    def passing(self, events: Integers, marks: Integers) -> Integers:
        """The nearest mark on the way from each event to its root, NO_CAUSE if none.

        An event that is a mark is its own nearest. O(log).
        """
        ids, _, nearest, _ = self._walked(events, np.sort(marks))
        return nearest[np.searchsorted(ids, events)]

    def _walked(
        self, events: Integers, marks: Integers
    ) -> tuple[Integers, Integers, Integers, Integers]:
        assert (events != NO_CAUSE).all()
        wanted = np.zeros(len(self.cause), np.uint8)
        wanted[events] = True
        return walked(self.cause, wanted, marks)


@frozen
class Flow:
    """Forced trades that go back to an event, US dollars; ``lost`` as in `causes`."""

    usd: float
    lost: float
    trades: int


def flows(run: "Run", chain: Sequence[int]) -> list[Flow]:
    """What goes back to each event of a chain, the last of them first.

    Of a run without forced trades, all trades are counted.
    """
    trades = run.prints
    rows = np.flatnonzero(trades.forced)
    rows = rows if len(rows) else np.arange(len(trades.time))
    way = np.array(chain, np.int64)
    nearest = run.links.passing(trades.event[rows], way)
    rows, nearest = rows[nearest != NO_CAUSE], nearest[nearest != NO_CAUSE]
    # Causes are older than their effects, so that the way descends; and what goes
    # back to an event goes back to its cause.
    place, n = len(way) - 1 - np.searchsorted(way[::-1], nearest), len(way)
    usd = np.cumsum(np.bincount(place, trades.usd[rows], n))
    lost = np.cumsum(np.bincount(place, lost_usd(run, rows), n))
    count = np.cumsum(np.bincount(place, minlength=n))
    sums = zip(usd.tolist(), lost.tolist(), count.tolist(), strict=True)
    return [Flow(*found) for found in sums]


def causes(run: "Run") -> "pa.Table":
    """Forced trades by root, repricing, class, market and generation, US dollars.

    ``lost`` is what their takers lost against the price outside.
    """
    import pyarrow as pa

    trades = run.prints
    forced = np.flatnonzero(trades.forced)
    step, where = distinct(run.order_causes[forced], len(run.links.cause))
    told, kind = _described(run, step)
    markets = len(run.names.markets)
    cell = kind[where] * markets + trades.market[forced]
    cells, row = distinct(cell, len(told) * markets)
    dollars = np.bincount(row, trades.usd[forced], len(cells))
    losses = np.bincount(row, lost_usd(run, forced), len(cells))
    count = np.bincount(row, minlength=len(cells))
    lines = sorted(
        (
            (*told[number // markets], run.names.markets[number % markets], *sums)
            for number, *sums in zip(
                cells.tolist(),
                dollars.tolist(),
                losses.tolist(),
                count.tolist(),
                strict=True,
            )
        ),
        key=lambda line: -float(line[5]),
    )
    types = {
        "root": pa.string(),
        "repriced": pa.string(),
        "group": pa.string(),
        "generation": pa.int64(),
        "market": pa.string(),
        "usd": pa.float64(),
        "lost": pa.float64(),
        "trades": pa.int64(),
    }
    return pa.table(
        {
            name: pa.array([line[i] for line in lines], type_)
            for i, (name, type_) in enumerate(types.items())
        }
    )


def _described(
    run: "Run", steps: Integers
) -> tuple[list[tuple[str, str, str, int]], Integers]:
    """Root, repriced asset, class of the account, and generation of sales.

    All that there are, and the number of each step's among them. Steps ascend, so that
    one without a cause comes first.
    """
    known = steps[steps != NO_CAUSE]
    unknown = len(steps) - len(known)
    told = [UNKNOWN] * unknown
    if len(known) == 0:
        return told, np.zeros(len(steps), np.int64)
    found = run.links.ancestry(known)
    rows = found.of(known)
    roots, root = distinct(found.root[rows], len(run.links.cause))
    breaches, breach = distinct(found.breach[rows], len(run.links.cause))
    beginning = _numbered([_root(run, event) for event in roots.tolist()])
    blamed = _numbered(_repriced(run, breaches))
    sizes = len(beginning[0]), len(blamed[0]), int(found.generation.max()) + 1
    codes = beginning[1][root], blamed[1][breach], found.generation[rows]
    code = np.ravel_multi_index(codes, sizes)
    which, first, number = np.unique(code, return_index=True, return_inverse=True)
    # In the order in which they are met.
    order = np.argsort(first)
    for i, j, generation in zip(*np.unravel_index(which[order], sizes), strict=True):
        told.append((beginning[0][i], *blamed[0][j], int(generation)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) + unknown
    return told, np.append(np.zeros(unknown, np.int64), rank[number])


def _numbered(words: Sequence[Any]) -> tuple[list[Any], Integers]:
    # What there is of them, and the number of each among that.
    numbers: dict[Any, int] = {}
    codes = [numbers.setdefault(word, len(numbers)) for word in words]
    return list(numbers), np.array(codes, np.int64)


def _repriced(run: "Run", events: Integers) -> list[tuple[str, str]]:
    # What breaches are blamed on, and whose they are; of others all the same.
    names = run.names
    found: dict[int, tuple[int, int, int]] = {}
    for ids, rows in run.log.rare_pieces():
        own = events[slice(*np.searchsorted(events, [ids[0], ids[-1] + 1]))]
        place = np.searchsorted(ids, own)
        there = ids[place] == own
        part = rows[place[there]]
        columns = (part[name].tolist() for name in ("asset", "market", "account"))
        found.update(zip(own[there].tolist(), zip(*columns, strict=True), strict=True))
    told = []
    for number in events.tolist():
        if number not in found:
            event = run.log[number]
            found[number] = event.asset, event.market, event.account
        asset, market, account = found[number]
        repriced = "unknown"
        if asset >= 0:
            repriced = f"{names.assets[asset]} index"
        elif market >= 0:
            repriced = f"{names.markets[market]} mark"
        told.append((repriced, run.group(account).replace("_", " ")))
    return told


def _root(run: "Run", event_id: int) -> str:
    event = run.log[event_id]
    if event.kind == "shock":
        return event.text or "shock"
    if event.kind in (ORDER, "decision"):
        return f"{run.group(event.account).replace('_', ' ')}, own decision"
    return {"index": "outside price", "mark": "outside price"}.get(
        event.kind, event.kind
    )
