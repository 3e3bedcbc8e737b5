"""The risk pass: all accounts valued, beside a plain copy of what it has to read.

    pytest bench/test_risk.py --benchmark-only

``copies`` is how often a copy of the accounts' rows fits into the time of one pass.
"""

import os
import time
from typing import Any

import numpy as np
import pytest

from flashwick.engine.exchange import Exchange

PROFILES = {"smoke": [1_000], "regular": [1_000, 100_000], "large": [1_000_000]}
ACCOUNTS = PROFILES[os.environ.get("FLASHWICK_BENCH", "regular")]

COINS = ("USDT", "BTC", "ETH", "SOL", "ATOM")
BALANCE_BYTES, POSITION_BYTES, ACCOUNT_BYTES = 32, 40, 16


def venue(accounts: int) -> Exchange:
    """Accounts of three balances and two positions each, in five coins."""
    spot = [f"{coin}/USDT" for coin in COINS[1:]]
    exchange = Exchange([*spot, *(f"{name}:PERP" for name in spot)])
    prices = {"BTC": 117_000.0, "ETH": 4_100.0, "SOL": 205.0, "ATOM": 3.6}
    exchange.reprice(prices)
    ledger, rng = exchange.ledger, np.random.default_rng(7)
    first = ledger.open_accounts(accounts)
    for account in range(first, first + accounts):
        for coin in rng.choice(len(COINS), 3, replace=False).tolist():
            ledger.deposit(account, coin, int(rng.integers(1, 10**10)))
    for i, name in enumerate(COINS[1:]):
        # Every second account is long what its neighbour is short; two perpetuals each.
        who = np.arange(first + 2 * (i % 2), first + accounts - 3, 4)
        lots = rng.integers(1, 1_000, len(who))
        ticks = exchange.specs[4 + i].ticks(prices[name])
        both = np.concatenate([who, who + 1]), np.concatenate([lots, -lots])
        ledger.open_positions(4 + i, *both, ticks)
    exchange.update_prices()
    return exchange


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_revalue_all_accounts(benchmark: Any, accounts: int) -> None:
    """One pass over all accounts, at prices that differ from the last."""
    risk = venue(accounts).risk
    benchmark.pedantic(risk.revalue, rounds=20, warmup_rounds=2)
    median = benchmark.stats.stats.median
    size = accounts * (ACCOUNT_BYTES + 4 * BALANCE_BYTES + 2 * POSITION_BYTES)
    source = np.ones(size, np.uint8)
    target = source.copy()
    copies = []
    for _ in range(10):
        start = time.perf_counter()
        np.copyto(target, source)
        copies.append(time.perf_counter() - start)
    benchmark.extra_info.update(
        accounts=accounts,
        million_accounts_per_s=accounts / median * 1e-6,
        ns_per_account=median / accounts * 1e9,
        copies=median / min(copies),
    )
