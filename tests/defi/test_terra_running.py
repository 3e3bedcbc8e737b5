"""Terra's market module, its arbitrage and Anchor's reserve in a running simulation."""

import re
from pathlib import Path

import attrs
import pytest
from chain_text import deal, run_of, step, told, written
from hypothesis import given, settings
from hypothesis import strategies as st

import flashwick as fw
from flashwick.engine.defi.protocol import Refused
from flashwick.engine.defi.savings import SavingsAccount
from flashwick.engine.defi.terra import WAD, TerraModule, VirtualPoolMarket
from flashwick.engine.run import Run
from flashwick.engine.simulation import World

BASE = 50_000_000
WHO = "ann"


def module(**changes: int) -> TerraModule:
    """The module of May 2022, UST with six decimals and LUNA with four."""
    market = VirtualPoolMarket(base=BASE * WAD, recovery=36)
    terms = {"sdr": 1.34, "block_ns": 6 * 10**9, **changes}
    return TerraModule(
        account="module",
        stable="UST",
        luna="LUNA",
        market=market,
        stable_scale=10**12,
        luna_scale=10**14,
        **terms,
    )


moves = st.lists(
    st.tuples(st.sampled_from(["UST", "LUNA", "time", "vote"]), st.integers(1, 10**14)),
    max_size=15,
)


@given(rows=moves, price=st.floats(1e-6, 100.0))
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_burned_is_what_left_and_minted_what_came(
    rows: list[tuple[str, int]], price: float
) -> None:
    """Transfers add up to the module's sums; refused, nothing is different."""
    state, now, sums = module(), 0, {"UST": 0, "LUNA": 0}
    for kind, amount in rows:
        before = state
        if kind == "time":
            now += amount % (3_600 * 10**9)
            state = state.until(now)
            assert abs(state.market.delta) <= abs(before.market.delta)
        elif kind == "vote":
            state = state.voted({"base": float(BASE + amount % BASE)})
            assert state.market.delta == before.market.delta
        else:
            try:
                state, done = state.swap(WHO, kind, amount, **state.rates(price))
            except Refused:
                assert state == before
                continue
            for asset, source, _, atoms in done:
                sums[asset] += atoms if source == "issued" else -atoms
        state._check()
        assert 0.02 <= state.spread < 1.0
        assert sums["UST"] == state.minted - state.burned


@given(amount=st.integers(10**6, 10**13), price=st.floats(1e-6, 100.0))
@settings(max_examples=60, deadline=None)
def test_a_burn_is_paid_in_luna_at_the_oracles_price_less_a_spread(
    amount: int, price: float
) -> None:
    """UST burned times one less the spread is LUNA minted times its price."""
    state = module()
    offered = amount / 1e6 / 1.34
    spread = max(0.02, 1.0 - BASE / (BASE + offered))
    _, done = state.swap(WHO, "UST", amount, **state.rates(price))
    assert [move.asset for move in done][:1] == ["UST"]
    minted = sum(move.atoms for move in done if move.asset == "LUNA") / 1e4
    wanted = amount / 1e6 * (1.0 - spread)
    assert minted * price == pytest.approx(wanted, rel=1e-6, abs=price * 2e-4)


def test_a_block_of_its_own_recovers_as_often_as_it_ends() -> None:
    """A minute is ten blocks of six seconds; what is left over counts later."""
    state, _ = module().swap(WHO, "UST", 10**13, stable=WAD, luna=WAD)
    ten = state.until(60 * 10**9)
    by_hand = state.market
    for _ in range(10):
        by_hand = by_hand.end_block()
    assert ten.market == by_hand
    assert ten.until(65 * 10**9).market == by_hand
    assert ten.until(66 * 10**9).market == by_hand.end_block()


def test_a_vote_changes_terms_and_not_what_filled_the_pools() -> None:
    """Proposal 1164: twice the base in half the blocks is four times the capacity."""
    state, _ = module().swap(WHO, "UST", 10**13, stable=WAD, luna=WAD)
    after = state.voted({"base": 100e6, "recovery": 18})
    assert after.market.base == 10**8 * WAD
    assert after.market.delta == state.market.delta
    assert after.capacity == pytest.approx(4 * state.capacity, rel=1e-12)
    assert after.spread < state.spread
    with pytest.raises(Refused, match=r"'set' must be one of 'base'.*did you mean"):
        state.voted({"bases": 1.0})


