"""Forced trading: what all steps of a liquidation share.

Orders that carry their cause, the rate limit they come under, and what an account's
holdings are worth at the prices of the moment.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from math import ceil, floor, inf, isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cython_ext.ledger import INSURANCE
from ..orderbook.orders import Flag, Kind, Side, TimeInForce, messages
from .bankruptcy import bankruptcy_price
from .cases import Case, Rows, Venue
from .rules import Rules

Integers = NDArray[np.int64]

PPM = 1_000_000

NEAR = 0.01
"""How far from the best price a book's depth counts, where an order takes a share."""


def _nobody(market: int) -> None:
    pass


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


class Forced:
    """Sends forced orders, and answers what the steps of a liquidation ask."""

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        self._tokens = inf  # filled at the start
        self._last = 0
        # Told of each market that was traded in; the fund books by market.
        self.traded: Callable[[int], None] = _nobody
        # Accounts whose holdings changed, for each who follows them in this cycle.
        self._followers: list[dict[int, None]] = []
        # While a cycle runs prices stand, and only what is done here changes holdings.
        self._running = False
        self._held: dict[int, tuple[Held, ...]] = {}
        self._coins: dict[int, tuple[Coin, ...]] = {}
        self._bankrupt: dict[int, dict[tuple[int, int], int]] = {}
        self._index: dict[int, float] = {}
        self._price: dict[int, float] = {}
        names = [spec.name for spec in venue.specs]
        self.curves = [rules.brackets_of(name) for name in names]
        self._factor: list[float] = rules.margin_factors(names).tolist()
        # Plain numbers: what NumPy takes out of an array is slow to reckon with.
        self._tick: list[float] = venue.tick.tolist()
        self._lot: list[float] = venue.lot.tolist()
        self._atom: list[float] = venue.atom.tolist()
        self._base: list[int] = venue.base.tolist()
        self._quote: list[int] = venue.quote.tolist()
        # A coin is sold in the first spot market that has it as base.
        self._spot: dict[int, int] = {}
        for market, spec in enumerate(venue.specs):
            if not spec.perpetual:
                self._spot.setdefault(int(venue.base[market]), market)

    # -- A CYCLE

    @contextmanager
    def cycle(self) -> Iterator[None]:
        """Remember prices and holdings until the end, or until they change here."""
        self._forget()
        self._running = True
        try:
            yield
        finally:
            self._running = False
            self._forget()

    def _forget(self) -> None:
        for known in (
            self._followers,
            self._held,
            self._coins,
            self._bankrupt,
            self._index,
            self._price,
        ):
            known.clear()

    def follow(self) -> dict[int, None]:
        """Accounts that change from now on in this cycle, for the caller to empty."""
        changed: dict[int, None] = {}
        self._followers.append(changed)
        return changed

    def _note(self, accounts: Collection[int]) -> None:
        for account in accounts:
            self._held.pop(account, None)
            self._coins.pop(account, None)
            self._bankrupt.pop(account, None)
        for changed in self._followers:
            changed.update(dict.fromkeys(accounts))

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

    # -- ORDERS

    def event(self, case: Case, now: int, **fields: Any) -> int:
        """Log a step of a liquidation."""
        return int(
            self.venue.log.add(
                "liquidation", now, case.breach, account=case.account, **fields
            )
        )

    def trade(
        self,
        case: Case,
        market: int,
        side: Side,
        lots: int,
        now: int,
        *,
        whole: int,
        flags: int = 0,
        **fields: Any,
    ) -> int:
        """Send the account's order of this cycle to a market; return lots filled.

        Immediate or cancel, and by the rules no further than the bankruptcy price.
        ``whole`` is the holding that the lots are of.
        """
        case.sold_out = False
        if (market, side) in case.sent:
            return 0
        if self.exhausted:
            case.starved = True
            return 0
        lots = min(lots, self._most(market, side))
        if lots == 0:
            return 0
        self._tokens -= 1
        case.sent.append((market, side))
        if self.usd(market, whole) > self.rules.liquidation.cooldown_above_usd:
            case.resting = now + int(self.rules.liquidation.cooldown_s * 1e9)
        signed = lots if side == Side.SELL else -lots
        capped = self.rules.liquidation.price_cap == "bankruptcy"
        bankruptcy = 0
        if capped or self.rules.fees.liquidation_ppm:
            bankruptcy = self.bankruptcy_ticks(case.account, market, signed)
        event = self.event(case, now, market=market, **fields)
        batch = self._order(market, side, lots, bankruptcy if capped else 0)
        batch["flags"] = int(flags)
        fills = self.send(batch, case.account, event, now)
        if self.rules.fees.liquidation_ppm:
            self._cap_fee(case.account, market, side, bankruptcy, fills)
        self.traded(market)
        return int(fills["qty"].sum())

    def _cap_fee(
        self, account: int, market: int, side: Side, bankruptcy: int, fills: Rows
    ) -> None:
        """Give back what of the liquidation fee the closed part had no equity for.

        It had what the fills were better than the bankruptcy price, less the taker
        fee. Without this a slice of a fee above the margin rate would leave the rest
        less healthy, and the fund would pay for its own fee.
        """
        fees, spec = self.rules.fees, self.venue.specs[market]
        taker = fees.perpetual_taker_ppm if spec.perpetual else fees.spot_taker_ppm
        sign = 1 if side == Side.SELL else -1
        fee = had = 0
        for price, lots in zip(
            fills["price"].tolist(), fills["qty"].tolist(), strict=True
        ):
            paid = price * lots * spec.quote_unit
            fee += -(-paid * fees.liquidation_ppm // PPM)
            had += (price - bankruptcy) * sign * lots * spec.quote_unit
            had -= -(-paid * taker // PPM)
        back = fee - max(0, min(fee, had))
        if back:
            self.transfer(self._quote[market], INSURANCE, account, back)

    def unwind(
        self, market: int, side: Side, lots: int, worst: int, cause: int, now: int
    ) -> int:
        """Send an order of the insurance fund, no further than ``worst`` ticks."""
        if self.exhausted:
            return 0
        lots = min(lots, self._most(market, side))
        if lots == 0:
            return 0
        self._tokens -= 1
        batch = self._order(market, side, lots, worst)
        return int(self.send(batch, INSURANCE, cause, now)["qty"].sum())

    def cancel(self, account: int, market: int, event: int, now: int) -> None:
        """Cancel the account's orders in a market; -1 for all."""
        batch = messages(1)
        # Plain numbers: NumPy asks members of an enum for what they do not have.
        batch["kind"], batch["market"] = int(Kind.CANCEL_ALL), market
        batch["side"] = int(Side.BOTH)
        self.send(batch, account, event, now)

    def send(self, batch: Rows, account: int, event: int, now: int) -> Rows:
        """Send messages of an account, caused by an event; return its fills."""
        batch["time"], batch["account"], batch["cause"] = now, account, event
        batch["flags"] |= int(Flag.LIQUIDATION)
        _, fills = self.venue.execute(batch)
        if len(fills):
            traded = [INSURANCE, *fills["maker"].tolist(), *fills["taker"].tolist()]
            self._note(dict.fromkeys(traded))
        own: Rows = fills[fills["taker"] == account]
        return own

    def _order(self, market: int, side: Side, lots: int, protection: int) -> Rows:
        batch = messages(1)
        batch["kind"], batch["tif"] = int(Kind.MARKET), int(TimeInForce.IOC)
        batch["market"], batch["side"] = market, int(side)
        batch["qty"], batch["price"] = lots, protection
        return batch

    def _most(self, market: int, side: Side) -> int:
        # The share of the displayed depth near the best price that one order takes.
        share = self.rules.liquidation.book_share
        if share is None:
            return 2**62
        prices, lots = self.venue.books.depth(market, 1 - side)
        if len(prices) == 0:
            return 0
        best = int(prices[0])
        near = np.abs(prices - best) <= NEAR * best
        return int(share * int(lots[near].sum()))

    def slice(self, market: int, lots: int) -> int:
        """Lots of a holding that go in one cycle: its slice, or all if it is small."""
        limit = self.rules.liquidation
        if limit.cooldown_s > 0 and self.usd(market, lots) <= limit.cooldown_above_usd:
            return lots
        return max(1, ceil(lots * limit.slice))

    # -- HOLDINGS

    def positions(self, account: int) -> tuple[Held, ...]:
        """The account's open positions, each leg by itself."""
        held = self._held.get(account)
        if held is None:
            rows = self.venue.ledger.positions_of(account).tolist()
            held = tuple(
                Held(market, lots, cost, leg)
                for _, market, lots, cost, _, _, leg, _ in rows
                if lots
            )
            if self._running:
                self._held[account] = held
        return held

    def coins(self, account: int) -> tuple[Coin, ...]:
        """The account's balances: asset, atoms, and the market it is sold in."""
        coins = self._coins.get(account)
        if coins is None:
            rows = self.venue.ledger.balances_of(account).tolist()
            coins = tuple(
                Coin(asset, atoms, self._spot.get(asset))
                for _, asset, atoms, *_ in rows
            )
            if self._running:
                self._coins[account] = coins
        return coins

    def debts(self, account: int) -> dict[int, int]:
        """What the account owes: atoms by asset."""
        return {asset: -atoms for asset, atoms, _ in self.coins(account) if atoms < 0}

    def spot_market(self, asset: int) -> int | None:
        """The spot market a coin is sold in: the first that has it as base."""
        return self._spot.get(asset)

    def move(self, held: Held, source: int, target: int, lots: int, price: int) -> None:
        """Hand ``lots`` of a position (signed as it is) to another account."""
        self.venue.ledger.trade_between(held.market, source, target, lots, price)
        self._note((source, target))

    def transfer(self, asset: int, source: int, target: int, atoms: int) -> None:
        """Move atoms from one account to another."""
        self.venue.ledger.transfer(asset, source, target, atoms)
        self._note((source, target))

    def transfer_many(
        self, asset: int, sources: Integers, target: int, atoms: Integers
    ) -> None:
        """Move atoms from many accounts to another. O(sources)."""
        self.venue.ledger.transfer_many(asset, sources, target, atoms)
        # To forget what was remembered of all is quicker than to look for each.
        self._coins.clear()
        self._bankrupt.clear()
        for changed in self._followers:
            changed.update(dict.fromkeys([*sources.tolist(), target]))

    # -- PRICES

    # Risk counts what has no price yet as worth nothing, and so does this.

    def index(self, asset: int) -> float:
        """Index of an asset, US dollars; 0 if it has none."""
        price = self._index.get(asset)
        if price is None:
            price = _known(self.venue.index[asset])
            if self._running:
                self._index[asset] = price
        return price

    def worth(self, asset: int) -> float:
        """What an atom is worth, US dollars."""
        return self.index(asset) * self._atom[asset]

    def price(self, market: int) -> float:
        """The mark of a perpetual, or the index of a spot pair, in quote units."""
        price = self._price.get(market)
        if price is None:
            quote = self.index(self._quote[market])
            if self.venue.specs[market].perpetual:
                price = _known(self.venue.mark[market])
            else:
                price = self.index(self._base[market]) / quote if quote else 0.0
            if self._running:
                self._price[market] = price
        return price

    def usd(self, market: int, lots: int) -> float:
        """What so many lots are worth at mark or index, US dollars."""
        quote = self.index(self._quote[market])
        return abs(lots) * self._lot[market] * self.price(market) * quote

    def mark_ticks(self, market: int) -> int:
        """The mark in ticks, at least one."""
        return max(1, round(self.price(market) / self._tick[market]))

    def profit(self, held: Held) -> float:
        """Unrealised profit of a position, US dollars."""
        return self.profit_atoms(held) * self.worth(self._quote[held.market])

    def profit_atoms(self, held: Held) -> int:
        """Unrealised profit of a position, quote atoms, rounded down."""
        market = held.market
        unit = float(self.venue.specs[market].quote_unit)
        price = self.price(market) / self._tick[market]
        return floor(held.lots * price * unit) - held.cost

    def maintenance(self, market: int, lots: int) -> float:
        """Maintenance margin of a position, US dollars."""
        qty = abs(lots) * self._lot[market]
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
        known = self._bankrupt.setdefault(account, {}) if self._running else {}
        if self.venue.specs[market].perpetual:
            lots = 1 if lots > 0 else -1  # of a position the whole counts
        if (market, lots) not in known:
            known[market, lots] = self._bankruptcy_ticks(account, market, lots)
        return known[market, lots]

    def _bankruptcy_ticks(self, account: int, market: int, lots: int) -> int:
        venue = self.venue
        equity = venue.risk.account(account)["equity"]
        size = abs(lots)
        if venue.specs[market].perpetual:
            held = self.positions(account)
            own = [h.lots for h in held if h.market == market and h.lots * lots > 0]
            size = max(map(abs, own), default=0)
            mine = self.maintenance(market, size)
            whole = sum(self.maintenance(h.market, h.lots) for h in held)
            if equity < 0.0:
                equity = max(equity, min(0.0, sum(map(self.profit, held))))
        else:
            mine, whole = self.usd(market, size), self._gross(account)
        price, side = self.price(market), 1 if lots > 0 else -1
        quote = self.index(self._quote[market])
        if size and whole > 0 and quote > 0:
            qty = size * self._lot[market]
            share = equity * mine / whole / quote
            price = bankruptcy_price(price, side, share, qty)
        ticks = price / self._tick[market]
        return max(1, ceil(ticks) if lots > 0 else floor(ticks))

    def _gross(self, account: int) -> float:
        # What the account holds, coins that can be sold and positions, US dollars.
        gross = sum(self.usd(h.market, h.lots) for h in self.positions(account))
        for asset, atoms, market in self.coins(account):
            if atoms > 0 and market is not None:
                gross += atoms * self.worth(asset)
        return gross


def _known(price: float) -> float:
    # np.nan_to_num takes 60 µs, and this is asked a hundred thousand times.
    return 0.0 if isnan(price) else float(price)
