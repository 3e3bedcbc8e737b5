"""Index prices from rules that are data.

The index of an asset is its US-dollar price as collateral. Which market, conversion
ratio or outside price it comes from is a rule of the venue, and the one that decides
who is liquidated when a single book breaks.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from math import inf, nan
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from ..cython_ext import indices
from .presets import RulesError, nearest
from .schedule import Floats, is_number

Problems = list[tuple[str, str]]

POLICIES = ("own_book", "mix", "redemption", "implied", "outside", "fixed")
"""Where an index may come from; each is explained by `IndexRule`."""

NUMERAIRE = "USD"
"""What indices are stated in; worth 1, unless it has a rule of its own."""


class DriverKind(IntEnum):
    """What moved an index."""

    MARKET = 0
    OUTSIDE = 1
    INDEX = 2
    RULE = 3


class _Term(NamedTuple):
    # weight × coefficient × price of what ``kind`` and ``name`` say × index of
    # ``factor``; no kind has price 1, no factor index 1. ``inverse``: 1 / price.
    weight: float
    kind: DriverKind | None
    name: str
    coefficient: float
    factor: str
    inverse: bool = False


@attrs.frozen(kw_only=True)
class IndexRule:
    """How the index of one asset is made.

    ``own_book`` is the last price of ``market`` times the index of its quote asset;
    ``redemption`` is ``ratio`` times the index of ``underlying``; ``implied`` is what
    ``market``, which is quoted in the asset, makes of the index of its base (a stable
    coin by BTC/USDT, as on Bybit); ``outside`` is the outside market's price;
    ``fixed`` is ``value``; ``mix`` weighs ``sources``, each the name of a market or of
    another policy. Parameters of policies not chosen may
    be present, so that changing ``policy`` alone is a whole what-if.

    ``band`` limits a move to that share of the last index at each update; ``floor``
    is a minimum in US dollars and comes after it.
    """

    policy: str
    market: str | None = None
    sources: Mapping[str, float] = attrs.field(factory=dict)
    ratio: float | None = None
    underlying: str | None = None
    value: float | None = None
    floor: float | None = None
    band: float | None = None

    def problems(self) -> Problems:
        """What is wrong with the rule by itself: (field, message) of each fault."""
        found: Problems = []
        if self.policy not in POLICIES:
            text = f"{self.policy!r} is not a policy{nearest(self.policy, POLICIES)}"
            found.append(("policy", text))
        used = [self.policy, *(self.sources if self.policy == "mix" else ())]
        needs = {
            "own_book": ("market",),
            "implied": ("market",),
            "mix": ("sources",),
            "redemption": ("ratio", "underlying"),
            "fixed": ("value",),
        }
        for policy in used:
            for name in needs.get(policy, ()):
                if getattr(self, name) in (None, {}):
                    found.append((name, f"must be given for policy {policy!r}"))
        for name in ("ratio", "value", "floor", "band"):
            number = getattr(self, name)
            if number is not None and not (is_number(number) and 0.0 < number < inf):
                found.append((name, f"must be a number above 0 (got {number!r})"))
        for source, weight in self.sources.items():
            if not (is_number(weight) and 0.0 < weight < inf):
                text = f"weight of {source!r} must be a number above 0 (got {weight!r})"
                found.append(("sources", text))
        if self.sources and all(map(is_number, self.sources.values())):
            total = sum(self.sources.values())
            if not abs(total - 1.0) <= 1e-9:
                found.append(("sources", f"weights must sum to 1 (got {total:.12g})"))
        return found


def _terms(rule: IndexRule, pairs: Mapping[str, tuple[str, str]]) -> Iterator[_Term]:
    # Every policy is a weighted sum; only a mix has more than one term.
    sources = rule.sources if rule.policy == "mix" else {rule.policy: 1.0}
    for name, weight in sources.items():
        if name == "redemption":
            yield _Term(weight, None, "", rule.ratio or nan, rule.underlying or "")
        elif name == "outside":
            yield _Term(weight, DriverKind.OUTSIDE, "", 1.0, "")
        elif name == "fixed":
            yield _Term(weight, None, "", rule.value or nan, "")
        elif name == "implied":
            market = rule.market or ""
            base = pairs.get(market, ("", ""))[0]
            yield _Term(weight, DriverKind.MARKET, market, 1.0, base, inverse=True)
        else:
            market = rule.market or "" if name == "own_book" else name
            quote = pairs.get(market, ("", ""))[1]
            yield _Term(weight, DriverKind.MARKET, market, 1.0, quote)


DRIVER = indices.DRIVER
"""What moved one index most, 40 bytes.

