"""The ledger in plain Python: what the compiled one must hold, atom for atom.

It listens to the readable book. Amounts are Python integers, so nothing overflows;
divisions are exact fractions, so each rounding is one that is written down here.
"""

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from flashwick.cython_ext.ledger import CLEARING, FEES, INSURANCE, Ledger
from flashwick.orderbook.orders import Flag, Reason, Side

ATOMS_MAX = 2**60
BUY, SELL = Side.BUY, Side.SELL
NET, LONG, SHORT = range(3)


class Terms(NamedTuple):
    """A market, as `Ledger.add_market` takes it."""

    base: int
    quote: int
    perpetual: bool
    base_unit: int
    quote_unit: int
    maker_ppm: int = 0
    taker_ppm: int = 0
    liquidation_ppm: int = 0


def fee(notional: int, ppm: int) -> int:
    """A fee is rounded up to the atom, a rebate down."""
    exact = Fraction(notional * ppm, 10**6)
    return ceil(exact) if ppm > 0 else -floor(-exact)


class Perpetual:
    """A position: its lots and what they cost, exactly and in atoms.

    What is closed is realised in proportion to the cost; the share of the cost is
    rounded toward zero, so a partial close may be an atom off, and the close of the
    whole position makes up for it.
    """

    def __init__(self) -> None:
        self.lots = self.cost = 0
        self.realised = 0  # atoms, all in all
        self.exact_cost = self.exact_realised = Fraction(0)
        self.roundings = 0  # partial closes since it was flat

    def trade(self, lots: int, unit_price: int) -> int:
        """Buy, or sell, at a price in atoms a lot; return the profit realised."""
        closing = 0
        if self.lots * lots < 0:
            closing = lots if abs(lots) < abs(self.lots) else -self.lots
        profit = 0
        if closing:
            part = Fraction(-closing, self.lots)
            share = Fraction(self.cost) * part
            share = floor(share) if share >= 0 else ceil(share)
            exact_share = self.exact_cost * part
            profit = -closing * unit_price - share
            self.realised += profit
            self.exact_realised += -closing * unit_price - exact_share
            self.cost -= share
            self.exact_cost -= exact_share
            self.lots += closing
            self.roundings = self.roundings + 1 if self.lots else 0
        opening = lots - closing
        self.lots += opening
        self.cost += opening * unit_price
        self.exact_cost += opening * unit_price
        return profit


