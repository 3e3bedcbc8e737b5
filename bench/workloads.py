"""Two order flows of a million messages: a steady market, and one that falls and rises.

The draws, their order and the rules that turn them into messages are those of a
workload on which seven independent matching engines agree trade by trade, so the
numbers of ``tests/orderbook/test_workloads.py`` say whether a book is right. The book
that answers while the flow is written is the compiled one.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from zlib import crc32

import attrs
import numpy as np
from numpy.typing import NDArray

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import MESSAGE, Kind, Side, TimeInForce, messages

ACCOUNTS = 1_000
"""Order ``i`` belongs to account ``i % ACCOUNTS``."""

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC = TimeInForce.GTC, TimeInForce.IOC
QTY_MAX = 4_000_000_000


@attrs.frozen
class Workload:
    """Messages for market 0: those that build the book, then those to be timed."""

    name: str
    prefill: NDArray[np.void]
    messages: NDArray[np.void]
    levels_swept_max: int
    """Most levels that one message emptied."""


@cache
def _log_of_going_on(mean: float) -> float:
    return float(np.log(1.0 - 1.0 / mean))


class Flow:
    """Writes messages, and watches in a live book what becomes of them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.draw: Callable[[], float] = self._uniforms().__next__
        self.books = Books()
        self.books.add_market()
        self.rows: list[tuple[int, ...]] = []
        self.live: tuple[list[int], list[int]] = ([], [])  # ids by side, to choose from
        self.bids: dict[int, dict[int, None]] = {}  # price -> ids in queue order
        self.levels_swept_max = 0
        self._trades = 0
        self._place: dict[int, tuple[int, int]] = {}  # id -> side, index in `live`
        self._price: dict[int, int] = {}

    # -- CHANCE

    def _uniforms(self) -> Iterator[float]:
        while True:
            yield from self.rng.random(1 << 16).tolist()

    def geometric(self, mean: float) -> int:
        """A distance of ``mean`` ticks on average, most often 0."""
        return int(np.log(1.0 - self.draw()) / _log_of_going_on(mean))

    def size(self, mean: float = 40.0) -> int:
        """Lots with a heavy tail."""
        tail = (1.0 / (1.0 - self.draw() * 0.9999)) ** 0.55
        return 1 + int(min(20_000.0, mean * tail * self.draw()))

    def coin(self) -> int:
        """Either side."""
        return int(self.draw() < 0.5)

    def pick(self, side: int) -> int:
        """Any live order of a side."""
        live = self.live[side]
        return live[int(self.draw() * len(live))]

    # -- MESSAGES

    def limit(self, side: int, qty: int, price: int, tif: int = GTC) -> None:
        """Send a new limit order."""
        account = (self.books.last_id + 1) % ACCOUNTS
        self.rows.append((Kind.LIMIT, side, tif, qty, price, 0, account))
        order_id = self.books.limit(0, account, side, price, qty, tif)
        self._watch(side)
        if tif == GTC and self.books.order(order_id) is not None:
            self._place[order_id] = side, len(self.live[side])
            self.live[side].append(order_id)
            self._queue(order_id, side, price)

    def market(self, side: int, qty: int) -> None:
        """Send a market order."""
        account = (self.books.last_id + 1) % ACCOUNTS
        self.rows.append((Kind.MARKET, side, IOC, qty, 0, 0, account))
        self.books.market(0, account, side, qty)
        self._watch(side)

    def cancel(self, order_id: int) -> None:
        """Cancel a live order."""
        account = order_id % ACCOUNTS
        self.rows.append((Kind.CANCEL, 0, 0, 0, 0, order_id, account))
        self.books.cancel(0, account, order_id)
        self._forget(order_id)

    def replace(self, order_id: int, qty: int, price: int) -> None:
        """Move a live order to the back of the level of ``price``, never crossing."""
        account = order_id % ACCOUNTS
        self.rows.append((Kind.REPLACE, 0, 0, qty, price, order_id, account))
        self.books.replace(0, account, order_id, price, qty)
        self._unqueue(order_id)
        self._queue(order_id, self._place[order_id][0], price)

    def cut(self) -> NDArray[np.void]:
        """The messages since the last cut."""
        batch = messages(len(self.rows))
        names = ("kind", "side", "tif", "qty", "price", "order_id", "account")
        for name, column in zip(names, zip(*self.rows, strict=True), strict=True):
            batch[name] = column
        self.rows = []
        assert batch.dtype == MESSAGE
        return batch

    # -- THE BOOK

    def price(self, order_id: int) -> int:
        """Price of a live order."""
        return self._price[order_id]

    def open(self, order_id: int) -> int:
        """Open lots of a live order."""
        order = self.books.order(order_id)
        assert order is not None
        return order[4]

    def _watch(self, side: int) -> None:
        # Forget the makers that a taker of this side has filled.
        if self.books.trades == self._trades:
            return
        self._trades = self.books.trades
        fills = self.books.take_fills()
        *filled, last = fills["maker_order"].tolist()
        for order_id in filled:
            self._forget(order_id)
        if self.books.order(last) is None:
            self._forget(last)
        prices = fills["price"].tolist()
        standing = self.books.best(0)[1 - side] == prices[-1]
        swept = len(dict.fromkeys(prices)) - standing
        self.levels_swept_max = max(self.levels_swept_max, swept)

    def _forget(self, order_id: int) -> None:
        # The last id of the list takes the place of the one that goes.
        side, index = self._place.pop(order_id)
        live = self.live[side]
        moved = live.pop()
        if moved != order_id:
            live[index] = moved
            self._place[moved] = side, index
        self._unqueue(order_id)

    def _queue(self, order_id: int, side: int, price: int) -> None:
        self._price[order_id] = price
        if side == BUY:
            self.bids.setdefault(price, {})[order_id] = None

    def _unqueue(self, order_id: int) -> None:
        queue = self.bids.get(self._price.pop(order_id))
        if queue is not None:
            queue.pop(order_id, None)


