"""Where runs part, and what was the same until then."""

from pathlib import Path

import pytest
from attrs import evolve

import flashwick as fw
from flashwick.engine.lab.compare import compare
from flashwick.engine.lab.parting import SAMPLES, parting

SMALL = Path(__file__).parents[1] / "scenarios" / "small-crash.toml"
LABELS = "one", "other"


@pytest.fixture(scope="module")
def crash():
    """The small crash."""
    return fw.load(SMALL)


@pytest.fixture(scope="module")
def run(crash):
    """One run of it."""
    return crash.run(seed=3)


@pytest.fixture(scope="module")
def late(crash, run):
    """The same run with another first sale of WBETH, 6 s after the start."""
    return parting(run, crash.vary({"shocks.1.usd": 900_000}).run(seed=3), LABELS)


def record(found, what):
    """One line of the table."""
    return next(each for each in found.stretches if each.what == what)


def test_repetition_never_parts(crash, run):
    """Every record is the same to its end, whoever runs it."""
    found = parting(run, crash.run(seed=3), LABELS)
    assert found.time is None
    assert found.first is None
    assert all(each.until is None for each in found.stretches)
    assert found.finding == "other is the same as one, record by record."
    assert {row[3] for row in found.grid().rows} == {"the end"}
    assert record(found, "trades").same == len(run.prints.time) > 100


def test_all_records_are_the_same_up_to_the_treatment(run, late):
    """Messages, trades, events, books, prices, balances: nothing differs before 6 s."""
    assert len(late.stretches) == 3 + len(SAMPLES)
    assert all(each.until is None or each.until >= 6.0 for each in late.stretches)
    assert late.time == 6.0
    for what in ("messages to the books", "trades", "other events"):
        own = record(late, what)
        assert own.same > 0
        assert own.until >= 6.0


def test_first_difference_is_told_on_both_sides(late):
    """The sale itself, in either size."""
    first = late.first
    assert first.until == 6.0
    assert "sell" in first.ours
    assert "WBETH" in first.ours
    assert first.ours != first.theirs
    assert late.finding.startswith("They part at 6 s in ")
    assert first.ours in str(late)


def test_what_does_not_depend_on_it_never_differs(late):
    """While transfers are cut nothing sold here moves the prices outside."""
    assert record(late, "outside prices").until > 25.0


def test_trades_are_counted_up_to_the_first_that_differs(crash, run, late):
    """As many as are the same in both, price by price."""
    other = crash.vary({"shocks.1.usd": 900_000}).run(seed=3)
    n = record(late, "trades").same
    for name in ("time", "market", "side", "price", "qty"):
        ours, theirs = getattr(run.prints, name), getattr(other.prints, name)
        assert (ours[:n] == theirs[:n]).all()
    differs = [
        getattr(run.prints, name)[n] != getattr(other.prints, name)[n]
        for name in ("time", "market", "side", "price", "qty")
    ]
    assert any(differs)


def test_numbers_of_accounts_are_no_difference(crash, run):
    """Without old bids those after them have other numbers, and trade the same."""
    other = crash.vary({"whales.*.enabled": False}).run(seed=3)
    found = parting(run, other, LABELS)
    assert record(found, "trades").same > 50
    assert record(found, "quotes").same > 5


def test_other_rule_parts_where_it_first_matters(crash, run):
    """Its index moves at the first sample; the books do not know yet."""
    varied = crash.vary({"oracles.WBETH.policy": "redemption"})
    found = parting(run, varied.run(seed=3), LABELS)
    assert record(found, "index prices").until < record(found, "trades").until
    assert "WBETH" in record(found, "index prices").ours


def test_shorter_record_has_nothing_more(run):
    """A run that ends earlier differs at the first row that it lacks."""
    series = evolve(
        run.series,
        **{
            name: getattr(run.series, name)[:-2]
            for name in ("time", "fund_usd", "outside", "index", "mark")
        },
        **{n: getattr(run.series, n)[:-2] for n in ("bid", "ask")},
        **{n: getattr(run.series, n)[:-2] for n in ("bid_depth", "ask_depth")},
    )
    found = parting(run, evolve(run, series=series), LABELS)
    own = record(found, "insurance fund")
    assert own.lengths == (len(run.series.time), len(run.series.time) - 2)
    assert (own.ours, own.theirs) == ("a sample more", "nothing more")


def test_other_markets_are_nothing_alike(run):
    """The same number means another market: nothing is called the same."""
    other = fw.load("atom-sweep").run()
    found = parting(run, other, LABELS)
    assert found.time == 0.0
    assert record(found, "trades").same == 0
    assert record(found, "quotes").ours == "6 markets"


def test_comparison_has_its_parting(crash, run):
    """With the labels of the runs."""
    varied = crash.vary({"stale_bids.*.enabled": False})
    comparison = compare(run, varied.run(seed=3))
    found = comparison.parting()
    assert found.labels == comparison.labels
    assert found.time == 0.0
    assert "stale bidder" in found.finding
    assert "<table>" in found._repr_html_()
