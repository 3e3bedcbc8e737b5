"""Both order books, for tests that hold for either."""

from collections.abc import Callable

import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook.reference import ReferenceBooks


@pytest.fixture(params=[ReferenceBooks, Books], ids=["reference", "compiled"])
def make_books(request: pytest.FixtureRequest) -> Callable[..., ReferenceBooks]:
    """A function that makes books with the given number of empty markets."""

    def make(markets: int = 1) -> ReferenceBooks:
        books = request.param()
        for _ in range(markets):
            books.add_market()
        return books

    return make


@pytest.fixture
def books(make_books: Callable[..., ReferenceBooks]) -> ReferenceBooks:
    """One book engine with two empty markets."""
    return make_books(2)
