"""How far one value can go before an outcome leaves its bound."""

from math import inf, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import stage as stage

import flashwick as fw
from flashwick.engine.lab.edge import Bound, exactly
from flashwick.engine.lab.frontier import FrontierError, _Scale, frontier
from flashwick.engine.lab.outcomes import OutcomeError

RATE = "gateway.rate"


def value_of(scenario):
    """What the search made of the rate."""
    return scenario.config.gateway.rate


def edge_at(*limits):
    """A measure that is 1 above a limit, one limit for each seed."""
    return lambda scenario, seed: float(value_of(scenario) > limits[seed])


def search(stage, *, between=(1000.0, 9000.0), keep="m < 1", seeds=1, **more):
    """Search the rate of the stage's scenario."""
    return frontier(stage.scenario, RATE, between, keep, seeds, jobs=1, **more)


# -- WHAT COMES OUT


@given(st.floats(1001, 8998), st.integers(2, 9), st.floats(0.5, 500))
@settings(max_examples=60)
def test_scale_closes_in_on_an_edge(limit, scan, tolerance):
    """Wherever it is, the bracket holds it and is no wider than asked for."""
    scale = _Scale(1000.0, 9000.0, tolerance, log=False, whole=False)
    points = scale.scan(scan)
    good = max(v for v in points if v <= limit)
    bad = min(v for v in points if v > limit)
    halved = 0
    while (middle := scale.middle(good, bad)) is not None:
        good, bad = (middle, bad) if middle <= limit else (good, middle)
        halved += 1
    assert good <= limit < bad
    assert bad - good <= tolerance
    assert halved <= scale.rounds(points) + 1


def test_bracket_holds_the_edge(stage):
    """The last good value is at or below it, the first bad one above, and close."""
    stage.measure = edge_at(4321.0)
    found = search(stage, tolerance=1.0)
    assert found.good.value <= 4321.0 < found.bad.value
    assert found.bad.value - found.good.value <= 1.0
    assert found.good.holds
    assert not found.bad.holds
    assert found.monotone


def test_good_end_may_be_the_greater_one(stage):
    """The bound holds above: the last good value is the smallest such."""
    stage.measure = lambda scenario, _: -value_of(scenario)
    found = search(stage, keep="m <= -4321", tolerance=1.0)
    assert found.good.value >= 4321.0 > found.bad.value
    assert found.good.value - found.bad.value <= 1.0
    assert "but not at" in found.finding


def test_whole_numbers_end_next_to_each_other(stage):
    """Between two integers that are neighbours there is nothing to look at."""
    stage.measure = edge_at(4321.0)
    found = search(stage, between=(1000, 9000), tolerance=0.1)
    assert (found.good.value, found.bad.value) == (4321, 4322)
    assert all(isinstance(each.value, int) for each in found.evaluations)


def test_log_scale_halves_ratios(stage):
    """Each value is the geometric mean of its neighbours; the bracket is relative."""
    stage.measure = edge_at(2.0)
    found = search(stage, between=(1e-2, 1e4), log=True, scan=2, tolerance=1e-3)
    assert found.good.value <= 2.0 < found.bad.value
    assert found.bad.value / found.good.value <= 1.001
    tried = [run[0][RATE] for run in stage.runs]
    assert tried[2] == pytest.approx(sqrt(1e-2 * 1e4), rel=1e-4)
    assert len(tried) < 20


def test_scan_is_evenly_spaced(stage):
    """On both scales, with both ends."""
    stage.measure = edge_at(4321.0)
    search(stage, scan=5, tolerance=5000)
    assert [run[0][RATE] for run in stage.runs] == [1000, 3000, 5000, 7000, 9000]
    assert _Scale(1.0, 16.0, 0.1, log=True, whole=False).scan(5) == pytest.approx(
        [1, 2, 4, 8, 16]
    )
    assert _Scale(1, 3, 0.1, log=False, whole=True).scan(9) == [1, 2, 3]


