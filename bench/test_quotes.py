"""Quotes of market makers: what changed, compiled, beside whole ladders in NumPy.

    pytest bench/test_quotes.py --benchmark-only

Makers have 4 levels a side in 80 books each; each step the prices move by a normal
draw of ``move`` millionths. The compiled quotes judge all ``pairs`` of maker and book
against what rests and send what no longer fits, ``sent`` messages a pair; the books
then take them in ``book_us``. NumPy cancels and sends the whole ladder of each pair
that moved (``numpy_sent``, ``numpy_us``, ``numpy_book_us``). Times are microseconds a
pair, the best of the steps; ``ratio`` is NumPy's sum of both over ours.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.quotes import Quotes
from flashwick.orderbook.orders import Kind, Side, messages

PROFILES = {"smoke": (4, 3), "regular": (24, 40), "large": (48, 100)}
MAKERS, STEPS = PROFILES[os.environ.get("FLASHWICK_BENCH", "regular")]
BOOKS, MARKETS, FIRST, LEVELS = 80, 600, 5, 4


class Fleet:
    """Makers, their books, and prices that move."""

    def __init__(self, move: float) -> None:
        self.rng = np.random.default_rng(3)
        self.move = move * 1e-6
        hands = [np.sort(self.rng.permutation(MARKETS)[:BOOKS]) for _ in range(MAKERS)]
        self.column = np.concatenate(hands)
        self.maker = np.repeat(np.arange(MAKERS), BOOKS)
        self.pairs = len(self.column)
        self.usd = np.exp(self.rng.uniform(-5.0, 5.0, MARKETS))
        self.tick = 10.0 ** (np.floor(np.log10(self.usd)) - 4)
        self.lot = 10.0 ** np.floor(-np.log10(self.usd))
        self.distance = 5e-4 * 160.0 ** (np.arange(LEVELS) / (LEVELS - 1))
        self.size_usd = 10_000.0 * 1.6 ** np.arange(LEVELS)
        self.held = 1e6 / self.usd[self.column]
        self.ones = np.ones(self.pairs)
        self.books, self.plain_books = Books(), Books()
        for books in (self.books, self.plain_books):
            for _ in range(MARKETS):
                books.add_market()

    def quotes(self) -> Quotes:
        """Return the compiled quotes of the fleet."""
        quotes = Quotes(
            first=FIRST,
            maker=self.maker,
            column=self.column,
            markets=np.arange(MARKETS),
            distance=self.distance,
            size_usd=self.size_usd,
            scale=self.ones,
            limit_usd=1e6,
            skew=1e-3,
            tick=self.tick,
            lot=self.lot,
            spot=np.ones(MARKETS, np.bool_),
        )
        quotes.target[:] = self.held
        return quotes

    def step(self) -> None:
        """Move the prices."""
        self.usd = self.usd * (1.0 + self.move * self.rng.standard_normal(MARKETS))

    def resting(self) -> np.ndarray:
        """Return the makers' orders."""
        accounts = range(FIRST, FIRST + MAKERS)
        return np.concatenate([self.books.account_orders(a) for a in accounts])


class WholeLadders:
    """The same in NumPy: each pair quoted anew cancels all and sends all levels."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.quoted = np.full(fleet.pairs, np.nan)

    def quote(self) -> np.ndarray:
        """Return the messages of one step."""
        fleet = self.fleet
        usd = fleet.usd[fleet.column]
        stays = np.abs(usd / self.quoted - 1.0) <= 0.5 * fleet.distance[0]
        todo = np.flatnonzero(~stays)
        self.quoted[todo] = usd[todo]
        market, account = fleet.column[todo], FIRST + fleet.maker[todo]
        batch = messages(len(todo) * (1 + 2 * LEVELS)).reshape(len(todo), -1)
        batch["account"], batch["market"] = account[:, None], market[:, None]
        batch["kind"][:, 0], batch["side"][:, 0] = Kind.CANCEL_ALL, Side.BOTH
        qty = fleet.size_usd[None, :] / (usd[todo] * fleet.lot[market])[:, None]
        for side, away, levels in (
            (Side.BUY, -1.0, slice(1, 1 + LEVELS)),
            (Side.SELL, 1.0, slice(1 + LEVELS, None)),
        ):
            ticks = usd[todo, None] * (1.0 + away * fleet.distance)
            ticks /= fleet.tick[market][:, None]
            whole = np.floor(ticks) if side == Side.BUY else np.ceil(ticks)
            batch["side"][:, levels] = side
            batch["price"][:, levels] = np.maximum(whole, 1)
            batch["qty"][:, levels] = qty
        return batch.reshape(-1)


@pytest.mark.parametrize("move", [100, 400, 2000])
def test_quotes_of_what_changed(benchmark: Any, move: int) -> None:
    """One step: judge all pairs, send what no longer fits."""
    fleet = Fleet(move)
    quotes, plain = fleet.quotes(), WholeLadders(fleet)
    live = fleet.ones > 0
    sent: dict[str, int] = {}
    best: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = call()
        best[name] = min(best.get(name, np.inf), time.perf_counter() - start)
        return found

    def quote(usd: np.ndarray, orders: np.ndarray) -> np.ndarray:
        quotes.judge(usd, usd, fleet.held, fleet.ones, live, live)
        batch = quotes.requote(0, usd, orders)
        sent["ours"] = sent.get("ours", 0) + len(batch)
        batches.append(batch)
        return batch

    def setup() -> tuple[tuple[np.ndarray, np.ndarray], dict[str, Any]]:
        if batches:
            timed("book", lambda: fleet.books.process(batches.pop()))
        fleet.step()
        whole = timed("numpy", plain.quote)
        sent["numpy"] = sent.get("numpy", 0) + len(whole)
        timed("numpy_book", lambda: fleet.plain_books.process(whole))
        return (fleet.usd, fleet.resting()), {}

    batches: list[np.ndarray] = []
    fleet.books.process(quote(fleet.usd, fleet.resting()))
    fleet.plain_books.process(plain.quote())
    batches.clear()
    sent.clear()
    benchmark.pedantic(quote, setup=setup, rounds=STEPS)
    best["ours"] = benchmark.stats.stats.min
    us = {name: 1e6 * value / fleet.pairs for name, value in best.items()}
    benchmark.extra_info |= {
        "move": move,
        "pairs": fleet.pairs,
        "us": us["ours"],
        "book_us": us["book"],
        "numpy_us": us["numpy"],
        "numpy_book_us": us["numpy_book"],
        "sent": sent["ours"] / STEPS / fleet.pairs,
        "numpy_sent": sent["numpy"] / STEPS / fleet.pairs,
        "ratio": (us["numpy"] + us["numpy_book"]) / (us["ours"] + us["book"]),
    }
    assert sent["ours"] < sent["numpy"]
