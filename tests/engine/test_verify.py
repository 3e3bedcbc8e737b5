"""Targets are judged by what the runs of a scenario measure."""

from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import pytest
from scenario_text import MINI

from flashwick.engine.arguments import suggest
from flashwick.engine.lab.replays import SOMETIMES
from flashwick.engine.lab.verify import Verification, verify
from flashwick.engine.look import NoFigure, UnknownMeasure
from flashwick.engine.scenario import LoadedScenario, ScenarioError, load

ROOT = Path(__file__).parents[2]
Measure = Callable[[LoadedScenario, int], dict[str, Any]]


class FakeRun:
    """A run that measures what the test says."""

    def __init__(self, measures: dict[str, Any]) -> None:
        self._measures = measures

    def measures(self) -> dict[str, Any]:
        """The figures."""
        return self._measures

    def measure(self, name: str, window: tuple[str, str] | None) -> Any:
        """One of them, whatever the window."""
        if name not in self._measures:
            near = suggest(name, self._measures, listed=0)
            raise UnknownMeasure(f"{name!r} is no measure of the run{near}")
        return self._measures[name]


Judge = Callable[..., Verification]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Verify a scenario with these targets, whose runs measure this."""

    def verified(targets: str, measure: Measure, seeds: int | None = 1) -> Verification:
        def simulate(
            scenario: LoadedScenario, seed: int, on_progress: Callable[..., None]
        ) -> FakeRun:
            on_progress(0.5, 5.0)
            on_progress(1.0, 10.0)
            return FakeRun(measure(scenario, seed))

        monkeypatch.setattr(LoadedScenario, "run", simulate)
        path = tmp_path / "judged.toml"
        path.write_text(MINI[: MINI.index("[[targets]]")] + targets)
        return verify(load(path), seeds, jobs=1)

    return verified


def target(rest: str, name: str = "low") -> str:
    """A target of the measure m."""
    return f'[[targets]]\nid = "{name}"\nmeasure = "m"\nsource = "a book"\n{rest}\n'


@pytest.mark.parametrize(
    ("rest", "value", "verdict"),
    [
        ("value = 9170.080188", 9170.080188, "ok"),
        ("value = 9170.080188", 9170.080189, "miss"),
        # The same decimal, summed in floats: less than an atom away.
        ("value = 0.3", 0.1 + 0.2, "ok"),
        ("value = 0", 0, "ok"),
        ("value = 0", 1e-9, "miss"),
        ("value = 5\ntolerance = 0.5", 5.5, "ok"),
        ("value = 5\ntolerance = 0.5", 4.49, "miss"),
        ("band = [1, 2]", 1, "ok"),
        ("band = [1, 2]", 2.0, "ok"),
        ("band = [1, 2]", 2.001, "miss"),
        ("band = [1, 2]", 0.999, "miss"),
        ("band = [1, 2]", nan, "miss"),
        ("value = 5\ntolerance = 99", nan, "miss"),
    ],
)
def test_figure_is_held_against_value_or_band(
    rest: str, value: float, verdict: str, judge: Judge
) -> None:
    """Both ends of a band are in it; what is not a number is nowhere."""
    result = judge(target(rest), lambda *_: {"m": value})
    assert [row.verdict for row in result.rows] == [verdict]
    assert result.ok is (verdict == "ok")


@pytest.mark.parametrize(
    ("over", "values", "verdict"),
    [
        ("median", [1.0, 9.0, 1.5], "ok"),
        ("median", [9.0, 9.0, 1.5], "miss"),
        ("median", [1.5, 1.5, nan], "miss"),
        ("all", [1.0, 1.5, 2.0], "ok"),
        ("all", [1.0, 9.0, 1.5], "miss"),
    ],
)
def test_band_holds_for_the_median_or_for_all_seeds(
    over: str, values: list[float], verdict: str, judge: Judge
) -> None:
    """As the target says; a seed without a figure is a miss either way."""
    targets = target(f'band = [1, 2]\nover = "{over}"')
    result = judge(targets, lambda _, seed: {"m": values[seed]}, 3)
    assert result.rows[0].values == pytest.approx(values, nan_ok=True)
    assert result.rows[0].verdict == verdict


def test_variation_is_measured_in_its_own_runs(judge: Judge) -> None:
    """With relative, the ratio to the base run of the same seed."""

    def measure(scenario: LoadedScenario, seed: int) -> dict[str, Any]:
        calm = not scenario.config.market_makers["alpha"].withdraw
        return {"m": 10.0 * (seed + 1) * (0.2 if calm else 1.0)}

    result = judge(
        target('value = 3\nvariation = "calm"', "own")
        + target('value = 0.2\nvariation = "calm"\nrelative = true', "ratio")
        + target("value = 15", "base"),
        measure,
        2,
    )
    assert [row.values for row in result.rows] == [(2, 4), (0.2, 0.2), (10, 20)]
    assert result.ok
    assert [row.what for row in result.rows] == ["m [calm]", "m [calm / base]", "m"]


def test_ratio_to_nothing_is_a_miss(judge: Judge) -> None:
    """Not a division by zero."""
    targets = target('band = [0, 9]\nvariation = "calm"\nrelative = true')
    assert judge(targets, lambda *_: {"m": 0.0}).rows[0].verdict == "miss"


@pytest.mark.parametrize(
    ("measures", "note"),
    [
        ({"mm": 1.0}, "'m' is no measure of the run; did you mean 'mm'?"),
        ({"n": 1.0}, "'m' is no measure of the run"),
        ({"m": "ATOM"}, "'m' is text: 'ATOM'"),
    ],
)
def test_measure_that_does_not_exist_is_told_after_one_run(
    measures: dict[str, Any], note: str, judge: Judge
) -> None:
    """With its line, and the seeds that are left are not run."""
    runs = []

    def measure(_: LoadedScenario, seed: int) -> dict[str, Any]:
        runs.append(seed)
        return measures

    with pytest.raises(ScenarioError) as caught:
        judge(target("value = 1"), measure, 5)
    (problem,) = caught.value.problems
    line = MINI[: MINI.index("[[targets]]")].count("\n") + 3
    assert (problem.path, problem.line) == ("targets.0.measure", line)
    assert problem.message == note
    assert runs == [0]


def test_measures_of_variations_are_looked_for_in_their_own_runs(judge: Judge) -> None:
    """A variation may have what the base has not."""

    def measure(scenario: LoadedScenario, _: int) -> dict[str, Any]:
        calm = not scenario.config.market_makers["alpha"].withdraw
        return {"m": 1.0} if calm else {"n": 2.0}

    own = target('value = 1\nvariation = "calm"')
    other = target("value = 2", "base").replace('"m"', '"n"')
    assert judge(own + other, measure).ok
    with pytest.raises(ScenarioError, match=r"targets\.0\.measure: 'm' is no measure"):
        judge(own + "relative = true\n", measure)


def test_measure_that_only_some_runs_have_is_unknown(judge: Judge) -> None:
    """What nothing traded for is no slip of the pen: it does not hold, and says so."""
    sold = target("value = 1").replace('"m"', '"shock.0.last"')
    result = judge(sold, lambda *_: {"shock.0.prints": 0})
    assert result.rows[0].verdict == "unknown"
    assert result.rows[0].ours.startswith("is no measure of the run")
    assert not result.ok
    with pytest.raises(ScenarioError, match=r"shock\.9\.last"):
        judge(sold.replace("shock.0", "shock.9"), lambda *_: {"shock.0.prints": 0})


def test_measures_that_only_some_runs_have_are_spelled_as_runs_spell_them() -> None:
    """Each of them stands in the table of measures, which is held to the runs'."""
    known = (ROOT / "docs" / "scenarios.md").read_text("utf-8")
    for subject, figures in SOMETIMES.items():
        place = "shock.N" if subject == "shock" else subject
        for figure in figures:
            assert f"\n| `{place}.{figure}` |" in known


