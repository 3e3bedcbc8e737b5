"""A running simulation: stepped, forked, changed, kept on disk, and gone on with.

Whatever is done to one is noted with the number of clock entries before it, so that the
same can be done again: to reproduce the run, or to enter it once more.
"""

import gc
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from operator import is_
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ..cython_ext.ledger import CLAIMS, FEES
from .agents import SECOND
from .arguments import expect, refuse, whole_number
from .edits import DOORS, Edit, changed
from .exchange import Exchange
from .reading.windows import clock, moment
from .simulation import World
from .state import copied

if TYPE_CHECKING:
    from .own import Agent
    from .playing import Player
    from .run import Run
    from .scenario import LoadedScenario, Progress


MANY_ACCOUNTS = 100_000
"""Of more than this the memory is given back as soon as a run is over."""


class OverError(RuntimeError):
    """What a simulation that is over cannot do any more."""


class Simulation:
    """A scenario on its way; ``scenario.start(seed)`` makes one.

    It stands between two entries of its clock. ``exchange`` is the venue as it is now:
    read anything, and act through its methods; ``edits`` is what was done so far.
    """

    def __init__(
        self, world: World, scenario: "LoadedScenario", edits: Sequence[Edit] = ()
    ) -> None:
        self._world: World | None = world
        self.scenario = scenario
        """As it was started."""
        self.seed = world.seed
        self._now = scenario
        self._edits = list(edits)

    def __repr__(self) -> str:
        """The scenario, the seed, and how far it is."""
        where = "over" if self._world is None else f"at {self.time}"
        told = f"{self.scenario.name}, seed {self.seed}, {where}"
        return f"<Simulation {told}: {len(self._edits)} edits>"

    # -- WHERE IT IS

    @property
    def world(self) -> World:
        """All there is in it; OverError once it is finished."""
        if self._world is None:
            raise OverError(
                "the simulation is over: its run has the results, and run.at(time) "
                "enters it again"
            )
        return self._world

    @property
    def now(self) -> float:
        """Seconds simulated: the time of the last thing that happened."""
        return self.world.now / SECOND

    @property
    def time(self) -> str:
        """The time of day, as in 21:15:30."""
        return clock(self.scenario.config.start + self.now)

    @property
    def events(self) -> int:
        """Entries of the clock that are done."""
        return self.world.steps

    @property
    def done(self) -> bool:
        """Whether nothing is left on the clock but the end."""
        return self._world is None or self._world.next > self._world.end

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What was done to it, in order."""
        return tuple(self._edits)

    @property
    def exchange(self) -> Exchange:
        """The venue; what its methods change is noted, what else is done is not."""
        doors: Any = Doors(self)
        exchange: Exchange = doors
        return exchange

    # -- GOING ON

    def run(
        self,
        until: str | float | None = None,
        on_progress: "Progress | None" = None,
    ) -> "Simulation":
        """Go on until all that happens up to a time is done; return itself.

        ``until`` is a time of day as in ``"21:15"``, seconds since the start, or None
        for the end. ValueError for a time that is past, or not in the scenario.
        """
        from .scenario import expect_progress

        expect_progress(on_progress)
        self.world.proceed(self._moment("until", until), on_progress)
        return self

    def step(self, entries: int = 1) -> "Simulation":
        """Do so many entries of the clock, fewer if it ends; return itself."""
        whole_number("entries", entries, 0, 2**63 - 1, "0 on")
        world, end = self.world, self.world.steps + entries
        while world.steps < end and not self.done:
            world.step()
        return self

    def finish(
        self,
        on_progress: "Progress | None" = None,
        *,
        keep: Iterable[str | float] = (),
    ) -> "Run":
        """Run to the end and return the run; this simulation is over then.

        At the times to ``keep`` it is forked, and ``run.at(time)`` goes on from there.
        Each costs the memory of a fork.
        """
        kept = []
        for time in sorted(self._moment("keep", time) for time in keep):
            self.world.proceed(time, on_progress)
            kept.append(self.fork())
        self.run(None, on_progress)
        world, self._world = self.world, None
        world.close()
        if on_progress is not None:
            on_progress(1.0, world.end / SECOND)
        run = run_of(world, self.scenario)
        return attrs.evolve(run, edits=self.edits, kept=tuple(kept))

    def _moment(self, name: str, time: str | float | None) -> int:
        world = self.world
        if time is None:
            return world.end
        found = moment(name, time, self.scenario.config)
        if found < world.now:
            past = f"is past: it is {self.time} ({self.now:g} s) already; fork earlier"
            raise ValueError(f"{name!r} {past} or use run.at (got {time!r})")
        return found

    # -- BRANCHES

    def fork(self) -> "Simulation":
        """Return a copy that goes on by itself; both give the same bytes.

        What never changes is shared: the scenario, and all that is recorded already.
        """
        world = self.world
        return Simulation(copied(world), self.scenario, self._edits)._as(self._now)

    def _as(self, scenario: "LoadedScenario") -> "Simulation":
        self._now = scenario
        return self

    def change(self, changes: Mapping[str, Any]) -> "Simulation":
        """Change values of the scenario from now on; return itself.

        Places and values are those of `LoadedScenario.vary`. ScenarioError, and nothing
        is changed, with all that is wrong: what there is not, what must be otherwise,
        and what cannot be changed while the exchange runs, with what to do instead.
        """
        new = self._now.vary(changes)
        changed(self.world, self._now, new)
        self._now = new
        self._note("change", ({place: deepcopy(v) for place, v in changes.items()},))
        return self

    def _note(self, what: str, arguments: tuple[Any, ...], options: Any = None) -> None:
        world = self.world
        edit = Edit(world.steps, world.now, what, arguments, dict(options or {}))
        self._edits.append(edit)

    def repeat(self, edit: Edit) -> None:
        """Go on to where an edit was made, and make it."""
        self.step(edit.after - self.events)
        arguments, options = deepcopy((edit.arguments, edit.options))
        owner = self if edit.what == "change" else self.exchange
        getattr(owner, edit.what)(*arguments, **options)

    # -- ON DISK

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write all there is to a file, which `resume` goes on from.

        SavedError if the file is there already and ``overwrite`` is not set, or cannot
        be written.
        """
        from .saving import save

        expect("path", path, (str, PathLike), "the path of a file")
        return save(self, fspath(path), overwrite=overwrite)


