"""The rows of a stream: numbers of the books inside, units of people in its table."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .journal import Deed, Deeds
from .prints import scaled

if TYPE_CHECKING:
    from .events import EventLog
    from .run import Run
    from .scenario import LoadedScenario

Rows = NDArray[np.void]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]
Shocks = dict[tuple[str, int], int]

ROW = np.dtype(
    [
        ("time", "<i8"),
        ("row", "<i8"),  # its number in the recorded stream; -1 if it was inserted
        ("event", "<i8"),  # of the run; 0 if it has none
        ("cause", "<i8"),
        ("order", "<i8"),  # the order's number in the run
        ("price", "<i8"),
        ("qty", "<i8"),  # lots; of a transfer atoms
        ("display", "<i8"),
        ("usd", "<f8"),
        ("trigger", "<i4"),
        ("market", "<i4"),
        ("account", "<i4"),
        ("asset", "<i4"),
        ("sender", "<i4"),
        ("note", "<i4"),  # number in `Grounds.notes`
        ("kind", "u1"),
        ("side", "u1"),
        ("tif", "u1"),
        ("flags", "u1"),
    ]
)

KINDS = (
    "limit",
    "market",
    "cancel",
    "cancel_all",
    "replace",
    "transfer",
    "outside",
    "note",
)
LIMIT, MARKET, CANCEL, CANCEL_ALL, REPLACE, TRANSFER, OUTSIDE, NOTE = range(8)
"""The first five are the kinds of messages, with the books' own numbers."""

NO_MARKET = -2


class StreamError(ValueError):
    """A stream that cannot be played, or an edit that makes it one; told why."""


@frozen(eq=False, kw_only=True)
class Grounds:
    """What the numbers in a stream mean, and where it comes from."""

    scenario: "LoadedScenario"
    seed: int
    recorded: Rows
    deeds: Deeds
    markets: tuple[str, ...]
    assets: tuple[str, ...]
    tick: NDArray[np.float64]
    lot: NDArray[np.float64]
    atom: NDArray[np.float64]
    senders: tuple[str, ...]
    sender_of: Integers  # by account
    notes: Rows
    words: tuple[str, ...]  # of the notes
    shocks: Shocks

    @cached_property
    def units(self) -> dict[str, NDArray[np.float64]]:
        """The recorded numbers in units of people."""
        return in_units(self, self.recorded)


# -- OF A RUN


def grounds_of(run: "Run") -> Grounds:
    """Collect the stream of a run; StreamError if too little of it was kept."""
    deeds = run.deeds
    if deeds is None or run.log.traded:
        raise StreamError(
            "the run kept only the messages that traded, and a stream is all of them; "
            "run it with record.messages = 'all': "
            "crash.vary({'record.messages': 'all'}).run(seed)"
        )
    names = run.names
    known = [name for _, _, name in deeds.owners]
    senders = tuple(dict.fromkeys((*known, *deeds.senders, *names.classes)))
    number = {name: i for i, name in enumerate(senders)}
    # Accounts that nobody opened for himself are called by their class.
    classes = np.array([number[name] for name in names.classes], np.int64)
    sender_of = classes[names.account_class]
    for first, count, name in deeds.owners:
        sender_of[first : first + count] = number[name]
    sent = _sent(run, deeds, sender_of)
    done, notes = _done(run, deeds, number)
    rows = np.concatenate([sent, done])
    rows = rows[np.argsort(rows["time"], kind="stable")]
    rows["row"] = np.arange(len(rows))
    decimals = run.scenario.config.assets
    return Grounds(
        scenario=run.scenario,
        seed=run.seed,
        recorded=rows,
        deeds=deeds,
        markets=names.markets,
        assets=names.assets,
        tick=names.tick,
        lot=names.lot,
        atom=np.array([float(f"1e-{decimals[a].decimals}") for a in names.assets]),
        senders=senders,
        sender_of=sender_of,
        notes=notes,
        words=tuple(run.log.words),
        shocks=shocks_of(run.log),
    )


def shocks_of(log: "EventLog") -> Shocks:
    """Events of the shocks so far, by their words and how many had the same before."""
    found: Shocks = {}
    for event in log.single("shock"):
        before = sum(text == event.text for text, _ in found)
        found[event.text, before] = event.id
    return found


def _sent(run: "Run", deeds: Deeds, sender_of: Integers) -> Rows:
    # Messages that came through the gateway.
    ids, rows, results = run.log.messages()
    if len(deeds.served):
        firsts, counts = deeds.served.T
        batch = np.searchsorted(firsts, ids, "right") - 1
        ours = (batch >= 0) & (ids < firsts[batch] + counts[batch])
    else:
        ours = np.zeros(len(ids), np.bool_)
    ids, rows, results = ids[ours], rows[ours], results[ours]
    found = np.zeros(len(ids), ROW)
    for name in ("time", "cause", "price", "qty", "display", "trigger", "market"):
        found[name] = rows[name]
    for name in ("account", "kind", "side", "tif", "flags"):
        found[name] = rows[name]
    fresh = rows["kind"] <= MARKET
    found["order"] = np.where(fresh, results["order_id"], rows["order_id"])
    found["event"], found["asset"], found["note"] = ids, -1, -1
    found["sender"] = sender_of[rows["account"]]
    return found


def _done(run: "Run", deeds: Deeds, number: Mapping[str, int]) -> tuple[Rows, Rows]:
    # What senders did beside messages, and the notes among it.
    rows = deeds.rows[deeds.rows["kind"] != Deed.WAKE]
    found = np.zeros(len(rows), ROW)
    kinds = np.array([NOTE, TRANSFER, OUTSIDE], np.uint8)
    names = np.array([number[name] for name in deeds.senders] or [0], np.int64)
    found["time"], found["event"] = rows["time"], rows["event"]
    found["kind"], found["sender"] = kinds[rows["kind"]], names[rows["sender"]]
    found["asset"], found["account"] = rows["asset"], rows["account"]
    found["qty"], found["usd"] = rows["atoms"], rows["usd"]
    found["market"], found["note"] = NO_MARKET, -1
    told = rows["kind"] == Deed.NOTE
    ids, rare = run.log.rare()
    notes = rare[np.searchsorted(ids, rows["event"][told])].copy()
    found["note"][told] = np.arange(len(notes))
    found["account"][told], found["cause"][told] = notes["account"], notes["cause"]
    return found, notes


# -- IN UNITS


def in_units(grounds: Grounds, rows: Rows) -> dict[str, NDArray[np.float64]]:
    """The columns of floats of a table."""
    priced = rows["market"] >= 0
    tick, lot = np.zeros(len(rows)), np.zeros(len(rows))
    tick[priced] = grounds.tick[rows["market"][priced]]
    lot[priced] = grounds.lot[rows["market"][priced]]
    moved = rows["kind"] == TRANSFER
    atom = grounds.atom[np.maximum(rows["asset"], 0)]
    return {
        "time": np.round(rows["time"] * 1e-9, 9),
        "price": np.where(priced, _times(rows["price"], tick), 0.0),
        "qty": np.where(moved, _times(rows["qty"], atom), _times(rows["qty"], lot)),
        "display": _times(rows["display"], lot),
        "trigger": _times(rows["trigger"].astype(np.int64), tick),
        "usd": rows["usd"].astype(np.float64),
    }


def _times(count: Integers, unit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(unit > 0, scaled(count, np.where(unit > 0, unit, 1.0)), 0.0)
