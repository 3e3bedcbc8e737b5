"""Orders in the units of people, and what comes back for them."""

from collections.abc import Mapping, Sequence
from operator import mul
from typing import TypeVar

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ..margin.markets import Number
from ..margin.presets import shown
from ..orderbook.orders import Flag, Kind, Reason, Side, TimeInForce
from .arguments import expect, suggest

Rows = NDArray[np.void]
Member = TypeVar("Member")
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
NO_FLAG = Flag(0)
TRIGGERS = {
    "last": NO_FLAG,
    "mark": Flag.TRIGGER_MARK,
    "index": Flag.TRIGGER_INDEX,
}
"""What a trigger is compared with, and the flag that says so."""


class OrderError(ValueError):
    """An order that names nothing the exchange has, or numbers that fit no market."""


def chosen(name: str, value: object, words: Mapping[str, Member]) -> Member:
    """What a word stands for, in capitals or not; the thing itself is taken as well.

    >>> chosen("side", "BUY", SIDES) is chosen("side", Side.BUY, SIDES)
    True
    """
    if isinstance(value, str):
        found = [words[word] for word in words if word.lower() == value.lower()]
    else:
        found = [member for member in words.values() if member is value]
    if not found:
        raise OrderError(
            f"{name!r} must be one of {', '.join(words)} (got {shown(value)})"
            + suggest(value, words, listed=0)
        )
    return found[0]


def _side(value: object) -> Side:
    return chosen("side", value, SIDES)


@frozen(kw_only=True)
class Order:
    """An order in the units of people. `limit` and `market` make one."""

    account: int
    market: str
    side: Side = field(converter=_side)
    qty: Number
    price: Number | None = None  # of a market order: the protection price
    kind: Kind = Kind.LIMIT
    tif: TimeInForce = TimeInForce.GTC
    flags: Flag = NO_FLAG
    trigger: Number | None = None  # the price that it waits for
    display: Number | None = None  # what an iceberg shows at a time


@frozen(kw_only=True)
class Placed:
    """What became of an order; quantities in base units, prices in the quote asset."""

    order_id: int
    accepted: bool
    reason: Reason
    filled: float
    open: float
    average_price: float
    fills: Rows = field(repr=False)  # its own, not those of stops that it set off

    @classmethod
    def of(cls, result: np.void, fills: Rows, tick: float, lot: float) -> "Placed":
        """Translate a RESULT row and the FILL rows that came with it."""
        filled = int(result["filled"])
        fills = fills[fills["taker_order"] == result["order_id"]]
        prices, lots = fills["price"].tolist(), fills["qty"].tolist()
        # Python's integers: ticks times lots of one order may be beyond int64.
        paid = float(sum(map(mul, prices, lots))) * tick
        return cls(
            order_id=int(result["order_id"]),
            accepted=bool(result["accepted"]),
            reason=Reason(int(result["reason"])),
            filled=float(filled * lot),
            open=float(result["open"] * lot),
            average_price=float(paid / filled) if filled else float("nan"),
            fills=fills,
        )


LEVEL = np.dtype([("price", "<f8"), ("qty", "<f8")])
"""A price of a book, and how much is shown there."""


@frozen(kw_only=True)
class Depth:
    """The best levels of a book, best first: rows of ``price`` and ``qty``."""

    market: str
    bids: Rows
    asks: Rows


@frozen(kw_only=True)
class Quote:
    """Best bid and ask of a book; NaN where a side is empty, or nothing traded yet."""

    market: str
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    mid: float
    spread: float
    last: float


@frozen(kw_only=True)
class AccountView:
    """An account at one moment; money in US dollars, quantities in units."""

    id: int
    equity: float
    adjusted: float  # equity after haircuts and the losses of open orders
    maintenance: float  # margin that has to stay
    initial: float  # margin that opening takes
    health: float  # adjusted over maintenance
    ratio: str  # as the venue shows it
    leverage: float
    balances: dict[str, float]
    positions: dict[str, float]
    legs: dict[str, tuple[float, float]]  # long and short, in hedge mode
    isolated: dict[str, int]  # by market: the sub-account with its margin


def limit(
    account: int,
    market: str,
    side: str | Side,
    price: Number,
    qty: Number,
    *,
    tif: str | TimeInForce = "GTC",
    post_only: bool = False,
    slide: bool = False,
    reduce_only: bool = False,
    display: Number | None = None,
    trigger: Number | None = None,
    take_profit: bool = False,
    trigger_on: str = "last",
) -> Order:
    """Return a limit order: rest what does not trade (GTC), or IOC, or FOK.

    ``side`` is buy or sell, in capitals or not, or a `Side`.
    With ``slide`` a post-only order that would trade is put one tick behind the other
    side instead of refused. ``display`` makes it an iceberg, which shows so much of it
    at a time. With ``trigger`` it waits until that price is touched: a stop to buy for
    a rise, to sell for a fall, a ``take_profit`` the other way round. ``trigger_on``
    says which price: the last trade, the mark or the index. OrderError if these do not
    go together.
    """
    lives = chosen("tif", tif, TimeInForce.__members__)
    if slide and not post_only:
        raise OrderError("'slide' must go with post_only=True")
    if display is not None and lives is not TimeInForce.GTC:
        raise OrderError(f"'display' must go with tif='GTC' (got {tif!r})")
    flags = _flag(Flag.POST_ONLY, post_only) | _flag(Flag.SLIDE, slide)
    return Order(
        account=account,
        market=market,
        side=side,
        qty=qty,
        price=price,
        tif=lives,
        flags=Flag(flags | _options(reduce_only, trigger, take_profit, trigger_on)),
        trigger=trigger,
        display=display,
    )


def market(
    account: int,
    market: str,
    side: str | Side,
    qty: Number,
    *,
    protection: Number | None = None,
    reduce_only: bool = False,
    trigger: Number | None = None,
    take_profit: bool = False,
    trigger_on: str = "last",
) -> Order:
    """Return a market order; it trades no worse than ``protection`` and never rests.

    ``trigger``, ``take_profit`` and ``trigger_on`` are those of `limit`.
    """
    return Order(
        account=account,
        market=market,
        side=side,
        qty=qty,
        price=protection,
        kind=Kind.MARKET,
        tif=TimeInForce.IOC,
        flags=_options(reduce_only, trigger, take_profit, trigger_on),
        trigger=trigger,
    )


def _options(
    reduce_only: bool, trigger: Number | None, take_profit: bool, trigger_on: str
) -> Flag:
    # The flags that both kinds of orders have.
    source = chosen("trigger_on", trigger_on, TRIGGERS)
    if trigger is None and (take_profit or source):
        what = "take_profit" if take_profit else "trigger_on"
        raise OrderError(f"'{what}' must go with a trigger")
    flags = _flag(Flag.REDUCE_ONLY, reduce_only) | _flag(Flag.TAKE_PROFIT, take_profit)
    return Flag(flags | source)


def _flag(flag: Flag, on: bool) -> Flag:
    expect(str(flag.name).lower(), on, (bool, np.bool_), "True or False")
    return flag if on else Flag(0)


def unknown(what: str, name: object, known: Sequence[str]) -> str:
    """Say that nothing is called so, and what comes nearest."""
    article = "an" if what[0] in "aeiou" else "a"
    return f"{shown(name)} is not {article} {what} here{suggest(name, known)}"
