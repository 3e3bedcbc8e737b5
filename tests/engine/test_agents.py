"""The participants: what each does, and what makes it do that."""

from typing import Any

import numpy as np
import pytest
from worlds import sent, world_of

import flashwick as fw
from flashwick.cython_ext.ledger import EXTERNAL
from flashwick.engine.arbitrage import Arbitrageur
from flashwick.engine.bidders import round_number
from flashwick.engine.simulation import SECOND, World
from flashwick.engine.traders import Traders
from flashwick.orderbook.orders import Flag, Kind, Side


def agent_of(world: World, name: str) -> Any:
    """The agent of a name, wherever the clock keeps it."""
    return next(agent for agent in world.agents.values() if agent.name == name)


def orders(batch: np.ndarray) -> np.ndarray:
    """Without the cancels."""
    return batch[np.isin(batch["kind"], (Kind.LIMIT, Kind.MARKET))]


# -- BUYERS WHO WAIT


def test_stale_bids_lie_far_below_at_numbers_people_type() -> None:
    """Between the nearest and the farthest, paid for, for the dollars of the file."""
    world = world_of("stale_bids")
    settings = world.config.stale_bids["old"]
    exchange = world.exchange
    for name in settings.markets:
        market = exchange.market_number[name]
        bids = exchange.books.orders(market, Side.BUY)
        assert 0 < len(bids) <= settings.count
        price = bids["price"] * exchange.tick[market]
        fair = world.fair[market]
        assert price.max() <= 1.1 * fair * (1.0 - settings.nearest)
        assert price.min() <= 0.01 * fair
        usd = float((bids["qty"] * exchange.lot[market]).sum() * world.usd[market])
        assert usd == pytest.approx(settings.usd, rel=0.05)
    (account,) = set(bids["account"].tolist())
    # No leverage: all of them may fill.
    value = exchange.risk.account(account)
    assert value["health"] == np.inf
    for row in exchange.ledger.balances_of(account):
        if exchange.assets[row["asset"]] == "USDT":
            assert row["hold"] <= row["amount"]