@pytest.mark.parametrize("seeds", [0, -1, 10_001, 1.5, "a", True])
def test_number_of_seeds_is_checked(seeds: Any, judge: Judge) -> None:
    """In one sentence, with what was given."""
    match = rf"'seeds' must be a whole number from 1 to 10,000 \(got {seeds!r}\)"
    with pytest.raises(ValueError, match=match):
        judge(target("value = 1"), lambda *_: {"m": 1.0}, seeds)


def test_only_required_targets_decide(judge: Judge) -> None:
    """A miss that is not required is shown, and counted."""
    result = judge(
        target("value = 1") + target("value = 2\nrequired = false", "hoped"),
        lambda *_: {"m": 1.0},
    )
    assert result.ok
    assert result.headline == "mini: 1 of 2 targets hold over 1 seed"
    assert "miss (not required)" in str(result)


def test_seeds_are_those_of_the_file_unless_given(judge: Judge) -> None:
    """From 0 on, the same for the base and every variation."""
    seen: list[tuple[int, bool]] = []

    def measure(scenario: LoadedScenario, seed: int) -> dict[str, Any]:
        seen.append((seed, scenario.config.market_makers["alpha"].withdraw))
        return {"m": 1.0}

    targets = target("value = 1") + target('value = 1\nvariation = "calm"', "calm")
    assert judge(targets, measure, None).seeds == 2
    assert sorted(seen) == [(0, False), (0, True), (1, False), (1, True)]
    seen.clear()
    # A base that no target is about is not run.
    judge(target('value = 1\nvariation = "calm"', "calm"), measure)
    assert seen == [(0, False)]


