"""Index and mark prices of a venue, made from its books and the outside, and logged."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..margin.funding import PremiumBoard
from ..margin.marks import MarkBoard, MarkRule
from ..margin.prices import DriverKind, IndexBoard, IndexRule
from ..orderbook.orders import PRICE_MAX
from .events import NO_CAUSE, EventLog
from .movers import Movers
from .units import Units, known

Floats = NDArray[np.float64]

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
        self.board = IndexBoard(rules, spot)
        self.mark_board = MarkBoard(n_markets, marks)
        self.premiums = PremiumBoard(n_markets)
        self.funding_ns = funding_ns
        self.funding_rate = np.zeros(n_markets)  # the last one that was settled
        self.start_ns = 0  # time of day, UTC, at time 0
        self.movers = Movers(n_markets)
        self.index = np.full(n_assets, np.nan)
        self.outside = np.full(n_assets, np.nan)
        self.mark = np.full(n_markets, np.nan)
        self.outside_event = [NO_CAUSE] * n_assets
        self.index_event = [NO_CAUSE] * n_assets
        self.mark_event = [NO_CAUSE] * n_markets
        self.rule_event = NO_CAUSE
        self._spot = np.array([units.market_number[m] for m in spot], np.int64)
        self._logged_index = self.index.copy()
        self._logged_mark = self.mark.copy()
        self._words = {
            "index": np.array([log.word(name) for name in units.assets], np.int64),
            "mark": np.array([log.word(name) for name in units.markets], np.int64),
        }

    def replace(self, rules: Mapping[str, IndexRule], now: int) -> None:
        """Put index rules in place of the old; they count from the next update on."""
        self.board.replace(rules)
        self.rule_event = self.log.add("rule", now, text=", ".join(rules))

    def update(self, top: NDArray[np.int64], now: int) -> None:
        """Compute new prices from the books' ``top`` and log what moved.

        O(markets + assets × sources).
        """
        units = self.units
        prices = top[:, [0, 2, 4]] * units.tick[:, None]
        bid, ask, last = prices[:, 0], prices[:, 1], prices[:, 2]
        self.index = self.board.update(last[self._spot], self.outside)
        self._log_indices(now)
        worth = self.index[units.base] / self.index[units.quote]
        gone = (now + self.start_ns) % self.funding_ns / self.funding_ns
        mark = self.mark_board.update(
            now,
            index=worth,
            bid=bid,
            ask=ask,
            last=last,
            elsewhere=self.outside[units.base] / self.outside[units.quote],
            funding_rate=self.funding_rate,
            time_fraction=1.0 - gone,
        )
        self.mark = np.where(units.perpetual, mark, np.nan)
        self.premiums.sample(now, worth, bid, ask)
        self._log_marks(now)
        self.movers.look()

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

    def _log_indices(self, now: int) -> None:
        moved = self.board.drivers
        old = self._logged_index[moved["asset"]]
        far = ~(np.abs(moved["new"] - old) < REPRICED * old)
        if far.any():
            moved, assets = moved[far], moved["asset"][far]
            causes = self._index_causes(moved)
            self._log_moves("index", now, causes, assets, old[far], moved["new"])
            self._logged_index[assets] = moved["new"]
        # The first price of an asset is no repricing.
        fresh = np.isnan(self._logged_index)
        self._logged_index[fresh] = self.index[fresh]

    def _index_causes(self, moved: NDArray[np.void]) -> NDArray[np.int64]:
        # Of indices that moved and will be logged in this order.
        assets, driver, kind = moved["asset"], moved["driver"], moved["kind"]
        causes = np.full(len(assets), self.rule_event, np.int64)
        for found, event in (
            (DriverKind.OUTSIDE, np.asarray(self.outside_event, np.int64)),
            (DriverKind.MARKET, self.movers.all()[self._spot]),
        ):
            own = kind == found
            causes[own] = event[driver[own]]
        # The event of an index that drives another comes before it if it is logged.
        before = np.asarray(self.index_event, np.int64)
        after = before.copy()
        after[assets] = self.log.next_id + np.arange(len(assets))
        own = kind == DriverKind.INDEX
        other = driver[own]
        causes[own] = np.where(other < assets[own], after[other], before[other])
        return causes

    def _log_marks(self, now: int) -> None:
        old = self._logged_mark
        moved = np.abs(self.mark - old) >= REPRICED * old
        markets = np.flatnonzero(moved)
        if len(markets):
            # A mark follows the index; if its base was not repriced, the book.
            causes = np.asarray(self.index_event, np.int64)[self.units.base[markets]]
            causes = np.where(causes == NO_CAUSE, self.movers.all()[markets], causes)
            new = self.mark[markets]
            self._log_moves("mark", now, causes, markets, old[markets], new)
        fresh = moved | np.isnan(old)
        self._logged_mark[fresh] = self.mark[fresh]

    def _log_moves(
        self,
        kind: str,
        now: int,
        causes: NDArray[np.int64],
        numbers: NDArray[np.int64],
        old: Floats,
        new: Floats,
    ) -> None:
        # ``numbers`` are those of assets for an index, of markets for a mark.
        what, events = "asset", self.index_event
        if kind == "mark":
            what, events = "market", self.mark_event
        moves = {what: numbers, "old": old, "value": new}
        words = self._words[kind][numbers]
        first = self.log.add_many(kind, now, causes, text=words, **moves)
        for event, number in enumerate(numbers.tolist(), first):
            events[number] = event


def default_rule(asset: str, spot: Mapping[str, tuple[str, str]]) -> IndexRule:
    """Return the index rule of an asset for which none is given."""
    if asset in STABLE:
        return IndexRule(policy="fixed", value=1.0)
    for name, (base, quote) in spot.items():
        if base == asset and quote in STABLE:
            return IndexRule(policy="own_book", market=name)
    return IndexRule(policy="outside")
