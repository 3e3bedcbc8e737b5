"""Stops that wait: cancelled, replaced, refused, halted, and who keeps the accounts."""

from collections.abc import Callable, Mapping

import pytest
from book_state import (
    ALICE,
    ATOM,
    BOB,
    BTC,
    BUY,
    CAROL,
    SELL,
    events,
    send,
    state,
    trades,
    waiting,
)

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS, Ledger
from flashwick.orderbook.orders import (
    ALL_MARKETS,
    PRICE_MAX,
    EventKind,
    Flag,
    Kind,
    Phase,
    Reason,
    messages,
)
from flashwick.orderbook.reference import ReferenceBooks

TAKE_PROFIT, MARK, INDEX = Flag.TAKE_PROFIT, Flag.TRIGGER_MARK, Flag.TRIGGER_INDEX
TRIGGERED, REFUSED, CANCELLED = EventKind


# -- CANCEL, REPLACE, LOOK


def test_a_dormant_order_is_found_and_not_seen(deep: ReferenceBooks) -> None:
    """By its id and account, but not in the book."""
    before = state(deep)
    deep.limit(ATOM, ALICE, SELL, 95, 4, trigger=98, flags=Flag.REDUCE_ONLY)
    deep.market(BTC, ALICE, BUY, 6, protection=7, trigger=9)
    assert state(deep) == before | {"last_id": 22, "dormant_orders": 2}
    assert deep.order(21) == (ATOM, ALICE, SELL, 95, 4)
    assert deep.order(22) == (BTC, ALICE, BUY, 7, 6)
    fields = ["id", "price", "qty", "hidden", "market", "account", "trigger", "side"]
    rows = deep.account_orders(ALICE)
    assert rows[[*fields, "flags"]].tolist() == [
        (21, 95, 4, 0, ATOM, ALICE, 98, SELL, Flag.REDUCE_ONLY),
        (22, 7, 6, 0, BTC, ALICE, 9, BUY, 0),
    ]
    assert deep.dormant(ATOM).tolist() == rows[:1].tolist()
    assert deep.queue_positions([21]).tolist() == [[-1, -1]]


def test_a_dormant_order_can_be_cancelled(deep: ReferenceBooks) -> None:
    """By id, or with everything of its account, market and side."""

    def place() -> list[int]:
        return [
            deep.limit(market, ALICE, side, 100, 4, trigger=trigger)
            for market, side, trigger in (
                (ATOM, SELL, 50),
                (ATOM, BUY, 150),
                (BTC, SELL, 50),
            )
        ]

    first = place()[0]
    assert deep.cancel(ATOM, BOB, first) == -Reason.UNKNOWN_ORDER
    assert deep.cancel(BTC, ALICE, first) == -Reason.UNKNOWN_ORDER
    assert deep.cancel(ATOM, ALICE, first) == 4
    assert deep.cancel(ATOM, ALICE, first) == -Reason.UNKNOWN_ORDER
    assert deep.cancel_all(ALICE, ATOM, SELL) == 0
    assert deep.cancel_all(ALICE, ATOM, BUY) == 1
    resting = deep.limit(BTC, ALICE, SELL, 100, 4)
    assert deep.cancel_all(ALICE, ALL_MARKETS) == 2
    assert deep.order(resting) is None
    place()
    assert deep.cancel_all(ALICE, ATOM) == 2
    assert deep.dormant_orders == 1
    assert events(deep) == []
    deep._check()


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"qty": 3}, 21),
        ({"qty": 4}, 21),
        ({"trigger": 98}, 21),
        ({"qty": 5}, 22),
        ({"price": 94}, 22),
        ({"trigger": 97}, 22),
        ({"trigger": 99}, 21),
    ],
)
def test_replaced_it_goes_behind_others_of_its_trigger_unless_it_only_shrinks(
    deep: ReferenceBooks, changes: dict[str, int], first: int
) -> None:
    """A new price, trigger or more lots cost the place; the id stays."""
    for _ in range(2):
        deep.limit(ATOM, ALICE, SELL, 95, 4, trigger=98)
    wanted = {"price": 95, "qty": 4} | changes
    result = send(deep, kind=Kind.REPLACE, account=ALICE, order_id=21, **wanted)
    assert (result["order_id"], result["open"]) == (21, wanted["qty"])
    assert result["cancelled"] == 4 - min(4, wanted["qty"])
    assert waiting(deep)[0] == first
    assert deep.order(21) == (ATOM, ALICE, SELL, wanted["price"], wanted["qty"])
    row = deep.account_orders(ALICE)[0]
    assert row["trigger"] == wanted.get("trigger", 98)


