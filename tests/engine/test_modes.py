"""Hedge mode, leverage, and what the venue shows of an account."""

import pytest
from ledger_model import state

import flashwick as fw
from flashwick.engine.exchange import Exchange

PERP = "ATOM/USDT:PERP"
DOLLAR = {"hyperliquid": "USDC", "dydx-v4": "USDC", "deribit-xsm": "USDC"}
"""What venues that do not count USDT settle in."""


def venue(rules: str = "binance-pm", quote: str = "USDT") -> Exchange:
    """A coin, its book and its perpetual, and two rich accounts, 5 and 6."""
    exchange = Exchange([f"ATOM/{quote}", f"ATOM/{quote}:PERP"], rules)
    exchange.reprice({"ATOM": 4.0})
    for _ in range(2):
        exchange.open_account({quote: 100_000})
    return exchange


def trade(exchange: Exchange, taker: int, side: str, qty: float, **options: bool):
    """A market order of one account against the other's quote."""
    maker, other = 11 - taker, "sell" if side == "buy" else "buy"
    market = exchange.markets[1]
    exchange.submit(fw.limit(maker, market, other, 4.0, qty))
    placed = exchange.submit(fw.market(taker, market, side, qty, **options))
    exchange.update_prices()
    return placed


def test_legs_stand_side_by_side_in_hedge_mode() -> None:
    """Both carry margin; an order that only reduces closes the other leg."""
    exchange = venue()
    exchange.set_hedge(5, True)
    trade(exchange, 5, "buy", 1_000)
    alone = exchange.account(5).maintenance
    trade(exchange, 5, "sell", 400)
    view = exchange.account(5)
    assert view.legs == {PERP: (1_000.0, -400.0)}
    assert view.positions == {PERP: 600.0}
    assert view.maintenance > alone
    trade(exchange, 5, "sell", 1_000, reduce_only=True)
    assert exchange.account(5).legs == {PERP: (0.0, -400.0)}
    # The other account nets as ever.
    assert exchange.account(6).positions == {PERP: 400.0}
    assert exchange.account(6).legs == {}
    exchange._check()


def test_mode_changes_only_while_flat() -> None:
    """A position or an order in a perpetual holds it; nothing changes."""
    exchange = venue()
    trade(exchange, 5, "buy", 10)
    before = state(exchange.ledger)
    with pytest.raises(fw.OrderError, match=f"5 has a position or orders in {PERP}"):
        exchange.set_hedge(5, True)
    assert state(exchange.ledger) == before
    trade(exchange, 5, "sell", 10)
    exchange.set_hedge(5, True)
    exchange.set_hedge(5, False)
    with pytest.raises(fw.OrderError, match="account 9 is not open here"):
        exchange.set_hedge(9, True)


def test_isolated_market_is_in_the_mode_of_its_account() -> None:
    """Isolated after hedge mode was set, and before; legs stand apart in both."""
    for first in ("hedge", "isolate"):
        exchange = venue()
        if first == "hedge":
            exchange.set_hedge(5, True)
        sub = exchange.isolate(5, PERP, 5_000)
        if first == "isolate":
            exchange.set_hedge(5, True)
        trade(exchange, 5, "buy", 1_000)
        trade(exchange, 5, "sell", 400)
        assert exchange.account(sub).legs == {PERP: (1_000.0, -400.0)}
        trade(exchange, 5, "sell", 1_000, reduce_only=True)
        trade(exchange, 5, "buy", 400, reduce_only=True)
        exchange.set_hedge(5, False)
        trade(exchange, 5, "buy", 1_000)
        trade(exchange, 5, "sell", 400)
        assert exchange.account(sub).positions == {PERP: 600.0}
        assert exchange.account(sub).legs == {}
        exchange._check()


def test_mode_of_an_isolated_market_is_set_with_that_of_its_account() -> None:
    """Not by itself, and not while it has a position; then nothing changes."""
    exchange = venue()
    sub = exchange.isolate(5, PERP, 5_000)
    with pytest.raises(fw.OrderError, match=f"{sub} is the isolated margin .* of acc"):
        exchange.set_hedge(sub, True)
    trade(exchange, 5, "buy", 10)
    before = state(exchange.ledger)
    with pytest.raises(fw.OrderError, match=f"account {sub} has a position .* {PERP}"):
        exchange.set_hedge(5, True)
    assert state(exchange.ledger) == before
    assert not exchange.ledger.hedged(5)


def test_two_legs_that_net_to_nothing_are_a_position() -> None:
    """A market that has them is neither isolated nor given back."""
    exchange = venue()
    exchange.set_hedge(5, True)
    for side in ("buy", "sell"):
        trade(exchange, 5, side, 100)
    with pytest.raises(fw.OrderError, match=f"5 has a position or orders in {PERP}"):
        exchange.isolate(5, PERP, 500)
    for side in ("buy", "sell"):
        trade(exchange, 5, side, 100, reduce_only=True)
    sub = exchange.isolate(5, PERP, 500)
    for side in ("buy", "sell"):
        trade(exchange, 5, side, 100)
    with pytest.raises(fw.OrderError, match=f"{sub} has a position or orders in"):
        exchange.cross(5, PERP)


