"""What a sweep says of its table: medians, spread, pictures, and single replays."""

import builtins
from math import inf, nan
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flashwick.engine.lab.cases import Case
from flashwick.engine.lab.sweep_figures import response_figure, sweep_report
from flashwick.engine.lab.swept import FailedReplay, Sweep, figure_told, spread
from flashwick.engine.scenario import load

BAND, RATE = "markets.price_band", "gateway.rate"
SCENARIO = load("atom-sweep")
DEPTHS = {
    None: [0.9, 0.8, 0.7, 0.6, 0.5],
    0.3: [0.3, 0.3, 0.3, 0.3, 0.3],
    0.5: [0.5, nan, 0.4, inf, None],
}


def case(**shown: Any) -> Case:
    """A case that changes what it shows."""
    values = {{"band": BAND, "rate": RATE}[name]: v for name, v in shown.items()}
    name = ", ".join(f"{place}={value}" for place, value in values.items())
    return Case(name, values, values)


def swept(cases: list[Case], figures: dict[str, list[Any]], **extra: Any) -> Sweep:
    """A sweep with these columns of figures, case by case."""
    seeds = tuple(range(len(next(iter(figures.values()))) // len(cases)))
    columns: dict[str, Any] = {"case": [c.name for c in cases for _ in seeds]}
    for place in dict.fromkeys(place for c in cases for place in c.shown):
        columns[place] = [c.shown.get(place) for c in cases for _ in seeds]
    columns["seed"] = [seed for _ in cases for seed in seeds]
    given = {"asked": None, "failures": (), "directory": None} | extra
    return Sweep(
        scenario=SCENARIO,
        cases=tuple(cases),
        seeds=seeds,
        table=pa.table(columns | figures),
        **given,
    )


@pytest.fixture(scope="module")
def bands() -> Sweep:
    """Three bands, five seeds; a text and a figure that nobody has."""
    values = [value for depths in DEPTHS.values() for value in depths]
    figures = {
        "alts.deepest": ["ATOM/USDT"] * 15,
        "alts.deepest_drop": values,
        "forced_usd": [45_331_275.3] * 15,
    }
    return swept([case(band=band) for band in DEPTHS], figures)


def test_summary_has_median_and_spread_of_each_case(bands: Sweep) -> None:
    """What is not finite, or not there, is left out, and ``n`` says so."""
    assert bands.summary("alts.deepest_drop").to_pylist() == [
        {
            "case": f"{BAND}=None",
            "measure": "alts.deepest_drop",
            "n": 5,
            "median": 0.7,
            "low": pytest.approx(0.54),
            "high": pytest.approx(0.86),
        },
        {
            "case": f"{BAND}=0.3",
            "measure": "alts.deepest_drop",
            "n": 5,
            "median": 0.3,
            "low": 0.3,
            "high": 0.3,
        },
        {
            "case": f"{BAND}=0.5",
            "measure": "alts.deepest_drop",
            "n": 2,
            "median": 0.45,
            "low": pytest.approx(0.41),
            "high": pytest.approx(0.49),
        },
    ]
    every = bands.summary()
    assert every.num_rows == 6, "text has no median"
    assert spread([nan, inf])[0] == 0


def test_values_are_those_of_the_table(bands: Sweep) -> None:
    """By case, one for each seed that has one."""
    found = bands.values("alts.deepest_drop")
    assert list(found) == [f"{BAND}=None", f"{BAND}=0.3", f"{BAND}=0.5"]
    assert found[f"{BAND}=None"] == DEPTHS[None]
    assert len(found[f"{BAND}=0.5"]) == 4
    assert bands.measures == ("alts.deepest", "alts.deepest_drop", "forced_usd")


def test_grid_shows_what_differs_and_says_how_much_more_does() -> None:
    """The main measures first; what is the same in all cases of a seed is left out."""
    same = {"forced_usd": [1.0, 2.0, 1.0, 2.0], "none": [None] * 4}
    differ = {f"m{i}": [1.0, 2.0, 1.0, 3.0 + i] for i in range(9)}
    main = {"alts.median_drop": [0.1, 0.2, None, 0.2]}
    figures = same | differ | main
    found = swept([case(band=0.1), case(band=0.3)], figures)
    assert found.headlines == ["alts.median_drop", *list(differ)[:6]]
    assert "3 others differ: summary() has all" in str(found)
    found = swept([case(band=0.1), case(band=0.3)], differ | same, asked=(*differ,))
    assert found.headlines == list(differ)[:7]
    assert "differ" not in str(found)
    found = swept([case(band=0.1), case(band=0.3)], {"forced_usd": [1.0, 1.0]})
    assert found.headlines == ["forced_usd"]


def test_grid_tells_figures_in_their_units(bands: Sweep) -> None:
    """A place that is the only one stands above its values."""
    grid = bands.grid("alts.deepest_drop", "forced_usd")
    assert str(grid).splitlines() == [
        "atom-sweep: 3 cases × 5 seeds",
        "markets.price_band          alts.deepest_drop  forced_usd",
        "not set             70.0 % (54.0 % to 86.0 %)      45.3 M",
        "0.3                                    30.0 %      45.3 M",
        "0.5                 45.0 % (41.0 % to 49.0 %)      45.3 M",
        "median over the seeds (10 % to 90 % of them)",
    ]
    page = bands._repr_html_()
    assert "<h3>atom-sweep: 3 cases × 5 seeds</h3>" in page
    assert page.count("<tr>") == 4
    assert figure_told("trades", 71.0) == "71"


def test_very_many_cases_are_cut_short() -> None:
    """A screen is no table; summary() has all."""
    cases = [case(rate=1_000 + k) for k in range(100)]
    found = swept(cases, {"trades": [1.0] * 100})
    assert "and 40 more cases: summary() has all" in str(found)
    assert len(found.grid().rows) == 60
    assert found.summary().num_rows == 100


def test_failures_are_told_below_the_table() -> None:
    """The first in full, and how many there are."""
    failed = FailedReplay(
        case="base", seed=3, error="OverflowError: too much", traceback="", lost=False
    )
    found = swept([case(rate=1)], {"trades": [1.0]}, failures=(failed, failed))
    assert "failed: base, seed 3: OverflowError: too much; and 1 more" in str(found)
    assert repr(found) == "<Sweep atom-sweep: 1 case × 1 seed, 2 failed>"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.values("alts.deepst_drop"), "did you mean 'alts.deepest_drop'?"),
        (lambda s: s.values("alts.deepest"), "'alts.deepest' is no measure of the"),
        (lambda s: s.summary("x"), "'x' is no measure of the sweep"),
        (lambda s: s.grid("x"), "'x' is no measure of the sweep"),
        (lambda s: s.plot("x"), "'x' is no measure of the sweep"),
        (lambda s: s.plot("forced_usd", "markets.band"), "did you mean 'markets.price"),
        (lambda s: s.run("base", 0), "'base' is no case of the sweep"),
    ],
)
def test_name_that_is_not_there_is_told(bands: Sweep, ask: Any, message: str) -> None:
    """With the nearest that is."""
    with pytest.raises(LookupError) as told:
        ask(bands)
    assert message in str(told.value)


