"""Rows on disk outlive the process that made them, and are those of one sweep."""

import json
import sys
from functools import partial
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import pytest

from flashwick.engine.lab import kept as module
from flashwick.engine.lab.kept import Failed, Kept, KeptError, key_of, open_kept
from flashwick.engine.scenario import LoadedScenario, load

BAND = 'markets."ATOM/USDT".price_band'
FIGURES = {"a": 1.25, "b": nan, "c": -inf, "d": 1e-300, "e": 0.1 + 0.2, "f": "ATOM"}


@pytest.fixture(scope="module")
def scenario() -> LoadedScenario:
    """The smallest shipped one."""
    return load("atom-sweep")


def opened(
    folder: Path, scenario: LoadedScenario, *, resume: bool = True, **plan: Any
) -> Kept:
    """The rows in a folder."""
    return open_kept(folder, scenario, ["a"], "sweep", plan, resume=resume)


@pytest.fixture
def parts_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows make a file."""
    monkeypatch.setattr(module, "PART_ROWS", 2)


@pytest.mark.usefixtures("parts_of_two")
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_rows_come_back_to_the_bit(
    tmp_path: Path, scenario: LoadedScenario, rows: int
) -> None:
    """Without being closed: numbers that are none, words and all."""
    with opened(tmp_path / "s", scenario) as kept:
        for seed in range(rows):
            kept.add({BAND: 0.3}, seed, {**FIGURES, "seed": float(seed)})
        again = opened(tmp_path / "s", scenario)
    assert len(again) == rows
    for seed in range(rows):
        found = dict(again.find({BAND: 0.3}, seed) or {})
        assert isnan(found.pop("b"))
        known = {k: v for k, v in FIGURES.items() if k != "b"}
        assert found == known | {"seed": float(seed)}
    assert again.find({BAND: 0.3}, rows) is None
    assert again.find({BAND: 0.5}, 0) is None
    assert again.find({}, 0) is None
    assert sorted(again.table()["seed"].to_pylist()) == [float(i) for i in range(rows)]


@pytest.mark.usefixtures("parts_of_two")
def test_rows_in_memory_are_the_same(tmp_path: Path, scenario: LoadedScenario) -> None:
    """A measure that some rows do not have is null there."""
    memory, disk = Kept(), opened(tmp_path / "s", scenario)
    for rows in (memory, disk):
        with rows:
            rows.add({}, 0, {"a": 1.0})
            rows.add({}, 1, {"a": 2.0, "b": "x"})
            rows.add({}, 2, {"b": "y"})
    assert memory.table().to_pylist() == disk.table().to_pylist()
    assert memory.table().to_pydict()["a"] == [1.0, 2.0, None]
    assert Kept().table() is None


def test_line_that_was_cut_off_is_run_again(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """And the next one begins a line of its own."""
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 0, {"a": 1.0})
    path = tmp_path / "s" / "tail.jsonl"
    path.write_text(path.read_text() + '{"key": "[{}, 1]", "figu')
    with opened(tmp_path / "s", scenario) as kept:
        assert len(kept) == 1
        kept.add({}, 2, {"a": 3.0})
    again = opened(tmp_path / "s", scenario)
    assert again.find({}, 1) is None
    assert again.find({}, 2) == {"a": 3.0}


def test_row_that_is_in_two_files_counts_once(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """The process may have ended between writing the one and removing the other."""
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 0, {"a": 1.0})
    path = tmp_path / "s" / "tail.jsonl"
    line = path.read_text()
    with opened(tmp_path / "s", scenario):
        assert not path.exists(), "it is in a Parquet file now"
    path.write_text(line)
    assert len(opened(tmp_path / "s", scenario)) == 1


def test_failures_are_listed_until_they_are_run_again(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """With all that is known of them."""
    failed = Failed({BAND: 0.3}, 7, "OverflowError: too much", "Traceback ...", False)
    with opened(tmp_path / "s", scenario) as kept:
        kept.fail(failed)
    assert opened(tmp_path / "s", scenario).failures == [failed]
    with opened(tmp_path / "s", scenario) as kept:
        assert kept.failures == []
    assert opened(tmp_path / "s", scenario).failures == []


def test_key_tells_changes_apart() -> None:
    """By value, type and order: a later change may overwrite an earlier one."""
    keys = [
        key_of(changes, seed)
        for changes, seed in [
            ({"a": 1}, 0),
            ({"a": 1}, 1),
            ({"a": True}, 0),
            ({"a": 1.0}, 0),
            ({"a": None}, 0),
            ({}, 0),
            ({"a": 1, "b": 2}, 0),
            ({"b": 2, "a": 1}, 0),
        ]
    ]
    assert len(set(keys)) == len(keys)


# -- DIRECTORIES


def test_other_plan_is_refused_with_what_differs(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """Everything that does, at once."""
    opened(tmp_path / "s", scenario, seeds=[0, 1, 2, 3], cases=["x"])
    opened(tmp_path / "s", scenario, seeds=[0, 1, 2, 3], cases=["x"])
    other = scenario.vary({BAND: 0.3})
    with pytest.raises(KeptError) as told:
        open_kept(
            tmp_path / "s",
            other,
            ["b"],
            "sweep",
            {"seeds": [0, 1, 2, 3, 4], "cases": ["x"]},
            resume=True,
        )
    text = str(told.value)
    assert "holds rows of another sweep" in text
    assert "measures is ['a'] (not ['b'])" in text
    assert "scenario changes is {} (not {" in text
    assert "seeds is [0, 1, 2, 3] (not [0, 1, 2, 3, 4])" in text
    assert "cases" not in text


def test_scenario_that_was_edited_is_told_without_its_text(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """A diff of it is not the place here."""
    opened(tmp_path / "s", scenario)
    path = tmp_path / "atom-sweep.toml"
    path.write_text(scenario.source.replace("duration = 1.0", "duration = 2.0"))
    with pytest.raises(KeptError) as told:
        opened(tmp_path / "s", load(path))
    assert "its scenario text is not that of atom-sweep.toml now" in str(told.value)
    assert len(str(told.value)) < 300


def test_directory_that_holds_rows_is_refused_without_resume(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """Nobody's rows are added to by mistake."""
    opened(tmp_path / "s", scenario, resume=False)
    with pytest.raises(KeptError, match=r"holds rows of a sweep already; go on with"):
        opened(tmp_path / "s", scenario, resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_directory_of_something_else_is_refused(
    tmp_path: Path, scenario: LoadedScenario, *, resume: bool
) -> None:
    """A file, other files, a manifest that was changed or is of another version."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(KeptError, match="is a file; name a directory"):
        opened(tmp_path / "file", scenario, resume=resume)
    with pytest.raises(KeptError, match="holds something else than rows; name another"):
        opened(tmp_path, scenario, resume=resume)
    with pytest.raises(KeptError, match=r"cannot be written: Not a directory; name"):
        opened(tmp_path / "file" / "s", scenario, resume=resume)
    with pytest.raises(KeptError, match=r"'into' must be the path of a directory"):
        open_kept("", scenario, ["a"], "sweep", {}, resume=resume)
    with pytest.raises(TypeError, match=r"'into' must be the path of a directory"):
        open_kept(3, scenario, ["a"], "sweep", {})  # type: ignore[arg-type]
    opened(tmp_path / "s", scenario)
    path = tmp_path / "s" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"plan": {"seeds": [9]}}))
    with pytest.raises(KeptError, match="was cut off or changed"):
        opened(tmp_path / "s", scenario, resume=resume)
    path.write_text("{")
    with pytest.raises(KeptError, match="was cut off or changed"):
        opened(tmp_path / "s", scenario, resume=resume)


def test_part_that_cannot_be_read_is_told(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """Removing it is the remedy: its rows are run again."""
    (tmp_path / "s").mkdir()
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 0, {"a": 1.0})
    with opened(tmp_path / "s", scenario):
        pass
    (part,) = (tmp_path / "s" / "rows").iterdir()
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(KeptError, match="remove it, and its rows are run again"):
        opened(tmp_path / "s", scenario)


def test_line_in_the_middle_that_cannot_be_read_is_told(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """Only the last one may be cut off; the remedy is that of a part."""
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 0, {"a": 1.0})
    tail = tmp_path / "s" / module.TAIL
    tail.write_text("\0\0\n" + tail.read_text())
    with pytest.raises(KeptError, match=r"tail\.jsonl cannot be read .* run again"):
        opened(tmp_path / "s", scenario)


@pytest.mark.skipif(sys.platform == "win32", reason="no lock of a directory there")
def test_second_writer_of_a_directory_is_refused(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """Two at once would take each other's files away; reading is free."""
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 0, {"a": 1.0})
        with pytest.raises(KeptError, match="is being written by another process"):
            opened(tmp_path / "s", scenario).__enter__()
        assert len(opened(tmp_path / "s", scenario)) == 1
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 1, {"a": 2.0})
    assert len(opened(tmp_path / "s", scenario)) == 2


