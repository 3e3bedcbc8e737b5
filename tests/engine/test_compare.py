"""Runs side by side."""

from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from fakes import OUTSIDE_CHANGE, fake_run, with_prints

from flashwick.engine.lab.compare import Row, _labels, _line, compare, parted
from flashwick.engine.scenario import load

SMALL = Path(__file__).parents[1] / "scenarios" / "small-crash.toml"


@pytest.fixture(scope="module")
def runs():
    """The small crash, and one in which nothing happens after 60 s."""
    return fake_run(), fake_run(crashes=False, changes=OUTSIDE_CHANGE)


def row(comparison, measure):
    """The row of a measure."""
    return next(row for row in comparison.rows if row.measure == measure)


def test_each_measure_has_the_value_of_each_run(runs):
    """Values come from the runs' own summaries, differences from the first."""
    found = row(compare(*runs), "Forced volume")
    forced = float(runs[0].prints.usd[runs[0].prints.forced].sum())
    assert found.values == (pytest.approx(forced), 0.0)
    assert found.differences == (0.0, pytest.approx(-forced))
    assert found.ratios == (0.0, -1.0)


def test_fall_of_every_market_is_compared(runs):
    """Markets have a row each, so that a better rule shows where it helps."""
    comparison = compare(*runs)
    assert row(comparison, "ATOM/USDT fall").values[0] == pytest.approx(1 - 0.3 / 3.998)
    assert row(comparison, "WBETH/USDT fall").values[1] < 0.001


def test_ratio_to_nothing_is_none(runs):
    """Where the first run has 0 there is a difference but no ratio."""
    found = row(compare(*reversed(runs)), "Forced volume")
    assert found.differences[1] > 0
    assert np.isnan(found.ratios[1])


def test_measure_that_only_one_run_has_is_left_open(runs):
    """A figure that a run lacks is shown as not there, not as 0."""
    comparison = compare(*runs)
    found = row(comparison, "Makers' leverage at first forced sale")
    assert np.isnan(found.values[1])
    line = next(r for r in comparison.grid().rows if r[0] == found.measure)
    assert line[2:] == ("–", "–", "–")


def test_runs_are_labelled_with_what_was_changed(runs):
    """The first stands as it is; the second has its change, or its variation's name."""
    assert compare(*runs).labels == ("as it stands", "oracles.WBETH.policy=outside")


def test_text_has_values_and_both_differences(runs):
    """A share differs by percentage points, and by a share of itself."""
    text = str(compare(*runs))
    assert "−92.4 pp" in text
    assert "−100.0 %" in text


def test_seeds_that_differ_are_said(runs):
    """Chance is part of the difference of two seeds."""
    other = fake_run(seed=8)
    comparison = compare(runs[0], other)
    assert comparison.labels == ("seed 7", "seed 8")
    assert "The seeds differ" in str(comparison)
    assert "The seeds differ" not in str(compare(*runs))


def test_times_of_a_run_over_a_day_have_the_day():
    """In text and table; with a time of day alone, 00:00:40 could be either."""
    loaded = load(SMALL).vary({"start": 86_380.0})
    base, other = loaded.run(seed=0), loaded.vary({"gateway.rate": 30_000}).run(seed=0)
    summary = str(base.summary())
    assert "first shock at day 1, 23:59:45" in summary
    assert "first at" in summary
    assert "day 1, 23:59:50" in summary, "the first forced sale"
    assert base.why(event_id=len(base.log)).steps[0].when.startswith("day 2, 00:00")
    assert "trades as the first until day 1, 23:59" in str(compare(base, other))
    axis = base.plot().layout.xaxis
    assert axis.ticktext[0] == "day 1, 23:59:40"


def test_protocols_around_an_exchange_are_compared():
    """What differs most comes behind the lines of the exchange, as far as it fits."""
    base = load("whole-chain").vary({"duration": 60, "shocks.3.at": 60})
    other = base.vary({"pools.curve.reserves.USDE": 50_000_000})
    comparison = compare(base.run(seed=0), other.run(seed=0))
    told = [row.measure for row in comparison.rows if row.unit == "measure"]
    assert told
    shown = [row[0] for row in comparison.grid().rows]
    assert shown[-1] in told
    assert "Forced volume" in shown


def test_equal_labels_are_numbered(runs):
    """Two runs of the same can still be told apart."""
    labels = compare(runs[0], runs[0], runs[0]).labels
    assert labels == ("as it stands", "as it stands #2", "as it stands #3")


def test_runs_part_where_their_trades_first_differ(runs):
    """The same story runs until the shock, and is said to."""
    assert parted(*runs) == pytest.approx(60.1)
    assert "the same trades as the first until 60.1 s" in str(compare(*runs))


def test_numbers_of_accounts_and_orders_are_no_difference(runs):
    """With a participant switched off those after it have other numbers."""
    run = runs[0]
    renumbered = evolve(
        run.prints,
        taker=run.prints.taker + 3,
        maker=run.prints.maker + 3,
        event=run.prints.event + 9,
        order=run.prints.order + 9,
        maker_order=run.prints.maker_order + 9,
    )
    assert parted(run, with_prints(run, renumbered)) is None
    side = run.prints.side.copy()
    side[5] ^= 1
    other = with_prints(run, evolve(run.prints, side=side))
    assert parted(run, other) == run.prints.time[5]


def test_small_differences_of_shares_are_shown():
    """99.94 % against 99.90 % is 0.04 points, not none."""
    cells = _line(Row("fall", "share", (0.9994, 0.9990)))
    assert cells == ("fall", "99.94 %", "99.90 %", "−0.04 pp", "−0.04 %")


def test_takeovers_and_the_fund_are_compared(runs):
    """Both come from the headline figures of each run."""
    comparison = compare(*runs)
    taken = row(comparison, "Taken over by the insurance fund")
    assert taken.values == (5.7e4, 0.0)
    assert row(comparison, "Insurance fund, change").values[0] == -5e4


def test_variation_is_named_whichever_run_comes_first():
    """Changes that equal a named variation have its name, before or after the base."""
    loaded = load("unified-margin-wick")
    base = fake_run()
    plain = evolve(base, scenario=loaded)
    varied = evolve(base, scenario=loaded.variation("no-withdrawal"))
    assert _labels([plain, varied]) == ("as it stands", "no-withdrawal")
    assert _labels([varied, plain]) == ("no-withdrawal", "as it stands")


def test_same_runs_never_part(runs):
    """A run has no difference from its own repetition."""
    again = fake_run()
    assert parted(runs[0], again) is None
    assert "the same as the first, trade by trade" in str(compare(runs[0], again))


def test_run_that_ends_earlier_parts_at_the_first_trade_it_lacks(runs):
    """Missing trades are a difference."""
    shorter = fake_run(rounds=1)
    assert parted(runs[0], shorter) == pytest.approx(64.0)


def test_one_run_is_not_compared(runs):
    """There must be something to compare with."""
    with pytest.raises(ValueError, match=r"'runs' must be two or more \(got 1\)"):
        compare(runs[0])


def test_figure_has_the_price_of_each_run(runs):
    """The overlay shows the market of the deepest print, a line for each run."""
    figure = compare(*runs).figure()
    assert [trace.name for trace in figure.data] == list(compare(*runs).labels)
    assert min(figure.data[0].y) == 0.3
    assert figure.layout.title.text.startswith("ATOM/USDT fell 92.5 %; otherwise 0.1 %")


def test_html_has_the_table(runs):
    """A notebook shows the rows of the text."""
    page = compare(*runs)._repr_html_()
    assert page.count("<tr>") == len(compare(*runs).rows) + 1
