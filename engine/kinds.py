"""What fields of a scenario may be: numbers within bounds, and distributions."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, le, lt, optional

positive: Any = gt(0)
not_negative: Any = ge(0)
fraction: Any = and_(ge(0), le(1))
share: Any = and_(gt(0), le(1))
below_one: Any = and_(gt(0), lt(1))


@frozen(kw_only=True)
class Distribution:
    """What a figure of many accounts is drawn from.

    ``kind``: `fixed` (value), `uniform` (least, most), `lognormal` (median, spread,
    most) or `pareto` (least, exponent, most); draws above ``most`` are cut to it.
    """

    kind: str = field(validator=in_(("fixed", "uniform", "lognormal", "pareto")))
    value: float | None = field(default=None, validator=optional(not_negative))
    least: float | None = field(default=None, validator=optional(not_negative))
    most: float | None = field(default=None, validator=optional(positive))
    median: float | None = field(default=None, validator=optional(positive))
    spread: float | None = field(default=None, validator=optional(not_negative))
    exponent: float | None = field(default=None, validator=optional(gt(1)))
