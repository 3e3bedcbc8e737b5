"""Best prices, limits in ticks and what lies within them, as the words say it."""

from math import ceil, floor, isnan, nan

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.cython_ext import repricing

MARKETS = 3
ticks = st.sampled_from([1e-5, 0.001, 0.1, 2.5])
prices = st.floats(1e-6, 1e6) | st.just(nan) | st.just(0.0)


def row(column: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    """One for each market."""
    return st.lists(column, min_size=MARKETS, max_size=MARKETS)


@given(
    st.lists(st.lists(st.integers(-1, 9), min_size=5, max_size=5), max_size=4),
    st.data(),
)
@settings(max_examples=100, phases=UNTRACED)
def test_best_prices_are_those_of_the_books(
    top: list[list[int]], data: st.DataObject
) -> None:
    """Bid, ask and last trade; where there is none, what was asked for."""
    tick = data.draw(st.lists(ticks, min_size=len(top), max_size=len(top)))
    none = data.draw(st.sampled_from([0.0, -1.0]))
    found = repricing.best(np.array(top, np.int64).reshape(-1, 5), np.array(tick), none)
    for column, prices in zip((0, 2, 4), found, strict=True):
        expected = [
            book[column] * size if book[column] > 0 else none
            for book, size in zip(top, tick, strict=True)
        ]
        assert prices.tolist() == expected


@given(st.lists(row(prices), max_size=4), row(ticks), st.booleans())
@settings(max_examples=100, phases=UNTRACED)
def test_limits_are_whole_ticks(
    rows: list[list[float]], tick: list[float], up: bool
) -> None:
    """Rounded up or down, row after row; no price is no limit."""
    to = ceil if up else floor
    expected = [
        0 if isnan(price) else to(price / size)
        for prices in rows
        for price, size in zip(prices, tick, strict=True)
    ]
    given_ = np.array(rows, np.float64).reshape(-1, MARKETS)
    assert repricing.limits(given_, np.array(tick), up).tolist() == expected


@given(
    st.lists(row(st.tuples(st.integers(0, 99), st.integers(0, 10**9))), max_size=4),
    row(ticks),
    row(ticks),
    row(st.sampled_from([1.0, 0.98, 4_000.0, nan])),
)
@settings(max_examples=100, phases=UNTRACED)
def test_what_lies_within_limits_is_worth_its_dollars(
    rows: list[list[tuple[int, int]]],
    tick: list[float],
    lot: list[float],
    usd: list[float],
) -> None:
    """Ticks times lots; nothing without a limit, or without a price of the quote."""
    cells = [
        (limit, volume, m) for row in rows for m, (limit, volume) in enumerate(row)
    ]
    volume = np.array([(0, volume) for _, volume, _ in cells], np.int64).reshape(-1, 2)
    found = repricing.worth(
        volume,
        np.array([limit for limit, _, _ in cells], np.int64),
        np.array(tick),
        np.array(lot),
        np.array(usd),
    )
    expected = [
        volume * tick[m] * lot[m] * usd[m] if limit > 0 and not isnan(usd[m]) else 0.0
        for limit, volume, m in cells
    ]
    assert found.shape == (len(rows), MARKETS)
    assert found.ravel().tolist() == expected


def test_nothing_is_worth_nothing_where_there_is_no_market() -> None:
    """One row without columns, as without limits."""
    none = np.zeros(0)
    found = repricing.worth(
        np.zeros((0, 2), np.int64), np.zeros(0, np.int64), none, none, none
    )
    assert found.shape == (1, 0)
