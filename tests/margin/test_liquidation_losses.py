"""Steps that others pay for: takeover, fund, deleveraging, claim and shared losses."""

from typing import Any

import pytest
from venues import ATOM, NO_FEES, has, long, only, quote, venue

from flashwick.cython_ext.ledger import CLAIMS, EXTERNAL, INSURANCE
from flashwick.engine.events import Event
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.fund import SHARED
from flashwick.margin.prices import IndexRule
from flashwick.orderbook.orders import Side

PERP = "ATOM/USDT:PERP"
ALL = [
    "cancel_orders",
    "repay",
    "sell_collateral",
    "reduce_positions",
    "takeover",
    "insurance_fund",
    "adl",
    "claim",
]


def ruined(
    winners: dict[float, float], *, adl: dict[str, Any] | None = None, **how: Any
) -> tuple[Exchange, int, list[int]]:
    """A long of 2,000 coins that owes 200 dollars, and shorts of it at a mark of 3.7.

    ``winners`` are the shorts: coins, by what each has in dollars.
    """
    rules = how.pop("rules", {}) | {"adl": adl or {}}
    exchange = venue(rules=rules, **({"steps": ALL} | how))
    account = has(exchange, {"USDT": 400})
    others = [has(exchange, {"USDT": usd}) for usd in winners]
    number = exchange.market_number[PERP]
    sizes = [-round(qty / exchange.lot[number]) for qty in winners.values()]
    lots = round(2_000 / exchange.lot[number])
    rest = has(exchange, {"USDT": 1e6})
    parties, parts = [account, *others, rest], [lots, *sizes, -lots - sum(sizes)]
    exchange.ledger.open_positions(
        number, parties, parts, round(4 / exchange.tick[number])
    )
    if parts[-1] == 0:
        exchange.withdraw(rest, "USDT", 1e6)
    exchange.reprice({"ATOM": 3.7})
    assert exchange.account(account).equity == pytest.approx(-200)
    return exchange, account, others


def events(exchange: Exchange, *kinds: str) -> list[Event]:
    """The rarer events of these kinds."""
    return list(exchange.log.single(*kinds))


# -- DELEVERAGING


def test_winner_of_the_best_rank_closes_what_the_fund_cannot_take() -> None:
    """At the bankruptcy price; it forgoes profit, the account has nothing left."""
    exchange, account, (small, large) = ruined({300: 500, 5_000: 1_500})
    assert exchange.liquidate() == 0
    small_event, large_event = events(exchange, "adl")
    breach = only(exchange, "breach")
    assert [small_event.counterparty, large_event.counterparty] == [small, large]
    for event, qty in ((small_event, 500), (large_event, 1_500)):
        assert (event.account, event.cause) == (account, breach.id)
        assert event.side == Side.SELL
        assert event.qty * exchange.lot[3] == pytest.approx(qty)
        assert event.price * exchange.tick[3] == pytest.approx(3.8)
        assert event.value == pytest.approx(0.1 * qty)
    assert exchange.account(account).positions == {}
    assert exchange.account(account).equity == pytest.approx(0, abs=1e-6)
    # 0.2 of 0.3 a coin is kept.
    assert exchange.account(small).equity == pytest.approx(300 + 100)
    assert exchange.account(large).equity == pytest.approx(5_000 + 300)
    assert events(exchange, "takeover", "fund", "claim") == []
    exchange._check()
    exchange.liquidator._check()


def test_fund_that_can_bear_the_loss_takes_the_position_itself() -> None:
    """Just so, and with a dollar less nobody but winners does."""
    for money, kinds in ((200, ["takeover", "fund"]), (199, ["adl"])):
        exchange, _, _ = ruined({5_000: 2_000})
        exchange.deposit(INSURANCE, "USDT", money)
        exchange.liquidate()
        found = [event.kind for event in events(exchange, "takeover", "fund", "adl")]
        assert found == kinds


def test_queue_takes_the_first_whole_and_pro_rata_a_part_of_each() -> None:
    """Of 3,000 coins of winners, 2,000."""
    left = {}
    for word in ("queue", "contracts_pro_rata"):
        exchange, _, others = ruined({300: 1_500, 5_000: 500}, adl={"allocation": word})
        extra = has(exchange, {"USDT": 90_000})
        long(exchange, extra, PERP, -1_000, 4)
        exchange.liquidate()
        shorts = [*others, extra]
        left[word] = [exchange.account(a).positions.get(PERP, 0) for a in shorts]
    assert left["queue"] == [0, 0, -1_000]
    assert left["contracts_pro_rata"] == pytest.approx(
        [-500, -500 / 3, -1_000 / 3], 1e-3
    )


