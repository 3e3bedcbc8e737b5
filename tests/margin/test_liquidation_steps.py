"""Steps that the account itself pays for: cancelling, converting, partial reduction."""

import numpy as np
import pytest
from venues import MARKETS, NO_FEES, has, long, only, prints, quote, steps, venue

from flashwick.cython_ext.ledger import INSURANCE
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.holdings import Held
from flashwick.orderbook.orders import Flag, Side

TIERS = [[0, 0.01], [2_000, 0.05], [6_000, 0.10]]
"""Margin of 20 dollars up to 2,000, of 220 up to 6,000."""


def tiered(**how: object) -> Exchange:
    """A venue on which ATOM needs more margin the larger the position."""
    brackets = {"default": 0.05, "ATOMUSDT": TIERS, "SUIUSDT": 0.05}
    return venue(rules={"brackets": brackets}, **how)


# -- CANCELLING


def dear_bid() -> tuple[Exchange, int]:
    """A bid that costs more than its account has since prices fell; it owes nothing."""
    exchange = venue()
    account = has(exchange, {"WBETH": 1, "USDT": 100})
    exchange.submit(limit(account, "ATOM/USDT", "buy", price=4, qty=700))
    exchange.liquidate()
    exchange.reprice({"ATOM": 1.0, "WBETH": 1_500.0})
    assert exchange.account(account).health == -np.inf
    return exchange, account


def test_account_whose_orders_alone_cost_too_much_is_not_liquidated() -> None:
    """They are cancelled, by what cost it most, and it keeps what it has."""
    exchange, account = dear_bid()
    exchange.liquidate()
    assert exchange.account(account).health == np.inf
    assert exchange.account(account).balances == {"WBETH": 1, "USDT": 100, "ATOM": 0}
    assert len(exchange.books.account_orders(account)) == 0
    assert not exchange.liquidator.liquidated
    assert not exchange.liquidator.cases
    kinds = [event.kind for event in exchange.log.single()]
    assert "breach" not in kinds
    assert "liquidation" not in kinds
    _, sent, _ = exchange.log.messages()
    cause = exchange.log[int(sent["cause"][-1])]
    assert cause.text == "WBETH 4000 -> 1500"


def test_account_that_owes_is_liquidated_with_all_its_orders() -> None:
    """A breach comes first, of health below the threshold."""
    exchange = venue()
    account = has(exchange, {"ATOM": 1000, "USDT": -1_700})
    exchange.submit(limit(account, "SUI/USDT", "buy", price=1, qty=1))
    exchange.liquidate()
    exchange.reprice({"ATOM": 3.4})
    exchange.liquidate()
    assert only(exchange, "breach").account == account
    assert list(exchange.liquidator.liquidated) == [account]


def test_risky_orders_are_cancelled_and_the_others_stay() -> None:
    """What costs collateral, borrows or opens; not what closes or gains collateral."""
    exchange = venue(steps=["cancel_risky"], target_health=9.0)
    account = has(exchange, {"USDT": 1000, "ATOM": 50, "SUI": 50})
    long(exchange, account, "ATOM/USDT:PERP", 6_000, 4)
    exchange.risk.order_health = -np.inf
    stay = [
        limit(account, "ATOM/USDT", "sell", price=9, qty=10),
        limit(account, "ATOM/USDT:PERP", "sell", price=9, qty=10),
    ]
    go = [
        limit(account, "SUI/USDT", "buy", price=1, qty=10),  # half counts
        limit(account, "WBETH/USDT", "sell", price=9_000, qty=1),  # it has none
        limit(account, "ATOM/USDT:PERP", "buy", price=1, qty=10),
        limit(account, "SUI/USDT:PERP", "sell", price=9, qty=10),
    ]
    placed = [exchange.submit(order) for order in (*stay, *go)]
    exchange.liquidate()
    resting = exchange.books.account_orders(account)["id"].tolist()
    assert sorted(resting) == sorted(order.order_id for order in placed[: len(stay)])
    assert steps(exchange)[0] == "cancel_risky"