# -- Savings


def savings(reserve: int = 10**9) -> SavingsAccount:
    """Anchor's rates, epochs of three hours."""
    return SavingsAccount(
        account="anchor",
        asset="UST",
        promised=0.18,
        earned=0.05,
        epoch_ns=10_800 * 10**9,
        reserve=reserve,
    )


acts = st.lists(
    st.tuples(st.sampled_from(["deposit", "withdraw", "time"]), st.integers(1, 10**12)),
    max_size=20,
)


@given(rows=acts, reserve=st.integers(0, 10**12))
@settings(max_examples=60, deadline=None)
def test_savings_hold_what_was_put_in_and_pay_no_more_than_they_have(
    rows: list[tuple[str, int]], reserve: int
) -> None:
    """Cash and reserve are what the transfers left; shares never lose their worth."""
    state, now, held, shares = savings(reserve), 0, reserve, 0
    for kind, amount in rows:
        before = state
        if kind == "time":
            now += amount
            state = state.accrue(now * 100)
            assert state.reserve <= before.reserve
            assert state.holds == before.holds
        else:
            try:
                state, done = getattr(state, kind)(WHO, amount)
            except Refused:
                assert state == before
                continue
            for asset, source, target, atoms in done:
                if asset == "UST":
                    held += atoms * ((target == "anchor") - (source == "anchor"))
                else:
                    shares += atoms * ((target == WHO) - (source == WHO))
        state._check()
        assert state.holds == {"UST": held}
        assert state.shares == shares >= 0
        if before.shares and state.shares:
            old = before.deposits * state.shares
            assert state.deposits * before.shares >= old - state.shares


def test_the_reserve_pays_what_is_not_earned_until_it_is_empty() -> None:
    """At 18 % promised and 5 % earned 14 billion take 13 % a year; then they earn 5."""
    state, _ = savings(reserve=180 * 10**12).deposit(WHO, 14_000 * 10**12)
    day = state.accrue(86_400 * 10**9)
    paid = (state.reserve - day.reserve) / 1e12
    assert paid == pytest.approx(14_000 * 0.13 / 365, rel=1e-3)
    empty = attrs.evolve(state, reserve=0).accrue(86_400 * 10**9)
    grown = empty.deposits / state.deposits - 1.0
    assert grown == pytest.approx(0.05 / 365, rel=1e-3)


def test_a_burn_pays_at_least_an_atom_and_what_was_asked_for() -> None:
    """Nothing is burned for nothing, and not for less than the least."""
    rates = {"stable": WAD, "luna": 10**6 * WAD}
    with pytest.raises(Refused, match="worth at least an atom of LUNA"):
        module().swap(WHO, "UST", 1, **rates)
    _, done = module().swap(WHO, "UST", 10**9, **rates)
    paid = done[-1].atoms
    assert module().swap(WHO, "UST", 10**9, **rates, least=paid)[1] == done
    with pytest.raises(Refused, match=f"at most the {paid} that it pays"):
        module().swap(WHO, "UST", 10**9, **rates, least=paid + 1)


def test_what_rounding_leaves_without_shares_is_nobodys() -> None:
    """One share of a hundred atoms is burned for one; no other atom can be taken."""
    state = attrs.evolve(savings(), cash=100, shares=1)
    state, moves = state.withdraw(WHO, 1)
    assert [move.atoms for move in moves] == [1, 1]
    assert (state.cash, state.shares) == (99, 0)
    with pytest.raises(Refused, match="at most the cash, 0"):
        state.withdraw(WHO, 1)


# -- In a simulation

