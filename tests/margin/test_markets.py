"""Markets: what a tick and a lot are in atoms, and which markets cannot be settled."""

from decimal import Decimal
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.margin.markets import (
    _STEPS,
    DECIMALS_DEFAULT,
    MarketError,
    MarketSpec,
    atoms,
    exact,
    parse_name,
)
from flashwick.orderbook.orders import PRICE_MAX, QTY_MAX


@given(
    tick=st.decimals("0.00000001", "1000", places=8),
    lot=st.decimals("0.00000001", "1000", places=8),
    base=st.integers(0, 12),
    quote=st.integers(0, 12),
)
@settings(max_examples=200, phases=UNTRACED)
def test_market_is_accepted_only_if_every_trade_is_whole_atoms(
    tick: Decimal, lot: Decimal, base: int, quote: int
) -> None:
    """One lot in base atoms, and a tick times a lot in quote atoms."""
    base_atoms = Fraction(lot) * 10**base
    quote_atoms = Fraction(tick) * Fraction(lot) * 10**quote
    whole = base_atoms.denominator == quote_atoms.denominator == 1
    decimals = {"A": base, "B": quote}
    if whole and max(base_atoms, quote_atoms) <= 2**53:
        spec = MarketSpec.define("A/B", tick, lot, decimals)
        assert (spec.base_unit, spec.quote_unit) == (base_atoms, quote_atoms)
        # Three lots at seven ticks, in units of people and in atoms.
        paid = spec.lots(3 * lot) * spec.ticks(7 * tick) * spec.quote_unit
        assert Fraction(paid, 10**quote) == 21 * Fraction(tick) * Fraction(lot)
    else:
        with pytest.raises(MarketError):
            MarketSpec.define("A/B", tick, lot, decimals)


@pytest.mark.parametrize("name", [name for name in _STEPS if name])
def test_market_of_the_table_can_be_named_alone(name: str) -> None:
    """Steps of October 2025; at 8 decimals they are whole atoms."""
    spec = MarketSpec.define(name)
    assert (str(float(spec.tick)), str(float(spec.lot))) == tuple(
        str(float(step)) for step in _STEPS[name]
    )
    assert spec.perpetual == name.endswith(":PERP")
    assert spec.base_unit == spec.lot * 10**DECIMALS_DEFAULT


def test_unknown_market_has_the_default_steps() -> None:
    """A ten-thousandth for the price, a tenth for the quantity."""
    spec = MarketSpec.define("NEW/USDT")
    assert (spec.tick, spec.lot) == (Fraction("0.0001"), Fraction("0.1"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("ATOM/USDT", "0", "1"), r"ATOM/USDT: 'tick' must be > 0 \(got 0\)"),
        (("ATOM/USDT", "1", "-1"), r"'lot' must be > 0 \(got -1\)"),
        (("A/B", "0.5", "0.5", {"A": 0}), "no whole number of atoms of A .0 decimals"),
        (("A/B", "0.5", "1", {"B": 0}), "tick 0.5 x lot 1 is no whole number of atoms"),
        (("A/B", "1e9", "1e9"), "too coarse for int64"),
        (("A/B", "abc", "1"), "A/B: tick: must be a decimal number .got 'abc'"),
        (("A/B", True, "1"), "must be a decimal number .got True"),
        (("A/B", nan, "1"), "must be a decimal number .got nan"),
        (("A/B", inf, "1"), "must be a decimal number .got inf"),
        (("A/B", "1e-99", "1"), "must be a decimal number"),
        (("AB",), "'AB' is not a market; write BASE/QUOTE or BASE/QUOTE:PERP"),
        (("A/B/C",), "is not a market"),
        (("/B",), "is not a market"),
        (("A/B:PERPETUAL",), "is not a market"),
        (("A/B:",), "is not a market"),
        (("A/A",), "'A/A': base and quote must be two different assets"),
    ],
)
def test_market_that_cannot_be_is_refused_with_the_remedy(
    arguments: tuple[object, ...], text: str
) -> None:
    """Name, field and value in one line."""
    with pytest.raises(MarketError, match=text):
        MarketSpec.define(*arguments)  # type: ignore[arg-type]


