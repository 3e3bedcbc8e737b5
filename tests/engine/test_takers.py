"""Everyday flow, holders, hunters and old bids where there are many markets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.simulation import SECOND, World
from flashwick.orderbook.orders import Kind, Side, messages

COINS = tuple(f"C{i}" for i in range(12))


def market(name: str, size: int) -> str:
    """A line of the table of markets: each larger than the one before."""
    past = f"volume_usd = {size * 1e5}, depth_usd = {size * 1e4}"
    return f'"{name}" = {{ tick = "0.001", lot = "0.01", {past} }}'


LINES = [
    'name = "many"',
    "duration = 600",
    "[assets]",
    "USDT = { price = 1.0 }",
    "USDC = { price = 1.0 }",
    *(f"{coin} = {{ price = {2.0 + i} }}" for i, coin in enumerate(COINS)),
    "[markets]",
    *(market(f"{coin}/USDT", i + 1) for i, coin in enumerate(COINS)),
    market("C0/USDC", 1),
    "[oracles]",
    *(f'{coin} = {{ policy = "outside" }}' for coin in COINS),
    "[groups]",
    f"coins = {[f'{coin}/USDT' for coin in COINS]}",
    "[holders.panic]",
    "count = 20",
    'markets = ["@coins"]',
    "held_usd = 780_000",
    "threshold = 0.1",
    "hazard = 0.2",
    "[bargain_hunters.late]",
    "count = 40",
    'markets = ["@coins"]',
    "usd = 30_000",
    "delay = 30",
    "discount = 0.2",
    "clip_usd = 10_000",
    "[background.retail]",
    'markets = ["@coins", "C0/USDC"]',
    "rate = 2",
    "by_volume = 1",
    "usd = 1_000_000",
    "[stale_bids.old]",
    'markets = ["@coins"]',
    "count = 25",
    "share = 0.5",
]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> fw.Scenario:
    """Twelve coins, each larger than the one before."""
    path: Path = tmp_path_factory.mktemp("takers") / "many.toml"
    path.write_text("\n".join(LINES))
    return fw.load(path)


def opened(scenario: fw.Scenario, name: str, **changes: Any) -> tuple[World, Any]:
    """A world, and the agent of a name in it."""
    world = World(scenario.vary(changes), seed=0)
    return world, next(a for a in world.agents.values() if a.name == name)


def woken(world: World, agent: Any, second: int) -> np.ndarray:
    """What an agent sends at a time."""
    world.now = world.exchange.now = second * SECOND
    world._refresh_market()
    agent.wake(world.now)
    return world.gateway.due(world.now + SECOND // 2)


def dollars(world: World, rows: np.ndarray) -> np.ndarray:
    """What orders are worth at the outside prices."""
    market = rows["market"]
    return rows["qty"] * world.exchange.lot[market] * world.usd[market]


def by_market(world: World, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums over the first twelve markets."""
    numbers = [world.exchange.market_number[f"{coin}/USDT"] for coin in COINS]
    sums = np.bincount(rows["market"], weights, len(world.exchange.markets))
    return sums[numbers]


def test_holders_have_coins_of_a_group_by_its_volumes(scenario: fw.Scenario) -> None:
    """The twelfth coin twelve times as many dollars as the first."""
    world, holders = opened(scenario, "panic")
    held = np.zeros(len(COINS))
    for account in holders.accounts.tolist():
        balances = world.exchange.account(account).balances
        held += [balances[c] * (2.0 + i) for i, c in enumerate(COINS)]
    assert held == pytest.approx(10_000 * np.arange(1, 13), rel=1e-4)


def test_holders_have_what_they_sell_in_two_books_of_one_coin(
    scenario: fw.Scenario,
) -> None:
    """The coins of both, not those of the last that was named."""
    changes = {"holders.panic.markets": ["C0/USDT", "C0/USDC", "C1/USDT"]}
    world, holders = opened(scenario, "panic", **changes)
    held = [world.exchange.account(int(a)).balances["C0"] for a in holders.accounts]
    # Volumes of one, one and two.
    assert 2.0 * sum(held) == pytest.approx(390_000, rel=1e-4)


