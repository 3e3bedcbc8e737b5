"""The exchange: books, ledger, prices and risk of one venue behind one door."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.book import Books
from ..cython_ext.ledger import INSURANCE, SYSTEM_ACCOUNTS, Ledger
from ..cython_ext.risk import Risk
from ..margin.liquidation import Liquidator
from ..margin.markets import (
    MarketSpec,
    Number,
    agreed_decimals,
    atoms,
)
from ..margin.prices import DriverKind, IndexBoard, IndexRule, MarkBoard
from ..margin.rules import Rules
from ..orderbook.orders import Flag, Kind, SelfTrade, Side, messages
from .events import NO_CAUSE, EventLog
from .movers import Movers
from .orders import AccountView, Order, OrderError, Placed, unknown

Floats = NDArray[np.float64]
Rows = NDArray[np.void]

STABLE = ("USDT", "USDC", "FDUSD", "USD")
"""Quote assets: worth one US dollar unless a rule says otherwise."""

PRICE_MAX_USD = 1e12
"""Highest index price that is taken."""

REPRICED = 1e-4
"""An index or mark is logged when it moved by this share since it was last logged."""


class Exchange:
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

    def __init__(
        self,
        markets: Iterable[str | MarketSpec],
        rules: str | Rules = "binance-pm",
        *,
        decimals: Mapping[str, int] | None = None,
        oracles: Mapping[str, IndexRule] | None = None,
    ) -> None:
        self.rules = Rules.preset(rules) if isinstance(rules, str) else rules
        if not isinstance(self.rules, Rules):
            raise OrderError(
                f"'rules' must be the name of a preset or Rules (got {rules!r})"
            )
        self.specs = tuple(
            m if isinstance(m, MarketSpec) else MarketSpec.define(m, decimals=decimals)
            for m in markets
        )
        self.markets = tuple(spec.name for spec in self.specs)
        self.decimals = agreed_decimals(self.specs, decimals or {}, oracles or {})
        self.assets = tuple(self.decimals)
        self.asset_number = {name: i for i, name in enumerate(self.assets)}
        self.market_number = {name: i for i, name in enumerate(self.markets)}
        self.log = EventLog()
        self.now = 0
        self.batches = 0
        self._build_core()
        self._build_prices(oracles or {})
        self.liquidator = Liquidator(self, self.rules)

    def _build_core(self) -> None:
        self.ledger = Ledger()
        self.books = Books(self.ledger)
        fees = self.rules.fees
        for _ in self.assets:
            self.ledger.add_asset()
        for spec in self.specs:
            self.books.add_market()
            kind = "perpetual" if spec.perpetual else "spot"
            self.ledger.add_market(
                self.asset_number[spec.base],
                self.asset_number[spec.quote],
                spec.perpetual,
                spec.base_unit,
                spec.quote_unit,
                getattr(fees, f"{kind}_maker_ppm"),
                getattr(fees, f"{kind}_taker_ppm"),
                fees.liquidation_ppm,
            )
        self.risk = Risk(
            self.ledger,
            _table(self.rules.collateral_arrays(self.assets)),
            _table(self.rules.borrow_arrays(self.assets)),
            _table(self.rules.bracket_arrays(self.markets)),
            self.rules.account.negative_multiplier,
            self.rules.thresholds.reduce_only,
        )
        self.ledger.gate = self.risk

    def _build_prices(self, oracles: Mapping[str, IndexRule]) -> None:
        specs = self.specs
        self.tick = np.array([float(s.tick) for s in specs])
        self.lot = np.array([float(s.lot) for s in specs])
        self.base = np.array([self.asset_number[s.base] for s in specs], np.int64)
        self.quote = np.array([self.asset_number[s.quote] for s in specs], np.int64)
        self.perpetual = np.array([s.perpetual for s in specs], np.bool_)
        self.quote_unit = np.array([float(s.quote_unit) for s in specs])
        self.atom = np.array([float(f"1e-{self.decimals[a]}") for a in self.assets])
        spot = {s.name: (s.base, s.quote) for s in specs if not s.perpetual}
        rules = {a: oracles.get(a, default_rule(a, spot)) for a in self.assets}
        self.board = IndexBoard(rules, spot)
        self._spot = np.array([self.market_number[m] for m in spot], np.int64)
        self.mark_board = MarkBoard(len(specs))
        self.index = np.full(len(self.assets), np.nan)
        self.outside = np.full(len(self.assets), np.nan)
        self.mark = np.full(len(specs), np.nan)
        self.movers = Movers(len(specs))
        self.outside_event = [NO_CAUSE] * len(self.assets)
        self.rule_event = NO_CAUSE
        self.forced_usd = np.zeros(len(specs))
        self.sold_usd = np.zeros(len(specs))  # the sales among it
        self.forced_event = NO_CAUSE  # the last batch with a forced trade
        self.index_event = [NO_CAUSE] * len(self.assets)
        self.mark_event = [NO_CAUSE] * len(specs)
        self._logged_index = self.index.copy()
        self._logged_mark = self.mark.copy()
        self.update_prices()

    # -- ACCOUNTS

    def open_account(self, deposits: Mapping[str, Number] | None = None) -> int:
        """Open an account, deposit into it, and return its number."""
        account = self.ledger.open_accounts(1)
        for asset, amount in (deposits or {}).items():
            self.deposit(account, asset, amount)
        return account

    def deposit(self, account: int, asset: str, amount: Number) -> None:
        """Bring an amount of an asset into an account from outside."""
        number = self._asset(asset)
        self._known(account)
        self.ledger.deposit(
            account, number, atoms(amount, self.decimals[asset], f"deposit of {asset}")
        )

    def withdraw(self, account: int, asset: str, amount: Number) -> None:
        """Take an amount out, as far as the rules let the account.

        OrderError if the account has less, or if adjusted equity would not cover the
        rules' multiple of the maintenance margin afterwards.
        """
        number = self._asset(asset)
        self._known(account)
        wanted = atoms(amount, self.decimals[asset], f"withdrawal of {asset}")
        has = self.ledger.balance(account, number)
        if wanted > has:
            raise OrderError(
                f"withdrawal of {asset}: must be at most the balance "
                f"{has * self.atom[number]:g} (got {amount})"
            )
        self.ledger.withdraw(account, number, wanted)
        after = self.risk.account(account)
        floor = self.rules.account.withdraw_multiple * after["maintenance"]
        if after["adjusted"] < floor:
            self.ledger.deposit(account, number, wanted)
            raise OrderError(
                f"withdrawal of {asset}: would leave adjusted equity of "
                f"{after['adjusted']:,.2f} USD, and {floor:,.2f} must stay"
            )

    def account(self, account: int) -> AccountView:
        """Value one account at the current prices."""
        self._known(account)
        value = self.risk.account(account)
        balances = {
            self.assets[row["asset"]]: float(row["amount"] * self.atom[row["asset"]])
            for row in self.ledger.balances_of(account)
        }
        positions = {
            self.markets[row["market"]]: float(row["lots"] * self.lot[row["market"]])
            for row in self.ledger.positions_of(account)
            if row["lots"]
        }
        equity, exposure = value["equity"], value["exposure"]
        leverage = exposure / equity if equity > 0 else (np.inf if exposure else 0.0)
        del value["exposure"]
        return AccountView(
            **value,
            id=account,
            leverage=float(leverage),
            balances=balances,
            positions=positions,
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
        number = self._market(order.market)
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
        batch["account"] = order.account
        batch["kind"] = order.kind
        batch["side"] = Side[order.side.upper()]
        batch["qty"] = spec.lots(order.qty)
        batch["price"] = 0 if order.price is None else spec.ticks(order.price)
        batch["tif"] = order.tif
        batch["flags"] = order.flags
        return batch

    def cancel(self, account: int, market: str, order_id: int) -> float:
        """Cancel an order; return the base units it had open. OrderError if unknown."""
        number = self._market(market)
        self._known(account)
        batch = messages(1)
        batch["time"], batch["kind"] = self.now, Kind.CANCEL
        batch["market"], batch["account"] = number, account
        batch["order_id"] = order_id
        results, _ = self.process(batch)
        if not results["accepted"][0]:
            raise OrderError(
                f"account {account} has no order {order_id} resting in {market}"
            )
        return float(results["cancelled"][0] * self.lot[number])

    def process(self, batch: Rows) -> tuple[Rows, Rows]:
        """Take a batch of messages through books and ledger; log and return results.

        ``batch`` is of dtype MESSAGE, in the order of arrival. O(messages + fills).
        """
        self.batches += 1
        results, fills = self.books.process(batch)
        first = self.log.add_batch(batch, results, fills)
        if self.ledger.overflowed:
            raise OverflowError(
                "a balance left the range of int64; the run cannot go on"
            )
        if len(fills):
            self.movers.note(fills, first)
            forced = fills[(fills["flags"] & Flag.LIQUIDATION) != 0]
            if len(forced):
                usd = self.notional_usd(forced)
                sold = forced["taker_side"] == Side.SELL
                np.add.at(self.forced_usd, forced["market"], usd)
                np.add.at(self.sold_usd, forced["market"][sold], usd[sold])
                self.forced_event = first + len(fills) - 1
        return results, fills

    def notional_usd(self, fills: Rows) -> Floats:
        """Return what each fill was worth, in US dollars at the index of its quote."""
        m = fills["market"]
        quote = fills["price"] * self.tick[m] * fills["qty"] * self.lot[m]
        return np.asarray(quote * np.nan_to_num(self.index[self.quote[m]]))

    def set_price_band(self, market: str, share: float | None) -> None:
        """Let no trade print as far as this share from the last one; None lifts it."""
        number = self._market(market)
        if share is not None and not 1e-6 <= share <= 1.0:
            raise OrderError(
                f"'share' must be from 0.000001 to 1, or None (got {share!r})"
            )
        self.books.set_price_band(number, 0 if share is None else round(share * 1e6))

    def set_self_trade(self, account: int, mode: SelfTrade) -> None:
        """Say what happens when an order of the account would meet its own."""
        self._known(account)
        self.books.set_self_trade(account, SelfTrade(mode))

    # -- PRICES AND RISK

    def reprice(self, prices: Mapping[str, float]) -> None:
        """Fix the index of assets by hand, in US dollars, from now on."""
        for asset, price in prices.items():
            self._asset(asset)
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
        self.board.replace(rules)
        self.rule_event = self.log.add("rule", self.now, text=", ".join(rules))
        self.update_prices()

    def update_prices(self) -> None:
        """Compute index and mark prices from books and outside; log what moved."""
        top = self.books.top()
        prices = top[:, [0, 2, 4]] * self.tick[:, None]
        bid, ask, last = prices[:, 0], prices[:, 1], prices[:, 2]
        self.index = self.board.update(last[self._spot], self.outside)
        self._log_indices()
        usd = np.nan_to_num(self.index)
        worth = self.index[self.base] / self.index[self.quote]
        self.mark = np.where(
            self.perpetual,
            self.mark_board.update(
                self.now,
                index=worth,
                mid=np.where((bid > 0) & (ask > 0), 0.5 * (bid + ask), 0.0),
                last=last,
                funding_rate=0.0,
                time_fraction=0.0,
            ),
            np.nan,
        )
        self._log_marks(last)
        self.movers.look()
        lot_quote = np.nan_to_num(self.mark / self.tick) * self.quote_unit
        usd_atom = usd * self.atom
        self.risk.set_prices(usd_atom, lot_quote * usd_atom[self.quote], lot_quote)

    def _log_indices(self) -> None:
        for row in self.board.drivers:
            a = int(row["asset"])
            new, old = float(row["new"]), float(self._logged_index[a])
            if abs(new - old) < REPRICED * old:
                continue
            self.index_event[a] = self.log.add(
                "index",
                self.now,
                self._mover(DriverKind(int(row["kind"])), int(row["driver"])),
                asset=a,
                value=new,
                text=f"{self.assets[a]} {old:g} -> {new:g}",
            )
            self._logged_index[a] = new
        # The first price of an asset is no repricing.
        fresh = np.isnan(self._logged_index)
        self._logged_index[fresh] = self.index[fresh]

    def _mover(self, kind: DriverKind, number: int) -> int:
        # The event that moved an index: a trade, an outside move, another index.
        if kind is DriverKind.MARKET:
            return self.movers.of(int(self._spot[number]))
        if kind is DriverKind.OUTSIDE:
            return self.outside_event[number]
        if kind is DriverKind.INDEX:
            return self.index_event[number]
        return self.rule_event

    def _log_marks(self, last: Floats) -> None:
        old = self._logged_mark
        moved = np.abs(self.mark - old) >= REPRICED * old
        for m in np.flatnonzero(moved).tolist():
            # A mark follows the index; if its base was not repriced, the book.
            cause = self.index_event[self.base[m]] or self.movers.of(m)
            self.mark_event[m] = self.log.add(
                "mark",
                self.now,
                cause,
                market=m,
                value=float(self.mark[m]),
                text=f"{self.markets[m]} {old[m]:g} -> {self.mark[m]:g}",
            )
        fresh = moved | np.isnan(old)
        self._logged_mark[fresh] = self.mark[fresh]

    def settle_funding(self, rates: Mapping[str, float] | None = None) -> float:
        """Settle funding of all perpetuals; return what was paid, US dollars.

        Longs pay the rate times the notional at mark to shorts, and the other way
        round if it is negative. Without rates, a market's is the premium of its mark
        over its index.
        """
        if rates is None:
            index = self.index[self.base] / self.index[self.quote]
            premium = np.clip(np.nan_to_num(self.mark / index - 1.0), -1.0, 1.0)
            rates = dict(zip(self.markets, premium.tolist(), strict=True))
        chosen = {self._market(name): rate for name, rate in rates.items()}
        if not all(-1.0 <= rate <= 1.0 for rate in chosen.values()):
            raise OrderError(f"'rates' must be from -1 to 1 (got {dict(rates)!r})")
        total = 0.0
        for m, rate in chosen.items():
            if not self.perpetual[m] or not self.mark[m] > 0:
                continue
            ticks = max(1, round(float(self.mark[m] / self.tick[m])))
            paid = self.ledger.pay_funding(m, ticks, round(rate * 1e9))
            quote = self.quote[m]
            usd = float(paid * self.atom[quote] * self.index[quote])
            self.log.add("funding", self.now, market=m, value=usd, text="USD paid")
            total += usd
        return total

    def charge_interest(self) -> float:
        """Charge a day's interest on what accounts borrowed; return it in US dollars.

        The first dollars of each borrowing, up to the rules' threshold, are free.
        """
        interest, total = self.rules.interest, 0.0
        for a, name in enumerate(self.assets):
            atom_usd = float(self.atom[a] * self.index[a])
            if not atom_usd > 0:
                continue
            free = int(interest.threshold_usd / atom_usd)
            rate = round(interest.daily_rate * 1e9)
            usd = self.ledger.charge_interest(a, rate, free) * atom_usd
            if usd:
                text = f"USD of interest on borrowed {name}"
                self.log.add("interest", self.now, asset=a, value=usd, text=text)
            total += usd
        return total

    def liquidate(self) -> int:
        """Take new prices, run one cycle of liquidations; return how many go on."""
        self.update_prices()
        return self.liquidator.run(self.now)

    @property
    def insurance_fund(self) -> float:
        """What the insurance fund owns, US dollars."""
        return self.risk.account(INSURANCE)["equity"]

    # -- CHECKS

    def _check(self) -> None:
        """Assert every invariant of books and ledger, and that holds match orders."""
        self.books._check()
        self.ledger._check()

    def _asset(self, name: str) -> int:
        if name not in self.asset_number:
            raise OrderError(unknown("asset", name, self.assets))
        return self.asset_number[name]

    def _market(self, name: str) -> int:
        if name not in self.market_number:
            raise OrderError(unknown("market", name, self.markets))
        return self.market_number[name]

    def _known(self, account: int, *, user: bool = False) -> None:
        first = SYSTEM_ACCOUNTS if user else 0
        whole = isinstance(account, int | np.integer) and not isinstance(account, bool)
        if not whole or not first <= account < self.ledger.n_accounts:
            opened = self.ledger.n_accounts - SYSTEM_ACCOUNTS
            last = self.ledger.n_accounts - 1
            which = f"accounts are {SYSTEM_ACCOUNTS} to {last}" if opened else "none is"
            raise OrderError(
                f"account {account!r} is not open here; {which} (see open_account)"
            )


def default_rule(asset: str, spot: Mapping[str, tuple[str, str]]) -> IndexRule:
    """Return the index rule of an asset for which none is given."""
    if asset in STABLE:
        return IndexRule(policy="fixed", value=1.0)
    for name, (base, quote) in spot.items():
        if base == asset and quote in STABLE:
            return IndexRule(policy="own_book", market=name)
    return IndexRule(policy="outside")


def _table(tiers: Any) -> tuple[NDArray[np.int64], Floats]:
    at, *columns = tiers
    return at, np.column_stack(columns)