def test_names_are_split() -> None:
    """Spot and perpetual."""
    assert parse_name("WBETH/ETH") == ("WBETH", "ETH", False)
    assert parse_name("BTC/USDT:PERP") == ("BTC", "USDT", True)


ATOM = MarketSpec.define("ATOM/USDT", "0.001", "0.01")


def test_prices_and_quantities_become_ticks_and_lots() -> None:
    """Text, decimals, integers and floats that print as a multiple of the step."""
    assert [ATOM.ticks(p) for p in ("1.745", 1.745, Decimal("1.745"), 2)] == [
        1745,
        1745,
        1745,
        2000,
    ]
    assert [ATOM.lots(q) for q in ("9695.33", 9695.33, 1)] == [969533, 969533, 100]
    assert ATOM.ticks("1073741.823") == PRICE_MAX
    assert ATOM.lots(QTY_MAX // 100) == QTY_MAX // 100 * 100


@pytest.mark.parametrize("price", ["1.7455", 0.1 + 0.2, 0, -1, "1073741.824", "x", nan])
def test_price_off_the_tick_or_out_of_range_is_refused(price: object) -> None:
    """The value is named."""
    with pytest.raises(MarketError, match=r"ATOM/USDT: '?price"):
        ATOM.ticks(price)  # type: ignore[arg-type]


@pytest.mark.parametrize("qty", ["0.005", 0, -0.01, QTY_MAX, "1e30", None])
def test_quantity_off_the_lot_or_out_of_range_is_refused(qty: object) -> None:
    """The value is named."""
    with pytest.raises(MarketError, match=r"ATOM/USDT: '?qty"):
        ATOM.lots(qty)  # type: ignore[arg-type]


def test_amounts_are_whole_atoms_up_to_2_to_the_60() -> None:
    """A float counts as it prints."""
    assert atoms(0.1, 8, "deposit") == 10_000_000
    assert atoms("0.00000001", 8, "deposit") == 1
    assert atoms(2**60, 0, "deposit") == 2**60
    for amount, decimals, text in (
        ("0.000000001", 8, "deposit: 0.000000001 has more than the asset's 8 decimals"),
        (2**60 + 1, 0, r"deposit: must be from 0 to 1.15292e\+18 \(got 11529215"),
        (-1, 8, r"must be from 0 to 1.15292e\+10 \(got -1\)"),
        (1e30, 8, "must be from 0"),
        ("many", 8, "deposit: must be a decimal number"),
    ):
        with pytest.raises(MarketError, match=text):
            atoms(amount, decimals, "deposit")


@given(st.decimals(-(10**9), 10**9, places=12))
@settings(max_examples=50, phases=UNTRACED)
def test_decimal_numbers_are_exact(number: Decimal) -> None:
    """As fractions, with nothing lost."""
    assert exact(number, "x") == Fraction(number)
    assert exact(str(number), "x") == Fraction(number)


@pytest.mark.parametrize("name", [5, None, b"BTC/USDT", ["BTC/USDT"]])
def test_name_that_is_no_text_is_refused(name: object) -> None:
    """With what came."""
    with pytest.raises(MarketError, match="'name' must be a market, as BTC/USDT"):
        MarketSpec.define(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("places", [-1, 19, 1.5, "8", True, None, nan])
def test_decimals_that_are_none_are_refused(places: object) -> None:
    """Of either asset; NumPy's whole numbers are whole numbers."""
    message = "decimals of USDT must be a whole number from 0 to 18"
    with pytest.raises(MarketError, match=message):
        MarketSpec.define("BTC/USDT", decimals={"USDT": places})  # type: ignore[dict-item]
    with pytest.raises(MarketError, match="'decimals' must be by asset"):
        MarketSpec.define("BTC/USDT", decimals=6)  # type: ignore[arg-type]
    nine = MarketSpec.define("BTC/USDT", decimals={"USDT": np.int64(9), "BTC": 8})
    assert nine.decimals == (8, 9)
