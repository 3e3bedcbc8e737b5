"""Issuers: their vectors, caps, cooldowns and queues."""

import pytest
from defi_book import booking
from defi_vectors import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.issuer import SyntheticDollar
from flashwick.engine.defi.protocol import SECOND_NS, Refused
from flashwick.engine.defi.staking import DAY_NS, StakedCoin, StakedDollar

S = SECOND_NS
UNIT = 10**6
HOUR = 3_600 * S
ETH, BTC = 4_000.0, 80_000.0


def issuer(**changes) -> SyntheticDollar:
    """An issuer that mints and redeems ten million a block."""
    fields = {"mint_cap": 10**7 * UNIT, "redeem_cap": 10**7 * UNIT} | changes
    return SyntheticDollar(
        account="issuer",
        token="USDe",
        stable_asset="USDC",
        minters=("dealer",),
        **fields,
    )


def hedged() -> SyntheticDollar:
    """The issuer of the vector: 100 million, 60 of them in hedged coins."""
    made = issuer()
    for block in range(10):
        made, _ = made.mint("dealer", 10**7 * UNIT, block)
    for venue, coin, units, price in (
        ("binance", "ETH", 6_000, ETH),
        ("bybit", "ETH", 3_000, ETH),
        ("binance", "BTC", 300, BTC),
    ):
        made, _ = made.hedge("seller", venue, coin, units * UNIT, price)
    return made


def test_vector_issuer_life():
    """Mint, hedge, a fall, funding, a discount, a failed venue, and a run."""
    steps = vector("issuer-life")["expected"]["steps"]
    made, close = hedged(), {"rel": 1e-6}
    start = {"ETH": ETH, "BTC": BTC}
    assert made.nav(start) / UNIT == pytest.approx(steps[0]["nav"], **close)
    delta = {coin: units / UNIT for coin, units in made.delta().items()}
    assert delta == steps[0]["delta"]
    marks = {"ETH": ETH * 0.75, "BTC": BTC * 0.85}
    assert made.nav(marks) / UNIT == pytest.approx(steps[1]["nav"], **close)
    assert made.backing(marks) == pytest.approx(steps[1]["ratio"], **close)
    paid = made.funded("ETH", 1e-4, marks["ETH"]).funded("BTC", 1e-4, marks["BTC"])
    cash = sum(paid.margin.values()) / UNIT
    assert cash == pytest.approx(steps[2]["cash"], **close)
    assert paid.nav(marks) / UNIT == pytest.approx(steps[2]["nav"], **close)
    discount = marks | {"ETH": marks["ETH"] * 0.98}
    assert paid.nav(discount, marks) / UNIT == pytest.approx(steps[3]["nav"], **close)
    assert paid.backing(discount, marks) == pytest.approx(steps[3]["ratio"], **close)
    for step, custody in ((steps[4], True), (steps[5], False)):
        after, lost = paid.without_venue("binance", marks, custody=custody)
        assert lost / UNIT == pytest.approx(step["lost"], **close)
        assert after.nav(marks) / UNIT == pytest.approx(step["nav"], **close)
        if "delta" in step:
            bare = {coin: units / UNIT for coin, units in after.delta().items()}
            assert bare == step["delta"]
    with pytest.raises(Refused, match="within the block's cap"):
        made.redeem("dealer", 10**7 * UNIT + 1, 10)
    for block in range(10, 14):
        made, _ = made.redeem("dealer", 10**7 * UNIT, block)
    with pytest.raises(Refused, match="at most the stable assets, 0"):
        made.redeem("dealer", 10**7 * UNIT, 14)
    assert made.stable == steps[7]["stable"]
    assert made.supply / UNIT == steps[7]["supply"]


# -- The synthetic dollar


@given(
    moves=st.lists(st.tuples(st.floats(0.2, 3.0), st.floats(0.2, 3.0)), min_size=1),
    block=st.integers(0, 5),
)
@settings(max_examples=60)
def test_hedged_issuer_does_not_feel_the_price(moves, block):
    """With no delta, no fall and no rise changes its net assets; settling neither."""
    made = hedged()
    for ether, bitcoin in moves:
        marks = {"ETH": ETH * ether, "BTC": BTC * bitcoin}
        assert made.nav(marks) / UNIT == pytest.approx(1e8, rel=1e-9)
        try:
            made, _ = made.settled("binance", marks)
        except Refused:
            # A rise beyond what the stable assets cover: coins would have to be sold.
            assert made.exposure_by_venue(marks)["binance"] < -made.stable
        assert made.nav(marks) / UNIT == pytest.approx(1e8, rel=1e-9)
    assert set(made.delta().values()) == {0}


