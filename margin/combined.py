"""Policies made of several prices: indices, medians, products, fallbacks."""

from collections.abc import Sequence
from math import fsum
from statistics import median
from typing import Any, NamedTuple, Protocol

import attrs

from .feeds import NONE, SECOND_NS, Policy, Price, Seen, Status
from .refusal import require

NEVER_NS = 2**63 - 1
"""A time that does not come."""


class Outliers(Protocol):
    """What an index does about prices far from the others."""

    def apply(
        self, prices: list[float], weights: list[float]
    ) -> tuple[list[float], list[float]]:
        """Prices and weights that count instead."""


@attrs.frozen
class Clamp:
    """Prices beyond a share of their median count as at that distance.

    Source: Binance's P2P index: 3 %, 1 % for BTC and ETH.
    """

    band: float

    def apply(
        self, prices: list[float], weights: list[float]
    ) -> tuple[list[float], list[float]]:
        """The prices, those too far moved to the edge."""
        middle = median(prices)
        low, high = middle * (1.0 - self.band), middle * (1.0 + self.band)
        return [min(max(price, low), high) for price in prices], weights


@attrs.frozen
class DropOrMedian:
    """One price beyond a share of the median does not count; of more, the median is.

    Source: Binance's index rules of October 2020: 5 %.
    """

    band: float

    def apply(
        self, prices: list[float], weights: list[float]
    ) -> tuple[list[float], list[float]]:
        """The prices without the one that is too far, or their median."""
        middle = median(prices)
        far = [abs(price / middle - 1.0) > self.band for price in prices]
        if sum(far) > 1:
            return [middle], [1.0]
        kept = [i for i, out in enumerate(far) if not out]
        return [prices[i] for i in kept], [weights[i] for i in kept]


@attrs.frozen
class Index(Policy):
    """The weighted mean of several prices; weights of those not live go to the others.

    If none is live it is that of the prices there are, with the worst of their
    statuses. With one price no rule for outliers can do anything.
    """

    parts: tuple[Policy, ...]
    weights: tuple[float, ...] = ()
    outliers: Outliers | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse weights that do not fit the parts."""
        require(len(self.parts) > 0, "parts", "be at least one", self.parts)
        right = not self.weights or (
            len(self.weights) == len(self.parts) and min(self.weights) > 0.0
        )
        require(right, "weights", "be one above 0 for each part", self.weights)

    def start(self) -> tuple[Any, ...]:
        """The parts' states."""
        return tuple(part.start() for part in self.parts)

    def observe(
        self, state: tuple[Any, ...], seen: Seen, now_ns: int
    ) -> tuple[Any, ...]:
        """The parts' states after new prices."""
        pairs = zip(self.parts, state, strict=True)
        return tuple(part.observe(row, seen, now_ns) for part, row in pairs)

    def read(self, state: tuple[Any, ...], now_ns: int) -> Price:
        """The mean of the live prices."""
        weights = self.weights or (1.0,) * len(self.parts)
        read = [p.read(s, now_ns) for p, s in zip(self.parts, state, strict=True)]
        status, usable = _usable(read)
        if not usable:
            return NONE
        prices = [read[i].value for i in usable]
        shares = [weights[i] for i in usable]
        if self.outliers:
            prices, shares = self.outliers.apply(prices, shares)
        products = (p * w for p, w in zip(prices, shares, strict=True))
        value = fsum(products) / fsum(shares)
        return Price(value, min(read[i].at_ns for i in usable), "index", status)


def _usable(prices: Sequence[Price]) -> tuple[Status, list[int]]:
    # Which prices count, and what is to be said of what is made of them.
    live = [i for i, price in enumerate(prices) if price.live]
    if live:
        return Status.OK, live
    there = [i for i, p in enumerate(prices) if p.status is not Status.MISSING]
    return max((prices[i].status for i in there), default=Status.MISSING), there


