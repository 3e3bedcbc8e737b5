"""Rules of prices as data, and the policies they stand for.

The same keys make the index of an asset on the exchange and the feed of a lending
market: the weighted mean of sources, and what is done about outliers, delay, bounds,
staleness, leaps and votes.
"""

from collections.abc import Callable, Iterator, Mapping
from math import inf

import attrs

from .averages import Ema, HeldTwap, Step, Twap
from .combined import Clamp, DropOrMedian, Index, Median, Outliers
from .feeds import SECOND_NS, Fixed, Last, Policy
from .policies import (
    Anchored,
    Breaker,
    Cap,
    Delayed,
    Floor,
    GrowthCap,
    Push,
    Stale,
    override,
)
from .presets import suggest
from .schedule import is_number

Problems = list[tuple[str, str]]

AVERAGES = ("twap", "geometric", "held", "ema")
"""How a price may be averaged over time."""

VOTE = "vote"
"""The source through which governance sets a price."""

_POSITIVE = (
    "value",
    "window",
    "heartbeat",
    "band",
    "floor",
    "cap",
    "breaker_window",
    "breaker_hold",
    "stale",
)
_NOT_NEGATIVE = ("delay", "growth", "vote_delay")
_SHARES = ("clamp", "drop", "deviation", "tolerance", "breaker")


@attrs.frozen(kw_only=True)
class PriceRule:
    """What is made of the prices of some sources, in the order of the keys here.

    Shares are fractions of one, times seconds. A source without a price, or older than
    ``stale``, gives its weight to the others.
    """

    sources: Mapping[str, float] = attrs.field(factory=dict)
    value: float | None = None  # of the source "fixed"
    clamp: float | None = None
    drop: float | None = None
    median: bool = False  # in place of the mean
    average: str | None = None
    window: float = 600.0  # of the average
    delay: float = 0.0
    deviation: float | None = None
    heartbeat: float = 86_400.0
    anchor: str | None = None  # a source; a price far from it does not count
    tolerance: float = 0.2  # of the anchor
    floor: float | None = None
    cap: float | None = None
    growth: float | None = None
    band: float | None = None  # of one step, share of the last price
    breaker: float | None = None
    breaker_window: float = 300.0
    breaker_hold: float = 300.0
    stale: float | None = None
    vote_delay: float = 3600.0

    @property
    def parts(self) -> Mapping[str, float]:
        """The sources that count, with their weights."""
        return self.sources

    @property
    def plain(self) -> bool:
        """Whether it is a mean with a band and a floor, and nothing else."""
        return all(
            getattr(self, name) == field.default
            for name, field in attrs.fields_dict(PriceRule).items()
            if name not in _PLAIN
        )

    @property
    def memory_ns(self) -> int:
        """How far it looks back, nanoseconds."""
        window = self.window if self.average is not None else 0.0
        return nanoseconds(window + self.delay)

    def problems(self) -> Problems:
        """What is wrong with the rule by itself: (field, message) of each fault."""
        found = [*self._amounts(), *self._weights()]
        if self.average is not None and self.average not in AVERAGES:
            text = f"{self.average!r} is not an average"
            found.append(("average", text + suggest(self.average, AVERAGES)))
        if self.clamp is not None and self.drop is not None:
            found.append(("drop", "must not be given beside clamp"))
        if self.growth is not None and self.cap is None:
            found.append(("growth", "needs cap, from which it grows"))
        if found or self.floor is None or self.cap is None or self.floor <= self.cap:
            return found
        text = f"must be at most cap, {self.cap:.12g} (got {self.floor:.12g})"
        return [("floor", text)]

    def _amounts(self) -> Iterator[tuple[str, str]]:
        for names, least, most, words in (
            (_POSITIVE, 5e-324, inf, "above 0"),
            (_NOT_NEGATIVE, 0.0, inf, "of at least 0"),
            (_SHARES, 5e-324, 1.0, "above 0 and at most 1"),
        ):
            for name in names:
                number = getattr(self, name)
                right = is_number(number) and least <= number <= most and number < inf
                if number is not None and not right:
                    yield name, f"must be a number {words} (got {number!r})"

    def _weights(self) -> Iterator[tuple[str, str]]:
        for source, weight in self.sources.items():
            if not (is_number(weight) and 0.0 < weight < inf):
                text = f"weight of {source!r} must be a number above 0 (got {weight!r})"
                yield "sources", text
        counted = self.sources and not self.median
        if counted and all(map(is_number, self.sources.values())):
            total = sum(self.sources.values())
            if not abs(total - 1.0) <= 1e-9:
                yield "sources", f"weights must sum to 1 (got {total:.12g})"


