"""Draws from the distributions of a scenario."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashwick.engine.chance import Stream
from flashwick.engine.config import Distribution
from flashwick.engine.reading.drawing import draw


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


# -- WEIGHTS, CREDIT, DISTANCE