class _Excluded(NamedTuple):
    # Of each part: until when it is out, and when it was put out before.
    until_ns: int = -1
    times: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Excluding(Policy):
    """An index that puts out whoever is too far from the median, for a time.

    A part that is ``band`` or more away at an observation has no weight for
    ``hold_ns``; put out ``most`` times within ``window_ns`` it stays out, until
    somebody makes a new feed.

    Source: BingX's index: 3 %, five minutes, four times in thirty minutes.
    """

    parts: tuple[Policy, ...]
    weights: tuple[float, ...]
    band: float = 0.03
    hold_ns: int = 300 * SECOND_NS
    most: int = 4
    window_ns: int = 1_800 * SECOND_NS

    def __attrs_post_init__(self) -> None:
        """Refuse weights that do not fit, and a band that puts out everybody."""
        Index(self.parts, self.weights)
        require(self.band > 0.0, "band", "be above 0", self.band)

    def start(self) -> tuple[tuple[Any, ...], tuple[_Excluded, ...]]:
        """The parts' states, nobody out."""
        states = tuple(part.start() for part in self.parts)
        return states, (_Excluded(),) * len(self.parts)

    def observe(
        self,
        state: tuple[tuple[Any, ...], tuple[_Excluded, ...]],
        seen: Seen,
        now_ns: int,
    ) -> tuple[tuple[Any, ...], tuple[_Excluded, ...]]:
        """The parts after new prices, and who is put out by them."""
        pairs = zip(self.parts, state[0], strict=True)
        states = tuple(part.observe(row, seen, now_ns) for part, row in pairs)
        inside = self._inside(states, state[1], now_ns)
        if not inside:
            return states, state[1]
        middle = median(price.value for price in inside.values())
        out = list(state[1])
        for i, price in inside.items():
            if abs(price.value / middle - 1.0) >= self.band:
                since = now_ns - self.window_ns
                times = (*(at for at in out[i].times if at > since), now_ns)
                for_ever = len(times) >= self.most
                until = NEVER_NS if for_ever else now_ns + self.hold_ns
                out[i] = _Excluded(until, times)
        return states, tuple(out)

    def _inside(
        self, states: tuple[Any, ...], out: tuple[_Excluded, ...], now_ns: int
    ) -> dict[int, Price]:
        found = {}
        for i, (part, row) in enumerate(zip(self.parts, states, strict=True)):
            price = part.read(row, now_ns)
            if price.live and now_ns >= out[i].until_ns:
                found[i] = price
        return found

    def read(
        self, state: tuple[tuple[Any, ...], tuple[_Excluded, ...]], now_ns: int
    ) -> Price:
        """The mean of who is not out."""
        inside = self._inside(*state, now_ns)
        if not inside:
            return NONE
        total = fsum(self.weights[i] for i in inside)
        value = fsum(self.weights[i] * price.value for i, price in inside.items())
        at = min(price.at_ns for price in inside.values())
        return Price(value / total, at, "index")


@attrs.frozen
class Median(Policy):
    """The median of the live prices, or if none is live of those there are."""

    parts: tuple[Policy, ...]

    def start(self) -> tuple[Any, ...]:
        """The parts' states."""
        return tuple(part.start() for part in self.parts)

    def observe(
        self, state: tuple[Any, ...], seen: Seen, now_ns: int
    ) -> tuple[Any, ...]:
        """The parts' states after new prices."""
        pairs = zip(self.parts, state, strict=True)
        return tuple(part.observe(row, seen, now_ns) for part, row in pairs)

    def read(self, state: tuple[Any, ...], now_ns: int) -> Price:
        """The middle one, or between the two middle ones."""
        read = [p.read(s, now_ns) for p, s in zip(self.parts, state, strict=True)]
        status, usable = _usable(read)
        if not usable:
            return NONE
        value = median(read[i].value for i in usable)
        return Price(value, min(read[i].at_ns for i in usable), "median", status)


@attrs.frozen
class _Two(Policy):
    # Both policies are kept up, whichever of them is then read.
    first: Policy
    second: Policy

    def start(self) -> tuple[Any, Any]:
        """Both states."""
        return self.first.start(), self.second.start()

    def observe(
        self, state: tuple[Any, Any], seen: Seen, now_ns: int
    ) -> tuple[Any, Any]:
        """Both states after new prices."""
        first = self.first.observe(state[0], seen, now_ns)
        return first, self.second.observe(state[1], seen, now_ns)


@attrs.frozen
class Product(_Two):
    """The product of two prices: a ratio × its underlying, a pair × its quote.

    ``inverse`` divides by the first: what a market quoted *in* an asset says of it.
    """

    inverse: bool = False

    def read(self, state: tuple[Any, Any], now_ns: int) -> Price:
        """The product, with the worse status and the earlier time."""
        a = self.first.read(state[0], now_ns)
        b = self.second.read(state[1], now_ns)
        status = max(a.status, b.status)
        if status is Status.MISSING:
            return NONE
        factor = 1.0 / a.value if self.inverse else a.value
        return Price(factor * b.value, min(a.at_ns, b.at_ns), "product", status)


@attrs.frozen
class Fallback(_Two):
    """The first price while it is live, the second otherwise."""

    def read(self, state: tuple[Any, Any], now_ns: int) -> Price:
        """The one that is live."""
        first = self.first.read(state[0], now_ns)
        return first if first.live else self.second.read(state[1], now_ns)
