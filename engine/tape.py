"""The messages of a run as the books got them, kept so that they can be replayed.

What the books do follows from their messages, but for what the ledger has a say in:
whether an account may place an order, and how much of a reduce-only order there is to
reduce. The tape keeps those verdicts beside the messages, so that fresh books without a
ledger make the same trades.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise, zip_longest
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..cython_ext.book import Books
from ..margin.markets import MarketSpec
from ..orderbook.book_state import BookState
from ..orderbook.orders import FILL, MESSAGE, RESULT, Flag, Kind, Reason, Side, messages
from ..orderbook.recorded import Check, Findings
from .arguments import suggest
from .config import Market, Scenario
from .events import NO_CAUSE, EventLog
from .prints import scaled
from .store import RunFileError, StoredRun, digest, load_run

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run

Rows = NDArray[np.void]
Progress = Callable[[float], None]

NOT_SENT = 255
"""Kind of a message that the ledger refused: the books refuse it too."""

OF_LEDGER = (
    Reason.UNKNOWN_ACCOUNT,
    Reason.REDUCE_ONLY,
    Reason.OVERFLOW,
    Reason.INSUFFICIENT_MARGIN,
    Reason.ACCOUNT_REDUCE_ONLY,
)
"""Why the ledger refuses."""

CALLS = b"calls"
"""Where the metadata of the tape has what was asked of the books beside messages."""

CALLABLE = (
    "set_price_band",
    "set_reference",
    "set_last_price",
    "set_self_trade",
    "set_phase",
    "set_circuit_breaker",
    "set_trigger_price",
    "uncross",
)
"""What that may be."""

REDUCING = ("flags", "taker_order"), ("maker_flags", "maker_order")
"""Flags of a fill, and of which order they are."""

ROWS_READ = 1 << 16

TRADE = (
    "event",
    "market",
    "side",
    "price",
    "qty",
    "taker_account",
    "maker_account",
    "order",
    "maker_order",
)
"""Columns of the table of trades that are compared."""


# -- RECORDING


def tape(run: "Run") -> "pa.Table":
    """The messages of a run in the books' units, each with its event and verdict.

    ``batch`` counts those that came together; ``room`` is what a reduce-only order was
    cut to, 0 for others. What else was asked of the books is in the table's metadata:
    the event before which, the method, its arguments, and its cause.
    """
    import pyarrow as pa

    ids, rows, results = run.log.messages()
    sizes = [n for n in run.log.batch_sizes() if n]
    cut = (results["accepted"] > 0) & (results["reason"] == Reason.REDUCE_ONLY)
    columns = {
        "event": ids,
        "batch": np.repeat(np.arange(len(sizes), dtype=np.int64), sizes),
        **{name: rows[name] for name in _fields(MESSAGE)},
        "accepted": results["accepted"],
        "reason": results["reason"],
        "room": np.where(cut, results["filled"] + results["open"], 0),
    }
    table = pa.table({name: np.ascontiguousarray(c) for name, c in columns.items()})
    return table.replace_schema_metadata({CALLS: json.dumps(run.log.calls)})


def _fields(dtype: np.dtype[np.void]) -> list[str]:
    return [name for name in dtype.names or () if name != "pad"]


# -- REPLAYING


@frozen
class RunReplay(Findings):
    """A run whose messages were sent through fresh books."""

    books: Books
    markets: Mapping[str, Market]

    def state(self, name: str) -> BookState:
        """The book of a market at the end; LookupError if the run has no such."""
        if name not in self.markets:
            near = suggest(name, self.markets)
            raise LookupError(
                f"'name' must be a market of the run (got {name!r}){near}"
            )
        number = list(self.markets).index(name)
        bids, asks = (self.books.orders(number, side) for side in (Side.BUY, Side.SELL))
        return BookState(
            name=name,
            tick=Fraction(self.markets[name].tick),
            lot=Fraction(self.markets[name].lot),
            bids=np.column_stack([bids["price"], bids["qty"] + bids["hidden"]]),
            asks=np.column_stack([asks["price"], asks["qty"] + asks["hidden"]]),
            last=self.books.last_price(number),
        )


def replay_run(
    directory: str | PathLike[str], *, on_progress: Progress | None = None
) -> RunReplay:
    """Send the messages of a saved run through fresh books and compare the trades.

    The books have no ledger behind them: what that refused is left out, and what it cut
    is sent as it was cut. RunFileError if the directory holds no whole run, or one
    without its messages. O(messages), which are read some at a time.
    """
    stored = load_run(directory)
    if "tape.parquet" not in stored.manifest["files"]:
        how = "make it again with flashwick.reproduce(directory), and save that"
        if stored.scenario().config.record.messages == "traded":
            how = "record.messages is 'traded'; with 'all', run it again and save that"
        raise RunFileError(
            f"{stored.directory} was saved without the messages of the books; {how}"
        )
    player = _Player(stored, stored.scenario().config)
    for batch, read in _batches(stored):
        player.call(int(batch["event"][0]))
        player.play(batch)
        if on_progress is not None:
            on_progress(read)
    player.call(None)
    return player.findings()


def _books(config: Scenario) -> Books:
    # Empty books of the scenario's markets, set up as the simulation does it.
    books = Books()
    decimals = {name: asset.decimals for name, asset in config.assets.items()}
    for name, market in config.markets.items():
        spec = MarketSpec.define(name, market.tick, market.lot, decimals)
        number = books.add_market()
        fair = config.assets[spec.base].price / config.assets[spec.quote].price
        ticks = round(fair / float(spec.tick))
        if market.last is not None:
            ticks = spec.ticks(market.last)
        books.set_last_price(number, max(1, ticks))
        if market.price_band is not None:
            books.set_price_band(number, round(market.price_band * 1e6))
    return books


def _batches(stored: StoredRun) -> Iterator[tuple[dict[str, NDArray[Any]], float]]:
    """The columns of each batch, and which share of the messages has been read."""
    from pyarrow import parquet

    with parquet.ParquetFile(stored.directory / "tape.parquet") as file:
        total, read, rest = max(1, file.metadata.num_rows), 0, None
        for piece in file.iter_batches(batch_size=ROWS_READ):
            columns = {
                name: piece.column(name).to_numpy() for name in piece.schema.names
            }
            if rest is not None:
                columns = {n: np.concatenate([rest[n], columns[n]]) for n in columns}
            # The last batch of a piece may go on in the next.
            edges = np.flatnonzero(np.diff(columns["batch"])) + 1
            starts = [0, *edges.tolist()]
            for start, end in pairwise(starts):
                yield {n: c[start:end] for n, c in columns.items()}, read / total
            rest = {n: c[starts[-1] :] for n, c in columns.items()}
            read += len(piece)
        if rest is not None:
            yield rest, 1.0


def _calls(stored: StoredRun) -> deque[tuple[int, str, list[int], int]]:
    # What was asked of the books beside messages, in order.
    from pyarrow import parquet

    path = stored.directory / "tape.parquet"
    calls = json.loads((parquet.read_schema(path).metadata or {}).get(CALLS, b"[]"))
    for _, name, _, _ in calls:
        if name not in CALLABLE:
            raise RunFileError(
                f"{path}: a call must be one of {', '.join(CALLABLE)} (got {name!r}); "
                "use the flashwick that wrote it"
            )
    return deque(calls)


class _Player:
    """Books that get the batches of a tape, and what came of them."""

    def __init__(self, stored: StoredRun, config: Scenario) -> None:
        self.stored, self.markets = stored, config.markets
        self.books = _books(config)
        self.fate = Check("messages accepted or refused as recorded")
        self.kinds: dict[str, int] = {}
        self._calls = _calls(stored)
        self._reducing: dict[int, int] = {}  # order: its flags
        self._fills: list[Rows] = []
        self._events: list[NDArray[np.int64]] = []

    def call(self, before: int | None) -> None:
        """Ask of the books what was asked before an event; None: all that is left."""
        while self._calls and (before is None or self._calls[0][0] <= before):
            event, name, arguments, cause = self._calls.popleft()
            getattr(self.books, name)(*arguments)
            self._keep(
                event, messages(0), np.empty(0, RESULT), self.books.take_fills(), cause
            )

    def play(self, batch: dict[str, NDArray[Any]]) -> None:
        """Send a batch to the books."""
        rows = messages(len(batch["event"]))
        for name in _fields(MESSAGE):
            rows[name] = batch[name]
        self._count(rows["kind"])
        accepted, reason = batch["accepted"] > 0, batch["reason"]
        refused = ~accepted & np.isin(reason, OF_LEDGER)
        rows["kind"][refused] = NOT_SENT
        # Books without a ledger know no position that an order could reduce.
        reducing = (rows["flags"] & Flag.REDUCE_ONLY) > 0
        rows["flags"][reducing] &= ~np.uint8(Flag.REDUCE_ONLY)
        cut = batch["room"] > 0
        rows["qty"][cut] = batch["room"][cut]
        results, fills = self.books.process(rows)
        alike = (results["accepted"] == batch["accepted"]) & (
            (results["reason"] == reason) | cut
        )
        self._compare(batch["event"], alike | refused)
        for order in results["order_id"][reducing & accepted].tolist():
            self._reducing[order] = int(Flag.REDUCE_ONLY)
        self._keep(int(batch["event"][0]), rows, results, fills)

    def _count(self, kinds: NDArray[np.uint8]) -> None:
        for kind, n in enumerate(np.bincount(kinds).tolist()):
            if n:
                known = kind < len(Kind)
                name = Kind(kind).name.lower().replace("_", " ") if known else "unknown"
                self.kinds[name] = self.kinds.get(name, 0) + n

    def _compare(self, events: NDArray[Any], alike: NDArray[np.bool_]) -> None:
        self.fate.total += len(alike)
        self.fate.matched += int(alike.sum())
        if not alike.all() and not self.fate.first_miss:
            event = int(events[int((~alike).argmax())])
            self.fate.first_miss = f"{self._path('tape')}: message of event {event}"

    def _keep(
        self, first: int, rows: Rows, results: Rows, fills: Rows, cause: int = NO_CAUSE
    ) -> None:
        # The log gives ids and causes, as it did in the run.
        log = EventLog()
        log.next_id = first
        log.add_batch(rows, results, fills, self.books.take_events(), cause)
        events, fills = log.fills()
        fills = fills.copy()
        for flags, order in REDUCING if self._reducing and len(fills) else ():
            was = [self._reducing.get(number, 0) for number in fills[order].tolist()]
            fills[flags] |= np.array(was, np.uint8)
        self._fills.append(fills)
        self._events.append(events)

    def _path(self, name: str) -> str:
        return str(self.stored.directory / f"{name}.parquet")

    # -- WHAT CAME OF IT

    def findings(self) -> RunReplay:
        """Compare the trades with the recorded ones."""
        fills = np.concatenate([np.empty(0, FILL), *self._fills])
        events = np.concatenate([np.empty(0, np.int64), *self._events])
        trades = self._trades(events, fills)
        whole = Check("fingerprint of all trades, byte for byte")
        recorded = self.stored.manifest["fingerprints"]["trades"]
        found = digest(fills)
        if whole.add(found == recorded):
            whole.first_miss = f"manifest.json: must be {recorded} (got {found})"
        return RunReplay(
            rows=self.fate.total,
            kinds=self.kinds,
            checks=(trades, whole, self.fate),
            books=self.books,
            markets=self.markets,
        )

    def _trades(self, events: NDArray[np.int64], fills: Rows) -> Check:
        table = self.stored.trades()
        recorded = {name: table[name].to_pylist() for name in TRADE}
        names = list(self.markets)
        tick = np.array([float(market.tick) for market in self.markets.values()])
        lot = np.array([float(market.lot) for market in self.markets.values()])
        number = fills["market"]
        found: dict[str, list[Any]] = {
            "event": events.tolist(),
            "market": [names[m] for m in number.tolist()],
            "side": [Side(side).name.lower() for side in fills["taker_side"].tolist()],
            "price": scaled(fills["price"], tick[number]).tolist(),
            "qty": scaled(fills["qty"], lot[number]).tolist(),
            "taker_account": fills["taker"].tolist(),
            "maker_account": fills["maker"].tolist(),
            "order": fills["cause"].tolist(),
            "maker_order": fills["maker_order"].tolist(),
        }
        check = Check("trades equal")
        ours = list(zip(*(found[name] for name in TRADE), strict=True))
        theirs = list(zip(*(recorded[name] for name in TRADE), strict=True))
        for i, (wanted, got) in enumerate(zip_longest(theirs, ours), 1):
            if check.add(wanted == got):
                told = dict(zip(TRADE, wanted, strict=True)) if wanted else "none"
                came = dict(zip(TRADE, got, strict=True)) if got else "none"
                check.first_miss = (
                    f"{self._path('trades')}: row {i}: must be {told} (got {came})"
                )
        return check
