"""Running simulations on disk: a stamp, a checksum, and the state behind them.

The state is a pickle: who can write such a file can have anything done by whoever
resumes it. Trust it as you would trust code.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from inspect import getfile
from os import PathLike
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from ..cython_ext.book import Books
from ..margin.rules import Rules
from ..orderbook.orders import Kind
from .arguments import expect
from .running import Simulation
from .state import put_together, taken

MAGIC = b"flashwick simulation\n"

SUM = 32
"""Bytes of a checksum."""

HEAD_MAX = 1 << 20
"""Most bytes of a stamp."""

OF_EACH = (Simulation, Rules, Kind, Books)
"""A class of each package whose code decides how a simulation goes on."""

SOURCES = (".py", ".pxd", ".pyx")
"""Files of code; those of compiled code say how its memory is laid out."""

WHOLE = 1 << 20
"""Bytes that are read at a time to sum them up."""


class SavedError(ValueError):
    """A saved simulation that cannot be used; the text names the remedy."""


def save(simulation: Simulation, path: str, *, overwrite: bool = False) -> Path:
    """Write a simulation to a file, which appears whole or not at all.

    SavedError if the file is there and ``overwrite`` is not set, if something in the
    simulation cannot be written, or the system refuses.
    """
    target = Path(path)
    _expect_free(target, overwrite)
    world = simulation.world
    try:
        text, buffers = taken(simulation)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise SavedError(
            f"{target}: {error}; what takes part must be classes of a module that can "
            "be imported, with plain attributes"
        ) from error
    views: list[bytes | memoryview] = [buffer.raw() for buffer in buffers]
    stamp = stamp_of() | {
        "scenario": simulation.scenario.name,
        "seed": simulation.seed,
        "seconds": world.now * 1e-9,
        "sizes": [len(text), *(len(view) for view in views)],
    }
    head = json.dumps(stamp, ensure_ascii=False).encode()
    pieces = [MAGIC, len(head).to_bytes(4, "little"), head, sha256(head).digest()]
    total = sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _appearing(target) as file:
            for piece in [*pieces, text, *views]:
                file.write(piece)
                total.update(piece)
            file.write(total.digest())
    except OSError as error:
        text_of = error.strerror or str(error)
        raise SavedError(
            f"{target} cannot be written: {text_of}; name another file"
        ) from error
    return target


def _expect_free(target: Path, overwrite: bool) -> None:
    # Those of os.path refuse no name; one that is too long is refused by the system.
    if os.path.isdir(target):
        raise SavedError(f"{target} is a directory; name a file")
    if os.path.isfile(target):
        if not overwrite:
            raise SavedError(f"{target} is there; name another, or pass overwrite=True")
    elif os.path.exists(target):
        # A device or a pipe would be put aside for the file.
        raise SavedError(f"{target} is no plain file; name another")


class _appearing:  # noqa: N801 (used as a function)
    """A file beside the target that takes its place if nothing fails."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.file = NamedTemporaryFile(  # noqa: SIM115 (closed below)
            dir=target.parent, prefix=f".{target.name}.", delete=False
        )

    def __enter__(self) -> BinaryIO:
        return self.file.file  # type: ignore[return-value]

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            # What is left in the buffer is written now, and may not fit either.
            self.file.close()
            if kind is None:
                Path(self.file.name).replace(self.target)
        finally:
            Path(self.file.name).unlink(missing_ok=True)


def resume(path: str | PathLike[str]) -> Simulation:
    """Read a simulation that `Simulation.save` wrote; it goes on to the same bytes.

    SavedError if there is none, or it was made by another version, cut off or changed;
    nothing of it is used before that is known. A file is to be trusted like code.
    """
    expect("path", path, (str, PathLike), "the path of a file")
    target = Path(path)
    try:
        with target.open("rb") as file:
            return _read(target, file)
    except OSError as error:
        text = error.strerror or str(error)
        raise SavedError(
            f"{target} cannot be read: {text}; simulation.save(path) writes one"
        ) from error


def _read(target: Path, file: BinaryIO) -> Simulation:
    if file.read(len(MAGIC)) != MAGIC:
        raise SavedError(
            f"{target} is no saved simulation; simulation.save(path) writes one"
        )
    broken = SavedError(f"{target} was cut off or changed; save the simulation again")
    size = int.from_bytes(file.read(4), "little")
    head = file.read(min(size, HEAD_MAX))
    if len(head) != size or file.read(SUM) != sha256(head).digest():
        raise broken
    stamp = json.loads(head)
    _expect_same(target, stamp)
    start, end = file.tell(), os.fstat(file.fileno()).st_size
    if end - start != sum(stamp["sizes"]) + SUM:
        raise broken
    file.seek(0)
    total, left = sha256(), end - SUM
    while left:
        piece = file.read(min(left, WHOLE))
        total.update(piece)
        left -= len(piece)
    if file.read(SUM) != total.digest():
        raise broken
    file.seek(start)
    parts = _parts(file, stamp["sizes"])
    text = bytes(next(parts))
    try:
        found = put_together(text, parts)
    except (ImportError, AttributeError) as error:
        raise SavedError(
            f"{target} needs what cannot be imported here ({error}); import the module "
            "of the agents that take part first"
        ) from error
    assert isinstance(found, Simulation)
    return found


def _parts(file: BinaryIO, sizes: list[int]) -> Iterator[bytearray]:
    for size in sizes:
        part = bytearray(size)
        file.readinto(part)  # type: ignore[attr-defined]
        yield part


# -- THE STAMP


@cache
def stamp_of() -> dict[str, str]:
    """What a file and the program that reads it must have in common."""
    own = sha256()
    for kind in OF_EACH:
        here = Path(getfile(kind)).parent
        for path in sorted(here.rglob("*.p*")):
            if path.suffix in SOURCES:
                own.update(path.relative_to(here).as_posix().encode())
                own.update(path.read_bytes())
    own.update(sys.byteorder.encode())
    return {"flashwick": version("flashwick"), "layout": own.hexdigest()[:16]}


def _expect_same(target: Path, stamp: dict[str, object]) -> None:
    own = stamp_of()
    made, here = stamp["flashwick"], own["flashwick"]
    if made != here:
        raise SavedError(
            f"{target} was saved by flashwick {made}, and this is {here}; resume it "
            "with that one"
        )
    if stamp["layout"] != own["layout"]:
        raise SavedError(
            f"{target} was saved by another state of flashwick {made}: its code has "
            "changed since; resume it with the code that wrote it, or save it again"
        )
