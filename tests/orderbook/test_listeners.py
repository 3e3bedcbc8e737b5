"""What the keeper of accounts is asked and told, and the reduce-only orders it clips.

The readable book listens to a few lines of Python, the compiled one to the ledger.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from book_state import BUY, SELL, queue, send, sides, state

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS, Ledger
from flashwick.orderbook.orders import (
    MESSAGE,
    Flag,
    Kind,
    Reason,
    SelfTrade,
    Side,
    TimeInForce,
)
from flashwick.orderbook.reference import ReferenceBooks

REDUCE_ONLY = Flag.REDUCE_ONLY
ALICE, BOB, CAROL, DAVE = range(SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + 4)
PERP = 0


class Positions:
    """A listener in Python: positions, open lots, and a record of what it was told."""

    def __init__(self) -> None:
        self.reason = Reason.OK
        self.held: Counter[tuple[int, int]] = Counter()
        self.resting: Counter[tuple[int, int, int]] = Counter()
        self.told: list[tuple[Any, ...]] = []

    def check(self, message: Mapping[str, int]) -> int:
        """Whatever ``reason`` says."""
        self.told.append(("check", message["kind"], message["side"], message["qty"]))
        return self.reason

    def position(self, market: int, account: int, side: int = 0) -> int:
        """The sum of the account's fills."""
        return self.held[market, account]

    def rest(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty_delta: int,
        flags: int,
    ) -> None:
        """Keep the sum."""
        self.told.append(("rest", account, side, price, qty_delta, flags))
        self.resting[market, account, side] += qty_delta

    def fill(self, fill: Mapping[str, int]) -> None:
        """Move the lots from the seller to the buyer."""
        self.told.append(("fill", fill["maker"], fill["taker"], fill["qty"]))
        signed = fill["qty"] if fill["taker_side"] == BUY else -fill["qty"]
        self.held[fill["market"], fill["taker"]] += signed
        self.held[fill["market"], fill["maker"]] -= signed

    def open_lots(self, market: int, account: int) -> tuple[int, int]:
        """Lots that rest to buy and to sell."""
        buy, sell = (self.resting[market, account, side] for side in (BUY, SELL))
        return buy, sell


