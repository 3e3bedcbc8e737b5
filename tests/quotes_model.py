"""The quotes of a fleet in readable Python: what `cython_ext/quotes.pyx` must give."""

from math import ceil, floor, isnan, nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from flashwick.orderbook.orders import MESSAGE, PRICE_MAX, Kind, Side

LOTS_TOP = 4e18


class Rung(NamedTuple):
    """A level as it should be: ticks, lots, and the ticks around that serve it too."""

    price: int
    qty: int
    reach: int


class QuotesModel:
    """The same arguments, methods and answers as `Quotes`."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.maker = [int(k) for k in given["maker"]]
        self.column = [int(j) for j in given["column"]]
        self.market = [int(given["markets"][j]) for j in self.column]
        pairs = range(len(self.maker))
        self.target = np.zeros(len(self.maker))
        self.quoted = [nan for _ in pairs]
        self.quoted_size = [0.0 for _ in pairs]
        self.quoted_inventory = [nan for _ in pairs]
        self.wish: dict[int, tuple[float, float, float, float]] = {}

    def judge(
        self, fair: Any, usd: Any, held: Any, size: Any, bidding: Any, live: Any
    ) -> np.ndarray:
        """Note the pairs to quote anew, and return the makers that have some."""
        self.wish = {}
        for p, j in enumerate(self.column):
            if not live[p]:
                continue
            scale = float(self.given["scale"][p])
            inventory = (float(held[p]) - float(self.target[p])) * float(usd[j])
            share = inventory / (self.given["limit_usd"] * scale)
            lean = min(max(share, -1.0), 1.0)
            price = float(fair[j]) * (1.0 - self.given["skew"] * lean)
            room = min(max(1.0 - share, 0.0), 1.0)
            bids = float(size[p]) * room if bidding[p] else 0.0
            stays = not isnan(self.quoted[p]) and (
                abs(price / self.quoted[p] - 1.0) <= 0.5 * self.given["distance"][0]
                and abs(inventory - self.quoted_inventory[p])
                <= 0.1 * (self.given["size_usd"][0] * scale)
                and abs(bids - self.quoted_size[p])
                <= 0.2 * (self.quoted_size[p] + 0.05)
            )
            if not stays:
                asks = min(sqrt(float(size[p])), 1.0)
                self.wish[p] = price, bids, asks, float(held[p])
                self.quoted_inventory[p] = inventory
                self.quoted_size[p] = bids
        return np.array(sorted({self.maker[p] for p in self.wish}), np.int64)

    def requote(self, now: int, usd: Any, orders: np.ndarray) -> np.ndarray:
        """Return the messages of those pairs."""
        rows: list[tuple[int, ...]] = []
        # What moves away goes first.
        away = {
            p: Side.BUY if price < self.quoted[p] else Side.SELL
            for p, (price, *_) in self.wish.items()
        }
        for p, side in [
            *away.items(),
            *((p, Side(1 - side)) for p, side in away.items()),
        ]:
            self.quoted[p] = self.wish[p][0]
            pair = self.given["first"] + self.maker[p], self.market[p]
            own = [
                (int(row["id"]), int(row["price"]), int(row["qty"]))
                for row in orders
                if (row["account"], row["market"]) == pair and row["side"] == side
            ]
            rungs = self.rungs(p, side, float(usd[self.column[p]]))
            rows += [(p, side, *what) for what in changes(own, rungs)]
        batch = np.zeros(len(rows), MESSAGE)
        for message, (p, side, kind, order, price, qty) in zip(
            batch, rows, strict=True
        ):
            message["time"], message["kind"], message["side"] = now, kind, side
            message["account"] = self.given["first"] + self.maker[p]
            message["market"] = self.market[p]
            message["order_id"] = order
            message["price"], message["qty"] = price, qty
        return batch

    def rungs(self, p: int, side: Side, usd: float) -> list[Rung]:
        """The levels of a side, from the best outward."""
        price, bids, asks, held = self.wish[p]
        sizes = [float(x) for x in self.given["size_usd"]]
        distances = [float(x) for x in self.given["distance"]]
        tick = float(self.given["tick"][self.market[p]])
        lot = float(self.given["lot"][self.market[p]])
        unit = self.given["scale"][p] * (bids if side == Side.BUY else asks) / usd
        if side == Side.SELL and self.given["spot"][self.market[p]]:
            total = 0.0
            for size in sizes:
                total += size * unit
            most = 0.95 * max(held, 0.0)
            if total > most:
                unit *= most / total
        rungs: list[Rung] = []
        lots, at = unit / lot * (1.0 + 1e-12), price / tick
        for i, (size, distance) in enumerate(zip(sizes, distances, strict=True)):
            qty = int(min(size * lots, LOTS_TOP))
            step = distance - (distances[i - 1] if i else 0.0)
            reach = int(min(0.5 * step * at, PRICE_MAX))
            away = distance if side == Side.SELL else -distance
            exact = min(max(at * (1.0 + away), 1.0), float(PRICE_MAX))
            ticks = floor(exact + 1e-6) if side == Side.BUY else ceil(exact - 1e-6)
            if rungs and rungs[-1].price == ticks:
                whole = min(rungs[-1].qty + qty, int(LOTS_TOP))
                rungs[-1] = rungs[-1]._replace(qty=whole)
            else:
                rungs.append(Rung(ticks, qty, reach))
        return [rung for rung in rungs if rung.qty]


def changes(
    own: list[tuple[int, int, int]], rungs: list[Rung]
) -> list[tuple[int, int, int, int]]:
    """Kind, order, price and lots of what turns own orders into the levels."""
    if not rungs and len(own) > 1:
        return [(Kind.CANCEL_ALL, 0, 0, 0)]
    found: list[tuple[int, int, int, int]] = []
    missing, surplus = list(rungs), []
    for number, price, qty in own:
        near = [rung for rung in missing if abs(price - rung.price) <= rung.reach]
        if not near:
            surplus.append(number)
            continue
        rung = near[0]
        missing.remove(rung)
        if qty - rung.qty > 0.2 * rung.qty:
            found.append((Kind.REPLACE, number, price, rung.qty))
        elif rung.qty - qty > 0.2 * rung.qty:
            found.append((Kind.REPLACE, number, rung.price, rung.qty))
    for rung in missing:
        if surplus:
            found.append((Kind.REPLACE, surplus.pop(0), rung.price, rung.qty))
        else:
            found.append((Kind.LIMIT, 0, rung.price, rung.qty))
    return found + [(Kind.CANCEL, number, 0, 0) for number in surplus]