def test_replaced_to_a_trigger_that_is_met_it_enters(deep: ReferenceBooks) -> None:
    """With the time and cause of the replace."""
    deep.limit(ATOM, ALICE, SELL, 95, 4, trigger=98)
    batch = messages(1)
    batch["kind"], batch["account"], batch["order_id"] = Kind.REPLACE, ALICE, 21
    batch["price"], batch["qty"], batch["trigger"] = 99, 12, 100
    batch["time"], batch["cause"] = 5, 6
    results, fills = deep.process(batch)
    assert (results["filled"][0], results["open"][0]) == (10, 2)
    assert fills[["taker_order", "time", "cause"]].tolist() == [(21, 5, 6)]
    assert deep.order(21) == (ATOM, ALICE, SELL, 99, 2)
    assert (deep.dormant_orders, events(deep)) == (0, [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"qty": 0}, Reason.INVALID_QTY),
        ({"price": 0}, Reason.INVALID_PRICE),
        ({"trigger": -1}, Reason.INVALID_PRICE),
        ({"trigger": PRICE_MAX + 1}, Reason.INVALID_PRICE),
        ({"account": BOB}, Reason.UNKNOWN_ORDER),
        ({"trigger": 100}, Reason.POST_ONLY_WOULD_CROSS),
    ],
)
def test_a_refused_replace_leaves_it_waiting(
    deep: ReferenceBooks, changes: dict[str, int], reason: Reason
) -> None:
    """Where it was, as it was."""
    for _ in range(2):
        deep.limit(ATOM, ALICE, SELL, 95, 4, trigger=98, flags=Flag.POST_ONLY)
    before = deep.dormant(ATOM).tolist()
    wanted = {"account": ALICE, "price": 95, "qty": 4} | changes
    result = send(deep, kind=Kind.REPLACE, order_id=21, **wanted)
    assert (result["accepted"], result["reason"]) == (0, reason)
    assert deep.dormant(ATOM).tolist() == before


def test_a_market_stop_keeps_its_kind_when_replaced(deep: ReferenceBooks) -> None:
    """Its price is the protection price, and may be none."""
    deep.market(ATOM, ALICE, SELL, 4, protection=95, trigger=98)
    assert deep.replace(ATOM, ALICE, 21, 0, 100) == 21
    deep.market(ATOM, CAROL, SELL, 20)
    assert events(deep)[-1] == (CANCELLED, 21, 20, Reason.UNFILLED)
    assert deep.best(ATOM)[0] == 0


# -- REFUSALS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trigger": 0, "flags": TAKE_PROFIT}, Reason.INVALID_OPTION),
        ({"trigger": 0, "flags": MARK}, Reason.INVALID_OPTION),
        ({"trigger": 0, "flags": INDEX}, Reason.INVALID_OPTION),
        ({"flags": MARK | INDEX}, Reason.INVALID_OPTION),
        ({"flags": Flag.SLIDE}, Reason.INVALID_OPTION),
        ({"flags": Flag.AUCTION}, Reason.INVALID_OPTION),
        ({"flags": 255}, Reason.INVALID_OPTION),
        ({"trigger": -1, "flags": TAKE_PROFIT}, Reason.INVALID_PRICE),
        ({"trigger": PRICE_MAX + 1}, Reason.INVALID_PRICE),
        ({"trigger": 98, "price": 0}, Reason.INVALID_PRICE),
        ({"trigger": 98, "qty": 0}, Reason.INVALID_QTY),
        ({"trigger": 98, "order_id": 1}, Reason.DUPLICATE_ID),
    ],
)
def test_a_wrong_trigger_is_refused(
    deep: ReferenceBooks, changes: dict[str, int], reason: Reason
) -> None:
    """Options that do not go together, and prices that are none."""
    before = state(deep)
    message = {"account": ALICE, "side": SELL, "price": 95, "qty": 5, "trigger": 98}
    result = send(deep, **message | changes)
    assert (result["accepted"], result["reason"]) == (0, reason)
    assert state(deep) == before


