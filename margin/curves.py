"""Curves: what US dollars and coins of something count for, or what margin they need.

Collateral, loans and position margins of all venues are one of a few kinds; a preset's
file writes which, and the compiled pass reads them laid end to end.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, Self, overload

import attrs
import numpy as np
from numpy.typing import NDArray

from .presets import nearest, shown
from .schedule import Floats, Schedule, is_number

FACTOR_MAX = 1e6
"""Largest number of a formula: with it no margin is beyond what a float holds."""


class CurveKind(IntEnum):
    """How a row of `Curves` is read."""

    TIERS_USD = 0
    """Rows of floor, rate, cum: ``usd * rate - cum``."""

    TIERS_QTY = 1
    """The same in coins: ``usd / qty * (qty * rate - cum)``."""

    SQRT_WEIGHT = 2
    """One row of weight, numerator, imf."""

    SQRT_RATE = 3
    """One row of least, base, imf."""

    LINEAR_RATE = 4
    """One row of base, slope, 0."""


class Curves(NamedTuple):
    """Many curves end to end; the rows of curve i are ``at[i]:at[i + 1]``."""

    kinds: NDArray[np.uint8]
    at: NDArray[np.int64]
    rows: Floats


def _check(curve: Any, *names: str, least: float = 0.0) -> None:
    for name in names:
        value = getattr(curve, name)
        if not least <= value <= FACTOR_MAX:
            text = f"'{name}' must be from {least:g} to {FACTOR_MAX:g}"
            raise ValueError(f"{text} (got {value:g})")


@attrs.frozen
class SqrtWeight:
    """A collateral weight that falls with the square root of the coins.

    ``min(weight, numerator / (1 + imf * sqrt(qty)))`` of the value counts.

    Source: https://help.ftx.com/hc/en-us/articles/360031149632 (archived)

    >>> SqrtWeight(0.975, imf=0.002).amount(20_000.0, 1.0)
    19500.0
    """

    weight: float = attrs.field(converter=float)
    imf: float = attrs.field(converter=float)
    numerator: float = attrs.field(default=1.1, converter=float)

    def __attrs_post_init__(self) -> None:
        """Refuse weights that no holding could be valued with."""
        _check(self, "weight", "imf", "numerator")

    @overload
    def amount(self, usd: float, qty: float) -> float: ...
    @overload
    def amount(self, usd: Floats, qty: Floats) -> Floats: ...
    def amount(self, usd: float | Floats, qty: float | Floats) -> float | Floats:
        """US dollars that so many coins, worth ``usd``, count for."""
        falling = self.numerator / (1.0 + self.imf * np.sqrt(qty))
        counts: float | Floats = _like(usd * np.minimum(self.weight, falling))
        return counts

    def scaled(self, share: float) -> Self:
        """The curve with its highest weight multiplied."""
        return attrs.evolve(self, weight=self.weight * share)

    @property
    def rows(self) -> list[tuple[float, float, float]]:
        """What `flatten` lays out."""
        return [(self.weight, self.numerator, self.imf)]


@attrs.frozen
class SqrtRate:
    """A margin rate that rises with the square root of the size in coins.

    ``max(least, base + imf * sqrt(qty))`` of the value; a negative base makes the
    rate begin to rise later.

    Source: https://help.ftx.com/hc/en-us/articles/360027946371 (archived)
    """

    least: float = attrs.field(converter=float)
    base: float = attrs.field(converter=float)
    imf: float = attrs.field(converter=float)

    def __attrs_post_init__(self) -> None:
        """Refuse rates that no size could be valued with."""
        _check(self, "least", "imf")
        _check(self, "base", least=-FACTOR_MAX)

    @overload
    def amount(self, usd: float, qty: float) -> float: ...
    @overload
    def amount(self, usd: Floats, qty: Floats) -> Floats: ...
    def amount(self, usd: float | Floats, qty: float | Floats) -> float | Floats:
        """The margin of so many coins worth ``usd``."""
        rate = np.maximum(self.least, self.base + self.imf * np.sqrt(qty))
        margin: float | Floats = _like(usd * rate)
        return margin

    def plus(self, rate: float) -> Self:
        """The curve with a rate more for every size."""
        return attrs.evolve(self, least=self.least + rate, base=self.base + rate)

    @property
    def rows(self) -> list[tuple[float, float, float]]:
        """What `flatten` lays out."""
        return [(self.least, self.base, self.imf)]


@attrs.frozen
class LinearRate:
    """A margin rate that rises with the size in coins: ``base + slope * qty``.

    Source: https://support.deribit.com/hc/en-us/articles/25944826427293

    >>> LinearRate(0.02, slope=0.00005).amount(1_000_000.0, 100.0)
    25000.0
    """

    base: float = attrs.field(converter=float)
    slope: float = attrs.field(converter=float)

    def __attrs_post_init__(self) -> None:
        """Refuse rates that no size could be valued with."""
        _check(self, "base", "slope")

    @overload
    def amount(self, usd: float, qty: float) -> float: ...
    @overload
    def amount(self, usd: Floats, qty: Floats) -> Floats: ...
    def amount(self, usd: float | Floats, qty: float | Floats) -> float | Floats:
        """The margin of so many coins worth ``usd``."""
        return usd * (self.base + self.slope * qty)

    def plus(self, rate: float) -> Self:
        """The curve with a rate more for every size."""
        return attrs.evolve(self, base=self.base + rate)

    @property
    def rows(self) -> list[tuple[float, float, float]]:
        """What `flatten` lays out."""
        return [(self.base, self.slope, 0.0)]


def _like(value: Any) -> Any:
    # NumPy's functions give scalars of its own for floats.
    return value if isinstance(value, np.ndarray) else float(value)


Haircut = Schedule | SqrtWeight
"""What a holding may count for: never more the more there is."""

Margin = Schedule | SqrtRate | LinearRate
"""What a debt or position may need: never less the more there is."""

Curve = Haircut | Margin

FORMS: Mapping[tuple[str, ...], type[Any]] = {
    ("weight", "imf"): SqrtWeight,
    ("least", "base", "imf"): SqrtRate,
    ("base", "slope"): LinearRate,
}
"""Tables of numbers a file may write, by the keys they must have."""


def parse_curve(value: object) -> Curve:
    """The curve a data file writes.

    A rate, rows of ``[floor, rate]`` in US dollars, ``{ coins = rows }`` for floors
    in coins, or a table of the numbers of a formula. A ValueError says what is wrong.

    >>> parse_curve({"weight": 0.95, "imf": 0.0004})
    SqrtWeight(weight=0.95, imf=0.0004, numerator=1.1)
    >>> parse_curve({"coins": [[0, 0.98], [10, 0.95]]}).unit
    'qty'
    """
    if not isinstance(value, Mapping):
        return Schedule.parse(value)
    if value.keys() == {"coins"}:
        return Schedule.parse(value["coins"], unit="qty")
    for needed, kind in FORMS.items():
        known = attrs.fields_dict(kind)
        if set(needed) <= value.keys() <= set(known):
            for name, number in value.items():
                if not is_number(number):
                    raise ValueError(f"'{name}' must be a number (got {shown(number)})")
            curve: Curve = kind(**value)
            return curve
    forms = ["{ coins }", *("{ " + ", ".join(keys) + " }" for keys in FORMS)]
    words = [key for keys in FORMS for key in keys] + ["coins", "numerator"]
    wrong = [nearest(key, words) for key in value if key not in words]
    raise ValueError(
        f"must be a rate, rows of [floor, rate], or one of {', '.join(forms)} "
        f"(got {shown(value)})" + "".join(wrong)
    )


def flatten(curves: Iterable[Curve]) -> Curves:
    """Lay curves end to end in plain arrays, for the compiled risk pass.

    >>> flatten([Schedule.flat(0.5), LinearRate(0.02, 0.00005)]).at
    array([0, 1, 2])
    """
    every = list(curves)
    rows = [curve.rows for curve in every]
    at = np.zeros(len(every) + 1, dtype=np.int64)
    at[1:] = np.cumsum([len(part) for part in rows])
    table = [row for part in rows for row in part]
    return Curves(
        np.array([kind_of(curve) for curve in every], np.uint8),
        at,
        np.array(table, np.float64).reshape(-1, 3),
    )


def kind_of(curve: Curve) -> CurveKind:
    """How the rows of a curve are read."""
    if isinstance(curve, Schedule):
        return CurveKind.TIERS_QTY if curve.unit == "qty" else CurveKind.TIERS_USD
    if isinstance(curve, SqrtWeight):
        return CurveKind.SQRT_WEIGHT
    return CurveKind.SQRT_RATE if isinstance(curve, SqrtRate) else CurveKind.LINEAR_RATE
