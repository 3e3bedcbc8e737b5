"""Many accounts in one cycle: step by step, in one batch, and who is warned before."""

from typing import Any

import numpy as np
import pytest
from venues import MARKETS, NO_FEES, has, long, quote, steps, venue

from flashwick.cython_ext.ledger import INSURANCE, SYSTEM_ACCOUNTS
from flashwick.engine.exchange import Exchange
from flashwick.margin.candidates import Given
from flashwick.margin.deleveraging import _matched

PERP = MARKETS[3]
RATIONED: dict[str, Any] = {"rate_limit": 1_000_000}
"""So many orders that nobody waits, and yet accounts go one after another."""


def in_trouble(exchange: Exchange, n: int) -> list[int]:
    """Accounts with a coin, a debt and a position, the last of them worst off."""
    accounts = []
    for i in range(n):
        account = has(exchange, {"USDT": -1_500 - i, "ATOM": 500})
        long(exchange, account, "SUI/USDT:PERP", 1_000, 2)
        accounts.append(account)
    return accounts


@pytest.mark.parametrize("how", [{}, RATIONED])
def test_all_accounts_take_a_step_before_the_next(how: dict[str, Any]) -> None:
    """Worst first in each; where orders are rationed one has all its steps first."""
    exchange = venue(slice=1.0, price_cap="market", target_health=99.0, **how)
    first, worst = in_trouble(exchange, 2)
    quote(exchange, "SUI/USDT:PERP", "buy", (2.0, 10_000))
    quote(exchange, "ATOM/USDT", "buy", (4.0, 10_000))
    exchange.liquidate()
    found = [(e.account, e.text) for e in exchange.log.single("liquidation")]
    taken = ["cancel_orders", "sell_collateral", "reduce_positions"]
    if how:
        expected = [(a, step) for a in (worst, first) for step in taken]
    else:
        expected = [(a, step) for step in taken for a in (worst, first)]
    assert [row for row in found if row[1] in taken] == expected


def test_orders_of_a_step_are_one_batch() -> None:
    """However many accounts, each with its own cause."""
    exchange = venue(steps=["reduce_positions"], slice=1.0, price_cap="market")
    accounts = in_trouble(exchange, 20)
    quote(exchange, "SUI/USDT:PERP", "buy", (2.0, 100_000))
    before = len(exchange.log.batch_sizes())
    exchange.liquidate()
    assert exchange.log.batch_sizes()[before:] == [20]
    ids, fills = exchange.log.fills()
    assert sorted(fills["taker"].tolist()) == accounts
    for event, taker in zip(ids.tolist(), fills["taker"].tolist(), strict=True):
        kinds = [(e.kind, e.account) for e in exchange.log.chain(event)]
        assert ("breach", taker) in kinds
        assert kinds[2] == ("liquidation", taker)


@pytest.mark.parametrize("repay_order", ["pro_rata", "largest"])
@pytest.mark.parametrize("more", [{"slice": 0.3}, {"partial": True}])
def test_accounts_that_do_not_meet_come_out_as_one_by_one(
    repay_order: str, more: dict[str, Any]
) -> None:
    """To the atom, in books deep enough that nobody's order moves a price."""
    found = []
    for rationed in ({}, RATIONED):
        exchange = venue(
            price_cap="market",
            repay_order=repay_order,
            fees=NO_FEES | {"liquidation_ppm": 5_000},
            **more,
            **rationed,
        )
        accounts = in_trouble(exchange, 12)
        for market, price in (("SUI/USDT:PERP", 2.0), ("ATOM/USDT", 4.0)):
            quote(exchange, market, "buy", (price, 100_000))
        cycles = 0
        while exchange.liquidate():
            exchange.now += 1_000_000_000
            cycles += 1
        exchange._check()
        exchange.liquidator._check()
        rows = [exchange.ledger.balances_of(a).tolist() for a in accounts]
        rows += [exchange.ledger.positions_of(a).tolist() for a in accounts]
        found.append((cycles, rows, exchange.ledger.balances_of(INSURANCE).tolist()))
    assert found[0] == found[1]
    assert found[0][0] > 0


