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
    least: float = 0.0
    """What the order at the worst price gets for each coin that it pays."""


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

    What is known of a market are the sums of its buys and of its sells, and the worst
    price of each. ``capped``, all of a side gets what the worst of its orders would,
    and no more than what it pays is worth: no order then hides the loss of another.
    """
    lost = asked = 0.0
    for pays, paid, gets, got, least in sides:
        if capped and prices[gets] > 0.0:
            got = paid * min(least, prices[pays] / prices[gets])
        took, gave = means.cost.get(pays, (0.0, 0.0)), means.gain.get(gets, (0.0, 0.0))
        equity = paid * took[0] - got * gave[0]
        margin = got * gave[1] - paid * took[1]
        # What weighs each other up but for rounding is no loss.
        size = paid * abs(took[0]) + got * abs(gave[0])
        size += multiple * (paid * abs(took[1]) + got * abs(gave[1]))
        if equity + multiple * margin > ROUNDING * size:
            lost, asked = lost + equity, asked + margin
    return lost, asked


def sides_of(orders: Orders, *, capped: bool = False) -> list[Side]:
    """Orders summed by market and side; a perpetual's pay what they lose at mark.

    ``capped``, each of those is as bad as the worst of its side (`worst_losses`).
    """
    spot: dict[tuple[str, str], list[SpotOrder]] = {}
    perpetual = []
    for order in orders:
        if isinstance(order, SpotOrder):
            spot.setdefault((order.pays, order.gets), []).append(order)
        else:
            perpetual.append(order)
    sides = [
        Side(
            pays,
            fsum(o.pays_qty for o in of),
            gets,
            fsum(o.gets_qty for o in of),
            min(o.gets_qty / o.pays_qty for o in of),
        )
        for (pays, gets), of in spot.items()
    ]
    for of in by_side(perpetual):
        loss = max(fsum((o.limit - o.mark) * o.qty for o in of), 0.0)
        if capped:
            _, loss = worst_losses(of)
        sides.append(Side(of[0].settle, loss, of[0].settle, 0.0))
    return sides


def worst_losses(orders: list[PerpOrder]) -> tuple[float, float]:
    """What orders of one side lose at mark if each is as bad as the worst of them.

    First by their lots, so that some of them lose no more than their share of the lots;
    then the least that can be said of whichever fill: of buys, which pay little where
    they are far below, by what they pay.
    """
    lots = fsum(abs(order.qty) for order in orders)
    first = orders[0]
    if first.qty < 0.0:
        loss = lots * max(0.0, first.mark - min(order.limit for order in orders))
        return loss, loss
    worst = max(order.limit for order in orders)
    if worst <= first.mark:
        return 0.0, 0.0
    paid = fsum(order.qty * order.limit for order in orders)
    loss = lots * (worst - first.mark)
    return loss, paid * (worst - first.mark) / worst


def by_side(orders: Iterable[PerpOrder]) -> list[list[PerpOrder]]:
    """Orders for perpetuals, those of a market and side together."""
    sides: dict[tuple[str, bool], list[PerpOrder]] = {}
    for order in orders:
        sides.setdefault((order.market, order.qty > 0.0), []).append(order)
    return list(sides.values())


def flows(sides: Iterable[Side]) -> tuple[dict[str, float], dict[str, float]]:
    """Coins by asset that leave and that come, where there are any."""
    out: dict[str, float] = {}
    into: dict[str, float] = {}
    for side in sides:
        for sums, asset, qty in (out, side.pays, side.paid), (into, *side[2:4]):
            if qty > 0.0:
                sums[asset] = sums.get(asset, 0.0) + qty
    return out, into
