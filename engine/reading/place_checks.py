"""What must hold in the tables of protocols and feeds: names, shares, amounts."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import fsum
from typing import Any

from ..arguments import suggest
from .draft import Draft, unknown
from .limits import ATOMS_MAX, SECONDS_MAX, STEPS_MAX
from .location import Path
from .price_checks import has_assets, pairs_of, price_rule
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
    yield from has_assets(draft, path, pool, *wanted)


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
    pairs = pairs_of(draft, perpetuals=True)
    yield from price_rule(draft, path, feed, asset, pairs)


def _seconds(path: Path, seconds: float) -> Iterator[Fault]:
    if seconds > SECONDS_MAX:
        text = f"must be at most {amount(SECONDS_MAX)} (got {amount(seconds)})"
        yield Fault(path, text)


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


_CURATED = ("caps", "withdraw_first", "deposited")
_POOLED = ("pool", "supply", "held", "stake", "valued", "tolerance", "checked")


def _vault(draft: Draft, path: Path, vault: Any) -> Iterator[Fault]:
    yield from assets(draft, path, vault, "asset")
    pooled = vault.pool is not None
    if pooled == bool(vault.caps):
        got = "both" if pooled else "neither"
        yield Fault(path, f"must have either caps or pool (got {got})")
        return
    what, own = ("a pool", _POOLED) if pooled else ("caps", _CURATED)
    for key in (*_CURATED, *_POOLED):
        if key not in own and key in draft.document["vaults"][path[1]]:
            text = f"does not apply to a vault with {what} ({', '.join(own)})"
            yield Fault((*path, key), text)
    yield from (_staked if pooled else _lent)(draft, path, vault)


def _staked(draft: Draft, path: Path, vault: Any) -> Iterator[Fault]:
    yield from trades(draft, (*path, "pool"), vault.pool, vault.asset)
    pool = draft.parts.get("pools", {}).get(vault.pool)
    if pool is not None and pool.kind != "stableswap":
        text = "must be a stableswap: only such a pool pays out in one asset"
        yield Fault((*path, "pool"), f"{text} (got {vault.pool!r}, a {pool.kind})")
    for key in ("supply", "held"):
        yield from fits(draft, (*path, key), vault.asset, getattr(vault, key))
    coin = draft.parts.get("assets", {}).get(vault.asset)
    atom = 0.0 if coin is None else 10.0**-coin.decimals
    if vault.supply <= 0.0 or vault.supply < atom:
        text = "must be above 0, an atom or more: lenders have shares"
        text = f"{text} (got {amount(vault.supply)})"
        yield Fault((*path, "supply"), text)
    if vault.held + vault.stake <= 0:
        yield Fault((*path, "held"), "must be above 0, or stake: a share has a worth")
    others = draft.parts.get("vaults", {}).values()
    taken = fsum(row.stake for row in others if row.pool == vault.pool)
    if taken >= 1.0:
        text = f"must leave the stakes in {vault.pool} below 1 together"
        yield Fault((*path, "stake"), f"{text} (got {amount(taken)})")


def _lent(draft: Draft, path: Path, vault: Any) -> Iterator[Fault]:
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


def _same_decimals(draft: Draft, name: str, other: str | None) -> Iterator[Fault]:
    # What is exchanged at par, or at a price of 1, is exchanged atom for atom.
    coins = draft.parts.get("assets", {})
    one, two = coins.get(name), coins.get(other or "")
    if one is not None and two is not None and one.decimals != two.decimals:
        text = f"must be {one.decimals}, as of {name}, for which it is exchanged"
        where = "assets", other or "", "decimals"
        yield Fault(where, f"{text} atom for atom (got {two.decimals})")


def _issuer(draft: Draft, path: Path, issuer: Any) -> Iterator[Fault]:
    yield from assets(draft, path, issuer, "token", "stable")
    yield from _same_decimals(draft, issuer.stable, issuer.token)
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
    if rule.kind == "terra":
        yield from _blocks(draft, path, rule)
    for i, (start, end) in enumerate(rule.hours):
        if not 0 <= start < end <= 7 * 86_400:
            text = "must be two seconds of a week in order, from 0 to 604800"
            yield Fault((*path, "hours", i), f"{text} (got {[start, end]})")
    if rule.kind == "peg_module" and rule.held > rule.ceiling:
        text = f"must be at most ceiling, {amount(rule.ceiling)}"
        yield Fault((*path, "held"), f"{text} (got {amount(rule.held)})")
    if rule.kind == "fractional":
        coins = draft.parts.get("assets", {})
        coin, backing = coins.get(rule.coin), coins.get(rule.backing or "")
        both = coin is not None and backing is not None
        if both and coin.decimals < backing.decimals:
            text = f"must have as many decimals as {rule.backing} or more"
            yield Fault(("assets", rule.coin, "decimals"), text)
        yield from _same_decimals(draft, rule.coin, rule.share)
    elif rule.kind in ("reserve", "peg_module"):
        yield from _same_decimals(draft, rule.coin, rule.backing)


def _blocks(draft: Draft, path: Path, rule: Any) -> Iterator[Fault]:
    clock = draft.parts.get("chain")
    if rule.base < 1.0:
        text = f"must be at least 1 SDR (got {amount(rule.base)})"
        yield Fault((*path, "base"), text)
    longest = SECONDS_MAX if clock is None else clock.interval
    if rule.block is not None and not 1e-3 <= rule.block <= longest:
        text = f"must be from 0.001 to chain.interval, {amount(longest)} s"
        yield Fault((*path, "block"), f"{text} (got {amount(rule.block)})")
    elif rule.block is not None:
        yield from _often(draft, (*path, "block"), rule.block)
    if not 1e-6 <= rule.sdr <= 1e6:
        text = f"must be from 1e-6 to 1e6 (got {amount(rule.sdr)})"
        yield Fault((*path, "sdr"), text)
    if rule.coin == rule.share:
        text = f"must be another asset than coin (got {rule.share!r})"
        yield Fault((*path, "share"), text)


def _savings(draft: Draft, path: Path, rule: Any) -> Iterator[Fault]:
    yield from assets(draft, path, rule, "asset")
    yield from fits(draft, (*path, "reserve"), rule.asset, rule.reserve)
    for key in ("promised", "earned"):
        if getattr(rule, key) > 10.0:
            text = f"must be at most 10 a year (got {amount(getattr(rule, key))})"
            yield Fault((*path, key), text)
    if rule.epoch < 1.0:
        text = f"must be at least 1 s (got {amount(rule.epoch)})"
        yield Fault((*path, "epoch"), text)
    else:
        yield from _often(draft, (*path, "epoch"), rule.epoch)
    yield from _seconds((*path, "epoch"), rule.epoch)


def _often(draft: Draft, path: Path, seconds: float) -> Iterator[Fault]:
    times = draft.parts.get("duration", 0.0) / seconds
    if times > STEPS_MAX:
        text = f"{times:.3g} of them in the run, at most {STEPS_MAX:,}"
        yield Fault(path, f"{text} (got {amount(seconds)}); make it longer")


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
    "savings": _savings,
}
"""What is checked of each entry of a table."""
