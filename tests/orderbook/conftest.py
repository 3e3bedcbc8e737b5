"""Both order books, for tests that hold for either."""

from collections.abc import Callable

import pytest

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import Side
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


@pytest.fixture
def deep(books: ReferenceBooks) -> ReferenceBooks:
    """Ten lots on each tick around 100, the last price, ids 1 to 20."""
    for tick in range(1, 11):
        books.limit(market=0, account=2, side=Side.BUY, price=100 - tick, qty=10)
        books.limit(market=0, account=2, side=Side.SELL, price=100 + tick, qty=10)
    books.set_last_price(0, 100)
    return books
