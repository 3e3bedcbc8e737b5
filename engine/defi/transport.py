"""Transfers between places, and the arbitrage that lives by them."""

from typing import NamedTuple, Self

import attrs

from .protocol import SECOND_NS, ceil_div, require, require_amount


class Parcel(NamedTuple):
    """Atoms on their way."""

    who: str
    asset: str
    atoms: int
    arrives_ns: int


@attrs.frozen(kw_only=True)
class Link:
    """A way for assets from one place to another: slow, narrow, and it can be cut.

    A venue whose link is cut has a price of its own: what is sold there cannot be
    carried to where it is worth more.
    """

    latency_ns: int
    per_hour: int
    enabled: bool = True
    hour: int = 0
    used: int = 0
    parcels: tuple[Parcel, ...] = ()

    def __attrs_post_init__(self) -> None:
        """Refuse a link that is faster than time."""
        require(self.latency_ns >= 0, "latency_ns", "not be below 0", self.latency_ns)
        require(self.per_hour > 0, "per_hour", "be above 0 atoms", self.per_hour)

    def free(self, now_ns: int) -> int:
        """Atoms that can still be sent in this hour; 0 while it is cut."""
        used = self.used if now_ns // (3_600 * SECOND_NS) == self.hour else 0
        return self.per_hour - used if self.enabled else 0

    def send(self, who: str, asset: str, atoms: int, now_ns: int) -> Self:
        """Put atoms on their way."""
        require_amount("atoms", atoms)
        free = self.free(now_ns)
        must = f"be at most the {free} that the link takes now"
        require(atoms <= free, "atoms", must, atoms)
        hour = now_ns // (3_600 * SECOND_NS)
        used = self.used if hour == self.hour else 0
        parcel = Parcel(who, asset, atoms, now_ns + self.latency_ns)
        return attrs.evolve(
            self, hour=hour, used=used + atoms, parcels=(*self.parcels, parcel)
        )

    def arrive(self, now_ns: int) -> tuple[Self, tuple[Parcel, ...]]:
        """The parcels that are there, first sent first."""
        there = tuple(row for row in self.parcels if row.arrives_ns <= now_ns)
        left = tuple(row for row in self.parcels if row.arrives_ns > now_ns)
        return attrs.evolve(self, parcels=left), there


def may_buy(price: float, cost: float, link_free: int, capital: int, book: int) -> int:
    """Atoms that an arbitrageur buys where a token is cheap, to redeem them at par.

    As long as the price is below ``1 − cost``: at most its capital, what the link
    takes, and what the book offers down to that price.
    """
    require(0.0 <= cost < 1.0, "cost", "be from 0 to below 1", cost)
    return min(link_free, capital, book) if price < 1.0 - cost else 0


@attrs.frozen(kw_only=True)
class LinearBook:
    """A book whose price falls by one over ``depth`` for each atom sold into it."""

    depth: int
    sold: int = 0

    @property
    def price(self) -> float:
        """The price, 1 when nothing is sold."""
        return 1.0 - self.sold / self.depth

    def below(self, price: float) -> int:
        """Atoms to buy until it is there."""
        return max(0, self.sold - round((1.0 - price) * self.depth))

    def bought(self, atoms: int) -> Self:
        """After so many atoms were bought."""
        return attrs.evolve(self, sold=self.sold - atoms)

    def steps_to_close(self, cost: float, per_step: int) -> int:
        """Steps until arbitrage has closed the gap: ``ceil((S − c·κ) / a)``."""
        require_amount("per_step", per_step)
        return ceil_div(self.below(1.0 - cost), per_step)
