"""A desk to try the compiled risk pass at: assets, markets, rules, accounts, prices.

Amounts are atoms and prices those of an atom; an atom is a coin, and so is a lot.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from ledger_model import Terms, ledger_of

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import Risk
from flashwick.margin.fills import PerpOrder, SpotOrder
from flashwick.margin.reference import Balance, Position
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Side

BUY, SELL = Side.BUY, Side.SELL
QUOTES = tuple(f"Q{i}" for i in range(30))
ASSETS = ("USDT", "BTC", "DOGE", *QUOTES)
USDT, BTC, DOGE = range(3)
SPOT = {0: ("BTC", "USDT"), 1: ("DOGE", "BTC")}
PERPS = {2: ("BTC", "USDT"), 3: ("DOGE", "USDT"), 4: ("BTC", "DOGE")} | {
    5 + i: ("BTC", quote) for i, quote in enumerate(QUOTES)
}
NAMES = [
    *(f"{base}/{quote}" for base, quote in SPOT.values()),
    *(f"{base}/{quote}:PERP" for base, quote in PERPS.values()),
]
TERMS = tuple(
    Terms(ASSETS.index(base), ASSETS.index(quote), number in PERPS, 4, 2)
    for number, (base, quote) in (SPOT | PERPS).items()
)
RULES = Rules.build(
    "binance-pm",
    {
        "liability": {"default": 1.25},
        "collateral": {
            "BTC": [[0, 1.0], [1024, 0.75], [4096, 0.5]],
            "DOGE": [[0, 0.5], [512, 0.25]],
            "Q0": 0.0,
        },
        "borrow": {"default": 0.08, "BTC": [[0, 0.03], [2048, 0.06], [8192, 0.1875]]},
        "brackets": {
            "default": 0.0625,
            "BTCUSDT": [[0, 0.01], [1024, 0.025], [4096, 0.125]],
            "DOGEUSDT": [[0, 0.05], [512, 0.1]],
            "BTCDOGE": [[0, 0.02], [256, 0.05], [2048, 0.25]],
        },
    },
)
PEOPLE = 3
ALICE, BOB, OTHER = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + PEOPLE)

# Powers of two times small integers: products are exact, so the tiers' floors are hit.
amounts = st.integers(-40, 40).map(lambda n: 256 * n) | st.integers(-9999, 9999)
prices = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]) | st.floats(0.01, 50.0)


class Portfolio(NamedTuple):
    """What an account has, by number: atoms; lots and entry price."""

    balances: dict[int, int]
    positions: dict[int, tuple[int, int]]


portfolios = st.builds(
    Portfolio,
    st.dictionaries(st.integers(0, len(ASSETS) - 1), amounts, max_size=6),
    st.dictionaries(
        st.sampled_from(list(PERPS)),
        st.tuples(st.integers(-300, 300), st.integers(1, 60)),
        max_size=30,
    ),
)


class Prices(NamedTuple):
    """US dollars of an atom by asset, quote atoms of a lot by market."""

    index: np.ndarray
    lot: np.ndarray


@st.composite
def market_prices(draw: st.DrawFn) -> Prices:
    """Any prices; markets that are no perpetuals have none."""
    index = np.array([1.0, draw(prices), draw(prices)] + [draw(prices)] * len(QUOTES))
    lot = np.array(
        [0.0] * len(SPOT) + [draw(prices) for _ in range(3)] + [8.0] * len(QUOTES)
    )
    return Prices(index, lot)


def risk_of(ledger: Ledger) -> Risk:
    """A risk pass over the ledger, without prices."""
    terms = RULES.terms(ASSETS, NAMES)
    factors = RULES.margin_factors(NAMES)
    return Risk(ledger, terms, factors, np.ones(len(ASSETS)), np.ones(len(NAMES)), 1.2)


def make(people: Sequence[Portfolio], at: Prices) -> tuple[Any, Ledger, Risk]:
    """Books, ledger and risk with these accounts in them; no gate yet."""
    ledger = ledger_of(TERMS, len(ASSETS), PEOPLE)
    books = Books(ledger)
    for account, portfolio in enumerate(people, SYSTEM_ACCOUNTS):
        for asset, atoms in portfolio.balances.items():
            pair = (EXTERNAL, account) if atoms > 0 else (account, EXTERNAL)
            ledger.transfer(asset, *pair, abs(atoms))
        for market, (lots, price) in portfolio.positions.items():
            ledger.open_positions(market, [account, OTHER], [lots, -lots], price)
    for _ in TERMS:
        books.add_market()
    risk = risk_of(ledger)
    quote = [terms.quote for terms in TERMS]
    risk.set_prices(at.index, at.lot * at.index[quote], at.lot)
    return books, ledger, risk


def orders_of(ledger: Ledger, account: int, at: Prices) -> list[SpotOrder | PerpOrder]:
    """Resting orders as the readable valuation takes them.

    Those of a side as two: a little at the worst price, and all else at the mean of
    the rest, so that both sums and the worst price are those of the ledger.
    """
    orders: list[SpotOrder | PerpOrder] = []
    for row in ledger.resting_of(account):
        market = int(row["market"])
        for side, lots, notional, worst in (
            (BUY, row["bids"], row["bid_notional"], row["worst_bid"]),
            (SELL, row["asks"], row["ask_notional"], row["worst_ask"]),
        ):
            if not lots:
                continue
            price = float(worst) * TERMS[market].quote_unit
            some = float(lots) / 1024.0
            if price * float(lots) == float(notional):
                orders.append(order(market, side, float(lots), price, at))
                continue
            rest = (float(notional) - some * price) / (float(lots) - some)
            orders.append(order(market, side, some, price, at))
            orders.append(order(market, side, float(lots) - some, rest, at))
    return orders


def order(
    market: int, side: int, lots: float, price: float, at: Prices
) -> SpotOrder | PerpOrder:
    """An order at a price in quote atoms a lot."""
    terms = TERMS[market]
    base, quote = ASSETS[terms.base], ASSETS[terms.quote]
    if terms.perpetual:
        sign = 1.0 if side == BUY else -1.0
        mark = float(at.lot[market])
        return PerpOrder(NAMES[market], quote, sign * lots, price, mark)
    coins, cash = (base, float(lots * terms.base_unit)), (quote, lots * price)
    return SpotOrder(*cash, *coins) if side == BUY else SpotOrder(*coins, *cash, False)


def holdings(
    ledger: Ledger, account: int, at: Prices
) -> tuple[dict[str, Balance], list[Position]]:
    """An account as the readable valuation takes it: what is missing is borrowed."""
    positions = [
        Position(
            NAMES[row["market"]],
            ASSETS[TERMS[row["market"]].quote],
            qty=float(row["lots"]),
            entry=float(row["cost"]) / float(row["lots"]),
            mark=float(at.lot[row["market"]]),
        )
        for row in ledger.positions_of(account)
        if row["lots"]
    ]
    balances = {}
    for row in ledger.balances_of(account):
        asset, net = ASSETS[row["asset"]], float(row["amount"])
        owed = max(0.0, -net - sum(p.pnl for p in positions if p.settle == asset))
        balances[asset] = Balance(net + owed, owed)
    return balances, positions


def dollars(at: Prices) -> dict[str, float]:
    """Index prices by asset."""
    return dict(zip(ASSETS, at.index.tolist(), strict=True))


def gross(ledger: Ledger, account: int, at: Prices) -> float:
    """All terms of the sums without their signs: what rounding is relative to."""
    total = 1.0
    for row in ledger.balances_of(account):
        total += abs(row["amount"]) * at.index[row["asset"]]
    for row in ledger.positions_of(account):
        worth = abs(row["lots"]) * at.lot[row["market"]] + abs(row["cost"])
        total += worth * at.index[TERMS[row["market"]].quote]
    for row in ledger.resting_of(account):
        terms = TERMS[row["market"]]
        lots = row["bids"] + row["asks"]
        worth = lots * at.lot[row["market"]] + row["bid_notional"] + row["ask_notional"]
        total += worth * at.index[terms.quote]
        if not terms.perpetual:
            total += lots * terms.base_unit * at.index[terms.base]
    return float(total)


FLAT = Prices(np.ones(len(ASSETS)), np.zeros(len(TERMS)))
"""A dollar an atom, and no marks."""
