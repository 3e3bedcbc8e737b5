"""An exchange that starts from a recorded book."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flashwick.cython_ext.ledger import SYSTEM_ACCOUNTS
from flashwick.engine.exchange import Exchange
from flashwick.engine.from_book import from_book
from flashwick.engine.orders import OrderError, market
from flashwick.margin.markets import MarketError
from flashwick.margin.prices import IndexRule
from flashwick.orderbook import binance, itch, lobster
from flashwick.orderbook.book_state import BookState
from flashwick.orderbook.orders import Side

CENT = Fraction(1, 100)


def state(name: str = "ATOM/USDT", **changes: object) -> BookState:
    """A small book: two orders share a price, one level is far away."""
    fields: dict[str, object] = {
        "tick": CENT,
        "lot": Fraction(1, 10),
        "bids": [(400, 50), (400, 7), (399, 20), (1, 1_000)],
        "asks": [(402, 30), (405, 5), (405, 6)],
        "last": 401,
    }
    return BookState(name=name, **(fields | changes))


def check(exchange: Exchange, states: list[BookState]) -> None:
    """Books and states are equal, order by order; nothing was made or lost."""
    for number, one in enumerate(states):
        for side in Side.BUY, Side.SELL:
            rows = exchange.books.orders(number, side)
            found = np.column_stack([rows["price"], rows["qty"]])
            assert found.tolist() == one.sides[side].tolist()
    exchange._check()
    assert not exchange.ledger.totals().any()


def sweep(exchange: Exchange, name: str, side: str) -> float:
    """A stranger's order takes a whole side of a book; the average price."""
    number, other = exchange.market_number[name], int(side == "buy")
    _, lots = exchange.books.depth(number, other)
    qty = str(int(lots.sum()) * Decimal(str(exchange.lot[number])))
    quote, base = exchange.specs[number].quote, exchange.specs[number].base
    rich = quote if side == "buy" or exchange.perpetual[number] else base
    stranger = exchange.open_account({rich: 10**9})
    placed = exchange.submit(market(stranger, name, side, qty=qty))
    assert placed.filled == pytest.approx(float(qty))
    assert exchange.books.best(number)[other] == 0
    exchange._check()
    assert not exchange.ledger.totals().any()
    return placed.average_price


def test_the_book_is_that_of_the_state_order_by_order() -> None:
    """Prices, lots and the places in the queues; the last price is the recorded one."""
    one = state()
    exchange = Exchange.from_book(one)
    check(exchange, [one])
    assert exchange.books.last_price(0) == 401
    assert exchange.index[exchange.asset_number["ATOM"]] == pytest.approx(4.01)


def test_each_side_belongs_to_an_account_with_just_what_it_needs() -> None:
    """Bids are funded with cost and fees in USDT, asks with what they sell."""
    exchange = Exchange.from_book(state())
    bids, asks = SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + 1
    assert set(exchange.books.orders(0, Side.BUY)["account"].tolist()) == {bids}
    assert set(exchange.books.orders(0, Side.SELL)["account"].tolist()) == {asks}
    cost = 4.0 * 5.7 + 3.99 * 2 + 0.01 * 100
    fees = exchange.rules.fees.spot_maker_ppm * 1e-6
    assert fees > 0
    funded = {"USDT": pytest.approx(cost * (1 + fees)), "ATOM": 0.0}
    assert exchange.account(bids).balances == funded
    assert exchange.account(asks).balances == {"ATOM": pytest.approx(4.1), "USDT": 0.0}


def test_a_shock_order_sweeps_the_book_and_nobody_owes() -> None:
    """All bids trade, to the last far below, paid for out of what they have."""
    exchange = Exchange.from_book(state())
    average = sweep(exchange, "ATOM/USDT", "sell")
    cost = 4.0 * 5.7 + 3.99 * 2 + 0.01 * 100
    assert average == pytest.approx(cost / (5.7 + 2 + 100))
    bids = exchange.account(SYSTEM_ACCOUNTS)
    assert bids.balances["ATOM"] == pytest.approx(107.7)
    assert 0 <= bids.balances["USDT"] < 1e-6
    assert exchange.liquidate() == 0


def test_several_markets_share_one_exchange() -> None:
    """States in a list; each gets its market and two accounts."""
    states = [state(), state("ETH/USDT", bids=[], last=0), state("ATOM/USDC")]
    exchange = Exchange.from_book(states)
    check(exchange, states)
    assert exchange.markets == ("ATOM/USDT", "ETH/USDT", "ATOM/USDC")
    # Without a last price and bids, the best ask must do.
    assert exchange.books.last_price(1) == 402
    owners = exchange.books.orders(2, Side.SELL)["account"].tolist()
    assert set(owners) == {SYSTEM_ACCOUNTS + 5}


def test_the_middle_stands_in_for_a_last_price() -> None:
    """And an empty book has none."""
    assert Exchange.from_book(state(last=0)).books.last_price(0) == 401
    assert Exchange.from_book(state(last=0, bids=[], asks=[])).books.last_price(0) == 0


