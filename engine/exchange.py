"""The exchange: a venue in the units of people, behind one door."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..margin.prices import IndexRule
from ..margin.rules import Rules
from ..orderbook.orders import Flag, Kind, Phase, SelfTrade, Side, messages
from .accounts import Accounts
from .orders import Order, OrderError, Placed

if TYPE_CHECKING:
    from ..orderbook.book_state import BookState

Rows = NDArray[np.void]

PRICE_MAX_USD = 1e12
"""Highest index price that is taken."""


ID_MAX = 2**63 - 1
"""Highest number that an order can have."""


class Exchange(Accounts):
    """A venue with unified accounts: many markets, one pool of collateral an account.

    ``markets`` are names or `MarketSpec`; ``rules`` a preset or `Rules`; ``decimals``
    those of assets that do not have 8; ``oracles`` the index rules, by default the own
    USDT book of each asset.

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
        rules: str | Rules = "binance-pm",
        *,
        decimals: Mapping[str, int] | None = None,
        oracles: Mapping[str, IndexRule] | None = None,
    ) -> "Exchange":
        """Open an exchange whose books are recorded ones; see `from_book`."""
        from .from_book import from_book

        return from_book(states, rules, decimals=decimals, oracles=oracles)

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
        if order.flags & Flag.LIQUIDATION:
            raise OrderError("'flags': only the liquidation engine sends LIQUIDATION")
        if order.kind == Kind.LIMIT and order.price is None:
            raise OrderError("'price' must be given for a limit order")
        if order.side not in ("buy", "sell"):
            raise OrderError(f"'side' must be 'buy' or 'sell' (got {order.side!r})")
        batch = messages(1)
        batch["time"] = self.now
        batch["market"] = number
        batch["account"] = self.family.margined_in(order.account, number)
        batch["kind"] = order.kind
        batch["side"] = Side[order.side.upper()]
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

    def cancel(self, account: int, market: str, order_id: int) -> float:
        """Cancel an order; return the base units it had open. OrderError if unknown."""
        number = self.units.market(market)
        self._known(account)
        if not isinstance(order_id, int | np.integer) or isinstance(order_id, bool):
            raise OrderError(f"'order_id' must be a whole number (got {order_id!r})")
        batch = messages(1)
        batch["time"], batch["kind"] = self.now, Kind.CANCEL
        batch["market"] = number
        batch["account"] = self.family.margined_in(account, number)
        batch["order_id"] = order_id if 0 < order_id <= ID_MAX else 0
        results, _ = self.process(batch)
        if not results["accepted"][0]:
            raise OrderError(
                f"account {account} has no order {order_id} resting in {market}"
            )
        return float(results["cancelled"][0] * self.lot[number])

    # -- GUARDS

    def set_price_band(self, market: str, share: float | None) -> None:
        """Let no trade print as far as this share from the last one; None lifts it."""
        number = self.units.market(market)
        self.set_books("set_price_band", number, _ppm(share))

    def set_self_trade(self, account: int, mode: SelfTrade) -> None:
        """Say what happens when an order of the account would meet its own."""
        self._known(account)
        if mode not in list(SelfTrade):
            words = ", ".join(SelfTrade.__members__)
            raise OrderError(f"'mode' must be a SelfTrade: {words} (got {mode!r})")
        self.set_books("set_self_trade", account, int(mode))

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
        stop = _phase(phase)
        if stop is Phase.OPEN:
            raise OrderError(f"'phase' must be 'halted' or 'call' (got {phase!r})")
        self.set_breaker(number, ppm, round(window * 1e9), stop)

    def set_phase(self, market: str, phase: str) -> None:
        """Let a market trade (``open``), refuse (``halted``) or collect (``call``).

        A market that was called opens with an auction: everything that crosses trades
        at the one price at which most does.
        """
        self.enter_phase(self.units.market(market), _phase(phase))

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
        raise OrderError(f"'share' must be from 0.000001 to 1, or None (got {share!r})")
    return round(share * 1e6)


def _phase(word: str) -> Phase:
    words = {phase.name.lower(): phase for phase in Phase}
    if word not in list(words):
        raise OrderError(f"'phase' must be one of {', '.join(words)} (got {word!r})")
    return words[word]
