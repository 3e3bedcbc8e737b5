"""Sampled populations: what a file may say, what is drawn, what a run makes of it."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scenario_text import MINI, faults, problems_of

import flashwick as fw
from flashwick.engine import opening
from flashwick.engine.reading.draft import read
from flashwick.engine.reading.limits import _rules, _sampled
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


def built(folder: Path, table: str, markets: str = "") -> World:
    """The mini scenario with one population, before it runs."""
    path = folder / "mini.toml"
    tail = "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    path.write_text(
        HEAD.replace("[oracles.WBETH]", markets + "[oracles.WBETH]") + table + tail
    )
    return World(fw.load(path), seed=4)


LOOPS = """
[population.loops]
count = 200
equity_usd = { kind = "fixed", value = 10_000 }
collateral = { WBETH = 1.0 }
markets = ["WBETH/USDT"]
leverage = { kind = "uniform", least = 1, most = 3 }
long_share = 1
"""


def test_position_in_a_spot_market_is_coins_on_credit(tmp_path: Path) -> None:
    """Coins of so many times the equity beside the collateral, their price is owed."""
    world = built(tmp_path, LOOPS)
    exchange, (loops,) = world.exchange, world.populations
    leverages = []
    for account in loops.accounts.tolist():
        view = exchange.account(account)
        coins, dollars = view.balances["WBETH"] * 4300.0, view.balances["USDT"]
        assert coins + dollars == pytest.approx(10_000, rel=1e-4)
        assert not view.positions
        leverages.append(-dollars / 10_000)
    assert min(leverages) >= 0.99
    assert max(leverages) <= 3.0
    assert float(np.median(leverages)) == pytest.approx(2.0, abs=0.2)
    assert exchange.ledger.totals().tolist() == [0] * len(exchange.assets)
    exchange._check()


def test_short_in_a_spot_market_owes_the_coin(tmp_path: Path) -> None:
    """And holds what it was sold for."""
    table = LOOPS.replace("WBETH = 1.0", "USDT = 1.0").replace(
        "long_share = 1", "long_share = 0"
    )
    world = built(tmp_path, table)
    view = world.exchange.account(int(world.populations[0].accounts[0]))
    assert view.balances["WBETH"] * 4300.0 < -9_900
    assert view.balances["USDT"] > 19_900


def test_borrowed_coins_are_sold_when_the_price_falls(tmp_path: Path) -> None:
    """Whose debt is too large for what it bought is liquidated like anyone."""
    shock = """
[[shocks]]
at = 1.5
kind = "outside"
asset = "ETH"
move = -0.2
"""
    path = tmp_path / "mini.toml"
    tail = "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    text = HEAD + LOOPS + tail.replace("[[shocks]]", "[[shocks]]", 1) + shock
    path.write_text(text.replace('policy = "redemption"', 'policy = "outside"'))
    run = fw.load(path).run(seed=1)
    accounts = set(World(run.scenario, 1).populations[0].accounts.tolist())
    sold = {event.account for event in run.log.single("breach")} & accounts
    assert 20 < len(sold) < 200
    assert run.outcome["conserved"] == 1.0


VOLUMES = """
[markets."BTC/USDT:PERP"]
tick = "0.1"
lot = "0.001"
volume_usd = 90e6

[assets.BTC]
price = 100_000.0
volatility = 0.5

