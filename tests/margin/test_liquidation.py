"""The liquidation engine on small exchanges: each step by itself, and their order."""

import numpy as np
import pytest
from venues import (
    ATOM,
    has,
    long,
    only,
    prints,
    quote,
    steps,
    venue,
)

from flashwick.cython_ext.ledger import CLAIMS, EXTERNAL, INSURANCE
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Side

# -- CANCEL


def test_cancelling_alone_may_restore_the_account() -> None:
    """Its open order was what it lost collateral by; nothing is sold or closed."""
    exchange = venue()
    account = has(exchange, {"USDT": 1000})
    long(exchange, account, "ATOM/USDT:PERP", 4_000, 4)  # margin 800
    exchange.risk.order_health = 0.0
    exchange.submit(limit(account, "SUI/USDT", "buy", price=2, qty=400))
    # 800 dollars for coins that count half: 600 of adjusted equity against 800.
    assert exchange.account(account).health == pytest.approx(0.75)
    assert exchange.liquidate() == 0
    assert exchange.account(account).health == pytest.approx(1.25)
    assert len(exchange.books.account_orders(account)) == 0
    assert steps(exchange) == ["cancel_orders", "restored to health 1.25"]
    assert exchange.books.trades == 0
    assert only(exchange, "breach").account == account
    exchange._check()


def test_account_restored_above_the_threshold_only_is_left_alone() -> None:
    """Aborting needs more than 1.05; the target of 1.2 is for what was begun."""
    exchange = venue()
    account = has(exchange, {"USDT": 880, "SUI": 10})
    long(exchange, account, "ATOM/USDT:PERP", 4_000, 4)
    exchange.risk.order_health = 0.0
    exchange.submit(limit(account, "SUI/USDT", "buy", price=2, qty=200))
    exchange.liquidate()
    assert steps(exchange) == ["cancel_orders", "restored to health 1.11"]
    assert exchange.liquidate() == 0


# -- REPAY, SELL, REDUCE


def test_debt_is_bought_back_a_slice_a_cycle() -> None:
    """A quarter of the hundred owed each time, until the target is reached."""
    exchange = venue(steps=["repay"], target_health=100.0)
    account = has(exchange, {"USDT": 430, "ATOM": -100})
    quote(exchange, "ATOM/USDT", "sell", (4.0, 1_000))
    debts = []
    for _ in range(4):
        left = exchange.liquidate()
        debts.append(round(exchange.account(account).balances["ATOM"], 6))
    assert debts == [-75, -50, -25, 0]
    assert left == 0
    assert steps(exchange)[:4] == ["ATOM/USDT repay"] * 4
    assert exchange.account(account).balances["USDT"] == pytest.approx(30)


def test_debt_of_less_than_a_lot_is_repaid_with_a_whole_one() -> None:
    """Half a lot owed: one is bought, half stays."""
    exchange = venue(steps=["repay"], target_health=9.0)
    account = has(exchange, {"USDT": 0.0005, "ATOM": -0.005})
    exchange.reprice({"ATOM": 0.0001})
    quote(exchange, "ATOM/USDT", "sell", (0.001, 10))
    exchange.liquidate()
    assert exchange.account(account).balances["ATOM"] == pytest.approx(0.005)


def coins_on_loan(exchange: Exchange) -> int:
    """Coins of three kinds for 12,000 dollars, owing 5,400; wBETH has just fallen."""
    account = has(exchange, {"ATOM": 1000, "SUI": 2000, "WBETH": 1, "USDT": -5_400})
    exchange.liquidator.scan(exchange.now)
    for market, price in (("ATOM/USDT", 4), ("SUI/USDT", 2), ("WBETH/USDT", 2000)):
        levels = [(price * (1 - 0.01 * i), 2_000) for i in range(5)]
        quote(exchange, market, "buy", *[(round(p, 3), q) for p, q in levels])
    exchange.reprice({"WBETH": 2000.0})
    return account


def test_good_inventory_is_sold_with_the_bad_in_the_same_cycle() -> None:
    """Only WBETH fell; a quarter of each coin goes, all at one moment."""
    exchange = venue(steps=["cancel_orders", "sell_collateral"], target_health=9.0)
    account = coins_on_loan(exchange)
    breach_health = exchange.account(account).health
    assert breach_health <= 1.05
    exchange.liquidate()
    assert steps(exchange) == [
        "cancel_orders",
        "ATOM/USDT sell_collateral",
        "SUI/USDT sell_collateral",
        "WBETH/USDT sell_collateral",
    ]
    assert exchange.account(account).balances == pytest.approx(
        {"ATOM": 750, "SUI": 1500, "WBETH": 0.75, "USDT": -5400 + 1000 + 1000 + 500}
    )
    breach = only(exchange, "breach")
    assert breach.value == pytest.approx(breach_health)
    assert breach.asset == exchange.asset_number["WBETH"]
    # The orders carry the step, the step the breach, the breach the repricing.
    ids, _ = exchange.log.fills()
    kinds = [event.kind for event in exchange.log.chain(int(ids[-1]))]
    assert kinds == ["trade", "order", "liquidation", "breach", "index", "rule"]


