"""Protocols and the exchange in one run: one shock walks through all of them."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from defi_vectors import vector
from fingerprint import fingerprint

import flashwick as fw
from flashwick.engine.run import Run
from flashwick.engine.simulation import World

TRIO = """
base = "unified-margin-wick"
name = "trio"
targets = []

[feeds.USDE]
sources = { "USDE/USDT" = 1 }

[feeds.WBETH]
sources = { "WBETH/USDT" = 0.2, "WBETH/ETH" = 0.8 }

[feeds.BNSOL]
sources = { "BNSOL/USDT" = 0.3, "BNSOL/SOL" = 0.7 }

[oracles]
USDE = { policy = "own_book", market = "feeds.USDE" }
WBETH = { policy = "own_book", market = "feeds.WBETH" }
BNSOL = { policy = "own_book", market = "feeds.BNSOL" }

[variations.peg]
"feeds.*.sources" = { outside = 1 }

[variations.floor]
"feeds.USDE.floor" = 0.98
"feeds.WBETH.floor" = 4_300
"feeds.BNSOL.floor" = 215
"""

DOLLAR = """
name = "dollar"
duration = 120
insurance_fund_usd = 1_000_000

[assets]
USDT = { price = 1.0, decimals = 6 }
USDE = { price = 1.0, decimals = 6 }
ETH = { price = 4_000.0 }

[markets]
"USDE/USDT" = { tick = "0.0001", lot = "0.01" }
"ETH/USDT" = { tick = "0.01", lot = "0.0001" }
"ETH/USDT:PERP" = { tick = "0.01", lot = "0.001" }

[oracles]
USDE = { policy = "outside" }

[transfers]
latency = 5
capacity_usd = 100_000_000

[issuers.dollar]
token = "USDE"
stable = "USDT"
supply = 10_000_000
stable_held = 8_000_000
hedges = { ETH = 500 }
margin = 500_000

[redeemers.dealer]
issuer = "dollar"
book = "USDE/USDT"
money = 2_000_000

[stale_bids.old]
markets = ["USDE/USDT"]
nearest = 0.01
farthest = 0.3
usd = 600_000

[market_makers.one]
count = 1
markets = ["USDE/USDT", "ETH/USDT:PERP"]
equity_usd = 3_000_000
collateral = { USDT = 0.8, USDE = 0.2 }
anchor = 0

[[shocks]]
at = 10
kind = "order"
market = "USDE/USDT"
usd = 2_000_000
over = 40
slices = 40
"""


@pytest.fixture(scope="module")
def whole() -> Run:
    """The whole chain, once for all tests here."""
    return fw.load("whole-chain").run(seed=0)


LINKS = ("called", "unwound", "sold_pool", "sold_venue", "liquidated")


def test_every_link_of_the_chain_has_a_volume(whole: Run) -> None:
    """From margin calls to liquidated makers, with nothing lost in the ledger."""
    for link in LINKS:
        assert whole.measure(f"links.{link}_usd.end") > 100_000, link
    assert whole.measure("makers.liquidated") >= 1
    assert whole.measure("USDE/USDT.drop") > 0.3
    assert whole.measure("alts.deepest_drop") > 0.8
    assert whole.measure("conserved") == 1


def test_the_whales_sell_what_their_leverage_asks_for(whole: Run) -> None:
    """A dollar freed from a loop of leverage five is five dollars of collateral."""
    raised = whole.measure("links.called_usd.end")
    pool = whole.measure("links.sold_pool_usd.end")
    assert pool > 3 * raised


def test_a_whale_sells_in_clips(whole: Run) -> None:
    """No order of a loop on the exchange is for more than its clip."""
    sold: dict[int, float] = {}
    for trade in whole.trades("USDE/USDT").to_pylist():
        if trade["taker"].startswith("loops.whales"):
            sold[trade["order"]] = sold.get(trade["order"], 0.0) + trade["qty"]
    assert len(sold) > 100
    assert max(sold.values()) == pytest.approx(40_000)


def test_a_wick_is_walked_back_to_a_loop_in_a_lending_market(whole: Run) -> None:
    """Through forced sale, index, sale on the exchange, loop, call, to the shock."""
    text = str(whole.why("SUI/USDT"))
    events = [step.event for step in whole.why("SUI/USDT").steps]
    kinds = iter([event.kind for event in events])
    path = ("trade", "liquidation", "breach", "index", "trade", "protocol", "decision")
    assert all(kind in kinds for kind in path)
    protocols = [event.text for event in events if event.kind == "protocol"]
    assert any("unwind loop of USDE at lending.dollar" in text for text in protocols)
    assert "called for margin" in text
    assert "stale bidder" in text
    assert events[-1].kind == "shock"
    assert events[-1].text == "alts fall elsewhere"


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ("margin-calls", ("called", "unwound", "sold_venue")),
        ("loop-unwind", LINKS[1:4]),
        ("liquidation-bots", LINKS[4:]),
        ("transfer-freeze", ()),
    ],
)
def test_without_a_link_what_follows_it_does_not_happen(
    whole: Run, switch: str, gone: tuple[str, ...]
) -> None:
    """USDe stays at par, no maker falls, and no alt falls further than elsewhere."""
    run = fw.load("whole-chain").without(switch).run(seed=0)
    for link in gone:
        assert run.measure(f"links.{link}_usd.end") == 0, link
    assert run.measure("USDE/USDT.drop") < 0.05
    assert run.measure("makers.liquidated") == 0
    assert run.measure("alts.deepest_drop") < 0.3
    # Whatever is not of the chain draws the same numbers.
    before = whole.series.time < 40 * 10**9
    assert (run.series.outside[before] == whole.series.outside[before]).all()


def test_an_index_that_is_not_the_own_book_spares_the_makers(whole: Run) -> None:
    """Loops are unwound and USDe falls as before; there is no wick, and no way back."""
    run = fw.load("whole-chain").variation("redemption-index").run(seed=0)
    assert run.measure("USDE/USDT.drop") > 0.1
    assert run.measure("links.unwound_usd.end") > 20e6
    assert run.measure("makers.liquidated") == 0
    # Without wicks the whales' own collateral is worth more, and less is called for.
    called = "links.called_usd.end"
    assert run.measure(called) < 0.9 * whole.measure(called)


def test_liquidated_ether_is_sold_on_the_exchange_after_its_transfer(
    whole: Run,
) -> None:
    """A bot's order in the book is caused by a liquidation five seconds old or more."""
    _, rows = whole.log.fills()
    names = whole.names.accounts
    bots = [
        n for n, name in names.items() if name == "liquidators.ether on the exchange"
    ]
    own = rows[rows["taker"] == bots[0]]
    assert len(own)
    chain = whole.log.chain(int(own["cause"][0]))
    sale = next(event for event in chain if event.kind == "protocol")
    assert "liquidation of loops.ether" in sale.text
    assert int(own["time"][0]) - sale.time >= 5 * 10**9


