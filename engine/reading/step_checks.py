"""What must hold in the steps of a transaction: actions, places, assets."""

from collections.abc import Iterator
from typing import Any

from ..arguments import suggest
from ..defi.building import PLACES
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
}
"""What can be done at a place of each table."""

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
    elif step.do not in ACTIONS[table]:
        known = ACTIONS[table]
        text = f"{step.do!r} is nothing to do at {step.on}{suggest(step.do, known)}"
        yield Fault((*path, "do"), f"{text} ({', '.join(known)})")


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
    feeds = draft.names("feeds")
    if shock.feed is not None and shock.feed not in feeds:
        yield Fault((*path, "feed"), unknown("a feed", shock.feed, feeds))
