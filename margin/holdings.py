"""What accounts hold and what it is worth at the prices of the moment.

While a cycle of the liquidation engine runs prices stand, so that what was looked at
is remembered until an account changes, and many accounts are looked at in one go.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from math import ceil, floor, isnan
from typing import NamedTuple

import numpy as np
from attrs import Factory, define

from .bankruptcy import bankruptcy_price
from .cases import Venue
from .rules import Rules


class Held(NamedTuple):
    """A position of an account, in lots; long above 0. In hedge mode, one leg."""

    market: int
    lots: int
    cost: int  # quote atoms
    leg: int  # 0 net, 1 long, 2 short


class Coin(NamedTuple):
    """A balance of an account, in atoms; owed below 0."""

    asset: int
    atoms: int
    market: int | None  # in which it is sold


class Value(NamedTuple):
    """An account as the risk pass values it, US dollars but for the health."""

    equity: float
    adjusted: float
    maintenance: float
    health: float


@define
class Looked:
    """What is known of an account in this cycle, until it changes."""

    value: Value | None = None
    held: tuple[Held, ...] | None = None
    coins: tuple[Coin, ...] | None = None
    # Bankruptcy prices, and what shares the equity that they are made of.
    bankrupt: dict[tuple[int, int], int] = Factory(dict)
    margins: float | None = None
    gross: float | None = None


class Holdings:
    """Answers what the steps of a liquidation ask about accounts and prices."""

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        # Accounts that changed in this cycle, as they did; some more than once.
        self.changes: list[int] = []
        # While a cycle runs prices stand, and only what is done here changes holdings.
        self.running = False
        self._known: dict[int, Looked] = {}
        self._index: dict[int, float] = {}  # by asset
        self._price: dict[int, float] = {}  # by market
        names = [spec.name for spec in venue.specs]
        self.curves = [rules.brackets_of(name) for name in names]
        self._factor: list[float] = rules.margin_factors(names).tolist()
        # Plain numbers: what NumPy takes out of an array is slow to reckon with.
        self.tick: list[float] = venue.tick.tolist()
        self.lot: list[float] = venue.lot.tolist()
        self.atom: list[float] = venue.atom.tolist()
        self._base: list[int] = venue.base.tolist()
        self._quote: list[int] = venue.quote.tolist()
        self._perpetual = [spec.perpetual for spec in venue.specs]
        # A coin is sold in the first spot market that has it as base.
        self._spot: dict[int, int] = {}
        for market, perpetual in enumerate(self._perpetual):
            if not perpetual:
                self._spot.setdefault(self._base[market], market)

    # -- A CYCLE

    @contextmanager
    def cycle(self) -> Iterator[None]:
        """Remember prices and holdings until the end, or until they change here."""
        self._forget()
        self.running = True
        try:
            yield
        finally:
            self.running = False
            self._forget()

    def _forget(self) -> None:
        self.changes = []
        self._known.clear()
        self._index.clear()
        self._price.clear()

    def revalued(self, accounts: Iterable[int]) -> None:
        """Forget what accounts are worth, whose holdings are what they were."""
        for account in accounts:
            looked = self._known.get(account)
            if looked is not None:
                looked.value = None

    def changed(self, accounts: Collection[int]) -> None:
        """Forget what is known of accounts, and note that they changed."""
        for account in accounts:
            self._known.pop(account, None)
        if self.running:
            self.changes += accounts

    def load(self, accounts: Collection[int]) -> None:
        """Look at many accounts at once, at those that are not known.

        O(their holdings), a tenth of what it takes one by one.
        """
        assert self.running
        known = self._known
        new = [account for account in accounts if account not in known]
        if new:
            self._load(new)
        new = [account for account in accounts if known[account].value is None]
        if new:
            valued = self.venue.risk.at(accounts=np.array(new, np.int64))
            each = zip(*(valued[name].tolist() for name in Value._fields), strict=True)
            for account, value in zip(new, each, strict=True):
                known[account].value = Value._make(value)

    def _load(self, accounts: list[int]) -> None:
        ledger, who, spot = self.venue.ledger, np.array(accounts, np.int64), self._spot
        positions = ledger.positions_many(who)
        positions = positions[positions["lots"] != 0]
        held: dict[int, list[Held]] = {}
        names = ["account", "market", "lots", "cost", "leg"]
        for account, *row in zip(*(positions[n].tolist() for n in names), strict=True):
            held.setdefault(account, []).append(Held._make(row))
        balances = ledger.balances_many(who)
        balances = balances[balances["amount"] != 0]
        coins: dict[int, list[Coin]] = {}
        names = ["account", "asset", "amount"]
        for account, asset, atoms in zip(
            *(balances[name].tolist() for name in names), strict=True
        ):
            coins.setdefault(account, []).append(Coin(asset, atoms, spot.get(asset)))
        for account in accounts:
            self._known[account] = Looked(
                None, tuple(held.get(account, ())), tuple(coins.get(account, ()))
            )

    def _looked(self, account: int) -> Looked:
        # What is not known yet; outside a cycle nothing is remembered.
        looked = Looked()
        if self.running:
            self._known[account] = looked
        return looked

    # -- HOLDINGS

    def value(self, account: int) -> Value:
        """The account as the risk pass values it now."""
        looked = self._known.get(account) or self._looked(account)
        if looked.value is None:
            found = self.venue.risk.account(account)
            looked.value = Value._make(found[name] for name in Value._fields)
        return looked.value

    def positions(self, account: int) -> tuple[Held, ...]:
        """The account's open positions, each leg by itself."""
        looked = self._known.get(account) or self._looked(account)
        if looked.held is None:
            rows = self.venue.ledger.positions_of(account).tolist()
            looked.held = tuple(
                Held(market, lots, cost, leg)
                for _, market, lots, cost, _, _, leg, _ in rows
                if lots
            )
        return looked.held

    def coins(self, account: int) -> tuple[Coin, ...]:
        """The account's balances: asset, atoms, and the market it is sold in."""
        looked = self._known.get(account) or self._looked(account)
        if looked.coins is None:
            rows = self.venue.ledger.balances_of(account).tolist()
            looked.coins = tuple(
                Coin(asset, atoms, self._spot.get(asset))
                for _, asset, atoms, *_ in rows
                if atoms
            )
        return looked.coins

    def debts(self, account: int) -> dict[int, int]:
        """What the account owes: atoms by asset."""
        return {asset: -atoms for asset, atoms, _ in self.coins(account) if atoms < 0}

    def spot_market(self, asset: int) -> int | None:
        """The spot market a coin is sold in: the first that has it as base."""
        return self._spot.get(asset)

    # -- PRICES

    # Risk counts what has no price yet as worth nothing, and so does this.

    def index(self, asset: int) -> float:
        """Index of an asset, US dollars; 0 if it has none."""
        price = self._index.get(asset)
        if price is None:
            price = _priced(self.venue.index[asset])
            if self.running:
                self._index[asset] = price
        return price

    def worth(self, asset: int) -> float:
        """What an atom is worth, US dollars."""
        return self.index(asset) * self.atom[asset]

    def price(self, market: int) -> float:
        """The mark of a perpetual, or the index of a spot pair, in quote units."""
        price = self._price.get(market)
        if price is None:
            quote = self.index(self._quote[market])
            if self._perpetual[market]:
                price = _priced(self.venue.mark[market])
            else:
                price = self.index(self._base[market]) / quote if quote else 0.0
            if self.running:
                self._price[market] = price
        return price

    def usd(self, market: int, lots: int) -> float:
        """What so many lots are worth at mark or index, US dollars."""
        quote = self.index(self._quote[market])
        return abs(lots) * self.lot[market] * self.price(market) * quote

    def mark_ticks(self, market: int) -> int:
        """The mark in ticks, at least one."""
        return max(1, round(self.price(market) / self.tick[market]))

    def profit(self, held: Held) -> float:
        """Unrealised profit of a position, US dollars."""
        return self.profit_atoms(held) * self.worth(self._quote[held.market])

    def profit_atoms(self, held: Held) -> int:
        """Unrealised profit of a position, quote atoms, rounded down."""
        market = held.market
        unit = float(self.venue.specs[market].quote_unit)
        price = self.price(market) / self.tick[market]
        return floor(held.lots * price * unit) - held.cost

    def maintenance(self, market: int, lots: int) -> float:
        """Maintenance margin of a position, US dollars."""
        qty = abs(lots) * self.lot[market]
        margin = self.curves[market].amount(qty * self.price(market), qty)
        return float(margin) * self.settled(market)

    def settled(self, market: int) -> float:
        """US dollars of margin that a coin of margin in the settle asset comes to."""
        return self.index(self._quote[market]) * self._factor[market]

    def bankruptcy_ticks(self, account: int, market: int, lots: int) -> int:
        """The price at which a holding takes the equity it stands for, in ticks.

        Positions share the account's equity in proportion to their maintenance margins,
        coins in proportion to what everything is worth; rounded so that no price is
        worse for the account. Of an equity below zero, positions answer for no more
        than positions have lost: what coins lost is no debt to the other side.
        """
        known = (self._known.get(account) or self._looked(account)).bankrupt
        if self._perpetual[market]:
            lots = 1 if lots > 0 else -1  # of a position the whole counts
        if (market, lots) not in known:
            known[market, lots] = self._bankruptcy_ticks(account, market, lots)
        return known[market, lots]

    def _bankruptcy_ticks(self, account: int, market: int, lots: int) -> int:
        equity = self.value(account).equity
        size = abs(lots)
        if self._perpetual[market]:
            held = self.positions(account)
            own = [h.lots for h in held if h.market == market and h.lots * lots > 0]
            size = max(map(abs, own), default=0)
            mine = self.maintenance(market, size)
            whole = mine if len(held) == 1 else self._margins(account, held)
            if equity < 0.0:
                equity = max(equity, min(0.0, sum(map(self.profit, held))))
        else:
            mine, whole = self.usd(market, size), self._gross(account)
        price, side = self.price(market), 1 if lots > 0 else -1
        quote = self.index(self._quote[market])
        if size and whole > 0 and quote > 0:
            qty = size * self.lot[market]
            share = equity * mine / whole / quote
            price = bankruptcy_price(price, side, share, qty)
        ticks = price / self.tick[market]
        return max(1, ceil(ticks) if lots > 0 else floor(ticks))

    def _margins(self, account: int, held: tuple[Held, ...]) -> float:
        # The maintenance margins of all its positions.
        looked = self._known.get(account) or self._looked(account)
        if looked.margins is None:
            looked.margins = sum(self.maintenance(h.market, h.lots) for h in held)
        return looked.margins

    def _gross(self, account: int) -> float:
        # What the account holds, coins that can be sold and positions, US dollars.
        looked = self._known.get(account) or self._looked(account)
        if looked.gross is None:
            gross = sum(self.usd(h.market, h.lots) for h in self.positions(account))
            for asset, atoms, market in self.coins(account):
                if atoms > 0 and market is not None:
                    gross += atoms * self.worth(asset)
            looked.gross = gross
        return looked.gross


def _priced(price: float) -> float:
    # np.nan_to_num takes 60 µs, and this is asked a hundred thousand times.
    return 0.0 if isnan(price) else float(price)