MODULE = """
[markets]
"LUNA/USDC" = { tick = "0.01", lot = "0.01" }

[transfers]
latency = 1
capacity_usd = 1e12

[[ladders]]
market = "LUNA/USDC"
side = "buy"
orders = [["80", "1000"], ["79", "2000"], ["78", "4000"], ["70", "10000"]]

[pools.curve]
kind = "stableswap"
reserves = { UST = 2_000_000, USDC = 2_000_000 }
amplification = 20

[feeds.LUNA]
quote = "USDC"
sources = { "LUNA/USDC" = 1 }

[stables.module]
kind = "terra"
coin = "UST"
share = "LUNA"
feed = "LUNA"
block = 0.5
base = 5_000_000

[savings.anchor]
asset = "UST"
reserve = 1_000
promised = 0.18

[runners.depositors]
count = 4
holds = { UST = 1_500_000 }
start = [{ do = "deposit", on = "savings.anchor" }]
watch = "pools.curve.price"
below = { kind = "fixed", value = 0.999 }
steps = [
    { do = "withdraw", on = "savings.anchor" },
    { do = "swap", on = "pools.curve", give = "UST", get = "USDC" },
]

[cycles.burn]
asset = "USDC"
book = "LUNA/USDC"
money = 500_000
most = 100_000
steps = [
    { do = "swap", on = "pools.curve", give = "USDC", get = "UST" },
    { do = "swap", on = "stables.module", give = "UST" },
]

[wallets.ann]
UST = 300_000
""" + deal(5, "ann", step("swap", "pools.curve", give="UST", get="USDC"))

VOTE = """
[[shocks]]
at = 10
kind = "vote"
on = "stables.module"
set = { base = 10_000_000, recovery = 18 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Somebody sells UST, depositors follow, arbitrage burns it into the book."""
    return run_of(tmp_path_factory.mktemp("terra"), MODULE + VOTE)


def figure(run: Run, name: str) -> list[float]:
    """A figure at the end of every block."""
    return [float(value) for value in run.series.chain.figures[name]]


def test_arbitrage_burns_ust_and_sells_the_luna_in_the_book(run: Run) -> None:
    """UST burned is UST that is gone; LUNA minted is LUNA more; its price fell."""
    ust = figure(run, "stables.module.supply")
    luna = figure(run, "stables.module.LUNA.supply")
    burned = figure(run, "stables.module.burned")
    assert burned[-1] > 100_000
    for gone, left in zip(burned, ust, strict=True):
        assert left == pytest.approx(ust[0] - gone, abs=1e-5)
    assert luna[-1] > luna[0] + burned[-1] * 0.5 / 80
    assert run.measure("feeds.LUNA.price.end") < 80
    assert run.measure("conserved") == 1


def test_a_sale_of_luna_goes_back_to_the_shock(run: Run) -> None:
    """From the trade in the book over the burn and the pool to who sold first."""
    ids, _ = run.log.fills()
    chain = run.log.chain(int(ids[0]))
    assert [event.kind for event in chain][:2] == ["trade", "order"]
    assert chain[-1].kind == "shock"
    texts = [event.text or "" for event in chain]
    assert any("at stables.module" in text for text in texts)
    assert any("at pools.curve" in text for text in texts)


def test_a_vote_on_the_terms_is_an_event_and_counts_from_then_on(run: Run) -> None:
    """Twice the base, half the blocks: four times as much a block from second 10."""
    capacity = figure(run, "stables.module.capacity")
    assert capacity[-1] == pytest.approx(4 * capacity[0], rel=1e-9)
    assert capacity.index(capacity[-1]) == 10
    assert told(run, "terms set by vote")


def test_nothing_is_burned_while_the_channel_is_cut(tmp_path: Path) -> None:
    """Who cannot carry LUNA to the book does not mint it."""
    cut = '\n[[shocks]]\nat = 4\nkind = "transfers"\nopen = false\n'
    run = run_of(tmp_path, MODULE + cut)
    assert run.measure("stables.module.burned.end") == 0
    assert run.measure("pools.curve.price.end") < 0.9


def test_figures_that_nothing_has_cannot_be_watched(tmp_path: Path) -> None:
    """The figures are known at the start; a wrong one would never be passed."""
    text = MODULE.replace('"pools.curve.price"', '"pools.curve.UTS"')
    scenario = fw.load(written(tmp_path, text))
    near = r"runners\.depositors\.watch: .* did you mean 'pools\.curve\.UST'"
    with pytest.raises(fw.ScenarioError, match=near):
        scenario.run()


def test_depositors_leave_with_their_deposits(run: Run) -> None:
    """Nothing is left but what rounding leaves, and the reserve stays where it was."""
    assert run.measure("savings.anchor.deposits.end") < 0.001
    assert run.measure("savings.anchor.reserve.end") == 1_000