def test_one_replay_can_be_run_again() -> None:
    """As it was in the sweep, with everything that a run has."""
    found = swept([Case("base", {}, {}), case(band=0.3)], {"trades": [71.0, 3.0]})
    assert found.run("base", 0).scenario.changes == {}
    run = found.run(f"{BAND}=0.3", 5)
    assert run.scenario.changes == {BAND: 0.3}
    assert run.seed == 5
    assert found.titles[0] == ("",), "a case that changes nothing has no value"


def test_pandas_gets_the_table_if_it_is_there(
    bands: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nobody's dependency."""
    importing = builtins.__import__

    def without(name: str, *rest: Any, **extra: Any) -> Any:
        if name.startswith("pandas"):
            raise ModuleNotFoundError(name)
        return importing(name, *rest, **extra)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="needs pandas: pip install pandas"):
        bands.to_pandas()


# -- PICTURES


def lines_of(figure: Any) -> list[Any]:
    """The traces that have a name: medians."""
    return [trace for trace in figure.data if trace.name]


def test_response_has_the_median_its_band_and_every_replay() -> None:
    """Along numbers, in their order."""
    cases = [case(rate=rate) for rate in (3_000, 1_000, 2_000)]
    found = swept(cases, {"trades": [3.0, 5.0, 1.0, 1.0, 2.0, 4.0]})
    figure = found.plot("trades")
    (line,) = lines_of(figure)
    assert list(line.x) == [1_000, 2_000, 3_000]
    assert list(line.y) == [1.0, 3.0, 4.0]
    assert line.mode == "lines+markers"
    band, dots, _ = figure.data
    assert list(band.x) == [1_000, 2_000, 3_000, 3_000, 2_000, 1_000]
    assert list(band.y) == pytest.approx([1.0, 3.8, 4.8, 3.2, 2.2, 1.0])
    assert len(dots.x) == 6
    assert figure.layout.xaxis.title.text == RATE