_PLAIN = (
    "sources",
    "value",
    "band",
    "floor",
    "vote_delay",
    # These say nothing by themselves.
    "window",
    "heartbeat",
    "tolerance",
    "breaker_window",
    "breaker_hold",
)


def is_positive(number: object) -> bool:
    """Whether something is a finite number above 0."""
    return is_number(number) and 0.0 < number < inf


def nanoseconds(seconds: float) -> int:
    """Seconds on the clock of policies."""
    return round(seconds * SECOND_NS)


def policy_of(rule: PriceRule) -> Policy:
    """The policy that a rule stands for; it observes prices by the names of sources."""
    policy = _mean(rule)
    window = nanoseconds(rule.window)
    averages: dict[str | None, Callable[[Policy], Policy]] = {
        "twap": lambda p: Twap(inner=p, window_ns=window),
        "geometric": lambda p: Twap(inner=p, window_ns=window, geometric=True),
        "held": lambda p: HeldTwap(inner=p, period_ns=window),
        "ema": lambda p: Ema(inner=p, window_s=max(1, round(rule.window)), most=inf),
    }
    if rule.average is not None:
        policy = averages[rule.average](policy)
    if rule.delay:
        policy = Delayed(policy, nanoseconds(rule.delay))
    if rule.deviation is not None:
        policy = Push(
            inner=policy,
            deviation=rule.deviation,
            heartbeat_ns=nanoseconds(rule.heartbeat),
        )
    if rule.anchor is not None:
        anchor = Last(rule.anchor)
        policy = Anchored(report=policy, anchor=anchor, band=rule.tolerance)
    return voted(rule, _bounded(rule, policy))


def voted(rule: PriceRule, policy: Policy) -> Policy:
    """A policy that a vote replaces after the rule's delay."""
    return override(policy, VOTE, nanoseconds(rule.vote_delay))


def _mean(rule: PriceRule) -> Policy:
    def part(source: str) -> Policy:
        if source == "fixed":
            return Fixed(rule.value or 0.0)
        last = Last(source)
        return last if rule.stale is None else Stale(last, nanoseconds(rule.stale))

    parts = tuple(map(part, rule.parts))
    outliers: Outliers | None = None
    if rule.clamp is not None:
        outliers = Clamp(rule.clamp)
    elif rule.drop is not None:
        outliers = DropOrMedian(rule.drop)
    if len(parts) == 1:
        return parts[0]
    if rule.median:
        return Median(parts)
    return Index(parts, tuple(rule.parts.values()), outliers)


def _bounded(rule: PriceRule, policy: Policy) -> Policy:
    if rule.floor is not None:
        policy = Floor(policy, rule.floor)
    if rule.cap is not None and rule.growth is not None:
        policy = GrowthCap(policy, rule.cap, 0, rule.growth)
    elif rule.cap is not None:
        policy = Cap(policy, rule.cap)
    if rule.band is not None:
        policy = Step(inner=policy, band=rule.band)
    if rule.breaker is not None:
        policy = Breaker(
            inner=policy,
            band=rule.breaker,
            window_ns=nanoseconds(rule.breaker_window),
            hold_ns=nanoseconds(rule.breaker_hold),
        )
    if rule.stale is not None:
        policy = Stale(policy, nanoseconds(rule.stale))
    return policy
