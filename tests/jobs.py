"""Jobs for other processes, which import them from here by name."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any


def job(n: int, tell: Callable[..., None]) -> tuple[int, int]:
    """Tell twice, print, and answer."""
    tell(0.5, float(n))
    sys.stdout.write("not an answer\n")
    tell(1.0, float(n))
    if n < 0:
        raise ValueError(f"'n' must be at least 0 (got {n})")
    if n == 99:
        os._exit(3)
    return n * n, os.getpid()


def unpicklable(n: int, tell: Callable[..., None]) -> Any:
    """An answer that no pipe takes, or none at all from a process that lives on."""
    if n:
        os.close(1)
        time.sleep(60)
    return lambda: n