class Accounts(Positions):
    """The same questions answered by the compiled ledger, all markets perpetuals."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.asset = self.ledger.add_asset()
        self.ledger.open_accounts(4)

    def add_market(self) -> None:
        """A market of one atom a lot and a tick."""
        self.ledger.add_market(self.asset, self.asset, True, 1, 1)

    def position(self, market: int, account: int, side: int = 0) -> int:
        """The position that the ledger holds."""
        return self.ledger.open_position(account, market)[0]

    def open_lots(self, market: int, account: int) -> tuple[int, int]:
        """The open lots that the ledger reserves margin for."""
        for row in self.ledger.positions_of(account):
            if row["market"] == market:
                return int(row["open_buy"]), int(row["open_sell"])
        return 0, 0


def make_reference(markets: int) -> tuple[ReferenceBooks, Positions]:
    """The readable book and its listener."""
    listener = Positions()
    books = ReferenceBooks(listener)
    for _ in range(markets):
        books.add_market()
    return books, listener


def make_compiled(markets: int) -> tuple[Any, Positions]:
    """The compiled book and the ledger."""
    accounts = Accounts()
    books = Books(accounts.ledger)
    for _ in range(markets):
        books.add_market()
        accounts.add_market()
    return books, accounts


Desk = tuple[ReferenceBooks, Positions]


@pytest.fixture(params=[make_reference, make_compiled], ids=["reference", "compiled"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """Two markets; Alice is long 10 lots of the first, Bob short."""
    books, accounts = request.param(2)
    books.limit(PERP, BOB, SELL, 100, 10)
    books.market(PERP, ALICE, BUY, 10)
    books.take_fills()
    assert accounts.position(PERP, ALICE) == 10
    return books, accounts


# -- REDUCE ONLY


@pytest.mark.parametrize(
    ("market", "account", "side"),
    [(PERP, ALICE, BUY), (PERP, BOB, SELL), (PERP, CAROL, BUY), (1, ALICE, SELL)],
)
def test_without_a_position_to_reduce_it_is_refused(
    desk: Desk, market: int, account: int, side: Side
) -> None:
    """No position, one of the same direction, or one in another market."""
    books, _ = desk
    before = state(books)
    refused = books.limit(market, account, side, 100, 1, flags=REDUCE_ONLY)
    assert refused == -Reason.REDUCE_ONLY
    assert state(books) == before


def test_it_is_clipped_to_the_position(desk: Desk) -> None:
    """Twelve lots against a position of ten: two are cancelled, ten rest or trade."""
    books, accounts = desk
    order = {"account": ALICE, "side": SELL, "price": 100, "flags": REDUCE_ONLY}
    result = send(books, kind=Kind.LIMIT, qty=12, **order)
    assert (result["open"], result["cancelled"]) == (10, 2)
    assert result["reason"] == Reason.REDUCE_ONLY
    books.limit(PERP, CAROL, BUY, 100, 30)
    assert accounts.position(PERP, ALICE) == 0
    assert accounts.position(PERP, CAROL) == 10


def test_resting_it_is_cut_when_its_turn_comes(desk: Desk) -> None:
    """The position has shrunk to 4: of ten resting lots three trade, one is left."""
    books, accounts = desk
    books.limit(PERP, ALICE, SELL, 101, 10, flags=REDUCE_ONLY)
    books.limit(PERP, CAROL, BUY, 100, 6)
    books.market(PERP, ALICE, SELL, 6)
    assert accounts.position(PERP, ALICE) == 4
    assert queue(books, SELL) == [[3, 10]]
    result = send(books, kind=Kind.MARKET, account=DAVE, side=BUY, qty=3)
    assert result["filled"] == 3
    assert queue(books, SELL) == [[3, 1]]
    result = send(books, kind=Kind.MARKET, account=DAVE, side=BUY, qty=3)
    assert (result["filled"], result["reason"]) == (1, Reason.UNFILLED)
    assert accounts.position(PERP, ALICE) == 0
    assert accounts.open_lots(PERP, ALICE) == (0, 0)


def test_resting_without_a_position_it_goes(desk: Desk) -> None:
    """The next order in the queue trades instead."""
    books, accounts = desk
    books.limit(PERP, ALICE, SELL, 101, 10, flags=REDUCE_ONLY)
    books.limit(PERP, BOB, SELL, 101, 10)
    books.limit(PERP, CAROL, BUY, 100, 10)
    books.market(PERP, ALICE, SELL, 10)
    result = send(books, kind=Kind.MARKET, account=DAVE, side=BUY, qty=4)
    assert result["filled"] == 4
    assert queue(books, SELL) == [[4, 6]]
    assert accounts.position(PERP, ALICE) == 0


def test_two_of_them_share_one_position(desk: Desk) -> None:
    """One sweep through both fills the position once, and the second order is cut."""
    books, accounts = desk
    books.limit(PERP, ALICE, SELL, 101, 8, flags=REDUCE_ONLY)
    books.limit(PERP, ALICE, SELL, 102, 8, flags=REDUCE_ONLY)
    result = send(books, kind=Kind.MARKET, account=DAVE, side=BUY, qty=20)
    assert result["filled"] == 10
    assert accounts.position(PERP, ALICE) == 0
    assert books.live_orders == 0


def test_fill_or_kill_does_not_count_on_it(desk: Desk) -> None:
    """It may be clipped before its turn, so an order that needs it is not filled."""
    books, _ = desk
    books.limit(PERP, ALICE, SELL, 101, 10, flags=REDUCE_ONLY)
    books.limit(PERP, BOB, SELL, 102, 5)
    order = {"kind": Kind.LIMIT, "account": DAVE, "price": 102}
    result = send(books, **order, qty=6, tif=TimeInForce.FOK)
    assert result["reason"] == Reason.FOK_UNFILLABLE
    result = send(books, **order, qty=5, tif=TimeInForce.FOK)
    assert result["filled"] == 5


def test_self_trade_prevention_comes_before_it(desk: Desk) -> None:
    """An own order is decremented lot for lot, not cut to the position first."""
    books, _ = desk
    books.set_self_trade(ALICE, SelfTrade.DECREMENT)
    books.limit(PERP, ALICE, SELL, 101, 10, flags=REDUCE_ONLY)
    books.limit(PERP, CAROL, BUY, 100, 9)
    books.market(PERP, ALICE, SELL, 9)
    result = send(books, kind=Kind.LIMIT, account=ALICE, side=BUY, price=101, qty=6)
    assert result["cancelled"] == 6
    assert queue(books, SELL) == [[3, 4]]


def test_replaced_it_is_clipped_again(desk: Desk) -> None:
    """With less position it gets smaller; with none the old order stays in place."""
    books, accounts = desk
    books.limit(PERP, ALICE, SELL, 101, 10, flags=REDUCE_ONLY)
    books.limit(PERP, CAROL, BUY, 100, 6)
    books.market(PERP, ALICE, SELL, 6)
    again = {"kind": Kind.REPLACE, "account": ALICE, "order_id": 3, "price": 102}
    result = send(books, **again, qty=9)
    assert (result["open"], result["cancelled"]) == (4, 5)
    assert result["reason"] == Reason.REDUCE_ONLY
    assert accounts.open_lots(PERP, ALICE) == (0, 4)
    books.limit(PERP, CAROL, BUY, 100, 4)
    books.market(PERP, ALICE, SELL, 4)
    before = state(books)
    result = send(books, **again | {"price": 103}, qty=1)
    assert (result["accepted"], result["reason"]) == (0, Reason.REDUCE_ONLY)
    assert state(books) == before
    assert accounts.open_lots(PERP, ALICE) == (0, 4)


# -- WHAT THE LISTENER HEARS


@pytest.fixture
def told() -> tuple[ReferenceBooks, Positions]:
    """The readable book and its listener, whose record is read."""
    return make_reference(1)


def test_a_trade_is_told_lots_first_then_the_fill(told: Desk) -> None:
    """The maker's lots leave the book, then the fill is booked, then the rest rests."""
    books, listener = told
    books.limit(0, ALICE, SELL, 100, 4, flags=Flag.LIQUIDATION)
    books.limit(0, BOB, BUY, 101, 6)
    assert listener.told == [
        ("check", Kind.LIMIT, SELL, 4),
        ("rest", ALICE, SELL, 100, 4, Flag.LIQUIDATION),
        ("check", Kind.LIMIT, BUY, 6),
        ("rest", ALICE, SELL, 100, -4, Flag.LIQUIDATION),
        ("fill", ALICE, BOB, 4),
        ("rest", BOB, BUY, 101, 2, 0),
    ]


