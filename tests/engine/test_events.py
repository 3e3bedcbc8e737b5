"""The event log keeps everything in columns, and of messages what it is told to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.columns import Table
from flashwick.engine.events import HELD, RARE, EventLog
from flashwick.orderbook.orders import EVENT, FILL, RESULT, EventKind, Flag, messages

LIQUIDATION = int(Flag.LIQUIDATION)


def batch(size: int, fills: list[int], forced: list[int], caused: list[int]) -> Any:
    """Messages, results, fills of some of them, and stops that some set off."""
    rows, results = messages(size), np.zeros(size, RESULT)
    rows["qty"], results["open"], results["accepted"] = np.arange(size) + 1, 1, 1
    rows["flags"][forced] = LIQUIDATION
    trades, events = np.zeros(len(fills), FILL), np.zeros(len(caused), EVENT)
    trades["message"], events["message"] = fills, caused
    events["kind"] = EventKind.CANCELLED
    return rows, results, trades, events


some = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.just(n), *(st.lists(st.integers(0, n - 1), max_size=4) for _ in range(3))
    )
)
"""A batch: its size, and the messages that traded, are forced, cause an event."""


@given(st.lists(some, max_size=8))
@settings(max_examples=200, phases=UNTRACED)
def test_message_is_kept_if_it_traded_was_forced_or_caused_an_event(
    batches: list[tuple[int, list[int], list[int], list[int]]],
) -> None:
    """All else in the log is as if everything had been kept, with the same ids."""
    every, traded = EventLog(), EventLog(traded=True)
    wanted = []
    for size, fills, forced, caused in batches:
        first = every.next_id
        for log in (every, traded):
            log.add_batch(*batch(size, fills, forced, caused))
            log.add("shock", 7, text="between batches")
        wanted += [first + i for i in sorted({*fills, *forced, *caused})]
    assert traded.messages()[0].tolist() == wanted
    assert every.sent == traded.sent == sum(size for size, *_ in batches)
    for a, b in zip(every.fills(), traded.fills(), strict=True):
        assert a.tobytes() == b.tobytes()
    assert list(map(str, every.single())) == list(map(str, traded.single()))
    kept = dict.fromkeys(wanted)
    for event in range(1, len(every) + 1):
        if every[event].kind == "order" and event not in kept:
            with pytest.raises(LookupError, match=r"record\.messages = 'all'"):
                traded[event]
        else:
            assert str(traded[event]) == str(every[event])
            assert str(traded.chain(event)) == str(every.chain(event))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
@settings(max_examples=100, phases=UNTRACED)
def test_many_events_at_once_are_the_same_as_one_by_one(
    sizes: list[int], data: st.DataObject
) -> None:
    """Ids, fields and texts, whatever is looked up between."""
    single, many = EventLog(), EventLog()
    for k, size in enumerate(sizes):
        account = np.arange(size) + k
        text = [f"text {i % 3}" for i in range(size)]
        first = many.add_many(
            "breach", k, np.zeros(size, np.int64), account=account, text=text, value=0.5
        )
        for i in range(size):
            event = single.add(
                "breach", k, account=int(account[i]), text=text[i], value=0.5
            )
            assert event == first + i
        look = data.draw(st.integers(1, len(single)))
        assert single[look] == many[look]
    assert list(single.single("breach")) == list(many.single("breach"))
    assert many.words == ["", *(f"text {i}" for i in range(3))][: len(many.words)]


def test_move_is_told_with_both_values() -> None:
    """The text of a repricing is made when it is asked for."""
    log = EventLog()
    names = np.array([log.word(name) for name in ("BTC", "ETH")])
    log.add_many(
        "index",
        5,
        np.array([0, 1]),
        text=names,
        asset=np.array([0, 1]),
        old=np.array([100.0, 2.5]),
        value=np.array([90.0, 2.0]),
    )
    assert [event.text for event in log.single()] == ["BTC 100 -> 90", "ETH 2.5 -> 2"]
    assert [event.cause for event in log.single()] == [0, 1]


def test_event_takes_eighty_bytes() -> None:
    """100,000 liquidated accounts with ten events each are 80 MB, not 400."""
    log = EventLog()
    for k in range(3 * HELD):
        log.add("liquidation", k, account=k, text="sell_collateral")
    ids, rows = log.rare()
    assert (ids.itemsize + rows.itemsize) == 8 + RARE.itemsize == 80
    assert rows["account"].tolist() == list(range(3 * HELD))


@pytest.mark.parametrize("traded", [False, True])
def test_time_an_order_was_placed_is_known_in_both_modes(traded: bool) -> None:
    """Of orders that rested; the first time, if an order was changed later."""
    log = EventLog(traded=traded)
    rows, results = messages(4), np.zeros(4, RESULT)
    rows["time"] = [10, 20, 30, 40]
    results["order_id"], results["open"] = [7, 8, 7, 9], [5, 5, 3, 0]
    log.add_batch(rows, results, np.zeros(0, FILL))
    assert log.placed(np.array([9, 8, 7, 6])).tolist() == [-1, 20, 10, -1]


def test_rows_given_out_stay_what_they_were() -> None:
    """Nobody can change the log through them, and later rows are not in them."""
    table = Table(np.int64)
    table.extend(np.array([1, 2]))
    (before,) = table.columns()
    table.extend(np.array([5]))
    assert before.tolist() == [1, 2]
    assert table.columns()[0].tolist() == [1, 2, 5]
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 9
    assert [table.find(key) is not None for key in (0, 2, 3, 5, 6)] == [
        False,
        True,
        False,
        True,
        False,
    ]
