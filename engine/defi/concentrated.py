"""Concentrated liquidity over any number of ranges, as Uniswap v3's pools."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple, Self

import attrs

from .pools import Provision, Trade, sides
from .protocol import Refused, Transfer, require, require_amount, transfers
from .ticks import (
    Q96,
    SQRT_MAX,
    SQRT_MIN,
    TICK_MAX,
    amount0_delta,
    amount1_delta,
    float_step,
    sqrt_at_tick,
    swap_step,
    tick_at_sqrt,
)

Q128 = 2**128


class Tick(NamedTuple):
    """An end of ranges: liquidity there, what crossing upward adds, fees beyond it."""

    gross: int
    net: int
    outside: tuple[int, int]


class Position(NamedTuple):
    """Liquidity of one provider in one range, and the fees it may collect."""

    liquidity: int
    fees_inside: tuple[int, int]
    owed: tuple[int, int]


Range = tuple[str, int, int]
"""A provider, the lower and the upper tick."""


class _Course(NamedTuple):
    # A swap on its way.
    sqrt_price: int
    tick: int
    liquidity: int
    remaining: int
    amount_in: int
    amount_out: int
    fee: int
    growth: int  # of the fees of the asset that comes in


@attrs.frozen(kw_only=True)
class ConcentratedLiquidity:
    """Liquidity in ranges of ticks; within one it is a constant product.

    Beyond the ranges there is nothing to trade with, and a swap is filled in part or
    refused. Fees are kept apart from the liquidity until their owner collects them.

    Source: Uniswap/v3-core d8b1c635, ``UniswapV3Pool.swap``, ``mint``, ``burn``,
    ``collect``.
    """

    account: str
    assets: tuple[str, str]
    sqrt_price: int
    tick: int
    fee_ppm: int = 3000
    spacing: int = 60
    liquidity: int = 0
    reserves: tuple[int, int] = (0, 0)
    growth: tuple[int, int] = (0, 0)
    ticks: Mapping[int, Tick] = attrs.field(factory=dict)
    edges: tuple[int, ...] = ()
    positions: Mapping[Range, Position] = attrs.field(factory=dict)
    exact: bool = True

    @classmethod
    def at(
        cls,
        account: str,
        assets: tuple[str, str],
        sqrt_price: int,
        *,
        fee_ppm: int = 3000,
        spacing: int = 60,
        exact: bool = True,
    ) -> Self:
        """A pool without liquidity at a price, given as `ticks.sqrt_of` makes it."""
        require(0 <= fee_ppm < 10**6, "fee_ppm", "be from 0 to 999,999", fee_ppm)
        require(0 < spacing < 16_384, "spacing", "be from 1 to 16,383", spacing)
        require(len(dict.fromkeys(assets)) == 2, "assets", "be two", assets)
        return cls(
            account=account,
            assets=assets,
            sqrt_price=sqrt_price,
            tick=tick_at_sqrt(sqrt_price),
            fee_ppm=fee_ppm,
            spacing=spacing,
            exact=exact,
        )

    # -- QUERIES

    @property
    def holds(self) -> dict[str, int]:
        """What its account in the ledger must have."""
        return dict(zip(self.assets, self.reserves, strict=True))

    def price(self, give: str, get: str) -> float:
        """Atoms of ``get`` for one more atom of ``give``, before fees."""
        i, _ = sides(self.assets, give, get, 1)
        root = self.sqrt_price / Q96
        price = root * root
        return price if i == 0 else 1.0 / price

    def quote(self, give: str, get: str, amount: int) -> int:
        """Atoms of ``get`` that ``amount`` atoms of ``give`` would buy."""
        return self.swap("", give, get, amount)[1].amount_out

    def worth(self, liquidity: int, lower: int, upper: int) -> tuple[int, int]:
        """What liquidity in a range holds at the price of now, rounded down."""
        return self._holding(liquidity, lower, upper, up=False)

    def _holding(
        self, liquidity: int, lower: int, upper: int, up: bool
    ) -> tuple[int, int]:
        low, high = sqrt_at_tick(lower), sqrt_at_tick(upper)
        inside = min(max(self.sqrt_price, low), high)
        first = amount0_delta(inside, high, liquidity, up)
        return first, amount1_delta(low, inside, liquidity, up)

    # -- ACTIONS OF TRADERS

    def swap(
        self,
        trader: str,
        give: str,
        get: str,
        amount: int,
        *,
        least: int = 0,
        now_ns: int = 0,
    ) -> tuple[Self, Trade]:
        """Sell ``amount`` atoms of ``give``, all of it, for at least ``least``."""
        i, _ = sides(self.assets, give, get, amount)
        after, trade = self.swap_to(trader, zero_for_one=i == 0, amount=amount)
        require(
            trade.amount_in == amount,
            "amount",
            f"be at most the {trade.amount_in} that the ranges take",
            amount,
        )
        out = trade.amount_out
        require(out >= least, "least", f"be at most the {out} that it pays", least)
        return after, trade

    def swap_to(
        self,
        trader: str,
        *,
        zero_for_one: bool,
        amount: int,
        sqrt_limit: int | None = None,
    ) -> tuple[Self, Trade]:
        """Trade until ``amount`` is used up or the price is at the limit.

        ``amount`` above 0 is what comes in, fee included; below 0, in exact pools, what
        goes out. Refused with a limit on the wrong side of the price.
        """
        if sqrt_limit is None:
            sqrt_limit = SQRT_MIN + 1 if zero_for_one else SQRT_MAX - 1
        if zero_for_one:
            right = SQRT_MIN < sqrt_limit < self.sqrt_price
        else:
            right = self.sqrt_price < sqrt_limit < SQRT_MAX
        side = "below" if zero_for_one else "above"
        require(right, "sqrt_limit", f"be {side} {self.sqrt_price}", sqrt_limit)
        right = amount > 0 or (amount < 0 and self.exact)
        require(right, "amount", "be above 0, or below 0 in an exact pool", amount)
        give = 0 if zero_for_one else 1
        start = _Course(
            sqrt_price=self.sqrt_price,
            tick=self.tick,
            liquidity=self.liquidity,
            remaining=amount,
            amount_in=0,
            amount_out=0,
            fee=0,
            growth=self.growth[give],
        )
        course, ticks = self._run(start, zero_for_one, sqrt_limit)
        return self._after(trader, course, ticks, give)

    def _run(
        self, course: _Course, zero_for_one: bool, limit: int
    ) -> tuple[_Course, dict[int, Tick]]:
        crossed: dict[int, Tick] = {}
        give = 0 if zero_for_one else 1
        while course.remaining != 0 and course.sqrt_price != limit:
            at, is_edge = self._next(course.tick, zero_for_one)
            border = sqrt_at_tick(at)
            target = max(border, limit) if zero_for_one else min(border, limit)
            course, moved = self._step(course, target)
            if course.sqrt_price == border:
                liquidity = course.liquidity
                if is_edge:
                    edge = self.ticks[at]
                    growth = list(self.growth)
                    growth[give] = course.growth
                    first, second = edge.outside
                    outside = growth[0] - first, growth[1] - second
                    crossed[at] = edge._replace(outside=outside)
                    liquidity += -edge.net if zero_for_one else edge.net
                tick = at - 1 if zero_for_one else at
                course = course._replace(liquidity=liquidity, tick=tick)
            elif moved:
                course = course._replace(tick=tick_at_sqrt(course.sqrt_price))
        return course, crossed

    def _step(self, course: _Course, target: int) -> tuple[_Course, bool]:
        liquidity = course.liquidity
        # Without liquidity floats would divide by 0, and there is nothing to round.
        maths = swap_step if self.exact or not liquidity else float_step
        step = maths(
            course.sqrt_price, target, liquidity, course.remaining, self.fee_ppm
        )
        brought = step.amount_in + step.fee
        used = brought if course.remaining > 0 else -step.amount_out
        growth = course.growth
        if liquidity:
            growth += step.fee * Q128 // liquidity
        after = course._replace(
            sqrt_price=step.sqrt_price,
            remaining=course.remaining - used,
            amount_in=course.amount_in + brought,
            amount_out=course.amount_out + step.amount_out,
            fee=course.fee + step.fee,
            growth=growth,
        )
        return after, step.sqrt_price != course.sqrt_price

    def _next(self, tick: int, zero_for_one: bool) -> tuple[int, bool]:
        # The next end of a range, or where the contract's word of 256 ticks ends: it
        # stops there too, which rounds once more.
        word = tick // self.spacing
        i = bisect_right(self.edges, tick)
        if zero_for_one:
            bound = (word >> 8 << 8) * self.spacing
            if i > 0 and self.edges[i - 1] >= bound:
                return self.edges[i - 1], True
            return max(bound, -TICK_MAX), False
        bound = ((word + 1 >> 8 << 8) + 255) * self.spacing
        if i < len(self.edges) and self.edges[i] <= bound:
            return self.edges[i], True
        return min(bound, TICK_MAX), False

    def _after(
        self, trader: str, course: _Course, crossed: dict[int, Tick], give: int
    ) -> tuple[Self, Trade]:
        get = 1 - give
        reserves, growth = list(self.reserves), list(self.growth)
        reserves[give] += course.amount_in
        reserves[get] -= course.amount_out
        growth[give] = course.growth
        after = attrs.evolve(
            self,
            sqrt_price=course.sqrt_price,
            tick=course.tick,
            liquidity=course.liquidity,
            reserves=(reserves[0], reserves[1]),
            growth=(growth[0], growth[1]),
            ticks={**self.ticks, **crossed},
        )
        moves = transfers(
            Transfer(self.assets[give], trader, self.account, course.amount_in),
            Transfer(self.assets[get], self.account, trader, course.amount_out),
        )
        return after, Trade(course.amount_in, course.amount_out, course.fee, moves)

    # -- ACTIONS OF PROVIDERS

    def add(
        self, provider: str, lower: int, upper: int, liquidity: int
    ) -> tuple[Self, Provision]:
        """Put liquidity into a range, for what it takes of both assets."""
        require_amount("liquidity", liquidity)
        for field, tick in (("lower", lower), ("upper", upper)):
            right = tick % self.spacing == 0 and abs(tick) <= TICK_MAX
            must = f"be a multiple of {self.spacing} within {TICK_MAX}"
            require(right, field, must, tick)
        require(lower < upper, "lower", f"be below 'upper', {upper}", lower)
        amounts = self._holding(liquidity, lower, upper, up=True)
        after = self._change((provider, lower, upper), liquidity)
        moves = transfers(
            Transfer(self.assets[0], provider, self.account, amounts[0]),
            Transfer(self.assets[1], provider, self.account, amounts[1]),
        )
        reserves = self.reserves[0] + amounts[0], self.reserves[1] + amounts[1]
        after = attrs.evolve(after, reserves=reserves)
        return after, Provision(amounts, liquidity, moves)

    def remove(
        self, provider: str, lower: int, upper: int, liquidity: int
    ) -> tuple[Self, Provision]:
        """Take liquidity out of a range, and the fees it has earned."""
        key = provider, lower, upper
        has = self.positions[key].liquidity if key in self.positions else 0
        right = 0 <= liquidity <= has
        require(right, "liquidity", f"be from 0 to the {has} in the range", liquidity)
        amounts = self._holding(liquidity, lower, upper, up=False)
        after = self._change(key, -liquidity)
        owed = after.positions[key].owed
        paid = amounts[0] + owed[0], amounts[1] + owed[1]
        positions = dict(after.positions)
        if has == liquidity:
            del positions[key]
        else:
            positions[key] = positions[key]._replace(owed=(0, 0))
        reserves = self.reserves[0] - paid[0], self.reserves[1] - paid[1]
        if min(reserves) < 0:
            raise Refused(f"'reserves' must cover what is paid out (got {reserves})")
        moves = transfers(
            Transfer(self.assets[0], self.account, provider, paid[0]),
            Transfer(self.assets[1], self.account, provider, paid[1]),
        )
        after = attrs.evolve(after, reserves=reserves, positions=positions)
        return after, Provision(paid, liquidity, moves)

    def _change(self, key: Range, liquidity: int) -> Self:
        _, lower, upper = key
        ticks = dict(self.ticks)
        for tick, sign in ((lower, 1), (upper, -1)):
            # By convention all growth so far was below a tick at or under the price.
            start = self.growth if tick <= self.tick else (0, 0)
            old = ticks.get(tick, Tick(0, 0, start))
            gross, net = old.gross + liquidity, old.net + sign * liquidity
            ticks[tick] = Tick(gross, net, old.outside)
        inside = self._fees_inside(ticks[lower], lower, ticks[upper], upper)
        old_position = self.positions.get(key, Position(0, inside, (0, 0)))
        earned = [
            old_position.owed[k]
            + (inside[k] - old_position.fees_inside[k]) * old_position.liquidity // Q128
            for k in (0, 1)
        ]
        position = Position(
            old_position.liquidity + liquidity, inside, (earned[0], earned[1])
        )
        ticks = {tick: row for tick, row in ticks.items() if row.gross}
        active = liquidity if lower <= self.tick < upper else 0
        return attrs.evolve(
            self,
            ticks=ticks,
            edges=tuple(sorted(ticks)),
            positions={**self.positions, key: position},
            liquidity=self.liquidity + active,
        )

    def _fees_inside(
        self, low: Tick, lower: int, high: Tick, upper: int
    ) -> tuple[int, int]:
        inside = []
        for k in (0, 1):
            whole = self.growth[k]
            below = low.outside[k] if self.tick >= lower else whole - low.outside[k]
            above = high.outside[k] if self.tick < upper else whole - high.outside[k]
            inside.append(whole - below - above)
        return inside[0], inside[1]

    def _check(self) -> None:
        """Assert every invariant.  O(ranges)."""
        assert tick_at_sqrt(self.sqrt_price) in (self.tick, self.tick + 1)
        active = sum(
            position.liquidity
            for (_, lower, upper), position in self.positions.items()
            if lower <= self.tick < upper
        )
        assert self.liquidity == active
        assert sum(tick.net for tick in self.ticks.values()) == 0
        claims = [0, 0]
        for (_, lower, upper), position in self.positions.items():
            for k, atoms in enumerate(self.worth(position.liquidity, lower, upper)):
                claims[k] += atoms + position.owed[k]
        assert claims[0] <= self.reserves[0]
        assert claims[1] <= self.reserves[1]
