"""The risk pass over many accounts, beside a plain copy of the same bytes.

    pytest bench/test_risk.py --benchmark-only

Accounts have three balances and two positions on average, by real brackets and tiered
haircuts. ``copies`` is how often a copy of their rows fits into the time measured.
"""

import os
import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashwick.cython_ext.ledger import EXTERNAL, Ledger
from flashwick.cython_ext.risk import Risk
from flashwick.margin.rules import Rules

PROFILES = {
    "smoke": [1_000],
    "regular": [1_000, 10_000, 100_000, 1_000_000],
    "large": [1_000, 10_000, 100_000, 1_000_000],
}
ACCOUNTS = PROFILES[os.environ.get("FLASHWICK_BENCH", "regular")]
WARN = 1.5

PRICES = {
    "USDT": 1.0,
    "BTC": 117_000.0,
    "ETH": 4_100.0,
    "SOL": 205.0,
    "BNB": 1_200.0,
    "XRP": 2.8,
    "DOGE": 0.24,
    "SUI": 3.4,
    "ATOM": 3.6,
    "WBETH": 4_420.0,
}
COINS = tuple(PRICES)
PERPETUALS = tuple(f"{coin}/USDT:PERP" for coin in COINS[1:9])
RULES = Rules.build(
    "binance-pm",
    {
        "collateral": {
            coin: [[0, 0.95], [100_000, 0.9], [1_000_000, 0.8], [5_000_000, 0.6]]
            for coin in COINS[1:]
        }
    },
)
ATOM, LOT, TICK = 1e-8, 1e-4, 1e-4
"""Coins of an atom and of a lot, US dollars of a tick."""


class Venue:
    """A ledger of accounts, and a risk pass with its prices."""

    def __init__(self, accounts: int, *, near: float | None = None) -> None:
        """With ``near``, all accounts are within this share of the threshold."""
        self.ledger = ledger = Ledger()
        for _ in COINS:
            ledger.add_asset()
        for base in range(1, 9):
            ledger.add_market(base, 0, True, 10_000, 1)
        self.first = ledger.open_accounts(accounts)
        self.index = np.array(list(PRICES.values()))
        self.basis = np.ones(8)
        self._fill(accounts, near)
        ledger.pack()
        n = len(COINS), len(PERPETUALS)
        self.risk = Risk(
            ledger,
            RULES.terms(COINS, PERPETUALS),
            RULES.margin_factors(PERPETUALS),
            np.full(n[0], ATOM),
            np.full(n[1], LOT),
            RULES.thresholds.order,
            RULES.account.open_loss,
        )
        self.say()

    def _fill(self, accounts: int, near: float | None) -> None:
        rng = np.random.default_rng(7)
        ledger = self.ledger
        who = np.arange(self.first, self.first + accounts)
        equity = np.exp(rng.normal(8.5, 2.0, accounts))
        # Most hold a few times what they own, one in a hundred all it can.
        leverage = np.minimum(np.exp(rng.normal(0.7, 0.8, accounts)), 12.0)
        edge = rng.random(accounts) < 0.01
        leverage[edge] = rng.uniform(40.0, 160.0, int(edge.sum()))
        if near is not None:
            equity[:] = 10_000.0
            leverage[:] = 60.0 * (1.0 + rng.uniform(-near, near, accounts))
        held = rng.random((9, accounts)) < 2 / 9
        # One in twenty of those owes the coin.
        sign = np.where(rng.random((9, accounts)) < 0.05, -1, 1)
        share = 1.0 / (1 + held.sum(axis=0))
        ledger.deposit_many(0, who, (equity * share / ATOM).astype(np.int64))
        for coin in range(1, 10):
            usd = equity * share
            atoms = (usd / self.index[coin] / ATOM).astype(np.int64)
            some = held[coin - 1] & (sign[coin - 1] > 0)
            ledger.deposit_many(coin, who[some], atoms[some])
            debtors = held[coin - 1] & (sign[coin - 1] < 0)
            for account, owed in zip(who[debtors], atoms[debtors], strict=True):
                ledger.transfer(coin, int(account), EXTERNAL, int(owed))
            # What was sold of the coin is there in dollars.
            ledger.deposit_many(
                0, who[debtors], (2 * usd[debtors] / ATOM).astype(np.int64)
            )
        for market in range(8):
            size = equity * leverage / 2
            some = np.flatnonzero(rng.random(accounts) < 1 / 4)
            some = some[: len(some) // 2 * 2]
            # Every long has its short beside it, of about the size.
            pairs = some[np.argsort(size[some])].reshape(-1, 2)
            price = self.index[market + 1]
            lots = (size[pairs].min(axis=1) / price / LOT).astype(np.int64) + 1
            lots *= rng.choice([-1, 1], len(lots))
            ledger.open_positions(
                market,
                who[pairs.T.ravel()],
                np.concatenate([lots, -lots]),
                round(price / TICK),
            )

    def say(self) -> None:
        """Tell the risk pass the prices."""
        index = self.index * ATOM
        mark = self.index[1:9] * self.basis * LOT
        self.risk.set_prices(index, mark, mark / ATOM)


@cache
def venue(accounts: int) -> Venue:
    """Made once: a million accounts take seconds."""
    return Venue(accounts)


def copy_s(size: int) -> float:
    """Least of ten times a copy of so many bytes takes, seconds."""
    source = np.ones(size, np.uint8)
    target = source.copy()
    took = []
    for _ in range(10):
        start = time.perf_counter()
        np.copyto(target, source)
        took.append(time.perf_counter() - start)
    return min(took)
