"""What open orders could cost an account: the fills that leave it least."""

from collections.abc import Callable, Iterable, Mapping
from math import fsum
from typing import NamedTuple

import attrs


@attrs.frozen
class SpotOrder:
    """An open order that pays one asset for another, in whole units."""

    pays: str
    pays_qty: float
    gets: str
    gets_qty: float
    buys: bool = True
    """Whether what it gets is the base of its market."""


@attrs.frozen
class PerpOrder:
    """An open order for a perpetual; ``qty`` is signed, ``settle`` its quote asset."""

    market: str
    settle: str
    qty: float
    limit: float
    mark: float


Orders = Iterable[SpotOrder | PerpOrder]

ROUNDING = 1e-9

Worth = Callable[[str, float], tuple[float, float]]
"""What a net equity of so many coins of an asset counts for, and its margin if owed."""


class Side(NamedTuple):
    """What the buys, or the sells, of a market would pay and get, in whole units."""

    pays: str
    paid: float
    gets: str
    got: float


class Means(NamedTuple):
    """What a coin that leaves, or comes, counts for and saves of margin, by asset."""

    cost: dict[str, tuple[float, float]]
    gain: dict[str, tuple[float, float]]

    @classmethod
    def of(
        cls, equities: Mapping[str, float], sides: Iterable[Side], worth: Worth
    ) -> "Means":
        """The means over all the coins that these sides pay, and get."""
        out, into = flows(sides)

        def mean(asset: str, qty: float) -> tuple[float, float]:
            held = equities.get(asset, 0.0)
            now, then = worth(asset, held), worth(asset, held + qty)
            return (then[0] - now[0]) / qty, (then[1] - now[1]) / qty

        return cls(
            {asset: mean(asset, -qty) for asset, qty in out.items()},
            {asset: mean(asset, qty) for asset, qty in into.items()},
        )


def fill_losses(
    sides: Iterable[Side],
    prices: Mapping[str, float],
    means: Means,
    multiple: float = 0.0,
    *,
    capped: bool = False,
) -> tuple[float, float]:
    """Adjusted equity lost and margin added by the fills that cost most.

    The value of an asset, adjusted equity less ``multiple`` times margin, is concave in
    its coins. So of all that may leave, any part takes at most its share of the
    whole's value; of all that may come, any part adds at least its share; and what
    leaves and comes at once does less. Priced by those two means, orders add up: the
    sum of their losses, gains left out, is no less than what any of them, in part or
    whole, can lose together.

    What is known of a market are the sums of its buys and of its sells. ``capped``,
    what a side gets is worth no more than what it pays: at prices no worse than the
    index, no order then hides the loss of another.
    """
    lost = asked = 0.0
    for pays, paid, gets, got in sides:
        if capped and prices[gets] > 0.0:
            got = min(got, paid * prices[pays] / prices[gets])
        took, gave = means.cost.get(pays, (0.0, 0.0)), means.gain.get(gets, (0.0, 0.0))
        equity = paid * took[0] - got * gave[0]
        margin = got * gave[1] - paid * took[1]
        # What weighs each other up but for rounding is no loss.
        size = paid * abs(took[0]) + got * abs(gave[0])
        size += multiple * (paid * abs(took[1]) + got * abs(gave[1]))
        if equity + multiple * margin > ROUNDING * size:
            lost, asked = lost + equity, asked + margin
    return lost, asked


def sides_of(orders: Orders) -> list[Side]:
    """Orders summed by market and side; a perpetual's pay what they lose at mark."""
    spot: dict[tuple[str, str], list[SpotOrder]] = {}
    perpetual: dict[tuple[str, bool], list[PerpOrder]] = {}
    for order in orders:
        if isinstance(order, SpotOrder):
            spot.setdefault((order.pays, order.gets), []).append(order)
        else:
            perpetual.setdefault((order.market, order.qty > 0.0), []).append(order)
    sides = [
        Side(pays, fsum(o.pays_qty for o in of), gets, fsum(o.gets_qty for o in of))
        for (pays, gets), of in spot.items()
    ]
    for of in perpetual.values():
        loss = max(fsum((o.limit - o.mark) * o.qty for o in of), 0.0)
        sides.append(Side(of[0].settle, loss, of[0].settle, 0.0))
    return sides


def flows(sides: Iterable[Side]) -> tuple[dict[str, float], dict[str, float]]:
    """Coins by asset that leave and that come, where there are any."""
    out: dict[str, float] = {}
    into: dict[str, float] = {}
    for side in sides:
        for sums, asset, qty in (out, side.pays, side.paid), (into, *side[2:]):
            if qty > 0.0:
                sums[asset] = sums.get(asset, 0.0) + qty
    return out, into
