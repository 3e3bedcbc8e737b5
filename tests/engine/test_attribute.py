"""Outcomes shared out to the mechanisms of a scenario."""

from math import fsum, inf

import pytest
from played import PLAYERS, on
from played import stage as stage

import flashwick as fw
from flashwick.engine.lab import shapley
from flashwick.engine.lab.attribute import EXACT, attribute, planned
from flashwick.engine.lab.kept import KeptError
from flashwick.engine.lab.outcomes import OutcomeError
from flashwick.engine.lab.spread import estimate


def players(n):
    """The first n switches."""
    return dict(list(PLAYERS.items())[:n])


def gloves(scenario, seed):
    """One left glove, two right ones: a pair is worth more with each seed."""
    who = set(on(scenario))
    return (1.0 + seed) * float(0 in who and bool(who & {1, 2}))


# -- WHAT COMES OUT


def test_shares_are_shapley_values(stage):
    """Of the glove game 2/3, 1/6 and 1/6 of each seed's whole; means and intervals."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 4, jobs=1)
    whole = estimate([1.0, 2.0, 3.0, 4.0])
    for row, part in zip(found.shares, (2 / 3, 1 / 6, 1 / 6), strict=True):
        assert row.share.mean == pytest.approx(2.5 * part)
        assert row.share.low == pytest.approx(whole.low * part)
        assert row.share.high == pytest.approx(whole.high * part)
        assert row.share.n == 4
    assert found.effect == whole
    assert (found.full.mean, found.none.mean) == (2.5, 0.0)


def test_knock_outs_are_full_less_without_one(stage):
    """Without the left glove all is lost, without a right one nothing."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 4, jobs=1)
    assert [row.knocked_out.mean for row in found.shares] == [2.5, 0.0, 0.0]
    assert [row.alone.mean for row in found.shares] == [0.0, 0.0, 0.0]


def test_pairs_tell_who_needs_whom(stage):
    """The left glove needs either right one; those stand in for each other."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 1, jobs=1)
    pairs = {pair: value.mean for pair, value in found.interactions.items()}
    assert pairs["m0", "m1"] == pairs["m0", "m2"] == pytest.approx(0.5)
    assert pairs["m1", "m2"] == pytest.approx(-0.5)
    assert "m1 and m2" in str(found.pairs())


def test_every_coalition_runs_once_with_every_seed(stage):
    """2**n times the seeds, with the others' changes made and no other."""
    stage.measure = gloves
    attribute(stage.scenario, "m", players(4), [3, 9], jobs=1)
    assert len(stage.runs) == 32
    assert {seed for _, seed in stage.runs} == {3, 9}
    changed = {tuple(sorted(changes)) for changes, _ in stage.runs}
    assert len(changed) == 16
    assert () in changed


def test_shares_sum_to_the_effect_of_all(stage):
    """To rounding, whatever the outcomes, exact or sampled."""

    def measure(scenario, seed):
        who = on(scenario)
        return 1e6 * sum(who) ** 2 / (1 + len(who)) + 0.1 * seed * len(who)

    stage.measure = measure
    for orders in (None, 6):
        found = attribute(stage.scenario, "m", players(5), 3, orders=orders, jobs=1)
        whole = fsum(row.share.mean for row in found.shares)
        assert whole == pytest.approx(found.effect.mean, rel=1e-12)


def test_many_mechanisms_are_sampled(stage):
    """Of ten the coalitions of some orders; the exact shares are in the intervals."""

    def measure(scenario, seed):
        who = on(scenario)
        return min(12.0, float(sum(who))) + 3.0 * (0 in who and 9 in who)

    stage.measure = measure
    found = attribute(stage.scenario, "m", PLAYERS, 2, orders=12, jobs=1)
    assert found.orders == 12
    assert (
        len(stage.runs)
        == 2 * len(found.values)
        == 2 * planned(stage.scenario, PLAYERS, 12)
    )
    assert len(found.values) < 2**10

    def game(coalition):
        who = [i for i in range(10) if coalition >> i & 1]
        return min(12.0, float(sum(who))) + 3.0 * (0 in who and 9 in who)

    exact = shapley.shares(10, game)
    held = [
        row.share.low <= value <= row.share.high
        for row, value in zip(found.shares, exact, strict=True)
    ]
    assert sum(held) >= 8
    assert "in 12 random orders" in found.title


