"""The exchange: a venue in the units of people, behind one door."""

from collections.abc import Iterable, Mapping
from numbers import Real
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import SYSTEM_ACCOUNTS
from ..margin.markets import Number
from ..margin.prices import IndexRule
from ..margin.rules import Rules
from ..orderbook.orders import Kind, Phase, SelfTrade, Side, messages
from .accounts import Accounts
from .arguments import expect, whole_number
from .orders import LEVEL, SIDES, Depth, Order, OrderError, Placed, Quote, chosen
from .prints import scaled
from .venue import expect_rules

if TYPE_CHECKING:
    from ..orderbook.book_state import BookState

Rows = NDArray[np.void]

PRICE_MAX_USD = 1e12
"""Highest index price that is taken."""

ID_MAX = 2**63 - 1
"""Highest number that an order can have."""

PHASES = {phase.name.lower(): phase for phase in Phase}
STOPPED = {word: phase for word, phase in PHASES.items() if phase is not Phase.OPEN}
"""What a market does with orders, by the words for it; and if it does not trade."""


class Exchange(Accounts):
    """A venue with unified accounts: many markets, one pool of collateral an account.

    ``markets`` are names or `MarketSpec`; ``rules`` a preset, the path of a venue's
    file, or `Rules`; ``decimals`` those of assets that do not have 8; ``oracles`` the
    index rules, by default the own USDT book of each asset.

    >>> from flashwick.engine.orders import limit
    >>> ex = Exchange(["WBETH/USDT", "ATOM/USDT"], rules="binance-pm")
    >>> mm = ex.open_account({"WBETH": 1_000, "USDT": 2_000_000})
    >>> ex.submit(limit(mm, "ATOM/USDT", "buy", price=1.745, qty=500)).open
    500.0
    >>> ex.reprice({"WBETH": 430.65})
    >>> ex.account(mm).health
    inf
    """

    @classmethod
    def from_book(
        cls,
        states: "BookState | Iterable[BookState]",
        rules: str | PathLike[str] | Rules = "binance-pm",
        *,
        decimals: Mapping[str, int] | None = None,
        oracles: Mapping[str, IndexRule] | None = None,
    ) -> "Exchange":
        """Open an exchange whose books are recorded ones; see `from_book`."""
        from .from_book import from_book

        return from_book(states, rules, decimals=decimals, oracles=oracles)

    def __repr__(self) -> str:
        """Its rules, and how many markets, accounts and trades it has."""
        accounts = self.ledger.n_accounts - SYSTEM_ACCOUNTS
        return (
            f"<Exchange {self.rules.name}: {len(self.markets)} markets, "
            f"{accounts} accounts, {self.books.trades} trades>"
        )

    # -- ORDERS

    def submit(self, order: Order) -> Placed:
        """Send one order to its book.

        OrderError if the order names an unknown market, account or side, or numbers
        off the tick or lot; a rejection by the rules comes back with its reason.
        """
        batch = self.message(order)
        results, fills = self.process(batch)
        number = int(batch["market"][0])
        return Placed.of(results[0], fills, self.tick[number], self.lot[number])

    def message(self, order: Order) -> Rows:
        """Return the order as a batch of one message."""
        if not isinstance(order, Order):
            raise OrderError(
                f"'order' must come from limit() or market() (got {order!r})"
            )
        number = self.units.market(order.market)
        spec = self.specs[number]
        self._known(order.account, user=True)
        if order.kind == Kind.LIMIT and order.price is None:
            raise OrderError("'price' must be given for a limit order")
        batch = messages(1)
        batch["time"] = self.now
        batch["market"] = number
        batch["account"] = self.family.margined_in(order.account, number)
        batch["kind"] = order.kind
        batch["side"] = order.side
        batch["qty"] = spec.lots(order.qty)
        if order.price is not None:
            what = "price" if order.kind == Kind.LIMIT else "protection"
            batch["price"] = spec.ticks(order.price, what)
        if order.trigger is not None:
            batch["trigger"] = spec.ticks(order.trigger, "trigger")
        if order.display is not None:
            batch["display"] = spec.lots(order.display, "display")
        batch["tif"] = order.tif
        batch["flags"] = order.flags
        return batch

    def replace(
        self,
        order: int | Placed,
        *,
        price: Number | None = None,
        qty: Number | None = None,
    ) -> Placed:
        """Give an open order another price, or another quantity left open, or both.

        ``order`` is what `submit` returned, or its number. Less at the same price keeps
        the place in the queue; anything else goes to its end, and may trade. An order
        whose change is refused stays as it was. OrderError if it is not open.
        """
        if price is None and qty is None:
            raise OrderError("'price' or 'qty' must be given: what the order becomes")
        batch, ticks, lots = self._named(order, Kind.REPLACE)
        number = int(batch["market"][0])
        spec = self.specs[number]
        batch["price"] = ticks if price is None else spec.ticks(price)
        batch["qty"] = lots if qty is None else spec.lots(qty)
        results, fills = self.process(batch)
        return Placed.of(results[0], fills, self.tick[number], self.lot[number])

    def cancel(self, order: int | Placed) -> float:
        """Cancel an order; return the base units it had open.

        ``order`` is what `submit` returned, or its number. OrderError if it is not
        open.
        """
        batch, _, _ = self._named(order, Kind.CANCEL)
        results, _ = self.process(batch)
        return float(results["cancelled"][0] * self.lot[int(batch["market"][0])])

    def _named(self, order: int | Placed, kind: Kind) -> tuple[Rows, int, int]:
        # A message about an open order, with the order's price and open lots.
        number = order.order_id if isinstance(order, Placed) else order
        if not isinstance(number, int | np.integer) or isinstance(number, bool):
            raise OrderError(
                "'order' must be what submit() returned, or its order_id "
                f"(got {number!r})"
            )
        found = self.books.order(number) if 0 < number <= ID_MAX else None
        if found is None:
            raise OrderError(f"order {number} is not open; see open_orders()")
        batch = messages(1)
        batch["time"], batch["kind"], batch["order_id"] = self.now, kind, number
        batch["market"], batch["account"], _, ticks, lots = found
        return batch, ticks, lots

    # -- BOOKS

    def depth(self, market: str, levels: int | None = 10) -> Depth:
        """Return the best levels of a book, all of them for None.

        What icebergs hide is not in it. O(levels).
        """
        number, most = self.units.market(market), -1
        if levels is not None:
            most = whole_number("levels", levels, 1, 2**31, "1, or None for all")
        bids, asks = (self._levels(number, side, most) for side in SIDES.values())
        return Depth(market=market, bids=bids, asks=asks)

    def best(self, market: str) -> Quote:
        """Return best bid and ask of a book, their middle and distance, the last price.

        OrderError if there is no such market.
        """
        number = self.units.market(market)
        ticks = np.array([*self.books.best(number), self.books.last_price(number)])
        bid, ask, last = np.where(ticks > 0, self._prices(number, ticks), np.nan)
        both = ticks[0] > 0 and ticks[1] > 0
        steps = np.array([ticks[1] - ticks[0], ticks[0] + ticks[1]])
        spread, twice = self._prices(number, steps) if both else (np.nan, np.nan)
        first = [self._levels(number, side, 1)["qty"].sum() for side in SIDES.values()]
        return Quote(
            market=market,
            bid=float(bid),
            bid_qty=float(first[0]),
            ask=float(ask),
            ask_qty=float(first[1]),
            mid=float(twice / 2),
            spread=float(spread),
            last=float(last),
        )

    def open_orders(self, account: int | None = None) -> Rows:
        """Return the orders that rest or wait for a trigger, as rows of an array.

        Of an account (its isolated markets with it) or of all; by order number. The
        price of a market order that waits without protection is NaN, and so is the
        trigger of what rests; ``hidden`` is the part of ``qty`` that is not shown.
        """
        if account is None:
            waiting = [self.books.dormant(m) for m in range(len(self.markets))]
            found = [self.books.all_orders(), *waiting]
        else:
            self._known(account)
            own = [account, *self.family.isolated(account).values()]
            found = [self.books.account_orders(number) for number in own]
        rows = np.concatenate(found)
        rows = rows[np.argsort(rows["id"])]
        market, wide = rows["market"], max(map(len, self.markets))
        fields = [("order_id", "<i8"), ("account", "<i4"), ("market", f"<U{wide}")]
        fields += [("side", "<U4")]
        fields += [(name, "<f8") for name in ("price", "qty", "hidden", "trigger")]
        table = np.empty(len(rows), fields)
        table["order_id"], table["account"] = rows["id"], rows["account"]
        table["market"] = np.array(self.markets)[market]
        table["side"] = np.array(list(SIDES))[rows["side"]]
        for name in ("price", "trigger"):
            priced = scaled(rows[name], self.tick[market])
            table[name] = np.where(rows[name] > 0, priced, np.nan)
        table["qty"] = scaled(rows["qty"] + rows["hidden"], self.lot[market])
        table["hidden"] = scaled(rows["hidden"], self.lot[market])
        return table

    def _levels(self, market: int, side: Side, levels: int) -> Rows:
        prices, lots = self.books.depth(market, side, levels)
        table = np.empty(len(prices), LEVEL)
        table["price"] = self._prices(market, prices)
        table["qty"] = scaled(lots, np.full(len(lots), self.lot[market]))
        return table

    def _prices(self, market: int, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        return scaled(ticks, np.full(len(ticks), self.tick[market]))

    # -- GUARDS

    def set_price_band(self, market: str, share: float | None) -> None:
        """Let no trade print as far as this share from the last one; None lifts it."""
        number = self.units.market(market)
        self.set_books("set_price_band", number, _ppm(share))

    def set_self_trade(self, account: int, mode: str | SelfTrade) -> None:
        """Say what happens when an order of the account would meet its own.

        ``mode`` is a `SelfTrade` or its name, in capitals or not.
        """
        self._known(account)
        chosen_mode = chosen("mode", mode, SelfTrade.__members__)
        self.set_books("set_self_trade", account, int(chosen_mode))

    def set_circuit_breaker(
        self,
        market: str,
        share: float | None,
        *,
        window: float = 300.0,
        phase: str = "call",
    ) -> None:
        """Stop a market after a trade too far from where its window of time began.

        ``share`` is the move that trips it, None lifts it; ``window`` is in seconds. It
        is then ``halted``, or collects orders for an auction (``call``), until
        `set_phase` opens it again.
        """
        number = self.units.market(market)
        ppm = _ppm(share)
        if not _is_number(window) or not 1e-9 <= window <= 1e9:
            raise OrderError(f"'window' must be seconds above 0 (got {window!r})")
        stop = chosen("phase", phase, STOPPED)
        self.set_breaker(number, ppm, round(window * 1e9), stop)

    def set_phase(self, market: str, phase: str) -> None:
        """Let a market trade (``open``), refuse (``halted``) or collect (``call``).

        A market that was called opens with an auction: everything that crosses trades
        at the one price at which most does.
        """
        entered = chosen("phase", phase, PHASES)
        self.enter_phase(self.units.market(market), entered)

    def phase(self, market: str) -> str:
        """Return what a market does with orders: ``open``, ``halted`` or ``call``."""
        return Phase(self.books.phase(self.units.market(market))).name.lower()

    def indicative(self, market: str) -> tuple[float, float, float]:
        """Return price, quantity and surplus of an auction of a market held now.

        The surplus is what would be left over at the price, above 0 of buyers.
        """
        number = self.units.market(market)
        price, lots, surplus = self.books.indicative(number)
        tick, lot = float(self.tick[number]), float(self.lot[number])
        return price * tick, lots * lot, surplus * lot

    # -- PRICES

    def reprice(self, prices: Mapping[str, float]) -> None:
        """Fix the index of assets by hand, in US dollars, from now on."""
        expect("prices", prices, Mapping, "prices by asset, as in {'ETH': 4_000}")
        for asset, price in prices.items():
            self.units.asset(asset)
            number = isinstance(price, int | float) and not isinstance(price, bool)
            if not number or not 0.0 < price <= PRICE_MAX_USD:
                raise OrderError(
                    f"{asset}: the index must be a number above 0 and at most "
                    f"{PRICE_MAX_USD:g} (got {price!r})"
                )
        self.set_oracles(
            {a: IndexRule(policy="fixed", value=float(p)) for a, p in prices.items()}
        )

    def set_oracles(self, rules: Mapping[str, IndexRule]) -> None:
        """Put index rules in place of the old, and compute the prices anew."""
        expect_rules("rules", rules)
        # What accounts were worth before is what a breach is blamed on.
        self.liquidator.scan(self.now)
        self.prices.replace(rules, self.now)
        self.update_prices()


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _ppm(share: float | None) -> int:
    # Of a share that may be left out.
    if share is None:
        return 0
    if not _is_number(share) or not 1e-6 <= share <= 1.0:
        percent = "; 5 % is 0.05" if _is_number(share) and share > 1.0 else ""
        raise OrderError(
            f"'share' must be from 0.000001 to 1, or None (got {share!r}){percent}"
        )
    return round(share * 1e6)
