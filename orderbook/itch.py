"""Replay of NASDAQ TotalView-ITCH 5.0: every stock's book, order by order.

A file is messages one after another, each behind its length in 2 bytes, or behind two
zeros. Layouts and meanings are those of the specification, "NASDAQ TotalView-ITCH 5.0".
The source has no second account of the book, so what can be verified is that it does
not contradict itself: orders that are named rest, no more is taken than rests, and
books in which trading goes on are not crossed.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from struct import Struct
from typing import NamedTuple

import attrs

from .clock import Time, up_to
from .errors import DataError
from .files import AnyPath, Progress, blocks
from .orders import PRICE_MAX, Side
from .recorded import AnyBooks, Check, RecordedBook, Replay

TICK, LOT = Fraction(1, 10_000), Fraction(1)
"""Prices have four decimals; a lot is a share."""

KINDS = {
    "S": (12, "system event"),
    "R": (39, "stock directory"),
    "H": (25, "trading action"),
    "Y": (20, "short sale restriction"),
    "L": (26, "market participant position"),
    "V": (35, "circuit breaker levels"),
    "W": (12, "circuit breaker status"),
    "K": (28, "IPO quotation"),
    "J": (35, "auction collar"),
    "h": (21, "operational halt"),
    "A": (36, "add order"),
    "F": (40, "add order, attributed"),
    "E": (31, "order executed"),
    "C": (36, "order executed at a price"),
    "X": (23, "order cancelled in part"),
    "D": (19, "order deleted"),
    "U": (35, "order replaced"),
    "P": (44, "trade"),
    "Q": (40, "cross trade"),
    "B": (19, "broken trade"),
    "I": (50, "order imbalance"),
    "N": (20, "retail interest"),
    "O": (48, "direct listing"),
}
"""Length in bytes, and name, of each type of message."""

HEAD = Struct(">cH2xHI")
"""Type, stock locate, (tracking number,) time since midnight in ns: 48 bits."""

STOCK, STATE = Struct(">8s"), Struct(">8sc")
ADD = Struct(">QcI8sI")  # order, side, shares, stock, price
EXECUTE = Struct(">QI")  # order, shares; of E and X
EXECUTE_AT = Struct(">QIQcI")  # order, shares, match, printable, price
ORDER = Struct(">Q")
REPLACE = Struct(">QQII")  # old order, new order, shares, price
TRADE = Struct(">QcI8sI")  # 0, side, shares, stock, price
BODY = HEAD.size

TRADING = b"T"
END = b"C"


class _Known(NamedTuple):
    """An order that rests; ``id`` is 0 where its price is beyond the books."""

    stock: "_Stock"
    side: int
    id: int


@attrs.define
class _Stock:
    """A stock's book, and whether trading in it goes on."""

    book: RecordedBook
    trading: bool = False


def replay(
    path: AnyPath,
    *,
    until: Time | None = None,
    books: AnyBooks | None = None,
    on_progress: Progress | None = None,
) -> Replay:
    """Replay an ITCH 5.0 file, plain or gzipped.

    ``until`` is the time of the last messages to take, such as "09:45". ``books`` is
    the engine to use, the compiled one by default. Raises `DataError` for a file that
    is damaged, cut short, or no ITCH. O(messages), in the memory of the orders that
    live.
    """
    day = _Day(path, books)
    messages = up_to(read(path, on_progress), until, _time)
    for number, message in enumerate(messages, 1):
        day.take(number, message)
    return day.result(whole=until is None)