def test_nine_are_sampled_by_themselves_and_eight_are_not(stage):
    """Exact up to eight; beyond, 16 orders."""
    assert EXACT == 8
    assert planned(stage.scenario, players(8)) == 256
    assert planned(stage.scenario, players(9)) < 512
    stage.measure = lambda scenario, _: float(len(on(scenario)))
    found = attribute(stage.scenario, "m", players(9), 1, jobs=1)
    assert found.orders == 16
    assert [row.share.mean for row in found.shares] == pytest.approx([1.0] * 9)


def test_single_seed_has_no_interval(stage):
    """What chance does is not known, and is not said to be nothing."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 1, jobs=1)
    assert found.shares[0].share.low != found.shares[0].share.low
    assert "–" in str(found.grid())


def test_text_tells_the_whole_and_the_largest_shares(stage):
    """With all on, with all off, and of the difference who has most."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 2, jobs=1)
    assert found.finding == (
        "m is 1.5 with all on and 0 with all off; of the difference m0 66.7 %, "
        "m1 16.7 % and m2 16.7 %."
    )
    text = str(found)
    assert "all 8 coalitions of 3 mechanisms, 2 seeds" in text
    assert "sum: all on less all off" in text
    assert "+100.0 %" in text
    assert text == repr(found)
    assert found._repr_html_().count("<table>") == 2


def test_outcome_that_nothing_changes_has_no_shares(stage):
    """All 0, and no part of an effect that is not there."""
    stage.measure = lambda *_: 0.25
    found = attribute(stage.scenario, "m", players(2), 2, jobs=1)
    assert [row.share.mean for row in found.shares] == [0.0, 0.0]
    assert found.finding == "m is 0.25 with all on and 0.25 with all off."
    assert "%" not in str(found.grid().rows)


def test_table_has_every_replay(stage):
    """What was on, the seed, and the outcome, as an Arrow table."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 2, jobs=1)
    rows = found.table().to_pylist()
    assert len(rows) == 16
    assert rows[0] == {"m0": True, "m1": True, "m2": True, "seed": 0, "outcome": 1.0}
    row = {"m0": True, "m1": False, "m2": True, "seed": 1, "outcome": 2.0}
    assert row in rows


def test_figures_have_a_bar_and_a_square_for_each(stage):
    """Shares with whiskers, knock-outs and alone; a symmetric table of pairs."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 3, jobs=1)
    bars, out, alone = found.figure().data
    assert list(bars.y) == list(out.y) == list(alone.y)
    assert bars.x[-1] == pytest.approx(found.ranked()[0].share.mean)
    assert bars.error_x.array[-1] > 0
    (squares,) = found.pairs_figure().data
    assert squares.z[0][1] == squares.z[1][0]
    assert squares.z[0][0] is None
    assert "m1 and m2" not in found.pairs_figure().layout.title.text


def test_report_is_a_page(stage, tmp_path):
    """Shares, pairs, switches and every coalition in one file."""
    stage.measure = gloves
    found = attribute(stage.scenario, "m", players(3), 2, jobs=1)
    page = found.report(tmp_path / "shares.html").read_text("utf-8")
    assert "of the difference m0 66.7" in page
    assert "Every coalition" in page


# -- KEPT AND RESUMED


