"""What makers see, in NumPy: what `cython_ext/falls.pyx` must give, to the byte."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def quoted_round(
    venue: Floats,
    markets: Integers,
    outside: Floats,
    middle: Floats,
    bid: Floats,
    ask: Floats,
    weight: float,
    share: float,
    reach: float,
) -> Floats:
    """The price outside and a moving average of the book's middle."""
    bid, ask = bid[markets], ask[markets]
    apart = (ask - bid) / np.maximum(bid, 1e-300)
    step = share * np.minimum(1.0, reach / np.maximum(apart, 1e-9))
    step[(bid <= 0) | (ask <= 0)] = 0.0
    venue += step * (middle[markets] - venue)
    return weight * outside[markets] + (1.0 - weight) * venue


def remembered(
    fairs: Floats,
    middles: Floats,
    row: int,
    fair: Floats,
    markets: Integers,
    middle: Floats,
) -> Floats:
    """The range of all rows, once the new one is there."""
    own = middle[markets]
    fairs[row] = fair
    middles[row] = np.where(own > 0, own, fair)
    high, low = np.fmax.reduce(fairs), np.fmin.reduce(fairs)
    return (high - low) / high


def judged(
    fairs: Floats,
    middles: Floats,
    wakes: int,
    maker: Integers,
    column: Integers,
    since: Integers,
    calm: Bools,
    left: Bools,
    healthy: Bools,
    alive: Bools,
    most: Floats,
    leave: float,
) -> tuple[Floats, Bools, Bools, Bools]:
    """Fall, who withdraws, who leaves, and where it is quiet, by pair."""
    own = _fall(fairs, wakes)[column]
    # Of the middle of each pair's book: what it saw before it bid again is past.
    seen = middles[:, column]
    age = (wakes - 1 - np.arange(len(seen))) % len(seen)
    now = seen[(wakes - 1) % len(seen)]
    here = age[:, None] < wakes - since
    bids = calm & healthy[maker]
    fall = np.where(bids, _fall(np.where(here, seen, now), wakes), own)
    wild = bids & alive[maker] & (fall > most)
    goes = ~left & alive[maker] & (fall > leave * most)
    return fall, wild, goes, own < 0.5 * most


def _fall(prices: Floats, wakes: int) -> Floats:
    # From the highest of the last wakes to now, as a share of it.
    return 1.0 - prices[(wakes - 1) % len(prices)] / np.fmax.reduce(prices)


def returned(
    calm: Bools,
    left: Bools,
    size: Floats,
    since: Integers,
    wild: Bools,
    goes: Bools,
    quiet: Bools,
    draw: Floats,
    hazard: float,
    smaller: float,
    wakes: int,
) -> None:
    """Who went and who is back."""
    calm &= ~(wild | goes)
    left |= goes
    back = quiet & ~calm & ~wild & (draw < hazard)
    size[back] = smaller
    since[back] = wakes
    calm |= back
    left &= ~back


def quoting(
    maker: Integers,
    column: Integers,
    size: Floats,
    factor: Floats,
    calm: Bools,
    left: Bools,
    healthy: Bools,
    gone: Bools,
    live: Bools,
) -> tuple[Floats, Bools, Bools]:
    """Size, whether it bids, whether it is looked at, by pair."""
    there = ~(left | gone[maker])
    return size * factor[column] * there, calm & healthy[maker], live[maker]


def held(
    maker: Integers,
    column: Integers,
    perpetual: Bools,
    lots: Integers,
    atoms: Integers,
    lot: Floats,
    atom: Floats,
) -> Floats:
    """Base units of each pair."""
    return np.where(perpetual, lots * lot, atoms * atom)[maker, column]
