"""What must hold in the tables of those who use protocols."""

from collections.abc import Generator, Iterator
from typing import Any

from ...margin.presets import shown
from ..arguments import suggest
from ..defi.building import PLACES
from .draft import Draft, unknown
from .drawing import distribution_faults
from .limits import SECONDS_MAX
from .location import Path
from .place_checks import Check, assets, book, fits, known, ordered, trades
from .step_checks import steps
from .structure import Fault, amount

MEMBERS_MAX = 10_000
"""Most members of one table of users; each is looked at in every block."""


def _members(path: Path, users: Any) -> Iterator[Fault]:
    """How many there are, and how long they take to act."""
    if users.count > MEMBERS_MAX:
        text = f"must be at most {MEMBERS_MAX:,} (got {users.count:,})"
        yield Fault((*path, "count"), text)
    if users.delay is None:
        return
    yield from distribution_faults(users.delay, (*path, "delay"))
    for key in ("value", "least", "most"):
        seconds = getattr(users.delay, key)
        if seconds is not None and seconds > SECONDS_MAX:
            text = f"must be at most {amount(SECONDS_MAX)} (got {amount(seconds)})"
            yield Fault((*path, "delay", key), text)


def _loops(draft: Draft, path: Path, loops: Any) -> Iterator[Fault]:
    yield from known(draft, (*path, "on"), "lending", loops.on)
    yield from _members(path, loops)
    market = draft.parts.get("lending", {}).get(loops.on)
    low, high = loops.ltv
    most = 1.0 if market is None else market.lltv
    if not 0 < low <= high < most:
        text = f"must be two shares in order, above 0 and below {most:g}"
        yield Fault((*path, "ltv"), f"{text} (got {[low, high]})")
    if market is None:
        return
    yield from fits(draft, (*path, "collateral"), market.collateral, loops.collateral)
    pair = market.collateral, market.loan
    yield from trades(draft, (*path, "pool"), loops.pool, *pair)
    if loops.book is not None:
        yield from book(draft, (*path, "book"), loops.book, *pair)


def _loans(draft: Draft, path: Path, loans: Any) -> Iterator[Fault]:
    yield from assets(draft, path, loans, "collateral", "loan")
    yield from ordered(path, loans, "initial", "call", "liquidate")
    yield from _members(path, loans)
    low, high = loans.ltv
    if not 0 < low <= high < loans.liquidate:
        text = f"must be two shares in order, above 0 and below {loans.liquidate:g}"
        yield Fault((*path, "ltv"), f"{text} (got {[low, high]})")
    market = f"{loans.collateral}/{loans.loan}"
    if market not in draft.names("markets"):
        text = f"needs the market {market} to be sold in; add it"
        yield Fault((*path, "collateral"), text)
    if loans.loop is None:
        return
    yield from known(draft, (*path, "loop"), "loops", loans.loop)
    loop = draft.parts.get("loops", {}).get(loans.loop)
    if loop is None:
        return
    if loop.count < loans.count:
        text = f"must have as many members, {loans.count} (got {loop.count})"
        yield Fault((*path, "loop"), text)
    other = draft.parts.get("lending", {}).get(loop.on)
    if other is not None and other.loan != loans.loan:
        text = f"must raise {loans.loan} (got one that borrows {other.loan})"
        yield Fault((*path, "loop"), text)


def _liquidators(draft: Draft, path: Path, bots: Any) -> Iterator[Fault]:
    lending = draft.parts.get("lending", {})
    shared = draft.parts.get("lending_pools", {})
    names = [*draft.names("lending"), *draft.names("lending_pools")]
    if bots.on not in names:
        yield Fault((*path, "on"), unknown("a lending market", bots.on, names))
        return
    if bots.on in lending:
        pair = lending[bots.on].collateral, lending[bots.on].loan
    elif bots.on in shared:
        pair = bots.give or "", bots.get or ""
        for key, asset in zip(("give", "get"), pair, strict=True):
            if asset not in shared[bots.on].reserves:
                text = f"must be a reserve of {bots.on} (got {shown(asset or None)})"
                yield Fault((*path, key), text)
    else:
        return
    if (bots.pool is None) == (bots.book is None):
        got = "neither" if bots.pool is None else "both"
        yield Fault(path, f"must have either pool or book to sell in (got {got})")
    if bots.pool is not None:
        yield from trades(draft, (*path, "pool"), bots.pool, *pair)
    if bots.book is not None:
        yield from book(draft, (*path, "book"), bots.book, *pair)
        if bots.money <= 0:
            yield Fault((*path, "money"), "must be above 0: the book pays later")
    yield from fits(draft, (*path, "money"), pair[1], bots.money)