def test_nobody_is_deleveraged_beyond_what_it_has() -> None:
    """A lot costs a tenth of a dollar: 30 dollars pay for 300 coins less rounding."""
    exchange, account, (poor, rich) = ruined({-420: 1_500, 5_000: 500})
    before = exchange.account(poor).equity
    assert before == pytest.approx(30)
    while exchange.liquidate():
        pass
    assert 0 <= exchange.account(poor).equity < 1
    assert exchange.account(rich).positions == {}
    # The rest goes to the fund at mark, and what the account still owes is a claim.
    first = events(exchange, "takeover")[0]
    assert (first.account, first.price * exchange.tick[3]) == (account, 3.7)
    claims = events(exchange, "claim")
    assert {event.account for event in claims} == {account}
    assert sum(event.value for event in claims) == pytest.approx(200 - 80, abs=1)


def test_orders_of_the_deleveraged_are_cancelled_by_the_rules() -> None:
    """In that market only; with the deleveraging as the cause."""
    for cancels in (True, False):
        exchange, _, (winner,) = ruined({5_000: 2_000}, adl={"cancels_orders": cancels})
        here = exchange.submit(limit(winner, PERP, "buy", price=1, qty=10))
        there = exchange.submit(limit(winner, "SUI/USDT", "buy", price=1, qty=10))
        exchange.liquidate()
        left = exchange.books.account_orders(winner)["id"].tolist()
        kept = [there.order_id] if cancels else [here.order_id, there.order_id]
        assert sorted(left) == kept


@pytest.mark.parametrize(
    ("price", "forgone", "kinds"),
    [
        ("bankruptcy", 200, []),
        # OKX: the winner keeps all, the account its debt.
        ("mark", 0, ["claim"]),
        # FTX: 3.8 and 3.766...; the fund pays the difference if it can.
        ("zero_price_mix", 200 * 2 / 3, []),
    ],
)
def test_price_decides_who_bears_the_loss(
    price: str, forgone: float, kinds: list[str]
) -> None:
    """A fund of 100 dollars, which is too little to take the position over."""
    exchange, _, (winner,) = ruined({5_000: 2_000}, adl={"price": price})
    exchange.deposit(INSURANCE, "USDT", 100)
    while exchange.liquidate():
        pass
    assert exchange.account(winner).equity == pytest.approx(5_600 - forgone, abs=1)
    paid = exchange.insurance_fund - 100
    claim = sum(event.value for event in events(exchange, "claim"))
    assert claim == pytest.approx(100 if kinds else 0, abs=1)
    assert forgone - paid + claim == pytest.approx(200, abs=1)
    exchange._check()


def test_fund_between_two_prices_that_cannot_pay_stands_aside() -> None:
    """The winner closes at the zero price as well."""
    exchange, _, (winner,) = ruined({5_000: 2_000}, adl={"price": "zero_price_mix"})
    exchange.liquidate()
    assert only(exchange, "adl").price * exchange.tick[3] == pytest.approx(3.8)
    assert exchange.account(winner).equity == pytest.approx(5_400)
    assert exchange.insurance_fund == 0.0


def test_drawdown_of_the_fund_starts_deleveraging() -> None:
    """Three tenths below the peak of eight hours; after that time it is forgotten."""
    for wait, kinds in ((1, ["adl"]), (9 * 3600, ["takeover", "fund"])):
        exchange, account, _ = ruined(
            {5_000: 2_000}, adl={"trigger": "fund_drawdown", "drawdown": 0.3}
        )
        usdt = exchange.asset_number["USDT"]
        exchange.ledger.transfer(usdt, EXTERNAL, account, 10_000 * ATOM)
        exchange.deposit(INSURANCE, "USDT", 10_000)
        exchange.liquidate()
        exchange.withdraw(INSURANCE, "USDT", 3_000)
        exchange.now += wait * 1_000_000_000
        exchange.ledger.transfer(usdt, account, EXTERNAL, 10_000 * ATOM)
        exchange.liquidate()
        found = [event.kind for event in events(exchange, "takeover", "fund", "adl")]
        assert found == kinds


