"""Scenario files: load, check, vary, run."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import attrs

from .arguments import expect, refuse, suggest, whole_number
from .changes import EVERY, ChangeError, change, join_path, plain, split_path
from .checks import check
from .config import Scenario
from .draft import Draft, assemble, read
from .location import Path as Place
from .location import line_of, locate
from .structure import Fault
from .venue_files import take_files, texts_of

if TYPE_CHECKING:
    from .run import Run
    from .verify import Verification

BYTES_MAX = 16_000_000
"""Largest scenario file that is read."""

Progress = Callable[[float, float], None]
"""Called with the fraction done and the seconds simulated."""


def expect_progress(given: object) -> None:
    """Refuse what cannot be called to tell progress; TypeError."""
    if given is not None and not callable(given):
        told = "a function of the fraction done and the seconds simulated, or None"
        refuse("on_progress", given, told)


class Problem(NamedTuple):
    """One thing wrong with a scenario: its file, line if there is one, and place."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        """``file:line: place: message``."""
        line = "" if self.line is None else f":{self.line}"
        place = f" {self.path}:" if self.path else ""
        return f"{self.file}{line}:{place} {self.message}"


class ScenarioError(ValueError):
    """A scenario that cannot be used; ``problems`` are all there are."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Problem, ...]]]:
        """Cross a process boundary with the problems intact."""
        return type(self), (self.problems,)


@attrs.frozen(repr=False)
class LoadedScenario:
    """A scenario that was read and checked; nothing about it ever changes.

    ``config`` holds the parameters, ``document`` the tables they were read from, with
    the ``changes`` made to those of the file, and ``source`` the file's own text;
    ``venues`` the text of each venue file that the rules name, now or before a change.
    """

    config: Scenario
    document: dict[str, Any]
    source: str
    file: str
    changes: dict[str, Any] = attrs.Factory(dict)
    venues: dict[str, str] = attrs.Factory(dict)

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.config.name

    def __repr__(self) -> str:
        """The name and what was changed."""
        changes = "".join(f", {path}={value!r}" for path, value in self.changes.items())
        return f"<Scenario {self.name}{changes}>"

    def vary(self, changes: Mapping[str, Any]) -> "LoadedScenario":
        """The same scenario with other values at some places.

        A place is keys joined by dots: ``"oracles.WBETH.policy"``. Keys with a dot in
        them are quoted, items of a list have numbers from 0, and ``*`` is every entry:
        ``"market_makers.*.withdraw_at"``. The value None removes the key. Raises one
        ScenarioError with everything that is wrong with the result.
        """
        told = (
            "a table of places and values, as in {'gateway.rate': 1000}; a variation "
            "of the file is variation(name)"
        )
        expect("changes", changes, Mapping, told)
        for place in changes:
            expect("place", place, str, "text, as in 'gateway.rate'")
        document, faults = change(self.document, changes)
        values = {path: plain(value) for path, value in changes.items()}
        known = self.changes | values
        if faults:
            raise ScenarioError(_problems(faults, self.file, "", known))
        config = _checked(document, self.file, self.source, known, self.venues)
        venues = self.venues | texts_of(document)
        return LoadedScenario(config, document, self.source, self.file, known, venues)

    @property
    def variations(self) -> dict[str, str]:
        """Name of every variation that the file describes, and what it changes."""
        return {
            name: ", ".join(f"{place}={value}" for place, value in changes.items())
            for name, changes in self.config.variations.items()
        }

    def variation(self, name: str) -> "LoadedScenario":
        """The variation of this name that the file describes."""
        variations = self.config.variations
        if name not in variations:
            near = suggest(name, variations)
            text = f"{name!r} is not a variation of {self.name}{near}"
            raise ScenarioError([Problem(self.file, None, "variations", text)])
        return self.vary(variations[name])

    def run(self, seed: int = 0, on_progress: Progress | None = None) -> "Run":
        """Simulate the scenario; the same seed gives the same run, to the byte.

        ``on_progress`` is called with the fraction done and the seconds simulated.
        ValueError if the seed is not a whole number from 0 to 2^63-1.
        """
        from .simulation import simulate

        number = whole_number("seed", seed, 0, 2**63 - 1, "0 to 2^63-1")
        expect_progress(on_progress)
        return simulate(self, number, on_progress)

    def verify(
        self, seeds: int | None = None, on_progress: Progress | None = None
    ) -> "Verification":
        """Run the scenario for some seeds and judge its targets; see `verify`."""
        from .verify import verify

        return verify(self, seeds, on_progress)


# -- LOADING


def load(source: str | PathLike[str]) -> LoadedScenario:
    """Read a scenario: a shipped one by its name, or a TOML file by its path.

    Raises one ScenarioError with every problem of the file, each with its line.
    """
    told = "the name of a shipped scenario or the path of a TOML file"
    expect("source", source, (str, PathLike), told)
    name, text = _text_of(source)
    return read_scenario(name, text, {})


