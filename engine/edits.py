"""What can be done to a simulation on its way, and how it is written down."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from heapq import heapify
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from ..margin.liquidation import Liquidator
from ..margin.prices import IndexRule
from ..margin.rules import Rules
from ..orderbook.orders import Flag, Kind, Phase, SelfTrade, Side, TimeInForce
from .agents import SECOND, Agent
from .orders import Order, Placed
from .pricing import default_rule
from .reading.changes import join_path
from .reading.location import Path
from .reading.sources import Problem, ScenarioError
from .reading.venue_files import build_rules
from .shocks import Strike

if TYPE_CHECKING:
    from .config import Scenario, Shock
    from .scenario import LoadedScenario
    from .simulation import World

Act = Callable[[], None]

DOORS = frozenset(
    {
        "cancel",
        "charge_interest",
        "cross",
        "deposit",
        "enter_phase",
        "execute",
        "isolate",
        "liquidate",
        "open_account",
        "open_accounts",
        "process",
        "replace",
        "reprice",
        "set_books",
        "set_breaker",
        "set_circuit_breaker",
        "set_hedge",
        "set_leverage",
        "set_oracles",
        "set_phase",
        "set_price_band",
        "set_self_trade",
        "settle_funding",
        "submit",
        "transfer",
        "update_prices",
        "withdraw",
    }
)
"""Methods that change an exchange."""

OUTSIDE_KINDS = ("outside", "path", "transfers", "gateway", "vote")
"""Shocks that need nothing from the start, neither an account nor money."""

FIXED_RULES = {
    "fees": "the ledger has the fees of its markets from the start",
    "mark.samples": "the samples of a mark are kept from the start",
    "mark.sample_s": "the samples of a mark are kept from the start",
    "funding.interval_s": "the settlements are on the clock",
}
"""Rules that hold from the start on, and why."""

PARTS = ("watch", "forced", "fund", "steps", "deleveraging", "losses")
"""Parts of a liquidator, each with the rules."""


# -- WHAT WAS DONE


@attrs.frozen
class Edit:
    """One thing that was done to a simulation, after so many entries of its clock.

    ``what`` is ``change``, with the changed places, or a method of the exchange.
    """

    after: int
    time: int  # ns
    what: str
    arguments: tuple[Any, ...]
    options: dict[str, Any] = attrs.Factory(dict)

    @property
    def label(self) -> str:
        """What was done, in words, and when."""
        when = f"at {self.time / SECOND:g} s"
        if self.what == "change":
            what = [f"{place}={value}" for place, value in self.arguments[0].items()]
            return f"{', '.join(what)} {when}"
        return f"{self.what} {when}"

    def written(self) -> dict[str, Any]:
        """Return it as JSON has it; what JSON does not have is left out."""
        told = {"after": self.after, "time": self.time, "what": self.what}
        try:
            return told | {
                "arguments": _plain(list(self.arguments)),
                "options": _plain(self.options),
            }
        except TypeError:
            return told

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Edit":
        """Return one that was written; LookupError if something was left out."""
        arguments, options = _rich(told["arguments"]), _rich(told["options"])
        return cls(told["after"], told["time"], told["what"], tuple(arguments), options)


RICH: dict[str, Any] = {"order": Order, "rule": IndexRule}
WORDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Side, Kind, TimeInForce, Flag, SelfTrade, Phase)
}


def _plain(value: Any) -> Any:
    if type(value).__name__ in WORDS:
        return {f"={type(value).__name__}": int(value)}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Placed):
        return value.order_id
    if isinstance(value, np.ndarray) and value.dtype in (np.int64, np.float64):
        return value.tolist()
    if isinstance(value, int | float | np.integer | np.floating):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    for name, kind in RICH.items():
        if isinstance(value, kind):
            fields = {f.name: getattr(value, f.name) for f in attrs.fields(kind)}
            return {f"={name}": _plain(fields)}
    raise TypeError(f"{type(value).__name__} is not written down")


def _rich(value: Any) -> Any:
    if isinstance(value, list):
        return [_rich(entry) for entry in value]
    if isinstance(value, dict):
        for name in value if len(value) == 1 else ():
            if name[1:] in RICH:
                return RICH[name[1:]](**_rich(value[name]))
            if name[1:] in WORDS:
                return WORDS[name[1:]](value[name])
        return {key: _rich(entry) for key, entry in value.items()}
    return value


# -- CHANGES OF A SCENARIO


def changed(world: "World", old: "LoadedScenario", new: "LoadedScenario") -> None:
    """Make a world that of another scenario, from now on.

    ScenarioError, and nothing is changed, with all that the start alone decides.
    """
    changes = _Changes(world, old.config, new.config)
    changes.plan()
    if changes.problems:
        problems = [
            Problem(
                new.file,
                None,
                join_path(path),
                f"is not changed while the exchange runs{': ' * bool(why)}{why}; start "
                "another with it: scenario.vary({...}).start(seed)",
            )
            for path, why in changes.problems.items()
        ]
        raise ScenarioError(problems)
    world.config = new.config
    for act in changes.acts:
        act()


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Yield the places where two settings differ, as far down as both have them."""
    if type(old) is type(new) and attrs.has(type(old)) and not _is_value(old):
        for field in attrs.fields(type(old)):
            name = field.name
            yield from differences(
                getattr(old, name), getattr(new, name), (*path, name)
            )
    elif isinstance(old, dict) and isinstance(new, dict) and path[:1] != ("rules",):
        for key in dict.fromkeys((*old, *new)):
            there = key in old and key in new
            if there:
                yield from differences(old[key], new[key], (*path, key))
            else:
                yield (*path, key), old.get(key), new.get(key)
    elif old != new:
        yield path, old, new


