"""What must hold in the tables of protocols and feeds: names, shares, amounts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ...margin.markets import MarketError, parse_name
from ..arguments import suggest
from .draft import Draft, unknown
from .limits import ATOMS_MAX, SECONDS_MAX
from .location import Path
from .structure import Fault, amount

ENTRIES = {
    "pools": "a pool",
    "feeds": "a feed",
    "lending": "a lending market",
    "lending_pools": "a lending pool",
    "issuers": "an issuer",
    "loops": "a table of loops",
    "wallets": "a wallet",
}


def known(draft: Draft, path: Path, table: str, word: str | None) -> Iterator[Fault]:
    """Whether a word names an entry of a table, or an asset."""
    what = ENTRIES.get(table, "an asset")
    if word is not None and word not in draft.names(table):
        yield Fault(path, unknown(what, word, draft.names(table)))


def assets(draft: Draft, path: Path, record: Any, *fields: str) -> Iterator[Fault]:
    """Whether fields name assets."""
    for field in fields:
        yield from known(draft, (*path, field), "assets", getattr(record, field))


def fits(draft: Draft, path: Path, asset: str | None, units: float) -> Iterator[Fault]:
    """Whether so many units of an asset are at least 0, and not too many atoms."""
    coin = draft.parts.get("assets", {}).get(asset or "")
    if units < 0:
        yield Fault(path, f"must be at least 0 (got {amount(units)})")
    elif coin is not None and units * 10.0**coin.decimals > ATOMS_MAX:
        text = f"is {units * 10.0**coin.decimals:.3g} atoms of {asset}, at most"
        yield Fault(path, f"{text} {ATOMS_MAX:.3g}; lower it, or its decimals")


def ordered(path: Path, record: Any, *fields: str) -> Iterator[Fault]:
    """Whether each field is at most the next."""
    for low, high in pairwise(fields):
        a, b = getattr(record, low), getattr(record, high)
        if a > b:
            text = f"must be at most {high}, {amount(b)} (got {amount(a)})"
            yield Fault((*path, low), text)


def trades(draft: Draft, path: Path, pool: str, *wanted: str) -> Iterator[Fault]:
    """Whether a pool of the scenario has these assets."""
    yield from known(draft, path, "pools", pool)
    record = draft.parts.get("pools", {}).get(pool)
    if record is not None:
        has = tuple(record.reserves) or record.assets
        for asset in wanted:
            if asset not in has:
                text = f"must be a pool with {asset} (got {pool!r} of"
                yield Fault(path, f"{text} {', '.join(has) or 'nothing'})")


def book(draft: Draft, path: Path, name: str, base: str, quote: str) -> Iterator[Fault]:
    """Whether a name is that of the spot market of two assets, which there is."""
    if name != f"{base}/{quote}":
        yield Fault(path, f"must be the market {base}/{quote} (got {name!r})")
    elif name not in draft.names("markets"):
        yield Fault(path, unknown("a market", name, draft.names("markets")))


# -- PROTOCOLS


def _pool(draft: Draft, path: Path, pool: Any) -> Iterator[Fault]:
    concentrated = pool.kind == "concentrated"
    given = draft.document["pools"][path[1]]
    own = {
        "constant_product": ("reserves",),
        "stableswap": ("reserves", "amplification", "off_peg"),
        "concentrated": ("assets", "price", "ranges"),
    }[pool.kind]
    for key in ("reserves", "amplification", "off_peg", "assets", "price", "ranges"):
        if key in given and key not in own:
            text = f"does not apply to a pool of kind {pool.kind!r}"
            yield Fault((*path, key), f"{text} ({', '.join(own)})")
    names = pool.assets if concentrated else tuple(pool.reserves)
    where = (*path, "assets" if concentrated else "reserves")
    right = len(names) == 2 or (pool.kind == "stableswap" and len(names) > 2)
    if not right or len(set(names)) < len(names):
        many = "two or more" if pool.kind == "stableswap" else "two"
        yield Fault(
            where, f"must name {many} assets (got {', '.join(names) or 'none'})"
        )
    for i, name in enumerate(names):
        here = (*where, i) if concentrated else (*where, name)
        yield from known(draft, here, "assets", name)
    for asset, units in pool.reserves.items():
        if units <= 0:
            text = f"must be above 0: a pool needs some of each (got {amount(units)})"
            yield Fault((*where, asset), text)
        yield from fits(draft, (*where, asset), asset, max(units, 0.0))
    if concentrated:
        yield from _ranges(path, pool)


def _ranges(path: Path, pool: Any) -> Iterator[Fault]:
    if pool.price is None:
        yield Fault((*path, "price"), "must be given for a pool of kind 'concentrated'")
    if not pool.ranges:
        yield Fault((*path, "ranges"), "must have at least one, [from, to, worth]")
    for i, (low, high, worth) in enumerate(pool.ranges):
        if not 0 < low < high or worth <= 0:
            text = "must be two prices in order and a worth above 0"
            yield Fault((*path, "ranges", i), f"{text} (got {[low, high, worth]})")


def _feed(draft: Draft, path: Path, feed: Any) -> Iterator[Fault]:
    asset = feed.asset or str(path[1])
    where = path if feed.asset is None else (*path, "asset")
    yield from known(draft, where, "assets", asset)
    yield from assets(draft, path, feed, "quote")
    if not feed.sources:
        yield Fault((*path, "sources"), "must have at least one, with its weight")
    for source, weight in feed.sources.items():
        here = (*path, "sources", source)
        if weight <= 0:
            yield Fault(here, f"must have a weight above 0 (got {amount(weight)})")
        yield from _source(draft, here, source, asset)
    if feed.anchor is not None:
        yield from known(draft, (*path, "anchor"), "feeds", feed.anchor)
    if feed.clamp is not None and feed.drop is not None:
        yield Fault((*path, "drop"), "must not be given beside clamp")
    for key in ("window", "delay", "heartbeat", "breaker_window", "breaker_hold"):
        yield from _seconds((*path, key), getattr(feed, key))
    for key in ("stale", "vote_delay"):
        yield from _seconds((*path, key), getattr(feed, key) or 0.0)
    if feed.growth is not None and feed.cap is None:
        yield Fault((*path, "growth"), "needs cap, from which it grows")


def _seconds(path: Path, seconds: float) -> Iterator[Fault]:
    if seconds > SECONDS_MAX:
        text = f"must be at most {amount(SECONDS_MAX)} (got {amount(seconds)})"
        yield Fault(path, text)


def _source(draft: Draft, path: Path, source: str, asset: str) -> Iterator[Fault]:
    table, _, name = source.partition(".")
    if source in ("outside", "fixed"):
        return
    if table == "pools":
        yield from trades(draft, path, name, asset)
    elif table in ("feeds", "issuers", "staking", "vaults"):
        if name not in draft.names(table):
            words = [f"{table}.{word}" for word in draft.names(table)]
            yield Fault(path, unknown("a place", source, words))
    elif source in draft.names("markets"):
        with suppress(MarketError):
            base = parse_name(source)[0]
            if base != asset:
                yield Fault(path, f"must be a market of {asset} (got one of {base})")
    else:
        tables = ("pools", "feeds", "issuers", "staking", "vaults")
        words = [f"{t}.{n}" for t in tables for n in draft.names(t)]
        words += [*draft.names("markets"), "outside", "fixed"]
        text = f"{source!r} is not a source of prices{suggest(source, words)}"
        yield Fault(path, text)


def circles_of_feeds(draft: Draft) -> Iterator[Fault]:
    """Feeds that are made of themselves."""
    rules = draft.parts.get("feeds", {})
    after: Mapping[str, Sequence[str]] = {
        name: [
            *(s[6:] for s in rule.sources if s.startswith("feeds.")),
            *([rule.anchor] if rule.anchor else []),
        ]
        for name, rule in rules.items()
    }
    for name in after:
        seen, todo = set[str](), list(after[name])
        while todo:
            other = todo.pop()
            if other == name:
                text = "must not be made of itself, over other feeds either"
                yield Fault(("feeds", name, "sources"), text)
                break
            if other not in seen:
                seen.add(other)
                todo += after.get(other, ())


def _lending(draft: Draft, path: Path, market: Any) -> Iterator[Fault]:
    yield from assets(draft, path, market, "loan", "collateral")
    yield from known(draft, (*path, "feed"), "feeds", market.feed)
    if market.loan == market.collateral:
        text = f"must be another asset than loan (got {market.loan!r})"
        yield Fault((*path, "collateral"), text)
    yield from ordered(path, market, "rate_least", "rate", "rate_most")
    if market.fee > 0.25:
        yield Fault((*path, "fee"), f"must be at most 0.25 (got {amount(market.fee)})")
    for key in ("supplied", "least_loan"):
        yield from fits(draft, (*path, key), market.loan, getattr(market, key))


def _shared(draft: Draft, path: Path, pool: Any) -> Iterator[Fault]:
    if not pool.reserves:
        yield Fault((*path, "reserves"), "must have at least one")
    for asset, row in pool.reserves.items():
        here = (*path, "reserves", asset)
        yield from known(draft, here, "assets", asset)
        yield from known(draft, (*here, "feed"), "feeds", row.feed)
        yield from ordered(here, row, "ltv", "threshold")
        yield from ordered(here, row, "slope_1", "slope_2")
        if row.threshold * (1.0 + row.bonus) > 1.0:
            text = "must leave threshold x (1 + bonus) at most 1"
            yield Fault((*here, "bonus"), f"{text} (got {amount(row.bonus)})")
        if not 0.01 <= row.optimal <= 0.99:
            text = f"must be from 0.01 to 0.99 (got {amount(row.optimal)})"
            yield Fault((*here, "optimal"), text)
        if row.base + row.slope_1 + row.slope_2 > 10.0:
            yield Fault((*here, "slope_2"), "must leave the rate at most 10 a year")
        yield from fits(draft, (*here, "supplied"), asset, row.supplied)
    for name, mode in pool.modes.items():
        here = (*path, "modes", name)
        yield from ordered(here, mode, "ltv", "threshold")
        if mode.threshold * (1.0 + mode.bonus) > 1.0:
            text = "must leave threshold x (1 + bonus) at most 1"
            yield Fault((*here, "bonus"), f"{text} (got {amount(mode.bonus)})")
        for key in ("collateral", "borrowable"):
            for i, asset in enumerate(getattr(mode, key)):
                if asset not in pool.reserves:
                    text = f"{asset!r} is not a reserve of the pool"
                    text += suggest(asset, pool.reserves)
                    yield Fault((*here, key, i), text)


def _vault(draft: Draft, path: Path, vault: Any) -> Iterator[Fault]:
    yield from assets(draft, path, vault, "asset")
    lending = draft.parts.get("lending", {})
    for name, cap in vault.caps.items():
        here = (*path, "caps", name)
        yield from known(draft, here, "lending", name)
        yield from fits(draft, here, vault.asset, cap)
        if name in lending and lending[name].loan != vault.asset:
            text = f"must lend {vault.asset} (got {lending[name].loan})"
            yield Fault(here, text)
    if vault.withdraw_first and sorted(vault.withdraw_first) != sorted(vault.caps):
        text = "must name each market of caps once"
        got = ", ".join(vault.withdraw_first)
        yield Fault((*path, "withdraw_first"), f"{text} (got {got})")
    most = sum(vault.caps.values())
    if vault.deposited > most:
        text = f"must be at most the caps, {amount(most)}"
        yield Fault((*path, "deposited"), f"{text} (got {amount(vault.deposited)})")


def _issuer(draft: Draft, path: Path, issuer: Any) -> Iterator[Fault]:
    yield from assets(draft, path, issuer, "token", "stable")
    yield from fits(draft, (*path, "supply"), issuer.token, issuer.supply)
    for key in ("stable_held", "margin"):
        yield from fits(draft, (*path, key), issuer.stable, getattr(issuer, key))
    for coin, units in issuer.hedges.items():
        here = (*path, "hedges", coin)
        yield from known(draft, here, "assets", coin)
        yield from fits(draft, here, coin, units)
        market = f"{coin}/USDT:PERP"
        if coin in draft.names("assets") and market not in draft.names("markets"):
            yield Fault(here, f"needs the market {market} to be short in; add it")


def _staking(draft: Draft, path: Path, staking: Any) -> Iterator[Fault]:
    yield from assets(draft, path, staking, "asset", "token")
    yield from fits(draft, (*path, "supply"), staking.token, staking.supply)
    yield from _seconds((*path, "delay"), staking.delay)
    if staking.kind == "dollar" and staking.delay > 90 * 86_400:
        yield Fault((*path, "delay"), "must be at most 90 days, 7776000 s")


_STABLE = {
    "fractional": ("backing", "share", "feed"),
    "reserve": ("backing",),
    "peg_module": ("backing",),
    "terra": ("share", "feed"),
}


def _stable(draft: Draft, path: Path, rule: Any) -> Iterator[Fault]:
    yield from assets(draft, path, rule, "coin", "backing", "share")
    for key in _STABLE[rule.kind]:
        if getattr(rule, key) is None:
            text = f"must be given for a coin of kind {rule.kind!r}"
            yield Fault((*path, key), text)
    for key in ("feed", "coin_feed"):
        yield from known(draft, (*path, key), "feeds", getattr(rule, key))
    yield from fits(draft, (*path, "supply"), rule.coin, rule.supply)
    for key in ("held", "stuck", "ceiling"):
        yield from fits(draft, (*path, key), rule.backing, getattr(rule, key))
    if rule.kind in ("fractional", "reserve") and rule.supply <= 0:
        yield Fault((*path, "supply"), "must be above 0")
    if rule.kind == "reserve" and rule.stuck > rule.held:
        text = f"must be at most held, {amount(rule.held)} (got {amount(rule.stuck)})"
        yield Fault((*path, "stuck"), text)
    for i, (start, end) in enumerate(rule.hours):
        if not 0 <= start < end <= 7 * 86_400:
            text = "must be two seconds of a week in order, from 0 to 604800"
            yield Fault((*path, "hours", i), f"{text} (got {[start, end]})")
    if rule.kind == "peg_module" and rule.held > rule.ceiling:
        text = f"must be at most ceiling, {amount(rule.ceiling)}"
        yield Fault((*path, "held"), f"{text} (got {amount(rule.held)})")
    coins = draft.parts.get("assets", {})
    coin, backing = coins.get(rule.coin), coins.get(rule.backing or "")
    pair = rule.kind == "fractional" and coin is not None and backing is not None
    if pair and coin.decimals < backing.decimals:
        text = f"must have as many decimals as {rule.backing} or more"
        yield Fault(("assets", rule.coin, "decimals"), text)


Check = Callable[[Draft, Path, Any], Iterator[Fault]]

PLACE_CHECKS: dict[str, Check] = {
    "pools": _pool,
    "feeds": _feed,
    "lending": _lending,
    "lending_pools": _shared,
    "vaults": _vault,
    "issuers": _issuer,
    "staking": _staking,
    "stables": _stable,
}
"""What is checked of each entry of a table."""
