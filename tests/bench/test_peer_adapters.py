"""What the benchmarks of peers do to a flow before a peer sees it.

No peer has to be installed.
"""

import ast
import doctest
import re
import sys
import tomllib
from itertools import combinations
from pathlib import Path

import numpy as np
import peers
import pytest
import test_book_growth
import test_peers
import workloads
from peers import Lacks, stream

from flashwick.cython_ext.book import Books
from flashwick.orderbook.orders import Kind, TimeInForce

ROOT = Path(__file__).parents[2]
SOME_LACKS = [set(some) for n in range(4) for some in combinations(Lacks, n)]


def named(lacks):
    """What is lacking, in an order that every process has."""
    return ", ".join(sorted(lack.name for lack in lacks)) or "nothing"


@pytest.fixture(scope="module")
def workload():
    """Two thousand messages of the steady flow over three hundred orders."""
    return workloads.steady(n=2_000, standing=300)


def trades_of(flow):
    """Price and quantity of the trades that have to come."""
    return [trade[2:] for trade in stream.expected(flow)]


def test_examples_of_the_stream_give_what_they_show():
    """The module's own docstrings are right."""
    results = doctest.testmod(stream)
    assert results.attempted > 0
    assert results.failed == 0


def test_a_peer_that_lacks_nothing_gets_the_flow_itself(workload):
    """The batch made from the messages is the flow, but for the accounts."""
    flow = stream.stream(workload.prefill, workload.messages)
    for rows, part in (
        (flow.prefill, workload.prefill),
        (flow.messages, workload.messages),
    ):
        again = stream.batch(rows)
        again["account"] = part["account"]
        np.testing.assert_array_equal(again, part)


@pytest.mark.parametrize("lacks", SOME_LACKS, ids=named)
def test_a_flow_in_other_words_leads_to_the_same_trades(workload, lacks):
    """No kind that is lacking is left, no message refused, every trade as before."""
    flow = stream.stream(workload.prefill, workload.messages, lacks)
    for kind, _, _, _, _, tif in flow.messages:
        assert kind != Kind.REPLACE or Lacks.REPLACE not in lacks
        assert kind != Kind.MARKET or Lacks.MARKET not in lacks
        if kind == Kind.LIMIT and Lacks.IOC in lacks:
            assert tif == TimeInForce.GTC
    books = Books()
    books.add_market()
    for rows in flow.prefill, flow.messages:
        results, _ = books.process(stream.batch(rows))
        assert results["accepted"].all()
    plain = trades_of(stream.stream(workload.prefill, workload.messages))
    assert len(plain) > 100
    assert trades_of(flow) == plain


@pytest.mark.parametrize("name", [n for n in peers.MATCHERS if "flashwick" in n])
def test_our_own_books_find_every_trade(workload, name):
    """Called as the peers are, and in one batch, ours give the trades expected."""
    flow = stream.stream(workload.prefill, workload.messages)
    book = peers.load(peers.MATCHERS[name])()
    for rows in flow.prefill, flow.messages:
        book.feed(book.prepare(rows))
    right = stream.expected(flow)
    assert stream.agreement(book.trades(), right) == (len(right), "")


def test_a_trade_too_few_or_with_another_maker_is_found():
    """The first difference is told, and how many trades are right all the same."""
    right = [(1, 9, 100, 5), (2, 9, 101, 5), (3, 9, 102, 5)]
    assert stream.agreement(right[1:], right) == (
        2,
        "trade 1: 2 × 9, 5 @ 101, not 1 × 9, 5 @ 100",
    )
    assert stream.agreement(right[:2], right) == (
        2,
        "trade 3: none, not 3 × 9, 5 @ 102",
    )


def test_changes_of_orders_lead_to_the_book(workload):
    """A book that only adds up the changes ends with the levels of ours."""
    flow = stream.stream(workload.prefill, workload.messages)
    changes = stream.changes(flow)
    orders, levels = {}, ({}, {})
    for action, side, order, price, qty, level_qty in np.concatenate(
        [changes.prefill, changes.messages]
    ).tolist():
        assert (order in orders) == (action != stream.ADD)
        if action == stream.DELETE:
            assert orders.pop(order)[:2] == (side, price)
        else:
            orders[order] = side, price, qty
        levels[side][price] = level_qty
    for side in 0, 1:
        kept = {price: qty for price, qty in levels[side].items() if qty}
        assert kept == dict(changes.levels[side])
        for price, qty in kept.items():
            at_price = [o[2] for o in orders.values() if o[:2] == (side, price)]
            assert sum(at_price) == qty
    assert len(changes.messages) > 1_000


def test_a_peer_that_is_not_installed_is_skipped(monkeypatch):
    """The reason names the package and how it is installed."""
    monkeypatch.setitem(sys.modules, "obook", None)
    monkeypatch.delitem(sys.modules, "peers.obook", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"obook is not installed: pip .*"):
        test_peers.installed(peers.MATCHERS["obook"])


def test_the_extra_installs_every_peer():
    """Each adapter's class exists, and the extra `bench` names its distribution."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bench = extras["optional-dependencies"]["bench"]
    named = {re.match(r"[\w-]+", requirement)[0] for requirement in bench}
    for place in (peers.MATCHERS | peers.KEEPERS).values():
        module, name = place.split(".")
        tree = ast.parse((ROOT / "bench/peers" / f"{module}.py").read_text())
        classes = {c.name: c for c in tree.body if isinstance(c, ast.ClassDef)}
        assert name in classes
        assigned = {
            statement.value.value
            for c in classes.values()
            for statement in c.body
            if isinstance(statement, ast.Assign)
            and statement.targets[0].id == "distribution"
        }
        assert len(assigned) == 1
        assert assigned <= named | {"flashwick"}


@pytest.mark.parametrize("markets", [1, 7])
def test_a_flow_in_many_markets_trades_in_each_as_in_one(workload, markets):
    """Interleaved at random, every market ends with the book that one alone has."""
    alone = test_book_growth.books_of(1, workload.prefill, workload.messages)
    part = test_book_growth.interleaved(workload, markets)
    books = test_book_growth.books_of(markets, part.prefill)
    results, fills = books.process(part.messages)
    assert results["accepted"].all()
    assert len(fills) == markets * alone.trades > 0
    for market in range(markets):
        for side in 0, 1:
            for own, right in zip(
                books.depth(market, side), alone.depth(0, side), strict=True
            ):
                np.testing.assert_array_equal(own, right)


def test_flows_of_different_sizes_are_kept_side_by_side(tmp_path):
    """A size that was kept before is read, not written over by another."""
    sizes = [{"n": 50, "standing": 300}, {"n": 60, "standing": 300}]
    made = [workloads.stored("steady", tmp_path, **size) for size in sizes]
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 2
    for size, flow in zip(sizes, made, strict=True):
        again = workloads.stored("steady", tmp_path, **size)
        assert len(again.messages) == size["n"]
        np.testing.assert_array_equal(again.messages, flow.messages)
    assert sorted(path.name for path in tmp_path.iterdir()) == files