def test_cancelling_risky_orders_may_do() -> None:
    """The rest is left in its book if health is back."""
    exchange = venue(steps=["cancel_risky", "cancel_orders", "sell_collateral"])
    account = has(exchange, {"USDT": 1000, "ATOM": 1})
    long(exchange, account, "ATOM/USDT:PERP", 4_000, 4)
    exchange.risk.order_health = -np.inf
    exchange.submit(limit(account, "SUI/USDT", "buy", price=2, qty=400))
    kept = exchange.submit(limit(account, "ATOM/USDT", "sell", price=9, qty=1))
    assert exchange.liquidate() == 0
    assert steps(exchange) == ["cancel_risky", "restored to health 1.25"]
    assert exchange.books.account_orders(account)["id"].tolist() == [kept.order_id]


# -- CONVERTING


def in_debt(**how: object) -> tuple[Exchange, int]:
    """An account with three coins worth 7,000 that owes 4,800; the fund has money."""
    exchange = venue(
        steps=["convert"],
        target_health=99.0,
        rules={"conversion": {"default": 0.0, "ATOM": 0.2}},
        **how,
    )
    exchange.deposit(INSURANCE, "USDT", 10_000)
    held = {"ATOM": 250, "SUI": 1_000, "WBETH": 1, "USDT": -4_800}
    return exchange, has(exchange, held)


def convert(exchange: Exchange, account: int) -> None:
    """Take the step of one account, and nothing that comes before or after."""
    engine = exchange.liquidator
    engine.scan(exchange.now)
    with engine.forced.cycle():
        engine.fund.start()
        engine.steps.convert(engine.cases.at(account), exchange.now)


@pytest.mark.parametrize(
    ("order", "left"),
    [
        # Worth 800 after the haircut, 2,000 and 4,000: 4,800 of 6,800 of each.
        ("pro_rata", {"ATOM": 250 * 5 / 17, "SUI": 1_000 * 5 / 17, "WBETH": 5 / 17}),
        ("largest", {"ATOM": 250, "SUI": 600, "WBETH": 0}),
        # WBETH counts 0.9 and goes first; ATOM and SUI count alike, by number.
        ("best_collateral", {"ATOM": 0, "SUI": 1_000, "WBETH": 0}),
    ],
)
def test_debts_are_converted_in_the_order_of_the_rules(
    order: str, left: dict[str, float]
) -> None:
    """At index less the haircut; what the fund takes it gets, to the atom."""
    exchange, account = in_debt(repay_order=order)
    before = {"ATOM": 250, "SUI": 1_000, "WBETH": 1}
    convert(exchange, account)
    balances = exchange.account(account).balances
    assert balances["USDT"] == 0.0
    assert {a: balances[a] for a in left} == pytest.approx(left, abs=1e-6)
    fund = exchange.account(INSURANCE).balances
    for asset, had in before.items():
        assert fund.get(asset, 0.0) == pytest.approx(had - left[asset], abs=1e-6)
    assert fund["USDT"] == 10_000 - 4_800
    exchange._check()
    exchange.liquidator._check()


def test_conversion_goes_as_far_as_the_fund_has_money() -> None:
    """What it has not is left to the book."""
    exchange, account = in_debt()
    exchange.withdraw(INSURANCE, "USDT", 9_000)
    convert(exchange, account)
    assert exchange.account(account).balances["USDT"] == pytest.approx(-3_800)
    assert exchange.account(INSURANCE).balances["USDT"] == 0.0


def test_fund_sells_the_coins_it_got() -> None:
    """A quarter a cycle, no further than 2 % through the index, whoever it is from."""
    exchange, _ = in_debt(repay_order="largest")
    quote(exchange, "WBETH/USDT", "buy", (3_950, 0.6), (3_900, 10))
    held = []
    for _ in range(6):
        exchange.liquidate()
        held.append(round(exchange.account(INSURANCE).balances["WBETH"], 6))
    # The second price is 2.5 % through.
    assert held == [0.75, 0.5, 0.4, 0.4, 0.4, 0.4]
    ids, fills = exchange.log.fills()
    assert set(fills["taker"].tolist()) == {INSURANCE}
    kinds = [event.kind for event in exchange.log.chain(int(ids[0]))]
    assert kinds == ["trade", "order", "liquidation", "breach"]
    exchange.liquidator._check()


