"""Targets are judged by what the runs of a scenario measure."""

from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import pytest
from scenario_text import MINI

from flashwick.engine import simulation
from flashwick.engine.scenario import LoadedScenario, ScenarioError, load
from flashwick.engine.verify import SOMETIMES, Verification, verify

ROOT = Path(__file__).parents[2]
Measure = Callable[[LoadedScenario, int], dict[str, Any]]


class FakeRun:
    """A run that measures what the test says."""

    def __init__(self, measures: dict[str, Any]) -> None:
        self._measures = measures

    def measures(self) -> dict[str, Any]:
        """The figures."""
        return self._measures


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

        monkeypatch.setattr(simulation, "simulate", simulate)
        path = tmp_path / "judged.toml"
        path.write_text(MINI[: MINI.index("[[targets]]")] + targets)
        return verify(load(path), seeds)

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
    load(tmp_path / "judged.toml").verify(2, lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen == [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]


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
