"""Runs on disk: Parquet tables and a manifest that reproduces them."""

import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from importlib.metadata import version
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from .arguments import expect, suggest
from .run import UnknownMarket

if TYPE_CHECKING:
    import pyarrow as pa

    from .edits import Edit
    from .own import Agent
    from .run import Run
    from .scenario import LoadedScenario, Progress

FORMAT = 1
"""Version of the layout; a run of another one is refused."""

MANIFEST = "manifest.json"

RISING = ("event", "batch", "time")
"""Columns of tables that hardly differ from row to row."""

OWN = "sha256"
"""The manifest's key for the SHA-256 of everything else in it."""


class RunFileError(ValueError):
    """A directory or file of a run that cannot be used; the text names the remedy."""


# -- FINGERPRINTS


def fingerprint(run: "Run") -> str:
    """SHA-256 of the trades: the same for two runs if and only if they traded alike."""
    return run.fingerprint


def digest(*pieces: NDArray[np.void]) -> str:
    """SHA-256 of structured rows, field by field, but for padding.

    Rows may come in pieces; where they are cut does not count.
    """
    sum_of = sha256()
    for name in pieces[0].dtype.names or () if pieces else ():
        for rows in pieces if name != "pad" else ():
            sum_of.update(_little(rows[name]))
    return sum_of.hexdigest()


def _little(column: NDArray[Any]) -> bytes:
    # Little-endian on every machine.
    whole = np.ascontiguousarray(column)
    return whole.astype(whole.dtype.newbyteorder("<"), copy=False).tobytes()


def event_fingerprint(run: "Run") -> str:
    """SHA-256 of the events other than orders and trades."""
    pieces = list(run.log.rare_pieces())
    numbers = sha256()
    for ids, _ in pieces:
        numbers.update(_little(ids))
    told = [digest(*(rows for _, rows in pieces)), numbers.hexdigest()]
    return sha256("\0".join([*told, *run.log.words]).encode()).hexdigest()


# -- WRITING


