"""Books and open orders of the exchange, in the units of people."""

import math

import numpy as np
import pytest

import flashwick as fw

SPOT, PERP = "ATOM/USDT", "ATOM/USDT:PERP"


@pytest.fixture
def exchange() -> fw.Exchange:
    """Accounts 5 and 6 are rich; 5 bids 3.598, 3.59 and 3.5, 6 asks 3.602."""
    exchange = fw.Exchange([SPOT, PERP])
    exchange.reprice({"ATOM": 3.6})
    for _ in range(2):
        exchange.open_account({"USDT": 100_000, "ATOM": 100_000})
    for price, qty in ((3.598, 10), (3.59, 20), (3.5, 5)):
        exchange.submit(fw.limit(5, SPOT, "buy", price, qty))
    exchange.submit(fw.limit(6, SPOT, "sell", 3.602, 10, display=2))
    return exchange


def test_exchange_shows_what_it_is(exchange: fw.Exchange) -> None:
    """Rules and counts, for a notebook."""
    assert repr(exchange) == "<Exchange binance-pm: 2 markets, 2 accounts, 0 trades>"


def test_depth_has_prices_and_quantities(exchange: fw.Exchange) -> None:
    """Best first, as people write them; of an iceberg what it shows."""
    depth = exchange.depth(SPOT)
    assert depth.bids.tolist() == [(3.598, 10.0), (3.59, 20.0), (3.5, 5.0)]
    assert depth.asks.tolist() == [(3.602, 2.0)]
    assert len(exchange.depth(SPOT, 2).bids) == 2
    assert len(exchange.depth(PERP).asks) == 0
    for price in np.arange(1, 13):
        exchange.submit(fw.limit(5, SPOT, "buy", float(price) / 10, 10))
    assert len(exchange.depth(SPOT).bids) == 10
    assert len(exchange.depth(SPOT, None).bids) == 15


@pytest.mark.parametrize("levels", [-5, 0, 1.5, "3", True])
def test_wrong_number_of_levels_is_refused(
    levels: object, exchange: fw.Exchange
) -> None:
    """A whole number, or None."""
    with pytest.raises(ValueError, match="'levels' must be a whole number from 1, or"):
        exchange.depth(SPOT, levels)  # type: ignore[arg-type]


def test_best_has_both_sides_their_middle_and_the_last(exchange: fw.Exchange) -> None:
    """To the digit, without the dust of floats; NaN for what there is not."""
    best = exchange.best(SPOT)
    assert (best.bid, best.bid_qty, best.ask, best.ask_qty) == (3.598, 10, 3.602, 2)
    assert (best.mid, best.spread) == (3.6, 0.004)
    assert math.isnan(best.last)
    exchange.submit(fw.market(6, SPOT, "sell", 30))
    best = exchange.best(SPOT)
    assert (best.bid, best.bid_qty, best.last) == (3.5, 5.0, 3.59)
    empty = exchange.best(PERP)
    assert (empty.bid_qty, empty.ask_qty) == (0.0, 0.0)
    assert all(map(math.isnan, (empty.bid, empty.ask, empty.mid, empty.spread)))


@pytest.mark.parametrize("view", ["depth", "best"])
def test_view_of_an_unknown_market_names_the_nearest(
    view: str, exchange: fw.Exchange
) -> None:
    """The market that was meant."""
    with pytest.raises(fw.OrderError, match=r"'ATM/USDT' is not .* mean 'ATOM/USDT'"):
        getattr(exchange, view)("ATM/USDT")


