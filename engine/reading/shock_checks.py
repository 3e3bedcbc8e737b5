"""What must hold in the timeline of a scenario: each shock by its kind."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from ...margin.markets import MarketError, MarketSpec
from ..arguments import suggest
from .draft import SENDERS, Draft, unknown, without_name
from .limits import ATOMS_MAX, MOST, SECONDS_MAX, STEPS_MAX
from .location import Path
from .step_checks import transaction, vote
from .structure import Fault, amount

FIELDS = {
    "order": ("market", "side", "qty", "usd", "over", "slices"),
    "flow": (
        "markets",
        "weights",
        "side",
        "usd",
        "over",
        "profile",
        "slices",
        "dispersion",
    ),
    "outside": ("asset", "move"),
    "path": ("asset", "points"),
    "transfers": ("open", "way"),
    "gateway": ("rate", "classes", "latency", "reject"),
    "transaction": ("who", "steps", "over", "slices"),
    "vote": ("feed", "asset", "price", "on", "set"),
}
"""What each kind of shock takes beside ``at``, ``kind`` and ``note``."""

REQUIRED = FIELDS | {
    "order": ("market",),
    "flow": ("usd",),
    "transfers": ("open",),
    "gateway": (),
    "transaction": ("who", "steps"),
    "vote": (),
}
"""What it cannot do without."""

_WITH_ARTICLE = {"market": "a market", "asset": "an asset"}


def shocks(draft: Draft) -> Iterator[Fault]:
    """Everything that is wrong with the shocks."""
    duration = draft.parts.get("duration", SECONDS_MAX)
    known = {"market": draft.names("markets"), "asset": draft.names("assets")}
    late = [(p, s.at) for p, s in draft.records("shocks") if s.at > duration]
    for path, at in late[:1]:
        text = f"must be at most the duration, {amount(duration)} (got {amount(at)})"
        others = f"; so must that of {len(late) - 1:,} more" if late[1:] else ""
        yield Fault((*path, "at"), text + others)
    every = [name for names in FIELDS.values() for name in names]
    for path, shock in draft.records("shocks"):
        given = draft.document["shocks"][path[1]]
        wanted = FIELDS[shock.kind]
        for key in given:
            if key in every and key not in wanted:
                text = f"does not apply to a shock of kind {shock.kind!r}"
                yield Fault((*path, key), f"{text} ({', '.join(wanted)})")
        for key in REQUIRED[shock.kind]:
            if key not in given:
                text = f"must be given for a shock of kind {shock.kind!r}"
                yield Fault((*path, key), text)
        for key, names in known.items():
            word = given.get(key)
            if key in wanted and isinstance(word, str) and word not in names:
                yield Fault((*path, key), unknown(_WITH_ARTICLE[key], word, names))
        if shock.kind in _CHECKS:
            yield from _CHECKS[shock.kind](draft, path, shock)


# -- ORDERS


def _order(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    given = draft.document["shocks"][path[1]]
    if ("qty" in given) == ("usd" in given):
        got = "both" if "qty" in given else "neither"
        yield Fault(path, f"must have either qty or usd (got {got})")
    spec = draft.spec(shock.market or "")
    key = "qty" if "qty" in given else "usd"
    size = getattr(shock, key)
    if spec is None or size is None:
        return
    try:
        usd = draft.parts["assets"][spec.base].price * float(spec.lot)
        lots = spec.lots(size) if key == "qty" else int(size / usd)
    except MarketError as error:
        yield Fault((*path, "qty"), without_name(spec.name, error))
        return
    if lots == 0:
        text = f"must be at least a lot, {amount(usd)} (got {amount(size)})"
        yield Fault((*path, key), text)
    elif lots < shock.slices:
        text = f"must be at most the {lots} lots of the order (got {shock.slices})"
        yield Fault((*path, "slices"), text)
    atoms = _atoms(draft, spec, lots)
    if atoms > ATOMS_MAX:
        text = f"is {atoms:.3g} atoms, at most {ATOMS_MAX:.3g}; lower it"
        yield Fault((*path, key), f"{text} (got {size!r})")


def _atoms(draft: Draft, spec: MarketSpec, lots: float) -> float:
    """Atoms of base or of quote, whichever are more, of so many lots."""
    ticks = max(draft.price(spec) / float(spec.tick), 1.0)
    return lots * max(spec.base_unit, ticks * spec.quote_unit)


def _flow(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    if bool(shock.markets) == bool(shock.weights):
        got = "both" if shock.markets else "neither"
        yield Fault(path, f"must have either markets or weights (got {got})")
        return
    names, table = draft.names("markets"), draft.parts.get("markets", {})
    found = True
    for place, name in (
        *((("markets", i), name) for i, name in enumerate(shock.markets)),
        *((("weights", name), name) for name in shock.weights),
    ):
        market, weight = table.get(name), shock.weights.get(name, 0.0)
        text = None
        if name not in names:
            text = unknown("a market", name, names)
        elif market is None:
            found = False
        elif place[0] == "markets" and name in shock.markets[: int(place[1])]:
            text = f"{name!r} is named twice"
        elif place[0] == "weights" and weight < 0:
            text = f"must be at least 0 (got {amount(weight)})"
        elif len(shock.markets) > 1 and market.volume_usd is None:
            text = f"{name} needs a volume_usd, by which the flow is shared out; or "
            text += "give weights in place of markets"
        if text is not None:
            found = False
            whole, last = (*path, place[0]), place[1]
            here = draft.entry(whole, last) if isinstance(last, int) else (*whole, last)
            yield Fault(here, text)
    if found and shock.weights and not sum(shock.weights.values()) > 0:
        yield Fault((*path, "weights"), "must have at least one above 0")
    elif found and shock.usd is not None:
        yield from _shares(draft, path, shock)
    if shock.profile and shock.over:
        yield Fault((*path, "over"), "does not apply beside profile, which says when")
    yield from _profile((*path, "profile"), shock.profile)
    orders = shock.slices * len(shock.markets or shock.weights)
    if orders > STEPS_MAX:
        text = f"{orders:.3g} orders in all, at most {STEPS_MAX:,}"
        yield Fault((*path, "slices"), f"{text} (got {shock.slices:,}); lower it")


def _shares(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    """Whether what each market gets is something, and not too much."""
    table = draft.parts["markets"]
    weights = shock.weights or {
        name: table[name].volume_usd or 1.0 for name in shock.markets
    }
    whole, lots = sum(weights.values()), 0.0
    for name, weight in weights.items():
        spec = draft.spec(name)
        if spec is None:
            return
        usd_lot = draft.parts["assets"][spec.base].price * float(spec.lot)
        own = shock.usd * weight / whole / usd_lot
        lots = max(lots, own)
        atoms = _atoms(draft, spec, own)
        if atoms > ATOMS_MAX:
            text = f"is {atoms:.3g} atoms in {name}, at most {ATOMS_MAX:.3g}"
            yield Fault((*path, "usd"), f"{text}; lower it (got {amount(shock.usd)})")
    if lots < 1.0:
        text = "must be at least a lot in one of the markets"
        yield Fault((*path, "usd"), f"{text} (got {amount(shock.usd)})")


def _profile(path: Path, points: Sequence[tuple[float, float]]) -> Iterator[Fault]:
    if not points:
        return
    yield from _in_order(path, points)
    for i, (_, rate) in enumerate(points):
        if rate < 0:
            yield Fault((*path, i), f"must have a rate of at least 0 (got {rate:g})")
    if not any(b[0] > a[0] and max(a[1], b[1]) > 0 for a, b in pairwise(points)):
        text = "must have at least two points in time, and a rate above 0"
        yield Fault(path, f"{text} (got {[list(point) for point in points]})")


def _in_order(path: Path, points: Sequence[tuple[float, float]]) -> Iterator[Fault]:
    before = 0.0
    for i, (seconds, _) in enumerate(points):
        if seconds < before:
            text = f"must be at {before:g} s or later, like the point before"
            yield Fault((*path, i), f"{text} (got {seconds:g})")
        elif seconds > SECONDS_MAX:
            text = f"must be at {amount(SECONDS_MAX)} s or earlier"
            yield Fault((*path, i), f"{text} (got {amount(seconds)})")
        before = max(before, seconds)


# -- PRICES OUTSIDE AND THE GATEWAY


def _path(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    here = (*path, "points")
    if "points" in draft.document["shocks"][path[1]] and not shock.points:
        yield Fault(here, "must have at least one point, [seconds, move]")
    yield from _in_order(here, shock.points)
    for i, (_, move) in enumerate(shock.points):
        if not -1 < move <= MOST["move"]:
            text = f"must have a move above -1 and at most {MOST['move']:g}"
            yield Fault((*here, i), f"{text} (got {move:g})")


def _gateway(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    wanted = ("rate", "latency", "reject")
    if all(getattr(shock, key) is None for key in wanted):
        yield Fault(path, "must have at least one of rate, latency, reject")
    elif shock.classes and shock.latency is None and shock.reject is None:
        text = "needs a latency or reject of theirs; the rate is that of all"
        yield Fault((*path, "classes"), text)
    gateway = draft.parts.get("gateway")
    latency = gateway.latency if gateway else {}
    for i, name in enumerate(shock.classes):
        here = (*path, "classes", i)
        if name not in SENDERS:
            text = f"{name!r} is not a table that sends orders"
            yield Fault(here, text + suggest(name, SENDERS))
        elif name in shock.classes[:i]:
            yield Fault(here, f"{name!r} is named twice")
        elif shock.latency is not None and not latency.get(name):
            text = f"{name!r} has no latency that a factor could change; give it one"
            yield Fault(here, f"{text} in gateway.latency")
    longest = max(latency.values(), default=0.0) * (shock.latency or 0.0)
    if longest > SECONDS_MAX:
        text = f"makes {longest:.3g} s of the longest latency, at most"
        yield Fault((*path, "latency"), f"{text} {amount(SECONDS_MAX)}; lower it")


_CHECKS = {
    "order": _order,
    "flow": _flow,
    "path": _path,
    "gateway": _gateway,
    "transaction": transaction,
    "vote": vote,
}