# -- STEADY


STANDING = 25_000
"""Resting orders of the steady flow on which the other engines agree."""


def steady(
    n: int = 1_000_000, standing: int = STANDING, seed: int = 20_251_010
) -> Workload:
    """Makers, takers, cancels and replaces around a price that drifts.

    More standing orders, at least 200, lie on as many more ticks: a taker meets the
    same levels.
    """
    flow = Flow(seed)
    draw, books = flow.draw, flow.books
    wide = standing / STANDING
    middle = max(500_000, int(500_000 * wide))
    for _ in range(standing):
        side, away = flow.coin(), _steady_distance(flow, wide)
        price = middle - away if side == BUY else middle + away
        flow.limit(side, flow.size(), price)
    prefill = flow.cut()
    drift = 0.0
    for i in range(n):
        if i % 2_000 == 0:
            drift = 0.9 * drift + 0.04 * flow.rng.standard_normal()
        bid, ask = books.best(0)
        bid = bid or (ask or middle) - 2
        ask = ask or bid + 2
        live = len(flow.live[BUY]) + len(flow.live[SELL])
        # More new orders when there are few, fewer when there are many.
        lack = max(-1.0, min(1.0, (standing - live) / (0.2 * standing)))
        x = draw()
        if x < 0.05:
            _steady_taker(flow, drift, bid, ask)
        elif x < 0.10:
            _steady_replace(flow, bid, ask, wide)
        elif x < 0.10 + (0.47 + 0.10 * lack):
            side, away = flow.coin(), _steady_distance(flow, wide)
            price = ask - away if side == BUY else bid + away
            flow.limit(side, flow.size(), max(1, price))
        else:
            k = int(draw() * live)
            bids = len(flow.live[BUY])
            flow.cancel(flow.live[BUY][k] if k < bids else flow.live[SELL][k - bids])
    return Workload("steady", prefill, flow.cut(), flow.levels_swept_max)


def _steady_distance(flow: Flow, wide: float) -> int:
    x = flow.draw()
    if x < 0.60:
        return 1 + flow.geometric(150 * wide)
    if x < 0.85:
        return 1 + flow.geometric(1_000 * wide)
    return 1 + int(min(45_000 * wide, 500 * wide * (1.0 - flow.draw()) ** -0.9))


