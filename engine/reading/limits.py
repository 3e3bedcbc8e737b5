"""What would overflow, or never end: amounts in atoms, times, counts, paces."""

from collections.abc import Iterator
from contextlib import suppress
from math import ceil, exp, floor, inf, log, log10
from typing import Any

from ...margin.markets import MarketError, parse_name
from ...margin.presets import RulesError
from ...margin.rules import Rules
from ...orderbook.messages import ACCOUNT_MAX
from ..config import Population
from ..population import MORE
from ..traders import ENTRY_HEALTH
from .draft import Draft
from .location import Path
from .structure import LARGEST, Fault, amount
from .venue_files import build_rules

ATOMS_MAX = 2**58
"""Most atoms of one asset that a table may hand out: draws scatter around a median,
and int64 has to hold the largest of them."""

BROUGHT_MAX = 2**62
"""Most atoms of one asset that all populations bring in, the other side of their
positions included: the world outside owes them in one int64."""

SECONDS_MAX = 1e9
"""Longest time, in seconds; int64 nanoseconds hold 9.2e9."""

STEPS_MAX = 10_000_000
"""Most often that one class of accounts may act in a run."""

ORDERS_MAX = 1_000_000
"""Most orders that everyday takers may send at one moment."""

_SECONDS = (
    "duration",
    "latency",
    "interval",
    "patience",
    "wait",
    "half_life",
    "top_up_delay",
    "delay",
    "at",
    "over",
    "window",
    "pause",
)
MOST = {
    "dispersion": 5.0,
    "caution": 5.0,
    "decline": 10.0,
    "stock": 100.0,
    "jitter": 5.0,
    "mix": 5.0,
    "beta": 100.0,
    "by_volume": 10.0,
    "spread": 5.0,
    "volatility": 100.0,
    "impact": 1.0,
    "move": 1000.0,
    "leverage": 1000.0,
    "growth": 100.0,
    "half_spread_bp": 9999.0,
    "hedge": 100.0,
    "levels": 1000,
    "slices": 100_000,
    "clips": 100_000,
    "seeds": 10_000,
    "start": 86_400,
} | dict.fromkeys(_SECONDS, SECONDS_MAX)
"""Largest value of the fields that something grows with exponentially or for long."""


def limits(draft: Draft) -> Iterator[Fault]:
    """Everything in a draft that the machine could not hold or finish."""
    for path, record in _everything(draft):
        for name, most in MOST.items():
            value = getattr(record, name, None)
            if isinstance(value, int | float) and value > most:
                yield _too_large((*path, name), most, value)
    for name in ("duration", "seeds", "start"):
        value = draft.parts.get(name, 0)
        if value > MOST[name]:
            yield _too_large((name,), MOST[name], value)
    yield from _paces(draft)
    yield from _accounts(draft)
    yield from _amounts(draft)
    yield from _populated(draft)


def _too_large(path: Path, most: float, value: float) -> Fault:
    return Fault(path, f"must be at most {amount(most)} (got {amount(value)})")


def _everything(draft: Draft) -> Iterator[tuple[Path, Any]]:
    yield from draft.participants()
    for field in ("assets", "shocks"):
        yield from draft.records(field)
    for path, market in draft.records("markets"):
        if market.circuit_breaker is not None:
            yield (*path, "circuit_breaker"), market.circuit_breaker
    for path, group in draft.records("population"):
        yield (*path, "equity_usd"), group.equity_usd
        yield (*path, "leverage"), group.leverage
    for path, whales in draft.records("whales"):
        yield (*path, "fall"), whales.fall
        yield (*path, "delay"), whales.delay
    for field in ("gateway", "transfers", "record"):
        if field in draft.parts:
            yield (field,), draft.parts[field]


def _paces(draft: Draft) -> Iterator[Fault]:
    """How often something happens in a run."""
    duration = draft.parts.get("duration", 0.0)
    for path, record in _everything(draft):
        interval = getattr(record, "interval", None)
        if interval is not None and interval < 1e-6:
            text = f"must be at least a microsecond, 1e-6 (got {interval:g})"
            yield Fault((*path, "interval"), text)
        elif interval is not None and duration / interval > STEPS_MAX:
            text = f"{duration / interval:.3g} times in {duration:g} s, at most"
            yield Fault(
                (*path, "interval"),
                f"{text} {STEPS_MAX:,} (got {interval:g}); make it longer",
            )
    for path, makers in draft.records("market_makers"):
        # In logarithms: the last level may be more than a float can hold.
        last = log(makers.size_usd) + log(makers.growth) * (makers.levels - 1)
        if last > log(LARGEST):
            text = f"the last of {makers.levels} levels is more than {LARGEST:g} US"
            yield Fault(
                (*path, "growth"), f"{text} dollars (got {makers.growth:g}); lower it"
            )
    for path, group in draft.records("background"):
        orders = group.rate * duration * len(group.markets)
        if orders > STEPS_MAX:
            text = f"{orders:.3g} orders in {duration:g} s, at most {STEPS_MAX:,}"
            yield Fault((*path, "rate"), f"{text} (got {group.rate:g}); lower it")
        elif group.rate * group.interval * len(group.markets) > ORDERS_MAX:
            text = f"more than {ORDERS_MAX:,} orders at once"
            yield Fault((*path, "interval"), f"{text} (got {group.interval:g})")
    rates = [(path, shock.rate) for path, shock in draft.records("shocks")]
    rates.append((("gateway",), getattr(draft.parts.get("gateway"), "rate", None)))
    for path, rate in rates:
        if rate is not None and rate < 1e-3:
            text = f"must be at least 0.001 messages a second (got {amount(rate)})"
            yield Fault((*path, "rate"), text)


