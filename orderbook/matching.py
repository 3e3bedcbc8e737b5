"""The rules of matching, in readable Python.

``_apply`` says what is refused, ``_enter`` and ``_match`` what trades at which price
and what becomes of the rest. ``reference.py`` puts the arrays of a batch around it.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import attrs

from .ladder import Ladder, Order, no_limit, within
from .orders import (
    ALL_MARKETS,
    FILL,
    PRICE_MAX,
    QTY_MAX,
    Flag,
    Kind,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)

ACCOUNT_MAX = 2**24 - 1
"""Highest account number."""

ID_MAX = 2**32 - 1
"""Highest order id."""

ID_GAP_MAX = 2**20
"""How far an explicit order id may lie ahead of the last one."""

POST_ONLY = int(Flag.POST_ONLY)  # plain: & on an IntFlag takes 1 µs
REDUCE_ONLY = int(Flag.REDUCE_ONLY)
PPM = 1_000_000
UINT64 = 2**64


class Listener(Protocol):
    """What the book asks of, and tells, the keeper of accounts."""

    def check(self, message: Mapping[str, int]) -> int:
        """Reason to refuse a new or re-entering order, 0 to let it in."""

    def position(self, market: int, account: int) -> int:
        """Signed position of the account, in lots."""

    def rest(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty_delta: int,
        flags: int,
    ) -> None:
        """Take note that open lots of the account rest (+) or rest no more (-)."""

    def fill(self, fill: Mapping[str, int]) -> None:
        """Book one trade; the maker's lots have left the book already."""


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


@attrs.define(eq=False)
class Market:
    """Both sides of a market and what its price band and halt need."""

    sides: tuple[Ladder, Ladder] = attrs.field(
        factory=lambda: (Ladder(Side.BUY), Ladder(Side.SELL))
    )
    last: int = 0  # price of the last trade, ticks
    reference: int = 0  # middle of the price band, ticks; 0: the last price
    band_ppm: int = 0  # 0: no band
    halted: bool = False

    def band_limit(self, side: int) -> int:
        """Worst price inside the band for a taker of ``side``; its edge is outside."""
        reference = self.reference or self.last
        if not (self.band_ppm and reference):
            return no_limit(side)
        if side == Side.BUY:
            return (reference * (PPM + self.band_ppm) - 1) // PPM
        return reference * (PPM - self.band_ppm) // PPM + 1


