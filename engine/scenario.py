"""Scenario files: load, check, vary, run."""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from . import groups, universe
from .arguments import expect, refuse, suggest, whole_number
from .changes import ChangeError, change, covers, join_path, plain, split_path
from .checks import check
from .config import Scenario
from .draft import Draft, assemble, read
from .location import Path as Place
from .location import line_of, locate
from .sources import Problem as Problem
from .sources import ScenarioError as ScenarioError
from .sources import Source, merged, shipped, sources_of, text_of
from .structure import Fault, few
from .venue_files import take_files, texts_of

if TYPE_CHECKING:
    from .run import Run
    from .verify import Verification

Progress = Callable[[float, float], None]
"""Called with the fraction done and the seconds simulated."""


def expect_progress(given: object) -> None:
    """Refuse what cannot be called to tell progress; TypeError."""
    if given is not None and not callable(given):
        told = "a function of the fraction done and the seconds simulated, or None"
        refuse("on_progress", given, told)


@attrs.frozen(repr=False)
class LoadedScenario:
    """A scenario that was read and checked; nothing about it ever changes.

    ``config`` holds the parameters, ``document`` the tables they were read from: those
    of the file and its base, what universes draw, and the ``changes`` made to them.
    ``source`` is the file's own text, ``venues`` that of each file it names: its base,
    and the venue files of the rules, now or before a change.
    """

    config: Scenario
    document: dict[str, Any]
    source: str
    file: str
    changes: dict[str, Any] = attrs.Factory(dict)
    venues: dict[str, str] = attrs.Factory(dict)
    _sources: tuple[Source, ...] = ()
    _tables: dict[str, Any] = attrs.Factory(dict)  # of the files, before any change

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
        values = {path: plain(value) for path, value in changes.items()}
        # One that is made again is made last.
        known = {k: v for k, v in self.changes.items() if k not in values} | values
        config, document = _checked(self._tables, self._sources, known, self.venues)
        return attrs.evolve(
            self,
            config=config,
            document=document,
            changes=known,
            venues=self.venues | texts_of(document),
        )

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
        self,
        seeds: int | None = None,
        on_progress: Progress | None = None,
        *,
        jobs: int | None = None,
    ) -> "Verification":
        """Run the scenario for some seeds and judge its targets; see `verify`."""
        from .verify import verify

        return verify(self, seeds, on_progress, jobs=jobs)


# -- LOADING


def load(source: str | PathLike[str]) -> LoadedScenario:
    """Read a scenario: a shipped one by its name, or a TOML file by its path.

    Raises one ScenarioError with every problem of the file, each with its line.
    """
    told = "the name of a shipped scenario or the path of a TOML file"
    expect("source", source, (str, PathLike), told)
    name, text = text_of(source)
    return read_scenario(name, text, {})


def read_scenario(name: str, text: str, venues: Mapping[str, str]) -> LoadedScenario:
    """Read a scenario from its text; known texts of venue files are not read again."""
    sources = sources_of(name, text, venues)
    faults = []
    for file in sources:
        faults += take_files(file.tables, Path(file.file).parent, venues)
    tables, wrong = merged(sources)
    faults += wrong
    if faults:
        raise ScenarioError(_problems(faults, sources, {}))
    config, document = _checked(tables, sources, {}, venues, variations=True)
    known = {file.key: file.text for file in sources[1:]}
    known = {**venues, **known, **texts_of(tables)}
    return LoadedScenario(
        config, document, text, name, {}, known, tuple(sources), tables
    )


def scenarios() -> dict[str, str]:
    """Name and title of every shipped scenario."""
    return {
        path.name.removesuffix(".toml"): tomllib.loads(path.read_text("utf-8"))["title"]
        for path in shipped()
    }


# -- CHECKING


def _checked(
    tables: Mapping[str, Any],
    sources: Sequence[Source],
    changes: Mapping[str, Any],
    venues: Mapping[str, str],
    *,
    variations: bool = False,
) -> tuple[Scenario, dict[str, Any]]:
    """Parameters and document of changed tables; ScenarioError with all that is wrong.

    What universes draw depends on changes to them, and is there for all the others.
    """
    document, faults = _changed(tables, changes)
    if faults:
        raise ScenarioError(_problems(faults, sources, changes))
    unread = take_files(document, Path(sources[0].file).parent, venues)
    draft, faults = _read(document)
    told = [fault.path for fault in unread]
    faults = unread + [fault for fault in faults if fault.path not in told]
    if variations and not faults:
        faults = list(_faults_of_variations(tables, draft))
    if faults:
        raise ScenarioError(_problems(faults, sources, changes))
    return assemble(draft), document


def _changed(
    tables: Mapping[str, Any], changes: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Fault]]:
    early = {place: changes[place] for place in changes if _of_universe(place)}
    late = {place: changes[place] for place in changes if place not in early}
    changed, faults = change(tables, early) if early else (dict(tables), [])
    if faults:
        return changed, faults
    drawn, faults = universe.expand(changed)
    if faults:
        return drawn, faults
    document, faults = change(drawn, late)
    rules = document.get("rules")
    if isinstance(rules, dict):
        rules.setdefault("preset", "binance-pm")
    return document, faults


def _of_universe(place: str) -> bool:
    # Or of the rules that it is drawn against; but rates are drawn themselves.
    try:
        table, *rest = split_path(place)
    except ChangeError:
        return False
    drawn = rest and rest[0] in ("collateral", "brackets")
    return table == "universe" or (table == "rules" and not drawn)


def _read(
    document: Mapping[str, Any], like: Draft | None = None
) -> tuple[Draft, list[Fault]]:
    expanded, origins, faults = groups.expand(document)
    draft, more = read(expanded, like)
    draft.origins = origins
    faults += more
    wrong = [fault.path for fault in faults]
    for fault in check(draft):
        # What follows from a fault that is told already is not told again.
        if not any(_related(fault.path, path) for path in wrong):
            faults.append(fault)
    return draft, few(faults)


def _related(a: Place, b: Place) -> bool:
    return all(x == y for x, y in zip(a, b, strict=False))


def _faults_of_variations(tables: Mapping[str, Any], base: Draft) -> Iterator[Fault]:
    variations: Mapping[str, Mapping[str, Any]] = tables.get("variations", {})
    for name, changes in variations.items():
        varied, faults = _changed(tables, changes)
        for fault in faults or _read(varied, base)[1]:
            where = [text for text in changes if covers(text, fault.path)]
            place = join_path(fault.path)
            yield Fault(("variations", name, *where[:1]), f"{place}: {fault.message}")


def _problems(
    faults: Iterable[Fault], sources: Sequence[Source], changes: Mapping[str, Any]
) -> list[Problem]:
    """The faults with their lines, each in the file that says it."""
    files = [(source.file, locate(source.text)) for source in sources]
    problems = []
    for path, message in faults:
        file, line = sources[0].file, None
        if not any(covers(text, path) for text in changes):
            # The first of those that have most of the path.
            file, lines = max(files, key=lambda known: _depth(known[1], path))
            line = line_of(lines, path)
        problems.append(Problem(file, line, join_path(path), message))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _depth(lines: Mapping[Place, int], path: Place) -> int:
    return next((n for n in range(len(path), 0, -1) if path[:n] in lines), 0)
