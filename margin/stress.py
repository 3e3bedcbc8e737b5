"""Portfolio margin by risk units: what an account would lose in set moves of prices.

All positions of one underlying, and the coins of it that hedge them, are one unit. Its
margin takes the place of the brackets of its positions. The numbering is OKX's:

    MR  = max(MR1 spot shock, MR6 extreme move) + MR4 basis
    margin of the unit = max(MR, MR7 minimum charge)

MR8, the margin of debts, is the rules' ``borrow``; MR9, for stablecoins that come
apart, is of the whole account. MR2 (time), MR3 (volatility) and MR5 (interest rates)
are of options, which there are none of here.

Source: https://www.okx.com/support/hc/en-us/articles/4417291853837 and
https://www.okx.com/help/okx-will-further-adjust-portfolio-margin-parameters
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import NamedTuple

import attrs

from .schedule import Schedule

DOLLARS = ("USDT", "USD", "USDC")
"""What units may be settled in; pairs come apart in the order of `PAIRS`."""

PAIRS = (("USDT", "USD"), ("USDT", "USDC"), ("USDC", "USD"))


@attrs.frozen
class Leg:
    """A position or holding of an underlying: ``usd`` is what it is worth, signed."""

    underlying: str
    settle: str
    usd: float
    years: float = 0.0
    """Until it is delivered; 0 for perpetuals and coins."""

    spot: bool = False


@attrs.frozen(kw_only=True)
class RiskUnit:
    """The moves that positions of one underlying have to stand."""

    shock: float
    """MR1: largest move of the price."""

    extreme: float
    """MR6: a move beyond it."""

    extreme_share: float
    """Share of the loss in that move that is asked for."""

    basis: float
    """MR4: move of a future against its underlying, a year to delivery."""

    charge: float
    """MR7: share of what is held that closing it takes, at least."""

    scale: Schedule
    """What each slice of that charge, US dollars, is multiplied by."""

    @property
    def net_curve(self) -> Schedule:
        """Margin of what is left after hedging: MR1 or MR6, without delivery dates."""
        return Schedule.flat(max(self.shock, self.extreme * self.extreme_share))

    @property
    def gross_curve(self) -> Schedule:
        """Margin of all that is held, hedged or not: MR7."""
        floors = [floor / self.charge for floor in self.scale.floors]
        return Schedule(floors, [rate * self.charge for rate in self.scale.rates])

    def charges(self, legs: Iterable[Leg]) -> "UnitCharges":
        """The charges of the positions and coins of one unit.

        Coins count only as far as they hedge: they make no unit and enlarge none.
        """
        legs = list(legs)
        held = [leg for leg in legs if not leg.spot]
        coins = fsum(leg.usd for leg in legs if leg.spot)
        delta = fsum(leg.usd for leg in held)
        # As much of the coins as offsets the positions, with the sign of the coins.
        offset = min(abs(coins), abs(delta)) if coins * delta < 0.0 else 0.0
        net = abs(delta) - offset
        shock = self.shock * net
        extreme = self.extreme * self.extreme_share * net
        basis = self.basis * abs(fsum(leg.usd * leg.years for leg in held))
        raw = self.charge * fsum(abs(leg.usd) for leg in held)
        return UnitCharges(shock, basis, extreme, raw, self.scale.value(raw))


class UnitCharges(NamedTuple):
    """The charges of one risk unit, US dollars."""

    shock: float
    """MR1."""

    basis: float
    """MR4."""

    extreme: float
    """MR6."""

    minimum_raw: float
    minimum: float
    """MR7, before and after its slices were multiplied."""

    @property
    def margin(self) -> float:
        """What the unit needs."""
        return max(max(self.shock, self.extreme) + self.basis, self.minimum)


def depeg_charge(legs: Iterable[Leg], curves: Mapping[str, Schedule]) -> float:
    """MR9: what hedges between dollars of different issuers need, US dollars.

    A long settled in one and a short settled in the other hedge each other only as
    long as the two are worth the same. ``curves`` are by the first of a pair.
    """
    cash = dict.fromkeys(DOLLARS, 0.0)
    for leg in legs:
        if leg.settle in cash and not leg.spot:
            cash[leg.settle] += leg.usd
    total = []
    for one, other in PAIRS:
        hedged = min(abs(cash[one]), abs(cash[other]))
        if cash[one] * cash[other] < 0.0 and hedged > 0.0:
            sign = 1.0 if cash[one] > 0.0 else -1.0
            cash[one] -= sign * hedged
            cash[other] += sign * hedged
            curve = curves.get(one) or curves.get("default")
            total.append(curve.value(hedged) if curve else 0.0)
    return fsum(total)


@attrs.frozen
class StressMargin:
    """Margin of all positions of an account, as the compiled pass asks for it.

    See `Risk.position_margin`: ``markets`` are those that it numbers, each with its
    underlying, settle asset, and -1.0 if a long of it is a short of the underlying.
    """

    markets: Sequence[tuple[str, str, float]]
    assets: Sequence[str]
    units: Mapping[str, RiskUnit]
    depeg: Mapping[str, Schedule]

    @property
    def units_of(self) -> list[tuple[int, int]]:
        """By market the number of its underlying, and -1 if a long is a short of it."""
        numbers = {name: number for number, name in enumerate(self.assets)}
        return [(numbers[name], int(sign)) for name, _, sign in self.markets]

    def __call__(
        self,
        positions: Iterable[tuple[int, float]],
        equities: Iterable[tuple[int, float]],
    ) -> float:
        """Return US dollars for positions by market and net equities by asset."""
        units: dict[str, list[Leg]] = {}
        for market, usd in positions:
            name, settle, sign = self.markets[market]
            units.setdefault(name, []).append(Leg(name, settle, usd * sign))
        apart = depeg_charge((leg for own in units.values() for leg in own), self.depeg)
        for asset, usd in equities:
            name = self.assets[asset]
            if name in units:
                units[name].append(Leg(name, "", usd, spot=True))
        margins = [self.units[name].charges(own).margin for name, own in units.items()]
        return fsum(margins) + apart
