"""Two streams of rows are paired, and those without a partner come alone."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from flashwick.orderbook.align import RUN, WINDOW, align

Pairs = list[tuple[tuple[int] | None, tuple[int] | None]]
ROWS = st.lists(st.tuples(st.integers(0, 4)), max_size=60)


def aligned(left: list[tuple[int]], right: list[tuple[int]]) -> Pairs:
    """All pairs of two lists."""
    return list(align(iter(left), iter(right)))


@given(left=ROWS, right=ROWS)
def test_every_row_comes_once_in_its_order(
    left: list[tuple[int]], right: list[tuple[int]]
) -> None:
    """Pairs are equal; nothing is lost, but for what stands after the last row."""
    pairs = aligned(left, right)
    assert [one for one, _ in pairs if one is not None] == left
    others = [other for _, other in pairs if other is not None]
    assert others == right[: len(others)]
    assert all(one == other for one, other in pairs if one and other)
    if left == right:
        assert all(one and other for one, other in pairs)


def test_rows_that_one_side_lacks_come_alone() -> None:
    """One missing on the right, one too many, and all others pair."""
    rows = [(i,) for i in range(3 * RUN)]
    less = rows[:RUN] + rows[RUN + 1 :]
    pairs = aligned(rows, less)
    assert [one for one, other in pairs if other is None] == [(RUN,)]
    assert len(pairs) == len(rows)
    pairs = aligned(less, rows)
    assert [other for one, other in pairs if one is None] == [(RUN,)]


def test_no_more_than_a_window_is_read_ahead() -> None:
    """Streams may be longer than memory: nothing is read that is not needed."""
    read = 0

    def counted() -> Iterator[tuple[int]]:
        nonlocal read
        for i in range(10 * WINDOW):
            read += 1
            yield (i,)

    pairs = align(counted(), ((i,) for i in range(10 * WINDOW)))
    for _ in range(10):
        next(pairs)
    assert read == WINDOW


def test_streams_that_do_not_meet_again_end() -> None:
    """A window of nothing in common is told row by row."""
    left = [(0,)] * (WINDOW + 5)
    pairs = aligned(left, [(1,)] * (WINDOW + 5))
    assert sum(one is not None for one, _ in pairs) == WINDOW + 5
    assert not any(one and other for one, other in pairs)