def test_every_value_has_the_same_seeds(stage):
    """Common random numbers: each seed at each value once."""
    stage.measure = edge_at(4321.0, 5000.0)
    found = search(stage, seeds=[1, 0], tolerance=100.0)
    seeds = [seed for _, seed in stage.runs]
    assert seeds == [1, 0] * len(found.evaluations)
    assert len(stage.runs) == len({(run[0][RATE], run[1]) for run in stage.runs})


@pytest.mark.parametrize(
    ("over", "edge"),
    [
        ("all", 3000.0),
        ("median", 4500.0),
        (0.75, 4000.0),
        (0.25, 6000.0),
        (1.0, 3000.0),
    ],
)
def test_rule_over_seeds_decides(stage, over, edge):
    """For all seeds the first limit counts, for a share of them a later one."""
    limits = 3000.0, 4000.0, 5000.0, 6000.0
    if over == "median":
        stage.measure = lambda s, seed: value_of(s) - limits[seed]
        found = search(stage, keep="m <= 0", seeds=4, over=over, tolerance=1.0)
    else:
        stage.measure = edge_at(*limits)
        found = search(stage, seeds=4, over=over, tolerance=1.0)
    assert found.good.value <= edge < found.bad.value


def test_infinite_outcome_is_beyond_every_bound(stage):
    """Who never recovers has not recovered in time."""
    stage.measure = lambda s, _: inf if value_of(s) > 4321 else 5.0
    found = search(stage, keep="m < 60", tolerance=10.0)
    assert found.good.value <= 4321 < found.bad.value
    assert "∞" in str(found)


def test_second_edge_is_told(stage):
    """Where the bound holds again further on, it says so and where."""

    def measure(scenario, _):
        value = value_of(scenario)
        return float(2500 < value < 4500 or value > 6500)

    stage.measure = measure
    found = search(stage, scan=9, tolerance=50.0)
    assert not found.monotone
    assert found.good.value <= 2500 < found.bad.value
    assert "It is not the only edge: there are others between 4,000 and 5,000" in str(
        found
    )
    stage.measure = edge_at(2500.0)
    assert "not the only edge" not in str(search(stage, tolerance=50.0))


def test_several_places_have_the_same_value(stage):
    """A list of places, or a star, is one knob."""
    stage.measure = lambda s, _: float(s.config.market_makers["beta"].withdraw_at > 2)
    places = [f"market_makers.{name}.withdraw_at" for name in ("alpha", "beta")]
    found = frontier(stage.scenario, places, (1.0, 3.0), "m < 1", 1, jobs=1)
    assert found.good.changes == dict.fromkeys(places, found.good.value)
    assert found.place == ", ".join(places)
    star = "market_makers.*.withdraw_at"
    again = frontier(stage.scenario, star, (1.0, 3.0), "m < 1", 1, jobs=1)
    assert again.good.value == found.good.value


def test_function_makes_the_changes(stage):
    """Whatever a value means, as long as changes come of it."""

    def slower(share):
        return {RATE: 1000.0 * (1.0 - share)}

    stage.measure = lambda s, _: value_of(s)
    found = frontier(stage.scenario, slower, (0.0, 0.9), "m >= 400", 1, jobs=1)
    assert found.good.value <= 0.6 < found.bad.value
    assert found.place == "slower"


def test_table_and_picture_have_every_value(stage):
    """A row and a dot for each; both sides are marked."""
    stage.measure = edge_at(4321.0, 5000.0)
    found = search(stage, seeds=2, tolerance=500.0)
    grid = found.grid()
    assert len(grid.rows) == len(found.evaluations)
    assert [row[-1] for row in grid.rows].count("last good") == 1
    assert [row[-1] for row in grid.rows].count("first bad") == 1
    assert grid.rows[0][4] == "2 of 2"
    figure = found.figure()
    dots = sum(len(trace.x) for trace in figure.data if trace.mode == "markers")
    assert dots == 2 * len(found.evaluations)
    assert exactly(found.good.value) in figure.layout.title.text
    assert found._repr_html_().count("<tr>") == len(found.evaluations) + 1