def resting(world: World, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Prices of the bids in a market, and the USD their quantities are worth."""
    exchange = world.exchange
    market = exchange.market_number[name]
    bids = exchange.books.orders(market, Side.BUY)
    usd = bids["qty"] * exchange.lot[market] * world.usd[market]
    return bids["price"] * exchange.tick[market], usd


def test_stale_bids_may_differ_from_market_to_market() -> None:
    """In size alone: they lie where they lay, and no other draw is another."""
    markets = list(world_of().config.markets)
    given = {"stale_bids.old.markets": markets}
    alike = world_of("stale_bids", **given)
    apart = world_of("stale_bids", **given, **{"stale_bids.old.dispersion": 1.0})
    factors = []
    for name in markets:
        (there, usd), (here, other) = resting(alike, name), resting(apart, name)
        # Bids of less than a lot are left out.
        assert np.isin(here, there).mean() > 0.9
        factors.append(other.sum() / usd.sum())
    assert len({round(factor, 6) for factor in factors}) == len(markets)
    assert 0.3 < np.std(np.log(factors)) < 3.0


def test_stale_bids_may_decline_with_the_distance() -> None:
    """By the second power of the price: a quarter of the quantity at half the price."""
    given = {"stale_bids.old.count": 2_000, "stale_bids.old.usd": 4e5}
    worth = []
    for decline in (0.0, 2.0):
        changes = given | {"stale_bids.old.decline": decline}
        price, usd = resting(world_of("stale_bids", **changes), "ATOM/USDT")
        bands = [(1.8, 3.6), (0.9, 1.8), (0.45, 0.9)]
        parts = [usd[(low < price) & (price <= high)].sum() for low, high in bands]
        worth.append(parts[1] / parts[2])
        assert usd.sum() == pytest.approx(4e5, rel=0.02)
    # Round numbers lie unevenly, the same in both.
    assert worth[0] == pytest.approx(1.0, rel=0.25)
    assert worth[1] / worth[0] == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize(
    ("price", "typed"),
    [(1.38, 1.5), (0.0231, 0.0225), (2.99, 3.0), (3.2, 3.0), (37.4, 35.0), (0.98, 1.0)],
)
def test_round_numbers(price: float, typed: float) -> None:
    """Quarters below three, halves above, in every decade."""
    assert round_number(np.array([price])).tolist() == [pytest.approx(typed)]


def test_bargain_hunter_bids_late_for_what_is_cheap() -> None:
    """Nothing at the fair price; after its delay, once, below the outside price."""
    world = world_of("bargain_hunters")
    hunters = agent_of(world, "late")
    settings = hunters.settings
    assert len(sent(world, hunters)) == 0
    market = world.exchange.market_number["ATOM/USDT"]
    world.exchange.books.set_last_price(market, 3_000)
    assert len(sent(world, hunters, SECOND)) == 0
    bids = np.concatenate([sent(world, hunters, t * SECOND) for t in range(2, 60)])
    assert set(bids["market"].tolist()) == {market}
    assert (bids["side"] == Side.BUY).all()
    price = bids["price"] * world.exchange.tick[market]
    assert (price < 4.0).all()
    assert price.min() >= 4.0 * (1 - 1.5 * settings.discount) - 0.001
    # Nobody spends more than it has.
    spent = np.bincount(bids["account"], minlength=1) * settings.clip_usd
    assert spent.max() <= settings.usd
    assert len(np.unique(bids["account"])) == settings.count


def test_money_of_a_bargain_hunter_has_to_come_once() -> None:
    """Nobody bids before it is there; who has it there needs its delay alone."""
    changes = {"wait": 300.0, "delay": 1.0, "usd": 1e7}
    given = {f"bargain_hunters.late.{key}": value for key, value in changes.items()}
    world = world_of("bargain_hunters", **given)
    hunters = agent_of(world, "late")
    market = world.exchange.market_number["ATOM/USDT"]
    world.exchange.books.set_last_price(market, 3_000)
    first = [len(sent(world, hunters, t * SECOND)) for t in range(1, 330)]
    assert not any(first[:299])
    assert hunters.ready.all()
    world.exchange.books.set_last_price(market, 4_000)
    assert len(sent(world, hunters, 400 * SECOND)) == 0
    world.exchange.books.set_last_price(market, 3_000)
    again = [sent(world, hunters, t * SECOND) for t in range(401, 430)]
    assert len(np.concatenate(again)) >= hunters.settings.count


# -- TAKERS


def test_holder_sells_a_part_only_once_scared() -> None:
    """After a fall beyond its threshold, with the repricing as cause."""
    world = world_of("holders")
    holders = agent_of(world, "retail")
    settings = holders.settings
    wbeth = 4_300 * (1 - settings.threshold)
    assert len(sent(world, holders)) == 0
    world.exchange.reprice({"WBETH": wbeth + 1})
    assert len(sent(world, holders, SECOND)) == 0
    world.exchange.reprice({"WBETH": wbeth - 1})
    batch = np.concatenate([sent(world, holders, t * SECOND) for t in range(2, 9)])
    assert 0 < len(batch) < 7 * settings.count
    assert (batch["kind"] == Kind.MARKET).all()
    assert (batch["side"] == Side.SELL).all()
    first = batch[np.unique(batch["account"], return_index=True)[1]]
    market = world.exchange.market_number["WBETH/USDT"]
    coins = 500_000 / settings.count / 4_300
    qty = first["qty"] * world.exchange.lot[market]
    assert qty == pytest.approx(np.full(len(first), settings.sell * coins), rel=0.01)
    event = world.exchange.log[int(first["cause"][0])]
    assert (event.kind, event.text[:5]) == ("index", "WBETH")


def test_background_flow_is_as_often_as_it_says_and_balanced() -> None:
    """One order a second and market, buys as often as sells, of the median size."""
    world = world_of("background")
    flow = agent_of(world, "retail")
    rate, interval = flow.settings.rate, flow.settings.interval
    batches = [sent(world, flow, t * SECOND) for t in range(2_000)]
    batch = np.concatenate(batches)
    expected = 2_000 * rate * interval * len(flow.markets)
    assert len(batch) == pytest.approx(expected, rel=0.05)
    assert (batch["side"] == Side.BUY).mean() == pytest.approx(0.5, abs=0.03)
    usd = batch["qty"] * world.exchange.lot[batch["market"]]
    usd *= world.usd[batch["market"]]
    assert np.median(usd) == pytest.approx(flow.settings.size_usd, rel=0.05)


def test_everyday_orders_go_no_farther_from_the_index_than_their_slippage() -> None:
    """Only what rests within it is met; without it an order goes all the way."""
    met = {}
    for slippage in (None, 0.1):
        change = {"background.retail.slippage": slippage}
        world = world_of("background", "stale_bids", **change)
        flow, exchange = agent_of(world, "retail"), world.exchange
        market = exchange.market_number["ATOM/USDT"]
        best = exchange.books.orders(market, Side.BUY)["price"].max()
        assert best * exchange.tick[market] < 0.9 * world.fair[market]
        fills = []
        for t in range(100):
            batch = sent(world, flow, t * SECOND)
            fills += list(exchange.process(batch)[1])
        met[slippage] = [fill for fill in fills if fill["market"] == market]
    # Old bids are farther below than a tenth: only who accepts any price meets them.
    assert met[None]
    assert not met[0.1]


# -- TRADERS


@pytest.fixture
def crowd() -> tuple[World, Traders]:
    """A world of traders alone."""
    world = world_of("traders")
    return world, world.traders[0]


def test_traders_have_the_leverage_they_are_said_to(
    crowd: tuple[World, Traders],
) -> None:
    """At most what the brackets leave room for; all in one perpetual each."""
    world, traders = crowd
    exchange = world.exchange
    for i, account in enumerate(traders.accounts.tolist()):
        view = exchange.account(account)
        (lots,) = (row["lots"] for row in exchange.ledger.positions_of(account))
        assert lots == traders.lots[i]
        assert view.leverage <= traders.leverage[i] * 1.01
        assert view.health >= 1.99
    longs = (traders.lots > 0).mean()
    assert longs == pytest.approx(traders.settings.long_share, abs=0.1)


def test_stop_is_sent_once_and_only_reduces(crowd: tuple[World, Traders]) -> None:
    """When the mark has moved against the position by more than the stop."""
    world, traders = crowd
    having = traders.has_stop.copy()
    assert having.any()
    assert len(sent(world, traders)) == 0
    fall = 1.0 - 2.0 * traders.settings.stop_at
    world.exchange.reprice({"ETH": 4_000 * fall, "ATOM": 4.0 * fall})
    batch = orders(sent(world, traders, SECOND))
    expected = traders.accounts[having & (traders.lots > 0)]
    assert batch["account"].tolist() == expected.tolist()
    assert (batch["flags"] == Flag.REDUCE_ONLY).all()
    assert (batch["kind"] == Kind.MARKET).all()
    lots = traders.lots[np.isin(traders.accounts, expected)]
    assert batch["qty"].tolist() == lots.tolist()
    kinds = {world.exchange.log[int(cause)].kind for cause in batch["cause"]}
    assert kinds == {"mark"}
    assert len(orders(sent(world, traders, 2 * SECOND))) == 0


def test_margin_is_added_once_after_a_delay(crowd: tuple[World, Traders]) -> None:
    """By those who do that, as much as they began with, unless it is too late."""
    world, traders = crowd
    traders.has_stop[:] = False
    exchange = world.exchange
    tops_up = traders.tops_up.copy()
    exchange.reprice({"ETH": 3_940.0, "ATOM": 3.94})
    exchange.liquidator.scan(0)
    health = exchange.risk.at(accounts=traders.accounts)["health"]
    called = tops_up & (health < exchange.rules.thresholds.warn)
    assert called.any()
    sent(world, traders, SECOND)
    before = exchange.ledger.amounts(exchange.asset_number["USDT"])[traders.accounts]
    sent(world, traders, 3_600 * SECOND)
    after = exchange.ledger.amounts(exchange.asset_number["USDT"])[traders.accounts]
    in_time = ~np.isin(traders.accounts, list(exchange.liquidator.cases))
    added = (after - before) * exchange.atom[exchange.asset_number["USDT"]]
    expected = np.where(called & in_time, traders.margin, 0.0)
    assert added == pytest.approx(expected, abs=1e-6)
    events = list(exchange.log.single("decision"))
    assert len(events) == (called & in_time).sum()
    sent(world, traders, 7_200 * SECOND)
    assert len(list(exchange.log.single("decision"))) == len(events)


# -- ARBITRAGE


@pytest.fixture
def desk() -> tuple[World, Arbitrageur]:
    """A world of the arbitrageur alone."""
    world = world_of("arbitrage")
    return world, agent_of(world, "desk")


def quoted(world: World, name: str, side: str, price: float, qty: float) -> None:
    """An order of someone else."""
    base, rest = name.split("/")
    coins = {base: 1e6, rest.split(":")[0]: 1e7}
    account = world.exchange.open_account(coins)
    placed = world.exchange.submit(fw.limit(account, name, side, price, qty))
    assert placed.open == qty


@pytest.mark.parametrize(
    ("name", "side", "price", "answer"),
    [
        ("ATOM/USDT", "sell", 3.9, Side.BUY),
        ("ATOM/USDT", "buy", 4.1, Side.SELL),
        ("ATOM/USDT:PERP", "sell", 3.9, Side.BUY),
        ("ATOM/USDT:PERP", "buy", 4.1, Side.SELL),
        ("ATOM/USDT", "sell", 3.999, None),
        ("ATOM/USDT", "buy", 4.001, None),
    ],
)
def test_arbitrageur_trades_a_gap_and_no_less(
    name: str,
    side: str,
    price: float,
    answer: Side | None,
    desk: tuple[World, Arbitrageur],
) -> None:
    """Against whoever quotes away from outside, at a price that still pays."""
    world, arbitrage = desk
    quoted(world, name, side, price, 1e4)
    batch = orders(sent(world, arbitrage, SECOND))
    if answer is None:
        assert len(batch) == 0
        return
    (row,) = batch
    market = world.exchange.market_number[name]
    assert (row["side"], row["market"]) == (answer, market)
    limit = row["price"] * world.exchange.tick[market]
    assert min(price, 4.0) <= limit <= max(price, 4.0)
    usd = row["qty"] * world.exchange.lot[market] * 4.0
    assert usd == pytest.approx(arbitrage.settings.clip_usd, rel=0.01)


def test_arbitrage_stops_when_transfers_are_cut(
    desk: tuple[World, Arbitrageur],
) -> None:
    """It buys until its dollars are used up; open again, coins leave and pay them."""
    world, arbitrage = desk
    exchange = world.exchange
    quoted(world, "ATOM/USDT", "sell", 3.9, 1e6)
    world.channel.open = False
    bought = []
    for second in range(1, 121):
        _, fills = exchange.process(sent(world, arbitrage, second * SECOND))
        bought.append(len(fills))
    dollars = exchange.account(arbitrage.account).balances["USDT"]
    assert dollars <= arbitrage.settings.clip_usd
    assert sum(bought[:60]) > 0
    assert sum(bought[60:]) == 0
    outside = world.outside.price[exchange.asset_number["ATOM"]]
    external = exchange.ledger.balance(EXTERNAL, exchange.asset_number["ATOM"])
    world.channel.open = True
    sent(world, arbitrage, 121 * SECOND)
    assert exchange.ledger.balance(EXTERNAL, exchange.asset_number["ATOM"]) > external
    # They are sold outside, which feels it; the dollars are on their way.
    assert world.outside.price[exchange.asset_number["ATOM"]] < outside
    assert exchange.account(arbitrage.account).balances["USDT"] == dollars
    sent(world, arbitrage, 124 * SECOND)
    assert exchange.account(arbitrage.account).balances["USDT"] > dollars
    exchange._check()


def test_impact_moves_the_coin_that_is_traded_and_not_the_one_it_follows() -> None:
    """A staked coin bought up outside is dearer; the coin itself is as it was."""
    changes = {"assets.WBETH.impact": 0.1, "arbitrage.desk.markets": ["WBETH/USDT"]}
    world = world_of("arbitrage", **changes)
    exchange, arbitrage = world.exchange, agent_of(world, "desk")
    ether, staked = (exchange.asset_number[a] for a in ("ETH", "WBETH"))
    before = world.outside.price.copy()
    quoted(world, "WBETH/USDT", "sell", 4_200.0, 10.0)
    for second in range(1, 5):  # what was bought leaves, and is sold outside
        exchange.process(sent(world, arbitrage, second * SECOND))
    moved = world.outside.price / before - 1.0
    assert moved[staked] < -1e-4
    assert moved[ether] == 0.0
    # What moves the leader still moves what follows it.
    world.outside.jump(int(ether), -0.5)
    assert world.outside.price[staked] / before[staked] == pytest.approx(
        0.5 * (1.0 + moved[staked])
    )
