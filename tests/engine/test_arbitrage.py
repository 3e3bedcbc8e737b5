"""Arbitrage between books of the venue, with issuers, and as far as capacity goes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desks import BOOKS, opened, quoted, total_usd, woken

import flashwick as fw
from flashwick.cython_ext.ledger import EXTERNAL
from flashwick.engine.arbitrage import Arbitrageur, CrossArbitrageur
from flashwick.engine.simulation import SECOND
from flashwick.orderbook.orders import Side, TimeInForce


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> fw.Scenario:
    """Two coins, each in two books and a perpetual, and a staked one."""
    path: Path = tmp_path_factory.mktemp("arbitrage") / "books.toml"
    path.write_text(BOOKS)
    return fw.load(path)


# -- BETWEEN BOOKS


def test_coin_is_bought_in_its_cheapest_book_and_sold_in_its_dearest(
    scenario: fw.Scenario,
) -> None:
    """Both legs at once, as much of each, at prices that leave something."""
    world, desk = opened(scenario, "desk")
    before = total_usd(world, desk)
    quoted(world, "SOL/USDC", "sell", 190)
    quoted(world, "SOL/USDT", "sell", 195)
    quoted(world, "SOL/USDT", "buy", 194)
    quoted(world, "SOL/USDT:PERP", "buy", 199)
    quoted(world, "BTC/USDT", "sell", 100_000)
    quoted(world, "BTC/USDC", "buy", 99_990)
    batch = woken(world, desk, 1)
    names = [world.exchange.markets[m] for m in batch["market"]]
    assert names == ["SOL/USDC", "SOL/USDT:PERP"]
    assert batch["side"].tolist() == [Side.BUY, Side.SELL]
    assert (batch["tif"] == TimeInForce.IOC).all()
    assert batch["qty"].tolist() == [50_000, 50_000]  # 10,000 dollars of SOL
    limits = batch["price"] * world.exchange.tick[batch["market"]]
    assert 190 < limits[0] < limits[1] < 199
    # A quarter of a thousandth of fees on either side comes off nine dollars a coin.
    assert total_usd(world, desk) - before == pytest.approx(450, rel=0.05)
    world.exchange._check()


def test_gap_as_wide_as_the_threshold_is_left(scenario: fw.Scenario) -> None:
    """Three thousandths do not pay."""
    world, desk = opened(scenario, "desk")
    quoted(world, "SOL/USDC", "sell", 200)
    quoted(world, "SOL/USDT", "buy", 200.5)
    assert len(woken(world, desk, 1)) == 0
    quoted(world, "SOL/USDT", "buy", 200.7)
    assert len(woken(world, desk, 2)) == 2


def test_cause_of_a_leg_is_what_moved_the_other_book(scenario: fw.Scenario) -> None:
    """So that a fall is traced through books to where it began."""
    world, desk = opened(scenario, "desk")
    exchange = world.exchange
    quoted(world, "SOL/USDT", "buy", 200)
    quoted(world, "SOL/USDC", "buy", 180, usd=100)
    seller = exchange.open_account({"SOL": 10})
    sold = exchange.submit(fw.market(seller, "SOL/USDC", "sell", "0.1"))
    quoted(world, "SOL/USDC", "sell", 181)
    assert sold.filled == pytest.approx(0.1)
    batch = woken(world, desk, 1)
    sale = batch[batch["side"] == Side.SELL]
    (print_,) = exchange.log.fills()[0][:1].tolist()
    assert [exchange.markets[m] for m in sale["market"]] == ["SOL/USDT"]
    assert sale["cause"].tolist() == [print_]


def test_basis_is_traded_until_the_capacity_of_the_coin_is_used_up(
    scenario: fw.Scenario,
) -> None:
    """Then the perpetual may fall as far below spot as it likes."""
    world, desk = opened(scenario, "desk", **{"cross_arbitrage.desk.coins.SOL": 50_000})
    exchange = world.exchange
    ask = quoted(world, "SOL/USDT:PERP", "sell", 160, usd=1e7)
    quoted(world, "SOL/USDT", "buy", 180, usd=1e7)
    quoted(world, "BTC/USDT:PERP", "sell", 80_000, usd=1e7)
    quoted(world, "BTC/USDT", "buy", 90_000, usd=1e7)
    for second in range(1, 60):
        woken(world, desk, second)
    view = exchange.account(desk.account)
    assert view.positions["SOL/USDT:PERP"] == pytest.approx(50_000 / 200, rel=0.01)
    assert view.balances.get("SOL", 0.0) == pytest.approx(0.0, abs=5_000 / 200)
    assert view.positions["BTC/USDT:PERP"] == pytest.approx(2.0, rel=0.06)
    # Nothing was brought in for what was sold: the perpetuals stand for it.
    assert desk.sent == []
    assert len(woken(world, desk, 61)) == 0
    # The other way round it has room again.
    exchange.cancel(ask)
    quoted(world, "SOL/USDT:PERP", "buy", 210)
    quoted(world, "SOL/USDT", "sell", 205)
    back = woken(world, desk, 62)
    assert back["side"].tolist() == [Side.BUY, Side.SELL]
    exchange._check()


def test_leg_that_found_nobody_is_made_up_for(scenario: fw.Scenario) -> None:
    """The next purchase is smaller by what it has too much of."""
    world, desk = opened(scenario, "desk")
    exchange = world.exchange
    quoted(world, "SOL/USDC", "sell", 180)
    bid = quoted(world, "SOL/USDT", "buy", 190)
    world._refresh_market()
    exchange.cancel(bid)
    desk.wake(0)
    exchange.process(world.gateway.due(SECOND))
    assert exchange.account(desk.account).balances["SOL"] == pytest.approx(1_050)
    quoted(world, "SOL/USDT", "buy", 190)
    batch = woken(world, desk, 2)
    assert batch["side"].tolist() == [Side.SELL]
    assert exchange.account(desk.account).balances["SOL"] == pytest.approx(1_000)


def test_dollars_of_one_kind_are_spent_once_and_come_back_by_the_channel(
    scenario: fw.Scenario,
) -> None:
    """Not while it is cut: the gap between the books stays."""
    world, desk = opened(
        scenario, "desk", **{"cross_arbitrage.desk.coins.USDC": 15_000}
    )
    exchange = world.exchange
    for base, price in (("SOL", 180), ("BTC", 80_000)):
        quoted(world, f"{base}/USDC", "sell", price)
        quoted(world, f"{base}/USDT", "buy", 1.1 * price)
    world.channel.open = False
    # The clip of a coin whose capacity is given is a tenth of that.
    first = woken(world, desk, 1)
    assert len(first) == 2  # of two gaps alike, one: the dollars are enough for that
    for second in range(2, 20):
        woken(world, desk, second)
    assert exchange.account(desk.account).balances["USDC"] < 10_000
    assert len(woken(world, desk, 20)) == 0
    world.channel.open = True
    woken(world, desk, 21)
    assert len(woken(world, desk, 30)) == 0  # on their way
    woken(world, desk, 42)
    assert exchange.account(desk.account).balances["USDC"] > 10_000
    assert len(woken(world, desk, 43)) == 2
    exchange._check()


def test_capacity_may_be_a_share_of_the_depth_of_a_coins_largest_book(
    scenario: fw.Scenario,
) -> None:
    """And is then traded a tenth at a time."""
    markets = ["SOL/USDT", "SOL/USDC", "SOL/USDT:PERP", "BTC/USDT", "BTC/USDC"]
    changes = {
        "cross_arbitrage.desk.share": 0.1,
        "cross_arbitrage.desk.markets": markets,
        "cross_arbitrage.desk.coins.BTC": 7_000,
    }
    world, desk = opened(scenario, "desk", **changes)
    view = world.exchange.account(desk.account)
    assert view.balances["SOL"] * 200 == pytest.approx(40_000)
    assert view.balances["BTC"] * 100_000 == pytest.approx(7_000)
    quoted(world, "SOL/USDT", "buy", 201)
    quoted(world, "SOL/USDC", "sell", 199)
    batch = woken(world, desk, 1)
    assert (batch["qty"] * 0.001 * 200).tolist() == pytest.approx([4_000, 4_000])


def test_desk_does_not_trade_anew_before_it_has_its_answer(
    scenario: fw.Scenario,
) -> None:
    """While its orders wait at the gateway it would count them for nothing."""
    world, desk = opened(scenario, "desk")
    world.gateway.rate = 0.5
    quoted(world, "SOL/USDT", "buy", 210)
    quoted(world, "SOL/USDC", "sell", 190)
    assert len(woken(world, desk, 1)) == 0
    waiting = len(world.gateway._queue)
    assert waiting == 2
    woken(world, desk, 2)
    assert len(world.gateway._queue) == waiting


@pytest.mark.parametrize("name", ["desk", "issuer"])
def test_shortage_is_made_up_for_once(name: str, scenario: fw.Scenario) -> None:
    """What arrives is not sent for again, nor sold as a surplus later."""
    world, desk = opened(scenario, name)
    exchange = world.exchange
    coin = exchange.asset_number["WBETH"]
    full = exchange.account(desk.account).balances["WBETH"]
    exchange.ledger.transfer(coin, desk.account, EXTERNAL, 6 * 10**8)
    arrivals = set()
    for second in range(1, 700):
        woken(world, desk, second)
        arrivals |= {entry for entry in desk.sent if entry[1] == coin}
    assert len(arrivals) == 1
    assert desk.sent == []
    assert exchange.account(desk.account).balances["WBETH"] == pytest.approx(
        full, rel=0.02
    )


# -- WITH THE ISSUER


def test_staked_coin_is_bought_below_its_conversion_value_and_redeemed(
    scenario: fw.Scenario,
) -> None:
    """It leaves through the channel; the money is there when the issuer has paid."""
    world, desk = opened(scenario, "issuer")
    assert isinstance(desk, Arbitrageur)
    exchange = world.exchange
    coin = exchange.asset_number["WBETH"]
    before, outside = total_usd(world, desk), world.outside.price[coin]
    ask = quoted(world, "WBETH/USDT", "sell", 4_000)
    for second in range(1, 5):
        woken(world, desk, second)
    exchange.cancel(ask)
    dollars = exchange.account(desk.account).balances["USDT"]
    assert dollars < 70_000
    assert len(desk.sent) > 0
    # The issuer pays 1.075 ETH, however much it takes back.
    assert world.outside.price[coin] == outside
    earned = total_usd(world, desk) - before
    bought = 100_000 - dollars
    assert earned == pytest.approx(bought * (4_300 / 4_000 - 1), rel=0.05)
    for second in (100, 299):
        woken(world, desk, second)
        assert exchange.account(desk.account).balances["USDT"] == dollars
    owed = sum(atoms for _, _, atoms in desk.sent) * exchange.atom[coin]
    woken(world, desk, 405)
    after = exchange.account(desk.account).balances["USDT"]
    assert after == pytest.approx(dollars + owed)
    exchange._check()


def test_nothing_is_redeemed_while_the_channel_is_cut(scenario: fw.Scenario) -> None:
    """It buys until its dollars are gone, and the price may fall on."""
    world, desk = opened(scenario, "issuer")
    world.channel.open = False
    quoted(world, "WBETH/USDT", "sell", 4_000)
    for second in range(1, 40):
        woken(world, desk, second)
    assert desk.sent == []
    assert world.exchange.account(desk.account).balances["USDT"] <= 10_000
    assert len(woken(world, desk, 40)) == 0


def test_coins_and_dollars_are_spent_once_in_many_books(
    scenario: fw.Scenario,
) -> None:
    """On the widest gaps first, and no more than there is."""
    books = ["BTC/USDT", "BTC/USDC", "SOL/USDT", "SOL/USDC"]
    changes = {
        "arbitrage.issuer.markets": books,
        "arbitrage.issuer.redeem": {},
        "arbitrage.issuer.usd": 15_000,
        "arbitrage.issuer.coins_usd": 15_000,
    }
    world, desk = opened(scenario, "issuer", **changes)
    quoted(world, "BTC/USDT", "sell", 95_000)
    quoted(world, "SOL/USDT", "sell", 180)
    quoted(world, "BTC/USDC", "buy", 115_000)
    batch = woken(world, desk, 1)
    names = [world.exchange.markets[m] for m in batch["market"]]
    assert names == ["BTC/USDC", "SOL/USDT"]
    assert batch["side"].tolist() == [Side.SELL, Side.BUY]
    world, desk = opened(scenario, "issuer", **changes)
    quoted(world, "SOL/USDT", "buy", 210)
    quoted(world, "SOL/USDC", "buy", 220)
    (order,) = woken(world, desk, 1)
    assert world.exchange.markets[order["market"]] == "SOL/USDC"
    world.exchange._check()


def test_fair_price_of_a_redeemed_coin_is_its_conversion_value(
    scenario: fw.Scenario,
) -> None:
    """Where it trades lower outside too, the venue's price is still a bargain."""
    world, desk = opened(scenario, "issuer")
    world.outside.jump(world.exchange.asset_number["WBETH"], -0.1)
    world.refresh_outside()
    quoted(world, "WBETH/USDT", "sell", 3_900)
    (order,) = woken(world, desk, 1)
    assert order["side"] == Side.BUY
    limit = order["price"] * world.exchange.tick[order["market"]]
    assert 3_900 < limit < 4_300


