"""Figures of many lines at once."""

import numpy as np

from flashwick.engine.pages.crowd_figures import FAN, _quantiles


def test_quantiles_are_those_of_each_row() -> None:
    """To the last bit, whatever is missing in it."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(60, 7))
    values[rng.random(values.shape) < 0.4] = np.nan
    values = values[~np.isnan(values).all(axis=1)]
    expected = np.nanquantile(values, FAN, axis=1)
    assert _quantiles(values).tolist() == expected.tolist()
    assert len(values) > 50
