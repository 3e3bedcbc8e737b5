"""Cases of a sweep: every combination, random points, and points spread evenly."""

import builtins
from typing import Any

import numpy as np
import pytest

from flashwick.engine.lab.designs import grid, random_design, sobol_design

PLACES: dict[str, Any] = {
    "market_makers.withdraw_at": (1.0, 2.0),
    "market_makers.levels": (1, 4),
    "rules.liquidation.rate_limit": [None, 50, 10],
}


def test_grid_is_every_combination_in_order() -> None:
    """The last place changes fastest; numbers of NumPy become plain ones."""
    found = grid({"a": np.array([1.5, 2.5]), "b": range(2)})
    assert found == [
        {"a": 1.5, "b": 0},
        {"a": 1.5, "b": 1},
        {"a": 2.5, "b": 0},
        {"a": 2.5, "b": 1},
    ]
    assert all(type(case["a"]) is float for case in found)
    assert grid({"a": [1, True, 1.0]}) == [{"a": 1}, {"a": True}, {"a": 1.0}]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([], ValueError, r"'a' must have one value or more \(got \[\]\)"),
        ([1, 2, 1], ValueError, r"'a' must have each value once \(got 1 twice\)"),
        ("xy", TypeError, r"'a' must be a list of values \(got 'xy'\)"),
        (3, TypeError, r"'a' must be a list of values \(got 3\)"),
        ({1, 2}, TypeError, r"'a' must be a list of values \(got \{1, 2\}\)"),
    ],
)
def test_wrong_axis_is_refused(
    values: Any, error: type[Exception], message: str
) -> None:
    """With the place and what is wrong with its values."""
    with pytest.raises(error, match=message):
        grid({"a": values})


def test_grid_of_more_than_memory_holds_is_refused() -> None:
    """A thousand million combinations are told, and not made."""
    axis = list(range(1_000))
    with pytest.raises(ValueError, match=r"at most 1,048,576 .*got 1,000,000,000"):
        grid({"a": axis, "b": axis, "c": axis})


@pytest.mark.parametrize("design", [random_design, sobol_design])
def test_points_lie_in_their_ranges(design: Any) -> None:
    """Whole numbers at both ends too, choices from their list, six digits."""
    cases = design(PLACES, 256, seed=3)
    assert [list(case) for case in cases] == [list(PLACES)] * 256
    at, levels, limits = zip(*(case.values() for case in cases), strict=True)
    assert 1.0 <= min(at) < 1.1
    assert 1.9 < max(at) <= 2.0
    assert all(float(f"{value:.6g}") == value for value in at)
    assert sorted(set(levels)) == [1, 2, 3, 4]
    assert {type(level) for level in levels} == {int}
    assert set(limits) == {None, 50, 10}
    assert design(PLACES, 256, seed=3) == cases
    assert design(PLACES, 256, seed=4) != cases


@pytest.mark.parametrize("design", [random_design, sobol_design])
def test_seed_gives_the_same_points_everywhere(design: Any) -> None:
    """They are written down here; and a place's draws are its own."""
    cases = design(PLACES, 4, seed=1)
    told = {
        random_design: [1.32367, 1.70632, 1.19067, 1.96081],
        sobol_design: [1.32367, 1.82367, 1.57367, 1.07367],
    }
    assert [case["market_makers.withdraw_at"] for case in cases] == told[design]
    if design is random_design:
        alone = {"market_makers.levels": (1, 4)}
        found = [case["market_makers.levels"] for case in cases]
        assert [case["market_makers.levels"] for case in design(alone, 4, seed=1)] == (
            found
        )


def test_sobol_points_are_spread_evenly() -> None:
    """Of 2^k points each of 2^k equal parts of a range holds exactly one."""
    cases = sobol_design({"a": (0.0, 1.0), "b": (0.0, 1.0)}, 64, seed=9)
    for place in ("a", "b"):
        parts = sorted(int(case[place] * 64) for case in cases)
        assert parts == list(range(64))
    # And each of the 8 x 8 squares, which is what random points do not do.
    squares = {(int(case["a"] * 8), int(case["b"] * 8)) for case in cases}
    assert len(squares) == 64


@pytest.mark.parametrize("design", [random_design, sobol_design])
@pytest.mark.parametrize(
    ("places", "n", "message"),
    [
        ({}, 4, "'places' must be 1 to 1,000 places"),
        ({"a": (2.0, 1.0)}, 4, r"'a' must be a range \(low, high\) of two numbers"),
        ({"a": (1.0, 1.0)}, 4, "low below high"),
        ({"a": (0.0, float("nan"))}, 4, "'a' must be a range"),
        ({"a": (0.0, float("inf"))}, 4, "'a' must be a range"),
        ({"a": (False, True)}, 4, "'a' must be a range"),
        ({"a": ("1", "2")}, 4, "'a' must be a range"),
        ({"a": (1, 2, 3)}, 4, "'a' must be a range"),
        ({"a": []}, 4, "'a' must have one value or more"),
        ({"a": (0, 1)}, 0, "'n' must be a whole number from 1 to 1,048,576"),
        ({"a": (0, 1)}, 2.5, "'n' must be a whole number"),
    ],
)
def test_wrong_design_is_refused(
    design: Any, places: Any, n: Any, message: str
) -> None:
    """With the place and what it must be."""
    with pytest.raises(ValueError, match=message):
        design(places, n)


def test_sobol_points_are_a_power_of_two() -> None:
    """Others would not be spread evenly; the two nearest are named."""
    with pytest.raises(ValueError, match=r"such as 64 or 128 \(got 100\)"):
        sobol_design({"a": (0, 1)}, 100)


def test_sobol_without_scipy_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is an extra."""
    importing = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'flashwick\[lab\]'"):
        sobol_design({"a": (0, 1)}, 4)
