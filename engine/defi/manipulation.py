"""Pushing a price to borrow, redeem or be paid at it: what it costs and brings."""

from collections.abc import Mapping
from math import fsum
from typing import NamedTuple, Self

import attrs

from .protocol import require


class Outcome(NamedTuple):
    """What a manipulation brings, costs and leaves, in one unit."""

    extracted: float
    cost: float
    capital: float

    @property
    def profit(self) -> float:
        """What is left."""
        return self.extracted - self.cost

    @property
    def amplification(self) -> float:
        """What was taken for each unit brought."""
        return self.extracted / self.capital


def against_cash(
    *, cash: float, weight: float, position: float, start: float, pushed: float
) -> float:
    """What can be borrowed on a position whose price was pushed up.

    ``min(cash, w·(P' − P)·position)``: its gain counts as collateral with ``weight``,
    and the lender has so much cash. There is no other bound: that was the fault.

    >>> round(
    ...     against_cash(cash=1e12, weight=1, position=483e6, start=0.0382, pushed=0.91)
    ... )
    421079400
    """
    require(position > 0.0, "position", "be above 0", position)
    require(0.0 < weight <= 1.0, "weight", "be above 0, at most 1", weight)
    return min(cash, weight * max(0.0, pushed - start) * position)


def price_for(
    extracted: float, *, weight: float, position: float, start: float
) -> float:
    """The price to push to for so much: it may be far below the one that was reached.

    >>> round(price_for(116e6, weight=1.0, position=483e6, start=0.0382), 3)
    0.278
    """
    require(position > 0.0, "position", "be above 0", position)
    require(0.0 < weight <= 1.0, "weight", "be above 0, at most 1", weight)
    return start + extracted / (weight * position)


@attrs.frozen
class FlashLedger:
    """What an attacker has of one asset within a transaction that a flash loan opened.

    >>> ledger = FlashLedger.borrow(7_500).move({"sUSD": -3_518, "bids": -900})
    >>> ledger.move({"loan": 6_796}).repay()
    2378.0
    """

    borrowed: float
    flows: tuple[tuple[str, float], ...] = ()

    @classmethod
    def borrow(cls, amount: float) -> Self:
        """Open with a flash loan."""
        require(amount > 0.0, "amount", "be above 0", amount)
        return cls(amount)

    @property
    def balance(self) -> float:
        """What there is."""
        return self.borrowed + fsum(amount for _, amount in self.flows)

    def move(self, flows: Mapping[str, float]) -> Self:
        """Spend below 0, receive above; Refused beyond what there is."""
        after = attrs.evolve(self, flows=(*self.flows, *flows.items()))
        must = f"be within the {self.balance:g} there are"
        require(after.balance >= 0.0, "flows", must, dict(flows))
        return after

    def repay(self) -> float:
        """Pay the loan back and keep the rest; Refused if there is not enough."""
        must = f"be at least the {self.borrowed:g} borrowed"
        require(self.balance >= self.borrowed, "balance", must, self.balance)
        return self.balance - self.borrowed


def share_dip_profit(deposit: float, low: float, high: float) -> float:
    """What depositing at a lowered share price and leaving at the old one brings.

    >>> round(share_dip_profit(50e6, 0.97, 0.98))
    515464
    """
    require(0.0 < low <= high, "low", "be above 0, at most 'high'", low)
    return deposit * high / low - deposit


def liquidation_price(collateral: float, factor: float, debt: float) -> float:
    """The price of the *debt* at which a loan is liquidated: V·CF/d.

    Where collateral and debt are the same asset its price cancels: no push of it
    liquidates anybody.

    >>> liquidation_price(100.0, 0.75, 60.0)
    1.25
    """
    require(debt > 0.0, "debt", "be above 0", debt)
    return collateral * factor / debt


class ForcedSale(NamedTuple):
    """A liquidation that a vote forced, as it is reported."""

    seized: float
    recovered: float
    penalty: float
    left: float

    @property
    def price(self) -> float:
        """What a unit of the collateral recovered."""
        return self.recovered / self.seized

    @property
    def price_with_penalty(self) -> float:
        """The same, were the penalty paid on top."""
        return (self.recovered + self.penalty) / self.seized

    @property
    def cleared(self) -> float:
        """The share of the debt that was repaid."""
        return self.recovered / (self.recovered + self.left)
