"""Mark prices of perpetuals: by policy, by market, and over time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit, market
from flashwick.margin.markets import MarketSpec
from flashwick.margin.marks import (
    MarkBoard,
    MarkRule,
    decay,
    hyperliquid_mark,
    mark_price,
)
from flashwick.margin.presets import RulesError


def test_the_mark_is_the_median_of_three_prices() -> None:
    """Funding, basis and last trade each decide when they are in the middle."""
    assert mark_price(100.0, 0.01, 0.5, 2.0, 90.0) == pytest.approx(100.5)
    assert mark_price(100.0, 0.01, 0.5, 0.2, 90.0) == pytest.approx(100.2)
    assert mark_price(100.0, 0.01, 0.5, 2.0, 101.0) == 101.0


def marks(prices: MarkBoard, second: int, mid: float, last: float) -> float:
    """The mark of a single market with index 100 and no funding."""
    found = prices.update(
        second * 10**9,
        index=np.array([100.0]),
        bid=np.array([mid]),
        ask=np.array([mid]),
        last=np.array([last]),
        funding_rate=0.0,
        time_fraction=0.5,
    )
    prices._check()
    return float(found[0])


def test_the_basis_is_sampled_every_five_seconds_for_150_seconds() -> None:
    """A mid between two samples goes unseen; 30 samples later one is forgotten."""
    prices = MarkBoard(1)
    assert marks(prices, 0, 110.0, 200.0) == 110.0
    assert marks(prices, 4, 500.0, 200.0) == 110.0
    assert marks(prices, 5, 130.0, 200.0) == 120.0
    for second in range(10, 150, 5):
        marks(prices, second, 100.0, 200.0)
    assert prices.mark[0] == pytest.approx(100.0 + 40.0 / 30)
    assert marks(prices, 150, 100.0, 200.0) == pytest.approx(101.0)
    assert marks(prices, 155, 100.0, 200.0) == 100.0


def test_an_empty_side_of_the_book_gives_no_sample() -> None:
    """The mean is over the samples there are; without a trade the index stands in."""
    prices = MarkBoard(1)
    assert marks(prices, 0, math.nan, 0.0) == 100.0
    assert marks(prices, 5, 0.0, math.nan) == 100.0
    assert marks(prices, 10, 110.0, 200.0) == 110.0
    assert marks(prices, 15, math.nan, 200.0) == 110.0


@given(st.lists(st.tuples(*[st.floats(1.0, 1e5)] * 3), min_size=1, max_size=40))
def test_the_board_gives_each_market_its_own_mark(
    rows: list[tuple[float, float, float]],
) -> None:
    """All markets at once, one by one, and the single formula agree."""
    index, mid, last = np.array(rows).T
    funding = np.linspace(-0.02, 0.02, len(rows))
    found = MarkBoard(len(rows)).update(
        0,
        index=index,
        bid=mid,
        ask=mid,
        last=last,
        funding_rate=funding,
        time_fraction=0.25,
    )
    expected = [
        mark_price(*each)
        for each in zip(
            index, funding, np.full(len(rows), 0.25), mid - index, last, strict=True
        )
    ]
    assert found.tolist() == expected


# -- OTHER POLICIES


def hyperliquid(
    board: MarkBoard, second: float, mid: float, last: float, elsewhere: float
) -> float:
    """The mark of a single market with oracle 100."""
    found = board.update(
        int(second * 1e9),
        index=np.array([100.0]),
        bid=np.array([mid]),
        ask=np.array([mid]),
        last=np.array([last]),
        elsewhere=np.array([elsewhere]),
    )
    board._check()
    return float(found[0])


def test_hyperliquid_marks_by_the_oracle_the_book_and_other_venues() -> None:
    """The median of three; a single print decides nothing."""
    board = MarkBoard(1, MarkRule(policy="hyperliquid"))
    assert hyperliquid(board, 0, 101.0, 50.0, 100.5) == 101.0
    assert hyperliquid(board, 1, 100.0, 50.0, 100.25) == pytest.approx(100.25)
    assert hyperliquid(board, 2, 20.0, 20.0, 100.25) == pytest.approx(
        100.0 + (decay(2, 150) - 80.0) / (decay(2, 150) + decay(1, 150) + 1.0)
    )


def test_the_exponential_basis_forgets_with_its_time_constant() -> None:
    """After a basis of 10 for long and none for one time constant, a part is left."""
    board = MarkBoard(1, MarkRule(policy="hyperliquid"))
    for second in range(3_000):
        hyperliquid(board, second, 110.0, 110.0, 1e9)
    for second in range(3_000, 3_150):
        left = hyperliquid(board, second, 100.0, 100.0, 1e9) - 100.0
    assert left == pytest.approx(10.0 * math.exp(-1.0), rel=0.01)


def test_without_other_venues_the_index_stands_in() -> None:
    """Missing, 0 or not a number: the basis and the index, whatever the book does."""
    for missing in (math.nan, 0.0):
        board = MarkBoard(1, MarkRule(policy="hyperliquid"))
        assert hyperliquid(board, 0, 90.0, 91.0, missing) == pytest.approx(90.0)
        assert hyperliquid(board, 1, 110.0, 110.0, missing) == pytest.approx(
            100.0 + (10.0 - 10.0 * decay(1, 150)) / (1.0 + decay(1, 150))
        )
        assert hyperliquid(board, 2, math.nan, 1.0, missing) > 99.9


@pytest.mark.parametrize("wait", [0, 1, 10])
@pytest.mark.parametrize("quoted", [False, True])
def test_one_trade_in_an_empty_book_does_not_move_the_mark(
    wait: int, quoted: bool
) -> None:
    """A thousandth of a coin at a price of 1, whatever was quoted before."""
    exchange = Exchange(
        [MarketSpec.define("BTC/USDC:PERP", tick="0.1", lot="0.001")], "hyperliquid"
    )
    exchange.reprice({"BTC": 100_000.0})
    buyer, seller = (exchange.open_account({"USDC": 1e6}) for _ in range(2))
    name, second = "BTC/USDC:PERP", 1_000_000_000
    if quoted:
        exchange.submit(limit(buyer, name, "buy", 99_990, 1))
        exchange.submit(limit(buyer, name, "sell", 100_010, 1))
        for _ in range(60):
            exchange.now += second
            exchange.update_prices()
        for row in exchange.open_orders(buyer):
            exchange.cancel(int(row["order_id"]))
    exchange.now += wait * second
    exchange.submit(limit(buyer, name, "buy", 1, 0.001))
    assert exchange.submit(market(seller, name, "sell", 0.001)).filled == 0.001
    for _ in range(40):
        exchange.update_prices()
        assert exchange.mark[0] == pytest.approx(100_000.0)
        exchange.now += second


@pytest.mark.parametrize(("policy", "mark"), [("index", 100.0), ("last", 80.0)])
def test_a_mark_may_be_one_price_alone(policy: str, mark: float) -> None:
    """The index or the last trade, whatever the book says."""
    board = MarkBoard(1, MarkRule(policy=policy))
    assert hyperliquid(board, 0, 95.0, 80.0, 99.0) == mark
    assert hyperliquid(board, 0, 95.0, math.nan, 99.0) == 100.0


def test_an_unknown_policy_of_marks_is_refused() -> None:
    """With the nearest right word."""
    with pytest.raises(RulesError, match="did you mean 'hyperliquid'"):
        MarkRule(policy="hyperliqid")


@given(st.floats(0.0, 1e5), st.floats(0.1, 1e4))
def test_the_decay_is_that_of_the_exponential_function(
    seconds: float, lasting: float
) -> None:
    """To some 1e-12 of itself, as far as it matters."""
    expected = math.exp(-min(seconds / lasting, 700.0))
    assert decay(seconds, lasting) == pytest.approx(expected, rel=1e-12)


@given(*[st.floats(1.0, 1e6)] * 6)
def test_the_mark_of_hyperliquid_is_within_its_three_prices(
    oracle: float, basis: float, bid: float, ask: float, last: float, elsewhere: float
) -> None:
    """Whatever they are."""
    mark = hyperliquid_mark(
        oracle=oracle, basis=basis, bid=bid, ask=ask, last=last, elsewhere=elsewhere
    )
    three = [oracle + basis, sorted((bid, ask, last))[1], elsewhere]
    assert min(three) <= mark <= max(three)
    assert mark in three