def test_coins_are_sold_in_the_order_of_the_rules_and_no_more_than_needed() -> None:
    """The largest first; what counts nothing is not sold as best collateral."""
    for order, sold in (
        ("largest", ["WBETH/USDT"]),
        ("best_collateral", ["WBETH/USDT"]),
        ("pro_rata", ["ATOM/USDT", "SUI/USDT", "WBETH/USDT"]),
    ):
        exchange = venue(
            steps=["sell_collateral"],
            repay_order=order,
            slice=1.0,
            rules={"collateral": {"ATOM": 0.5, "SUI": 0.0, "WBETH": 0.9}},
        )
        has(exchange, {"ATOM": 100, "SUI": 100, "WBETH": 1, "USDT": -3_600})
        for market, price in zip(MARKETS, (4, 2, 4000), strict=False):
            quote(exchange, market, "buy", (price, 1_000))
        exchange.liquidate()
        named = [line.split()[0] for line in steps(exchange) if "sell" in line]
        assert named == sold, order


# -- REDUCING


def hedged(**how: object) -> tuple[Exchange, int]:
    """An account in hedge mode, 2,000 long and 800 short of one perpetual."""
    exchange = venue(**how)
    account = has(exchange, {"USDT": 400})
    exchange.ledger.set_hedge(account, True)
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4.05)
    long(exchange, account, "ATOM/USDT:PERP", -800, 3.95)
    return exchange, account


def test_legs_of_a_market_are_netted_at_mark() -> None:
    """What both have of it is gone, at no cost to the account or the fund."""
    exchange, account = hedged(steps=["net_hedges"], target_health=99.0)
    before = exchange.risk.account(account)["equity"]
    exchange.liquidate()
    legs = [(h.lots * exchange.lot[3], h.leg) for h in positions(exchange, account)]
    assert legs == [(1_200, 1)]
    assert exchange.risk.account(account)["equity"] == pytest.approx(before)
    assert positions(exchange, INSURANCE) == []
    assert exchange.insurance_fund == 0.0
    assert steps(exchange)[0] == "ATOM/USDT:PERP net_hedges"
    exchange._check()
    exchange.liquidator._check()


def test_legs_are_closed_each_by_itself() -> None:
    """By orders that only reduce, in one cycle: another would open a leg."""
    exchange, account = hedged(steps=["reduce_positions"], target_health=99.0)
    exchange.liquidate()
    _, sent, _ = exchange.log.messages()
    orders = sent[sent["account"] == account]
    found = [(Side(row["side"]).name, int(row["qty"])) for row in orders]
    assert found == [("SELL", 5_000), ("BUY", 2_000)]
    assert set(orders["flags"].tolist()) == {Flag.REDUCE_ONLY | Flag.LIQUIDATION}


def test_both_legs_are_taken_over() -> None:
    """The long and the short; what the fund keeps of them is their sum."""
    exchange, account = hedged(steps=["takeover", "insurance_fund"])
    exchange.deposit(INSURANCE, "USDT", 10_000)
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    assert positions(exchange, account) == []
    (kept,) = positions(exchange, INSURANCE)
    assert kept.lots * exchange.lot[3] == 1_200
    exchange._check()


def positions(exchange: Exchange, account: int) -> list[Held]:
    """Positions as the engine sees them, leg by leg."""
    return list(exchange.liquidator.forced.positions(account))


def test_partial_reduction_closes_what_the_target_needs() -> None:
    """And not a slice: health is at the target after one order."""
    exchange = venue(steps=["reduce_positions"], partial=True, slice=1.0)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    assert exchange.liquidate() == 0
    # 400 over 1.2 is a margin of 333.33, of 1,666.67 coins.
    assert exchange.account(account).positions == {
        "ATOM/USDT:PERP": pytest.approx(5_000 / 3, abs=0.1)
    }
    assert exchange.account(account).health == pytest.approx(1.2, abs=1e-3)


def test_partial_reduction_pays_for_its_own_fees() -> None:
    """They are in the cost: the target is reached with them."""
    exchange = venue(
        steps=["reduce_positions"],
        partial=True,
        fees=NO_FEES | {"perpetual_taker_ppm": 500, "liquidation_ppm": 12_500},
    )
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    exchange.liquidate()
    assert exchange.account(account).health == pytest.approx(1.2, abs=1e-3)
    assert exchange.account(account).health >= 1.2


