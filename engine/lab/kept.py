"""Rows of replays kept as they come, in memory or on disk, so that none is done twice.

On disk a row is first a line of text; of many lines a Parquet file is made. A process
that is killed loses no row that was done. ``manifest.json`` says what the rows are of.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.metadata import version
from os import PathLike, fspath
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import attrs

from ...margin.presets import shown
from ..arguments import expect
from ..reading.changes import plain

if TYPE_CHECKING:
    import pyarrow as pa

    from ..own import Agent
    from ..scenario import LoadedScenario

FORMAT = 1
"""Version of the layout; rows of another one are refused."""

PART_ROWS = 128
"""Rows of a Parquet file; a directory of thousands of them would be slow to read."""

MANIFEST = "manifest.json"
ROWS = "rows"
TAIL = "tail.jsonl"
FAILURES = "failures.jsonl"
OWN = "sha256"
"""The manifest's key for the SHA-256 of everything else in it."""

Figures = Mapping[str, float | str]


class KeptError(ValueError):
    """A directory of rows that cannot be used; the text names the remedy."""


@attrs.frozen
class Failed:
    """A replay without figures: what was changed, the seed, and why.

    ``error`` is its name and text; ``lost`` is a replay whose worker was lost.
    """

    changes: Mapping[str, Any]
    seed: int
    error: str
    traceback: str = attrs.field(repr=False)
    lost: bool


def key_of(changes: Mapping[str, Any], seed: int) -> str:
    """What tells a replay from all others, as text."""
    # A later change may overwrite an earlier one: their order counts.
    return json.dumps([plain(changes), int(seed)], default=str)


class Kept:
    """Rows by replay. Those already there when it was opened are found by `find`."""

    failures: list[Failed]
    _last: dict[str, Figures]  # not in a piece yet
    _pieces: "list[pa.Table]"
    _found: dict[str, tuple[int, int]]  # piece and row

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self._tail: IO[str] | None = None
        self._lock: int | None = None
        self._read(directory)

    def __enter__(self) -> Self:
        """Rows go to files while it is open; KeptError if another writes them."""
        if self.directory is not None:
            self._lock = _locked(self.directory)
            # Another may have written, and ended, since it was read.
            self._read(self.directory)
            with _written(self.directory):
                self._settle()
                # A line that was cut off must not begin the next one.
                (self.directory / TAIL).unlink(missing_ok=True)
                (self.directory / FAILURES).unlink(missing_ok=True)
            self.failures = []
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._close_tail()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_tail(self) -> None:
        if self._tail is not None:
            # A line is flushed by itself; what a full disk left of one is told there.
            with suppress(OSError):
                self._tail.close()
            self._tail = None

    # -- QUERIES

    def __len__(self) -> int:
        """How many rows were there when it was opened."""
        return len(self._found)

    def find(self, changes: Mapping[str, Any], seed: int) -> Figures | None:
        """The figures of a replay that were there when it was opened."""
        at = self._found.get(key_of(changes, seed))
        if at is None:
            return None
        piece, row = at
        found = self._pieces[piece].slice(row, 1).drop_columns("key").to_pylist()[0]
        return {name: value for name, value in found.items() if value is not None}

    def table(self) -> "pa.Table":
        """All rows, in any order: ``key`` and the figures; null is one that is not."""
        import pyarrow as pa

        pieces = list(self._pieces)
        if self.directory is not None:
            pieces = list(map(_parquet, self._files(self.directory)))
        if self._last:
            pieces.append(_piece(self._last))
        return pa.concat_tables(pieces, promote_options="default") if pieces else None

    # -- COMMANDS

    def add(self, changes: Mapping[str, Any], seed: int, figures: Figures) -> None:
        """Keep a row; on disk it is safe when this returns.

        KeptError if it cannot be written, as on a full disk.
        """
        key = key_of(changes, seed)
        self._last[key] = figures
        with _written(self.directory):
            self._note(TAIL, {"key": key, "figures": dict(figures)})
            if len(self._last) >= PART_ROWS:
                self._settle()

    def fail(self, failed: Failed) -> None:
        """Note a replay without figures; it is run again when rows are next opened."""
        self.failures.append(failed)
        if self.directory is None:
            return
        path = self.directory / FAILURES
        with _written(self.directory), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(attrs.asdict(failed), default=str) + "\n")

    def _note(self, name: str, what: Mapping[str, Any]) -> None:
        if self.directory is None:
            return
        if self._tail is None:
            self._tail = (self.directory / name).open("a", encoding="utf-8")
        self._tail.write(json.dumps(what) + "\n")
        self._tail.flush()

    def _settle(self) -> None:
        """Make a piece of the last rows."""
        if not self._last:
            return
        piece = _piece(self._last)
        if self.directory is None:
            self._pieces.append(piece)
        else:
            from pyarrow import parquet

            folder = self.directory / ROWS
            folder.mkdir(exist_ok=True)
            path = folder / f"part-{self._parts:05}.parquet"
            beside = path.with_suffix(".new")
            parquet.write_table(piece, beside, compression="zstd")
            os.replace(beside, path)
            # After it: rows that are in both are the same.
            self._close_tail()
            (self.directory / TAIL).unlink(missing_ok=True)
        self._parts += 1
        self._last = {}

    # -- READING

    def _read(self, directory: Path | None) -> None:
        self.failures, self._last = [], {}
        self._pieces, self._found, self._parts = [], {}, 0
        if directory is None:
            return
        for path in self._files(directory):
            self._parts = int(path.stem.partition("-")[2]) + 1
            self._pieces.append(_parquet(path))
        lines = _lines(directory / TAIL)
        self._last = {line["key"]: line["figures"] for line in lines}
        if self._last:
            self._pieces.append(_piece(self._last))
        for number, piece in enumerate(self._pieces):
            for row, key in enumerate(piece["key"].to_pylist()):
                self._found.setdefault(key, (number, row))
        self.failures = [Failed(**line) for line in _lines(directory / FAILURES)]

    @staticmethod
    def _files(directory: Path) -> list[Path]:
        return sorted((directory / ROWS).glob("part-*.parquet"))


