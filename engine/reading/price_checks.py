"""What must hold in the rules of prices: of the exchange's indices, and of feeds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...margin.markets import MarketError, parse_name
from ...margin.prices import (
    NUMERAIRE,
    POLICIES,
    SOURCES,
    IndexBoard,
    dangling,
    place_of,
)
from ...margin.rules import RulesError
from ..arguments import suggest
from ..pricing import default_rule, places_of
from .draft import Draft, unknown
from .limits import SECONDS_MAX
from .location import Path
from .structure import Fault, amount

Pairs = Mapping[str, tuple[str, str]]

_SECONDS = (
    "window",
    "delay",
    "heartbeat",
    "breaker_window",
    "breaker_hold",
    "stale",
    "vote_delay",
)


def pairs_of(draft: Draft, *, perpetuals: bool) -> dict[str, tuple[str, str]]:
    """Base and quote of the markets, by name."""
    pairs = {}
    for name in draft.names("markets"):
        with suppress(MarketError):
            base, quote, perpetual = parse_name(name)
            if perpetuals or not perpetual:
                pairs[name] = base, quote
    return pairs


def price_rule(
    draft: Draft, path: Path, rule: Any, asset: str, pairs: Pairs
) -> Iterator[Fault]:
    """Whether a table makes a price of an asset, from sources that there are."""
    faults = [Fault((*path, field), text) for field, text in rule.problems()]
    for key in _SECONDS:
        seconds = getattr(rule, key)
        if seconds is not None and seconds > SECONDS_MAX:
            text = f"must be at most {amount(SECONDS_MAX)} (got {amount(seconds)})"
            faults.append(Fault((*path, key), text))
    said = {}
    for field, source in rule.named if not faults else ():
        where = (*path, field, source) if field == "sources" else (*path, field)
        table = source.partition(".")[0]
        if table in SOURCES:
            said[place_of(source, asset)] = asset, NUMERAIRE
        faults += _source(draft, where, source, asset, pairs)
    yield from faults
    if not faults:
        every = {**pairs, **said}
        for field, text in dangling(asset, rule, every, draft.names("assets")):
            yield Fault((*path, field), text)


def _source(
    draft: Draft, path: Path, source: str, asset: str, pairs: Pairs
) -> Iterator[Fault]:
    table, _, name = source.partition(".")
    places = [f"{t}.{n}" for t in SOURCES for n in draft.names(t)]
    if table in SOURCES and name not in draft.names(table):
        yield Fault(path, unknown("a place", source, places))
    elif table == "pools":
        yield from has_assets(draft, path, name, asset)
    elif table not in SOURCES and source not in pairs:
        policies = [policy for policy in POLICIES if policy != "mix"]
        text = f"{source!r} is not a market, or another source of prices"
        yield Fault(path, text + suggest(source, [*pairs, *places, *policies]))


def has_assets(draft: Draft, path: Path, pool: str, *wanted: str) -> Iterator[Fault]:
    """Whether a pool that there is has these assets."""
    record = draft.parts.get("pools", {}).get(pool)
    if record is not None:
        has = tuple(record.reserves) or record.assets
        for asset in wanted:
            if asset not in has:
                text = f"must be a pool with {asset} (got {pool!r} of"
                yield Fault(path, f"{text} {', '.join(has) or 'nothing'})")


def oracles(draft: Draft) -> Iterator[Fault]:
    """Everything that is wrong with the rules of indices."""
    assets, pairs = draft.names("assets"), pairs_of(draft, perpetuals=False)
    rules, faults = dict(draft.parts.get("oracles", {})), []
    for asset in draft.names("oracles"):
        if asset not in assets:
            faults.append(Fault(("oracles", asset), unknown("an asset", asset, assets)))
            rules.pop(asset, None)
    for asset, rule in rules.items():
        faults += price_rule(draft, ("oracles", asset), rule, asset, pairs)
    yield from faults
    if faults:
        return
    every = {a: rules.get(a) or default_rule(a, pairs) for a in assets}
    said = {place_of(*place): (place[1], NUMERAIRE) for place in places_of(every)}
    try:
        IndexBoard(every, {**pairs, **said})
    except RulesError as error:
        for place, text in error.problems:
            yield Fault(("oracles", *place.split(".")), text)


def circles_of_feeds(draft: Draft) -> Iterator[Fault]:
    """Feeds that are made of themselves."""
    rules = draft.parts.get("feeds", {})
    after: Mapping[str, Sequence[str]] = {
        name: [s[6:] for _, s in rule.named if s.startswith("feeds.")]
        for name, rule in rules.items()
    }
    for name in after:
        seen, todo = set[str](), list(after[name])
        while todo:
            other = todo.pop()
            if other == name:
                text = "must not be made of itself, over other feeds either"
                yield Fault(("feeds", name, "sources"), text)
                break
            if other not in seen:
                seen.add(other)
                todo += after.get(other, ())
