"""What participants send and the gateway serves, in C as in NumPy."""

import messages_model as model
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.cython_ext import messages as kernel
from flashwick.orderbook.orders import FILL, RESULT, messages

TICK = np.array([0.1, 0.0001, 1.0])
LOT = np.array([0.001, 1.0, 0.00001])

order = st.tuples(
    st.integers(5, 9),  # account
    st.integers(0, 2),  # market
    st.integers(0, 1),  # side
    st.integers(0, 5_000).map(lambda n: n / 1000) | st.floats(-1.0, 1e9),
    st.integers(0, 9_999).map(lambda n: n / 10_000) | st.floats(0.0, 1e7),
    st.integers(0, 50),  # cause
)


@given(st.lists(order, max_size=12), st.booleans(), st.booleans())
@settings(max_examples=300, phases=UNTRACED)
def test_orders_are_those_of_the_model(
    given_rows: list[tuple[int, int, int, float, float, int]],
    priced: bool,
    single: bool,
) -> None:
    """To the bit, with columns and with one number for all rows."""
    table = [np.array(column) for column in zip(*given_rows, strict=True)]
    if not table:
        table = [np.empty(0)] * 6
    account, market, side, qty, price, cause = table
    numbers = [column.astype(np.int64) for column in (account, market, side, cause)]
    if single and len(qty):
        numbers[0], numbers[3] = int(numbers[0][0]), numbers[3][:1]
    asked = price.astype(np.float64) if priced else None
    whose, where, way, why = numbers
    found, expected = (
        made(7, whose, where, way, qty * 1.0, asked, 2, why, 3, TICK, LOT)
        for made in (kernel.orders, model.orders)
    )
    assert found.tobytes() == expected.tobytes()


def test_numbers_that_are_none_are_no_orders() -> None:
    """Nor are more lots than there are numbers for; a sale at no price is none."""
    qty = np.array([np.nan, np.inf, -np.inf, 1e18, 1e300, 0.001])
    found = kernel.orders(0, 5, 0, 0, qty, None, 0, 0, 0, TICK, LOT)
    assert found["qty"].tolist() == [1]
    price = np.array([np.nan, -np.inf, np.inf])
    found = kernel.orders(0, 5, 0, 1, np.ones(3), price, 0, 0, 0, TICK, LOT)
    assert found["price"].tolist() == [1, 9 * 10**18]


def test_columns_of_another_length_are_refused() -> None:
    """A row would have no account, or no price."""
    qty, two = np.ones(3), np.array([5, 6])
    with pytest.raises(ValueError, match=r"'account' must hold 3 numbers, or one"):
        kernel.orders(0, two, 0, 0, qty, None, 0, 0, 0, TICK, LOT)
    with pytest.raises(ValueError, match=r"'price' must hold 3 prices \(got 2\)"):
        kernel.orders(0, 5, 0, 0, qty, np.ones(2), 0, 0, 0, TICK, LOT)


@given(st.lists(st.integers(0, 4), max_size=5))
def test_batches_together_are_those_of_the_model(sizes: list[int]) -> None:
    """Row after row, in a batch of its own unless there is only one."""
    batches = [messages(size) for size in sizes]
    for k, batch in enumerate(batches):
        batch["account"], batch["price"] = k, np.arange(len(batch))
    found = kernel.together(batches)
    assert found.tobytes() == model.together(batches).tobytes()
    assert found.dtype == messages(0).dtype
    assert (len(batches) == 1) == any(found is batch for batch in batches)


@given(
    st.lists(st.integers(0, 9), max_size=9),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), max_size=5),
    st.integers(0, 9),
    st.integers(1, 6),
)
def test_senders_are_those_of_the_model(
    waiting: list[int], coming: list[tuple[int, int]], first: int, count: int
) -> None:
    """Of what waits, and of batches that are still on their way."""
    queue, batches = messages(len(waiting)), []
    queue["account"] = waiting
    for k, (account, size) in enumerate(coming):
        batches.append((k, k, messages(size)))
        batches[-1][2]["account"] = np.minimum(account + np.arange(size), 9)
    # Those of a participant are in a row, and its batch has no others.
    own = range(first, first + count)
    batches = [
        entry
        for entry in batches
        if len({account in own for account in entry[2]["account"].tolist()}) == 1
    ]
    found = kernel.senders(queue, batches, first, count)
    assert found.tolist() == model.senders(queue, batches, first, count).tolist()


@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 5)), max_size=6),
    st.integers(0, 3),
    st.floats(0.0, 900.0),
    st.sampled_from([0.1, 10.0, 333.3]),
    st.integers(0, 2_000),
)
@settings(max_examples=300, phases=UNTRACED)
def test_queue_is_that_of_the_model(
    batches: list[tuple[int, int]],
    waiting: int,
    free_at: float,
    step: float,
    until: int,
) -> None:
    """The same rows in the same order, the same times, and what is asked of them."""
    queue = messages(waiting)
    queue["account"] = np.arange(waiting)
    arrived = []
    for k, (arrival, size) in enumerate(sorted(batches)):
        batch = messages(size)
        batch["account"], batch["price"] = 100 * k, np.arange(size)
        arrived.append((arrival, k, batch))
    results = []
    for of in (kernel, model):
        rows, since = of.joined(queue, np.zeros(waiting), arrived)
        done, longest, behind = of.served(since, free_at, step)
        n = of.stamped(rows, done, until)
        results.append((rows.tobytes(), since.tobytes(), done.tobytes(), n))
        results[-1] += (longest, behind)
    assert results[0] == results[1]
    assert not queue["time"].any()


batch = st.lists(
    st.tuples(
        st.integers(0, 4),  # kind
        st.sampled_from([0, 0, 0, 4, 6]),  # flags
        st.integers(0, 2),  # left open
        st.integers(-1, 3),  # how many fills it has; -1: it caused something
    ),
    max_size=6,
)


@given(st.lists(batch, min_size=1, max_size=5))
@settings(max_examples=300, phases=UNTRACED)
def test_what_is_kept_is_that_of_the_model(
    sent: list[list[tuple[int, int, int, int]]],
) -> None:
    """The same messages with their ids and results, and the same orders that rest."""
    batches, results, fills, causes, firsts = [], [], [], [], []
    for k, rows in enumerate(sent):
        size = len(rows)
        batches.append(messages(size))
        results.append(np.zeros(size, RESULT))
        kind, flags, left, trades = np.array(rows, np.int64).reshape(size, 4).T
        batches[-1]["kind"], batches[-1]["flags"] = kind, flags
        batches[-1]["time"], batches[-1]["qty"] = 100 * k, np.arange(size)
        results[-1]["open"], results[-1]["order_id"] = left, 50 * k + np.arange(size)
        fills.append(np.zeros(np.maximum(trades, 0).sum() + 1, FILL))
        fills[-1]["message"][0] = -1  # of an order that was triggered
        fills[-1]["message"][1:] = np.repeat(np.arange(size), np.maximum(trades, 0))
        causes.append(np.flatnonzero(trades < 0).tolist())
        firsts.append(1_000 * k)
    found, expected = (of.rested(batches, results) for of in (kernel, model))
    assert [part.tolist() for part in found] == [part.tolist() for part in expected]
    found, expected = (
        of.traded(firsts, batches, results, fills, causes) for of in (kernel, model)
    )
    assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]
