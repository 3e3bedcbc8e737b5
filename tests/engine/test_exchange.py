"""The embedded exchange: what goes in is checked, what comes out is in people's units.

Whole accounts of the Binance vectors go through it, liquidation included.
"""

import json
from typing import Any

import numpy as np
import pytest
from ledger_model import state
from reference_data import vectors_folder

import flashwick as fw
from flashwick.cython_ext.ledger import EXTERNAL, FEES
from flashwick.engine.exchange import Exchange
from flashwick.margin.prices import IndexRule
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Reason, SelfTrade, messages

ATOM = 10**8  # atoms of a coin


@pytest.fixture
def exchange() -> Exchange:
    """Two spot books, a perpetual, and prices."""
    exchange = Exchange(["ATOM/USDT", "WBETH/USDT", "ATOM/USDT:PERP"])
    exchange.reprice({"ATOM": 4.0, "WBETH": 4000.0})
    return exchange


def snapshot(exchange: Exchange) -> tuple[Any, ...]:
    """Everything that a refused call must leave alone."""
    books = exchange.books
    return (
        state(exchange.ledger),
        exchange.ledger.n_accounts,
        (books.live_orders, books.trades, books.top().tolist()),
        exchange.index.tolist(),
        len(list(exchange.log.single())),
    )


# -- WHAT IS REFUSED

WRONG = [
    ("deposit", (5, "ATMO", 1), "'ATMO' is not an asset here; did you mean 'ATOM'?"),
    ("deposit", (9, "USDT", 1), "account 9 is not open here; accounts are 5 to 5"),
    ("deposit", (5, "USDT", "0.000000001"), "more than the asset's 8 decimals"),
    ("deposit", (5, "USDT", -1), "deposit of USDT: must be from 0 to"),
    ("deposit", (5, "USDT", 1e18), "deposit of USDT: must be from 0 to"),
    ("deposit", (5, "USDT", "lots"), "must be a decimal number .got 'lots'"),
    ("withdraw", (5, "USDT", 1001), "must be at most the balance 1000 .got 1001"),
    ("withdraw", (5, "WBETH", 1), "must be at most the balance 0 .got 1"),
    ("cancel", (77,), "order 77 is not open; see open_orders"),
    ("account", (6,), "account 6 is not open here"),
    ("account", (-1,), "account -1 is not open here"),
    ("reprice", ({"WBETH": 1.0, "BETH": 1.0},), "did you mean 'WBETH'?"),
    ("reprice", ({"WBETH": 1.0, "ATOM": -1.0},), "ATOM: the index must be a number"),
    ("reprice", ({"ATOM": float("nan")},), "a number above 0 .* .got nan"),
    ("set_price_band", ("ATOM/USDT", 1.5), "'share' must be from .*; 5 % is 0.05"),
    ("set_price_band", ("ATOM/USDT", 300_000), "'share' must be .*; 5 % is 0.05"),
    ("set_price_band", ("ATOM/USD", 0.1), "'ATOM/USD' is not a market here"),
    ("set_price_band", ("ATOM/USDT", "x"), "'share' must be .* .got 'x'"),
    ("set_price_band", ("ATOM/USDT", float("nan")), "'share' must be .* .got nan"),
    ("set_self_trade", (8, SelfTrade.NONE), "account 8 is not open"),
    ("set_self_trade", (5, 9), "'mode' must be one of NONE, .* .got 9"),
    ("set_self_trade", (5, "decrease"), ".got 'decrease'.; did you mean 'DECREMENT'"),
    ("cancel", (2**70,), f"order {2**70} is not open"),
    ("cancel", (-1,), "order -1 is not open"),
    ("cancel", (float("nan"),), "'order' must be what .* its order_id .got nan"),
    ("cancel", ("x",), "'order' must be what .* its order_id .got 'x'"),
    ("cancel", (None,), "'order' must be what .* its order_id .got None"),
    ("set_circuit_breaker", ("ATOM/USDT", "x"), "'share' must be .* .got 'x'"),
    ("set_circuit_breaker", ("ATOM/USDT", True), "'share' must be .* .got True"),
    ("set_circuit_breaker", ("ATOM/USDT", 10), "'share' must be .*; 5 % is 0.05"),
    ("set_phase", ("ATOM/USDT", ["call"]), "'phase' must be one of open, .* .got .'"),
]


