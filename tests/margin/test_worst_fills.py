"""What the gate promises: whatever of an account's orders fills, the margin is there.

Prices stay where they are and trades cost no fee. Orders rest at the index or mark, at
better prices and at worse ones.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED
from venues import NO_FEES

from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import OrderError, limit, market
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import PRICE_MAX

PRESETS = Rules.presets()
QUOTES = {"hyperliquid": "USDC", "dydx-v4": "USDC", "ftx-2022": "USD"}
PRICES = {"BTC": 100_000.0, "ETH": 4_000.0, "SOL": 200.0}


class Desk:
    """An exchange, the account that tries things, and one rich enough to trade."""

    def __init__(self, preset: str, deposits: dict[str, float]) -> None:
        """Deposits in US dollars."""
        self.quote = QUOTES.get(preset, "USDT")
        self.prices = PRICES | {self.quote: 1.0}
        self.markets = [
            *(f"{coin}/{self.quote}" for coin in PRICES),
            "ETH/BTC",
            f"BTC/{self.quote}:PERP",
            f"ETH/{self.quote}:PERP",
        ]
        rules = Rules.build(preset, {"fees": NO_FEES})
        if rules.stress:
            # A unit nets what is settled in one dollar with what is in another.
            self.prices["USDC"] = 1.0
            self.markets += ["BTC/USDC:PERP", "ETH/USDC:PERP"]
        self.exchange = Exchange(self.markets, rules)
        self.exchange.reprice(self.prices)
        self.account = self.exchange.open_account(
            {
                asset.replace("$", self.quote): round(
                    usd / self.prices[asset.replace("$", self.quote)], 6
                )
                for asset, usd in deposits.items()
            }
        )
        rich = dict.fromkeys(PRICES, 1e6) | {"USDC": 1e10, self.quote: 1e10}
        rich = {asset: qty for asset, qty in rich.items() if asset in self.prices}
        self.rich = self.exchange.open_account(rich)
        self.promise = self.exchange.rules.thresholds.order, True
        self.withdrawn = 0.0

    def price(self, name: str, off: float = 1.0) -> float:
        """So much of the index of a market, on a tick."""
        base, quote = name.removesuffix(":PERP").split("/")
        tick = self.exchange.tick[self.exchange.market_number[name]]
        ticks = round(self.prices[base] / self.prices[quote] * off / tick)
        return float(round(min(max(1, ticks), PRICE_MAX) * tick, 7))

    def qty(self, name: str, usd: float) -> float:
        """So many dollars' worth, at least a lot."""
        lot = self.exchange.lot[self.exchange.market_number[name]]
        lots = max(1, int(usd / self.prices[name.split("/")[0]] / lot))
        return float(round(lots * lot, 10))

    def trade(self, name: str, side: str, usd: float) -> None:
        """At the index, with the rich account, if the gate lets it."""
        other = {"buy": "sell", "sell": "buy"}[side]
        price, qty = self.price(name), self.qty(name, usd)
        there = limit(self.rich, name, other, price=price, qty=qty)
        assert self.exchange.submit(there).accepted
        self.exchange.submit(
            limit(self.account, name, side, price=price, qty=qty, tif="IOC")
        )
        self.exchange.books.cancel_all(self.rich)

    def withdraw(self, asset: str, share: float) -> None:
        """Some of a balance, if the rules let it."""
        number = self.exchange.asset_number[asset]
        amount = share * self.exchange.ledger.balance(self.account, number)
        amount = round(amount * self.exchange.atom[number], 6) - 1e-6
        if amount <= 0.0:
            return
        try:
            self.exchange.withdraw(self.account, asset, round(amount, 6))
        except OrderError:
            return
        self.withdrawn += amount * self.prices[asset]
        rule = self.exchange.rules.account
        self.promise = rule.withdraw_multiple, rule.withdraw_on == "initial"

    def slack(self) -> float:
        """What adjusted equity is above what must stay, after the worst fills.

        By what the last order, or the withdrawal after it, was judged by.
        """
        multiple, initial = self.promise
        adjusted, margin = self.exchange.risk.worst_case(
            self.account, multiple, initial
        )
        return float(adjusted - multiple * margin)


worth = st.floats(2.0, 6.5).map(lambda x: float(10.0**x))
assets = st.sampled_from(["$", "BTC", "ETH", "SOL"])
deposits = st.dictionaries(assets, worth, min_size=1)
sides = st.sampled_from(["buy", "sell"])
places = st.integers(0, 7)
trades = st.lists(st.tuples(places, sides, worth), max_size=3)
resting = st.lists(
    st.tuples(
        places,
        sides,
        worth,
        st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0, 1.0, 1.02, 1.3]),
        st.sampled_from([0.0, 0.0, 0.3, 1.0, 1.0]),
    ),
    min_size=1,
    max_size=10,
)


