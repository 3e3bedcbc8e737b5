"""The words of the order book: kinds, sides, reasons, and the layout of a batch.

Prices are ticks and quantities lots, both positive int64. The numbers behind the
names are what the compiled book reads; ``cython_ext/_types.pxd`` mirrors them.
"""

from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import DELTA, EVENT, FILL, MESSAGE, ORDER, RESULT

__all__ = [
    "ALL_MARKETS",
    "DELTA",
    "EVENT",
    "FILL",
    "MESSAGE",
    "ORDER",
    "PRICE_MAX",
    "QTY_MAX",
    "RESULT",
    "SLICES_MAX",
    "EventKind",
    "Flag",
    "Kind",
    "Phase",
    "Reason",
    "SelfTrade",
    "Side",
    "TimeInForce",
    "messages",
]

PRICE_MAX = 2**30 - 1
"""Highest price a book holds, in ticks."""

QTY_MAX = 2**62
"""Largest quantity of one order, and of a side of a market, in lots."""

SLICES_MAX = 1_000
"""Most slices an iceberg is cut into: each is a trade of its own."""

ALL_MARKETS = -1
"""The market of a cancel-all that means every market."""


class Kind(IntEnum):
    """What a message asks for."""

    LIMIT = 0
    MARKET = 1
    CANCEL = 2
    CANCEL_ALL = 3
    REPLACE = 4


class Side(IntEnum):
    """Side of an order; ``BOTH`` only in a cancel-all."""

    BUY = 0
    SELL = 1
    BOTH = 2


class TimeInForce(IntEnum):
    """How long a limit order lives."""

    GTC = 0
    IOC = 1
    FOK = 2


class Flag(IntFlag):
    """Options of an order; ``AUCTION`` only in a fill."""

    POST_ONLY = 1
    REDUCE_ONLY = 2
    LIQUIDATION = 4
    SLIDE = 8
    TAKE_PROFIT = 16
    TRIGGER_MARK = 32
    TRIGGER_INDEX = 64
    AUCTION = 128


class Phase(IntEnum):
    """What a market does with orders: match them, refuse them, or collect them."""

    OPEN = 0
    HALTED = 1
    CALL = 2


class SelfTrade(IntEnum):
    """Self-trade prevention of an account."""

    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class EventKind(IntEnum):
    """What happened to an order that no message named."""

    TRIGGERED = 0
    REFUSED = 1
    CANCELLED = 2


class Reason(IntEnum):
    """Why a message was rejected, or why the rest of an order was cancelled."""

    OK = 0
    UNKNOWN_KIND = 1
    UNKNOWN_MARKET = 2
    UNKNOWN_ACCOUNT = 3
    UNKNOWN_ORDER = 4
    DUPLICATE_ID = 5
    INVALID_QTY = 6
    INVALID_PRICE = 7
    INVALID_OPTION = 8
    POST_ONLY_WOULD_CROSS = 9
    FOK_UNFILLABLE = 10
    UNFILLED = 11
    PROTECTION_PRICE = 12
    PRICE_BAND = 13
    SELF_TRADE = 14
    REDUCE_ONLY = 15
    MARKET_HALTED = 16
    OVERFLOW = 17
    INSUFFICIENT_MARGIN = 18
    ACCOUNT_REDUCE_ONLY = 19
    CALL_PHASE = 20
    CIRCUIT_BREAKER = 21


def messages(n: int) -> NDArray[np.void]:
    """A batch of ``n`` zeroed messages.

    >>> messages(2)["qty"].tolist()
    [0, 0]
    """
    return np.zeros(n, dtype=MESSAGE)
