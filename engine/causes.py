"""Where forced trades came from: every one walked back, and summed."""

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from .events import NO_CAUSE, ORDER, EventLog

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run


@frozen
class Origin:
    """The root of an event, and how many breaches lie on the way to it."""

    root: int
    generation: int


class Origins:
    """Finds the origin of events; an event on many chains is walked once."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._known: dict[int, Origin] = {}

    def of(self, event_id: int) -> Origin:
        """The origin of an event. O(steps not walked before)."""
        way: list[tuple[int, bool]] = []
        at = event_id
        while at not in self._known:
            event = self._log[at]
            way.append((at, event.kind == "breach"))
            if event.cause == NO_CAUSE:
                break
            at = event.cause
        root, count = at, 0
        if at in self._known:
            root, count = self._known[at].root, self._known[at].generation
        for step, breach in reversed(way):
            count += breach
            self._known[step] = Origin(root, count)
        return self._known[event_id]


def causes(run: "Run") -> "pa.Table":
    """Forced trades in US dollars by root, repricing, class, market and generation."""
    import pyarrow as pa

    trades, origins = run.prints, Origins(run.log)
    forced = np.flatnonzero(trades.forced)
    step, where = np.unique(run.order_causes[forced], return_inverse=True)
    keys: dict[tuple[str, str, str, int], int] = {}
    kind = np.empty(len(step), np.int64)
    for i, event_id in enumerate(step.tolist()):
        key = _key(run, origins, event_id)
        kind[i] = keys.setdefault(key, len(keys))
    markets = len(run.names.markets)
    cell = kind[where] * markets + trades.market[forced]
    cells, row, count = np.unique(cell, return_inverse=True, return_counts=True)
    dollars = np.bincount(row, trades.usd[forced], len(cells))
    described = list(keys)
    lines = sorted(
        (
            (*described[number // markets], run.names.markets[number % markets], usd, n)
            for number, usd, n in zip(
                cells.tolist(), dollars.tolist(), count.tolist(), strict=True
            )
        ),
        key=lambda line: -float(line[5]),
    )
    names = ("root", "repriced", "group", "generation", "market", "usd", "trades")
    types = (
        pa.string(),
        pa.string(),
        pa.string(),
        pa.int64(),
        pa.string(),
        pa.float64(),
        pa.int64(),
    )
    return pa.table(
        {
            name: pa.array([line[i] for line in lines], type_)
            for i, (name, type_) in enumerate(zip(names, types, strict=True))
        }
    )


def _key(run: "Run", origins: Origins, event_id: int) -> tuple[str, str, str, int]:
    """Root, repriced asset, class of the account, and generation of a sale."""
    if event_id == NO_CAUSE:
        return "unknown", "unknown", "unknown", 0
    origin = origins.of(event_id)
    event = run.log[event_id]
    while event.kind != "breach" and event.cause != NO_CAUSE:
        event = run.log[event.cause]
    repriced = "unknown"
    if event.asset >= 0:
        repriced = f"{run.names.assets[event.asset]} index"
    elif event.market >= 0:
        repriced = f"{run.names.markets[event.market]} mark"
    group = run.group(event.account).replace("_", " ")
    return _root(run, origin.root), repriced, group, origin.generation


def _root(run: "Run", event_id: int) -> str:
    event = run.log[event_id]
    if event.kind == "shock":
        return event.text or "shock"
    if event.kind in (ORDER, "decision"):
        return f"{run.group(event.account).replace('_', ' ')}, own decision"
    return {"index": "outside price", "mark": "outside price"}.get(
        event.kind, event.kind
    )