@pytest.mark.parametrize(("call", "arguments", "text"), WRONG)
def test_wrong_call_is_refused_and_changes_nothing(
    call: str, arguments: tuple[Any, ...], text: str, exchange: Exchange
) -> None:
    """With the value, and the name that was meant."""
    account = exchange.open_account({"USDT": 1000, "ATOM": 10})
    exchange.submit(fw.limit(account, "ATOM/USDT", "buy", price=3.9, qty=10))
    before = snapshot(exchange)
    with pytest.raises((fw.OrderError, fw.MarketError), match=text):
        getattr(exchange, call)(*arguments)
    assert snapshot(exchange) == before
    exchange._check()


@pytest.mark.parametrize("window", ["x", None, float("nan"), 0])
def test_wrong_window_of_a_breaker_is_refused(
    window: float, exchange: Exchange
) -> None:
    """With its name and the value."""
    before = snapshot(exchange)
    with pytest.raises(fw.OrderError, match=f"'window' must be .* .got {window!r}"):
        exchange.set_circuit_breaker("ATOM/USDT", 0.1, window=window)
    assert snapshot(exchange) == before


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (fw.limit(5, "ATOMUSDT", "buy", 4, 1), "did you mean 'ATOM/USDT'"),
        (fw.limit(5, "ATOM/USDT", "buy", "4.0005", 1), "a multiple of 0.001"),
        (fw.limit(5, "ATOM/USDT", "buy", 4, "0.005"), "a multiple of 0.01"),
        (fw.limit(5, "ATOM/USDT", "buy", 0, 1), "'price' must be"),
        (fw.limit(5, "ATOM/USDT", "buy", 4, -1), "'qty' must be"),
        (fw.market(5, "ATOM/USDT", "buy", 1e20), "'qty' must be"),
        (fw.market(5, "ATOM/USDT", "buy", 1, protection=-4), "'protection' must be"),
        (fw.market(5, "ATOM/USDT", "buy", 1, protection="x"), "protection: must be a"),
        (fw.market(5, "ATOM/USDT", "buy", 1, trigger=-4), "'trigger' must be a"),
        (fw.limit(5, "ATOM/USDT", "buy", 4, 1, trigger="x"), "USDT: trigger: must be"),
        (fw.limit(5, "ATOM/USDT", "buy", 4, 1, display=-1), "'display' must be a"),
        (fw.limit(5, "ATOM/USDT", "buy", 4, 1, display=1e20), "'display' must be at"),
        (fw.limit(6, "ATOM/USDT", "buy", 4, 1), "account 6 is not open here"),
    ],
)
def test_wrong_order_is_refused_and_changes_nothing(
    order: fw.Order, text: str, exchange: Exchange
) -> None:
    """Before it becomes a message."""
    exchange.open_account({"USDT": 1000})
    before = snapshot(exchange)
    with pytest.raises((fw.OrderError, fw.MarketError), match=text):
        exchange.submit(order)
    assert snapshot(exchange) == before


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (fw.limit(5, "ATOM/USDT", "buy", 4, 1000), Reason.INSUFFICIENT_MARGIN),
        (fw.limit(5, "ATOM/USDT", "sell", 4, 5000), Reason.INSUFFICIENT_MARGIN),
        (fw.limit(5, "ATOM/USDT:PERP", "buy", 4, 90_000), Reason.INSUFFICIENT_MARGIN),
        (fw.limit(5, "ATOM/USDT", "buy", 1e6, 1e9), Reason.OVERFLOW),
        (fw.market(5, "ATOM/USDT", "buy", 1e10), Reason.OVERFLOW),
        (fw.limit(5, "ATOM/USDT", "buy", 4, 2, tif="FOK"), Reason.FOK_UNFILLABLE),
        (
            fw.limit(5, "ATOM/USDT:PERP", "buy", 4, 1, reduce_only=True),
            Reason.REDUCE_ONLY,
        ),
    ],
)
def test_order_that_the_venue_refuses_comes_back_with_its_reason(
    order: fw.Order, reason: Reason, exchange: Exchange
) -> None:
    """And the account is as it was."""
    account = exchange.open_account({"USDT": 1000, "ATOM": 10})
    before = state(exchange.ledger)
    placed = exchange.submit(order)
    assert placed.reason is reason
    assert placed.accepted == (reason is Reason.FOK_UNFILLABLE)
    assert (placed.filled, placed.open, len(placed.fills)) == (0.0, 0.0, 0)
    assert state(exchange.ledger) == before
    assert exchange.account(account).balances["USDT"] == 1000.0


