"""Scenario files: load, check, vary, run."""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from .arguments import expect, refuse, suggest, whole_number
from .config import Scenario
from .reading import groups, universe
from .reading.changes import ChangeError, change, covers, join_path, plain, split_path
from .reading.checks import check
from .reading.draft import Draft, assemble, read
from .reading.location import Path as Place
from .reading.location import line_of, locate
from .reading.sources import Problem as Problem
from .reading.sources import ScenarioError as ScenarioError
from .reading.sources import (
    Source,
    change_by_file,
    changes_of_drawn,
    is_named,
    merged,
    shipped,
    sources_of,
    text_of,
)
from .reading.structure import Fault, few
from .reading.switches import apart, combined, flaws
from .reading.venue_files import take_files, texts_of

if TYPE_CHECKING:
    from .lab.verify import Verification
    from .own import Agent
    from .run import Run
    from .running import Simulation
    from .streams import Stream

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
    agents: "tuple[Agent, ...]" = attrs.field(default=(), eq=False)  # of one's own

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.config.name

    def __repr__(self) -> str:
        """The name and what was changed."""
        changes = "".join(f", {path}={value!r}" for path, value in self.changes.items())
        agents = "".join(f", with {name}" for name in self._joined([]))
        return f"<Scenario {self.name}{changes}{agents}>"

    def with_agents(self, agents: "Sequence[Agent]") -> "LoadedScenario":
        """The same scenario with agents of one's own in every run of it.

        So that they are in sweeps and comparisons too. AgentError or TypeError for
        what is none.
        """
        return attrs.evolve(self, agents=tuple(self._joined(agents).values()))

    def _joined(self, agents: "Sequence[Agent]") -> "dict[str, Agent]":
        from .seats import check_agents

        return check_agents(agents, self.agents)

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

    @property
    def switches(self) -> dict[str, str]:
        """Name of every mechanism that the file can switch off, and what does it."""
        return {
            name: ", ".join(f"{place}={value}" for place, value in changes.items())
            for name, changes in self.config.switches.items()
        }

    def without(self, *mechanisms: str) -> "LoadedScenario":
        """The scenario with mechanisms that the file names switched off.

        All others, and every random draw, are as they were.
        """
        switches = self.config.switches
        for name in mechanisms:
            if name not in switches:
                near = suggest(name, switches)
                text = f"{name!r} is not a mechanism that {self.name} can switch off"
                raise ScenarioError([Problem(self.file, None, "switches", text + near)])
        return self.vary(combined(switches, dict.fromkeys(mechanisms)))

    def run(
        self,
        seed: int = 0,
        on_progress: Progress | None = None,
        *,
        agents: "Sequence[Agent]" = (),
    ) -> "Run":
        """Simulate the scenario; the same seed gives the same run, to the byte.

        ``on_progress`` is called with the fraction done and the seconds simulated.
        ``agents`` are participants of one's own, who join the others.
        ValueError if the seed is not a whole number from 0 to 2^63-1.
        """
        from .running import simulate

        number = whole_number("seed", seed, 0, 2**63 - 1, "0 to 2^63-1")
        expect_progress(on_progress)
        given = list(self._joined(agents).values())
        return simulate(self, number, on_progress, given)

    def replay(
        self,
        stream: "Stream",
        loop: str = "open",
        *,
        agents: "Sequence[Agent]" = (),
        on_progress: Progress | None = None,
    ) -> "Run":
        """Run with a stream, edited or not, in the place of those who sent it.

        In an ``open`` loop nobody reacts: all messages come as the stream says. In a
        ``closed`` one everybody acts by himself but those whose rows were edited.
        Liquidations, prices and funding are the venue's own in both. ``agents`` act by
        themselves too. StreamError if the scenario has other participants.
        """
        from .playing import replay

        expect_progress(on_progress)
        return replay(self, stream, loop, agents, on_progress)

    def start(self, seed: int = 0, *, agents: "Sequence[Agent]" = ()) -> "Simulation":
        """Build the exchange and its participants, and stop before the first event.

        What comes back can be stepped, forked, changed and kept on disk; finished, it
        gives the run that `run` gives. ValueError as there.
        """
        from .running import start

        number = whole_number("seed", seed, 0, 2**63 - 1, "0 to 2^63-1")
        return start(self, number, list(self._joined(agents).values()))

    def verify(
        self,
        seeds: int | None = None,
        on_progress: Progress | None = None,
        *,
        jobs: int | None = None,
    ) -> "Verification":
        """Run the scenario for some seeds and judge its targets; see `verify`."""
        from .lab.verify import verify

        return verify(self, seeds, on_progress, jobs=jobs)


