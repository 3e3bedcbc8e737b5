"""Which mechanism did the damage: each one's share of an outcome, by coalitions.

Every coalition of mechanisms is replayed with the others switched off and the same
random numbers. A mechanism's share is its Shapley value: what it adds to those that
are on before it, mean over all orders in which they could be put on. The shares sum to
the whole effect, that of all mechanisms on over all off.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property
from itertools import combinations
from math import fsum, isinf
from os import PathLike

from attrs import frozen

from ..arguments import expect, refuse, suggest, whole_number
from ..reading.switches import Switches, combined, flaws
from ..scenario import LoadedScenario
from .attribution import Attribution, Share
from .outcomes import OutcomeError, kept_in, loaded, outcomes
from .replays import Progress, Replay, Wanted, check_jobs, label, seeds_of
from .shapley import (
    Game,
    Group,
    Pair,
    coalitions,
    groups,
    interactions,
    sampled_interactions,
    sampled_shares,
    shares,
)
from .spread import Estimate, crossed, estimate

EXACT = 8
"""So many mechanisms have every coalition of them replayed: 256 for each seed."""

ORDERS = 16
"""Random orders of more mechanisms, each with its neighbours swapped and backwards."""

ORDERS_MAX = 10_000
MECHANISMS_MAX = 40
"""More than any scenario has; a coalition is a number of so many bits."""

ROUNDING = 1e-9
"""What the shares may miss the whole by, relative to the largest outcome."""

Pairs = dict[Pair, Estimate]

Values = Mapping[int, Sequence[float]]
"""Outcome of each coalition, by seed."""


def attribute(
    scenario: LoadedScenario | str | PathLike[str],
    outcome: str,
    switches: Iterable[str] | Switches | None = None,
    seeds: int | Iterable[int] | None = None,
    *,
    window: tuple[str, str] | None = None,
    orders: int | None = None,
    into: str | PathLike[str] | None = None,
    resume: bool = False,
    executor: Executor | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
) -> Attribution:
    """Attribute an outcome to the mechanisms of a scenario.

    ``outcome`` is a measure with a number, of ``window`` if two times of day are given.
    ``switches`` are names of those in the file (all, if None), or a table of your own:
    names, and the changes that switch each off. What is not named stays on. ``seeds``
    are how many or which; by default as many as the file says. Up to 8 mechanisms all
    coalitions are replayed, 2**n for each seed; of more, those of random ``orders`` (an
    even number, 16 if None), each of which stands for four and costs up to 3 n
    coalitions. Given for 8 or fewer, they are sampled as well. ``into`` is a directory
    that keeps each outcome as it comes; with ``resume`` those it has are not run again,
    whatever seeds, switches or orders they were run for.

    ValueError for what cannot be attributed; OutcomeError, one too, if a replay has no
    such figure or failed.
    """
    scenario = loaded(scenario)
    expect("outcome", outcome, str, "the name of a measure, as in 'median_wick'")
    names, table = _switches(scenario, switches)
    numbers = seeds_of(scenario.config.seeds if seeds is None else seeds)
    check_jobs(executor, jobs)
    wanted = outcome, window
    asked = _Asked(scenario, wanted, names, table, numbers, _orders(len(names), orders))
    with kept_in(into, scenario, wanted, "attribution", resume=resume) as kept:
        found = outcomes(
            scenario,
            asked.plan,
            wanted,
            asked.told,
            kept,
            executor=executor,
            jobs=jobs,
            on_progress=on_progress,
        )
    return asked.shared(found)


@frozen(slots=False)
class _Asked:
    """An attribution to be: the mechanisms, the seeds, the orders if they are drawn."""

    scenario: LoadedScenario
    wanted: Wanted
    names: list[str]
    table: Switches
    seeds: tuple[int, ...]
    drawn: list[Group]

    @cached_property
    def needed(self) -> list[int]:
        """The coalitions that are replayed."""
        return _needed(len(self.names), self.drawn)

    @cached_property
    def plan(self) -> list[Replay]:
        """Each of them with each seed."""
        return [
            Replay(combined(self.table, self._names(~coalition)), seed)
            for coalition in self.needed
            for seed in self.seeds
        ]

    def _names(self, coalition: int) -> tuple[str, ...]:
        return tuple(n for i, n in enumerate(self.names) if coalition >> i & 1)

    def told(self, replay: Replay) -> str:
        """A replay in words: who is off, and the seed."""
        number = next(i for i, each in enumerate(self.plan) if each is replay)
        off = self._names(~self.needed[number // len(self.seeds)])
        return f"without {', '.join(off) or 'none'}, seed {replay.seed}"

    def shared(self, found: Sequence[float]) -> Attribution:
        """The outcomes of the plan shared out; OutcomeError if one is infinite."""
        for replay, value in zip(self.plan, found, strict=True):
            if isinf(value):
                text = "must be finite in every replay; it is infinite"
                name = label(self.wanted)
                raise OutcomeError(f"{name!r} {text} {self.told(replay)}")
        n, k = len(self.names), len(self.seeds)
        rows = (tuple(found[i : i + k]) for i in range(0, len(found), k))
        values = dict(zip(self.needed, rows, strict=True))
        everybody = (1 << n) - 1
        full, none = values[everybody], values[0]
        if self.drawn:
            parts, pairs = _sampled(n, self.drawn, values)
        else:
            parts, pairs = _exact(n, values)
        shares = []
        for i, name in enumerate(self.names):
            knocked = estimate(_less(full, values[everybody & ~(1 << i)]))
            alone = estimate(_less(values[1 << i], none))
            shares.append(Share(name, parts[i], knocked, alone))
        return Attribution(
            scenario=self.scenario,
            outcome=label(self.wanted),
            mechanisms=tuple(self.names),
            seeds=self.seeds,
            orders=len(self.drawn),
            full=estimate(full),
            none=estimate(none),
            effect=estimate(_less(full, none)),
            shares=tuple(shares),
            interactions={
                (self.names[i], self.names[j]): pair for (i, j), pair in pairs.items()
            },
            values={self._names(c): row for c, row in values.items()},
        )


def planned(
    scenario: LoadedScenario,
    switches: Iterable[str] | Switches | None = None,
    orders: int | None = None,
) -> int:
    """How many coalitions `attribute` replays, with each seed."""
    names, _ = _switches(scenario, switches)
    return len(_needed(len(names), _orders(len(names), orders)))


def _less(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(ones, others, strict=True)]


# -- WHAT WAS ASKED FOR


def _switches(scenario: LoadedScenario, given: object) -> tuple[list[str], Switches]:
    """Names of the mechanisms, and what switches each off."""
    known = scenario.config.switches
    told = "names of switches, or a table of names and changes"
    if given is None:
        if not known:
            text = f"{scenario.name} has no [switches] to attribute to"
            raise ValueError(
                f"{text}; add them to the file, or give 'switches' a table of your own"
            )
        given = known
    if isinstance(given, Mapping):
        for name, changes in given.items():
            expect("switches", name, str, told)
            expect("switches", changes, Mapping, told)
        wrong = next(flaws(given), None)
        if wrong is not None:
            raise ValueError(f"'{'.'.join(map(str, wrong.path))}' {wrong.message}")
        names, table = list(given), given
    else:
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            refuse("switches", given, told)
        names, table = list(given), known
        for name in names:
            expect("switches", name, str, told)
            if name not in known:
                near = suggest(name, known)
                raise ValueError(f"'switches': {name!r} is none of the scenario{near}")
            if names.count(name) > 1:
                raise ValueError(f"'switches' must name each once (got {name!r} again)")
    if not 1 <= len(names) <= MECHANISMS_MAX:
        text = f"'switches' must be from 1 to {MECHANISMS_MAX}"
        raise ValueError(f"{text} (got {len(names)})")
    # Of a wrong change one is told before anything runs.
    scenario.vary(combined(table, names))
    return names, table


def _orders(n: int, given: object) -> list[Group]:
    if given is None and n <= EXACT:
        return []
    count = ORDERS if given is None else given
    told = f"2 to {ORDERS_MAX:,}"
    count = whole_number("orders", count, 2, ORDERS_MAX, told)
    if count % 2:
        raise ValueError(f"'orders' must be an even number (got {count})")
    # Always the same ones: an attribution is no experiment of its own.
    return groups(n, count, 0)


def _needed(n: int, drawn: Sequence[Group]) -> list[int]:
    """The coalitions to replay; everybody and nobody first."""
    everybody = (1 << n) - 1
    first = [everybody, 0]
    if not drawn:
        return list(dict.fromkeys([*first, *range(1 << n)]))
    ends = [c for i in range(n) for c in (everybody & ~(1 << i), 1 << i)]
    orders = (c for group in drawn for c in coalitions(group))
    return list(dict.fromkeys([*first, *ends, *orders]))


# -- SHARES, WITH WHAT THEY CAN BE OFF BY


def _exact(n: int, values: Values) -> tuple[list[Estimate], Pairs]:
    games = _games(values)
    each = [shares(n, game) for game in games]
    _check_sums(each, n, values)
    both = [interactions(n, game) for game in games]
    return (
        [estimate(row[i] for row in each) for i in range(n)],
        {pair: estimate(row[pair] for row in both) for pair in both[0]},
    )


def _sampled(
    n: int, drawn: Sequence[Group], values: Values
) -> tuple[list[Estimate], Pairs]:
    games = _games(values)
    each = [[sampled_shares(group, game) for group in drawn] for game in games]
    for row in zip(*each, strict=True):
        _check_sums(row, n, values)
    both = [[sampled_interactions(group, game) for group in drawn] for game in games]
    pairs: Pairs = {}
    for pair in combinations(range(n), 2):
        rows = [[seen[pair] for seen in row if pair in seen] for row in both]
        if rows[0]:
            pairs[pair] = crossed(rows)
    parts = [crossed([[row[i] for row in rows] for rows in each]) for i in range(n)]
    return parts, pairs


def _games(values: Values) -> list[Game]:
    def game(seed: int) -> Game:
        return lambda coalition: values[coalition][seed]

    return [game(seed) for seed in range(len(values[0]))]


def _check_sums(each: Iterable[Sequence[float]], n: int, values: Values) -> None:
    # Whatever the outcomes are, the shares of each seed sum to its whole effect.
    largest = max(abs(value) for row in values.values() for value in row)
    everybody = values[(1 << n) - 1]
    for row, full, none in zip(each, everybody, values[0], strict=True):
        assert abs(fsum(row) - (full - none)) <= ROUNDING * max(largest, 1e-300)
