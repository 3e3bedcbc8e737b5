"""Scenarios whose runs measure what a test says, at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scenario_text import MINI

from flashwick.engine.look import NoFigure, UnknownMeasure
from flashwick.engine.scenario import LoadedScenario, load

Measure = Callable[[LoadedScenario, int], float | str | None]

FIELDS = (
    "beta",
    "gamma",
    "skew_bp",
    "dispersion",
    "mix",
    "caution",
    "hedge",
    "withdraw_at",
    "half_life",
    "memory",
)
"""Fields of a fleet, one for each player."""

PLAYERS = {
    f"m{i}": {f"market_makers.alpha.{field}": 1.0 + 0.1 * i}
    for i, field in enumerate(FIELDS)
}
"""Switches that change nothing else, so that a run can tell who is on."""


class Played:
    """A run that has one measure, ``m``."""

    def __init__(self, value: float | str | None) -> None:
        self.value = value

    def measures(self) -> dict[str, Any]:
        """The figure."""
        return {"m": self.value}

    def measure(self, name: str, window: tuple[str, str] | None = None) -> Any:
        """The figure; UnknownMeasure of another name, NoFigure of None."""
        if name != "m":
            raise UnknownMeasure(
                f"{name!r} is no measure of the run; did you mean 'm'?"
            )
        if self.value is None:
            raise NoFigure("nothing of the kind happened")
        return self.value


def on(scenario: LoadedScenario) -> list[int]:
    """Numbers of the players that nobody switched off."""
    return [
        i
        for i, changes in enumerate(PLAYERS.values())
        if not changes.keys() & scenario.changes.keys()
    ]


class Stage:
    """A scenario to play on, and how often it was run."""

    def __init__(self, scenario: LoadedScenario) -> None:
        self.scenario = scenario
        self.runs: list[tuple[dict[str, Any], int]] = []
        self.measure: Measure = lambda _, seed: float(seed)

    def simulate(
        self,
        scenario: LoadedScenario,
        seed: int,
        on_progress: Callable[..., None] | None,
    ) -> Played:
        """What a simulation does here."""
        self.runs.append((dict(scenario.changes), seed))
        if on_progress is not None:
            on_progress(1.0, 10.0)
        return Played(self.measure(scenario, seed))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The small scenario, whose runs measure what the test sets."""
    path = tmp_path / "mini.toml"
    path.write_text(MINI)
    found = Stage(load(path))

    def run(self: LoadedScenario, seed: int = 0, tell: Any = None, **_: Any) -> Played:
        return found.simulate(self, seed, tell)

    monkeypatch.setattr(LoadedScenario, "run", run)
    return found
