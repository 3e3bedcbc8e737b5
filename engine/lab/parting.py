"""Where two runs part, and what was the same until then.

What is compared are records, from their beginnings on: messages, trades, events, and
samples of books, prices, balances and the fund. Numbers of accounts and orders are left
out: with a participant switched off, those after it have others.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..prints import NANO
from ..reading.windows import time_of
from ..text import NOTHING, Grid, brief, number

if TYPE_CHECKING:
    from ..run import Run

Bools = NDArray[np.bool_]
Times = NDArray[np.int64]


NO_MORE = "nothing more"
"""What comes in a run whose record ends there."""

MESSAGE = ("time", "kind", "market", "side", "price", "qty")
TRADE = ("time", "market", "taker_side", "price", "qty")
EVENT = ("time", "kind", "market", "asset", "side", "price", "qty", "value")

SAMPLES = {
    "outside prices": ("time", ("outside",), "assets"),
    "quotes": ("time", ("bid", "ask"), "markets"),
    "bid and ask depth": ("time", ("bid_depth", "ask_depth"), "markets"),
    "index prices": ("time", ("index",), "assets"),
    "mark prices": ("time", ("mark",), "markets"),
    "market makers' balances": ("maker_time", ("maker_equity",), "makers"),
    "market makers' margin": (
        "maker_time",
        ("maker_adjusted", "maker_maintenance"),
        "makers",
    ),
    "insurance fund": ("time", ("fund_usd",), ""),
}
"""Samples that are compared: their times, their fields, and what has a column."""


@frozen
class Stretch:
    """A record of two runs: how far it is the same, and what comes then in each.

    ``until`` is when it first differs, seconds; None if it never does.
    """

    what: str
    same: int
    lengths: tuple[int, int]
    until: float | None
    ours: str = ""
    theirs: str = ""


@frozen(repr=False)
class Parting:
    """Where a run parts from another: each record, and the one that differs first."""

    labels: tuple[str, str]
    stretches: tuple[Stretch, ...]
    span: tuple[float, float]  # the first run's start and duration, seconds

    @property
    def first(self) -> Stretch | None:
        """The record that differs first; None if the runs are the same."""
        differ = [each for each in self.stretches if each.until is not None]
        return min(differ, key=lambda each: each.until or 0.0, default=None)

    @property
    def time(self) -> float | None:
        """When the runs part, seconds; None if they never do."""
        return None if self.first is None else self.first.until

    def __str__(self) -> str:
        """The finding and the table."""
        return f"{self.finding}\n{self.grid()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.grid().html()

    @property
    def finding(self) -> str:
        """One sentence: when they part, and with what on either side."""
        first = self.first
        if first is None:
            return (
                f"{self.labels[1]} is the same as {self.labels[0]}, record by record."
            )
        return (
            f"They part at {self._when(first.until or 0.0)} in {first.what}: "
            f"{self.labels[0]}: {first.ours}; {self.labels[1]}: {first.theirs}."
        )

    def _when(self, time: float) -> str:
        return time_of(*self.span, time)

    def grid(self) -> Grid:
        """Each record: how much of it is the same, until when, and what comes then."""
        header = ("", "rows the same", "of", "until", *self.labels)
        rows = tuple(
            (
                each.what,
                number(each.same),
                " and ".join(dict.fromkeys(map(number, each.lengths))),
                "the end" if each.until is None else self._when(each.until),
                each.ours or NOTHING,
                each.theirs or NOTHING,
            )
            for each in self.stretches
        )
        return Grid("", header, rows, prose=True)


def parting(one: "Run", other: "Run", labels: tuple[str, str]) -> Parting:
    """Compare the records of two runs. O(events)."""
    config = one.scenario.config
    span = config.start, config.duration
    return Parting(labels, tuple(_stretches(one, other)), span)


def _stretches(one: "Run", other: "Run") -> Iterator[Stretch]:
    logs = one.log, other.log
    # With other markets or assets the same number is another thing.
    alike = (one.names.markets, one.names.assets) == (
        other.names.markets,
        other.names.assets,
    )
    sent = [log.messages()[:2] for log in logs]
    fills, events = [log.fills() for log in logs], [log.rare() for log in logs]
    runs = one, other
    yield _rows("messages to the books", runs, sent, MESSAGE, alike=alike)
    yield _rows("trades", runs, fills, TRADE, alike=alike)
    yield _rows("other events", runs, events, EVENT, alike=alike)
    for what, (time, fields, of) in SAMPLES.items():
        yield _samples(what, (one, other), time, fields, of)


def _rows(
    what: str,
    runs: tuple["Run", "Run"],
    found: Sequence[tuple[Any, Any]],
    fields: Sequence[str],
    *,
    alike: bool,
) -> Stretch:
    (ids, rows), (other_ids, others) = found
    n = min(len(rows), len(others))
    same = np.full(n, alike)
    for name in fields:
        same &= _equal(rows[name][:n], others[name][:n])
    if "value" in fields:
        texts = [
            np.array(run.log.words, object)[part["text"][:n]]
            for run, part in zip(runs, (rows, others), strict=True)
        ]
        same &= np.asarray(texts[0] == texts[1], np.bool_)
    first = _first(same)
    times = rows["time"], others["time"]
    if first == len(rows) == len(others):
        return Stretch(what, first, (first, first), None)

    def told(run: "Run", numbers: Times) -> str:
        if first >= len(numbers):
            return NO_MORE
        from ..why import Teller

        step = Teller(run).step(run.log[int(numbers[first])])
        return f"{step.text}, {step.when}"

    when = min(int(t[first]) for t in times if first < len(t))
    return Stretch(
        what,
        first,
        (len(rows), len(others)),
        when * NANO,
        told(runs[0], ids),
        told(runs[1], other_ids),
    )


def _samples(
    what: str, runs: tuple["Run", "Run"], time: str, fields: Sequence[str], of: str
) -> Stretch:
    times = [getattr(run.series, time) for run in runs]
    names = [_columns(run, of) for run in runs]
    n = min(map(len, times))
    lengths = len(times[0]), len(times[1])
    if names[0] != names[1]:
        told = [f"{len(own)} {of}" for own in names]
        return Stretch(what, 0, lengths, 0.0, *told)
    same = times[0][:n] == times[1][:n]
    differs = np.zeros((n, len(names[0])), np.bool_)
    for field in fields:
        a, b = (getattr(run.series, field)[:n].reshape(n, -1) for run in runs)
        differs |= ~_equal(a, b)
    first = _first(same & ~differs.any(axis=1))
    if first == lengths[0] == lengths[1]:
        return Stretch(what, first, lengths, None)
    when = min(int(t[first]) for t in times if first < len(t)) * NANO
    if first >= n:
        told = [NO_MORE if first >= m else "a sample more" for m in lengths]
        return Stretch(what, first, lengths, when, *told)
    column = int(np.argmax(differs[first]))
    told = _values(runs, fields, first, column, names[0][column])
    return Stretch(what, first, lengths, when, *told)


def _columns(run: "Run", of: str) -> tuple[str, ...]:
    if of == "makers":
        return tuple(map(run.account, run.series.maker_accounts.tolist()))
    return getattr(run.names, of) if of else ("",)


def _values(
    runs: Sequence["Run"], fields: Sequence[str], row: int, column: int, name: str
) -> list[str]:
    """What each run has there, in as many digits as it takes to tell them apart."""
    values = []
    for run in runs:
        tables = (getattr(run.series, field) for field in fields)
        values.append([float(t.reshape(len(t), -1)[row, column]) for t in tables])
    told = []
    for digits in range(4, 18):
        words = [[_digits(value, digits) for value in own] for own in values]
        told = [f"{name} {' and '.join(own)}".strip() for own in words]
        if told[0] != told[1]:
            break
    return told


def _digits(value: float, digits: int) -> str:
    if not np.isfinite(value):
        return brief(value)
    text = f"{value:,.{digits}g}"
    return f"{value:,.0f}" if "e" in text else text


def _equal(a: NDArray[Any], b: NDArray[Any]) -> Bools:
    # What both lack is the same in both.
    same = a == b
    if a.dtype.kind == "f":
        same |= np.isnan(a) & np.isnan(b)
    return np.asarray(same)


def _first(same: Bools) -> int:
    return len(same) if same.all() else int(np.argmin(same))
