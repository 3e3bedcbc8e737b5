"""The liquidation engine: its rate limit, whom it blames, and that it ends."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import (
    FEES,
    MARKETS,
    has,
    long,
    only,
    quote,
    venue,
)

from flashwick.cython_ext.ledger import CLAIMS, EXTERNAL, INSURANCE
from flashwick.engine.orders import limit
from flashwick.orderbook.orders import Flag, Kind

# -- RATE


def test_rate_limit_holds_and_everything_gets_its_turn() -> None:
    """Five orders a second for eight accounts of three coins and two positions each."""
    exchange = venue(rate_limit=5, target_health=50.0, price_cap="market", slice=1.0)
    accounts = []
    for _ in range(8):
        account = has(exchange, {"ATOM": 10, "SUI": 20, "WBETH": 0.01, "USDT": -100})
        long(exchange, account, "ATOM/USDT:PERP", 10, 4)
        long(exchange, account, "SUI/USDT:PERP", -20, 2)
        accounts.append(account)
    for market, price in zip(MARKETS, (4, 2, 4000, 4, 2), strict=True):
        side = "sell" if market == "SUI/USDT:PERP" else "buy"
        quote(exchange, market, side, (price, 10_000))
    for _ in range(100):
        exchange.liquidate()
        exchange.now += 250_000_000
    _, sent, _ = exchange.log.messages()
    forced = sent[(sent["flags"] == Flag.LIQUIDATION) & (sent["kind"] == Kind.MARKET)]
    times = np.sort(forced["time"])
    for start in times:
        window = (times >= start) & (times < start + 1_000_000_000)
        # A bucket of one cycle: what was saved up, and what came since.
        assert window.sum() <= 10
        since = float(times[-1] - start) * 1e-9
        assert (times >= start).sum() <= 5 + 5 * since + 1
    pairs = set(zip(forced["account"].tolist(), forced["market"].tolist(), strict=True))
    assert pairs >= {(account, market) for account in accounts for market in range(5)}


def test_rate_limit_is_kept_to_in_every_second_at_one_scan_a_second() -> None:
    """As scenarios run it, those by which the fund works off positions included."""
    exchange = venue(rate_limit=3, slice=0.05)
    exchange.deposit(INSURANCE, "USDT", 1000)
    for _ in range(4):
        account = has(exchange, {"USDT": 20, "ATOM": 5})
        long(exchange, account, "ATOM/USDT:PERP", 100, 4)
        long(exchange, account, "SUI/USDT:PERP", 100, 2)
    quote(exchange, "ATOM/USDT:PERP", "buy", (3.0, 100_000))
    quote(exchange, "SUI/USDT:PERP", "buy", (1.9, 100_000))
    exchange.reprice({"ATOM": 3.0, "SUI": 1.9})
    for _ in range(160):
        exchange.liquidate()
        exchange.now += 1_000_000_000
    _, sent, _ = exchange.log.messages()
    forced = sent[(sent["flags"] == Flag.LIQUIDATION) & (sent["kind"] == Kind.MARKET)]
    per_second = Counter((forced["time"] // 1_000_000_000).tolist())
    assert max(per_second.values()) == 3
    assert INSURANCE in forced["account"]
    assert not exchange.liquidator.cases
    assert exchange.account(INSURANCE).positions == {}


def test_worst_account_comes_first_and_ties_go_by_number() -> None:
    """With one order a second."""
    exchange = venue(rate_limit=1, slice=1.0)
    owing = [-40, -41, -41, -39]
    accounts = [has(exchange, {"ATOM": 20, "USDT": usd}) for usd in owing]
    quote(exchange, "ATOM/USDT", "buy", (4, 1_000))
    for _ in range(4):
        exchange.liquidate()
        exchange.now += 1_000_000_000
    breaches = [event.account for event in exchange.log.single("breach")]
    assert breaches == [accounts[i] for i in (1, 2, 0, 3)]
    _, fills = exchange.log.fills()
    assert fills["taker"].tolist() == breaches


# -- BLAME


def test_breach_names_the_asset_that_cost_most() -> None:
    """Since the account was healthy last, in dollars, whatever fell further."""
    exchange = venue()
    account = has(exchange, {"ATOM": 1000, "SUI": 100, "WBETH": 1, "USDT": -4_500})
    exchange.liquidate()
    assert exchange.account(account).health > 1.05
    for prices in ({"SUI": 1.0}, {"WBETH": 3000.0}, {"ATOM": 3.5}):
        exchange.now += 1_000_000_000
        exchange.reprice(prices)
        exchange.liquidate()
    # SUI lost 100 (half), ATOM 500 (an eighth), WBETH 1,000 (a quarter).
    breach = only(exchange, "breach")
    assert breach.asset == exchange.asset_number["WBETH"]
    cause = exchange.log[breach.cause]
    assert (cause.kind, cause.text) == ("index", "WBETH 4000 -> 3000")


def test_losses_from_before_it_was_healthy_do_not_count() -> None:
    """WBETH fell first, but the account was healthy after that."""
    exchange = venue()
    account = has(exchange, {"ATOM": 1000, "WBETH": 1, "USDT": -3_000})
    exchange.liquidate()
    exchange.reprice({"WBETH": 2000.0})
    exchange.deposit(account, "USDT", 1_800)
    exchange.liquidate()
    assert exchange.account(account).health > 1.5
    exchange.reprice({"ATOM": 1.0, "WBETH": 1900.0})
    exchange.ledger.transfer(exchange.asset_number["USDT"], account, EXTERNAL, 10**11)
    exchange.liquidate()
    assert only(exchange, "breach").asset == exchange.asset_number["ATOM"]


def test_mark_of_a_position_is_blamed_by_its_market() -> None:
    """A short that the mark rose against."""
    exchange = venue()
    account = has(exchange, {"USDT": 500, "WBETH": 0.01})
    long(exchange, account, "ATOM/USDT:PERP", -1_000, 4)
    exchange.liquidate()
    exchange.reprice({"ATOM": 4.4, "WBETH": 3990.0})
    exchange.liquidate()
    breach = only(exchange, "breach")
    assert exchange.markets[breach.market] == "ATOM/USDT:PERP"
    kinds = [event.kind for event in exchange.log.chain(breach.id)]
    assert kinds == ["breach", "mark", "index", "rule"]


def test_nothing_is_blamed_for_what_no_price_did() -> None:
    """An account that never was healthy."""
    exchange = venue()
    has(exchange, {"USDT": -10})
    exchange.liquidate()
    assert only(exchange, "breach").cause == 0


# -- IT ENDS


def test_coin_without_a_price_does_not_stop_the_engine() -> None:
    """Risk counts it as nothing, and so does liquidation."""
    for cap in ("bankruptcy", "market"):
        exchange = venue(markets=[*MARKETS, "NEW/USDT", "OLD/USDT"], price_cap=cap)
        account = has(exchange, {"NEW": 5, "OLD": -5, "ATOM": 100, "USDT": -390})
        quote(exchange, "NEW/USDT", "buy", (1.0, 2))
        while exchange.liquidate():
            exchange._check()
        assert exchange.account(account).health == np.inf
        assert exchange.account(account).equity > 0


holdings = st.fixed_dictionaries(
    {},
    optional={
        "USDT": st.integers(-3000, 3000),
        "ATOM": st.integers(-300, 600),
        "SUI": st.integers(-300, 600),
        "WBETH": st.integers(-1, 1),
        "DUST": st.floats(-0.01, 0.01).map(lambda x: round(x, 8)),
    },
)
positions = st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000))
rest = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["buy", "sell"]),
    st.floats(0.3, 1.7),
    st.integers(1, 800),
)
ways = st.fixed_dictionaries(
    {
        "slice": st.sampled_from([0.05, 0.3, 1.0]),
        "price_cap": st.sampled_from(["bankruptcy", "market"]),
        "rate_limit": st.sampled_from(["none", "none", 3]),
        "target_health": st.sampled_from([1.1, 1.2, 5.0]),
    }
)


@given(
    st.lists(st.tuples(holdings, positions), min_size=1, max_size=5),
    st.lists(rest, max_size=12),
    ways,
    st.integers(0, 2_000),
    st.sampled_from([{}, {"ATOM": 1.0}, {"SUI": 9.0, "WBETH": 10.0}]),
)
@settings(max_examples=100, phases=UNTRACED)
def test_it_ends_from_any_state_and_nothing_is_lost(
    people: list[tuple[dict[str, float], tuple[int, int]]],
    orders: list[tuple[int, str, float, int]],
    how: dict[str, Any],
    fund: int,
    shock: dict[str, float],
) -> None:
    """In as many cycles as accounts can need one after the other; books balance."""
    exchange = venue(markets=[*MARKETS, "DUST/USDT"], fees=FEES, **how)
    exchange.reprice({"DUST": 3.0})
    exchange.deposit(INSURANCE, "USDT", fund)
    accounts = [has(exchange, held) for held, _ in people]
    for account, (_, sizes) in zip(accounts, people, strict=True):
        for market, qty in zip(MARKETS[3:], sizes, strict=True):
            price = {"A": 4.0, "S": 2.0}[market[0]]
            long(exchange, account, market, qty, price)
    exchange.risk.order_health = -np.inf
    prices = (4.0, 2.0, 4000.0, 4.0, 2.0, 3.0)
    names = (*MARKETS, "DUST/USDT")
    for i, (market, side, share, qty) in enumerate(orders):
        account = accounts[i % len(accounts)]
        price = round(prices[market] * share, 2)
        exchange.submit(limit(account, names[market], side, price=price, qty=qty))
    exchange.reprice(shock)
    # One account can push the next over; a rate limit spreads six orders over two
    # cycles.
    slow = 1 if how["rate_limit"] == "none" else 2 * len(people)
    most = len(people) * slow * (exchange.liquidator.cycles_max + 2)
    for _ in range(most):
        working = exchange.liquidate()
        exchange._check()
        exchange.now += 1_000_000_000
        if not working and (exchange.risk.revalue()["health"] > 1.05).all():
            break
    else:
        raise AssertionError(f"not over after {most} cycles")
    assert not exchange.liquidator.cases
    # The venue carries debts and the coins it got for them, and gains nothing by it.
    assert exchange.risk.account(CLAIMS)["equity"] < 0.01


def test_no_slice_is_so_small_that_a_liquidation_never_ends() -> None:
    """A share of the book of a billionth asks for no more than an hour of cycles."""
    for share in (1e-9, 5e-324):
        assert venue(book_share=share).liquidator.cycles_max == 3_602
