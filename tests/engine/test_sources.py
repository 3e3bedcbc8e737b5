"""Scenario files that start from another."""

import pickle
from pathlib import Path

import pytest
from scenario_text import MINI

import flashwick as fw

CHILD = """
base = "mini.toml"
name = "child"

[assets.ATOM]
price = 5.0

[market_makers.alpha]
collateral = { ETH = 0.2 }

[[shocks]]
at = 3.0
kind = "transfers"
open = false
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the small scenario, and one that starts from it."""
    (tmp_path / "mini.toml").write_text(MINI.replace("quick", "slow"))
    (tmp_path / "child.toml").write_text(CHILD)
    return tmp_path


def problems(path: Path) -> tuple[fw.Problem, ...]:
    """What is wrong with a file."""
    with pytest.raises(fw.ScenarioError) as caught:
        fw.load(path)
    return caught.value.problems


def test_file_has_what_its_base_has_and_goes_before_it(folder: Path) -> None:
    """Entries are merged key by key; what a key has, a table or a list, is replaced."""
    base, child = fw.load(folder / "mini.toml"), fw.load(folder / "child.toml")
    assert (child.name, child.config.title, child.config.base) == (
        "child",
        "",
        "mini.toml",
    )
    atom = child.config.assets["ATOM"]
    assert (atom.price, atom.decimals) == (5.0, 6)
    alpha = child.config.market_makers["alpha"]
    assert alpha.collateral == {"ETH": 0.2}
    assert alpha.inventory == base.config.market_makers["alpha"].inventory
    assert [shock.kind for shock in child.config.shocks] == ["transfers"]
    assert child.config.targets == base.config.targets
    assert child.source == CHILD


def test_base_may_have_a_base_in_another_folder(folder: Path) -> None:
    """Each is named from the file that starts from it."""
    (folder / "more").mkdir()
    (folder / "more/third.toml").write_text(
        'base = "../child.toml"\nname = "third"\n[gateway]\nrate = 9.0\n'
    )
    third = fw.load(folder / "more/third.toml")
    assert third.config.assets["ATOM"].price == 5.0
    assert third.config.gateway.rate == 9.0
    assert third.config.gateway.latency == {"market_makers": 0.002}


def test_shipped_scenario_is_a_base_by_its_name(tmp_path: Path) -> None:
    """As it is loaded."""
    path = tmp_path / "mine.toml"
    path.write_text('base = "atom-sweep"\nname = "mine"\nseeds = 3\n')
    mine, base = fw.load(path), fw.load("atom-sweep")
    assert mine.config.markets == base.config.markets
    assert mine.config.seeds == 3


def test_fault_is_told_in_the_file_that_says_it(folder: Path) -> None:
    """With that file's line, even if the other has the table too."""
    text = MINI.replace("decimals = 6", "decimals = 60")
    (folder / "mini.toml").write_text(text)
    (problem,) = problems(folder / "child.toml")
    assert problem.file == str(folder / "mini.toml")
    assert problem.line == text.splitlines().index("decimals = 60") + 1
    (folder / "mini.toml").write_text(MINI)
    (folder / "child.toml").write_text(CHILD.replace("price = 5.0", "price = -5.0"))
    (problem,) = problems(folder / "child.toml")
    assert problem.file == str(folder / "child.toml")
    assert problem.line == CHILD.splitlines().index("price = 5.0") + 1


def test_changes_by_place_come_after_what_the_file_says(folder: Path) -> None:
    """Of items of a list, of every entry; not taken over by a file on top."""
    changes = '[changes]\n"shocks.1.usd" = 7.0\n"market_makers.*.skew_bp" = 3.0\n'
    text = 'base = "mini.toml"\nname = "changed"\n' + changes
    (folder / "changed.toml").write_text(text)
    top = 'base = "changed.toml"\nname = "top"\n[market_makers.beta]\nskew_bp = 4.0\n'
    (folder / "top.toml").write_text(top)
    top_config = fw.load(folder / "top.toml").config
    assert [shock.usd for shock in top_config.shocks] == [100_000.0, 7.0]
    skews = {name: makers.skew_bp for name, makers in top_config.market_makers.items()}
    assert skews == {"alpha": 3.0, "beta": 4.0}
    (folder / "changed.toml").write_text(text.replace("shocks.1", "shocks.9"))
    (problem,) = problems(folder / "changed.toml")
    assert (problem.path, problem.line) == ('changes."shocks.9.usd"', 4)
    assert problem.message == "shocks has items 0 to 1 (got '9')"


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ('"mimi.toml"', "there is no such file; did you mean "),
        ('"atom-swep"', "'atom-swep' is not a shipped scenario; did you mean"),
        ("3", "must be text in quotes (got 3)"),
        ('"child.toml"', "must not lead back to where it started (got 'child.toml')"),
        ('"back.toml"', "must not lead back to where it started (got 'child.toml')"),
    ],
)
def test_base_that_cannot_be_used_is_told_at_its_line(
    base: str, message: str, folder: Path
) -> None:
    """Missing, unknown, no text, itself, a way round."""
    (folder / "back.toml").write_text('base = "child.toml"\nname = "back"\n')
    (folder / "child.toml").write_text(CHILD.replace('"mini.toml"', base))
    (problem,) = problems(folder / "child.toml")
    assert problem.message.startswith(message)
    assert problem.path == "base"
    assert problem.line in (1, 2)


def test_base_that_is_no_toml_is_told_as_itself(folder: Path) -> None:
    """Its own file and line."""
    (folder / "mini.toml").write_text("name = \n")
    (problem,) = problems(folder / "child.toml")
    assert (problem.file, problem.line) == (str(folder / "mini.toml"), 1)


def test_scenario_keeps_the_text_of_its_base(folder: Path) -> None:
    """It is varied, pickled, saved and run again when the file is gone."""
    child = fw.load(folder / "child.toml").vary({"duration": 2, "shocks": []})
    run = child.run(seed=3)
    run.save(folder / "saved")
    (folder / "mini.toml").unlink()
    assert pickle.loads(pickle.dumps(child)).vary({"seeds": 9}).config.duration == 2
    stored = fw.load_run(folder / "saved")
    assert stored.scenario().config == run.scenario.config
    assert len(stored.reproduce().prints.time) == len(run.prints.time)


def test_change_made_again_is_made_last(folder: Path) -> None:
    """A change of all after one of them, as written."""
    scenario = fw.load(folder / "mini.toml")
    one = {"market_makers.beta.withdraw_at": 1.1}
    every = {"market_makers.*.withdraw_at": 2.0}
    varied = scenario.vary(every).vary(one).vary(every)
    assert varied.config.market_makers["beta"].withdraw_at == 2.0
    assert list(varied.changes) == [*one, *every]