def _is_value(thing: Any) -> bool:
    return isinstance(thing, IndexRule)


class _Changes:
    """What is to be done in a world, and what cannot be."""

    def __init__(self, world: "World", old: "Scenario", new: "Scenario") -> None:
        self.world, self.old, self.new = world, old, new
        self.acts: list[Act] = []
        self.problems: dict[Path, str] = {}

    def plan(self) -> None:
        """Find all of it."""
        found = list(differences(self.old, self.new))
        oracles = {path[1]: path for path, *_ in found if path[0] == "oracles"}
        if oracles:
            self._oracles([*oracles])
        for path, *_ in found:
            kind = path[0]
            if kind == "rules":
                self._rules()
            elif kind == "markets":
                self._market(path)
            elif kind == "gateway":
                self._gateway(path)
            elif kind == "transfers":
                self.acts.append(self._transfers)
            elif kind == "shocks":
                self._shocks(path)
            elif kind != "oracles":
                self._agent(path)

    def _agent(self, path: Path) -> None:
        agent: Agent | None = self.world.agents.get(".".join(map(str, path[:2])))
        if agent is None or len(path) < 3:
            self.problems[path] = ""
        elif path[2] not in agent.live:
            told = ", ".join(sorted(agent.live)) or "nothing"
            self.problems[path] = f"of {agent.sender} {told} can be"
        else:
            settings = getattr(self.new, str(path[0]))[path[1]]
            self.acts.append(lambda: agent.adopt(settings))

    def _market(self, path: Path) -> None:
        name, what = str(path[1]), path[2] if path[2:] else ""
        if what not in ("price_band", "circuit_breaker") or name not in (
            self.world.exchange.market_number
        ):
            text = "of a market the price_band and the circuit_breaker can be"
            self.problems[path] = text
            return
        market, exchange = self.new.markets[name], self.world.exchange
        if what == "price_band":
            self.acts.append(lambda: exchange.set_price_band(name, market.price_band))
            return
        breaker = market.circuit_breaker
        if breaker is None:
            self.acts.append(lambda: exchange.set_circuit_breaker(name, None))
        else:
            share, window, phase = breaker.share, breaker.window, breaker.phase
            self.acts.append(
                lambda: exchange.set_circuit_breaker(
                    name, share, window=window, phase=phase
                )
            )

    def _gateway(self, path: Path) -> None:
        if path[1] == "jitter":
            self.problems[path] = "latencies are drawn ahead"
            return
        gateway, settings = self.world.gateway, self.new.gateway

        def act() -> None:
            if settings.rate != gateway.settings.rate:
                gateway.rate = settings.rate
            gateway.settings = settings

        self.acts.append(act)

    def _transfers(self) -> None:
        channel, settings = self.world.channel, self.new.transfers
        if settings.open != channel.settings.open:
            channel.open = settings.open
        channel.settings = settings

    def _oracles(self, assets: Sequence[Any]) -> None:
        exchange, given = self.world.exchange, self.new.oracles
        spot = exchange.units.spot_pairs()
        rules = {a: given.get(a, default_rule(a, spot)) for a in assets}
        self.acts.append(lambda: exchange.set_oracles(rules))

    # -- SHOCKS

    def _shocks(self, path: Path) -> None:
        old, new, world = self.old.shocks, self.new.shocks, self.world
        if len(old) != len(new):
            self.problems["shocks",] = "none comes or goes"
            return
        for i, (before, after) in enumerate(zip(old, new, strict=True)):
            place: Path = ("shocks", i)
            if before == after:
                continue
            if {before.kind, after.kind} - {*OUTSIDE_KINDS}:
                self.problems[place] = (
                    "the account and the money of a shock that sends orders are there "
                    "from the start; send others through sim.exchange"
                )
            elif int(after.at * SECOND) <= world.now:
                self.problems[place] = f"it is {world.now / SECOND:g} s already"
            elif self._entry(before) is None:
                self.problems[place] = "it has struck"
            else:
                self.acts.append(partial(self._put, before, after))

    def _entry(self, shock: "Shock") -> int | None:
        # Where on the clock a shock is that has not struck.
        for i, (_, _, _, action) in enumerate(self.world.timeline):
            # Another change may have made it anew: it is not the same, but alike.
            if isinstance(action, Strike) and action.shock == shock:
                return i
        return None

    def _put(self, before: "Shock", after: "Shock") -> None:
        timeline, at = self.world.timeline, self._entry(before)
        assert at is not None
        _, priority, number, _ = timeline[at]
        strike = Strike(self.world, after, None)
        timeline[at] = int(after.at * SECOND), priority, number, strike
        heapify(timeline)

    # -- RULES

    def _rules(self) -> None:
        old, new = self.world.exchange.rules, build_rules(self.new.rules)
        for path, *_ in differences(old, new, ()):
            place = ".".join(map(str, path))
            for fixed, why in FIXED_RULES.items():
                if place == fixed or place.startswith(f"{fixed}."):
                    self.problems["rules", *path] = why
        self.acts.append(lambda: adopt_rules(self.world, new))