def read(path: AnyPath, on_progress: Progress | None = None) -> Iterator[bytes]:
    """The messages of an ITCH file, without their lengths.  Raises `DataError`."""
    lengths = {ord(kind): size for kind, (size, _) in KINDS.items()}
    number, start, rest = 1, 0, b""  # start: where `rest` begins in the file
    for block in blocks(path, on_progress):
        data, at = rest + block, 0
        while at + 3 <= len(data):
            size = lengths.get(data[at + 2])
            told = data[at] << 8 | data[at + 1]
            if size is None or told not in (0, size):
                kind = chr(data[at + 2])
                wanted = (
                    f"its length must be 0 or {size} (got {told})"
                    if size
                    else f"its type must be one of {''.join(KINDS)} (got {kind!r})"
                )
                raise DataError(
                    f"{path}: message {number} at byte {start + at:,}: {wanted}: is it "
                    "an ITCH 5.0 file?"
                )
            if at + 2 + size > len(data):
                break
            yield data[at + 2 : at + 2 + size]
            at += 2 + size
            number += 1
        rest = data[at:]
        start += at
    if rest:
        raise DataError(
            f"{path}: message {number} at byte {start:,}: the file is cut short "
            f"({len(rest)} bytes are left): fetch it again"
        )


def _time(message: bytes) -> int:
    _, _, high, low = HEAD.unpack_from(message)
    time: int = high << 32 | low
    return time


