"""Rules that contradict each other, each of them right by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from .curves import Curve, LinearRate, SqrtRate, SqrtWeight
from .parameters import GROUPS
from .presets import Problems
from .schedule import FLOOR_MAX, Schedule

SLACK = 1e-9
"""Share by which two sums may differ and still be the same."""

SIZES = tuple(float(f"1e{k}") for k in range(-9, 19))
"""Sizes at which curves are compared, beside those where they bend."""


def contradictions(parts: Mapping[str, Mapping[str, Any]]) -> Problems:
    """Path and message of each contradiction, among the groups and tables as read."""
    known = {
        f"{group}.{name}": value
        for group in GROUPS
        for name, value in parts.get(group, {}).items()
        if value is not None
    }
    return [
        *_falling(known),
        *_paying(known),
        *_endless(known),
        *_leverages(parts),
        *_lax(parts, known),
    ]


# -- SINGLE VALUES -----------------------------------------------------------------


def _falling(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Healths that have an order, and do not keep to it."""
    ordered = (
        ("thresholds.reduce_only", "thresholds.liquidate"),
        ("thresholds.warn", "thresholds.reduce_only"),
        # Only through orders does an account's being reduce-only refuse anything.
        ("thresholds.order", "thresholds.reduce_only"),
        ("thresholds.liquidate", "thresholds.takeover"),
        ("liquidation.target_health", "thresholds.liquidate"),
    )
    for high, low in ordered:
        if high in known and low in known and known[high] < known[low]:
            text = f"must be at least {low}, {known[low]:g} (got {known[high]:g})"
            yield high, f"{text}; raise it, or lower the other"


def _paying(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fees that pay who trades with itself."""
    for kind in ("spot", "perpetual"):
        maker, taker = f"fees.{kind}_maker_ppm", f"fees.{kind}_taker_ppm"
        if maker in known and taker in known and known[maker] + known[taker] < 0:
            text = (
                f"must be at least {-known[taker]}, or more is paid back than {taker}"
            )
            yield maker, f"{text} takes (got {known[maker]}); raise either"


def _endless(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Steps by which a liquidation that no book helps has no end."""
    path = "liquidation.steps"
    if path not in known or "liquidation.residual" not in known:
        return
    steps = known[path]
    got = f"(got {', '.join(steps) or 'none'})"
    if "takeover" not in steps:
        text = "must have 'takeover', for positions that no book and too few winners"
        yield path, f"{text} take {got}"
    if known.get("account.open_loss") and "cancel_orders" not in steps:
        text = "must have 'cancel_orders' where account.open_loss is true, for orders"
        yield path, f"{text} that cost health as long as they rest {got}"
    boundless = known["liquidation.residual"] == "negative_fund"
    ends = {"claim", "socialise", *(["insurance_fund"] if boundless else [])}
    if not ends.intersection(steps):
        text = (
            "must have 'claim' or 'socialise', or 'insurance_fund' where "
            "liquidation.residual is 'negative_fund', for what is owed in the end"
        )
        yield path, f"{text} {got}"


# -- CURVES ------------------------------------------------------------------------


def _leverages(parts: Mapping[str, Any]) -> Problems:
    """Brackets that should give initial margins and cannot, or too low ones."""
    initial = parts.get("initial", {})
    if parts["account"].get("initial") != "leverage" or "default" in initial:
        return []
    text = (
        "must have rows of [floor, rate, highest leverage] where account.initial is "
        "'leverage', or an entry in 'initial'"
    )
    found = []
    for symbol, curve in parts["brackets"].items():
        leverages = getattr(curve, "max_leverage", None)
        if symbol not in initial and leverages is None:
            found.append((f"brackets.{symbol}", text))
        for rate, leverage in zip(
            getattr(curve, "rates", ()), leverages or (), strict=False
        ):
            if rate * leverage > 1.0:
                low = f"must have leverages of at most 1 / rate, {1.0 / rate:g} at"
                found.append(
                    (f"brackets.{symbol}", f"{low} {rate:g} (got {leverage:g})")
                )
    return found


def _lax(parts: Mapping[str, Any], known: Mapping[str, Any]) -> Problems:
    """Entries by which an order is accepted that is liquidated where it stands.

    An order needs ``thresholds.order`` times the margin of opening, an account
    ``thresholds.liquidate`` times that of maintenance.
    """
    found: dict[str, str] = {}
    order, liquidate = (known.get(f"thresholds.{n}") for n in ("order", "liquidate"))
    share = liquidate / order if order and liquidate else 0.0
    by = ", by thresholds.liquidate over thresholds.order"
    for opening, table in (("initial", "brackets"), ("borrow_initial", "borrow")):
        for own, other in _pairs(parts, opening, table):
            for size, has, base in _sizes(parts[opening][own], parts[table][other]):
                needs = share * base
                if has < needs * (1.0 - SLACK):
                    text = f"must be at least {needs:g} at a size of {size:g}, as "
                    text += f"{table}.{other} asks{by} (got {has:g}); raise it"
                    found.setdefault(
                        f"{opening}.{own}", text + _or(opening, own, other)
                    )
    opening, table = "collateral_initial", "collateral"
    for own, other in _pairs(parts, opening, table):
        for size, has, base in _sizes(parts[opening][own], parts[table][other]):
            if has * (1.0 - SLACK) > base:
                text = f"must be at most {base:g} for a holding of {size:g}, as "
                text += f"{table}.{other} is (got {has:g}); lower it"
                found.setdefault(f"{opening}.{own}", text + _or(opening, own, other))
    return list(found.items())


def _or(opening: str, own: str, other: str) -> str:
    return "" if own == other or own != "default" else f", or write {opening}.{other}"


def _pairs(
    parts: Mapping[str, Any], opening: str, table: str
) -> Iterator[tuple[str, str]]:
    # The entries that judge the same asset or symbol. Risk units have no brackets.
    first, second = parts.get(opening, {}), parts.get(table, {})
    if table == "brackets" and parts.get("stress"):
        return
    for name in sorted({*first, *second}):
        own = name if name in first else "default"
        other = name if name in second else "default"
        if own in first and other in second:
            yield own, other


def _sizes(one: Curve, other: Curve) -> Iterator[tuple[float, float, float]]:
    """Sizes at which two curves may cross, and what each has there, at a price of 1.

    Of two of a kind one is above the other everywhere if it is there. Nothing for tiers
    of money beside those of coins: which comes first goes by the price.
    """
    if {_unit(one), _unit(other)} >= {"usd", "qty"}:
        return
    # What is told should be of a size that people know.
    sizes = sorted({*SIZES, *_edges(one), *_edges(other)}, key=lambda x: (x < 1.0, x))
    for size in sizes:
        if 0.0 < size <= FLOOR_MAX:
            yield size, one.amount(size, size), other.amount(size, size)


def _unit(curve: Curve) -> str:
    if not isinstance(curve, Schedule):
        return "qty"
    return curve.unit if len(curve.rates) > 1 else "any"


def _edges(curve: Curve) -> tuple[float, ...]:
    # Where a curve changes its slope.
    if isinstance(curve, Schedule):
        return curve.floors
    if isinstance(curve, LinearRate) or not curve.imf:
        return ()
    if isinstance(curve, SqrtRate):
        root = (curve.least - curve.base) / curve.imf
    else:
        assert isinstance(curve, SqrtWeight)
        root = (curve.numerator / (curve.weight or 1.0) - 1.0) / curve.imf
    # Further out no size is looked at.
    return (min(max(root, 0.0), FLOOR_MAX) ** 2,)
