"""The valuation of one account in readable Python: what the compiled pass must give."""

from collections.abc import Callable, Iterable, Mapping
from math import fsum, inf
from typing import NamedTuple

import attrs

from .fills import (
    ROUNDING,
    Means,
    Orders,
    PerpOrder,
    Side,
    SpotOrder,
    by_side,
    fill_losses,
    flows,
    sides_of,
    worst_losses,
)
from .rules import Rules, underlying
from .stress import Leg, Reach, depeg_charge, worst_stress


@attrs.frozen
class Balance:
    """What an account has and owes in one asset, in whole units, all wallets merged.

    ``borrowed`` is what margin for debts is asked for. Where the venue lends whatever
    is missing, that is all that is owed; a loss in futures that Binance lets stand is
    no loan, and so is in ``wallet`` alone.
    """

    wallet: float
    borrowed: float = 0.0
    interest: float = 0.0

    @property
    def net(self) -> float:
        """Wallet less everything owed."""
        return self.wallet - self.borrowed - self.interest


@attrs.frozen
class Position:
    """A perpetual position; ``qty`` is signed, prices are in the settle asset.

    ``leverage`` is the account's own choice, 0 for the venue's highest. A coin-margined
    long of q dollars is a short of q here, in a market that quotes the dollar in the
    coin: the same money, and no second formula.
    """

    market: str
    settle: str
    qty: float
    entry: float
    mark: float
    leverage: float = 0.0

    @property
    def pnl(self) -> float:
        """Unrealised profit, in the settle asset."""
        return self.qty * (self.mark - self.entry)

    @property
    def notional(self) -> float:
        """Size at mark, in the settle asset."""
        return abs(self.qty) * self.mark


class Health(NamedTuple):
    """The valuation of an account in US dollars; ``health`` is a ratio."""

    equity: float
    """Net worth without haircuts."""

    adjusted: float
    """Net worth with haircuts, less what open orders would lose."""

    maintenance: float
    health: float
    """Adjusted equity over maintenance margin: what decides on a liquidation."""

    adjusted_initial: float
    """Net worth by the haircuts for opening, after the worst fills of open orders."""

    initial: float
    """The margin that positions, debts and open orders need to be opened."""

    notional: float
    """Sum of the positions at mark."""


def account_health(
    balances: Mapping[str, Balance],
    positions: Iterable[Position],
    prices: Mapping[str, float],
    rules: Rules,
    orders: Orders = (),
) -> Health:
    """Value one account at these index prices.  O(holdings).

    Adjusted equity over maintenance margin; without maintenance margin the health
    is infinite, and minus infinite if the adjusted equity is negative. An order is
    let in if with it ``adjusted_initial / initial`` is at least ``thresholds.order``.

    Source: https://www.binance.com/en/support/faq/4868b2f1aa6c4d08af973328462bb0bd
    """
    positions, orders = list(positions), list(orders)
    equities = net_equities(balances, positions)
    equity = fsum(qty * prices[asset] for asset, qty in equities.items())
    adjusted = fsum(
        collateral_value(asset, qty, prices[asset], rules)
        for asset, qty in equities.items()
    )
    if rules.account.open_loss:
        adjusted -= open_loss(equities, prices, rules, orders)
    maintenance = positions_margin(positions, equities, prices, rules)
    maintenance += fsum(
        rules.borrow_of(asset).amount(b.borrowed * prices[asset], b.borrowed)
        for asset, b in balances.items()
    )
    adjusted_initial, initial = worst_case(
        balances,
        positions,
        prices,
        rules,
        orders,
        multiple=rules.thresholds.order,
        initial=True,
    )
    return Health(
        equity=equity,
        adjusted=adjusted,
        maintenance=maintenance,
        health=health_ratio(adjusted, maintenance),
        adjusted_initial=adjusted_initial,
        initial=initial,
        notional=fsum(p.notional * prices[p.settle] for p in positions),
    )