@pytest.mark.parametrize(
    ("how", "closed"),
    [
        # 8,000 dollars need 420 and have 400: 504 - 400 over 0.12, to the target.
        ({"partial": True}, [104 / 0.12 / 4]),
        # To the floor of 6,000 dollars, which is enough: 220.
        ({"step_down": True}, [500.0]),
    ],
)
def test_position_goes_down_its_brackets(
    how: dict[str, bool], closed: list[float]
) -> None:
    """As far as is needed, or bracket by bracket."""
    exchange = tiered(steps=["reduce_positions"], **how)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    exchange.liquidate()
    sizes = [qty for _, qty in prints(exchange, "ATOM/USDT:PERP")]
    assert sizes == pytest.approx(closed, abs=0.1)


def test_reduction_stops_at_a_bracket_and_computes_anew() -> None:
    """150 dollars against 420: to 6,000, then on at 5 % instead of 10 %."""
    exchange = tiered(steps=["reduce_positions"], partial=True)
    account = has(exchange, {"USDT": 150})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    exchange.liquidate()
    sizes = [qty for _, qty in prints(exchange, "ATOM/USDT:PERP")]
    # Of 220, 125 may stay: 95 over 5 % of 4 dollars.
    assert sizes == pytest.approx([500.0, 475.0], abs=0.01)
    assert exchange.account(account).health == pytest.approx(1.2, abs=1e-3)


def test_position_with_most_margin_is_reduced_first() -> None:
    """The other is not touched if that is enough."""
    exchange = venue(steps=["reduce_positions"], partial=True)
    account = has(exchange, {"USDT": 580})
    long(exchange, account, "ATOM/USDT:PERP", 1_000, 4)
    long(exchange, account, "SUI/USDT:PERP", -4_000, 2)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    quote(exchange, "SUI/USDT:PERP", "sell", (2.0, 10_000))
    exchange.liquidate()
    assert steps(exchange)[0] == "SUI/USDT:PERP reduce_positions"
    assert exchange.account(account).positions["ATOM/USDT:PERP"] == 1_000


# -- THE SCHEDULE


def test_order_takes_no_more_than_its_share_of_the_book() -> None:
    """A tenth of what is displayed within 1 % of the best price."""
    exchange = venue(steps=["reduce_positions"], book_share=0.1, slice=1.0)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 500), (3.97, 500), (3.9, 9_000))
    for _ in range(3):
        exchange.liquidate()
    sizes = [qty for _, qty in prints(exchange, "ATOM/USDT:PERP")]
    assert sizes == pytest.approx([100, 90, 81])


def test_empty_book_takes_no_share() -> None:
    """And no order is sent to it."""
    exchange = venue(steps=["reduce_positions"], book_share=0.5)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    exchange.liquidate()
    assert steps(exchange) == []
    assert exchange.account(account).positions == {"ATOM/USDT:PERP": 2_000}


def test_account_is_left_alone_after_the_first_part_of_a_large_position() -> None:
    """A fifth, then thirty seconds of nothing, then the next part."""
    exchange = venue(
        steps=["reduce_positions"],
        slice=[[0, 1], [5_000, 0.2]],
        target_health=99.0,
        cooldown_s=30.0,
        cooldown_above_usd=5_000,
    )
    account = has(exchange, {"USDT": 350})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    left = []
    for _ in range(62):
        exchange.liquidate()
        exchange.now += 1_000_000_000
        left.append(exchange.account(account).positions.get("ATOM/USDT:PERP", 0.0))
    changes = [i for i in range(1, 62) if left[i] != left[i - 1]]
    # 1,600 coins are still large; of 1,200, worth less than the limit, all go.
    assert [left[0], left[30], left[60]] == [1_600, 1_200, 0]
    assert changes == [30, 60]


def test_liquidation_fee_goes_to_the_fund() -> None:
    """1.25 % of what was closed by force, from the account."""
    exchange = venue(
        steps=["reduce_positions"],
        slice=1.0,
        fees=NO_FEES | {"liquidation_ppm": 12_500},
    )
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    exchange.liquidate()
    assert exchange.account(account).balances["USDT"] == pytest.approx(300)
    assert exchange.insurance_fund == pytest.approx(100)
    assert only(exchange, "breach").account == account