def test_sum_beyond_int64_stops_the_exchange(exchange: Exchange) -> None:
    """Eight holds of nearly 2**60 atoms fit, the ninth does not."""
    exchange.risk.order_health = -np.inf
    order = messages(1)
    order["market"], order["account"] = 0, exchange.open_account()
    order["price"], order["qty"] = 2**26, 2**60 // (2**26 * 1000)
    for _ in range(8):
        exchange.process(order.copy())
        exchange._check()
    with pytest.raises(OverflowError, match="left the range of int64; the run cannot"):
        exchange.process(order.copy())


# -- ACCOUNTS


def test_account_is_shown_in_dollars_and_coins(exchange: Exchange) -> None:
    """Balances, positions, leverage: what is held and owed over what is owned."""
    account = exchange.open_account({"USDT": "1000.5", "WBETH": 1})
    other = exchange.open_account({"USDT": 10_000})
    for who, side in ((other, "sell"), (account, "buy")):
        exchange.submit(fw.limit(who, "ATOM/USDT:PERP", side, price=4, qty=500))
    view = exchange.account(account)
    # The taker paid 5 basis points of 2,000.
    assert view.balances == pytest.approx({"USDT": 999.5, "WBETH": 1.0})
    assert view.positions == {"ATOM/USDT:PERP": 500.0}
    assert view.equity == pytest.approx(4999.5)
    assert view.adjusted == pytest.approx(999.5 + 0.9 * 4000)
    assert view.maintenance == pytest.approx(2000 * 0.006)
    assert view.leverage == pytest.approx(2000 / 4999.5)
    assert exchange.account(FEES).equity == pytest.approx(1.0 + 0.4)
    exchange._check()


def test_withdrawal_leaves_the_multiple_of_the_margin(exchange: Exchange) -> None:
    """To the cent: what `max_withdraw` says can leave, and no more."""
    account = exchange.open_account({"USDT": 1000})
    exchange.ledger.open_positions(2, [account, FEES], [100_000, -100_000], 40_000)
    value = exchange.account(account)
    most = exchange.rules.account.max_withdraw(value.adjusted, value.maintenance)
    assert 0 < most < 1000
    before = snapshot(exchange)
    with pytest.raises(fw.OrderError, match="would leave adjusted equity of"):
        exchange.withdraw(account, "USDT", round(most + 0.01, 2))
    assert snapshot(exchange) == before
    exchange.withdraw(account, "USDT", round(most - 0.01, 2))
    exchange.withdraw(account, "USDT", 0)
    assert exchange.account(account).health >= 1.2


def test_money_behind_a_resting_order_cannot_leave(exchange: Exchange) -> None:
    """The order might fill, and the coin counts for a tenth."""
    account = exchange.open_account({"USDT": 1000})
    placed = exchange.submit(fw.limit(account, "ATOM/USDT", "buy", price=3, qty=300))
    assert placed.open == 300.0
    with pytest.raises(fw.OrderError, match="would leave"):
        exchange.withdraw(account, "USDT", 900)
    assert exchange.cancel(placed) == 300.0
    exchange.withdraw(account, "USDT", 900)


def test_own_orders_meet_as_the_account_chose(exchange: Exchange) -> None:
    """With prevention the older order goes, without it the account trades alone."""
    account = exchange.open_account({"USDT": 1000, "ATOM": 100})
    exchange.set_self_trade(account, SelfTrade.CANCEL_OLDEST)
    for side in ("sell", "buy"):
        exchange.submit(fw.limit(account, "ATOM/USDT", side, price=4, qty=10))
    assert exchange.books.trades == 0
    exchange.set_self_trade(account, SelfTrade.NONE)
    exchange.submit(fw.limit(account, "ATOM/USDT", "sell", price=4, qty=10))
    assert exchange.books.trades == 1