def _locked(directory: Path) -> int | None:
    """Hold a directory until the process ends, or what is returned is closed."""
    try:
        import fcntl
    except ImportError:  # Windows has no lock of a directory
        return None
    held = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        text = f"{directory} is being written by another process; wait until it ends"
        raise KeptError(f"{text}, or name another directory") from None
    except OSError:
        # A file system that cannot lock.
        os.close(held)
        return None
    return held


@contextmanager
def _written(directory: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"{directory} cannot be written: {error.strerror or error}"
        raise KeptError(f"{text}; mend that, and go on with it (resume)") from None


def _piece(rows: Mapping[str, Figures]) -> "pa.Table":
    import pyarrow as pa

    names = dict.fromkeys(name for figures in rows.values() for name in figures)
    columns: dict[str, Any] = {"key": pa.array(list(rows), pa.string())}
    for name in names:
        # None is a measure that is not there, NaN one that is.
        column = [figures.get(name) for figures in rows.values()]
        columns[name] = pa.array(column, from_pandas=False)
    return pa.table(columns)


def _parquet(path: Path) -> "pa.Table":
    from pyarrow import parquet

    try:
        return parquet.read_table(path, partitioning=None)
    except (OSError, ValueError) as error:
        text = f"{path} cannot be read ({error}); remove it, and its rows are run again"
        raise KeptError(text) from None


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; the last one may be cut off by the end of its process."""
    if not path.is_file():
        return []
    *lines, _ = path.read_text("utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        text = f"{path} cannot be read ({error}); remove it, and its rows are run again"
        raise KeptError(text) from None


# -- WHAT THE ROWS ARE OF


def open_kept(
    directory: str | PathLike[str],
    scenario: "LoadedScenario",
    measures: Sequence[str] | None,
    kind: str,
    plan: Mapping[str, Any],
    *,
    resume: bool = False,
) -> Kept:
    """The rows in a directory, which is made if it is not there.

    KeptError if it holds anything and ``resume`` is not set; if it holds rows of
    something else, and then of what; or if it cannot be written.
    """
    expect("into", directory, (str, PathLike), "the path of a directory")
    if not fspath(directory):
        raise KeptError("'into' must be the path of a directory (got '')")
    target = Path(directory)
    manifest = _manifest(scenario, measures, kind, plan)
    try:
        there = target.exists() and (not target.is_dir() or any(target.iterdir()))
        if there:
            _expect_same(target, manifest, resume=resume)
        else:
            target.mkdir(parents=True, exist_ok=True)
            text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
            beside = target / f".{MANIFEST}"
            beside.write_text(text, "utf-8")
            os.replace(beside, target / MANIFEST)
        return Kept(target)
    except OSError as error:
        text = f"{target} cannot be written: {error.strerror or error}"
        raise KeptError(f"{text}; name another directory") from None


def _manifest(
    scenario: "LoadedScenario",
    measures: Sequence[str] | None,
    kind: str,
    plan: Mapping[str, Any],
) -> dict[str, Any]:
    manifest = {
        "format": FORMAT,
        "kind": kind,
        "flashwick": version("flashwick"),
        "scenario": {
            "name": scenario.name,
            "file": Path(scenario.file).name,
            "changes": plain(scenario.changes),
            "text": scenario.source,
            "venues": scenario.venues,
            "agents": [_described(agent) for agent in scenario.agents],
        },
        "measures": "all" if measures is None else list(measures),
        "plan": plan,
    }
    # As it reads back, so that the two can be compared.
    plain_text: dict[str, Any] = json.loads(json.dumps(manifest, default=str))
    return plain_text | {OWN: _digest(plain_text)}


def _described(agent: "Agent") -> dict[str, Any]:
    # Its class and its settings, as far as they are plain.
    kind = type(agent)
    settings = {
        name: value
        for name, value in vars(agent).items()
        if isinstance(value, str | int | float | None)
    }
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **settings}


def _digest(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != OWN}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_manifest(target: Path) -> dict[str, Any]:
    """What the rows in a directory are of; KeptError if it holds none."""
    path = target / MANIFEST
    if not target.is_dir():
        raise KeptError(f"{target} is not a directory; name one that holds a sweep")
    if not path.is_file():
        raise KeptError(f"{target} holds something else than rows; name another")
    try:
        manifest = json.loads(path.read_text("utf-8"))
        whole = manifest[OWN] == _digest(manifest)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        text = f"{path} was cut off or changed; name another directory"
        raise KeptError(f"{text}, or remove this one")
    if manifest["format"] != FORMAT:
        found = manifest["format"]
        text = f"{path}: 'format' must be {FORMAT} (got {shown(found)})"
        raise KeptError(f"{text}; use the flashwick that wrote it")
    return dict(manifest)


def _expect_same(target: Path, manifest: Mapping[str, Any], *, resume: bool) -> None:
    if target.is_file():
        raise KeptError(f"{target} is a file; name a directory")
    there = read_manifest(target)
    kind = there["kind"]
    if not resume:
        text = f"{target} holds rows of {_a(kind)} already; go on with it (resume)"
        raise KeptError(f"{text}, or name another directory")
    different = list(_differences(there, manifest))
    if different:
        text = f"{target} holds rows of another {kind}: {'; '.join(different)}"
        raise KeptError(f"{text}. Name another directory")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterable[str]:
    """What differs, each with what is there and what is asked for."""
    flat, ours = _flat(there), _flat(here)
    for key in dict.fromkeys([*flat, *ours]):
        old, new = flat.get(key), ours.get(key)
        if old == new:
            continue
        if key in ("scenario text", "scenario venues"):
            yield f"its {key} is not that of {here['scenario']['file']} now"
        else:
            yield f"its {key} is {_short(old, new)} (not {_short(new, old)})"


def _flat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: manifest[key] for key in ("kind", "flashwick", "measures")}
    flat |= {f"scenario {key}": v for key, v in manifest["scenario"].items()}
    return flat | dict(manifest["plan"])


def _short(value: Any, other: Any) -> str:
    """A value as text; of a long list how many it has, and what the other has not."""
    text = repr(value)
    if isinstance(value, list) and isinstance(other, list) and text != shown(value):
        own = [item for item in value if item not in other]
        return f"{len(value)} with {shown(own)}" if own else f"{len(value)} of these"
    return shown(value)