"""
WEIGHED = """
[population.crowd]
count = 20_000
equity_usd = { kind = "fixed", value = 100_000 }
markets = ["ETH/USDT:PERP", "WBETH/USDT:PERP", "BTC/USDT:PERP"]
by_volume = 0.5
positions = 2
leverage = { kind = "fixed", value = 4 }
"""


def test_markets_are_drawn_by_volume_and_differ(tmp_path: Path) -> None:
    """To the power 1/2 nine times the volume is three times as likely."""
    path = tmp_path / "mini.toml"
    head = HEAD.replace('lot = "0.001"', 'lot = "0.001"\nvolume_usd = 10e6')
    tail = "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    path.write_text(head + VOLUMES + WEIGHED + tail)
    (crowd,) = World(fw.load(path), seed=4).populations
    number = crowd.world.exchange.market_number
    first = np.bincount(crowd.market[0], minlength=5) / 20_000
    assert first[number["BTC/USDT:PERP"]] == pytest.approx(0.6, abs=0.02)
    assert first[number["ETH/USDT:PERP"]] == pytest.approx(0.2, abs=0.02)
    assert (crowd.market[0] != crowd.market[1]).all()
    # Of those that began elsewhere three in four come to it second.
    elsewhere = crowd.market[0] == number["ETH/USDT:PERP"]
    second = crowd.market[1, elsewhere] == number["BTC/USDT:PERP"]
    assert float(second.mean()) == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("move", [-1.0, 1.0])
def test_distance_keeps_everybody_from_liquidation_by_less(
    move: float, tmp_path: Path
) -> None:
    """Prices at which some would be liquidated without it liquidate none."""
    table = WEIGHED.replace("by_volume = 0.5\n", "").replace(
        '"WBETH/USDT:PERP", "BTC', '"WBETH'
    )
    table = table.replace("value = 4 }", "value = 30 }").replace("20_000", "500")
    for distance, expected in ((0.0, True), (0.05, False)):
        world = built(tmp_path, f"{table}distance = {distance}\n")
        exchange, (crowd,) = world.exchange, world.populations
        prices = exchange.prices
        factor = np.ones(len(exchange.assets))
        for asset in ("ETH", "WBETH"):
            factor[exchange.asset_number[asset]] += 0.049 * move
        mark = prices.mark * factor[exchange.base] / factor[exchange.quote]
        there = prices.risk_prices(prices.index * factor, mark)
        health = exchange.risk.at(*there, crowd.accounts)["health"]
        liquidated = health <= exchange.rules.thresholds.liquidate
        assert bool(liquidated.any()) is expected
        exchange._check()


@pytest.mark.filterwarnings("ignore:population.crowd. 200 of 200 accounts start")
def test_collateral_that_counts_for_nothing_is_not_given_on_and_on(
    tmp_path: Path,
) -> None:
    """Once is enough to see that it does not help."""
    rule = "\n[rules.collateral]\nATOM = 0.0\n\n[population"
    table = WEIGHED.replace("\n[population", rule).replace("by_volume = 0.5\n", "")
    table = table.replace("20_000", "200\ncollateral = { ATOM = 1.0 }").replace(
        '"WBETH/USDT:PERP", "BTC', '"WBETH'
    )
    held = {}
    for distance in (0.0, 0.2):
        world = built(tmp_path, f"{table}distance = {distance}\n")
        ledger, (crowd,) = world.exchange.ledger, world.populations
        atom = world.exchange.asset_number["ATOM"]
        held[distance] = sum(ledger.balance(a, atom) for a in crowd.accounts.tolist())
    # A round gives what is short once, and both moves have one.
    assert held[0.0] < held[0.2] < 4 * held[0.0]


def test_distance_is_a_move_of_what_all_follow(tmp_path: Path) -> None:
    """A leader's leader moves by the share, each follower by the power of the betas."""
    factor = "[assets.CRYPTO]\nprice = 1.0\n\n[assets.ATOM]"
    head = HEAD.replace("[assets.ATOM]", factor).replace(
        "ETH = { price = 4000.0",
        'ETH = { price = 4000.0, follows = "CRYPTO", beta = 2.0',
        1,
    )
    path = tmp_path / "mini.toml"
    path.write_text(
        head + LOOPS + "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    )
    world = World(fw.load(path), seed=4)
    moved = dict(
        zip(world.exchange.assets, world.populations[0]._moved(0.9), strict=True)
    )
    assert moved["CRYPTO"] == pytest.approx(0.9)
    assert moved["ETH"] == moved["WBETH"] == pytest.approx(0.81)
    assert moved["USDT"] == moved["ATOM"] == 1.0


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
    ("positions = 2", "positions = 2\nby_volume = 1", "markets.0", "the volume_usd of"),
    ("positions = 2", "positions = 2\nby_volume = 11", "by_volume", "at most 10 (got"),
    ("positions = 2", "positions = 2\ndistance = 1.1", "distance", "at most 1 (got"),
    ('"WBETH/USDT:PERP"]', '"SOL/USDT:PERP"]', "markets.1", "is not a market of the"),
    (
        "long_share = 0.75",
        "long_share = 1.5",
        "long_share",
        "must be at most 1 (got 1.5",
    ),
]


MILLION = """
[population.crowd]
count = 1_000_000
equity_usd = { kind = "lognormal", median = 2_000, spread = 1.5, most = 1e6 }
markets = ["ETH/USDT:PERP"]
leverage = { kind = "lognormal", median = 8, spread = 0.5, most = 50 }
"""


