"""The commands that ask why and how far: attribute, frontier, what-if over seeds."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flashwick.cli import main
from flashwick.engine.lab import replays

SMALL = Path(__file__).parents[1] / "scenarios" / "small-crash.toml"
BAND = 'markets."ATOM/USDT".price_band'

SWITCHED = """
base = "atom-sweep"
name = "switched"

[switches.size]
"shocks.0.qty" = "4000"

[switches.no-band]
'markets."ATOM/USDT".price_band' = 0.5
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("switched.toml").write_text(SWITCHED)


def call(*arguments: str) -> Result:
    """Run a command; anything but an exit is a bug and fails the test."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def attribute(*more: str) -> Result:
    """Attribute the last print of the sweep, with one seed, here."""
    asked = ["--outcome", "shock.0.last", "--seeds", "1", "--jobs", "1", *more]
    return call("attribute", "switched.toml", *asked)


def frontier(*more: str, place: str = f"{BAND}=0.05..0.9") -> Result:
    """Search the band that leaves 3,000 ATOM unsold, with one seed, here."""
    asked = ["--keep", "shock.0.unfilled > 3000", "--seeds", "1", "--jobs", "1", *more]
    return call("frontier", "atom-sweep", place, *asked)


# -- ATTRIBUTE


@pytest.mark.parametrize("ask", [attribute, frontier])
def test_whoever_stops_it_is_told_how_it_goes_on(
    ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folder; without one nothing is kept, and nothing is said of it."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replays, "run_one", stopped)
    found = ask("--into", "kept")
    assert found.exit_code == 1
    assert "what was done is in kept, and --resume goes on with it" in found.stderr
    assert "resume" not in ask().output


def test_attribute_prints_shares_and_pairs() -> None:
    """The whole, each share, and how the two go together."""
    result = attribute("--report", "shares.html")
    assert result.exit_code == 0, result.output
    assert "shock.0.last is 0.001 with all on and 1.3 with all off" in result.stdout
    assert "sum: all on less all off" in result.stdout
    assert "size and no-band" in result.stdout
    assert result.stdout.splitlines()[-1] == f"report {Path('shares.html').absolute()}"
    assert Path("shares.html").read_text("utf-8").lower().startswith("<!doctype html")


def test_attribute_takes_some_switches_and_orders() -> None:
    """One mechanism alone has all of its effect; orders are random ones."""
    result = attribute("--switch", "size", "--orders", "2")
    assert result.exit_code == 0, result.output
    assert "2 coalitions of 1 mechanism, in 2 random orders" in result.stdout
    assert "no-band" not in result.stdout


def test_attribute_goes_on_with_what_is_kept() -> None:
    """In the folder of --into, if asked to."""
    assert attribute("--into", "kept").exit_code == 0
    refused = attribute("--into", "kept")
    assert refused.exit_code == 2
    assert "go on with it" in refused.stderr
    again = attribute("--into", "kept", "--resume")
    assert again.exit_code == 0


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--switch", "siz"), "did you mean 'size'?"),
        (("--orders", "3"), "'orders' must be an even number (got 3)"),
        (("--orders", "x"), "must be a whole number from 2 to 10,000 (got 'x')"),
        (("--resume",), "'resume' needs 'into'"),
        (("--report", "x.txt"), "--report must name an .html file"),
        (("--outcome", "trades"), "--outcome is given 2 times; leave one"),
        (("--set", "gateway.rat=3"), "did you mean 'rate'?"),
    ],
)
def test_wrong_attributions_are_told_and_exit_with_2(
    more: tuple[str, ...], text: str
) -> None:
    """One message, and nothing on stdout."""
    result = attribute(*more)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stdout == ""


def test_attribute_of_an_unknown_measure_names_the_nearest() -> None:
    """As targets do."""
    result = call("attribute", "switched.toml", "--outcome", "median_wik", "--seeds=1")
    assert result.exit_code == 2
    assert "did you mean 'median_wick'?" in result.stderr


def test_attribute_needs_switches() -> None:
    """A scenario that names none cannot be attributed by its name."""
    result = call("attribute", "atom-sweep", "--outcome", "median_wick")
    assert result.exit_code == 2
    assert "atom-sweep has no [switches]" in result.stderr
    assert "add them to the file" in result.stderr


# -- FRONTIER


def test_frontier_prints_both_sides_and_confirms() -> None:
    """Where it holds, where it does not, and both once more."""
    result = frontier("--tolerance", "0.01", "--confirm", "--report", "edge.html")
    assert result.exit_code == 0, result.output
    assert "holds in all seeds at 0.55" in result.stdout
    assert "confirmed, every outcome as before" in result.stdout
    assert "last good" in result.stdout
    assert Path("edge.html").exists()


def test_frontier_takes_whole_numbers_scale_and_rule() -> None:
    """An end without a point is one; the rest is passed on."""
    result = call(
        "frontier",
        "atom-sweep",
        "gateway.rate=1..1000000",
        *("--keep", "trades > 0", "--log", "--scan", "3", "--seeds", "1"),
        *("--jobs", "1", "--over", "0.5", "--tolerance", "1"),
    )
    assert result.exit_code == 0, result.output
    assert "holds in 50.0 % of the seeds" in result.stdout
    assert "1,000  " in result.stdout


@pytest.mark.parametrize(
    ("more", "place", "text"),
    [
        ((), "gateway.rate", "must be PLACE=LOW..HIGH, as in shocks.1.usd=1e6..8e6"),
        ((), "gateway.rate=..3", "must be PLACE=LOW..HIGH"),
        ((), "gateway.rat=1..3", "did you mean 'rate'?"),
        ((), "gateway.rate=a..b", "'between' must be the least and the greatest"),
        ((), f"{BAND}=0.9..0.05", "the least value first"),
        ((), f"{BAND}=0.05..0.1", "widen the range or move the bound"),
        (("--over", "most"), f"{BAND}=0.05..0.9", "'over' must be 'all', 'median'"),
        (("--scan", "1"), f"{BAND}=0.05..0.9", "must be a whole number from 2"),
        (("--tolerance", "0"), f"{BAND}=0.05..0.9", "'tolerance' must be above 0"),
        (("--tolerance", "x"), f"{BAND}=0.05..0.9", "'x' is not a valid float"),
    ],
)
def test_wrong_searches_are_told_and_exit_with_2(
    more: tuple[str, ...], place: str, text: str
) -> None:
    """One message, and nothing on stdout."""
    result = frontier(*more, place=place)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stdout == ""


def test_bound_must_be_one() -> None:
    """A measure, a sign and a number."""
    result = call("frontier", "atom-sweep", "gateway.rate=1..3", "--keep", "trades")
    assert result.exit_code == 2
    assert "'keep' must be a measure, one of < <= > >=, and a number" in result.stderr


# -- WHAT-IF OVER SEEDS


def test_what_if_over_seeds_prints_differences_and_their_variance() -> None:
    """With intervals, and what common random numbers took away."""
    result = call(
        "what-if",
        str(SMALL),
        *("--set", "stale_bids.old.enabled=false", "--seeds", "2", "--jobs", "1"),
        *("--report", "seeds.html"),
    )
    assert result.exit_code == 0, result.output
    assert "small-crash, 2 seeds, the same for each" in result.stdout
    assert "95 % interval" in result.stdout
    assert "the same seeds" in result.stdout
    assert Path("seeds.html").exists()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--seeds", "2", "--seed", "1"), "--seed and --seeds are given; leave one"),
        (("--jobs", "2"), "--jobs goes with --seeds"),
        (("--seeds", "0"), "must be a whole number from 1 to 10,000 (got '0')"),
    ],
)
def test_wrong_what_ifs_over_seeds_are_told(more: tuple[str, ...], text: str) -> None:
    """Before anything runs."""
    result = call("what-if", "atom-sweep", "--variation", "band-5", *more)
    assert result.exit_code == 2
    assert text in result.stderr
