"""Scenarios side by side over seeds: differences, their statistics, their variance."""

from math import isnan, nan
from pathlib import Path

import pytest
from attrs import evolve
from fakes import fake_run
from played import on
from played import stage as stage

import flashwick as fw
from flashwick.engine.lab.compare import compare
from flashwick.engine.lab.paired import PairedRow
from flashwick.engine.lab.replays import Failure
from flashwick.engine.lab.spread import estimate, variance

SMALL = Path(__file__).parents[1] / "scenarios" / "small-crash.toml"


@pytest.fixture(scope="module")
def small():
    """The small crash, and without its old bids, over four seeds."""
    crash = fw.load(SMALL)
    return compare(crash, crash.vary({"stale_bids.*.enabled": False}), seeds=4, jobs=2)


NOISE = (3.0, -1.0, 4.0, 1.0, -5.0)


@pytest.fixture
def found(stage):
    """A measure of noise that both have, and 2 more with a bit of noise of its own."""

    def measure(scenario, seed):
        off = 0 not in on(scenario)
        return NOISE[seed] + off * (2.0 + 0.1 * (seed % 2))

    stage.measure = measure
    varied = stage.scenario.vary({"market_makers.alpha.beta": 1.0})
    return compare(stage.scenario, varied, seeds=5, jobs=1)


def test_differences_are_taken_seed_by_seed(found):
    """Of each seed the one less the other."""
    row = found.row("m")
    assert row.values[0] == NOISE
    assert row.differences() == pytest.approx((2.0, 2.1, 2.0, 2.1, 2.0))
    assert row.differences(0) == (0.0,) * 5
    assert row.difference() == estimate(row.differences())
    assert row.median() == pytest.approx(2.0)
    assert row.sign_test() == 2 / 32
    assert row.median_interval() == pytest.approx((2.0, 2.1, 1 - 2 / 32))


def test_common_random_numbers_take_variance_away(found):
    """What chance does to both cancels; without pairing it would count twice."""
    row = found.row("m")
    paired, apart = row.variances()
    assert paired == pytest.approx(variance(row.differences()))
    assert apart == pytest.approx(variance(row.values[0]) + variance(row.values[1]))
    assert row.reduction() == 1 - paired / apart > 0.999
    (line,) = found.reduction().rows
    assert line[3].startswith("+99.9")


def test_difference_that_chance_hides_unpaired_is_sure_paired(found):
    """The interval leaves out 0 only because the seeds are the same."""
    row = found.row("m")
    assert row.difference().sure
    apart = row.variances()[1]
    assert row.difference().mean < 2.0 * (apart / 5) ** 0.5


def test_seeds_without_the_figure_are_left_out():
    """Of a seed that has it under one scenario only there is no difference."""
    row = PairedRow("m", ((1.0, nan, 3.0), (2.0, 5.0, 6.0)))
    assert row.differences()[::2] == (1.0, 3.0)
    assert isnan(row.differences()[1])
    assert row.difference().n == 2
    assert row.variances() == (pytest.approx(2.0), pytest.approx(2.0 + 8.0))
    nothing = PairedRow("m", ((nan,), (1.0,)))
    assert isnan(nothing.difference().mean)
    assert isnan(nothing.reduction())


def test_labels_and_title_say_what_is_compared(found):
    """As in a comparison of runs."""
    assert found.labels == ("as it stands", "market_makers.alpha.beta=1.0")
    assert found.title == "mini, 5 seeds, the same for each"
    assert str(found).startswith(found.title)
    assert found._repr_html_().count("<table>") == 1


def test_failed_replay_costs_only_its_seed(stage):
    """It is listed, and the other seeds are compared."""

    def measure(scenario, seed):
        if seed == 1 and 0 not in on(scenario):
            raise ZeroDivisionError("by the test")
        return float(seed)

    stage.measure = measure
    varied = stage.scenario.vary({"market_makers.alpha.beta": 1.0})
    found = compare(stage.scenario, varied, seeds=3, jobs=1)
    assert found.row("m").difference().n == 2
    ((label, seed, failure),) = found.failed
    assert (label, seed) == (found.labels[1], 1)
    assert isinstance(failure, Failure)
    assert "seed 1 failed: by the test" in str(found)


