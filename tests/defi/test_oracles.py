"""Oracles of lending markets, and the presets that name their policies."""

import pytest

from flashwick.engine.defi.fixed_point import WAD
from flashwick.engine.defi.isolated import PRICE_ONE, IsolatedMarket, Terms
from flashwick.engine.defi.oracles import Oracle, base_prices, oracle_of
from flashwick.engine.defi.presets import (
    AAVE_USDE,
    ETHENA_OCT25,
    LISTA_USDX,
    MORPHO_XUSD,
    wbeth_index,
)
from flashwick.engine.defi.protocol import SECOND_NS, Refused
from flashwick.margin.feeds import Feed, Fixed, Last, feed
from flashwick.margin.policies import Stale
from flashwick.margin.presets import GRADES

S = SECOND_NS
A = Last("a")


@pytest.mark.parametrize(
    ("when_down", "health", "allowed"),
    [
        ("block", None, False),
        ("block", 0.5, False),
        ("deep", None, False),
        ("deep", 0.96, False),
        ("deep", 0.94, True),
        ("allow", None, True),
    ],
)
def test_oracle_that_is_down_has_a_declared_consequence(when_down, health, allowed):
    """Nothing, only deep liquidations, or everything at the price that stands."""
    stale = feed(Stale(A, S), a=0.9)
    oracle = Oracle(name="USDe/USD", feed=stale, when_down=when_down)
    assert oracle.price(S).live
    if allowed:
        assert oracle.price(2 * S, health).value == 0.9
    else:
        with pytest.raises(Refused, match=r"'USDe/USD' must .* live .*stale"):
            oracle.price(2 * S, health)


def test_oracle_without_a_price_allows_nothing():
    """Even one that allows everything has to have something to say."""
    oracle = Oracle(name="x", feed=Feed(A), when_down="allow")
    with pytest.raises(Refused, match="missing"):
        oracle.price(0)


def test_oracle_speaks_the_units_of_each_market():
    """Eight digits for the pool; atoms for atoms, times 10**36, for the other."""
    oracle = Oracle(name="xUSD", feed=Feed(Fixed(1.25)))
    assert oracle.in_base(0) == 125_000_000
    scaled = oracle.scaled(0, collateral_decimals=18, loan_decimals=6)
    assert scaled == 125 * PRICE_ONE // 100 // 10**12
    with pytest.raises(Refused, match=r"'when_down' must be one of 'block'"):
        Oracle(name="x", feed=Feed(A), when_down="blocked")


def test_market_with_an_unknown_oracle_is_refused():
    """The market, the name and the nearest right one are told."""
    market = IsolatedMarket.open("market", Terms("USD", "TOK", "TOK/USB", WAD // 2))
    known = {"TOK/USD": Oracle(name="TOK/USD", feed=Feed(Fixed(1.0)))}
    said = r"'market.oracle' must be one of 'TOK/USD' .*did you mean 'TOK/USD'"
    with pytest.raises(Refused, match=said):
        oracle_of(market, known)
    named = IsolatedMarket.open("market", Terms("USD", "TOK", "TOK/USD", WAD // 2))
    assert oracle_of(named, known).price(0).value == 1.0
    assert base_prices(known, 0) == {"TOK/USD": 10**8}


def test_index_of_wbeth_breaks_only_with_both_its_pairs():
    """At 430 in its own book it falls 17.9 % while WBETH/ETH holds, else to 1,910."""
    seen = {"WBETH/USDT": 430.0, "WBETH/ETH": 1.08, "ETH/USDT": 3_800.0}
    held = feed(wbeth_index(), **seen).read(0).value
    assert held == pytest.approx(3_369.0, abs=1.0)
    assert 1.0 - held / 4_104.0 == pytest.approx(0.179, abs=5e-4)
    both = feed(wbeth_index(), **(seen | {"WBETH/ETH": 0.6})).read(0).value
    assert both == pytest.approx(1_910.0)


def test_presets_are_what_their_sources_state():
    """An e-mode of 89/92/2 makes loops of nine; 88 % at full use is a target of 22."""
    mode = AAVE_USDE.mode
    assert 1.0 / (1.0 - mode.ltv / 10_000) == pytest.approx(9.09, abs=0.01)
    assert 1.0 - mode.ltv / mode.threshold == pytest.approx(0.0326, abs=1e-4)
    curve = MORPHO_XUSD.curve
    full = curve.rate(1, 1, curve.initial, 0).mean * 365 * 86_400 / 10**18
    assert full == pytest.approx(0.88, abs=1e-6)
    most = LISTA_USDX.curve.rate(1, 1, LISTA_USDX.curve.most, 0).mean
    assert most * 365 * 86_400 / 10**18 == pytest.approx(8.0, abs=1e-6)
    for preset in (AAVE_USDE, MORPHO_XUSD, LISTA_USDX, ETHENA_OCT25):
        assert preset.evidence.grade in GRADES
        assert preset.evidence.source