def test_progress_rises_to_one(judge: Judge, tmp_path: Path) -> None:
    """Over all runs together."""
    targets = target("value = 1") + target('value = 1\nvariation = "calm"', "c")
    judge(targets, lambda *_: {"m": 1.0})
    seen: list[float] = []
    judged = load(tmp_path / "judged.toml")
    judged.verify(2, lambda fraction, _: seen.append(fraction), jobs=1)
    assert seen == sorted(seen)
    eighths = [k / 8 for k in range(1, 9)]
    assert list(dict.fromkeys(seen)) == eighths


@pytest.mark.parametrize(
    ("rest", "value", "shown"),
    [
        ("value = 9170.080188", 9170.080188, "9,170.080188"),
        ("band = [0, 9]", 2.082356051, "2.082"),
        ("band = [0, 9]", 88413945.4, "88,413,945"),
        ("band = [0, 9]", 12, "12"),
        ("band = [0, 9]", nan, "nan"),
    ],
)
def test_exact_figures_keep_their_digits(
    rest: str, value: float, shown: str, judge: Judge
) -> None:
    """What is held against a value is shown whole, an estimate with four digits."""
    assert judge(target(rest), lambda *_: {"m": value}).rows[0].ours == shown


def test_table_shows_target_source_figures_and_verdict(judge: Judge) -> None:
    """As text, and in a notebook as HTML with nothing left unescaped."""
    text = target('band = [1000, 2500]\nunit = "<$>"')
    result = judge(text, lambda _, seed: {"m": 1000.0 + seed}, 3)
    assert str(result).splitlines() == [
        "target  measure  expected            ours                    verdict  source",
        "low     m        1,000 to 2,500 <$>  1,001 (1,000 to 1,002)  ok       a book",
        "mini: 1 of 1 targets hold over 3 seeds",
    ]
    html = result._repr_html_()
    assert "<td>1,000 to 2,500 &lt;$&gt;</td>" in html
    assert html.count("<tr>") == 2


# -- CALIBRATED AND ONLY CHECKED