def save(
    run: "Run",
    directory: str | PathLike[str],
    *,
    messages: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a run's tables and its manifest; the whole directory appears at once.

    RunFileError if the directory holds a run already and ``overwrite`` is not set, if
    it holds anything else, or if it cannot be written.
    """
    target = path_of("directory", directory, "the path of one")
    from .tables import event_tables
    from .tape import tape

    _check_target(target, overwrite)
    tables: dict[str, Callable[[], Iterable[pa.Table]]] = {
        "trades": lambda: [run.trades()],
        "events": lambda: event_tables(run),
        "series": lambda: [run.samples()],
    }
    if not run.log.traded:
        tables["tape"] = lambda: [tape(run)]
    if messages:
        tables["messages"] = lambda: [run.messages()]
    with told_of(target, "name another directory"), _appearing(target) as folder:
        files = {}
        for name, table in tables.items():
            path = folder / f"{name}.parquet"
            files[path.name] = {"rows": _write(table(), path), **_facts(path)}
        manifest = _manifest(run, files)
        manifest[OWN] = _digest(manifest)
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST).write_text(text, "utf-8")
    return target


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise RunFileError(f"{target} is a file; name a directory")
    if (target / MANIFEST).exists():
        if not overwrite:
            raise RunFileError(
                f"{target} holds a run already; name another directory, or pass "
                "overwrite=True"
            )
    elif any(target.iterdir()):
        raise RunFileError(f"{target} holds something else than a run; name another")


@contextmanager
def told_of(target: Path, remedy: str) -> Iterator[None]:
    """Tell what the system refused of the path that was given, not of one beside."""
    try:
        yield
    except OSError as error:
        text = f"{target} cannot be written: {error.strerror or error}"
        raise RunFileError(f"{text}; {remedy}") from error


def path_of(name: str, path: str | PathLike[str], what: str) -> Path:
    """A path that something can have; RunFileError if nothing can."""
    if not fspath(path).strip() or "\0" in fspath(path):
        raise RunFileError(f"{name!r} must be {what} (got {fspath(path)!r})")
    return Path(path)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its place if nothing fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def _write(tables: "Iterable[pa.Table]", path: Path) -> int:
    from pyarrow import parquet

    rows, writer = 0, None
    for table in tables:
        if writer is None:
            writer = parquet.ParquetWriter(path, table.schema, **_format(table))
        writer.write_table(table)
        rows += int(table.num_rows)
    assert writer is not None
    writer.close()
    return rows


def _format(table: "pa.Table") -> dict[str, Any]:
    import pyarrow as pa

    # Event numbers and times hardly differ from row to row; of other whole numbers the
    # high bytes are alike.
    delta = {
        field.name: "DELTA_BINARY_PACKED"
        if field.name in RISING
        else "BYTE_STREAM_SPLIT"
        for field in table.schema
        if pa.types.is_integer(field.type) and field.type.bit_width > 8
    }
    words = [f.name for f in table.schema if pa.types.is_dictionary(f.type)]
    return {
        "compression": "zstd",
        "use_dictionary": words or False,
        "column_encoding": delta or None,
    }


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        told = file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": told}


def _manifest(run: "Run", files: dict[str, Any]) -> dict[str, Any]:
    scenario = run.scenario
    return {
        "format": FORMAT,
        "scenario": {
            "name": scenario.name,
            "file": Path(scenario.file).name,
            "changes": scenario.changes,
            "text": scenario.source,
            "venues": scenario.venues,
        },
        "seed": run.seed,
        "agents": list(run.agents),
        "replayed": run.replayed,
        "edits": [edit.written() for edit in run.edits],
        "versions": _versions(),
        "fingerprints": {
            "trades": fingerprint(run),
            "events": event_fingerprint(run),
        },
        "rows": {
            "messages": run.log.sent,
            "trades": len(run.prints.time),
            "events": len(run.log),
        },
        "outcome": {name: _plain(value) for name, value in run.outcome.items()},
        "files": files,
    }


def _versions() -> dict[str, str]:
    return {
        "flashwick": version("flashwick"),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _digest(manifest: dict[str, Any]) -> str:
    """SHA-256 of everything in a manifest but this; line breaks do not count."""
    rest = {key: value for key, value in manifest.items() if key != OWN}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


# -- READING


@attrs.frozen(repr=False)
class StoredRun:
    """A run read back from disk: its tables and its manifest, nothing to change."""

    directory: Path
    manifest: dict[str, Any]

    def __repr__(self) -> str:
        """The scenario, the seed, and where it lies."""
        name, seed = self.manifest["scenario"]["name"], self.manifest["seed"]
        return f"<StoredRun {name}, seed {seed}: {self.directory}>"

    def trades(self, market: str | None = None) -> "pa.Table":
        """All trades, or those of one market; LookupError if the run has no such."""
        if market is not None:
            names = list(self.scenario().config.markets)
            if market not in names:
                near = suggest(market, names, listed=0)
                text = f"'market' must be one of {', '.join(names)} (got {market!r})"
                raise UnknownMarket(text + near)
        filters = None if market is None else [("market", "=", market)]
        return self._read("trades", filters)

    def events(self) -> "pa.Table":
        """All events but orders and trades."""
        return self._read("events")

    def samples(self) -> "pa.Table":
        """The series: time, subject, measure, value."""
        return self._read("series")

    def messages(self) -> "pa.Table":
        """All messages; RunFileError if the run was saved without."""
        if "messages.parquet" not in self.manifest["files"]:
            raise RunFileError(
                f"{self.directory} was saved without messages; reproduce it and save "
                "it with messages=True"
            )
        return self._read("messages")

    def scenario(self) -> "LoadedScenario":
        """The scenario that was run, with what was changed in it."""
        from .scenario import read_scenario

        recorded = self.manifest["scenario"]
        venues = recorded.get("venues", {})
        loaded = read_scenario(recorded["file"], recorded["text"], venues)
        changes = recorded["changes"]
        return loaded.vary(changes) if changes else loaded

    def reproduce(
        self,
        on_progress: "Progress | None" = None,
        *,
        agents: "Sequence[Agent]" = (),
    ) -> "Run":
        """Run the scenario again; RunFileError if the trades are not the same.

        ``agents`` are those of one's own that the run had: files do not hold code.
        """
        self._expect_alike(agents)
        scenario, seed, edits = self.scenario(), self.manifest["seed"], self._edits()
        if edits:
            simulation = scenario.start(seed, agents=agents)
            for edit in edits:
                simulation.repeat(edit)
            run = simulation.finish(on_progress)
        else:
            run = scenario.run(seed, on_progress, agents=agents)
        recorded = self.manifest["fingerprints"]
        again = {"trades": fingerprint(run), "events": event_fingerprint(run)}
        wrong = [name for name in again if again[name] != recorded.get(name)]
        if wrong:
            raise RunFileError(
                f"{self.directory}: run again, it has other {' and '.join(wrong)}; "
                + _other_versions(self.manifest["versions"])
            )
        return run

    def _edits(self) -> "list[Edit]":
        from .edits import Edit

        try:
            return [Edit.read(told) for told in self.manifest.get("edits", [])]
        except LookupError:
            raise RunFileError(
                f"{self.directory}: something was done on the way that a manifest does "
                "not hold, as a batch of messages; do it again in a script"
            ) from None

    def _expect_alike(self, agents: "Sequence[Agent]") -> None:
        from .seats import check_agents

        if self.manifest.get("replayed"):
            raise RunFileError(
                f"{self.directory} is a replay of a stream, which a manifest does not "
                "hold; run the scenario again, take its stream() and replay that"
            )
        had = self.manifest.get("agents", [])
        given = list(check_agents(agents))
        if had != given:
            raise RunFileError(
                f"{self.directory} was run with agents {', '.join(had) or 'of nobody'} "
                f"(got {', '.join(given) or 'none'}); give reproduce() the same, as "
                "agents=[...]"
            )

    def _read(self, name: str, filters: Any = None) -> "pa.Table":
        from pyarrow import parquet

        return parquet.read_table(
            self.directory / f"{name}.parquet", filters=filters, partitioning=None
        )


def load_run(directory: str | PathLike[str]) -> StoredRun:
    """Read a saved run; every file is checked against the manifest.

    RunFileError if a file is missing, cut off or changed, or of another version.
    """
    manifest = _read_manifest(directory)
    folder = Path(directory)
    for name, recorded in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise RunFileError(f"{path} is missing; {_REMEDY}")
        found = _facts(path)
        if found["bytes"] != recorded["bytes"]:
            raise RunFileError(
                f"{path} must have {recorded['bytes']:,} bytes "
                f"(got {found['bytes']:,}): it was cut off or changed; {_REMEDY}"
            )
        if found["sha256"] != recorded["sha256"]:
            raise RunFileError(f"{path} was changed since it was saved; {_REMEDY}")
    return StoredRun(folder, manifest)


def reproduce(
    directory: str | PathLike[str],
    on_progress: "Progress | None" = None,
    *,
    agents: "Sequence[Agent]" = (),
) -> "Run":
    """Run what a manifest describes again, and check that it is the same.

    Only the manifest is needed, and the ``agents`` of one's own that the run had.
    RunFileError if the trades or events differ.
    """
    manifest = _read_manifest(directory)
    return StoredRun(Path(directory), manifest).reproduce(on_progress, agents=agents)


_REMEDY = "flashwick.reproduce(directory) makes the run again from its manifest"


def _other_versions(recorded: dict[str, str]) -> str:
    """What may be why the same manifest gives another run."""
    changed = [
        f"{name} {recorded.get(name)} (this is {now})"
        for name, now in _versions().items()
        if recorded.get(name) != now
    ]
    if changed:
        return f"it was made with {', '.join(changed)}; use the same"
    return (
        "it was made with the same versions of flashwick, Python and NumPy, so that "
        "flashwick's own code has changed since; save the run again"
    )


def _read_manifest(directory: str | PathLike[str]) -> dict[str, Any]:
    expect("directory", directory, (str, PathLike), "the path of a directory")
    folder = Path(directory)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise RunFileError(
            f"{folder} is not a directory; name one that a run was saved to"
        )
    if not path.is_file():
        raise RunFileError(
            f"{path} is missing: {folder} holds no run; run.save(directory) writes one"
        )
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise RunFileError(
            f"{path} cannot be read ({error}): it was cut off or changed; save the run "
            "again"
        ) from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise RunFileError(
            f"{path}: 'format' must be {FORMAT} (got {found!r}); use the flashwick "
            "that wrote it"
        )
    missing = [
        key
        for key in ("scenario", "seed", "versions", "fingerprints", "files", OWN)
        if key not in manifest
    ]
    if missing:
        raise RunFileError(f"{path} lacks {', '.join(missing)}; save the run again")
    if manifest[OWN] != _digest(manifest):
        raise RunFileError(
            f"{path} was changed since it was saved (its seed, scenario or "
            "another field); put it back as it was, or save the run again. For another "
            "seed: load_run(directory).scenario().run(seed)"
        )
    return dict(manifest)
