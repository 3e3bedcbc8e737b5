"""Forced trading: orders that carry their cause, and the rate limit they come under.

The orders of all accounts at a step go to the books in one batch, worst account first.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import islice
from math import ceil, inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import INSURANCE
from ..orderbook.orders import Flag, Kind, Side, TimeInForce, messages
from .cases import Case, Cases, Rows, Venue
from .holdings import Holdings
from .rules import Rules

Integers = NDArray[np.int64]

PPM = 1_000_000

NEAR = 0.01
"""How far from the best price a book's depth counts, where an order takes a share."""


class Order(NamedTuple):
    """What an account in liquidation sends to a market."""

    market: int
    side: Side
    lots: int
    whole: int  # lots of the holding that it is a part of
    asset: int = -1
    flags: int = 0


class Orders(NamedTuple):
    """The same of many accounts, a column each."""

    row: Integers  # of the account's case
    market: Integers
    side: Integers
    lots: Integers
    whole: Integers
    asset: Integers
    flags: Integers

    @classmethod
    def of(cls, orders: list[tuple[Case, Order]]) -> "Orders":
        """Put orders into columns."""
        rows = [(case.row, *map(int, order)) for case, order in orders]
        return cls(*np.array(rows, np.int64).reshape(-1, len(cls._fields)).T)

    def at(self, rows: Any) -> "Orders":
        """Some of them."""
        return Orders._make(column[rows] for column in self)


Plan = Generator[list[Order], list[int], None]
"""A step of one account: gives orders, gets the lots filled of each, goes on."""


def _nobody(fees: Mapping[int, int]) -> None:
    pass


