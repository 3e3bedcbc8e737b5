"""Two streams of rows side by side, where one of them may miss a few."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import islice
from typing import TypeVar

Row = TypeVar("Row", bound=tuple[int, ...])

WINDOW = 1_000
"""Rows looked at on both sides for the place where the streams meet again."""

RUN = 8
"""Equal rows in a row that are taken for such a place."""


def align(
    found: Iterator[Row], recorded: Iterator[Row]
) -> Iterator[tuple[Row | None, Row | None]]:
    """Pair equal rows of two streams in order; a row without a partner comes alone.

    Ends with the rows of ``found``; what is left of ``recorded`` then is not read, but
    for a window. Where the streams do not meet again within the window, its rows are
    aligned as far as they can be. O(rows) while they agree, O(window²) where not.

    >>> a, b = iter([(1,), (2,), (9,), (3,)]), iter([(1,), (2,), (3,), (4,)])
    >>> list(align(a, b))
    [((1,), (1,)), ((2,), (2,)), ((9,), None), ((3,), (3,))]
    """
    left: list[Row] = []
    right: list[Row] = []
    while True:
        _fill(left, found)
        _fill(right, recorded)
        if not left:
            return
        equal = 0
        for one, other in zip(left, right, strict=False):
            if one != other:
                break
            equal += 1
        if equal:
            yield from zip(left[:equal], right[:equal], strict=True)
        else:
            i, j = _meeting(left, right)
            yield from _partners(left[:i], right[:j])
            del left[:i], right[:j]
        del left[:equal], right[:equal]


def _fill(rows: list[Row], source: Iterator[Row]) -> None:
    rows.extend(islice(source, WINDOW - len(rows)))


def _meeting(left: list[Row], right: list[Row]) -> tuple[int, int]:
    # The nearest places from which both streams are equal for a while.
    for distance in range(1, len(left) + len(right) + 1):
        for i in range(max(0, distance - len(right)), min(distance, len(left)) + 1):
            j = distance - i
            run = left[i : i + RUN]
            # The streams need not end together: fewer rows do at the end of `found`.
            if run and run == right[j : j + len(run)]:
                return i, j
    return len(left), len(right)


def _partners(
    left: list[Row], right: list[Row]
) -> Iterator[tuple[Row | None, Row | None]]:
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    i = j = 0
    for at, to, size in matcher.get_matching_blocks():
        yield from ((row, None) for row in left[i:at])
        yield from ((None, row) for row in right[j:to])
        yield from zip(left[at : at + size], right[to : to + size], strict=True)
        i, j = at + size, to + size
