"""Marginal tiers: collateral by value, borrowing and position brackets by size."""

import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any, Self, TypeGuard, overload

import attrs
import numpy as np
from numpy.typing import NDArray

from .presets import shown

Floats = NDArray[np.float64]

FLOOR_MAX = 1e18
"""Highest floor of a tier, in money or coins."""

LEVERAGE_MAX = 1_000.0
"""Highest leverage of a tier."""


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _floats_or_none(values: Iterable[float] | None) -> tuple[float, ...] | None:
    return None if values is None else _floats(values)


@attrs.frozen
class Schedule:
    """A rate for each slice of a size, tier k holding sizes in (floor k, floor k+1].

    Sizes are in the unit of the floors: money (US dollars, or the settle asset of a
    position) or coins. Rates may fall with the size (collateral) or rise (brackets);
    the formula is the same, and continuous at the floors. The last tier has no end.
    A schedule that is not marginal gives all of a size the rate of its last slice.

    >>> schedule = Schedule([0, 300_000, 800_000], [0.004, 0.005, 0.0065])
    >>> schedule.value(1_000_000), schedule.tier_at(800_000)
    (5000.0, 1)
    """

    floors: tuple[float, ...] = attrs.field(converter=_floats)
    rates: tuple[float, ...] = attrs.field(converter=_floats)
    max_leverage: tuple[float, ...] | None = attrs.field(
        default=None, converter=_floats_or_none
    )
    unit: str = attrs.field(default="usd", kw_only=True)
    """Of sizes and floors: ``usd`` for money, ``qty`` for coins."""

    marginal: bool = attrs.field(default=True, kw_only=True)
    cums: tuple[float, ...] = attrs.field(init=False)
    """What ``size * rate`` overstates in each tier: the brackets' ``cum``."""

    @cums.default
    def _cums(self) -> tuple[float, ...]:
        if not self.marginal:
            return (0.0,) * len(self.floors)
        cums = [0.0]
        steps = pairwise(self.rates)
        for floor, (rate_before, rate) in zip(self.floors[1:], steps, strict=False):
            cums.append(cums[-1] + floor * (rate - rate_before))
        return tuple(cums)

    def __attrs_post_init__(self) -> None:
        """Refuse tiers that no size could be valued with; a ValueError names them."""
        if len(self.floors) != len(self.rates) or not self.floors:
            raise ValueError(
                "'rates' must be one for each floor, at least one "
                f"(got {len(self.rates)} for {len(self.floors)} floors)"
            )
        if self.unit not in ("usd", "qty"):
            raise ValueError(f"'unit' must be 'usd' or 'qty' (got {self.unit!r})")
        if self.floors[0] != 0.0:
            raise ValueError(
                f"'floors' must start at 0 (got {self.floors[0]:g}); write a first row "
                "of floor 0, with the rate of the smallest sizes"
            )
        for lower, upper in pairwise(self.floors):
            if not lower < upper:
                raise ValueError(
                    f"'floors' must increase strictly (got {upper:g} after {lower:g})"
                )
        if self.floors[-1] > FLOOR_MAX:
            text = f"'floors' must be at most {FLOOR_MAX:g}"
            raise ValueError(f"{text} (got {self.floors[-1]:g})")
        for rate in self.rates:
            if not (isfinite(rate) and rate >= 0.0):
                raise ValueError(f"'rates' must be at least 0 (got {rate:g})")
        if self.max_leverage is not None:
            self._check_leverage(self.max_leverage)

    def _check_leverage(self, max_leverage: tuple[float, ...]) -> None:
        if len(max_leverage) != len(self.floors):
            raise ValueError(
                "'max_leverage' must be one for each floor "
                f"(got {len(max_leverage)} for {len(self.floors)} floors)"
            )
        for leverage in max_leverage:
            if not 1.0 <= leverage <= LEVERAGE_MAX:
                raise ValueError(
                    f"'max_leverage' must be from 1 to {LEVERAGE_MAX:g} "
                    f"(got {leverage:g})"
                )
        for lower, upper in pairwise(max_leverage):
            if upper > lower:
                raise ValueError(
                    "'max_leverage' must not rise as the size grows "
                    f"(got {upper:g} after {lower:g})"
                )

    @classmethod
    def flat(cls, rate: float) -> Self:
        """One rate for every size."""
        return cls((0.0,), (rate,))

    @classmethod
    def parse(cls, value: object, unit: str = "usd") -> Self:
        """The schedule a data file writes: a rate, or rows of floor and rate.

        A row may end with the tier's highest leverage. A row may also be a table of
        floor, cap, rate and max_leverage, as venues answer; the cap has to be the
        next floor, and the last row has none. A ValueError says what is wrong.

        >>> Schedule.parse([[0, 1.0], [5_000_000, 0.6]]).rates
        (1.0, 0.6)
        """
        if is_number(value):
            return cls((0.0,), (value,), unit=unit)
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ValueError(
                f"must be a rate or rows of [floor, rate] (got {shown(value)})"
            )
        if isinstance(value[0], Mapping):
            value = _from_tables(value)
        rows: list[Sequence[float]] = []
        for row in value:
            numbers = isinstance(row, Sequence) and all(map(is_number, row))
            if not numbers or len(row) not in (2, 3) or len(row) != len(value[0]):
                raise ValueError(
                    "must have rows of [floor, rate] or of "
                    f"[floor, rate, highest leverage], all alike (got {shown(row)})"
                )
            rows.append(row)
        return cls(*zip(*rows, strict=True), unit=unit)

    def plus(self, rate: float) -> Self:
        """The schedule with a rate more in every tier."""
        return attrs.evolve(self, rates=[own + rate for own in self.rates])

    def scaled(self, share: float) -> Self:
        """The schedule with every rate multiplied."""
        return attrs.evolve(self, rates=[own * share for own in self.rates])

    def by_leverage(self) -> Self:
        """What opening a position takes: all of it over its tier's highest leverage.

        The venue lets nobody choose more leverage than the tier of the whole
        position allows, so this jumps at the floors. ValueError without leverages.
        """
        if self.max_leverage is None:
            raise ValueError("must have rows of [floor, rate, highest leverage]")
        rates = [1.0 / leverage for leverage in self.max_leverage]
        return attrs.evolve(self, rates=rates, marginal=False)

    @property
    def rows(self) -> list[tuple[float, float, float]]:
        """Floor, rate and cum of each tier."""
        return list(zip(self.floors, self.rates, self.cums, strict=True))

    def tier_at(self, size: float) -> int:
        """The tier a size falls in, from 0; a size equal to a floor is below it."""
        return max(bisect_left(self.floors, size) - 1, 0)

    @overload
    def value(self, size: float) -> float: ...
    @overload
    def value(self, size: Floats) -> Floats: ...
    def value(self, size: float | Floats) -> float | Floats:
        """Each slice of ``size`` times its own rate; sizes below 0 count as 0.

        ``size`` is in the unit of the schedule, and so is what comes out.
        """
        if not self.marginal:
            return self._deducted(size)
        caps = (*self.floors[1:], float("inf"))
        slices = zip(self.floors, caps, self.rates, strict=True)
        if isinstance(size, np.ndarray):
            total = np.zeros_like(size, dtype=np.float64)
            for floor, cap, rate in slices:
                total += rate * np.clip(size - floor, 0.0, cap - floor)
            return total
        amount = 0.0
        for floor, cap, rate in slices:
            if size <= floor:
                break
            amount += rate * min(size - floor, cap - floor)
        return float(amount)

    @overload
    def amount(self, usd: float, qty: float) -> float: ...
    @overload
    def amount(self, usd: Floats, qty: Floats) -> Floats: ...
    def amount(self, usd: float | Floats, qty: float | Floats) -> float | Floats:
        """The money that so many coins, worth ``usd``, count for or need.

        By ``size * rate - cum``: what `value` gives, in one look-up. TypeError for what
        are neither numbers nor arrays of them.
        """
        try:
            if self.unit == "usd":
                return self._deducted(usd)
            if isinstance(usd, np.ndarray):
                price = np.divide(usd, qty, out=np.zeros_like(usd), where=qty > 0.0)
                return np.asarray(price * self._deducted(qty))
            return usd / qty * self._deducted(qty) if qty > 0.0 else 0.0
        except TypeError:
            text = "'usd' and 'qty' must be numbers, or arrays of numbers"
            raise TypeError(f"{text} (got {shown(usd)} and {shown(qty)})") from None

    def _deducted(self, size: float | Floats) -> float | Floats:
        if isinstance(size, np.ndarray):
            tier = np.searchsorted(self.floors, size, side="left") - 1
            tier = np.maximum(tier, 0)
            rates: Floats = np.array(self.rates)
            cums: Floats = np.array(self.cums)
            total: Floats = np.maximum(size, 0.0) * rates[tier] - cums[tier]
            return total
        k = self.tier_at(size)
        return max(size, 0.0) * self.rates[k] - self.cums[k]