def test_selling_stops_at_the_target() -> None:
    """One percent a cycle: the first one that reaches it is the last one."""
    exchange = venue(slice=0.01)
    account = coins_on_loan(exchange)
    healths = []
    while exchange.liquidate():
        healths.append(exchange.account(account).health)
    assert len(healths) >= 2
    assert healths == sorted(healths)
    assert healths[-1] < 1.2 <= exchange.account(account).health < 1.5
    assert exchange.account(account).balances["ATOM"] == 1000 - 10 * (len(healths) + 1)


def test_every_position_is_reduced_by_its_slice() -> None:
    """A long is sold, a short bought back."""
    exchange = venue(steps=["reduce_positions"], target_health=9.0)
    account = has(exchange, {"USDT": 600})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    long(exchange, account, "SUI/USDT:PERP", -4_000, 2)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 10_000))
    quote(exchange, "SUI/USDT:PERP", "sell", (2.0, 10_000))
    exchange.liquidate()
    assert exchange.account(account).positions == pytest.approx(
        {"ATOM/USDT:PERP": 1500, "SUI/USDT:PERP": -3000}
    )
    for _ in range(3):
        exchange.liquidate()
    assert exchange.account(account).positions == {}
    assert exchange.account(account).balances["USDT"] == pytest.approx(600)


# -- THE PRICE


@pytest.mark.parametrize("side", ["long", "short"])
def test_forced_order_does_not_trade_beyond_the_bankruptcy_price(side: str) -> None:
    """Equity of 400 over 2,000 coins: 0.2 from the mark; the rest is cancelled."""
    sign, taker = (1, "buy") if side == "long" else (-1, "sell")
    levels = [(round(4 - sign * d, 3), 100.0) for d in (0.1, 0.2, 0.201, 0.3)]
    found = {}
    for cap in ("bankruptcy", "market"):
        exchange = venue(steps=["reduce_positions"], slice=1.0, price_cap=cap)
        account = has(exchange, {"USDT": 400})
        long(exchange, account, "ATOM/USDT:PERP", sign * 2_000, 4)
        quote(exchange, "ATOM/USDT:PERP", taker, *levels)
        exchange.liquidate()
        found[cap] = prints(exchange, "ATOM/USDT:PERP")
        exchange._check()
    assert found["bankruptcy"] == levels[:2]
    assert found["market"] == levels


@pytest.mark.parametrize(
    ("position", "coin", "reached"),
    [
        ("bankruptcy", "same", (False, False)),
        ("bankruptcy", "market", (False, True)),
        ("market", "bankruptcy", (True, False)),
        ("market", "same", (True, True)),
    ],
)
def test_coins_have_a_price_cap_of_their_own(
    position: str, coin: str, reached: tuple[bool, bool]
) -> None:
    """Far bids of a perpetual and of a coin: each is met where its own cap lets it."""
    exchange = venue(
        steps=["sell_collateral", "reduce_positions"],
        slice=1.0,
        price_cap=position,
        collateral_price_cap=coin,
    )
    account = has(exchange, {"USDT": -1_500, "ATOM": 500})
    long(exchange, account, "SUI/USDT:PERP", 1_000, 2)
    for market, price in (("SUI/USDT:PERP", 1.0), ("ATOM/USDT", 1.0)):
        quote(exchange, market, "buy", (price, 10_000))
    exchange.liquidate()
    markets = ("SUI/USDT:PERP", "ATOM/USDT")
    assert tuple(prints(exchange, market) != [] for market in markets) == reached


def test_slice_goes_by_what_a_holding_is_worth() -> None:
    """Whole up to 4,000 dollars, half above, a quarter above 10,000."""
    exchange = venue(
        steps=["reduce_positions"],
        slice=[[0, 1], [4_000, 0.5], [10_000, 0.25]],
        target_health=99.0,
        price_cap="market",
    )
    account = has(exchange, {"USDT": 700})
    sizes = {"ATOM/USDT:PERP": 3_000, "SUI/USDT:PERP": 2_000}
    for market, size in sizes.items():
        price = 4 if market.startswith("ATOM") else 2
        long(exchange, account, market, size, price)
        quote(exchange, market, "buy", (price, 10_000))
    left = []
    for _ in range(4):
        exchange.liquidate()
        exchange.now += 1_000_000_000
        positions = exchange.account(account).positions
        left.append([positions.get(market, 0) for market in sizes])
    # Of 12,000 dollars a quarter, of 9,000 half, then no less than the first time.
    assert left == [[2_250, 0], [1_125, 0], [375, 0], [0, 0]]


