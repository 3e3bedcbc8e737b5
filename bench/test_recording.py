"""What recording costs: the log and the census of messages, and one sample.

    pytest bench/test_recording.py --benchmark-only

Times are of the processor. ``over`` is the ratio to the same without recording: to the
flow through an exchange whose log keeps nothing, and of a run to what is left of it.
"""

import os
import time
from collections.abc import Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import flashwick as fw
from flashwick.engine.census import Census
from flashwick.engine.chance import Stream
from flashwick.engine.config import Gateway as Settings
from flashwick.engine.config import Record
from flashwick.engine.events import EventLog
from flashwick.engine.gateway import Gateway
from flashwick.engine.record import Recorder
from flashwick.margin.prices import IndexRule

SIZES = {"smoke": (20, 8), "regular": (736, 64), "large": (736, 64)}
MARKETS, MAKERS = SIZES[os.environ.get("FLASHWICK_BENCH", "regular")]
BATCHES, PAIRS, LEVELS = 40, 400, 4
WATCHED = 16
PRICE = 1.0
RUN = {"large": "oct10"}.get(os.environ.get("FLASHWICK_BENCH", ""), "oct10-small")

pytestmark = pytest.mark.benchmark(timer=time.process_time)


class Nothing(EventLog):
    """A log that gives ids and keeps nothing."""

    def add_batch(
        self,
        messages: Any,
        results: Any,
        fills: Any,
        events: Any = None,
        cause: int = 0,
    ) -> int:
        """Count."""
        first = self.next_id + len(messages)
        self.next_id = first + len(fills)
        return first


def venue() -> tuple[fw.Exchange, NDArray[np.int64]]:
    """Many books, and makers that have every coin."""
    coins = [f"A{i}" for i in range(MARKETS)]
    oracles = {coin: IndexRule(policy="fixed", value=PRICE) for coin in coins}
    exchange = fw.Exchange([f"{coin}/USDT" for coin in coins], oracles=oracles)
    exchange.update_prices()
    amounts = dict.fromkeys(coins, 1e6) | {"USDT": 1e9}
    accounts = [exchange.open_account(amounts) for _ in range(MAKERS)]
    return exchange, np.array(accounts)


def flow(accounts: NDArray[np.int64]) -> list[NDArray[np.void]]:
    """Ladders that are cancelled and sent anew; now and then one takes."""
    rng = np.random.default_rng(7)
    size = 1 + 2 * LEVELS
    batches = []
    for k in range(BATCHES):
        rows = fw.messages(PAIRS * size)
        table = rows.reshape(PAIRS, size)
        table["account"] = rng.choice(accounts, PAIRS)[:, None]
        table["market"] = rng.integers(0, MARKETS, PAIRS)[:, None]
        table["kind"][:, 0], table["side"][:, 0] = fw.Kind.CANCEL_ALL, 2
        steps = np.arange(1, LEVELS + 1)
        table["price"][:, 1 : 1 + LEVELS] = 1000 - steps
        table["price"][:, 1 + LEVELS :] = 1000 + steps
        table["side"][:, 1 + LEVELS :] = 1
        table["qty"][:, 1:] = 100
        takers = rng.random(PAIRS) < 0.2
        table["price"][takers, 1] = 1001
        rows["time"] = np.arange(len(rows)) * 1000 + k * 10**9
        batches.append(rows)
    return batches


def log_of(kept: str) -> EventLog:
    """A log that keeps this, and has the messages counted if that is said."""
    if kept == "nothing":
        return Nothing()
    log = EventLog(traded=kept != "all")
    if "counted" in kept:
        log.watch(
            Census(
                watched=np.arange(min(WATCHED, MARKETS)),
                markets=MARKETS,
                classes=np.zeros(5 + MAKERS, np.uint8),
                makers=np.arange(5, 5 + MAKERS),
                start_ns=0,
                duration_ns=(BATCHES + 1) * 10**9,
            )
        )
    return log


@pytest.fixture(scope="module")
def processed() -> tuple[float, list[tuple[Any, Any, Any]]]:
    """Seconds of the flow without a log; its batches, their results and fills."""
    best = np.inf
    for _ in range(3):
        exchange, accounts = venue()
        exchange.log = exchange.prices.log = Nothing()
        batches = flow(accounts)
        start = time.process_time()
        found = [(batch, *exchange.process(batch)) for batch in batches]
        best = min(best, time.process_time() - start)
    return best, found


@pytest.mark.parametrize("kept", ["all", "traded", "traded and counted"])
def test_log(
    benchmark: Any, kept: str, processed: tuple[float, list[tuple[Any, Any, Any]]]
) -> None:
    """The log of messages that books and ledger have processed, in batches."""
    off, found = processed

    def run(log: EventLog) -> None:
        for batch in found:
            log.add_batch(*batch)
        log.settle()

    benchmark.pedantic(run, setup=lambda: ((log_of(kept),), {}), rounds=20)
    count = sum(len(batch) for batch, _, _ in found)
    taken = benchmark.stats.stats.min
    benchmark.extra_info.update(
        messages=count, ns_a_message=taken / count * 1e9, over=1.0 + taken / off
    )


