"""The valuation of one account in readable Python: what the compiled pass must give."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

import attrs

from .rules import Rules


@attrs.frozen
class Balance:
    """What an account has and owes in one asset, in whole units, all wallets merged."""

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

    A coin-margined long of q dollars is a short of q here, in a market that quotes
    the dollar in the coin: the same money, and no second formula.
    """

    market: str
    settle: str
    qty: float
    entry: float
    mark: float

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

    settle: str
    qty: float
    limit: float
    mark: float


class Health(NamedTuple):
    """The valuation of an account in US dollars; ``health`` is a ratio."""

    equity: float
    """Net worth without haircuts."""

    adjusted: float
    """Net worth with haircuts, less what open orders would lose."""

    maintenance: float
    health: float


def account_health(
    balances: Mapping[str, Balance],
    positions: Iterable[Position],
    prices: Mapping[str, float],
    rules: Rules,
    orders: Iterable[SpotOrder | PerpOrder] = (),
) -> Health:
    """Value one account at these index prices.  O(holdings).

    Adjusted equity over maintenance margin; without maintenance margin the health
    is infinite, and minus infinite if the adjusted equity is negative.

    Source: https://www.binance.com/en/support/faq/4868b2f1aa6c4d08af973328462bb0bd
    """
    positions = list(positions)
    equities = {asset: balance.net for asset, balance in balances.items()}
    for position in positions:
        before = equities.get(position.settle, 0.0)
        equities[position.settle] = before + position.pnl
    equity = sum(qty * prices[asset] for asset, qty in equities.items())
    adjusted = sum(
        collateral_value(asset, qty, prices[asset], rules)
        for asset, qty in equities.items()
    )
    adjusted -= sum(open_loss(order, equities, prices, rules) for order in orders)
    maintenance = sum(
        rules.brackets_of(position.market).value(position.notional)
        * prices[position.settle]
        for position in positions
    )
    maintenance += sum(
        rules.borrow_of(asset).value(balance.borrowed * prices[asset])
        for asset, balance in balances.items()
    )
    return Health(equity, adjusted, maintenance, health_ratio(adjusted, maintenance))


def health_ratio(adjusted: float, maintenance: float) -> float:
    """Adjusted equity over maintenance margin, infinite where there is none."""
    if maintenance > 0.0:
        return adjusted / maintenance
    return inf if adjusted >= 0.0 else -inf


def collateral_value(asset: str, qty: float, price: float, rules: Rules) -> float:
    """US dollars that a net equity of ``qty`` counts for; debts count in full."""
    if qty < 0.0:
        return qty * price * rules.account.negative_multiplier
    return rules.collateral_of(asset).value(qty * price)


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
