"""The steps of a liquidation that the account itself pays for.

It cancels, buys back, converts, sells and reduces. What is left is for `margin.losses`.
A step is taken by all cases that are at it: where it trades, their orders go together.
"""

from collections.abc import Sequence
from math import ceil, floor, inf

import numpy as np

from ..cython_ext.ledger import CLAIMS, INSURANCE
from ..orderbook.orders import Flag, Side
from .bankruptcy import Bracket, reduction
from .cases import Case, Venue
from .forced import Forced, Order, Part, Plan
from .fund import SHARED, Fund
from .holdings import Coin, Held
from .rules import Rules
from .schedule import Schedule
from .shares import spread

BRACKETS_MAX = 32
"""Most brackets a position is stepped down in one cycle."""

STEP = 1e-6
"""Share of a position over which the slope of its margin is taken."""


class Steps:
    """What becomes of accounts while they still have something."""

    def __init__(self, venue: Venue, rules: Rules, forced: Forced, fund: Fund) -> None:
        self.venue = venue
        self.rules = rules
        self.forced = forced
        self.fund = fund

    def restored(self, case: Case) -> bool:
        """Whether the account's health is where a liquidation stops."""
        health = self.forced.value(case.account).health
        return health >= self.rules.liquidation.target_health

    # -- ORDERS

    def cancel_risky(self, cases: Sequence[Case], now: int) -> None:
        """Cancel the orders that cost collateral, borrow, or open positions."""
        rows = self.venue.books.orders_of([case.account for case in cases])
        rows = rows[[self._risky(int(row["account"]), row) for row in rows]]
        if len(rows) == 0:
            return
        # In the order of the cases, as their orders are.
        owners = dict.fromkeys(rows["account"].tolist())
        risky = [case for case in cases if case.account in owners]
        events = self.forced.events("liquidation", risky, now, "cancel_risky")
        number = {case.account: i for i, case in enumerate(risky)}
        causes = events[[number[account] for account in rows["account"].tolist()]]
        self.forced.cancel(rows["account"], rows["market"], causes, now, rows["id"])

    def _risky(self, account: int, row: np.void) -> bool:
        market, buys = int(row["market"]), int(row["side"]) == Side.BUY
        if row["flags"] & Flag.REDUCE_ONLY:
            return False
        if self.venue.specs[market].perpetual:
            lots = sum(
                h.lots for h in self.forced.positions(account) if h.market == market
            )
            return lots >= 0 if buys else lots <= 0
        pays, gets = int(self.venue.quote[market]), int(self.venue.base[market])
        if not buys:
            pays, gets = gets, pays
        balances = self.venue.ledger.balances_of(account)
        short = [b for b in balances if b["asset"] == pays and b["hold"] > b["amount"]]
        return bool(short) or self._rate(gets) < self._rate(pays)

    def _rate(self, asset: int) -> float:
        # What the first dollar of an asset counts as collateral.
        curve = self.rules.collateral_of(self.venue.assets[asset])
        price = self.forced.index(asset)
        return float(curve.amount(1.0, 1.0 / price)) if price > 0 else 0.0

    def cancel_orders(self, cases: Sequence[Case], now: int) -> None:
        """Cancel all orders of the accounts."""
        events = self.forced.events("liquidation", list(cases), now, "cancel_orders")
        self.forced.cancel([case.account for case in cases], -1, events, now)

    # -- DEBTS

    def repay(self, cases: Sequence[Case], now: int) -> None:
        """Buy back a slice of what was borrowed of coins that have a market."""
        debts = [
            (case, asset, market, -amount / self.forced.base_unit[market])
            for case in cases
            for asset, amount, market in self.forced.coins(case.account)
            if amount < 0 and market is not None
        ]
        # Rounded up to a lot: a debt smaller than one is a debt all the same.
        lots = self._parts([(c.slices, a, m, ceil(owed)) for c, a, m, owed in debts])
        orders = [
            (case, Order(market, Side.BUY, part, ceil(owed), asset))
            for (case, asset, market, owed), part in zip(debts, lots, strict=True)
        ]
        self.forced.trade("repay", orders, now)

    def convert(self, cases: Sequence[Case], now: int) -> None:
        """Pay debts with coins at index less a haircut; the insurance fund takes them.

        As far as the fund has the money: what it has no more is sold in the book.
        """
        for case in cases:
            for debt in self.forced.debts(case.account):
                self._convert(case, debt, now)

    def _convert(self, case: Case, debt: int, now: int) -> None:
        ledger, unit = self.venue.ledger, self.forced.worth(debt)
        # What each coin pays at most, in atoms of the debt.
        coins: dict[int, int] = {}
        for asset, amount, _ in self.forced.coins(case.account):
            usd = amount * self.forced.worth(asset) * (1.0 - self._haircut(asset))
            if amount > 0 and asset != debt and usd > 0 and unit > 0:
                coins[asset] = floor(usd / unit)
        order = self._in_order(case, list(coins))
        caps = [coins[a] for a in order]
        owed = -ledger.balance(case.account, debt)
        owed = min(owed, self.fund.can_bear(debt, SHARED), sum(caps))
        paid = spread(owed, caps, caps).tolist()
        if self.rules.liquidation.repay_order != "pro_rata":
            paid, left = [], owed
            for cap in caps:
                paid.append(min(left, cap))
                left -= paid[-1]
        for asset, atoms in zip(order, paid, strict=True):
            if atoms == 0:
                continue
            worth = self.forced.worth(asset) * (1.0 - self._haircut(asset))
            has = ledger.balance(case.account, asset)
            given = min(has, ceil(atoms * unit / worth))
            event = self.forced.event(
                case, now, text="convert", asset=asset, value=float(atoms * unit)
            )
            self.forced.transfer(asset, case.account, INSURANCE, given)
            self.forced.transfer(debt, INSURANCE, case.account, atoms)
            self.fund.took_coins(asset, given, debt, event)

    def _haircut(self, asset: int) -> float:
        return float(self.rules.conversion_of(self.venue.assets[asset]))

    def _in_order(self, case: Case, assets: list[int]) -> list[int]:
        # Coins in the order in which they pay; ties, and pro rata, by number.
        way = self.rules.liquidation.repay_order
        if way == "pro_rata":
            return assets
        balance = self.venue.ledger.balance
        if way == "largest":
            usd = {a: balance(case.account, a) * self.forced.worth(a) for a in assets}
            return sorted(assets, key=lambda a: (-usd[a], a))
        counted = [a for a in assets if self._rate(a) > 0.0]
        return sorted(counted, key=lambda a: (-self._rate(a), a))

    # -- COINS AND POSITIONS

    def sell_collateral(self, cases: Sequence[Case], now: int) -> None:
        """Sell a slice of every coin, the good inventory with the bad.

        In the order of the rules, if they have one, and then no more than is needed.
        """
        if self.rules.liquidation.repay_order == "pro_rata":
            self.forced.trade("sell_collateral", self._selling(cases), now)
            return
        plans = [(case, self._sell_in_order(case)) for case in cases]
        self.forced.work("sell_collateral", plans, now)

    def _sell_in_order(self, case: Case) -> Plan:
        for _, order in self._selling([case]):
            if self.restored(case):
                return
            yield [order]

    def _selling(self, cases: Sequence[Case]) -> list[tuple[Case, Order]]:
        unit = self.forced.base_unit
        coins = [
            (case, asset, market, amount // unit[market])
            for case in cases
            for asset, amount, market in self._for_sale(case)
            if amount > 0 and market is not None
        ]
        lots = self._parts([(c.slices, a, m, whole) for c, a, m, whole in coins])
        return [
            (case, Order(market, Side.SELL, part, whole, asset))
            for (case, asset, market, whole), part in zip(coins, lots, strict=True)
            if part
        ]

    def _for_sale(self, case: Case) -> Sequence[Coin]:
        # The account's coins in the order of the rules.
        coins = self.forced.coins(case.account)
        if self.rules.liquidation.repay_order == "pro_rata":
            return coins
        has = {coin.asset: coin for coin in coins if coin.atoms > 0}
        sold = [a for a, coin in has.items() if coin.market is not None]
        return [has[asset] for asset in self._in_order(case, sold)]

    def _parts(self, holdings: Sequence[Part]) -> list[int]:
        # The slice of the holding there was at the breach, or all of what is small now.
        parts = []
        slices = self.forced.slices(holdings)
        for (before, key, _, lots), part in zip(holdings, slices, strict=True):
            part = part if lots else 0
            parts.append(min(lots, max(part, before.setdefault(key, part))))
        return parts

    def net_hedges(self, cases: Sequence[Case], now: int) -> None:
        """Close the long and the short leg of a market against each other, at mark."""
        for case in cases:
            self._net_hedges(case, now)

    def _net_hedges(self, case: Case, now: int) -> None:
        legs: dict[int, list[Held]] = {}
        for held in self.forced.positions(case.account):
            legs.setdefault(held.market, []).append(held)
        for market, pair in legs.items():
            if len(pair) < 2:
                continue
            lots = min(abs(held.lots) for held in pair)
            ticks = self.forced.mark_ticks(market)
            self.forced.event(
                case, now, market=market, text="net_hedges", qty=lots, price=ticks
            )
            # An account that holds no positions takes both, and is left with nothing.
            for held in pair:
                signed = lots if held.lots > 0 else -lots
                self.forced.move(market, case.account, CLAIMS, signed, ticks)

    def reduce_positions(self, cases: Sequence[Case], now: int) -> None:
        """Close a part of every position: a slice, or what the target needs.

        By what the target needs, the position with most margin comes first, and down to
        the floor of its bracket before what it needs is computed anew.
        """
        limit = self.rules.liquidation
        if limit.partial or limit.step_down:
            plans = [(case, self._reduce_to_target(case)) for case in cases]
            self.forced.work("reduce_positions", plans, now)
            return
        every = [
            (case, held)
            for case in cases
            for held in self.forced.positions(case.account)
        ]
        lots = self._parts(
            [
                (case.position_slices, (market, leg), market, abs(size))
                for case, (market, size, _, leg) in every
            ]
        )
        orders = [
            (case, _closing(held, part))
            for (case, held), part in zip(every, lots, strict=True)
        ]
        self.forced.trade("reduce_positions", orders, now)

    def _reduce_to_target(self, case: Case) -> Plan:
        def margin(held: Held) -> float:
            return self.forced.maintenance(held.market, held.lots)

        whole = sorted(
            self.forced.positions(case.account), key=lambda h: (-margin(h), h.market)
        )
        for held in whole:
            left = held
            for _ in range(BRACKETS_MAX):
                if self.restored(case):
                    return
                lots = self._needed(case, left)
                if lots == 0:
                    break
                (filled,) = yield [_closing(left, lots)]
                if filled < lots:
                    break
                done = lots if left.lots > 0 else -lots
                left = left._replace(lots=left.lots - done)
                if left.lots == 0:
                    break
                # The next bracket down is another order to the same book.
                case.sent.pop()

    def _needed(self, case: Case, held: Held) -> int:
        """Lots of a position to close for the target, no further than its bracket."""
        value = self.forced.value(case.account)
        usd = self.forced.usd(held.market, held.lots)
        lot = usd / abs(held.lots) if held.lots else 0.0
        if not lot > 0.0:
            return 0
        fees, limit = self.rules.fees, self.rules.liquidation
        dollars = reduction(
            value.adjusted,
            value.maintenance,
            usd,
            self._bracket(held.market, usd, abs(held.lots)),
            target=limit.target_health,
            cost=(fees.perpetual_taker_ppm + fees.liquidation_ppm) * 1e-6,
            step_down=limit.step_down,
        )
        wanted = inf if dollars == inf else ceil(dollars / lot)
        return int(min(abs(held.lots), max(1, wanted)))

    def _bracket(self, market: int, usd: float, lots: int) -> Bracket:
        curve = self.forced.curves[market]
        qty = lots * float(self.venue.lot[market])
        money = qty * self.forced.price(market)
        scale = self.forced.settled(market) * money / usd
        if isinstance(curve, Schedule):
            size = money if curve.unit == "usd" else qty
            i = max(k for k, low in enumerate(curve.floors) if k == 0 or low < size)
            return Bracket(curve.floors[i] * usd / size, curve.rates[i] * scale)
        # A curve without brackets is one, of the slope that it has at this size.
        part = 1.0 - STEP
        less = curve.amount(money, qty) - curve.amount(money * part, qty * part)
        return Bracket(0.0, float(less) / (money * STEP) * scale)


def _closing(held: Held, lots: int) -> Order:
    # In hedge mode an order that is not to reduce opens a leg.
    return Order(
        held.market,
        Side.SELL if held.lots > 0 else Side.BUY,
        lots,
        abs(held.lots),
        flags=int(Flag.REDUCE_ONLY) if held.leg else 0,
    )
