"""The state of a simulation is plain data: what each participant has to keep to."""

import functools
import gc
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashwick as fw
from flashwick.engine.agents import Agent
from flashwick.engine.defi.user import User
from flashwick.engine.simulation import World
from flashwick.engine.state import Kept, copied, fix, is_frozen, put_together, taken
from tests.worlds import SMALL

ATOMS = (int, float, str, bytes, type(None), types.ModuleType, type)


def members(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a thing holds, by name; nothing of what never changes."""
    kind = type(thing)
    if is_frozen(kind) or kind is Kept or isinstance(thing, np.ndarray):
        return
    if isinstance(thing, dict):
        yield from ((f"[{key!r}]", value) for key, value in thing.items())
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from ((f"[{i}]", value) for i, value in enumerate(thing))
    elif isinstance(thing, types.MethodType):
        yield ".__self__", thing.__self__
    elif isinstance(thing, functools.partial):
        yield from (("()", thing.func), ("()", thing.args), ("()", thing.keywords))
    else:
        slots = [s for c in kind.__mro__ for s in getattr(c, "__slots__", ())]
        found = {s: getattr(thing, s) for s in slots if hasattr(thing, s)}
        found |= getattr(thing, "__dict__", {})
        yield from ((f".{name}", value) for name, value in found.items())


def reached(root: Any) -> Iterator[tuple[str, Any]]:
    """Everything that is reached from something, with the way to it."""
    seen: dict[int, Any] = {}
    todo = [("world", root)]
    while todo:
        path, thing = todo.pop()
        if id(thing) in seen or isinstance(thing, ATOMS):
            continue
        seen[id(thing)] = thing
        yield path, thing
        todo += [(path + name, value) for name, value in members(thing)]


@pytest.fixture(scope="module", params=["small-crash", "whole-chain", "usde-loop"])
def world(request: pytest.FixtureRequest) -> World:
    """A world in its middle, with every kind of participant."""
    scenario = SMALL if request.param == "small-crash" else fw.load(request.param)
    agents = [fw.Agent()] if scenario is SMALL else []
    simulation = scenario.start(seed=0, agents=agents)
    return simulation.run(0.4 * scenario.config.duration).world


def test_a_world_holds_no_closures_generators_or_views(world: World) -> None:
    """Neither on the clock nor in an attribute: copies of them would not be apart."""
    wrong = (types.FunctionType, types.GeneratorType, memoryview, types.CodeType)
    found = [
        path
        for path, thing in reached(world)
        if isinstance(thing, wrong)
        and (not isinstance(thing, types.FunctionType) or thing.__closure__)
    ]
    assert found == []


def test_no_two_arrays_share_memory_that_is_written_to(world: World) -> None:
    """Copied one by one, they would come apart."""
    arrays = []
    for path, thing in reached(world):
        if isinstance(thing, np.ndarray) and thing.flags.writeable and thing.size:
            start = thing.__array_interface__["data"][0]
            if thing.flags.c_contiguous:
                arrays.append((start, start + thing.nbytes, path))
    arrays.sort()
    ends, found = (0, ""), []
    for start, end, path in arrays:
        if start < ends[0]:
            found.append((ends[1], path))
        ends = max(ends, (end, path))
    assert found == []


def test_every_kind_of_participant_is_in_one_of_the_worlds() -> None:
    """So that what is asked of the worlds is asked of each class of agents."""
    worlds = [
        SMALL.start(agents=[fw.Agent()]).world,
        *(fw.load(name).start().world for name in ("whole-chain", "usde-loop")),
    ]
    there = {type(thing) for one in worlds for _, thing in reached(one)}

    def kinds(kind: type) -> Iterator[type]:
        for below in kind.__subclasses__():
            yield below
            yield from kinds(below)

    own = [k for k in kinds(Agent) if k.__module__.startswith("flashwick.")]
    # Those who act on the chain are of one base; two kinds of them are there.
    users = [k for k in own if issubclass(k, User) and k in there]
    assert len(users) >= 2
    own = [k for k in own if not k.__name__.startswith("_") and not issubclass(k, User)]
    assert len(own) >= 10
    missing = [k for k in own if k not in there and not kinds_of(k, there)]
    assert missing == []


def kinds_of(kind: type, there: set[type]) -> bool:
    """Whether a class is one for others to build on, of which one is there."""
    return any(issubclass(found, kind) for found in there)


def test_a_copy_of_a_world_reaches_nothing_of_the_other(world: World) -> None:
    """But what is frozen, and arrays that nobody can write to."""
    other = copied(world)
    mine = {id(thing): path for path, thing in reached(world)}
    shared = []
    for path, thing in reached(other):
        frozen = is_frozen(type(thing)) or isinstance(thing, Kept | types.FunctionType)
        fixed = isinstance(thing, np.ndarray) and not thing.flags.writeable
        empty = isinstance(thing, tuple | frozenset) and not thing
        dtype = isinstance(thing, np.dtype | np.generic)
        builtin = isinstance(thing, types.BuiltinFunctionType)
        if id(thing) in mine and not (frozen or fixed or empty or dtype or builtin):
            shared.append((path, mine[id(thing)]))
    assert shared == []
    del other
    gc.collect()


def test_arrays_are_fixed_to_the_last_base() -> None:
    """A view that cannot be written to is shared only if its base cannot either."""
    base = np.arange(10)
    view = base[2:5]
    view.flags.writeable = False
    assert copied([view])[0] is not view
    fix(view)
    assert not base.flags.writeable
    assert copied([view])[0] is view


def test_what_is_frozen_is_shared_and_its_likes_elsewhere_are_not() -> None:
    """A frozen class of somebody else may hold what is not."""
    rule = fw.IndexRule(policy="fixed", value=1.0)
    assert copied({"a": rule})["a"] is rule


def test_the_same_thing_in_two_places_is_the_same_in_a_copy() -> None:
    """In memory and from a file."""
    array = np.arange(3)
    for copy in (copied([array, array]), put_together(*read([array, array]))):
        assert copy[0] is copy[1]
        assert copy[0] is not array
        copy[0][0] = 7
    assert array[0] == 0


def read(thing: Any) -> tuple[bytes, list[bytearray]]:
    """What a file would give of a thing."""
    text, buffers = taken(thing)
    return text, [bytearray(buffer.raw()) for buffer in buffers]


# -- KERNELS

SCRATCH = {
    "_rows.pxd": {"changes", "n_changes", "reader"},
    "_boards.pxd": {"kept", "now", "opening"},
    "_worst.pxd": {"net", "flow", "cost", "turn", "ruled"},
    "_valuation.pxd": {
        "columns", "columns_at", "columns_seen", "order", "n_ordered", "n_passes",
    },
    "_skipping.pxd": {
        "base", "edges", "asset_level", "market_level", "swing", "gross", "found",
        "found_health", "n_found", "found_max",
    },
    "_seats.pxd": {"seats", "epoch", "multiple"},
    "risk.pxd": {"elsewhere"},
    # Queues last for a cycle of liquidations, and no fork is within one.
    "ranks.pxd": {
        "risk", "ranking", "prices", "memory", "queues", "since", "changes", "popped",
        "popped_max", "n_queues", "measured",
    },
    "_state.pxd": {"reading", "small", "large", "objects", "memory", "at", "left",
                   "large_at", "object_at"},
}  # fmt: skip
"""Fields that are made anew when a kernel is read: room to work in, and caches."""


def test_every_field_of_a_kernel_is_visited_or_made_anew() -> None:
    """A field that its `visit` forgets would be lost by a fork without a word."""
    folder = Path(__file__).parents[2] / "cython_ext"
    missing = []
    for header in sorted(folder.glob("*.pxd")):
        for name, fields in fields_of(header.read_text()).items():
            source = header.with_suffix(".pyx")
            code = source.read_text() if source.exists() else ""
            at = code.find("int visit(self, State state)")
            body = code[at : code.find("\n    # --", at)] if at >= 0 else ""
            known = SCRATCH.get(header.name, set())
            missing += [
                f"{header.name}: {name}.{field}"
                for field in sorted(fields - known)
                if f"self.{field}" not in body
            ]
    assert missing == []


def fields_of(text: str) -> dict[str, set[str]]:
    """The fields of each class that a .pxd file declares."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        code = line.split("#")[0].rstrip()
        if code.startswith("cdef class "):
            name = code.split()[2].split("(")[0].rstrip(":")
            found[name] = set()
        elif code and not code.startswith(" "):
            name = ""
        elif (
            name
            and code.startswith("    cdef ")
            and "(" not in code
            and not code.endswith(":")
        ):
            last = code.split()[-1]
            found[name].add(last.split("[")[0].lstrip("*"))
    return {name: fields for name, fields in found.items() if fields}