def test_what_was_added_since_it_was_opened_is_kept(
    tmp_path: Path, scenario: LoadedScenario
) -> None:
    """By another, who was done before this one began to write."""
    first, second = (opened(tmp_path / "s", scenario) for _ in range(2))
    for seed, kept in enumerate((first, second)):
        with kept:
            kept.add({}, seed, {"a": 1.0})
    assert len(opened(tmp_path / "s", scenario)) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
@pytest.mark.parametrize("name", [module.TAIL, module.FAILURES])
def test_full_disk_is_told_with_the_directory(
    tmp_path: Path, scenario: LoadedScenario, name: str
) -> None:
    """What was kept before is there when room was made."""
    with opened(tmp_path / "s", scenario) as kept:
        kept.add({}, 0, {"a": 1.0})
    told = r"s cannot be written: No space left on device; mend that, and go on with it"
    with opened(tmp_path / "s", scenario) as kept:
        (tmp_path / "s" / name).symlink_to("/dev/full")
        failed = Failed({}, 2, "ValueError: no", "Traceback", lost=False)
        write = partial(kept.add, {}, 1, {"a": 2.0})
        with pytest.raises(KeptError, match=told):
            write() if name == module.TAIL else kept.fail(failed)
    (tmp_path / "s" / name).unlink()
    with opened(tmp_path / "s", scenario) as kept:
        assert len(kept) == 1
