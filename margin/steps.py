"""The steps of a liquidation that the account itself pays for.

It cancels, buys back, converts, sells and reduces. What is left is for `margin.losses`.
A step is taken by all cases that are at it: where it trades, their orders go together.
"""

from math import ceil, floor, inf

import numpy as np

from ..cython_ext.ledger import CLAIMS, INSURANCE
from ..orderbook.orders import Flag, Side
from .bankruptcy import Bracket, reduction
from .cases import Case, Venue
from .forced import Forced, Integers, Order, Orders, Plan
from .fund import SHARED, Fund
from .holdings import Held
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
        self.cases = forced.cases

    def restored(self, case: Case) -> bool:
        """Whether the account's health is where a liquidation stops."""
        health = self.forced.value(case.account).health
        return health >= self.rules.liquidation.target_health

    # -- ORDERS

    def cancel_risky(self, rows: Integers, now: int) -> None:
        """Cancel the orders that cost collateral, borrow, or open positions."""
        accounts = self.cases.accounts(rows)
        orders = self.venue.books.orders_of(accounts.tolist())
        orders = orders[[self._risky(int(row["account"]), row) for row in orders]]
        if len(orders) == 0:
            return
        # In the order of the cases, as their orders are.
        risky = rows[np.isin(accounts, orders["account"])]
        events = self.forced.events("liquidation", risky, now, "cancel_risky")
        owners = self.cases.accounts(risky).tolist()
        number = dict(zip(owners, events.tolist(), strict=True))
        causes = [number[account] for account in orders["account"].tolist()]
        self.forced.cancel(
            orders["account"], orders["market"], causes, now, orders["id"]
        )

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

    def cancel_orders(self, rows: Integers, now: int) -> None:
        """Cancel all orders of the accounts."""
        events = self.forced.events("liquidation", rows, now, "cancel_orders")
        self.forced.cancel(self.cases.accounts(rows), -1, events, now)

    # -- DEBTS

    def repay(self, rows: Integers, now: int) -> None:
        """Buy back a slice of what was borrowed of coins that have a market."""
        row, asset, atoms, market = self._coins(rows)
        owed = atoms < 0
        row, asset, market = row[owed], asset[owed], market[owed]
        # Rounded up to a lot: a debt smaller than one is a debt all the same.
        lots = -(atoms[owed] // self.forced.base_units[market])
        part = self._parts(row, asset, market, lots)
        orders = _orders(row, market, Side.BUY, part, lots, asset)
        self.forced.trade("repay", orders, now)

    def _coins(self, rows: Integers) -> tuple[Integers, Integers, Integers, Integers]:
        # Coins that have a market: the case, asset, atoms and the market.
        of, asset, atoms = self.venue.ledger.owned_by(self.cases.accounts(rows))
        market = self.forced.sold_in[asset]
        some = market >= 0
        return rows[of[some]], asset[some], atoms[some], market[some]

    def convert(self, rows: Integers, now: int) -> None:
        """Pay debts with coins at index less a haircut; the insurance fund takes them.

        As far as the fund has the money: what it has no more is sold in the book.
        """
        _, owes = self.forced.left(self.cases.accounts(rows))
        for case in self.cases.each(rows[owes]):
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

    def sell_collateral(self, rows: Integers, now: int) -> None:
        """Sell a slice of every coin, the good inventory with the bad.

        In the order of the rules, if they have one, and then no more than is needed.
        """
        if self.rules.liquidation.repay_order == "pro_rata":
            row, asset, atoms, market = self._coins(rows)
            whole = atoms // self.forced.base_units[market]
            has = atoms > 0
            row, asset, market, whole = row[has], asset[has], market[has], whole[has]
            part = self._parts(row, asset, market, whole)
            orders = _orders(row, market, Side.SELL, part, whole, asset)
            self.forced.trade("sell_collateral", orders.at(part > 0), now)
            return
        plans = [(case, self._sell_in_order(case)) for case in self.cases.each(rows)]
        self.forced.work("sell_collateral", plans, now)

    def _sell_in_order(self, case: Case) -> Plan:
        has = {c.asset: c for c in self.forced.coins(case.account) if c.atoms > 0}
        sold = [a for a, coin in has.items() if coin.market is not None]
        coins = [has[asset] for asset in self._in_order(case, sold)]
        unit = self.forced.base_units
        market = np.array([coin.market for coin in coins], np.int64)
        whole = np.array([coin.atoms for coin in coins], np.int64) // unit[market]
        asset = np.array([coin.asset for coin in coins], np.int64)
        row = np.full(len(coins), case.row)
        part = self._parts(row, asset, market, whole)
        columns = market.tolist(), part.tolist(), whole.tolist(), asset.tolist()
        for m, lots, all_of_it, a in zip(*columns, strict=True):
            if lots == 0:
                continue
            if self.restored(case):
                return
            yield [Order(m, Side.SELL, lots, all_of_it, a)]

    def _parts(
        self, row: Integers, holding: Integers, market: Integers, lots: Integers
    ) -> Integers:
        # The slice of the holding there was at the breach, or all of what is small now.
        if len(row) == 0:
            return lots
        part = np.where(lots > 0, self.forced.slices(market, lots), 0)
        accounts = self.cases.accounts(row)
        before = self.cases.slices.first(accounts, holding, part)
        return np.minimum(lots, np.maximum(part, before))

    def net_hedges(self, rows: Integers, now: int) -> None:
        """Close the long and the short leg of a market against each other, at mark."""
        of, *_, leg = self.venue.ledger.held_by(self.cases.accounts(rows))
        for case in self.cases.each(rows[np.unique(of[leg > 0])]):
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

    def reduce_positions(self, rows: Integers, now: int) -> None:
        """Close a part of every position: a slice, or what the target needs.

        By what the target needs, the position with most margin comes first, and down to
        the floor of its bracket before what it needs is computed anew.
        """
        limit = self.rules.liquidation
        if limit.partial or limit.step_down:
            cases = self.cases.each(rows)
            plans = [(case, self._reduce_to_target(case)) for case in cases]
            self.forced.work("reduce_positions", plans, now)
            return
        accounts = self.cases.accounts(rows)
        of, market, held, _, leg = self.venue.ledger.held_by(accounts)
        row, lots = rows[of], np.abs(held)
        part = self._parts(row, self.forced.leg_number(market, leg), market, lots)
        side = np.where(held > 0, int(Side.SELL), int(Side.BUY))
        # In hedge mode an order that is not to reduce opens a leg.
        flags = np.where(leg > 0, int(Flag.REDUCE_ONLY), 0)
        none = np.full(len(row), -1)
        orders = Orders(row, market, side, part, lots, none, flags)
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
                order = _closing(left, lots)
                (filled,) = yield [order]
                if filled < lots:
                    break
                done = lots if left.lots > 0 else -lots
                left = left._replace(lots=left.lots - done)
                if left.lots == 0:
                    break
                # The next bracket down is another order to the same book.
                orders = Orders.of([(case, order)])
                (key,) = self.cases.keys(orders.row, orders.market, orders.side)
                self.cases.sent.pop(int(key), None)

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


def _orders(
    row: Integers,
    market: Integers,
    side: Side,
    lots: Integers,
    whole: Integers,
    asset: Integers,
) -> Orders:
    sides, flags = np.full(len(row), int(side)), np.zeros(len(row), np.int64)
    return Orders(row, market, sides, lots, whole, asset, flags)


def _closing(held: Held, lots: int) -> Order:
    # In hedge mode an order that is not to reduce opens a leg.
    return Order(
        held.market,
        Side.SELL if held.lots > 0 else Side.BUY,
        lots,
        abs(held.lots),
        flags=int(Flag.REDUCE_ONLY) if held.leg else 0,
    )