@given(
    sold=st.integers(10_000, 1_500_000),
    money=st.integers(1_000, 3_000_000),
    base=st.integers(10_000, 10_000_000),
)
@settings(max_examples=8, deadline=None)
def test_whatever_is_sold_the_ledger_is_whole_after_every_block(
    tmp_path_factory: pytest.TempPathFactory, sold: int, money: int, base: int
) -> None:
    """All assets sum to nothing, and every place holds what it says."""
    text = MODULE.replace("UST = 300_000", f"UST = {sold}")
    text = text.replace("money = 500_000", f"money = {money}")
    text = text.replace("base = 5_000_000", f"base = {base}")
    path = written(tmp_path_factory.mktemp("whole"), text, duration=20)
    world = World(fw.load(path), seed=0)
    for second in range(1, 21):
        world.proceed(second * 10**9)
        assert not world.exchange.ledger.totals().any()
        assert world.chain is not None
        assert world.chain.sound()


WRONG = [
    ("block = 0.5", "block = 7", "stables.module.block", "chain.interval, 1 s"),
    ("base = 5_000_000", "base = 0.5", "stables.module.base", "at least 1 SDR"),
    ('share = "LUNA"', 'share = "UST"', "stables.module.share", "another asset"),
    ('share = "LUNA"\n', "", "stables.module.share", "must be given"),
    ('book = "LUNA/USDC"', 'book = "LUNE/USDC"', "cycles.burn.book", "LUNA/USDC"),
    ('asset = "USDC"\nbook', 'asset = "USDE"\nbook', "cycles.burn.book", "USDE"),
    ("money = 500_000\n", "", "cycles.burn.money", "above 0"),
    ('book = "LUNA/USDC"\n', "", "cycles.burn.money", "without book"),
    ("promised = 0.18", "promised = 18", "savings.anchor.promised", "at most 10"),
    ('asset = "UST"', 'asset = "USTT"', "savings.anchor.asset", "UST"),
    ("promised = 0.18", "promised = 0.1\nepoch = 0.1", "anchor.epoch", "at least 1 s"),
    ('on = "stables.module"\nset', 'on = "stables.modul"\nset', "shocks.1.on", "modul"),
    ("recovery = 18 }", "recovery = 1.5 }", "shocks.1.set.recovery", "whole number"),
    ("base = 10_000_000,", "bas = 1.0,", "shocks.1.set.bas", "base"),
    ("base = 10_000_000,", "base = 0.1,", "shocks.1.set.base", "at least 1"),
    ("set = {", 'feed = "LUNA"\nset = {', "shocks.1", "one of feed, asset and on"),
    ("set = { base = 10_000_000, recovery = 18 }", "", "shocks.1.set", "beside on"),
    ("set = { base = 10_000_000, recovery = 18 }", "set = {}", "1.set", "at least one"),
    ("base = 5_000_000\n", "base = 5_000_000\nsdr = 1e-300\n", "module.sdr", "1e-6"),
    (
        'do = "swap", on = "stables.module"',
        'do = "mint", on = "stables.module"',
        "cycles.burn.steps.1.do",
        "(swap)",
    ),
    (
        'on = "stables.module", give = "UST"',
        'on = "stables.module", give = "USDC"',
        "cycles.burn.steps.1.give",
        "one of UST, LUNA",
    ),
    (
        'give = "USDC", get = "UST"',
        'give = "USDC", get = "LUNA"',
        "cycles.burn.steps.0.get",
        "one of UST, USDC",
    ),
    (
        'do = "withdraw", on = "savings.anchor"',
        'do = "withdraw", on = "savings.anchor", least = 5',
        "runners.depositors.steps.0.least",
        "only to a swap",
    ),
    ("at = 10", "at = -10", "shocks.1.at", "at least 0"),
]


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG)
def test_what_is_wrong_is_told_at_its_place(
    tmp_path: Path, old: str, new: str, place: str, said: str
) -> None:
    """One change, one message with where it is and what it has to be."""
    whole = MODULE + VOTE
    assert old in whole
    with pytest.raises(fw.ScenarioError) as raised:
        fw.load(written(tmp_path, whole.replace(old, new, 1)))
    problems = [p for p in raised.value.problems if place in p.path]
    assert problems, str(raised.value)
    assert any(re.search(re.escape(said), p.message) for p in problems), str(
        raised.value
    )
