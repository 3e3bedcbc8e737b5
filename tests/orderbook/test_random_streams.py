"""Random messages give the same answers, tapes and books on both books.

300,000 of them run as a test. `FLASHWICK_RANDOM_MESSAGES` asks for more: ten million
take some minutes, nearly all of them the readable book's.
"""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import (
    MESSAGE,
    PRICE_MAX,
    QTY_MAX,
    EventKind,
    Flag,
    Kind,
    Phase,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from flashwick.orderbook.reference import ReferenceBooks

Rows = NDArray[np.void]
Both = tuple[ReferenceBooks, Books]

TOTAL = int(os.environ.get("FLASHWICK_RANDOM_MESSAGES", "300_000"))
MARKETS = 50
ACCOUNTS = 40
LIVE = 15_000
"""Resting orders around which the streams keep the books."""
MIDS = np.resize([60, 5_000, 700_000, PRICE_MAX - 300, 2**29], MARKETS)
"""Middle price of each market: dense, sparse, and at the ends of the range."""
WIDTHS = np.resize([8, 60, 40_000, 200, 2**27], MARKETS)
"""Spread of the prices of each market around its middle."""
SHARES = {
    Kind.LIMIT: 0.547,
    Kind.MARKET: 0.05,
    Kind.CANCEL: 0.27,
    Kind.CANCEL_ALL: 0.001,
    Kind.REPLACE: 0.13,
    len(Kind): 0.002,  # no kind
}
PLAIN = [Flag(0)] * 10 + [Flag.LIQUIDATION, Flag.REDUCE_ONLY]
PASSIVE = [Flag.POST_ONLY, Flag.POST_ONLY | Flag.SLIDE]
WAITING = [
    Flag(0),
    Flag(0),
    Flag.TRIGGER_MARK,
    Flag.TRIGGER_INDEX,
    Flag.TAKE_PROFIT,
    Flag.TAKE_PROFIT | Flag.TRIGGER_MARK,
    Flag.REDUCE_ONLY,
]
PER_BATCH = 8
"""Changes of markets between two batches."""


def some(rng: np.random.Generator, where: Rows, share: float) -> NDArray[np.intp]:
    """Positions of a random share of the rows that are ``where``."""
    return np.flatnonzero(where & (rng.random(len(where)) < share))


def near(rng: np.random.Generator, rows: Rows, lean: float) -> NDArray[np.int64]:
    """Prices around the middle: buyers below and sellers above it by ``lean``."""
    width, mid = WIDTHS[rows["market"]], MIDS[rows["market"]]
    away = np.where(rows["side"] == Side.BUY, -lean, lean)
    prices = mid + (rng.standard_normal(len(rows)) + away) * width
    clipped: NDArray[np.int64] = prices.astype(np.int64).clip(1, PRICE_MAX)
    return clipped


def batch(rng: np.random.Generator, n: int, books: Books, time: int) -> Rows:
    """Messages of every kind and option; prices of the two sides overlap somewhat.

    Half of the batches issue their own ids, so that they can name the orders of the
    same batch with the right market and account.
    """
    rows = np.zeros(n, MESSAGE)
    rows["time"] = time + np.arange(n)
    rows["cause"] = rng.integers(0, 2**62, n)
    rows["kind"] = rng.choice(list(SHARES), n, p=list(SHARES.values()))
    rows["market"] = rng.integers(0, MARKETS, n)
    rows["account"] = rng.integers(0, ACCOUNTS, n)
    rows["side"] = rng.integers(0, 2, n)
    rows["price"] = near(rng, rows, 0.6)
    rows["qty"] = rng.geometric(0.05, n)
    rows["tif"] = rng.choice(len(TimeInForce), n, p=[0.84, 0.08, 0.08])
    rows["flags"] = rng.choice(np.array(PLAIN, np.uint8), n)
    market = rows["kind"] == Kind.MARKET
    rows["price"][some(rng, market, 0.5)] = 0

    waits = some(rng, rows["kind"] <= Kind.MARKET, 0.08)
    # A stop sells below the market and buys above it.
    rows["trigger"][waits] = near(rng, rows[waits], -0.5)
    rows["flags"][waits] = rng.choice(np.array(WAITING, np.uint8), len(waits))
    resting = (rows["kind"] == Kind.LIMIT) & (rows["tif"] == TimeInForce.GTC)
    passive = some(rng, resting & (rows["trigger"] == 0), 0.12)
    rows["flags"][passive] = rng.choice(np.array(PASSIVE, np.uint8), len(passive))
    icebergs = some(rng, resting, 0.08)
    rows["display"][icebergs] = rng.integers(1, 12, len(icebergs))

    name_orders(rng, rows, books)
    put_odd_values(rng, rows)
    return rows


def name_orders(rng: np.random.Generator, rows: Rows, books: Books) -> None:
    """Let cancels and replaces name orders, of the past or of the same batch."""
    new = np.flatnonzero(rows["kind"] <= Kind.MARKET)
    if rng.random() < 0.5:
        rows["order_id"][new] = books.last_id + 1 + np.arange(len(new))
    naming = np.isin(rows["kind"], (Kind.CANCEL, Kind.REPLACE))
    waiting = [books.dormant(market) for market in range(MARKETS)]
    live = np.concatenate([books.all_orders(), *waiting])
    if len(live):
        past = some(rng, naming, min(0.9, 0.5 * len(live) / LIVE + 0.1))
        named = live[rng.integers(0, len(live), len(past))]
        rows["order_id"][past] = named["id"]
        for name in ("market", "account"):
            rows[name][past] = named[name]
        kept = past[rng.random(len(past)) < 0.5]
        rows["price"][kept] = named["price"][np.isin(past, kept)]
    present = np.flatnonzero(naming & (rows["order_id"] == 0))
    if len(new):
        # One of the last 300 new orders ahead of the message.
        back = np.searchsorted(new, present) - rng.integers(1, 300, len(present))
        named = rows[new[back.clip(0)]]
        rows["order_id"][present] = named["order_id"]
        for name in ("market", "account", "price"):
            rows[name][present] = named[name]


def put_odd_values(rng: np.random.Generator, rows: Rows) -> None:
    """Overwrite a little of each column with values at or beyond its bounds."""
    for name, share, values in (
        ("market", 0.002, [-2, -1, MARKETS, 2**31 - 1]),
        ("account", 0.001, [-1, 2**24]),
        ("side", 0.002, [2, 3, 255]),
        ("tif", 0.001, [3, 255]),
        ("flags", 0.002, [8, 16, 32, 96, 128, 255]),
        ("price", 0.002, [-1, 0, PRICE_MAX + 1, 2**62]),
        ("qty", 0.002, [-1, 0, QTY_MAX, QTY_MAX + 1, 2**63 - 1]),
        ("order_id", 0.002, [-1, 1, 2**40, 2**63 - 1]),
        ("display", 0.001, [-1, 2**63 - 1]),
        ("trigger", 0.001, [-1, 1, PRICE_MAX, PRICE_MAX + 1, 2**31 - 1]),
    ):
        hit = np.flatnonzero(rng.random(len(rows)) < share)
        rows[name][hit] = rng.choice(np.array(values), len(hit))


def settings(rng: np.random.Generator, time: int) -> Iterable[tuple[Any, ...]]:
    """Changes between two batches: of bands, breakers, phases, prices and modes."""
    yield "record_depth", bool(rng.random() < 0.3)
    yield (
        "set_self_trade",
        int(rng.integers(0, ACCOUNTS)),
        int(rng.integers(0, len(SelfTrade))),
    )
    for market in rng.integers(0, MARKETS, PER_BATCH).tolist():
        close = int(MIDS[market] + rng.integers(-9, 10))
        window = int(rng.choice([1, 1_000, 10**9]))
        phase = int(rng.choice(len(Phase), p=[0.6, 0.1, 0.3]))
        ppm = rng.choice([0, 0, 3_000, 60_000, 999_999], 2).tolist()
        stop = int(rng.choice([Phase.HALTED, Phase.CALL]))
        calls: list[tuple[Any, ...]] = [
            ("set_price_band", market, ppm[0]),
            ("set_reference", market, close if rng.random() < 0.3 else 0),
            ("set_last_price", market, close),
            ("set_trigger_price", market, Flag.TRIGGER_MARK, close, time),
            ("set_trigger_price", market, Flag.TRIGGER_INDEX, close + 3, time),
            ("set_circuit_breaker", market, ppm[1], window, stop),
            ("uncross", market, time),
            ("indicative", market),
        ]
        yield ("set_phase", market, phase, time)
        yield calls[int(rng.integers(0, len(calls)))]


def assert_all_or_nothing(rows: Rows, results: Rows) -> None:
    """A fill-or-kill order trades in full, or is no more than an id."""
    new = (rows["kind"] <= Kind.MARKET) & (rows["tif"] == TimeInForce.FOK)
    new &= (results["accepted"] == 1) & (results["open"] == 0)
    filled = results["filled"][new]
    assert ((filled == 0) | (filled == rows["qty"][new])).all()


def assert_same_tapes(both: Both) -> Rows:
    """Fills of the calls, events and changes of levels are equal; the events."""
    for name in ("take_fills", "take_deltas", "take_events"):
        a, b = (getattr(books, name)() for books in both)
        np.testing.assert_array_equal(a, b)
    return np.asarray(a)


def assert_same_state(both: Both) -> None:
    """Every view of the two books is equal."""
    for name in (
        "last_id",
        "live_orders",
        "dormant_orders",
        "trades",
        "traded_qty",
        "notional",
        "trade_hash",
    ):
        a, b = (getattr(books, name) for books in both)
        assert a == b, name
    for name, *arguments in (
        ("top",),
        ("all_orders",),
        ("depths", 3),
        ("depth_within", 20_000),
        ("account_orders", 7),
        *(("dormant", market) for market in range(MARKETS)),
    ):
        a, b = (getattr(books, name)(*arguments) for books in both)
        np.testing.assert_array_equal(a, b, err_msg=name)
    phases = [[books.phase(m) for m in range(MARKETS)] for books in both]
    assert phases[0] == phases[1]


def test_random_messages_give_the_same_on_both_books() -> None:
    """Answers, tapes and books are equal, in batches of 1 to 40,000 messages."""
    rng = np.random.default_rng(1)
    both = a, b = ReferenceBooks(), Books()
    for books in both:
        for _ in range(MARKETS):
            books.add_market()
        for account in range(ACCOUNTS):
            books.set_self_trade(account, account % len(SelfTrade))
    seen: set[int] = set()
    happened = np.zeros(len(EventKind), int)
    sent = 0
    while sent < TOTAL:
        for name, *arguments in settings(rng, sent):
            answers = [getattr(books, name)(*arguments) for books in both]
            assert answers[0] == answers[1], (name, arguments)
        n = min(TOTAL - sent, int(10 ** rng.uniform(0, 4.6)))
        rows = batch(rng, n, b, sent)
        sent += n
        (results_a, fills_a), (results_b, fills_b) = a.process(rows), b.process(rows)
        for i in np.flatnonzero(results_a != results_b)[:1]:
            assert results_a[i] == results_b[i], f"message {i}: {rows[i]}"
        np.testing.assert_array_equal(fills_a, fills_b)
        assert_all_or_nothing(rows, results_a)
        events = assert_same_tapes(both)
        if n > 3_000 or rng.random() < 0.1:
            assert_same_state(both)
        seen |= set(results_a["reason"].tolist()) | set(events["reason"].tolist())
        happened += np.bincount(events["kind"], minlength=len(EventKind))
    a._check()
    b._check()
    assert_same_state(both)
    # The stream is worth its time: it met every reason that a book alone can give.
    assert seen == set(Reason) - {
        Reason.INSUFFICIENT_MARGIN,
        Reason.ACCOUNT_REDUCE_ONLY,
    }
    assert (happened > TOTAL // 2_000).all(), happened
    assert a.trades > TOTAL // 20
    assert a.live_orders > 1_000