def test_a_trigger_means_nothing_to_other_messages(deep: ReferenceBooks) -> None:
    """Cancels ignore it, and so do replaces of resting orders."""
    odd = {"account": BOB, "trigger": -5, "display": -5, "flags": 255}
    result = send(deep, kind=Kind.REPLACE, order_id=1, price=99, qty=3, **odd)
    assert (result["open"], result["reason"]) == (3, Reason.OK)
    assert send(deep, kind=Kind.CANCEL, order_id=1, **odd)["cancelled"] == 3
    result = send(deep, kind=Kind.CANCEL_ALL, market=-1, side=2, **odd)
    assert result["cancelled"] == 19


# -- MARKETS THAT ARE NOT OPEN


def test_a_halted_market_fires_when_it_reopens(deep: ReferenceBooks) -> None:
    """What was touched meanwhile is due even if the price came back."""
    touched = deep.market(ATOM, ALICE, SELL, 1, trigger=98, flags=MARK)
    other = deep.market(ATOM, ALICE, SELL, 1, trigger=90, flags=MARK)
    deep.set_phase(ATOM, Phase.HALTED)
    deep.set_trigger_price(ATOM, MARK, 97)
    deep.set_trigger_price(ATOM, MARK, 103)
    assert waiting(deep) == [touched, other]
    refused = deep.market(ATOM, ALICE, SELL, 1, trigger=50)
    assert refused == -Reason.MARKET_HALTED
    assert deep.replace(ATOM, ALICE, other, 0, 1, 91) == -Reason.MARKET_HALTED
    deep._check()
    deep.set_phase(ATOM, Phase.OPEN)
    assert waiting(deep) == [other]
    assert trades(deep) == [(1, touched, 99, 1)]


def test_due_orders_can_be_cancelled_and_replaced(deep: ReferenceBooks) -> None:
    """Moved out of reach in a call, an order is no longer due."""
    for _ in range(3):
        deep.limit(ATOM, ALICE, SELL, 105, 1, trigger=98, flags=MARK)
    deep.set_phase(ATOM, Phase.CALL)
    deep.set_trigger_price(ATOM, MARK, 97)
    assert deep.cancel(ATOM, ALICE, 21) == 1
    assert deep.replace(ATOM, ALICE, 22, 105, 1, 96) == 22
    deep._check()
    deep.set_phase(ATOM, Phase.OPEN)
    assert events(deep) == [(TRIGGERED, 23, 1, Reason.OK)]
    assert waiting(deep) == [22]


def test_orders_due_at_one_trigger_fire_as_they_arrived(deep: ReferenceBooks) -> None:
    """Though the younger was touched first, by another price, and the rest later."""
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=98, flags=MARK)
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=98, flags=INDEX)
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=98, flags=MARK)
    deep.set_phase(ATOM, Phase.CALL)
    deep.set_trigger_price(ATOM, INDEX, 98)
    deep.set_trigger_price(ATOM, MARK, 98)
    deep.set_trigger_price(ATOM, MARK, 120)
    assert waiting(deep) == [21, 22, 23]
    deep._check()
    deep.set_phase(ATOM, Phase.OPEN)
    assert [order_id for _, order_id, _, _ in events(deep)] == [21, 22, 23]


def test_orders_of_different_prices_fire_as_they_arrived(deep: ReferenceBooks) -> None:
    """The first prints where others wait for the last price, or for the index."""
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=95, flags=INDEX)
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=95)
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=94, flags=INDEX)
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=95, flags=INDEX)
    deep.market(ATOM, ALICE, SELL, 50, trigger=96, flags=INDEX)
    deep.set_trigger_price(ATOM, INDEX, 94)
    assert [row for row in events(deep) if row[0] == TRIGGERED] == [
        (TRIGGERED, order_id, lots, Reason.OK)
        for order_id, lots in ((25, 50), (21, 1), (22, 1), (24, 1), (23, 1))
    ]


def test_a_call_takes_dormant_orders_and_fires_none(deep: ReferenceBooks) -> None:
    """Market stops as well; those met already are due when the market opens."""
    deep.set_phase(ATOM, Phase.CALL)
    deep.market(ATOM, ALICE, SELL, 1, trigger=98)
    deep.market(ATOM, ALICE, SELL, 1, trigger=100)
    assert waiting(deep) == [22, 21]
    assert len(deep.take_fills()) == 0
    deep.set_phase(ATOM, Phase.OPEN)
    assert waiting(deep) == [21]
    assert trades(deep) == [(1, 22, 99, 1)]