@pytest.mark.parametrize(
    ("calibrated", "checked", "ok"),
    [
        ([1], [1, 1, 1, 1, 1, 1, 1, 9, 9, 9], True),
        ([1], [1, 1, 1, 1, 1, 1, 9, 9, 9, 9], False),
        ([9], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], False),
        ([1, 1], [], True),
    ],
)
def test_all_calibrated_and_enough_of_the_checked_must_hold(
    calibrated: list[int], checked: list[int], ok: bool, judge: Judge
) -> None:
    """Seven tenths of those that no parameter was fitted to."""
    text, values = "", {}
    for split, kinds in (("calibrated", calibrated), ("checked", checked)):
        for i, value in enumerate(kinds):
            name = f"{split}.{i}"
            values[name] = value
            rest = f'value = 1\nsplit = "{split}"'
            text += target(rest, name).replace('"m"', f'"{name}"')
    result = judge(text, lambda *_: values)
    assert result.ok is ok
    good = sum(value == 1 for value in checked)
    if checked:
        assert f"checked {good} of 10 (at least 70 % must)" in result.headline
        assert "calibrated 1 of 1" in result.headline or not ok


def test_weak_target_counts_on_neither_side(judge: Judge) -> None:
    """One that is not required is shown with its split, and decides nothing."""
    weak = target('value = 2\nsplit = "checked"\nrequired = false', "weak")
    result = judge(target("value = 1") + weak, lambda *_: {"m": 1.0})
    assert result.ok
    assert result.table[0][-2:] == ("split", "source")
    assert result.table[2][-3:-1] == ("miss (not required)", "checked")


def test_split_is_shown_only_if_a_target_has_one(judge: Judge) -> None:
    """Else the table has no column for it."""
    assert "split" not in judge(target("value = 1"), lambda *_: {"m": 1.0}).table[0]


def test_figure_is_taken_of_its_window(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the table says which."""
    windows = {("00:00", "00:00:05"): 1.0, ("00:00:05", "00:00:10"): 2.0}
    monkeypatch.setattr(FakeRun, "measure", lambda run, name, window: windows[window])
    text = target('value = 1\nwindow = ["00:00", "00:00:05"]')
    text += target('value = 2\nwindow = ["00:00:05", "00:00:10"]', "late")
    result = judge(text, lambda *_: {})
    assert result.ok
    assert [row.what for row in result.rows] == [
        "m 00:00–00:00:05",
        "m 00:00:05–00:00:10",
    ]


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ('["21.09", "22:00"]', r"targets\.0\.window\.0: must be a time of day, as in"),
        ('["00:00:08", "00:00:03"]', "must be in the run, 00:00 to 00:00:10, and in"),
        ('["00:00", "00:01"]', "must be in the run, 00:00 to 00:00:10, and in order"),
    ],
)
def test_window_outside_the_run_is_refused(
    window: str, message: str, judge: Judge
) -> None:
    """When the file is read."""
    with pytest.raises(ScenarioError, match=message):
        judge(target(f"value = 1\nwindow = {window}"), lambda *_: {"m": 1.0})


def test_reason_why_a_run_cannot_tell_stands_in_the_table(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not hold, and is no slip of the pen."""

    def measure(*_: Any) -> float:
        raise NoFigure("nobody was deleveraged then")

    monkeypatch.setattr(FakeRun, "measure", measure)
    row = judge(target("value = 1"), lambda *_: {}).rows[0]
    assert (row.verdict, row.ours) == ("unknown", "nobody was deleveraged then")


def test_rows_do_not_depend_on_the_number_of_processes() -> None:
    """Nor does progress go back."""
    seen: list[float] = []
    scenario = load("atom-sweep")
    one = scenario.verify(2, jobs=1)
    two = scenario.verify(2, lambda fraction, _: seen.append(fraction), jobs=2)
    assert one == two
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)
