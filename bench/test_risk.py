"""The risk pass over many accounts, beside a plain copy of the same bytes; the gate.

    pytest bench/test_risk.py --benchmark-only

Accounts have three balances and two positions on average, by real brackets and tiered
haircuts; one coin in twenty is owed. ``copies`` is how often a copy of their rows fits
into the time measured. ``looked`` is how many accounts were valued, ``below`` how many
of them were found at or below a health of 1.5. ``ns every row`` is an order's time when
the gate looks at all rows of its account, ``ratio`` how many times as long that is.
All times are of the processor.
"""

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import flashwick as fw
from flashwick.cython_ext.ledger import EXTERNAL, Ledger
from flashwick.cython_ext.risk import Risk
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Kind

# What others do on the same machine in the meantime does not count.
pytestmark = pytest.mark.benchmark(timer=time.process_time)

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
        self.rng = np.random.default_rng(11)
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

    def move(self, share: float) -> None:
        """Move every coin's price by at most this share of the first, either way."""
        first = np.array(list(PRICES.values()))
        self.index = first * (1.0 + self.rng.uniform(-share, share, len(first)))
        self.index[0] = 1.0
        self.say()


@cache
def venue(accounts: int) -> Venue:
    """Made once: a million accounts take seconds."""
    return Venue(accounts)


def measured(
    benchmark: Any, place: Venue, call: Callable[[], object], **moves: Any
) -> float:
    """Measure a call, the prices moved before each; return its median, seconds."""
    step: Callable[[], None] = moves["step"]
    rounds = moves.get("rounds", 20)
    benchmark.pedantic(call, setup=step, rounds=rounds, warmup_rounds=2)
    median: float = benchmark.stats.stats.median
    benchmark.extra_info.update(accounts=place.ledger.n_accounts - place.first)
    return median


def row_bytes(ledger: Ledger) -> int:
    """What a pass has to read: an account's header, its balances, its positions."""
    balances = sum(len(ledger.holders(a)) for a in range(ledger.n_assets))
    positions = sum(np.count_nonzero(ledger.lots(m)) for m in range(ledger.n_markets))
    return 16 * ledger.n_accounts + 16 * balances + 24 * int(positions)


def copy_s(size: int) -> float:
    """Least of ten times a copy of so many bytes takes, seconds."""
    source = np.ones(size, np.uint8)
    target = source.copy()
    took = []
    for _ in range(10):
        start = time.process_time()
        np.copyto(target, source)
        took.append(time.process_time() - start)
    return min(took)


# -- ALL ACCOUNTS


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_revalue_all_accounts(benchmark: Any, accounts: int) -> None:
    """Five columns anew for every account, at prices that differ from the last."""
    place = venue(accounts)
    risk, ledger = place.risk, place.ledger
    risk.skipping = False
    median = measured(benchmark, place, risk.revalue, step=lambda: place.move(1e-4))
    risk.skipping = True
    risk.below(WARN)  # its levels are memory too
    benchmark.extra_info.update(
        million_accounts_per_s=accounts / median * 1e-6,
        ns_per_account=median / accounts * 1e9,
        copies=median / copy_s(row_bytes(ledger)),
        bytes_per_account=(ledger.nbytes + risk.nbytes) / accounts - 5 * 8,
    )


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_below_without_skipping(benchmark: Any, accounts: int) -> None:
    """Every account valued, and those below the threshold named."""
    place = venue(accounts)
    risk = place.risk
    risk.skipping = False
    median = measured(
        benchmark, place, lambda: risk.below(WARN), step=lambda: place.move(1e-4)
    )
    found, _ = risk.below(WARN)
    risk.skipping = True
    benchmark.extra_info.update(
        ns_per_account=median / accounts * 1e9,
        copies=median / copy_s(row_bytes(place.ledger)),
        looked=risk.looked,
        below=len(found),
    )