def _steady_taker(flow: Flow, drift: float, bid: int, ask: int) -> None:
    side = int(flow.draw() > 0.5 + drift)
    qty, y = flow.size(25.0), flow.draw()
    if flow.draw() < 0.003:  # a block, up to 1.2 times the best 20 levels
        _, depth = flow.books.depth(0, 1 - side, 20)
        qty, y = 1 + int((0.2 + flow.draw()) * int(depth.sum())), 0.0
    if y < 0.4:
        flow.market(side, qty)
        return
    beyond = flow.geometric(4)
    price = ask + beyond if side == BUY else bid - beyond
    flow.limit(side, qty, price, IOC if y < 0.6 else GTC)


def _steady_replace(flow: Flow, bid: int, ask: int, wide: float) -> None:
    side = flow.coin()
    if not flow.live[side]:
        side = 1 - side
    order_id = flow.pick(side)
    old, left = flow.price(order_id), flow.open(order_id)
    if flow.draw() < 0.7:
        away = _steady_distance(flow, wide)
        price = max(1, ask - away if side == BUY else bid + away)
        qty = left if flow.draw() < 0.5 else flow.size()
        if price == old and qty <= left:
            qty = left + 1
    else:
        price, qty = old, left + 1 + flow.geometric(10)
    flow.replace(order_id, qty, price)


# -- CASCADE

TOP = 1_000_000
"""Price around which the cascade's book is deep, in ticks."""