# -- LOSSES


def test_winners_give_in_proportion_to_all_losers_of_a_cycle() -> None:
    """Of 3,000 coins a sixth, a third and a half; one event for each pair."""
    exchange = venue(rules={"adl": {"allocation": "contracts_pro_rata"}})
    number = exchange.market_number[PERP]
    losers = [has(exchange, {"USDT": 200}), has(exchange, {"USDT": 400})]
    winners = [has(exchange, {"USDT": 90_000}) for _ in range(3)]
    # One more long, rich, so that winners have more than the losers.
    rich = has(exchange, {"USDT": 1e6})
    coins = [1_000, 2_000, -1_000, -2_000, -3_000, 3_000]
    lots = [round(q / exchange.lot[number]) for q in coins]
    tick = round(4 / exchange.tick[number])
    exchange.ledger.open_positions(number, [*losers, *winners, rich], lots, tick)
    exchange.reprice({"ATOM": 3.7})
    while exchange.liquidate():
        pass
    left = [exchange.account(a).positions.get(PERP, 0.0) for a in winners]
    assert left == [-500.0, -1_000.0, -1_500.0]
    found = list(exchange.log.single("adl"))
    # The worse off closes first, winners by number: 1,000 and then 2,000 coins.
    lot = exchange.lot[number]
    assert [(e.account, e.counterparty, e.qty * lot) for e in found] == [
        (losers[0], winners[0], 500.0),
        (losers[0], winners[1], 500.0),
        (losers[1], winners[1], 500.0),
        (losers[1], winners[2], 1_500.0),
    ]
    assert {e.text for e in found} == {"in profit"}
    exchange._check()
    exchange.liquidator._check()


def test_fund_between_two_prices_pays_no_more_than_it_has() -> None:
    """Of 33 and 67 dollars, which it could pay one by one, 70 pay the first alone."""
    how = {"allocation": "contracts_pro_rata", "price": "zero_price_mix"}
    exchange = venue(rules={"adl": how})
    number = exchange.market_number[PERP]
    losers = [has(exchange, {"USDT": usd}) for usd in (200, 400)]
    winner = has(exchange, {"USDT": 90_000})
    lots = [round(q / exchange.lot[number]) for q in (1_000, 2_000, -3_000)]
    tick = round(4 / exchange.tick[number])
    exchange.ledger.open_positions(number, [*losers, winner], lots, tick)
    exchange.deposit(INSURANCE, "USDT", 70)
    exchange.reprice({"ATOM": 3.7})
    exchange.liquidate()
    prices = [e.price * exchange.tick[number] for e in exchange.log.single("adl")]
    assert prices == pytest.approx([3.8 - 0.1 / 3, 3.8], abs=1e-3)
    assert exchange.insurance_fund == pytest.approx(70 - 100 / 3, abs=1.0)


def test_more_given_than_closed_is_no_endless_loop() -> None:
    """It would be an error of the ranking, and is told as one."""
    with pytest.raises(AssertionError):
        _matched([2], [Given(0, 3, True)])
    assert _matched([2, 1], [Given(0, 3, True)]) == [
        (0, Given(0, 3, True), 2),
        (1, Given(0, 3, True), 1),
    ]


