"""The rules of matching, in readable Python.

``_vet`` says which order may enter, ``_enter`` and ``_match`` what trades at which
price and what becomes of the rest, ``_uncross`` what trades in an auction.
``commands.py`` says what messages make of it, ``reference.py`` puts arrays around.
"""

from typing import Any

import attrs

from .ladder import Order, no_limit, within
from .messages import (
    AUCTION,
    POST_ONLY,
    REDUCE_ONLY,
    SLIDE,
    Message,
    Refused,
    Result,
    require,
)
from .orders import (
    FILL,
    PRICE_MAX,
    QTY_MAX,
    Kind,
    Phase,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from .resting import Listener, Resting
from .stops import LAST

UINT64 = 2**64


class Matching(Resting):
    """Orders enter, meet others, trade or rest."""

    def __init__(self, listener: Listener | None = None) -> None:
        super().__init__(listener)
        self.trades = 0
        self.traded_qty = 0
        self.notional = 0
        self.trade_hash = 0xCBF29CE484222325
        self._self_trade: dict[int, int] = {}
        self._fills: list[tuple[Any, ...]] = []

    # -- ENTERING

    def _vet(self, order: Order, message: Message, leaving: int = 0) -> int:
        """Clip and re-price an order, or refuse what may not enter.  The lots clipped.

        ``leaving``: lots that go from its side of the book when it enters.
        """
        clipped = 0
        if order.flags & REDUCE_ONLY:
            room = self._room(order)
            require(room > 0, Reason.REDUCE_ONLY)
            clipped = max(0, order.open - room)
            order.open -= clipped
        if order.flags & POST_ONLY:
            self._keep_passive(order)
            message = message._replace(price=order.price)
        if message.kind == Kind.LIMIT and message.tif == TimeInForce.GTC:
            resting = self._ladder(order.market, order.side).lots - leaving
            require(resting + order.open <= QTY_MAX, Reason.OVERFLOW)
        self._ask(message._replace(qty=order.open))
        return clipped

    def _keep_passive(self, order: Order) -> None:
        """Refuse an order that would trade, or put it a tick behind the opposite."""
        best = self._opposite(order).best
        if best and within(order.side, best, order.price):
            behind = best - 1 if order.side == Side.BUY else best + 1
            slides = order.flags & SLIDE and 1 <= behind <= PRICE_MAX
            require(bool(slides), Reason.POST_ONLY_WOULD_CROSS)
            order.price = behind

    def _ask(self, message: Message) -> None:
        """Refuse what the keeper of accounts refuses."""
        if self._listener is not None:
            reason = self._listener.check(message._asdict())
            if reason:
                raise Refused(reason)

    def _enter(self, order: Order, message: Message, clipped: int) -> Result:
        """Trade what can be traded, then rest or cancel what is left."""
        book = self._markets[order.market]
        if book.breaker is not None:
            book.breaker.roll(message.time, book.last or book.reference)
        if order.display >= order.open:
            order.display = 0
        tighter = min if order.side == Side.BUY else max
        limit = tighter(order.price, book.band_limit(order.side))
        qty = order.open
        if message.tif == TimeInForce.FOK and self._available(order, limit) < qty:
            lost = clipped + qty
            return Result(order.id, cancelled=lost, reason=Reason.FOK_UNFILLABLE)
        filled, reason = 0, Reason.OK
        if book.phase == Phase.OPEN:
            filled, reason = self._match(order, limit, message)
        decremented = qty - filled - order.open
        if reason == Reason.OK and order.open:
            reason = self._leftover(order, limit, message)
        resting = order.open if reason == Reason.OK else 0
        if resting:
            self._rest(order)
        cancelled = clipped + qty - filled - resting
        if reason == Reason.OK and cancelled:
            reason = Reason.SELF_TRADE if decremented else Reason.REDUCE_ONLY
        return Result(order.id, filled, resting, cancelled, reason=reason)

    def _leftover(self, order: Order, limit: int, message: Message) -> Reason:
        """Why the rest of an order is cancelled; OK if it may rest."""
        if self._markets[order.market].phase == Phase.CALL:
            return Reason.OK
        best = self._opposite(order).best
        if message.kind == Kind.MARKET:
            if not best:
                return Reason.UNFILLED
            own_limit = limit == order.price
            return Reason.PROTECTION_PRICE if own_limit else Reason.PRICE_BAND
        if best and within(order.side, best, order.price):
            return Reason.PRICE_BAND
        return Reason.OK if message.tif == TimeInForce.GTC else Reason.UNFILLED

    # -- MATCHING

    def _match(self, taker: Order, limit: int, message: Message) -> tuple[int, Reason]:
        """Trade within the limit; the lots filled, and why it stopped before that."""
        book = self._markets[taker.market]
        opposite = self._opposite(taker)
        filled = 0
        while taker.open and opposite.best:
            if not within(taker.side, opposite.best, limit):
                break
            maker = opposite.first
            mode = self._self_trade.get(taker.account, SelfTrade.NONE)
            if mode and maker.account == taker.account:
                if self._meet_own(maker, taker, mode, message):
                    return filled, Reason.SELF_TRADE
                continue
            if self._clip(maker, message):
                continue
            lots = min(taker.open, maker.shown)
            taker.open -= lots
            filled += lots
            self._take(maker, lots)
            self._print(maker.price, lots, maker, taker, message)
            if book.breaker is not None:
                if book.breaker.trips(maker.price):
                    book.phase = book.breaker.phase
                    return filled, Reason.CIRCUIT_BREAKER if taker.open else Reason.OK
                book.breaker.reference = book.breaker.reference or maker.price
        return filled, Reason.OK

    def _meet_own(
        self, maker: Order, taker: Order, mode: int, message: Message
    ) -> bool:
        """Prevent a trade of an account with itself; whether the taker is done."""
        if mode == SelfTrade.DECREMENT:
            lots = min(taker.open, maker.open)
            taker.open -= lots
            self._cut_maker(maker, lots, Reason.SELF_TRADE, message)
        if mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
            self._cut_maker(maker, maker.open, Reason.SELF_TRADE, message)
        return mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH)

    def _clip(self, maker: Order, message: Message) -> bool:
        """Cut a resting reduce-only order to its position; whether that did anything.

        It may have gone then, so whoever asks has to look again.
        """
        if not maker.flags & REDUCE_ONLY:
            return False
        excess = maker.open - max(0, self._room(maker))
        if excess <= 0:
            return False
        self._cut_maker(maker, excess, Reason.REDUCE_ONLY, message)
        return True

    def _room(self, order: Order) -> int:
        """Lots by which a reduce-only order can reduce its account's position."""
        if self._listener is None:
            return 0
        position = self._listener.position(order.market, order.account, order.side)
        return -position if order.side == Side.BUY else position

    def _available(self, taker: Order, limit: int) -> int:
        """Lots a fill-or-kill order can count on."""
        mode = self._self_trade.get(taker.account, SelfTrade.NONE)
        breaker = self._markets[taker.market].breaker
        breaker = breaker and attrs.evolve(breaker)  # it may get a reference here
        lots = 0
        for price, queue in self._opposite(taker).levels():
            if not within(taker.side, price, limit):
                break
            hidden = 0
            for maker in queue.values():
                if mode and maker.account == taker.account:
                    if mode == SelfTrade.CANCEL_OLDEST:
                        continue
                    return lots
                # A reduce-only order may be clipped before its turn comes.
                reduces = maker.flags & REDUCE_ONLY
                if not reduces:
                    lots += maker.shown
                    hidden += maker.hidden
                if breaker:
                    if breaker.trips(price):
                        return lots
                    if not reduces or self._room(maker) > 0:
                        breaker.reference = breaker.reference or price
                if lots >= taker.open:
                    return lots
            # Hidden lots stand behind all that the level shows.
            lots += hidden
        return lots

    def _print(
        self,
        price: int,
        lots: int,
        maker: Order,
        taker: Order,
        message: Message,
        mark: int = 0,
    ) -> None:
        """Record a trade, and tell the keeper of accounts."""
        self._markets[taker.market].stops.see(LAST, price)
        self.trades += 1
        self.traded_qty = (self.traded_qty + lots) % UINT64
        self.notional = (self.notional + price * lots) % UINT64
        mixed = maker.id + taker.id * 2654435761 + price * 40503 + lots * 69621
        self.trade_hash = (self.trade_hash ^ mixed % UINT64) * 0x100000001B3 % UINT64
        fill = (
            message.time,
            message.cause,
            price,
            lots,
            maker.id,
            taker.id,
            maker.account,
            taker.account,
            taker.market,
            self._row,
            taker.side,
            taker.flags | mark,
            maker.flags,
        )
        self._fills.append(fill)
        if self._listener is not None:
            self._listener.fill(dict(zip(FILL.names or (), fill, strict=False)))

    # -- AUCTION

    def _uncross(self, market: int, time: int) -> tuple[int, int]:
        """Trade at one price what can trade at it; the price and the lots.

        Both sides rest, so that there is no taker: the younger order stands for one.
        Self-trades are not prevented, and no band or breaker bounds the price.
        """
        book = self._markets[market]
        price, _, _ = book.clearing()
        message = Message(time=time, market=market)
        traded = 0
        while 0 < book.sides[Side.SELL].best <= price <= book.sides[Side.BUY].best:
            pair = [ladder.first for ladder in book.sides]
            if any(self._clip(order, message) for order in pair):
                continue
            lots = min(order.open for order in pair)
            for order in pair:
                self._take(order, lots)
            maker, taker = sorted(pair, key=lambda order: order.id)
            self._print(price, lots, maker, taker, message, AUCTION)
            traded += lots
        return (price if traded else 0), traded


def order_of(message: Message) -> Order:
    """The order that a message with its id brings."""
    return Order(
        message.order_id,
        message.market,
        message.account,
        message.side,
        message.price or no_limit(message.side),
        message.qty,
        message.flags,
        message.display,
    )
