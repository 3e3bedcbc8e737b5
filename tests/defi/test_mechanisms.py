"""Mechanisms of the history: Terra, Anchor, Iron, a reserve, a peg module, attacks."""

import pytest
from defi_book import booking
from defi_vectors import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from flashwick.engine.defi.fixed_point import WAD
from flashwick.engine.defi.fractional import HOUR_NS, ONE, FractionalStable
from flashwick.engine.defi.manipulation import (
    FlashLedger,
    ForcedSale,
    Outcome,
    against_cash,
    liquidation_price,
    price_for,
    share_dip_profit,
)
from flashwick.engine.defi.par import ALWAYS, PegModule, ReserveStable
from flashwick.engine.defi.protocol import SECOND_NS, Refused
from flashwick.engine.defi.terra import (
    SavingsReserve,
    VirtualPoolMarket,
    absorbed_per_block,
    spiral_worth,
)

UNIT = 10**6


def digits(text: str) -> int:
    """A decimal with 18 digits as a whole number."""
    whole, _, rest = text.partition(".")
    return int(whole) * WAD + int(rest.ljust(18, "0")[:18])


# -- Terra


def test_vector_terra_spec():
    """The example of the module's own specification, to the last digit."""
    expected = vector("terra-spec")["expected"]
    market = VirtualPoolMarket(base=1_000 * WAD, recovery=14_400, least_spread=0)
    after, swap = market.sell_stable(100 * WAD, stable=WAD, luna=WAD // 2)
    assert swap.net == digits(expected["ask_base"])
    assert swap.out == digits(expected["luna_out"])
    assert after.delta == 100 * WAD
    for said, value in zip(expected["doc_says"], (swap.net, swap.out), strict=True):
        assert float(said.split()[0]) == pytest.approx(value / WAD, abs=1e-2)


def test_vector_terra_capacity():
    """What each proposal lets through, and the ratios both state."""
    expected = vector("terra-capacity")["expected"]
    live = absorbed_per_block(50e6, 36, 0.02)
    assert live == pytest.approx(expected["b50_p36_s2"], rel=1e-9)
    raised = absorbed_per_block(100e6, 18, 0.02)
    assert raised == pytest.approx(expected["b100_p18_s2"], rel=1e-9)
    assert raised / live == pytest.approx(expected["ratio"], rel=1e-9)
    most = absorbed_per_block(1e9, 1, 0.02)
    assert most / live == pytest.approx(expected["b1000_p1_ratio"], rel=1e-9)


def test_absorbed_flow_holds_the_spread_in_the_module_itself():
    """Burning the formula's flow every block settles at the spread it is for."""
    flow = int(absorbed_per_block(50e6, 36, 0.05) * WAD)
    market = VirtualPoolMarket(base=50_000_000 * WAD, recovery=36, least_spread=0)
    for _ in range(600):
        market, _ = market.sell_stable(flow, stable=WAD, luna=80 * WAD)
        market = market.end_block()
    _, small = market.sell_stable(WAD, stable=WAD, luna=80 * WAD)
    # The formula leaves out that the flow itself moves the pool within a block.
    assert small.spread / WAD == pytest.approx(0.05, rel=0.06)


def test_vector_terra_spiral():
    """6.7 billion burned into 0.68 billion of LUNA explode its supply 19,000 times."""
    row = vector("terra-spiral")
    given_ = row["inputs"]
    worth = spiral_worth(given_["S0"], given_["S1"], given_["ust_burned"])
    assert worth == pytest.approx(row["expected"]["implied_M"], rel=1e-6)
    ratio = given_["ust_burned"] / worth
    assert ratio == pytest.approx(row["expected"]["ln_ratio"], rel=1e-6)


def test_vector_anchor():
    """Fourteen billion at 18 % cost 6.9 million a day; the reserve lasts 36 days."""
    row = vector("anchor")
    given_, expected = row["inputs"], row["expected"]
    close = {"rel": 1e-6}
    reserve = SavingsReserve(reserve=1e9)
    _, paid = reserve.epoch(given_["deposits"], given_["rate"], 0.0, 1.0)
    assert paid == pytest.approx(expected["payout_per_day"], **close)
    burned = (323e6 - 176e6) / 30
    assert burned == pytest.approx(expected["burn_per_day"], **close)
    income = paid - burned
    assert income == pytest.approx(expected["implied_income_per_day"], **close)
    earned = income * 365 / given_["deposits"]
    left = SavingsReserve(reserve=176e6)
    after, day = left.epoch(given_["deposits"], given_["rate"], earned, 1.0)
    assert day == pytest.approx(burned, rel=1e-9)
    assert after.reserve == pytest.approx(176e6 - burned)
    assert left.days_left(day) == pytest.approx(expected["days_left_at_176M"], **close)


swaps = st.lists(
    st.tuples(st.sampled_from(["stable", "luna", "block"]), st.integers(1, 10**25)),
    max_size=25,
)


@given(rows=swaps, luna=st.integers(10**10, 100 * WAD))
@settings(max_examples=80)
def test_terra_mints_what_was_burned_less_the_spread(rows, luna):
    """Burned · rate · (1 − spread) is minted · price; both pools stay above 0."""
    market = VirtualPoolMarket(base=50_000_000 * WAD, recovery=36)
    for kind, amount in rows:
        if kind == "block":
            market = market.end_block()
            continue
        before, offered = market, amount * (WAD if kind == "stable" else luna)
        if offered <= WAD // 2:
            continue
        if kind == "stable":
            market, swap = market.sell_stable(amount, stable=WAD, luna=luna)
            assert market.delta > before.delta
            price = luna
        else:
            market, swap = market.sell_luna(amount, stable=WAD, luna=luna)
            assert market.delta <= before.delta
            price = WAD
        assert swap.spread >= market.least_spread
        assert swap.net <= swap.base
        assert swap.out * price // WAD == pytest.approx(swap.net, abs=price // WAD + 2)
        assert min(market.pools) > 0


def test_delta_of_the_pools_dies_away():
    """Each block a thirty-sixth goes: after 36 it is a third, in the end nothing."""
    market = VirtualPoolMarket(base=10**6 * WAD, recovery=36, delta=360 * WAD)
    assert market.end_block().delta == 350 * WAD
    for _ in range(36):
        market = market.end_block()
    assert market.delta / WAD == pytest.approx(360 * (35 / 36) ** 36, rel=1e-9)
    swap = market.between_stables(100 * WAD, give=WAD, get=WAD // 2)
    assert swap.out == 200 * WAD - 2 * market.tobin * 100


# -- Iron


def iron(**changes) -> FractionalStable:
    """The stable coin of June 2021: ratios of 0.75, fees of 0.4 and 0.3 %."""
    fields = {"effective": 750_000, "held": 10**12, "supply": 10**24} | changes
    return FractionalStable(
        account="pool", coin="IRON", share="TITAN", collateral="USDC", **fields
    )


def test_vector_iron():
    """Redeeming, minting, the bounds of arbitrage, and where it stops."""
    redeem, mint, stop, bounds, _ = vector("iron")["expected"]["steps"]
    _, usdc, titan, _ = iron().redeem("ann", 1_000 * WAD, 10 * ONE)
    assert usdc == redeem["usdc"]
    assert titan == int(redeem["titan"])
    value = usdc / UNIT + titan / WAD * 5
    assert value == pytest.approx(redeem["value_at_spot_5"])
    _, coins, burned, _ = iron().mint("ann", 750 * UNIT, 10 * ONE)
    assert coins == int(mint["iron"])
    assert burned == int(mint["titan_needed"])
    price = FractionalStable.six_digits(float(stop["titan_price"]))
    for act in (iron().redeem, iron().mint):
        with pytest.raises(Refused, match=stop["error"].lower()[8:]):
            act("ann", 10**18, price)
    for case in bounds["cases"]:
        found = iron().bounds(case["k"])
        assert found.floor == pytest.approx(case["floor"], abs=1e-9)
        assert found.ceiling == pytest.approx(case["ceil"], abs=1e-9)


def test_target_ratio_steps_once_an_hour():
    """A quarter of a per cent up below 0.995, down above 1.005, else it stays."""
    made = iron().refresh(990_000, 0)
    assert made.target == 752_500
    assert made.refresh(990_000, HOUR_NS - 1) == made
    assert made.refresh(1_000_000, HOUR_NS).target == 752_500
    assert made.refresh(1_010_000, HOUR_NS).target == 750_000
    assert iron(held=8 * 10**11).refresh(ONE, 0).effective == 800_000


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["mint", "redeem", "refresh"]),
            st.integers(1, 10**10),
            st.integers(1, 100 * ONE),
        ),
        max_size=25,
    )
)
@settings(max_examples=60)
def test_redemptions_never_pay_above_the_reserve(rows):
    """Collateral is booked to the atom; shares are minted without a cap."""
    made, now = iron(held=0, supply=0, effective=ONE), 0
    start = {"USDC": 10**12, "TITAN": 10**15}
    book = booking(["USDC", "TITAN", "IRON"], {"ann": start, "pool": {}})
    for kind, amount, price in rows:
        try:
            if kind == "refresh":
                now += HOUR_NS
                made = made.refresh(price // 100, now)
                continue
            if kind == "mint":
                # Small enough for the ledger's 18 digits in 64 bits.
                after, _, _, moves = made.mint("ann", 1 + amount % 5, 100 * ONE * ONE)
            else:
                has = book.balance("ann", "IRON")
                coins = min(amount * 10**6, has)
                after, _, _, moves = made.redeem("ann", coins, 100 * ONE)
            book.book(moves)
        except Refused:
            continue
        made = after
        made._check()
        assert book.balance("pool", "USDC") == made.holds["USDC"]
        assert book.balance("ann", "IRON") == made.supply


# -- A reserve at a bank


def usdc(**changes) -> ReserveStable:
    """Forty billion, 3.3 of them at a bank that failed."""
    fields = {"reserve": 40_000 * UNIT, "supply": 40_000 * UNIT} | changes
    return ReserveStable(
        account="circle",
        coin="USDC",
        asset="USD",
        stuck=3_300 * UNIT,
        recovered=0.0,
        **fields,
    )


def test_floor_falls_while_others_redeem_at_par():
    """0.9175 at worst; 0.9071 after 4.46 billion at par; nothing if the run goes on."""
    made = usdc()
    assert made.floor() == pytest.approx(0.9175)
    assert made.floor(4_460 * UNIT) == pytest.approx(0.9071, abs=5e-5)
    assert made.floor(36_700 * UNIT) == 0.0
    # A price of 0.87 would need the failed bank to take more than it had.
    assert made.floor() > 0.87


def test_reserve_is_redeemed_in_banking_hours_alone():
    """Closed on Saturday 11 March 2023, open on Monday, never beyond what is free."""
    week = tuple(
        (day * 86_400 + 9 * 3_600, day * 86_400 + 17 * 3_600) for day in range(5)
    )
    made = usdc(hours=week)
    saturday, monday = 1_678_500_000, 1_678_716_000
    assert not made.open_at(saturday * SECOND_NS)
    assert made.open_at(monday * SECOND_NS)
    with pytest.raises(Refused, match="in banking hours"):
        made.redeem("ann", 5, saturday * SECOND_NS)
    after, moves = made.redeem("ann", 36_700 * UNIT, monday * SECOND_NS)
    assert [move.atoms for move in moves] == [36_700 * UNIT] * 2
    after._check()
    assert after.holds == {"USD": 3_300 * UNIT}
    with pytest.raises(Refused, match="at most the 0 at hand"):
        after.redeem("ann", 1, monday * SECOND_NS)
    assert usdc(hours=ALWAYS).open_at(saturday * SECOND_NS)


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(1, 10**9)), max_size=20),
    fee=st.integers(0, 10**4),
)
@settings(max_examples=60)
def test_peg_module_holds_what_it_has_minted(rows, fee):
    """Within its ceiling, one to one, the fee on top."""
    made = PegModule(
        account="psm",
        coin="DAI",
        asset="USDC",
        ceiling=2 * 10**9,
        fee_in_ppm=fee,
        fee_out_ppm=fee,
    )
    start = {"DAI": 10**12, "USDC": 10**12}
    book = booking(["DAI", "USDC"], {"ann": start, "psm": {}})
    for sells, atoms in rows:
        try:
            made, moves = (made.sell if sells else made.buy)("ann", atoms)
        except Refused:
            continue
        book.book(moves)
        made._check()
        assert book.balance("psm", "USDC") == made.holds["USDC"]
    assert book.balance("ann", "DAI") + book.balance("ann", "USDC") <= 2 * 10**12


