"""Messages are counted by minute, market, class and market maker."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.census import BUY, CANCEL, MINUTE, REFUSED, SELL, Census
from flashwick.orderbook.orders import RESULT, Kind, Side, messages

CLASSES = np.array([0, 1, 1, 2, 2], np.uint8)
MAKERS = np.array([3, 4])
WATCHED = np.array([2, 0])  # of three markets
START = 20 * MINUTE + MINUTE // 2  # a run that begins in the middle of a minute

sent = st.lists(
    st.tuples(
        st.integers(0, 3 * MINUTE - 1),
        st.sampled_from([Kind.LIMIT, Kind.MARKET, Kind.CANCEL, Kind.CANCEL_ALL]),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(-1, 3),  # the market: all of them, one, or one there is not
        st.integers(0, 4),
        st.booleans(),
    ),
    max_size=30,
)


def census() -> Census:
    """Of three minutes, three markets, five accounts."""
    return Census(
        watched=WATCHED,
        markets=3,
        classes=CLASSES,
        makers=MAKERS,
        start_ns=START,
        duration_ns=3 * MINUTE,
    )


@given(sent, st.integers(0, 30))
@settings(max_examples=300, phases=UNTRACED)
def test_counts_are_those_of_going_through_the_messages(
    rows: list[tuple[int, Kind, Side, int, int, bool]], cut: int
) -> None:
    """In whatever batches they come."""
    found = census()
    sums = np.zeros_like(found.sent)
    by_maker = np.zeros_like(found.makers)
    for part in (rows[:cut], rows[cut:]):
        batch, results = messages(len(part)), np.zeros(len(part), RESULT)
        for i, (time, kind, side, market, account, accepted) in enumerate(part):
            values = time, kind, side, market, account
            for name, value in zip(
                ("time", "kind", "side", "market", "account"), values, strict=True
            ):
                batch[name][i] = value
            results["accepted"][i] = accepted
            minute = (START + time) // MINUTE - 20
            if market not in (0, 1, 2):
                continue
            column = {2: 0, 0: 1, 1: 2}[market]
            takes = kind in (Kind.CANCEL, Kind.CANCEL_ALL)
            word = CANCEL if takes else (BUY, SELL)[side]
            sums[minute, column, CLASSES[account], word] += 1
            sums[minute, column, CLASSES[account], REFUSED] += not accepted
            if account in MAKERS and column < 2:
                by_maker[minute, column, account - 3, 2] += 1
                if not takes:
                    by_maker[minute, column, account - 3, int(side)] += 1
        found.count(batch, results)
    assert found.sent.tolist() == sums.tolist()
    assert found.makers.tolist() == by_maker.tolist()


def test_minutes_are_those_of_the_clock() -> None:
    """The first began half a minute before the run did."""
    half = MINUTE // 2
    assert census().minutes.tolist() == [-half, half, half + MINUTE, half + 2 * MINUTE]
