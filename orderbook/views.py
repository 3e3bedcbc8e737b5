"""What can be seen of the books.  Nothing here changes them."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import require_whole, require_wholes
from .ladder import Order, within
from .market import PPM
from .messages import ACCOUNT_MAX
from .orders import ORDER, Phase, Side
from .resting import Resting
from .stops import Stop

INT64_MAX = 2**63 - 1

Integers = NDArray[np.int64]
Wholes = Sequence[int] | Integers
PerMarket = Wholes  # one each


class Views(Resting):
    """Questions about one market, and about all of them at once.

    Lots are those shown, unless it says open. Price times lots is capped at 2**63 - 1.
    """

    # -- COUNTS

    @property
    def n_markets(self) -> int:
        """Number of markets."""
        return len(self._markets)

    @property
    def live_orders(self) -> int:
        """Number of resting orders."""
        return len(self._live)

    @property
    def dormant_orders(self) -> int:
        """Number of orders that wait for a trigger."""
        return len(self._dormant)

    # -- ONE MARKET

    def phase(self, market: int) -> int:
        """What the market does with orders (Phase)."""
        return int(self._known(market).phase)

    def indicative(self, market: int) -> tuple[int, int, int]:
        """Price and lots of an auction held now, and the lots left over at the price.

        These are positive on the buying side and negative on the selling; all is zero
        where nothing would trade. Reduce-only orders count in full.
        """
        return self._known(market).clearing()

    def best(self, market: int) -> tuple[int, int]:
        """Best bid and best ask in ticks, 0 for an empty side."""
        bids, asks = self._known(market).sides
        return bids.best, asks.best

    def last_price(self, market: int) -> int:
        """Price of the last trade in ticks, 0 before the first."""
        return self._known(market).last

    def depth(
        self, market: int, side: int, levels: int = -1
    ) -> tuple[Integers, Integers]:
        """Prices and lots of the best ``levels`` levels, all of them for -1."""
        table = list(self._ladder(market, side).depth())
        levels = require_whole("levels", levels)
        if levels < -1:
            raise ValueError(f"'levels' must be >= 0, or -1 for all (got {levels}).")
        if levels >= 0:
            del table[levels:]
        prices, lots = np.array(table, np.int64).reshape(-1, 2).T
        return prices, lots

    def orders(self, market: int, side: int) -> NDArray[np.void]:
        """Resting orders of a side: best level first, queue order inside a level."""
        return _rows(self._ladder(market, side))

    def dormant(self, market: int) -> NDArray[np.void]:
        """Orders that wait for a trigger, those for a fall first, then for a rise.

        Of those for a fall the highest trigger comes first, of those for a rise the
        lowest, then the oldest: the order in which one move would set them off.
        """
        return _rows(self._known(market).stops)

    def sweep(self, market: int, side: int, qty: int) -> tuple[int, int, int]:
        """Lots, price times lots and worst price that a taker would get now."""
        self._ladder(market, side)  # which names a wrong side
        other, qty = 1 - require_whole("side", side), require_whole("qty", qty)
        filled = notional = worst = 0
        for price, lots in self._ladder(market, other).depth():
            if filled >= qty:
                break
            lots = min(lots, qty - filled)
            filled, notional, worst = filled + lots, notional + price * lots, price
        return filled, notional, worst

    # -- ORDERS

    def order(self, order_id: int) -> tuple[int, int, int, int, int] | None:
        """Market, account, side, price and open lots of an order, or None.

        The order rests or is dormant; the price of a market order that waits is the
        worst it takes, 0 for any.
        """
        order_id = require_whole("order_id", order_id)
        if order_id in self._dormant:
            waits = self._dormant[order_id].message
            return waits.market, waits.account, waits.side, waits.price, waits.qty
        order = self._live.get(order_id)
        if order is None:
            return None
        return order.market, order.account, order.side, order.price, order.open

    def account_orders(self, account: int) -> NDArray[np.void]:
        """Orders of an account in every market, dormant ones too, ascending id."""
        account = require_whole("account", account, 0, ACCOUNT_MAX)
        own = sorted(order_id for order_id, _ in self._orders_of(account))
        every = self._live | self._dormant
        return _rows(every[order_id] for order_id in own)

    def orders_of(self, accounts: Wholes) -> NDArray[np.void]:
        """Orders of these accounts, one after another, as `account_orders` has them."""
        numbers = require_wholes("accounts", accounts).tolist()
        return np.concatenate(
            [_rows([]), *(self.account_orders(account) for account in numbers)]
        )

    def queue_positions(self, order_ids: Wholes) -> Integers:
        """Orders, and their lots, that trade before each of these at its price.

        One row an id, -1 and -1 for one that does not rest. O(orders ahead).
        """
        ids = require_wholes("order_ids", order_ids)
        rows = np.full((len(ids), 2), -1, np.int64)
        for row, order_id in zip(rows, ids.tolist(), strict=True):
            order = self._live.get(order_id)
            if order is not None:
                row[:] = self._ladder(order.market, order.side).ahead_of(order)
        return rows

    # -- ALL MARKETS

    def top(self) -> Integers:
        """Bid, its lots, ask, its lots and last price: one row a market."""
        rows = []
        for book in self._markets:
            bid, ask = (next(ladder.depth(), (0, 0)) for ladder in book.sides)
            rows.append((*bid, *ask, book.last))
        return np.array(rows, np.int64).reshape(-1, 5)

    def depths(self, levels: int) -> Integers:
        """Prices and lots of the best levels of each side, zeros behind the last.

        The array is (markets, 2, levels, 2).
        """
        levels = require_whole("levels", levels)
        if levels < 0:
            raise ValueError(f"'levels' must be >= 0 (got {levels}).")
        out = np.zeros((self.n_markets, 2, levels, 2), np.int64)
        for market, book in enumerate(self._markets):
            for side, ladder in enumerate(book.sides):
                for level, row in enumerate(islice(ladder.depth(), levels)):
                    out[market, side, level] = row
        return out

    def all_orders(self) -> NDArray[np.void]:
        """Resting orders by market and side, each in the order of `orders`."""
        return _rows(
            order for book in self._markets for ladder in book.sides for order in ladder
        )

    def volume_at(self, side: int, prices: PerMarket) -> Integers:
        """Lots at one price of each market."""
        found = [
            self._ladder(market, side).shown_at(price)
            for market, price in self._one_each("prices", prices)
        ]
        return np.array(found, np.int64)

    def volume_within(
        self, side: int, limits: PerMarket, markets: Wholes | None = None
    ) -> Integers:
        """Lots, and price times lots, at the limit or better: one row a market.

        Of all markets, or of ``markets``, with a limit for each.
        """
        named = range(self.n_markets) if markets is None else markets
        which = require_wholes("markets", named).tolist()
        rows = [
            _volume(self._ladder(which[i], side).depth(), side, limit)
            for i, limit in self._one_each("limits", limits, len(which))
        ]
        return np.array(rows, np.int64).reshape(-1, 2)

    def depth_within(self, ppm: int) -> Integers:
        """Lots, and price times lots, within ``ppm`` millionths of the middle price.

        The middle is halfway from best bid to best ask; without both there is none,
        and zeros. The array is (markets, 2, 2): market, side, figure.
        """
        ppm = require_ppm(ppm)
        out = np.zeros((self.n_markets, 2, 2), np.int64)
        for rows, book in zip(out, self._markets, strict=True):
            bids, asks = book.sides
            if bids.best and asks.best:
                twice = bids.best + asks.best
                lowest = -(-twice * (PPM - ppm) // (2 * PPM))
                highest = twice * (PPM + ppm) // (2 * PPM)
                rows[Side.BUY] = _volume(bids.depth(), Side.BUY, lowest)
                rows[Side.SELL] = _volume(asks.depth(), Side.SELL, highest)
        return out

    def sweeps(self, side: int, qtys: PerMarket) -> Integers:
        """Lots, price times lots and worst price of a taker in each market."""
        wanted = self._one_each("qtys", qtys)
        rows = [self.sweep(market, side, qty) for market, qty in wanted]
        capped = [(lots, min(worth, INT64_MAX), worst) for lots, worth, worst in rows]
        return np.array(capped, np.int64).reshape(-1, 3)

    def _one_each(
        self, name: str, values: PerMarket, markets: int | None = None
    ) -> Iterable[tuple[int, int]]:
        """Each market and its value."""
        found = require_wholes(name, values)
        if markets is None:
            markets = self.n_markets
        if len(found) != markets:
            what = "quantities" if name == "qtys" else "prices"
            raise ValueError(f"'{name}' must hold {markets} {what} (got {len(found)}).")
        return enumerate(found.tolist())

    # -- CHECKS

    def _check(self) -> None:
        """Assert every invariant.  O(orders); the tests call it often."""
        resting: list[Order] = []
        waiting: list[Stop] = []
        assert not self._before
        for number, book in enumerate(self._markets):
            # Only an auction lets orders rest that could trade.
            assert book.phase != Phase.OPEN or not book.crossed
            for ladder in book.sides:
                ladder._check()
                assert all(order.market == number for order in ladder)
                resting += ladder
            book.stops._check(book.phase == Phase.OPEN)
            assert all(stop.message.market == number for stop in book.stops)
            waiting += book.stops
        # Every order is known by its id, as what it is, and nothing else is.
        assert {order.id: order for order in resting} == self._live
        assert {stop.message.order_id: stop for stop in waiting} == self._dormant
        assert len(resting) + len(waiting) == len(self._live | self._dormant)
        assert all(1 <= order_id <= self.last_id for order_id in self._live)
        assert all(1 <= order_id <= self.last_id for order_id in self._dormant)


def require_ppm(ppm: int) -> int:
    """Return millionths of a price as an int; ValueError if they are more than all."""
    share = require_whole("ppm", ppm)
    if not 0 <= share <= PPM:
        raise ValueError(f"'ppm' must be from 0 to {PPM:,} (got {share}).")
    return share


def table(
    rows: Sequence[tuple[Any, ...]], dtype: np.dtype[np.void]
) -> NDArray[np.void]:
    """Rows as an array of that layout, its padding zero."""
    out = np.zeros(len(rows), dtype)
    for name, column in zip(dtype.names or (), zip(*rows, strict=True), strict=False):
        out[name] = column
    return out


def _volume(depth: Iterable[tuple[int, int]], side: int, limit: int) -> tuple[int, int]:
    # Lots, and price times lots, of the levels at the limit or better.
    lots = worth = 0
    for price, shown in depth:
        if not within(1 - side, price, limit):
            break
        lots, worth = lots + shown, worth + price * shown
    return lots, min(worth, INT64_MAX)


def _rows(orders: Iterable[Order | Stop]) -> NDArray[np.void]:
    return table([_row(order) for order in orders], ORDER)


def _row(order: Order | Stop) -> tuple[int, ...]:
    # Field by field as in ``orders.ORDER``.
    if isinstance(order, Order):
        return (
            order.id,
            order.price,
            order.shown,
            order.hidden,
            order.market,
            order.account,
            0,
            order.side,
            order.flags,
        )
    waits = order.message
    return (
        waits.order_id,
        waits.price,
        waits.qty,
        0,
        waits.market,
        waits.account,
        waits.trigger,
        waits.side,
        waits.flags,
    )