def test_what_is_kept_is_not_run_again(stage, tmp_path):
    """More seeds, or another mechanism, cost only what is new."""
    stage.measure = gloves
    kept = tmp_path / "kept"
    first = attribute(stage.scenario, "m", players(3), 1, into=kept, jobs=1)
    assert len(stage.runs) == 8
    found = attribute(
        stage.scenario, "m", players(3), 2, into=kept, resume=True, jobs=1
    )
    assert len(stage.runs) == 16
    assert found.values[()] == (first.values[()][0], 0.0)
    again = attribute(
        stage.scenario, "m", players(3), 2, into=kept, resume=True, jobs=1
    )
    assert len(stage.runs) == 16
    assert str(again) == str(found)
    attribute(stage.scenario, "m", players(4), 1, into=kept, resume=True, jobs=1)
    assert len(stage.runs) == 24


def test_kept_outcomes_of_something_else_are_refused(stage, tmp_path):
    """Of another scenario, or without being asked to go on."""
    stage.measure = gloves
    kept = tmp_path / "kept"
    attribute(stage.scenario, "m", players(2), 1, into=kept, jobs=1)
    with pytest.raises(KeptError, match="go on with it"):
        attribute(stage.scenario, "m", players(2), 1, into=kept, jobs=1)
    other = stage.scenario.vary({"duration": 9})
    with pytest.raises(KeptError, match="another attribution"):
        attribute(other, "m", players(2), 1, into=kept, resume=True, jobs=1)
    with pytest.raises(ValueError, match="'resume' needs 'into'"):
        attribute(stage.scenario, "m", players(2), 1, resume=True, jobs=1)


def test_interrupted_attribution_goes_on(stage, tmp_path):
    """What was done before the interrupt is there."""

    def measure(scenario, seed):
        if len(stage.runs) == 5:
            raise KeyboardInterrupt
        return gloves(scenario, seed)

    stage.measure = measure
    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        attribute(stage.scenario, "m", players(3), 1, into=kept, jobs=1)
    stage.measure = gloves
    found = attribute(
        stage.scenario, "m", players(3), 1, into=kept, resume=True, jobs=1
    )
    assert len(stage.runs) == 5 + 4
    assert found.full.mean == 1.0


def test_progress_is_told_up_to_the_end(stage):
    """Fractions that never fall, and how many replays are done."""
    told = []
    stage.measure = gloves
    attribute(
        stage.scenario,
        "m",
        players(2),
        2,
        jobs=1,
        on_progress=lambda part, done: told.append((part, done)),
    )
    assert told == sorted(told)
    assert told[-1] == (1.0, 8)


# -- WHAT IS REFUSED


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"switches": None}, ValueError, r"mini has no \[switches\]"),
        ({"switches": []}, ValueError, r"from 1 to 40 \(got 0\)"),
        ({"switches": ["x"]}, ValueError, "'x' is none of the scenario"),
        ({"switches": "m0"}, TypeError, "'switches' must be names"),
        ({"switches": [1]}, TypeError, "'switches' must be names"),
        ({"switches": {"x": 1}}, TypeError, "'switches' must be names"),
        ({"switches": {"x": {}}}, ValueError, "must have what switches it off"),
        ({"switches": {"x": {"gateway.rat": 1}}}, fw.ScenarioError, "'rate'"),
        ({"outcome": 3}, TypeError, "'outcome' must be the name of a measure"),
        ({"outcome": "mm"}, OutcomeError, "'mm' is no measure.*did you mean 'm'"),
        ({"seeds": 0}, ValueError, "'seeds' must be"),
        ({"seeds": [1, 1]}, ValueError, "each seed once"),
        ({"orders": 3}, ValueError, r"even number \(got 3\)"),
        ({"orders": 0}, ValueError, "'orders' must be a whole number"),
        ({"jobs": 0}, ValueError, "'jobs' must be"),
        ({"executor": 1}, TypeError, "'executor' must be"),
        ({"scenario": 5}, TypeError, "'source' must be"),
        ({"window": ("9", "10")}, ValueError, r"'window' must be a time .*got 9"),
        ({"window": ("9:00",)}, TypeError, "'window' must be two times of day"),
        ({"window": (9, 10)}, TypeError, "'window' "),
        ({"scenario": "nothing"}, fw.ScenarioError, "not a shipped scenario"),
    ],
)
def test_wrong_arguments_are_told(stage, given, error, text):
    """Each with its name, what it must be, and what came; nothing is run."""
    asked = {
        "scenario": stage.scenario,
        "outcome": "m",
        "switches": players(2),
        "seeds": 1,
        "jobs": 1,
    }
    asked |= given
    if "executor" in given:
        asked["jobs"] = None
    with pytest.raises(error, match=text):
        attribute(**asked)
    assert len(stage.runs) <= 1