_ROW = ("floor", "cap", "rate", "max_leverage")


def _from_tables(rows: Sequence[Any]) -> list[list[float]]:
    # Rows with names; the cap says where the next row has to begin.
    read: list[list[float]] = []
    for k, row in enumerate(rows):
        known = isinstance(row, Mapping) and {"floor", "rate"} <= row.keys() <= {*_ROW}
        if not known or not all(is_number(x) and isfinite(x) for x in row.values()):
            text = f"must have rows of {', '.join(_ROW)}, all finite numbers"
            raise ValueError(f"{text} (got {shown(row)})")
        if k > 0:
            _follows(row["floor"], rows[k - 1])
        read.append([row[name] for name in _ROW if name in row and name != "cap"])
    if "cap" in rows[-1]:
        raise ValueError(
            "must have no cap in its last row, which holds for every size above; "
            f"leave it out (got cap {rows[-1]['cap']:g})"
        )
    return read


def _follows(floor: float, before: Mapping[str, float]) -> None:
    if "cap" not in before:
        raise ValueError(
            "must say in each row but the last where it ends; add the cap, "
            f"{floor:g} (got none after floor {before['floor']:g})"
        )
    end = before["cap"]
    if floor != end:
        what = "a gap" if floor > end else "an overlap"
        raise ValueError(
            f"must begin each row where the one before ends, at {end:g}; "
            f"there is {what} (got floor {floor:g})"
        )


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value read from a file is a number that a float can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float)


def liquidation_price(
    wallet: float,
    qty: float,
    entry: float,
    brackets: Schedule,
    *,
    other_maintenance: float = 0.0,
    other_pnl: float = 0.0,
) -> float:
    """The mark price at which margin balance equals maintenance margin.

    ``qty`` is signed, ``wallet`` and the two figures of the other positions are in
    the settle asset; an isolated position has none of those. A long is liquidated
    at or below the price, a short at or above; 0 means a long that cannot be
    liquidated, or a short that is at every price. O(brackets), for the bracket is
    the one the notional falls in at the liquidation price itself.

    Source: https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93
    """
    if not qty:
        raise ValueError(f"'qty' must not be 0 (got {qty!r})")
    size = abs(qty)
    equity_at_zero = wallet - other_maintenance + other_pnl - qty * entry
    caps = (*brackets.floors[1:], float("inf"))
    price = float("inf")
    # Equity less maintenance moves one way with the price. So a bracket is entered
    # with the root still ahead, and the first root within its cap is the root.
    for cap, rate, cum in zip(caps, brackets.rates, brackets.cums, strict=True):
        slope = size * rate - qty
        if slope:
            price = (equity_at_zero + cum) / slope
            if size * price <= cap:
                break
    return max(price, 0.0)
