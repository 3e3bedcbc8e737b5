"""Every preset, compiled and readable: the same account, worth the same to 1e-9."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_model import Terms, ledger_of
from phases import UNTRACED

from flashwick.cython_ext.book import Books
from flashwick.cython_ext.ledger import EXTERNAL, SYSTEM_ACCOUNTS, Ledger
from flashwick.cython_ext.risk import Risk
from flashwick.margin.reference import (
    Balance,
    PerpOrder,
    Position,
    SpotOrder,
    account_health,
    net_equities,
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
UNIT, TICK = 10**6, 1  # base atoms of a lot; an atom of quote is a tick times a lot
MARKETS = tuple(
    Terms(ASSETS.index(b), ASSETS.index(q), i >= len(SPOT), UNIT, TICK)
    for i, (b, q) in enumerate(SPOT + PERPS)
)
ALICE, BOB = SYSTEM_ACCOUNTS, SYSTEM_ACCOUNTS + 1

worth = st.floats(2.0, 8.5).map(lambda x: 10.0**x)
signed = st.tuples(st.sampled_from([-1, 1]), worth).map(lambda pair: pair[0] * pair[1])
perpetual = st.integers(len(SPOT), len(NAMES) - 1)
moves = st.floats(0.5, 1.5)
held = st.tuples(signed, moves, st.sampled_from([0, 1, 3, 20]))


def ticks(market: int) -> int:
    """The price of a lot, in ticks."""
    base, quote = (SPOT + PERPS)[market]
    return max(1, round(PRICES[base] / PRICES[quote] * LOT / ATOM))


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
                entry=price * ATOM / LOT,
                mark=PRICES[base] / PRICES[quote],
                leverage=leverage,
            )
        )

    def order(self, market: int, usd: float) -> None:
        """A resting order of so many dollars at about the price."""
        base, quote = (SPOT + PERPS)[market]
        lots, price = int(abs(usd) / PRICES[base] / LOT), min(ticks(market), 2**30 - 1)
        side, sign = (Side.BUY, 1) if usd > 0 else (Side.SELL, -1)
        if not lots:
            return
        resting = self.books.limit(
            market, ALICE, side, price, lots, flags=Flag.POST_ONLY
        )
        assert resting > 0
        if market >= len(SPOT):
            at = PRICES[base] / PRICES[quote]
            self.orders.append(
                PerpOrder(NAMES[market], quote, sign * lots * LOT, at, at)
            )
            return
        coins, cash = (base, lots * LOT), (quote, lots * price * ATOM)
        pays, gets = (cash, coins) if sign > 0 else (coins, cash)
        self.orders.append(SpotOrder(*pays, *gets))

    def compiled(self, rules: Rules) -> dict[str, float]:
        """Valued by the compiled pass."""
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
        return risk.account(ALICE)

    def readable(self, rules: Rules) -> Any:
        """Valued by the readable one: what is missing is borrowed."""
        wallets = {asset: Balance(net) for asset, net in self.net.items()}
        net = net_equities(wallets, self.positions)
        balances = {
            asset: Balance(
                self.net[asset] + max(0.0, -net[asset]), max(0.0, -net[asset])
            )
            for asset in ASSETS
        }
        return account_health(balances, self.positions, PRICES, rules, self.orders)

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
                lots += abs(o.qty) * o.mark * PRICES[o.settle]
        return 1.0 + coins + lots


@pytest.mark.parametrize("preset", PRESETS)
@given(
    st.dictionaries(st.sampled_from(ASSETS), signed, max_size=5),
    st.dictionaries(perpetual, held, max_size=4),
    st.dictionaries(st.integers(0, len(NAMES) - 1), signed, max_size=3),
)
@settings(max_examples=40, phases=UNTRACED)
def test_account_is_worth_what_the_readable_valuation_says(
    preset: str,
    balances: dict[str, float],
    positions: dict[int, tuple[float, float, int]],
    orders: dict[int, float],
) -> None:
    """Maintenance and opening set, leverage chosen, orders resting."""
    rules, account = Rules.preset(preset), Account(hedged=False)
    for asset, usd in balances.items():
        account.hold(asset, usd)
    for market, (usd, moved, leverage) in positions.items():
        account.open(market, usd, moved, leverage)
    # Open loss is of each order there and of all together here: with one they agree.
    spot = [market for market in orders if market < len(SPOT)][:1]
    for market in [*spot, *(m for m in orders if m >= len(SPOT))]:
        account.order(market, orders[market])
    ours, theirs = account.compiled(rules), account.readable(rules)
    for name in ("equity", "adjusted", "maintenance", "adjusted_initial", "initial"):
        expected = pytest.approx(
            getattr(theirs, name), rel=1e-9, abs=1e-11 * account.scale()
        )
        assert ours[name] == expected, name
    assert ours["exposure"] >= theirs.notional * (1 - 1e-9)


@pytest.mark.parametrize("preset", PRESETS)
@given(perpetual, held, held)
@settings(max_examples=15, phases=UNTRACED)
def test_legs_are_two_positions(
    preset: str,
    market: int,
    long: tuple[float, float, int],
    short: tuple[float, float, int],
) -> None:
    """Each needs its own margin; the leverage is the market's."""
    rules, account = Rules.preset(preset), Account(hedged=True)
    account.hold("USDT", 1e6)
    account.open(market, abs(long[0]), long[1], short[2])
    account.open(market, -abs(short[0]), *short[1:])
    ours, theirs = account.compiled(rules), account.readable(rules)
    for name in ("equity", "adjusted", "maintenance", "adjusted_initial", "initial"):
        assert ours[name] == pytest.approx(
            getattr(theirs, name), rel=1e-9, abs=1e-11 * account.scale()
        )