@given(
    st.sampled_from(PRESETS) | st.just("okx-pm"),
    deposits,
    trades,
    resting,
    st.lists(st.tuples(assets, st.floats(0.1, 1.0)), max_size=2),
)
@settings(max_examples=400, phases=UNTRACED)
def test_whatever_of_the_orders_fills_the_margin_is_there(
    preset: str,
    held: dict[str, float],
    before: list[tuple[int, str, float]],
    orders: list[tuple[int, str, float, float, float]],
    money: list[tuple[str, float]],
) -> None:
    """Adjusted equity covers the margin that the last order, or withdrawal, was let by.

    Each order fills in full, in part or not at all, at its own price.
    """
    desk = Desk(preset, held)
    for place, side, usd in before:
        desk.trade(desk.markets[place % len(desk.markets)], side, usd)
    accepted = []
    for place, side, usd, off, share in orders:
        name = desk.markets[place % len(desk.markets)]
        price = desk.price(name, off if side == "buy" else 1.0 / off)
        qty = desk.qty(name, usd)
        order = limit(desk.account, name, side, price=price, qty=qty, post_only=True)
        placed = desk.exchange.submit(order)
        if placed.accepted:
            rank = -price if side == "buy" else price
            accepted.append((name, side, rank, placed.order_id, price, qty, share))
    for asset, part in money:
        desk.withdraw(asset.replace("$", desk.quote), part)
    scale = 1e-7 * (1.0 + sum(held.values()) + sum(o[2] for o in before))
    scale += 1e-7 * sum(o[2] for o in orders)
    assert desk.slack() >= -scale
    for name, side, _, order_id, price, qty, share in sorted(accepted):
        lot = desk.exchange.lot[desk.exchange.market_number[name]]
        part = float(round(int(share * qty / lot + 0.5) * lot, 10))
        if part:
            other = {"buy": "sell", "sell": "buy"}[side]
            hit = limit(desk.rich, name, other, price=price, qty=part, tif="IOC")
            assert desk.exchange.submit(hit).filled == pytest.approx(part)
        if part < qty:
            desk.exchange.cancel(order_id)
    assert len(desk.exchange.books.account_orders(desk.account)) == 0
    assert desk.slack() >= -scale
    assert desk.exchange.account(desk.account).equity >= -scale


attempts = st.lists(
    st.one_of(
        st.tuples(
            st.just("limit"),
            places,
            sides,
            worth,
            st.sampled_from([1e-5, 0.5, 0.99, 1.0, 1.01, 2.0, 100.0]),
        ),
        st.tuples(st.just("market"), places, sides, worth),
        st.tuples(st.just("withdraw"), assets, st.floats(0.1, 1.0)),
        st.tuples(st.just("cancel")),
    ),
    min_size=2,
    max_size=14,
)


@given(st.sampled_from(PRESETS), deposits, attempts)
@settings(max_examples=400, phases=UNTRACED)
def test_nobody_takes_out_more_than_there_was(
    preset: str, held: dict[str, float], tried: list[tuple[Any, ...]]
) -> None:
    """Beside deep books at the index, whatever orders and withdrawals are accepted."""
    desk = Desk(preset, held)
    exchange = desk.exchange
    for name in desk.markets:
        tick = exchange.tick[exchange.market_number[name]]
        bid = float(round(desk.price(name) - tick, 10))
        for side, price in (("buy", bid), ("sell", desk.price(name))):
            qty = desk.qty(name, 2e8)
            there = limit(desk.rich, name, side, price=price, qty=qty)
            assert exchange.submit(there).accepted
    had = exchange.account(desk.account).equity
    for what, *how in tried:
        if what == "withdraw":
            desk.withdraw(how[0].replace("$", desk.quote), how[1])
        elif what == "cancel":
            exchange.books.cancel_all(desk.account)
        else:
            name, side, usd, *off = (
                desk.markets[how[0] % len(desk.markets)],
                how[1],
                how[2],
                *how[3:],
            )
            qty = desk.qty(name, usd)
            if off:
                price = desk.price(name, off[0])
                exchange.submit(limit(desk.account, name, side, price=price, qty=qty))
            else:
                exchange.submit(market(desk.account, name, side, qty=qty))
        equity = exchange.account(desk.account).equity
        assert equity >= -1e-7 * (1.0 + had)
        assert equity + desk.withdrawn <= had * (1.0 + 1e-7) + 1e-6


# -- ONE BY ONE


