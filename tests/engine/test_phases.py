"""Halts, auctions, circuit breakers and stops of an exchange, and their events."""

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.exchange import Exchange
from flashwick.engine.simulation import SECOND, World
from flashwick.orderbook.orders import Flag

SPOT, PERP = "ATOM/USDT", "ATOM/USDT:PERP"


@pytest.fixture
def exchange() -> Exchange:
    """A coin, its book and its perpetual, and two rich accounts, 5 and 6."""
    exchange = Exchange([SPOT, PERP])
    exchange.reprice({"ATOM": 4.0})
    for _ in range(2):
        exchange.open_account({"USDT": 1_000_000, "ATOM": 100_000})
    return exchange


def kinds(exchange: Exchange, event: int) -> list[str]:
    """The kinds of an event and its causes."""
    return [found.kind for found in exchange.log.chain(event)]


# -- PHASES


def test_halted_market_refuses_orders_and_takes_cancels(exchange: Exchange) -> None:
    """Until it is opened again; both are events."""
    resting = exchange.submit(fw.limit(5, SPOT, "buy", 3.9, 10))
    exchange.set_phase(SPOT, "halted")
    assert exchange.phase(SPOT) == "halted"
    assert exchange.phase(PERP) == "open"
    placed = exchange.submit(fw.limit(6, SPOT, "sell", 3.9, 10))
    assert placed.reason is fw.Reason.MARKET_HALTED
    assert exchange.cancel(resting) == 10.0
    exchange.set_phase(SPOT, "open")
    assert exchange.submit(fw.limit(6, SPOT, "sell", 3.9, 10)).accepted
    texts = [event.text for event in exchange.log.single("phase")]
    assert texts == ["ATOM/USDT halted", "ATOM/USDT opened"]
    exchange._check()


def test_called_market_opens_with_an_auction_that_is_logged(exchange: Exchange) -> None:
    """At the price at which most trades; its trades come from the opening."""
    exchange.set_phase(SPOT, "call")
    exchange.submit(fw.limit(5, SPOT, "buy", 4.1, 100))
    exchange.submit(fw.limit(6, SPOT, "sell", 3.9, 60))
    price, qty, surplus = exchange.indicative(SPOT)
    assert (qty, surplus) == (60.0, 40.0)
    assert 3.9 <= price <= 4.1
    assert len(exchange.log.fills()[0]) == 0
    exchange.set_phase(SPOT, "open")
    ids, fills = exchange.log.fills()
    assert fills["qty"].sum() * exchange.lot[0] == pytest.approx(60.0)
    assert (fills["flags"] & Flag.AUCTION).all()
    assert kinds(exchange, int(ids[-1])) == ["trade", "phase"]
    assert exchange.account(5).balances["ATOM"] == 100_060.0
    exchange._check()


# -- CIRCUIT BREAKERS


def test_circuit_breaker_stops_a_market_and_says_which_trade_did_it(
    exchange: Exchange,
) -> None:
    """The trade that goes too far is the last; the rest of its order is cancelled."""
    exchange.set_circuit_breaker(SPOT, 0.05, window=60.0, phase="halted")
    exchange.submit(fw.limit(5, SPOT, "buy", 4.0, 1))
    exchange.submit(fw.market(6, SPOT, "sell", 1))
    exchange.now = 61 * SECOND
    for price in (4.0, 3.9, 3.75, 3.5):
        exchange.submit(fw.limit(5, SPOT, "buy", price, 10))
    placed = exchange.submit(fw.market(6, SPOT, "sell", 40))
    assert (placed.filled, placed.reason) == (30.0, fw.Reason.CIRCUIT_BREAKER)
    assert exchange.phase(SPOT) == "halted"
    (event,) = exchange.log.single("phase")
    assert event.text == "ATOM/USDT halted by its circuit breaker"
    assert kinds(exchange, event.id) == ["phase", "trade", "order"]
    assert exchange.log[event.cause].price == 3750
    exchange.set_circuit_breaker(SPOT, None)
    exchange.set_phase(SPOT, "open")
    assert exchange.submit(fw.market(6, SPOT, "sell", 10)).filled == 10.0
    exchange._check()


@pytest.mark.parametrize(
    ("call", "arguments", "options", "text"),
    [
        ("set_phase", (SPOT, "closed"), {}, "one of open, halted, call .got 'closed'"),
        ("set_phase", ("ATOM/USDC", "open"), {}, "'ATOM/USDC' is not a market here"),
        ("phase", ("ATOM/USDC",), {}, "'ATOM/USDC' is not a market here"),
        ("indicative", ("ATOM/USDC",), {}, "'ATOM/USDC' is not a market here"),
        ("set_circuit_breaker", (SPOT, 1.5), {}, "'share' must be from 0.000001 to 1"),
        ("set_circuit_breaker", (SPOT, -0.1), {}, "'share' must be from 0.000001 to 1"),
        (
            "set_circuit_breaker",
            (SPOT, 0.1),
            {"window": float("nan")},
            "'window' must be seconds above 0 .got nan",
        ),
        (
            "set_circuit_breaker",
            (SPOT, 0.1),
            {"phase": "open"},
            "'phase' must be one of halted, call .got 'open'",
        ),
    ],
)
def test_wrong_phase_or_breaker_is_refused(
    call: str,
    arguments: tuple[object, ...],
    options: dict[str, object],
    text: str,
    exchange: Exchange,
) -> None:
    """With what would be right."""
    with pytest.raises(fw.OrderError, match=text):
        getattr(exchange, call)(*arguments, **options)
    assert exchange.phase(SPOT) == "open"


