"""What the files of 10 October hold, before anything runs."""

import re
from math import fsum

import pytest

import flashwick as fw
from flashwick.engine.config import Scenario

WHOLE = fw.load("oct10").config
SMALL = fw.load("oct10-small").config


def accounts(config: Scenario) -> int:
    """Those of the populations and traders."""
    groups = (*config.population.values(), *config.traders.values())
    return sum(group.count for group in groups)


def volume(config: Scenario, pattern: str) -> float:
    """What the markets of these names trade."""
    found = [m for name, m in config.markets.items() if re.fullmatch(pattern, name)]
    return fsum(market.volume_usd or 0.0 for market in found)


def test_oct10_has_the_size_of_the_day() -> None:
    """430 pairs in USDT, second books, 100 perpetuals, a million accounts."""
    names = list(WHOLE.markets)
    assert sum(name.endswith("/USDT") for name in names) == 430
    assert sum(name.endswith("/USDT:PERP") for name in names) == 100
    assert sum(name.endswith("/USDC") for name in names) > 150
    assert sum(name.endswith("/FDUSD") for name in names) > 60
    assert 1_000_000 <= accounts(WHOLE) <= 1_050_000


def test_trio_is_valued_by_the_rules_of_that_day() -> None:
    """Its own books; the conversion ratios are there for the what-if."""
    assert WHOLE.oracles["USDE"].policy == "own_book"
    assert WHOLE.oracles["WBETH"].sources == {"WBETH/USDT": 0.2, "WBETH/ETH": 0.8}
    assert WHOLE.oracles["BNSOL"].sources == {"BNSOL/USDT": 0.3, "BNSOL/SOL": 0.7}
    rule = fw.load("oct10").variation("redemption-index").config.oracles
    assert [rule[a].policy for a in ("USDE", "WBETH", "BNSOL")] == ["redemption"] * 3
    assert (rule["WBETH"].ratio, rule["WBETH"].underlying) == (1.0797, "ETH")


def test_everything_of_a_market_is_known_that_sizes_and_measures_need() -> None:
    """Depth and volume of every book, the day's high of every pair against USDT."""
    pegs = set(WHOLE.groups["pegs"])
    for name, market in WHOLE.markets.items():
        assert market.depth_usd, name
        assert market.volume_usd, name
        assert market.high or name in pegs or not name.endswith("/USDT"), name


@pytest.mark.parametrize(
    "pattern", [r"\w+/USDT", r"\w+/USDT:PERP", r"\w+/(USDC|FDUSD)"]
)
def test_oct10_small_is_a_twentieth(pattern: str) -> None:
    """Of the money in each kind of book, and of the accounts."""
    share = volume(SMALL, pattern) / volume(WHOLE, pattern)
    assert share == pytest.approx(0.05, rel=0.15)
    assert accounts(SMALL) == pytest.approx(accounts(WHOLE) / 20, rel=0.02)
    assert SMALL.insurance_fund_usd == WHOLE.insurance_fund_usd / 20


def test_oct10_small_has_the_mechanisms_of_the_whole() -> None:
    """The same classes of participants, shocks and rules, where they are."""
    for table in ("market_makers", "population", "traders", "whales", "arbitrage"):
        assert list(getattr(SMALL, table)) == list(getattr(WHOLE, table)), table
    ours, theirs = [
        [(shock.kind, shock.markets == ()) for shock in c.shocks]
        for c in (SMALL, WHOLE)
    ]
    assert ours == theirs
    assert SMALL.rules["liquidation"] == WHOLE.rules["liquidation"]


def test_oct10_small_begins_before_the_second_wave_and_keeps_the_clock() -> None:
    """What comes then comes at the same time of day, down to the same low outside."""
    for ours, theirs in zip(SMALL.shocks[2:], WHOLE.shocks[2:], strict=True):
        assert SMALL.start + ours.at == WHOLE.start + theirs.at, ours.note
        assert ours.profile == theirs.profile
    first, second = SMALL.shocks[1], WHOLE.shocks[1]
    ends = SMALL.start + first.at + first.over, WHOLE.start + second.at + second.over
    assert ends[0] == ends[1]
    assert first.usd / first.over > second.usd / second.over / 20
    ours, theirs = [
        [(c.start + shock.at + after, move) for after, move in shock.points]
        for c, shock in ((SMALL, SMALL.shocks[0]), (WHOLE, WHOLE.shocks[0]))
    ]
    assert ours[1:] == [point for point in theirs if point in ours]
    assert min(move for _, move in ours) == min(move for _, move in theirs)


def test_article_differs_in_its_order_alone() -> None:
    """The same people; USDe sold first, the channel cut at once."""
    article = fw.load("oct10-article").config
    for table in ("assets", "markets", "rules", "population", "market_makers"):
        assert getattr(article, table) == getattr(WHOLE, table), table
    moved = [
        i
        for i, pair in enumerate(zip(article.shocks, WHOLE.shocks, strict=True))
        if pair[0] != pair[1]
    ]
    assert moved == [1, 3]
    assert article.shocks[1].markets == ("USDE/USDT", "USDE/USDC")
    assert article.shocks[3].at == article.shocks[1].at
    assert "not history" in article.title


def test_no_shock_names_a_price_of_a_book() -> None:
    """The factor all coins follow, order flow, the channel and the gateway."""
    for config in (WHOLE, SMALL, fw.load("oct10-article").config):
        kinds = {shock.kind for shock in config.shocks}
        assert kinds <= {"path", "flow", "transfers", "gateway"}
        paths = {shock.asset for shock in config.shocks if shock.kind == "path"}
        assert paths == {"CRYPTO"}
        assert not any(market.last for market in config.markets.values())
        assert not config.ladders
