"""Replay of Binance captures: depth updates through the book, checked by bookTicker.

A capture has a line a message as the websocket sent it, ``<receive time ns> <json>``:
depthUpdate, bookTicker and trade of one symbol, and the depth snapshots fetched by
REST. The book follows Binance's own rules ("How to manage a local order book
correctly", developers.binance.com): updates of ids that the book has are dropped, and
each other one must follow on, by ``U`` for spot, by ``pu`` for futures. One that ends
inside of the ids of the update taken last is neither, and counts as a break. A
bookTicker of the same update id tells what the best prices and sizes are then.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from os import PathLike
from typing import Any, NamedTuple

from .clock import Time, up_to
from .errors import DataError
from .files import AnyPath, Progress, lines
from .orders import PRICE_MAX, QTY_MAX, Side
from .recorded import AnyBooks, Check, RecordedBook, Replay

WAITING_MAX = 1_000
"""Updates kept for a snapshot that comes after them: 100 s of them."""

TICKERS_MAX = 100_000
"""Tickers kept for an update of their id that comes after them."""

SNAPSHOT = "snapshot"

TRADES = {"trade": "t", "aggTrade": "a"}
"""Messages of trades, and where they have their number."""

WHAT = {"tick": "price", "lot": "quantity"}
"""What is counted in which step."""

Levels = list[list[str]]


class _Update(NamedTuple):
    """A depthUpdate."""

    first: int  # U
    last: int  # u
    before: int | None  # pu: the last id of the update before; futures only
    bids: Levels
    asks: Levels
    place: str


class _Ticker(NamedTuple):
    """A bookTicker."""

    id: int
    bid: str
    bid_qty: str
    ask: str
    ask_qty: str
    place: str


def replay(
    files: AnyPath | Sequence[AnyPath],
    *,
    tick: str | None = None,
    lot: str | None = None,
    until: Time | None = None,
    books: AnyBooks | None = None,
    on_progress: Progress | None = None,
) -> Replay:
    """Replay captures of one symbol, each file going on where the one before ends.

    ``tick`` and ``lot`` are decimal numbers; by default the tick has as many decimals
    as the prices of the first snapshot need, the lot as many as are written. ``until``
    is the receive time of the last lines to take, such as "2024-08-08T00:10" (UTC).
    After a break, which is counted, the book waits for the next snapshot, and without
    one has no state. ``books`` is the engine to use, the compiled one by default.
    Raises `DataError` for files that are damaged or no captures. O(rows), and no file
    is held as a whole.
    """
    paths = [files] if isinstance(files, str | PathLike) else list(files)
    capture = _Capture(tick, lot, books)
    for place, text in up_to(_lines(paths, on_progress), until, _time):
        capture.take(text, place)
    if not capture.kinds.get(SNAPSHOT):
        remedy = "put it where it was fetched"
        if until is not None:
            remedy += ", or give a later 'until'"
        raise DataError(
            f"{paths[-1]}: must have a depth snapshot, a line whose object has "
            f"'lastUpdateId', 'bids' and 'asks' (got none): {remedy}"
        )
    return capture.result()


def _lines(
    paths: Sequence[AnyPath], on_progress: Progress | None
) -> Iterator[tuple[str, str]]:
    # Place and text of each line, one file after the other.
    for i, path in enumerate(paths):

        def told(share: float, done: int = i) -> None:
            if on_progress is not None:
                on_progress((done + share) / len(paths))

        for line, text in lines(path, told):
            yield f"{path}:{line}", text


def _time(line: tuple[str, str]) -> int:
    # 0 for a line that has none, which will be refused.
    time = line[1].partition(" ")[0]
    return int(time) if time.isdecimal() and time.isascii() else 0


# -- UNITS


class _Step:
    """A tick or lot: decimal texts in whole steps, without a float in between."""

    def __init__(self, what: str, size: Fraction, most: int) -> None:
        self.what, self.size, self.most = what, size, most
        self._places = 0
        while (size * 10**self._places).denominator != 1:
            self._places += 1
        self._least = int(size * 10**self._places)

    @classmethod
    def given(cls, what: str, text: str, most: int) -> "_Step":
        """The step a user gives; ValueError if it is none."""
        try:
            size = Fraction(Decimal(text))
        except (InvalidOperation, ValueError, OverflowError):
            size = Fraction(0)
        if not 0 < size <= 10**9 or size < Fraction(1, 10**18):
            raise ValueError(f"{what!r} must be a decimal number > 0 (got {text!r})")
        return cls(what, size, most)

    @classmethod
    def of(cls, what: str, texts: Iterable[str], most: int) -> "_Step":
        """The step of as many decimals as the texts have."""
        places = max((len(text.partition(".")[2]) for text in texts), default=0)
        return cls(what, Fraction(1, 10 ** min(places, 18)), most)

    def steps(self, text: str, place: str) -> int:
        """A decimal text in steps.  `DataError` if it is no whole number of them."""
        whole, _, part = text.partition(".")
        part = part.rstrip("0")
        digits = whole + part
        if not (digits.isdecimal() and digits.isascii()):
            raise DataError(
                f"{place}: a {WHAT[self.what]} must be a decimal number of 0 or more "
                f"(got {text!r}): record it anew"
            )
        steps, rest = divmod(int(whole + part.ljust(self._places, "0")), self._least)
        if rest or len(part) > self._places:
            raise DataError(
                f"{place}: a {WHAT[self.what]} must be a multiple of the {self.what} "
                f"{float(self.size):g} (got {text!r}): give the {self.what} of the "
                "market"
            )
        if steps > self.most:
            raise DataError(
                f"{place}: a {WHAT[self.what]} must be at most {self.most} steps of "
                f"the {self.what} {float(self.size):g} (got {text!r}): give a coarser "
                f"{self.what}"
            )
        return steps


# -- ONE CAPTURE


def _id(data: dict[str, Any], key: str) -> int:
    number = data[key]
    if type(number) is not int:
        raise ValueError(f"{key!r} must be a whole number (got {number!r})")
    return number


class _Capture:
    """The book of a symbol, and what has been found about its capture so far."""

    def __init__(
        self, tick: str | None, lot: str | None, books: AnyBooks | None
    ) -> None:
        self.book = RecordedBook(books)
        self.kinds: dict[str, int] = {}
        self.tick = None if tick is None else _Step.given("tick", tick, PRICE_MAX)
        self.lot = None if lot is None else _Step.given("lot", lot, QTY_MAX)
        self.sequence = Check("updates that follow on the one before")
        self.ticker = Check("bookTicker of the update's id: price and size equal")
        self.apart = Check("best bid below best ask")
        self.taken = Check("updates that the book could take", required=False)
        self.trades = Check("trades that follow on the one before", required=False)
        self._last = 0  # id of the last update in the book; 0: there is no book
        self._before = 0  # the id that the update which brought that followed on
        self._first = False  # whether only a snapshot is in the book
        self._waiting: deque[_Update] = deque(maxlen=WAITING_MAX)
        self._tickers: deque[_Ticker] = deque(maxlen=TICKERS_MAX)
        self._trade: dict[str, int] = {}  # last id of each kind of trade
        self._symbol = ""
        self._time = 0

    def take(self, text: str, place: str) -> None:
        """Read a line."""
        time, _, body = text.partition(" ")
        try:
            if not (time.isdecimal() and time.isascii()):
                raise ValueError("no receive time")
            data = json.loads(body)
            if not isinstance(data, dict):
                raise ValueError("no object")
        except ValueError as error:
            raise DataError(
                f"{place}: a line must be a receive time in nanoseconds, a blank and "
                f"a JSON object (got {text[:40]!r}: {error}): is it a Binance capture, "
                "or cut short?"
            ) from None
        if int(time) < self._time:
            raise DataError(
                f"{place}: the receive time must not be before the line above "
                f"(got {time}): put the lines, or the files, back in order"
            )
        self._time = int(time)
        data = data.get("data", data)
        try:
            self._message(data, place)
            if self._last:
                self.book.time = self._time
        except OverflowError as error:
            raise DataError(f"{place}: {error}: give a coarser lot") from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            missing = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{place}: the message is not as Binance sends it ({missing}): record "
                "it anew"
            ) from error

    def _message(self, data: dict[str, Any], place: str) -> None:
        kind = data.get("e")
        if kind is None:  # spot sends these two without a name
            kind = SNAPSHOT if "lastUpdateId" in data else "other"
            kind = "bookTicker" if "B" in data and "A" in data else kind
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if kind in (SNAPSHOT, "other"):
            if kind == SNAPSHOT:
                self._snapshot(data, place)
            return
        symbol = data.get("s", self._symbol)
        if self._symbol and symbol != self._symbol:
            raise DataError(
                f"{place}: all messages must be of one symbol, {self._symbol} "
                f"(got {symbol!r}): keep one symbol a file"
            )
        self._symbol = symbol
        if kind == "depthUpdate":
            before = _id(data, "pu") if "pu" in data else None
            first, last = _id(data, "U"), _id(data, "u")
            if last < first:
                raise ValueError(f"'u' must be at least 'U', {first} (got {last})")
            self._update(_Update(first, last, before, data["b"], data["a"], place))
        elif kind == "bookTicker":
            ticker = _Ticker(
                _id(data, "u"), data["b"], data["B"], data["a"], data["A"], place
            )
            if self._last and ticker.id == self._last:
                self._compare(ticker)
            elif ticker.id > self._last:
                self._tickers.append(ticker)
        elif kind in TRADES:
            self._traded(kind, _id(data, TRADES[kind]), data["p"], place)

    # -- THE BOOK

    def _snapshot(self, data: dict[str, Any], place: str) -> None:
        last = _id(data, "lastUpdateId")
        if last <= 0:
            raise ValueError(f"'lastUpdateId' must be above 0 (got {last})")
        if self._last and last <= self._last:
            return  # the book knows as much
        sides = data["bids"], data["asks"]
        if self.tick is None:
            # Zeros are written to 8 decimals, at which dear coins have no tick here.
            prices = (price.rstrip("0") for side in sides for price, _ in side)
            self.tick = _Step.of("tick", prices, PRICE_MAX)
        if self.lot is None:
            # As written: orders from before a change of the lot have odd quantities.
            lots = (qty for side in sides for _, qty in side)
            self.lot = _Step.of("lot", lots, QTY_MAX)
        self.book.clear()
        self._set(*sides, place)
        # What is old beside a snapshot was sent before it.
        self._before, self._last, self._first = last, last, True
        self.book.lost = ""
        waiting = list(self._waiting)
        self._waiting.clear()
        for update in waiting:
            self._update(update)

    def _update(self, update: _Update) -> None:
        if not self._last:
            self._wait(update)
            return
        spot = update.before is None
        # Of futures, the first update may end at the snapshot's own id.
        old = update.last < self._last + (spot or not self._first)
        # One that is sent again ends where the last one did, or before it began.
        if old and not self._before < update.last < self._last:
            self._pass_over(update, f"the book has its ids, to {update.last}")
            return
        follows = not old and self._follows(update)
        if self.sequence.add(follows):
            wanted = f"U must be at most {self._last + 1} (got {update.first})"
            if old:
                wanted = (
                    f"u must be above {self._last}, to which an update was taken "
                    f"(got {update.last})"
                )
            elif not spot and not self._first:
                wanted = f"pu must be {self._last} (got {update.before})"
            fault = "one of the two is damaged" if old else "updates are missing"
            self.sequence.first_miss = f"{update.place}: {wanted}: {fault}"
        if not follows:
            self._last, self.book.lost = 0, update.place
            self._wait(update)
            return
        self.taken.matched += 1
        self._set(update.bids, update.asks, update.place)
        self._before, self._last, self._first = self._last, update.last, False
        self.apart.add_apart(self.book.best(), update.place)
        while self._tickers and self._tickers[0].id <= update.last:
            ticker = self._tickers.popleft()
            if ticker.id == update.last:
                self._compare(ticker)

    def _wait(self, update: _Update) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            self._pass_over(self._waiting[0], "too many wait for a snapshot")
        self._waiting.append(update)

    def _pass_over(self, update: _Update, why: str) -> None:
        self.taken.first_miss = self.taken.first_miss or f"{update.place}: {why}"

    def _follows(self, update: _Update) -> bool:
        # Nothing is between it and what the book has.
        if update.before is None:
            return update.first <= self._last + 1
        if self._first:
            return update.first <= self._last
        return update.before == self._last

    def _set(self, bids: Levels, asks: Levels, place: str) -> None:
        assert self.tick is not None
        assert self.lot is not None
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            for price, qty in levels:
                steps = self.tick.steps(price, place)
                if not steps:
                    raise DataError(f"{place}: a price must be above 0 (got {price!r})")
                self.book.set_level(side, steps, self.lot.steps(qty, place))

    # -- WHAT ELSE IS TOLD

    def _compare(self, ticker: _Ticker) -> None:
        assert self.tick is not None
        assert self.lot is not None
        wanted = (
            self.tick.steps(ticker.bid, ticker.place),
            self.lot.steps(ticker.bid_qty, ticker.place),
            self.tick.steps(ticker.ask, ticker.place),
            self.lot.steps(ticker.ask_qty, ticker.place),
        )
        found: list[int] = []
        for side in (Side.BUY, Side.SELL):
            prices, lots = self.book.depth(side, 1)
            found += (prices[0], lots[0]) if prices else (0, 0)
        if self.ticker.add(wanted == tuple(found)):
            self.ticker.first_miss = (
                f"{ticker.place}: bid, size, ask, size must be {wanted} in ticks and "
                f"lots (got {tuple(found)})"
            )

    def _traded(self, kind: str, number: int, price: str, place: str) -> None:
        before = self._trade.get(kind)
        if before is not None and self.trades.add(number == before + 1):
            self.trades.first_miss = f"{place}: id must be {before + 1} (got {number})"
        self._trade[kind] = number
        if self.tick is not None and not self.book.lost:
            self.book.last = self.tick.steps(price, place) or self.book.last

    def result(self) -> Replay:
        """What has been found."""
        assert self.tick is not None
        assert self.lot is not None
        if self._waiting:
            self._pass_over(self._waiting[0], "no snapshot comes after the break")
        self.taken.total = self.kinds.get("depthUpdate", 0)
        checks = self.sequence, self.ticker, self.apart, self.taken, self.trades
        return Replay(
            rows=sum(self.kinds.values()),
            kinds=self.kinds,
            checks=tuple(check for check in checks if check.total),
            books={self._symbol: self.book},
            tick=self.tick.size,
            lot=self.lot.size,
        )