def test_a_perpetual_alone_gets_its_price_as_the_index() -> None:
    """Without an index it could not be margined; a rule of the caller comes first."""
    one = state("ATOM/USDT:PERP")
    exchange = Exchange.from_book(one)
    check(exchange, [one])
    assert exchange.mark[0] == pytest.approx(4.01)
    sweep(exchange, "ATOM/USDT:PERP", "sell")
    fixed = {"ATOM": IndexRule(policy="fixed", value=3.9)}
    exchange = Exchange.from_book(one, oracles=fixed)
    assert exchange.index[exchange.asset_number["ATOM"]] == 3.9
    both = Exchange.from_book([state(last=400), one])
    assert both.index[both.asset_number["ATOM"]] == pytest.approx(4.0)


@pytest.mark.parametrize("bid", [402, 403])
def test_a_crossed_or_locked_book_is_refused(bid: int) -> None:
    """It would trade at once, and be no longer the recorded one."""
    words = (
        rf"ATOM/USDT: the best bid must be below .* \(got {bid} and 402 ticks\): "
        "start from a moment at which it is, with the 'until' of the replay"
    )
    with pytest.raises(OrderError, match=words):
        Exchange.from_book(state(bids=[(bid, 1)]))


@pytest.mark.parametrize("wrong", [None, 7, [1], "x", [state(), None]])
@pytest.mark.parametrize("opens", [from_book, Exchange.from_book])
def test_what_is_no_recorded_book_is_refused(
    opens: Callable[..., Exchange], wrong: object
) -> None:
    """The error says what was expected, and where it comes from."""
    words = r"'states' must be a BookState, .* as state\(\) of a replay returns \(got"
    with pytest.raises(OrderError, match=words):
        opens(wrong)


def test_units_that_settle_in_no_whole_atoms_are_refused() -> None:
    """The message says how to do it; more decimals are one way."""
    fine = state(lot=Fraction(1, 10**8))
    with pytest.raises(MarketError, match="give USDT more decimals"):
        Exchange.from_book(fine)
    check(Exchange.from_book(fine, decimals={"USDT": 10}), [fine])


def test_a_book_worth_more_than_an_account_holds_is_refused() -> None:
    """Balances are 64 bits; with fewer decimals there is room."""
    huge = state(bids=[(400, 10**11)], lot=Fraction(1))
    words = r"the buy orders need 400,\d+,\d+,\d+ USDT, .* give USDT fewer decimals"
    with pytest.raises(OrderError, match=words):
        Exchange.from_book(huge)
    with pytest.raises(
        OrderError, match=r"1 of 1 buy orders .* for OVERFLOW: give the"
    ):
        Exchange.from_book(huge, decimals={"USDT": 4})
    check(Exchange.from_book(huge, decimals={"USDT": 4, "ATOM": 4}), [huge])


# -- RECORDED BOOKS


def test_a_lobster_book_starts_an_exchange(data_dir: Path) -> None:
    """AAPL after 999 messages: the book, and then what a sweep of it pays."""
    day = str(data_dir / "lobster" / "AAPL_2012-06-21_first999_{}_10.csv.gz")
    replay = lobster.replay(day.format("message"), day.format("orderbook"))
    one = replay.state("AAPL/USD")
    exchange = Exchange.from_book(one)
    check(exchange, [one])
    rows = one.bids.tolist()
    worth = sum(price * qty for price, qty in rows) / sum(qty for _, qty in rows)
    assert sweep(exchange, "AAPL/USD", "sell") == pytest.approx(worth / 10_000)


def test_a_simulation_starts_at_a_moment_of_the_day(data_dir: Path) -> None:
    """AAPL at 09:45 on 21 June 2012, between the best prices of the day's file."""
    day = f"{data_dir / 'lobster' / 'AAPL_2012-06-21'}_"
    replay = lobster.replay(
        f"{day}34200000_37800000_message_50.csv.gz",
        f"{day}34200000_57600000_orderbook_1.csv.gz",
        start=f"{day}first999_orderbook_10.csv.gz",
        until="09:45",
    )
    one = replay.state("AAPL/USD")
    quarter = 35_100 * 10**9
    assert quarter - 10**9 < one.time <= quarter
    exchange = Exchange.from_book(one)
    check(exchange, [one])
    assert one.best == (5_865_800, 5_868_800)
    prices = replay.check("best prices equal before")
    assert (prices.matched, prices.total) == (8_976, 8_976)


def test_a_binance_book_starts_an_exchange(data_dir: Path) -> None:
    """BTCUSDT, 3,405 levels, swept on both sides."""
    day = data_dir / "binance_l2" / "binance_spot_btcusdt_20240808.gz"
    one = binance.replay(day).state("BTC/USDT")
    exchange = Exchange.from_book(one)
    assert len(one.bids) + len(one.asks) == 3_405
    check(exchange, [one])
    sweep(exchange, "BTC/USDT", "sell")
    sweep(exchange, "BTC/USDT", "buy")


def test_an_itch_book_starts_an_exchange_once_it_is_not_crossed(
    data_dir: Path,
) -> None:
    """The sample day's books are; of one side of them an exchange can be made."""
    replay = itch.replay(data_dir / "itch" / "ex20101224.TEST_ITCH_50.gz")
    one = replay.state("BOB/USD")
    with pytest.raises(OrderError, match="the best bid must be below the best ask"):
        Exchange.from_book(one)
    bids = state("BOB/USD", tick=one.tick, lot=one.lot, bids=one.bids, asks=[])
    exchange = Exchange.from_book(bids)
    check(exchange, [bids])
    sweep(exchange, "BOB/USD", "sell")
