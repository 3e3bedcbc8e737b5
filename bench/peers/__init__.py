"""Order books from PyPI behind one interface, to be measured beside ours.

A module drives one of them, and only it imports its peer. A ``Matcher`` gets the
messages and has to find the trades. A ``Keeper`` does not match; it is told what
becomes of the orders, and has to show the book.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flashwick.orderbook.orders import Kind

# Plain integers: an attribute of an enumeration costs as much as half a message.
LIMIT, MARKET, CANCEL = int(Kind.LIMIT), int(Kind.MARKET), int(Kind.CANCEL)
REPLACE = int(Kind.REPLACE)

Message = tuple[int, int, int, int, int, int]
"""Kind, order, side, price in ticks, quantity in lots, time in force.

A new order's id is the one that our book gives it: 1 and up, without gaps.
"""

Trade = tuple[int, int, int, int]
"""The maker's order, the taker's order, price, quantity."""

Levels = list[tuple[int, int]]
"""Price and quantity of the levels of one side, best first."""


class Lacks(Enum):
    """Kinds of message that a peer may lack, and what it gets in their place."""

    REPLACE = "cancel and limit order"
    MARKET = "limit order at the far end of the book, immediate or cancel"
    IOC = "limit order, then a cancel of the rest"


class Peer(ABC):
    """What is known of a peer without running it."""

    distribution: ClassVar[str]
    """Its name on PyPI."""

    messages: ClassVar[int] = 100_000
    """Messages it gets in the regular profile."""

    rounds: ClassVar[int] = 3
    """How often it is measured in the regular profile."""

    @classmethod
    def version(cls) -> str:
        """Version of what is installed."""
        return version(cls.distribution)


class Matcher(Peer):
    """An engine that matches orders, with one empty book."""

    lacks: ClassVar[frozenset[Lacks]] = frozenset()

    hangs: ClassVar[dict[str, int]] = {}
    """Messages of a flow after which the next call never returns."""

    def prepare(self, messages: Sequence[Message]) -> Any:
        """The messages in the form that ``feed`` reads; not timed."""
        return messages

    @abstractmethod
    def feed(self, messages: Any) -> None:
        """Put the messages in."""

    @abstractmethod
    def trades(self) -> list[Trade]:
        """All trades so far, in order."""


class Keeper(Peer):
    """A book that is told of every change (``stream.CHANGE``), and does not match."""

    @abstractmethod
    def __init__(
        self, prefill: NDArray[np.void], changes: NDArray[np.void]
    ) -> None:  # pragma: no cover
        """A book after ``prefill``, with the changes in the form it reads."""

    @abstractmethod
    def run(self) -> None:
        """Bring the book up to date."""

    @abstractmethod
    def levels(self) -> tuple[Levels, Levels]:
        """Bids and asks."""


MATCHERS = {
    "flashwick in one batch": "ours.Batch",
    "flashwick": "ours.Calls",
    "flashwick in Python": "ours.Readable",
    "cython-orderbook": "cython_orderbook.CythonOrderbook",
    "lightmatchingengine": "lightmatchingengine.Lightmatchingengine",
    "nanobook": "nanobook.Nanobook",
    "obook": "obook.Obook",
    "PAMS": "pams.Pams",
    "pyorderbook": "pyorderbook.Pyorderbook",
}
KEEPERS = {
    "hftbacktest": "hftbacktest.Hftbacktest",
    "nautilus_trader": "nautilus_trader.Nautilus",
    "nautilus_trader with 2000 own orders": "nautilus_trader.NautilusWithOwnOrders",
    "order-book": "order_book.OrderBookInC",
}
"""Peers by their name in the table: module and class."""


def load(place: str) -> type[Any]:
    """The class at ``module.Class``; ``ImportError`` if its peer is not installed."""
    module, name = place.split(".")
    loaded: type[Any] = getattr(import_module(f".{module}", __package__), name)
    return loaded
