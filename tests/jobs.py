"""Jobs for other processes, which import them from here by name."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flashwick.engine.lab.pool import tell


def job(n: int) -> tuple[int, int]:
    """Tell twice, print, and answer."""
    tell(n, 0.5)
    sys.stdout.write("not an answer\n")
    tell(n, 1.0)
    if n < 0:
        raise ValueError(f"'n' must be at least 0 (got {n})")
    if n == 99:
        os._exit(3)
    return n * n, os.getpid()


def unpicklable(n: int) -> Any:
    """An answer that no pipe takes, or none at all from a process that lives on."""
    if n:
        os.close(1)
        time.sleep(60)
    return lambda: n


class Picky(Exception):
    """An error that cannot be made again from what it carries."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def picky() -> None:
    """Raise it."""
    raise Picky(1, 2)


def forever(folder: Path) -> None:
    """Leave the number of this process in a file, and never end."""
    (folder / "pid.new").write_text(str(os.getpid()))
    (folder / "pid.new").rename(folder / "pid")
    time.sleep(600)


def ends_once(folder: Path, work: Callable[..., Any], *arguments: Any) -> Any:
    """Kill this process, the first time that anybody calls this; then work."""
    try:
        (folder / "killed").touch(exist_ok=False)
    except FileExistsError:
        return work(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