# -- AS A WHOLE


def test_books_of_a_coin_keep_together_only_with_the_desk(
    scenario: fw.Scenario,
) -> None:
    """A sale into one book moves the others with it; without the desk it does not."""
    changes: dict[str, Any] = {
        "duration": 60,
        "market_makers": {
            "all": {
                "count": 2,
                "markets": ["SOL/USDT", "SOL/USDC"],
                "collateral": {"SOL": 0.3, "USDC": 0.3},
                "equity_usd": 5e6,
                "anchor": 0.0,
                "withdraw": False,
                "reach": 0.05,
                "size_usd": 20_000,
            }
        },
        "shocks": [
            {
                "at": 5,
                "kind": "order",
                "market": "SOL/USDC",
                "usd": 2_000_000,
                "over": 10,
                "slices": 10,
            }
        ],
        "cross_arbitrage.desk.usd": 5e6,
        "cross_arbitrage.desk.coins_usd": 2e6,
    }
    gaps = {}
    for on in (True, False):
        run = scenario.vary(changes | {"cross_arbitrage.desk.enabled": on}).run(seed=0)
        last = run.series.last[:, [run.market("SOL/USDT"), run.market("SOL/USDC")]]
        gaps[on] = float(np.abs(last[6:30, 1] / last[6:30, 0] - 1.0).mean())
        assert run.outcome["conserved"] == 1.0
    assert gaps[True] < 0.5 * gaps[False]


def test_kinds_of_desks_are_what_the_file_says(scenario: fw.Scenario) -> None:
    """One table each; coins with one book are not traded between books."""
    _, desk = opened(scenario, "desk")
    assert isinstance(desk, CrossArbitrageur)
    names = [desk.world.exchange.markets[m] for m in desk.markets]
    assert len(names) == 6
    assert "WBETH/USDT" not in names