class Refused(Exception):
    """A message that changes nothing, with its reason code."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


def require(condition: bool, reason: Reason) -> None:
    """Refuse the message unless the condition holds."""
    if not condition:
        raise Refused(reason)


class Matching:
    """Markets, resting orders and the rules by which messages change them."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.last_id = 0
        self.trades = 0
        self.traded_qty = 0
        self.notional = 0
        self.trade_hash = 0xCBF29CE484222325
        self._listener = listener
        self._markets: list[Market] = []
        self._live: dict[int, Order] = {}
        self._self_trade: dict[int, int] = {}
        self._fills: list[tuple[Any, ...]] = []

    # -- ONE MESSAGE

    def _apply(self, message: Message, row: int) -> Result:
        kind = message.kind
        try:
            require(Kind.LIMIT <= kind <= Kind.REPLACE, Reason.UNKNOWN_KIND)
            every = kind == Kind.CANCEL_ALL and message.market == ALL_MARKETS
            known = 0 <= message.market < len(self._markets)
            require(known or every, Reason.UNKNOWN_MARKET)
            require(0 <= message.account <= ACCOUNT_MAX, Reason.UNKNOWN_ACCOUNT)
            if kind == Kind.CANCEL_ALL:
                return self._cancel_all(message)
            if kind == Kind.CANCEL:
                order = self._own_order(message)
                self._reduce(order, lots := order.open)
                return Result(order.id, cancelled=lots)
            if kind == Kind.REPLACE:
                return self._replace(message, row)
            return self._new(message, row)
        except Refused as refused:
            named = message.order_id if kind in (Kind.CANCEL, Kind.REPLACE) else 0
            return Result(named, accepted=0, reason=refused.reason)

    def _cancel_all(self, message: Message) -> Result:
        require(Side.BUY <= message.side <= Side.BOTH, Reason.INVALID_OPTION)
        hit = [
            order
            for order in self._live.values()
            if order.account == message.account
            and message.market in (ALL_MARKETS, order.market)
            and message.side in (Side.BOTH, order.side)
        ]
        for order in sorted(hit, key=attrgetter("id"), reverse=True):
            self._reduce(order, order.open)
        return Result(0, cancelled=len(hit))

    def _replace(self, message: Message, row: int) -> Result:
        old = self._own_order(message)
        require(1 <= message.qty <= QTY_MAX, Reason.INVALID_QTY)
        require(1 <= message.price <= PRICE_MAX, Reason.INVALID_PRICE)
        require(not self._markets[old.market].halted, Reason.MARKET_HALTED)
        if message.price == old.price and message.qty <= old.open:
            shrunk = old.open - message.qty
            self._reduce(old, shrunk)
            return Result(old.id, open=old.open, cancelled=shrunk)
        new = attrs.evolve(old, price=message.price, open=message.qty)
        message = message._replace(
            kind=Kind.LIMIT, side=old.side, tif=TimeInForce.GTC, flags=old.flags
        )
        self._tell_rest(old, -old.open)
        try:
            clipped = self._vet(new, message)
        except Refused:
            self._tell_rest(old, old.open)
            raise
        self._unlink(old)
        return self._enter(new, message, row, clipped)

    def _new(self, message: Message, row: int) -> Result:
        is_market = message.kind == Kind.MARKET
        only_resting = message.flags & POST_ONLY
        valid = (
            message.side in (Side.BUY, Side.SELL)
            and TimeInForce.GTC <= message.tif <= TimeInForce.FOK
            and message.flags <= 7
            and not (only_resting and (is_market or message.tif != TimeInForce.GTC))
            and message.order_id >= 0
        )
        require(valid, Reason.INVALID_OPTION)
        require(1 <= message.qty <= QTY_MAX, Reason.INVALID_QTY)
        lowest = 0 if is_market else 1
        require(lowest <= message.price <= PRICE_MAX, Reason.INVALID_PRICE)
        order_id = message.order_id or self.last_id + 1
        require(order_id > self.last_id, Reason.DUPLICATE_ID)
        require(order_id - self.last_id <= ID_GAP_MAX, Reason.INVALID_OPTION)
        require(order_id <= ID_MAX, Reason.OVERFLOW)
        require(not self._markets[message.market].halted, Reason.MARKET_HALTED)
        order = Order(
            order_id,
            message.market,
            message.account,
            message.side,
            message.price or no_limit(message.side),
            message.qty,
            message.flags,
        )
        clipped = self._vet(order, message)
        self.last_id = order_id
        return self._enter(order, message, row, clipped)

    def _vet(self, order: Order, message: Message) -> int:
        """Clip a reduce-only order; refuse what may not enter.  The lots clipped."""
        clipped = 0
        if order.flags & REDUCE_ONLY:
            room = self._room(order)
            require(room > 0, Reason.REDUCE_ONLY)
            clipped = max(0, order.open - room)
            order.open -= clipped
        if order.flags & POST_ONLY:
            best = self._opposite(order).best
            crosses = best and within(order.side, best, order.price)
            require(not crosses, Reason.POST_ONLY_WOULD_CROSS)
        if self._listener is not None:
            reason = self._listener.check(message._replace(qty=order.open)._asdict())
            if reason:
                raise Refused(reason)
        return clipped

    # -- MATCHING

    def _enter(self, order: Order, message: Message, row: int, clipped: int) -> Result:
        """Trade what can be traded, then rest or cancel what is left."""
        tighter = min if order.side == Side.BUY else max
        band = self._markets[order.market].band_limit(order.side)
        limit = tighter(order.price, band)
        qty = order.open
        if message.tif == TimeInForce.FOK and self._available(order, limit) < qty:
            lost = clipped + qty
            return Result(order.id, cancelled=lost, reason=Reason.FOK_UNFILLABLE)
        filled, met_itself = self._match(order, limit, message, row)
        decremented = qty - filled - order.open
        reason = Reason.OK
        if met_itself:
            reason = Reason.SELF_TRADE
        elif order.open:
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
        best = self._opposite(order).best
        if message.kind == Kind.MARKET:
            if not best:
                return Reason.UNFILLED
            own_limit = limit == order.price
            return Reason.PROTECTION_PRICE if own_limit else Reason.PRICE_BAND
        if best and within(order.side, best, order.price):
            return Reason.PRICE_BAND
        return Reason.OK if message.tif == TimeInForce.GTC else Reason.UNFILLED

    def _match(
        self, taker: Order, limit: int, message: Message, row: int
    ) -> tuple[int, bool]:
        """Trade within the limit; the lots filled, and whether it met itself."""
        opposite = self._opposite(taker)
        mode = self._self_trade.get(taker.account, SelfTrade.NONE)
        filled = 0
        while taker.open and opposite.best:
            if not within(taker.side, opposite.best, limit):
                break
            maker = opposite.first
            if mode and maker.account == taker.account:
                if mode == SelfTrade.DECREMENT:
                    lots = min(taker.open, maker.open)
                    taker.open -= lots
                    self._reduce(maker, lots)
                if mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
                    self._reduce(maker, maker.open)
                if mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH):
                    return filled, True
                continue
            if maker.flags & REDUCE_ONLY:
                excess = maker.open - max(0, self._room(maker))
                if excess > 0:
                    self._reduce(maker, excess)
                    continue
            lots = min(taker.open, maker.open)
            self._trade(maker, taker, lots, message, row)
            filled += lots
        return filled, False

    def _available(self, taker: Order, limit: int) -> int:
        """Lots a fill-or-kill order can count on."""
        mode = self._self_trade.get(taker.account, SelfTrade.NONE)
        lots = 0
        for maker in self._opposite(taker):
            if lots >= taker.open or not within(taker.side, maker.price, limit):
                break
            if mode and maker.account == taker.account:
                if mode == SelfTrade.CANCEL_OLDEST:
                    continue
                break
            # A reduce-only order may be clipped before its turn comes.
            if not maker.flags & REDUCE_ONLY:
                lots += maker.open
        return lots

    def _trade(
        self, maker: Order, taker: Order, lots: int, message: Message, row: int
    ) -> None:
        price = maker.price
        self._reduce(maker, lots)
        taker.open -= lots
        self._markets[taker.market].last = price
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
            row,
            taker.side,
            taker.flags,
            maker.flags,
        )
        self._fills.append(fill)
        if self._listener is not None:
            self._listener.fill(dict(zip(FILL.names or (), fill, strict=False)))

    # -- RESTING ORDERS

    def _own_order(self, message: Message) -> Order:
        order = self._live.get(message.order_id)
        if order is None:
            raise Refused(Reason.UNKNOWN_ORDER)
        own = (order.market, order.account) == (message.market, message.account)
        require(own, Reason.UNKNOWN_ORDER)
        return order

    def _rest(self, order: Order) -> None:
        self._ladder(order.market, order.side).add(order)
        self._live[order.id] = order
        self._tell_rest(order, order.open)

    def _unlink(self, order: Order) -> None:
        self._ladder(order.market, order.side).remove(order)
        del self._live[order.id]

    def _reduce(self, order: Order, lots: int) -> None:
        """Take lots off a resting order; without any left it goes."""
        order.open -= lots
        if not order.open:
            self._unlink(order)
        self._tell_rest(order, -lots)

    def _room(self, order: Order) -> int:
        """Lots by which a reduce-only order can reduce its account's position."""
        if self._listener is None:
            return 0
        position = self._listener.position(order.market, order.account)
        return -position if order.side == Side.BUY else position

    def _tell_rest(self, order: Order, delta: int) -> None:
        if self._listener is not None and delta:
            self._listener.rest(
                order.market, order.account, order.side, order.price, delta, order.flags
            )

    # -- LOOKING UP

    def _known(self, market: int) -> Market:
        last = len(self._markets) - 1
        if not 0 <= market <= last:
            raise IndexError(f"'market' must be from 0 to {last} (got {market}).")
        return self._markets[market]

    def _ladder(self, market: int, side: int) -> Ladder:
        if side not in (Side.BUY, Side.SELL):
            raise ValueError(f"'side' must be 0 (buy) or 1 (sell) (got {side}).")
        return self._known(market).sides[side]

    def _opposite(self, order: Order) -> Ladder:
        return self._markets[order.market].sides[1 - order.side]
