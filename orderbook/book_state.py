"""A market at one moment, as a replay leaves it and a simulation may start from it."""

from fractions import Fraction

import attrs
import numpy as np
from numpy.typing import NDArray

from .orders import PRICE_MAX, QTY_MAX, Side

Rows = NDArray[np.int64]


def _orders(rows: object) -> Rows:
    table = np.array(rows, np.int64)
    return table.reshape(-1, 2) if table.size == 0 else table


@attrs.frozen(eq=False, kw_only=True)
class BookState:
    """What rests in one market, in the order in which it would trade.

    ``bids`` and ``asks`` have a row an order: price in ticks, lots; the best price
    first, the first in the queue first. Where a source tells levels only, a row is a
    level. ``tick`` is in quote units, ``lot`` in base units. ValueError if a row is out
    of range or out of order.

    >>> state = BookState(
    ...     name="AAPL/USD", tick=Fraction(1, 10_000), lot=Fraction(1),
    ...     bids=[(5_853_300, 18), (5_853_300, 5)], asks=[(5_859_400, 200)],
    ... )
    >>> state.levels(Side.BUY).tolist(), state.crossed
    ([[5853300, 23]], False)
    """

    name: str
    tick: Fraction
    lot: Fraction
    bids: Rows = attrs.field(converter=_orders)
    asks: Rows = attrs.field(converter=_orders)
    last: int = 0  # price of the last trade, ticks; 0: none was seen
    time: int = 0  # of the last message, nanoseconds on the source's clock

    def __attrs_post_init__(self) -> None:
        for what, rows, worse in (("bids", self.bids, -1), ("asks", self.asks, 1)):
            if rows.ndim != 2 or rows.shape[1] != 2:
                raise ValueError(
                    f"{self.name}: {what!r} must be rows of price and lots "
                    f"(got an array of shape {rows.shape})"
                )
            prices, qtys = rows.T
            wrong = (prices < 1) | (prices > PRICE_MAX) | (qtys < 1) | (qtys > QTY_MAX)
            if wrong.any():
                raise ValueError(
                    f"{self.name}: {what!r} must have prices from 1 to {PRICE_MAX} "
                    f"ticks and 1 to {QTY_MAX} lots (got {rows[wrong][0].tolist()})"
                )
            turn = np.diff(prices) * worse < 0
            if turn.any():
                at = int(turn.argmax())
                raise ValueError(
                    f"{self.name}: {what!r} must be sorted, the best price first "
                    f"(got {prices[at]} before {prices[at + 1]})"
                )

    @property
    def best(self) -> tuple[int, int]:
        """Best bid and ask in ticks, 0 for none."""
        bid, ask = (int(rows[0, 0]) if len(rows) else 0 for rows in self.sides)
        return bid, ask

    @property
    def sides(self) -> tuple[Rows, Rows]:
        """Bids and asks, at the places `Side` gives them."""
        return self.bids, self.asks

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask."""
        bid, ask = self.best
        return 0 < ask <= bid

    def levels(self, side: Side) -> Rows:
        """Price and total lots of each level of a side, best first."""
        rows = self.sides[side]
        first = np.flatnonzero(np.diff(rows[:, 0], prepend=0))
        lots = np.add.reduceat(rows[:, 1], first) if len(first) else rows[:0, 1]
        return np.column_stack([rows[first, 0], lots])
