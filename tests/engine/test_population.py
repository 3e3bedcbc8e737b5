"""Sampled populations: what a file may say, what is drawn, what a run makes of it."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_text import MINI, problems_of

import flashwick as fw
from flashwick.engine.chance import Stream
from flashwick.engine.config import Distribution
from flashwick.engine.population import draw
from flashwick.engine.simulation import World

TABLE = """
[population.crowd]
count = 400
equity_usd = { kind = "lognormal", median = 2_000, spread = 1.5, most = 1e6 }
collateral = { USDT = 1.0, WBETH = 0.5 }
mix = 0.4
markets = ["ETH/USDT:PERP", "WBETH/USDT:PERP"]
positions = 2
leverage = { kind = "uniform", least = 1, most = 9 }
long_share = 0.75

[population.whales]
count = 3
equity_usd = { kind = "pareto", least = 1e6, exponent = 1.2, most = 4e6 }
markets = ["ETH/USDT:PERP"]
leverage = { kind = "fixed", value = 2 }
"""
HEAD, _, TAIL = MINI.partition("[population.crowd]")
TEXT = HEAD + TABLE + "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> fw.Scenario:
    """The mini scenario with two populations."""
    path = tmp_path_factory.mktemp("population") / "mini.toml"
    path.write_text(TEXT)
    return fw.load(path)


@pytest.fixture(scope="module")
def world(scenario: fw.Scenario) -> World:
    """It before it runs."""
    return World(scenario, seed=4)


# -- WHAT IS DRAWN


def test_accounts_hold_what_was_drawn_and_are_healthy(world: World) -> None:
    """Equity by shares, positions by leverage, twice the maintenance margin."""
    crowd, whales = world.populations
    exchange = world.exchange
    assert (len(crowd.accounts), len(whales.accounts)) == (400, 3)
    value = exchange.risk.revalue()
    equity = value["equity"][whales.accounts]
    assert ((equity > 0.999e6) & (equity <= 4e6)).all()
    leverage = value["exposure"][whales.accounts] / equity
    assert leverage == pytest.approx(np.full(3, 2.0), rel=0.01)
    assert (value["health"][crowd.accounts] > 1.2).all()
    for account in crowd.accounts[:20].tolist():
        view = exchange.account(account)
        assert set(view.balances) == {"USDT", "WBETH"}
        assert min(view.balances.values()) >= 0.0
        assert len(view.positions) <= 2
        assert 0.9 < view.leverage < 9.5 or view.equity < 100.0
    shares = np.array(
        [exchange.account(a).balances["WBETH"] * 4300.0 for a in crowd.accounts]
    )
    assert 0.2 < float(np.median(shares / value["equity"][crowd.accounts])) < 0.45
    assert exchange.ledger.totals().tolist() == [0] * len(exchange.assets)
    exchange._check()


def test_positions_match_and_most_are_long(world: World) -> None:
    """Each market nets to nothing; of the crowd three in four positions are long."""
    crowd = world.populations[0]
    assert 0.6 < (crowd.lots > 0).sum() / (crowd.lots != 0).sum() < 0.9
    for market in range(len(world.exchange.markets)):
        assert world.exchange.ledger.lots(market).sum() == 0
    # Two positions of an account are in two markets.
    assert (crowd.market[0] != crowd.market[1]).all()


def test_population_has_a_stream_of_its_own(scenario: fw.Scenario) -> None:
    """Without the whales the crowd holds what it held."""

    def crowd(changes: dict[str, object]) -> list[list[object]]:
        world = World(scenario.vary(changes), seed=4)
        group = next(p for p in world.populations if p.name == "crowd")
        ledger = world.exchange.ledger
        return [
            [ledger.balance(a, 0), ledger.balance(a, 2)]
            for a in group.accounts.tolist()
        ] + [group.lots.tolist()]

    alone = crowd({"population.whales.enabled": False})
    assert alone == crowd({})
    assert alone != crowd({"seeds": 1, "population.crowd.mix": 0.5})


def test_run_with_a_population_conserves_and_names_it(scenario: fw.Scenario) -> None:
    """Its accounts are a class of the run."""
    run = scenario.run(seed=1)
    assert run.outcome["conserved"] == 1.0
    assert "population" in run.names.classes
    number = run.names.classes.index("population")
    assert (run.names.account_class == number).sum() == 403


@given(
    st.sampled_from(
        [
            Distribution(kind="fixed", value=3.0),
            Distribution(kind="uniform", least=1.0, most=4.0),
            Distribution(kind="lognormal", median=2.0, spread=0.7, most=9.0),
            Distribution(kind="pareto", least=1.5, exponent=1.3, most=30.0),
        ]
    ),
    st.integers(1, 50),
    st.integers(0, 10**6),
)
def test_draws_keep_their_bounds_and_their_seed(
    law: Distribution, n: int, seed: int
) -> None:
    """Same stream, same draws; none above the most or below the least."""
    drawn = draw(Stream(seed, "law"), n, law)
    assert drawn.tolist() == draw(Stream(seed, "law"), n, law).tolist()
    assert (drawn >= (law.least or 0.0)).all()
    assert (drawn <= (law.most or 3.0)).all()


def test_draws_have_the_middle_they_are_given() -> None:
    """Medians of 100,000 draws; a Pareto variable's is 2 ** (1 / exponent)."""
    n, stream = 100_000, Stream(1, "middle")
    laws = {
        2.0: Distribution(kind="lognormal", median=2.0, spread=1.0, most=1e9),
        2.5: Distribution(kind="uniform", least=1.0, most=4.0),
        2.0 ** (1 / 1.3): Distribution(
            kind="pareto", least=1.0, exponent=1.3, most=1e9
        ),
    }
    for median, law in laws.items():
        assert float(np.median(draw(stream, n, law))) == pytest.approx(median, rel=0.01)