def adopt_rules(world: "World", rules: Rules) -> None:
    """Put other rules in force; accounts in liquidation stay in it."""
    exchange, board = world.exchange, world.exchange.prices.mark_board
    old, running = exchange.rules, exchange.liquidator
    # What accounts were worth before is what a breach is blamed on.
    running.scan(world.now)
    risk = exchange.risk_under(rules)
    risk.set_prices(*exchange.prices.risk_prices())
    risk.skipping = exchange.risk.skipping
    for account in running.cases:
        risk.freeze(account, True)
    world.refused_before += exchange.risk.refused
    exchange.risk = exchange.ledger.gate = risk
    board.rule = attrs.evolve(
        board.rule, policy=rules.mark.policy, basis_s=rules.mark.basis_s
    )
    exchange.rules = rules
    exchange.liquidator = renewed(
        running, Liquidator(exchange, old), Liquidator(exchange, rules)
    )
    exchange.prices.rule_event = exchange.log.add("rule", world.now, text="rules")
    world.set_cycle(int(rules.liquidation.cycle_s * SECOND))


def renewed(running: Liquidator, before: Liquidator, after: Liquidator) -> Liquidator:
    """Return one under other rules that goes on where another is.

    ``before`` and ``after`` are new, under the old rules and the others: what is the
    same in both comes from no rule, and is taken over from the one that runs.
    """
    for name in ("", *PARTS):
        olds, news, state = (
            vars(getattr(one, name) if name else one)
            for one in (before, after, running)
        )
        for key, value in news.items():
            if key not in ("venue", "rules", *PARTS) and _same(olds[key], value):
                news[key] = state[key]
    after.deleveraging.start()
    return after


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == object or bool(np.array_equal(one, other, equal_nan=True))
    return bool(one == other)
