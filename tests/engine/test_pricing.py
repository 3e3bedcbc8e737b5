"""Prices are logged for all assets at once as they would be one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from phases import UNTRACED

from flashwick.engine.events import NO_CAUSE, EventLog
from flashwick.engine.pricing import REPRICED, Pricing
from flashwick.engine.units import Units
from flashwick.margin.marks import MarkRule
from flashwick.margin.prices import DriverKind, IndexRule
from flashwick.orderbook.orders import FILL, RESULT, messages

MARKETS = ("A/USDT", "B/A", "C/USDT", "A/USDT:PERP", "C/USDT:PERP")
RULES = {
    "A": IndexRule(policy="own_book", market="A/USDT"),
    "B": IndexRule(policy="own_book", market="B/A"),  # moves with A
    "C": IndexRule(policy="mix", sources={"C/USDT": 0.5, "outside": 0.5}),
    "D": IndexRule(policy="redemption", ratio=2.0, underlying="E"),
    "E": IndexRule(policy="outside"),
}


class OneByOne(Pricing):
    """The same in loops, as the words say it."""

    # By asset and whether it rose: the event of the last move, and the first then.
    last: dict[tuple[int, bool], tuple[int, int]]

    def _log_indices(self, now: int, moved_by: NDArray[np.int64]) -> None:
        began, self.last = self.log.next_id, getattr(self, "last", {})
        for row in self.board.drivers:
            a, kind, number = (int(row[key]) for key in ("asset", "kind", "driver"))
            new, old = float(row["new"]), float(self._logged_index[a])
            if abs(new - old) < REPRICED * old:
                continue
            cause = self.rule_event
            if kind == DriverKind.MARKET:
                cause = self.movers.of(int(self._spot[number]))
            elif kind == DriverKind.OUTSIDE:
                cause = self.outside_event[number]
            elif kind == DriverKind.INDEX:
                cause = self.index_event[number]
            text = f"{self.units.assets[a]} {old:g} -> {new:g}"
            self.last[a, new > old] = self.log.next_id, began
            self.index_event[a] = self.log.add(
                "index", now, cause, asset=a, value=new, text=text
            )
            self._logged_index[a] = new
        fresh = np.isnan(self._logged_index)
        self._logged_index[fresh] = self.index[fresh]

    def _log_marks(self, now: int, moved_by: NDArray[np.int64]) -> None:
        old = self._logged_mark
        moved = np.abs(self.mark - old) >= REPRICED * old
        for m in np.flatnonzero(moved).tolist():
            base = int(self.units.base[m])
            # What went the same way last: the index of its base, or its book.
            rose = bool(self.mark[m] > old[m])
            index, when = self.last.get((base, rose), (NO_CAUSE, 0))
            change = np.array([1.0 if rose else -1.0])
            book, later = self.movers.moves.last(np.array([m]), change)
            cause = index if when >= later[0] else int(book[0])
            cause = cause or self.index_event[base] or int(moved_by[m])
            text = f"{self.units.markets[m]} {old[m]:g} -> {self.mark[m]:g}"
            self.mark_event[m] = self.log.add(
                "mark", now, cause, market=m, value=float(self.mark[m]), text=text
            )
        fresh = moved | np.isnan(old)
        self._logged_mark[fresh] = self.mark[fresh]


def pricing(kind: type[Pricing]) -> Pricing:
    """Of five markets, under rules of every kind."""
    units = Units.of(MARKETS, {}, RULES)
    marks = MarkRule(policy="binance")
    return kind(units, RULES, EventLog(), funding_ns=10**12, marks=marks)


steps = st.lists(
    st.tuples(
        st.lists(  # trades: market, price
            st.tuples(st.integers(0, 4), st.integers(950, 1050)), max_size=5
        ),
        st.lists(st.sampled_from([0.9, 1.0, 1.00001, 1.1]), min_size=6, max_size=6),
        st.booleans(),  # whether a rule is replaced
    ),
    min_size=2,
    max_size=8,
)


@given(steps)
@settings(max_examples=150, phases=UNTRACED)
def test_moves_are_logged_as_one_by_one(
    steps: list[tuple[list[tuple[int, int]], list[float], bool]],
) -> None:
    """The same events with the same causes and texts, whatever drives what."""
    both = pricing(Pricing), pricing(OneByOne)
    last = np.full(5, 1000)
    outside = np.ones(6)
    for now, (trades, moves, replaced) in enumerate(steps):
        outside = outside * moves
        for market, price in trades:
            last[market] = price
        top = np.column_stack([last - 1, last, last + 1, last, last])
        for prices in both:
            if replaced:
                prices.replace({"E": IndexRule(policy="outside", floor=0.5)}, now)
            fills = np.zeros(len(trades), FILL)
            for row, (market, price) in zip(fills, trades, strict=True):
                row["market"], row["price"] = market, price
            fills["taker_order"], fills["message"] = np.arange(len(trades)), -1
            sent = prices.log.next_id
            first = prices.log.add_batch(messages(0), np.zeros(0, RESULT), fills)
            prices.movers.note(fills, first, messages(0), sent)
            prices.outside = outside
            prices.outside_event[:] = [
                prices.log.add("shock", now, text="outside") if move != 1.0 else old
                for move, old in zip(moves, prices.outside_event, strict=True)
            ]
            prices.update(top, now * 10**9)
    found, expected = (list(map(str, prices.log.single())) for prices in both)
    assert found == expected
    assert both[0].index_event.tolist() == both[1].index_event.tolist()
    assert both[0].mark_event.tolist() == both[1].mark_event.tolist()