def net_equities(
    balances: Mapping[str, Balance], positions: Iterable[Position]
) -> dict[str, float]:
    """Coins of each asset, with the profit of all positions settled in it."""
    equities = {asset: balance.net for asset, balance in balances.items()}
    for position in positions:
        before = equities.get(position.settle, 0.0)
        equities[position.settle] = before + position.pnl
    return equities


def health_ratio(adjusted: float, maintenance: float) -> float:
    """Adjusted equity over maintenance margin, infinite where there is none."""
    if maintenance > 0.0:
        return adjusted / maintenance
    return inf if adjusted >= 0.0 else -inf


# -- MAINTENANCE -------------------------------------------------------------------


def collateral_value(asset: str, qty: float, price: float, rules: Rules) -> float:
    """US dollars that a net equity of ``qty`` counts for; a debt counts negative."""
    if qty < 0.0:
        return -rules.liability_of(asset).amount(-qty * price, -qty)
    return rules.collateral_of(asset).amount(qty * price, qty)


def positions_margin(
    positions: Iterable[Position],
    equities: Mapping[str, float],
    prices: Mapping[str, float],
    rules: Rules,
) -> float:
    """Maintenance margin of all positions, US dollars: by brackets or risk units."""
    if not rules.stress:
        return fsum(_position_margin(p, prices, rules) for p in positions)
    legs = [
        Leg(
            underlying=underlying(p.market),
            settle=p.settle,
            usd=p.notional * prices[p.settle] * _delta_sign(p),
        )
        for p in positions
    ]
    margins = []
    for name in dict.fromkeys(leg.underlying for leg in legs):
        unit = rules.risk_unit(name)
        assert unit is not None
        held = [leg for leg in legs if leg.underlying == name]
        if name in equities:
            usd = equities[name] * prices[name]
            held.append(Leg(underlying=name, settle="", usd=usd, spot=True))
        margins.append(unit.charges(held).margin)
    return fsum(margins) + depeg_charge(legs, rules.depeg)


def _delta_sign(position: Position) -> float:
    return _long_sign(position.market) * (1.0 if position.qty > 0.0 else -1.0)


def _long_sign(market: str) -> float:
    # A short of dollars in a coin's market is long the coin.
    return 1.0 if underlying(market) == market.split("/")[0].upper() else -1.0


def _position_margin(
    position: Position, prices: Mapping[str, float], rules: Rules
) -> float:
    # The brackets are in the settle asset.
    coins = rules.brackets_of(position.market).amount(
        position.notional, abs(position.qty)
    )
    return coins * _rate(position.settle, prices, rules)


def _rate(settle: str, prices: Mapping[str, float], rules: Rules) -> float:
    # US dollars that a coin of margin is asked for: index, or the ask above it.
    if rules.account.margin_at == "index":
        return prices[settle]
    return prices[settle] * rules.liability_of(settle).amount(1.0, 1.0)


def open_loss(
    equities: Mapping[str, float],
    prices: Mapping[str, float],
    rules: Rules,
    orders: Orders,
) -> float:
    """US dollars of collateral value that filling open orders would lose.

    Of one spot order what both assets count for before, less what they count for
    after; of one for a perpetual what its limit is worse than the mark.

    Source: https://www.binance.com/en/support/faq/4868b2f1aa6c4d08af973328462bb0bd
    """

    def worth(asset: str, qty: float) -> tuple[float, float]:
        return collateral_value(asset, qty, prices[asset], rules), 0.0

    sides = sides_of(orders)
    lost, _ = fill_losses(sides, prices, Means.of(equities, sides, worth))
    return lost


# -- OPENING -----------------------------------------------------------------------