def _redeemers(draft: Draft, path: Path, dealers: Any) -> Iterator[Fault]:
    yield from known(draft, (*path, "issuer"), "issuers", dealers.issuer)
    issuer = draft.parts.get("issuers", {}).get(dealers.issuer)
    if issuer is not None:
        pair = issuer.token, issuer.stable
        yield from book(draft, (*path, "book"), dealers.book, *pair)
        yield from fits(draft, (*path, "money"), issuer.stable, dealers.money)


def _cycles(draft: Draft, path: Path, cycles: Any) -> Iterator[Fault]:
    yield from assets(draft, path, cycles, "asset")
    yield from fits(draft, (*path, "most"), cycles.asset, cycles.most)
    yield from steps(draft, (*path, "steps"), cycles.steps)
    if not cycles.steps:
        yield Fault((*path, "steps"), "must have at least one")
    if cycles.book is None:
        for key in ("money", "keep"):
            if key in draft.document["cycles"][path[1]]:
                text = "does not apply without book, where the last asset is sold"
                yield Fault((*path, key), text)
        return
    yield from fits(draft, (*path, "money"), cycles.asset, cycles.money)
    if cycles.money <= 0:
        yield Fault((*path, "money"), "must be above 0: the book pays later")
    quote = yield from sold_in(draft, path, cycles.book)
    if quote is not None and quote != cycles.asset:
        text = f"must be a market in {cycles.asset}, which the circle is of"
        yield Fault((*path, "book"), f"{text} (got {cycles.book!r})")


def sold_in(draft: Draft, path: Path, name: str) -> Generator[Fault, None, str | None]:
    """Whether a key ``book`` names a spot market; returns its quote asset."""
    spec = draft.spec(name)
    if name not in draft.names("markets"):
        yield Fault((*path, "book"), unknown("a market", name, draft.names("markets")))
    elif spec is not None and spec.perpetual:
        yield Fault((*path, "book"), f"must be a spot market (got {name!r})")
    elif spec is not None:
        return spec.quote
    return None


def _runners(draft: Draft, path: Path, runners: Any) -> Iterator[Fault]:
    if (runners.below is None) == (runners.above is None):
        got = "neither" if runners.below is None else "both"
        yield Fault(path, f"must have either below or above (got {got})")
    yield from _members(path, runners)
    for key in ("below", "above"):
        drawn = getattr(runners, key)
        if drawn is not None:
            yield from distribution_faults(drawn, (*path, key))
    for asset, units in runners.holds.items():
        here = (*path, "holds", asset)
        yield from known(draft, here, "assets", asset)
        yield from fits(draft, here, asset, units)
    table, _, rest = runners.watch.partition(".")
    name = rest.partition(".")[0]
    tables = ("feeds", *PLACES)
    if table not in tables or name not in draft.names(table) or "." not in rest:
        words = [f"{t}.{n}.price" for t in ("feeds", "pools") for n in draft.names(t)]
        words += [f"lending.{n}.utilisation" for n in draft.names("lending")]
        text = f"{runners.watch!r} is not a figure of the chain"
        yield Fault((*path, "watch"), text + suggest(runners.watch, words))
    yield from steps(draft, (*path, "steps"), runners.steps)
    yield from steps(draft, (*path, "start"), runners.start)
    if runners.book is not None:
        yield from sold_in(draft, path, runners.book)
    elif not runners.steps:
        yield Fault((*path, "steps"), "must have at least one, or a book to sell in")


USER_CHECKS: dict[str, Check] = {
    "loops": _loops,
    "loans": _loans,
    "liquidators": _liquidators,
    "redeemers": _redeemers,
    "cycles": _cycles,
    "runners": _runners,
}
"""What is checked of each entry of a table."""
