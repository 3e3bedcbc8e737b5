"""The liquidation engine: what becomes of an account that cannot keep its margin.

It trades in the same books as everyone. The order of steps, the share sold in a cycle,
the rate limit and the price cap are rules; each step leaves an event that carries the
breach, and the breach carries the repricing that cost the account most.
"""

from collections.abc import Callable
from math import ceil, floor, inf
from typing import Any, Protocol

import numpy as np
from attrs import Factory, define
from numpy.typing import NDArray

from ..cython_ext.ledger import CLAIMS, INSURANCE, SYSTEM_ACCOUNTS, Ledger
from ..cython_ext.risk import Risk
from ..orderbook.orders import Flag, Kind, Side, TimeInForce, messages
from .markets import MarketSpec
from .rules import Rules

Floats = NDArray[np.float64]
Rows = NDArray[np.void]


class Log(Protocol):
    """Where events go."""

    def add(self, kind: str, time: int, cause: int = 0, **fields: Any) -> int:
        """Append an event and return its id."""


class Venue(Protocol):
    """What the liquidation engine needs of an exchange."""

    ledger: Ledger
    risk: Risk
    log: Any
    specs: tuple[MarketSpec, ...]
    assets: tuple[str, ...]
    base: NDArray[np.int64]
    quote: NDArray[np.int64]
    atom: Floats
    tick: Floats
    lot: Floats
    index: Floats
    mark: Floats
    index_event: list[int]
    mark_event: list[int]

    def process(self, batch: Rows) -> tuple[Rows, Rows]:
        """Take a batch through books and ledger."""


UNWIND_THROUGH = 0.02
"""How far through the mark the insurance fund trades to work off what it took over."""


@define
class Case:
    """One account in liquidation, from its breach until it is healthy or empty."""

    account: int
    breach: int  # event id
    cycle: int = 0  # cycles in which all its orders were sent
    cancelled: bool = False  # its own orders are gone
    slices: dict[int, int] = Factory(dict)  # asset: lots sold a cycle
    position_slices: dict[int, int] = Factory(dict)  # market: lots closed a cycle
    sold_out: bool = False  # nothing was left to sell or close in the last cycle
    starved: bool = False  # the rate limit held back orders of this cycle
    sent: list[int] = Factory(list)  # markets this cycle has had its order in


