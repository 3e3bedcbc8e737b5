"""What liquidation is about: the venue it runs on, and the accounts it has in hand."""

from typing import Any, Protocol

import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from ..cython_ext.book import Books
from ..cython_ext.ledger import Ledger
from ..cython_ext.risk import Risk
from .markets import MarketSpec

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = NDArray[np.void]


class Venue(Protocol):
    """What the liquidation engine needs of an exchange."""

    ledger: Ledger
    risk: Risk
    books: Books
    log: Any
    specs: tuple[MarketSpec, ...]
    assets: tuple[str, ...]
    base: NDArray[np.int64]
    quote: NDArray[np.int64]
    atom: Floats
    tick: Floats
    lot: Floats
    index_event: Integers
    mark_event: Integers

    @property
    def index(self) -> Floats:
        """Index prices by asset, US dollars."""

    @property
    def mark(self) -> Floats:
        """Mark prices by market, NaN for spot."""

    def execute(self, batch: Rows) -> tuple[Rows, Rows]:
        """Take a batch of the venue's own orders through books and ledger."""


@define
class Case:
    """One account in liquidation, from its breach until it is healthy or empty."""

    account: int
    breach: int  # event id
    cycle: int = 0  # cycles in which all its orders were sent
    cancelled: list[str] = Factory(list)  # the cancelling steps it is through
    slices: dict[int, int] = Factory(dict)  # asset: lots sold a cycle
    # Market and leg: lots closed a cycle.
    position_slices: dict[tuple[int, int], int] = Factory(dict)
    sold_out: bool = False  # nothing was left to sell or close in the last cycle
    starved: bool = False  # the rate limit held back orders of this cycle
    sent: list[tuple[int, int]] = Factory(list)  # market, side: had its order already
    resting: int = 0  # until this time it is left alone, after a large order
