"""The valuation of one account in readable Python: what the compiled pass must give."""

from collections.abc import Iterable, Mapping
from math import fsum, inf
from typing import NamedTuple

import attrs

from .rules import Rules, underlying
from .stress import Leg, depeg_charge


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


@attrs.frozen
class SpotOrder:
    """An open order that pays one asset for another, in whole units."""

    pays: str
    pays_qty: float
    gets: str
    gets_qty: float


@attrs.frozen
class PerpOrder:
    """An open order for a perpetual; ``qty`` is signed, ``settle`` its quote asset."""

    market: str
    settle: str
    qty: float
    limit: float
    mark: float


Orders = Iterable[SpotOrder | PerpOrder]


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
    """Net worth by the haircuts for opening, with all open orders filled."""

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
    let in if it leaves ``adjusted_initial / initial`` at ``thresholds.order``.

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
        adjusted -= fsum(open_loss(order, equities, prices, rules) for order in orders)
    maintenance = positions_margin(positions, equities, prices, rules)
    maintenance += fsum(
        rules.borrow_of(asset).amount(b.borrowed * prices[asset], b.borrowed)
        for asset, b in balances.items()
    )
    adjusted_initial, initial = opening(balances, positions, prices, rules, orders)
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
    # A short of dollars in a coin's market is long the coin.
    long = position.qty > 0.0
    base = position.market.split("/")[0].upper()
    return 1.0 if long == (underlying(position.market) == base) else -1.0


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
    order: SpotOrder | PerpOrder,
    equities: Mapping[str, float],
    prices: Mapping[str, float],
    rules: Rules,
) -> float:
    """US dollars of collateral value that filling an open order would lose."""
    if isinstance(order, PerpOrder):
        loss = (order.limit - order.mark) * order.qty
        return max(loss, 0.0) * prices[order.settle]

    def value(asset: str, change: float) -> float:
        qty = equities.get(asset, 0.0)
        return collateral_value(asset, qty + change, prices[asset], rules)

    before = value(order.pays, 0.0) + value(order.gets, 0.0)
    after = value(order.pays, -order.pays_qty) + value(order.gets, order.gets_qty)
    return max(before - after, 0.0)


# -- OPENING -----------------------------------------------------------------------


def opening(
    balances: Mapping[str, Balance],
    positions: Iterable[Position],
    prices: Mapping[str, float],
    rules: Rules,
    orders: Orders = (),
) -> tuple[float, float]:
    """Adjusted equity and margin of the opening set, with all open orders filled.

    A market's margin is that of the larger of what all its buys and all its sells
    would make of the position, at mark. Long and short side by side are a position
    each, enlarged by the orders of its own side.
    """
    positions, orders = list(positions), list(orders)
    before = net_equities(balances, positions)
    after = dict(before)
    for order in orders:
        if isinstance(order, SpotOrder):
            after[order.pays] = after.get(order.pays, 0.0) - order.pays_qty
            after[order.gets] = after.get(order.gets, 0.0) + order.gets_qty
        else:
            after[order.settle] = after.get(order.settle, 0.0) - max(
                (order.limit - order.mark) * order.qty, 0.0
            )
    adjusted = margin = 0.0
    for asset, qty in after.items():
        usd = abs(qty) * prices[asset]
        if qty < 0.0:
            adjusted -= rules.liability_of(asset).amount(usd, -qty)
        else:
            adjusted += rules.collateral_initial_of(asset).amount(usd, qty)
        borrowed = balances[asset].borrowed if asset in balances else 0.0
        borrowed += max(-qty, 0.0) - max(-before.get(asset, 0.0), 0.0)
        curve = rules.borrow_initial_of(asset)
        margin += curve.amount(borrowed * prices[asset], borrowed)
    markets = [p.market for p in positions] + [o.market for o in _perps(orders)]
    worst = [w for m in dict.fromkeys(markets) for w in _worst(m, positions, orders)]
    if rules.stress:
        margin += positions_margin(worst, after, prices, rules)
    else:
        margin += fsum(_opening_margin(p, prices, rules) for p in worst)
    return adjusted, margin


def _perps(orders: Orders) -> list[PerpOrder]:
    return [order for order in orders if isinstance(order, PerpOrder)]


def _worst(
    market: str, positions: Iterable[Position], orders: Orders
) -> list[Position]:
    held = [p for p in positions if p.market == market]
    resting = [o for o in _perps(orders) if o.market == market]
    buys = fsum(o.qty for o in resting if o.qty > 0.0)
    sells = fsum(o.qty for o in resting if o.qty < 0.0)
    if len(held) > 1:
        return [
            attrs.evolve(leg, qty=leg.qty + (buys if leg.qty > 0.0 else sells))
            for leg in held
        ]
    if not held:
        first = resting[0]
        held = [Position(market, first.settle, 0.0, first.mark, first.mark)]
    bought, sold = held[0].qty + buys, held[0].qty + sells
    return [attrs.evolve(held[0], qty=max(bought, sold, key=abs))]


def _opening_margin(
    position: Position, prices: Mapping[str, float], rules: Rules
) -> float:
    curve, size = rules.initial_of(position.market), abs(position.qty)
    coins = curve.amount(position.notional, size)
    if position.leverage:
        coins = max(coins, position.notional / position.leverage)
    return coins * _rate(position.settle, prices, rules)