def test_account_below_zero_is_deleveraged_though_the_fund_is_rich() -> None:
    """Where the rules say so; at mark the fund then pays its debt."""
    exchange, _, (winner,) = ruined(
        {5_000: 2_000}, adl={"trigger": "equity_negative", "price": "mark"}
    )
    exchange.deposit(INSURANCE, "USDT", 10_000)
    while exchange.liquidate():
        pass
    assert only(exchange, "adl").counterparty == winner
    assert only(exchange, "fund").value == pytest.approx(200)
    assert events(exchange, "takeover", "claim") == []


def test_random_allocation_uses_the_stream_it_is_given() -> None:
    """From account number `draw` on; the liquidator's own is the first."""
    given = {"ranking": "dydx", "allocation": "random"}
    for draw, first in ((None, 0), (lambda n: 1, 1)):
        exchange, _, others = ruined({5_000: 1_000, 5_001: 1_000}, adl=given)
        if draw:
            exchange.liquidator.deleveraging.draw = draw
        exchange.liquidate()
        order = [event.counterparty for event in events(exchange, "adl")]
        assert order[0] == others[0]
        left = [exchange.account(a).positions for a in others]
        assert left == [{}, {}]
        extra = exchange.liquidator.deleveraging.draw(2)
        assert extra == first


def test_fund_ruined_by_what_it_took_over_hands_it_to_winners() -> None:
    """It took 2,000 coins at 3.8 with 250 dollars; at 3.6 it has less than nothing."""
    exchange, _, (winner,) = ruined({5_000: 2_000})
    exchange.deposit(INSURANCE, "USDT", 250)
    exchange.liquidate()
    assert exchange.account(INSURANCE).positions == {PERP: 2_000.0}
    exchange.reprice({"ATOM": 3.6})
    exchange.liquidate()
    assert exchange.account(INSURANCE).positions == {}
    event = only(exchange, "adl")
    assert (event.account, event.counterparty) == (INSURANCE, winner)
    kinds = [e.kind for e in exchange.log.chain(event.id)]
    assert kinds[:3] == ["adl", "takeover", "breach"]
    assert exchange.insurance_fund == pytest.approx(0, abs=1)
    assert exchange.insurance_fund >= 0
    exchange._check()


# -- THE SECOND STAGE


def test_below_the_second_stage_the_venue_takes_everything() -> None:
    """Positions and the margin that was left, at once."""
    exchange = venue(steps=ALL, rules={"thresholds": {"takeover": 2 / 3}})
    account = has(exchange, {"USDT": 250})
    long(exchange, account, PERP, 2_000, 4)
    quote(exchange, PERP, "buy", (4.0, 1))
    assert exchange.liquidate() == 0
    assert exchange.account(account).positions == {}
    # Rounded to the tick: no price is worse for the account.
    assert 0 <= exchange.account(account).equity < 2
    assert exchange.insurance_fund == pytest.approx(250, abs=2)
    assert only(exchange, "takeover").price * exchange.tick[3] == pytest.approx(3.875)


def test_second_stage_takes_a_share_a_second_where_the_rules_have_a_gap() -> None:
    """One less health over the stage, by FTX's rule."""
    exchange = venue(
        steps=["takeover"],
        rules={"thresholds": {"takeover": 0.5, "takeover_gap": 0.001}},
    )
    account = has(exchange, {"USDT": 200})
    long(exchange, account, PERP, 2_000, 4)
    exchange.liquidate()
    # Health is 200 over 400; the stage 392 over 400, a thousandth of 8,000 below.
    left = 2_000 * 200 / 392
    assert exchange.account(account).positions == {PERP: pytest.approx(left, abs=0.1)}


# -- THE FUND


def test_pools_of_markets_sum_to_the_fund() -> None:
    """Fees and losses are booked by market, deposits on the common pool."""
    exchange = venue(
        steps=ALL,
        fund="per_symbol",
        slice=0.5,
        fees=NO_FEES | {"liquidation_ppm": 10_000},
    )
    exchange.deposit(INSURANCE, "USDT", 1_000)
    for market, price, qty in ((PERP, 4.0, 2_000), ("SUI/USDT:PERP", 2.0, 4_000)):
        account = has(exchange, {"USDT": 400})
        long(exchange, account, market, qty, price)
        quote(exchange, market, "buy", (price, qty / 4), (price * 0.99, qty / 8))
    for _ in range(6):
        exchange.liquidate()
        exchange.liquidator._check()
    pools = exchange.liquidator.fund.pools
    usdt = exchange.asset_number["USDT"]
    assert pools[usdt, SHARED] == 1_000 * ATOM
    # A cent of each dollar sold by force: of 2,000 at 4 and 1,000 at 3.96.
    assert pools[usdt, 3] == pools[usdt, 4] == 2_990_000_000