def test_report_is_a_page(stage, tmp_path):
    """The finding and the table in one file."""
    stage.measure = edge_at(4321.0)
    found = search(stage, tolerance=500.0)
    page = found.report(tmp_path / "edge.html").read_text("utf-8")
    assert "m &lt; 1 holds in all seeds" in page


# -- ONCE MORE


def test_rerun_on_both_sides_confirms(stage):
    """The same seeds give the same outcomes; other seeds are asked the same."""
    stage.measure = edge_at(4321.0, 4400.0, 100.0)
    found = search(stage, seeds=2, tolerance=10.0)
    runs = len(stage.runs)
    again = found.confirm(jobs=1)
    assert len(stage.runs) == runs + 4
    assert again.ok
    assert again.same
    assert str(again).startswith("confirmed, every outcome as before")
    other = found.confirm([2], jobs=1)
    assert not other.ok
    assert not other.same
    assert str(other).startswith("not confirmed\n")
    assert "does not hold" in other._repr_html_()


def test_rerun_that_differs_is_told(stage):
    """If the program has changed under it, nothing is confirmed in silence."""
    stage.measure = edge_at(4321.0)
    found = search(stage, tolerance=10.0)
    stage.measure = lambda s, _: 3.0 * (value_of(s) > 4321)
    again = found.confirm(jobs=1)
    assert again.ok
    assert not again.same
    assert "with other outcomes than before" in str(again)


def test_what_is_kept_is_not_run_again(stage, tmp_path):
    """A finer search goes on from the coarse one."""
    stage.measure = edge_at(4321.0)
    kept = tmp_path / "kept"
    search(stage, into=kept, tolerance=1000.0)
    coarse = len(stage.runs)
    found = search(stage, into=kept, resume=True, tolerance=10.0)
    assert len(stage.runs) == len(found.evaluations) > coarse
    whole = search(stage, into=kept, resume=True, tolerance=10.0)
    assert len(stage.runs) == len(found.evaluations)
    assert str(whole) == str(found)


def test_progress_is_told_up_to_the_end(stage):
    """Fractions that never fall, and how many replays are done."""
    told = []
    stage.measure = edge_at(4321.0, 4000.0)
    found = search(
        stage, seeds=2, on_progress=lambda part, done: told.append((part, done))
    )
    assert told == sorted(told)
    assert told[-1] == (1.0, 2 * len(found.evaluations))


# -- WHAT IS REFUSED