# -- LOADING


def load(source: str | PathLike[str]) -> LoadedScenario:
    """Read a scenario: a shipped one by its name, or a TOML file by its path.

    Raises one ScenarioError with every problem of the file, each with its line.
    """
    told = "the name of a shipped scenario or the path of a TOML file"
    expect("source", source, (str, PathLike), told)
    name, text = text_of(source)
    # Tests hold those that are shipped: to check oct10's takes nine times as long as to
    # read the rest.
    return read_scenario(name, text, {}, variations=not is_named(source))


def read_scenario(
    name: str, text: str, venues: Mapping[str, str], *, variations: bool = True
) -> LoadedScenario:
    """Read a scenario from its text; known texts of venue files are not read again.

    Without ``variations`` the changes that it names are not looked at.
    """
    sources = sources_of(name, text, venues)
    faults = []
    for file in sources:
        faults += take_files(file.tables, Path(file.file).parent, venues)
    tables, wrong = merged(sources)
    faults += wrong
    if faults:
        raise ScenarioError(_problems(faults, sources, {}))
    config, document = _checked(tables, sources, {}, venues, variations=variations)
    known = {file.key: file.text for file in sources[1:]}
    known = {**venues, **known, **texts_of(tables)}
    return LoadedScenario(
        config, document, text, name, {}, known, tuple(sources), tables
    )


def scenarios() -> dict[str, str]:
    """Name and title of every shipped scenario."""
    titles = {
        path.name.removesuffix(".toml"): tomllib.loads(path.read_text("utf-8"))["title"]
        for path in shipped()
    }
    return dict(sorted(titles.items()))


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
        faults = list(_faults_of_named(tables, draft))
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
    document, faults = change_by_file(drawn, changes_of_drawn(tables))
    if faults:
        return document, faults
    document, faults = change(document, late)
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


def _faults_of_named(tables: Mapping[str, Any], base: Draft) -> Iterator[Fault]:
    """Everything wrong with variations, and with switches one with another."""
    variations: Mapping[str, Mapping[str, Any]] = tables.get("variations", {})
    for name, changes in variations.items():
        for fault, where in _faults_of_changes(tables, base, changes):
            yield Fault(("variations", name, *where), fault)
    switches: Mapping[str, Mapping[str, Any]] = tables.get("switches", {})
    wrong = list(flaws(switches))
    sets = apart(switches) if not wrong else []
    for group in sets:
        together = combined(switches, group)
        for fault, where in _faults_of_changes(tables, base, together):
            owner = [name for name in group if where and where[0] in switches[name]]
            wrong.append(Fault(("switches", *owner, *where), fault))
    yield from wrong
    if len(sets) > 1 and not wrong:
        # Of lists that several shorten only what is left may be too little.
        together = combined(switches, switches)
        for fault, _ in _faults_of_changes(tables, base, together):
            yield Fault(("switches",), f"all together: {fault}")


def _faults_of_changes(
    tables: Mapping[str, Any], base: Draft, changes: Mapping[str, Any]
) -> Iterator[tuple[str, list[str]]]:
    # Each as text, and the change that it comes from if one can be told.
    varied, faults = _changed(tables, changes)
    for fault in faults or _read(varied, base)[1]:
        where = [text for text in changes if covers(text, fault.path)]
        yield f"{join_path(fault.path)}: {fault.message}", where[:1]


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
