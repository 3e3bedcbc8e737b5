"""The insurance fund: what it can bear, and how it works off what it took over."""

from collections.abc import Mapping
from math import ceil, floor

import numpy as np
from attrs import define
from numpy.typing import NDArray

from ..cython_ext.ledger import INSURANCE, SYSTEM_ACCOUNTS
from ..orderbook.orders import Side
from .adl import Drawdown
from .cases import Venue
from .forced import Forced
from .holdings import Held
from .rules import Rules

Integers = NDArray[np.int64]

UNWIND_THROUGH = 0.02
"""How far through mark or index the fund trades to work off what it took over."""

SHARED = -1
"""The pool of what belongs to no market: all of a shared fund."""


@define
class Stock:
    """A holding that the fund took over and works off."""

    slice: int  # lots a cycle
    event: int  # the last takeover, which its orders carry as their cause
    atoms: int = 0  # of a coin: what is left of it


class Fund:
    """The account INSURANCE, divided into pools, and what it still has to sell.

    A pool is a number for each asset and market; all pools of an asset sum to the
    fund's balance of it, to the atom. What comes in or goes out by a market is booked
    on its pool; deposits, and everything if the fund is shared, on the pool `SHARED`,
    which covers a market's pool that is empty.
    """

    def __init__(self, venue: Venue, rules: Rules, forced: Forced) -> None:
        self.venue = venue
        self.rules = rules
        self.forced = forced
        self.pools: dict[tuple[int, int], int] = {}
        self.positions: dict[int, Stock] = {}  # by market
        self.coins: dict[int, Stock] = {}  # by asset
        self._known = [0] * len(venue.assets)
        # While a cycle runs: what positions have lost, atoms by asset and market.
        self._lost: dict[int, dict[int, int]] = {}
        self._drawdowns: dict[int, Drawdown] = {}
        self._per_symbol = rules.liquidation.fund == "per_symbol"
        forced.earned = self._earn

    # -- WHAT IT HAS

    def start(self) -> None:
        """Start a cycle: what came from outside since the last is for all markets."""
        self.book()
        self._lost.clear()
        for held in self.forced.positions(INSURANCE):
            self._revalue(held.market)

    def book(self, market: int = SHARED, *assets: int) -> None:
        """Book what the fund's balances changed by since the last call on a pool.

        Those of some assets, or of all. O(assets).
        """
        for asset in assets or range(len(self._known)):
            has = self.venue.ledger.balance(INSURANCE, asset)
            self._put(market, asset, has - self._known[asset])
        if market != SHARED:
            self._revalue(market)

    def _earn(self, fees: Mapping[int, int]) -> None:
        for market, atoms in fees.items():
            self._put(market, int(self.venue.quote[market]), atoms)

    def _put(self, market: int, asset: int, change: int) -> None:
        if change == 0:
            return
        self._known[asset] += change
        pool = market if self._per_symbol else SHARED
        mine = self.pools.get((asset, pool), 0) + change
        common = self.pools.get((asset, SHARED), 0)
        if pool != SHARED and mine < 0 < common:
            cover = min(-mine, common)
            self.pools[asset, SHARED] = common - cover
            mine += cover
        self.pools[asset, pool] = mine

    def _revalue(self, market: int) -> None:
        # What its position in a market has lost; a gain counts when it is closed.
        lots, cost = self.venue.ledger.open_position(INSURANCE, market)
        lost = self._lost.setdefault(int(self.venue.quote[market]), {})
        lost[market] = min(0, self.forced.profit_atoms(Held(market, lots, cost, 0)))

    def lost(self) -> Integers:
        """What positions have lost, by asset: atoms that come off what the fund has."""
        lost = np.zeros(len(self._known), np.int64)
        for asset, by_market in self._lost.items():
            lost[asset] = sum(by_market.values())
        return lost

    def can_bear(self, asset: int, market: int) -> int:
        """Atoms of an asset that the fund can pay for a market, losses to come off."""
        if not self.forced.running:
            self.start()
        lost = self._lost.get(asset, {})
        has = self.venue.ledger.balance(INSURANCE, asset)
        # What a position has lost counts at once, what it has gained when it is closed.
        has += sum(lost.values())
        if self._per_symbol:
            own = self.pools.get((asset, market), 0) + lost.get(market, 0)
            common = max(0, self.pools.get((asset, SHARED), 0))
            has = min(has, own + common if market != SHARED else common)
        return max(0, has)

    def loss(self, market: int, lots: int, ticks: int, mark: int) -> int:
        """What taking so many lots at a price loses at mark, quote atoms."""
        return int((ticks - mark) * lots * self.venue.specs[market].quote_unit)

    def drawdown(self, market: int, now: int) -> float:
        """Share of the highest the fund had in the rules' window that is gone now.

        Of the market's pool, if each has its own; else of all that the fund is worth.
        """
        pool = market if self._per_symbol else SHARED
        window = int(self.rules.adl.window_s * 1e9)
        if pool not in self._drawdowns:
            self._drawdowns[pool] = Drawdown(window)
        seen = self._drawdowns[pool]
        # Other rules may be in force since it was made.
        seen.window = window
        return seen.see(now, self._value(pool))

    def watch(self, now: int) -> None:
        """Note what the fund and its pools have, for the drawdown from their peaks."""
        if self.rules.adl.trigger != "fund_drawdown":
            return
        if not self._per_symbol:
            self.drawdown(SHARED, now)
            return
        for market, spec in enumerate(self.venue.specs):
            if spec.perpetual:
                self.drawdown(market, now)

    def _value(self, pool: int) -> float:
        if pool == SHARED:
            return self.forced.value(INSURANCE).equity
        quote = int(self.venue.quote[pool])
        atoms = self.pools.get((quote, pool), 0)
        for held in self.forced.positions(INSURANCE):
            if held.market == pool:
                atoms += self.forced.profit_atoms(held)
        return atoms * self.forced.worth(quote)

    def ruined_by(self, held: Held) -> bool:
        """Whether the pool of a position the fund took over is worth less than zero."""
        if self.rules.liquidation.residual == "negative_fund":
            return False
        return self._value(held.market if self._per_symbol else SHARED) < 0.0

    # -- WHAT IT PAYS AND TAKES

    def pay(self, asset: int, account: int, atoms: int, market: int = SHARED) -> None:
        """Pay an account from a market's pool."""
        self.forced.transfer(asset, INSURANCE, account, atoms)
        self.book(market, asset)

    def took_position(self, market: int, lots: int, event: int) -> None:
        """Note a position taken over, to be worked off a slice a cycle."""
        size = self.forced.slice(market, lots)
        if market in self.positions:
            size = max(size, self.positions[market].slice)
        self.positions[market] = Stock(size, event)

    def took_coins(self, asset: int, atoms: int, debt: int, event: int) -> None:
        """Note coins taken over for a debt, to be sold a slice a cycle."""
        market = self.forced.spot_market(asset)
        self.book(SHARED if market is None else market, asset, debt)
        self._stock(asset, atoms, event)

    def took_many(
        self, assets: Integers, atoms: Integers, debts: Integers, events: Integers
    ) -> None:
        """Note coins taken over for many debts, in order, by a fund that is shared."""
        coins = dict.fromkeys(assets.tolist())
        if coins:
            self.book(SHARED, *coins, *dict.fromkeys(debts.tolist()))
        for asset in coins:
            own = np.flatnonzero(assets == asset)
            self._stock(asset, int(atoms[own].sum()), int(events[own[-1]]))

    def _stock(self, asset: int, atoms: int, event: int) -> None:
        market = self.forced.spot_market(asset)
        if market is None:
            return
        left = atoms + (self.coins[asset].atoms if asset in self.coins else 0)
        lots = left // self.venue.specs[market].base_unit
        self.coins[asset] = Stock(self.forced.slice(market, lots), event, left)

    # -- WORKING OFF

    def unwind(self, now: int) -> None:
        """Send this cycle's orders for what was taken over."""
        for held in list(self.forced.positions(INSURANCE)):
            if held.market in self.positions and not self.forced.exhausted:
                self._close(held, self.positions[held.market], now)
        open_ones = {held.market for held in self.forced.positions(INSURANCE)}
        for market in [m for m in self.positions if m not in open_ones]:
            del self.positions[market]
        for asset, stock in list(self.coins.items()):
            if self.forced.exhausted:
                return
            self._sell(asset, stock, now)

    def _close(self, held: Held, stock: Stock, now: int) -> None:
        lots = min(abs(held.lots), stock.slice)
        side, sign = (Side.SELL, -1.0) if held.lots > 0 else (Side.BUY, 1.0)
        tick = float(self.venue.tick[held.market])
        worst = self.forced.price(held.market) * (1.0 + sign * UNWIND_THROUGH)
        ticks = max(1, round(worst / tick))
        bound = self._bound(held, lots)
        if bound is not None:
            ticks = max(ticks, bound) if held.lots > 0 else min(ticks, bound)
        if ticks < 1:
            return
        self.forced.unwind(held.market, side, lots, ticks, stock.event, now)
        self.book(held.market, int(self.venue.quote[held.market]))

    def _bound(self, held: Held, lots: int) -> int | None:
        """The price at which closing so many lots takes all the fund has, in ticks."""
        if self.rules.liquidation.residual == "negative_fund":
            return None
        spec, fees = self.venue.specs[held.market], self.rules.fees
        quote = int(self.venue.quote[held.market])
        has = self.venue.ledger.balance(INSURANCE, quote)
        if self._per_symbol:
            own = self.pools.get((quote, held.market), 0)
            has = min(has, own + max(0, self.pools.get((quote, SHARED), 0)))
        share = held.cost * lots / abs(held.lots)
        fee = max(0, fees.perpetual_taker_ppm) * 1e-6
        unit = lots * float(spec.quote_unit)
        # An atom or two of rounding, of the cost and of fees, stay in the fund.
        has -= 2 + lots
        if held.lots > 0:
            return ceil((share - has) / (unit * (1.0 - fee)))
        return floor((has - share) / (unit * (1.0 + fee)))

    def _sell(self, asset: int, stock: Stock, now: int) -> None:
        market = self.forced.spot_market(asset)
        assert market is not None
        spec = self.venue.specs[market]
        held = min(stock.atoms, max(0, self.venue.ledger.balance(INSURANCE, asset)))
        lots = min(held // spec.base_unit, stock.slice)
        if lots == 0:
            del self.coins[asset]
            return
        worst = self.forced.price(market) * (1.0 - UNWIND_THROUGH)
        ticks = max(1, round(worst / float(self.venue.tick[market])))
        sold = self.forced.unwind(market, Side.SELL, lots, ticks, stock.event, now)
        stock.atoms -= sold * spec.base_unit
        self.book(market, asset, int(self.venue.quote[market]))

    # -- CHECKS

    def _check(self) -> None:
        """Assert that the pools of each asset sum to what the fund has of it."""
        self.book()
        totals = np.zeros(len(self._known), object)
        for (asset, _), atoms in self.pools.items():
            totals[asset] += atoms
        for asset in range(len(self._known)):
            # Nothing is in two pools, or in none.
            assert totals[asset] == self.venue.ledger.balance(INSURANCE, asset)
        assert INSURANCE < SYSTEM_ACCOUNTS