class ModelLedger:
    """Balances, holds and positions of accounts; a listener of the readable book."""

    def __init__(self, markets: tuple[Terms, ...], accounts: int) -> None:
        self.markets = markets
        self.accounts = accounts
        self.amount: Counter[tuple[int, int]] = Counter()
        self.hold: Counter[tuple[int, int]] = Counter()
        self.open: Counter[tuple[int, int, int, int]] = Counter()
        self.notional: Counter[tuple[int, int, int, int]] = Counter()
        self.positions: dict[tuple[int, int, int], Perpetual] = {}
        self.hedged: set[int] = set()

    def move(self, asset: int, source: int, target: int, atoms: int) -> None:
        """Take from one account what another gets."""
        self.amount[source, asset] -= atoms
        self.amount[target, asset] += atoms

    def leg(self, account: int, side: int, flags: int = 0) -> int:
        """In hedge mode an order trades its own side's leg, or to reduce the other."""
        if account not in self.hedged:
            return NET
        reduces = bool(flags & Flag.REDUCE_ONLY)
        return LONG if (side == BUY) != reduces else SHORT

    def lots(self, account: int, market: int, leg: int = NET) -> int:
        """Signed lots of a position or a leg."""
        held = self.positions.get((account, market, leg))
        return held.lots if held else 0

    def trade(
        self, account: int, market: int, lots: int, price: int, leg: int = NET
    ) -> None:
        """Change a position; what it realises comes from CLEARING."""
        terms = self.markets[market]
        held = self.positions.setdefault((account, market, leg), Perpetual())
        profit = held.trade(lots, price * terms.quote_unit)
        self.move(terms.quote, CLEARING, account, profit)

    def open_position(self, account: int, market: int, lots: int, price: int) -> None:
        """Open from outside the books."""
        side = BUY if lots >= 0 else SELL
        self.trade(account, market, lots, price, self.leg(account, side))

    def hand_over(
        self, market: int, source: int, heir: int, lots: int, price: int
    ) -> None:
        """Close there, and here first what is opposite, then open."""
        side = BUY if lots >= 0 else SELL
        self.trade(source, market, -lots, price, self.leg(source, side))
        opposite = self.leg(heir, side, Flag.REDUCE_ONLY)
        if opposite != NET:
            closing = -self.lots(heir, market, opposite)
            closing = min(closing, lots) if lots >= 0 else max(closing, lots)
            self.trade(heir, market, closing, price, opposite)
            lots -= closing
        self.trade(heir, market, lots, price, self.leg(heir, side))

    # -- THE LISTENER'S PART

    def check(self, message: Mapping[str, int]) -> int:
        """Accounts that are open, orders that fit."""
        terms = self.markets[message["market"]]
        if message["account"] >= self.accounts:
            return Reason.UNKNOWN_ACCOUNT
        notional = message["qty"] * message["price"] * terms.quote_unit
        if max(message["qty"] * terms.base_unit, notional) > ATOMS_MAX:
            return Reason.OVERFLOW
        return Reason.OK

    def position(self, market: int, account: int, side: int) -> int:
        """Signed lots that a reduce-only order on this side may reduce."""
        return self.lots(account, market, self.leg(account, side, Flag.REDUCE_ONLY))

    def rest(
        self,
        market: int,
        account: int,
        side: int,
        price: int,
        qty_delta: int,
        flags: int,
    ) -> None:
        """Keep the sums of orders, and reserve what leaves if they fill."""
        terms = self.markets[market]
        base, quote = qty_delta * terms.base_unit, qty_delta * price * terms.quote_unit
        leg = self.leg(account, side, flags) if terms.perpetual else NET
        self.open[account, market, leg, side] += qty_delta
        self.notional[account, market, leg, side] += quote
        if terms.perpetual:
            return
        asset, atoms = (terms.quote, quote) if side == BUY else (terms.base, base)
        self.hold[account, asset] += atoms

    def fill(self, fill: Mapping[str, int]) -> None:
        """Settle a trade and take the fees in the quote asset."""
        market, price, qty = fill["market"], fill["price"], fill["qty"]
        maker, taker = fill["maker"], fill["taker"]
        terms = self.markets[market]
        buyer, seller = (taker, maker) if fill["taker_side"] == BUY else (maker, taker)
        notional = price * qty * terms.quote_unit
        flags = (fill["flags"], fill["maker_flags"])
        buys, sells = flags if fill["taker_side"] == BUY else flags[::-1]
        if terms.perpetual:
            self.trade(buyer, market, qty, price, self.leg(buyer, BUY, buys))
            self.trade(seller, market, -qty, price, self.leg(seller, SELL, sells))
        else:
            self.move(terms.base, seller, buyer, qty * terms.base_unit)
            self.move(terms.quote, buyer, seller, notional)
        self.move(terms.quote, maker, FEES, fee(notional, terms.maker_ppm))
        self.move(terms.quote, taker, FEES, fee(notional, terms.taker_ppm))
        if fill["flags"] & Flag.LIQUIDATION:
            forced = fee(notional, terms.liquidation_ppm)
            self.move(terms.quote, taker, INSURANCE, forced)

    # -- WHAT IT HOLDS

    def state(self) -> dict[str, dict[tuple[int, ...], int]]:
        """Everything that is not zero, as `state` says it of the compiled ledger."""
        lots = {key: held.lots for key, held in self.positions.items()}
        cost = {key: held.cost for key, held in self.positions.items()}
        columns: dict[str, Mapping[tuple[int, ...], int]] = {
            "amount": self.amount,
            "hold": self.hold,
            "lots": lots,
            "cost": cost,
            "open": self.open,
            "notional": self.notional,
        }
        return {
            name: {key: value for key, value in column.items() if value}
            for name, column in columns.items()
        }


def state(ledger: Ledger) -> dict[str, dict[tuple[int, ...], int]]:
    """Everything of a compiled ledger that is not zero."""
    columns: dict[str, dict[tuple[int, ...], int]] = {
        name: {} for name in ("amount", "hold", "lots", "cost", "open", "notional")
    }
    for account in range(ledger.n_accounts):
        for row in ledger.balances_of(account):
            for name in ("amount", "hold"):
                columns[name][account, int(row["asset"])] = int(row[name])
        for row in ledger.positions_of(account):
            leg = account, int(row["market"]), int(row["leg"])
            columns["lots"][leg] = int(row["lots"])
            columns["cost"][leg] = int(row["cost"])
            columns["open"][*leg, BUY] = int(row["open_buy"])
            columns["open"][*leg, SELL] = int(row["open_sell"])
        for row in ledger.resting_of(account):
            leg = account, int(row["market"]), int(row["leg"])
            for side, lots, notional in (
                (BUY, "bids", "bid_notional"),
                (SELL, "asks", "ask_notional"),
            ):
                # A perpetual's lots are beside its position too.
                seen = columns["open"].setdefault((*leg, side), int(row[lots]))
                assert seen == row[lots]
                columns["notional"][*leg, side] = int(row[notional])
    return {
        name: {key: value for key, value in column.items() if value}
        for name, column in columns.items()
    }


def ledger_of(markets: tuple[Terms, ...], assets: int, accounts: int) -> Ledger:
    """A compiled ledger with these markets, and accounts beside the venue's own."""
    ledger = Ledger()
    for _ in range(assets):
        ledger.add_asset()
    for terms in markets:
        ledger.add_market(*terms)
    ledger.open_accounts(accounts)
    return ledger


def holds_of_orders(
    orders: "np.ndarray", markets: tuple[Terms, ...], accounts: int, hedged: set[int]
) -> dict[str, dict[tuple[int, ...], int]]:
    """Sums over these resting orders, anew."""
    model = ModelLedger(markets, accounts)
    model.hedged = hedged
    for row in orders:
        model.rest(
            int(row["market"]),
            int(row["account"]),
            int(row["side"]),
            int(row["price"]),
            int(row["qty"]),
            int(row["flags"]),
        )
    found = model.state()
    return {name: found[name] for name in ("hold", "open", "notional")}