def cascade(
    n: int = 1_000_000, a_side: int = 30_000, seed: int = 19_871_019
) -> Workload:
    """Wick after wick: bids withdrawn, sweeps of hundreds of levels, recovery."""
    flow = Flow(seed)
    anchor = 900_000
    for i in range(2 * a_side):
        side = i & 1
        qty = flow.size()
        price = _bid_price(flow, anchor) if side == BUY else _ask_price(flow, anchor)
        flow.limit(side, qty, price)
    prefill = flow.cut()
    cycle = 0
    while len(flow.rows) < n:
        cycle += 1
        _withdraw(flow, n)
        # Every third time the bids are swept to the last.
        _fall(flow, n, floor=0 if cycle % 3 == 0 else TOP // 10)
        anchor = int(TOP * (0.6 + 0.35 * flow.draw()))
        _recover(flow, n, anchor)
        _rebuild(flow, n, anchor, a_side)
    return Workload("cascade", prefill, flow.cut(), flow.levels_swept_max)


def _bid_price(flow: Flow, anchor: int) -> int:
    x = flow.draw()
    if x < 0.35:
        away = 1 + flow.geometric(200)
    elif x < 0.65:
        away = int(anchor * 0.10 * flow.draw())
    else:
        away = int(anchor * 0.90 * flow.draw() ** 1.3)
    return max(1_000, anchor - 1 - away)


def _ask_price(flow: Flow, anchor: int) -> int:
    if flow.draw() < 0.5:
        away = 1 + flow.geometric(200)
    elif anchor < TOP:
        away = int((TOP - anchor) * flow.draw() ** 2)
    else:
        away = flow.geometric(200)
    return min(1_048_000, anchor + 1 + away)


def _withdraw(flow: Flow, n: int) -> None:
    """Nine bids of ten are cancelled, near the best price or anywhere; asks follow."""
    bids = flow.live[BUY]
    target = max(50, int(len(bids) * 0.10))
    while len(bids) > target and len(flow.rows) < n:
        bid, _ = flow.books.best(0)
        x = flow.draw()
        if x < 0.90:
            newest_first = flow.draw() < 0.5
            flow.cancel(
                next(reversed(flow.bids[bid])) if newest_first else flow.pick(BUY)
            )
        elif x < 0.93:
            flow.market(SELL, flow.size(60))
        elif x < 0.96:
            if flow.live[SELL]:
                order_id = flow.pick(SELL)
                left, price = flow.open(order_id), _ask_price(flow, bid)
                flow.replace(order_id, left + (price == flow.price(order_id)), price)
        elif x < 0.99:
            flow.limit(SELL, flow.size(), _ask_price(flow, bid))
        else:
            qty = flow.size()
            flow.limit(BUY, qty, max(1_000, int(bid * (0.5 + 0.45 * flow.draw()))))


def _fall(flow: Flow, n: int, floor: int) -> None:
    """Sells of 100 to 800 levels each until the best bid is below the floor."""
    while len(flow.rows) < n:
        bid, _ = flow.books.best(0)
        if not bid or bid < floor:
            return
        levels = 100 + int(700 * flow.draw())
        _, depth = flow.books.depth(0, BUY, levels)
        qty = min(QTY_MAX, int(depth.sum()) + 1)
        if flow.draw() < 0.5:
            flow.market(SELL, qty)
        else:
            flow.limit(SELL, qty, max(1, int(bid * 0.5)), IOC)
        for _ in range(20):
            if len(flow.rows) < n:
                _aftershock(flow)


def _aftershock(flow: Flow) -> None:
    bid, _ = flow.books.best(0)
    x = flow.draw()
    if x < 0.4:
        flow.limit(SELL, flow.size(), _ask_price(flow, bid or 1_000))
    elif x < 0.6 and bid:
        qty = flow.size()
        flow.limit(BUY, qty, max(1_000, int(bid * (0.6 + 0.39 * flow.draw()))))
    elif x < 0.8:
        flow.market(SELL, flow.size(60))
    elif flow.live[SELL]:
        flow.cancel(flow.pick(SELL))


def _recover(flow: Flow, n: int, anchor: int) -> None:
    """Buys of 50 to 500 levels each lift the asks below the new anchor."""
    while len(flow.rows) < n:
        _, ask = flow.books.best(0)
        if not ask or ask >= anchor:
            return
        prices, depth = flow.books.depth(0, SELL, 50 + int(450 * flow.draw()))
        qty = int(depth[prices < anchor].sum())
        flow.limit(BUY, min(QTY_MAX, max(1, qty)), anchor - 1, IOC)


def _rebuild(flow: Flow, n: int, anchor: int, a_side: int) -> None:
    """Both sides fill up around the anchor without crossing."""
    bids, asks = flow.live
    while len(flow.rows) < n and min(len(bids), len(asks)) < a_side:
        x = flow.draw()
        bid, ask = flow.books.best(0)
        if len(bids) < a_side and (x < 0.6 or len(asks) >= a_side):
            price = _bid_price(flow, anchor)
            if ask and price >= ask:
                price = ask - 1
            flow.limit(BUY, flow.size(), max(1, price))
        else:
            price = _ask_price(flow, anchor)
            if bid and price <= bid:
                price = bid + 1
            flow.limit(SELL, flow.size(), price)


# -- FILES

FLOWS: dict[str, Callable[..., Workload]] = {"steady": steady, "cascade": cascade}


def stored(name: str, folder: Path, **sizes: int) -> Workload:
    """The workload of that name, kept in ``folder``: 7 s the first time, then 0.1 s.

    ``sizes`` are arguments of ``steady`` or ``cascade``. The file's name has a checksum
    of this module and of the layout of a message, so that a change of either is not
    missed. Processes may do this at the same time: the file appears when it is whole.
    """
    checksum = crc32(repr(MESSAGE).encode(), crc32(Path(__file__).read_bytes()))
    stem = ".".join([name, *(f"{word}={size}" for word, size in sizes.items())])
    path = folder / f"{stem}-{checksum:08x}.npz"
    if not path.exists():
        for stale in folder.glob(f"{stem}-*.npz"):
            stale.unlink(missing_ok=True)
        flow = FLOWS[name](**sizes)
        part = folder / f"{path.name}.{os.getpid()}"
        with part.open("wb") as file:
            np.savez(file, **attrs.asdict(flow))
        part.replace(path)
        return flow
    with np.load(path) as columns:
        return Workload(
            name,
            columns["prefill"].view(MESSAGE),
            columns["messages"].view(MESSAGE),
            int(columns["levels_swept_max"]),
        )