def test_peg_module_binds_its_coin_to_the_asset_while_there_is_room():
    """DAI cannot trade above USDC until 2.2 billion have come in."""
    made = PegModule(account="psm", coin="DAI", asset="USDC", ceiling=2_200)
    assert made.highest_price(0.88) == 0.88
    full, _ = made.sell("ann", 2_200)
    assert full.highest_price(0.88) is None
    with pytest.raises(Refused, match="at most 0"):
        full.sell("ann", 1)


# -- Attacks


def test_vector_bzx_ledger():
    """71.4 ether from the first attack, 2,378 from the second."""
    row = vector("bzx-ledger")
    first, second = row["inputs"]["a1"], row["inputs"]["a2"]
    ledger = FlashLedger.borrow(first["flash"])
    ledger = ledger.move(
        {"Compound": -first["compound"], "bZx margin": -first["bzx_margin"]}
    )
    ledger = ledger.move({"112 WBTC": first["from_112_wbtc"]})
    assert ledger.repay() == pytest.approx(row["expected"]["a1_after_repay"], abs=1e-6)
    ledger = FlashLedger.borrow(second["flash"])
    ledger = ledger.move({"sUSD": -second["buy_susd"], "bids": -second["bid_up"]})
    with pytest.raises(Refused, match="at least the 7500 borrowed"):
        ledger.repay()
    ledger = ledger.move({"loan": second["borrow"]})
    assert ledger.repay() == row["expected"]["a2_after_repay"]