def test_pool_of_one_market_does_not_pay_for_another() -> None:
    """Its own and what is common: then winners do."""
    exchange, _, _ = ruined({5_000: 2_000}, fund="per_symbol")
    fund, usdt = exchange.liquidator.fund, exchange.asset_number["USDT"]
    exchange.ledger.transfer(usdt, EXTERNAL, INSURANCE, 500 * ATOM)
    fund.book(4)
    exchange.deposit(INSURANCE, "USDT", 100)
    assert fund.can_bear(usdt, 4) == 600 * ATOM
    assert fund.can_bear(usdt, 3) == 100 * ATOM
    exchange.liquidate()
    assert only(exchange, "adl").qty * exchange.lot[3] == 2_000
    exchange.liquidator._check()


def test_common_pool_covers_one_that_is_empty() -> None:
    """The fund pays 30 of a market with 10: 20 come from what is common."""
    exchange = venue(fund="per_symbol")
    account, usdt = has(exchange, {}), exchange.asset_number["USDT"]
    fund = exchange.liquidator.fund
    exchange.ledger.transfer(usdt, EXTERNAL, INSURANCE, 10 * ATOM)
    fund.book(3)
    exchange.deposit(INSURANCE, "USDT", 100)
    fund.start()
    fund.pay(usdt, account, 30 * ATOM, 3)
    assert fund.pools == {(usdt, 3): 0, (usdt, SHARED): 80 * ATOM}
    fund._check()


def test_fund_counts_what_its_positions_have_lost() -> None:
    """It has 1,000 dollars and a position 200 under water: it can bear 800."""
    exchange, _, _ = ruined({5_000: 2_000})
    exchange.deposit(INSURANCE, "USDT", 1_000)
    exchange.liquidate()
    usdt = exchange.asset_number["USDT"]
    assert exchange.ledger.balance(INSURANCE, usdt) == 1_000 * ATOM
    bears = exchange.liquidator.fund.can_bear(usdt, 4)
    assert bears == pytest.approx(800 * ATOM, abs=ATOM)


def test_fund_does_not_sell_itself_below_zero() -> None:
    """A slice of 500 coins at a loss of 0.2 costs more than the 60 dollars it has."""
    exchange, _, _ = ruined({5_000: 2_000})
    usdt = exchange.asset_number["USDT"]
    exchange.deposit(INSURANCE, "USDT", 200)
    quote(exchange, PERP, "buy", (3.65, 300), (3.64, 5_000))
    for _ in range(8):
        exchange.liquidate()
        assert exchange.ledger.balance(INSURANCE, usdt) >= 0
    exchange._check()


def test_fund_may_go_below_zero_where_the_rules_let_it() -> None:
    """It pays everything, and nobody else does."""
    exchange, _, (winner,) = ruined(
        {5_000: 2_000},
        residual="negative_fund",
        steps=["reduce_positions", "takeover", "insurance_fund"],
    )
    quote(exchange, PERP, "buy", (3.65, 5_000))
    for _ in range(6):
        exchange.liquidate()
    assert exchange.account(INSURANCE).positions == {}
    assert exchange.insurance_fund == pytest.approx(-2_000 * 0.15)
    assert exchange.account(winner).positions == {PERP: -2_000.0}
    assert events(exchange, "adl", "claim") == []


# -- LOSSES OF ALL


def shared(**how: Any) -> Exchange:
    """A venue on which all bear what the fund cannot."""
    return venue(
        steps=["reduce_positions", "takeover", "insurance_fund", "socialise"],
        residual="socialise",
        **how,
    )


def test_debt_is_borne_by_deposits_in_proportion() -> None:
    """1,000 dollars and one atom owed; of 4,000 and 6,000 dollars, to the atom."""
    exchange = shared()
    usdt = exchange.asset_number["USDT"]
    rich = [has(exchange, {"USDT": usd}) for usd in (4_000, 6_000)]
    account = has(exchange, {"USDT": -1_000})
    exchange.ledger.transfer(usdt, account, EXTERNAL, 1)
    assert exchange.liquidate() == 0
    balances = [exchange.ledger.balance(a, usdt) for a in (*rich, account)]
    assert balances == [3_600 * ATOM, 5_400 * ATOM - 1, 0]
    event = only(exchange, "socialised")
    assert (event.account, event.qty) == (account, 2)
    assert event.value == pytest.approx(1_000)
    assert exchange.ledger.balance(CLAIMS, usdt) == 0


