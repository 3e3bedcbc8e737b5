"""An agent of one's own: a small class with the access that all participants have.

It sees the market and its own accounts, draws from its own random stream, wakes when it
wants, and sends messages through the gateway like everyone.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..margin.markets import Number
from ..orderbook.orders import Reason
from .orders import AccountView, Depth, Order, Quote

if TYPE_CHECKING:
    from .chance import Stream
    from .seats import Seat

Rows = NDArray[np.void]
Deposits = Mapping[str, Number]


class AgentError(RuntimeError):
    """What went wrong in the code of an agent, with its name and the time."""


@frozen(kw_only=True)
class Fill:
    """A trade of an agent, from its side; prices and quantities in units."""

    time: float  # of the trade, seconds
    account: int
    market: str
    side: str  # buy or sell: what the agent did
    price: float
    qty: float
    maker: bool  # its order rested
    forced: bool  # the liquidation engine sent its order
    order_id: int
    event: int  # of the trade


@frozen(kw_only=True)
class Refusal:
    """A message of an agent that was refused, and why."""

    time: float
    account: int
    market: str
    side: str
    price: float
    qty: float
    order_id: int
    reason: Reason


class Agent:
    """A participant of one's own: subclass it and give instances to a run.

    Write any of `start`, `wake`, `filled` and `refused`; what they call on ``self`` is
    below. A run works on copies, which are in ``run.agents`` when it is over.
    """

    name: str = ""
    """Its name in the run; without one, that of the class."""

    deposits: Deposits | Sequence[Deposits] = ()
    """Coins that it has at the start, by asset; a list of tables opens an account
    for each."""

    interval: float | None = 1.0
    """Seconds from one `wake` to the next; None: it wakes when it asked to."""

    like: str = "arbitrage"
    """The class of participants whose latency its messages have."""

    _seat: "Seat | None" = None

    # -- WHAT ONE WRITES

    def start(self) -> None:
        """Act at the beginning of the run."""

    def wake(self) -> None:
        """Look at the market and act."""

    def filled(self, fill: Fill) -> None:
        """Act on a trade of one's own; what is sent here has it as its cause."""

    def refused(self, refusal: Refusal) -> None:
        """Act on a message that was refused."""

    # -- WHAT IT SEES

    @property
    def time(self) -> float:
        """Seconds since the start of the run."""
        return self.seat.seconds

    @property
    def accounts(self) -> tuple[int, ...]:
        """Numbers of its accounts."""
        return self.seat.accounts

    @property
    def account(self) -> int:
        """Number of its first account."""
        return self.seat.account()

    @property
    def markets(self) -> tuple[str, ...]:
        """Names of all markets."""
        return self.seat.exchange.markets

    @property
    def random(self) -> "Stream":
        """Random numbers of its own: they depend on the seed and its name alone."""
        return self.seat.stream

    @property
    def waiting(self) -> bool:
        """Whether a message of its own is still on its way to the books."""
        return self.seat.waiting()

    def best(self, market: str) -> Quote:
        """Best bid and ask of a book, their middle, and the last price."""
        return self.seat.exchange.best(market)

    def depth(self, market: str, levels: int | None = 10) -> Depth:
        """The best levels of a book, all of them for None."""
        return self.seat.exchange.depth(market, levels)

    def index(self, asset: str) -> float:
        """US dollars of one unit of an asset, as the venue counts it."""
        exchange = self.seat.exchange
        return float(exchange.index[exchange.units.asset(asset)])

    def outside(self, asset: str) -> float:
        """US dollars of one unit of an asset outside the venue."""
        return self.seat.outside(asset)

    def mark(self, market: str) -> float:
        """Mark price of a perpetual, in its quote asset; NaN of a spot market."""
        exchange = self.seat.exchange
        return float(exchange.mark[exchange.units.market(market)])

    def view(self, account: int | None = None) -> AccountView:
        """What an account of its own has and is worth, its first without a number."""
        return self.seat.exchange.account(self.seat.account(account))

    def open_orders(self, account: int | None = None) -> Rows:
        """Its orders that rest or wait, as rows of `Exchange.open_orders`."""
        return self.seat.exchange.open_orders(self.seat.account(account))

    @property
    def liquidated(self) -> bool:
        """Whether an account of its own was liquidated, or is being so."""
        return self.seat.liquidated()

    # -- WHAT IT DOES

    def buy(
        self,
        market: str,
        qty: Number,
        price: Number | None = None,
        *,
        account: int | None = None,
        **options: Any,
    ) -> bool:
        """Buy at market, or with a price by a limit order; whether one was sent.

        ``qty`` is in units of the base, rounded down to the lot, ``price`` in the
        quote, rounded away from the other side to the tick; less than a lot is not
        sent. ``options`` are those of `limit` and `market`.
        """
        return self.seat.order(account, market, "buy", qty, price, options)

    def sell(
        self,
        market: str,
        qty: Number,
        price: Number | None = None,
        *,
        account: int | None = None,
        **options: Any,
    ) -> bool:
        """Sell at market, or with a price by a limit order; as `buy`."""
        return self.seat.order(account, market, "sell", qty, price, options)

    def submit(self, order: Order) -> None:
        """Send an order as it is, made by `limit` or `market`."""
        self.seat.submit(order)

    def send(self, batch: Rows) -> None:
        """Send messages in the books' own units, as `messages` makes them."""
        self.seat.post(batch)

    def cancel(self, order_id: int) -> None:
        """Cancel an order of its own by its number in `open_orders`."""
        self.seat.cancel(order_id)

    def cancel_all(
        self,
        market: str | None = None,
        side: str | None = None,
        *,
        account: int | None = None,
    ) -> None:
        """Cancel its orders, of one market or side, or all of them."""
        self.seat.clear(account, market, side)

    def wake_in(self, seconds: float) -> None:
        """Wake once more after so many seconds."""
        self.seat.wake_in(seconds)

    def decide(self, text: str) -> None:
        """Tell of a decision, which is the cause of what is sent after it."""
        self.seat.decide(text)

    @property
    def seat(self) -> "Seat":
        """Its place in the running simulation; AgentError if it has none."""
        if self._seat is None:
            told = "is in no run: give it to one, as in crash.run(agents=[...])"
            raise AgentError(f"{type(self).__name__} {told}")
        return self._seat
