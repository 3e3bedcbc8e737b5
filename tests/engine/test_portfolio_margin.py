"""An exchange under portfolio margin: positions need what their risk units lose."""

import pytest

import flashwick as fw
from flashwick.engine.exchange import Exchange

SPOT, PERP = "BTC/USDT", "BTC/USDT:PERP"
PRICE = 100_000.0


def venue() -> tuple[Exchange, int, int, int]:
    """A long of ten bitcoin, a short of ten with the coins, and a maker."""
    exchange = Exchange([SPOT, PERP], "okx-pm")
    exchange.reprice({"BTC": PRICE})
    alone = exchange.open_account({"USDT": 200_000})
    hedged = exchange.open_account({"USDT": 1_000, "BTC": 10})
    maker = exchange.open_account({"USDT": 50_000_000})
    exchange.submit(fw.limit(hedged, PERP, "sell", PRICE, 10))
    assert exchange.submit(fw.market(alone, PERP, "buy", 10)).filled == 10.0
    exchange.update_prices()
    return exchange, alone, hedged, maker


def fall(exchange: Exchange, maker: int, price: float, seconds: int) -> None:
    """Index and quotes go to a price; a cycle of liquidations every second."""
    exchange.reprice({"BTC": price})
    exchange.submit(fw.limit(maker, PERP, "buy", price - 10.0, 100))
    exchange.submit(fw.limit(maker, PERP, "sell", price + 10.0, 100))
    for _ in range(seconds):
        exchange.now += 1_000_000_000
        exchange.liquidate()


def test_hedge_has_less_margin_than_the_position_alone() -> None:
    """Alone it needs the shock, 12 %; with the coins no more than the least charge."""
    exchange, alone, hedged, _ = venue()
    assert exchange.account(alone).maintenance == pytest.approx(120_000.0)
    assert exchange.account(hedged).maintenance == pytest.approx(4_000.0)
    exchange._check()


def test_fall_liquidates_the_position_alone_and_not_the_hedge() -> None:
    """Positions go down by slices until the account is restored or has nothing."""
    exchange, alone, hedged, maker = venue()
    fall(exchange, maker, 90_000.0, 60)
    assert list(exchange.liquidator.liquidated) == [alone]
    left = exchange.account(alone).positions.get(PERP, 0.0)
    assert 0.0 <= left < 10.0
    assert not exchange.liquidator.cases
    assert exchange.account(hedged).positions == {PERP: -10.0}
    exchange._check()


def test_gate_lets_the_hedge_in_and_not_the_position_alone() -> None:
    """The same order: with the coins it needs little, without them too much."""
    exchange = Exchange([SPOT, PERP], "okx-pm")
    exchange.reprice({"BTC": PRICE})
    with_coins = exchange.open_account({"BTC": 10})
    with_dollars = exchange.open_account({"USDT": 140_000})
    order = fw.limit(with_coins, PERP, "sell", PRICE, 10)
    assert exchange.submit(order).open == 10.0
    refused = exchange.submit(fw.limit(with_dollars, PERP, "sell", PRICE, 10))
    assert refused.open == 0.0
    assert not refused.accepted
    exchange._check()


def test_desk_finds_the_price_that_liquidates() -> None:
    """At a price between it and now the account is above, beyond it below."""
    exchange, alone, _, _ = venue()
    found = exchange.desk.liquidation_price(alone, PERP).below
    assert found is not None
    # 200,000 less the fees and the loss is 12 % of what is left.
    fees = PRICE * 10 * exchange.rules.fees.perpetual_taker_ppm * 1e-6
    expected = (PRICE * 10 - 200_000.0 + fees) / 0.88 / 10
    assert found == pytest.approx(expected, rel=1e-6)


def test_effect_of_other_rules_counts_risk_units() -> None:
    """A larger shock takes the account under the threshold; nothing changes."""
    exchange, alone, _, _ = venue()
    worse = {"stress": {"BTC": {"shock": 0.25, "extreme": 0.24, "basis": 0.05}}}
    assert exchange.desk.effect(worse).breached.tolist() == [alone]
    assert exchange.account(alone).maintenance == pytest.approx(120_000.0)


def test_rule_that_fails_at_the_gate_is_told_of() -> None:
    """The order is refused and what was raised comes out; the books go on."""
    exchange, _, _, maker = venue()

    def broken(positions: object, equities: object) -> float:
        raise ZeroDivisionError("no margin today")

    rule = exchange.risk.position_margin
    exchange.risk.position_margin = broken
    with pytest.raises(ZeroDivisionError, match="no margin today"):
        exchange.submit(fw.limit(maker, PERP, "buy", PRICE, 1))
    exchange.risk.position_margin = rule
    assert exchange.account(maker).positions == {}
    assert exchange.submit(fw.limit(maker, PERP, "buy", PRICE, 1)).open == 1.0
    exchange._check()