def test_cancel_all_goes_from_the_newest_id_to_the_oldest(told: Desk) -> None:
    """By id, whatever the prices and the order of replaces."""
    books, listener = told
    for price in 90, 91, 92:
        books.limit(0, ALICE, BUY, price, 1)
    books.replace(0, ALICE, 1, 95, 1)
    listener.told.clear()
    books.cancel_all(ALICE)
    assert [price for _, _, _, price, _, _ in listener.told] == [92, 91, 95]


def test_a_refused_order_changes_nothing(told: Desk) -> None:
    """Whatever reason the listener gives is the reason of the message."""
    books, listener = told
    books.limit(0, ALICE, BUY, 90, 5)
    before = state(books)
    listener.reason = Reason.INSUFFICIENT_MARGIN
    refused = books.limit(0, BOB, SELL, 90, 5)
    assert refused == -Reason.INSUFFICIENT_MARGIN
    assert state(books) == before


def test_a_refused_replace_takes_its_lots_back(told: Desk) -> None:
    """The old lots are let go for the check, and rest again when it fails."""
    books, listener = told
    books.limit(0, ALICE, BUY, 90, 5)
    before = state(books)
    listener.reason = Reason.INSUFFICIENT_MARGIN
    listener.told.clear()
    assert books.replace(0, ALICE, 1, 95, 9) == -Reason.INSUFFICIENT_MARGIN
    assert listener.told == [
        ("rest", ALICE, BUY, 90, -5, 0),
        ("check", Kind.LIMIT, BUY, 9),
        ("rest", ALICE, BUY, 90, 5, 0),
    ]
    assert state(books) == before
    # A smaller order is not checked: it only lets lots go.
    listener.told.clear()
    assert books.replace(0, ALICE, 1, 90, 3) == 1
    assert listener.told == [("rest", ALICE, BUY, 90, -2, 0)]


# -- STREAMS


