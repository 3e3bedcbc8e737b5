"""Edits of a stream that are refused, each with the place and the remedy."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from worlds import CANCEL, ORDER, SMALL

import flashwick as fw


@pytest.fixture(scope="module")
def stream() -> fw.Stream:
    """The stream of the small crash."""
    return SMALL.run(seed=1).stream()


TRADED = {"time": 3.2, "kind": "outside", "sender": "arbitrage.desk", "asset": "ATOM"}


def columns(stream: fw.Stream, **changes: Any) -> dict[str, Any]:
    """Columns of the stream, the first row's values changed, or whole columns."""
    found: dict[str, Any] = stream.table.to_pydict()
    orders = [i for i, kind in enumerate(found["kind"]) if kind == "limit"]
    for name, value in changes.items():
        if isinstance(value, list):
            found[name] = value
        else:
            found[name][orders[0]] = value
    return found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"price": float("nan")}, "'price' must be a finite number (got nan)"),
        ({"price": -1.0}, "'price' must be 0 or more, and not too large (got -1.0)"),
        ({"price": 0.0}, "'price' must be above 0 (got 0.0)"),
        (
            {"price": 1e12},
            "'price' must be 0 or more, and not too large (got 1000000000000.0)",
        ),
        ({"qty": -5.0}, "'qty' must be 0 or more, and not too large (got -5.0)"),
        ({"qty": 1e-9}, "'qty' must be at least one lot (got 1e-09)"),
        ({"qty": float("inf")}, "'qty' must be a finite number (got inf)"),
        ({"time": -1.0}, "'time' must be seconds from 0 to 1e+09 (got -1.0)"),
        ({"time": float("nan")}, "'time' must be a finite number (got nan)"),
        ({"market": "ATOM/USD"}, "'ATOM/USD' is not a market here"),
        ({"market": ""}, "'market' must be one of the venue's, by name (got '')"),
        ({"market": "all"}, "'market' must be one of the venue's, by name"),
        ({"account": 99_999}, "'account' must be one of the run, 5 to"),
        ({"account": 3}, "'account' must be one of the run, 5 to"),
        ({"sender": "background.retail"}, "'sender' must be that of the account"),
        ({"sender": "nobody"}, "'nobody' is not a sender here"),
        ({"side": "both"}, "'side' must be buy or sell, of cancel_all also both"),
        ({"side": "bid"}, "'bid' is not a side here"),
        ({"kind": "limits"}, "'limits' is not a kind here; did you mean 'limit'"),
        ({"kind": "note"}, "'kind' must be anything but 'note'"),
        ({"kind": "transfer"}, "'kind' must be what it was"),
        ({"tif": "GTD"}, "'GTD' is not a tif here"),
        ({"flags": 4}, "'flags' must be flags an order may have (got 4)"),
        ({"row": 10**6}, "'row' must be from 0 to"),
    ],
)
def test_wrong_cells_are_told(
    stream: fw.Stream, changes: dict[str, Any], told: str
) -> None:
    """With the row, what must be, and what came."""
    with pytest.raises(fw.StreamError, match=r"row \d+: ") as caught:
        stream.edit(columns(stream, **changes))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"rows": [1]}, "'rows' is not a column of a stream; did you mean 'row'"),
        ({"row": [0]}, "the table lacks 'time', 'kind'; take stream.table"),
        ({"row": [0, 1], "time": [1.0], "kind": ["limit"]}, "cannot be read"),
        ({"row": ["a"], "time": [1.0], "kind": ["limit"]}, "must be of whole numbers"),
        ({"row": [0], "time": ["x"], "kind": ["limit"]}, "'time' must be of numbers"),
        ({"row": [0], "time": [1.0], "kind": [3]}, "column 'kind' must be of words"),
    ],
)
def test_wrong_tables_are_told(
    stream: fw.Stream, table: dict[str, Any], told: str
) -> None:
    """Wrong columns, missing ones, and such of another kind."""
    with pytest.raises(fw.StreamError, match=told):
        stream.edit(table)


