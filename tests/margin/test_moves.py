"""What moved prices: the largest moves since any time, and whose they were."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.margin.moves import DEEP, DOWN, UP, Moves

ROWS = 3


class Move(NamedTuple):
    """One move of a row."""

    row: int
    move: float
    event: int
    own: bool
    time: int


class Plain:
    """All moves that there were, in a list."""

    def __init__(self) -> None:
        self.all: list[Move] = []

    def went(self, row: int, rose: bool) -> list[Move]:
        """The moves of a row one way, the last of them first."""
        return [m for m in self.all[::-1] if m.row == row and (m.move > 0) == rose]

    def largest(self, row: int, rose: bool, own: bool, since: int) -> int:
        """The largest since a time, the last of equals."""
        late = [m for m in self.went(row, rose) if m.own == own and m.time >= since]
        return max(late, key=lambda m: abs(m.move)).event if late else 0

    def blame(self, row: int, moved: float, since: int) -> int:
        """Own decisions if they made the better part, else the others."""
        rose = moved > 0
        late = (m.move for m in self.all if m.row == row and m.own and m.time >= since)
        mine = sum(late) * (1 if rose else -1)
        own = 2 * mine > abs(moved)
        before = [m.event for m in self.went(row, rose)[:1]]
        found = (self.largest(row, rose, kind, since) for kind in (own, not own))
        return next(filter(None, [*found, *before]), 0)


# Sums of halves are exact, in whatever order.
sizes = st.integers(-8, 8).filter(bool).map(lambda n: n / 2)
taken = st.lists(
    st.tuples(st.integers(0, ROWS - 1), sizes, st.booleans()),
    max_size=ROWS,
    unique_by=lambda move: move[0],
)


@given(st.lists(taken, min_size=1, max_size=25), st.data())
@settings(max_examples=200, phases=UNTRACED)
def test_kept_moves_tell_what_all_would(
    batches: list[list[tuple[int, float, bool]]], data: st.DataObject
) -> None:
    """Since any time, whatever the price has done since."""
    moves, plain, time = Moves(ROWS), Plain(), 1
    began = {1: moves.own.copy()}
    for batch in batches:
        rows, sizes, own = ([move[k] for move in batch] for k in range(3))
        events = 1000 + time + np.arange(len(batch))
        moves.take(
            np.array(rows, np.int64), np.array(sizes), events, np.array(own, bool), time
        )
        plain.all += [
            Move(row, size, int(event), kind, time)
            for row, size, event, kind in zip(rows, sizes, events, own, strict=True)
        ]
        time += 5
        began[time] = moves.own.copy()
        moves._check()
    row, since = np.arange(ROWS), data.draw(st.sampled_from([*began]))
    for way, rose in ((DOWN, False), (UP, True)):
        for own in (False, True):
            for r in range(ROWS):
                expected = plain.largest(r, rose, own, since)
                assert moves.largest(r, way + own, since) == expected
        last = [plain.went(r, rose)[:1] for r in range(ROWS)]
        event, when = moves.last(row, np.full(ROWS, 1.0 if rose else -1.0))
        assert event.tolist() == [m[0].event if m else 0 for m in last]
        assert when.tolist() == [m[0].time if m else 0 for m in last]
    moved = np.array(data.draw(st.lists(sizes_or_none, min_size=ROWS, max_size=ROWS)))
    blame = [plain.blame(r, moved[r], since) for r in range(ROWS)]
    times = np.full(ROWS, since)
    assert moves.blame(row, moved, began[since], times).tolist() == blame


sizes_or_none = st.integers(-8, 8).map(lambda n: n / 2)


def test_there_is_room_for_moves_that_grow_smaller_and_smaller() -> None:
    """Each of them is the largest since itself."""
    moves, n = Moves(1), 3 * DEEP
    for i in range(n):
        row, own = np.zeros(1, np.int64), np.zeros(1, bool)
        moves.take(row, np.array([-1.0 / (i + 1)]), np.array([100 + i]), own, i + 1)
    moves._check()
    for i in range(n):
        assert moves.largest(0, DOWN, i + 1) == 100 + i


def blamed(own: list[float], others: list[float]) -> int:
    """Who is to blame for all of these falls together; events of the own from 1 on."""
    moves, row = Moves(1), np.zeros(1, np.int64)
    falls = [*((fall, True) for fall in own), *((fall, False) for fall in others)]
    for event, (fall, kind) in enumerate(falls, 1):
        moves.take(row, np.array([-fall]), np.array([event]), np.array([kind]), event)
    total = np.array([-sum(own) - sum(others)])
    return int(moves.blame(row, total, np.zeros(1), row)[0])


def test_own_decisions_are_to_blame_for_what_they_made_the_better_part_of() -> None:
    """However large the largest of the others, and however small each of theirs."""
    assert blamed([1.0, 2.0, 1.0], [3.0]) == 2
    assert blamed([1.0, 2.0, 1.0], [3.0, 2.0]) == 4
    assert blamed([3.0], [1.0, 1.0, 1.5]) == 4
