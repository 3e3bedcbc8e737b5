"""Thin books: what an order would meet there, or lets in, is what it is judged by."""

import pytest
from venues import NO_FEES

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import Placed, limit, market
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Reason

PRESETS = Rules.presets()
QUOTES = {"hyperliquid": "USDC", "dydx-v4": "USDC", "ftx-2022": "USD"}
INDEX = 100_000.0


class Thin:
    """A pair and a perpetual without orders, and three accounts of 30,000 each."""

    def __init__(self, preset: str) -> None:
        """One of them is rich."""
        self.quote = QUOTES.get(preset, "USDT")
        self.spot, self.perpetual = f"BTC/{self.quote}", f"BTC/{self.quote}:PERP"
        rules = Rules.build(preset, {"fees": NO_FEES})
        self.exchange = Exchange([self.spot, self.perpetual], rules)
        self.exchange.reprice({"BTC": INDEX, self.quote: 1.0})
        self.rich = self.exchange.open_account({self.quote: 1e9, "BTC": 1e4})
        self.one, self.other = (
            self.exchange.open_account({self.quote: 30_000}) for _ in range(2)
        )

    def rest(self, account: int, name: str, side: str, price: float, qty: float) -> int:
        """Number of an order that must be let in."""
        placed = self.exchange.submit(limit(account, name, side, price=price, qty=qty))
        assert placed.accepted, placed.reason
        return placed.order_id

    def sell(self, name: str, qty: float, **how: object) -> Placed:
        """By market."""
        return self.exchange.submit(market(self.one, name, "sell", qty=qty, **how))


@pytest.fixture(params=PRESETS)
def thin(request: pytest.FixtureRequest) -> Thin:
    """Under each preset."""
    return Thin(request.param)


@pytest.mark.parametrize("kind", ["spot", "perpetual"])
def test_a_market_order_is_judged_at_what_it_would_meet(thin: Thin, kind: str) -> None:
    """A bid of another account of the same person, far off, would take all it has."""
    name = getattr(thin, kind)
    thin.rest(thin.other, name, "buy", 1.0, 1)
    refused = thin.sell(name, 1)
    assert refused.reason == Reason.INSUFFICIENT_MARGIN
    assert refused.filled == 0.0


def test_its_own_orders_are_passed_over(thin: Thin) -> None:
    """They may be cancelled by it, so that it meets what is behind them."""
    thin.exchange.set_self_trade(thin.one, "cancel_oldest")
    thin.rest(thin.one, thin.perpetual, "buy", INDEX, 0.1)
    thin.rest(thin.other, thin.perpetual, "buy", 1.0, 0.4)
    assert thin.sell(thin.perpetual, 0.4).reason == Reason.INSUFFICIENT_MARGIN
    thin.rest(thin.rich, thin.perpetual, "buy", INDEX, 0.4)
    assert thin.sell(thin.perpetual, 0.1).filled == pytest.approx(0.1)


def test_protection_and_band_end_what_it_would_meet(thin: Thin) -> None:
    """The book beyond them is no price of its."""
    name = thin.perpetual
    thin.rest(thin.rich, name, "buy", 99_990.0, 0.05)
    thin.rest(thin.other, name, "buy", 1.0, 1)
    assert thin.sell(name, 0.4).reason == Reason.INSUFFICIENT_MARGIN
    assert thin.sell(name, 0.02, protection=99_000.0).filled == pytest.approx(0.02)
    thin.exchange.set_price_band(name, 0.05)
    assert thin.sell(name, 0.1).filled == pytest.approx(0.03)


def test_hidden_lots_are_met_as_well(thin: Thin) -> None:
    """An iceberg shows little of what would be bought."""
    iceberg = limit(thin.rich, thin.spot, "buy", 50_000, 100, display=1)
    assert thin.exchange.submit(iceberg).accepted
    assert thin.sell(thin.spot, 100).reason == Reason.INSUFFICIENT_MARGIN


def test_a_reduce_only_order_may_lose_what_the_account_has(thin: Thin) -> None:
    """And no more: at a limit of 1 the venue would be left with the loss."""
    name, exchange = thin.perpetual, thin.exchange
    qty = 0.4
    thin.rest(thin.rich, name, "sell", INDEX, qty)
    bought = exchange.submit(market(thin.one, name, "buy", qty=qty))
    assert bought.filled == pytest.approx(qty)
    exchange.update_prices()
    for price, passes in ((1.0, False), (20_000.0, False), (40_000.0, True)):
        order = limit(thin.one, name, "sell", price, qty, reduce_only=True)
        placed = exchange.submit(order)
        assert placed.accepted == passes, (price, placed.reason)
        if not passes:
            assert placed.reason == Reason.INSUFFICIENT_MARGIN