class Forced(Holdings):
    """Sends forced orders, and answers what the steps of a liquidation ask."""

    def __init__(self, venue: Venue, rules: Rules, cases: Cases) -> None:
        super().__init__(venue, rules)
        self.cases = cases
        self._tokens = inf  # filled at the start
        self._last = 0
        # Told what atoms of fees the fund got, by market; it books by market.
        self.earned: Callable[[Mapping[int, int]], None] = _nobody
        limit = rules.liquidation
        self.one_by_one = limit.rate_limit is not None or limit.book_share is not None
        # Whether there is anything that may hold an order back, or make it smaller.
        self._held_back = self.one_by_one or limit.cooldown_s > 0.0
        # Of holdings of every size, if it is the same of all.
        self._share = limit.slice.rates[0] if len(limit.slice.rates) == 1 else None
        capped = [limit.capped(spec.perpetual) for spec in venue.specs]
        self._capped = np.array(capped, np.bool_)

    # -- RATE

    def refill(self, now: int) -> None:
        """Let the rate limit's tokens of the time since the last call come in."""
        # A token bucket: no more than one cycle's worth of orders is ever saved up.
        limit = self.rules.liquidation.rate_limit
        if limit is None:
            return
        most = max(1.0, limit * self.rules.liquidation.cycle_s)
        self._tokens = min(most, self._tokens + limit * (now - self._last) * 1e-9)
        self._last = now

    @property
    def exhausted(self) -> bool:
        """Whether the rate limit lets no further order pass."""
        return self._tokens < 1

    # -- EVENTS

    def event(self, case: Case, now: int, **fields: Any) -> int:
        """Log a step of a liquidation."""
        return int(
            self.venue.log.add(
                "liquidation", now, case.breach, account=case.account, **fields
            )
        )

    def events(
        self, kind: str, rows: Integers, now: int, text: Any, **columns: Any
    ) -> Integers:
        """Log one event of each case, caused by its breach; return their ids."""
        found = self.cases.rows[rows]
        first: int = self.venue.log.add_many(
            kind, now, found["breach"], text=text, account=found["account"], **columns
        )
        return np.arange(first, first + len(rows))

    # -- ORDERS OF ACCOUNTS

    def work(self, text: str, plans: Iterable[tuple[Case, Plan]], now: int) -> None:
        """Let the orders of many cases go to the books together, round by round.

        Each gives its next orders when it knows what became of its last. ``text`` is
        the step, for the events.
        """
        asking: list[tuple[Case, Plan, list[int] | None]]
        asking = [(case, plan, None) for case, plan in plans]
        while asking:
            orders: list[tuple[Case, Order]] = []
            waiting: list[tuple[Case, Plan, int]] = []
            for case, plan, filled in asking:
                try:
                    # Nothing to tell starts a plan.
                    asked = plan.send(filled)  # type: ignore[arg-type]
                except StopIteration:
                    continue
                waiting.append((case, plan, len(asked)))
                orders += [(case, order) for order in asked]
            done = iter(self.trade(text, Orders.of(orders), now).tolist())
            asking = [(case, plan, list(islice(done, n))) for case, plan, n in waiting]
            self.load([case.account for case, _, _ in asking])

    def trade(self, text: str, orders: Orders, now: int) -> Integers:
        """Send orders of this cycle to their markets; return lots filled of each.

        Immediate or cancel, and by the rules no further than the bankruptcy price: that
        before the first of them, so that together they take no more than there is.
        """
        if len(orders.row) == 0:
            return orders.lots
        lots = self._admitted(orders, now)
        sent = np.flatnonzero(lots)
        if len(sent) == 0:
            return lots
        orders, found = orders.at(sent), np.zeros_like(lots)
        who, capped = self.cases.accounts(orders.row), self._capped[orders.market]
        batch = messages(len(sent))
        batch["kind"], batch["tif"] = int(Kind.MARKET), int(TimeInForce.IOC)
        batch["market"], batch["side"] = orders.market, orders.side
        batch["qty"], batch["flags"] = lots[sent], orders.flags
        batch["account"] = who
        # Each is a holding that is closed: long above 0.
        closed = np.where(orders.side == int(Side.SELL), lots[sent], -lots[sent])
        bankrupt = np.zeros(len(sent), np.int64)
        priced = np.full(len(sent), bool(self.rules.fees.liquidation_ppm)) | capped
        if priced.any():
            bankrupt[priced] = self.bankrupt(
                who[priced], orders.market[priced], closed[priced]
            )
        batch["price"] = np.where(capped, bankrupt, 0)
        batch["cause"] = self.events(
            "liquidation",
            orders.row,
            now,
            text,
            market=orders.market,
            asset=orders.asset,
        )
        # Its orders in the books may be cancelled where they would meet these.
        resting = self.venue.books.orders_of(list(dict.fromkeys(who.tolist())))
        results, fills = self._send(batch, now)
        self._note(resting["account"].tolist(), fills)
        self._fees(batch, fills, bankrupt)
        found[sent] = results["filled"]
        return found

    def _admitted(self, orders: Orders, now: int) -> Integers:
        # Lots of each order that may go now.
        limit, cases = self.rules.liquidation, self.cases.rows
        cases["sold_out"][orders.row] = False
        lots: list[int] = orders.lots.tolist()
        had, market = self.cases.sent, orders.market.tolist()
        keys = self.cases.keys(orders.row, orders.market, orders.side).tolist()
        if not self._held_back:
            sent = dict.fromkeys(key for key, n in zip(keys, lots, strict=True) if n)
            once = len(sent) == np.count_nonzero(orders.lots)
            if once and had.keys().isdisjoint(sent):
                had.update(sent)
                return orders.lots.copy()
        for i, (key, side) in enumerate(zip(keys, orders.side.tolist(), strict=True)):
            if key in had:
                lots[i] = 0
                continue
            if self._tokens < 1:
                cases["starved"][orders.row[i]] = True
                lots[i] = 0
                continue
            if limit.book_share is not None:
                lots[i] = min(lots[i], self._most(market[i], side, limit.book_share))
            if lots[i] == 0:
                continue
            self._tokens -= 1
            had[key] = None
            if limit.cooldown_s and (
                self.usd(market[i], int(orders.whole[i])) > limit.cooldown_above_usd
            ):
                cases["resting"][orders.row[i]] = now + int(limit.cooldown_s * 1e9)
        return np.array(lots, np.int64)

    def _fees(self, batch: Rows, fills: Rows, bankrupt: Integers) -> None:
        """Give back what of the liquidation fee the closed parts had no equity for.

        A part had what its fills were better than the bankruptcy price, less the taker
        fee. Without this a slice of a fee above the margin rate would leave the rest
        less healthy, and the fund would pay for its own fee.
        """
        fees = self.rules.fees
        if not fees.liquidation_ppm or not len(fills):
            return
        # A fill of a stop order that was set off is of another taker.
        at = fills["message"]
        own = (at >= 0) & (fills["taker"] == batch["account"][at])
        fills, at = fills[own], at[own]
        market, sign = (
            fills["market"],
            np.where(fills["taker_side"] == Side.SELL, 1, -1),
        )
        specs = self.venue.specs
        unit = np.array([spec.quote_unit for spec in specs])[market]
        taker = np.where(
            [spec.perpetual for spec in specs],
            fees.perpetual_taker_ppm,
            fees.spot_taker_ppm,
        )[market]
        paid = fills["price"] * fills["qty"] * unit
        fee = _ceil_ppm(paid, fees.liquidation_ppm)
        had = (fills["price"] - bankrupt[at]) * sign * fills["qty"] * unit
        had -= _ceil_ppm(paid, taker)
        # By order; each is in one market.
        n = len(batch)
        total, left = np.zeros(n, np.int64), np.zeros(n, np.int64)
        np.add.at(total, at, fee)
        np.add.at(left, at, had)
        back = total - np.clip(left, 0, total)
        quotes = self.venue.quote[batch["market"]]
        for quote in np.unique(quotes[back > 0]).tolist():
            rows = np.flatnonzero((back > 0) & (quotes == quote))
            self.transfer_many(quote, INSURANCE, batch["account"][rows], back[rows])
        earned = np.zeros(len(specs), np.int64)
        np.add.at(earned, batch["market"], total - back)
        first = np.sort(np.unique(batch["market"], return_index=True)[1])
        paid = batch["market"][first]
        self.earned(dict(zip(paid.tolist(), earned[paid].tolist(), strict=True)))

    # -- OTHER ORDERS

    def unwind(
        self, market: int, side: Side, lots: int, worst: int, cause: int, now: int
    ) -> int:
        """Send an order of the insurance fund, no further than ``worst`` ticks."""
        share = self.rules.liquidation.book_share
        if self.exhausted:
            return 0
        if share is not None:
            lots = min(lots, self._most(market, side, share))
        if lots == 0:
            return 0
        self._tokens -= 1
        batch = messages(1)
        batch["kind"], batch["tif"] = int(Kind.MARKET), int(TimeInForce.IOC)
        batch["market"], batch["side"] = market, int(side)
        batch["qty"], batch["price"] = lots, worst
        batch["account"], batch["cause"] = INSURANCE, cause
        results, _ = self._execute(batch, now)
        return int(results["filled"][0])

    def cancel(
        self, accounts: Any, markets: Any, events: Any, now: int, orders: Any = None
    ) -> None:
        """Cancel orders: those named, or all of each account in a market; -1 for any.

        A row each: account, market, and the event that is the cause.
        """
        batch = messages(np.size(accounts))
        # Plain numbers: NumPy asks members of an enum for what they do not have.
        batch["kind"] = int(Kind.CANCEL_ALL if orders is None else Kind.CANCEL)
        batch["market"], batch["account"], batch["cause"] = markets, accounts, events
        batch["side"] = int(Side.BOTH)
        if orders is not None:
            batch["side"], batch["order_id"] = 0, orders
        self._execute(batch, now)

    def _execute(self, batch: Rows, now: int) -> tuple[Rows, Rows]:
        results, fills = self._send(batch, now)
        self._note(batch["account"].tolist(), fills)
        return results, fills

    def _send(self, batch: Rows, now: int) -> tuple[Rows, Rows]:
        batch["time"] = now
        batch["flags"] |= int(Flag.LIQUIDATION)
        return self.venue.execute(batch)

    def _note(self, resting: list[int], fills: Rows) -> None:
        # An order that is cancelled weighs on its account no more.
        self.revalued(resting)
        if len(fills):
            who = np.unique(np.concatenate([fills["maker"], fills["taker"]]))
            self.changed([INSURANCE, *who.tolist()])

    def _most(self, market: int, side: int, share: float) -> int:
        # The share of the displayed depth near the best price that one order takes.
        prices, lots = self.venue.books.depth(market, 1 - side)
        if len(prices) == 0:
            return 0
        best = int(prices[0])
        near = np.abs(prices - best) <= NEAR * best
        return int(share * int(lots[near].sum()))

    def slice(self, market: int, lots: int) -> int:
        """Lots of a holding that go in one cycle, by what it is worth."""
        share = self._share
        if share is None:
            share = self.rules.liquidation.share_of(self.usd(market, lots))
        return max(1, ceil(lots * share))

    def slices(self, markets: Integers, lots: Integers) -> Integers:
        """The same of many holdings."""
        tiers = self.rules.liquidation.slice
        tier = np.searchsorted(tiers.floors, self.usd_many(markets, lots)) - 1
        share = np.array(tiers.rates)[np.maximum(tier, 0)]
        found: Integers = np.maximum(np.ceil(lots * share).astype(np.int64), 1)
        return found

    # -- MOVES

    def move(
        self, market: int, source: int, target: int, lots: int, price: int
    ) -> None:
        """Hand ``lots`` of a position (signed as it is) to another account."""
        self.venue.ledger.trade_between(market, source, target, lots, price)
        self.changed((source, target))

    def transfer(self, asset: int, source: int, target: int, atoms: int) -> None:
        """Move atoms from one account to another."""
        self.venue.ledger.transfer(asset, source, target, atoms)
        self.changed((source, target))

    def transfer_many(
        self, asset: int, sources: Any, targets: Any, atoms: Integers
    ) -> None:
        """Move atoms from many accounts, or to many. O(accounts)."""
        self.venue.ledger.transfer_many(asset, sources, targets, atoms)
        self.changed(np.unique(np.append(sources, targets)).tolist())


def _ceil_ppm(atoms: Integers, ppm: Any) -> Integers:
    """So many parts per million of atoms, rounded as the ledger does; never wraps."""
    whole, odd = np.divmod(atoms, PPM)
    return np.asarray(whole * ppm - (-(odd * ppm) // PPM))