def test_positions_share_equity_by_their_margins() -> None:
    """Two of them, of which one needs twice the margin: closing both leaves nothing."""
    exchange = venue(
        rules={"brackets": {"default": 0.05, "ATOMUSDT": 0.05, "SUIUSDT": 0.1}}
    )
    account = has(exchange, {"USDT": -500, "ATOM": 500})
    long(exchange, account, "ATOM/USDT:PERP", 1_000, 4.2)
    long(exchange, account, "SUI/USDT:PERP", -3_000, 1.9)
    equity = exchange.account(account).equity
    forced = exchange.liquidator.forced
    held = {h.market: h.lots for h in forced.positions(account)}
    ticks = {m: forced.bankruptcy_ticks(account, m, n) for m, n in held.items()}
    mark = {3: 4.0, 4: 2.0}
    gain = {
        m: n * exchange.lot[m] * (ticks[m] * exchange.tick[m] - mark[m])
        for m, n in held.items()
    }
    assert gain == pytest.approx({3: -equity / 4, 4: -equity * 3 / 4}, abs=1.0)
    # Rounded so that no price is worse for the account.
    assert sum(gain.values()) >= -equity


def test_position_answers_for_no_more_than_positions_lost() -> None:
    """A hedge is closed at mark, or at what it lost itself, however much coins lost."""
    for entry, price in ((2.0, 2.0), (2.1, 2.0), (1.99, 1.99)):
        exchange = venue()
        account = has(exchange, {"WBETH": 1, "SUI": 1_000, "USDT": -5_000})
        long(exchange, account, "SUI/USDT:PERP", -1_000, entry)
        exchange.reprice({"WBETH": 100.0})
        assert exchange.account(account).equity < -2_500
        forced, lots = exchange.liquidator.forced, round(1_000 / exchange.lot[4])
        ticks = forced.bankruptcy_ticks(account, 4, -lots)
        assert ticks * exchange.tick[4] == pytest.approx(price, abs=2e-3)


def test_coins_share_equity_by_what_they_are_worth() -> None:
    """Selling all three at their bankruptcy prices leaves nothing."""
    exchange = venue()
    account = coins_on_loan(exchange)
    equity = exchange.account(account).equity
    forced, lost = exchange.liquidator.forced, 0.0
    for _, atoms, market in forced.coins(account):
        if market is None:
            continue
        lots = atoms // exchange.specs[market].base_unit
        ticks = forced.bankruptcy_ticks(account, market, lots)
        price = forced.price(market) - ticks * exchange.tick[market]
        assert price / forced.price(market) == pytest.approx(equity / 10_000, abs=1e-3)
        lost += lots * exchange.lot[market] * price
    assert lost == pytest.approx(equity, abs=5.0)
    assert lost <= equity


# -- TAKEOVER, FUND, CLAIM


def test_position_is_taken_over_at_the_bankruptcy_price() -> None:
    """No bids, no equity: the fund has the position, the account nothing."""
    exchange = venue()
    exchange.deposit(INSURANCE, "USDT", 1000)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    exchange.reprice({"ATOM": 3.7})
    assert exchange.account(account).equity == pytest.approx(-200)
    assert exchange.liquidate() == 0
    event = only(exchange, "takeover")
    assert event.price * exchange.tick[3] == pytest.approx(3.8)
    assert (event.qty, event.side) == (round(2000 / exchange.lot[3]), Side.SELL)
    assert event.value == pytest.approx(2000 * 3.7)
    assert exchange.account(account).equity == pytest.approx(0.0, abs=1e-6)
    assert exchange.account(account).positions == {}
    assert exchange.account(INSURANCE).positions == {"ATOM/USDT:PERP": 2000.0}
    assert exchange.insurance_fund == pytest.approx(1000 - 200)
    exchange._check()


def test_fund_works_off_what_it_took_over() -> None:
    """A slice a cycle, no further than 2 % through the mark."""
    exchange = venue()
    exchange.deposit(INSURANCE, "USDT", 1000)
    account = has(exchange, {"USDT": 400})
    long(exchange, account, "ATOM/USDT:PERP", 2_000, 4)
    exchange.reprice({"ATOM": 3.7})
    quote(exchange, "ATOM/USDT:PERP", "buy", (3.65, 900), (3.5, 5_000))
    held = []
    for _ in range(4):
        exchange.liquidate()
        held.append(exchange.account(INSURANCE).positions["ATOM/USDT:PERP"])
    assert held == [1500, 1100, 1100, 1100]
    assert {price for price, _ in prints(exchange, "ATOM/USDT:PERP")} == {3.65}
    assert not exchange.liquidator.cases


