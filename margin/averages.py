"""Policies that average a price over time, each as one protocol does it."""

from math import inf
from typing import Any, NamedTuple, Self

import attrs

from .feeds import NONE, SECOND_NS, Kept, Policy, Price, Seen, Status
from .marks import decay
from .refusal import require
from .scalars import exp, log


@attrs.frozen(kw_only=True)
class Moving:
    """Exponential averages that run on the values *before* the last change.

    So the moment in which a value is pushed has no effect. Values count up to
    ``most``.

    Source: stableswap-ng 2abe778f, ``upkeep_oracles``, where ``most`` is 2 and 866 s
    are a half-life of ten minutes.
    """

    window_s: int = 866
    most: float = 2.0
    last: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    at_ns: int = 0

    def read(self, now_ns: int) -> tuple[float, ...]:
        """The averages at a time."""
        if now_ns <= self.at_ns:
            return self.mean
        keep = decay((now_ns - self.at_ns) // SECOND_NS, self.window_s)
        return tuple(
            spot * (1.0 - keep) + mean * keep
            for spot, mean in zip(self.last, self.mean, strict=True)
        )

    def after(self, values: tuple[float, ...], now_ns: int) -> Self:
        """The averages once the values have become these."""
        spots = tuple(min(value, self.most) for value in values)
        mean = self.read(now_ns) if self.mean else spots
        return attrs.evolve(self, last=spots, mean=mean, at_ns=max(now_ns, self.at_ns))


@attrs.frozen(kw_only=True)
class Ema(Policy):
    """The exponential average of another price, lagging by one observation."""

    inner: Policy
    window_s: int = 866
    most: float = 2.0

    def __attrs_post_init__(self) -> None:
        """Refuse an average over no time."""
        require(self.window_s > 0, "window_s", "be above 0", self.window_s)

    def start(self) -> tuple[Any, Moving]:
        """No average."""
        moving = Moving(window_s=self.window_s, most=self.most)
        return self.inner.start(), moving

    def observe(
        self, state: tuple[Any, Moving], seen: Seen, now_ns: int
    ) -> tuple[Any, Moving]:
        """The average up to now, then the new price."""
        inner = self.inner.observe(state[0], seen, now_ns)
        price = self.inner.read(inner, now_ns)
        moving = state[1].after((price.value,), now_ns) if price.live else state[1]
        return inner, moving

    def read(self, state: tuple[Any, Moving], now_ns: int) -> Price:
        """The average at a time."""
        if not state[1].mean:
            return NONE
        return Price(state[1].read(now_ns)[0], state[1].at_ns, "average")


class _Sum(NamedTuple):
    # The price times its duration, added up to a time; the price that holds on.
    inner: Any
    total: float
    price: float
    at_ns: int
    past: tuple[tuple[int, float], ...]  # earlier times and sums, oldest first
    held: Price


def _sum_until(state: _Sum, now_ns: int) -> float:
    return state.total + state.price * ((now_ns - state.at_ns) / SECOND_NS)


@attrs.frozen(kw_only=True)
class Twap(Policy):
    """The time-weighted average over a window that rolls.

    ``geometric`` averages logarithms, in whole ticks of 1.0001 rounded down, as
    Uniswap v3 does. Until a window has passed the average is over what there is.
    """

    inner: Policy
    window_ns: int
    geometric: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse an average over no time."""
        require(self.window_ns > 0, "window_ns", "be above 0", self.window_ns)

    def start(self) -> _Sum:
        """No price yet."""
        return _Sum(self.inner.start(), 0.0, 0.0, 0, (), NONE)

    def observe(self, state: _Sum, seen: Seen, now_ns: int) -> _Sum:
        """Add what the last price held for, and remember the sum."""
        inner = self.inner.observe(state.inner, seen, now_ns)
        price = self.inner.read(inner, now_ns)
        if not price.live:
            return state._replace(inner=inner)
        value = price.value
        if self.geometric:
            value = log(value) / log(1.0001)
        total = _sum_until(state, now_ns) if state.past else 0.0
        past = (*state.past, (now_ns, total))
        # One sum from before the window is enough to know where it begins.
        start = now_ns - self.window_ns
        old = [i for i, (at, _) in enumerate(past) if at <= start]
        past = past[old[-1] :] if old else past
        return _Sum(inner, total, value, now_ns, past, price)

    def read(self, state: _Sum, now_ns: int) -> Price:
        """The average of the window that ends at a time."""
        if not state.past:
            return NONE
        start = max(now_ns - self.window_ns, state.past[0][0])
        held = state.price
        if start < now_ns:
            whole = _sum_until(state, now_ns) - self._sum_at(state, start)
            held = whole / ((now_ns - start) / SECOND_NS)
        if self.geometric:
            # A whole tick within a rounding error is that tick.
            held = exp(log(1.0001) * ((held + 1e-9) // 1.0))
        return Price(held, state.at_ns, "average")

    def _sum_at(self, state: _Sum, at_ns: int) -> float:
        before, total = state.past[0]
        for later, more in state.past[1:]:
            if later > at_ns:
                part = (at_ns - before) / (later - before)
                return total + (more - total) * part
            before, total = later, more
        return total + state.price * ((at_ns - before) / SECOND_NS)


@attrs.frozen(kw_only=True)
class HeldTwap(Policy):
    """The time-weighted average over whole periods, which changes only at their ends.

    Every observation asks for an update; one within ``period_ns`` of the last is
    ignored, so that the average may be of prices long past.

    Source: IronFinance/iron-polygon-contracts a47dfd39, ``UniswapPairOracle.update``.
    """

    inner: Policy
    period_ns: int

    def __attrs_post_init__(self) -> None:
        """Refuse an average over no time."""
        require(self.period_ns > 0, "period_ns", "be above 0", self.period_ns)

    def start(self) -> _Sum:
        """No average yet."""
        return _Sum(self.inner.start(), 0.0, 0.0, 0, (), NONE)

    def observe(self, state: _Sum, seen: Seen, now_ns: int) -> _Sum:
        """Add what the last price held for; average once a period has passed."""
        inner = self.inner.observe(state.inner, seen, now_ns)
        price = self.inner.read(inner, now_ns)
        value = price.value if price.live else state.price
        if not state.past:
            if not price.live:
                return state._replace(inner=inner)
            return _Sum(inner, 0.0, value, now_ns, ((now_ns, 0.0),), NONE)
        total = _sum_until(state, now_ns)
        since, before = state.past[0]
        held, past = state.held, state.past
        if now_ns - since >= self.period_ns:
            mean = (total - before) / ((now_ns - since) / SECOND_NS)
            held = Price(mean, now_ns, "average")
            past = ((now_ns, total),)
        return _Sum(inner, total, value, now_ns, past, held)

    def read(self, state: _Sum, now_ns: int) -> Price:
        """The average of the last whole period."""
        return state.held


@attrs.frozen(kw_only=True)
class Step(Kept):
    """A price that moves by at most a share of itself at each observation.

    Without a price inside it keeps the last one. An infinite band only keeps.
    """

    band: float = inf

    def __attrs_post_init__(self) -> None:
        """Refuse a band that lets nothing through."""
        require(self.band > 0.0, "band", "be above 0", self.band)

    def follow(self, price: Price, last: Price, now_ns: int) -> Price:
        """One step towards the price inside."""
        if last.status is Status.MISSING:
            return price
        low, high = max(1.0 - self.band, 0.0), 1.0 + self.band
        value = min(max(price.value, last.value * low), last.value * high)
        return price._replace(value=value)
