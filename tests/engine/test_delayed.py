"""Whales and liquidation bots: whom a fall calls, when they sell, and why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.delayed import LiquidationBots, Whales
from flashwick.engine.simulation import SECOND, World
from flashwick.orderbook.orders import Kind, Side

SCENARIO = """
name = "lending"
duration = 420

[assets]
USDT = { price = 1.0 }
ETH = { price = 4_000.0 }
SOL = { price = 200.0 }
USDE = { price = 1.0 }

[markets]
"ETH/USDT" = { tick = "0.01", lot = "0.0001", volume_usd = 3e6 }
"SOL/USDT" = { tick = "0.01", lot = "0.001", volume_usd = 1e6 }
"USDE/USDT" = { tick = "0.0001", lot = "0.01" }

[oracles]
ETH = { policy = "outside" }
SOL = { policy = "outside" }
USDE = { policy = "outside" }

[transfers]
latency = 20
capacity_usd = 600_000

[market_makers.all]
count = 2
markets = ["ETH/USDT", "SOL/USDT", "USDE/USDT"]
equity_usd = 5e6
withdraw = false
interval = 5
size_usd = 200_000

[whales.called]
count = 5
assets = { ETH = 1_000_000 }
fall = { kind = "uniform", least = 0.05, most = 0.1 }
delay = { kind = "uniform", least = 60, most = 120 }
clips = 4
over = 40
interval = 2

[liquidation_bots.fleet]
assets = { ETH = 800_000, SOL = 100_000 }
threshold = 0.1
full = 0.5

[[shocks]]
at = 10
kind = "path"
asset = "ETH"
points = [[100, -0.3], [200, -0.3], [400, 0.0]]
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> fw.Scenario:
    """Ether falls by 30 % in 100 s and comes back."""
    path: Path = tmp_path_factory.mktemp("delayed") / "lending.toml"
    path.write_text(SCENARIO)
    return fw.load(path)


@pytest.fixture(scope="module")
def run(scenario: fw.Scenario) -> fw.Run:
    """Its run with seed 0."""
    return scenario.run(seed=0)


def sales(run: fw.Run, group: str) -> np.ndarray:
    """The orders of a class."""
    _, rows, _ = run.log.messages()
    number = run.names.classes.index(group)
    return rows[run.names.account_class[rows["account"]] == number]


def index_at(run: fw.Run, asset: str, seconds: float) -> float:
    """What an index was."""
    row = np.searchsorted(run.series.time, seconds * SECOND, "right") - 1
    return float(run.series.index[row, run.names.assets.index(asset)])


def agent_of(world: World, kind: type) -> Any:
    """The agent of a kind, wherever the clock keeps it."""
    return next(a for a in world.agents.values() if isinstance(a, kind))


# -- WHALES


def test_whale_is_called_once_at_a_fall_of_its_own(run: fw.Run) -> None:
    """Between 5 and 10 % below the high, and never again."""
    calls = list(run.log.single("decision"))
    assert len({call.account for call in calls}) == len(calls) == 5
    falls = [1.0 - index_at(run, "ETH", call.time / SECOND) / 4_000 for call in calls]
    # The index moves by 0.3 % a second, and a whale looks every other second.
    assert all(0.05 <= fall <= 0.1 + 0.007 for fall in falls)
    assert max(falls) - min(falls) > 0.01
    worth = [call.value / (1.0 - fall) for call, fall in zip(calls, falls, strict=True)]
    assert sum(worth) == pytest.approx(1_000_000, rel=0.01)


def test_whale_sells_late_and_in_clips(run: fw.Run) -> None:
    """One to two minutes after the call, in four parts over 40 s: all it has."""
    rows = sales(run, "whales")
    assert (rows["kind"] == Kind.MARKET).all()
    assert (rows["side"] == Side.SELL).all()
    for call in run.log.single("decision"):
        own = rows[rows["account"] == call.account]
        assert (own["cause"] == call.id).all()
        waited = (own["time"] - call.time) / SECOND
        assert 60 <= waited[0] <= 122
        assert np.diff(waited) == pytest.approx([10.0] * 3, abs=0.1)
        coins = own["qty"].sum() * 0.0001
        price = index_at(run, "ETH", call.time / SECOND)
        assert coins * price == pytest.approx(call.value, rel=0.01)


