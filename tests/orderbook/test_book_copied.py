"""Books are copied with everything in them, and go on apart to the same trades."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import (
    Flag,
    Kind,
    Phase,
    SelfTrade,
    TimeInForce,
    messages,
)

MARKETS, ACCOUNTS = 3, 40


def stream(seed: int, n: int) -> np.ndarray:
    """Orders of every kind: icebergs, stops, replacements, cancels, far prices."""
    rng = np.random.default_rng(seed)
    batch = messages(n)
    batch["market"] = rng.integers(0, MARKETS, n)
    batch["account"] = rng.integers(0, ACCOUNTS, n)
    batch["side"] = rng.integers(0, 2, n)
    batch["qty"] = rng.integers(1, 100, n)
    batch["price"] = rng.integers(900, 1_100, n) * rng.choice([1, 1, 1, 50_000], n)
    batch["time"] = np.arange(n)
    kind = rng.choice([Kind.LIMIT, Kind.LIMIT, Kind.LIMIT, Kind.MARKET, Kind.CANCEL], n)
    batch["kind"] = kind
    batch["tif"][kind == Kind.MARKET] = TimeInForce.IOC
    batch["price"][kind == Kind.MARKET] = 0
    cancel = kind == Kind.CANCEL
    batch["order_id"][cancel] = rng.integers(1, n, int(cancel.sum()))
    iceberg = (kind == Kind.LIMIT) & (rng.random(n) < 0.2)
    batch["display"][iceberg] = 5
    stop = (kind == Kind.LIMIT) & ~iceberg & (rng.random(n) < 0.2)
    batch["trigger"][stop] = rng.integers(900, 1_100, int(stop.sum()))
    batch["flags"][stop & (rng.random(n) < 0.3)] = Flag.TRIGGER_MARK
    return batch


def busy(seed: int) -> Books:
    """Books with all that they can have."""
    books = Books()
    for market in range(MARKETS):
        books.add_market()
        books.set_price_band(market, 900_000)
    books.set_self_trade(7, SelfTrade.CANCEL_OLDEST)
    books.set_circuit_breaker(2, 500_000, 50, Phase.CALL)
    books.record_depth(True)
    books.process(stream(seed, 4_000))
    books.set_trigger_price(0, Flag.TRIGGER_MARK, 1_000)
    return books


def shown(books: Books) -> tuple[Any, ...]:
    """All that can be seen of books."""
    books._check()
    waiting = [books.dormant(market).tobytes() for market in range(MARKETS)]
    phases = [books.phase(market) for market in range(MARKETS)]
    told = books.top().tobytes(), books.all_orders().tobytes(), waiting, phases
    numbers = books.trades, books.trade_hash, books.last_id, books.notional
    return told, numbers, books.live_orders, books.dormant_orders


def copies(books: Books) -> list[Books]:
    """Copies by every way there is."""
    apart: list[pickle.PickleBuffer] = []
    text = pickle.dumps(books, 5, buffer_callback=apart.append)
    return [
        pickle.loads(text, buffers=apart),
        pickle.loads(pickle.dumps(books, 5)),
        pickle.loads(pickle.dumps(books, 2)),
        copy.copy(books),
        copy.deepcopy(books),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_books_go_on_to_the_same_trades(seed: int) -> None:
    """Levels, queues, icebergs, stops, breakers, tapes and counters are carried."""
    books = busy(seed)
    found = copies(books)
    before = shown(books)
    assert books.dormant_orders > 0
    for other in found:
        assert shown(other) == before
    more = stream(seed + 100, 3_000)
    results = [one.process(more) for one in (books, *found)]
    for result, fills in results[1:]:
        assert result.tobytes() == results[0][0].tobytes()
        assert fills.tobytes() == results[0][1].tobytes()
    ends = [
        (shown(one), one.take_events().tobytes(), one.take_deltas().tobytes())
        for one in (books, *found)
    ]
    assert all(end == ends[0] for end in ends)


def test_a_copy_is_left_alone_by_what_the_other_does() -> None:
    """Each has memory of its own."""
    books = busy(1)
    before = shown(books)
    other = pickle.loads(pickle.dumps(books, 5))
    other.process(stream(9, 2_000))
    assert shown(books) == before
    del other
    assert shown(books) == before


def test_empty_books_are_copied() -> None:
    """Without a market, and with one that has nothing."""
    for books in (Books(), Books()):
        assert copy.copy(books).n_markets == books.n_markets
        books.add_market()
        assert copy.copy(books).best(0) == books.best(0)


def test_a_state_of_another_layout_is_refused() -> None:
    """Too short, too long, or with an array of another length."""
    kind, arguments, (memory, large, things) = busy(2).__reduce_ex__(5)
    wrong = [
        (memory[:-1], large, things),
        (memory + b"x", large, things),
        (memory, [b"" for _ in large], things),
        (memory, [*large, b""], things),
    ]
    for state in wrong:
        with pytest.raises(ValueError, match="of another layout"):
            kind(*arguments).__setstate__(state)
