"""Orders in the units of people, and what comes back for them."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ..margin.markets import Number
from ..orderbook.orders import Flag, Kind, Reason, TimeInForce

Rows = NDArray[np.void]
NO_FLAG = Flag(0)


class OrderError(ValueError):
    """An order that names nothing the exchange has, or numbers that fit no market."""


@frozen(kw_only=True)
class Order:
    """An order in the units of people. `limit` and `market` make one."""

    account: int
    market: str
    side: str
    qty: Number
    price: Number | None = None  # of a market order: the protection price
    kind: Kind = Kind.LIMIT
    tif: TimeInForce = TimeInForce.GTC
    flags: Flag = NO_FLAG


@frozen(kw_only=True)
class Placed:
    """What became of an order; quantities in base units, prices in the quote asset."""

    order_id: int
    accepted: bool
    reason: Reason
    filled: float
    open: float
    average_price: float
    fills: Rows = field(repr=False)

    @classmethod
    def of(cls, result: np.void, fills: Rows, tick: float, lot: float) -> "Placed":
        """Translate a RESULT row and its FILL rows."""
        filled = int(result["filled"])
        paid = int((fills["price"] * fills["qty"]).sum()) * tick
        return cls(
            order_id=int(result["order_id"]),
            accepted=bool(result["accepted"]),
            reason=Reason(int(result["reason"])),
            filled=float(filled * lot),
            open=float(result["open"] * lot),
            average_price=float(paid / filled) if filled else float("nan"),
            fills=fills,
        )


@frozen(kw_only=True)
class AccountView:
    """An account at one moment; money in US dollars, quantities in units."""

    id: int
    equity: float
    adjusted: float
    maintenance: float
    health: float
    leverage: float
    balances: dict[str, float]
    positions: dict[str, float]


def limit(
    account: int,
    market: str,
    side: str,
    price: Number,
    qty: Number,
    *,
    tif: str = "GTC",
    post_only: bool = False,
    reduce_only: bool = False,
) -> Order:
    """Return a limit order: rest what does not trade (GTC), or IOC, or FOK."""
    if tif not in TimeInForce.__members__:
        raise OrderError(f"'tif' must be GTC, IOC or FOK (got {tif!r})")
    flags = Flag.POST_ONLY * post_only | Flag.REDUCE_ONLY * reduce_only
    return Order(
        account=account,
        market=market,
        side=side,
        qty=qty,
        price=price,
        tif=TimeInForce[tif],
        flags=Flag(flags),
    )


def market(
    account: int,
    market: str,
    side: str,
    qty: Number,
    *,
    protection: Number | None = None,
    reduce_only: bool = False,
) -> Order:
    """Return a market order; it trades no worse than ``protection`` and never rests."""
    return Order(
        account=account,
        market=market,
        side=side,
        qty=qty,
        price=protection,
        kind=Kind.MARKET,
        tif=TimeInForce.IOC,
        flags=Flag.REDUCE_ONLY if reduce_only else NO_FLAG,
    )


def unknown(what: str, name: object, known: Sequence[str]) -> str:
    """Say that nothing is called so, and what comes nearest."""
    near = get_close_matches(str(name), known, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    article = "an" if what[0] in "aeiou" else "a"
    return f"'{name}' is not {article} {what} here{hint} ({', '.join(known)})"