@pytest.mark.parametrize("preset", PRESETS)
def test_a_bid_far_below_makes_no_collateral(preset: str) -> None:
    """Ten bitcoin for ten dollars would be a fortune: they cover no sale of ten."""
    desk = Desk(preset, {"$": 100.0})
    exchange, name = desk.exchange, desk.markets[0]
    there = limit(desk.rich, name, "buy", price=desk.price(name), qty=10)
    assert exchange.submit(there).accepted
    before = exchange.risk.worst_case(desk.account, 1.0, initial=True)
    far = limit(desk.account, name, "buy", price=1, qty=10)
    assert exchange.submit(far).accepted
    after = exchange.risk.worst_case(desk.account, 1.0, initial=True)
    assert after[0] <= before[0]
    assert after[1] >= before[1]
    naked = exchange.submit(market(desk.account, name, "sell", qty=10))
    assert (naked.accepted, naked.filled) == (False, 0.0)


@pytest.mark.parametrize("preset", ["binance-pm", "okx-multi", "bybit-uta"])
def test_coins_that_rest_in_a_sale_cannot_be_withdrawn(preset: str) -> None:
    """They would be sold, and owed, after they have left."""
    desk = Desk(preset, {"BTC": 100_000.0})
    name = desk.markets[0]
    sale = limit(desk.account, name, "sell", price=100_000, qty=1)
    assert desk.exchange.submit(sale).accepted
    with pytest.raises(OrderError, match="would leave adjusted equity"):
        desk.exchange.withdraw(desk.account, "BTC", 1)
    desk.exchange.books.cancel_all(desk.account)
    desk.exchange.withdraw(desk.account, "BTC", 1)


def test_a_coin_without_a_price_that_rests_in_a_sale_cannot_be_withdrawn() -> None:
    """Nobody could say what the debt would be."""
    exchange = Exchange(["NEW/USDT"], "binance-pm")
    seller = exchange.open_account({"NEW": 100})
    assert exchange.submit(limit(seller, "NEW/USDT", "sell", price=5, qty=60)).accepted
    exchange.withdraw(seller, "NEW", 40)
    with pytest.raises(OrderError, match="less of a coin than its orders pay"):
        exchange.withdraw(seller, "NEW", 1)


def test_an_order_through_the_book_is_judged_at_its_limit() -> None:
    """Beside far bids too: what resting orders would gain pays for nothing."""
    desk = Desk("binance-pm", {"$": 1_000.0})
    exchange, name = desk.exchange, desk.markets[0]
    assert exchange.submit(limit(desk.account, name, "buy", price=1, qty=50)).accepted
    dear = limit(desk.account, name, "buy", price=200_000, qty=0.01)
    assert not exchange.submit(dear).accepted
    fair = limit(desk.account, name, "buy", price=101_000, qty=0.01)
    assert exchange.submit(fair).accepted


def test_orders_that_hedge_each_other_are_judged_one_by_one() -> None:
    """Only one of them may fill, and its risk unit then has nothing to net it with."""
    exchange = Exchange(
        ["BTC/USDT:PERP", "BTC/USDC:PERP"], Rules.build("okx-pm", {"fees": NO_FEES})
    )
    exchange.reprice({"BTC": 100_000.0, "USDC": 1.0})
    rich = exchange.open_account({"USDT": 1e9})
    account = exchange.open_account({"USDT": 50_000, "USDC": 50_000})
    while all(
        exchange.submit(limit(account, name, side, price=100_000, qty=1)).accepted
        for name, side in (("BTC/USDT:PERP", "buy"), ("BTC/USDC:PERP", "sell"))
    ):
        pass
    exchange.submit(market(rich, "BTC/USDT:PERP", "sell", qty=100))
    assert exchange.account(account).positions["BTC/USDT:PERP"] >= 4
    assert exchange.account(account).health >= exchange.rules.thresholds.order


def test_orders_of_one_underlying_pay_nothing_for_those_of_another() -> None:
    """A bid that would close a short of ether may not fill, and one of bitcoin may."""
    names = ["BTC/USDT:PERP", "ETH/USDT:PERP"]
    exchange = Exchange(names, Rules.build("okx-pm", {"fees": NO_FEES}))
    exchange.reprice({"BTC": 100_000.0, "ETH": 4_000.0})
    rich = exchange.open_account({"USDT": 1e9})
    account = exchange.open_account({"USDT": 10_000})
    exchange.submit(limit(rich, names[1], "buy", price=4_000, qty=15))
    sold = exchange.submit(market(account, names[1], "sell", qty=15))
    assert sold.filled == pytest.approx(15)
    exchange.update_prices()
    bid = limit(account, names[1], "buy", price=4_000, qty=15)
    assert exchange.submit(bid).accepted
    other = exchange.submit(limit(account, names[0], "buy", price=100_000, qty=0.1))
    equity, margin = exchange.risk.worst_case(account, 1.3, True)
    assert equity - 1.3 * margin < 1.3 * 0.12 * 0.1 * 100_000.0
    assert not other.accepted