def test_a_million_accounts_of_the_documents_fit(tmp_path: Path) -> None:
    """6 billion dollars, 56 billion of positions: an eighth of what all coins hold."""
    path = tmp_path / "million.toml"
    path.write_text(
        HEAD + MILLION + "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    )
    group = fw.load(path).config.population["crowd"]
    assert group.count == 1_000_000


@pytest.mark.parametrize("distance", [0.0, 0.3])
def test_collateral_that_positions_need_counts_as_brought_in(
    distance: float, tmp_path: Path
) -> None:
    """Beyond the equity: twice the margin of large positions, what keeps a distance."""
    crowd = """
[population.crowd]
count = 300
equity_usd = { kind = "fixed", value = 1e6 }
markets = ["ETH/USDT:PERP"]
leverage = { kind = "uniform", least = 60, most = 100 }
"""
    tail = "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    path = tmp_path / "crowd.toml"
    path.write_text(f"{HEAD}{crowd}distance = {distance}\n{tail}")
    loaded = fw.load(path)
    (group,) = World(loaded, seed=1).populations
    world = group.world
    usdt = world.exchange.asset_number["USDT"]
    atoms = world.exchange.ledger.balances_in(group.accounts, np.array([usdt]))[:, 0]
    draft, _ = read(loaded.document)
    rules = _rules(draft)
    ((_, _, largest, total),) = [
        row
        for row in _sampled(draft, rules, loaded.config.population["crowd"])
        if row[0] == "equity_usd"
    ]
    held = atoms * world.exchange.atom[usdt]
    assert held.sum() > 3e8 * (1 + 10 * distance)
    assert held.sum() <= total < 5 * held.sum()
    assert held.max() <= largest


def test_populations_too_large_together_are_told_what_to_lower(tmp_path: Path) -> None:
    """Count, leverage, equity, or decimals, and to what: each of them then fits."""
    tail = "\n[holders.atom]" + TAIL.partition("[holders.atom]")[2]
    text = HEAD + MILLION.replace("median = 2_000", "median = 4_000") + tail
    (problem,) = problems_of(text, tmp_path)
    assert problem.path == f"{CROWD}.leverage"
    found = re.fullmatch(
        r"populations bring in .* US dollars, .* atoms of USDT, at most 4.61e\+18; "
        r"lower its count to ([\d,]+), equity_usd to (\S+) % or leverage to (\S+) % of "
        r"what it is, or the decimals of USDT to (\d+)",
        problem.message,
    )
    assert found, problem.message
    count, equity, leverage, decimals = found.groups()
    path = tmp_path / "fits.toml"
    for changed in (
        text.replace("count = 1_000_000", f"count = {count.replace(',', '_')}"),
        text.replace("median = 8,", f"median = {0.08 * float(leverage)},"),
        text.replace("median = 4_000", f"median = {40 * float(equity)}"),
        text.replace(
            "USDT = { price = 1 }", f"USDT = {{ price = 1, decimals = {decimals} }}"
        ),
    ):
        assert changed != text
        path.write_text(changed)
        fw.load(path)


def test_more_than_one_account_has_the_other_side_if_one_cannot(
    scenario: fw.Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as it takes, each with its part and the margin for it."""
    monkeypatch.setattr(opening, "POSITION_MAX", 10**13)
    world = World(scenario, seed=4)
    names = world.names()
    others = np.flatnonzero(
        names.account_class == names.classes.index("counterparties")
    ).tolist()
    market = world.exchange.market_number["ETH/USDT:PERP"]
    lots = [world.exchange.ledger.open_position(a, market)[0] for a in others]
    assert len(others) > 3
    assert max(lots) - min(lots) <= 1
    assert max(lots) < 0
    assert world.exchange.risk.revalue()["health"][others].min() > 10
    assert world.exchange.ledger.lots(market).sum() == 0
    world.exchange._check()


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG)
def test_fault_of_a_population_names_place_value_and_remedy(
    old: str, new: str, place: str, message: str, tmp_path: Path
) -> None:
    """Wrong, missing, huge, negative, not a number, twice: one error with the place."""
    head, mark, tail = TEXT.partition("[population.crowd]")
    assert old in tail
    problems = problems_of(head + mark + tail.replace(old, new, 1), tmp_path)
    found = faults(problems, message, f"{CROWD}.{place}")
    assert found[0].line is not None


def test_population_of_the_same_name_twice_is_no_toml(tmp_path: Path) -> None:
    """As every table."""
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(TEXT + "[population.crowd]\ncount = 1\n")
    (problem,) = problems_of(TEXT + "[population.crowd]\ncount = 1\n", tmp_path)
    assert "the key or table is there already" in problem.message


def test_position_that_the_counterparty_cannot_hold_is_told_apart() -> None:
    """Nobody's own is too large; what is left over is."""
    exchange = fw.Exchange(["ETH/USDT:PERP"])
    exchange.reprice({"ETH": 4_000.0})
    other = exchange.open_account({"USDT": 1_000_000})
    with pytest.raises(fw.OrderError, match=r"the counterparty's 3e\+07 is more than"):
        exchange.open_accounts(
            {"USDT": np.full(30_000, 1e5)},
            {"ETH/USDT:PERP": np.full(30_000, 1e3)},
            counterparty=other,
        )
    assert exchange.ledger.n_accounts == other + 1


def test_progress_is_told_within_a_long_cycle_of_liquidations(tmp_path: Path) -> None:
    """Thousands fall in one second: what is told moves on between two cycles."""
    shock = """
[[shocks]]
at = 2.5
kind = "outside"
asset = "ETH"
move = -0.3
"""
    path = tmp_path / "fall.toml"
    path.write_text(TEXT.replace("count = 400", "count = 2_000") + shock)
    told: list[tuple[float, float]] = []
    run = fw.load(path).run(0, lambda share, seconds: told.append((share, seconds)))
    assert len(list(run.log.single("breach"))) > 500
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0.0, 0.0), (1.0, 10.0))
    whole = [seconds for _, seconds in told if seconds == int(seconds)]
    within = [seconds for _, seconds in told if 3.0 < seconds < 4.0]
    assert len(within) >= 5
    assert len(whole) >= 10
    assert all(share == pytest.approx(seconds / 10) for share, seconds in told)