def test_a_bid_above_the_index_does_not_hide_beside_far_ones(thin: Thin) -> None:
    """Whatever is withdrawn then, its fill leaves nobody with a debt."""
    exchange, name = thin.exchange, thin.perpetual
    dear = limit(thin.one, name, "buy", price=110_000.0, qty=0.4)
    assert exchange.submit(dear).accepted
    before = exchange.risk.worst_case(thin.one, 1.0, True)
    exchange.submit(limit(thin.one, name, "buy", price=1.0, qty=3))
    after = exchange.risk.worst_case(thin.one, 1.0, True)
    assert after[0] <= before[0] + 1e-6
    assert after[0] == pytest.approx(before[0], abs=1.0)


def test_the_worst_price_is_forgotten_once_the_best_is_below_it(thin: Thin) -> None:
    """No bid of the account is above the best there is, however dear one once was."""
    exchange, name = thin.exchange, thin.perpetual
    low = thin.rest(thin.one, name, "buy", 90_000.0, 0.01)
    dear = thin.rest(thin.one, name, "buy", 110_000.0, 0.01)
    exchange.cancel(dear)
    row = exchange.ledger.resting_of(thin.one)[0]
    tick = exchange.tick[exchange.market_number[name]]
    assert row["worst_bid"] * tick == pytest.approx(110_000.0)
    thin.rest(thin.one, name, "buy", 80_000.0, 0.01)
    row = exchange.ledger.resting_of(thin.one)[0]
    assert row["worst_bid"] * tick == pytest.approx(90_000.0)
    assert low


def test_lots_that_only_reduce_are_no_price_to_be_judged_by(thin: Thin) -> None:
    """Their account is flat by now: they are cut, and what is behind them is met."""
    exchange, name, qty = thin.exchange, thin.perpetual, 0.5
    exchange.deposit(thin.other, thin.quote, 100_000)
    thin.rest(thin.rich, name, "buy", INDEX, qty)
    sold = exchange.submit(market(thin.other, name, "sell", qty=qty))
    assert sold.filled == pytest.approx(qty)
    closing = limit(thin.other, name, "buy", INDEX, qty, reduce_only=True)
    assert exchange.submit(closing).accepted
    thin.rest(thin.rich, name, "sell", INDEX + 1.0, qty)
    back = limit(thin.other, name, "buy", INDEX + 1.0, qty, tif="IOC")
    assert exchange.submit(back).filled == pytest.approx(qty)
    thin.rest(thin.other, name, "buy", 1.0, qty)
    assert thin.sell(name, qty).reason == Reason.INSUFFICIENT_MARGIN
    # Others' lots at the same price are as good as ever, even behind such.
    thin.rest(thin.rich, name, "buy", INDEX, 0.1)
    assert thin.sell(name, 0.1).filled == pytest.approx(0.1)


def test_who_closes_below_the_threshold_may_lose_what_it_has(thin: Thin) -> None:
    """And not as much as the margin that the sale frees: that would be the venue's."""
    exchange, name = thin.exchange, thin.perpetual
    qty = 5.0
    while True:
        thin.rest(thin.rich, name, "sell", INDEX, qty)
        order = limit(thin.one, name, "buy", INDEX, qty, tif="IOC")
        bought = exchange.submit(order)
        exchange.books.cancel_all(thin.rich)
        if bought.filled:
            break
        qty = round(qty * 0.9, 2)
    fallen = round(INDEX - 29_990.0 / qty, 1)
    exchange.reprice({"BTC": fallen})
    before = exchange.account(thin.one).equity
    assert 0 <= before < 20
    assert exchange.account(thin.one).health < exchange.risk.order_health
    exact = before / qty
    for flag in (False, True):
        for price, passes in ((fallen - 2 * exact - 1, False), (fallen, True)):
            order = limit(
                thin.one, name, "sell", round(price, 1), qty, reduce_only=flag
            )
            placed = exchange.submit(order)
            assert placed.accepted == passes, (price, placed.reason)
            exchange.books.cancel_all(thin.one)
