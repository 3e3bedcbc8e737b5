"""Forks of running simulations, against one copy of the same memory.

    pytest bench/test_fork.py --benchmark-only

``copy`` is the ratio to NumPy's copy of as many bytes into fresh memory, ``cpu_ms`` the
processor time of the fastest fork: on a machine with other work, that is what it takes.
"""

import gc
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.state import _Taker

PROFILE = os.environ.get("FLASHWICK_BENCH", "regular")
ROUNDS = {"smoke": 2, "regular": 8, "large": 20}[PROFILE]
WHERE = {
    "smoke": [("unified-margin-wick", 105.0)],
    "regular": [("unified-margin-wick", 105.0), ("oct10", 420.0)],
    "large": [("unified-margin-wick", 105.0), ("oct10", 420.0), ("oct10", 1_740.0)],
}[PROFILE]


def copied_bytes(simulation: fw.Simulation) -> int:
    """Bytes that a fork copies: arrays, and the memory of the kernels."""
    taker = _Taker(io.BytesIO())
    taker.dump(simulation.world)
    arrays = [thing for thing in taker.things if isinstance(thing, np.ndarray)]
    own = sum(array.nbytes for array in arrays if array.flags.writeable)
    return own + sum(memoryview(buffer).nbytes for buffer in taker.buffers)


def swept() -> None:
    """Free what refers to itself: what was forked before."""
    gc.collect()


def fastest(work: Callable[[], Any]) -> tuple[float, float]:
    """The least time that some work took, on the clock and of the processor, s."""
    taken = []
    for _ in range(ROUNDS):
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        done = work()
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
        del done
    clock, processor = zip(*taken, strict=True)
    return min(clock), min(processor)


@pytest.mark.parametrize(("name", "seconds"), WHERE)
def test_fork(benchmark: Any, name: str, seconds: float) -> None:
    """A copy in memory of a simulation on its way."""
    simulation = fw.load(name).start(seed=7).run(seconds)
    size = copied_bytes(simulation)
    benchmark.pedantic(simulation.fork, setup=swept, rounds=ROUNDS)
    source = np.ones(size // 8)
    clock, processor = fastest(simulation.fork)
    plain, plain_cpu = fastest(source.copy)
    benchmark.extra_info.update(
        mb=size / 1e6,
        accounts=simulation.exchange.ledger.n_accounts,
        best_ms=1e3 * clock,
        cpu_ms=1e3 * processor,
        copy=clock / plain,
        copy_cpu=processor / plain_cpu,
    )


def test_save_and_resume(benchmark: Any, tmp_path: Path) -> None:
    """To a file and back: written, summed up, read."""
    simulation = fw.load("unified-margin-wick").start(seed=7).run(105)

    def there_and_back() -> int:
        path = simulation.save(tmp_path / "sim", overwrite=True)
        fw.resume(path)
        return path.stat().st_size

    size = benchmark.pedantic(there_and_back, rounds=ROUNDS)
    benchmark.extra_info.update(mb=size / 1e6)
