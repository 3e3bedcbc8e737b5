"""nautilus_trader: its matching engine, which fills one trader's orders from a book."""

from decimal import Decimal

import numpy as np
from nautilus_trader.backtest.engine import OrderMatchingEngine
from nautilus_trader.backtest.models import FillModel, MakerTakerFeeModel
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta
from nautilus_trader.model.enums import (
    AccountType,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
)
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientOrderId,
    InstrumentId,
    StrategyId,
    TraderId,
)
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.model.orders import LimitOrder
from numpy.typing import NDArray

from . import Keeper, Levels

MARKET = InstrumentId.from_str("A.V")
TRADER = TraderId("T-0")
SIDES = (OrderSide.BUY, OrderSide.SELL)
ACTIONS = (BookAction.ADD, BookAction.UPDATE, BookAction.DELETE)


def market() -> CryptoPerpetual:
    """A market whose ticks and lots are 1."""
    return CryptoPerpetual(
        instrument_id=MARKET,
        raw_symbol=MARKET.symbol,
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=0,
        size_precision=0,
        price_increment=Price(1, 0),
        size_increment=Quantity(1, 0),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal("0.1"),
        margin_maint=Decimal("0.05"),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


class Nautilus(Keeper):
    """Gets every change of an order (L3), one call a change."""

    distribution = "nautilus_trader"
    own_orders = 0

    def __init__(self, prefill: NDArray[np.void], changes: NDArray[np.void]) -> None:
        clock, self.cache = TestClock(), Cache()
        bus = MessageBus(TRADER, clock)
        bus.register("ExecEngine.process", lambda event: None)
        instrument = market()
        self.cache.add_instrument(instrument)
        self.engine = OrderMatchingEngine(
            instrument,
            0,
            FillModel(),
            MakerTakerFeeModel(),
            BookType.L3_MBO,
            OmsType.NETTING,
            AccountType.MARGIN,
            bus,
            self.cache,
            clock,
        )
        for delta in self._deltas(prefill):
            self.engine.process_order_book_delta(delta)
        for i in range(self.own_orders):
            self._rest(i)
        assert len(self.engine.get_open_orders()) == self.own_orders
        self.deltas = self._deltas(changes)

    def run(self) -> None:
        """Bring the book up to date."""
        engine = self.engine
        for delta in self.deltas:
            engine.process_order_book_delta(delta)

    def levels(self) -> tuple[Levels, Levels]:
        """Bids and asks."""
        book = self.engine.get_book()
        bids, asks = (
            [(int(level.price), int(level.size())) for level in side]
            for side in (book.bids(), book.asks())
        )
        return bids, asks

    def _rest(self, i: int) -> None:
        # A buy order of ours far below the market.
        order = LimitOrder(
            TRADER,
            StrategyId("S-0"),
            MARKET,
            ClientOrderId(f"O-{i}"),
            OrderSide.BUY,
            Quantity(1, 0),
            Price(1 + i % 500, 0),
            UUID4(),
            0,
        )
        self.cache.add_order(order, None)
        self.engine.process_order(order, AccountId("V-0"))

    @staticmethod
    def _deltas(changes: NDArray[np.void]) -> list[OrderBookDelta]:
        names = ("action", "side", "price", "qty", "order")
        columns = (changes[name].tolist() for name in names)
        return [
            OrderBookDelta(
                MARKET,
                ACTIONS[action],
                BookOrder(SIDES[side], Price(price, 0), Quantity(qty, 0), order),
                flags=0,
                sequence=0,
                ts_event=0,
                ts_init=0,
            )
            for action, side, price, qty, order in zip(*columns, strict=True)
        ]


class NautilusWithOwnOrders(Nautilus):
    """As above, while 2,000 orders of the trader rest far from the market."""

    messages = 5_000
    own_orders = 2_000