def stream(n: int) -> np.ndarray:
    """Messages of four accounts in two markets, a third of them reduce-only.

    Some wait for a price, some are icebergs.
    """
    rng = np.random.default_rng(11)
    rows = np.zeros(n, MESSAGE)
    rows["kind"] = rng.choice(5, n, p=[0.62, 0.1, 0.15, 0.01, 0.12])
    rows["market"] = rng.integers(0, 2, n)
    rows["account"] = rng.integers(ALICE, DAVE + 1, n)
    rows["side"] = rng.integers(0, 2, n)
    rows["price"] = rng.integers(95, 106, n)
    rows["qty"] = rng.integers(1, 30, n)
    rows["tif"] = rng.choice(3, n, p=[0.8, 0.1, 0.1])
    rows["flags"] = rng.choice(
        [0, REDUCE_ONLY, REDUCE_ONLY | 4], n, p=[0.65, 0.3, 0.05]
    )
    waits = rng.random(n) < 0.1
    rows["trigger"][waits] = rng.integers(95, 106, int(waits.sum()))
    rests = (rows["kind"] == Kind.LIMIT) & (rows["tif"] == TimeInForce.GTC)
    rows["display"][rests & (rng.random(n) < 0.15)] = 3
    named = np.isin(rows["kind"], (Kind.CANCEL, Kind.REPLACE))
    rows["order_id"][named] = (np.arange(n) // 2 - rng.integers(0, 60, n)).clip(1)[
        named
    ]
    return rows


def check_accounts(books: ReferenceBooks, accounts: Positions) -> None:
    """The listener's open lots are the book's, and all positions sum to zero."""
    resting: Counter[tuple[int, int, int]] = Counter()
    for market, side in sides(books):
        for row in books.orders(market, side):
            lots = int(row["qty"]) + int(row["hidden"])
            resting[market, int(row["account"]), side] += lots
    for market in range(books.n_markets):
        held = [accounts.position(market, who) for who in range(ALICE, DAVE + 1)]
        assert sum(held) == 0
        for who in range(ALICE, DAVE + 1):
            own = resting[market, who, BUY], resting[market, who, SELL]
            assert accounts.open_lots(market, who) == own


@pytest.mark.parametrize("size", [1, 100])
def test_both_books_treat_reduce_only_alike(size: int) -> None:
    """Results, fills, books, positions and open lots, message by message and by 100."""
    desks = [make_reference(2), make_compiled(2)]
    for books, _ in desks:
        for i, mode in enumerate((0, 0, SelfTrade.DECREMENT, SelfTrade.CANCEL_OLDEST)):
            books.set_self_trade(ALICE + i, mode)
    clipped = told = 0
    rows = stream(3_000 * min(size, 4))
    for i in range(0, len(rows), size):
        batch = rows[i : i + size]
        (a, fills_a), (b, fills_b) = (books.process(batch) for books, _ in desks)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(fills_a, fills_b)
        events_a, events_b = (books.take_events() for books, _ in desks)
        np.testing.assert_array_equal(events_a, events_b)
        told += len(events_a)
        assert state(desks[0][0]) == state(desks[1][0])
        for books, accounts in desks:
            check_accounts(books, accounts)
            books._check()
        clipped += int((a["reason"] == Reason.REDUCE_ONLY).sum())
    assert clipped > 100
    assert told > 100


@pytest.mark.parametrize("make", [make_reference, make_compiled])
def test_a_reduce_only_order_never_adds_to_a_position(
    make: Callable[[int], Desk],
) -> None:
    """Every fill of one, as taker or as maker, brings its account nearer to zero."""
    books, _ = make(2)
    rows = stream(5_000)
    results, fills = books.process(rows)
    new = (rows["kind"] <= Kind.MARKET) & (results["accepted"] == 1)
    flagged = new & (rows["flags"] & REDUCE_ONLY > 0)
    reducing = {int(order_id) for order_id in results["order_id"][flagged]}
    held: Counter[tuple[int, int]] = Counter()
    met = 0
    for fill in fills.tolist():
        fields = dict(zip(fills.dtype.names, fill, strict=True))
        signed = fields["qty"] if fields["taker_side"] == BUY else -fields["qty"]
        for who, lots in ("taker", signed), ("maker", -signed):
            account = fields["market"], fields[who]
            before = held[account]
            held[account] += lots
            own = fields["maker"] == fields["taker"]
            if fields[f"{who}_order"] in reducing and not own:
                met += 1
                assert before * lots < 0
                assert abs(held[account]) == abs(before) - abs(lots)
    assert met > 200