def test_sums_of_what_an_account_holds_are_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever Python adds them up: from left to right the ones would be lost."""
    exchange = venue()
    account = has(exchange, {"USDT": 1_000})
    for market in MARKETS[3:]:
        long(exchange, account, market, 1, 4)
    forced = exchange.liquidator.forced
    worth = {3: 1e16, 4: 1.0}
    monkeypatch.setattr(forced, "usd", lambda market, lots: worth[market])
    monkeypatch.setattr(forced, "worth", lambda asset: 1.0 / 10**8)
    monkeypatch.setattr(forced, "coins", lambda _: [(0, 10**8, 0), (1, 10**8, 1)])
    assert forced._gross(account) == 1e16 + 4.0
    losses = exchange.liquidator.losses
    worth[3], rows = 2.0**53, forced.positions(account)
    monkeypatch.setattr(forced, "positions", lambda _: [*rows, *rows[1:]])
    assert losses._notional(account) == 2.0**53 + 2.0


def test_debts_alike_are_borne_together() -> None:
    """Debts of 100 and 200 by two deposits: half of all from both."""
    exchange = venue(
        steps=["reduce_positions", "takeover", "insurance_fund", "socialise"],
        residual="socialise",
    )
    payers = [has(exchange, {"USDT": 50_000}) for _ in range(2)]
    losers = [has(exchange, {"USDT": -usd}) for usd in (100, 200)]
    exchange.liquidate()
    while exchange.liquidate():
        pass
    usdt = exchange.asset_number["USDT"]
    assert [exchange.ledger.balance(a, usdt) for a in losers] == [0, 0]
    found = {e.account: (e.value, e.qty) for e in exchange.log.single("socialised")}
    assert found == {losers[0]: (100.0, 2), losers[1]: (200.0, 2)}
    paid = [50_000 * 10**8 - exchange.ledger.balance(a, usdt) for a in payers]
    assert paid == [150 * 10**8, 150 * 10**8]
    exchange._check()


# -- WARNINGS


def warned(exchange: Exchange) -> list[tuple[int, float]]:
    """Account and health of each warning."""
    return [
        (event.account, round(event.value, 2))
        for event in exchange.log.single("warning")
    ]


def test_account_is_warned_once_a_fall() -> None:
    """At 1.5 and below; again only after it was above, and not on its way out."""
    exchange = venue()
    account = has(exchange, {"USDT": -1_700, "ATOM": 1_000})
    exchange.liquidate()
    seen = []
    for price in (3.9, 3.75, 3.72, 3.76, 3.9, 3.75, 3.7):
        exchange.reprice({"ATOM": price})
        exchange.now += 1_000_000_000
        exchange.liquidate()
        seen.append(len(warned(exchange)))
    health = exchange.account(account).health
    assert health > exchange.rules.thresholds.liquidate
    assert seen == [0, 1, 1, 1, 1, 2, 2]
    first, _ = exchange.log.single("warning")
    assert first.account == account
    assert first.value <= exchange.rules.thresholds.warn
    kinds = [event.kind for event in exchange.log.chain(first.id)]
    assert kinds == ["warning", "index", "rule"]
    assert exchange.assets[first.asset] == "ATOM"


def test_who_falls_past_the_warning_is_liquidated_and_not_warned() -> None:
    """And who was never seen healthy has not fallen."""
    exchange = venue(steps=["takeover", "claim"])
    falls = has(exchange, {"USDT": -1_700, "ATOM": 1_000})
    exchange.liquidate()
    low = has(exchange, {"USDT": -1_800, "ATOM": 1_000})
    assert exchange.account(low).health <= exchange.rules.thresholds.warn
    exchange.liquidate()
    exchange.reprice({"ATOM": 1.0})
    exchange.liquidate()
    assert warned(exchange) == []
    breached = [event.account for event in exchange.log.single("breach")]
    assert sorted(breached) == [falls, low]


def test_warnings_are_those_of_a_look_at_everyone() -> None:
    """Among hundreds, with prices that go up and down: by health at each look."""
    exchange = venue()
    rng = np.random.default_rng(5)
    debts = rng.uniform(500, 1_600, 300)
    for usd in debts.tolist():
        has(exchange, {"USDT": -usd, "ATOM": 1_000})
    exchange.liquidate()
    warn, liquidate = (
        exchange.rules.thresholds.warn,
        exchange.rules.thresholds.liquidate,
    )
    before = exchange.risk.revalue()["health"].copy()
    expected: list[int] = []
    for _ in range(12):
        exchange.reprice({"ATOM": float(rng.uniform(3.2, 4.2))})
        health = exchange.risk.revalue()["health"].copy()
        fell = (before > warn) & (health <= warn) & (health > liquidate)
        expected += np.flatnonzero(fell).tolist()
        exchange.liquidate()
        before = exchange.risk.revalue()["health"].copy()
    assert [account for account, _ in warned(exchange)] == expected
    assert len(expected) > 50
    assert min(expected) >= SYSTEM_ACCOUNTS
    assert steps(exchange) != []