def test_price_band_holds_the_print(exchange: Exchange) -> None:
    """Ten percent around the last; lifted, the next order goes through."""
    maker = exchange.open_account({"USDT": 1000})
    taker = exchange.open_account({"ATOM": 100})
    exchange.books.set_last_price(0, 40_000)
    exchange.submit(fw.limit(maker, "ATOM/USDT", "buy", price=3.5, qty=10))
    exchange.set_price_band("ATOM/USDT", 0.1)
    held = exchange.submit(fw.market(taker, "ATOM/USDT", "sell", 10))
    assert (held.filled, held.reason) == (0.0, Reason.PRICE_BAND)
    exchange.set_price_band("ATOM/USDT", None)
    assert exchange.submit(fw.market(taker, "ATOM/USDT", "sell", 10)).filled == 10.0


# -- PRICES


def test_repricing_names_the_trade_that_moved_it() -> None:
    """Index from the own book; moves of less than a basis point are not told."""
    exchange = Exchange(["NEW/USDT"])
    a = exchange.open_account({"USDT": 10_000, "NEW": 1000})

    def trade(price: float) -> int:
        for side in ("sell", "buy"):
            exchange.submit(fw.limit(a, "NEW/USDT", side, price=price, qty=1))
        exchange.update_prices()
        return int(exchange.log.fills()[0][-1])

    trade(4.0)
    assert exchange.index[0] == 4.0
    assert list(exchange.log.single("index")) == []
    trade(4.0003)
    assert list(exchange.log.single("index")) == []
    last = trade(4.0005)
    (event,) = exchange.log.single("index")
    assert (event.cause, event.asset) == (last, 0)
    assert event.value == pytest.approx(4.0005)
    assert event.text == "NEW 4 -> 4.0005"
    assert [e.kind for e in exchange.log.chain(event.id)] == ["index", "trade", "order"]


def test_funding_moves_between_longs_and_shorts(exchange: Exchange) -> None:
    """At the rate given; what is paid is paid to someone."""
    long, short = (exchange.open_account({"USDT": 1000}) for _ in range(2))
    exchange.ledger.open_positions(2, [long, short], [1000, -1000], 40_000)
    qty = 1000 * float(exchange.lot[2])
    paid = exchange.settle_funding({"ATOM/USDT:PERP": 0.001})
    assert paid == pytest.approx(qty * 4 * 0.001)
    assert exchange.account(long).balances["USDT"] == pytest.approx(1000 - paid)
    assert exchange.account(short).balances["USDT"] == pytest.approx(1000 + paid)
    # Without a premium the rate is the interest of the rules, 0.01 % an interval.
    assert exchange.settle_funding() == pytest.approx(qty * 4 * 0.0001)
    assert [e.text for e in exchange.log.single("funding")] == [
        "USD paid, rate 0.1000%",
        "USD paid, rate 0.0100%",
    ]
    exchange._check()


def test_funding_follows_the_premium_of_the_book(exchange: Exchange) -> None:
    """Bids 1 % above the index for an interval: the damper takes .05 % off."""
    maker, other = (exchange.open_account({"USDT": 10_000}) for _ in range(2))
    exchange.ledger.open_positions(2, [maker, other], [1000, -1000], 40_000)
    exchange.submit(fw.limit(maker, "ATOM/USDT:PERP", "buy", 4.04, 100))
    exchange.submit(fw.limit(other, "ATOM/USDT:PERP", "sell", 4.1, 100))
    for second in range(0, 30, 5):
        exchange.now = second * 10**9
        exchange.update_prices()
    exchange.settle_funding()
    event = next(iter(exchange.log.single("funding")))
    # One sample was taken before there were bids.
    assert event.text == "USD paid, rate 0.9024%"
    # The mark then carries what is still to come of it.
    index = float(exchange.index[0])
    exchange.now = 4 * 3600 * 10**9
    exchange.books.set_last_price(2, 4_000)
    exchange.update_prices()
    funded = index * (1.0 + float(exchange.prices.funding_rate[2]) * 0.5)
    assert exchange.mark[2] == pytest.approx(funded)


