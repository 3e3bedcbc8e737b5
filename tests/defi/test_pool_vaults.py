"""Vaults with a stake in a pool: what nobody can take out, and what was taken."""

from functools import cache
from pathlib import Path

import attrs
import pytest
from chain_text import deal, run_of, step, written
from defi_book import booking
from hypothesis import event, given, settings
from hypothesis import strategies as st

import flashwick as fw
from flashwick.engine.defi.actions import Transaction
from flashwick.engine.defi.pool_vault import PoolVault
from flashwick.engine.defi.protocol import Refused
from flashwick.engine.defi.stableswap import FEE_ONE, StableSwap
from flashwick.engine.simulation import World

USERS = ("ann", "bob", "cat")
ASSETS = ("USD", "EUR", "YEN")
START = 10**14
MILLION = 10**12
FEE = FEE_ONE // 2_500


def opened(**changes):
    """A vault with a million of shares, a million in cash, and a part of a pool."""
    pool = StableSwap.empty("pool", ASSETS, amplification=200, fee=FEE)
    pool, _ = pool.add("rich", dict.fromkeys(ASSETS, MILLION))
    fields = {"account": "vault", "asset": "USD", "pool": "pool"} | changes
    vault = PoolVault(cash=MILLION, shares=2 * MILLION, **fields)
    return vault.begun(pool.shares // 4, {"pool": pool}), pool


def booked(vault, pool):
    """A ledger with what users, vault and pool have; ann has the vault's shares."""
    places = {"pool": pool.holds, "vault": vault.holds}
    rich = {"rich": {"pool shares": pool.shares - vault.stake}}
    holders = {who: dict.fromkeys(ASSETS, START) for who in USERS} | places | rich
    holders["ann"] |= {"vault shares": vault.shares}
    return booking([*ASSETS, "pool shares", "vault shares"], holders)


KINDS = st.sampled_from(["deposit", "withdraw", "swap", "swap back"])
rows_ = st.lists(
    st.tuples(KINDS, st.sampled_from(USERS), st.integers(1, 3 * MILLION)),
    min_size=3,
    max_size=20,
)


# -- What nothing breaks


@given(rows=rows_, valued=st.sampled_from(["withdrawal", "par"]))
@settings(max_examples=80, deadline=None)
def test_nobody_gets_more_than_the_vault_has(rows, valued):
    """Whatever is done to vault and pool, every atom and share is somewhere."""
    vault, pool = opened(valued=valued)
    book = booked(vault, pool)
    for kind, who, amount in rows:
        pools, after = {"pool": pool}, vault
        try:
            if kind == "deposit":
                after, flow = vault.deposit(who, amount, pools, 0)
                moves = flow.transfers
            elif kind == "withdraw":
                has = min(book.balance(who, "vault shares"), amount)
                free = vault.free(pools)
                after, flow = vault.withdraw(who, has, pools, 0)
                pools |= flow.places
                moves = flow.transfers
                assert flow.assets <= free + 1
            else:
                pair = ("EUR", "USD") if kind == "swap" else ("USD", "EUR")
                pools["pool"], trade = pool.swap(who, *pair, amount)
                moves = trade.transfers
            book.book(moves)
        except Refused:
            event(f"{kind} refused")
            continue
        vault, pool = after, pools["pool"]
        vault._check()
        pool._check()
        for name, state in {"vault": vault, "pool": pool}.items():
            for asset, atoms in state.holds.items():
                assert book.balance(name, asset) == atoms
        held = sum(book.balance(who, "vault shares") for who in USERS)
        assert held == vault.shares


@given(
    amount=st.integers(1_000, 10 * MILLION),
    skew=st.integers(1, MILLION // 2),
    valued=st.sampled_from(["withdrawal", "par"]),
)
@settings(max_examples=60, deadline=None)
def test_there_and_back_earns_nothing_in_a_pool_that_nobody_moves(amount, skew, valued):
    """However the pool stands, a deposit taken out again is at most what it was."""
    vault, pool = opened(valued=valued)
    pool, _ = pool.swap("bob", "EUR", "USD", skew)
    pools = {"pool": pool}
    after, put = vault.deposit("bob", amount, pools, 0)
    _, got = after.withdraw("bob", put.shares, pools, 0)
    assert amount - 2 <= got.assets <= amount
    assert not got.places


@given(skew=st.integers(MILLION // 100, MILLION // 2))
@settings(max_examples=40, deadline=None)
def test_who_moves_the_pool_between_earns_unless_it_counts_at_par(skew):
    """Cheap shares redeemed at the old price: at the moment's value, never at par."""
    profit = {}
    for valued in ("withdrawal", "par"):
        vault, pool = opened(valued=valued)
        pushed, bought = pool.swap("bob", "EUR", "USD", skew)
        vault, put = vault.deposit("bob", 10 * MILLION, {"pool": pushed}, 0)
        back, _ = pushed.swap("bob", "USD", "EUR", bought.amount_out)
        _, got = vault.withdraw("bob", put.shares, {"pool": back}, 0)
        profit[valued] = got.assets - 10 * MILLION
    assert profit["withdrawal"] > 0
    # What there is at par are the fees of the swaps that providers earned.
    assert profit["par"] <= 2 * skew * FEE // FEE_ONE


# -- Leaving


def test_what_the_cash_lacks_comes_out_of_the_pool():
    """Who wants more than the cash has it sold for, and bears the difference."""
    vault, pool = opened()
    pools = {"pool": pool}
    price = vault.share_price(pools)
    after, got = vault.withdraw("ann", vault.shares * 7 // 10, pools, 0)
    assert after.cash < vault.cash // 1_000
    assert 0 < after.stake < vault.stake
    assert got.assets == pytest.approx(price * vault.shares * 0.7, rel=2e-3)
    assert after.share_price(got.places) == pytest.approx(price, rel=2e-3)


def test_the_last_one_takes_everything():
    """All shares at once empty the vault; an empty vault begins anew."""
    vault, pool = opened()
    pools = {"pool": pool}
    free = vault.free(pools)
    after, got = vault.withdraw("ann", vault.shares, pools, 0)
    assert (after.cash, after.stake, after.shares) == (0, 0, 0)
    assert got.assets == free
    after, put = after.deposit("bob", 5, got.places, 0)
    assert put.shares == 5
    assert after.share_price(got.places) == 1.0


# -- The check of the pool's price


@pytest.mark.parametrize(
    ("checked", "tolerance", "passes"),
    [
        ("unit", 30_000, True),
        ("unit", 2_000, True),
        ("stake", 30_000, True),
        ("stake", 9_000, False),
    ],
)
def test_a_unit_of_the_pool_tells_nothing_of_the_whole(checked, tolerance, passes):
    """The price of a millionth hardly moves where the stake loses a fiftieth."""
    sides = dict(zip((*ASSETS, "WON"), (73, 72, 260, 260), strict=True))
    pool = StableSwap.empty("pool", tuple(sides), amplification=2_000, fee=FEE)
    pool, _ = pool.add("rich", {asset: n * MILLION for asset, n in sides.items()})
    vault = PoolVault(
        account="vault",
        asset="USD",
        pool="pool",
        cash=73 * MILLION,
        shares=125 * MILLION,
        checked=checked,
        tolerance=tolerance,
    )
    vault = vault.begun(pool.shares * 79 // 1_000, {"pool": pool})
    pushed, _ = pool.swap("bob", "EUR", "USD", 17 * MILLION)
    if passes:
        assert vault.deposit("bob", MILLION, {"pool": pushed}, 0)[1].shares > MILLION
    else:
        with pytest.raises(Refused, match=r"must be within 0\.9000%"):
            vault.deposit("bob", MILLION, {"pool": pushed}, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda v, p: attrs.evolve(v, valued="best"),
        lambda v, p: attrs.evolve(v, checked="all"),
        lambda v, p: attrs.evolve(v, tolerance=0),
        lambda v, p: attrs.evolve(v, tolerance=10**6),
        lambda v, p: v.deposit("ann", 0, p, 0),
        lambda v, p: v.withdraw("ann", 0, p, 0),
        lambda v, p: v.withdraw("ann", v.shares + 1, p, 0),
        lambda v, p: v.deposit("ann", 5, {"other": p["pool"]}, 0),
        lambda v, p: attrs.evolve(v, asset="GBP").deposit("ann", 5, p, 0),
        lambda v, p: attrs.evolve(v, cash=0, stake=0).deposit("ann", 5, p, 0),
        lambda v, p: attrs.evolve(v, cash=0, stake=1).withdraw("ann", 5, p, 0),
        lambda v, p: attrs.evolve(v, shares=1).deposit("ann", 5, p, 0),
    ],
)
def test_wrong_vaults_and_amounts_are_refused(make):
    """Unknown ways of valuing, no amount, too many shares, a worth of nothing."""
    vault, pool = opened()
    with pytest.raises(Refused, match="must"):
        make(vault, {"pool": pool})


# -- In a scenario

PLACES = """
[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }
amplification = 200

[pools.product]
kind = "constant_product"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }

[vaults.vault]
asset = "USDC"
pool = "curve"
supply = 500_000
held = 300_000
stake = 0.1

[wallets.ann]
USDC = 100_000
"""


def test_a_vault_of_a_scenario_takes_and_gives(tmp_path: Path) -> None:
    """A deposit, a part of it asked for in units, and the rest."""
    at = 'at = {}\nkind = "transaction"\nwho = "ann"\nsteps = [{}]\n'
    deals = (
        step("deposit", "vaults.vault"),
        step("withdraw", "vaults.vault", amount=40_000),
        step("withdraw", "vaults.vault"),
    )
    shocks = (f"[[shocks]]\n{at.format(5 * i + 5, s)}" for i, s in enumerate(deals))
    run = run_of(tmp_path, PLACES + "\n".join(shocks))
    has = run.series.chain.figures["wallets.ann.USDC"]
    assert [round(float(has[i]), 4) for i in (4, 5, 10, 15)] == [
        100_000.0,
        0.0,
        40_000.0,
        100_000.0,
    ]
    assert run.measure("conserved") == 1


@pytest.mark.parametrize(
    ("old", "new", "place", "word"),
    [
        ('pool = "curve"', 'pool = "curv"', "vaults.vault.pool", "curve"),
        ('pool = "curve"', 'pool = "product"', "vaults.vault.pool", "stableswap"),
        ('pool = "curve"\n', "", "vaults.vault", "either caps or pool (got neither)"),
        ("stake = 0.1", "stake = 0.1\ndeposited = 5", "vault.deposited", "apply"),
        ("stake = 0.1", "stake = 1.0", "vaults.vault.stake", "below 1"),
        ("stake = 0.1", 'stake = 0.1\nvalued = "fair"', "vault.valued", "par"),
        ("stake = 0.1", "stake = 0.1\ntolerance = 0", "vault.tolerance", "above 0"),
        ("supply = 500_000\n", "", "vaults.vault.supply", "above 0"),
        ("supply = 500_000", "supply = 1e-9", "vaults.vault.supply", "an atom"),
        ("held = 300_000\nstake = 0.1", "", "vaults.vault.held", "above 0, or stake"),
        ('asset = "USDC"', 'asset = "ETH"', "vaults.vault.pool", "with ETH"),
    ],
)
def test_wrong_vaults_of_a_scenario_are_refused(
    tmp_path: Path, old: str, new: str, place: str, word: str
) -> None:
    """Place, value and remedy, before anything runs."""
    path = written(tmp_path, PLACES)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(fw.ScenarioError) as caught:
        fw.load(path)
    assert any(place in line and word in line for line in str(caught.value).split("\n"))


def test_a_pool_that_a_vault_took_from_was_moved_by_the_withdrawal(
    tmp_path: Path,
) -> None:
    """Nobody swapped: the price's cause is who left, whose money was in the pool."""
    feed = '[feeds.USDE]\nquote = "USDC"\nsources = { "pools.curve" = 1 }\n'
    leave = deal(5, "vaults.vault lenders", step("withdraw", "vaults.vault"))
    run = run_of(tmp_path, PLACES + feed + leave, duration=10)
    assert run.measure("conserved") == 1
    moved = next(event for event in run.log.single("feed"))
    told = [event.text for event in run.log.chain(moved.id)]
    assert any("withdraw USDC at vaults.vault" in text for text in told)


def test_stakes_in_a_pool_leave_something_to_its_providers(tmp_path: Path) -> None:
    """Two vaults cannot have all of a pool between them."""
    second = PLACES[PLACES.index("[vaults") : PLACES.index("[wallets")]
    second = second.replace("vaults.vault", "vaults.other").replace("0.1", "0.9")
    with pytest.raises(fw.ScenarioError, match=r"stakes in curve below 1 together"):
        fw.load(written(tmp_path, PLACES + second))


# -- Harvest


@cache
def after_steps(count: int) -> tuple[World, Transaction]:
    """The first transaction of the replay after so many of its steps."""
    scenario = fw.load("harvest-2020")
    world = World(scenario, 0)
    chain = world.chain
    assert chain is not None
    tx = Transaction(chain.around.places, chain.setting, "wallets.attacker", 0)
    return world, tx.run(scenario.config.shocks[0].steps[:count])


def test_the_first_deposit_gets_the_shares_that_it_got() -> None:
    """51,456,281 for 49,977,469 at 0.97126, where a share was worth 0.980007."""
    world, tx = after_steps(4)
    vault = tx.states["vaults.fUSDC"]
    got = tx.has(vault.share_asset) / 1e6
    assert got == pytest.approx(51_456_280.79, rel=1e-5)
    assert 49_977_468.56 / got == pytest.approx(0.97126080, rel=1e-5)
    assert world.chain is not None
    before = world.chain.around.places["vaults.fUSDC"]
    assert before.share_price(world.chain.around.places) == pytest.approx(0.980007)


def test_one_round_leaves_what_it_left() -> None:
    """298,684 USDC and 8,734 USDT beside what was borrowed, 307,418 together."""
    _, tx = after_steps(6)
    gained = tx.gained("USDC") / 1e6 + tx.gained("USDT") / 1e6
    assert gained == pytest.approx(307_418, rel=2e-3)
    assert tx.gained("USDC") / 1e6 == pytest.approx(298_684, rel=0.01)


def test_the_money_came_out_of_the_vaults_cash() -> None:
    """The pool paid nobody out: its stakes are what they were."""
    world, tx = after_steps(14)
    assert world.chain is not None
    before = world.chain.around.places["vaults.fUSDC"]
    after = tx.states["vaults.fUSDC"]
    assert after.stake == before.stake
    lost = (before.cash - after.cash) / 1e6
    assert lost > 3 * 300_000


def test_both_replays_are_one_gain_and_two_losses() -> None:
    """What the two vaults lost, the attacker, the lender and the pool's owners have."""
    run = fw.load("harvest-2020").run(seed=0)
    figures = run.series.chain.figures

    def change(name: str) -> float:
        return float(figures[name][-1]) - float(figures[name][0])

    coins = ("USDC", "USDT")
    who = ("attacker", "uniswap")
    gained = sum(change(f"wallets.{name}.{coin}") for name in who for coin in coins)
    assert gained == pytest.approx(26.47e6 + 6.23e6, rel=0.01)
    pool = sum(change(f"pools.y.{coin}") for coin in coins)
    lost = -sum(change(f"vaults.{name}.free") for name in ("fUSDC", "fUSDT"))
    assert lost == pytest.approx(gained + pool, rel=0.05)