def test_holders_sell_the_coins_that_fell_and_no_others(
    scenario: fw.Scenario,
) -> None:
    """In their books, with the repricing of each as its cause."""
    world, holders = opened(scenario, "panic")
    assert len(woken(world, holders, 0)) == 0
    world.exchange.reprice({"C3": 5.0 * 0.89, "C7": 9.0 * 0.89, "C8": 10.0 * 0.91})
    rows = np.concatenate([woken(world, holders, 2 * k) for k in range(1, 6)])
    names = {world.exchange.markets[m] for m in rows["market"].tolist()}
    assert names == {"C3/USDT", "C7/USDT"}
    assert len(rows) == pytest.approx(2 * 20 * 0.2 * 5, rel=0.4)
    for row in rows[:10]:
        cause = world.exchange.log[int(row["cause"])]
        base = world.exchange.base[row["market"]]
        assert (cause.kind, cause.asset) == ("index", base)


def test_holders_that_rest_draw_what_they_would_have_drawn(
    scenario: fw.Scenario,
) -> None:
    """Whoever looks first when nothing has happened does not change who acts."""
    worlds = [opened(scenario, "panic") for _ in range(2)]
    found = []
    for skips, (world, holders) in enumerate(worlds):
        holders.highs.high = world.exchange.index[holders.assets].copy()
        if skips:
            woken(world, holders, 0)
        else:
            holders.stream.uniform(holders.holding.size)
        world.exchange.reprice({"C3": 1.0})
        found.append(woken(world, holders, 2))
    assert len(found[0]) > 0
    assert found[0]["account"].tolist() == found[1]["account"].tolist()


def test_holders_look_at_the_price_in_what_their_book_is_quoted_in(
    scenario: fw.Scenario,
) -> None:
    """Coin and second dollar fall alike: nobody sells the one for the other."""
    changes = {"holders.panic.markets": ["C0/USDT", "C0/USDC"]}
    world, holders = opened(scenario, "panic", **changes)
    assert len(woken(world, holders, 0)) == 0
    world.exchange.reprice({"C0": 2.0 * 0.85, "USDC": 0.85})
    rows = np.concatenate([woken(world, holders, 2 * k) for k in range(1, 6)])
    names = {world.exchange.markets[m] for m in rows["market"].tolist()}
    assert names == {"C0/USDT"}


def test_hunters_without_luck_take_their_bids_back_and_bid_again(
    scenario: fw.Scenario,
) -> None:
    """As much rests as comes in the seconds that one waits, and money comes back."""
    changes = {"bargain_hunters.late.patience": 15.0}
    world, hunters = opened(scenario, "late", **changes)
    book = world.exchange.market_number["C5/USDT"]
    world.exchange.books.set_last_price(book, 5_000)
    bids, rests = 0, 0
    for second in range(200):
        batch = woken(world, hunters, second)
        world.exchange.process(batch)
        bids += int((batch["kind"] == Kind.LIMIT).sum())
        rests = max(rests, len(world.exchange.books.orders_of(hunters.accounts)))
    # Three clips each: without patience 120 bids, and all of them rest.
    assert bids > 160
    assert 5 < rests < 40
    world.exchange._check()


def test_money_spent_on_bids_that_were_taken_is_gone(scenario: fw.Scenario) -> None:
    """All that is bid is bought at once: three clips each, patience or not."""
    changes = {"bargain_hunters.late.patience": 15.0}
    world, hunters = opened(scenario, "late", **changes)
    exchange = world.exchange
    book = exchange.market_number["C5/USDT"]
    seller = int(exchange.ledger.open_accounts(1))
    exchange.ledger.deposit(seller, int(exchange.base[book]), 10**15)
    ask = messages(1)
    ask["kind"], ask["side"] = Kind.LIMIT, Side.SELL
    ask["account"], ask["market"] = seller, book
    ask["price"], ask["qty"] = 4_000, 10**8
    exchange.process(ask)
    exchange.books.set_last_price(book, 4_000)
    for second in range(400):
        exchange.process(woken(world, hunters, second))
    held = exchange.ledger.balances_in(hunters.accounts, hunters.dollar)
    spent = 30_000 - held * exchange.atom[hunters.dollar]
    assert (spent > 10_000).all()
    assert (spent <= 30_000).all()
    assert (hunters.left < 10_000).all()


