"""Arbitrage in a triangle: a staked coin, the coin, and dollars; desks that rest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desks import BOOKS, opened, quoted, total_usd, woken

import flashwick as fw
from flashwick.engine.simulation import World
from flashwick.orderbook.orders import Side


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> fw.Scenario:
    """Two coins, each in two books and a perpetual, and a staked one."""
    path: Path = tmp_path_factory.mktemp("arbitrage") / "books.toml"
    path.write_text(BOOKS)
    return fw.load(path)


# -- A TRIANGLE OF BOOKS


def staked(world: World, token: float, in_coin: float, coin: float) -> None:
    """WBETH sold in USDT, bids for it in ETH, and bids for ETH."""
    quoted(world, "WBETH/USDT", "sell", token, usd=1e7)
    # 1,000 ETH of bids, in quantities of WBETH.
    quoted(world, "WBETH/ETH", "buy", in_coin, usd=1_000)
    quoted(world, "ETH/USDT", "buy", coin, usd=1e7)


def test_quote_coin_of_a_triangle_is_worth_what_its_own_book_bids(
    scenario: fw.Scenario,
) -> None:
    """Four thousandths off outside are none where ETH is sold as much cheaper."""
    for coin, orders in ((3_990, 2), (3_960, 0)):
        world, desk = opened(scenario, "triangle")
        staked(world, 4_257, 1.075, coin)
        assert len(woken(world, desk, 1)) == orders, coin
    # A desk that does not watch it goes by the price outside.
    books = {"cross_arbitrage.triangle.markets": ["WBETH/USDT", "WBETH/ETH"]}
    world, desk = opened(scenario, "triangle", **books)
    staked(world, 4_257, 1.075, 3_960)
    assert len(woken(world, desk, 1)) == 2


def test_triangle_is_traded_through_without_the_channel(scenario: fw.Scenario) -> None:
    """The token bought for USDT and sold for ETH, and that ETH sold for USDT."""
    world, desk = opened(scenario, "triangle")
    exchange = world.exchange
    world.channel.open = False
    before = total_usd(world, desk)
    staked(world, 4_000, 1.05, 3_990)
    names = []
    for second in range(1, 61):
        batch = woken(world, desk, second)
        names.append([exchange.markets[m] for m in batch["market"]])
    assert names[0] == ["WBETH/USDT", "WBETH/ETH"]
    assert names[1] == ["WBETH/USDT", "WBETH/ETH", "ETH/USDT"]
    after = exchange.account(desk.account).balances
    # Sixty clips of 10,000 dollars, six times what it has, at a gain of 4.7 % each.
    gain = total_usd(world, desk) - before
    assert gain == pytest.approx(600_000 * (1.05 * 3_990 - 4_000) / 4_300, rel=0.1)
    for coin, price in (("ETH", 4_000), ("WBETH", 4_300)):
        assert after[coin] * price == pytest.approx(50_000, abs=10_100)
    assert desk.sent == []
    exchange._check()


def test_without_the_coins_book_a_dollar_works_once(scenario: fw.Scenario) -> None:
    """While the channel is cut the ETH stays, and the USDT is spent."""
    books = {"cross_arbitrage.triangle.markets": ["WBETH/USDT", "WBETH/ETH"]}
    world, desk = opened(scenario, "triangle", **books)
    world.channel.open = False
    staked(world, 4_000, 1.05, 3_990)
    traded = [len(woken(world, desk, second)) for second in range(1, 61)]
    assert sum(traded) == 2 * 10
    assert world.exchange.account(desk.account).balances["USDT"] < 10_000


def test_what_it_pays_with_is_bought_back_in_the_coins_book(
    scenario: fw.Scenario,
) -> None:
    """The other way round: the token is cheap in ETH; the cause is what moved it."""
    world, desk = opened(scenario, "triangle")
    exchange = world.exchange
    quoted(world, "WBETH/ETH", "buy", 1.0, usd=10)
    seller = exchange.open_account({"WBETH": 10})
    exchange.submit(fw.market(seller, "WBETH/ETH", "sell", "0.1"))
    fallen = exchange.movers.of(exchange.market_number["WBETH/ETH"])
    quoted(world, "WBETH/ETH", "sell", 1.0, usd=1_000)
    quoted(world, "WBETH/USDT", "buy", 4_250)
    quoted(world, "ETH/USDT", "sell", 4_010)
    woken(world, desk, 1)
    back = woken(world, desk, 2)
    assert exchange.markets[back["market"][-1]] == "ETH/USDT"
    assert back["side"][-1] == Side.BUY
    cause = int(back["cause"][-1])
    assert fallen in (cause, exchange.log[cause].cause)
    assert exchange.account(desk.account).balances["ETH"] * 4_000 > 40_000
    exchange._check()


# -- RESTING

PASSIVE = {"cross_arbitrage.triangle.passive": True}


def own_orders(world: World, desk: Any) -> dict[tuple[str, str], float]:
    """Price of each order of a desk, by market and side."""
    exchange = world.exchange
    return {
        (exchange.markets[row["market"]], Side(row["side"]).name): float(
            row["price"] * exchange.tick[row["market"]]
        )
        for row in exchange.books.account_orders(desk.account)
    }


def test_passive_desk_rests_at_what_the_other_book_gives(
    scenario: fw.Scenario,
) -> None:
    """Less three thousandths, and what ETH costs or brings in its own book."""
    world, desk = opened(scenario, "triangle", **PASSIVE)
    quoted(world, "WBETH/ETH", "buy", 1.07, usd=1_000)
    quoted(world, "WBETH/USDT", "sell", 4_310)
    quoted(world, "ETH/USDT", "buy", 3_995)
    quoted(world, "ETH/USDT", "sell", 4_005)
    woken(world, desk, 1)
    assert own_orders(world, desk) == {
        ("WBETH/USDT", "BUY"): pytest.approx(1.07 * 3_995 * 0.997, abs=0.01),
        ("WBETH/ETH", "SELL"): pytest.approx(4_310 * 1.003 / 3_995, abs=1e-4),
    }
    # Its own bid is not what it rests by: the book of WBETH/ETH has no bid by that.
    woken(world, desk, 2)
    assert len(own_orders(world, desk)) == 2
    world.exchange._check()


def test_sale_into_one_book_reaches_the_bids_of_the_other_only_if_desk_is_passive(
    scenario: fw.Scenario,
) -> None:
    """Both books have bids for as much; the forced seller only knows the first."""
    left = {}
    for passive in (True, False):
        changes = {"cross_arbitrage.triangle.passive": passive}
        world, desk = opened(scenario, "triangle", **changes)
        exchange = world.exchange
        world.channel.open = False
        before = exchange.account(desk.account).balances
        quoted(world, "WBETH/ETH", "buy", 1.07, usd=100)
        there = exchange.market_number["WBETH/ETH"]
        quoted(world, "WBETH/USDT", "sell", 4_310)
        quoted(world, "WBETH/USDT", "buy", 430)
        quoted(world, "ETH/USDT", "buy", 3_995)
        seller = exchange.open_account({"WBETH": 20})
        for second in range(1, 21):
            woken(world, desk, second)
            exchange.submit(fw.market(seller, "WBETH/USDT", "sell", "0.5"))
        for second in range(21, 24):
            woken(world, desk, second)
        sold = exchange.account(seller).balances["USDT"] / 10
        left[passive] = sold, exchange.books.orders(there, Side.BUY)["qty"].sum()
        after = exchange.account(desk.account).balances
        for coin in ("WBETH", "ETH"):
            assert after[coin] == pytest.approx(before[coin], rel=0.2)
        exchange._check()
    assert left[False][0] == pytest.approx(430, rel=0.01)
    assert left[True][0] > 4_000
    assert left[True][1] < left[False][1]


def test_passive_desk_bids_only_what_it_can_pay(scenario: fw.Scenario) -> None:
    """With its dollars spent it leaves the book alone; coins too many are sold."""
    world, desk = opened(
        scenario, "triangle", **PASSIVE, **{"cross_arbitrage.triangle.usd": 9_000}
    )
    quoted(world, "WBETH/ETH", "buy", 1.07, usd=1_000)
    quoted(world, "ETH/USDT", "buy", 3_995)
    woken(world, desk, 1)
    assert own_orders(world, desk) == {}
    world, desk = opened(scenario, "triangle", **PASSIVE)
    quoted(world, "WBETH/ETH", "buy", 1.07, usd=1_000)
    exchange = world.exchange
    bids, dollars = np.full(len(exchange.markets), 4_000.0), np.ones(len(desk.target))
    for more in (0.0, 20_000.0):
        desk.fund(desk.account, "WBETH", more)
        held = desk._held_usd()
        (coin, _, qty), (book, _, _) = desk.gaps.rests(
            False,
            held,
            desk.target,
            bids,
            world.outside.price,
            dollars,
            dollars,
            desk.resting[Side.BUY],
            exchange.tick,
            desk.settings.threshold,
        )
        sold = qty * world.outside.price[desk.coin[coin]]
        assert sold.sum() == pytest.approx(more)
        assert len(book) == 2
