"""The gate of an account with many coins: kept sums decide as a look at every row."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.cython_ext.ledger import EXTERNAL
from flashwick.engine.exchange import Exchange
from flashwick.engine.orders import limit
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import MESSAGE, Flag, Kind, SelfTrade, TimeInForce

PRESETS = [name for name in Rules.presets() if not Rules.preset(name).stress]
QUOTES = {"hyperliquid": "USDC", "dydx-v4": "USDC", "ftx-2022": "USD"}
COINS = ["BTC", "ETH", "SOL", "XRP", "DOGE", "SUI", "ATOM", "BNB"]
PRICE = 100.0


class Twins:
    """The same exchange twice: one keeps sums, the other looks at every row."""

    def __init__(self, preset: str, equity: float, hedge: bool) -> None:
        """Two accounts trade, each with ``equity`` US dollars in many coins."""
        quote = QUOTES.get(preset, "USDT")
        self.markets = [
            *(f"{coin}/{quote}" for coin in COINS),
            *(f"{coin}/{quote}:PERP" for coin in COINS),
            "ETH/BTC",
            "SOL/ETH",
        ]
        self.both = [Exchange(self.markets, preset) for _ in range(2)]
        self.prices = np.full(len(COINS), PRICE)
        share = round(equity / (len(COINS) + 8) / PRICE, 6)
        for exchange in self.both:
            exchange.reprice(dict(zip(COINS, self.prices.tolist(), strict=True)))
            self.people = [
                exchange.open_account(
                    dict.fromkeys(COINS, share) | {quote: round(8 * share * PRICE, 6)}
                )
                for _ in range(2)
            ]
            if hedge:
                exchange.ledger.set_hedge(self.people[0], True)
            exchange.books.set_self_trade(self.people[1], SelfTrade.CANCEL_OLDEST)
        self.both[1].risk.following = False
        self.equity = equity

    def send(self, rows: list[dict[str, Any]]) -> None:
        """Both get the same messages, and must answer with the same bytes."""
        batch = np.zeros(len(rows), MESSAGE)
        for i, row in enumerate(rows):
            for name, value in row.items():
                batch[i][name] = value
        kept, anew = (exchange.process(batch.copy()) for exchange in self.both)
        for one, other in zip(kept, anew, strict=True):
            assert one.tobytes() == other.tobytes()

    def check(self) -> None:
        """Sums are a bound, and both ledgers hold the same."""
        kept, anew = self.both
        kept.risk._check()
        kept.ledger._check()
        for account in self.people:
            assert kept.risk.account(account) == anew.risk.account(account)


sides = st.integers(0, 1)
where = st.integers(0, 2 * len(COINS) + 1)
orders = st.lists(
    st.tuples(
        st.integers(0, 1),
        where,
        sides,
        st.sampled_from([0.9, 0.98, 0.995, 1.0, 1.0, 1.005, 1.02, 1.1]),
        st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0]),
        st.sampled_from(
            ["limit", "limit", "limit", "post", "market", "reduce", "replace", "cancel"]
        ),
    ),
    min_size=3,
    max_size=14,
)
between = st.lists(
    st.tuples(
        orders,
        st.sampled_from(["nothing", "move", "take", "leverage", "owe", "elsewhere"]),
        st.floats(0.9, 1.1),
        st.integers(0, len(COINS) - 1),
    ),
    min_size=2,
    max_size=5,
)


def message(
    twins: Twins, order: tuple[int, int, int, float, float, str], ids: list[int]
) -> dict[str, Any]:
    """A message from what was drawn: a price by the index, a size by the equity."""
    who, market, side, off, size, how = order
    exchange = twins.both[0]
    name = twins.markets[market]
    base, _, quote = name.removesuffix(":PERP").partition("/")
    price = twins.prices[COINS.index(base)]
    lot_usd = price * exchange.lot[market]
    if quote in COINS:
        price /= twins.prices[COINS.index(quote)]
    row = {
        "kind": Kind.LIMIT,
        "market": market,
        "account": twins.people[who],
        "side": side,
        "price": max(1, round(price * off / exchange.tick[market])),
        "qty": max(1, int(size * twins.equity / lot_usd)),
    }
    if how in ("replace", "cancel"):
        row["kind"] = Kind.REPLACE if how == "replace" else Kind.CANCEL
        row["order_id"] = ids[market % len(ids)] if ids else 1
    elif how == "market":
        row |= {"kind": Kind.MARKET, "price": 0, "tif": TimeInForce.IOC}
    elif how == "post":
        row["flags"] = Flag.POST_ONLY
    elif how == "reduce":
        row["flags"] = Flag.REDUCE_ONLY
    return row


def happens(twins: Twins, what: str, by: float, coin: int) -> None:
    """Something beside orders that what an account could bear depends on."""
    if what == "move":
        twins.prices[coin] *= by
    for exchange in twins.both:
        ledger, account = exchange.ledger, twins.people[0]
        asset = exchange.asset_number[COINS[coin]]
        if what == "move":
            exchange.reprice(dict(zip(COINS, twins.prices.tolist(), strict=True)))
        elif what in ("take", "owe"):
            has = max(0, ledger.balance(account, asset))
            ledger.transfer(
                asset, account, EXTERNAL, has // 2 if what == "take" else 2 * has
            )
        elif what == "leverage":
            ledger.set_leverage(account, len(COINS) + coin, 1 + coin)


def another_judges(twins: Twins) -> None:
    """Orders pass another gate for a while, which reads what changed."""
    gates = [exchange.risk for exchange in twins.both]
    prices = dict(zip(COINS, twins.prices.tolist(), strict=True))
    for exchange in twins.both:
        exchange.risk = exchange.risk_under(exchange.rules)
        exchange.reprice(prices)
        exchange.ledger.gate = exchange.risk
    quotes = [(0, market, 0, 0.98, 0.01, "limit") for market in range(len(COINS))]
    twins.send([message(twins, quote, []) for quote in quotes])
    for exchange, gate in zip(twins.both, gates, strict=True):
        exchange.risk = exchange.ledger.gate = gate


@given(
    st.sampled_from(PRESETS),
    st.sampled_from([1_000.0, 100_000.0, 10_000_000.0]),
    st.booleans(),
    between,
)
@settings(max_examples=150, phases=UNTRACED)
def test_kept_sums_decide_as_a_look_at_every_row(
    preset: str,
    equity: float,
    hedge: bool,
    steps: list[tuple[list[Any], str, float, int]],
) -> None:
    """Through fills, cancels, replacements, new prices, transfers; to the byte."""
    twins = Twins(preset, equity, hedge)
    ids: list[int] = []
    for batch, what, by, coin in steps:
        twins.send([message(twins, order, ids) for order in batch])
        twins.check()
        if what == "elsewhere":
            another_judges(twins)
        else:
            happens(twins, what, by, coin)
        ids = [
            int(row)
            for account in twins.people
            for row in twins.both[0].open_orders(account)["order_id"]
        ]
    twins.check()


@pytest.mark.parametrize("seed", [0, 3, 4, 5])
def test_sums_of_which_all_has_been_taken_off_are_still_a_bound(seed: int) -> None:
    """What is left is the rounding of sizes that are gone, above 0 or below."""
    chance = np.random.default_rng(seed)
    exchange = Exchange([f"{coin}/USDC" for coin in COINS], "hyperliquid")
    prices = dict(
        zip(COINS, chance.uniform(10, 1000, len(COINS)).round(2), strict=True)
    )
    exchange.reprice({coin: float(price) for coin, price in prices.items()})
    # Collateral there is USDC alone: the account is worth 0 and loses nothing.
    account = exchange.open_account(dict.fromkeys(COINS, 9.0))
    for coin in 2 * COINS:
        dear = float(round(2 * prices[coin]))
        qty = round(float(chance.uniform(0.1, 2)), 1)
        order = limit(account, f"{coin}/USDC", "sell", dear, qty)
        assert exchange.submit(order).accepted
    exchange.risk._check()
    exchange.books.cancel_all(account)
    exchange.risk._check()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_maker_far_from_its_limit_is_seldom_judged(preset: str) -> None:
    """One quote a side in every market, anew ten times: a look at all rows is rare."""
    twins = Twins(preset, 1e6, hedge=False)
    for turn in range(10):
        for exchange in twins.both:
            exchange.books.cancel_all(twins.people[0])
        off = 0.001 * (1 + turn % 3)
        quotes = [
            message(twins, (0, market, side, 1.0 + off * (2 * side - 1), 0.004, ""), [])
            for market in range(len(twins.markets))
            for side in (0, 1)
        ]
        twins.send(quotes)
        assert twins.both[0].books.live_orders == len(quotes)
    sent = 10 * 2 * len(twins.markets)
    assert twins.both[1].risk.judged == sent
    assert twins.both[0].risk.judged <= 30
