"""Oracles: what a lending market is told a price is, and what it then allows."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Self

import attrs

from ...margin.feeds import Feed, Price, Seen, Status
from .fixed_point import WAD
from .isolated import PRICE_ONE, IsolatedMarket
from .protocol import Refused, require, require_known

WHEN_DOWN = ("block", "deep", "allow")
"""What an oracle that is not live allows; see `Oracle`."""


class OracleDown(Refused):
    """An oracle has no price that may be used now."""


@attrs.frozen(kw_only=True)
class Oracle:
    """A market's view of a feed: its price in the market's units, and what it allows.

    ``when_down`` says what happens while the price is stale or frozen: ``block`` no
    loans and no liquidations, ``deep`` only liquidations below a health of 0.95,
    ``allow`` everything at the price that stands. Without any price nothing happens.
    """

    name: str
    feed: Feed
    when_down: str = "block"

    def __attrs_post_init__(self) -> None:
        """Refuse a consequence that is none."""
        require_known("when_down", self.when_down, dict.fromkeys(WHEN_DOWN))

    def after(self, seen: Seen, now_ns: int) -> Self:
        """The oracle after new prices."""
        return attrs.evolve(self, feed=self.feed.after(seen, now_ns))

    def price(self, now_ns: int, health: float | None = None) -> Price:
        """The price for an action; Refused where there is none that may be used.

        ``health`` is that of the position to be liquidated, if that is the action.
        """
        price = self.feed.read(now_ns)
        usable = price.live or (
            price.status is not Status.MISSING
            and (
                self.when_down == "allow"
                or (self.when_down == "deep" and health is not None and health < 0.95)
            )
        )
        if not usable:
            raise OracleDown(
                f"{self.name!r} must have a live price (got one that is "
                f"{price.status.name.lower()}); let 'when_down' allow it, or wait"
            )
        return price

    def in_base(self, now_ns: int, health: float | None = None) -> int:
        """The price of a whole unit with eight digits, as a lending pool has it."""
        return round(self.price(now_ns, health).value * 10**8)

    def scaled(
        self,
        now_ns: int,
        *,
        collateral_decimals: int,
        loan_decimals: int,
        health: float | None = None,
    ) -> int:
        """The price as an isolated market has it, rounded down.

        Atoms of the loan asset for one of collateral, times 10**36.
        """
        value = Fraction(self.price(now_ns, health).value)
        unit = Fraction(PRICE_ONE * 10**loan_decimals, 10**collateral_decimals)
        return int(value * unit)


def oracle_of(market: IsolatedMarket, oracles: Mapping[str, Oracle]) -> Oracle:
    """The oracle that a market names; Refused if there is none of that name."""
    name = market.terms.oracle
    require_known(f"{market.account}.oracle", name, oracles)
    return oracles[name]


def base_prices(oracles: Mapping[str, Oracle], now_ns: int) -> dict[str, int]:
    """Prices for a lending pool, by asset; Refused where one may not be used."""
    return {asset: oracle.in_base(now_ns) for asset, oracle in oracles.items()}


def override_price(debt: int, collateral: int, lltv: int) -> float:
    """The price below which a position of an isolated market can be liquidated.

    ``debt / (collateral · LLTV)``, atoms for an atom: what a vote must set to force it.
    """
    require(collateral > 0, "collateral", "be above 0", collateral)
    return debt / (collateral * (lltv / WAD))