def test_bound_that_does_not_part_the_ends_is_told(stage):
    """With what came out at both, and what to do; and if it is parted in between."""
    stage.measure = lambda *_: 0.25
    with pytest.raises(FrontierError, match=r"at both ends: 1000\.0 \(0\.25\), 9000"):
        search(stage)
    told = "m > 1 holds at neither end: .*; widen the range or move the bound"
    with pytest.raises(FrontierError, match=told):
        search(stage, keep="m > 1")
    stage.measure = lambda _, seed: float(seed)
    told = r"1000\.0 \(median 1, from 0 to 2\), 9000\.0 \(median 1, from 0 to 2\);"
    with pytest.raises(FrontierError, match=told):
        search(stage, keep="m > 2", seeds=3)
    stage.measure = lambda s, _: float(4000 < value_of(s) < 6000)
    with pytest.raises(FrontierError, match=r"but not at 5000\.0; narrow"):
        search(stage)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"keep": "m"}, ValueError, r"'keep' must be a measure.* \(got 'm'\)"),
        ({"keep": "m == 3"}, ValueError, "'keep' must be a measure"),
        ({"keep": "m => 3"}, ValueError, r"got 'm => 3'\); write one of <, <=, >, >="),
        ({"keep": "m < x"}, ValueError, "'keep' must be a measure"),
        ({"keep": "m < nan"}, ValueError, "'keep' must be a measure"),
        ({"keep": 3}, TypeError, "'keep' must be a measure"),
        ({"keep": "mm < 1"}, OutcomeError, "did you mean 'm'"),
        ({"over": "most"}, ValueError, "'over' must be 'all', 'median'"),
        ({"over": 0.0}, ValueError, "'over' must be 'all', 'median'"),
        ({"over": True}, ValueError, "'over' must be 'all', 'median'"),
        ({"between": (3, 1)}, ValueError, r"the least value first.* \(got 3, 1\)"),
        ({"between": (1, 1)}, ValueError, "the least value first"),
        ({"between": 3}, TypeError, "'between' must be the least and the greatest"),
        ({"between": (1, "x")}, TypeError, "'between' must be the least"),
        ({"between": (1, inf)}, TypeError, "'between' must be the least"),
        ({"between": (0, 3), "log": True}, ValueError, "above 0 on a log scale"),
        ({"tolerance": 0}, ValueError, r"'tolerance' must be above 0 \(got 0\)"),
        ({"tolerance": "x"}, TypeError, "'tolerance' must be a number above 0"),
        ({"scan": 1}, ValueError, "'scan' must be a whole number from 2"),
        ({"seeds": 0}, ValueError, "'seeds' must be"),
        ({"jobs": 0}, ValueError, "'jobs' must be"),
        ({"place": "gateway.rat"}, fw.ScenarioError, "did you mean 'rate'"),
        ({"place": []}, ValueError, "'place' must name at least one"),
        ({"place": 3}, TypeError, "'place' must be a place of the scenario"),
        ({"place": {RATE: 1}}, TypeError, "'place' must be a place of the scenario"),
        ({"place": lambda v: v}, TypeError, "a function that returns changes"),
        ({"between": (-1.0, 3.0)}, fw.ScenarioError, "gateway.rate"),
        ({"window": ("9", "10")}, ValueError, r"'window' must be a time .*got 9"),
        ({"window": ("9:00",)}, TypeError, "'window' must be two times of day"),
        ({"window": (9, 10)}, TypeError, "'window' "),
        ({"scenario": 5}, TypeError, "'source' must be"),
    ],
)
def test_wrong_arguments_are_told(stage, given, error, text):
    """Each with its name, what it must be, and what came; nothing is run."""
    asked = {
        "scenario": stage.scenario,
        "place": RATE,
        "between": (1000.0, 9000.0),
        "keep": "m < 1",
        "seeds": 1,
        "jobs": 1,
    }
    with pytest.raises(error, match=text):
        frontier(**(asked | given))
    assert len(stage.runs) <= 1


def test_replay_without_the_figure_is_told(stage):
    """At which value, with which seed, and why."""
    stage.measure = lambda s, _: None if value_of(s) > 4000 else 0.0
    with pytest.raises(
        OutcomeError, match=r"at gateway\.rate = 5000\.0, seed 0: nothing of the kind"
    ):
        search(stage)


def test_bound_reads_every_sign():
    """With and without spaces; a window goes with the measure."""
    for sign, held in (("<", False), ("<=", True), (">", False), (">=", True)):
        bound = Bound.parse(f"A/B.low{sign}2e6", "all", ("21:00", "21:30"))
        assert bound.held(2e6) == held
        assert bound.wanted == ("A/B.low", ("21:00", "21:30"))
        assert str(bound) == f"A/B.low 21:00–21:30 {sign} 2e+06"


# -- ON A REAL BOOK


def test_size_that_sweeps_the_last_bid_of_atom():
    """All bids above 0.001 hold 7,164.152 ATOM: 7,164 leave 0.24, one more does not."""
    crash = fw.load("atom-sweep")
    found = fw.frontier(
        crash,
        lambda qty: {"shocks.0.qty": str(qty)},
        (1_000, 9_695),
        "shock.0.last >= 0.24",
        seeds=1,
        tolerance=1,
        jobs=1,
    )
    assert (found.good.value, found.bad.value) == (7164, 7165)
    assert found.good.outcomes == (0.24,)
    assert found.bad.outcomes == (0.001,)
    assert found.confirm(jobs=1).same
