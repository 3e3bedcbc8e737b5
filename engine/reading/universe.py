"""Universes: many alike assets and markets, drawn from a measured cross-section.

They become plain assets, markets, index rules and venue rules before a scenario is read
further, so that nothing else has to know of them. The draw is of the file, not of a
run: every seed meets the same markets.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import attrs
import numpy as np

from ...margin.prices import IndexRule
from ...margin.rules import RulesError, bracket_symbol
from ..chance import Floats, Stream, exp, log
from ..config import MoreBooks, Universe
from ..kinds import Distribution
from .drawing import distribution_faults, draw
from .location import Path
from .structure import Fault, amount, structure
from .venue_files import build_rules

COUNT_MAX = 5_000
"""Most bases of a universe."""

OWN = "own"
"""What an index rule of a universe calls the first book of each base."""

DECIMALS_MAX = 8


def expand(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The document with what its universes draw, and what is wrong with them.

    What the file itself says of an asset, a market, an index or a rule goes before
    what is drawn, key by key.
    """
    result, faults = dict(document), []
    owner: dict[str, str] = {}
    universes = document.get("universe")
    for name, table in universes.items() if isinstance(universes, Mapping) else ():
        settings, wrong = structure(table, Universe, ("universe", name))
        wrong = wrong or list(_faults(settings, ("universe", name)))
        wrong = wrong or list(_quotes(settings, ("universe", name), document))
        if not wrong:
            drawn = _tables(str(name), settings, document)
            twice = [base for base in drawn["assets"] if base in owner]
            if twice:
                wrong = [_drawn_twice(settings, name, twice[0], owner)]
            else:
                owner |= dict.fromkeys(drawn["assets"], str(name))
                _lay_under(result, drawn)
        faults += wrong
    return result, faults


def _drawn_twice(
    settings: Universe, name: str, base: str, owner: Mapping[str, str]
) -> Fault:
    key, given = ("pairs", base) if base in settings.pairs else ("prefix", "")
    text = f"must not give {base}, which [universe.{owner[base]}] has too"
    if given:
        return Fault(("universe", name, key, given), text)
    return Fault(("universe", name, key), f"{text} (got {settings.prefix!r})")


def _lay_under(result: dict[str, Any], drawn: Mapping[str, Any]) -> None:
    """Put what is drawn beneath what is there, down to the keys of an entry."""
    for key, item in drawn.items():
        own = result.setdefault(key, item)
        if own is not item and isinstance(own, Mapping) and isinstance(item, Mapping):
            merged = dict(own)
            _lay_under(merged, item)
            result[key] = merged


# -- WHAT IS WRONG


def _faults(settings: Universe, path: Path) -> Iterator[Fault]:
    books: dict[Path, MoreBooks] = {
        (*path, "books", quote): more for quote, more in settings.books.items()
    }
    if settings.perpetuals is not None:
        books[*path, "perpetuals"] = settings.perpetuals
    laws = {(*path, key): getattr(settings, key) for key in attrs.fields_dict(Universe)}
    laws |= {(*place, "volume"): more.volume for place, more in books.items()}
    for place, law in laws.items():
        if isinstance(law, Distribution):
            yield from _law_faults(law, place)
    if settings.count > COUNT_MAX:
        text = f"must be at most {COUNT_MAX:,} (got {settings.count:,})"
        yield Fault((*path, "count"), text)
    elif settings.count < len(settings.pairs):
        text = f"must be at least the {len(settings.pairs)} pairs there are"
        yield Fault((*path, "count"), f"{text} (got {settings.count})")
    for place, more in books.items():
        if more.count > settings.count:
            text = f"must be at most the {settings.count:,} bases there are"
            yield Fault((*place, "count"), f"{text} (got {more.count:,})")
    for key in ("collateral", "brackets"):
        ranks = [rank for rank, _ in getattr(settings, key)]
        if ranks != sorted(set(ranks)) or any(rank < 1 for rank in ranks):
            text = f"must be by rising ranks from 1 (got {ranks})"
            yield Fault((*path, key), text)


