"""The command that sweeps: every design from the command line, and what it refuses."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet
from scenario_text import MINI

from flashwick.cli import main
from flashwick.engine.lab.sweep import load_sweep
from flashwick.engine.scenario import load
from flashwick.lab_cli import replays_bar, split_values

BAND = "markets.price_band"
SMALL = ("--seeds", "1", "--measure", "trades", "--jobs", "1")


def command(*arguments: str) -> Result:
    """The output of ``flashwick sweep atom-sweep``."""
    given = ["sweep", "atom-sweep", *arguments]
    return CliRunner().invoke(main, given, catch_exceptions=False)


def cases_of(result: Result) -> list[str]:
    """The table but for its last column, which is the measure."""
    assert result.exit_code == 0, result.output
    lines = [re.split(r"\s{2,}", line) for line in result.output.splitlines()[2:]]
    return [", ".join(cells[:-1]) for cells in lines if cells[1:]]


def test_grid_is_every_combination() -> None:
    """An empty value removes the key."""
    found = command("--grid", f"{BAND}=,0.3", "--grid", "gateway.rate=1e3,2e3", *SMALL)
    assert cases_of(found) == [
        "not set, 1000.0",
        "not set, 2000.0",
        "0.3, 1000.0",
        "0.3, 2000.0",
    ]


def test_command_of_the_first_page_runs(tmp_path: Path) -> None:
    """A class of makers may be left out: all of them are meant."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI)
    arguments = ["sweep", str(path), "--grid", "market_makers.withdraw_at=1.2,1.5,2.0"]
    arguments += ["--seeds", "1", "--measure", "makers.liquidated", "--jobs", "1"]
    found = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert cases_of(found) == ["1.2", "1.5", "2.0"]


def test_cases_are_variations_or_changes() -> None:
    """Several changes of one case stand between semicolons; none is the base."""
    variation = next(iter(load("atom-sweep").variations))
    found = command(
        "--case", "", "--case", variation, "--case", f"{BAND}=0.2; seeds=3", *SMALL
    )
    assert cases_of(found) == ["as it stands", variation, f"{BAND}=0.2, seeds=3"]


@pytest.mark.parametrize("design", ["--sobol", "--random"])
def test_designs_take_ranges_and_lists(design: str) -> None:
    """As many cases as points."""
    found = command(
        design, f"{BAND}=0.1..0.9", design, "gateway.rate=1000,2000", "--points", "4",
        *SMALL,
    )  # fmt: skip
    cases = cases_of(found)
    assert len(cases) == 4
    for case in cases:
        assert re.fullmatch(r"0\.\d+, (1000|2000)", case)


def test_sweep_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    """As Parquet; without --resume what is there is left alone."""
    into = tmp_path / "bands"
    first = (*SMALL, "--grid", f"{BAND}=0.2,0.3", "--into", str(into))
    found = command(*first)
    assert found.exit_code == 0
    assert f"sweep {into}" in found.output
    assert parquet.read_table(into / "table.parquet").num_rows == 2
    again = command(*first)
    assert again.exit_code == 2
    assert "already; go on with it (resume), or name another" in again.output
    before = load_sweep(into).table
    assert command(*first, "--resume").output == found.output
    assert load_sweep(into).table.equals(before)
    other = command(*SMALL, "--grid", f"{BAND}=0.4", "--into", str(into), "--resume")
    assert other.exit_code == 2
    assert "another sweep: its cases is" in other.output


def test_failed_replay_is_told_with_its_traceback() -> None:
    """Exit code 1, and the table of the others."""
    arguments = ("--grid", "duration=0.5,1.0", "--grid", "shocks.0.at=0.1,0.7", *SMALL)
    found = command(*arguments)
    assert found.exit_code == 1
    assert "failed: duration=0.5, shocks.0.at=0.7, seed 0: ScenarioError" in (
        found.stderr
    )
    assert "Traceback (most recent call last)" in found.stderr
    assert found.stdout.splitlines()[1].split()[:2] == ["duration", "shocks.0.at"]


def test_changes_lie_under_all_cases(tmp_path: Path) -> None:
    """--set and --variation change what is swept; a report is written."""
    page = tmp_path / "sweep.html"
    arguments = ("--set", f"{BAND}=0.5", "--grid", "shocks.0.qty=100,9000", *SMALL)
    found = command(*arguments, "--report", str(page))
    plain = command("--grid", "shocks.0.qty=100,9000", *SMALL)
    assert cases_of(found)[:2] == ["100", "9000"]
    assert found.output.splitlines()[3] != plain.output.splitlines()[3]
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", BAND], f"--grid '{BAND}' must be PLACE=VALUES"),
        (["--grid", f"{BAND}=0.1", "--grid", f"{BAND}=0.2"], "is given twice"),
        (["--grid", f"{BAND}=0.1", "--case", ""], "--grid and --case are given"),
        (["--grid", f"{BAND}=0.1,0.1"], "must have each value once"),
        (["--grid", "markets.price_bnd=0.1"], "did you mean 'price_band'?"),
        (["--grid", f"{BAND}=-1"], "price_band: must be at least 0 (got -1)"),
        (["--case", "", "--case", ""], "'cases' must differ"),
        (["--case", "no-such"], "'no-such' is not a variation of atom-sweep"),
        (["--sobol", f"{BAND}=0.1..0.9"], "--points goes with --random or --sobol"),
        (["--points", "4"], "--points goes with --random or --sobol"),
        (["--sobol", f"{BAND}=0.9..0.1", "--points", "4"], "low below high"),
        (["--sobol", f"{BAND}=0.1..0.9", "--points", "5"], "must be a power of two"),
        (["--measure", "tradess"], "did you mean 'trades'?"),
        (["--seeds", "0"], "must be a whole number from 1 to 10,000 (got '0')"),
        (["--resume"], "'resume' needs 'into'"),
        (["--into", "{file}"], "is a file; name a directory"),
        (["--report", "{folder}"], "Is a directory"),
    ],
)
def test_wrong_arguments_are_told_in_one_message(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Exit code 2, no traceback."""
    (tmp_path / "file").write_text("mine")
    places = {"file": tmp_path / "file", "folder": tmp_path}
    given = [argument.format(**places) for argument in arguments]
    extra = [] if "--seeds" in given else ["--seeds", "1"]
    found = command(*given, *extra, "--jobs", "1")
    assert found.exit_code == 2
    assert message.lower() in " ".join(found.output.split()).lower()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1.2,1.5,2.0", ["1.2", "1.5", "2.0"]),
        (",50, 10", ["", "50", "10"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("{ a = 1, b = [2, 3] },x", ["{ a = 1, b = [2, 3] }", "x"]),
        ("\"a,b\",'c]'", ['"a,b"', "'c]'"]),
        ("", [""]),
    ],
)
def test_values_are_split_at_commas_of_their_own(text: str, values: list[str]) -> None:
    """Those in brackets or quotes belong to a value."""
    assert split_values(text) == values


def test_bar_tells_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal; on anything else nothing is printed."""
    with replays_bar("sweep", 4) as show:
        assert show is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with replays_bar("sweep", 4) as show:
        assert show is not None
        show(0.5, 2)
    told = capsys.readouterr()
    assert told.out == ""
    assert "sweep, 2 of 4 replays" in told.err
    assert "left" in told.err