@pytest.mark.parametrize(("policy", "mark"), [("index", 4.0), ("last", 4.4)])
def test_marks_are_made_by_the_rules(policy: str, mark: float) -> None:
    """The index alone, or the last trade alone."""
    rules = Rules.build("binance-pm", {"mark": {"policy": policy}})
    exchange = Exchange(["ATOM/USDT:PERP"], rules)
    exchange.reprice({"ATOM": 4.0})
    buyer, seller = (exchange.open_account({"USDT": 10_000}) for _ in range(2))
    exchange.submit(fw.limit(seller, "ATOM/USDT:PERP", "sell", 4.4, 10))
    exchange.submit(fw.market(buyer, "ATOM/USDT:PERP", "buy", 10))
    exchange.update_prices()
    assert exchange.mark.tolist() == [mark]


def test_interest_is_for_what_is_borrowed_beyond_the_threshold() -> None:
    """The published example in every asset: 10,050 dollars owed cost 5 cents a day."""
    exchange = Exchange(["ATOM/USDT"])
    exchange.reprice({"ATOM": 4.0})
    for asset, price in (("USDT", 1.0), ("ATOM", 4.0)):
        account = exchange.open_account({"USDT": 100_000})
        owed = round(10_050 / price * ATOM)
        if asset == "USDT":
            owed += 100_000 * ATOM
        number = exchange.asset_number[asset]
        exchange.ledger.transfer(number, account, EXTERNAL, owed)
    assert exchange.charge_interest() == pytest.approx(0.10)
    exchange._check()


# -- WHOLE ACCOUNTS OF THE VENUE


def vector(name: str) -> dict[str, Any]:
    """A vector of margin.json, or a skip."""
    folder = vectors_folder()
    if folder is None or not (folder / "margin.json").exists():
        pytest.skip("needs FLASHWICK_VECTORS or FLASHWICK_DATA")
    entries = json.loads((folder / "margin.json").read_text("utf-8"))["vectors"]
    return next(entry for entry in entries if entry["id"] == name)


def test_uni_mmr_of_the_official_example_as_far_as_it_is_linear() -> None:
    """Three wallets netted by coin, three positions, one of them coin-margined.

    A long of 10,000 USD in coin-margined bitcoin is a short of them in a market that
    quotes the dollar in bitcoin. The example holds and owes the same coin at once and
    margins both; here they are netted, and the loans' margin is that of accounts which
    owe the coin alone.
    """
    given, futures = vector("BIN-PM-UNIMMR"), vector("BIN-PM-UPNL")["inputs"]
    expected, given = given["expected"], given["inputs"]
    rules = Rules.build(
        "binance-pm",
        {
            "collateral": given["collateral_rate"],
            "borrow": {"default": futures["loan_mmr"]},
            "brackets": {"default": 0.005, "BTCUSDT": 0.005},
        },
    )
    # The quarterly contract has its own price, here its own base.
    perps = ["BTC/USDT:PERP", "BTCQ/USDT:PERP", "USD/BTC:PERP"]
    tick, lot = {"USD/BTC:PERP": "0.000001"}, {"USD/BTC:PERP": "1"}
    specs = [
        fw.Market.define(name, tick.get(name, "0.1"), lot.get(name, "0.001"))
        for name in perps
    ]
    exchange = Exchange([*specs, "ETH/USDT"], rules)
    quarter = futures["um_quarter"]
    prices = {n: p for n, p in given["prices"].items() if n != "USDT"}
    exchange.reprice({**prices, "BTCQ": quarter["mark"]})
    account, other = exchange.open_account(), exchange.open_account()
    for asset, (held, owed) in given["margin"].items():
        wallets = {"USDT": given["um_wallet_USDT"], "BTC": given["cm_wallet_BTC"]}
        exchange.deposit(account, asset, round(held - owed + wallets.get(asset, 0), 8))
    entries = (futures["um_perp"], quarter, {"qty": -10_000, "entry": 1 / 50_000})
    for m, position in enumerate(entries):
        lots = round(position["qty"] / exchange.lot[m])
        ticks = round(position["entry"] / exchange.tick[m])
        exchange.ledger.open_positions(m, [account, other], [lots, -lots], ticks)
    exchange.update_prices()
    view = exchange.account(account)
    assert view.adjusted == pytest.approx(expected["equity_usd"], rel=1e-9)
    loans = 0.0
    for asset, owed in futures["loans"].items():
        debtor = exchange.open_account()
        number = exchange.asset_number[asset]
        exchange.ledger.transfer(number, debtor, EXTERNAL, round(owed * ATOM))
        loans += exchange.account(debtor).maintenance
    assert view.maintenance + loans == pytest.approx(expected["mm_usd"], rel=1e-9)
    health = view.adjusted / (view.maintenance + loans)
    assert health == pytest.approx(expected["uniMMR"], rel=1e-9)


