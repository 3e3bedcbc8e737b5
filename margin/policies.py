"""Policies that bound a price or hold it back: floors, delays, breakers, anchors."""

from typing import Any, NamedTuple

import attrs

from .combined import Fallback
from .feeds import NONE, SECOND_NS, YEAR_S, Kept, Last, Policy, Price, Seen, Status
from .refusal import require


@attrs.frozen
class _Wrapped(Policy):
    inner: Policy

    def start(self) -> Any:
        """The state of the price inside."""
        return self.inner.start()

    def observe(self, state: Any, seen: Seen, now_ns: int) -> Any:
        """The state of the price inside after new prices."""
        return self.inner.observe(state, seen, now_ns)


@attrs.frozen
class Floor(_Wrapped):
    """A price that does not fall below a value."""

    least: float

    def read(self, state: Any, now_ns: int) -> Price:
        """The higher one; nothing where there is nothing inside."""
        price = self.inner.read(state, now_ns)
        return price._replace(value=max(price.value, self.least))


@attrs.frozen
class Cap(_Wrapped):
    """A price that does not rise above a value: Aave's cap of stable coins."""

    most: float

    def read(self, state: Any, now_ns: int) -> Price:
        """The lower one; nothing where there is nothing inside."""
        price = self.inner.read(state, now_ns)
        return price._replace(value=min(price.value, self.most))


@attrs.frozen
class GrowthCap(_Wrapped):
    """A ratio that may grow by so much a year from a snapshot, and fall at will.

    It keeps a ratio from being inflated; against a fall it does nothing.

    Source: bgd-labs/aave-capo 2c280ef9, ``PriceCapAdapterBase``.
    """

    snapshot: float
    snapshot_ns: int
    growth: float

    def limit(self, now_ns: int) -> float:
        """The highest ratio at a time."""
        years = (now_ns - self.snapshot_ns) / SECOND_NS / YEAR_S
        return self.snapshot * (1.0 + self.growth * years)

    def read(self, state: Any, now_ns: int) -> Price:
        """The ratio, at most what it may have grown to."""
        price = self.inner.read(state, now_ns)
        return price._replace(value=min(price.value, self.limit(now_ns)))


@attrs.frozen
class Stale(_Wrapped):
    """A price that is stale once it is older than allowed."""

    age_ns: int

    def read(self, state: Any, now_ns: int) -> Price:
        """The price, marked if it is too old."""
        price = self.inner.read(state, now_ns)
        if price.live and now_ns - price.at_ns > self.age_ns:
            return price._replace(status=Status.STALE)
        return price


class _Past(NamedTuple):
    inner: Any
    rows: tuple[tuple[int, Price], ...]


@attrs.frozen
class Delayed(Policy):
    """The price as it was some time ago."""

    inner: Policy
    delay_ns: int

    def __attrs_post_init__(self) -> None:
        """Refuse to look ahead."""
        require(self.delay_ns >= 0, "delay_ns", "not be below 0", self.delay_ns)

    def start(self) -> _Past:
        """Nothing seen."""
        return _Past(self.inner.start(), ())

    def observe(self, state: _Past, seen: Seen, now_ns: int) -> _Past:
        """Remember the price; forget those that no read can want any more."""
        inner = self.inner.observe(state.inner, seen, now_ns)
        price, rows = self.inner.read(inner, now_ns), state.rows
        if not rows or rows[-1][1] != price:
            rows = (*rows, (now_ns, price))
        while len(rows) > 1 and rows[1][0] <= now_ns - self.delay_ns:
            rows = rows[1:]
        return _Past(inner, rows)

    def read(self, state: _Past, now_ns: int) -> Price:
        """The last price that is old enough."""
        found = NONE
        for at, price in state.rows:
            if at <= now_ns - self.delay_ns:
                found = price
        return found