# -- WHAT IS REFUSED

CROWD = "population.crowd"
WRONG = [
    ("count = 400", "count = -1", "count", "must be above 0 (got -1)"),
    ("count = 400", "count = 0", "count", "must be above 0 (got 0)"),
    ("count = 400", "count = nan", "count", "must be a whole number (got nan)"),
    ("count = 400", "cuont = 400", "cuont", "did you mean 'count'?"),
    ("count = 400", "count = 99_999_999", "count", "accounts in all, at most"),
    ('kind = "lognormal"', 'kind = "lognorm"', "equity_usd.kind", "must be one of"),
    ('kind = "lognormal", ', "", "equity_usd.kind", "is missing"),
    ("median = 2_000", "median = nan", "equity_usd.median", "a finite number (got nan"),
    ("median = 2_000", "median = -5", "equity_usd.median", "must be above 0 (got -5)"),
    ("median = 2_000, ", "", "equity_usd.median", "must be given for a lognormal"),
    ("median = 2_000", "median = 2e6", "equity_usd.most", "at least median, 2,000,000"),
    ("spread = 1.5", "spread = 9", "equity_usd.spread", "must be at most 5 (got 9)"),
    ("spread = 1.5", "speard = 1.5", "equity_usd.speard", "did you mean 'spread'?"),
    ("spread = 1.5", "spread = 1, value = 3", "equity_usd.value", "does not apply to"),
    ("most = 1e6", "most = 1e16", "equity_usd.most", "must be at most 1e15"),
    ("most = 1e6", "most = 1e12", "equity_usd", "atoms of USDT, at most"),
    (
        "least = 1, most = 9",
        "least = 9, most = 1",
        "leverage.most",
        "at least least, 9",
    ),
    ("least = 1", "least = -1", "leverage.least", "must be at least 0 (got -1)"),
    ("USDT = 1.0", "USDT = -1.0", "collateral.USDT", "must be at least 0 (got -1)"),
    ("WBETH = 0.5", "WBEHT = 0.5", "collateral.WBEHT", "did you mean 'WBETH'?"),
    ("{ USDT = 1.0, WBETH = 0.5 }", "{}", "collateral", "at least one share above 0"),
    (
        "positions = 2",
        "positions = 3",
        "positions",
        "at most the 2 markets there are (got 3)",
    ),
    ('"WBETH/USDT:PERP"]', '"ETH/USDT:PERP"]', "markets.1", "is named twice"),
    ('"WBETH/USDT:PERP"]', '"ATOM/USDT"]', "markets.1", "is not a perpetual"),
    ('"WBETH/USDT:PERP"]', '"SOL/USDT:PERP"]', "markets.1", "is not a market of the"),
    (
        "long_share = 0.75",
        "long_share = 1.5",
        "long_share",
        "must be at most 1 (got 1.5",
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG)
def test_fault_of_a_population_names_place_value_and_remedy(
    old: str, new: str, place: str, message: str, tmp_path: Path
) -> None:
    """Wrong, missing, huge, negative, not a number, twice: one error with the place."""
    head, mark, tail = TEXT.partition("[population.crowd]")
    assert old in tail
    problems = problems_of(head + mark + tail.replace(old, new, 1), tmp_path)
    found = [p for p in problems if p.path == f"{CROWD}.{place}"]
    assert found, [str(problem) for problem in problems]
    assert any(message in problem.message for problem in found), found
    assert found[0].line is not None


def test_population_of_the_same_name_twice_is_no_toml(tmp_path: Path) -> None:
    """As every table."""
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(TEXT + "[population.crowd]\ncount = 1\n")
    (problem,) = problems_of(TEXT + "[population.crowd]\ncount = 1\n", tmp_path)
    assert "the key or table is there already" in problem.message
