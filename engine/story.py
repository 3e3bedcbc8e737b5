"""The story of one account: how it came to be liquidated, and what became of it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from itertools import groupby
from math import fsum, nan
from typing import TYPE_CHECKING

from attrs import field, frozen

from . import facts
from .text import Grid, number, percent, price, quantity, ratio, short_usd

if TYPE_CHECKING:
    import pyarrow as pa

    from .run import Run

LONG = 60
"""Most lines that are told one by one; of more, orders of a moment are summed."""

BORNE = {
    "takeover": "taken over {n} times, {usd} USD together",
    "fund": "the insurance fund paid {n} times, {usd} USD together",
    "claim": "left unpaid {n} times, {usd} USD together",
    "adl": "deleveraged {n} times, {usd} USD of profit forgone",
    "socialised": "borne by others {n} times, {usd} USD together",
}
"""Events of what others took over, paid or bore, and how many of them are told."""


@frozen
class Line:
    """One line: an event, or a forced order with all its trades.

    ``cause`` is the event that caused it. Of an order: ``qty`` was sold (or bought, if
    negative) of ``asked``, for ``usd``, at ``paid`` on average, where the risk engine
    had ``valued`` it and the price ``outside`` was another; ``lost`` is against the
    latter. NaN where that does not apply.
    """

    event: int
    cause: int
    time: float
    when: str
    kind: str
    text: str
    market: str = ""
    qty: float = nan
    asked: float = nan
    paid: float = nan
    valued: float = nan
    outside: float = nan
    usd: float = nan
    lost: float = nan
    health: float = nan

    def __str__(self) -> str:
        """One line: when, what, in words, and the numbers of event and cause."""
        return f"{self.when:>9}  {self.kind:<11}  {self.text}{self.ids}"

    @property
    def ids(self) -> str:
        """Number of the event, and of the one that caused it, to stand behind it."""
        cause = f" ← {self.cause}" if self.cause else ""
        return f"  [{self.event}{cause}]" if self.event else ""


@frozen(repr=False)
class Story:
    """What happened to an account; ``lines`` has all of it, in order."""

    run: "Run" = field(eq=False)
    account: int
    name: str
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        """The story as text, one line for each thing that happened."""
        return "\n".join([f"{self.title}:", *map(str, self.told())])

    def __repr__(self) -> str:
        return f"<Story {self.title}: {len(self.lines)} lines>"

    @property
    def title(self) -> str:
        """What it comes to, in a sentence without its full stop."""
        if not self.liquidated:
            return f"{self.name} was never liquidated{self._lowest()}"
        first, *again = (line for line in self.lines if line.kind == "breach")
        ends = [line for line in self.lines if line.kind == "end"]
        often = f"{len(again) + 1} times, first " if again else ""
        told = [f"{self.name} was liquidated {often}at {first.when}"]
        if ends:
            told.append(f"at {ends[-1].when} {ends[-1].text}")
        usd, lost = self.forced_usd, self.lost_usd
        if usd:
            worse = f", {short_usd(lost)} lost" if lost > 0 else ""
            told.append(f"{short_usd(usd)} USD traded by force{worse}")
        return "; ".join(told)

    @property
    def liquidated(self) -> bool:
        """Whether it ever fell to the threshold."""
        return any(line.kind == "breach" for line in self.lines)

    @property
    def forced_usd(self) -> float:
        """US dollars that the liquidation engine traded for it."""
        return fsum(line.usd for line in self.lines if line.kind == "order")

    @property
    def lost_usd(self) -> float:
        """What that cost it against the prices outside, US dollars."""
        return fsum(line.lost for line in self.lines if line.kind == "order")

    @cached_property
    def lowest_health(self) -> tuple[float, float]:
        """Its lowest known health and when, seconds; NaN if none is known."""
        known = [(line.health, line.time) for line in self.lines]
        known = [pair for pair in known if pair[0] == pair[0]]
        return min(known, default=(nan, nan))

    def _lowest(self) -> str:
        health, time = self.lowest_health
        if health == health:
            when = facts.when(self.run, time)
            return f"; its lowest known health was {ratio(health)} at {when}"
        return (
            "; its health is not known: it was never warned, and only market makers' "
            "is sampled"
        )

    # -- AS TABLES

    def table(self) -> "pa.Table":
        """All lines, those of every forced order too, as an Arrow table."""
        import pyarrow as pa

        names = [n for n in Line.__annotations__ if n != "when"]
        table = {name: [getattr(line, name) for line in self.lines] for name in names}
        return pa.table(table)

    def told(self) -> list[Line]:
        """The lines to be read: in a long story, orders of a moment are one."""
        if len(self.lines) <= LONG:
            return list(self.lines)
        found: list[Line] = []
        for _, group in groupby(self.lines, _moment):
            lines = list(group)
            whole = len(lines) > 1 and lines[0].kind in SUMMED
            found += [SUMMED[lines[0].kind](lines)] if whole else lines
        return found

    def grid(self) -> Grid:
        """The lines to be read, as a table of words."""
        lines = self.told()
        rows = tuple((line.when, f"{line.text}{line.ids}") for line in lines)
        header = ("time", "what happened  [event ← cause]")
        note = ""
        if len(lines) < len(self.lines):
            note = "Orders of a moment are summed, under the number of the first; "
            note += f"table() has all {number(len(self.lines))} lines."
        return Grid("", header, rows, note, prose=True)

    def orders(self) -> Grid:
        """Every forced order that traded: price paid, valued at, outside, lost."""
        header = (
            "time",
            "market",
            "step",
            "sold or bought",
            "of",
            "paid, average",
            "index or mark",
            "against it",
            "outside",
            "USD",
            "lost, USD",
        )
        return Grid("", header, tuple(map(_cells, self._traded())))

    def _traded(self) -> list[Line]:
        return [line for line in self.lines if line.kind == "order" and line.qty]

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.title)}:</p>{self.grid().html()}"


def _moment(line: Line) -> tuple[float, str, str]:
    # Lines that are one in a long story: their time, kind, and step of the waterfall.
    step = line.text.partition(":")[0] if line.kind == "order" else ""
    return line.time, line.kind, step


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.when,
        line.market,
        line.text.partition(":")[0],
        f"{'bought' if line.qty < 0 else 'sold'} {quantity(abs(line.qty))}",
        quantity(line.asked),
        price(line.paid),
        price(line.valued),
        percent(line.paid / line.valued - 1.0, sign=True),
        price(line.outside),
        short_usd(line.usd),
        short_usd(line.lost),
    )


# -- MANY LINES OF A MOMENT


def money(usd: float, lost: float) -> str:
    """What was traded, and what that lost."""
    told = f"{short_usd(usd)} USD"
    return f"{told}, {short_usd(lost)} lost" if lost >= 0.5 else told


def _sum_orders(lines: Sequence[Line]) -> Line:
    first, step = lines[0], lines[0].text.partition(":")[0]
    usd, lost = (fsum(getattr(line, n) for line in lines) for n in ("usd", "lost"))
    done = [line for line in lines if line.qty]
    text = f"{step}: {len(lines)} orders, {money(usd, lost)}"
    if done:
        worst = max(done, key=lambda line: line.lost)
        verb = "bought" if worst.qty < 0 else "sold"
        text += f"; largest loss on {worst.market}: {verb} at {price(worst.paid)} "
        text += f"(outside {price(worst.outside)}, "
        text += f"valued by the venue at {price(worst.valued)})"
    if len(done) < len(lines):
        text += f"; {len(lines) - len(done)} found nobody"
    return _summed(first, text, usd=usd, lost=lost)


def _sum_borne(lines: Sequence[Line]) -> Line:
    first, usd = lines[0], fsum(line.usd for line in lines)
    text = BORNE[first.kind].format(n=len(lines), usd=short_usd(usd))
    return _summed(first, text, usd=usd)


def _sum_withdrawals(lines: Sequence[Line]) -> Line:
    what = "bids and asks" if "bids and asks" in lines[0].text else "bids"
    return _summed(lines[0], f"{what} withdrawn from {len(lines)} markets", usd=nan)


def _summed(first: Line, text: str, usd: float, lost: float = nan) -> Line:
    return Line(
        event=first.event,
        cause=first.cause,
        time=first.time,
        when=first.when,
        kind=first.kind,
        text=text,
        usd=usd,
        lost=lost,
    )


SUMMED: dict[str, Callable[[Sequence[Line]], Line]] = {
    "order": _sum_orders,
    "withdrawal": _sum_withdrawals,
    **dict.fromkeys(BORNE, _sum_borne),
}
"""Kinds of which a moment may have many lines."""
