"""Universes: assets and markets drawn from a cross-section."""

import tomllib
from math import isclose
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flashwick as fw
from flashwick.engine.reading.universe import expand
from flashwick.margin.markets import MarketSpec

TEXT = """
name = "universe"
duration = 5

[assets]
USDT = { price = 1, decimals = 6 }
USDC = { price = 1, decimals = 6 }
FDUSD = { price = 1, decimals = 6 }
BTC = { price = 117_000, volatility = 0.6 }
SUI = { volatility = 2.5 }

[markets]
"BTC/USDT" = { tick = "0.1", lot = "0.0001" }
"ATOM/USDT" = { price_band = 0.4 }

[oracles]
ATOM = { policy = "outside" }

[rules.collateral]
ATOM = 0.33

[universe.alts]
draw = 7
count = 300
follows = "BTC"
price = { kind = "lognormal", median = 0.17, spread = 2.7, most = 50 }
high = { kind = "lognormal", median = 1.15, spread = 0.05, most = 2 }
volume_usd = { kind = "lognormal", median = 2e6, spread = 1.3, most = 4e8 }
depth = { usd = 20e6, volume_usd = 2.4e9, elasticity = 0.6 }
beta = { kind = "lognormal", median = 2.6, spread = 0.1, most = 4 }
volatility = { kind = "fixed", value = 1.2 }
outside_depth = 3
oracle = { policy = "mix", sources = { own = 0.3, outside = 0.7 }, band = 0.02 }
collateral = [[20, 0.7], [300, 0.5]]
brackets = [[30, "ATOMUSDT"], [300, "IOTXUSDT"]]

[universe.alts.perpetuals]
count = 60
volume = { kind = "lognormal", median = 3.56, spread = 0.4, most = 7 }
price_band = 0.15

[universe.alts.books.USDC]
count = 100
volume = { kind = "lognormal", median = 0.106, spread = 0.64, most = 0.5 }

[universe.alts.books.FDUSD]
count = 40
volume = { kind = "fixed", value = 0.05 }

[universe.alts.pairs]
SUI = { price = 3.03, high = 3.479, volume_usd = 123e6 }
ATOM = { price = 3.6, high = 4.188, volume_usd = 9.21e6 }
PEPE = { price = 8.17e-6, volume_usd = 84e6 }
ASTER = { price = 1.61 }
"""
SMALL = TEXT.replace("count = 300", "count = 60").replace("300,", "60,")


def loaded(folder: Path, text: str = TEXT) -> fw.Scenario:
    """The scenario of a text."""
    path = folder / "universe.toml"
    path.write_text(text)
    return fw.load(path)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> fw.Scenario:
    """Three hundred alts, with second books and perpetuals."""
    return loaded(tmp_path_factory.mktemp("universe"))


def volumes(scenario: fw.Scenario, group: str) -> list[float]:
    """What the markets of a group trade."""
    config = scenario.config
    return [config.markets[market].volume_usd or 0.0 for market in config.groups[group]]


# -- WHAT IS DRAWN


def test_groups_are_by_rank_of_volume(scenario: fw.Scenario) -> None:
    """First books, second books, perpetuals: as many as asked for, largest first."""
    groups = scenario.config.groups
    assert {name: len(markets) for name, markets in groups.items()} == {
        "alts": 300,
        "alts.USDC": 100,
        "alts.FDUSD": 40,
        "alts.second": 140,
        "alts.perp": 60,
    }
    first = volumes(scenario, "alts")
    assert first == sorted(first, reverse=True)
    bases = [market.partition("/")[0] for market in groups["alts"]]
    for name, quote in (("USDC", "USDC"), ("FDUSD", "FDUSD"), ("perp", "USDT:PERP")):
        others = groups[f"alts.{name}"]
        assert list(others) == [f"{base}/{quote}" for base in bases[: len(others)]]
    assert len(scenario.config.markets) == 1 + 300 + 140 + 60