# -- The same policies for the exchange's collateral


@pytest.mark.parametrize(
    ("policy", "fallen"), [(None, True), ("peg", False), ("floor", False)]
)
def test_policies_of_feeds_flip_what_becomes_of_the_collateral_trio(
    tmp_path: Path, policy: str | None, fallen: bool
) -> None:
    """USDe, WBETH and BNSOL by their books, by what they are worth, or with a floor."""
    file = tmp_path / "trio.toml"
    file.write_text(TRIO)
    scenario = fw.load(file)
    run = (scenario.variation(policy) if policy else scenario).run(seed=0)
    assert (run.measure("makers.liquidated") > 0) is fallen
    assert (run.measure("alts.deepest_drop") > 0.8) is fallen


# -- Issuers


def _dollar(tmp_path: Path, **changes: object) -> Run:
    file = tmp_path / "dollar.toml"
    file.write_text(DOLLAR)
    scenario = fw.load(file)
    return (scenario.vary(changes) if changes else scenario).run(seed=0)


def test_redemption_is_the_bid_on_the_exchange_while_the_way_is_open(
    tmp_path: Path,
) -> None:
    """Tokens bought below par are redeemed, and the price is better than without."""
    run = _dollar(tmp_path)
    assert run.measure("redeemers.dealer.redeemed.end") > 100_000
    supply = 10_000_000 - run.measure("redeemers.dealer.redeemed.end")
    assert run.measure("issuers.dollar.supply.end") == pytest.approx(supply)
    assert run.measure("conserved") == 1
    cut = _dollar(tmp_path, **{"transfers.open": False})
    assert cut.measure("redeemers.dealer.redeemed.end") == 0
    assert cut.measure("issuers.dollar.supply.end") == 10_000_000
    off = _dollar(tmp_path, **{"redeemers.dealer.enabled": False})
    assert off.series.last[-1, 0] < 0.8 < 0.95 < run.series.last[-1, 0]


class Slope(fw.Agent):
    """Offers a token at prices that rise by one over so much of it."""

    deposits: ClassVar = {"USDE": 35_000_000}

    def __init__(self, first: float, depth: float) -> None:
        super().__init__()
        self.first, self.depth = first, depth

    def start(self) -> None:
        """Rest an offer at each tenth of a cent below par."""
        step = 0.001
        for i in range(round((1.0 - self.first) / step)):
            self.sell("USDE/USDT", step * self.depth, self.first + step * i)


