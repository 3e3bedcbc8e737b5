"""Random streams: named, the same everywhere, and of the distributions they claim."""

import math

import chance_model
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phases import UNTRACED

from flashwick.engine.chance import Stream, exp, log

N = 200_000

# The first draws of a stream, one distribution after the other.
UNIFORM = [0.8474783568684108, 0.2985834901945813, 0.4297050963794846]
NORMAL = [0.06956397872784414, 0.3128663049431024]
LOGNORMAL = [107.0544736247592, 180.10802607079074]
EXPONENTIAL = [0.5771537886905377, 85.94085836368163]
PARETO = [28.107459200484953, 2.9403458552008437]
INTEGERS = [5, 0, 9, 6, 8, 9, 1, 0]


def test_numbers_are_these_on_every_machine() -> None:
    """The first draws of a stream, to the last bit."""
    stream = Stream(0, "traders.longs")
    assert stream.uniform(3).tolist() == UNIFORM
    assert stream.normal(2).tolist() == NORMAL
    assert stream.lognormal(2, 100.0, 0.5).tolist() == LOGNORMAL
    assert stream.exponential(2, 60.0).tolist() == EXPONENTIAL
    assert stream.pareto(2, 1.5).tolist() == PARETO
    assert stream.integers(8, 10).tolist() == INTEGERS


def test_stream_depends_on_seed_and_name_alone() -> None:
    """Not on which streams there are beside it, nor on what they drew."""
    alone = Stream(7, "alpha").uniform(10)
    others = [Stream(7, name) for name in ("beta", "alpha", "alphb", "")]
    for other in others:
        other.uniform(1000)
    assert (Stream(7, "alpha").uniform(10) == alone).all()
    first = {tuple(Stream(s, n).uniform(2)) for s in (7, 8) for n in ("alpha", "beta")}
    assert len(first) == 4


def test_draws_come_one_after_the_other() -> None:
    """Ten at once are the same as three and seven."""
    at_once = Stream(1, "x").uniform(10)
    stream = Stream(1, "x")
    parts = np.concatenate([stream.uniform(3), stream.uniform(0), stream.uniform(7)])
    assert (parts == at_once).all()


@pytest.mark.parametrize(
    ("name", "arguments", "quantiles"),
    [
        ("uniform", (), {0.1: 0.1, 0.5: 0.5, 0.99: 0.99}),
        ("normal", (), {0.1587: -1.0, 0.5: 0.0, 0.9772: 2.0}),
        ("lognormal", (100.0, 0.5), {0.5: 100.0, 0.8413: 100 * math.exp(0.5)}),
        ("exponential", (60.0,), {0.5: 60 * math.log(2), 0.9: 60 * math.log(10)}),
        ("pareto", (1.5,), {0.5: 2 ** (1 / 1.5), 0.99: 100 ** (1 / 1.5)}),
    ],
)
def test_distribution_has_its_quantiles(
    name: str, arguments: tuple[float, ...], quantiles: dict[float, float]
) -> None:
    """Of two hundred thousand draws, within a few standard errors."""
    draws = np.sort(getattr(Stream(3, name), name)(N, *arguments))
    for share, value in quantiles.items():
        found = np.searchsorted(draws, value) / N
        assert found == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / N))


def test_draws_stay_in_their_range() -> None:
    """Never 1, never below 1, never beyond 6."""
    stream = Stream(5, "ranges")
    uniform = stream.uniform(N)
    assert 0.0 <= uniform.min() < uniform.max() < 1.0
    assert np.abs(stream.normal(N)).max() <= 6.0
    assert stream.pareto(N, 1.5).min() >= 1.0
    assert stream.exponential(N, 1.0).min() >= 0.0
    assert np.unique(stream.integers(N, 7)).tolist() == list(range(7))


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=50))
@settings(max_examples=100, phases=UNTRACED)
def test_exponential_function_is_right_to_the_last_digits(x: list[float]) -> None:
    """As far as the rounding of x itself goes, which large powers magnify."""
    for found, value in zip(exp(np.array(x)).tolist(), x, strict=True):
        assert found == pytest.approx(math.exp(value), rel=2e-15 + 2e-16 * abs(value))


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=50))
@settings(max_examples=100, phases=UNTRACED)
def test_logarithm_is_right_to_the_last_digits(x: list[float]) -> None:
    """Close to one, too, where it is close to nothing."""
    assert log(np.array(x)) == pytest.approx(
        [math.log(v) for v in x], rel=2e-15, abs=1e-16
    )
    near = 1.0 + np.array([-1e-9, -1e-15, 0.0, 1e-12])
    assert log(near) == pytest.approx([math.log(v) for v in near], rel=1e-14, abs=0)


def test_compiled_numbers_are_those_of_numpy() -> None:
    """To the last bit, at every size that there is."""
    draws = np.random.Generator(np.random.PCG64(3))
    powers = np.concatenate([draws.uniform(-720, 720, N), draws.normal(size=N)])
    edges = [0.0, -0.0, 700.0, -700.0, np.inf, -np.inf]
    powers = np.append(powers, edges)
    assert exp(powers).tobytes() == chance_model.exp(powers).tobytes()
    numbers = np.append(chance_model.exp(powers[:N]), [1.0, 5e-324, 0.5, 2.0])
    assert log(numbers).tobytes() == chance_model.log(numbers).tobytes()
    table = powers[:12].reshape(3, 4)
    assert exp(table).tolist() == chance_model.exp(table).tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 1000])
def test_compiled_draws_are_those_of_numpy(n: int) -> None:
    """One after the other from one generator, as NumPy hands out its raw bits."""
    stream, bits = Stream(4, "x"), np.random.PCG64()
    bits.state = stream._bits.state
    for name in ("uniform", "normal", "uniform"):
        expected = getattr(chance_model, name)(bits, n)
        assert getattr(stream, name)(n).tobytes() == expected.tobytes()
    assert stream._bits.state == bits.state
