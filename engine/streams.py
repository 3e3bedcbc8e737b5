"""The stream of a run: all that its participants sent and did, to edit and replay.

A message is in it at the time at which the books got it, behind the gateway. What the
venue did itself (liquidations, deleveraging, funding, prices) is not: it does it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from ..margin.presets import shown
from .arguments import expect, suggest
from .journal import Deed
from .reading.limits import SECONDS_MAX
from .stream_rows import (
    KINDS,
    MARKET,
    REPLACE,
    Bools,
    Grounds,
    Rows,
    StreamError,
    grounds_of,
)
from .stream_table import down, rows_of, table_of

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run

WHERE = ("sender", "kind", "market", "side", "account")
"""What rows may be picked by, beside their time."""


@frozen(kw_only=True)
class Edits:
    """How a stream differs from the recorded one.

    ``first`` is the time of the first difference, ns; ``senders`` whose rows differ.
    """

    dropped: int = 0
    changed: int = 0
    inserted: int = 0
    first: int | None = None
    senders: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """How many rows of each kind of edit, in words."""
        counts = {
            "dropped": self.dropped,
            "changed": self.changed,
            "inserted": self.inserted,
        }
        return [f"{count:,} {what}" for what, count in counts.items() if count]


@frozen(eq=False, repr=False)
class Stream:
    """All that participants sent and did in a run, row by row in the order of time.

    Nothing changes a stream: each edit returns another. ``len`` is the number of rows.
    """

    grounds: Grounds
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        """Where it comes from, its size, and what was edited."""
        edits, name = self.edits, self.grounds.scenario.name
        changes = f"; {', '.join(edits.words)}" if edits.words else ""
        messages = int((self.rows["kind"] <= REPLACE).sum())
        return (
            f"<Stream of {name}, seed {self.grounds.seed}: "
            f"{len(self.rows):,} rows, {messages:,} of them messages{changes}>"
        )

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.grounds.seed

    @cached_property
    def table(self) -> "pa.Table":
        """The stream as an Arrow table, in seconds, quote and base units.

        ``row`` numbers what the run had; ``order`` is, of a new order, the number it
        got there (0 if it was refused), of a cancel or replace that of the order meant.
        """
        return table_of(self.grounds, self.rows)

    @property
    def own(self) -> dict[str, list[dict[int, int]]]:
        """Agents of one's own in the run: atoms by asset of each of their accounts."""
        return self.grounds.deeds.own

    @cached_property
    def wakes(self) -> dict[str, list[int]]:
        """When each of them woke, ns."""
        deeds, prefix = self.grounds.deeds, "agents."
        rows = deeds.rows[deeds.rows["kind"] == Deed.WAKE]
        found = {}
        for i, name in enumerate(deeds.senders):
            if name.startswith(prefix):
                times = np.unique(rows["time"][rows["sender"] == i]).tolist()
                found[name.removeprefix(prefix)] = times
        return found

    # -- WHICH ROWS

    def where(
        self,
        *,
        after: float | None = None,
        before: float | None = None,
        **words: str | int | Sequence[str | int],
    ) -> Bools:
        """Mark the rows of a sender (or its class), kind, market, side, account, time.

        >>> import flashwick as fw
        >>> stream = fw.load("atom-sweep").run().stream()
        >>> int(stream.where(sender="shocks", side="sell").sum())
        1
        """
        marked = np.ones(len(self), np.bool_)
        time = self.rows["time"] * 1e-9
        if after is not None:
            marked &= time >= _finite("after", after)
        if before is not None:
            marked &= time < _finite("before", before)
        for name, given in words.items():
            if name not in WHERE:
                near = suggest(name, (*WHERE, "after", "before"))
                raise StreamError(f"rows are not picked by {name!r}{near}")
            several = isinstance(given, Sequence | np.ndarray)
            several = several and not isinstance(given, str)
            wanted = list(given) if several else [given]  # type: ignore[arg-type]
            marked &= self._picked(name, wanted)
        return marked

    def _picked(self, name: str, wanted: list[Any]) -> Bools:
        if name == "account":
            for account in wanted:
                if isinstance(account, bool) or not isinstance(account, Integral):
                    told = f"'account' must be a whole number (got {shown(account)})"
                    raise StreamError(told)
            return np.isin(self.rows["account"], wanted)
        column = np.asarray(self.table.column(name).to_numpy(zero_copy_only=False))
        known = list(dict.fromkeys(self._known(name)))
        for word in wanted:
            if word not in known:
                near = suggest(word, known)
                raise StreamError(f"{shown(word)} is not a {name} of the stream{near}")
        marked = np.isin(column, wanted)
        if name == "sender":
            groups = [f"{word}." for word in wanted]
            codes = [
                any(sender.startswith(group) for group in groups)
                for sender in self.grounds.senders
            ]
            marked |= np.array(codes, np.bool_)[self.rows["sender"]]
        return marked

    def _known(self, name: str) -> Iterable[str]:
        grounds = self.grounds
        if name == "sender":
            return (*(s.partition(".")[0] for s in grounds.senders), *grounds.senders)
        words = {"kind": KINDS, "market": ("all", *grounds.markets)}
        return words.get(name, ("buy", "sell", "both"))

    # -- EDITS

    def drop(self, rows: ArrayLike) -> "Stream":
        """Leave out the marked rows."""
        return self._with(self.rows[~self._marks(rows)])

    def delay(self, rows: ArrayLike, seconds: float) -> "Stream":
        """Let the marked rows come later; below 0 earlier, though not before the start.

        An order that comes after its own cancel stays: nothing cancels it then.
        """
        later = _finite("seconds", seconds)
        if abs(later) > SECONDS_MAX:
            raise StreamError(
                f"'seconds' must be at most {SECONDS_MAX:g} (got {later:g})"
            )
        edited = self.rows.copy()
        marked = self._marks(rows)
        edited["time"][marked] += round(later * 1e9)
        if (edited["time"] < 0).any():
            raise StreamError(
                f"'seconds' must leave all times from 0 on (got {later:g}); mark "
                "only rows that are later, as with where(after=...)"
            )
        return self._with(edited)

    def resize(self, rows: ArrayLike, factor: float) -> "Stream":
        """Multiply the quantity of the marked orders, rounded down to the lot.

        What comes to less than a lot is left out; rows without a quantity stay.
        """
        times = _finite("factor", factor)
        if times <= 0:
            raise StreamError(
                f"'factor' must be above 0 (got {times:g}); drop(rows) leaves rows out"
            )
        edited = self.rows.copy()
        kind = edited["kind"]
        sized = self._marks(rows) & ((kind <= MARKET) | (kind == REPLACE))
        lots = down(edited["qty"][sized] * times)
        if (lots > 2.0**53).any():
            raise StreamError(f"'factor' is too large (got {times:g}); take a smaller")
        edited["qty"][sized] = lots.astype(np.int64)
        shown_size = np.minimum(edited["display"][sized], edited["qty"][sized])
        edited["display"][sized] = shown_size
        gone = sized & (edited["qty"] == 0)
        return self._with(edited[~gone])

    def insert(self, rows: "Iterable[Mapping[str, Any]] | pa.Table") -> "Stream":
        """Add rows: a list of tables by column, or an Arrow table, as `table` has them.

        Each needs time, kind, and what its kind does: market, account, side, price,
        qty. ``order`` may be any number that no other order has, so that an inserted
        cancel can name it.
        """
        import pyarrow as pa

        if not isinstance(rows, pa.Table):
            expect("rows", rows, Iterable, "a list of tables by column")
            listed = list(rows)
            for i, row in enumerate(listed):
                expect(f"rows[{i}]", row, Mapping, "columns, as {'time': 1.0, ...}")
            names = list(dict.fromkeys(name for row in listed for name in row))
            if not listed:
                return self
            try:
                rows = pa.table({n: [row.get(n) for row in listed] for n in names})
            except (pa.ArrowException, TypeError, OverflowError) as error:
                raise StreamError(f"the rows cannot be read: {error}") from error
        if "row" not in rows.column_names:
            rows = rows.append_column("row", pa.nulls(len(rows), pa.int64()))
        fresh = rows_of(self.grounds, rows)
        if (fresh["row"] >= 0).any():
            raise StreamError("'row' must be left out of rows that are inserted")
        taken = self.rows["order"][self.rows["kind"] <= MARKET]
        wrong = (fresh["kind"] <= MARKET) & (fresh["order"] != 0)
        wrong &= np.isin(fresh["order"], taken)
        if wrong.any():
            i = int(wrong.argmax())
            raise StreamError(
                f"row {i}: 'order' {fresh['order'][i]} is an order of the run already; "
                "give it a number of its own"
            )
        return self._with(np.concatenate([self.rows, fresh]))

    def edit(self, table: object) -> "Stream":
        """Take an edited table in place of `table`, in any order of its rows.

        An Arrow table, a data frame, a NumPy array with fields or columns by name.
        Rows that are missing are dropped, rows without ``row`` inserted. StreamError
        with everything that is wrong.
        """
        return self._with(rows_of(self.grounds, table))

    def _with(self, rows: Rows) -> "Stream":
        # At one time what was recorded comes first, in its own order.
        last = np.where(rows["row"] < 0, len(self.grounds.recorded), rows["row"])
        order = np.lexsort((np.arange(len(rows)), last, rows["time"]))
        return Stream(self.grounds, rows[order])

    def _marks(self, rows: ArrayLike) -> Bools:
        marks = np.asarray(rows)
        if marks.dtype != np.bool_ or marks.shape != (len(self),):
            raise StreamError(
                f"'rows' must be {len(self):,} marks, True or False, as where() gives "
                f"them (got {marks.dtype} of shape {marks.shape})"
            )
        return marks

    # -- WHAT WAS EDITED

    @cached_property
    def edits(self) -> Edits:
        """How it differs from what was recorded."""
        recorded, rows = self.grounds.recorded, self.rows
        kept = rows["row"] >= 0
        before = recorded[rows["row"][kept]]
        changed = rows[kept] != before
        gone = np.ones(len(recorded), np.bool_)
        gone[rows["row"][kept]] = False
        parts = [recorded[gone], before[changed], rows[kept][changed], rows[~kept]]
        touched = np.concatenate(parts)
        if len(touched) == 0:
            return Edits()
        numbers = np.unique(touched["sender"]).tolist()
        return Edits(
            dropped=int(gone.sum()),
            changed=int(changed.sum()),
            inserted=int((~kept).sum()),
            first=int(touched["time"].min()),
            senders=tuple(self.grounds.senders[i] for i in numbers),
        )


def _finite(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool) or not np.isfinite(number):
        raise StreamError(f"{name!r} must be a finite number (got {shown(value)})")
    return number


def stream_of(run: "Run") -> Stream:
    """The stream of a run; StreamError if too few of its messages were kept."""
    if run.edits:
        raise StreamError(
            "the run was changed on its way, and such changes are in no stream; take "
            "the stream of a run that nobody changed"
        )
    grounds = grounds_of(run)
    return Stream(grounds, grounds.recorded)