def worst_case(
    balances: Mapping[str, Balance],
    positions: Iterable[Position],
    prices: Mapping[str, float],
    rules: Rules,
    orders: Orders = (),
    new: Orders = (),
    *,
    multiple: float,
    initial: bool,
) -> tuple[float, float]:
    """Adjusted equity and margin after the fills of open orders that leave least.

    Least of equity less ``multiple`` times margin; ``initial``, by the opening set. Of
    a position all its buys, its sells, both or none fill, each at the worst price of
    its side. Long and short side by side are a position each, with the orders of its
    own side; risk units are judged by `worst_stress`. A ``new`` order, at the gate, is
    one that trades at once or not at all: a side of its own. One that may rest is among
    the others.
    """
    positions, orders, new = list(positions), list(orders), list(new)
    sides = sides_of(orders, capped=True) + sides_of(new, capped=True)
    equities = net_equities(balances, positions)

    def worth(asset: str, qty: float) -> tuple[float, float]:
        usd, price = abs(qty) * prices[asset], prices[asset]
        held = rules.collateral_initial_of if initial else rules.collateral_of
        owed = rules.borrow_initial_of if initial else rules.borrow_of
        borrowed = balances[asset].borrowed if asset in balances else 0.0
        borrowed += max(-qty, 0.0) - max(-equities.get(asset, 0.0), 0.0)
        margin = owed(asset).amount(borrowed * price, borrowed)
        if qty < 0.0:
            return -rules.liability_of(asset).amount(usd, -qty), margin
        return held(asset).amount(usd, qty), margin

    values = [worth(asset, qty) for asset, qty in equities.items()]
    means = Means.of(equities, sides, worth)
    spot = [side for side in sides if side.pays != side.gets]
    lost, margin = fill_losses(spot, prices, means, multiple, capped=True)
    adjusted = fsum(value for value, _ in values)
    margin += fsum(owed for _, owed in values)
    if rules.stress:
        coins = _coins_reached(equities, sides, prices)
        equity, asked = _worst_stress(
            positions, [orders, new], coins, prices, means.cost, rules, multiple
        )
        return adjusted - lost - equity, margin + asked
    of = _opening_margin if initial else _position_margin
    curve_of = rules.initial_of if initial else rules.brackets_of

    def need(position: Position) -> float:
        return of(position, prices, rules)

    for position in positions + _unopened(positions, orders + new):
        equity, asked = _position_loss(
            position,
            [_orders_of(position, positions, some) for some in (orders, new)],
            means.cost.get(position.settle, (0.0, 0.0)),
            need,
            multiple,
            jumps=not getattr(curve_of(position.market), "marginal", True),
        )
        lost, margin = lost + equity, margin + asked + need(position)
    return adjusted - lost, margin


