"""A million random messages give the same answers, fills and books on both books."""

import numpy as np
from numpy.typing import NDArray

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import (
    MESSAGE,
    PRICE_MAX,
    QTY_MAX,
    Kind,
    Reason,
    SelfTrade,
    Side,
)
from flashwick.orderbook.reference import ReferenceBooks

TOTAL = 1_000_000
ACCOUNTS = 40
MIDS = np.array([60, 5_000, 700_000, PRICE_MAX - 300, 2**29])
"""Middle price of each market: dense, sparse, and at the ends of the range."""
WIDTHS = np.array([8, 60, 40_000, 200, 2**27])
"""Spread of the prices of each market around its middle."""
SHARES = {
    Kind.LIMIT: 0.526,
    Kind.MARKET: 0.05,
    Kind.CANCEL: 0.27,
    Kind.CANCEL_ALL: 0.004,
    Kind.REPLACE: 0.148,
    len(Kind): 0.002,  # no kind
}


def now_and_then(
    rng: np.random.Generator, share: float, values: list[int], column: NDArray
) -> None:
    """Overwrite a share of a column with values that lie at or beyond its bounds."""
    hit = rng.random(len(column)) < share
    column[hit] = rng.choice(np.array(values), int(hit.sum()))


def batch(rng: np.random.Generator, n: int, books: Books) -> NDArray[np.void]:
    """Messages around the middles; cancels and replaces name orders of either past.

    Half of the batches issue their own ids, so that they can name the orders of the
    same batch with the right market and account.
    """
    rows = np.zeros(n, MESSAGE)
    rows["time"] = np.arange(n)
    rows["cause"] = rng.integers(0, 2**62, n)
    rows["kind"] = rng.choice(list(SHARES), n, p=list(SHARES.values()))
    rows["market"] = rng.integers(0, len(MIDS), n)
    rows["account"] = rng.integers(0, ACCOUNTS, n)
    rows["side"] = rng.integers(0, 2, n)
    offset = rng.standard_normal(n) * WIDTHS[rows["market"]]
    # Buyers bid below the middle and sellers above it, with an overlap that trades.
    lean = np.where(rows["side"] == Side.BUY, -0.6, 0.6) * WIDTHS[rows["market"]]
    rows["price"] = (MIDS[rows["market"]] + offset + lean).astype(np.int64)
    rows["price"] = rows["price"].clip(1, PRICE_MAX)
    rows["price"][(rows["kind"] == Kind.MARKET) & (rng.random(n) < 0.5)] = 0
    rows["qty"] = rng.geometric(0.05, n)
    rows["tif"] = rng.choice(3, n, p=[0.84, 0.08, 0.08])
    rows["flags"] = rng.choice([0, 1, 2, 4, 5], n, p=[0.83, 0.1, 0.01, 0.05, 0.01])

    new = np.flatnonzero(rows["kind"] <= Kind.MARKET)
    if rng.random() < 0.5:
        rows["order_id"][new] = books.last_id + 1 + np.arange(len(new))
    naming = np.isin(rows["kind"], (Kind.CANCEL, Kind.REPLACE))
    live = np.concatenate(
        [books.orders(m, s) for m in range(len(MIDS)) for s in (Side.BUY, Side.SELL)]
    )
    past = np.flatnonzero(naming & (rng.random(n) < 0.6))
    if len(live):
        named = live[rng.integers(0, len(live), len(past))]
        rows["order_id"][past] = named["id"]
        for name in ("market", "account"):
            rows[name][past] = named[name]
    present = np.flatnonzero(naming & (rows["order_id"] == 0))
    if len(new):
        # One of the last 300 new orders ahead of the message.
        back = np.searchsorted(new, present) - rng.integers(1, 300, len(present))
        named = rows[new[back.clip(0)]]
        rows["order_id"][present] = named["order_id"]
        for name in ("market", "account", "price"):
            rows[name][present] = named[name]

    now_and_then(rng, 0.002, [-2, -1, len(MIDS), 2**31 - 1], rows["market"])
    now_and_then(rng, 0.001, [-1, 2**24], rows["account"])
    now_and_then(rng, 0.002, [2, 3, 255], rows["side"])
    now_and_then(rng, 0.001, [3, 255], rows["tif"])
    now_and_then(rng, 0.001, [8, 255], rows["flags"])
    now_and_then(rng, 0.002, [-1, 0, PRICE_MAX + 1, 2**62], rows["price"])
    now_and_then(rng, 0.002, [-1, 0, QTY_MAX + 1, 2**63 - 1], rows["qty"])
    now_and_then(rng, 0.002, [-1, 1, 2**40, 2**63 - 1], rows["order_id"])
    return rows


def settings(rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Changes of bands, references, halts and self-trade modes between two batches."""
    market = int(rng.integers(0, len(MIDS)))
    near = int(MIDS[market] + rng.integers(-9, 10))
    return [
        ("set_price_band", market, int(rng.choice([0, 0, 3_000, 60_000, 999_999]))),
        ("set_reference", market, near if rng.random() < 0.3 else 0),
        ("set_last_price", market, near),
        ("set_halted", market, rng.random() < 0.1),
        (
            "set_self_trade",
            int(rng.integers(0, ACCOUNTS)),
            int(rng.integers(0, len(SelfTrade))),
        ),
    ]


def assert_same_state(a: ReferenceBooks, b: Books) -> None:
    """Every view of the two books is equal."""
    for name in (
        "last_id",
        "live_orders",
        "trades",
        "traded_qty",
        "notional",
        "trade_hash",
    ):
        assert getattr(a, name) == getattr(b, name), name
    np.testing.assert_array_equal(a.top(), b.top())
    for market in range(a.n_markets):
        for side in (Side.BUY, Side.SELL):
            assert a.orders(market, side).tolist() == b.orders(market, side).tolist()


def test_a_million_random_messages_give_the_same_on_both_books() -> None:
    """Results, fills and books are equal after every batch, of 1 to 40,000 messages."""
    rng = np.random.default_rng(1)
    a, b = ReferenceBooks(), Books()
    for books in (a, b):
        for _ in MIDS:
            books.add_market()
        for account in range(ACCOUNTS):
            books.set_self_trade(account, account % len(SelfTrade))
    seen: set[int] = set()
    left = TOTAL
    while left:
        for name, *arguments in settings(rng):
            getattr(a, name)(*arguments)
            getattr(b, name)(*arguments)
        n = min(left, int(10 ** rng.uniform(0, 4.6)))
        left -= n
        rows = batch(rng, n, b)
        (results_a, fills_a), (results_b, fills_b) = a.process(rows), b.process(rows)
        for i in np.flatnonzero(results_a != results_b)[:1]:
            assert results_a[i] == results_b[i], f"message {i}: {rows[i]}"
        np.testing.assert_array_equal(fills_a, fills_b)
        assert_same_state(a, b)
        seen |= set(results_a["reason"].tolist())
    a._check()
    b._check()
    # The stream is worth its time: it met every reason that a book alone can give.
    assert seen >= set(Reason) - {
        Reason.OVERFLOW,
        Reason.INSUFFICIENT_MARGIN,
        Reason.ACCOUNT_REDUCE_ONLY,
    }
    assert a.trades > 100_000
    assert a.live_orders > 1_000
