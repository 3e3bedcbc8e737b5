"""Recorded files, plain or gzipped, read piece by piece in bounded memory."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, cast

from .errors import DataError

AnyPath = str | PathLike[str]
Progress = Callable[[float], None]
"""Is told which share of a file has been read, now and then."""

LINES_TOLD = 2_000
BLOCK = 1 << 18

_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError)


@contextmanager
def _opened(path: AnyPath) -> Iterator[tuple[BinaryIO, Callable[[], float]]]:
    # The content, and a function that tells which share of the file has been read.
    size = max(1, Path(path).stat().st_size)
    with open(path, "rb") as raw:
        if Path(path).suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as content:
                yield cast(BinaryIO, content), lambda: min(1.0, raw.tell() / size)
        else:
            yield raw, lambda: min(1.0, raw.tell() / size)


def lines(
    path: AnyPath, on_progress: Progress | None = None
) -> Iterator[tuple[int, str]]:
    """Number and text of each line of an ASCII file.

    `DataError` if the file is damaged or empty.
    """
    line = 0
    try:
        with (
            _opened(path) as (content, read),
            io.TextIOWrapper(content, "ascii") as texts,
        ):
            for line, text in enumerate(texts, 1):
                yield line, text.rstrip("\n")
                if on_progress is not None and line % LINES_TOLD == 0:
                    on_progress(read())
    except _DAMAGE as error:
        raise DataError(
            f"{path}:{line + 1}: the file is damaged ({error}): fetch it again"
        ) from error
    if not line:
        raise empty(path)


def blocks(path: AnyPath, on_progress: Progress | None = None) -> Iterator[bytes]:
    """The bytes of a file, some at a time.  `DataError` if it is damaged or empty."""
    at = 0
    try:
        with _opened(path) as (content, read):
            while block := content.read(BLOCK):
                at += len(block)
                yield block
                if on_progress is not None:
                    on_progress(read())
    except _DAMAGE as error:
        raise DataError(
            f"{path}: the file is damaged after byte {at:,} ({error}): fetch it again"
        ) from error
    if not at:
        raise empty(path)


def empty(path: AnyPath) -> DataError:
    """What is wrong with a file without content."""
    return DataError(f"{path}: the file is empty: fetch it again")
