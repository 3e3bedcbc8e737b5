"""One message and its answer, and what makes a new order valid in itself."""

from typing import NamedTuple

from .orders import (
    PRICE_MAX,
    QTY_MAX,
    SLICES_MAX,
    Flag,
    Kind,
    Reason,
    Side,
    TimeInForce,
)

ACCOUNT_MAX = 2**24 - 1
"""Highest account number."""

ID_MAX = 2**32 - 1
"""Highest order id."""

ID_GAP_MAX = 2**20
"""How far an explicit order id may lie ahead of the last one."""

# Plain numbers: & on an IntFlag takes 1 µs.
POST_ONLY = int(Flag.POST_ONLY)
REDUCE_ONLY = int(Flag.REDUCE_ONLY)
SLIDE = int(Flag.SLIDE)
TAKE_PROFIT = int(Flag.TAKE_PROFIT)
BY_MARK = int(Flag.TRIGGER_MARK)
BY_INDEX = int(Flag.TRIGGER_INDEX)
AUCTION = int(Flag.AUCTION)


class Message(NamedTuple):
    """One row of a batch, field by field as in ``orders.MESSAGE``."""

    time: int = 0
    order_id: int = 0
    price: int = 0
    qty: int = 0
    cause: int = 0
    display: int = 0
    market: int = 0
    account: int = 0
    trigger: int = 0
    kind: int = 0
    side: int = 0
    tif: int = 0
    flags: int = 0


class Result(NamedTuple):
    """What became of one message, field by field as in ``orders.RESULT``."""

    order_id: int
    filled: int = 0
    open: int = 0
    cancelled: int = 0
    accepted: int = 1
    reason: int = Reason.OK


class Refused(Exception):
    """A message that changes nothing, with its reason code."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


def require(condition: bool, reason: Reason) -> None:
    """Refuse the message unless the condition holds."""
    if not condition:
        raise Refused(reason)


def require_valid(message: Message) -> None:
    """Refuse a new order whose fields are out of range or do not go together."""
    flags = message.flags
    may_rest = message.kind == Kind.LIMIT and message.tif == TimeInForce.GTC
    source = flags & (BY_MARK | BY_INDEX)
    fits = (
        message.side in (Side.BUY, Side.SELL)
        and TimeInForce.GTC <= message.tif <= TimeInForce.FOK
        and not flags & AUCTION
        and (may_rest or not flags & POST_ONLY)
        and (flags & POST_ONLY or not flags & SLIDE)
        and (message.trigger or not (source or flags & TAKE_PROFIT))
        and source != BY_MARK | BY_INDEX
        and (not message.display or (may_rest and display_fits(message)))
        and message.order_id >= 0
    )
    require(bool(fits), Reason.INVALID_OPTION)
    require_amounts(message)


def require_amounts(message: Message) -> None:
    """Refuse lots, a price or a trigger out of range."""
    lowest = 0 if message.kind == Kind.MARKET else 1
    require(1 <= message.qty <= QTY_MAX, Reason.INVALID_QTY)
    require(lowest <= message.price <= PRICE_MAX, Reason.INVALID_PRICE)
    require(0 <= message.trigger <= PRICE_MAX, Reason.INVALID_PRICE)


def display_fits(message: Message) -> bool:
    """Whether an iceberg shows a positive share, and one that is not too small."""
    return message.display > 0 and message.qty <= message.display * SLICES_MAX
