"""Runs on disk."""

import json

import pytest
from fakes import OUTSIDE_CHANGE as CHANGE
from fakes import fake_run

from flashwick.engine.scenario import LoadedScenario, load
from flashwick.engine.store import (
    RunFileError,
    digest,
    event_fingerprint,
    fingerprint,
    load_run,
    reproduce,
)


@pytest.fixture(scope="module")
def run():
    """The small crash, one place of its scenario changed."""
    return fake_run(changes=CHANGE)


@pytest.fixture
def saved(run, tmp_path):
    """A directory with the run."""
    return run.save(tmp_path / "run")


def edit(saved, **changes):
    """Change keys of the manifest."""
    path = saved / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def no_space(*_):
    """What the system says when a table does not fit on the disk."""
    raise OSError(28, "No space left on device", "somewhere/.run.x/new/trades.parquet")


# -- WRITING AND READING


def test_tables_come_back_as_they_were(run, saved):
    """Trades, events and samples are the same after a round trip."""
    stored = load_run(saved)
    for name in ("trades", "events", "samples"):
        assert getattr(stored, name)().to_pylist() == [
            {key: pytest.approx(value, nan_ok=True) if value != value else value
             for key, value in row.items()}
            for row in getattr(run, name)().to_pylist()
        ]  # fmt: skip


def test_trades_of_one_market_are_read_alone(run, saved):
    """A market's trades can be read without the others."""
    rows = load_run(saved).trades("ATOM/USDT")
    assert rows.to_pylist() == run.trades("ATOM/USDT").to_pylist()


def test_messages_are_kept_only_when_asked_for(run, saved, tmp_path):
    """They are most of a run; without them the error says how to get them."""
    with pytest.raises(RunFileError, match="messages=True"):
        load_run(saved).messages()
    whole = load_run(run.save(tmp_path / "whole", messages=True))
    assert whole.messages().num_rows == len(run.log.messages()[0])


def test_manifest_says_what_was_run_and_what_came_out(run, saved):
    """Scenario text, changes, seed, versions, counts and fingerprints are there."""
    manifest = load_run(saved).manifest
    assert manifest["scenario"]["text"] == run.scenario.source
    assert manifest["scenario"]["changes"] == CHANGE
    assert manifest["seed"] == 7
    assert sorted(manifest["versions"]) == ["flashwick", "numpy", "python"]
    assert manifest["rows"]["trades"] == len(run.prints.time)
    assert manifest["files"]["trades.parquet"]["rows"] == len(run.prints.time)
    assert manifest["fingerprints"]["trades"] == fingerprint(run)


def test_same_run_gives_the_same_bytes(run, saved, tmp_path):
    """Nothing in the files depends on when or where they were written."""
    again = fake_run(changes=CHANGE).save(tmp_path / "again")
    for path in sorted(saved.iterdir()):
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_fingerprints_differ_when_a_trade_or_an_event_does(run):
    """Another story has other fingerprints; the same story has the same."""
    other, again = fake_run(rounds=5), fake_run()
    assert fingerprint(again) == fingerprint(run) != fingerprint(other)
    assert event_fingerprint(again) == event_fingerprint(run)
    assert event_fingerprint(other) != event_fingerprint(run)


def test_bytes_between_the_fields_do_not_count(run):
    """What a trade's padding happens to hold is no part of the trade."""
    rows = run.log.fills()[1].copy()
    rows["pad"] = b"\xff" * 5
    assert digest(rows) == fingerprint(run)


# -- WHERE IT GOES


def test_run_is_not_overwritten_by_accident(run, saved):
    """A directory that holds a run is refused, and stays as it was."""
    before = (saved / "manifest.json").read_bytes()
    with pytest.raises(RunFileError, match=r"holds a run already.*overwrite=True"):
        fake_run(rounds=2).save(saved)
    assert (saved / "manifest.json").read_bytes() == before


