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


class _Level(NamedTuple):
    # Assets whose indices can be computed at once, and what it takes.
    rows: NDArray[np.int64]
    weight: Floats
    factor: NDArray[np.int64]
    low: Floats
    high: Floats
    floor: Floats


class _Terms(NamedTuple):
    # Of each asset and source: the weight it had, its price, the index of its quote.
    share: Floats
    price: Floats
    rate: Floats


DRIVER = np.dtype(
    [
        ("asset", "<i4"),  # position in ``assets``
        ("driver", "<i4"),  # position in ``markets`` (MARKET) or ``assets`` (others)
        ("old", "<f8"),
        ("new", "<f8"),
        ("share", "<f8"),  # of the move it drove; above 1 if others went against it
        ("kind", "u1"),  # DriverKind
        ("pad", "V7"),
    ]
)
"""What moved one index most, 40 bytes."""


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
        # One row per asset, one column per term; a term not there has weight 0.
        # Inputs are last prices by market, outside prices by asset, and a 1.
        position = dict.fromkeys(("", NUMERAIRE), len(self.assets))
        position |= {asset: i for i, asset in enumerate(self.assets)}
        market = {name: i for i, name in enumerate(self.markets)}
        rules = list(self.rules.values())
        terms = [list(_terms(rule, self._pairs)) for rule in rules]
        shape = len(rules), max(map(len, terms), default=1)
        n_markets, n_assets = len(self.markets), len(rules)
        self._inputs = np.full(n_markets + n_assets + 1, nan)
        self._inputs[-1] = 1.0
        self._coefficient = np.ones(shape)
        self._source = np.full(shape, n_markets + n_assets)
        self._factor = np.full(shape, n_assets)
        self._inverse = np.zeros(shape, np.bool_)
        weight = np.zeros(shape)
        for i, row in enumerate(terms):
            for j, term in enumerate(row):
                weight[i, j] = term.weight
                self._coefficient[i, j] = term.coefficient
                self._factor[i, j] = position[term.factor]
                self._inverse[i, j] = term.inverse
                if term.kind is DriverKind.MARKET:
                    self._source[i, j] = market[term.name]
                elif term.kind is DriverKind.OUTSIDE:
                    self._source[i, j] = n_markets + i
        bands = np.array([inf if rule.band is None else rule.band for rule in rules])
        floors = np.array([rule.floor or 0.0 for rule in rules])
        depth = np.array([depths[asset] for asset in self.assets], np.int64)
        self._levels = []
        for k in range(int(depth.max(initial=-1)) + 1):
            rows = np.flatnonzero(depth == k)
            low, high = np.maximum(1.0 - bands[rows], 0.0), 1.0 + bands[rows]
            self._levels.append(
                _Level(rows, weight[rows], self._factor[rows], low, high, floors[rows])
            )
        # What the last update left: the index before and after it, its terms, what
        # each source and then each quote moved, and what of that is still held back.
        self._old = np.full(n_assets, nan)
        self._new = np.full(n_assets, nan)
        self._terms = _Terms(np.zeros(shape), np.zeros(shape), np.zeros(shape))
        self._pull = np.zeros((n_assets, 2 * shape[1]))
        self._pending = np.zeros_like(self._pull)
        self._fresh = np.zeros(n_assets, np.bool_)  # replaced, not yet updated
        self._replaced = np.zeros(n_assets, np.bool_)  # in the last update

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
        rows = np.flatnonzero((self._new != self._old) & ~np.isnan(self._old))
        pull, width = self._pull[rows], self._factor.shape[1]
        total = pull.sum(axis=1)
        old, new = self._old[rows], self._new[rows]
        best = np.argmax(pull * np.sign(new - old)[:, None], axis=1)
        through, term = np.divmod(best, width)
        source, factor = self._source[rows, term], self._factor[rows, term]
        n_markets = len(self.markets)
        market, index = source < n_markets, through == 1
        by_rule = self._replaced[rows] | (total == 0.0)
        found = np.zeros(len(rows), DRIVER)
        found["asset"], found["old"], found["new"] = rows, old, new
        kind, driver = found["kind"], found["driver"]
        kind[:] = np.where(market, int(DriverKind.MARKET), int(DriverKind.OUTSIDE))
        kind[index], kind[by_rule] = int(DriverKind.INDEX), int(DriverKind.RULE)
        driver[:] = np.where(market, source, source - n_markets)
        driver[index], driver[by_rule] = factor[index], rows[by_rule]
        found["share"] = np.divide(
            pull[np.arange(len(rows)), best], total, np.ones(len(rows)), where=~by_rule
        )
        return found

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
        index, old = self._index, self._index[:-1].copy()
        price = self._coefficient * self._inputs[self._source]
        turned = self._inverse & (price > 0.0)
        price[turned] = 1.0 / price[turned]
        share, rate, raw = np.zeros_like(price), np.zeros_like(price), old.copy()
        for rows, weights, factors, low, high, floor in self._levels:
            level_rate = index[factors]
            worth = price[rows] * level_rate
            there = worth > 0.0
            weight = np.where(there, weights, 0.0)
            total = weight.sum(axis=1)
            known = total > 0.0
            weight /= np.where(known, total, 1.0)[:, None]
            value = np.where(there, weight * worth, 0.0).sum(axis=1)
            held = old[rows]
            raw[rows] = value = np.where(known, value, held)
            value = np.fmin(np.fmax(value, held * low), held * high)
            index[rows] = np.where(known, np.maximum(value, floor), held)
            share[rows], rate[rows] = weight, np.where(there, level_rate, 0.0)
        price = np.where(share > 0.0, price, 0.0)
        self._old, self._new = old, index[:-1].copy()
        self._attribute(_Terms(share, price, rate), raw)
        return self._new.copy()

    def _attribute(self, terms: _Terms, raw: Floats) -> None:
        # ``raw`` is the index before band and floor. The sum of a row of ``pending``
        # is how far it is ahead of the index; what the index moved is taken off all
        # its causes alike.
        last = self._terms
        known = terms.share.any(axis=1)
        restart = self._fresh | np.isnan(self._old)
        self._replaced, self._fresh = self._fresh & known, self._fresh & ~known
        mean = 0.5 * (terms.share * terms.price + last.share * last.price)
        both = (terms.share > 0.0) & (last.share > 0.0)
        through = np.where(both, mean * (terms.rate - last.rate), 0.0)
        own = terms.share * terms.price * terms.rate
        own -= last.share * last.price * last.rate + through
        step = np.concatenate([own, through], axis=1)
        step[~known] = 0.0
        self._pull = self._pending + step
        self._pull[restart] = 0.0
        ahead = self._pull.sum(axis=1)
        left = np.ones(len(raw))
        np.divide(raw - self._new, ahead, out=left, where=known & (ahead != 0.0))
        # A floor above the first price was no move, so it may leave more than all.
        self._pending = self._pull * np.clip(left, 0.0, 1.0)[:, None]
        if known.all():
            self._terms = terms
        else:
            for now, before in zip(terms, last, strict=True):
                before[known] = now[known]

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
        board._old, board._new = self._old, self._new
        board._fresh = self._fresh | np.isin(self.assets, list(rules))
        same = ~board._fresh
        n = min(self._factor.shape[1], board._factor.shape[1])
        for now, before in zip(board._terms, self._terms, strict=True):
            now[same, :n] = before[same, :n]
        for half in (0, 1):
            a, b = half * board._factor.shape[1], half * self._factor.shape[1]
            board._pending[same, a : a + n] = self._pending[same, b : b + n]
        self.__dict__.update(board.__dict__)

    def _check(self) -> None:
        """Assert every invariant."""
        priced = ~np.isnan(self._index[:-1])
        assert (self._index[:-1][priced] > 0.0).all()
        assert self._index[-1] == 1.0
        order = np.concatenate([level.rows for level in self._levels])
        assert sorted(order.tolist()) == list(range(len(self.assets)))
        assert (self._terms.share.sum(axis=1) <= 1.0 + 1e-9).all()
        assert not np.isnan(self._pending).any()


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
