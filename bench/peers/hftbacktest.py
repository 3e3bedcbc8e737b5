"""hftbacktest: replays recorded changes of levels in Rust, for one trader's orders."""

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numpy.typing import NDArray

from flashwick.orderbook.orders import Side

from . import Keeper, Levels


class Hftbacktest(Keeper):
    """Gets the quantity of a level after each change, all in one call.

    Each change is applied twice, by the exchange and by the trader who watches it.
    """

    distribution = "hftbacktest"

    def __init__(self, prefill: NDArray[np.void], changes: NDArray[np.void]) -> None:
        both = np.concatenate([prefill, changes])
        # Kept: the backtest reads the array's memory, and holds no reference to it.
        self.events = events = np.zeros(len(both), event_dtype)
        side = np.where(both["side"] == Side.BUY, BUY_EVENT, SELL_EVENT)
        events["ev"] = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT | side
        events["px"], events["qty"] = both["price"], both["level_qty"]
        events["exch_ts"] = events["local_ts"] = np.arange(1, len(both) + 1)
        asset = (
            BacktestAsset()
            .data([events])
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0, 0)
            .tick_size(1.0)
            .lot_size(1.0)
        )
        self.backtest = HashMapMarketDepthBacktest([asset])
        self.backtest.elapse(len(prefill))
        self.left = len(changes)

    def run(self) -> None:
        """Bring the book up to date."""
        self.backtest.elapse(self.left)

    def levels(self) -> tuple[Levels, Levels]:
        """Bids and asks."""
        rows = self.backtest.depth(0).snapshot()
        bid = rows["ev"] & BUY_EVENT > 0
        sides = (rows[bid], rows[~bid])
        bids, asks = (
            list(zip(side["px"].tolist(), side["qty"].tolist(), strict=True))
            for side in sides
        )
        return bids, asks
