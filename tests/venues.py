"""Small exchanges with accounts, quotes and positions, and what happened on them.

Fees are zero unless given, so that figures can be computed by hand; an asset counts as
collateral at the rate of ``RATES``, and a position needs 5 % of its notional.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from flashwick.cython_ext.ledger import EXTERNAL
from flashwick.engine.events import Event
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.rules import Rules

MARKETS = ("ATOM/USDT", "SUI/USDT", "WBETH/USDT", "ATOM/USDT:PERP", "SUI/USDT:PERP")
RATES = {"ATOM": 0.5, "SUI": 0.5, "WBETH": 0.9}
NO_FEES = dict.fromkeys(
    (
        "spot_maker_ppm",
        "spot_taker_ppm",
        "perpetual_maker_ppm",
        "perpetual_taker_ppm",
        "liquidation_ppm",
    ),
    0,
)
FEES = NO_FEES | {
    "spot_taker_ppm": 1000,
    "perpetual_taker_ppm": 500,
    "liquidation_ppm": 12_500,
}
ATOM = 10**8  # atoms of a coin


def venue(
    *,
    fees: Mapping[str, int] | None = None,
    markets: Sequence[str] = MARKETS,
    preset: str = "binance-pm",
    rules: Mapping[str, Any] | None = None,
    **how: Any,
) -> Exchange:
    """An exchange at prices of 4, 2 and 4,000; ``how`` are rules of liquidation.

    ``rules`` are other groups of rules, laid over those of here. Steps may be such as
    have no end, which rules that are read may not: a step can be looked at by itself.
    """
    steps = how.pop("steps", None)
    rules = Rules.build(
        preset,
        {
            "collateral": RATES,
            "brackets": {"default": 0.05, "ATOMUSDT": 0.05, "SUIUSDT": 0.05},
            "fees": fees or NO_FEES,
            "liquidation": {"slice": 0.25, "target_health": 1.2} | how,
        }
        | dict(rules or {}),
    )
    if steps is not None:
        rules = only_steps(rules, *steps)
    exchange = Exchange(markets, rules)
    exchange.now = 1_000_000_000
    known = {"ATOM": 4.0, "SUI": 2.0, "WBETH": 4000.0}
    exchange.reprice({a: p for a, p in known.items() if a in exchange.assets})
    return exchange


def only_steps(rules: Rules, *steps: str) -> Rules:
    """Rules whose liquidations take these steps, whether they have an end or not."""
    how = attrs.evolve(rules.liquidation, steps=steps)
    return attrs.evolve(rules, liquidation=how)


def has(exchange: Exchange, holdings: Mapping[str, float]) -> int:
    """A new account that has, or owes, so much of each asset."""
    account = exchange.open_account()
    for asset, amount in holdings.items():
        atoms = round(abs(amount) * ATOM)
        pair = (EXTERNAL, account) if amount > 0 else (account, EXTERNAL)
        exchange.ledger.transfer(exchange.asset_number[asset], *pair, atoms)
    return account


def long(
    exchange: Exchange, account: int, market: str, qty: float, price: float
) -> None:
    """Open a position; its other side has all the margin it needs."""
    number = exchange.market_number[market]
    other = has(exchange, {"USDT": 1e6})
    lots, ticks = (
        round(qty / exchange.lot[number]),
        round(price / exchange.tick[number]),
    )
    exchange.ledger.open_positions(number, [account, other], [lots, -lots], ticks)


def quote(
    exchange: Exchange, market: str, side: str, *levels: tuple[float, float]
) -> int:
    """Orders of a rich account: price and quantity of each."""
    maker = has(exchange, {"USDT": 1e7, market.split("/")[0]: 1e6})
    for price, qty in levels:
        order = limit(maker, market, side, price=price, qty=qty)
        assert exchange.submit(order).accepted
    return maker


def steps(exchange: Exchange, account: int | None = None) -> list[str]:
    """What the engine did, in order: market and step of each liquidation event."""
    return [
        f"{exchange.markets[event.market]} {event.text}"
        if event.market >= 0
        else event.text
        for event in exchange.log.single("liquidation")
        if account in (None, event.account)
    ]


def only(exchange: Exchange, kind: str) -> Event:
    """The one event of a kind."""
    (event,) = exchange.log.single(kind)
    return event


def prints(exchange: Exchange, market: str) -> list[tuple[float, float]]:
    """Price and quantity of the trades of a market."""
    number = exchange.market_number[market]
    _, rows = exchange.log.fills()
    rows = rows[rows["market"] == number]
    tick, lot = exchange.tick[number], exchange.lot[number]
    pairs = zip(rows["price"] * tick, rows["qty"] * lot, strict=True)
    return [(round(float(p), 6), round(float(q), 6)) for p, q in pairs]
