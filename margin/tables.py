"""The curves and numbers of a venue's rules that are given by asset or symbol."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import inf
from typing import Any

from .curves import FACTOR_MAX, Haircut, LinearRate, Margin, SqrtRate, parse_curve
from .parameters import NUMBER_MAX, Parse, haircut, or_none, positive, share
from .presets import shown
from .schedule import Schedule, is_number


def _haircuts(value: object) -> Haircut:
    curve = parse_curve(value)
    if isinstance(curve, SqrtRate | LinearRate):
        raise ValueError(f"must be a weight that does not rise (got {shown(value)})")
    most = max(curve.rates) if isinstance(curve, Schedule) else curve.weight
    if most > 1.0:
        raise ValueError(f"collateral rates must be from 0 to 1 (got {most:g})")
    if isinstance(curve, Schedule):
        for rate, after in pairwise(curve.rates):
            if after > rate:
                raise ValueError(
                    "collateral rates must not rise as the holding grows "
                    f"(got {after:g} after {rate:g})"
                )
    return curve


def _margins(value: object, what: str, least: float, most: float) -> Margin:
    curve = parse_curve(value)
    if not isinstance(curve, Schedule | SqrtRate | LinearRate):
        raise ValueError(f"must be a rate that does not fall (got {shown(value)})")
    # The formulas have no highest rate: a large enough size is fully funded.
    first = {Schedule: "rates", SqrtRate: "least", LinearRate: "base"}[type(curve)]
    rates: Any = getattr(curve, first)
    rates = rates if isinstance(rates, tuple) else (rates,)
    for wrong in [rate for rate in rates if not least <= rate <= most]:
        raise ValueError(f"{what} must be from {least:g} to {most:g} (got {wrong:g})")
    for rate, after in pairwise(rates):
        if after < rate:
            raise ValueError(
                f"{what} must not fall as the size grows (got {after:g} after {rate:g})"
            )
    return curve


def _bounds(value: object) -> tuple[float, float]:
    pair = value if isinstance(value, Sequence) and len(value) == 2 else (inf, inf)
    lower, upper = (x if is_number(x) else inf for x in pair)
    if not 0.0 <= lower < upper <= NUMBER_MAX:
        raise ValueError(f"must be [lower, upper] in US dollars (got {shown(value)})")
    return float(lower), float(upper)


def _moves(value: object) -> Mapping[str, float]:
    names = ("shock", "extreme", "basis")
    if not isinstance(value, Mapping) or value.keys() != set(names):
        raise ValueError(f"must be a table of {', '.join(names)} (got {shown(value)})")
    return {name: haircut(value[name]) for name in names}


def _multipliers(value: object) -> Schedule:
    return _schedule(_margins(value, "multipliers", 1.0, FACTOR_MAX))


def _schedule(curve: Margin) -> Schedule:
    if not isinstance(curve, Schedule):
        raise ValueError(f"must be a rate or rows of [floor, rate] (got {curve})")
    return curve


def _tiers(value: object) -> Schedule:
    return _schedule(_maintenance(value))


_maintenance = partial(_margins, what="maintenance rates", least=0.0, most=1.0)
_opening = partial(_margins, what="initial rates", least=0.0, most=1.0)
_weights = partial(_margins, what="weights of a debt", least=1.0, most=FACTOR_MAX)

TABLES: Mapping[str, Parse] = {
    "collateral": _haircuts,
    "collateral_initial": _haircuts,
    "liability": _weights,
    "borrow": _maintenance,
    "borrow_initial": _opening,
    "brackets": _maintenance,
    "initial": _opening,
    "conversion": haircut,
    "deposit_scale": or_none(positive),
    "open_interest": or_none(_bounds),
    "stress": _moves,
    "stress_extreme": share,
    "stress_charge": share,
    "stress_scale": _multipliers,
    "depeg": _tiers,
}
"""How an entry of each table is read."""

BY_SYMBOL = ("brackets", "initial", "open_interest")
"""The tables keyed by the symbol of a perpetual; the others are by asset."""

OPENING = ("collateral_initial", "borrow_initial", "initial")
"""Tables that need no ``default``: what they do not list is as for maintenance."""

STRESS = ("stress", "stress_extreme", "stress_charge", "stress_scale", "depeg")
"""Tables of risk units: all of them or none, see `margin.stress`."""
