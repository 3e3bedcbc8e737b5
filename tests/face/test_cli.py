"""The command line: what it prints, what it writes, and its exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scenario_text import MINI

import flashwick as fw
from flashwick.cli import main


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    """Run a command; anything but an exit is a bug and fails the test."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def files() -> list[str]:
    """Everything in the working folder."""
    return sorted(path.as_posix() for path in Path().rglob("*"))


# -- WHAT THEY DO


def test_version_is_printed() -> None:
    """The program's name and its version."""
    assert call("--version").stdout == f"flashwick {fw.__version__}\n"


def test_scenarios_are_listed_with_their_titles() -> None:
    """One a line."""
    result = call("scenarios")
    assert result.exit_code == 0
    lines = [line.split("  ", 1) for line in result.stdout.splitlines()]
    assert {name: title.strip() for name, title in lines} == fw.scenarios()


def test_run_prints_summary_and_cause_and_says_where_files_are() -> None:
    """The last lines name the report and the folder, which are there."""
    arguments = ["--report", "atom.html", "--out", "deep/run"]
    result = call("run", "atom-sweep", *arguments)
    assert result.exit_code == 0
    assert "0.001" in result.stdout
    assert "taker of 21:20:37.689043" in result.stdout
    report, folder = result.stdout.splitlines()[-2:]
    assert report == f"report {Path('atom.html').absolute()}"
    assert folder == f"run {Path('deep/run').absolute()}"
    assert Path("atom.html").read_text("utf-8").lower().startswith("<!doctype html")
    assert any(Path("deep/run").iterdir())


