"""Our risk pass beside lrvx (flox until 2026), the other engine that liquidates.

    pip install -e .[bench]
    pytest bench/test_risk_peers.py --benchmark-only

lrvx checks either isolated positions, each with equity of its own, or accounts that
share one equity among their positions (cross). It has no collateral but that number:
no balances in several coins, no haircuts, no prices of collateral. Our accounts here
have one balance and two positions; new prices are set and those below the threshold
found, by looking at every account, or skipping those that cannot have got there. The
prices move by a thousandth each time; nobody is liquidated.
"""

import os
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from flashwick.engine.exchange import Exchange

try:
    # Here and not in a test: with the libraries of other peers loaded it may not load.
    import lrvx
except ImportError:
    lrvx = None

pytestmark = pytest.mark.skipif(
    lrvx is None, reason="lrvx is not installed: pip install -e .[bench]"
)

PROFILES = {"smoke": [1_000], "regular": [1_000, 100_000], "large": [1_000_000]}
ACCOUNTS = PROFILES[os.environ.get("FLASHWICK_BENCH", "regular")]
ROUNDS = 20
MOVES = np.linspace(0.99, 1.01, ROUNDS + 2).tolist()

PRICES = {"BTC": 117_000.0, "ETH": 4_100.0}


def venue(accounts: int) -> Exchange:
    """Accounts long or short of both perpetuals, with ten times the margin needed."""
    exchange = Exchange([f"{coin}/USDT:PERP" for coin in PRICES])
    exchange.reprice(PRICES)
    ledger = exchange.ledger
    first = ledger.open_accounts(accounts)
    for account in range(first, first + accounts):
        ledger.deposit(account, 0, 10**13)
    who = np.arange(first, first + accounts)
    lots = np.where(np.arange(accounts) % 2, 1, -1)
    for market, coin in enumerate(PRICES):
        ticks = exchange.specs[market].ticks(PRICES[coin])
        ledger.open_positions(market, who, lots, ticks)
    exchange.update_prices()
    return exchange


def ours(accounts: int, skipping: bool) -> float:
    """Seconds in which we find those below the threshold at new prices: the median."""
    exchange = venue(accounts)
    risk = exchange.risk
    risk.skipping = skipping
    prices = [np.asarray(column) for column in exchange.prices.risk_prices()]
    seconds = []
    for move in MOVES:
        moved = [column * move for column in prices]
        start = time.perf_counter()
        risk.set_prices(*moved)
        found, _ = risk.below(1.0)
        seconds.append(time.perf_counter() - start)
        assert len(found) == 0
    return sorted(seconds[2:])[ROUNDS // 2]


def tell(benchmark: Any, accounts: int) -> None:
    """The figures of a pass of lrvx."""
    median = benchmark.stats.stats.median
    benchmark.extra_info.update(
        version=version("lrvx"),
        accounts=accounts,
        million_accounts_per_s=accounts / median * 1e-6,
        ns_per_account=median / accounts * 1e9,
        times_ours_all_accounts=median / ours(accounts, skipping=False),
        times_ours_skipping=median / ours(accounts, skipping=True),
    )


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_lrvx_isolated_positions(benchmark: Any, accounts: int) -> None:
    """One position an account, one mark price: no account has to be looked up."""
    engine = lrvx.LiquidationEngine.binance_um_futures()
    for account in range(accounts):
        engine.open_position(account, 1, 1.0 - 2.0 * (account % 2), 100.0, 50.0)
    marks = iter(MOVES)

    def job() -> None:
        found = engine.on_mark(1, 100.0 * next(marks))
        assert not found["liquidated"]

    benchmark.pedantic(job, rounds=ROUNDS, warmup_rounds=2)
    tell(benchmark, accounts)


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_lrvx_cross_accounts(benchmark: Any, accounts: int) -> None:
    """Two positions an account that share its equity; both mark prices change."""
    engine = lrvx.LiquidationEngine.binance_um_futures()
    held = []  # the engine does not keep them alive
    for i in range(accounts):
        account = lrvx.Account(i, 100.0)
        account.set_margin_mode("cross")
        for symbol in 1, 2:
            account.open_position(symbol, 1.0 - 2.0 * (i % 2), 100.0)
        engine.attach_account(account)
        held.append(account)
    marks = iter(MOVES)

    def job() -> None:
        mark = 100.0 * next(marks)
        found = engine.on_marks([(1, mark), (2, mark)])
        assert not found["liquidated"]

    benchmark.pedantic(job, rounds=ROUNDS, warmup_rounds=2)
    tell(benchmark, accounts)
    assert held[0].mark_for(1) == held[-1].mark_for(2) == 101.0
