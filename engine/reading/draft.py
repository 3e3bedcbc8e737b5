"""A scenario's document as far as it can be read, and what its names mean."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, get_args

import attrs

from ...margin.markets import MarketError, MarketSpec, exact, parse_name
from ..arguments import suggest
from ..config import Scenario
from .location import Path
from .structure import Fault, structure, structure_field

PARTICIPANTS = (
    "market_makers",
    "traders",
    "population",
    "holders",
    "whales",
    "liquidation_bots",
    "stale_bids",
    "bargain_hunters",
    "arbitrage",
    "cross_arbitrage",
    "background",
)
"""The tables of participants; every entry of one is a class of accounts."""

ON_CHAIN = ("loops", "loans", "liquidators", "redeemers", "issuers")
"""Users of protocols who send orders to the exchange as well."""

SENDERS = (
    *(name for name in PARTICIPANTS if name != "population"),
    "shocks",
    *ON_CHAIN,
)
"""Tables whose messages pass the gateway."""


@attrs.define
class Draft:
    """A document as far as it could be read.

    ``parts`` holds the fields of `Scenario`; those that are tables or lists of
    records as dictionaries of what was right. ``origins`` says of each list that named
    groups of markets which entry of the file every market comes from.
    """

    document: Mapping[str, Any]
    parts: dict[str, Any]
    origins: dict[Path, list[int]] = attrs.Factory(dict)
    checked: tuple[str, ...] = ()  # tables that are those of a draft without faults
    _specs: dict[str, MarketSpec | None] = attrs.Factory(dict)

    def names(self, table: str) -> list[str]:
        """Keys of a table in the file, right or wrong."""
        return list(_table(self.document.get(table)))

    def records(self, field: str) -> Iterator[tuple[Path, Any]]:
        """Place and record of each entry of a table or list."""
        for key, record in self.parts.get(field, {}).items():
            yield (field, key), record

    def has_checked(self, *tables: str) -> bool:
        """Whether tables, and what is within each of them, are known to be right."""
        return all(table in self.checked for table in tables)

    def entry(self, path: Path, item: int) -> Path:
        """Place in the file of an item of a list, groups of markets or not."""
        return (*path, self.origins[path][item] if path in self.origins else item)

    def spec(self, market: str) -> MarketSpec | None:
        """The market's units; None if they, or its assets, are wrong in the file."""
        if market not in self._specs:
            self._specs[market] = self._defined(market)
        return self._specs[market]

    def _defined(self, market: str) -> MarketSpec | None:
        assets = self.parts.get("assets", {})
        try:
            record = self.parts["markets"][market]
            sides = [s for s in parse_name(market)[:2] if s in assets]
            decimals = {name: assets[name].decimals for name in sides}
            spec = MarketSpec.define(market, record.tick, record.lot, decimals)
        except (KeyError, MarketError):
            return None
        return spec if spec.base in assets and spec.quote in assets else None

    def price(self, spec: MarketSpec) -> float:
        """The market's price in its quote asset at the start."""
        last = self.parts["markets"][spec.name].last
        if last is not None:
            with suppress(MarketError):
                return float(exact(last, spec.name))
        assets = self.parts["assets"]
        return float(assets[spec.base].price / assets[spec.quote].price)

    def participants(self) -> Iterator[tuple[Path, Any]]:
        """Place and record of each class of accounts."""
        for table in PARTICIPANTS:
            yield from self.records(table)


GIVEN = {"seed": "; a run is given its seed: run(seed=3), or --seed 3"}
"""What is looked for in a scenario, and is elsewhere."""


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read(
    document: Mapping[str, Any], like: Draft | None = None
) -> tuple[Draft, list[Fault]]:
    """Structure a document field by field, keeping what is right.

    Tables that a draft without faults has just so are taken from there.
    """
    draft = Draft(document, {})
    if like is not None:
        same = [n for n in like.parts if document.get(n) == like.document.get(n)]
        draft.parts = {name: like.parts[name] for name in same}
        draft.checked = tuple(same)
        if draft.has_checked("assets", "markets"):
            draft._specs = like._specs
    fields = attrs.fields_dict(attrs.resolve_types(Scenario))
    faults = [
        Fault((key,), f"{key!r} is not a key{GIVEN.get(key) or suggest(key, fields)}")
        for key in document
        if key not in fields
    ]
    for name, field in fields.items():
        if name in draft.checked:
            continue
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
    parts: dict[str, Any] = {
        name: tuple(part.values()) if name in lists else part
        for name, part in draft.parts.items()
    }
    return Scenario(**parts)


def unknown(what: str, word: str, words: Iterable[str]) -> str:
    """The message about a name that is not in the scenario."""
    return f"{word!r} is not {what} of the scenario{suggest(word, words)}"


def without_name(name: str, error: MarketError) -> str:
    """The message without the market's name, which the place has already."""
    message = str(error).removeprefix(f"{name}: ")
    return re.sub(r"^'?(price|qty)'?:? ", "", message)