``asset`` is its position in ``assets``, ``driver`` one in ``markets`` (kind MARKET) or
``assets``, ``kind`` a `DriverKind`; ``share`` is of the move, above 1 if others went
against it.
"""


class IndexBoard:
    """The indices of all assets, computed in order of dependency.

    Prices of 0, below 0 or NaN count as missing: a source without a price gives its
    weight to the others, and an index without any source stays what it was. An asset
    never priced has index NaN.
    """

    def __init__(
        self, rules: Mapping[str, IndexRule], markets: Mapping[str, tuple[str, str]]
    ) -> None:
        """Check the rules against the markets (name: base, quote) and lay them out.

        Raises one RulesError with every problem: unknown policies, markets and
        assets, missing parameters, indices that depend on themselves.
        """
        self.rules = dict(rules)
        self.assets = tuple(rules)
        self.markets = tuple(markets)
        self._pairs = dict(markets)
        self._index = np.full(len(self.assets) + 1, nan)
        self._index[-1] = 1.0
        depths = self._check_rules()
        self._lay_out(depths)

    def _check_rules(self) -> dict[str, int]:
        problems: Problems = []
        for asset, rule in self.rules.items():
            faults = rule.problems() or self._dangling(asset, rule)
            problems += [(f"{asset}.{field}", text) for field, text in faults]
        depths: dict[str, int] = {}
        if not problems:
            for asset in self.assets:
                self._depth(asset, (), depths, problems)
        if problems:
            raise RulesError(problems)
        return depths

    def _dangling(self, asset: str, rule: IndexRule) -> Iterator[tuple[str, str]]:
        where = "sources" if rule.policy == "mix" else "market"
        for term in _terms(rule, self._pairs):
            known = [*self.assets, NUMERAIRE, ""]
            if term.kind is DriverKind.MARKET:
                if term.name not in self._pairs:
                    near = nearest(term.name, self.markets)
                    yield where, f"{term.name!r} is not a market{near}"
                elif self._pairs[term.name][term.inverse] != asset:
                    what = "quoted in" if term.inverse else "a market of"
                    yield where, f"{term.name!r} is not {what} {asset}"
                elif term.factor not in known:
                    what = "a market of" if term.inverse else "quoted in"
                    text = f"{term.name!r} is {what} {term.factor}"
                    yield where, f"{text}, which has no index rule"
            elif term.factor not in known:
                near = nearest(term.factor, known)
                yield "underlying", f"{term.factor!r} has no index rule{near}"

    def _depth(
        self, asset: str, path: tuple[str, ...], depths: dict[str, int], found: Problems
    ) -> int:
        # How many indices have to be known before this one.
        if asset not in self.rules:
            return -1
        if asset in path:
            cycle = " -> ".join((*path[path.index(asset) :], asset))
            text = f"index depends on itself: {cycle}; give one of them another policy"
            found.append((asset, text))
            return 0
        if asset not in depths:
            before = [
                self._depth(term.factor, (*path, asset), depths, found)
                for term in _terms(self.rules[asset], self._pairs)
            ]
            depths[asset] = 1 + max(before)
        return depths[asset]

    def _lay_out(self, depths: Mapping[str, int]) -> None:
        # A row of each asset, its terms one after another. Inputs are last prices by
        # market, outside prices by asset, and a 1.
        position = dict.fromkeys(("", NUMERAIRE), len(self.assets))
        position |= {asset: i for i, asset in enumerate(self.assets)}
        market = {name: i for i, name in enumerate(self.markets)}
        rules = list(self.rules.values())
        terms = [list(_terms(rule, self._pairs)) for rule in rules]
        n_markets, n_assets = len(self.markets), len(rules)
        self._inputs = np.full(n_markets + n_assets + 1, nan)
        self._inputs[-1] = 1.0
        self._rows = rows = np.zeros(n_assets, indices.ROW)
        rows["terms"] = [len(some) for some in terms]
        rows["first"] = np.cumsum(rows["terms"]) - rows["terms"]
        band = np.array([inf if rule.band is None else rule.band for rule in rules])
        rows["low"], rows["high"] = np.maximum(1.0 - band, 0.0), 1.0 + band
        rows["floor"] = [rule.floor or 0.0 for rule in rules]
        rows["old"] = rows["new"] = nan
        self._terms = np.zeros(int(rows["terms"].sum()), indices.TERM)
        every = ((i, term) for i, some in enumerate(terms) for term in some)
        for row, (i, term) in zip(self._terms, every, strict=True):
            row["weight"], row["coefficient"] = term.weight, term.coefficient
            row["factor"], row["inverse"] = position[term.factor], term.inverse
            row["source"] = n_markets + n_assets
            if term.kind is DriverKind.MARKET:
                row["source"] = market[term.name]
            elif term.kind is DriverKind.OUTSIDE:
                row["source"] = n_markets + i
        depth = np.array([depths[asset] for asset in self.assets], np.int64)
        self._order = np.argsort(depth, kind="stable")

    # -- QUERIES

    @property
    def index(self) -> Floats:
        """US dollars of one unit of each asset, in the order of ``assets``; a copy."""
        return self._index[:-1].copy()

    @property
    def drivers(self) -> NDArray[np.void]:
        """What moved each index the last update changed: DRIVER rows.  O(assets).

        The move of a term, price × index of its quote, is split between the two by
        the mean of old and new, which is exact. A move that a band or floor holds
        back stays with its cause until it is let go.
        """
        return indices.drivers(self._rows, self._terms, len(self.markets))

    # -- COMMANDS

    def update(
        self,
        last_prices: Mapping[str, float] | Floats,
        outside: Mapping[str, float] | Floats | None = None,
    ) -> Floats:
        """The new indices, in the order of ``assets``.  O(assets × sources).

        ``last_prices`` is by market in its quote asset, ``outside`` by asset in US
        dollars: arrays in the order of ``markets`` and ``assets``, or mappings; what
        a mapping does not name stays as it was.
        """
        n_markets = len(self.markets)
        _read(self._inputs[:n_markets], self.markets, last_prices)
        if outside is not None:
            _read(self._inputs[n_markets:-1], self.assets, outside)
        indices.update(self._rows, self._terms, self._order, self._inputs, self._index)
        return self.index

    def replace(self, rules: Mapping[str, IndexRule]) -> None:
        """Put other rules in place of those of some assets, from the next update on.

        A RulesError changes nothing. The move that follows has kind RULE; the state
        of all other assets goes on.
        """
        for asset in rules:
            if asset not in self.rules:
                text = f"has no index here{nearest(asset, self.assets)}"
                raise RulesError([(asset, text)])
        board = IndexBoard(self.rules | dict(rules), self._pairs)
        board._index, board._inputs = self._index, self._inputs
        for name in ("old", "new", "fresh"):
            board._rows[name] = self._rows[name]
        board._rows["fresh"] |= np.isin(self.assets, list(rules))
        for i in np.flatnonzero(board._rows["fresh"] == 0).tolist():
            board._terms[board._own(i)] = self._terms[self._own(i)]
        self.__dict__.update(board.__dict__)

    def _own(self, asset: int) -> slice:
        # Where the terms of an asset are.
        first, terms = self._rows["first"][asset], self._rows["terms"][asset]
        return slice(int(first), int(first + terms))

    def _check(self) -> None:
        """Assert every invariant."""
        priced = ~np.isnan(self._index[:-1])
        assert (self._index[:-1][priced] > 0.0).all()
        assert self._index[-1] == 1.0
        assert sorted(self._order.tolist()) == list(range(len(self.assets)))
        whole = np.add.reduceat(self._terms["share"], self._rows["first"])
        assert (whole <= 1.0 + 1e-9).all()
        for name in ("own_pending", "through_pending"):
            assert not np.isnan(self._terms[name]).any()


def _read(
    inputs: Floats, names: tuple[str, ...], values: Mapping[str, float] | Floats
) -> None:
    if not isinstance(values, Mapping):
        inputs[:] = values
        return
    position = {name: i for i, name in enumerate(names)}
    for name, value in values.items():
        if name not in position:
            raise ValueError(f"{name!r} has no place here{nearest(name, names)}")
        inputs[position[name]] = value
