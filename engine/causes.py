"""Where forced trades came from: every one walked back, and summed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .events import KIND, NO_CAUSE, ORDER, RARE, EventLog
from .slippage import lost_usd

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run


Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNKNOWN = ("unknown", "unknown", "unknown", 0)
"""What is said of a sale that nothing caused."""


def links(log: EventLog, events: Integers) -> tuple[Integers, Integers]:
    """Causes of events, and their kinds: numbers in `SINGLE`, -1 for others.

    ``events`` ascend. O(events × log of the log).
    """
    causes = np.zeros(len(events), np.int64)
    kinds = np.full(len(events), -1)
    for ids, rows, *_ in log.pieces() if len(events) else ():
        if ids[-1] < events[0] or events[-1] < ids[0]:
            continue
        place = np.minimum(np.searchsorted(ids, events), len(ids) - 1)
        own = ids[place] == events
        causes[own] = rows["cause"][place[own]]
        if rows.dtype == RARE:
            kinds[own] = rows["kind"][place[own]]
    return np.where(causes == NO_CAUSE, log.met.of(events), causes), kinds


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


def ancestry(log: EventLog, events: Integers) -> Ancestry:
    """Walk events back to their roots, all at once. O(links of the longest chain)."""
    ids, causes, breaches = _ancestors(log, events)
    parent = _parents(ids, causes)
    n = len(ids)
    root, count = np.arange(n + 1), np.append(breaches, False).astype(np.int64)
    while (on := parent != n).any():
        # Each row knows of twice as many links as before.
        count = count + np.where(on, count[parent], 0)
        root = np.where(on, root[parent], root)
        parent = parent[parent]
    breach = _nearest(_parents(ids, causes), breaches)
    breach = np.where(breach < 0, root[:n], breach)
    return Ancestry(ids, ids[root[:n]], ids[breach], count[:n])


def passing(log: EventLog, events: Integers, marks: Integers) -> Integers:
    """The nearest mark on the way from each event to its root, NO_CAUSE if none.

    An event that is a mark is its own nearest. O(links of the longest chain).
    """
    numbers, where = np.unique(events, return_inverse=True)
    known = numbers != NO_CAUSE
    found = np.full(len(numbers), NO_CAUSE)
    if known.any():
        ids, causes, _ = _ancestors(log, numbers[known])
        row = _nearest(_parents(ids, causes), np.isin(ids, marks))
        row = row[np.searchsorted(ids, numbers[known])]
        found[known] = np.where(row < 0, NO_CAUSE, ids[row])
    return np.asarray(found[where])


def _parents(ids: Integers, causes: Integers) -> Integers:
    # Behind the rows stands a row n that is nobody, and leads to itself.
    n = len(ids)
    return np.append(np.where(causes == NO_CAUSE, n, np.searchsorted(ids, causes)), n)


def _nearest(parent: Integers, marked: Bools) -> Integers:
    """Row of the nearest marked one on the way to each root; -1 if there is none."""
    n = len(marked)
    nearest = np.append(np.where(marked, np.arange(n), -1), -1)
    while (parent != n).any():
        nearest = np.where(nearest < 0, nearest[parent], nearest)
        parent = parent[parent]
    return nearest[:n]


def _ancestors(log: EventLog, events: Integers) -> tuple[Integers, Integers, Bools]:
    # All events on the way, with their causes, and which are breaches.
    found: list[tuple[Integers, Integers, Integers]] = []
    seen = np.zeros(log.next_id, np.bool_)
    seen[NO_CAUSE] = True
    layer = np.unique(events)
    while len(layer):
        causes, kinds = links(log, layer)
        found.append((layer, causes, kinds))
        seen[layer] = True
        layer = np.unique(causes[~seen[causes]])
    ids, causes, kinds = (np.concatenate(part) for part in zip(*found, strict=True))
    rank = np.argsort(ids)
    return ids[rank], causes[rank], kinds[rank] == KIND["breach"]


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
    nearest = passing(run.log, trades.event[rows], way)
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
    step, where = np.unique(run.order_causes[forced], return_inverse=True)
    described = _described(run, step)
    keys: dict[tuple[str, str, str, int], int] = {}
    kind = np.array([keys.setdefault(key, len(keys)) for key in described], np.int64)
    markets = len(run.names.markets)
    cell = kind[where] * markets + trades.market[forced]
    cells, row, count = np.unique(cell, return_inverse=True, return_counts=True)
    dollars = np.bincount(row, trades.usd[forced], len(cells))
    losses = np.bincount(row, lost_usd(run, forced), len(cells))
    told = list(keys)
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


def _described(run: "Run", steps: Integers) -> list[tuple[str, str, str, int]]:
    """Root, repriced asset, class of the account, and generation of each sale."""
    known = steps[steps != NO_CAUSE]
    if len(known) == 0:
        return [UNKNOWN] * len(steps)
    origins = ancestry(run.log, known)
    rows = origins.of(known)
    roots = {
        event: _root(run, event) for event in np.unique(origins.root[rows]).tolist()
    }
    breaches = _repriced(run, np.unique(origins.breach[rows]))
    found = [
        (roots[root], *breaches[breach], generation)
        for root, breach, generation in zip(
            origins.root[rows].tolist(),
            origins.breach[rows].tolist(),
            origins.generation[rows].tolist(),
            strict=True,
        )
    ]
    # Steps ascend, so that one without a cause comes first.
    return [UNKNOWN] * (len(steps) - len(known)) + found


def _repriced(run: "Run", events: Integers) -> dict[int, tuple[str, str]]:
    # What breaches are blamed on, and whose they are; of others all the same.
    names = run.names
    found: dict[int, tuple[int, int, int]] = {}
    for ids, rows in run.log.rare_pieces():
        place = np.minimum(np.searchsorted(ids, events), len(ids) - 1)
        own = ids[place] == events
        part = rows[place[own]]
        columns = (part[name].tolist() for name in ("asset", "market", "account"))
        found.update(zip(events[own].tolist(), zip(*columns, strict=True), strict=True))
    for event in (run.log[number] for number in events.tolist() if number not in found):
        found[event.id] = event.asset, event.market, event.account
    told = {}
    for event_id, (asset, market, account) in found.items():
        repriced = "unknown"
        if asset >= 0:
            repriced = f"{names.assets[asset]} index"
        elif market >= 0:
            repriced = f"{names.markets[market]} mark"
        told[event_id] = repriced, run.group(account).replace("_", " ")
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