def test_clips_that_were_due_since_the_last_look_are_sold_with_it(
    scenario: fw.Scenario,
) -> None:
    """Forty seconds are forty, whether a whale looks every second or every seven."""
    ends = {}
    for interval in (1.0, 7.0):
        changes = {"whales.called.clips": 40, "whales.called.interval": interval}
        run = scenario.vary(changes).run(seed=0)
        rows = sales(run, "whales")
        ends[interval] = []
        for call in run.log.single("decision"):
            own = rows[rows["account"] == call.account]
            ends[interval].append(np.ptp(own["time"]) / SECOND)
            price = index_at(run, "ETH", call.time / SECOND)
            coins = own["qty"].sum() * 0.0001
            assert coins * price == pytest.approx(call.value, rel=0.02)
    assert ends[1.0] == pytest.approx([39.0] * 5, abs=1.5)
    assert ends[7.0] == pytest.approx([39.0] * 5, abs=7.5)


def test_delay_of_a_whale_does_not_depend_on_who_is_called_first(
    scenario: fw.Scenario,
) -> None:
    """It is drawn before the start: a faster fall calls them in other groups."""
    waits = []
    for seconds in (100, 3):
        changes = {"shocks.0.points": [[seconds, -0.3], [200, -0.3], [400, 0.0]]}
        run = scenario.vary(changes).run(seed=0)
        rows = sales(run, "whales")
        calls = sorted(run.log.single("decision"), key=lambda call: call.account)
        assert len(calls) == 5
        first = [rows["time"][rows["account"] == call.account][0] for call in calls]
        waits.append([(t - c.time) / SECOND for t, c in zip(first, calls, strict=True)])
    assert waits[0] == pytest.approx(waits[1], abs=2.5)


def test_call_names_the_repricing_and_leads_to_the_shock(run: fw.Run) -> None:
    """Sale, call, index, path: what `why` tells of a whale's print."""
    (shock,) = run.log.single("shock")
    whales = np.unique(sales(run, "whales")["account"])
    prints = np.flatnonzero(np.isin(run.prints.taker, whales))
    assert len(prints)
    for row in prints.tolist():
        chain = run.log.chain(int(run.prints.event[row]))
        assert [event.kind for event in chain][1:] == [
            "order",
            "decision",
            "index",
            "shock",
        ]
        assert chain[-1].id == shock.id
    text = str(run.why(event_id=int(run.prints.event[prints[0]])))
    assert "called as ETH is" in text
    assert "below its high, sells ETH in" in text


def test_borrower_may_sell_another_coin_than_the_one_that_fell(
    scenario: fw.Scenario,
) -> None:
    """A loop is unwound for what happens elsewhere: it sells synthetic dollars."""
    changes = {"whales.called.assets": {"USDE": 400_000}, "whales.called.watch": "ETH"}
    run = scenario.vary(changes).run(seed=0)
    rows = sales(run, "whales")
    assert {run.names.markets[m] for m in rows["market"].tolist()} == {"USDE/USDT"}
    usd = rows["qty"].sum() * 0.01
    assert usd == pytest.approx(400_000, rel=1e-3)
    cause = run.log[run.log[int(rows["cause"][0])].cause]
    assert (cause.kind, run.names.assets[cause.asset]) == ("index", "ETH")


def test_part_of_the_stock_of_many_coins_is_sold(scenario: fw.Scenario) -> None:
    """By volume, in the books that are named, of each coin when it falls."""
    changes = {
        "whales.called.assets": None,
        "whales.called.markets": ["ETH/USDT", "SOL/USDT"],
        "whales.called.held_usd": 400_000,
        "whales.called.sell": 0.5,
    }
    world = World(scenario.vary(changes), seed=0)
    whales = agent_of(world, Whales)
    held = [
        world.exchange.account(int(account)).balances for account in whales.accounts
    ]
    assert sum(b["ETH"] for b in held) * 4_000 == pytest.approx(300_000, rel=1e-3)
    assert sum(b["SOL"] for b in held) * 200 == pytest.approx(100_000, rel=1e-3)
    world.run()
    left = sum(world.exchange.account(int(a)).balances["ETH"] for a in whales.accounts)
    assert left * 4_000 == pytest.approx(150_000, rel=1e-2)
    sol = sum(world.exchange.account(int(a)).balances["SOL"] for a in whales.accounts)
    assert sol * 200 == pytest.approx(100_000, rel=1e-3)
    world.exchange._check()


