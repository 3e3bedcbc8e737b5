"""Every preset, compiled and readable: the same account, worth the same to 1e-9."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ledger_model import Terms, ledger_of
from phases import UNTRACED

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import Risk
from flashwick.margin.fills import PerpOrder, SpotOrder
from flashwick.margin.reference import (
    Balance,
    Position,
    account_health,
    net_equities,
    worst_case,
)
from flashwick.margin.rules import Rules
from flashwick.orderbook.orders import Flag, Side

PRESETS = Rules.presets()
ASSETS = ("USDT", "USDC", "BTC", "ETH", "SOL", "DOGE")
PRICES = dict(zip(ASSETS, (1.0, 0.999, 117_000.0, 4_100.0, 205.0, 0.24), strict=True))
SPOT = (("BTC", "USDT"), ("ETH", "BTC"))
PERPS = (("BTC", "USDT"), ("ETH", "USDC"), ("SOL", "BTC"), ("DOGE", "USDT"))
NAMES = [f"{b}/{q}" for b, q in SPOT] + [f"{b}/{q}:PERP" for b, q in PERPS]
ATOM, LOT = 1e-8, 1e-2
UNIT = 10**6  # base atoms of a lot
LOTS = [PRICES[b] / PRICES[q] * LOT / ATOM for b, q in SPOT + PERPS]
TICKS = [max(1, int(lot / 30_000)) for lot in LOTS]  # quote atoms of a tick times a lot
MARKETS = tuple(
    Terms(ASSETS.index(b), ASSETS.index(q), i >= len(SPOT), UNIT, TICKS[i])
    for i, (b, q) in enumerate(SPOT + PERPS)
)
ALICE, BOB = SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + 1

worth = st.floats(2.0, 8.5).map(lambda x: 10.0**x)
signed = st.tuples(st.sampled_from([-1, 1]), worth).map(lambda pair: pair[0] * pair[1])
perpetual = st.integers(len(SPOT), len(NAMES) - 1)
moves = st.floats(0.5, 1.5)
held = st.tuples(signed, moves, st.sampled_from([0, 1, 3, 20]))
order = st.tuples(
    st.integers(0, len(NAMES) - 1), signed, st.sampled_from([0.01, 0.5, 0.99, 1.0, 1.1])
)


def ticks(market: int) -> int:
    """The price of a lot, in ticks."""
    return round(LOTS[market] / TICKS[market])


class Account:
    """One account, in the ledger and as the readable valuation takes it."""

    def __init__(self, hedged: bool) -> None:
        self.ledger: Ledger = ledger_of(MARKETS, len(ASSETS), 2)
        self.books = Books(self.ledger)
        for _ in MARKETS:
            self.books.add_market()
        self.ledger.set_hedge(ALICE, hedged)
        self.net = dict.fromkeys(ASSETS, 0.0)
        self.positions: list[Position] = []
        self.orders: list[SpotOrder | PerpOrder] = []

    def hold(self, asset: str, usd: float) -> None:
        """So many dollars' worth, negative if owed."""
        atoms = int(usd / PRICES[asset] / ATOM)
        pair = (EXTERNAL, ALICE) if atoms > 0 else (ALICE, EXTERNAL)
        self.ledger.transfer(ASSETS.index(asset), *pair, abs(atoms))
        self.net[asset] += atoms * ATOM

    def open(self, market: int, usd: float, moved: float, leverage: int) -> None:
        """So many dollars' worth, bought or sold at another price."""
        base, quote = (SPOT + PERPS)[market]
        lots, price = int(usd / PRICES[base] / LOT), max(1, int(ticks(market) * moved))
        if not lots:
            return
        self.ledger.open_positions(market, [ALICE, BOB], [lots, -lots], price)
        self.ledger.set_leverage(ALICE, market, leverage)
        self.positions.append(
            Position(
                NAMES[market],
                quote,
                qty=lots * LOT,
                entry=price * TICKS[market] * ATOM / LOT,
                mark=PRICES[base] / PRICES[quote],
                leverage=leverage,
            )
        )

    def order(self, market: int, usd: float, at: float) -> None:
        """A resting order of so many dollars, at so much of the price or over it."""
        base, quote = (SPOT + PERPS)[market]
        lots = int(abs(usd) / PRICES[base] / LOT)
        side, sign = (Side.BUY, 1) if usd > 0 else (Side.SELL, -1)
        price = round(ticks(market) * at**sign)
        answer = lots and self.books.limit(
            market, ALICE, side, price, lots, flags=Flag.POST_ONLY
        )
        if answer <= 0:  # no lot, or it would trade with another
            return
        paid = price * TICKS[market] * ATOM / LOT
        if market >= len(SPOT):
            mark = PRICES[base] / PRICES[quote]
            self.orders.append(
                PerpOrder(NAMES[market], quote, sign * lots * LOT, paid, mark)
            )
            return
        coins, cash = (base, lots * LOT), (quote, lots * LOT * paid)
        pays, gets = (cash, coins) if sign > 0 else (coins, cash)
        self.orders.append(SpotOrder(*pays, *gets, sign > 0))

    def compiled(self, rules: Rules) -> Risk:
        """The compiled pass over it."""
        risk = Risk(
            self.ledger,
            rules.terms(ASSETS, NAMES),
            rules.margin_factors(NAMES),
            np.full(len(ASSETS), ATOM),
            np.full(len(NAMES), LOT),
            rules.thresholds.order,
            rules.account.open_loss,
        )
        risk.position_margin = rules.position_margin(ASSETS, NAMES)
        index = np.array([PRICES[a] for a in ASSETS]) * ATOM
        base, quote = (
            np.array([getattr(terms, name) for terms in MARKETS])
            for name in ("base", "quote")
        )
        lot = index[base] / index[quote] * UNIT
        risk.set_prices(index, lot * index[quote], lot)
        return risk

    def readable(self) -> tuple[Any, ...]:
        """As the readable valuation takes it: what is missing is borrowed."""
        wallets = {asset: Balance(net) for asset, net in self.net.items()}
        net = net_equities(wallets, self.positions)
        balances = {
            asset: Balance(
                self.net[asset] + max(0.0, -net[asset]), max(0.0, -net[asset])
            )
            for asset in ASSETS
        }
        return balances, self.positions, PRICES

    def scale(self) -> float:
        """Terms of the sums, without their signs."""
        coins = sum(abs(net) * PRICES[a] for a, net in self.net.items())
        lots = sum(
            abs(p.qty) * (p.mark + p.entry) * PRICES[p.settle] for p in self.positions
        )
        for o in self.orders:
            if isinstance(o, SpotOrder):
                coins += o.pays_qty * PRICES[o.pays] + o.gets_qty * PRICES[o.gets]
            else:
                lots += abs(o.qty) * (o.mark + o.limit) * PRICES[o.settle]
        return 1.0 + coins + lots


