"""Nobody pays for an account that keeps something, at no venue."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.cython_ext.ledger import CLAIMS, INSURANCE
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.markets import MarketSpec
from flashwick.margin.rules import Rules

PRESETS = [name for name in Rules.presets() if name != "okx-pm"]
PAID = ("fund", "claim", "socialised")
LAST = ("insurance_fund", "claim", "socialise")
BRACKETS = [[0, 0.02, 20]]

ROUNDING = 60 * 0.01
"""What a tick more for the 60 ETH comes to; bankruptcy prices are rounded to one."""


def venue(preset: str, **rules: Any) -> tuple[Exchange, str]:
    """A venue with bitcoin as collateral, and the dollar it settles in."""
    quote = "USDC" if preset in ("hyperliquid", "dydx-v4") else "USDT"
    same = {
        "collateral": {"BTC": 0.9, quote: 1.0},
        "collateral_initial": {"BTC": 0.9, quote: 1.0},
        "brackets": {f"ETH{quote}": BRACKETS},
        "mark": {"policy": "index"},
    }
    markets = [
        MarketSpec.define(f"BTC/{quote}", "0.1", "0.00001"),
        MarketSpec.define(f"ETH/{quote}:PERP", "0.01", "0.01"),
    ]
    exchange = Exchange(markets, Rules.build(preset, same | rules))
    exchange.reprice({"BTC": 100_000.0, "ETH": 4_000.0, quote: 1.0})
    return exchange, quote


class Payers:
    """Looks at an account whenever somebody has paid for it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.seen: list[str] = []
        engine = exchange.liquidator
        for name in engine._steps:
            engine._steps[name] = self.watched(name, engine._steps[name])

    def watched(self, name: str, step: Callable[..., None]) -> Callable[..., None]:
        """The step, and what is so after it."""

        def run(rows: np.ndarray, now: int) -> None:
            log, cases = self.exchange.log, self.exchange.liquidator.cases
            last, accounts = len(log), cases.rows["account"][rows].tolist()
            had = {a: self.exchange.account(a).equity for a in accounts}
            step(rows, now)
            for event in log.single(*PAID):
                if event.id <= last or event.account not in had:
                    continue
                self.seen.append(event.kind)
                # Whoever pays fills a hole, and no more than that.
                value = self.exchange.account(event.account)
                most = max(had[event.account], 0.0)
                assert value.equity <= most + self.lot() + ROUNDING, name
                if name in LAST:
                    assert value.positions == {}
                    self.bare(event.account)

        return run

    def lot(self) -> float:
        """US dollars that a lot of the coin is worth."""
        return float(self.exchange.lot[0] * self.exchange.index[self.exchange.base[0]])

    def bare(self, account: int) -> None:
        """What it has of coins with a price is less than a lot."""
        forced = self.exchange.liquidator.forced
        worth = sum(
            max(0, atoms) * forced.worth(asset)
            for asset, atoms, _ in forced.coins(account)
        )
        assert worth < self.lot()


def run_out(exchange: Exchange) -> None:
    """Cycles until nobody is in liquidation."""
    how = exchange.rules.liquidation
    most = (exchange.liquidator.cycles_max + 2) * int(2 + how.cooldown_s)
    for _ in range(most):
        exchange.now += int(how.cycle_s * 1e9)
        if exchange.liquidate() == 0:
            exchange._check()
            return
    raise AssertionError(
        f"not over after {most} cycles: {[*exchange.liquidator.cases]}"
    )


def crashed(
    exchange: Exchange,
    quote: str,
    *,
    eth: float,
    bids: tuple[float, float],
    fund: float,
    btc: float = 100_000.0,
) -> int:
    """A long of 60 ETH on one bitcoin, and what is bid after the fall; its account."""
    long = exchange.open_account({"BTC": 1})
    rich = exchange.open_account({quote: 1e8, "BTC": 100})
    if fund:
        exchange.deposit(INSURANCE, quote, fund)
    exchange.risk.order_health = -1e9
    perp = f"ETH/{quote}:PERP"
    exchange.submit(limit(rich, perp, "sell", price=4_000, qty=60))
    assert exchange.submit(limit(long, perp, "buy", price=4_000, qty=60)).filled == 60
    exchange.reprice({"ETH": eth, "BTC": btc})
    for market, share, price in zip(
        (f"BTC/{quote}", perp), bids, (btc, eth), strict=True
    ):
        if share:
            bid = round(price * share)
            exchange.submit(limit(rich, market, "buy", price=bid, qty=100))
    return long


@pytest.mark.parametrize("fund", [0.0, 1e4, 1e6])
@pytest.mark.parametrize("preset", PRESETS)
def test_nobody_pays_for_a_long_whose_bitcoin_covers_its_loss(
    preset: str, fund: float
) -> None:
    """60 ETH from 4,000 to 2,480 lose 91,200; the bitcoin brings 99,000."""
    exchange, quote = venue(preset)
    Payers(exchange)
    long = crashed(exchange, quote, eth=2_480.0, bids=(0.99, 1.0), fund=fund)
    before = exchange.account(long).equity
    run_out(exchange)
    assert before == pytest.approx(8_680, abs=200)
    assert exchange.account(long).equity <= before
    assert exchange.risk.account(CLAIMS)["equity"] == pytest.approx(0, abs=0.01)
    assert not [*exchange.log.single("claim"), *exchange.log.single("socialised")]


def test_coins_that_no_step_sells_pay_before_the_fund() -> None:
    """DYdX has no step for them: the fund gets 92,138 dollars of bitcoin, and pays so.

    Its own loss is none; the account keeps what is over.
    """
    exchange, quote = venue("dydx-v4")
    long = crashed(exchange, quote, eth=2_480.0, bids=(0.0, 1.0), fund=1e6)
    run_out(exchange)
    (event,) = exchange.log.single("takeover")
    owed = 60 * 1_520 + 120 + 60 * 2_480 * (0.0005 + 0.005)
    assert event.value == pytest.approx(owed, abs=1.0)
    assert exchange.account(long).equity == pytest.approx(100_000 - owed, abs=1.0)
    assert list(exchange.log.single("fund")) == []


@given(
    st.sampled_from(PRESETS),
    st.floats(1_500, 3_000),
    st.floats(20_000, 150_000),
    st.tuples(st.sampled_from([0.0, 0.9, 1.0]), st.sampled_from([0.0, 0.9, 1.0])),
    st.sampled_from([0.0, 1e3, 1e5, 1e7]),
    st.sampled_from(["none", 0.2]),
)
@settings(max_examples=150, phases=UNTRACED)
def test_who_pays_for_an_account_finds_nothing_left_in_it(
    preset: str,
    eth: float,
    btc: float,
    bids: tuple[float, float],
    fund: float,
    book_share: Any,
) -> None:
    """Fund, claims and other users, at every venue, in books thin and deep."""
    exchange, quote = venue(preset, liquidation={"book_share": book_share})
    Payers(exchange)
    crashed(exchange, quote, eth=eth, bids=bids, fund=fund, btc=btc)
    run_out(exchange)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_hole_that_nothing_fills_is_paid_by_others(preset: str) -> None:
    """The account keeps nothing of its bitcoin, which is worth a third of the loss."""
    exchange, quote = venue(preset)
    watched = Payers(exchange)
    long = crashed(
        exchange, quote, eth=2_400.0, bids=(0.0, 0.9), fund=1e6, btc=30_000.0
    )
    run_out(exchange)
    assert watched.seen
    assert 0 <= exchange.account(long).equity < watched.lot() + ROUNDING