def _closing(tmp_path: Path, given: dict[str, float], money: float, way: bool) -> Run:
    file = tmp_path / "slope.toml"
    head = DOLLAR[: DOLLAR.index("[stale_bids")]
    late = "[gateway]\njitter = 0\nlatency = { redeemers = 0.5 }\n"
    file.write_text(
        (head + late)
        .replace("hedges = { ETH = 500 }\nmargin = 500_000\n", "")
        .replace("supply = 10_000_000", "supply = 100_000_000")
        .replace("stable_held = 8_000_000", "stable_held = 80_000_000")
        .replace("money = 2_000_000", f"money = {money}\nclip = {given['per_step']}")
    )
    changes = {"redeemers.dealer.cost": given["cost"], "transfers.open": way}
    slope = Slope(1.0 - given["S"] / given["kappa"], given["kappa"])
    return fw.load(file).vary(changes).run(seed=0, agents=[slope])


def test_vector_arb_close(tmp_path: Path) -> None:
    """A gap of 34 cents closes in eighteen steps, or hardly where the way is cut."""
    row = vector("arb-close")
    given, expected = row["inputs"], row["expected"]
    run = _closing(tmp_path, given, 40_000_000, True)
    trades = run.trades("USDE/USDT").to_pylist()
    assert trades[0]["price"] == pytest.approx(expected["p0"], abs=1e-9)
    assert trades[-1]["price"] == pytest.approx(1.0 - given["cost"], abs=1e-3)
    steps = {int(trade["time"]) for trade in trades}
    assert len(steps) == expected["steps_to_close"]
    bought = sum(trade["qty"] for trade in trades)
    assert run.measure("redeemers.dealer.redeemed.end") == pytest.approx(bought)
    cut = _closing(tmp_path, given, 1_000_000, False)
    price = max(trade["price"] for trade in cut.trades("USDE/USDT").to_pylist())
    assert price < expected["p_if_withdrawals_suspended"] + 0.02
    assert cut.measure("redeemers.dealer.redeemed.end") == 0


def test_the_issuer_s_hedge_is_a_short_on_the_exchange(tmp_path: Path) -> None:
    """Its net assets do not move with ether, since the short gains what it loses."""
    fall = [{"at": 5, "kind": "outside", "asset": "ETH", "move": -0.05}]
    run = _dollar(tmp_path, shocks=fall)
    assert run.measure("issuers.dollar.unhedged_usd.high") == pytest.approx(0, abs=10)
    low, high = (
        run.measure(f"issuers.dollar.backing.{end}") for end in ("low", "high")
    )
    assert high - low < 0.002


def test_what_deleveraging_closes_the_issuer_opens_again(tmp_path: Path) -> None:
    """A hedge that the exchange took away is back after the next block."""
    file = tmp_path / "dollar.toml"
    file.write_text(DOLLAR)
    world = World(fw.load(file).vary({"shocks": []}), 0)
    assert world.chain is not None
    account = world.chain.around.booking.accounts["issuers.dollar hedge"]
    market = world.exchange.market_number["ETH/USDT:PERP"]
    every = np.arange(world.exchange.ledger.n_accounts)
    held = world.exchange.ledger.lots_in(every, np.array([market]))[:, 0]
    other = int(np.argmax(held))
    lots, _ = world.exchange.ledger.open_position(account, market)
    assert lots == -500_000
    price = round(4_000 / float(world.exchange.tick[market]))
    world.exchange.ledger.trade_between(market, other, account, 1_000, price)
    world.run()
    lots, _ = world.exchange.ledger.open_position(account, market)
    assert lots == -500_000


BUSY = (
    DOLLAR
    + """
[[shocks]]
at = 20
kind = "transaction"
who = "ann"
steps = [{ do = "swap", on = "pools.curve", give = "USDE", amount = 300_000 }]

[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDT = 1_000_000 }
amplification = 200
fee = 0.0001

[pools.other]
kind = "constant_product"
reserves = { USDE = 5_000_000, USDT = 5_000_000 }
fee = 0.0005

[wallets.ann]
USDE = 400_000

[cycles.keeper]
asset = "USDT"
most = 500_000

[[cycles.keeper.steps]]
do = "swap"
on = "pools.other"
give = "USDT"

[[cycles.keeper.steps]]
do = "swap"
on = "pools.curve"
give = "USDE"

[runners.holders]
count = 4
holds = { USDE = 100_000 }
watch = "pools.other.price"
below = { kind = "uniform", least = 0.99, most = 1.01 }
delay = { kind = "uniform", least = 1, most = 40 }
steps = [{ do = "swap", on = "pools.other", give = "USDE" }]
"""
)


def test_a_copy_on_the_way_goes_on_as_the_run_itself(tmp_path: Path) -> None:
    """Issuers, redeemers, circles and runners are in it, with what is on its way."""
    file = tmp_path / "busy.toml"
    file.write_text(BUSY)
    scenario = fw.load(file)
    whole = scenario.run(seed=2)
    half = scenario.start(seed=2)
    half.run(until=45)
    assert fingerprint(half.fork().finish()) == fingerprint(whole)
    assert whole.measure("cycles.keeper.turned.end") > 0
    assert whole.measure("runners.holders.running.end") >= 1
    assert whole.measure("redeemers.dealer.redeemed.end") > 0
    assert whole.measure("conserved") == 1
