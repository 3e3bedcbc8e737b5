"""Venue files that scenarios and exchanges name."""

import copy
import pickle
from pathlib import Path

import pytest

import flashwick as fw
from flashwick.engine.reading.venue_files import VenueFile

SMALL = (Path(__file__).parents[1] / "scenarios/small-crash.toml").read_text("utf-8")
MINE = """
like = "binance-pm"

[sources]
me = "what I want to try"

[thresholds]
warn = { value = 1.8, grade = "S", source = "me" }
"""


def written(folder: Path, rules: str, venue: str = MINE) -> Path:
    """A scenario beside a folder with a venue's file."""
    (folder / "venues").mkdir()
    (folder / "venues/mine.toml").write_text(venue, "utf-8")
    path = folder / "crash.toml"
    text = SMALL.replace('preset = "binance-pm"\n', "")
    assert "[rules]" in text
    path.write_text(text.replace("[rules]\n", f"[rules]\n{rules}\n"), "utf-8")
    return path


def warns_at(scenario: fw.Scenario) -> float:
    """The warning of the rules that a scenario runs under."""
    from flashwick.engine.reading.venue_files import build_rules

    return build_rules(scenario.config.rules).thresholds.warn


def told(path: Path) -> list[fw.Problem]:
    """What is wrong with a scenario."""
    with pytest.raises(fw.ScenarioError) as caught:
        fw.load(path)
    return list(caught.value.problems)


def test_scenario_names_a_venue_file_from_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the working directory is; rules of the scenario lie over the file's."""
    path = written(tmp_path, 'preset = "venues/mine.toml"')
    monkeypatch.chdir(Path(__file__).parent)
    scenario = fw.load(path)
    assert warns_at(scenario) == 1.8
    assert scenario.document["rules"]["preset"] == "venues/mine.toml"
    assert warns_at(scenario.vary({"rules.thresholds.warn": 1.9})) == 1.9
    assert warns_at(scenario.vary({"rules.preset": "binance-pm"})) == 1.5
    assert warns_at(scenario.vary({"rules.preset": None})) == 1.5
    absolute = f'preset = "{tmp_path}/venues/mine.toml"'
    path.write_text(path.read_text().replace('preset = "venues/mine.toml"', absolute))
    assert warns_at(fw.load(path)) == 1.8


def test_venue_file_is_read_once(tmp_path: Path) -> None:
    """What runs is what was checked, whatever becomes of the file, or in a process."""
    path = written(tmp_path, 'preset = "venues/mine.toml"')
    scenario = fw.load(path)
    (tmp_path / "venues/mine.toml").unlink()
    for same in (scenario, pickle.loads(pickle.dumps(scenario)), copy.copy(scenario)):
        assert warns_at(same) == 1.8
        assert warns_at(same.vary({"gateway.rate": 9_000})) == 1.8
        back = same.vary({"rules.preset": "drift"})
        assert warns_at(back.vary({"rules.preset": "venues/mine.toml"})) == 1.8
    name = VenueFile("a.toml", "x = 1")
    assert copy.deepcopy(name).text == pickle.loads(pickle.dumps(name)).text == "x = 1"


def test_variation_names_a_venue_file(tmp_path: Path) -> None:
    """The same crash at another venue; the change is told by the file's name."""
    path = written(tmp_path, 'preset = "binance-pm"')
    with path.open("a", encoding="utf-8") as file:
        file.write('\n[variations.mine]\n"rules.preset" = "venues/mine.toml"\n')
    scenario = fw.load(path)
    varied = scenario.variation("mine")
    assert (warns_at(scenario), warns_at(varied)) == (1.5, 1.8)
    assert varied.changes == {"rules.preset": "venues/mine.toml"}
    (tmp_path / "venues/mine.toml").unlink()
    (problem,) = told(path)
    assert problem.path == 'variations.mine."rules.preset"'
    assert problem.message.startswith("must be a file, and there is none")


@pytest.mark.filterwarnings("ignore:market_makers.alpha. 4 of 4 accounts start")
def test_saved_run_has_the_venue_files_with_it(tmp_path: Path) -> None:
    """It is reproduced without them, a change to another file as well."""
    path = written(tmp_path, 'preset = "venues/mine.toml"')
    (tmp_path / "other.toml").write_text('like = "bybit-uta"')
    run = fw.load(path).vary({"rules.preset": "other.toml"}).run(seed=1)
    run.save(tmp_path / "saved")
    (tmp_path / "venues/mine.toml").unlink()
    (tmp_path / "other.toml").unlink()
    stored = fw.load_run(tmp_path / "saved")
    assert warns_at(stored.scenario()) == 1.25
    assert len(stored.reproduce().prints.time) == len(run.prints.time)


@pytest.mark.parametrize(
    ("rules", "venue", "message"),
    [
        ('preset = "mine.toml"', MINE, "and there is none; check the path (got 'mine"),
        ('preset = "venues/mime.toml"', MINE, "there is none; did you mean 'mine.toml"),
        ('preset = "venues.toml"', MINE, "must be a file, and there is none"),
        (
            'preset = "venues/mine.toml"',
            "[thresholds",
            "mine.toml: must be a TOML file",
        ),
        ('preset = "venues/mine.toml"', "", "mine.toml: like: must name a preset"),
        (
            'preset = "venues/mine.toml"',
            MINE.replace("1.8", "0.9"),
            "mine.toml: thresholds.warn: must be at least thresholds.reduce_only, 1.2",
        ),
        (
            'preset = "mine"',
            MINE,
            "(got 'mine'); a file is named with its ending .toml",
        ),
    ],
)
def test_venue_file_that_is_wrong_is_told_at_the_line_that_names_it(
    rules: str, venue: str, message: str, tmp_path: Path
) -> None:
    """Once, with what is wrong in it, and with nothing that follows from it."""
    path = written(tmp_path, rules, venue)
    (problem,) = told(path)
    line = path.read_text("utf-8").splitlines().index(rules) + 1
    assert (problem.path, problem.line) == ("rules.preset", line)
    assert message in problem.message


def test_exchange_takes_the_path_of_a_venue_file(tmp_path: Path) -> None:
    """As text with the ending, or as a path; the file is told if it is wrong."""
    path = tmp_path / "mine.toml"
    path.write_text(MINE, "utf-8")
    for named in (path, str(path)):
        assert fw.Exchange(["BTC/USDT"], named).rules.thresholds.warn == 1.8
    with pytest.raises(fw.RulesError, match="must be a file, and there is none"):
        fw.Exchange(["BTC/USDT"], tmp_path / "other.toml")
    with pytest.raises(fw.OrderError, match=r"path of a file or Rules \(got 3"):
        fw.Exchange(["BTC/USDT"], 3)  # type: ignore[arg-type]