class Doors:
    """An exchange whose methods that change it are noted in its simulation."""

    def __init__(self, simulation: Simulation) -> None:
        object.__setattr__(self, "_simulation", simulation)

    def __getattr__(self, name: str) -> Any:
        """What the exchange has of this name."""
        simulation: Simulation = object.__getattribute__(self, "_simulation")
        found = getattr(simulation.world.exchange, name)
        return Door(simulation, name) if name in DOORS else found

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: what is set could not be noted."""
        refuse(name, value, "left alone: change the exchange by its methods")

    def __dir__(self) -> list[str]:
        """What the exchange has."""
        simulation: Simulation = object.__getattribute__(self, "_simulation")
        return dir(simulation.world.exchange)

    def __repr__(self) -> str:
        """That of the exchange."""
        simulation: Simulation = object.__getattribute__(self, "_simulation")
        return repr(simulation.world.exchange)


class Door:
    """A method of an exchange that changes it."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self._simulation, self._name = simulation, name
        self.__doc__ = getattr(Exchange, name).__doc__

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Do it, and note that it was done; what is refused is not."""
        simulation, world = self._simulation, self._simulation.world
        kept = deepcopy((arguments, options))
        found = getattr(world.exchange, self._name)(*arguments, **options)
        world.welcome()
        simulation._note(self._name, *kept)
        return found


def start(
    scenario: "LoadedScenario", seed: int, agents: "Sequence[Agent]" = ()
) -> Simulation:
    """Build a scenario's exchange and all its participants; nothing has happened."""
    world = World(scenario, seed, agents)
    return Simulation(world, scenario)


def entered(run: "Run", time: str | float) -> Simulation:
    """Return the simulation of a finished run as it was at a time.

    ValueError for a run that its scenario and seed alone do not give again.
    """
    when = moment("time", time, run.scenario.config)
    for kept in reversed(run.kept):
        if _is_of(kept, run) and kept.world.now <= when:
            again = kept.fork()
            break
    else:
        why = "agents of one's own" if run.agents else "a stream"
        if run.agents or run.replayed:
            raise ValueError(
                f"a run with {why} is not entered again from its scenario and seed; "
                "start it with scenario.start() and keep forks: finish(keep=[...])"
            )
        again = start(run.scenario, run.seed)
    for edit in run.edits[len(again.edits) :]:
        if edit.time > when:
            break
        again.repeat(edit)
    return again.run(when / SECOND)


def _is_of(kept: Simulation, run: "Run") -> bool:
    # Whoever went on with a fork that was kept may have finished or changed it.
    edits = run.edits[: len(kept.edits)]
    same = len(edits) == len(kept.edits)
    return kept._world is not None and same and all(map(is_, edits, kept.edits))


def simulate(
    scenario: "LoadedScenario",
    seed: int = 0,
    on_progress: "Progress | None" = None,
    agents: "Sequence[Agent]" = (),
    player: "Player | None" = None,
) -> "Run":
    """Run a scenario from its start to its end; the same seed gives the same bytes."""
    world = World(scenario, seed, agents, player)
    world.run(on_progress)
    return run_of(world, scenario)


def run_of(world: World, scenario: "LoadedScenario") -> "Run":
    """Return the run of a world that is at its end; it serves nothing else then."""
    from .run import Run

    exchange, player = world.exchange, world.player
    outcome = {
        "conserved": float(not exchange.ledger.totals().any() and world.sound()),
        "messages": float(world.messages),
        "trades": float(exchange.books.trades),
        "refused_by_margin": float(world.refused_before + exchange.risk.refused),
        "refused_by_gateway": float(world.gateway.refused),
        "fees_usd": exchange.risk.account(FEES)["equity"],
        "claims_usd": -exchange.risk.account(CLAIMS)["equity"],
    }
    run = Run(
        scenario=scenario,
        seed=world.seed,
        log=exchange.log,
        names=world.names(),
        series=world.recorder.series(),
        outcome=outcome,
        deeds=None if world.journal is None else world.journal.deeds(world),
        agents=world.party.users(),
        replayed="" if player is None else player.told(),
    )
    # A world refers to itself: its accounts would stay until Python looks for it.
    del world, exchange, player
    if len(run.names.account_class) > MANY_ACCOUNTS:
        gc.collect()
    return run