def _coins_reached(
    equities: Mapping[str, float], sides: Iterable[Side], prices: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    # US dollars of each asset if all that pays it fills, and if all that gets it does.
    out, into = flows(sides)
    return {
        asset: (
            (equities.get(asset, 0.0) - out.get(asset, 0.0)) * prices[asset],
            (equities.get(asset, 0.0) + into.get(asset, 0.0)) * prices[asset],
        )
        for asset in dict.fromkeys([*equities, *out, *into])
    }


BUYS, SELLS = (True,), (False,)


def _position_loss(
    position: Position,
    orders: list[list[PerpOrder]],
    cost: tuple[float, float],
    need: Callable[[Position], float],
    multiple: float,
    *,
    jumps: bool,
) -> tuple[float, float]:
    # Of its orders the buys, the sells or both fill, whichever leaves least, or none:
    # the loss is convex in how much of either fills, so that it is most in a corner.
    # But it is no more than all that any of them lose, and the most margin. A curve
    # that jumps is not convex: in its place is a line to the largest size there may be,
    # which is above it, as no rate falls.
    every = [o.qty for some in orders for o in some]
    top = max(
        abs(position.qty),
        abs(position.qty + fsum(qty for qty in every if qty > 0.0)),
        abs(position.qty + fsum(qty for qty in every if qty < 0.0)),
    )

    def need_of(qty: float) -> float:
        if jumps and abs(qty) < top:
            return need(attrs.evolve(position, qty=top)) * (abs(qty) / top)
        return need(attrs.evolve(position, qty=qty))

    worst, most, most_asked = (0.0, 0.0), 0.0, 0.0
    for fill in (BUYS, SELLS, BUYS + SELLS):
        filled = [[o for o in some if (o.qty > 0.0) in fill] for some in orders]
        if not any(filled):
            continue
        losses = [worst_losses(side) for some in filled for side in by_side(some)]
        loss, most_lost = (
            fsum(one for one, _ in losses),
            fsum(all_ for _, all_ in losses),
        )
        qty = position.qty + fsum(o.qty for some in filled for o in some)
        asked = need_of(qty) - need(position)
        most_asked = max(most_asked, asked)
        equity, margin = loss * cost[0], asked - loss * cost[1]
        worse = equity + multiple * margin
        size = loss * abs(cost[0]) + multiple * (loss * abs(cost[1]) + abs(asked))
        if worse - most > ROUNDING * size:
            most, worst = worse, (equity, margin)
    if not any(orders):
        return worst
    equity, margin = most_lost * cost[0], most_asked - most_lost * cost[1]
    if equity + multiple * margin < most * (1.0 - ROUNDING):
        return equity, margin
    return worst


def _worst_stress(
    positions: list[Position],
    orders: list[list[SpotOrder | PerpOrder]],
    coins: Mapping[str, tuple[float, float]],
    prices: Mapping[str, float],
    cost: Mapping[str, tuple[float, float]],
    rules: Rules,
    multiple: float,
) -> tuple[float, float]:
    # Equity lost by orders for perpetuals, and margin of all positions, by risk units.
    placed = [order for some in orders for order in some]
    reaches = [
        _reach(
            position,
            [_orders_of(position, positions, some) for some in orders],
            prices[position.settle],
            cost.get(position.settle, (0.0, 0.0)),
        )
        for position in positions + _unopened(positions, placed)
    ]
    units = {reach.underlying: rules.risk_unit(reach.underlying) for reach in reaches}
    known = {name: unit for name, unit in units.items() if unit is not None}
    return worst_stress(reaches, coins, known, rules.depeg, multiple)


def _reach(
    position: Position,
    orders: list[list[PerpOrder]],
    price: float,
    cost: tuple[float, float],
) -> Reach:
    # ``price`` is that of the settle asset, ``cost`` what a coin of it counts for.
    def total(lost: float) -> tuple[float, float]:
        return lost * cost[0], -lost * cost[1]

    def side(*, buys: bool) -> tuple[float, float, float]:
        # US dollars, and what they lose: of some, and at most.
        sides = [[o for o in own if (o.qty > 0.0) == buys] for own in orders]
        losses = [worst_losses(own) for own in sides if own]
        lots = fsum(abs(o.qty) for own in sides for o in own)
        some, most = (fsum(lost[which] for lost in losses) for which in (0, 1))
        return lots * position.mark * price, some, most

    bids, asks = side(buys=True), side(buys=False)
    reach = Reach(
        underlying(position.market),
        position.settle,
        position.qty * position.mark * price,
        bids[0],
        asks[0],
        total(bids[1]),
        total(asks[1]),
        total(bids[2] + asks[2]),
    )
    return reach if _long_sign(position.market) > 0.0 else reach.turned()


def _unopened(positions: list[Position], orders: Orders) -> list[Position]:
    # Positions of size 0 where orders would open one.
    held = {position.market for position in positions}
    return [
        Position(order.market, order.settle, 0.0, order.mark, order.mark)
        for order in {o.market: o for o in _perps(orders)}.values()
        if order.market not in held
    ]


def _orders_of(
    position: Position, positions: list[Position], orders: Orders
) -> list[PerpOrder]:
    # Long and short side by side get the orders of their own side.
    own = [order for order in _perps(orders) if order.market == position.market]
    if sum(other.market == position.market for other in positions) > 1:
        own = [order for order in own if (order.qty > 0.0) == (position.qty > 0.0)]
    return own


def _perps(orders: Orders) -> list[PerpOrder]:
    return [order for order in orders if isinstance(order, PerpOrder)]


def _opening_margin(
    position: Position, prices: Mapping[str, float], rules: Rules
) -> float:
    curve, size = rules.initial_of(position.market), abs(position.qty)
    coins = curve.amount(position.notional, size)
    if position.leverage:
        coins = max(coins, position.notional / position.leverage)
    return coins * _rate(position.settle, prices, rules)