INDEX = {
    "SPOT": IndexRule(policy="own_book", market="WBETH/USDT"),
    "MIX": IndexRule(policy="mix", sources={"WBETH/USDT": 0.2, "WBETH/ETH": 0.8}),
    "CONV": IndexRule(policy="redemption", ratio=1.08, underlying="ETH"),
}


@pytest.mark.parametrize("index", INDEX)
def test_account_is_liquidated_by_the_index_of_the_own_book_only(index: str) -> None:
    """The same account, the same prints: 430 in dollars, 1.08 against ether.

    The vectors margin no loans; with the preset's margin of 8 % of the dollars owed the
    decision is the same.
    """
    name = "CONV" if index == "MIX" else index
    case = vector(f"BIN-PM-WBETH-{name}")
    given, perp = case["inputs"], case["inputs"]["eth_perp"]
    for borrow in ({"USDT": 0.0}, {}):
        exchange = Exchange(
            ["ETH/USDT:PERP", "WBETH/USDT", "WBETH/ETH"],
            Rules.build("binance-pm", {"borrow": borrow}),
            oracles={
                "ETH": IndexRule(policy="fixed", value=float(perp["mark"])),
                "WBETH": INDEX[index],
            },
        )
        exchange.books.set_last_price(1, exchange.specs[1].ticks(430))
        exchange.books.set_last_price(2, exchange.specs[2].ticks("1.08"))
        account = exchange.open_account({"WBETH": given["wBETH"]})
        other = exchange.open_account({"USDT": 1e9})
        dollars = exchange.asset_number["USDT"]
        owed = -given["USDT_balance"] * ATOM
        exchange.ledger.transfer(dollars, account, EXTERNAL, owed)
        lots = round(perp["qty"] / exchange.lot[0])
        ticks = exchange.specs[0].ticks(perp["entry"])
        exchange.ledger.open_positions(0, [account, other], [lots, -lots], ticks)
        exchange.update_prices()
        view = exchange.account(account)
        if index == "MIX":
            assert exchange.index[exchange.asset_number["WBETH"]] == pytest.approx(
                0.2 * 430 + 0.8 * 1.08 * 3800
            )
        else:
            assert view.adjusted == pytest.approx(case["expected"]["equity"])
        if borrow and index != "MIX":
            assert view.maintenance == pytest.approx(case["expected"]["mm"])
            assert view.health == pytest.approx(case["expected"]["uniMMR"])
        for market, price in (("WBETH/USDT", 430), ("ETH/USDT:PERP", 3799)):
            exchange.submit(fw.limit(other, market, "buy", price=price, qty=1000))
        liquidated = index == "SPOT"
        assert bool(exchange.liquidate()) == liquidated
        assert list(exchange.liquidator.liquidated) == [account] * liquidated
        _, fills = exchange.log.fills()
        # Nothing is bid at a price that leaves no debt: its position is deleveraged.
        assert len(fills) == 0
        assert bool(list(exchange.log.single("adl"))) == liquidated
        assert bool(exchange.account(account).positions) != liquidated
        exchange._check()
