"""What venues lend: how far spot orders may pay with coins that an account has not."""

import pytest

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit, market
from flashwick.margin.loans import virtual_max_loan
from flashwick.margin.markets import MarketSpec
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Reason

LENT = {
    "binance-multi-assets": 0.0,
    "binance-pm": virtual_max_loan(1.0, 5.0, 0.0),
    "bybit-uta": 10.0,
    "deribit-xsm": 0.0,
    "drift": 5.0,
    "dydx-v4": 0.0,
    "ftx-2022": 1 / 0.1579,
    "hyperliquid": 0.0,
    "okx-multi": 10.0,
    "okx-pm": 1 / (1.3 * 0.10),
}
"""US dollars of bitcoin that a dollar of equity borrows, from the venues' own pages."""

LENDERS = [name for name, lent in LENT.items() if lent]
OTHERS = [name for name, lent in LENT.items() if not lent]
PRICE = 100_000.0
FREE = {"spot_maker_ppm": 0, "spot_taker_ppm": 0}


def opened(preset: str) -> tuple[Exchange, str]:
    """A spot market in the venue's dollar, with a buyer for anything, and its name."""
    cash = {"ftx-2022": "USD"}.get(preset, "USDC")
    rules = Rules.build(preset, {"fees": FREE, "collateral": {cash: 1.0}})
    spec = MarketSpec.define(f"BTC/{cash}", "0.01", "0.000001", {})
    exchange = Exchange([spec], rules)
    exchange.reprice({"BTC": PRICE})
    buyer = exchange.open_account({cash: 1e8})
    exchange.submit(limit(buyer, f"BTC/{cash}", "buy", price=PRICE, qty=100))
    return exchange, cash


def test_every_venue_says_whether_it_lends() -> None:
    """Those that lend nothing say so, whatever their curves are."""
    assert set(LENT) == set(Rules.presets())
    for name, lent in LENT.items():
        assert Rules.preset(name).account.lends == (lent > 0.0)


@pytest.mark.parametrize("preset", LENT)
def test_account_without_bitcoin_sells_none_beyond_what_is_lent(preset: str) -> None:
    """A hundred dollars sell no ten bitcoin, and just what is lent of them."""
    exchange, cash = opened(preset)
    account = exchange.open_account({cash: 100})
    naked = exchange.submit(market(account, f"BTC/{cash}", "sell", qty=10))
    assert (naked.accepted, naked.filled) == (False, 0.0)
    assert naked.reason == Reason.INSUFFICIENT_MARGIN
    lots = LENT[preset] * 100.0 / PRICE / exchange.lot[0]
    for share, passes in ((1.001, False), (0.999, lots > 0)):
        qty = round(max(1, int(share * lots)) * float(exchange.lot[0]), 6)
        order = limit(account, f"BTC/{cash}", "sell", price=PRICE, qty=qty)
        assert exchange.submit(order).accepted == passes, share


@pytest.mark.parametrize("preset", OTHERS)
def test_venue_that_lends_nothing_lends_nothing_to_the_rich(preset: str) -> None:
    """Neither coins nor dollars, not by two orders, nor by a bid far away."""
    exchange, cash = opened(preset)
    name = f"BTC/{cash}"
    rich = exchange.open_account({cash: 1e7, "BTC": 1})

    def passes(side: str, price: float, qty: float) -> bool:
        return exchange.submit(limit(rich, name, side, price=price, qty=qty)).accepted

    assert not passes("sell", 2 * PRICE, 1.001)
    assert passes("sell", 2 * PRICE, 0.6)
    assert not passes("sell", 3 * PRICE, 0.6)
    assert passes("sell", 3 * PRICE, 0.4)
    assert passes("buy", 1.0, 1_000)
    assert not passes("sell", 2 * PRICE, 0.001)
    assert not passes("buy", PRICE / 2, 200)
    assert exchange.account(rich).balances == {cash: 1e7, "BTC": 1.0}


@pytest.mark.parametrize("preset", OTHERS)
def test_venue_that_lends_nothing_lets_losses_of_futures_be_owed(preset: str) -> None:
    """A loss settled in dollars leaves a debt, without a margin of its own."""
    rules = Rules.preset(preset)
    assert rules.borrow_of("USDC").amount(1_000.0, 1_000.0) == 0.0
    assert rules.borrow_initial_of("USDC").amount(1_000.0, 1_000.0) == 0.0


@pytest.mark.parametrize("preset", LENDERS)
def test_loan_is_margined_from_its_first_dollar(preset: str) -> None:
    """What is lent is never free."""
    rules = Rules.preset(preset)
    for asset in ("BTC", "ETH", "NOSUCH"):
        assert rules.borrow_of(asset).amount(100.0, 0.001) > 0.0
        assert rules.borrow_initial_of(asset).amount(100.0, 0.001) > 0.0
