"""What moved prices: of each, the largest moves since any time, and whose they were."""

import numpy as np
from numpy.typing import NDArray

from ..cython_ext import moves as kernel

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DEEP = 16
"""Moves that are kept of a row at first; there is room for more when it is needed."""

DOWN, UP = 0, 2
"""Where the falls of a row are, and its rises: those of own decisions come after."""


class Moves:
    """The moves of prices, each with the event that made it, by row.

    A move is somebody's own where its event goes back to no more than his decision;
    ``own`` is by how much those moved each price in all. Times are numbers of events.
    Kept are moves that no later one of their kind was as large as: any other is the
    largest since no time. A price that slides by less and less keeps them all, and all
    rows have the room of the longest, 24 bytes a move: 464 in a run of oct10-small.
    """

    def __init__(self, rows: int) -> None:
        self.own = np.zeros(rows)
        # By what was moved, down and up, by others and by own decisions.
        self._event = np.zeros((4 * rows, DEEP), np.int64)
        self._time = np.zeros_like(self._event)
        self._size = np.zeros(self._event.shape)
        self._kept = np.zeros(4 * rows, np.int64)

    def take(
        self, rows: Integers, moves: Floats, events: Integers, own: Flags, now: int
    ) -> None:
        """Take moves, rises above 0, no two of a row, later than all before.

        O(moves).
        """
        if self._kept.max(initial=0) == self._event.shape[1]:
            wider = (0, 0), (0, DEEP)
            self._event = np.pad(self._event, wider)
            self._time = np.pad(self._time, wider)
            self._size = np.pad(self._size, wider)
        kernel.take(
            self._event,
            self._time,
            self._size,
            self._kept,
            self.own,
            np.ascontiguousarray(rows, np.int64),
            moves,
            events,
            own.view(np.uint8),
            now,
        )

    def largest(self, row: int, way: int, since: int) -> int:
        """Return the event of a row's largest move one way since, 0 if none was.

        ``way`` is DOWN or UP, plus 1 for own decisions.
        """
        at = way * len(self.own) + row
        return kernel.largest(self._event, self._time, self._kept, at, since)

    def last(self, rows: Integers, moves: Floats) -> tuple[Integers, Integers]:
        """Return the event of each row's last move that way, 0 if none, and its time.

        Up where ``moves`` are above 0, else down. O(rows).
        """
        return kernel.last(self._event, self._time, self._kept, rows, moves)

    def blame(
        self, rows: Integers, moves: Floats, own: Floats, since: Integers
    ) -> Integers:
        """Return the event to blame for moves of rows since a time, 0 if there is none.

        It is the largest move that way: of somebody's own decision, if such made the
        better part, else of the others. ``own`` is what `own` was at that time. Where
        none came since, it is the last that came. O(rows).
        """
        return kernel.blame(
            self._event, self._time, self._kept, self.own, rows, moves, own, since
        )

    def _check(self) -> None:
        """Assert that times ascend and sizes descend."""
        kept = np.arange(1, self._event.shape[1]) < self._kept[:, None]
        assert (np.diff(self._time)[kept] > 0).all()
        assert (np.diff(self._size)[kept] < 0.0).all()
        assert (self._kept <= self._event.shape[1]).all()
