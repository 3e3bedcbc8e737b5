"""What makers see, compiled: equal to the readable one, to the byte."""

from collections.abc import Callable
from typing import Any

import falls_model
import numpy as np
import pytest

from flashwick.cython_ext import falls

ROWS, BOOKS, MAKERS, PAIRS = 4, 5, 3, 40


Judge = Callable[..., Any]


def same(compiled: Judge, readable: Judge, *given: Any) -> Any:
    """The answer of both, which must be one, with what they wrote into the arrays."""
    told = []
    for how in (compiled, readable):
        own = [g.copy() if isinstance(g, np.ndarray) else g for g in given]
        answer = how(*own)
        parts = answer if isinstance(answer, tuple) else (answer,)
        written = [a for a in (*parts, *own) if isinstance(a, np.ndarray)]
        told.append(([(a.dtype, a.tobytes()) for a in written], answer))
    assert told[0][0] == told[1][0]
    return told[0][1]


def flags(draw: np.random.Generator, n: int, share: float = 0.5) -> np.ndarray:
    """So many, true with a share."""
    return draw.random(n) < share


def prices(draw: np.random.Generator, *shape: int) -> np.ndarray:
    """Around 100."""
    return 100.0 * np.exp(0.05 * draw.standard_normal(shape))


@pytest.mark.parametrize("seed", range(20))
def test_price_quoted_round_is_that_of_the_model(seed: int) -> None:
    """With bids or asks that are not there, and far apart."""
    draw = np.random.default_rng(seed)
    bid = prices(draw, 9) * flags(draw, 9, 0.8)
    ask = (bid + 10.0 ** draw.uniform(-9, 2, 9)) * flags(draw, 9, 0.8)
    middle = np.where((bid > 0) & (ask > 0), 0.5 * (bid + ask), 0.0)
    markets, venue = draw.permutation(9)[:BOOKS], prices(draw, BOOKS)
    for weight in (0.0, 0.7, 1.0):
        given = venue, markets, prices(draw, 9), middle, bid, ask, weight, 0.3, 0.08
        same(falls.quoted_round, falls_model.quoted_round, *given)


@pytest.mark.parametrize("seed", range(20))
def test_range_of_what_is_remembered_is_that_of_the_model(seed: int) -> None:
    """Also while rows are empty, and of books without a middle."""
    draw = np.random.default_rng(seed)
    fairs = np.full((ROWS, BOOKS), np.nan)
    middles, markets = fairs.copy(), draw.permutation(9)[:BOOKS]
    for row in range(2 * ROWS):
        middle = prices(draw, 9) * flags(draw, 9, 0.7)
        given = fairs, middles, row % ROWS, prices(draw, BOOKS), markets, middle
        same(falls.remembered, falls_model.remembered, *given)
        falls.remembered(*given)
    assert not np.isnan(fairs).any()


@pytest.mark.parametrize("seed", range(40))
def test_falls_are_judged_as_by_the_model(seed: int) -> None:
    """Since a return or not, with a limit at which to leave or none."""
    draw = np.random.default_rng(seed)
    wakes = int(draw.integers(1, 3 * ROWS))
    fairs, middles = prices(draw, ROWS, BOOKS), prices(draw, ROWS, BOOKS)
    fairs[wakes:] = middles[wakes:] = np.nan
    told = same(
        falls.judged,
        falls_model.judged,
        fairs,
        middles,
        wakes,
        draw.integers(0, MAKERS, PAIRS),
        draw.integers(0, BOOKS, PAIRS),
        np.where(flags(draw, PAIRS), -ROWS, draw.integers(0, wakes + 1, PAIRS)),
        flags(draw, PAIRS),
        flags(draw, PAIRS),
        flags(draw, MAKERS),
        flags(draw, MAKERS, 0.8),
        draw.uniform(0.01, 0.1, PAIRS),
        float(draw.choice([np.nan, 1.0, 1.5])),
    )
    assert (told[0] >= 0.0).all()


@pytest.mark.parametrize("seed", range(20))
def test_who_went_and_who_is_back_is_as_in_the_model(seed: int) -> None:
    """Nobody comes back in the wake in which its bids were taken away."""
    draw = np.random.default_rng(seed)
    calm, left = flags(draw, PAIRS), flags(draw, PAIRS)
    size, since = np.ones(PAIRS), np.full(PAIRS, -ROWS)
    wild, goes, quiet = (flags(draw, PAIRS) for _ in range(3))
    given = wild, goes, quiet, draw.random(PAIRS), 0.4, 0.25, 7
    same(falls.returned, falls_model.returned, calm, left, size, since, *given)
    falls.returned(calm, left, size, since, *given)
    assert not calm[wild].any()
    assert set(size[since == 7]) == {0.25}


@pytest.mark.parametrize("seed", range(20))
def test_what_pairs_quote_and_hold_is_that_of_the_model(seed: int) -> None:
    """Nothing where they have left; coins, or the position in a perpetual."""
    draw = np.random.default_rng(seed)
    maker = np.sort(draw.integers(0, MAKERS, PAIRS))
    column = draw.integers(0, BOOKS, PAIRS)
    pairs = draw.random(PAIRS), draw.random(BOOKS), flags(draw, PAIRS)
    makers = (flags(draw, MAKERS) for _ in range(3))
    given = maker, column, *pairs, flags(draw, PAIRS), *makers
    same(falls.quoting, falls_model.quoting, *given)
    lots, atoms = draw.integers(-(10**12), 10**12, (2, MAKERS, BOOKS))
    worth = draw.random(BOOKS), draw.random(BOOKS)
    swap = flags(draw, BOOKS)
    same(falls.held, falls_model.held, maker, column, swap, lots, atoms, *worth)


def test_arrays_of_another_kind_are_refused() -> None:
    """A size that does not fit, and numbers that are none."""
    pairs, fine = np.zeros(PAIRS, np.int64), np.ones(PAIRS, np.bool_)
    few, whole = np.ones(MAKERS, np.bool_), np.ones(PAIRS)
    for size, live in ((whole[1:], few), (whole, few.astype(float)), (pairs, few)):
        given = pairs, pairs, size, whole, fine, fine, few, few, live
        with pytest.raises(AssertionError):
            falls.quoting(*given)
