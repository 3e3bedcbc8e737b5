"""Two million-message flows end in the books that seven independent engines agree on.

The engines, among them the fastest open-source ones, got the same messages; what is
compared is their trade count, volumes, a hash over all trades in order, and the book
that is left.
"""

from typing import Any

import numpy as np
import pytest
import workloads
from book_state import state
from numpy.typing import NDArray
from workloads import Workload

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import Kind, Side, TimeInForce
from flashwick.orderbook.reference import ReferenceBooks

EXPECTED: dict[str, dict[str, dict[str, int]]] = {
    "steady": {
        "flow": {
            "messages": 1_000_000,
            "prefill": 25_000,
            "limit": 510_965,
            "cancel": 418_805,
            "market": 20_009,
            "replace": 50_221,
            "ioc": 9_985,
            "price_min": 454_694,
            "price_max": 545_045,
            "levels_swept_max": 23,
        },
        "prefilled": {
            "trades": 0,
            "traded_qty": 0,
            "notional": 0,
            "trade_hash": 0xCBF29CE484222325,
            "bid": 499_999,
            "ask": 500_001,
            "bid_qty": 1_966,
            "ask_qty": 3_226,
            "live_orders": 25_000,
            "bid_levels": 2_349,
            "ask_levels": 2_409,
            "open_qty": 1_088_527,
            "state_sum": 0x00017643D28F2D0A,
            "last_id": 25_000,
        },
        "final": {
            "trades": 110_493,
            "traded_qty": 2_876_576,
            "notional": 1_437_928_253_273,
            "trade_hash": 0x02B88BF72C72D872,
            "bid": 499_763,
            "ask": 499_766,
            "bid_qty": 15,
            "ask_qty": 30,
            "live_orders": 24_200,
            "bid_levels": 2_500,
            "ask_levels": 2_485,
            "open_qty": 1_072_890,
            "state_sum": 0x002D9CA679AEC0AF,
            "last_id": 555_974,
        },
    },
    "cascade": {
        "flow": {
            "messages": 1_000_000,
            "prefill": 60_000,
            "limit": 545_291,
            "cancel": 425_876,
            "market": 14_686,
            "replace": 14_147,
            "ioc": 173,
            "price_min": 1_007,
            "price_max": 999_994,
            "levels_swept_max": 797,
        },
        "prefilled": {
            "trades": 0,
            "traded_qty": 0,
            "notional": 0,
            "trade_hash": 0xCBF29CE484222325,
            "bid": 899_999,
            "ask": 900_001,
            "bid_qty": 1,
            "ask_qty": 1_580,
            "live_orders": 60_000,
            "bid_levels": 19_668,
            "ask_levels": 13_249,
            "open_qty": 2_653_144,
            "state_sum": 0x0007D0782F16CC26,
            "last_id": 60_000,
        },
        "final": {
            "trades": 143_049,
            "traded_qty": 5_668_337,
            "notional": 3_840_453_033_848,
            "trade_hash": 0x569BDD8AA1AEA598,
            "bid": 681_253,
            "ask": 681_265,
            "bid_qty": 84,
            "ask_qty": 58,
            "live_orders": 50_461,
            "bid_levels": 15_902,
            "ask_levels": 19_472,
            "open_qty": 2_228_755,
            "state_sum": 0x0050DDCBEBF77484,
            "last_id": 619_977,
        },
    },
}


@pytest.fixture(scope="module", params=EXPECTED)
def workload(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Workload:
    """A flow, kept between runs if pytest has its cache."""
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("workloads") if cache else tmp_path_factory.mktemp("flow")
    return workloads.stored(request.param, folder)


def one_market(kind: type) -> Any:
    """A book engine with one market."""
    books = kind()
    books.add_market()
    return books


def run(books: Books, batch: NDArray[np.void], size: int) -> None:
    """Process the rows in batches of ``size``; every one is accepted."""
    for i in range(0, len(batch), size):
        results, _ = books.process(batch[i : i + size])
        assert results["accepted"].all()


def summary(books: Books) -> dict[str, int]:
    """The numbers that the engines publish of a book."""
    both = np.concatenate([books.orders(0, side) for side in (Side.BUY, Side.SELL)])
    rows = {name: both[name].astype(np.uint64) for name in both.dtype.names[:-1]}
    state_sum = (
        rows["id"] * np.uint64(1_000_003)
        + rows["price"] * np.uint64(7_919)
        + rows["qty"] * np.uint64(31)
        + rows["side"]
    ).sum()
    bid, bid_qty, ask, ask_qty, _ = books.top()[0].tolist()
    return {
        "trades": books.trades,
        "traded_qty": books.traded_qty,
        "notional": books.notional,
        "trade_hash": books.trade_hash,
        "bid": bid,
        "ask": ask,
        "bid_qty": bid_qty,
        "ask_qty": ask_qty,
        "live_orders": books.live_orders,
        "bid_levels": len(books.depth(0, Side.BUY)[0]),
        "ask_levels": len(books.depth(0, Side.SELL)[0]),
        "open_qty": int(both["qty"].sum()),
        "state_sum": int(state_sum),
        "last_id": books.last_id,
    }


def test_the_flow_is_the_published_one(workload: Workload) -> None:
    """Messages of each kind, the range of prices, and the deepest sweep."""
    timed, prefill = workload.messages, workload.prefill
    kinds = np.bincount(timed["kind"], minlength=len(Kind)).tolist()
    limits = timed[timed["kind"] == Kind.LIMIT]
    asked = np.concatenate([timed["price"][timed["price"] > 0], prefill["price"]])
    assert {
        "messages": len(timed),
        "prefill": len(prefill),
        "limit": kinds[Kind.LIMIT],
        "cancel": kinds[Kind.CANCEL],
        "market": kinds[Kind.MARKET],
        "replace": kinds[Kind.REPLACE],
        "ioc": int((limits["tif"] == TimeInForce.IOC).sum()),
        "price_min": int(asked.min()),
        "price_max": int(asked.max()),
        "levels_swept_max": workload.levels_swept_max,
    } == EXPECTED[workload.name]["flow"]


@pytest.mark.parametrize("size", [1_000_000, 997])
def test_the_compiled_book_ends_where_seven_engines_end(
    workload: Workload, size: int
) -> None:
    """Trades in order, volumes and the final queues, in one batch or in a thousand."""
    expected = EXPECTED[workload.name]
    books = one_market(Books)
    run(books, workload.prefill, size)
    assert summary(books) == expected["prefilled"]
    run(books, workload.messages, size)
    assert summary(books) == expected["final"]
    books._check()


def test_both_books_agree_on_the_beginning_of_the_flow(workload: Workload) -> None:
    """After the prefill and 50,000 messages they are equal, order by order."""
    books = [one_market(kind) for kind in (ReferenceBooks, Books)]
    for batch in workload.prefill, workload.messages[:50_000]:
        (results_a, fills_a), (results_b, fills_b) = (b.process(batch) for b in books)
        np.testing.assert_array_equal(results_a, results_b)
        np.testing.assert_array_equal(fills_a, fills_b)
    assert state(books[0]) == state(books[1])
    assert books[0].trades > 1_000
