"""The sweep of ATOM/USDT of 10 October 2025, and what a price band would have kept."""

import csv
from fractions import Fraction
from pathlib import Path

import pytest

import flashwick as fw

BAND = 'markets."ATOM/USDT".price_band'
REFERENCE = Fraction("1.745")

TABLE = [
    # band, floor price, price levels hit, filled ATOM, quote USDT, unfilled
    (0.05, "1.65775", 4, "557.13", "932.82", "9138.20"),
    (0.10, "1.5705", 11, "1011.35", "1667.40", "8683.98"),
    (0.20, "1.3960", 26, "3614.75", "5546.57", "6080.58"),
    (0.30, "1.2215", 41, "4424.55", "6602.06", "5270.78"),
    (0.50, "0.8725", 61, "6046.95", "8313.05", "3648.38"),
    (0.90, "0.1745", 69, "7164.15", "9167.55", "2531.18"),
]
"""The published what-if: a band around the last print, the rest cancelled."""


@pytest.fixture(scope="module")
def sweep() -> fw.Scenario:
    """The shipped scenario."""
    return fw.load("atom-sweep")


def shock(run: fw.Run) -> dict[str, float]:
    """The measures of the market sell."""
    prefix = "shock.0."
    measures = run.measures().items()
    return {
        key.removeprefix(prefix): float(value)
        for key, value in measures
        if key.startswith(prefix)
    }


def test_ladder_is_the_recorded_one(sweep: fw.Scenario, data_dir: Path) -> None:
    """Price and quantity of all 71 rows, in their order, and their sum as the order."""
    (table,) = (data_dir / "oct10").glob("atomusdt_sweep_*.csv")
    with table.open(newline="") as lines:
        rows = [
            (row["price_usdt"], row["quantity_atom"]) for row in csv.DictReader(lines)
        ]
    (ladder,) = sweep.config.ladders
    assert len(rows) == 71
    assert list(ladder.orders) == rows
    assert Fraction(str(sweep.config.shocks[0].qty)) == sum(
        Fraction(q) for _, q in rows
    )
    assert "CC BY 4.0" in ladder.source


def test_one_sell_prints_71_times_down_to_a_tenth_of_a_cent(sweep: fw.Scenario) -> None:
    """Every figure exactly as it was."""
    assert shock(sweep.run()) == {
        "prints": 71,
        "levels": 70,
        "filled": 9695.33,
        "quote": 9170.080188,
        "unfilled": 0,
        "first": 1.688,
        "last": 0.001,
        "vwap": pytest.approx(0.945824, abs=5e-7),
        "filled_at_last": 2531.178,
    }


@pytest.mark.parametrize(
    ("band", "floor", "levels", "filled", "quote", "unfilled"), TABLE
)
def test_price_band_stops_the_sweep_above_its_floor(
    band: float,
    floor: str,
    levels: int,
    filled: str,
    quote: str,
    unfilled: str,
    sweep: fw.Scenario,
) -> None:
    """Every row as published, to its last digit."""
    found = shock(sweep.vary({BAND: band}).run())
    assert Fraction(floor) == REFERENCE * (1 - Fraction(str(band)))
    assert found["levels"] == levels
    assert f"{found['filled']:.2f}" == filled
    assert f"{found['quote']:.2f}" == quote
    assert f"{found['unfilled']:.2f}" == unfilled
    # The last print is above the floor, and the next bid is not.
    prices = [Fraction(price) for price, _ in sweep.config.ladders[0].orders]
    below = [price for price in prices if price < Fraction(str(found["last"]))]
    assert Fraction(str(found["last"])) > Fraction(floor) >= max(below)


def test_variations_are_the_published_bands(sweep: fw.Scenario) -> None:
    """One for each row, with a target for each of its figures."""
    bands = [changes[BAND] for changes in sweep.config.variations.values()]
    assert bands == [row[0] for row in TABLE]
    for name, row in zip(sweep.config.variations, TABLE, strict=True):
        targets = {t.measure: t for t in sweep.config.targets if t.variation == name}
        assert targets["shock.0.levels"].value == row[2]
        for key, printed in zip(("filled", "quote", "unfilled"), row[3:], strict=True):
            assert f"{targets[f'shock.0.{key}'].value:.2f}" == printed
        assert "shock.0.last" in targets


def test_every_target_is_exact_required_and_has_its_source(sweep: fw.Scenario) -> None:
    """No band, no tolerance: the scenario is arithmetic on public data."""
    for target in sweep.config.targets:
        assert target.value is not None
        assert (target.tolerance, target.required) == (0.0, True)
        assert "yanagihalab/atom-flash-crash-research" in target.source


def test_every_target_holds(sweep: fw.Scenario) -> None:
    """For one seed and for several alike: nothing in it is left to chance."""
    assert sweep.verify().ok
    result = sweep.verify(seeds=3)
    assert result.ok
    assert all(len(set(row.values)) == 1 for row in result.rows)


def test_nobody_is_liquidated_and_nothing_is_lost(sweep: fw.Scenario) -> None:
    """The index does not follow the print; every atom is still there."""
    run = sweep.run()
    assert run.outcome["conserved"] == 1.0
    assert run.measures()["accounts.liquidated"] == 0
    assert not list(run.log.single("breach", "liquidation"))
