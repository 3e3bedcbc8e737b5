"""Prices with their age, policies that make them, and feeds that carry their state."""

from collections.abc import Mapping
from enum import IntEnum
from math import inf, nan
from typing import Any, NamedTuple, Self

import attrs

from .refusal import require

SECOND_NS = 1_000_000_000
YEAR_S = 365 * 24 * 3600
"""A year of policies and of lending protocols, seconds."""

Seen = Mapping[str, float | tuple[float, int]]
"""Prices by source, of now or with the time that they are of, nanoseconds.

A price of 0, below 0 or NaN says that there is none.
"""


class Status(IntEnum):
    """What may be done with a price."""

    OK = 0
    STALE = 1
    FROZEN = 2
    MISSING = 3


class Price(NamedTuple):
    """A price, when its oldest part was seen, where it comes from, and its status."""

    value: float
    at_ns: int
    source: str
    status: Status = Status.OK

    @property
    def live(self) -> bool:
        """Whether there is a price and nothing speaks against it."""
        return self.status is Status.OK


NONE = Price(nan, 0, "", Status.MISSING)
"""No price at all."""


class Policy:
    """How a price is made of observations; its state lies outside.

    ``start`` is the state before any observation, ``observe`` the state after new
    prices at a time, ``read`` the price at a time at or after the last observation.
    None of them changes anything; a policy may stand inside another, or in many.
    """

    def start(self) -> Any:
        """The state before any observation."""

    def observe(self, state: Any, seen: Seen, now_ns: int) -> Any:
        """The state after new prices."""
        raise NotImplementedError

    def read(self, state: Any, now_ns: int) -> Price:
        """The price at a time."""
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class Kept(Policy):
    """A price that stays as it was until the price inside lets another follow."""

    inner: Policy

    def follow(self, price: Price, last: Price, now_ns: int) -> Price:
        """Return what comes after the last price, of the live one inside."""
        raise NotImplementedError

    def start(self) -> tuple[Any, Price]:
        """No price."""
        return self.inner.start(), NONE

    def observe(
        self, state: tuple[Any, Price], seen: Seen, now_ns: int
    ) -> tuple[Any, Price]:
        """What follows, if there is a price inside."""
        inner, last = self.inner.observe(state[0], seen, now_ns), state[1]
        price = self.inner.read(inner, now_ns)
        return inner, self.follow(price, last, now_ns) if price.live else last

    def read(self, state: tuple[Any, Price], now_ns: int) -> Price:
        """The price as of the last observation."""
        return state[1]


@attrs.frozen
class Last(Policy):
    """The last price of a source: a venue's last trade or mid, a ratio, a vote."""

    source: str

    def start(self) -> Price:
        """No price."""
        return NONE._replace(source=self.source)

    def observe(self, state: Price, seen: Seen, now_ns: int) -> Price:
        """The source's price, if there is a new one."""
        if self.source not in seen:
            return state
        found = seen[self.source]
        value, at_ns = found if isinstance(found, tuple) else (found, now_ns)
        if 0.0 < value < inf:
            return Price(value, at_ns, self.source)
        return NONE._replace(source=self.source)

    def read(self, state: Price, now_ns: int) -> Price:
        """The last price, however old."""
        return state


@attrs.frozen
class Fixed(Policy):
    """A constant, always fresh: a peg, or an oracle that nobody updates."""

    value: float

    def __attrs_post_init__(self) -> None:
        """Refuse a constant that is no price."""
        require(0.0 < self.value < inf, "value", "be above 0", self.value)

    def observe(self, state: None, seen: Seen, now_ns: int) -> None:
        """Nothing."""

    def read(self, state: None, now_ns: int) -> Price:
        """The constant."""
        return Price(self.value, now_ns, "fixed")


@attrs.frozen
class Feed:
    """A policy with its state: what a market or an account is valued by.

    >>> feed = Feed(Last("book")).after({"book": 0.65}, now_ns=5)
    >>> feed.read(8)
    Price(value=0.65, at_ns=5, source='book', status=<Status.OK: 0>)
    """

    policy: Policy
    state: Any = attrs.field()
    at_ns: int | None = None

    @state.default
    def _start(self) -> Any:
        return self.policy.start()

    def after(self, seen: Seen, now_ns: int) -> Self:
        """The feed after new prices; Refused before those it has seen."""
        right = self.at_ns is None or now_ns >= self.at_ns
        require(right, "now_ns", f"not be before the last, {self.at_ns}", now_ns)
        state = self.policy.observe(self.state, seen, now_ns)
        return attrs.evolve(self, state=state, at_ns=now_ns)

    def read(self, now_ns: int) -> Price:
        """The price at a time; Refused before what it has seen."""
        right = self.at_ns is None or now_ns >= self.at_ns
        require(right, "now_ns", f"not be before the last, {self.at_ns}", now_ns)
        return self.policy.read(self.state, now_ns)


def feed(policy: Policy, **seen: float) -> Feed:
    """A feed that has seen these prices at time 0.

    >>> feed(Last("book"), book=0.65).read(0).value
    0.65
    """
    return Feed(policy).after(seen, 0)