def _quotes(
    settings: Universe, path: Path, document: Mapping[str, Any]
) -> Iterator[Fault]:
    # Prices, highs and steps are drawn in dollars for every book.
    assets = document.get("assets")
    for quote in (settings.quote, *settings.books):
        entry = assets.get(quote) if isinstance(assets, Mapping) else None
        price = entry.get("price") if isinstance(entry, Mapping) else None
        if isinstance(price, int | float) and not 0.9 <= price <= 1.1:
            own = ("quote",) if quote == settings.quote else ("books", quote)
            text = "must be worth a dollar, in which prices are drawn"
            yield Fault((*path, *own), f"{text} (got {amount(price)})")


def _law_faults(law: Distribution, path: Path) -> Iterator[Fault]:
    yield from distribution_faults(law, path)
    if law.spread is not None and law.spread > 5.0:
        yield Fault((*path, "spread"), f"must be at most 5 (got {amount(law.spread)})")
    key = "value" if law.kind == "fixed" else "least"
    if getattr(law, key) == 0.0 and path[-1] not in ("beta", "volatility"):
        yield Fault((*path, key), "must be above 0 (got 0)")


# -- THE DRAW


class _Draw:
    """One universe as it was drawn, in the order of volume, largest first."""

    def __init__(self, name: str, settings: Universe) -> None:
        self.name, self.settings = name, settings
        known = list(settings.pairs.items())
        volume = self._values("volume_usd", settings.volume_usd)
        price = self._values("price", settings.price)
        high = self._values("high", settings.high)
        for i, (_, pair) in enumerate(known):
            price[i] = pair.price
            volume[i] = volume[i] if pair.volume_usd is None else pair.volume_usd
            high[i] = high[i] if pair.high is None else pair.high / pair.price
        order = np.argsort(-volume, kind="stable")
        self.volume = volume[order] * settings.scale
        self.price = price[order]
        self.high = high[order] * self.price
        width = len(str(settings.count))
        self.bases = [
            known[i][0] if i < len(known) else f"{settings.prefix}{rank:0{width}d}"
            for rank, i in enumerate(order.tolist(), 1)
        ]
        self.steps = [_steps(value, settings) for value in self.price.tolist()]

    def _values(self, key: str, law: Distribution) -> Floats:
        # A stream for each figure: one law changed leaves what the others draw.
        stream = Stream(self.settings.draw, f"universe.{self.name}.{key}")
        return draw(stream, self.settings.count, law)

    def assets(self) -> dict[str, Any]:
        """The table of assets."""
        settings = self.settings
        columns = {"price": self.price}
        for key in ("beta", "volatility"):
            law = getattr(settings, key)
            if law is not None:
                columns[key] = self._values(key, law)
        if settings.outside_depth is not None:
            # One side of it, and what moves the price through it by 1 %.
            outside = 0.5 * settings.outside_depth * self._depth(self.volume)
            columns["impact"] = np.minimum(0.01 / (outside * 1e-6), 1.0)
        fixed = {} if settings.follows is None else {"follows": settings.follows}
        return {
            base: {key: _short(values[i]) for key, values in columns.items()}
            | {"decimals": self.steps[i][2]}
            | fixed
            for i, base in enumerate(self.bases)
        }

    def groups(self) -> dict[str, dict[str, Any]]:
        """Each group of markets, by market what stands in its table."""
        settings = self.settings
        found: dict[str, dict[str, Any]] = {}
        found[self.name] = self._books(settings.quote, self.volume, None)
        for quote, more in settings.books.items():
            found[f"{self.name}.{quote}"] = self._more(quote, quote, more)
        if settings.perpetuals is not None:
            quote = f"{settings.quote}:PERP"
            perpetuals = self._more("perpetuals", quote, settings.perpetuals)
            found[f"{self.name}.perp"] = perpetuals
        return found

    def _more(self, key: str, quote: str, more: MoreBooks) -> dict[str, Any]:
        volume = self.volume * self._values(key, more.volume)
        return self._books(quote, volume[: more.count], more.price_band)

    def _books(self, quote: str, volume: Floats, band: float | None) -> dict[str, Any]:
        depth = self._depth(volume)
        fixed = {} if band is None else {"price_band": band}
        return {
            f"{self.bases[i]}/{quote}": {
                "tick": self.steps[i][0],
                "lot": self.steps[i][1],
                "volume_usd": _short(volume[i]),
                "depth_usd": _short(depth[i]),
                "high": _short(self.high[i]),
            }
            | fixed
            for i in range(len(volume))
        }

    def _depth(self, volume: Floats) -> Floats:
        law = self.settings.depth
        share = volume / (law.volume_usd * self.settings.scale)
        return law.usd * self.settings.scale * exp(law.elasticity * log(share))

    def oracles(self) -> dict[str, Any]:
        """The index rule of each base."""
        if self.settings.oracle is None:
            return {}
        given = attrs.asdict(self.settings.oracle)
        default = attrs.asdict(IndexRule())
        rule = {key: value for key, value in given.items() if value != default[key]}
        made = {}
        for base in self.bases:
            first = f"{base}/{self.settings.quote}"
            made[base] = dict(rule)
            if rule.get("market") == OWN:
                made[base]["market"] = first
            if "sources" in rule:
                made[base]["sources"] = {
                    first if source == OWN else source: weight
                    for source, weight in rule["sources"].items()
                }
        return made

    def rules(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Collateral rates and brackets of those that the venue's rules do not name."""
        given = document.get("rules")
        try:
            known = build_rules(given if isinstance(given, Mapping) else {})
        except RulesError:
            return {}  # told when the rules are checked
        settings = self.settings
        rates = {
            base: rate
            for base, rate in self._by_rank(settings.collateral)
            if base not in known.collateral
        }
        symbols = {
            base: bracket_symbol(f"{base}/{settings.quote}:PERP") for base in self.bases
        }
        more = settings.perpetuals
        with_one = self.bases[: more.count] if more else []
        brackets = {
            symbols[base]: other
            for base, other in self._by_rank(settings.brackets)
            if base in with_one and symbols[base] not in known.brackets
        }
        return {"collateral": rates, "brackets": brackets}

    def _by_rank(self, table: tuple[tuple[int, Any], ...]) -> Iterator[tuple[str, Any]]:
        first = 0
        for last, value in table:
            for base in self.bases[first:last]:
                yield base, value
            first = last


def _tables(
    name: str, settings: Universe, document: Mapping[str, Any]
) -> dict[str, Any]:
    """What a universe draws, as the tables of a file."""
    drawn = _Draw(name, settings)
    groups = drawn.groups()
    members = {group: list(markets) for group, markets in groups.items()}
    seconds = [f"{name}.{quote}" for quote in settings.books]
    return {
        "assets": drawn.assets(),
        "markets": {k: v for markets in groups.values() for k, v in markets.items()},
        "groups": members
        | {f"{name}.second": [market for key in seconds for market in members[key]]},
        "oracles": drawn.oracles(),
        "rules": drawn.rules(document),
    }


def _steps(price: float, settings: Universe) -> tuple[str, str, int]:
    """Tick and lot, decimal, and the decimals of a base of this price.

    A tick is one of the last of so many digits of the price, a lot the largest power
    of ten worth less than ``lot_usd``; an atom is worth at least ``atom_usd``.
    """
    tick = Decimal(price).adjusted() + 1 - settings.digits
    lot = Decimal(settings.lot_usd / price).adjusted()
    finest = Decimal(price / settings.atom_usd).adjusted()
    return _power(tick), _power(lot), max(0, -lot, min(finest, DECIMALS_MAX))


def _power(exponent: int) -> str:
    return f"{10**exponent}" if exponent >= 0 else f"{10.0**exponent:.{-exponent}f}"


def _short(value: float) -> float:
    # Six digits: no figure of a market is known better.
    return float(f"{value:.6g}")