def test_switches_that_cannot_be_both_are_refused(stage):
    """A place belongs to one mechanism."""
    both = {"a": {"gateway.rate": 1e5}, "b": {"gateway.rate": 2e5}}
    with pytest.raises(ValueError, match=r"'a' changes gateway\.rate as well"):
        attribute(stage.scenario, "m", both, 1, jobs=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            None,
            "1 of 4 replays have none, the first without m0, seed 0: nothing",
        ),
        (
            float("nan"),
            "1 of 4 replays have none, the first without m0, seed 0: it is not",
        ),
        (inf, "must be finite in every replay; it is infinite without m0, seed 0"),
        ("ENJ/USDT", r"must be a measure with a number \(got 'ENJ/USDT'\)"),
    ],
)
def test_outcome_must_be_a_number_in_every_coalition(stage, value, text):
    """The first coalition that has none is named, and why."""
    stage.measure = lambda s, _: value if on(s)[0] == 1 else 1.0
    with pytest.raises(OutcomeError, match=text):
        attribute(stage.scenario, "m", players(1) | {"m1": PLAYERS["m1"]}, 1, jobs=1)


def test_replay_that_fails_is_told_with_its_traceback(stage, tmp_path):
    """Others are done and kept; it is run again on resuming."""

    def measure(scenario, seed):
        if seed == 1 and not on(scenario)[:1] == [0]:
            raise ZeroDivisionError("by the test")
        return gloves(scenario, seed)

    stage.measure = measure
    kept = tmp_path / "kept"
    with pytest.raises(OutcomeError, match="m0, m1, seed 1: by the test") as caught:
        attribute(stage.scenario, "m", players(2), 2, into=kept, jobs=1)
    assert "ZeroDivisionError" in caught.value.__notes__[0]
    stage.measure = gloves
    attribute(stage.scenario, "m", players(2), 2, into=kept, resume=True, jobs=1)
    assert len(stage.runs) == 8 + 2


# -- ON A REAL BOOK


def test_sweep_of_atom_is_shared_out():
    """Three changes of the real ladder; the last print goes from 1.3 to 0.001."""
    crash = fw.load("atom-sweep")
    orders = crash.document["ladders"][0]["orders"][:40]
    switches = {
        "no-band": {'markets."ATOM/USDT".price_band': 0.5},
        "deep-bids": {"ladders.0.orders": orders},
        "size": {"shocks.0.qty": "4000"},
    }
    found = fw.attribute(crash, "shock.0.last", switches, seeds=1, jobs=2)
    assert found.full.mean == 0.001
    assert found.none.mean == 1.3
    # By hand, from the outcomes of the eight coalitions.
    values = {on: value for on, (value,) in found.values.items()}
    names = tuple(switches)

    def game(coalition):
        return values[tuple(n for i, n in enumerate(names) if coalition >> i & 1)]

    assert [row.share.mean for row in found.shares] == pytest.approx(
        shapley.shares(3, game)
    )
    assert found.values["no-band", "deep-bids", "size"] == (0.001,)
    assert found.values["deep-bids", "size"] == (0.9,)


def test_wick_is_nothing_where_nothing_trades():
    """The median wick of a run without trades is 0, not unknown."""
    crash = fw.load("atom-sweep").vary({"ladders.0.orders": [["0.5", "1"]]})
    quiet = crash.vary({"shocks.0.side": "buy"}).run()
    assert len(quiet.prints.time) == 0
    assert quiet.measure("median_wick") == 0.0
    assert crash.run().measure("median_wick") == pytest.approx(1 - 0.5 / 1.745)
