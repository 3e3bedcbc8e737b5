"""One set of rules for prices: indices of the exchange and feeds of the protocols."""

from pathlib import Path

import pytest

import flashwick as fw
from flashwick.engine.simulation import World

TEXT = """
name = "one-set"
duration = 40

[assets]
USDT = { price = 1.0, decimals = 6 }
USDE = { price = 1.0, decimals = 6 }
ETH = { price = 4_000.0 }
WBETH = { price = 4_320.0 }

[markets]
"USDE/USDT" = { tick = "0.0001", lot = "0.01" }
"WBETH/ETH" = { tick = "0.0001", lot = "0.0001" }
"ETH/USDT" = { tick = "0.01", lot = "0.0001" }

[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDT = 1_000_000 }

[[ladders]]
market = "USDE/USDT"
side = "buy"
orders = [["0.9000", "100"], ["0.7000", "1000"]]

[[ladders]]
market = "USDE/USDT"
side = "sell"
orders = [["1.0000", "1000"]]

[oracles]
ETH = { policy = "outside" }
USDE = { %s }
WBETH = { policy = "redemption", ratio = 1.08, underlying = "ETH", floor = 4_000 }

[feeds]
USDE = { %s }
WBETH = { policy = "redemption", ratio = 1.08, underlying = "ETH", floor = 4_000 }
dollar = { asset = "USDT", policy = "implied", market = "ETH/USDT" }
ether = { asset = "WBETH", quote = "ETH", policy = "own_book", market = "WBETH/ETH" }
other = { asset = "USDE", quote = "ETH", sources = { "feeds.USDE" = 1 } }

[wallets.ann]
USDE = 2_000_000

[[shocks]]
at = 10
kind = "order"
market = "USDE/USDT"
usd = 500

[[shocks]]
at = 12
kind = "transaction"
who = "ann"
steps = [{ do = "swap", on = "pools.curve", give = "USDE", get = "USDT", amount = 9e5 }]

[[shocks]]
at = 20
kind = "outside"
asset = "ETH"
move = -0.1
"""

MIX = 'sources = { "USDE/USDT" = 0.4, "pools.curve" = 0.4, outside = 0.2 }'
RULES = {
    "floor of a mix": f"{MIX}, floor = 0.95",
    "clamp": f"{MIX}, clamp = 0.02",
    "median, late": f"{MIX}, median = true, delay = 3",
    "average": f'{MIX}, average = "twap", window = 100',
    "bounded steps": f"{MIX}, band = 0.001",
    "broken": f"{MIX}, breaker = 0.02, breaker_window = 5, breaker_hold = 60",
    "anchored": f'{MIX}, anchor = "outside", tolerance = 0.05',
    "stale": f"{MIX}, stale = 15",
    "written when it moves": f"{MIX}, deviation = 0.3",
}


def played(tmp_path: Path, oracle: str, feed: str, more: str = "") -> World:
    """The world after a run of the scenario with these rules of USDE."""
    file = tmp_path / "one-set.toml"
    file.write_text(TEXT % (oracle, feed) + more)
    world = World(fw.load(file), seed=0)
    world.run()
    assert world.sound()
    return world


def index(world: World, asset: str) -> float:
    """The last index of an asset."""
    exchange = world.exchange
    return float(exchange.index[exchange.asset_number[asset]])


def price(world: World, feed: str) -> float:
    """The last price of a feed."""
    assert world.chain is not None
    return world.chain.price_of(feed)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_same_keys_make_the_same_price(tmp_path: Path, rule: str) -> None:
    """A table makes an index under [oracles] and the same feed under [feeds]."""
    world = played(tmp_path, rule, rule)
    found = price(world, "USDE")
    # A feed looks once a block and an index once a second, not in the same moment.
    near = 5e-3 if "average" in rule else 1e-9
    assert found == pytest.approx(index(world, "USDE"), rel=near)
    plain = played(tmp_path, MIX, MIX)
    assert index(plain, "USDE") != pytest.approx(found, rel=1e-4)


def test_policies_of_an_index_make_feeds(tmp_path: Path) -> None:
    """Own book, redemption and implied, each in the feed's quote."""
    world = played(tmp_path, MIX, MIX)
    eth = index(world, "ETH")
    assert eth == pytest.approx(3_600.0, rel=0.01)
    assert price(world, "WBETH") == pytest.approx(4_000.0)
    assert index(world, "WBETH") == pytest.approx(4_000.0)
    assert price(world, "other") == pytest.approx(price(world, "USDE") / eth)


VOTE = """
[[shocks]]
at = 25
kind = "vote"
asset = "USDE"
price = 0.5
"""


def test_vote_sets_an_index_of_the_exchange(tmp_path: Path) -> None:
    """From the delay on, and its cause is the vote by way of a new rule."""
    rule = f"{MIX}, vote_delay = 5"
    world = played(tmp_path, rule, MIX, VOTE)
    assert index(world, "USDE") == 0.5
    assert price(world, "USDE") > 0.6
    (voted,) = [e for e in world.exchange.log.single("index") if e.value == 0.5]
    assert voted.time == 30 * 10**9
    kinds = [event.kind for event in world.exchange.log.chain(voted.id)]
    assert kinds == ["index", "rule", "shock"]


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ('"pools.curve" = 0.4', '"pools.curv" = 0.4', "sources", "did you mean"),
        ('"pools.curve" = 0.4', "outsid = 0.4", "sources", "did you mean 'outside'"),
        ('"USDE/USDT" = 0.4', '"WBETH/ETH" = 0.4', "sources", "not a market of USDE"),
        ("outside = 0.2", "outside = 0.3", "sources", "must sum to 1 (got 1.1)"),
        ("outside = 0.2 }", "outside = 0.2 }, cap = -1", "cap", "above 0 (got -1"),
        (
            "outside = 0.2 }",
            "outside = 0.2 }, delay = 1e12",
            "delay",
            "must be at most",
        ),
        (
            "outside = 0.2 }",
            'outside = 0.2 }, anchor = "feeds.dolar"',
            "anchor",
            "did you mean 'feeds.dollar'",
        ),
    ],
)
@pytest.mark.parametrize("table", ["oracles", "feeds"])
def test_both_tables_refuse_the_same(
    tmp_path: Path, table: str, old: str, new: str, place: str, said: str
) -> None:
    """One check, one message, at the place of either."""
    wrong = MIX.replace(old, new, 1)
    assert wrong != MIX
    rules = (wrong, MIX) if table == "oracles" else (MIX, wrong)
    with pytest.raises(fw.ScenarioError) as raised:
        played(tmp_path, *rules)
    (problem,) = raised.value.problems
    assert problem.path.startswith(f"{table}.USDE.{place}")
    assert said in problem.message


def test_vote_is_on_one_thing(tmp_path: Path) -> None:
    """A feed or an index, and not both or neither."""
    both = 'feed = "USDE"\nasset = "USDE"'
    for more, got in (("", "none"), (both, "feed and asset")):
        with pytest.raises(fw.ScenarioError, match=f"one of feed, asset .* .got {got}"):
            played(tmp_path, MIX, MIX, VOTE.replace('asset = "USDE"', more))
