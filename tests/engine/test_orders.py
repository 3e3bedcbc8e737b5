"""Orders in the units of people: which options they have, and which go together."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import Order, OrderError, Placed, limit, market
from flashwick.orderbook.orders import FILL, RESULT, Flag, Kind, TimeInForce


def test_options_of_a_limit_order_are_its_flags_and_fields():
    """Each keyword is one field or one flag of the message."""
    order = limit(
        7,
        "ATOM/USDT",
        "sell",
        1.5,
        20,
        post_only=True,
        slide=True,
        reduce_only=True,
        display=5,
        trigger=1.4,
        take_profit=True,
        trigger_on="mark",
    )
    assert order == Order(
        account=7,
        market="ATOM/USDT",
        side="sell",
        qty=20,
        price=1.5,
        flags=Flag.POST_ONLY
        | Flag.SLIDE
        | Flag.REDUCE_ONLY
        | Flag.TAKE_PROFIT
        | Flag.TRIGGER_MARK,
        trigger=1.4,
        display=5,
    )


@pytest.mark.parametrize("make", [limit, market])
def test_document_shows_the_whole_signature(make: Callable[..., Order]) -> None:
    """Every argument with its default, in the order they have."""
    document = Path(__file__).parents[2] / "docs" / "exchange.md"
    text = document.read_text("utf-8").partition("<!-- signatures -->")[2]
    shown = re.search(rf"fw\.{make.__name__}(\(.*?\))\n", text, re.DOTALL)
    assert shown
    scope: dict[str, Callable[..., object]] = {}
    exec(f"def shown{shown[1]}: ...", scope)
    told = inspect.signature(scope["shown"]).parameters
    real = inspect.signature(make).parameters
    assert [(p.name, p.kind, p.default) for p in told.values()] == [
        (p.name, p.kind, p.default) for p in real.values()
    ]


def test_options_of_a_market_order_are_its_flags_and_fields():
    """It has a trigger as well; without options it has none of them."""
    order = market(7, "ATOM/USDT", "buy", 20, trigger=1.6, trigger_on="index")
    assert (order.kind, order.tif) == (Kind.MARKET, TimeInForce.IOC)
    assert (order.flags, order.trigger) == (Flag.TRIGGER_INDEX, 1.6)
    plain = market(7, "ATOM/USDT", "buy", 20, protection=2)
    assert (plain.flags, plain.trigger, plain.display) == (Flag(0), None, None)
    assert plain.price == 2


def test_fills_of_an_order_are_not_those_of_the_stop_it_sets_off():
    """One lot at 1.7 fires a stop that trades five at 2: the order paid 1.7."""
    exchange = Exchange(["ATOM/USDT"])
    exchange.reprice({"ATOM": 2.0})
    maker, taker, waiter = (
        exchange.open_account({"USDT": 1_000, "ATOM": 100}) for _ in range(3)
    )
    for price, qty in ((1.7, 1), (2, 5)):
        exchange.submit(limit(maker, "ATOM/USDT", "sell", price, qty))
    stop = exchange.submit(market(waiter, "ATOM/USDT", "buy", 5, trigger=1.7))
    assert len(stop.fills) == 0
    placed = exchange.submit(market(taker, "ATOM/USDT", "buy", 1))
    assert exchange.books.trades == 2
    assert (placed.filled, placed.average_price) == (1.0, pytest.approx(1.7))
    assert placed.fills["taker_order"].tolist() == [placed.order_id]
    assert placed.fills["qty"].tolist() == [100]


def test_stop_that_is_touched_at_once_shows_its_own_fills():
    """Its trigger is met on arrival: what trades then is its own."""
    exchange = Exchange(["ATOM/USDT"])
    exchange.reprice({"ATOM": 2.0})
    maker, taker = (
        exchange.open_account({"USDT": 1_000, "ATOM": 100}) for _ in range(2)
    )
    exchange.submit(limit(maker, "ATOM/USDT", "sell", 2, 5))
    exchange.submit(market(taker, "ATOM/USDT", "buy", 1))
    placed = exchange.submit(market(taker, "ATOM/USDT", "buy", 2, trigger=1.9))
    assert (placed.filled, placed.average_price) == (2.0, 2.0)
    assert placed.fills["taker_order"].tolist() == [placed.order_id]


def test_average_price_is_right_beyond_64_bits():
    """Two fills of 2**60 lots at 2**29 ticks: 2**90, and a sum of their own."""
    fills = np.zeros(2, FILL)
    fills["taker_order"], fills["price"], fills["qty"] = 7, 2**29, 2**60
    result = np.zeros(1, RESULT)
    result["order_id"], result["accepted"], result["filled"] = 7, 1, 2**61
    placed = Placed.of(result[0], fills, tick=1.0, lot=1.0)
    assert placed.average_price == 2.0**29
    assert len(placed.fills) == 2


@pytest.mark.parametrize("make", [limit, market])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"take_profit": True}, "'take_profit' must go with a trigger"),
        ({"trigger_on": "mark"}, "'trigger_on' must go with a trigger"),
        (
            {"trigger": 1, "trigger_on": "marks"},
            r"'trigger_on' must be one of last, mark, index \(got 'marks'\); .* 'mark'",
        ),
    ],
)
def test_trigger_options_that_do_not_fit_are_refused(
    make: Callable[..., Order], options: dict[str, object], words: str
):
    """The error names the option and what it needs."""
    price = {"price": 1} if make is limit else {}
    with pytest.raises(OrderError, match=words):
        make(7, "ATOM/USDT", "buy", qty=1, **price, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slide": True}, "'slide' must go with post_only=True"),
        ({"display": 1, "tif": "IOC"}, r"'display' must go with tif='GTC' .got 'IOC'"),
        ({"tif": "GTD"}, r"'tif' must be one of GTC, IOC, FOK \(got 'GTD'\)"),
    ],
)
def test_limit_options_that_do_not_fit_are_refused(
    options: dict[str, object], words: str
):
    """Before the order reaches an exchange."""
    with pytest.raises(OrderError, match=words):
        limit(7, "ATOM/USDT", "buy", 1, 1, **options)