def test_debt_of_a_position_is_borne_by_base_unit() -> None:
    """All who have a position in that market, long or short; others keep theirs."""
    exchange = shared()
    account = has(exchange, {"USDT": 400})
    number = exchange.market_number[PERP]
    others = [has(exchange, {"USDT": 50_000}) for _ in range(3)]
    lots = [round(q / exchange.lot[number]) for q in (2_000, -3_000, 1_000, 0)]
    tick = round(4 / exchange.tick[number])
    exchange.ledger.open_positions(number, [account, *others], lots, tick)
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    while exchange.liquidate():
        pass
    usdt = exchange.asset_number["USDT"]
    paid = [50_000 - exchange.ledger.balance(a, usdt) / ATOM for a in others]
    assert sum(paid) == pytest.approx(200)
    assert paid == pytest.approx([150, 50, 0], abs=1e-6)


def test_what_deposits_do_not_cover_is_the_venues_loss() -> None:
    """None pays more than it has."""
    exchange = shared()
    usdt = exchange.asset_number["USDT"]
    others = [has(exchange, {"USDT": usd}) for usd in (30, 20)]
    has(exchange, {"USDT": -1_000})
    exchange.liquidate()
    assert [exchange.ledger.balance(a, usdt) for a in others] == [0, 0]
    assert exchange.ledger.balance(CLAIMS, usdt) == -950 * ATOM
    assert only(exchange, "claim").value == pytest.approx(950)


# -- WHAT IT REMEMBERS


def test_prices_are_kept_only_for_accounts_that_need_them() -> None:
    """One for the last scan, and those at which today's low accounts were well."""
    exchange = venue()
    accounts = [has(exchange, {"ATOM": 1000, "USDT": -usd}) for usd in (1_700, 1_750)]
    for i in range(50):
        exchange.reprice({"ATOM": 4.0 - 0.02 * i})
        exchange.liquidator.scan(exchange.now)
        low = exchange.risk.below(exchange.rules.thresholds.warn)[0]
        assert len(exchange.liquidator.watch.prices) <= len(low) + 1
        exchange.liquidator._check()
    assert exchange.liquidator.watch.low.tolist() == accounts
    exchange.reprice({"ATOM": 8.0})
    exchange.liquidator.scan(exchange.now)
    assert len(exchange.liquidator.watch.prices) == 1


def test_account_that_was_low_all_along_is_blamed_from_its_last_good_day() -> None:
    """Not from the scan before: WBETH cost 110 dollars then, ATOM 80 since."""
    exchange = venue()
    has(exchange, {"ATOM": 1000, "WBETH": 0.1, "USDT": -2_050})
    exchange.liquidator.scan(exchange.now)
    exchange.reprice({"WBETH": 2900.0})
    for i in range(17):
        assert events(exchange, "breach") == []
        exchange.reprice({"ATOM": 4.0 - 0.005 * i})
        exchange.liquidate()
    breach = only(exchange, "breach")
    assert breach.asset == exchange.asset_number["WBETH"]
    assert exchange.log[breach.cause].text == "WBETH 4000 -> 2900"


def test_what_forced_sales_lost_is_not_blamed_on_the_next_breach() -> None:
    """After them 4.7 is too low for an account that was well at 4: it was at 4.9."""
    exchange = venue(collateral_price_cap="market")
    has(exchange, {"ATOM": 1000, "USDT": -1_700})
    quote(exchange, "ATOM/USDT", "buy", (1.2, 500))
    for price, cycles in ((3.4, 2), (4.9, 1), (4.7, 1)):
        exchange.reprice({"ATOM": price})
        for _ in range(cycles):
            exchange.liquidate()
    first, second = events(exchange, "breach")
    assert exchange.log[first.cause].text == "ATOM 4 -> 3.4"
    assert exchange.log[second.cause].text == "ATOM 4.9 -> 4.7"


def test_repricing_that_helped_is_not_to_blame() -> None:
    """The last event of a price may be a rise: the one before took the account down."""
    exchange = venue()
    has(exchange, {"ATOM": 1000, "USDT": -1_700})
    exchange.liquidator.scan(exchange.now)
    for price in (3.3, 3.4):
        rule = IndexRule(policy="fixed", value=price)
        exchange.prices.replace({"ATOM": rule}, exchange.now)
        exchange.update_prices()
    exchange.liquidate()
    breach = only(exchange, "breach")
    assert exchange.log[breach.cause].text == "ATOM 4 -> 3.3"
