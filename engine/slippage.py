"""What trades were made at, against what their coins were worth elsewhere."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..orderbook.orders import Side
from .prints import NANO

if TYPE_CHECKING:
    from .run import Run

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def _sample(run: "Run", rows: Integers) -> Integers:
    # The last sample up to each trade, the first of all if there is none.
    time = run.series.time * NANO
    row = np.searchsorted(time, run.prints.time[rows], side="right") - 1
    return np.asarray(np.maximum(row, 0))


def _of_pair(run: "Run", values: Floats, rows: Integers) -> Floats:
    # Samples by asset, as prices of the trades' markets.
    market, at = run.prints.market[rows], _sample(run, rows)
    base = np.array(run.names.base, np.int64)[market]
    quote = np.array(run.names.quote, np.int64)[market]
    return np.asarray(values[at, base] / values[at, quote])


def outside_prices(run: "Run", rows: Integers) -> Floats:
    """Price outside, in the quote asset, at the last sample before each trade.

    NaN in a run without samples.
    """
    if len(run.series.time) == 0:
        return np.full(len(rows), np.nan)
    return _of_pair(run, run.series.outside, rows)


def valued_prices(run: "Run", rows: Integers) -> Floats:
    """What the risk engine took them at: index of the coin, mark of a perpetual."""
    if len(run.series.time) == 0:
        return np.full(len(rows), np.nan)
    index = _of_pair(run, run.series.index, rows)
    mark = run.series.mark[_sample(run, rows), run.prints.market[rows]]
    return np.where(np.isfinite(mark), mark, index)


def lost_usd(run: "Run", rows: Integers) -> Floats:
    """What each trade cost its taker against the price outside, US dollars.

    A gain is negative; 0 where the price outside is not known.
    """
    trades = run.prints
    sign = np.where(trades.side[rows] == Side.SELL, 1.0, -1.0)
    worse = outside_prices(run, rows) / trades.price[rows] - 1.0
    return np.asarray(np.nan_to_num(sign * worse * trades.usd[rows]))
