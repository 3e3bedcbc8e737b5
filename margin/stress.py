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
from itertools import pairwise
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


Cost = tuple[float, float]
"""Equity lost and margin added, US dollars."""


class Reach(NamedTuple):
    """A position with the orders that would change it, US dollars at the mark."""

    underlying: str
    settle: str
    usd: float
    """Signed; as the rest, of the underlying and not of the contract."""

    bids: float
    asks: float
    bid_cost: Cost
    """Of the bids, by their prices against the mark; of some, no more than a share."""

    ask_cost: Cost
    cost: Cost
    """Of all of them, whichever fill: at most."""

    def turned(self) -> "Reach":
        """The same if a long of the contract is a short of the underlying."""
        return self._replace(
            usd=-self.usd,
            bids=self.asks,
            asks=self.bids,
            bid_cost=self.ask_cost,
            ask_cost=self.bid_cost,
        )

    def choices(self) -> Iterable[tuple[float, Cost]]:
        """What it becomes, and what that costs, if none fill, either side or both."""
        yield self.usd, (0.0, 0.0)
        if self.bids:
            yield self.usd + self.bids, self.bid_cost
        if self.asks:
            yield self.usd - self.asks, self.ask_cost
        if self.bids and self.asks:
            yield self.usd + self.bids - self.asks, _sum((self.bid_cost, self.ask_cost))


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

    def worst(
        self, held: Sequence[Reach], coins: tuple[float, float], multiple: float
    ) -> Cost:
        """Equity lost, and margin, if those orders fill that leave least; no less.

        Least of equity less ``multiple`` times margin, of perpetuals. What there is of
        the coin may be anything from the first to the second of ``coins``.

        The margin is no more than the largest of some lines (`_lines`) in what is held
        of the unit, net and gross. On each line what the orders of a position take is
        convex in how much of either side fills, and no concern of other positions: it
        is most where all or nothing of a side does. The largest of the lines' sums is
        therefore no less than what any fills, in part or whole, can take. Nor can they
        take more than the most that all lose, and the most margin.
        """
        worst = self._most([own.choices() for own in held], coins, multiple)
        free = [[(usd, (0.0, 0.0)) for usd, _ in own.choices()] for own in held]
        most = self._most(free, coins, 1.0)
        all_ = _sum([most, *(own.cost for own in held)])
        return all_ if _weighed(all_, multiple) < _weighed(worst, multiple) else worst

    def _most(
        self,
        held: Iterable[Iterable[tuple[float, Cost]]],
        coins: tuple[float, float],
        multiple: float,
    ) -> Cost:
        held = [list(choices) for choices in held]
        most: list[tuple[float, Cost]] = []
        for net, gross, flat in self._lines(coins):
            costs = [
                [
                    _sum((cost, (0.0, net * usd + gross * abs(usd))))
                    for usd, cost in choices
                ]
                for choices in held
            ]
            worst = [max(own, key=lambda c: _weighed(c, multiple)) for own in costs]
            total = _sum([(0.0, flat), *worst])
            most.append((_weighed(total, multiple), total))
        return max(most)[1]

    def _lines(self, coins: tuple[float, float]) -> list[tuple[float, float, float]]:
        # Rates of what is held, net and gross, and what is added: the margin of the
        # unit is no more than the largest, whatever of the coins there is.
        rate = self.net_curve.rates[0]
        lines = [(0.0, 0.0, 0.0)]
        for usd in coins:
            sign = 1.0 if usd >= 0.0 else -1.0
            lines += [(sign * rate, 0.0, 0.0), (-sign * rate, 0.0, -rate * abs(usd))]
        curve = self.gross_curve
        if all(low <= high for low, high in pairwise(curve.rates)):
            lines += [(0.0, rate, -cum) for _, rate, cum in curve.rows]
        else:
            lines.append((0.0, max(curve.rates), 0.0))
        return lines


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


def depeg_most(held: Iterable[Reach], curves: Mapping[str, Schedule]) -> float:
    """MR9 if those orders fill that ask most of it, or more; US dollars.

    Of each pair as much as can come to hedge: what a pair before it hedges would only
    be missing.
    """
    low, high = dict.fromkeys(DOLLARS, 0.0), dict.fromkeys(DOLLARS, 0.0)
    for own in held:
        if own.settle in low:
            low[own.settle] += own.usd - own.asks
            high[own.settle] += own.usd + own.bids
    total = []
    for one, other in PAIRS:
        hedged = max(min(high[one], -low[other]), min(-low[one], high[other]), 0.0)
        curve = curves.get(one) or curves.get("default")
        total.append(curve.value(hedged) if curve and hedged else 0.0)
    return fsum(total)


def worst_stress(
    held: Iterable[Reach],
    coins: Mapping[str, tuple[float, float]],
    units: Mapping[str, RiskUnit],
    depeg: Mapping[str, Schedule],
    multiple: float,
) -> Cost:
    """Equity lost, and margin of all positions, after the fills that leave least.

    Each unit by itself, as the orders of another may not fill. ``coins`` are by asset:
    the least and the most that there may be.
    """
    own: dict[str, list[Reach]] = {}
    for reach in held:
        own.setdefault(reach.underlying, []).append(reach)
    costs = [
        units[name].worst(reaches, coins.get(name, (0.0, 0.0)), multiple)
        for name, reaches in own.items()
    ]
    apart = depeg_most((reach for some in own.values() for reach in some), depeg)
    return _sum([*costs, (0.0, apart)])


def _sum(costs: Iterable[Cost]) -> Cost:
    costs = list(costs)
    return fsum(lost for lost, _ in costs), fsum(asked for _, asked in costs)


def _weighed(cost: Cost, multiple: float) -> float:
    return cost[0] + multiple * cost[1]


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

    def worst(
        self,
        held: Iterable[tuple[int, float, float, float, Cost, Cost, Cost]],
        coins: Iterable[tuple[int, float, float]],
        multiple: float,
    ) -> Cost:
        """See `worst_stress`: positions as `Reach`, by market and of the contract.

        Coins are asset, and the least and the most that there may be, US dollars.
        """
        reaches = []
        for market, usd, bids, asks, bid_cost, ask_cost, cost in held:
            name, settle, sign = self.markets[market]
            reach = Reach(name, settle, usd, bids, asks, bid_cost, ask_cost, cost)
            reaches.append(reach if sign > 0.0 else reach.turned())
        spans = {self.assets[asset]: (low, high) for asset, low, high in coins}
        return worst_stress(reaches, spans, self.units, self.depeg, multiple)