class Liquidator:
    """Runs the waterfall of the rules over all breached accounts, a cycle at a time.

    An account enters when its health is at or below the threshold, worst first, ties by
    number. It leaves restored (health at target), or with nothing left: then the
    insurance fund pays what it owes as far as it can, and the rest is a claim.
    """

    def __init__(self, venue: Venue, rules: Rules) -> None:
        self.venue = venue
        self.rules = rules
        self.cases: dict[int, Case] = {}
        # Accounts that were ever in liquidation, in order of their first breach.
        self.liquidated: dict[int, None] = {}
        self.scans = 0
        self.valuation: dict[str, Floats] = {}
        self._index_at: list[Floats] = []  # prices at each scan, for the blame
        self._mark_at: list[Floats] = []
        self._healthy_scan = np.zeros(0, np.int32)  # by account
        self._taken: dict[int, tuple[int, int]] = {}  # market: slice, takeover event
        self._tokens = inf  # filled at the start
        self._last = 0
        self._steps: dict[str, Callable[[Case, int], None]] = {
            "cancel_orders": self._cancel_orders,
            "repay": self._repay,
            "sell_collateral": self._sell_collateral,
            "reduce_positions": self._reduce_positions,
            "takeover": self._take_over,
            "insurance_fund": self._pay_from_fund,
            "claim": self._claim,
        }
        limit = rules.liquidation
        self.cycles_max = ceil(1.0 / limit.slice) + 2

    # -- A CYCLE

    def run(self, now: int) -> int:
        """Scan all accounts and run one cycle; return how many are in liquidation."""
        self.scan(now)
        self._refill(now)
        order = sorted(self.cases, key=lambda a: (self.valuation["health"][a], a))
        for account in order:
            if self._tokens < 1:
                break
            self._cycle(self.cases[account], now)
        self._unwind(now)
        return len(self.cases)

    def scan(self, now: int) -> None:
        """Value all accounts, note who is healthy, open a case for each breach."""
        venue, thresholds = self.venue, self.rules.thresholds
        self.valuation = values = venue.risk.revalue()
        health = values["health"]
        new = len(health) - len(self._healthy_scan)
        if new:
            added = np.full(new, self.scans, np.int32)
            self._healthy_scan = np.concatenate([self._healthy_scan, added])
        self._index_at.append(venue.index.copy())
        self._mark_at.append(venue.mark.copy())
        self._healthy_scan[health > thresholds.warn] = self.scans
        self.scans += 1
        low = np.flatnonzero(health <= thresholds.liquidate)
        for account in low[np.argsort(health[low], kind="stable")].tolist():
            if account >= SYSTEM_ACCOUNTS and account not in self.cases:
                self._open(account, float(health[account]), now)

    def _open(self, account: int, health: float, now: int) -> None:
        fields = self.blame(account)
        breach = self.venue.log.add(
            "breach", now, account=account, value=health, text="health", **fields
        )
        self.cases[account] = case = Case(account, breach)
        self.venue.risk.freeze(account, True)
        self.liquidated.setdefault(account)
        for row in self.venue.ledger.balances_of(account):
            market = self._spot_market(int(row["asset"]))
            if market is not None:
                lots = abs(int(row["amount"])) // self.venue.specs[market].base_unit
                case.slices[int(row["asset"])] = self._slice(lots)
        for row in self.venue.ledger.positions_of(account):
            case.position_slices[int(row["market"])] = self._slice(
                abs(int(row["lots"]))
            )

    def _slice(self, lots: int) -> int:
        return max(1, ceil(lots * self.rules.liquidation.slice))

    def blame(self, account: int) -> dict[str, Any]:
        """Find the repricing that cost the account most since it was last healthy."""
        venue = self.venue
        then = int(self._healthy_scan[account])
        index, mark = self._index_at[then], self._mark_at[then]
        worst, blame = 0.0, {"cause": 0}
        for row in venue.ledger.balances_of(account):
            a = int(row["asset"])
            cost = float(row["amount"] * venue.atom[a] * (venue.index[a] - index[a]))
            if cost < worst:
                worst, blame = cost, {"asset": a, "cause": venue.index_event[a]}
        for row in venue.ledger.positions_of(account):
            m = int(row["market"])
            cost = float(row["lots"] * venue.lot[m] * (venue.mark[m] - mark[m]))
            if cost < worst:
                worst, blame = cost, {"market": m, "cause": venue.mark_event[m]}
        return blame

    def _refill(self, now: int) -> None:
        # A token bucket: no more than one cycle's worth of orders is ever saved up.
        limit = self.rules.liquidation.rate_limit
        if limit is None:
            self._tokens = inf
            return
        most = max(1.0, limit * self.rules.liquidation.cycle_s)
        self._tokens = min(most, self._tokens + limit * (now - self._last) * 1e-9)
        self._last = now

    def _cycle(self, case: Case, now: int) -> None:
        names = self.rules.liquidation.steps
        case.sold_out, case.starved = True, False
        for name in names:
            if name == "cancel_orders" and case.cancelled:
                continue
            self._steps[name](case, now)
            health = self.venue.risk.account(case.account)["health"]
            enough = self.rules.liquidation.target_health
            if name == "cancel_orders":
                # Cancelling alone may do; a liquidation that starts goes to the target.
                enough = np.nextafter(self.rules.thresholds.liquidate, inf)
            if health >= enough:
                emptied = name in ("insurance_fund", "claim")
                text = "nothing left" if emptied else f"restored to health {health:.2f}"
                self._close(case, now, text)
                return
        if not case.starved:
            case.cycle += 1
            case.sent.clear()
        empty = case.sold_out or case.cycle > self.cycles_max
        if empty and not self._debts(case.account):
            self._close(case, now, "nothing left")

    def _close(self, case: Case, now: int, text: str) -> None:
        del self.cases[case.account]
        self.venue.risk.freeze(case.account, False)
        self.venue.log.add(
            "liquidation", now, case.breach, account=case.account, text=text
        )

    # -- STEPS

    def _cancel_orders(self, case: Case, now: int) -> None:
        case.cancelled = True
        event = self._event(case, now, text="cancel_orders")
        batch = messages(1)
        batch["kind"], batch["market"], batch["side"] = Kind.CANCEL_ALL, -1, Side.BOTH
        self._send(batch, case.account, event, now)

    def _repay(self, case: Case, now: int) -> None:
        """Buy back what was borrowed of coins that have a market."""
        for row in self.venue.ledger.balances_of(case.account):
            asset, owed = int(row["asset"]), -int(row["amount"])
            market = self._spot_market(asset)
            if owed <= 0 or market is None:
                continue
            # Rounded up to a lot: a debt smaller than one is a debt all the same.
            lots = -(-owed // self.venue.specs[market].base_unit)
            lots = min(lots, case.slices.setdefault(asset, self._slice(lots)))
            self._trade(case, market, Side.BUY, lots, now, text="repay", asset=asset)

    def _sell_collateral(self, case: Case, now: int) -> None:
        """Sell a slice of every coin, the good inventory with the bad."""
        for row in self.venue.ledger.balances_of(case.account):
            asset = int(row["asset"])
            market = self._spot_market(asset)
            if row["amount"] <= 0 or market is None:
                continue
            lots = int(row["amount"]) // self.venue.specs[market].base_unit
            lots = min(lots, case.slices.setdefault(asset, self._slice(lots)))
            if lots:
                self._trade(
                    case,
                    market,
                    Side.SELL,
                    lots,
                    now,
                    text="sell_collateral",
                    asset=asset,
                )

    def _reduce_positions(self, case: Case, now: int) -> None:
        """Close a slice of every position."""
        for row in self.venue.ledger.positions_of(case.account):
            market, lots = int(row["market"]), int(row["lots"])
            size = min(
                abs(lots),
                case.position_slices.setdefault(market, self._slice(abs(lots))),
            )
            if size:
                side = Side.SELL if lots > 0 else Side.BUY
                self._trade(case, market, side, size, now, text="reduce_positions")

    def _take_over(self, case: Case, now: int) -> None:
        """Hand what could not be sold to the insurance fund.

        Positions go at their bankruptcy price, once equity is gone or the slices are
        used up; where the fund cannot bear the loss, at mark, and the account keeps its
        debt for the steps that follow. Coins go last, at index, against what is owed.
        """
        venue = self.venue
        value = venue.risk.account(case.account)
        if value["equity"] > 0 and case.cycle < self.cycles_max:
            return
        for row in venue.ledger.positions_of(case.account):
            market, lots = int(row["market"]), int(row["lots"])
            if lots == 0:
                continue
            ticks = self._bankruptcy_ticks(case.account, market, lots)
            mark = max(1, round(float(venue.mark[market] / venue.tick[market])))
            loss = (ticks - mark) * lots * venue.specs[market].quote_unit
            quote = int(venue.quote[market])
            if loss > max(0, venue.ledger.balance(INSURANCE, quote)):
                ticks, loss = mark, 0
            usd = abs(lots) * venue.lot[market] * self._price(market)
            event = venue.log.add(
                "takeover", now, case.breach, account=case.account, market=market,
                side=Side.SELL if lots > 0 else Side.BUY, price=ticks, qty=abs(lots),
                value=float(usd), text="USD at mark",
            )  # fmt: skip
            venue.ledger.move_position(market, case.account, INSURANCE, ticks)
            self._taken[market] = (self._slice(abs(lots)), event)
            if loss > 0:
                self._settled(case, now, "fund", quote, loss)
        if case.cycle >= self.cycles_max:
            for asset in self._debts(case.account):
                self._take_coins(case, asset, now)

    def _take_coins(self, case: Case, debt: int, now: int) -> None:
        # No book took them in all the cycles there were. The fund pays for them as far
        # as it can; the rest the venue itself has to carry, coins and debt.
        ledger, unit = self.venue.ledger, self._worth(debt)
        fund: int | None = max(0, ledger.balance(INSURANCE, debt))
        for payer, most in ((INSURANCE, fund), (CLAIMS, None)):
            for row in ledger.balances_of(case.account):
                coin, has = int(row["asset"]), int(row["amount"])
                owed = -ledger.balance(case.account, debt)
                worth = self._worth(coin)
                if has <= 0 or owed <= 0 or coin == debt or not worth * unit:
                    continue
                paid = min(owed, floor(has * worth / unit))
                if most is not None:
                    paid = min(paid, most)
                    most -= paid
                if paid == 0:
                    continue
                coins = min(has, ceil(paid * unit / worth))
                ledger.transfer(coin, case.account, payer, coins)
                ledger.transfer(debt, payer, case.account, paid)
                self.venue.log.add(
                    "takeover", now, case.breach, account=case.account, asset=coin,
                    value=float(coins * worth), text="USD at index",
                )  # fmt: skip

    def _pay_from_fund(self, case: Case, now: int) -> None:
        """Let the fund pay the debts of an account that has nothing left."""
        if not self._empty(case):
            return
        for asset, owed in self._debts(case.account).items():
            paid = min(owed, max(0, self.venue.ledger.balance(INSURANCE, asset)))
            if paid:
                self.venue.ledger.transfer(asset, INSURANCE, case.account, paid)
                self._settled(case, now, "fund", asset, paid)

    def _claim(self, case: Case, now: int) -> None:
        """Write off what is still owed as a claim of the venue on the user."""
        if not self._empty(case):
            return
        for asset, owed in self._debts(case.account).items():
            self.venue.ledger.transfer(asset, CLAIMS, case.account, owed)
            self._settled(case, now, "claim", asset, owed)

    def _settled(self, case: Case, now: int, kind: str, asset: int, atoms: int) -> None:
        usd = atoms * self._worth(asset)
        self.venue.log.add(
            kind,
            now,
            case.breach,
            account=case.account,
            asset=asset,
            value=usd,
            text="USD",
        )

    def _unwind(self, now: int) -> None:
        # The fund works off the positions it took over, a slice a cycle.
        for market, (size, event) in list(self._taken.items()):
            lots, _ = self.venue.ledger.open_position(INSURANCE, market)
            if lots == 0:
                del self._taken[market]
                continue
            if self._tokens < 1:
                break
            self._tokens -= 1
            side, sign = (Side.SELL, -1.0) if lots > 0 else (Side.BUY, 1.0)
            worst = self._price(market) * (1.0 + sign * UNWIND_THROUGH)
            ticks = max(1, round(float(worst / self.venue.tick[market])))
            batch = self._order(market, side, min(abs(lots), size), ticks)
            self._send(batch, INSURANCE, event, now)

    # -- ORDERS

    def _event(self, case: Case, now: int, **fields: Any) -> int:
        return int(
            self.venue.log.add(
                "liquidation", now, case.breach, account=case.account, **fields
            )
        )

    def _order(self, market: int, side: Side, lots: int, protection: int) -> Rows:
        batch = messages(1)
        batch["kind"], batch["market"], batch["side"] = Kind.MARKET, market, side
        batch["qty"], batch["price"] = lots, protection
        batch["tif"] = TimeInForce.IOC
        return batch

    def _trade(
        self, case: Case, market: int, side: Side, lots: int, now: int, **fields: Any
    ) -> None:
        case.sold_out = False
        if market in case.sent:
            return
        if self._tokens < 1:
            case.starved = True
            return
        self._tokens -= 1
        case.sent.append(market)
        protection = 0
        if self.rules.liquidation.price_cap == "bankruptcy":
            signed = lots if side == Side.SELL else -lots
            protection = self._bankruptcy_ticks(case.account, market, signed)
        event = self._event(case, now, market=market, **fields)
        batch = self._order(market, side, lots, protection)
        self._send(batch, case.account, event, now)

    def _send(
        self, batch: Rows, account: int, event: int, now: int
    ) -> tuple[Rows, Rows]:
        batch["time"], batch["account"], batch["cause"] = now, account, event
        batch["flags"] = Flag.LIQUIDATION
        return self.venue.process(batch)

    def _bankruptcy_ticks(self, account: int, market: int, lots: int) -> int:
        """Return the price at which closing everything leaves no equity, in ticks.

        Equity is shared out by exposure: price × (1 − side × equity / gross), where
        gross is what the account holds, coins and positions, at index and mark. With
        one position it is ``mark − side × equity / quantity``.
        """
        venue = self.venue
        value = venue.risk.account(account)
        gross = 0.0
        for row in venue.ledger.balances_of(account):
            a = int(row["asset"])
            if row["amount"] > 0 and self._spot_market(a) is not None:
                gross += int(row["amount"]) * self._worth(a)
        for row in venue.ledger.positions_of(account):
            m = int(row["market"])
            usd = self._price(m) * self._index(int(venue.quote[m]))
            gross += abs(int(row["lots"])) * float(venue.lot[m]) * usd
        price = self._price(market)
        side = 1.0 if lots > 0 else -1.0
        share = value["equity"] / gross if gross > 0 else 0.0
        ticks = price * (1.0 - side * share) / float(venue.tick[market])
        return max(1, ceil(ticks) if lots > 0 else floor(ticks))

    # -- QUERIES

    # Risk counts what has no price yet as worth nothing, and so does this.

    def _index(self, asset: int) -> float:
        return float(np.nan_to_num(self.venue.index[asset]))

    def _worth(self, asset: int) -> float:
        """Return what an atom is worth, US dollars."""
        return self._index(asset) * float(self.venue.atom[asset])

    def _price(self, market: int) -> float:
        """Return the mark of a perpetual, or the index of a spot pair."""
        if self.venue.specs[market].perpetual:
            return float(np.nan_to_num(self.venue.mark[market]))
        quote = self._index(int(self.venue.quote[market]))
        return self._index(int(self.venue.base[market])) / quote if quote else 0.0

    def _debts(self, account: int) -> dict[int, int]:
        rows = self.venue.ledger.balances_of(account)
        return {int(r["asset"]): -int(r["amount"]) for r in rows if r["amount"] < 0}

    def _empty(self, case: Case) -> bool:
        # Nothing left to sell or close, or no book that takes it.
        if any(row["lots"] for row in self.venue.ledger.positions_of(case.account)):
            return False
        return case.sold_out or case.cycle >= self.cycles_max

    def _spot_market(self, asset: int) -> int | None:
        """Return the spot market a coin is sold in: the first that has it as base."""
        for market, spec in enumerate(self.venue.specs):
            if not spec.perpetual and self.venue.base[market] == asset:
                return market
        return None