def test_the_price_of_an_auction_sets_off_stops_when_the_market_opens(
    deep: ReferenceBooks,
) -> None:
    """Not before, though it printed in the call."""
    deep.limit(ATOM, ALICE, SELL, 150, 1, trigger=95)
    deep.set_phase(ATOM, Phase.CALL)
    deep.limit(ATOM, CAROL, SELL, 95, 50)
    assert deep.uncross(ATOM) == (95, 50)
    assert waiting(deep) == [21]
    deep.set_phase(ATOM, Phase.OPEN)
    assert waiting(deep) == []


# -- THE KEEPER OF ACCOUNTS


class Keeper:
    """Remembers the triggers it was asked about, and refuses those of one kind."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.told: list[int] = []
        self.refuse = -1

    def check(self, message: Mapping[str, int]) -> int:
        """Whether this trigger is refused."""
        self.asked.append(message["trigger"])
        refused = message["trigger"] == self.refuse
        return Reason.INSUFFICIENT_MARGIN if refused else Reason.OK

    def position(self, market: int, account: int, side: int = 0) -> int:
        """A long position of four lots, of everyone."""
        return 4

    def rest(self, *args: int) -> None:
        """Lots that rest."""
        self.told.append(args[4])

    def fill(self, fill: Mapping[str, int]) -> None:
        """Nothing to remember."""


def test_margin_is_asked_for_when_the_order_enters(
    make_books: Callable[..., ReferenceBooks],
) -> None:
    """On arrival the keeper sees the trigger, later not; only then do lots rest."""
    keeper = Keeper()
    books = ReferenceBooks(keeper)
    books.add_market()
    books.set_last_price(0, 100)
    books.limit(0, ALICE, SELL, 150, 9, trigger=98, flags=Flag.REDUCE_ONLY)
    assert (keeper.asked, keeper.told) == ([98], [])
    books.replace(0, ALICE, 1, 150, 9, 97)
    assert keeper.asked == [98, 97]
    books.set_last_price(0, 97)
    assert (keeper.asked, keeper.told) == ([98, 97, 0], [4])
    assert events(books) == [
        (TRIGGERED, 1, 9, Reason.OK),
        (CANCELLED, 1, 5, Reason.REDUCE_ONLY),
    ]
    keeper.refuse = 0
    books.limit(0, ALICE, SELL, 150, 2, trigger=96)
    books.set_last_price(0, 96)
    assert events(books) == [
        (TRIGGERED, 2, 2, Reason.OK),
        (REFUSED, 2, 2, Reason.INSUFFICIENT_MARGIN),
    ]
    keeper.refuse = 95
    refused = books.limit(0, ALICE, SELL, 150, 2, trigger=95)
    assert refused == -Reason.INSUFFICIENT_MARGIN
    assert books.last_id == 2


def test_the_ledger_holds_nothing_for_a_dormant_order() -> None:
    """It refuses unknown accounts on arrival, and reserves lots on entering."""
    ledger = Ledger()
    asset = ledger.add_asset()
    ledger.add_market(asset, asset, True, 1, 1)
    account = ledger.open_accounts(1)
    assert account == SYSTEM_ACCOUNTS
    books = Books(ledger)
    books.add_market()
    books.set_last_price(0, 100)
    refused = books.limit(0, account + 1, SELL, 150, 9, trigger=98)
    assert refused == -Reason.UNKNOWN_ACCOUNT
    books.limit(0, account, SELL, 150, 9, trigger=98)
    assert len(ledger.positions_of(account)) == 0
    books.set_last_price(0, 98)
    assert ledger.positions_of(account)["open_sell"].tolist() == [9]


def test_a_wrong_price_to_watch_is_an_error(books: ReferenceBooks) -> None:
    """It names the flags that there are, and the range of prices."""
    with pytest.raises(ValueError, match=r"'flag' must be TRIGGER_MARK .32. or"):
        books.set_trigger_price(ATOM, MARK | INDEX, 5)
    with pytest.raises(ValueError, match="'price' must be from 1 to"):
        books.set_trigger_price(ATOM, MARK, 0)
    with pytest.raises(IndexError, match="'market' must be from 0 to 1"):
        books.set_trigger_price(2, MARK, 5)