class _Day:
    """The books of a file, and what has been found about it so far."""

    def __init__(self, path: AnyPath, books: AnyBooks | None) -> None:
        self.path, self.books = path, books
        self.rows = dict.fromkeys(KINDS, 0)
        self.stocks: dict[int, _Stock] = {}  # by locate
        self.names: dict[str, RecordedBook] = {}
        self.known = Check("orders that are named rest in a book")
        self.enough = Check("no more is taken than rests")
        self.fresh = Check("order numbers are new")
        self.listed = Check("stocks are in the directory")
        self.apart = Check("best bid below best ask, while trading")
        self.ended = Check("file ends with the end of messages")
        self.best = Check("executions first come, first served", required=False)
        self.held = Check("prices within the books' range", required=False)
        self._orders: dict[int, _Known] = {}
        self._number = 0
        self._time = 0
        self._take: dict[bytes, Callable[[int, bytes], _Stock | None]] = {
            b"S": self._event,
            b"R": self._directory,
            b"H": self._action,
            b"A": self._added,
            b"F": self._added,
            b"E": self._executed,
            b"C": self._executed,
            b"X": self._cancelled,
            b"D": self._deleted,
            b"U": self._replaced,
            b"P": self._traded,
        }
        self._over = False

    def take(self, number: int, message: bytes) -> None:
        """Read a message."""
        kind, locate, high, low = HEAD.unpack_from(message)
        self.rows[kind.decode()] += 1
        self._number, time = number, high << 32 | low
        if time < self._time:
            raise DataError(
                f"{self._place()}: time must not be before the message above "
                f"(got {time} ns after {self._time}): put them back in order"
            )
        self._time = time
        apply = self._take.get(kind)
        if apply is None:
            return
        stock = apply(locate, message)
        if stock is not None:
            stock.book.time = time
            if stock.trading:
                best = stock.book.best()
                if 0 < best[1] <= best[0]:
                    self.apart.add_apart(best, self._place())
                else:
                    self.apart.add(True)

    def _place(self) -> str:
        return f"{self.path}: message {self._number}"

    # -- THE STOCKS

    def _event(self, locate: int, message: bytes) -> None:
        self._over = message[BODY : BODY + 1] == END

    def _directory(self, locate: int, message: bytes) -> None:
        self._stock(locate, STOCK.unpack_from(message, BODY)[0])

    def _action(self, locate: int, message: bytes) -> None:
        name, state = STATE.unpack_from(message, BODY)
        self._stock(locate, name).trading = state == TRADING

    def _stock(self, locate: int, name: bytes) -> _Stock:
        if locate not in self.stocks:
            book = RecordedBook(self.books)
            self.books = book.books
            self.stocks[locate] = _Stock(book)
            try:
                self.names[name.decode("ascii").strip()] = book
            except UnicodeDecodeError:
                raise DataError(
                    f"{self._place()}: the stock must be ASCII letters (got {name!r}): "
                    "is it an ITCH 5.0 file?"
                ) from None
        return self.stocks[locate]

    # -- THE ORDERS

    def _added(self, locate: int, message: bytes) -> _Stock:
        order, side, shares, name, price = ADD.unpack_from(message, BODY)
        if self.listed.add(locate in self.stocks):
            self.listed.first_miss = f"{self._place()}: {name.decode('latin-1')}"
        if side not in b"BS":
            raise DataError(f"{self._place()}: side must be B or S (got {side!r})")
        stock = self._stock(locate, name)
        stock.book.added += 1
        self._rest(stock, order, Side.BUY if side == b"B" else Side.SELL, shares, price)
        return stock

    def _rest(
        self, stock: _Stock, order: int, side: int, shares: int, price: int
    ) -> None:
        if shares < 1 or price < 1:
            raise DataError(
                f"{self._place()}: shares and price must be 1 or more "
                f"(got {shares} at {price})"
            )
        if self.fresh.add(order not in self._orders):
            self.fresh.first_miss = f"{self._place()}: order {order} rests already"
        held = price <= PRICE_MAX
        if self.held.add(held):
            self.held.first_miss = f"{self._place()}: order {order} at {price}"
        order_id = stock.book.add(side, price, shares) if held else 0
        self._orders[order] = _Known(stock, side, order_id)

    def _find(self, order: int) -> _Known | None:
        found = self._orders.get(order)
        if self.known.add(found is not None):
            self.known.first_miss = f"{self._place()}: order {order} does not rest"
        return found

    def _take_off(self, order: int, shares: int, *, executed: bool) -> _Stock | None:
        if shares < 1:
            raise DataError(f"{self._place()}: shares must be 1 or more (got {shares})")
        found = self._find(order)
        if found is None:
            return None
        stock, _, order_id = found
        if not order_id:
            return stock
        rests = stock.book.open(order_id)
        if self.enough.add(shares <= rests):
            self.enough.first_miss = (
                f"{self._place()}: order {order}: {shares} shares of {rests}"
            )
        if not executed:
            stock.book.reduce(order_id, shares)
        elif self.best.add(stock.book.execute(order_id, shares, self._time)):
            self.best.first_miss = f"{self._place()}: order {order} was not first"
        if shares >= rests:
            del self._orders[order]
        return stock

    def _executed(self, locate: int, message: bytes) -> _Stock | None:
        order, shares = EXECUTE.unpack_from(message, BODY)
        stock = self._take_off(order, shares, executed=True)
        if stock is not None and message[:1] == b"C":
            *_, price = EXECUTE_AT.unpack_from(message, BODY)
            stock.book.last = price
        return stock

    def _cancelled(self, locate: int, message: bytes) -> _Stock | None:
        order, shares = EXECUTE.unpack_from(message, BODY)
        return self._take_off(order, shares, executed=False)

    def _deleted(self, locate: int, message: bytes) -> _Stock | None:
        (order,) = ORDER.unpack_from(message, BODY)
        found = self._gone(order)
        return None if found is None else found.stock

    def _gone(self, order: int) -> _Known | None:
        found = self._find(order)
        if found is not None:
            del self._orders[order]
            if found.id:
                book = found.stock.book
                book.reduce(found.id, book.open(found.id))
        return found

    def _replaced(self, locate: int, message: bytes) -> _Stock | None:
        old, new, shares, price = REPLACE.unpack_from(message, BODY)
        found = self._gone(old)
        if found is None:
            return None
        self._rest(found.stock, new, found.side, shares, price)
        return found.stock

    def _traded(self, locate: int, message: bytes) -> None:
        # Of an order that was not shown: no book changes.
        *_, price = TRADE.unpack_from(message, BODY)
        if locate in self.stocks and price <= PRICE_MAX:
            self.stocks[locate].book.last = price

    def result(self, *, whole: bool) -> Replay:
        """What has been found, in the whole file or a part of it."""
        if whole and self.ended.add(self._over):
            self.ended.first_miss = f"{self._place()} is the last"
        checks = [self.known, self.enough, self.fresh, self.listed, self.apart]
        checks += [self.ended, self.best]
        if self.held.missed:
            checks.append(self.held)
        return Replay(
            rows=self._number,
            kinds={f"{k} {KINDS[k][1]}": n for k, n in self.rows.items() if n},
            checks=tuple(check for check in checks if check.total),
            books=self.names,
            tick=TICK,
            lot=LOT,
        )
