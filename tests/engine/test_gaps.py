"""Who trades where, compiled: equal to the readable one, to the byte."""

import pickle
from typing import Any

import gaps_model
import numpy as np
import pytest
from gaps_model import GapsModel

from flashwick.cython_ext import gaps
from flashwick.cython_ext.gaps import Gaps

MARKETS, ASSETS, COINS, DOLLAR = 30, 12, 7, 11


def told(answer: Any) -> Any:
    """Arrays as their bytes, however deep they lie."""
    if isinstance(answer, tuple):
        return [told(part) for part in answer]
    return answer.dtype, answer.tobytes()


class Desk:
    """Books of several coins, compiled and readable, with random holdings."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = np.random.default_rng(seed)
        size = draw.integers(2, 5, COINS)
        books = int(size.sum())
        base = np.repeat(np.arange(COINS), size)
        home = np.full(ASSETS, -1)
        home[draw.permutation(ASSETS)[:3]] = draw.integers(0, MARKETS, 3)
        given = (
            draw.permutation(MARKETS)[:books],
            base,
            draw.integers(COINS, ASSETS, books),
            draw.random(books) < 0.3,
            draw.choice([50.0, 100.0, 150.0], ASSETS),
            draw.choice([100.0, 500.0], ASSETS),
            np.cumsum(size) - size,
            home,
        )
        self.books, self.size = books, size
        self.both = Gaps(*given), GapsModel(*given)
        self.outside = self.near(ASSETS)
        self.bid, self.ask = self.quoted(), self.quoted()
        self.held = draw.choice([0.0, 100.0, 400.0, 1_000.0], ASSETS)
        self.target = self.held[draw.permutation(ASSETS)] / self.outside

    def near(self, n: int) -> np.ndarray:
        """Prices around 1, many alike."""
        return np.round(1.0 + 0.02 * self.draw.standard_normal(n), 2)

    def quoted(self) -> np.ndarray:
        """Prices of all markets, some of which have none."""
        return np.where(self.draw.random(MARKETS) < 0.8, self.near(MARKETS), 0.0)

    def same(self, method: str, *given: Any) -> Any:
        """The answer of both, which must be one, with all they wrote."""
        answers = []
        for of in self.both:
            own = [g.copy() if isinstance(g, np.ndarray) else g for g in given]
            answer = getattr(of, method)(*own)
            written = tuple(g for g in own if isinstance(g, np.ndarray))
            answers.append((told(answer), told(written), answer))
        assert answers[0][:2] == answers[1][:2]
        return answers[0][2]


@pytest.mark.parametrize("seed", range(60))
def test_gaps_to_the_market_outside_are_those_of_the_model(seed: int) -> None:
    """The same books in the same order, as far as the holdings go."""
    desk = Desk(seed)
    positions = 400.0 * desk.draw.standard_normal(desk.books)
    fair = desk.near(desk.books)
    given = desk.held, positions, fair, desk.bid, desk.ask, desk.near(MARKETS)
    found = sum(len(desk.same("outside", *given, each)[0]) for each in (0.0, 0.01))
    assert found > 0


@pytest.mark.parametrize("seed", range(60))
def test_gaps_between_books_are_those_of_the_model(seed: int) -> None:
    """The same coins, books and prices in the same order."""
    desk = Desk(seed)
    costs = desk.same("at_home", desk.ask, desk.outside)
    brings = desk.same("at_home", desk.bid, desk.outside)
    positions = 400.0 * desk.draw.standard_normal(desk.books)
    given = desk.held, positions, desk.bid, desk.ask, desk.near(MARKETS), costs, brings
    for threshold in (-0.02, 0.0, 0.01):
        desk.same("between", *given, threshold)


@pytest.mark.parametrize("sells", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_what_rests_and_is_made_good_is_that_of_the_model(
    seed: int, sells: bool
) -> None:
    """Own orders are nobody's, and what is made good is no longer held."""
    desk = Desk(seed)
    best, tick = desk.ask if sells else desk.bid, np.full(MARKETS, 0.01)
    resting = np.where(
        desk.draw.random(desk.books) < 0.3,
        np.rint(best[desk.both[1].markets] / 0.01),
        0.0,
    ).astype(np.int64)
    own, other = desk.near(ASSETS), desk.near(ASSETS)
    given = desk.held, desk.target, best, desk.outside, own, other, resting, tick
    desk.same("rests", sells, *given, 0.004)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_traded_back_is_that_of_the_model(seed: int) -> None:
    """Sold, or bought for as many dollars as there are."""
    desk = Desk(seed)
    given = desk.held, desk.target, desk.bid, desk.ask, desk.outside, DOLLAR
    desk.same("back", *given)


def test_copy_finds_the_same_gaps() -> None:
    """From what a kept run says of it."""
    desk = Desk(3)
    compiled, _ = desk.both
    positions, fair = np.zeros(desk.books), desk.near(desk.books)
    given = desk.held, positions, fair, desk.bid, desk.ask, desk.bid, 0.0
    copy = pickle.loads(pickle.dumps(compiled))
    assert told(copy.outside(*given)) == told(compiled.outside(*given))


@pytest.mark.parametrize("seed", range(30))
def test_hunters_notice_what_they_do_in_the_model(seed: int) -> None:
    """The cheap books, and of those with money left who has not noticed yet."""
    draw = np.random.default_rng(seed)
    last, fair = draw.uniform(0.5, 1.5, (2, MARKETS))
    due = np.where(draw.random((5, 8)) < 0.5, 99, draw.integers(0, 99, (5, 8)))
    markets = draw.permutation(MARKETS)[:8]
    given = markets, last, fair, 0.9, draw.uniform(0, 20, 5), 10.0, due, 99
    assert told(gaps.noticed(*given)) == told(gaps_model.noticed(*given))