def test_overwriting_replaces_the_whole_run(run, tmp_path):
    """No file of the old run is left."""
    path = run.save(tmp_path / "run", messages=True)
    other = fake_run(rounds=2)
    other.save(path, overwrite=True)
    assert load_run(path).manifest["fingerprints"]["trades"] == fingerprint(other)
    assert not (path / "messages.parquet").exists()
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_directory_with_something_else_is_left_alone(run, tmp_path):
    """Not even overwrite=True deletes files that are no run's."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFileError, match="something else than a run"):
        run.save(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_file_is_no_directory(run, tmp_path):
    """A path to a file is refused."""
    (tmp_path / "file").touch()
    with pytest.raises(RunFileError, match="is a file; name a directory"):
        run.save(tmp_path / "file")


def test_failure_leaves_nothing_behind(run, tmp_path, monkeypatch):
    """A run that cannot be written whole is not there in part."""

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("flashwick.engine.store._manifest", fail)
    with pytest.raises(RunFileError, match="run cannot be written: no space"):
        run.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_path_that_cannot_be_written_is_the_one_that_was_given(
    run, tmp_path, monkeypatch
):
    """Not that of the folder beside it, which nobody has heard of."""
    (tmp_path / "file").touch()
    with pytest.raises(RunFileError) as caught:
        run.save(tmp_path / "file" / "run")
    assert str(caught.value).startswith(f"{tmp_path / 'file' / 'run'} cannot be writ")
    monkeypatch.setattr("flashwick.engine.store._write", no_space)
    with pytest.raises(RunFileError) as caught:
        run.save(tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path / 'run'} cannot be written: No space left on device; "
        "name another directory"
    )
    with pytest.raises(RunFileError, match="'directory' must be"):
        run.save("")


# -- WHAT CANNOT BE READ


def test_truncated_file_is_named(saved):
    """One error with the file, the sizes, and what to do."""
    path = saved / "trades.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunFileError, match=r"trades\.parquet must have .* cut off"):
        load_run(saved)


def test_changed_file_is_named(saved):
    """A byte that is not what was written is noticed."""
    path = saved / "events.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunFileError, match=r"events\.parquet was changed"):
        load_run(saved)


def test_missing_file_is_named(saved):
    """A table that the manifest has must be there."""
    (saved / "series.parquet").unlink()
    match = r"series\.parquet is missing; flashwick\.reproduce\(directory\)"
    with pytest.raises(RunFileError, match=match):
        load_run(saved)


def test_directory_without_a_run_is_said_to_be_one(tmp_path):
    """No manifest, no run; no directory, no run either."""
    with pytest.raises(RunFileError, match=r"manifest\.json is missing"):
        load_run(tmp_path)
    with pytest.raises(RunFileError, match="not a directory"):
        load_run(tmp_path / "nowhere")


def test_manifest_that_is_cut_off_is_said_to_be(saved):
    """The message has the place where reading stopped."""
    path = saved / "manifest.json"
    path.write_text(path.read_text()[:300])
    with pytest.raises(RunFileError, match=r"manifest\.json cannot be read \(.*line"):
        load_run(saved)


@pytest.mark.parametrize(
    "changes", [{"seed": 8}, {"outcome": {}}, {"fingerprints": {}}, {"note": "mine"}]
)
def test_changed_manifest_is_noticed(saved, changes):
    """Whatever field it is: a run is what was saved, and a remedy is named."""
    edit(saved)  # written anew with other line breaks, it says the same
    load_run(saved)
    edit(saved, **changes)
    for read in (load_run, reproduce):
        with pytest.raises(RunFileError, match=r"json was changed .*seed.*run\(seed\)"):
            read(saved)


def test_market_that_the_run_does_not_have_is_refused(run, saved):
    """As by the run itself; an empty table would look like a quiet market."""
    for one in (run, load_run(saved)):
        with pytest.raises(LookupError, match=r"'market' must be one of .*mean 'ATOM"):
            one.trades("ATOMM/USDT")


@pytest.mark.parametrize("found", [2, "1", None])
def test_other_format_is_refused(saved, found):
    """A run of another version is not guessed at."""
    edit(saved, format=found)
    with pytest.raises(RunFileError, match=r"'format' must be 1 \(got .*wrote it"):
        load_run(saved)


def test_manifest_that_lacks_a_part_is_refused(saved):
    """Every part that reading needs is checked for."""
    path = saved / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["seed"], manifest["files"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunFileError, match="lacks seed, files"):
        load_run(saved)


# -- RUNNING IT AGAIN


def simulated(scenario, seed, on_progress=None, **_):
    """What the simulation would have given: the fake run of that scenario and seed."""
    return fake_run(seed=seed, changes=scenario.changes)


def test_manifest_reproduces_the_run(run, saved, monkeypatch):
    """Scenario, changes and seed are read back and give the same trades."""
    monkeypatch.setattr(LoadedScenario, "run", simulated)
    again = reproduce(saved)
    assert fingerprint(again) == fingerprint(run)
    assert (again.seed, again.scenario.changes) == (7, CHANGE)
    assert load_run(saved).scenario().config == run.scenario.config


def test_shipped_scenario_is_reproduced_from_its_manifest(tmp_path):
    """The real simulation gives the same trades and events from what was saved."""
    varied = load("atom-sweep").vary({'markets."ATOM/USDT".price_band': 0.5})
    first = varied.run(seed=3)
    again = reproduce(first.save(tmp_path / "sweep"))
    assert fingerprint(again) == fingerprint(first)
    assert again.trades().to_pylist() == first.trades().to_pylist()


def test_manifest_alone_is_enough(run, saved, monkeypatch):
    """The remedy for a lost table works without it."""
    monkeypatch.setattr(LoadedScenario, "run", simulated)
    (saved / "trades.parquet").unlink()
    assert fingerprint(reproduce(saved)) == fingerprint(run)


def test_other_trades_are_not_called_a_reproduction(saved, monkeypatch):
    """If the same seed gives something else now, that is an error."""
    monkeypatch.setattr(
        LoadedScenario, "run", lambda *_, **__: fake_run(rounds=2, changes=CHANGE)
    )
    match = "other trades and events; it was made with the same versions"
    with pytest.raises(RunFileError, match=match):
        reproduce(saved)
    monkeypatch.setattr("numpy.__version__", "0.1")
    with pytest.raises(RunFileError, match=r"made with numpy .* \(this is 0\.1\)"):
        reproduce(saved)


def test_scenario_file_keeps_its_line_ends(tmp_path, run, monkeypatch):
    """The text of the manifest is the file's, to the character."""
    stored = load_run(run.save(tmp_path / "run"))
    assert stored.scenario().source == run.scenario.source
