"""The order book as a readable specification.

``flashwick.cython_ext.book.Books`` is the fast book with the same methods. The tests
hold the two equal message by message, so a question about matching is answered by
``matching.py``; this module holds what goes in and out.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ladder import Order, within
from .matching import ACCOUNT_MAX, PPM, Market, Matching, Message
from .orders import (
    ALL_MARKETS,
    FILL,
    MESSAGE,
    ORDER,
    PRICE_MAX,
    RESULT,
    Kind,
    SelfTrade,
    Side,
    TimeInForce,
)


class ReferenceBooks(Matching):
    """Order books of any number of markets, written to be read.

    Accounts and markets are small integers, prices ticks, quantities lots. An optional
    listener knows positions and balances: it vets new orders and hears of every change.

    >>> books = ReferenceBooks()
    >>> market = books.add_market()
    >>> books.limit(market, 7, side=1, price=101, qty=5)
    1
    >>> books.market(market, 8, side=0, qty=2)
    2
    >>> books.order(1), books.take_fills()["price"].tolist()
    ((0, 7, 1, 101, 3), [101])
    """

    # -- MARKETS

    def add_market(self) -> int:
        """Open an empty market and return its number."""
        self._markets.append(Market())
        return len(self._markets) - 1

    def set_price_band(self, market: int, ppm: int) -> None:
        """Let no trade print as far as ``ppm`` millionths from the reference."""
        if not 0 <= ppm <= PPM:
            raise ValueError(f"'ppm' must be from 0 to {PPM:,} (got {ppm}).")
        self._known(market).band_ppm = ppm

    def set_reference(self, market: int, price: int) -> None:
        """Set the middle of the price band in ticks; 0 means the last price."""
        if not 0 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 0 to {PRICE_MAX} (got {price}).")
        self._known(market).reference = price

    def set_last_price(self, market: int, price: int) -> None:
        """Set the last price in ticks, as if a trade had printed there."""
        if not 1 <= price <= PRICE_MAX:
            raise ValueError(f"'price' must be from 1 to {PRICE_MAX} (got {price}).")
        self._known(market).last = price

    def set_halted(self, market: int, halted: bool) -> None:
        """Halt the market (only cancels pass) or open it again."""
        self._known(market).halted = halted

    def set_self_trade(self, account: int, mode: int) -> None:
        """Choose what happens when the account would trade with itself (SelfTrade)."""
        if not 0 <= account <= ACCOUNT_MAX:
            raise ValueError(
                f"'account' must be from 0 to {ACCOUNT_MAX} (got {account})."
            )
        if mode not in list(SelfTrade):
            raise ValueError(f"'mode' must be a SelfTrade from 0 to 4 (got {mode}).")
        self._self_trade[account] = mode

    # -- COMMANDS

    def process(
        self, messages: NDArray[np.void]
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Apply a batch; return one RESULT row a message, and the fills it made."""
        if messages.dtype != MESSAGE:
            raise TypeError(
                f"'messages' must be of dtype MESSAGE (got {messages.dtype})."
            )
        waiting, self._fills = self._fills, []
        rows = [
            self._apply(Message._make(values), row)
            for row, values in enumerate(messages.tolist())
        ]
        fills, self._fills = self.take_fills(), waiting
        return _table(rows, RESULT), fills

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
        """Send a limit order; its id, or minus the reason it was refused for."""
        return self._call(
            Message(
                kind=Kind.LIMIT,
                market=market,
                account=account,
                side=side,
                price=price,
                qty=qty,
                tif=tif,
                flags=flags,
                cause=cause,
                time=time,
            )
        )

    def market(
        self,
        market: int,
        account: int,
        side: int,
        qty: int,
        protection: int = 0,
        flags: int = 0,
        cause: int = 0,
        time: int = 0,
    ) -> int:
        """Send a market order; its id, or minus the reason it was refused for."""
        return self._call(
            Message(
                kind=Kind.MARKET,
                market=market,
                account=account,
                side=side,
                price=protection,
                qty=qty,
                tif=TimeInForce.IOC,
                flags=flags,
                cause=cause,
                time=time,
            )
        )

    def cancel(self, market: int, account: int, order_id: int) -> int:
        """Cancel one order; the lots that were open, or minus the reason."""
        return self._call(
            Message(kind=Kind.CANCEL, market=market, account=account, order_id=order_id)
        )

    def cancel_all(
        self, account: int, market: int = ALL_MARKETS, side: int = Side.BOTH
    ) -> int:
        """Cancel the account's orders; how many they were, or minus the reason."""
        return self._call(
            Message(kind=Kind.CANCEL_ALL, market=market, account=account, side=side)
        )

    def replace(
        self, market: int, account: int, order_id: int, price: int, qty: int
    ) -> int:
        """Give an order a new price and open quantity; its id, or minus the reason."""
        return self._call(
            Message(
                kind=Kind.REPLACE,
                market=market,
                account=account,
                order_id=order_id,
                price=price,
                qty=qty,
            )
        )

    def take_fills(self) -> NDArray[np.void]:
        """Hand over, once, the fills of the single calls since the last time."""
        fills, self._fills = self._fills, []
        return _table(fills, FILL)

    def _call(self, message: Message) -> int:
        # A single call answers with one number where a batch has a row.
        result = self._apply(message, 0)
        if not result.accepted:
            return -result.reason
        if message.kind in (Kind.CANCEL, Kind.CANCEL_ALL):
            return result.cancelled
        return result.order_id

    # -- QUERIES

    @property
    def n_markets(self) -> int:
        """Number of markets."""
        return len(self._markets)

    @property
    def live_orders(self) -> int:
        """Number of resting orders."""
        return len(self._live)

    def best(self, market: int) -> tuple[int, int]:
        """Best bid and best ask in ticks, 0 for an empty side."""
        bids, asks = self._known(market).sides
        return bids.best, asks.best

    def last_price(self, market: int) -> int:
        """Price of the last trade in ticks, 0 before the first."""
        return self._known(market).last

    def top(self) -> NDArray[np.int64]:
        """Bid, its lots, ask, its lots and last price: one row a market."""
        rows = []
        for book in self._markets:
            bid, ask = (next(ladder.depth(), (0, 0)) for ladder in book.sides)
            rows.append((*bid, *ask, book.last))
        return np.array(rows, np.int64).reshape(-1, 5)

    def depth(
        self, market: int, side: int, levels: int = -1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Prices and lots of the best ``levels`` levels, all of them for -1."""
        table = list(self._ladder(market, side).depth())
        if levels >= 0:
            del table[levels:]
        prices, lots = np.array(table, np.int64).reshape(-1, 2).T
        return prices, lots

    def orders(self, market: int, side: int) -> NDArray[np.void]:
        """Resting orders of a side: best level first, queue order inside a level."""
        return _orders(self._ladder(market, side))

    def account_orders(self, account: int) -> NDArray[np.void]:
        """Resting orders of an account in every market, ascending id."""
        own = (order for order in self._live.values() if order.account == account)
        return _orders(sorted(own, key=attrgetter("id")))

    def order(self, order_id: int) -> tuple[int, int, int, int, int] | None:
        """Market, account, side, price and open lots of a resting order, or None."""
        order = self._live.get(order_id)
        if order is None:
            return None
        return order.market, order.account, order.side, order.price, order.open

    def volume_within(
        self, side: int, limits: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Lots, and price times lots, at the limit or better: one row a market."""
        if len(limits) != self.n_markets:
            raise ValueError(
                f"'limits' must hold {self.n_markets} prices (got {len(limits)})."
            )
        rows = np.zeros((self.n_markets, 2), np.int64)
        for market, limit in enumerate(limits):
            for price, lots in self._ladder(market, side).depth():
                if within(1 - side, price, limit):
                    rows[market] += lots, price * lots
        return rows

    def sweep(self, market: int, side: int, qty: int) -> tuple[int, int, int]:
        """Lots, price times lots and worst price that a taker would get now."""
        filled = notional = worst = 0
        for price, lots in self._ladder(market, 1 - side).depth():
            if filled >= qty:
                break
            lots = min(lots, qty - filled)
            filled, notional, worst = filled + lots, notional + price * lots, price
        return filled, notional, worst

    def _check(self) -> None:
        """Assert every invariant.  O(live orders); the tests call it often."""
        resting = []
        for number, book in enumerate(self._markets):
            bids, asks = book.sides
            # Orders that could trade never rest.
            assert not bids.best or not asks.best or bids.best < asks.best
            for ladder in book.sides:
                ladder._check()
                for order in ladder:
                    assert order.market == number
                    resting.append(order)
        # Every resting order is known by its id, and nothing else is.
        assert len(resting) == len(self._live)
        for order in resting:
            assert self._live[order.id] is order
            assert 1 <= order.id <= self.last_id
            assert 0 <= order.account <= ACCOUNT_MAX


def _table(
    rows: Sequence[tuple[Any, ...]], dtype: np.dtype[np.void]
) -> NDArray[np.void]:
    # Column by column, which leaves the padding zero.
    table = np.zeros(len(rows), dtype)
    for name, column in zip(dtype.names or (), zip(*rows, strict=True), strict=False):
        table[name] = column
    return table


def _orders(orders: Iterable[Order]) -> NDArray[np.void]:
    names = (*(ORDER.names or ())[:-1],)
    fields = attrgetter(*("open" if name == "qty" else name for name in names))
    return _table([fields(order) for order in orders], ORDER)