def test_whale_of_a_book_in_another_coin_is_called_by_the_fall_against_it(
    scenario: fw.Scenario,
) -> None:
    """Both fall by a fifth: no call. The one falls by a tenth more: all are called."""
    book = {"tick": "0.00001", "lot": "0.001", "volume_usd": 1e5}
    changes = {
        "markets.SOL/ETH": book,
        "whales.called.assets": None,
        "whales.called.markets": ["SOL/ETH"],
        "whales.called.held_usd": 400_000,
    }
    world = World(scenario.vary(changes), seed=0)
    whales = agent_of(world, Whales)
    for share, calls in ((1.0, 0), (0.8, 0), (0.7, 5)):
        world.exchange.reprice({"ETH": 4_000 * max(share, 0.8), "SOL": 200 * share})
        whales.wake(0)
        assert len(list(world.exchange.log.single("decision"))) == calls


def test_coins_from_elsewhere_come_as_fast_as_the_channel_takes_them(
    scenario: fw.Scenario,
) -> None:
    """A million at 600,000 a minute takes longer, and not while it is cut."""
    cut = [
        {"at": 150, "kind": "transfers", "open": False},
        {"at": 300, "kind": "transfers", "open": True},
    ]
    path = scenario.document["shocks"][0]
    changes = {"whales.called.elsewhere": True, "shocks": [path, *cut]}
    world = World(scenario.vary(changes), seed=0)
    whales = agent_of(world, Whales)
    assert not any(
        world.exchange.account(int(account)).balances.get("ETH")
        for account in whales.accounts
    )
    world.run()
    _, rows, _ = world.exchange.log.messages()
    own = rows[np.isin(rows["account"], whales.accounts)]
    time = own["time"] / SECOND
    assert own["qty"].sum() * 0.0001 * 4_000 == pytest.approx(1_000_000, rel=1e-2)
    assert time.min() >= 10 + 17 + 60 + 20
    assert not ((time > 150 + 21) & (time < 300 + 20)).any()
    assert (time > 320).any()
    assert not world.exchange.ledger.totals().any()
    world.exchange._check()


# -- LIQUIDATION BOTS


def test_bots_sell_in_proportion_to_the_fall_beyond_their_threshold(
    run: fw.Run,
) -> None:
    """Nothing above, half at 30 % of 10 to 50; nothing as the price comes back."""
    rows = sales(run, "liquidation_bots")
    eth = rows[rows["market"] == run.market("ETH/USDT")]
    assert len(eth) == len(rows)  # the other coin has not fallen
    usd = eth["qty"] * 0.0001 * 4_000
    assert usd.sum() == pytest.approx(0.5 * 800_000, rel=0.01)
    first, last = eth["time"][[0, -1]] / SECOND
    assert 10 + 33 <= first <= 10 + 36
    assert 10 + 98 <= last <= 10 + 103
    half = usd[eth["time"] < (10 + 67) * SECOND].sum() / usd.sum()
    assert half == pytest.approx(0.5, abs=0.04)
    causes = {run.log[int(cause)].kind for cause in eth["cause"]}
    assert causes == {"index"}
    (shock,) = run.log.single("shock")
    for cause in np.unique(eth["cause"]).tolist():
        assert run.log.chain(cause)[-1].id == shock.id


def test_bots_have_sold_all_at_the_full_fall(scenario: fw.Scenario) -> None:
    """And no more than there was, however deep it goes."""
    changes = {"shocks.0.points": [[100, -0.9]], "whales.called.enabled": False}
    world = World(scenario.vary(changes), seed=0)
    bots = agent_of(world, LiquidationBots)
    world.run()
    _, rows, _ = world.exchange.log.messages()
    own = rows[rows["account"] == bots.account]
    usd = own["qty"].sum() * 0.0001 * 4_000
    assert usd == pytest.approx(800_000, rel=1e-3)
    assert own["time"].max() / SECOND <= 10 + 57


# -- SWITCHES


@pytest.mark.parametrize(
    ("table", "group"),
    [("whales.called", "whales"), ("liquidation_bots.fleet", "liquidation_bots")],
)
def test_they_can_be_switched_off(
    table: str, group: str, scenario: fw.Scenario
) -> None:
    """And are not there then."""
    run = scenario.vary({f"{table}.enabled": False}).run(seed=0)
    assert group not in run.names.classes
    assert run.outcome["conserved"] == 1.0


def test_calm_market_calls_nobody(scenario: fw.Scenario) -> None:
    """Without the shock there is nothing to answer, and nothing to seize."""
    run = scenario.vary({"shocks": []}).run(seed=0)
    assert list(run.log.single("decision")) == []
    assert len(sales(run, "whales")) == len(sales(run, "liquidation_bots")) == 0