dealers = st.lists(
    st.tuples(
        st.sampled_from(["mint", "redeem"]), st.integers(1, 12 * 10**12), st.booleans()
    ),
    max_size=30,
)


@given(rows=dealers)
@settings(max_examples=60)
def test_supply_is_what_was_minted_less_what_was_redeemed(rows):
    """No block exceeds a cap, stable assets never fall below 0, tokens are booked."""
    made, block, done = issuer(), 0, {}
    book = booking(["USDC", "USDe"], {"dealer": {"USDC": 10**15}, "issuer": {}})
    for kind, atoms, same in rows:
        block += not same
        try:
            after, moves = getattr(made, kind)("dealer", atoms, block)
        except Refused:
            continue
        book.book(moves)
        made = after
        made._check()
        done[kind, block] = done.get((kind, block), 0) + atoms
        assert done[kind, block] <= 10**7 * UNIT
    assert book.balance("dealer", "USDe") == made.supply
    assert book.balance("issuer", "USDC") == made.stable


def test_deleveraging_leaves_the_coins_unhedged():
    """The exchange closes shorts at a price of its own; the issuer must hedge again."""
    made = hedged().close("binance", "ETH", 2_000 * UNIT, 3_500.0)
    assert made.delta()["ETH"] == 2_000 * UNIT
    assert made.margin["binance"] == 2_000 * UNIT * 500
    with pytest.raises(Refused, match="short on binance"):
        made.close("binance", "ETH", 4_001 * UNIT, 3_500.0)


def test_exposure_to_a_venue_is_what_its_failure_takes():
    """Results that were not settled; after settling only the hedge is lost."""
    made, marks = hedged(), {"ETH": 3_000.0, "BTC": 68_000.0}
    exposed = made.exposure_by_venue(marks)["binance"]
    _, lost = made.without_venue("binance", marks, custody=True)
    assert lost == exposed
    made, _ = made.settled("binance", marks)
    _, lost = made.without_venue("binance", marks, custody=True)
    assert lost == 0.0


def test_unhedging_turns_coins_into_what_redemptions_need():
    """Coins are sold, as many shorts closed; with discount it costs net assets."""
    made, marks = hedged(), {"ETH": 3_000.0, "BTC": 68_000.0}
    before = made.nav(marks)
    after, _ = made.unhedge("buyer", "binance", "ETH", 1_000 * UNIT, 2_940.0, 3_000.0)
    assert after.delta() == made.delta()
    assert before - after.nav(marks) == pytest.approx(60 * 1_000 * UNIT)
    assert after.stable == made.stable + 2_940 * 1_000 * UNIT


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda i: i.mint("public", 5, 0), "'who' must be one of 'dealer'"),
        (lambda i: i.gated().redeem("dealer", 1, 20), "block's cap, 0"),
        (lambda i: i.mint("dealer", 0, 20), "whole number"),
        (lambda i: i.mint("dealer", 5, 3), "not be before"),
        (lambda i: i.hedge("s", "v", "ETH", 10**12, ETH), "cost at most"),
        (lambda i: i.unhedge("b", "binance", "ETH", 10**12, 1.0, 1.0), "'atoms' must"),
    ],
)
def test_wrong_action_on_an_issuer_is_refused(act, said):
    """Only dealers, only within the caps, never back in time."""
    with pytest.raises(Refused, match=said):
        act(hedged())


# -- The staked dollar


def staked() -> StakedDollar:
    """A vault in which ann has a hundred."""
    vault = StakedDollar(account="vault", asset="USDe", shares_asset="sUSDe")
    return vault.deposit("ann", 100 * UNIT, 0)[0]


def test_reward_vests_in_eight_hours_and_only_one_at_a_time():
    """Half of it counts after four hours; another is refused till all has."""
    vault, _ = staked().rewarded("issuer", 8 * UNIT, 0)
    assert vault.assets(0) == 100 * UNIT
    assert vault.assets(4 * HOUR) == 104 * UNIT
    with pytest.raises(Refused, match="after the vesting"):
        vault.rewarded("issuer", 1, 4 * HOUR)
    assert vault.rewarded("issuer", 1, 8 * HOUR)[0].assets(8 * HOUR) == 108 * UNIT


def test_second_cooldown_starts_the_clock_for_all():
    """What was nearly out waits again for seven days with what comes after."""
    vault, _ = staked().cool_down("ann", 10 * UNIT, 0)
    vault, _ = vault.cool_down("ann", 10 * UNIT, 6 * DAY_NS)
    with pytest.raises(Refused, match="'now_ns' must be"):
        vault.unstake("ann", 7 * DAY_NS)
    vault, out = vault.unstake("ann", 13 * DAY_NS)
    assert out[0].atoms == 20 * UNIT
    assert vault.silo == 0


