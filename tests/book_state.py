"""What tests look at in an order book, the readable or the compiled one."""

from collections.abc import Iterator

from flashwick.orderbook.orders import Phase, Side, TimeInForce, messages
from flashwick.orderbook.reference import ReferenceBooks

BUY, SELL = Side.BUY, Side.SELL
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
OPEN, HALTED, CALL = Phase
ALICE, BOB, CAROL = 1, 2, 3
ATOM, BTC, EMPTY = 0, 1, 2

COUNTERS = (
    "last_id",
    "live_orders",
    "dormant_orders",
    "trades",
    "traded_qty",
    "notional",
    "trade_hash",
)


def sides(books: ReferenceBooks) -> Iterator[tuple[int, int]]:
    """Every market with each of its sides."""
    for market in range(books.n_markets):
        yield market, Side.BUY
        yield market, Side.SELL


def state(books: ReferenceBooks) -> dict[str, object]:
    """Everything that two equal books share, and a rejected message leaves alone."""
    return {
        "markets": books.top().tolist(),
        "orders": [books.orders(*side).tolist() for side in sides(books)],
        **{name: int(getattr(books, name)) for name in COUNTERS},
    }


def queue(books: ReferenceBooks, side: int, market: int = 0) -> list[list[int]]:
    """Id and open lots of the resting orders, in the order in which they trade."""
    return [[row["id"], row["qty"]] for row in books.orders(market, side)]


def trades(books: ReferenceBooks) -> list[tuple[int, int, int, int]]:
    """Maker, taker, price and lots of the single calls' fills since the last time."""
    fills = books.take_fills()
    names = ("maker_order", "taker_order", "price", "qty")
    return list(zip(*(fills[name].tolist() for name in names), strict=True))


def send(books: ReferenceBooks, **fields: int) -> dict[str, int]:
    """The RESULT, by field name, of one message sent as a batch."""
    batch = messages(1)
    for name, value in fields.items():
        batch[name] = value
    results, _ = books.process(batch)
    books._check()
    return {name: int(results[name][0]) for name in results.dtype.names[:-1]}


def events(books: ReferenceBooks) -> list[tuple[int, int, int, int]]:
    """Kind, order, lots and reason of the events since the last time."""
    rows = books.take_events()
    names = ("kind", "order_id", "qty", "reason")
    return list(zip(*(rows[name].tolist() for name in names), strict=True))


def prints(books: ReferenceBooks, price: int) -> None:
    """Let one lot trade at a price between the sides of market 0."""
    books.limit(market=0, account=2, side=Side.SELL, price=price, qty=1)
    books.limit(market=0, account=3, side=Side.BUY, price=price, qty=1)
    books._check()


def waiting(books: ReferenceBooks) -> list[int]:
    """Ids of the dormant orders of market 0."""
    return books.dormant(0)["id"].tolist()