def test_figures_have_the_laws_they_are_drawn_from(scenario: fw.Scenario) -> None:
    """Medians of 300; shares of second books and perpetuals of their first book."""
    config = scenario.config
    prices = [config.assets[m.partition("/")[0]].price for m in config.groups["alts"]]
    assert 0.1 < float(np.median(prices)) < 0.3
    assert 1.6e6 < float(np.median(volumes(scenario, "alts"))) < 2.5e6
    betas = [coin.beta for coin in config.assets.values() if coin.follows == "BTC"]
    assert len(betas) == 300
    assert 2.5 < float(np.median(betas)) < 2.7
    first = np.array(volumes(scenario, "alts"))
    for group, share in (("USDC", 0.106), ("FDUSD", 0.05), ("perp", 3.56)):
        own = np.array(volumes(scenario, f"alts.{group}"))
        assert float(np.median(own / first[: len(own)])) == pytest.approx(
            share, rel=0.2
        )


def test_depth_goes_with_volume_by_its_law(scenario: fw.Scenario) -> None:
    """Of every book, to the six digits that are kept; impact from the depth outside."""
    config = scenario.config
    for name, market in config.markets.items():
        if name != "BTC/USDT":
            assert market.volume_usd is not None
            depth = 20e6 * (market.volume_usd / 2.4e9) ** 0.6
            assert market.depth_usd == pytest.approx(depth, rel=1e-5)
    coin, book = config.assets["ATOM"], config.markets["ATOM/USDT"]
    assert book.depth_usd is not None
    # A hundredth of the price for one side of three times the depth, in millions.
    assert coin.impact == pytest.approx(0.01 / (1.5 * book.depth_usd * 1e-6), rel=1e-5)


def test_known_pairs_have_the_figures_of_the_file(scenario: fw.Scenario) -> None:
    """Price, high and volume; what is left out is drawn."""
    config = scenario.config
    assert config.assets["SUI"].price == 3.03
    for market in ("SUI/USDT", "SUI/USDC", "SUI/FDUSD", "SUI/USDT:PERP"):
        assert config.markets[market].high == 3.479
    assert config.markets["SUI/USDT"].volume_usd == 123e6
    high = config.markets["PEPE/USDT"].high
    assert high is not None
    assert 1.0 < high / 8.17e-6 < 1.4
    assert (config.markets["ASTER/USDT"].volume_usd or 0.0) > 1e4
    unnamed = [name for name in config.assets if name.startswith("ALT")]
    assert len(unnamed) == 296
    ranks = [config.groups["alts"].index(f"{name}/USDT") + 1 for name in unnamed]
    assert [f"ALT{rank:03d}" for rank in ranks] == unnamed


def test_what_the_file_says_goes_before_what_is_drawn(scenario: fw.Scenario) -> None:
    """Key by key: of an asset, a market, an index, a rule of the venue."""
    config = scenario.config
    assert (config.assets["SUI"].volatility, config.assets["ATOM"].volatility) == (
        2.5,
        1.2,
    )
    assert config.assets["SUI"].follows == "BTC"
    atom = config.markets["ATOM/USDT"]
    assert (atom.tick, atom.price_band) == ("0.001", 0.4)
    assert config.oracles["ATOM"].policy == "outside"
    assert config.oracles["SUI"].sources == {"SUI/USDT": 0.3, "outside": 0.7}
    assert config.oracles["SUI"].band == 0.02
    assert config.rules["collateral"]["ATOM"] == 0.33


def test_rates_and_brackets_are_by_rank_unless_the_venue_has_them(
    scenario: fw.Scenario,
) -> None:
    """SUI has a rate and brackets of binance-pm; drawn ones have those of the rank."""
    rules, groups = scenario.config.rules, scenario.config.groups
    bases = [market.partition("/")[0] for market in groups["alts"]]
    assert "SUI" not in rules["collateral"]
    for rank, base in enumerate(bases, 1):
        if base.startswith("ALT"):
            assert rules["collateral"][base] == (0.7 if rank <= 20 else 0.5)
    drawn = [base for base in bases[:60] if base.startswith("ALT")]
    assert {f"{base}USDT" for base in drawn} <= set(rules["brackets"])
    assert rules["brackets"][f"{drawn[-1]}USDT"] == "IOTXUSDT"
    assert not set(rules["brackets"]) & {f"{base}USDT" for base in bases[60:]}
    assert "SUIUSDT" not in rules["brackets"]