def test_coins_nobody_buys_are_taken_over_at_index() -> None:
    """After all the cycles there are; what they do not cover is a claim."""
    exchange = venue()
    exchange.deposit(INSURANCE, "USDT", 10_000)
    account = has(exchange, {"ATOM": 100, "USDT": -500})
    cycles = 1
    while exchange.liquidate():
        cycles += 1
    assert cycles == exchange.liquidator.cycles_max + 1
    assert exchange.account(account).equity == 0.0
    assert exchange.account(INSURANCE).balances["ATOM"] == 100.0
    assert only(exchange, "takeover").value == pytest.approx(400)
    assert only(exchange, "fund").value == pytest.approx(100)
    exchange._check()


@pytest.mark.parametrize("fund", [0, 300, 1_000, 5_000])
def test_fund_pays_what_it_has_and_the_rest_is_a_claim(fund: int) -> None:
    """To the atom, of an account that has nothing left."""
    exchange = venue()
    exchange.deposit(INSURANCE, "USDT", fund)
    owed = 1_000 * ATOM + 1
    account = exchange.open_account()
    usdt = exchange.asset_number["USDT"]
    exchange.ledger.transfer(usdt, account, EXTERNAL, owed)
    assert exchange.liquidate() == 0
    paid = min(owed, fund * ATOM)
    balance = exchange.ledger.balance
    assert balance(account, usdt) == 0
    assert balance(INSURANCE, usdt) == fund * ATOM - paid
    assert balance(CLAIMS, usdt) == paid - owed
    kinds = [event.kind for event in exchange.log.single("fund", "claim")]
    assert kinds == ["fund"] * (paid > 0) + ["claim"] * (paid < owed)
    values = [event.value for event in exchange.log.single("fund", "claim")]
    assert sum(values) == pytest.approx(owed / ATOM)
    breach = only(exchange, "breach")
    assert {e.cause for e in exchange.log.single("fund", "claim")} == {breach.id}


# -- STEPS ARE RULES

STEPS = Rules.preset("binance-pm").liquidation.steps


def test_steps_come_in_the_order_of_the_rules() -> None:
    """Positions before coins, and no cancelling: the order stays in its book."""
    exchange = venue(steps=["reduce_positions", "sell_collateral"], target_health=9.0)
    account = coins_on_loan(exchange)
    long(exchange, account, "ATOM/USDT:PERP", 100, 4)
    quote(exchange, "ATOM/USDT:PERP", "buy", (4.0, 1_000))
    exchange.risk.order_health = -np.inf
    exchange.submit(limit(account, "SUI/USDT", "sell", price=9, qty=10))
    exchange.liquidate()
    assert [line.split()[-1] for line in steps(exchange)] == [
        "reduce_positions",
        *["sell_collateral"] * 3,
    ]
    assert len(exchange.books.account_orders(account)) == 1


def test_without_a_claim_a_debt_stays_a_case() -> None:
    """Nobody writes it off; money that comes in later ends it."""
    exchange = venue(steps=["cancel_orders", "sell_collateral", "insurance_fund"])
    account = has(exchange, {"USDT": -10})
    assert [exchange.liquidate() for _ in range(40)] == [1] * 40
    assert list(exchange.log.single("claim")) == []
    exchange.deposit(account, "USDT", 10)
    assert exchange.liquidate() == 0


@pytest.mark.parametrize("left_out", STEPS)
def test_step_that_the_rules_leave_out_is_not_taken(left_out: str) -> None:
    """Whatever else happens to the account."""
    exchange = venue(steps=[step for step in STEPS if step != left_out])
    exchange.deposit(INSURANCE, "USDT", 5)
    account = has(exchange, {"ATOM": -10, "SUI": 30, "USDT": 20})
    long(exchange, account, "ATOM/USDT:PERP", 100, 4)
    exchange.risk.order_health = -np.inf
    exchange.submit(limit(account, "SUI/USDT", "sell", price=9, qty=10))
    exchange.reprice({"ATOM": 3.0})
    for _ in range(exchange.liquidator.cycles_max + 2):
        exchange.liquidate()
    taken = {line.split()[-1] for line in steps(exchange)}
    kinds = {event.kind for event in exchange.log.single()}
    # Coins go in the end whatever the steps are; positions by this one only.
    positions = [e for e in exchange.log.single("takeover") if e.market >= 0]
    taken |= {"takeover"} if positions else set()
    taken |= {"insurance_fund"} if "fund" in kinds else set()
    taken |= {"claim"} & kinds
    assert left_out not in taken
    assert len(taken & set(STEPS)) >= 4
    exchange._check()