def test_each_combination_of_other_places_has_its_line() -> None:
    """With its name in the legend; a value that is not set is a word on the axis."""
    cases = [case(band=band, rate=rate) for band in (None, 0.3) for rate in (1, 2)]
    found = swept(cases, {"wicks.median": [0.1, 0.2, 0.3, 0.4]})
    by_band = found.plot("wicks.median", BAND)
    assert [line.name for line in lines_of(by_band)] == [f"{RATE}=1", f"{RATE}=2"]
    assert list(lines_of(by_band)[0].x) == ["not set", "0.3"]
    assert by_band.layout.xaxis.type == "category"
    assert by_band.layout.yaxis.tickformat == ".0%"
    by_rate = found.plot("wicks.median", RATE)
    assert [line.name for line in lines_of(by_rate)] == [
        f"{BAND}=None",
        f"{BAND}=0.3",
    ]
    assert by_rate.layout.showlegend


def test_points_of_a_design_are_not_joined() -> None:
    """Nothing else is equal from one to the next."""
    cases = [case(band=k / 10, rate=k * k) for k in (1, 2, 3)]
    found = swept(cases, {"trades": [1.0, 2.0, 3.0]})
    (line,) = lines_of(found.plot("trades", BAND))
    assert line.mode == "markers"
    assert list(line.x) == [0.1, 0.2, 0.3]


def test_cases_with_names_stand_side_by_side() -> None:
    """Without a place there is nothing to draw along."""
    cases = [Case("base", {}, {}), Case("calm", {BAND: 0.1}, {})]
    figure = swept(cases, {"trades": [1.0, 2.0]}).plot("trades")
    (line,) = lines_of(figure)
    assert list(line.x) == ["base", "calm"]


def test_page_tells_the_ends_of_the_first_measure(bands: Sweep, tmp_path: Path) -> None:
    """Pictures of all measures shown, and each failure with its traceback."""
    report = sweep_report(bands)
    assert report.finding == (
        "alts.deepest_drop goes from 30.0 % (0.3) to 70.0 % (not set) with "
        "markets.price_band"
    )
    assert [tile[1:] for tile in report.tiles] == [
        ("30.0 %", "0.3"),
        ("70.0 %", "not set"),
    ]
    (choice,) = report.sections[1].blocks
    assert list(choice.figures) == ["alts.deepest_drop"], "what differs"
    same = swept([case(rate=1), case(rate=2)], {"trades": [1.0, 1.0]})
    assert "makes no difference" in sweep_report(same).finding
    failed = FailedReplay(
        case="x", seed=3, error="OverflowError: y", traceback="in deep", lost=False
    )
    lost = swept([case(rate=1)], {"trades": [1.0]}, failures=(failed,))
    path = lost.report(tmp_path / "page.html")
    assert "in deep" in path.read_text()
    assert response_figure(lost, "trades", RATE).data