def test_scenario_that_always_fails_cannot_be_compared(stage):
    """There is nothing to take a difference of; the first failure is told."""

    def measure(scenario, seed):
        if 0 not in on(scenario):
            raise ZeroDivisionError("by the test")
        return float(seed)

    stage.measure = measure
    varied = stage.scenario.vary({"market_makers.alpha.beta": 1.0})
    with pytest.raises(fw.OutcomeError, match=r"every replay of .* failed: by") as e:
        compare(stage.scenario, varied, seeds=2, jobs=1)
    assert "ZeroDivisionError" in e.value.__notes__[0]


def test_unknown_measure_is_told_with_the_nearest(small):
    """As every name is."""
    with pytest.raises(LookupError, match=r"'alts.deepest_drp'.*'alts.deepest_drop'"):
        small.row("alts.deepest_drp")
    with pytest.raises(LookupError, match="'measure' must be one"):
        small.figure("nothing like it")


def test_pairs_are_the_runs_themselves(small):
    """Every value is that of a run of this scenario with this seed."""
    crash = fw.load(SMALL)
    run = crash.vary({"stale_bids.*.enabled": False}).run(seed=3)
    for name in ("forced_usd", "trades", "ATOM/USDT.drop"):
        assert small.row(name).values[1][3] == run.measures()[name]


def test_table_has_general_measures_and_falls(small):
    """Details of single markets and shocks are in the rows, not in the table."""
    text = str(small)
    assert "forced_usd" in text
    assert "ATOM/USDT.drop" in text
    assert "shock.1.vwap" not in text
    assert small.row("shock.1.vwap").values
    assert "more measures in .rows" in text
    assert "alts.deepest_bidder" not in [row.measure for row in small.rows]


def test_pictures_have_a_dot_for_each_seed(small):
    """All measures that differ, in shares of the larger mean; or one, seed by seed."""
    dots, means = small.figure().data
    assert len(dots.x) <= 4 * len(means.y)
    # Of two means of one sign within ±1, of two signs within ±2.
    assert max(map(abs, means.x)) <= 2.0
    lines = small.figure("forced_usd").data
    assert len(lines) == 5
    assert list(lines[0].y) == [small.row("forced_usd").values[k][0] for k in (0, 1)]


def test_report_is_a_page(small, tmp_path):
    """Differences and what common random numbers did."""
    page = small.report(tmp_path / "seeds.html").read_text("utf-8")
    assert "Common random numbers" in page
    assert "forced_usd" in page


def test_three_scenarios_have_a_table_each(small):
    """All against the first."""
    third = evolve(
        small,
        scenarios=(*small.scenarios, small.scenarios[0]),
        labels=(*small.labels, "third"),
        rows=tuple(
            evolve(row, values=(*row.values, row.values[0])) for row in small.rows
        ),
    )
    assert "third less as it stands" in str(third)
    assert third.row("forced_usd").differences(2) == (0.0,) * 4


def test_progress_is_told_over_all_scenarios(stage):
    """From the first replay of the first to the last of the last."""
    told = []
    compare(
        stage.scenario,
        stage.scenario,
        seeds=3,
        jobs=1,
        on_progress=lambda part, done: told.append((part, done)),
    )
    assert told == sorted(told)
    assert told[-1] == (1.0, 6)


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        ({"seeds": 0}, ValueError, "'seeds' must be"),
        ({"seeds": "x"}, TypeError, "'seeds' must be"),
        ({"jobs": 0}, ValueError, "'jobs' must be"),
        ({"executor": 3}, TypeError, "'executor' must be"),
    ],
)
def test_wrong_arguments_are_told(stage, more, error, text):
    """Each with its name, what it must be, and what came."""
    with pytest.raises(error, match=text):
        compare(stage.scenario, stage.scenario, **more)
    assert stage.runs == []


def test_runs_and_scenarios_are_not_mixed(stage):
    """Nor are runs that are done given seeds."""
    run = fake_run()
    with pytest.raises(TypeError, match="'runs' must be runs, or scenarios: all of"):
        compare(run, stage.scenario)
    with pytest.raises(TypeError, match="all of one kind"):
        compare(run, 3)
    with pytest.raises(ValueError, match="'seeds' must be left out: runs are done"):
        compare(run, run, seeds=3)
    with pytest.raises(ValueError, match=r"two or more \(got 1\)"):
        compare(stage.scenario, seeds=3)