@pytest.mark.parametrize("preset", PRESETS)
def test_a_distressed_account_may_close_at_the_best_bid(preset: str) -> None:
    """The sale frees more margin than the tick it loses against the mark."""
    desk = Desk(preset, {"$": 10_000.0})
    exchange, name = desk.exchange, desk.markets[4]
    exchange.submit(limit(desk.rich, name, "sell", price=100_000, qty=10))
    size = 8.0
    while not exchange.submit(market(desk.account, name, "buy", qty=size)).accepted:
        size = round(size - 0.1, 1)
    low = round(100_000 - 0.95 * 10_000 / size, 1)
    exchange.reprice({"BTC": low})
    exchange.books.cancel_all(desk.rich)
    bid = desk.price(name, low / 100_000 * (1 - 1e-5))
    exchange.submit(limit(desk.rich, name, "buy", price=bid, qty=10))
    exchange.submit(limit(desk.rich, name, "sell", price=low + 1, qty=10))
    exchange.update_prices()
    multiple, initial = desk.promise
    equity, margin = exchange.risk.worst_case(desk.account, multiple, initial)
    assert equity < multiple * margin
    part = round(size / 4, 1)
    for sale in (
        limit(desk.account, name, "sell", price=bid, qty=part),
        limit(desk.account, name, "sell", price=bid, qty=part, reduce_only=True),
        market(desk.account, name, "sell", qty=part),
    ):
        placed = exchange.submit(sale)
        assert placed.accepted, placed.reason


@pytest.mark.parametrize("initial", [False, True])
@given(
    st.sampled_from(PRESETS),
    assets.map(lambda asset: asset.replace("$", "USDT")),
    st.lists(st.tuples(st.sampled_from([-1, 1]), worth), min_size=3, max_size=3),
)
@settings(max_examples=300, phases=UNTRACED)
def test_more_of_an_asset_counts_for_less_and_less(
    initial: bool, preset: str, asset: str, sizes: list[tuple[int, float]]
) -> None:
    """Value less margin is concave and never falls: what the gate's bound stands on."""
    rules = Rules.preset(preset)
    price = (PRICES | {"USDT": 1.0})[asset]
    collateral = rules.collateral_initial_of if initial else rules.collateral_of
    borrow = rules.borrow_initial_of if initial else rules.borrow_of

    def value(usd: float) -> float:
        if usd >= 0.0:
            return collateral(asset).amount(usd, usd / price)
        owed = rules.liability_of(asset).amount(-usd, -usd / price)
        margin = borrow(asset).amount(-usd, -usd / price)
        return -owed - rules.thresholds.order * margin

    low, middle, high = sorted(sign * usd for sign, usd in sizes)
    slack = 1e-9 * (abs(low) + abs(high))
    assert value(low) <= value(middle) + slack
    if high - low > 1.0:
        part = (middle - low) / (high - low)
        chord = (1.0 - part) * value(low) + part * value(high)
        assert value(middle) >= chord - slack


@pytest.mark.parametrize(
    "preset", ["binance-multi-assets", "bybit-uta", "hyperliquid", "okx-multi"]
)
def test_part_of_an_order_that_would_step_a_tier_down_is_covered(preset: str) -> None:
    """All of it frees the margin of the tier it leaves; a part only costs its loss."""
    desk = Desk(preset, {"$": 1e8})
    exchange, name, quote = desk.exchange, desk.markets[4], desk.quote
    floor = exchange.rules.initial_of(name).floors[1]
    desk.trade(name, "sell", floor + 2_000.0)
    exchange.update_prices()
    multiple, _ = desk.promise
    _, margin = exchange.risk.worst_case(desk.account, multiple, True)
    share = exchange.rules.collateral_initial_of(quote).amount(1.0, 1.0)
    keep = multiple * margin / share + 1e-4
    number, has = exchange.asset_number[quote], exchange.account(desk.account).balances
    rest = round((has[quote] - keep) / exchange.atom[number])
    exchange.ledger.withdraw(desk.account, number, rest)
    assert 0.0 <= desk.slack() <= 1e-3
    qty, part = desk.qty(name, 4_000.0), desk.qty(name, 1_000.0)
    for off in (1.3, 1.1, 1.05, 1.02, 1.01, 1.0):
        bid = limit(desk.account, name, "buy", price=desk.price(name, off), qty=qty)
        if exchange.submit(bid).accepted:
            break
    hit = limit(desk.rich, name, "sell", price=bid.price, qty=part, tif="IOC")
    assert exchange.submit(hit).filled == pytest.approx(part)
    exchange.books.cancel_all(desk.account)
    assert desk.slack() >= 0.0
