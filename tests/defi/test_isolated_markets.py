"""Isolated markets and vaults over them: what no sequence of actions may break."""

import copy

import attrs
import pytest
from defi_book import booking
from hypothesis import event, given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.adaptive_curve import AdaptiveCurve
from flashwick.engine.defi.curator import CuratedVault
from flashwick.engine.defi.fixed_point import WAD
from flashwick.engine.defi.isolated import PRICE_ONE, IsolatedMarket, Terms
from flashwick.engine.defi.protocol import SECOND_NS, Refused
from flashwick.engine.defi.reserves import KinkedCurve

S = SECOND_NS
USERS = ("ann", "bob", "cat")
users = st.sampled_from(USERS)
atoms = st.integers(1, 10**11)
waits = st.sampled_from([0, 1, 3_600, 86_400, 30 * 86_400])
START = 10**13


# -- Isolated markets

MARKET = IsolatedMarket.open("market", Terms("USD", "TOK", "oracle", 86 * WAD // 100))
levels = st.integers(20, 200)
KINDS = ["supply", "add", "borrow", "withdraw", "repay", "remove"]
actions_ = st.lists(
    st.tuples(
        st.sampled_from([*KINDS, "liquidate", "liquidate", "liquidate"]),
        users,
        st.integers(1, 100),
        waits,
        levels,
    ),
    min_size=5,
    max_size=30,
)


def act(market, kind, who, percent, price, now):
    """One action on a market, of so many per cent of what there is for it."""
    has, cash = market.position(who), market.cash
    if kind == "supply":
        return market.supply(who, 10**9 * percent, now)
    if kind == "add":
        return market.add_collateral(who, 10**9 * percent)
    if kind == "borrow":
        room = has.collateral * price // PRICE_ONE * 86 // 100 - market.debt(who)
        return market.borrow(who, min(room, cash) * percent // 100, price, now)
    if kind == "withdraw":
        most = min(market.claim(who), cash)
        return market.withdraw(who, most * percent // 100, now)
    if kind == "repay":
        part = has.borrow_shares * percent // 100
        return market.repay(who, None, now, shares=part)
    if kind == "remove":
        part = has.collateral * percent // 100
        return market.remove_collateral(who, part, price, now)
    part = has.collateral * min(2 * percent, 100) // 100
    return market.liquidate("bot", who, price, now, seize=part)


def opened(book):
    """Cat has lent a hundred thousand; Ann and Bob owe most of it."""
    market, moved = MARKET.supply("cat", 10**11, 0)
    book.book(moved.transfers)
    for who, debt in (("ann", 4 * 10**10), ("bob", 5 * 10**10)):
        market, moved = market.add_collateral(who, 6 * 10**10)
        book.book(moved.transfers)
        market, moved = market.borrow(who, debt, PRICE_ONE, 0)
        book.book(moved.transfers)
    return market


@given(rows=actions_)
@settings(max_examples=100)
def test_isolated_market_stays_solvent_and_conserves(rows):
    """Cash is supply less loans and lies in the ledger; shares lose by bad debt alone.

    A refused action changes nothing.
    """
    everyone = {who: {"USD": START, "TOK": START} for who in (*USERS, "bot")}
    book = booking(["USD", "TOK"], everyone | {"market": {}})
    market, now = opened(book), 0
    for kind, who, percent, wait, level in rows:
        now += wait * S
        price = level * PRICE_ONE // 100
        before = copy.deepcopy(market)
        try:
            after, done = act(market, kind, who, percent, price, now)
        except Refused:
            assert market == before
            continue
        assert market == before
        book.book(done.transfers)
        after._check()
        held = sum(row.collateral for row in after.positions.values())
        assert book.balance("market", "TOK") == held
        assert book.balance("market", "USD") == after.cash + after.dust
        bad = getattr(done, "bad_debt", 0)
        worth = (after.supplied + 1) * (market.supply_shares + 10**6)
        was = (market.supplied + 1) * (after.supply_shares + 10**6)
        assert worth >= was or bad > 0
        if kind == "liquidate":
            assert done.seized <= market.position(who).collateral
            assert after.debt(who) <= market.accrue(now).debt(who)
            event("bad debt" if bad else "liquidation")
        market = after


def test_isolated_market_lends_at_most_its_cash():
    """Withdrawals and loans end at the cash; the rate then climbs by itself."""
    market, _ = MARKET.supply("ann", 10**9, 0)
    market, _ = market.add_collateral("bob", 10**10)
    market, _ = market.borrow("bob", 10**9, PRICE_ONE, 0)
    assert market.utilisation == 1.0
    with pytest.raises(Refused, match="at most the cash, 0"):
        market.withdraw("ann", 1, 0)
    with pytest.raises(Refused, match="at most the cash, 0"):
        market.borrow("bob", 1, PRICE_ONE, 0)
    day = market.yearly_rate(86_400 * S)
    assert day == pytest.approx(0.171522, abs=1e-6)
    assert market.yearly_rate(86_400 * 5 * S) > day


def test_cap_of_the_rate_binds_borrowers_alone():
    """Lista's cap: the target rate still adapts, what is paid does not."""
    capped = AdaptiveCurve(rate_cap=10**18 * 3 // 10 // (365 * 86_400))
    market = IsolatedMarket.open(
        "market", Terms("USD", "TOK", "oracle", 86 * WAD // 100), curve=capped
    )
    market, _ = market.supply("ann", 10**9, 0)
    market, _ = market.add_collateral("bob", 10**10)
    market, _ = market.borrow("bob", 10**9, PRICE_ONE, 0)
    later = market.accrue(20 * 86_400 * S)
    assert later.yearly_rate(21 * 86_400 * S) == pytest.approx(0.3, rel=1e-9)
    assert later.at_target > 10 * market.at_target
    free = later.with_curve(AdaptiveCurve(), 20 * 86_400 * S)
    assert free.yearly_rate(21 * 86_400 * S) > 2.0


def test_fee_of_an_isolated_market_is_shares_of_the_interest():
    """A quarter of the interest goes to who takes the fee, out of the suppliers'."""
    terms = Terms("USD", "TOK", "oracle", 86 * WAD // 100)
    market = IsolatedMarket.open("market", terms, fee=WAD // 4, fee_taker="lista")
    market, _ = market.supply("ann", 10**12, 0)
    market, _ = market.add_collateral("bob", 10**13)
    market, _ = market.borrow("bob", 9 * 10**11, PRICE_ONE, 0)
    later = market.accrue(30 * 86_400 * S)
    interest = later.lent - market.lent
    assert later.claim("lista") == pytest.approx(interest / 4, rel=1e-6)
    assert later.claim("ann") - 10**12 == pytest.approx(interest * 3 / 4, rel=1e-6)
    later._check()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda m: m.supply("ann", 0, 0), "'assets' must be a whole number"),
        (lambda m: m.borrow("ann", 5, PRICE_ONE, 0), "debt of at most 0"),
        (lambda m: m.withdraw("bob", 5, 0), "bob's 0 shares"),
        (lambda m: m.repay("ann", 5, 0), "at most the debt, 0"),
        (lambda m: m.remove_collateral("ann", 5, PRICE_ONE, 0), "at most the 0"),
        (lambda m: m.liquidate("b", "ann", PRICE_ONE, 0, seize=1), "not covered"),
        (lambda m: m.liquidate("b", "ann", PRICE_ONE, 0), "'repay_shares' be"),
        (lambda m: m.accrue(-S), "not be before"),
    ],
)
def test_wrong_action_on_an_isolated_market_is_refused(act, said):
    """The field, what it must be and what came are named."""
    market, _ = MARKET.supply("ann", 10**6, 0)
    with pytest.raises(Refused, match=said):
        act(market)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lltv": WAD}, "'lltv' must be above 0 and below"),
        ({"collateral": "USD"}, "'collateral' must be another"),
    ],
)
def test_market_that_makes_no_sense_is_refused(change, said):
    """An LLTV of 1 or a loan against itself."""
    terms = Terms("USD", "TOK", "oracle", WAD // 2)._replace(**change)
    with pytest.raises(Refused, match=said):
        IsolatedMarket.open("market", terms)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdaptiveCurve(target=WAD),
        lambda: AdaptiveCurve(steepness=WAD // 2),
        lambda: AdaptiveCurve(least=10**12),
        lambda: KinkedCurve(optimal=50, slope_1=1, slope_2=2),
        lambda: KinkedCurve(optimal=9_000, slope_1=3, slope_2=2),
        lambda: KinkedCurve(optimal=9_000, slope_1=0, slope_2=100_001),
    ],
)
def test_curve_out_of_order_is_refused(make):
    """A kink at 0.5 %, slopes that fall, more than 1,000 % a year."""
    with pytest.raises(Refused, match="must"):
        make()


# -- The vault of a curator


def vault_and_markets():
    """A vault over two markets, one of them lent out whole."""
    vault = CuratedVault(
        account="vault",
        asset="USD",
        curator="MEV",
        caps={"m1": 6 * 10**9, "m2": 10**10},
        withdraw_first=("m1", "m2"),
    )
    terms = Terms("USD", "TOK", "oracle", 86 * WAD // 100)
    markets = {name: IsolatedMarket.open(name, terms) for name in vault.caps}
    return vault, markets


def test_vault_lends_in_order_and_pays_as_far_as_there_is_cash():
    """Six go to the first market, four to the second; the first is then lent out."""
    vault, markets = vault_and_markets()
    vault, flow = vault.deposit("ann", 10**10, markets, 0)
    markets = flow.places
    assert [markets[name].supplied for name in vault.caps] == [6 * 10**9, 4 * 10**9]
    market, _ = markets["m1"].add_collateral("bob", 10**10)
    markets["m1"], _ = market.borrow("bob", 6 * 10**9, PRICE_ONE, 0)
    assert vault.free(markets) == 4 * 10**9
    with pytest.raises(Refused, match="the 4000000000 free"):
        vault.withdraw("ann", 5 * 10**9, markets, 0)
    after, out = vault.withdraw("ann", 4 * 10**9, markets, 0)
    assert out.places["m2"].supplied == 0
    assert after.shares == vault.shares - out.shares


def test_cap_of_nothing_ends_lending_to_a_market():
    """What is there stays; what comes goes to the next market, or is refused."""
    vault, markets = vault_and_markets()
    vault, flow = vault.deposit("ann", 10**9, markets, 0)
    vault = vault.with_cap("m1", 0)
    after, more = vault.deposit("ann", 10**9, flow.places, 0)
    assert [more.places[name].supplied for name in vault.caps] == [10**9, 10**9]
    with pytest.raises(Refused, match="the caps"):
        after.with_cap("m2", 0).deposit("ann", 1, more.places, 0)
    with pytest.raises(Refused, match="'market' must be one of 'm1', 'm2'"):
        vault.with_cap("m3", 0)


def test_share_of_a_vault_falls_with_a_market_s_bad_debt():
    """What a market writes off, all holders of shares lose at once."""
    vault, markets = vault_and_markets()
    vault, flow = vault.deposit("ann", 10**10, markets, 0)
    markets = flow.places
    market, _ = markets["m1"].add_collateral("bob", 10**10)
    market, _ = market.borrow("bob", 6 * 10**9, PRICE_ONE, 0)
    before = vault.share_price(markets)
    market, taken = market.liquidate("bot", "bob", PRICE_ONE // 10, 0, seize=10**10)
    markets["m1"] = market
    assert taken.bad_debt > 5 * 10**9
    lost = before - vault.share_price(markets)
    assert lost == pytest.approx(taken.bad_debt / 10**10, rel=1e-6)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["in", "out", "move", "lend", "back"]), users, atoms),
        min_size=3,
        max_size=25,
    )
)
@settings(max_examples=40)
def test_vault_conserves_assets_and_never_dilutes(rows):
    """Every atom lies with a market or a user; the price of a share does not fall."""
    vault, markets = vault_and_markets()
    vault = attrs.evolve(vault, caps=dict.fromkeys(vault.caps, 10**12))
    holders = {who: {"USD": START, "TOK": START} for who in USERS}
    places = {"vault": {}, "m1": {}, "m2": {}}
    book = booking(["USD", "TOK", "vault shares"], holders | places)
    now = 0
    for kind, who, amount in rows:
        now += 3_600 * S
        price = vault.share_price(vault.accrued(markets, now))
        try:
            if kind == "lend":
                market, moved = markets["m1"].add_collateral(who, amount)
                book.book(moved.transfers)
                markets["m1"] = market
                market, moved = market.borrow(who, amount // 2 + 1, PRICE_ONE, now)
                book.book(moved.transfers)
                markets["m1"] = market
                continue
            if kind == "back":
                shares = markets["m1"].position(who).borrow_shares
                markets["m1"], moved = markets["m1"].repay(
                    who, None, now, shares=shares
                )
                book.book(moved.transfers)
                continue
            after = vault
            if kind == "in":
                after, flow = vault.deposit(who, amount, markets, now)
            elif kind == "out":
                has = book.balance(who, "vault shares")
                worth = has * (vault.total(markets) + 1) // (vault.shares + 1)
                after, flow = vault.withdraw(who, min(amount, worth), markets, now)
            else:
                flow = vault.reallocate("m2", "m1", amount, markets, now)
            book.book(flow.transfers)
        except Refused:
            continue
        vault, markets = after, flow.places
        assert vault.share_price(markets) >= price * (1 - 1e-9)
    for name, market in markets.items():
        market._check()
        assert book.balance(name, "USD") == market.cash + market.dust
    assert book.balance("vault", "USD") == 0
    assert sum(book.balance(who, "vault shares") for who in USERS) == vault.shares
