"""Index prices from rules that are data.

The index of an asset is its US-dollar price as collateral. Which market, conversion
ratio or outside price it comes from is a rule of the venue, and the one that decides
who is liquidated when a single book breaks.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import IntEnum
from math import inf, isnan, nan
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from ..cython_ext import indices
from . import composed
from .feeds import Seen
from .oracles import VOTE, PriceRule, Problems, is_positive
from .presets import RulesError, nearest
from .schedule import Floats

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


SOURCES = ("pools", "feeds", "issuers", "staking", "vaults")
"""Tables of a scenario whose entries say prices, named by table and entry."""


@attrs.frozen(kw_only=True)
class IndexRule(PriceRule):
    """How a price is made of one asset: an index, or what a lending market is told.

    ``own_book`` is the last price of ``market`` times the index of its quote asset;
    ``redemption`` is ``ratio`` times the index of ``underlying``; ``implied`` is what
    ``market``, which is quoted in the asset, makes of the index of its base (a stable
    coin by BTC/USDT, as on Bybit); ``outside`` is the outside market's price;
    ``fixed`` is ``value``; ``mix`` weighs ``sources``, each the name of a market, of
    another policy, or of a place such as ``pools.curve``. Parameters of policies not
    chosen may be present, so that changing ``policy`` alone is a whole what-if.

    What is then made of it is up to the other keys: see `oracles`. An index that they
    call stale or frozen stays what it was.
    """

    policy: str = "mix"
    market: str | None = None
    ratio: float | None = None
    underlying: str | None = None

    @property
    def parts(self) -> Mapping[str, float]:
        """The sources that count, with their weights."""
        return self.sources if self.policy == "mix" else {self.policy: 1.0}

    @property
    def named(self) -> Iterator[tuple[str, str]]:
        """Markets and places that it is made of, each with the key that names it."""
        for source in self.parts:
            if source in ("own_book", "implied"):
                yield "market", self.market or ""
            elif source not in POLICIES:
                yield "sources", source
        if self.anchor is not None and self.anchor not in POLICIES:
            yield "anchor", self.anchor

    def problems(self) -> Problems:
        """What is wrong with the rule by itself: (field, message) of each fault."""
        found: Problems = []
        if self.policy not in POLICIES:
            text = f"{self.policy!r} is not a policy{nearest(self.policy, POLICIES)}"
            return [("policy", text), *super().problems()]
        used = [self.policy, *(name for name in self.parts if name != self.policy)]
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
                    many = name == "sources"
                    what = "have at least one, with its weight," if many else "be given"
                    found.append((name, f"must {what} for policy {policy!r}"))
        if self.ratio is not None and not is_positive(self.ratio):
            found.append(("ratio", f"must be a number above 0 (got {self.ratio!r})"))
        return found + super().problems()


def _terms(
    asset: str, rule: IndexRule, pairs: Mapping[str, tuple[str, str]]
) -> Iterator[_Term]:
    # Every policy is a weighted sum; only a mix has more than one term. An anchor has
    # a price and no weight.
    for name, weight in rule.parts.items():
        yield _term(name, weight, asset, rule, pairs)
    if rule.anchor is not None:
        yield _term(rule.anchor, 0.0, asset, rule, pairs)


def _term(
    name: str,
    weight: float,
    asset: str,
    rule: IndexRule,
    pairs: Mapping[str, tuple[str, str]],
) -> _Term:
    if name == "redemption":
        return _Term(weight, None, "", rule.ratio or nan, rule.underlying or "")
    if name == "outside":
        return _Term(weight, DriverKind.OUTSIDE, "", 1.0, "")
    if name == "fixed":
        return _Term(weight, None, "", rule.value or nan, "")
    market = rule.market or "" if name in ("own_book", "implied") else name
    if market.partition(".")[0] in SOURCES:
        # What a place says is of one asset, in US dollars.
        market = place_of(market, asset)
    base, quote = pairs.get(market, ("", ""))
    if name == "implied":
        return _Term(weight, DriverKind.MARKET, market, 1.0, base, inverse=True)
    return _Term(weight, DriverKind.MARKET, market, 1.0, quote)


def place_of(place: str, asset: str) -> str:
    """The name under which a board has what a place says of an asset."""
    return f"{place} of {asset}"


def dangling(
    asset: str,
    rule: IndexRule,
    pairs: Mapping[str, tuple[str, str]],
    assets: Collection[str],
) -> Iterator[tuple[str, str]]:
    """What a sound rule names that is not there: (field, message) of each fault.

    ``pairs`` are markets by name: base, quote; ``assets`` those with an index.
    """
    where = "sources" if rule.policy == "mix" else "market"
    known = [*assets, NUMERAIRE, ""]
    for term in _terms(asset, rule, pairs):
        field = where if term.weight else "anchor"
        if term.kind is DriverKind.MARKET:
            if term.name not in pairs:
                near = nearest(term.name, pairs)
                yield field, f"{term.name!r} is not a market{near}"
            elif pairs[term.name][term.inverse] != asset:
                what = "quoted in" if term.inverse else "a market of"
                yield field, f"{term.name!r} is not {what} {asset}"
            elif term.factor not in known:
                what = "a market of" if term.inverse else "quoted in"
                text = f"{term.name!r} is {what} {term.factor}"
                yield field, f"{text}, which has no index rule"
        elif term.factor not in known:
            near = nearest(term.factor, known)
            yield "underlying", f"{term.factor!r} has no index rule{near}"


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
            faults = rule.problems() or dangling(asset, rule, self._pairs, self.assets)
            problems += [(f"{asset}.{field}", text) for field, text in faults]
        depths: dict[str, int] = {}
        if not problems:
            for asset in self.assets:
                self._depth(asset, (), depths, problems)
        if problems:
            raise RulesError(problems)
        return depths

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
                for term in _terms(asset, self.rules[asset], self._pairs)
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
        terms = [list(_terms(a, r, self._pairs)) for a, r in self.rules.items()]
        n_markets, n_assets = len(self.markets), len(rules)
        self._inputs = np.full(n_markets + n_assets + 1, nan)
        self._inputs[-1] = 1.0
        self._rows = rows = np.zeros(n_assets, indices.ROW)
        rows["terms"] = [len(some) for some in terms]
        rows["first"] = np.cumsum(rows["terms"]) - rows["terms"]
        plain = [rule if rule.plain else IndexRule() for rule in rules]
        band = np.array([inf if rule.band is None else rule.band for rule in plain])
        rows["low"], rows["high"] = np.maximum(1.0 - band, 0.0), 1.0 + band
        rows["floor"] = [rule.floor or 0.0 for rule in plain]
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
        # By the asset's number: feeds, and what votes have set.
        self._feeds = {
            i: composed.feed_of(rule) for i, rule in enumerate(rules) if not rule.plain
        }
        self._voted: dict[int, float] = {}
        self.decided: list[tuple[str, float]] = []

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
        now_ns: int = 0,
        traded_ns: NDArray[np.int64] | None = None,
    ) -> Floats:
        """The new indices, in the order of ``assets``.  O(assets × sources).

        ``last_prices`` is by market in its quote asset, ``outside`` by asset in US
        dollars: arrays in the order of ``markets`` and ``assets``, or mappings; what
        a mapping does not name stays as it was. ``now_ns`` and ``traded_ns``, when
        the first markets traded last, are for rules that look at the time.
        """
        n_markets = len(self.markets)
        _read(self._inputs[:n_markets], self.markets, last_prices)
        if outside is not None:
            _read(self._inputs[n_markets:-1], self.assets, outside)
        self._compute(now_ns, traded_ns)
        return self.index

    def _compute(self, now_ns: int, traded_ns: NDArray[np.int64] | None) -> None:
        done, arrays = 0, (self._inputs, self._index)
        self.decided.clear()
        if self._feeds:
            for k, asset in enumerate(self._order.tolist()):
                if asset in self._feeds:
                    some = self._order[done : k + 1]
                    indices.update(self._rows, self._terms, some, *arrays)
                    self._compose(asset, now_ns, traded_ns)
                    done = k + 1
        indices.update(self._rows, self._terms, self._order[done:], *arrays)

    def _compose(
        self, i: int, now_ns: int, traded_ns: NDArray[np.int64] | None
    ) -> None:
        # The index of an asset by its feed, from the mean that was just computed.
        rule, terms = self.rules[self.assets[i]], self._terms[self._own(i)]
        mean, old = float(self._index[i]), float(self._rows["old"][i])
        seen: Seen = {composed.MEAN: mean}
        if not rule.plain:
            worth = composed.worths(terms, self._inputs, self._index)
            seen = composed.seen_of(rule, terms, worth, now_ns, traded_ns)
        # Before there is any price there is nothing to look back to.
        if not isnan(mean):
            self._feeds[i] = composed.after(rule, self._feeds[i], seen, now_ns)
        price = self._feeds[i].read(now_ns)
        value = price.value if price.live else mean if isnan(old) else old
        if value != mean:
            composed.settle(terms, old, value)
            self._index[i] = self._rows["new"][i] = value
        if composed.is_voted(price) and self._voted.get(i) != value:
            self._voted[i] = value
            self.decided.append((self.assets[i], value))
            self._rows["replaced"][i] = True

    def vote(self, asset: str, price: float, now_ns: int) -> None:
        """Let governance set an index, in US dollars, after its rule's ``vote_delay``.

        It stays until the rule is replaced or another vote counts. ``decided`` has
        what the last update brought into force; such a move has kind RULE.
        """
        i = self._number(asset)
        feed = self._feeds.get(i) or composed.feed_of(self.rules[asset])
        self._feeds[i] = feed.after({VOTE: price}, now_ns)

    def replace(self, rules: Mapping[str, IndexRule]) -> None:
        """Put other rules in place of those of some assets, from the next update on.

        A RulesError changes nothing. The move that follows has kind RULE; the state
        of all other assets goes on.
        """
        replaced = {self._number(asset) for asset in rules}
        board = IndexBoard(self.rules | dict(rules), self._pairs)
        board._index, board._inputs = self._index, self._inputs
        for name in ("old", "new", "fresh"):
            board._rows[name] = self._rows[name]
        board._rows["fresh"] |= np.isin(self.assets, list(rules))
        for i in np.flatnonzero(board._rows["fresh"] == 0).tolist():
            board._terms[board._own(i)] = self._terms[self._own(i)]
        kept = {i: feed for i, feed in self._feeds.items() if i not in replaced}
        board._feeds |= kept
        board._voted = {i: p for i, p in self._voted.items() if i not in replaced}
        self.__dict__.update(board.__dict__)

    def _number(self, asset: str) -> int:
        if asset not in self.rules:
            text = f"has no index here{nearest(asset, self.assets)}"
            raise RulesError([(asset, text)])
        return self.assets.index(asset)

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
