"""Rows that come a few at a time and are kept in few large arrays."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .state import fix

Columns = tuple[NDArray[Any], ...]

FIRST_ROWS = 1 << 10
"""Rows of the first block of a table; each has twice as many as the one before ..."""

BLOCK_BYTES = 1 << 26
"""... up to this size of its widest column. Blocks so large are given back to the
system when they are freed; of small ones it keeps the memory."""


class Table:
    """Columns of one length that only grow; the first is of ascending keys.

    What it gives out is read-only, and stays what it was when rows are added.
    """

    def __init__(self, *dtypes: Any) -> None:
        self._dtypes = tuple(np.dtype(dtype) for dtype in dtypes)
        self._blocks: list[Columns] = []
        self._used: list[int] = []  # rows of each block
        self._firsts: list[int] = []  # key of the first row of each
        self._copies: dict[tuple[int, str], list[NDArray[Any]]] = {}

    def __len__(self) -> int:
        return sum(self._used)

    def extend(self, *columns: NDArray[Any]) -> None:
        """Add rows, whose keys are above all there are. O(rows)."""
        start, rows = 0, len(columns[0])
        while start < rows:
            room = len(self._blocks[-1][0]) - self._used[-1] if self._blocks else 0
            if room == 0:
                room = self._grow(int(columns[0][start]))
            end, at = min(rows, start + room), self._used[-1]
            for block, column in zip(self._blocks[-1], columns, strict=True):
                block[at : at + end - start] = column[start:end]
            self._used[-1] += end - start
            start = end

    def _grow(self, key: int) -> int:
        widest = max(int(dtype.itemsize) for dtype in self._dtypes)
        last = len(self._blocks[-1][0]) if self._blocks else FIRST_ROWS // 2
        rows = max(1, min(2 * last, BLOCK_BYTES // widest))
        self._blocks.append(tuple(np.empty(rows, dtype) for dtype in self._dtypes))
        self._used.append(0)
        self._firsts.append(key)
        return rows

    def __getstate__(self) -> dict[str, Any]:
        """Return what it is; all rows so far are final, and copies share them."""
        if self._blocks and self._used[-1] < len(self._blocks[-1][0]):
            used = self._used[-1]
            fix(*self._blocks[-1])
            self._blocks[-1] = tuple(column[:used] for column in self._blocks[-1])
        for block in self._blocks:
            fix(*block)
        return self.__dict__ | {"_copies": {}}

    def pieces(self) -> Iterator[Columns]:
        """Iterate over all rows, many at a time, without a copy."""
        for block, rows in zip(self._blocks, self._used, strict=True):
            shown = tuple(column[:rows] for column in block)
            for column in shown:
                column.flags.writeable = False
            yield shown

    def field(self, column: int, name: str) -> list[NDArray[Any]]:
        """Return one field of a column by itself, an array for each of the `pieces`.

        Kept, as to look through it takes a tenth of what the whole rows take.
        """
        copies = self._copies.setdefault((column, name), [])
        for k, rows in enumerate(self._used):
            if k == len(copies):
                copies.append(np.empty(0))
            if len(copies[k]) != rows:
                copies[k] = self._blocks[k][column][name][:rows].copy()
        return copies

    def columns(self) -> Columns:
        """Return all rows. O(rows) after some were added, else O(1)."""
        if not self._blocks:
            return tuple(np.empty(0, dtype) for dtype in self._dtypes)
        if len(self._blocks) > 1:
            whole = []
            for k, dtype in enumerate(self._dtypes):
                column = np.empty(len(self), dtype)
                np.concatenate([piece[k] for piece in self.pieces()], out=column)
                whole.append(column)
            self._blocks, self._used = [tuple(whole)], [len(whole[0])]
            self._firsts = self._firsts[:1]
            self._copies.clear()
        return next(self.pieces())

    def find(self, key: int) -> tuple[Any, ...] | None:
        """Return the row with a key, None if there is none. O(log rows)."""
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            return None
        keys = self._blocks[at][0][: self._used[at]]
        row = int(np.searchsorted(keys, key))
        if row == len(keys) or keys[row] != key:
            return None
        return tuple(column[row] for column in self._blocks[at])


def joined(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays of one type as one, read-only; a single one as it is."""
    parts = list(arrays)
    if len(parts) == 1:
        return parts[0]
    if parts[0].dtype.names is None:
        return np.concatenate(parts)
    # Of structured arrays NumPy compares the fields, one pair of arrays after another:
    # 14 us an array in place of 0.07.
    buffers: list[Any] = [np.ascontiguousarray(part) for part in parts]
    whole = b"".join(buffers)
    return np.frombuffer(whole, parts[0].dtype) if whole else parts[0]


def in_order(
    keys: NDArray[np.int64],
    rows: NDArray[Any],
    pieces: Sequence[tuple[int, NDArray[Any]]],
) -> Columns:
    """Return rows and pieces of rows by key, all together; each piece by its first.

    The keys of a piece are in a row. O(rows, sorted).
    """
    firsts = [first for first, _ in pieces]
    keys = np.concatenate([keys, spans(firsts, [len(piece) for _, piece in pieces])])
    whole = np.empty(len(keys), pieces[0][1].dtype if pieces else rows.dtype)
    at = len(rows)
    whole[:at] = rows
    for _, piece in pieces:
        whole[at : at + len(piece)] = piece
        at += len(piece)
    order = np.argsort(keys, kind="stable")
    return keys[order], whole[order]


def spans(firsts: list[int], sizes: list[int]) -> NDArray[np.int64]:
    """Return the numbers from each first on, as many as its size says.

    >>> spans([3, 10], [2, 3]).tolist()
    [3, 4, 10, 11, 12]
    """
    size = np.array(sizes, np.int64)
    start = np.cumsum(size) - size
    offset = np.repeat(np.array(firsts, np.int64) - start, size)
    return np.asarray(np.arange(len(offset)) + offset)