def test_vector_harvest():
    """Half a million for each dip of a cent, as far as the reports round."""
    row = vector("harvest")
    profit = share_dip_profit(50e6, 0.97, row["inputs"]["p1"])
    expected = row["expected"]
    assert profit == pytest.approx(expected["profit_at_reported_rounding"], abs=1e-2)
    exact = share_dip_profit(
        row["inputs"]["deposit"], row["inputs"]["p0"], row["inputs"]["p1"]
    )
    cycles = expected["cycles_usdc"] + expected["cycles_usdt"]
    assert 0.5 * expected["total"] < cycles * exact < expected["total"]


def test_vector_compound():
    """A loan of DAI against USDC is liquidated as DAI rises; against DAI never."""
    expected = vector("compound")["expected"]
    for debt in (70.0, 60.0):
        price = liquidation_price(100.0, 0.75, debt)
        wanted = expected[f"liq_price_at_debt_{debt:.0f}"]
        assert price == pytest.approx(wanted, abs=1e-9)
    seized = 46e6 * 1.08
    assert seized == pytest.approx(expected["seize_46M_dai"])
    assert expected["reported_seized_usd"] == pytest.approx(seized, rel=1e-2)


def test_vector_usdx_lista():
    """What the forced liquidation recovered for each USDX, and cleared of the debt."""
    row = vector("usdx-lista")
    given_, expected = row["inputs"], row["expected"]
    sale = ForcedSale(
        given_["seized_usdx"],
        given_["recovered_usd1"],
        given_["penalty"],
        given_["left_debt"],
    )
    assert sale.price == pytest.approx(expected["recovered_per_usdx"], abs=1e-9)
    whole = expected["with_penalty_per_usdx"]
    assert sale.price_with_penalty == pytest.approx(whole, abs=1e-9)
    assert sale.cleared == pytest.approx(expected["cleared_share_of_debt"], abs=1e-9)