@given(
    price=st.floats(1e-7, 1e5),
    digits=st.integers(3, 5),
    lot=st.floats(0.5, 10.0),
    atom=st.sampled_from([1e-8, 1e-7, 1e-6]),
)
@settings(max_examples=60)
def test_steps_fit_the_price_and_the_atoms(
    price: float, digits: int, lot: float, atom: float
) -> None:
    """So many digits in ticks, a lot worth no more than asked, whole atoms."""
    table = tomllib.loads(TEXT)
    law = {"kind": "fixed", "value": price}
    table["universe"]["alts"] |= {
        "count": 1,
        "price": law,
        "digits": digits,
        "lot_usd": lot,
        "atom_usd": atom,
        "pairs": {},
        "books": {},
    }
    del table["universe"]["alts"]["perpetuals"]
    document, faults = expand(table)
    assert not faults
    market, asset = document["markets"]["ALT1/USDT"], document["assets"]["ALT1"]
    decimals = {"ALT1": asset["decimals"], "USDT": 8}
    spec = MarketSpec.define("ALT1/USDT", market["tick"], market["lot"], decimals)
    ticks = asset["price"] / float(spec.tick)
    assert 10 ** (digits - 1) * 0.999 <= ticks <= 10**digits * 1.001
    assert 0.099 * lot <= float(spec.lot) * asset["price"] <= 1.001 * lot
    if asset["decimals"] not in (0, 8):
        assert atom * 0.999 <= asset["price"] * 10.0 ** -asset["decimals"]


def test_universe_is_one_for_all_seeds_and_another_for_another_draw(
    scenario: fw.Scenario, tmp_path: Path
) -> None:
    """The same file gives the same markets; one law changed leaves the others."""
    assert loaded(tmp_path).config == scenario.config
    other = scenario.vary({"universe.alts.draw": 8}).config
    assert other.groups["alts"] != scenario.config.groups["alts"]
    wilder = scenario.vary({"universe.alts.beta.spread": 0.3}).config
    assert wilder.markets == scenario.config.markets
    assert wilder.assets["ATOM"].price == scenario.config.assets["ATOM"].price
    assert wilder.assets["ATOM"].beta != scenario.config.assets["ATOM"].beta


def test_scale_is_of_volumes_and_depths(scenario: fw.Scenario) -> None:
    """A smaller venue with the same coins."""
    small = scenario.vary({"universe.alts.scale": 0.05}).config
    whole = scenario.config
    assert small.groups == whole.groups
    for name in ("ATOM/USDT", "SUI/USDC", "PEPE/USDT:PERP"):
        for key in ("volume_usd", "depth_usd"):
            ours, theirs = (
                getattr(small.markets[name], key),
                getattr(whole.markets[name], key),
            )
            assert isclose(ours, 0.05 * theirs, rel_tol=2e-5)


def test_changes_of_what_is_drawn_and_of_the_draw_go_together(
    scenario: fw.Scenario,
) -> None:
    """First the universe, then its markets, whatever their order."""
    changes = {
        'markets."ALT001/USDT".price_band': 0.2,
        "universe.alts.prefix": "COIN",
        'markets."COIN001/USDT".price_band': 0.3,
    }
    with pytest.raises(fw.ScenarioError, match="'ALT001/USDT' is not there"):
        scenario.vary(changes)
    first = next(m for m in scenario.config.groups["alts"] if m.startswith("ALT"))
    changes = {
        f'markets."COIN{first[3:]}".price_band': 0.3,
        "universe.alts.prefix": "COIN",
    }
    varied = scenario.vary(changes).vary({"universe.alts.books.USDC.count": 5})
    assert varied.config.markets[f"COIN{first[3:]}"].price_band == 0.3
    assert len(varied.config.groups["alts.USDC"]) == 5


