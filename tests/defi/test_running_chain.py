"""Protocols and their users in a running simulation, without an exchange beside it."""

from pathlib import Path

import pytest
from chain_text import deal, run_of, step, told, written

import flashwick as fw
from flashwick.engine.simulation import World

POOL = """
[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }
amplification = 200
fee = 0.0001

[wallets.ann]
USDE = 900_000
USDC = 50_000
"""

LENDING = """
[feeds.USDE]
quote = "USDC"
sources = { "pools.curve" = 1 }

[lending.market]
loan = "USDC"
collateral = "USDE"
feed = "USDE"
lltv = 0.9
supplied = 100_000
"""

SWAP = step("swap", "pools.curve", give="USDE", get="USDC", amount=400_000.0)


# -- The oracle of the lending market decides


TABLE = {
    # What is sold, the oracle: price, liquidated, hidden shortfall, in millions.
    "spot-20": (0.994, 0.0, 0.0),
    "floor-20": (0.994, 0.0, 0.0),
    "peg-20": (0.994, 0.0, 0.0),
    "floor-35": (0.950, 4.7, 0.0),
    "peg-35": (0.975, 0.0, 0.0),
    "floor-45": (0.850, 0.0, 1.9),
    "peg-45": (0.850, 0.0, 1.9),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_floor_and_a_peg_stop_what_the_spot_price_does_not(case: str) -> None:
    """The table of sales of 20, 35 and 45 million comes out of running simulations."""
    run = fw.load("usde-loop").variation(case).run()
    price, liquidated, hidden = TABLE[case]
    assert run.measure("pools.curve.price.end") == pytest.approx(price, abs=0.0015)
    sold = run.measure("lending.market.liquidated.end") / 1e6
    assert sold == pytest.approx(liquidated, abs=0.05)
    lacks = run.measure("lending.market.shortfall.end") / 1e6
    assert lacks == pytest.approx(hidden, abs=0.02)
    assert run.measure("lending.market.bad_debt.end") == 0
    assert run.measure("conserved") == 1


@pytest.mark.parametrize("case", ["spot-35", "spot-45"])
def test_the_spot_price_ends_everything(case: str) -> None:
    """Each liquidation makes the price of the next, and suppliers lose money."""
    scenario = fw.load("usde-loop")
    run = (scenario if case == "spot-35" else scenario.variation(case)).run()
    assert run.measure("pools.curve.price.end") < 0.1
    assert run.measure("lending.market.liquidations.end") > 20
    bad = run.measure("lending.market.bad_debt.end")
    assert bad > 1e6
    supplied = run.series.chain.figures["lending.market.supplied"]
    assert supplied[0] - supplied[-1] == pytest.approx(bad, rel=1e-3)
    assert run.measure("conserved") == 1


def test_without_liquidators_nothing_is_liquidated() -> None:
    """Turned off they leave loans alone that are not covered any more."""
    run = fw.load("usde-loop").variation("no-liquidators").run()
    assert run.measure("lending.market.liquidations.end") == 0
    assert run.measure("pools.curve.price.end") == pytest.approx(0.975, abs=1e-3)


def test_a_liquidation_is_walked_back_to_who_sold_first() -> None:
    """Sale, liquidation and price follow each other back to the shock."""
    run = fw.load("usde-loop").run()
    last = max(event.id for event in run.log.single("protocol"))
    chain = run.log.chain(last)
    assert chain[-1].kind == "shock"
    assert "35 million" in chain[-1].text
    kinds = [event.kind for event in chain]
    assert kinds.count("feed") > 5
    assert run.account(chain[-2].account) == "wallets.seller"
    why = run.why(event_id=last)
    assert "liquidation of loops.cohorts" in str(why)


# -- Transactions


def test_a_transaction_happens_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """Its second step is refused, so the first one did not happen; the run says so."""
    both = deal(5, "ann", SWAP, step("swap", "pools.curve", give="USDE", amount=9e5))
    run = run_of(tmp_path, POOL + both)
    assert run.measure("wallets.ann.USDE.end") == 900_000
    assert run.measure("pools.curve.price.end") == run.measure(
        "pools.curve.price.start"
    )
    (text,) = told(run, "refused")
    assert "must have" in text
    assert run.measure("conserved") == 1


def test_a_flash_loan_has_to_be_there_at_the_end(tmp_path: Path) -> None:
    """Lent for a round trip whose fees the borrower pays; else refused."""
    lend = step("flash", give="USDE", amount=500_000.0)
    there = step("swap", "pools.curve", give="USDE", get="USDC", amount=500_000.0)
    back = step("swap", "pools.curve", give="USDC", get="USDE", amount=498_000.0)
    run = run_of(tmp_path, POOL + deal(5, "ann", lend, there, back))
    gained = run.measure("wallets.ann.USDC.end") - 50_000
    lost = 900_000 - run.measure("wallets.ann.USDE.end")
    assert 0 < lost - gained < 1_000
    poor = POOL.replace("USDE = 900_000", "USDE = 10")
    assert told(run_of(tmp_path, poor + deal(5, "ann", lend, there)), "refused")


def test_a_transaction_may_be_repeated(tmp_path: Path) -> None:
    """Ten slices over ten seconds are ten swaps, a second apart."""
    part = step("swap", "pools.curve", give="USDE", amount=10_000.0)
    run = run_of(tmp_path, POOL + deal(5, "ann", part, over=10, slices=10))
    times = [event.time // 10**9 for event in run.log.single("protocol")]
    assert times == list(range(5, 15))
    assert run.measure("wallets.ann.USDE.end") == 800_000


PLACES = """
[pools.ranges]
kind = "concentrated"
assets = ["USDE", "USDC"]
price = 1.0
ranges = [[0.95, 1.05, 1_000_000], [0.8, 1.2, 500_000]]
[pools.ether]
kind = "constant_product"
reserves = { ETH = 1_000, USDC = 4_000_000 }
[pools.luna]
kind = "constant_product"
reserves = { LUNA = 100_000, USDC = 8_000_000 }
[feeds.ETH]
sources = { "pools.ether" = 1 }
[feeds.USDC]
sources = { fixed = 1 }
value = 1.0
[feeds.LUNA]
sources = { "pools.luna" = 1 }
delay = 30
[lending_pools.shared.reserves]
ETH = { feed = "ETH", ltv = 0.8, threshold = 0.85, bonus = 0.05 }
USDC = { feed = "USDC", supplied = 5_000_000, ltv = 0.7, threshold = 0.75 }
[lending.market]
loan = "USDC"
collateral = "ETH"
feed = "ETH"
lltv = 0.86
[vaults.vault]
asset = "USDC"
caps = { market = 1_000_000 }
deposited = 500_000
[staking.ether]
kind = "coin"
asset = "ETH"
token = "STETH"
supply = 1_000
ratio = 1.05
delay = 20
[staking.dollar]
kind = "dollar"
asset = "USDC"
token = "USDE"
supply = 1_000
delay = 10
[stables.module]
kind = "peg_module"
coin = "UST"
backing = "USDC"
ceiling = 1_000_000
[stables.terra]
kind = "terra"
coin = "UST"
share = "LUNA"
feed = "LUNA"
[stables.bank]
kind = "reserve"
coin = "USDE"
backing = "USDC"
supply = 1_000_000
held = 1_000_000
stuck = 100_000
[issuers.dollar]
token = "USDE"
stable = "USDC"
supply = 1_000_000
stable_held = 500_000
[wallets.ann]
ETH = 500
USDC = 1_000_000
USDE = 100_000
"""


def test_every_protocol_takes_its_actions(tmp_path: Path) -> None:
    """Pools, lending, a vault, staking and stable coins, conserved to the atom."""
    shared, market = "lending_pools.shared", "lending.market"
    deals = (
        deal(
            1,
            "ann",
            step("supply", shared, give="ETH", amount=200.0),
            step("borrow", shared, get="USDC", amount=100_000.0),
            step("repay", shared, give="USDC", amount=50_000.0),
            step("withdraw", shared, get="ETH", amount=10.0),
        )
        + deal(
            2,
            "ann",
            step("pledge", market, amount=50.0),
            step("borrow", market, amount=90_000.0),
            step("repay", market),
            step("release", market),
        )
        + deal(3, "ann", step("swap", "pools.ranges", give="USDE", amount=50_000.0))
        + deal(4, "ann", step("stake", "staking.ether", amount=105.0))
        + deal(5, "ann", step("unstake", "staking.ether"))
        + deal(6, "ann", step("deposit", "vaults.vault", amount=1_000.0))
        + deal(7, "ann", step("withdraw", "vaults.vault"))
        + deal(
            8,
            "ann",
            step("sell", "stables.module", amount=20_000.0),
            step("buy", "stables.module", amount=5_000.0),
            step("swap", "stables.terra", give="UST", get="LUNA", amount=9_000.0),
            step("swap", "pools.luna", give="LUNA"),
        )
        + deal(9, "ann", step("redeem", "stables.bank", amount=10_000.0))
        + deal(10, "ann", step("mint", "issuers.dollar", amount=10_000.0))
        + deal(11, "ann", step("redeem", "issuers.dollar", amount=5_000.0))
        + deal(12, "ann", step("stake", "staking.dollar", amount=100.0))
        + deal(13, "ann", step("unstake", "staking.dollar", amount=50.0))
        + deal(30, "ann", step("claim", "staking.dollar"))
        + deal(
            31,
            "ann",
            step("add", "pools.ether", amount=1.0),
            step("remove", "pools.ether"),
            step("send", give="USDC", to="pools.ether providers", amount=5.0),
        )
    )
    run = run_of(tmp_path, PLACES + deals, duration=90)
    assert told(run, "refused") == []
    assert run.measure("conserved") == 1
    assert run.measure(f"{shared}.USDC.lent.end") == pytest.approx(50_000, rel=1e-6)
    assert run.measure("stables.terra.LUNA.supply.end") > 100_000
    assert run.measure("stables.bank.reserve.end") == 990_000
    assert run.measure("issuers.dollar.supply.end") == 1_005_000
    # 100 tokens of 1.05 came back after the queue.
    assert run.measure("wallets.ann.ETH.end") == pytest.approx(310 + 0.0, abs=1e-3)


# -- Votes


def test_a_vote_counts_after_its_delay(tmp_path: Path) -> None:
    """The price voted for is the feed's from then on, blamed on the vote."""
    text = """
[feeds.USDE]
sources = { fixed = 1 }
value = 1.0
vote_delay = 20

[[shocks]]
at = 10
kind = "vote"
feed = "USDE"
price = 0.37
"""
    run = run_of(tmp_path, text)
    price = run.series.chain.figures["feeds.USDE.price"]
    time = run.series.chain.time // 10**9
    assert set(price[time < 29]) == {1.0}
    assert set(price[time > 31]) == {0.37}
    (moved,) = run.log.single("feed")
    assert [event.kind for event in run.log.chain(moved.id)] == ["feed", "shock"]


# -- Runs and circles


RUNNERS = """
[runners.lenders]
count = 5
holds = { USDC = 80_000 }
start = [{ do = "supply", on = "lending.market" }]
watch = "lending.market.utilisation"
above = { kind = "uniform", least = 0.3, most = 0.6 }
delay = { kind = "uniform", least = 0, most = 5 }
steps = [{ do = "withdraw", on = "lending.market" }]
"""


def test_lenders_who_run_get_the_cash_and_no_more(tmp_path: Path) -> None:
    """A loan of most of the cash sets them off; those who come last find nothing."""
    whole = deal(
        10,
        "ann",
        step("pledge", "lending.market", amount=200_000.0),
        step("borrow", "lending.market", amount=140_000.0),
    )
    run = run_of(tmp_path, POOL + LENDING + RUNNERS + whole)
    assert run.measure("runners.lenders.running.end") == 5
    assert run.measure("lending.market.cash.end") == 0
    assert run.measure("lending.market.utilisation.end") == 1.0
    assert run.measure("lending.market.rate.high") > 0.15
    assert len(told(run, "withdraw USDC")) >= 1
    assert told(run, "refused") == []
    assert run.measure("conserved") == 1


def test_a_circle_is_done_while_it_pays_and_ends_the_gap(tmp_path: Path) -> None:
    """Two pools of one pair come to one price, at the arbitrageur's profit."""
    text = POOL.replace("[wallets.ann]", "[pools.other]\n" + _other()) + _circle()
    gap = run_of(
        tmp_path,
        text.replace("[cycles.keeper]", "[cycles.keeper]\nenabled = false")
        + deal(5, "ann", SWAP),
    )
    run = run_of(tmp_path, text + deal(5, "ann", SWAP))
    far = gap.measure("pools.other.price.end") - gap.measure("pools.curve.price.end")
    near = run.measure("pools.other.price.end") - run.measure("pools.curve.price.end")
    assert far > 0.004
    assert abs(near) < 0.001 < far
    assert run.measure("cycles.keeper.profit.end") > 0
    assert run.measure("conserved") == 1


def _other() -> str:
    return """
kind = "stableswap"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }
amplification = 200
fee = 0.0001

[wallets.ann]
"""


def _circle() -> str:
    there = step("swap", "pools.curve", give="USDC", get="USDE")
    back = step("swap", "pools.other", give="USDE", get="USDC")
    return f"""
[cycles.keeper]
asset = "USDC"
most = 500_000
steps = [{there}, {back}]
"""


# -- Loops


LOOPS = """
[loops.some]
on = "market"
pool = "curve"
count = 4
collateral = 60_000
ltv = [0.7, 0.85]
earns = 0.06
leave_below = 0.0
"""


def test_a_loop_leaves_when_it_costs_more_than_it_earns(tmp_path: Path) -> None:
    """A loan of all cash raises the rate; the first who leaves brings it down again."""
    take = deal(
        10,
        "ann",
        step("pledge", "lending.market", amount=100_000.0),
        step("borrow", "lending.market"),
    )
    keys = {"duration": 86_400 * 4, "interval": 3_600}
    calm = run_of(tmp_path, POOL + LENDING + LOOPS, **keys)
    assert calm.measure("loops.some.unwound.end") == 0
    run = run_of(tmp_path, POOL + LENDING + LOOPS + take, **keys)
    assert run.measure("loops.some.unwound.end") == 15_000
    assert len(told(run, "leaves its loop, which earns")) == 1
    assert run.measure("lending.market.rate.end") < 0.05
    assert run.measure("conserved") == 1


# -- The same again


def test_the_same_seed_is_the_same_run_and_a_fork_goes_on_alike(tmp_path: Path) -> None:
    """Figure by figure, also of a copy made on the way."""
    scenario = fw.load(
        written(tmp_path, POOL + LENDING + RUNNERS + deal(5, "ann", SWAP))
    )
    first, second = scenario.run(seed=1), scenario.run(seed=1)
    running = scenario.start(seed=1)
    running.run(until=20)
    third = running.fork().finish()
    for other in (second, third):
        for name, values in first.series.chain.figures.items():
            assert (other.series.chain.figures[name] == values).all(), name
    assert len(first.log) == len(third.log)


def test_what_a_place_says_and_what_it_has_are_held_together(tmp_path: Path) -> None:
    """An atom taken out of a pool's account is found by the check of the end."""
    scenario = fw.load(written(tmp_path, POOL))
    world = World(scenario, 0)
    assert world.sound()
    assert world.chain is not None
    accounts = world.chain.around.booking.accounts
    number = world.exchange.asset_number["USDE"]
    world.exchange.ledger.transfer(
        number, accounts["pools.curve"], accounts["wallets.ann"], 1
    )
    assert not world.sound()
    assert not world.exchange.ledger.totals().any()


def test_a_day_without_a_market_takes_a_block_at_a_time(tmp_path: Path) -> None:
    """The clock of a scenario without books is that of the chain alone."""
    world = World(fw.load(written(tmp_path, POOL, duration=86_400, interval=600)), 0)
    world.run()
    assert world.chain is not None
    assert len(world.chain.times) == 145
