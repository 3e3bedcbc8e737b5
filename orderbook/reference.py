"""The order book as a readable specification.

``flashwick.cython_ext.book.Books`` is the fast book with the same methods. The tests
hold the two equal message by message, so a question about matching is answered by
``matching.py`` and ``commands.py``; this module holds what goes in and out.
"""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import require_bool, require_whole
from .commands import Commands
from .market import Breaker, Market
from .messages import ACCOUNT_MAX, BY_INDEX, BY_MARK, ID_MAX, Message
from .orders import (
    ALL_MARKETS,
    DELTA,
    EVENT,
    FILL,
    MESSAGE,
    PRICE_MAX,
    RESULT,
    Kind,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)
from .stops import LAST
from .views import Views, require_ppm, table

ORDERS_MAX = 2**31
"""Most orders for which the compiled book has room."""

BOUNDS = {
    name: (int(np.iinfo(MESSAGE[name]).min), int(np.iinfo(MESSAGE[name]).max))
    for name in MESSAGE.names or ()
}
"""What each field of a message holds."""


class ReferenceBooks(Commands, Views):
    """Order books of any number of markets, written to be read.

    Accounts and markets are small integers, prices ticks, quantities lots. An optional
    listener knows positions and balances: it vets new orders and hears of every change.

    >>> books = ReferenceBooks()
    >>> market = books.add_market()
    >>> books.limit(market, 7, side=1, price=101, qty=5)
    1
    >>> books.market(market, 8, side=0, qty=2)
    2
    >>> books.order(1), books.take_fills()["price"].tolist()
    ((0, 7, 1, 101, 3), [101])
    """

    # -- MARKETS

    def add_market(self) -> int:
        """Open an empty market and return its number."""
        self._markets.append(Market())
        return len(self._markets) - 1

    def set_price_band(self, market: int, ppm: int) -> None:
        """Let no trade print as far as ``ppm`` millionths from the reference."""
        book = self._known(market)
        book.band_ppm = require_ppm(ppm)

    def set_reference(self, market: int, price: int) -> None:
        """Set the middle of the price band in ticks; 0 means the last price."""
        book = self._known(market)
        book.reference = require_whole("price", price, 0, PRICE_MAX)

    def set_last_price(self, market: int, price: int) -> None:
        """Set the last price in ticks, as if a trade had printed there."""
        self._set_price(market, LAST, price, 0)

    def set_trigger_price(
        self, market: int, flag: int, price: int, time: int = 0
    ) -> None:
        """Say what the mark or the index is, in ticks; orders may wait for it.

        ``flag`` is TRIGGER_MARK or TRIGGER_INDEX. What this sets off trades at once:
        `take_fills` and `take_events` have it, as of message -1.
        """
        source = require_whole("flag", flag)
        if source not in (BY_MARK, BY_INDEX):
            raise ValueError(
                f"'flag' must be TRIGGER_MARK ({BY_MARK}) or TRIGGER_INDEX "
                f"({BY_INDEX}) (got {source})."
            )
        self._set_price(market, source, price, time)

    def _set_price(self, market: int, source: int, price: int, time: int) -> None:
        number, time = self._numbered(market), require_whole("time", time)
        price = require_whole("price", price, 1, PRICE_MAX)
        self._row = -1
        self._markets[number].stops.see(source, price)
        self._finish(number, time)

    def set_phase(self, market: int, phase: int, time: int = 0) -> None:
        """Open a market, halt it, or call its auction.

        Open, orders trade. Halted, only cancels pass. In a call limit orders rest
        without trading, so that the book may cross. Whatever crosses trades when the
        market opens, as in `uncross`, and dormant orders that are due enter.
        """
        market, time = self._numbered(market), require_whole("time", time)
        phase = require_whole("phase", phase)
        if phase not in list(Phase):
            raise ValueError(f"'phase' must be a Phase from 0 to 2 (got {phase}).")
        book = self._markets[market]
        self._row = -1
        if phase == Phase.OPEN and book.phase != Phase.OPEN:
            # Once is enough unless reduce-only orders were cut on the way.
            while book.crossed:
                self._uncross(market, time)
            book.open()
        book.phase = phase
        self._finish(market, time)

    def uncross(self, market: int, time: int = 0) -> tuple[int, int]:
        """Trade at one price what crosses; the price and the lots, 0 and 0 for none.

        The price is that of `indicative`. The phase stays.
        """
        market, time = self._numbered(market), require_whole("time", time)
        self._row = -1
        price, lots = self._uncross(market, time)
        self._finish(market, time)
        return price, lots

    def set_circuit_breaker(
        self, market: int, ppm: int, window_ns: int = 0, phase: int = Phase.HALTED
    ) -> None:
        """Stop trading after a print too far from where a window of time began.

        Windows of ``window_ns`` follow one another, by the time of the messages. A
        print ``ppm`` millionths or more from the last price before the window is the
        last one: the rest of its taker is cancelled, and the market goes to ``phase``,
        HALTED or CALL. Without a last price the reference counts, or the first print
        of the window. 0 ppm removes the breaker.
        """
        book = self._known(market)
        ppm, window_ns = require_ppm(ppm), require_whole("window_ns", window_ns)
        if window_ns < 1 and ppm:
            raise ValueError(f"'window_ns' must be >= 1 (got {window_ns}).")
        phase = require_whole("phase", phase)
        if phase not in (Phase.HALTED, Phase.CALL):
            raise ValueError(f"'phase' must be HALTED (1) or CALL (2) (got {phase}).")
        book.breaker = Breaker(ppm, window_ns, phase) if ppm else None

    def set_self_trade(self, account: int, mode: int) -> None:
        """Choose what happens when the account would trade with itself (SelfTrade)."""
        account = require_whole("account", account, 0, ACCOUNT_MAX)
        mode = require_whole("mode", mode)
        if mode not in list(SelfTrade):
            raise ValueError(f"'mode' must be a SelfTrade from 0 to 4 (got {mode}).")
        self._self_trade[account] = mode

    # -- COMMANDS

    def process(
        self, messages: NDArray[np.void]
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Apply a batch; return one RESULT row a message, and the fills it made."""
        found = getattr(messages, "dtype", None)
        if found != MESSAGE:
            raise TypeError(
                "'messages' must be of dtype MESSAGE "
                f"(got {found or type(messages).__name__})."
            )
        if messages.ndim != 1:
            raise TypeError(f"'messages' must have one axis (got {messages.ndim}).")
        waiting, self._fills = self._fills, []
        rows = [
            self._handle(Message._make(values), row)
            for row, values in enumerate(messages.tolist())
        ]
        fills, self._fills = self.take_fills(), waiting
        return table(rows, RESULT), fills

    def limit(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty: int,
        tif: int = 0,
        flags: int = 0,
        cause: int = 0,
        time: int = 0,
        display: int = 0,
        trigger: int = 0,
    ) -> int:
        """Send a limit order; its id, or minus the reason it was refused for."""
        return self._call(
            Message(
                kind=Kind.LIMIT,
                market=market,
                account=account,
                side=side,
                price=price,
                qty=qty,
                tif=tif,
                flags=flags,
                cause=cause,
                time=time,
                display=display,
                trigger=trigger,
            )
        )

    def market(
        self,
        market: int,
        account: int,
        side: int,
        qty: int,
        protection: int = 0,
        flags: int = 0,
        cause: int = 0,
        time: int = 0,
        trigger: int = 0,
    ) -> int:
        """Send a market order; its id, or minus the reason it was refused for."""
        return self._call(
            Message(
                kind=Kind.MARKET,
                market=market,
                account=account,
                side=side,
                price=require_whole("protection", protection),
                qty=qty,
                tif=TimeInForce.IOC,
                flags=flags,
                cause=cause,
                time=time,
                trigger=trigger,
            )
        )

    def cancel(self, market: int, account: int, order_id: int) -> int:
        """Cancel one order; the lots that were open, or minus the reason."""
        return self._call(
            Message(kind=Kind.CANCEL, market=market, account=account, order_id=order_id)
        )

    def cancel_all(
        self, account: int, market: int = ALL_MARKETS, side: int = Side.BOTH
    ) -> int:
        """Cancel the account's orders; how many they were, or minus the reason."""
        return self._call(
            Message(kind=Kind.CANCEL_ALL, market=market, account=account, side=side)
        )

    def replace(
        self,
        market: int,
        account: int,
        order_id: int,
        price: int,
        qty: int,
        trigger: int = 0,
    ) -> int:
        """Give an order a new price and open quantity; its id, or minus the reason.

        ``trigger``: a new one for a dormant order, 0 for none.
        """
        return self._call(
            Message(
                kind=Kind.REPLACE,
                market=market,
                account=account,
                order_id=order_id,
                price=price,
                qty=qty,
                trigger=trigger,
            )
        )

    def _call(self, message: Message) -> int:
        # A single call answers with one number where a batch has a row.
        message = Message._make(
            require_whole(name, value, *BOUNDS[name])
            for name, value in message._asdict().items()
        )
        result = self._handle(message, 0)
        if not result.accepted:
            return -result.reason
        if message.kind in (Kind.CANCEL, Kind.CANCEL_ALL):
            return result.cancelled
        return result.order_id

    def reserve(self, orders: int, ids: int = 0) -> None:
        """Make room for so many resting orders, and ids, ahead of time.

        Here there is nothing to do; the compiled book gets its memory.
        """
        require_whole("orders", orders, 0, ORDERS_MAX)
        require_whole("ids", ids, 0, ID_MAX - self.last_id)

    # -- TAPES

    def take_fills(self) -> NDArray[np.void]:
        """Hand over, once, the fills of the single calls since the last time."""
        fills, self._fills = self._fills, []
        return table(fills, FILL)

    def take_events(self) -> NDArray[np.void]:
        """Hand over, once, what happened to orders that no message named.

        Rows of EVENT: orders that were triggered, refused when they were, or lost lots
        to self-trade prevention, a position too small for reduce-only, or as the rest
        of a triggered order.
        """
        events, self._events = self._events, []
        return table(events, EVENT)

    def record_depth(self, on: bool) -> None:
        """Keep a tape of the levels that messages change, or stop doing so."""
        self._recording = require_bool("on", on)

    def take_deltas(self) -> NDArray[np.void]:
        """Hand over, once, the changes of levels while they were recorded.

        Rows of DELTA: the lots a level shows after a message that changed them, 0 for
        a level that went. Those of one message are by market, side and price.
        """
        deltas, self._deltas = self._deltas, []
        return table(deltas, DELTA)
