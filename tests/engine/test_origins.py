"""Events walked back along their causes, all at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flashwick.cython_ext.origins import walked


def walked_one_by_one(
    causes: list[int], events: list[int], marks: list[int]
) -> list[tuple[int, int, int, int]]:
    """What `walked` does, each event walked to its root by itself."""
    ways = {}

    def way(event: int) -> list[int]:
        chain = [event]
        while 0 < causes[chain[-1]] < chain[-1]:
            chain.append(causes[chain[-1]])
        return chain

    for event in events:
        for step in way(event) if event else ():
            ways[step] = way(step)
    return [
        (event, chain[-1], *([*(s for s in chain if s in marks), 0][:1]), passed)
        for event, chain in sorted(ways.items())
        for passed in [sum(step in marks for step in chain)]
    ]


@given(st.lists(st.integers(-1, 14), max_size=12), st.data())
def test_all_at_once_are_walked_as_each_by_itself(causes, data):
    """Also where a cause is none: younger than its effect, or no event."""
    causes = [0, *causes]
    some = st.sets(st.integers(0, len(causes) - 1))
    events, marks = (sorted(data.draw(some)) for _ in range(2))
    wanted = np.zeros(len(causes), np.uint8)
    wanted[events] = True
    found = walked(np.array(causes), wanted, np.array(marks, np.int64))
    rows = list(zip(*(column.tolist() for column in found), strict=True))
    assert rows == walked_one_by_one(causes, events, marks)
    ways = [row[0] for row in rows]
    assert np.flatnonzero(wanted[1:]).tolist() == [way - 1 for way in ways]