@pytest.mark.parametrize("what", ["venue", "makers", "watched"])
def test_sample(benchmark: Any, what: str) -> None:
    """One sample of all books, of the makers, of the watched markets."""
    exchange, accounts = venue()
    for batch in flow(accounts):
        exchange.process(batch)
    names = exchange.markets[: min(WATCHED, MARKETS)]
    world: Any = SimpleNamespace(
        exchange=exchange,
        config=SimpleNamespace(record=Record(markets=names), duration=1.0),
        maker_accounts=accounts,
        account_classes=lambda: np.zeros(exchange.ledger.n_accounts, np.uint8),
        fair=np.full(MARKETS, PRICE),
        collateral_lost=lambda: np.zeros(MAKERS),
        maker_quoting=lambda: np.ones(MAKERS),
        gateway=SimpleNamespace(delay=lambda now: 0.0),
        channel=SimpleNamespace(open=True),
        exogenous_usd=0.0,
    )
    recorder = Recorder(world)
    benchmark(getattr(recorder, f"sample_{what}"), 0)
    benchmark.extra_info.update(markets=MARKETS, makers=MAKERS, watched=len(names))


def requotes() -> tuple[NDArray[np.void], list[NDArray[np.void]]]:
    """Ladders, then batches that move orders of them by a tick, as makers do."""
    rng = np.random.default_rng(11)
    exchange, accounts = venue()
    books = np.sort(rng.random((MAKERS, MARKETS)).argsort(axis=1)[:, :80], axis=1)
    steps = np.array([*range(-LEVELS, 0), *range(1, LEVELS + 1)])
    first = fw.messages(books.size * len(steps))
    table = first.reshape(*books.shape, len(steps))
    table["account"], table["market"] = accounts[:, None, None], books[:, :, None]
    table["price"], table["qty"] = 1000 + steps, 100
    table["side"] = steps > 0
    batches = [first]
    for k in range(BATCHES):
        exchange.process(batches[-1].copy())
        orders = exchange.books.orders_of(accounts)
        orders = orders[np.sort(rng.permutation(len(orders))[: PAIRS * 9])]
        rows = fw.messages(len(orders))
        for name in ("market", "account", "side", "price", "qty"):
            rows[name] = orders[name]
        rows["order_id"], rows["kind"] = orders["id"], fw.Kind.REPLACE
        rows["price"] += rng.choice([-1, 1], len(rows))
        rows["time"] = np.arange(len(rows)) * 1000 + (k + 1) * 10**9
        batches.append(rows)
    return first, batches[1:]


@pytest.mark.parametrize("kept", ["nothing", "traded and counted"])
def test_messages_through(benchmark: Any, kept: str) -> None:
    """Orders of makers moved through gateway, margin check, books, ledger and log."""
    first, batches = requotes()

    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        exchange, _ = venue()
        exchange.process(first.copy())
        exchange.log = exchange.prices.log = log_of(kept)
        gateway = Gateway(Settings(rate=1e9), lambda name: Stream(0, name))
        return (exchange, gateway, [batch.copy() for batch in batches]), {}

    def run(exchange: fw.Exchange, gateway: Gateway, batches: Any) -> None:
        for k, batch in enumerate(batches):
            gateway.send("makers.a", batch, k * 10**9)
            exchange.process(gateway.due((k + 1) * 10**9))
        exchange.log.settle()

    benchmark.pedantic(run, setup=fresh, rounds=15)
    count = sum(map(len, batches))
    taken = benchmark.stats.stats.min
    benchmark.extra_info.update(
        messages=count,
        ns_a_message=taken / count * 1e9,
        million_messages_per_s=count / taken * 1e-6,
    )


RECORDING = {
    EventLog: ("add", "add_many", "add_batch", "note_call", "settle"),
    Recorder: ("sample_venue", "sample_makers", "sample_watched", "series"),
}
"""All that a run does to be told of."""


class Meter:
    """Seconds of the processor within some methods, those within others once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._within = False

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, measured."""

        @wraps(method)
        def measured(*arguments: Any, **options: Any) -> Any:
            if self._within:
                return method(*arguments, **options)
            self._within, start = True, time.process_time()
            try:
                return method(*arguments, **options)
            finally:
                self.seconds += time.process_time() - start
                self._within = False

        return measured


def test_recording_of_a_run(benchmark: Any, monkeypatch: Any) -> None:
    """Log, census and samples within a whole run, as its file asks for them."""
    scenario, meter = fw.load(RUN), Meter()
    for owner, names in RECORDING.items():
        for name in names:
            monkeypatch.setattr(owner, name, meter.around(getattr(owner, name)))
    run = benchmark.pedantic(scenario.run, kwargs={"seed": 0}, rounds=1)
    whole = benchmark.stats.stats.max
    benchmark.extra_info.update(
        messages=run.log.sent,
        ns_a_message=meter.seconds / run.log.sent * 1e9,
        over=whole / (whole - meter.seconds),
    )
