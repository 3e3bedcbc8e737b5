"""Order books rebuilt from recorded data, and what the recording lets one verify."""

from fractions import Fraction
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import Books
from . import clock
from .book_state import BookState
from .errors import DataError
from .orders import TimeInForce

MAKER, TAKER = 0, 1
"""Accounts: of every resting order, and of every execution."""


class AnyBooks(Protocol):
    """The methods of an order book that a replay needs; both books have them."""

    def add_market(self) -> int:
        """Open a market."""

    def limit(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty: int,
        tif: int = 0,
        flags: int = 0,
        cause: int = 0,
        time: int = 0,
    ) -> int:
        """Send a limit order."""

    def cancel(self, market: int, account: int, order_id: int) -> int:
        """Cancel an order."""

    def cancel_all(self, account: int, market: int = -1) -> int:
        """Cancel all orders of a market."""

    def replace(
        self, market: int, account: int, order_id: int, price: int, qty: int
    ) -> int:
        """Change an order."""

    def take_fills(self) -> NDArray[np.void]:
        """Hand over the fills since the last time."""

    def order(self, order_id: int) -> tuple[int, ...] | None:
        """A resting order: market, account, side, price, open lots."""

    def best(self, market: int) -> tuple[int, int]:
        """Best bid and ask."""

    def orders(self, market: int, side: int) -> NDArray[np.void]:
        """Resting orders, in the order in which they trade."""

    def depth(
        self, market: int, side: int, levels: int = -1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The best levels."""


# -- WHAT A REPLAY FINDS


@attrs.define
class Check:
    """Something that the source lets one verify, and how often it held."""

    what: str
    required: bool = True  # whether a replay with a miss has failed
    matched: int = 0
    total: int = 0
    first_miss: str = ""  # place, what must be, what came

    def add(self, holds: bool) -> bool:
        """Count one more; return whether it is the first miss, to be described."""
        self.total += 1
        self.matched += holds
        return not holds and not self.first_miss

    def add_apart(self, best: tuple[int, int], place: str) -> None:
        """Count whether the best bid is below the best ask; 0 is no price."""
        bid, ask = best
        if self.add(not 0 < ask <= bid):
            how = "locked" if bid == ask else "crossed"
            self.first_miss = f"{place}: {how}, bid {bid} and ask {ask}"

    @property
    def missed(self) -> int:
        """How often it did not hold."""
        return self.total - self.matched


@attrs.frozen
class Findings:
    """How far a recording agrees with what came out when it was replayed."""

    rows: int
    """Messages or lines read."""
    kinds: dict[str, int]
    """Messages of each kind."""
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all that is required matched."""
        return not any(check.required and check.missed for check in self.checks)

    def check(self, what: str) -> Check:
        """The check whose description begins so; LookupError if there is none."""
        for check in self.checks:
            if check.what.startswith(what):
                return check
        listed = ", ".join(repr(check.what) for check in self.checks)
        raise LookupError(f"no check begins with {what!r} ({listed})")


@attrs.frozen
class Replay(Findings):
    """A recording of other venues' books, replayed."""

    books: "dict[str, RecordedBook]"
    """The market, or each stock by its name, as it was after the last message."""
    tick: Fraction
    """Price step, quote units."""
    lot: Fraction
    """Quantity step, base units."""

    def state(self, name: str) -> BookState:
        """The book after the last message, as market ``name``, BASE/QUOTE.

        Where a file has several stocks, BASE chooses one; LookupError without it.
        `DataError` for a book that nobody knows since messages went missing.
        """
        base = name.partition("/")[0]
        if len(self.books) == 1:
            (book,) = self.books.values()
        elif base in self.books:
            book = self.books[base]
        else:
            raise LookupError(
                f"'name' must begin with one of {', '.join(self.books)} (got {name!r})"
            )
        if book.lost:
            earlier = (
                f"replay until {clock.text(book.time)} or earlier with 'until', or "
            )
            raise DataError(
                f"{name}: the book must be known (got none since {book.lost}, a gap "
                f"that no snapshot ended): {earlier if book.time else ''}"
                "add a snapshot behind the gap"
            )
        return book.state(name, self.tick, self.lot)


# -- THE BOOK


class RecordedBook:
    """One market as its venue recorded it, in books of ours.

    Each side has a market of its own: a recording may be crossed, whether by an auction
    or by a fault, and must then show as it is rather than trade. What was executed goes
    through the matching engine if it was the turn of the order that is named.
    """

    def __init__(self, books: AnyBooks | None = None) -> None:
        self.books = Books() if books is None else books
        self.markets = self.books.add_market(), self.books.add_market()
        self.added = 0  # orders that messages told of, which a reader counts
        self.last = 0
        self.time = 0  # of the last message told while the book was known
        self.lost = ""  # the place from which on it is not known; "": it is
        self.emptied: tuple[int, int] | None = None  # side, price
        self._queues: dict[tuple[int, int], dict[int, None]] = {}

    def clear(self) -> None:
        """Take everything out."""
        for market in self.markets:
            self.books.cancel_all(MAKER, market)
        self._queues = {}

    def add(self, side: int, price: int, qty: int) -> int:
        """Rest an order at the end of its queue; return its id.

        OverflowError if a side of the book would hold more lots than it can.
        """
        order_id = self.books.limit(self.markets[side], MAKER, side, price, qty)
        if order_id < 0:
            raise OverflowError(f"a side of the book cannot hold {qty:,} lots more")
        self._queues.setdefault((side, price), {})[order_id] = None
        return order_id

    def open(self, order_id: int) -> int:
        """Lots of an order that rest, 0 if it does not."""
        order = self.books.order(order_id) if order_id else None
        return 0 if order is None else order[4]

    def execute(self, order_id: int, qty: int, time: int) -> bool:
        """Trade lots of a resting order; return whether it was its turn.

        It was if the order is first in the queue of the best price. Now and then it is
        not, on the exchange itself: then its lots just go.
        """
        order = self.books.order(order_id)
        assert order is not None
        _, _, side, price, left, *_ = order
        self.last = price
        queue, market = self._queues[side, price], self.markets[side]
        turn = self.books.best(market)[side] == price and next(iter(queue)) == order_id
        if not turn:
            self.reduce(order_id, qty)
            return False
        self.books.limit(
            market, TAKER, 1 - side, price, min(qty, left), TimeInForce.IOC, time=time
        )
        (maker,) = self.books.take_fills()["maker_order"].tolist()
        assert maker == order_id
        self._forget(order_id, side, price)
        return True

    def reduce(self, order_id: int, qty: int) -> None:
        """Take lots off a resting order, which keeps its place; all of it if fewer."""
        order = self.books.order(order_id)
        assert order is not None
        _, _, side, price, left, *_ = order
        if left > qty:
            self.books.replace(self.markets[side], MAKER, order_id, price, left - qty)
        else:
            self.books.cancel(self.markets[side], MAKER, order_id)
            self._forget(order_id, side, price)

    def merge(self, side: int, price: int) -> int:
        """Make one order of all that rest at a level; return its id."""
        queue = self._queues[side, price]
        first, *others = queue
        if not others:
            return first
        lots = sum(map(self.open, queue))
        for order_id in queue:
            self.books.cancel(self.markets[side], MAKER, order_id)
        del self._queues[side, price]
        return self.add(side, price, lots)

    def set_level(self, side: int, price: int, qty: int) -> None:
        """Let a level be one order of so many lots, 0 for none: a source of levels."""
        queue = self._queues.get((side, price))
        if queue is None:
            if qty:
                self.add(side, price, qty)
            return
        (order_id,) = queue
        if qty:
            market = self.markets[side]
            if self.books.replace(market, MAKER, order_id, price, qty) < 0:
                raise OverflowError(f"a side of the book cannot hold {qty:,} lots")
        else:
            self.books.cancel(self.markets[side], MAKER, order_id)
            self._forget(order_id, side, price)

    def _forget(self, order_id: int, side: int, price: int) -> None:
        # Note that an order is gone, if it is.
        if self.books.order(order_id) is None:
            queue = self._queues[side, price]
            del queue[order_id]
            if not queue:
                del self._queues[side, price]
                self.emptied = side, price

    # -- QUERIES

    def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks, 0 for none; the bid may be the higher one."""
        bids, asks = self.markets
        return self.books.best(bids)[0], self.books.best(asks)[1]

    def depth(self, side: int, n: int = -1) -> tuple[list[int], list[int]]:
        """Prices and lots of the best ``n`` levels of a side, all by default."""
        prices, lots = self.books.depth(self.markets[side], side, n)
        return prices.tolist(), lots.tolist()

    def state(self, name: str, tick: Fraction, lot: Fraction) -> BookState:
        """The book as a `BookState`, with the largest lot that fits.  O(orders)."""
        bids, asks = (
            np.column_stack([rows["price"], rows["qty"]])
            for rows in (self.books.orders(self.markets[side], side) for side in (0, 1))
        )
        while lot < 1 and not any((rows[:, 1] % 10).any() for rows in (bids, asks)):
            lot *= 10
            bids[:, 1] //= 10
            asks[:, 1] //= 10
        return BookState(
            name=name,
            tick=tick,
            lot=lot,
            bids=bids,
            asks=asks,
            last=self.last,
            time=self.time,
        )