def _accounts(draft: Draft) -> Iterator[Fault]:
    counts = [
        (group.count, path)
        for path, group in draft.participants()
        if hasattr(group, "count")
    ]
    total = sum(count for count, _ in counts)
    if total > ACCOUNT_MAX:
        count, path = max(counts, key=lambda pair: pair[0])
        text = f"{total:,} accounts in all, at most {ACCOUNT_MAX:,} (got {count:,})"
        yield Fault((*path, "count"), f"{text}; lower it")


def _amounts(draft: Draft) -> Iterator[Fault]:
    """What the tables hand out, in atoms."""
    coins = draft.parts.get("assets", {})
    for path, group in draft.participants():
        for field, asset, usd in _handed_out(group):
            coin = coins.get(asset)
            if coin is None or not usd > 0:
                continue
            atoms = usd / coin.price * 10.0**coin.decimals
            if atoms > ATOMS_MAX:
                text = f"{usd:.3g} US dollars are {atoms:.3g} atoms of {asset}, at most"
                remedy = f"lower it, or the decimals of {asset}"
                yield Fault((*path, field), f"{text} {ATOMS_MAX:.3g}; {remedy}")


def _populated(draft: Draft) -> Iterator[Fault]:
    """What populations hold: each account, then all of them, in atoms."""
    coins = draft.parts.get("assets", {})
    brought: dict[str, dict[Path, dict[str, float]]] = {}
    rules = _rules(draft) if draft.parts.get("population") else None
    for path, group in draft.participants():
        if not isinstance(group, Population):
            continue
        for field, asset, largest, total in _sampled(draft, rules, group):
            coin = coins.get(asset)
            if coin is None:
                continue
            unit = coin.price * 0.1**coin.decimals
            brought.setdefault(asset, {}).setdefault(path, {})[field] = total / unit
            if largest / unit > ATOMS_MAX:
                share = ATOMS_MAX / (largest / unit)
                which = (
                    "equity_usd" if field == "equity_usd" else "it, or of equity_usd,"
                )
                text = f"its largest account has {largest:.3g} US dollars, "
                text += (
                    f"{largest / unit:.3g} atoms of {asset}, at most {ATOMS_MAX:.3g}"
                )
                remedy = f"lower the most of {which} to {_percent(share)} of what it is"
                remedy += _or_decimals(asset, coin.decimals, share)
                yield Fault((*path, field), f"{text}; {remedy}")
    for asset, groups in brought.items():
        atoms = sum(sum(parts.values()) for parts in groups.values())
        if atoms > BROUGHT_MAX:
            coin = coins[asset]
            usd = atoms * coin.price * 0.1**coin.decimals
            text = f"populations bring in {usd:.3g} US dollars, {atoms:.3g} atoms of "
            text += f"{asset}, at most {BROUGHT_MAX:.3g}; "
            path = max(groups, key=lambda path: sum(groups[path].values()))
            parts = groups[path]
            group = next(g for p, g in draft.participants() if p == path)
            yield Fault(
                (*path, max(parts, key=lambda field: parts[field])),
                text
                + _less(group, parts, atoms - BROUGHT_MAX)
                + _or_decimals(asset, coin.decimals, BROUGHT_MAX / atoms),
            )


def _less(group: Population, parts: dict[str, float], excess: float) -> str:
    """What to lower in a population, and to what, for so many atoms less."""
    own = sum(parts.values())
    share = 1.0 - excess / own
    if share <= 0.0:
        return "lower the count, leverage or equity_usd of all"
    count = f"lower its count to {floor(group.count * share):,}"
    ways = [f"equity_usd to {_percent(share)}"]
    leverage = parts.get("leverage", 0.0)
    if excess < leverage:
        ways.append(f"leverage to {_percent(1.0 - excess / leverage)}")
    return f"{count}, {' or '.join(ways)} of what it is"


def _percent(share: float) -> str:
    # Rounded down, to two digits.
    digits = max(0, 1 - floor(log10(share * 100)))
    return f"{floor(share * 100 * 10**digits) / 10**digits:g} %"