def test_hunters_bid_little_above_what_was_paid_last(scenario: fw.Scenario) -> None:
    """The price fell by half: without it they would bid up to 4 % below par."""
    for above, most in ((None, 6_720), (0.01, 3_535)):
        changes = {"bargain_hunters.late.above": above}
        world, hunters = opened(scenario, "late", **changes)
        book = world.exchange.market_number["C5/USDT"]
        world.exchange.books.set_last_price(book, 3_500)
        rows = np.concatenate([woken(world, hunters, k) for k in range(120)])
        assert len(rows) > 50
        assert 0.9 * most < rows["price"].max() <= most


def test_hunters_bid_for_what_is_cheap_until_their_money_is_spent(
    scenario: fw.Scenario,
) -> None:
    """Late, one draw for each hunter and market, whichever fell first."""
    world, hunters = opened(scenario, "late")
    assert len(woken(world, hunters, 0)) == 0
    for coin, price in (("C5", 5_000), ("C9", 8_000)):
        world.exchange.books.set_last_price(
            world.exchange.market_number[f"{coin}/USDT"], price
        )
    batches = [woken(world, hunters, second) for second in range(1, 200)]
    times = np.repeat(np.arange(1, 200), [len(batch) for batch in batches])
    rows = np.concatenate(batches)
    names = {world.exchange.markets[m] for m in rows["market"].tolist()}
    assert names == {"C5/USDT", "C9/USDT"}
    assert (rows["side"] == Side.BUY).all()
    # Three clips each, of two coins after some 30 s each: most within a minute.
    assert np.bincount(rows["account"]).max() == 3
    assert len(rows) == 3 * 40
    assert np.median(times) == pytest.approx(25, abs=15)
    assert hunters.next_due == hunters.due.min()


def test_hunter_to_whom_much_falls_due_at_once_spends_what_it_has(
    scenario: fw.Scenario,
) -> None:
    """All twelve coins are cheap and all delays over: three clips, not twelve."""
    world, hunters = opened(scenario, "late")
    for i, coin in enumerate(COINS):
        world.exchange.books.set_last_price(
            world.exchange.market_number[f"{coin}/USDT"], 1_000 + 500 * i
        )
    assert len(woken(world, hunters, 1)) < 30
    rows = woken(world, hunters, 10_000)
    assert np.bincount(rows["account"]).max() <= 3
    assert (hunters.left == 0).all()


def test_flow_of_every_day_goes_where_the_volume_is(scenario: fw.Scenario) -> None:
    """By a power of it; the mean over the markets stays what the file says."""
    for power in (0.0, 0.5, 1.0):
        change = {"background.retail.by_volume": power}
        world, flow = opened(scenario, "retail", **change)
        rows = np.concatenate([woken(world, flow, second) for second in range(400)])
        assert len(rows) == pytest.approx(2 * 13 * 400, rel=0.05)
        orders = by_market(world, rows, np.ones(len(rows)))
        wanted = np.arange(1, 13) ** power
        assert orders / orders.sum() == pytest.approx(wanted / wanted.sum(), rel=0.25)
        assert "USDC" in world.exchange.account(flow.account).balances


def test_old_bids_are_as_many_as_a_share_of_the_depth(scenario: fw.Scenario) -> None:
    """Half of each market's, at its price."""
    world = World(scenario, seed=0)
    orders = world.exchange.books.all_orders()
    usd = by_market(world, orders, dollars(world, orders))
    assert usd == pytest.approx(5_000 * np.arange(1, 13), rel=0.02)


def test_old_bids_are_paid_for_in_the_coin_of_their_book(
    scenario: fw.Scenario,
) -> None:
    """Not on credit in dollars: it holds all that its bids need."""
    changes = {
        "markets.C3/C11": {"tick": "0.0001", "lot": "0.01"},
        "stale_bids.old": {"markets": ["C3/C11"], "count": 25, "usd": 5_000},
    }
    world = World(scenario.vary(changes), seed=0)
    orders = world.exchange.books.all_orders()
    market = world.exchange.market_number["C3/C11"]
    own = orders[orders["market"] == market]
    assert len(own) == 25
    assert dollars(world, own).sum() == pytest.approx(5_000, rel=0.02)
    need = (own["qty"] * world.exchange.lot[market] * own["price"]).sum()
    need *= world.exchange.tick[market]
    balances = world.exchange.account(int(own["account"][0])).balances
    assert balances["C11"] == pytest.approx(1.01 * need, rel=0.01)
    assert balances["C3"] == balances.get("USDT", 0.0) == 0.0
