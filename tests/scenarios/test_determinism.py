"""Same seed, same bytes: in every process, under every hash seed, on every Python."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fingerprint import fingerprint

import flashwick as fw
from flashwick.engine import simulation
from flashwick.engine.chance import Stream
from flashwick.engine.simulation import World

TESTS = Path(__file__).parents[1]
SMALL = Path(__file__).with_name("small-crash.toml")

GOLDEN = {
    0: (
        1501,
        568,
        651,
        "41a775760c0300e55aaab81c4b69e48a9ec12c73d48091e5aba5730c420af4d2",
    ),
    1: (
        1885,
        688,
        1091,
        "81c930148119b9a78c4e6017576c375318de5ccd92f15f8a2281f88c722920b2",
    ),
}
"""A change of the engine that changes runs changes these. Take the new ones over from
the failing test, and say in the changelog that runs are not those of before."""


def in_another_process(scenario: str, seed: int, hash_seed: str) -> str:
    """The fingerprint of a run in a process of its own."""
    done = subprocess.run(
        [sys.executable, TESTS / "fingerprint.py", scenario, str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("scenario", ["atom-sweep", str(SMALL), "unified-margin-wick"])
def test_run_is_the_same_in_every_process(scenario: str) -> None:
    """Under two hash seeds, and a second time in one process."""
    found = [in_another_process(scenario, 3, hash_seed) for hash_seed in ("1", "4242")]
    assert found[0] == found[1]
    assert len(found[0]) == 64
    assert fingerprint(fw.load(scenario).run(seed=3)) == found[0]


def test_run_is_the_one_written_down_here() -> None:
    """The same numbers on every supported Python, NumPy and machine."""
    found = {}
    for seed in (0, 1):
        run = fw.load(SMALL).run(seed=seed)
        others = sum(1 for _ in run.log.single())
        counts = len(run.log.messages()[0]), len(run.prints.time), others
        found[seed] = (*counts, fingerprint(run, words=False))
    assert found == GOLDEN


def test_seeds_differ() -> None:
    """Two seeds are two runs."""
    scenario = fw.load(SMALL)
    assert fingerprint(scenario.run(seed=0)) != fingerprint(scenario.run(seed=1))


def test_watching_a_run_does_not_change_it() -> None:
    """Nor does it matter who is told how far it is."""
    told: list[float] = []
    scenario = fw.load(SMALL)
    run = scenario.run(seed=0, on_progress=lambda share, _: told.append(share))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(told) > 20
    assert fingerprint(run) == fingerprint(scenario.run(seed=0))


class Recorded(Stream):
    """A stream that remembers what was drawn from it."""

    drawn: dict[str, list[np.ndarray]]

    def __init__(self, seed: int, name: str) -> None:
        super().__init__(seed, name)
        self.draws = self.drawn.setdefault(name, [])
        assert not self.draws, f"two participants draw from {name}"

    def uniform(self, n: int) -> np.ndarray:
        """All distributions come from here ..."""
        numbers = super().uniform(n)
        self.draws.append(numbers)
        return numbers

    def normal(self, n: int) -> np.ndarray:
        """... or from here."""
        numbers = super().normal(n)
        self.draws.append(numbers)
        return numbers

    def skip(self, n: int) -> None:
        """What is left out counts as drawn: those after it are in their places."""
        self.uniform(n)


def draws_of(scenario: fw.Scenario, monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    """Everything drawn in a run, by the name of the stream."""
    drawn: dict[str, list[np.ndarray]] = {}
    with monkeypatch.context() as patch:
        patch.setattr(Recorded, "drawn", drawn, raising=False)
        patch.setattr(simulation, "Stream", Recorded)
        World(scenario, seed=0).run()
    return {
        name: np.concatenate([np.empty(0), *parts]).tolist()
        for name, parts in drawn.items()
    }


VARIATIONS = list(fw.load(SMALL).config.variations)


@pytest.mark.parametrize("variation", VARIATIONS)
def test_switch_leaves_the_draws_of_the_others(
    variation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as both runs go, each participant draws the same numbers."""
    base = draws_of(fw.load(SMALL), monkeypatch)
    varied = draws_of(fw.load(SMALL).variation(variation), monkeypatch)
    gone = base.keys() - varied.keys()
    assert varied.keys() <= base.keys()
    assert (len(gone) > 0) == (variation != "no-withdrawal")
    compared = 0
    for name, numbers in varied.items():
        shared = min(len(numbers), len(base[name]))
        assert numbers[:shared] == base[name][:shared]
        compared += shared > 0
    assert compared >= len(base) - len(gone) - 7  # some participants never draw