# -- THOSE THAT MATTER


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_revalue_holders_of_one_asset(benchmark: Any, accounts: int) -> None:
    """One coin repriced: the columns of its holders."""
    place = venue(accounts)
    place.move(0.0)
    place.risk.revalue()

    def step() -> None:
        place.index[9] *= 0.999
        place.say()

    median = measured(benchmark, place, place.risk.revalue, step=step)
    holders = len(place.risk.holders(9))
    benchmark.extra_info.update(holders=holders, ns_per_holder=median / holders * 1e9)


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_below_in_a_calm_tick(benchmark: Any, accounts: int) -> None:
    """Every price within a ten-thousandth of where it was; new prices are in it."""
    place = venue(accounts)
    place.move(0.0)
    place.risk.below(WARN)

    def tick() -> None:
        place.say()
        place.risk.below(WARN)

    measured(benchmark, place, tick, step=lambda: place.move(1e-4))
    found, _ = place.risk.below(WARN)
    benchmark.extra_info.update(looked=place.risk.looked, below=len(found))


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_below_in_a_crash(benchmark: Any, accounts: int) -> None:
    """Forty ticks down 1.5 % each, mean of a tick; levels made anew are in it."""
    place = venue(accounts)

    def crash() -> None:
        for _ in range(40):
            place.index[1:] *= 0.985
            place.say()
            place.risk.below(WARN)

    def step() -> None:
        place.move(0.0)
        place.risk.below(WARN)

    median = measured(benchmark, place, crash, step=step, rounds=3)
    benchmark.extra_info.update(ms_per_tick=median / 40 * 1e3)


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_below_when_all_are_near(benchmark: Any, accounts: int) -> None:
    """The worst case: every account within a thousandth, and prices that go further."""
    place = Venue(accounts, near=1e-3)
    first = np.array(list(PRICES.values()))
    low = place.risk.account(place.first)["health"]

    def step() -> None:
        place.index = first * np.where(place.index == first, 0.999, 1.0)
        place.index[0] = 1.0
        place.say()

    def below() -> None:
        place.risk.below(low)

    median = measured(benchmark, place, below, step=step)
    benchmark.extra_info.update(
        ns_per_account=median / accounts * 1e9, looked=place.risk.looked
    )


# -- THE GATE


@pytest.mark.parametrize("coins", [4, 40, 430])
def test_quotes_of_a_maker(benchmark: Any, coins: int) -> None:
    """One more bid in every market of a maker with orders in all; an order's time.

    It holds every coin, and a quarter have a perpetual. Prices change before each
    batch of about a thousand: one sum of all rows is in it, and so are book and ledger.
    """
    bases = [f"C{i}" for i in range(coins)]
    names = [f"{base}/USDT" for base in bases]
    names += [f"{base}/USDT:PERP" for base in bases[: coins // 4]]
    exchange = fw.Exchange(names, "binance-pm")
    exchange.reprice(dict.fromkeys(bases, 10.0))
    maker = exchange.open_account(dict.fromkeys(bases, 1_000) | {"USDT": 1_000_000})
    market = np.tile(np.arange(len(names)), 1_000 // len(names))
    batch = fw.messages(len(market))
    batch["market"], batch["account"] = market, maker
    batch["price"] = 9.9 / exchange.tick[market]
    batch["qty"] = 1 / exchange.lot[market]
    books, risk = exchange.books, exchange.risk
    assert books.process(batch)[0]["accepted"].all()
    batch["side"], batch["price"] = 1, 10.1 / exchange.tick[market]
    assert books.process(batch)[0]["accepted"].all()
    batch["side"], batch["price"] = 0, 9.8 / exchange.tick[market]
    sent: list[NDArray[Any]] = []

    def step() -> None:
        if sent:
            cancels = fw.messages(len(batch))
            cancels["kind"], cancels["account"] = Kind.CANCEL, maker
            cancels["market"] = batch["market"]
            cancels["order_id"] = sent.pop()["order_id"]
            assert books.process(cancels)[0]["accepted"].all()
        exchange.reprice(dict.fromkeys(bases, 10.0))

    def quote() -> None:
        sent.append(books.process(batch)[0])

    took = {}
    for following in (False, True):
        risk.following = following
        runs = []
        for _ in range(10):
            step()
            start = time.process_time()
            quote()
            runs.append(time.process_time() - start)
        took[following] = min(runs) / len(batch)
    benchmark.pedantic(quote, setup=step, rounds=20, warmup_rounds=2)
    benchmark.extra_info.update(
        rows=coins + len(names) + coins // 4,
        ns_per_order=benchmark.stats.stats.median / len(batch) * 1e9,
        ns_every_row=took[False] * 1e9,
        ratio=took[False] / took[True],
    )
