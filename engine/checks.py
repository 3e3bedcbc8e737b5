"""What must hold between the tables of a scenario: names, units, sizes, cycles.

Each check yields every fault it finds; none of them raises.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, get_args

import attrs

from ..margin.prices import IndexBoard, IndexRule
from ..margin.rules import Rules, RulesError, bracket_symbol
from ..orderbook.orders import PRICE_MAX, QTY_MAX
from .config import Scenario
from .location import Path
from .structure import Fault, structure, structure_field, suggest

ATOMS_MAX = 2**58
"""Most atoms of one asset that a scenario hands out: draws scatter around a median,
and int64 has to hold the largest of them."""

ACCOUNTS_MAX = 2**24 - 1
STEPS_MAX = 10_000_000
SECONDS_MAX = 1e9

SECONDS = (
    "duration",
    "latency",
    "interval",
    "patience",
    "half_life",
    "top_up_delay",
    "delay",
    "at",
    "over",
)
MOST = {
    "dispersion": 5.0,
    "jitter": 5.0,
    "volatility": 100.0,
    "impact": 1.0,
    "move": 1000.0,
    "leverage": 1000.0,
    "growth": 100.0,
    "half_spread_bp": 9999.0,
    "levels": 1000,
    "slices": 1_000_000,
    "seeds": 10_000,
} | dict.fromkeys(SECONDS, SECONDS_MAX)
"""Largest value of fields that grow something exponentially or without end."""

PARTICIPANTS = (
    "market_makers",
    "traders",
    "holders",
    "stale_bids",
    "bargain_hunters",
    "arbitrage",
    "background",
)
"""The tables of participants; every entry of one is a class of accounts."""

SHOCK_FIELDS = {
    "order": ("market", "side", "qty", "usd", "over", "slices"),
    "outside": ("asset", "move"),
    "transfers": ("open",),
    "gateway": ("rate",),
}
"""What each kind of shock takes beside ``at``, ``kind`` and ``note``."""

_ASSET = re.compile(r"[A-Z0-9]+")
_MARKET = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+)(:PERP)?")
_DECIMAL = re.compile(r"\d{1,18}(\.\d{1,18})?")


class MarketName(NamedTuple):
    """What the name of a market says."""

    base: str
    quote: str
    perpetual: bool


def parse_market(name: str) -> MarketName:
    """The parts of BASE/QUOTE or BASE/QUOTE:PERP; ValueError for other names.

    >>> parse_market("ATOM/USDT:PERP")
    MarketName(base='ATOM', quote='USDT', perpetual=True)
    """
    found = _MARKET.fullmatch(name)
    if not found:
        raise ValueError(
            f"{name!r} is not a market's name; write BASE/QUOTE or BASE/QUOTE:PERP "
            "in capitals and digits"
        )
    return MarketName(found[1], found[2], found[3] is not None)


def parse_decimal(text: str) -> Fraction:
    """An exact decimal above 0 with at most 18 digits on each side; or ValueError.

    >>> parse_decimal("0.001")
    Fraction(1, 1000)
    """
    value = Fraction(text) if _DECIMAL.fullmatch(text) else Fraction(0)
    if value <= 0:
        raise ValueError(f"must be a decimal above 0 such as '0.001' (got {text!r})")
    return value


def index_rules(config: Scenario) -> dict[str, IndexRule]:
    """The index rule of every asset: the outside price where the file has none."""
    return {
        asset: config.oracles.get(asset, IndexRule(policy="outside"))
        for asset in config.assets
    }


@attrs.define
class Draft:
    """A document as far as it could be read.

    ``parts`` holds the fields of `Scenario`; those that are tables or lists of
    records as dictionaries of what was right.
    """

    document: Mapping[str, Any]
    parts: dict[str, Any]

    def names(self, table: str) -> list[str]:
        """Keys of a table in the file, right or wrong."""
        return list(_table(self.document.get(table)))

    def records(self, field: str) -> Iterator[tuple[Path, Any]]:
        """Place and record of each entry of a table or list."""
        for key, record in self.parts.get(field, {}).items():
            yield (field, key), record

    def participants(self) -> Iterator[tuple[Path, Any]]:
        """Place and record of each class of accounts."""
        for table in PARTICIPANTS:
            yield from self.records(table)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read(document: Mapping[str, Any]) -> tuple[Draft, list[Fault]]:
    """Structure a document field by field, keeping what is right."""
    draft, faults = Draft(document, {}), []
    fields = attrs.fields_dict(attrs.resolve_types(Scenario))
    for key in document:
        if key not in fields:
            faults.append(Fault((key,), f"{key!r} is not a key{suggest(key, fields)}"))
    for name, field in fields.items():
        if name not in document:
            if field.default is attrs.NOTHING:
                faults.append(Fault((name,), "is missing"))
            continue
        value, kinds = document[name], get_args(field.type)
        entries: Iterable[tuple[Any, Any]] | None = None
        if kinds and attrs.has(kinds[-1]) and isinstance(value, Mapping):
            entries = value.items()
        elif kinds and attrs.has(kinds[0]) and isinstance(value, list):
            entries = enumerate(value)
        if entries is None:
            whole, wrong = structure_field(value, field, (name,))
            faults += wrong
            if not wrong:
                draft.parts[name] = whole
            continue
        kind = next(kind for kind in kinds if attrs.has(kind))
        kept = draft.parts[name] = {}
        for key, item in entries:
            record, wrong = structure(item, kind, (name, key))
            faults += wrong
            if record is not None:
                kept[key] = record
    return draft, faults


def assemble(draft: Draft) -> Scenario:
    """The scenario of a draft without faults."""
    lists = {"ladders", "shocks", "targets"}
    return Scenario(
        **{
            name: tuple(part.values()) if name in lists else part
            for name, part in draft.parts.items()
        }
    )


def check(draft: Draft) -> Iterator[Fault]:
    """Everything that is wrong between the tables."""
    for part in (
        _assets,
        _markets,
        _participants,
        _amounts,
        _paces,
        _ladders,
        _shocks,
        _oracles,
        _rules,
        _targets,
    ):
        yield from part(draft)


def _unknown(what: str, word: str, words: Iterable[str]) -> str:
    return f"{word!r} is not {what} of the scenario{suggest(word, words)}"


# -- ASSETS AND MARKETS


def _assets(draft: Draft) -> Iterator[Fault]:
    for name in draft.names("assets"):
        if not _ASSET.fullmatch(name):
            text = f"{name!r} is not an asset's name; write capitals and digits"
            yield Fault(("assets", name), text)
    for table in ("assets", "markets"):
        if table in draft.parts and not draft.document[table]:
            yield Fault((table,), "must have at least one entry")
    latency = getattr(draft.parts.get("gateway"), "latency", {})
    for name, seconds in latency.items():
        path: Path = ("gateway", "latency", name)
        if name not in PARTICIPANTS:
            yield Fault(path, f"{name!r} is not a table{suggest(name, PARTICIPANTS)}")
        if not 0 <= seconds <= SECONDS_MAX:
            yield Fault(path, f"must be from 0 to {SECONDS_MAX:g} (got {seconds:g})")


def _markets(draft: Draft) -> Iterator[Fault]:
    assets = draft.names("assets")
    for name in draft.names("markets"):
        path: Path = ("markets", name)
        try:
            listed = parse_market(name)
        except ValueError as error:
            yield Fault(path, str(error))
            continue
        for asset in listed[:2]:
            if asset not in assets:
                yield Fault(path, _unknown("an asset", asset, assets))
        if listed.base == listed.quote:
            yield Fault(path, f"base and quote must differ (got {listed.base} twice)")
    for path, market in draft.records("markets"):
        yield from _grid(draft, path, market)


def _grid(draft: Draft, path: Path, market: Any) -> Iterator[Fault]:
    """Whether price and quantity steps come out in whole atoms."""
    steps = {}
    for key in ("tick", "lot", "last"):
        text = getattr(market, key)
        try:
            steps[key] = parse_decimal(text) if text is not None else None
        except ValueError as error:
            yield Fault((*path, key), str(error))
    if len(steps) < 3 or not _MARKET.fullmatch(str(path[1])):
        return
    tick, lot, last = steps.values()
    assert tick is not None
    assert lot is not None
    listed = parse_market(str(path[1]))
    coins = draft.parts.get("assets", {})
    base, quote = coins.get(listed.base), coins.get(listed.quote)
    if base and (lot * 10**base.decimals).denominator != 1:
        text = f"{market.lot} is no whole number of {_atoms(listed.base, base)}"
        yield Fault((*path, "lot"), f"{text}; make the lot coarser")
    if quote and (tick * lot * 10**quote.decimals).denominator != 1:
        text = f"tick × lot = {_plain(tick * lot)} {listed.quote} is no whole number of"
        remedy = "make tick or lot coarser"
        yield Fault((*path, "tick"), f"{text} {_atoms(listed.quote, quote)}; {remedy}")
    if last is not None and (last / tick).denominator != 1:
        text = f"must be a whole number of ticks of {market.tick} (got {market.last!r})"
        yield Fault((*path, "last"), text)
    start = float(last) if last else (base.price / quote.price if base and quote else 0)
    ticks = start / float(tick)
    if start and not 1 <= ticks <= PRICE_MAX:
        text = f"price {start:g} is {ticks:.3g} ticks, which must be from 1 to"
        remedy = f"make the tick {'finer' if ticks < 1 else 'coarser'}"
        yield Fault((*path, "tick"), f"{text} {PRICE_MAX:,}; {remedy}")


def _atoms(name: str, asset: Any) -> str:
    return f"atoms of {name} ({_plain(Fraction(1, 10**asset.decimals))})"


def _plain(value: Fraction) -> str:
    """A decimal fraction with all its digits."""
    digits = 0
    while (value * 10**digits).denominator != 1 and digits < 40:
        digits += 1
    return f"{float(value):.{digits}f}"


# -- PARTICIPANTS


def _participants(draft: Draft) -> Iterator[Fault]:
    assets, markets = draft.names("assets"), draft.names("markets")
    for path, group in draft.participants():
        for i, name in enumerate(getattr(group, "markets", ())):
            here = (*path, "markets", i)
            if name not in markets:
                yield Fault(here, _unknown("a market", name, markets))
            elif name in group.markets[:i]:
                yield Fault(here, f"{name!r} is named twice")
            elif path[0] == "traders" and not name.endswith(":PERP"):
                text = f"{name!r} is not a perpetual; name markets that end in :PERP"
                yield Fault(here, text)
        if group.enabled and getattr(group, "markets", None) == ():
            yield Fault((*path, "markets"), "must name at least one market")
        for field in ("collateral", "inventory", "assets"):
            for asset, amount in getattr(group, field, {}).items():
                here = (*path, field, asset)
                if asset not in assets:
                    yield Fault(here, _unknown("an asset", asset, assets))
                if amount < 0:
                    yield Fault(here, f"must be >= 0 (got {amount:g})")
        if path[0] == "stale_bids" and not group.nearest < group.farthest:
            text = f"must be above nearest, {group.nearest:g} (got {group.farthest:g})"
            yield Fault((*path, "farthest"), text)
    counts = [(group.count, path) for path, group in _counted(draft)]
    if sum(count for count, _ in counts) > ACCOUNTS_MAX:
        count, path = max(counts, key=lambda pair: pair[0])
        total = sum(count for count, _ in counts)
        text = f"{total:,} accounts in all, at most {ACCOUNTS_MAX:,} (got {count:,})"
        yield Fault((*path, "count"), text)


def _counted(draft: Draft) -> Iterator[tuple[Path, Any]]:
    return (row for row in draft.participants() if hasattr(row[1], "count"))
