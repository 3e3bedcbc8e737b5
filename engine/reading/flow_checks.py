"""What must hold in the tables of those who arbitrage, wait, or sell late."""

from collections.abc import Iterator
from contextlib import suppress
from math import fsum
from typing import Any

from ...margin.markets import MarketError, parse_name
from ..arguments import suggest
from .draft import Draft, unknown
from .drawing import distribution_faults
from .limits import ATOMS_MAX, SECONDS_MAX
from .location import Path
from .structure import Fault, amount


def by_depth(draft: Draft, path: Path, group: Any) -> Iterator[Fault]:
    """Markets without the depth of which something is a share."""
    if getattr(group, "share", None) is not None:
        for i, name in enumerate(group.markets):
            market = draft.parts.get("markets", {}).get(name)
            if market is not None and market.depth_usd is None:
                text = (
                    f"needs the depth_usd of {name} to take a share of; give it there"
                )
                yield Fault(draft.entry((*path, "markets"), i), text)


def arbitrage(draft: Draft, path: Path, group: Any) -> Iterator[Fault]:
    """Coins that it does not trade, issuers without terms, nothing to trade against."""
    bases, assets = [], []
    for name in group.markets:
        with suppress(MarketError):
            base, quote, _ = parse_name(name)
            bases.append(base)
            assets += [base, quote]
    for asset, usd in group.coins.items():
        here = (*path, "coins", asset)
        if asset not in assets:
            text = f"{asset!r} is no coin of its markets{suggest(asset, assets)}"
            yield Fault(here, text)
        if usd < 0:
            yield Fault(here, f"must be at least 0 (got {amount(usd)})")
    yield from _issuers(draft, path, getattr(group, "redeem", {}), bases)
    if path[0] == "cross_arbitrage" and bases and len(set(bases)) == len(bases):
        text = "must name two markets of one coin or more, to buy in one and sell in"
        yield Fault((*path, "markets"), f"{text} the other")


def _issuers(
    draft: Draft, path: Path, redeem: dict[str, float], bases: list[str]
) -> Iterator[Fault]:
    rules = draft.parts.get("oracles", {})
    for asset, seconds in redeem.items():
        here, rule = (*path, "redeem", asset), rules.get(asset)
        if asset not in bases:
            text = f"{asset!r} is not the base of one of its markets"
            yield Fault(here, text + suggest(asset, bases))
        elif rule is None or rule.ratio is None or rule.underlying is None:
            text = "needs ratio and underlying in oracles." + asset
            yield Fault(here, f"{text}: what the issuer pays for it")
        elif rule.underlying not in draft.names("assets"):
            text = unknown("an asset", rule.underlying, draft.names("assets"))
            yield Fault(("oracles", asset, "underlying"), text)
        if not 0 <= seconds <= SECONDS_MAX:
            text = f"must be from 0 to {amount(SECONDS_MAX)}"
            yield Fault(here, f"{text} (got {amount(seconds)})")


def sellers(draft: Draft, path: Path, group: Any) -> Iterator[Fault]:
    """Coins that are shared out by volume, and when they are sold."""
    if bool(group.markets) != bool(group.held_usd):
        key = "held_usd" if group.markets else "markets"
        yield Fault((*path, key), f"must be given with {_OTHER[key]}, of which it is")
    table = draft.parts.get("markets", {})
    volumes = [getattr(table.get(m), "volume_usd", None) or 0.0 for m in group.markets]
    for i, name in enumerate(group.markets):
        here = draft.entry((*path, "markets"), i)
        if name.endswith(":PERP"):
            yield Fault(here, f"{name!r} is a perpetual; coins are sold in spot")
        elif (base := name.split("/")[0]) in group.assets:
            yield Fault(here, f"{base} is among its assets already")
        elif name in table and not volumes[i] and len(volumes) > 1:
            text = f"needs the volume_usd of {name} to share out by; give it there"
            yield Fault(here, text)
    whole = fsum(volumes) or 1.0
    for name, volume in zip(group.markets, volumes, strict=True):
        spec = draft.spec(name)
        if spec is not None:
            coin = draft.parts["assets"][spec.base]
            usd = group.held_usd * (volume / whole if len(volumes) > 1 else 1.0)
            atoms = usd / coin.price * 10.0**coin.decimals
            if atoms > ATOMS_MAX:
                text = f"is {atoms:.3g} atoms of {spec.base}, at most {ATOMS_MAX:.3g}"
                yield Fault((*path, "held_usd"), f"{text}; lower it")
    if path[0] == "whales":
        yield from _whales(draft, path, group)
    elif path[0] == "liquidation_bots" and not group.threshold < group.full:
        text = f"must be above threshold, {group.threshold:g}"
        yield Fault((*path, "full"), f"{text} (got {group.full:g})")


_OTHER = {"held_usd": "markets", "markets": "held_usd"}


def _whales(draft: Draft, path: Path, group: Any) -> Iterator[Fault]:
    if group.watch is not None and group.watch not in draft.names("assets"):
        text = unknown("an asset", group.watch, draft.names("assets"))
        yield Fault((*path, "watch"), text)
    for name in ("fall", "delay"):
        yield from distribution_faults(getattr(group, name), (*path, name))
    for key in ("value", "most"):
        seconds = getattr(group.delay, key)
        if seconds is not None and seconds > SECONDS_MAX:
            text = f"must be at most {amount(SECONDS_MAX)} (got {amount(seconds)})"
            yield Fault((*path, "delay", key), text)
    fall = group.fall
    for key in ("value", "median", "least"):
        share = getattr(fall, key)
        if share is not None and share >= 1:
            text = f"must be below 1, all of the price (got {amount(share)})"
            yield Fault((*path, "fall", key), text)
