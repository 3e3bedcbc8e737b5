"""At what price an account has nothing left, and how much must be closed before that.

Floats in quote units and US dollars; the liquidation engine rounds to ticks and lots.
"""

from typing import Any, overload

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = [
    "Bracket",
    "auto_close_share",
    "bankruptcy_price",
    "bankruptcy_quote",
    "counterparty_price",
    "inverse_bankruptcy_price",
    "reduction",
    "zero_price",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@overload
def bankruptcy_price(mark: float, side: int, equity: float, qty: float) -> float: ...
@overload
def bankruptcy_price(
    mark: Floats, side: Integers, equity: Floats, qty: Floats
) -> Floats: ...
def bankruptcy_price(mark: Any, side: Any, equity: Any, qty: Any) -> Any:
    """The price at which closing a position takes all of the equity given to it.

    ``side`` is +1 for a long and -1 for a short, ``equity`` in quote units, ``qty`` in
    base units. An account with several positions divides its equity among them in
    proportion to their maintenance margins.
    Source: `GetBankruptcyPriceInQuoteQuantums` of dydxprotocol/v4-chain 84d4664b.

    >>> bankruptcy_price(4.0, side=1, equity=400.0, qty=2_000.0)
    3.8
    """
    return mark - side * equity / qty


def bankruptcy_quote(
    value_change: float, equity: float, margin_change: float, margin: float
) -> float:
    """Quote an account gets (negative: pays) for a trade at its bankruptcy price.

    ``value_change`` is that of its position's signed notional, ``margin_change`` that
    of its maintenance margin, which was ``margin``.
    Source: dydxprotocol/v4-chain 84d4664b, clob/keeper/liquidations.go.
    """
    return -value_change - equity * abs(margin_change) / margin


def inverse_bankruptcy_price(entry: float, side: int, leverage: float) -> float:
    """The bankruptcy price of an isolated inverse contract, from its leverage.

    Source: Bybit, "What is Auto-Deleveraging (ADL)?", help centre 900000031623.
    """
    return entry * leverage / (leverage + side)


# -- THE SECOND STAGE ----------------------------------------------------------------


def auto_close_share(health: float, takeover: float) -> float:
    """The share of each position taken over in a second, 0 to 1.

    Both are healths, or both ratios of equity to notional.
    Source: FTX help 360027937831, archived.

    >>> auto_close_share(0.015, takeover=0.03)
    0.5
    """
    return min(1.0, max(0.0, 1.0 - health / takeover))


def zero_price(mark: float, side: int, ratio: float) -> float:
    """The mark at which an account of this ratio of equity to notional has nothing.

    Source: FTX help 360027937831, archived.
    """
    return mark * (1.0 - side * ratio)


def counterparty_price(mark: float, zero: float) -> float:
    """The price of the other side: two parts zero price, one part mark.

    Source: FTX help 360027937831, archived.
    """
    return (2.0 * zero + mark) / 3.0


# -- PARTIAL REDUCTION ---------------------------------------------------------------


@frozen
class Bracket:
    """Where a notional stands in its brackets: floor in US dollars, and the rate."""

    floor: float
    rate: float


def reduction(
    adjusted: float,
    maintenance: float,
    notional: float,
    bracket: Bracket,
    *,
    target: float,
    cost: float,
    step_down: bool = False,
) -> float:
    """US dollars of a position to close so that health reaches a target.

    Closing ``x`` costs ``cost * x`` (slippage and fees) and frees ``rate * x`` of
    margin, so ``x = (target * maintenance - adjusted) / (target * rate - cost)``; the
    whole position where closing a part would cost more health than it frees. No more
    than down to the floor of the bracket: below it the rate is another, and the caller
    asks again.
    ``step_down`` asks for the floor, whatever would do.

    >>> at = Bracket(floor=3_000_000, rate=0.01)
    >>> round(reduction(38e3, 38e3, 5e6, at, target=1.05, cost=0.002))
    223529
    """
    within = notional - bracket.floor
    freed = target * bracket.rate - cost
    if freed <= 0.0 or bracket.rate * adjusted <= cost * maintenance:
        return notional
    wanted = max(0.0, (target * maintenance - adjusted) / freed)
    if step_down and wanted > 0.0:
        wanted = within
    return min(wanted, within)