def test_report_shows_the_variations_if_they_are_asked_for() -> None:
    """Without the option the run stands alone, and nothing else is run."""
    alone = call("run", "atom-sweep", "--report", "alone.html")
    beside = call("run", "atom-sweep", "--report", "beside.html", "--variations")
    assert alone.exit_code == beside.exit_code == 0
    # The page has the file's text, which names them once.
    pages = [Path(name).read_text() for name in ("alone.html", "beside.html")]
    assert pages[0].count("band-30") < pages[1].count("band-30")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--variations"], "--variations needs --report"),
        (
            ["--variations", "--report", "a.html", "--variation", "band-30"],
            "leave --variation out",
        ),
    ],
)
def test_variations_without_a_use_are_refused(options: list[str], told: str) -> None:
    """Before anything runs, with exit code 2."""
    result = call("run", "atom-sweep", *options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_run_tells_the_story_of_an_account_that_is_asked_for() -> None:
    """By name or number; nobody was liquidated in this run, and it says so."""
    named = call("run", "atom-sweep", "--story", "outside")
    numbered = call("run", "atom-sweep", "--story", "0")
    told = "outside was never liquidated; its health is not known"
    assert told in named.stdout
    assert named.stdout == numbered.stdout
    alone = call("run", "atom-sweep", "--story")
    assert alone.exit_code == 0
    assert "nobody was liquidated in this run; name an account" in alone.stdout


@pytest.mark.parametrize(
    ("account", "told"),
    [("99999", "a number from 0 to"), ("outsid", "did you mean 'outside'")],
)
def test_story_of_an_unknown_account_is_refused(account: str, told: str) -> None:
    """Exit code 2, and the nearest name or the range."""
    result = call("run", "atom-sweep", "--story", account)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_sentence() -> None:
    """Not a line of our source with its number."""
    worthless = "[rules]\ncollateral = { ATOM = 0.01 }\n\n[oracles.WBETH]"
    leverage = 'leverage = { kind = "fixed", value = 3 }'
    ruined = 'leverage = { kind = "fixed", value = 30 }\ncollateral = { ATOM = 1.0 }'
    text = MINI.replace("[oracles.WBETH]", worthless).replace(leverage, ruined)
    Path("ruined.toml").write_text(text)
    result = call("run", "ruined.toml")
    assert result.exit_code == 0
    (line,) = [x for x in result.stderr.splitlines() if "start in liquidation" in x]
    assert line.startswith("Warning: population.crowd: 30 of 30 accounts")


def test_what_if_compares_with_the_same_seed() -> None:
    """A band in place of none: fewer trades, and what was changed is named."""
    by_name = call("what-if", "atom-sweep", "--variation", "band-30", "--seed", "3")
    place = 'markets."ATOM/USDT".price_band=0.3'
    by_value = call("what-if", "atom-sweep", "--set", place, "--seed", "3")
    assert by_name.exit_code == by_value.exit_code == 0
    assert by_name.stdout == by_value.stdout
    (trades,) = [line for line in by_name.stdout.splitlines() if line[:6] == "Trades"]
    assert trades.split()[1:3] == ["71", "41"]


def test_changes_reach_the_run() -> None:
    """A smaller order ends higher."""
    result = call("run", "atom-sweep", "--set", "shocks.0.qty=78.85")
    assert result.exit_code == 0
    assert "1.688" in result.stdout
    assert "0.001" not in result.stdout


def test_verify_exits_0_if_every_required_target_holds() -> None:
    """Each target with its source, what is expected, ours, and the verdict."""
    result = call("verify", "atom-sweep")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    for target in fw.load("atom-sweep").config.targets:
        line = lines[target.id]
        assert "  ok  " in line
        assert target.source in line
        if target.variation is not None:
            assert f"[{target.variation}]" in line
    assert "38 of 38 targets hold over 1 seed" in result.stdout


def test_verify_exits_1_if_a_required_target_fails() -> None:
    """And prints it; one that is not required changes nothing."""
    text = fw.load("atom-sweep").source
    miss = text.replace("value = 71\n", "value = 72\n")
    Path("miss.toml").write_text(miss, "utf-8")
    result = call("verify", "miss.toml", "--seeds", "2")
    assert result.exit_code == 1
    assert "37 of 38 targets hold over 2 seeds; 1 required ones do not" in result.stdout
    spared = miss.replace("value = 72\n", "value = 72\nrequired = false\n")
    Path("spared.toml").write_text(spared, "utf-8")
    result = call("verify", "spared.toml")
    assert result.exit_code == 0
    assert "miss (not required)" in result.stdout


# -- WHAT THE USER CAN PUT RIGHT: exit code 2, one message, nothing written

REFUSED = [
    ((), "Usage:"),
    (("rn",), "'rn' is not a command; did you mean 'run'?"),
    (("replay", "lobstr"), "No such command 'lobstr'"),
    (("run",), "Missing argument 'NAME'"),
    (("run", "atom-swep"), "did you mean 'atom-sweep'?"),
    (("run", ""), "'' is not a shipped scenario"),
    (("run", "missing.toml"), "there is no such file"),
    (("run", "."), "is not a file"),
    (("run", "atom-sweep", "twice"), "unexpected extra argument (twice)"),
    (("run", "atom-sweep", "--sed", "1"), "Did you mean"),
    (("run", "atom-sweep", "--seed"), "requires an argument"),
    (("run", "atom-sweep", "--seed", "-1"), "2^63-1 (got '-1')"),
    (("run", "atom-sweep", "--seed", "1.5"), "whole number from 0 to"),
    (("run", "atom-sweep", "--seed", "9" * 30), "whole number from 0 to"),
    (
        ("run", "atom-sweep", "--seed", "x"),
        "'--seed': must be a whole number from 0 to 2^63-1 (got 'x')",
    ),
    (
        ("run", "atom-sweep", "--seed", "1", "--seed", "2"),
        "--seed is given 2 times; leave one",
    ),
    (
        ("run", "atom-sweep", "--variation", "band-30", "--variation", "band-31"),
        "--variation is given 2 times; leave one",
    ),
    (("run", "atom-sweep", "--variation", "band-31"), "did you mean 'band-30'?"),
    (("run", "atom-sweep", "--set", "seeds"), "is not a change; write place=value"),
    (("run", "atom-sweep", "--set", "=3"), "is not a place"),
    (("run", "atom-sweep", "--set", "sedes=3"), "did you mean 'seeds'?"),
    (("run", "atom-sweep", "--set", "duration="), "duration: is missing"),
    (("run", "atom-sweep", "--set", "duration=-1"), "must be above 0 (got -1)"),
    (("run", "atom-sweep", "--set", "duration=nan"), "must be a finite number"),
    (("run", "atom-sweep", "--set", "duration=1e99"), "must be at most 1e15"),
    (
        ("run", "atom-sweep", "--set", "seeds=3", "--set", "seeds=4"),
        "--set seeds is given 2 times",
    ),
    (
        ("run", "atom-sweep", "--set", "market_makers.alpha.count=1"),
        "'alpha' is not there; there are none in the scenario",
    ),
    (
        ("run", "atom-sweep", "--set", "shocks.0.qty=-9695.33"),
        "must be a multiple of 0.001, at least one (got -9695.33)",
    ),
    (
        ("run", "atom-sweep", "--set", "shocks.0.qty=9999999999999"),
        "lower it (got '9999999999999')",
    ),
    (
        ("run", "atom-sweep", "--set", "ladders.0.orders.70=['0.001', 'x']"),
        "must be a decimal number (got 'x')",
    ),
    (("run", "atom-sweep", "--report", "no/such.html"), "no is not a folder"),
    (("run", "atom-sweep", "--report", "report.pdf"), "must name an .html file"),
    (("run", "atom-sweep", "--report", "folder.html"), "is a directory"),
    (("run", "atom-sweep", "--report", ""), "must name an .html file (got '')"),
    (("run", "atom-sweep", "--out", "file"), "--out file is a file; name a folder"),
    (("run", "atom-sweep", "--out", ""), "--out must name a folder (got '')"),
    (("run", "atom-sweep", "--out", "/proc/run"), "cannot be written to ("),
    (("run", "atom-sweep", "--out", "file/run"), "file is not a folder"),
    (("run", "atom-sweep", "--out", "full"), "the folder has files already"),
    (("what-if", "atom-sweep"), "nothing is changed; give --set or --variation"),
    (("what-if", "atom-sweep", "--variation", ""), "'' is not a variation"),
    (("verify", "atom-sweep", "--seeds", "0"), "from 1 to 10,000 (got '0')"),
    (("verify", "atom-sweep", "--seeds", "99999"), "from 1 to 10,000 (got"),
    (("verify", "no-targets.toml"), "has no [[targets]] to verify"),
    (("verify", "slip.toml"), "targets.0.measure: 'shock.0.print' is no measure"),
    (("scenarios", "all"), "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_error_of_the_user_exits_2_with_one_message(
    arguments: tuple[str, ...], message: str
) -> None:
    """It is on stderr; stdout is empty; nothing is written."""
    Path("folder.html").mkdir()
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    Path("file").touch()
    text = MINI[: MINI.index("[[targets]]")]
    Path("no-targets.toml").write_text(text)
    slip = fw.load("atom-sweep").source.replace("0.prints", "0.print")
    Path("slip.toml").write_text(slip, "utf-8")
    before = files()
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert files() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["scenarios"], ["--version"], ["run", "--help"]])
@pytest.mark.parametrize("full", [True, False])
def test_output_that_cannot_be_written_is_one_line(
    arguments: list[str], full: bool
) -> None:
    """A full disk, or a pipe whose reader has gone: exit code 2, no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    target = os.open("/dev/full", os.O_WRONLY) if full else writer
    code = "from flashwick.cli import main; main(prog_name='flashwick')"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=target,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    for number in {target, writer}:
        os.close(number)
    what = "No space left on device" if full else "Broken pipe"
    assert done.stderr == f"the output cannot be written: {what}\n"
    assert done.returncode == 2


def test_every_problem_of_a_file_is_printed_with_its_line() -> None:
    """One a line, the file in front, as compilers do."""
    text = MINI.replace('policy = "redemption"', 'policy = "redemtion"')
    Path("unified.toml").write_text(text.replace("seeds = 2", "sedes = 2"))
    result = call("run", "unified.toml")
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    line = text[: text.index("redemtion")].count("\n") + 1
    assert first.startswith("unified.toml:4: sedes: 'sedes' is not a key")
    assert second.startswith(
        f"unified.toml:{line}: oracles.WBETH.policy: 'redemtion' is not a policy; "
        "did you mean 'redemption'?"
    )


def test_balance_beyond_int64_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a run overflow after all, the message says so and the exit code is 2."""

    def overflow(*_: object) -> None:
        raise OverflowError("a balance left the range of int64")

    monkeypatch.setattr("flashwick.engine.running.simulate", overflow)
    result = call("run", "atom-sweep")
    assert result.exit_code == 2
    assert result.stderr == "a balance left the range of int64\n"