def test_open_orders_are_rows_in_the_units_of_people(exchange: fw.Exchange) -> None:
    """What rests, with its hidden part, and what waits for a trigger."""
    stop = exchange.submit(fw.market(6, SPOT, "sell", 7, trigger=3.4))
    exchange.submit(fw.limit(6, PERP, "sell", 4, 3))
    rows = exchange.open_orders()
    assert rows["order_id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert rows["account"].tolist() == [5, 5, 5, 6, 6, 6]
    assert rows["market"].tolist() == [SPOT] * 5 + [PERP]
    assert rows["side"].tolist() == ["buy"] * 3 + ["sell"] * 3
    assert rows["qty"].tolist() == [10.0, 20.0, 5.0, 10.0, 7.0, 3.0]
    assert rows["hidden"].tolist() == [0.0, 0.0, 0.0, 8.0, 0.0, 0.0]
    np.testing.assert_array_equal(rows["price"], [3.598, 3.59, 3.5, 3.602, np.nan, 4.0])
    assert rows["trigger"][4] == 3.4
    assert np.isnan(np.delete(rows["trigger"], 4)).all()
    own = exchange.open_orders(6)
    assert own["order_id"].tolist() == [4, stop.order_id, 6]
    assert len(exchange.open_orders(2)) == 0


def test_orders_of_an_isolated_market_are_their_owners(exchange: fw.Exchange) -> None:
    """They rest under the number of the sub-account."""
    sub = exchange.isolate(6, PERP, 1_000)
    exchange.submit(fw.limit(6, PERP, "sell", 4, 3))
    assert exchange.open_orders(6)["account"].tolist() == [6, sub]


def test_open_orders_of_no_account_is_an_error(exchange: fw.Exchange) -> None:
    """With the numbers there are."""
    with pytest.raises(fw.OrderError, match=r"account 99 is not open here; .* 5 to 6"):
        exchange.open_orders(99)


# -- REPLACE


def test_replaced_order_has_another_price_or_quantity(exchange: fw.Exchange) -> None:
    """What is not named stays; the order keeps its number."""
    placed = exchange.submit(fw.limit(5, SPOT, "buy", 3.0, 8))
    moved = exchange.replace(placed, price=3.1)
    assert (moved.accepted, moved.order_id, moved.open) == (True, placed.order_id, 8.0)
    assert exchange.replace(placed.order_id, qty="2.5").open == 2.5
    (row,) = exchange.open_orders()[-1:]
    assert (row["price"], row["qty"]) == (3.1, 2.5)


def test_less_at_the_same_price_keeps_the_place(exchange: fw.Exchange) -> None:
    """More does not: the order behind trades first then."""
    first, second = (
        exchange.submit(fw.limit(account, SPOT, "buy", 3.599, 10)) for account in (5, 6)
    )
    exchange.replace(first, qty=4)
    fills = exchange.submit(fw.market(6, SPOT, "sell", 1)).fills
    assert fills["maker_order"].tolist() == [first.order_id]
    exchange.replace(first, qty=5)
    fills = exchange.submit(fw.market(6, SPOT, "sell", 1)).fills
    assert fills["maker_order"].tolist() == [second.order_id]


def test_order_that_is_moved_across_trades(exchange: fw.Exchange) -> None:
    """It takes what it meets, and the rest stays."""
    placed = exchange.submit(fw.limit(6, SPOT, "sell", 3.7, 15))
    moved = exchange.replace(placed, price=3.59)
    assert (moved.filled, moved.open) == (15.0, 0.0)
    assert moved.average_price == pytest.approx((10 * 3.598 + 5 * 3.59) / 15)


def test_refused_change_leaves_the_order(exchange: fw.Exchange) -> None:
    """For lack of margin, say: the reason comes back."""
    placed = exchange.submit(fw.limit(5, SPOT, "buy", 3.0, 8))
    moved = exchange.replace(placed, qty=10_000_000)
    assert (moved.accepted, moved.reason) == (False, fw.Reason.INSUFFICIENT_MARGIN)
    assert exchange.open_orders()[-1]["qty"] == 8.0
    exchange._check()


def test_stop_is_replaced_as_well(exchange: fw.Exchange) -> None:
    """It goes on waiting for its trigger, at market as before."""
    stop = exchange.submit(fw.market(6, SPOT, "sell", 7, trigger=3.4))
    assert exchange.replace(stop, qty=3).open == 3.0
    row = exchange.open_orders(6)[-1]
    assert (row["qty"], row["trigger"], np.isnan(row["price"])) == (3.0, 3.4, True)


@pytest.mark.parametrize(
    ("order", "change", "text"),
    [
        (77, {"price": 3}, r"order 77 is not open; see open_orders\(\)"),
        (0, {"price": 3}, "order 0 is not open"),
        (2**70, {"price": 3}, f"order {2**70} is not open"),
        ("x", {"price": 3}, r"'order' must be what submit\(\) returned.* .got 'x'"),
        (True, {"price": 3}, r"'order' must be what submit\(\) returned.* .got True"),
        (1, {}, "'price' or 'qty' must be given"),
        (1, {"price": 3.0005}, "'price' must be a multiple of 0.001"),
        (1, {"price": -1}, "'price' must be a multiple of 0.001 from 0.001 to "),
        (1, {"qty": 0}, "'qty' must be a multiple of 0.01"),
    ],
)
def test_wrong_replace_is_refused_and_changes_nothing(
    order: int, change: dict[str, float], text: str, exchange: fw.Exchange
) -> None:
    """The error names the order, or the number that does not fit."""
    before = exchange.open_orders().tolist()
    with pytest.raises((fw.OrderError, fw.MarketError), match=text):
        exchange.replace(order, **change)
    assert str(exchange.open_orders().tolist()) == str(before)
    exchange._check()


def test_cancel_takes_what_submit_returned_or_its_number(exchange: fw.Exchange) -> None:
    """And gives back what was open; a second time there is no such order."""
    placed = exchange.submit(fw.limit(5, SPOT, "buy", 3.0, 8))
    assert exchange.cancel(placed) == 8.0
    assert exchange.cancel(1) == 10.0
    assert exchange.open_orders()["order_id"].tolist() == [2, 3, 4]
    with pytest.raises(fw.OrderError, match="order 5 is not open"):
        exchange.cancel(placed)