def read_scenario(name: str, text: str, venues: Mapping[str, str]) -> LoadedScenario:
    """Read a scenario from its text; known texts of venue files are not read again."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([_syntax_problem(name, text, error)]) from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets thousands deep.
        message = f"is not TOML that can be read ({error})"
        raise ScenarioError([Problem(name, None, "", message)]) from None
    config = _checked(document, name, text, {}, venues, variations=True)
    known = {**venues, **texts_of(document)}
    return LoadedScenario(config, document, text, name, venues=known)


def scenarios() -> dict[str, str]:
    """Name and title of every shipped scenario."""
    return {
        path.name.removesuffix(".toml"): tomllib.loads(path.read_text("utf-8"))["title"]
        for path in _shipped()
    }


def _shipped() -> list[Any]:
    # Data of the package above; its name, not its modules, is all that is used.
    folder = files(__name__.partition(".")[0]) / "scenarios"
    found = [path for path in folder.iterdir() if path.name.endswith(".toml")]
    return sorted(found, key=lambda path: path.name)


def _text_of(source: str | PathLike[str]) -> tuple[str, str]:
    """The name of the file, for messages, and its text."""
    given = fspath(source)
    path: Any = Path(given)
    by_name = isinstance(source, str) and re.fullmatch(r"[\w-]*", given)
    if by_name:
        shipped = {path.name.removesuffix(".toml"): path for path in _shipped()}
        if given not in shipped:
            near = suggest(given, shipped)
            message = f"{given!r} is not a shipped scenario{near}; "
            message += "a file is named with its ending, as in mine.toml"
            raise ScenarioError([Problem("scenario", None, "", message)])
        path = shipped[given]
    label = path.name if by_name else given
    try:
        if not path.is_file():
            message = f"there is no such file{_neighbour(given)}"
            if path.exists():
                message = "is not a file; name a TOML file"
            raise ScenarioError([Problem(label, None, "", message)])
        data = path.read_bytes()
        if len(data) > BYTES_MAX:
            message = f"must have at most {BYTES_MAX:,} bytes (got {len(data):,})"
            raise ScenarioError([Problem(label, None, "", message)])
        return label, data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"is not UTF-8 text (byte {data[error.start]:#04x})"
        raise ScenarioError([Problem(label, line, "", message)]) from None
    except (OSError, ValueError) as error:
        if isinstance(error, ScenarioError):
            raise
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ScenarioError([Problem(label, None, "", message)]) from None


def _neighbour(given: str) -> str:
    """A hint at the file that was meant."""
    folder = Path(given).parent
    near = [] if not folder.is_dir() else [path.name for path in folder.glob("*.toml")]
    close = get_close_matches(Path(given).name, sorted(near), 1)
    if close:
        return f"; did you mean {str(folder / close[0])!r}?"
    names = [path.name.removesuffix(".toml") for path in _shipped()]
    close = get_close_matches(Path(given).stem, names, 1)
    if close:
        return f"; did you mean the shipped scenario {close[0]!r}?"
    return f"; shipped scenarios are {', '.join(names)}"


def _syntax_problem(name: str, text: str, error: ValueError) -> Problem:
    message = str(error)
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", message)
    if found is None:
        return Problem(name, None, "", message)
    line = int(found[1]) if found[1] else text.rstrip().count("\n") + 1
    what = message[: found.start()]
    what = what[0].lower() + what[1:]
    if not found[1]:
        what += " where the file ends: it may be cut off; complete it"
    elif "overwrite" in what or "twice" in what:
        # What tomllib calls a value is a key to people.
        what += ": the key or table is there already; leave one out"
    elif what == "invalid value":
        what += "; text is written in quotes"
    return Problem(name, line, "", f"is not TOML: {what}")


# -- CHECKING


def _checked(
    document: dict[str, Any],
    file: str,
    source: str,
    changes: Mapping[str, Any],
    venues: Mapping[str, str],
    *,
    variations: bool = False,
) -> Scenario:
    """The parameters of a document; ScenarioError with everything wrong in it."""
    rules = document.get("rules")
    if isinstance(rules, dict):
        rules.setdefault("preset", "binance-pm")
    unread = take_files(document, Path(file).parent, venues)
    draft, faults = _read(document)
    told = [fault.path for fault in unread]
    faults = unread + [fault for fault in faults if fault.path not in told]
    if variations and not faults:
        faults = list(_faults_of_variations(document))
    if faults:
        raise ScenarioError(_problems(faults, file, source, changes))
    return assemble(draft)


def _read(document: Mapping[str, Any]) -> tuple[Draft, list[Fault]]:
    draft, faults = read(document)
    wrong = [fault.path for fault in faults]
    for fault in check(draft):
        # What follows from a fault that is told already is not told again.
        if not any(_related(fault.path, path) for path in wrong):
            faults.append(fault)
    return draft, faults


def _related(a: Place, b: Place) -> bool:
    return all(x == y for x, y in zip(a, b, strict=False))


def _faults_of_variations(document: Mapping[str, Any]) -> Iterator[Fault]:
    variations: Mapping[str, Mapping[str, Any]] = document.get("variations", {})
    for name, changes in variations.items():
        varied, faults = change(document, changes)
        for fault in faults or _read(varied)[1]:
            where = [text for text in changes if _covers(text, fault.path)]
            place = join_path(fault.path)
            yield Fault(("variations", name, *where[:1]), f"{place}: {fault.message}")


def _covers(change: str, path: Place) -> bool:
    """Whether what stands at the path was set by the change."""
    try:
        parts = split_path(change)
    except ChangeError:
        return path == (change,)
    same = (part in (EVERY, str(key)) for part, key in zip(parts, path, strict=False))
    return len(parts) <= len(path) and all(same)


def _problems(
    faults: Iterable[Fault], file: str, source: str, changes: Mapping[str, Any]
) -> list[Problem]:
    """The faults with their lines, in the order of the file."""
    lines = locate(source) if source else {}
    problems = []
    for path, message in faults:
        place = join_path(path)
        changed = any(_covers(text, path) for text in changes)
        line = None if changed else line_of(lines, path)
        problems.append(Problem(file, line, place, message))
    return sorted(problems, key=lambda problem: problem.line or 0)