@attrs.frozen(kw_only=True)
class Push(Kept):
    """A feed that is written only when the price has moved, or after a time.

    A new round comes with an observation that is ``deviation`` away from the last
    round, or ``heartbeat_ns`` after it.
    """

    deviation: float
    heartbeat_ns: int

    def follow(self, price: Price, last: Price, now_ns: int) -> Price:
        """A new round, if it is time for one."""
        due = not last.live or now_ns - last.at_ns >= self.heartbeat_ns
        if due or abs(price.value / last.value - 1.0) >= self.deviation:
            return Price(price.value, now_ns, "round")
        return last


@attrs.frozen(kw_only=True)
class Anchored(Policy):
    """Reports that count only within a band of an anchor; else the last stays.

    Source: Compound's Open Price Feed, 2020: ±20 % of Uniswap's average.
    """

    report: Policy
    anchor: Policy
    band: float

    def start(self) -> tuple[Any, Any, Price]:
        """Nothing accepted."""
        return self.report.start(), self.anchor.start(), NONE

    def observe(
        self, state: tuple[Any, Any, Price], seen: Seen, now_ns: int
    ) -> tuple[Any, Any, Price]:
        """The report, if the anchor bears it out."""
        report = self.report.observe(state[0], seen, now_ns)
        anchor = self.anchor.observe(state[1], seen, now_ns)
        said = self.report.read(report, now_ns)
        near = self.anchor.read(anchor, now_ns)
        low, high = near.value * (1.0 - self.band), near.value * (1.0 + self.band)
        right = said.live and near.live and low <= said.value <= high
        return report, anchor, said if right else state[2]

    def read(self, state: tuple[Any, Any, Price], now_ns: int) -> Price:
        """The last accepted report."""
        return state[2]


class _Watch(NamedTuple):
    inner: Any
    rows: tuple[tuple[int, float], ...]
    frozen: Price | None
    until_ns: int


@attrs.frozen(kw_only=True)
class Breaker(Policy):
    """A price that freezes for a time when it moves too far within a window.

    Frozen, it is what it was before the move, with a status that says so: what may be
    done meanwhile is up to whoever reads it.
    """

    inner: Policy
    band: float
    window_ns: int
    hold_ns: int

    def __attrs_post_init__(self) -> None:
        """Refuse a breaker that always or never breaks."""
        for field in ("band", "window_ns", "hold_ns"):
            got = getattr(self, field)
            require(got > 0, field, "be above 0", got)

    def start(self) -> _Watch:
        """Nothing seen."""
        return _Watch(self.inner.start(), (), None, 0)

    def observe(self, state: _Watch, seen: Seen, now_ns: int) -> _Watch:
        """Compare with the oldest price of the window; freeze if it is too far."""
        inner = self.inner.observe(state.inner, seen, now_ns)
        price = self.inner.read(inner, now_ns)
        if state.frozen and now_ns < state.until_ns:
            return state._replace(inner=inner)
        if not price.live:
            return _Watch(inner, state.rows, None, 0)
        past = state.rows if state.frozen is None else ()
        rows = tuple(row for row in past if now_ns - row[0] <= self.window_ns)
        far = [old for _, old in rows if abs(price.value / old - 1.0) > self.band]
        if far:
            before = Price(rows[-1][1], rows[-1][0], "frozen", Status.FROZEN)
            return _Watch(inner, rows, before, now_ns + self.hold_ns)
        return _Watch(inner, (*rows, (now_ns, price.value)), None, 0)

    def read(self, state: _Watch, now_ns: int) -> Price:
        """The price inside, or the one before the move while frozen."""
        if state.frozen and now_ns < state.until_ns:
            return state.frozen
        return self.inner.read(state.inner, now_ns)


def override(inner: Policy, vote: str, delay_ns: int) -> Policy:
    """A policy that a vote replaces with a price of its own, once the vote is over.

    The price voted for is an observation of the source ``vote``, made when the vote
    opens; it takes effect after ``delay_ns`` and stays.
    """
    return Fallback(Delayed(Last(vote), delay_ns), inner)