def test_universe_runs(tmp_path: Path) -> None:
    """Every market opens at its price, and trades."""
    text = SMALL.replace(
        "[oracles]",
        '[background.all]\nmarkets = ["@alts", "@alts.perp"]\n'
        '[stale_bids.old]\nmarkets = ["@alts"]\nnearest = 0.001\n[oracles]',
    )
    text = text.replace("count = 100", "count = 20").replace("count = 40", "count = 9")
    run = loaded(tmp_path, text).run(seed=1)
    assert run.outcome["conserved"] == 1.0
    assert len(run.prints.time) > 50
    before = dict(zip(run.names.markets, run.series.last[0], strict=True))
    assert before["ATOM/USDT"] == pytest.approx(3.6, rel=1e-3)
    assert before["PEPE/USDT"] == pytest.approx(8.17e-6, rel=1e-3)


# -- WHAT IS REFUSED

UNIVERSE = "universe.alts"
WRONG = [
    ("count = 300", "count = 3", "count", "must be at least the 4 pairs there are (g"),
    ("count = 300", "count = 5_001", "count", "must be at most 5,000 (got 5,001)"),
    ("count = 60", "count = 301", "perpetuals.count", "at most the 300 bases there"),
    ("count = 40", "count = 301", "books.FDUSD.count", "at most the 300 bases there"),
    ("digits", "digits = 9\ndraw", "digits", "must be at most 8 (got 9)"),
    ("spread = 2.7", "spread = 9", "price.spread", "must be at most 5 (got 9)"),
    ("median = 0.17, ", "", "price.median", "must be given for a lognormal"),
    ("value = 0.05", "value = 0", "books.FDUSD.volume.value", "above 0 (got 0)"),
    ("price = 1.61", "price = -1", "pairs.ASTER.price", "must be above 0 (got -1)"),
    ("price = 1.61", "prise = 1.61", "pairs.ASTER.prise", "did you mean 'price'?"),
    ("[20, 0.7], [300", "[20, 0.7], [9", "collateral", "by rising ranks from 1 (got"),
    ("[30, ", "[0, ", "brackets", "must be by rising ranks from 1 (got [0, 300]"),
    ("elasticity = 0.6", "elasticity = nan", "depth.elasticity", "a finite number"),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG)
def test_fault_of_a_universe_is_told_with_its_place_and_nothing_that_follows(
    old: str, new: str, place: str, message: str, tmp_path: Path
) -> None:
    """One line, not one for each market that is missing then."""
    if old == "digits":
        old, new = "draw = 7", "digits = 9\ndraw = 7"
    assert old in TEXT
    with pytest.raises(fw.ScenarioError) as caught:
        loaded(tmp_path, TEXT.replace(old, new, 1))
    assert all(p.path.startswith(UNIVERSE) for p in caught.value.problems)
    (problem,) = [p for p in caught.value.problems if p.path == f"{UNIVERSE}.{place}"]
    assert message in problem.message
    assert problem.line is not None


def test_second_universe_must_not_draw_what_another_has(tmp_path: Path) -> None:
    """Neither by its prefix nor by a pair: their markets would be mixed."""
    _, table, tail = TEXT.partition("[universe.alts]")
    two = table + tail.partition("[universe.alts.perpetuals]")[0]
    two = two.replace("alts", "more").replace("brackets", "# brackets")
    with pytest.raises(fw.ScenarioError) as caught:
        loaded(tmp_path, TEXT + two)
    (problem,) = caught.value.problems
    assert problem.path == "universe.more.prefix"
    assert "which [universe.alts] has too (got 'ALT')" in problem.message
    two = two.replace("draw = 7", 'draw = 7\nprefix = "NEW"')
    assert "more" in loaded(tmp_path, TEXT + two).config.groups
    pair = "[universe.more.pairs]\nSUI = { price = 3 }\n"
    with pytest.raises(fw.ScenarioError) as caught:
        loaded(tmp_path, TEXT + two + pair)
    assert [p.path for p in caught.value.problems] == ["universe.more.pairs.SUI"]