def _or_decimals(asset: str, decimals: int, share: float) -> str:
    enough = decimals - ceil(-log10(share))
    return f", or the decimals of {asset} to {enough}" if enough >= 0 else ""


def _drawn(distribution: Any) -> tuple[float, float]:
    """Mean and largest draw of a distribution, or more."""
    largest = distribution.value if distribution.kind == "fixed" else distribution.most
    return min(largest or 0.0, _mean(distribution)), largest or 0.0


def _mean(distribution: Any) -> float:
    match distribution.kind:
        case "lognormal":
            half = 0.5 * (distribution.spread or 0.0) ** 2
            return float((distribution.median or 0.0) * exp(half))
        case "pareto":
            exponent = distribution.exponent or inf
            return float((distribution.least or 0.0) * exponent / (exponent - 1.0))
        case "uniform":
            return 0.5 * ((distribution.least or 0.0) + (distribution.most or 0.0))
    return inf


def _sampled(
    draft: Draft, rules: Rules | None, group: Population
) -> Iterator[tuple[str, str, float, float]]:
    """Field, asset, US dollars of the largest account and of all that is brought in.

    Of perpetuals what longs and shorts leave over: somebody has the other side. Of spot
    the coins, and what is owed for them.
    """
    (mean, largest), (times, most) = map(_drawn, (group.equity_usd, group.leverage))
    weights = sum(group.collateral.values()) or 1.0
    total = group.count * mean
    # An account gets more than its equity where its positions need it.
    margin = _margin_rate(draft, rules, group, largest * most)
    gift = MORE * group.distance / max(1.0 - group.distance, 0.1)
    need = max(1.0, ENTRY_HEALTH * margin * most) + gift * most
    usual = max(1.0, ENTRY_HEALTH * margin * times) + gift * times
    for asset, weight in group.collateral.items():
        yield "equity_usd", asset, largest * need, total * usual * weight / weights
    left = abs(2.0 * group.long_share - 1.0)
    parts: dict[str, float] = {}
    for name, part in _parts(draft, group).items():
        with suppress(MarketError):
            base, quote, perpetual = parse_name(name)
            parts[quote] = parts.get(quote, 0.0) + (left if perpetual else 1.0) * part
            if not perpetual:
                parts[base] = parts.get(base, 0.0) + part
    for asset, part in parts.items():
        yield "leverage", asset, largest * most, total * times * part


def _margin_rate(
    draft: Draft, rules: Rules | None, group: Population, usd: float
) -> float:
    """Maintenance margin of a population's largest position, over what it is worth."""
    rates = [0.0]
    for name in group.markets:
        spec = draft.spec(name)
        if rules is not None and spec is not None and spec.perpetual and usd > 0.0:
            qty = usd / draft.parts["assets"][spec.base].price
            rates.append(rules.brackets_of(name).amount(usd, qty) / usd)
    return max(rates)


def _rules(draft: Draft) -> Rules | None:
    # What is wrong with them is told where they are checked.
    with suppress(RulesError):
        return build_rules(draft.parts.get("rules", {}))
    return None


def _parts(draft: Draft, group: Population) -> dict[str, float]:
    """The share of its positions that a population has in each market."""
    known = draft.parts.get("markets", {})
    volumes = [
        (getattr(known.get(name), "volume_usd", None) or 1.0) ** group.by_volume
        for name in group.markets
    ]
    return {
        name: volume / sum(volumes)
        for name, volume in zip(group.markets, volumes, strict=True)
    }


def _handed_out(group: Any) -> Iterator[tuple[str, str, float]]:
    """Field, asset and US dollars of everything that a class of accounts is given."""
    if isinstance(group, Population):
        return
    sides = []
    for name in getattr(group, "markets", ()):
        try:
            sides.append(parse_name(name)[:2])
        except MarketError:
            continue
    count = getattr(group, "count", 1)
    median = "equity_usd" if hasattr(group, "equity_usd") else "size_usd"
    shares = [
        *getattr(group, "collateral", {}).items(),
        *getattr(group, "inventory", {}).items(),
    ]
    stock = getattr(group, "stock", 0.0)
    if shares or stock:
        usd = getattr(group, median) * count
        for asset, share in shares:
            yield median, asset, usd * share
        # What is left of the equity, or what was borrowed to have more than it.
        left = 1.0 - stock - sum(share for _, share in shares)
        yield median, "USDT", usd * abs(left)
        for base, _ in sides if stock else ():
            yield "stock", base, usd * stock / len(sides)
    for asset, usd in getattr(group, "assets", {}).items():
        yield "assets", asset, usd
    if hasattr(group, "usd"):
        for _, quote in sides:
            yield "usd", quote, group.usd * count
    own = getattr(group, "coins", {})
    for asset, usd in own.items():
        yield "coins", asset, usd
    if hasattr(group, "coins_usd") and group.share is None:
        for base, _ in sides:
            if base not in own:
                yield "coins_usd", base, group.coins_usd