# -- STOPS


def test_stop_that_a_trade_sets_off_is_an_event_of_its_message(
    exchange: Exchange,
) -> None:
    """The chain of its trade: trigger, the order that touched it."""
    for price in (4.0, 3.9, 3.8):
        exchange.submit(fw.limit(5, SPOT, "buy", price, 10))
    stop = exchange.submit(fw.market(6, SPOT, "sell", 5, trigger=3.95))
    assert (stop.filled, stop.open) == (0.0, 5.0)
    exchange.submit(fw.limit(6, SPOT, "sell", 3.9, 15, tif="IOC"))
    (event,) = exchange.log.single("trigger")
    assert (event.account, event.value, event.text) == (
        6,
        stop.order_id,
        "order triggered",
    )
    ids, fills = exchange.log.fills()
    own = ids[fills["taker_order"] == stop.order_id]
    assert kinds(exchange, int(own[0])) == ["trade", "trigger", "order"]
    assert fills["price"][-1] == 3900
    exchange._check()


def test_stop_on_the_mark_waits_for_the_mark(exchange: Exchange) -> None:
    """Not for the last trade; what set it off is the repricing."""
    exchange.submit(fw.limit(5, PERP, "buy", 2.9, 100))
    stop = exchange.submit(
        fw.market(6, PERP, "sell", 100, trigger=3.5, trigger_on="mark")
    )
    assert stop.open == 100.0
    exchange.update_prices()
    assert exchange.account(6).positions == {}
    exchange.reprice({"ATOM": 3.0})
    assert exchange.account(6).positions == {PERP: -100.0}
    ids, _ = exchange.log.fills()
    assert kinds(exchange, int(ids[-1]))[:2] == ["trade", "trigger"]
    assert "mark" in kinds(exchange, int(ids[-1]))
    exchange._check()


def test_order_cancelled_by_its_owners_newer_one_is_an_event(
    exchange: Exchange,
) -> None:
    """Self-trade prevention of the older order says so."""
    exchange.set_self_trade(5, fw.SelfTrade.CANCEL_OLDEST)
    old = exchange.submit(fw.limit(5, SPOT, "buy", 4.0, 10))
    exchange.submit(fw.limit(5, SPOT, "sell", 4.0, 10))
    (event,) = exchange.log.single("cancel")
    assert (event.account, event.value) == (5, old.order_id)
    assert event.text == "order cancelled: self trade"
    assert kinds(exchange, event.id) == ["cancel", "order"]


# -- SETTINGS


def test_settings_of_the_books_are_in_the_log_in_order(exchange: Exchange) -> None:
    """With the event that comes next, so that a run can be sent through again."""
    exchange.set_price_band(SPOT, 0.5)
    exchange.submit(fw.limit(5, SPOT, "buy", 3.9, 10))
    before = exchange.log.next_id
    exchange.set_circuit_breaker(SPOT, 0.1, window=60)
    assert [call[1:3] for call in exchange.log.calls] == [
        ("set_price_band", (0, 500_000)),
        ("set_circuit_breaker", (0, 100_000, 60 * SECOND, 2)),
    ]
    assert exchange.log.calls[1][0] == before
    assert exchange.log.batch_sizes() == [1]


# -- IN A SCENARIO


def test_market_of_a_scenario_opens_again_after_its_pause() -> None:
    """The breaker trips in the crash, and its auction follows."""
    place = 'markets."ATOM/USDT".circuit_breaker'
    calm = fw.load("atom-sweep")
    changed = calm.vary({place: {"share": 0.05, "window": 600.0, "pause": 0.1}})
    world = World(changed, seed=0)
    world.run()
    texts = [event.text for event in world.exchange.log.single("phase")]
    assert texts[0] == "ATOM/USDT called to auction by its circuit breaker"
    assert texts[1] == "ATOM/USDT opened"
    times = [event.time for event in world.exchange.log.single("phase")]
    assert times[1] - times[0] == pytest.approx(0.1 * SECOND, abs=0.01 * SECOND)
    run = calm.run(seed=0)
    deepest = float(np.nanmin(run.series.last[:, 0]))
    fills = world.exchange.log.fills()[1]
    lowest = fills["price"][fills["market"] == 0].min() * world.exchange.tick[0]
    assert lowest > deepest
    assert world.exchange.ledger.totals().any() == np.False_
    world.exchange._check()