@pytest.mark.parametrize(
    ("quote", "place"), [("USDC", "books.USDC"), ("USDT", "quote")]
)
def test_universe_is_quoted_in_dollars(quote: str, place: str, tmp_path: Path) -> None:
    """Its prices and steps are drawn in them."""
    old = f"{quote} = {{ price = 1,"
    with pytest.raises(fw.ScenarioError) as caught:
        loaded(tmp_path, TEXT.replace(old, f"{quote} = {{ price = 0.024,"))
    (problem,) = caught.value.problems
    assert problem.path == f"universe.alts.{place}"
    assert "must be worth a dollar" in problem.message
    assert "(got 0.024)" in problem.message


def test_rates_are_drawn_against_the_rules_of_a_change(tmp_path: Path) -> None:
    """As if the file had named that preset; a rate that is drawn may be changed too."""
    text = TEXT.replace("[rules.collateral]\nATOM = 0.33\n", "")
    text = text.replace("brackets = ", "# brackets = ")
    named = loaded(tmp_path, text + '\n[rules]\npreset = "ftx-2022"\n')
    plain = loaded(tmp_path, text)
    varied = plain.vary({"rules.preset": "ftx-2022"})
    assert varied.config.rules == named.config.rules
    # That preset has no rate of SUI, the one of the file has.
    assert "SUI" in varied.config.rules["collateral"]
    assert "SUI" not in plain.config.rules["collateral"]
    again = varied.vary({"rules.collateral.ALT300": 0.11})
    assert again.config.rules["collateral"]["ALT300"] == 0.11


def test_fault_that_all_markets_of_a_universe_share_is_one_line(tmp_path: Path) -> None:
    """Here a dollar with too few digits for any of their steps."""
    text = TEXT.replace(
        "USDT = { price = 1, decimals = 6 }", "USDT = { price = 1, decimals = 2 }"
    )
    with pytest.raises(fw.ScenarioError) as caught:
        loaded(tmp_path, text)
    ours = [p for p in caught.value.problems if "no whole number of atoms" in p.message]
    assert len(ours) == 1
    assert "more like it" in ours[0].message


def test_changes_of_a_file_reach_what_is_drawn(tmp_path: Path) -> None:
    """By name and by star, over what file and draw say; lists and flows as before."""
    (tmp_path / "base.toml").write_text(TEXT)
    text = """
base = "base.toml"
name = "changed"

[assets]
SUI = { volatility = 1.5 }

[changes]
duration = 6.0
"universe.alts.count" = 290
"markets.*.high" = 9.0
'markets."SUI/USDC".price_band' = 0.2
"assets.SUI.impact" = 0.5
"rules.collateral.SUI" = 0.1
"rules.collateral.ALT290" = 0.2
"""
    path = tmp_path / "changed.toml"
    path.write_text(text)
    loaded = fw.load(path)
    config = loaded.config
    assert config.duration == 6.0
    assert len(config.groups["alts"]) == 290
    assert {market.high for market in config.markets.values()} == {9.0}
    assert config.markets["SUI/USDC"].price_band == 0.2
    assert (config.assets["SUI"].volatility, config.assets["SUI"].impact) == (1.5, 0.5)
    rates = config.rules["collateral"]
    assert (rates["SUI"], rates["ALT290"], rates["ATOM"]) == (0.1, 0.2, 0.33)
    # What is changed on top comes after, and counts for the draw.
    varied = loaded.vary({"universe.alts.count": 295, "markets.*.high": 8.0}).config
    assert len(varied.groups["alts"]) == 295
    assert {market.high for market in varied.markets.values()} == {8.0}
    assert varied.markets["SUI/USDC"].price_band == 0.2


def test_change_of_what_is_not_drawn_is_told_at_its_line(tmp_path: Path) -> None:
    """With the nearest of the names that are drawn."""
    (tmp_path / "base.toml").write_text(TEXT)
    change = "'markets.\"SUU/USDC\".price_band' = 0.2"
    path = tmp_path / "changed.toml"
    path.write_text(f'base = "base.toml"\nname = "changed"\n[changes]\n{change}\n')
    with pytest.raises(fw.ScenarioError) as caught:
        fw.load(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(path), 4)
    assert "did you mean 'SUI/USDC'?" in problem.message
