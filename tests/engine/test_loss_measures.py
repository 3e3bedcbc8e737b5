"""When forced trades go on, told by the data the target was read from."""

import csv
import gzip
from pathlib import Path

import numpy as np

from flashwick.engine.loss_measures import going_on

CYCLE_S = 6.4
"""Of the venue the data are from, about."""


def test_liquidations_went_on_171_s_before_the_first_deleveraging(
    data_dir: Path,
) -> None:
    """The few of 21:00 do not count: first 21:13:13, deleveraging from 21:16:04."""
    name = "hl_liq_adl_per_second_2100_2200.csv.gz"
    with gzip.open(data_dir / "oct10" / name, "rt") as file:
        rows = list(csv.DictReader(file))
    usd = np.array([float(row["liq_total"]) for row in rows])
    closed = np.array([float(row["adl_total"]) for row in rows])
    second = np.flatnonzero(usd)
    began = going_on(second.astype(float), usd[second], CYCLE_S)
    assert second[0] < 60
    assert abs(np.flatnonzero(closed)[0] - began - 171.0) <= CYCLE_S


def test_a_few_small_trades_are_not_a_wave() -> None:
    """A millionth of what falls later does not begin anything, a thousandth does."""
    time = np.r_[np.arange(5) * 7.0, 600.0 + np.arange(5) * 7.0]
    for size, began in ((1.0, 600.0), (1_000.0, 0.0)):
        usd = np.r_[np.full(5, size), np.full(5, 1e6)]
        assert abs(going_on(time, usd, 7.0) - began) < 7.0


def test_trades_that_stop_or_are_few_never_go_on() -> None:
    """Four cycles, or five with minutes between them, or none."""
    for time in (np.arange(4) * 7.0, np.arange(5) * 120.0, np.zeros(0)):
        assert np.isnan(going_on(time, np.ones(len(time)), 7.0))