@pytest.mark.parametrize("preset", PRESETS)
@given(
    st.dictionaries(st.sampled_from(ASSETS), signed, max_size=5),
    st.dictionaries(perpetual, held, max_size=4),
    st.lists(order, max_size=6),
)
# What this order loses in equity it saves in margin, to the last digit but one.
@example(
    {"USDT": -100.0, "USDC": -100.0, "BTC": -100_000.0},
    dict.fromkeys((2, 3, 4), (-100.0, 1.0, 0)) | {5: (-100_000.0, 1.5, 0)},
    [(0, 10_000.0, 1.1)],
)
@settings(max_examples=40, phases=UNTRACED)
def test_account_is_worth_what_the_readable_valuation_says(
    preset: str,
    balances: dict[str, float],
    positions: dict[int, tuple[float, float, int]],
    orders: list[tuple[int, float, float]],
) -> None:
    """Maintenance and opening set, leverage chosen, orders resting."""
    rules, account = Rules.preset(preset), Account(hedged=False)
    for asset, usd in balances.items():
        account.hold(asset, usd)
    for market, (usd, moved, leverage) in positions.items():
        account.open(market, usd, moved, leverage)
    for each in orders:
        account.order(*each)
    ours = assert_same(account, rules)
    theirs = account_health(*account.readable(), rules)
    assert ours["exposure"] >= theirs.notional * (1 - 1e-9)


def assert_same(account: Account, rules: Rules) -> dict[str, float]:
    """Both valuations of the account, its orders, and what it may withdraw by."""
    risk, here = account.compiled(rules), account.readable()
    ours, theirs = risk.account(ALICE), account_health(*here, rules, account.orders)
    for name in ("equity", "adjusted", "maintenance", "adjusted_initial", "initial"):
        expected = pytest.approx(
            getattr(theirs, name), rel=1e-9, abs=1e-11 * account.scale()
        )
        assert ours[name] == expected, name
    for initial in (True, False):
        expected = worst_case(
            *here, rules, account.orders, multiple=1.25, initial=initial
        )
        assert risk.worst_case(ALICE, 1.25, initial) == pytest.approx(
            expected, rel=1e-9, abs=1e-11 * account.scale()
        )
    return ours


@pytest.mark.parametrize("preset", PRESETS)
@given(perpetual, held, held, st.lists(order, max_size=4))
@settings(max_examples=15, phases=UNTRACED)
def test_legs_are_two_positions(
    preset: str,
    market: int,
    long: tuple[float, float, int],
    short: tuple[float, float, int],
    orders: list[tuple[int, float, float]],
) -> None:
    """Each needs its own margin, orders too; the leverage is the market's."""
    rules, account = Rules.preset(preset), Account(hedged=True)
    account.hold("USDT", 1e6)
    account.open(market, abs(long[0]), long[1], short[2])
    account.open(market, -abs(short[0]), *short[1:])
    if len(account.positions) == 2:
        for _, *how in orders:
            account.order(market, *how)
    assert_same(account, rules)