@pytest.mark.parametrize("what", ["position", "legs", "order", "stop", "spot"])
def test_isolated_margin_does_not_end_beside_another_market(what: str) -> None:
    """Orders by the sub-account's own number may be anywhere; its money stays there."""
    markets = ["ATOM/USDT", PERP, "BTC/USDT:PERP"]
    exchange = Exchange(markets, "binance-pm")
    exchange.reprice({"ATOM": 4.0, "BTC": 100_000.0})
    for _ in range(2):
        exchange.open_account({"USDT": 100_000})
    exchange.set_hedge(5, what == "legs")
    sub = exchange.isolate(5, PERP, 50_000)
    other = markets[0 if what == "spot" else 2]
    price = 3.0 if what == "spot" else 100_000.0
    if what in ("order", "spot"):
        assert exchange.submit(fw.limit(sub, other, "buy", price, 0.1)).accepted
    elif what == "stop":
        stop = fw.market(sub, other, "buy", 0.1, trigger=120_000.0)
        assert exchange.submit(stop).accepted
    else:
        for side, against in (("buy", "sell"), ("sell", "buy")):
            exchange.submit(fw.limit(6, other, against, price, 0.1))
            assert exchange.submit(fw.market(sub, other, side, 0.1)).filled == 0.1
            if what == "position":
                break
    before = state(exchange.ledger)
    with pytest.raises(
        fw.OrderError, match=f"{sub} has a position or orders in {other}"
    ):
        exchange.cross(5, PERP)
    assert state(exchange.ledger) == before
    assert exchange.account(5).isolated == {PERP: sub}
    exchange.books.cancel_all(sub)
    for held in exchange.ledger.positions_of(sub):
        against, closing = ("buy", "sell") if held["lots"] > 0 else ("sell", "buy")
        exchange.submit(fw.limit(6, other, against, price, 0.1))
        exchange.submit(fw.market(sub, other, closing, 0.1, reduce_only=True))
    exchange.cross(5, PERP)
    assert exchange.account(5).isolated == {}


def test_liquidation_price_of_two_legs_is_that_of_the_rest() -> None:
    """What one leg gains the other loses; each has its margin."""
    exchange = venue()
    exchange.set_hedge(5, True)
    trade(exchange, 5, "buy", 60_000)
    trade(exchange, 5, "sell", 20_000)
    found = exchange.desk.liquidation_price(5, PERP)
    assert found.below is not None
    move = found.below / 4.0 - 1.0
    assert -0.8 < move < -0.4
    exchange.reprice({"ATOM": found.below * 0.999})
    for _ in range(40):
        exchange.now += 5_000_000_000
        exchange.update_prices()
    assert exchange.account(5).health < 1.1


def test_lower_leverage_takes_more_initial_margin() -> None:
    """A fifth at five times; maintenance stays, and the highest is the default."""
    exchange = venue("bybit-uta")
    trade(exchange, 5, "buy", 1_000)
    highest = exchange.account(5)
    exchange.set_leverage(5, PERP, 5)
    chosen = exchange.account(5)
    assert chosen.initial == pytest.approx(800.0, rel=0.01)
    assert chosen.initial > highest.initial
    assert chosen.maintenance == highest.maintenance
    exchange.set_leverage(5, PERP, None)
    assert exchange.account(5) == highest


@pytest.mark.parametrize("wrong", [0, -1, 1_001, 2.5, True, "5", float("nan")])
def test_wrong_leverage_is_refused(wrong: object) -> None:
    """A whole number from 1, or None."""
    with pytest.raises(fw.OrderError, match="'leverage' must be a whole number from 1"):
        venue().set_leverage(5, PERP, wrong)  # type: ignore[arg-type]


def test_leverage_is_of_perpetuals_that_exist() -> None:
    """Not of a spot book, nor of a name that is none."""
    exchange = venue()
    with pytest.raises(fw.OrderError, match="ATOM/USDT is not a perpetual"):
        exchange.set_leverage(5, "ATOM/USDT", 5)
    with pytest.raises(fw.OrderError, match="'ATOM/USD:PERP' is not a market"):
        exchange.set_leverage(5, "ATOM/USD:PERP", 5)


def test_leverage_of_an_isolated_market_is_that_of_its_sub_account() -> None:
    """The parent sets it under its own number."""
    exchange = venue("bybit-uta")
    sub = exchange.isolate(5, PERP, 5_000)
    trade(exchange, 5, "buy", 1_000)
    exchange.set_leverage(5, PERP, 2)
    assert exchange.account(sub).initial == pytest.approx(2_000.0, rel=0.01)


@pytest.mark.parametrize(
    ("preset", "low"), [("binance-pm", False), ("bybit-uta", True)]
)
def test_ratio_is_shown_as_the_venue_shows_it(preset: str, low: bool) -> None:
    """Equity over margin, or margin over equity in percent."""
    exchange = venue(preset)
    assert exchange.account(5).ratio == ("0.00%" if low else "∞")
    trade(exchange, 5, "buy", 40_000)
    view = exchange.account(5)
    shown = view.maintenance / view.adjusted if low else view.health
    assert view.ratio == (f"{shown:.2%}" if low else f"{shown:.4g}")


@pytest.mark.parametrize("preset", fw.Rules.presets())
def test_every_preset_runs_an_exchange(preset: str) -> None:
    """Orders, prices, a cycle of liquidations."""
    quote = DOLLAR.get(preset, "USDT")
    exchange = venue(preset, quote)
    assert trade(exchange, 5, "buy", 1_000).filled == 1_000.0
    view = exchange.account(5)
    assert view.health > 1.0
    assert view.initial >= view.maintenance * 0.999
    assert exchange.liquidate() == 0
    short = exchange.desk.liquidation_price(6, exchange.markets[1])
    assert short.above is not None
    assert short.above > 4.0
    with pytest.raises(fw.OrderError, match=r"must be at most|must stay"):
        exchange.withdraw(5, quote, 100_001)
    exchange._check()
