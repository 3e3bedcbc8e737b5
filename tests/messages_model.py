"""Messages of `flashwick.cython_ext.messages` in NumPy: orders, and the gateway."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashwick.orderbook.orders import (
    MESSAGE,
    Flag,
    Kind,
    Side,
    TimeInForce,
    messages,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.void]


def orders(
    time: int,
    account: Any,
    market: Any,
    side: Any,
    qty: Floats,
    price: Floats | None,
    tif: int,
    cause: Any,
    flags: int,
    tick: Floats,
    lot: Floats,
) -> Rows:
    """Limit orders, or market orders without a price; none of less than a lot."""
    batch = messages(len(qty))
    batch["time"], batch["flags"] = time, flags
    batch["account"], batch["market"], batch["side"] = account, market, side
    batch["cause"] = cause
    # A whole number of lots may come out of the division a trifle below itself.
    batch["qty"] = qty / lot[batch["market"]] * (1.0 + 1e-12)
    if price is None:
        batch["kind"], batch["tif"] = Kind.MARKET, TimeInForce.IOC
    else:
        ticks = price / tick[batch["market"]]
        buy = batch["side"] == Side.BUY
        # A price on the tick stays there, whatever the division left over.
        passive = np.where(buy, np.floor(ticks + 1e-6), np.ceil(ticks - 1e-6))
        batch["price"], batch["tif"] = np.maximum(passive, 1), tif
    return batch[batch["qty"] > 0]


def together(batches: list[Rows]) -> Rows:
    """One batch after the other."""
    return np.concatenate([messages(0), *batches])


def senders(
    queue: Rows, coming: list[tuple[int, int, Rows]], first: int, count: int
) -> NDArray[np.bool_]:
    """Whose messages wait or are on their way."""
    rows = together([queue, *(batch for _, _, batch in coming)])
    return np.isin(np.arange(first, first + count), rows["account"])


def joined(
    queue: Rows, since: Floats, arrived: list[tuple[int, int, Rows]]
) -> tuple[Rows, Floats]:
    """What waits and what has come, with the time of its arrival."""
    times = [np.full(len(batch), float(arrival)) for arrival, _, batch in arrived]
    rows = [queue, *(batch for _, _, batch in arrived)]
    return np.concatenate(rows).astype(MESSAGE), np.concatenate([since, *times])


def served(since: Floats, free_at: float, step: float) -> tuple[Floats, float, bool]:
    """A single server: start = max(arrival, end of the one before)."""
    k = np.arange(len(since))
    begin = np.maximum.accumulate(np.maximum(since, free_at) - k * step)
    done = begin + (k + 1) * step
    behind = bool((done[:-1] > since[1:]).any())
    return done, float((done - since).max(initial=0.0)), behind


def stamped(rows: Rows, done: Floats, until: float) -> int:
    """When they are done, in those that are by then."""
    n = int(np.searchsorted(done, until, side="right"))
    rows["time"][:n] = done[:n]
    return n


def rested(batches: list[Rows], results: list[Rows]) -> tuple[Integers, Integers]:
    """Orders with something open, but for those that were there before."""
    rows, told = np.concatenate(batches), np.concatenate(results)
    rests = (told["open"] > 0) & (rows["kind"] != Kind.REPLACE)
    return told["order_id"][rests], rows["time"][rests]


def traded(
    firsts: list[int],
    batches: list[Rows],
    results: list[Rows],
    fills: list[Rows],
    causes: list[list[int]],
) -> tuple[Integers, Rows, Rows]:
    """Messages that traded, were sent by force, or caused something."""
    kept = []
    for first, rows, told, trades, others in zip(
        firsts, batches, results, fills, causes, strict=True
    ):
        keep = (rows["flags"] & Flag.LIQUIDATION) != 0
        keep[trades["message"][trades["message"] >= 0]] = True
        keep[others] = True
        kept.append((first + np.flatnonzero(keep), rows[keep], told[keep]))
    ids, rows, told = (np.concatenate(part) for part in zip(*kept, strict=True))
    return ids, rows, told
