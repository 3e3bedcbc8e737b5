"""Index and mark prices of a venue, made from its books and the outside, and logged."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import repricing
from ..margin.funding import PremiumBoard
from ..margin.marks import MarkBoard, MarkRule
from ..margin.moves import Moves
from ..margin.prices import NUMERAIRE, SOURCES, IndexBoard, IndexRule, place_of
from ..orderbook.orders import PRICE_MAX
from .events import NO_CAUSE, EventLog
from .movers import Movers
from .units import Units, known

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STABLE = ("USDT", "USDC", "FDUSD", "USD")
"""Quote assets: worth one US dollar unless a rule says otherwise."""

REPRICED = 1e-4
"""An index or mark is logged when it moved by this share since it was last logged."""


class Pricing:
    """Prices of the last update, each with the event that moved it.

    ``index`` is US dollars of a unit of each asset, ``mark`` by market in its quote
    asset, NaN where there is none; ``outside`` are the prices elsewhere that rules may
    ask for. ``index_event`` and ``mark_event`` are the events of the last moves.
    """

    def __init__(
        self,
        units: Units,
        oracles: Mapping[str, IndexRule],
        log: EventLog,
        *,
        funding_ns: int,
        marks: MarkRule,
    ) -> None:
        n_assets, n_markets = len(units.assets), len(units.markets)
        self.units = units
        self.log = log
        spot = units.spot_pairs()
        rules = {a: oracles.get(a, default_rule(a, spot)) for a in units.assets}
        # What protocols say are prices in US dollars like those of books.
        self.places = places_of(rules)
        said = {place_of(*place): (place[1], NUMERAIRE) for place in self.places}
        self.board = IndexBoard(rules, spot | said)
        self.place_price = np.full(len(said), np.nan)
        self.place_event = np.full(len(said), NO_CAUSE, np.int64)
        self.timed = any(rule.stale is not None for rule in rules.values())
        self.traded_ns = np.zeros(n_markets, np.int64)  # if timed, by the last update
        self._trades = np.zeros(n_markets, np.int64)
        self._votes: dict[tuple[str, float], int] = {}  # the event of each
        self.mark_board = MarkBoard(n_markets, marks)
        self.premiums = PremiumBoard(n_markets)
        self.funding_ns = funding_ns
        self.funding_rate = np.zeros(n_markets)  # the last one that was settled
        self.start_ns = 0  # time of day, UTC, at time 0
        self.movers = Movers(units.base, log)
        self.index = np.full(n_assets, np.nan)
        self.outside = np.full(n_assets, np.nan)
        self.mark = np.full(n_markets, np.nan)
        self.outside_event = np.full(n_assets, NO_CAUSE, np.int64)
        self.index_event = np.full(n_assets, NO_CAUSE, np.int64)
        self.mark_event = np.full(n_markets, NO_CAUSE, np.int64)
        self.index_moves, self.mark_moves = Moves(n_assets), Moves(n_markets)
        self.rule_event = NO_CAUSE
        self._spot = np.array([units.market_number[m] for m in spot], np.int64)
        self._logged_index = self.index.copy()
        self._priced = False  # whether every asset has had an index
        self._logged_mark = self.mark.copy()
        self._words = {
            "index": np.array([log.word(name) for name in units.assets], np.int64),
            "mark": np.array([log.word(name) for name in units.markets], np.int64),
        }

    def replace(self, rules: Mapping[str, IndexRule], now: int) -> None:
        """Put index rules in place of the old; they count from the next update on."""
        self.board.replace(rules)
        if not self.timed and any(rule.stale is not None for rule in rules.values()):
            self.timed, self._trades = True, self.movers.trades()
            self.traded_ns[:] = now
        self.rule_event = self.log.add("rule", now, text=", ".join(rules))

    def vote(self, asset: str, price: float, now: int, event: int) -> None:
        """Open a vote on an index, which counts after the delay of its rule."""
        self.board.vote(asset, price, now)
        self._votes[asset, price] = event

    def update(self, top: NDArray[np.int64], now: int) -> None:
        """Compute new prices from the books' ``top`` and log what moved.

        O(markets + assets × sources).
        """
        units = self.units
        bid, ask, last = repricing.best(top, units.tick, 0.0)
        self.index = self.board.update(
            np.concatenate([last[self._spot], self.place_price]),
            self.outside,
            now,
            self._traded(now) if self.timed else None,
        )
        if self.board.decided:
            self._log_votes(now)
        moved_by = self.movers.all()
        self.movers.look()
        self._log_indices(now, moved_by)
        worth = self.index[units.base] / self.index[units.quote]
        elsewhere = np.nan
        if self.mark_board.rule.policy == "hyperliquid":
            elsewhere = self.outside[units.base] / self.outside[units.quote]
        gone = (now + self.start_ns) % self.funding_ns / self.funding_ns
        mark = self.mark_board.update(
            now,
            index=worth,
            bid=bid,
            ask=ask,
            last=last,
            elsewhere=elsewhere,
            funding_rate=self.funding_rate,
            time_fraction=1.0 - gone,
        )
        self.mark = np.where(units.perpetual, mark, np.nan)
        self.premiums.sample(now, worth, bid, ask)
        self._log_marks(now, moved_by)

    def risk_prices(
        self, index: Floats | None = None, mark: Floats | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Return US dollars of an atom, and of a lot at mark, and its quote atoms.

        Those of these index and mark prices, by default the last ones; without a price
        they are 0. One more axis in front gives as many sets of prices.
        """
        units = self.units
        usd = known(self.index if index is None else index) * units.atom
        marks = known(self.mark if mark is None else mark)
        lot_quote = np.asarray(marks / units.tick * units.quote_unit)
        return usd, lot_quote * usd[..., units.quote], lot_quote

    def trigger_ticks(self) -> NDArray[np.int64]:
        """Return mark and index of each market in ticks, two rows; 0 for none."""
        units = self.units
        index = self.index[units.base] / self.index[units.quote]
        ticks = known(np.array([self.mark, index]) / units.tick)
        return np.clip(np.rint(ticks), 0, PRICE_MAX).astype(np.int64)

    def _traded(self, now: int) -> NDArray[np.int64]:
        # When spot markets traded last, to the second of an update.
        trades = self.movers.trades()
        self.traded_ns[trades != self._trades] = now
        self._trades = trades
        return self.traded_ns[self._spot]

    def _log_votes(self, now: int) -> None:
        # A vote counts as a new rule, from the update on in which it sets the index.
        for vote in self.board.decided:
            cause = self._votes.pop(vote, NO_CAUSE)
            self.rule_event = self.log.add("rule", now, cause, text=f"{vote[0]}, voted")

    def _log_indices(self, now: int, moved_by: NDArray[np.int64]) -> None:
        drivers = self.board.drivers
        rows, causes, old = repricing.index_moves(
            drivers,
            self._logged_index,
            REPRICED,
            self.log.next_id,
            self.rule_event,
            self.outside_event,
            np.concatenate([moved_by[self._spot], self.place_event]),
            self.index_event,
        )
        if len(rows):
            moved = drivers[rows]
            assets = moved["asset"]
            words = self._words["index"][assets]
            moves = {"asset": assets, "old": old, "value": moved["new"]}
            first = self.log.add_many("index", now, causes, text=words, **moves)
            own, events = self.movers.follow(first, causes), self.index_event[assets]
            self.index_moves.take(assets, moved["new"] - old, events, own, first)
        # The first price of an asset is no repricing.
        if not self._priced:
            fresh = np.isnan(self._logged_index)
            self._logged_index[fresh] = self.index[fresh]
            self._priced = not np.isnan(self._logged_index).any()

    def _log_marks(self, now: int, moved_by: NDArray[np.int64]) -> None:
        markets, old = repricing.mark_moves(
            self.mark, self._logged_mark, REPRICED, self.log.next_id, self.mark_event
        )
        if len(markets):
            change = self.mark[markets] - old
            causes = self._mark_causes(markets, change, moved_by)
            words = self._words["mark"][markets]
            moves = {"market": markets, "old": old, "value": self.mark[markets]}
            first = self.log.add_many("mark", now, causes, text=words, **moves)
            own, events = self.movers.follow(first, causes), self.mark_event[markets]
            self.mark_moves.take(markets, change, events, own, first)

    def _mark_causes(
        self, markets: Integers, change: Floats, moved_by: Integers
    ) -> Integers:
        # A mark goes where the index of its base went, or its book, whichever did last.
        base = self.units.base[markets]
        index, when = self.index_moves.last(base, change)
        book, later = self.movers.moves.last(markets, change)
        cause = np.where(when >= later, index, book)
        before = self.index_event[base]
        before = np.where(before, before, moved_by[markets])
        return np.where(cause, cause, before)


def places_of(rules: Mapping[str, IndexRule]) -> list[tuple[str, str]]:
    """Return the places that index rules name, as ``feeds.USDE``, and of which asset.

    They are in the order of the rules, each once.
    """
    named = [
        (source, asset)
        for asset, rule in rules.items()
        for _, source in rule.named
        if source.partition(".")[0] in SOURCES
    ]
    return list(dict.fromkeys(named))


def default_rule(asset: str, spot: Mapping[str, tuple[str, str]]) -> IndexRule:
    """Return the index rule of an asset for which none is given."""
    if asset in STABLE:
        return IndexRule(policy="fixed", value=1.0)
    for name, (base, quote) in spot.items():
        if base == asset and quote in STABLE:
            return IndexRule(policy="own_book", market=name)
    return IndexRule(policy="outside")
