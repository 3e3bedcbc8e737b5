"""What must hold in the steps of a transaction: actions, places, assets."""

from collections.abc import Iterator
from typing import Any

from ..arguments import suggest
from ..defi.building import PLACES
from ..defi.terra import TERMS
from .draft import Draft, unknown
from .location import Path
from .structure import Fault

ACTIONS: dict[str, tuple[str, ...]] = {
    "pools": ("swap", "add", "remove"),
    "lending": (
        "supply",
        "withdraw",
        "borrow",
        "repay",
        "pledge",
        "release",
        "liquidate",
    ),
    "lending_pools": (
        "supply",
        "withdraw",
        "borrow",
        "repay",
        "enter_mode",
        "liquidate",
    ),
    "vaults": ("deposit", "withdraw"),
    "issuers": ("mint", "redeem"),
    "staking": ("stake", "unstake", "claim"),
    "stables": ("mint", "redeem", "sell", "buy", "swap"),
    "savings": ("deposit", "withdraw"),
}
"""What can be done at a place of each table."""

OF_KIND: dict[str, tuple[str, ...]] = {
    "concentrated": ("swap",),
    "coin": ("stake", "unstake"),
    "fractional": ("mint", "redeem"),
    "reserve": ("redeem",),
    "peg_module": ("sell", "buy"),
    "terra": ("swap",),
}
"""What can be done at places of a kind that take less than their table."""

GENERAL = ("flash", "send")
"""What needs no place."""


def steps(draft: Draft, path: Path, wanted: tuple[Any, ...]) -> Iterator[Fault]:
    """Everything that is wrong with steps."""
    for i, step in enumerate(wanted):
        yield from _step(draft, (*path, i), step)


def _step(draft: Draft, path: Path, step: Any) -> Iterator[Fault]:
    for key in ("give", "get"):
        word = getattr(step, key)
        mode = step.do == "enter_mode" and key == "give"
        if word is not None and not mode and word not in draft.names("assets"):
            yield Fault((*path, key), unknown("an asset", word, draft.names("assets")))
    if step.least and step.do != "swap":
        text = f"does not apply to {step.do!r}, only to a swap"
        yield Fault((*path, "least"), text)
    if step.do in GENERAL:
        if step.give is None:
            yield Fault((*path, "give"), f"must be given to {step.do}")
        if step.do == "flash" and step.amount is None:
            yield Fault((*path, "amount"), "must be given for a flash loan")
        if step.do == "send" and step.to is None:
            yield Fault((*path, "to"), "must be given to send something")
        return
    table, _, name = (step.on or "").partition(".")
    places = [f"{t}.{n}" for t in PLACES for n in draft.names(t)]
    if step.on is None:
        near = suggest(step.do, (*GENERAL, *_every()))
        text = f"must name a place (got none to {step.do!r} at{near})"
        yield Fault((*path, "on"), text)
    elif table not in PLACES or name not in draft.names(table):
        yield Fault((*path, "on"), unknown("a place", step.on, places))
    elif step.do not in (known := _actions(draft, table, name)):
        text = f"{step.do!r} is nothing to do at {step.on}{suggest(step.do, known)}"
        yield Fault((*path, "do"), text)
    elif step.do == "swap":
        yield from _swapped(draft, path, step)


def _swapped(draft: Draft, path: Path, step: Any) -> Iterator[Fault]:
    table, _, name = step.on.partition(".")
    place = draft.parts.get(table, {}).get(name)
    if place is None:
        return
    pool = table == "pools"
    names = (*place.reserves, *place.assets) if pool else (place.coin, place.share)
    for key in ("give", "get"):
        word = getattr(step, key)
        if word in draft.names("assets") and word not in names:
            text = f"must be one of {', '.join(map(str, names))} at {step.on}"
            yield Fault((*path, key), f"{text} (got {word!r})")
    if pool and step.give is None:
        yield Fault((*path, "give"), f"must be given to a swap at {step.on}")


def _actions(draft: Draft, table: str, name: str) -> tuple[str, ...]:
    place = draft.parts.get(table, {}).get(name)
    return OF_KIND.get(getattr(place, "kind", ""), ACTIONS[table])


def _every() -> list[str]:
    return [action for actions in ACTIONS.values() for action in actions]


def holder(draft: Draft, path: Path, who: str | None) -> Iterator[Fault]:
    """Whether somebody is a wallet, or an account of another table by its name."""
    if who is not None and "." not in who and who not in draft.names("wallets"):
        yield Fault(path, unknown("a wallet", who, draft.names("wallets")))


def transaction(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    """What is wrong with a shock that is a transaction."""
    yield from holder(draft, (*path, "who"), shock.who)
    if not shock.steps:
        yield Fault((*path, "steps"), "must have at least one")
    yield from steps(draft, (*path, "steps"), shock.steps)


def vote(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    """What is wrong with a shock that is a vote."""
    feeds, given = draft.names("feeds"), draft.document["shocks"][path[1]]
    if shock.feed is not None and shock.feed not in feeds:
        yield Fault((*path, "feed"), unknown("a feed", shock.feed, feeds))
    pairs = {"feed": "price", "asset": "price", "on": "set"}
    chosen = [key for key in pairs if key in given]
    if len(chosen) != 1:
        text = "must have one of feed, asset and on"
        yield Fault(path, f"{text} (got {' and '.join(chosen) or 'none'})")
        return
    if given.get("set") == {}:
        yield Fault((*path, "set"), f"must have at least one of {', '.join(TERMS)}")
    for key in ("price", "set"):
        if (key in given) != (pairs[chosen[0]] == key):
            must = "not " if key in given else ""
            yield Fault((*path, key), f"must {must}be given beside {chosen[0]}")
    if shock.on is not None:
        yield from _terms(draft, path, shock)


def _terms(draft: Draft, path: Path, shock: Any) -> Iterator[Fault]:
    rules = draft.parts.get("stables", {})
    places = [f"stables.{name}" for name, r in rules.items() if r.kind == "terra"]
    if shock.on not in places:
        text = f"must be a stable coin of kind 'terra' (got {shock.on!r})"
        yield Fault((*path, "on"), text + suggest(shock.on, places))
    for name, value in shock.set.items():
        here = (*path, "set", name)
        if name not in TERMS:
            yield Fault(here, f"{name!r} is not a term{suggest(name, TERMS)}")
        elif name == "spread" and not 0.0 <= value < 1.0:
            yield Fault(here, f"must be from 0 to below 1 (got {value:g})")
        elif name != "spread" and value < 1.0:
            yield Fault(here, f"must be at least 1 (got {value:g})")
        elif name == "recovery" and value != int(value):
            yield Fault(here, f"must be a whole number of blocks (got {value:g})")