@given(
    pushed=st.floats(0.0382, 2.0), cash=st.floats(1e6, 1e9), weight=st.floats(0.1, 1.0)
)
@settings(max_examples=60)
def test_gain_of_a_push_is_bounded_by_the_cash_alone(pushed, cash, weight):
    """More cannot be taken than there is; a higher price never takes less."""
    terms = {"cash": cash, "weight": weight, "position": 483e6, "start": 0.0382}
    taken = against_cash(pushed=pushed, **terms)
    assert 0.0 <= taken <= cash
    assert against_cash(pushed=pushed * 1.1, **terms) >= taken
    if 1.0 < taken < cash:
        price = price_for(taken, weight=weight, position=483e6, start=0.0382)
        assert price == pytest.approx(pushed, rel=1e-9)
    made = Outcome(extracted=taken, cost=4e6, capital=1e7)
    assert made.profit == taken - 4e6
    assert made.amplification == taken / 1e7


@pytest.mark.parametrize(
    "make",
    [
        lambda: VirtualPoolMarket(base=0, recovery=36),
        lambda: VirtualPoolMarket(base=1, recovery=0),
        lambda: VirtualPoolMarket(base=WAD, recovery=1, least_spread=WAD),
        lambda: VirtualPoolMarket(base=WAD, recovery=1).sell_luna(0, stable=1, luna=1),
        lambda: VirtualPoolMarket(base=WAD, recovery=1).sell_luna(1, stable=1, luna=1),
        lambda: spiral_worth(2.0, 1.0, 1.0),
        lambda: SavingsReserve(reserve=-1.0),
        lambda: iron(target=0),
        lambda: iron(mint_fee=ONE + 1),
        lambda: usdc(hours=((5, 5),)),
        lambda: usdc(reserve=10),
        lambda: PegModule(account="p", coin="c", asset="a", ceiling=-1),
        lambda: FlashLedger.borrow(0.0),
        lambda: FlashLedger.borrow(5.0).move({"x": -6.0}),
        lambda: share_dip_profit(1.0, 1.0, 0.9),
        lambda: liquidation_price(1.0, 0.5, 0.0),
        lambda: against_cash(cash=1, weight=2, position=1, start=1, pushed=2),
    ],
)
def test_wrong_mechanism_is_refused(make):
    """Pools without a base, targets of nothing, hours that never open."""
    with pytest.raises(Refused, match="must"):
        make()
