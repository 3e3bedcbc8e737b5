"""What accounts hold and what it is worth at the prices of the moment.

While a cycle of the liquidation engine runs prices stand, so that what was looked at
is remembered until an account changes, and many accounts are looked at in one go.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise, repeat
from math import ceil, floor, fsum
from typing import Any, NamedTuple, TypeVar

import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from .bankruptcy import bankruptcy_price
from .brackets import Brackets
from .cases import Floats, Rows, Venue
from .rules import Rules

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T", bound=tuple[Any, ...])


LEGS = 3
"""Of a market that an account may have: net, long and short."""


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


class Prices(NamedTuple):
    """Prices at one moment, and what follows from them; 0 where there is none yet."""

    indices: Floats  # by asset, US dollars
    price: Floats  # by market, mark of a perpetual or index of a pair, quote units
    quote: Floats  # by market, index of its quote asset
    ticks: Floats  # by market, the price
    worth: Floats  # by asset, US dollars of an atom
    settled: Floats  # by market, US dollars that a coin of margin comes to


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
    margins: list[float] | None = None
    gross: float | None = None
    profit: float | None = None


class Holdings:
    """Answers what the steps of a liquidation ask about accounts and prices."""

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        # Accounts that changed in this cycle, as they did; some more than once.
        self.changes: list[int] = []
        # Those whose worth may have changed in a step, some more than once.
        self.touched: list[int] = []
        # While a cycle runs prices stand, and only what is done here changes holdings.
        self.running = False
        self._known: dict[int, Looked] = {}
        # While a cycle runs, what `_prices` says.
        self._known_prices: Prices | None = None
        self._index: list[float] = []  # by asset
        self._price: list[float] = []  # by market
        names = [spec.name for spec in venue.specs]
        self.curves = [rules.brackets_of(name) for name in names]
        self._factors = rules.margin_factors(names)
        self._factor: list[float] = self._factors.tolist()
        # Plain numbers: what NumPy takes out of an array is slow to reckon with.
        self.tick: list[float] = venue.tick.tolist()
        self.lot: list[float] = venue.lot.tolist()
        self.atom: list[float] = venue.atom.tolist()
        self.base_unit = [spec.base_unit for spec in venue.specs]
        self._quote_unit = [float(spec.quote_unit) for spec in venue.specs]
        self._base: list[int] = venue.base.tolist()
        self._quote: list[int] = venue.quote.tolist()
        self._perpetual = [spec.perpetual for spec in venue.specs]
        self._marked = np.array(self._perpetual, np.bool_)
        # A coin is sold in the first spot market that has it as base.
        self._spot: dict[int, int] = {}
        for market, perpetual in enumerate(self._perpetual):
            if not perpetual:
                self._spot.setdefault(self._base[market], market)
        # The same of all assets, -1 for none.
        sold = [self._spot.get(asset, -1) for asset in range(len(venue.assets))]
        self.sold_in = np.array(sold, np.int64)
        self.base_units = np.array(self.base_unit)
        self._quote_units = np.array(self._quote_unit)
        self._brackets = Brackets(self.curves)

    # -- A CYCLE

    @contextmanager
    def cycle(self) -> Iterator[None]:
        """Remember prices and holdings until the end, or until they change here."""
        self._forget()
        prices = self._prices()
        self._known_prices = prices
        self._index, self._price = prices.indices.tolist(), prices.price.tolist()
        self.running = True
        try:
            yield
        finally:
            self.running = False
            self._forget()

    def _forget(self) -> None:
        self.changes = []
        self.touched = []
        self._known.clear()
        self._known_prices = None

    def revalued(self, accounts: Collection[int]) -> None:
        """Forget what accounts are worth, whose holdings are what they were."""
        self.touched += accounts
        for account in self._known.keys() & accounts:
            self._known[account].value = None

    def changed(self, accounts: Collection[int]) -> None:
        """Forget what is known of accounts, and note that they changed."""
        self.touched += accounts
        if self._known:
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
            values = _rows(Value, [valued[name].tolist() for name in Value._fields])
            for account, value in zip(new, values, strict=True):
                known[account].value = value

    def _load(self, accounts: list[int]) -> None:
        ledger, who = self.venue.ledger, np.array(accounts, np.int64)
        held: list[list[Held]] = [[] for _ in accounts]
        of, *columns = ledger.held_by(who).tolist()
        for i, row in zip(of, _rows(Held, columns), strict=True):
            held[i].append(row)
        coins: list[list[Coin]] = [[] for _ in accounts]
        of, *columns = ledger.owned_by(who).tolist()
        sold_in = [self._spot.get(asset) for asset in columns[0]]
        for i, coin in zip(of, _rows(Coin, [*columns, sold_in]), strict=True):
            coins[i].append(coin)
        for account, some, more in zip(accounts, held, coins, strict=True):
            self._known[account] = Looked(None, tuple(some), tuple(more))

    def load_bankrupt(self, accounts: Collection[int]) -> None:
        """Find the bankruptcy prices of all positions of accounts that are known."""
        who = np.array(accounts, np.int64)
        of, market, lots, *_ = self.venue.ledger.held_by(who)
        ticks = self.bankrupt(who[of], market, lots).tolist()
        sides = np.where(lots > 0, 1, -1).tolist()
        rows = zip(who[of].tolist(), market.tolist(), sides, ticks, strict=True)
        for account, *key, found in rows:
            self._known[account].bankrupt[key[0], key[1]] = found

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
            _, *columns = self.venue.ledger.held_by([account]).tolist()
            looked.held = tuple(_rows(Held, columns))
        return looked.held

    def coins(self, account: int) -> tuple[Coin, ...]:
        """The account's balances: asset, atoms, and the market it is sold in."""
        looked = self._known.get(account) or self._looked(account)
        if looked.coins is None:
            _, *columns = self.venue.ledger.owned_by([account]).tolist()
            sold_in = [self._spot.get(asset) for asset in columns[0]]
            looked.coins = tuple(_rows(Coin, [*columns, sold_in]))
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
        return (self._index if self.running else self._prices().indices.tolist())[asset]

    def worth(self, asset: int) -> float:
        """What an atom is worth, US dollars."""
        return self.index(asset) * self.atom[asset]

    @property
    def worths(self) -> Floats:
        """The same of all assets."""
        return self._prices().worth

    def price(self, market: int) -> float:
        """The mark of a perpetual, or the index of a spot pair, in quote units."""
        return (self._price if self.running else self._prices().price.tolist())[market]

    def _prices(self) -> Prices:
        if self._known_prices is not None:
            return self._known_prices
        venue = self.venue
        index = np.where(np.isnan(venue.index), 0.0, venue.index)
        mark = np.where(np.isnan(venue.mark), 0.0, venue.mark)
        quote = index[venue.quote]
        pair = np.zeros_like(mark)
        np.divide(index[venue.base], quote, out=pair, where=quote != 0.0)
        price = np.where(self._marked, mark, pair)
        return Prices(
            index,
            price,
            quote,
            price / venue.tick,
            index * venue.atom,
            quote * self._factors,
        )

    def price_rows(self, dtype: Any) -> Rows:
        """The prices of all markets, a row each, and what follows from them."""
        prices, venue = self._prices(), self.venue
        columns = [prices.ticks, self._quote_units, prices.worth[venue.quote]]
        columns += [prices.price, prices.quote, prices.settled, venue.tick, venue.lot]
        rows = np.empty(len(venue.quote), dtype)
        for name, column in zip(dtype.names, columns, strict=True):
            rows[name] = column
        return rows

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
        price = self.price(market) / self.tick[market]
        return floor(held.lots * price * self._quote_unit[market]) - held.cost

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
            margins = self._margins(account)
            size, mine = 0, 0.0
            for held, margin in zip(self.positions(account), margins, strict=True):
                if held.market == market and held.lots * lots > 0:
                    size, mine = max((size, mine), (abs(held.lots), margin))
            whole = fsum(margins)
            if equity < 0.0:
                equity = max(equity, min(0.0, self._profit(account)))
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

    def _margins(self, account: int) -> list[float]:
        # The maintenance margins of its positions.
        looked = self._known.get(account) or self._looked(account)
        if looked.margins is None:
            held = self.positions(account)
            looked.margins = [self.maintenance(h.market, h.lots) for h in held]
        return looked.margins

    def _profit(self, account: int) -> float:
        # What its positions have gained or lost.
        looked = self._known.get(account) or self._looked(account)
        if looked.profit is None:
            looked.profit = fsum(map(self.profit, self.positions(account)))
        return looked.profit

    def _gross(self, account: int) -> float:
        # What the account holds, coins that can be sold and positions, US dollars.
        looked = self._known.get(account) or self._looked(account)
        if looked.gross is None:
            held = [self.usd(h.market, h.lots) for h in self.positions(account)]
            for asset, atoms, market in self.coins(account):
                if atoms > 0 and market is not None:
                    held.append(atoms * self.worth(asset))
            looked.gross = fsum(held)
        return looked.gross

    # -- OF MANY ACCOUNTS, OR HOLDINGS

    def left(self, accounts: Integers) -> tuple[Flags, Flags]:
        """Whether each account has a position, and whether it owes anything."""
        ledger, n = self.venue.ledger, len(accounts)
        of, _, atoms = ledger.owned_by(accounts)
        held = np.bincount(ledger.held_by(accounts)[0], minlength=n)
        return held > 0, np.bincount(of[atoms < 0], minlength=n) > 0

    def leg_number(self, markets: Integers, legs: Integers) -> Integers:
        """A number for each market and leg, above those of all assets."""
        return len(self.venue.assets) + markets * LEGS + legs

    def usd_many(self, markets: Integers, lots: Integers) -> Floats:
        """What `usd` says of each."""
        prices, lot = self._prices(), self.venue.lot[markets]
        worth = np.abs(lots) * lot * prices.price[markets] * prices.quote[markets]
        return np.asarray(worth)

    def profits(self, markets: Integers, lots: Integers, cost: Integers) -> Floats:
        """What `profit` says of each; exact as far as costs are."""
        prices, quote = self._prices(), self.venue.quote[markets]
        ticks, unit = prices.ticks[markets], self._quote_units[markets]
        worth, value = prices.worth[quote], np.floor(lots * ticks * unit)
        if np.abs(value).max(initial=0.0) < 2.0**62:
            return np.asarray((value.astype(np.int64) - cost) * worth)
        return np.asarray((value - cost) * worth)

    def maintenances(self, markets: Integers, lots: Integers) -> Floats:
        """What `maintenance` says of each."""
        prices = self._prices()
        qty = np.abs(lots) * self.venue.lot[markets]
        amount = self._brackets.amount(markets, qty * prices.price[markets], qty)
        return np.asarray(amount * prices.settled[markets])

    def bankrupt(
        self, accounts: Integers, markets: Integers, lots: Integers
    ) -> Integers:
        """What `bankruptcy_ticks` says of each. O(what the accounts hold)."""
        prices = self._prices()
        size, equity, mine, whole = stakes = np.empty((4, len(lots)))
        perpetual = self._marked[markets]
        for own, found in (perpetual, self._of_positions), (~perpetual, self._of_coins):
            if own.any():
                stakes[:, own] = found(accounts[own], markets[own], lots[own])
        at, quote = prices.price[markets], prices.quote[markets]
        some = (size > 0.0) & (whole > 0.0) & (quote > 0.0)
        qty = size * self.venue.lot[markets]
        one = np.ones(len(at))
        share = equity * mine / np.where(some, whole, one) / np.where(some, quote, one)
        side = np.where(lots > 0, 1, -1)
        bankrupt = bankruptcy_price(at, side, share, np.where(some, qty, one))
        ticks = np.where(some, bankrupt, at) / self.venue.tick[markets]
        ticks = np.where(lots > 0, np.ceil(ticks), np.floor(ticks))
        return np.clip(ticks, 1.0, 2.0**62).astype(np.int64)

    # Of each holding its lots, and of which equity, US dollars, it has which part.

    def _of_positions(
        self, accounts: Integers, markets: Integers, lots: Integers
    ) -> Floats:
        who, of = np.unique(accounts, return_inverse=True)
        equity = self.venue.risk.at(accounts=who)["equity"]
        whose, market, held, cost, _ = self.venue.ledger.held_by(who)
        margin = self.maintenances(market, held)
        whole = sums(whose, margin, len(who))
        lost = np.minimum(sums(whose, self.profits(market, held, cost), len(who)), 0.0)
        left = np.where(equity < 0.0, np.maximum(equity, lost), equity)
        # Each closes one leg of one market.
        key = (whose * len(self._quote) + market) * 2 + (held > 0)
        order = np.argsort(key)
        wanted = (of * len(self._quote) + markets) * 2 + (lots > 0)
        at = np.append(order, -1)[np.searchsorted(key, wanted, sorter=order)]
        known = np.append(key, -1)[at] == wanted
        size = np.where(known, np.append(np.abs(held), 0)[at], 0)
        mine = np.where(known, np.append(margin, 0.0)[at], 0.0)
        return np.array([size, left[of], mine, whole[of]])

    def _of_coins(
        self, accounts: Integers, markets: Integers, lots: Integers
    ) -> Floats:
        who, of = np.unique(accounts, return_inverse=True)
        venue, prices = self.venue, self._prices()
        equity = venue.risk.at(accounts=who)["equity"]
        whose, market, held, *_ = venue.ledger.held_by(who)
        owner, asset, atoms = venue.ledger.owned_by(who)
        sold = (atoms > 0) & (self.sold_in[asset] >= 0)
        owner, asset, atoms = owner[sold], asset[sold], atoms[sold]
        worth = np.append(self.usd_many(market, held), atoms * prices.worth[asset])
        gross = sums(np.append(whose, owner), worth, len(who))
        return np.array(
            [np.abs(lots), equity[of], self.usd_many(markets, lots), gross[of]]
        )


def sums(of: Integers, parts: Floats, n: int) -> Floats:
    """The sums of the parts of each of n, correctly rounded in whatever order."""
    count = np.bincount(of, minlength=n)
    # One or two numbers give by themselves what `fsum` does.
    total = np.bincount(of, parts, n)
    many = count > 2
    if many.any():
        rows = np.flatnonzero(many[of])
        flat = parts[rows[np.argsort(of[rows], kind="stable")]].tolist()
        ends = np.cumsum(count[many]).tolist()
        total[many] = [fsum(flat[a:b]) for a, b in pairwise([0, *ends])]
    return np.asarray(total, np.float64)


def _rows(kind: type[T], columns: Sequence[Sequence[Any]]) -> Iterator[T]:
    # Named tuples of columns; made by their own class they took three times as long.
    return map(tuple.__new__, repeat(kind), zip(*columns, strict=True))
