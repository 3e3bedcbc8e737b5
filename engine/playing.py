"""A stream in the place of those who sent it: replay, open-loop or closed-loop."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import EXTERNAL
from ..orderbook.orders import MESSAGE, Side, messages
from .arguments import expect, refuse
from .events import NO_CAUSE, SINGLE
from .journal import GATEWAY
from .stream_rows import (
    CANCEL,
    MARKET,
    NOTE,
    OUTSIDE,
    REPLACE,
    Shocks,
    StreamError,
    shocks_of,
)
from .streams import Stream

if TYPE_CHECKING:
    from .own import Agent
    from .run import Run
    from .scenario import LoadedScenario
    from .simulation import World

Rows = NDArray[np.void]
Integers = NDArray[np.int64]
Progress = Callable[[float, float], None]

LOOPS = ("open", "closed")
LIVE = -1
"""Row of a message that is not of the stream."""

FIELDS = ("time", "price", "qty", "display", "trigger", "market", "account")
CODES = ("kind", "side", "tif", "flags")


class Player:
    """Sends and does what a stream says at its times, for the senders it plays.

    Open-loop it plays everyone but agents given to the replay; closed-loop those whose
    rows were edited. ``live`` names the agents that act by themselves.
    """

    def __init__(self, stream: Stream, *, opened: bool, live: Sequence[str]) -> None:
        self.stream, self.opened, self.live = stream, opened, tuple(live)
        edits, senders = stream.edits, stream.grounds.senders
        edited = () if opened else edits.senders
        self._played = {name: self._plays(name, edited) for name in senders}
        own = np.array([self._played[name] for name in senders], np.bool_)
        rows = stream.rows[own[stream.rows["sender"]]]
        said = rows["kind"] <= REPLACE
        self._rows = rows[said]
        self._deeds = {
            name: rows[~said & (rows["sender"] == i)]
            for i, name in enumerate(senders)
            if self._played[name]
        }
        self._done = dict.fromkeys(self._deeds, 0)
        self._batch = _messages(self._rows)
        self._target = self._targets()
        self._next = 0
        n = len(self._rows)
        self._order = np.zeros(n, np.int64)  # numbers that orders got here
        self._event = np.zeros(n, np.int64)
        self._told: dict[int, int] = {}  # notes: recorded event and the one here
        self._times = np.ascontiguousarray(self._rows["time"])
        self._by_event = np.argsort(self._rows["event"], kind="stable")
        self._events = self._rows["event"][self._by_event]
        # Until the first difference all events have the numbers they had.
        self._alike_until = edits.first
        self._frontier: int | None = None
        self._muted: dict[int, bool] = {}  # accounts of machinery that sent something
        self._shock = {event: key for key, event in stream.grounds.shocks.items()}
        self._shocks: Shocks = {}  # those here
        self._sent = np.empty(0, np.int64)  # rows of the batch that is out
        self._first = 0

    def _plays(self, sender: str, edited: Sequence[str]) -> bool:
        if sender.removeprefix("agents.") in self.live and sender.startswith("agents."):
            return False
        return self.opened or sender in edited

    def _targets(self) -> Integers:
        # Of each cancel and replace the row of its order; -1 if there is none.
        rows = self._rows
        fresh = np.flatnonzero((rows["kind"] <= MARKET) & (rows["order"] != 0))
        fresh = fresh[np.argsort(rows["order"][fresh], kind="stable")]
        found = np.full(len(rows), -1)
        named = np.flatnonzero((rows["kind"] == CANCEL) | (rows["kind"] == REPLACE))
        if len(fresh) and len(named):
            numbers = rows["order"][fresh]
            at = np.searchsorted(numbers, rows["order"][named])
            at = np.minimum(at, len(fresh) - 1)
            same = numbers[at] == rows["order"][named]
            # Nobody cancels what is another's.
            same &= rows["account"][fresh[at]] == rows["account"][named]
            found[named[same]] = fresh[at[same]]
        return found

    def begin(self, world: "World") -> None:
        """Check that the world has the participants of the stream."""
        self._world, grounds = world, self.stream.grounds
        names, deeds = world.names(), grounds.deeds
        here = [entry for entry in world.owners if entry[2] not in self._new()]
        same = (
            here == list(deeds.owners)
            and names.markets == grounds.markets
            and names.assets == grounds.assets
            and np.array_equal(names.tick, grounds.tick)
            and np.array_equal(names.lot, grounds.lot)
        )
        if not same:
            raise StreamError(
                "the scenario has other markets or participants than the run of the "
                "stream, whose accounts would be others; change only rules and "
                "parameters that leave both as they are"
            )
        absent = [
            name
            for name in self.stream.own
            if name not in self.live and not self.plays(f"agents.{name}")
        ]
        if absent:
            raise StreamError(
                f"the run had agents of one's own ({', '.join(absent)}), which react "
                "in a closed loop: give them again, as agents=[...]"
            )
        fresh = self.opened and bool(self.live)
        alike = (
            world.config == grounds.scenario.config and not fresh and not self._new()
        )
        if not alike:
            self._alike_until = 0

    def _new(self) -> list[str]:
        return [f"agents.{name}" for name in self.live if name not in self.stream.own]

    def mute(self, batch: Rows) -> None:
        """Take what machinery sends; the stream has its own in the place of it."""
        self._muted.update(dict.fromkeys(batch["account"].tolist(), True))

    def unserved(self, accounts: Integers) -> NDArray[np.bool_]:
        """Which accounts of machinery wait for the messages of the stream."""
        waits = [self._muted.get(account, False) for account in accounts.tolist()]
        return np.array(waits, np.bool_)

    def told(self) -> str:
        """What the run is called for it."""
        loop = "open-loop replay" if self.opened else "closed-loop replay"
        return ", ".join([loop, *self.stream.edits.words])

    def plays(self, sender: str) -> bool:
        """Whether the stream stands in the place of a sender."""
        if sender not in self._played:
            self._played[sender] = self._plays(sender, ())
        return self._played[sender]

    # -- WHAT SENDERS DO BESIDE MESSAGES

    def act(self, sender: str, now: int) -> None:
        """Do what a sender did beside messages, as far as its time has come."""
        deeds = self._deeds.get(sender)
        if deeds is None or self._done[sender] == len(deeds):
            return
        self._notice(now)
        at = self._done[sender]
        while at < len(deeds) and deeds["time"][at] <= now:
            if sender == GATEWAY and self._early(deeds[at], now):
                break
            self._do(deeds[at], now)
            at += 1
        self._done[sender] = at

    def _early(self, deed: np.void, now: int) -> bool:
        # The gateway tells of what it refused several times in one moment.
        here = self._world.exchange.log.next_id
        return bool(
            self._frontier is None and deed["time"] == now and deed["event"] != here
        )

    def _do(self, deed: np.void, now: int) -> None:
        world, journal = self._world, self._world.journal
        asset, account = int(deed["asset"]), int(deed["account"])
        atoms, usd = int(deed["qty"]), float(deed["usd"])
        if deed["kind"] == NOTE:
            self._told[int(deed["event"])] = self._note(deed, now)
        elif deed["kind"] == OUTSIDE:
            world.outside.trade(asset, usd)
            if journal is not None:
                journal.traded(now, asset, usd)
        else:
            ledger = world.exchange.ledger
            source, target = (EXTERNAL, account) if atoms > 0 else (account, EXTERNAL)
            ledger.transfer(asset, source, target, abs(atoms))
            if journal is not None:
                journal.moved(now, asset, account, atoms)

    def _note(self, deed: np.void, now: int) -> int:
        grounds = self.stream.grounds
        row = grounds.notes[int(deed["note"])]
        cause = self._causes(np.array([deed["cause"]], np.int64))
        fields = ("account", "counterparty", "market", "asset", "side", "price", "qty")
        values: dict[str, Any] = {name: int(row[name]) for name in fields}
        kind, exchange = SINGLE[int(row["kind"])], self._world.exchange
        event = exchange.log.add(
            kind,
            now,
            int(cause[0]),
            value=float(row["value"]),
            text=grounds.words[int(row["text"])],
            **values,
        )
        if kind == "withdrawal":
            account, market, side = (values[n] for n in ("account", "market", "side"))
            side = max(side, Side.BUY)
            exchange.movers.withdraw(
                exchange.books, account, market, side, event, int(cause[0]), now
            )
        return event

    # -- MESSAGES

    def batches(self, live: Rows, until: int) -> Iterator[Rows]:
        """Yield what the books get up to a time: that of the gateway and the stream's.

        A cancel comes in a batch after that of its order, whose number it needs.
        """
        self._notice(until)
        start, end = self._next, self._due(until)
        self._next = end
        who = np.full(len(live) + end - start, LIVE)
        batch = messages(len(who))
        batch[: len(live)], batch[len(live) :] = live, self._batch[start:end]
        who[len(live) :] = np.arange(start, end)
        if len(live):
            order = np.argsort(batch["time"], kind="stable")
            batch, who = batch[order], who[order]
        first = 0
        for cut in [*self._cuts(who, start), len(who)]:
            part, self._sent = batch[first:cut].copy(), who[first:cut]
            self._first = self._world.exchange.log.next_id
            self._fill_in(part, self._sent)
            first = cut
            yield part

    def _due(self, until: int) -> int:
        first = int(np.searchsorted(self._times, until, "left"))
        last = int(np.searchsorted(self._times, until, "right"))
        if self._frontier is not None:
            return last
        # Times are cut to the nanosecond: what the gateway served within this one may
        # have come with the next batch, as the event of the message tells.
        event = self._world.exchange.log.next_id - self._next
        while first < last and self._rows["event"][first] == event + first:
            first += 1
        return max(first, self._next)

    def _cuts(self, who: Integers, start: int) -> list[int]:
        # Where messages name an order of the same batch.
        if len(self._target) == 0:
            return []
        near = (who != LIVE) & (self._target[who] >= start)
        if not near.any():
            return []
        place = {row: i for i, row in enumerate(who.tolist()) if row != LIVE}
        cuts, last = [], 0
        for i in np.flatnonzero(near).tolist():
            if last <= place.get(int(self._target[who[i]]), -1) < i:
                cuts.append(i)
                last = i
        return cuts

    def _fill_in(self, part: Rows, who: Integers) -> None:
        # The order numbers and causes that hold here.
        own = np.flatnonzero(who != LIVE)
        rows = who[own]
        kind = part["kind"][own]
        named = (kind == CANCEL) | (kind == REPLACE)
        target, number = self._target[rows], self._rows["order"][rows]
        known = np.where(target >= 0, self._order[np.maximum(target, 0)], 0)
        # Orders from before the start have the numbers they had.
        old = (target < 0) & (number <= self.stream.grounds.deeds.first_order)
        known = np.where(old, number, known)
        part["order_id"][own] = np.where(named, known, 0)
        part["cause"][own] = self._causes(self._rows["cause"][rows])

    def answered(self, results: Rows) -> None:
        """Take what became of the batch that is out."""
        own = np.flatnonzero(self._sent != LIVE)
        rows = self._sent[own]
        fresh = (self._rows["kind"][rows] <= MARKET) & (results["accepted"][own] > 0)
        self._order[rows[fresh]] = results["order_id"][own[fresh]]
        self._event[rows] = self._first + own
        if self._muted:
            served = self._rows["account"][rows].tolist()
            self._muted.update(dict.fromkeys(served, False))

    # -- CAUSES

    def _notice(self, now: int) -> None:
        # From the first difference on, events have other numbers.
        until = self._alike_until
        if self._frontier is None and until is not None and now >= until:
            self._frontier = self._world.exchange.log.next_id

    def _causes(self, causes: Integers) -> Integers:
        """Events of the run as events here; a root if there is no such event here."""
        if self._frontier is None:
            return causes
        frontier = self._frontier if self._alike_until else 1
        late = np.flatnonzero(causes >= frontier)
        found = causes.copy()
        for i in late.tolist():
            found[i] = self._here(int(causes[i]))
        return found

    def _here(self, event: int) -> int:
        if event in self._told:
            return self._told[event]
        at = int(np.searchsorted(self._events, event))
        if at < len(self._events) and self._events[at] == event:
            return int(self._event[self._by_event[at]])
        key = self._shock.get(event)
        if key is None:
            return NO_CAUSE
        if key not in self._shocks:
            self._shocks = shocks_of(self._world.exchange.log)
        return self._shocks.get(key, NO_CAUSE)


def _messages(rows: Rows) -> Rows:
    batch = np.zeros(len(rows), MESSAGE)
    for name in (*FIELDS, *CODES):
        batch[name] = rows[name]
    return batch


def replay(
    scenario: "LoadedScenario",
    stream: Stream,
    loop: str,
    agents: "Sequence[Agent]" = (),
    on_progress: Progress | None = None,
) -> "Run":
    """Run a scenario with a stream in the place of those who sent it."""
    from .running import simulate
    from .seats import GROUP, check_agents, name_of

    expect("stream", stream, Stream, "what run.stream() returned, or an edit of it")
    if loop not in LOOPS:
        refuse("loop", loop, "'open' (nobody reacts) or 'closed' (they do)")
    opened, edited = loop == "open", stream.edits.senders
    both = [name for name in check_agents(agents) if f"{GROUP}.{name}" in edited]
    if both:
        raise StreamError(
            f"the stream has edited rows of agent {both[0]!r}, which acts by itself if "
            "it is given: leave it out, or its rows as they were"
        )
    # Of the scenario's own those act whose rows nobody edited.
    own = [a for a in scenario.agents if f"{GROUP}.{name_of(a)}" not in edited]
    given = check_agents(agents, () if opened else own)
    player = Player(stream, opened=opened, live=list(given))
    there = list(given.values())
    return simulate(scenario, stream.seed, on_progress, agents=there, player=player)