stakes = st.lists(
    st.tuples(
        st.sampled_from(["deposit", "reward", "cool", "unstake"]),
        st.sampled_from(["ann", "bob"]),
        st.integers(1, 10**9),
        st.integers(0, 3 * 86_400),
    ),
    max_size=30,
)


@given(rows=stakes)
@settings(max_examples=80)
def test_price_of_the_staked_dollar_never_falls(rows):
    """The vault holds its shares' worth and the silo; nobody is diluted."""
    vault, now = StakedDollar(account="vault", asset="USDe", shares_asset="sUSDe"), 0
    holders = {who: {"USDe": 10**13} for who in ("ann", "bob")}
    book = booking(["USDe", "sUSDe"], holders | {"vault": {}})
    for kind, who, atoms, seconds in rows:
        now += seconds * S
        before = vault.price(now)
        try:
            if kind == "deposit":
                after, moves = vault.deposit(who, atoms, now)
            elif kind == "reward":
                after, moves = vault.rewarded(who, atoms, now)
            elif kind == "cool":
                share = min(atoms, book.balance(who, "sUSDe"))
                after, moves = vault.cool_down(who, share, now)
            else:
                after, moves = vault.unstake(who, now)
        except Refused:
            continue
        book.book(moves)
        vault = after
        assert vault.price(now) >= before * (1 - 1e-12)
        vault._check()
        assert book.balance("vault", "USDe") == vault.holds["USDe"]


# -- The staked coin


def test_queue_pays_in_order_and_no_faster_than_the_chain():
    """Who asks later waits for those before; the ratio of the request holds."""
    coin = StakedCoin(
        account="pool", coin="ETH", token="WBETH", delay_ns=DAY_NS, per_day=100
    )
    coin, _ = coin.mint("ann", 1_000)
    coin, _ = coin.rewarded("chain", 80)
    assert coin.ratio == 1.08
    assert coin.fair(3_800.0) == pytest.approx(4_104.0)
    coin, _ = coin.request("ann", 100, 0)
    coin, _ = coin.request("bob", 100, 0)
    first, second = coin.queue
    assert first.atoms == 108
    assert second.ready_ns - first.ready_ns == 108 * DAY_NS // 100
    coin, _ = coin.slashed("chain", 400)
    assert coin.ratio < 0.6
    coin, paid = coin.paid(first.ready_ns)
    assert [(move.target, move.atoms) for move in paid] == [("ann", 108)]
    assert [row.who for row in coin.queue] == ["bob"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["mint", "reward", "request", "pay"]),
            st.integers(1, 10**8),
            st.integers(0, 86_400),
        ),
        max_size=30,
    )
)
@settings(max_examples=60)
def test_ratio_of_a_staked_coin_never_falls_without_slashing(rows):
    """And the pool's coins are the stakers' and the queue's, to the atom."""
    coin = StakedCoin(
        account="pool", coin="ETH", token="LST", delay_ns=DAY_NS, per_day=10**7
    )
    book = booking(["ETH", "LST"], {"ann": {"ETH": 10**12}, "pool": {}})
    now = 0
    for kind, atoms, seconds in rows:
        now, ratio = now + seconds * S, coin.ratio
        try:
            if kind == "mint":
                after, moves = coin.mint("ann", atoms)
            elif kind == "reward":
                after, moves = coin.rewarded("ann", atoms)
            elif kind == "request":
                has = book.balance("ann", "LST")
                after, moves = coin.request("ann", min(atoms, has), now)
            else:
                after, moves = coin.paid(now)
        except Refused:
            continue
        book.book(moves)
        assert after.ratio >= ratio or after.supply == 0
        coin = after
        coin._check()
        assert book.balance("pool", "ETH") == coin.holds["ETH"]


# -- What is refused


@pytest.mark.parametrize(
    "make",
    [
        lambda: StakedDollar(
            account="v", asset="a", shares_asset="s", cooldown_ns=91 * DAY_NS
        ),
        lambda: StakedCoin(account="p", coin="c", token="t", delay_ns=0, per_day=0),
        lambda: staked().unstake("ann", 0),
        lambda: staked().cool_down("ann", 101 * UNIT, 0),
    ],
)
def test_wrong_stake_is_refused(make):
    """A cooldown of 91 days, a queue that never moves, shares that are not there."""
    with pytest.raises(Refused, match="must"):
        make()