def test_duplicates_are_told(stream: fw.Stream) -> None:
    """Of rows, and of numbers of orders."""
    table = stream.table
    with pytest.raises(fw.StreamError, match="'row' 0 is that of row 0; a copy has no"):
        stream.edit(pa.concat_tables([table, table.slice(0, 1)]))
    with pytest.raises(fw.StreamError, match="give each order its own number"):
        stream.insert([ORDER, {**ORDER, "time": 14.0}])
    known = int(stream.rows["order"][stream.rows["kind"] == 0].max())
    with pytest.raises(fw.StreamError, match="is an order of the run already"):
        stream.insert([{**ORDER, "order": known}])
    first = int(np.flatnonzero((stream.rows["kind"] == 0) & stream.rows["order"])[0])
    copy = table.slice(first, 1).set_column(0, "row", pa.nulls(1, pa.int64()))
    with pytest.raises(fw.StreamError, match="give each order its own number"):
        stream.edit(pa.concat_tables([table, copy]))


def test_all_faults_of_a_table_are_told_at_once(stream: fw.Stream) -> None:
    """Each on a line of its own, with how many rows more are wrong alike."""
    n = len(stream)
    with pytest.raises(fw.StreamError) as caught:
        stream.edit(columns(stream, time=[-1.0] * n, market="X", qty=-1.0))
    lines = str(caught.value).splitlines()
    assert len(lines) >= 3
    assert any(line.endswith(f"; so are {n - 1:,} rows more") for line in lines)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda s: s.drop([True]), "'rows' must be .* marks"),
        (lambda s: s.drop(np.zeros(len(s))), "'rows' must be .* marks"),
        (lambda s: s.delay(s.where(), float("nan")), "'seconds' must be a finite"),
        (lambda s: s.delay(s.where(), -50), "'seconds' must leave all times from 0"),
        (lambda s: s.resize(s.where(), 0), "'factor' must be above 0 .*drop"),
        (lambda s: s.resize(s.where(), "x"), "'factor' must be a finite number"),
        (lambda s: s.resize(s.where(), 1e300), "'factor' is too large"),
        (lambda s: s.where(sender="market_maker"), "did you mean 'market_makers'"),
        (lambda s: s.where(color="red"), "rows are not picked by 'color'"),
        (lambda s: s.where(account="8"), "'account' must be a whole number"),
        (lambda s: s.where(after="noon"), "'after' must be a finite number"),
        (lambda s: s.delay(s.where(), 1e12), "'seconds' must be at most 1e"),
        (lambda s: s.insert([{**ORDER, "account": 2**70}]), "rows cannot be read"),
        (lambda s: s.insert([{**TRADED, "usd": -1e12}]), "leaves a price outside"),
        (lambda s: s.insert([{**TRADED, "usd": 1e300}]), "leaves a price outside"),
        (lambda s: s.insert([{"time": 1.0}]), "the table lacks 'kind'"),
        (lambda s: s.insert([{**ORDER, "row": 3}]), "'row' must be left out"),
        (lambda s: s.insert([{**CANCEL, "order": 0}]), "'order' must be the number"),
    ],
)
def test_wrong_edits_are_told(stream: fw.Stream, edit: Any, told: str) -> None:
    """Marks, seconds, factors, words."""
    with pytest.raises(fw.StreamError, match=told):
        edit(stream)


def test_wrong_types_are_told(stream: fw.Stream) -> None:
    """What is no table, no row, no stream, no loop."""
    with pytest.raises(TypeError, match="'table' must be an Arrow table"):
        stream.edit(7)
    with pytest.raises(TypeError, match=r"'rows\[0\]' must be columns"):
        stream.insert([3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"'stream' must be what run\.stream"):
        SMALL.replay(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'loop' must be 'open'"):
        SMALL.replay(stream, loop="half")
